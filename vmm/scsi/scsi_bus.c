/*
 * scsi_bus.c: the logical units of an adapter
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/scsi/scsi.h"
#include "vmm/scsi/scsi_layout.h"

typedef struct UnitChange {
	ScsiBus *bus;
	ScsiDisk *disk;
} UnitChange;

static bool is_taken(const Bus *bus, unsigned target, unsigned lun)
{
	for (guint i = 0; i < bus->children->len; i++) {
		const ScsiDisk *other = bus->children->pdata[i];

		if (other->target == target && other->lun == lun)
			return true;
	}
	return false;
}

/* As QEMU has it: without an address, LUN 0 of the first target that has none. */
static bool bus_claim(Bus *bus, Device *device, GError **error)
{
	ScsiDisk *disk = (ScsiDisk *)device;

	if (disk->channel != 0)
		return error_fail(error, "'%s' has channel 0 alone, and no channel %u", bus->name,
				  disk->channel);
	if (disk->lun == UINT32_MAX)
		disk->lun = 0;
	if (disk->target == UINT32_MAX) {
		disk->target = 0;
		while (disk->target < SCSI_TARGETS && is_taken(bus, disk->target, disk->lun))
			disk->target++;
	}
	if (disk->target >= SCSI_TARGETS || disk->lun >= SCSI_LUNS)
		return error_fail(error, "'%s' has no place for target %u, LUN %u", bus->name,
				  disk->target, disk->lun);
	if (is_taken(bus, disk->target, disk->lun))
		return error_fail(error, "LUN %u of target %u of '%s' is taken", disk->lun,
				  disk->target, bus->name);
	return true;
}

static void bus_release(G_GNUC_UNUSED Bus *bus, G_GNUC_UNUSED Device *device)
{
	/* The place is free when it is no child any more. */
}

static void add_on_loop(gpointer data)
{
	const UnitChange *change = data;

	g_ptr_array_add(change->bus->units, change->disk);
}

static void remove_on_loop(gpointer data)
{
	const UnitChange *change = data;

	g_ptr_array_remove(change->bus->units, change->disk);
}

static void bus_plugged(Bus *bus, Device *device)
{
	UnitChange change = { (ScsiBus *)bus, (ScsiDisk *)device };

	io_loop_run_sync(change.bus->loop, add_on_loop, &change);
	if (device->hotplugged)
		change.bus->tell(change.bus, change.disk, SCSI_NEWS_ADDED);
}

static void bus_unplugged(Bus *bus, Device *device)
{
	UnitChange change = { (ScsiBus *)bus, (ScsiDisk *)device };

	io_loop_run_sync(change.bus->loop, remove_on_loop, &change);
	/* No new ones reach it: what it has begun completes. */
	if (change.disk->node)
		block_node_drain(change.disk->node);
	change.bus->tell(change.bus, change.disk, SCSI_NEWS_REMOVED);
}

/* The guest is told, not asked. */
static bool bus_request_unplug(Bus *bus, Device *device, G_GNUC_UNUSED GError **error)
{
	device_tree_post_remove(bus->parent->tree, device);
	return true;
}

static const BusOps scsi_bus_ops = {
	.claim = bus_claim,
	.release = bus_release,
	.plugged = bus_plugged,
	.unplugged = bus_unplugged,
	.request_unplug = bus_request_unplug,
};

void scsi_bus_init(ScsiBus *bus, const char *name, Device *parent)
{
	bus->units = g_ptr_array_new();
	bus_init(&bus->bus, &scsi_bus_ops, SCSI_BUS_KIND, name, parent);
	bus->bus.hotplug = true;
	device_tree_add_bus(parent->tree, &bus->bus);
}

void scsi_bus_clear(ScsiBus *bus)
{
	device_tree_remove_bus(bus->bus.parent->tree, &bus->bus);
	bus_clear(&bus->bus);
	g_clear_pointer(&bus->units, g_ptr_array_unref);
}

ScsiDisk *scsi_bus_find(const ScsiBus *bus, unsigned target, unsigned lun, bool *has_target)
{
	*has_target = false;
	for (guint i = 0; i < bus->units->len; i++) {
		ScsiDisk *disk = bus->units->pdata[i];

		if (disk->target != target)
			continue;
		*has_target = true;
		if (disk->lun == lun)
			return disk;
	}
	return NULL;
}

void scsi_bus_report_luns(const ScsiBus *bus, unsigned target, const ScsiCommand *command,
			  ScsiOutcome *outcome)
{
	uint8_t list[8 + 8 * SCSI_LUNS] = {};
	uint32_t size = 8;

	/* SPC-4 §6.33: all, those without well known units, or only those, of which there are none. */
	if (command->cdb[2] > 2 || command->length < 16) {
		scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_CDB);
		return;
	}
	for (guint i = 0; i < bus->units->len && command->cdb[2] != 1; i++) {
		const ScsiDisk *disk = bus->units->pdata[i];

		if (disk->target != target)
			continue;
		list[size + 1] = (uint8_t)disk->lun;
		size += 8;
	}
	scsi_put_be32(list, size - 8);
	scsi_outcome_reply(outcome, list, size, command->length);
}

void scsi_bus_execute_without_unit(const ScsiBus *bus, unsigned target, const uint8_t *cdb,
				   ScsiOutcome *outcome)
{
	const uint8_t inquiry[36] = { SCSI_TYPE_NONE, 0, 5, 2, sizeof(inquiry) - 5 };
	const ScsiSense sense = { SCSI_ILLEGAL_REQUEST, SCSI_LUN_NOT_SUPPORTED };
	uint8_t data[SCSI_SENSE_SIZE];
	ScsiCommand command;

	scsi_outcome_init(outcome);
	scsi_command_parse(&command, cdb);
	switch (cdb[0]) {
	case SCSI_REPORT_LUNS:
		scsi_bus_report_luns(bus, target, &command, outcome);
		break;
	case SCSI_INQUIRY:
		scsi_outcome_reply(outcome, inquiry, sizeof(inquiry), scsi_get_be16(cdb + 3));
		break;
	case SCSI_REQUEST_SENSE:
		scsi_sense_format(&sense, data);
		scsi_outcome_reply(outcome, data, sizeof(data), command.length);
		break;
	default:
		scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_LUN_NOT_SUPPORTED);
		break;
	}
}
