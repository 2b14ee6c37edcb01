/*
 * pci_bus.c: PCI buses: who is where, and how configuration cycles get there
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/pci/pci_bus.h"
#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/pci/pci_private.h"
#include "vmm/pci/pci_registers.h"

#define FUNCTIONS 8u

static const char *name_of(const PciDevice *pci)
{
	return pci->device.id ? pci->device.id : pci->device.type->name;
}

/* The first address whose whole slot is free, or -1. */
static int first_free_slot(const PciBus *bus)
{
	for (unsigned address = 0; address < bus->n_addresses; address += FUNCTIONS) {
		bool is_free = true;

		for (unsigned function = 0; function < FUNCTIONS; function++)
			is_free = is_free && !bus->claimed[address + function];
		if (is_free)
			return (int)address;
	}
	return -1;
}

/*
 * Function 0 says whether others are looked for (PCI 3.0 §6.2.1): it needs multifunction=on if
 * there are any.
 */
static bool check_functions(const PciBus *bus, const PciDevice *pci, GError **error)
{
	unsigned slot = PCI_ADDRESS_DEVICE(pci->address);
	const PciDevice *first = bus->claimed[slot * FUNCTIONS];

	if (PCI_ADDRESS_FUNCTION(pci->address) != 0) {
		if (!first || first->multifunction)
			return true;
		return error_fail(error,
				  "PCI address %02x.%x of '%s': function 0 ('%s') is not "
				  "multifunction",
				  slot, PCI_ADDRESS_FUNCTION(pci->address), name_of(pci),
				  name_of(first));
	}
	for (unsigned function = 1; function < FUNCTIONS && !pci->multifunction; function++) {
		if (bus->claimed[slot * FUNCTIONS + function])
			return error_fail(error,
					  "PCI address %02x.0 of '%s': function %u is in use and "
					  "'%s' is not multifunction",
					  slot, name_of(pci), function, name_of(pci));
	}
	return true;
}

bool pci_bus_claim(Bus *bus, Device *device, GError **error)
{
	PciBus *self = (PciBus *)bus;
	PciDevice *pci = (PciDevice *)device;
	int32_t address = pci->address >= 0 ? pci->address : first_free_slot(self);

	if (pci_device_type(pci)->is_bridge && self->bridge)
		return error_fail(error, "'%s' has to be on the root bus, not on '%s'",
				  name_of(pci), bus->name);
	if (address < 0)
		return error_fail(error, "bus '%s' has no free slot for '%s'", bus->name,
				  name_of(pci));
	if ((unsigned)address >= self->n_addresses)
		return error_fail(error, "bus '%s' has only slot 0, '%s' wants slot %x", bus->name,
				  name_of(pci), PCI_ADDRESS_DEVICE(address));
	if (self->claimed[address])
		return error_fail(error,
				  "PCI address %02x.%x of bus '%s' is not available for '%s', in "
				  "use by '%s'",
				  PCI_ADDRESS_DEVICE(address), PCI_ADDRESS_FUNCTION(address),
				  bus->name, name_of(pci), name_of(self->claimed[address]));
	pci->address = address;
	if (!check_functions(self, pci, error))
		return false;
	pci->bus = self;
	self->claimed[address] = pci;
	return true;
}

void pci_bus_release(Bus *bus, Device *device)
{
	PciBus *self = (PciBus *)bus;
	PciDevice *pci = (PciDevice *)device;

	self->claimed[pci->address] = NULL;
}

bool pci_bus_is_full(const Bus *bus)
{
	return first_free_slot((const PciBus *)bus) < 0;
}

void pci_bus_plugged(Bus *bus, Device *device)
{
	PciBus *self = (PciBus *)bus;
	PciDevice *pci = (PciDevice *)device;

	g_atomic_pointer_set(&self->visible[pci->address], pci);
}

void pci_bus_unplugged(Bus *bus, Device *device)
{
	PciBus *self = (PciBus *)bus;
	PciDevice *pci = (PciDevice *)device;

	g_atomic_pointer_set(&self->visible[pci->address], NULL);
	pci_device_disconnect(pci);
}

void pci_bus_init(PciBus *bus, const BusOps *ops, const char *name, Device *parent,
		  PciDevice *bridge)
{
	bus_init(&bus->bus, ops, PCI_BUS_KIND, name, parent);
	bus->bridge = bridge;
	bus->n_addresses = bridge ? FUNCTIONS : PCI_BUS_ADDRESSES;
	bus->claimed = g_new0(PciDevice *, bus->n_addresses);
	bus->visible = g_new0(PciDevice *, bus->n_addresses);
	device_tree_add_bus(parent->tree, &bus->bus);
}

void pci_bus_finish(PciBus *bus)
{
	device_tree_remove_bus(bus->bus.parent->tree, &bus->bus);
	bus_clear(&bus->bus);
	rcu_synchronize();
	g_clear_pointer(&bus->claimed, g_free);
	g_clear_pointer(&bus->visible, g_free);
}

static uint8_t bridge_register(const PciBus *bus, unsigned offset)
{
	return __atomic_load_n(&bus->bridge->config[offset], __ATOMIC_RELAXED);
}

unsigned pci_bus_number(const PciBus *bus)
{
	return bus->bridge ? bridge_register(bus, PCI_SECONDARY_BUS) : 0;
}

PciDevice *pci_bus_device_at(const PciBus *bus, unsigned address)
{
	return address < bus->n_addresses ? g_atomic_pointer_get(&bus->visible[address]) : NULL;
}

/*
 * The bus that a cycle to bus @number ends on, coming from @root: the bus behind the first bridge
 * whose range has the number. Bridges are only on the root bus.
 */
static const PciBus *route_to_bus(const PciBus *root, unsigned number)
{
	if (number == 0)
		return root;
	for (unsigned address = 0; address < root->n_addresses; address++) {
		const PciDevice *pci = pci_bus_device_at(root, address);
		const PciBus *bus = pci ? pci->secondary_bus : NULL;

		if (bus && pci_bus_number(bus) == number)
			return bus;
	}
	return NULL;
}

static PciDevice *route_to_device(const PciBus *root, unsigned number, unsigned address)
{
	const PciBus *bus = route_to_bus(root, number);

	return bus ? pci_bus_device_at(bus, address) : NULL;
}

uint32_t pci_bus_config_read(const PciBus *root, unsigned number, unsigned address, unsigned offset,
			     unsigned size)
{
	uint32_t value = UINT32_MAX >> (32 - size * 8);
	PciDevice *pci;

	rcu_read_lock();
	pci = route_to_device(root, number, address);
	if (pci)
		value = pci_device_config_read(pci, offset, size);
	rcu_read_unlock();
	return value;
}

void pci_bus_config_write(const PciBus *root, unsigned number, unsigned address, unsigned offset,
			  uint32_t value, unsigned size)
{
	PciDevice *pci;

	rcu_read_lock();
	pci = route_to_device(root, number, address);
	if (pci)
		pci_device_config_write(pci, offset, value, size);
	rcu_read_unlock();
}
