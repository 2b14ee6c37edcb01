/*
 * virtio_ring.c: the driver side of a split virtqueue, for tests (virtio 1.2 §2.7)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_ring.h"

#include <string.h>

static uint16_t *at16(const VirtioRing *ring, uint64_t gpa)
{
	return (uint16_t *)(void *)(ring->ram + gpa);
}

static uint64_t align(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

uint64_t virtio_ring_bytes(unsigned size)
{
	return align(align(size * 16ULL + 6 + size * 2ULL, 4) + 6 + size * 8ULL, 16);
}

void virtio_ring_init(VirtioRing *ring, uint8_t *ram, uint64_t gpa, unsigned size)
{
	*ring = (VirtioRing){
		.ram = ram,
		.size = size,
		.descriptors = gpa,
		.available = gpa + size * 16ULL,
		.used = align(gpa + size * 16ULL + 6 + size * 2ULL, 4),
	};
	memset(ram + gpa, 0, virtio_ring_bytes(size));
}

void virtio_ring_describe_at(VirtioRing *ring, uint64_t table, unsigned i, uint64_t address,
			     uint32_t length, uint16_t flags, uint16_t next)
{
	uint8_t *entry = ring->ram + table + i * 16ULL;

	memcpy(entry, &address, 8);
	memcpy(entry + 8, &length, 4);
	memcpy(entry + 12, &flags, 2);
	memcpy(entry + 14, &next, 2);
}

void virtio_ring_describe(VirtioRing *ring, unsigned i, uint64_t address, uint32_t length,
			  uint16_t flags, uint16_t next)
{
	virtio_ring_describe_at(ring, ring->descriptors, i, address, length, flags, next);
}

void virtio_ring_offer(VirtioRing *ring, uint16_t head)
{
	*at16(ring, ring->available + 4 + 2ULL * (ring->next_available % ring->size)) = head;
	virtio_ring_set_available(ring, ring->next_available + 1);
}

void virtio_ring_set_available(VirtioRing *ring, uint16_t index)
{
	ring->next_available = index;
	__atomic_store_n(at16(ring, ring->available + 2), index, __ATOMIC_SEQ_CST);
}

bool virtio_ring_take_used(VirtioRing *ring, uint32_t *id, uint32_t *length)
{
	const uint8_t *entry;

	if (virtio_ring_used_index(ring) == ring->next_used)
		return false;
	entry = ring->ram + ring->used + 4 + 8ULL * (ring->next_used % ring->size);
	memcpy(id, entry, 4);
	memcpy(length, entry + 4, 4);
	ring->next_used++;
	return true;
}

uint16_t virtio_ring_used_index(const VirtioRing *ring)
{
	return __atomic_load_n(at16(ring, ring->used + 2), __ATOMIC_ACQUIRE);
}

uint16_t virtio_ring_used_flags(const VirtioRing *ring)
{
	return __atomic_load_n(at16(ring, ring->used), __ATOMIC_ACQUIRE);
}

uint16_t virtio_ring_available_event(const VirtioRing *ring)
{
	return __atomic_load_n(at16(ring, ring->used + 4 + 8ULL * ring->size), __ATOMIC_ACQUIRE);
}

void virtio_ring_set_used_event(VirtioRing *ring, uint16_t index)
{
	__atomic_store_n(at16(ring, ring->available + 4 + 2ULL * ring->size), index,
			 __ATOMIC_SEQ_CST);
}

void virtio_ring_set_available_flags(VirtioRing *ring, uint16_t flags)
{
	__atomic_store_n(at16(ring, ring->available), flags, __ATOMIC_SEQ_CST);
}
