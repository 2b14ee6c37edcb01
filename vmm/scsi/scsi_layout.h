/*
 * scsi_layout.h: operation codes and codes of sense data; big-endian numbers
 *
 * SPC-4, SBC-3, MMC-5.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdint.h>

enum {
	SCSI_TEST_UNIT_READY = 0x00,
	SCSI_REQUEST_SENSE = 0x03,
	SCSI_READ_6 = 0x08,
	SCSI_WRITE_6 = 0x0a,
	SCSI_INQUIRY = 0x12,
	SCSI_MODE_SELECT_6 = 0x15,
	SCSI_MODE_SENSE_6 = 0x1a,
	SCSI_START_STOP_UNIT = 0x1b,
	SCSI_PREVENT_ALLOW_MEDIUM_REMOVAL = 0x1e,
	SCSI_READ_CAPACITY_10 = 0x25,
	SCSI_READ_10 = 0x28,
	SCSI_WRITE_10 = 0x2a,
	SCSI_VERIFY_10 = 0x2f,
	SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
	SCSI_UNMAP = 0x42,
	SCSI_READ_TOC = 0x43,
	SCSI_GET_CONFIGURATION = 0x46,
	SCSI_GET_EVENT_STATUS_NOTIFICATION = 0x4a,
	SCSI_READ_DISC_INFORMATION = 0x51,
	SCSI_MODE_SELECT_10 = 0x55,
	SCSI_MODE_SENSE_10 = 0x5a,
	SCSI_READ_16 = 0x88,
	SCSI_WRITE_16 = 0x8a,
	SCSI_VERIFY_16 = 0x8f,
	SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
	SCSI_SERVICE_ACTION_IN_16 = 0x9e,
	SCSI_REPORT_LUNS = 0xa0,
	SCSI_READ_12 = 0xa8,
	SCSI_WRITE_12 = 0xaa,
	SCSI_MECHANISM_STATUS = 0xbd,
};

#define SCSI_READ_CAPACITY_16 0x10 /* a service action */

/* Sense keys */
enum {
	SCSI_NO_SENSE = 0x0,
	SCSI_NOT_READY = 0x2,
	SCSI_MEDIUM_ERROR = 0x3,
	SCSI_HARDWARE_ERROR = 0x4,
	SCSI_ILLEGAL_REQUEST = 0x5,
	SCSI_UNIT_ATTENTION = 0x6,
	SCSI_DATA_PROTECT = 0x7,
};

/* Additional sense codes with their qualifiers, as arguments after the key. */
#define SCSI_WRITE_ERROR	       0x0c, 0x00
#define SCSI_UNRECOVERED_READ_ERROR    0x11, 0x00
#define SCSI_PARAMETER_LENGTH_ERROR    0x1a, 0x00
#define SCSI_INVALID_OPERATION	       0x20, 0x00
#define SCSI_LBA_OUT_OF_RANGE	       0x21, 0x00
#define SCSI_INVALID_FIELD_IN_CDB      0x24, 0x00
#define SCSI_LUN_NOT_SUPPORTED	       0x25, 0x00
#define SCSI_INVALID_FIELD_IN_LIST     0x26, 0x00
#define SCSI_WRITE_PROTECTED	       0x27, 0x00
#define SCSI_SPACE_ALLOCATION_FAILED   0x27, 0x07
#define SCSI_MEDIUM_MAY_HAVE_CHANGED   0x28, 0x00
#define SCSI_POWER_ON_OR_RESET	       0x29, 0x00
#define SCSI_CAPACITY_HAS_CHANGED      0x2a, 0x09
#define SCSI_SAVING_NOT_SUPPORTED      0x39, 0x00
#define SCSI_MEDIUM_NOT_PRESENT_CLOSED 0x3a, 0x01
#define SCSI_MEDIUM_NOT_PRESENT_OPEN   0x3a, 0x02
#define SCSI_TARGET_FAILURE	       0x44, 0x00
#define SCSI_MEDIUM_REMOVAL_PREVENTED  0x53, 0x02

/* Peripheral device types */
enum { SCSI_TYPE_DISK = 0x00, SCSI_TYPE_CD = 0x05, SCSI_TYPE_NONE = 0x7f /* with qualifier */ };

/* What the texts of an inquiry have room for, bytes (SPC-4 §6.6.2); serials what we give them. */
#define SCSI_VENDOR_SIZE   8u
#define SCSI_PRODUCT_SIZE  16u
#define SCSI_REVISION_SIZE 4u
#define SCSI_SERIAL_MAX	   200u

static inline uint16_t scsi_get_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t scsi_get_be24(const uint8_t *at)
{
	return (uint32_t)at[0] << 16 | scsi_get_be16(at + 1);
}

static inline uint32_t scsi_get_be32(const uint8_t *at)
{
	return (uint32_t)scsi_get_be16(at) << 16 | scsi_get_be16(at + 2);
}

static inline uint64_t scsi_get_be64(const uint8_t *at)
{
	return (uint64_t)scsi_get_be32(at) << 32 | scsi_get_be32(at + 4);
}

static inline void scsi_put_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void scsi_put_be32(uint8_t *at, uint32_t value)
{
	scsi_put_be16(at, (uint16_t)(value >> 16));
	scsi_put_be16(at + 2, (uint16_t)value);
}

static inline void scsi_put_be64(uint8_t *at, uint64_t value)
{
	scsi_put_be32(at, (uint32_t)(value >> 32));
	scsi_put_be32(at + 4, (uint32_t)value);
}
