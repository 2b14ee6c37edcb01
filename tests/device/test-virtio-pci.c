/*
 * test-virtio-pci.c: the transport, by way of the block device
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_blk_fixture.h"

static void test_no_driver_ok_without_features(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	/* Not VERSION_1. */
	virtio_driver_set_status(driver, 0xb);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0x3);
	virtio_driver_set_status(driver, 0x7);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0x3);
	/* Something that is not offered. */
	fake_write(fixture->fake, driver->common + COMMON_DRIVER_FEATURE_SELECT, 1, 4);
	fake_write(fixture->fake, driver->common + COMMON_DRIVER_FEATURE, 0x80000001, 4);
	virtio_driver_set_status(driver, 0xb);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0x3);
	fake_write(fixture->fake, driver->common + COMMON_DRIVER_FEATURE, 1, 4);
	virtio_driver_set_status(driver, 0xb);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0xb);
	/* Settled. */
	fake_write(fixture->fake, driver->common + COMMON_DRIVER_FEATURE, 3, 4);
	g_assert_cmpuint(fake_read(fixture->fake, driver->common + COMMON_DRIVER_FEATURE, 4), ==,
			 1);
}

static void test_bus_master(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t id, length;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	pci_device_config_write(driver->pci, 4, 0x2, 2);
	build(fixture, 0, TYPE_IN, 0, 512);
	virtio_driver_offer(driver, 0, 0);
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_ring_take_used(&driver->rings[0], &id, &length));
	pci_device_config_write(driver->pci, 4, 0x6, 2);
	g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 0);
}

/* The notification address follows the BAR. */
static void test_moved_bar(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	g_assert_cmpuint(run(fixture, TYPE_IN, 0, 512), ==, 0);
	pci_device_config_write(driver->pci, 0x24, 0x50, 4);
	driver->common += 0x1000000000ULL;
	driver->notify += 0x1000000000ULL;
	g_assert_cmpuint(run(fixture, TYPE_IN, 0, 512), ==, 0);
}

static void test_queue_reset(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	GThread *thread;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	node_set(fixture->node, true, 0);
	fill_with_reads(fixture, 4);
	thread = g_thread_new("release", release_soon, fixture->node);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_SELECT, 0, 2);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_RESET, 1, 2);
	g_assert_cmpuint(node_n_held(fixture->node), ==, 0);
	g_assert_cmpuint(fake_read(fixture->fake, driver->common + COMMON_QUEUE_RESET, 2), ==, 0);
	g_assert_cmpuint(fake_read(fixture->fake, driver->common + COMMON_QUEUE_ENABLE, 2), ==, 0);
	g_thread_join(thread);
	/* Enabled again, smaller, while the rest of the device runs on. */
	virtio_driver_enable_queue(driver, 0, 8);
	g_assert_cmpuint(run(fixture, TYPE_IN, 2, 512), ==, 0);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0xf);
}

/* Enabled when it is already, with a request in flight: it is the same queue, where it was. */
static void test_enabled_twice(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t id, length;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	node_set(fixture->node, true, 0);
	fill_with_reads(fixture, 1);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_SELECT, 0, 2);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_SIZE, 8, 2);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_DEVICE, 0x4000, 4);
	for (unsigned i = 0; i < 3; i++)
		fake_write(fixture->fake, driver->common + COMMON_QUEUE_ENABLE, i != 1, 2);
	g_assert_cmpuint(fake_read(fixture->fake, driver->common + COMMON_QUEUE_ENABLE, 2), ==, 1);
	g_assert_cmpuint(fake_read(fixture->fake, driver->common + COMMON_QUEUE_SIZE, 2), ==, 256);
	g_assert_cmpuint(node_n_held(fixture->node), ==, 1);
	node_release(fixture->node);
	virtio_driver_wait(driver, 0, NULL);
	g_assert_false(virtio_ring_take_used(&driver->rings[0], &id, &length));
	g_assert_cmpuint(run(fixture, TYPE_IN, 2, 512), ==, 0);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_READ], ==, 2);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0xf);
}

/* Registers: odd widths and offsets, selectors out of range, and what must not change. */
static void test_registers(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	FakeMachine *fake = fixture->fake;

	(void)data;
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_NUM_QUEUES, 2), ==, 1);
	fake_write(fake, driver->common + COMMON_QUEUE_SELECT, 1, 2);
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_QUEUE_SIZE, 2), ==, 0);
	fake_write(fake, driver->common + COMMON_QUEUE_SELECT, 0xffff, 2);
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_QUEUE_SIZE, 2), ==, 0);
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_QUEUE_VECTOR, 2), ==, 0xffff);
	for (unsigned offset = 0x17; offset < 0x40; offset++) {
		if (offset != COMMON_QUEUE_SELECT)
			fake_write(fake, driver->common + offset, 1, 1);
		fake_write(fake, driver->common + offset, 0xffffffff, 4);
	}
	fake_write(fake, driver->common + COMMON_DEVICE_FEATURE_SELECT, 2, 4);
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_DEVICE_FEATURE, 4), ==, 0);
	fake_write(fake, driver->common + COMMON_DRIVER_FEATURE_SELECT, 7, 4);
	fake_write(fake, driver->common + COMMON_DRIVER_FEATURE, UINT32_MAX, 4);
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_DRIVER_FEATURE, 4), ==, 0);
	fake_write(fake, driver->common + COMMON_QUEUE_SELECT, 0, 2);
	fake_write(fake, driver->common + COMMON_QUEUE_SIZE, 100, 2);
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_QUEUE_SIZE, 2), ==, 256);
	fake_write(fake, driver->common + COMMON_QUEUE_SIZE, 512, 2);
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_QUEUE_SIZE, 2), ==, 256);
	fake_write(fake, driver->common + COMMON_CONFIG_VECTOR, 2, 2); /* there are 0 and 1 */
	g_assert_cmpuint(fake_read(fake, driver->common + COMMON_CONFIG_VECTOR, 2), ==, 0xffff);
	/* Every address of the BAR, in every width. */
	for (unsigned width = 1; width <= 8; width *= 2) {
		for (unsigned offset = 0; offset < 0x4000; offset++) {
			fake_read(fake, driver->common + offset, width);
			if (offset >= 0x40)
				fake_write(fake, driver->common + offset, UINT64_MAX, width);
		}
	}
	assert_alive(fixture);
	/* 64-bit fields in one access. */
	g_assert_cmphex(fake_read(fake, driver->common + COMMON_QUEUE_DESC, 8), ==,
			driver->rings[0].descriptors);
	/* What is enabled does not move. */
	fake_write(fake, driver->common + COMMON_QUEUE_DESC, 0x12340, 4);
	g_assert_cmphex(fake_read(fake, driver->common + COMMON_QUEUE_DESC, 8), ==,
			driver->rings[0].descriptors);
}

static void test_isr(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_SELECT, 0, 2);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_VECTOR, 0xffff, 2);
	g_assert_cmpuint(run(fixture, TYPE_IN, 0, 512), ==, 0);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(fake_read(fixture->fake, driver->isr, 1), ==, 1);
	g_assert_cmpuint(fake_read(fixture->fake, driver->isr, 1), ==, 0);
}

/* VIRTIO_PCI_CAP_PCI_CFG (§4.1.4.9): registers by way of configuration space. */
static void test_window(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	PciDevice *pci = driver->pci;
	unsigned window = driver->window;

	(void)data;
	/* Pointing nowhere. */
	pci_device_config_write(pci, window + 16, 0x55, 4);
	g_assert_cmpuint(pci_device_config_read(pci, window + 16, 4), ==, 0x55);
	pci_device_config_write(pci, window + 4, 4, 1);
	pci_device_config_write(pci, window + 8, 0x1000000, 4);
	pci_device_config_write(pci, window + 12, 4, 4);
	pci_device_config_read(pci, window + 16, 4);
	pci_device_config_write(pci, window + 8, 3, 4); /* misaligned */
	pci_device_config_write(pci, window + 16, 1, 4);
	/* The status register. */
	pci_device_config_write(pci, window + 8, COMMON_STATUS, 4);
	pci_device_config_write(pci, window + 12, 1, 4);
	pci_device_config_write(pci, window + 16, 3, 4);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 3);
	g_assert_cmpuint(pci_device_config_read(pci, window + 16, 1), ==, 3);
	/* Capacity, from the device configuration. */
	pci_device_config_write(pci, window + 8, 0x2000, 4);
	pci_device_config_write(pci, window + 12, 4, 4);
	g_assert_cmpuint(pci_device_config_read(pci, window + 16, 4), ==, DISK_SIZE / 512);
	/* A notification. */
	virtio_driver_start(driver, F_ALL);
	build(fixture, 0, TYPE_IN, 0, 512);
	virtio_ring_offer(&driver->rings[0], 0);
	pci_device_config_write(pci, window + 8, 0x3000, 4);
	pci_device_config_write(pci, window + 12, 2, 4);
	pci_device_config_write(pci, window + 16, 0, 2);
	g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 0);
}

/* Offered only when asked for, as existing guests must not see another device. */
static void test_packed_is_offered(Fixture *fixture, gconstpointer options)
{
	bool offered =
		virtio_driver_offered(&fixture->driver) & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);

	g_assert_true(offered == (options != NULL));
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_true(fixture->driver.rings[0].packed == offered);
}

/* A packed ring may have any size; a split one not. */
static void test_odd_size(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_negotiate(driver, F_ALL);
	virtio_driver_enable_queue(driver, 0, 100);
	g_assert_cmpuint(driver->rings[0].size, ==, 100);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_DRIVER_OK);
	for (unsigned i = 0; i < 100; i++)
		g_assert_cmpuint(run(fixture, TYPE_IN, i, 512), ==, 0);
}

/* A driver that makes a mess of a queue still has a machine that can be moved. */
static void test_odd_state(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t common = driver->common;
	g_autofree BlockNode *node = g_new0(BlockNode, 1);
	Device *other;

	(void)data;
	node->limits = fixture->node->limits;
	fake_machine_set_block_node(fixture->fake, "other", node);
	other = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device,
				 "drive=other,packed=on");
	other->type->pause(other);
	virtio_driver_set_status(driver, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	fake_write(fixture->fake, common + COMMON_DRIVER_FEATURE_SELECT, 1, 4);
	fake_write(fixture->fake, common + COMMON_DRIVER_FEATURE, 5, 4);
	fake_write(fixture->fake, common + COMMON_QUEUE_SIZE, 3, 2);
	fake_write(fixture->fake, common + COMMON_DRIVER_FEATURE, 1, 4);
	fake_machine_check_state(fixture->device, other);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_FEATURES_OK);
	virtio_driver_enable_queue(driver, 0, 0);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_DRIVER_OK);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	fake_machine_check_state(fixture->device, other);
	fake_machine_remove(fixture->fake, other);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	blk_fixture_add("packed/offered", test_packed_is_offered, "packed=on");
	blk_fixture_add("packed/not-offered", test_packed_is_offered, NULL);
	blk_fixture_add("packed/odd-size", test_odd_size, "packed=on");
	blk_fixture_add("packed/odd-state", test_odd_state, "packed=on");
	blk_fixture_add("packed/queue-reset", test_queue_reset, "packed=on");
	blk_fixture_add("features", test_no_driver_ok_without_features, NULL);
	blk_fixture_add("bus-master", test_bus_master, NULL);
	blk_fixture_add("moved-bar", test_moved_bar, NULL);
	blk_fixture_add("queue-reset", test_queue_reset, NULL);
	blk_fixture_add("enabled-twice", test_enabled_twice, NULL);
	blk_fixture_add("packed/enabled-twice", test_enabled_twice, "packed=on");
	blk_fixture_add("registers", test_registers, NULL);
	blk_fixture_add("isr", test_isr, NULL);
	blk_fixture_add("window", test_window, NULL);
	return g_test_run();
}
