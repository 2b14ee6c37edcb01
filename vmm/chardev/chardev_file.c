/*
 * chardev_file.c: -chardev file, output into a file
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_internal.h"

#include <fcntl.h>

static bool file_open(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	/* Non-blocking, so that a FIFO without a reader is an error, not a hang. */
	int flags = O_WRONLY | O_CREAT | O_NONBLOCK | (config->append ? O_APPEND : O_TRUNC);
	int fd = fd_open(config->path, flags, 0666, chardev_fd_sets(chardev), error);

	if (fd < 0)
		return false;
	chardev_stream_start(chardev, -1, fd);
	chardev_set_open(chardev, true);
	return true;
}

const ChardevOps chardev_file_ops = {
	.object_size = sizeof(Chardev),
	.open = file_open,
};
