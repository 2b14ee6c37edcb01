/*
 * qmp_test_client.h: a QMP server with the test schema's commands, and clients that know only bytes
 *
 * The server runs in the default main context, which the functions here turn while they wait; after
 * half a minute of waiting the test fails.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qmp/qmp_server.h"

typedef struct {
	QmpServer *server;
	char machine[8];   /* what handlers act on */
	GString *warnings; /* what was logged, each behind a line end */
} Fixture;

typedef struct {
	int fd;
	GString *input;
} Client;

/* The error reply with this text, which must not need escaping. */
#define GENERIC(TEXT)	"{\"error\":{\"class\":\"GenericError\",\"desc\":\"" TEXT "\"}}"
#define NOT_FOUND(TEXT) "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"" TEXT "\"}}"

/* g_test_init(), and warnings go to the fixture, where a test must take those it expects. */
void qmp_test_init(int *argc, char ***argv);

/* For g_test_add(). */
void fixture_set_up(Fixture *fixture, gconstpointer data);
void fixture_tear_down(Fixture *fixture, gconstpointer data);

/* Adds a test with a fixture. */
#define ADD_TEST(NAME, FUNC) \
	g_test_add("/qmp/server/" NAME, Fixture, NULL, fixture_set_up, FUNC, fixture_tear_down)

/* Turns the main context once; until nothing happens any more. */
void turn(void);
void settle(void);

/* A client on a socket, which it owns; on a new pair of sockets; one that has negotiated, too. */
Client *client_new_fd(int fd);
Client *client_new(Fixture *fixture);
Client *client_ready(Fixture *fixture, bool oob);
void client_free(Client *client);

/* Reads the greeting and sends qmp_capabilities. */
void client_negotiate(Client *client, bool oob);

/* Writes everything, turning the server meanwhile; client_send_fd() does not wait. */
void client_send_bytes(Client *client, const char *data, size_t size);
void client_send(Client *client, const char *text);
void client_send_fd(Client *client, const char *text, int fd);

/* Reads what is there; false at the end of the stream. */
bool client_read(Client *client);

/* The next line, without its end; NULL if the server closes the connection before. */
char *client_line(Client *client);

/* The next line is @expected, or an event that is @expected apart from its time. */
void client_expect(Client *client, const char *expected);
void client_expect_event(Client *client, const char *expected);
