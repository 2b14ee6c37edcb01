/*
 * scsi_cd_commands.c: what only CD drives do (MMC-5)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "vmm/scsi/scsi.h"
#include "vmm/scsi/scsi_layout.h"

#define PROFILE_CD_ROM	   0x0008
#define PROFILE_DVD_ROM	   0x0010
#define LARGEST_CD	   (UINT64_C(80) * 60 * 75 * 2048) /* bytes: 80 minutes */
#define LEAD_OUT	   0xaa
#define DATA_TRACK	   0x14 /* ADR 1; a data track that may not be copied digitally */
#define FRAMES_PER_SECOND  75u
#define EVENT_CLASS_MEDIA  4
#define EVENT_MEDIA_OPEN   0x01
#define EVENT_MEDIA_THERE  0x02

static void fail_request(ScsiOutcome *outcome)
{
	scsi_outcome_fail(outcome, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_CDB);
}

/* An address of a table of contents: a block, or minute, second and frame. */
static void put_address(uint8_t *at, uint32_t lba, bool msf)
{
	uint32_t frame = lba + 2 * FRAMES_PER_SECOND;

	if (!msf) {
		scsi_put_be32(at, lba);
		return;
	}
	at[0] = 0;
	at[1] = (uint8_t)MIN(frame / FRAMES_PER_SECOND / 60, 0xffu);
	at[2] = (uint8_t)(frame / FRAMES_PER_SECOND % 60);
	at[3] = (uint8_t)(frame % FRAMES_PER_SECOND);
}

/* §6.26: one session with one track. */
static void read_toc(const ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	const uint8_t *cdb = command->cdb;
	bool msf = cdb[1] & 0x02;
	uint8_t format = cdb[2] & 0x0f, first = cdb[6], data[20] = { 0, 0, 1, 1 };
	unsigned size = 4;

	if (!scsi_disk_check_medium(disk, outcome))
		return;
	if (format > 1 || (format == 0 && first > 1 && first != LEAD_OUT)) {
		fail_request(outcome);
		return;
	}
	if (format == 1 || first <= 1) {
		data[size + 1] = DATA_TRACK;
		data[size + 2] = 1;
		put_address(data + size + 4, 0, msf);
		size += 8;
	}
	if (format == 0) {
		data[size + 1] = DATA_TRACK;
		data[size + 2] = LEAD_OUT;
		put_address(data + size + 4, (uint32_t)MIN(scsi_disk_n_blocks(disk), UINT32_MAX / 2),
			    msf);
		size += 8;
	}
	scsi_put_be16(data, (uint16_t)(size - 2));
	scsi_outcome_reply(outcome, data, size, command->length);
}

/* §6.6, §5.3: profiles, and the features core and removable medium. */
static void get_configuration(const ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	bool medium = disk->node && !disk->tray_open;
	uint16_t current = !medium ? 0 : disk->size > LARGEST_CD ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
	uint8_t kind = command->cdb[1] & 0x03;
	uint16_t start = scsi_get_be16(command->cdb + 2);
	uint8_t data[40] = {}, *at = data + 8;

	if (kind == 3) {
		fail_request(outcome);
		return;
	}
	scsi_put_be16(data + 6, current);
	if (start == 0) {
		at[2] = 0x03; /* persistent, current */
		at[3] = 8;
		scsi_put_be16(at + 4, PROFILE_DVD_ROM);
		at[6] = current == PROFILE_DVD_ROM;
		scsi_put_be16(at + 8, PROFILE_CD_ROM);
		at[10] = current == PROFILE_CD_ROM;
		at += 12;
	}
	if (start == 1 || (start == 0 && kind != 2)) {
		at[1] = 1;
		at[2] = 0x0b; /* version 2 */
		at[3] = 8;
		scsi_put_be32(at + 4, 1); /* the interface is SCSI */
		at[8] = 0x01;		  /* device busy events */
		at += 12;
	}
	if (start == 3 || (start < 3 && kind != 2)) {
		at[1] = 3;
		at[2] = 0x0b;
		at[3] = 4;
		at[4] = 0x39; /* a tray; ejects, locks, and is not locked at power-on */
		at += 8;
	}
	scsi_put_be32(data, (uint32_t)(at - data) - 4);
	scsi_outcome_reply(outcome, data, (uint32_t)(at - data), command->length);
}

/* §6.7: polled only, and only about the medium. */
static void get_event(ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	uint8_t data[8] = { 0, 2, 0x80 /* no such event */, 1 << EVENT_CLASS_MEDIA };
	unsigned size = 4;

	if (!(command->cdb[1] & 0x01)) {
		fail_request(outcome);
		return;
	}
	if (command->cdb[4] & (1 << EVENT_CLASS_MEDIA)) {
		data[1] = 6;
		data[2] = EVENT_CLASS_MEDIA;
		data[4] = disk->media_event;
		data[5] = (uint8_t)((disk->tray_open ? EVENT_MEDIA_OPEN : 0) |
				    (disk->node && !disk->tray_open ? EVENT_MEDIA_THERE : 0));
		disk->media_event = SCSI_MEDIA_NO_CHANGE;
		size = 8;
	}
	scsi_outcome_reply(outcome, data, size, command->length);
}

/* §6.22 */
static void read_disc_information(const ScsiDisk *disk, const ScsiCommand *command,
				  ScsiOutcome *outcome)
{
	const uint8_t data[34] = { 0, sizeof(data) - 2, 0x0e /* complete */, 1, 1, 1, 1,
				   0x20 /* unrestricted use */ };

	if (!scsi_disk_check_medium(disk, outcome))
		return;
	if (command->cdb[1] & 0x07)
		fail_request(outcome);
	else
		scsi_outcome_reply(outcome, data, sizeof(data), command->length);
}

static void mechanism_status(const ScsiCommand *command, ScsiOutcome *outcome)
{
	static const uint8_t data[8] = { 0 };

	scsi_outcome_reply(outcome, data, sizeof(data), scsi_get_be16(command->cdb + 8));
}

bool scsi_cd_execute(ScsiDisk *disk, const ScsiCommand *command, ScsiOutcome *outcome)
{
	switch (command->cdb[0]) {
	case SCSI_PREVENT_ALLOW_MEDIUM_REMOVAL:
		disk->locked = command->cdb[4] & 0x01;
		return true;
	case SCSI_READ_TOC:
		read_toc(disk, command, outcome);
		return true;
	case SCSI_GET_CONFIGURATION:
		get_configuration(disk, command, outcome);
		return true;
	case SCSI_GET_EVENT_STATUS_NOTIFICATION:
		get_event(disk, command, outcome);
		return true;
	case SCSI_READ_DISC_INFORMATION:
		read_disc_information(disk, command, outcome);
		return true;
	case SCSI_MECHANISM_STATUS:
		mechanism_status(command, outcome);
		return true;
	default:
		return false;
	}
}
