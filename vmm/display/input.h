/*
 * input.h: keys and pointers, from clients to the devices of the guest
 *
 * A device (PS/2, virtio) says what it takes and whether the guest listens to it. An event goes to
 * one device: the newest that takes such events and is listened to. Keys are those of Linux
 * (linux/input-event-codes.h), positions 0 to INPUT_POSITION_MAX over the whole screen.
 *
 * Main thread, but for input_device_set_active().
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define INPUT_POSITION_MAX 0x7fff
/* Keys of one input_send_keys(). */
#define INPUT_KEYS_MAX 64u

typedef struct InputDevice InputDevice;
typedef struct InputRouter InputRouter;

/* What a device takes. */
typedef enum InputKind {
	INPUT_KEYBOARD = 1,
	INPUT_RELATIVE = 2, /* a mouse */
	INPUT_ABSOLUTE = 4, /* a tablet */
} InputKind;

typedef enum InputAxis { INPUT_AXIS_X, INPUT_AXIS_Y } InputAxis;

/* In the order of RFB's mask, then the rest. */
typedef enum InputButton {
	INPUT_BUTTON_LEFT,
	INPUT_BUTTON_MIDDLE,
	INPUT_BUTTON_RIGHT,
	INPUT_BUTTON_WHEEL_UP,
	INPUT_BUTTON_WHEEL_DOWN,
	INPUT_BUTTON_WHEEL_LEFT,
	INPUT_BUTTON_WHEEL_RIGHT,
	INPUT_BUTTON_SIDE,
	INPUT_BUTTON_EXTRA,
	INPUT_BUTTONS,
} InputButton;

/* What a device does with events; those of kinds that it does not take may be NULL. */
typedef struct InputDeviceOps {
	void (*key)(void *opaque, unsigned code, bool down);
	void (*button)(void *opaque, InputButton button, bool down);
	void (*move)(void *opaque, InputAxis axis, int32_t by);
	void (*position)(void *opaque, InputAxis axis, int32_t at);
	/* The events since the last one belong together. */
	void (*sync)(void *opaque);
} InputDeviceOps;

/* Without devices. */
InputRouter *input_router_new(void);
/* No device is left. */
void input_router_free(InputRouter *router);

/*
 * A device that takes @kinds (InputKind, or-ed), not listened to at first. @id may be NULL and is
 * copied; @ops is static.
 */
InputDevice *input_add_device(InputRouter *router, const char *id, unsigned kinds,
			      const InputDeviceOps *ops, void *opaque);
void input_remove_device(InputRouter *router, InputDevice *device);

/* Whether the guest listens to @device. Any thread. */
void input_device_set_active(InputDevice *device, bool active);

/* Whether a device takes events of one of @kinds now; whether device @id (NULL: any) does. */
bool input_has(const InputRouter *router, unsigned kinds);
bool input_has_device(const InputRouter *router, const char *id, unsigned kinds);

/*
 * An event, for device @id or (NULL) the one that is due; false where there is none. Keys and
 * buttons that are down already, or up, are passed on all the same, but for
 * input_release_all(), which lets go of what is down.
 */
bool input_key(InputRouter *router, const char *id, unsigned code, bool down);
bool input_button(InputRouter *router, const char *id, InputButton button, bool down);
bool input_move(InputRouter *router, const char *id, InputAxis axis, int32_t by);
bool input_position(InputRouter *router, const char *id, InputAxis axis, int32_t at);
/* End of a group of events: every device that had some is told. */
void input_sync(InputRouter *router);
void input_release_all(InputRouter *router);

/*
 * Press @n keys (at most INPUT_KEYS_MAX) one after the other, and release them @hold_ms
 * milliseconds later, last first; after those of earlier calls. False where there is no keyboard.
 */
bool input_send_keys(InputRouter *router, const unsigned *codes, unsigned n, unsigned hold_ms);
