/*
 * net.h: netdevs, the host side of network cards (-netdev)
 *
 * Frames are pulled: the card watches for readiness and receives straight into guest buffers.
 * Each frame starts with a virtio_net_hdr_v1 of NET_HEADER_SIZE bytes in both directions; a
 * netdev without offloads sends and delivers zeroed ones.
 *
 * A netdev has one queue for each direction or several, numbered in pairs; which frame arrives in
 * which queue is the host's choice, by flow.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vmm/base/fd.h"
#include "vmm/base/io_loop.h"

#define NET_HEADER_SIZE 12u
/* Largest frame with header that a netdev delivers. */
#define NET_FRAME_MAX 65562u
/* What the kernel's taps have. */
#define NET_QUEUES_MAX 256u

typedef struct Netdev Netdev;
typedef struct Netdevs Netdevs;

/* Offloads that the guest has negotiated for reception (it can take such frames). */
typedef enum NetOffload {
	NET_OFFLOAD_CHECKSUM = 1 << 0,
	NET_OFFLOAD_TSO4 = 1 << 1,
	NET_OFFLOAD_TSO6 = 1 << 2,
	NET_OFFLOAD_TSO_ECN = 1 << 3,
	NET_OFFLOAD_UFO = 1 << 4,
	NET_OFFLOAD_USO4 = 1 << 5,
	NET_OFFLOAD_USO6 = 1 << 6,
	NET_OFFLOADS_ALL = (1 << 7) - 1,
} NetOffload;

typedef struct NetdevListener {
	/* Loop thread: netdev_receive() of @queue will give a frame. */
	void (*readable)(void *opaque, unsigned queue);
	/* Loop thread: after netdev_send() to @queue said -EAGAIN. */
	void (*writable)(void *opaque, unsigned queue);
	void (*link_changed)(void *opaque, bool up); /* main thread */
} NetdevListener;

struct QapiNetdev;

/* The netdevs of one machine by id. Main thread, all of these. */
Netdevs *netdevs_new(void);

/* Free the netdevs too; cards have detached. */
void netdevs_free(Netdevs *netdevs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Netdevs, netdevs_free)

/* netdev_add: false and @error naming the netdev or the member at fault. */
bool netdevs_add(Netdevs *netdevs, const struct QapiNetdev *options, GError **error);

/* How descriptors are found by the names that getfd gave them; without this there are none. */
void netdevs_set_fd_names(Netdevs *netdevs, const FdNameTaker *taker);

/*
 * netdev_del: false and @error when there is no @id. A card that has it sees the link go down for
 * good; the Netdev then lives until the card detaches.
 */
bool netdevs_remove(Netdevs *netdevs, const char *id, GError **error);

/* The netdev @id, or NULL; borrowed. Main thread. */
Netdev *netdevs_find(Netdevs *netdevs, const char *id);

/* Its id; borrowed. Any thread. */
const char *netdev_id(const Netdev *netdev);

/*
 * Claim @netdev for the card called @user, serving it on @loop. False and @error when another
 * card has it. Main thread; the loop's thread must be free to run.
 */
bool netdev_attach(Netdev *netdev, const char *user, IoLoop *loop, const NetdevListener *listener,
		   void *opaque, GError **error);

/* Give it back; no callback runs afterwards. Main thread; the loop's thread must be free to run. */
void netdev_detach(Netdev *netdev);

/* What the kernel can pass the frames of one pair with, both borrowed. */
typedef struct NetdevVhost {
	int vhost_fd; /* an open /dev/vhost-net */
	int tap_fd;   /* where the frames go */
} NetdevVhost;

/* Whether vhost is to serve @netdev, and by what its pair @queue. Main thread. */
bool netdev_has_vhost(const Netdev *netdev);
NetdevVhost netdev_get_vhost(const Netdev *netdev, unsigned queue);

/*
 * The id of the chardev that leads to the process which is to have the queues, by vhost-user;
 * borrowed. NULL: it is not of that kind, or removed. Main thread.
 */
const char *netdev_chardev(const Netdev *netdev);

/* How many pairs of queues it has. Any thread. */
unsigned netdev_n_queues(const Netdev *netdev);
/*
 * Receive into the first @n pairs only; a netdev that was just attached uses one. Returns 0, or a
 * negative errno where the host refuses. Loop thread.
 */
int netdev_use_queues(Netdev *netdev, unsigned n);

/* Which offloads the host side can take from the guest and deliver to it (NetOffload bits). */
unsigned netdev_offloads(const Netdev *netdev);
/* Say what the guest can receive. Loop thread or main thread while the card is idle. */
void netdev_set_offloads(Netdev *netdev, unsigned offloads);

/* Start and stop calling listener->readable for @queue; starts off. Loop thread. */
void netdev_watch_readable(Netdev *netdev, unsigned queue, bool enabled);

/*
 * Receive one frame of @queue, header first, into @iov. Returns its bytes, -EAGAIN when there is
 * none, -EMSGSIZE when it did not fit (it is dropped), another negative errno when the host side is
 * gone. Loop thread.
 */
ssize_t netdev_receive(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov);

/*
 * Send one frame by @queue, header first. Returns 0, -EAGAIN (listener->writable follows; send it
 * again), or another negative errno (the frame is dropped). Loop thread.
 */
int netdev_send(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov);

/* Link state as set_link sets it; false makes both directions drop. */
bool netdev_link_up(const Netdev *netdev);
void netdev_set_link(Netdev *netdev, bool up);
