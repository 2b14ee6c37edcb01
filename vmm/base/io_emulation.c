/*
 * io_emulation.c: as much of io_uring as I/O loops use, without it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_emulation.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES 64

/* An operation that waits: for a descriptor or, where @fd is -1, for a time. */
typedef struct Wait {
	IoOperation *operation;
	int fd;
	short events;
	void *buffer; /* of a read; NULL: it is a poll */
	uint32_t size;
	int64_t due_ns;
} Wait;

typedef struct Completion {
	IoOperation *operation;
	int result;
} Completion;

struct IoEmulation {
	IoWorkers *workers;
	struct io_uring_sqe entries[ENTRIES];
	unsigned n_entries;
	GArray *waits;	     /* Wait */
	GArray *polled;	     /* struct pollfd, as many */
	GArray *completions; /* Completion */
	unsigned n_taken;    /* of these */
};

IoEmulation *io_emulation_new(void)
{
	IoEmulation *emulation = g_new0(IoEmulation, 1);

	emulation->waits = g_array_new(FALSE, FALSE, sizeof(Wait));
	emulation->polled = g_array_new(FALSE, FALSE, sizeof(struct pollfd));
	emulation->completions = g_array_new(FALSE, FALSE, sizeof(Completion));
	return emulation;
}

void io_emulation_free(IoEmulation *emulation)
{
	g_array_unref(emulation->waits);
	g_array_unref(emulation->polled);
	g_array_unref(emulation->completions);
	g_free(emulation);
}

void io_emulation_set_workers(IoEmulation *emulation, IoWorkers *workers)
{
	emulation->workers = workers;
}

struct io_uring_sqe *io_emulation_get_sqe(IoEmulation *emulation)
{
	return emulation->n_entries < ENTRIES ? &emulation->entries[emulation->n_entries++] : NULL;
}

bool io_emulation_has_entries(const IoEmulation *emulation)
{
	return emulation->n_entries > 0;
}

/* Nobody waits for the end of an entry that is bound to nothing. */
static void complete(IoEmulation *emulation, IoOperation *operation, int result)
{
	Completion completion = { operation, result };

	if (operation)
		g_array_append_val(emulation->completions, completion);
}

static Wait *find_wait(IoEmulation *emulation, uint64_t operation)
{
	for (unsigned i = 0; i < emulation->waits->len; i++) {
		Wait *wait = &g_array_index(emulation->waits, Wait, i);

		if ((uintptr_t)wait->operation == operation)
			return wait;
	}
	return NULL;
}

static void end_wait(IoEmulation *emulation, Wait *wait, int result)
{
	complete(emulation, wait->operation, result);
	g_array_remove_index_fast(emulation->waits, wait - (Wait *)emulation->waits->data);
}

/* ASYNC_CANCEL and TIMEOUT_REMOVE, which is also how a timeout is changed. */
static int change_wait(IoEmulation *emulation, const struct io_uring_sqe *sqe, int64_t due_ns)
{
	Wait *wait = find_wait(emulation, sqe->addr);

	if (!wait)
		return -ENOENT;
	if (sqe->opcode == IORING_OP_TIMEOUT_REMOVE && (sqe->timeout_flags & IORING_TIMEOUT_UPDATE))
		wait->due_ns = due_ns;
	else
		end_wait(emulation, wait, -ECANCELED);
	return 0;
}

/* When the time at @address of @sqe is. */
static int64_t due_time(const struct io_uring_sqe *sqe, uint64_t address)
{
	const struct __kernel_timespec *time = (const void *)(uintptr_t)address;
	int64_t ns = time->tv_sec * 1000000000 + time->tv_nsec;

	return sqe->timeout_flags & IORING_TIMEOUT_ABS ? ns : io_loop_now_ns() + ns;
}

/* Whether reading @fd may be left to when poll() says so: not of a file, which is always ready. */
static bool is_pollable(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode) &&
	       !S_ISCHR(status.st_mode);
}

static void hand_to_workers(IoEmulation *emulation, const struct io_uring_sqe *sqe)
{
	IoOperation *operation = (IoOperation *)(uintptr_t)sqe->user_data;

	*io_workers_get_sqe(emulation->workers, operation) = *sqe;
}

static void start(IoEmulation *emulation, const struct io_uring_sqe *sqe)
{
	Wait wait = { .operation = (IoOperation *)(uintptr_t)sqe->user_data, .fd = sqe->fd };

	switch (sqe->opcode) {
	case IORING_OP_NOP:
		complete(emulation, wait.operation, 0);
		return;
	case IORING_OP_POLL_ADD:
		wait.events = sqe->poll32_events;
		break;
	case IORING_OP_READ:
		if (!is_pollable(sqe->fd)) {
			hand_to_workers(emulation, sqe);
			return;
		}
		wait.events = POLLIN;
		wait.buffer = (void *)(uintptr_t)sqe->addr;
		wait.size = sqe->len;
		break;
	case IORING_OP_WRITE:
	case IORING_OP_READV:
	case IORING_OP_WRITEV:
	case IORING_OP_FSYNC:
	case IORING_OP_FALLOCATE:
		hand_to_workers(emulation, sqe);
		return;
	case IORING_OP_TIMEOUT:
		wait.fd = -1;
		wait.due_ns = due_time(sqe, sqe->addr);
		break;
	case IORING_OP_ASYNC_CANCEL:
		complete(emulation, wait.operation, change_wait(emulation, sqe, 0));
		return;
	case IORING_OP_TIMEOUT_REMOVE:
		complete(emulation, wait.operation,
			 change_wait(emulation, sqe, sqe->off ? due_time(sqe, sqe->off) : 0));
		return;
	case IORING_OP_URING_CMD:
		complete(emulation, wait.operation, -EOPNOTSUPP);
		return;
	default:
		complete(emulation, wait.operation, -EACCES);
		return;
	}
	g_array_append_val(emulation->waits, wait);
}

int io_emulation_submit(IoEmulation *emulation)
{
	unsigned n = emulation->n_entries;

	for (unsigned i = 0; i < n; i++)
		start(emulation, &emulation->entries[i]);
	emulation->n_entries = 0;
	if (emulation->workers)
		io_workers_submit(emulation->workers);
	return (int)n;
}

/* Sleep until something that is waited for may be there; 0 or a negative errno. */
static int sleep_until_ready(IoEmulation *emulation, bool may_wait)
{
	int64_t due_ns = INT64_MAX, left;
	struct timespec timeout = {};

	g_array_set_size(emulation->polled, emulation->waits->len);
	for (unsigned i = 0; i < emulation->waits->len; i++) {
		const Wait *wait = &g_array_index(emulation->waits, Wait, i);

		g_array_index(emulation->polled, struct pollfd, i) =
			(struct pollfd){ .fd = wait->fd, .events = wait->events };
		if (wait->fd < 0)
			due_ns = MIN(due_ns, wait->due_ns);
	}
	if (may_wait && due_ns != INT64_MAX) {
		left = MAX(due_ns - io_loop_now_ns(), 0);
		timeout = (struct timespec){ left / 1000000000, left % 1000000000 };
	}
	return ppoll((struct pollfd *)emulation->polled->data, emulation->polled->len,
		     may_wait && due_ns == INT64_MAX ? NULL : &timeout, NULL) < 0
		       ? -errno
		       : 0;
}

/* The result of @wait, whose descriptor says @revents; 0: it waits on. */
static int try_wait(const Wait *wait, short revents, int64_t now)
{
	ssize_t got;

	if (wait->fd < 0)
		return now >= wait->due_ns ? -ETIME : 0;
	if (revents & POLLNVAL)
		return -EBADF;
	if (!wait->buffer || !revents)
		return revents;
	got = read(wait->fd, wait->buffer, wait->size);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return got < 0 ? -errno : (int)got;
}

/* Complete what need not wait any longer; 0 or a negative errno. */
static int collect(IoEmulation *emulation, bool may_wait)
{
	int result = sleep_until_ready(emulation, may_wait);
	int64_t now = io_loop_now_ns();

	if (result < 0)
		return result;
	/* From the end, as the last one takes the place of one that is through. */
	for (unsigned i = emulation->waits->len; i > 0; i--) {
		Wait *wait = &g_array_index(emulation->waits, Wait, i - 1);
		short revents = g_array_index(emulation->polled, struct pollfd, i - 1).revents;

		result = try_wait(wait, revents, now);
		if (result != 0)
			end_wait(emulation, wait, result);
	}
	return 0;
}

int io_emulation_submit_and_wait(IoEmulation *emulation, unsigned n_wait)
{
	int n_submitted = io_emulation_submit(emulation);
	bool may_wait = n_wait > 0 && io_emulation_n_completions(emulation) == 0;
	int result = collect(emulation, may_wait);

	return result < 0 ? result : n_submitted;
}

bool io_emulation_has_work(IoEmulation *emulation)
{
	return io_emulation_n_completions(emulation) > 0 || collect(emulation, false) < 0 ||
	       io_emulation_n_completions(emulation) > 0;
}

unsigned io_emulation_n_completions(const IoEmulation *emulation)
{
	return emulation->completions->len - emulation->n_taken;
}

bool io_emulation_take(IoEmulation *emulation, IoOperation **operation, int *result)
{
	const Completion *completion;

	if (io_emulation_n_completions(emulation) == 0)
		return false;
	completion = &g_array_index(emulation->completions, Completion, emulation->n_taken++);
	*operation = completion->operation;
	*result = completion->result;
	if (emulation->n_taken == emulation->completions->len) {
		g_array_set_size(emulation->completions, 0);
		emulation->n_taken = 0;
	}
	return true;
}
