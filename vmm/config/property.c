/*
 * property.c: tables of typed options
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/property.h"
#include "vmm/base/error.h"
#include "vmm/config/options.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAC_SIZE 6

static const char *const on_off_auto_names[] = { "auto", "on", "off", NULL };

typedef struct PropertyKindInfo {
	const char *type_name; /* QEMU's */
	uint64_t maximum;      /* of unsigned kinds; 0 for the others */
	uint8_t size;	       /* bytes, of unsigned kinds */
	bool is_string;	       /* char *, owned */
} PropertyKindInfo;

static const PropertyKindInfo kinds[] = {
	[PROPERTY_BOOL] = { "bool", 0, 0, false },
	[PROPERTY_UINT8] = { "uint8", UINT8_MAX, 1, false },
	[PROPERTY_UINT16] = { "uint16", UINT16_MAX, 2, false },
	[PROPERTY_UINT32] = { "uint32", UINT32_MAX, 4, false },
	[PROPERTY_UINT64] = { "uint64", UINT64_MAX, 8, false },
	[PROPERTY_INT32] = { "int32", 0, 0, false },
	[PROPERTY_SIZE] = { "size", UINT64_MAX, 8, false },
	[PROPERTY_STRING] = { "str", 0, 0, true },
	[PROPERTY_ENUM] = { "str", 0, 0, false },
	[PROPERTY_ON_OFF_AUTO] = { "OnOffAuto", 0, 0, false },
	[PROPERTY_MAC] = { "str", 0, 0, false },
	[PROPERTY_PCI_ADDRESS] = { "int32", 0, 0, false },
	[PROPERTY_NODE] = { "str", 0, 0, true },
	[PROPERTY_NETDEV] = { "str", 0, 0, true },
	[PROPERTY_CHARDEV] = { "str", 0, 0, true },
	[PROPERTY_IOTHREAD] = { "link<iothread>", 0, 0, true },
	[PROPERTY_OBJECT] = { "str", 0, 0, true },
	[PROPERTY_IOTHREAD_MAPPING] = { "IOThreadVirtQueueMappingList", 0, 0, false },
};

static void *field_of(const Property *property, const void *object)
{
	return (uint8_t *)object + property->offset;
}

static void store_unsigned(const Property *property, void *object, uint64_t value)
{
	void *field = field_of(property, object);

	switch (kinds[property->kind].size) {
	case 1:
		*(uint8_t *)field = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)field = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)field = (uint32_t)value;
		break;
	case 8:
		*(uint64_t *)field = value;
		break;
	}
}

static uint64_t load_unsigned(const Property *property, const void *object)
{
	const void *field = field_of(property, object);

	switch (kinds[property->kind].size) {
	case 1:
		return *(const uint8_t *)field;
	case 2:
		return *(const uint16_t *)field;
	case 4:
		return *(const uint32_t *)field;
	default:
		return *(const uint64_t *)field;
	}
}

static bool mac_parse(const char *text, uint8_t mac[MAC_SIZE])
{
	for (unsigned i = 0; i < MAC_SIZE; i++, text += 3) {
		int high = g_ascii_xdigit_value(text[0]);
		int low = high < 0 ? -1 : g_ascii_xdigit_value(text[1]);
		char end = low < 0 ? '\0' : text[2];

		if (low < 0 || (i < MAC_SIZE - 1 ? end != ':' && end != '-' : end != '\0'))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void properties_init(const Property *table, void *object)
{
	for (const Property *property = table; property->name; property++) {
		void *field = field_of(property, object);

		switch (property->kind) {
		case PROPERTY_BOOL:
			*(bool *)field = property->initial != 0;
			break;
		case PROPERTY_INT32:
			*(int32_t *)field = (int32_t)property->initial;
			break;
		case PROPERTY_ENUM:
		case PROPERTY_ON_OFF_AUTO:
			*(int *)field = (int)property->initial;
			break;
		case PROPERTY_PCI_ADDRESS:
			*(int32_t *)field = -1;
			break;
		case PROPERTY_MAC:
			if (property->initial_text)
				mac_parse(property->initial_text, field);
			break;
		case PROPERTY_IOTHREAD_MAPPING:
			break;
		default:
			if (kinds[property->kind].is_string)
				*(char **)field = g_strdup(property->initial_text);
			else
				store_unsigned(property, object, property->initial);
		}
	}
}

void properties_clear(const Property *table, void *object)
{
	for (const Property *property = table; property->name; property++) {
		if (kinds[property->kind].is_string)
			g_clear_pointer((char **)field_of(property, object), g_free);
		if (property->kind == PROPERTY_IOTHREAD_MAPPING)
			g_clear_pointer((json_object **)field_of(property, object),
					json_object_put);
	}
}

/* @value as text without NUL bytes in it, or NULL if it is not that. Borrowed. */
static const char *text_of(json_object *value)
{
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

static bool fail_type(const Property *property, const char *expected, GError **error)
{
	return error_fail(error, "property '%s' expects %s", property->name, expected);
}

static bool set_bool(const Property *property, void *field, json_object *value, GError **error)
{
	static const char *const names[] = { "off",  "on", "no", "yes", "false",
					     "true", "n",  "y",	 NULL };
	const char *text = text_of(value);

	if (json_object_is_type(value, json_type_boolean)) {
		*(bool *)field = json_object_get_boolean(value);
		return true;
	}
	for (unsigned i = 0; text && names[i]; i++) {
		if (strcmp(text, names[i]) == 0) {
			*(bool *)field = i & 1;
			return true;
		}
	}
	return fail_type(property, "'on' or 'off'", error);
}

static bool set_unsigned(const Property *property, void *object, json_object *value, GError **error)
{
	bool has_range = property->minimum || property->maximum;
	uint64_t maximum = has_range ? property->maximum : kinds[property->kind].maximum;
	const char *text = text_of(value);
	uint64_t number;

	if (json_object_is_type(value, json_type_int)) {
		number = json_object_get_uint64(value);
		if (json_object_get_int64(value) < 0)
			return fail_type(property, "a number of 0 or more", error);
	} else if (!text) {
		return fail_type(property, "a number", error);
	} else if (property->kind == PROPERTY_SIZE) {
		g_autoptr(GError) cause = NULL;

		if (!options_parse_size(text, 'B', &number, &cause))
			return error_fail(error, "property '%s': %s", property->name,
					  cause->message);
	} else {
		char *end;

		if (!g_ascii_isdigit(*text))
			return fail_type(property, "a number", error);
		errno = 0;
		number = g_ascii_strtoull(text, &end, 0);
		if (*end || errno)
			return fail_type(property, "a number", error);
	}
	if (number < property->minimum || number > maximum)
		return error_fail(error,
				  "property '%s' is %" PRIu64 ", outside its range of %" PRIu64
				  " to %" PRIu64,
				  property->name, number, property->minimum, maximum);
	if (property->power_of_two && (number & (number - 1)) != 0)
		return fail_type(property, "a power of two", error);
	store_unsigned(property, object, number);
	return true;
}

static bool set_int32(const Property *property, void *field, json_object *value, GError **error)
{
	bool has_range = property->minimum || property->maximum;
	int64_t minimum = has_range ? (int32_t)property->minimum : INT32_MIN;
	int64_t maximum = has_range ? (int32_t)property->maximum : INT32_MAX;
	const char *text = text_of(value);
	int64_t number;

	if (json_object_is_type(value, json_type_int)) {
		number = json_object_get_int64(value);
	} else {
		char *end;

		if (!text || !(g_ascii_isdigit(text[*text == '-'])))
			return fail_type(property, "a number", error);
		errno = 0;
		number = g_ascii_strtoll(text, &end, 0);
		if (*end || errno)
			return fail_type(property, "a number", error);
	}
	if (number < minimum || number > maximum)
		return error_fail(error,
				  "property '%s' is %" PRId64 ", outside its range of %" PRId64
				  " to %" PRId64,
				  property->name, number, minimum, maximum);
	*(int32_t *)field = (int32_t)number;
	return true;
}

static bool set_enum(const Property *property, const char *const *names, void *field,
		     json_object *value, GError **error)
{
	const char *text = text_of(value);
	g_autofree char *expected = NULL;

	for (int i = 0; text && names[i]; i++) {
		if (strcmp(text, names[i]) == 0) {
			*(int *)field = i;
			return true;
		}
	}
	expected = g_strjoinv(", ", (char **)names);
	return error_fail(error, "property '%s' expects one of %s", property->name, expected);
}

static bool set_pci_address(const Property *property, void *field, json_object *value,
			    GError **error)
{
	const char *text = text_of(value);
	uint64_t device, function = 0;
	char *end;

	if (json_object_is_type(value, json_type_int)) {
		int64_t number = json_object_get_int64(value);

		if (number < -1 || number > 0xff)
			return fail_type(property, "a PCI address, as in \"3\" or \"3.1\"", error);
		*(int32_t *)field = (int32_t)number;
		return true;
	}
	if (!text || !g_ascii_isxdigit(*text))
		return fail_type(property, "a PCI address, as in \"3\" or \"3.1\"", error);
	device = g_ascii_strtoull(text, &end, 16);
	if (*end == '.' && g_ascii_isxdigit(end[1]))
		function = g_ascii_strtoull(end + 1, &end, 16);
	if (*end || device > 0x1f || function > 7)
		return error_fail(error,
				  "property '%s': '%s' is not a PCI address (0 to 1f, .0 to .7)",
				  property->name, text);
	*(int32_t *)field = (int32_t)(device << 3 | function);
	return true;
}

static bool set_string(const Property *property, char **field, json_object *value, GError **error)
{
	const char *text = text_of(value);

	if (!text)
		return fail_type(property, "a string", error);
	if (property->kind != PROPERTY_STRING && !*text)
		return fail_type(property, "a name", error);
	g_free(*field);
	*field = g_strdup(text);
	return true;
}

static bool is_queue_list(json_object *value)
{
	if (!json_object_is_type(value, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		json_object *queue = json_object_array_get_idx(value, i);

		if (!json_object_is_type(queue, json_type_int) ||
		    json_object_get_int64(queue) < 0 || json_object_get_int64(queue) > UINT16_MAX)
			return false;
	}
	return true;
}

static bool is_iothread_mapping(json_object *value)
{
	if (!json_object_is_type(value, json_type_array) || json_object_array_length(value) == 0)
		return false;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		json_object *entry = json_object_array_get_idx(value, i);
		json_object *iothread, *queues;
		bool has_queues;

		if (!json_object_is_type(entry, json_type_object) ||
		    !json_object_object_get_ex(entry, "iothread", &iothread) || !text_of(iothread))
			return false;
		has_queues = json_object_object_get_ex(entry, "vqs", &queues);
		if (json_object_object_length(entry) != 1 + has_queues ||
		    (has_queues && !is_queue_list(queues)))
			return false;
	}
	return true;
}

static bool set_iothread_mapping(const Property *property, void *field, json_object *value,
				 GError **error)
{
	if (!is_iothread_mapping(value))
		return fail_type(property,
				 "a list of objects with 'iothread' and maybe 'vqs', as JSON",
				 error);
	json_object_put(*(json_object **)field);
	*(json_object **)field = json_object_get(value);
	return true;
}

bool property_set(const Property *property, void *object, json_object *value, GError **error)
{
	void *field = field_of(property, object);
	uint8_t mac[MAC_SIZE];

	switch (property->kind) {
	case PROPERTY_BOOL:
		return set_bool(property, field, value, error);
	case PROPERTY_UINT8:
	case PROPERTY_UINT16:
	case PROPERTY_UINT32:
	case PROPERTY_UINT64:
	case PROPERTY_SIZE:
		return set_unsigned(property, object, value, error);
	case PROPERTY_INT32:
		return set_int32(property, field, value, error);
	case PROPERTY_ENUM:
		return set_enum(property, property->enum_names, field, value, error);
	case PROPERTY_ON_OFF_AUTO:
		return set_enum(property, on_off_auto_names, field, value, error);
	case PROPERTY_MAC:
		if (!text_of(value) || !mac_parse(text_of(value), mac))
			return fail_type(property, "a MAC address, as in \"52:54:00:12:34:56\"",
					 error);
		memcpy(field, mac, sizeof(mac));
		return true;
	case PROPERTY_PCI_ADDRESS:
		return set_pci_address(property, field, value, error);
	case PROPERTY_STRING:
	case PROPERTY_NODE:
	case PROPERTY_NETDEV:
	case PROPERTY_CHARDEV:
	case PROPERTY_IOTHREAD:
	case PROPERTY_OBJECT:
		return set_string(property, field, value, error);
	case PROPERTY_IOTHREAD_MAPPING:
		return set_iothread_mapping(property, field, value, error);
	}
	g_return_val_if_reached(false);
}

static json_object *mac_to_json(const uint8_t *mac)
{
	char text[MAC_SIZE * 3];

	g_snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		   mac[3], mac[4], mac[5]);
	return json_object_new_string(text);
}

json_object *property_get(const Property *property, const void *object)
{
	const void *field = field_of(property, object);
	const char *text;

	switch (property->kind) {
	case PROPERTY_BOOL:
		return json_object_new_boolean(*(const bool *)field);
	case PROPERTY_INT32:
	case PROPERTY_PCI_ADDRESS:
		return json_object_new_int(*(const int32_t *)field);
	case PROPERTY_ENUM:
		return json_object_new_string(property->enum_names[*(const int *)field]);
	case PROPERTY_ON_OFF_AUTO:
		return json_object_new_string(on_off_auto_names[*(const int *)field]);
	case PROPERTY_MAC:
		return mac_to_json(field);
	case PROPERTY_IOTHREAD_MAPPING:
		return *(json_object *const *)field ? json_object_get(*(json_object *const *)field)
						    : json_object_new_array();
	default:
		if (!kinds[property->kind].is_string)
			return json_object_new_uint64(load_unsigned(property, object));
		text = *(char *const *)field;
		return json_object_new_string(text ? text : "");
	}
}

json_object *property_get_default(const Property *property)
{
	switch (property->kind) {
	case PROPERTY_BOOL:
		return json_object_new_boolean(property->initial != 0);
	case PROPERTY_INT32:
		return json_object_new_int((int32_t)property->initial);
	case PROPERTY_PCI_ADDRESS:
		return json_object_new_int(-1);
	case PROPERTY_ENUM:
		return json_object_new_string(property->enum_names[property->initial]);
	case PROPERTY_ON_OFF_AUTO:
		return json_object_new_string(on_off_auto_names[property->initial]);
	default:
		if (kinds[property->kind].size)
			return json_object_new_uint64(property->initial);
		return property->initial_text ? json_object_new_string(property->initial_text)
					      : NULL;
	}
}

const Property *property_find(const Property *table, const char *name)
{
	for (const Property *property = table; property->name; property++) {
		if (strcmp(property->name, name) == 0)
			return property;
	}
	return NULL;
}

const char *property_type_name(const Property *property)
{
	if (property->kind == PROPERTY_ENUM && property->enum_type)
		return property->enum_type;
	return kinds[property->kind].type_name;
}

/* @number as an option has it: sizes in the largest unit that they are a multiple of. */
static char *number_text(const Property *property, uint64_t number)
{
	static const char units[] = "KMGTPE";
	int unit = -1;

	if (property->kind == PROPERTY_INT32)
		return g_strdup_printf("%d", (int32_t)number);
	while (property->kind == PROPERTY_SIZE && number && number % 1024 == 0) {
		number /= 1024;
		unit++;
	}
	return unit < 0 ? g_strdup_printf("%" PRIu64, number)
			: g_strdup_printf("%" PRIu64 "%c", number, units[unit]);
}

/* What there is to choose from, or NULL where the type says it all. */
static char *values_text(const Property *property)
{
	g_autofree char *least = NULL, *most = NULL;

	if (property->kind == PROPERTY_ENUM)
		return g_strjoinv("|", (char **)property->enum_names);
	if (property->kind == PROPERTY_ON_OFF_AUTO)
		return g_strjoinv("|", (char **)on_off_auto_names);
	if ((!kinds[property->kind].size && property->kind != PROPERTY_INT32) ||
	    (!property->minimum &&
	     (!property->maximum || property->maximum == kinds[property->kind].maximum)))
		return NULL;
	least = number_text(property, property->minimum);
	most = number_text(property, property->maximum);
	return g_strdup_printf("%s to %s", least, most);
}

static char *default_text(const Property *property)
{
	json_object *initial = property_get_default(property);
	char *text = NULL;

	/* A description may say it in words, as where the default is derived from something. */
	if (initial && property->kind != PROPERTY_PCI_ADDRESS &&
	    !(property->description && strstr(property->description, "(default")))
		text = property->kind == PROPERTY_SIZE
			       ? number_text(property, property->initial)
			       : g_strdup(json_object_get_string(initial));
	json_object_put(initial);
	return text;
}

void property_print_help(const Property *property, FILE *stream)
{
	g_autofree char *item =
		g_strdup_printf("%s=<%s>", property->name, property_type_name(property));
	g_autofree char *values = values_text(property);
	g_autofree char *initial = property->required ? NULL : default_text(property);

	fprintf(stream, "  %-22s - %s", item,
		property->description ? property->description : property_type_name(property));
	if (values || initial || property->required)
		fprintf(stream, " (%s%s%s%s)", values ? values : "",
			values && (initial || property->required) ? ", " : "",
			property->required ? "required"
			: initial	   ? "default: "
					   : "",
			initial ? initial : "");
	fputc('\n', stream);
}

void properties_print_help(const Property *table, FILE *stream)
{
	for (const Property *property = table; property->name; property++)
		property_print_help(property, stream);
}
