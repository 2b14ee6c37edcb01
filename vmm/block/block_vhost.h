/*
 * block_vhost.h: the disk of another process, a vhost-user back end whose driver we are
 *
 * The other process has the image, in whatever format; requests go to it through rings in memory
 * that the two share. Unlike with a device whose rings are handed to it (vhost-user-blk), the
 * guest knows nothing of that, all of the block layer works, and which requests it has not answered
 * is known when it dies: they are made again when it is back.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block_bottom.h"
#include "vmm/memory/guest_memory.h"

typedef struct BlockVhostConfig {
	const char *node_name;
	const char *path; /* of its socket */
	bool read_only;
	bool auto_read_only; /* be read-only where it is */
	/* For how long requests wait for one that has gone, seconds. */
	bool has_reconnect_delay;
	uint32_t reconnect_delay;
	GuestMemory *memory;   /* NULL: there is none */
	GMainContext *context; /* of the main thread */
} BlockVhostConfig;

/* Connect to it and find out what it has. NULL and @error. Main thread. */
BlockBottom *block_vhost_open(const BlockVhostConfig *config, GError **error);
