/*
 * fd.c: descriptors that close themselves, and eventfds
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/fd.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

void fd_close(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}

static int new_event(int flags, GError **error)
{
	int fd = eventfd(0, flags | EFD_CLOEXEC);

	if (fd < 0)
		error_fail_errno(error, errno, "cannot make an eventfd");
	return fd;
}

int fd_new_event(GError **error)
{
	return new_event(EFD_NONBLOCK, error);
}

int fd_new_blocking_event(GError **error)
{
	return new_event(0, error);
}

int fd_new_memory(const char *name, unsigned flags, uint64_t size)
{
	autofd int fd = memfd_create(name, flags | MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -1;
	return fd_steal(&fd);
}

void fd_event_signal(int fd)
{
	uint64_t one = 1;
	ssize_t written;

	/* EAGAIN means that the counter is full: the reader is already going to wake. */
	do {
		written = write(fd, &one, sizeof(one));
	} while (written < 0 && errno == EINTR);
}

void fd_event_signal_shared(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLOUT };

	if (poll(&polled, 1, 0) > 0 && (polled.revents & POLLOUT))
		fd_event_signal(fd);
}

bool fd_event_take(int fd)
{
	uint64_t count;
	const struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
	ssize_t got;

	do {
		got = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	} while (got < 0 && errno == EINTR);
	return got == sizeof(count);
}

bool fd_set_nonblocking(int fd, bool nonblocking, GError **error)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0) {
		flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
		if (fcntl(fd, F_SETFL, flags) == 0)
			return true;
	}
	return error_fail_errno(error, errno, "cannot set flags of descriptor %d", fd);
}

int fd_take(const FdNameTaker *names, const char *text, GError **error)
{
	guint64 number;
	int fd;

	if (g_ascii_isdigit(text[0])) {
		if (!g_ascii_string_to_unsigned(text, 10, 0, INT_MAX, &number, NULL)) {
			error_fail(error, "'%s' is no descriptor", text);
			return -1;
		}
		fd = (int)number;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
			error_fail_errno(error, errno, "descriptor %d", fd);
			return -1;
		}
		return fd;
	}
	if (!names->take) {
		error_fail(error, "descriptor '%s' not found", text);
		return -1;
	}
	return names->take(names->opaque, text, error);
}

int fd_open(const char *path, int flags, mode_t mode, const FdSetOpener *sets, GError **error)
{
	static const char set_prefix[] = "/dev/fdset/";
	int fd;

	if (g_str_has_prefix(path, set_prefix)) {
		gint64 set;

		if (!g_ascii_string_to_signed(path + strlen(set_prefix), 10, 0, G_MAXINT64, &set,
					      NULL)) {
			error_fail(error, "'%s' does not name a descriptor set", path);
			return -1;
		}
		if (!sets || !sets->open) {
			error_fail(error, "'%s': there are no descriptor sets", path);
			return -1;
		}
		return sets->open(sets->opaque, set, flags, error);
	}

	do {
		fd = open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		int saved_errno = errno;

		error_fail_errno(error, saved_errno, "cannot open '%s'", path);
		errno = saved_errno;
	}
	return fd;
}
