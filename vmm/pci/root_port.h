/*
 * root_port.h: pcie-root-port, a slot for one device that can be plugged while the guest runs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci_bus.h"

#define ROOT_PORT_TYPE "pcie-root-port"

extern const PciDeviceType root_port_type;
