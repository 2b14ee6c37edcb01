/*
 * qmp_client.h: the other side of QMP: sends commands, waits for replies, receives events
 *
 * A client serves its connection in a GMainContext, which one thread runs; commands may be sent
 * from any thread. qmp_client_call() waits for the reply: from another thread it sleeps until the
 * context's thread has it; from the context's own thread, or if no thread runs the context, it turns
 * the context meanwhile.
 *
 * The peer need not be trusted: what it sends is limited in size, depth and number, replies nobody
 * waits for are dropped, and a peer that breaks the protocol is disconnected.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <json-c/json.h>

/* Errors of the client itself; errors a peer answers with are of domain QMP_ERROR. */
#define QMP_CLIENT_ERROR (qmp_client_error_quark())
GQuark qmp_client_error_quark(void);

typedef enum {
	QMP_CLIENT_ERROR_CLOSED,   /* there is no connection, or no longer */
	QMP_CLIENT_ERROR_TIMEOUT,  /* no reply in time; one that comes later is dropped */
	QMP_CLIENT_ERROR_PROTOCOL, /* the peer does not speak QMP */
} QmpClientError;

typedef struct QmpClient QmpClient;

/* What the client tells its owner, in the context's thread. All may be NULL. */
typedef struct {
	/* The peer has greeted and accepted the capabilities: commands are carried out. */
	void (*ready)(QmpClient *client, void *opaque);
	/* An event; @data is borrowed, NULL for an event without data. @time_us: since 1970. */
	void (*event)(QmpClient *client, const char *name, json_object *data, int64_t time_us,
		      void *opaque);
	/*
	 * The connection is over, for the reason @error; called once, after the callbacks of all
	 * commands that waited, and not if qmp_client_close() was called before.
	 */
	void (*closed)(QmpClient *client, const GError *error, void *opaque);
} QmpClientCallbacks;

/*
 * A command is over: @reply is what it returned (borrowed), or NULL with @error set. In the
 * context's thread, never from inside qmp_client_send().
 */
typedef void (*QmpClientReply)(QmpClient *client, json_object *reply, const GError *error,
			       void *opaque);

/**
 * qmp_client_new_unix: connects to a Unix domain socket
 * @context: where the client is served; NULL for the default one
 * @path: the socket
 * @callbacks: borrowed for the life of the connection; may be NULL
 * @opaque: passed to them
 *
 * Negotiates by itself. Commands sent before that is done wait until then.
 *
 * Returns: a reference to the client; NULL with @error set if nothing listens there, or if it has
 * as many connections waiting as it lets wait. Does not block.
 */
QmpClient *qmp_client_new_unix(GMainContext *context, const char *path,
			       const QmpClientCallbacks *callbacks, void *opaque, GError **error);

/**
 * qmp_client_new_fd: takes over a connection
 * @fd: a connected stream socket; the client's in any case
 *
 * Otherwise as qmp_client_new_unix().
 */
QmpClient *qmp_client_new_fd(GMainContext *context, int fd, const QmpClientCallbacks *callbacks,
			     void *opaque, GError **error);

/** qmp_client_ref: another reference. Any thread. */
QmpClient *qmp_client_ref(QmpClient *client);

/** qmp_client_unref: drops a reference; the connection keeps one while it lasts. Any thread. */
void qmp_client_unref(QmpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpClient, qmp_client_unref)

/**
 * qmp_client_close: ends the connection
 *
 * Commands that wait fail with QMP_CLIENT_ERROR_CLOSED; callbacks->closed is not called. Any
 * thread; from another than the context's, callbacks that run meanwhile may still be running when
 * this returns.
 */
void qmp_client_close(QmpClient *client);

/** qmp_client_is_open: whether there is a connection. Any thread. */
bool qmp_client_is_open(QmpClient *client);

/**
 * qmp_client_send: sends a command
 * @name: its name
 * @arguments: a reference to an object, which it owns, or NULL
 * @fd: a descriptor that goes with it (duplicated), or -1
 * @reply: called when it is over, or NULL
 * @opaque: passed to @reply
 *
 * Any thread; does not block. A connection that is over is told through @reply.
 */
void qmp_client_send(QmpClient *client, const char *name, json_object *arguments, int fd,
		     QmpClientReply reply, void *opaque);

/**
 * qmp_client_call: sends a command and waits for its reply
 * @name: its name
 * @arguments: a reference to an object, which it owns, or NULL
 * @fd: a descriptor that goes with it, or -1
 * @timeout_ms: for how long to wait; 0 for as long as the connection lasts
 * @error: QMP_ERROR with the peer's class and text, or QMP_CLIENT_ERROR
 *
 * Any thread.
 *
 * Returns: a reference to what the command returned; NULL with @error set.
 */
json_object *qmp_client_call(QmpClient *client, const char *name, json_object *arguments, int fd,
			     unsigned timeout_ms, GError **error);

/**
 * qmp_client_call_raw: sends a command as somebody wrote it and waits for the whole reply
 * @text: one JSON object; its "id" is replaced on the way and put back in the reply
 *
 * Otherwise as qmp_client_call().
 *
 * Returns: a reference to the reply, with "return" or "error"; NULL with @error set if @text is no
 * JSON object or there is no reply.
 */
json_object *qmp_client_call_raw(QmpClient *client, const char *text, unsigned timeout_ms,
				 GError **error);
