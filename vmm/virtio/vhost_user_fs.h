/*
 * vhost_user_fs.h: file system of the host that another process (virtiofsd) serves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

extern const VirtioDeviceType vhost_user_fs_type;
