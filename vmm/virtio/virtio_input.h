/*
 * virtio_input.h: keyboard, mouse and tablet (virtio 1.2 §5.8)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

extern const VirtioDeviceType virtio_keyboard_type; /* "virtio-keyboard-pci" */
extern const VirtioDeviceType virtio_mouse_type;    /* "virtio-mouse-pci" */
extern const VirtioDeviceType virtio_tablet_type;   /* "virtio-tablet-pci" */
