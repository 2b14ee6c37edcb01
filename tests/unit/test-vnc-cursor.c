/*
 * test-vnc-cursor.c: the guest's cursor, seen by VNC clients that draw cursors
 *
 * The server and its module are the real ones; the client is a thread of this program.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/display/vnc.h"

enum { RAW = 0, RICH_CURSOR = -239, ALPHA_CURSOR = -314 };

typedef struct Fixture {
	Display *display;
	DisplayConsole *console;
	Clipboard *clipboard;
	VncServer *server;
	char *directory, *path;
	int fd;	   /* the client's end */
	gint seen; /* it has seen a cursor */
} Fixture;

/* A rectangle of an update: where, and what it is. */
typedef struct Rect {
	uint16_t x, y, width, height;
	int32_t encoding;
} __attribute__((packed)) Rect;

static const DisplayConsoleOps console_ops = { .refresh = NULL };

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	json_object *options = json_object_new_object();
	g_autofree char *address = NULL;
	g_autoptr(GError) error = NULL;
	int pair[2];

	fixture->directory = g_dir_make_tmp("vireo-XXXXXX", &error);
	g_assert_no_error(error);
	fixture->path = g_build_filename(fixture->directory, "vnc", NULL);
	address = g_strconcat("unix:", fixture->path, NULL);
	json_object_object_add(options, "vnc", json_object_new_string(address));
	fixture->display = display_new();
	fixture->console = display_add_console(fixture->display, "screen", 0, &console_ops, NULL);
	fixture->clipboard = clipboard_new();
	fixture->server = vnc_server_new(options, fixture->display, fixture->clipboard, "guest",
					 NULL, NULL, &error);
	g_assert_no_error(error);
	json_object_put(options);
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	g_assert_true(vnc_server_add_client(fixture->server, pair[1], false, &error));
	fixture->fd = pair[0];
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	close(fixture->fd);
	vnc_server_free(fixture->server);
	clipboard_free(fixture->clipboard);
	display_remove_console(fixture->display, fixture->console);
	display_free(fixture->display);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->path);
}

/* The client; on its thread. */

static void say(const Fixture *fixture, const void *data, size_t size)
{
	g_assert_cmpint(send(fixture->fd, data, size, 0), ==, (ssize_t)size);
}

static void take(const Fixture *fixture, void *data, size_t size)
{
	if (size > 0)
		g_assert_cmpint(recv(fixture->fd, data, size, MSG_WAITALL), ==, (ssize_t)size);
}

static void ask_for(const Fixture *fixture, int32_t encoding)
{
	const int32_t encodings[] = { GINT32_TO_BE(RAW), GINT32_TO_BE(encoding) };

	say(fixture, "\2\0\0\2", 4);
	say(fixture, encodings, sizeof(encodings));
}

/* Gets in, with 3.8 and without a password, to a screen of black. */
static void get_in(const Fixture *fixture)
{
	char text[256];
	uint32_t size;

	take(fixture, text, 12);
	say(fixture, "RFB 003.008\n", 12);
	take(fixture, text, 2);
	g_assert_cmpmem(text, 2, "\1\1", 2);
	say(fixture, "\1", 1);
	take(fixture, &size, 4);
	g_assert_cmpuint(size, ==, 0);
	say(fixture, "\1", 1);
	take(fixture, text, 20);
	take(fixture, &size, 4);
	take(fixture, text, GUINT32_FROM_BE(size));
}

/* The next rectangle that is no raw one, of whatever update. */
static Rect next_cursor(const Fixture *fixture)
{
	for (;;) {
		uint8_t update[4];
		uint16_t n;

		take(fixture, update, sizeof(update));
		g_assert_cmpuint(update[0], ==, 0);
		memcpy(&n, update + 2, sizeof(n));
		for (n = GUINT16_FROM_BE(n); n > 0; n--) {
			g_autofree uint8_t *pixels = NULL;
			Rect rect;

			take(fixture, &rect, sizeof(rect));
			rect.x = GUINT16_FROM_BE(rect.x);
			rect.y = GUINT16_FROM_BE(rect.y);
			rect.width = GUINT16_FROM_BE(rect.width);
			rect.height = GUINT16_FROM_BE(rect.height);
			rect.encoding = GINT32_FROM_BE(rect.encoding);
			if (rect.encoding != RAW)
				return rect;
			pixels = g_malloc(4u * rect.width * rect.height);
			take(fixture, pixels, 4u * rect.width * rect.height);
		}
	}
}

static void request(const Fixture *fixture)
{
	say(fixture, "\3\1\0\0\0\0\0\x10\0\x10", 10);
}

/* Nine by two pixels: opaque red, half of green, nothing. */
static const uint8_t rich_pixels[] = { 0, 0, 0xff };
static const uint8_t rich_mask[] = { 0xc0, 0, 0xc0, 0 };
static const uint8_t alpha_pixels[] = { 0xff, 0, 0, 0xff, 0, 0x80, 0, 0x80, 0, 0, 0, 0 };

static DisplayCursor *new_cursor(void)
{
	DisplayCursor *cursor = display_cursor_new(9, 2);

	cursor->hot_x = 3;
	cursor->hot_y = 100; /* is cut */
	for (unsigned i = 0; i < 18; i += 9) {
		cursor->pixels[i] = 0xffff0000;
		cursor->pixels[i + 1] = 0x80008000;
	}
	return cursor;
}

static void assert_place(const Rect *rect, int32_t encoding)
{
	g_assert_cmpint(rect->encoding, ==, encoding);
	g_assert_cmpuint(rect->x, ==, 3);
	g_assert_cmpuint(rect->y, ==, 1);
	g_assert_cmpuint(rect->width, ==, 9);
	g_assert_cmpuint(rect->height, ==, 2);
}

static gpointer look_by_mask(gpointer data)
{
	const Fixture *fixture = data;
	uint8_t pixels[9 * 2 * 4], mask[2 * 2];
	Rect rect;

	get_in(fixture);
	ask_for(fixture, RICH_CURSOR);
	do {
		request(fixture);
		rect = next_cursor(fixture);
	} while (rect.width == 0); /* before the guest's is there */
	assert_place(&rect, RICH_CURSOR);
	take(fixture, pixels, sizeof(pixels));
	g_assert_cmpmem(pixels, 3, rich_pixels, 3);
	take(fixture, mask, sizeof(mask));
	g_assert_cmpmem(mask, sizeof(mask), rich_mask, sizeof(rich_mask));
	return NULL;
}

static gpointer look_by_alpha(gpointer data)
{
	Fixture *fixture = data;
	uint8_t pixels[9 * 2 * 4];
	int32_t encoding;
	Rect rect;

	get_in(fixture);
	ask_for(fixture, ALPHA_CURSOR);
	do {
		rect = next_cursor(fixture);
		take(fixture, &encoding, sizeof(encoding));
		g_assert_cmpint(encoding, ==, RAW);
	} while (rect.width == 0);
	assert_place(&rect, ALPHA_CURSOR);
	take(fixture, pixels, sizeof(pixels));
	g_assert_cmpmem(pixels, sizeof(alpha_pixels), alpha_pixels, sizeof(alpha_pixels));
	/* Nothing else comes with what is asked for, and the next cursor by itself. */
	request(fixture);
	g_atomic_int_set(&fixture->seen, 1);
	g_main_context_wakeup(NULL);
	rect = next_cursor(fixture);
	g_assert_cmpint(rect.encoding, ==, ALPHA_CURSOR);
	g_assert_cmpuint(rect.width, ==, 0);
	return NULL;
}

static gpointer look_without(gpointer data)
{
	const Fixture *fixture = data;
	uint8_t update[4];
	Rect rect;

	get_in(fixture);
	say(fixture, "\2\0\0\0", 4);
	say(fixture, "\3\0\0\0\0\0\0\x10\0\x10", 10);
	take(fixture, update, sizeof(update));
	g_assert_cmpmem(update + 2, 2, "\0\1", 2);
	take(fixture, &rect, sizeof(rect));
	g_assert_cmpint(rect.encoding, ==, RAW);
	for (unsigned i = 0; i < 256; i++) {
		uint32_t pixel;

		take(fixture, &pixel, sizeof(pixel));
		g_assert_cmphex(pixel, ==, 0);
	}
	return NULL;
}

typedef struct Look {
	GThreadFunc func;
	Fixture *fixture;
	gint done;
} Look;

static gpointer look(gpointer data)
{
	Look *look = data;

	look->func(look->fixture);
	g_atomic_int_set(&look->done, 1);
	g_main_context_wakeup(NULL);
	return NULL;
}

static void test_cursor(Fixture *fixture, gconstpointer func)
{
	Look client = { .func = (GThreadFunc)func, .fixture = fixture };
	g_autoptr(DisplayCursor) cursor = new_cursor();
	GThread *thread;

	display_console_set_cursor(fixture->console, cursor);
	thread = g_thread_new("client", look, &client);
	while (!g_atomic_int_get(&client.done)) {
		g_main_context_iteration(NULL, TRUE);
		if (g_atomic_int_compare_and_exchange(&fixture->seen, 1, 0))
			display_console_set_cursor(fixture->console, NULL);
	}
	g_thread_join(thread);
}

int main(int argc, char **argv)
{
	g_autofree char *modules = g_build_filename(g_getenv("top_builddir"), ".libs", NULL);

	/* As the monitor does: a client may go while it is sent something. */
	signal(SIGPIPE, SIG_IGN);
	g_setenv("VIREO_MODULE_DIR", modules, TRUE);
	g_test_init(&argc, &argv, NULL);
	g_test_add("/vnc-cursor/mask", Fixture, look_by_mask, set_up, test_cursor, tear_down);
	g_test_add("/vnc-cursor/alpha", Fixture, look_by_alpha, set_up, test_cursor, tear_down);
	g_test_add("/vnc-cursor/none", Fixture, look_without, set_up, test_cursor, tear_down);
	return g_test_run();
}
