/*
 * device_types.h: every type of device there is
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/device/device.h"

/* NULL-terminated. */
extern const DeviceType *const machine_device_types[];
