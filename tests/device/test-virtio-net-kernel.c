/*
 * test-virtio-net-kernel.c: the network card whose frames the kernel passes on, and what it marks
 *
 * This is the real /dev/vhost-net, with a tap in a network name space of our own: what it writes to
 * guest RAM is compared with what it says in the dirty log that it has written. The driver has made
 * everything ready by then, so that nobody else writes. Skipped where that device, or the right to
 * make a tap, is not there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qapi-types.h"
#include "tests/device/virtio_driver.h"
#include "vmm/base/fd.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/net/net.h"
#include "vmm/virtio/virtio_net.h"

#define PAGE	    4096u
#define TAP	    "vireo0"
#define ETHERTYPE   0x88b5 /* for experiments, IEEE 802 */
#define FRAME_SIZE  1400u
#define N_FRAMES    12u
#define BUFFER_SIZE 6000u /* in two or three pages */
#define F_MRG_RXBUF VIRTIO_FEATURE(15)
#define PATIENCE_MS 30000

enum { RX, TX };

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	Netdevs *netdevs;
	Device *device;
	VirtioDriver driver;
	DirtyTracker *tracker;
	uint8_t *before; /* what was in RAM when marking began */
	int socket;	 /* whose frames come to the card */
} Fixture;

static const char *why_not; /* there can be no test */

static int open_socket(void)
{
	struct ifreq request = { .ifr_flags = IFF_UP };
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE),
		.sll_ifindex = (int)if_nametoindex(TAP),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE));

	g_assert_no_errno(fd);
	g_strlcpy(request.ifr_name, TAP, sizeof(request.ifr_name));
	g_assert_no_errno(ioctl(fd, SIOCSIFFLAGS, &request));
	g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

static void set_up(Fixture *fixture, gconstpointer features)
{
	QapiNetdev options = {
		.id = (char *)"n0",
		.type = QAPI_NET_CLIENT_DRIVER_TAP,
		.u.tap = { .ifname = (char *)TAP,
			   .has_vhost = true,
			   .vhost = true,
			   .has_vhostforce = true,
			   .vhostforce = true },
	};
	g_autoptr(GError) error = NULL;

	if (why_not)
		return;
	fixture->fake = virtio_driver_machine(&fixture->loop);
	/* All is watched here. */
	fake_machine_unwatch(fixture->fake);
	fixture->netdevs = netdevs_new();
	netdevs_add(fixture->netdevs, &options, &error);
	g_assert_no_error(error);
	fake_machine_set_netdev(fixture->fake, "n0", netdevs_find(fixture->netdevs, "n0"));
	fixture->socket = open_socket();
	fixture->device = fake_machine_add(fixture->fake, &virtio_net_type.pci.device,
					   "netdev=n0,mac=52:54:00:01:02:03");
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, ~(uint64_t)GPOINTER_TO_SIZE(features));
	fake_machine_iterate(fixture->fake);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (why_not)
		return;
	fake_machine_remove(fixture->fake, fixture->device);
	dirty_tracker_free(fixture->tracker);
	netdevs_free(fixture->netdevs);
	fd_close(&fixture->socket);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	g_free(fixture->before);
}

/* Buffers for frames to come, and frames to send: what the card finds when it goes on. */
static void make_ready(Fixture *fixture)
{
	VirtioDriver *driver = &fixture->driver;

	for (uint16_t i = 0; i < N_FRAMES; i++) {
		uint64_t buffer = virtio_driver_alloc(driver, BUFFER_SIZE);
		uint64_t frame = virtio_driver_alloc(driver, FRAME_SIZE);
		uint16_t type = htons(ETHERTYPE);

		memset(virtio_driver_ram(driver, buffer), 0xee, BUFFER_SIZE);
		memcpy(virtio_driver_ram(driver, frame) + 12 + 12, &type, sizeof(type));
		virtio_ring_describe(&driver->rings[RX], i, buffer, BUFFER_SIZE, RING_WRITE, 0);
		virtio_ring_offer(&driver->rings[RX], i);
		virtio_ring_describe(&driver->rings[TX], i, frame, FRAME_SIZE, 0, 0);
		virtio_ring_offer(&driver->rings[TX], i);
	}
}

static void send_frames(Fixture *fixture)
{
	uint8_t frame[FRAME_SIZE] = {
		0x52, 0x54, 0, 1, 2, 3, 0x52, 0x54, 0, 9, 9, 9, ETHERTYPE >> 8, ETHERTYPE & 0xff
	};

	for (unsigned i = 0; i < N_FRAMES; i++) {
		memset(frame + 14, (int)(i + 1), sizeof(frame) - 14);
		g_assert_cmpint(send(fixture->socket, frame, sizeof(frame), 0), ==, sizeof(frame));
	}
}

/* From now on nobody writes but the kernel, and it marks that. */
static void begin_marking(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	fixture->tracker = dirty_tracker_new(fixture->fake->services.memory, &error);
	g_assert_no_error(error);
	fixture->before = g_memdup2(fixture->fake->ram, fixture->fake->ram_size);
}

static bool all_used(gpointer data)
{
	const VirtioDriver *driver = &((Fixture *)data)->driver;

	return virtio_ring_used_index(&driver->rings[RX]) == N_FRAMES &&
	       virtio_ring_used_index(&driver->rings[TX]) == N_FRAMES;
}

/* The card has stopped: all pages that are not what they were are marked, and by far not all are.
 */
static void check_marks(Fixture *fixture)
{
	uint64_t n_pages = fixture->fake->ram_size / PAGE;
	g_autofree uint64_t *marked = g_new0(uint64_t, dirty_tracker_words(fixture->tracker));
	uint64_t n_marked = dirty_tracker_take(fixture->tracker, marked), n_written = 0;

	for (uint64_t page = 0; page < n_pages; page++) {
		if (memcmp(fixture->fake->ram + page * PAGE, fixture->before + page * PAGE, PAGE) ==
		    0)
			continue;
		n_written++;
		if (!(marked[page / 64] & (UINT64_C(1) << (page % 64))))
			g_error("the page at 0x%" G_GINT64_MODIFIER "x was written, and not marked",
				page * PAGE);
	}
	g_test_message("%u pages were written, %u are marked", (unsigned)n_written,
		       (unsigned)n_marked);
	/* The rings, and a buffer for each frame. */
	g_assert_cmpuint(n_written, >, N_FRAMES / 2);
	g_assert_cmpuint(n_marked, <, n_pages / 8);
}

/* The log is there when the kernel begins. */
static void test_from_start(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (why_not) {
		g_test_skip(why_not);
		return;
	}
	virtio_device_pause(fixture->device);
	make_ready(fixture);
	begin_marking(fixture);
	virtio_device_resume(fixture->device);
	send_frames(fixture);
	g_assert_true(fake_machine_run_until(fixture->fake, all_used, fixture, PATIENCE_MS));
	virtio_device_pause(fixture->device);
	check_marks(fixture);
}

/* The log comes while it is at work. */
static void test_from_then_on(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (why_not) {
		g_test_skip(why_not);
		return;
	}
	make_ready(fixture);
	begin_marking(fixture);
	/* Frames of the host's own may have come before there was a buffer for them. */
	virtio_driver_kick(&fixture->driver, RX);
	virtio_driver_kick(&fixture->driver, TX);
	send_frames(fixture);
	g_assert_true(fake_machine_run_until(fixture->fake, all_used, fixture, PATIENCE_MS));
	virtio_device_pause(fixture->device);
	check_marks(fixture);
}

/* Why the kernel's part cannot be tested on this machine, or NULL. */
static const char *find_obstacle(void)
{
	if (access("/dev/vhost-net", R_OK | W_OK) != 0)
		return "there is no /dev/vhost-net";
	if (access("/dev/net/tun", R_OK | W_OK) != 0 || unshare(CLONE_NEWNET) != 0)
		return "this needs the right to make a tap";
	return NULL;
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	why_not = find_obstacle();
#define ADD(path, features, func)                                                                 \
	g_test_add("/virtio-net/kernel/" path, Fixture, GSIZE_TO_POINTER(features), set_up, func, \
		   tear_down)
	ADD("from-start", 0, test_from_start);
	ADD("from-start/no-merging", F_MRG_RXBUF, test_from_start);
	ADD("from-then-on", 0, test_from_then_on);
	return g_test_run();
}
