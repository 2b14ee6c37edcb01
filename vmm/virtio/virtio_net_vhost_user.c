/*
 * virtio_net_vhost_user.c: a network card's frames, where another process passes them on
 *
 * What offloads there are that process says. The control queue stays with the I/O loop; of what it
 * is told, the number of pairs in use is what the other process must know: the others it does not
 * get. While that process is away the card's cable is out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/vhost/vhost_user.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtio_net_internal.h"

/* As virtio_net_vhost_user_pairs_changed() has it. */
static unsigned queues_in_use(const VirtioNet *net)
{
	return 2u * __atomic_load_n(&net->n_active, __ATOMIC_SEQ_CST);
}

static bool path_start(VirtioDevice *device, GError **error)
{
	VirtioNet *net = virtio_net(device);

	net->vhost.n_used = queues_in_use(net);
	/* A failure cuts the back end off, which is told of by itself. */
	if (virtio_device_has_feature(device, VIRTIO_NET_F_MTU))
		vhost_user_set_mtu(net->user, net->host_mtu, NULL);
	return virtio_vhost_start(device, error);
}

static void path_act(VirtioDevice *device)
{
	VirtioNet *net = virtio_net(device);

	if (device->path_running && net->vhost.n_used != queues_in_use(net))
		virtio_device_restart_path(device);
}

/* Which queues are those of data depends on whether the driver knows of more than one pair. */
static void negotiated(VirtioDevice *device)
{
	virtio_net_vhost_choose_queues(virtio_net(device));
}

static const VirtioPath user_path = {
	.start = path_start,
	.stop = virtio_vhost_stop,
	.act = path_act,
	.negotiated = negotiated,
};

/* The driver sees the cable go in or out. */
static void tell_link(VirtioNet *net)
{
	VirtioDevice *device = &net->virtio;

	g_mutex_lock(&device->pci.device.lock);
	virtio_device_config_changed(device);
	g_mutex_unlock(&device->pci.device.lock);
}

static void back_end_connected(void *opaque)
{
	VirtioNet *net = opaque;

	__atomic_store_n(&net->user_gone, false, __ATOMIC_SEQ_CST);
	if (netdev_link_up(net->netdev))
		virtio_vhost_connected(&net->vhost);
	tell_link(net);
}

static void back_end_lost(void *opaque, bool returns, const char *fault)
{
	VirtioNet *net = opaque;

	__atomic_store_n(&net->user_gone, true, __ATOMIC_SEQ_CST);
	virtio_vhost_lost(&net->vhost, returns, fault);
	tell_link(net);
}

static const VhostUserListener listener = {
	.connected = back_end_connected,
	.lost = back_end_lost,
};

static uint64_t wanted_features(const VirtioNet *net)
{
	uint64_t wanted = virtio_net_offload_features(net, NET_OFFLOADS_ALL);

	if (net->want_mergeable)
		wanted |= VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	if (net->want_in_order)
		wanted |= VIRTIO_FEATURE(VIRTIO_F_IN_ORDER);
	return wanted;
}

bool virtio_net_vhost_user_setup(VirtioNet *net, GError **error)
{
	VirtioDevice *device = &net->virtio;
	const VhostUserOptions connection = {
		.n_vrings = 2u * net->n_pairs,
		.vrings_in_unit = 2,
		.protocol = VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_NET_MTU) |
			    VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_RARP),
	};
	Vhost *carrier;
	VirtioVhostOptions options = {
		.carriers = &carrier,
		.n_carriers = 1,
		.queues_each = 2u * net->n_pairs,
		.shared = true,
	};

	net->user = virtio_vhost_connect(device, netdev_chardev(net->netdev), &connection,
					 &listener, net, error);
	if (!net->user) {
		g_prefix_error(error, "netdev '%s': ", netdev_id(net->netdev));
		return false;
	}
	carrier = vhost_user_carrier(net->user);
	if (!virtio_vhost_init(&net->vhost, device, &user_path, &options, wanted_features(net),
			       error)) {
		vhost_free(carrier);
		net->user = NULL;
		return false;
	}
	return true;
}

void virtio_net_vhost_user_set_link(VirtioNet *net, bool up)
{
	if (!up)
		virtio_device_set_path_ready(&net->virtio, false, NULL);
	else if (vhost_user_is_connected(net->user))
		virtio_vhost_connected(&net->vhost);
}

void virtio_net_vhost_user_pairs_changed(VirtioNet *net)
{
	if (net->user)
		virtio_device_act_soon(&net->virtio);
}

bool virtio_net_vhost_user_announce(VirtioNet *net)
{
	uint8_t mac[NET_MAC_SIZE];

	if (!net->user)
		return false;
	g_mutex_lock(&net->mac_lock);
	memcpy(mac, net->filter.mac, NET_MAC_SIZE);
	g_mutex_unlock(&net->mac_lock);
	if (vhost_user_is_connected(net->user))
		vhost_user_announce(net->user, mac, NULL);
	return true;
}
