/*
 * bochs_display.h: a framebuffer in a PCI BAR
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci.h"

extern const PciDeviceType bochs_display_type; /* "bochs-display" */
