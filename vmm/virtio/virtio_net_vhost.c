/*
 * virtio_net_vhost.c: a network card's frames, where vhost passes them on
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

/* Which queues are those of data depends on whether the driver knows of more than one pair. */
static void negotiated(VirtioDevice *device)
{
	const VirtioNet *net = virtio_net(device);
	bool all = virtio_device_has_feature(device, VIRTIO_NET_F_MQ);

	for (unsigned i = 0; i < device->n_queues; i++)
		device->queues[i].outside = i < (all ? 2u * net->n_pairs : 2);
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

bool virtio_net_vhost_setup(VirtioNet *net, GError **error)
{
	g_autofree Vhost **carriers = g_new0(Vhost *, net->n_pairs);
	VirtioVhostOptions options = {
		.carriers = carriers,
		.n_carriers = net->n_pairs,
		.queues_each = 2,
	};
	uint64_t wanted = net->want_mergeable ? VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0;

	if (!netdev_has_vhost(net->netdev))
		return true;
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
	net->has_vhost = true;
	net->want_mergeable = net->virtio.offered & VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	virtio_net_vhost_set_link(net, netdev_link_up(net->netdev));
	return true;
}

void virtio_net_vhost_teardown(VirtioNet *net)
{
	if (net->has_vhost)
		virtio_vhost_clear(&net->vhost);
	net->has_vhost = false;
}

void virtio_net_vhost_reset(VirtioNet *net)
{
	if (net->has_vhost)
		virtio_vhost_reset(&net->vhost);
}

void virtio_net_vhost_set_link(VirtioNet *net, bool up)
{
	if (net->has_vhost)
		virtio_device_set_path_ready(&net->virtio, up, NULL);
}
