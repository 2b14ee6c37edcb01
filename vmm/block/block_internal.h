/*
 * block_internal.h: what the files of the block layer share
 *
 * A node is a bottom (a file or another process's disk, which it opens) or a format over a child
 * node. The only format is raw, which changes nothing, so a request goes from the node it was
 * submitted to straight to the bottom.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block_bottom.h"

typedef struct BlockDrain BlockDrain;
typedef struct BlockGroup BlockGroup;

/* Requests that wait for their turn, in order of when that is. */
typedef struct BlockQueue {
	BlockRequest *first, **last; /* @last: what points to the end */
} BlockQueue;

/*
 * A loop's part of a node that has a user; all of it the loop thread's, unless noted. What the
 * bottom has for each loop follows it.
 */
struct BlockPort {
	BlockNode *node;
	IoLoop *loop;
	unsigned in_flight; /* not those that wait */
	BlockDrain *drain;  /* who waits for in_flight to be 0 */

	BlockStatistics statistics;			     /* written atomically */
	BlockHistogram *histograms[BLOCK_HISTOGRAM_N_KINDS]; /* bins are written atomically */

	BlockGroup *group; /* NULL: as fast as it goes */
	bool draining;
	BlockQueue waiting[2]; /* reads, writes */
	IoTimer *timer;	       /* NULL until first needed */
};

struct BlockNode {
	BlockNodes *nodes;
	char *name;
	const char *driver;  /* static */
	BlockNode *child;    /* NULL: this node has the bottom itself */
	BlockNode *above;    /* the node that has this one as its child */
	BlockBottom *bottom; /* owned where there is no child */
	bool owns_child;     /* written inside this node */
	bool is_child;
	bool read_only;
	bool discard;
	bool no_flush;
	BlockDetectZeroes detect_zeroes;

	/* The one user: a device, or the node above. */
	char *user;
	const BlockNodeListener *listener;
	void *opaque;
	bool is_live;	   /* as it said */
	BlockPort **ports; /* of a device's; each in cache lines of its own */
	unsigned n_ports;
	BlockGroup *group; /* main thread */

	gint write_through; /* atomic */

	BlockStatistics past; /* of users that it had */
};

/* block_port.c */

/*
 * Make ports of @node for @loops: false and @error where threads that they need cannot be had; and
 * take them away, adding what they counted to the nodes.
 */
bool block_ports_open(BlockNode *node, IoLoop *const *loops, unsigned n_loops, GError **error);
void block_ports_close(BlockNode *node);

/* Tell the user that @request is done, and count it. Loop thread. */
void block_port_finish(BlockRequest *request, int result, bool refused);

/* Start @request whatever limits there are. Loop thread. */
void block_port_start(BlockRequest *request);

/* Whether nothing is in flight nor waits. Loop thread. */
bool block_port_is_idle(const BlockPort *port);

/* Whether somebody waits until it is. Loop thread. */
static inline bool block_port_is_draining(const BlockPort *port)
{
	return port->draining || port->drain;
}

/* block_request.c: what requests to any bottom have in common. Loop thread. */

/* Whether @request may be made at all: 0 or a negative errno. */
int block_request_check(const BlockRequest *request);

/* Whether @request, which is a good one, is to zero its range: as it says, or as is found out. */
bool block_request_is_zeroing(const BlockRequest *request);
/* Whether the range may be unmapped instead, where it is. */
bool block_request_may_unmap(const BlockRequest *request);

/* Whether what was written must be on stable storage before it completes. */
bool block_request_is_write_through(const BlockRequest *request);

/* block_split.c: transfers to files; loop thread */

/* Make the transfer @whole, which is good, in parts of the file's max_transfer. */
void block_split_start(BlockRequest *whole);
/* @part of one is through with @result. */
void block_split_part_done(BlockRequest *part, int result);

/* block_io.c: start @request, which is part of one. Loop thread. */
void block_file_start_part(BlockRequest *request);

/* block_throttle.c */

typedef struct BlockGroups BlockGroups;
/* The throttle groups of a machine: none. Main thread. */
BlockGroups *block_groups_new(void);
/* Free them; no node is in any. Main thread. */
void block_groups_free(BlockGroups *groups);
/* @node's user goes: leave the group. Main thread. */
void block_node_leave_group(BlockNode *node);

/* Whether @request has to wait, and has been put into its queue. Loop thread. */
bool block_throttle_delays(BlockPort *port, BlockRequest *request);
/* Start everything that waits at @port. Loop thread. */
void block_throttle_release(BlockPort *port);

/* block_nodes.c: the throttle groups beside @nodes; borrowed. */
BlockGroups *block_nodes_groups(BlockNodes *nodes);
/* And guest memory; NULL: there is none. Any thread. */
const GuestMemory *block_nodes_memory(const BlockNodes *nodes);
