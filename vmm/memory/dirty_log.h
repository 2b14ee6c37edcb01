/*
 * dirty_log.h: which pages of guest RAM are written
 *
 * While somebody wants to know (a DirtyTracker), each writer leaves marks: the guest in KVM's log,
 * which is fetched (DirtySource); the monitor by guest_memory_mark(); and whoever serves virtqueues
 * elsewhere. The latter two set bits of one shared bitmap, laid out as vhost has it: a bit for each
 * page of guest-physical address space from 0 on, the lowest bit of a byte first. It lies in a
 * memfd, so that it can be handed to another process.
 *
 * A mark comes after what was written, and a tracker takes marks before it reads what they are
 * about: so it may find a page marked that did not change, but misses none that did.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/memory/guest_memory.h"

#define DIRTY_PAGE_SHIFT 12
#define DIRTY_PAGE_SIZE	 (1u << DIRTY_PAGE_SHIFT) /* bytes; KVM's and vhost's unit */

/* One of those who want to know; each sees all writes, whatever others take. */
typedef struct DirtyTracker DirtyTracker;

/*
 * Begin to keep account of writes to @memory's RAM. NULL and @error where a writer cannot tell
 * (which it names). What was written before may be seen by the first dirty_tracker_take(). Main
 * thread.
 */
DirtyTracker *dirty_tracker_new(GuestMemory *memory, GError **error);

/* End it, @tracker may be NULL; with the last one writers no longer mark. Main thread. */
void dirty_tracker_free(DirtyTracker *tracker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DirtyTracker, dirty_tracker_free)

/* 64-bit words that the bitmap of all of guest-physical address space has. */
size_t dirty_tracker_words(const DirtyTracker *tracker);

/*
 * Take the pages of RAM that were written since the last call: returns how many, and sets their
 * bits in @bitmap, of dirty_tracker_words() (NULL: only the number is wanted). Any thread, one at a
 * time for each tracker; takes as long as KVM needs to go through the guest's page tables.
 */
uint64_t dirty_tracker_take(DirtyTracker *tracker, uint64_t *bitmap);

/*
 * Why not all writes were seen since the tracker began (static text), or NULL: a device came whose
 * writer cannot tell. Any thread.
 */
const char *dirty_tracker_gap(const DirtyTracker *tracker);

/* The shared bitmap as those outside need it. */
typedef struct DirtyLogView {
	int fd;	       /* of the whole of it, from its start; borrowed */
	void *base;    /* where it is mapped here */
	uint64_t size; /* bytes */
} DirtyLogView;

/* The bitmap for @view, or false where nobody wants to know. Main thread; valid until
 * GuestMemoryListener.set_logging says so. */
bool dirty_log_view(const GuestMemory *memory, DirtyLogView *view);

/* A writer that started while there are trackers cannot tell what it writes. @reason is static. */
void dirty_log_set_gap(GuestMemory *memory, const char *reason);

/* The guest's own writes. */
typedef struct DirtySource {
	/* Main thread. */
	bool (*start)(void *opaque, GError **error);
	void (*stop)(void *opaque);
	/*
	 * Set in @bitmap, of a bit for each page of @region (zeroed by the caller, rounded up to
	 * words), what was written since the last call. False: that cannot be told. Any thread.
	 */
	bool (*fetch)(void *opaque, const GuestMemoryRegion *region, uint64_t *bitmap);
} DirtySource;

/* Set the one source of @memory; before anybody tracks. */
void dirty_log_set_source(GuestMemory *memory, const DirtySource *source, void *opaque);

/*
 * Make room in bitmaps for RAM that is added below guest-physical @end while there are trackers;
 * without it there is room for what was there when the first one began.
 */
void dirty_log_set_limit(GuestMemory *memory, uint64_t end);
