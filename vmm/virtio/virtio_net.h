/*
 * virtio_net.h: network card (virtio 1.2 §5.1)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qapi-types.h"
#include "vmm/net/net.h"
#include "vmm/virtio/virtio_device.h"

/* "virtio-net-pci" */
extern const VirtioDeviceType virtio_net_type;

static inline bool virtio_net_is(const Device *device)
{
	return device->type == &virtio_net_type.pci.device;
}

/* The netdev that realized @device uses. Main thread. */
Netdev *virtio_net_netdev(Device *device);

/*
 * What realized @device lets through to the guest, for query-rx-filter; and allows its next
 * NIC_RX_FILTER_CHANGED. Main thread; the caller frees it.
 */
QapiRxFilterInfo *virtio_net_query_rx_filter(Device *device);

/*
 * Announce the card on its network: by a frame from its address, and by its driver, if it can
 * (§5.1.6.5.4). Main thread.
 */
void virtio_net_announce(Device *device);
