/*
 * scsi_disk.c: disks and CD drives on a SCSI bus
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/scsi/scsi.h"
#include "vmm/scsi/scsi_layout.h"

#define CD_BLOCK_SIZE 2048u
#define SECTOR_SIZE   512u

bool scsi_disk_is(const Device *device)
{
	return device->type == &scsi_hd_type || device->type == &scsi_cd_type;
}

/* Block sizes that were not asked for are the node's. */
static bool settle_sizes(ScsiDisk *disk, BlockNode *node, GError **error)
{
	BlockLimits limits = {};

	if (node)
		block_node_get_limits(node, &limits);
	if (disk->is_cd)
		disk->logical_block_size = CD_BLOCK_SIZE;
	else if (!disk->logical_block_size)
		disk->logical_block_size = MAX(SECTOR_SIZE, limits.logical_block_size);
	if (!disk->physical_block_size)
		disk->physical_block_size = disk->is_cd ? CD_BLOCK_SIZE
							: MAX(disk->logical_block_size,
							      limits.physical_block_size);
	return disk->physical_block_size >= disk->logical_block_size ||
	       error_fail(error, "physical_block_size is less than logical_block_size");
}

/* What is longer than its place in a reply would be cut there. */
static bool check_texts(const ScsiDisk *disk, GError **error)
{
	const struct {
		const char *name, *text;
		size_t maximum;
	} texts[] = {
		{ "vendor", disk->vendor, SCSI_VENDOR_SIZE },
		{ "product", disk->product, SCSI_PRODUCT_SIZE },
		{ "ver", disk->version, SCSI_REVISION_SIZE },
		{ "serial", disk->serial, SCSI_SERIAL_MAX },
		{ "device_id", disk->device_id, SCSI_SERIAL_MAX },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		if (texts[i].text && strlen(texts[i].text) > texts[i].maximum)
			return error_fail(error, "%s=%s is longer than %zu bytes", texts[i].name,
					  texts[i].text, texts[i].maximum);
	}
	return true;
}

static bool disk_realize(Device *device, GError **error)
{
	ScsiDisk *disk = (ScsiDisk *)device;
	DeviceServices *services = device->services;
	BlockNode *node = NULL;

	if (!check_texts(disk, error))
		return false;
	disk->is_cd = device->type == &scsi_cd_type;
	if (disk->drive) {
		node = services->find_block_node(services, disk->drive);
		if (!node)
			return error_fail(error, "there is no block node '%s'", disk->drive);
	} else if (!disk->is_cd) {
		return error_fail(error, "device 'scsi-hd' needs property 'drive'");
	}
	disk->writeback = disk->write_cache != ON_OFF_AUTO_OFF;
	return settle_sizes(disk, node, error) && (!node || scsi_disk_attach(disk, node, error));
}

static void disk_unrealize(Device *device)
{
	scsi_disk_detach((ScsiDisk *)device);
}

/* Nothing runs: the state is the main thread's. The tray stays as it is. */
static void disk_reset(Device *device)
{
	ScsiDisk *disk = (ScsiDisk *)device;

	disk->locked = false;
	disk->media_event = SCSI_MEDIA_NO_CHANGE;
	disk->attention = (ScsiSense){ SCSI_UNIT_ATTENTION, SCSI_POWER_ON_OR_RESET };
	disk->writeback = disk->write_cache != ON_OFF_AUTO_OFF;
	if (disk->node)
		block_node_set_write_cache(disk->node, disk->writeback);
}

static bool disk_loaded(void *object, GError **error)
{
	ScsiDisk *disk = object;

	if (disk->media_event > SCSI_MEDIA_REMOVAL || (!disk->is_cd && (disk->tray_open || disk->locked)))
		return error_fail(error, "%s cannot be in such a state", disk->device.path);
	if (disk->node)
		block_node_set_write_cache(disk->node, disk->writeback);
	return true;
}

static const StateTable disk_state = {
	.name = "scsi-disk",
	.version = 1,
	.minimum_version = 1,
	.after_load = disk_loaded,
	.fields =
		(const StateField[]){
			STATE_FIELD(ScsiDisk, tray_open, STATE_BOOL),
			STATE_FIELD(ScsiDisk, locked, STATE_BOOL),
			STATE_FIELD(ScsiDisk, writeback, STATE_BOOL),
			STATE_FIELD(ScsiDisk, media_event, STATE_UINT8),
			STATE_FIELD(ScsiDisk, attention.key, STATE_UINT8),
			STATE_FIELD(ScsiDisk, attention.asc, STATE_UINT8),
			STATE_FIELD(ScsiDisk, attention.ascq, STATE_UINT8),
			STATE_END,
		},
};

#define ADDRESS(name_, member, maximum_, initial_, what)                                 \
	{                                                                                \
		.name = name_, .kind = PROPERTY_UINT32, .offset = offsetof(ScsiDisk, member), \
		.initial = (initial_), .maximum = (maximum_), .description = what        \
	}
#define TEXT(name_, member, initial_, what)                                              \
	{                                                                                \
		.name = name_, .kind = PROPERTY_STRING, .offset = offsetof(ScsiDisk, member), \
		.initial_text = (initial_), .description = what                          \
	}
#define BLOCK_SIZE(name_, member, what)                                                \
	{                                                                              \
		.name = name_, .kind = PROPERTY_SIZE, .offset = offsetof(ScsiDisk, member), \
		.maximum = 32768, .power_of_two = true, .description = what            \
	}

static const Property common_properties[] = {
	{ .name = "bootindex",
	  .kind = PROPERTY_INT32,
	  .offset = offsetof(ScsiDisk, boot_index),
	  .initial = (uint64_t)-1,
	  .description = "place in the order of booting, lowest first; -1: none" },
	{ .name = "channel",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(ScsiDisk, channel),
	  .description = "channel, of which there is one: 0" },
	ADDRESS("scsi-id", target, UINT32_MAX, UINT32_MAX,
		"target, 0 to 255 (default: the first that is free)"),
	ADDRESS("lun", lun, UINT32_MAX, UINT32_MAX, "logical unit of the target, 0 to 255 (default: 0)"),
	TEXT("serial", serial, NULL, "serial number, 200 bytes at most"),
	TEXT("vendor", vendor, "VIREO", "vendor, 8 bytes at most"),
	TEXT("product", product, NULL, "product, 16 bytes at most"),
	TEXT("ver", version, "1.0", "revision, 4 bytes at most"),
	TEXT("device_id", device_id, NULL, "identification, 200 bytes at most (default: the serial number)"),
	{ .name = "werror",
	  .kind = PROPERTY_ENUM,
	  .offset = offsetof(ScsiDisk, errors.write),
	  .enum_names = block_error_policy_names,
	  .description = "what to do about failed writes (auto: enospc)" },
	{ .name = "rerror",
	  .kind = PROPERTY_ENUM,
	  .offset = offsetof(ScsiDisk, errors.read),
	  .enum_names = block_error_policy_names,
	  .description = "what to do about failed reads (auto: report)" },
	PROPERTY_END,
};

static const Property hd_properties[] = {
	{ .name = "drive",
	  .kind = PROPERTY_NODE,
	  .offset = offsetof(ScsiDisk, drive),
	  .required = true,
	  .description = "block node to serve" },
	BLOCK_SIZE("logical_block_size", logical_block_size, "bytes; 0: the node's"),
	BLOCK_SIZE("physical_block_size", physical_block_size, "bytes; 0: the node's"),
	{ .name = "rotation_rate",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(ScsiDisk, rotation_rate),
	  .description = "rotations a minute; 1: does not rotate; 0: not told" },
	{ .name = "write-cache",
	  .kind = PROPERTY_ON_OFF_AUTO,
	  .offset = offsetof(ScsiDisk, write_cache),
	  .description = "write-back cache at reset (auto: on)" },
	PROPERTY_END,
};

static const Property cd_properties[] = {
	{ .name = "drive",
	  .kind = PROPERTY_NODE,
	  .offset = offsetof(ScsiDisk, drive),
	  .description = "block node that is in the drive (default: none)" },
	PROPERTY_END,
};

#define DISK_TYPE(name_, description_, properties_)                                         \
	{                                                                                   \
		.name = name_, .description = description_, .category = "Storage",          \
		.bus_kind = SCSI_BUS_KIND, .instance_size = sizeof(ScsiDisk),               \
		.properties = { properties_, common_properties }, .state = &disk_state,     \
		.hotpluggable = true, .user_creatable = true, .realize = disk_realize,      \
		.unrealize = disk_unrealize, .reset = disk_reset,                           \
	}

const DeviceType scsi_hd_type = DISK_TYPE("scsi-hd", "SCSI disk", hd_properties);
const DeviceType scsi_cd_type = DISK_TYPE("scsi-cd", "SCSI CD drive", cd_properties);
