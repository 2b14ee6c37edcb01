/*
 * usb_hid.h: keyboard, mouse and tablet on USB
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/usb/usb.h"

extern const UsbDeviceType usb_keyboard_type, usb_mouse_type, usb_tablet_type;
