/*
 * test-io-loop.c: posts, watches and operations of an I/O thread
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/fd.h"
#include "vmm/base/io_loop_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>

static unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	g_assert_nonnull(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static IoLoop *new_loop(void)
{
	g_autoptr(GError) error = NULL;
	IoLoop *loop = io_loop_new("test-io", NULL, NULL, &error);

	g_assert_no_error(error);
	g_assert_nonnull(loop);
	return loop;
}

static void nothing(gpointer data)
{
	(void)data;
}

static void test_start_stop(void)
{
	unsigned before = count_descriptors();

	for (int i = 0; i < 20; i++) {
		g_autoptr(IoLoop) loop = new_loop();

		g_assert_cmpint(io_loop_thread_id(loop), >, 0);
		g_assert_cmpint(io_loop_thread_id(loop), !=, gettid());
		g_assert_false(io_loop_is_current(loop));
	}
	g_assert_cmpuint(count_descriptors(), ==, before);
}

typedef struct Order {
	IoLoop *loop;
	unsigned seen[3000];
	unsigned n_seen;
	bool on_loop;
} Order;

typedef struct OrderPost {
	Order *order;
	unsigned number;
} OrderPost;

static void order_note(gpointer data)
{
	OrderPost *post = data;

	post->order->seen[post->order->n_seen++] = post->number;
	post->order->on_loop = io_loop_is_current(post->order->loop);
}

static void test_posts_keep_order(void)
{
	g_autoptr(IoLoop) loop = new_loop();
	g_autofree Order *order = g_new0(Order, 1);
	g_autofree OrderPost *posts = g_new0(OrderPost, G_N_ELEMENTS(order->seen));

	order->loop = loop;
	for (unsigned i = 0; i < G_N_ELEMENTS(order->seen); i++) {
		posts[i] = (OrderPost){ .order = order, .number = i };
		io_loop_post(loop, order_note, &posts[i]);
	}
	io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpuint(order->n_seen, ==, G_N_ELEMENTS(order->seen));
	for (unsigned i = 0; i < order->n_seen; i++)
		g_assert_cmpuint(order->seen[i], ==, i);
	g_assert_true(order->on_loop);
}

typedef struct Reader {
	IoOperation io;
	IoLoop *loop;
	int fd;
	char buffer[16];
	int result;
	unsigned to_do;
	unsigned completed;
} Reader;

static void reader_complete(IoOperation *operation, int result)
{
	Reader *reader = (Reader *)operation;

	reader->result = result;
	reader->completed++;
}

static void reader_submit(gpointer data)
{
	Reader *reader = data;

	for (unsigned i = 0; i < reader->to_do; i++) {
		struct io_uring_sqe *sqe = io_loop_get_sqe(reader->loop, &reader->io);

		io_uring_prep_read(sqe, reader->fd, reader->buffer, sizeof(reader->buffer), 0);
	}
}

/* More operations than the ring has entries, prepared in one callback. */
static void test_full_ring(void)
{
	g_autoptr(IoLoop) loop = new_loop();
	Reader reader = { .io = { reader_complete }, .loop = loop, .to_do = 1000 };

	reader.fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	memset(reader.buffer, 'x', sizeof(reader.buffer));
	io_loop_run_sync(loop, reader_submit, &reader);
	while (g_atomic_int_get(&reader.completed) < 1000)
		io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpint(reader.result, ==, sizeof(reader.buffer));
	g_assert_cmpint(reader.buffer[15], ==, 0);
	fd_close(&reader.fd);
}

typedef struct Deferral {
	IoDeferred deferred, cancelled;
	IoLoop *loop;
	unsigned n_calls, n_cancelled_calls;
	unsigned n_callbacks, callbacks_before; /* seen at the last call */
} Deferral;

static void deferral_run(IoDeferred *deferred)
{
	Deferral *deferral = (Deferral *)deferred;

	deferral->callbacks_before = deferral->n_callbacks;
	g_atomic_int_inc((gint *)&deferral->n_calls);
}

static void deferral_cancelled(IoDeferred *deferred)
{
	Deferral *deferral = (Deferral *)((char *)deferred - G_STRUCT_OFFSET(Deferral, cancelled));

	deferral->n_cancelled_calls++;
}

static void deferral_callback(gpointer data)
{
	Deferral *deferral = data;

	g_assert_cmpuint(deferral->n_calls, ==, 0);
	deferral->n_callbacks++;
	io_loop_defer(deferral->loop, &deferral->cancelled);
	io_loop_defer(deferral->loop, &deferral->deferred);
	io_loop_defer(deferral->loop, &deferral->deferred);
	io_deferred_cancel(&deferral->cancelled);
	io_deferred_cancel(&deferral->cancelled);
}

static void post_callbacks(gpointer data)
{
	Deferral *deferral = data;

	for (unsigned i = 0; i < 10; i++)
		io_loop_post(deferral->loop, deferral_callback, deferral);
}

/* What many callbacks of a turn defer is done once, after all of them, and again next time. */
static void run_deferral(const IoLoopPolling *polling)
{
	g_autoptr(IoLoop) loop = new_loop();
	Deferral deferral = {
		.deferred = { .func = deferral_run },
		.cancelled = { .func = deferral_cancelled },
		.loop = loop,
	};

	io_loop_set_polling(loop, polling);
	for (unsigned i = 1; i <= 3; i++) {
		/* Posted from the loop itself, they run in one turn. */
		io_loop_run_sync(loop, post_callbacks, &deferral);
		while (g_atomic_int_get(&deferral.n_calls) < 1)
			g_usleep(100);
		io_loop_run_sync(loop, nothing, NULL);
		g_assert_cmpuint(deferral.n_calls, ==, 1);
		g_assert_cmpuint(deferral.callbacks_before, ==, 10 * i);
		g_atomic_int_set(&deferral.n_calls, 0);
	}
	g_assert_cmpuint(deferral.n_cancelled_calls, ==, 0);
}

static void test_deferred(void)
{
	run_deferral(&(IoLoopPolling){});
}

static void test_deferred_while_polling(void)
{
	run_deferral(&(IoLoopPolling){ .max_ns = 1000000 });
}

typedef struct Timing {
	IoLoop *loop;
	IoTimer *timer;
	int64_t due_ns, fired_ns;
	gint n_fired; /* atomic */
} Timing;

static void timing_fired(gpointer data)
{
	Timing *timing = data;

	timing->fired_ns = io_loop_now_ns();
	g_atomic_int_inc(&timing->n_fired);
}

static void timing_new(gpointer data)
{
	Timing *timing = data;

	timing->timer = io_loop_add_timer(timing->loop, timing_fired, timing);
}

static void timing_set(gpointer data)
{
	Timing *timing = data;

	io_timer_set(timing->timer, timing->due_ns);
}

static void timing_stop(gpointer data)
{
	io_timer_stop(((Timing *)data)->timer);
}

static void timing_free(gpointer data)
{
	io_timer_free(((Timing *)data)->timer);
}

static void timing_wait(Timing *timing, int n)
{
	while (g_atomic_int_get(&timing->n_fired) < n)
		g_usleep(100);
	g_assert_cmpint(timing->fired_ns, >=, timing->due_ns);
}

static void timing_set_in(Timing *timing, int64_t milliseconds)
{
	timing->due_ns = io_loop_now_ns() + milliseconds * 1000000;
	io_loop_run_sync(timing->loop, timing_set, timing);
}

/* Never early; set again, to earlier and to later, it fires once and by the last time. */
static void test_timer(void)
{
	g_autoptr(IoLoop) loop = new_loop();
	Timing timing = { .loop = loop };

	io_loop_run_sync(loop, timing_new, &timing);
	timing_set_in(&timing, 2);
	timing_wait(&timing, 1);
	timing_set_in(&timing, -5); /* at once */
	timing_wait(&timing, 2);
	timing_set_in(&timing, 1000000);
	timing_set_in(&timing, 3);
	timing_wait(&timing, 3);
	timing_set_in(&timing, 1);
	timing_set_in(&timing, 30);
	timing_wait(&timing, 4);
	timing_set_in(&timing, 1);
	io_loop_run_sync(loop, timing_stop, &timing);
	g_usleep(20000);
	io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpint(timing.n_fired, <=, 5); /* it may have fired before it was stopped */
	timing_set_in(&timing, 1000000);
	io_loop_run_sync(loop, timing_free, &timing);
}

#define MANY_FILES 70 /* more than the ring has room for */

typedef struct Files {
	IoLoop *loop;
	int fd;
	IoFile *files[MANY_FILES];
	Reader readers[MANY_FILES];
	unsigned n_fixed;
} Files;

static void files_add(gpointer data)
{
	Files *files = data;

	for (unsigned i = 0; i < MANY_FILES; i++)
		files->files[i] = io_loop_add_file(files->loop, files->fd);
}

static void files_read(gpointer data)
{
	Files *files = data;

	for (unsigned i = 0; i < MANY_FILES; i++) {
		Reader *reader = &files->readers[i];
		struct io_uring_sqe *sqe = io_loop_get_sqe(files->loop, &reader->io);

		reader->io.complete = reader_complete;
		memset(reader->buffer, 'x', sizeof(reader->buffer));
		io_uring_prep_read(sqe, -1, reader->buffer, sizeof(reader->buffer), 0);
		io_file_use(files->files[i], sqe);
		if (sqe->flags & IOSQE_FIXED_FILE)
			files->n_fixed++;
	}
}

static void files_remove(gpointer data)
{
	Files *files = data;

	for (unsigned i = 0; i < MANY_FILES; i++)
		io_file_remove(files->files[i]);
}

static bool have_io_uring(void)
{
	struct io_uring ring;
	bool have = io_uring_queue_init(1, &ring, 0) == 0;

	if (have)
		io_uring_queue_exit(&ring);
	return have;
}

/* Registered or not, a file is the same; and one removed at once leaves nothing behind. */
static void test_files(void)
{
	g_autoptr(IoLoop) loop = new_loop();
	Files files = { .loop = loop };

	files.fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (unsigned round = 0; round < 3; round++) {
		files.n_fixed = 0;
		io_loop_run_sync(loop, files_add, &files);
		io_loop_run_sync(loop, nothing, NULL);
		io_loop_run_sync(loop, files_read, &files);
		for (unsigned i = 0; i < MANY_FILES; i++) {
			while (g_atomic_int_get(&files.readers[i].completed) < (int)round + 1)
				io_loop_run_sync(loop, nothing, NULL);
			g_assert_cmpint(files.readers[i].result, ==, 16);
			g_assert_cmpint(files.readers[i].buffer[15], ==, 0);
		}
		g_assert_cmpint(files.n_fixed > 0, ==, have_io_uring());
		g_assert_cmpuint(files.n_fixed, <, MANY_FILES);
		io_loop_run_sync(loop, files_remove, &files);
	}
	io_loop_run_sync(loop, files_add, &files);
	io_loop_run_sync(loop, files_remove, &files);
	fd_close(&files.fd);
}

static void open_submit(gpointer data)
{
	Reader *reader = data;
	struct io_uring_sqe *sqe = io_loop_get_sqe(reader->loop, &reader->io);

	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
}

/* A ring that could open files would be a way around the seccomp filter. */
static void test_ring_is_restricted(void)
{
	g_autoptr(IoLoop) loop = new_loop();
	Reader reader = { .io = { reader_complete }, .loop = loop };

	io_loop_run_sync(loop, open_submit, &reader);
	while (g_atomic_int_get(&reader.completed) < 1)
		io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpint(reader.result, ==, -EACCES);
}

typedef struct Watched {
	IoLoop *loop;
	IoWatch *watch;
	int fd;
	bool take;
	unsigned calls;
	unsigned remove_at;    /* 0: never from inside */
	unsigned signal_until; /* so many calls have happened, from inside */
} Watched;

static void watched_ready(gpointer data)
{
	Watched *watched = data;

	if (watched->take)
		fd_event_take(watched->fd);
	if (watched->calls + 1 < watched->signal_until)
		fd_event_signal(watched->fd);
	g_atomic_int_inc((gint *)&watched->calls);
	if (watched->remove_at && watched->calls == watched->remove_at) {
		io_watch_remove(watched->watch);
		watched->watch = NULL;
	}
}

static void watched_start(gpointer data)
{
	Watched *watched = data;

	watched->watch =
		io_loop_watch_fd(watched->loop, watched->fd, false, watched_ready, watched);
}

static void watched_start_event(gpointer data)
{
	Watched *watched = data;

	watched->watch = io_loop_watch_event(watched->loop, watched->fd, watched_ready, watched);
}

static void watched_stop(gpointer data)
{
	Watched *watched = data;

	if (watched->watch)
		io_watch_remove(watched->watch);
	watched->watch = NULL;
}

static void wait_for_calls(Watched *watched, unsigned calls)
{
	while ((unsigned)g_atomic_int_get((gint *)&watched->calls) < calls)
		g_usleep(100);
}

static void test_watch(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(IoLoop) loop = new_loop();
	autofd int fd = fd_new_event(&error);
	Watched watched = { .loop = loop, .fd = fd, .take = true };

	io_loop_run_sync(loop, watched_start, &watched);
	for (unsigned i = 1; i <= 50; i++) {
		fd_event_signal(fd);
		wait_for_calls(&watched, i);
	}
	io_loop_run_sync(loop, watched_stop, &watched);
	fd_event_signal(fd);
	io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpuint(watched.calls, ==, 50);
}

/* Signals before the watch, and while the callback runs, are not lost; nor is one told of twice. */
static void test_watch_event(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(IoLoop) loop = new_loop();
	autofd int fd = fd_new_blocking_event(&error);
	Watched watched = { .loop = loop, .fd = fd, .signal_until = 20 };

	fd_event_signal(fd);
	fd_event_signal(fd);
	io_loop_run_sync(loop, watched_start_event, &watched);
	wait_for_calls(&watched, 20);
	for (unsigned i = 21; i <= 50; i++) {
		fd_event_signal(fd);
		wait_for_calls(&watched, i);
	}
	io_loop_run_sync(loop, watched_stop, &watched);
	io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpuint(watched.calls, ==, 50);
	/* Nobody watches any more. */
	fd_event_signal(fd);
	io_loop_run_sync(loop, nothing, NULL);
	g_assert_true(fd_event_take(fd));
	g_assert_cmpuint(watched.calls, ==, 50);
	/* Removed by its callback, with signals on their way. */
	watched.remove_at = 52;
	watched.signal_until = 60;
	io_loop_run_sync(loop, watched_start_event, &watched);
	fd_event_signal(fd);
	wait_for_calls(&watched, 52);
	for (unsigned i = 0; i < 3; i++)
		io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpuint(watched.calls, ==, 52);
	g_assert_null(watched.watch);
}

/* What the callback leaves unread is reported again. */
static void test_watch_is_level_triggered(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(IoLoop) loop = new_loop();
	autofd int fd = fd_new_event(&error);
	Watched watched = { .loop = loop, .fd = fd, .remove_at = 10 };

	fd_event_signal(fd);
	io_loop_run_sync(loop, watched_start, &watched);
	wait_for_calls(&watched, 10);
	io_loop_run_sync(loop, nothing, NULL);
	io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpuint(watched.calls, ==, 10);
	g_assert_null(watched.watch);
}

/* A watch removed before its poll was submitted, its descriptor closed and the number reused. */
static void watched_start_stop(gpointer data)
{
	Watched *watched = data;

	watched_start(watched);
	watched_stop(watched);
	fd_close(&watched->fd);
	watched->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void test_watch_removed_at_once(void)
{
	g_autoptr(IoLoop) loop = new_loop();
	Watched watched = { .loop = loop, .take = true };
	int original = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	watched.fd = original;
	io_loop_run_sync(loop, watched_start_stop, &watched);
	g_assert_cmpint(watched.fd, ==, original);
	for (int i = 0; i < 10; i++)
		io_loop_run_sync(loop, nothing, NULL);
	g_assert_cmpuint(watched.calls, ==, 0);
	fd_close(&watched.fd);
}

static void init_note(gpointer data)
{
	*(int *)data = gettid();
}

static void start_gathering(gpointer loop)
{
	io_loop_gather(loop, true);
}

static void stop_gathering(gpointer loop)
{
	io_loop_gather(loop, false);
}

/* A loop leaves the processor to the vCPU that wakes it while somebody wants that. */
static void test_gather(void)
{
	g_autoptr(IoLoop) loop = new_loop();
	int thread_id = io_loop_thread_id(loop);

	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_OTHER);
	for (int i = 0; i < 2; i++)
		io_loop_run_sync(loop, start_gathering, loop);
	io_loop_run_sync(loop, stop_gathering, loop);
	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_BATCH);
	io_loop_run_sync(loop, stop_gathering, loop);
	g_assert_cmpint(sched_getscheduler(thread_id), ==, SCHED_OTHER);
}

static void test_thread_init(void)
{
	g_autoptr(GError) error = NULL;
	int thread_id = 0;
	g_autoptr(IoLoop) loop = io_loop_new("name-longer-than-15", init_note, &thread_id, &error);

	g_assert_no_error(error);
	g_assert_cmpint(thread_id, ==, io_loop_thread_id(loop));
}

/* A producer that notifies only when asked to, as the driver of a virtqueue. */
typedef struct Stream {
	Watched watched; /* first: its descriptor is the notification */
	IoPoller *poller;
	gint produced, consumed; /* atomic */
	gint notify;		 /* atomic: whether the producer has to notify */
	bool polling;		 /* loop thread */
	unsigned n_polled;	 /* loop thread: items that a poll found */
} Stream;

static bool stream_take(Stream *stream)
{
	gint produced = g_atomic_int_get(&stream->produced);

	if (produced == stream->consumed)
		return false;
	if (stream->polling)
		stream->n_polled += produced - stream->consumed;
	g_atomic_int_set(&stream->consumed, produced);
	return true;
}

static void stream_notified(gpointer data)
{
	Stream *stream = data;

	fd_event_take(stream->watched.fd);
	stream_take(stream);
}

static void stream_begin(gpointer data)
{
	Stream *stream = data;

	g_assert_false(stream->polling);
	stream->polling = true;
	g_atomic_int_set(&stream->notify, 0);
}

static bool stream_poll(gpointer data)
{
	Stream *stream = data;

	g_assert_true(stream->polling);
	return stream_take(stream);
}

static void stream_end(gpointer data)
{
	Stream *stream = data;

	g_assert_true(stream->polling);
	stream->polling = false;
	g_atomic_int_set(&stream->notify, 1);
	stream_take(stream);
}

static const IoPollerOps stream_ops = {
	.begin = stream_begin,
	.poll = stream_poll,
	.end = stream_end,
};

static void stream_start(gpointer data)
{
	Stream *stream = data;

	stream->watched.watch = io_loop_watch_fd(stream->watched.loop, stream->watched.fd, false,
						 stream_notified, stream);
	stream->poller = io_loop_add_poller(stream->watched.loop, &stream_ops, stream);
}

static void stream_stop(gpointer data)
{
	Stream *stream = data;

	g_clear_pointer(&stream->poller, io_poller_remove);
	watched_stop(&stream->watched);
}

/* Nothing gets lost between polling and sleeping, however long the pauses are. */
static void test_polling_loses_nothing(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(IoLoop) loop = new_loop();
	autofd int fd = fd_new_event(&error);
	Stream stream = { .watched = { .loop = loop, .fd = fd }, .notify = 1 };

	io_loop_set_polling(loop, &(IoLoopPolling){ .max_ns = 200000 });
	io_loop_run_sync(loop, stream_start, &stream);
	for (unsigned i = 1; i <= 3000; i++) {
		g_atomic_int_inc(&stream.produced);
		if (g_atomic_int_get(&stream.notify))
			fd_event_signal(fd);
		while ((unsigned)g_atomic_int_get(&stream.consumed) < i)
			;
		if (i % 10 == 0)
			g_usleep(i % 400);
	}
	io_loop_run_sync(loop, stream_stop, &stream);
	g_assert_cmpint(stream.consumed, ==, 3000);
}

/* What comes while it polls changes nothing, a little later lets it grow, too late shrink. */
static void test_polling_time(void)
{
	static const struct {
		IoLoopPolling polling;
		int64_t poll_ns, waited_ns, next_ns;
	} cases[] = {
		{ { .max_ns = 32768 }, 0, 1, 4000 },
		{ { .max_ns = 32768 }, 4000, 4000, 4000 },
		{ { .max_ns = 32768 }, 4000, 4001, 8000 },
		{ { .max_ns = 32768 }, 16000, 20000, 32000 },
		{ { .max_ns = 32768 }, 32000, 32768, 32768 },
		{ { .max_ns = 32768 }, 32768, 32769, 0 },
		{ { .max_ns = 32768 }, 0, 32769, 0 },
		{ { .max_ns = 1000 }, 0, 500, 1000 },
		{ { .max_ns = 1000000, .grow = 5 }, 4000, 5000, 20000 },
		{ { .max_ns = 1000000, .grow = 5 }, 200000, 200001, 1000000 },
		{ { .max_ns = 1000000, .grow = 5 }, 200001, 200002, 1000000 },
		{ { .max_ns = 1000000, .grow = 1 }, 4000, 5000, 4000 },
		{ { .max_ns = 1000000, .shrink = 4 }, 100000, 1000001, 25000 },
		{ { .max_ns = 1000000, .shrink = 4 }, 3, 1000001, 0 },
		{ { .max_ns = INT64_MAX, .grow = INT64_MAX }, 4000, 4001, INT64_MAX },
		{ { .max_ns = 1, .shrink = INT64_MAX }, 1, 2, 0 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpint(io_loop_next_poll_ns(&cases[i].polling, cases[i].poll_ns,
						     cases[i].waited_ns),
				==, cases[i].next_ns);
}

static void wait_until_polling(Stream *stream)
{
	/* Each notification makes the next poll longer; see io_loop_next_poll_ns(). */
	while (g_atomic_int_get(&stream->notify)) {
		g_atomic_int_inc(&stream->produced);
		fd_event_signal(stream->watched.fd);
		g_usleep(1000);
	}
}

/* What a poller finds needs no notification; without pollers and time there is none. */
static void test_polling_finds(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(IoLoop) loop = new_loop();
	autofd int fd = fd_new_event(&error);
	Stream stream = { .watched = { .loop = loop, .fd = fd }, .notify = 1 };
	Reader reader = { .io = { reader_complete }, .loop = loop, .to_do = 100 };

	/* For long enough that it does not end before the test does. */
	io_loop_set_polling(loop, &(IoLoopPolling){ .max_ns = INT64_MAX / 2, .grow = INT64_MAX });
	io_loop_run_sync(loop, stream_start, &stream);
	wait_until_polling(&stream);
	for (unsigned i = 0; i < 100; i++) {
		g_atomic_int_inc(&stream.produced);
		while (g_atomic_int_get(&stream.consumed) != g_atomic_int_get(&stream.produced))
			;
	}
	g_assert_cmpuint(stream.n_polled, >=, 100);
	/* Posts and completions are still seen. */
	reader.fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	io_loop_run_sync(loop, reader_submit, &reader);
	while (g_atomic_int_get(&reader.completed) < 100)
		io_loop_run_sync(loop, nothing, NULL);
	fd_close(&reader.fd);
	/* Turned off, it asks for notifications again. */
	io_loop_set_polling(loop, &(IoLoopPolling){});
	io_loop_run_sync(loop, nothing, NULL);
	while (!g_atomic_int_get(&stream.notify))
		;
	io_loop_run_sync(loop, stream_stop, &stream);
	g_assert_false(stream.polling);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/io-loop/start-stop", test_start_stop);
	g_test_add_func("/io-loop/thread-init", test_thread_init);
	g_test_add_func("/io-loop/gather", test_gather);
	g_test_add_func("/io-loop/posts-keep-order", test_posts_keep_order);
	g_test_add_func("/io-loop/full-ring", test_full_ring);
	g_test_add_func("/io-loop/deferred", test_deferred);
	g_test_add_func("/io-loop/deferred-while-polling", test_deferred_while_polling);
	g_test_add_func("/io-loop/files", test_files);
	g_test_add_func("/io-loop/timer", test_timer);
	g_test_add_func("/io-loop/ring-is-restricted", test_ring_is_restricted);
	g_test_add_func("/io-loop/watch", test_watch);
	g_test_add_func("/io-loop/watch-is-level-triggered", test_watch_is_level_triggered);
	g_test_add_func("/io-loop/watch-event", test_watch_event);
	g_test_add_func("/io-loop/watch-removed-at-once", test_watch_removed_at_once);
	g_test_add_func("/io-loop/polling/loses-nothing", test_polling_loses_nothing);
	g_test_add_func("/io-loop/polling/time", test_polling_time);
	g_test_add_func("/io-loop/polling/finds", test_polling_finds);
	return g_test_run();
}
