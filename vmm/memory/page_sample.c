/*
 * page_sample.c: whether some pages of guest RAM, chosen at random, change
 *
 * RAM is cut into as many equal parts as there are pages to choose, and one page is chosen in each:
 * what the guest keeps together is not missed by chance.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/memory/page_sample.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/rcu.h"
#include "vmm/memory/dirty_log.h"

#define PAGE DIRTY_PAGE_SIZE
#define GIB  (UINT64_C(1) << 30)

typedef struct SampledPage {
	uint64_t gpa;
	uint64_t hash;
} SampledPage;

struct PageSample {
	const GuestMemory *memory;
	GArray *pages; /* SampledPage */
	uint64_t size; /* of what they were chosen from, bytes */
};

/* Not against who wants two pages to look the same: that guest fools itself. */
static uint64_t hash_page(const uint8_t *page)
{
	uint64_t hash = UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < PAGE; i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, page + i, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	return hash;
}

/* The region that has the whole page at @gpa, or NULL. Inside an RCU section. */
static const GuestMemoryRegion *find_region(const GuestMemory *memory, uint64_t gpa)
{
	size_t n;
	const GuestMemoryRegion *regions = guest_memory_regions(memory, &n);

	for (size_t i = 0; i < n; i++) {
		if (!regions[i].read_only && gpa >= regions[i].gpa && regions[i].size >= PAGE &&
		    gpa - regions[i].gpa <= regions[i].size - PAGE)
			return &regions[i];
	}
	return NULL;
}

/*
 * Whether the page at @offset can be read through the mapping: where huge pages have run out one
 * that the guest has not used cannot, and would end the process.
 */
static bool can_touch(const GuestMemoryRegion *region, uint64_t offset)
{
	uint64_t start = offset & ~(region->page_size - 1);

	return region->page_size <= PAGE ||
	       madvise(region->hva + start, region->page_size, MADV_POPULATE_READ) == 0;
}

/* Set *@hash to that of the page at @gpa; false where there is none (any more). */
static bool look_at(const GuestMemory *memory, uint64_t gpa, uint64_t *hash)
{
	const GuestMemoryRegion *region;
	uint8_t page[PAGE];
	bool there = false;

	rcu_read_lock();
	region = find_region(memory, gpa);
	if (region) {
		uint64_t offset = gpa - region->gpa;

		/* Through the mapping a hole in the file would become a page of zeroes. */
		there = region->shared && region->fd >= 0 &&
			pread(region->fd, page, PAGE, (off_t)(region->offset + offset)) == PAGE;
		if (!there && can_touch(region, offset))
			memcpy(page, region->hva + offset, PAGE);
		else if (!there)
			memset(page, 0, PAGE);
		there = true;
	}
	rcu_read_unlock();
	if (there)
		*hash = hash_page(page);
	return there;
}

static void choose_pages(PageSample *sample, const GuestMemoryRegion *region, unsigned per_gib,
			 GRand *random)
{
	uint64_t n_pages = region->size / PAGE;
	uint64_t n = CLAMP((uint64_t)((double)region->size * per_gib / GIB), 1, MAX(n_pages, 1));
	uint64_t first = 0;

	sample->size += region->size;
	for (uint64_t i = 0; i < n && n_pages > 0; i++) {
		uint64_t next = (uint64_t)((double)n_pages * (double)(i + 1) / (double)n);
		SampledPage page = { .gpa = region->gpa };

		page.gpa +=
			PAGE * (first + (uint64_t)(g_rand_double(random) * (double)(next - first)));
		if (next > first)
			g_array_append_val(sample->pages, page);
		first = next;
	}
}

PageSample *page_sample_new(const GuestMemory *memory, unsigned per_gib)
{
	PageSample *sample = g_new0(PageSample, 1);
	GRand *random = g_rand_new_with_seed((guint32)g_get_monotonic_time());
	const GuestMemoryRegion *regions;
	size_t n_regions;

	sample->memory = memory;
	sample->pages = g_array_new(FALSE, FALSE, sizeof(SampledPage));
	rcu_read_lock();
	regions = guest_memory_regions(memory, &n_regions);
	for (size_t i = 0; i < n_regions; i++) {
		if (!regions[i].read_only)
			choose_pages(sample, &regions[i], per_gib, random);
	}
	rcu_read_unlock();
	g_rand_free(random);
	for (unsigned i = 0; i < sample->pages->len; i++) {
		SampledPage *page = &g_array_index(sample->pages, SampledPage, i);

		if (!look_at(memory, page->gpa, &page->hash))
			g_array_remove_index_fast(sample->pages, i--);
	}
	return sample;
}

void page_sample_free(PageSample *sample)
{
	if (!sample)
		return;
	g_array_unref(sample->pages);
	g_free(sample);
}

uint64_t page_sample_size(const PageSample *sample)
{
	return sample->size;
}

uint64_t page_sample_count_changed(const PageSample *sample, uint64_t *n_pages)
{
	uint64_t n_changed = 0;

	*n_pages = 0;
	for (unsigned i = 0; i < sample->pages->len; i++) {
		const SampledPage *page = &g_array_index(sample->pages, SampledPage, i);
		uint64_t hash;

		if (!look_at(sample->memory, page->gpa, &hash))
			continue;
		(*n_pages)++;
		n_changed += hash != page->hash;
	}
	return n_changed;
}
