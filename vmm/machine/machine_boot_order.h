/*
 * machine_boot_order.h: the order in which firmware tries devices
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/device/device.h"

/*
 * The devices of @devices that have a bootindex, lowest first, each as its Open Firmware path on a
 * line of its own; after them "HALT" if @strict, for firmware to try nothing else. "" where there
 * are none and all may be tried. Owned by the caller. NULL and @error when two have the same index.
 * Main thread.
 */
char *machine_boot_order(DeviceTree *devices, bool strict, GError **error);
