/*
 * virtio_blk.c: block device (virtio 1.2 §5.2)
 *
 * What it offers and keeps; its requests are in virtio_blk_data.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_blk.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/lazy_memory.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/virtio/virtio_blk_internal.h"
#include "vmm/virtio/virtio_pci.h"

#define DEFAULT_QUEUE_SIZE 256
#define QUEUES_MAX	   256
#define QUEUES_AUTO	   UINT16_MAX
#define HEADER_DESCRIPTORS 2 /* header and status, beside the data */

static void blk_start(VirtioDevice *device)
{
	VirtioBlk *blk = virtio_blk(device);
	bool has_flush = virtio_device_has_feature(device, VIRTIO_BLK_F_FLUSH) ||
			 virtio_device_has_feature(device, VIRTIO_BLK_F_CONFIG_WCE);

	/* §5.2.5.2: a driver that cannot flush must not need to. */
	block_node_set_write_cache(blk->node, has_flush && blk->writeback);
	g_atomic_int_set(&blk->held_error, 0);
}

static void blk_start_share(VirtioShare *share)
{
	VirtioBlk *blk = virtio_blk(share->device);

	block_node_set_draining(blk->node, share->index, false);
	for (unsigned i = 0; i < blk->n_blk_queues; i++) {
		if (share->device->queues[i].share == share)
			virtio_blk_start_queue(blk, &share->device->queues[i]);
	}
}

/* A limit on the disk's speed does not keep anybody waiting who stops the device. */
static void blk_stop_share(VirtioShare *share)
{
	block_node_set_draining(virtio_blk(share->device)->node, share->index, true);
}

static void blk_queue_reset(VirtioDevice *device, VirtioQueue *queue)
{
	BlkQueue *own = &virtio_blk(device)->queues[queue->ring.index];

	own->held = NULL;
	virtio_blk_forget_held_heads(own);
}

static void blk_reset(VirtioDevice *device)
{
	VirtioBlk *blk = virtio_blk(device);

	for (unsigned i = 0; i < blk->n_blk_queues; i++)
		blk_queue_reset(device, &device->queues[i]);
	blk->writeback = blk->write_cache != ON_OFF_AUTO_OFF;
}

static void blk_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VirtioBlk *blk = virtio_blk(device);
	uint64_t block_size = blk->logical_block_size;
	VirtioBlkConfig config = {
		.capacity = __atomic_load_n(&blk->size, __ATOMIC_RELAXED) / VIRTIO_BLK_SECTOR_SIZE,
		.seg_max = blk->queue_size - HEADER_DESCRIPTORS,
		.blk_size = block_size,
		.physical_block_exp = g_bit_nth_msf(blk->physical_block_size / block_size, -1),
		.min_io_size = MIN(blk->min_io_size / block_size, UINT16_MAX),
		.opt_io_size = MIN(blk->opt_io_size / block_size, UINT32_MAX),
		.writeback = blk->writeback,
		.num_queues = blk->num_queues,
		.write_zeroes_may_unmap = blk->limits.discard_granularity != 0,
	};

	if (device->offered & VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD)) {
		config.max_discard_sectors = VIRTIO_BLK_RANGE_SECTORS_MAX;
		config.max_discard_seg = 1;
		config.discard_sector_alignment =
			MAX(blk->limits.discard_granularity, block_size) / VIRTIO_BLK_SECTOR_SIZE;
	}
	if (device->offered & VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES)) {
		config.max_write_zeroes_sectors = VIRTIO_BLK_RANGE_SECTORS_MAX;
		config.max_write_zeroes_seg = 1;
	}
	memcpy(bytes, &config, VIRTIO_BLK_CONFIG_SIZE);
}

static void blk_write_config(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size)
{
	VirtioBlk *blk = virtio_blk(device);

	/* The one field that may be written, if that was negotiated (§5.2.5.1). */
	if (offset != offsetof(VirtioBlkConfig, writeback) || size != 1 ||
	    !virtio_device_has_feature(device, VIRTIO_BLK_F_CONFIG_WCE))
		return;
	blk->writeback = value & 1;
	block_node_set_write_cache(blk->node, blk->writeback);
}

static void node_resized(void *opaque, uint64_t size)
{
	VirtioBlk *blk = opaque;
	GMutex *lock = &blk->virtio.pci.device.lock;

	g_mutex_lock(lock);
	__atomic_store_n(&blk->size, size, __ATOMIC_RELAXED);
	virtio_device_config_changed(&blk->virtio);
	g_mutex_unlock(lock);
}

static const BlockNodeListener node_listener = { .resized = node_resized };

/* Settle block sizes: those asked for must be possible, those not are the node's. */
static bool settle_sizes(VirtioBlk *blk, GError **error)
{
	const BlockLimits *limits = &blk->limits;

	if (!blk->logical_block_size)
		blk->logical_block_size = MAX(VIRTIO_BLK_SECTOR_SIZE, limits->logical_block_size);
	if (!blk->physical_block_size)
		blk->physical_block_size =
			MAX(blk->logical_block_size, limits->physical_block_size);
	/* A host's preference is no demand: one that larger blocks do not fit is left out. */
	if (!blk->opt_io_size && limits->opt_io_size % blk->logical_block_size == 0)
		blk->opt_io_size = limits->opt_io_size;
	if (blk->logical_block_size < limits->logical_block_size)
		return error_fail(error,
				  "logical_block_size %" G_GUINT64_FORMAT
				  " is less than the %u bytes that node '%s' can address",
				  blk->logical_block_size, limits->logical_block_size, blk->drive);
	if (blk->physical_block_size < blk->logical_block_size)
		return error_fail(error, "physical_block_size is less than logical_block_size");
	if (blk->min_io_size % blk->logical_block_size ||
	    blk->opt_io_size % blk->logical_block_size)
		return error_fail(error, "min_io_size and opt_io_size must be multiples of "
					 "logical_block_size");
	return true;
}

static void offer_features(VirtioBlk *blk)
{
	uint64_t features =
		VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) | VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY);

	if (blk->limits.read_only)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	if (blk->config_wce)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE);
	if (blk->num_queues > 1)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);
	if (blk->want_discard && blk->limits.discard_granularity && !blk->limits.read_only)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD);
	if (blk->want_write_zeroes && blk->limits.can_write_zeroes && !blk->limits.read_only)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	blk->virtio.offered |= features;
}

static bool attach_node(VirtioBlk *blk, BlockNode *node, GError **error)
{
	VirtioDevice *device = &blk->virtio;
	const Device *base = &device->pci.device;
	g_autofree IoLoop **loops = g_new(IoLoop *, device->n_shares);
	BlockUser user = {
		.name = base->id ? base->id : base->path,
		.loops = loops,
		.n_loops = device->n_shares,
		.writable = !blk->limits.read_only,
		.is_live = base->services->is_running(base->services),
		.listener = &node_listener,
		.opaque = blk,
	};

	for (unsigned i = 0; i < device->n_shares; i++)
		loops[i] = device->shares[i].loop;
	return block_node_attach(node, &user, error);
}

static size_t requests_size(const VirtioBlk *blk)
{
	return sizeof(BlkRequest) * blk->queue_size * blk->num_queues;
}

static bool blk_setup(VirtioDevice *device, GError **error)
{
	VirtioBlk *blk = virtio_blk(device);
	DeviceServices *services = virtio_device_services(device);

	if (blk->serial && strlen(blk->serial) > VIRTIO_BLK_ID_SIZE)
		return error_fail(error, "serial '%s' is longer than %u bytes", blk->serial,
				  VIRTIO_BLK_ID_SIZE);
	/* A queue of its own keeps a vCPU off the others' locks and interrupts. */
	if (blk->num_queues == QUEUES_AUTO)
		blk->num_queues = CLAMP(services->n_cpus, 1, QUEUES_MAX);
	blk->node = services->find_block_node(services, blk->drive);
	if (!blk->node)
		return error_fail(error, "there is no block node '%s'", blk->drive);
	block_node_get_limits(blk->node, &blk->limits);
	blk->size = blk->limits.size;
	if (!settle_sizes(blk, error))
		return false;
	if (!virtio_device_add_queues(device, blk->num_queues, blk->queue_size, error))
		return false;
	blk->requests = lazy_memory_new(requests_size(blk));
	if (!blk->requests)
		return error_fail_errno(error, ENOMEM, "requests");
	if (!attach_node(blk, blk->node, error)) {
		lazy_memory_free(blk->requests, requests_size(blk));
		return false;
	}
	blk->can_discard = blk->limits.discard_granularity != 0;
	blk->can_write_zeroes = blk->limits.can_write_zeroes;
	offer_features(blk);
	blk->writeback = blk->write_cache != ON_OFF_AUTO_OFF;
	blk->n_blk_queues = blk->num_queues;
	blk->queues = g_new0(BlkQueue, blk->num_queues);
	for (unsigned i = 0; i < blk->num_queues; i++)
		blk->queues[i].requests = blk->requests + (size_t)i * blk->queue_size;
	return true;
}

static void blk_teardown(VirtioDevice *device)
{
	VirtioBlk *blk = virtio_blk(device);

	block_node_detach(blk->node);
	lazy_memory_free(blk->requests, requests_size(blk));
	g_clear_pointer(&blk->queues, g_free);
	blk->n_blk_queues = 0;
}

static bool check_successor(const VirtioBlk *blk, const char *name, const BlockLimits *limits,
			    GError **error)
{
	if (limits->size < blk->size)
		return error_fail(error,
				  "node '%s' has %" G_GUINT64_FORMAT
				  " bytes, fewer than the disk's %" G_GUINT64_FORMAT,
				  name, limits->size, blk->size);
	if (limits->logical_block_size > blk->logical_block_size)
		return error_fail(error,
				  "node '%s' has blocks of %u bytes, larger than the disk's of "
				  "%" G_GUINT64_FORMAT,
				  name, limits->logical_block_size, blk->logical_block_size);
	if (limits->read_only && !blk->limits.read_only)
		return error_fail(error, "node '%s' is read-only, and the disk is not", name);
	return true;
}

bool virtio_blk_replace_node(Device *device, BlockNode *node, GError **error)
{
	VirtioBlk *blk = (VirtioBlk *)device;
	BlockNode *old = blk->node;
	BlockLimits limits;
	bool was_running, done;

	block_node_get_limits(node, &limits);
	if (!check_successor(blk, block_node_name(node), &limits, error) ||
	    !attach_node(blk, node, error))
		return false;
	g_mutex_lock(&device->lock);
	was_running = blk->virtio.running;
	if (was_running)
		virtio_queues_stop(&blk->virtio);
	done = block_node_inherit(node, old, error);
	if (done) {
		block_node_succeed(node, old);
		/* What the old one could not serve any more is held, and goes to the new one. */
		blk->node = node;
		blk->can_discard = limits.discard_granularity != 0;
		blk->can_write_zeroes = limits.can_write_zeroes;
	}
	if (was_running)
		virtio_queues_start(&blk->virtio);
	g_mutex_unlock(&device->lock);
	block_node_detach(done ? old : node);
	if (done && limits.size > blk->size)
		node_resized(blk, limits.size);
	return done;
}

BlockNode *virtio_blk_node(Device *device)
{
	return ((VirtioBlk *)device)->node;
}

QapiBlockDeviceIoStatus virtio_blk_io_status(Device *device)
{
	VirtioBlk *blk = (VirtioBlk *)device;

	return block_error_io_status(g_atomic_int_get(&blk->held_error));
}

bool virtio_blk_write_cache(Device *device)
{
	VirtioBlk *blk = (VirtioBlk *)device;
	bool writeback;

	g_mutex_lock(&device->lock);
	writeback = blk->writeback;
	g_mutex_unlock(&device->lock);
	return writeback;
}

static const StateField blk_queue_fields[] = {
	STATE_ARRAY(BlkQueue, held_heads, STATE_UINT64),
	STATE_END,
};

static const StateTable blk_queue_state = {
	.name = "virtio-blk-queue",
	.version = 1,
	.minimum_version = 1,
	.fields = blk_queue_fields,
};

static void blk_before_save(void *object)
{
	VirtioBlk *blk = object;

	for (unsigned i = 0; i < blk->n_blk_queues; i++) {
		BlkQueue *queue = &blk->queues[i];

		/* Without held requests the bits are those of a load that has not started yet. */
		if (queue->held)
			virtio_blk_forget_held_heads(queue);
		for (BlkRequest *request = queue->held; request; request = request->next_held) {
			unsigned head = request->element->head;

			queue->held_heads[head / 64] |= 1ULL << (head % 64);
		}
	}
}

static const StateField blk_fields[] = {
	STATE_PART(VirtioBlk, virtio, &virtio_device_state),
	STATE_FIELD(VirtioBlk, writeback, STATE_BOOL),
	{ .name = "queues",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(VirtioBlk, queues),
	  .element_size = sizeof(BlkQueue),
	  .is_pointer = true,
	  .has_count_offset = true,
	  .count_offset = offsetof(VirtioBlk, n_blk_queues),
	  .sub_table = &blk_queue_state },
	STATE_END,
};

static const StateTable blk_state = {
	.name = "virtio-blk",
	.version = 1,
	.minimum_version = 1,
	.fields = blk_fields,
	.before_save = blk_before_save,
};

#define BLOCK_SIZE_PROPERTY(name_, member, what)                                             \
	{                                                                                    \
		.name = name_, .kind = PROPERTY_SIZE, .offset = offsetof(VirtioBlk, member), \
		.maximum = 2 * 1024 * 1024, .power_of_two = true, .description = what        \
	}

static const Property blk_properties[] = {
	{ .name = "bootindex",
	  .kind = PROPERTY_INT32,
	  .offset = offsetof(VirtioBlk, boot_index),
	  .initial = (uint64_t)-1,
	  .description = "place in the order of booting, lowest first; -1: none" },
	{ .name = "drive",
	  .kind = PROPERTY_NODE,
	  .offset = offsetof(VirtioBlk, drive),
	  .required = true,
	  .description = "block node to serve" },
	{ .name = "iothread-vq-mapping",
	  .kind = PROPERTY_IOTHREAD_MAPPING,
	  .offset = offsetof(VirtioBlk, virtio.iothread_mapping),
	  .description = "I/O threads that serve the queues, each its own" },
	{ .name = "serial",
	  .kind = PROPERTY_STRING,
	  .offset = offsetof(VirtioBlk, serial),
	  .description = "serial number, 20 bytes at most" },
	{ .name = "num-queues",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VirtioBlk, num_queues),
	  .initial = QUEUES_AUTO,
	  .minimum = 1,
	  .maximum = QUEUES_MAX,
	  .description = "request queues (default: one for each vCPU)" },
	{ .name = "queue-size",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VirtioBlk, queue_size),
	  .initial = DEFAULT_QUEUE_SIZE,
	  .minimum = 4,
	  .maximum = VIRTQUEUE_MAX_SIZE,
	  .power_of_two = true,
	  .description = "descriptors in each queue" },
	BLOCK_SIZE_PROPERTY("logical_block_size", logical_block_size, "bytes; 0: the node's"),
	BLOCK_SIZE_PROPERTY("physical_block_size", physical_block_size, "bytes; 0: the node's"),
	{ .name = "min_io_size",
	  .kind = PROPERTY_SIZE,
	  .offset = offsetof(VirtioBlk, min_io_size),
	  .maximum = UINT32_MAX,
	  .description = "smallest request without a penalty, bytes" },
	{ .name = "opt_io_size",
	  .kind = PROPERTY_SIZE,
	  .offset = offsetof(VirtioBlk, opt_io_size),
	  .maximum = UINT32_MAX,
	  .description = "preferred request, bytes; 0: the node's" },
	{ .name = "discard",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioBlk, want_discard),
	  .initial = true,
	  .description = "offer discard where the node has it" },
	{ .name = "write-zeroes",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioBlk, want_write_zeroes),
	  .initial = true,
	  .description = "offer write zeroes where the node has it" },
	{ .name = "write-cache",
	  .kind = PROPERTY_ON_OFF_AUTO,
	  .offset = offsetof(VirtioBlk, write_cache),
	  .description = "write-back cache at reset (auto: on)" },
	{ .name = "config-wce",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioBlk, config_wce),
	  .initial = true,
	  .description = "let the driver switch the write cache" },
	{ .name = "werror",
	  .kind = PROPERTY_ENUM,
	  .offset = offsetof(VirtioBlk, errors.write),
	  .enum_names = block_error_policy_names,
	  .description = "what to do about failed writes (auto: enospc)" },
	{ .name = "rerror",
	  .kind = PROPERTY_ENUM,
	  .offset = offsetof(VirtioBlk, errors.read),
	  .enum_names = block_error_policy_names,
	  .description = "what to do about failed reads (auto: report)" },
	PROPERTY_END,
};

const VirtioDeviceType virtio_blk_type = {
	.pci = {
		.device = {
			.name = "virtio-blk-pci",
			.description = "virtio block device",
			.category = "Storage",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioBlk),
			.properties = { blk_properties, virtio_device_properties,
					pci_device_properties },
			.state = &blk_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_BLOCK, PCI_CLASS_STORAGE),
	},
	.config_size = VIRTIO_BLK_CONFIG_SIZE,
	.setup = blk_setup,
	.teardown = blk_teardown,
	.reset = blk_reset,
	.queue_reset = blk_queue_reset,
	.read_config = blk_read_config,
	.write_config = blk_write_config,
	.start = blk_start,
	.start_share = blk_start_share,
	.stop_share = blk_stop_share,
	.queue_ready = virtio_blk_queue_ready,
	.is_polled = true,
};
