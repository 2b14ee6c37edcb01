/*
 * chardev_pty.c: -chardev pty, a pseudo-terminal of its own
 *
 * The chardev is open while somebody has the terminal open. The kernel reports nobody there as a
 * hang-up of our side, for as long as it lasts, and not when that ends; so while closed, our side
 * is looked at once a second and before each write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_internal.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>

#define REOPEN_INTERVAL_MS 1000

typedef struct ChardevPty {
	Chardev chardev;
	char *path;
	int fd; /* the stream has duplicates of it */
	GSource *timer;
} ChardevPty;

static bool pty_has_peer(const ChardevPty *pty)
{
	struct pollfd poll_fd = { .fd = pty->fd, .events = POLLOUT };

	return poll(&poll_fd, 1, 0) >= 0 && !(poll_fd.revents & POLLHUP);
}

static gboolean pty_look(gpointer data)
{
	ChardevPty *pty = data;
	int fd;

	if (!pty_has_peer(pty))
		return G_SOURCE_CONTINUE;
	fd = fcntl(pty->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return G_SOURCE_CONTINUE;
	chardev_drop_source(&pty->timer);
	chardev_stream_start(&pty->chardev, fd, fd);
	chardev_set_open(&pty->chardev, true);
	chardev_accept_input(&pty->chardev);
	return G_SOURCE_REMOVE;
}

static void pty_hang_up(Chardev *chardev)
{
	ChardevPty *pty = (ChardevPty *)chardev;

	chardev_stream_stop(chardev);
	chardev_set_open(chardev, false);
	pty->timer = chardev_add_timer(chardev, REOPEN_INTERVAL_MS, pty_look);
}

static bool pty_open(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	ChardevPty *pty = (ChardevPty *)chardev;
	struct termios modes;
	char path[64];
	autofd int slave = -1;

	(void)config;
	pty->fd = -1;
	if (openpty(&pty->fd, &slave, NULL, NULL, NULL) < 0) {
		pty->fd = -1;
		return error_fail_errno(error, errno, "cannot make a pseudo-terminal");
	}
	if (tcgetattr(slave, &modes) == 0) {
		cfmakeraw(&modes);
		tcsetattr(slave, TCSAFLUSH, &modes);
	}
	if (ptsname_r(pty->fd, path, sizeof(path)) != 0)
		return error_fail_errno(error, errno, "cannot name the pseudo-terminal");
	pty->path = g_strdup(path);
	if (fcntl(pty->fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_fail_errno(error, errno, "cannot set up the pseudo-terminal");
	if (!fd_set_nonblocking(pty->fd, true, error))
		return false;
	pty->timer = chardev_add_timer(chardev, REOPEN_INTERVAL_MS, pty_look);
	g_info("chardev '%s' is at %s", chardev->id, pty->path);
	return true;
}

static void pty_close(Chardev *chardev)
{
	ChardevPty *pty = (ChardevPty *)chardev;

	chardev_drop_source(&pty->timer);
	fd_close(&pty->fd);
	g_free(pty->path);
}

/* Output for nobody is dropped; for somebody who just came, it is written at once. */
static size_t pty_write(Chardev *chardev, const uint8_t *data, size_t size)
{
	ChardevPty *pty = (ChardevPty *)chardev;
	size_t done = 0;

	if (!pty_has_peer(pty))
		return size;
	while (done < size) {
		ssize_t written = write(pty->fd, data + done, size - done);

		if (written >= 0) {
			done += written;
		} else if (errno == EAGAIN) {
			chardev->write_blocked = true;
			chardev_accept_input(chardev);
			return done;
		} else if (errno != EINTR) {
			return size;
		}
	}
	return size;
}

static char *pty_filename(Chardev *chardev)
{
	return g_strdup_printf("pty:%s", ((ChardevPty *)chardev)->path);
}

const ChardevOps chardev_pty_ops = {
	.object_size = sizeof(ChardevPty),
	.open = pty_open,
	.close = pty_close,
	.write = pty_write,
	.hang_up = pty_hang_up,
	.filename = pty_filename,
};
