/*
 * block_vhost_log.h: what was written since the last flush, in case a back end dies with it
 *
 * A back end may keep in its own memory what it was given (of a qcow2 image, where the data is),
 * and the guest, which does not know that there is somebody who can die, will not write it again.
 * So we do. Memory that is used over and over; each on one thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block.h"

typedef struct BlockVhostEntry {
	uint64_t sequence;
	uint64_t offset, size; /* on the disk, bytes */
	uint64_t n_bytes;      /* of the entry, in the log */
	BlockOperation operation;
	bool may_unmap;
	uint8_t data[]; /* of a write: size bytes */
} BlockVhostEntry;

typedef struct BlockVhostLog {
	uint8_t *memory; /* NULL: closed */
	size_t size;	 /* bytes */
	/*
	 * Entries are from @first to @end or, where @end is not above it, from @first to @wrap and
	 * from the start to @end.
	 */
	size_t first, end, wrap;
	unsigned n_entries;
} BlockVhostLog;

/* Open it with room for @size bytes; false where the host has none. And close it. */
bool block_vhost_log_open(BlockVhostLog *log, size_t size);
void block_vhost_log_close(BlockVhostLog *log);

/* Append @request, which has been done, with a @sequence above all others. False: it is full. */
bool block_vhost_log_append(BlockVhostLog *log, const BlockRequest *request, uint64_t sequence);

/* Drop the entries before @sequence. */
void block_vhost_log_forget(BlockVhostLog *log, uint64_t sequence);

/* The oldest entry, and the one after @entry; NULL: there is none. */
const BlockVhostEntry *block_vhost_log_first(const BlockVhostLog *log);
const BlockVhostEntry *block_vhost_log_next(const BlockVhostLog *log, const BlockVhostEntry *entry);
