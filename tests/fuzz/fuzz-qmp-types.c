/*
 * fuzz-qmp-types.c: arguments of every command and option; what is accepted survives a round trip
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>

#include "qapi-types.h"
#include "test-qapi-types.h"
#include "tests/fuzz/fuzz.h"

static const QapiType *const types[] = {
	&qapi_type_BlockdevOptions, &qapi_type_BlockResizeArgs, &qapi_type_ChardevAddArgs,
	&qapi_type_Netdev,	    &qapi_type_ObjectOptions,	&qapi_type_QmpCapabilitiesArgs,
	&qapi_type_SetActionArgs,   &qapi_type_StatsFilter,	&qapi_type_SchemaInfo,
	&qapi_type_TestAll,	    &qapi_type_TestHolder,	&qapi_type_TestShape,
};

static void round_trip(const QapiType *type, json_object *in, QapiParseMode mode)
{
	void *value = qapi_parse(type, in, mode, NULL);
	json_object *once, *twice;
	void *again;

	if (!value)
		return;
	once = qapi_format(type, value);
	again = qapi_parse(type, once, QAPI_PARSE_STRICT, NULL);
	if (!again)
		abort();
	twice = qapi_format(type, again);
	if (!json_object_equal(once, twice))
		abort();
	qapi_free(type, value);
	qapi_free(type, again);
	json_object_put(once);
	json_object_put(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_tokener *tokener;
	json_object *in;

	if (!size)
		return 0;
	tokener = json_tokener_new();
	in = json_tokener_parse_ex(tokener, (const char *)data + 1, (int)size - 1);
	if (in) {
		round_trip(types[data[0] % G_N_ELEMENTS(types)], in,
			   data[0] & 0x80 ? QAPI_PARSE_KEYVAL : QAPI_PARSE_STRICT);
		json_object_put(in);
	}
	json_tokener_free(tokener);
	return 0;
}
