/*
 * monitor_block_media.c: QMP commands for trays and the media on them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "vmm/base/error.h"
#include "vmm/machine/machine.h"
#include "vmm/scsi/scsi.h"

/* The drive @id; drives have no names in @name. */
static Device *find_drive(QmpContext *ctx, const char *name, const char *id, GError **error)
{
	Device *device;

	if (!name == !id) {
		error_fail(error, "Need exactly one of 'device' and 'id'");
		return NULL;
	}
	device = id ? device_tree_find(machine_devices(qmp_context_machine(ctx)), id) : NULL;
	if (!device) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
			    id ? id : name);
		return NULL;
	}
	if (scsi_disk_is(device))
		return device;
	error_fail(error, "Device '%s' is not removable", id);
	return NULL;
}

bool qmp_blockdev_open_tray(QmpContext *ctx, const char *device, const char *id, bool has_force,
			    bool force, GError **error)
{
	Device *drive = find_drive(ctx, device, id, error);

	return drive && scsi_disk_open_tray(drive, has_force && force, error);
}

bool qmp_blockdev_close_tray(QmpContext *ctx, const char *device, const char *id, GError **error)
{
	Device *drive = find_drive(ctx, device, id, error);

	return drive && scsi_disk_close_tray(drive, error);
}

bool qmp_blockdev_remove_medium(QmpContext *ctx, const char *id, GError **error)
{
	Device *drive = find_drive(ctx, NULL, id, error);

	return drive && scsi_disk_remove_medium(drive, error);
}

bool qmp_blockdev_insert_medium(QmpContext *ctx, const char *id, const char *node_name,
				GError **error)
{
	Device *drive = find_drive(ctx, NULL, id, error);
	BlockNode *node;

	if (!drive)
		return false;
	node = block_nodes_find(machine_block_nodes(qmp_context_machine(ctx)), node_name);
	if (!node)
		return error_fail(error, "Cannot find device='' nor node-name='%s'", node_name);
	return scsi_disk_insert_medium(drive, node, error);
}

bool qmp_eject(QmpContext *ctx, const char *device, const char *id, bool has_force, bool force,
	       GError **error)
{
	Device *drive = find_drive(ctx, device, id, error);

	return drive && scsi_disk_open_tray(drive, has_force && force, error) &&
	       scsi_disk_remove_medium(drive, error);
}
