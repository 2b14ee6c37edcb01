/*
 * block_vhost_step.c: steps of requests as chains of the ring to a vhost-user back end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_vhost_internal.h"

#include "vmm/base/iov.h"

/* What a status byte is that nobody wrote. */
#define STATUS_UNSET 0xffu

typedef struct Chain {
	struct vring_desc *table;
	unsigned first; /* index of the table's first descriptor */
	unsigned n;
} Chain;

static void chain_add(Chain *chain, const void *memory, uint32_t size, uint16_t flags)
{
	/* The guest's addresses are ours (block_vhost.c). */
	chain->table[chain->n] = (struct vring_desc){
		.addr = (uintptr_t)memory,
		.len = size,
		.flags = flags,
		.next = (uint16_t)(chain->first + chain->n + 1),
	};
	chain->n++;
}

static void chain_begin(BlockVhostPort *port, const BlockVhostSlot *slot, Chain *chain)
{
	unsigned index = block_vhost_slot_index(port, slot);

	*chain = (Chain){ .table = port->place.tables + index * BLOCK_VHOST_CHAIN_MAX };
	if (!port->traits.indirect) {
		chain->first = index * port->stride;
		chain->table = port->ring.descriptors + chain->first;
	}
}

static void chain_offer(BlockVhostPort *port, const BlockVhostSlot *slot, const Chain *chain)
{
	unsigned head = block_vhost_slot_index(port, slot) * port->stride;

	if (port->traits.indirect)
		port->ring.descriptors[head] = (struct vring_desc){
			.addr = (uintptr_t)chain->table,
			.len = (uint32_t)(chain->n * sizeof(struct vring_desc)),
			.flags = VRING_DESC_F_INDIRECT,
		};
	block_vhost_ring_offer(&port->ring, (uint16_t)head);
}

/* Steps */

static bool is_known(BlockVhostPort *port, const void *memory, size_t size)
{
	uintptr_t start = (uintptr_t)memory;

	for (unsigned i = 0; i < port->ranges.n; i++) {
		unsigned index = (port->last_range + i) % port->ranges.n;
		const BlockVhostRange *range = &port->ranges.ranges[index];

		if (start >= range->start && start < range->end) {
			port->last_range = index;
			return size <= range->end - start;
		}
	}
	return false;
}

/*
 * Find the data of the next step of @request where it is, in @segments. Returns how many bytes,
 * whole blocks; 0: it has to be copied.
 */
static uint64_t gather(BlockVhostPort *port, const BlockRequest *request, struct iovec *segments,
		       unsigned *n_segments)
{
	const BlockVhostTraits *traits = &port->traits;
	uint64_t skip = request->done, size = 0, odd;
	unsigned n = 0;

	for (unsigned i = 0; i < request->n_iov && n < traits->n_segments; i++) {
		uint8_t *base = request->iov[i].iov_base;
		uint64_t length = request->iov[i].iov_len;

		if (skip >= length) {
			skip -= length;
			continue;
		}
		base += skip;
		length -= skip;
		skip = 0;
		if (!is_known(port, base, length))
			break;
		while (length > 0 && n < traits->n_segments) {
			uint64_t part = MIN(length, traits->segment_max);

			segments[n++] = (struct iovec){ base, part };
			base += part;
			length -= part;
			size += part;
		}
	}
	odd = size & (traits->block_size - 1);
	*n_segments = n;
	iov_discard_back(segments, n_segments, odd);
	return size - odd;
}

/* The next bytes of @request into a bounce buffer: returns how many; 0: there is no buffer. */
static uint64_t bounce(BlockVhostPort *port, BlockVhostSlot *slot, struct iovec *segments,
		       unsigned *n_segments)
{
	const BlockRequest *request = slot->request;
	const BlockVhostTraits *traits = &port->traits;
	uint64_t most =
		MIN(BLOCK_VHOST_BOUNCE_SIZE, (uint64_t)traits->n_segments * traits->segment_max);
	uint64_t size = MIN(request->size - request->done, most);
	uint8_t *buffer;

	if (port->n_free_bounces == 0)
		return 0;
	slot->bounce = port->free_bounces[--port->n_free_bounces];
	buffer = port->place.bounces + (size_t)slot->bounce * BLOCK_VHOST_BOUNCE_SIZE;
	if (request->operation != BLOCK_READ)
		iov_copy_from(request->iov, request->n_iov, request->done, buffer, size);
	*n_segments = 0;
	for (uint64_t done = 0; done < size; done += segments[(*n_segments)++].iov_len)
		segments[*n_segments] =
			(struct iovec){ buffer + done, MIN(size - done, traits->segment_max) };
	return size;
}

/* Zeroes: the same memory over and over. */
static uint64_t zeroes(BlockVhostPort *port, const BlockRequest *request, struct iovec *segments,
		       unsigned *n_segments)
{
	const BlockVhostTraits *traits = &port->traits;
	uint64_t left = request->size - request->done, size = 0;

	*n_segments = 0;
	while (size < left && *n_segments < traits->n_segments) {
		uint64_t part = MIN(left - size, MIN(BLOCK_VHOST_ZEROES_SIZE, traits->segment_max));

		segments[(*n_segments)++] = (struct iovec){ port->place.zeroes, part };
		size += part;
	}
	return size;
}

/* The range of a discard or write of zeroes, in @cell. */
static uint64_t name_range(const BlockVhostPort *port, const BlockRequest *request,
			   BlockVhostCell *cell)
{
	bool is_discard = request->stage == BLOCK_VHOST_DISCARD;
	const BlockVhostTraits *traits = &port->traits;
	uint64_t most = is_discard ? traits->discard_max : traits->zeroes_max;
	uint64_t n_sectors = MIN((request->size - request->done) / VIRTIO_BLK_SECTOR_SIZE, most);
	bool unmap = !is_discard && traits->zeroes_unmap && block_request_may_unmap(request);

	cell->range = (VirtioBlkRange){
		.sector = (request->offset + request->done) / VIRTIO_BLK_SECTOR_SIZE,
		.n_sectors = (uint32_t)n_sectors,
		.flags = unmap ? VIRTIO_BLK_RANGE_UNMAP : 0,
	};
	return n_sectors * VIRTIO_BLK_SECTOR_SIZE;
}

static uint32_t type_of(const BlockRequest *request)
{
	switch ((BlockVhostStage)request->stage) {
	case BLOCK_VHOST_DISCARD:
		return VIRTIO_BLK_T_DISCARD;
	case BLOCK_VHOST_WRITE_ZEROES:
		return VIRTIO_BLK_T_WRITE_ZEROES;
	case BLOCK_VHOST_FLUSH:
		return VIRTIO_BLK_T_FLUSH;
	case BLOCK_VHOST_ZERO_BYTES:
		return VIRTIO_BLK_T_OUT;
	default:
		return request->operation == BLOCK_READ ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
	}
}

/*
 * Find the data of the step of slot->request, and how much of the request it is. False: it has to
 * wait for a buffer.
 */
static bool find_data(BlockVhostPort *port, BlockVhostSlot *slot, BlockVhostCell *cell,
		      struct iovec *segments, unsigned *n_segments)
{
	const BlockRequest *request = slot->request;

	*n_segments = 0;
	slot->step = 0;
	slot->bounce = -1;
	switch ((BlockVhostStage)request->stage) {
	case BLOCK_VHOST_TRANSFER:
		slot->step = gather(port, request, segments, n_segments);
		if (slot->step == 0)
			slot->step = bounce(port, slot, segments, n_segments);
		return slot->step > 0;
	case BLOCK_VHOST_ZERO_BYTES:
		slot->step = zeroes(port, request, segments, n_segments);
		return true;
	case BLOCK_VHOST_DISCARD:
	case BLOCK_VHOST_WRITE_ZEROES:
		slot->step = name_range(port, request, cell);
		segments[(*n_segments)++] = (struct iovec){ &cell->range, sizeof(cell->range) };
		return true;
	default:
		return true;
	}
}

bool block_vhost_offer(BlockVhostPort *port, BlockRequest *request)
{
	struct iovec segments[BLOCK_VHOST_SEGMENTS_MAX];
	bool is_read = request->stage == BLOCK_VHOST_TRANSFER && request->operation == BLOCK_READ;
	BlockVhostSlot *slot;
	BlockVhostCell *cell;
	unsigned n_segments;
	Chain chain;

	if (port->n_free_slots == 0)
		return false;
	slot = &port->slots[port->free_slots[port->n_free_slots - 1]];
	cell = &port->place.cells[block_vhost_slot_index(port, slot)];
	slot->request = request;
	if (!find_data(port, slot, cell, segments, &n_segments)) {
		slot->request = NULL;
		return false;
	}
	port->n_free_slots--;
	slot->sequence = port->sequence++;
	slot->mark = block_vhost_next_sequence(port->vhost);
	slot->writable = sizeof(cell->status) + (is_read ? (uint32_t)slot->step : 0);
	cell->header = (VirtioBlkHeader){
		.type = type_of(request),
		.sector = (request->offset + request->done) / VIRTIO_BLK_SECTOR_SIZE,
	};
	cell->status = STATUS_UNSET;
	chain_begin(port, slot, &chain);
	chain_add(&chain, &cell->header, sizeof(cell->header), VRING_DESC_F_NEXT);
	for (unsigned i = 0; i < n_segments; i++)
		chain_add(&chain, segments[i].iov_base, (uint32_t)segments[i].iov_len,
			  VRING_DESC_F_NEXT | (is_read ? VRING_DESC_F_WRITE : 0));
	chain_add(&chain, &cell->status, sizeof(cell->status), VRING_DESC_F_WRITE);
	chain_offer(port, slot, &chain);
	return true;
}
