/*
 * test-netdev.c: netdevs that are streams, with peers that are slow, hostile or gone
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/unit/netdev_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

/* A stream netdev "n", attached, connected to the descriptor returned. */
static int attach_stream(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	add(fixture, &error, "stream,id=n,addr.type=fd,addr.str=%d", pair[0]);
	g_assert_no_error(error);
	attach(fixture);
	return pair[1];
}

static void nothing(gpointer data)
{
	(void)data;
}

static void peer_send(int fd, const void *payload, uint32_t size)
{
	uint32_t length = GUINT32_TO_BE(size);

	g_assert_cmpint(send(fd, &length, sizeof(length), MSG_NOSIGNAL), ==, sizeof(length));
	g_assert_cmpint(send(fd, payload, size, MSG_NOSIGNAL), ==, size);
}

static void read_all(int fd, void *buffer, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = read(fd, (char *)buffer + done, size - done);

		g_assert_cmpint(got, >, 0);
		done += got;
	}
}

static void peer_expect(int fd, const void *payload, size_t size)
{
	g_autofree char *buffer = g_malloc(size);
	uint32_t length;

	read_all(fd, &length, sizeof(length));
	g_assert_cmpuint(GUINT32_FROM_BE(length), ==, size);
	read_all(fd, buffer, size);
	g_assert_cmpmem(buffer, size, payload, size);
}

static void test_refuses(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *options, *message;
	} cases[] = {
		{ "user,id=n", "user" },
		{ "tap,id=n", "needs one of 'ifname', 'fd' and 'fds'" },
		{ "tap,id=n,ifname=t0,fd=3", "needs one of 'ifname', 'fd' and 'fds'" },
		{ "tap,id=n,fds=3:4,fd=3", "needs one of 'ifname', 'fd' and 'fds'" },
		{ "tap,id=n,ifname=waytoolongname00", "is longer than 15 bytes" },
		{ "tap,id=n,ifname=t0,script=/etc/up", "'script' can only be 'no'" },
		{ "tap,id=n,ifname=t0,downscript=/etc/down", "'downscript' can only be 'no'" },
		{ "tap,id=n,ifname=t0,vhost=off,vhostforce=on", "'vhostforce' contradicts" },
		{ "tap,id=n,ifname=t0,vhost=off,vhostfd=3", "'vhostfd' contradicts" },
		{ "tap,id=n,ifname=t0,vhostfd=3,vhostfds=4", "are alternatives" },
		{ "tap,id=n,fds=", "'fds' are not between 1 and 256" },
		{ "tap,id=n,fds=1:1", "descriptor '1' is not a tap" },
		{ "tap,id=n,fds=name:other", "descriptor 'name' not found" },
		{ "tap,id=n,fds=3:4,queues=2", "'queues' is for 'ifname'" },
		{ "tap,id=n,ifname=t0,queues=0", "'queues' is not between 1 and 256" },
		{ "tap,id=n,ifname=t0,queues=257", "'queues' is not between 1 and 256" },
		{ "tap,id=n,fd=1", "netdev 'n': descriptor '1' is not a tap" },
		{ "tap,id=n,fd=name", "descriptor 'name' not found" },
		{ "tap,id=n,fd=1x", "'1x' is no descriptor" },
		{ "tap,id=n,fd=99999", "descriptor 99999" },
		{ "stream,id=n,addr.type=unix,addr.path=/no/such", "cannot connect to '/no/such'" },
		{ "stream,id=n,addr.type=fd,addr.str=1", "descriptor 1" },
		{ "stream,id=n,addr.type=unix,addr.path=/x,reconnect=1", "reconnect" },
		{ "stream,id=", "" },
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(add(fixture, &error, "%s", cases[i].options));
		if (!strstr(error->message, cases[i].message))
			g_error("%s: '%s'", cases[i].options, error->message);
	}
}

static void test_stream_both_ways(Fixture *fixture, gconstpointer data)
{
	autofd int peer = attach_stream(fixture);
	g_autofree uint8_t *big = g_malloc(NET_FRAME_MAX);
	g_autoptr(GError) error = NULL;

	(void)data;
	g_assert_cmpuint(netdev_offloads(fixture->netdev), ==, 0);
	g_assert_false(netdev_attach(fixture->netdev, "other", fixture->loop, &card, NULL, &error));
	g_assert_cmpstr(error->message, ==, "netdev 'n' is in use by 'card'");

	for (unsigned i = 0; i < NET_FRAME_MAX; i++)
		big[i] = i * 7;
	g_assert_cmpint(card_send(fixture, "hello", 5), ==, 0);
	peer_expect(peer, "hello", 5);
	peer_send(peer, "first", 5);
	peer_send(peer, big, NET_FRAME_MAX - NET_HEADER_SIZE);
	peer_send(peer, "last", 4);
	WAIT_FOR(fixture->n_frames, 3);
	g_assert_cmpmem(big, NET_FRAME_MAX - NET_HEADER_SIZE,
			g_bytes_get_data(g_ptr_array_index(fixture->frames, 1), NULL),
			g_bytes_get_size(g_ptr_array_index(fixture->frames, 1)));
	/* More than a frame can be, and nothing at all. */
	g_assert_cmpint(card_send(fixture, big, NET_FRAME_MAX), ==, -EMSGSIZE);
	g_assert_cmpint(card_send(fixture, big, 0), ==, -EMSGSIZE);
}

/* Frames in single bytes, and many frames in one go, to a card that takes one at a time. */
static void test_stream_fragments(Fixture *fixture, gconstpointer data)
{
	autofd int peer = attach_stream(fixture);
	static const char wire[] = "\0\0\0\3abc\0\0\0\1d";
	char many[5 * 100];

	(void)data;
	for (unsigned i = 0; i < sizeof(wire) - 1; i++) {
		g_assert_cmpint(write(peer, wire + i, 1), ==, 1);
		io_loop_run_sync(fixture->loop, nothing, NULL);
	}
	WAIT_FOR(fixture->n_frames, 2);

	fixture->greedy = true;
	for (unsigned i = 0; i < 100; i++)
		memcpy(many + i * 5, "\0\0\0\1x", 5);
	g_assert_cmpint(write(peer, many, sizeof(many)), ==, sizeof(many));
	WAIT_FOR(fixture->n_frames, 102);
}

/* What was buffered when the card stopped watching is there when it watches again. */
static void test_stream_pause(Fixture *fixture, gconstpointer data)
{
	autofd int peer = attach_stream(fixture);

	(void)data;
	io_loop_run_sync(fixture->loop, unwatch, fixture);
	peer_send(peer, "one", 3);
	peer_send(peer, "two", 3);
	settle(fixture);
	g_assert_cmpint(fixture->n_readable, ==, 0);
	fixture->greedy = true;
	io_loop_run_sync(fixture->loop, watch, fixture);
	WAIT_FOR(fixture->n_frames, 2);
}

static void test_stream_too_big_for_card(Fixture *fixture, gconstpointer data)
{
	autofd int peer = attach_stream(fixture);
	char frame[200] = {};

	(void)data;
	fixture->room = 100;
	peer_send(peer, frame, 200);
	peer_send(peer, frame, 50);
	WAIT_FOR(fixture->n_frames, 1);
	g_assert_cmpint(fixture->n_too_big, ==, 1);
}

/* Lengths that cannot be: the connection ends, the link stays, the card is not harmed. */
static void test_stream_bad_lengths(Fixture *fixture, gconstpointer data)
{
	uint32_t length = GUINT32_TO_BE(GPOINTER_TO_UINT(data));
	autofd int peer = attach_stream(fixture);
	char byte;

	peer_send(peer, "good", 4);
	g_assert_cmpint(write(peer, &length, sizeof(length)), ==, sizeof(length));
	g_assert_cmpint(read(peer, &byte, 1), ==, 0);
	WAIT_FOR(fixture->n_frames, 1);
	g_assert_true(netdev_link_up(fixture->netdev));
	g_assert_cmpint(card_send(fixture, "x", 1), ==, -ENOTCONN);
	settle(fixture);
	g_assert_cmpint(fixture->n_link_changes, ==, 0);
	g_assert_cmpint(fixture->n_readable, <, 5);
}

/* A peer that does not read, then does; then one that goes while the card waits. */
static void test_stream_slow_peer(Fixture *fixture, gconstpointer data)
{
	autofd int peer = attach_stream(fixture);
	g_autofree uint8_t *frame = g_malloc0(60000);
	unsigned sent = 0;
	int result;

	(void)data;
	while ((result = card_send(fixture, frame, 60000)) == 0)
		sent++;
	g_assert_cmpint(result, ==, -EAGAIN);
	g_assert_cmpuint(sent, >, 0);
	for (unsigned i = 0; i < sent; i++)
		peer_expect(peer, frame, 60000);
	WAIT_FOR(fixture->n_writable, 1);

	while (card_send(fixture, frame, 60000) == 0)
		;
	fd_close(&peer);
	WAIT_FOR(fixture->n_writable, 2);
	g_assert_cmpint(card_send(fixture, frame, 60000), ==, -ENOTCONN);
}

static void test_stream_server(Fixture *fixture, gconstpointer data)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-net-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "s", NULL);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	g_autoptr(GError) error = NULL;

	(void)data;
	add(fixture, &error, "stream,id=n,server=on,addr.type=unix,addr.path=%s", path);
	g_assert_no_error(error);
	attach(fixture);
	g_assert_cmpint(card_send(fixture, "x", 1), ==, -ENOTCONN);
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	for (int i = 1; i <= 3; i++) {
		int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		g_assert_cmpint(connect(peer, (struct sockaddr *)&address, sizeof(address)), ==, 0);
		peer_send(peer, "hello", 5);
		WAIT_FOR(fixture->n_frames, i);
		g_assert_cmpint(card_send(fixture, "reply", 5), ==, 0);
		peer_expect(peer, "reply", 5);
		fd_close(&peer);
		/* Seen as the card reads, before the next may come in. */
		settle(fixture);
	}
	netdev_detach(fixture->netdev);
	fixture->netdev = NULL;
	g_assert_true(netdevs_remove(fixture->netdevs, "n", NULL));
	g_assert_cmpint(g_access(path, F_OK), ==, -1);
	g_rmdir(directory);
}

static int connect_to_server(int peer, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	return connect(peer, (struct sockaddr *)&address, sizeof(address));
}

/* With no descriptor left a peer is turned away, and the next one is served when there is one. */
static void test_stream_no_descriptor(Fixture *fixture, gconstpointer data)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-net-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "s", NULL);
	autofd int turned_away = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autofd int served = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_autoptr(GError) error = NULL;
	struct rlimit old, few;
	char byte;
	int next;

	(void)data;
	add(fixture, &error, "stream,id=n,server=on,addr.type=unix,addr.path=%s", path);
	g_assert_no_error(error);
	attach(fixture);
	getrlimit(RLIMIT_NOFILE, &old);
	next = dup(0);
	few = (struct rlimit){ .rlim_cur = next, .rlim_max = old.rlim_max };
	fd_close(&next);
	setrlimit(RLIMIT_NOFILE, &few);
	g_assert_cmpint(connect_to_server(turned_away, path), ==, 0);
	g_assert_cmpint(read(turned_away, &byte, 1), ==, 0);
	setrlimit(RLIMIT_NOFILE, &old);
	g_assert_cmpint(connect_to_server(served, path), ==, 0);
	peer_send(served, "hello", 5);
	WAIT_FOR(fixture->n_frames, 1);
	netdev_detach(fixture->netdev);
	fixture->netdev = NULL;
	g_assert_true(netdevs_remove(fixture->netdevs, "n", NULL));
	g_rmdir(directory);
}

static void test_link(Fixture *fixture, gconstpointer data)
{
	autofd int peer = attach_stream(fixture);

	(void)data;
	netdev_set_link(fixture->netdev, false);
	netdev_set_link(fixture->netdev, false);
	g_assert_cmpint(fixture->n_link_changes, ==, 1);
	g_assert_cmpint(card_send(fixture, "x", 1), ==, -ENETDOWN);
	peer_send(peer, "dropped", 7);
	settle(fixture);
	g_assert_cmpint(fixture->n_frames, ==, 0);
	netdev_set_link(fixture->netdev, true);
	peer_send(peer, "taken", 5);
	WAIT_FOR(fixture->n_frames, 1);
	g_assert_cmpint(card_send(fixture, "x", 1), ==, 0);
	peer_expect(peer, "x", 1);
}

/* netdev_del under a card: it goes on without a cable. */
static void test_removed_under_card(Fixture *fixture, gconstpointer data)
{
	autofd int peer = attach_stream(fixture);
	g_autoptr(GError) error = NULL;
	char byte;

	(void)data;
	g_assert_true(netdevs_remove(fixture->netdevs, "n", &error));
	g_assert_null(netdevs_find(fixture->netdevs, "n"));
	g_assert_cmpint(fixture->n_link_changes, ==, 1);
	g_assert_cmpint(read(peer, &byte, 1), ==, 0);
	g_assert_cmpint(card_send(fixture, "x", 1), ==, -ENODEV);
	io_loop_run_sync(fixture->loop, watch, fixture);
	g_assert_false(netdevs_remove(fixture->netdevs, "n", &error));
	g_assert_cmpstr(error->message, ==, "netdev 'n' not found");
}

typedef struct NamedFd {
	const char *name;
	int fd;
} NamedFd;

static int take_named(void *opaque, const char *name, GError **error)
{
	NamedFd *named = opaque;

	if (g_str_equal(name, named->name))
		return fd_steal(&named->fd);
	error_fail(error, "no such name");
	return -1;
}

static void test_named_descriptors(Fixture *fixture, gconstpointer data)
{
	NamedFd named = { .name = "passt", .fd = open("/dev/null", O_RDWR | O_CLOEXEC) };
	FdNameTaker taker = { .take = take_named, .opaque = &named };
	g_autoptr(GError) error = NULL;
	autofd int peer = -1;
	int pair[2];

	(void)data;
	netdevs_set_fd_names(fixture->netdevs, &taker);
	/* What was taken and does not fit is closed. */
	g_assert_false(add(fixture, &error, "tap,id=n,fd=passt"));
	g_assert_cmpint(named.fd, ==, -1);
	g_clear_error(&error);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	named.fd = pair[0];
	peer = pair[1];
	g_assert_true(add(fixture, &error, "stream,id=n,addr.type=fd,addr.str=passt"));
	attach(fixture);
	peer_send(peer, "hello", 5);
	WAIT_FOR(fixture->n_frames, 1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD_TEST("refuses", NULL, test_refuses);
	ADD_TEST("stream/both-ways", NULL, test_stream_both_ways);
	ADD_TEST("stream/fragments", NULL, test_stream_fragments);
	ADD_TEST("stream/pause", NULL, test_stream_pause);
	ADD_TEST("stream/too-big-for-card", NULL, test_stream_too_big_for_card);
	ADD_TEST("stream/length-zero", GUINT_TO_POINTER(0), test_stream_bad_lengths);
	ADD_TEST("stream/length-too-large", GUINT_TO_POINTER(65551), test_stream_bad_lengths);
	ADD_TEST("stream/length-negative", GUINT_TO_POINTER(0xffffffff), test_stream_bad_lengths);
	ADD_TEST("stream/slow-peer", NULL, test_stream_slow_peer);
	ADD_TEST("stream/server", NULL, test_stream_server);
	ADD_TEST("stream/no-descriptor", NULL, test_stream_no_descriptor);
	ADD_TEST("link", NULL, test_link);
	ADD_TEST("removed-under-card", NULL, test_removed_under_card);
	ADD_TEST("named-descriptors", NULL, test_named_descriptors);
	return g_test_run();
}
