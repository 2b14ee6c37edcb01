/*
 * test-virtio-net.c: the network card
 *
 * The netdev is a fake that lives here: a list of frames to receive, and a list of those sent.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/virtio/virtio_net.h"
#include "vmm/virtio/virtio_net_filter.h"

#define F_MRG_RXBUF VIRTIO_FEATURE(15)
#define F_MQ	    VIRTIO_FEATURE(22)
#define F_ALL	    UINT64_MAX
#define MAC	    "\x52\x54\x00\x01\x02\x03"

enum { RX, TX, CTRL };
#define QUEUES 4

struct Netdev {
	IoLoop *loop;
	const NetdevListener *listener;
	void *opaque;
	unsigned supported;
	bool attached, link_up;

	GMutex lock;
	unsigned offloads;
	bool watched[QUEUES];	   /* loop thread */
	bool busy;		   /* sending gives -EAGAIN */
	bool gone;		   /* both directions give -EBADFD */
	GQueue to_receive[QUEUES]; /* GBytes, header first */
	GPtrArray *sent;	   /* GBytes */
	unsigned sent_by;	   /* the queue of the last */
	unsigned n_queues, n_used;
};

const char *netdev_id(const Netdev *netdev)
{
	(void)netdev;
	return "net0";
}

const char *netdev_chardev(const Netdev *netdev)
{
	(void)netdev;
	return NULL;
}

bool netdev_has_vhost(const Netdev *netdev)
{
	(void)netdev;
	return false;
}

NetdevVhost netdev_get_vhost(const Netdev *netdev, unsigned queue)
{
	(void)netdev;
	(void)queue;
	g_assert_not_reached();
}

bool netdev_attach(Netdev *netdev, const char *user, IoLoop *loop, const NetdevListener *listener,
		   void *opaque, GError **error)
{
	(void)error;
	g_assert_nonnull(user);
	g_assert_false(netdev->attached);
	netdev->attached = true;
	netdev->loop = loop;
	netdev->listener = listener;
	netdev->opaque = opaque;
	return true;
}

unsigned netdev_n_queues(const Netdev *netdev)
{
	return netdev->n_queues;
}

int netdev_use_queues(Netdev *netdev, unsigned n)
{
	g_assert_true(io_loop_is_current(netdev->loop));
	g_assert_cmpuint(n, <=, MAX(netdev->n_queues, 1));
	__atomic_store_n(&netdev->n_used, n, __ATOMIC_SEQ_CST);
	return 0;
}

void netdev_detach(Netdev *netdev)
{
	for (unsigned i = 0; i < QUEUES; i++)
		g_assert_false(netdev->watched[i]);
	netdev->attached = false;
}

unsigned netdev_offloads(const Netdev *netdev)
{
	return netdev->supported;
}

void netdev_set_offloads(Netdev *netdev, unsigned offloads)
{
	g_mutex_lock(&netdev->lock);
	netdev->offloads = offloads;
	g_mutex_unlock(&netdev->lock);
}

static unsigned offloads_now(Netdev *netdev)
{
	unsigned offloads;

	g_mutex_lock(&netdev->lock);
	offloads = netdev->offloads;
	g_mutex_unlock(&netdev->lock);
	return offloads;
}

/* Level-triggered, as the real ones: called while watched and something is there. */
static void poll_readable(gpointer data)
{
	Netdev *netdev = data;
	bool any = false;

	for (unsigned i = 0; i < QUEUES; i++) {
		bool ready;

		g_mutex_lock(&netdev->lock);
		ready = netdev->watched[i] && !g_queue_is_empty(&netdev->to_receive[i]);
		g_mutex_unlock(&netdev->lock);
		if (ready)
			netdev->listener->readable(netdev->opaque, i);
		any |= ready;
	}
	if (any)
		io_loop_post(netdev->loop, poll_readable, netdev);
}

void netdev_watch_readable(Netdev *netdev, unsigned queue, bool enabled)
{
	g_assert_true(io_loop_is_current(netdev->loop));
	if (enabled && !netdev->watched[queue])
		io_loop_post(netdev->loop, poll_readable, netdev);
	netdev->watched[queue] = enabled;
}

ssize_t netdev_receive(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov)
{
	GBytes *frame;
	size_t size, done;
	gconstpointer bytes;

	g_assert_true(io_loop_is_current(netdev->loop));
	g_assert_cmpuint(n_iov, <=, 1024);
	if (netdev->gone)
		return -EBADFD;
	g_mutex_lock(&netdev->lock);
	frame = g_queue_pop_head(&netdev->to_receive[queue]);
	g_mutex_unlock(&netdev->lock);
	if (!frame)
		return -EAGAIN;
	bytes = g_bytes_get_data(frame, &size);
	done = iov_copy_to(iov, n_iov, 0, bytes, size);
	g_bytes_unref(frame);
	return done == size ? (ssize_t)size : -EMSGSIZE;
}

int netdev_send(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov)
{
	size_t size = iov_size(iov, n_iov);
	uint8_t *bytes;

	if (netdev->gone)
		return -EBADFD;
	if (netdev->busy)
		return -EAGAIN;
	bytes = g_malloc(size);
	iov_copy_from(iov, n_iov, 0, bytes, size);
	g_mutex_lock(&netdev->lock);
	g_ptr_array_add(netdev->sent, g_bytes_new_take(bytes, size));
	netdev->sent_by = queue;
	g_mutex_unlock(&netdev->lock);
	return 0;
}

bool netdev_link_up(const Netdev *netdev)
{
	return netdev->link_up;
}

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	Netdev *netdev;
	Device *device;
	VirtioDriver driver;
	QmpEventSink sink;
	unsigned n_filter_events; /* atomic */
	unsigned control;	  /* the control queue, where it is not CTRL */
} Fixture;

static void count_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	if (strcmp(name, "NIC_RX_FILTER_CHANGED") == 0)
		__atomic_add_fetch(&fixture->n_filter_events, 1, __ATOMIC_SEQ_CST);
	json_object_put(data);
}

static void set_up(Fixture *fixture, gconstpointer options)
{
	g_autofree char *all =
		g_strconcat("netdev=net0,mac=52:54:00:01:02:03", options ? "," : "", options, NULL);

	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->sink = (QmpEventSink){ .emit = count_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->netdev = g_new0(Netdev, 1);
	fixture->netdev->supported = NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6;
	fixture->netdev->link_up = true;
	fixture->netdev->n_queues = options && strstr(options, "mq=") ? QUEUES : 1;
	fixture->netdev->sent = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	fake_machine_set_netdev(fixture->fake, "net0", fixture->netdev);
	fixture->device = fake_machine_add(fixture->fake, &virtio_net_type.pci.device, all);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	GBytes *frame;

	(void)data;
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	g_assert_false(fixture->netdev->attached);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	for (unsigned i = 0; i < QUEUES; i++) {
		while ((frame = g_queue_pop_head(&fixture->netdev->to_receive[i])))
			g_bytes_unref(frame);
	}
	g_ptr_array_unref(fixture->netdev->sent);
	g_free(fixture->netdev);
}

static void arrived(gpointer data)
{
	poll_readable(data);
}

/* Let a frame of @size bytes, header included, arrive for @mac; the rest is a pattern. */
static void arrive_at(Fixture *fixture, unsigned queue, const char *mac, uint16_t type,
		      uint16_t tag, size_t size)
{
	uint8_t *bytes = g_malloc0(MAX(size, NET_HEADER_SIZE + NET_FILTER_BYTES));

	for (size_t i = NET_HEADER_SIZE; i < size; i++)
		bytes[i] = i * 11 + i / 256;
	memcpy(bytes + NET_HEADER_SIZE, mac, 6);
	bytes[NET_HEADER_SIZE + 12] = type >> 8;
	bytes[NET_HEADER_SIZE + 13] = (uint8_t)type;
	bytes[NET_HEADER_SIZE + 14] = tag >> 8;
	bytes[NET_HEADER_SIZE + 15] = (uint8_t)tag;
	g_mutex_lock(&fixture->netdev->lock);
	g_queue_push_tail(&fixture->netdev->to_receive[queue], g_bytes_new_take(bytes, size));
	g_mutex_unlock(&fixture->netdev->lock);
	io_loop_post(fixture->loop, arrived, fixture->netdev);
}

static void arrive(Fixture *fixture, const char *mac, uint16_t type, uint16_t tag, size_t size)
{
	arrive_at(fixture, 0, mac, type, tag, size);
}

/* Offer @n receive buffers of @size bytes each at descriptors @first..; returns where they are. */
static uint64_t offer_buffers_to(Fixture *fixture, unsigned queue, unsigned first, unsigned n,
				 uint32_t size)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, (uint64_t)n * size);

	for (unsigned i = 0; i < n; i++) {
		virtio_ring_describe(&driver->rings[queue], first + i, gpa + (uint64_t)i * size,
				     size, RING_WRITE, 0);
		virtio_ring_offer(&driver->rings[queue], first + i);
	}
	virtio_driver_kick(driver, queue);
	return gpa;
}

static uint64_t offer_buffers(Fixture *fixture, unsigned first, unsigned n, uint32_t size)
{
	return offer_buffers_to(fixture, RX, first, n, size);
}

static void assert_pattern(Fixture *fixture, uint64_t gpa, size_t size)
{
	const uint8_t *bytes = virtio_driver_ram(&fixture->driver, gpa);

	for (size_t i = NET_HEADER_SIZE + 16; i < size; i++)
		g_assert_cmpuint(bytes[i], ==, (uint8_t)(i * 11 + i / 256));
}

static uint16_t n_buffers(Fixture *fixture, uint64_t gpa)
{
	uint16_t n;

	memcpy(&n, virtio_driver_ram(&fixture->driver, gpa + 10), sizeof(n));
	return n;
}

static void assert_nothing_received(Fixture *fixture)
{
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(virtio_ring_used_index(&fixture->driver.rings[RX]), ==,
			 fixture->driver.rings[RX].next_used);
}

static void test_receive(Fixture *fixture, gconstpointer data)
{
	uint32_t length;
	uint64_t gpa;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL & ~F_MRG_RXBUF);
	gpa = offer_buffers(fixture, 0, 4, 2048);
	arrive(fixture, MAC, 0x800, 0, 100);
	arrive(fixture, MAC, 0x800, 0, 4000); /* does not fit, and is lost */
	arrive(fixture, MAC, 0x800, 0, 2048);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, RX, &length), ==, 0);
	g_assert_cmpuint(length, ==, 100);
	assert_pattern(fixture, gpa, 100);
	g_assert_cmpuint(n_buffers(fixture, gpa), ==, 1);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, RX, &length), ==, 1);
	g_assert_cmpuint(length, ==, 2048);
	assert_pattern(fixture, gpa + 2048, 2048);
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, RX + 1));
}

static void test_merged(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t length;
	uint64_t gpa;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	gpa = offer_buffers(fixture, 0, 100, 1024);
	arrive(fixture, MAC, 0x800, 0, 60);
	g_assert_cmpuint(virtio_driver_wait(driver, RX, &length), ==, 0);
	g_assert_cmpuint(n_buffers(fixture, gpa), ==, 1);
	arrive(fixture, MAC, 0x800, 0, NET_FRAME_MAX);
	for (unsigned i = 0; i < 65; i++) {
		g_assert_cmpuint(virtio_driver_wait(driver, RX, &length), ==, i + 1);
		g_assert_cmpuint(length, ==, i < 64 ? 1024 : NET_FRAME_MAX - 64 * 1024);
	}
	g_assert_cmpuint(n_buffers(fixture, gpa + 1024), ==, 65);
	assert_pattern(fixture, gpa + 1024, NET_FRAME_MAX);
}

/* A large frame comes when there is hardly a buffer: it waits, complete, for more. */
static void test_spilled(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t first, second;
	uint32_t length;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	first = offer_buffers(fixture, 0, 2, 1000);
	arrive(fixture, MAC, 0x800, 0, 5500);
	assert_nothing_received(fixture);
	second = offer_buffers(fixture, 2, 3, 1000);
	assert_nothing_received(fixture);
	offer_buffers(fixture, 5, 1, 1000);
	for (unsigned i = 0; i < 6; i++) {
		g_assert_cmpuint(virtio_driver_wait(driver, RX, &length), ==, i);
		g_assert_cmpuint(length, ==, i < 5 ? 1000 : 500);
	}
	g_assert_cmpuint(n_buffers(fixture, first), ==, 6);
	for (size_t i = 2000; i < 5000; i++)
		g_assert_cmpuint(virtio_driver_ram(driver, second)[i - 2000], ==,
				 (uint8_t)(i * 11 + i / 256));
}

/* A frame that all buffers of the queue together cannot hold is lost, and holds up no other. */
static void test_larger_than_queue(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t length;
	uint64_t gpa;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	gpa = offer_buffers(fixture, 0, 63, 64);
	arrive(fixture, MAC, 0x800, 0, 5000);
	assert_nothing_received(fixture);
	offer_buffers(fixture, 63, 1, 64);
	arrive(fixture, MAC, 0x800, 0, 60);
	g_assert_cmpuint(virtio_driver_wait(driver, RX, &length), ==, 0);
	g_assert_cmpuint(length, ==, 60);
	assert_pattern(fixture, gpa, 60);
	assert_nothing_received(fixture);
}

/* Frames keep coming while there are no buffers at all. */
static void test_no_buffers(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	for (unsigned i = 0; i < 200; i++)
		arrive(fixture, MAC, 0x800, 0, 64);
	assert_nothing_received(fixture);
	g_assert_false(fixture->netdev->watched[0]);
	for (unsigned i = 0; i < 200; i++) {
		if (i % 50 == 0)
			offer_buffers(fixture, i, 50, 128);
		virtio_driver_wait(&fixture->driver, RX, NULL);
	}
}

static unsigned n_sent(Fixture *fixture)
{
	unsigned n;

	g_mutex_lock(&fixture->netdev->lock);
	n = fixture->netdev->sent->len;
	g_mutex_unlock(&fixture->netdev->lock);
	return n;
}

static void send(Fixture *fixture, unsigned head, uint32_t size)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, MAX(size, 16));

	for (uint32_t i = NET_HEADER_SIZE; i < size; i++)
		virtio_driver_ram(driver, gpa)[i] = (uint8_t)(i + head);
	virtio_ring_describe(&driver->rings[TX], head, gpa, 12, RING_NEXT, head + 1);
	virtio_ring_describe(&driver->rings[TX], head + 1, gpa + 12, size - 12, 0, 0);
	virtio_driver_offer(driver, TX, head);
}

static void become_writable(gpointer data)
{
	Netdev *netdev = data;

	netdev->busy = false;
	netdev->listener->writable(netdev->opaque, 0);
}

static void become_busy(gpointer data)
{
	((Netdev *)data)->busy = true;
}

static void test_send(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const uint8_t *bytes;
	gsize size;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	send(fixture, 0, 1514 + 12);
	virtio_driver_wait(driver, TX, NULL);
	g_assert_cmpuint(n_sent(fixture), ==, 1);
	bytes = g_bytes_get_data(fixture->netdev->sent->pdata[0], &size);
	g_assert_cmpuint(size, ==, 1526);
	g_assert_cmpuint(bytes[1525], ==, (uint8_t)1525);
	/* The host has no room: the rest waits in the ring, in order. */
	io_loop_run_sync(fixture->loop, become_busy, fixture->netdev);
	for (unsigned i = 0; i < 10; i++)
		send(fixture, i * 2, 100);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(n_sent(fixture), ==, 1);
	io_loop_run_sync(fixture->loop, become_writable, fixture->netdev);
	for (unsigned i = 0; i < 10; i++)
		g_assert_cmpuint(virtio_driver_wait(driver, TX, NULL), ==, i * 2);
	g_assert_cmpuint(n_sent(fixture), ==, 11);
	/* More than anything could be: dropped. */
	virtio_ring_describe(&driver->rings[TX], 0, 0, 1 << 20, 0, 0);
	virtio_driver_offer(driver, TX, 0);
	virtio_driver_wait(driver, TX, NULL);
	g_assert_cmpuint(n_sent(fixture), ==, 11);
}

static void send_turns(Fixture *fixture, unsigned n, uint32_t size)
{
	for (unsigned i = 0; i < n; i++) {
		send(fixture, 0, size);
		virtio_driver_wait(&fixture->driver, TX, NULL);
	}
}

/* The loop is quick where frames come one by one, and gathers those of a stream. */
static void test_streams(Fixture *fixture, gconstpointer data)
{
	int thread_id = io_loop_thread_id(fixture->loop);

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	send_turns(fixture, 100, 100);
	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_OTHER);
	for (unsigned i = 0; i < 50; i++) {
		send_turns(fixture, 1, 9000);
		send_turns(fixture, 1, 100);
	}
	virtio_driver_settle(fixture->loop);
	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_BATCH);
	send_turns(fixture, 100, 100);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_OTHER);
	send_turns(fixture, 100, 9000);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_BATCH);
	fixture->device->type->pause(fixture->device);
	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_OTHER);
	fixture->device->type->resume(fixture->device);
}

static bool take_interrupt(Fixture *fixture, unsigned vector)
{
	MsiMessage message;
	bool found = false;

	while (fake_machine_take_msi(fixture->fake, &message))
		found |= message.data == vector;
	return found;
}

typedef struct Turn {
	Fixture *fixture;
	bool looks; /* the driver finds by itself what was sent */
	bool interrupted;
} Turn;

/* Offer and send a frame within one turn of the loop, so that no time passes in it. */
static void send_in_a_turn(gpointer data)
{
	Turn *turn = data;
	Fixture *fixture = turn->fixture;
	VirtioDevice *device = (VirtioDevice *)fixture->device;
	VirtioRing *ring = &fixture->driver.rings[TX];
	uint32_t id, length;

	virtio_ring_offer(ring, 0);
	virtio_device_type(device)->queue_ready(device, &device->queues[TX]);
	g_assert_true(virtio_ring_take_used(ring, &id, &length));
	turn->interrupted = take_interrupt(fixture, TX + 1);
	/* The next interrupt is wanted for the next chain; or for the last, if it was not seen. */
	if (turn->looks)
		virtio_ring_set_interrupt(ring, true);
}

/* What was received spares the interrupt for what is sent, if the driver looks; else puts it off.
 */
static void test_spared_interrupts(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	Turn turn = { .fixture = fixture };

	(void)data;
	virtio_driver_start(driver, F_ALL);
	offer_buffers(fixture, 0, 8, 1000);
	virtio_ring_describe(&driver->rings[TX], 0, virtio_driver_alloc(driver, 100), 100, 0, 0);
	virtio_ring_set_interrupt(&driver->rings[TX], true);
	for (unsigned i = 0; i < 4; i++) {
		bool received = i > 0;

		virtio_ring_set_interrupt(&driver->rings[RX], true);
		if (received) {
			arrive(fixture, MAC, 0x800, 0, 100);
			virtio_driver_wait(driver, RX, NULL);
			g_assert_true(virtio_driver_wait_interrupt(driver, RX + 1));
		}
		turn.looks = i != 3;
		io_loop_run_sync(fixture->loop, send_in_a_turn, &turn);
		g_assert_true(turn.interrupted == !received);
		g_usleep(turn.looks ? 20000 : 0);
		if (turn.looks)
			g_assert_false(take_interrupt(fixture, TX + 1));
		else
			g_assert_true(virtio_driver_wait_interrupt(driver, TX + 1));
	}
	/* Nothing was received since the last: no more is put off, nor when the device stops. */
	virtio_ring_set_interrupt(&driver->rings[TX], true);
	io_loop_run_sync(fixture->loop, send_in_a_turn, &turn);
	g_assert_true(turn.interrupted);
	virtio_ring_set_interrupt(&driver->rings[TX], true);
	arrive(fixture, MAC, 0x800, 0, 100);
	virtio_driver_wait(driver, RX, NULL);
	virtio_driver_settle(fixture->loop);
	virtio_driver_offer(driver, TX, 0);
	virtio_driver_wait(driver, TX, NULL);
	fixture->device->type->pause(fixture->device);
	g_assert_true(take_interrupt(fixture, TX + 1));
	fixture->device->type->resume(fixture->device);
}

/* Run control command @class @code with @size bytes of @data; returns the answer. */
static uint8_t control(Fixture *fixture, uint8_t class, uint8_t code, gconstpointer data,
		       uint32_t size)
{
	VirtioDriver *driver = &fixture->driver;
	unsigned index = fixture->control ? fixture->control : CTRL;
	VirtioRing *ring = &driver->rings[index];
	uint64_t gpa = virtio_driver_alloc(driver, size + 16);
	uint8_t *bytes = virtio_driver_ram(driver, gpa);

	bytes[0] = class;
	bytes[1] = code;
	memcpy(bytes + 2, data, size);
	bytes[size + 2] = 0xee;
	virtio_ring_describe(ring, 0, gpa, 2 + size, RING_NEXT, 1);
	virtio_ring_describe(ring, 1, gpa + size + 2, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, index, 0);
	virtio_driver_wait(driver, index, NULL);
	return bytes[size + 2];
}

static bool receives(Fixture *fixture, const char *mac, uint16_t type, uint16_t tag)
{
	uint32_t id, length;

	arrive(fixture, mac, type, tag, 64);
	virtio_driver_settle(fixture->loop);
	return virtio_ring_take_used(&fixture->driver.rings[RX], &id, &length);
}

static void test_filter(Fixture *fixture, gconstpointer data)
{
	static const char other[] = "\x52\x54\x00\x99\x99\x99",
			  group[] = "\x01\x00\x5e\x00\x00\x01",
			  broadcast[] = "\xff\xff\xff\xff\xff\xff";
	static const uint8_t tables[] = "\1\0\0\0\x52\x54\x00\x99\x99\x99"
					"\1\0\0\0\x01\x00\x5e\x00\x00\x01";
	static const uint16_t vlan = 5;
	QapiRxFilterInfo *info;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	offer_buffers(fixture, 0, 100, 128);
	g_assert_true(receives(fixture, other, 0x800, 0)); /* promiscuous at first */
	g_assert_cmpuint(control(fixture, 0, 0, "\0", 1), ==, 0);
	g_assert_cmpuint(fixture->n_filter_events, ==, 1);
	g_assert_true(receives(fixture, MAC, 0x800, 0));
	g_assert_true(receives(fixture, broadcast, 0x800, 0));
	g_assert_false(receives(fixture, other, 0x800, 0));
	g_assert_false(receives(fixture, group, 0x800, 0));
	g_assert_cmpuint(control(fixture, 1, 0, tables, sizeof(tables) - 1), ==, 0);
	g_assert_true(receives(fixture, other, 0x800, 0));
	g_assert_true(receives(fixture, group, 0x800, 0));
	g_assert_false(receives(fixture, MAC, 0x8100, 5));
	g_assert_cmpuint(control(fixture, 2, 0, &vlan, 2), ==, 0);
	g_assert_true(receives(fixture, MAC, 0x8100, 0x2005));
	g_assert_cmpuint(control(fixture, 0, 5, "\1", 1), ==, 0);
	g_assert_false(receives(fixture, broadcast, 0x800, 0));
	g_assert_cmpuint(control(fixture, 1, 1, "\x52\x54\x00\x44\x44\x44", 6), ==, 0);
	g_assert_false(receives(fixture, MAC, 0x800, 0));
	g_assert_true(receives(fixture, "\x52\x54\x00\x44\x44\x44", 0x800, 0));
	g_assert_cmphex(virtio_driver_read_config(&fixture->driver, 4, 2), ==, 0x4444);

	g_assert_cmpuint(fixture->n_filter_events, ==, 1);
	info = virtio_net_query_rx_filter(fixture->device);
	g_assert_false(info->promiscuous);
	g_assert_false(info->broadcast_allowed);
	g_assert_cmpstr(info->main_mac, ==, "52:54:00:44:44:44");
	g_assert_cmpuint(info->unicast_table->len, ==, 1);
	g_assert_cmpstr(info->multicast_table->pdata[0], ==, "01:00:5e:00:00:01");
	g_assert_cmpuint(info->vlan_table->len, ==, 1);
	g_assert_cmpint(g_array_index(info->vlan_table, int64_t, 0), ==, 5);
	qapi_free_RxFilterInfo(info);
	g_assert_cmpuint(control(fixture, 2, 1, &vlan, 2), ==, 0);
	g_assert_cmpuint(fixture->n_filter_events, ==, 2);
	/* Reset brings the address back. */
	virtio_driver_set_status(&fixture->driver, 0);
	g_assert_cmphex(virtio_driver_read_config(&fixture->driver, 4, 2), ==, 0x0302);
}

static void test_bad_commands(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	g_autofree uint8_t *many = g_malloc0(4 + 65 * 6 + 4);
	uint64_t gpa;
	QapiRxFilterInfo *info;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	g_assert_cmpuint(control(fixture, 0, 0, "", 0), ==, 1);
	g_assert_cmpuint(control(fixture, 0, 6, "\1", 1), ==, 1);
	g_assert_cmpuint(control(fixture, 1, 0, "\xff\xff\xff\xff", 4), ==, 1);
	g_assert_cmpuint(control(fixture, 1, 0, "\0\0\0\0\1\0\0\0abc", 11), ==, 1);
	g_assert_cmpuint(control(fixture, 1, 1, "abc", 3), ==, 1);
	g_assert_cmpuint(control(fixture, 2, 0, "\xff\xff", 2), ==, 1);
	g_assert_cmpuint(control(fixture, 2, 9, "\1\0", 2), ==, 1);
	g_assert_cmpuint(control(fixture, 4, 0, "\2\0", 2), ==, 1);
	g_assert_cmpuint(control(fixture, 99, 0, "", 0), ==, 1);
	many[0] = 65;
	g_assert_cmpuint(control(fixture, 1, 0, many, 4 + 65 * 6 + 4), ==, 0);
	info = virtio_net_query_rx_filter(fixture->device);
	g_assert_true(info->unicast_overflow);
	g_assert_cmpuint(info->unicast_table->len, ==, 0);
	qapi_free_RxFilterInfo(info);
	/* No room for the answer. */
	gpa = virtio_driver_alloc(driver, 16);
	virtio_ring_describe(&driver->rings[CTRL], 0, gpa, 3, 0, 0);
	virtio_driver_offer(driver, CTRL, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
}

static void test_offloads(Fixture *fixture, gconstpointer data)
{
	static const uint64_t checksum = 1 << 1, unknown = 1 << 14;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_cmpuint(offloads_now(fixture->netdev), ==, fixture->netdev->supported);
	g_assert_cmpuint(control(fixture, 5, 0, &checksum, 8), ==, 0);
	g_assert_cmpuint(offloads_now(fixture->netdev), ==, NET_OFFLOAD_CHECKSUM);
	g_assert_cmpuint(control(fixture, 5, 0, &unknown, 8), ==, 1);
	g_assert_cmpuint(offloads_now(fixture->netdev), ==, NET_OFFLOAD_CHECKSUM);
	virtio_driver_start(&fixture->driver, 0);
	g_assert_cmpuint(offloads_now(fixture->netdev), ==, 0);
}

static void test_config(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const uint8_t *bytes;
	gsize size;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	g_assert_cmphex(virtio_driver_read_config(driver, 0, 4), ==, 0x01005452);
	g_assert_cmpuint(virtio_driver_read_config(driver, 6, 2), ==, 1);
	g_assert_cmpuint(virtio_driver_read_config(driver, 8, 2), ==, 1);
	g_assert_cmpuint(virtio_driver_read_config(driver, 10, 2), ==, 9000);
	fixture->netdev->link_up = false;
	fixture->netdev->listener->link_changed(fixture->netdev->opaque, false);
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
	g_assert_cmpuint(virtio_driver_read_config(driver, 6, 2), ==, 0);
	fixture->netdev->link_up = true;
	virtio_net_announce(fixture->device);
	g_assert_cmpuint(n_sent(fixture), ==, 1);
	bytes = g_bytes_get_data(fixture->netdev->sent->pdata[0], &size);
	g_assert_cmpuint(size, ==, NET_HEADER_SIZE + 60);
	g_assert_cmpmem(bytes + NET_HEADER_SIZE, 14, "\xff\xff\xff\xff\xff\xff" MAC "\x80\x35", 14);
	g_assert_cmpmem(bytes + NET_HEADER_SIZE + 22, 6, MAC, 6);
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
	g_assert_cmpuint(virtio_driver_read_config(driver, 6, 2), ==, 3);
	g_assert_cmpuint(control(fixture, 3, 0, "", 0), ==, 0);
	g_assert_cmpuint(virtio_driver_read_config(driver, 6, 2), ==, 1);
}

/* Buffers that were popped ahead are given back, and serve after the pause. */
static void test_pause(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	offer_buffers(fixture, 0, 10, 1000);
	arrive(fixture, MAC, 0x800, 0, 100);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, RX, NULL), ==, 0);
	fixture->device->type->pause(fixture->device);
	g_assert_false(fixture->netdev->watched[0]);
	arrive(fixture, MAC, 0x800, 0, 2500);
	assert_nothing_received(fixture);
	fixture->device->type->resume(fixture->device);
	for (unsigned i = 1; i < 4; i++)
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, RX, NULL), ==, i);
}

static void test_unplug_while_busy(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	offer_buffers(fixture, 0, 200, 1000);
	io_loop_run_sync(fixture->loop, become_busy, fixture->netdev);
	for (unsigned i = 0; i < 100; i++) {
		arrive(fixture, MAC, 0x800, 0, 3000);
		send(fixture, i * 2, 100);
	}
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
}

static void go(gpointer data)
{
	((Netdev *)data)->gone = true;
}

/* The tap is deleted: frames to send are lost, and nobody goes on looking for ones to receive. */
static void test_host_side_gone(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	offer_buffers(fixture, 0, 10, 1000);
	io_loop_run_sync(fixture->loop, go, fixture->netdev);
	arrive(fixture, MAC, 0x800, 0, 100);
	assert_nothing_received(fixture);
	g_assert_false(fixture->netdev->watched[0]);
	for (unsigned i = 0; i < 10; i++)
		send(fixture, i * 2, 100);
	for (unsigned i = 0; i < 10; i++)
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, TX, NULL), ==, i * 2);
	g_assert_cmpuint(n_sent(fixture), ==, 0);
	offer_buffers(fixture, 10, 10, 1000);
	assert_nothing_received(fixture);
	g_assert_false(fixture->netdev->watched[0]);
}

/* What was offered before is served at DRIVER_OK, without another notification. */
static void test_kick_before_driver_ok(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	for (unsigned i = RX; i <= CTRL; i++)
		virtio_driver_kick(driver, i);
	virtio_driver_negotiate(driver, F_ALL);
	for (unsigned i = RX; i <= CTRL; i++)
		virtio_driver_enable_queue(driver, i, 0);
	offer_buffers(fixture, 0, 4, 1000);
	arrive(fixture, MAC, 0x800, 0, 100);
	send(fixture, 0, 100);
	assert_nothing_received(fixture);
	g_assert_cmpuint(n_sent(fixture), ==, 0);
	virtio_driver_set_status(driver, 0xf);
	g_assert_cmpuint(virtio_driver_wait(driver, RX, NULL), ==, 0);
	g_assert_cmpuint(virtio_driver_wait(driver, TX, NULL), ==, 0);
	g_assert_cmpuint(n_sent(fixture), ==, 1);
}

static void test_small_buffer(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	offer_buffers(fixture, 0, 1, 11);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
	virtio_driver_start(&fixture->driver, F_ALL);
	virtio_ring_describe(&fixture->driver.rings[TX], 0, 0x1000, 11, 0, 0);
	virtio_driver_offer(&fixture->driver, TX, 0);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
	virtio_driver_start(&fixture->driver, F_ALL);
	offer_buffers(fixture, 0, 1, 100);
	g_assert_true(receives(fixture, MAC, 0x800, 0));
}

/* Frames that are none, in both directions: lost, and those after them are not. */
static void test_odd_frames(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	offer_buffers(fixture, 0, 100, 1000);
	arrive(fixture, MAC, 0x800, 0, NET_HEADER_SIZE + 16 - 3);
	arrive(fixture, MAC, 0x800, 0, NET_FRAME_MAX + 1);
	arrive(fixture, MAC, 0x800, 0, 1 << 20);
	g_assert_true(receives(fixture, MAC, 0x800, 0));
	assert_nothing_received(fixture);

	/* A header and nothing; descriptors of no length around it; all RAM, again and again. */
	gpa = virtio_driver_alloc(driver, 16);
	virtio_ring_describe(&driver->rings[TX], 0, gpa, 12, 0, 0);
	virtio_driver_offer(driver, TX, 0);
	virtio_driver_wait(driver, TX, NULL);
	virtio_ring_describe(&driver->rings[TX], 0, 0, 0, RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[TX], 1, gpa, 12, RING_NEXT, 2);
	virtio_ring_describe(&driver->rings[TX], 2, gpa, 0, 0, 0);
	virtio_driver_offer(driver, TX, 0);
	virtio_driver_wait(driver, TX, NULL);
	for (unsigned i = 0; i < 200; i++)
		virtio_ring_describe(&driver->rings[TX], i, 0, 16 << 20, i < 199 ? RING_NEXT : 0,
				     i + 1);
	virtio_driver_offer(driver, TX, 0);
	virtio_driver_wait(driver, TX, NULL);
	g_assert_cmphex(virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET, ==, 0);
	send(fixture, 0, 100);
	virtio_driver_wait(driver, TX, NULL);
	g_assert_cmpuint(
		g_bytes_get_size(fixture->netdev->sent->pdata[fixture->netdev->sent->len - 1]), ==,
		100);
}

static void test_state(Fixture *fixture, gconstpointer options)
{
	g_autofree Netdev *other_netdev = g_new0(Netdev, 1);
	g_autofree char *all = g_strconcat("netdev=other,mac=52:54:00:01:02:03", options ? "," : "",
					   (const char *)options, NULL);
	Device *other;

	other_netdev->supported = fixture->netdev->supported;
	other_netdev->n_queues = fixture->netdev->n_queues;
	fake_machine_set_netdev(fixture->fake, "other", other_netdev);
	other = fake_machine_add(fixture->fake, &virtio_net_type.pci.device, all);
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_cmpuint(control(fixture, 1, 1, "\x52\x54\x00\x44\x44\x44", 6), ==, 0);
	g_assert_cmpuint(control(fixture, 2, 0, "\7\0", 2), ==, 0);
	offer_buffers(fixture, 0, 10, 1000);
	fixture->device->type->pause(fixture->device);
	fake_machine_check_state(fixture->device, other);
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
	other->type->resume(other);
	g_assert_cmphex(virtio_driver_read_config(&fixture->driver, 4, 2), ==, 0x4444);
	virtio_driver_settle(fixture->loop);
	g_assert_true(other_netdev->watched[0]);
	fake_machine_remove(fixture->fake, other);
}

/* Each queue has its own frames, in both directions, once the driver asks for that many. */
static void test_multiqueue(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t length;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	fixture->control = 2 * QUEUES;
	g_assert_cmpuint(virtio_driver_read_config(driver, 8, 2), ==, QUEUES);
	g_assert_cmpuint(fixture->netdev->n_used, ==, 1);
	g_assert_cmpuint(control(fixture, 4, 0, "\0\0", 2), ==, 1);
	g_assert_cmpuint(control(fixture, 4, 0, "\5\0", 2), ==, 1);
	g_assert_cmpuint(control(fixture, 4, 0, "\4", 1), ==, 1);
	g_assert_cmpuint(control(fixture, 4, 1, "\4\0", 2), ==, 1); /* RSS */
	g_assert_cmpuint(fixture->netdev->n_used, ==, 1);
	g_assert_cmpuint(control(fixture, 4, 0, "\4\0", 2), ==, 0);
	g_assert_cmpuint(fixture->netdev->n_used, ==, QUEUES);
	for (unsigned i = 0; i < QUEUES; i++) {
		uint64_t gpa = offer_buffers_to(fixture, 2 * i, 0, 4, 2000), frame;

		arrive_at(fixture, i, MAC, 0x800, 0, 100 + i);
		virtio_driver_wait(driver, 2 * i, &length);
		g_assert_cmpuint(length, ==, 100 + i);
		assert_pattern(fixture, gpa, 100 + i);
		g_assert_true(virtio_driver_wait_interrupt(driver, 2 * i + 1));
		frame = virtio_driver_alloc(driver, 80);
		virtio_ring_describe(&driver->rings[2 * i + 1], 0, frame, 80, 0, 0);
		virtio_driver_offer(driver, 2 * i + 1, 0);
		virtio_driver_wait(driver, 2 * i + 1, NULL);
		g_assert_cmpuint(n_sent(fixture), ==, i + 1);
		g_assert_cmpuint(fixture->netdev->sent_by, ==, i);
	}
	/* After a pause as many are used as before, after a reset one. */
	fixture->device->type->pause(fixture->device);
	fixture->netdev->n_used = 0;
	fixture->device->type->resume(fixture->device);
	g_assert_cmpuint(fixture->netdev->n_used, ==, QUEUES);
	virtio_driver_start(driver, F_ALL);
	g_assert_cmpuint(fixture->netdev->n_used, ==, 1);
}

/* A driver that does not know of several has its control queue right after the first pair. */
static void test_multiqueue_unused(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL & ~F_MQ);
	offer_buffers(fixture, 0, 4, 2000);
	g_assert_cmpuint(control(fixture, 0, 0, "\0", 1), ==, 0);
	g_assert_cmpuint(control(fixture, 4, 0, "\2\0", 2), ==, 1);
	g_assert_true(receives(fixture, MAC, 0x800, 0));
	/* What it puts into queues that it does not have stays there. */
	offer_buffers_to(fixture, 4, 0, 4, 2000);
	virtio_driver_kick(&fixture->driver, 2 * QUEUES);
	arrive_at(fixture, 2, MAC, 0x800, 0, 100);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(virtio_ring_used_index(&fixture->driver.rings[4]), ==, 0);
}

static void add(const char *path, void (*func)(Fixture *, gconstpointer), const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-net/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("receive", test_receive, NULL);
	add("merged", test_merged, NULL);
	add("spilled", test_spilled, NULL);
	add("larger-than-queue", test_larger_than_queue, "rx_queue_size=64");
	add("no-buffers", test_no_buffers, NULL);
	add("send", test_send, NULL);
	add("streams", test_streams, NULL);
	add("spared-interrupts", test_spared_interrupts, NULL);
	add("filter", test_filter, NULL);
	add("bad-commands", test_bad_commands, NULL);
	add("offloads", test_offloads, NULL);
	add("config", test_config, "host_mtu=9000");
	add("multiqueue", test_multiqueue, "mq=on");
	add("multiqueue-unused", test_multiqueue_unused, "mq=on");
	add("pause", test_pause, NULL);
	add("unplug-while-busy", test_unplug_while_busy, NULL);
	add("host-side-gone", test_host_side_gone, NULL);
	add("kick-before-driver-ok", test_kick_before_driver_ok, NULL);
	add("small-buffer", test_small_buffer, NULL);
	add("odd-frames", test_odd_frames, NULL);
	add("state", test_state, NULL);
	add("in-order/receive", test_receive, "in_order=on,notification_data=on");
	add("in-order/filter", test_filter, "in_order=on");
	add("packed/in-order/receive", test_receive, "packed=on,in_order=on");
	add("packed/receive", test_receive, "packed=on");
	add("packed/merged", test_merged, "packed=on");
	add("packed/spilled", test_spilled, "packed=on");
	add("packed/larger-than-queue", test_larger_than_queue, "packed=on,rx_queue_size=64");
	add("packed/no-buffers", test_no_buffers, "packed=on");
	add("packed/send", test_send, "packed=on");
	add("packed/spared-interrupts", test_spared_interrupts, "packed=on");
	add("packed/filter", test_filter, "packed=on");
	add("packed/multiqueue", test_multiqueue, "packed=on,mq=on");
	add("packed/pause", test_pause, "packed=on");
	add("packed/unplug-while-busy", test_unplug_while_busy, "packed=on");
	add("packed/host-side-gone", test_host_side_gone, "packed=on");
	add("packed/kick-before-driver-ok", test_kick_before_driver_ok, "packed=on");
	add("packed/small-buffer", test_small_buffer, "packed=on");
	add("packed/state", test_state, "packed=on");
	return g_test_run();
}
