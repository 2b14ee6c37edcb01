/*
 * net_framing.c: frames in a byte stream, each behind its length (32 bits, big endian)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/net/net_framing.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define LENGTH_SIZE 4

void net_framing_clear(NetFraming *framing)
{
	g_clear_pointer(&framing->buffer, g_free);
	framing->start = framing->end = 0;
}

uint8_t *net_framing_space(NetFraming *framing, size_t *size)
{
	if (!framing->buffer)
		framing->buffer = g_malloc(NET_FRAMING_BUFFER_SIZE);
	if (framing->start > 0) {
		memmove(framing->buffer, framing->buffer + framing->start,
			framing->end - framing->start);
		framing->end -= framing->start;
		framing->start = 0;
	}
	*size = NET_FRAMING_BUFFER_SIZE - framing->end;
	return framing->buffer + framing->end;
}

void net_framing_added(NetFraming *framing, size_t size)
{
	framing->end += size;
}

static uint32_t next_length(const NetFraming *framing)
{
	uint32_t length;

	memcpy(&length, framing->buffer + framing->start, sizeof(length));
	return GUINT32_FROM_BE(length);
}

int net_framing_has_next(const NetFraming *framing)
{
	size_t have = framing->end - framing->start;
	uint32_t length;

	if (have < LENGTH_SIZE)
		return 0;
	length = next_length(framing);
	if (length == 0 || length > NET_FRAMING_MAX_FRAME)
		return -EPROTO;
	return have - LENGTH_SIZE >= length;
}

int net_framing_next(NetFraming *framing, const uint8_t **frame, size_t *size)
{
	int result = net_framing_has_next(framing);

	if (result > 0) {
		*size = next_length(framing);
		*frame = framing->buffer + framing->start + LENGTH_SIZE;
		framing->start += LENGTH_SIZE + *size;
	}
	return result;
}
