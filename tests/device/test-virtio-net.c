/*
 * test-virtio-net.c: frames through the network card
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_net_fixture.h"

#include <sched.h>
#include <string.h>

static uint16_t n_buffers(Fixture *fixture, uint64_t gpa)
{
	uint16_t n;

	memcpy(&n, virtio_driver_ram(&fixture->driver, gpa + 10), sizeof(n));
	return n;
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

static void become_writable(gpointer data)
{
	Netdev *netdev = data;

	netdev->busy = false;
	netdev->listener->writable(netdev->opaque, 0);
}

static void test_send(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const uint8_t *bytes;
	gsize size;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	send_frame(fixture, 0, 1514 + 12);
	virtio_driver_wait(driver, TX, NULL);
	g_assert_cmpuint(n_sent(fixture), ==, 1);
	bytes = g_bytes_get_data(fixture->netdev->sent->pdata[0], &size);
	g_assert_cmpuint(size, ==, 1526);
	g_assert_cmpuint(bytes[1525], ==, (uint8_t)1525);
	/* The host has no room: the rest waits in the ring, in order. */
	io_loop_run_sync(fixture->loop, become_busy, fixture->netdev);
	for (unsigned i = 0; i < 10; i++)
		send_frame(fixture, i * 2, 100);
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
		send_frame(fixture, 0, size);
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
	send_frame(fixture, 0, 100);
	virtio_driver_wait(driver, TX, NULL);
	g_assert_cmpuint(
		g_bytes_get_size(fixture->netdev->sent->pdata[fixture->netdev->sent->len - 1]), ==,
		100);
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	net_fixture_add("receive", test_receive, NULL);
	net_fixture_add("merged", test_merged, NULL);
	net_fixture_add("spilled", test_spilled, NULL);
	net_fixture_add("larger-than-queue", test_larger_than_queue, "rx_queue_size=64");
	net_fixture_add("no-buffers", test_no_buffers, NULL);
	net_fixture_add("send", test_send, NULL);
	net_fixture_add("streams", test_streams, NULL);
	net_fixture_add("spared-interrupts", test_spared_interrupts, NULL);
	net_fixture_add("multiqueue", test_multiqueue, "mq=on");
	net_fixture_add("multiqueue-unused", test_multiqueue_unused, "mq=on");
	net_fixture_add("small-buffer", test_small_buffer, NULL);
	net_fixture_add("odd-frames", test_odd_frames, NULL);
	net_fixture_add("in-order/receive", test_receive, "in_order=on,notification_data=on");
	net_fixture_add("packed/in-order/receive", test_receive, "packed=on,in_order=on");
	net_fixture_add("packed/receive", test_receive, "packed=on");
	net_fixture_add("packed/merged", test_merged, "packed=on");
	net_fixture_add("packed/spilled", test_spilled, "packed=on");
	net_fixture_add("packed/larger-than-queue", test_larger_than_queue,
			"packed=on,rx_queue_size=64");
	net_fixture_add("packed/no-buffers", test_no_buffers, "packed=on");
	net_fixture_add("packed/send", test_send, "packed=on");
	net_fixture_add("packed/spared-interrupts", test_spared_interrupts, "packed=on");
	net_fixture_add("packed/multiqueue", test_multiqueue, "packed=on,mq=on");
	net_fixture_add("packed/small-buffer", test_small_buffer, "packed=on");
	return g_test_run();
}
