/*
 * ps2.h: a keyboard and a mouse as they hang on an i8042
 *
 * Nothing here locks: the controller does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/device/state.h"
#include "vmm/display/input.h"

#define PS2_QUEUE_SIZE 32u

/* Bytes on their way to the controller. */
typedef struct Ps2Queue {
	uint8_t bytes[PS2_QUEUE_SIZE];
	uint8_t first, n;
} Ps2Queue;

typedef struct Ps2Keyboard {
	Ps2Queue queue;
	bool enabled;	  /* sends keys */
	uint8_t command;  /* that waits for its argument; 0: none */
	uint8_t scan_set; /* 1 or 2 */
	uint8_t leds, rate;
} Ps2Keyboard;

typedef struct Ps2Mouse {
	Ps2Queue queue;
	bool enabled, remote, scaling_2_1, wrap;
	uint8_t command, rate, resolution;
	uint8_t id;	    /* 0: three buttons, 3: a wheel, too; 4: and five buttons */
	uint8_t knock;	    /* how far the rates that ask for more have come */
	uint8_t buttons;    /* left, right, middle, side, extra: bits 0 to 4 */
	int32_t dx, dy, dz; /* moved since the last packet */
} Ps2Mouse;

extern const StateTable ps2_keyboard_state, ps2_mouse_state;

/* Whether a byte waits, and take it (0 if none does). */
bool ps2_queue_has(const Ps2Queue *queue);
uint8_t ps2_queue_take(Ps2Queue *queue);

/* As after power-on. */
void ps2_keyboard_init(Ps2Keyboard *keyboard);
void ps2_mouse_init(Ps2Mouse *mouse);

/* The controller sends @byte to the device. */
void ps2_keyboard_write(Ps2Keyboard *keyboard, uint8_t byte);
void ps2_mouse_write(Ps2Mouse *mouse, uint8_t byte);

/* The user did something. Keys for which there is no room are lost, movements add up. */
void ps2_keyboard_key(Ps2Keyboard *keyboard, unsigned code, bool down);
void ps2_mouse_button(Ps2Mouse *mouse, InputButton button, bool down);
void ps2_mouse_move(Ps2Mouse *mouse, InputAxis axis, int32_t by);
/* Queue a packet of what the mouse did since the last one, if there is room. */
void ps2_mouse_sync(Ps2Mouse *mouse);
