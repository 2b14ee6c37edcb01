/*
 * test-qmp-server.c: conversations with a QMP server over socket pairs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "test-qapi-events.h"
#include "tests/unit/qmp_test_client.h"
#include "tests/unit/qmp_test_handlers.h"

#define WAIT_S 30

static void test_greeting(Fixture *fixture, gconstpointer data)
{
	Client *client = client_new(fixture);
	g_autofree char *line = client_line(client);
	json_object *greeting = json_tokener_parse(line);
	json_object *version, *package;

	(void)data;
	g_assert_true(g_str_has_suffix(line, ",\"capabilities\":[\"oob\"]}}"));
	g_assert_true(json_object_object_get_ex(json_object_object_get(greeting, "QMP"), "version",
						&version));
	g_assert_true(json_object_object_get_ex(version, "package", &package));
	g_assert_cmpstr(json_object_get_string(package), ==, "vireo-" PACKAGE_VERSION);
	g_assert_true(
		json_object_object_get_ex(json_object_object_get(version, "qemu"), "micro", NULL));
	json_object_put(greeting);
	client_free(client);
}

static void test_negotiation(Fixture *fixture, gconstpointer data)
{
	Client *client = client_new(fixture);
	g_autofree char *greeting = client_line(client);

	(void)data;
	g_assert_nonnull(greeting);
	client_send(client, "{\"execute\":\"query-version\",\"id\":1}");
	client_expect(client,
		      "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities "
		      "negotiation with 'qmp_capabilities'\"},\"id\":1}");
	client_send(client, "{\"exec-oob\":\"query-version\"}");
	client_expect(client, GENERIC("QMP input member 'exec-oob' is unexpected"));
	client_send(client,
		    "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"x\"]}}");
	client_expect(client, GENERIC("Parameter 'enable[0]' does not accept value 'x'"));
	qapi_event_test_bare(qmp_server_event_sink(fixture->server));
	client_send(client, "{\"execute\":\"qmp_capabilities\"}");
	client_expect(client, "{\"return\":{}}");
	client_send(client, "{\"execute\":\"qmp_capabilities\"}");
	client_expect(client, NOT_FOUND("Capabilities negotiation is already complete, command "
					"ignored"));
	client_free(client);
}

static void test_ids(Fixture *fixture, gconstpointer data)
{
	static const char *const ids[] = { "1",	 "\"x\"", "null",  "{\"a\":[1,2.50]}",
					   "[]", "true",  "-1.5e3" };
	Client *client = client_ready(fixture, false);

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
		g_autofree char *text = g_strdup_printf(
			"{\"execute\":\"test-note\",\"arguments\":{\"tag\":\"a\"},\"id\":%s}",
			ids[i]);
		g_autofree char *good = g_strdup_printf("{\"return\":{},\"id\":%s}", ids[i]);
		g_autofree char *bad_text = g_strdup_printf("{\"id\":%s}", ids[i]);
		g_autofree char *bad = g_strdup_printf(
			"{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input lacks member "
			"'execute'\"},\"id\":%s}",
			ids[i]);

		client_send(client, text);
		client_expect(client, good);
		client_send(client, bad_text);
		client_expect(client, bad);
	}
	client_free(client);
}

static void test_commands(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);

	(void)data;
	client_send(client, "{\"execute\":\"test-echo\",\"arguments\":{\"name\":\"n\","
			    "\"names\":[\"a\"],\"anything\":{\"x\":null}}}");
	client_expect(client, "{\"return\":{\"name\":\"n\",\"names\":[\"a\"],"
			      "\"anything\":{\"x\":null}}}");
	client_send(client, "{\"execute\":\"test-join\",\"arguments\":{\"words\":[\"a\",\"b\"],"
			    "\"separator\":\"-\",\"times\":2}}");
	client_expect(client, "{\"return\":\"a-b-a-b\"}");
	client_send(client, "{\"execute\":\"test-join\",\"arguments\":{\"words\":[]}}");
	client_expect(client, GENERIC("no words"));
	client_send(client, "{\"execute\":\"test-join\",\"arguments\":{\"words\":[1]}}");
	client_expect(client, GENERIC("Invalid parameter type for 'words[0]', expected: string"));
	client_send(client, "{\"execute\":\"test-join\"}");
	client_expect(client, GENERIC("Parameter 'words' is missing"));
	client_send(client, "{\"execute\":\"test-fail\",\"arguments\":{\"class\":"
			    "\"DeviceNotFound\"}}");
	client_expect(client, "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"failed as "
			      "DeviceNotFound\"}}");
	client_send(client, "{\"execute\":\"test-leave\",\"arguments\":{\"x\":1}}");
	client_expect(client, GENERIC("Parameter 'x' is unexpected"));
	client_send(client, "{\"execute\":\"test-open\",\"arguments\":{\"any\":[1]}}");
	client_expect(client, "{\"return\":{}}");
	client_send(client, "{\"execute\":\"test-open\"}");
	client_expect(client, "{\"return\":{}}");
	g_assert_cmpstr(qmp_test_log->str, ==, "{\"any\":[1]} {} ");
	client_free(client);
}

static void test_refused_messages(Fixture *fixture, gconstpointer data)
{
	static const char *const cases[][2] = {
		{ "1\n", GENERIC("QMP input must be a JSON object") },
		{ "[]", GENERIC("QMP input must be a JSON object") },
		{ "null\n", GENERIC("QMP input must be a JSON object") },
		{ "{}", GENERIC("QMP input lacks member 'execute'") },
		{ "{\"execute\":1}", GENERIC("QMP input member 'execute' must be a string") },
		{ "{\"execute\":\"a\",\"exec-oob\":\"b\"}",
		  GENERIC("QMP input member 'exec-oob' clashes with 'execute'") },
		{ "{\"execute\":\"a\",\"arguments\":1}",
		  GENERIC("QMP input member 'arguments' must be an object") },
		{ "{\"execute\":\"a\",\"bogus\":1}",
		  GENERIC("QMP input member 'bogus' is unexpected") },
		{ "{\"execute\":\"nope\"}", NOT_FOUND("The command nope has not been found") },
		{ "{\"exec-oob\":\"test-note\",\"arguments\":{\"tag\":\"a\"}}",
		  GENERIC("The command test-note does not support OOB") },
		{ "{\"execute\":}", GENERIC("JSON parse error, unexpected character") },
		{ "{]\n", GENERIC("JSON parse error, stray ']'") },
	};
	Client *client = client_ready(fixture, true);

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		client_send(client, cases[i][0]);
		client_expect(client, cases[i][1]);
	}
	client_free(client);
}

static void test_preconfig(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);

	(void)data;
	qmp_server_set_machine(fixture->server, NULL);
	client_send(client, "{\"execute\":\"test-open\"}");
	client_expect(client, GENERIC("The command 'test-open' is permitted only after machine "
				      "initialization has completed"));
	client_send(client, "{\"execute\":\"test-note\",\"arguments\":{\"tag\":\"a\"}}");
	client_expect(client, "{\"return\":{}}");
	client_free(client);
}

static void test_oversize(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	Client *other = client_ready(fixture, false);
	g_autofree char *block = g_strnfill(1 << 20, 'x');

	(void)data;
	client_send(client, "{\"execute\":\"");
	for (int i = 0; i < 100; i++)
		client_send_bytes(client, block, 1 << 20);
	client_expect(client, GENERIC("JSON token size limit exceeded"));
	client_send(client, "\n{\"execute\":\"test-leave\"}");
	client_expect(client, "{\"return\":{}}");
	for (int i = 0; i < 10000; i++)
		client_send(client, "{\"a\":[");
	client_expect(client, GENERIC("JSON nesting depth limit exceeded"));
	client_send(client, "\n{\"execute\":\"test-leave\"}");
	client_expect(client, "{\"return\":{}}");
	client_send(other, "{\"execute\":\"test-leave\"}");
	client_expect(other, "{\"return\":{}}");
	client_free(client);
	client_free(other);
}

/* Requests of one client are carried out in order, and only a few are read ahead. */
static void test_order(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	g_autoptr(GString) expected = g_string_new(NULL);

	(void)data;
	for (int i = 0; i < 200; i++) {
		g_autofree char *text = g_strdup_printf(
			"{\"execute\":\"test-note\",\"arguments\":{\"tag\":\"%d\"},\"id\":%d}\n", i,
			i);

		client_send(client, text);
		g_string_append_printf(expected, "%d ", i);
	}
	for (int i = 0; i < 200; i++) {
		g_autofree char *reply = g_strdup_printf("{\"return\":{},\"id\":%d}", i);

		client_expect(client, reply);
	}
	g_assert_cmpstr(qmp_test_log->str, ==, expected->str);
	client_free(client);
}

static void test_out_of_band(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, true);

	(void)data;
	client_send(client, "{\"execute\":\"test-note\",\"arguments\":{\"tag\":\"1\"}}"
			    "{\"execute\":\"test-note\",\"arguments\":{\"tag\":\"2\"}}"
			    "{\"exec-oob\":\"test-note-oob\",\"arguments\":{\"tag\":\"oob\"},"
			    "\"id\":\"o\"}"
			    "{\"execute\":\"test-note-oob\",\"arguments\":{\"tag\":\"3\"}}");
	client_expect(client, "{\"return\":{},\"id\":\"o\"}");
	for (int i = 0; i < 3; i++)
		client_expect(client, "{\"return\":{}}");
	g_assert_cmpstr(qmp_test_log->str, ==, "oob 1 2 3 ");
	client_free(client);
}

static void test_events(Fixture *fixture, gconstpointer data)
{
	Client *one = client_ready(fixture, false);
	Client *two = client_ready(fixture, false);
	Client *silent = client_new(fixture);
	QmpEventSink *sink = qmp_server_event_sink(fixture->server);
	g_autofree char *greeting = client_line(silent);

	(void)data;
	g_assert_nonnull(greeting);
	qapi_event_test_happened(sink, "a", false, 0);
	qapi_event_test_bare(sink);
	qapi_event_test_bare(NULL);
	for (int i = 0; i < 2; i++) {
		Client *client = i ? two : one;

		client_expect_event(client,
				    "\"event\":\"TEST_HAPPENED\",\"data\":{\"tag\":\"a\"}}");
		client_expect_event(client, "\"event\":\"TEST_BARE\"}");
	}
	/* What a command raises comes before its reply. */
	client_send(one, "{\"execute\":\"test-raise\",\"arguments\":{\"tag\":\"b\"}}");
	client_expect_event(one,
			    "\"event\":\"TEST_HAPPENED\",\"data\":{\"tag\":\"b\",\"count\":1}}");
	client_expect(one, "{\"return\":{}}");
	client_expect_event(two,
			    "\"event\":\"TEST_HAPPENED\",\"data\":{\"tag\":\"b\",\"count\":1}}");
	settle();
	g_assert_true(client_read(silent));
	g_assert_cmpuint(silent->input->len, ==, 0);
	client_free(one);
	client_free(two);
	client_free(silent);
}

/* The last event of a monitor that ends still reaches its clients. */
static void test_last_event(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);

	(void)data;
	qapi_event_test_bare(qmp_server_event_sink(fixture->server));
	qmp_server_free(g_steal_pointer(&fixture->server));
	client_expect_event(client, "\"event\":\"TEST_BARE\"}");
	g_assert_null(client_line(client));
	client_free(client);
}

#define THREADS	    4
#define EVENTS_EACH 500

static void *raise_events(void *data)
{
	for (int i = 0; i < EVENTS_EACH; i++)
		qapi_event_test_happened(data, "thread", true, i);
	return NULL;
}

static void test_events_from_threads(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	QmpEventSink *sink = qmp_server_event_sink(fixture->server);
	GThread *threads[THREADS];
	int64_t sum = 0;

	(void)data;
	for (int i = 0; i < THREADS; i++)
		threads[i] = g_thread_new("raise", raise_events, sink);
	/*
	 * A long queue drops what is said again, and each thread counts the same way: let the
	 * server run meanwhile, as it does in the monitor.
	 */
	settle();
	for (int i = 0; i < THREADS; i++)
		g_thread_join(threads[i]);
	qapi_event_test_bare(sink);
	for (;;) {
		g_autofree char *line = client_line(client);
		json_object *event, *value;

		g_assert_nonnull(line);
		event = json_tokener_parse(line);
		if (strstr(line, "TEST_BARE")) {
			json_object_put(event);
			break;
		}
		g_assert_true(json_object_object_get_ex(json_object_object_get(event, "data"),
							"count", &value));
		sum += json_object_get_int64(value) + 1;
		json_object_put(event);
	}
	/* At least one of each count has come, and none more often than it was raised. */
	g_assert_cmpint(sum, >=, EVENTS_EACH * (EVENTS_EACH + 1) / 2);
	g_assert_cmpint(sum, <=, THREADS * EVENTS_EACH * (EVENTS_EACH + 1) / 2);
	client_free(client);
}

/* The server's thread is busy, and a guest makes the same events again and again. */
static void test_event_flood(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	QmpEventSink *sink = qmp_server_event_sink(fixture->server);
	g_autofree char *last = NULL;
	unsigned n_events = 0;

	(void)data;
	for (int i = 0; i < 10000; i++)
		qapi_event_test_happened(sink, i % 2 ? "on" : "off", false, 0);
	qapi_event_test_bare(sink);
	for (;;) {
		char *line = client_line(client);

		g_assert_nonnull(line);
		if (strstr(line, "TEST_BARE")) {
			g_free(line);
			break;
		}
		n_events++;
		g_free(last);
		last = line;
	}
	g_assert_cmpuint(n_events, <=, 512);
	g_assert_nonnull(strstr(last, "\"on\""));
	client_free(client);
}

/* The status is the guest's to choose, the slot is not. */
static void emit_ost(QmpEventSink *sink, int status)
{
	json_object *data = json_object_new_object();
	json_object *info = json_object_new_object();

	json_object_object_add(info, "slot", json_object_new_string("1"));
	json_object_object_add(info, "status", json_object_new_int(status));
	json_object_object_add(data, "info", info);
	sink->emit(sink->opaque, "ACPI_DEVICE_OST", data);
}

static void test_event_rates(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	QmpEventSink *sink = qmp_server_event_sink(fixture->server);
	gint64 start = g_get_monotonic_time();

	(void)data;
	for (int i = 0; i < 100; i++) {
		json_object *change = json_object_new_object();
		json_object *port = json_object_new_object();

		json_object_object_add(change, "actual", json_object_new_int(i));
		sink->emit(sink->opaque, "BALLOON_CHANGE", change);
		json_object_object_add(port, "id", json_object_new_string(i % 2 ? "p1" : "p0"));
		json_object_object_add(port, "open", json_object_new_boolean(i % 4 < 2));
		sink->emit(sink->opaque, "VSERPORT_CHANGE", port);
		emit_ost(sink, i);
	}
	client_expect_event(client, "\"event\":\"BALLOON_CHANGE\",\"data\":{\"actual\":0}}");
	client_expect_event(client, "\"event\":\"VSERPORT_CHANGE\",\"data\":{\"id\":\"p0\","
				    "\"open\":true}}");
	client_expect_event(client, "\"event\":\"ACPI_DEVICE_OST\",\"data\":{\"info\":{"
				    "\"slot\":\"1\",\"status\":0}}}");
	client_expect_event(client, "\"event\":\"VSERPORT_CHANGE\",\"data\":{\"id\":\"p1\","
				    "\"open\":true}}");
	/* A second later, the last of each. */
	client_expect_event(client, "\"event\":\"BALLOON_CHANGE\",\"data\":{\"actual\":99}}");
	g_assert_cmpint(g_get_monotonic_time() - start, >=, G_USEC_PER_SEC);
	client_expect_event(client, "\"event\":\"VSERPORT_CHANGE\",\"data\":{\"id\":\"p0\","
				    "\"open\":false}}");
	client_expect_event(client, "\"event\":\"ACPI_DEVICE_OST\",\"data\":{\"info\":{"
				    "\"slot\":\"1\",\"status\":99}}}");
	client_expect_event(client, "\"event\":\"VSERPORT_CHANGE\",\"data\":{\"id\":\"p1\","
				    "\"open\":false}}");
	client_free(client);
}

/* A client that sends and never reads: what it sends is no longer taken, others go on. */
static void test_never_reads_replies(Fixture *fixture, gconstpointer data)
{
	Client *deaf = client_ready(fixture, false);
	Client *other = client_ready(fixture, false);
	const char *request = "{\"execute\":\"test-large\",\"arguments\":{\"size\":100000}}\n";
	unsigned n_sent = 0;

	(void)data;
	for (int quiet = 0; quiet < 200; quiet++) {
		while (send(deaf->fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
			n_sent++;
			quiet = 0;
		}
		g_assert_cmpint(errno, ==, EAGAIN);
		g_assert_cmpuint(n_sent, <, 100000);
		settle();
	}
	client_send(other, "{\"execute\":\"test-leave\"}");
	client_expect(other, "{\"return\":{}}");
	/* When it reads after all, nothing is lost. */
	for (unsigned i = 0; i < 20; i++) {
		g_autofree char *line = client_line(deaf);

		g_assert_nonnull(line);
		g_assert_cmpuint(strlen(line), ==, 100000 + strlen("{\"return\":\"\"}"));
	}
	client_free(deaf);
	client_free(other);
}

/* A client that never reads its events is disconnected when too many wait. */
static void test_never_reads_events(Fixture *fixture, gconstpointer data)
{
	Client *deaf = client_ready(fixture, false);
	Client *other = client_ready(fixture, false);
	QmpEventSink *sink = qmp_server_event_sink(fixture->server);
	g_autofree char *tag = g_strnfill(10000, 't');
	struct pollfd poll_fd = { .fd = deaf->fd };
	unsigned n_events = 0;

	(void)data;
	while (!(poll_fd.revents & POLLHUP)) {
		qapi_event_test_happened(sink, tag, true, n_events);
		settle();
		g_string_truncate(other->input, 0);
		g_assert_true(client_read(other));
		g_assert_no_errno(poll(&poll_fd, 1, 0));
		g_assert_cmpuint(++n_events, <, 2000);
	}
	g_assert_nonnull(strstr(fixture->warnings->str, "does not read its events"));
	g_string_truncate(fixture->warnings, 0);
	settle();
	g_assert_true(client_read(other));
	g_string_truncate(other->input, 0);
	client_send(other, "{\"execute\":\"test-leave\"}");
	client_expect(other, "{\"return\":{}}");
	client_free(deaf);
	client_free(other);
}

static void test_after_reply(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	gint64 start;

	(void)data;
	client_send(client, "{\"execute\":\"test-leave\"}");
	client_expect(client, "{\"return\":{}}");
	settle();
	g_assert_cmpstr(qmp_test_log->str, ==, "left:m ");
	/* A client that does not read its reply delays it, but not for long. */
	g_string_truncate(qmp_test_log, 0);
	client_send(client, "{\"execute\":\"test-large\",\"arguments\":{\"size\":60000}}\n");
	client_send(client, "{\"execute\":\"test-large\",\"arguments\":{\"size\":60000}}\n");
	client_send(client, "{\"execute\":\"test-large\",\"arguments\":{\"size\":60000}}\n");
	client_send(client, "{\"execute\":\"test-large\",\"arguments\":{\"size\":60000}}\n");
	client_send(client, "{\"execute\":\"test-leave\"}");
	start = g_get_monotonic_time();
	while (!qmp_test_log->len) {
		g_assert_cmpint(g_get_monotonic_time() - start, <, WAIT_S * G_USEC_PER_SEC);
		turn();
	}
	g_assert_cmpstr(qmp_test_log->str, ==, "left:m ");
	client_free(client);
}

static void test_introspection(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	g_autofree char *schema = NULL;
	g_autofree char *commands = NULL;
	json_object *reply, *list;
	bool found = false;

	(void)data;
	client_send(client, "{\"execute\":\"query-qmp-schema\"}");
	schema = client_line(client);
	reply = json_tokener_parse(schema);
	g_assert_true(json_object_object_get_ex(reply, "return", &list));
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *entry = json_object_array_get_idx(list, i);
		const char *name = json_object_get_string(json_object_object_get(entry, "name"));

		found |= !strcmp(name, "device_add");
	}
	g_assert_true(found);
	json_object_put(reply);
	client_send(client, "{\"execute\":\"query-commands\"}");
	commands = client_line(client);
	g_assert_nonnull(strstr(commands, "{\"name\":\"qmp_capabilities\"}"));
	g_assert_nonnull(strstr(commands, "{\"name\":\"test-echo\"}"));
	client_free(client);
}

int main(int argc, char **argv)
{
	qmp_test_init(&argc, &argv);
	ADD_TEST("greeting", test_greeting);
	ADD_TEST("negotiation", test_negotiation);
	ADD_TEST("ids", test_ids);
	ADD_TEST("commands", test_commands);
	ADD_TEST("refused-messages", test_refused_messages);
	ADD_TEST("preconfig", test_preconfig);
	ADD_TEST("oversize", test_oversize);
	ADD_TEST("order", test_order);
	ADD_TEST("out-of-band", test_out_of_band);
	ADD_TEST("events", test_events);
	ADD_TEST("last-event", test_last_event);
	ADD_TEST("events-from-threads", test_events_from_threads);
	ADD_TEST("event-flood", test_event_flood);
	ADD_TEST("event-rates", test_event_rates);
	ADD_TEST("never-reads-replies", test_never_reads_replies);
	ADD_TEST("never-reads-events", test_never_reads_events);
	ADD_TEST("after-reply", test_after_reply);
	ADD_TEST("introspection", test_introspection);
	return g_test_run();
}
