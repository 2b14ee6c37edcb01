/*
 * virtqueue_ring.h: between virtqueue.c and the layouts of rings
 *
 * A layout (split, virtio 1.2 §2.7; packed, §2.8) walks its descriptors and hands each to
 * virtqueue_add_buffer(); everything else about elements is common.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <string.h>

#include "vmm/virtio/virtqueue.h"

struct VirtqueueRingOps {
	/* Resolve the areas; returns NULL, or why it cannot (static text). */
	const char *(*map)(Virtqueue *queue);
	/* Whether a chain waits, by a fresh look at the ring. */
	bool (*has_available)(Virtqueue *queue);
	/* Where the next chain starts, or -1 when there is none; does not move on. */
	int (*peek_head)(Virtqueue *queue);
	/*
	 * Fill @element, with n_positions, from chain @head, which is the next, or, @again, one
	 * that was in flight before a load. False with the queue broken.
	 */
	bool (*fetch)(Virtqueue *queue, VirtqueueElement *element, uint16_t head, bool again);
	/* Write the used entry of @element at @position; next_used moves on after it. */
	void (*push)(Virtqueue *queue, const VirtqueueElement *element, uint32_t written,
		     uint16_t position);
	/* Make pushed entries visible. */
	void (*publish)(Virtqueue *queue);
	/* Whether the driver wants an interrupt for those from position @old to published_used. */
	bool (*wants_interrupt)(Virtqueue *queue, uint16_t old, bool old_is_valid);
	void (*set_notification)(Virtqueue *queue, bool enabled);
	/* Before the areas are forgotten: leave chains in flight where they can be refetched. May
	   be NULL. */
	void (*unmap)(Virtqueue *queue);
};

extern const VirtqueueRingOps virtqueue_split_ops;
extern const VirtqueueRingOps virtqueue_packed_ops;

/* Flags of a descriptor, in both layouts (§2.7.5, §2.8.4). */
#define DESCRIPTOR_NEXT	    0x1
#define DESCRIPTOR_WRITE    0x2
#define DESCRIPTOR_INDIRECT 0x4
#define DESCRIPTOR_SIZE	    16u /* bytes */

/* x86-64 is little-endian as the ring is; there is no conversion to do. */
G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);

/* A table of descriptors: the ring's, or an indirect one, which need not be contiguous here. */
typedef struct DescriptorTable {
	const uint8_t *hva; /* NULL: read by address */
	uint64_t gpa;
	unsigned n_entries;
} DescriptorTable;

/*
 * Enter the indirect table of @length bytes at @address, named by a descriptor with @flags
 * (§2.7.5.3, §2.8.8). False with the queue broken when it may not be one.
 */
bool virtqueue_enter_indirect(Virtqueue *queue, DescriptorTable *table, uint64_t address,
			      uint32_t length, uint16_t flags);

/* The part of virtqueue_table_read() for tables that are not in one piece. */
bool virtqueue_table_read_by_address(Virtqueue *queue, const DescriptorTable *table, unsigned i,
				     void *descriptor);

/* Copy entry @i, which there is, to @descriptor: once. False with the queue broken. */
static inline bool virtqueue_table_read(Virtqueue *queue, const DescriptorTable *table, unsigned i,
					void *descriptor)
{
	if (G_UNLIKELY(!table->hva))
		return virtqueue_table_read_by_address(queue, table, i, descriptor);
	memcpy(descriptor, table->hva + (size_t)i * DESCRIPTOR_SIZE, DESCRIPTOR_SIZE);
	/* Keeps the compiler from reading the original again. */
	__asm__ volatile("" ::: "memory");
	return true;
}

/* The raw descriptors of @element, of a packed ring: as many as it has positions. */
void *virtqueue_raw_descriptors(const Virtqueue *queue, const VirtqueueElement *element);

/* The element at @slot, or NULL when no element of that slot is in flight. */
VirtqueueElement *virtqueue_element_at(const Virtqueue *queue, unsigned slot);

/*
 * Append guest range [@gpa, @gpa + @size) to @element, as several iovecs where it spans regions of
 * RAM. False with the queue broken when it is not all RAM, out of order, or too much.
 */
bool virtqueue_add_buffer(Virtqueue *queue, VirtqueueElement *element, uint64_t gpa, uint32_t size,
			  bool writable);
