/*
 * fuzz-net-stream.c: a hostile peer of -netdev stream
 *
 * The input arrives in pieces, whose sizes its first bytes choose; what comes out is compared with
 * what a reading of the whole input says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/net/net_framing.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define N_PIECE_SIZES 8

/* The input, read in one go. */
typedef struct Expected {
	const uint8_t *data;
	size_t size, at;
} Expected;

/* As net_framing_next(), for the whole input; any error is -1. */
static int expected_next(Expected *expected, const uint8_t **frame, size_t *size)
{
	const uint8_t *at = expected->data + expected->at;
	size_t left = expected->size - expected->at;
	uint32_t length;

	if (left < 4)
		return 0;
	length = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
	if (length == 0 || length > NET_FRAMING_MAX_FRAME)
		return -1;
	if (left - 4 < length)
		return 0;
	*frame = at + 4;
	*size = length;
	expected->at += 4 + length;
	return 1;
}

/* Take all frames that are complete; false at an error, which both must see. */
static bool drain(NetFraming *framing, Expected *expected)
{
	for (;;) {
		const uint8_t *frame, *expected_frame;
		size_t size, expected_size;
		int peeked = net_framing_has_next(framing);
		int result = net_framing_next(framing, &frame, &size);

		g_assert_cmpint(peeked, ==, result);
		if (result == 0)
			return true;
		if (result < 0) {
			g_assert_cmpint(expected_next(expected, &expected_frame, &expected_size), <,
					0);
			return false;
		}
		g_assert_cmpint(expected_next(expected, &expected_frame, &expected_size), ==, 1);
		g_assert_cmpmem(frame, size, expected_frame, expected_size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NetFraming framing = {};
	Expected expected = { .data = data + N_PIECE_SIZES, .size = size - N_PIECE_SIZES };
	size_t fed = 0;
	bool good = true;

	if (size < N_PIECE_SIZES)
		return 0;
	for (unsigned piece = 0; good && fed < expected.size; piece++) {
		size_t room, part = 1 + (size_t)data[piece % N_PIECE_SIZES] * 16;
		uint8_t *space = net_framing_space(&framing, &room);

		/* After a drain there is always room for more. */
		g_assert_cmpuint(room, >, 0);
		part = MIN(MIN(part, room), expected.size - fed);
		memcpy(space, expected.data + fed, part);
		net_framing_added(&framing, part);
		fed += part;
		good = drain(&framing, &expected);
	}
	net_framing_clear(&framing);
	return 0;
}
