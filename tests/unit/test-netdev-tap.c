/*
 * test-netdev-tap.c: netdevs that are taps
 *
 * Runs in a network name space of its own, so that its taps touch nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/unit/netdev_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* TUN_F_USO4 and TUN_F_USO6 of Linux 6.2. */
#define OFFLOAD_USO 0x60u

static bool in_own_network;
static unsigned offloads_lacking;  /* TUN_F_ bits that the kernel is not to know */
static unsigned offloads_of_a_tap; /* as last set */
static int limit_of_a_tap;	   /* of bytes to send, likewise */
static unsigned n_header_sizes;	   /* that were set, one for each queue */

/* In place of the C library's: a kernel that knows less than this one. */
int ioctl(int fd, unsigned long request, ...)
{
	uintptr_t argument;
	va_list arguments;
	int result;

	va_start(arguments, request);
	argument = va_arg(arguments, uintptr_t);
	va_end(arguments);
	if (request == TUNSETOFFLOAD && (argument & offloads_lacking)) {
		errno = EINVAL;
		return -1;
	}
	result = syscall(SYS_ioctl, fd, request, argument);
	if (request == TUNSETOFFLOAD && result == 0)
		offloads_of_a_tap = argument;
	if (request == TUNSETVNETHDRSZ && result == 0)
		n_header_sizes++;
	if (request == TUNSETSNDBUF && result == 0)
		limit_of_a_tap = *(const int *)argument;
	return result;
}

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

	if (!can_tap())
		return;
	add(fixture, &error, "tap,id=n,ifname=vireo0,script=no,downscript=no%s", (char *)data);
	g_assert_no_error(error);
	attach(fixture);
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
	n_header_sizes = 0;
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
	/* Queues of a macvtap have nothing of it in common. */
	g_assert_cmpuint(n_header_sizes, ==, 3);
	host = host_side("vireo5");

	/* One is used at first. */
	send_flows(fixture, host, 50);
	g_assert_cmpint(fixture->n_frames_of[1] + fixture->n_frames_of[2], ==, 0);
	call.netdev = fixture->netdev;
	io_loop_run_sync(fixture->loop, use_queues_on_loop, &call);
	send_flows(fixture, host, 200);
	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmpint(g_atomic_int_get(&fixture->n_frames_of[i]), >, 0);
		make_frame(frame, 0x60 + i);
		g_assert_cmpint(card_send_from(fixture, i, frame, sizeof(frame)), ==, 0);
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

/* What the kernel does not know is not offered, nor asked of it: it would refuse all the rest. */
static void test_tap_offloads(Fixture *fixture, gconstpointer data)
{
	unsigned lacking = GPOINTER_TO_UINT(data), offloads;
	unsigned all =
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO | OFFLOAD_USO;
	g_autoptr(GError) error = NULL;

	if (!can_tap())
		return;
	offloads_lacking = lacking;
	add(fixture, &error, "tap,id=n,ifname=vireo9");
	g_assert_no_error(error);
	attach(fixture);
	g_assert_cmphex(offloads_of_a_tap, ==, 0);
	offloads = netdev_offloads(fixture->netdev);
	if (lacking & OFFLOAD_USO)
		g_assert_cmphex(offloads & (NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6), ==, 0);
	if (lacking & TUN_F_UFO)
		g_assert_cmphex(offloads & NET_OFFLOAD_UFO, ==, 0);
	if (!(offloads & NET_OFFLOAD_UFO))
		all &= ~TUN_F_UFO;
	if (!(offloads & NET_OFFLOAD_USO4))
		all &= ~OFFLOAD_USO;
	/* A failure would be warned of, which ends the test. */
	netdev_set_offloads(fixture->netdev, NET_OFFLOADS_ALL);
	g_assert_cmphex(offloads_of_a_tap, ==, all);
	offloads_lacking = 0;
}

/* Where the kernel has no vhost, frames go through the process, unless vhost was insisted on. */
static void test_tap_without_vhost(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	(void)data;
	if (!can_tap())
		return;
	if (g_access("/dev/vhost-net", F_OK) == 0) {
		g_test_skip("this kernel has vhost");
		return;
	}
	add(fixture, &error, "tap,id=n,ifname=vireo9,vhost=on,vhostforce=on");
	g_assert_nonnull(strstr(error->message, "/dev/vhost-net"));
	g_clear_error(&error);
	add(fixture, &error, "tap,id=n,ifname=vireo9,vhost=on");
	g_assert_no_error(error);
	attach(fixture);
	g_assert_false(netdev_has_vhost(fixture->netdev));
	exchange(fixture, "vireo9");
}

static bool run(const char *command)
{
	g_auto(GStrv) arguments = g_strsplit(command, " ", 0);
	gint status;

	return g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
			    NULL, NULL, NULL, NULL, &status, NULL) &&
	       status == 0;
}

/* A node of macvtap @name in @directory, which becomes one of a mount name space's own. */
static char *make_node(const char *name, const char *directory)
{
	g_autofree char *file =
		g_strdup_printf("%s/class/net/%s/tap%u/dev", directory, name, if_nametoindex(name));
	g_autofree char *text = NULL;
	char *node = g_strconcat(directory, "-node", NULL);
	unsigned major, minor;

	g_assert_cmpint(unshare(CLONE_NEWNS), ==, 0);
	g_assert_cmpint(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
	g_assert_cmpint(mount("sysfs", directory, "sysfs", 0, NULL), ==, 0);
	g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
	g_assert_cmpint(sscanf(text, "%u:%u", &major, &minor), ==, 2);
	g_assert_cmpint(mknod(node, S_IFCHR | 0600, makedev(major, minor)), ==, 0);
	g_assert_cmpint(umount(directory), ==, 0);
	return node;
}

/* Unlike a tap's, its queues have headers each of their own. */
static void test_macvtap_queues(Fixture *fixture, gconstpointer data)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-XXXXXX", NULL), *node = NULL;
	struct ifreq request = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE,
		.ifr_name = "vireomv",
	};
	const struct timeval patience = { .tv_sec = 20 };
	g_autoptr(GError) error = NULL;
	UseQueues call = { .n = 2 };
	autofd int host = -1;
	uint8_t frame[60];
	int fds[2];

	(void)data;
	if (!can_tap() || !run("ip link add vireov0 type veth peer name vireov1") ||
	    !run("ip link add link vireov0 name vireomv type macvtap mode bridge") ||
	    !run("ip link set vireov0 up") || !run("ip link set vireomv up")) {
		g_test_skip("this kernel has no macvtap");
		rmdir(directory);
		return;
	}
	node = make_node("vireomv", directory);
	for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
		fds[i] = open(node, O_RDWR | O_CLOEXEC);
		g_assert_cmpint(fds[i], >=, 0);
		g_assert_cmpint(ioctl(fds[i], TUNSETIFF, &request), ==, 0);
	}
	unlink(node);
	rmdir(directory);
	add(fixture, &error, "tap,id=n,fds=%d:%d", fds[0], fds[1]);
	g_assert_no_error(error);
	attach(fixture);
	call.netdev = fixture->netdev;
	io_loop_run_sync(fixture->loop, use_queues_on_loop, &call);
	host = host_side("vireov1");
	g_assert_cmpint(setsockopt(host, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), ==,
			0);
	for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
		make_frame(frame, 0x60 + i);
		g_assert_cmpint(card_send_from(fixture, i, frame, sizeof(frame)), ==, 0);
		host_expect(host, frame);
	}
}

static void test_tap_limit(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	int limit = GPOINTER_TO_INT(data);

	if (!can_tap())
		return;
	limit_of_a_tap = 0;
	add(fixture, &error, "tap,id=n,ifname=vireo9,sndbuf=%d", limit);
	g_assert_no_error(error);
	g_assert_cmpint(limit_of_a_tap, ==, limit ? limit : G_MAXINT);
	attach(fixture);
	exchange(fixture, "vireo9");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	in_own_network = unshare(CLONE_NEWNET) == 0;
	ADD_TEST("tap/by-name", "", test_tap_by_name);
	ADD_TEST("tap/without-headers", ",vnet_hdr=off", test_tap_by_name);
	ADD_TEST("tap/by-descriptor", NULL, test_tap_by_descriptor);
	ADD_TEST("tap/too-big", NULL, test_tap_too_big);
	ADD_TEST("tap/queues-by-name", NULL, test_tap_queues);
	ADD_TEST("tap/queues-by-descriptors", GUINT_TO_POINTER(1), test_tap_queues);
	ADD_TEST("tap/mixed", NULL, test_tap_mixed);
	ADD_TEST("tap/macvtap-queues", NULL, test_macvtap_queues);
	ADD_TEST("tap/gone", NULL, test_tap_gone);
	ADD_TEST("tap/without-vhost", NULL, test_tap_without_vhost);
	ADD_TEST("tap/limit", GINT_TO_POINTER(65536), test_tap_limit);
	ADD_TEST("tap/no-limit", GINT_TO_POINTER(0), test_tap_limit);
	ADD_TEST("tap/offloads", NULL, test_tap_offloads);
	ADD_TEST("tap/no-uso", GUINT_TO_POINTER(OFFLOAD_USO), test_tap_offloads);
	ADD_TEST("tap/no-ufo", GUINT_TO_POINTER(OFFLOAD_USO | TUN_F_UFO), test_tap_offloads);
	return g_test_run();
}
