/*
 * virtio_scsi.h: SCSI host bus adapter (virtio 1.2 §5.6)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

/* "virtio-scsi-pci" */
extern const VirtioDeviceType virtio_scsi_type;
