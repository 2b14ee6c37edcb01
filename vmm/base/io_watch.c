/*
 * io_watch.c: descriptors that an I/O loop watches
 *
 * One-shot polls, armed again after their callback. An eventfd is polled by one operation that
 * completes for each signal; it is never read, which takes the kernel less than half of the work.
 * Where that cannot be had, it is a read, armed again.
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
	bool is_event; /* an eventfd; @count is for reads of it */
	uint64_t count;
	bool multishot; /* how it was armed */
	bool armed;	/* a poll or read is with the kernel */
	bool in_callback;
	bool removed;
};

static void watch_arm(IoWatch *watch)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(watch->loop, &watch->poll);

	watch->multishot =
		watch->is_event && !watch->loop->ring.emulation && !watch->loop->no_multishot;
	if (watch->multishot)
		io_uring_prep_poll_multishot(sqe, watch->fd, POLLIN);
	else if (watch->is_event)
		io_uring_prep_read(sqe, watch->fd, &watch->count, sizeof(watch->count), 0);
	else
		io_uring_prep_poll_add(sqe, watch->fd, (unsigned)watch->events);
	watch->armed = true;
}

static void watch_complete(IoOperation *operation, int result)
{
	IoWatch *watch = (IoWatch *)((char *)operation - G_STRUCT_OFFSET(IoWatch, poll));

	watch->armed = watch->loop->more;
	if (!watch->removed && result >= 0) {
		watch->in_callback = true;
		watch->func(watch->data);
		watch->in_callback = false;
	}
	/* The last completion is that of the cancellation. */
	if (watch->removed) {
		if (!watch->armed)
			g_free(watch);
		return;
	}
	if (watch->armed)
		return;
	if (result == -EINVAL && watch->multishot) {
		watch->loop->no_multishot = true;
		result = 0;
	}
	if (result >= 0 || result == -EINTR || result == -ENOMEM || result == -EAGAIN)
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
