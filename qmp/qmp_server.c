/*
 * qmp_server.c: the monitor's side of QMP
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qmp/qmp_events.h"
#include "qmp/qmp_framing.h"
#include "qmp/qmp_session.h"
#include "qmp/qmp_socket.h"

struct QmpServer {
	GMainContext *context;
	void *machine;
	const QmpObserver *observer; /* or NULL */
	GPtrArray *tables;    /* const QmpCommand * */
	GHashTable *commands; /* name -> const QmpCommand *, both borrowed */
	GPtrArray *sessions;  /* QmpSession *, one reference each */
	GPtrArray *listeners; /* QmpListener * */
	QmpFds *fds;
	QmpEvents *events;
	QmpEventSink sink;
};

static void emit(void *opaque, const char *name, json_object *data)
{
	QmpServer *server = opaque;

	qmp_events_emit(server->events, name, data);
}

/* Sessions may end while they are sent something: works on a copy of the list. */
static GPtrArray *all_sessions(const QmpServer *server)
{
	return g_ptr_array_copy(server->sessions, NULL, NULL);
}

static void deliver(void *opaque, json_object *event)
{
	QmpServer *server = opaque;
	g_autoptr(GByteArray) text = g_byte_array_new();
	g_autoptr(GPtrArray) sessions = all_sessions(server);

	qmp_message_append(text, event);
	for (guint i = 0; i < sessions->len; i++)
		if (g_ptr_array_find(server->sessions, sessions->pdata[i], NULL))
			qmp_session_send_event(sessions->pdata[i], text);
}

QmpServer *qmp_server_new(GMainContext *context)
{
	QmpServer *server = g_new0(QmpServer, 1);

	server->context = g_main_context_ref(context ? context : g_main_context_default());
	server->tables = g_ptr_array_new();
	server->commands = g_hash_table_new(g_str_hash, g_str_equal);
	server->sessions = g_ptr_array_new();
	server->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_listener_free);
	server->fds = qmp_fds_new();
	server->events = qmp_events_new(server->context, deliver, server);
	server->sink = (QmpEventSink){ .emit = emit, .opaque = server };
	return server;
}

void qmp_server_free(QmpServer *server)
{
	if (!server)
		return;
	g_ptr_array_unref(server->listeners);
	/* SHUTDOWN, most of the time. */
	qmp_events_flush(server->events);
	while (server->sessions->len)
		qmp_session_end(g_ptr_array_index(server->sessions, 0));
	g_ptr_array_unref(server->sessions);
	qmp_events_free(server->events);
	qmp_fds_free(server->fds);
	g_hash_table_unref(server->commands);
	g_ptr_array_unref(server->tables);
	g_main_context_unref(server->context);
	g_free(server);
}

void qmp_server_add_commands(QmpServer *server, const QmpCommand *table)
{
	g_ptr_array_add(server->tables, (void *)table);
	for (; table->name; table++)
		g_hash_table_insert(server->commands, (void *)table->name, (void *)table);
}

void qmp_server_foreach_command(QmpServer *server,
				void (*func)(const QmpCommand *command, void *data), void *data)
{
	for (guint i = 0; i < server->tables->len; i++) {
		const QmpCommand *command = g_ptr_array_index(server->tables, i);

		for (; command->name; command++)
			func(command, data);
	}
}

const QmpCommand *qmp_server_find_command(QmpServer *server, const char *name)
{
	return g_hash_table_lookup(server->commands, name);
}

void qmp_server_set_machine(QmpServer *server, void *machine)
{
	server->machine = machine;
}

void qmp_server_set_observer(QmpServer *server, const QmpObserver *observer)
{
	server->observer = observer;
}

const QmpObserver *qmp_server_observer(QmpServer *server)
{
	return server->observer;
}

void *qmp_server_machine(QmpServer *server)
{
	return server->machine;
}

QmpEventSink *qmp_server_event_sink(QmpServer *server)
{
	return &server->sink;
}

QmpFds *qmp_server_fds(QmpServer *server)
{
	return server->fds;
}

void qmp_server_flush_events(QmpServer *server)
{
	qmp_events_flush(server->events);
}

QmpSession *qmp_server_attach(QmpServer *server, const QmpStream *stream, void *opaque)
{
	QmpSession *session = qmp_session_new(server, server->context, stream, opaque);

	g_ptr_array_add(server->sessions, session);
	qmp_session_greet(session);
	return g_ptr_array_find(server->sessions, session, NULL) ? session : NULL;
}

void qmp_server_remove_session(QmpServer *server, QmpSession *session)
{
	if (g_ptr_array_remove(server->sessions, session))
		qmp_session_unref(session);
}

/* Sockets */

bool qmp_server_add_client(QmpServer *server, int fd, GError **error)
{
	return qmp_connection_new(server, server->context, fd, error);
}

/* Called by a listener: refuses a client when there are too many. */
static void accept_client(void *opaque, int fd)
{
	QmpServer *server = opaque;
	g_autoptr(GError) error = NULL;

	if (server->sessions->len >= QMP_SESSIONS_MAX) {
		g_warning("a QMP client was turned away: there are %u already", QMP_SESSIONS_MAX);
		qmp_socket_close(fd);
	} else if (!qmp_connection_new(server, server->context, fd, &error)) {
		g_warning("QMP: %s", error->message);
	}
}

bool qmp_server_listen_fd(QmpServer *server, int fd, GError **error)
{
	QmpListener *listener =
		qmp_listener_new(server->context, fd, NULL, accept_client, server, error);

	if (listener)
		g_ptr_array_add(server->listeners, listener);
	return listener != NULL;
}

bool qmp_server_listen_unix(QmpServer *server, const char *path, GError **error)
{
	QmpListener *listener;
	int fd = qmp_socket_listen_unix(path, error);

	if (fd < 0)
		return false;
	listener = qmp_listener_new(server->context, fd, path, accept_client, server, error);
	if (listener)
		g_ptr_array_add(server->listeners, listener);
	return listener != NULL;
}

uint16_t qmp_server_listen_tcp(QmpServer *server, const char *host, const char *port,
			       GError **error)
{
	uint16_t number = 0;
	g_autoptr(GArray) fds = qmp_socket_listen_tcp(host, port, &number, error);

	if (!fds)
		return 0;
	for (guint i = 0; i < fds->len; i++) {
		/* Fails only for what is no listening socket. */
		if (!qmp_server_listen_fd(server, g_array_index(fds, int, i), error))
			return 0;
	}
	return number;
}
