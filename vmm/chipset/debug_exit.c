/*
 * debug_exit.c: a port that ends the process, for people who write kernels
 *
 * Writing V ends it with status V * 2 + 1, as tests that expect this device expect.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

typedef struct DebugExit {
	Device device;
	IoRegion region;
	uint32_t iobase, iosize;
} DebugExit;

static uint64_t debug_exit_read(G_GNUC_UNUSED void *opaque, G_GNUC_UNUSED uint64_t offset,
				G_GNUC_UNUSED unsigned size)
{
	return 0;
}

static void debug_exit_write(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
			     G_GNUC_UNUSED unsigned size)
{
	DebugExit *debug_exit = opaque;

	/* A status has 8 bits. */
	debug_exit->device.services->request(debug_exit->device.services, RUN_REQUEST_EXIT,
					     (int)((value << 1 | 1) & 0xff));
}

static const IoRegionOps debug_exit_ops = {
	.read = debug_exit_read,
	.write = debug_exit_write,
	.maximum_size = 4,
};

static bool debug_exit_realize(Device *device, GError **error)
{
	DebugExit *debug_exit = (DebugExit *)device;

	debug_exit->region = (IoRegion){ .name = "debug-exit",
					 .size = debug_exit->iosize,
					 .ops = &debug_exit_ops,
					 .opaque = debug_exit };
	return isa_map_ports(device, &debug_exit->region, debug_exit->iobase, error);
}

static void debug_exit_unrealize(Device *device)
{
	address_space_unmap(device->services->pio, &((DebugExit *)device)->region);
}

static const Property debug_exit_properties[] = {
	{
		.name = "iobase",
		.kind = PROPERTY_UINT32,
		.offset = offsetof(DebugExit, iobase),
		.initial = 0x501,
		.maximum = 0xffff,
		.description = "first I/O port",
	},
	{
		.name = "iosize",
		.kind = PROPERTY_UINT32,
		.offset = offsetof(DebugExit, iosize),
		.initial = 2,
		.minimum = 1,
		.maximum = 4,
		.description = "number of I/O ports",
	},
	PROPERTY_END,
};

const DeviceType debug_exit_type = {
	.name = "isa-debug-exit",
	.description = "port that ends the process with the status written",
	.category = "Misc",
	.bus_kind = "ISA",
	.instance_size = sizeof(DebugExit),
	.properties = { debug_exit_properties },
	.user_creatable = true,
	.realize = debug_exit_realize,
	.unrealize = debug_exit_unrealize,
};
