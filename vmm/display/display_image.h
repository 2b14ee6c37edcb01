/*
 * display_image.h: pictures of screens in files
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/display/display.h"

/* @surface as a binary portable pixmap; never NULL. Any thread. */
GByteArray *display_image_ppm(const DisplaySurface *surface);

/* @surface as PNG (RFC 2083), never NULL: runs of equal bytes are packed, no more. Any thread. */
GByteArray *display_image_png(const DisplaySurface *surface);
