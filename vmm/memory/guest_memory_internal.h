/*
 * guest_memory_internal.h: between guest_memory.c and dirty_log.c
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/memory/dirty_log.h"

/* One version of the table; regions in ascending order, none overlapping. */
typedef struct GuestMemoryTable {
	size_t n_regions;
	GuestMemoryRegion regions[];
} GuestMemoryTable;

/* The bitmap that writers here and outside share. */
typedef struct DirtyBitmap {
	uint64_t *words;
	size_t n_words;
	int fd;
} DirtyBitmap;

typedef struct DirtyLog {
	DirtyBitmap *bitmap; /* under RCU; NULL: nobody tracks */
	GMutex lock;	     /* trackers, and what is in them */
	GSList *trackers;    /* DirtyTracker */
	const DirtySource *source;
	void *source_opaque;
	uint64_t limit;	 /* guest-physical, bytes */
	const char *gap; /* atomic; NULL: none */
} DirtyLog;

struct GuestMemory {
	GuestMemoryHead head;	 /* first */
	GuestMemoryTable *table; /* under RCU */
	bool keeps;		 /* guest_memory_keep() */
	GSList *listeners;	 /* GuestMemoryListener, borrowed; main thread */
	uint64_t last_serial;	 /* of a region; main thread */
	DirtyLog dirty;
};

/* The RAM region that @hva lies in, or NULL. Inside an RCU section. */
const GuestMemoryRegion *guest_memory_region_of(const GuestMemory *memory, const uint8_t *hva);

/* Have all listeners start or stop to mark; false and @error, with none that does. */
bool guest_memory_tell_logging(GuestMemory *memory, bool logging, GError **error);
