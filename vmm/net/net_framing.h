/*
 * net_framing.h: frames in a byte stream, each behind its length (32 bits, big endian)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of a frame in the stream; as large as a frame with header that a netdev delivers may be. */
#define NET_FRAMING_MAX_FRAME	65550u
#define NET_FRAMING_BUFFER_SIZE (2u * (4 + NET_FRAMING_MAX_FRAME))

/* Zeroed is empty. */
typedef struct NetFraming {
	uint8_t *buffer;   /* NET_FRAMING_BUFFER_SIZE bytes, or NULL until it is needed */
	size_t start, end; /* what has arrived and is not consumed */
} NetFraming;

/* Forget everything and free the buffer. */
void net_framing_clear(NetFraming *framing);

/*
 * Where to put arriving bytes; *@size is how many fit: more than 0 when net_framing_next() has just
 * asked for more.
 */
uint8_t *net_framing_space(NetFraming *framing, size_t *size);

/* Say that @size bytes have been put there. */
void net_framing_added(NetFraming *framing, size_t size);

/*
 * The next frame, in *@frame and *@size, borrowed until the next call of net_framing_space() and
 * consumed. Returns 1, 0 when it is not complete, or -EPROTO when its length is impossible, after
 * which nothing in the stream can be made sense of.
 */
int net_framing_next(NetFraming *framing, const uint8_t **frame, size_t *size);

/* Whether net_framing_next() would return 1, or -EPROTO. */
int net_framing_has_next(const NetFraming *framing);
