/*
 * edid.h: what a display tells of itself (VESA E-EDID 1.4)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdint.h>

#define EDID_SIZE 128u
/* What it can say of a size, pixels. */
#define EDID_PIXELS_MAX 4095u

/*
 * Fill @edid with the description of a display that prefers @width by @height pixels (1 to
 * EDID_PIXELS_MAX) at 60 Hz and takes the usual modes, too. Any thread.
 */
void edid_generate(uint8_t edid[static EDID_SIZE], uint32_t width, uint32_t height);
