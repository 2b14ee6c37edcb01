/*
 * block_vhost_internal.h: what the files of the vhost-user driver share
 *
 * The main thread has the connection (block_vhost.c): it makes, loses and makes it again. Each loop
 * has a ring of its own (block_vhost_port.c), which it alone touches. Rings, and what their
 * descriptors are about unless it is guest memory, lie in a memory file (block_vhost_area.c) that
 * is new for each connection, so that whoever still has an old one can spoil nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block_internal.h"
#include "vmm/block/block_vhost.h"
#include "vmm/block/block_vhost_log.h"
#include "vmm/block/block_vhost_ring.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/vhost/vhost.h"
#include "vmm/vhost/vhost_user.h"

/* Steps of requests with the back end at a time, of each loop. */
#define BLOCK_VHOST_SLOTS 128u
/* Pieces of data in one of them. */
#define BLOCK_VHOST_SEGMENTS_MAX 126u
/* With header and status. */
#define BLOCK_VHOST_CHAIN_MAX (BLOCK_VHOST_SEGMENTS_MAX + 2)
/* Without indirect descriptors: what each slot has of the ring, and so pieces of data. */
#define BLOCK_VHOST_DIRECT_STRIDE   32u
#define BLOCK_VHOST_DIRECT_SEGMENTS (BLOCK_VHOST_DIRECT_STRIDE - 2)
/* Data that is not in guest memory is copied. */
#define BLOCK_VHOST_BOUNCES	16u
#define BLOCK_VHOST_BOUNCE_SIZE 65536u /* bytes */
/* Zeroes, for back ends that cannot make them. */
#define BLOCK_VHOST_ZEROES_SIZE 65536u /* bytes */
/* What may be written between flushes, of each loop, before one is put in. */
#define BLOCK_VHOST_LOG_SIZE (16u << 20) /* bytes */

typedef struct BlockVhost BlockVhost;

/* What a back end said of itself, checked (block_vhost_config.c). */
typedef struct BlockVhostTraits {
	uint64_t size;	     /* bytes */
	uint32_t block_size; /* bytes, a power of two */
	uint32_t physical_block_size, opt_io_size;
	uint32_t n_segments;  /* in one request */
	uint32_t segment_max; /* bytes of one of them */
	bool flush, event_idx, indirect;
	bool read_only;
	bool has_writeback;   /* its cache can be switched */
	uint32_t discard_max; /* sectors in one request, whole granules; 0: it cannot discard */
	uint32_t discard_granularity; /* bytes */
	uint32_t zeroes_max;	      /* sectors in one request; 0: it cannot write zeroes */
	bool zeroes_unmap;
} BlockVhostTraits;

/* Features that are made use of where there are, beside VIRTIO_F_VERSION_1, which is needed. */
extern const uint64_t block_vhost_features;

/*
 * Fill @traits with what @config and @features (of those above) come to. False and @error: they are
 * nonsense. Any thread.
 */
bool block_vhost_read_config(BlockVhostTraits *traits, const VirtioBlkConfig *config,
			     uint64_t features, GError **error);

/* What one slot has in shared memory, beside data and descriptors. */
typedef struct BlockVhostCell {
	VirtioBlkHeader header;
	VirtioBlkRange range;
	uint8_t status; /* the one thing that the back end writes */
	uint8_t padding[31];
} BlockVhostCell;
G_STATIC_ASSERT(sizeof(BlockVhostCell) == 64);

/* One loop's part of the shared memory. */
typedef struct BlockVhostPlace {
	uint8_t *ring;
	BlockVhostCell *cells;	   /* of each slot */
	struct vring_desc *tables; /* indirect ones, CHAIN_MAX for each slot */
	uint8_t *bounces;
	uint8_t *zeroes;
} BlockVhostPlace;

typedef struct BlockVhostArea {
	int fd;
	uint8_t *base;
	size_t size; /* bytes */
	unsigned n_places;
} BlockVhostArea;

/* How many descriptors a ring has, for which @traits there are. */
unsigned block_vhost_ring_size(const BlockVhostTraits *traits);

/* Memory for @n_places loops. NULL and @error where the host has none. Main thread. */
BlockVhostArea *block_vhost_area_new(unsigned n_places, GError **error);
/* @area may be NULL. */
void block_vhost_area_free(BlockVhostArea *area);
/* Find the part of loop @index in @area. */
void block_vhost_area_find(const BlockVhostArea *area, unsigned index, BlockVhostPlace *place);

/* Memory of the guest that the back end knows. */
typedef struct BlockVhostRange {
	uintptr_t start, end; /* addresses here */
} BlockVhostRange;

typedef struct BlockVhostRanges {
	unsigned n;
	BlockVhostRange ranges[VHOST_REGIONS_MAX];
} BlockVhostRanges;

typedef enum BlockVhostLink {
	BLOCK_VHOST_DOWN,      /* requests wait until it is up */
	BLOCK_VHOST_REPLAYING, /* so they do while what was written before is written again */
	BLOCK_VHOST_UP,	       /* requests go to the back end */
	BLOCK_VHOST_FAILED,    /* they fail */
} BlockVhostLink;

/* What request->stage is. */
typedef enum BlockVhostStage {
	BLOCK_VHOST_NOTHING, /* a no-op; request->result is the result */
	BLOCK_VHOST_TRANSFER,
	BLOCK_VHOST_DISCARD,
	BLOCK_VHOST_WRITE_ZEROES,
	BLOCK_VHOST_ZERO_BYTES, /* written where the back end cannot make them */
	BLOCK_VHOST_FLUSH,
} BlockVhostStage;

/* A step of a request that is with the back end. */
typedef struct BlockVhostSlot {
	BlockRequest *request; /* NULL: the slot is free */
	uint64_t sequence;     /* in which order they were made */
	uint64_t step;	       /* bytes of the request that it is about */
	uint32_t writable;     /* bytes that the back end may write */
	int bounce;	       /* which buffer its data is in; -1: none */
	uint64_t mark;	       /* of a flush: what was logged before this is stable after it */
} BlockVhostSlot;

/* A write to the back end's eventfd, of its own, for it may outlive the port. Loop thread. */
typedef struct BlockVhostKick {
	IoOperation operation;
	uint64_t one;
	int fd;
	IoLoop *loop;
	bool busy, again; /* it is under way; and has to be done once more */
	bool orphaned;
} BlockVhostKick;

typedef struct BlockVhostPort {
	BlockPort port; /* first */
	BlockVhost *vhost;
	int kick_fd, call_fd; /* eventfds, made by the main thread */

	/* The loop's. */
	BlockVhostLink link;
	BlockVhostTraits traits;
	BlockVhostPlace place;
	BlockVhostRing ring;
	unsigned stride; /* descriptors of the ring that a slot has */
	BlockVhostRanges ranges;
	unsigned last_range; /* where the last address was */
	BlockQueue queue;    /* what does not fit, or waits for the link */
	BlockVhostSlot slots[BLOCK_VHOST_SLOTS];
	uint8_t free_slots[BLOCK_VHOST_SLOTS];
	unsigned n_free_slots;
	uint8_t free_bounces[BLOCK_VHOST_BOUNCES];
	unsigned n_free_bounces;
	uint64_t sequence;
	IoDeferred publish;
	BlockVhostKick *kick; /* NULL: closed */
	IoWatch *call_watch;  /* NULL: closed */
	IoWatch *gone_watch;  /* NULL: not up */
	IoPoller *poller;
	bool polling;
	bool continuing; /* answers are left for another turn */
	BlockVhostLog log;
	BlockRequest replay; /* of the entry that is written again, and its data */
	struct iovec replay_iov;
	const GPtrArray *entries; /* const BlockVhostEntry *: all of them, the main thread's */
	unsigned n_replayed;
	bool no_zeroes; /* this back end turned out not to make them */
} BlockVhostPort;

static inline unsigned block_vhost_slot_index(const BlockVhostPort *port,
					      const BlockVhostSlot *slot)
{
	return (unsigned)(slot - port->slots);
}

/*
 * block_vhost_step.c: give @request, which has a next step, a slot, and put that into the ring, to
 * be published. False: it has to wait for a slot or a buffer. Loop thread.
 */
bool block_vhost_offer(BlockVhostPort *port, BlockRequest *request);

/* The BlockBottomOps of a port. Loop thread. */
void block_vhost_port_start(BlockRequest *request);
void block_vhost_port_drain(BlockPort *port);

/* What the main thread has done on a port's loop: by io_loop_run_sync(). */
typedef struct BlockVhostChange {
	BlockVhostPort *port;
	const BlockVhostTraits *traits;
	const BlockVhostArea *area;
	const BlockVhostRanges *ranges;
	const GPtrArray *entries;
	unsigned index;
	int socket;
	bool failed;
} BlockVhostChange;

/* Begin, with the link down; and end, with nothing in flight. */
void block_vhost_port_open(gpointer change);
void block_vhost_port_close(gpointer change);
/* The link is down if it was up: move to a new place in @area, as @traits and @ranges have it. */
void block_vhost_port_move(gpointer change);
/* Up it is: hand over what waits, and watch @socket for the end. */
void block_vhost_port_up(gpointer change);
/*
 * Write @entries again, on this one port: then block_vhost_replayed() is called. Watch @socket for
 * the end.
 */
void block_vhost_port_replay(gpointer change);
/* It is down, or @failed: requests do not wait any more. */
void block_vhost_port_down(gpointer change);
/* The back end knows these @ranges. */
void block_vhost_port_set_ranges(gpointer change);

/* block_vhost.c; any thread */

/* The back end lies as @fault (static text) says. */
void block_vhost_report(BlockVhost *vhost, const char *fault);
/* What was to be written again has been. */
void block_vhost_replayed(BlockVhost *vhost);

/* The number of something that is logged; and the next one that there will be. */
uint64_t block_vhost_take_sequence(BlockVhost *vhost);
uint64_t block_vhost_next_sequence(BlockVhost *vhost);
/* All before @sequence is on stable storage; and up to which that is so. */
void block_vhost_set_stable(BlockVhost *vhost, uint64_t sequence);
uint64_t block_vhost_stable(BlockVhost *vhost);
