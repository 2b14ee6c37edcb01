/*
 * test-dirty-log.c: which pages of guest RAM are written
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/memory/page_sample.h"

#define PAGE	  4096u
#define LOW_SIZE  (64u * PAGE)
#define HIGH_GPA  (100u * PAGE) /* shares a word of the bitmap with what is before it */
#define HIGH_SIZE (70u * PAGE)
#define ROM_GPA	  (300u * PAGE)

typedef struct Fixture {
	GuestMemory *memory;
	uint8_t *low, *high, *rom;
	/* What the source and a listener were told. */
	bool source_on, listener_on;
	bool source_fails, listener_fails, source_knows;
	unsigned n_starts;
	uint64_t guest_page; /* the guest wrote this one; of region low */
	GuestMemoryListener listener;
	int n_done; /* threads; atomic */
} Fixture;

static bool source_start(void *opaque, GError **error)
{
	Fixture *fixture = opaque;

	fixture->n_starts++;
	if (fixture->source_fails)
		return error_fail(error, "no source");
	fixture->source_on = true;
	return true;
}

static void source_stop(void *opaque)
{
	((Fixture *)opaque)->source_on = false;
}

static bool source_fetch(void *opaque, const GuestMemoryRegion *region, uint64_t *bitmap)
{
	Fixture *fixture = opaque;

	g_assert_true(fixture->source_on);
	g_assert_false(region->read_only);
	if (region->gpa == 0 && fixture->guest_page != UINT64_MAX)
		bitmap[fixture->guest_page / 64] |= UINT64_C(1) << (fixture->guest_page % 64);
	/* A word's rest, behind the region's end, is not for anybody to see. */
	if (region->gpa == HIGH_GPA)
		bitmap[1] |= UINT64_MAX << (HIGH_SIZE / PAGE - 64);
	fixture->guest_page = UINT64_MAX;
	return fixture->source_knows;
}

static bool set_logging(void *opaque, bool logging, GError **error)
{
	Fixture *fixture = opaque;

	if (logging && fixture->listener_fails)
		return error_fail(error, "no log");
	fixture->listener_on = logging;
	return true;
}

static uint8_t *add(Fixture *fixture, uint64_t gpa, uint64_t size, bool read_only)
{
	GuestMemoryRegion region = { .gpa = gpa, .size = size, .fd = -1, .read_only = read_only };

	region.hva = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g_assert_true(region.hva != MAP_FAILED);
	g_assert_true(guest_memory_add(fixture->memory, &region, NULL));
	return region.hva;
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	static const DirtySource source = { source_start, source_stop, source_fetch };

	(void)data;
	fixture->memory = guest_memory_new();
	fixture->low = add(fixture, 0, LOW_SIZE, false);
	fixture->high = add(fixture, HIGH_GPA, HIGH_SIZE, false);
	fixture->rom = add(fixture, ROM_GPA, PAGE, true);
	fixture->guest_page = UINT64_MAX;
	fixture->source_knows = true;
	fixture->listener = (GuestMemoryListener){ .set_logging = set_logging, .opaque = fixture };
	dirty_log_set_source(fixture->memory, &source, fixture);
	guest_memory_add_listener(fixture->memory, &fixture->listener);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_false(fixture->source_on);
	g_assert_false(fixture->listener_on);
	guest_memory_free(fixture->memory);
	munmap(fixture->low, LOW_SIZE);
	munmap(fixture->high, HIGH_SIZE);
	munmap(fixture->rom, PAGE);
}

static DirtyTracker *track(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	DirtyTracker *tracker = dirty_tracker_new(fixture->memory, &error);

	g_assert_no_error(error);
	return tracker;
}

/* Take what @tracker has, which must be the @n pages named after it, in any order. */
static void expect(DirtyTracker *tracker, unsigned n, ...)
{
	size_t n_words = dirty_tracker_words(tracker);
	g_autofree uint64_t *bitmap = g_new0(uint64_t, n_words);
	va_list pages;

	g_assert_cmpuint(dirty_tracker_take(tracker, bitmap), ==, n);
	va_start(pages, n);
	for (unsigned i = 0; i < n; i++) {
		unsigned page = va_arg(pages, unsigned);

		g_assert_true(bitmap[page / 64] & (UINT64_C(1) << (page % 64)));
		bitmap[page / 64] &= ~(UINT64_C(1) << (page % 64));
	}
	va_end(pages);
	for (size_t i = 0; i < n_words; i++)
		g_assert_cmphex(bitmap[i], ==, 0);
}

static void test_writers(Fixture *fixture, gconstpointer data)
{
	g_autoptr(DirtyTracker) tracker = NULL;
	const uint8_t bytes[2 * PAGE] = { 1 };

	(void)data;
	/* Of what is not tracked there is no mark. */
	g_assert_true(guest_memory_write(fixture->memory, 0, bytes, 1));
	tracker = track(fixture);
	g_assert_true(fixture->source_on);
	g_assert_true(fixture->listener_on);
	expect(tracker, 0);

	g_assert_true(guest_memory_write(fixture->memory, 2 * PAGE + 1, bytes, 1));
	guest_memory_mark(fixture->memory, fixture->low + 5 * PAGE - 1, 2);
	guest_memory_mark(fixture->memory, fixture->high + 3 * PAGE, 1);
	guest_memory_mark(fixture->memory, fixture->high + HIGH_SIZE - 1, 1);
	fixture->guest_page = 9;
	expect(tracker, 6, 2, 4, 5, 9, 103, 169);
	expect(tracker, 0);

	/* Nothing, ROM, and what is no RAM of the guest's. */
	guest_memory_mark(fixture->memory, fixture->low, 0);
	guest_memory_mark(fixture->memory, fixture->rom, 1);
	guest_memory_mark(fixture->memory, bytes, sizeof(bytes));
	g_assert_false(guest_memory_write(fixture->memory, ROM_GPA, bytes, 1));
	/* Only so far as the region goes. */
	guest_memory_mark(fixture->memory, fixture->low + 63 * PAGE, UINT64_MAX);
	expect(tracker, 1, 63);

	g_assert_true(guest_memory_discard(fixture->memory, fixture->low + 7 * PAGE, 2 * PAGE));
	expect(tracker, 2, 7, 8);
}

static void test_several(Fixture *fixture, gconstpointer data)
{
	DirtyTracker *one = track(fixture), *other = track(fixture);

	(void)data;
	g_assert_cmpuint(fixture->n_starts, ==, 1);
	guest_memory_mark(fixture->memory, fixture->low, 1);
	fixture->guest_page = 64 - 1;
	expect(one, 2, 0, 63);
	guest_memory_mark(fixture->memory, fixture->high, 1);
	expect(one, 1, 100);
	expect(other, 3, 0, 63, 100);
	dirty_tracker_free(one);
	g_assert_true(fixture->source_on);
	g_assert_true(fixture->listener_on);
	guest_memory_mark(fixture->memory, fixture->low, 1);
	expect(other, 1, 0);
	dirty_tracker_free(other);
	g_assert_false(fixture->source_on);
	g_assert_false(guest_memory_is_tracked(fixture->memory));
	/* And anew, with nothing left of before. */
	one = track(fixture);
	expect(one, 0);
	dirty_tracker_free(one);
}

static void test_failures(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	DirtyTracker *tracker;

	(void)data;
	fixture->source_fails = true;
	g_assert_null(dirty_tracker_new(fixture->memory, &error));
	g_assert_cmpstr(error->message, ==, "no source");
	g_clear_error(&error);
	g_assert_false(fixture->listener_on);

	fixture->source_fails = false;
	fixture->listener_fails = true;
	g_assert_null(dirty_tracker_new(fixture->memory, &error));
	g_assert_cmpstr(error->message, ==, "no log");
	g_assert_false(fixture->source_on);
	g_assert_false(guest_memory_is_tracked(fixture->memory));

	/* Where the source does not know, all may have been written. */
	fixture->listener_fails = false;
	tracker = track(fixture);
	fixture->source_knows = false;
	g_assert_cmpuint(dirty_tracker_take(tracker, NULL), ==, (LOW_SIZE + HIGH_SIZE) / PAGE);

	g_assert_null(dirty_tracker_gap(tracker));
	dirty_log_set_gap(fixture->memory, "somebody else writes");
	g_assert_cmpstr(dirty_tracker_gap(tracker), ==, "somebody else writes");
	dirty_tracker_free(tracker);
	tracker = track(fixture);
	g_assert_null(dirty_tracker_gap(tracker));
	dirty_tracker_free(tracker);
}

/* Another process marks in the bitmap itself, and may do there what it likes. */
static void test_shared(Fixture *fixture, gconstpointer data)
{
	g_autoptr(DirtyTracker) tracker = NULL;
	DirtyLogView view;
	uint8_t *map;

	(void)data;
	g_assert_false(dirty_log_view(fixture->memory, &view));
	tracker = track(fixture);
	g_assert_true(dirty_log_view(fixture->memory, &view));
	g_assert_cmpuint(view.size, ==, dirty_tracker_words(tracker) * sizeof(uint64_t));
	g_assert_cmpuint(view.size * 8, >=, (HIGH_GPA + HIGH_SIZE) / PAGE);
	map = mmap(NULL, view.size, PROT_READ | PROT_WRITE, MAP_SHARED, view.fd, 0);
	g_assert_true(map != MAP_FAILED);
	map[0] = 1 << 3;
	map[HIGH_GPA / PAGE / 8] = 1 << 4;
	expect(tracker, 2, 3, 100);
	memset(map, 0xff, view.size);
	g_assert_cmpuint(dirty_tracker_take(tracker, NULL), ==, (LOW_SIZE + HIGH_SIZE) / PAGE);
	munmap(map, view.size);
	/* It cannot take the memory away from under us. */
	g_assert_cmpint(ftruncate(view.fd, 0), <, 0);
	g_assert_cmpint(errno, ==, EPERM);
}

static void test_growth(Fixture *fixture, gconstpointer data)
{
	GuestMemoryRegion region = {
		.gpa = 1000 * PAGE, .size = PAGE, .fd = -1, .hva = fixture->rom
	};
	g_autoptr(GError) error = NULL;
	DirtyTracker *tracker = track(fixture);

	(void)data;
	g_assert_false(guest_memory_add(fixture->memory, &region, &error));
	g_assert_nonnull(strstr(error->message, "dirty log"));
	dirty_tracker_free(tracker);

	dirty_log_set_limit(fixture->memory, 1001 * PAGE);
	tracker = track(fixture);
	g_assert_true(guest_memory_add(fixture->memory, &region, NULL));
	guest_memory_mark(fixture->memory, fixture->rom, 1);
	expect(tracker, 1, 1000);
	dirty_tracker_free(tracker);
	guest_memory_remove(fixture->memory, region.gpa);
}

/* Many threads mark the pages of one word while it is taken: each mark comes out, once or more. */
typedef struct Marker {
	Fixture *fixture;
	unsigned page;
	GThread *thread;
} Marker;

#define ROUNDS 20000u

static gpointer mark_again_and_again(gpointer data)
{
	const Marker *marker = data;
	uint32_t *page = (uint32_t *)(void *)(marker->fixture->low + (size_t)marker->page * PAGE);

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		__atomic_store_n(page, i, __ATOMIC_RELAXED);
		guest_memory_mark(marker->fixture->memory, page, sizeof(*page));
	}
	g_atomic_int_inc(&marker->fixture->n_done);
	return NULL;
}

/* What is copied when a page is marked is up to date in the end: as a migration would see it. */
static void test_threads(Fixture *fixture, gconstpointer data)
{
	Marker markers[4];
	uint32_t copies[4] = {};
	g_autoptr(DirtyTracker) tracker = track(fixture);
	g_autofree uint64_t *bitmap = g_new0(uint64_t, dirty_tracker_words(tracker));
	bool done;

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(markers); i++) {
		markers[i] = (Marker){ .fixture = fixture, .page = 10 + i };
		markers[i].thread = g_thread_new("marker", mark_again_and_again, &markers[i]);
	}
	do {
		/* The last look comes after the last mark. */
		done = g_atomic_int_get(&fixture->n_done) == (int)G_N_ELEMENTS(markers);
		bitmap[0] = 0;
		dirty_tracker_take(tracker, bitmap);
		for (unsigned i = 0; i < G_N_ELEMENTS(markers); i++) {
			uint32_t *page =
				(uint32_t *)(void *)(fixture->low + (size_t)markers[i].page * PAGE);

			if (bitmap[0] & (UINT64_C(1) << markers[i].page))
				copies[i] = __atomic_load_n(page, __ATOMIC_RELAXED);
		}
	} while (!done);
	for (unsigned i = 0; i < G_N_ELEMENTS(markers); i++)
		g_thread_join(markers[i].thread);
	for (unsigned i = 0; i < G_N_ELEMENTS(markers); i++)
		g_assert_cmpuint(copies[i], ==, ROUNDS);
}

static void test_sample(Fixture *fixture, gconstpointer data)
{
	/* So many that each page is one of them. */
	g_autoptr(PageSample) sample = page_sample_new(fixture->memory, 1u << 18);
	uint64_t n_pages;

	(void)data;
	g_assert_cmpuint(page_sample_count_changed(sample, &n_pages), ==, 0);
	g_assert_cmpuint(n_pages, ==, (LOW_SIZE + HIGH_SIZE) / PAGE);
	g_assert_cmpuint(page_sample_size(sample), ==, LOW_SIZE + HIGH_SIZE);
	fixture->low[5 * PAGE + 17] = 1;
	fixture->high[HIGH_SIZE - 1] = 1;
	g_assert_cmpuint(page_sample_count_changed(sample, &n_pages), ==, 2);
	fixture->low[5 * PAGE + 17] = 0;
	g_assert_cmpuint(page_sample_count_changed(sample, &n_pages), ==, 1);
	/* What is unplugged counts no more. */
	guest_memory_remove(fixture->memory, HIGH_GPA);
	g_assert_cmpuint(page_sample_count_changed(sample, &n_pages), ==, 0);
	g_assert_cmpuint(n_pages, ==, LOW_SIZE / PAGE);
}

/* A look at memory that the guest has not used must not be what makes it use some. */
static void test_sample_holes(Fixture *fixture, gconstpointer data)
{
	const uint64_t size = 1u << 20;
	GuestMemoryRegion region = { .gpa = 1u << 30, .size = size, .shared = true };
	uint64_t n_pages;
	PageSample *sample;
	off_t hole;

	(void)data;
	region.fd = memfd_create("ram", MFD_CLOEXEC);
	g_assert_no_errno(ftruncate(region.fd, (off_t)size));
	region.hva = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	g_assert_true(region.hva != MAP_FAILED);
	g_assert_true(guest_memory_add(fixture->memory, &region, NULL));
	sample = page_sample_new(fixture->memory, 1u << 18);
	page_sample_count_changed(sample, &n_pages);
	g_assert_cmpuint(n_pages, ==, (LOW_SIZE + HIGH_SIZE + size) / PAGE);
	hole = lseek(region.fd, 0, SEEK_DATA);
	g_assert_true(hole < 0 && errno == ENXIO);
	region.hva[PAGE] = 1;
	g_assert_cmpuint(page_sample_count_changed(sample, &n_pages), ==, 1);
	page_sample_free(sample);
	guest_memory_remove(fixture->memory, region.gpa);
	munmap(region.hva, size);
	close(region.fd);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	TEST("/dirty-log/writers", test_writers);
	TEST("/dirty-log/several", test_several);
	TEST("/dirty-log/failures", test_failures);
	TEST("/dirty-log/shared", test_shared);
	TEST("/dirty-log/growth", test_growth);
	TEST("/dirty-log/threads", test_threads);
	TEST("/page-sample/changes", test_sample);
	TEST("/page-sample/holes", test_sample_holes);
#undef TEST
	return g_test_run();
}
