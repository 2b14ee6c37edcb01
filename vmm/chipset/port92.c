/*
 * port92.c: system control port A: fast reset and the A20 gate, which is always open
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

#define PORT 0x92

enum { PORT92_RESET = 0x01, PORT92_A20 = 0x02 };

typedef struct Port92 {
	Device device;
	IoRegion region;
	uint8_t value; /* under device.lock */
} Port92;

static uint64_t port92_read(void *opaque, G_GNUC_UNUSED uint64_t offset,
			    G_GNUC_UNUSED unsigned size)
{
	Port92 *port92 = opaque;
	uint8_t value;

	g_mutex_lock(&port92->device.lock);
	value = port92->value;
	g_mutex_unlock(&port92->device.lock);
	return value;
}

static void port92_write(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
			 G_GNUC_UNUSED unsigned size)
{
	Port92 *port92 = opaque;
	bool reset;

	g_mutex_lock(&port92->device.lock);
	/* Only going from 0 to 1 resets. */
	reset = (value & PORT92_RESET) && !(port92->value & PORT92_RESET);
	port92->value = (uint8_t)value | PORT92_A20;
	g_mutex_unlock(&port92->device.lock);
	if (reset)
		port92->device.services->request(port92->device.services, RUN_REQUEST_GUEST_RESET,
						 0);
}

static const IoRegionOps port92_ops = {
	.read = port92_read,
	.write = port92_write,
	.maximum_size = 1,
};

static void port92_reset(Device *device)
{
	g_mutex_lock(&device->lock);
	((Port92 *)device)->value = PORT92_A20;
	g_mutex_unlock(&device->lock);
}

static bool port92_realize(Device *device, GError **error)
{
	Port92 *port92 = (Port92 *)device;

	port92->region =
		(IoRegion){ .name = "port92", .size = 1, .ops = &port92_ops, .opaque = port92 };
	if (!address_space_map(device->services->pio, &port92->region, PORT))
		return error_fail(error, "there is no port 0x%x", PORT);
	port92_reset(device);
	return true;
}

static void port92_unrealize(Device *device)
{
	address_space_unmap(device->services->pio, &((Port92 *)device)->region);
}

static const StateTable port92_state = {
	.name = "port92",
	.version = 1,
	.minimum_version = 1,
	.fields = (const StateField[]){ STATE_FIELD(Port92, value, STATE_UINT8), STATE_END },
};

const DeviceType port92_type = {
	.name = "port92",
	.description = "system control port A",
	.category = "Misc",
	.instance_size = sizeof(Port92),
	.state = &port92_state,
	.realize = port92_realize,
	.unrealize = port92_unrealize,
	.reset = port92_reset,
};
