/*
 * qmp_session.c: one client of a QMP server
 *
 * Bytes come in through qmp_session_receive(), become messages, and wait as requests; a source of
 * the main context carries out one request at a time, so that clients take turns. Replies and
 * events gather in one buffer that is written as the stream takes it.
 *
 * Descriptors (SCM_RIGHTS) belong to the messages in whose bytes they came. The kernel joins bytes
 * sent before a descriptor with those sent with it, so all that is known is the last message they
 * can belong to: they are there to be taken until that message has been carried out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <unistd.h>

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "qmp/qmp_framing.h"
#include "qmp/qmp_session.h"

#define INPUT_CHUNK	       (64u << 10) /* bytes taken at once */
#define FDS_MAX		       64u	   /* descriptors that wait to be taken */
#define AFTER_REPLY_TIMEOUT_MS 2000u
/* The message a descriptor came with is not complete yet. */
#define UNTIL_OPEN UINT64_MAX

/* A message that waits to be carried out. */
typedef struct {
	json_object *message; /* NULL if @error is set, or for JSON's null */
	char *error;	      /* what was wrong with the bytes */
	uint64_t number;
} Request;

typedef struct {
	int fd;
	uint64_t until; /* the number of the last message it can belong to */
} ReceivedFd;

struct QmpSession {
	unsigned references;
	QmpServer *server;
	GMainContext *context;
	const QmpStream *stream;
	void *opaque;
	bool ended;
	bool negotiated;
	bool oob;
	bool blocked; /* the stream was told that there is no room */

	QmpFramer *framer;
	uint64_t n_messages;
	GByteArray *input; /* received, but not looked at while too much waits */
	GQueue requests;
	GArray *fds; /* ReceivedFd */
	GSource *dispatch;

	GByteArray *output;
	size_t written;	     /* of output, bytes */
	GSList *after_reply; /* GSource */
};

struct QmpContext {
	QmpSession *session;
	uint64_t message; /* its number */
	GSourceFunc after_reply;
	void *after_reply_data;
};

static void request_free(Request *request)
{
	json_object_put(request->message);
	g_free(request->error);
	g_free(request);
}

static QmpSession *session_ref(QmpSession *session)
{
	session->references++;
	return session;
}

void qmp_session_unref(QmpSession *session)
{
	if (--session->references)
		return;
	qmp_framer_free(session->framer);
	g_byte_array_unref(session->input);
	g_byte_array_unref(session->output);
	g_array_unref(session->fds);
	g_main_context_unref(session->context);
	g_free(session);
}

/* Closes the descriptors that no message up to @message has taken. */
static void drop_fds(QmpSession *session, uint64_t message)
{
	for (guint i = session->fds->len; i-- > 0;) {
		const ReceivedFd *received = &g_array_index(session->fds, ReceivedFd, i);

		if (received->until <= message) {
			close(received->fd);
			g_array_remove_index(session->fds, i);
		}
	}
}

/* Lets what waits for replies to be written happen. */
static void release_after_reply(QmpSession *session)
{
	GSList *waiting = g_steal_pointer(&session->after_reply);

	for (GSList *item = waiting; item; item = item->next) {
		g_source_set_ready_time(item->data, 0);
		g_source_unref(item->data);
	}
	g_slist_free(waiting);
}

static void stop_dispatch(QmpSession *session)
{
	if (session->dispatch) {
		g_source_destroy(session->dispatch);
		g_clear_pointer(&session->dispatch, g_source_unref);
	}
}

void qmp_session_end(QmpSession *session)
{
	Request *request;

	if (session->ended)
		return;
	session->ended = true;
	stop_dispatch(session);
	while ((request = g_queue_pop_head(&session->requests)))
		request_free(request);
	drop_fds(session, UNTIL_OPEN);
	release_after_reply(session);
	session->stream->closed(session->opaque);
	qmp_server_remove_session(session->server, session);
}

static size_t output_waiting(const QmpSession *session)
{
	return session->output->len - session->written;
}

static bool is_blocked(const QmpSession *session)
{
	return session->requests.length >= QMP_REQUESTS_MAX ||
	       output_waiting(session) > QMP_OUTPUT_HIGH;
}

size_t qmp_session_room(const QmpSession *session)
{
	return session->blocked || session->input->len ? 0 : INPUT_CHUNK;
}

/* Writes what the stream takes. May end the session. */
static void flush(QmpSession *session)
{
	while (!session->ended && output_waiting(session)) {
		size_t waiting = output_waiting(session);
		ssize_t taken = session->stream->write(
			session->opaque, session->output->data + session->written, waiting);

		if (taken < 0) {
			qmp_session_end(session);
			return;
		}
		session->written += MIN((size_t)taken, waiting);
		if ((size_t)taken < waiting)
			break;
	}
	if (!output_waiting(session)) {
		g_byte_array_set_size(session->output, 0);
		session->written = 0;
		release_after_reply(session);
	} else if (session->written > QMP_OUTPUT_HIGH) {
		g_byte_array_remove_range(session->output, 0, (guint)session->written);
		session->written = 0;
	}
}

/* Queues a message; writes at once unless others wait before it. */
static void send_message(QmpSession *session, json_object *message)
{
	bool was_empty = !output_waiting(session);

	qmp_message_append(session->output, message);
	if (was_empty)
		flush(session);
}

void qmp_session_send_event(QmpSession *session, const GByteArray *text)
{
	bool was_empty = !output_waiting(session);

	if (session->ended || !session->negotiated)
		return;
	if (output_waiting(session) + text->len > QMP_OUTPUT_MAX) {
		g_warning("a QMP client that does not read its events was disconnected");
		qmp_session_end(session);
		return;
	}
	g_byte_array_append(session->output, text->data, text->len);
	if (was_empty)
		flush(session);
}

/* Carrying out requests */

static json_object *error_object(const GError *error)
{
	json_object *object = json_object_new_object();

	json_object_object_add(object, "class", json_object_new_string(qmp_error_class(error)));
	json_object_object_add(object, "desc", json_object_new_string(error->message));
	return object;
}

/* What a message asks for. All borrowed from the message. */
typedef struct {
	const char *command;
	json_object *arguments; /* NULL if there were none */
	bool oob;
} Call;

static bool read_execute(json_object *value, const char *key, Call *call, GError **error)
{
	if (!json_object_is_type(value, json_type_string)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "QMP input member '%s' must be a string", key);
		return false;
	}
	if (call->command) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "QMP input member '%s' clashes with '%s'", key,
			    call->oob ? "exec-oob" : "execute");
		return false;
	}
	call->command = json_object_get_string(value);
	call->oob = g_str_equal(key, "exec-oob");
	return true;
}

static bool read_call(const QmpSession *session, json_object *message, Call *call, GError **error)
{
	if (!json_object_is_type(message, json_type_object)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "QMP input must be a JSON object");
		return false;
	}
	json_object_object_foreach(message, key, value)
	{
		if (g_str_equal(key, "execute") || (g_str_equal(key, "exec-oob") && session->oob)) {
			if (!read_execute(value, key, call, error))
				return false;
		} else if (g_str_equal(key, "arguments")) {
			if (!json_object_is_type(value, json_type_object)) {
				g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
					    "QMP input member 'arguments' must be an object");
				return false;
			}
			call->arguments = value;
		} else if (!g_str_equal(key, "id")) {
			g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
				    "QMP input member '%s' is unexpected", key);
			return false;
		}
	}
	if (call->command)
		return true;
	g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "QMP input lacks member 'execute'");
	return false;
}

static const QmpCommand *find_command(const QmpSession *session, const Call *call, GError **error)
{
	const QmpCommand *command = qmp_server_find_command(session->server, call->command);
	bool negotiates = g_str_equal(call->command, "qmp_capabilities");

	if (!session->negotiated && !negotiates) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
			    "Expecting capabilities negotiation with 'qmp_capabilities'");
		return NULL;
	}
	if (session->negotiated && negotiates) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
			    "Capabilities negotiation is already complete, command ignored");
		return NULL;
	}
	if (!command) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
			    "The command %s has not been found", call->command);
		return NULL;
	}
	if (call->oob && !(command->flags & QMP_COMMAND_ALLOW_OOB)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "The command %s does not support OOB", call->command);
		return NULL;
	}
	if (!(command->flags & QMP_COMMAND_ALLOW_PRECONFIG) &&
	    !qmp_server_machine(session->server)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "The command '%s' is permitted only after machine initialization "
			    "has completed",
			    call->command);
		return NULL;
	}
	return command;
}

/* The reply to a request, without its id. */
static json_object *carry_out(const Request *request, QmpContext *context)
{
	json_object *reply = json_object_new_object();
	json_object *result = NULL;
	const QmpCommand *command = NULL;
	g_autoptr(GError) error = NULL;
	Call call = { 0 };
	bool ok = false;

	if (request->error)
		g_set_error_literal(&error, QMP_ERROR, QMP_ERROR_GENERIC, request->error);
	else if (read_call(context->session, request->message, &call, &error))
		command = find_command(context->session, &call, &error);
	if (command) {
		const QmpObserver *observer = qmp_server_observer(context->session->server);
		json_object *arguments =
			call.arguments ? json_object_get(call.arguments) : json_object_new_object();

		if (observer)
			observer->begins(command->name);
		ok = command->marshal(context, arguments, &result, &error);
		if (observer)
			observer->ended(command->name, ok);
		json_object_put(arguments);
		if (!ok && !error)
			g_set_error(&error, QMP_ERROR, QMP_ERROR_GENERIC,
				    "The command %s failed without saying why", call.command);
	}
	if (ok)
		json_object_object_add(reply, "return", result ? result : json_object_new_object());
	else
		json_object_object_add(reply, "error", error_object(error));
	return reply;
}

static void add_after_reply(QmpSession *session, const QmpContext *context)
{
	GSource *source;

	if (!context->after_reply)
		return;
	source = g_timeout_source_new(AFTER_REPLY_TIMEOUT_MS);
	g_source_set_callback(source, context->after_reply, context->after_reply_data, NULL);
	g_source_attach(source, session->context);
	session->after_reply = g_slist_append(session->after_reply, source);
	if (session->ended || !output_waiting(session))
		release_after_reply(session);
}

/* Carries out one request and sends the reply. May end the session, which the caller holds. */
static void serve(QmpSession *session, Request *request)
{
	QmpContext context = { .session = session, .message = request->number };
	json_object *reply = carry_out(request, &context);
	json_object *id;

	if (!request->error && json_object_is_type(request->message, json_type_object) &&
	    json_object_object_get_ex(request->message, "id", &id))
		json_object_object_add(reply, "id", json_object_get(id));
	/* What happened before the reply is told before the reply. */
	if (!session->ended)
		qmp_server_flush_events(session->server);
	if (!session->ended)
		send_message(session, reply);
	add_after_reply(session, &context);
	drop_fds(session, request->number);
	json_object_put(reply);
	request_free(request);
}

/* Flow */

static void take_input(QmpSession *session);

static void session_update(QmpSession *session);

static gboolean dispatch_one(void *data)
{
	QmpSession *session = session_ref(data);
	Request *request = g_queue_pop_head(&session->requests);

	if (request)
		serve(session, request);
	session_update(session);
	qmp_session_unref(session);
	return G_SOURCE_CONTINUE;
}

/* Starts or stops carrying out requests, and reading, by what waits. May end the session. */
static void session_update(QmpSession *session)
{
	bool was_blocked = session->blocked;

	if (!session->ended)
		take_input(session);
	if (session->ended)
		return;
	if (g_queue_is_empty(&session->requests) || output_waiting(session) > QMP_OUTPUT_HIGH) {
		stop_dispatch(session);
	} else if (!session->dispatch) {
		session->dispatch = g_idle_source_new();
		g_source_set_priority(session->dispatch, G_PRIORITY_DEFAULT);
		g_source_set_callback(session->dispatch, dispatch_one, session, NULL);
		g_source_attach(session->dispatch, session->context);
	}
	session->blocked = is_blocked(session) || session->input->len;
	if (was_blocked && !session->blocked)
		session->stream->accept_input(session->opaque);
}

static bool is_oob(const QmpSession *session, const Request *request)
{
	return session->oob && json_object_is_type(request->message, json_type_object) &&
	       json_object_object_get_ex(request->message, "exec-oob", NULL);
}

static void take_frame(QmpSession *session, QmpFrame *frame)
{
	Request *request = g_new0(Request, 1);

	request->number = ++session->n_messages;
	if (frame->kind == QMP_FRAME_MESSAGE)
		request->message = frame->message;
	else
		request->error = g_strdup(frame->error);
	if (is_oob(session, request))
		serve(session, request);
	else
		g_queue_push_tail(&session->requests, request);
}

/* Makes requests of the input while there is room for them. */
static void take_input(QmpSession *session)
{
	size_t used = 0;

	while (!session->ended && used < session->input->len && !is_blocked(session)) {
		QmpFrame frame;

		used += qmp_framer_feed(session->framer, (const char *)session->input->data + used,
					session->input->len - used, &frame);
		if (frame.kind != QMP_FRAME_NONE)
			take_frame(session, &frame);
	}
	g_byte_array_remove_range(session->input, 0, (guint)used);
	if (session->input->len)
		return;
	for (guint i = 0; i < session->fds->len; i++) {
		ReceivedFd *received = &g_array_index(session->fds, ReceivedFd, i);

		if (received->until == UNTIL_OPEN)
			received->until =
				session->n_messages + !qmp_framer_is_idle(session->framer);
	}
}

void qmp_session_receive(QmpSession *session, const void *data, size_t size, const int *fds,
			 size_t n_fds)
{
	session_ref(session);
	for (size_t i = 0; i < n_fds; i++) {
		const ReceivedFd received = { .fd = fds[i], .until = UNTIL_OPEN };

		if (session->ended || session->fds->len >= FDS_MAX)
			close(fds[i]);
		else
			g_array_append_val(session->fds, received);
	}
	if (!session->ended)
		g_byte_array_append(session->input, data, (guint)size);
	session_update(session);
	qmp_session_unref(session);
}

void qmp_session_writable(QmpSession *session)
{
	session_ref(session);
	flush(session);
	session_update(session);
	qmp_session_unref(session);
}

QmpSession *qmp_session_new(QmpServer *server, GMainContext *context, const QmpStream *stream,
			    void *opaque)
{
	QmpSession *session = g_new0(QmpSession, 1);

	session->references = 1;
	session->server = server;
	session->context = g_main_context_ref(context);
	session->stream = stream;
	session->opaque = opaque;
	session->framer = qmp_framer_new();
	session->input = g_byte_array_new();
	session->output = g_byte_array_new();
	session->fds = g_array_new(FALSE, FALSE, sizeof(ReceivedFd));
	return session;
}

void qmp_session_greet(QmpSession *session)
{
	json_object *message = json_object_new_object();
	json_object *greeting = json_object_new_object();
	json_object *capabilities = json_object_new_array();

	json_object_array_add(capabilities, json_object_new_string(qapi_str_QMPCapability(
						    QAPI_QMP_CAPABILITY_OOB)));
	json_object_object_add(greeting, "version", qmp_greeting_version());
	json_object_object_add(greeting, "capabilities", capabilities);
	json_object_object_add(message, "QMP", greeting);
	send_message(session, message);
	json_object_put(message);
}

/* What handlers may ask */

bool qmp_capabilities(QmpContext *ctx, const GArray *enable, GError **error)
{
	(void)error;
	/* OOB is the only capability there is; the parser refuses others. */
	ctx->session->oob = enable && enable->len;
	ctx->session->negotiated = true;
	return true;
}

QmpServer *qmp_context_server(const QmpContext *ctx)
{
	return ctx->session->server;
}

void *qmp_context_machine(const QmpContext *ctx)
{
	return qmp_server_machine(ctx->session->server);
}

QmpFds *qmp_context_fds(const QmpContext *ctx)
{
	return qmp_server_fds(ctx->session->server);
}

int qmp_context_take_fd(QmpContext *ctx, GError **error)
{
	GArray *fds = ctx->session->fds;
	int fd;

	if (!fds->len) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "No file descriptor supplied via SCM_RIGHTS");
		return -1;
	}
	fd = g_array_index(fds, ReceivedFd, 0).fd;
	g_array_remove_index(fds, 0);
	return fd;
}

void qmp_context_after_reply(QmpContext *ctx, GSourceFunc func, void *data)
{
	ctx->after_reply = func;
	ctx->after_reply_data = data;
}

bool qmp_command_has_no_arguments(json_object *in, GError **error)
{
	json_object_object_foreach(in, name, value)
	{
		(void)value;
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "Parameter '%s' is unexpected",
			    name);
		return false;
	}
	return true;
}
