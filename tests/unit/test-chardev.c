/*
 * test-chardev.c: chardevs of every kind, with peers that come late, go early and read slowly
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/chardev/chardev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

typedef struct FrontEnd {
	Chardev *chardev;
	size_t room;
	GString *received;
	unsigned opened, closed, writable;
} FrontEnd;

typedef struct Fixture {
	char *directory;
	unsigned descriptors;
	Chardevs *chardevs;
	FrontEnd front_end;
} Fixture;

static unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	g_assert_nonnull(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void fixture_set_up(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->directory = g_dir_make_tmp("vireo-chardev-XXXXXX", NULL);
	/* The default context makes its wake-up descriptor once. */
	g_main_context_iteration(NULL, FALSE);
	fixture->descriptors = count_descriptors();
	fixture->chardevs = chardevs_new(NULL);
	fixture->front_end.room = 4096;
	fixture->front_end.received = g_string_new(NULL);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->front_end.chardev)
		chardev_detach(fixture->front_end.chardev);
	chardevs_free(fixture->chardevs);
	g_string_free(fixture->front_end.received, TRUE);
	g_assert_cmpuint(count_descriptors(), ==, fixture->descriptors);
	/* Only what a test put there itself is left. */
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->directory);
}

static size_t front_can_receive(void *opaque)
{
	return ((FrontEnd *)opaque)->room;
}

static void front_receive(void *opaque, const uint8_t *data, size_t size)
{
	FrontEnd *front_end = opaque;

	g_assert_cmpuint(size, <=, front_end->room);
	g_string_append_len(front_end->received, (const char *)data, size);
	front_end->room -= size;
}

static void front_event(void *opaque, ChardevEvent event)
{
	FrontEnd *front_end = opaque;

	if (event == CHARDEV_OPENED)
		front_end->opened++;
	else if (event == CHARDEV_CLOSED)
		front_end->closed++;
}

static void front_writable(void *opaque)
{
	((FrontEnd *)opaque)->writable++;
}

static const ChardevFrontEnd front_end_ops = {
	.can_receive = front_can_receive,
	.receive = front_receive,
	.event = front_event,
	.writable = front_writable,
};

static gboolean set_flag(gpointer data)
{
	*(bool *)data = true;
	return G_SOURCE_REMOVE;
}

/* Run the main loop until @condition, for five seconds at most. */
#define RUN_UNTIL(condition)                                        \
	do {                                                        \
		bool late = false;                                  \
		guint timer = g_timeout_add(5000, set_flag, &late); \
		while (!(condition) && !late)                       \
			g_main_context_iteration(NULL, TRUE);       \
		g_assert_true(condition);                           \
		if (!late)                                          \
			g_source_remove(timer);                     \
	} while (0)

static void run_briefly(void)
{
	for (int i = 0; i < 20; i++) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(500);
	}
}

static Chardev *add(Fixture *fixture, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static Chardev *add(Fixture *fixture, GError **error, const char *format, ...)
{
	g_autoptr(ChardevConfig) config = NULL;
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	config = chardev_config_parse(text, error);
	return config ? chardevs_add(fixture->chardevs, config, error) : NULL;
}

/* A chardev with the fixture's front end on it. */
#define ADD(fixture, ...)                                                                          \
	({                                                                                         \
		g_autoptr(GError) add_error = NULL;                                                \
		Chardev *added = add(fixture, &add_error, __VA_ARGS__);                            \
		g_assert_no_error(add_error);                                                      \
		chardev_attach(added, "front", &front_end_ops, &(fixture)->front_end, &add_error); \
		g_assert_no_error(add_error);                                                      \
		(fixture)->front_end.chardev = added;                                              \
		added;                                                                             \
	})

static size_t write_text(Chardev *chardev, const char *text)
{
	return chardev_write(chardev, (const uint8_t *)text, strlen(text));
}

static int unix_socket(const char *path, bool server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	if (server) {
		g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
		g_assert_cmpint(listen(fd, 4), ==, 0);
	} else {
		g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	}
	return fd;
}

static void assert_reads(int fd, const char *expected)
{
	char buffer[256] = {};
	size_t got = 0;

	while (got < strlen(expected)) {
		ssize_t now = read(fd, buffer + got, strlen(expected) - got);

		g_assert_cmpint(now, >, 0);
		got += now;
	}
	g_assert_cmpstr(buffer, ==, expected);
}

static void test_config_refuses(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "socket,path=/x", "'id' is missing" },
		{ "id=c", "the kind of chardev is missing" },
		{ "spicevmc,id=c", "'spicevmc' is not a kind" },
		{ "mux,id=c", "'mux' is not a kind" },
		{ "null,id=c,path=/x", "'path' is not an option of chardev null" },
		{ "null,id=c,mux=on", "'mux' is not an option" },
		{ "file,id=c", "'path' is missing" },
		{ "file,id=c,path=/x,append=maybe", "'append' must be on or off" },
		{ "socket,id=c", "needs one of 'path'" },
		{ "socket,id=c,path=/x,fd=3", "needs one of 'path'" },
		{ "socket,id=c,path=/x,host=h", "needs one of 'path'" },
		{ "socket,id=c,host=h", "'port' is missing" },
		{ "socket,id=c,fd=x", "'fd' must be a descriptor's number" },
		{ "socket,id=c,fd=-1", "'fd' must be a descriptor's number" },
		{ "socket,id=c,path=/x,telnet=on", "'telnet' is not an option" },
		{ "socket,id=c,path=/x,websocket=on", "'websocket' is not an option" },
		{ "socket,id=c,path=/x,tls-creds=t", "'tls-creds' is not an option" },
		{ "socket,id=c,path=/x,wait=on", "'wait' needs 'server'" },
		{ "socket,id=c,path=/x,server=on,reconnect=1", "'reconnect' is for clients" },
		{ "socket,id=c,path=/x,reconnect=99999999999", "'reconnect' must be" },
		{ "socket,id=c,fd=3,reconnect=1", "'reconnect' needs an address" },
		{ "ringbuf,id=c,size=1000", "'size' must be a power of two" },
		{ "ringbuf,id=c,size=0", "'size' must be a power of two" },
		{ "ringbuf,id=c,size=4G", "'size' must be a power of two" },
		{ "null,id=c,logappend=on", "'logappend' needs 'logfile'" },
		{ "{\"backend\":\"null\",\"id\":[1]}", "'id' must be a plain value" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		ChardevConfig *config = chardev_config_parse(cases[i].text, &error);

		g_assert_null(config);
		g_assert_nonnull(error);
		if (!strstr(error->message, cases[i].message))
			g_error("%s: '%s'", cases[i].text, error->message);
	}
}

static void test_config_accepts(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(ChardevConfig) libvirt =
		chardev_config_parse("socket,id=charmonitor,fd=3,server=on,wait=off", &error);
	g_autoptr(ChardevConfig) tcp = chardev_config_parse(
		"socket,id=t,host=::1,port=4444,server,ipv6=on,logfile=/l,logappend=on", &error);
	g_autoptr(ChardevConfig) ring = chardev_config_parse("ringbuf,id=r,size=4k", &error);

	g_assert_no_error(error);
	g_assert_cmpint(libvirt->address, ==, CHARDEV_ADDRESS_FD);
	g_assert_cmpint(libvirt->fd, ==, 3);
	g_assert_true(libvirt->server);
	g_assert_false(libvirt->wait);
	g_assert_true(tcp->server && tcp->wait && tcp->ipv6 && tcp->log_append);
	g_assert_cmpstr(tcp->host, ==, "::1");
	g_assert_cmpstr(tcp->log_path, ==, "/l");
	g_assert_cmpuint(ring->size, ==, 4096);
}

static void test_registry(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Chardev *chardev = ADD(fixture, "null,id=c");

	(void)data;
	g_assert_true(chardevs_find(fixture->chardevs, "c") == chardev);
	g_assert_true(chardev_front_end_is_open(chardev));
	g_assert_cmpuint(fixture->front_end.opened, ==, 1);

	g_assert_null(add(fixture, &error, "null,id=c"));
	g_assert_cmpstr(error->message, ==, "chardev 'c' exists already");
	g_clear_error(&error);
	g_assert_false(chardev_attach(chardev, "other", &front_end_ops, NULL, &error));
	g_assert_cmpstr(error->message, ==, "chardev 'c' is in use by 'front'");
	g_clear_error(&error);
	g_assert_false(chardevs_remove(fixture->chardevs, "c", &error));
	g_assert_cmpstr(error->message, ==, "chardev 'c' is in use by 'front'");
	g_clear_error(&error);
	g_assert_false(chardevs_remove(fixture->chardevs, "d", &error));
	g_assert_cmpstr(error->message, ==, "chardev 'd' not found");

	g_assert_cmpuint(write_text(chardev, "gone"), ==, 4);
	chardev_detach(chardev);
	fixture->front_end.chardev = NULL;
	g_assert_true(chardevs_remove(fixture->chardevs, "c", NULL));
	g_assert_null(chardevs_find(fixture->chardevs, "c"));
}

static void test_file_and_log(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "out", NULL);
	g_autofree char *log = g_build_filename(fixture->directory, "log", NULL);
	g_autofree char *text = NULL, *log_text = NULL;
	g_autoptr(GError) error = NULL;
	Chardev *chardev;

	(void)data;
	g_file_set_contents(path, "old ", -1, NULL);
	g_file_set_contents(log, "old ", -1, NULL);
	chardev = ADD(fixture, "file,id=c,path=%s,logfile=%s,logappend=on", path, log);
	g_assert_cmpuint(write_text(chardev, "new"), ==, 3);
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_true(g_file_get_contents(log, &log_text, NULL, NULL));
	g_assert_cmpstr(text, ==, "new");
	g_assert_cmpstr(log_text, ==, "old new");

	g_assert_null(add(fixture, &error, "file,id=d,path=%s/no/where", fixture->directory));
	g_assert_nonnull(strstr(error->message, "chardev 'd': cannot open '/"));
	g_clear_error(&error);
	g_assert_null(add(fixture, &error, "file,id=d,path=/dev/fdset/1"));
	g_assert_nonnull(strstr(error->message, "there are no descriptor sets"));
	g_unlink(path);
	g_unlink(log);
}

/* Structured messages do not pass g_test_expect_message(). */
static GString *logged;

static GLogWriterOutput note_message(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
				     gpointer data)
{
	(void)level;
	(void)data;
	for (gsize i = 0; i < n_fields; i++) {
		if (g_str_equal(fields[i].key, "MESSAGE"))
			g_string_append_printf(logged, "%s\n", (const char *)fields[i].value);
	}
	return G_LOG_WRITER_HANDLED;
}

static void test_full_disk(Fixture *fixture, gconstpointer data)
{
	Chardev *chardev = ADD(fixture, "file,id=c,path=/dev/full,logfile=/dev/full");

	(void)data;
	g_string_truncate(logged, 0);
	/* The guest goes on, and the log is not flooded. */
	for (int i = 0; i < 10; i++)
		g_assert_cmpuint(write_text(chardev, "lost"), ==, 4);
	g_assert_cmpstr(logged->str, ==,
			"chardev 'c': output is lost: No space left on device\n"
			"chardev 'c': the log ends here: No space left on device\n");
}

static int open_from_set(void *opaque, int64_t set, int flags, GError **error)
{
	if (set != 7) {
		error_fail(error, "no set");
		return -1;
	}
	return open(opaque, flags | O_CREAT | O_CLOEXEC, 0600);
}

static void test_descriptor_set(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "set", NULL);
	g_autofree char *text = NULL;
	FdSetOpener opener = { .open = open_from_set, .opaque = path };
	Chardev *chardev;

	(void)data;
	chardevs_set_fd_sets(fixture->chardevs, &opener);
	chardev = ADD(fixture, "null,id=c,logfile=/dev/fdset/7");
	write_text(chardev, "logged");
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_cmpstr(text, ==, "logged");
	g_unlink(path);
}

static void test_ringbuf(Fixture *fixture, gconstpointer data)
{
	Chardev *chardev = ADD(fixture, "ringbuf,id=c,size=8");
	uint8_t buffer[16];

	(void)data;
	g_assert_cmpuint(chardev_ringbuf_read(chardev, buffer, sizeof(buffer)), ==, 0);
	write_text(chardev, "abc");
	g_assert_cmpuint(chardev_ringbuf_read(chardev, buffer, 2), ==, 2);
	g_assert_cmpmem(buffer, 2, "ab", 2);
	write_text(chardev, "0123456789");
	g_assert_cmpuint(chardev_ringbuf_read(chardev, buffer, sizeof(buffer)), ==, 8);
	g_assert_cmpmem(buffer, 8, "23456789", 8);
}

static void test_server(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	g_autofree char *shown = NULL, *expected = g_strdup_printf("unix:%s,server=on", path);
	FrontEnd *front_end = &fixture->front_end;
	Chardev *chardev = ADD(fixture, "socket,id=c,path=%s,server=on,wait=off", path);
	autofd int first = -1;
	autofd int second = -1;

	(void)data;
	g_assert_false(chardev_is_open(chardev));
	g_assert_cmpuint(write_text(chardev, "dropped"), ==, 7);

	first = unix_socket(path, false);
	second = unix_socket(path, false);
	RUN_UNTIL(front_end->opened == 1);
	shown = chardev_filename(chardev);
	g_assert_cmpstr(shown, ==, expected);
	g_assert_cmpuint(write_text(chardev, "hello"), ==, 5);
	assert_reads(first, "hello");
	g_assert_cmpint(write(first, "world", 5), ==, 5);
	RUN_UNTIL(front_end->received->len == 5);
	g_assert_cmpstr(front_end->received->str, ==, "world");

	/* The second client has waited for the first to go; what it sent is there. */
	g_assert_cmpint(write(second, "next", 4), ==, 4);
	fd_close(&first);
	RUN_UNTIL(front_end->received->len == 9);
	g_assert_cmpuint(front_end->closed, ==, 1);
	g_assert_cmpuint(front_end->opened, ==, 2);
}

/* The front end breaks with a client, deaf or not, and serves the next. */
static void test_disconnect(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	FrontEnd *front_end = &fixture->front_end;
	Chardev *chardev = ADD(fixture, "socket,id=c,path=%s,server=on,wait=off", path);
	static const char text[4096] = "";
	autofd int first = unix_socket(path, false);
	autofd int second = unix_socket(path, false);
	char byte;

	(void)data;
	/* With nobody there it does nothing, also later. */
	chardev_disconnect(chardev);
	RUN_UNTIL(front_end->opened == 1);
	while (chardev_write(chardev, (const uint8_t *)text, sizeof(text)) == sizeof(text))
		;
	chardev_disconnect(chardev);
	RUN_UNTIL(front_end->opened == 2);
	g_assert_cmpuint(front_end->closed, ==, 1);
	while (read(first, &byte, 1) == 1)
		g_assert_cmpint(byte, ==, 0);
	g_assert_cmpint(read(first, &byte, 1), ==, 0);
	g_assert_cmpuint(write_text(chardev, "hello"), ==, 5);
	assert_reads(second, "hello");
}

/* A client that vanishes with unread data both ways, over and over. */
static void test_client_vanishes(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	FrontEnd *front_end = &fixture->front_end;
	Chardev *chardev = ADD(fixture, "socket,id=c,path=%s,server=on,wait=off", path);

	(void)data;
	for (unsigned i = 1; i <= 20; i++) {
		int client = unix_socket(path, false);

		front_end->room = i % 3 ? 2 : 0;
		g_assert_cmpint(write(client, "bytes", 5), ==, 5);
		RUN_UNTIL(front_end->opened == i);
		write_text(chardev, "unread");
		fd_close(&client);
		run_briefly();
		/* With no room the end is only seen after the data before it. */
		front_end->room = 100;
		chardev_accept_input(chardev);
		RUN_UNTIL(front_end->closed == i);
		g_assert_cmpuint(write_text(chardev, "dropped"), ==, 7);
	}
	g_assert_cmpuint(front_end->received->len, ==, 20 * 5);
}

static void test_flow_control(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	FrontEnd *front_end = &fixture->front_end;
	Chardev *chardev = ADD(fixture, "socket,id=c,path=%s,server=on,wait=off", path);
	g_autofree uint8_t *block = g_malloc0(65536);
	size_t written = 0, taken;
	autofd int client = unix_socket(path, false);

	(void)data;
	RUN_UNTIL(front_end->opened == 1);
	/* A peer that does not read: writes come up short, and nothing blocks. */
	do {
		taken = chardev_write(chardev, block, 65536);
		written += taken;
	} while (taken == 65536);
	run_briefly();
	g_assert_cmpuint(front_end->writable, ==, 0);
	while (written > 0) {
		ssize_t got = read(client, block, MIN(written, 65536));

		g_assert_cmpint(got, >, 0);
		written -= got;
	}
	RUN_UNTIL(front_end->writable == 1);

	/* A front end without room: the bytes wait. */
	front_end->room = 3;
	g_assert_cmpint(write(client, "abcdef", 6), ==, 6);
	RUN_UNTIL(front_end->received->len == 3);
	run_briefly();
	g_assert_cmpuint(front_end->received->len, ==, 3);
	front_end->room = 10;
	chardev_accept_input(chardev);
	RUN_UNTIL(front_end->received->len == 6);
}

/* A writer that waits for room is told when the peer goes instead. */
static void test_blocked_peer_vanishes(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	FrontEnd *front_end = &fixture->front_end;
	Chardev *chardev = ADD(fixture, "socket,id=c,path=%s,server=on,wait=off", path);
	g_autofree uint8_t *block = g_malloc0(65536);
	int client = unix_socket(path, false);

	(void)data;
	RUN_UNTIL(front_end->opened == 1);
	while (chardev_write(chardev, block, 65536) == 65536)
		;
	fd_close(&client);
	RUN_UNTIL(front_end->closed == 1);
	g_assert_cmpuint(front_end->writable, ==, 1);
}

static void test_passed_descriptors(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	FrontEnd *front_end = &fixture->front_end;
	Chardev *chardev = ADD(fixture, "socket,id=c,path=%s,server=on,wait=off", path);
	autofd int client = unix_socket(path, false);
	autofd int taken = -1;
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 2)];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { .iov_base = (char *)"x", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fds[2] = { 0, 2 };

	(void)data;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(header), fds, sizeof(fds));
	/* Twice: those of the first message that nobody took are closed, or the count tells. */
	for (unsigned i = 1; i <= 2; i++) {
		g_assert_cmpint(sendmsg(client, &message, 0), ==, 1);
		RUN_UNTIL(front_end->received->len == i);
	}
	taken = chardev_take_fd(chardev);
	g_assert_cmpint(taken, >, 2);
	g_assert_cmpint(fcntl(taken, F_GETFD), ==, FD_CLOEXEC);
}

static void test_passed_listener(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	g_autoptr(GError) error = NULL;
	int listener = unix_socket(path, true);
	autofd int client = -1;
	autofd int no_socket = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)data;
	g_assert_null(add(fixture, &error, "socket,id=c,fd=%d,server=on,wait=off", no_socket));
	g_assert_nonnull(strstr(error->message, "chardev 'c': descriptor"));
	g_clear_error(&error);
	g_assert_null(add(fixture, &error, "socket,id=c,fd=%d", listener));
	g_assert_nonnull(strstr(error->message, "is a listening socket"));

	ADD(fixture, "socket,id=c,fd=%d,server=on,wait=off", listener);
	client = unix_socket(path, false);
	RUN_UNTIL(fixture->front_end.opened == 1);
	g_unlink(path);
}

static gpointer connect_soon(gpointer data)
{
	struct stat status;

	while (stat(data, &status) < 0)
		g_usleep(1000);
	g_usleep(20000);
	return GINT_TO_POINTER(unix_socket(data, false));
}

static void test_wait(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	GThread *thread = g_thread_new("client", connect_soon, path);
	autofd int client = -1;

	(void)data;
	ADD(fixture, "socket,id=c,path=%s,server=on", path);
	g_assert_cmpuint(fixture->front_end.opened, ==, 1);
	client = GPOINTER_TO_INT(g_thread_join(thread));
}

static void test_client(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "s", NULL);
	g_autoptr(GError) error = NULL;
	FrontEnd *front_end = &fixture->front_end;
	autofd int listener = -1;
	autofd int peer = -1;
	Chardev *chardev;

	(void)data;
	g_assert_null(add(fixture, &error, "socket,id=c,path=%s", path));
	g_assert_nonnull(strstr(error->message, "cannot connect to"));

	/* With reconnect= it may come later, and again. */
	chardev = ADD(fixture, "socket,id=c,path=%s,reconnect=1", path);
	g_assert_false(chardev_is_open(chardev));
	listener = unix_socket(path, true);
	RUN_UNTIL(front_end->opened == 1);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	write_text(chardev, "one");
	assert_reads(peer, "one");
	fd_close(&peer);
	RUN_UNTIL(front_end->closed == 1);
	RUN_UNTIL(front_end->opened == 2);
	g_unlink(path);
}

static void test_tcp(Fixture *fixture, gconstpointer data)
{
	g_autofree char *server_name = NULL, *client_name = NULL;
	FrontEnd *front_end = &fixture->front_end;
	Chardev *server = ADD(fixture, "socket,id=s,host=127.0.0.1,port=0,server=on,wait=off");
	g_autoptr(GError) error = NULL;
	Chardev *client;
	const char *port;

	(void)data;
	server_name = chardev_filename(server);
	g_assert_true(g_str_has_prefix(server_name, "disconnected:tcp:127.0.0.1:"));
	g_assert_true(g_str_has_suffix(server_name, ",server=on"));
	*strrchr(server_name, ',') = '\0';
	port = strrchr(server_name, ':') + 1;
	client =
		add(fixture, &error, "socket,id=c,host=localhost,port=%s,ipv4=on,nodelay=on", port);
	g_assert_no_error(error);
	RUN_UNTIL(front_end->opened == 1);
	write_text(client, "over tcp");
	RUN_UNTIL(front_end->received->len == 8);
	client_name = chardev_filename(client);
	g_assert_true(g_str_has_prefix(client_name, "tcp:127.0.0.1:"));
	g_assert_nonnull(strstr(client_name, " <-> 127.0.0.1:"));
}

static void test_pty(Fixture *fixture, gconstpointer data)
{
	FrontEnd *front_end = &fixture->front_end;
	Chardev *chardev = ADD(fixture, "pty,id=c");
	g_autofree char *name = chardev_filename(chardev);

	(void)data;
	g_assert_true(g_str_has_prefix(name, "pty:/dev/pts/"));
	for (unsigned i = 1; i <= 2; i++) {
		int terminal;

		g_assert_cmpuint(write_text(chardev, "nobody there"), ==, 12);
		terminal = open(name + strlen("pty:"), O_RDWR | O_NOCTTY | O_CLOEXEC);
		g_assert_cmpint(terminal, >=, 0);
		/* Seen at once, although the chardev looks only once a second. */
		write_text(chardev, "hello\n");
		assert_reads(terminal, "hello\n");
		g_assert_cmpint(write(terminal, "ok\r", 3), ==, 3);
		RUN_UNTIL(front_end->opened == i);
		RUN_UNTIL(front_end->received->len == 3 * i);
		fd_close(&terminal);
		RUN_UNTIL(front_end->closed == i);
	}
	g_assert_cmpstr(front_end->received->str, ==, "ok\rok\r");
}

/* In a child, whose standard input and output are a terminal. */
static void stdio_child(int terminal)
{
	g_autoptr(ChardevConfig) config = chardev_config_parse("stdio,id=c,signal=off", NULL);
	Chardevs *chardevs = chardevs_new(NULL);
	FrontEnd front_end = { .room = 4, .received = g_string_new(NULL) };
	Chardev *chardev;

	dup2(terminal, 0);
	dup2(terminal, 1);
	chardev = chardevs_add(chardevs, config, NULL);
	if (!chardev || chardevs_add(chardevs, config, NULL))
		_exit(1);
	chardev_attach(chardev, "front", &front_end_ops, &front_end, NULL);
	write_text(chardev, "ready");
	while (front_end.room > 0)
		g_main_context_iteration(NULL, TRUE);
	chardev_write(chardev, (uint8_t *)front_end.received->str, 4);
	/* exit() alone puts the terminal back; nothing else is cleaned up. */
	g_clear_pointer(&config, chardev_config_free);
	exit(0);
}

static void test_stdio(void)
{
	struct termios before, during, after;
	autofd int controller = -1;
	autofd int terminal = -1;
	int status;
	pid_t child;

	g_assert_cmpint(openpty(&controller, &terminal, NULL, NULL, NULL), ==, 0);
	tcgetattr(terminal, &before);
	child = fork();
	if (child == 0)
		stdio_child(terminal);
	assert_reads(controller, "ready");
	tcgetattr(terminal, &during);
	/* Ctrl-C is a byte like any other. */
	g_assert_cmpint(write(controller, "a\003\rz", 4), ==, 4);
	assert_reads(controller, "a\003\rz");
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	tcgetattr(terminal, &after);
	g_assert_cmpint(during.c_lflag & (ICANON | ECHO | ISIG), ==, 0);
	g_assert_cmpint(after.c_lflag, ==, before.c_lflag);
	g_assert_cmpint(fcntl(terminal, F_GETFL) & O_NONBLOCK, ==, 0);
}

#define ADD_TEST(name, function) \
	g_test_add("/chardev/" name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	logged = g_string_new(NULL);
	g_log_set_writer_func(note_message, NULL, NULL);
	g_test_add_func("/chardev/config/refuses", test_config_refuses);
	g_test_add_func("/chardev/config/accepts", test_config_accepts);
	ADD_TEST("registry", test_registry);
	ADD_TEST("file-and-log", test_file_and_log);
	ADD_TEST("full-disk", test_full_disk);
	ADD_TEST("descriptor-set", test_descriptor_set);
	ADD_TEST("ringbuf", test_ringbuf);
	ADD_TEST("socket/server", test_server);
	ADD_TEST("socket/disconnect", test_disconnect);
	ADD_TEST("socket/client-vanishes", test_client_vanishes);
	ADD_TEST("socket/flow-control", test_flow_control);
	ADD_TEST("socket/blocked-peer-vanishes", test_blocked_peer_vanishes);
	ADD_TEST("socket/passed-descriptors", test_passed_descriptors);
	ADD_TEST("socket/passed-listener", test_passed_listener);
	ADD_TEST("socket/wait", test_wait);
	ADD_TEST("socket/client", test_client);
	ADD_TEST("socket/tcp", test_tcp);
	ADD_TEST("pty", test_pty);
	g_test_add_func("/chardev/stdio", test_stdio);
	status = g_test_run();
	g_string_free(logged, TRUE);
	return status;
}
