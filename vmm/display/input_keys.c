/*
 * input_keys.c: keys by all their names
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/input_keys.h"

#include <glib.h>
#include <linux/input-event-codes.h>

static const uint8_t key_of_qcode[QAPI_Q_KEY_CODE_COUNT] = {
	[QAPI_Q_KEY_CODE_SHIFT] = KEY_LEFTSHIFT,
	[QAPI_Q_KEY_CODE_SHIFT_R] = KEY_RIGHTSHIFT,
	[QAPI_Q_KEY_CODE_ALT] = KEY_LEFTALT,
	[QAPI_Q_KEY_CODE_ALT_R] = KEY_RIGHTALT,
	[QAPI_Q_KEY_CODE_CTRL] = KEY_LEFTCTRL,
	[QAPI_Q_KEY_CODE_CTRL_R] = KEY_RIGHTCTRL,
	[QAPI_Q_KEY_CODE_MENU] = KEY_MENU,
	[QAPI_Q_KEY_CODE_ESC] = KEY_ESC,
	[QAPI_Q_KEY_CODE_1] = KEY_1,
	[QAPI_Q_KEY_CODE_2] = KEY_2,
	[QAPI_Q_KEY_CODE_3] = KEY_3,
	[QAPI_Q_KEY_CODE_4] = KEY_4,
	[QAPI_Q_KEY_CODE_5] = KEY_5,
	[QAPI_Q_KEY_CODE_6] = KEY_6,
	[QAPI_Q_KEY_CODE_7] = KEY_7,
	[QAPI_Q_KEY_CODE_8] = KEY_8,
	[QAPI_Q_KEY_CODE_9] = KEY_9,
	[QAPI_Q_KEY_CODE_0] = KEY_0,
	[QAPI_Q_KEY_CODE_MINUS] = KEY_MINUS,
	[QAPI_Q_KEY_CODE_EQUAL] = KEY_EQUAL,
	[QAPI_Q_KEY_CODE_BACKSPACE] = KEY_BACKSPACE,
	[QAPI_Q_KEY_CODE_TAB] = KEY_TAB,
	[QAPI_Q_KEY_CODE_Q] = KEY_Q,
	[QAPI_Q_KEY_CODE_W] = KEY_W,
	[QAPI_Q_KEY_CODE_E] = KEY_E,
	[QAPI_Q_KEY_CODE_R] = KEY_R,
	[QAPI_Q_KEY_CODE_T] = KEY_T,
	[QAPI_Q_KEY_CODE_Y] = KEY_Y,
	[QAPI_Q_KEY_CODE_U] = KEY_U,
	[QAPI_Q_KEY_CODE_I] = KEY_I,
	[QAPI_Q_KEY_CODE_O] = KEY_O,
	[QAPI_Q_KEY_CODE_P] = KEY_P,
	[QAPI_Q_KEY_CODE_BRACKET_LEFT] = KEY_LEFTBRACE,
	[QAPI_Q_KEY_CODE_BRACKET_RIGHT] = KEY_RIGHTBRACE,
	[QAPI_Q_KEY_CODE_RET] = KEY_ENTER,
	[QAPI_Q_KEY_CODE_A] = KEY_A,
	[QAPI_Q_KEY_CODE_S] = KEY_S,
	[QAPI_Q_KEY_CODE_D] = KEY_D,
	[QAPI_Q_KEY_CODE_F] = KEY_F,
	[QAPI_Q_KEY_CODE_G] = KEY_G,
	[QAPI_Q_KEY_CODE_H] = KEY_H,
	[QAPI_Q_KEY_CODE_J] = KEY_J,
	[QAPI_Q_KEY_CODE_K] = KEY_K,
	[QAPI_Q_KEY_CODE_L] = KEY_L,
	[QAPI_Q_KEY_CODE_SEMICOLON] = KEY_SEMICOLON,
	[QAPI_Q_KEY_CODE_APOSTROPHE] = KEY_APOSTROPHE,
	[QAPI_Q_KEY_CODE_GRAVE_ACCENT] = KEY_GRAVE,
	[QAPI_Q_KEY_CODE_BACKSLASH] = KEY_BACKSLASH,
	[QAPI_Q_KEY_CODE_Z] = KEY_Z,
	[QAPI_Q_KEY_CODE_X] = KEY_X,
	[QAPI_Q_KEY_CODE_C] = KEY_C,
	[QAPI_Q_KEY_CODE_V] = KEY_V,
	[QAPI_Q_KEY_CODE_B] = KEY_B,
	[QAPI_Q_KEY_CODE_N] = KEY_N,
	[QAPI_Q_KEY_CODE_M] = KEY_M,
	[QAPI_Q_KEY_CODE_COMMA] = KEY_COMMA,
	[QAPI_Q_KEY_CODE_DOT] = KEY_DOT,
	[QAPI_Q_KEY_CODE_SLASH] = KEY_SLASH,
	[QAPI_Q_KEY_CODE_ASTERISK] = KEY_KPASTERISK,
	[QAPI_Q_KEY_CODE_SPC] = KEY_SPACE,
	[QAPI_Q_KEY_CODE_CAPS_LOCK] = KEY_CAPSLOCK,
	[QAPI_Q_KEY_CODE_F1] = KEY_F1,
	[QAPI_Q_KEY_CODE_F2] = KEY_F2,
	[QAPI_Q_KEY_CODE_F3] = KEY_F3,
	[QAPI_Q_KEY_CODE_F4] = KEY_F4,
	[QAPI_Q_KEY_CODE_F5] = KEY_F5,
	[QAPI_Q_KEY_CODE_F6] = KEY_F6,
	[QAPI_Q_KEY_CODE_F7] = KEY_F7,
	[QAPI_Q_KEY_CODE_F8] = KEY_F8,
	[QAPI_Q_KEY_CODE_F9] = KEY_F9,
	[QAPI_Q_KEY_CODE_F10] = KEY_F10,
	[QAPI_Q_KEY_CODE_NUM_LOCK] = KEY_NUMLOCK,
	[QAPI_Q_KEY_CODE_SCROLL_LOCK] = KEY_SCROLLLOCK,
	[QAPI_Q_KEY_CODE_KP_DIVIDE] = KEY_KPSLASH,
	[QAPI_Q_KEY_CODE_KP_MULTIPLY] = KEY_KPASTERISK,
	[QAPI_Q_KEY_CODE_KP_SUBTRACT] = KEY_KPMINUS,
	[QAPI_Q_KEY_CODE_KP_ADD] = KEY_KPPLUS,
	[QAPI_Q_KEY_CODE_KP_ENTER] = KEY_KPENTER,
	[QAPI_Q_KEY_CODE_KP_DECIMAL] = KEY_KPDOT,
	[QAPI_Q_KEY_CODE_SYSRQ] = KEY_SYSRQ,
	[QAPI_Q_KEY_CODE_KP_0] = KEY_KP0,
	[QAPI_Q_KEY_CODE_KP_1] = KEY_KP1,
	[QAPI_Q_KEY_CODE_KP_2] = KEY_KP2,
	[QAPI_Q_KEY_CODE_KP_3] = KEY_KP3,
	[QAPI_Q_KEY_CODE_KP_4] = KEY_KP4,
	[QAPI_Q_KEY_CODE_KP_5] = KEY_KP5,
	[QAPI_Q_KEY_CODE_KP_6] = KEY_KP6,
	[QAPI_Q_KEY_CODE_KP_7] = KEY_KP7,
	[QAPI_Q_KEY_CODE_KP_8] = KEY_KP8,
	[QAPI_Q_KEY_CODE_KP_9] = KEY_KP9,
	[QAPI_Q_KEY_CODE_LESS] = KEY_102ND,
	[QAPI_Q_KEY_CODE_F11] = KEY_F11,
	[QAPI_Q_KEY_CODE_F12] = KEY_F12,
	[QAPI_Q_KEY_CODE_PRINT] = KEY_SYSRQ,
	[QAPI_Q_KEY_CODE_HOME] = KEY_HOME,
	[QAPI_Q_KEY_CODE_PGUP] = KEY_PAGEUP,
	[QAPI_Q_KEY_CODE_PGDN] = KEY_PAGEDOWN,
	[QAPI_Q_KEY_CODE_END] = KEY_END,
	[QAPI_Q_KEY_CODE_LEFT] = KEY_LEFT,
	[QAPI_Q_KEY_CODE_UP] = KEY_UP,
	[QAPI_Q_KEY_CODE_DOWN] = KEY_DOWN,
	[QAPI_Q_KEY_CODE_RIGHT] = KEY_RIGHT,
	[QAPI_Q_KEY_CODE_INSERT] = KEY_INSERT,
	[QAPI_Q_KEY_CODE_DELETE] = KEY_DELETE,
	[QAPI_Q_KEY_CODE_STOP] = KEY_STOP,
	[QAPI_Q_KEY_CODE_AGAIN] = KEY_AGAIN,
	[QAPI_Q_KEY_CODE_PROPS] = KEY_PROPS,
	[QAPI_Q_KEY_CODE_UNDO] = KEY_UNDO,
	[QAPI_Q_KEY_CODE_FRONT] = KEY_FRONT,
	[QAPI_Q_KEY_CODE_COPY] = KEY_COPY,
	[QAPI_Q_KEY_CODE_OPEN] = KEY_OPEN,
	[QAPI_Q_KEY_CODE_PASTE] = KEY_PASTE,
	[QAPI_Q_KEY_CODE_FIND] = KEY_FIND,
	[QAPI_Q_KEY_CODE_CUT] = KEY_CUT,
	[QAPI_Q_KEY_CODE_LF] = KEY_LINEFEED,
	[QAPI_Q_KEY_CODE_HELP] = KEY_HELP,
	[QAPI_Q_KEY_CODE_META_L] = KEY_LEFTMETA,
	[QAPI_Q_KEY_CODE_META_R] = KEY_RIGHTMETA,
	[QAPI_Q_KEY_CODE_COMPOSE] = KEY_COMPOSE,
	[QAPI_Q_KEY_CODE_PAUSE] = KEY_PAUSE,
	[QAPI_Q_KEY_CODE_RO] = KEY_RO,
	[QAPI_Q_KEY_CODE_HIRAGANA] = KEY_HIRAGANA,
	[QAPI_Q_KEY_CODE_HENKAN] = KEY_HENKAN,
	[QAPI_Q_KEY_CODE_YEN] = KEY_YEN,
	[QAPI_Q_KEY_CODE_MUHENKAN] = KEY_MUHENKAN,
	[QAPI_Q_KEY_CODE_KATAKANAHIRAGANA] = KEY_KATAKANAHIRAGANA,
	[QAPI_Q_KEY_CODE_KP_COMMA] = KEY_KPCOMMA,
	[QAPI_Q_KEY_CODE_KP_EQUALS] = KEY_KPEQUAL,
	[QAPI_Q_KEY_CODE_POWER] = KEY_POWER,
	[QAPI_Q_KEY_CODE_SLEEP] = KEY_SLEEP,
	[QAPI_Q_KEY_CODE_WAKE] = KEY_WAKEUP,
	[QAPI_Q_KEY_CODE_AUDIONEXT] = KEY_NEXTSONG,
	[QAPI_Q_KEY_CODE_AUDIOPREV] = KEY_PREVIOUSSONG,
	[QAPI_Q_KEY_CODE_AUDIOSTOP] = KEY_STOPCD,
	[QAPI_Q_KEY_CODE_AUDIOPLAY] = KEY_PLAYPAUSE,
	[QAPI_Q_KEY_CODE_AUDIOMUTE] = KEY_MUTE,
	[QAPI_Q_KEY_CODE_VOLUMEUP] = KEY_VOLUMEUP,
	[QAPI_Q_KEY_CODE_VOLUMEDOWN] = KEY_VOLUMEDOWN,
	[QAPI_Q_KEY_CODE_MEDIASELECT] = KEY_MEDIA,
	[QAPI_Q_KEY_CODE_MAIL] = KEY_MAIL,
	[QAPI_Q_KEY_CODE_CALCULATOR] = KEY_CALC,
	[QAPI_Q_KEY_CODE_COMPUTER] = KEY_COMPUTER,
	[QAPI_Q_KEY_CODE_AC_HOME] = KEY_HOMEPAGE,
	[QAPI_Q_KEY_CODE_AC_BACK] = KEY_BACK,
	[QAPI_Q_KEY_CODE_AC_FORWARD] = KEY_FORWARD,
	[QAPI_Q_KEY_CODE_AC_REFRESH] = KEY_REFRESH,
	[QAPI_Q_KEY_CODE_AC_BOOKMARKS] = KEY_BOOKMARKS,
	[QAPI_Q_KEY_CODE_LANG1] = KEY_HANGEUL,
	[QAPI_Q_KEY_CODE_LANG2] = KEY_HANJA,
};

/* By code of Linux; up to F10 the codes are those of set 1. */
static const uint8_t scan_codes[INPUT_KEY_CODES] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
	0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d,
	0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c,
	0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b,
	0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a,
	0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0x53, 0x00, 0x76, 0x56, 0x57, 0x58, 0x73,
	0x78, 0x77, 0x79, 0x70, 0x7b, 0x00, 0x9c, 0x9d, 0xb5, 0xb7, 0xb8, 0x5b, 0xc7, 0xc8, 0xc9,
	0xcb, 0xcd, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0x00, 0xa0, 0xae, 0xb0, 0xde, 0x59, 0x00, 0xc6,
	0x00, 0x7e, 0x72, 0x71, 0x7d, 0xdb, 0xdc, 0xdd, 0xe8, 0x85, 0x86, 0x87, 0x8c, 0xf8, 0x64,
	0x65, 0xc1, 0xbc, 0xf5, 0x9e, 0xa1, 0x00, 0xdf, 0xe3, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0xec, 0xe6, 0xeb, 0xea, 0xe9, 0x00, 0x00, 0x00, 0x99, 0xa2,
	0x90, 0xa4, 0x00, 0x00, 0x00, 0x00, 0x00, 0xb2, 0xe7, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0xed, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00,
};

/* By scan code of set 1 (the inverse of what an i8042 translates). */
static const uint8_t scan_codes_set_2[128] = {
	0x00, 0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66,
	0x0d, 0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14,
	0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5d, 0x1a,
	0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11, 0x29, 0x58, 0x05,
	0x06, 0x04, 0x0c, 0x03, 0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e, 0x6c, 0x75, 0x7d, 0x7b,
	0x6b, 0x73, 0x74, 0x79, 0x69, 0x72, 0x7a, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78, 0x07, 0x0f,
	0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x56, 0x5e, 0x08, 0x10, 0x18, 0x20, 0x28,
	0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x6f, 0x13, 0x19, 0x39, 0x51, 0x53, 0x5c, 0x5f, 0x62,
	0x63, 0x64, 0x65, 0x67, 0x68, 0x6a, 0x6d, 0x6e,
};

/* By ASCII: the key, with NEEDS_SHIFT or-ed. */
#define NEEDS_SHIFT 0x80u
static const uint8_t keys_of_ascii[128] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x39, 0x82, 0xa8, 0x84, 0x85, 0x86, 0x88, 0x28, 0x8a, 0x8b, 0x89, 0x8d, 0x33,
	0x0c, 0x34, 0x35, 0x0b, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0xa7, 0x27,
	0xb3, 0x0d, 0xb4, 0xb5, 0x83, 0x9e, 0xb0, 0xae, 0xa0, 0x92, 0xa1, 0xa2, 0xa3, 0x97, 0xa4,
	0xa5, 0xa6, 0xb2, 0xb1, 0x98, 0x99, 0x90, 0x93, 0x9f, 0x94, 0x96, 0xaf, 0x91, 0xad, 0x95,
	0xac, 0x1a, 0x2b, 0x1b, 0x87, 0x8c, 0x29, 0x1e, 0x30, 0x2e, 0x20, 0x12, 0x21, 0x22, 0x23,
	0x17, 0x24, 0x25, 0x26, 0x32, 0x31, 0x18, 0x19, 0x10, 0x13, 0x1f, 0x14, 0x16, 0x2f, 0x11,
	0x2d, 0x15, 0x2c, 0x9a, 0xab, 0x9b, 0xa9, 0x00,
};

/* X11's keysyms (X11/keysymdef.h) that are no characters. */
static const struct {
	uint16_t keysym;
	uint8_t code;
} keys_of_keysyms[] = {
	{ 0xff08, KEY_BACKSPACE },  { 0xff09, KEY_TAB },	{ 0xff0d, KEY_ENTER },
	{ 0xff13, KEY_PAUSE },	    { 0xff14, KEY_SCROLLLOCK }, { 0xff15, KEY_SYSRQ },
	{ 0xff1b, KEY_ESC },	    { 0xff50, KEY_HOME },	{ 0xff51, KEY_LEFT },
	{ 0xff52, KEY_UP },	    { 0xff53, KEY_RIGHT },	{ 0xff54, KEY_DOWN },
	{ 0xff55, KEY_PAGEUP },	    { 0xff56, KEY_PAGEDOWN },	{ 0xff57, KEY_END },
	{ 0xff61, KEY_SYSRQ },	    { 0xff63, KEY_INSERT },	{ 0xff67, KEY_COMPOSE },
	{ 0xff7f, KEY_NUMLOCK },    { 0xff8d, KEY_KPENTER },	{ 0xffaa, KEY_KPASTERISK },
	{ 0xffab, KEY_KPPLUS },	    { 0xffad, KEY_KPMINUS },	{ 0xffae, KEY_KPDOT },
	{ 0xffaf, KEY_KPSLASH },    { 0xffb0, KEY_KP0 },	{ 0xffb1, KEY_KP1 },
	{ 0xffb2, KEY_KP2 },	    { 0xffb3, KEY_KP3 },	{ 0xffb4, KEY_KP4 },
	{ 0xffb5, KEY_KP5 },	    { 0xffb6, KEY_KP6 },	{ 0xffb7, KEY_KP7 },
	{ 0xffb8, KEY_KP8 },	    { 0xffb9, KEY_KP9 },	{ 0xffbe, KEY_F1 },
	{ 0xffbf, KEY_F2 },	    { 0xffc0, KEY_F3 },		{ 0xffc1, KEY_F4 },
	{ 0xffc2, KEY_F5 },	    { 0xffc3, KEY_F6 },		{ 0xffc4, KEY_F7 },
	{ 0xffc5, KEY_F8 },	    { 0xffc6, KEY_F9 },		{ 0xffc7, KEY_F10 },
	{ 0xffc8, KEY_F11 },	    { 0xffc9, KEY_F12 },	{ 0xffe1, KEY_LEFTSHIFT },
	{ 0xffe2, KEY_RIGHTSHIFT }, { 0xffe3, KEY_LEFTCTRL },	{ 0xffe4, KEY_RIGHTCTRL },
	{ 0xffe5, KEY_CAPSLOCK },   { 0xffe7, KEY_LEFTMETA },	{ 0xffe8, KEY_RIGHTMETA },
	{ 0xffe9, KEY_LEFTALT },    { 0xffea, KEY_RIGHTALT },	{ 0xffeb, KEY_LEFTMETA },
	{ 0xffec, KEY_RIGHTMETA },  { 0xfe03, KEY_RIGHTALT },	{ 0xffff, KEY_DELETE },
};

unsigned input_key_of_qcode(QapiQKeyCode key)
{
	return (unsigned)key < G_N_ELEMENTS(key_of_qcode) ? key_of_qcode[key] : 0;
}

unsigned input_key_of_scan_code(unsigned scan)
{
	for (unsigned code = 1; scan && code < INPUT_KEY_CODES; code++) {
		if (scan_codes[code] == scan)
			return code;
	}
	return 0;
}

uint8_t input_key_scan_code(unsigned code)
{
	return code < INPUT_KEY_CODES ? scan_codes[code] : 0;
}

uint8_t input_key_scan_code_set_2(uint8_t scan)
{
	return scan_codes_set_2[scan & 0x7f];
}

uint8_t input_key_translate(uint8_t set_2)
{
	for (uint8_t scan = 1; scan < G_N_ELEMENTS(scan_codes_set_2); scan++) {
		if (scan_codes_set_2[scan] == set_2)
			return scan;
	}
	return set_2;
}

unsigned input_key_of_keysym(uint32_t keysym, bool *shift)
{
	*shift = false;
	if (keysym < G_N_ELEMENTS(keys_of_ascii)) {
		*shift = keys_of_ascii[keysym] & NEEDS_SHIFT;
		return keys_of_ascii[keysym] & ~NEEDS_SHIFT;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(keys_of_keysyms); i++) {
		if (keys_of_keysyms[i].keysym == keysym)
			return keys_of_keysyms[i].code;
	}
	return 0;
}
