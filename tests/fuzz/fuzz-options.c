/*
 * fuzz-options.c: the option grammar and property values, from any text
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/config/options.h"
#include "vmm/config/property.h"

typedef struct Target {
	bool flag;
	uint8_t small;
	uint64_t size;
	int32_t number, address;
	char *text;
	int choice, toggle;
	uint8_t mac[6];
} Target;

static const char *const choices[] = { "report", "stop", NULL };

/* One property of each kind that parses text. */
static const Property properties[] = {
	{ .name = "flag", .kind = PROPERTY_BOOL, .offset = offsetof(Target, flag) },
	{ .name = "small", .kind = PROPERTY_UINT8, .offset = offsetof(Target, small) },
	{ .name = "size", .kind = PROPERTY_SIZE, .offset = offsetof(Target, size) },
	{ .name = "number", .kind = PROPERTY_INT32, .offset = offsetof(Target, number) },
	{ .name = "address", .kind = PROPERTY_PCI_ADDRESS, .offset = offsetof(Target, address) },
	{ .name = "text", .kind = PROPERTY_STRING, .offset = offsetof(Target, text) },
	{ .name = "choice",
	  .kind = PROPERTY_ENUM,
	  .offset = offsetof(Target, choice),
	  .enum_names = choices },
	{ .name = "toggle", .kind = PROPERTY_ON_OFF_AUTO, .offset = offsetof(Target, toggle) },
	{ .name = "mac", .kind = PROPERTY_MAC, .offset = offsetof(Target, mac) },
	PROPERTY_END,
};

/* Try @value on every property, and read back what was set. */
static void try_value(Target *target, json_object *value)
{
	for (const Property *property = properties; property->name; property++) {
		if (property_set(property, target, value, NULL))
			json_object_put(property_get(property, target));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	json_object *options = options_parse(text, "driver", NULL);
	Target target = { 0 };
	uint64_t bytes;

	options_parse_size(text, 'M', &bytes, NULL);
	properties_init(properties, &target);
	if (options) {
		json_object_object_foreach(options, name, value)
		{
			(void)name;
			try_value(&target, value);
		}
		json_object_put(options);
	}
	properties_clear(properties, &target);
	return 0;
}
