/*
 * virtio_rng.h: entropy device (virtio 1.2 §5.4)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

/* "virtio-rng-pci" */
extern const VirtioDeviceType virtio_rng_type;
