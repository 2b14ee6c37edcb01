/*
 * io_loop.h: an I/O thread and its io_uring
 *
 * Virtqueues, disks and network back ends live on one of these. Operations are prepared into the
 * ring while callbacks run and submitted together when the loop next waits, so one system call
 * serves a whole batch. What callbacks want to say to others once for a batch (interrupts) they
 * defer to that point, too.
 *
 * A loop can be told to poll before it sleeps, for as long as experience says that something comes
 * soon enough (io_loop_set_polling()): that saves the wake-up, and, where a poller looks at a queue
 * itself, its producer's notification.
 *
 * A host that refuses io_uring costs speed, no more: its entries are then carried out by threads.
 *
 * "Loop thread" below is the thread that the IoLoop owns. Everything else says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct io_uring_sqe;
struct iovec;

typedef struct IoLoop IoLoop;
typedef struct IoWatch IoWatch;
typedef struct IoOperation IoOperation;
typedef struct IoPoller IoPoller;
typedef struct IoDeferred IoDeferred;
typedef struct IoFile IoFile;
typedef struct IoTimer IoTimer;

/* Runs on the loop thread. */
typedef void (*IoLoopFunc)(gpointer data);

/* One operation in flight, embedded in its owner; must stay alive until @complete has run. */
struct IoOperation {
	/* Loop thread; @result is the CQE's: bytes or negative errno. */
	void (*complete)(IoOperation *operation, int result);
};

/* Something to do before the loop next waits; embedded in its owner, zeroed but for @func. */
struct IoDeferred {
	void (*func)(IoDeferred *deferred); /* loop thread */
	/* The loop's own. */
	IoDeferred *next;
	IoDeferred **link; /* what points here; NULL: not deferred */
};

/*
 * Start a thread called @name (cut to 15 bytes for the kernel) with its ring. @thread_init, if
 * not NULL, runs first on it with @data (it installs the seccomp filter). Main thread. NULL and
 * @error when the kernel refuses descriptors or a thread.
 */
IoLoop *io_loop_new(const char *name, IoLoopFunc thread_init, gpointer data, GError **error);

/* Stop and join the thread; nothing may be in flight and no watch left. Main thread. */
void io_loop_free(IoLoop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IoLoop, io_loop_free)

/*
 * An operation goes on that nobody waits for, but whose memory is its own: the thread does not end
 * before io_loop_release(). Loop thread.
 */
void io_loop_hold(IoLoop *loop);
void io_loop_release(IoLoop *loop);

/* The kernel's id of the loop thread (query-iothreads, pinning). Any thread. */
int io_loop_thread_id(const IoLoop *loop);

/*
 * @gather: rather than to be quick, serve much at a time, for a stream, of which one item alone is
 * of no use. The loop does while anybody wants it, each of whom takes it back once. Loop thread.
 */
void io_loop_gather(IoLoop *loop, bool gather);

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

/* Counts submissions: what was prepared at another count has been submitted. Loop thread. */
unsigned io_loop_n_submissions(const IoLoop *loop);

/*
 * Submit what is prepared now, where that is worth a system call of its own. Loop thread. Returns
 * how much was, or a negative errno; what was not is submitted before the loop waits.
 */
int io_loop_submit(IoLoop *loop);

/*
 * Have @deferred->func called once, after the callbacks of everything that is complete by now and
 * before the loop waits or polls. Nothing where it is deferred already. Loop thread.
 */
void io_loop_defer(IoLoop *loop, IoDeferred *deferred);

/* It is not called, if it was going to be. Loop thread. */
void io_deferred_cancel(IoDeferred *deferred);

/*
 * Register @fd with the ring, so that operations on it do not look it up each time; it stays the
 * caller's, and open until io_file_remove(). Loop thread. Never NULL: where the ring has no room
 * or the kernel refuses, operations name the descriptor as ever.
 */
IoFile *io_loop_add_file(IoLoop *loop, int fd);

/* Make @sqe, prepared with any descriptor, an operation on @file. Loop thread. */
void io_file_use(const IoFile *file, struct io_uring_sqe *sqe);

/* Unregister and free @file; nothing of it is in flight. Loop thread. */
void io_file_remove(IoFile *file);

/*
 * Register the memory of @areas (@n, copied) with the ring, so that the kernel does not look up its
 * pages for each operation; the memory is mapped, and keeps its pages, for as long as the loop is
 * there. Once: later calls do nothing. That takes tens of milliseconds per GiB, in which the loop
 * serves nobody: with @unless_busy it is not done where the loop watches anything by then. Then, and
 * where the kernel refuses, a message says so and operations are what they were. Loop thread.
 */
void io_loop_add_buffers(IoLoop *loop, const struct iovec *areas, unsigned n, bool unless_busy);

/*
 * Make @sqe, a read or write, with vectors or without, prepared by io_uring_prep_*(), an operation
 * on registered memory. False, with @sqe as it was, where its memory is not, or not all in one
 * piece, or the kernel lacks such an operation. Loop thread.
 */
bool io_loop_use_buffers(const IoLoop *loop, struct io_uring_sqe *sqe);

/*
 * Call @func(@data) whenever @fd is readable (eventfds are not read for the caller), until
 * io_watch_remove(). @writable watches for POLLOUT instead. Loop thread.
 */
IoWatch *io_loop_watch_fd(IoLoop *loop, int fd, bool writable, IoLoopFunc func, gpointer data);

/*
 * The same for when the peer of the stream socket @fd has hung up, whatever there is to be read.
 * Loop thread.
 */
IoWatch *io_loop_watch_hang_up(IoLoop *loop, int fd, IoLoopFunc func, gpointer data);

/*
 * The same for signals of @fd, an eventfd that blocks and that nobody else reads: @func need not
 * take them, and several may be one call. Signals from before the watch are one, too. Loop thread.
 */
IoWatch *io_loop_watch_event(IoLoop *loop, int fd, IoLoopFunc func, gpointer data);

/* End @watch; its callback never runs again and the descriptor may be closed. Loop thread. */
void io_watch_remove(IoWatch *watch);

/* CLOCK_MONOTONIC, nanoseconds: what timers go by. Any thread. */
static inline int64_t io_loop_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A timer, not set, that calls @func(@data). Loop thread. */
IoTimer *io_loop_add_timer(IoLoop *loop, IoLoopFunc func, gpointer data);

/* Fire once, soon after @due_ns, in place of when it was set to before. Loop thread. */
void io_timer_set(IoTimer *timer, int64_t due_ns);

/* Do not fire. Loop thread. */
void io_timer_stop(IoTimer *timer);

/* Stop and free it. Loop thread. */
void io_timer_free(IoTimer *timer);

/* How a loop polls; the same arithmetic as QEMU's. */
typedef struct IoLoopPolling {
	int64_t max_ns; /* the longest it polls, nanoseconds; 0: not at all */
	int64_t grow;	/* factor by which the time grows when more would have helped; 0: 2 */
	int64_t shrink; /* divisor by which it shrinks when it was in vain; 0: back to nothing */
} IoLoopPolling;

/* Poll as @polling says from now on; a new loop does not. Any thread. */
void io_loop_set_polling(IoLoop *loop, const IoLoopPolling *polling);

/* What a poller does; all on the loop thread, with its data. */
typedef struct IoPollerOps {
	/* Polling starts: notifications are not needed. */
	void (*begin)(gpointer data);
	/* Do what there is to do, if there is any; returns whether there was. */
	bool (*poll)(gpointer data);
	/* The loop is going to sleep: notifications are needed from here on. */
	void (*end)(gpointer data);
} IoPollerOps;

/* Have @ops called while the loop polls, until io_poller_remove(). Loop thread. */
IoPoller *io_loop_add_poller(IoLoop *loop, const IoPollerOps *ops, gpointer data);

/* No more calls of @poller's; if polling has begun it gets no end(). Loop thread. */
void io_poller_remove(IoPoller *poller);
