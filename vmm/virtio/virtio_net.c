/*
 * virtio_net.c: network card (virtio 1.2 §5.1)
 *
 * What is received is filtered by what the driver asked for on the control queue; filter and
 * queues belong to the I/O loop. The address and the offloads of tables are what the main thread
 * sees too, through a run on the loop.
 *
 * With a netdev of several queues there are as many pairs, all on the card's one loop. Those that
 * the driver does not use are there all the same, and the netdev gives them no frames.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_net.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/lazy_memory.h"
#include "vmm/virtio/virtio_net_internal.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_NET	  1
#define PCI_CLASS_NETWORK 0x020000

/* §5.1.4 */
#define STATUS_LINK_UP	0x1u
#define STATUS_ANNOUNCE 0x2u

#define MTU_MIN		   68u
#define CTRL_QUEUE_SIZE	   64
#define DEFAULT_QUEUE_SIZE 256

/* §5.1.4 */
typedef struct NetConfig {
	uint8_t mac[NET_MAC_SIZE];
	uint16_t status;
	uint16_t max_virtqueue_pairs;
	uint16_t mtu;
	uint32_t speed; /* of VIRTIO_NET_F_SPEED_DUPLEX, which is not offered */
	uint8_t duplex;
	uint8_t rss_max_key_size;
	uint16_t rss_max_indirection_table_length;
	uint32_t supported_hash_types;
} NetConfig;

G_STATIC_ASSERT(sizeof(NetConfig) == 24);

/* Life */

/* §5.1.2: it follows the pairs that the driver knows of. */
static unsigned control_index(const VirtioNet *net)
{
	static const uint64_t several =
		VIRTIO_FEATURE(VIRTIO_NET_F_MQ) | VIRTIO_FEATURE(VIRTIO_NET_F_RSS);

	return net->virtio.accepted & several ? 2u * net->n_pairs : 2;
}

static void net_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	VirtioNet *net = virtio_net(device);
	unsigned index = queue->ring.index, control = control_index(net);

	if (index == control)
		virtio_net_control_ready(queue);
	else if (index > control)
		return; /* of a pair that the driver did not ask for */
	else if (index % 2 == 0)
		virtio_net_data_rx_ready(&net->pairs[index / 2]);
	else
		virtio_net_data_tx_ready(&net->pairs[index / 2]);
}

static void net_start(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);
	int result;

	if (!net->guest_offloads_set)
		net->guest_offloads = device->accepted & virtio_net_guest_offload_mask();
	netdev_set_offloads(net->netdev, virtio_net_offloads_of(net->guest_offloads));
	result = netdev_use_queues(net->netdev, net->n_active);
	if (result < 0)
		g_warning("netdev '%s': cannot use %u queues: %s", netdev_id(net->netdev),
			  net->n_active, error_text(-result));
	net->filter.filters_vlans = virtio_device_has_feature(device, VIRTIO_NET_F_CTRL_VLAN);
	virtio_net_data_start(net);
}

static void net_stop(VirtioDevice *device)
{
	virtio_net_data_stop(virtio_net(device));
}

static void net_reset(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);

	net_filter_reset(&net->filter, net->mac);
	net_rss_reset(&net->rss);
	net->guest_offloads = 0;
	net->guest_offloads_set = false;
	net->n_active = 1;
	virtio_net_vhost_reset(net);
	__atomic_store_n(&net->announce, 0, __ATOMIC_SEQ_CST);
}

static bool link_is_up(const VirtioNet *net)
{
	return netdev_link_up(net->netdev) && !__atomic_load_n(&net->user_gone, __ATOMIC_SEQ_CST);
}

static void net_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VirtioNet *net = virtio_net(device);
	NetConfig config = {
		.status = __atomic_load_n(&net->announce, __ATOMIC_SEQ_CST) |
			  (link_is_up(net) ? STATUS_LINK_UP : 0),
		.max_virtqueue_pairs = net->n_pairs,
		.mtu = net->host_mtu,
	};

	if (net->want_rss || net->want_hash) {
		config.rss_max_key_size = NET_RSS_KEY_SIZE;
		config.rss_max_indirection_table_length = NET_RSS_TABLE_SIZE;
		config.supported_hash_types = NET_HASH_ALL;
	}

	g_mutex_lock(&net->mac_lock);
	memcpy(config.mac, net->filter.mac, NET_MAC_SIZE);
	g_mutex_unlock(&net->mac_lock);
	memcpy(bytes, &config, sizeof(config));
}

static void link_changed(void *opaque, bool up)
{
	VirtioNet *net = opaque;

	virtio_net_vhost_set_link(net, up);
	g_mutex_lock(&net->virtio.pci.device.lock);
	virtio_device_config_changed(&net->virtio);
	g_mutex_unlock(&net->virtio.pci.device.lock);
}

static const NetdevListener netdev_listener = {
	.readable = virtio_net_data_readable,
	.writable = virtio_net_data_writable,
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
	uint64_t features = VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_RX) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VLAN) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR);

	features |= virtio_net_offload_features(net, offloads);
	if (offloads)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if (net->want_in_order)
		features |= VIRTIO_FEATURE(VIRTIO_F_IN_ORDER);
	if (net->want_mergeable)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	if (net->want_guest_announce)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE);
	if (net->n_pairs > 1)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MQ);
	if (net->host_mtu)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MTU);
	if (net->want_rss)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_RSS);
	if (net->want_hash)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_HASH_REPORT);
	net->virtio.offered |= features;
}

static bool add_pairs(VirtioNet *net, GError **error)
{
	VirtioQueue *queues = net->virtio.queues;

	net->pairs = lazy_memory_new(sizeof(NetPair) * net->n_pairs);
	if (!net->pairs)
		return error_fail_errno(error, ENOMEM, "queues");
	for (unsigned i = 0; i < net->n_pairs; i++) {
		NetPair *pair = &net->pairs[i];

		pair->net = net;
		pair->number = i;
		pair->rx = &queues[2 * i];
		pair->tx = &queues[2 * i + 1];
		pair->tx_moderation.queue = pair->tx;
		virtio_queue_set_maximum_size(pair->rx, net->rx_queue_size);
		virtio_queue_set_maximum_size(pair->tx, net->tx_queue_size);
	}
	/* With a driver that knows of one pair only, the second's receive queue is this one. */
	virtio_queue_set_maximum_size(&queues[2 * net->n_pairs], CTRL_QUEUE_SIZE);
	return true;
}

static void free_pairs(VirtioNet *net)
{
	lazy_memory_free(net->pairs, sizeof(NetPair) * net->n_pairs);
	net->pairs = NULL;
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
	if ((net->want_rss || net->want_hash) &&
	    (netdev_chardev(net->netdev) || netdev_has_vhost(net->netdev)))
		return error_fail(error, "rss and hash do not go with vhost, as netdev '%s' has it",
				  net->netdev_name);
	net->n_pairs = net->want_multiqueue ? netdev_n_queues(net->netdev) : 1;
	if (!virtio_device_add_queues(device, 2 * net->n_pairs + 1,
				      MAX(net->rx_queue_size, net->tx_queue_size), error))
		return false;
	if (!add_pairs(net, error))
		return false;
	if (!netdev_attach(net->netdev, base->id ? base->id : base->path, device->loop,
			   &netdev_listener, net, error)) {
		free_pairs(net);
		return false;
	}
	if (!virtio_net_vhost_setup(net, error)) {
		netdev_detach(net->netdev);
		free_pairs(net);
		return false;
	}
	choose_mac(net);
	offer_features(net);
	g_mutex_init(&net->mac_lock);
	net->filter_event = 1;
	net_reset(device);
	return true;
}

static void net_teardown(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);

	virtio_net_vhost_teardown(net);
	netdev_detach(net->netdev);
	free_pairs(net);
	g_mutex_clear(&net->mac_lock);
}

Netdev *virtio_net_netdev(Device *device)
{
	return ((VirtioNet *)device)->netdev;
}

/* RFC 903: a question that nobody needs to answer, but each switch on its way learns from. */
static void send_rarp(gpointer data)
{
	VirtioNet *net = data;
	struct {
		uint8_t header[NET_HEADER_SIZE], destination[6], source[6], type[2];
		uint8_t kinds[8], sender[6], sender_address[4], target[6], target_address[4];
		uint8_t padding[18];
	} frame = { .type = { 0x80, 0x35 }, .kinds = { 0, 1, 8, 0, 6, 4, 0, 3 } };
	struct iovec iov = { .iov_base = &frame, .iov_len = sizeof(frame) };

	memset(frame.destination, 0xff, sizeof(frame.destination));
	memcpy(frame.source, net->filter.mac, NET_MAC_SIZE);
	memcpy(frame.sender, net->filter.mac, NET_MAC_SIZE);
	memcpy(frame.target, net->filter.mac, NET_MAC_SIZE);
	/* One that is lost is as good as one that a switch loses. */
	(void)netdev_send(net->netdev, 0, &iov, 1);
}

void virtio_net_announce(Device *device)
{
	VirtioNet *net = (VirtioNet *)device;

	if (!virtio_net_vhost_user_announce(net))
		io_loop_run_sync(net->virtio.loop, send_rarp, net);
	g_mutex_lock(&device->lock);
	if (virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE)) {
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
	STATE_FIELD(VirtioNet, n_active, STATE_UINT16),
	{ .name = "rss",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(VirtioNet, rss),
	  .element_size = sizeof(NetRss),
	  .sub_table = &net_rss_state,
	  .since_version = 2 },
	STATE_END,
};

static bool net_after_load(void *object, GError **error)
{
	const VirtioNet *net = object;

	if (net->n_active == 0 || net->n_active > net->n_pairs)
		return error_fail(error, "a card uses more queues than it has");
	if (!net_rss_fits(&net->rss, net->n_pairs))
		return error_fail(error, "a card steers to queues that it does not have");
	return true;
}

static const StateTable net_state = {
	.name = "virtio-net",
	.version = 2,
	.minimum_version = 1,
	.fields = net_fields,
	.after_load = net_after_load,
};

#define QUEUE_SIZE_PROPERTY(name_, member, what)                                               \
	{                                                                                      \
		.name = name_, .kind = PROPERTY_UINT16, .offset = offsetof(VirtioNet, member), \
		.initial = DEFAULT_QUEUE_SIZE, .minimum = 64, .maximum = VIRTQUEUE_MAX_SIZE,   \
		.power_of_two = true, .description = what                                      \
	}

#define OFFLOAD_PROPERTY(name_, bit, initial_, what)                                \
	{                                                                           \
		.name = name_, .kind = PROPERTY_BOOL,                               \
		.offset = offsetof(VirtioNet, want_offload) + (bit) * sizeof(bool), \
		.initial = initial_, .description = what                            \
	}

/* As far as the netdev can do these. */
static const Property offload_properties[] = {
	OFFLOAD_PROPERTY("csum", VIRTIO_NET_F_CSUM, true, "offer checksums of what is sent"),
	OFFLOAD_PROPERTY("gso", VIRTIO_NET_F_GSO, false,
			 "offer segmentation also as it was before virtio 1"),
	OFFLOAD_PROPERTY("host_tso4", VIRTIO_NET_F_HOST_TSO4, true,
			 "offer segmentation of TCP over IPv4 that is sent"),
	OFFLOAD_PROPERTY("host_tso6", VIRTIO_NET_F_HOST_TSO6, true,
			 "offer segmentation of TCP over IPv6 that is sent"),
	OFFLOAD_PROPERTY("host_ecn", VIRTIO_NET_F_HOST_ECN, true,
			 "offer segmentation of TCP with ECN that is sent"),
	OFFLOAD_PROPERTY("host_ufo", VIRTIO_NET_F_HOST_UFO, true,
			 "offer fragmentation of UDP that is sent"),
	OFFLOAD_PROPERTY("host_uso", VIRTIO_NET_F_HOST_USO, true,
			 "offer segmentation of UDP that is sent"),
	OFFLOAD_PROPERTY("guest_csum", VIRTIO_NET_F_GUEST_CSUM, true,
			 "let the guest receive without checksums"),
	OFFLOAD_PROPERTY("guest_tso4", VIRTIO_NET_F_GUEST_TSO4, true,
			 "let the guest receive TCP over IPv4 unsegmented"),
	OFFLOAD_PROPERTY("guest_tso6", VIRTIO_NET_F_GUEST_TSO6, true,
			 "let the guest receive TCP over IPv6 unsegmented"),
	OFFLOAD_PROPERTY("guest_ecn", VIRTIO_NET_F_GUEST_ECN, true,
			 "let the guest receive TCP with ECN unsegmented"),
	OFFLOAD_PROPERTY("guest_ufo", VIRTIO_NET_F_GUEST_UFO, true,
			 "let the guest receive UDP unfragmented"),
	OFFLOAD_PROPERTY("guest_uso4", VIRTIO_NET_F_GUEST_USO4, true,
			 "let the guest receive UDP over IPv4 unsegmented"),
	OFFLOAD_PROPERTY("guest_uso6", VIRTIO_NET_F_GUEST_USO6, true,
			 "let the guest receive UDP over IPv6 unsegmented"),
	PROPERTY_END,
};

static const Property net_properties[] = {
	{ .name = "bootindex",
	  .kind = PROPERTY_INT32,
	  .offset = offsetof(VirtioNet, boot_index),
	  .initial = (uint64_t)-1,
	  .description = "place in the order of booting, lowest first; -1: none" },
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
	{ .name = "mq",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioNet, want_multiqueue),
	  .description = "offer all queues of the netdev, not just one pair" },
	{ .name = "rss",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioNet, want_rss),
	  .description = "offer to choose receive queues by hashes of frames" },
	{ .name = "hash",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioNet, want_hash),
	  .description = "offer to tell the hashes of frames that are received" },
	{ .name = "in_order",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioNet, want_in_order),
	  .description = "offer to give buffers back in the order in which they came" },
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
			.properties = { net_properties, offload_properties,
					virtio_device_properties, pci_device_properties },
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
