/*
 * test-virtio-balloon.c: the memory balloon
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>

#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/virtio/virtio_balloon.h"

#define F_STATS_VQ  VIRTIO_FEATURE(1)
#define F_HINT	    VIRTIO_FEATURE(3)
#define F_POISON    VIRTIO_FEATURE(4)
#define F_REPORTING VIRTIO_FEATURE(5)
#define F_ALL	    UINT64_MAX
#define RAM	    (16u << 20)
#define PLAIN_GPA   0x8000000u /* RAM on whole host pages, which the fake's is not */
#define PLAIN_SIZE  (4u << 20)
#define HUGE_GPA    0x10000000u
#define HUGE_SIZE   (1u << 20)
#define HUGE_PAGE   16384u

enum { INFLATE, DEFLATE, STATS, REPORTING };
enum { HINTS = 3, REPORTING_AFTER_HINTS };

#define HINT_ID_AT 8 /* in configuration space */
#define ID_STOP	   0u
#define ID_DONE	   1u
#define HINTED	   "free-page-hint=on,free-page-reporting=off,x-vireo-free-page-hint-interval=10"

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	Device *device;
	VirtioDriver driver;
	uint8_t *plain;
	uint8_t *huge; /* RAM whose host pages count as larger */
	QmpEventSink sink;
	int64_t actual; /* of the last event */
	unsigned n_events;
} Fixture;

static void record_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	if (strcmp(name, "BALLOON_CHANGE") == 0) {
		fixture->n_events++;
		fixture->actual = json_object_get_int64(json_object_object_get(data, "actual"));
	}
	json_object_put(data);
}

/* Add RAM full of 0x77; returns its mapping, HUGE_PAGE larger than it. */
static uint8_t *add_region(Fixture *fixture, uint64_t gpa, uint64_t size, uint64_t page_size)
{
	uint8_t *mapping = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	GuestMemoryRegion region = {
		.gpa = gpa,
		.size = size,
		.fd = -1,
		.page_size = page_size,
	};

	g_assert_true(mapping != MAP_FAILED);
	region.hva =
		(uint8_t *)(((uintptr_t)mapping + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	memset(region.hva, 0x77, size);
	g_assert_true(guest_memory_add(fixture->fake->services.memory, &region, NULL));
	return mapping;
}

static void set_up(Fixture *fixture, gconstpointer options)
{
	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->plain = add_region(fixture, PLAIN_GPA, PLAIN_SIZE, 0);
	fixture->huge = add_region(fixture, HUGE_GPA, HUGE_SIZE, HUGE_PAGE);
	fixture->sink = (QmpEventSink){ .emit = record_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->device = fake_machine_add(fixture->fake, &virtio_balloon_type.pci.device, options);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	munmap(fixture->plain, PLAIN_SIZE + HUGE_PAGE);
	munmap(fixture->huge, HUGE_SIZE + HUGE_PAGE);
}

/* Hand over @n page numbers on @queue. */
static void pages(Fixture *fixture, unsigned queue, const uint32_t *pfns, unsigned n)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, n * 4);

	memcpy(virtio_driver_ram(driver, gpa), pfns, n * 4);
	virtio_ring_describe(&driver->rings[queue], 0, gpa, n * 4, 0, 0);
	virtio_driver_offer(driver, queue, 0);
	virtio_driver_wait(driver, queue, NULL);
}

/* Whether the page at host address @hva is zero; else it must be as it was. */
static bool is_gone(const uint8_t *hva)
{
	for (unsigned i = 0; i < 4096; i++)
		g_assert_cmpuint(hva[i], ==, hva[0]);
	return hva[0] == 0;
}

static uint8_t *hva(Fixture *fixture, uint64_t gpa)
{
	return guest_memory_hva(fixture->fake->services.memory, gpa, 4096, true);
}

static void test_inflate(Fixture *fixture, gconstpointer data)
{
	/* Neighbours down, neighbours up, one by itself, and what is no RAM. */
	static const uint32_t pfns[] = { 0x8003, 0x8002,     0x8001, 0x8100, 0x8101,
					 0x8200, 0xffffffff, 0x5000, 0x8001 };

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	pages(fixture, INFLATE, pfns, G_N_ELEMENTS(pfns));
	for (uint32_t pfn = 0x8000; pfn < 0x8400; pfn++) {
		bool expected = (pfn >= 0x8001 && pfn <= 0x8003) || pfn == 0x8100 ||
				pfn == 0x8101 || pfn == 0x8200;

		g_assert_true(is_gone(hva(fixture, (uint64_t)pfn << 12)) == expected);
	}
	memset(hva(fixture, PLAIN_GPA + 0x1000), 0x66, 4096);
	pages(fixture, DEFLATE, pfns, 3);
	g_assert_cmpuint(hva(fixture, PLAIN_GPA + 0x1000)[0], ==, 0x66);
}

static void test_large_host_pages(Fixture *fixture, gconstpointer data)
{
	static const uint32_t first = HUGE_GPA >> 12;
	const uint32_t some[] = { first + 1, first + 2, first + 3 }, rest[] = { first };
	const uint32_t other[] = { first + 4, first + 5, first + 6 }, last[] = { first + 7 };

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	pages(fixture, INFLATE, some, 3);
	g_assert_false(is_gone(hva(fixture, HUGE_GPA + 4096)));
	pages(fixture, INFLATE, some, 3); /* no progress by saying it twice */
	g_assert_false(is_gone(hva(fixture, HUGE_GPA + 4096)));
	pages(fixture, INFLATE, rest, 1);
	for (unsigned i = 0; i < 4; i++)
		g_assert_true(is_gone(hva(fixture, HUGE_GPA + i * 4096)));
	g_assert_false(is_gone(hva(fixture, HUGE_GPA + 4 * 4096)));
	/* A part that is taken back keeps the page. */
	pages(fixture, INFLATE, other, 3);
	pages(fixture, DEFLATE, other, 1);
	pages(fixture, INFLATE, last, 1);
	g_assert_false(is_gone(hva(fixture, HUGE_GPA + 5 * 4096)));
}

/* A driver takes what it finds, of one page and of another. */
static void test_mixed_host_pages(Fixture *fixture, gconstpointer data)
{
	static const uint32_t first = HUGE_GPA >> 12;
	const uint32_t mixed[] = { first, first + 4, first + 9, first + 1, first + 5, first + 2 };
	const uint32_t rest[] = { first + 3, first + 6 }, last[] = { first + 7 }, again[] = { first };

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	pages(fixture, INFLATE, mixed, 6);
	g_assert_false(is_gone(hva(fixture, HUGE_GPA)));
	pages(fixture, INFLATE, rest, 2);
	g_assert_true(is_gone(hva(fixture, HUGE_GPA)));
	g_assert_false(is_gone(hva(fixture, HUGE_GPA + 4 * 4096)));
	pages(fixture, INFLATE, last, 1);
	g_assert_true(is_gone(hva(fixture, HUGE_GPA + 4 * 4096)));
	/* The guest uses one again, and gives it again: the others have been there all the time. */
	pages(fixture, DEFLATE, again, 1);
	memset(hva(fixture, HUGE_GPA), 0x66, 4096);
	pages(fixture, INFLATE, again, 1);
	g_assert_true(is_gone(hva(fixture, HUGE_GPA)));
	/* After a reset they are the driver's. */
	memset(hva(fixture, HUGE_GPA), 0x66, 4096);
	virtio_driver_start(&fixture->driver, F_ALL);
	pages(fixture, INFLATE, again, 1);
	g_assert_false(is_gone(hva(fixture, HUGE_GPA)));
}

static void test_target(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t ram = RAM + PLAIN_SIZE + HUGE_SIZE;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	g_assert_cmpuint(virtio_balloon_actual(fixture->device), ==, ram);
	virtio_balloon_set_target(fixture->device, ram - (4 << 20));
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 1024);
	virtio_driver_write_config(driver, 4, 1000, 4);
	g_assert_cmpuint(fixture->n_events, ==, 1);
	g_assert_cmpint(fixture->actual, ==, ram - 1000 * 4096);
	g_assert_cmpuint(virtio_balloon_actual(fixture->device), ==, ram - 1000 * 4096);
	virtio_driver_write_config(driver, 4, 1000, 4); /* no change, no event */
	virtio_driver_write_config(driver, 4, 7, 1);	/* nor by a part of it */
	virtio_driver_write_config(driver, 0, 7, 4);	/* nor can it set the target */
	g_assert_cmpuint(fixture->n_events, ==, 1);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 1024);
	/* More than there is. */
	virtio_driver_write_config(driver, 4, UINT32_MAX, 4);
	g_assert_cmpint(fixture->actual, ==, 0);
	virtio_balloon_set_target(fixture->device, UINT64_MAX);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 0);
	virtio_driver_set_status(driver, 0);
	g_assert_cmpuint(virtio_balloon_actual(fixture->device), ==, ram);
}

static void give_stats(Fixture *fixture, uint16_t tag, uint64_t value, unsigned head)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, 25);
	uint8_t *bytes = virtio_driver_ram(driver, gpa);
	uint16_t unknown = 999;

	memcpy(bytes, &unknown, 2);
	memcpy(bytes + 10, &tag, 2);
	memcpy(bytes + 12, &value, 8);
	virtio_ring_describe(&driver->rings[STATS], head, gpa, 25, 0, 0); /* an odd end */
	virtio_driver_offer(driver, STATS, head);
	virtio_driver_settle(fixture->loop);
}

static json_object *get_attribute(Fixture *fixture, const char *name)
{
	const DeviceAttribute *attribute = fixture->device->type->attributes;

	while (strcmp(attribute->name, name) != 0)
		attribute++;
	return attribute->get(fixture->device);
}

static json_object *guest_stats(Fixture *fixture)
{
	return get_attribute(fixture, "guest-stats");
}

static uint64_t stat(json_object *value, const char *name)
{
	return json_object_get_uint64(
		json_object_object_get(json_object_object_get(value, "stats"), name));
}

static void test_stats(Fixture *fixture, gconstpointer data)
{
	uint32_t id, length;
	json_object *value;

	(void)data; /* polling every second */
	virtio_driver_start(&fixture->driver, F_ALL);
	value = guest_stats(fixture);
	g_assert_cmpint(json_object_get_int64(json_object_object_get(value, "last-update")), ==, 0);
	json_object_put(value);
	give_stats(fixture, 4, 123456, 0);
	value = guest_stats(fixture);
	g_assert_cmpuint(stat(value, "stat-free-memory"), ==, 123456);
	g_assert_cmpuint(stat(value, "stat-swap-in"), ==, UINT64_MAX);
	g_assert_cmpint(json_object_get_int64(json_object_object_get(value, "last-update")), >, 0);
	json_object_put(value);
	g_assert_false(virtio_ring_take_used(&fixture->driver.rings[STATS], &id, &length));
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, STATS, NULL), ==, 0);
	give_stats(fixture, 4, 99, 0);
	/* A second one, which no good driver has; then a pause, with one held. */
	give_stats(fixture, 4, 98, 1);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, STATS, NULL), ==, 0);
	fixture->device->type->pause(fixture->device);
	fixture->device->type->resume(fixture->device);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, STATS, NULL), ==, 1);
}

static void slow(gpointer data)
{
	g_usleep(50000);
	g_atomic_int_set((int *)data, 1);
}

/* What was posted to the loop about a device that never ran is done before the device goes. */
static void test_removal(Fixture *fixture, gconstpointer data)
{
	int done = 0;

	(void)data;
	io_loop_post(fixture->loop, slow, &done);
	fake_machine_remove(fixture->fake, fixture->device);
	g_assert_cmpint(g_atomic_int_get(&done), ==, 1);
	fixture->device = fake_machine_add(fixture->fake, &virtio_balloon_type.pci.device, NULL);
}

static void test_reporting(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	/* Without statistics the driver numbers this queue 2. */
	const bool without_stats = data != NULL;
	unsigned queue = without_stats ? STATS : REPORTING;

	virtio_driver_start(driver, without_stats ? F_ALL & ~F_STATS_VQ : F_ALL);
	virtio_ring_describe(&driver->rings[queue], 0, PLAIN_GPA + 0x1000, 0x2000,
			     RING_NEXT | RING_WRITE, 1);
	virtio_ring_describe(&driver->rings[queue], 1, PLAIN_GPA + 0x5800, 0x2000, RING_WRITE, 0);
	virtio_driver_offer(driver, queue, 0);
	virtio_driver_wait(driver, queue, NULL);
	for (unsigned i = 0; i < 16; i++)
		g_assert_true(is_gone(hva(fixture, PLAIN_GPA + i * 4096)) ==
			      (i == 1 || i == 2 || i == 6));
}

static void test_reporting_on(Fixture *fixture, gconstpointer data)
{
	(void)data;
	test_reporting(fixture, NULL);
}

static void test_reporting_without_stats(Fixture *fixture, gconstpointer data)
{
	(void)data;
	test_reporting(fixture, "");
}

/* A driver that wants something else than zeroes in its free pages keeps them. */
static void test_reporting_poison(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	virtio_driver_write_config(driver, 12, 0xaaaaaaaa, 4);
	g_assert_cmpuint(virtio_driver_read_config(driver, 12, 4), ==, 0xaaaaaaaa);
	virtio_ring_describe(&driver->rings[REPORTING], 0, PLAIN_GPA, 0x1000, RING_WRITE, 0);
	virtio_driver_offer(driver, REPORTING, 0);
	virtio_driver_wait(driver, REPORTING, NULL);
	g_assert_false(is_gone(hva(fixture, PLAIN_GPA)));
	virtio_driver_write_config(driver, 12, 0, 4);
	virtio_driver_offer(driver, REPORTING, 0);
	virtio_driver_wait(driver, REPORTING, NULL);
	g_assert_true(is_gone(hva(fixture, PLAIN_GPA)));
	/* Without the feature there is no such field. */
	virtio_driver_set_status(driver, 0);
	virtio_driver_start(driver, F_ALL & ~F_POISON);
	virtio_driver_write_config(driver, 12, 1, 4);
	g_assert_cmpuint(virtio_driver_read_config(driver, 12, 4), ==, 0);
}

static void test_defaults(Fixture *fixture, gconstpointer data)
{
	uint64_t offered = virtio_driver_offered(&fixture->driver);

	(void)data;
	g_assert_true(offered & F_REPORTING);
	g_assert_true(offered & F_POISON);
	g_assert_false(offered & F_HINT);
	g_assert_false(offered & VIRTIO_FEATURE(2));
}

static void test_features(Fixture *fixture, gconstpointer data)
{
	uint64_t offered = virtio_driver_offered(&fixture->driver);

	(void)data;
	g_assert_true(offered & F_STATS_VQ);
	g_assert_false(offered & F_REPORTING);
	g_assert_false(offered & F_POISON);
	g_assert_true(offered & VIRTIO_FEATURE(2));
}

/* A driver that runs out of memory takes pages back that it is asked to leave. */
static void test_deflate_on_oom(Fixture *fixture, gconstpointer data)
{
	static const uint32_t pfns[] = { 0x8001, 0x8002, 0x8003, 0x8004 };
	VirtioDriver *driver = &fixture->driver;
	uint64_t ram = RAM + PLAIN_SIZE + HUGE_SIZE;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	virtio_balloon_set_target(fixture->device, ram - 4 * 4096);
	pages(fixture, INFLATE, pfns, 4);
	virtio_driver_write_config(driver, 4, 4, 4);
	g_assert_cmpint(fixture->actual, ==, ram - 4 * 4096);
	for (unsigned i = 0; i < 4; i++)
		g_assert_true(is_gone(hva(fixture, PLAIN_GPA + (i + 1) * 4096)));

	pages(fixture, DEFLATE, pfns, 2);
	memset(hva(fixture, PLAIN_GPA + 4096), 0x66, 2 * 4096);
	virtio_driver_write_config(driver, 4, 2, 4);
	/* Who asks is told, and the rest stays; so does what was wanted. */
	g_assert_cmpuint(fixture->n_events, ==, 2);
	g_assert_cmpint(fixture->actual, ==, ram - 2 * 4096);
	g_assert_cmpuint(virtio_balloon_actual(fixture->device), ==, ram - 2 * 4096);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 4);
	g_assert_cmpuint(hva(fixture, PLAIN_GPA + 2 * 4096)[0], ==, 0x66);
	g_assert_true(is_gone(hva(fixture, PLAIN_GPA + 3 * 4096)));
	g_assert_true(is_gone(hva(fixture, PLAIN_GPA + 4 * 4096)));
}

static void test_state(Fixture *fixture, gconstpointer data)
{
	Device *other;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	virtio_balloon_set_target(fixture->device, 1 << 20);
	virtio_driver_write_config(&fixture->driver, 4, 77, 4);
	give_stats(fixture, 4, 123456, 0);
	fixture->device->type->pause(fixture->device);
	other = fake_machine_add(fixture->fake, &virtio_balloon_type.pci.device, NULL);
	fake_machine_check_state(fixture->device, other);
	g_assert_cmpuint(virtio_balloon_actual(other), ==,
			 RAM + PLAIN_SIZE + HUGE_SIZE - 77 * 4096);
	fake_machine_remove(fixture->fake, other);
}

/* Free page hints */

static uint64_t hint_counter(Fixture *fixture, const char *name)
{
	json_object *counters = get_attribute(fixture, "x-vireo-free-page-hints");
	uint64_t value = json_object_get_uint64(json_object_object_get(counters, name));

	json_object_put(counters);
	return value;
}

static uint32_t hint_id(Fixture *fixture)
{
	return virtio_driver_read_config(&fixture->driver, HINT_ID_AT, 4);
}

static bool is_asked(gpointer data)
{
	return hint_id(data) > ID_DONE;
}

static bool is_done(gpointer data)
{
	return hint_id(data) == ID_DONE;
}

static bool is_given_up(gpointer data)
{
	return hint_counter(data, "given-up") > 0;
}

/* Wait until the device asks; returns the id. */
static uint32_t wait_asked(Fixture *fixture)
{
	g_assert_true(
		fake_machine_run_until(fixture->fake, is_asked, fixture, VIRTIO_DRIVER_TIMEOUT_MS));
	return hint_id(fixture);
}

static void wait_done(Fixture *fixture)
{
	g_assert_true(
		fake_machine_run_until(fixture->fake, is_done, fixture, VIRTIO_DRIVER_TIMEOUT_MS));
}

static void send_id(Fixture *fixture, uint32_t id)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, sizeof(id));

	memcpy(virtio_driver_ram(driver, gpa), &id, sizeof(id));
	virtio_ring_describe(&driver->rings[HINTS], 0, gpa, sizeof(id), 0, 0);
	virtio_driver_offer(driver, HINTS, 0);
	virtio_driver_wait(driver, HINTS, NULL);
}

static void hint(Fixture *fixture, uint64_t gpa, uint32_t size)
{
	VirtioDriver *driver = &fixture->driver;

	virtio_ring_describe(&driver->rings[HINTS], 0, gpa, size, RING_WRITE, 0);
	virtio_driver_offer(driver, HINTS, 0);
	virtio_driver_wait(driver, HINTS, NULL);
}

/* A round in which @size bytes at @gpa are hinted. */
static void whole_round(Fixture *fixture, uint64_t gpa, uint32_t size)
{
	send_id(fixture, wait_asked(fixture));
	hint(fixture, gpa, size);
	send_id(fixture, ID_STOP);
	wait_done(fixture);
}

/* Of the first 16 pages of plain RAM those in @mask have gone. */
static void check_gone(Fixture *fixture, unsigned mask)
{
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmpint(is_gone(hva(fixture, PLAIN_GPA + i * 4096)), ==, mask >> i & 1);
}

static void test_hints(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t id;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	g_assert_cmpuint(hint_id(fixture), ==, ID_STOP);
	id = wait_asked(fixture);
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
	send_id(fixture, id);
	hint(fixture, PLAIN_GPA + 0x1000, 0x2000);
	hint(fixture, PLAIN_GPA + 0x2000, 0x2000); /* some of it again */
	hint(fixture, PLAIN_GPA + 0x5800, 0x2000); /* one whole page */
	/* Two of large ones, and a part of a third. */
	hint(fixture, HUGE_GPA, 2 * HUGE_PAGE + 0x2000);
	fake_machine_iterate(fixture->fake);
	check_gone(fixture, 0); /* nothing before the end */
	send_id(fixture, ID_STOP);
	wait_done(fixture);
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
	check_gone(fixture, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6);
	for (unsigned i = 0; i < HUGE_SIZE / 4096; i++)
		g_assert_cmpint(is_gone(hva(fixture, HUGE_GPA + i * 4096)), ==,
				i < 2 * HUGE_PAGE / 4096);
	g_assert_cmpuint(hint_counter(fixture, "rounds"), ==, 1);
	g_assert_cmpuint(hint_counter(fixture, "given-up"), ==, 0);
	g_assert_cmpuint(hint_counter(fixture, "hinted-bytes"), ==,
			 5 * 4096 + 2 * HUGE_PAGE + 0x2000);
	g_assert_cmpuint(hint_counter(fixture, "discarded-bytes"), ==, 4 * 4096 + 2 * HUGE_PAGE);
	/* The next one has another id. */
	g_assert_cmpuint(wait_asked(fixture), !=, id);
}

/* What was written since the device asked stays, before the hint or after it; zeroes need not. */
static void test_hints_written(Fixture *fixture, gconstpointer data)
{
	static const uint8_t text[] = "kept", zeroes[4096];
	GuestMemory *memory = fixture->fake->services.memory;
	uint32_t id;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	/* Written before: that counts no more. */
	g_assert_true(guest_memory_write(memory, PLAIN_GPA + 0xf000, "\x77", 1));
	id = wait_asked(fixture);
	memset(hva(fixture, PLAIN_GPA), 0x55, 4096);
	guest_memory_mark(memory, hva(fixture, PLAIN_GPA), 4096);
	send_id(fixture, id);
	hint(fixture, PLAIN_GPA, 0x10000);
	g_assert_true(guest_memory_write(memory, PLAIN_GPA + 0x1000, text, sizeof(text)));
	/* As a device does, which has its address. */
	memset(hva(fixture, PLAIN_GPA + 0x2000), 0x66, 4096);
	guest_memory_mark(memory, hva(fixture, PLAIN_GPA + 0x2000), 4096);
	g_assert_true(guest_memory_write(memory, PLAIN_GPA + 0x3000, zeroes, sizeof(zeroes)));
	send_id(fixture, ID_STOP);
	/* Nor may it be too late for those that come after the end. */
	g_assert_true(guest_memory_write(memory, PLAIN_GPA + 0x4ffc, "late", 4));
	wait_done(fixture);
	g_assert_cmpuint(hva(fixture, PLAIN_GPA)[0], ==, 0x55);
	g_assert_cmpmem(hva(fixture, PLAIN_GPA + 0x1000), sizeof(text), text, sizeof(text));
	g_assert_cmpuint(hva(fixture, PLAIN_GPA + 0x2000)[4095], ==, 0x66);
	g_assert_cmpmem(hva(fixture, PLAIN_GPA + 0x4ffc), 4, "late", 4);
	for (unsigned i = 5; i < 16; i++)
		g_assert_true(is_gone(hva(fixture, PLAIN_GPA + i * 4096)));
	g_assert_cmpuint(hint_counter(fixture, "discarded-bytes"), ==, 12 * 4096);
}

/* Hints that are no answer to what was asked do nothing. */
static void test_hints_wrong_id(Fixture *fixture, gconstpointer data)
{
	uint32_t id;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	hint(fixture, PLAIN_GPA, 0x1000); /* before the question */
	id = wait_asked(fixture);
	hint(fixture, PLAIN_GPA, 0x1000); /* without an id */
	send_id(fixture, id - 1);
	hint(fixture, PLAIN_GPA + 0x1000, 0x1000);
	send_id(fixture, ID_STOP); /* of an old round */
	send_id(fixture, id);
	hint(fixture, PLAIN_GPA + 0x2000, 0x1000);
	send_id(fixture, id + 1); /* no longer ours */
	hint(fixture, PLAIN_GPA + 0x3000, 0x1000);
	send_id(fixture, id);
	hint(fixture, PLAIN_GPA + 0x4000, 0x1000);
	wait_done(fixture);
	hint(fixture, PLAIN_GPA + 0x5000, 0x1000);
	check_gone(fixture, 1 << 2);
	g_assert_cmpuint(hint_counter(fixture, "hinted-bytes"), ==, 0x1000);
}

/* More than there can be, and ROM: no more than there is. */
static void test_hints_too_much(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	for (unsigned i = 0; i < 8; i++)
		hint(fixture, PLAIN_GPA, PLAIN_SIZE);
	hint(fixture, PLAIN_GPA, 1);
	hint(fixture, PLAIN_GPA + PLAIN_SIZE - 1, 1);
	send_id(fixture, ID_STOP);
	wait_done(fixture);
	for (unsigned i = 0; i < PLAIN_SIZE / 4096; i++)
		g_assert_true(is_gone(hva(fixture, PLAIN_GPA + i * 4096)));
	g_assert_cmpuint(hint_counter(fixture, "discarded-bytes"), ==, PLAIN_SIZE);
}

/* A buffer outside of RAM breaks the ring, and with it the round. */
static void test_hints_outside(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	virtio_ring_describe(&driver->rings[HINTS], 0, PLAIN_GPA + PLAIN_SIZE - 4096, 1u << 20,
			     RING_WRITE, 0);
	virtio_driver_offer(driver, HINTS, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	wait_done(fixture);
	g_assert_false(is_gone(hva(fixture, PLAIN_GPA + PLAIN_SIZE - 4096)));
	g_assert_true(is_given_up(fixture));
	/* A driver that starts anew is asked again. */
	virtio_driver_start(driver, F_ALL);
	g_assert_cmpuint(hint_id(fixture), ==, ID_STOP);
	whole_round(fixture, PLAIN_GPA, 0x1000);
	check_gone(fixture, 1);
}

/* A driver that never comes to an end is told to; what it hinted counts. */
static void test_hints_without_end(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data; /* a short time for answers */
	virtio_driver_start(driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	hint(fixture, PLAIN_GPA, 0x2000);
	wait_done(fixture);
	check_gone(fixture, 3);
	g_assert_cmpuint(hint_counter(fixture, "rounds"), ==, 1);
	/* One that says nothing at all. */
	wait_asked(fixture);
	wait_done(fixture);
	g_assert_true(is_given_up(fixture));
}

static void test_hints_reset(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t id;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	id = wait_asked(fixture);
	send_id(fixture, id);
	hint(fixture, PLAIN_GPA, 0x2000);
	send_id(fixture, ID_STOP);
	virtio_driver_set_status(driver, 0);
	g_assert_true(fake_machine_run_until(fixture->fake, is_given_up, fixture,
					     VIRTIO_DRIVER_TIMEOUT_MS));
	check_gone(fixture, 0);
	g_assert_cmpuint(hint_id(fixture), ==, ID_STOP);
	/* Nobody is asked who has not said that he is there. */
	g_assert_false(fake_machine_run_until(fixture->fake, is_asked, fixture, 50));
	virtio_driver_start(driver, F_ALL);
	g_assert_cmpuint(wait_asked(fixture), !=, id);
	whole_round(fixture, PLAIN_GPA + 0x1000, 0x1000);
	check_gone(fixture, 2);
}

static void test_hints_removal(Fixture *fixture, gconstpointer data)
{
	virtio_driver_start(&fixture->driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	hint(fixture, PLAIN_GPA, 0x2000);
	send_id(fixture, ID_STOP);
	fake_machine_remove(fixture->fake, fixture->device);
	fake_machine_iterate(fixture->fake);
	check_gone(fixture, 0);
	fixture->device = fake_machine_add(fixture->fake, &virtio_balloon_type.pci.device, data);
}

/* A guest that is paused before the end keeps its pages. */
static void test_hints_paused(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	hint(fixture, PLAIN_GPA, 0x2000);
	send_id(fixture, ID_STOP);
	fixture->fake->running = false;
	wait_done(fixture);
	check_gone(fixture, 0);
	g_assert_true(is_given_up(fixture));
	g_assert_false(fake_machine_run_until(fixture->fake, is_asked, fixture, 50));
	fixture->fake->running = true;
	whole_round(fixture, PLAIN_GPA, 0x2000);
	check_gone(fixture, 3);
}

/* RAM that comes in the middle of a round may lie where other was. */
static void test_hints_other_memory(Fixture *fixture, gconstpointer data)
{
	GuestMemory *memory = fixture->fake->services.memory;
	uint8_t *other;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	hint(fixture, HUGE_GPA, HUGE_SIZE);
	guest_memory_remove(memory, HUGE_GPA);
	other = add_region(fixture, HUGE_GPA, HUGE_SIZE, 0);
	send_id(fixture, ID_STOP);
	wait_done(fixture);
	for (unsigned i = 0; i < HUGE_SIZE / 4096; i++)
		g_assert_false(is_gone(hva(fixture, HUGE_GPA + i * 4096)));
	guest_memory_remove(memory, HUGE_GPA);
	munmap(other, HUGE_SIZE + HUGE_PAGE);
}

static void test_hints_poison(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	hint(fixture, PLAIN_GPA, 0x2000);
	virtio_driver_write_config(driver, 12, 0xaaaaaaaa, 4);
	send_id(fixture, ID_STOP);
	wait_done(fixture);
	check_gone(fixture, 0);
	g_assert_false(fake_machine_run_until(fixture->fake, is_asked, fixture, 50));
	virtio_driver_write_config(driver, 12, 0, 4);
	whole_round(fixture, PLAIN_GPA, 0x1000);
	check_gone(fixture, 1);
}

/* Memory that keeps its pages. */
static void test_hints_kept(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	send_id(fixture, wait_asked(fixture));
	hint(fixture, PLAIN_GPA, 0x2000);
	guest_memory_keep(fixture->fake->services.memory);
	send_id(fixture, ID_STOP);
	wait_done(fixture);
	check_gone(fixture, 0);
	g_assert_true(is_given_up(fixture));
	g_assert_false(fake_machine_run_until(fixture->fake, is_asked, fixture, 50));
}

static void report(Fixture *fixture, unsigned queue, uint64_t gpa)
{
	VirtioDriver *driver = &fixture->driver;

	virtio_ring_describe(&driver->rings[queue], 0, gpa, 0x1000, RING_WRITE, 0);
	virtio_driver_offer(driver, queue, 0);
	virtio_driver_wait(driver, queue, NULL);
}

/* Who reports is not asked, too; and the queues are those of what was negotiated. */
static void test_hints_and_reporting(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	g_assert_false(fake_machine_run_until(fixture->fake, is_asked, fixture, 50));
	report(fixture, REPORTING_AFTER_HINTS, PLAIN_GPA);
	check_gone(fixture, 1);
	virtio_driver_start(driver, F_ALL & ~F_HINT);
	g_assert_false(fake_machine_run_until(fixture->fake, is_asked, fixture, 50));
	report(fixture, REPORTING, PLAIN_GPA + 0x1000);
	check_gone(fixture, 3);
	virtio_driver_start(driver, F_ALL & ~F_REPORTING);
	whole_round(fixture, PLAIN_GPA + 0x2000, 0x1000);
	check_gone(fixture, 7);
}

static void add(const char *path, void (*func)(Fixture *, gconstpointer), const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-balloon/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("inflate", test_inflate, NULL);
	add("large-host-pages", test_large_host_pages, NULL);
	add("mixed-host-pages", test_mixed_host_pages, NULL);
	add("target", test_target, NULL);
	add("stats", test_stats, "guest-stats-polling-interval=1");
	add("removal", test_removal, NULL);
	add("reporting", test_reporting_on, NULL);
	add("reporting-without-stats", test_reporting_without_stats, NULL);
	add("reporting-poison", test_reporting_poison, NULL);
	add("defaults", test_defaults, NULL);
	add("features", test_features, "deflate-on-oom=on,free-page-reporting=off,page-poison=off");
	add("deflate-on-oom", test_deflate_on_oom, "deflate-on-oom=on");
	add("state", test_state, NULL);
	add("hints/round", test_hints, HINTED);
	add("hints/written", test_hints_written, HINTED);
	add("hints/wrong-id", test_hints_wrong_id, HINTED);
	add("hints/too-much", test_hints_too_much, HINTED);
	add("hints/outside", test_hints_outside, HINTED ",x-vireo-free-page-hint-timeout=50");
	add("hints/without-end", test_hints_without_end,
	    HINTED ",x-vireo-free-page-hint-timeout=50");
	add("hints/reset", test_hints_reset, HINTED);
	add("hints/removal", test_hints_removal, HINTED);
	add("hints/paused", test_hints_paused, HINTED);
	add("hints/other-memory", test_hints_other_memory, HINTED);
	add("hints/poison", test_hints_poison, HINTED);
	add("hints/kept", test_hints_kept, HINTED);
	add("hints/reporting", test_hints_and_reporting,
	    "free-page-hint=on,x-vireo-free-page-hint-interval=10");
	return g_test_run();
}
