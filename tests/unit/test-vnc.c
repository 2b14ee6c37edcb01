/*
 * test-vnc.c: what clients cannot do to the VNC server's process
 *
 * The server and its module are the real ones.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/display/input.h"
#include "vmm/display/vnc_internal.h"

/* In all, so that a server which never stops does so in the end. */
#define KEYS (8u * VNC_ACTIONS)

typedef struct Fixture {
	Display *display;
	DisplayConsole *console;
	Clipboard *clipboard;
	InputDevice *keyboard;
	VncServer *server;
	VncConnection *connection; /* that presses keys */
	unsigned n_keys;
	char *directory, *path;
} Fixture;

static const DisplayConsoleOps console_ops = { .refresh = NULL };

static void press(VncConnection *connection)
{
	vnc_client_ops.key(connection, 'a', 0, true);
}

/* While a key is being dealt with the client presses the next. */
static void on_key(void *opaque, G_GNUC_UNUSED unsigned code, G_GNUC_UNUSED bool down)
{
	Fixture *fixture = opaque;

	if (++fixture->n_keys < KEYS)
		press(fixture->connection);
}

static const InputDeviceOps keyboard_ops = { .key = on_key };

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	json_object *options = json_object_new_object();
	g_autofree char *address = NULL;
	g_autoptr(GError) error = NULL;

	fixture->directory = g_dir_make_tmp("vireo-XXXXXX", &error);
	g_assert_no_error(error);
	fixture->path = g_build_filename(fixture->directory,
					 "the-screen-of-a-guest-that-has-a-rather-long-name", NULL);
	address = g_strconcat("unix:", fixture->path, NULL);
	json_object_object_add(options, "vnc", json_object_new_string(address));
	fixture->display = display_new();
	fixture->console = display_add_console(fixture->display, "screen", 0, &console_ops, NULL);
	fixture->keyboard = input_add_device(display_input(fixture->display), NULL, INPUT_KEYBOARD,
					     &keyboard_ops, fixture);
	input_device_set_active(fixture->keyboard, true);
	fixture->clipboard = clipboard_new();
	fixture->server = vnc_server_new(options, fixture->display, fixture->clipboard, "guest",
					 NULL, NULL, &error);
	g_assert_no_error(error);
	json_object_put(options);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	vnc_server_free(fixture->server);
	clipboard_free(fixture->clipboard);
	input_remove_device(display_input(fixture->display), fixture->keyboard);
	display_remove_console(fixture->display, fixture->console);
	display_free(fixture->display);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->path);
}

static int new_client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	g_assert_cmpint(fd, >=, 0);
	return fd;
}

static void connect_client(const Fixture *fixture, int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	g_strlcpy(address.sun_path, fixture->path, sizeof(address.sun_path));
	g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
}

/* A client that acts as fast as it is listened to does not keep the main thread from the others. */
static void test_turns(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	g_assert_true(vnc_server_add_client(fixture->server, pair[1], false, &error));
	fixture->connection = fixture->server->connections->pdata[0];
	press(fixture->connection);
	while (fixture->n_keys == 0)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpuint(fixture->n_keys, <=, VNC_ACTIONS);
	/* Nor is anything lost. */
	while (fixture->n_keys < KEYS)
		g_main_context_iteration(NULL, TRUE);
	close(pair[0]);
}

/* Whether the server has hung up. */
static bool is_hung_up(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void limit_descriptors(rlim_t n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = n;
	g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* Where no descriptor is left a client is turned away, not found to wait again and again. */
static void test_no_descriptor(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	int client = new_client(), next = new_client(), free_fd = fcntl(client, F_DUPFD, 0);
	struct rlimit before;

	close(free_fd);
	getrlimit(RLIMIT_NOFILE, &before);
	limit_descriptors((rlim_t)free_fd);
	connect_client(fixture, client);
	for (unsigned i = 0; i < 100 && !is_hung_up(client); i++)
		g_main_context_iteration(NULL, FALSE);
	g_assert_true(is_hung_up(client));
	limit_descriptors(before.rlim_cur);
	connect_client(fixture, next);
	while (fixture->server->connections->len == 0)
		g_main_context_iteration(NULL, TRUE);
	close(client);
	close(next);
}

/* Who connects and goes again and again has to wait in between. */
static void test_rest(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	const VncServer *server = fixture->server;
	int late = new_client();

	for (unsigned i = 0; i < VNC_ACCEPTED_MAX; i++) {
		int client = new_client();

		g_assert_false(server->rests);
		connect_client(fixture, client);
		while (server->n_accepted == i)
			g_main_context_iteration(NULL, TRUE);
		close(client);
	}
	g_assert_true(server->rests);
	/* It is not turned away. */
	connect_client(fixture, late);
	while (server->rests || server->n_accepted == 0)
		g_main_context_iteration(NULL, TRUE);
	g_assert_false(is_hung_up(late));
	close(late);
}

/* An accept that finds nobody any more returns. */
static void test_nobody(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_assert_true(fcntl(fixture->server->listen_fd, F_GETFL) & O_NONBLOCK);
}

/* A path is told as it is. */
static void test_path(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(QapiVncInfo) info = vnc_server_query(fixture->server);

	g_assert_cmpint(info->family, ==, QAPI_NETWORK_ADDRESS_FAMILY_UNIX);
	g_assert_cmpstr(info->host, ==, "");
	g_assert_cmpstr(info->service, ==, fixture->path);
}

int main(int argc, char **argv)
{
	g_autofree char *modules = g_build_filename(g_getenv("top_builddir"), ".libs", NULL);

	/* As the monitor does. */
	signal(SIGPIPE, SIG_IGN);
	g_setenv("VIREO_MODULE_DIR", modules, TRUE);
	g_test_init(&argc, &argv, NULL);
	g_test_add("/vnc/turns", Fixture, NULL, set_up, test_turns, tear_down);
	g_test_add("/vnc/no-descriptor", Fixture, NULL, set_up, test_no_descriptor, tear_down);
	g_test_add("/vnc/rest", Fixture, NULL, set_up, test_rest, tear_down);
	g_test_add("/vnc/nobody", Fixture, NULL, set_up, test_nobody, tear_down);
	g_test_add("/vnc/path", Fixture, NULL, set_up, test_path, tear_down);
	return g_test_run();
}
