/*
 * scsi.h: SCSI logical units, and what carries commands to them
 *
 * A host bus adapter (virtio_scsi.c) is the parent of a ScsiBus. On it are logical units, all of
 * them ScsiDisks so far. The adapter has a command carried out in two steps: scsi_disk_execute()
 * parses and answers it, or says what is to be done with the medium, which the adapter then submits
 * to the unit's block node.
 *
 * Threads: commands are executed on the adapter's I/O loop, which owns a unit's state. The main
 * thread changes that by io_loop_run_sync().
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block_error.h"
#include "vmm/device/device.h"

#define SCSI_BUS_KIND "SCSI"

#define SCSI_CDB_SIZE	   32u	 /* the longest that is looked at */
#define SCSI_SENSE_SIZE	   18u	 /* fixed format (SPC-4 §4.5.3) */
#define SCSI_PARAMETER_MAX 256u	 /* bytes of a parameter list that are looked at */
#define SCSI_REPLY_MAX	   4096u /* bytes that a command answers by itself */
#define SCSI_TARGETS	   256u
#define SCSI_LUNS	   256u /* of a target; single level, peripheral device addressing */

/* SAM-5 §5.3.1 */
enum {
	SCSI_STATUS_GOOD = 0x00,
	SCSI_STATUS_CHECK_CONDITION = 0x02,
	SCSI_STATUS_BUSY = 0x08,
};

typedef struct ScsiBus ScsiBus;
typedef struct ScsiDisk ScsiDisk;

/* Sense key, additional sense code and its qualifier (SPC-4 §4.5); all 0: nothing to say. */
typedef struct ScsiSense {
	uint8_t key, asc, ascq;
} ScsiSense;

/* A command descriptor block, parsed: what its group of operation codes has where (SPC-4 §4.2). */
typedef struct ScsiCommand {
	const uint8_t *cdb; /* SCSI_CDB_SIZE bytes */
	unsigned cdb_size;  /* of its group; 0: of a group that is not known */
	uint64_t lba;
	uint32_t length; /* blocks, or bytes of a reply or parameter list */
} ScsiCommand;

/* What becomes of a command. */
typedef struct ScsiOutcome {
	bool on_medium; /* the adapter is to do what follows; else all is done */
	BlockOperation operation;
	bool fua;
	uint64_t offset, size; /* bytes */

	uint8_t status;
	ScsiSense sense;
	uint32_t reply_size; /* bytes for the initiator, no more than it asked for */
	uint8_t reply[SCSI_REPLY_MAX];
} ScsiOutcome;

/* What the guest is told of by its own accord. */
typedef enum ScsiNews {
	SCSI_NEWS_ADDED,
	SCSI_NEWS_REMOVED,
	SCSI_NEWS_CAPACITY,
} ScsiNews;

struct ScsiBus {
	Bus bus;
	IoLoop *loop;
	/* The adapter's: tell the guest, if it listens. Main thread. */
	void (*tell)(ScsiBus *bus, const ScsiDisk *disk, ScsiNews news);
	/* The adapter's: call @func(@data) while no command is under way. Main thread. */
	void (*run_quiet)(ScsiBus *bus, void (*func)(gpointer data), gpointer data);
	/*
	 * The adapter's: commands of @disk that it holds need no medium any more. Main thread.
	 */
	void (*release_held)(ScsiBus *bus, const ScsiDisk *disk);
	/* The units that commands reach; loop thread. */
	GPtrArray *units;
};

struct ScsiDisk {
	Device device;

	/* Properties. */
	char *drive, *serial, *vendor, *product, *version, *device_id;
	uint32_t channel, target, lun;
	int32_t boot_index;
	uint64_t logical_block_size, physical_block_size;
	uint16_t rotation_rate;
	int write_cache; /* OnOffAuto */
	BlockErrorPolicies errors;

	bool is_cd;

	/* The loop's, or the main thread's while it stands still. */
	BlockNode *node; /* NULL: no medium */
	BlockLimits limits;
	uint64_t size;	/* bytes of the medium */
	bool tray_open, locked;
	bool writeback;
	ScsiSense attention; /* a unit attention condition; key 0: none */
	uint8_t media_event; /* of GET EVENT STATUS NOTIFICATION, not fetched yet */
	unsigned n_busy;     /* commands that are with the block node, or held */
	gint held_error;     /* atomic: errno of the last one held, 0: none is */
};

extern const DeviceType scsi_hd_type; /* "scsi-hd" */
extern const DeviceType scsi_cd_type; /* "scsi-cd" */

/* Whether @device is one of the two. */
bool scsi_disk_is(const Device *device);

/* scsi_bus.c */

/*
 * Add @bus, whose loop and tell are set, below @parent and call it @name. And take it away; no unit
 * is left on it. Main thread.
 */
void scsi_bus_init(ScsiBus *bus, const char *name, Device *parent);
void scsi_bus_clear(ScsiBus *bus);

/* The unit there, or NULL; *@has_target: whether the target has any. Loop thread. */
ScsiDisk *scsi_bus_find(const ScsiBus *bus, unsigned target, unsigned lun, bool *has_target);

/* Answer a command to a LUN of a target that has others, but not this one. Loop thread. */
void scsi_bus_execute_without_unit(const ScsiBus *bus, unsigned target, const uint8_t *cdb,
				   ScsiOutcome *outcome);

/* Append what REPORT LUNS says of @target to @outcome. Loop thread. */
void scsi_bus_report_luns(const ScsiBus *bus, unsigned target, const ScsiCommand *command,
			  ScsiOutcome *outcome);

/* scsi_command.c; any thread */

/* Parse @cdb, SCSI_CDB_SIZE bytes that stay. */
void scsi_command_parse(ScsiCommand *command, const uint8_t *cdb);

/* Nothing said yet: GOOD, and done. Leaves the reply's bytes as they are. */
void scsi_outcome_init(ScsiOutcome *outcome);

/* End in CHECK CONDITION with such sense data. */
void scsi_outcome_fail(ScsiOutcome *outcome, uint8_t key, uint8_t asc, uint8_t ascq);

/* Answer with the first bytes of @data, as many as were allocated for them. */
void scsi_outcome_reply(ScsiOutcome *outcome, const void *data, uint32_t size, uint32_t allocated);

/* @sense as the initiator gets it. */
void scsi_sense_format(const ScsiSense *sense, uint8_t data[SCSI_SENSE_SIZE]);

/* scsi_disk.c, scsi_disk_commands.c, scsi_cd_commands.c: loop thread */

/*
 * Carry out the command @cdb (SCSI_CDB_SIZE bytes) whose data for the unit starts with @parameters,
 * @n_parameters bytes of it. *@outcome is all set.
 */
void scsi_disk_execute(ScsiDisk *disk, const uint8_t *cdb, const uint8_t *parameters,
		       unsigned n_parameters, ScsiOutcome *outcome);

/* The same for what only CD drives have; false: it has no such command. */
bool scsi_cd_execute(ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome);

/* The block node failed with @error (positive errno) at @operation: what the initiator hears. */
void scsi_disk_error(BlockOperation operation, int error, ScsiSense *sense);

/* Whether there is a medium that can be read; else @outcome is failed. */
bool scsi_disk_check_medium(const ScsiDisk *disk, ScsiOutcome *outcome);

/* Bytes of a logical block, and how many of them there are. */
uint32_t scsi_disk_block_size(const ScsiDisk *disk);
uint64_t scsi_disk_n_blocks(const ScsiDisk *disk);

/* The guest moves the tray. */
void scsi_disk_move_tray(ScsiDisk *disk, bool open);

/* Media events (MMC-5 §6.7.2.5). */
enum {
	SCSI_MEDIA_NO_CHANGE = 0,
	SCSI_MEDIA_EJECT_REQUEST = 1,
	SCSI_MEDIA_NEW = 2,
	SCSI_MEDIA_REMOVAL = 3,
};

/* scsi_media.c: the drive as the host's user handles it. Main thread; false and @error as QMP. */

typedef struct ScsiDiskInfo {
	BlockNode *node;
	bool removable, tray_open, locked, writeback;
	QapiBlockDeviceIoStatus io_status;
} ScsiDiskInfo;

/* What there is to be seen of it. */
void scsi_disk_get_info(Device *device, ScsiDiskInfo *info);
/* The medium's node, or NULL. */
BlockNode *scsi_disk_node(Device *device);
/* Where the guest has locked the tray it is asked to open it, unless @force. */
bool scsi_disk_open_tray(Device *device, bool force, GError **error);
bool scsi_disk_close_tray(Device *device, GError **error);
bool scsi_disk_remove_medium(Device *device, GError **error);
bool scsi_disk_insert_medium(Device *device, BlockNode *node, GError **error);
/*
 * Have the disk @device, which is no drive, served by @node in place of the node that it has, which
 * is free then. What the guest knows of the disk must hold for it; a larger disk is told.
 */
bool scsi_disk_replace_node(Device *device, BlockNode *node, GError **error);

/* For realize and unrealize: attach @node, and let go of the one that is there. Main thread. */
bool scsi_disk_attach(ScsiDisk *disk, BlockNode *node, GError **error);
void scsi_disk_detach(ScsiDisk *disk);
