/*
 * io_workers.c: operations made by threads in place of the kernel
 *
 * What callbacks prepare is handed over once for each turn of the loop, and what is done comes back
 * in one post for all that is there by then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_workers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/io_loop_internal.h"

typedef struct IoWork IoWork;

struct IoWork {
	IoWork *next;
	IoOperation *operation;
	struct io_uring_sqe sqe;
	int result;
};

struct IoWorkers {
	IoLoop *loop;
	pthread_t *threads;
	unsigned n_threads;

	/* Loop thread. */
	IoWork *free;
	IoWork *prepared, **prepared_end;
	IoDeferred hand_over;

	GMutex lock; /* protects what follows */
	GCond cond;
	IoWork *waiting, **waiting_end;
	IoWork *done;
	bool stopping;
};

static ssize_t carry_out(const struct io_uring_sqe *sqe)
{
	struct iovec one = { .iov_base = (void *)(uintptr_t)sqe->addr, .iov_len = sqe->len };
	const struct iovec *many = one.iov_base;
	off_t offset = (off_t)sqe->off;

	switch (sqe->opcode) {
	case IORING_OP_READ:
		return preadv2(sqe->fd, &one, 1, offset, sqe->rw_flags);
	case IORING_OP_WRITE:
		return pwritev2(sqe->fd, &one, 1, offset, sqe->rw_flags);
	case IORING_OP_READV:
		return preadv2(sqe->fd, many, (int)sqe->len, offset, sqe->rw_flags);
	case IORING_OP_WRITEV:
		return pwritev2(sqe->fd, many, (int)sqe->len, offset, sqe->rw_flags);
	case IORING_OP_FSYNC:
		return sqe->fsync_flags & IORING_FSYNC_DATASYNC ? fdatasync(sqe->fd)
								: fsync(sqe->fd);
	case IORING_OP_FALLOCATE: /* the length is in addr, the mode in len */
		return fallocate(sqe->fd, (int)sqe->len, offset, (off_t)sqe->addr);
	default:
		errno = EOPNOTSUPP;
		return -1;
	}
}

/* On the loop: give everything back that is done. */
static void collect(gpointer data)
{
	IoWorkers *workers = data;
	IoWork *work;

	g_mutex_lock(&workers->lock);
	work = g_steal_pointer(&workers->done);
	g_mutex_unlock(&workers->lock);
	while (work) {
		IoWork *next = work->next;
		IoOperation *operation = work->operation;
		int result = work->result;

		/* First, as the callback may need one. */
		work->next = workers->free;
		workers->free = work;
		operation->complete(operation, result);
		work = next;
	}
}

static void *worker_main(void *data)
{
	IoWorkers *workers = data;
	bool initialised = false;

	pthread_setname_np(pthread_self(), workers->loop->name);
	g_mutex_lock(&workers->lock);
	for (;;) {
		IoWork *work = workers->waiting;
		ssize_t result;
		bool first;

		if (!work && workers->stopping)
			break;
		if (!work) {
			g_cond_wait(&workers->cond, &workers->lock);
			continue;
		}
		workers->waiting = work->next;
		if (!workers->waiting)
			workers->waiting_end = &workers->waiting;
		g_mutex_unlock(&workers->lock);

		if (!initialised && workers->loop->thread_init)
			workers->loop->thread_init(workers->loop->init_data);
		initialised = true;
		result = carry_out(&work->sqe);
		work->result = result < 0 ? -errno : (int)result;

		g_mutex_lock(&workers->lock);
		first = !workers->done;
		work->next = workers->done;
		workers->done = work;
		if (first)
			io_loop_post(workers->loop, collect, workers);
	}
	g_mutex_unlock(&workers->lock);
	return NULL;
}

static void hand_over(IoDeferred *deferred)
{
	IoWorkers *workers =
		(IoWorkers *)((char *)deferred - G_STRUCT_OFFSET(IoWorkers, hand_over));

	g_mutex_lock(&workers->lock);
	*workers->waiting_end = workers->prepared;
	workers->waiting_end = workers->prepared_end;
	/* Each that wakes takes one, and looks for more before it sleeps. */
	for (IoWork *work = workers->prepared; work; work = work->next)
		g_cond_signal(&workers->cond);
	g_mutex_unlock(&workers->lock);
	workers->prepared = NULL;
	workers->prepared_end = &workers->prepared;
}

void io_workers_submit(IoWorkers *workers)
{
	if (!workers->prepared)
		return;
	io_deferred_cancel(&workers->hand_over);
	hand_over(&workers->hand_over);
}

struct io_uring_sqe *io_workers_get_sqe(IoWorkers *workers, IoOperation *operation)
{
	IoWork *work = workers->free;

	if (work)
		workers->free = work->next;
	else
		work = g_new(IoWork, 1);
	memset(&work->sqe, 0, sizeof(work->sqe));
	work->operation = operation;
	work->next = NULL;
	*workers->prepared_end = work;
	workers->prepared_end = &work->next;
	io_loop_defer(workers->loop, &workers->hand_over);
	return &work->sqe;
}

IoWorkers *io_workers_new(IoLoop *loop, unsigned n, GError **error)
{
	IoWorkers *workers = g_new0(IoWorkers, 1);

	workers->loop = loop;
	workers->threads = g_new0(pthread_t, n);
	workers->hand_over.func = hand_over;
	workers->prepared_end = &workers->prepared;
	workers->waiting_end = &workers->waiting;
	g_mutex_init(&workers->lock);
	g_cond_init(&workers->cond);
	while (workers->n_threads < n) {
		int result = io_loop_start_thread(&workers->threads[workers->n_threads],
						  worker_main, workers);

		if (result != 0) {
			error_fail_errno(error, result, "cannot start a thread for I/O");
			io_workers_free(workers);
			return NULL;
		}
		workers->n_threads++;
	}
	return workers;
}

void io_workers_free(IoWorkers *workers)
{
	if (!workers)
		return;
	g_mutex_lock(&workers->lock);
	workers->stopping = true;
	g_cond_broadcast(&workers->cond);
	g_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->n_threads; i++)
		pthread_join(workers->threads[i], NULL);
	g_warn_if_fail(!workers->prepared && !workers->waiting && !workers->done);
	while (workers->free) {
		IoWork *next = workers->free->next;

		g_free(workers->free);
		workers->free = next;
	}
	g_mutex_clear(&workers->lock);
	g_cond_clear(&workers->cond);
	g_free(workers->threads);
	g_free(workers);
}
