/*
 * block_io.c: requests to a file, through io_uring
 *
 * A request is a series of steps, each one submission entry: transfers until all is done (a short
 * one is followed by another for the rest), then a flush where the write cache is off. A step that
 * is not possible (out of range, read-only) is a no-op whose completion carries the error, so that
 * completion is always later and from the loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_internal.h"
#include "vmm/base/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Direct I/O from memory that is not aligned for it is copied in pieces of this many bytes. */
#define BOUNCE_SIZE (256u * 1024)
/* Zeroes written where the host cannot make them: pieces of this many iovecs. */
#define ZERO_VECTORS 16
#define MAX_RETRIES  100
/* More than the kernel takes at once anyway, in whole blocks. */
#define TRANSFER_MAX (1u << 31)

/* Since 6.12; liburing 2.3 does not know it. */
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

typedef enum Stage {
	STAGE_NOTHING,	       /* a no-op; request->result is the result */
	STAGE_TRANSFER,	       /* read or write */
	STAGE_DISCARD_COMMAND, /* block device: discard through io_uring */
	STAGE_DISCARD_STALE,   /* block device: discard as older kernels spell it */
	STAGE_PUNCH_HOLE,
	STAGE_ZERO_RANGE,
	STAGE_WRITE_ZERO_BYTES,
	STAGE_FLUSH,
} Stage;

static void step(BlockRequest *request, Stage stage);

struct BlockDrain {
	BlockNode *node;
	GMutex lock;
	GCond cond;
	bool done;
};

/* Loop thread. The node may be gone as soon as this returns. */
static void drain_done(BlockNode *node)
{
	BlockDrain *drain = g_steal_pointer(&node->drain);

	g_mutex_lock(&drain->lock);
	drain->done = true;
	g_cond_signal(&drain->cond);
	g_mutex_unlock(&drain->lock);
}

static void drain_start(gpointer data)
{
	BlockDrain *drain = data;

	drain->node->drain = drain;
	if (drain->node->in_flight == 0)
		drain_done(drain->node);
}

void block_node_drain(BlockNode *node)
{
	BlockDrain drain = { .node = node };

	if (!node->loop)
		return;
	g_mutex_init(&drain.lock);
	g_cond_init(&drain.cond);
	io_loop_post(node->loop, drain_start, &drain);
	g_mutex_lock(&drain.lock);
	while (!drain.done)
		g_cond_wait(&drain.cond, &drain.lock);
	g_mutex_unlock(&drain.lock);
	g_mutex_clear(&drain.lock);
	g_cond_clear(&drain.cond);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void add(uint64_t *counter, uint64_t amount)
{
	/* One writer; atomic so that readers never see half a number. */
	__atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static void count_one(BlockNode *node, const BlockRequest *request, int result, bool refused,
		      int64_t end_ns)
{
	BlockStatistics *statistics = &node->statistics;
	BlockOperation operation = request->operation;

	__atomic_store_n(&statistics->last_ns, end_ns, __ATOMIC_RELAXED);
	if (refused) {
		add(&statistics->refused[operation], 1);
		return;
	}
	add(&statistics->total_ns[operation], end_ns - request->start_ns);
	if (result < 0) {
		add(&statistics->failed[operation], 1);
		return;
	}
	add(&statistics->operations[operation], 1);
	add(&statistics->bytes[operation], request->size);
	if (operation == BLOCK_WRITE &&
	    request->offset + request->size > statistics->highest_write_offset)
		__atomic_store_n(&statistics->highest_write_offset, request->offset + request->size,
				 __ATOMIC_RELAXED);
}

static void finish(BlockRequest *request, int result)
{
	BlockNode *top = request->node;
	int64_t end_ns = now_ns();
	bool refused = request->stage == STAGE_NOTHING && (result == -EINVAL || result == -EROFS);

	g_clear_pointer(&request->advanced, g_free);
	g_clear_pointer(&request->bounce, free);
	count_one(top, request, result, refused, end_ns);
	for (BlockNode *node = top->child; node; node = node->child)
		count_one(node, request, result, refused, end_ns);

	/* The callback may free the request; only then is nothing in flight. */
	request->complete(request, result);
	if (--top->in_flight == 0 && top->drain)
		drain_done(top);
}

static bool is_write_through(const BlockRequest *request)
{
	const BlockNode *node = request->node;

	return !node->no_flush && (request->fua || g_atomic_int_get(&node->write_through));
}

/* The work is done: make it stable if it must be, then complete. */
static void finish_work(BlockRequest *request)
{
	/* Transfers were made with RWF_DSYNC. */
	if (request->stage != STAGE_TRANSFER && request->stage != STAGE_FLUSH &&
	    request->stage != STAGE_NOTHING && is_write_through(request))
		step(request, STAGE_FLUSH);
	else
		finish(request, 0);
}

/* Transfers */

/* Make @request->advanced the part of its iovec after @request->done bytes. */
static unsigned advance(BlockRequest *request)
{
	uint64_t skip = request->done;
	unsigned first = 0;

	while (first < request->n_iov && skip >= request->iov[first].iov_len)
		skip -= request->iov[first++].iov_len;
	if (!request->advanced)
		request->advanced = g_new(struct iovec, request->n_iov);
	memcpy(request->advanced, request->iov + first,
	       (request->n_iov - first) * sizeof(struct iovec));
	if (first < request->n_iov) {
		request->advanced[0].iov_base = (char *)request->advanced[0].iov_base + skip;
		request->advanced[0].iov_len -= skip;
	}
	return request->n_iov - first;
}

static bool is_aligned(const BlockRequest *request)
{
	uintptr_t mask = request->node->file->memory_alignment - 1;

	for (unsigned i = 0; i < request->n_iov; i++) {
		if (((uintptr_t)request->iov[i].iov_base | request->iov[i].iov_len) & mask)
			return false;
	}
	return true;
}

static void prepare_transfer(BlockRequest *request)
{
	BlockFile *file = request->node->file;
	uint64_t offset = request->offset + request->done;
	bool is_read = request->operation == BLOCK_READ;
	unsigned n_iov = request->n_iov;
	struct io_uring_sqe *sqe = io_loop_get_sqe(request->node->loop, &request->io);

	if (request->bounce) {
		size_t size = MIN(request->size - request->done, BOUNCE_SIZE);

		if (!is_read)
			iov_copy_from(request->iov, request->n_iov, request->done, request->bounce,
				      size);
		if (is_read)
			io_uring_prep_read(sqe, file->fd, request->bounce, size, offset);
		else
			io_uring_prep_write(sqe, file->fd, request->bounce, size, offset);
	} else {
		const struct iovec *iov = request->iov;

		if (request->done > 0) {
			n_iov = advance(request);
			iov = request->advanced;
		}
		n_iov = MIN(n_iov, IOV_MAX);
		/* One piece needs no copy of the iovec in the kernel; a short transfer goes on. */
		if (n_iov == 1 && is_read)
			io_uring_prep_read(sqe, file->fd, iov->iov_base,
					   MIN(iov->iov_len, TRANSFER_MAX), offset);
		else if (n_iov == 1)
			io_uring_prep_write(sqe, file->fd, iov->iov_base,
					    MIN(iov->iov_len, TRANSFER_MAX), offset);
		else if (is_read)
			io_uring_prep_readv(sqe, file->fd, iov, n_iov, offset);
		else
			io_uring_prep_writev(sqe, file->fd, iov, n_iov, offset);
	}
	if (!is_read && is_write_through(request))
		sqe->rw_flags = RWF_DSYNC;
}

/* The file ends before the node does: the rest reads as zeroes. */
static void zero_rest(BlockRequest *request)
{
	unsigned n_iov = advance(request);

	for (unsigned i = 0; i < n_iov; i++)
		memset(request->advanced[i].iov_base, 0, request->advanced[i].iov_len);
}

static void transfer_done(BlockRequest *request, int result)
{
	bool is_read = request->operation == BLOCK_READ;
	bool at_end;

	if (result < 0) {
		finish(request, result);
		return;
	}
	if (result == 0 && !is_read) {
		finish(request, -EIO);
		return;
	}
	if (request->bounce && is_read)
		iov_copy_to(request->iov, request->n_iov, request->done, request->bounce, result);
	request->done += result;
	/* Direct I/O can only go on from a block's start: a part of one is the end of the file. */
	at_end = is_read &&
		 (result == 0 || (request->done & (request->node->file->offset_alignment - 1)));
	if (at_end && request->done < request->size)
		zero_rest(request);
	if (at_end || request->done >= request->size)
		finish_work(request);
	else
		step(request, STAGE_TRANSFER);
}

/* Discards and zeroes */

static bool prepare_zero_bytes(BlockRequest *request)
{
	BlockFile *file = request->node->file;
	uint64_t left = request->size - request->done;
	struct io_uring_sqe *sqe;
	unsigned n_iov = 0;

	if (!file->zeroes) {
		file->zeroes = mmap(NULL, BLOCK_ZEROES_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);
		if (file->zeroes == MAP_FAILED) {
			file->zeroes = NULL;
			return false;
		}
	}
	if (!request->advanced)
		request->advanced = g_new(struct iovec, ZERO_VECTORS);
	while (n_iov < ZERO_VECTORS && left > 0) {
		size_t part = MIN(left, BLOCK_ZEROES_SIZE);

		request->advanced[n_iov].iov_base = file->zeroes;
		request->advanced[n_iov++].iov_len = part;
		left -= part;
	}
	sqe = io_loop_get_sqe(request->node->loop, &request->io);
	io_uring_prep_writev(sqe, file->fd, request->advanced, n_iov,
			     request->offset + request->done);
	return true;
}

static void prepare_fallocate(BlockRequest *request, int mode)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(request->node->loop, &request->io);

	io_uring_prep_fallocate(sqe, request->node->file->fd, mode, request->offset, request->size);
}

static void prepare_discard_command(BlockRequest *request)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(request->node->loop, &request->io);
	unsigned long size_field = request->size;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, request->node->file->fd, NULL, 0, 0);
	sqe->off = BLOCK_URING_CMD_DISCARD;
	sqe->addr = request->offset;
	sqe->addr3 = size_field;
}

static bool is_unsupported(int result)
{
	return result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL ||
	       result == -ENOTTY || result == -ENODEV;
}

static Stage first_zero_stage(const BlockRequest *request)
{
	const BlockFile *file = request->node->file;

	if (request->may_unmap && request->node->discard && !file->no_punch_hole)
		return STAGE_PUNCH_HOLE;
	return file->no_zero_range ? STAGE_WRITE_ZERO_BYTES : STAGE_ZERO_RANGE;
}

/*
 * A discard is advice: a host that cannot do it has done it. A device's granularity is no error
 * either; only whole blocks are passed on.
 */
static Stage first_discard_stage(BlockRequest *request)
{
	const BlockFile *file = request->node->file;
	uint64_t mask = file->logical_block_size - 1;
	uint64_t start, end;

	request->result = 0;
	if (!request->node->discard || file->no_discard)
		return STAGE_NOTHING;
	if (!file->block_device)
		return file->no_punch_hole ? STAGE_NOTHING : STAGE_PUNCH_HOLE;
	start = (request->offset + mask) & ~mask;
	end = (request->offset + request->size) & ~mask;
	if (start >= end)
		return STAGE_NOTHING;
	request->offset = start;
	request->size = end - start;
	return file->no_discard_command ? STAGE_DISCARD_STALE : STAGE_DISCARD_COMMAND;
}

/* What to try where the host lacks @request->stage; STAGE_NOTHING with a result of 0: nothing. */
static Stage next_stage(BlockRequest *request)
{
	BlockFile *file = request->node->file;

	request->result = 0;
	switch ((Stage)request->stage) {
	case STAGE_DISCARD_COMMAND:
		file->no_discard_command = true;
		return STAGE_DISCARD_STALE;
	case STAGE_DISCARD_STALE:
		file->no_discard = true;
		return STAGE_NOTHING;
	case STAGE_PUNCH_HOLE:
		file->no_punch_hole = true;
		if (request->operation == BLOCK_DISCARD)
			return STAGE_NOTHING;
		return file->no_zero_range ? STAGE_WRITE_ZERO_BYTES : STAGE_ZERO_RANGE;
	default:
		file->no_zero_range = true;
		return STAGE_WRITE_ZERO_BYTES;
	}
}

static void allocation_done(BlockRequest *request, int result)
{
	if (result == 0)
		finish_work(request);
	else if (is_unsupported(result))
		step(request, next_stage(request));
	else
		finish(request, result);
}

static void zero_bytes_done(BlockRequest *request, int result)
{
	if (result <= 0) {
		finish(request, result < 0 ? result : -EIO);
		return;
	}
	request->done += result;
	if (request->done >= request->size)
		finish_work(request);
	else
		step(request, STAGE_WRITE_ZERO_BYTES);
}

/* Flushes */

/*
 * After a failed flush the kernel marks the pages clean, and the next flush would succeed although
 * data is lost: go on failing. (Direct I/O leaves nothing in the page cache to lose.)
 */
static void flush_done(BlockRequest *request, int result)
{
	BlockFile *file = request->node->file;

	if (result < 0 && !file->direct)
		file->flush_error = result;
	finish(request, result);
}

static void prepare_flush(BlockRequest *request)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(request->node->loop, &request->io);

	io_uring_prep_fsync(sqe, request->node->file->fd, IORING_FSYNC_DATASYNC);
}

/* Any */

static void prepare_nop(BlockRequest *request)
{
	io_uring_prep_nop(io_loop_get_sqe(request->node->loop, &request->io));
}

static void step(BlockRequest *request, Stage stage)
{
	request->stage = stage;
	switch (stage) {
	case STAGE_NOTHING:
		prepare_nop(request);
		break;
	case STAGE_TRANSFER:
		prepare_transfer(request);
		break;
	case STAGE_DISCARD_COMMAND:
		prepare_discard_command(request);
		break;
	case STAGE_DISCARD_STALE:
		prepare_fallocate(request, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE |
						   FALLOC_FL_NO_HIDE_STALE);
		break;
	case STAGE_PUNCH_HOLE:
		prepare_fallocate(request, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
		break;
	case STAGE_ZERO_RANGE:
		prepare_fallocate(request, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
		break;
	case STAGE_WRITE_ZERO_BYTES:
		if (!prepare_zero_bytes(request)) {
			request->result = -ENOMEM;
			step(request, STAGE_NOTHING);
		}
		break;
	case STAGE_FLUSH:
		prepare_flush(request);
		break;
	}
}

static void request_complete(IoOperation *operation, int result)
{
	BlockRequest *request =
		(BlockRequest *)((char *)operation - G_STRUCT_OFFSET(BlockRequest, io));

	if ((result == -EINTR || result == -EAGAIN) && request->retries < MAX_RETRIES) {
		request->retries++;
		step(request, request->stage);
		return;
	}
	switch ((Stage)request->stage) {
	case STAGE_NOTHING:
		finish(request, request->result);
		break;
	case STAGE_TRANSFER:
		transfer_done(request, result);
		break;
	case STAGE_WRITE_ZERO_BYTES:
		zero_bytes_done(request, result);
		break;
	case STAGE_FLUSH:
		flush_done(request, result);
		break;
	default:
		allocation_done(request, result);
		break;
	}
}

/* Whether @request may be made at all: 0 or a negative errno. */
static int check(const BlockRequest *request)
{
	const BlockNode *node = request->node;
	const BlockFile *file = node->file;
	uint64_t size = block_file_size(node->file);
	bool is_transfer = request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;

	if (request->operation == BLOCK_FLUSH)
		return node->no_flush ? 0 : file->flush_error;
	if (request->operation != BLOCK_READ && node->read_only)
		return -EROFS;
	if (request->offset > size || request->size > size - request->offset)
		return -EINVAL;
	if (is_transfer && iov_size(request->iov, request->n_iov) != request->size)
		return -EINVAL;
	if (request->operation != BLOCK_DISCARD &&
	    ((request->offset | request->size) & (file->offset_alignment - 1)))
		return -EINVAL;
	return 0;
}

static Stage first_stage(BlockRequest *request)
{
	request->result = check(request);
	if (request->result < 0)
		return STAGE_NOTHING;
	if (request->operation == BLOCK_FLUSH)
		return request->node->no_flush ? STAGE_NOTHING : STAGE_FLUSH;
	if (request->size == 0)
		return STAGE_NOTHING;
	if (request->operation == BLOCK_DISCARD)
		return first_discard_stage(request);
	if (request->operation == BLOCK_WRITE_ZEROES)
		return first_zero_stage(request);
	if (!is_aligned(request)) {
		request->bounce = aligned_alloc(MAX(request->node->file->memory_alignment, 4096),
						BOUNCE_SIZE);
		if (!request->bounce) {
			request->result = -ENOMEM;
			return STAGE_NOTHING;
		}
	}
	return STAGE_TRANSFER;
}

void block_node_submit(BlockNode *node, BlockRequest *request)
{
	request->node = node;
	request->io.complete = request_complete;
	request->done = 0;
	request->advanced = NULL;
	request->bounce = NULL;
	request->retries = 0;
	request->start_ns = now_ns();
	node->in_flight++;
	step(request, first_stage(request));
}
