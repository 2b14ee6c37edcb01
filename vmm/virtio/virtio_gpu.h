/*
 * virtio_gpu.h: graphics in two dimensions (virtio 1.2 §5.7)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

/* "virtio-gpu-pci" */
extern const VirtioDeviceType virtio_gpu_type;
