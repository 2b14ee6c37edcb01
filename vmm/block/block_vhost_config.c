/*
 * block_vhost_config.c: what a vhost-user block back end says of itself (virtio 1.2 §5.2.4)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_vhost_internal.h"

#include <linux/virtio_config.h>

#include "vmm/base/error.h"

#define BIT(number) (1ULL << (number))

/* Limits to what makes sense, bytes. */
#define BLOCK_SIZE_MAX	  32768u
#define PHYSICAL_SIZE_MAX (2u << 20)
#define SEGMENT_MIN	  4096u
#define SEGMENT_MAX	  (1u << 30)

const uint64_t block_vhost_features =
	BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_VERSION_1) |
	BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_RO) |
	BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
	BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_DISCARD) |
	BIT(VIRTIO_BLK_F_WRITE_ZEROES);

static bool is_power_of_two(uint64_t value)
{
	return value > 0 && (value & (value - 1)) == 0;
}

static bool read_sizes(BlockVhostTraits *traits, const VirtioBlkConfig *config, uint64_t features,
		       GError **error)
{
	uint64_t physical;

	traits->block_size =
		features & BIT(VIRTIO_BLK_F_BLK_SIZE) ? config->blk_size : VIRTIO_BLK_SECTOR_SIZE;
	if (!is_power_of_two(traits->block_size) || traits->block_size < VIRTIO_BLK_SECTOR_SIZE ||
	    traits->block_size > BLOCK_SIZE_MAX)
		return error_fail(error, "the back end has blocks of %u bytes", traits->block_size);
	if (__builtin_mul_overflow(config->capacity, VIRTIO_BLK_SECTOR_SIZE, &traits->size) ||
	    traits->size > G_MAXINT64 || traits->size % traits->block_size)
		return error_fail(error, "the back end has %" G_GUINT64_FORMAT " sectors",
				  config->capacity);
	traits->physical_block_size = traits->block_size;
	if (!(features & BIT(VIRTIO_BLK_F_TOPOLOGY)))
		return true;
	physical = config->physical_block_exp < 32
			   ? (uint64_t)traits->block_size << config->physical_block_exp
			   : UINT64_MAX;
	if (physical > PHYSICAL_SIZE_MAX)
		return error_fail(error, "the back end has 2 to the %u blocks in a physical one",
				  config->physical_block_exp);
	traits->physical_block_size = (uint32_t)physical;
	/* A hint: one that makes no sense is none. One block is what those say that have none. */
	if (config->opt_io_size > 1 &&
	    (uint64_t)config->opt_io_size * traits->block_size <= UINT32_MAX)
		traits->opt_io_size = config->opt_io_size * traits->block_size;
	return true;
}

static bool read_segments(BlockVhostTraits *traits, const VirtioBlkConfig *config,
			  uint64_t features, GError **error)
{
	/* §5.2.4: without these, one segment, of any size. */
	uint32_t n = features & BIT(VIRTIO_BLK_F_SEG_MAX) ? config->seg_max : 1;
	uint32_t size = features & BIT(VIRTIO_BLK_F_SIZE_MAX) ? config->size_max : SEGMENT_MAX;

	/* What qemu-storage-daemon 7.2 says, which takes any. */
	if (size == 0)
		size = SEGMENT_MAX;
	if (n == 0)
		return error_fail(error, "the back end takes requests without data only");
	if (size < SEGMENT_MIN || size < traits->block_size)
		return error_fail(error, "the back end takes segments of %u bytes at most", size);
	traits->n_segments = MIN(n, BLOCK_VHOST_SEGMENTS_MAX);
	/* Whole blocks, so that cutting there leaves whole blocks. */
	traits->segment_max = MIN(size, SEGMENT_MAX) & ~(traits->block_size - 1);
	return true;
}

static void read_ranges(BlockVhostTraits *traits, const VirtioBlkConfig *config, uint64_t features)
{
	uint32_t block = traits->block_size / VIRTIO_BLK_SECTOR_SIZE, granule = block;

	if ((features & BIT(VIRTIO_BLK_F_DISCARD)) && config->max_discard_seg > 0) {
		if (config->discard_sector_alignment % block == 0 &&
		    config->discard_sector_alignment <= UINT32_MAX / VIRTIO_BLK_SECTOR_SIZE)
			granule = MAX(config->discard_sector_alignment, block);
		traits->discard_granularity = granule * VIRTIO_BLK_SECTOR_SIZE;
		traits->discard_max = config->max_discard_sectors / granule * granule;
	}
	if ((features & BIT(VIRTIO_BLK_F_WRITE_ZEROES)) && config->max_write_zeroes_seg > 0) {
		traits->zeroes_max = config->max_write_zeroes_sectors / block * block;
		traits->zeroes_unmap = config->write_zeroes_may_unmap;
	}
	if (traits->discard_max == 0)
		traits->discard_granularity = 0;
}

bool block_vhost_read_config(BlockVhostTraits *traits, const VirtioBlkConfig *config,
			     uint64_t features, GError **error)
{
	*traits = (BlockVhostTraits){
		.flush = features & BIT(VIRTIO_BLK_F_FLUSH),
		.event_idx = features & BIT(VIRTIO_RING_F_EVENT_IDX),
		.indirect = features & BIT(VIRTIO_RING_F_INDIRECT_DESC),
		.read_only = features & BIT(VIRTIO_BLK_F_RO),
		.has_writeback = features & BIT(VIRTIO_BLK_F_CONFIG_WCE),
	};
	if (!(features & BIT(VIRTIO_F_VERSION_1)))
		return error_fail(error, "the back end is of before virtio 1.0");
	if (!read_sizes(traits, config, features, error) ||
	    !read_segments(traits, config, features, error))
		return false;
	read_ranges(traits, config, features);
	return true;
}
