/*
 * chardev_stdio.c: -chardev stdio, the terminal that the process was started on
 *
 * The terminal is made raw, so that the guest sees each key. Its modes, and the blocking modes of
 * descriptors 0 and 1 (which are shared with the shell), are put back when the chardev goes or the
 * process exits.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_internal.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>

/* A process has one standard input: this is the one state that is its own, not a chardev's. */
static struct {
	bool in_use;
	bool has_modes;
	struct termios modes;
	int flags[2]; /* of descriptors 0 and 1; -1 unknown */
} terminal;

static void terminal_restore(void)
{
	if (!terminal.in_use)
		return;
	if (terminal.has_modes)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal.modes);
	for (int fd = 0; fd < 2; fd++) {
		if (terminal.flags[fd] >= 0)
			fcntl(fd, F_SETFL, terminal.flags[fd]);
	}
	terminal.in_use = false;
}

static void terminal_make_raw(bool signals)
{
	struct termios modes = terminal.modes;

	cfmakeraw(&modes);
	modes.c_oflag |= OPOST; /* messages of the process itself still need carriage returns */
	modes.c_cc[VMIN] = 1;
	modes.c_cc[VTIME] = 0;
	if (signals)
		modes.c_lflag |= ISIG;
	tcsetattr(STDIN_FILENO, TCSANOW, &modes);
}

static bool stdio_open(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	static bool registered;
	int in_fd, out_fd;

	if (terminal.in_use)
		return error_fail(error, "another chardev has the standard input");

	in_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (in_fd < 0 || out_fd < 0) {
		error_fail_errno(error, errno, "standard input or output");
		fd_close(&in_fd);
		fd_close(&out_fd);
		return false;
	}
	for (int fd = 0; fd < 2; fd++)
		terminal.flags[fd] = fcntl(fd, F_GETFL);
	terminal.has_modes = tcgetattr(STDIN_FILENO, &terminal.modes) == 0;
	terminal.in_use = true;
	if (!registered)
		atexit(terminal_restore);
	registered = true;

	chardev_stream_start(chardev, in_fd, out_fd);
	if (!fd_set_nonblocking(in_fd, true, error) || !fd_set_nonblocking(out_fd, true, error)) {
		terminal_restore();
		return false;
	}
	if (terminal.has_modes)
		terminal_make_raw(config->stdio_signal);
	chardev_set_open(chardev, true);
	return true;
}

static void stdio_close(Chardev *chardev)
{
	if (chardev_is_open(chardev))
		terminal_restore();
}

const ChardevOps chardev_stdio_ops = {
	.object_size = sizeof(Chardev),
	.open = stdio_open,
	.close = stdio_close,
	.hang_up = chardev_stream_end_input, /* output goes on */
};
