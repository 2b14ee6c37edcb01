/*
 * net_vhost_user.c: -netdev vhost-user, a switch in another process (OVS, DPDK, VPP)
 *
 * No frame passes through here: the card hands its queues to the process behind the chardev, and
 * what is left of a netdev is its name, its link and how many queues there are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/net/net_internal.h"

#include <errno.h>

#include "vmm/base/error.h"

typedef struct NetVhostUser {
	Netdev netdev; /* first */
	char *chardev;
} NetVhostUser;

static bool vhost_user_open(Netdev *netdev, const QapiNetdev *options, GError **error)
{
	const QapiNetdevVhostUserOptions *own = &options->u.vhost_user;
	int64_t queues = own->has_queues ? own->queues : 1;

	if (queues < 1 || queues > NET_QUEUES_MAX)
		return error_fail(error, "'queues' is not between 1 and %u", NET_QUEUES_MAX);
	netdev->n_queues = (unsigned)queues;
	((NetVhostUser *)netdev)->chardev = g_strdup(own->chardev);
	return true;
}

static void vhost_user_close(Netdev *netdev)
{
	g_clear_pointer(&((NetVhostUser *)netdev)->chardev, g_free);
}

static void vhost_user_stop(Netdev *netdev)
{
	(void)netdev;
}

static const char *vhost_user_chardev(const Netdev *netdev)
{
	return ((const NetVhostUser *)netdev)->chardev;
}

/* What it can take and deliver the card asks the other process. */
static unsigned vhost_user_offloads(const Netdev *netdev)
{
	(void)netdev;
	return 0;
}

static void vhost_user_set_offloads(Netdev *netdev, unsigned offloads)
{
	(void)netdev;
	(void)offloads;
}

static void vhost_user_watch_readable(Netdev *netdev, unsigned queue, bool enabled)
{
	(void)netdev;
	(void)queue;
	(void)enabled;
}

static ssize_t vhost_user_receive(Netdev *netdev, unsigned queue, const struct iovec *iov,
				  unsigned n_iov)
{
	(void)netdev;
	(void)queue;
	(void)iov;
	(void)n_iov;
	return -EAGAIN;
}

static int vhost_user_send(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov)
{
	(void)netdev;
	(void)queue;
	(void)iov;
	(void)n_iov;
	return -ENODEV;
}

const NetdevOps netdev_vhost_user_ops = {
	.object_size = sizeof(NetVhostUser),
	.open = vhost_user_open,
	.close = vhost_user_close,
	.stop = vhost_user_stop,
	.chardev = vhost_user_chardev,
	.offloads = vhost_user_offloads,
	.set_offloads = vhost_user_set_offloads,
	.watch_readable = vhost_user_watch_readable,
	.receive = vhost_user_receive,
	.send = vhost_user_send,
};
