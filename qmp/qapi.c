/*
 * qapi.c: writes and frees schema types; the types that need no schema
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "qmp/qapi_layout.h"

#define BUILTIN(ID, KIND, TYPE) \
	const QapiType qapi_type_##ID = { .name = #ID, .kind = KIND, .size = sizeof(TYPE) }

BUILTIN(str, QAPI_KIND_STR, char *);
BUILTIN(number, QAPI_KIND_NUMBER, double);
BUILTIN(int, QAPI_KIND_INT, int64_t);
BUILTIN(int8, QAPI_KIND_INT, int8_t);
BUILTIN(int16, QAPI_KIND_INT, int16_t);
BUILTIN(int32, QAPI_KIND_INT, int32_t);
BUILTIN(int64, QAPI_KIND_INT, int64_t);
BUILTIN(uint8, QAPI_KIND_UINT, uint8_t);
BUILTIN(uint16, QAPI_KIND_UINT, uint16_t);
BUILTIN(uint32, QAPI_KIND_UINT, uint32_t);
BUILTIN(uint64, QAPI_KIND_UINT, uint64_t);
BUILTIN(size, QAPI_KIND_SIZE, uint64_t);
BUILTIN(bool, QAPI_KIND_BOOL, bool);
BUILTIN(null, QAPI_KIND_NULL, void *);
BUILTIN(any, QAPI_KIND_ANY, json_object *);

int qapi_enum_find(const QapiType *type, const char *name)
{
	for (uint32_t i = 0; i < type->n_members; i++)
		if (g_str_equal(type->values[i], name))
			return (int)i;
	return -1;
}

const char *qapi_enum_name(const QapiType *type, int value)
{
	return value >= 0 && (uint32_t)value < type->n_members ? type->values[value] : NULL;
}

GPtrArray *qapi_list_new_str(void)
{
	return g_ptr_array_new_with_free_func(g_free);
}

static json_object *format_integer(const QapiType *type, const void *value)
{
	bool is_signed = type->kind == QAPI_KIND_INT;

	switch (type->size) {
	case 1:
		return json_object_new_int64(is_signed ? *(const int8_t *)value
						       : (int64_t) * (const uint8_t *)value);
	case 2:
		return json_object_new_int64(is_signed ? *(const int16_t *)value
						       : (int64_t) * (const uint16_t *)value);
	case 4:
		return json_object_new_int64(is_signed ? *(const int32_t *)value
						       : (int64_t) * (const uint32_t *)value);
	default:
		return is_signed ? json_object_new_int64(*(const int64_t *)value)
				 : json_object_new_uint64(*(const uint64_t *)value);
	}
}

/* A value that lies in its member, array element or alternate itself. */
static json_object *format_in_place(const QapiType *type, const void *value)
{
	double number;
	const char *name;

	switch (type->kind) {
	case QAPI_KIND_NUMBER:
		/* JSON has no infinities. */
		number = *(const double *)value;
		return json_object_new_double(isfinite(number) ? number : 0);
	case QAPI_KIND_BOOL:
		return json_object_new_boolean(*(const bool *)value);
	case QAPI_KIND_ENUM:
		name = qapi_enum_name(type, *(const int *)value);
		g_return_val_if_fail(name != NULL, json_object_new_string(""));
		return json_object_new_string(name);
	default:
		return format_integer(type, value);
	}
}

static json_object *format_slot(const QapiType *type, const void *slot)
{
	const void *pointer;

	if (qapi_is_by_value(type))
		return format_in_place(type, slot);
	if (type->kind == QAPI_KIND_NULL)
		return NULL;
	pointer = *(void *const *)slot;
	if (pointer)
		return qapi_format(type, pointer);
	switch (type->kind) {
	case QAPI_KIND_STR:
		return json_object_new_string("");
	case QAPI_KIND_ARRAY:
		return json_object_new_array();
	case QAPI_KIND_OBJECT:
		return json_object_new_object();
	default:
		return NULL;
	}
}

static void format_members(const QapiType *type, const void *value, json_object *out)
{
	for (uint32_t i = 0; i < type->n_members; i++) {
		const QapiMember *member = &type->members[i];
		const char *slot = (const char *)value + member->offset;
		bool present = true;

		if (member->has_flag)
			present = *((const bool *)value + member->has_offset);
		else if (member->optional)
			present = *(void *const *)slot != NULL;
		if (present)
			json_object_object_add(out, member->name, format_slot(member->type, slot));
	}
}

static json_object *format_array(const QapiType *element, const void *value)
{
	json_object *out = json_object_new_array();

	if (qapi_is_by_value(element)) {
		const GArray *values = value;

		for (guint i = 0; i < values->len; i++)
			json_object_array_add(
				out, format_in_place(element, values->data + i * element->size));
	} else {
		const GPtrArray *pointers = value;

		for (guint i = 0; i < pointers->len; i++)
			json_object_array_add(out, format_slot(element, &pointers->pdata[i]));
	}
	return out;
}

json_object *qapi_format(const QapiType *type, const void *value)
{
	const QapiType *branch;
	json_object *out;

	switch (type->kind) {
	case QAPI_KIND_STR:
		return json_object_new_string(value);
	case QAPI_KIND_ANY:
		return json_object_get((json_object *)value);
	case QAPI_KIND_ARRAY:
		return format_array(type->element, value);
	case QAPI_KIND_ALTERNATE: {
		uint32_t selected = *(const uint32_t *)value;

		g_return_val_if_fail(selected < type->n_members, NULL);
		return format_slot(type->members[selected].type,
				   (const char *)value + type->members[selected].offset);
	}
	case QAPI_KIND_OBJECT:
		out = json_object_new_object();
		format_members(type, value, out);
		branch = qapi_branch_of(type, value);
		if (branch)
			format_members(branch, (const char *)value + type->branch_offset, out);
		return out;
	default:
		g_return_val_if_reached(NULL);
	}
}

static void free_slot(const QapiType *type, void *slot)
{
	if (!qapi_is_by_value(type) && type->kind != QAPI_KIND_NULL)
		qapi_free(type, *(void **)slot);
}

static void free_members(const QapiType *type, void *value)
{
	for (uint32_t i = 0; i < type->n_members; i++)
		free_slot(type->members[i].type, (char *)value + type->members[i].offset);
}

static void free_array(const QapiType *element, void *value)
{
	GPtrArray *pointers = value;

	if (qapi_is_by_value(element)) {
		g_array_unref(value);
		return;
	}
	g_ptr_array_set_free_func(pointers, NULL);
	for (guint i = 0; i < pointers->len; i++)
		qapi_free(element, pointers->pdata[i]);
	g_ptr_array_unref(pointers);
}

void qapi_free(const QapiType *type, void *value)
{
	const QapiType *branch;

	if (!value)
		return;
	switch (type->kind) {
	case QAPI_KIND_STR:
		g_free(value);
		break;
	case QAPI_KIND_ANY:
		json_object_put(value);
		break;
	case QAPI_KIND_ARRAY:
		free_array(type->element, value);
		break;
	case QAPI_KIND_ALTERNATE: {
		const QapiMember *member = &type->members[*(uint32_t *)value];

		free_slot(member->type, (char *)value + member->offset);
		g_free(value);
		break;
	}
	case QAPI_KIND_OBJECT:
		branch = qapi_branch_of(type, value);
		free_members(type, value);
		if (branch)
			free_members(branch, (char *)value + type->branch_offset);
		g_free(value);
		break;
	default:
		g_return_if_reached();
	}
}
