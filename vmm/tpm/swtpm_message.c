/*
 * swtpm_message.c: what is said to swtpm, and what it answers, as bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/tpm/swtpm_message.h"

#include <string.h>

#define RESULT_SIZE sizeof(uint32_t)

static void put32(uint8_t *bytes, uint32_t value)
{
	value = GUINT32_TO_BE(value);
	memcpy(bytes, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return GUINT32_FROM_BE(value);
}

size_t swtpm_make_request(SwtpmCommand command, uint32_t argument, uint8_t bytes[SWTPM_REQUEST_MAX])
{
	put32(bytes, command);
	if (command != SWTPM_INIT && command != SWTPM_SET_BUFFERSIZE)
		return sizeof(uint32_t);
	put32(bytes + sizeof(uint32_t), argument);
	return 2 * sizeof(uint32_t);
}

/* The size of a reply that says that all is well. */
static size_t reply_size(SwtpmCommand command)
{
	switch (command) {
	case SWTPM_GET_CAPABILITY:
	case SWTPM_GET_TPMESTABLISHED: /* one byte, and three of padding */
		return RESULT_SIZE + 4;
	case SWTPM_SET_BUFFERSIZE:
		return RESULT_SIZE + 12;
	default:
		return RESULT_SIZE;
	}
}

TpmProgress swtpm_parse_reply(SwtpmCommand command, const uint8_t *bytes, size_t size,
			      SwtpmReply *reply)
{
	size_t whole = reply_size(command);

	if (size < RESULT_SIZE)
		return TPM_MORE;
	*reply = (SwtpmReply){ .result = get32(bytes) };
	/* A refusal may be as long as the answer would be, or end after the result. */
	if (reply->result != 0)
		return size <= whole ? TPM_WHOLE : TPM_BAD;
	if (size != whole)
		return size < whole ? TPM_MORE : TPM_BAD;
	bytes += RESULT_SIZE;
	if (command == SWTPM_GET_CAPABILITY)
		reply->capability = get32(bytes);
	if (command == SWTPM_GET_TPMESTABLISHED)
		reply->established = bytes[0] != 0;
	/* What it has agreed to; its own limits follow. */
	if (command == SWTPM_SET_BUFFERSIZE)
		reply->buffer_size = get32(bytes);
	return TPM_WHOLE;
}

uint32_t tpm_message_size(const uint8_t *bytes)
{
	return get32(bytes + 2);
}

TpmProgress tpm_parse_response(const uint8_t *bytes, size_t size, size_t limit)
{
	unsigned tag;
	uint32_t whole;

	if (size < TPM_HEADER_SIZE)
		return TPM_MORE;
	tag = (unsigned)bytes[0] << 8 | bytes[1];
	whole = tpm_message_size(bytes);
	if (whole < TPM_HEADER_SIZE || whole > limit || size > whole)
		return TPM_BAD;
	if (tag != TPM_TAG_NO_SESSIONS && tag != TPM_TAG_SESSIONS && tag != TPM_TAG_ERROR_1_2)
		return TPM_BAD;
	return size < whole ? TPM_MORE : TPM_WHOLE;
}

void tpm_make_response(uint32_t code, uint8_t bytes[TPM_HEADER_SIZE])
{
	bytes[0] = TPM_TAG_NO_SESSIONS >> 8;
	bytes[1] = TPM_TAG_NO_SESSIONS & 0xff;
	put32(bytes + 2, TPM_HEADER_SIZE);
	put32(bytes + 6, code);
}
