/*
 * reset_control.c: the ICH9's reset control register, 0xcf9
 *
 * It lies under PCI's configuration address register (0xcf8), and must be mapped before that one;
 * accesses to 0xcf9 alone come here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

#define PORT 0xcf9

enum {
	RESET_SYSTEM = 0x02, /* what RESET_CPU does: everything, or only INIT */
	RESET_CPU = 0x04,    /* going from 0 to 1 does it */
	RESET_FULL = 0x08,
	RESET_MASK = RESET_SYSTEM | RESET_CPU | RESET_FULL,
};

typedef struct ResetControl {
	Device device;
	IoRegion region;
	uint8_t value; /* under device.lock */
} ResetControl;

static uint64_t reset_control_read(void *opaque, G_GNUC_UNUSED uint64_t offset,
				   G_GNUC_UNUSED unsigned size)
{
	ResetControl *control = opaque;
	uint8_t value;

	g_mutex_lock(&control->device.lock);
	value = control->value;
	g_mutex_unlock(&control->device.lock);
	return value;
}

static void reset_control_write(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
				G_GNUC_UNUSED unsigned size)
{
	ResetControl *control = opaque;
	bool reset;

	g_mutex_lock(&control->device.lock);
	reset = (value & RESET_CPU) && !(control->value & RESET_CPU);
	control->value = (uint8_t)value & RESET_MASK;
	g_mutex_unlock(&control->device.lock);
	/* Who asks for INIT alone wants out of what it is in: the whole machine restarts. */
	if (reset)
		control->device.services->request(control->device.services, RUN_REQUEST_GUEST_RESET,
						  0);
}

static const IoRegionOps reset_control_ops = {
	.read = reset_control_read,
	.write = reset_control_write,
	.maximum_size = 1,
};

static void reset_control_reset(Device *device)
{
	g_mutex_lock(&device->lock);
	((ResetControl *)device)->value = 0;
	g_mutex_unlock(&device->lock);
}

static bool reset_control_realize(Device *device, GError **error)
{
	ResetControl *control = (ResetControl *)device;

	control->region = (IoRegion){
		.name = "reset-control", .size = 1, .ops = &reset_control_ops, .opaque = control
	};
	if (!address_space_map(device->services->pio, &control->region, PORT))
		return error_fail(error, "there is no port 0x%x", PORT);
	return true;
}

static void reset_control_unrealize(Device *device)
{
	address_space_unmap(device->services->pio, &((ResetControl *)device)->region);
}

static const StateTable reset_control_state = {
	.name = "ich9-reset",
	.version = 1,
	.minimum_version = 1,
	.fields = (const StateField[]){ STATE_FIELD(ResetControl, value, STATE_UINT8), STATE_END },
};

const DeviceType reset_control_type = {
	.name = "ich9-reset",
	.description = "reset control register",
	.category = "Misc",
	.instance_size = sizeof(ResetControl),
	.state = &reset_control_state,
	.realize = reset_control_realize,
	.unrealize = reset_control_unrealize,
	.reset = reset_control_reset,
};
