/*
 * free_pages.c: pages that the guest says are free, given back to the host if they still are
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/memory/free_pages.h"

#include <string.h>
#include <sys/mman.h>

#include "vmm/base/error.h"
#include "vmm/base/lazy_memory.h"
#include "vmm/base/rcu.h"
#include "vmm/memory/dirty_log.h"

#define PAGE	  DIRTY_PAGE_SIZE
#define WORD_BITS 64u
/* What goes between two looks at the clock. */
#define STEP (UINT64_C(32) << 20)

/* Bitmaps are by guest-physical page. */
struct FreePages {
	GuestMemory *memory;
	DirtyTracker *tracker;
	GuestMemoryListener listener;
	bool changed; /* RAM came or went: nothing is known of what is there now */

	size_t n_words;
	uint64_t *free;	   /* said to be, and not known to have been written */
	uint64_t *written; /* taken from the tracker, and not yet looked at */
	bool is_taken;	   /* what was written until the sifting began */
	size_t word;	   /* where sifting, then discarding goes on */
	uint64_t n_added;  /* pages */
	uint64_t discarded;
};

static void memory_changed(void *opaque)
{
	((FreePages *)opaque)->changed = true;
}

FreePages *free_pages_new(GuestMemory *memory, GError **error)
{
	DirtyTracker *tracker = dirty_tracker_new(memory, error);
	FreePages *pages;

	if (!tracker)
		return NULL;
	pages = g_new0(FreePages, 1);
	pages->memory = memory;
	pages->tracker = tracker;
	pages->listener = (GuestMemoryListener){ .changed = memory_changed, .opaque = pages };
	guest_memory_add_listener(memory, &pages->listener);
	pages->n_words = dirty_tracker_words(tracker);
	pages->free = lazy_memory_new(pages->n_words * sizeof(uint64_t));
	pages->written = lazy_memory_new(pages->n_words * sizeof(uint64_t));
	/* What was written before may be in there. */
	dirty_tracker_take(tracker, NULL);
	if (pages->free && pages->written)
		return pages;
	error_fail(error, "the host has no memory for an account of free pages");
	free_pages_free(pages);
	return NULL;
}

void free_pages_free(FreePages *pages)
{
	if (!pages)
		return;
	guest_memory_remove_listener(pages->memory, &pages->listener);
	dirty_tracker_free(pages->tracker);
	lazy_memory_free(pages->free, pages->n_words * sizeof(uint64_t));
	lazy_memory_free(pages->written, pages->n_words * sizeof(uint64_t));
	g_free(pages);
}

uint64_t free_pages_added(const FreePages *pages)
{
	return pages->n_added * PAGE;
}

uint64_t free_pages_discarded(const FreePages *pages)
{
	return pages->discarded;
}

/* The bits of word @index among pages from @first on and before @end. */
static uint64_t word_mask(size_t index, uint64_t first, uint64_t end)
{
	uint64_t mask = UINT64_MAX;

	if (index == first / WORD_BITS)
		mask &= UINT64_MAX << (first % WORD_BITS);
	if (index == end / WORD_BITS)
		mask &= ~(UINT64_MAX << (end % WORD_BITS));
	return mask;
}

/* Set or clear those in @bitmap. */
static void change_bits(uint64_t *bitmap, uint64_t first, uint64_t end, bool set)
{
	for (size_t i = first / WORD_BITS; i * WORD_BITS < end; i++) {
		if (set)
			bitmap[i] |= word_mask(i, first, end);
		else
			bitmap[i] &= ~word_mask(i, first, end);
	}
}

/* The RAM with @hva in it. */
static bool find_by_hva(const FreePages *pages, const uint8_t *hva, GuestMemoryRegion *found)
{
	const GuestMemoryRegion *regions;
	bool is_there = false;
	size_t n;

	rcu_read_lock();
	regions = guest_memory_regions(pages->memory, &n);
	for (size_t i = 0; i < n && !is_there; i++) {
		is_there = !regions[i].read_only && hva >= regions[i].hva &&
			   hva < regions[i].hva + regions[i].size;
		if (is_there)
			*found = regions[i];
	}
	rcu_read_unlock();
	return is_there;
}

/* The RAM that has the whole page number @page. */
static bool find_by_page(const FreePages *pages, uint64_t page, GuestMemoryRegion *found)
{
	const uint8_t *hva = guest_memory_hva(pages->memory, page * PAGE, PAGE, true);

	return hva && find_by_hva(pages, hva, found);
}

void free_pages_add(FreePages *pages, const void *hva, uint64_t size)
{
	uint64_t n_pages = pages->n_words * WORD_BITS, offset, first, end;
	GuestMemoryRegion region;

	if (pages->n_added >= n_pages || !find_by_hva(pages, hva, &region))
		return;
	offset = (uint64_t)((const uint8_t *)hva - region.hva);
	first = (region.gpa + offset + (PAGE - 1)) / PAGE;
	end = (region.gpa + offset + MIN(size, region.size - offset)) / PAGE;
	end = MIN(end, n_pages);
	if (first >= end)
		return;
	pages->n_added += end - first;
	change_bits(pages->free, first, end, true);
}

/* Sifting */

/*
 * Whether page number @page may be discarded although it was written. It was, so it is there; but
 * for a large one that was discarded since, and that the host cannot give again.
 */
static bool is_zero(const FreePages *pages, uint64_t page)
{
	GuestMemoryRegion region;
	const uint8_t *hva;

	/* Under a private mapping of a file is what the file has. */
	if (!find_by_page(pages, page, &region) || (region.fd >= 0 && !region.shared))
		return false;
	hva = region.hva + (page * PAGE - region.gpa);
	if (region.page_size > PAGE &&
	    madvise((void *)((uintptr_t)hva & ~(uintptr_t)(region.page_size - 1)), region.page_size,
		    MADV_POPULATE_READ) != 0)
		return false;
	return hva[0] == 0 && memcmp(hva, hva + 1, PAGE - 1) == 0;
}

static void sift_word(FreePages *pages, size_t index)
{
	uint64_t written = pages->free[index] & pages->written[index];

	pages->written[index] = 0;
	for (; written; written &= written - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(written);

		if (!is_zero(pages, index * WORD_BITS + bit))
			pages->free[index] &= ~(UINT64_C(1) << bit);
	}
}

bool free_pages_sift(FreePages *pages, int64_t deadline)
{
	/* Before any of them is looked at: so what is written while we look is seen the next time.
	 */
	if (!pages->is_taken)
		dirty_tracker_take(pages->tracker, pages->written);
	pages->is_taken = true;
	while (pages->word < pages->n_words) {
		if (!(pages->free[pages->word] & pages->written[pages->word])) {
			pages->written[pages->word++] = 0;
			continue;
		}
		sift_word(pages, pages->word++);
		if (g_get_monotonic_time() >= deadline)
			return false;
	}
	pages->word = 0;
	return true;
}

/* Discarding */

/* Set *@first and *@end to the next that are free, in a row; false when none is. */
static bool next_run(FreePages *pages, uint64_t *first, uint64_t *end)
{
	size_t index;

	while (pages->word < pages->n_words && !pages->free[pages->word])
		pages->word++;
	if (pages->word == pages->n_words)
		return false;
	*first = pages->word * WORD_BITS + (unsigned)__builtin_ctzll(pages->free[pages->word]);
	*end = *first;
	for (index = pages->word; index < pages->n_words; index++) {
		uint64_t used = ~pages->free[index] & word_mask(index, *first, UINT64_MAX);

		*end = index * WORD_BITS + (used ? (unsigned)__builtin_ctzll(used) : WORD_BITS);
		if (used)
			break;
	}
	return true;
}

/*
 * Discard what is of whole host pages among @first to @end, or the start of it. Returns where what
 * is left of them starts.
 */
static uint64_t discard_run(FreePages *pages, uint64_t first, uint64_t end)
{
	uintptr_t start, stop, limit, step, mask;
	GuestMemoryRegion region;

	if (!find_by_page(pages, first, &region))
		return first + 1;
	mask = MAX(region.page_size, PAGE) - 1;
	step = MAX(region.page_size, STEP);
	start = (uintptr_t)region.hva + (first * PAGE - region.gpa);
	limit = (uintptr_t)region.hva + MIN(region.size, end * PAGE - region.gpa);
	/* Cut between host pages, wherever those start in the guest's. */
	limit = MIN(limit, (start + step) & ~(step - 1));
	stop = limit & ~mask;
	start = (start + mask) & ~mask;
	if (start < stop && guest_memory_discard(pages->memory, (void *)start, stop - start))
		pages->discarded += stop - start;
	end = (region.gpa + (limit - (uintptr_t)region.hva)) / PAGE;
	return MAX(end, first + 1);
}

/* Not what was written since it was sifted. Returns whether it is known what was. */
static bool drop_written(FreePages *pages)
{
	dirty_tracker_take(pages->tracker, pages->written);
	for (size_t i = 0; i < pages->n_words; i++) {
		if (!pages->written[i])
			continue;
		pages->free[i] &= ~pages->written[i];
		pages->written[i] = 0;
	}
	return !pages->changed && !dirty_tracker_gap(pages->tracker);
}

bool free_pages_discard(FreePages *pages, int64_t deadline)
{
	uint64_t first, end;

	if (!drop_written(pages))
		return true;
	while (next_run(pages, &first, &end)) {
		change_bits(pages->free, first, discard_run(pages, first, end), false);
		if (g_get_monotonic_time() >= deadline)
			return false;
	}
	return true;
}
