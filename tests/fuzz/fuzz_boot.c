/*
 * fuzz_boot.c: a boot loader fed with a kernel image that went wrong
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz_boot.h"

#include <string.h>

#include "tests/unit/boot_images.h"

#define RAM_SIZE (24u << 20)

void fuzz_boot(const GByteArray *image, const uint8_t *data, size_t size)
{
	g_autofree uint8_t *spoilt = g_memdup2(image->data, image->len);
	g_auto(BootTestFile) file = { .fd = -1 };
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(BootSource) source = NULL;
	g_autoptr(GError) error = NULL;
	BootState state;
	size_t cut;

	if (size < 2)
		return;
	cut = (size_t)(data[0] | data[1] << 8) % image->len;
	for (size_t i = 2; i < size && i - 2 < image->len; i++)
		spoilt[i - 2] ^= data[i];

	boot_guest_init(&guest, RAM_SIZE, 0);
	boot_test_file_init(&file, spoilt, image->len - cut);
	source = boot_source_open(file.path, file.path, "console=ttyS0", &error);
	g_assert_no_error(error);
	if (boot_load(source, &guest.map, 0xe1000, (data[0] & 1) != 0, guest.memory, &state,
		      &error)) {
		g_assert_no_error(error);
		g_assert_cmpuint(state.gdt_limit, >, 0);
	} else {
		g_assert_nonnull(error);
	}
}
