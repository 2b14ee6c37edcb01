/*
 * pvpanic.c: a port by which the guest says that it has panicked
 *
 * QEMU's docs/specs/pvpanic: reading gives the events it can tell of, writing tells of one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

enum { EVENT_PANICKED = 0x01 };

typedef struct Pvpanic {
	Device device;
	IoRegion region;
	uint32_t ioport;
} Pvpanic;

static uint64_t pvpanic_read(G_GNUC_UNUSED void *opaque, G_GNUC_UNUSED uint64_t offset,
			     G_GNUC_UNUSED unsigned size)
{
	return EVENT_PANICKED;
}

static void pvpanic_write(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
			  G_GNUC_UNUSED unsigned size)
{
	Pvpanic *pvpanic = opaque;

	if (value & EVENT_PANICKED)
		pvpanic->device.services->request(pvpanic->device.services, RUN_REQUEST_GUEST_PANIC,
						  0);
}

static const IoRegionOps pvpanic_ops = {
	.read = pvpanic_read,
	.write = pvpanic_write,
	.maximum_size = 1,
};

static bool pvpanic_realize(Device *device, GError **error)
{
	Pvpanic *pvpanic = (Pvpanic *)device;

	pvpanic->region =
		(IoRegion){ .name = "pvpanic", .size = 1, .ops = &pvpanic_ops, .opaque = pvpanic };
	return isa_map_ports(device, &pvpanic->region, pvpanic->ioport, error);
}

static void pvpanic_unrealize(Device *device)
{
	address_space_unmap(device->services->pio, &((Pvpanic *)device)->region);
}

uint16_t pvpanic_port(const Device *device)
{
	return (uint16_t)((const Pvpanic *)device)->ioport;
}

static const Property pvpanic_properties[] = {
	{
		.name = "ioport",
		.kind = PROPERTY_UINT32,
		.offset = offsetof(Pvpanic, ioport),
		.initial = 0x505,
		.maximum = 0xffff,
		.description = "I/O port",
	},
	PROPERTY_END,
};

const DeviceType pvpanic_type = {
	.name = "pvpanic",
	.description = "tells of a guest's panic",
	.category = "Misc",
	.bus_kind = "ISA",
	.instance_size = sizeof(Pvpanic),
	.properties = { pvpanic_properties },
	.user_creatable = true,
	.realize = pvpanic_realize,
	.unrealize = pvpanic_unrealize,
};
