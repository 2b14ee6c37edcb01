/*
 * virtio_net.c: network card (virtio 1.2 §5.1)
 *
 * Receiving reads each frame from the netdev straight into guest buffers. How long it will be is
 * not known before, so with mergeable buffers a window of popped chains, enough for the largest
 * frame, is kept ready; a frame takes as many of them as it fills and the rest serve the next one.
 * Should the driver have given less than a frame needs, the tail goes to a spill buffer, and the
 * frame waits there for more chains. Sending hands the chain's iovecs to the netdev.
 *
 * What is received is filtered by what the driver asked for on the control queue; filter and
 * queues belong to the I/O loop. The address and the offloads of tables are what the main thread
 * sees too, through a run on the loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_net.h"

#include <errno.h>
#include <string.h>

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/virtio/interrupt_moderation.h"
#include "vmm/virtio/virtio_net_filter.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_NET	  1
#define PCI_CLASS_NETWORK 0x020000

/* §5.1.3 */
#define F_CSUM		      0
#define F_GUEST_CSUM	      1
#define F_CTRL_GUEST_OFFLOADS 2
#define F_MTU		      3
#define F_MAC		      5
#define F_GUEST_TSO4	      7
#define F_GUEST_TSO6	      8
#define F_GUEST_ECN	      9
#define F_GUEST_UFO	      10
#define F_HOST_TSO4	      11
#define F_HOST_TSO6	      12
#define F_HOST_ECN	      13
#define F_HOST_UFO	      14
#define F_MRG_RXBUF	      15
#define F_STATUS	      16
#define F_CTRL_VQ	      17
#define F_CTRL_RX	      18
#define F_CTRL_VLAN	      19
#define F_CTRL_RX_EXTRA	      20
#define F_GUEST_ANNOUNCE      21
#define F_CTRL_MAC_ADDR	      23

/* §5.1.4 */
#define STATUS_LINK_UP	0x1u
#define STATUS_ANNOUNCE 0x2u

/* §5.1.6.5 */
enum { CLASS_ANNOUNCE = 3, CLASS_GUEST_OFFLOADS = 5 }; /* and those of the filter */
enum { MAC_ADDR_SET = 1 };
enum { ANNOUNCE_ACK = 0 };
enum { GUEST_OFFLOADS_SET = 0 };
enum { CTRL_OK = 0, CTRL_ERR = 1 };

#define ETHERNET_HEADER	   14u
#define RX_BATCH	   64u	   /* frames in one turn */
#define PLAIN_FRAME_MAX	   0x2800u /* window where frames are not segmented later: jumbo frames */
#define MTU_MIN		   68u
#define CTRL_QUEUE_SIZE	   64
#define DEFAULT_QUEUE_SIZE 256

enum { QUEUE_RX, QUEUE_TX, QUEUE_CTRL, N_QUEUES };

/* Negotiable reception offloads and their feature bits, as the control queue names them too. */
static const struct {
	uint8_t guest_feature, host_feature;
	NetOffload offload;
} offload_features[] = {
	{ F_GUEST_CSUM, F_CSUM, NET_OFFLOAD_CHECKSUM },
	{ F_GUEST_TSO4, F_HOST_TSO4, NET_OFFLOAD_TSO4 },
	{ F_GUEST_TSO6, F_HOST_TSO6, NET_OFFLOAD_TSO6 },
	{ F_GUEST_ECN, F_HOST_ECN, NET_OFFLOAD_TSO_ECN },
	{ F_GUEST_UFO, F_HOST_UFO, NET_OFFLOAD_UFO },
};

/* §5.1.4 */
typedef struct NetConfig {
	uint8_t mac[NET_MAC_SIZE];
	uint16_t status;
	uint16_t max_virtqueue_pairs;
	uint16_t mtu;
} NetConfig;

G_STATIC_ASSERT(sizeof(NetConfig) == 12);

/* One receive queue with its window. Loop thread. */
typedef struct RxPair {
	VirtqueueElement *window[VIRTQUEUE_MAX_SIZE]; /* in the order popped */
	unsigned first, n;			      /* of them, in use */
	uint64_t window_bytes;
	struct iovec iov[VIRTQUEUE_MAX_SIZE]; /* scratch: the window, then the spill */
	uint8_t *spill;			      /* NET_FRAME_MAX bytes */
	uint64_t waiting;		      /* bytes of a frame that needs more chains; 0: none */
	uint64_t spilled_from;		      /* of which those from here on are in the spill */
} RxPair;

typedef struct VirtioNet {
	VirtioDevice virtio;

	/* Properties. */
	char *netdev_name;
	uint8_t mac[NET_MAC_SIZE];
	uint16_t host_mtu; /* bytes; 0: not told */
	uint16_t rx_queue_size, tx_queue_size;
	bool want_mergeable, want_guest_announce;

	Netdev *netdev;
	RxPair rx;
	InterruptModeration tx_moderation;
	NetFilter filter; /* its address under mac_lock: vCPUs read it in configuration space */
	GMutex mac_lock;  /* a leaf: held for a copy only */
	uint64_t guest_offloads; /* feature bits, once the driver has set them */
	bool guest_offloads_set;
	unsigned announce; /* atomic: STATUS_ANNOUNCE or 0 */
	int filter_event;  /* atomic: NIC_RX_FILTER_CHANGED may be raised */
} VirtioNet;

static VirtioNet *virtio_net(VirtioDevice *device)
{
	return (VirtioNet *)device;
}

/* Receiving */

static bool is_mergeable(const VirtioNet *net)
{
	return virtio_device_has_feature(&net->virtio, F_MRG_RXBUF);
}

/* How many bytes of chains the window should have. */
static uint64_t window_wanted(const VirtioNet *net)
{
	static const uint64_t segmented = VIRTIO_FEATURE(F_GUEST_TSO4) |
					  VIRTIO_FEATURE(F_GUEST_TSO6) |
					  VIRTIO_FEATURE(F_GUEST_UFO);

	if (!is_mergeable(net))
		return 1; /* one chain, whatever it holds */
	if (net->virtio.accepted & segmented)
		return NET_FRAME_MAX;
	return MAX(PLAIN_FRAME_MAX, net->host_mtu + NET_HEADER_SIZE + ETHERNET_HEADER + 4u);
}

static void rx_fill(VirtioNet *net)
{
	VirtioQueue *queue = &net->virtio.queues[QUEUE_RX];
	RxPair *rx = &net->rx;
	uint64_t wanted = MAX(window_wanted(net), rx->waiting);

	if (rx->n == 0)
		rx->first = 0;
	while (rx->window_bytes < wanted && rx->first + rx->n < G_N_ELEMENTS(rx->window)) {
		VirtqueueElement *element = virtqueue_pop(&queue->ring);

		if (!element)
			return;
		if (element->in_size < NET_HEADER_SIZE) {
			virtio_queue_set_broken(queue, "a receive buffer has no room for a header");
			virtqueue_push(&queue->ring, element, 0);
			return;
		}
		rx->window[rx->first + rx->n++] = element;
		rx->window_bytes += element->in_size;
	}
	/* The array is used up at its end: move what is left to the front, and go on. */
	if (rx->window_bytes < wanted && rx->first > 0) {
		memmove(rx->window, rx->window + rx->first, rx->n * sizeof(*rx->window));
		rx->first = 0;
		rx_fill(net);
	}
}

/* The window as iovecs, then the spill where chains may be merged; returns how many. */
static unsigned rx_gather(VirtioNet *net)
{
	RxPair *rx = &net->rx;
	unsigned n_chains = is_mergeable(net) ? rx->n : 1, n = 0;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n_chains; i++) {
		VirtqueueElement *element = rx->window[rx->first + i];

		for (unsigned j = 0; j < element->n_in && n < G_N_ELEMENTS(rx->iov) - 1; j++) {
			rx->iov[n++] = element->iov[element->n_out + j];
			bytes += rx->iov[n - 1].iov_len;
		}
	}
	rx->spilled_from = bytes;
	if (is_mergeable(net))
		rx->iov[n++] = (struct iovec){ .iov_base = rx->spill, .iov_len = NET_FRAME_MAX };
	return n;
}

/* Give back the chains that a frame of @size bytes, header included, filled. */
static void rx_deliver(VirtioNet *net, uint64_t size)
{
	VirtioQueue *queue = &net->virtio.queues[QUEUE_RX];
	RxPair *rx = &net->rx;
	VirtqueueElement *head = rx->window[rx->first];
	uint64_t left = size;
	uint16_t n_buffers = 0;

	for (uint64_t covered = 0; covered < size; n_buffers++)
		covered += rx->window[rx->first + n_buffers]->in_size;
	/* §5.1.6.4: the header says how many chains there are, also where it is always one. */
	iov_copy_to(head->iov + head->n_out, head->n_in, 10, &n_buffers, sizeof(n_buffers));
	for (unsigned i = 0; i < n_buffers; i++) {
		VirtqueueElement *element = rx->window[rx->first++];
		uint64_t part = MIN(left, element->in_size);

		rx->n--;
		rx->window_bytes -= element->in_size;
		left -= part;
		virtqueue_push(&queue->ring, element, part);
	}
}

/* Copy the spilled part of the waiting frame to the chains that have come since, if they do. */
static bool rx_finish_waiting(VirtioNet *net)
{
	RxPair *rx = &net->rx;
	uint64_t skip = rx->spilled_from, at = rx->spilled_from;

	if (rx->window_bytes < rx->waiting)
		return false;
	for (unsigned i = 0; i < rx->n && at < rx->waiting; i++) {
		VirtqueueElement *element = rx->window[rx->first + i];

		if (skip >= element->in_size) {
			skip -= element->in_size;
			continue;
		}
		at += iov_copy_to(element->iov + element->n_out, element->n_in, skip,
				  rx->spill + (at - rx->spilled_from), rx->waiting - at);
		skip = 0;
	}
	rx_deliver(net, rx->waiting);
	rx->waiting = 0;
	return true;
}

/* Take one frame. Returns false when there is nothing to do until something happens. */
static bool rx_one(VirtioNet *net)
{
	RxPair *rx = &net->rx;
	uint8_t start[NET_HEADER_SIZE + NET_FILTER_BYTES] = {};
	unsigned n_iov = rx_gather(net);
	ssize_t size = netdev_receive(net->netdev, rx->iov, n_iov);

	if (size == -EMSGSIZE || size == -EINTR)
		return true;
	if (size < 0) {
		/* Readiness is level-triggered: only where the host side is gone look away. */
		if (size != -EAGAIN)
			netdev_watch_readable(net->netdev, false);
		return false;
	}
	if ((size_t)size < NET_HEADER_SIZE + ETHERNET_HEADER || size > NET_FRAME_MAX)
		return true;
	iov_copy_from(rx->iov, n_iov, 0, start, MIN(sizeof(start), (size_t)size));
	if (!net_filter_accepts(&net->filter, start + NET_HEADER_SIZE))
		return true;
	if ((uint64_t)size <= rx->window_bytes && (uint64_t)size <= rx->spilled_from) {
		rx_deliver(net, size);
		return true;
	}
	rx->waiting = size;
	return true;
}

static bool rx_ready(const VirtioNet *net)
{
	return net->rx.n > 0 && net->rx.waiting == 0;
}

static void rx_run(VirtioNet *net)
{
	VirtioQueue *queue = &net->virtio.queues[QUEUE_RX];
	RxPair *rx = &net->rx;

	virtqueue_set_notification(&queue->ring, false);
	for (unsigned i = 0; i < RX_BATCH; i++) {
		rx_fill(net);
		/* Where the whole queue cannot hold the frame, no chain that it fits will come. */
		if (rx->waiting && !rx_finish_waiting(net) && rx->n == queue->ring.size)
			rx->waiting = 0;
		if (!rx_ready(net)) {
			if (virtqueue_set_notification(&queue->ring, true)) {
				virtqueue_set_notification(&queue->ring, false);
				continue;
			}
			netdev_watch_readable(net->netdev, false);
			break;
		}
		if (!rx_one(net))
			break;
	}
	if (virtqueue_publish(&queue->ring)) {
		virtio_pci_notify_queue(queue);
		interrupt_moderation_spare(&net->tx_moderation);
	}
}

static void netdev_is_readable(void *opaque)
{
	VirtioNet *net = opaque;

	if (net->virtio.active && net->virtio.queues[QUEUE_RX].ring.ops)
		rx_run(net);
	else
		netdev_watch_readable(net->netdev, false);
}

/* Sending */

static bool handle_tx(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioNet *net = virtio_net(queue->device);

	if (element->in_size || element->out_size < NET_HEADER_SIZE) {
		virtio_queue_set_broken(queue, "a frame to send lacks its header");
		virtqueue_push(&queue->ring, element, 0);
		return false;
	}
	if (element->out_size <= NET_FRAME_MAX &&
	    netdev_send(net->netdev, element->iov, element->n_out) == -EAGAIN) {
		virtqueue_unpop(&queue->ring, element);
		return false; /* netdev_is_writable() goes on */
	}
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

static void tx_run(VirtioNet *net)
{
	/* A driver that sends again has had a look at what was sent before. */
	interrupt_moderation_decide(&net->tx_moderation);
	virtio_queue_take(&net->virtio.queues[QUEUE_TX], handle_tx);
	interrupt_moderation_publish(&net->tx_moderation);
}

static void netdev_is_writable(void *opaque)
{
	VirtioNet *net = opaque;

	if (net->virtio.active && net->virtio.queues[QUEUE_TX].ring.ops)
		tx_run(net);
}

/* Control queue (§5.1.6.5) */

/* Which feature allows command @code of @class, one of the filter's. */
static unsigned filter_feature(uint8_t class, uint8_t code)
{
	if (class == NET_CLASS_VLAN)
		return F_CTRL_VLAN;
	return class == NET_CLASS_RX && code > NET_RX_ALLMULTI ? F_CTRL_RX_EXTRA : F_CTRL_RX;
}

static bool set_mac(VirtioNet *net, NetCommand *command)
{
	uint8_t mac[NET_MAC_SIZE];

	if (!virtio_device_has_feature(&net->virtio, F_CTRL_MAC_ADDR) ||
	    !net_command_take(command, mac, sizeof(mac)))
		return false;
	g_mutex_lock(&net->mac_lock);
	memcpy(net->filter.mac, mac, sizeof(mac));
	g_mutex_unlock(&net->mac_lock);
	return true;
}

static void filter_changed(VirtioNet *net)
{
	const Device *base = &net->virtio.pci.device;

	if (__atomic_exchange_n(&net->filter_event, 0, __ATOMIC_SEQ_CST))
		qapi_event_nic_rx_filter_changed(base->services->events, base->id, base->path);
}

static bool ctrl_filter(VirtioNet *net, uint8_t class, uint8_t code, NetCommand *command)
{
	bool done;

	if (class == NET_CLASS_MAC && code == MAC_ADDR_SET)
		done = set_mac(net, command);
	else
		done = virtio_device_has_feature(&net->virtio, filter_feature(class, code)) &&
		       net_filter_command(&net->filter, class, code, command);
	if (done)
		filter_changed(net);
	return done;
}

static unsigned offloads_of(uint64_t features)
{
	unsigned offloads = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_features); i++) {
		if (features & VIRTIO_FEATURE(offload_features[i].guest_feature))
			offloads |= offload_features[i].offload;
	}
	return offloads;
}

static uint64_t guest_offload_mask(void)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_features); i++)
		mask |= VIRTIO_FEATURE(offload_features[i].guest_feature);
	return mask;
}

static bool ctrl_guest_offloads(VirtioNet *net, uint8_t code, NetCommand *command)
{
	uint64_t offloads;

	if (code != GUEST_OFFLOADS_SET ||
	    !virtio_device_has_feature(&net->virtio, F_CTRL_GUEST_OFFLOADS) ||
	    !net_command_take(command, &offloads, sizeof(offloads)) ||
	    (offloads & ~(net->virtio.accepted & guest_offload_mask())))
		return false;
	net->guest_offloads = offloads;
	net->guest_offloads_set = true;
	netdev_set_offloads(net->netdev, offloads_of(offloads));
	return true;
}

static bool ctrl_announce(VirtioNet *net, uint8_t code)
{
	if (code != ANNOUNCE_ACK || !virtio_device_has_feature(&net->virtio, F_GUEST_ANNOUNCE))
		return false;
	__atomic_store_n(&net->announce, 0, __ATOMIC_SEQ_CST);
	return true;
}

static bool handle_ctrl(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioNet *net = virtio_net(queue->device);
	NetCommand command = {
		.iov = element->iov,
		.n_iov = element->n_out,
		.left = element->out_size,
	};
	struct {
		uint8_t class, code;
	} header;
	uint8_t ack;
	bool done = false;

	if (!net_command_take(&command, &header, sizeof(header)) || element->in_size == 0) {
		virtio_queue_set_broken(queue, "a control command lacks header or answer");
		virtqueue_push(&queue->ring, element, 0);
		return false;
	}
	switch (header.class) {
	case NET_CLASS_RX:
	case NET_CLASS_MAC:
	case NET_CLASS_VLAN:
		done = ctrl_filter(net, header.class, header.code, &command);
		break;
	case CLASS_ANNOUNCE:
		done = ctrl_announce(net, header.code);
		break;
	case CLASS_GUEST_OFFLOADS:
		done = ctrl_guest_offloads(net, header.code, &command);
		break;
	}
	ack = done ? CTRL_OK : CTRL_ERR;
	iov_copy_to(element->iov + element->n_out, element->n_in, 0, &ack, sizeof(ack));
	virtqueue_push(&queue->ring, element, sizeof(ack));
	return true;
}

/* Life */

static void net_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	VirtioNet *net = virtio_net(device);

	switch (queue->ring.index) {
	case QUEUE_RX:
		netdev_watch_readable(net->netdev, true);
		rx_run(net);
		break;
	case QUEUE_TX:
		tx_run(net);
		break;
	case QUEUE_CTRL:
		virtio_queue_process(queue, handle_ctrl);
		break;
	}
}

static void net_start(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);

	if (!net->guest_offloads_set)
		net->guest_offloads = device->accepted & guest_offload_mask();
	netdev_set_offloads(net->netdev, offloads_of(net->guest_offloads));
	net->filter.filters_vlans = virtio_device_has_feature(device, F_CTRL_VLAN);
	interrupt_moderation_start(&net->tx_moderation);
}

static void net_stop(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);
	RxPair *rx = &net->rx;

	interrupt_moderation_stop(&net->tx_moderation);
	netdev_watch_readable(net->netdev, false);
	while (rx->n)
		virtqueue_unpop(&device->queues[QUEUE_RX].ring, rx->window[rx->first + --rx->n]);
	rx->window_bytes = 0;
	rx->waiting = 0; /* a lost frame, as networks lose them */
}

static void net_reset(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);

	net_filter_reset(&net->filter, net->mac);
	net->guest_offloads = 0;
	net->guest_offloads_set = false;
	__atomic_store_n(&net->announce, 0, __ATOMIC_SEQ_CST);
}

static void net_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VirtioNet *net = virtio_net(device);
	NetConfig config = {
		.status = __atomic_load_n(&net->announce, __ATOMIC_SEQ_CST) |
			  (netdev_link_up(net->netdev) ? STATUS_LINK_UP : 0),
		.max_virtqueue_pairs = 1,
		.mtu = net->host_mtu,
	};

	g_mutex_lock(&net->mac_lock);
	memcpy(config.mac, net->filter.mac, NET_MAC_SIZE);
	g_mutex_unlock(&net->mac_lock);
	memcpy(bytes, &config, sizeof(config));
}

static void link_changed(void *opaque, bool up)
{
	VirtioNet *net = opaque;

	(void)up; /* read_config asks the netdev */
	g_mutex_lock(&net->virtio.pci.device.lock);
	virtio_device_config_changed(&net->virtio);
	g_mutex_unlock(&net->virtio.pci.device.lock);
}

static const NetdevListener netdev_listener = {
	.readable = netdev_is_readable,
	.writable = netdev_is_writable,
	.link_changed = link_changed,
};

/* Without "mac": one of QEMU's range that stays the same from run to run, and differs by device. */
static void choose_mac(VirtioNet *net)
{
	static const uint8_t unset[NET_MAC_SIZE];
	const Device *base = &net->virtio.pci.device;
	uint32_t hash;

	if (memcmp(net->mac, unset, NET_MAC_SIZE) != 0)
		return;
	hash = g_str_hash(base->path ? base->path : base->type->name);
	memcpy(net->mac, "\x52\x54\x00", 3);
	memcpy(net->mac + 3, &hash, 3);
}

static void offer_features(VirtioNet *net)
{
	unsigned offloads = netdev_offloads(net->netdev);
	uint64_t features = VIRTIO_FEATURE(F_MAC) | VIRTIO_FEATURE(F_STATUS) |
			    VIRTIO_FEATURE(F_CTRL_VQ) | VIRTIO_FEATURE(F_CTRL_RX) |
			    VIRTIO_FEATURE(F_CTRL_VLAN) | VIRTIO_FEATURE(F_CTRL_RX_EXTRA) |
			    VIRTIO_FEATURE(F_CTRL_MAC_ADDR);

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_features); i++) {
		if (offloads & offload_features[i].offload)
			features |= VIRTIO_FEATURE(offload_features[i].guest_feature) |
				    VIRTIO_FEATURE(offload_features[i].host_feature);
	}
	if (offloads)
		features |= VIRTIO_FEATURE(F_CTRL_GUEST_OFFLOADS);
	if (net->want_mergeable)
		features |= VIRTIO_FEATURE(F_MRG_RXBUF);
	if (net->want_guest_announce)
		features |= VIRTIO_FEATURE(F_GUEST_ANNOUNCE);
	if (net->host_mtu)
		features |= VIRTIO_FEATURE(F_MTU);
	net->virtio.offered |= features;
}

static bool net_setup(VirtioDevice *device, GError **error)
{
	VirtioNet *net = virtio_net(device);
	DeviceServices *services = virtio_device_services(device);
	Device *base = &device->pci.device;

	if (net->host_mtu && net->host_mtu < MTU_MIN)
		return error_fail(error, "host_mtu is less than %u", MTU_MIN);
	if (net->mac[0] & 1)
		return error_fail(error, "mac is a multicast address");
	net->netdev = services->find_netdev(services, net->netdev_name);
	if (!net->netdev)
		return error_fail(error, "there is no netdev '%s'", net->netdev_name);
	if (!virtio_device_add_queues(device, N_QUEUES, MAX(net->rx_queue_size, net->tx_queue_size),
				      error))
		return false;
	virtio_queue_set_maximum_size(&device->queues[QUEUE_RX], net->rx_queue_size);
	virtio_queue_set_maximum_size(&device->queues[QUEUE_TX], net->tx_queue_size);
	if (!netdev_attach(net->netdev, base->id ? base->id : base->path, device->loop,
			   &netdev_listener, net, error))
		return false;
	choose_mac(net);
	offer_features(net);
	g_mutex_init(&net->mac_lock);
	net->tx_moderation.queue = &device->queues[QUEUE_TX];
	net->rx.spill = g_malloc(NET_FRAME_MAX);
	net->filter_event = 1;
	net_reset(device);
	return true;
}

static void net_teardown(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);

	netdev_detach(net->netdev);
	g_clear_pointer(&net->rx.spill, g_free);
	g_mutex_clear(&net->mac_lock);
}

Netdev *virtio_net_netdev(Device *device)
{
	return ((VirtioNet *)device)->netdev;
}

void virtio_net_announce(Device *device)
{
	VirtioNet *net = (VirtioNet *)device;

	g_mutex_lock(&device->lock);
	if (virtio_device_has_feature(&net->virtio, F_GUEST_ANNOUNCE)) {
		__atomic_store_n(&net->announce, STATUS_ANNOUNCE, __ATOMIC_SEQ_CST);
		virtio_device_config_changed(&net->virtio);
	}
	g_mutex_unlock(&device->lock);
}

typedef struct FilterCopy {
	VirtioNet *net;
	NetFilter filter; /* its address under mac_lock: vCPUs read it in configuration space */
} FilterCopy;

static void copy_filter(gpointer data)
{
	FilterCopy *copy = data;

	copy->filter = copy->net->filter;
}

QapiRxFilterInfo *virtio_net_query_rx_filter(Device *device)
{
	VirtioNet *net = (VirtioNet *)device;
	g_autofree FilterCopy *copy = g_new0(FilterCopy, 1);

	copy->net = net;
	io_loop_run_sync(net->virtio.loop, copy_filter, copy);
	__atomic_store_n(&net->filter_event, 1, __ATOMIC_SEQ_CST);
	return net_filter_describe(&copy->filter, device->id ? device->id : "");
}

static const StateField net_fields[] = {
	STATE_PART(VirtioNet, virtio, &virtio_device_state),
	STATE_PART(VirtioNet, filter, &net_filter_state),
	STATE_FIELD(VirtioNet, guest_offloads, STATE_UINT64),
	STATE_FIELD(VirtioNet, guest_offloads_set, STATE_BOOL),
	STATE_FIELD(VirtioNet, announce, STATE_UINT32),
	STATE_END,
};

static const StateTable net_state = {
	.name = "virtio-net",
	.version = 1,
	.minimum_version = 1,
	.fields = net_fields,
};

#define QUEUE_SIZE_PROPERTY(name_, member, what)                                               \
	{                                                                                      \
		.name = name_, .kind = PROPERTY_UINT16, .offset = offsetof(VirtioNet, member), \
		.initial = DEFAULT_QUEUE_SIZE, .minimum = 64, .maximum = VIRTQUEUE_MAX_SIZE,   \
		.power_of_two = true, .description = what                                      \
	}

static const Property net_properties[] = {
	{ .name = "netdev",
	  .kind = PROPERTY_NETDEV,
	  .offset = offsetof(VirtioNet, netdev_name),
	  .required = true,
	  .description = "network back end" },
	{ .name = "mac",
	  .kind = PROPERTY_MAC,
	  .offset = offsetof(VirtioNet, mac),
	  .description = "Ethernet address (default: one made from the device's path)" },
	{ .name = "host_mtu",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VirtioNet, host_mtu),
	  .description = "MTU to tell the guest (0: none)" },
	QUEUE_SIZE_PROPERTY("rx_queue_size", rx_queue_size, "descriptors of the receive queue"),
	QUEUE_SIZE_PROPERTY("tx_queue_size", tx_queue_size, "descriptors of the send queue"),
	{ .name = "mrg_rxbuf",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioNet, want_mergeable),
	  .initial = true,
	  .description = "offer mergeable receive buffers" },
	{ .name = "guest_announce",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioNet, want_guest_announce),
	  .initial = true,
	  .description = "offer announcements by the guest" },
	PROPERTY_END,
};

const VirtioDeviceType virtio_net_type = {
	.pci = {
		.device = {
			.name = "virtio-net-pci",
			.description = "virtio network card",
			.category = "Network",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioNet),
			.properties = { net_properties, virtio_device_properties,
					pci_device_properties },
			.state = &net_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_NET, PCI_CLASS_NETWORK),
	},
	.config_size = sizeof(NetConfig),
	.setup = net_setup,
	.teardown = net_teardown,
	.reset = net_reset,
	.read_config = net_read_config,
	.start = net_start,
	.stop = net_stop,
	.queue_ready = net_queue_ready,
};
