/*
 * qmp_connection.c: sessions of a server on sockets, and the listeners that start them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/qmp_error.h"
#include "qmp/qmp_socket.h"

#define READ_SIZE (64u << 10) /* bytes */
/* How long a listener rests when the process is out of descriptors. */
#define ACCEPT_REST_MS 1000u

/* Connections */

typedef struct {
	int fd;
	GMainContext *context;
	QmpSession *session;
	GSource *input;	 /* while the session has room */
	GSource *output; /* while it has more than the socket takes */
} Connection;

static void drop_source(GSource **source)
{
	if (*source) {
		g_source_destroy(*source);
		g_clear_pointer(source, g_source_unref);
	}
}

static GSource *watch(GMainContext *context, int fd, GIOCondition condition, GUnixFDSourceFunc func,
		      void *data)
{
	GSource *source = g_unix_fd_source_new(fd, condition);

	g_source_set_callback(source, G_SOURCE_FUNC(func), data, NULL);
	g_source_attach(source, context);
	return source;
}

static gboolean input_ready(int fd, GIOCondition condition, void *data)
{
	Connection *connection = data;
	g_autofree uint8_t *buffer = NULL;
	int fds[QMP_SOCKET_FDS_MAX];
	size_t n_fds;
	size_t room = qmp_session_room(connection->session);
	ssize_t size;

	(void)condition;
	if (!room) {
		/* The session says when to go on; until then the socket fills up. */
		drop_source(&connection->input);
		return G_SOURCE_REMOVE;
	}
	buffer = g_malloc(READ_SIZE);
	size = qmp_socket_receive(fd, buffer, MIN(room, READ_SIZE), fds, &n_fds);
	if (size == -EAGAIN)
		return G_SOURCE_CONTINUE;
	/* The connection may be gone after either call, and this source with it. */
	if (size <= 0)
		qmp_session_end(connection->session);
	else
		qmp_session_receive(connection->session, buffer, (size_t)size, fds, n_fds);
	return G_SOURCE_CONTINUE;
}

static void watch_input(Connection *connection)
{
	if (!connection->input)
		connection->input = watch(connection->context, connection->fd, G_IO_IN, input_ready,
					  connection);
}

static gboolean output_ready(int fd, GIOCondition condition, void *data)
{
	Connection *connection = data;

	(void)fd;
	(void)condition;
	drop_source(&connection->output);
	qmp_session_writable(connection->session);
	return G_SOURCE_REMOVE;
}

static ssize_t connection_write(void *opaque, const void *data, size_t size)
{
	Connection *connection = opaque;
	ssize_t taken = qmp_socket_send(connection->fd, data, size, -1);

	if (taken == -EAGAIN)
		taken = 0;
	if (taken >= 0 && (size_t)taken < size && !connection->output)
		connection->output = watch(connection->context, connection->fd, G_IO_OUT,
					   output_ready, connection);
	return taken;
}

static void connection_accept_input(void *opaque)
{
	watch_input(opaque);
}

static void connection_closed(void *opaque)
{
	Connection *connection = opaque;

	drop_source(&connection->input);
	drop_source(&connection->output);
	close(connection->fd);
	g_main_context_unref(connection->context);
	g_free(connection);
}

bool qmp_connection_new(QmpServer *server, GMainContext *context, int fd, GError **error)
{
	static const QmpStream stream = {
		.write = connection_write,
		.accept_input = connection_accept_input,
		.closed = connection_closed,
	};
	Connection *connection;
	QmpSession *session;

	if (!qmp_socket_prepare(fd, error)) {
		close(fd);
		return false;
	}
	connection = g_new0(Connection, 1);
	connection->fd = fd;
	connection->context = g_main_context_ref(context);
	session = qmp_server_attach(server, &stream, connection);
	if (!session) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "the client is gone already");
		return false;
	}
	connection->session = session;
	watch_input(connection);
	return true;
}

/* Listeners */

struct QmpListener {
	int fd;
	char *path;
	GMainContext *context;
	GSource *source;
	void (*accept)(void *opaque, int fd);
	void *opaque;
};

static gboolean client_waits(int fd, GIOCondition condition, void *data);

static gboolean rest_is_over(void *data)
{
	QmpListener *listener = data;

	drop_source(&listener->source);
	listener->source = watch(listener->context, listener->fd, G_IO_IN, client_waits, listener);
	return G_SOURCE_REMOVE;
}

static gboolean client_waits(int fd, GIOCondition condition, void *data)
{
	QmpListener *listener = data;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)condition;
	if (client >= 0) {
		listener->accept(listener->opaque, client);
		return G_SOURCE_CONTINUE;
	}
	if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return G_SOURCE_CONTINUE;
	/* The client goes on waiting, and poll would say so without a pause. */
	g_warning("no QMP client can be accepted: %s", g_strerror(errno));
	drop_source(&listener->source);
	listener->source = g_timeout_source_new(ACCEPT_REST_MS);
	g_source_set_callback(listener->source, rest_is_over, listener, NULL);
	g_source_attach(listener->source, listener->context);
	return G_SOURCE_REMOVE;
}

QmpListener *qmp_listener_new(GMainContext *context, int fd, const char *path,
			      void (*accept)(void *opaque, int fd), void *opaque, GError **error)
{
	QmpListener *listener;
	int listens = 0;
	socklen_t length = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) || !listens) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "descriptor %d is not a socket that listens", fd);
		close(fd);
		return NULL;
	}
	if (!qmp_socket_prepare(fd, error)) {
		close(fd);
		return NULL;
	}
	listener = g_new0(QmpListener, 1);
	listener->fd = fd;
	listener->path = g_strdup(path);
	listener->context = g_main_context_ref(context);
	listener->accept = accept;
	listener->opaque = opaque;
	listener->source = watch(context, fd, G_IO_IN, client_waits, listener);
	return listener;
}

void qmp_listener_free(QmpListener *listener)
{
	if (!listener)
		return;
	drop_source(&listener->source);
	close(listener->fd);
	if (listener->path)
		unlink(listener->path);
	g_main_context_unref(listener->context);
	g_free(listener->path);
	g_free(listener);
}
