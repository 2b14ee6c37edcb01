/*
 * test-virtio-blk-locked.c: the block device of a guest whose memory keeps its pages
 *
 * That memory is registered with the rings of I/O threads (vmm/base/io_buffers.c): reads and writes
 * go by its pages, wherever else those are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qapi-types.h"
#include "tests/device/virtio_driver.h"
#include "vmm/base/io_ring.h"
#include "vmm/block/block.h"
#include "vmm/config/options.h"
#include "vmm/virtio/virtio_blk.h"

#define DISK_SIZE    (1u << 20)
#define PAGE	     4096u
#define SECTOR	     512u
#define RAM_SIZE     (16u << 20) /* of virtio_driver_machine() */
#define DEVICE_PAGES 16u

enum { TYPE_IN = 0, TYPE_OUT = 1, STATUS_OK = 0, STATUS_NONE = 0xee };

typedef struct Fixture {
	char *directory, *image;
	FakeMachine *fake;
	IoLoop *loop, *others[2];
	BlockNodes *nodes;
	Device *device;
	VirtioDriver driver;
	uint64_t header, status, data; /* guest-physical; @data is page aligned */
} Fixture;

/* How a machine is set up. */
typedef struct Kind {
	bool kept;
	const char *node, *device; /* options */
} Kind;

static const Kind kept = { true, "", "drive=disk" };
static const Kind queues = { true, "",
			     "{\"drive\": \"disk\", \"num-queues\": 2, \"iothread-vq-mapping\": "
			     "[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]}" };
static const Kind not_kept = { false, "", "drive=disk" };
static const Kind threads = { true, ",aio=threads", "drive=disk" };

/* Whether the kernel registers as much memory for us, and has transfers of several pieces of it. */
static bool can_register, has_vectors;

static void find_out(void)
{
	struct io_uring ring;
	void *memory = g_malloc0(RAM_SIZE);
	const struct iovec area = { memory, RAM_SIZE };
	struct io_uring_probe *probe;

	if (io_uring_queue_init(1, &ring, 0) == 0) {
		can_register = io_uring_register_buffers(&ring, &area, 1) == 0;
		probe = io_uring_get_probe_ring(&ring);
		has_vectors = probe && io_uring_opcode_supported(probe, IO_RING_OP_READV_FIXED);
		io_uring_free_probe(probe);
		io_uring_queue_exit(&ring);
	}
	g_free(memory);
}

/* What the image has at @offset at first. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset / SECTOR * 7 + offset);
}

static void make_image(Fixture *fixture)
{
	g_autofree char *bytes = g_malloc(DISK_SIZE);

	for (uint32_t i = 0; i < DISK_SIZE; i++)
		bytes[i] = (char)byte_at(i);
	fixture->directory = g_dir_make_tmp("vireo-locked-XXXXXX", NULL);
	fixture->image = g_build_filename(fixture->directory, "image", NULL);
	g_assert_true(g_file_set_contents(fixture->image, bytes, DISK_SIZE, NULL));
}

static void add_node(Fixture *fixture, const char *more)
{
	g_autofree char *text = g_strdup_printf("driver=file,node-name=disk,filename=%s%s",
						fixture->image, more);
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed = options_parse(text, "driver", NULL);

	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, &error);
	json_object_put(parsed);
	g_assert_no_error(error);
	block_nodes_add(fixture->nodes, options, &error);
	g_assert_no_error(error);
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	static const char *const names[] = { "io0", "io1" };
	const Kind *kind = data;
	VirtioDriver *driver = &fixture->driver;

	make_image(fixture);
	fixture->fake = virtio_driver_machine(&fixture->loop);
	/* To the kernel, memory that is registered is written. */
	fake_machine_unwatch(fixture->fake);
	if (kind->kept)
		guest_memory_keep(fixture->fake->services.memory);
	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		fixture->others[i] = io_loop_new(names[i], NULL, NULL, NULL);
		fake_machine_set_io_loop(fixture->fake, names[i], fixture->others[i]);
	}
	fixture->nodes = block_nodes_new();
	block_nodes_set_memory(fixture->nodes, fixture->fake->services.memory, NULL);
	add_node(fixture, kind->node);
	fake_machine_set_block_node(fixture->fake, "disk",
				    block_nodes_find(fixture->nodes, "disk"));
	fixture->device =
		fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, kind->device);
	virtio_driver_probe(driver, fixture->fake, fixture->device);
	virtio_driver_start(driver, UINT64_MAX);
	fixture->header = virtio_driver_alloc(driver, 16);
	fixture->status = virtio_driver_alloc(driver, 1);
	fixture->data = (virtio_driver_alloc(driver, 65 * PAGE) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	block_nodes_free(fixture->nodes);
	io_loop_free(fixture->loop);
	for (unsigned i = 0; i < G_N_ELEMENTS(fixture->others); i++)
		io_loop_free(fixture->others[i]);
	fake_machine_free(fixture->fake);
	g_assert_cmpint(g_unlink(fixture->image), ==, 0);
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->image);
	g_free(fixture->directory);
}

static bool skipped(void)
{
	if (!can_register)
		g_test_skip("the kernel does not register memory for us");
	return !can_register;
}

static uint64_t n_registered(const Fixture *fixture, unsigned queue)
{
	const VirtioDevice *virtio = (const VirtioDevice *)fixture->device;

	return virtqueue_counted(&virtio->queues[queue].ring.counters.registered);
}

/* Offer, to @queue, a transfer of @n_pages in as many segments as @n_segments at @gpa. */
static void offer(Fixture *fixture, unsigned queue, uint32_t type, uint64_t sector, uint64_t gpa,
		  unsigned n_pages, unsigned n_segments)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[queue];
	uint32_t size = n_pages / n_segments * PAGE;
	uint16_t flags = RING_NEXT | (type == TYPE_IN ? RING_WRITE : 0);

	memcpy(virtio_driver_ram(driver, fixture->header), &type, 4);
	memcpy(virtio_driver_ram(driver, fixture->header + 8), &sector, 8);
	*virtio_driver_ram(driver, fixture->status) = STATUS_NONE;
	virtio_ring_describe(ring, 0, fixture->header, 16, RING_NEXT, 1);
	/* The last part first, as neighbours would be one segment. */
	for (unsigned i = 0; i < n_segments; i++)
		virtio_ring_describe(ring, i + 1, gpa + (n_segments - 1 - i) * size, size, flags,
				     i + 2);
	virtio_ring_describe(ring, n_segments + 1, fixture->status, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, queue, 0);
}

static void run(Fixture *fixture, unsigned queue, uint32_t type, uint64_t sector, uint64_t gpa,
		unsigned n_pages, unsigned n_segments)
{
	offer(fixture, queue, type, sector, gpa, n_pages, n_segments);
	virtio_driver_wait(&fixture->driver, queue, NULL);
	g_assert_cmpuint(*virtio_driver_ram(&fixture->driver, fixture->status), ==, STATUS_OK);
}

/* That @size bytes at @memory are what the image has from @offset on. */
static void assert_image(const uint8_t *memory, uint64_t offset, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		g_assert_cmpuint(memory[i], ==, byte_at(offset + i));
}

static uint8_t *data_of(Fixture *fixture)
{
	return virtio_driver_ram(&fixture->driver, fixture->data);
}

/* One segment or several, aligned or not: the bytes are the disk's. */
static void test_transfers(Fixture *fixture, gconstpointer data)
{
	uint8_t *memory = data_of(fixture);
	g_autofree char *image = NULL;

	(void)data;
	if (skipped())
		return;
	run(fixture, 0, TYPE_IN, 16, fixture->data, 1, 1);
	assert_image(memory, 16 * SECTOR, PAGE);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 1);
	run(fixture, 0, TYPE_IN, 8, fixture->data + SECTOR, 64, 1);
	assert_image(memory + SECTOR, 8 * SECTOR, 64 * PAGE);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 2);
	run(fixture, 0, TYPE_IN, 32, fixture->data, 2, 2);
	assert_image(memory + PAGE, 32 * SECTOR, PAGE);
	assert_image(memory, 32 * SECTOR + PAGE, PAGE);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 2 + has_vectors);
	memset(memory, 0x5a, 4 * PAGE);
	run(fixture, 0, TYPE_OUT, 64, fixture->data, 2, 1);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 3 + has_vectors);
	run(fixture, 0, TYPE_OUT, 80, fixture->data, 2, 2);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 3 + 2 * has_vectors);
	g_assert_true(g_file_get_contents(fixture->image, &image, NULL, NULL));
	g_assert_cmpmem(image + 64 * SECTOR, 4 * PAGE, memory, 4 * PAGE);
	assert_image((uint8_t *)image, 0, 64 * SECTOR);
	assert_image((uint8_t *)image + 64 * SECTOR + 4 * PAGE, 64 * SECTOR + 4 * PAGE, PAGE);
}

/* Memory that may lose its pages, and threads that know no ring, do without. */
static void test_unregistered(Fixture *fixture, gconstpointer data)
{
	(void)data;
	run(fixture, 0, TYPE_IN, 16, fixture->data, 1, 1);
	assert_image(data_of(fixture), 16 * SECTOR, PAGE);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 0);
}

/* Each queue's loop has a ring of its own. */
static void test_queues(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (skipped())
		return;
	for (unsigned queue = 0; queue < 2; queue++) {
		run(fixture, queue, TYPE_IN, 24, fixture->data + queue * PAGE, 1, 1);
		assert_image(data_of(fixture) + queue * PAGE, 24 * SECTOR, PAGE);
		g_assert_cmpuint(n_registered(fixture, queue), ==, 1);
	}
}

/* What anybody discards stays, and so does what is read into it. */
static void test_discard(Fixture *fixture, gconstpointer data)
{
	GuestMemory *memory = fixture->fake->services.memory;
	void *hva = guest_memory_hva(memory, fixture->data, 2 * PAGE, true);

	(void)data;
	if (skipped())
		return;
	memset(data_of(fixture), 0x77, 2 * PAGE);
	g_assert_true(guest_memory_discard(memory, hva, 2 * PAGE));
	g_assert_cmpuint(data_of(fixture)[PAGE], ==, 0x77);
	run(fixture, 0, TYPE_IN, 40, fixture->data, 1, 1);
	assert_image(data_of(fixture), 40 * SECTOR, PAGE);
	g_assert_cmpuint(data_of(fixture)[PAGE], ==, 0x77);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 1);
	/* That this is not for nothing: the kernel does use the page that was there. */
	g_assert_no_errno(madvise(hva, PAGE, fixture->fake->watch ? MADV_REMOVE : MADV_DONTNEED));
	run(fixture, 0, TYPE_IN, 40, fixture->data, 1, 1);
	for (unsigned i = 0; i < PAGE; i++)
		g_assert_cmpuint(((uint8_t *)hva)[i], ==, 0);
}

/* A memory device's memory comes, is transferred to, discarded, transferred to again, and goes. */
static void test_memory_device(Fixture *fixture, gconstpointer data)
{
	GuestMemory *memory = fixture->fake->services.memory;
	uint8_t *hva = mmap(NULL, DEVICE_PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const GuestMemoryRegion region = {
		.gpa = FAKE_MACHINE_MEMORY_DEVICE,
		.size = DEVICE_PAGES * PAGE,
		.hva = hva,
		.fd = -1,
		.is_device = true,
	};

	(void)data;
	if (skipped())
		return;
	g_assert_true(hva != MAP_FAILED);
	g_assert_true(guest_memory_add(memory, &region, NULL));
	for (unsigned i = 0; i < 2; i++) {
		run(fixture, 0, TYPE_IN, 8, region.gpa, DEVICE_PAGES, 1);
		assert_image(hva, 8 * SECTOR, DEVICE_PAGES * PAGE);
		g_assert_true(guest_memory_discard(memory, hva, region.size));
		for (unsigned at = 0; at < region.size; at++)
			g_assert_cmpuint(hva[at], ==, 0);
	}
	g_assert_cmpuint(n_registered(fixture, 0), ==, 0);
	fixture->device->type->pause(fixture->device);
	guest_memory_remove(memory, region.gpa);
	munmap(hva, region.size);
	fixture->device->type->resume(fixture->device);
	run(fixture, 0, TYPE_IN, 8, fixture->data, 1, 1);
	assert_image(data_of(fixture), 8 * SECTOR, PAGE);
	g_assert_cmpuint(n_registered(fixture, 0), ==, 1);
}

/* What is read is marked, and only that. */
static void test_dirty(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	DirtyTracker *tracker = dirty_tracker_new(fixture->fake->services.memory, &error);
	g_autofree uint64_t *marked = NULL;
	uint64_t page = fixture->data / PAGE;

	(void)data;
	g_assert_no_error(error);
	marked = g_new0(uint64_t, dirty_tracker_words(tracker));
	if (!skipped()) {
		dirty_tracker_take(tracker, marked);
		memset(marked, 0, dirty_tracker_words(tracker) * sizeof(*marked));
		run(fixture, 0, TYPE_IN, 8, fixture->data, 3, 1);
		g_assert_cmpuint(n_registered(fixture, 0), ==, 1);
		dirty_tracker_take(tracker, marked);
		for (uint64_t i = page; i < page + 4; i++)
			g_assert_cmpint(marked[i / 64] >> (i % 64) & 1, ==, i < page + 3);
	}
	dirty_tracker_free(tracker);
}

/* Reset, again and again, with requests that may be anywhere. */
static void test_reset(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	if (skipped())
		return;
	for (unsigned i = 0; i < 50; i++) {
		offer(fixture, 0, TYPE_IN, 8, fixture->data, 64, 1);
		virtio_driver_set_status(driver, 0);
		virtio_driver_start(driver, UINT64_MAX);
	}
	run(fixture, 0, TYPE_IN, 8, fixture->data, 64, 1);
	assert_image(data_of(fixture), 8 * SECTOR, 64 * PAGE);
	/* And it goes with one on its way. */
	offer(fixture, 0, TYPE_IN, 8, fixture->data, 64, 1);
}

static void add(const char *name, const Kind *kind, void (*test)(Fixture *, gconstpointer))
{
	g_autofree char *path = g_strconcat("/virtio-blk-locked/", name, NULL);

	g_test_add(path, Fixture, kind, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	find_out();
	add("transfers", &kept, test_transfers);
	add("not-kept", &not_kept, test_unregistered);
	add("threads", &threads, test_unregistered);
	add("queues", &queues, test_queues);
	add("discard", &kept, test_discard);
	add("memory-device", &kept, test_memory_device);
	add("dirty", &kept, test_dirty);
	add("reset", &kept, test_reset);
	return g_test_run();
}
