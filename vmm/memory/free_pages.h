/*
 * free_pages.h: pages that the guest says are free, given back to the host if they still are
 *
 * What is said to be free may be in use again before anybody acts on it. So an account of all
 * writes is kept (dirty_log.h) from before the guest is asked, and a page that was written since is
 * left alone. It may have been written before it was said to be free, though: kernels that clear
 * what they allocate clear it when they take it out of their pool to say so. Hence a page that was
 * written and holds nothing but zeroes is as good as one that was not, as zeroes are what the guest
 * finds there afterwards. That takes time to see, and is seen while the guest runs; what it writes
 * after that counts.
 *
 * One round: new, add as the guest goes on, sift until that is done, and discard until that is
 * done, each time with the guest held for a moment.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory/guest_memory.h"

typedef struct FreePages FreePages;

/*
 * Begin: of what is written to @memory from now on nothing will be discarded. NULL and @error where
 * a writer cannot tell what it writes, or the host has no memory. Main thread.
 */
FreePages *free_pages_new(GuestMemory *memory, GError **error);

/* End; what was not discarded stays. @pages may be NULL. Main thread. */
void free_pages_free(FreePages *pages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FreePages, free_pages_free)

/*
 * The guest says that the @size bytes at @hva, of RAM, are free; only whole pages count. Once as
 * many were added as there can be, the rest is left out. Any thread, one at a time, none that
 * sifts or discards.
 */
void free_pages_add(FreePages *pages, const void *hva, uint64_t size);

/* Bytes that were added, twice where they were added twice. */
uint64_t free_pages_added(const FreePages *pages);

/*
 * Drop what was written, but for what is zero, until @deadline (g_get_monotonic_time()). Returns
 * whether that is done; else call it again. Main thread; the guest may run.
 */
bool free_pages_sift(FreePages *pages, int64_t deadline);

/*
 * Give back what is left, until @deadline, after dropping what was written since it was sifted; at
 * least a little each time. Returns whether that is done; else call it again. Main thread; no vCPU
 * runs and no device touches guest memory (DeviceServices.with_quiet_guest).
 */
bool free_pages_discard(FreePages *pages, int64_t deadline);

/* Bytes that were given back, whether or not the host had memory there. */
uint64_t free_pages_discarded(const FreePages *pages);
