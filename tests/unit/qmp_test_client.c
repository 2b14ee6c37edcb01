/*
 * qmp_test_client.c: a QMP server with the test schema's commands, and clients that know only bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core-qapi-commands.h"
#include "qmp/qmp_socket.h"
#include "test-qapi-commands.h"
#include "tests/unit/qmp_test_client.h"
#include "tests/unit/qmp_test_handlers.h"

#define WAIT_S 30

static GString *current_warnings;

/* Warnings are not fatal here: the test says which it expects. */
static GLogWriterOutput log_writer(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
				   gpointer data)
{
	(void)data;
	if (!(level & G_LOG_LEVEL_WARNING) || !current_warnings)
		return g_log_writer_default(level, fields, n_fields, NULL);
	for (gsize i = 0; i < n_fields; i++)
		if (g_str_equal(fields[i].key, "MESSAGE"))
			g_string_append_printf(current_warnings, "%s\n",
					       (const char *)fields[i].value);
	return G_LOG_WRITER_HANDLED;
}

void qmp_test_init(int *argc, char ***argv)
{
	g_test_init(argc, argv, NULL);
	g_log_set_writer_func(log_writer, NULL, NULL);
}

void fixture_set_up(Fixture *fixture, gconstpointer data)
{
	(void)data;
	strcpy(fixture->machine, "m");
	fixture->warnings = g_string_new(NULL);
	current_warnings = fixture->warnings;
	qmp_test_log = g_string_new(NULL);
	fixture->server = qmp_server_new(NULL);
	qmp_server_add_commands(fixture->server, core_qmp_commands);
	qmp_server_add_commands(fixture->server, test_qmp_commands);
	qmp_server_set_machine(fixture->server, fixture->machine);
}

void fixture_tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	qmp_server_free(fixture->server);
	g_string_free(qmp_test_log, TRUE);
	g_assert_cmpstr(fixture->warnings->str, ==, "");
	g_string_free(fixture->warnings, TRUE);
}

void turn(void)
{
	g_main_context_iteration(NULL, FALSE);
}

Client *client_new_fd(int fd)
{
	Client *client = g_new0(Client, 1);

	client->fd = fd;
	client->input = g_string_new(NULL);
	g_assert_no_errno(fcntl(fd, F_SETFL, O_NONBLOCK));
	return client;
}

Client *client_new(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	int fds[2];

	g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	qmp_server_add_client(fixture->server, fds[0], &error);
	g_assert_no_error(error);
	return client_new_fd(fds[1]);
}

void client_free(Client *client)
{
	close(client->fd);
	g_string_free(client->input, TRUE);
	g_free(client);
	for (int i = 0; i < 10; i++)
		turn();
}

void client_send_bytes(Client *client, const char *data, size_t size)
{
	gint64 end = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;

	while (size) {
		ssize_t sent = send(client->fd, data, size, MSG_NOSIGNAL);

		if (sent < 0) {
			g_assert_cmpint(errno, ==, EAGAIN);
			g_assert_cmpint(g_get_monotonic_time(), <, end);
			turn();
			continue;
		}
		data += sent;
		size -= (size_t)sent;
	}
}

void client_send(Client *client, const char *text)
{
	client_send_bytes(client, text, strlen(text));
}

bool client_read(Client *client)
{
	char buffer[65536];
	ssize_t size = recv(client->fd, buffer, sizeof(buffer), 0);

	if (size > 0)
		g_string_append_len(client->input, buffer, size);
	return size > 0 || (size < 0 && errno == EAGAIN);
}

char *client_line(Client *client)
{
	gint64 end = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;

	for (;;) {
		char *stop = strstr(client->input->str, "\r\n");

		if (stop) {
			gssize length = stop - client->input->str;
			char *line = g_strndup(client->input->str, (gsize)length);

			g_string_erase(client->input, 0, length + 2);
			return line;
		}
		turn();
		if (!client_read(client))
			return NULL;
		g_assert_cmpint(g_get_monotonic_time(), <, end);
	}
}

void client_expect(Client *client, const char *expected)
{
	g_autofree char *line = client_line(client);

	g_assert_cmpstr(line, ==, expected);
}

void client_expect_event(Client *client, const char *expected)
{
	g_autofree char *line = client_line(client);
	const char *rest;

	g_assert_nonnull(line);
	g_assert_true(g_str_has_prefix(line, "{\"timestamp\":{\"seconds\":"));
	rest = strstr(line, "},\"event\":");
	g_assert_nonnull(rest);
	g_assert_cmpstr(rest + 2, ==, expected);
}

void client_negotiate(Client *client, bool oob)
{
	g_autofree char *greeting = client_line(client);

	g_assert_nonnull(greeting);
	client_send(client, oob ? "{\"execute\":\"qmp_capabilities\",\"arguments\":"
				  "{\"enable\":[\"oob\"]}}"
				: "{\"execute\":\"qmp_capabilities\"}");
	client_expect(client, "{\"return\":{}}");
}

Client *client_ready(Fixture *fixture, bool oob)
{
	Client *client = client_new(fixture);

	client_negotiate(client, oob);
	return client;
}

void settle(void)
{
	for (int i = 0; i < 50; i++)
		turn();
}

void client_send_fd(Client *client, const char *text, int fd)
{
	g_assert_cmpint(qmp_socket_send(client->fd, text, strlen(text), fd), ==, strlen(text));
}
