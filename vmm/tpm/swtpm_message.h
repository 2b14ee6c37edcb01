/*
 * swtpm_message.h: what is said to swtpm, and what it answers, as bytes
 *
 * Two channels. On the control channel (swtpm's tpm_ioctl.h) a request is a command number and its
 * arguments, all big-endian and in one message; the reply is a result and, where that is 0, more.
 * On the data channel go commands and responses of the TPM itself (TPM 2.0 Library, part 1 §18).
 *
 * Everything here is for any thread, and touches nothing but its arguments. What comes from swtpm
 * is another process's word.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SwtpmCommand {
	SWTPM_GET_CAPABILITY = 0x01,
	SWTPM_INIT = 0x02,
	SWTPM_SHUTDOWN = 0x03,
	SWTPM_GET_TPMESTABLISHED = 0x04,
	SWTPM_CANCEL_TPM_CMD = 0x09,
	SWTPM_STOP = 0x0e,
	SWTPM_SET_DATAFD = 0x10,
	SWTPM_SET_BUFFERSIZE = 0x11,
} SwtpmCommand;

/* Bits of SWTPM_GET_CAPABILITY's answer. */
enum {
	SWTPM_CAP_INIT = 1u << 0,
	SWTPM_CAP_SHUTDOWN = 1u << 1,
	SWTPM_CAP_GET_TPMESTABLISHED = 1u << 2,
	SWTPM_CAP_CANCEL_TPM_CMD = 1u << 5,
	SWTPM_CAP_STOP = 1u << 10,
	SWTPM_CAP_SET_DATAFD = 1u << 12,
	SWTPM_CAP_SET_BUFFERSIZE = 1u << 13,
};

/* The largest request and the largest reply, in bytes. */
#define SWTPM_REQUEST_MAX 8u
#define SWTPM_REPLY_MAX	  16u

typedef struct SwtpmReply {
	uint32_t result;      /* 0: done; then, by command: */
	uint32_t capability;  /* SWTPM_CAP_* */
	uint32_t buffer_size; /* bytes */
	bool established;
} SwtpmReply;

/* How much of a message there is. */
typedef enum TpmProgress { TPM_MORE, TPM_WHOLE, TPM_BAD } TpmProgress;

/*
 * Write the request @command, with @argument where it takes one (SWTPM_INIT, SWTPM_SET_BUFFERSIZE),
 * to @bytes; returns its size.
 */
size_t swtpm_make_request(SwtpmCommand command, uint32_t argument,
			  uint8_t bytes[SWTPM_REQUEST_MAX]);

/*
 * Look at the first @size bytes of the reply to @command. TPM_WHOLE: @reply is filled in; TPM_MORE:
 * it is longer (never than SWTPM_REPLY_MAX); TPM_BAD: there is more than belongs to it.
 */
TpmProgress swtpm_parse_reply(SwtpmCommand command, const uint8_t *bytes, size_t size,
			      SwtpmReply *reply);

/* Tags of responses, and response codes, of TPM 2.0 (part 2 §6.9, §6.6). */
enum {
	TPM_TAG_NO_SESSIONS = 0x8001,
	TPM_TAG_SESSIONS = 0x8002,
	TPM_TAG_ERROR_1_2 = 0x00c4, /* TPM_ST_RSP_COMMAND: what TPM 1.2 has for all of them */

	TPM_RC_FAILURE = 0x101,
	TPM_RC_COMMAND_SIZE = 0x142,
};

/* Both directions: tag, size of all (bytes), command or response code. */
#define TPM_HEADER_SIZE 10u

/*
 * The size that the command or response at @bytes, of which there are TPM_HEADER_SIZE at least,
 * says it has.
 */
uint32_t tpm_message_size(const uint8_t *bytes);

/*
 * Look at the first @size bytes of a response, which may have @limit bytes. TPM_BAD: its size is
 * impossible, its tag is none, or there is more than belongs to it.
 */
TpmProgress tpm_parse_response(const uint8_t *bytes, size_t size, size_t limit);

/* Write a response to @bytes that says @code and no more. */
void tpm_make_response(uint32_t code, uint8_t bytes[TPM_HEADER_SIZE]);
