/*
 * chardev_ringbuf.c: -chardev ringbuf, the last bytes of output kept for ringbuf-read
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_internal.h"
#include "vmm/base/error.h"

#define RINGBUF_MAX_SIZE (256u << 20)

typedef struct ChardevRingbuf {
	Chardev chardev;
	uint8_t *buffer;
	uint32_t size; /* bytes, a power of two */
	/* Free-running; their difference is the fill, at most size. */
	uint32_t produced, consumed;
} ChardevRingbuf;

bool chardev_ringbuf_check_size(uint64_t size, GError **error)
{
	if (size == 0 || size > RINGBUF_MAX_SIZE || (size & (size - 1)))
		return error_fail(error, "'size' must be a power of two up to %u", RINGBUF_MAX_SIZE);
	return true;
}

static bool ringbuf_open(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	ChardevRingbuf *ring = (ChardevRingbuf *)chardev;

	if (!chardev_ringbuf_check_size(config->size, error))
		return false;
	ring->size = config->size;
	ring->buffer = g_malloc(ring->size);
	chardev_set_open(chardev, true);
	return true;
}

static void ringbuf_close(Chardev *chardev)
{
	g_free(((ChardevRingbuf *)chardev)->buffer);
}

static size_t ringbuf_write(Chardev *chardev, const uint8_t *data, size_t size)
{
	ChardevRingbuf *ring = (ChardevRingbuf *)chardev;

	for (size_t i = 0; i < size; i++)
		ring->buffer[ring->produced++ & (ring->size - 1)] = data[i];
	if (ring->produced - ring->consumed > ring->size)
		ring->consumed = ring->produced - ring->size;
	return size;
}

size_t chardev_ringbuf_read(Chardev *chardev, uint8_t *data, size_t size)
{
	ChardevRingbuf *ring = (ChardevRingbuf *)chardev;
	size_t got = 0;

	if (chardev->kind != CHARDEV_RINGBUF)
		return 0;
	g_mutex_lock(&chardev->lock);
	while (got < size && ring->consumed != ring->produced)
		data[got++] = ring->buffer[ring->consumed++ & (ring->size - 1)];
	g_mutex_unlock(&chardev->lock);
	return got;
}

const ChardevOps chardev_ringbuf_ops = {
	.object_size = sizeof(ChardevRingbuf),
	.open = ringbuf_open,
	.close = ringbuf_close,
	.write = ringbuf_write,
};
