/*
 * property.h: tables of typed options
 *
 * One table per device type (or option group) serves the command line, device_add, "help" and
 * introspection: each entry is a name, a type, a default and a range, and the place in a C
 * structure where the value goes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum PropertyKind {
	PROPERTY_BOOL,	      /* bool */
	PROPERTY_UINT8,	      /* uint8_t */
	PROPERTY_UINT16,      /* uint16_t */
	PROPERTY_UINT32,      /* uint32_t */
	PROPERTY_UINT64,      /* uint64_t */
	PROPERTY_INT32,	      /* int32_t */
	PROPERTY_SIZE,	      /* uint64_t, bytes; takes k, M, G, T suffixes as text */
	PROPERTY_STRING,      /* char *, owned */
	PROPERTY_ENUM,	      /* int, index into enum_names */
	PROPERTY_ON_OFF_AUTO, /* int, an OnOffAuto */
	PROPERTY_MAC,	      /* uint8_t[6], "52:54:00:12:34:56" */
	PROPERTY_PCI_ADDRESS, /* int32_t, device << 3 | function; "3", "3.1", "0x3.0x1" (all hex,
				 as QEMU reads it) or that number; always starts as -1, unset */
	PROPERTY_NODE,	      /* char *: name of a block node */
	PROPERTY_NETDEV,      /* char *: id of a netdev */
	PROPERTY_CHARDEV,     /* char *: id of a chardev */
	PROPERTY_IOTHREAD,    /* char *: id of an iothread object */
	PROPERTY_OBJECT,      /* char *: id of another object */
	PROPERTY_IOTHREAD_MAPPING, /* json_object *, owned: [{"iothread": id, "vqs":
				      [queue...]}...], of which only the shape is checked; NULL:
				      unset */
} PropertyKind;

typedef enum OnOffAuto { ON_OFF_AUTO_AUTO, ON_OFF_AUTO_ON, ON_OFF_AUTO_OFF } OnOffAuto;

typedef struct Property {
	const char *name; /* NULL ends a table */
	PropertyKind kind;
	size_t offset;
	uint64_t initial;	       /* number, size, bool, enum index; INT32 by cast */
	const char *initial_text;      /* PROPERTY_STRING and PROPERTY_MAC; may be NULL */
	uint64_t minimum, maximum;     /* inclusive; both 0: the type's whole range */
	const char *const *enum_names; /* PROPERTY_ENUM, NULL-terminated */
	const char *enum_type;	       /* PROPERTY_ENUM: QEMU's name of the type; NULL: "str" */
	bool power_of_two; /* PROPERTY_UINT*, PROPERTY_SIZE; 0 passes too, if in range */
	bool required;
	const char *description; /* one line, for "help" */
} Property;

#define PROPERTY_END         \
	{                    \
		.name = NULL \
	}

/* Set every property of @table in @object to its default. @object must be zeroed before. */
void properties_init(const Property *table, void *object);

/* Free what properties_init() and property_set() allocated in @object. */
void properties_clear(const Property *table, void *object);

/*
 * Set one property from JSON @value; text is converted where the kind is not text ("on", "off",
 * "0x10", "4k"), as the command line delivers it. False and @error (naming the property) on a
 * wrong type or a value out of range.
 */
bool property_set(const Property *property, void *object, json_object *value, GError **error);

/* The value of one property as JSON, a new reference. */
json_object *property_get(const Property *property, const void *object);

/* Find @name in @table, or NULL. */
const Property *property_find(const Property *table, const char *name);

/* QEMU's name of the type of @property, as device-list-properties says it ("str", "uint16"). */
const char *property_type_name(const Property *property);

/* The default as JSON, a new reference; NULL where there is none (an unset string). */
json_object *property_get_default(const Property *property);

/* Print the line of one property, as properties_print_help() does. */
void property_print_help(const Property *property, FILE *stream);

/* Print @table as "-device X,help" does: one "  name=<type> - description (default: ...)" line. */
void properties_print_help(const Property *table, FILE *stream);
