/*
 * virtio_balloon_hints.h: rounds of free page hints (virtio 1.2 §5.5.6.5)
 *
 * For guests that have hints but no free page reporting (Linux 4.20 to 5.6). From time to time the
 * driver is asked by a new command id for what is free. It takes those pages out of its pool, and
 * gives them a buffer each, until there are none or it is told to stop; it says so, and keeps them
 * until the command id is DONE. A driver that is short of memory takes some back before that
 * without a word, which is why pages are given back to the host by way of free_pages.h: at the end,
 * with the guest held, and only those that it did not write since it was asked.
 *
 * A guest may answer late, wrongly, or never. What it hints under another id is ignored; after
 * a time it is told to stop, and what it hinted until then is what there is.
 *
 * All of it is decided on the main thread, in steps that are short: neither it nor the guest has to
 * wait for long because there is much that is free. The queue's loop only collects.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/memory/free_pages.h"
#include "vmm/virtio/virtio_device.h"

/* §5.5.3 */
#define VIRTIO_BALLOON_F_FREE_PAGE_HINT 3

/* What was done since the device was made. */
typedef struct BalloonHintCounters {
	uint64_t rounds;    /* that came to their end */
	uint64_t given_up;  /* of those begun: the device was reset, the guest paused or silent */
	uint64_t hinted;    /* bytes */
	uint64_t discarded; /* bytes */
} BalloonHintCounters;

typedef enum BalloonHintPhase {
	BALLOON_HINTS_IDLE,
	BALLOON_HINTS_COLLECT, /* the driver was asked */
	BALLOON_HINTS_SIFT,
	BALLOON_HINTS_DISCARD,
} BalloonHintPhase;

/* Embedded in the balloon, zeroed but for the properties. */
typedef struct BalloonHints {
	/* Properties. */
	bool enabled;
	uint32_t interval; /* ms from the end of a round to the next */
	uint32_t timeout;  /* ms that the driver has for its hints */

	VirtioDevice *device;
	/* Whether the driver could do with pages that come back as zeroes. Any thread. */
	bool (*is_wanted)(VirtioDevice *device);
	uint32_t command; /* free_page_hint_cmd_id; device lock and @lock */

	/* Main thread. */
	GSource *source; /* NULL: not enabled */
	BalloonHintPhase phase;
	int64_t deadline; /* of collecting, monotonic µs */
	uint32_t last_id;
	bool refused_logged;

	GMutex lock;	  /* a leaf, for what follows */
	FreePages *pages; /* the main thread's; while @open, the loop adds to it */
	bool open;	  /* hints are taken */
	bool answered;	  /* the driver has begun, with the right id */
	bool cancelled;	  /* the device was reset: nothing of this round may be used */
	BalloonHintCounters counters;
} BalloonHints;

/*
 * Begin to ask the driver of @device, where @hints is enabled. @is_wanted is asked at both ends of
 * a round. Main thread, in setup; and end, in teardown.
 */
void balloon_hints_init(BalloonHints *hints, VirtioDevice *device,
			bool (*is_wanted)(VirtioDevice *device));
void balloon_hints_finish(BalloonHints *hints);

/* The device was reset: the round is off. Device lock held. */
void balloon_hints_reset(BalloonHints *hints);

/* An element of the free page queue, which the caller pushes. Loop thread. */
void balloon_hints_take(BalloonHints *hints, const VirtqueueElement *element);

/* A copy. Any thread. */
BalloonHintCounters balloon_hints_counters(BalloonHints *hints);
