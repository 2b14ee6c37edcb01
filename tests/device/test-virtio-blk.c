/*
 * test-virtio-blk.c: the transport and the block device, driven as a guest would, or would not
 *
 * The block node is a fake that lives here: it holds requests until the test lets them go, with
 * the result that the test wants.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/virtio/virtio_blk.h"

#define DISK_SIZE (1u << 20)
#define HELD_MAX  1024u

/* Feature bits used here (virtio 1.2 §5.2.3). */
#define F_RO	     VIRTIO_FEATURE(5)
#define F_FLUSH	     VIRTIO_FEATURE(9)
#define F_CONFIG_WCE VIRTIO_FEATURE(11)
#define F_ALL	     UINT64_MAX

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8, TYPE_DISCARD = 11 };

struct BlockNode {
	IoLoop *loop;
	const BlockNodeListener *listener;
	void *opaque;
	BlockLimits limits;
	uint8_t data[DISK_SIZE];
	bool write_cache;
	bool attached;

	GMutex lock;
	bool hold;  /* keep requests instead of serving them */
	int result; /* what requests get */
	BlockRequest *held[HELD_MAX];
	unsigned n_held;
	unsigned n_seen[BLOCK_N_OPERATIONS];
};

const char *block_node_name(const BlockNode *node)
{
	(void)node;
	return "disk";
}

void block_node_get_limits(BlockNode *node, BlockLimits *limits)
{
	*limits = node->limits;
}

bool block_node_attach(BlockNode *node, const char *user, IoLoop *loop, bool writable,
		       const BlockNodeListener *listener, void *opaque, GError **error)
{
	(void)error;
	g_assert_nonnull(user);
	g_assert_true(writable != node->limits.read_only);
	g_assert_false(node->attached);
	node->attached = true;
	node->loop = loop;
	node->listener = listener;
	node->opaque = opaque;
	return true;
}

void block_node_detach(BlockNode *node)
{
	g_assert_cmpuint(node->n_held, ==, 0);
	node->attached = false;
}

void block_node_set_write_cache(BlockNode *node, bool enabled)
{
	node->write_cache = enabled;
}

typedef struct Completion {
	BlockNode *node;
	BlockRequest *request;
} Completion;

static void serve(gpointer data)
{
	g_autofree Completion *completion = data;
	BlockRequest *request = completion->request;
	BlockNode *node = completion->node;
	int result;

	g_assert_true(io_loop_is_current(node->loop));
	g_mutex_lock(&node->lock);
	result = node->result;
	g_mutex_unlock(&node->lock);
	g_assert_cmpuint(request->offset, <=, DISK_SIZE);
	g_assert_cmpuint(request->size, <=, DISK_SIZE - request->offset);
	if (result == 0 && request->operation == BLOCK_READ) {
		g_assert_cmpuint(iov_size(request->iov, request->n_iov), ==, request->size);
		iov_copy_to(request->iov, request->n_iov, 0, node->data + request->offset,
			    request->size);
	}
	if (result == 0 && request->operation == BLOCK_WRITE)
		iov_copy_from(request->iov, request->n_iov, 0, node->data + request->offset,
			      request->size);
	if (result == 0 && request->operation == BLOCK_WRITE_ZEROES)
		memset(node->data + request->offset, 0, request->size);
	request->complete(request, result);
}

static void serve_later(BlockNode *node, BlockRequest *request)
{
	Completion *completion = g_new(Completion, 1);

	*completion = (Completion){ .node = node, .request = request };
	io_loop_post(node->loop, serve, completion);
}

void block_node_submit(BlockNode *node, BlockRequest *request)
{
	bool hold;

	g_assert_true(io_loop_is_current(node->loop));
	g_mutex_lock(&node->lock);
	node->n_seen[request->operation]++;
	hold = node->hold;
	if (hold) {
		g_assert_cmpuint(node->n_held, <, HELD_MAX);
		node->held[node->n_held++] = request;
	}
	g_mutex_unlock(&node->lock);
	if (!hold)
		serve_later(node, request);
}

static unsigned node_n_held(BlockNode *node)
{
	unsigned n;

	g_mutex_lock(&node->lock);
	n = node->n_held;
	g_mutex_unlock(&node->lock);
	return n;
}

static void node_release(BlockNode *node)
{
	g_mutex_lock(&node->lock);
	for (unsigned i = 0; i < node->n_held; i++)
		serve_later(node, node->held[i]);
	node->n_held = 0;
	node->hold = false;
	g_mutex_unlock(&node->lock);
}

static void node_set(BlockNode *node, bool hold, int result)
{
	g_mutex_lock(&node->lock);
	node->hold = hold;
	node->result = result;
	g_mutex_unlock(&node->lock);
}

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	BlockNode *node;
	Device *device;
	VirtioDriver driver;
	uint64_t header, data, status; /* guest-physical, of the request being built */
	QmpEventSink sink;
	GMutex lock;
	GPtrArray *events; /* char *: NAME JSON */
} Fixture;

static void record_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	g_mutex_lock(&fixture->lock);
	g_ptr_array_add(fixture->events,
			g_strdup_printf("%s %s", name, json_object_to_json_string(data)));
	g_mutex_unlock(&fixture->lock);
	json_object_put(data);
}

static void add_device(Fixture *fixture, const char *options)
{
	g_autofree char *all = g_strconcat("drive=disk", options ? "," : "", options, NULL);

	fixture->device = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, all);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
}

static void set_up(Fixture *fixture, gconstpointer options)
{
	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->events = g_ptr_array_new_with_free_func(g_free);
	fixture->sink = (QmpEventSink){ .emit = record_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->node = g_new0(BlockNode, 1);
	fixture->node->limits = (BlockLimits){
		.size = DISK_SIZE,
		.logical_block_size = 512,
		.physical_block_size = 4096,
		.discard_granularity = 4096,
		.max_discard_segments = 1,
		.can_write_zeroes = true,
	};
	for (unsigned i = 0; i < DISK_SIZE; i++)
		fixture->node->data[i] = i * 7 + i / 512;
	fake_machine_set_block_node(fixture->fake, "disk", fixture->node);
	add_device(fixture, options);
}

static void remove_device(Fixture *fixture)
{
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	remove_device(fixture);
	g_assert_false(fixture->node->attached);
	g_assert_cmpuint(fake_machine_n_routes(fixture->fake), ==, 0);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	g_ptr_array_unref(fixture->events);
	g_free(fixture->node);
}

/* Build a request at descriptors @head.. of queue 0: header, @size bytes of data, status. */
static void build(Fixture *fixture, unsigned head, uint32_t type, uint64_t sector, uint32_t size)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[0];
	bool in = type == TYPE_IN || type == TYPE_GET_ID;
	uint8_t *header;

	fixture->header = virtio_driver_alloc(driver, 16);
	fixture->data = virtio_driver_alloc(driver, MAX(size, 1));
	fixture->status = virtio_driver_alloc(driver, 1);
	header = virtio_driver_ram(driver, fixture->header);
	memcpy(header, &type, 4);
	memcpy(header + 8, &sector, 8);
	*virtio_driver_ram(driver, fixture->status) = 0xee;
	virtio_ring_describe(ring, head, fixture->header, 16, RING_NEXT,
			     size ? head + 1 : head + 2);
	virtio_ring_describe(ring, head + 1, fixture->data, size, RING_NEXT | (in ? RING_WRITE : 0),
			     head + 2);
	virtio_ring_describe(ring, head + 2, fixture->status, 1, RING_WRITE, 0);
}

static uint8_t request_status(Fixture *fixture)
{
	return *virtio_driver_ram(&fixture->driver, fixture->status);
}

static uint8_t *request_data(Fixture *fixture)
{
	return virtio_driver_ram(&fixture->driver, fixture->data);
}

/* Make a request and wait for its answer; returns the status. */
static uint8_t run(Fixture *fixture, uint32_t type, uint64_t sector, uint32_t size)
{
	build(fixture, 0, type, sector, size);
	virtio_driver_offer(&fixture->driver, 0, 0);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 0);
	return request_status(fixture);
}

/* The device still works, after a reset. */
static void assert_alive(Fixture *fixture)
{
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_cmpuint(run(fixture, TYPE_IN, 1, 512), ==, 0);
	g_assert_cmpmem(request_data(fixture), 512, fixture->node->data + 512, 512);
}

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

static uint8_t run_range(Fixture *fixture, uint32_t type, uint64_t sector, uint32_t n,
			 uint32_t flags)
{
	build(fixture, 0, type, 0, 16);
	memcpy(request_data(fixture), &sector, 8);
	memcpy(request_data(fixture) + 8, &n, 4);
	memcpy(request_data(fixture) + 12, &flags, 4);
	virtio_driver_offer(&fixture->driver, 0, 0);
	virtio_driver_wait(&fixture->driver, 0, NULL);
	return request_status(fixture);
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

static gpointer release_soon(gpointer data)
{
	g_usleep(30000);
	node_release(data);
	return NULL;
}

static void fill_with_reads(Fixture *fixture, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		build(fixture, i * 3, TYPE_IN, i, 512);
		virtio_driver_offer(&fixture->driver, 0, i * 3);
	}
	while (node_n_held(fixture->node) < n)
		g_usleep(100);
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

static void assert_event(Fixture *fixture, const char *action, const char *operation)
{
	const char *event;

	g_mutex_lock(&fixture->lock);
	g_assert_cmpuint(fixture->events->len, ==, 1);
	event = fixture->events->pdata[0];
	g_assert_true(g_str_has_prefix(event, "BLOCK_IO_ERROR "));
	g_assert_nonnull(strstr(event, action));
	g_assert_nonnull(strstr(event, operation));
	g_assert_nonnull(strstr(event, "\"disk\""));
	g_ptr_array_set_size(fixture->events, 0);
	g_mutex_unlock(&fixture->lock);
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

/* Out of space: the machine stops, the request stays, and is made again when it goes on. */
static void fail_with_stop(Fixture *fixture)
{
	FakeRequest request;

	virtio_driver_start(&fixture->driver, F_ALL);
	node_set(fixture->node, false, -ENOSPC);
	build(fixture, 0, TYPE_OUT, 4, 512);
	memset(request_data(fixture), 0x77, 512);
	virtio_driver_offer(&fixture->driver, 0, 0);
	for (unsigned i = 0; !fake_machine_take_request(fixture->fake, &request); i++) {
		g_assert_cmpuint(i, <, 100000);
		g_usleep(100);
	}
	g_assert_cmpint(request.request, ==, RUN_REQUEST_IO_ERROR);
	assert_event(fixture, "\"stop\"", "\"nospace\": true");
	fixture->device->type->pause(fixture->device);
	g_assert_cmpuint(request_status(fixture), ==, 0xee);
	node_set(fixture->node, false, 0);
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

static void test_queues(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	g_assert_true(virtio_driver_offered(driver) & VIRTIO_FEATURE(12));
	g_assert_cmpuint(virtio_driver_read_config(driver, 34, 2), ==, 4);
	virtio_driver_start(driver, F_ALL);
	for (unsigned queue = 0; queue < 4; queue++) {
		VirtioRing first = driver->rings[0];

		/* build() describes in ring 0: let that be the queue's. */
		driver->rings[0] = driver->rings[queue];
		build(fixture, 0, TYPE_IN, queue, 512);
		driver->rings[0] = first;
		virtio_driver_offer(driver, queue, 0);
		g_assert_cmpuint(virtio_driver_wait(driver, queue, NULL), ==, 0);
		g_assert_true(virtio_driver_wait_interrupt(driver, queue + 1));
		g_assert_cmpmem(request_data(fixture), 512, fixture->node->data + queue * 512, 512);
	}
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

/* The loop polls, and the driver notifies only when it is asked to. */
static void test_polled(Fixture *fixture, bool event_idx)
{
	VirtioDriver *driver = &fixture->driver;

	io_loop_set_polling(fixture->loop, &(IoLoopPolling){ .max_ns = 300000 });
	virtio_driver_start(driver,
			    event_idx ? F_ALL : F_ALL & ~VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX));
	for (unsigned i = 0; i < 500; i++) {
		uint16_t old = driver->rings[0].next_available;

		build(fixture, 0, TYPE_IN, i % 100, 512);
		virtio_ring_offer(&driver->rings[0], 0);
		if (virtio_ring_wants_kick(&driver->rings[0], old, event_idx))
			virtio_driver_kick(driver, 0);
		g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 0);
		g_assert_cmpuint(request_status(fixture), ==, 0);
		if (i % 50 == 0) {
			fixture->device->type->pause(fixture->device);
			fixture->device->type->resume(fixture->device);
		}
	}
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

static void test_bad_properties(void)
{
	static const char *const bad[] = {
		"drive=nothing",
		"drive=disk,serial=123456789012345678901",
		"drive=disk,logical_block_size=512,physical_block_size=512",
		"drive=disk,physical_block_size=512",
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

static void add(const char *path, void (*func)(Fixture *, gconstpointer), const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-blk/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}

/* What does not look into the ring itself, over packed rings. */
static void add_packed(void)
{
	add("packed/offered", test_packed_is_offered, "packed=on");
	add("packed/not-offered", test_packed_is_offered, NULL);
	add("packed/odd-size", test_odd_size, "packed=on");
	add("packed/read-write", test_read_write, "packed=on");
	add("packed/any-layout", test_any_layout, "packed=on");
	add("packed/bad-requests", test_bad_requests, "packed=on");
	add("packed/ranges", test_ranges, "packed=on");
	add("packed/no-header", test_no_request, "packed=on");
	add("packed/kick-before-driver-ok", test_kick_before_driver_ok, "packed=on");
	add("packed/reset-in-flight", test_reset_in_flight, "packed=on");
	add("packed/machine-reset-in-flight", test_machine_reset_in_flight, "packed=on");
	add("packed/unplug-in-flight", test_unplug_in_flight, "packed=on");
	add("packed/pause-resume", test_pause_resume, "packed=on");
	add("packed/queue-reset", test_queue_reset, "packed=on");
	add("packed/errors/stop", test_error_stops, "packed=on");
	add("packed/errors/reset-while-held", test_reset_while_held, "packed=on");
	add("packed/state", test_state, "packed=on");
	add("packed/polled", test_polled_by_events, "packed=on");
	add("packed/queues", test_queues, "num-queues=4,packed=on");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("read-write", test_read_write, NULL);
	add("any-layout", test_any_layout, NULL);
	add("id", test_id, "serial=SERIAL-1");
	add("bad-requests", test_bad_requests, NULL);
	add("ranges", test_ranges, NULL);
	add("read-only", test_read_only, NULL);
	add("write-cache", test_write_cache, NULL);
	add("resize", test_resize, NULL);
	add("no-header", test_no_request, NULL);
	add("broken-ring", test_broken_ring, NULL);
	add("kick-before-driver-ok", test_kick_before_driver_ok, NULL);
	add("features", test_no_driver_ok_without_features, NULL);
	add("reset-in-flight", test_reset_in_flight, NULL);
	add("machine-reset-in-flight", test_machine_reset_in_flight, NULL);
	add("unplug-in-flight", test_unplug_in_flight, NULL);
	add("pause-resume", test_pause_resume, NULL);
	add("bus-master", test_bus_master, NULL);
	add("moved-bar", test_moved_bar, NULL);
	add("queue-reset", test_queue_reset, NULL);
	add("errors/reported", test_errors_reported, NULL);
	add("errors/ignored", test_errors_ignored, "werror=ignore");
	add("errors/stop", test_error_stops, NULL);
	add("errors/reset-while-held", test_reset_while_held, NULL);
	add("state", test_state, NULL);
	add("registers", test_registers, NULL);
	add("isr", test_isr, NULL);
	add("window", test_window, NULL);
	add("queues", test_queues, "num-queues=4");
	add("polled/flags", test_polled_by_flags, NULL);
	add("polled/events", test_polled_by_events, NULL);
	add("queues-by-vcpus", test_queues_by_vcpus, NULL);
	add("host-optimum", test_host_optimum, NULL);
	add_packed();
	g_test_add_func("/virtio-blk/bad-properties", test_bad_properties);
	return g_test_run();
}
