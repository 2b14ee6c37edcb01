/*
 * fuzz-qmp-client.c: a client, with commands under way, of a peer that says anything
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/qmp_client.h"
#include "tests/fuzz/fuzz.h"

static void on_event(QmpClient *client, const char *name, json_object *data, int64_t time_us,
		     void *opaque)
{
	unsigned *n_told = opaque;

	(void)client;
	(void)data;
	if (!name || time_us < 0)
		abort();
	++*n_told;
}

static void on_reply(QmpClient *client, json_object *reply, const GError *error, void *opaque)
{
	unsigned *n_told = opaque;

	(void)client;
	if (!reply == !error)
		abort();
	++*n_told;
}

static void turn(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const QmpClientCallbacks callbacks = { .event = on_event };
	static const char start[] = "{\"QMP\":{\"capabilities\":[]}}{\"return\":{},\"id\":0}";
	QmpClient *client;
	unsigned n_told = 0, n_replies = 0;
	int fds[2];

	if (!size || socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return 0;
	client = qmp_client_new_fd(NULL, fds[1], &callbacks, &n_told, NULL);
	for (int i = 0; i < 3; i++)
		qmp_client_send(client, "query-status", NULL, -1, on_reply, &n_replies);
	if (data[0] & 0x80) {
		for (size_t at = 0; at < sizeof(start) - 1; at += sizeof(start) / 2) {
			size_t piece = MIN(sizeof(start) / 2, sizeof(start) - 1 - at);

			if (send(fds[0], start + at, piece, MSG_NOSIGNAL) < 0)
				break;
			turn();
		}
	}
	for (size_t at = 1; at < size; at += 1u + (data[0] & 0x7f)) {
		size_t piece = MIN(1u + (data[0] & 0x7f), size - at);

		if (send(fds[0], data + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		turn();
	}
	close(fds[0]);
	turn();
	qmp_client_close(client);
	turn();
	/* Each command is over, one way or the other, and once. */
	if (n_replies != 3)
		abort();
	qmp_client_unref(client);
	return 0;
}
