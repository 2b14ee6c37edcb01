/*
 * virtio_net_control.c: a network card's control queue (virtio 1.2 §5.1.6.5)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "qapi-events.h"
#include "vmm/virtio/virtio_net_internal.h"

/* §5.1.6.5; those of the filter are its own. */
enum { CLASS_ANNOUNCE = 3, CLASS_MQ = 4, CLASS_GUEST_OFFLOADS = 5 };
enum { MAC_ADDR_SET = 1 };
enum { ANNOUNCE_ACK = 0 };
enum { MQ_VQ_PAIRS_SET = 0, MQ_RSS_CONFIG = 1, MQ_HASH_CONFIG = 2 };
enum { GUEST_OFFLOADS_SET = 0 };
enum { CTRL_OK = 0, CTRL_ERR = 1 };

/* Negotiable reception offloads and their feature bits, as the control queue names them too. */
static const struct {
	uint8_t guest_feature, host_feature;
	NetOffload offload;
} offload_features[] = {
	{ VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM, NET_OFFLOAD_CHECKSUM },
	{ VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4, NET_OFFLOAD_TSO4 },
	{ VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6, NET_OFFLOAD_TSO6 },
	{ VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN, NET_OFFLOAD_TSO_ECN },
	{ VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO, NET_OFFLOAD_UFO },
	/* A netdev has both or none. */
	{ VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_HOST_USO, NET_OFFLOAD_USO4 },
	{ VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_HOST_USO, NET_OFFLOAD_USO6 },
};

/* Which feature allows command @code of @class, one of the filter's. */
static unsigned filter_feature(uint8_t class, uint8_t code)
{
	if (class == NET_CLASS_VLAN)
		return VIRTIO_NET_F_CTRL_VLAN;
	return class == NET_CLASS_RX && code > NET_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX_EXTRA
							       : VIRTIO_NET_F_CTRL_RX;
}

static bool set_mac(VirtioNet *net, NetCommand *command)
{
	uint8_t mac[NET_MAC_SIZE];

	if (!virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
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

unsigned virtio_net_offloads_of(uint64_t features)
{
	unsigned offloads = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_features); i++) {
		if (features & VIRTIO_FEATURE(offload_features[i].guest_feature))
			offloads |= offload_features[i].offload;
	}
	return offloads;
}

uint64_t virtio_net_guest_offload_mask(void)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_features); i++)
		mask |= VIRTIO_FEATURE(offload_features[i].guest_feature);
	return mask;
}

/* Which features are of use only beside one of some others (§5.1.3.1), those others first. */
static const struct {
	uint8_t feature;
	uint64_t others;
} offload_needs[] = {
	{ VIRTIO_NET_F_GUEST_TSO4, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_TSO6, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_ECN,
	  VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) },
	{ VIRTIO_NET_F_GUEST_UFO, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_USO4, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_USO6, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_HOST_TSO4, VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_TSO6, VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_ECN,
	  VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) },
	{ VIRTIO_NET_F_HOST_UFO, VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_USO, VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) },
};

/* What VIRTIO_NET_F_GSO, of the time before virtio 1, promises all at once (§5.1.3.2). */
#define GSO_FEATURES                                                                      \
	(VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) |     \
	 VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN) | \
	 VIRTIO_FEATURE(VIRTIO_NET_F_HOST_UFO))

uint64_t virtio_net_offload_features(const VirtioNet *net, unsigned offloads)
{
	uint64_t features = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_features); i++) {
		if (offloads & offload_features[i].offload)
			features |= VIRTIO_FEATURE(offload_features[i].guest_feature) |
				    VIRTIO_FEATURE(offload_features[i].host_feature);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(net->want_offload); i++) {
		if (!net->want_offload[i])
			features &= ~VIRTIO_FEATURE(i);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(offload_needs); i++) {
		if (!(features & offload_needs[i].others))
			features &= ~VIRTIO_FEATURE(offload_needs[i].feature);
	}
	if (net->want_offload[VIRTIO_NET_F_GSO] && (features & GSO_FEATURES) == GSO_FEATURES)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_GSO);
	return features;
}

static bool ctrl_guest_offloads(VirtioNet *net, uint8_t code, NetCommand *command)
{
	uint64_t offloads;

	if (code != GUEST_OFFLOADS_SET ||
	    !virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    !net_command_take(command, &offloads, sizeof(offloads)) ||
	    (offloads & ~(net->virtio.accepted & virtio_net_guest_offload_mask())))
		return false;
	net->guest_offloads = offloads;
	net->guest_offloads_set = true;
	netdev_set_offloads(net->netdev, virtio_net_offloads_of(offloads));
	return true;
}

static bool ctrl_announce(VirtioNet *net, uint8_t code)
{
	if (code != ANNOUNCE_ACK ||
	    !virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return false;
	__atomic_store_n(&net->announce, 0, __ATOMIC_SEQ_CST);
	return true;
}

static bool use_pairs(VirtioNet *net, uint16_t n)
{
	if (netdev_use_queues(net->netdev, n) < 0)
		return false;
	__atomic_store_n(&net->n_active, n, __ATOMIC_SEQ_CST);
	virtio_net_vhost_user_pairs_changed(net);
	return true;
}

/* §5.1.6.5.6, .7: hashes, and with @steers to which receive queues they lead. */
static bool set_rss(VirtioNet *net, bool steers, NetCommand *command)
{
	uint16_t n = net->n_active;
	NetRss rss;

	if (!virtio_device_has_feature(&net->virtio,
				       steers ? VIRTIO_NET_F_RSS : VIRTIO_NET_F_HASH_REPORT) ||
	    !net_rss_take(&rss, command, steers, net->n_pairs, &n) || !use_pairs(net, n))
		return false;
	net->rss = rss;
	virtio_net_data_steer(net);
	return true;
}

/*
 * §5.1.6.5.5: into how many receive queues frames may come, and by how many they may be sent. What
 * the driver wants hashes of stays as it is; which queue a frame comes into is the netdev's choice.
 */
static bool set_pairs(VirtioNet *net, NetCommand *command)
{
	uint16_t n;

	if (!virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_MQ) ||
	    !net_command_take(command, &n, sizeof(n)) || n == 0 || n > net->n_pairs ||
	    !use_pairs(net, n))
		return false;
	net->rss.steers = false;
	virtio_net_data_steer(net);
	return true;
}

static bool ctrl_multiqueue(VirtioNet *net, uint8_t code, NetCommand *command)
{
	switch (code) {
	case MQ_VQ_PAIRS_SET:
		return set_pairs(net, command);
	case MQ_RSS_CONFIG:
	case MQ_HASH_CONFIG:
		return set_rss(net, code == MQ_RSS_CONFIG, command);
	default:
		return false;
	}
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
	case CLASS_MQ:
		done = ctrl_multiqueue(net, header.code, &command);
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

void virtio_net_control_ready(VirtioQueue *queue)
{
	virtio_queue_process(queue, handle_ctrl);
}
