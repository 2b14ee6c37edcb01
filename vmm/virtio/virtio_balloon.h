/*
 * virtio_balloon.h: memory balloon (virtio 1.2 §5.5)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

/* "virtio-balloon-pci" */
extern const VirtioDeviceType virtio_balloon_type;

static inline bool virtio_balloon_is(const Device *device)
{
	return device->type == &virtio_balloon_type.pci.device;
}

/* Bytes of memory that the guest has, without what is in the balloon. Any thread. */
uint64_t virtio_balloon_actual(Device *device);

/*
 * Ask the guest to have @bytes of memory: no more than it was given, and any less. It follows in
 * its own time; BALLOON_CHANGE tells. Main thread.
 */
void virtio_balloon_set_target(Device *device, uint64_t bytes);
