/*
 * state.h: the saved state of a device, described by a table of its fields
 *
 * A table lists the fields of a C structure that make up guest-visible state; saving, loading and
 * comparing go by the table alone. In the stream each table is a section: its name, its version,
 * the byte length, then the fields in order, big-endian. Loading checks all of these before it
 * touches the object; a stream is foreign bytes.
 *
 * The layout: 1 byte length of the name, the name, 4 bytes version, 4 bytes length of what
 * follows. A field is its elements; one behind a pointer or with a run-time count has 4 bytes of
 * count before them. Element counts are configuration, not state: a stream must have those of the
 * object it is loaded into (what a guest can vary, such as the fill of a FIFO, is a number beside
 * an array of fixed size, or in bytes of which there are as many as 4 bytes before them say). A
 * NULL pointer has no elements.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StateTable StateTable;

typedef enum StateFieldKind {
	STATE_BOOL,
	STATE_UINT8,
	STATE_UINT16,
	STATE_UINT32,
	STATE_UINT64,
	STATE_INT64,
	STATE_BYTES,  /* element_size bytes */
	STATE_STRUCT, /* described by sub_table */
	STATE_BLOB,   /* GByteArray *: as many bytes as there are, to be looked through after_load */
} StateFieldKind;

typedef struct StateField {
	const char *name; /* NULL ends the list */
	StateFieldKind kind;
	size_t offset;	     /* in the structure */
	size_t element_size; /* bytes: STATE_BYTES and STATE_STRUCT */
	uint32_t count;	     /* array elements; 0 means one */
	bool is_pointer;     /* the structure holds a pointer to the elements, or NULL */
	/* Array with a run-time count: offset of a uint32_t; an inline one has @count at most. */
	bool has_count_offset;
	size_t count_offset;
	const StateTable *sub_table;
	uint32_t since_version; /* absent from older streams, which leave the field alone */
} StateField;

/*
 * The usual fields of structure @type: one element, an array inside it, bytes (any array or
 * structure without padding that is the same on every host), and a structure with its own table.
 */
#define STATE_FIELD(type, member, field_kind)                                                      \
	{                                                                                          \
		.name = #member, .kind = (field_kind), .offset = offsetof(type, member)            \
	}
#define STATE_ARRAY(type, member, field_kind)                                                      \
	{                                                                                          \
		.name = #member, .kind = (field_kind), .offset = offsetof(type, member),           \
		.count = G_N_ELEMENTS(((type *)0)->member)                                         \
	}
#define STATE_RAW(type, member)                                                                    \
	{                                                                                          \
		.name = #member, .kind = STATE_BYTES, .offset = offsetof(type, member),            \
		.element_size = sizeof(((type *)0)->member)                                        \
	}
#define STATE_PART(type, member, table)                                                            \
	{                                                                                          \
		.name = #member, .kind = STATE_STRUCT, .offset = offsetof(type, member),           \
		.element_size = sizeof(((type *)0)->member), .sub_table = (table)                  \
	}
/* What a guest makes as much of as it likes, up to limits that after_load checks. */
#define STATE_BYTE_ARRAY(type, member)                                                             \
	{                                                                                          \
		.name = #member, .kind = STATE_BLOB, .offset = offsetof(type, member)              \
	}
#define STATE_END                                                                                  \
	{                                                                                          \
		.name = NULL                                                                       \
	}

struct StateTable {
	const char *name;
	uint32_t version;
	uint32_t minimum_version; /* oldest that can still be loaded */
	const StateField *fields;
	/* Bring fields up to date before saving; may be NULL. */
	void (*before_save)(void *object);
	/* Make room for fields behind pointers before anything is checked; may be NULL. */
	void (*before_load)(void *object);
	/*
	 * Check and apply what was loaded, inner tables first; false and @error refuses the stream,
	 * and the object must then be reset before it is used. May be NULL.
	 */
	bool (*after_load)(void *object, GError **error);
};

/* Append @object, as @table describes it, to @stream. The device is quiescent. */
void state_save(const StateTable *table, void *object, GByteArray *stream);

/*
 * Load @object from @data of @size bytes; *@used is how many of them were taken. False and
 * @error, naming the section and field, on anything that does not fit.
 */
bool state_load(const StateTable *table, void *object, const uint8_t *data, size_t size,
		size_t *used, GError **error);
