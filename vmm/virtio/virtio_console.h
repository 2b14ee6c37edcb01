/*
 * virtio_console.h: console device with several ports (virtio 1.2 §5.3)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

/* "virtio-serial-pci", whose bus takes the two others, "virtconsole" and "virtserialport". */
extern const VirtioDeviceType virtio_console_type;
extern const DeviceType virtio_console_port_type;
extern const DeviceType virtio_serial_port_type;
