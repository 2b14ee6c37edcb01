/*
 * i8042.c: a keyboard controller with nothing plugged in
 *
 * It answers what it is asked at once (so that nobody waits for a time-out), pulses the reset line
 * and knows the A20 gate, which is always open. It has no second port. What is sent to the
 * keyboard is answered as the controller does when nobody is there: time-out, "resend".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

#define DATA_PORT    0x60
#define COMMAND_PORT 0x64
#define KEYBOARD_IRQ 1

enum {
	STATUS_OUTPUT_FULL = 0x01,
	STATUS_SELF_TESTED = 0x04,
	STATUS_COMMAND = 0x08, /* the last write was a command */
	STATUS_UNLOCKED = 0x10,
	STATUS_TIMEOUT = 0x40,

	CONFIG_KEYBOARD_IRQ = 0x01,
	CONFIG_SELF_TESTED = 0x04,
	CONFIG_KEYBOARD_OFF = 0x10,
	CONFIG_AUX_OFF = 0x20,

	OUTPUT_NO_RESET = 0x01,
	OUTPUT_A20 = 0x02,

	COMMAND_READ_CONFIG = 0x20,
	COMMAND_WRITE_CONFIG = 0x60,
	COMMAND_TEST_AUX = 0xa9,
	COMMAND_SELF_TEST = 0xaa,
	COMMAND_TEST_KEYBOARD = 0xab,
	COMMAND_KEYBOARD_OFF = 0xad,
	COMMAND_KEYBOARD_ON = 0xae,
	COMMAND_READ_OUTPUT = 0xd0,
	COMMAND_WRITE_OUTPUT = 0xd1,
	COMMAND_WRITE_KEYBOARD_BUFFER = 0xd2,
	COMMAND_WRITE_AUX_BUFFER = 0xd3,
	COMMAND_WRITE_AUX = 0xd4,
	COMMAND_PULSE = 0xf0, /* to 0xff: low nibble clear bits are pulsed */

	ANSWER_SELF_TEST_PASSED = 0x55,
	ANSWER_PORT_WORKS = 0x00,
	ANSWER_CLOCK_STUCK = 0x01,
	ANSWER_RESEND = 0xfe,
};

typedef struct I8042 {
	Device device;
	IoRegion data_region, command_region;

	/* Under device.lock. */
	uint8_t status, config, output_port, data;
	uint8_t command; /* that waits for its data byte; 0: none */
} I8042;

static I8042 *i8042_of(Device *device)
{
	return (I8042 *)device;
}

static void update_interrupt(I8042 *i8042)
{
	interrupt_set_line(i8042->device.services->interrupts, KEYBOARD_IRQ,
			   (i8042->status & STATUS_OUTPUT_FULL) &&
				   (i8042->config & CONFIG_KEYBOARD_IRQ));
}

static void answer(I8042 *i8042, uint8_t byte, uint8_t status)
{
	i8042->data = byte;
	i8042->status = (i8042->status & (uint8_t)~STATUS_TIMEOUT) | STATUS_OUTPUT_FULL | status;
}

static void request_reset(I8042 *i8042)
{
	i8042->device.services->request(i8042->device.services, RUN_REQUEST_GUEST_RESET, 0);
}

static void write_command(I8042 *i8042, uint8_t command)
{
	i8042->status |= STATUS_COMMAND;
	i8042->command = 0;
	switch (command) {
	case COMMAND_READ_CONFIG:
		answer(i8042, i8042->config, 0);
		break;
	case COMMAND_WRITE_CONFIG:
	case COMMAND_WRITE_OUTPUT:
	case COMMAND_WRITE_KEYBOARD_BUFFER:
	case COMMAND_WRITE_AUX_BUFFER:
	case COMMAND_WRITE_AUX:
		i8042->command = command;
		break;
	case COMMAND_TEST_AUX:
		answer(i8042, ANSWER_CLOCK_STUCK, 0);
		break;
	case COMMAND_SELF_TEST:
		i8042->status |= STATUS_SELF_TESTED;
		i8042->config |= CONFIG_SELF_TESTED;
		answer(i8042, ANSWER_SELF_TEST_PASSED, 0);
		break;
	case COMMAND_TEST_KEYBOARD:
		answer(i8042, ANSWER_PORT_WORKS, 0);
		break;
	case COMMAND_KEYBOARD_OFF:
		i8042->config |= CONFIG_KEYBOARD_OFF;
		break;
	case COMMAND_KEYBOARD_ON:
		i8042->config &= (uint8_t)~CONFIG_KEYBOARD_OFF;
		break;
	case COMMAND_READ_OUTPUT:
		answer(i8042, i8042->output_port, 0);
		break;
	case COMMAND_PULSE ... 0xff:
		if (!(command & OUTPUT_NO_RESET))
			request_reset(i8042);
		break;
	default: /* what a controller does not know it ignores */
		break;
	}
}

static void write_data(I8042 *i8042, uint8_t byte)
{
	uint8_t command = i8042->command;

	i8042->status &= (uint8_t)~STATUS_COMMAND;
	i8042->command = 0;
	switch (command) {
	case COMMAND_WRITE_CONFIG:
		i8042->config = byte | CONFIG_AUX_OFF;
		break;
	case COMMAND_WRITE_OUTPUT:
		i8042->output_port = byte | OUTPUT_A20;
		if (!(byte & OUTPUT_NO_RESET))
			request_reset(i8042);
		break;
	case COMMAND_WRITE_KEYBOARD_BUFFER:
	case COMMAND_WRITE_AUX_BUFFER: /* comes back, but not as from the second port */
		answer(i8042, byte, 0);
		break;
	default: /* to a device that is not there */
		answer(i8042, ANSWER_RESEND, STATUS_TIMEOUT);
		break;
	}
}

static uint64_t i8042_read_data(void *opaque, G_GNUC_UNUSED uint64_t offset,
				G_GNUC_UNUSED unsigned size)
{
	I8042 *i8042 = opaque;
	uint8_t value;

	g_mutex_lock(&i8042->device.lock);
	value = i8042->data;
	i8042->status &= (uint8_t) ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
	update_interrupt(i8042);
	g_mutex_unlock(&i8042->device.lock);
	return value;
}

static void i8042_write_data(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
			     G_GNUC_UNUSED unsigned size)
{
	I8042 *i8042 = opaque;

	g_mutex_lock(&i8042->device.lock);
	write_data(i8042, (uint8_t)value);
	update_interrupt(i8042);
	g_mutex_unlock(&i8042->device.lock);
}

static uint64_t i8042_read_status(void *opaque, G_GNUC_UNUSED uint64_t offset,
				  G_GNUC_UNUSED unsigned size)
{
	I8042 *i8042 = opaque;
	uint8_t value;

	g_mutex_lock(&i8042->device.lock);
	value = i8042->status;
	g_mutex_unlock(&i8042->device.lock);
	return value;
}

static void i8042_write_command(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
				G_GNUC_UNUSED unsigned size)
{
	I8042 *i8042 = opaque;

	g_mutex_lock(&i8042->device.lock);
	write_command(i8042, (uint8_t)value);
	update_interrupt(i8042);
	g_mutex_unlock(&i8042->device.lock);
}

static const IoRegionOps data_ops = {
	.read = i8042_read_data,
	.write = i8042_write_data,
	.maximum_size = 1,
};

static const IoRegionOps command_ops = {
	.read = i8042_read_status,
	.write = i8042_write_command,
	.maximum_size = 1,
};

static void i8042_reset(Device *device)
{
	I8042 *i8042 = i8042_of(device);

	g_mutex_lock(&device->lock);
	i8042->status = STATUS_SELF_TESTED | STATUS_COMMAND | STATUS_UNLOCKED;
	i8042->config = CONFIG_SELF_TESTED | CONFIG_AUX_OFF;
	i8042->output_port = OUTPUT_NO_RESET | OUTPUT_A20;
	i8042->data = 0;
	i8042->command = 0;
	update_interrupt(i8042);
	g_mutex_unlock(&device->lock);
}

static bool i8042_realize(Device *device, GError **error)
{
	I8042 *i8042 = i8042_of(device);

	i8042->data_region =
		(IoRegion){ .name = "i8042-data", .size = 1, .ops = &data_ops, .opaque = i8042 };
	i8042->command_region = (IoRegion){
		.name = "i8042-command", .size = 1, .ops = &command_ops, .opaque = i8042
	};
	if (!address_space_map(device->services->pio, &i8042->data_region, DATA_PORT))
		return error_fail(error, "there is no port 0x%x", DATA_PORT);
	if (!address_space_map(device->services->pio, &i8042->command_region, COMMAND_PORT)) {
		address_space_unmap(device->services->pio, &i8042->data_region);
		return error_fail(error, "there is no port 0x%x", COMMAND_PORT);
	}
	i8042_reset(device);
	return true;
}

static void i8042_unrealize(Device *device)
{
	I8042 *i8042 = i8042_of(device);

	address_space_unmap(device->services->pio, &i8042->data_region);
	address_space_unmap(device->services->pio, &i8042->command_region);
}

static bool i8042_loaded(void *object, G_GNUC_UNUSED GError **error)
{
	I8042 *i8042 = object;

	g_mutex_lock(&i8042->device.lock);
	update_interrupt(i8042);
	g_mutex_unlock(&i8042->device.lock);
	return true;
}

static const StateTable i8042_state = {
	.name = "i8042",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(I8042, status, STATE_UINT8),
			STATE_FIELD(I8042, config, STATE_UINT8),
			STATE_FIELD(I8042, output_port, STATE_UINT8),
			STATE_FIELD(I8042, data, STATE_UINT8),
			STATE_FIELD(I8042, command, STATE_UINT8),
			STATE_END,
		},
	.after_load = i8042_loaded,
};

const DeviceType i8042_type = {
	.name = "i8042",
	.description = "keyboard controller",
	.category = "Input",
	.instance_size = sizeof(I8042),
	.state = &i8042_state,
	.realize = i8042_realize,
	.unrealize = i8042_unrealize,
	.reset = i8042_reset,
};
