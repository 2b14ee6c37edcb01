/*
 * test-property.c: tables of typed options
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/property.h"

#include <string.h>

typedef struct Thing {
	bool flag;
	uint8_t small;
	uint16_t port;
	uint32_t block_size;
	uint64_t large, size, room;
	int32_t boot_index;
	char *name, *drive;
	int policy, bootable;
	uint8_t mac[6];
	int32_t address;
} Thing;

static const char *const policies[] = { "report", "stop", "ignore", NULL };

#define PLACE(member) .offset = offsetof(Thing, member)

static const Property table[] = {
	{ "flag", PROPERTY_BOOL, PLACE(flag), .initial = true, .description = "a flag" },
	{ "small", PROPERTY_UINT8, PLACE(small), .initial = 7, .description = "8 bits" },
	{ "port", PROPERTY_UINT16, PLACE(port), .minimum = 10, .maximum = 20, .initial = 10 },
	{ "block-size", PROPERTY_UINT32, PLACE(block_size), .power_of_two = true },
	{ "large", PROPERTY_UINT64, PLACE(large) },
	{ "size", PROPERTY_SIZE, PLACE(size), .initial = 4096 },
	{ "room", PROPERTY_SIZE, PLACE(room), .minimum = 1u << 20, .maximum = 3u << 30,
	  .required = true },
	{ "bootindex", PROPERTY_INT32, PLACE(boot_index), .initial = (uint64_t)-1,
	  .minimum = (uint64_t)-1, .maximum = INT32_MAX },
	{ "name", PROPERTY_STRING, PLACE(name), .initial_text = "thing" },
	{ "drive", PROPERTY_NODE, PLACE(drive), .required = true, .description = "the disk" },
	{ "policy", PROPERTY_ENUM, PLACE(policy), .enum_names = policies,
	  .enum_type = "BlockdevOnError" },
	{ "bootable", PROPERTY_ON_OFF_AUTO, PLACE(bootable) },
	{ "mac", PROPERTY_MAC, PLACE(mac), .initial_text = "52:54:00:00:00:01" },
	{ "addr", PROPERTY_PCI_ADDRESS, PLACE(address) },
	PROPERTY_END,
};

/* Set @name to the JSON @text; NULL if that worked, else the error's text. */
static char *set_json(Thing *thing, const char *name, const char *text)
{
	json_object *value = json_tokener_parse(text);
	GError *error = NULL;
	char *message = NULL;

	if (!property_set(property_find(table, name), thing, value, &error)) {
		message = g_strdup(error->message);
		g_assert_nonnull(strstr(message, name));
		g_error_free(error);
	}
	json_object_put(value);
	return message;
}

static void assert_value(const Thing *thing, const char *name, const char *expected)
{
	json_object *value = property_get(property_find(table, name), thing);

	g_assert_cmpstr(json_object_to_json_string(value), ==, expected);
	json_object_put(value);
}

static void test_defaults(void)
{
	Thing thing = { 0 };

	properties_init(table, &thing);
	assert_value(&thing, "flag", "true");
	assert_value(&thing, "small", "7");
	assert_value(&thing, "size", "4096");
	assert_value(&thing, "bootindex", "-1");
	assert_value(&thing, "name", "\"thing\"");
	assert_value(&thing, "drive", "\"\"");
	assert_value(&thing, "policy", "\"report\"");
	assert_value(&thing, "bootable", "\"auto\"");
	assert_value(&thing, "mac", "\"52:54:00:00:00:01\"");
	assert_value(&thing, "addr", "-1");
	g_assert_null(property_find(table, "none"));
	properties_clear(table, &thing);
	g_assert_null(thing.name);
}

static void test_set(void)
{
	static const struct {
		const char *name, *json, *result;
	} good[] = {
		{ "flag", "\"off\"", "false" },
		{ "flag", "\"yes\"", "true" },
		{ "flag", "false", "false" },
		{ "small", "255", "255" },
		{ "small", "\"0x10\"", "16" },
		{ "port", "20", "20" },
		{ "block-size", "\"4096\"", "4096" },
		{ "block-size", "0", "0" },
		{ "large", "18446744073709551615", "18446744073709551615" },
		{ "large", "\"18446744073709551615\"", "18446744073709551615" },
		{ "size", "\"1.5M\"", "1572864" },
		{ "bootindex", "\"-1\"", "-1" },
		{ "bootindex", "2", "2" },
		{ "name", "\"x\"", "\"x\"" },
		{ "name", "\"\"", "\"\"" },
		{ "drive", "\"d0\"", "\"d0\"" },
		{ "policy", "\"ignore\"", "\"ignore\"" },
		{ "bootable", "\"on\"", "\"on\"" },
		{ "mac", "\"52-54-00-aB-cd-EF\"", "\"52:54:00:ab:cd:ef\"" },
		{ "addr", "\"3\"", "24" },
		{ "addr", "\"1f.7\"", "255" },
		{ "addr", "\"0x3.0x1\"", "25" },
		{ "addr", "9", "9" },
		{ "addr", "-1", "-1" },
	};
	Thing thing = { 0 };

	properties_init(table, &thing);
	for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autofree char *message = set_json(&thing, good[i].name, good[i].json);

		g_assert_cmpstr(message, ==, NULL);
		assert_value(&thing, good[i].name, good[i].result);
	}
	properties_clear(table, &thing);
}

static void test_refused(void)
{
	static const struct {
		const char *name, *json;
	} bad[] = {
		{ "flag", "1" },
		{ "flag", "\"\"" },
		{ "flag", "\"ON\"" },
		{ "small", "256" },
		{ "small", "-1" },
		{ "small", "\"-1\"" },
		{ "small", "\"1x\"" },
		{ "small", "\" 1\"" },
		{ "small", "\"\"" },
		{ "small", "1.0" },
		{ "small", "null" },
		{ "small", "[]" },
		{ "port", "9" },
		{ "port", "21" },
		{ "block-size", "3" },
		{ "block-size", "4294967296" },
		{ "large", "-1" },
		{ "large", "\"18446744073709551616\"" },
		{ "size", "\"1Z\"" },
		{ "bootindex", "-2" },
		{ "bootindex", "2147483648" },
		{ "bootindex", "\"-\"" },
		{ "name", "1" },
		{ "name", "\"a\\u0000b\"" },
		{ "drive", "\"\"" },
		{ "policy", "\"enospc\"" },
		{ "policy", "0" },
		{ "bootable", "true" },
		{ "mac", "\"52:54:00:12:34\"" },
		{ "mac", "\"52:54:00:12:34:5g\"" },
		{ "mac", "\"52:54:00:12:34:56:78\"" },
		{ "mac", "\"\"" },
		{ "addr", "\"20\"" },
		{ "addr", "\"3.8\"" },
		{ "addr", "\"3.\"" },
		{ "addr", "256" },
		{ "addr", "-2" },
		{ "addr", "\"-1\"" },
	};
	Thing thing = { 0 };

	properties_init(table, &thing);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		json_object *before = property_get(property_find(table, bad[i].name), &thing);
		g_autofree char *message = set_json(&thing, bad[i].name, bad[i].json);

		if (!message)
			g_error("%s was set to %s", bad[i].name, bad[i].json);
		assert_value(&thing, bad[i].name, json_object_to_json_string(before));
		json_object_put(before);
	}
	properties_clear(table, &thing);
}

static void test_help(void)
{
	g_autofree char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	properties_print_help(&table[0], stream);
	fclose(stream);
	g_assert_nonnull(strstr(text, "flag=<bool>"));
	g_assert_nonnull(strstr(text, "- a flag (default: true)\n"));
	g_assert_nonnull(strstr(text, "- the disk (required)\n"));
	g_assert_nonnull(strstr(text, "policy=<BlockdevOnError>"));
	/* What can be said, so that nobody has to try. */
	g_assert_nonnull(strstr(text, "(report|stop|ignore, default: report)\n"));
	g_assert_nonnull(strstr(text, "(auto|on|off, default: auto)\n"));
	g_assert_nonnull(strstr(text, "(10 to 20, default: 10)\n"));
	g_assert_nonnull(strstr(text, "(-1 to 2147483647, default: -1)\n"));
	g_assert_nonnull(strstr(text, "(default: 4K)\n"));
	g_assert_nonnull(strstr(text, "(1M to 3G, required)\n"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/property/defaults", test_defaults);
	g_test_add_func("/property/set", test_set);
	g_test_add_func("/property/refused", test_refused);
	g_test_add_func("/property/help", test_help);
	return g_test_run();
}
