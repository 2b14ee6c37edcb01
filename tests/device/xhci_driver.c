/*
 * xhci_driver.c: a small driver of the USB host controller, for device tests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/xhci_driver.h"
#include "vmm/pci/host_bridge.h"
#include "vmm/pci/pci_registers.h"
#include "vmm/usb/usb_hid.h"
#include "vmm/usb/xhci.h"

#include <string.h>

#define REGISTERS_AT 0xe0000000u
#define MSIX_AT	     0xe0010000u
#define RING_TRBS    16u

static const DeviceType *const types[] = { &host_bridge_type,
					   &memory_controller_hub_type.device,
					   &xhci_type.device,
					   &usb_keyboard_type.device,
					   &usb_mouse_type.device,
					   &usb_tablet_type.device,
					   NULL };

Device *xhci_driver_add(XhciDriver *driver, const char *arguments)
{
	json_object *options = json_tokener_parse(arguments);
	g_autoptr(GError) error = NULL;
	Device *device = device_tree_add(driver->tree, options, &error);

	if (!device)
		g_test_message("%s: %s", arguments, error->message);
	json_object_put(options);
	return device;
}

uint32_t xhci_driver_read(XhciDriver *driver, uint64_t address)
{
	return (uint32_t)fake_read(driver->fake, address, 4);
}

void xhci_driver_write(XhciDriver *driver, uint64_t address, uint32_t value)
{
	fake_write(driver->fake, address, value, 4);
}

uint64_t xhci_driver_port(const XhciDriver *driver, unsigned port)
{
	return driver->operational + 0x400 + (uint64_t)(port - 1) * 16;
}

void xhci_driver_init(XhciDriver *driver, const char *const *devices)
{
	*driver = (XhciDriver){ .fake = fake_machine_new(XHCI_DRIVER_RAM) };
	driver->tree = device_tree_new(types, &driver->fake->services);
	device_tree_add_builtin(driver->tree, HOST_BRIDGE_TYPE, NULL, NULL, NULL);
	driver->pci = (PciDevice *)xhci_driver_add(
		driver, "{\"driver\":\"qemu-xhci\",\"id\":\"usb\",\"addr\":\"3\"}");
	g_assert_nonnull(driver->pci);
	for (; devices && *devices; devices++)
		g_assert_nonnull(xhci_driver_add(driver, *devices));
	device_tree_reset(driver->tree);
	device_tree_set_started(driver->tree);
}

void xhci_driver_clear(XhciDriver *driver)
{
	device_tree_free(driver->tree);
	fake_machine_free(driver->fake);
}

static void place(XhciDriver *driver)
{
	PciDevice *pci = driver->pci;
	unsigned at = (unsigned)pci_device_config_read(pci, PCI_CAPABILITY_LIST, 1);

	while (at && pci_device_config_read(pci, at, 1) != PCI_CAP_ID_MSIX)
		at = (unsigned)pci_device_config_read(pci, at + 1, 1);
	g_assert_cmpuint(at, !=, 0);
	pci_device_config_write(pci, PCI_BASE_ADDRESS_0, REGISTERS_AT, 4);
	pci_device_config_write(pci, PCI_BASE_ADDRESS_0 + 4, 0, 4);
	pci_device_config_write(pci, PCI_BASE_ADDRESS_0 + 8, MSIX_AT, 4);
	pci_device_config_write(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	fake_write(driver->fake, MSIX_AT, 0xfee00000, 4);
	fake_write(driver->fake, MSIX_AT + 4, 0, 4);
	fake_write(driver->fake, MSIX_AT + 8, 0x5a, 4);
	fake_write(driver->fake, MSIX_AT + 12, 0, 4);
	pci_device_config_write(pci, at + 2, 0x8000, 2);
}

uint64_t xhci_driver_put(XhciDriver *driver, XhciProducer *ring, uint64_t parameter,
			 uint32_t status, uint32_t control)
{
	uint64_t at = ring->base + ring->index * 16;
	uint64_t raw[2] = { GUINT64_TO_LE(parameter) };

	control |= ring->cycle;
	raw[1] = GUINT64_TO_LE(status | (uint64_t)control << 32);
	memcpy(driver->fake->ram + at, raw, sizeof(raw));
	if (++ring->index == RING_TRBS - 1) {
		raw[0] = GUINT64_TO_LE(ring->base);
		raw[1] = GUINT64_TO_LE((uint64_t)(6u << 10 | 2u | ring->cycle) << 32);
		memcpy(driver->fake->ram + at + 16, raw, sizeof(raw));
		ring->index = 0;
		ring->cycle = !ring->cycle;
	}
	return at;
}

bool xhci_driver_take(XhciDriver *driver, XhciEvent *event)
{
	uint64_t at = XHCI_AT_EVENTS + driver->event_index * 16, raw[2];
	uint32_t status, control;

	memcpy(raw, driver->fake->ram + at, sizeof(raw));
	status = (uint32_t)GUINT64_FROM_LE(raw[1]);
	control = GUINT64_FROM_LE(raw[1]) >> 32;
	if ((control & 1) != driver->event_cycle)
		return false;
	*event = (XhciEvent){
		.parameter = GUINT64_FROM_LE(raw[0]),
		.type = control >> 10 & 0x3f,
		.completion = status >> 24,
		.length = status & 0xffffff,
		.slot = control >> 24,
		.endpoint = control >> 16 & 0x1f,
	};
	if (++driver->event_index == XHCI_DRIVER_EVENTS) {
		driver->event_index = 0;
		driver->event_cycle = !driver->event_cycle;
	}
	xhci_driver_write(driver, driver->runtime + 0x38,
			  (XHCI_AT_EVENTS + driver->event_index * 16) | 8);
	return true;
}

void xhci_driver_start(XhciDriver *driver)
{
	uint8_t *ram = driver->fake->ram;
	uint64_t runtime, interrupter;
	XhciEvent event;
	uint64_t segment[2] = { GUINT64_TO_LE(XHCI_AT_EVENTS), GUINT64_TO_LE(XHCI_DRIVER_EVENTS) };

	place(driver);
	driver->operational = REGISTERS_AT + (xhci_driver_read(driver, REGISTERS_AT) & 0xff);
	driver->doorbells = REGISTERS_AT + xhci_driver_read(driver, REGISTERS_AT + 0x14);
	runtime = driver->runtime = REGISTERS_AT + xhci_driver_read(driver, REGISTERS_AT + 0x18);
	interrupter = runtime + 0x20;
	memset(ram + XHCI_AT_CONTEXTS, 0, XHCI_AT_DATA - XHCI_AT_CONTEXTS);
	memcpy(ram + XHCI_AT_SEGMENTS, segment, sizeof(segment));
	for (unsigned slot = 1; slot <= 8; slot++) {
		uint64_t context = GUINT64_TO_LE(XHCI_AT_DEVICES + slot * 0x400);

		memcpy(ram + XHCI_AT_CONTEXTS + slot * 8, &context, 8);
	}
	driver->commands = (XhciProducer){ .base = XHCI_AT_COMMANDS, .cycle = true };
	driver->event_index = 0;
	driver->event_cycle = true;

	xhci_driver_write(driver, driver->operational, 2); /* reset */
	g_assert_cmphex(xhci_driver_read(driver, driver->operational + 4) & 1, ==, 1);
	xhci_driver_write(driver, driver->operational + 0x38, 8);
	xhci_driver_write(driver, driver->operational + 0x30, XHCI_AT_CONTEXTS);
	xhci_driver_write(driver, driver->operational + 0x34, 0);
	xhci_driver_write(driver, driver->operational + 0x18, XHCI_AT_COMMANDS | 1);
	xhci_driver_write(driver, driver->operational + 0x1c, 0);
	xhci_driver_write(driver, interrupter + 0x08, 1);
	xhci_driver_write(driver, interrupter + 0x18, XHCI_AT_EVENTS);
	xhci_driver_write(driver, interrupter + 0x1c, 0);
	xhci_driver_write(driver, interrupter + 0x10, XHCI_AT_SEGMENTS);
	xhci_driver_write(driver, interrupter + 0x14, 0);
	xhci_driver_write(driver, interrupter, 3);
	xhci_driver_write(driver, driver->operational, 5);
	/* What is plugged in says so. */
	while (xhci_driver_take(driver, &event))
		g_assert_cmpuint(event.type, ==, 34);
}

unsigned xhci_driver_command(XhciDriver *driver, uint64_t parameter, uint32_t control,
			     unsigned *slot)
{
	uint64_t at = xhci_driver_put(driver, &driver->commands, parameter, 0, control);
	XhciEvent event;

	xhci_driver_write(driver, driver->doorbells, 0);
	g_assert_true(xhci_driver_take(driver, &event));
	g_assert_cmpuint(event.type, ==, 33);
	g_assert_cmphex(event.parameter, ==, at);
	if (slot)
		*slot = event.slot;
	return event.completion;
}

/* The input context: which contexts are added, and 32 bits each of the slot's and one endpoint's.
 */
static void input_context(XhciDriver *driver, uint32_t add, uint32_t entries, unsigned port,
			  unsigned index, uint32_t type, uint64_t ring)
{
	uint32_t input[33 * 8] = { 0 };

	input[1] = add;
	input[8] = entries << 27 | 1u << 20; /* full speed */
	input[9] = port << 16;
	input[8 * (index + 1) + 1] = 3u << 1 | type << 3 | 8u << 16;
	input[8 * (index + 1) + 2] = (uint32_t)ring | 1;
	for (unsigned i = 0; i < G_N_ELEMENTS(input); i++)
		input[i] = GUINT32_TO_LE(input[i]);
	memcpy(driver->fake->ram + XHCI_AT_INPUT, input, sizeof(input));
}

unsigned xhci_driver_address(XhciDriver *driver, unsigned port, XhciProducer *control)
{
	uint64_t at = xhci_driver_port(driver, port);
	unsigned slot;
	XhciEvent event;

	xhci_driver_write(driver, at, 1u << 9 | 1u << 4);
	g_assert_cmphex(xhci_driver_read(driver, at) & 0x200002, ==, 0x200002);
	xhci_driver_write(driver, at, 1u << 9 | 1u << 21 | 1u << 17);
	while (xhci_driver_take(driver, &event))
		g_assert_cmpuint(event.type, ==, 34);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 9u << 10, &slot), ==, 1);
	*control = (XhciProducer){ .base = XHCI_AT_CONTROL + slot * 0x400, .cycle = true };
	input_context(driver, 3, 1, port, 1, 4, control->base);
	g_assert_cmpuint(xhci_driver_command(driver, XHCI_AT_INPUT, 11u << 10 | slot << 24, NULL),
			 ==, 1);
	return slot;
}

unsigned xhci_driver_configure(XhciDriver *driver, unsigned slot, XhciProducer *interrupt)
{
	*interrupt = (XhciProducer){ .base = XHCI_AT_INTERRUPT + slot * 0x400, .cycle = true };
	input_context(driver, 1 | 1u << 3, 3, 1, 3, 7, interrupt->base);
	return xhci_driver_command(driver, XHCI_AT_INPUT, 12u << 10 | slot << 24, NULL);
}

unsigned xhci_driver_control(XhciDriver *driver, unsigned slot, XhciProducer *ring, uint64_t setup,
			     unsigned *left)
{
	unsigned length = (unsigned)(setup >> 48);
	uint32_t in = setup & 0x80 ? 1u << 16 : 0;
	XhciEvent event = { 0 };

	if (left)
		*left = 0;
	xhci_driver_put(driver, ring, setup, 8,
			2u << 10 | 1u << 6 | (length ? (in ? 3u : 2u) << 16 : 0));
	if (length)
		xhci_driver_put(driver, ring, XHCI_AT_DATA, length, 3u << 10 | in | 1u << 2);
	xhci_driver_put(driver, ring, 0, 0, 4u << 10 | 1u << 5 | (length && in ? 0 : 1u << 16));
	xhci_driver_write(driver, driver->doorbells + slot * 4, 1);
	while (xhci_driver_take(driver, &event)) {
		g_assert_cmpuint(event.type, ==, 32);
		g_assert_cmpuint(event.slot, ==, slot);
		g_assert_cmpuint(event.endpoint, ==, 1);
		if (event.completion == 13 && left)
			*left = event.length;
	}
	return event.completion;
}
