/*
 * block_vhost_ring.c: the driver's side of a split virtqueue (virtio 1.2 §2.7)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_vhost_ring.h"

#include <glib.h>

/* Where the used ring starts. */
static size_t used_offset(unsigned size)
{
	size_t end = size * sizeof(struct vring_desc) + sizeof(struct vring_avail) +
		     (size + 1) * sizeof(uint16_t);

	return (end + BLOCK_VHOST_RING_ALIGNMENT - 1) / BLOCK_VHOST_RING_ALIGNMENT *
	       BLOCK_VHOST_RING_ALIGNMENT;
}

size_t block_vhost_ring_bytes(unsigned size)
{
	return used_offset(size) + sizeof(struct vring_used) +
	       size * sizeof(struct vring_used_elem) + sizeof(uint16_t);
}

void block_vhost_ring_init(BlockVhostRing *ring, void *memory, unsigned size, bool event_idx)
{
	uint8_t *bytes = memory;

	*ring = (BlockVhostRing){
		.descriptors = memory,
		.available = (void *)(bytes + size * sizeof(struct vring_desc)),
		.used = (void *)(bytes + used_offset(size)),
		.size = (uint16_t)size,
		.event_idx = event_idx,
	};
}

/* The two event indexes lie behind the rings (§2.7.6, §2.7.8). */
static uint16_t *used_event(const BlockVhostRing *ring)
{
	return &ring->available->ring[ring->size];
}

static const uint16_t *available_event(const BlockVhostRing *ring)
{
	return (const uint16_t *)&ring->used->ring[ring->size];
}

void block_vhost_ring_offer(BlockVhostRing *ring, uint16_t head)
{
	ring->available->ring[ring->next_available & (ring->size - 1)] = head;
	ring->next_available++;
	ring->n_offered++;
}

bool block_vhost_ring_publish(BlockVhostRing *ring)
{
	uint16_t old = ring->published;

	if (old == ring->next_available)
		return false;
	ring->published = ring->next_available;
	__atomic_store_n(&ring->available->idx, ring->published, __ATOMIC_RELEASE);
	/* It sees the chains, or we see that it wants a kick (§2.7.13.4.1). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ring->event_idx)
		return vring_need_event(__atomic_load_n(available_event(ring), __ATOMIC_RELAXED),
					ring->published, old);
	return !(__atomic_load_n(&ring->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
}

int block_vhost_ring_n_answers(const BlockVhostRing *ring)
{
	uint16_t index = __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE);
	uint16_t n = (uint16_t)(index - ring->next_used);

	return n <= ring->n_offered ? n : -1;
}

void block_vhost_ring_take(BlockVhostRing *ring, uint32_t *head, uint32_t *length)
{
	const struct vring_used_elem *element =
		&ring->used->ring[ring->next_used & (ring->size - 1)];

	*head = __atomic_load_n(&element->id, __ATOMIC_RELAXED);
	*length = __atomic_load_n(&element->len, __ATOMIC_RELAXED);
	ring->next_used++;
	ring->n_offered--;
}

bool block_vhost_ring_set_interrupts(BlockVhostRing *ring, bool wanted)
{
	/* An index that has been passed is not come to again soon. */
	uint16_t event = wanted ? ring->next_used : (uint16_t)(ring->next_used - 1);

	if (ring->event_idx)
		__atomic_store_n(used_event(ring), event, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&ring->available->flags, wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT,
				 __ATOMIC_RELAXED);
	if (!wanted)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return block_vhost_ring_n_answers(ring) != 0;
}
