/*
 * vhost_user_device.h: a virtio device of any type that another process serves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

extern const VirtioDeviceType vhost_user_device_type;
