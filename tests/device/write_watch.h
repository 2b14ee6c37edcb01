/*
 * write_watch.h: which pages of a piece of memory are written, as the kernel sees it
 *
 * The memory is mapped twice: one mapping is the test's, the other is watched. The kernel tells
 * which pages were written through the latter, by the program or for it by a system call or
 * io_uring, whatever they hold.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdint.h>

typedef struct WriteWatch {
	uint64_t size;	/* bytes */
	int fd;		/* of the memory, a memfd */
	uint8_t *plain; /* where nobody watches */
	uint8_t *watched;
	int userfault_fd, pagemap_fd;
} WriteWatch;

/* @size bytes of zeroes; NULL where the kernel cannot watch (Linux 6.7 is the first that can). */
WriteWatch *write_watch_new(uint64_t size);
void write_watch_free(WriteWatch *watch);

/* Fail the test unless all pages that were written are in @marked, a bit for each. */
void write_watch_check(const WriteWatch *watch, const uint64_t *marked);
