/*
 * test-options.c: QEMU's option grammar
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/options.h"

#include <string.h>

typedef struct Case {
	const char *text, *implied_key;
	const char *expected; /* JSON, or a part of the error's text */
} Case;

static const Case good[] = {
	{ "", NULL, "{}" },
	{ "a=b", NULL, "{\"a\":\"b\"}" },
	{ "a=b,", NULL, "{\"a\":\"b\"}" },
	{ "a=,c=d", NULL, "{\"a\":\"\",\"c\":\"d\"}" },
	{ "a=b,,c,d=e", NULL, "{\"a\":\"b,c\",\"d\":\"e\"}" },
	{ "a=,,", NULL, "{\"a\":\",\"}" },
	{ "a=x=y", NULL, "{\"a\":\"x=y\"}" },
	{ "server,wait=off", NULL, "{\"server\":\"on\",\"wait\":\"off\"}" },
	{ "nodelay", NULL, "{\"nodelay\":\"on\"}" },
	{ "virtio-blk-pci,drive=d0", "driver", "{\"driver\":\"virtio-blk-pci\",\"drive\":\"d0\"}" },
	{ "a,,b,x=1", "name", "{\"name\":\"a,b\",\"x\":\"1\"}" },
	{ "driver=x,y=1", "driver", "{\"driver\":\"x\",\"y\":\"1\"}" },
	{ "x,help", "driver", "{\"driver\":\"x\",\"help\":\"on\"}" },
	{ "cache.direct=on,cache.no-flush=off", NULL,
	  "{\"cache\":{\"direct\":\"on\",\"no-flush\":\"off\"}}" },
	{ "l.0=x,l.1=y", NULL, "{\"l\":[\"x\",\"y\"]}" },
	{ "l.1.b=y,l.0.a=x", NULL, "{\"l\":[{\"a\":\"x\"},{\"b\":\"y\"}]}" },
	{ "l.0.0=x", NULL, "{\"l\":[[\"x\"]]}" },
	{ "{\"a\":1,\"b\":{\"c\":[true,null]},\"d\":\":\\\":\"}", "x",
	  "{\"a\":1,\"b\":{\"c\":[true,null]},\"d\":\":\\\":\"}" },
	{ "{}", NULL, "{}" },
};

static const Case bad[] = {
	{ ",a=b", NULL, "invalid option name ''" },
	{ ",a=b", "driver", "'driver' has no value" },
	{ "=b", NULL, "invalid option name ''" },
	{ "a..b=c", NULL, "invalid option name 'a..b'" },
	{ ".a=c", NULL, "invalid option name" },
	{ "a.=c", NULL, "invalid option name" },
	{ "a b=c", NULL, "invalid option name 'a b'" },
	{ "a=1,a=2", NULL, "'a' is given twice" },
	{ "x,driver=y", "driver", "'driver' is given twice" },
	{ "a=1,a.b=2", NULL, "'a.b' and a part of it" },
	{ "a.b=2,a=1", NULL, "'a' and a part of it" },
	{ "a.b=2,a.b.c=1", NULL, "'a.b.c' and a part of it" },
	{ "l.1=x", NULL, "list 'l' has no element 0" },
	{ "l.0=x,l.2=y", NULL, "list 'l' has no element 1" },
	{ "l.99999999999999999999=x", NULL, "list 'l' has no element 0" },
	{ "l.0=x,l.name=y", NULL, "'l' mixes list indices and names" },
	{ "0=x", NULL, "mixes" },
	{ "{", NULL, "JSON option is invalid" },
	{ "{\"a\":1} x", NULL, "JSON option is invalid" },
	{ "{\"a\":1,\"a\":2}", NULL, "has a member twice" },
	{ "{\"b\":[{\"a\":1,\"a\":2}]}", NULL, "has a member twice" },
	{ "{'\"':1,'\"':2}", NULL, "has a member twice" },
	{ "{a:1}", NULL, "JSON option is invalid" },
	{ "{\"a\":1", NULL, "JSON option is invalid" },
};

static void test_good(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autoptr(GError) error = NULL;
		json_object *object = options_parse(good[i].text, good[i].implied_key, &error);

		g_assert_no_error(error);
		g_assert_cmpstr(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), ==,
				good[i].expected);
		json_object_put(object);
	}
}

static void test_bad(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		if (options_parse(bad[i].text, bad[i].implied_key, &error))
			g_error("'%s' was accepted", bad[i].text);
		g_assert_nonnull(error);
		if (!strstr(error->message, bad[i].expected))
			g_error("'%s': %s", bad[i].text, error->message);
	}
}

/* Nesting of @n levels, of keys and of JSON. */
static void check_depth(unsigned n, bool accepted)
{
	g_autoptr(GString) key = g_string_new("a");
	g_autoptr(GString) json = g_string_new("{\"a\":");

	for (unsigned i = 1; i < n; i++) {
		g_string_append(key, ".a");
		g_string_append_c(json, '[');
	}
	g_string_append(key, "=x");
	g_string_append_c(json, '1');
	for (unsigned i = 1; i < n; i++)
		g_string_append_c(json, ']');
	g_string_append_c(json, '}');
	for (unsigned i = 0; i < 2; i++) {
		g_autoptr(GError) error = NULL;
		json_object *object = options_parse(i ? json->str : key->str, NULL, &error);

		g_assert_cmpint(object != NULL, ==, accepted);
		g_assert_cmpint(error == NULL, ==, accepted);
		json_object_put(object);
	}
}

static void test_depth(void)
{
	check_depth(20, true);
	check_depth(40, false);
	check_depth(100000, false);
}

static void test_size(void)
{
	static const struct {
		const char *text;
		char unit;
		uint64_t expected;
	} sizes[] = {
		{ "0", 'B', 0 },
		{ "512", 'B', 512 },
		{ "512", 'M', 512ull << 20 },
		{ "512B", 'M', 512 },
		{ "4G", 'M', 4ull << 30 },
		{ "4k", 'B', 4096 },
		{ "1.5G", 'B', 3ull << 29 },
		{ "0.5", 'k', 512 },
		{ "1.0000000000000000000000000000001k", 'B', 1024 },
		{ "0.1B", 'B', 0 },
		{ "0x1000", 'B', 4096 },
		{ "0x10M", 'B', 16ull << 20 },
		{ "010", 'B', 10 },
		{ "15E", 'B', 15ull << 60 },
		{ "15.9999E", 'B', 0xffff972474538ef3ull },
		{ "18446744073709551615", 'B', UINT64_MAX },
	};
	static const char *const invalid[] = {
		"",    "-1",  " 1",  "+1", "1 ",  "1KB",   "1Z",  "k",	   "1.",
		"1.k", ".5G", "1e3", "0x", "0xg", "0x1.8", "16E", "1.5.5", "18446744073709551616"
	};
	uint64_t size;

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autoptr(GError) error = NULL;

		options_parse_size(sizes[i].text, sizes[i].unit, &size, &error);
		g_assert_no_error(error);
		g_assert_cmpuint(size, ==, sizes[i].expected);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(invalid); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(options_parse_size(invalid[i], 'B', &size, &error));
		g_assert_nonnull(error);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/options/good", test_good);
	g_test_add_func("/options/bad", test_bad);
	g_test_add_func("/options/depth", test_depth);
	g_test_add_func("/options/size", test_size);
	return g_test_run();
}
