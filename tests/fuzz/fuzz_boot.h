/*
 * fuzz_boot.h: a boot loader fed with a kernel image that went wrong
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Spoil @image, a good one, by @data and load it. Two bytes say at which length it is cut off, the
 * rest is combined with the image's bytes by exclusive or, so that an input of zeroes changes
 * nothing and what libFuzzer finds are small differences to something that loads. A load that
 * succeeds must have left an entry point in RAM.
 */
void fuzz_boot(const GByteArray *image, const uint8_t *data, size_t size);
