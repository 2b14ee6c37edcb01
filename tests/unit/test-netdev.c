/*
 * test-netdev.c: netdevs of every kind, with peers that are slow, hostile or gone
 *
 * Runs in a network name space of its own, so that its taps touch nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/config/options.h"
#include "vmm/net/net.h"

#include "qapi-types.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct Fixture {
	unsigned descriptors;
	Netdevs *netdevs;
	Netdev *netdev;
	IoLoop *loop;
	/* What the card has seen. */
	GPtrArray *frames; /* GBytes: without header */
	gint n_frames, n_too_big, n_writable, n_link_changes, n_readable, n_gone;
	gint n_frames_of[4]; /* by queue */
	size_t room;	     /* of the buffer that frames go to */
	bool greedy;	     /* takes one frame for each call of readable */
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
	fixture->descriptors = count_descriptors();
	fixture->netdevs = netdevs_new();
	fixture->loop = io_loop_new("net", NULL, NULL, NULL);
	fixture->frames = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	fixture->room = NET_FRAME_MAX;
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->netdev)
		netdev_detach(fixture->netdev);
	netdevs_free(fixture->netdevs);
	io_loop_free(fixture->loop);
	g_ptr_array_unref(fixture->frames);
	g_assert_cmpuint(count_descriptors(), ==, fixture->descriptors);
}

static void card_readable(void *opaque, unsigned queue)
{
	Fixture *fixture = opaque;
	static uint8_t buffer[NET_FRAME_MAX];
	struct iovec iov[3] = { { buffer, 5 },
				{ buffer + 5, MIN(fixture->room, 20) },
				{ buffer + 25, fixture->room > 25 ? fixture->room - 25 : 0 } };
	ssize_t got;

	g_atomic_int_inc(&fixture->n_readable);
	do {
		memset(buffer, 0xee, NET_HEADER_SIZE);
		got = netdev_receive(fixture->netdev, queue, iov, 3);
		if (got > 0) {
			g_assert_cmpint(got, >, NET_HEADER_SIZE);
			for (unsigned i = 0; i < NET_HEADER_SIZE; i++)
				g_assert_cmpint(buffer[i], ==, 0);
			g_ptr_array_add(fixture->frames, g_bytes_new(buffer + NET_HEADER_SIZE,
								     got - NET_HEADER_SIZE));
			g_atomic_int_inc(&fixture->n_frames);
			g_atomic_int_inc(&fixture->n_frames_of[queue]);
		} else if (got == -EMSGSIZE) {
			g_atomic_int_inc(&fixture->n_too_big);
		} else if (got != -EAGAIN) {
			/* The host's side is gone. */
			g_atomic_int_inc(&fixture->n_gone);
			netdev_watch_readable(fixture->netdev, queue, false);
			return;
		}
	} while (got != -EAGAIN && !fixture->greedy);
}

static void card_writable(void *opaque, unsigned queue)
{
	(void)queue;
	g_atomic_int_inc(&((Fixture *)opaque)->n_writable);
}

static void card_link_changed(void *opaque, bool up)
{
	(void)up;
	g_atomic_int_inc(&((Fixture *)opaque)->n_link_changes);
}

static const NetdevListener card = {
	.readable = card_readable,
	.writable = card_writable,
	.link_changed = card_link_changed,
};

static bool add(Fixture *fixture, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool add(Fixture *fixture, GError **error, const char *format, ...)
{
	g_autoptr(QapiNetdev) options = NULL;
	g_autofree char *text = NULL;
	json_object *parsed;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	parsed = options_parse(text, "type", error);
	g_assert_nonnull(parsed);
	options = qapi_parse_Netdev(parsed, QAPI_PARSE_KEYVAL, error);
	json_object_put(parsed);
	return options && netdevs_add(fixture->netdevs, options, error);
}

static void watch(gpointer data)
{
	Netdev *netdev = ((Fixture *)data)->netdev;

	for (unsigned i = 0; i < netdev_n_queues(netdev); i++)
		netdev_watch_readable(netdev, i, true);
}

static void unwatch(gpointer data)
{
	Netdev *netdev = ((Fixture *)data)->netdev;

	for (unsigned i = 0; i < netdev_n_queues(netdev); i++)
		netdev_watch_readable(netdev, i, false);
}

static void attach(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	fixture->netdev = netdevs_find(fixture->netdevs, "n");
	g_assert_nonnull(fixture->netdev);
	g_assert_true(
		netdev_attach(fixture->netdev, "card", fixture->loop, &card, fixture, &error));
	io_loop_run_sync(fixture->loop, watch, fixture);
}

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

#define WAIT_FOR(counter, value)                                                            \
	do {                                                                                \
		for (int tries = 0; g_atomic_int_get(&(counter)) < (value) && tries < 5000; \
		     tries++)                                                               \
			g_usleep(1000);                                                     \
		g_assert_cmpint(g_atomic_int_get(&(counter)), ==, value);                   \
	} while (0)

static void nothing(gpointer data)
{
	(void)data;
}

static void settle(Fixture *fixture)
{
	for (int i = 0; i < 20; i++) {
		io_loop_run_sync(fixture->loop, nothing, NULL);
		g_usleep(200);
	}
}

typedef struct Send {
	Netdev *netdev;
	unsigned queue;
	const void *payload;
	size_t size;
	int result;
} Send;

static void send_on_loop(gpointer data)
{
	Send *send_call = data;
	uint8_t header[NET_HEADER_SIZE] = {};
	struct iovec iov[3] = { { header, 7 },
				{ header + 7, NET_HEADER_SIZE - 7 },
				{ (void *)send_call->payload, send_call->size } };

	send_call->result = netdev_send(send_call->netdev, send_call->queue, iov, 3);
}

static int card_send(Fixture *fixture, const void *payload, size_t size)
{
	Send send_call = { .netdev = fixture->netdev, .payload = payload, .size = size };

	io_loop_run_sync(fixture->loop, send_on_loop, &send_call);
	return send_call.result;
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
	g_autofree char *text = netdev_describe(fixture->netdev);

	(void)data;
	g_assert_true(g_str_has_prefix(text, "type=stream,addr=fd:"));
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

/* Taps */

static bool in_own_network;

static bool can_tap(void)
{
	if (in_own_network && g_access("/dev/net/tun", R_OK | W_OK) == 0)
		return true;
	g_test_skip("no permission for a network name space and /dev/net/tun");
	return false;
}

/* Bring interface @name up, and return a socket that sees and injects its frames. */
static int host_side(const char *name)
{
	struct ifreq request = {};
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	g_assert_cmpint(fd, >=, 0);
	g_strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	g_assert_cmpint(ioctl(fd, SIOCGIFINDEX, &request), ==, 0);
	address.sll_ifindex = request.ifr_ifindex;
	g_assert_cmpint(ioctl(fd, SIOCGIFFLAGS, &request), ==, 0);
	request.ifr_flags |= IFF_UP;
	g_assert_cmpint(ioctl(fd, SIOCSIFFLAGS, &request), ==, 0);
	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	return fd;
}

/* An Ethernet frame of a type nobody else uses, so that others can be told apart. */
static void make_frame(uint8_t frame[60], uint8_t mark)
{
	memset(frame, mark, 60);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, "\x52\x54\0\x12\x34\x56", 6);
	frame[12] = 0x88;
	frame[13] = 0xb5;
}

static void host_expect(int fd, const uint8_t expected[60])
{
	uint8_t buffer[2048];
	ssize_t got;

	do {
		got = read(fd, buffer, sizeof(buffer));
		g_assert_cmpint(got, >, 0);
	} while (got != 60 || memcmp(buffer, expected, 60) != 0);
}

static unsigned count_marked(Fixture *fixture, const uint8_t frame[60])
{
	unsigned count = 0;

	for (unsigned i = 0; i < fixture->frames->len; i++) {
		GBytes *bytes = g_ptr_array_index(fixture->frames, i);

		count += g_bytes_get_size(bytes) == 60 &&
			 memcmp(g_bytes_get_data(bytes, NULL), frame, 60) == 0;
	}
	return count;
}

static void wait_for_marked(Fixture *fixture, const uint8_t frame[60])
{
	unsigned count = 0;

	for (int tries = 0; tries < 1000 && count == 0; tries++) {
		io_loop_run_sync(fixture->loop, unwatch, fixture);
		count = count_marked(fixture, frame);
		io_loop_run_sync(fixture->loop, watch, fixture);
		g_usleep(1000);
	}
	g_assert_cmpuint(count, ==, 1);
}

static void exchange(Fixture *fixture, const char *name)
{
	autofd int host = host_side(name);
	uint8_t frame[60];

	make_frame(frame, 0x11);
	g_assert_cmpint(card_send(fixture, frame, sizeof(frame)), ==, 0);
	host_expect(host, frame);
	make_frame(frame, 0x22);
	g_assert_cmpint(write(host, frame, sizeof(frame)), ==, sizeof(frame));
	wait_for_marked(fixture, frame);

	netdev_set_link(fixture->netdev, false);
	make_frame(frame, 0x33);
	g_assert_cmpint(write(host, frame, sizeof(frame)), ==, sizeof(frame));
	settle(fixture);
	netdev_set_link(fixture->netdev, true);
	make_frame(frame, 0x44);
	g_assert_cmpint(write(host, frame, sizeof(frame)), ==, sizeof(frame));
	wait_for_marked(fixture, frame);
	make_frame(frame, 0x33);
	g_assert_cmpuint(count_marked(fixture, frame), ==, 0);
}

static void test_tap_by_name(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;

	if (!can_tap())
		return;
	add(fixture, &error, "tap,id=n,ifname=vireo0,script=no,downscript=no%s", (char *)data);
	g_assert_no_error(error);
	attach(fixture);
	text = netdev_describe(fixture->netdev);
	g_assert_true(g_str_has_prefix(text, "type=tap,ifname=vireo0,fd="));
	if (*(char *)data)
		g_assert_cmpuint(netdev_offloads(fixture->netdev), ==, 0);
	else
		g_assert_cmpuint(netdev_offloads(fixture->netdev) & NET_OFFLOAD_TSO4, !=, 0);
	netdev_set_offloads(fixture->netdev, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_TSO4);
	netdev_set_offloads(fixture->netdev, 0);
	exchange(fixture, "vireo0");
}

static int open_tap(const char *name, short flags)
{
	struct ifreq request = { .ifr_flags = flags };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	g_strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	g_assert_cmpint(ioctl(fd, TUNSETIFF, &request), ==, 0);
	return fd;
}

static void test_tap_by_descriptor(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	autofd int with_information = -1;
	autofd int tun = -1;
	struct ifreq request = {};
	int fd;

	(void)data;
	if (!can_tap())
		return;
	with_information = open_tap("vireo1", IFF_TAP);
	g_assert_cmpint(ioctl(with_information, TUNGETIFF, &request), ==, 0);
	/* Some kernels say IFF_NO_PI of every tap; there is nothing to go by then. */
	if (!(request.ifr_flags & IFF_NO_PI)) {
		g_assert_false(add(fixture, &error, "tap,id=n,fd=%d", with_information));
		g_assert_nonnull(strstr(error->message, "packet information"));
		g_clear_error(&error);
	}
	tun = open_tap("vireo4", IFF_TUN | IFF_NO_PI);
	g_assert_false(add(fixture, &error, "tap,id=n,fd=%d", tun));
	g_assert_nonnull(strstr(error->message, "is not a tap"));
	g_clear_error(&error);

	fd = open_tap("vireo2", IFF_TAP | IFF_NO_PI);
	g_assert_true(add(fixture, &error, "tap,id=n,fd=%d", fd));
	attach(fixture);
	exchange(fixture, "vireo2");
}

/* A frame larger than the card's buffer is dropped, not cut off. */
static void test_tap_too_big(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	autofd int host = -1;
	uint8_t frame[60], large[1000] = {};

	(void)data;
	if (!can_tap())
		return;
	add(fixture, &error, "tap,id=n,ifname=vireo3");
	g_assert_no_error(error);
	fixture->room = 300;
	attach(fixture);
	host = host_side("vireo3");
	make_frame(frame, 0x55);
	memcpy(large, frame, sizeof(frame));
	g_assert_cmpint(write(host, large, sizeof(large)), ==, sizeof(large));
	g_assert_cmpint(write(host, frame, sizeof(frame)), ==, sizeof(frame));
	wait_for_marked(fixture, frame);
	g_assert_cmpint(fixture->n_too_big, ==, 1);
}

typedef struct UseQueues {
	Netdev *netdev;
	unsigned n;
} UseQueues;

static void use_queues_on_loop(gpointer data)
{
	UseQueues *call = data;

	g_assert_cmpint(netdev_use_queues(call->netdev, call->n), ==, 0);
}

/* Send @n UDP packets, each of a flow of its own, to the interface behind @host; wait for them. */
static void send_flows(Fixture *fixture, int host, unsigned n)
{
	gint expected = g_atomic_int_get(&fixture->n_frames) + n;
	uint8_t packet[60] = "\x52\x54\0\x12\x34\x56\x52\x54\0\x12\x34\x57\x08\0"
			     "\x45\0\0\x2e\0\0\0\0\x40\x11\0\0\x0a\0\0\1\x0a\0\0\2";

	for (unsigned i = 0; i < n; i++) {
		packet[34] = i; /* source port */
		packet[37] = 9;
		g_assert_cmpint(write(host, packet, sizeof(packet)), ==, sizeof(packet));
	}
	for (int tries = 0; g_atomic_int_get(&fixture->n_frames) < expected && tries < 5000;
	     tries++)
		g_usleep(1000);
	g_assert_cmpint(g_atomic_int_get(&fixture->n_frames), >=, expected);
}

static void test_tap_queues(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	uint8_t frame[60];
	autofd int host = -1;
	UseQueues call = { .n = 3 };
	gint others;

	if (!can_tap())
		return;
	if (data) {
		int fds[3];

		for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
			fds[i] = open_tap("vireo5",
					  IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
		add(fixture, &error, "tap,id=n,fds=%d:%d:%d", fds[0], fds[1], fds[2]);
	} else {
		add(fixture, &error, "tap,id=n,ifname=vireo5,queues=3");
	}
	g_assert_no_error(error);
	attach(fixture);
	g_assert_cmpuint(netdev_n_queues(fixture->netdev), ==, 3);
	host = host_side("vireo5");

	/* One is used at first. */
	send_flows(fixture, host, 50);
	g_assert_cmpint(fixture->n_frames_of[1] + fixture->n_frames_of[2], ==, 0);
	call.netdev = fixture->netdev;
	io_loop_run_sync(fixture->loop, use_queues_on_loop, &call);
	send_flows(fixture, host, 200);
	for (unsigned i = 0; i < 3; i++) {
		Send send_call = {
			.netdev = fixture->netdev, .queue = i, .payload = frame, .size = 60
		};

		g_assert_cmpint(g_atomic_int_get(&fixture->n_frames_of[i]), >, 0);
		make_frame(frame, 0x60 + i);
		io_loop_run_sync(fixture->loop, send_on_loop, &send_call);
		g_assert_cmpint(send_call.result, ==, 0);
		host_expect(host, frame);
	}
	call.n = 1;
	io_loop_run_sync(fixture->loop, use_queues_on_loop, &call);
	settle(fixture);
	others = fixture->n_frames_of[1] + fixture->n_frames_of[2];
	send_flows(fixture, host, 50);
	g_assert_cmpint(fixture->n_frames_of[1] + fixture->n_frames_of[2], ==, others);
}

/* Descriptors of different taps are no queues of one. */
static void test_tap_mixed(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	short flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE;
	int fds[2];

	(void)data;
	if (!can_tap())
		return;
	fds[0] = open_tap("vireo6", flags);
	fds[1] = open_tap("vireo7", flags);
	g_assert_false(add(fixture, &error, "tap,id=n,fds=%d:%d", fds[0], fds[1]));
	g_assert_nonnull(strstr(error->message, "is of tap 'vireo7', not 'vireo6'"));
}

/* The interface is deleted: the card gets errors, and the thread does not spin on it. */
static void test_tap_gone(Fixture *fixture, gconstpointer data)
{
	static const char *const command[] = { "ip", "link", "delete", "vireo8", NULL };
	g_autoptr(GError) error = NULL;
	uint8_t frame[60];
	gint status, n_readable;

	(void)data;
	if (!can_tap())
		return;
	add(fixture, &error, "tap,id=n,ifname=vireo8");
	g_assert_no_error(error);
	attach(fixture);
	if (!g_spawn_sync(NULL, (char **)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
			  &status, NULL)) {
		g_test_skip("no ip(8)");
		return;
	}
	g_assert_cmpint(status, ==, 0);
	make_frame(frame, 0x11);
	g_assert_cmpint(card_send(fixture, frame, sizeof(frame)), <, 0);
	WAIT_FOR(fixture->n_gone, 1);
	n_readable = g_atomic_int_get(&fixture->n_readable);
	settle(fixture);
	g_assert_cmpint(g_atomic_int_get(&fixture->n_readable), ==, n_readable);
}

#define ADD_TEST(name, data, function) \
	g_test_add("/netdev/" name, Fixture, data, fixture_set_up, function, fixture_tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	in_own_network = unshare(CLONE_NEWNET) == 0;
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
	ADD_TEST("tap/by-name", "", test_tap_by_name);
	ADD_TEST("tap/without-headers", ",vnet_hdr=off", test_tap_by_name);
	ADD_TEST("tap/by-descriptor", NULL, test_tap_by_descriptor);
	ADD_TEST("tap/too-big", NULL, test_tap_too_big);
	ADD_TEST("tap/queues-by-name", NULL, test_tap_queues);
	ADD_TEST("tap/queues-by-descriptors", GUINT_TO_POINTER(1), test_tap_queues);
	ADD_TEST("tap/mixed", NULL, test_tap_mixed);
	ADD_TEST("tap/gone", NULL, test_tap_gone);
	return g_test_run();
}
