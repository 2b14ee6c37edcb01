/*
 * test-qmp-framing.c: JSON messages out of a stream of bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "qmp/qmp_framing.h"

/*
 * Feeds @text in pieces of @piece bytes; returns what came out, one line each: messages as JSON,
 * errors behind "!".
 */
static char *frames(const char *text, size_t size, size_t piece)
{
	g_autoptr(QmpFramer) framer = qmp_framer_new();
	GString *out = g_string_new(NULL);

	for (size_t at = 0; at < size;) {
		size_t end = MIN(size, at + piece);

		while (at < end) {
			QmpFrame frame;

			at += qmp_framer_feed(framer, text + at, end - at, &frame);
			if (frame.kind == QMP_FRAME_MESSAGE)
				g_string_append(out,
						json_object_to_json_string_ext(
							frame.message, JSON_C_TO_STRING_PLAIN));
			else if (frame.kind == QMP_FRAME_ERROR)
				g_string_append_printf(out, "!%s", frame.error);
			else
				break;
			g_string_append_c(out, '\n');
			json_object_put(frame.message);
		}
		at = end;
	}
	return g_string_free(out, FALSE);
}

static void check(const char *text, const char *expected)
{
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		g_autofree char *out = frames(text, strlen(text), piece);

		g_assert_cmpstr(out, ==, expected);
	}
}

static void test_messages(void)
{
	check("{}", "{}\n");
	check("{}{}[]", "{}\n{}\n[]\n");
	check(" \r\n\t{\"a\" : [1, 2.5, -3e2, true, null]}\r\n",
	      "{\"a\":[1,2.5,-3e2,true,null]}\n");
	check("{\"a\":\"}]\\\"{[\"}", "{\"a\":\"}]\\\"{[\"}\n");
	check("{\n\"a\":\n1}\n", "{\"a\":1}\n");
	check("{\"u\":\"\\u00e9\xc3\xa9\"}", "{\"u\":\"\xc3\xa9\xc3\xa9\"}\n");
	check("1 true \"x\" null\n", "1\ntrue\n\"x\"\nnull\n");
	check("12{}", "12\n{}\n");
	check("[0,-0.5,1E5,18446744073709551615,-9223372036854775808]\n",
	      "[0,-0.5,1E5,18446744073709551615,-9223372036854775808]\n");
	check("", "");
}

static void test_malformed(void)
{
	check("foo\n{}", "!JSON parse error, stray 'o'\n{}\n");
	check("@{}", "!JSON parse error, stray '@'\n{}\n");
	check("\xff{}", "!JSON parse error, stray byte 0xff\n{}\n");
	check("}\n{}", "!JSON parse error, stray '}'\n{}\n");
	check("{]\n{}", "!JSON parse error, stray ']'\n{}\n");
	check("{]}{}", "!JSON parse error, stray ']'\n{}\n");
	/* What is inside a broken message is not taken for a message. */
	check("{\"a\":foo,\"b\":{\"c\":1}}{}", "!JSON parse error, stray 'o'\n{}\n");
	check("{\"a\":\"b\n{}", "!JSON parse error, control character in a string\n{}\n");
	check("{\"a\":\"\\\n{}", "!JSON parse error, control character in a string\n{}\n");
	check("{'a':1}\n{}", "!JSON parse error, stray '''\n{}\n");
	check("{\"a\":NaN}{}", "!JSON parse error, stray 'N'\n{}\n");
	check("{\"a\":1/**/}{}", "!JSON parse error, stray '/'\n{}\n");
}

static void check_one_error(const char *text)
{
	g_autofree char *out = frames(text, strlen(text), strlen(text));
	g_auto(GStrv) lines = g_strsplit(out, "\n", -1);

	g_assert_true(g_str_has_prefix(out, "!JSON parse error, "));
	g_assert_cmpstr(lines[1], ==, "{}");
}

/* Well-formed by its brackets, but not JSON. */
static void test_not_json(void)
{
	check_one_error("{\"a\" 1}{}");
	check_one_error("{\"a\":1,}{}");
	check_one_error("{\"a\":1 2}{}");
	check_one_error("{1:2}{}");
	check_one_error("[1,]{}");
	check_one_error("{\"a\":tru}{}");
	check_one_error("{\"a\":01a}{}");
	check_one_error("{\"a\":\"\\x\"}{}");
	check_one_error("{\"a\":\"\xff\"}{}");
	check_one_error("{\"a\":18446744073709551616}{}");
	check_one_error("{\"a\":-9223372036854775809}{}");
	check_one_error("{\"a\":1e999}{}");
	check_one_error("[1.]{}");
	check_one_error("[01]{}");
	check_one_error("[-]{}");
	check_one_error("[1e+]{}");
	check_one_error("[1-1]{}");
	check_one_error("1.2.3 {}");
	check_one_error("tru {}");
}

static void test_duplicate_keys(void)
{
	check("{\"a\":1,\"a\":2}{}", "!JSON parse error, duplicate key\n{}\n");
	check("{\"a\":1,\"\\u0061\":2}{}", "!JSON parse error, duplicate key\n{}\n");
	check("[{\"a\":[{\"b\":1,\"b\":{\"c\":2}}]}]{}", "!JSON parse error, duplicate key\n{}\n");
	check("[{\"a\":{\"a\":1}},{\"a\":\":\"}]", "[{\"a\":{\"a\":1}},{\"a\":\":\"}]\n");
}

/* Repeats @unit to @size bytes, with @start before and @end behind. */
static GString *repeat(const char *start, const char *unit, size_t size, const char *end)
{
	GString *text = g_string_new(start);

	while (text->len < size)
		g_string_append(text, unit);
	g_string_append(text, end);
	return text;
}

static void check_limit(const char *start, const char *unit, size_t size, const char *end,
			const char *expected)
{
	g_autoptr(GString) text = repeat(start, unit, size, end);
	g_autofree char *whole = frames(text->str, text->len, text->len);
	g_autofree char *pieces = frames(text->str, text->len, 4097);

	g_assert_cmpstr(whole, ==, expected);
	g_assert_cmpstr(pieces, ==, expected);
}

static void test_limits(void)
{
	const size_t beyond = QMP_MESSAGE_SIZE_MAX + 100;

	check_limit("{\"a\":\"", "x", beyond, "\n{}", "!JSON token size limit exceeded\n{}\n");
	check_limit("{\"a\":\"", "x\\\"", beyond, "\"}{}", "!JSON token size limit exceeded\n{}\n");
	check_limit("{", " ", beyond, "\"a\":\"}\"}{}", "!JSON token size limit exceeded\n{}\n");
	check_limit("[", "[],", 1 << 20, "1]{}", "!JSON token count limit exceeded\n{}\n");
	check_limit("[", "\"]\",", 1 << 20, "1]{}", "!JSON token count limit exceeded\n{}\n");
	check_limit("", "[", 1 << 20, "\n{}", "!JSON nesting depth limit exceeded\n{}\n");
	check_limit("", "{\"a\":", 1 << 20, "\n{}", "!JSON nesting depth limit exceeded\n{}\n");
	/* A long run of spaces between messages is nothing. */
	check_limit("", " ", beyond, "{}", "{}\n");
}

static void test_depth_boundary(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *out = NULL;

	for (unsigned i = 0; i < QMP_MESSAGE_DEPTH_MAX; i++)
		g_string_append_c(text, '[');
	for (unsigned i = 0; i < QMP_MESSAGE_DEPTH_MAX; i++)
		g_string_append_c(text, ']');
	out = frames(text->str, text->len, text->len);
	g_string_append_c(text, '\n');
	g_assert_cmpstr(out, ==, text->str);
	g_string_prepend_c(text, '[');
	g_string_append_c(text, ']');
	g_free(out);
	out = frames(text->str, text->len, text->len);
	g_assert_true(g_str_has_prefix(out, "!JSON nesting depth limit exceeded\n"));
}

/* 100 MiB without an end: refused while it is read, and little is kept of it. */
static void test_endless_line(void)
{
	g_autoptr(QmpFramer) framer = qmp_framer_new();
	g_autofree char *block = g_strnfill(1 << 20, 'x');
	const char *start = "{\"a\":\"";
	unsigned n_errors = 0;
	QmpFrame frame;

	g_assert_cmpuint(qmp_framer_feed(framer, start, strlen(start), &frame), ==, strlen(start));
	for (unsigned i = 0; i < 100; i++) {
		for (size_t at = 0; at < 1 << 20;) {
			at += qmp_framer_feed(framer, block + at, (1 << 20) - at, &frame);
			g_assert_cmpint(frame.kind, !=, QMP_FRAME_MESSAGE);
			if (frame.kind == QMP_FRAME_ERROR) {
				n_errors++;
				g_assert_cmpuint(i, <=, 16);
			}
		}
	}
	g_assert_cmpuint(n_errors, ==, 1);
	g_assert_false(qmp_framer_is_idle(framer));
	qmp_framer_feed(framer, "\n", 1, &frame);
	g_assert_true(qmp_framer_is_idle(framer));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/qmp/framing/messages", test_messages);
	g_test_add_func("/qmp/framing/malformed", test_malformed);
	g_test_add_func("/qmp/framing/not-json", test_not_json);
	g_test_add_func("/qmp/framing/duplicate-keys", test_duplicate_keys);
	g_test_add_func("/qmp/framing/limits", test_limits);
	g_test_add_func("/qmp/framing/depth-boundary", test_depth_boundary);
	g_test_add_func("/qmp/framing/endless-line", test_endless_line);
	return g_test_run();
}
