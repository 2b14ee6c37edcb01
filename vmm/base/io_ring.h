/*
 * io_ring.h: what an I/O loop hands its operations to
 *
 * The kernel's io_uring; or, where a kernel, its sysctl or a seccomp filter refuses that, an
 * emulation of as much of it as we use (io_emulation.h). Loop thread, all of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/base/io_emulation.h"

#include <liburing.h>

/* Transfers of several pieces of registered memory: since 6.15; liburing 2.3 does not know them. */
#define IO_RING_OP_READV_FIXED	60
#define IO_RING_OP_WRITEV_FIXED 61

typedef struct IoRing {
	struct io_uring kernel;
	IoEmulation *emulation; /* NULL: it is the kernel's */
	int refusal;		/* the errno that the kernel gave, with an emulation */
	bool has_vectors; /* the two operations above */
	bool has_buffers;
} IoRing;

/*
 * Open @ring, the kernel's restricted to the operations that we use. *@free_files is a bit for each
 * place of its table of files. Returns 0 or a negative errno.
 */
int io_ring_open(IoRing *ring, uint64_t *free_files);

/* Close it; nothing is in flight. */
void io_ring_close(IoRing *ring);

/*
 * Register @pieces (@n) of memory with a ring of the kernel's, until it is closed. Returns 0 or a
 * negative errno.
 */
int io_ring_register_buffers(IoRing *ring, const struct iovec *pieces, unsigned n);

/* The next free entry, cleared; NULL: submit first. */
struct io_uring_sqe *io_ring_get_sqe(IoRing *ring);

/* Whether there are entries that are not submitted. */
bool io_ring_has_entries(IoRing *ring);

/* Submit them. Returns how many they were or a negative errno. */
int io_ring_submit(IoRing *ring);

/* Submit, and wait until there are @n_wait (0 or 1) completions. As io_ring_submit(). */
int io_ring_submit_and_wait(IoRing *ring, unsigned n_wait);

/*
 * Whether there is something for us, by what can be seen without a system call; an emulation makes
 * one.
 */
bool io_ring_has_work(IoRing *ring);

/* How many completions there are. */
unsigned io_ring_n_completions(IoRing *ring);

/* Take one: false: there is none. @more: the operation goes on, and will complete again. */
bool io_ring_take(IoRing *ring, IoOperation **operation, int *result, bool *more);
