/*
 * scsi_command.c: command descriptor blocks, sense data and replies
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "vmm/scsi/scsi.h"
#include "vmm/scsi/scsi_layout.h"

/* SPC-4 §4.2.5: the three upper bits of the operation code. */
void scsi_command_parse(ScsiCommand *command, const uint8_t *cdb)
{
	*command = (ScsiCommand){ .cdb = cdb };
	switch (cdb[0] >> 5) {
	case 0:
		command->cdb_size = 6;
		command->lba = scsi_get_be24(cdb + 1) & 0x1fffff;
		command->length = cdb[4];
		break;
	case 1:
	case 2:
		command->cdb_size = 10;
		command->lba = scsi_get_be32(cdb + 2);
		command->length = scsi_get_be16(cdb + 7);
		break;
	case 4:
		command->cdb_size = 16;
		command->lba = scsi_get_be64(cdb + 2);
		command->length = scsi_get_be32(cdb + 10);
		break;
	case 5:
		command->cdb_size = 12;
		command->lba = scsi_get_be32(cdb + 2);
		command->length = scsi_get_be32(cdb + 6);
		break;
	default:
		break;
	}
}

void scsi_outcome_init(ScsiOutcome *outcome)
{
	outcome->on_medium = outcome->fua = false;
	outcome->status = SCSI_STATUS_GOOD;
	outcome->sense = (ScsiSense){};
	outcome->reply_size = 0;
}

void scsi_outcome_fail(ScsiOutcome *outcome, uint8_t key, uint8_t asc, uint8_t ascq)
{
	outcome->on_medium = false;
	outcome->status = SCSI_STATUS_CHECK_CONDITION;
	outcome->sense = (ScsiSense){ key, asc, ascq };
	outcome->reply_size = 0;
}

void scsi_outcome_reply(ScsiOutcome *outcome, const void *data, uint32_t size, uint32_t allocated)
{
	outcome->reply_size = MIN(MIN(size, allocated), SCSI_REPLY_MAX);
	memcpy(outcome->reply, data, outcome->reply_size);
}

void scsi_sense_format(const ScsiSense *sense, uint8_t data[SCSI_SENSE_SIZE])
{
	memset(data, 0, SCSI_SENSE_SIZE);
	data[0] = 0x70; /* current, fixed format */
	data[2] = sense->key;
	data[7] = SCSI_SENSE_SIZE - 8;
	data[12] = sense->asc;
	data[13] = sense->ascq;
}
