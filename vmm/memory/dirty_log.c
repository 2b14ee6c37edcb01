/*
 * dirty_log.c: which pages of guest RAM are written
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/memory/dirty_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/lazy_memory.h"
#include "vmm/base/rcu.h"
#include "vmm/memory/guest_memory_internal.h"

#define WORD_BITS 64u

struct DirtyTracker {
	GuestMemory *memory;
	uint64_t *words; /* by guest-physical page; under the log's lock */
	size_t n_words;
};

/* The bits of word @index among pages [@first, @last]. */
static uint64_t word_mask(size_t index, uint64_t first, uint64_t last)
{
	uint64_t mask = UINT64_MAX;

	if (index == first / WORD_BITS)
		mask &= UINT64_MAX << (first % WORD_BITS);
	if (index == last / WORD_BITS)
		mask &= UINT64_MAX >> (WORD_BITS - 1 - last % WORD_BITS);
	return mask;
}

static uint64_t first_page(const GuestMemoryRegion *region)
{
	return region->gpa >> DIRTY_PAGE_SHIFT;
}

static uint64_t last_page(const GuestMemoryRegion *region)
{
	return (region->gpa + (region->size - 1)) >> DIRTY_PAGE_SHIFT;
}

/* Marks of the monitor */

static void set_bits(const DirtyBitmap *bitmap, uint64_t gpa, uint64_t size)
{
	uint64_t first = gpa >> DIRTY_PAGE_SHIFT, last = (gpa + (size - 1)) >> DIRTY_PAGE_SHIFT;

	/*
	 * Full barrier: what was written is out before a bit that is set already is taken for ours.
	 * Who clears it later than we look reads the page after that.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (size_t i = first / WORD_BITS; i <= last / WORD_BITS && i < bitmap->n_words; i++) {
		uint64_t mask = word_mask(i, first, last);

		if ((__atomic_load_n(&bitmap->words[i], __ATOMIC_RELAXED) & mask) != mask)
			__atomic_fetch_or(&bitmap->words[i], mask, __ATOMIC_SEQ_CST);
	}
}

void guest_memory_mark_tracked(const GuestMemory *memory, const void *hva, uint64_t size)
{
	const DirtyBitmap *bitmap;
	const GuestMemoryRegion *region;

	rcu_read_lock();
	bitmap = g_atomic_pointer_get(&((GuestMemory *)memory)->dirty.bitmap);
	region = bitmap && size > 0 ? guest_memory_region_of(memory, hva) : NULL;
	if (region) {
		uint64_t offset = (uint64_t)((const uint8_t *)hva - region->hva);

		set_bits(bitmap, region->gpa + offset, MIN(size, region->size - offset));
	}
	rcu_read_unlock();
}

/* The shared bitmap */

static void bitmap_free(DirtyBitmap *bitmap)
{
	if (bitmap->words)
		munmap(bitmap->words, bitmap->n_words * sizeof(uint64_t));
	fd_close(&bitmap->fd);
	g_free(bitmap);
}

static DirtyBitmap *bitmap_new(size_t n_words, GError **error)
{
	DirtyBitmap *bitmap = g_new0(DirtyBitmap, 1);
	size_t size = n_words * sizeof(uint64_t);
	void *words;

	bitmap->n_words = n_words;
	bitmap->fd = fd_new_memory("vireo-dirty-log", 0, size);
	if (bitmap->fd < 0)
		goto fail;
	words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bitmap->fd, 0);
	if (words == MAP_FAILED)
		goto fail;
	bitmap->words = words;
	return bitmap;
fail:
	error_fail_errno(error, errno, "cannot make a dirty log of %zu bytes", size);
	bitmap_free(bitmap);
	return NULL;
}

bool dirty_log_view(const GuestMemory *memory, DirtyLogView *view)
{
	const DirtyBitmap *bitmap = memory->dirty.bitmap;

	if (!bitmap)
		return false;
	*view = (DirtyLogView){
		.fd = bitmap->fd,
		.base = bitmap->words,
		.size = bitmap->n_words * sizeof(uint64_t),
	};
	return true;
}

static size_t words_needed(const GuestMemory *memory)
{
	uint64_t end = memory->dirty.limit;
	const GuestMemoryRegion *regions;
	size_t n_regions;

	rcu_read_lock();
	regions = guest_memory_regions(memory, &n_regions);
	if (n_regions > 0)
		end = MAX(end, (last_page(&regions[n_regions - 1]) + 1) << DIRTY_PAGE_SHIFT);
	rcu_read_unlock();
	return (size_t)(((end >> DIRTY_PAGE_SHIFT) + WORD_BITS - 1) / WORD_BITS);
}

/* Switching on and off */

static void unpublish(GuestMemory *memory)
{
	DirtyBitmap *bitmap = memory->dirty.bitmap;

	__atomic_store_n(&memory->head.tracked, false, __ATOMIC_RELAXED);
	g_atomic_pointer_set(&memory->dirty.bitmap, NULL);
	rcu_synchronize();
	bitmap_free(bitmap);
}

static bool start_log(GuestMemory *memory, GError **error)
{
	DirtyLog *log = &memory->dirty;
	DirtyBitmap *bitmap = bitmap_new(MAX(words_needed(memory), 1), error);

	if (!bitmap)
		return false;
	__atomic_store_n(&log->gap, NULL, __ATOMIC_RELAXED);
	g_atomic_pointer_set(&log->bitmap, bitmap);
	__atomic_store_n(&memory->head.tracked, true, __ATOMIC_SEQ_CST);
	if (log->source && !log->source->start(log->source_opaque, error)) {
		unpublish(memory);
		return false;
	}
	if (guest_memory_tell_logging(memory, true, error))
		return true;
	if (log->source)
		log->source->stop(log->source_opaque);
	unpublish(memory);
	return false;
}

static void stop_log(GuestMemory *memory)
{
	DirtyLog *log = &memory->dirty;

	guest_memory_tell_logging(memory, false, NULL);
	if (log->source)
		log->source->stop(log->source_opaque);
	unpublish(memory);
}

void dirty_log_set_source(GuestMemory *memory, const DirtySource *source, void *opaque)
{
	memory->dirty.source = source;
	memory->dirty.source_opaque = opaque;
}

void dirty_log_set_limit(GuestMemory *memory, uint64_t end)
{
	memory->dirty.limit = end;
}

void dirty_log_set_gap(GuestMemory *memory, const char *reason)
{
	if (memory->dirty.bitmap)
		__atomic_store_n(&memory->dirty.gap, reason, __ATOMIC_RELAXED);
}

/* Trackers */

DirtyTracker *dirty_tracker_new(GuestMemory *memory, GError **error)
{
	DirtyLog *log = &memory->dirty;
	DirtyTracker *tracker;

	if (!log->trackers && !start_log(memory, error))
		return NULL;
	tracker = g_new0(DirtyTracker, 1);
	tracker->memory = memory;
	tracker->n_words = log->bitmap->n_words;
	tracker->words = lazy_memory_new(tracker->n_words * sizeof(uint64_t));
	g_mutex_lock(&log->lock);
	log->trackers = g_slist_prepend(log->trackers, tracker);
	g_mutex_unlock(&log->lock);
	if (tracker->words)
		return tracker;
	error_fail(error, "the host has no memory for a dirty log");
	dirty_tracker_free(tracker);
	return NULL;
}

void dirty_tracker_free(DirtyTracker *tracker)
{
	DirtyLog *log;

	if (!tracker)
		return;
	log = &tracker->memory->dirty;
	g_mutex_lock(&log->lock);
	log->trackers = g_slist_remove(log->trackers, tracker);
	g_mutex_unlock(&log->lock);
	if (!log->trackers)
		stop_log(tracker->memory);
	if (tracker->words)
		lazy_memory_free(tracker->words, tracker->n_words * sizeof(uint64_t));
	g_free(tracker);
}

size_t dirty_tracker_words(const DirtyTracker *tracker)
{
	return tracker->n_words;
}

const char *dirty_tracker_gap(const DirtyTracker *tracker)
{
	return __atomic_load_n(&tracker->memory->dirty.gap, __ATOMIC_RELAXED);
}

/* Give all trackers the bits of @word, of the pages from @page on; lock held. */
static void distribute(const DirtyLog *log, uint64_t page, uint64_t word)
{
	size_t index = page / WORD_BITS;
	unsigned shift = page % WORD_BITS;

	for (GSList *link = log->trackers; link; link = link->next) {
		DirtyTracker *tracker = link->data;

		if (!tracker->words)
			continue;
		if (index < tracker->n_words)
			tracker->words[index] |= word << shift;
		if (shift && index + 1 < tracker->n_words)
			tracker->words[index + 1] |= word >> (WORD_BITS - shift);
	}
}

/* What the guest wrote in @region; lock held. */
static void harvest_source(const DirtyLog *log, const GuestMemoryRegion *region)
{
	uint64_t n_pages = last_page(region) - first_page(region) + 1;
	size_t n_words = (size_t)((n_pages + WORD_BITS - 1) / WORD_BITS);
	uint64_t *words;
	bool known;

	if (!log->source)
		return;
	words = lazy_memory_new(n_words * sizeof(uint64_t));
	known = words && log->source->fetch(log->source_opaque, region, words);
	for (size_t i = 0; i < n_words; i++) {
		uint64_t word = known ? words[i] : UINT64_MAX;

		/* Nothing behind the region's end. */
		word &= word_mask(i, 0, n_pages - 1);
		if (word)
			distribute(log, first_page(region) + i * WORD_BITS, word);
	}
	if (words)
		lazy_memory_free(words, n_words * sizeof(uint64_t));
}

/* What others marked in @region; lock held. */
static void harvest_bitmap(const DirtyLog *log, const GuestMemoryRegion *region)
{
	const DirtyBitmap *bitmap = log->bitmap;
	uint64_t first = first_page(region), last = last_page(region);

	/* Who is given the bitmap may write there what it likes: only what is RAM counts. */
	for (size_t i = first / WORD_BITS; i <= last / WORD_BITS && i < bitmap->n_words; i++) {
		uint64_t mask = word_mask(i, first, last), word;

		if (!(__atomic_load_n(&bitmap->words[i], __ATOMIC_RELAXED) & mask))
			continue;
		/* Full barrier: marks go before what they are about is read. */
		word = __atomic_fetch_and(&bitmap->words[i], ~mask, __ATOMIC_SEQ_CST) & mask;
		distribute(log, i * WORD_BITS, word);
	}
}

/* Count, and add to @bitmap unless NULL, what @tracker has of @region, and clear it; lock held. */
static uint64_t take_region(DirtyTracker *tracker, const GuestMemoryRegion *region,
			    uint64_t *bitmap)
{
	uint64_t first = first_page(region), last = last_page(region), n = 0;

	for (size_t i = first / WORD_BITS; i <= last / WORD_BITS && i < tracker->n_words; i++) {
		uint64_t word = tracker->words[i] & word_mask(i, first, last);

		if (!word)
			continue;
		n += (unsigned)__builtin_popcountll(word);
		tracker->words[i] &= ~word;
		if (bitmap)
			bitmap[i] |= word;
	}
	return n;
}

/* A copy of the regions, as what follows takes longer than an RCU section should. */
static GuestMemoryRegion *copy_regions(const GuestMemory *memory, size_t *n_regions)
{
	const GuestMemoryRegion *regions;
	GuestMemoryRegion *copy;

	rcu_read_lock();
	regions = guest_memory_regions(memory, n_regions);
	copy = g_memdup2(regions, *n_regions * sizeof(*regions));
	rcu_read_unlock();
	return copy;
}

uint64_t dirty_tracker_take(DirtyTracker *tracker, uint64_t *bitmap)
{
	DirtyLog *log = &tracker->memory->dirty;
	g_autofree GuestMemoryRegion *regions = NULL;
	size_t n_regions;
	uint64_t n = 0;

	regions = copy_regions(tracker->memory, &n_regions);
	g_mutex_lock(&log->lock);
	for (size_t i = 0; i < n_regions; i++) {
		if (regions[i].read_only)
			continue;
		harvest_source(log, &regions[i]);
		harvest_bitmap(log, &regions[i]);
		n += take_region(tracker, &regions[i], bitmap);
	}
	g_mutex_unlock(&log->lock);
	return n;
}
