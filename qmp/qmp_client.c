/*
 * qmp_client.c: the other side of QMP: sends commands, waits for replies, receives events
 *
 * All I/O happens in the context's thread. Other threads put commands in a queue and wake it up.
 * Commands carry a number as id, by which their replies are found.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qmp/qmp_client.h"
#include "qmp/qmp_error.h"
#include "qmp/qmp_framing.h"
#include "qmp/qmp_socket.h"

G_DEFINE_QUARK(qmp - client - error - quark, qmp_client_error)

#define READ_SIZE (64u << 10) /* bytes */

/* A thread that waits for a reply. Freed by whoever of the two lets go of it last. */
typedef struct {
	gatomicrefcount references;
	GMutex lock;
	GCond changed;
	bool done;
	json_object *reply;
	GError *error;
} Waiter;

/* A command on its way. */
typedef struct {
	uint64_t id;
	GByteArray *text; /* what remains to be written */
	int fd;		  /* goes with the first byte; -1 if none is left to go */
	int fd_error;	  /* why there is no descriptor although one was to go, or 0 */
	bool raw;	  /* the reply is wanted as a whole */
	Waiter *waiter;	  /* or NULL */
	QmpClientReply reply;
	void *opaque;
} Command;

struct QmpClient {
	gatomicrefcount references;
	GMainContext *context;
	const QmpClientCallbacks *callbacks;
	void *opaque;

	/* The context's thread only. */
	int fd; /* -1 when the connection is over */
	QmpFramer *framer;
	GSource *input;
	GSource *output;
	bool greeted;
	bool negotiated;
	GHashTable *sent; /* id -> Command */

	GMutex lock;	/* for what follows */
	GQueue to_send; /* Command */
	GSource *wakeup;
	uint64_t last_id;
	bool is_open;
	bool close_wanted;
};

static void schedule(QmpClient *client);

static void waiter_unref(Waiter *waiter)
{
	if (!g_atomic_ref_count_dec(&waiter->references))
		return;
	json_object_put(waiter->reply);
	g_clear_error(&waiter->error);
	g_mutex_clear(&waiter->lock);
	g_cond_clear(&waiter->changed);
	g_free(waiter);
}

static void command_free(Command *command)
{
	if (command->waiter)
		waiter_unref(command->waiter);
	g_byte_array_unref(command->text);
	if (command->fd >= 0)
		close(command->fd);
	g_free(command);
}

QmpClient *qmp_client_ref(QmpClient *client)
{
	g_atomic_ref_count_inc(&client->references);
	return client;
}

void qmp_client_unref(QmpClient *client)
{
	Command *command;

	if (!client || !g_atomic_ref_count_dec(&client->references))
		return;
	while ((command = g_queue_pop_head(&client->to_send)))
		command_free(command);
	g_hash_table_unref(client->sent);
	qmp_framer_free(client->framer);
	g_mutex_clear(&client->lock);
	g_main_context_unref(client->context);
	g_free(client);
}

static void drop_source(GSource **source)
{
	if (*source) {
		g_source_destroy(*source);
		g_clear_pointer(source, g_source_unref);
	}
}

/* Tells who sent a command that it is over. No list holds it any more. */
static void end_command(QmpClient *client, Command *command, json_object *reply,
			const GError *error)
{
	Waiter *waiter = command->waiter;

	if (waiter) {
		g_mutex_lock(&waiter->lock);
		/* The references of json-c are not for two threads: the waiter gets a copy. */
		if (reply)
			json_object_deep_copy(reply, &waiter->reply, NULL);
		else
			waiter->error = g_error_copy(error);
		waiter->done = true;
		g_cond_signal(&waiter->changed);
		g_mutex_unlock(&waiter->lock);
	}
	if (command->reply)
		command->reply(client, reply, error, command->opaque);
	command_free(command);
}

static gint compare_ids(gconstpointer a, gconstpointer b)
{
	uint64_t first = ((const Command *)a)->id, second = ((const Command *)b)->id;

	return first < second ? -1 : first > second;
}

/* In the context's thread. */
static void end_connection(QmpClient *client, const GError *error)
{
	GQueue commands = G_QUEUE_INIT;
	Command *command;
	bool wanted;

	if (client->fd < 0)
		return;
	drop_source(&client->input);
	drop_source(&client->output);
	close(client->fd);
	client->fd = -1;
	{
		g_autoptr(GList) sent = g_hash_table_get_values(client->sent);

		g_hash_table_steal_all(client->sent);
		sent = g_list_sort(sent, compare_ids);
		for (GList *item = sent; item; item = item->next)
			g_queue_push_tail(&commands, item->data);
	}
	g_mutex_lock(&client->lock);
	client->is_open = false;
	wanted = client->close_wanted;
	while ((command = g_queue_pop_head(&client->to_send)))
		g_queue_push_tail(&commands, command);
	g_mutex_unlock(&client->lock);
	while ((command = g_queue_pop_head(&commands)))
		end_command(client, command, NULL, error);
	if (!wanted && client->callbacks && client->callbacks->closed)
		client->callbacks->closed(client, error, client->opaque);
	qmp_client_unref(client);
}

static void end_with(QmpClient *client, QmpClientError code, const char *message)
{
	g_autoptr(GError) error = g_error_new_literal(QMP_CLIENT_ERROR, code, message);

	end_connection(client, error);
}

/* Writing */

static gboolean output_ready(int fd, GIOCondition condition, void *data)
{
	QmpClient *client = data;

	(void)fd;
	(void)condition;
	drop_source(&client->output);
	schedule(client);
	return G_SOURCE_REMOVE;
}

/* Writes what is left of a command. Returns 0, -EAGAIN or a negative errno value. */
static int write_command(QmpClient *client, Command *command)
{
	while (command->text->len) {
		ssize_t taken = qmp_socket_send(client->fd, command->text->data, command->text->len,
						command->fd);

		if (taken < 0)
			return (int)taken;
		if (command->fd >= 0) {
			close(command->fd);
			command->fd = -1;
		}
		g_byte_array_remove_range(command->text, 0, (guint)taken);
	}
	return 0;
}

/* The next command that may be written; it stays at the head of the queue until it is. */
static Command *next_command(QmpClient *client)
{
	Command *command;

	g_mutex_lock(&client->lock);
	command = g_queue_peek_head(&client->to_send);
	/* Before the negotiation is over, only what it is done with (id 0). */
	if (command && command->id && !client->negotiated)
		command = NULL;
	if (!client->greeted)
		command = NULL;
	g_mutex_unlock(&client->lock);
	return command;
}

static void dequeue(QmpClient *client, Command *command)
{
	g_mutex_lock(&client->lock);
	g_queue_remove(&client->to_send, command);
	g_mutex_unlock(&client->lock);
}

static void write_commands(QmpClient *client)
{
	Command *command;

	while (client->fd >= 0 && !client->output && (command = next_command(client))) {
		int result;

		if (command->fd_error) {
			g_autoptr(GError) error = g_error_new(
				QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_PROTOCOL,
				"the descriptor to be sent: %s", g_strerror(command->fd_error));

			dequeue(client, command);
			end_command(client, command, NULL, error);
			continue;
		}
		result = write_command(client, command);
		if (result == -EAGAIN) {
			client->output = g_unix_fd_source_new(client->fd, G_IO_OUT);
			g_source_set_callback(client->output, G_SOURCE_FUNC(output_ready), client,
					      NULL);
			g_source_attach(client->output, client->context);
		} else if (result < 0) {
			end_with(client, QMP_CLIENT_ERROR_CLOSED, g_strerror(-result));
		} else {
			dequeue(client, command);
			g_hash_table_insert(client->sent, &command->id, command);
		}
	}
}

/* Commands that were sent after the end of the connection. */
static void refuse_commands(QmpClient *client)
{
	g_autoptr(GError) error = g_error_new_literal(QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED,
						      "there is no connection");
	GQueue commands = G_QUEUE_INIT;
	Command *command;

	g_mutex_lock(&client->lock);
	while ((command = g_queue_pop_head(&client->to_send)))
		g_queue_push_tail(&commands, command);
	g_mutex_unlock(&client->lock);
	while ((command = g_queue_pop_head(&commands)))
		end_command(client, command, NULL, error);
}

/* Woken up: something is to be sent, or the connection is to end. */
static gboolean awake(void *data)
{
	QmpClient *client = data;
	bool close_wanted;

	g_mutex_lock(&client->lock);
	g_clear_pointer(&client->wakeup, g_source_unref);
	close_wanted = client->close_wanted;
	g_mutex_unlock(&client->lock);
	if (close_wanted)
		end_with(client, QMP_CLIENT_ERROR_CLOSED, "the connection was closed");
	else
		write_commands(client);
	if (client->fd < 0)
		refuse_commands(client);
	return G_SOURCE_REMOVE;
}

/* With the lock held. */
static void schedule_locked(QmpClient *client)
{
	if (client->wakeup)
		return;
	client->wakeup = g_idle_source_new();
	g_source_set_priority(client->wakeup, G_PRIORITY_DEFAULT);
	g_source_set_callback(client->wakeup, awake, qmp_client_ref(client),
			      (GDestroyNotify)qmp_client_unref);
	g_source_attach(client->wakeup, client->context);
}

static void schedule(QmpClient *client)
{
	g_mutex_lock(&client->lock);
	schedule_locked(client);
	g_mutex_unlock(&client->lock);
}

/* Reading */

static void take_greeting(QmpClient *client, json_object *message)
{
	json_object *greeting, *capabilities, *negotiate;
	Command *command;

	if (!json_object_is_type(message, json_type_object) ||
	    !json_object_object_get_ex(message, "QMP", &greeting) ||
	    !json_object_object_get_ex(greeting, "capabilities", &capabilities)) {
		end_with(client, QMP_CLIENT_ERROR_PROTOCOL, "the peer does not greet as QMP does");
		return;
	}
	client->greeted = true;
	negotiate = json_object_new_object();
	json_object_object_add(negotiate, "execute", json_object_new_string("qmp_capabilities"));
	json_object_object_add(negotiate, "id", json_object_new_int(0));
	command = g_new0(Command, 1);
	command->fd = -1;
	command->text = g_byte_array_new();
	qmp_message_append(command->text, negotiate);
	json_object_put(negotiate);
	g_mutex_lock(&client->lock);
	g_queue_push_head(&client->to_send, command);
	schedule_locked(client);
	g_mutex_unlock(&client->lock);
}

/* What a peer answers to qmp_capabilities. */
static void take_negotiation(QmpClient *client, const GError *error)
{
	if (error) {
		end_connection(client, error);
		return;
	}
	client->negotiated = true;
	schedule(client);
	if (client->callbacks && client->callbacks->ready)
		client->callbacks->ready(client, client->opaque);
}

static GError *error_of(json_object *object)
{
	json_object *class_name, *description;

	if (!json_object_object_get_ex(object, "class", &class_name) ||
	    !json_object_object_get_ex(object, "desc", &description) ||
	    !json_object_is_type(class_name, json_type_string) ||
	    !json_object_is_type(description, json_type_string))
		return g_error_new_literal(QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_PROTOCOL,
					   "the peer answered with an error that is none");
	return g_error_new_literal(QMP_ERROR,
				   (int)qmp_error_code(json_object_get_string(class_name)),
				   json_object_get_string(description));
}

static void finish_command(QmpClient *client, Command *command, json_object *message)
{
	json_object *result = NULL, *failure;
	g_autoptr(GError) error = NULL;

	if (command->raw)
		result = message;
	else if (json_object_object_get_ex(message, "error", &failure))
		error = error_of(failure);
	else
		json_object_object_get_ex(message, "return", &result);
	if (!error && !result)
		error = g_error_new_literal(QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_PROTOCOL,
					    "the peer answered neither with a value nor an error");
	if (!command->id)
		take_negotiation(client, error);
	end_command(client, command, result, error);
}

static void take_reply(QmpClient *client, json_object *message)
{
	json_object *id_object, *failure;
	Command *command = NULL;
	uint64_t id;

	if (json_object_object_get_ex(message, "id", &id_object) &&
	    json_object_is_type(id_object, json_type_int)) {
		id = json_object_get_uint64(id_object);
		g_hash_table_steal_extended(client->sent, &id, NULL, (gpointer *)&command);
	} else if (json_object_object_get_ex(message, "error", &failure)) {
		g_autoptr(GError) cause = error_of(failure);
		g_autofree char *text =
			g_strdup_printf("the peer did not understand a command: %s", cause->message);

		/* Which one it was cannot be told. */
		end_with(client, QMP_CLIENT_ERROR_PROTOCOL, text);
	}
	/* Nobody waits any longer for a reply without a command. */
	if (command)
		finish_command(client, command, message);
}

static int64_t integer_member(json_object *object, const char *name)
{
	json_object *value;

	if (!json_object_object_get_ex(object, name, &value))
		return 0;
	return json_object_get_int64(value);
}

static void take_event(QmpClient *client, json_object *message, json_object *name)
{
	json_object *timestamp = NULL, *data = NULL;
	int64_t seconds;

	if (!json_object_is_type(name, json_type_string)) {
		end_with(client, QMP_CLIENT_ERROR_PROTOCOL,
			 "the peer sent an event without a name");
		return;
	}
	json_object_object_get_ex(message, "timestamp", &timestamp);
	json_object_object_get_ex(message, "data", &data);
	seconds = CLAMP(integer_member(timestamp, "seconds"), 0, INT64_MAX / G_USEC_PER_SEC - 1);
	if (client->callbacks && client->callbacks->event)
		client->callbacks->event(
			client, json_object_get_string(name), data,
			seconds * G_USEC_PER_SEC +
				CLAMP(integer_member(timestamp, "microseconds"), 0, 999999),
			client->opaque);
}

static void take_message(QmpClient *client, json_object *message)
{
	json_object *name;

	if (!client->greeted)
		take_greeting(client, message);
	else if (!json_object_is_type(message, json_type_object))
		end_with(client, QMP_CLIENT_ERROR_PROTOCOL, "the peer sent no object");
	else if (json_object_object_get_ex(message, "event", &name))
		take_event(client, message, name);
	else
		take_reply(client, message);
}

static void take_bytes(QmpClient *client, const char *data, size_t size)
{
	size_t used = 0;

	/* qmp_client_close() may have been called by a callback. */
	while (client->fd >= 0 && qmp_client_is_open(client) && used < size) {
		QmpFrame frame;

		used += qmp_framer_feed(client->framer, data + used, size - used, &frame);
		if (frame.kind == QMP_FRAME_MESSAGE)
			take_message(client, frame.message);
		else if (frame.kind == QMP_FRAME_ERROR)
			end_with(client, QMP_CLIENT_ERROR_PROTOCOL, frame.error);
		json_object_put(frame.message);
	}
}

static gboolean input_ready(int fd, GIOCondition condition, void *data)
{
	QmpClient *client = qmp_client_ref(data);
	g_autofree char *buffer = g_malloc(READ_SIZE);
	int fds[QMP_SOCKET_FDS_MAX];
	size_t n_fds;
	ssize_t size = qmp_socket_receive(fd, buffer, READ_SIZE, fds, &n_fds);

	(void)condition;
	/* No reply of QMP carries descriptors. */
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (size > 0)
		take_bytes(client, buffer, (size_t)size);
	else if (size == 0)
		end_with(client, QMP_CLIENT_ERROR_CLOSED, "the peer closed the connection");
	else if (size != -EAGAIN)
		end_with(client, QMP_CLIENT_ERROR_CLOSED, g_strerror((int)-size));
	qmp_client_unref(client);
	return G_SOURCE_CONTINUE;
}

/* Making and ending */

QmpClient *qmp_client_new_fd(GMainContext *context, int fd, const QmpClientCallbacks *callbacks,
			     void *opaque, GError **error)
{
	QmpClient *client;

	if (!qmp_socket_prepare(fd, error)) {
		close(fd);
		return NULL;
	}
	client = g_new0(QmpClient, 1);
	g_atomic_ref_count_init(&client->references);
	client->context = g_main_context_ref(context ? context : g_main_context_default());
	client->callbacks = callbacks;
	client->opaque = opaque;
	client->fd = fd;
	client->framer = qmp_framer_new();
	client->sent = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
					     (GDestroyNotify)command_free);
	g_mutex_init(&client->lock);
	client->is_open = true;
	/* The connection's own reference, dropped by end_connection(). */
	qmp_client_ref(client);
	client->input = g_unix_fd_source_new(fd, G_IO_IN);
	g_source_set_callback(client->input, G_SOURCE_FUNC(input_ready), client, NULL);
	g_source_attach(client->input, client->context);
	return client;
}

QmpClient *qmp_client_new_unix(GMainContext *context, const char *path,
			       const QmpClientCallbacks *callbacks, void *opaque, GError **error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, result;

	if (!path[0] || strlen(path) >= sizeof(address.sun_path)) {
		g_set_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED, "%s: %s", path,
			    g_strerror(ENAMETOOLONG));
		return NULL;
	}
	strcpy(address.sun_path, path);
	/* A peer that accepts nobody is an error here and now, not something to wait for. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	result = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof(address));
	if (!result)
		return qmp_client_new_fd(context, fd, callbacks, opaque, error);
	g_set_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED, "%s: %s", path,
		    g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return NULL;
}

void qmp_client_close(QmpClient *client)
{
	g_mutex_lock(&client->lock);
	client->close_wanted = true;
	if (client->is_open)
		schedule_locked(client);
	client->is_open = false;
	g_mutex_unlock(&client->lock);
}

bool qmp_client_is_open(QmpClient *client)
{
	bool is_open;

	g_mutex_lock(&client->lock);
	is_open = client->is_open;
	g_mutex_unlock(&client->lock);
	return is_open;
}

/* Sending */

/* Sends @message, which it owns. Any thread. */
static void send_message(QmpClient *client, json_object *message, int fd, Command *command)
{
	command->fd = -1;
	if (fd >= 0) {
		command->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		command->fd_error = command->fd < 0 ? errno : 0;
	}
	command->text = g_byte_array_new();
	g_mutex_lock(&client->lock);
	command->id = ++client->last_id;
	json_object_object_add(message, "id", json_object_new_uint64(command->id));
	qmp_message_append(command->text, message);
	g_queue_push_tail(&client->to_send, command);
	schedule_locked(client);
	g_mutex_unlock(&client->lock);
	json_object_put(message);
}

static json_object *message_new(const char *name, json_object *arguments)
{
	json_object *message = json_object_new_object();

	json_object_object_add(message, "execute", json_object_new_string(name));
	if (arguments)
		json_object_object_add(message, "arguments", arguments);
	return message;
}

void qmp_client_send(QmpClient *client, const char *name, json_object *arguments, int fd,
		     QmpClientReply reply, void *opaque)
{
	Command *command = g_new0(Command, 1);

	command->reply = reply;
	command->opaque = opaque;
	send_message(client, message_new(name, arguments), fd, command);
}

static gboolean wake_up(void *data)
{
	(void)data;
	return G_SOURCE_REMOVE;
}

/* Turns the context, which this thread owns, until the reply is there or the time is over. */
static void wait_turning(GMainContext *context, Waiter *waiter, gint64 end)
{
	GSource *timer = g_timeout_source_new(0);
	bool done = false;

	g_source_set_callback(timer, wake_up, NULL, NULL);
	g_source_set_ready_time(timer, end);
	g_source_attach(timer, context);
	while (!done && (end < 0 || g_get_monotonic_time() < end)) {
		g_main_context_iteration(context, TRUE);
		g_mutex_lock(&waiter->lock);
		done = waiter->done;
		g_mutex_unlock(&waiter->lock);
	}
	g_source_destroy(timer);
	g_source_unref(timer);
}

/* Sleeps until the context's thread has the reply, or the time is over. */
static void wait_sleeping(Waiter *waiter, gint64 end)
{
	bool in_time = true;

	g_mutex_lock(&waiter->lock);
	while (!waiter->done && in_time) {
		if (end < 0)
			g_cond_wait(&waiter->changed, &waiter->lock);
		else
			in_time = g_cond_wait_until(&waiter->changed, &waiter->lock, end);
	}
	g_mutex_unlock(&waiter->lock);
}

/* Sends @message, which it owns, and waits. */
static json_object *call(QmpClient *client, json_object *message, int fd, bool raw,
			 unsigned timeout_ms, GError **error)
{
	Waiter *waiter = g_new0(Waiter, 1);
	Command *command = g_new0(Command, 1);
	gint64 end = timeout_ms ? g_get_monotonic_time() + timeout_ms * (gint64)1000 : -1;
	json_object *reply = NULL;

	g_atomic_ref_count_init(&waiter->references);
	g_atomic_ref_count_inc(&waiter->references);
	g_mutex_init(&waiter->lock);
	g_cond_init(&waiter->changed);
	command->raw = raw;
	command->waiter = waiter;
	send_message(client, message, fd, command);
	if (g_main_context_acquire(client->context)) {
		wait_turning(client->context, waiter, end);
		g_main_context_release(client->context);
	} else {
		wait_sleeping(waiter, end);
	}
	g_mutex_lock(&waiter->lock);
	if (!waiter->done)
		g_set_error_literal(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_TIMEOUT,
				    "the peer did not reply in time");
	else if (waiter->error)
		g_propagate_error(error, g_steal_pointer(&waiter->error));
	else
		reply = g_steal_pointer(&waiter->reply);
	g_mutex_unlock(&waiter->lock);
	waiter_unref(waiter);
	return reply;
}

json_object *qmp_client_call(QmpClient *client, const char *name, json_object *arguments, int fd,
			     unsigned timeout_ms, GError **error)
{
	return call(client, message_new(name, arguments), fd, false, timeout_ms, error);
}

/* The one JSON object that @text is; NULL with @error set if it is anything else. */
static json_object *parse_message(const char *text, GError **error)
{
	g_autoptr(QmpFramer) framer = qmp_framer_new();
	size_t size = strlen(text);
	QmpFrame frame, rest;
	size_t used = qmp_framer_feed(framer, text, size, &frame);

	if (frame.kind == QMP_FRAME_MESSAGE &&
	    json_object_is_type(frame.message, json_type_object)) {
		qmp_framer_feed(framer, text + used, size - used, &rest);
		if (rest.kind == QMP_FRAME_NONE && qmp_framer_is_idle(framer))
			return frame.message;
		json_object_put(rest.message);
	}
	json_object_put(frame.message);
	g_set_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_PROTOCOL, "%s",
		    frame.kind == QMP_FRAME_ERROR ? frame.error : "a command is one JSON object");
	return NULL;
}

json_object *qmp_client_call_raw(QmpClient *client, const char *text, unsigned timeout_ms,
				 GError **error)
{
	json_object *message = parse_message(text, error);
	json_object *id = NULL, *reply;
	bool has_id;

	if (!message)
		return NULL;
	has_id = json_object_object_get_ex(message, "id", &id);
	if (id)
		json_object_get(id);
	reply = call(client, message, -1, true, timeout_ms, error);
	if (reply) {
		json_object_object_del(reply, "id");
		if (has_id)
			json_object_object_add(reply, "id", json_object_get(id));
	}
	json_object_put(id);
	return reply;
}
