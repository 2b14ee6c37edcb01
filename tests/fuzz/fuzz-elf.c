/*
 * fuzz-elf.c: ELF kernels, for PVH and Multiboot, with anything wrong with them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_boot.h"
#include "tests/unit/boot_images.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static GByteArray *(*const make[])(void) = {
		boot_image_elf64,
		boot_image_elf32,
		boot_image_multiboot,
		boot_image_multiboot_elf,
	};
	g_autoptr(GByteArray) image = NULL;

	if (size == 0)
		return 0;
	image = make[data[0] % G_N_ELEMENTS(make)]();
	fuzz_boot(image, data + 1, size - 1);
	return 0;
}
