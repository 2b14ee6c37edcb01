/*
 * qapi.h: schema types at run time
 *
 * The generator (schemas/qapi-gen) turns each type of the QMP schema into a C struct or enum and a
 * constant QapiType that says where its members lie. The functions here work on those descriptions:
 * there is one parser, one formatter and one destructor for all types, and the generated
 * qapi_parse_T(), qapi_format_T() and qapi_free_T() are calls of them.
 *
 * In a generated struct an optional number, boolean or enum NAME has a flag has_NAME; strings,
 * structs, arrays and values of any type are pointers the struct owns, NULL where absent. Arrays
 * are GPtrArray of pointers, or GArray of numbers, booleans and enums. The branch of a union that
 * its discriminator selects is u.BRANCH; an alternate holds its branch number in `type`.
 *
 * Everything here may be called from any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <json-c/json.h>

typedef enum {
	/* Numbers, booleans and strings must be such in JSON: QMP, and options given as JSON. */
	QAPI_PARSE_STRICT,
	/*
	 * Scalars may be strings, as key=value options yield them: "on", "off", "yes", "no", "true"
	 * and "false" for booleans, decimal, octal or 0x hexadecimal integers, sizes with a suffix.
	 */
	QAPI_PARSE_KEYVAL,
} QapiParseMode;

typedef enum {
	QAPI_KIND_STR,
	QAPI_KIND_NUMBER,
	QAPI_KIND_INT,
	QAPI_KIND_UINT,
	QAPI_KIND_SIZE,
	QAPI_KIND_BOOL,
	QAPI_KIND_NULL,
	QAPI_KIND_ANY,
	QAPI_KIND_ENUM,
	QAPI_KIND_OBJECT,
	QAPI_KIND_ALTERNATE,
	QAPI_KIND_ARRAY,
} QapiKind;

typedef struct QapiType QapiType;

/* A member of an object; a branch of an alternate. */
typedef struct {
	const char *name;
	const QapiType *type;
	uint32_t offset;     /* of the value in the struct, bytes */
	uint32_t has_offset; /* of the has_ flag; meaningful where has_flag */
	bool optional;
	bool has_flag;
} QapiMember;

struct QapiType {
	const char *name;
	QapiKind kind;
	uint32_t size; /* of the C value: of the struct for objects and alternates, bytes */
	/* Enums: the values' names, in the order of their constants. */
	const char *const *values;
	/* Objects: all members, the base's first. Alternates: the branches. */
	const QapiMember *members;
	uint32_t n_members; /* of members or of values */
	/* Unions: which member selects the branch, and by its value the branch or NULL. */
	uint32_t tag;
	uint32_t branch_offset;
	const QapiType *const *branches;
	/* Arrays. */
	const QapiType *element;
};

extern const QapiType qapi_type_str;
extern const QapiType qapi_type_number;
extern const QapiType qapi_type_int;
extern const QapiType qapi_type_int8;
extern const QapiType qapi_type_int16;
extern const QapiType qapi_type_int32;
extern const QapiType qapi_type_int64;
extern const QapiType qapi_type_uint8;
extern const QapiType qapi_type_uint16;
extern const QapiType qapi_type_uint32;
extern const QapiType qapi_type_uint64;
extern const QapiType qapi_type_size;
extern const QapiType qapi_type_bool;
extern const QapiType qapi_type_null;
extern const QapiType qapi_type_any;

/**
 * qapi_parse: reads a value from JSON
 * @type: a type whose C value is a pointer: str, any, object, alternate or array
 * @in: the JSON value, borrowed; NULL is JSON's null
 * @mode: how scalars are written
 * @error: QMP_ERROR_GENERIC naming the first parameter that is missing, mistyped or unexpected, in
 *         QEMU's words ("Parameter 'a.b' is missing")
 *
 * Returns: the value, to be freed with qapi_free(); NULL with @error set.
 */
void *qapi_parse(const QapiType *type, json_object *in, QapiParseMode mode, GError **error);

/**
 * qapi_format: writes a value as JSON
 * @type: a type whose C value is a pointer
 * @value: the value, not NULL
 *
 * A mandatory pointer member that is NULL is written as an empty string, object or array, so that a
 * peer never sees a reply without it.
 *
 * Returns: a new reference to the JSON value.
 */
json_object *qapi_format(const QapiType *type, const void *value);

/** qapi_free: frees a value of @type and all it owns; @value may be NULL. */
void qapi_free(const QapiType *type, void *value);

/** qapi_list_new_str: a new array of strings that it owns (g_ptr_array_add(list, g_strdup(s))). */
GPtrArray *qapi_list_new_str(void);

/**
 * qapi_enum_find: looks an enum value up by its name
 *
 * Returns: the value, -1 if @name is none of @type's.
 */
int qapi_enum_find(const QapiType *type, const char *name);

/**
 * qapi_enum_name: the name of an enum value
 *
 * Returns: the name, or NULL if @value is out of range.
 */
const char *qapi_enum_name(const QapiType *type, int value);

/* What the generator declares and defines for each object and alternate. */
#define QAPI_DECLARE_TYPE(T)                                                          \
	extern const QapiType qapi_type_##T;                                          \
	Qapi##T *qapi_parse_##T(json_object *in, QapiParseMode mode, GError **error); \
	json_object *qapi_format_##T(const Qapi##T *value);                           \
	void qapi_free_##T(Qapi##T *value);                                           \
	GPtrArray *qapi_list_new_##T(void);                                           \
	G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qapi##T, qapi_free_##T)

#define QAPI_DEFINE_TYPE(T)                                                           \
	Qapi##T *qapi_parse_##T(json_object *in, QapiParseMode mode, GError **error)  \
	{                                                                             \
		return qapi_parse(&qapi_type_##T, in, mode, error);                   \
	}                                                                             \
	json_object *qapi_format_##T(const Qapi##T *value)                            \
	{                                                                             \
		return qapi_format(&qapi_type_##T, value);                            \
	}                                                                             \
	void qapi_free_##T(Qapi##T *value)                                            \
	{                                                                             \
		qapi_free(&qapi_type_##T, value);                                     \
	}                                                                             \
	GPtrArray *qapi_list_new_##T(void)                                            \
	{                                                                             \
		return g_ptr_array_new_with_free_func((GDestroyNotify)qapi_free_##T); \
	}

/* What the generator declares for each enum: qapi_str_T() is the name of a value. */
#define QAPI_DECLARE_ENUM(T)                                       \
	extern const QapiType qapi_type_##T;                       \
	static inline const char *qapi_str_##T(Qapi##T value)      \
	{                                                          \
		return qapi_enum_name(&qapi_type_##T, (int)value); \
	}
