/*
 * io_watch.c: descriptors that an I/O loop watches
 *
 * One-shot polls, or reads of an eventfd, armed again after their callback.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_loop_internal.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <poll.h>

struct IoWatch {
	IoOperation poll;
	IoLoop *loop;
	IoLoopFunc func;
	gpointer data;
	int fd;
	short events;
	bool is_event; /* an eventfd, of which @count is read */
	uint64_t count;
	bool armed; /* a poll or read is with the kernel */
	bool in_callback;
	bool removed;
};

static void watch_arm(IoWatch *watch)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(watch->loop, &watch->poll);

	if (watch->is_event)
		io_uring_prep_read(sqe, watch->fd, &watch->count, sizeof(watch->count), 0);
	else
		io_uring_prep_poll_add(sqe, watch->fd, (unsigned)watch->events);
	watch->armed = true;
}

static void watch_complete(IoOperation *operation, int result)
{
	IoWatch *watch = (IoWatch *)((char *)operation - G_STRUCT_OFFSET(IoWatch, poll));

	watch->armed = false;
	if (!watch->removed && result >= 0) {
		watch->in_callback = true;
		watch->func(watch->data);
		watch->in_callback = false;
	}
	if (watch->removed)
		g_free(watch);
	else if (result >= 0 || result == -EINTR || result == -ENOMEM || result == -EAGAIN)
		watch_arm(watch);
	else
		g_critical("cannot watch descriptor %d: %s", watch->fd, error_text(-result));
}

static IoWatch *watch_new(IoLoop *loop, int fd, IoLoopFunc func, gpointer data)
{
	IoWatch *watch = g_new0(IoWatch, 1);

	g_warn_if_fail(io_loop_is_current(loop));
	watch->poll.complete = watch_complete;
	watch->loop = loop;
	watch->fd = fd;
	watch->func = func;
	watch->data = data;
	loop->n_watches++;
	return watch;
}

static IoWatch *watch_poll(IoLoop *loop, int fd, short events, IoLoopFunc func, gpointer data)
{
	IoWatch *watch = watch_new(loop, fd, func, data);

	watch->events = events;
	watch_arm(watch);
	return watch;
}

IoWatch *io_loop_watch_fd(IoLoop *loop, int fd, bool writable, IoLoopFunc func, gpointer data)
{
	return watch_poll(loop, fd, writable ? POLLOUT : POLLIN, func, data);
}

IoWatch *io_loop_watch_hang_up(IoLoop *loop, int fd, IoLoopFunc func, gpointer data)
{
	return watch_poll(loop, fd, POLLRDHUP, func, data);
}

IoWatch *io_loop_watch_event(IoLoop *loop, int fd, IoLoopFunc func, gpointer data)
{
	IoWatch *watch = watch_new(loop, fd, func, data);

	watch->is_event = true;
	watch_arm(watch);
	return watch;
}

void io_watch_remove(IoWatch *watch)
{
	IoLoop *loop = watch->loop;
	struct io_uring_sqe *sqe;

	loop->n_watches--;
	watch->removed = true;
	if (watch->armed) {
		sqe = io_loop_get_sqe(loop, NULL);
		io_uring_prep_cancel(sqe, &watch->poll, 0);
		/* Now, so that no entry still names the descriptor once the caller closes it. */
		io_loop_submit(loop);
	} else if (!watch->in_callback) {
		g_free(watch);
	}
}
