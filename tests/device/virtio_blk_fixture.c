/*
 * virtio_blk_fixture.c: a block device driven as a guest would, or would not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_blk_fixture.h"

const char *block_node_name(const BlockNode *node)
{
	(void)node;
	return "disk";
}

void block_node_get_limits(BlockNode *node, BlockLimits *limits)
{
	*limits = node->limits;
}

bool block_node_attach(BlockNode *node, const BlockUser *user, GError **error)
{
	(void)error;
	g_assert_nonnull(user->name);
	g_assert_true(user->writable != node->limits.read_only);
	g_assert_false(node->attached);
	g_assert_cmpuint(user->n_loops, <=, G_N_ELEMENTS(node->loops));
	node->attached = true;
	node->n_loops = user->n_loops;
	memcpy(node->loops, user->loops, user->n_loops * sizeof(*user->loops));
	node->listener = user->listener;
	node->opaque = user->opaque;
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

bool block_node_inherit(BlockNode *node, BlockNode *old, GError **error)
{
	(void)node;
	(void)old;
	(void)error;
	return true;
}

void block_node_succeed(BlockNode *node, BlockNode *old)
{
	(void)node;
	(void)old;
}

void block_node_set_draining(BlockNode *node, unsigned port, bool draining)
{
	g_assert_cmpuint(port, <, node->n_loops);
	g_assert_true(io_loop_is_current(node->loops[port]));
	g_atomic_int_set(&node->draining[port], draining);
}

typedef struct Completion {
	BlockNode *node;
	BlockRequest *request;
	unsigned port;
} Completion;

static void serve(gpointer data)
{
	g_autofree Completion *completion = data;
	BlockRequest *request = completion->request;
	BlockNode *node = completion->node;
	int result;

	g_assert_true(io_loop_is_current(node->loops[completion->port]));
	g_mutex_lock(&node->lock);
	result = node->result;
	if (node->fail_in > 1) {
		node->fail_in--;
		result = 0;
	} else if (node->fail_in == 1) {
		node->fail_in = 0;
		node->result = 0;
	}
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

static void serve_later(BlockNode *node, unsigned port, BlockRequest *request)
{
	Completion *completion = g_new(Completion, 1);

	*completion = (Completion){ .node = node, .request = request, .port = port };
	io_loop_post(node->loops[port], serve, completion);
}

void block_node_submit(BlockNode *node, unsigned port, BlockRequest *request)
{
	bool hold;

	g_assert_cmpuint(port, <, node->n_loops);
	g_assert_true(io_loop_is_current(node->loops[port]));
	g_mutex_lock(&node->lock);
	node->n_seen[request->operation]++;
	node->n_by_port[port]++;
	hold = node->hold;
	if (hold) {
		g_assert_cmpuint(node->n_held, <, HELD_MAX);
		node->held_ports[node->n_held] = port;
		node->held[node->n_held++] = request;
	}
	g_mutex_unlock(&node->lock);
	if (!hold)
		serve_later(node, port, request);
}

unsigned node_n_held(BlockNode *node)
{
	unsigned n;

	g_mutex_lock(&node->lock);
	n = node->n_held;
	g_mutex_unlock(&node->lock);
	return n;
}

void node_release(BlockNode *node)
{
	g_mutex_lock(&node->lock);
	for (unsigned i = 0; i < node->n_held; i++)
		serve_later(node, node->held_ports[i], node->held[i]);
	node->n_held = 0;
	node->hold = false;
	g_mutex_unlock(&node->lock);
}

void node_set(BlockNode *node, bool hold, int result)
{
	g_mutex_lock(&node->lock);
	node->hold = hold;
	node->result = result;
	node->fail_in = 0;
	g_mutex_unlock(&node->lock);
}

void node_fail_nth(BlockNode *node, unsigned n, int result)
{
	g_mutex_lock(&node->lock);
	node->result = result;
	node->fail_in = n;
	g_mutex_unlock(&node->lock);
}

static void record_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	g_mutex_lock(&fixture->lock);
	g_ptr_array_add(fixture->events,
			g_strdup_printf("%s %s", name, json_object_to_json_string(data)));
	g_mutex_unlock(&fixture->lock);
	json_object_put(data);
}

void add_device(Fixture *fixture, const char *options)
{
	g_autofree char *all = g_strconcat("drive=disk", options ? "," : "", options, NULL);

	fixture->device = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, all);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
}

void set_up(Fixture *fixture, gconstpointer options)
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

void remove_device(Fixture *fixture)
{
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
}

void tear_down(Fixture *fixture, gconstpointer data)
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

void build(Fixture *fixture, unsigned head, uint32_t type, uint64_t sector, uint32_t size)
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

uint8_t request_status(Fixture *fixture)
{
	return *virtio_driver_ram(&fixture->driver, fixture->status);
}

uint8_t *request_data(Fixture *fixture)
{
	return virtio_driver_ram(&fixture->driver, fixture->data);
}

uint8_t run(Fixture *fixture, uint32_t type, uint64_t sector, uint32_t size)
{
	build(fixture, 0, type, sector, size);
	virtio_driver_offer(&fixture->driver, 0, 0);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 0);
	return request_status(fixture);
}

void assert_alive(Fixture *fixture)
{
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_cmpuint(run(fixture, TYPE_IN, 1, 512), ==, 0);
	g_assert_cmpmem(request_data(fixture), 512, fixture->node->data + 512, 512);
}

uint8_t run_range(Fixture *fixture, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	build(fixture, 0, type, 0, 16);
	memcpy(request_data(fixture), &sector, 8);
	memcpy(request_data(fixture) + 8, &n, 4);
	memcpy(request_data(fixture) + 12, &flags, 4);
	virtio_driver_offer(&fixture->driver, 0, 0);
	virtio_driver_wait(&fixture->driver, 0, NULL);
	return request_status(fixture);
}

gpointer release_soon(gpointer data)
{
	g_usleep(30000);
	node_release(data);
	return NULL;
}

void fill_with_reads(Fixture *fixture, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		build(fixture, i * 3, TYPE_IN, i, 512);
		virtio_driver_offer(&fixture->driver, 0, i * 3);
	}
	while (node_n_held(fixture->node) < n)
		g_usleep(100);
}

void assert_event(Fixture *fixture, const char *action, const char *operation)
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

void fail_with_stop(Fixture *fixture)
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
