/*
 * block.h: block nodes, the host side of disks (-blockdev)
 *
 * A node serves requests of a device on the device's I/O loops: the device attaches the node to
 * them, submits BlockRequests on one, and each completes there. Data goes straight between guest
 * memory (the iovec) and the host. What a loop needs for that is in the node's port for it, which
 * no other loop touches.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/fd.h"
#include "vmm/base/io_loop.h"
#include "vmm/block/throttle.h"
#include "vmm/memory/guest_memory.h"

typedef struct BlockNode BlockNode;
typedef struct BlockNodes BlockNodes;
typedef struct BlockPort BlockPort;
typedef struct BlockRequest BlockRequest;
typedef struct BlockSplit BlockSplit;

typedef enum BlockOperation {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,	    /* offset and size; may be ignored by the host */
	BLOCK_WRITE_ZEROES, /* offset and size; unmap if @may_unmap */
	BLOCK_N_OPERATIONS,
} BlockOperation;

/* Embedded in the device's own request. Alive until @complete has run. */
struct BlockRequest {
	BlockOperation operation;
	bool may_unmap;	 /* BLOCK_WRITE_ZEROES */
	bool fua;	 /* BLOCK_WRITE: stable storage before completion */
	uint64_t offset; /* bytes */
	uint64_t size;	 /* bytes; equals the iovec's sum for reads and writes */
	struct iovec *iov;
	unsigned n_iov;
	/*
	 * Loop thread. @result: 0 or negative errno. Short transfers are retried inside the node;
	 * a read past the end of file gives zeroes up to the node's size. -ECANCELED: it was wanted
	 * back (block_node_set_draining(), block_node_drain()) while nobody is there to serve it;
	 * it has not failed, and is to be made again later, or forgotten.
	 */
	void (*complete)(BlockRequest *request, int result);

	/* The node's own. */
	BlockNode *node;
	BlockPort *port;
	BlockRequest *next; /* of those that wait for their turn */
	BlockSplit *split;  /* of which this is a part; NULL: a device's request */
	IoOperation io;
	uint64_t done; /* bytes */
	int64_t start_ns;
	int64_t due_ns;		/* while it waits */
	struct iovec *advanced; /* of what is left after a short transfer */
	void *bounce;		/* aligned copy of the part in flight */
	uint8_t stage;
	uint8_t retries;
	bool registered; /* for the device: data went by memory registered with the loop's ring */
	int result;
};

/* What a device needs to know of a node. */
typedef struct BlockLimits {
	uint64_t size;		      /* bytes */
	uint32_t logical_block_size;  /* bytes: what the host can address (direct I/O) */
	uint32_t physical_block_size; /* bytes */
	uint32_t opt_io_size;	      /* bytes; 0 unknown */
	uint32_t discard_granularity; /* bytes; 0: no discard */
	uint32_t max_discard_segments;
	bool read_only;
	bool can_write_zeroes;
} BlockLimits;

/* Told of changes; main thread. */
typedef struct BlockNodeListener {
	void (*resized)(void *opaque, uint64_t size);
} BlockNodeListener;

struct QapiBlockdevOptions;

/* The nodes of one machine by name. Main thread, all of these. */
BlockNodes *block_nodes_new(void);

/* Free the nodes too; devices have detached. */
void block_nodes_free(BlockNodes *nodes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockNodes, block_nodes_free)

/* How "/dev/fdset/N" as filename is opened; without this it is refused. @opener is copied. */
void block_nodes_set_fd_sets(BlockNodes *nodes, const FdSetOpener *opener);

/*
 * Guest @memory, which a disk that another process has is to share, and of which what keeps its
 * pages is registered with the loops of files (NULL: there is none); and, for the former, the main
 * thread's @context (without this: the default one). Both outlive the nodes.
 */
void block_nodes_set_memory(BlockNodes *nodes, GuestMemory *memory, GMainContext *context);

/* blockdev-add: false and @error naming the node and what is wrong with it. */
bool block_nodes_add(BlockNodes *nodes, const struct QapiBlockdevOptions *options, GError **error);

/* blockdev-del: false and @error when there is no such node or something uses it. */
bool block_nodes_remove(BlockNodes *nodes, const char *node_name, GError **error);

/* The node of that name, or NULL; borrowed. Main thread. */
BlockNode *block_nodes_find(BlockNodes *nodes, const char *node_name);
/* Call @func with each node, in the order they were made. It adds and removes none. Main thread. */
void block_nodes_foreach(BlockNodes *nodes, void (*func)(BlockNode *, gpointer), gpointer data);

/* Its name, generated if none was given; borrowed. Any thread. */
const char *block_node_name(const BlockNode *node);

/* Set *@limits to what requests of the node must keep to. Main thread. */
void block_node_get_limits(BlockNode *node, BlockLimits *limits);

/* Whether writes of zeroes are recognised: as such, or as zeroes that may be unmapped. */
typedef enum BlockDetectZeroes {
	BLOCK_DETECT_ZEROES_OFF,
	BLOCK_DETECT_ZEROES_ON,
	BLOCK_DETECT_ZEROES_UNMAP,
} BlockDetectZeroes;

/* What QMP shows of a node; strings are borrowed. */
typedef struct BlockNodeInfo {
	const char *node_name;
	const char *driver;   /* as -blockdev spells it */
	const char *filename; /* of the file at the bottom, or the socket of who has it */
	const char *child;    /* name of the node below; NULL: none */
	const char *user;     /* the device or node that has it; NULL: none */
	bool is_child;	      /* written inside another node, so without a name of its own */
	bool read_only;
	bool write_cache, direct, no_flush;
	bool discard;
	BlockDetectZeroes detect_zeroes;
	uint64_t size;	      /* bytes, as the guest sees it */
	bool has_actual_size;
	uint64_t actual_size; /* bytes allocated on the host; of a block device its size */
} BlockNodeInfo;
/* Main thread. */
void block_node_get_info(BlockNode *node, BlockNodeInfo *info);

/* Who has a node, and where. */
typedef struct BlockUser {
	const char *name;     /* in errors */
	IoLoop *const *loops; /* that submit; port 0 is of the first, and so on */
	unsigned n_loops;     /* 0: it makes no requests */
	bool writable;
	bool is_live; /* the guest runs, whose other devices on the loops are not to be held up */
	const BlockNodeListener *listener; /* may be NULL; stays */
	void *opaque;
} BlockUser;

/* Claim @node for @user. False and @error when another has it. Main thread. */
bool block_node_attach(BlockNode *node, const BlockUser *user, GError **error);

/* Give it back; no request may be in flight. Main thread. */
void block_node_detach(BlockNode *node);

/*
 * @node, which was attached just now, is to take the place of @old at the same drive, and nothing is
 * in flight: what was written to @old and might be lost with it is written to @node. False and
 * @error where that fails. Main thread.
 */
bool block_node_inherit(BlockNode *node, BlockNode *old, GError **error);

/* After that: @node is limited as @old is, with histograms of the same boundaries. Main thread. */
void block_node_succeed(BlockNode *node, BlockNode *old);

/*
 * Start @request; completion is always later, never inside this call. On the loop of @port, which
 * counts from 0.
 */
void block_node_submit(BlockNode *node, unsigned port, BlockRequest *request);

/*
 * While @draining, requests of @port do not wait for their turn under a limit on speed, and those
 * that do go at once: the device wants all of them back. On the loop of @port.
 */
void block_node_set_draining(BlockNode *node, unsigned port, bool draining);

/* Wait until nothing of @node is in flight. Main thread, submitters stopped. */
void block_node_drain(BlockNode *node);

/* Make every write reach stable storage before it completes (false: write-back). Any thread. */
void block_node_set_write_cache(BlockNode *node, bool enabled);

/* Grow or shrink to @size bytes; tells the listener. Main thread. */
bool block_node_resize(BlockNode *node, uint64_t size, GError **error);

/* Counters for query-blockstats, written by the loop thread, read by any. */
typedef struct BlockStatistics {
	uint64_t operations[BLOCK_N_OPERATIONS];
	uint64_t bytes[BLOCK_N_OPERATIONS];
	uint64_t failed[BLOCK_N_OPERATIONS];
	uint64_t total_ns[BLOCK_N_OPERATIONS];
	uint64_t refused[BLOCK_N_OPERATIONS]; /* out of range, or writes to a read-only node */
	uint64_t highest_write_offset;	      /* bytes: end of the furthest write */
	int64_t last_ns; /* CLOCK_MONOTONIC at the end of the last request; 0: none yet */
} BlockStatistics;
void block_node_get_statistics(BlockNode *node, BlockStatistics *statistics);

/* Latency histograms: for how many requests took how long. */
typedef enum BlockHistogramKind {
	BLOCK_HISTOGRAM_READ,
	BLOCK_HISTOGRAM_WRITE, /* zeroes, too */
	BLOCK_HISTOGRAM_FLUSH,
	BLOCK_HISTOGRAM_N_KINDS,
} BlockHistogramKind;

typedef struct BlockHistogram {
	unsigned n_boundaries;
	uint64_t *boundaries; /* nanoseconds, ascending */
	uint64_t *bins;	      /* n_boundaries + 1: from each boundary to below the next */
} BlockHistogram;

void block_histogram_free(BlockHistogram *histogram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockHistogram, block_histogram_free)

/*
 * Count requests of @kind from now on, by @n ascending @boundaries in nanoseconds, for as long as
 * the node has this user; no longer where @n is 0. Main thread.
 */
void block_node_set_histogram(BlockNode *node, BlockHistogramKind kind, const uint64_t *boundaries,
			      unsigned n);

/* The histogram of @kind by now, to be freed; NULL: none is kept. Main thread. */
BlockHistogram *block_node_get_histogram(BlockNode *node, BlockHistogramKind kind);

/*
 * Limit the speed of @node, which has a user, together with the other nodes of the group called
 * @group (NULL: the one it is in, or else one called as its user). Without limits in @config it
 * leaves its group. Main thread. False and @error when @config is not sensible.
 */
bool block_node_set_throttle(BlockNode *node, const char *group, const ThrottleConfig *config,
			     GError **error);

/* The name of the group of @node, borrowed, and *@config of it; NULL: not limited. Main thread. */
const char *block_node_get_throttle(const BlockNode *node, ThrottleConfig *config);

/*
 * -object throttle-group: a group that exists without members. False and @error when there is one
 * of that name, or @config is not sensible. Main thread.
 */
bool block_nodes_add_throttle_group(BlockNodes *nodes, const char *name,
				    const ThrottleConfig *config, GError **error);

/* object-del of it: false where nodes are in it. Main thread. */
bool block_nodes_remove_throttle_group(BlockNodes *nodes, const char *name);
