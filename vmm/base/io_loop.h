/*
 * io_loop.h: an I/O thread and its io_uring
 *
 * Virtqueues, disks and network back ends live on one of these. Operations are prepared into the
 * ring while callbacks run and submitted together when the loop next waits, so one system call
 * serves a whole batch.
 *
 * "Loop thread" below is the thread that the IoLoop owns. Everything else says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct io_uring_sqe;

typedef struct IoLoop IoLoop;
typedef struct IoWatch IoWatch;
typedef struct IoOperation IoOperation;

/* Runs on the loop thread. */
typedef void (*IoLoopFunc)(gpointer data);

/* One operation in flight, embedded in its owner; must stay alive until @complete has run. */
struct IoOperation {
	/* Loop thread; @result is the CQE's: bytes or negative errno. */
	void (*complete)(IoOperation *operation, int result);
};

/*
 * Start a thread called @name (cut to 15 bytes for the kernel) with its ring. @thread_init, if
 * not NULL, runs first on it with @data (it installs the seccomp filter). Main thread. NULL and
 * @error when the kernel refuses a ring or a thread.
 */
IoLoop *io_loop_new(const char *name, IoLoopFunc thread_init, gpointer data, GError **error);

/* Stop and join the thread; nothing may be in flight and no watch left. Main thread. */
void io_loop_free(IoLoop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IoLoop, io_loop_free)

/* The kernel's id of the loop thread (query-iothreads, pinning). Any thread. */
int io_loop_thread_id(const IoLoop *loop);

/* Whether the caller is the loop thread. */
bool io_loop_is_current(const IoLoop *loop);

/* Run @func(@data) on the loop thread soon, in order of posting. Any thread; never blocks. */
void io_loop_post(IoLoop *loop, IoLoopFunc func, gpointer data);

/* As io_loop_post(), but returns after @func did; at once when called on the loop thread. */
void io_loop_run_sync(IoLoop *loop, IoLoopFunc func, gpointer data);

/*
 * The next free submission entry, already bound to @operation; prepare it with io_uring_prep_*
 * (liburing's) and leave user_data alone. It is submitted before the loop next waits. Loop
 * thread. Never NULL: a full ring is submitted first.
 */
struct io_uring_sqe *io_loop_get_sqe(IoLoop *loop, IoOperation *operation);

/*
 * Call @func(@data) whenever @fd is readable (eventfds are not read for the caller), until
 * io_watch_remove(). @writable watches for POLLOUT instead. Loop thread.
 */
IoWatch *io_loop_watch_fd(IoLoop *loop, int fd, bool writable, IoLoopFunc func, gpointer data);

/* End @watch; its callback never runs again and the descriptor may be closed. Loop thread. */
void io_watch_remove(IoWatch *watch);
