/*
 * fuzz-bzimage.c: Linux kernels with anything wrong with them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_boot.h"
#include "tests/unit/boot_images.h"

/* What is before the setup header is not looked at: 0x1f1 less 1, so that inputs can be short. */
#define SKIPPED 0x1f0u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GByteArray) image = boot_image_linux();
	g_autofree uint8_t *input = NULL;

	if (size < 2)
		return 0;
	input = g_malloc0(size + SKIPPED);
	memcpy(input, data, 2);
	memcpy(input + 2 + SKIPPED, data + 2, size - 2);
	fuzz_boot(image, input, size + SKIPPED);
	return 0;
}
