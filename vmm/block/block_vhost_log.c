/*
 * block_vhost_log.c: what was written since the last flush, in case a back end dies with it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_vhost_log.h"

#include "vmm/base/iov.h"
#include "vmm/base/lazy_memory.h"

/* Of entries. */
#define ALIGNMENT 64u

bool block_vhost_log_open(BlockVhostLog *log, size_t size)
{
	*log = (BlockVhostLog){ .memory = lazy_memory_new(size) };
	if (log->memory)
		log->size = size;
	return log->memory != NULL;
}

void block_vhost_log_close(BlockVhostLog *log)
{
	if (log->memory)
		lazy_memory_free(log->memory, log->size);
	*log = (BlockVhostLog){};
}

/* Where @n_bytes have room, or -1. */
static ssize_t find_room(BlockVhostLog *log, size_t n_bytes)
{
	if (log->n_entries == 0)
		log->first = log->end = 0;
	else if (log->end <= log->first)
		return n_bytes <= log->first - log->end ? (ssize_t)log->end : -1;
	if (n_bytes <= log->size - log->end)
		return (ssize_t)log->end;
	if (n_bytes > log->first)
		return -1;
	log->wrap = log->end;
	return 0;
}

bool block_vhost_log_append(BlockVhostLog *log, const BlockRequest *request, uint64_t sequence)
{
	uint64_t data = request->operation == BLOCK_WRITE ? request->size : 0;
	BlockVhostEntry *entry;
	size_t n_bytes;
	ssize_t place;

	if (data > log->size)
		return false;
	n_bytes = (sizeof(*entry) + data + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	place = find_room(log, n_bytes);
	if (place < 0)
		return false;
	entry = (BlockVhostEntry *)(log->memory + place);
	*entry = (BlockVhostEntry){
		.sequence = sequence,
		.offset = request->offset,
		.size = request->size,
		.n_bytes = n_bytes,
		.operation = request->operation,
		.may_unmap = request->may_unmap,
	};
	if (data)
		iov_copy_from(request->iov, request->n_iov, 0, entry->data, data);
	log->end = (size_t)place + n_bytes;
	log->n_entries++;
	return true;
}

const BlockVhostEntry *block_vhost_log_first(const BlockVhostLog *log)
{
	return log->n_entries ? (const BlockVhostEntry *)(log->memory + log->first) : NULL;
}

const BlockVhostEntry *block_vhost_log_next(const BlockVhostLog *log, const BlockVhostEntry *entry)
{
	size_t next = (size_t)((const uint8_t *)entry - log->memory) + entry->n_bytes;

	if (next == log->end)
		return NULL;
	/* Past the wrap the rest is at the start. */
	if (log->end <= log->first && next == log->wrap)
		next = 0;
	return (const BlockVhostEntry *)(log->memory + next);
}

void block_vhost_log_forget(BlockVhostLog *log, uint64_t sequence)
{
	const BlockVhostEntry *entry = block_vhost_log_first(log);

	while (entry && entry->sequence < sequence) {
		entry = block_vhost_log_next(log, entry);
		if (entry)
			log->first = (size_t)((const uint8_t *)entry - log->memory);
		log->n_entries--;
	}
}
