/*
 * virtio_net_vhost.c: a network card's frames, where vhost passes them on: the kernel
 *
 * The data queues are outside; the control queue stays with the I/O loop, which goes on telling the
 * tap of offloads and of how many queues there are. Frames are not filtered then: the driver does
 * that itself. While the link is down vhost has no queues.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/vhost/vhost_kernel.h"
#include "vmm/virtio/virtio_net_internal.h"

void virtio_net_vhost_choose_queues(VirtioNet *net)
{
	VirtioDevice *device = &net->virtio;
	bool all = virtio_device_has_feature(device, VIRTIO_NET_F_MQ);

	for (unsigned i = 0; i < device->n_queues; i++)
		device->queues[i].outside = i < (all ? 2u * net->n_pairs : 2);
}

static void negotiated(VirtioDevice *device)
{
	virtio_net_vhost_choose_queues(virtio_net(device));
}

static const VirtioPath net_path = {
	.start = virtio_vhost_start,
	.stop = virtio_vhost_stop,
	.negotiated = negotiated,
};

static void free_carriers(Vhost **carriers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		vhost_free(carriers[i]);
}

static bool setup_kernel(VirtioNet *net, GError **error)
{
	g_autofree Vhost **carriers = g_new0(Vhost *, net->n_pairs);
	VirtioVhostOptions options = {
		.carriers = carriers,
		.n_carriers = net->n_pairs,
		.queues_each = 2,
	};
	uint64_t wanted = net->want_mergeable ? VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0;

	if (net->want_in_order)
		wanted |= VIRTIO_FEATURE(VIRTIO_F_IN_ORDER);
	for (unsigned i = 0; i < net->n_pairs; i++) {
		NetdevVhost vhost = netdev_get_vhost(net->netdev, i);

		carriers[i] = vhost_kernel_new_net(vhost.vhost_fd, vhost.tap_fd, error);
		if (!carriers[i]) {
			free_carriers(carriers, i);
			return false;
		}
	}
	if (!virtio_vhost_init(&net->vhost, &net->virtio, &net_path, &options, wanted, error)) {
		free_carriers(carriers, net->n_pairs);
		return false;
	}
	return true;
}

bool virtio_net_vhost_setup(VirtioNet *net, GError **error)
{
	bool outside = netdev_chardev(net->netdev) != NULL;

	if (!outside && !netdev_has_vhost(net->netdev))
		return true;
	if (!(outside ? virtio_net_vhost_user_setup : setup_kernel)(net, error))
		return false;
	net->has_vhost = true;
	/* What remains of these is what vhost has. */
	net->want_mergeable = net->want_in_order = false;
	virtio_net_vhost_set_link(net, netdev_link_up(net->netdev));
	return true;
}

void virtio_net_vhost_teardown(VirtioNet *net)
{
	if (net->has_vhost)
		virtio_vhost_clear(&net->vhost);
	net->has_vhost = false;
	net->user = NULL;
}

void virtio_net_vhost_reset(VirtioNet *net)
{
	if (net->has_vhost)
		virtio_vhost_reset(&net->vhost);
}

void virtio_net_vhost_set_link(VirtioNet *net, bool up)
{
	if (net->user)
		virtio_net_vhost_user_set_link(net, up);
	else if (net->has_vhost)
		virtio_device_set_path_ready(&net->virtio, up, NULL);
}
