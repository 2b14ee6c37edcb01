/*
 * xhci.h: the USB host controller
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci.h"

extern const PciDeviceType xhci_type;
