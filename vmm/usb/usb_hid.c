/*
 * usb_hid.c: keyboard, mouse and tablet on USB (HID 1.11, HID Usage Tables 1.12)
 *
 * One interface with one interrupt IN endpoint. What the user does waits in a queue of reports, so
 * that a key which is pressed and released between two looks of the guest is not lost; while the
 * queue is full, movements are merged and the newest keys dropped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/usb/usb_hid.h"
#include "vmm/base/error.h"
#include "vmm/display/display.h"
#include "vmm/display/input.h"

#include <linux/input-event-codes.h>
#include <string.h>

#define ENDPOINT       1u
#define QUEUE_SIZE     32u
#define KEYS_DOWN      6u /* in a boot keyboard's report */
#define ROLL_OVER      1u /* usage that says: more keys are down than that */
#define REPORT_SIZE    8u /* the longest: a keyboard's */
#define FIRST_MODIFIER 0xe0u

enum {
	REQUEST_GET_REPORT = 1,
	REQUEST_GET_IDLE = 2,
	REQUEST_GET_PROTOCOL = 3,
	REQUEST_SET_REPORT = 9,
	REQUEST_SET_IDLE = 10,
	REQUEST_SET_PROTOCOL = 11,
	REQUEST_GET_DESCRIPTOR = 6, /* of the interface */

	DESCRIPTOR_HID = 0x21,
	DESCRIPTOR_REPORT = 0x22,

	PROTOCOL_BOOT = 0,
	PROTOCOL_REPORT = 1,
	REPORT_INPUT = 1,
};

/* Where the HID descriptor is in the configuration below: behind configuration and interface. */
#define HID_OFFSET 18
#define HID_SIZE   9

/* Configuration, interface, HID, endpoint; @protocol is 0 where there is no boot protocol. */
#define CONFIGURATION(report, protocol, packet, interval)                                         \
	{                                                                                         \
		9, 2, 34, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0, 1, 3, (protocol) ? 1 : 0, (protocol), \
			0, HID_SIZE, DESCRIPTOR_HID, 0x11, 0x01, 0, 1, DESCRIPTOR_REPORT,         \
			sizeof(report), 0, 7, 5, USB_TO_HOST | ENDPOINT, 3, (packet), 0,          \
			(interval)                                                                \
	}

static const uint8_t keyboard_report[] = {
	0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, /* generic desktop, keyboard: application */
	0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, /* keys 0xe0 to 0xe7 */
	0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, /* are eight bits */
	0x95, 0x01, 0x75, 0x08, 0x81, 0x01,			    /* a byte of nothing */
	0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, /* five LEDs */
	0x95, 0x01, 0x75, 0x03, 0x91, 0x01,		      /* and what fills their byte */
	0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, /* six bytes: */
	0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00, /* keys that are down */
	0xc0,
};

static const uint8_t mouse_report[] = {
	0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, /* generic desktop, mouse */
	0x05, 0x09, 0x19, 0x01, 0x29, 0x05,			    /* buttons 1 to 5 */
	0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01,
	0x75, 0x03, 0x81, 0x01, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, /* X, Y, wheel */
	0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06, /* signed bytes, relative */
	0xc0, 0xc0,
};

static const uint8_t tablet_report[] = {
	0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, /* generic desktop, mouse */
	0x05, 0x09, 0x19, 0x01, 0x29, 0x05,			    /* buttons 1 to 5 */
	0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01,
	0x75, 0x03, 0x81, 0x01, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, /* X, Y: 0 to 0x7fff, absolute
								     */
	0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10,
	0x95, 0x02, 0x81, 0x02, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00,
	0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06, 0xc0, 0xc0,
};

static const uint8_t keyboard_configuration[] = CONFIGURATION(keyboard_report, 1, 8, 10);
static const uint8_t mouse_configuration[] = CONFIGURATION(mouse_report, 2, 4, 8);
static const uint8_t tablet_configuration[] = CONFIGURATION(tablet_report, 0, 8, 8);

/* Usages of the keyboard page, by key of Linux; 0: none. */
static const uint8_t usages[] = {
	[KEY_A] = 0x04,		 [KEY_B] = 0x05,	  [KEY_C] = 0x06,
	[KEY_D] = 0x07,		 [KEY_E] = 0x08,	  [KEY_F] = 0x09,
	[KEY_G] = 0x0a,		 [KEY_H] = 0x0b,	  [KEY_I] = 0x0c,
	[KEY_J] = 0x0d,		 [KEY_K] = 0x0e,	  [KEY_L] = 0x0f,
	[KEY_M] = 0x10,		 [KEY_N] = 0x11,	  [KEY_O] = 0x12,
	[KEY_P] = 0x13,		 [KEY_Q] = 0x14,	  [KEY_R] = 0x15,
	[KEY_S] = 0x16,		 [KEY_T] = 0x17,	  [KEY_U] = 0x18,
	[KEY_V] = 0x19,		 [KEY_W] = 0x1a,	  [KEY_X] = 0x1b,
	[KEY_Y] = 0x1c,		 [KEY_Z] = 0x1d,	  [KEY_1] = 0x1e,
	[KEY_2] = 0x1f,		 [KEY_3] = 0x20,	  [KEY_4] = 0x21,
	[KEY_5] = 0x22,		 [KEY_6] = 0x23,	  [KEY_7] = 0x24,
	[KEY_8] = 0x25,		 [KEY_9] = 0x26,	  [KEY_0] = 0x27,
	[KEY_ENTER] = 0x28,	 [KEY_ESC] = 0x29,	  [KEY_BACKSPACE] = 0x2a,
	[KEY_TAB] = 0x2b,	 [KEY_SPACE] = 0x2c,	  [KEY_MINUS] = 0x2d,
	[KEY_EQUAL] = 0x2e,	 [KEY_LEFTBRACE] = 0x2f,  [KEY_RIGHTBRACE] = 0x30,
	[KEY_BACKSLASH] = 0x31,	 [KEY_SEMICOLON] = 0x33,  [KEY_APOSTROPHE] = 0x34,
	[KEY_GRAVE] = 0x35,	 [KEY_COMMA] = 0x36,	  [KEY_DOT] = 0x37,
	[KEY_SLASH] = 0x38,	 [KEY_CAPSLOCK] = 0x39,	  [KEY_F1] = 0x3a,
	[KEY_F2] = 0x3b,	 [KEY_F3] = 0x3c,	  [KEY_F4] = 0x3d,
	[KEY_F5] = 0x3e,	 [KEY_F6] = 0x3f,	  [KEY_F7] = 0x40,
	[KEY_F8] = 0x41,	 [KEY_F9] = 0x42,	  [KEY_F10] = 0x43,
	[KEY_F11] = 0x44,	 [KEY_F12] = 0x45,	  [KEY_SYSRQ] = 0x46,
	[KEY_SCROLLLOCK] = 0x47, [KEY_PAUSE] = 0x48,	  [KEY_INSERT] = 0x49,
	[KEY_HOME] = 0x4a,	 [KEY_PAGEUP] = 0x4b,	  [KEY_DELETE] = 0x4c,
	[KEY_END] = 0x4d,	 [KEY_PAGEDOWN] = 0x4e,	  [KEY_RIGHT] = 0x4f,
	[KEY_LEFT] = 0x50,	 [KEY_DOWN] = 0x51,	  [KEY_UP] = 0x52,
	[KEY_NUMLOCK] = 0x53,	 [KEY_KPSLASH] = 0x54,	  [KEY_KPASTERISK] = 0x55,
	[KEY_KPMINUS] = 0x56,	 [KEY_KPPLUS] = 0x57,	  [KEY_KPENTER] = 0x58,
	[KEY_KP1] = 0x59,	 [KEY_KP2] = 0x5a,	  [KEY_KP3] = 0x5b,
	[KEY_KP4] = 0x5c,	 [KEY_KP5] = 0x5d,	  [KEY_KP6] = 0x5e,
	[KEY_KP7] = 0x5f,	 [KEY_KP8] = 0x60,	  [KEY_KP9] = 0x61,
	[KEY_KP0] = 0x62,	 [KEY_KPDOT] = 0x63,	  [KEY_102ND] = 0x64,
	[KEY_COMPOSE] = 0x65,	 [KEY_POWER] = 0x66,	  [KEY_KPEQUAL] = 0x67,
	[KEY_F13] = 0x68,	 [KEY_F14] = 0x69,	  [KEY_F15] = 0x6a,
	[KEY_F16] = 0x6b,	 [KEY_F17] = 0x6c,	  [KEY_F18] = 0x6d,
	[KEY_F19] = 0x6e,	 [KEY_F20] = 0x6f,	  [KEY_F21] = 0x70,
	[KEY_F22] = 0x71,	 [KEY_F23] = 0x72,	  [KEY_F24] = 0x73,
	[KEY_MUTE] = 0x7f,	 [KEY_VOLUMEUP] = 0x80,	  [KEY_VOLUMEDOWN] = 0x81,
	[KEY_KPCOMMA] = 0x85,	 [KEY_RO] = 0x87,	  [KEY_KATAKANAHIRAGANA] = 0x88,
	[KEY_YEN] = 0x89,	 [KEY_HENKAN] = 0x8a,	  [KEY_MUHENKAN] = 0x8b,
	[KEY_HANGEUL] = 0x90,	 [KEY_HANJA] = 0x91,	  [KEY_LEFTCTRL] = 0xe0,
	[KEY_LEFTSHIFT] = 0xe1,	 [KEY_LEFTALT] = 0xe2,	  [KEY_LEFTMETA] = 0xe3,
	[KEY_RIGHTCTRL] = 0xe4,	 [KEY_RIGHTSHIFT] = 0xe5, [KEY_RIGHTALT] = 0xe6,
	[KEY_RIGHTMETA] = 0xe7,
};

/* What the user did, in the order in which he did it. */
typedef struct HidEvent {
	uint8_t usage, down; /* keyboard */
	uint8_t buttons;     /* pointers, from here on: a bit for each */
	int8_t wheel;
	int32_t x, y; /* mouse: how far since the last one; tablet: where */
} HidEvent;

typedef struct UsbHid {
	UsbDevice usb;
	InputDevice *input;
	HidEvent next; /* main thread: the pointer's, until the group of events ends */
	bool moved;    /* main thread: there is something in it */

	/* The controller's lock. */
	HidEvent queue[QUEUE_SIZE];
	uint32_t first, n_queued;
	uint8_t down[32]; /* keyboard: a bit for each usage */
	HidEvent shown;	  /* pointers: buttons and position that the guest knows */
	uint8_t leds, idle, protocol;
} UsbHid;

static UsbHid *hid_of(UsbDevice *usb)
{
	return (UsbHid *)usb;
}

static bool is_keyboard(const UsbHid *hid)
{
	return usb_device_type(&hid->usb) == &usb_keyboard_type;
}

static bool is_tablet(const UsbHid *hid)
{
	return usb_device_type(&hid->usb) == &usb_tablet_type;
}

/* What the user does; main thread */

static HidEvent *newest(UsbHid *hid)
{
	return hid->n_queued ? &hid->queue[(hid->first + hid->n_queued - 1) % QUEUE_SIZE] : NULL;
}

/* No user moves further than that between two looks of the guest. */
static int32_t add_movement(int32_t a, int32_t b)
{
	int64_t sum = (int64_t)a + b;

	return (int32_t)CLAMP(sum, -INPUT_POSITION_MAX, INPUT_POSITION_MAX);
}

/* Add @event, or merge it with the newest where only the position differs or nothing else goes. */
static void enqueue(UsbHid *hid, const HidEvent *event)
{
	HidEvent *last = newest(hid);

	if (last && !is_keyboard(hid) &&
	    (hid->n_queued == QUEUE_SIZE ||
	     (last->buttons == event->buttons && !last->wheel && !event->wheel))) {
		last->x = is_tablet(hid) ? event->x : add_movement(last->x, event->x);
		last->y = is_tablet(hid) ? event->y : add_movement(last->y, event->y);
		last->buttons = event->buttons;
	} else if (hid->n_queued < QUEUE_SIZE) {
		hid->queue[(hid->first + hid->n_queued++) % QUEUE_SIZE] = *event;
	}
}

static void hid_on_key(void *opaque, unsigned code, bool down)
{
	UsbHid *hid = opaque;
	HidEvent event = { .down = down };

	if (code >= G_N_ELEMENTS(usages) || !usages[code])
		return;
	event.usage = usages[code];
	usb_device_lock(&hid->usb);
	enqueue(hid, &event);
	usb_device_ready(&hid->usb, ENDPOINT);
	usb_device_unlock(&hid->usb);
}

static void hid_on_button(void *opaque, InputButton button, bool down)
{
	static const uint8_t bits[INPUT_BUTTONS] = {
		[INPUT_BUTTON_LEFT] = 1, [INPUT_BUTTON_RIGHT] = 2,  [INPUT_BUTTON_MIDDLE] = 4,
		[INPUT_BUTTON_SIDE] = 8, [INPUT_BUTTON_EXTRA] = 16,
	};
	UsbHid *hid = opaque;

	if (button == INPUT_BUTTON_WHEEL_UP || button == INPUT_BUTTON_WHEEL_DOWN) {
		if (!down)
			return;
		hid->next.wheel = button == INPUT_BUTTON_WHEEL_UP ? 1 : -1;
	} else if (down) {
		hid->next.buttons |= bits[button];
	} else {
		hid->next.buttons &= (uint8_t)~bits[button];
	}
	hid->moved = true;
}

static void hid_on_move(void *opaque, InputAxis axis, int32_t by)
{
	UsbHid *hid = opaque;

	int32_t *sum = axis == INPUT_AXIS_X ? &hid->next.x : &hid->next.y;

	*sum = add_movement(*sum, by);
	hid->moved = true;
}

static void hid_on_position(void *opaque, InputAxis axis, int32_t at)
{
	UsbHid *hid = opaque;

	*(axis == INPUT_AXIS_X ? &hid->next.x : &hid->next.y) = CLAMP(at, 0, INPUT_POSITION_MAX);
	hid->moved = true;
}

static void hid_on_sync(void *opaque)
{
	UsbHid *hid = opaque;

	if (!hid->moved)
		return;
	usb_device_lock(&hid->usb);
	enqueue(hid, &hid->next);
	usb_device_ready(&hid->usb, ENDPOINT);
	usb_device_unlock(&hid->usb);
	hid->moved = false;
	hid->next.wheel = 0;
	if (!is_tablet(hid))
		hid->next.x = hid->next.y = 0;
}

static void keyboard_on_sync(void *opaque)
{
	(void)opaque; /* each key is a report */
}

static const InputDeviceOps keyboard_ops = { .key = hid_on_key, .sync = keyboard_on_sync };
static const InputDeviceOps pointer_ops = {
	.button = hid_on_button,
	.move = hid_on_move,
	.position = hid_on_position,
	.sync = hid_on_sync,
};

/* Reports; the controller's lock is held from here on */

static size_t keyboard_fill(UsbHid *hid, uint8_t *report)
{
	unsigned n = 0;

	memset(report, 0, REPORT_SIZE);
	report[0] = hid->down[FIRST_MODIFIER / 8];
	for (unsigned usage = 4; usage < FIRST_MODIFIER; usage++) {
		if (!(hid->down[usage / 8] >> usage % 8 & 1))
			continue;
		if (n < KEYS_DOWN)
			report[2 + n] = (uint8_t)usage;
		n++;
	}
	if (n > KEYS_DOWN)
		memset(report + 2, ROLL_OVER, KEYS_DOWN);
	return REPORT_SIZE;
}

static size_t mouse_fill(UsbHid *hid, uint8_t *report)
{
	report[0] = hid->shown.buttons;
	report[1] = (uint8_t)CLAMP(hid->shown.x, -127, 127);
	report[2] = (uint8_t)CLAMP(hid->shown.y, -127, 127);
	report[3] = (uint8_t)hid->shown.wheel;
	/* The boot protocol has no wheel. */
	return hid->protocol == PROTOCOL_BOOT ? 3 : 4;
}

static size_t tablet_fill(UsbHid *hid, uint8_t *report)
{
	report[0] = hid->shown.buttons;
	report[1] = (uint8_t)hid->shown.x;
	report[2] = (uint8_t)(hid->shown.x >> 8);
	report[3] = (uint8_t)hid->shown.y;
	report[4] = (uint8_t)(hid->shown.y >> 8);
	report[5] = (uint8_t)hid->shown.wheel;
	return 6;
}

static size_t fill(UsbHid *hid, uint8_t *report)
{
	if (is_keyboard(hid))
		return keyboard_fill(hid, report);
	return is_tablet(hid) ? tablet_fill(hid, report) : mouse_fill(hid, report);
}

/* Make the oldest event what is shown; false if there is none. */
static bool advance(UsbHid *hid)
{
	HidEvent *event = &hid->queue[hid->first];

	if (hid->n_queued == 0)
		return false;
	if (is_keyboard(hid)) {
		uint8_t bit = (uint8_t)(1u << event->usage % 8);

		if (event->down)
			hid->down[event->usage / 8] |= bit;
		else
			hid->down[event->usage / 8] &= (uint8_t)~bit;
	} else {
		hid->shown = *event;
		if (!is_tablet(hid)) {
			/* What a report has no room for comes in the next one. */
			event->x -= CLAMP(event->x, -127, 127);
			event->y -= CLAMP(event->y, -127, 127);
			event->wheel = 0;
			if (event->x || event->y)
				return true;
		}
	}
	hid->first = (hid->first + 1) % QUEUE_SIZE;
	hid->n_queued--;
	return true;
}

static int hid_interrupt_in(UsbDevice *usb, unsigned endpoint, uint8_t *data, size_t size)
{
	UsbHid *hid = hid_of(usb);
	uint8_t report[REPORT_SIZE];
	size_t length;

	if (endpoint != ENDPOINT)
		return USB_STALL;
	if (!advance(hid))
		return USB_NAK;
	length = MIN(fill(hid, report), size);
	memcpy(data, report, length);
	/* Said once. */
	hid->shown.wheel = 0;
	if (!is_tablet(hid))
		hid->shown.x = hid->shown.y = 0;
	return (int)length;
}

static int give(uint8_t *data, const UsbSetup *setup, const void *answer, size_t size)
{
	size = MIN(size, setup->length);
	memcpy(data, answer, size);
	return (int)size;
}

static int give_descriptor(UsbHid *hid, const UsbSetup *setup, uint8_t *data)
{
	const UsbDeviceType *type = usb_device_type(&hid->usb);

	if (setup->value >> 8 == DESCRIPTOR_HID)
		return give(data, setup, type->configuration + HID_OFFSET, HID_SIZE);
	if (setup->value >> 8 != DESCRIPTOR_REPORT)
		return USB_STALL;
	if (is_keyboard(hid))
		return give(data, setup, keyboard_report, sizeof(keyboard_report));
	if (is_tablet(hid))
		return give(data, setup, tablet_report, sizeof(tablet_report));
	return give(data, setup, mouse_report, sizeof(mouse_report));
}

static int hid_class_request(UsbHid *hid, const UsbSetup *setup, uint8_t *data)
{
	uint8_t report[REPORT_SIZE];

	switch (setup->request) {
	case REQUEST_GET_REPORT:
		if (setup->value >> 8 != REPORT_INPUT)
			return USB_STALL;
		return give(data, setup, report, fill(hid, report));
	case REQUEST_SET_REPORT:
		if (setup->length > 0)
			hid->leds = data[0];
		return 0;
	case REQUEST_GET_IDLE:
		return give(data, setup, &hid->idle, 1);
	case REQUEST_SET_IDLE:
		/* Only changes are reported, whatever the rate: one of 0 (§7.2.4) is what drivers
		 * set. */
		hid->idle = setup->value >> 8;
		return 0;
	case REQUEST_GET_PROTOCOL:
		return give(data, setup, &hid->protocol, 1);
	case REQUEST_SET_PROTOCOL:
		if (setup->value > PROTOCOL_REPORT)
			return USB_STALL;
		hid->protocol = (uint8_t)setup->value;
		return 0;
	default:
		return USB_STALL;
	}
}

static int hid_control(UsbDevice *usb, const UsbSetup *setup, uint8_t *data)
{
	uint8_t kind = setup->request_type & (uint8_t)~USB_TO_HOST;
	bool asks = setup->request == REQUEST_GET_REPORT || setup->request == REQUEST_GET_IDLE ||
		    setup->request == REQUEST_GET_PROTOCOL || kind == USB_TO_INTERFACE;

	if (asks != !!(setup->request_type & USB_TO_HOST))
		return USB_STALL;
	if (kind == USB_TO_INTERFACE && setup->request == REQUEST_GET_DESCRIPTOR)
		return give_descriptor(hid_of(usb), setup, data);
	if (kind == (USB_TYPE_CLASS | USB_TO_INTERFACE))
		return hid_class_request(hid_of(usb), setup, data);
	return USB_STALL;
}

static void hid_configured(UsbDevice *usb, bool configured)
{
	UsbHid *hid = hid_of(usb);

	input_device_set_active(hid->input, configured);
	if (configured)
		return;
	hid->n_queued = 0;
	hid->protocol = PROTOCOL_REPORT;
	hid->leds = hid->idle = 0;
	memset(hid->down, 0, sizeof(hid->down));
	hid->shown = (HidEvent){ .x = hid->shown.x, .y = hid->shown.y };
}

/* Life */

static bool hid_realize(Device *device, GError **error)
{
	UsbHid *hid = (UsbHid *)device;
	InputRouter *router = display_input(device->services->display);

	(void)error;
	hid->protocol = PROTOCOL_REPORT;
	if (is_keyboard(hid))
		hid->input =
			input_add_device(router, device->id, INPUT_KEYBOARD, &keyboard_ops, hid);
	else
		hid->input = input_add_device(router, device->id,
					      is_tablet(hid) ? INPUT_ABSOLUTE : INPUT_RELATIVE,
					      &pointer_ops, hid);
	return true;
}

static void hid_unrealize(Device *device)
{
	input_remove_device(display_input(device->services->display), ((UsbHid *)device)->input);
}

static void hid_reset(Device *device)
{
	UsbDevice *usb = (UsbDevice *)device;

	usb_device_lock(usb);
	usb_device_reset_bus(usb);
	usb_device_unlock(usb);
}

static const StateTable hid_event_state = {
	.name = "usb-hid-event",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(HidEvent, usage, STATE_UINT8),
			STATE_FIELD(HidEvent, down, STATE_UINT8),
			STATE_FIELD(HidEvent, buttons, STATE_UINT8),
			STATE_FIELD(HidEvent, wheel, STATE_UINT8),
			STATE_FIELD(HidEvent, x, STATE_UINT32),
			STATE_FIELD(HidEvent, y, STATE_UINT32),
			STATE_END,
		},
};

static bool hid_loaded(void *object, GError **error)
{
	UsbHid *hid = object;

	if (hid->first >= QUEUE_SIZE || hid->n_queued > QUEUE_SIZE ||
	    hid->protocol > PROTOCOL_REPORT)
		return error_fail(error, "%s has more waiting than it has room for",
				  hid->usb.device.path);
	input_device_set_active(hid->input, hid->usb.configuration != 0);
	return true;
}

static const StateTable hid_state = {
	.name = "usb-hid",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_PART(UsbHid, usb, &usb_device_state),
			{ .name = "queue",
			  .kind = STATE_STRUCT,
			  .offset = offsetof(UsbHid, queue),
			  .element_size = sizeof(HidEvent),
			  .count = QUEUE_SIZE,
			  .sub_table = &hid_event_state },
			STATE_FIELD(UsbHid, first, STATE_UINT32),
			STATE_FIELD(UsbHid, n_queued, STATE_UINT32),
			STATE_RAW(UsbHid, down),
			STATE_PART(UsbHid, shown, &hid_event_state),
			STATE_FIELD(UsbHid, leds, STATE_UINT8),
			STATE_FIELD(UsbHid, idle, STATE_UINT8),
			STATE_FIELD(UsbHid, protocol, STATE_UINT8),
			STATE_END,
		},
	.after_load = hid_loaded,
};

#define HID_TYPE(name_, description_, product_, product_name_, configuration_)                       \
	{                                                                                            \
		.device = {                                                                        \
			.name = name_,                                                             \
			.description = description_,                                               \
			.category = "Input",                                                       \
			.bus_kind = USB_BUS_KIND,                                                  \
			.instance_size = sizeof(UsbHid),                                           \
			.properties = { usb_device_properties },                                   \
			.state = &hid_state,                                                       \
			.hotpluggable = true,                                                      \
			.user_creatable = true,                                                    \
			.realize = hid_realize,                                                    \
			.unrealize = hid_unrealize,                                                \
			.reset = hid_reset,                                                        \
		},                                                                                 \
		.product = product_,                                                               \
		.product_name = product_name_,                                                     \
		.configuration = configuration_,                                                   \
		.configuration_size = sizeof(configuration_),                                      \
		.control = hid_control,                                                            \
		.interrupt_in = hid_interrupt_in,                                                  \
		.configured = hid_configured, \
	}

const UsbDeviceType usb_keyboard_type =
	HID_TYPE("usb-kbd", "USB keyboard", 1, "USB Keyboard", keyboard_configuration);
const UsbDeviceType usb_mouse_type =
	HID_TYPE("usb-mouse", "USB mouse", 2, "USB Mouse", mouse_configuration);
const UsbDeviceType usb_tablet_type =
	HID_TYPE("usb-tablet", "USB tablet: a pointer with a position", 3, "USB Tablet",
		 tablet_configuration);
