/*
 * io_loop.c: an I/O thread and its ring
 *
 * One io_uring_enter() per turn both submits what callbacks prepared and waits for the next
 * completion. Posts from other threads arrive as a read of an eventfd that is always in flight;
 * watches are one-shot polls armed again after their callback, which makes them level-triggered
 * at no extra system call.
 *
 * A loop that polls submits first and then looks at the completion ring, and at the flag by which
 * the kernel says that completions wait for the thread to come and make them (TASKRUN): without a
 * system call until something is there.
 *
 * A loop that gathers is of SCHED_BATCH: where it has to share a processor with a vCPU, a
 * notification does not take that from the guest at once, but when it waits or has had its slice.
 * What the guest adds meanwhile is served in one go, and needs no notification.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_loop_internal.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

/* Without io_uring: as many transfers of files are on their way at a time. */
#define N_WORKERS 8

/* How polling begins, and grows by default. */
#define POLL_START_NS	  INT64_C(4000)
#define POLL_GROW_DEFAULT 2

#ifdef VIREO_SANITIZERS
#define STACK_SIZE (1024 * 1024)
#else
#define STACK_SIZE (128 * 1024)
#endif

struct IoPoller {
	IoLoop *loop;
	const IoPollerOps *ops;
	gpointer data;
};

static __thread IoLoop *current_loop;

unsigned io_loop_n_submissions(const IoLoop *loop)
{
	return loop->n_submissions;
}

int io_loop_submit(IoLoop *loop)
{
	loop->n_submissions++;
	return io_ring_submit(&loop->ring);
}

struct io_uring_sqe *io_loop_get_sqe(IoLoop *loop, IoOperation *operation)
{
	struct io_uring_sqe *sqe = io_ring_get_sqe(&loop->ring);

	while (!sqe) {
		/* The kernel takes entries unless it is out of memory: give it time then. */
		if (io_loop_submit(loop) < 0)
			g_usleep(1000);
		sqe = io_ring_get_sqe(&loop->ring);
	}
	/* liburing 2.3's io_uring_prep_*() leave user_data as it is. */
	io_uring_sqe_set_data(sqe, operation);
	return sqe;
}

static void wake_arm(IoLoop *loop)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(loop, &loop->wake);

	io_uring_prep_read(sqe, loop->wake_fd, &loop->wake_count, sizeof(loop->wake_count), 0);
}

static void wake_complete(IoOperation *operation, int result)
{
	IoLoop *loop = (IoLoop *)((char *)operation - G_STRUCT_OFFSET(IoLoop, wake));
	GArray *posts;

	(void)result; /* an interrupted read is simply armed again */
	g_mutex_lock(&loop->lock);
	posts = loop->posts;
	loop->posts = loop->running_posts;
	loop->running_posts = posts;
	g_mutex_unlock(&loop->lock);

	for (unsigned i = 0; i < posts->len; i++) {
		IoPost *post = &g_array_index(posts, IoPost, i);

		post->func(post->data);
	}
	g_array_set_size(posts, 0);
	if (!loop->stopping || loop->n_holds > 0)
		wake_arm(loop);
}

void io_loop_defer(IoLoop *loop, IoDeferred *deferred)
{
	if (deferred->link)
		return;
	deferred->next = loop->deferred;
	deferred->link = &loop->deferred;
	if (deferred->next)
		deferred->next->link = &deferred->next;
	loop->deferred = deferred;
}

void io_deferred_cancel(IoDeferred *deferred)
{
	if (!deferred->link)
		return;
	*deferred->link = deferred->next;
	if (deferred->next)
		deferred->next->link = deferred->link;
	deferred->link = NULL;
}

static void run_deferred(IoLoop *loop)
{
	while (loop->deferred) {
		IoDeferred *deferred = loop->deferred;

		io_deferred_cancel(deferred);
		deferred->func(deferred);
	}
}

/* Everything that is to be done before waiting is; returns 0 or a negative errno. */
static int submit_and_wait(IoLoop *loop, unsigned n_wait)
{
	run_deferred(loop);
	loop->n_submissions++;
	return io_ring_submit_and_wait(&loop->ring, n_wait);
}

static void begin_pollers(IoLoop *loop)
{
	for (unsigned i = 0; !loop->pollers_begun && i < loop->pollers->len; i++) {
		IoPoller *poller = loop->pollers->pdata[i];

		poller->ops->begin(poller->data);
	}
	loop->pollers_begun = true;
}

static void end_pollers(IoLoop *loop)
{
	for (unsigned i = 0; loop->pollers_begun && i < loop->pollers->len; i++) {
		IoPoller *poller = loop->pollers->pdata[i];

		poller->ops->end(poller->data);
	}
	loop->pollers_begun = false;
}

/* A callback may remove pollers, itself included, which moves up those behind. */
static bool poll_pollers(IoLoop *loop)
{
	bool found = false;

	for (unsigned i = 0; i < loop->pollers->len; i++) {
		IoPoller *poller = loop->pollers->pdata[i];

		if (poller->ops->poll(poller->data))
			found = true;
	}
	return found;
}

/* Poll, from @start on; returns whether a poller found something, and did it. */
static bool loop_poll(IoLoop *loop, int64_t start)
{
	run_deferred(loop);
	if (io_ring_has_entries(&loop->ring))
		io_loop_submit(loop);
	begin_pollers(loop);
	for (;;) {
		if (io_ring_has_work(&loop->ring))
			return false;
		if (poll_pollers(loop))
			return true;
		if (io_loop_now_ns() - start >= loop->poll_ns)
			return false;
		__builtin_ia32_pause();
	}
}

int64_t io_loop_next_poll_ns(const IoLoopPolling *polling, int64_t poll_ns, int64_t waited_ns)
{
	int64_t grow = polling->grow ? polling->grow : POLL_GROW_DEFAULT;

	if (waited_ns <= poll_ns)
		return poll_ns;
	if (waited_ns > polling->max_ns)
		return polling->shrink ? poll_ns / polling->shrink : 0;
	if (poll_ns == 0)
		return MIN(POLL_START_NS, polling->max_ns);
	return poll_ns > polling->max_ns / grow ? polling->max_ns : poll_ns * grow;
}

/* Submit, and wait for a completion or a poller; returns 0 or a negative errno. */
static int loop_wait(IoLoop *loop)
{
	int64_t start;
	bool found = false;
	int result;

	if (!loop->polling.max_ns) {
		end_pollers(loop);
		return submit_and_wait(loop, 1);
	}
	/* Once begun, nobody notifies: pollers have their turn also when completions never end. */
	run_deferred(loop);
	if (loop->pollers_begun)
		found = poll_pollers(loop);
	if (found || io_ring_has_work(&loop->ring))
		return submit_and_wait(loop, found ? 0 : 1);
	start = io_loop_now_ns();
	if (loop->poll_ns > 0)
		found = loop_poll(loop, start);
	/* Ending may find what came last, and prepare requests for it. */
	if (!found && !io_ring_has_work(&loop->ring))
		end_pollers(loop);
	result = submit_and_wait(loop, found ? 0 : 1);
	loop->poll_ns =
		io_loop_next_poll_ns(&loop->polling, loop->poll_ns, io_loop_now_ns() - start);
	return result;
}

static void loop_turn(IoLoop *loop)
{
	int result = loop_wait(loop);

	if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN)
		g_usleep(1000); /* out of memory: nothing else can fail on a good ring */

	/* What is there now is a batch; what comes meanwhile is the next one's. */
	for (unsigned n = io_ring_n_completions(&loop->ring); n > 0; n--) {
		IoOperation *operation;
		int completed;

		if (!io_ring_take(&loop->ring, &operation, &completed, &loop->more))
			break;
		if (operation)
			operation->complete(operation, completed);
	}
}

static void loop_report_start(IoLoop *loop, int start_errno)
{
	g_mutex_lock(&loop->lock);
	loop->started = true;
	loop->start_errno = start_errno;
	loop->thread_id = gettid();
	g_cond_signal(&loop->started_cond);
	g_mutex_unlock(&loop->lock);
}

static void *loop_main(void *data)
{
	IoLoop *loop = data;
	int result;

	pthread_setname_np(pthread_self(), loop->name);
	current_loop = loop;
	result = io_ring_open(&loop->ring, &loop->free_files);
	if (result == 0 && loop->thread_init)
		loop->thread_init(loop->init_data);
	loop_report_start(loop, -result);
	if (result < 0)
		return NULL;

	wake_arm(loop);
	while (!loop->stopping || loop->n_holds > 0)
		loop_turn(loop);
	io_ring_close(&loop->ring);
	return NULL;
}

void io_loop_hold(IoLoop *loop)
{
	loop->n_holds++;
}

void io_loop_release(IoLoop *loop)
{
	loop->n_holds--;
}

static const int own_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };

int io_loop_start_thread(pthread_t *thread, void *(*func)(void *), void *data)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	int result;

	sigfillset(&all);
	/* Faults are this thread's own, and a seccomp violation must reach its handler. */
	for (unsigned i = 0; i < G_N_ELEMENTS(own_signals); i++)
		sigdelset(&all, own_signals[i]);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	result = pthread_create(thread, &attributes, func, data);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return result;
}

static void loop_destroy(IoLoop *loop)
{
	fd_close(&loop->wake_fd);
	g_array_unref(loop->posts);
	g_array_unref(loop->running_posts);
	g_ptr_array_unref(loop->pollers);
	g_free(loop->buffers);
	g_mutex_clear(&loop->lock);
	g_cond_clear(&loop->started_cond);
	g_free(loop);
}

/* Who makes the transfers that the kernel's ring would have made. */
static bool loop_start_workers(IoLoop *loop, GError **error)
{
	g_message("I/O thread '%s' does without io_uring: %s", loop->name,
		  error_text(loop->ring.refusal));
	loop->workers = io_workers_new(loop, N_WORKERS, error);
	if (loop->workers)
		io_emulation_set_workers(loop->ring.emulation, loop->workers);
	return loop->workers != NULL;
}

IoLoop *io_loop_new(const char *name, IoLoopFunc thread_init, gpointer data, GError **error)
{
	IoLoop *loop = g_new0(IoLoop, 1);
	int result;

	g_strlcpy(loop->name, name, sizeof(loop->name));
	loop->thread_init = thread_init;
	loop->init_data = data;
	loop->wake.complete = wake_complete;
	loop->posts = g_array_new(FALSE, FALSE, sizeof(IoPost));
	loop->running_posts = g_array_new(FALSE, FALSE, sizeof(IoPost));
	loop->pollers = g_ptr_array_new_with_free_func(g_free);
	g_mutex_init(&loop->lock);
	g_cond_init(&loop->started_cond);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (loop->wake_fd < 0) {
		error_fail_errno(error, errno, "cannot make an eventfd for I/O thread '%s'", name);
		loop_destroy(loop);
		return NULL;
	}

	result = io_loop_start_thread(&loop->thread, loop_main, loop);
	if (result != 0) {
		error_fail_errno(error, result, "cannot start I/O thread '%s'", name);
		loop_destroy(loop);
		return NULL;
	}
	g_mutex_lock(&loop->lock);
	while (!loop->started)
		g_cond_wait(&loop->started_cond, &loop->lock);
	g_mutex_unlock(&loop->lock);
	if (loop->start_errno) {
		pthread_join(loop->thread, NULL);
		error_fail_errno(error, loop->start_errno,
				 "cannot set up io_uring for I/O thread '%s'", name);
		loop_destroy(loop);
		return NULL;
	}
	if (loop->ring.emulation && !loop_start_workers(loop, error)) {
		io_loop_free(loop);
		return NULL;
	}
	return loop;
}

void io_loop_gather(IoLoop *loop, bool gather)
{
	static const struct sched_param none;
	int policy = sched_getscheduler(0), wanted;

	loop->n_gathering += gather ? 1 : -1;
	wanted = loop->n_gathering > 0 ? SCHED_BATCH : SCHED_OTHER;
	/* Unless somebody wants something special. */
	if (policy == wanted || (policy != SCHED_OTHER && policy != SCHED_BATCH))
		return;
	if (sched_setscheduler(0, wanted, &none) < 0)
		g_message("I/O thread '%s' cannot be scheduled otherwise: %s", loop->name,
			  error_text(errno));
}

typedef struct PollingChange {
	IoLoop *loop;
	IoLoopPolling polling;
} PollingChange;

static void change_polling(gpointer data)
{
	g_autofree PollingChange *change = data;

	change->loop->polling = change->polling;
	change->loop->poll_ns = 0;
}

void io_loop_set_polling(IoLoop *loop, const IoLoopPolling *polling)
{
	PollingChange *change = g_new(PollingChange, 1);

	*change = (PollingChange){ .loop = loop, .polling = *polling };
	io_loop_post(loop, change_polling, change);
}

IoPoller *io_loop_add_poller(IoLoop *loop, const IoPollerOps *ops, gpointer data)
{
	IoPoller *poller = g_new(IoPoller, 1);

	*poller = (IoPoller){ .loop = loop, .ops = ops, .data = data };
	g_ptr_array_add(loop->pollers, poller);
	if (loop->pollers_begun)
		ops->begin(data);
	return poller;
}

void io_poller_remove(IoPoller *poller)
{
	g_ptr_array_remove(poller->loop->pollers, poller);
}

static void loop_stop(gpointer data)
{
	IoLoop *loop = data;

	loop->stopping = true;
}

void io_loop_free(IoLoop *loop)
{
	if (!loop)
		return;
	io_loop_post(loop, loop_stop, loop);
	pthread_join(loop->thread, NULL);
	io_workers_free(loop->workers);
	g_warn_if_fail(loop->n_watches == 0);
	loop_destroy(loop);
}

int io_loop_thread_id(const IoLoop *loop)
{
	return loop->thread_id;
}

bool io_loop_is_current(const IoLoop *loop)
{
	return current_loop == loop;
}

void io_loop_post(IoLoop *loop, IoLoopFunc func, gpointer data)
{
	IoPost post = { .func = func, .data = data };
	bool was_empty;

	g_mutex_lock(&loop->lock);
	was_empty = loop->posts->len == 0;
	g_array_append_val(loop->posts, post);
	g_mutex_unlock(&loop->lock);
	if (was_empty)
		fd_event_signal(loop->wake_fd);
}

typedef struct SyncCall {
	IoLoopFunc func;
	gpointer data;
	GMutex lock;
	GCond cond;
	bool done;
} SyncCall;

static void sync_call_run(gpointer data)
{
	SyncCall *call = data;

	call->func(call->data);
	g_mutex_lock(&call->lock);
	call->done = true;
	g_cond_signal(&call->cond);
	g_mutex_unlock(&call->lock);
}

void io_loop_run_sync(IoLoop *loop, IoLoopFunc func, gpointer data)
{
	SyncCall call = { .func = func, .data = data };

	if (io_loop_is_current(loop)) {
		func(data);
		return;
	}
	g_mutex_init(&call.lock);
	g_cond_init(&call.cond);
	io_loop_post(loop, sync_call_run, &call);
	g_mutex_lock(&call.lock);
	while (!call.done)
		g_cond_wait(&call.cond, &call.lock);
	g_mutex_unlock(&call.lock);
	g_mutex_clear(&call.lock);
	g_cond_clear(&call.cond);
}
