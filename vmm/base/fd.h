/*
 * fd.h: descriptors that close themselves, and eventfds
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* Close *@fd unless it is negative, and set it to -1; errno is kept. Any thread. */
void fd_close(int *fd);

/* Take the descriptor out of *@fd, leaving -1: for handing ownership on. */
static inline int fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Closes at the end of scope: autofd int fd = -1; */
#define autofd __attribute__((cleanup(fd_close)))

/* Make a non-blocking, close-on-exec eventfd; -1 and @error where the host has none left. */
int fd_new_event(GError **error);

/* The same, but reads block: for io_loop_watch_event(). */
int fd_new_blocking_event(GError **error);

/*
 * Make a memory file of @size bytes, close-on-exec, of huge pages and the like where @flags (MFD_*)
 * say so. Its size is sealed: whoever is given it can take none of it from under a mapping of ours.
 * -1 with errno where the host has none.
 */
int fd_new_memory(const char *name, unsigned flags, uint64_t size);

/* Add one to eventfd @fd: wakes whoever waits on it. Never blocks. Any thread. */
void fd_event_signal(int fd);

/*
 * The same for one that another process was given, too, which may have made it one that blocks, and
 * full: it has been signalled then.
 */
void fd_event_signal_shared(int fd);

/*
 * Read eventfd @fd back to zero; returns whether it had been signalled. Never blocks, whatever
 * another process has made of it.
 */
bool fd_event_take(int fd);

/* Set O_NONBLOCK on @fd (any kind). Fails with @error when fcntl does. */
bool fd_set_nonblocking(int fd, bool nonblocking, GError **error);

/*
 * How a path "/dev/fdset/N" is opened: a duplicate of a descriptor of set @set whose access mode
 * fits @flags (O_RDONLY, ...), or -1, errno and @error. Given by whoever keeps the sets (add-fd).
 */
typedef struct FdSetOpener {
	int (*open)(void *opaque, int64_t set, int flags, GError **error);
	void *opaque;
} FdSetOpener;

/*
 * How a descriptor that was given a name (getfd) is taken out of the monitor's keeping: it is the
 * caller's then. -1 and @error when there is none of that name.
 */
typedef struct FdNameTaker {
	int (*take)(void *opaque, const char *name, GError **error);
	void *opaque;
} FdNameTaker;

/*
 * The descriptor that @text is about: a number as inherited, which becomes close-on-exec, or a name
 * that @names (empty: there are none) knows. The caller's; -1 and @error if there is none such.
 */
int fd_take(const FdNameTaker *names, const char *text, GError **error);

/*
 * Open @path close-on-exec with open(2)'s @flags and @mode; "/dev/fdset/N" goes to @sets (NULL or
 * empty: refused). -1, errno and @error naming @path. Any thread that @sets allows.
 */
int fd_open(const char *path, int flags, mode_t mode, const FdSetOpener *sets, GError **error);
