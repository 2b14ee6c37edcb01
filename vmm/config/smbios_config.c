/*
 * smbios_config.c: what -smbios says: text for SMBIOS structures
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/smbios_config.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/json.h"
#include "vmm/config/options.h"
#include "vmm/config/property.h"

#define TEXT_AT(key, at)                                                                           \
	{                                                                                          \
		.name = (key), .kind = PROPERTY_STRING, .offset = (at)                             \
	}
#define BOARD_TEXT(key) TEXT_AT(#key, offsetof(SmbiosBoard, key))
#define TEXT(key, part, field)                                                                     \
	TEXT_AT(key, offsetof(SmbiosConfig, part.field))

static const Property bios_properties[] = {
	TEXT("vendor", bios, vendor),
	TEXT("version", bios, version),
	TEXT("date", bios, date),
	TEXT("release", bios, release),
	{ .name = "uefi", .kind = PROPERTY_BOOL, .offset = offsetof(SmbiosConfig, bios.uefi) },
	PROPERTY_END,
};

static const Property system_properties[] = {
	TEXT("manufacturer", system, manufacturer),
	TEXT("product", system, product),
	TEXT("version", system, version),
	TEXT("serial", system, serial),
	TEXT("uuid", system, uuid),
	TEXT("sku", system, sku),
	TEXT("family", system, family),
	PROPERTY_END,
};

static const Property board_properties[] = {
	BOARD_TEXT(manufacturer),
	BOARD_TEXT(product),
	BOARD_TEXT(version),
	BOARD_TEXT(serial),
	BOARD_TEXT(asset),
	BOARD_TEXT(location),
	PROPERTY_END,
};

static const Property chassis_properties[] = {
	TEXT("manufacturer", chassis, manufacturer),
	TEXT("version", chassis, version),
	TEXT("serial", chassis, serial),
	TEXT("asset", chassis, asset),
	TEXT("sku", chassis, sku),
	PROPERTY_END,
};

static const Property processor_properties[] = {
	TEXT("sock_pfx", processor, socket_prefix),
	TEXT("manufacturer", processor, manufacturer),
	TEXT("version", processor, version),
	TEXT("serial", processor, serial),
	TEXT("asset", processor, asset),
	TEXT("part", processor, part),
	PROPERTY_END,
};

static const Property memory_properties[] = {
	TEXT("loc_pfx", memory, locator_prefix),
	TEXT("bank", memory, bank),
	TEXT("manufacturer", memory, manufacturer),
	TEXT("serial", memory, serial),
	TEXT("asset", memory, asset),
	TEXT("part", memory, part),
	{ .name = "speed", .kind = PROPERTY_UINT16, .offset = offsetof(SmbiosConfig, memory.speed) },
	PROPERTY_END,
};

/* Of SmbiosConfig; a type that can be given several times has a function of its own. */
static const struct {
	const char *type;
	const Property *properties;
} tables[] = {
	{ "0", bios_properties },      { "1", system_properties },  { "3", chassis_properties },
	{ "4", processor_properties }, { "17", memory_properties },
};

static bool add_oem_string(SmbiosConfig *config, json_object *options, GError **error)
{
	json_object *value;

	if (json_object_object_length(options) != 2 ||
	    !json_object_object_get_ex(options, "value", &value))
		return error_fail(error, "type 11 takes a value and nothing else");
	if (!config->oem_strings)
		config->oem_strings = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(config->oem_strings, g_strdup(json_object_get_string(value)));
	return true;
}

static bool set_properties(void *object, const Property *properties, const char *type,
			   json_object *options, GError **error)
{
	bool done = true;

	json_object_object_foreach(options, key, value)
	{
		const Property *property = property_find(properties, key);

		if (!done || strcmp(key, "type") == 0)
			continue;
		done = property ? property_set(property, object, value, error)
				: error_fail(error, "type %s has no '%s'", type, key);
	}
	return done;
}

static void board_free(gpointer board)
{
	properties_clear(board_properties, board);
	g_free(board);
}

static bool add_board(SmbiosConfig *config, json_object *options, GError **error)
{
	if (!config->boards)
		config->boards = g_ptr_array_new_with_free_func(board_free);
	g_ptr_array_add(config->boards, g_new0(SmbiosBoard, 1));
	return set_properties(config->boards->pdata[config->boards->len - 1], board_properties, "2",
			      options, error);
}

/* "major.minor", two bytes. */
static bool check_release(const char *release, GError **error)
{
	unsigned major, minor;
	char end;

	if (!release || (sscanf(release, "%3u.%3u%c", &major, &minor, &end) == 2 && major <= 255 &&
			 minor <= 255))
		return true;
	return error_fail(error, "release=%s is not of the form MAJOR.MINOR, each at most 255",
			  release);
}

static bool check_values(const SmbiosConfig *config, GError **error)
{
	const char *uuid = config->system.uuid;

	if (uuid && !g_uuid_string_is_valid(uuid))
		return error_fail(error, "uuid=%s is no UUID", uuid);
	return check_release(config->bios.release, error);
}

bool smbios_config_parse(SmbiosConfig *config, const char *text, GError **error)
{
	g_autoptr(JsonObject) options = options_parse(text, NULL, error);
	json_object *value;
	const char *type;

	if (!options)
		return false;
	if (!json_object_object_get_ex(options, "type", &value))
		return error_fail(error, "needs a type");
	type = json_object_get_string(value);
	if (strcmp(type, "11") == 0)
		return add_oem_string(config, options, error);
	if (strcmp(type, "2") == 0)
		return add_board(config, options, error);
	for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
		if (strcmp(type, tables[i].type) != 0)
			continue;
		config->bios.given |= tables[i].properties == bios_properties;
		return set_properties(config, tables[i].properties, type, options, error) &&
		       check_values(config, error);
	}
	return error_fail(error, "there is no type %s but 0, 1, 2, 3, 4, 11 and 17", type);
}

void smbios_config_clear(SmbiosConfig *config)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++)
		properties_clear(tables[i].properties, config);
	g_clear_pointer(&config->boards, g_ptr_array_unref);
	g_clear_pointer(&config->oem_strings, g_ptr_array_unref);
}
