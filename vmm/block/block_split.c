/*
 * block_split.c: transfers that are more than the host's device takes at once
 *
 * The kernel splits what is too large for a device, but not where it may not block meanwhile, as
 * for a ring: such a request goes to a thread of the kernel's, which costs more than the transfer.
 * So large ones are submitted in parts that the device takes as they are. A few are on their way at
 * a time, and each makes way for the next, so that a gigantic request takes no more memory than a
 * large one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_file.h"
#include "vmm/block/block_internal.h"

#define PARTS_MAX 8

struct BlockSplit {
	BlockRequest *whole;
	uint64_t next;	   /* bytes that parts have been made of */
	unsigned index;	   /* of the first iovec after them */
	uint64_t skip;	   /* bytes of it */
	unsigned n_active; /* parts on their way */
	int result;
	BlockRequest parts[PARTS_MAX];
};

/* The iovecs of the next @size bytes, owned, their number in *@n. */
static struct iovec *take_iov(BlockSplit *split, uint64_t size, unsigned *n)
{
	const struct iovec *iov = split->whole->iov;
	uint64_t end = split->skip + size;
	struct iovec *taken;

	*n = 0;
	for (uint64_t covered = 0; covered < end; (*n)++)
		covered += iov[split->index + *n].iov_len;
	taken = g_new(struct iovec, *n);
	for (unsigned i = 0; i < *n; i++) {
		const struct iovec *from = &iov[split->index];
		size_t part = MIN(from->iov_len - split->skip, size);

		taken[i] = (struct iovec){ (char *)from->iov_base + split->skip, part };
		size -= part;
		split->skip += part;
		if (split->skip == from->iov_len) {
			split->index++;
			split->skip = 0;
		}
	}
	return taken;
}

static void start_part(BlockSplit *split, BlockRequest *part)
{
	const BlockRequest *whole = split->whole;
	const BlockFile *file = (const BlockFile *)whole->node->bottom;
	uint64_t size = MIN(whole->size - split->next, file->max_transfer);

	*part = (BlockRequest){
		.operation = whole->operation,
		.fua = whole->fua,
		.offset = whole->offset + split->next,
		.size = size,
		.node = whole->node,
		.port = whole->port,
		.split = split,
	};
	part->iov = take_iov(split, size, &part->n_iov);
	split->next += size;
	block_file_start_part(part);
}

void block_split_start(BlockRequest *whole)
{
	BlockSplit *split = g_new(BlockSplit, 1);

	split->whole = whole;
	split->next = split->skip = 0;
	split->index = split->n_active = 0;
	split->result = 0;
	while (split->n_active < PARTS_MAX && split->next < whole->size)
		start_part(split, &split->parts[split->n_active++]);
}

void block_split_part_done(BlockRequest *part, int result)
{
	BlockSplit *split = part->split;

	g_free(part->iov);
	split->whole->registered |= part->registered;
	if (result < 0 && split->result == 0)
		split->result = result;
	if (split->result == 0 && split->next < split->whole->size) {
		start_part(split, part);
	} else if (--split->n_active == 0) {
		block_port_finish(split->whole, split->result, false);
		g_free(split);
	}
}
