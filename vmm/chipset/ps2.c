/*
 * ps2.c: a keyboard and a mouse as they hang on an i8042
 *
 * After the IBM PS/2 Hardware Interface Technical Reference ("Keyboards", "Auxiliary device"), with
 * the wheel of Microsoft's IntelliMouse, which answers to a sequence of sample rates.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chipset/ps2.h"
#include "vmm/base/error.h"
#include "vmm/display/input_keys.h"

#include <glib.h>
#include <linux/input-event-codes.h>
#include <string.h>

enum {
	ANSWER_ACK = 0xfa,
	ANSWER_RESEND = 0xfe,
	ANSWER_SELF_TEST = 0xaa,
	SCAN_EXTENSION = 0xe0,
	SCAN_EXTENSION_1 = 0xe1,
	SCAN_BREAK = 0xf0, /* set 2 */

	COMMAND_SET_LEDS = 0xed,
	COMMAND_ECHO = 0xee,
	COMMAND_SCAN_SET = 0xf0,
	COMMAND_IDENTIFY = 0xf2,
	COMMAND_SET_RATE = 0xf3,
	COMMAND_ENABLE = 0xf4,
	COMMAND_DISABLE = 0xf5,
	COMMAND_DEFAULTS = 0xf6,
	COMMAND_RESET = 0xff,

	MOUSE_SCALING_1_1 = 0xe6,
	MOUSE_SCALING_2_1 = 0xe7,
	MOUSE_RESOLUTION = 0xe8,
	MOUSE_STATUS = 0xe9,
	MOUSE_STREAM = 0xea,
	MOUSE_POLL = 0xeb,
	MOUSE_END_WRAP = 0xec,
	MOUSE_WRAP = 0xee,
	MOUSE_REMOTE = 0xf0,

	KEYBOARD_RATE = 0x2b, /* 10.9 characters a second after 500 ms */
	MOUSE_RATE = 100,
	MOUSE_ID_WHEEL = 3,
	MOUSE_ID_BUTTONS = 4,
};

bool ps2_queue_has(const Ps2Queue *queue)
{
	return queue->n > 0;
}

uint8_t ps2_queue_take(Ps2Queue *queue)
{
	uint8_t byte;

	if (queue->n == 0)
		return 0;
	byte = queue->bytes[queue->first];
	queue->first = (uint8_t)((queue->first + 1) % PS2_QUEUE_SIZE);
	queue->n--;
	return byte;
}

/* Put in all of @bytes or none. */
static bool queue_put(Ps2Queue *queue, const uint8_t *bytes, unsigned n)
{
	if (queue->n + n > PS2_QUEUE_SIZE)
		return false;
	for (unsigned i = 0; i < n; i++)
		queue->bytes[(queue->first + queue->n++) % PS2_QUEUE_SIZE] = bytes[i];
	return true;
}

/* An answer drives out what the user did: the host waits for it. */
static void queue_answer(Ps2Queue *queue, const uint8_t *bytes, unsigned n)
{
	if (!queue_put(queue, bytes, n)) {
		queue->n = 0;
		queue_put(queue, bytes, n);
	}
}

static void queue_answer_byte(Ps2Queue *queue, uint8_t byte)
{
	queue_answer(queue, &byte, 1);
}

static void keyboard_defaults(Ps2Keyboard *keyboard)
{
	keyboard->queue.n = 0;
	keyboard->command = 0;
	keyboard->scan_set = 2;
	keyboard->rate = KEYBOARD_RATE;
}

void ps2_keyboard_init(Ps2Keyboard *keyboard)
{
	memset(keyboard, 0, sizeof(*keyboard));
	keyboard_defaults(keyboard);
	keyboard->enabled = true;
}

/* The byte after a command that takes one. */
static void keyboard_argument(Ps2Keyboard *keyboard, uint8_t command, uint8_t byte)
{
	queue_answer_byte(&keyboard->queue, ANSWER_ACK);
	switch (command) {
	case COMMAND_SET_LEDS:
		keyboard->leds = byte & 7;
		break;
	case COMMAND_SET_RATE:
		keyboard->rate = byte & 0x7f;
		break;
	case COMMAND_SCAN_SET:
		if (byte == 0)
			queue_answer_byte(&keyboard->queue, keyboard->scan_set);
		else if (byte <= 2)
			keyboard->scan_set = byte;
		break;
	default:
		break;
	}
}

void ps2_keyboard_write(Ps2Keyboard *keyboard, uint8_t byte)
{
	uint8_t command = keyboard->command;

	keyboard->command = 0;
	if (command && byte < COMMAND_SET_LEDS) {
		keyboard_argument(keyboard, command, byte);
		return;
	}
	switch (byte) {
	case COMMAND_SET_LEDS:
	case COMMAND_SET_RATE:
	case COMMAND_SCAN_SET:
		keyboard->command = byte;
		queue_answer_byte(&keyboard->queue, ANSWER_ACK);
		break;
	case COMMAND_ECHO:
		queue_answer_byte(&keyboard->queue, COMMAND_ECHO);
		break;
	case COMMAND_IDENTIFY:
		queue_answer(&keyboard->queue, (const uint8_t[]){ ANSWER_ACK, 0xab, 0x83 }, 3);
		break;
	case COMMAND_ENABLE:
		keyboard->enabled = true;
		queue_answer_byte(&keyboard->queue, ANSWER_ACK);
		break;
	case COMMAND_DISABLE:
	case COMMAND_DEFAULTS:
		keyboard_defaults(keyboard);
		keyboard->enabled = byte == COMMAND_DEFAULTS;
		queue_answer_byte(&keyboard->queue, ANSWER_ACK);
		break;
	case COMMAND_RESET:
		ps2_keyboard_init(keyboard);
		queue_answer(&keyboard->queue, (const uint8_t[]){ ANSWER_ACK, ANSWER_SELF_TEST },
			     2);
		break;
	default:
		queue_answer_byte(&keyboard->queue, ANSWER_RESEND);
		break;
	}
}

/* Pause has a code of its own, and none when it is released. */
static void keyboard_pause(Ps2Keyboard *keyboard)
{
	static const uint8_t set_1[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
	static const uint8_t set_2[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };

	if (keyboard->scan_set == 1)
		queue_put(&keyboard->queue, set_1, sizeof(set_1));
	else
		queue_put(&keyboard->queue, set_2, sizeof(set_2));
}

void ps2_keyboard_key(Ps2Keyboard *keyboard, unsigned code, bool down)
{
	uint8_t scan = input_key_scan_code(code), bytes[3];
	unsigned n = 0;

	if (!keyboard->enabled || !scan)
		return;
	if (code == KEY_PAUSE) {
		if (down)
			keyboard_pause(keyboard);
		return;
	}
	if (scan & SCAN_EXTENDED)
		bytes[n++] = SCAN_EXTENSION;
	scan &= (uint8_t)~SCAN_EXTENDED;
	if (keyboard->scan_set == 1) {
		bytes[n++] = down ? scan : scan | 0x80;
	} else {
		if (!down)
			bytes[n++] = SCAN_BREAK;
		bytes[n++] = input_key_scan_code_set_2(scan);
	}
	queue_put(&keyboard->queue, bytes, n);
}

static void mouse_defaults(Ps2Mouse *mouse)
{
	mouse->queue.n = 0;
	mouse->enabled = mouse->remote = mouse->scaling_2_1 = mouse->wrap = false;
	mouse->command = 0;
	mouse->rate = MOUSE_RATE;
	mouse->resolution = 2;
	mouse->dx = mouse->dy = mouse->dz = 0;
}

void ps2_mouse_init(Ps2Mouse *mouse)
{
	memset(mouse, 0, sizeof(*mouse));
	mouse_defaults(mouse);
}

/* How much of @value goes into one packet: a byte and a sign. */
static int32_t take_movement(int32_t *value, int32_t limit)
{
	int32_t taken = CLAMP(*value, -limit, limit);

	*value -= taken;
	return taken;
}

static void mouse_packet(Ps2Mouse *mouse, bool answer)
{
	int32_t dx = take_movement(&mouse->dx, 255), dy = take_movement(&mouse->dy, 255);
	uint8_t bytes[4] = { (uint8_t)(0x08 | (mouse->buttons & 7) | (dx < 0 ? 0x10 : 0) |
				       (dy < 0 ? 0x20 : 0)),
			     (uint8_t)dx, (uint8_t)dy };
	unsigned n = 3;

	if (mouse->id != 0) {
		int32_t dz = take_movement(&mouse->dz, 7);

		bytes[n++] = mouse->id == MOUSE_ID_BUTTONS
				     ? (uint8_t)((dz & 0x0f) | (mouse->buttons & 0x18) << 1)
				     : (uint8_t)dz;
	} else {
		mouse->dz = 0;
	}
	if (answer)
		queue_answer(&mouse->queue, bytes, n);
	else
		queue_put(&mouse->queue, bytes, n);
}

/* Rates 200, 100, 80 make it one with a wheel, then 200, 200, 80 one with five buttons. */
static void mouse_set_rate(Ps2Mouse *mouse, uint8_t rate)
{
	static const uint8_t knocks[2][3] = { { 200, 100, 80 }, { 200, 200, 80 } };
	const uint8_t *wanted = knocks[mouse->id == MOUSE_ID_WHEEL];

	mouse->rate = rate;
	if (mouse->id == MOUSE_ID_BUTTONS)
		return;
	if (rate != wanted[mouse->knock])
		mouse->knock = rate == wanted[0];
	else if (++mouse->knock == 3) {
		mouse->id = mouse->id == 0 ? MOUSE_ID_WHEEL : MOUSE_ID_BUTTONS;
		mouse->knock = 0;
	}
}

static void mouse_status(Ps2Mouse *mouse)
{
	uint8_t left = mouse->buttons & 1, right = mouse->buttons >> 1 & 1;
	uint8_t middle = mouse->buttons >> 2 & 1;
	uint8_t bytes[] = { ANSWER_ACK,
			    (uint8_t)(mouse->remote << 6 | mouse->enabled << 5 |
				      mouse->scaling_2_1 << 4 | left << 2 | middle << 1 | right),
			    mouse->resolution, mouse->rate };

	queue_answer(&mouse->queue, bytes, sizeof(bytes));
}

static void mouse_command(Ps2Mouse *mouse, uint8_t byte)
{
	if (byte == MOUSE_STATUS) {
		mouse_status(mouse);
		return;
	}
	if (byte == COMMAND_DEFAULTS || byte == COMMAND_RESET)
		mouse_defaults(mouse);
	if (byte == COMMAND_RESET)
		mouse->id = mouse->knock = 0;
	queue_answer_byte(&mouse->queue, ANSWER_ACK);
	switch (byte) {
	case MOUSE_SCALING_1_1:
	case MOUSE_SCALING_2_1:
		mouse->scaling_2_1 = byte == MOUSE_SCALING_2_1;
		break;
	case MOUSE_RESOLUTION:
	case COMMAND_SET_RATE:
		mouse->command = byte;
		break;
	case MOUSE_STREAM:
	case MOUSE_REMOTE:
		mouse->remote = byte == MOUSE_REMOTE;
		break;
	case MOUSE_POLL:
		mouse_packet(mouse, true);
		break;
	case MOUSE_WRAP:
		mouse->wrap = true;
		break;
	case COMMAND_IDENTIFY:
		queue_answer_byte(&mouse->queue, mouse->id);
		break;
	case COMMAND_ENABLE:
	case COMMAND_DISABLE:
		mouse->enabled = byte == COMMAND_ENABLE;
		break;
	case COMMAND_RESET:
		queue_answer(&mouse->queue, (const uint8_t[]){ ANSWER_SELF_TEST, 0 }, 2);
		break;
	default: /* acknowledged and nothing else, as mice do */
		break;
	}
}

void ps2_mouse_write(Ps2Mouse *mouse, uint8_t byte)
{
	uint8_t command = mouse->command;

	mouse->command = 0;
	if (mouse->wrap && byte != MOUSE_END_WRAP && byte != COMMAND_RESET) {
		queue_answer_byte(&mouse->queue, byte);
		return;
	}
	mouse->wrap = false;
	if (!command) {
		mouse_command(mouse, byte);
		return;
	}
	queue_answer_byte(&mouse->queue, ANSWER_ACK);
	if (command == COMMAND_SET_RATE)
		mouse_set_rate(mouse, byte);
	else
		mouse->resolution = byte & 3;
}

void ps2_mouse_button(Ps2Mouse *mouse, InputButton button, bool down)
{
	static const uint8_t bits[INPUT_BUTTONS] = {
		[INPUT_BUTTON_LEFT] = 0x01,   [INPUT_BUTTON_RIGHT] = 0x02,
		[INPUT_BUTTON_MIDDLE] = 0x04, [INPUT_BUTTON_SIDE] = 0x08,
		[INPUT_BUTTON_EXTRA] = 0x10,
	};

	if (button == INPUT_BUTTON_WHEEL_UP)
		mouse->dz -= down && mouse->dz > -127;
	else if (button == INPUT_BUTTON_WHEEL_DOWN)
		mouse->dz += down && mouse->dz < 127;
	else if (down)
		mouse->buttons |= bits[button];
	else
		mouse->buttons &= (uint8_t)~bits[button];
}

void ps2_mouse_move(Ps2Mouse *mouse, InputAxis axis, int32_t by)
{
	/* Up is positive here. */
	int32_t *value = axis == INPUT_AXIS_X ? &mouse->dx : &mouse->dy;

	by = CLAMP(by, -INPUT_POSITION_MAX, INPUT_POSITION_MAX);
	*value = CLAMP(*value + (axis == INPUT_AXIS_X ? by : -by), -INPUT_POSITION_MAX,
		       INPUT_POSITION_MAX);
}

void ps2_mouse_sync(Ps2Mouse *mouse)
{
	const unsigned longest_packet = 4;

	if (!mouse->enabled || mouse->remote)
		return;
	do {
		if (mouse->queue.n + longest_packet > PS2_QUEUE_SIZE)
			return;
		mouse_packet(mouse, false);
	} while (mouse->dx || mouse->dy || mouse->dz);
}

static bool queue_is_good(const Ps2Queue *queue, GError **error)
{
	if (queue->first < PS2_QUEUE_SIZE && queue->n <= PS2_QUEUE_SIZE)
		return true;
	return error_fail(error, "more bytes from a keyboard or mouse than there is room for");
}

static bool keyboard_loaded(void *object, GError **error)
{
	const Ps2Keyboard *keyboard = object;

	return queue_is_good(&keyboard->queue, error);
}

static bool is_movement(int32_t by)
{
	return by >= -INPUT_POSITION_MAX && by <= INPUT_POSITION_MAX;
}

static bool mouse_loaded(void *object, GError **error)
{
	const Ps2Mouse *mouse = object;

	if (mouse->knock > 2 ||
	    (mouse->id != 0 && mouse->id != MOUSE_ID_WHEEL && mouse->id != MOUSE_ID_BUTTONS))
		return error_fail(error, "there is no such mouse");
	if (!is_movement(mouse->dx) || !is_movement(mouse->dy) || !is_movement(mouse->dz))
		return error_fail(error, "a mouse has moved too far");
	return queue_is_good(&mouse->queue, error);
}

#define QUEUE_FIELDS(type)                                                             \
	{                                                                              \
		.name = "queue", .kind = STATE_BYTES, .offset = offsetof(type, queue), \
		.element_size = sizeof(Ps2Queue)                                       \
	}

const StateTable ps2_keyboard_state = {
	.name = "ps2-keyboard",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			QUEUE_FIELDS(Ps2Keyboard),
			STATE_FIELD(Ps2Keyboard, enabled, STATE_BOOL),
			STATE_FIELD(Ps2Keyboard, command, STATE_UINT8),
			STATE_FIELD(Ps2Keyboard, scan_set, STATE_UINT8),
			STATE_FIELD(Ps2Keyboard, leds, STATE_UINT8),
			STATE_FIELD(Ps2Keyboard, rate, STATE_UINT8),
			STATE_END,
		},
	.after_load = keyboard_loaded,
};

const StateTable ps2_mouse_state = {
	.name = "ps2-mouse",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			QUEUE_FIELDS(Ps2Mouse),
			STATE_FIELD(Ps2Mouse, enabled, STATE_BOOL),
			STATE_FIELD(Ps2Mouse, remote, STATE_BOOL),
			STATE_FIELD(Ps2Mouse, scaling_2_1, STATE_BOOL),
			STATE_FIELD(Ps2Mouse, wrap, STATE_BOOL),
			STATE_FIELD(Ps2Mouse, command, STATE_UINT8),
			STATE_FIELD(Ps2Mouse, rate, STATE_UINT8),
			STATE_FIELD(Ps2Mouse, resolution, STATE_UINT8),
			STATE_FIELD(Ps2Mouse, id, STATE_UINT8),
			STATE_FIELD(Ps2Mouse, knock, STATE_UINT8),
			STATE_FIELD(Ps2Mouse, buttons, STATE_UINT8),
			STATE_FIELD(Ps2Mouse, dx, STATE_UINT32),
			STATE_FIELD(Ps2Mouse, dy, STATE_UINT32),
			STATE_FIELD(Ps2Mouse, dz, STATE_UINT32),
			STATE_END,
		},
	.after_load = mouse_loaded,
};
