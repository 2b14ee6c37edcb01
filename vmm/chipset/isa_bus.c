/*
 * isa_bus.c: where ISA devices plug in
 *
 * There is no place to claim: an ISA device decodes the ports its properties say, alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

static bool isa_claim(G_GNUC_UNUSED Bus *bus, G_GNUC_UNUSED Device *device,
		      G_GNUC_UNUSED GError **error)
{
	return true;
}

static void isa_release(G_GNUC_UNUSED Bus *bus, G_GNUC_UNUSED Device *device)
{
}

static const BusOps isa_bus_ops = { .claim = isa_claim, .release = isa_release };

bool isa_map_ports(const Device *device, IoRegion *region, uint32_t base, GError **error)
{
	AddressSpace *pio = device->services->pio;
	const char *other = address_space_find_overlap(pio, base, region->size);
	uint64_t last = base + region->size - 1;

	if (other)
		return error_fail(error, "%s: ports 0x%x to 0x%" G_GINT64_MODIFIER "x: '%s' is there",
				  device->type->name, base, last, other);
	return address_space_map(pio, region, base) ||
	       error_fail(error, "%s: there are no ports 0x%x to 0x%" G_GINT64_MODIFIER "x",
			  device->type->name, base, last);
}

Bus *isa_bus_new(void)
{
	Bus *bus = g_new0(Bus, 1);

	bus->ops = &isa_bus_ops;
	bus->kind = "ISA";
	bus->name = g_strdup("isa.0");
	bus->children = g_ptr_array_new();
	return bus;
}

void isa_bus_free(Bus *bus)
{
	g_ptr_array_unref(bus->children);
	g_free(bus->name);
	g_free(bus);
}
