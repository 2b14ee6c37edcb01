/*
 * vhost_vsock.h: sockets between host and guest, served by the kernel
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

extern const VirtioDeviceType vhost_vsock_type;
