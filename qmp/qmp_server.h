/*
 * qmp_server.h: the monitor's side of QMP
 *
 * A server holds tables of commands and any number of sessions, one for each client. Sessions come
 * from sockets it listens on, or are attached to any other stream of bytes, such as a chardev.
 *
 * Each session greets, insists on negotiation, and carries out commands one at a time in the order
 * in which they came; commands with "exec-oob" are carried out as they are read. At most
 * QMP_REQUESTS_MAX commands wait; then nothing more is read from that client. Nor is anything read
 * or carried out while more than QMP_OUTPUT_HIGH bytes wait to be written to it; a client for which
 * events pile up beyond QMP_OUTPUT_MAX is disconnected. No client ever holds up another. Clients
 * beyond QMP_SESSIONS_MAX are turned away by the sockets.
 *
 * Everything runs in one GMainContext and is to be called from its thread, but for the event sink,
 * which takes events from any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>

#include "qmp/qmp_command.h"
#include "qmp/qmp_event.h"
#include "qmp/qmp_fds.h"

#define QMP_SESSIONS_MAX 64u
#define QMP_REQUESTS_MAX 8u
#define QMP_OUTPUT_HIGH	 (64u << 10) /* bytes */
#define QMP_OUTPUT_MAX	 (4u << 20)  /* bytes */

typedef struct QmpSession QmpSession;

/**
 * qmp_server_new: a server without commands and sessions
 * @context: where it runs; NULL for the default one
 */
QmpServer *qmp_server_new(GMainContext *context);

/**
 * qmp_server_free: sends the events that wait, ends all sessions, stops listening, frees the server
 * @server: may be NULL. What a client's stream does not take at once is lost.
 */
void qmp_server_free(QmpServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpServer, qmp_server_free)

/**
 * qmp_server_add_commands: adds a table of commands
 * @table: generated; ends with a command without a name. Borrowed for the server's life.
 */
void qmp_server_add_commands(QmpServer *server, const QmpCommand *table);

/**
 * qmp_server_set_machine: says what handlers act on
 * @machine: what qmp_context_machine() returns from now on. Until it is set, only commands with
 *           'allow-preconfig' are carried out. Borrowed until it is set to something else.
 */
void qmp_server_set_machine(QmpServer *server, void *machine);

/** QmpObserver: told of a command before it is carried out, and after (with whether it succeeded) */
typedef struct QmpObserver {
	void (*begins)(const char *command);
	void (*ended)(const char *command, bool success);
} QmpObserver;

/**
 * qmp_server_set_observer: says who is told of commands
 * @observer: borrowed for the server's life; NULL for nobody
 */
void qmp_server_set_observer(QmpServer *server, const QmpObserver *observer);

/** qmp_server_event_sink: where events for all clients go. Lives as long as the server. */
QmpEventSink *qmp_server_event_sink(QmpServer *server);

/**
 * qmp_server_flush_events: sends the events that wait now, not when the context next turns
 *
 * For the end of a machine, whose last event would come too late. Sessions may end.
 */
void qmp_server_flush_events(QmpServer *server);

/** qmp_server_fds: the descriptors that clients have handed over. Lives as long as the server. */
QmpFds *qmp_server_fds(QmpServer *server);

/**
 * qmp_server_foreach_command: calls a function for each command
 * @func: gets the command and @data; in the order in which the tables have them
 */
void qmp_server_foreach_command(QmpServer *server,
				void (*func)(const QmpCommand *command, void *data), void *data);

/* Sockets. */

/**
 * qmp_server_listen_unix: listens on a Unix domain socket
 * @path: where; a socket left behind there is removed. Removed when the server is freed.
 *
 * Returns: false with @error set.
 */
bool qmp_server_listen_unix(QmpServer *server, const char *path, GError **error);

/**
 * qmp_server_listen_tcp: listens on every address a host name stands for
 * @host: name or numeric address; NULL or "" is every address of the host
 * @port: number or service name; "0" is any that is free
 *
 * Returns: the port of the first socket; 0 with @error set.
 */
uint16_t qmp_server_listen_tcp(QmpServer *server, const char *host, const char *port,
			       GError **error);

/**
 * qmp_server_listen_fd: listens on a socket that somebody else made
 * @fd: a stream socket that listens; the server's in any case
 *
 * Returns: false with @error set if it is no such socket.
 */
bool qmp_server_listen_fd(QmpServer *server, int fd, GError **error);

/**
 * qmp_server_add_client: starts a session on a connection
 * @fd: a connected stream socket; the server's in any case
 *
 * Returns: false with @error set if it is no such socket.
 */
bool qmp_server_add_client(QmpServer *server, int fd, GError **error);

/* Other streams. */

/* What a session asks of its stream. All called in the server's thread. */
typedef struct {
	/*
	 * Writes without blocking. Returns how many bytes were taken; less than @size, 0
	 * included, is a promise to call qmp_session_writable() once there is room. A negative
	 * errno value ends the session.
	 */
	ssize_t (*write)(void *opaque, const void *data, size_t size);
	/* qmp_session_room() is no longer 0: input may come again. */
	void (*accept_input)(void *opaque);
	/* The session is over and gone after this call; called once, whoever ended it. */
	void (*closed)(void *opaque);
} QmpStream;

/**
 * qmp_server_attach: starts a session on a stream of bytes
 * @stream: its operations; borrowed for the session's life
 * @opaque: passed to them
 *
 * The greeting is written before this returns.
 *
 * Returns: the session, which belongs to the server; NULL if the stream failed at once, after
 * stream->closed() has been called.
 */
QmpSession *qmp_server_attach(QmpServer *server, const QmpStream *stream, void *opaque);

/** qmp_session_room: how many bytes the session takes now; 0 until it says accept_input. */
size_t qmp_session_room(const QmpSession *session);

/**
 * qmp_session_receive: takes bytes from the client
 * @data: the bytes
 * @size: how many; more than qmp_session_room() are taken as well
 * @fds: descriptors that came with these bytes, now the session's
 * @n_fds: how many
 *
 * The session may be gone afterwards; stream->closed() has then been called.
 */
void qmp_session_receive(QmpSession *session, const void *data, size_t size, const int *fds,
			 size_t n_fds);

/** qmp_session_writable: there is room in the stream again. The session may be gone afterwards. */
void qmp_session_writable(QmpSession *session);

/** qmp_session_end: the stream is at its end; ends the session. */
void qmp_session_end(QmpSession *session);
