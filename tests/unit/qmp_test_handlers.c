/*
 * qmp_test_handlers.c: what the commands of qapi-test.json do
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qmp/qmp_error.h"
#include "qmp/qmp_server.h"
#include "test-qapi-commands.h"
#include "test-qapi-events.h"
#include "tests/unit/qmp_test_handlers.h"

GString *qmp_test_log;

QapiTestAll *qmp_test_echo(QmpContext *ctx, const QapiTestAll *args, GError **error)
{
	json_object *copy = qapi_format_TestAll(args);
	QapiTestAll *result = qapi_parse_TestAll(copy, QAPI_PARSE_STRICT, error);

	(void)ctx;
	json_object_put(copy);
	return result;
}

char *qmp_test_join(QmpContext *ctx, const GPtrArray *words, const char *separator, bool has_times,
		    uint8_t times, GError **error)
{
	g_autoptr(GString) result = g_string_new(NULL);

	(void)ctx;
	if (!words->len) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "no words");
		return NULL;
	}
	for (unsigned i = 0; i < (has_times ? times : 1u); i++) {
		for (guint word = 0; word < words->len; word++) {
			if (result->len && separator)
				g_string_append(result, separator);
			g_string_append(result, words->pdata[word]);
		}
	}
	return g_strdup(result->str);
}

bool qmp_test_fail(QmpContext *ctx, const char *class, GError **error)
{
	(void)ctx;
	g_set_error(error, QMP_ERROR, (int)qmp_error_code(class), "failed as %s", class);
	return false;
}

bool qmp_test_note(QmpContext *ctx, const char *tag, GError **error)
{
	(void)ctx;
	(void)error;
	g_string_append_printf(qmp_test_log, "%s ", tag);
	return true;
}

bool qmp_test_note_oob(QmpContext *ctx, const char *tag, GError **error)
{
	return qmp_test_note(ctx, tag, error);
}

bool qmp_test_raise(QmpContext *ctx, const char *tag, GError **error)
{
	(void)error;
	qapi_event_test_happened(qmp_server_event_sink(qmp_context_server(ctx)), tag, true, 1);
	return true;
}

bool qmp_test_open(QmpContext *ctx, json_object *args, GError **error)
{
	(void)ctx;
	(void)error;
	g_string_append_printf(qmp_test_log, "%s ",
			       json_object_to_json_string_ext(args, JSON_C_TO_STRING_PLAIN));
	return true;
}

static gboolean leave(void *data)
{
	g_string_append_printf(qmp_test_log, "left:%s ", (const char *)data);
	return G_SOURCE_REMOVE;
}

bool qmp_test_leave(QmpContext *ctx, GError **error)
{
	(void)error;
	qmp_context_after_reply(ctx, leave, qmp_context_machine(ctx));
	return true;
}

char *qmp_test_large(QmpContext *ctx, uint32_t size, GError **error)
{
	(void)ctx;
	(void)error;
	return g_strnfill(size, 'x');
}
