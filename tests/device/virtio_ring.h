/*
 * virtio_ring.h: the driver side of a split virtqueue, for tests
 *
 * Every step a driver takes is a function of its own, so that a test can take it wrongly.
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
	uint64_t descriptors, available, used; /* guest-physical */
	uint16_t next_available, next_used;
} VirtioRing;

/* Bytes that a ring of @size takes. */
uint64_t virtio_ring_bytes(unsigned size);

/* Lay out an empty ring of @size at @gpa (16-byte aligned) of @ram. */
void virtio_ring_init(VirtioRing *ring, uint8_t *ram, uint64_t gpa, unsigned size);

/* Write descriptor @i of the ring's table, or of an indirect one at @table. */
void virtio_ring_describe(VirtioRing *ring, unsigned i, uint64_t address, uint32_t length,
			  uint16_t flags, uint16_t next);
void virtio_ring_describe_at(VirtioRing *ring, uint64_t table, unsigned i, uint64_t address,
			     uint32_t length, uint16_t flags, uint16_t next);

/* Put @head into the available ring and publish it. */
void virtio_ring_offer(VirtioRing *ring, uint16_t head);

/* Publish available index @index, whatever the ring holds. */
void virtio_ring_set_available(VirtioRing *ring, uint16_t index);

/* Take the next used entry; false when there is none. */
bool virtio_ring_take_used(VirtioRing *ring, uint32_t *id, uint32_t *length);

uint16_t virtio_ring_used_index(const VirtioRing *ring);
uint16_t virtio_ring_used_flags(const VirtioRing *ring);
uint16_t virtio_ring_available_event(const VirtioRing *ring);
void virtio_ring_set_used_event(VirtioRing *ring, uint16_t index);
void virtio_ring_set_available_flags(VirtioRing *ring, uint16_t flags);
