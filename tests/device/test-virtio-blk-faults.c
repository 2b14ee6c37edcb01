/*
 * test-virtio-blk-faults.c: the block device, its driver and its host misbehaving
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_blk_fixture.h"

#include <sys/mman.h>

/* Chains that are no request: without a header, or a status to write. */
static void test_no_request(Fixture *fixture, gconstpointer data)
{
	static const struct {
		uint32_t size;
		uint16_t flags;
	} chains[] = { { 64, 0 }, { 15, 0 }, { 64, RING_WRITE }, { 0, 0 } };
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(chains); i++) {
		virtio_driver_start(driver, F_ALL);
		virtio_ring_describe(&driver->rings[0], 0, virtio_driver_alloc(driver, 64),
				     chains[i].size, chains[i].flags, 0);
		virtio_driver_offer(driver, 0, 0);
		g_assert_true(virtio_driver_wait_needs_reset(driver));
		g_assert_true(virtio_driver_wait_interrupt(driver, 0));
		assert_alive(fixture);
		g_assert_false(virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
	}
}

static void test_broken_ring(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	virtio_ring_describe(&driver->rings[0], 0, 0x1000, 16, RING_NEXT, 0);
	virtio_driver_offer(driver, 0, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	assert_alive(fixture);
	virtio_ring_describe(&driver->rings[0], 0, 1ULL << 60, 16, 0, 0);
	virtio_driver_offer(driver, 0, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	assert_alive(fixture);
	/* In the device's own registers, which a read would be written to. */
	build(fixture, 0, TYPE_IN, 0, 512);
	virtio_ring_describe(&driver->rings[0], 1, driver->common, 512, RING_NEXT | RING_WRITE, 2);
	virtio_driver_offer(driver, 0, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_READ], ==, 2);
	assert_alive(fixture);
	virtio_ring_set_available(&driver->rings[0], 0x8000);
	virtio_driver_kick(driver, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	assert_alive(fixture);
	/* A ring outside RAM is found when it is started. */
	virtio_driver_negotiate(driver, F_ALL);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_SELECT, 0, 2);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_DESC + 4, 0x7fffffff, 4);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_ENABLE, 1, 2);
	virtio_driver_set_status(driver, 0xf);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	assert_alive(fixture);
}

static void test_kick_before_driver_ok(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t id, length;

	(void)data;
	virtio_driver_kick(driver, 0);
	virtio_driver_negotiate(driver, F_ALL);
	virtio_driver_enable_queue(driver, 0, 0);
	build(fixture, 0, TYPE_IN, 0, 512);
	virtio_driver_offer(driver, 0, 0);
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_ring_take_used(&driver->rings[0], &id, &length));
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_READ], ==, 0);
	/* What was offered is found at DRIVER_OK, without another notification. */
	virtio_driver_set_status(driver, 0xf);
	g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 0);
	g_assert_cmpuint(request_status(fixture), ==, 0);
}

/* The bug that everybody had: a reset returns only when nobody writes to guest memory any more. */
static void test_reset_in_flight(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	GThread *thread;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	node_set(fixture->node, true, 0);
	fill_with_reads(fixture, 20);
	thread = g_thread_new("release", release_soon, fixture->node);
	virtio_driver_set_status(driver, 0);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0);
	g_assert_cmpuint(node_n_held(fixture->node), ==, 0);
	memset(fixture->fake->ram, 0x5a, 1 << 20);
	virtio_driver_settle(fixture->loop);
	for (unsigned i = 0; i < 1 << 20; i++)
		g_assert_cmpuint(fixture->fake->ram[i], ==, 0x5a);
	g_thread_join(thread);
	assert_alive(fixture);
}

static void test_machine_reset_in_flight(Fixture *fixture, gconstpointer data)
{
	GThread *thread;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	node_set(fixture->node, true, 0);
	fill_with_reads(fixture, 5);
	thread = g_thread_new("release", release_soon, fixture->node);
	fixture->device->type->reset(fixture->device);
	g_thread_join(thread);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	g_assert_cmpuint(virtio_driver_status(&fixture->driver), ==, 0);
	assert_alive(fixture);
}

static void test_unplug_in_flight(Fixture *fixture, gconstpointer data)
{
	GThread *thread;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	node_set(fixture->node, true, 0);
	fill_with_reads(fixture, 5);
	thread = g_thread_new("release", release_soon, fixture->node);
	remove_device(fixture);
	g_assert_cmpuint(node_n_held(fixture->node), ==, 0);
	/* Where it was, nothing answers. */
	g_assert_cmpuint(fake_read(fixture->fake, fixture->driver.common, 4), ==, UINT32_MAX);
	virtio_driver_kick(&fixture->driver, 0);
	g_thread_join(thread);
}

static void test_pause_resume(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	GThread *thread;
	uint32_t id, length;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	node_set(fixture->node, true, 0);
	fill_with_reads(fixture, 3);
	thread = g_thread_new("release", release_soon, fixture->node);
	fixture->device->type->pause(fixture->device);
	g_thread_join(thread);
	for (unsigned i = 0; i < 3; i++)
		g_assert_true(virtio_ring_take_used(&driver->rings[0], &id, &length));
	build(fixture, 0, TYPE_IN, 0, 512);
	virtio_driver_offer(driver, 0, 0);
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_ring_take_used(&driver->rings[0], &id, &length));
	fixture->device->type->resume(fixture->device);
	g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 0);
}

static void test_errors_reported(Fixture *fixture, gconstpointer data)
{
	FakeRequest request;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	node_set(fixture->node, false, -EIO);
	g_assert_cmpuint(run(fixture, TYPE_IN, 0, 512), ==, 1);
	assert_event(fixture, "\"report\"", "\"read\"");
	g_assert_cmpuint(run(fixture, TYPE_OUT, 0, 512), ==, 1);
	assert_event(fixture, "\"report\"", "\"write\"");
	g_assert_false(fake_machine_take_request(fixture->fake, &request));
}

static void test_errors_ignored(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	node_set(fixture->node, false, -EIO);
	g_assert_cmpuint(run(fixture, TYPE_OUT, 0, 512), ==, 0);
	assert_event(fixture, "\"ignore\"", "\"write\"");
}

static void test_error_stops(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fail_with_stop(fixture);
	fixture->device->type->resume(fixture->device);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 0);
	g_assert_cmpuint(request_status(fixture), ==, 0);
	g_assert_cmpuint(fixture->node->data[4 * 512], ==, 0x77);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_WRITE], ==, 2);
}

static void test_reset_while_held(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fail_with_stop(fixture);
	fixture->device->type->reset(fixture->device);
	fixture->device->type->resume(fixture->device);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	assert_alive(fixture);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_WRITE], ==, 1);
}

/* Saved with a request held, loaded into a fresh device, which makes the request again. */
static void test_state(Fixture *fixture, gconstpointer options)
{
	VirtioDriver *driver = &fixture->driver;
	g_autofree BlockNode *other_node = g_new0(BlockNode, 1);
	g_autofree char *all =
		g_strconcat("drive=other", options ? "," : "", (const char *)options, NULL);
	Device *other;

	other_node->limits = fixture->node->limits;
	fake_machine_set_block_node(fixture->fake, "other", other_node);
	other = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, all);
	fail_with_stop(fixture);
	virtio_driver_write_config(driver, 32, 0, 1);
	other->type->pause(other);
	fake_machine_check_state(fixture->device, other);
	remove_device(fixture);
	other->type->resume(other);
	g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 0);
	g_assert_cmpuint(request_status(fixture), ==, 0);
	g_assert_cmpuint(other_node->data[4 * 512], ==, 0x77);
	g_assert_cmpuint(virtio_driver_read_config(driver, 32, 1), ==, 0);
	g_assert_cmpuint(run(fixture, TYPE_IN, 4, 512), ==, 0);
	g_assert_cmpuint(request_data(fixture)[511], ==, 0x77);
	fake_machine_remove(fixture->fake, other);
}

/* The n-th request fails, alone; the disk holds what the guest was told. */
static void test_nth_fails(Fixture *fixture, gconstpointer data)
{
	const uint8_t *disk = fixture->node->data;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	node_fail_nth(fixture->node, 5, -EIO);
	for (unsigned i = 1; i <= 8; i++) {
		uint8_t before = disk[i * 512];

		build(fixture, 0, TYPE_OUT, i, 512);
		memset(request_data(fixture), 0xd0 + (int)i, 512);
		virtio_driver_offer(&fixture->driver, 0, 0);
		virtio_driver_wait(&fixture->driver, 0, NULL);
		g_assert_cmpuint(request_status(fixture), ==, i == 5);
		g_assert_cmpuint(disk[i * 512], ==, i == 5 ? before : 0xd0 + i);
	}
	assert_event(fixture, "\"report\"", "\"write\"");
}

/* Of many that are in flight, too, each gets its own answer. */
static void test_nth_in_flight_fails(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t statuses[10];

	(void)data;
	virtio_driver_start(driver, F_ALL);
	node_set(fixture->node, true, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(statuses); i++) {
		build(fixture, i * 3, TYPE_IN, i, 512);
		statuses[i] = fixture->status;
		virtio_driver_offer(driver, 0, i * 3);
	}
	while (node_n_held(fixture->node) < G_N_ELEMENTS(statuses))
		g_usleep(100);
	node_fail_nth(fixture->node, 7, -EIO);
	node_release(fixture->node);
	for (unsigned i = 0; i < G_N_ELEMENTS(statuses); i++)
		virtio_driver_wait(driver, 0, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(statuses); i++)
		g_assert_cmpuint(*virtio_driver_ram(driver, statuses[i]), ==, i == 6);
	assert_event(fixture, "\"report\"", "\"read\"");
}

/* What becomes of errors by each policy: the event's action, and the status; 0xee: none. */
static void test_error_policies(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *options;
		bool write;
		int error;
		const char *action;
		uint8_t status;
	} cases[] = {
		{ "werror=report", true, -ENOSPC, "\"report\"", 1 },
		{ "werror=enospc", true, -EIO, "\"report\"", 1 },
		{ "werror=enospc", true, -ENOSPC, "\"stop\"", 0xee },
		{ "werror=stop", true, -EIO, "\"stop\"", 0xee },
		{ "werror=ignore", true, -ENOSPC, "\"ignore\"", 0 },
		{ "werror=stop", false, -EIO, "\"report\"", 1 },
		{ "rerror=stop", false, -EIO, "\"stop\"", 0xee },
		{ "rerror=stop", true, -EIO, "\"report\"", 1 },
		{ "rerror=ignore", false, -EIO, "\"ignore\"", 0 },
		{ "rerror=enospc", false, -ENOSPC, "\"stop\"", 0xee },
		{ "rerror=enospc", false, -EIO, "\"report\"", 1 },
	};
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		bool stops = cases[i].status == 0xee;
		FakeRequest request;

		remove_device(fixture);
		add_device(fixture, cases[i].options);
		virtio_driver_start(driver, F_ALL);
		node_fail_nth(fixture->node, 1, cases[i].error);
		build(fixture, 0, cases[i].write ? TYPE_OUT : TYPE_IN, 4, 512);
		virtio_driver_offer(driver, 0, 0);
		if (!stops)
			virtio_driver_wait(driver, 0, NULL);
		while (stops && !fake_machine_take_request(fixture->fake, &request))
			g_usleep(100);
		g_assert_cmpuint(request_status(fixture), ==, cases[i].status);
		assert_event(fixture, cases[i].action, cases[i].write ? "\"write\"" : "\"read\"");
		if (!stops)
			continue;
		g_assert_cmpint(request.request, ==, RUN_REQUEST_IO_ERROR);
		fixture->device->type->pause(fixture->device);
		fixture->device->type->resume(fixture->device);
		virtio_driver_wait(driver, 0, NULL);
		g_assert_cmpuint(request_status(fixture), ==, 0);
	}
}

/* All of memory again and again in one request: more than the disk; then more than any chain. */
static void test_gigantic(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[0];
	uint64_t table;

	(void)data;
	for (unsigned run = 0; run < 4; run++) {
		uint32_t type = run % 2 ? TYPE_OUT : TYPE_IN;
		unsigned n = run < 2 ? 200 : 1024;

		virtio_driver_start(driver, F_ALL);
		build(fixture, 0, type, 0, 512);
		table = virtio_driver_alloc(driver, n * 16ul);
		virtio_ring_describe_at(ring, table, 0, fixture->header, 16, RING_NEXT, 1);
		for (unsigned i = 1; i < n - 1; i++)
			virtio_ring_describe_at(ring, table, i, 0, 16 << 20,
						RING_NEXT | (type == TYPE_IN ? RING_WRITE : 0),
						i + 1);
		virtio_ring_describe_at(ring, table, n - 1, fixture->status, 1, RING_WRITE, 0);
		virtio_ring_describe(ring, 0, table, n * 16, RING_INDIRECT, 0);
		virtio_driver_offer(driver, 0, 0);
		if (n == 1024) {
			g_assert_true(virtio_driver_wait_needs_reset(driver));
		} else {
			virtio_driver_wait(driver, 0, NULL);
			g_assert_cmpuint(request_status(fixture), ==, 1);
		}
		g_assert_cmpuint(fixture->node->n_seen[BLOCK_READ], ==, 0);
		g_assert_cmpuint(fixture->node->n_seen[BLOCK_WRITE], ==, 0);
	}
	assert_alive(fixture);
}

/* A disk that does not answer is nobody else's business, though they share a thread. */
static void test_slow_disk(Fixture *fixture, gconstpointer data)
{
	g_autofree BlockNode *other_node = g_new0(BlockNode, 1);
	g_autofree VirtioDriver *other = g_new0(VirtioDriver, 1);
	Device *device;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	node_set(fixture->node, true, 0);
	fill_with_reads(fixture, 20);
	/* Its registers make way for the other's, which the driver puts at the same place. */
	pci_device_config_write(fixture->driver.pci, 4, 0x4, 2);
	other_node->limits = fixture->node->limits;
	fake_machine_set_block_node(fixture->fake, "other", other_node);
	device = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, "drive=other");
	virtio_driver_probe(other, fixture->fake, device);
	other->next_ram = fixture->driver.next_ram;
	virtio_driver_start(other, F_ALL);
	fixture->driver.next_ram = other->next_ram;
	for (unsigned i = 0; i < 20; i++) {
		VirtioRing *ring = &other->rings[0];

		build(fixture, 90, TYPE_IN, i, 512);
		virtio_ring_describe(ring, 0, fixture->header, 16, RING_NEXT, 1);
		virtio_ring_describe(ring, 1, fixture->data, 512, RING_NEXT | RING_WRITE, 2);
		virtio_ring_describe(ring, 2, fixture->status, 1, RING_WRITE, 0);
		virtio_driver_offer(other, 0, 0);
		virtio_driver_wait(other, 0, NULL);
		g_assert_cmpuint(request_status(fixture), ==, 0);
	}
	g_assert_cmpuint(node_n_held(fixture->node), ==, 20);
	fake_machine_remove(fixture->fake, device);
	node_release(fixture->node);
	for (unsigned i = 0; i < 20; i++)
		virtio_driver_wait(&fixture->driver, 0, NULL);
}

static GuestMemoryRegion plug_memory(Fixture *fixture)
{
	GuestMemoryRegion region = {
		.gpa = 1ULL << 32, .size = 1 << 20, .fd = -1, .is_device = true
	};

	region.hva =
		mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g_assert_true(region.hva != MAP_FAILED);
	g_assert_true(guest_memory_add(fixture->fake->services.memory, &region, NULL));
	return region;
}

static void unplug_memory(Fixture *fixture, const GuestMemoryRegion *region)
{
	guest_memory_remove(fixture->fake->services.memory, region->gpa);
	g_assert_cmpint(munmap(region->hva, region->size), ==, 0);
}

/* Memory that is unplugged under requests: they end first, and none follows. */
static void test_memory_unplugged(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const DeviceType *type = fixture->device->type;
	GuestMemoryRegion region = plug_memory(fixture);
	GThread *thread;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	node_set(fixture->node, true, 0);
	build(fixture, 0, TYPE_IN, 2, 512);
	virtio_ring_describe(&driver->rings[0], 1, region.gpa, 512, RING_NEXT | RING_WRITE, 2);
	virtio_driver_offer(driver, 0, 0);
	while (node_n_held(fixture->node) < 1)
		g_usleep(100);
	/* As the machine takes memory away. */
	thread = g_thread_new("release", release_soon, fixture->node);
	type->pause(fixture->device);
	g_assert_cmpuint(request_status(fixture), ==, 0);
	g_assert_cmpmem(region.hva, 512, fixture->node->data + 1024, 512);
	unplug_memory(fixture, &region);
	type->resume(fixture->device);
	g_thread_join(thread);
	virtio_driver_wait(driver, 0, NULL);
	virtio_driver_offer(driver, 0, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	assert_alive(fixture);
}

/* One that is held, with data or status there, does not end first: it is not made again. */
static void test_memory_unplugged_while_held(Fixture *fixture, gconstpointer data)
{
	const DeviceType *type = fixture->device->type;
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	for (unsigned at = 1; at <= 2; at++) {
		GuestMemoryRegion region = plug_memory(fixture);
		FakeRequest request;

		virtio_driver_start(driver, F_ALL);
		node_set(fixture->node, false, -EIO);
		build(fixture, 0, TYPE_IN, 2, 512);
		virtio_ring_describe(&driver->rings[0], at, region.gpa, at == 1 ? 512 : 1,
				     RING_WRITE | (at == 1 ? RING_NEXT : 0), 2);
		virtio_driver_offer(driver, 0, 0);
		while (!fake_machine_take_request(fixture->fake, &request))
			g_usleep(100);
		type->pause(fixture->device);
		node_set(fixture->node, false, 0);
		unplug_memory(fixture, &region);
		type->resume(fixture->device);
		g_assert_true(virtio_driver_wait_needs_reset(driver));
		g_assert_cmpuint(fixture->node->n_seen[BLOCK_READ], ==, at);
		type->pause(fixture->device);
		type->resume(fixture->device);
	}
	assert_alive(fixture);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	blk_fixture_add("packed/no-header", test_no_request, "packed=on");
	blk_fixture_add("packed/kick-before-driver-ok", test_kick_before_driver_ok, "packed=on");
	blk_fixture_add("packed/reset-in-flight", test_reset_in_flight, "packed=on");
	blk_fixture_add("packed/machine-reset-in-flight", test_machine_reset_in_flight,
			"packed=on");
	blk_fixture_add("packed/unplug-in-flight", test_unplug_in_flight, "packed=on");
	blk_fixture_add("packed/pause-resume", test_pause_resume, "packed=on");
	blk_fixture_add("packed/errors/stop", test_error_stops, "packed=on");
	blk_fixture_add("packed/errors/reset-while-held", test_reset_while_held, "packed=on");
	blk_fixture_add("packed/state", test_state, "packed=on");
	blk_fixture_add("no-header", test_no_request, NULL);
	blk_fixture_add("broken-ring", test_broken_ring, NULL);
	blk_fixture_add("kick-before-driver-ok", test_kick_before_driver_ok, NULL);
	blk_fixture_add("reset-in-flight", test_reset_in_flight, NULL);
	blk_fixture_add("machine-reset-in-flight", test_machine_reset_in_flight, NULL);
	blk_fixture_add("unplug-in-flight", test_unplug_in_flight, NULL);
	blk_fixture_add("pause-resume", test_pause_resume, NULL);
	blk_fixture_add("errors/reported", test_errors_reported, NULL);
	blk_fixture_add("errors/ignored", test_errors_ignored, "werror=ignore");
	blk_fixture_add("errors/stop", test_error_stops, NULL);
	blk_fixture_add("errors/nth", test_nth_fails, NULL);
	blk_fixture_add("errors/nth-in-flight", test_nth_in_flight_fails, NULL);
	blk_fixture_add("errors/policies", test_error_policies, NULL);
	blk_fixture_add("gigantic", test_gigantic, "queue-size=1024");
	blk_fixture_add("slow-disk", test_slow_disk, NULL);
	blk_fixture_add("memory-unplugged", test_memory_unplugged, NULL);
	blk_fixture_add("memory-unplugged-while-held", test_memory_unplugged_while_held,
			"rerror=stop");
	blk_fixture_add("packed/memory-unplugged", test_memory_unplugged, "packed=on");
	blk_fixture_add("packed/gigantic", test_gigantic, "queue-size=1024,packed=on");
	blk_fixture_add("packed/errors/nth-in-flight", test_nth_in_flight_fails, "packed=on");
	blk_fixture_add("errors/reset-while-held", test_reset_while_held, NULL);
	blk_fixture_add("state", test_state, NULL);
	return g_test_run();
}
