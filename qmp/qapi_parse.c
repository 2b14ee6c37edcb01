/*
 * qapi_parse.c: reads schema types from JSON
 *
 * The JSON comes from a peer or a user: every member is checked against the description of its
 * type, and what the type does not have is refused by name. The place of a value is kept as a chain
 * of frames on the stack and spelled out only for an error message.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/qapi_layout.h"
#include "qmp/qmp_error.h"

/* The schema has recursive types (a block node over a block node), so depth needs its own limit. */
#define QAPI_DEPTH_MAX 32

/* Where in the value the parser is. */
typedef struct Place {
	const struct Place *parent;
	const char *name; /* NULL for an array element and for the whole value */
	size_t index;
	unsigned depth;
} Place;

typedef struct {
	QapiParseMode mode;
	GError **error;
} Parser;

static bool parse_value(Parser *parser, const Place *place, const QapiType *type, json_object *in,
			void *out);

static void place_append(const Place *place, QapiParseMode mode, GString *out)
{
	if (!place->parent)
		return;
	place_append(place->parent, mode, out);
	if (!place->name) {
		/* As QEMU does: list elements are x.0 in key=value options, x[0] in JSON. */
		g_string_append_printf(out, mode == QAPI_PARSE_KEYVAL ? ".%zu" : "[%zu]",
				       place->index);
		return;
	}
	if (out->len)
		g_string_append_c(out, '.');
	g_string_append(out, place->name);
}

static char *place_name(const Parser *parser, const Place *place)
{
	GString *out = g_string_new(NULL);

	place_append(place, parser->mode, out);
	if (!out->len)
		g_string_append(out, "arguments");
	return g_string_free(out, FALSE);
}

static bool fail_type(const Parser *parser, const Place *place, const char *expected)
{
	g_autofree char *name = place_name(parser, place);

	g_set_error(parser->error, QMP_ERROR, QMP_ERROR_GENERIC,
		    "Invalid parameter type for '%s', expected: %s", name, expected);
	return false;
}

static bool fail_value(const Parser *parser, const Place *place, const char *expected)
{
	g_autofree char *name = place_name(parser, place);

	g_set_error(parser->error, QMP_ERROR, QMP_ERROR_GENERIC, "Parameter '%s' expects %s", name,
		    expected);
	return false;
}

static bool fail_member(const Parser *parser, const Place *place, const char *member,
			const char *what)
{
	const Place at = { .parent = place, .name = member };
	g_autofree char *name = place_name(parser, &at);

	g_set_error(parser->error, QMP_ERROR, QMP_ERROR_GENERIC, "Parameter '%s' %s", name, what);
	return false;
}

/* The text of a JSON string; NULL with an error if it is none or C could not hold it. */
static const char *string_of(const Parser *parser, const Place *place, json_object *in)
{
	const char *text;

	if (!json_object_is_type(in, json_type_string)) {
		fail_type(parser, place, "string");
		return NULL;
	}
	text = json_object_get_string(in);
	if (strlen(text) != (size_t)json_object_get_string_len(in)) {
		fail_value(parser, place, "a string without zero bytes");
		return NULL;
	}
	return text;
}

/* Stores an integer that passed its range check in a member of 1, 2, 4 or 8 bytes. */
static void store_integer(void *out, uint32_t size, uint64_t value)
{
	switch (size) {
	case 1:
		*(uint8_t *)out = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)out = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)out = (uint32_t)value;
		break;
	default:
		*(uint64_t *)out = value;
	}
}

/* A sign and 64 bits, wide enough for every integer JSON text or an option can carry here. */
typedef struct {
	bool negative;
	uint64_t bits; /* two's complement */
} Integer;

static bool integer_fits(Integer value, const QapiType *type)
{
	unsigned bits = type->size * 8;

	if (type->kind == QAPI_KIND_INT) {
		int64_t max = INT64_MAX >> (64 - bits);

		if (value.negative)
			return (int64_t)value.bits >= -max - 1;
		return value.bits <= (uint64_t)max;
	}
	return !value.negative && value.bits <= UINT64_MAX >> (64 - bits);
}

static bool integer_from_json(json_object *in, Integer *out)
{
	int64_t value;

	if (!json_object_is_type(in, json_type_int))
		return false;
	value = json_object_get_int64(in);
	out->negative = value < 0;
	/* Above INT64_MAX get_int64 saturates and get_uint64 has the value. */
	out->bits = value < 0 ? (uint64_t)value : json_object_get_uint64(in);
	return true;
}

static bool integer_from_text(const char *text, Integer *out)
{
	char *end;

	if (!g_ascii_isdigit(text[0]) && text[0] != '-')
		return false;
	errno = 0;
	out->negative = text[0] == '-';
	if (out->negative)
		out->bits = (uint64_t)g_ascii_strtoll(text, &end, 0);
	else
		out->bits = g_ascii_strtoull(text, &end, 0);
	return !errno && end != text && !*end;
}

/* A size as QEMU's options write it: a number, maybe with a fraction, and a suffix of 1024s. */
static bool size_from_text(const char *text, Integer *out)
{
	static const char suffixes[] = "BKMGTPE";
	const char *suffix;
	unsigned shift = 0;
	double fraction;
	char *end;

	if (!g_ascii_isdigit(text[0]))
		return false;
	errno = 0;
	out->negative = false;
	out->bits = g_ascii_strtoull(text, &end, g_ascii_strncasecmp(text, "0x", 2) ? 10 : 16);
	if (errno || end == text)
		return false;
	fraction = 0;
	if (*end == '.' && g_ascii_isdigit(end[1]))
		fraction =
			g_ascii_strtod(end, &end); /* an exponent makes it 1 or more, or is "E" */
	if (*end) {
		suffix = strchr(suffixes, g_ascii_toupper(*end));
		if (!suffix || end[1])
			return false;
		shift = 10 * (unsigned)(suffix - suffixes);
	}
	if (out->bits > UINT64_MAX >> shift || fraction >= 1 || (fraction > 0 && !shift))
		return false;
	out->bits <<= shift;
	out->bits += (uint64_t)ldexp(fraction, (int)shift);
	return true;
}

static bool fail_integer(const Parser *parser, const Place *place, const QapiType *type)
{
	g_autofree char *narrow = NULL;

	if (type->kind == QAPI_KIND_SIZE)
		return fail_value(parser, place, "a size");
	if (type->size == sizeof(uint64_t))
		return fail_value(parser, place, "integer");
	narrow = g_strdup_printf("%s_t", type->name);
	return fail_value(parser, place, narrow);
}

static bool parse_integer(Parser *parser, const Place *place, const QapiType *type, json_object *in,
			  void *out)
{
	Integer value;

	if (parser->mode == QAPI_PARSE_KEYVAL && json_object_is_type(in, json_type_string)) {
		const char *text = string_of(parser, place, in);

		if (!text)
			return false;
		if (type->kind == QAPI_KIND_SIZE ? !size_from_text(text, &value)
						 : !integer_from_text(text, &value))
			return fail_integer(parser, place, type);
	} else if (!integer_from_json(in, &value)) {
		return fail_type(parser, place, "integer");
	}
	if (!integer_fits(value, type))
		return fail_integer(parser, place, type);
	store_integer(out, type->size, value.bits);
	return true;
}

static bool parse_number(Parser *parser, const Place *place, json_object *in, double *out)
{
	if (parser->mode == QAPI_PARSE_KEYVAL && json_object_is_type(in, json_type_string)) {
		const char *text = string_of(parser, place, in);
		char *end;

		if (!text)
			return false;
		*out = g_ascii_strtod(text, &end);
		if (end == text || *end || !isfinite(*out))
			return fail_value(parser, place, "number");
		return true;
	}
	if (!json_object_is_type(in, json_type_int) && !json_object_is_type(in, json_type_double))
		return fail_type(parser, place, "number");
	*out = json_object_get_double(in);
	return true;
}

static bool parse_bool(Parser *parser, const Place *place, json_object *in, bool *out)
{
	static const char *const on[] = { "on", "yes", "true", "y", NULL };
	static const char *const off[] = { "off", "no", "false", "n", NULL };

	if (parser->mode == QAPI_PARSE_KEYVAL && json_object_is_type(in, json_type_string)) {
		const char *text = string_of(parser, place, in);

		if (!text)
			return false;
		*out = g_strv_contains(on, text);
		if (!*out && !g_strv_contains(off, text))
			return fail_value(parser, place, "'on' or 'off'");
		return true;
	}
	if (!json_object_is_type(in, json_type_boolean))
		return fail_type(parser, place, "boolean");
	*out = json_object_get_boolean(in);
	return true;
}

static bool parse_enum(Parser *parser, const Place *place, const QapiType *type, json_object *in,
		       void *out)
{
	const char *text = string_of(parser, place, in);
	g_autofree char *name = NULL;
	int value;

	if (!text)
		return false;
	value = qapi_enum_find(type, text);
	if (value < 0) {
		name = place_name(parser, place);
		g_set_error(parser->error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "Parameter '%s' does not accept value '%s'", name, text);
		return false;
	}
	store_integer(out, type->size, (uint64_t)value);
	return true;
}

static bool parse_members(Parser *parser, const Place *place, const QapiType *type, json_object *in,
			  void *out)
{
	for (uint32_t i = 0; i < type->n_members; i++) {
		const QapiMember *member = &type->members[i];
		const Place at = { .parent = place,
				   .name = member->name,
				   .depth = place->depth + 1 };
		json_object *value;

		if (!json_object_object_get_ex(in, member->name, &value)) {
			if (member->optional)
				continue;
			return fail_member(parser, place, member->name, "is missing");
		}
		if (!parse_value(parser, &at, member->type, value, (char *)out + member->offset))
			return false;
		if (member->has_flag)
			*(bool *)((char *)out + member->has_offset) = true;
	}
	return true;
}

static bool type_has_member(const QapiType *type, const char *name)
{
	for (uint32_t i = 0; i < type->n_members; i++)
		if (g_str_equal(type->members[i].name, name))
			return true;
	return false;
}

/* Parses into the zeroed struct @out, whose members the caller frees if this fails. */
static bool parse_object(Parser *parser, const Place *place, const QapiType *type, json_object *in,
			 void *out)
{
	const QapiType *branch;

	if (!json_object_is_type(in, json_type_object))
		return fail_type(parser, place, "object");
	if (!parse_members(parser, place, type, in, out))
		return false;
	branch = qapi_branch_of(type, out);
	if (branch && !parse_members(parser, place, branch, in, (char *)out + type->branch_offset))
		return false;
	json_object_object_foreach(in, name, value)
	{
		(void)value;
		if (!type_has_member(type, name) && !(branch && type_has_member(branch, name)))
			return fail_member(parser, place, name, "is unexpected");
	}
	return true;
}

/* Whether a JSON value of type @have, in this mode, can be a value of @type. */
static bool kind_accepts(QapiKind kind, enum json_type have)
{
	switch (kind) {
	case QAPI_KIND_STR:
	case QAPI_KIND_ENUM:
		return have == json_type_string;
	case QAPI_KIND_NUMBER:
		return have == json_type_int || have == json_type_double;
	case QAPI_KIND_INT:
	case QAPI_KIND_UINT:
	case QAPI_KIND_SIZE:
		return have == json_type_int;
	case QAPI_KIND_BOOL:
		return have == json_type_boolean;
	case QAPI_KIND_NULL:
		return have == json_type_null;
	case QAPI_KIND_OBJECT:
		return have == json_type_object;
	case QAPI_KIND_ARRAY:
		return have == json_type_array;
	case QAPI_KIND_ANY:
	case QAPI_KIND_ALTERNATE:
		break;
	}
	return true;
}

/* The most integers that a range in an option may stand for. */
#define RANGE_MAX 65536u

static bool is_scalar(QapiKind kind)
{
	return kind == QAPI_KIND_NUMBER || kind == QAPI_KIND_INT || kind == QAPI_KIND_UINT ||
	       kind == QAPI_KIND_SIZE || kind == QAPI_KIND_BOOL;
}

static bool parse_branch(Parser *parser, const Place *place, const QapiType *type, uint32_t branch,
			 json_object *in, void *out)
{
	const QapiMember *member = &type->members[branch];

	*(uint32_t *)out = branch;
	return parse_value(parser, place, member->type, in, (char *)out + member->offset);
}

/* The value's JSON type selects the branch. */
static bool parse_alternate(Parser *parser, const Place *place, const QapiType *type,
			    json_object *in, void *out)
{
	enum json_type have = json_object_get_type(in);
	g_autoptr(GString) expected = NULL;

	for (uint32_t i = 0; i < type->n_members; i++)
		if (kind_accepts(type->members[i].type->kind, have))
			return parse_branch(parser, place, type, i, in, out);
	/* An option's text can also be meant for a boolean or a number. */
	if (parser->mode == QAPI_PARSE_KEYVAL && have == json_type_string) {
		for (uint32_t i = 0; i < type->n_members; i++)
			if (is_scalar(type->members[i].type->kind))
				return parse_branch(parser, place, type, i, in, out);
	}
	expected = g_string_new(NULL);
	for (uint32_t i = 0; i < type->n_members; i++)
		g_string_append_printf(expected, "%s%s", i ? " or " : "", type->members[i].name);
	return fail_type(parser, place, expected->str);
}

/* The integers that "N" or "N-M" stands for, as an array; NULL where @text is neither. */
static json_object *expand_range(const char *text)
{
	json_object *array;
	char *end;
	uint64_t first, last;

	if (!g_ascii_isdigit(*text))
		return NULL;
	first = last = g_ascii_strtoull(text, &end, 10);
	if (*end == '-' && g_ascii_isdigit(end[1]))
		last = g_ascii_strtoull(end + 1, &end, 10);
	if (*end || last < first || last - first >= RANGE_MAX || last > INT64_MAX)
		return NULL;
	array = json_object_new_array();
	for (uint64_t i = first; i <= last; i++)
		json_object_array_add(array, json_object_new_int64((int64_t)i));
	return array;
}

static bool parse_array(Parser *parser, const Place *place, const QapiType *type, json_object *in,
			void *out)
{
	const QapiType *element = type->element;
	bool by_value = qapi_is_by_value(element);
	GPtrArray *pointers = NULL;
	GArray *values = NULL;
	size_t length;

	if (parser->mode == QAPI_PARSE_KEYVAL && json_object_is_type(in, json_type_string) &&
	    (element->kind == QAPI_KIND_INT || element->kind == QAPI_KIND_UINT)) {
		json_object *expanded = expand_range(json_object_get_string(in));
		bool done = expanded && parse_array(parser, place, type, expanded, out);

		json_object_put(expanded);
		return expanded ? done : fail_value(parser, place, "a number or a range N-M");
	}
	if (!json_object_is_type(in, json_type_array))
		return fail_type(parser, place, "array");
	length = json_object_array_length(in);
	/* The array is the caller's from the start: it frees what was parsed if this fails. */
	if (by_value)
		*(GArray **)out = values = g_array_new(FALSE, TRUE, element->size);
	else
		*(GPtrArray **)out = pointers = g_ptr_array_new();
	for (size_t i = 0; i < length; i++) {
		const Place at = { .parent = place, .index = i, .depth = place->depth + 1 };
		json_object *item = json_object_array_get_idx(in, i);
		uint64_t scalar = 0;
		void *pointer = NULL;
		bool ok = parse_value(parser, &at, element, item,
				      by_value ? (void *)&scalar : (void *)&pointer);

		if (by_value && ok)
			g_array_append_vals(values, &scalar, 1);
		else if (pointer)
			g_ptr_array_add(pointers, pointer);
		if (!ok)
			return false;
	}
	return true;
}

static bool parse_value(Parser *parser, const Place *place, const QapiType *type, json_object *in,
			void *out)
{
	const char *text;

	if (place->depth > QAPI_DEPTH_MAX)
		return fail_value(parser, place, "less deep nesting");
	switch (type->kind) {
	case QAPI_KIND_STR:
		text = string_of(parser, place, in);
		*(char **)out = g_strdup(text);
		return text != NULL;
	case QAPI_KIND_NUMBER:
		return parse_number(parser, place, in, out);
	case QAPI_KIND_INT:
	case QAPI_KIND_UINT:
	case QAPI_KIND_SIZE:
		return parse_integer(parser, place, type, in, out);
	case QAPI_KIND_BOOL:
		return parse_bool(parser, place, in, out);
	case QAPI_KIND_NULL:
		return json_object_is_type(in, json_type_null) || fail_type(parser, place, "null");
	case QAPI_KIND_ANY:
		*(json_object **)out = json_object_get(in);
		return true;
	case QAPI_KIND_ENUM:
		return parse_enum(parser, place, type, in, out);
	case QAPI_KIND_OBJECT:
		*(void **)out = g_malloc0(type->size);
		return parse_object(parser, place, type, in, *(void **)out);
	case QAPI_KIND_ALTERNATE:
		*(void **)out = g_malloc0(type->size);
		return parse_alternate(parser, place, type, in, *(void **)out);
	case QAPI_KIND_ARRAY:
		return parse_array(parser, place, type, in, out);
	}
	return fail_type(parser, place, "a known type");
}

void *qapi_parse(const QapiType *type, json_object *in, QapiParseMode mode, GError **error)
{
	const Place whole = { 0 };
	Parser parser = { .mode = mode, .error = error };
	void *value = NULL;

	if (parse_value(&parser, &whole, type, in, &value))
		return value;
	qapi_free(type, value);
	return NULL;
}
