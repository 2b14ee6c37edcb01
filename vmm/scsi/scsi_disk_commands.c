/*
 * scsi_disk_commands.c: what disks and CD drives do when told (SPC-4, SBC-3)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "vmm/scsi/scsi.h"
#include "vmm/scsi/scsi_layout.h"

#define UNMAP_BYTES_MAX (UINT64_C(2) << 30) /* in one command */
#define CACHING_PAGE	0x08
#define CAPABILITY_PAGE 0x2a
#define RECOVERY_PAGE	0x01
#define ALL_PAGES	0x3f
#define WCE		0x04

static void fail_request(ScsiOutcome *outcome)
{
	scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_CDB);
}

uint32_t scsi_disk_block_size(const ScsiDisk *disk)
{
	return (uint32_t)disk->logical_block_size;
}

uint64_t scsi_disk_n_blocks(const ScsiDisk *disk)
{
	return disk->size / disk->logical_block_size;
}

bool scsi_disk_check_medium(const ScsiDisk *disk, ScsiOutcome *outcome)
{
	if (disk->node && !disk->tray_open)
		return true;
	if (disk->tray_open)
		scsi_outcome_fail(outcome, SCSI_NOT_READY, SCSI_MEDIUM_NOT_PRESENT_OPEN);
	else
		scsi_outcome_fail(outcome, SCSI_NOT_READY, SCSI_MEDIUM_NOT_PRESENT_CLOSED);
	return false;
}

void scsi_disk_error(BlockOperation operation, int error, ScsiSense *sense)
{
	if (error == ENOSPC)
		*sense = (ScsiSense){ SCSI_DATA_PROTECT, SCSI_SPACE_ALLOCATION_FAILED };
	else if (operation == BLOCK_READ)
		*sense = (ScsiSense){ SCSI_MEDIUM_ERROR, SCSI_UNRECOVERED_READ_ERROR };
	else if (operation == BLOCK_WRITE)
		*sense = (ScsiSense){ SCSI_MEDIUM_ERROR, SCSI_WRITE_ERROR };
	else
		*sense = (ScsiSense){ SCSI_HARDWARE_ERROR, SCSI_TARGET_FAILURE };
}

/* Inquiry (SPC-4 §6.6) */

/* Text, cut to or filled up with spaces to @size bytes. */
static void put_text(uint8_t *at, size_t size, const char *text)
{
	memset(at, ' ', size);
	memcpy(at, text, MIN(strlen(text), size));
}

static void inquiry_standard(const ScsiDisk *disk, uint32_t allocated, ScsiOutcome *outcome)
{
	uint8_t data[36] = { disk->is_cd ? SCSI_TYPE_CD : SCSI_TYPE_DISK, disk->is_cd ? 0x80 : 0,
			     5 /* SPC-3 */, 0x12 /* HISUP, format 2 */, sizeof(data) - 5 };

	data[7] = 0x02; /* CMDQUE */
	put_text(data + 8, SCSI_VENDOR_SIZE, disk->vendor);
	put_text(data + 16, SCSI_PRODUCT_SIZE,
		 disk->product ? disk->product : disk->is_cd ? "VIREO CD-ROM" : "VIREO HARDDISK");
	put_text(data + 32, SCSI_REVISION_SIZE, disk->version);
	scsi_outcome_reply(outcome, data, sizeof(data), allocated);
}

/* §7.8: the pages there are, ascending. Returns their number. */
static unsigned list_pages(const ScsiDisk *disk, uint8_t pages[6])
{
	unsigned n = 0;

	pages[n++] = 0x00;
	if (disk->serial)
		pages[n++] = 0x80;
	pages[n++] = 0x83;
	if (!disk->is_cd) {
		pages[n++] = 0xb0;
		pages[n++] = 0xb1;
		pages[n++] = 0xb2;
	}
	return n;
}

/* One designator: vendor specific, in ASCII. */
static unsigned put_designator(const ScsiDisk *disk, uint8_t *at)
{
	const char *id = disk->device_id ? disk->device_id : disk->serial;
	size_t size = id ? MIN(strlen(id), SCSI_SERIAL_MAX) : 0;

	if (size == 0)
		return 0;
	at[0] = 0x02; /* code set */
	at[3] = (uint8_t)size;
	memcpy(at + 4, id, size);
	return (unsigned)size + 4;
}

/* SBC-3 §6.6.3 */
static unsigned put_block_limits(const ScsiDisk *disk, uint8_t *at)
{
	uint32_t block = scsi_disk_block_size(disk);

	scsi_put_be16(at + 2, (uint16_t)(MAX(disk->physical_block_size, block) / block));
	scsi_put_be32(at + 8, disk->limits.opt_io_size / block);
	if (disk->limits.discard_granularity && !disk->limits.read_only) {
		scsi_put_be32(at + 16, (uint32_t)(UNMAP_BYTES_MAX / block));
		scsi_put_be32(at + 20, 1); /* descriptors */
		scsi_put_be32(at + 24, MAX(disk->limits.discard_granularity, block) / block);
	}
	return 60;
}

static void inquiry_page(const ScsiDisk *disk, uint8_t page, uint32_t allocated, ScsiOutcome *outcome)
{
	uint8_t data[4 + 252] = { disk->is_cd ? SCSI_TYPE_CD : SCSI_TYPE_DISK, page };
	uint8_t pages[6], *at = data + 4;
	unsigned n_pages = list_pages(disk, pages), size = 0;

	if (!memchr(pages, page, n_pages)) {
		fail_request(outcome);
		return;
	}
	switch (page) {
	case 0x00:
		memcpy(at, pages, n_pages);
		size = n_pages;
		break;
	case 0x80:
		size = (unsigned)MIN(strlen(disk->serial), SCSI_SERIAL_MAX);
		memcpy(at, disk->serial, size);
		break;
	case 0x83:
		size = put_designator(disk, at);
		break;
	case 0xb0:
		size = put_block_limits(disk, at);
		break;
	case 0xb1:
		scsi_put_be16(at, disk->rotation_rate);
		size = 60;
		break;
	case 0xb2:
		if (disk->limits.discard_granularity && !disk->limits.read_only) {
			at[1] = 0x80; /* LBPU: UNMAP */
			at[2] = 2;    /* thin */
		}
		size = 4;
		break;
	}
	scsi_put_be16(data + 2, (uint16_t)size);
	scsi_outcome_reply(outcome, data, size + 4, allocated);
}

static void inquiry(const ScsiDisk *disk, const uint8_t *cdb, ScsiOutcome *outcome)
{
	uint16_t allocated = scsi_get_be16(cdb + 3);

	if (cdb[1] & 0x01)
		inquiry_page(disk, cdb[2], allocated, outcome);
	else if (cdb[2] != 0)
		fail_request(outcome);
	else
		inquiry_standard(disk, allocated, outcome);
}

/* Mode pages (SPC-4 §7.5) */

/* Append @page of @disk: what it is, or what could be changed in it. Returns its size; 0: none. */
static unsigned put_page(const ScsiDisk *disk, uint8_t page, bool changeable, uint8_t *at)
{
	switch (page) {
	case RECOVERY_PAGE:
		at[0] = page;
		at[1] = 10;
		if (!changeable)
			at[2] = disk->is_cd ? 0x20 : 0x80;
		return 12;
	case CACHING_PAGE:
		if (disk->is_cd)
			return 0;
		at[0] = page;
		at[1] = 18;
		at[2] = changeable || disk->writeback ? WCE : 0;
		return 20;
	case CAPABILITY_PAGE: /* MMC-3 §5.5.10 */
		if (!disk->is_cd)
			return 0;
		at[0] = page;
		at[1] = 20;
		if (changeable)
			return 22;
		at[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
		at[4] = 0x70; /* multisession, mode 2 forms 1 and 2 */
		at[6] = (uint8_t)(0x29 | (disk->locked ? 0x02 : 0)); /* a tray, ejects, locks */
		return 22;
	default:
		return 0;
	}
}

static void mode_sense(const ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	static const uint8_t pages[] = { RECOVERY_PAGE, CACHING_PAGE, CAPABILITY_PAGE };
	const uint8_t *cdb = command->cdb;
	bool is_long = cdb[0] == SCSI_MODE_SENSE_10;
	uint8_t control = cdb[2] >> 6, page = cdb[2] & 0x3f, data[128] = {};
	unsigned header = is_long ? 8 : 4, size = header, before;

	if (control == 3) {
		scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_SAVING_NOT_SUPPORTED);
		return;
	}
	if (!disk->is_cd)
		data[is_long ? 3 : 2] = (uint8_t)(0x10 /* DPOFUA */ |
						  (disk->limits.read_only ? 0x80 : 0));
	if (!disk->is_cd && !(cdb[1] & 0x08)) {
		data[is_long ? 7 : 3] = 8;
		scsi_put_be32(data + size,
			      (uint32_t)MIN(scsi_disk_n_blocks(disk), 0xffffffu));
		scsi_put_be32(data + size + 4, scsi_disk_block_size(disk));
		size += 8;
	}
	before = size;
	for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
		if (page == ALL_PAGES || page == pages[i])
			size += put_page(disk, pages[i], control == 1, data + size);
	}
	if (size == before) {
		fail_request(outcome);
		return;
	}
	if (is_long)
		scsi_put_be16(data, (uint16_t)(size - 2));
	else
		data[0] = (uint8_t)(size - 1);
	scsi_outcome_reply(outcome, data, size, command->length);
}

/* The one thing that can be changed is the write cache. */
static void mode_select(ScsiDisk *disk, const ScsiCommand *command, const uint8_t *list,
			unsigned n_list, ScsiOutcome *outcome)
{
	bool is_long = command->cdb[0] == SCSI_MODE_SELECT_10, writeback = disk->writeback;
	unsigned header = is_long ? 8 : 4, size = MIN(n_list, command->length), at;
	uint8_t now[32];

	if (size == 0)
		return;
	if (command->cdb[1] & 0x01) { /* save pages */
		fail_request(outcome);
		return;
	}
	if (size < header || command->length > SCSI_PARAMETER_MAX) {
		scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_PARAMETER_LENGTH_ERROR);
		return;
	}
	at = header + (is_long ? scsi_get_be16(list + 6) : list[3]);
	while (at < size) {
		unsigned page_size = put_page(disk, list[at] & 0x3f, false, memset(now, 0, sizeof(now)));

		if (page_size == 0 || at + page_size > size || list[at + 1] != page_size - 2) {
			scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_LIST);
			return;
		}
		if (now[0] == CACHING_PAGE) {
			writeback = list[at + 2] & WCE;
			now[2] = (uint8_t)((now[2] & ~WCE) | (list[at + 2] & WCE));
		}
		if (memcmp(now + 2, list + at + 2, page_size - 2) != 0) {
			scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_LIST);
			return;
		}
		at += page_size;
	}
	disk->writeback = writeback;
	if (disk->node)
		block_node_set_write_cache(disk->node, writeback);
}

/* The medium (SBC-3 §5) */

static void read_capacity(const ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	uint32_t block = scsi_disk_block_size(disk);
	uint64_t last = scsi_disk_n_blocks(disk) - 1;
	uint8_t data[32] = {};

	if (!scsi_disk_check_medium(disk, outcome))
		return;
	if (scsi_disk_n_blocks(disk) == 0) {
		scsi_outcome_fail(outcome, SCSI_NOT_READY, SCSI_MEDIUM_NOT_PRESENT_CLOSED);
		return;
	}
	if (command->cdb[0] == SCSI_READ_CAPACITY_10) {
		scsi_put_be32(data, (uint32_t)MIN(last, UINT32_MAX));
		scsi_put_be32(data + 4, block);
		scsi_outcome_reply(outcome, data, 8, 8);
		return;
	}
	scsi_put_be64(data, last);
	scsi_put_be32(data + 8, block);
	data[13] = (uint8_t)g_bit_nth_msf(MAX(disk->physical_block_size, block) / block, -1);
	if (disk->limits.discard_granularity && !disk->limits.read_only)
		data[14] = 0x80; /* LBPME */
	scsi_outcome_reply(outcome, data, sizeof(data), command->length);
}

static bool check_range(const ScsiDisk *disk, uint64_t lba, uint64_t n_blocks, ScsiOutcome *outcome)
{
	uint64_t all = scsi_disk_n_blocks(disk);

	if (!scsi_disk_check_medium(disk, outcome))
		return false;
	if (lba <= all && n_blocks <= all - lba)
		return true;
	scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_LBA_OUT_OF_RANGE);
	return false;
}

static bool check_writable(const ScsiDisk *disk, ScsiOutcome *outcome)
{
	if (!disk->limits.read_only && !disk->is_cd)
		return true;
	scsi_outcome_fail(outcome, SCSI_DATA_PROTECT, SCSI_WRITE_PROTECTED);
	return false;
}

static void on_medium(ScsiOutcome *outcome, BlockOperation operation, uint64_t offset, uint64_t size)
{
	outcome->on_medium = true;
	outcome->operation = operation;
	outcome->offset = offset;
	outcome->size = size;
}

static void transfer(const ScsiDisk *disk, const ScsiCommand *command, bool write,
		     ScsiOutcome *outcome)
{
	uint32_t block = scsi_disk_block_size(disk), n_blocks = command->length;

	if (command->cdb_size == 6 && n_blocks == 0)
		n_blocks = 256;
	if (!check_range(disk, command->lba, n_blocks, outcome) ||
	    (write && !check_writable(disk, outcome)))
		return;
	if (command->cdb_size > 6 && (command->cdb[1] & 0xe0)) { /* protection information */
		fail_request(outcome);
		return;
	}
	if (n_blocks == 0)
		return;
	outcome->fua = write && command->cdb_size > 6 && (command->cdb[1] & 0x08);
	on_medium(outcome, write ? BLOCK_WRITE : BLOCK_READ, command->lba * block,
		  (uint64_t)n_blocks * block);
}

/* §5.28: the one range that we say we take at a time. */
static void unmap(const ScsiDisk *disk, const ScsiCommand *command, const uint8_t *list,
		  unsigned n_list, ScsiOutcome *outcome)
{
	uint32_t block = scsi_disk_block_size(disk), n_blocks;
	uint64_t lba;

	if (!disk->limits.discard_granularity || (command->cdb[1] & 0x01)) {
		fail_request(outcome);
		return;
	}
	if (!scsi_disk_check_medium(disk, outcome) || !check_writable(disk, outcome))
		return;
	n_list = MIN(n_list, command->length);
	if (n_list < 8 || scsi_get_be16(list + 2) == 0)
		return;
	if (n_list < 24 || scsi_get_be16(list + 2) != 16) {
		scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_LIST);
		return;
	}
	lba = scsi_get_be64(list + 8);
	n_blocks = scsi_get_be32(list + 16);
	if (n_blocks > UNMAP_BYTES_MAX / block) {
		scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_LIST);
		return;
	}
	if (check_range(disk, lba, n_blocks, outcome) && n_blocks > 0)
		on_medium(outcome, BLOCK_DISCARD, lba * block, (uint64_t)n_blocks * block);
}

static void verify(const ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	if (command->cdb[1] & 0xe6) /* protection information, BYTCHK */
		fail_request(outcome);
	else
		check_range(disk, command->lba, command->length, outcome);
}

static void start_stop(ScsiDisk *disk, const uint8_t *cdb, ScsiOutcome *outcome)
{
	bool load_or_eject = cdb[4] & 0x02, start = cdb[4] & 0x01;

	if (!disk->is_cd) {
		if (!start && !(cdb[4] & 0xf0))
			on_medium(outcome, BLOCK_FLUSH, 0, 0);
		return;
	}
	if (!load_or_eject || (cdb[4] & 0xf0))
		return;
	if (!start && !disk->tray_open && disk->locked) {
		if (disk->node)
			scsi_outcome_fail(outcome, SCSI_NOT_READY, SCSI_MEDIUM_REMOVAL_PREVENTED);
		else
			scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST,
					  SCSI_MEDIUM_REMOVAL_PREVENTED);
		return;
	}
	scsi_disk_move_tray(disk, !start);
}

static void request_sense(ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	uint8_t data[SCSI_SENSE_SIZE];

	if (command->cdb[1] & 0x01) { /* descriptor format */
		fail_request(outcome);
		return;
	}
	/* Other sense data went with the status of the command that it is about. */
	scsi_sense_format(&disk->attention, data);
	disk->attention = (ScsiSense){};
	scsi_outcome_reply(outcome, data, sizeof(data), command->length);
}

static void flush(const ScsiDisk *disk, ScsiOutcome *outcome)
{
	if (scsi_disk_check_medium(disk, outcome) && !disk->is_cd)
		on_medium(outcome, BLOCK_FLUSH, 0, 0);
}

/* SPC-4 §5.14 lets these by, with which a host finds out what it has before it. */
static bool passes_attention(uint8_t opcode)
{
	return opcode == SCSI_INQUIRY || opcode == SCSI_REPORT_LUNS ||
	       opcode == SCSI_REQUEST_SENSE || opcode == SCSI_GET_EVENT_STATUS_NOTIFICATION;
}

void scsi_disk_execute(ScsiDisk *disk, const uint8_t *cdb, const uint8_t *parameters,
		       unsigned n_parameters, ScsiOutcome *outcome)
{
	ScsiCommand command;

	scsi_outcome_init(outcome);
	scsi_command_parse(&command, cdb);
	if (disk->attention.key && !passes_attention(cdb[0])) {
		ScsiSense sense = disk->attention;

		disk->attention = (ScsiSense){};
		scsi_outcome_fail(outcome, sense.key, sense.asc, sense.ascq);
		return;
	}
	switch (cdb[0]) {
	case SCSI_READ_6:
	case SCSI_READ_10:
	case SCSI_READ_12:
	case SCSI_READ_16:
		transfer(disk, &command, false, outcome);
		break;
	case SCSI_WRITE_6:
	case SCSI_WRITE_10:
	case SCSI_WRITE_12:
	case SCSI_WRITE_16:
		transfer(disk, &command, true, outcome);
		break;
	case SCSI_SYNCHRONIZE_CACHE_10:
	case SCSI_SYNCHRONIZE_CACHE_16:
		flush(disk, outcome);
		break;
	case SCSI_UNMAP:
		unmap(disk, &command, parameters, n_parameters, outcome);
		break;
	case SCSI_TEST_UNIT_READY:
		scsi_disk_check_medium(disk, outcome);
		break;
	case SCSI_REQUEST_SENSE:
		request_sense(disk, &command, outcome);
		break;
	case SCSI_INQUIRY:
		inquiry(disk, cdb, outcome);
		break;
	case SCSI_REPORT_LUNS:
		scsi_bus_report_luns((ScsiBus *)disk->device.bus, disk->target, &command, outcome);
		break;
	case SCSI_MODE_SENSE_6:
	case SCSI_MODE_SENSE_10:
		mode_sense(disk, &command, outcome);
		break;
	case SCSI_MODE_SELECT_6:
	case SCSI_MODE_SELECT_10:
		mode_select(disk, &command, parameters, n_parameters, outcome);
		break;
	case SCSI_START_STOP_UNIT:
		start_stop(disk, cdb, outcome);
		break;
	case SCSI_READ_CAPACITY_10:
		read_capacity(disk, &command, outcome);
		break;
	case SCSI_SERVICE_ACTION_IN_16:
		if ((cdb[1] & 0x1f) == SCSI_READ_CAPACITY_16)
			read_capacity(disk, &command, outcome);
		else
			fail_request(outcome);
		break;
	case SCSI_VERIFY_10:
	case SCSI_VERIFY_16:
		verify(disk, &command, outcome);
		break;
	default:
		if (!disk->is_cd || !scsi_cd_execute(disk, &command, outcome))
			scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_OPERATION);
		break;
	}
}
