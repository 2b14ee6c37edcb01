/*
 * test-virtio-blk-host.c: the block device over files of a real, and small, file system
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "qapi-types.h"
#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/base/fd.h"
#include "vmm/block/block.h"
#include "vmm/config/options.h"
#include "vmm/virtio/virtio_blk.h"

#define HOST_SIZE    "256k"	/* of the file system */
#define DISK_SIZE    (1u << 20) /* of each image in it, sparse */
#define REQUEST_SIZE (64u << 10)
#define ROOM	     (24u << 10)

enum { TYPE_IN = 0, TYPE_OUT = 1, STATUS_OK = 0, STATUS_IO_ERROR = 1, STATUS_NONE = 0xee };

typedef struct Fixture {
	char *directory, *filler;
	FakeMachine *fake;
	IoLoop *loop;
	BlockNodes *nodes;
	Device *device;
	VirtioDriver driver;
	uint64_t data, status; /* guest-physical, of the last request */
	QmpEventSink sink;
	GMutex lock;
	char *event; /* the last one's data */
} Fixture;

static bool can_mount; /* in a mount name space of our own: as root */

static void record_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	g_assert_cmpstr(name, ==, "BLOCK_IO_ERROR");
	g_mutex_lock(&fixture->lock);
	g_free(fixture->event);
	fixture->event = g_strdup(json_object_to_json_string(data));
	g_mutex_unlock(&fixture->lock);
	json_object_put(data);
}

static void assert_event(Fixture *fixture, const char *action, const char *nospace)
{
	g_mutex_lock(&fixture->lock);
	g_assert_nonnull(fixture->event);
	g_assert_nonnull(strstr(fixture->event, action));
	g_assert_nonnull(strstr(fixture->event, nospace));
	g_clear_pointer(&fixture->event, g_free);
	g_mutex_unlock(&fixture->lock);
}

/* All of the file system but ROOM, which is not enough for a request. */
static void fill(Fixture *fixture)
{
	autofd int fd = open(fixture->filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	char page[4096] = { 1 };
	off_t size = 0;

	g_assert_cmpint(fd, >=, 0);
	while (write(fd, page, sizeof(page)) == sizeof(page))
		size += sizeof(page);
	g_assert_cmpint(errno, ==, ENOSPC);
	g_assert_cmpint(ftruncate(fd, size - ROOM), ==, 0);
}

static void add_node(Fixture *fixture)
{
	g_autofree char *image = g_build_filename(fixture->directory, "image", NULL);
	g_autofree char *text = g_strdup_printf("driver=file,node-name=disk,filename=%s", image);
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed = options_parse(text, "driver", NULL);
	int fd = open(image, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(ftruncate(fd, DISK_SIZE), ==, 0);
	close(fd);
	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, &error);
	json_object_put(parsed);
	g_assert_no_error(error);
	block_nodes_add(fixture->nodes, options, &error);
	g_assert_no_error(error);
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	g_autofree char *options = g_strconcat("drive=disk", data, NULL);

	fixture->directory = g_dir_make_tmp("vireo-host-XXXXXX", NULL);
	fixture->filler = g_build_filename(fixture->directory, "filler", NULL);
	if (can_mount)
		g_assert_cmpint(mount("none", fixture->directory, "tmpfs", 0, "size=" HOST_SIZE),
				==, 0);
	fixture->nodes = block_nodes_new();
	add_node(fixture);
	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->sink = (QmpEventSink){ .emit = record_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fake_machine_set_block_node(fixture->fake, "disk",
				    block_nodes_find(fixture->nodes, "disk"));
	fixture->device = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, options);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	g_autofree char *image = g_build_filename(fixture->directory, "image", NULL);

	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	block_nodes_free(fixture->nodes);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	g_unlink(fixture->filler);
	g_unlink(image);
	if (can_mount)
		g_assert_cmpint(umount(fixture->directory), ==, 0);
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->directory);
	g_free(fixture->filler);
	g_free(fixture->event);
}

/* Offer a request for REQUEST_SIZE bytes at @sector; those of a write are all @byte. */
static void offer(Fixture *fixture, uint32_t type, uint64_t sector, uint8_t byte)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[0];
	uint64_t header = virtio_driver_alloc(driver, 16);

	fixture->data = virtio_driver_alloc(driver, REQUEST_SIZE);
	fixture->status = virtio_driver_alloc(driver, 1);
	memcpy(virtio_driver_ram(driver, header), &type, 4);
	memcpy(virtio_driver_ram(driver, header + 8), &sector, 8);
	memset(virtio_driver_ram(driver, fixture->data), byte, REQUEST_SIZE);
	*virtio_driver_ram(driver, fixture->status) = STATUS_NONE;
	virtio_ring_describe(ring, 0, header, 16, RING_NEXT, 1);
	virtio_ring_describe(ring, 1, fixture->data, REQUEST_SIZE,
			     RING_NEXT | (type == TYPE_IN ? RING_WRITE : 0), 2);
	virtio_ring_describe(ring, 2, fixture->status, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, 0, 0);
}

static uint8_t request_status(Fixture *fixture)
{
	return *virtio_driver_ram(&fixture->driver, fixture->status);
}

static uint8_t run(Fixture *fixture, uint32_t type, uint64_t sector, uint8_t byte)
{
	offer(fixture, type, sector, byte);
	virtio_driver_wait(&fixture->driver, 0, NULL);
	return request_status(fixture);
}

static void assert_reads(Fixture *fixture, uint64_t sector, uint8_t byte)
{
	const uint8_t *data;

	g_assert_cmpuint(run(fixture, TYPE_IN, sector, 0xcc), ==, STATUS_OK);
	data = virtio_driver_ram(&fixture->driver, fixture->data);
	for (unsigned i = 0; i < REQUEST_SIZE; i++)
		g_assert_cmpuint(data[i], ==, byte);
}

static bool skipped(void)
{
	if (!can_mount)
		g_test_skip("mounting a file system needs root");
	return !can_mount;
}

/* The device asks for the machine to stop, which it does; the request is not answered. */
static void assert_stops(Fixture *fixture)
{
	FakeRequest request;

	for (unsigned i = 0; !fake_machine_take_request(fixture->fake, &request); i++) {
		g_assert_cmpuint(i, <, 100000);
		g_usleep(100);
	}
	g_assert_cmpint(request.request, ==, RUN_REQUEST_IO_ERROR);
	assert_event(fixture, "\"stop\"", "\"nospace\": true");
	fixture->device->type->pause(fixture->device);
	g_assert_cmpuint(request_status(fixture), ==, STATUS_NONE);
	g_assert_cmpint(virtio_blk_io_status(fixture->device), ==,
			QAPI_BLOCK_DEVICE_IO_STATUS_NOSPACE);
}

/* By default the machine stops, and when there is room it goes on as if nothing had been. */
static void test_stops(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (skipped())
		return;
	fill(fixture);
	offer(fixture, TYPE_OUT, 256, 0x77);
	assert_stops(fixture);
	/* Made to go on without room, it stops again. */
	fixture->device->type->resume(fixture->device);
	assert_stops(fixture);
	g_assert_cmpint(g_unlink(fixture->filler), ==, 0);
	fixture->device->type->resume(fixture->device);
	virtio_driver_wait(&fixture->driver, 0, NULL);
	g_assert_cmpuint(request_status(fixture), ==, STATUS_OK);
	g_assert_cmpint(virtio_blk_io_status(fixture->device), ==, QAPI_BLOCK_DEVICE_IO_STATUS_OK);
	assert_reads(fixture, 256, 0x77);
}

/* Told of it, the guest has an error, what was there before, and a disk that still works. */
static void test_reports(Fixture *fixture, gconstpointer data)
{
	FakeRequest request;

	(void)data;
	if (skipped())
		return;
	g_assert_cmpuint(run(fixture, TYPE_OUT, 0, 0x11), ==, STATUS_OK);
	fill(fixture);
	g_assert_cmpuint(run(fixture, TYPE_OUT, 256, 0x77), ==, STATUS_IO_ERROR);
	assert_event(fixture, "\"report\"", "\"nospace\": true");
	g_assert_false(fake_machine_take_request(fixture->fake, &request));
	/* Where there are blocks already nothing is missing. */
	assert_reads(fixture, 0, 0x11);
	g_assert_cmpuint(run(fixture, TYPE_OUT, 0, 0x22), ==, STATUS_OK);
	assert_reads(fixture, 0, 0x22);
	g_assert_cmpint(g_unlink(fixture->filler), ==, 0);
	g_assert_cmpuint(run(fixture, TYPE_OUT, 256, 0x77), ==, STATUS_OK);
	assert_reads(fixture, 256, 0x77);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	can_mount = unshare(CLONE_NEWNS) == 0 &&
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
#define ADD_TEST(name, data, function) \
	g_test_add("/virtio-blk/host/" name, Fixture, data, set_up, function, tear_down)
	ADD_TEST("disk-full/stops", "", test_stops);
	ADD_TEST("disk-full/stops-packed", ",packed=on", test_stops);
	ADD_TEST("disk-full/reports", ",werror=report", test_reports);
	return g_test_run();
}
