/*
 * virtqueue_ring.h: between virtqueue.c and the layouts of rings
 *
 * A layout (split, virtio 1.2 §2.7; packed, §2.8) walks its descriptors and hands each to
 * virtqueue_add_buffer(); everything else about elements is common.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtqueue.h"

struct VirtqueueRingOps {
	/* Resolve the areas; returns NULL, or why it cannot (static text). */
	const char *(*map)(Virtqueue *queue);
	/* Whether a chain waits, by a fresh look at the ring. */
	bool (*has_available)(Virtqueue *queue);
	/* The name of the next chain, or -1 when there is none; does not move on. */
	int (*peek_head)(Virtqueue *queue);
	/* Fill @element from chain @head. False with the queue broken. */
	bool (*fetch)(Virtqueue *queue, VirtqueueElement *element, uint16_t head);
	/* Write the used entry of @element. */
	void (*push)(Virtqueue *queue, const VirtqueueElement *element, uint32_t written);
	/* Make pushed entries visible; returns whether to interrupt. */
	bool (*publish)(Virtqueue *queue);
	void (*set_notification)(Virtqueue *queue, bool enabled);
};

extern const VirtqueueRingOps virtqueue_split_ops;

/*
 * Append guest range [@gpa, @gpa + @size) to @element, as several iovecs where it spans regions of
 * RAM. False with the queue broken when it is not all RAM, out of order, or too much.
 */
bool virtqueue_add_buffer(Virtqueue *queue, VirtqueueElement *element, uint64_t gpa, uint32_t size,
			  bool writable);
