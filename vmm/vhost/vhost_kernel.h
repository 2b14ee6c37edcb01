/*
 * vhost_kernel.h: virtqueues that the kernel serves (/dev/vhost-net, /dev/vhost-vsock)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/vhost/vhost.h"

/*
 * Have the kernel serve a receive and a send queue of tap descriptor @tap by @fd, an open
 * /dev/vhost-net. Both are borrowed. NULL and @error where it cannot. Main thread.
 */
Vhost *vhost_kernel_new_net(int fd, int tap, GError **error);

/*
 * Have the kernel serve the two data queues of a socket device with context id @cid by @fd, an
 * open /dev/vhost-vsock, which is taken over if that succeeds. NULL and @error where it cannot, as
 * when another guest has that id. Main thread.
 */
Vhost *vhost_kernel_new_vsock(int fd, uint64_t cid, GError **error);
