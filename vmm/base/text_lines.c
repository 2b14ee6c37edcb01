/*
 * text_lines.c: the two ways in which lines of text end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/text_lines.h"

#include <glib.h>
#include <string.h>

char *text_lines_to_crlf(const char *text)
{
	GString *lines = g_string_sized_new(strlen(text) + 16);

	for (; *text; text++) {
		if (*text == '\n')
			g_string_append_c(lines, '\r');
		g_string_append_c(lines, *text);
	}
	return g_string_free(lines, FALSE);
}

void text_lines_to_lf(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (from[0] != '\r' || from[1] != '\n')
			*to++ = *from;
	}
	*to = '\0';
}
