/*
 * test-virtio-net-vhost.c: the network card whose frames the kernel passes on
 *
 * The kernel is a fake, which notes what it is told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_net_fixture.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/vhost/vhost_kernel.h"

#define PATIENCE_MS 30000
#define F_CSUM	    VIRTIO_FEATURE(0)

typedef struct FakeKernel {
	Vhost vhost;
	int fd, tap;
	uint64_t features; /* as it was started with */
	VhostVring vrings[2];
	unsigned n_vrings; /* 0: stopped */
	unsigned n_regions;
	bool refuses;
	bool logs; /* it has a log, or a part of what it was told of one */
} FakeKernel;

static FakeKernel *kernels[QUEUES];
static unsigned n_kernels;

static bool kernel_start(Vhost *vhost, uint64_t features, const VhostMemory *memory,
			 const VhostVring *vrings, unsigned n_vrings, GError **error)
{
	FakeKernel *kernel = (FakeKernel *)vhost;

	if (kernel->refuses)
		return error_fail(error, "the kernel does not want to");
	g_assert_cmpuint(kernel->n_vrings, ==, 0);
	g_assert_cmpuint(n_vrings, <=, G_N_ELEMENTS(kernel->vrings));
	kernel->features = features;
	kernel->n_vrings = n_vrings;
	kernel->n_regions = memory->n_regions;
	memcpy(kernel->vrings, vrings, n_vrings * sizeof(*vrings));
	return true;
}

static bool kernel_stop(Vhost *vhost, G_GNUC_UNUSED VhostVring *vrings, unsigned n_vrings,
			G_GNUC_UNUSED GError **error)
{
	FakeKernel *kernel = (FakeKernel *)vhost;

	g_assert_cmpuint(n_vrings, ==, kernel->n_vrings);
	kernel->n_vrings = 0;
	return true;
}

static bool kernel_set_memory(Vhost *vhost, const VhostMemory *memory, G_GNUC_UNUSED GError **error)
{
	((FakeKernel *)vhost)->n_regions = memory->n_regions;
	return true;
}

/* Refused half-way: with the log, but not for all rings. */
static bool kernel_set_log(Vhost *vhost, G_GNUC_UNUSED uint64_t features, const VhostLog *log,
			   G_GNUC_UNUSED const VhostVring *vrings, G_GNUC_UNUSED unsigned n_vrings,
			   GError **error)
{
	FakeKernel *kernel = (FakeKernel *)vhost;

	kernel->logs = log->size > 0;
	if (kernel->logs && kernel->refuses)
		return error_fail(error, "the kernel does not want to");
	return true;
}

static void kernel_free(Vhost *vhost)
{
	g_assert_cmpuint(((FakeKernel *)vhost)->n_vrings, ==, 0);
	g_free(vhost);
	n_kernels--;
}

static const VhostOps kernel_ops = {
	.start = kernel_start,
	.stop = kernel_stop,
	.set_memory = kernel_set_memory,
	.set_log = kernel_set_log,
	.free = kernel_free,
};

Vhost *vhost_kernel_new_net(int fd, int tap, G_GNUC_UNUSED GError **error)
{
	FakeKernel *kernel = g_new0(FakeKernel, 1);

	kernel->vhost.ops = &kernel_ops;
	kernel->vhost.can_log = true;
	kernel->vhost.features = VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | F_MRG_RXBUF |
				 VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) |
				 VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC);
	kernel->fd = fd;
	kernel->tap = tap;
	kernels[n_kernels++] = kernel;
	return &kernel->vhost;
}

/* Give the fixture a card of vhost's in place of its own, with @options. */
static void use_vhost(Fixture *fixture, const char *options)
{
	g_autofree char *all = g_strconcat("netdev=net0,mac=52:54:00:01:02:03", options, NULL);

	fake_machine_remove(fixture->fake, fixture->device);
	fixture->netdev->has_vhost = true;
	fixture->device = fake_machine_add(fixture->fake, &virtio_net_type.pci.device, all);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
}

static bool runs(gpointer data)
{
	return ((FakeKernel *)data)->n_vrings == 2;
}

static bool stopped(gpointer data)
{
	return ((FakeKernel *)data)->n_vrings == 0;
}

static void wait_until(Fixture *fixture, bool (*condition)(gpointer data), FakeKernel *kernel)
{
	g_assert_true(fake_machine_run_until(fixture->fake, condition, kernel, PATIENCE_MS));
}

/* @vring is where the driver has queue @index. */
static void check_ring(VirtioDriver *driver, unsigned index, const VhostVring *vring)
{
	VirtioRing *ring = &driver->rings[index];

	virtio_ring_describe(ring, 0, 0x1234567890 + index, 77, 0, 0);
	g_assert_cmpmem(vring->descriptors, 16, virtio_driver_ram(driver, ring->descriptors), 16);
	g_assert_cmpuint(vring->size, ==, ring->size);
}

/* The kernel is told where rings are and how to notify; what breaks there is the driver's to know.
 */
static void test_error(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	use_vhost(fixture, "");
	g_assert_cmpuint(n_kernels, ==, 1);
	for (unsigned turn = 0; turn < 2; turn++) {
		virtio_driver_start(driver, F_ALL);
		wait_until(fixture, runs, kernels[0]);
		g_assert_true(kernels[0]->features & F_MRG_RXBUF);
		g_assert_cmpuint(kernels[0]->n_regions, ==, 1);
		for (unsigned i = 0; i < 2; i++) {
			const VhostVring *vring = &kernels[0]->vrings[i];

			g_assert_cmpuint(vring->index, ==, i);
			check_ring(driver, i, vring);
			g_assert_cmpint(vring->call_fd, ==,
					fake_machine_route_eventfd(fixture->fake, i + 1));
			g_assert_cmpint(vring->kick_fd, >=, 0);
			g_assert_cmpint(vring->error_fd, >=, 0);
		}
		fake_machine_iterate(fixture->fake);
		g_assert_false(virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
		fd_event_signal(kernels[0]->vrings[turn].error_fd);
		g_assert_true(virtio_driver_wait_needs_reset(driver));
		g_assert_true(virtio_driver_wait_interrupt(driver, 0));
		/* The driver resets the card, and all is well. */
	}
	virtio_driver_set_status(driver, 0);
	wait_until(fixture, stopped, kernels[0]);
}

static void test_refused(Fixture *fixture, gconstpointer data)
{
	(void)data;
	use_vhost(fixture, "");
	kernels[0]->refuses = true;
	virtio_driver_start(&fixture->driver, F_ALL);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
	kernels[0]->refuses = false;
	virtio_driver_start(&fixture->driver, F_ALL);
	wait_until(fixture, runs, kernels[0]);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
}

/* A pair has a kernel of its own; while the link is down none has rings. */
static void test_queues_and_link(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	use_vhost(fixture, ",mq=on");
	g_assert_cmpuint(n_kernels, ==, QUEUES);
	virtio_driver_start(driver, F_ALL);
	fixture->control = 2 * QUEUES;
	for (unsigned i = 0; i < QUEUES; i++) {
		wait_until(fixture, runs, kernels[i]);
		g_assert_cmpint(kernels[i]->fd, ==, 1000 + (int)i);
		g_assert_cmpint(kernels[i]->tap, ==, 2000 + (int)i);
		check_ring(driver, 2 * i + 1, &kernels[i]->vrings[1]);
	}
	g_assert_cmpuint(control(fixture, 4, 0, "\2\0", 2), ==, 0);
	g_assert_cmpuint(fixture->netdev->n_used, ==, 2);
	fixture->netdev->link_up = false;
	fixture->netdev->listener->link_changed(fixture->netdev->opaque, false);
	for (unsigned i = 0; i < QUEUES; i++)
		wait_until(fixture, stopped, kernels[i]);
	fixture->netdev->link_up = true;
	fixture->netdev->listener->link_changed(fixture->netdev->opaque, true);
	for (unsigned i = 0; i < QUEUES; i++)
		wait_until(fixture, runs, kernels[i]);
}

/* None goes on marking in a log that another would not have: it is gone by then. */
static void test_log_refused(Fixture *fixture, gconstpointer data)
{
	GuestMemory *memory = fixture->fake->services.memory;
	g_autoptr(GError) error = NULL;
	DirtyTracker *tracker;

	(void)data;
	fake_machine_unwatch(fixture->fake);
	use_vhost(fixture, ",mq=on");
	virtio_driver_start(&fixture->driver, F_ALL);
	for (unsigned i = 0; i < QUEUES; i++)
		wait_until(fixture, runs, kernels[i]);
	kernels[1]->refuses = true;
	g_assert_null(dirty_tracker_new(memory, &error));
	g_assert_nonnull(error);
	for (unsigned i = 0; i < QUEUES; i++)
		g_assert_false(kernels[i]->logs);
	kernels[1]->refuses = false;
	tracker = dirty_tracker_new(memory, NULL);
	g_assert_nonnull(tracker);
	for (unsigned i = 0; i < QUEUES; i++)
		g_assert_true(kernels[i]->logs);
	dirty_tracker_free(tracker);
	for (unsigned i = 0; i < QUEUES; i++)
		g_assert_false(kernels[i]->logs);
}

/* What the properties say no to is not offered, whatever kernel and netdev can do. */
static void test_offered(Fixture *fixture, gconstpointer data)
{
	(void)data;
	use_vhost(fixture, "");
	g_assert_cmphex(virtio_driver_offered(&fixture->driver) & (F_MRG_RXBUF | F_CSUM), ==,
			F_MRG_RXBUF | F_CSUM);
	use_vhost(fixture, ",mrg_rxbuf=off,csum=off");
	g_assert_cmphex(virtio_driver_offered(&fixture->driver) & (F_MRG_RXBUF | F_CSUM), ==, 0);
	virtio_driver_start(&fixture->driver, F_ALL);
	wait_until(fixture, runs, kernels[0]);
	g_assert_false(kernels[0]->features & F_MRG_RXBUF);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	net_fixture_add("vhost/error", test_error, NULL);
	net_fixture_add("vhost/refused", test_refused, NULL);
	net_fixture_add("vhost/queues-and-link", test_queues_and_link, "mq=off");
	net_fixture_add("vhost/log-refused", test_log_refused, "mq=off");
	net_fixture_add("vhost/offered", test_offered, NULL);
	return g_test_run();
}
