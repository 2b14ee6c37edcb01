/*
 * isa_bus.c: where ISA devices plug in
 *
 * There is nothing to claim: an ISA device decodes the ports its properties say.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chipset/chipset.h"

static bool isa_claim(G_GNUC_UNUSED Bus *bus, G_GNUC_UNUSED Device *device,
		      G_GNUC_UNUSED GError **error)
{
	return true;
}

static void isa_release(G_GNUC_UNUSED Bus *bus, G_GNUC_UNUSED Device *device)
{
}

static const BusOps isa_bus_ops = { .claim = isa_claim, .release = isa_release };

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
