/*
 * virtio_blk_internal.h: what the files of the block device share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block_error.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/virtio/virtio_blk.h"
#include "vmm/virtio/virtio_device.h"

#define VIRTIO_BLK_ID_SIZE	     20u
#define VIRTIO_BLK_RANGE_SECTORS_MAX (1u << 22) /* 2 GiB in one discard or write zeroes */

typedef struct VirtioBlk VirtioBlk;
typedef struct BlkRequest BlkRequest;

struct BlkRequest {
	BlockRequest block;
	VirtioBlk *blk;
	VirtioQueue *queue;
	VirtqueueElement *element;
	uint8_t *status; /* in guest memory */
	BlkRequest *next_held;
};

typedef struct BlkQueue {
	BlkRequest *requests; /* by slot */
	/* Saved: a bit for each head whose request was held. */
	uint64_t held_heads[VIRTQUEUE_MAX_SIZE / 64];
	BlkRequest *held; /* loop thread, or stopped */
} BlkQueue;

struct VirtioBlk {
	VirtioDevice virtio;

	/* Properties. */
	char *drive;
	char *serial;
	uint16_t num_queues, queue_size;
	int32_t boot_index;
	uint64_t logical_block_size, physical_block_size, min_io_size, opt_io_size; /* bytes */
	bool want_discard, want_write_zeroes, config_wce;
	int write_cache; /* OnOffAuto */
	BlockErrorPolicies errors;

	BlockNode *node;    /* replaced while stopped */
	BlockLimits limits; /* of the first one: what the driver was told */
	/* What this node can do; fewer things than the driver was told, maybe. While stopped. */
	bool can_discard, can_write_zeroes;
	uint64_t size;	/* bytes; atomic */
	bool writeback; /* what the driver sees; device lock */
	BlkRequest *requests; /* of all queues */
	uint32_t n_blk_queues;
	BlkQueue *queues;
	gint held_error; /* atomic: errno of the last one held, 0: none is */
};

static inline VirtioBlk *virtio_blk(VirtioDevice *device)
{
	return (VirtioBlk *)device;
}

/* virtio_blk_data.c */

/* There is something in @queue, or may be. Loop thread. */
void virtio_blk_queue_ready(VirtioDevice *device, VirtioQueue *queue);

/* Make the requests again that were held when the device last stopped. Loop thread. */
void virtio_blk_start_queue(VirtioBlk *blk, VirtioQueue *queue);

/* There are none, in what was loaded. Loop thread, or stopped. */
void virtio_blk_forget_held_heads(BlkQueue *queue);
