/*
 * test-vdagent.c: an agent in the guest and viewers share a clipboard through -chardev qemu-vdagent
 *
 * The front end here is the guest's agent; a viewer is a peer of the clipboard.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev.h"
#include "vmm/display/vnc_cut_text.h"

#include <string.h>
#include <zlib.h>

enum { CLIPBOARD = 4, ANNOUNCE = 6, GRAB = 7, REQUEST = 8, RELEASE = 9 };
enum { BY_DEMAND = 1 << 5, SELECTION = 1 << 6, CRLF = 1 << 9 };

typedef struct Fixture {
	Chardevs *chardevs;
	Chardev *chardev;
	size_t room;
	GByteArray *received;
	ClipboardPeer *viewer;
	GString *seen; /* by the viewer, a text a line */
} Fixture;

static size_t can_receive(void *opaque)
{
	const Fixture *fixture = opaque;

	return fixture->room;
}

static void receive(void *opaque, const uint8_t *data, size_t size)
{
	Fixture *fixture = opaque;

	g_assert_cmpuint(size, <=, fixture->room);
	g_byte_array_append(fixture->received, data, (guint)size);
}

static const ChardevFrontEnd front_end = { .can_receive = can_receive, .receive = receive };

static void on_copied(void *opaque, const char *text)
{
	Fixture *fixture = opaque;

	g_string_append_printf(fixture->seen, "%s\n", text);
}

static const ClipboardPeerOps viewer_ops = { .copied = on_copied };

static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		continue;
}

static void fixture_set_up(Fixture *fixture, gconstpointer data)
{
	g_autoptr(ChardevConfig) config =
		chardev_config_parse("qemu-vdagent,id=agent,clipboard=on", NULL);

	(void)data;
	g_assert_nonnull(config);
	fixture->chardevs = chardevs_new(NULL);
	fixture->chardev = chardevs_add(fixture->chardevs, config, NULL);
	g_assert_nonnull(fixture->chardev);
	fixture->room = SIZE_MAX;
	fixture->received = g_byte_array_new();
	fixture->seen = g_string_new(NULL);
	g_assert_true(chardev_attach(fixture->chardev, "port", &front_end, fixture, NULL));
	fixture->viewer = clipboard_join(chardevs_clipboard(fixture->chardevs), false, &viewer_ops,
					 fixture);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->viewer)
		clipboard_leave(fixture->viewer);
	chardev_detach(fixture->chardev);
	chardevs_free(fixture->chardevs);
	g_byte_array_unref(fixture->received);
	g_string_free(fixture->seen, TRUE);
}

static void append_word(GByteArray *array, uint32_t word)
{
	word = GUINT32_TO_LE(word);
	g_byte_array_append(array, (const guint8 *)&word, sizeof(word));
}

/* A message as the agent writes it, in chunks of at most @chunk bytes. */
static GByteArray *message_new(uint32_t type, const void *body, size_t size, size_t chunk)
{
	GByteArray *message = g_byte_array_new(), *chunks = g_byte_array_new();

	append_word(message, 1);
	append_word(message, type);
	append_word(message, 0);
	append_word(message, 0);
	append_word(message, (uint32_t)size);
	g_byte_array_append(message, body, (guint)size);
	for (guint at = 0; at < message->len; at += (guint)chunk) {
		guint length = (guint)MIN(chunk, message->len - at);

		append_word(chunks, 1);
		append_word(chunks, length);
		g_byte_array_append(chunks, message->data + at, length);
	}
	g_byte_array_unref(message);
	return chunks;
}

static void say_raw(Fixture *fixture, const void *data, size_t size)
{
	for (size_t at = 0; at < size; settle())
		at += chardev_write(fixture->chardev, (const uint8_t *)data + at, size - at);
}

static void say(Fixture *fixture, uint32_t type, const void *body, size_t size)
{
	g_autoptr(GByteArray) chunks = message_new(type, body, size, 2048);

	say_raw(fixture, chunks->data, chunks->len);
}

static void say_words(Fixture *fixture, uint32_t type, const uint32_t *words, unsigned n)
{
	g_autoptr(GByteArray) body = g_byte_array_new();

	for (unsigned i = 0; i < n; i++)
		append_word(body, words[i]);
	say(fixture, type, body->data, body->len);
}

static void say_text(Fixture *fixture, bool selection, const char *text)
{
	g_autoptr(GByteArray) body = g_byte_array_new();

	if (selection)
		append_word(body, 0);
	append_word(body, 1);
	g_byte_array_append(body, (const guint8 *)text, (guint)strlen(text));
	say(fixture, CLIPBOARD, body->data, body->len);
}

/* What we sent since the last time: "TYPE: WORD WORD..." a message, or "TYPE: WORD... 'TEXT'". */
static char *heard(Fixture *fixture, unsigned n_words)
{
	g_autoptr(GByteArray) stream = g_byte_array_new();
	GString *text = g_string_new(NULL);
	const uint8_t *data;
	uint32_t header[5];

	settle();
	data = fixture->received->data;
	for (guint at = 0; at < fixture->received->len;) {
		memcpy(header, data + at, 8);
		g_assert_cmpuint(header[0], ==, 1);
		g_assert_cmpuint(header[1], <=, 2048);
		g_byte_array_append(stream, data + at + 8, header[1]);
		at += 8 + header[1];
		g_assert_cmpuint(at, <=, fixture->received->len);
	}
	g_byte_array_set_size(fixture->received, 0);
	for (guint at = 0; at < stream->len; at += header[4]) {
		memcpy(header, stream->data + at, sizeof(header));
		at += sizeof(header);
		g_assert_cmpuint(header[0], ==, 1);
		g_string_append_printf(text, "%u:", header[1]);
		for (unsigned i = 0; i < header[4]; i += 4) {
			uint32_t word;

			if (i / 4 == n_words) {
				g_string_append_printf(text, " '%.*s'", (int)(header[4] - i),
						       stream->data + at + i);
				break;
			}
			memcpy(&word, stream->data + at + i, 4);
			g_string_append_printf(text, " %u", word);
		}
		g_string_append_c(text, '\n');
	}
	return g_string_free(text, FALSE);
}

#define assert_heard(fixture, n_words, expected)                                                   \
	do {                                                                                       \
		g_autofree char *heard_ = heard(fixture, n_words);                                   \
		g_assert_cmpstr(heard_, ==, expected);                                               \
	} while (0)

#define assert_seen(fixture, expected)                                                             \
	do {                                                                                       \
		settle();                                                                          \
		g_assert_cmpstr((fixture)->seen->str, ==, expected);                               \
		g_string_truncate((fixture)->seen, 0);                                             \
	} while (0)

static void start_agent(Fixture *fixture, uint32_t capabilities)
{
	chardev_guest_opened(fixture->chardev, true);
	assert_heard(fixture, 9, "6: 1 96\n");
	say_words(fixture, ANNOUNCE, (const uint32_t[]){ 0, capabilities }, 2);
	assert_heard(fixture, 9, "");
}

static void test_guest_copies(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start_agent(fixture, BY_DEMAND | SELECTION);
	say_words(fixture, GRAB, (const uint32_t[]){ 0, 2, 1 }, 3);
	assert_heard(fixture, 9, "8: 0 1\n");
	say_text(fixture, true, "ein \xc3\xa4 und\r\nmehr");
	assert_seen(fixture, "ein \xc3\xa4 und\nmehr\n");
	/* Once more: it was not asked for. */
	say_text(fixture, true, "other");
	assert_seen(fixture, "");

	/* X11's other selections, and what is no text. */
	say_words(fixture, GRAB, (const uint32_t[]){ 1, 1 }, 2);
	say_words(fixture, GRAB, (const uint32_t[]){ 0, 2 }, 2);
	assert_heard(fixture, 9, "");
	/* What is no UTF-8. */
	say_words(fixture, GRAB, (const uint32_t[]){ 0, 1 }, 2);
	say_text(fixture, true, "\xff\xfe");
	assert_seen(fixture, "");
}

static void test_viewer_copies(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start_agent(fixture, BY_DEMAND | SELECTION | CRLF);
	clipboard_set(fixture->viewer, "one\ntwo", 7);
	assert_heard(fixture, 9, "7: 0 1\n");
	say_words(fixture, REQUEST, (const uint32_t[]){ 0, 1 }, 2);
	assert_heard(fixture, 2, "4: 0 1 'one\r\ntwo'\n");
	say_words(fixture, REQUEST, (const uint32_t[]){ 0, 2 }, 2);
	assert_heard(fixture, 9, "4: 0 0\n");
	assert_seen(fixture, "");

	/* Long ones go in chunks; longer ones not at all. */
	g_autofree char *text = g_strnfill(CLIPBOARD_MAX + 1, 'x');
	clipboard_set(fixture->viewer, text, CLIPBOARD_MAX);
	assert_heard(fixture, 9, "7: 0 1\n");
	say_words(fixture, REQUEST, (const uint32_t[]){ 0, 1 }, 2);
	g_autofree char *answer = heard(fixture, 2);
	g_assert_cmpuint(strlen(answer), ==, strlen("4: 0 1 ''\n") + CLIPBOARD_MAX);
	clipboard_set(fixture->viewer, text, CLIPBOARD_MAX + 1);
	assert_heard(fixture, 9, "");
}

/* An agent that knows of no selections. */
static void test_old_agent(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start_agent(fixture, BY_DEMAND);
	say_words(fixture, GRAB, (const uint32_t[]){ 1 }, 1);
	assert_heard(fixture, 9, "8: 1\n");
	say_text(fixture, false, "old");
	assert_seen(fixture, "old\n");
	clipboard_set(fixture->viewer, "new", 3);
	assert_heard(fixture, 9, "7: 1\n");
	say_words(fixture, REQUEST, (const uint32_t[]){ 1 }, 1);
	assert_heard(fixture, 1, "4: 1 'new'\n");
}

/* Who comes later is told; nobody is asked for what nobody would see. */
static void test_comers(Fixture *fixture, gconstpointer data)
{
	Clipboard *clipboard = chardevs_clipboard(fixture->chardevs);

	(void)data;
	/* Without an agent there is no clipboard. */
	clipboard_set(fixture->viewer, "early", 5);
	g_assert_null(clipboard_text(clipboard));
	start_agent(fixture, BY_DEMAND | SELECTION);
	clipboard_leave(g_steal_pointer(&fixture->viewer));
	say_words(fixture, GRAB, (const uint32_t[]){ 0, 1 }, 2);
	assert_heard(fixture, 9, "");
	fixture->viewer = clipboard_join(clipboard, false, &viewer_ops, fixture);
	assert_heard(fixture, 9, "8: 0 1\n");
	say_text(fixture, true, "text");
	assert_seen(fixture, "text\n");
	clipboard_leave(fixture->viewer);
	fixture->viewer = clipboard_join(clipboard, false, &viewer_ops, fixture);
	assert_seen(fixture, "text\n");

	/* The agent goes, and with it what it had; another starts in the middle of a message. */
	g_autoptr(GByteArray) half = message_new(GRAB, "12345678", 8, 2048);
	say_raw(fixture, half->data, half->len - 5);
	chardev_guest_opened(fixture->chardev, false);
	settle();
	g_assert_null(clipboard_text(clipboard));
	start_agent(fixture, BY_DEMAND | SELECTION);
	/* One that starts anew without closing its port says so by its question. */
	say_words(fixture, ANNOUNCE, (const uint32_t[]){ 1, BY_DEMAND }, 2);
	assert_heard(fixture, 9, "6: 0 96\n");
	say_words(fixture, GRAB, (const uint32_t[]){ 1 }, 1);
	assert_heard(fixture, 9, "8: 1\n");
}

/* What comes in pieces of any size is the same. */
static void test_pieces(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GByteArray) grab = NULL;

	(void)data;
	start_agent(fixture, BY_DEMAND | SELECTION);
	for (size_t chunk = 1; chunk < 24; chunk += 3) {
		g_autoptr(GByteArray) chunks =
			message_new(GRAB, (const uint32_t[]){ 0, GUINT32_TO_LE(1) }, 8, chunk);

		for (guint i = 0; i < chunks->len; i++)
			say_raw(fixture, chunks->data + i, 1);
		assert_heard(fixture, 9, "8: 0 1\n");
	}
	/* A message that nobody wants, however long, is passed over. */
	grab = g_byte_array_new();
	g_byte_array_set_size(grab, 3 * CLIPBOARD_MAX);
	memset(grab->data, 0, grab->len);
	say(fixture, CLIPBOARD, grab->data, grab->len);
	say_words(fixture, GRAB, (const uint32_t[]){ 0, 1 }, 2);
	assert_heard(fixture, 9, "8: 0 1\n");
}

/* A guest that lies is heard no more until it opens its port again. */
static void test_lies(Fixture *fixture, gconstpointer data)
{
	static const uint32_t lies[][7] = {
		{ 3, 20 },		  /* no such port */
		{ 1, 2049 },		  /* a chunk that is too long */
		{ 1, 20, 2, GRAB, 0, 0, 0 }, /* another protocol */
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
		start_agent(fixture, BY_DEMAND | SELECTION);
		say_raw(fixture, lies[i], sizeof(lies[i]));
		say_words(fixture, GRAB, (const uint32_t[]){ 0, 1 }, 2);
		assert_heard(fixture, 9, "");
		clipboard_set(fixture->viewer, "text", 4);
		assert_heard(fixture, 9, "");
		chardev_guest_opened(fixture->chardev, false);
	}
}

/* A guest that asks and asks but never reads costs no more than a few texts' memory. */
static void test_deaf(Fixture *fixture, gconstpointer data)
{
	g_autofree char *text = g_strnfill(CLIPBOARD_MAX, 'x');

	(void)data;
	start_agent(fixture, BY_DEMAND | SELECTION);
	clipboard_set(fixture->viewer, text, CLIPBOARD_MAX);
	assert_heard(fixture, 9, "7: 0 1\n");
	fixture->room = 0;
	for (unsigned i = 0; i < 100; i++) {
		g_autoptr(GByteArray) request =
			message_new(REQUEST, (const uint32_t[]){ 0, GUINT32_TO_LE(1) }, 8, 2048);

		chardev_write(fixture->chardev, request->data, request->len);
		settle();
	}
	for (unsigned i = 0; i < 100000; i++)
		clipboard_set(fixture->viewer, "short", 5);
	fixture->room = SIZE_MAX;
	chardev_accept_input(fixture->chardev);
	settle();
	g_assert_cmpuint(fixture->received->len, >, CLIPBOARD_MAX);
	g_assert_cmpuint(fixture->received->len, <, 5 * CLIPBOARD_MAX);
}

/* The extended clipboard of VNC: text that is less than its size says is none. */
static void test_inflate(void)
{
	uint8_t plain[4 + 5] = { 0, 0, 0, 5, 't', 'e', 'x', 't', 0 }, deflated[64];
	uLongf size = sizeof(deflated);
	g_autofree char *text = NULL;
	size_t n;

	g_assert_cmpint(compress(deflated, &size, plain, sizeof(plain)), ==, Z_OK);
	text = vnc_cut_text_inflate(deflated, size, &n);
	g_assert_cmpmem(text, n, "text", 5);
	for (size_t cut = 1; cut < size - 5; cut++)
		g_assert_null(vnc_cut_text_inflate(deflated, size - 5 - cut, &n));
	for (unsigned high = 0; high < 3; high++) {
		size = sizeof(deflated);
		plain[high] = 1;
		g_assert_cmpint(compress(deflated, &size, plain, sizeof(plain)), ==, Z_OK);
		g_assert_null(vnc_cut_text_inflate(deflated, size, &n));
	}
}

static void test_latin1(void)
{
	g_autofree char *text = vnc_cut_text_from_latin1("\xe4\0x", 3);

	g_assert_cmpstr(text, ==, "\xc3\xa4");
}

static void test_config(void)
{
	g_autoptr(ChardevConfig) config = chardev_config_parse("qemu-vdagent,id=agent", NULL);
	g_autoptr(Chardevs) chardevs = chardevs_new(NULL);
	g_autoptr(GError) error = NULL;

	g_assert_null(chardevs_add(chardevs, config, &error));
	g_assert_nonnull(strstr(error->message, "'clipboard=on' is missing"));
	g_clear_error(&error);
	g_assert_null(chardev_config_parse("qemu-vdagent,id=agent,mouse=on", &error));
	g_assert_nonnull(strstr(error->message, "'mouse'"));
}

#define ADD_TEST(name, function)                                                                   \
	g_test_add("/vdagent/" name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD_TEST("guest-copies", test_guest_copies);
	ADD_TEST("viewer-copies", test_viewer_copies);
	ADD_TEST("old-agent", test_old_agent);
	ADD_TEST("comers", test_comers);
	ADD_TEST("pieces", test_pieces);
	ADD_TEST("lies", test_lies);
	ADD_TEST("deaf", test_deaf);
	g_test_add_func("/vdagent/config", test_config);
	g_test_add_func("/vdagent/vnc/inflate", test_inflate);
	g_test_add_func("/vdagent/vnc/latin1", test_latin1);
	return g_test_run();
}
