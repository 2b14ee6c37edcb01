/*
 * test-qmp-client.c: the QMP client against the server, and against peers that misbehave
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qmp/qmp_client.h"
#include "qmp/qmp_error.h"
#include "test-qapi-events.h"
#include "tests/unit/qmp_test_client.h"
#include "tests/unit/qmp_test_handlers.h"

#define TIMEOUT_MS 30000u

/* What the callbacks of a client have seen. */
typedef struct {
	unsigned n_ready;
	unsigned n_events;
	unsigned n_closed;
	GString *log;
	int64_t time_us;
} Seen;

static void on_ready(QmpClient *client, void *opaque)
{
	(void)client;
	((Seen *)opaque)->n_ready++;
}

static void on_event(QmpClient *client, const char *name, json_object *data, int64_t time_us,
		     void *opaque)
{
	Seen *seen = opaque;

	(void)client;
	seen->n_events++;
	seen->time_us = time_us;
	g_string_append_printf(seen->log, "%s %s;", name,
			       data ? json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN)
				    : "-");
}

static void on_closed(QmpClient *client, const GError *error, void *opaque)
{
	Seen *seen = opaque;

	(void)client;
	seen->n_closed++;
	g_string_append_printf(seen->log, "closed %d: %s;", error->code, error->message);
}

static const QmpClientCallbacks callbacks = { on_ready, on_event, on_closed };

/* A server and a client connected to it, both in the default context. */
typedef struct {
	Fixture base;
	Seen seen;
	QmpClient *client;
} Both;

static void both_set_up(Both *both, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	int fds[2];

	fixture_set_up(&both->base, data);
	both->seen.log = g_string_new(NULL);
	g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	qmp_server_add_client(both->base.server, fds[0], &error);
	g_assert_no_error(error);
	both->client = qmp_client_new_fd(NULL, fds[1], &callbacks, &both->seen, &error);
	g_assert_no_error(error);
}

static void both_tear_down(Both *both, gconstpointer data)
{
	qmp_client_close(both->client);
	settle();
	qmp_client_unref(both->client);
	fixture_tear_down(&both->base, data);
	g_string_free(both->seen.log, TRUE);
}

static json_object *tag_arguments(const char *tag)
{
	json_object *arguments = json_object_new_object();

	json_object_object_add(arguments, "tag", json_object_new_string(tag));
	return arguments;
}

static void test_call(Both *both, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	json_object *reply =
		qmp_client_call(both->client, "query-version", NULL, -1, TIMEOUT_MS, &error);

	(void)data;
	g_assert_no_error(error);
	g_assert_true(json_object_object_get_ex(reply, "package", NULL));
	json_object_put(reply);
	g_assert_cmpuint(both->seen.n_ready, ==, 1);

	reply = json_object_new_object();
	json_object_object_add(reply, "class", json_object_new_string("DeviceNotActive"));
	g_assert_null(qmp_client_call(both->client, "test-fail", reply, -1, TIMEOUT_MS, &error));
	g_assert_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_ACTIVE);
	g_assert_cmpstr(error->message, ==, "failed as DeviceNotActive");
	g_clear_error(&error);

	g_assert_null(qmp_client_call(both->client, "nope", NULL, -1, TIMEOUT_MS, &error));
	g_assert_error(error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND);
}

static void test_call_raw(Both *both, gconstpointer data)
{
	static const char *const cases[][2] = {
		{ "{\"execute\":\"test-leave\"}", "{\"return\":{}}" },
		{ " {\"execute\":\"test-leave\",\"id\":[1]}\n", "{\"return\":{},\"id\":[1]}" },
		{ "{\"execute\":\"nope\",\"id\":null}",
		  "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command nope has not "
		  "been found\"},\"id\":null}" },
	};
	static const char *const refused[] = { "", "{", "[]", "{} {}", "{\"a\":}", "x" };

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		json_object *reply =
			qmp_client_call_raw(both->client, cases[i][0], TIMEOUT_MS, &error);

		g_assert_no_error(error);
		g_assert_cmpstr(json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN), ==,
				cases[i][1]);
		json_object_put(reply);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(qmp_client_call_raw(both->client, refused[i], TIMEOUT_MS, &error));
		g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_PROTOCOL);
	}
}

static void test_descriptor(Both *both, gconstpointer data)
{
	json_object *arguments = json_object_new_object();
	g_autoptr(GError) error = NULL;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	json_object *reply;
	int taken;

	(void)data;
	json_object_object_add(arguments, "fdname", json_object_new_string("a"));
	reply = qmp_client_call(both->client, "getfd", arguments, fd, TIMEOUT_MS, &error);
	g_assert_no_error(error);
	json_object_put(reply);
	taken = qmp_fds_take(qmp_server_fds(both->base.server), "a", NULL);
	g_assert_cmpint(taken, >=, 0);
	close(taken);
	close(fd);
	/* A descriptor that is none fails that command, and nothing else. */
	g_assert_null(qmp_client_call(both->client, "query-version", NULL, fd, TIMEOUT_MS, &error));
	g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_PROTOCOL);
	g_clear_error(&error);
	reply = qmp_client_call(both->client, "query-version", NULL, -1, TIMEOUT_MS, &error);
	g_assert_no_error(error);
	json_object_put(reply);
}

static void count_reply(QmpClient *client, json_object *reply, const GError *error, void *opaque)
{
	unsigned *counts = opaque;

	(void)client;
	g_assert_true((reply == NULL) != (error == NULL));
	counts[error != NULL]++;
}

static void test_send(Both *both, gconstpointer data)
{
	unsigned counts[2] = { 0, 0 };

	(void)data;
	for (int i = 0; i < 100; i++)
		qmp_client_send(both->client, i % 2 ? "test-note" : "nope", tag_arguments("a"), -1,
				count_reply, counts);
	g_assert_cmpuint(counts[0] + counts[1], ==, 0);
	while (counts[0] + counts[1] < 100)
		turn();
	g_assert_cmpuint(counts[0], ==, 50);
}

static void test_client_events(Both *both, gconstpointer data)
{
	QmpEventSink *sink = qmp_server_event_sink(both->base.server);
	gint64 now = g_get_real_time();
	json_object *reply;

	(void)data;
	reply = qmp_client_call(both->client, "test-raise", tag_arguments("x"), -1, TIMEOUT_MS,
				NULL);
	g_assert_nonnull(reply);
	json_object_put(reply);
	qapi_event_test_bare(sink);
	while (both->seen.n_events < 2)
		turn();
	g_assert_cmpstr(both->seen.log->str, ==,
			"TEST_HAPPENED {\"tag\":\"x\",\"count\":1};TEST_BARE -;");
	g_assert_cmpint(ABS(both->seen.time_us - now), <, 60 * G_USEC_PER_SEC);
}

#define N_THREADS 4

static void *call_from_thread(void *data)
{
	for (int i = 0; i < 50; i++) {
		g_autoptr(GError) error = NULL;
		json_object *reply = qmp_client_call(data, "test-open", tag_arguments("t"), -1,
						     TIMEOUT_MS, &error);

		g_assert_no_error(error);
		json_object_put(reply);
	}
	return NULL;
}

/* Threads wait for their replies while this one serves client and server. */
static void test_threads(Both *both, gconstpointer data)
{
	GThread *threads[N_THREADS];
	GMainContext *context = g_main_context_default();
	unsigned counts[2] = { 0, 0 };

	(void)data;
	g_assert_true(g_main_context_acquire(context));
	for (int i = 0; i < N_THREADS; i++)
		threads[i] = g_thread_new("call", call_from_thread, both->client);
	qmp_client_send(both->client, "nope", NULL, -1, count_reply, counts);
	while (qmp_test_log->len < N_THREADS * 50 * strlen("{\"tag\":\"t\"} "))
		turn();
	settle();
	g_main_context_release(context);
	for (int i = 0; i < N_THREADS; i++)
		g_thread_join(threads[i]);
	g_assert_cmpuint(counts[1], ==, 1);
}

static void test_close(Both *both, gconstpointer data)
{
	unsigned counts[2] = { 0, 0 };
	g_autoptr(GError) error = NULL;

	(void)data;
	qmp_client_send(both->client, "query-version", NULL, -1, count_reply, counts);
	g_assert_true(qmp_client_is_open(both->client));
	qmp_client_close(both->client);
	g_assert_false(qmp_client_is_open(both->client));
	qmp_client_send(both->client, "query-version", NULL, -1, count_reply, counts);
	settle();
	g_assert_cmpuint(counts[1], ==, 2);
	g_assert_null(qmp_client_call(both->client, "query-version", NULL, -1, TIMEOUT_MS, &error));
	g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED);
	g_assert_cmpuint(both->seen.n_closed, ==, 0);
}

static void test_server_goes(Both *both, gconstpointer data)
{
	unsigned counts[2] = { 0, 0 };
	json_object *reply =
		qmp_client_call(both->client, "query-version", NULL, -1, TIMEOUT_MS, NULL);

	(void)data;
	json_object_put(reply);
	qmp_client_send(both->client, "query-version", NULL, -1, count_reply, counts);
	qmp_server_free(g_steal_pointer(&both->base.server));
	while (!both->seen.n_closed)
		turn();
	g_assert_cmpuint(counts[1], ==, 1);
	g_assert_false(qmp_client_is_open(both->client));
	settle();
	g_assert_cmpuint(both->seen.n_closed, ==, 1);
}

/* Peers that are no QMP server: this test plays them. */

typedef struct {
	Seen seen;
	QmpClient *client;
	int peer;
} Hostile;

static void hostile_set_up(Hostile *hostile, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	int fds[2];

	(void)data;
	hostile->seen.log = g_string_new(NULL);
	g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	hostile->peer = fds[0];
	hostile->client = qmp_client_new_fd(NULL, fds[1], &callbacks, &hostile->seen, &error);
	g_assert_no_error(error);
}

static void hostile_tear_down(Hostile *hostile, gconstpointer data)
{
	(void)data;
	qmp_client_close(hostile->client);
	settle();
	qmp_client_unref(hostile->client);
	close(hostile->peer);
	g_string_free(hostile->seen.log, TRUE);
}

static void say(Hostile *hostile, const char *text)
{
	size_t size = strlen(text);

	while (size) {
		ssize_t sent = send(hostile->peer, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			text += sent;
			size -= (size_t)sent;
		} else if (hostile->seen.n_closed) {
			return;
		}
		turn();
	}
	settle();
}

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}"

static void test_hostile_peers(void)
{
	g_autofree char *blanks = g_strnfill(QMP_OUTPUT_MAX, ' ');
	g_autofree char *endless = g_strnfill(20 << 20, 'x');
	g_autofree char *long_text = g_strconcat(GREETING "{\"event\":\"", endless, NULL);
	g_autofree char *deep = g_strnfill(1000, '[');
	g_autofree char *padded = g_strconcat(blanks, "{\"return\":1}", NULL);
	const char *const cases[] = {
		"HTTP/1.1 200 OK\r\n",
		"{}",
		"[]",
		"1 ",
		"{\"QMP\":1}",
		"{\"QMP\":{}}",
		padded,
		GREETING "{\"return\":{},\"id\":0}[]",
		GREETING "{\"return\":{},\"id\":0}{\"event\":1}",
		GREETING "{\"return\":{},\"id\":0}{]}",
		GREETING "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":0}",
		GREETING "{\"id\":0}",
		GREETING "{\"error\":7,\"id\":0}",
		GREETING "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error\"}}",
		long_text,
		deep,
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		Hostile hostile = { 0 };
		unsigned counts[2] = { 0, 0 };

		hostile_set_up(&hostile, NULL);
		qmp_client_send(hostile.client, "query-version", NULL, -1, count_reply, counts);
		say(&hostile, strstr(cases[i], GREETING) ? GREETING : "");
		say(&hostile, cases[i] + (strstr(cases[i], GREETING) ? strlen(GREETING) : 0));
		if (!hostile.seen.n_closed)
			g_error("survived %.60s", cases[i]);
		g_assert_cmpuint(counts[0], ==, 0);
		g_assert_cmpuint(counts[1], ==, 1);
		hostile_tear_down(&hostile, NULL);
	}
}

/* Oddities that hurt nobody are passed over. */
static void keep_message(QmpClient *client, json_object *reply, const GError *error, void *opaque)
{
	char **message = opaque;

	(void)client;
	(void)reply;
	*message = g_strdup(error->message);
}

/* What a peer has against a command is in the error, although it does not say which one it was. */
static void test_not_understood(Hostile *hostile, gconstpointer data)
{
	g_autofree char *message = NULL;

	(void)data;
	qmp_client_send(hostile->client, "query-version", NULL, -1, keep_message, &message);
	say(hostile, GREETING "{\"return\":{},\"id\":0}");
	say(hostile, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error\"}}");
	g_assert_cmpuint(hostile->seen.n_closed, ==, 1);
	g_assert_nonnull(strstr(message, "did not understand a command: JSON parse error"));
}

static void test_odd_peer(Hostile *hostile, gconstpointer data)
{
	unsigned counts[2] = { 0, 0 };

	(void)data;
	say(hostile, GREETING);
	say(hostile, "{\"return\":{},\"id\":0}");
	g_assert_cmpuint(hostile->seen.n_ready, ==, 1);
	say(hostile, "{\"return\":{},\"id\":99}{\"return\":{},\"id\":\"x\"}{\"return\":{}}");
	say(hostile, "{\"event\":\"A\",\"timestamp\":{\"seconds\":9223372036854775807}}"
		     "{\"event\":\"B\",\"timestamp\":7}{\"event\":\"C\",\"data\":[]}");
	g_assert_cmpuint(hostile->seen.n_events, ==, 3);
	qmp_client_send(hostile->client, "one", NULL, -1, count_reply, counts);
	qmp_client_send(hostile->client, "two", NULL, -1, count_reply, counts);
	settle();
	say(hostile, "{\"return\":{},\"id\":2}{\"return\":{},\"id\":2}{\"return\":{},\"id\":1}");
	g_assert_cmpuint(counts[0], ==, 2);
	g_assert_cmpuint(hostile->seen.n_closed, ==, 0);
}

static void test_timeout(Hostile *hostile, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	(void)data;
	g_assert_null(qmp_client_call(hostile->client, "query-version", NULL, -1, 50, &error));
	g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_TIMEOUT);
	/* The reply that comes too late is dropped. */
	say(hostile, GREETING);
	say(hostile, "{\"return\":{},\"id\":0}");
	say(hostile, "{\"return\":{},\"id\":1}");
	g_assert_cmpuint(hostile->seen.n_closed, ==, 0);
}

static void test_peer_goes(Hostile *hostile, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	(void)data;
	shutdown(hostile->peer, SHUT_RDWR);
	g_assert_null(
		qmp_client_call(hostile->client, "query-version", NULL, -1, TIMEOUT_MS, &error));
	g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED);
	g_assert_cmpuint(hostile->seen.n_closed, ==, 1);
}

/* A peer that never reads: commands wait, nothing blocks. */
static void test_peer_never_reads(Hostile *hostile, gconstpointer data)
{
	g_autofree char *tag = g_strnfill(100000, 'x');
	unsigned counts[2] = { 0, 0 };

	(void)data;
	say(hostile, GREETING);
	say(hostile, "{\"return\":{},\"id\":0}");
	for (int i = 0; i < 50; i++)
		qmp_client_send(hostile->client, "x", tag_arguments(tag), -1, count_reply, counts);
	settle();
	g_assert_cmpuint(counts[0] + counts[1], ==, 0);
	qmp_client_close(hostile->client);
	settle();
	g_assert_cmpuint(counts[1], ==, 50);
}

static void test_connect(void)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-qmp-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "socket", NULL);
	g_autofree char *long_path = g_strnfill(200, 'x');
	g_autoptr(GError) error = NULL;
	Fixture fixture = { 0 };
	g_autoptr(QmpClient) client = NULL;
	json_object *reply;

	g_assert_null(qmp_client_new_unix(NULL, path, NULL, NULL, &error));
	g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED);
	g_clear_error(&error);
	g_assert_null(qmp_client_new_unix(NULL, long_path, NULL, NULL, &error));
	g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED);
	g_clear_error(&error);
	fixture_set_up(&fixture, NULL);
	g_assert_true(qmp_server_listen_unix(fixture.server, path, NULL));
	client = qmp_client_new_unix(NULL, path, NULL, NULL, &error);
	g_assert_no_error(error);
	reply = qmp_client_call(client, "query-commands", NULL, -1, TIMEOUT_MS, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(json_object_array_length(reply), >, 5);
	json_object_put(reply);
	qmp_client_close(client);
	settle();
	fixture_tear_down(&fixture, NULL);
	g_assert_no_errno(rmdir(directory));
}

/* A peer that listens and accepts nobody: an error, not a wait without end. */
static void test_connect_in_vain(void)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-qmp-XXXXXX", NULL);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_autoptr(GPtrArray) clients = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	QmpClient *client;

	g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	g_assert_no_errno(bind(listener, (struct sockaddr *)&address, sizeof(address)));
	g_assert_no_errno(listen(listener, 0));
	while ((client = qmp_client_new_unix(NULL, address.sun_path, NULL, NULL, &error))) {
		g_ptr_array_add(clients, client);
		g_assert_cmpuint(clients->len, <, 16);
	}
	g_assert_error(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED);
	for (guint i = 0; i < clients->len; i++) {
		qmp_client_close(clients->pdata[i]);
		settle();
		qmp_client_unref(clients->pdata[i]);
	}
	close(listener);
	g_assert_no_errno(unlink(address.sun_path));
	g_assert_no_errno(rmdir(directory));
}

#define ADD_BOTH(NAME, FUNC) \
	g_test_add("/qmp/client/" NAME, Both, NULL, both_set_up, FUNC, both_tear_down)
#define ADD_HOSTILE(NAME, FUNC) \
	g_test_add("/qmp/client/" NAME, Hostile, NULL, hostile_set_up, FUNC, hostile_tear_down)

int main(int argc, char **argv)
{
	qmp_test_init(&argc, &argv);
	ADD_BOTH("call", test_call);
	ADD_BOTH("call-raw", test_call_raw);
	ADD_BOTH("descriptor", test_descriptor);
	ADD_BOTH("send", test_send);
	ADD_BOTH("events", test_client_events);
	ADD_BOTH("threads", test_threads);
	ADD_BOTH("close", test_close);
	ADD_BOTH("server-goes", test_server_goes);
	g_test_add_func("/qmp/client/hostile-peers", test_hostile_peers);
	ADD_HOSTILE("not-understood", test_not_understood);
	ADD_HOSTILE("odd-peer", test_odd_peer);
	ADD_HOSTILE("timeout", test_timeout);
	ADD_HOSTILE("peer-goes", test_peer_goes);
	ADD_HOSTILE("peer-never-reads", test_peer_never_reads);
	g_test_add_func("/qmp/client/connect", test_connect);
	g_test_add_func("/qmp/client/connect-in-vain", test_connect_in_vain);
	return g_test_run();
}
