/*
 * virtio_ring.h: the driver side of a virtqueue, for tests
 *
 * Every step a driver takes is a function of its own, so that a test can take it wrongly.
 *
 * Chains are described in a table, as those of a split ring. Over a packed ring that table is the
 * driver's own, and offering a chain writes it into the ring, with its head as id.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define RING_NEXT     0x1
#define RING_WRITE    0x2
#define RING_INDIRECT 0x4

typedef struct VirtioRing {
	uint8_t *ram; /* host address of guest-physical 0 */
	uint16_t size;
	uint64_t descriptors, available,
		used; /* guest-physical; packed: of driver and device area */
	uint16_t next_available, next_used;

	bool packed;
	uint64_t ring;			/* packed: guest-physical */
	bool available_wrap, used_wrap; /* packed: wrap counters */
	uint16_t lengths[1024];		/* packed: descriptors of what is in flight, by id */
} VirtioRing;

/* Bytes that a ring of @size takes. */
uint64_t virtio_ring_bytes(unsigned size);

/* Lay out an empty ring of @size at @gpa (16-byte aligned) of @ram. */
void virtio_ring_init(VirtioRing *ring, uint8_t *ram, uint64_t gpa, unsigned size);

/* The same of a packed ring. */
void virtio_ring_init_packed(VirtioRing *ring, uint8_t *ram, uint64_t gpa, unsigned size);

/* Write descriptor @i of the ring's table, or of an indirect one at @table. */
void virtio_ring_describe(VirtioRing *ring, unsigned i, uint64_t address, uint32_t length,
			  uint16_t flags, uint16_t next);
void virtio_ring_describe_at(VirtioRing *ring, uint64_t table, unsigned i, uint64_t address,
			     uint32_t length, uint16_t flags, uint16_t next);

/* Put @head into the available ring, or its chain into the packed ring, and publish it. */
void virtio_ring_offer(VirtioRing *ring, uint16_t head);

/* Publish available index @index, whatever the ring holds. */
void virtio_ring_set_available(VirtioRing *ring, uint16_t index);

/*
 * Write descriptor @at of a packed ring: @flags and, if @available, those that say so in the
 * current lap.
 */
void virtio_ring_write_packed(VirtioRing *ring, unsigned at, uint64_t address, uint32_t length,
			      uint16_t id, uint16_t flags, bool available);

/* Take the next used entry; false when there is none. */
bool virtio_ring_take_used(VirtioRing *ring, uint32_t *id, uint32_t *length);

/* The used index; of a packed ring next_used as it would be if all that is used were taken. */
uint16_t virtio_ring_used_index(const VirtioRing *ring);
uint16_t virtio_ring_used_flags(const VirtioRing *ring);
uint16_t virtio_ring_available_event(const VirtioRing *ring);
/* Whether there is a used entry to take. */
bool virtio_ring_has_used(const VirtioRing *ring);

/* Ask for an interrupt for the next used entry, or for none, with events (EVENT_IDX). */
void virtio_ring_set_interrupt(VirtioRing *ring, bool enabled);

/*
 * Whether the device wants a notification for what was offered since next_available was @old, by
 * flags or, with @event_idx, by event.
 */
bool virtio_ring_wants_kick(const VirtioRing *ring, uint16_t old, bool event_idx);
void virtio_ring_set_used_event(VirtioRing *ring, uint16_t index);
void virtio_ring_set_available_flags(VirtioRing *ring, uint16_t flags);
