/*
 * text_lines.h: the two ways in which lines of text end
 *
 * Any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* @text, whose lines end in LF, with lines that end in CR LF; owned. */
char *text_lines_to_crlf(const char *text);
/* The other way round, in place; a CR without LF stays. */
void text_lines_to_lf(char *text);
