/*
 * io_timer.c: timers of an I/O loop
 *
 * One timeout of the ring for each timer that is set. Where it is set to a later time the kernel's
 * timeout is left to come early and is made again then, which costs less than changing it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_loop_internal.h"

struct IoTimer {
	IoOperation timeout;
	IoLoop *loop;
	IoLoopFunc func;
	gpointer data;
	int64_t due_ns;	  /* INT64_MAX: not set */
	int64_t armed_ns; /* what the kernel has */
	struct __kernel_timespec time;
	bool armed;
	bool freed;
};

static void set_time(IoTimer *timer)
{
	timer->armed_ns = timer->due_ns;
	timer->time = (struct __kernel_timespec){
		.tv_sec = timer->due_ns / 1000000000,
		.tv_nsec = timer->due_ns % 1000000000,
	};
}

static void timer_arm(IoTimer *timer)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(timer->loop, &timer->timeout);

	set_time(timer);
	io_uring_prep_timeout(sqe, &timer->time, 0, IORING_TIMEOUT_ABS);
	timer->armed = true;
}

static void timer_complete(IoOperation *operation, int result)
{
	IoTimer *timer = (IoTimer *)((char *)operation - G_STRUCT_OFFSET(IoTimer, timeout));

	(void)result;
	timer->armed = false;
	if (timer->freed) {
		g_free(timer);
		return;
	}
	if (timer->due_ns == INT64_MAX)
		return;
	if (io_loop_now_ns() < timer->due_ns) {
		timer_arm(timer);
		return;
	}
	timer->due_ns = INT64_MAX;
	timer->func(timer->data);
}

IoTimer *io_loop_add_timer(IoLoop *loop, IoLoopFunc func, gpointer data)
{
	IoTimer *timer = g_new0(IoTimer, 1);

	timer->timeout.complete = timer_complete;
	timer->loop = loop;
	timer->func = func;
	timer->data = data;
	timer->due_ns = INT64_MAX;
	return timer;
}

void io_timer_set(IoTimer *timer, int64_t due_ns)
{
	timer->due_ns = MAX(due_ns, 0);
	if (timer->armed && timer->due_ns < timer->armed_ns) {
		struct io_uring_sqe *sqe = io_loop_get_sqe(timer->loop, NULL);

		set_time(timer);
		/* Where it has fired meanwhile, its completion finds the new time. */
		io_uring_prep_timeout_update(sqe, &timer->time, (uintptr_t)&timer->timeout,
					     IORING_TIMEOUT_ABS);
	} else if (!timer->armed) {
		timer_arm(timer);
	}
}

void io_timer_stop(IoTimer *timer)
{
	timer->due_ns = INT64_MAX;
}

void io_timer_free(IoTimer *timer)
{
	struct io_uring_sqe *sqe;

	if (!timer->armed) {
		g_free(timer);
		return;
	}
	timer->freed = true;
	sqe = io_loop_get_sqe(timer->loop, NULL);
	io_uring_prep_timeout_remove(sqe, (uintptr_t)&timer->timeout, 0);
}
