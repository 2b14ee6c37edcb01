/*
 * test-free-pages.c: pages that the guest says are free, given back to the host if they still are
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/memory/free_pages.h"

#define PAGE	  4096u
#define LOW_PAGES 40u
#define HIGH_PAGE 100u /* in another word of the bitmap, and not at its start */
#define N_HIGH	  200u
#define ROM_PAGE  400u
#define LATER	  G_MAXINT64
#define NOW	  G_MININT64

typedef struct Fixture {
	GuestMemory *memory;
	uint8_t *low, *high, *rom;
	int fd;		/* of high */
	gint64 written; /* the guest wrote this page of high; -1: none */
	bool source_fails;
	FreePages *pages;
} Fixture;

static bool source_start(void *opaque, GError **error)
{
	return !((Fixture *)opaque)->source_fails || error_fail(error, "no source");
}

static void source_stop(void *opaque)
{
	(void)opaque;
}

static bool source_fetch(void *opaque, const GuestMemoryRegion *region, uint64_t *bitmap)
{
	Fixture *fixture = opaque;

	if (region->gpa != HIGH_PAGE * PAGE || fixture->written < 0)
		return true;
	bitmap[fixture->written / 64] |= UINT64_C(1) << (fixture->written % 64);
	fixture->written = -1;
	return true;
}

static const DirtySource source = {
	.start = source_start,
	.stop = source_stop,
	.fetch = source_fetch,
};

static uint8_t *add(Fixture *fixture, GuestMemoryRegion region)
{
	int flags = region.fd >= 0 ? (region.shared ? MAP_SHARED : MAP_PRIVATE)
				   : MAP_PRIVATE | MAP_ANONYMOUS;

	region.hva = mmap(NULL, region.size, PROT_READ | PROT_WRITE, flags, region.fd, 0);
	g_assert_true(region.hva != MAP_FAILED);
	memset(region.hva, 0x77, region.size);
	g_assert_true(guest_memory_add(fixture->memory, &region, NULL));
	return region.hva;
}

/* @data: high memory is a private mapping of its file. */
static void set_up(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	fixture->written = -1;
	fixture->memory = guest_memory_new();
	fixture->fd = memfd_create("ram", MFD_CLOEXEC);
	g_assert_no_errno(ftruncate(fixture->fd, N_HIGH * PAGE));
	fixture->low = add(fixture, (GuestMemoryRegion){ .size = LOW_PAGES * PAGE, .fd = -1 });
	fixture->high = add(fixture, (GuestMemoryRegion){ .gpa = HIGH_PAGE * PAGE,
							  .size = N_HIGH * PAGE,
							  .fd = fixture->fd,
							  .shared = !data });
	fixture->rom =
		add(fixture,
		    (GuestMemoryRegion){
			    .gpa = ROM_PAGE * PAGE, .size = PAGE, .fd = -1, .read_only = true });
	dirty_log_set_source(fixture->memory, &source, fixture);
	fixture->pages = free_pages_new(fixture->memory, &error);
	g_assert_no_error(error);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	free_pages_free(fixture->pages);
	guest_memory_free(fixture->memory);
	munmap(fixture->low, LOW_PAGES * PAGE);
	munmap(fixture->high, N_HIGH * PAGE);
	munmap(fixture->rom, PAGE);
	close(fixture->fd);
}

/* Whether page @index of @memory, which was full of one byte, is zero. */
static bool is_gone(const uint8_t *memory, unsigned index)
{
	const uint8_t *page = memory + (size_t)index * PAGE;

	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

static void check_gone(const uint8_t *memory, unsigned n, unsigned first, unsigned end)
{
	for (unsigned i = 0; i < n; i++)
		g_assert_cmpint(is_gone(memory, i), ==, i >= first && i < end);
}

static void finish(Fixture *fixture)
{
	g_assert_true(free_pages_sift(fixture->pages, LATER));
	g_assert_true(free_pages_discard(fixture->pages, LATER));
}

/* Over the words of the bitmap, up to the end of regions and not behind it. */
static void test_ranges(Fixture *fixture, gconstpointer data)
{
	(void)data;
	free_pages_add(fixture->pages, fixture->low + 3 * PAGE, 100 * PAGE);
	free_pages_add(fixture->pages, fixture->high + 1, 170 * PAGE);
	free_pages_add(fixture->pages, fixture->high + 190 * PAGE, PAGE - 1);
	free_pages_add(fixture->pages, fixture->high + 191 * PAGE, 0);
	free_pages_add(fixture->pages, fixture->rom, PAGE);
	free_pages_add(fixture->pages, &fixture, PAGE);
	g_assert_cmpuint(free_pages_added(fixture->pages), ==, (37 + 169) * PAGE);
	check_gone(fixture->low, LOW_PAGES, 0, 0);
	finish(fixture);
	check_gone(fixture->low, LOW_PAGES, 3, 40);
	check_gone(fixture->high, N_HIGH, 1, 170);
	check_gone(fixture->rom, 1, 0, 0);
	g_assert_cmpuint(free_pages_discarded(fixture->pages), ==, (37 + 169) * PAGE);
}

/* What somebody wrote stays, whoever it was and whenever; but what is zero may go. */
static void test_written(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_true(guest_memory_write(fixture->memory, 10 * PAGE, "x", 1));
	free_pages_add(fixture->pages, fixture->low, LOW_PAGES * PAGE);
	free_pages_add(fixture->pages, fixture->high, N_HIGH * PAGE);
	fixture->written = 150;
	memset(fixture->low + 11 * PAGE, 0, PAGE);
	guest_memory_mark(fixture->memory, fixture->low + 11 * PAGE, PAGE);
	g_assert_true(free_pages_sift(fixture->pages, LATER));
	/* Zero then, and written after it was looked at. */
	fixture->low[11 * PAGE + 5] = 1;
	guest_memory_mark(fixture->memory, fixture->low + 11 * PAGE + 5, 1);
	g_assert_true(guest_memory_write(fixture->memory, 12 * PAGE - 1, "yz", 2));
	g_assert_true(free_pages_discard(fixture->pages, LATER));
	for (unsigned i = 0; i < LOW_PAGES; i++)
		g_assert_cmpint(is_gone(fixture->low, i), ==, i < 10 || i > 12);
	g_assert_cmpuint(fixture->low[11 * PAGE + 5], ==, 1);
	for (unsigned i = 0; i < N_HIGH; i++)
		g_assert_cmpint(is_gone(fixture->high, i), ==, i != 150);
}

static void test_zeroes(Fixture *fixture, gconstpointer data)
{
	(void)data;
	memset(fixture->high, 0, 3 * PAGE);
	guest_memory_mark(fixture->memory, fixture->high, 3 * PAGE);
	free_pages_add(fixture->pages, fixture->high, 3 * PAGE);
	finish(fixture);
	g_assert_cmpuint(free_pages_discarded(fixture->pages), ==, 3 * PAGE);
}

/* What is behind a private mapping may be anything: zeroes that were written there stay. */
static void test_zeroes_over_file(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_cmpint(pwrite(fixture->fd, "file", 4, 0), ==, 4);
	memset(fixture->high, 0, 3 * PAGE);
	guest_memory_mark(fixture->memory, fixture->high, 3 * PAGE);
	free_pages_add(fixture->pages, fixture->high, 4 * PAGE);
	finish(fixture);
	g_assert_cmpuint(free_pages_discarded(fixture->pages), ==, PAGE);
	check_gone(fixture->high, 3, 0, 3);
}

/* A step at a time, with writes in between. */
static void test_steps(Fixture *fixture, gconstpointer data)
{
	unsigned n_sifts = 1, n_discards = 1;

	(void)data;
	memset(fixture->high, 0, N_HIGH * PAGE);
	guest_memory_mark(fixture->memory, fixture->high, N_HIGH * PAGE);
	for (unsigned i = 0; i < N_HIGH; i += 2)
		free_pages_add(fixture->pages, fixture->high + i * PAGE, PAGE);
	while (!free_pages_sift(fixture->pages, NOW))
		n_sifts++;
	g_assert_cmpuint(n_sifts, >, 2);
	while (!free_pages_discard(fixture->pages, NOW)) {
		fixture->high[198 * PAGE] = 9;
		fixture->written = 198;
		n_discards++;
	}
	g_assert_cmpuint(n_discards, ==, N_HIGH / 2);
	g_assert_cmpuint(fixture->high[198 * PAGE], ==, 9);
	g_assert_cmpuint(free_pages_discarded(fixture->pages), ==, (N_HIGH / 2 - 1) * PAGE);
}

/* Each page said to be free again and again is no work without end. */
static void test_too_much(Fixture *fixture, gconstpointer data)
{
	(void)data;
	for (unsigned i = 0; i < 100; i++)
		free_pages_add(fixture->pages, fixture->high, N_HIGH * PAGE);
	g_assert_cmpuint(free_pages_added(fixture->pages), <, 4 * N_HIGH * PAGE);
	finish(fixture);
	check_gone(fixture->high, N_HIGH, 0, N_HIGH);
	g_assert_cmpuint(free_pages_discarded(fixture->pages), ==, N_HIGH * PAGE);
}

/* When it is not known what was written, all of it may have been. */
static void test_gap(Fixture *fixture, gconstpointer data)
{
	(void)data;
	free_pages_add(fixture->pages, fixture->low, LOW_PAGES * PAGE);
	dirty_log_set_gap(fixture->memory, "a writer that cannot tell");
	finish(fixture);
	check_gone(fixture->low, LOW_PAGES, 0, 0);
}

static void test_memory_gone(Fixture *fixture, gconstpointer data)
{
	(void)data;
	free_pages_add(fixture->pages, fixture->low, LOW_PAGES * PAGE);
	free_pages_add(fixture->pages, fixture->high, N_HIGH * PAGE);
	guest_memory_mark(fixture->memory, fixture->high, N_HIGH * PAGE);
	guest_memory_remove(fixture->memory, HIGH_PAGE * PAGE);
	finish(fixture);
	check_gone(fixture->low, LOW_PAGES, 0, 0);
	check_gone(fixture->high, N_HIGH, 0, 0);
}

static void test_refused(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	(void)data;
	g_clear_pointer(&fixture->pages, free_pages_free);
	fixture->source_fails = true;
	g_assert_null(free_pages_new(fixture->memory, &error));
	g_assert_cmpstr(error->message, ==, "no source");
	/* And nothing is left of it. */
	g_assert_false(guest_memory_is_tracked(fixture->memory));
}

static void add_test(const char *path, void (*func)(Fixture *, gconstpointer), const char *data)
{
	g_test_add(path, Fixture, data, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add_test("/free-pages/ranges", test_ranges, NULL);
	add_test("/free-pages/written", test_written, NULL);
	add_test("/free-pages/zeroes", test_zeroes, NULL);
	add_test("/free-pages/zeroes-over-file", test_zeroes_over_file, "private");
	add_test("/free-pages/steps", test_steps, NULL);
	add_test("/free-pages/too-much", test_too_much, NULL);
	add_test("/free-pages/gap", test_gap, NULL);
	add_test("/free-pages/memory-gone", test_memory_gone, NULL);
	add_test("/free-pages/refused", test_refused, NULL);
	return g_test_run();
}
