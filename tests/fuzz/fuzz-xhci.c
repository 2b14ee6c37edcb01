/*
 * fuzz-xhci.c: a guest that does anything to the USB host controller
 *
 * The controller runs, its keyboard has an address and an endpoint. The input is a list of actions
 * of 12 bytes: a register, a doorbell, something in the memory where rings and contexts are, a key.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/xhci_driver.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/display/display.h"
#include "vmm/display/input.h"

#include <string.h>

#define MAXIMUM_ACTIONS 64u
#define ACTION_SIZE	12u

static void perform(XhciDriver *driver, XhciProducer *rings, const uint8_t *action)
{
	InputRouter *input = display_input(driver->fake->services.display);
	uint16_t offset;
	uint64_t value;

	memcpy(&offset, action + 2, sizeof(offset));
	memcpy(&value, action + 4, sizeof(value));
	switch (action[0] % 8) {
	case 0:
		fake_write(driver->fake, driver->operational - 0x40 + offset % 0x4000, value,
			   1u << (action[1] & 3));
		break;
	case 1:
		xhci_driver_write(driver, driver->operational - 0x40 + (offset & 0x3ffc),
				  (uint32_t)value);
		break;
	case 2:
		fake_read(driver->fake, driver->operational - 0x40 + offset % 0x4000,
			  1u << (action[1] & 3));
		break;
	case 3:
		xhci_driver_put(driver, &rings[action[1] % 3], value, offset,
				(uint32_t)action[0] >> 3 << 10 | (uint32_t)action[1] >> 2);
		break;
	case 4:
		xhci_driver_write(driver, driver->doorbells + action[1] % 4 * 4u, offset % 8);
		break;
	case 5: /* contexts, rings, segment table */
		memcpy(driver->fake->ram + 0x1000 + (offset % 0x5000), &value, sizeof(value));
		break;
	case 6:
		memcpy(driver->fake->ram + 0x10000 + offset * 3u, &value, sizeof(value));
		break;
	case 7:
		input_key(input, NULL, action[1], offset & 1);
		input_sync(input);
		break;
	}
}

static void drop_log(const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
	(void)domain;
	(void)level;
	(void)message;
	(void)data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const devices[] = { "{\"driver\":\"usb-kbd\"}",
					       "{\"driver\":\"usb-tablet\"}", NULL };
	static bool is_quiet;
	XhciDriver driver;
	XhciProducer rings[3];
	unsigned slot;

	if (!is_quiet)
		g_log_set_default_handler(drop_log, NULL);
	is_quiet = true;
	xhci_driver_init(&driver, devices);
	xhci_driver_start(&driver);
	slot = xhci_driver_address(&driver, 1, &rings[1]);
	xhci_driver_configure(&driver, slot, &rings[2]);
	rings[0] = driver.commands;
	for (unsigned i = 0; i < MAXIMUM_ACTIONS && size >= ACTION_SIZE; i++) {
		perform(&driver, rings, data);
		data += ACTION_SIZE;
		size -= ACTION_SIZE;
	}
	/* Whatever it did, a reset brings everything back. */
	xhci_driver_start(&driver);
	g_assert_cmpuint(xhci_driver_command(&driver, 0, 23u << 10, NULL), ==, 1);
	xhci_driver_clear(&driver);
	return 0;
}
