/*
 * virtio_ring.c: the driver side of a virtqueue, for tests (virtio 1.2 §2.7, §2.8)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_ring.h"

#include <string.h>

#define PACKED_AVAILABLE 0x0080u
#define PACKED_USED	 0x8000u

#define PACKED_EVENT_ENABLE	0
#define PACKED_EVENT_DISABLE	1
#define PACKED_EVENT_DESCRIPTOR 2
#define PACKED_EVENT_WRAP	0x8000u

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
	uint64_t split = align(align(size * 16ULL + 6 + size * 2ULL, 4) + 6 + size * 8ULL, 16);

	/* A packed ring has two tables and two areas of four bytes. */
	return MAX(split, align(size * 32ULL + 8, 16));
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

void virtio_ring_init_packed(VirtioRing *ring, uint8_t *ram, uint64_t gpa, unsigned size)
{
	g_assert_cmpuint(size, <=, G_N_ELEMENTS(ring->lengths));
	*ring = (VirtioRing){
		.ram = ram,
		.size = size,
		.packed = true,
		.ring = gpa,
		.descriptors = gpa + size * 16ULL,
		.available = gpa + size * 32ULL,
		.used = gpa + size * 32ULL + 4,
		.available_wrap = true,
		.used_wrap = true,
	};
	memset(ram + gpa, 0, virtio_ring_bytes(size));
}

void virtio_ring_describe_at(VirtioRing *ring, uint64_t table, unsigned i, uint64_t address,
			     uint32_t length, uint16_t flags, uint16_t next)
{
	uint8_t *entry = ring->ram + table + i * 16ULL;

	memcpy(entry, &address, 8);
	memcpy(entry + 8, &length, 4);
	/* An entry of a packed ring's indirect table has an id, and that first (§2.8.8). */
	if (ring->packed && table != ring->descriptors) {
		memcpy(entry + 12, &next, 2);
		memcpy(entry + 14, &flags, 2);
		return;
	}
	memcpy(entry + 12, &flags, 2);
	memcpy(entry + 14, &next, 2);
}

void virtio_ring_describe(VirtioRing *ring, unsigned i, uint64_t address, uint32_t length,
			  uint16_t flags, uint16_t next)
{
	virtio_ring_describe_at(ring, ring->descriptors, i, address, length, flags, next);
}

static uint16_t *packed_flags(const VirtioRing *ring, unsigned at)
{
	return at16(ring, ring->ring + at * 16ULL + 14);
}

static uint16_t available_flags(bool wrap)
{
	return wrap ? PACKED_AVAILABLE : PACKED_USED;
}

void virtio_ring_write_packed(VirtioRing *ring, unsigned at, uint64_t address, uint32_t length,
			      uint16_t id, uint16_t flags, bool available)
{
	uint8_t *entry = ring->ram + ring->ring + at * 16ULL;

	memcpy(entry, &address, 8);
	memcpy(entry + 8, &length, 4);
	memcpy(entry + 12, &id, 2);
	if (available)
		flags |= available_flags(ring->available_wrap);
	__atomic_store_n(packed_flags(ring, at), flags, __ATOMIC_SEQ_CST);
}

/* Copy chain @head from the table to the ring, the flags of the first descriptor last. */
static void offer_packed(VirtioRing *ring, uint16_t head)
{
	unsigned first = ring->next_available, at = first, i = head, n = 0;
	uint16_t flags, first_flags = 0;

	do {
		const uint8_t *entry = ring->ram + ring->descriptors + i * 16ULL;
		uint64_t address;
		uint32_t length;
		uint16_t next;

		memcpy(&address, entry, 8);
		memcpy(&length, entry + 8, 4);
		memcpy(&flags, entry + 12, 2);
		memcpy(&next, entry + 14, 2);
		if (at == first && n == 0) {
			first_flags = flags | available_flags(ring->available_wrap);
			virtio_ring_write_packed(ring, at, address, length, head,
						 *packed_flags(ring, at), false);
		} else {
			virtio_ring_write_packed(ring, at, address, length, head, flags, true);
		}
		i = next;
		if (++at == ring->size) {
			at = 0;
			ring->available_wrap = !ring->available_wrap;
		}
	} while (++n < ring->size && (flags & RING_NEXT) && i < ring->size);
	ring->lengths[head] = n;
	ring->next_available = at;
	__atomic_store_n(packed_flags(ring, first), first_flags, __ATOMIC_SEQ_CST);
}

static bool is_used(const VirtioRing *ring)
{
	uint16_t flags = __atomic_load_n(packed_flags(ring, ring->next_used), __ATOMIC_ACQUIRE);

	return (flags & (PACKED_AVAILABLE | PACKED_USED)) ==
	       (ring->used_wrap ? PACKED_AVAILABLE | PACKED_USED : 0);
}

static bool take_used_packed(VirtioRing *ring, uint32_t *id, uint32_t *length)
{
	const uint8_t *entry = ring->ram + ring->ring + ring->next_used * 16ULL;
	uint16_t name;

	if (!is_used(ring))
		return false;
	memcpy(&name, entry + 12, 2);
	memcpy(length, entry + 8, 4);
	g_assert_cmpuint(name, <, G_N_ELEMENTS(ring->lengths));
	g_assert_cmpuint(ring->lengths[name], >, 0);
	*id = name;
	ring->next_used += ring->lengths[name];
	ring->lengths[name] = 0;
	if (ring->next_used >= ring->size) {
		ring->next_used -= ring->size;
		ring->used_wrap = !ring->used_wrap;
	}
	return true;
}

void virtio_ring_offer(VirtioRing *ring, uint16_t head)
{
	if (ring->packed) {
		offer_packed(ring, head);
		return;
	}
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

	if (ring->packed)
		return take_used_packed(ring, id, length);
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
	if (ring->packed) {
		VirtioRing ahead = *ring;
		uint32_t id, length;

		while (take_used_packed(&ahead, &id, &length))
			;
		return ahead.next_used;
	}
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

bool virtio_ring_has_used(const VirtioRing *ring)
{
	return ring->packed ? is_used(ring) : virtio_ring_used_index(ring) != ring->next_used;
}

void virtio_ring_set_interrupt(VirtioRing *ring, bool enabled)
{
	if (ring->packed) {
		*at16(ring, ring->available) =
			ring->next_used | (ring->used_wrap ? PACKED_EVENT_WRAP : 0);
		__atomic_store_n(at16(ring, ring->available + 2),
				 enabled ? PACKED_EVENT_DESCRIPTOR : PACKED_EVENT_DISABLE,
				 __ATOMIC_SEQ_CST);
		return;
	}
	/* An event that is just behind comes last of all. */
	virtio_ring_set_used_event(ring, enabled ? ring->next_used : ring->next_used - 1);
}

static bool packed_wants_kick(const VirtioRing *ring, uint16_t old)
{
	uint16_t event = *at16(ring, ring->used), flags = *at16(ring, ring->used + 2);
	unsigned lap = ring->size, period = 2 * lap;
	unsigned event_at = (event & ~PACKED_EVENT_WRAP) + (event & PACKED_EVENT_WRAP ? 0 : lap);
	unsigned new_at = ring->next_available + (ring->available_wrap ? 0 : lap);
	/* It is in this lap or, where that cannot be, in the one before. */
	unsigned old_at = (old <= ring->next_available) == ring->available_wrap ? old : old + lap;

	if (flags != PACKED_EVENT_DESCRIPTOR)
		return flags == PACKED_EVENT_ENABLE;
	return (event_at + period - old_at) % period < (new_at + period - old_at) % period;
}

bool virtio_ring_wants_kick(const VirtioRing *ring, uint16_t old, bool event_idx)
{
	uint16_t new = ring->next_available;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ring->packed)
		return packed_wants_kick(ring, old);
	if (!event_idx)
		return !(virtio_ring_used_flags(ring) & 1);
	return (uint16_t)(new - virtio_ring_available_event(ring) - 1) < (uint16_t)(new - old);
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
