/*
 * debug_console.c: a port whose bytes go to a chardev, for firmware and people who write kernels
 *
 * It cannot say that it is busy: bytes that the chardev does not take are lost.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chardev/chardev.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

typedef struct DebugConsole {
	Device device;
	IoRegion region;
	Chardev *chardev;
	char *chardev_id;
	uint32_t iobase, readback;
} DebugConsole;

static uint64_t debug_console_read(void *opaque, G_GNUC_UNUSED uint64_t offset,
				   G_GNUC_UNUSED unsigned size)
{
	return ((DebugConsole *)opaque)->readback;
}

static void debug_console_write(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
				G_GNUC_UNUSED unsigned size)
{
	uint8_t byte = (uint8_t)value;

	chardev_write(((DebugConsole *)opaque)->chardev, &byte, 1);
}

static const IoRegionOps debug_console_ops = {
	.read = debug_console_read,
	.write = debug_console_write,
	.maximum_size = 1,
};

static size_t debug_console_can_receive(G_GNUC_UNUSED void *opaque)
{
	return 0;
}

static void debug_console_receive(G_GNUC_UNUSED void *opaque, G_GNUC_UNUSED const uint8_t *data,
				  G_GNUC_UNUSED size_t size)
{
}

static const ChardevFrontEnd debug_console_front_end = {
	.can_receive = debug_console_can_receive,
	.receive = debug_console_receive,
};

static bool debug_console_realize(Device *device, GError **error)
{
	DebugConsole *console = (DebugConsole *)device;

	console->chardev = device->services->find_chardev(device->services, console->chardev_id);
	if (!console->chardev)
		return error_fail(error, "isa-debugcon: there is no chardev '%s'",
				  console->chardev_id);
	console->region = (IoRegion){
		.name = "debug-console", .size = 1, .ops = &debug_console_ops, .opaque = console
	};
	if (!isa_map_ports(device, &console->region, console->iobase, error))
		return false;
	if (!chardev_attach(console->chardev, device->id ? device->id : device->type->name,
			    &debug_console_front_end, console, error)) {
		address_space_unmap(device->services->pio, &console->region);
		return false;
	}
	return true;
}

static void debug_console_unrealize(Device *device)
{
	DebugConsole *console = (DebugConsole *)device;

	chardev_detach(console->chardev);
	address_space_unmap(device->services->pio, &console->region);
}

static const Property debug_console_properties[] = {
	{
		.name = "chardev",
		.kind = PROPERTY_CHARDEV,
		.offset = offsetof(DebugConsole, chardev_id),
		.required = true,
		.description = "where the bytes go",
	},
	{
		.name = "iobase",
		.kind = PROPERTY_UINT32,
		.offset = offsetof(DebugConsole, iobase),
		.initial = 0xe9,
		.maximum = 0xffff,
		.description = "I/O port",
	},
	{
		.name = "readback",
		.kind = PROPERTY_UINT32,
		.offset = offsetof(DebugConsole, readback),
		.initial = 0xe9,
		.maximum = 0xff,
		.description = "what the port reads as",
	},
	PROPERTY_END,
};

const DeviceType debug_console_type = {
	.name = "isa-debugcon",
	.description = "port whose bytes go to a chardev",
	.category = "Misc",
	.bus_kind = "ISA",
	.instance_size = sizeof(DebugConsole),
	.properties = { debug_console_properties },
	.user_creatable = true,
	.realize = debug_console_realize,
	.unrealize = debug_console_unrealize,
};
