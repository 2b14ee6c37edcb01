/*
 * virtio_net_internal.h: between the parts of the network card
 *
 *	virtio_net.c		what it offers, configuration space, life
 *	virtio_net_data.c	frames, where they go through this process
 *	virtio_net_control.c	the control queue
 *	virtio_net_vhost.c	frames, where vhost passes them on: the kernel
 *	virtio_net_vhost_user.c	likewise, another process
 *
 * Everything here runs on the device's I/O loop, except where it says otherwise.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/vhost/vhost_user.h"
#include "vmm/virtio/interrupt_moderation.h"
#include "vmm/virtio/virtio_net.h"
#include "vmm/virtio/virtio_net_filter.h"
#include "vmm/virtio/virtio_net_rss.h"
#include "vmm/virtio/virtio_vhost.h"

/* Features (virtio 1.2 §5.1.3). */
#define VIRTIO_NET_F_CSUM		 0
#define VIRTIO_NET_F_GUEST_CSUM		 1
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define VIRTIO_NET_F_MTU		 3
#define VIRTIO_NET_F_MAC		 5
#define VIRTIO_NET_F_GSO		 6
#define VIRTIO_NET_F_GUEST_TSO4		 7
#define VIRTIO_NET_F_GUEST_TSO6		 8
#define VIRTIO_NET_F_GUEST_ECN		 9
#define VIRTIO_NET_F_GUEST_UFO		 10
#define VIRTIO_NET_F_HOST_TSO4		 11
#define VIRTIO_NET_F_HOST_TSO6		 12
#define VIRTIO_NET_F_HOST_ECN		 13
#define VIRTIO_NET_F_HOST_UFO		 14
#define VIRTIO_NET_F_MRG_RXBUF		 15
#define VIRTIO_NET_F_STATUS		 16
#define VIRTIO_NET_F_CTRL_VQ		 17
#define VIRTIO_NET_F_CTRL_RX		 18
#define VIRTIO_NET_F_CTRL_VLAN		 19
#define VIRTIO_NET_F_CTRL_RX_EXTRA	 20
#define VIRTIO_NET_F_GUEST_ANNOUNCE	 21
#define VIRTIO_NET_F_MQ			 22
#define VIRTIO_NET_F_CTRL_MAC_ADDR	 23
#define VIRTIO_NET_F_GUEST_USO4		 54
#define VIRTIO_NET_F_GUEST_USO6		 55
#define VIRTIO_NET_F_HOST_USO		 56
#define VIRTIO_NET_F_HASH_REPORT	 57
#define VIRTIO_NET_F_RSS		 60

#define NET_ETHERNET_HEADER 14u

typedef struct VirtioNet VirtioNet;

/* One receive queue with its window, and one send queue. */
typedef struct NetPair {
	VirtioNet *net;
	unsigned number; /* the netdev's queue, too */
	VirtioQueue *rx, *tx;

	VirtqueueElement *window[VIRTQUEUE_MAX_SIZE]; /* in the order popped */
	unsigned first, n;			      /* of them, in use */
	uint64_t window_bytes;
	struct iovec iov[VIRTQUEUE_MAX_SIZE]; /* scratch: the window, then the spill */
	uint64_t waiting;		      /* bytes of a frame that needs more chains; 0: none */
	uint64_t spilled_from;		      /* of which those from here on are in the spill */
	NetHash hash;			      /* of the frame received last */

	InterruptModeration tx_moderation;

	uint64_t turn_bytes; /* passed on in this turn of either queue */
	unsigned stream_level;
	bool streams; /* the loop gathers for it */

	uint8_t spill[NET_FRAME_MAX + sizeof(NetHash)]; /* last: hardly ever used */
} NetPair;

struct VirtioNet {
	VirtioDevice virtio;

	/* Properties. */
	char *netdev_name;
	uint8_t mac[NET_MAC_SIZE];
	int32_t boot_index;
	uint16_t host_mtu; /* bytes; 0: not told */
	uint16_t rx_queue_size, tx_queue_size;
	bool want_mergeable, want_guest_announce, want_multiqueue, want_in_order;
	bool want_rss, want_hash;
	bool want_offload[VIRTIO_NET_F_HOST_USO + 1]; /* by feature */

	Netdev *netdev;
	VirtioVhost vhost;
	bool has_vhost;
	VhostUser *user; /* of vhost, where that is another process; else NULL */
	bool user_gone;	 /* atomic: it is away */
	NetPair *pairs;
	uint16_t n_pairs;
	uint16_t n_active; /* pairs that the driver uses; atomic where another process serves them */
	NetFilter filter;  /* its address under mac_lock: vCPUs read it in configuration space */
	GMutex mac_lock;   /* a leaf: held for a copy only */
	uint64_t guest_offloads; /* feature bits, once the driver has set them */
	bool guest_offloads_set;
	unsigned announce; /* atomic: STATUS_ANNOUNCE or 0 */
	int filter_event;  /* atomic: NIC_RX_FILTER_CHANGED may be raised */

	NetRss rss;
};

static inline VirtioNet *virtio_net(VirtioDevice *device)
{
	return (VirtioNet *)device;
}

/* virtio_net_data.c */

/* How a netdev tells of frames. */
void virtio_net_data_readable(void *opaque, unsigned queue);
void virtio_net_data_writable(void *opaque, unsigned queue);

/* The driver notified the receive queue, or the send queue, of @pair. */
void virtio_net_data_rx_ready(NetPair *pair);
void virtio_net_data_tx_ready(NetPair *pair);

/* The rings are mapped, or will not be any more. */
void virtio_net_data_start(VirtioNet *net);
void virtio_net_data_stop(VirtioNet *net);

/* Frames go to other queues from now on: net->rss is new. */
void virtio_net_data_steer(VirtioNet *net);

/* virtio_net_control.c */

/* Carry out the commands on @queue. */
void virtio_net_control_ready(VirtioQueue *queue);

/* The feature bits of reception offloads, and the NetOffload bits of some of them. Any thread. */
uint64_t virtio_net_guest_offload_mask(void);
unsigned virtio_net_offloads_of(uint64_t features);
/*
 * The feature bits, of both sides, that NetOffload bits @offloads of a netdev allow, but for those
 * that @net's properties say no to. Any thread.
 */
uint64_t virtio_net_offload_features(const VirtioNet *net, unsigned offloads);

/* virtio_net_vhost.c; main thread, or stopped */

/*
 * Have vhost serve the data queues if the netdev has one, after it was attached and before features
 * of network cards are offered. False and @error where it has one that cannot.
 */
bool virtio_net_vhost_setup(VirtioNet *net, GError **error);
void virtio_net_vhost_teardown(VirtioNet *net);
/* The device is being reset. Lock held. */
void virtio_net_vhost_reset(VirtioNet *net);
/* The link went up or down. Lock not held. */
void virtio_net_vhost_set_link(VirtioNet *net, bool up);
/* Say which queues vhost has, now that features are settled. Any thread, stopped. */
void virtio_net_vhost_choose_queues(VirtioNet *net);

/* virtio_net_vhost_user.c; likewise */

/* What virtio_net_vhost_setup() and _set_link() do where the netdev is of that kind. */
bool virtio_net_vhost_user_setup(VirtioNet *net, GError **error);
void virtio_net_vhost_user_set_link(VirtioNet *net, bool up);
/* The driver uses another number of pairs now. Loop thread; any card. */
void virtio_net_vhost_user_pairs_changed(VirtioNet *net);
/* Have the other process tell switches of the card's address; false: there is none. Any card. */
bool virtio_net_vhost_user_announce(VirtioNet *net);
