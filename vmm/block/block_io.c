/*
 * block_io.c: requests to a file, through io_uring or threads
 *
 * A request is a series of steps, each one submission entry: transfers until all is done (a short
 * one is followed by another for the rest), then a flush where the write cache is off. A step that
 * is not possible (out of range, read-only) is a no-op whose completion carries the error, so that
 * completion is always later and from the loop.
 *
 * Guest memory that keeps its pages (guest_memory_keep()) is registered with each ring that a file
 * is used on, when the first is: transfers by io_uring to and from it use that; others (a bounce
 * buffer, a memory device's memory) do without.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_file.h"
#include "vmm/block/block_internal.h"
#include "vmm/base/io_workers.h"
#include "vmm/base/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Direct I/O from memory that is not aligned for it is copied in pieces of this many bytes. */
#define BOUNCE_SIZE (256u * 1024)
/* Zeroes written where the host cannot make them: pieces of this many iovecs. */
#define ZERO_VECTORS 16
#define MAX_RETRIES  100
/* More than the kernel takes at once anyway, in whole blocks. */
#define TRANSFER_MAX (1u << 31)
/* Of aio=threads: as many requests of a port are with the kernel at a time. */
#define N_WORKERS 8

typedef struct FilePort {
	BlockPort port; /* first */
	IoFile *file;
	IoWorkers *workers;  /* with aio=threads; else NULL */
	unsigned submission; /* of the loop, when @prepared was 0 */
	unsigned prepared;   /* of port.in_flight: not submitted yet */
} FilePort;

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

static BlockFile *file_of(const BlockRequest *request)
{
	return (BlockFile *)request->node->bottom;
}

static FilePort *port_of(const BlockRequest *request)
{
	return (FilePort *)request->port;
}

/*
 * Whether @request goes past the end of a device that is gone, or has become smaller. Linux says of
 * one that there is no space on it, which waiting for somebody to make some would not help.
 */
static bool is_past_end(const BlockRequest *request)
{
	const BlockFile *file = file_of(request);
	off_t size = file->block_device ? lseek(file->fd, 0, SEEK_END) : -1;

	return size >= 0 && request->offset + request->size > (uint64_t)size;
}

static void finish(BlockRequest *request, int result)
{
	bool refused = request->stage == STAGE_NOTHING && (result == -EINVAL || result == -EROFS);

	if (result == -ENOSPC && is_past_end(request))
		result = -ENXIO;
	g_clear_pointer(&request->advanced, g_free);
	g_clear_pointer(&request->bounce, free);
	if (request->split)
		block_split_part_done(request, result);
	else
		block_port_finish(request, result, refused);
}

/* Files are shared by loops: what one finds out about the host may be read by another. */
static bool known(const bool *fact)
{
	return __atomic_load_n(fact, __ATOMIC_RELAXED);
}

static void learn(bool *fact)
{
	__atomic_store_n(fact, true, __ATOMIC_RELAXED);
}

/* The entry for a step of @request, wherever it is carried out. */
static struct io_uring_sqe *get_sqe(BlockRequest *request)
{
	FilePort *port = port_of(request);

	return port->workers ? io_workers_get_sqe(port->workers, &request->io)
			     : io_loop_get_sqe(port->port.loop, &request->io);
}

static void use_file(const BlockRequest *request, struct io_uring_sqe *sqe)
{
	if (port_of(request)->workers)
		sqe->fd = file_of(request)->fd;
	else
		io_file_use(port_of(request)->file, sqe);
}

/* The work is done: make it stable if it must be, then complete. */
static void finish_work(BlockRequest *request)
{
	/* Transfers were made with RWF_DSYNC. */
	if (request->stage != STAGE_TRANSFER && request->stage != STAGE_FLUSH &&
	    request->stage != STAGE_NOTHING && block_request_is_write_through(request))
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
	const BlockFile *file = file_of(request);

	/* A device may take memory from any word on, but of that whole blocks. */
	for (unsigned i = 0; i < request->n_iov; i++) {
		if (((uintptr_t)request->iov[i].iov_base & (file->memory_alignment - 1)) ||
		    (request->iov[i].iov_len & (file->offset_alignment - 1)))
			return false;
	}
	return true;
}

static void prepare_transfer(BlockRequest *request)
{
	uint64_t offset = request->offset + request->done;
	bool is_read = request->operation == BLOCK_READ;
	unsigned n_iov = request->n_iov;
	struct io_uring_sqe *sqe = get_sqe(request);

	if (request->bounce) {
		size_t size = MIN(request->size - request->done, BOUNCE_SIZE);

		if (!is_read)
			iov_copy_from(request->iov, request->n_iov, request->done, request->bounce,
				      size);
		if (is_read)
			io_uring_prep_read(sqe, -1, request->bounce, size, offset);
		else
			io_uring_prep_write(sqe, -1, request->bounce, size, offset);
	} else {
		const struct iovec *iov = request->iov;

		if (request->done > 0) {
			n_iov = advance(request);
			iov = request->advanced;
		}
		n_iov = MIN(n_iov, IOV_MAX);
		/* One piece needs no copy of the iovec in the kernel; a short transfer goes on. */
		if (n_iov == 1 && is_read)
			io_uring_prep_read(sqe, -1, iov->iov_base, MIN(iov->iov_len, TRANSFER_MAX),
					   offset);
		else if (n_iov == 1)
			io_uring_prep_write(sqe, -1, iov->iov_base, MIN(iov->iov_len, TRANSFER_MAX),
					    offset);
		else if (is_read)
			io_uring_prep_readv(sqe, -1, iov, n_iov, offset);
		else
			io_uring_prep_writev(sqe, -1, iov, n_iov, offset);
		if (!port_of(request)->workers)
			request->registered = io_loop_use_buffers(request->port->loop, sqe);
	}
	use_file(request, sqe);
	if (!is_read && block_request_is_write_through(request))
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
		 (result == 0 || (request->done & (file_of(request)->offset_alignment - 1)));
	if (at_end && request->done < request->size && file_of(request)->block_device) {
		finish(request, -ENXIO);
		return;
	}
	if (at_end && request->done < request->size)
		zero_rest(request);
	if (at_end || request->done >= request->size)
		finish_work(request);
	else
		step(request, STAGE_TRANSFER);
}

/* Discards and zeroes */

/* Never written to, so that it takes no memory. */
static uint8_t zeroes[BLOCK_ZEROES_SIZE] __attribute__((aligned(4096)));

static void prepare_zero_bytes(BlockRequest *request)
{
	uint64_t left = request->size - request->done;
	struct io_uring_sqe *sqe;
	unsigned n_iov = 0;

	if (!request->advanced)
		request->advanced = g_new(struct iovec, ZERO_VECTORS);
	while (n_iov < ZERO_VECTORS && left > 0) {
		size_t part = MIN(left, BLOCK_ZEROES_SIZE);

		request->advanced[n_iov].iov_base = zeroes;
		request->advanced[n_iov++].iov_len = part;
		left -= part;
	}
	sqe = get_sqe(request);
	io_uring_prep_writev(sqe, -1, request->advanced, n_iov, request->offset + request->done);
	use_file(request, sqe);
}

static void prepare_fallocate(BlockRequest *request, int mode)
{
	struct io_uring_sqe *sqe = get_sqe(request);

	io_uring_prep_fallocate(sqe, -1, mode, request->offset, request->size);
	use_file(request, sqe);
}

static void prepare_discard_command(BlockRequest *request)
{
	struct io_uring_sqe *sqe = get_sqe(request);
	unsigned long size_field = request->size;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, -1, NULL, 0, 0);
	sqe->off = BLOCK_URING_CMD_DISCARD;
	sqe->addr = request->offset;
	sqe->addr3 = size_field;
	use_file(request, sqe);
}

static bool is_unsupported(int result)
{
	return result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL ||
	       result == -ENOTTY || result == -ENODEV;
}

static Stage first_zero_stage(const BlockRequest *request)
{
	const BlockFile *file = file_of(request);

	if (block_request_may_unmap(request) && !known(&file->no_punch_hole))
		return STAGE_PUNCH_HOLE;
	return known(&file->no_zero_range) ? STAGE_WRITE_ZERO_BYTES : STAGE_ZERO_RANGE;
}

/*
 * A discard is advice: a host that cannot do it has done it. A device's granularity is no error
 * either; only whole blocks are passed on.
 */
static Stage first_discard_stage(BlockRequest *request)
{
	const BlockFile *file = file_of(request);
	uint64_t mask = file->bottom.logical_block_size - 1;
	uint64_t start, end;

	request->result = 0;
	if (!request->node->discard || known(&file->no_discard))
		return STAGE_NOTHING;
	if (!file->block_device)
		return known(&file->no_punch_hole) ? STAGE_NOTHING : STAGE_PUNCH_HOLE;
	start = (request->offset + mask) & ~mask;
	end = (request->offset + request->size) & ~mask;
	if (start >= end)
		return STAGE_NOTHING;
	request->offset = start;
	request->size = end - start;
	return known(&file->no_discard_command) ? STAGE_DISCARD_STALE : STAGE_DISCARD_COMMAND;
}

/* What to try where the host lacks @request->stage; STAGE_NOTHING with a result of 0: nothing. */
static Stage next_stage(BlockRequest *request)
{
	BlockFile *file = file_of(request);

	request->result = 0;
	switch ((Stage)request->stage) {
	case STAGE_DISCARD_COMMAND:
		learn(&file->no_discard_command);
		return STAGE_DISCARD_STALE;
	case STAGE_DISCARD_STALE:
		learn(&file->no_discard);
		return STAGE_NOTHING;
	case STAGE_PUNCH_HOLE:
		learn(&file->no_punch_hole);
		if (request->operation == BLOCK_DISCARD)
			return STAGE_NOTHING;
		return known(&file->no_zero_range) ? STAGE_WRITE_ZERO_BYTES : STAGE_ZERO_RANGE;
	default:
		learn(&file->no_zero_range);
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
	BlockFile *file = file_of(request);

	if (result < 0 && !file->bottom.direct)
		__atomic_store_n(&file->flush_error, result, __ATOMIC_RELAXED);
	finish(request, result);
}

static void prepare_flush(BlockRequest *request)
{
	struct io_uring_sqe *sqe = get_sqe(request);

	io_uring_prep_fsync(sqe, -1, IORING_FSYNC_DATASYNC);
	use_file(request, sqe);
}

/* Any */

static void prepare_nop(BlockRequest *request)
{
	io_uring_prep_nop(io_loop_get_sqe(request->port->loop, &request->io));
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
		prepare_zero_bytes(request);
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
	const BlockFile *file = file_of(request);
	int result = block_request_check(request);

	if (result < 0)
		return result;
	if (request->operation == BLOCK_FLUSH)
		return request->node->no_flush
			       ? 0
			       : __atomic_load_n(&file->flush_error, __ATOMIC_RELAXED);
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
	if (block_request_is_zeroing(request))
		return first_zero_stage(request);
	if (!is_aligned(request)) {
		request->bounce =
			aligned_alloc(MAX(file_of(request)->memory_alignment, 4096), BOUNCE_SIZE);
		if (!request->bounce) {
			request->result = -ENOMEM;
			return STAGE_NOTHING;
		}
	}
	return STAGE_TRANSFER;
}

/* Whether the host's device takes @request in parts only. */
static bool is_too_large(const BlockRequest *request)
{
	uint32_t max = file_of(request)->max_transfer;

	return max && request->size > max && !request->bounce && !port_of(request)->workers;
}

void block_file_start_part(BlockRequest *request)
{
	Stage stage;

	request->io.complete = request_complete;
	request->done = 0;
	request->advanced = NULL;
	request->bounce = NULL;
	request->retries = 0;
	stage = first_stage(request);
	if (stage == STAGE_TRANSFER && is_too_large(request))
		block_split_start(request);
	else
		step(request, stage);
}

/*
 * A batch is one submission, except where the host has less to do than waits here: it begins while
 * we prepare the rest. That doubles what it has each time, so an idle disk costs a few more system
 * calls and a busy one none.
 */
static void hurry(FilePort *file_port)
{
	const BlockPort *port = &file_port->port;
	unsigned before = port->in_flight - 1;
	unsigned submission = io_loop_n_submissions(port->loop);

	if (file_port->submission != submission)
		file_port->prepared = 0;
	file_port->submission = submission;
	if (file_port->prepared > 0 && file_port->prepared > before - file_port->prepared) {
		io_loop_submit(port->loop);
		file_port->submission = io_loop_n_submissions(port->loop);
		file_port->prepared = 0;
	}
}

static void file_start(BlockRequest *request)
{
	FilePort *port = port_of(request);

	if (!port->workers)
		hurry(port);
	port->prepared++;
	block_file_start_part(request);
}

static void port_open(gpointer data)
{
	FilePort *port = data;
	const BlockFile *file = (const BlockFile *)port->port.node->bottom;
	const GuestMemory *memory = block_nodes_memory(port->port.node->nodes);
	g_autoptr(GArray) kept = NULL;

	port->file = io_loop_add_file(port->port.loop, file->fd);
	if (!memory || file->threads)
		return;
	kept = guest_memory_kept(memory);
	io_loop_add_buffers(port->port.loop, (const struct iovec *)kept->data, kept->len,
			    port->port.node->is_live);
}

static void port_close(gpointer data)
{
	FilePort *port = data;

	if (port->file)
		io_file_remove(port->file);
}

static bool file_open_ports(BlockNode *node, GError **error)
{
	const BlockFile *file = (const BlockFile *)node->bottom;

	for (unsigned i = 0; i < node->n_ports; i++) {
		FilePort *port = (FilePort *)node->ports[i];

		/* Before any request, as those come from the same loop later. */
		io_loop_post(port->port.loop, port_open, port);
		if (file->threads) {
			port->workers = io_workers_new(port->port.loop, N_WORKERS, error);
			if (!port->workers)
				return false;
		}
	}
	return true;
}

static void file_close_ports(BlockNode *node)
{
	for (unsigned i = 0; i < node->n_ports; i++) {
		FilePort *port = (FilePort *)node->ports[i];

		io_loop_run_sync(port->port.loop, port_close, port);
		io_workers_free(port->workers);
	}
}

const BlockBottomOps block_file_ops = {
	.port_size = sizeof(FilePort),
	.open_ports = file_open_ports,
	.close_ports = file_close_ports,
	.start = file_start,
	.allocated = block_file_allocated,
	.resize = block_file_resize,
	.free = block_file_free,
};
