/*
 * io_loop_internal.h: what the files of the I/O loop share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/base/io_loop.h"
#include "vmm/base/io_ring.h"

#include <pthread.h>

typedef struct IoPost {
	IoLoopFunc func;
	gpointer data;
} IoPost;

/* A part of the memory that is registered with a ring. */
typedef struct IoBufferArea {
	uint64_t start, size; /* bytes */
	unsigned first;	      /* place in the ring's table of the first of its pieces */
} IoBufferArea;

struct IoLoop {
	IoRing ring;
	IoWorkers *workers; /* of an emulated ring */
	pthread_t thread;
	char name[16];
	int thread_id;
	IoLoopFunc thread_init;
	gpointer init_data;

	int wake_fd; /* blocking on purpose: io_uring fails a read of a non-blocking one */
	uint64_t wake_count;
	IoOperation wake;

	GMutex lock; /* protects what follows */
	GCond started_cond;
	bool started;
	int start_errno;
	GArray *posts; /* IoPost */

	/* Loop thread's own. */
	GArray *running_posts;
	bool stopping;
	unsigned n_watches;
	IoLoopPolling polling;
	int64_t poll_ns;    /* for how long it polls now */
	GPtrArray *pollers; /* IoPoller, owned */
	bool pollers_begun;
	unsigned n_holds; /* who must be through before it ends */
	bool more;	   /* of what completes now there will be other completions */
	bool no_multishot; /* the kernel (before 5.13) polls once only */
	IoDeferred *deferred; /* the last one deferred is the first in the list */
	unsigned n_submissions;
	unsigned n_gathering; /* who want it to gather */
	uint64_t free_files; /* a bit for each free place in the table of files */
	IoBufferArea *buffers;
	unsigned n_buffers;
	bool buffers_tried;
};

/*
 * Give @ring, not enabled yet, room for registered files; a kernel that will not gives none.
 * Returns a bit for each place.
 */
uint64_t io_files_make_table(struct io_uring *ring);

/*
 * The place, in the table of a ring that @areas (@n) are registered with, of the piece that all of
 * the @size bytes at @address lie in; -1: they do not. Any thread.
 */
int io_buffers_find(const IoBufferArea *areas, unsigned n, uint64_t address, uint64_t size);

/*
 * Start a thread for I/O, with a small stack and every signal blocked that is not its own fault:
 * they are the main thread's. Returns 0 or an errno.
 */
int io_loop_start_thread(pthread_t *thread, void *(*func)(void *), void *data);

/*
 * For how long to poll next time, nanoseconds: something came @waited_ns after the loop was idle,
 * which polls for @poll_ns. Any thread.
 */
int64_t io_loop_next_poll_ns(const IoLoopPolling *polling, int64_t poll_ns, int64_t waited_ns);
