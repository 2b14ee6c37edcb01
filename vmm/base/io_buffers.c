/*
 * io_buffers.c: memory registered with the ring of an I/O loop
 *
 * The kernel gets hold of the pages of an operation's memory each time, which is much of what a
 * transfer past the page cache costs; of registered memory it does so once. It pins them: they stay
 * until the ring goes, and take an entry of 16 bytes each in a table of the kernel's, per ring (one
 * for all of a huge page, since 6.12).
 *
 * The ring knows pages, not addresses. Memory of which pages are given back or replaced while it is
 * registered would be read and written where nobody else sees it; guest_memory_keep() is how guest
 * memory is kept from that. What comes and goes with a memory device is not registered at all, so
 * the table is made once, and never changes while requests use it.
 *
 * The kernel takes pieces of up to 1 GiB, and an operation has to be within one: those across two
 * are made as without this, as are, before Linux 6.15, those with several vectors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/base/io_loop_internal.h"

#include <errno.h>

#define PIECE_SHIFT 30
#define PIECE_SIZE  (UINT64_C(1) << PIECE_SHIFT)
/* What the index in a submission entry has room for; the kernel's own limit is lower. */
#define PIECES_MAX (UINT16_MAX + 1u)

int io_buffers_find(const IoBufferArea *areas, unsigned n, uint64_t address, uint64_t size)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t offset = address - areas[i].start, last;

		if (address < areas[i].start || offset >= areas[i].size)
			continue;
		if (size == 0 || size > areas[i].size - offset)
			return -1;
		last = offset + size - 1;
		if (offset >> PIECE_SHIFT != last >> PIECE_SHIFT)
			return -1;
		return (int)(areas[i].first + (offset >> PIECE_SHIFT));
	}
	return -1;
}

/* Append @area cut into pieces to @pieces, of struct iovec. */
static void append_pieces(GArray *pieces, const struct iovec *area)
{
	for (uint64_t at = 0; at < area->iov_len; at += PIECE_SIZE) {
		const struct iovec piece = { (uint8_t *)area->iov_base + at,
					     MIN(area->iov_len - at, PIECE_SIZE) };

		g_array_append_val(pieces, piece);
	}
}

/* 0 or a negative errno. */
static int register_areas(IoLoop *loop, const struct iovec *areas, unsigned n)
{
	g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(struct iovec));
	g_autofree IoBufferArea *table = g_new(IoBufferArea, n);
	int result;

	for (unsigned i = 0; i < n; i++) {
		table[i] = (IoBufferArea){ .start = (uintptr_t)areas[i].iov_base,
					   .size = areas[i].iov_len,
					   .first = pieces->len };
		append_pieces(pieces, &areas[i]);
	}
	if (pieces->len > PIECES_MAX)
		return -E2BIG;
	result = io_ring_register_buffers(&loop->ring, (const struct iovec *)pieces->data,
					  pieces->len);
	if (result < 0)
		return result;
	loop->buffers = g_steal_pointer(&table);
	loop->n_buffers = n;
	return 0;
}

void io_loop_add_buffers(IoLoop *loop, const struct iovec *areas, unsigned n, bool unless_busy)
{
	int result;

	/* Without a ring of the kernel's there is nothing to say that was not said. */
	if (loop->buffers_tried || loop->ring.emulation || n == 0)
		return;
	loop->buffers_tried = true;
	result = unless_busy && loop->n_watches > 0 ? -EBUSY : register_areas(loop, areas, n);
	if (result < 0)
		g_message("I/O thread '%s' does without registered buffers: %s", loop->name,
			  error_text(-result));
}

/* The place of the piece that all @n vectors are in, or -1. */
static int find_vectors(const IoLoop *loop, const struct iovec *vectors, unsigned n)
{
	int place = -1;

	for (unsigned i = 0; i < n; i++) {
		int found = io_buffers_find(loop->buffers, loop->n_buffers,
					    (uintptr_t)vectors[i].iov_base, vectors[i].iov_len);

		if (found < 0 || (i > 0 && found != place))
			return -1;
		place = found;
	}
	return place;
}

bool io_loop_use_buffers(const IoLoop *loop, struct io_uring_sqe *sqe)
{
	static const struct {
		uint8_t opcode, registered;
		bool vectors;
	} operations[] = {
		{ IORING_OP_READ, IORING_OP_READ_FIXED, false },
		{ IORING_OP_WRITE, IORING_OP_WRITE_FIXED, false },
		{ IORING_OP_READV, IO_RING_OP_READV_FIXED, true },
		{ IORING_OP_WRITEV, IO_RING_OP_WRITEV_FIXED, true },
	};
	unsigned i = 0;
	int place;

	if (loop->n_buffers == 0)
		return false;
	while (i < G_N_ELEMENTS(operations) && operations[i].opcode != sqe->opcode)
		i++;
	if (i == G_N_ELEMENTS(operations) || (operations[i].vectors && !loop->ring.has_vectors))
		return false;
	if (operations[i].vectors)
		place = find_vectors(loop, (const struct iovec *)(uintptr_t)sqe->addr, sqe->len);
	else
		place = io_buffers_find(loop->buffers, loop->n_buffers, sqe->addr, sqe->len);
	if (place < 0)
		return false;
	sqe->opcode = operations[i].registered;
	sqe->buf_index = (uint16_t)place;
	return true;
}
