/*
 * test-qapi.c: parsing and formatting schema types
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "qmp/qmp_error.h"
#include "test-qapi-types.h"

static json_object *json(const char *text)
{
	json_object *object = json_tokener_parse(text);

	g_assert_true(object || g_str_equal(text, "null"));
	return object;
}

static void *parse(const QapiType *type, const char *text, QapiParseMode mode, GError **error)
{
	json_object *in = json(text);
	void *value = qapi_parse(type, in, mode, error);

	json_object_put(in);
	return value;
}

/* What is written is what was read. */
static void check_round_trip(const QapiType *type, const char *text)
{
	g_autoptr(GError) error = NULL;
	json_object *in = json(text);
	void *value = qapi_parse(type, in, QAPI_PARSE_STRICT, &error);
	json_object *out;

	g_assert_no_error(error);
	out = qapi_format(type, value);
	if (!json_object_equal(in, out))
		g_error("%s became %s", text, json_object_to_json_string(out));
	json_object_put(out);
	json_object_put(in);
	qapi_free(type, value);
}

static void check_refused(const QapiType *type, const char *text, QapiParseMode mode,
			  const char *message)
{
	g_autoptr(GError) error = NULL;
	void *value = parse(type, text, mode, &error);

	g_assert_null(value);
	g_assert_error(error, QMP_ERROR, QMP_ERROR_GENERIC);
	g_assert_cmpstr(error->message, ==, message);
}

static void test_round_trip(void)
{
	static const char *const all[] = {
		"{\"name\":\"a\"}",
		"{\"name\":\"\",\"flag\":false,\"text\":\"t\",\"colour\":\"dark-green\"}",
		"{\"name\":\"a\",\"numbers\":{\"i8\":-128,\"i16\":-32768,\"i32\":-2147483648,"
		"\"i64\":-9223372036854775808,\"u8\":255,\"u16\":65535,\"u32\":4294967295,"
		"\"u64\":18446744073709551615,\"size\":18446744073709551615,\"number\":-1.5}}",
		"{\"name\":\"a\",\"names\":[],\"counts\":[],\"colours\":[],\"flags\":[],\"list\":[]"
		"}",
		"{\"name\":\"a\",\"names\":[\"x\",\"\"],\"counts\":[0,65535],"
		"\"colours\":[\"red\",\"2nd\"],\"flags\":[true,false],"
		"\"list\":[{\"name\":\"b\",\"flag\":true},{\"name\":\"c\"}]}",
		"{\"name\":\"a\",\"anything\":{\"deep\":[1,null,\"x\"]},\"default\":7}",
		"{\"name\":\"a\",\"next\":{\"name\":\"b\",\"next\":{\"name\":\"c\"}}}",
	};
	static const char *const shapes[] = {
		"{\"kind\":\"point\"}",
		"{\"kind\":\"circle\",\"label\":\"c\",\"radius\":3}",
		"{\"kind\":\"group\",\"shapes\":[]}",
		"{\"kind\":\"group\",\"shapes\":[{\"kind\":\"group\",\"shapes\":[]}]}",
	};
	static const char *const choices[] = {
		"\"text\"", "-3", "true", "{\"kind\":\"circle\",\"radius\":1}", "[1,2]", "null",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(all); i++)
		check_round_trip(&qapi_type_TestAll, all[i]);
	for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++)
		check_round_trip(&qapi_type_TestShape, shapes[i]);
	for (unsigned i = 0; i < G_N_ELEMENTS(choices); i++)
		check_round_trip(&qapi_type_TestChoice, choices[i]);
}

static void test_values(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(QapiTestAll) all = parse(
		&qapi_type_TestAll,
		"{\"name\":\"a\",\"flag\":true,\"colour\":\"2nd\",\"names\":[\"x\",\"y\"],"
		"\"counts\":[3,4],\"colours\":[\"red\",\"dark-green\"],\"flags\":[false,true]}",
		QAPI_PARSE_STRICT, &error);
	g_autoptr(QapiTestShape) shape = NULL;

	g_assert_no_error(error);
	g_assert_cmpstr(all->name, ==, "a");
	g_assert_true(all->has_flag && all->flag);
	g_assert_true(all->has_colour);
	g_assert_cmpint(all->colour, ==, QAPI_TEST_COLOUR_2ND);
	g_assert_cmpstr(qapi_str_TestColour(all->colour), ==, "2nd");
	g_assert_false(all->has_q_default);
	g_assert_null(all->text);
	g_assert_cmpuint(all->names->len, ==, 2);
	g_assert_cmpstr(g_ptr_array_index(all->names, 1), ==, "y");
	g_assert_cmpuint(g_array_index(all->counts, uint16_t, 1), ==, 4);
	g_assert_cmpint(g_array_index(all->colours, QapiTestColour, 1), ==,
			QAPI_TEST_COLOUR_DARK_GREEN);
	g_assert_true(g_array_index(all->flags, bool, 1));

	shape = parse(&qapi_type_TestShape, "{\"kind\":\"circle\",\"radius\":9}", QAPI_PARSE_STRICT,
		      &error);
	g_assert_no_error(error);
	g_assert_cmpint(shape->kind, ==, QAPI_TEST_SHAPE_KIND_CIRCLE);
	g_assert_cmpint(shape->u.circle.radius, ==, 9);
	g_assert_null(qapi_enum_name(&qapi_type_TestColour, 3));
	g_assert_null(qapi_enum_name(&qapi_type_TestColour, -1));
	g_assert_cmpint(qapi_enum_find(&qapi_type_TestColour, "blue"), ==, -1);
}

static void test_missing_pointers_are_empty(void)
{
	const QapiTestBase nameless = { 0 };
	const QapiTestGroup group = { 0 };
	json_object *out = qapi_format_TestBase(&nameless);

	g_assert_cmpstr(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN), ==,
			"{\"name\":\"\"}");
	json_object_put(out);
	out = qapi_format_TestGroup(&group);
	g_assert_cmpstr(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN), ==,
			"{\"shapes\":[]}");
	json_object_put(out);
}

/* The messages are QEMU's. */
static void test_refusals(void)
{
	static const struct {
		const QapiType *type;
		const char *text;
		const char *message;
	} cases[] = {
		{ &qapi_type_TestAll, "{}", "Parameter 'name' is missing" },
		{ &qapi_type_TestAll, "{\"name\":3}",
		  "Invalid parameter type for 'name', expected: string" },
		{ &qapi_type_TestAll, "{\"name\":null}",
		  "Invalid parameter type for 'name', expected: string" },
		{ &qapi_type_TestAll, "{\"name\":\"a\\u0000b\"}",
		  "Parameter 'name' expects a string without zero bytes" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"flag\":\"on\"}",
		  "Invalid parameter type for 'flag', expected: boolean" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"bogus\":1}",
		  "Parameter 'bogus' is unexpected" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"next\":{\"name\":\"b\",\"bogus\":1}}",
		  "Parameter 'next.bogus' is unexpected" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"next\":{}}",
		  "Parameter 'next.name' is missing" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"next\":[]}",
		  "Invalid parameter type for 'next', expected: object" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"list\":[{\"name\":\"b\"},{}]}",
		  "Parameter 'list[1].name' is missing" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"list\":{}}",
		  "Invalid parameter type for 'list', expected: array" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"names\":[\"x\",1]}",
		  "Invalid parameter type for 'names[1]', expected: string" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"colour\":\"blue\"}",
		  "Parameter 'colour' does not accept value 'blue'" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"colour\":1}",
		  "Invalid parameter type for 'colour', expected: string" },
		{ &qapi_type_TestAll, "{\"name\":\"a\",\"default\":1.5}",
		  "Invalid parameter type for 'default', expected: integer" },
		{ &qapi_type_TestAll, "[]",
		  "Invalid parameter type for 'arguments', expected: object" },
		{ &qapi_type_TestNumbers, "{\"i8\":128}", "Parameter 'i8' expects int8_t" },
		{ &qapi_type_TestNumbers, "{\"i8\":-129}", "Parameter 'i8' expects int8_t" },
		{ &qapi_type_TestNumbers, "{\"i64\":9223372036854775808}",
		  "Parameter 'i64' expects integer" },
		{ &qapi_type_TestNumbers, "{\"u8\":-1}", "Parameter 'u8' expects uint8_t" },
		{ &qapi_type_TestNumbers, "{\"u16\":65536}", "Parameter 'u16' expects uint16_t" },
		{ &qapi_type_TestNumbers, "{\"u64\":-1}", "Parameter 'u64' expects integer" },
		{ &qapi_type_TestNumbers, "{\"size\":-1}", "Parameter 'size' expects a size" },
		{ &qapi_type_TestNumbers, "{\"number\":\"1\"}",
		  "Invalid parameter type for 'number', expected: number" },
		{ &qapi_type_TestShape, "{}", "Parameter 'kind' is missing" },
		{ &qapi_type_TestShape, "{\"kind\":\"square\"}",
		  "Parameter 'kind' does not accept value 'square'" },
		{ &qapi_type_TestShape, "{\"kind\":\"circle\"}", "Parameter 'radius' is missing" },
		{ &qapi_type_TestShape, "{\"kind\":\"point\",\"radius\":1}",
		  "Parameter 'radius' is unexpected" },
		{ &qapi_type_TestHolder, "{\"switch\":\"x\"}",
		  "Invalid parameter type for 'switch', expected: flag or shape" },
		{ &qapi_type_TestHolder, "{\"choice\":[1,\"x\"]}",
		  "Invalid parameter type for 'choice[1]', expected: integer" },
		{ &qapi_type_TestHolder, "{\"choice\":{\"kind\":\"circle\"}}",
		  "Parameter 'choice.radius' is missing" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
		check_refused(cases[i].type, cases[i].text, QAPI_PARSE_STRICT, cases[i].message);
}

static void check_size(const char *text, uint64_t expected)
{
	g_autofree char *object = g_strdup_printf("{\"size\":\"%s\"}", text);
	g_autoptr(GError) error = NULL;
	g_autoptr(QapiTestNumbers) numbers =
		parse(&qapi_type_TestNumbers, object, QAPI_PARSE_KEYVAL, &error);

	g_assert_no_error(error);
	g_assert_cmpuint(numbers->size, ==, expected);
}

static void test_keyval(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(QapiTestAll) all = parse(
		&qapi_type_TestAll,
		"{\"name\":\"12\",\"flag\":\"on\",\"default\":\"0x10\",\"flags\":[\"off\",\"yes\"],"
		"\"counts\":[\"1\",\"65535\"],\"numbers\":{\"i8\":\"-128\",\"u64\":"
		"\"18446744073709551615\",\"number\":\"2.5\"},\"next\":{\"name\":\"b\",\"flag\":"
		"true}}",
		QAPI_PARSE_KEYVAL, &error);
	g_autoptr(QapiTestHolder) holder = NULL;

	g_assert_no_error(error);
	g_assert_cmpstr(all->name, ==, "12");
	g_assert_true(all->flag);
	g_assert_cmpint(all->q_default, ==, 16);
	g_assert_false(g_array_index(all->flags, bool, 0));
	g_assert_true(g_array_index(all->flags, bool, 1));
	g_assert_cmpuint(g_array_index(all->counts, uint16_t, 1), ==, 65535);
	g_assert_cmpint(all->numbers->i8, ==, -128);
	g_assert_cmpuint(all->numbers->u64, ==, UINT64_MAX);
	g_assert_cmpfloat(all->numbers->number, ==, 2.5);
	g_assert_true(all->next->flag);
	holder = parse(&qapi_type_TestHolder, "{\"choice\":\"7\",\"switch\":\"off\"}",
		       QAPI_PARSE_KEYVAL, &error);
	g_assert_no_error(error);
	g_assert_cmpint(holder->choice->type, ==, QAPI_TEST_CHOICE_TEXT);
	g_assert_cmpint(holder->q_switch->type, ==, QAPI_TEST_SWITCH_FLAG);
	g_assert_false(holder->q_switch->u.flag);

	check_size("0", 0);
	check_size("512", 512);
	check_size("512b", 512);
	check_size("4k", 4096);
	check_size("1.5G", UINT64_C(3) << 29);
	check_size("2T", UINT64_C(2) << 40);
	check_size("15E", UINT64_C(15) << 60);
	check_size("0x1000", 4096);
	check_size("18446744073709551615", UINT64_MAX);
}

static void test_keyval_refusals(void)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "{\"i8\":\"128\"}", "Parameter 'i8' expects int8_t" },
		{ "{\"i64\":\"\"}", "Parameter 'i64' expects integer" },
		{ "{\"i64\":\" 1\"}", "Parameter 'i64' expects integer" },
		{ "{\"i64\":\"+1\"}", "Parameter 'i64' expects integer" },
		{ "{\"i64\":\"1x\"}", "Parameter 'i64' expects integer" },
		{ "{\"i64\":\"-\"}", "Parameter 'i64' expects integer" },
		{ "{\"i64\":\"9223372036854775808\"}", "Parameter 'i64' expects integer" },
		{ "{\"u64\":\"18446744073709551616\"}", "Parameter 'u64' expects integer" },
		{ "{\"u64\":\"-1\"}", "Parameter 'u64' expects integer" },
		{ "{\"size\":\"16E\"}", "Parameter 'size' expects a size" },
		{ "{\"size\":\"1.5\"}", "Parameter 'size' expects a size" },
		{ "{\"size\":\"1.5e3M\"}", "Parameter 'size' expects a size" },
		{ "{\"size\":\"1KB\"}", "Parameter 'size' expects a size" },
		{ "{\"size\":\"-1\"}", "Parameter 'size' expects a size" },
		{ "{\"size\":\"\"}", "Parameter 'size' expects a size" },
		{ "{\"number\":\"nan\"}", "Parameter 'number' expects number" },
		{ "{\"number\":\"1e999\"}", "Parameter 'number' expects number" },
		{ "{\"bogus\":\"1\"}", "Parameter 'bogus' is unexpected" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
		check_refused(&qapi_type_TestNumbers, cases[i].text, QAPI_PARSE_KEYVAL,
			      cases[i].message);
	check_refused(&qapi_type_TestAll, "{\"name\":\"a\",\"flag\":\"maybe\"}", QAPI_PARSE_KEYVAL,
		      "Parameter 'flag' expects 'on' or 'off'");
	check_refused(&qapi_type_TestAll, "{\"name\":\"a\",\"list\":[{\"name\":\"b\"},{}]}",
		      QAPI_PARSE_KEYVAL, "Parameter 'list.1.name' is missing");
}

static void test_deep_nesting(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	json_object *in;

	for (unsigned i = 0; i < 1000; i++)
		g_string_append(text, "{\"name\":\"a\",\"next\":");
	g_string_append(text, "{\"name\":\"b\"}");
	for (unsigned i = 0; i < 1000; i++)
		g_string_append_c(text, '}');
	{
		json_tokener *tokener = json_tokener_new_ex(2000);

		in = json_tokener_parse_ex(tokener, text->str, (int)text->len);
		json_tokener_free(tokener);
	}
	g_assert_nonnull(in);
	g_assert_null(qapi_parse_TestAll(in, QAPI_PARSE_STRICT, &error));
	g_assert_error(error, QMP_ERROR, QMP_ERROR_GENERIC);
	g_assert_true(g_str_has_suffix(error->message, "expects less deep nesting"));
	json_object_put(in);
}

static void test_error_classes(void)
{
	static const char *const names[] = { "GenericError", "CommandNotFound", "DeviceNotActive",
					     "DeviceNotFound", "KVMMissingCap" };

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autoptr(GError) error = g_error_new(QMP_ERROR, (int)i, "x");

		g_assert_cmpstr(qmp_error_class(error), ==, names[i]);
		g_assert_cmpint(qmp_error_code(names[i]), ==, i);
	}
	g_assert_cmpint(qmp_error_code("Unknown"), ==, QMP_ERROR_GENERIC);
	{
		g_autoptr(GError) foreign = g_error_new(G_FILE_ERROR, 3, "x");

		g_assert_cmpstr(qmp_error_class(foreign), ==, "GenericError");
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/qapi/round-trip", test_round_trip);
	g_test_add_func("/qapi/values", test_values);
	g_test_add_func("/qapi/missing-pointers", test_missing_pointers_are_empty);
	g_test_add_func("/qapi/refusals", test_refusals);
	g_test_add_func("/qapi/keyval", test_keyval);
	g_test_add_func("/qapi/keyval-refusals", test_keyval_refusals);
	g_test_add_func("/qapi/deep-nesting", test_deep_nesting);
	g_test_add_func("/qapi/error-classes", test_error_classes);
	return g_test_run();
}
