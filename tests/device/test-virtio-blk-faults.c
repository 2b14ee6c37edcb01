/*
 * test-virtio-blk-faults.c: the block device, its driver and its host misbehaving
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_blk_fixture.h"

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
	blk_fixture_add("errors/reset-while-held", test_reset_while_held, NULL);
	blk_fixture_add("state", test_state, NULL);
	return g_test_run();
}
