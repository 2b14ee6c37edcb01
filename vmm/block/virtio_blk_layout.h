/*
 * virtio_blk_layout.h: what virtio block devices look like from either side (virtio 1.2 §5.2)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTIO_ID_BLOCK	  2
#define PCI_CLASS_STORAGE 0x010000

/* §5.2.3 */
#define VIRTIO_BLK_F_SIZE_MAX	  1
#define VIRTIO_BLK_F_SEG_MAX	  2
#define VIRTIO_BLK_F_GEOMETRY	  4
#define VIRTIO_BLK_F_RO		  5
#define VIRTIO_BLK_F_BLK_SIZE	  6
#define VIRTIO_BLK_F_FLUSH	  9
#define VIRTIO_BLK_F_TOPOLOGY	  10
#define VIRTIO_BLK_F_CONFIG_WCE	  11
#define VIRTIO_BLK_F_MQ		  12
#define VIRTIO_BLK_F_DISCARD	  13
#define VIRTIO_BLK_F_WRITE_ZEROES 14

/* §5.2.4 */
typedef struct VirtioBlkConfig {
	uint64_t capacity; /* sectors */
	uint32_t size_max;
	uint32_t seg_max;
	uint32_t geometry;
	uint32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_size; /* logical blocks */
	uint32_t opt_io_size; /* logical blocks */
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
} VirtioBlkConfig;

#define VIRTIO_BLK_CONFIG_SIZE (offsetof(VirtioBlkConfig, unused1) + 3)
G_STATIC_ASSERT(VIRTIO_BLK_CONFIG_SIZE == 60);

#define VIRTIO_BLK_SECTOR_SIZE 512u

/* §5.2.6 */
enum {
	VIRTIO_BLK_T_IN = 0,
	VIRTIO_BLK_T_OUT = 1,
	VIRTIO_BLK_T_FLUSH = 4,
	VIRTIO_BLK_T_GET_ID = 8,
	VIRTIO_BLK_T_DISCARD = 11,
	VIRTIO_BLK_T_WRITE_ZEROES = 13,
};
enum { VIRTIO_BLK_S_OK = 0, VIRTIO_BLK_S_IOERR = 1, VIRTIO_BLK_S_UNSUPP = 2 };

typedef struct VirtioBlkHeader {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
} VirtioBlkHeader;

/* What to discard, or to write zeroes to. */
typedef struct VirtioBlkRange {
	uint64_t sector;
	uint32_t n_sectors;
	uint32_t flags;
} VirtioBlkRange;

#define VIRTIO_BLK_RANGE_UNMAP 0x1u
