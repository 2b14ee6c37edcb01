/*
 * block_internal.h: what the files of the block layer share
 *
 * A node is a file (which it opens) or a format over a child node. The only format is raw, which
 * changes nothing, so a request goes from the node it was submitted to straight to the file at
 * the bottom.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block.h"
#include "vmm/block/block_file.h"

typedef struct BlockDrain BlockDrain;

struct BlockNode {
	BlockNodes *nodes;
	char *name;
	const char *driver; /* static */
	BlockNode *child;   /* NULL: this node has the file itself */
	BlockFile *file;    /* at the bottom; owned where there is no child */
	bool owns_child;    /* written inside this node */
	bool is_child;
	bool read_only;
	bool discard;
	bool no_flush;

	/* The one user: a device, or the node above. */
	char *user;
	IoLoop *loop;
	const BlockNodeListener *listener;
	void *opaque;

	gint write_through; /* atomic */

	/* Loop thread's. */
	unsigned in_flight;
	BlockDrain *drain; /* who waits for in_flight to be 0 */

	BlockStatistics statistics; /* fields written by the loop thread, atomically */
};
