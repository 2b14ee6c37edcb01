/*
 * fuzz-qmp-server.c: whatever a client sends, in pieces, to a server that carries out commands
 *
 * The first byte says how large pieces are and whether the client has negotiated before.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "core-qapi-commands.h"
#include "qmp/qmp_server.h"
#include "test-qapi-commands.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/qmp_test_handlers.h"

/* A stream that takes less than it is offered now and then. */
typedef struct {
	QmpSession *session;
	size_t room;
} Stream;

static ssize_t stream_write(void *opaque, const void *data, size_t size)
{
	Stream *stream = opaque;
	size_t taken = MIN(size, stream->room);

	(void)data;
	stream->room -= taken;
	return (ssize_t)taken;
}

static void stream_accept_input(void *opaque)
{
	(void)opaque;
}

static void stream_closed(void *opaque)
{
	((Stream *)opaque)->session = NULL;
}

static void turn(Stream *stream)
{
	stream->room = 4096;
	if (stream->session)
		qmp_session_writable(stream->session);
	while (g_main_context_iteration(NULL, FALSE))
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const QmpStream operations = { stream_write, stream_accept_input, stream_closed };
	static const char negotiate[] = "{\"execute\":\"qmp_capabilities\",\"arguments\":"
					"{\"enable\":[\"oob\"]}}";
	g_autoptr(QmpServer) server = qmp_server_new(NULL);
	Stream stream = { .room = 4096 };
	size_t piece;

	if (!size)
		return 0;
	qmp_test_log = g_string_new(NULL);
	qmp_server_add_commands(server, core_qmp_commands);
	qmp_server_add_commands(server, test_qmp_commands);
	qmp_server_set_machine(server, &stream);
	stream.session = qmp_server_attach(server, &operations, &stream);
	if (data[0] & 0x80)
		qmp_session_receive(stream.session, negotiate, strlen(negotiate), NULL, 0);
	turn(&stream);
	piece = 1u + (data[0] & 0x7f);
	for (size_t at = 1; at < size && stream.session; at += piece) {
		qmp_session_receive(stream.session, data + at, MIN(piece, size - at), NULL, 0);
		if (stream.session && !qmp_session_room(stream.session))
			turn(&stream);
	}
	turn(&stream);
	if (stream.session)
		qmp_session_end(stream.session);
	turn(&stream);
	g_string_free(qmp_test_log, TRUE);
	return 0;
}
