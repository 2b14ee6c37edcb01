/*
 * block_bottom.h: what is at the bottom of a chain of nodes, where requests end
 *
 * There are two kinds: a file of the host (block_file.h) and the disk of another process
 * (block_vhost.h). Each has the BlockBottom as its first member.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block.h"

typedef struct BlockBottom BlockBottom;

typedef struct BlockBottomOps {
	/* Bytes of a loop's part of it, which starts with the BlockPort. */
	size_t port_size;
	/*
	 * Get ready for requests at the ports of @node, which are there and idle. False and @error;
	 * close_ports follows then, too. Main thread.
	 */
	bool (*open_ports)(BlockNode *node, GError **error);
	void (*close_ports)(BlockNode *node);
	/* Take the first step of @request, which ends with block_request_finish(). Loop thread. */
	void (*start)(BlockRequest *request);
	/*
	 * Somebody wants all requests of @port back: those that nobody works on end with
	 * -ECANCELED, as do all that come while this is so. NULL: there are none such. Loop thread.
	 */
	void (*drain)(BlockPort *port);
	/*
	 * What was written to it and may be lost with it: const BlockVhostEntry *, oldest first, as
	 * long as nothing else is done with it; NULL: nothing, or (@unflushed) there never is. At a
	 * node that is idle. Main thread.
	 */
	GPtrArray *(*unflushed)(BlockBottom *bottom);
	/* Bytes that it takes on the host. NULL: nobody knows. Any thread. */
	uint64_t (*allocated)(BlockBottom *bottom);
	/* As block_node_resize(), without its name. Main thread. */
	bool (*resize)(BlockBottom *bottom, uint64_t size, GError **error);
	/* Nothing is in flight. Main thread. */
	void (*free)(BlockBottom *bottom);
} BlockBottomOps;

struct BlockBottom {
	const BlockBottomOps *ops;
	char *filename;
	bool read_only;
	bool direct; /* it does not go through the page cache of this host's kernel for us */
	uint32_t logical_block_size, physical_block_size, opt_io_size; /* bytes */
	uint32_t discard_granularity; /* bytes; 0: cannot discard */
	uint64_t size;		      /* bytes, atomic */
};

/* Bytes of it now. Any thread. */
static inline uint64_t block_bottom_size(const BlockBottom *bottom)
{
	return __atomic_load_n(&bottom->size, __ATOMIC_RELAXED);
}

/* Free what all kinds have; @bottom may be NULL. Main thread. */
static inline void block_bottom_free(BlockBottom *bottom)
{
	if (bottom)
		bottom->ops->free(bottom);
}
