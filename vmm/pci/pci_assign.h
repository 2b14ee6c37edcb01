/*
 * pci_assign.h: gives PCI functions their addresses, as firmware would
 *
 * Without firmware nobody has numbered the buses or placed BARs and bridge windows when the kernel
 * starts. Linux can do it all by itself, but slower, with complaints, and with windows behind ports
 * only as large as what is plugged at that time. So the machine does it after each reset of a
 * guest that boots directly.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci_bus.h"

/* Where PCI may go, as ACPI tells the guest (_CRS of the host bridge). Bytes. */
typedef struct PciWindows {
	uint64_t memory32_base, memory32_size; /* below 4 GiB */
	uint64_t memory64_base, memory64_size; /* size 0: none */
	uint16_t io_base;
	uint32_t io_size;
} PciWindows;

/*
 * Enable ECAM at @ecam_base, number the buses below @root, place all BARs and the windows of all
 * ports, and enable decoding. Each port's windows have room for what may be plugged later. False
 * and @error, naming the first device that found no room, when a window is too small; all others
 * have been placed, and that one is not decoded. Main thread, vCPUs stopped.
 */
bool pci_assign_resources(PciBus *root, const PciWindows *windows, uint64_t ecam_base,
			  GError **error);
