/*
 * block_vhost_area.c: memory that the driver of a vhost-user back end shares with it
 *
 * Each loop has a part with ring, headers, indirect tables, bounce buffers and zeroes. It is a
 * sparse file: what is not used takes no memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_vhost_internal.h"

#include <errno.h>
#include <sys/mman.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

#define PAGE 4096u
/* Without indirect descriptors each slot has its own in the ring: fewer slots, with less each. */
#define DIRECT_RING 1024u

static size_t round_up(size_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

/* Bytes of the parts, in their order. */
enum { PART_RING, PART_CELLS, PART_TABLES, PART_BOUNCES, PART_ZEROES, N_PARTS };

static size_t part_bytes(unsigned part)
{
	switch (part) {
	case PART_RING:
		return round_up(block_vhost_ring_bytes(DIRECT_RING));
	case PART_CELLS:
		return round_up(BLOCK_VHOST_SLOTS * sizeof(BlockVhostCell));
	case PART_TABLES:
		return round_up(BLOCK_VHOST_SLOTS * BLOCK_VHOST_CHAIN_MAX *
				sizeof(struct vring_desc));
	case PART_BOUNCES:
		return BLOCK_VHOST_BOUNCES * BLOCK_VHOST_BOUNCE_SIZE;
	default:
		return BLOCK_VHOST_ZEROES_SIZE;
	}
}

static size_t place_bytes(void)
{
	size_t size = 0;

	for (unsigned part = 0; part < N_PARTS; part++)
		size += part_bytes(part);
	return size;
}

unsigned block_vhost_ring_size(const BlockVhostTraits *traits)
{
	return traits->indirect ? BLOCK_VHOST_SLOTS : DIRECT_RING;
}

BlockVhostArea *block_vhost_area_new(unsigned n_places, GError **error)
{
	BlockVhostArea *area = g_new0(BlockVhostArea, 1);
	void *base;

	area->n_places = n_places;
	area->size = n_places * place_bytes();
	area->fd = fd_new_memory("vireo-vhost", 0, area->size);
	if (area->fd < 0)
		goto fail;
	base = mmap(NULL, area->size, PROT_READ | PROT_WRITE, MAP_SHARED, area->fd, 0);
	if (base == MAP_FAILED)
		goto fail;
	area->base = base;
	return area;
fail:
	error_fail_errno(error, errno, "cannot make %zu bytes of shared memory", area->size);
	block_vhost_area_free(area);
	return NULL;
}

void block_vhost_area_free(BlockVhostArea *area)
{
	if (!area)
		return;
	if (area->base)
		munmap(area->base, area->size);
	fd_close(&area->fd);
	g_free(area);
}

void block_vhost_area_find(const BlockVhostArea *area, unsigned index, BlockVhostPlace *place)
{
	uint8_t *parts[N_PARTS];
	uint8_t *at = area->base + index * place_bytes();

	for (unsigned part = 0; part < N_PARTS; part++) {
		parts[part] = at;
		at += part_bytes(part);
	}
	*place = (BlockVhostPlace){
		.ring = parts[PART_RING],
		.cells = (BlockVhostCell *)parts[PART_CELLS],
		.tables = (struct vring_desc *)parts[PART_TABLES],
		.bounces = parts[PART_BOUNCES],
		.zeroes = parts[PART_ZEROES],
	};
}
