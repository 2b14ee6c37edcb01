/*
 * state.c: the saved state of a device, described by a table of its fields
 *
 * A load walks tables and stream together twice: the first walk only checks, the second stores.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/device/state.h"
#include "vmm/base/error.h"

#include <string.h>

/* A walk over a stream; @left bytes from @at belong to the section being read. */
typedef struct StateReader {
	const uint8_t *at;
	size_t left;
	bool store; /* second walk */
} StateReader;

static size_t element_size(const StateField *field)
{
	switch (field->kind) {
	case STATE_BOOL:
		return sizeof(bool);
	case STATE_UINT8:
		return 1;
	case STATE_UINT16:
		return 2;
	case STATE_UINT32:
		return 4;
	case STATE_UINT64:
	case STATE_INT64:
		return 8;
	case STATE_BYTES:
	case STATE_STRUCT:
		return field->element_size;
	case STATE_BLOB:
		return sizeof(GByteArray *);
	}
	g_return_val_if_reached(0);
}

static bool count_is_in_stream(const StateField *field)
{
	return field->is_pointer || field->has_count_offset;
}

/* Where @field's elements are in @object, and how many. */
static uint8_t *field_elements(const StateField *field, void *object, uint32_t *count)
{
	uint8_t *place = (uint8_t *)object + field->offset;

	*count = field->count ? field->count : 1;
	if (field->has_count_offset) {
		memcpy(count, (uint8_t *)object + field->count_offset, sizeof(*count));
		if (field->count && *count > field->count)
			*count = field->count;
	}
	if (field->is_pointer) {
		place = *(uint8_t **)(void *)place;
		if (!place)
			*count = 0;
	}
	return place;
}

static void append_number(GByteArray *stream, uint64_t value, size_t size)
{
	uint64_t big_endian = GUINT64_TO_BE(value);

	g_byte_array_append(stream, (const uint8_t *)&big_endian + sizeof(big_endian) - size,
			    (guint)size);
}

/* The number of @size bytes at @element, in this machine's byte order. */
static uint64_t element_load(const uint8_t *element, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, element, size);
	return value;
}

static void save_blob(const GByteArray *bytes, GByteArray *stream)
{
	append_number(stream, bytes->len, 4);
	g_byte_array_append(stream, bytes->data, bytes->len);
}

static void save_element(const StateField *field, uint8_t *element, GByteArray *stream)
{
	switch (field->kind) {
	case STATE_BYTES:
		g_byte_array_append(stream, element, (guint)field->element_size);
		break;
	case STATE_STRUCT:
		state_save(field->sub_table, element, stream);
		break;
	case STATE_BLOB:
		save_blob(*(GByteArray **)(void *)element, stream);
		break;
	default:
		append_number(stream, element_load(element, element_size(field)),
			      element_size(field));
	}
}

void state_save(const StateTable *table, void *object, GByteArray *stream)
{
	guint length_at;
	uint32_t length;

	if (table->before_save)
		table->before_save(object);
	append_number(stream, strlen(table->name), 1);
	g_byte_array_append(stream, (const uint8_t *)table->name, (guint)strlen(table->name));
	append_number(stream, table->version, 4);
	length_at = stream->len;
	append_number(stream, 0, 4);
	for (const StateField *field = table->fields; field->name; field++) {
		uint32_t count;
		uint8_t *elements = field_elements(field, object, &count);

		if (count_is_in_stream(field))
			append_number(stream, count, 4);
		for (uint32_t i = 0; i < count; i++)
			save_element(field, elements + i * element_size(field), stream);
	}
	length = GUINT32_TO_BE(stream->len - length_at - 4);
	memcpy(stream->data + length_at, &length, sizeof(length));
}

/* Take @size bytes off the section; NULL when it has fewer left. */
static const uint8_t *take_bytes(StateReader *reader, size_t size)
{
	const uint8_t *taken = reader->at;

	if (size > reader->left)
		return NULL;
	reader->at += size;
	reader->left -= size;
	return taken;
}

/* Take a big-endian number of @size bytes. */
static bool take_number(StateReader *reader, size_t size, uint64_t *value)
{
	const uint8_t *bytes = take_bytes(reader, size);

	*value = 0;
	for (size_t i = 0; bytes && i < size; i++)
		*value = *value << 8 | bytes[i];
	return bytes != NULL;
}

static bool read_section(const StateTable *table, void *object, StateReader *reader,
			 GError **error);

static bool read_blob(GByteArray *bytes, StateReader *reader)
{
	const uint8_t *taken;
	uint64_t size;

	if (!take_number(reader, 4, &size) || !(taken = take_bytes(reader, size)))
		return false;
	if (reader->store) {
		g_byte_array_set_size(bytes, 0);
		g_byte_array_append(bytes, taken, (guint)size);
	}
	return true;
}

static bool read_element(const StateTable *table, const StateField *field, uint8_t *element,
			 StateReader *reader, GError **error)
{
	size_t size = element_size(field);
	const uint8_t *bytes;
	uint64_t value;

	if (field->kind == STATE_STRUCT)
		return read_section(field->sub_table, element, reader, error);
	if (field->kind == STATE_BLOB) {
		if (read_blob(*(GByteArray **)(void *)element, reader))
			return true;
	} else if (field->kind == STATE_BYTES) {
		bytes = take_bytes(reader, size);
		if (bytes && reader->store)
			memcpy(element, bytes, size);
		if (bytes)
			return true;
	} else if (take_number(reader, size, &value)) {
		if (field->kind == STATE_BOOL && value > 1)
			return error_fail(error, "state section '%s': field '%s' is no boolean",
					  table->name, field->name);
		if (reader->store)
			memcpy(element, &value, size);
		return true;
	}
	return error_fail(error, "state section '%s' ends in field '%s'", table->name, field->name);
}

static bool read_field(const StateTable *table, const StateField *field, void *object,
		       StateReader *reader, GError **error)
{
	uint32_t count;
	uint8_t *elements = field_elements(field, object, &count);
	uint64_t stream_count = count;

	if (count_is_in_stream(field) && !take_number(reader, 4, &stream_count))
		return error_fail(error, "state section '%s' ends in field '%s'", table->name,
				  field->name);
	if (stream_count != count)
		return error_fail(error,
				  "state section '%s': field '%s' has %" G_GUINT64_FORMAT
				  " elements, this device has %u",
				  table->name, field->name, stream_count, count);
	for (uint32_t i = 0; i < count; i++) {
		if (!read_element(table, field, elements + i * element_size(field), reader, error))
			return false;
	}
	return true;
}

/* Read the section of @table from the head of @reader. */
static bool read_section(const StateTable *table, void *object, StateReader *reader, GError **error)
{
	size_t name_length = strlen(table->name);
	uint64_t stream_name_length, version, length;
	const uint8_t *name = NULL;
	StateReader section;

	if (take_number(reader, 1, &stream_name_length))
		name = take_bytes(reader, stream_name_length);
	if (!name || stream_name_length != name_length ||
	    memcmp(name, table->name, name_length) != 0)
		return error_fail(error, "state section '%s' is not where it should be",
				  table->name);
	if (!take_number(reader, 4, &version) || !take_number(reader, 4, &length) ||
	    length > reader->left)
		return error_fail(error, "state section '%s' is cut off", table->name);
	if (version < table->minimum_version || version > table->version)
		return error_fail(error,
				  "state section '%s' has version %" G_GUINT64_FORMAT
				  ", known are %u to %u",
				  table->name, version, table->minimum_version, table->version);
	section = (StateReader){ .left = length, .store = reader->store };
	section.at = take_bytes(reader, length);
	if (!section.store && table->before_load)
		table->before_load(object);
	for (const StateField *field = table->fields; field->name; field++) {
		if (field->since_version <= version &&
		    !read_field(table, field, object, &section, error))
			return false;
	}
	if (section.left > 0)
		return error_fail(error, "state section '%s' has %zu bytes too many", table->name,
				  section.left);
	return !section.store || !table->after_load || table->after_load(object, error);
}

bool state_load(const StateTable *table, void *object, const uint8_t *data, size_t size,
		size_t *used, GError **error)
{
	StateReader check = { .at = data, .left = size };
	StateReader store = { .at = data, .left = size, .store = true };

	if (!read_section(table, object, &check, error) ||
	    !read_section(table, object, &store, error))
		return false;
	*used = size - store.left;
	return true;
}
