/*
 * test-qmp-streams.c: the sockets a QMP server listens on, and streams attached to it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/qmp_test_client.h"

static int connect_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static void test_listen_unix(Fixture *fixture, gconstpointer data)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-qmp-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "socket", NULL);
	g_autofree char *file = g_build_filename(directory, "file", NULL);
	g_autoptr(GError) error = NULL;
	Client *client;

	(void)data;
	g_assert_true(qmp_server_listen_unix(fixture->server, path, &error));
	g_assert_no_error(error);
	client = client_new_fd(connect_unix(path));
	client_negotiate(client, false);
	client_free(client);
	/* What is no socket is left alone. */
	g_assert_true(g_file_set_contents(file, "x", 1, NULL));
	g_assert_false(qmp_server_listen_unix(fixture->server, file, &error));
	g_assert_true(g_str_has_prefix(error->message, file));
	g_clear_error(&error);
	g_assert_true(g_file_test(file, G_FILE_TEST_IS_REGULAR));
	qmp_server_free(g_steal_pointer(&fixture->server));
	g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	unlink(file);
	g_assert_no_errno(rmdir(directory));
}

static void test_listen_tcp(Fixture *fixture, gconstpointer data)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	g_autoptr(GError) error = NULL;
	uint16_t port = qmp_server_listen_tcp(fixture->server, "127.0.0.1", "0", &error);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	Client *client;

	(void)data;
	g_assert_no_error(error);
	address.sin_port = htons(port);
	g_assert_no_errno(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	client = client_new_fd(fd);
	client_negotiate(client, false);
	client_free(client);
	g_assert_cmpuint(
		qmp_server_listen_tcp(fixture->server, "no.such.host.invalid", "1", &error), ==, 0);
	g_assert_nonnull(error);
}

static void test_listen_fd(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	int fds[2];

	(void)data;
	g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	g_assert_false(qmp_server_listen_fd(fixture->server, fds[0], &error));
	g_assert_nonnull(strstr(error->message, "is not a socket that listens"));
	g_clear_error(&error);
	g_assert_false(qmp_server_add_client(fixture->server, open("/dev/null", O_RDWR), &error));
	g_assert_nonnull(strstr(error->message, "is not a stream socket"));
	close(fds[1]);
}

static void test_too_many_clients(Fixture *fixture, gconstpointer data)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-qmp-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "socket", NULL);
	Client *clients[QMP_SESSIONS_MAX];
	Client *extra;

	(void)data;
	g_assert_true(qmp_server_listen_unix(fixture->server, path, NULL));
	for (unsigned i = 0; i < QMP_SESSIONS_MAX; i++) {
		clients[i] = client_new_fd(connect_unix(path));
		client_negotiate(clients[i], false);
	}
	extra = client_new_fd(connect_unix(path));
	g_assert_null(client_line(extra));
	g_assert_nonnull(strstr(fixture->warnings->str, "turned away"));
	g_string_truncate(fixture->warnings, 0);
	client_free(extra);
	client_send(clients[0], "{\"execute\":\"test-leave\"}");
	client_expect(clients[0], "{\"return\":{}}");
	for (unsigned i = 0; i < QMP_SESSIONS_MAX; i++)
		client_free(clients[i]);
	extra = client_new_fd(connect_unix(path));
	client_negotiate(extra, false);
	client_free(extra);
	unlink(path);
	rmdir(directory);
}

/* Other streams */

typedef struct {
	GString *written;
	size_t room;
	int result; /* of the next write, if negative */
	unsigned n_accept_input;
	bool closed;
} Pipe;

static ssize_t pipe_write(void *opaque, const void *data, size_t size)
{
	Pipe *pipe_end = opaque;
	size_t taken = MIN(size, pipe_end->room);

	if (pipe_end->result < 0)
		return pipe_end->result;
	g_string_append_len(pipe_end->written, data, (gssize)taken);
	pipe_end->room -= taken;
	return (ssize_t)taken;
}

static void pipe_accept_input(void *opaque)
{
	((Pipe *)opaque)->n_accept_input++;
}

static void pipe_closed(void *opaque)
{
	((Pipe *)opaque)->closed = true;
}

static const QmpStream pipe_stream = { pipe_write, pipe_accept_input, pipe_closed };

static void test_attached_stream(Fixture *fixture, gconstpointer data)
{
	Pipe end = { .written = g_string_new(NULL), .room = 10 };
	QmpSession *session = qmp_server_attach(fixture->server, &pipe_stream, &end);
	const char *request = "{\"execute\":\"qmp_capabilities\"}";

	(void)data;
	g_assert_nonnull(session);
	g_assert_cmpuint(end.written->len, ==, 10);
	end.room = SIZE_MAX;
	qmp_session_writable(session);
	g_assert_true(g_str_has_suffix(end.written->str, "}\r\n"));
	g_string_truncate(end.written, 0);
	for (const char *byte = request; *byte; byte++)
		qmp_session_receive(session, byte, 1, NULL, 0);
	settle();
	g_assert_cmpstr(end.written->str, ==, "{\"return\":{}}\r\n");
	/* More requests than may wait: no more room until some are done. */
	g_string_truncate(end.written, 0);
	g_assert_cmpuint(qmp_session_room(session), >, 0);
	for (unsigned i = 0; i < QMP_REQUESTS_MAX + 2; i++)
		qmp_session_receive(session, "{\"execute\":\"test-leave\"}", 24, NULL, 0);
	g_assert_cmpuint(qmp_session_room(session), ==, 0);
	g_assert_cmpuint(end.n_accept_input, ==, 0);
	settle();
	g_assert_cmpuint(qmp_session_room(session), >, 0);
	g_assert_cmpuint(end.n_accept_input, ==, 1);
	g_assert_cmpuint(end.written->len, ==, (QMP_REQUESTS_MAX + 2) * 15);
	g_assert_false(end.closed);
	qmp_session_end(session);
	g_assert_true(end.closed);

	end.closed = false;
	end.result = -EPIPE;
	g_assert_null(qmp_server_attach(fixture->server, &pipe_stream, &end));
	g_assert_true(end.closed);
	g_string_free(end.written, TRUE);
}

int main(int argc, char **argv)
{
	qmp_test_init(&argc, &argv);
	ADD_TEST("listen-unix", test_listen_unix);
	ADD_TEST("listen-tcp", test_listen_tcp);
	ADD_TEST("listen-fd", test_listen_fd);
	ADD_TEST("too-many-clients", test_too_many_clients);
	ADD_TEST("attached-stream", test_attached_stream);
	return g_test_run();
}
