/*
 * test-virtio-blk.c: the block device, driven as a guest would
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_blk_fixture.h"

static void test_read_write(Fixture *fixture, gconstpointer data)
{
	uint32_t length;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	build(fixture, 0, TYPE_IN, 3, 1024);
	virtio_driver_offer(&fixture->driver, 0, 0);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 1025);
	g_assert_cmpuint(request_status(fixture), ==, 0);
	g_assert_cmpmem(request_data(fixture), 1024, fixture->node->data + 3 * 512, 1024);
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 1));

	build(fixture, 0, TYPE_OUT, 8, 512);
	memset(request_data(fixture), 0xa5, 512);
	virtio_driver_offer(&fixture->driver, 0, 0);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 1);
	g_assert_cmpuint(fixture->node->data[8 * 512], ==, 0xa5);
	g_assert_cmpuint(run(fixture, TYPE_FLUSH, 0, 0), ==, 0);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_FLUSH], ==, 1);
}

/* Header and status share descriptors with the data, and the data is in odd pieces. */
static void test_any_layout(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t out, in;
	uint32_t type = TYPE_IN;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	out = virtio_driver_alloc(driver, 16);
	in = virtio_driver_alloc(driver, 513);
	memcpy(virtio_driver_ram(driver, out), &type, 4);
	virtio_ring_describe(&driver->rings[0], 0, out, 5, RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[0], 1, out + 5, 11, RING_NEXT, 2);
	virtio_ring_describe(&driver->rings[0], 2, in, 100, RING_NEXT | RING_WRITE, 3);
	virtio_ring_describe(&driver->rings[0], 3, in + 100, 413, RING_WRITE, 0);
	virtio_driver_offer(driver, 0, 0);
	virtio_driver_wait(driver, 0, NULL);
	g_assert_cmpmem(virtio_driver_ram(driver, in), 512, fixture->node->data, 512);
	g_assert_cmpuint(virtio_driver_ram(driver, in)[512], ==, 0);
}

static void test_id(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_cmpuint(run(fixture, TYPE_GET_ID, 0, 20), ==, 0);
	g_assert_cmpstr((char *)request_data(fixture), ==, "SERIAL-1");
	/* A short buffer gets what fits. */
	g_assert_cmpuint(run(fixture, TYPE_GET_ID, 0, 3), ==, 0);
	g_assert_cmpmem(request_data(fixture), 4, "SER\0", 4);
}

static void test_bad_requests(Fixture *fixture, gconstpointer data)
{
	uint64_t last = DISK_SIZE / 512 - 1;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_cmpuint(run(fixture, TYPE_IN, last, 512), ==, 0);
	g_assert_cmpuint(run(fixture, TYPE_IN, last, 1024), ==, 1);
	g_assert_cmpuint(run(fixture, TYPE_IN, last + 1, 512), ==, 1);
	g_assert_cmpuint(run(fixture, TYPE_IN, UINT64_MAX, 512), ==, 1);
	g_assert_cmpuint(run(fixture, TYPE_IN, UINT64_MAX / 512 + 1, 512), ==, 1);
	g_assert_cmpuint(run(fixture, TYPE_OUT, last, 1024), ==, 1);
	g_assert_cmpuint(run(fixture, TYPE_IN, 0, 511), ==, 1);
	g_assert_cmpuint(run(fixture, TYPE_IN, 0, 0), ==, 0);
	g_assert_cmpuint(run(fixture, 77, 0, 512), ==, 2);
	g_assert_cmpuint(run(fixture, TYPE_DISCARD, 0, 8), ==, 2);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_READ], ==, 1);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_WRITE], ==, 0);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
}

static void test_ranges(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 40, 4), ==, 1);
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 44, 4), ==, 8);
	g_assert_cmpuint(run_range(fixture, TYPE_DISCARD, 8, 8, 0), ==, 0);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_DISCARD], ==, 1);
	g_assert_cmpuint(run_range(fixture, TYPE_DISCARD, 8, 8, 1), ==, 2);
	g_assert_cmpuint(run_range(fixture, 13, 8, 8, 1), ==, 0);
	g_assert_cmpuint(fixture->node->data[8 * 512 + 1], ==, 0);
	g_assert_cmpuint(run_range(fixture, 13, 8, 8, 2), ==, 2);
	g_assert_cmpuint(run_range(fixture, 13, DISK_SIZE / 512 - 1, 2, 0), ==, 1);
	g_assert_cmpuint(run_range(fixture, 13, 0, UINT32_MAX, 0), ==, 1);
	g_assert_cmpuint(run_range(fixture, 13, UINT64_MAX, 1, 0), ==, 1);
}

static void test_read_only(Fixture *fixture, gconstpointer data)
{
	(void)data;
	remove_device(fixture);
	fixture->node->limits.read_only = true;
	add_device(fixture, NULL);
	g_assert_true(virtio_driver_offered(&fixture->driver) & F_RO);
	/* Whatever the driver makes of that. */
	virtio_driver_start(&fixture->driver, 0);
	g_assert_cmpuint(run(fixture, TYPE_OUT, 0, 512), ==, 1);
	g_assert_cmpuint(run_range(fixture, TYPE_DISCARD, 0, 8, 0), ==, 2);
	g_assert_cmpuint(fixture->node->n_seen[BLOCK_WRITE], ==, 0);
}

/* Disks report optima such as 65535 sectors, which the guest's blocks need not divide. */
static void test_host_optimum(Fixture *fixture, gconstpointer data)
{
	(void)data;
	remove_device(fixture);
	fixture->node->limits.opt_io_size = 65535 * 512;
	add_device(fixture, NULL);
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 28, 4), ==, 65535);
	remove_device(fixture);
	add_device(fixture, "logical_block_size=4096");
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 28, 4), ==, 0);
}

static void test_write_cache(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	g_assert_true(fixture->node->write_cache);
	g_assert_cmpuint(virtio_driver_read_config(driver, 32, 1), ==, 1);
	virtio_driver_write_config(driver, 32, 0, 1);
	g_assert_false(fixture->node->write_cache);
	g_assert_false(virtio_blk_write_cache(fixture->device));
	virtio_driver_write_config(driver, 0, 0xff, 1); /* read-only fields stay */
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, DISK_SIZE / 512);
	/* A driver that can neither flush nor switch gets write-through. */
	virtio_driver_start(driver, F_ALL & ~(F_FLUSH | F_CONFIG_WCE));
	g_assert_false(fixture->node->write_cache);
	g_assert_cmpuint(virtio_driver_read_config(driver, 32, 1), ==, 1);
	virtio_driver_write_config(driver, 32, 0, 1);
	g_assert_cmpuint(virtio_driver_read_config(driver, 32, 1), ==, 1);
	virtio_driver_start(driver, F_FLUSH);
	g_assert_true(fixture->node->write_cache);
}

static void test_resize(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t generation;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	generation = fake_read(fixture->fake, driver->common + COMMON_GENERATION, 1);
	fixture->node->listener->resized(fixture->node->opaque, DISK_SIZE / 2);
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
	g_assert_cmpuint(fake_read(fixture->fake, driver->common + COMMON_GENERATION, 1), !=,
			 generation);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, DISK_SIZE / 1024);
	g_assert_cmpuint(run(fixture, TYPE_IN, DISK_SIZE / 1024, 512), ==, 1);
}

/* Describe a read of sector @queue in queue @queue. */
static void build_in_queue(Fixture *fixture, unsigned queue)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing first = driver->rings[0];

	/* build() describes in ring 0: let that be the queue's. */
	driver->rings[0] = driver->rings[queue];
	build(fixture, 0, TYPE_IN, queue, 512);
	driver->rings[0] = first;
}

static void test_queues(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	g_assert_true(virtio_driver_offered(driver) & VIRTIO_FEATURE(12));
	g_assert_cmpuint(virtio_driver_read_config(driver, 34, 2), ==, 4);
	virtio_driver_start(driver, F_ALL);
	for (unsigned queue = 0; queue < 4; queue++) {
		build_in_queue(fixture, queue);
		virtio_driver_offer(driver, queue, 0);
		g_assert_cmpuint(virtio_driver_wait(driver, queue, NULL), ==, 0);
		g_assert_true(virtio_driver_wait_interrupt(driver, queue + 1));
		g_assert_cmpmem(request_data(fixture), 512, fixture->node->data + queue * 512, 512);
	}
}

/* One request, with a notification only if that is asked for; returns whether it was. */
static bool request_polled(Fixture *fixture, unsigned i, bool event_idx)
{
	VirtioDriver *driver = &fixture->driver;
	uint16_t old = driver->rings[0].next_available;
	bool kick;

	build(fixture, 0, TYPE_IN, i % 100, 512);
	virtio_ring_offer(&driver->rings[0], 0);
	kick = virtio_ring_wants_kick(&driver->rings[0], old, event_idx);
	if (kick)
		virtio_driver_kick(driver, 0);
	g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 0);
	g_assert_cmpuint(request_status(fixture), ==, 0);
	return kick;
}

static uint64_t counted(Fixture *fixture, size_t offset)
{
	const char *counters =
		(const char *)&((VirtioDevice *)fixture->device)->queues[0].ring.counters;

	return virtqueue_counted((const uint64_t *)(const void *)(counters + offset));
}

/* What is found by polling is counted as that, and what was notified as that. */
static void check_counters(Fixture *fixture, bool event_idx)
{
	const size_t POLLS = offsetof(VirtqueueCounters, polls);
	const size_t KICKS = offsetof(VirtqueueCounters, kicks);
	uint64_t polls, kicks;

	/* It polls without end, once it has waited for a little; see io_loop_next_poll_ns(). */
	io_loop_set_polling(fixture->loop,
			    &(IoLoopPolling){ .max_ns = INT64_MAX / 2, .grow = INT64_MAX });
	for (unsigned i = 0; i < 10; i++) {
		virtio_driver_settle(fixture->loop);
		g_usleep(1000);
	}
	/* An event that was asked for before is still to come. */
	request_polled(fixture, 0, event_idx);
	virtio_driver_settle(fixture->loop);
	polls = counted(fixture, POLLS);
	kicks = counted(fixture, KICKS);
	for (unsigned i = 0; i < 10; i++)
		g_assert_false(request_polled(fixture, i, event_idx));
	g_assert_cmpuint(counted(fixture, POLLS), ==, polls + 10);
	g_assert_cmpuint(counted(fixture, KICKS), ==, kicks);

	io_loop_set_polling(fixture->loop, &(IoLoopPolling){ 0 });
	virtio_driver_settle(fixture->loop);
	polls = counted(fixture, POLLS);
	kicks = counted(fixture, KICKS);
	for (unsigned i = 0; i < 10; i++) {
		g_assert_true(request_polled(fixture, i, event_idx));
		virtio_driver_settle(fixture->loop);
	}
	g_assert_cmpuint(counted(fixture, POLLS), ==, polls);
	g_assert_cmpuint(counted(fixture, KICKS), ==, kicks + 10);
}

/* The loop polls, and the driver notifies only when it is asked to. */
static void test_polled(Fixture *fixture, bool event_idx)
{
	VirtioDriver *driver = &fixture->driver;

	io_loop_set_polling(fixture->loop, &(IoLoopPolling){ .max_ns = 300000 });
	virtio_driver_start(driver,
			    event_idx ? F_ALL : F_ALL & ~VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX));
	for (unsigned i = 0; i < 500; i++) {
		request_polled(fixture, i, event_idx);
		if (i % 50 == 0) {
			fixture->device->type->pause(fixture->device);
			fixture->device->type->resume(fixture->device);
		}
	}
	check_counters(fixture, event_idx);
}

static void test_polled_by_flags(Fixture *fixture, gconstpointer data)
{
	(void)data;
	test_polled(fixture, false);
}

static void test_polled_by_events(Fixture *fixture, gconstpointer data)
{
	(void)data;
	test_polled(fixture, true);
}

static void test_queues_by_vcpus(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 34, 2), ==, 1);
	remove_device(fixture);
	fixture->fake->services.n_cpus = 3;
	add_device(fixture, NULL);
	g_assert_true(virtio_driver_offered(&fixture->driver) & VIRTIO_FEATURE(12));
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 34, 2), ==, 3);
	remove_device(fixture);
	fixture->fake->services.n_cpus = 1024;
	add_device(fixture, NULL);
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 34, 2), ==, 256);
	assert_alive(fixture);
}

#define MAPPED(more)	 "{\"drive\": \"disk\", \"num-queues\": 4, " more "}"
#define MAPPING(entries) "\"iothread-vq-mapping\": [" entries "]"
#define IO(name, more)	 "{\"iothread\": \"" name "\"" more "}"

static void add_mapped(Fixture *fixture, const char *options)
{
	remove_device(fixture);
	fixture->device = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, options);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, F_ALL);
}

/* A request of each queue, and by which loop it came to the node. */
static void assert_ports(Fixture *fixture, const unsigned *ports)
{
	for (unsigned queue = 0; queue < 4; queue++) {
		unsigned *seen = &fixture->node->n_by_port[ports[queue]];
		unsigned before = *seen;

		build_in_queue(fixture, queue);
		virtio_driver_offer(&fixture->driver, queue, 0);
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, queue, NULL), ==, 0);
		g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, queue + 1));
		g_assert_cmpuint(*seen, ==, before + 1);
		g_assert_cmpmem(request_data(fixture), 512, fixture->node->data + queue * 512, 512);
	}
}

/* Queues of one device on two loops: all of its life, with requests in flight on both. */
static void test_two_loops(Fixture *fixture, gconstpointer data)
{
	IoLoop *loops[2] = { io_loop_new("io0", NULL, NULL, NULL),
			     io_loop_new("io1", NULL, NULL, NULL) };
	GThread *thread;

	(void)data;
	fake_machine_set_io_loop(fixture->fake, "io0", loops[0]);
	fake_machine_set_io_loop(fixture->fake, "io1", loops[1]);
	add_mapped(fixture, MAPPED(MAPPING(IO("io0", ) ", " IO("io1", ))));
	assert_ports(fixture, (const unsigned[]){ 0, 1, 0, 1 });
	add_mapped(fixture, MAPPED(MAPPING(IO("io0", ", \"vqs\": [3]") ", " //
					   IO("io1", ", \"vqs\": [2, 0, 1]"))));
	assert_ports(fixture, (const unsigned[]){ 1, 1, 1, 0 });
	/* A reset waits for what is in flight on either. */
	node_set(fixture->node, true, 0);
	for (unsigned queue = 0; queue < 4; queue++) {
		build_in_queue(fixture, queue);
		virtio_driver_offer(&fixture->driver, queue, 0);
	}
	while (node_n_held(fixture->node) < 4)
		g_usleep(100);
	thread = g_thread_new("release", release_soon, fixture->node);
	virtio_driver_set_status(&fixture->driver, 0);
	g_assert_cmpuint(node_n_held(fixture->node), ==, 0);
	g_assert_cmpint(fixture->node->draining[0] & fixture->node->draining[1], ==, 1);
	g_thread_join(thread);
	virtio_driver_start(&fixture->driver, F_ALL);
	assert_ports(fixture, (const unsigned[]){ 1, 1, 1, 0 });
	remove_device(fixture);
	io_loop_free(loops[0]);
	io_loop_free(loops[1]);
}

static void test_bad_mappings(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *options, *error;
	} bad[] = {
		{ MAPPED(MAPPING("")), "*expects a list*" },
		{ MAPPED(MAPPING("1")), "*expects a list*" },
		{ MAPPED("\"iothread-vq-mapping\": \"io0\""), "*expects a list*" },
		{ MAPPED(MAPPING("{\"vqs\": [0]}")), "*expects a list*" },
		{ MAPPED(MAPPING(IO("io0", ", \"cpu\": 1"))), "*expects a list*" },
		{ MAPPED(MAPPING(IO("io0", ", \"vqs\": [-1]"))), "*expects a list*" },
		{ MAPPED(MAPPING(IO("io0", ", \"vqs\": 0"))), "*expects a list*" },
		{ MAPPED(MAPPING(IO("none", ))), "*no iothread 'none'*" },
		{ MAPPED(MAPPING(IO("io0", ) ", " IO("io0", ))), "*'io0' twice*" },
		{ MAPPED(MAPPING(IO("io0", ", \"vqs\": [0, 1, 2]"))), "*lacks queue 3*" },
		{ MAPPED(MAPPING(IO("io0", ", \"vqs\": [0, 1, 2, 3, 4]"))), "*no queue 4*" },
		{ MAPPED(MAPPING(IO("io0", ", \"vqs\": [0, 1, 2, 3, 3]"))), "*queue 3 twice*" },
		{ MAPPED(MAPPING(IO("io0", ", \"vqs\": []"))), "*lacks queue 0*" },
		{ MAPPED("\"iothread\": \"io0\", " MAPPING(IO("io0", ))), "*exclude each other*" },
	};

	(void)data;
	remove_device(fixture);
	fake_machine_set_io_loop(fixture->fake, "io0", fixture->loop);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(fake_machine_try_add(fixture->fake, &virtio_blk_type.pci.device,
						   bad[i].options, &error));
		if (!g_pattern_match_simple(bad[i].error, error->message))
			g_error("%s: %s", bad[i].options, error->message);
		g_assert_false(fixture->node->attached);
	}
}

static void test_bad_properties(void)
{
	static const char *const bad[] = {
		"drive=nothing",
		"drive=disk,serial=123456789012345678901",
		"drive=disk,logical_block_size=512,physical_block_size=512",
		"drive=disk,physical_block_size=512",
		"drive=disk,logical_block_size=256",
		"drive=disk,min_io_size=1000",
		"drive=disk,queue-size=100",
		"drive=disk,queue-size=2048",
		"drive=disk,num-queues=0",
		"drive=disk,iothread=none",
		"drive=disk,vectors=5000",
		"drive=disk,werror=maybe",
	};
	IoLoop *loop;
	FakeMachine *fake = virtio_driver_machine(&loop);
	BlockNode *node = g_new0(BlockNode, 1);

	node->limits = (BlockLimits){ .size = DISK_SIZE, .logical_block_size = 4096 };
	fake_machine_set_block_node(fake, "disk", node);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(
			fake_machine_try_add(fake, &virtio_blk_type.pci.device, bad[i], &error));
		g_assert_nonnull(error);
		g_assert_false(node->attached);
	}
	io_loop_free(loop);
	fake_machine_free(fake);
	g_free(node);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	blk_fixture_add("packed/read-write", test_read_write, "packed=on");
	blk_fixture_add("packed/any-layout", test_any_layout, "packed=on");
	blk_fixture_add("packed/bad-requests", test_bad_requests, "packed=on");
	blk_fixture_add("packed/ranges", test_ranges, "packed=on");
	blk_fixture_add("packed/polled", test_polled_by_events, "packed=on");
	blk_fixture_add("packed/queues", test_queues, "num-queues=4,packed=on");
	blk_fixture_add("read-write", test_read_write, NULL);
	blk_fixture_add("any-layout", test_any_layout, NULL);
	blk_fixture_add("id", test_id, "serial=SERIAL-1");
	blk_fixture_add("bad-requests", test_bad_requests, NULL);
	blk_fixture_add("ranges", test_ranges, NULL);
	blk_fixture_add("read-only", test_read_only, NULL);
	blk_fixture_add("write-cache", test_write_cache, NULL);
	blk_fixture_add("resize", test_resize, NULL);
	blk_fixture_add("queues", test_queues, "num-queues=4");
	blk_fixture_add("polled/flags", test_polled_by_flags, NULL);
	blk_fixture_add("polled/events", test_polled_by_events, NULL);
	blk_fixture_add("queues-by-vcpus", test_queues_by_vcpus, NULL);
	blk_fixture_add("host-optimum", test_host_optimum, NULL);
	blk_fixture_add("iothreads/two", test_two_loops, NULL);
	blk_fixture_add("iothreads/bad-mappings", test_bad_mappings, NULL);
	g_test_add_func("/virtio-blk/bad-properties", test_bad_properties);
	return g_test_run();
}
