/*
 * test-virtio-mem.c: memory that grows and shrinks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>

#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/memory/memory_backend.h"
#include "vmm/virtio/virtio_mem.h"

#define MIB  (UINT64_C(1) << 20)
#define SIZE (1024 * MIB)
#define BASE FAKE_MACHINE_MEMORY_DEVICE
#define BLOCK (2 * MIB)

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	MemoryBackend *backend;
	Device *device;
	VirtioDriver driver;
	QmpEventSink sink;
	uint64_t size; /* of the last event */
	unsigned n_events;
} Fixture;

static void record_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	if (strcmp(name, "MEMORY_DEVICE_SIZE_CHANGE") == 0) {
		fixture->n_events++;
		fixture->size = json_object_get_uint64(json_object_object_get(data, "size"));
	}
	json_object_put(data);
}

static MemoryBackend *new_backend(void)
{
	char id[] = "mem";
	const MemoryBackendConfig config = { .id = id, .size = SIZE, .dump = true };
	g_autoptr(GError) error = NULL;
	MemoryBackend *backend = memory_backend_new(&config, &error);

	g_assert_no_error(error);
	return backend;
}

static void set_up(Fixture *fixture, gconstpointer options)
{
	g_autofree char *all = g_strconcat("memdev=mem", options ? "," : "", options, NULL);

	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->backend = new_backend();
	fixture->sink = (QmpEventSink){ .emit = record_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fake_machine_set_memory(fixture->fake, "mem", fixture->backend);
	fixture->device = fake_machine_add(fixture->fake, &virtio_mem_type.pci.device, all);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	g_assert_null(guest_memory_hva(fixture->fake->services.memory, BASE, 1, true));
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	memory_backend_free(fixture->backend);
}

/* Ask, and return the answer's type; *@state is its state if not NULL. */
static unsigned ask(Fixture *fixture, unsigned type, uint64_t address, unsigned n, unsigned *state)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t request = virtio_driver_alloc(driver, 24), answer = virtio_driver_alloc(driver, 10);
	uint8_t *bytes = virtio_driver_ram(driver, request);
	uint16_t values[] = { (uint16_t)type, (uint16_t)n };
	uint32_t length;

	memcpy(bytes, &values[0], 2);
	memcpy(bytes + 8, &address, 8);
	memcpy(bytes + 16, &values[1], 2);
	memset(virtio_driver_ram(driver, answer), 0xff, 10);
	virtio_ring_describe(&driver->rings[0], 0, request, 24, RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[0], 1, answer, 10, RING_WRITE, 0);
	virtio_driver_offer(driver, 0, 0);
	virtio_driver_wait(driver, 0, &length);
	g_assert_cmpuint(length, ==, 10);
	bytes = virtio_driver_ram(driver, answer);
	if (state)
		*state = bytes[8];
	return bytes[0];
}

static uint64_t config(Fixture *fixture, unsigned offset)
{
	return virtio_driver_read_config(&fixture->driver, offset, 4) |
	       (uint64_t)virtio_driver_read_config(&fixture->driver, offset + 4, 4) << 32;
}

static bool set_requested(Fixture *fixture, uint64_t size)
{
	const DeviceAttribute *attribute = fixture->device->type->attributes;
	json_object *value = json_object_new_uint64(size);
	bool done;

	while (strcmp(attribute->name, "requested-size") != 0)
		attribute++;
	done = attribute->set(fixture->device, value, NULL);
	json_object_put(value);
	return done;
}

static void test_config(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_cmpuint(config(fixture, 0), ==, BLOCK);
	g_assert_cmphex(config(fixture, 16), ==, BASE);
	g_assert_cmpuint(config(fixture, 24), ==, SIZE);
	g_assert_cmpuint(config(fixture, 32), ==, 16 * MIB + 256 * MIB);
	g_assert_cmpuint(config(fixture, 40), ==, 0);
	g_assert_cmpuint(config(fixture, 48), ==, 16 * MIB);
	/* It is no part of what the machine was given. */
	g_assert_cmpuint(guest_memory_size(fixture->fake->services.memory), ==,
			 fixture->fake->ram_size);
	g_assert_true(set_requested(fixture, 900 * MIB));
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 0));
	g_assert_cmpuint(config(fixture, 48), ==, 900 * MIB);
	g_assert_cmpuint(config(fixture, 32), ==, SIZE);
	g_assert_false(set_requested(fixture, SIZE + BLOCK));
	g_assert_false(set_requested(fixture, MIB));
	g_assert_false(set_requested(fixture, UINT64_MAX));
	/* Where blocks can be plugged does not shrink under the driver. */
	g_assert_true(set_requested(fixture, 0));
	g_assert_cmpuint(config(fixture, 32), ==, SIZE);
	g_assert_cmpuint(ask(fixture, UNPLUG_ALL, 0, 0, NULL), ==, ACK);
	g_assert_cmpuint(config(fixture, 32), ==, 0);
}

static void test_plug(Fixture *fixture, gconstpointer data)
{
	uint8_t *hva = fixture->backend->hva;
	unsigned state;

	(void)data; /* requested: 16 MiB */
	g_assert_cmpuint(ask(fixture, PLUG, BASE + BLOCK, 4, NULL), ==, ACK);
	g_assert_cmpuint(config(fixture, 40), ==, 8 * MIB);
	g_assert_cmpuint(fixture->size, ==, 8 * MIB);
	g_assert_cmpuint(ask(fixture, PLUG, BASE, 2, NULL), ==, ERROR); /* one is there */
	g_assert_cmpuint(ask(fixture, PLUG, BASE + 5 * BLOCK, 5, NULL), ==, NACK); /* too much */
	g_assert_cmpuint(ask(fixture, PLUG, BASE + 5 * BLOCK, 4, NULL), ==, ACK);
	g_assert_cmpuint(config(fixture, 40), ==, 16 * MIB);
	g_assert_cmpuint(ask(fixture, STATE, BASE + BLOCK, 8, &state), ==, ACK);
	g_assert_cmpuint(state, ==, 0);
	g_assert_cmpuint(ask(fixture, STATE, BASE, 2, &state), ==, ACK);
	g_assert_cmpuint(state, ==, 2);
	g_assert_cmpuint(ask(fixture, STATE, BASE, 1, &state), ==, ACK);
	g_assert_cmpuint(state, ==, 1);
	/* What is unplugged is gone, and only that. */
	memset(hva + BLOCK, 0x55, 2 * BLOCK);
	g_assert_cmpuint(ask(fixture, UNPLUG, BASE + BLOCK, 1, NULL), ==, ACK);
	g_assert_cmpuint(hva[BLOCK], ==, 0);
	g_assert_cmpuint(hva[2 * BLOCK - 1], ==, 0);
	g_assert_cmpuint(hva[2 * BLOCK], ==, 0x55);
	g_assert_cmpuint(ask(fixture, UNPLUG, BASE + BLOCK, 2, NULL), ==, ERROR);
	g_assert_cmpuint(hva[2 * BLOCK], ==, 0x55);
	g_assert_cmpuint(ask(fixture, UNPLUG_ALL, 0, 0, NULL), ==, ACK);
	g_assert_cmpuint(config(fixture, 40), ==, 0);
	g_assert_cmpuint(hva[2 * BLOCK], ==, 0);
	g_assert_cmpuint(fixture->n_events, ==, 4);
	g_assert_cmpuint(fixture->size, ==, 0);
}

static void test_bad_requests(Fixture *fixture, gconstpointer data)
{
	static const struct {
		unsigned type;
		uint64_t address;
		unsigned n;
	} cases[] = {
		{ PLUG, BASE, 0 },
		{ PLUG, BASE + 4096, 1 },
		{ PLUG, BASE - BLOCK, 1 },
		{ PLUG, 0, 1 },
		{ PLUG, UINT64_MAX & ~(BLOCK - 1), 1 },
		{ PLUG, BASE + 272 * MIB, 1 },	     /* beyond what is usable */
		{ PLUG, BASE + 272 * MIB - BLOCK, 2 },
		{ PLUG, BASE, 65535 },
		{ UNPLUG, BASE, 1 },
		{ UNPLUG, BASE + SIZE, 1 },
		{ STATE, BASE + SIZE, 1 },
		{ STATE, BASE, 65535 },
		{ 4, BASE, 1 },
		{ 65535, BASE, 1 },
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpuint(ask(fixture, cases[i].type, cases[i].address, cases[i].n, NULL),
				 ==, ERROR);
	g_assert_cmpuint(config(fixture, 40), ==, 0);
	g_assert_cmpuint(fixture->n_events, ==, 0);
}

static void test_short_request(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, 64);

	(void)data;
	virtio_ring_describe(&driver->rings[0], 0, gpa, 23, RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[0], 1, gpa + 32, 10, RING_WRITE, 0);
	virtio_driver_offer(driver, 0, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
}

/* A driver's reset keeps the memory, the machine's does not. */
static void test_resets(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_cmpuint(ask(fixture, PLUG, BASE, 8, NULL), ==, ACK);
	fixture->backend->hva[0] = 1;
	virtio_driver_set_status(&fixture->driver, 0);
	g_assert_cmpuint(config(fixture, 40), ==, 16 * MIB);
	g_assert_cmpuint(fixture->backend->hva[0], ==, 1);
	fixture->device->type->reset(fixture->device);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	g_assert_cmpuint(config(fixture, 40), ==, 0);
	g_assert_cmpuint(config(fixture, 48), ==, 16 * MIB);
	g_assert_cmpuint(fixture->backend->hva[0], ==, 0);
}

/* Where the host has no pages, the driver is told to ask again, and gets none. */
static void test_no_host_pages(Fixture *fixture, gconstpointer data)
{
	g_autofree char *options =
		g_strdup_printf("memdev=other,requested-size=512M,prealloc=on,memaddr=%" PRIu64,
				BASE + SIZE);
	char id[] = "other";
	const MemoryBackendConfig config = { .kind = MEMORY_BACKEND_MEMFD,
					     .id = id,
					     .size = 512 * MIB,
					     .hugetlb_size = 2 * MIB,
					     .share = true };
	g_autoptr(MemoryBackend) other = memory_backend_new(&config, NULL);
	VirtioMemInfo info;
	Device *device;

	(void)data;
	if (!other || memory_backend_populate(other, 256 * MIB, 256 * MIB)) {
		g_test_skip("the host has huge pages, or does not know of any");
		return;
	}
	fake_machine_set_memory(fixture->fake, "other", other);
	fake_machine_remove(fixture->fake, fixture->device);
	device = fixture->device =
		fake_machine_add(fixture->fake, &virtio_mem_type.pci.device, options);
	virtio_driver_probe(&fixture->driver, fixture->fake, device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	g_assert_cmpuint(ask(fixture, PLUG, BASE + SIZE, 256, NULL), ==, BUSY);
	virtio_mem_get_info(device, &info);
	g_assert_cmpuint(info.size, ==, 0);
	g_assert_cmpuint(fixture->n_events, ==, 0);
	fake_machine_set_memory(fixture->fake, "mem", fixture->backend);
	fake_machine_remove(fixture->fake, device);
	fixture->device = fake_machine_add(fixture->fake, &virtio_mem_type.pci.device, "memdev=mem");
}

/* A ring that lies in memory that is taken away: the driver is told, and nobody follows it. */
static void test_ring_unplugged(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const DeviceType *type = fixture->device->type;
	uint64_t areas[] = { BASE, BASE + 0x2000, BASE + 0x4000 };

	(void)data;
	virtio_driver_negotiate(driver, UINT64_MAX);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_SELECT, 0, 2);
	for (unsigned i = 0; i < 3; i++)
		fake_write(fixture->fake, driver->common + COMMON_QUEUE_DESC + 8 * i, areas[i], 8);
	fake_write(fixture->fake, driver->common + COMMON_QUEUE_ENABLE, 1, 2);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_DRIVER_OK);
	virtio_driver_kick(driver, 0);
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
	/* As the machine takes memory away. */
	type->pause(fixture->device);
	guest_memory_remove(fixture->fake->services.memory, BASE);
	g_assert_cmpint(mprotect(fixture->backend->hva, SIZE, PROT_NONE), ==, 0);
	type->resume(fixture->device);
	virtio_driver_kick(driver, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	g_assert_cmpint(mprotect(fixture->backend->hva, SIZE, PROT_READ | PROT_WRITE), ==, 0);
}

/* Only what nobody uses, or can use, may be unplugged. */
static void test_removal(Fixture *fixture, gconstpointer data)
{
	bool (*check)(Device *, GError **) = fixture->device->type->check_unplug;

	(void)data;
	g_assert_false(check(fixture->device, NULL));
	g_assert_cmpuint(ask(fixture, PLUG, BASE, 1, NULL), ==, ACK);
	g_assert_true(set_requested(fixture, 0));
	g_assert_false(check(fixture->device, NULL));
	g_assert_cmpuint(ask(fixture, UNPLUG, BASE, 1, NULL), ==, ACK);
	g_assert_true(check(fixture->device, NULL));
	fixture->device->unplug_requested = true;
	g_assert_false(set_requested(fixture, 16 * MIB));
}

static void test_refusals(Fixture *fixture, gconstpointer data)
{
	static const char *const cases[][2] = {
		{ "memdev=none", "there is no memory backend 'none'" },
		{ "memdev=other,block-size=3M", "power of two" },
		{ "memdev=other,block-size=512k", "power of two" },
		{ "memdev=other,block-size=2G", "multiples of block-size" },
		{ "memdev=other,requested-size=1M", "requested-size must be" },
		{ "memdev=other,requested-size=2G", "requested-size must be" },
		{ "memdev=other,memaddr=4096", "multiples of block-size" },
		{ "memdev=other,node=1", "there is no NUMA node 1" },
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(MemoryBackend) other = new_backend();
		g_autoptr(GError) error = NULL;

		fake_machine_set_memory(fixture->fake, "other", other);
		g_assert_null(fake_machine_try_add(fixture->fake, &virtio_mem_type.pci.device,
						   cases[i][0], &error));
		g_test_message("%s: %s", cases[i][0], error->message);
		g_assert_nonnull(strstr(error->message, cases[i][1]));
	}
}

static void test_state(Fixture *fixture, gconstpointer data)
{
	g_autoptr(MemoryBackend) other = new_backend();
	g_autofree char *options =
		g_strdup_printf("memdev=other,requested-size=16M,memaddr=%" PRIu64, BASE + SIZE);
	VirtioMemInfo info;
	Device *copy;

	(void)data;
	g_assert_cmpuint(ask(fixture, PLUG, BASE + 3 * BLOCK, 5, NULL), ==, ACK);
	fake_machine_set_memory(fixture->fake, "other", other);
	copy = fake_machine_add(fixture->fake, &virtio_mem_type.pci.device, options);
	fixture->device->type->pause(fixture->device);
	fake_machine_check_state(fixture->device, copy);
	virtio_mem_get_info(copy, &info);
	g_assert_cmpuint(info.size, ==, 5 * BLOCK);
	g_assert_cmphex(info.address, ==, BASE + SIZE);
	fake_machine_remove(fixture->fake, copy);
}

static void add(const char *path, void (*func)(Fixture *, gconstpointer), const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-mem/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("config", test_config, "requested-size=16M");
	add("plug", test_plug, "requested-size=16M");
	add("plug-prealloc", test_plug, "requested-size=16M,prealloc=on");
	add("bad-requests", test_bad_requests, "requested-size=16M");
	add("short-request", test_short_request, NULL);
	add("resets", test_resets, "requested-size=16M");
	add("no-host-pages", test_no_host_pages, NULL);
	add("ring-unplugged", test_ring_unplugged, NULL);
	add("removal", test_removal, "requested-size=16M");
	add("refusals", test_refusals, NULL);
	add("state", test_state, "requested-size=16M");
	return g_test_run();
}
