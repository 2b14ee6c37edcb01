/*
 * test-virtio-rng.c: the entropy device
 *
 * The source is a fake that lives here: it gives a pattern, fewer bytes than asked, or nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "tests/device/virtio_driver.h"
#include "vmm/chardev/rng_backend.h"
#include "vmm/virtio/virtio_rng.h"

struct RngBackend {
	size_t most; /* bytes in one answer */
	bool hold;   /* do not answer */
	int error;   /* answer this */
	RngRequest *held;
	unsigned n_requests;
};

static void answer(gpointer data)
{
	RngRequest *request = data;
	RngBackend *backend = request->backend;
	size_t size = MIN(request->size, backend->most);

	if (backend->error) {
		request->complete(request, -backend->error);
		return;
	}
	memset(request->buffer, 0xab, size);
	request->complete(request, (int)size);
}

static void cancelled(gpointer data)
{
	RngRequest *request = data;

	request->complete(request, -ECANCELED);
}

void rng_backend_request(RngBackend *backend, IoLoop *loop, RngRequest *request)
{
	g_assert_true(io_loop_is_current(loop));
	g_assert_null(backend->held);
	request->backend = backend;
	request->loop = loop;
	backend->n_requests++;
	if (backend->hold)
		backend->held = request;
	else
		io_loop_post(loop, answer, request);
}

void rng_request_cancel(RngRequest *request)
{
	if (request->backend->held == request) {
		request->backend->held = NULL;
		io_loop_post(request->loop, cancelled, request);
	}
}

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	RngBackend backend;
	Device *device;
	VirtioDriver driver;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer options)
{
	g_autofree char *all = g_strconcat("rng=source", options ? "," : "", options, NULL);

	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->backend = (RngBackend){ .most = SIZE_MAX };
	fake_machine_set_rng(fixture->fake, "source", &fixture->backend);
	fixture->device = fake_machine_add(fixture->fake, &virtio_rng_type.pci.device, all);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	g_assert_null(fixture->backend.held);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
}

static uint64_t ask(Fixture *fixture, unsigned head, uint32_t size)
{
	uint64_t gpa = virtio_driver_alloc(&fixture->driver, size);

	virtio_ring_describe(&fixture->driver.rings[0], head, gpa, size, RING_WRITE, 0);
	virtio_driver_offer(&fixture->driver, 0, head);
	return gpa;
}

/* What the queue has done is counted, once each. */
static void test_counters(Fixture *fixture, gconstpointer data)
{
	const VirtqueueCounters *counters =
		&((VirtioDevice *)fixture->device)->queues[0].ring.counters;
	uint32_t length;

	(void)data;
	for (unsigned i = 0; i < 3; i++) {
		ask(fixture, 0, 64);
		virtio_driver_wait(&fixture->driver, 0, &length);
		virtio_driver_settle(fixture->loop);
	}
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(virtqueue_counted(&counters->requests), ==, 3);
	g_assert_cmpuint(virtqueue_counted(&counters->bytes), ==, 3 * 64);
	g_assert_cmpuint(virtqueue_counted(&counters->batches), ==, 3);
	g_assert_cmpuint(virtqueue_counted(&counters->kicks), ==, 3);
	/* For the later ones the ring's event index does not ask. */
	g_assert_cmpuint(virtqueue_counted(&counters->interrupts), ==, 1);
	g_assert_cmpuint(virtqueue_counted(&counters->polls), ==, 0);
}

static void test_bytes(Fixture *fixture, gconstpointer data)
{
	uint32_t length;
	uint64_t gpa;

	(void)data;
	gpa = ask(fixture, 0, 64);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 64);
	for (unsigned i = 0; i < 64; i++)
		g_assert_cmpuint(virtio_driver_ram(&fixture->driver, gpa)[i], ==, 0xab);
	/* More than is given at once: fewer bytes, which is allowed (§5.4.6.2). */
	ask(fixture, 0, 1 << 20);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, >, 0);
	g_assert_cmpuint(length, <=, 1 << 20);
	for (unsigned i = 0; i < 8; i++)
		ask(fixture, i, 16);
	for (unsigned i = 0; i < 8; i++)
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, i);
}

static void test_quota(Fixture *fixture, gconstpointer data)
{
	uint32_t id, length;

	(void)data; /* max-bytes=10,period=300 */
	ask(fixture, 0, 8);
	ask(fixture, 1, 8);
	ask(fixture, 2, 8);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 8);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 2);
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_ring_take_used(&fixture->driver.rings[0], &id, &length));
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 8);
}

static void test_bad(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_ring_describe(&fixture->driver.rings[0], 0, 0x1000, 64, 0, 0);
	virtio_driver_offer(&fixture->driver, 0, 0);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	test_bytes(fixture, NULL);
}

/* A source that fails is not asked again and again. */
static void test_failing_source(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->backend.error = EIO;
	ask(fixture, 0, 64);
	virtio_driver_settle(fixture->loop);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(fixture->backend.n_requests, ==, 1);
	fixture->backend.error = 0;
	virtio_driver_kick(&fixture->driver, 0);
	virtio_driver_wait(&fixture->driver, 0, NULL);
}

static void test_reset_in_flight(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->backend.hold = true;
	ask(fixture, 0, 64);
	virtio_driver_settle(fixture->loop);
	g_assert_nonnull(fixture->backend.held);
	virtio_driver_set_status(&fixture->driver, 0);
	g_assert_null(fixture->backend.held);
	fixture->backend.hold = false;
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	test_bytes(fixture, NULL);
}

static void test_unplug_in_flight(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->backend.hold = true;
	ask(fixture, 0, 64);
	virtio_driver_settle(fixture->loop);
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
}

static void test_state(Fixture *fixture, gconstpointer data)
{
	Device *other = fake_machine_add(fixture->fake, &virtio_rng_type.pci.device, "rng=source");

	(void)data;
	fixture->backend.hold = true;
	ask(fixture, 0, 64);
	virtio_driver_settle(fixture->loop);
	fixture->device->type->pause(fixture->device);
	fake_machine_check_state(fixture->device, other);
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
	fixture->backend.hold = false;
	other->type->resume(other);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 0);
	fake_machine_remove(fixture->fake, other);
}

static void add(const char *path, void (*func)(Fixture *, gconstpointer), const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-rng/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("bytes", test_bytes, NULL);
	add("counters", test_counters, NULL);
	add("quota", test_quota, "max-bytes=10,period=300");
	add("bad", test_bad, NULL);
	add("failing-source", test_failing_source, NULL);
	add("reset-in-flight", test_reset_in_flight, NULL);
	add("unplug-in-flight", test_unplug_in_flight, NULL);
	add("state", test_state, NULL);
	return g_test_run();
}
