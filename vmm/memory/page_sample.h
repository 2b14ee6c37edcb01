/*
 * page_sample.h: whether some pages of guest RAM, chosen at random, change
 *
 * Says roughly how much of RAM is written, at no cost to the guest and without help of those who
 * write: a page that is written with what it has already does not count.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "vmm/memory/guest_memory.h"

typedef struct PageSample PageSample;

/*
 * Choose @per_gib pages of each GiB of @memory's RAM, at least one of each region, and remember
 * what they have. What the guest has never used stays unused, but for huge pages. Any thread; free
 * it with page_sample_free().
 */
PageSample *page_sample_new(const GuestMemory *memory, unsigned per_gib);
void page_sample_free(PageSample *sample);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PageSample, page_sample_free)

/* The RAM that they stand for, bytes: all that there was, memory devices among it. */
uint64_t page_sample_size(const PageSample *sample);

/*
 * How many of the pages, of those that are still there, are not what they were: sets *@n_pages to
 * the latter. Any thread.
 */
uint64_t page_sample_count_changed(const PageSample *sample, uint64_t *n_pages);
