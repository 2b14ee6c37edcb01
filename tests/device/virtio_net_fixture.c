/*
 * virtio_net_fixture.c: a network card driven as a guest would, or would not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_net_fixture.h"

#include <errno.h>
#include <string.h>

#include "vmm/virtio/virtio_net_filter.h"

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
	return netdev->has_vhost;
}

NetdevVhost netdev_get_vhost(const Netdev *netdev, unsigned queue)
{
	g_assert_true(netdev->has_vhost);
	return (NetdevVhost){ .vhost_fd = 1000 + (int)queue, .tap_fd = 2000 + (int)queue };
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

static void count_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	if (strcmp(name, "NIC_RX_FILTER_CHANGED") == 0)
		__atomic_add_fetch(&fixture->n_filter_events, 1, __ATOMIC_SEQ_CST);
	json_object_put(data);
}

void set_up(Fixture *fixture, gconstpointer options)
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

void tear_down(Fixture *fixture, gconstpointer data)
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

void arrive_bytes(Fixture *fixture, unsigned queue, uint8_t *bytes, size_t size)
{
	g_mutex_lock(&fixture->netdev->lock);
	g_queue_push_tail(&fixture->netdev->to_receive[queue], g_bytes_new_take(bytes, size));
	g_mutex_unlock(&fixture->netdev->lock);
	io_loop_post(fixture->loop, arrived, fixture->netdev);
}

void arrive_at(Fixture *fixture, unsigned queue, const char *mac, uint16_t type, uint16_t tag,
	       size_t size)
{
	uint8_t *bytes = g_malloc0(MAX(size, NET_HEADER_SIZE + NET_FILTER_BYTES));

	for (size_t i = NET_HEADER_SIZE; i < size; i++)
		bytes[i] = i * 11 + i / 256;
	memcpy(bytes + NET_HEADER_SIZE, mac, 6);
	bytes[NET_HEADER_SIZE + 12] = type >> 8;
	bytes[NET_HEADER_SIZE + 13] = (uint8_t)type;
	bytes[NET_HEADER_SIZE + 14] = tag >> 8;
	bytes[NET_HEADER_SIZE + 15] = (uint8_t)tag;
	arrive_bytes(fixture, queue, bytes, size);
}

void arrive(Fixture *fixture, const char *mac, uint16_t type, uint16_t tag, size_t size)
{
	arrive_at(fixture, 0, mac, type, tag, size);
}

uint64_t offer_buffers_to(Fixture *fixture, unsigned queue, unsigned first, unsigned n,
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

uint64_t offer_buffers(Fixture *fixture, unsigned first, unsigned n, uint32_t size)
{
	return offer_buffers_to(fixture, RX, first, n, size);
}

void assert_pattern(Fixture *fixture, uint64_t gpa, size_t size)
{
	const uint8_t *bytes = virtio_driver_ram(&fixture->driver, gpa);

	for (size_t i = NET_HEADER_SIZE + 16; i < size; i++)
		g_assert_cmpuint(bytes[i], ==, (uint8_t)(i * 11 + i / 256));
}

void assert_nothing_received(Fixture *fixture)
{
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(virtio_ring_used_index(&fixture->driver.rings[RX]), ==,
			 fixture->driver.rings[RX].next_used);
}

bool receives(Fixture *fixture, const char *mac, uint16_t type, uint16_t tag)
{
	uint32_t id, length;

	arrive(fixture, mac, type, tag, 64);
	virtio_driver_settle(fixture->loop);
	return virtio_ring_take_used(&fixture->driver.rings[RX], &id, &length);
}

unsigned n_sent(Fixture *fixture)
{
	unsigned n;

	g_mutex_lock(&fixture->netdev->lock);
	n = fixture->netdev->sent->len;
	g_mutex_unlock(&fixture->netdev->lock);
	return n;
}

void send_frame(Fixture *fixture, unsigned head, uint32_t size)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, MAX(size, 16));

	for (uint32_t i = NET_HEADER_SIZE; i < size; i++)
		virtio_driver_ram(driver, gpa)[i] = (uint8_t)(i + head);
	virtio_ring_describe(&driver->rings[TX], head, gpa, 12, RING_NEXT, head + 1);
	virtio_ring_describe(&driver->rings[TX], head + 1, gpa + 12, size - 12, 0, 0);
	virtio_driver_offer(driver, TX, head);
}

void become_busy(gpointer data)
{
	((Netdev *)data)->busy = true;
}

uint8_t control(Fixture *fixture, uint8_t class, uint8_t code, gconstpointer data, uint32_t size)
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
