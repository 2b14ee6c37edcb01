/*
 * monitor_block.c: QMP commands of schemas/block.json
 *
 * A block device is a virtio-blk device or SCSI disk with the node it serves; "device" is empty in
 * replies because there is no -drive, and "qdev" is the device's path or id, as QEMU has it with
 * -blockdev.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "vmm/base/error.h"
#include "vmm/block/block.h"
#include "vmm/device/device.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/monitor_block_limits.h"
#include "vmm/scsi/scsi.h"
#include "vmm/virtio/virtio_blk.h"

static QapiBlockDeviceInfo *describe_node(BlockNode *node)
{
	static const QapiBlockdevDetectZeroesOptions detection[] = {
		[BLOCK_DETECT_ZEROES_OFF] = QAPI_BLOCKDEV_DETECT_ZEROES_OPTIONS_OFF,
		[BLOCK_DETECT_ZEROES_ON] = QAPI_BLOCKDEV_DETECT_ZEROES_OPTIONS_ON,
		[BLOCK_DETECT_ZEROES_UNMAP] = QAPI_BLOCKDEV_DETECT_ZEROES_OPTIONS_UNMAP,
	};
	QapiBlockDeviceInfo *info = g_new0(QapiBlockDeviceInfo, 1);
	BlockNodeInfo node_info;

	block_node_get_info(node, &node_info);
	info->file = g_strdup(node_info.filename);
	info->node_name = g_strdup(node_info.node_name);
	info->ro = node_info.read_only;
	info->drv = g_strdup(node_info.driver);
	info->detect_zeroes = detection[node_info.detect_zeroes];
	info->image = g_new0(QapiImageInfo, 1);
	info->image->filename = g_strdup(node_info.filename);
	info->image->format = g_strdup(node_info.driver);
	info->image->has_actual_size = node_info.has_actual_size;
	info->image->actual_size = (int64_t)node_info.actual_size;
	info->image->virtual_size = (int64_t)node_info.size;
	info->cache = g_new0(QapiBlockdevCacheInfo, 1);
	info->cache->writeback = node_info.write_cache;
	info->cache->direct = node_info.direct;
	info->cache->no_flush = node_info.no_flush;
	monitor_describe_throttle(node, info);
	return info;
}

static void append_scsi_block(Device *device, GPtrArray *list)
{
	QapiBlockInfo *info = g_new0(QapiBlockInfo, 1);
	ScsiDiskInfo disk;

	scsi_disk_get_info(device, &disk);
	info->device = g_strdup("");
	info->qdev = g_strdup(device->id ? device->id : device->path);
	info->type = g_strdup("unknown");
	info->removable = disk.removable;
	info->locked = disk.locked;
	info->has_tray_open = disk.removable;
	info->tray_open = disk.tray_open;
	if (disk.node) {
		info->inserted = describe_node(disk.node);
		info->inserted->cache->writeback = disk.writeback;
		info->has_io_status = true;
		info->io_status = disk.io_status;
	}
	g_ptr_array_add(list, info);
}

static void append_block(Device *device, gpointer data)
{
	QapiBlockInfo *info;

	if (scsi_disk_is(device))
		append_scsi_block(device, data);
	if (!virtio_blk_is(device))
		return;
	info = g_new0(QapiBlockInfo, 1);
	info->device = g_strdup("");
	info->qdev = g_strdup_printf("%s/virtio-backend", device->path);
	/* QEMU never learned what the guest uses it for either. */
	info->type = g_strdup("unknown");
	info->inserted = describe_node(virtio_blk_node(device));
	info->inserted->cache->writeback = virtio_blk_write_cache(device);
	info->has_io_status = true;
	info->io_status = virtio_blk_io_status(device);
	g_ptr_array_add(data, info);
}

GPtrArray *qmp_query_block(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_BlockInfo();

	device_tree_foreach(machine_devices(qmp_context_machine(ctx)), false, append_block, list);
	return list;
}

/*
 * Discards and zeroes written are "unmap" in QEMU's account as they are here: there is no counter
 * of their own for the latter.
 */
static QapiBlockDeviceStats *describe_statistics(BlockNode *node)
{
	QapiBlockDeviceStats *stats = g_new0(QapiBlockDeviceStats, 1);
	BlockStatistics counters;

	block_node_get_statistics(node, &counters);
	stats->rd_bytes = (int64_t)counters.bytes[BLOCK_READ];
	stats->rd_operations = (int64_t)counters.operations[BLOCK_READ];
	stats->rd_total_time_ns = (int64_t)counters.total_ns[BLOCK_READ];
	stats->failed_rd_operations = (int64_t)counters.failed[BLOCK_READ];
	stats->wr_bytes =
		(int64_t)(counters.bytes[BLOCK_WRITE] + counters.bytes[BLOCK_WRITE_ZEROES]);
	stats->wr_operations = (int64_t)(counters.operations[BLOCK_WRITE] +
					 counters.operations[BLOCK_WRITE_ZEROES]);
	stats->wr_total_time_ns =
		(int64_t)(counters.total_ns[BLOCK_WRITE] + counters.total_ns[BLOCK_WRITE_ZEROES]);
	stats->failed_wr_operations =
		(int64_t)(counters.failed[BLOCK_WRITE] + counters.failed[BLOCK_WRITE_ZEROES]);
	stats->flush_operations = (int64_t)counters.operations[BLOCK_FLUSH];
	stats->flush_total_time_ns = (int64_t)counters.total_ns[BLOCK_FLUSH];
	stats->failed_flush_operations = (int64_t)counters.failed[BLOCK_FLUSH];
	stats->unmap_bytes = (int64_t)counters.bytes[BLOCK_DISCARD];
	stats->unmap_operations = (int64_t)counters.operations[BLOCK_DISCARD];
	stats->unmap_total_time_ns = (int64_t)counters.total_ns[BLOCK_DISCARD];
	stats->failed_unmap_operations = (int64_t)counters.failed[BLOCK_DISCARD];
	stats->wr_highest_offset = (int64_t)counters.highest_write_offset;
	stats->account_failed = true;
	stats->timed_stats = qapi_list_new_BlockDeviceTimedStats();
	monitor_describe_histograms(node, stats);
	return stats;
}

static void append_device_statistics(Device *device, gpointer data)
{
	bool is_virtio = virtio_blk_is(device);
	QapiBlockStats *stats;
	BlockNode *node;

	if (!is_virtio && !scsi_disk_is(device))
		return;
	node = is_virtio ? virtio_blk_node(device) : scsi_disk_node(device);
	if (!node)
		return;
	stats = g_new0(QapiBlockStats, 1);
	stats->device = g_strdup("");
	stats->qdev = is_virtio ? g_strdup_printf("%s/virtio-backend", device->path)
				: g_strdup(device->id ? device->id : device->path);
	stats->node_name = g_strdup(block_node_name(node));
	stats->stats = describe_statistics(node);
	g_ptr_array_add(data, stats);
}

static void append_node_statistics(BlockNode *node, gpointer data)
{
	QapiBlockStats *stats = g_new0(QapiBlockStats, 1);

	stats->node_name = g_strdup(block_node_name(node));
	stats->stats = describe_statistics(node);
	g_ptr_array_add(data, stats);
}

GPtrArray *qmp_query_blockstats(QmpContext *ctx, bool has_query_nodes, bool query_nodes,
				G_GNUC_UNUSED GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	GPtrArray *list = qapi_list_new_BlockStats();

	if (has_query_nodes && query_nodes)
		block_nodes_foreach(machine_block_nodes(machine), append_node_statistics, list);
	else
		device_tree_foreach(machine_devices(machine), false, append_device_statistics,
				    list);
	return list;
}

static void append_node(BlockNode *node, gpointer data)
{
	g_ptr_array_add(data, describe_node(node));
}

/* Without backing chains the list is flat whatever @flat says. */
GPtrArray *qmp_query_named_block_nodes(QmpContext *ctx, G_GNUC_UNUSED bool has_flat,
				       G_GNUC_UNUSED bool flat, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_BlockDeviceInfo();

	block_nodes_foreach(machine_block_nodes(qmp_context_machine(ctx)), append_node, list);
	return list;
}

bool qmp_blockdev_add(QmpContext *ctx, const QapiBlockdevOptions *args, GError **error)
{
	return block_nodes_add(machine_block_nodes(qmp_context_machine(ctx)), args, error);
}

static BlockNode *find_node(Machine *machine, const char *node_name, GError **error)
{
	BlockNode *node = block_nodes_find(machine_block_nodes(machine), node_name);

	if (!node)
		error_fail(error, "Cannot find node-name '%s'", node_name);
	return node;
}

bool qmp_blockdev_del(QmpContext *ctx, const char *node_name, GError **error)
{
	return block_nodes_remove(machine_block_nodes(qmp_context_machine(ctx)), node_name, error);
}

bool qmp_x_vireo_blockdev_replace(QmpContext *ctx, const char *id, const char *node_name,
				  GError **error)
{
	Device *device = monitor_find_drive(ctx, id, error);
	BlockNode *node =
		device ? find_node(qmp_context_machine(ctx), node_name, error) : NULL;

	if (!node)
		return false;
	if (virtio_blk_is(device))
		return virtio_blk_replace_node(device, node, error);
	if (scsi_disk_is(device))
		return scsi_disk_replace_node(device, node, error);
	return error_fail(error, "Device '%s' has no block node here", id);
}

bool qmp_block_resize(QmpContext *ctx, const char *device, const char *node_name, int64_t size,
		      GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	BlockNode *node;

	if (!device == !node_name)
		return error_fail(error, "give exactly one of 'device' and 'node-name'");
	if (device) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND,
			    "Device '%s' not found: nodes have names only", device);
		return false;
	}
	if (size < 0)
		return error_fail(error, "Parameter 'size' expects a size of 0 or more");
	node = find_node(machine, node_name, error);
	return node && block_node_resize(node, (uint64_t)size, error);
}
