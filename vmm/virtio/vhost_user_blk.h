/*
 * vhost_user_blk.h: block device whose queues another process serves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

extern const VirtioDeviceType vhost_user_blk_type;
