/*
 * block_vhost_ring.h: the driver's side of a split virtqueue (virtio 1.2 §2.7)
 *
 * The device at the other side is another process, which is not trusted: what is ours to write is
 * never read back, what is its to write is copied once and checked. All of it on one thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Alignment of a ring, bytes. */
#define BLOCK_VHOST_RING_ALIGNMENT 64u

typedef struct BlockVhostRing {
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
	uint16_t size; /* descriptors */
	bool event_idx;
	uint16_t next_available; /* chains offered, and of these published */
	uint16_t published;
	uint16_t next_used;
	uint16_t n_offered; /* not answered yet */
} BlockVhostRing;

/* Bytes of a ring of @size descriptors. */
size_t block_vhost_ring_bytes(unsigned size);

/*
 * Make @ring an empty one of @size descriptors (a power of two, at most 32768) in the zeroed and
 * aligned @memory. Interrupts are wanted.
 */
void block_vhost_ring_init(BlockVhostRing *ring, void *memory, unsigned size, bool event_idx);

/* Offer the chain that starts at descriptor @head; there are at most @size of them. */
void block_vhost_ring_offer(BlockVhostRing *ring, uint16_t head);

/* Show the other side what was offered; returns whether it wants to be kicked. */
bool block_vhost_ring_publish(BlockVhostRing *ring);

/* How many answers there are, or -1: more than there can be. */
int block_vhost_ring_n_answers(const BlockVhostRing *ring);

/* Take the next of them, whatever it says: the head of a chain, and the bytes written. */
void block_vhost_ring_take(BlockVhostRing *ring, uint32_t *head, uint32_t *length);

/*
 * Ask for an interrupt at the next answer, or (as a hint) for none. Returns whether there are
 * answers, or nonsense, already, for which none may come.
 */
bool block_vhost_ring_set_interrupts(BlockVhostRing *ring, bool wanted);
