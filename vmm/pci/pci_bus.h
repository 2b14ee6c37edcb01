/*
 * pci_bus.h: PCI buses: who is where, and how configuration cycles get there
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci.h"

#define PCI_BUS_ADDRESSES 256u /* 32 devices of 8 functions */

struct PciBus {
	Bus bus;
	PciDevice *bridge; /* whose secondary bus this is; NULL: the root bus */
	/* How many addresses it decodes: a PCI Express link has but device 0. */
	unsigned n_addresses;
	PciDevice **claimed; /* by address; main thread */
	PciDevice **visible; /* by address; read under RCU */
};

/* For the BusOps of PCI buses; those of ports do more in plugged and unplugged. Main thread. */
bool pci_bus_claim(Bus *bus, Device *device, GError **error);
void pci_bus_release(Bus *bus, Device *device);
bool pci_bus_is_full(const Bus *bus);
void pci_bus_plugged(Bus *bus, Device *device);
void pci_bus_unplugged(Bus *bus, Device *device);

/*
 * Set up @bus under @name (copied) and make it known to @parent's tree. @bridge is NULL for the
 * root bus. Main thread.
 */
void pci_bus_init(PciBus *bus, const BusOps *ops, const char *name, Device *parent,
		  PciDevice *bridge);
void pci_bus_finish(PciBus *bus);

/* The number that the guest gave it; 0 for the root bus, and for one that has none yet. */
unsigned pci_bus_number(const PciBus *bus);

/* The function of @bus at @address, NULL if none is visible. Inside an RCU section, or main thread. */
PciDevice *pci_bus_device_at(const PciBus *bus, unsigned address);

/*
 * A configuration cycle that starts on root bus @root: to bus @number, @address (device << 3 |
 * function), @offset, of @size 1, 2 or 4 bytes and aligned to that. Where nobody answers, reads
 * are all ones and writes vanish. Any thread.
 */
uint32_t pci_bus_config_read(const PciBus *root, unsigned number, unsigned address,
			     unsigned offset, unsigned size);
void pci_bus_config_write(const PciBus *root, unsigned number, unsigned address, unsigned offset,
			  uint32_t value, unsigned size);
