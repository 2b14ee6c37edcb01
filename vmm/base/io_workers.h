/*
 * io_workers.h: operations made by threads in place of the kernel
 *
 * For what the ring of an I/O loop cannot or shall not do: a few threads that carry out the same
 * operations, described in the same way, with system calls that may block.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/base/io_loop.h"

typedef struct IoWorkers IoWorkers;

/*
 * Start @n threads that work for @loop, which outlives them, called as it is. They run the loop's
 * thread_init before their first operation. Main thread. NULL and @error: no more threads.
 */
IoWorkers *io_workers_new(IoLoop *loop, unsigned n, GError **error);

/* Stop and join them; nothing is in flight. Main thread. */
void io_workers_free(IoWorkers *workers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IoWorkers, io_workers_free)

/*
 * As io_loop_get_sqe(): an entry bound to @operation, of a read, write (vectored or not), fsync or
 * fallocate of a descriptor that is not registered; anything else is -EOPNOTSUPP. Handed over
 * before the loop next waits; @operation completes on the loop. Loop thread.
 */
struct io_uring_sqe *io_workers_get_sqe(IoWorkers *workers, IoOperation *operation);

/* Hand over now what is prepared. Loop thread. */
void io_workers_submit(IoWorkers *workers);
