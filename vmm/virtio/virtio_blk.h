/*
 * virtio_blk.h: block device (virtio 1.2 §5.2)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qapi-types.h"
#include "vmm/block/block.h"
#include "vmm/virtio/virtio_device.h"

/* "virtio-blk-pci" */
extern const VirtioDeviceType virtio_blk_type;

/* Whether @device is one. */
static inline bool virtio_blk_is(const Device *device)
{
	return device->type == &virtio_blk_type.pci.device;
}

/* The node that realized @device serves. Main thread. */
BlockNode *virtio_blk_node(Device *device);

/*
 * Have @device served by @node in place of the node that it has, which is free then. What the
 * driver was told of the disk must hold for it; a larger disk is told. False and @error naming
 * @node, with all as it was. Main thread.
 */
bool virtio_blk_replace_node(Device *device, BlockNode *node, GError **error);

/* Whether the driver sees a write-back cache now. Main thread. */
bool virtio_blk_write_cache(Device *device);

/* Whether requests are held because of an error that stopped the guest. Any thread. */
QapiBlockDeviceIoStatus virtio_blk_io_status(Device *device);
