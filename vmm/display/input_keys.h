/*
 * input_keys.h: keys by all their names
 *
 * Inside, a key is a code of Linux (KEY_*). QMP names it by QKeyCode or by scan code, PS/2 has two
 * sets of scan codes, RFB has X11's keysyms.
 *
 * Any thread, all of these.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "qapi-types.h"

/* One more than the highest code of Linux that there is a name for here. */
#define INPUT_KEY_CODES 256u

/* Or-ed to a scan code that 0xe0 comes before. */
#define SCAN_EXTENDED 0x80u

/* The key that QMP calls @key; 0 for none. */
unsigned input_key_of_qcode(QapiQKeyCode key);

/* The key of scan code @scan (set 1, SCAN_EXTENDED or-ed), and back; 0 for none. */
unsigned input_key_of_scan_code(unsigned scan);
uint8_t input_key_scan_code(unsigned code);

/* The code in set 2 of @scan (set 1, without SCAN_EXTENDED), and what a controller makes of it. */
uint8_t input_key_scan_code_set_2(uint8_t scan);
uint8_t input_key_translate(uint8_t set_2);

/* The key that has @keysym on a US keyboard; *@shift says whether with Shift. 0 for none. */
unsigned input_key_of_keysym(uint32_t keysym, bool *shift);
