/*
 * virtio_vsock.h: sockets between host and guest, over a unix socket of the host
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

extern const VirtioDeviceType virtio_vsock_type;
