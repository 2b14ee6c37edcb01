/*
 * scsi_media.c: media in and out of a drive, by its guest and by the host's user
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/scsi/scsi.h"
#include "vmm/scsi/scsi_layout.h"

static ScsiBus *scsi_bus_of(const ScsiDisk *disk)
{
	return (ScsiBus *)disk->device.bus;
}

void scsi_disk_move_tray(ScsiDisk *disk, bool open)
{
	if (disk->tray_open == open)
		return;
	disk->tray_open = open;
	if (disk->node) {
		disk->media_event = open ? SCSI_MEDIA_REMOVAL : SCSI_MEDIA_NEW;
		if (!open)
			disk->attention =
				(ScsiSense){ SCSI_UNIT_ATTENTION, SCSI_MEDIUM_MAY_HAVE_CHANGED };
	}
	qapi_event_device_tray_moved(disk->device.services->events, "",
				     disk->device.id ? disk->device.id : disk->device.path, open);
}

/* What the loop does for the main thread. */
typedef struct MediaChange {
	ScsiDisk *disk;
	bool open, force;
	bool done;
	BlockNode *node;
	ScsiDiskInfo info;
} MediaChange;

static void run(MediaChange *change, IoLoopFunc func)
{
	io_loop_run_sync(scsi_bus_of(change->disk)->loop, func, change);
}

static void info_on_loop(gpointer data)
{
	MediaChange *change = data;
	const ScsiDisk *disk = change->disk;

	change->info = (ScsiDiskInfo){ .node = disk->node,
				       .removable = disk->is_cd,
				       .tray_open = disk->tray_open,
				       .locked = disk->locked,
				       .writeback = disk->writeback,
				       .io_status = block_error_io_status(
					       g_atomic_int_get(&disk->held_error)) };
}

void scsi_disk_get_info(Device *device, ScsiDiskInfo *info)
{
	MediaChange change = { .disk = (ScsiDisk *)device };

	run(&change, info_on_loop);
	*info = change.info;
}

BlockNode *scsi_disk_node(Device *device)
{
	ScsiDiskInfo info;

	scsi_disk_get_info(device, &info);
	return info.node;
}

static bool is_drive(Device *device, GError **error)
{
	return ((ScsiDisk *)device)->is_cd ||
	       error_fail(error, "Device '%s' is not removable", device->id ? device->id : device->path);
}

static void open_on_loop(gpointer data)
{
	MediaChange *change = data;
	ScsiDisk *disk = change->disk;

	change->done = disk->tray_open || change->force || !disk->locked;
	if (change->done)
		scsi_disk_move_tray(disk, true);
	else
		disk->media_event = SCSI_MEDIA_EJECT_REQUEST;
}

bool scsi_disk_open_tray(Device *device, bool force, GError **error)
{
	MediaChange change = { .disk = (ScsiDisk *)device, .force = force };

	if (!is_drive(device, error))
		return false;
	run(&change, open_on_loop);
	return change.done ||
	       error_fail(error,
			  "Device '%s' is locked and force was not specified, wait for tray to open and try again",
			  device->id ? device->id : device->path);
}

static void close_on_loop(gpointer data)
{
	scsi_disk_move_tray(((MediaChange *)data)->disk, false);
}

bool scsi_disk_close_tray(Device *device, GError **error)
{
	MediaChange change = { .disk = (ScsiDisk *)device };

	if (!is_drive(device, error))
		return false;
	run(&change, close_on_loop);
	return true;
}

static void take_out_on_loop(gpointer data)
{
	MediaChange *change = data;

	change->node = g_steal_pointer(&change->disk->node);
	change->disk->size = 0;
}

void scsi_disk_detach(ScsiDisk *disk)
{
	MediaChange change = { .disk = disk };

	run(&change, take_out_on_loop);
	if (!change.node)
		return;
	/* What the guest has begun to read is read to the end. */
	block_node_drain(change.node);
	scsi_bus_of(disk)->release_held(scsi_bus_of(disk), disk);
	block_node_detach(change.node);
}

bool scsi_disk_remove_medium(Device *device, GError **error)
{
	ScsiDiskInfo info;

	if (!is_drive(device, error))
		return false;
	scsi_disk_get_info(device, &info);
	if (!info.tray_open)
		return error_fail(error, "Tray of device '%s' is not open",
				  device->id ? device->id : device->path);
	scsi_disk_detach((ScsiDisk *)device);
	return true;
}

static void resized_on_loop(gpointer data)
{
	ScsiDisk *disk = data;

	disk->size = disk->limits.size;
	disk->attention = (ScsiSense){ SCSI_UNIT_ATTENTION, SCSI_CAPACITY_HAS_CHANGED };
}

static void node_resized(void *opaque, uint64_t size)
{
	ScsiDisk *disk = opaque;

	disk->limits.size = size;
	io_loop_run_sync(scsi_bus_of(disk)->loop, resized_on_loop, disk);
	scsi_bus_of(disk)->tell(scsi_bus_of(disk), disk, SCSI_NEWS_CAPACITY);
}

static const BlockNodeListener node_listener = { .resized = node_resized };

static void put_in_on_loop(gpointer data)
{
	MediaChange *change = data;
	ScsiDisk *disk = change->disk;

	disk->node = change->node;
	disk->size = disk->limits.size;
	block_node_set_write_cache(disk->node, disk->writeback);
}

/* Attach @node, as what @disk has or is going to have. */
static bool attach_node(ScsiDisk *disk, BlockNode *node, const BlockLimits *limits, bool writable,
			GError **error)
{
	IoLoop *const loops[] = { scsi_bus_of(disk)->loop };
	const BlockUser user = {
		.name = disk->device.id ? disk->device.id : disk->device.path,
		.loops = loops,
		.n_loops = G_N_ELEMENTS(loops),
		.writable = writable,
		.is_live = disk->device.services->is_running(disk->device.services),
		.listener = &node_listener,
		.opaque = disk,
	};

	if (limits->logical_block_size > disk->logical_block_size)
		return error_fail(error,
				  "blocks of %" G_GUINT64_FORMAT
				  " bytes are smaller than those of node '%s', %u bytes",
				  disk->logical_block_size, block_node_name(node),
				  limits->logical_block_size);
	return block_node_attach(node, &user, error);
}

bool scsi_disk_attach(ScsiDisk *disk, BlockNode *node, GError **error)
{
	MediaChange change = { .disk = disk, .node = node };
	BlockLimits limits;

	block_node_get_limits(node, &limits);
	if (!attach_node(disk, node, &limits, !disk->is_cd && !limits.read_only, error))
		return false;
	disk->limits = limits;
	run(&change, put_in_on_loop);
	return true;
}

/* What the main thread does while the adapter stands still. */
typedef struct Replacement {
	MediaChange change; /* of the new node */
	BlockNode *old;
	GError **error;
} Replacement;

static void replace_quietly(gpointer data)
{
	Replacement *replacement = data;
	MediaChange *change = &replacement->change;

	change->done = block_node_inherit(change->node, replacement->old, replacement->error);
	if (!change->done)
		return;
	block_node_succeed(change->node, replacement->old);
	run(change, put_in_on_loop);
}

bool scsi_disk_replace_node(Device *device, BlockNode *node, GError **error)
{
	ScsiDisk *disk = (ScsiDisk *)device;
	BlockNode *old = disk->node;
	Replacement replacement = { .change = { .disk = disk, .node = node },
				    .old = old,
				    .error = error };
	BlockLimits limits;

	if (disk->is_cd)
		return error_fail(error, "device '%s' is a drive, whose medium can be changed",
				  device->id ? device->id : device->path);
	block_node_get_limits(node, &limits);
	if (limits.size < disk->limits.size)
		return error_fail(error,
				  "node '%s' has %" G_GUINT64_FORMAT
				  " bytes, fewer than the disk's %" G_GUINT64_FORMAT,
				  block_node_name(node), limits.size, disk->limits.size);
	if (limits.read_only && !disk->limits.read_only)
		return error_fail(error, "node '%s' is read-only, and the disk is not",
				  block_node_name(node));
	if (!attach_node(disk, node, &limits, !disk->limits.read_only, error))
		return false;
	scsi_bus_of(disk)->run_quiet(scsi_bus_of(disk), replace_quietly, &replacement);
	if (!replacement.change.done) {
		block_node_detach(node);
		return false;
	}
	block_node_detach(old);
	if (limits.size > disk->limits.size)
		node_resized(disk, limits.size);
	return true;
}

bool scsi_disk_insert_medium(Device *device, BlockNode *node, GError **error)
{
	ScsiDiskInfo info;

	if (!is_drive(device, error))
		return false;
	scsi_disk_get_info(device, &info);
	if (!info.tray_open)
		return error_fail(error, "Tray of device '%s' is not open",
				  device->id ? device->id : device->path);
	if (info.node)
		return error_fail(error, "There already is a medium in device '%s'",
				  device->id ? device->id : device->path);
	return scsi_disk_attach((ScsiDisk *)device, node, error);
}
