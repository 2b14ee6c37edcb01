/*
 * host_bridge.h: the q35 host bridge, which makes the root bus "pcie.0"
 *
 * The machine adds it with device_tree_add_builtin(tree, HOST_BRIDGE_TYPE, NULL, NULL, ...), which
 * brings the bus and the memory controller hub at 00:00.0 with it. It answers configuration cycles
 * through memory (ECAM, at PCIEXBAR) and through ports 0xcf8 and 0xcfc. The reset control register
 * at port 0xcf9 (ICH9's RST_CNT) lies inside these, so it is here, too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci_bus.h"

#define HOST_BRIDGE_TYPE "q35-host-bridge"
#define HOST_BRIDGE_BUS	 "pcie.0"

extern const DeviceType host_bridge_type;
extern const PciDeviceType memory_controller_hub_type; /* "mch" */

/* Where host bridge @device answers memory accesses as ECAM; 0: nowhere. Any thread. */
uint64_t host_bridge_ecam_base(Device *device);

/* The root bus of host bridge @device. */
PciBus *host_bridge_bus(Device *device);
