/*
 * test-lazy-memory.c: memory that is present only where it is used
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/lazy_memory.h"

#define SIZE (16u << 20)

/* What /proc/self/smaps says of @field for the mapping that @memory is in; NULL: nothing. */
static char *mapping_field(const void *memory, const char *field)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	bool found = false;

	g_assert_true(g_file_get_contents("/proc/self/smaps", &text, NULL, NULL));
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++) {
		uintptr_t start, end;

		if (sscanf(*line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
			found = (uintptr_t)memory >= start && (uintptr_t)memory < end;
		else if (found && g_str_has_prefix(*line, field))
			return g_strdup(*line + strlen(field));
	}
	return NULL;
}

static void test_pages(void)
{
	uint8_t *memory = lazy_memory_new(SIZE);
	g_autofree char *flags = NULL, *present = NULL;

	g_assert_nonnull(memory);
	g_assert_cmpuint(memory[SIZE - 1], ==, 0);
	memory[SIZE / 2] = 1;
	present = mapping_field(memory, "Private_Dirty:");
	g_assert_cmpuint(g_ascii_strtoull(present, NULL, 10), <=, 64);
	flags = mapping_field(memory, "VmFlags:");
	if (g_file_test("/sys/kernel/mm/transparent_hugepage", G_FILE_TEST_EXISTS))
		g_assert_nonnull(strstr(flags, " nh"));
	lazy_memory_free(memory, SIZE);
	lazy_memory_free(NULL, SIZE);
}

static void test_none(void)
{
	g_assert_null(lazy_memory_new(SIZE_MAX / 2));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lazy-memory/pages", test_pages);
	g_test_add_func("/lazy-memory/none", test_none);
	return g_test_run();
}
