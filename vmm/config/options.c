/*
 * options.c: QEMU's option grammar
 *
 * Items are put into nested objects first, list indices as keys like any other; once all are
 * there, an object whose keys are indices becomes an array, which needs them to be 0 to n-1.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/options.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"

#include <errno.h>
#include <string.h>

/* Nesting of dotted keys and of JSON: deeper than any option of the schema. */
#define MAXIMUM_DEPTH	   32
#define MAXIMUM_KEY_LENGTH 255

static bool is_index(const char *part)
{
	return part[strspn(part, "0123456789")] == '\0' && (part[0] != '0' || part[1] == '\0');
}

/* Check every part of the dotted @key. */
static bool key_check(const char *key, GError **error)
{
	unsigned depth = 1;
	bool part_is_empty = true;

	if (strlen(key) > MAXIMUM_KEY_LENGTH)
		return error_fail(error, "option name '%.40s...' is too long", key);
	for (const char *at = key; *at; at++) {
		if (*at == '.') {
			if (part_is_empty)
				break;
			part_is_empty = true;
			if (++depth > MAXIMUM_DEPTH)
				return error_fail(error,
						  "option name '%.40s...' is nested too deep", key);
		} else if (g_ascii_isalnum(*at) || *at == '-' || *at == '_') {
			part_is_empty = false;
		} else {
			return error_fail(error, "invalid option name '%s'", key);
		}
	}
	if (part_is_empty)
		return error_fail(error, "invalid option name '%s'", key);
	return true;
}

/* Put @value under the dotted @key of @root. */
static bool put_value(json_object *root, const char *key, const char *value, GError **error)
{
	g_auto(GStrv) parts = NULL;
	json_object *at = root, *child;
	char **part;

	if (!key_check(key, error))
		return false;
	parts = g_strsplit(key, ".", -1);
	for (part = parts; part[1]; part++) {
		if (!json_object_object_get_ex(at, *part, &child)) {
			child = json_object_new_object();
			json_object_object_add(at, *part, child);
		} else if (!json_object_is_type(child, json_type_object)) {
			return error_fail(error, "options '%s' and a part of it are both given",
					  key);
		}
		at = child;
	}
	if (json_object_object_get_ex(at, *part, &child)) {
		if (json_object_is_type(child, json_type_object))
			return error_fail(error, "options '%s' and a part of it are both given",
					  key);
		return error_fail(error, "option '%s' is given twice", key);
	}
	json_object_object_add(at, *part, json_object_new_string(value));
	return true;
}

/* The array that @object with the index keys 0 to n-1 stands for. */
static json_object *object_to_list(json_object *object, const char *key, GError **error)
{
	int n = json_object_object_length(object);
	g_autoptr(JsonObject) list = json_object_new_array_ext(n);

	for (int i = 0; i < n; i++) {
		char index[12];
		json_object *child;

		g_snprintf(index, sizeof(index), "%d", i);
		if (!json_object_object_get_ex(object, index, &child)) {
			error_fail(error, "list '%s' has no element %d", key, i);
			return NULL;
		}
		json_object_array_add(list, json_object_get(child));
	}
	return g_steal_pointer(&list);
}

/*
 * Make lists of the objects below @object (called @key), depth first. Takes @object over and
 * returns what it has become. Its depth has been limited by key_check().
 */
static json_object *make_lists(json_object *object, const char *key, GError **error)
{
	g_autoptr(JsonObject) owned = object;
	unsigned n_indices = 0, n_names = 0;
	struct lh_entry *entry;

	for (entry = json_object_get_object(object)->head; entry; entry = entry->next) {
		const char *name = lh_entry_k(entry);
		json_object *child = (json_object *)lh_entry_v(entry);

		if (is_index(name))
			n_indices++;
		else
			n_names++;
		if (json_object_is_type(child, json_type_object)) {
			child = make_lists(json_object_get(child), name, error);
			if (!child)
				return NULL;
			json_object_object_add(object, name, child);
		}
	}
	if (n_indices == 0)
		return g_steal_pointer(&owned);
	if (n_names > 0 || !key) {
		error_fail(error, "option '%s' mixes list indices and names", key ? key : "");
		return NULL;
	}
	return object_to_list(object, key, error);
}

/* Read a value up to a lone comma into @value; returns what follows that comma. */
static const char *read_value(const char *text, GString *value)
{
	for (;; text++) {
		if (*text == ',' && *++text != ',')
			return text;
		if (!*text)
			return text;
		g_string_append_c(value, *text);
	}
}

static json_object *parse_items(const char *text, const char *implied_key, GError **error)
{
	g_autoptr(JsonObject) root = json_object_new_object();
	g_autoptr(GString) value = g_string_new(NULL);
	bool first = true;

	while (*text) {
		size_t key_length = strcspn(text, "=,");
		bool has_value = text[key_length] == '=';
		g_autofree char *key = NULL;

		g_string_truncate(value, 0);
		if (first && implied_key && !has_value) {
			key = g_strdup(implied_key);
			text = read_value(text, value);
			if (value->len == 0) {
				error_fail(error, "option '%s' has no value", key);
				return NULL;
			}
		} else if (has_value) {
			key = g_strndup(text, key_length);
			text = read_value(text + key_length + 1, value);
		} else {
			key = g_strndup(text, key_length);
			text += key_length + (text[key_length] == ',');
			g_string_assign(value, "on");
		}
		if (!put_value(root, key, value->str, error))
			return NULL;
		first = false;
	}
	return make_lists(g_steal_pointer(&root), NULL, error);
}

/* The members of all objects in @value together; it is as deep as the tokener lets it be. */
static size_t count_members(json_object *value)
{
	size_t count = 0;

	if (json_object_is_type(value, json_type_object)) {
		struct lh_entry *entry;

		for (entry = json_object_get_object(value)->head; entry; entry = entry->next)
			count += 1 + count_members((json_object *)lh_entry_v(entry));
	} else if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += count_members(json_object_array_get_idx(value, i));
	}
	return count;
}

/* The colons outside strings of @text, which is JSON: one for each member of an object. */
static size_t count_colons(const char *text)
{
	size_t count = 0;
	char quote = '\0'; /* that ends the string we are in; json-c takes both kinds */

	for (; *text; text++) {
		if (quote && *text == '\\')
			text++;
		else if (quote)
			quote = *text == quote ? '\0' : quote;
		else if (*text == '"' || *text == '\'')
			quote = *text;
		else if (*text == ':')
			count++;
	}
	return count;
}

static json_object *parse_json(const char *text, GError **error)
{
	g_autoptr(JsonTokener) tokener = json_tokener_new_ex(MAXIMUM_DEPTH);
	g_autoptr(JsonObject) root = NULL;
	size_t length = strlen(text);

	if (length >= INT32_MAX) {
		error_fail(error, "JSON option is too long");
		return NULL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tokener, text, (int)length + 1);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		error_fail(error, "JSON option is invalid at byte %zu: %s",
			   json_tokener_get_parse_end(tokener),
			   json_tokener_error_desc(json_tokener_get_error(tokener)));
		return NULL;
	}
	if (!json_object_is_type(root, json_type_object)) {
		error_fail(error, "JSON option is not an object");
		return NULL;
	}
	/* json-c keeps the last of equal keys and says nothing. */
	if (count_members(root) != count_colons(text)) {
		error_fail(error, "JSON option has a member twice");
		return NULL;
	}
	return g_steal_pointer(&root);
}

json_object *options_parse(const char *text, const char *implied_key, GError **error)
{
	if (text[0] == '{')
		return parse_json(text, error);
	return parse_items(text, implied_key, error);
}

/* log2 of the unit that @suffix stands for, or -1. */
static int unit_shift(char suffix)
{
	static const char units[] = "BKMGTPE";
	const char *at = suffix ? strchr(units, g_ascii_toupper(suffix)) : NULL;

	return at ? (int)(at - units) * 10 : -1;
}

/*
 * Read ".digits" at *@text, if there is such a thing, as a fraction of 2^@shift, rounded down. More
 * digits than a byte of an exabyte needs do not change the result and are only checked.
 */
static uint64_t read_fraction(const char **text, const char *end, int shift)
{
	unsigned __int128 numerator = 0, denominator = 1;
	const char *at = *text;

	while (++at < end) {
		if (denominator < 1000000000000000000ull) {
			numerator = numerator * 10 + (unsigned)(*at - '0');
			denominator *= 10;
		}
	}
	*text = end;
	return (uint64_t)((numerator << shift) / denominator);
}

bool options_parse_size(const char *text, char default_unit, uint64_t *size, GError **error)
{
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *at, *fraction_end;
	uint64_t whole, fraction = 0;
	char *end;
	int shift;

	if (!g_ascii_isdigit(text[0]) || (is_hex && !g_ascii_isxdigit(text[2])))
		return error_fail(error, "'%s' is not a size", text);
	errno = 0;
	whole = g_ascii_strtoull(text, &end, is_hex ? 16 : 10);
	if (errno == ERANGE)
		return error_fail(error, "size '%s' is too large", text);
	at = end;
	fraction_end = at;
	if (*at == '.' && !is_hex && g_ascii_isdigit(at[1]))
		fraction_end = at + 1 + strspn(at + 1, "0123456789");
	shift = unit_shift(*fraction_end ? *fraction_end : default_unit);
	if (shift < 0 || (*fraction_end && fraction_end[1] != '\0'))
		return error_fail(error, "'%s' is not a size", text);
	if (fraction_end > at)
		fraction = read_fraction(&at, fraction_end, shift);
	if (whole > (UINT64_MAX - fraction) >> shift)
		return error_fail(error, "size '%s' is too large", text);
	*size = (whole << shift) + fraction;
	return true;
}
