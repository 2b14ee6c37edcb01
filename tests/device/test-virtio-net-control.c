/*
 * test-virtio-net-control.c: the network card's commands, its configuration, its coming and going
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_net_fixture.h"

#include <string.h>

static unsigned offloads_now(Netdev *netdev)
{
	unsigned offloads;

	g_mutex_lock(&netdev->lock);
	offloads = netdev->offloads;
	g_mutex_unlock(&netdev->lock);
	return offloads;
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

/* What of offloads a card with @options offers over a netdev that has @offloads. */
static uint64_t offered_offloads(Fixture *fixture, unsigned offloads, const char *options)
{
	/* §5.1.3: both sides' of TCP and UDP, and GSO. */
	const uint64_t mask = 0x7fc3 | VIRTIO_FEATURE(54) | VIRTIO_FEATURE(55) | VIRTIO_FEATURE(56);
	g_autofree Netdev *netdev = g_new0(Netdev, 1);
	g_autofree char *all = g_strconcat("netdev=other,", options, NULL);
	VirtioDriver driver = {};
	uint64_t offered;
	Device *device;

	netdev->supported = offloads;
	netdev->n_queues = 1;
	fake_machine_set_netdev(fixture->fake, "other", netdev);
	device = fake_machine_add(fixture->fake, &virtio_net_type.pci.device, all);
	virtio_driver_probe(&driver, fixture->fake, device);
	offered = virtio_driver_offered(&driver) & mask;
	fake_machine_remove(fixture->fake, device);
	return offered;
}

static void test_offered(Fixture *fixture, gconstpointer data)
{
	const uint64_t uso = VIRTIO_FEATURE(54) | VIRTIO_FEATURE(55) | VIRTIO_FEATURE(56);
	const unsigned tso = NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6;
	const unsigned no_uso = NET_OFFLOADS_ALL & ~(NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6);

	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
	g_assert_cmphex(offered_offloads(fixture, 0, "gso=on"), ==, 0);
	g_assert_cmphex(offered_offloads(fixture, tso, "gso=on"), ==, 0x1983);
	g_assert_cmphex(offered_offloads(fixture, no_uso, "mrg_rxbuf=off"), ==, 0x7f83);
	g_assert_cmphex(offered_offloads(fixture, NET_OFFLOADS_ALL, "mq=off"), ==, 0x7f83 | uso);
	g_assert_cmphex(offered_offloads(fixture, NET_OFFLOADS_ALL, "gso=on"), ==, 0x7fc3 | uso);
	/* Each by itself, and with what it is needed for. */
	g_assert_cmphex(offered_offloads(fixture, no_uso, "csum=off,gso=on"), ==, 0x0782);
	g_assert_cmphex(offered_offloads(fixture, no_uso, "guest_csum=off"), ==, 0x7801);
	g_assert_cmphex(offered_offloads(fixture, no_uso, "host_tso4=off,gso=on"), ==, 0x7783);
	g_assert_cmphex(offered_offloads(fixture, no_uso, "host_tso4=off,host_tso6=off"), ==,
			0x4783);
	g_assert_cmphex(offered_offloads(fixture, no_uso, "host_ecn=off,host_ufo=off"), ==, 0x1f83);
	g_assert_cmphex(offered_offloads(fixture, no_uso, "guest_tso4=off,guest_tso6=off"), ==,
			0x7c03);
	g_assert_cmphex(offered_offloads(fixture, no_uso, "guest_ecn=off,guest_ufo=off"), ==,
			0x7983);
	g_assert_cmphex(offered_offloads(fixture, NET_OFFLOADS_ALL,
					 "guest_uso4=off,guest_uso6=off,host_uso=off"),
			==, 0x7f83);
	g_assert_cmphex(offered_offloads(fixture, NET_OFFLOADS_ALL, "csum=off,guest_csum=off"), ==,
			0);
}

/* Segments of UDP: both sides', down to the netdev, and taken back by command. */
static void test_udp_segments(Fixture *fixture, gconstpointer data)
{
	const uint64_t features = VIRTIO_FEATURE(1) | VIRTIO_FEATURE(54) | VIRTIO_FEATURE(55);
	const unsigned uso = NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6;
	uint64_t wanted = VIRTIO_FEATURE(1) | VIRTIO_FEATURE(54);

	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->netdev->supported = NET_OFFLOADS_ALL;
	fixture->device = fake_machine_add(fixture->fake, &virtio_net_type.pci.device,
					   "netdev=net0,mac=52:54:00:01:02:03");
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver,
			    features | VIRTIO_FEATURE(2) | VIRTIO_FEATURE(17) | VIRTIO_FEATURE(56));
	g_assert_cmpuint(offloads_now(fixture->netdev), ==, uso);
	g_assert_cmpuint(control(fixture, 5, 0, &wanted, 8), ==, 0);
	g_assert_cmpuint(offloads_now(fixture->netdev), ==, uso & ~NET_OFFLOAD_USO6);
	wanted = VIRTIO_FEATURE(56); /* of sending: that is not asked for so */
	g_assert_cmpuint(control(fixture, 5, 0, &wanted, 8), ==, 1);
	virtio_driver_start(&fixture->driver, features & ~VIRTIO_FEATURE(55));
	g_assert_cmpuint(offloads_now(fixture->netdev), ==, uso & ~NET_OFFLOAD_USO6);
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
		send_frame(fixture, i * 2, 100);
	}
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
}

/*
 * Buffers, tables and rings in the card's own registers, where there is memory of nobody: each ends
 * what the card does, and nothing is read or written there.
 */
static void test_in_registers(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const struct {
		unsigned queue;
		uint16_t flags;
	} chains[] = { { TX, 0 },
		       { RX, RING_WRITE },
		       { CTRL, RING_NEXT },
		       { TX, RING_INDIRECT },
		       { RX, RING_INDIRECT } };

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(chains); i++) {
		VirtioRing *ring = &driver->rings[chains[i].queue];

		virtio_driver_start(driver, F_ALL);
		virtio_ring_describe(ring, 0, driver->common, 64, chains[i].flags, 1);
		virtio_ring_describe(ring, 1, driver->common, 1, RING_WRITE, 0);
		virtio_driver_offer(driver, chains[i].queue, 0);
		g_assert_true(virtio_driver_wait_needs_reset(driver));
		g_assert_cmpuint(n_sent(fixture), ==, 0);
		g_assert_false(virtio_ring_has_used(ring));
	}
	/* The areas of a ring, one after the other. */
	for (unsigned area = COMMON_QUEUE_DESC; area <= COMMON_QUEUE_DEVICE; area += 8) {
		virtio_driver_negotiate(driver, F_ALL);
		virtio_driver_enable_queue(driver, RX, 0);
		fake_write(driver->fake, driver->common + COMMON_QUEUE_SELECT, TX, 2);
		for (unsigned i = COMMON_QUEUE_DESC; i <= COMMON_QUEUE_DEVICE; i += 8) {
			uint64_t gpa =
				i == area ? driver->common : virtio_driver_alloc(driver, 8192);

			fake_write(driver->fake, driver->common + i, (uint32_t)gpa, 4);
			fake_write(driver->fake, driver->common + i + 4, gpa >> 32, 4);
		}
		fake_write(driver->fake, driver->common + COMMON_QUEUE_ENABLE, 1, 2);
		virtio_driver_set_status(driver, 0xf);
		g_assert_true(virtio_driver_wait_needs_reset(driver));
	}
	virtio_driver_start(driver, F_ALL);
	offer_buffers(fixture, 0, 1, 1000);
	g_assert_true(receives(fixture, MAC, 0x800, 0));
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
		send_frame(fixture, i * 2, 100);
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
	send_frame(fixture, 0, 100);
	assert_nothing_received(fixture);
	g_assert_cmpuint(n_sent(fixture), ==, 0);
	virtio_driver_set_status(driver, 0xf);
	g_assert_cmpuint(virtio_driver_wait(driver, RX, NULL), ==, 0);
	g_assert_cmpuint(virtio_driver_wait(driver, TX, NULL), ==, 0);
	g_assert_cmpuint(n_sent(fixture), ==, 1);
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	net_fixture_add("filter", test_filter, NULL);
	net_fixture_add("bad-commands", test_bad_commands, NULL);
	net_fixture_add("offloads", test_offloads, NULL);
	net_fixture_add("offered", test_offered, NULL);
	net_fixture_add("udp-segments", test_udp_segments, NULL);
	net_fixture_add("config", test_config, "host_mtu=9000");
	net_fixture_add("pause", test_pause, NULL);
	net_fixture_add("in-registers", test_in_registers, NULL);
	net_fixture_add("unplug-while-busy", test_unplug_while_busy, NULL);
	net_fixture_add("host-side-gone", test_host_side_gone, NULL);
	net_fixture_add("kick-before-driver-ok", test_kick_before_driver_ok, NULL);
	net_fixture_add("state", test_state, NULL);
	net_fixture_add("in-order/filter", test_filter, "in_order=on");
	net_fixture_add("packed/filter", test_filter, "packed=on");
	net_fixture_add("packed/pause", test_pause, "packed=on");
	net_fixture_add("packed/unplug-while-busy", test_unplug_while_busy, "packed=on");
	net_fixture_add("packed/host-side-gone", test_host_side_gone, "packed=on");
	net_fixture_add("packed/kick-before-driver-ok", test_kick_before_driver_ok, "packed=on");
	net_fixture_add("packed/state", test_state, "packed=on");
	return g_test_run();
}
