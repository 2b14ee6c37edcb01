/*
 * i8042.c: the keyboard controller
 *
 * A machine with a screen has a PS/2 keyboard and a mouse on it. One without has nothing there, as
 * a guest takes its time to find out what they can do: no second port, and what is sent to the
 * keyboard is answered as the controller does when nobody is there, by time-out and "resend".
 *
 * It answers what it is asked at once (so that nobody waits for a time-out), pulses the reset line
 * and knows the A20 gate, which is always open.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/ps2.h"
#include "vmm/display/display.h"
#include "vmm/display/input_keys.h"
#include "vmm/memory/address_space.h"

#define DATA_PORT    0x60
#define COMMAND_PORT 0x64
#define KEYBOARD_IRQ 1
#define AUX_IRQ	     12

enum {
	STATUS_OUTPUT_FULL = 0x01,
	STATUS_SELF_TESTED = 0x04,
	STATUS_COMMAND = 0x08, /* the last write was a command */
	STATUS_UNLOCKED = 0x10,
	STATUS_AUX = 0x20, /* what is in the buffer is from the second port */
	STATUS_TIMEOUT = 0x40,

	CONFIG_KEYBOARD_IRQ = 0x01,
	CONFIG_AUX_IRQ = 0x02,
	CONFIG_SELF_TESTED = 0x04,
	CONFIG_KEYBOARD_OFF = 0x10,
	CONFIG_AUX_OFF = 0x20,
	CONFIG_TRANSLATE = 0x40, /* set 2 into set 1 */

	OUTPUT_NO_RESET = 0x01,
	OUTPUT_A20 = 0x02,

	COMMAND_READ_CONFIG = 0x20,
	COMMAND_WRITE_CONFIG = 0x60,
	COMMAND_AUX_OFF = 0xa7,
	COMMAND_AUX_ON = 0xa8,
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

	SCAN_BREAK = 0xf0,
	SCAN_RELEASED = 0x80, /* set 1 */
};

typedef struct I8042 {
	Device device;
	IoRegion data_region, command_region;
	InputDevice *keyboard_input, *mouse_input;

	/* Under device.lock. */
	uint8_t status, config, output_port, data;
	uint8_t command; /* that waits for its data byte; 0: none */
	bool plugged;	 /* there are keyboard and mouse */
	bool released;	 /* the code that comes next is of a key that goes up */
	Ps2Keyboard keyboard;
	Ps2Mouse mouse;
} I8042;

static I8042 *i8042_of(Device *device)
{
	return (I8042 *)device;
}

static void answer(I8042 *i8042, uint8_t byte, uint8_t status)
{
	i8042->data = byte;
	i8042->status = (i8042->status & (uint8_t) ~(STATUS_TIMEOUT | STATUS_AUX)) |
			STATUS_OUTPUT_FULL | status;
}

/* The keyboard's next byte as the guest is to see it; false where there is none yet. */
static bool take_keyboard_byte(I8042 *i8042, uint8_t *byte)
{
	bool translates = i8042->config & CONFIG_TRANSLATE;

	while (ps2_queue_has(&i8042->keyboard.queue)) {
		uint8_t scan = ps2_queue_take(&i8042->keyboard.queue);

		if (translates && scan == SCAN_BREAK) {
			i8042->released = true;
			continue;
		}
		*byte = translates ? input_key_translate(scan) : scan;
		if (i8042->released)
			*byte |= SCAN_RELEASED;
		i8042->released = false;
		return true;
	}
	return false;
}

/* Put the next byte of a device into the buffer, if that is empty. */
static void fill_output(I8042 *i8042)
{
	uint8_t byte;

	if (i8042->status & STATUS_OUTPUT_FULL)
		return;
	if (!(i8042->config & CONFIG_KEYBOARD_OFF) && take_keyboard_byte(i8042, &byte))
		answer(i8042, byte, 0);
	else if (!(i8042->config & CONFIG_AUX_OFF) && ps2_queue_has(&i8042->mouse.queue))
		answer(i8042, ps2_queue_take(&i8042->mouse.queue), STATUS_AUX);
}

/* What follows each change: more to read, and who is told of it. */
static void update(I8042 *i8042)
{
	InterruptController *interrupts = i8042->device.services->interrupts;
	bool full, aux;

	fill_output(i8042);
	full = i8042->status & STATUS_OUTPUT_FULL;
	aux = i8042->status & STATUS_AUX;
	interrupt_set_line(interrupts, KEYBOARD_IRQ,
			   full && !aux && (i8042->config & CONFIG_KEYBOARD_IRQ));
	interrupt_set_line(interrupts, AUX_IRQ, full && aux && (i8042->config & CONFIG_AUX_IRQ));
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
		answer(i8042, i8042->plugged ? ANSWER_PORT_WORKS : ANSWER_CLOCK_STUCK, 0);
		break;
	case COMMAND_AUX_OFF:
		i8042->config |= CONFIG_AUX_OFF;
		break;
	case COMMAND_AUX_ON:
		if (i8042->plugged)
			i8042->config &= (uint8_t)~CONFIG_AUX_OFF;
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

/* Sending to a device starts its clock. */
static void write_device(I8042 *i8042, bool aux, uint8_t byte)
{
	if (!i8042->plugged) {
		answer(i8042, ANSWER_RESEND, STATUS_TIMEOUT);
	} else if (aux) {
		i8042->config &= (uint8_t)~CONFIG_AUX_OFF;
		ps2_mouse_write(&i8042->mouse, byte);
	} else {
		i8042->config &= (uint8_t)~CONFIG_KEYBOARD_OFF;
		i8042->released = false;
		ps2_keyboard_write(&i8042->keyboard, byte);
	}
}

static void write_data(I8042 *i8042, uint8_t byte)
{
	uint8_t command = i8042->command;

	i8042->status &= (uint8_t)~STATUS_COMMAND;
	i8042->command = 0;
	switch (command) {
	case COMMAND_WRITE_CONFIG:
		i8042->config = i8042->plugged ? byte : byte | CONFIG_AUX_OFF;
		break;
	case COMMAND_WRITE_OUTPUT:
		i8042->output_port = byte | OUTPUT_A20;
		if (!(byte & OUTPUT_NO_RESET))
			request_reset(i8042);
		break;
	case COMMAND_WRITE_KEYBOARD_BUFFER:
		answer(i8042, byte, 0);
		break;
	case COMMAND_WRITE_AUX_BUFFER: /* comes back; as from the second port if there is one */
		answer(i8042, byte, i8042->plugged ? STATUS_AUX : 0);
		break;
	default:
		write_device(i8042, command == COMMAND_WRITE_AUX, byte);
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
	i8042->status &= (uint8_t) ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT | STATUS_AUX);
	/* The line falls in between, for each byte is an edge of its own. */
	interrupt_set_line(i8042->device.services->interrupts, KEYBOARD_IRQ, false);
	interrupt_set_line(i8042->device.services->interrupts, AUX_IRQ, false);
	update(i8042);
	g_mutex_unlock(&i8042->device.lock);
	return value;
}

static void i8042_write_data(void *opaque, G_GNUC_UNUSED uint64_t offset, uint64_t value,
			     G_GNUC_UNUSED unsigned size)
{
	I8042 *i8042 = opaque;

	g_mutex_lock(&i8042->device.lock);
	write_data(i8042, (uint8_t)value);
	update(i8042);
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
	update(i8042);
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

static void keyboard_key(void *opaque, unsigned code, bool down)
{
	I8042 *i8042 = opaque;

	g_mutex_lock(&i8042->device.lock);
	ps2_keyboard_key(&i8042->keyboard, code, down);
	update(i8042);
	g_mutex_unlock(&i8042->device.lock);
}

static void mouse_button(void *opaque, InputButton button, bool down)
{
	I8042 *i8042 = opaque;

	g_mutex_lock(&i8042->device.lock);
	ps2_mouse_button(&i8042->mouse, button, down);
	g_mutex_unlock(&i8042->device.lock);
}

static void mouse_move(void *opaque, InputAxis axis, int32_t by)
{
	I8042 *i8042 = opaque;

	g_mutex_lock(&i8042->device.lock);
	ps2_mouse_move(&i8042->mouse, axis, by);
	g_mutex_unlock(&i8042->device.lock);
}

static void mouse_sync(void *opaque)
{
	I8042 *i8042 = opaque;

	g_mutex_lock(&i8042->device.lock);
	ps2_mouse_sync(&i8042->mouse);
	update(i8042);
	g_mutex_unlock(&i8042->device.lock);
}

static const InputDeviceOps keyboard_ops = { .key = keyboard_key };
static const InputDeviceOps mouse_ops = {
	.button = mouse_button,
	.move = mouse_move,
	.sync = mouse_sync,
};

static void i8042_reset(Device *device)
{
	I8042 *i8042 = i8042_of(device);
	bool plugged = display_console(device->services->display, 0) != NULL;

	input_device_set_active(i8042->keyboard_input, plugged);
	input_device_set_active(i8042->mouse_input, plugged);
	g_mutex_lock(&device->lock);
	i8042->plugged = plugged;
	i8042->released = false;
	ps2_keyboard_init(&i8042->keyboard);
	ps2_mouse_init(&i8042->mouse);
	i8042->status = STATUS_SELF_TESTED | STATUS_COMMAND | STATUS_UNLOCKED;
	i8042->config = CONFIG_SELF_TESTED | CONFIG_AUX_OFF;
	i8042->output_port = OUTPUT_NO_RESET | OUTPUT_A20;
	i8042->data = 0;
	i8042->command = 0;
	update(i8042);
	g_mutex_unlock(&device->lock);
}

bool i8042_is_plugged(const Device *i8042)
{
	return ((const I8042 *)i8042)->plugged;
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
	i8042->keyboard_input = input_add_device(display_input(device->services->display), NULL,
						 INPUT_KEYBOARD, &keyboard_ops, i8042);
	i8042->mouse_input = input_add_device(display_input(device->services->display), NULL,
					      INPUT_RELATIVE, &mouse_ops, i8042);
	i8042_reset(device);
	return true;
}

static void i8042_unrealize(Device *device)
{
	I8042 *i8042 = i8042_of(device);
	InputRouter *input = display_input(device->services->display);

	input_remove_device(input, i8042->keyboard_input);
	input_remove_device(input, i8042->mouse_input);
	address_space_unmap(device->services->pio, &i8042->data_region);
	address_space_unmap(device->services->pio, &i8042->command_region);
}

static bool i8042_loaded(void *object, G_GNUC_UNUSED GError **error)
{
	I8042 *i8042 = object;

	input_device_set_active(i8042->keyboard_input, i8042->plugged);
	input_device_set_active(i8042->mouse_input, i8042->plugged);
	g_mutex_lock(&i8042->device.lock);
	update(i8042);
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
			STATE_FIELD(I8042, plugged, STATE_BOOL),
			STATE_FIELD(I8042, released, STATE_BOOL),
			STATE_PART(I8042, keyboard, &ps2_keyboard_state),
			STATE_PART(I8042, mouse, &ps2_mouse_state),
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
