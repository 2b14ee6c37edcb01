/*
 * test-xhci.c: the USB host controller and the devices on its bus
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <linux/input-event-codes.h>
#include <string.h>

#include "qmp/qmp_event.h"
#include "tests/device/xhci_driver.h"
#include "vmm/display/display.h"
#include "vmm/display/input.h"
#include "vmm/display/input_keys.h"

#define SUCCESS	     1u
#define TRB_ERROR    5u
#define STALL	     6u
#define NO_SLOTS     9u
#define SHORT_PACKET 13u
#define PARAMETER    17u
#define HOST_ERROR   (1u << 12)

/* Setup packets as a number: type, request, value, index, length. */
#define SETUP(type, request, value, index, length)                               \
	((uint64_t)(type) | (uint64_t)(request) << 8 | (uint64_t)(value) << 16 | \
	 (uint64_t)(index) << 32 | (uint64_t)(length) << 48)
#define GET_DESCRIPTOR(kind, length) SETUP(0x80, 6, (kind) << 8, 0, length)
#define SET_CONFIGURATION	     SETUP(0x00, 9, 1, 0, 0)

typedef struct Fixture {
	XhciDriver driver;
	DisplayConsole *console;
	InputRouter *input;
	XhciProducer control, interrupt;
	unsigned slot;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data)
{
	static const DisplayConsoleOps no_ops = { 0 };
	const char *const devices[] = { data, NULL };

	xhci_driver_init(&fixture->driver, devices);
	fixture->console =
		display_add_console(fixture->driver.fake->services.display, NULL, 0, &no_ops, NULL);
	fixture->input = display_input(fixture->driver.fake->services.display);
	xhci_driver_start(&fixture->driver);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	display_remove_console(fixture->driver.fake->services.display, fixture->console);
	xhci_driver_clear(&fixture->driver);
}

#define KEYBOARD "{\"driver\":\"usb-kbd\",\"id\":\"k\"}"
#define MOUSE	 "{\"driver\":\"usb-mouse\",\"id\":\"m\"}"
#define TABLET	 "{\"driver\":\"usb-tablet\",\"id\":\"t\"}"

static uint8_t *ram(Fixture *fixture, uint64_t gpa)
{
	return fixture->driver.fake->ram + gpa;
}

static unsigned control(Fixture *fixture, uint64_t setup, unsigned *left)
{
	return xhci_driver_control(&fixture->driver, fixture->slot, &fixture->control, setup, left);
}

/* Address the device at port 1, configure it, and have it send reports. */
static void start_device(Fixture *fixture)
{
	fixture->slot = xhci_driver_address(&fixture->driver, 1, &fixture->control);
	g_assert_cmpuint(
		xhci_driver_configure(&fixture->driver, fixture->slot, &fixture->interrupt), ==,
		SUCCESS);
	g_assert_cmpuint(control(fixture, SET_CONFIGURATION, NULL), ==, SUCCESS);
}

/* Offer a buffer of @size bytes for a report. */
static void want_report(Fixture *fixture, unsigned size)
{
	xhci_driver_put(&fixture->driver, &fixture->interrupt, XHCI_AT_DATA + 0x100, size,
			1u << 10 | 1u << 5 | 1u << 2);
	xhci_driver_write(&fixture->driver, fixture->driver.doorbells + fixture->slot * 4, 3);
}

static void expect_report(Fixture *fixture, const uint8_t *report, unsigned size)
{
	MsiMessage message;
	XhciEvent event;

	want_report(fixture, 8);
	g_assert_true(xhci_driver_take(&fixture->driver, &event));
	g_assert_cmpuint(event.type, ==, 32);
	g_assert_cmpuint(event.endpoint, ==, 3);
	g_assert_cmpuint(event.completion, ==, size == 8 ? SUCCESS : SHORT_PACKET);
	g_assert_cmpuint(event.length, ==, 8 - size);
	g_assert_cmpmem(ram(fixture, XHCI_AT_DATA + 0x100), size, report, size);
	g_assert_true(fake_machine_take_msi(fixture->driver.fake, &message));
	g_assert_cmphex(message.data, ==, 0x5a);
}
#define EXPECT_REPORT(fixture, ...)                              \
	expect_report(fixture, (const uint8_t[]){ __VA_ARGS__ }, \
		      sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void key(Fixture *fixture, unsigned code, bool down)
{
	g_assert_true(input_key(fixture->input, NULL, code, down));
	input_sync(fixture->input);
}

static void test_registers(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciDriver *driver = &fixture->driver;
	uint64_t base = driver->operational - 0x40, port = xhci_driver_port(driver, 1);

	/* Eight ports, of either speed four, as the capabilities say it. */
	g_assert_cmphex(xhci_driver_read(driver, base + 4) >> 24, ==, 8);
	g_assert_cmphex(xhci_driver_read(driver, base + 0x20), ==, 0x02000402);
	g_assert_cmphex(xhci_driver_read(driver, base + 0x28), ==, 0x401);
	g_assert_cmphex(xhci_driver_read(driver, base + 0x30), ==, 0x03000002);
	g_assert_cmphex(xhci_driver_read(driver, base + 0x38), ==, 0x405);
	g_assert_cmphex(pci_device_config_read(driver->pci, 0x60, 1), ==, 0x30);
	/* Something is plugged into the first, at full speed; nothing into the second. */
	g_assert_cmphex(xhci_driver_read(driver, port) & 0x23c01, ==, 0x20401);
	g_assert_cmphex(xhci_driver_read(driver, port + 16) & 0x23c01, ==, 0);
	/* Time passes only while it runs. */
	xhci_driver_write(driver, driver->operational, 0);
	g_assert_cmphex(xhci_driver_read(driver, driver->operational + 4) & 1, ==, 1);
	g_assert_cmpuint(xhci_driver_read(driver, driver->runtime), ==, 0);
	/* Every register takes anything, with every size of access. */
	for (unsigned offset = 0; offset < 0x4000; offset++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			fake_write(driver->fake, base + offset, UINT64_MAX << (offset % 3), size);
			fake_read(driver->fake, base + offset, size);
		}
	}
	xhci_driver_start(driver);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 23u << 10, NULL), ==, SUCCESS);
}

static void test_commands(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciDriver *driver = &fixture->driver;
	unsigned slot;

	/* More than once around the command ring and the event ring. */
	for (unsigned i = 0; i < 3 * XHCI_DRIVER_EVENTS; i++)
		g_assert_cmpuint(xhci_driver_command(driver, 0, 23u << 10, NULL), ==, SUCCESS);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 63u << 10, NULL), ==, TRB_ERROR);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 11u << 10, NULL), ==, TRB_ERROR);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 11u << 10 | 3u << 24, NULL), ==, 11);
	for (unsigned i = 1; i <= 8; i++) {
		g_assert_cmpuint(xhci_driver_command(driver, 0, 9u << 10, &slot), ==, SUCCESS);
		g_assert_cmpuint(slot, ==, i);
	}
	g_assert_cmpuint(xhci_driver_command(driver, 0, 9u << 10, &slot), ==, NO_SLOTS);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 10u << 10 | 5u << 24, NULL), ==, SUCCESS);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 9u << 10, &slot), ==, SUCCESS);
	g_assert_cmpuint(slot, ==, 5);
	/* An empty input context adds nothing, which addressing must not accept. */
	g_assert_cmpuint(xhci_driver_command(driver, XHCI_AT_INPUT, 11u << 10 | 5u << 24, NULL), ==,
			 PARAMETER);
}

static void test_enumeration(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciDriver *driver = &fixture->driver;
	const uint8_t *answer = ram(fixture, XHCI_AT_DATA);
	unsigned left;

	fixture->slot = xhci_driver_address(driver, 1, &fixture->control);
	/* The slot context that it wrote: addressed, by the slot's number. */
	g_assert_cmphex(ram(fixture, XHCI_AT_DEVICES + fixture->slot * 0x400)[15] >> 3, ==, 2);
	g_assert_cmpuint(control(fixture, GET_DESCRIPTOR(1, 18), &left), ==, SUCCESS);
	g_assert_cmpuint(left, ==, 0);
	g_assert_cmpuint(answer[0], ==, 18);
	g_assert_cmpuint(answer[1], ==, 1);
	g_assert_cmphex((unsigned)(answer[8] | answer[9] << 8), ==, 0x0627);
	g_assert_cmpuint(control(fixture, GET_DESCRIPTOR(2, 255), &left), ==, SUCCESS);
	g_assert_cmpuint(255 - left, ==, 34);
	g_assert_cmpuint(answer[2], ==, 34);
	g_assert_cmpuint(answer[9 + 5], ==, 3); /* HID */
	g_assert_cmphex(answer[27 + 2], ==, 0x81);
	/* The string with the name, in UTF-16. */
	g_assert_cmpuint(control(fixture, SETUP(0x80, 6, 0x302, 0x409, 64), &left), ==, SUCCESS);
	g_assert_cmpmem(answer + 2, 64 - left - 2, "U\0S\0B\0 \0K\0e\0y\0b\0o\0a\0r\0d\0", 24);
	/* The report descriptor is as long as the HID descriptor says. */
	g_assert_cmpuint(control(fixture, SETUP(0x81, 6, 0x2200, 0, 512), &left), ==, SUCCESS);
	g_assert_cmpuint(512 - left, >, 40);
	g_assert_cmphex(answer[512 - left - 1], ==, 0xc0);
	g_assert_cmpuint(control(fixture, SET_CONFIGURATION, NULL), ==, SUCCESS);
	g_assert_cmpuint(control(fixture, SETUP(0x80, 8, 0, 0, 1), &left), ==, SUCCESS);
	g_assert_cmpuint(answer[0], ==, 1);
}

/* What a device does not know halts the endpoint until the guest resets it. */
static void test_stall(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciDriver *driver = &fixture->driver;
	unsigned endpoint;

	fixture->slot = xhci_driver_address(driver, 1, &fixture->control);
	endpoint = fixture->slot << 24 | 1u << 16;
	g_assert_cmpuint(control(fixture, GET_DESCRIPTOR(0x55, 18), NULL), ==, STALL);
	g_assert_cmpuint(ram(fixture, XHCI_AT_DEVICES + fixture->slot * 0x400 + 32)[0] & 7, ==, 2);
	g_assert_cmpuint(control(fixture, GET_DESCRIPTOR(1, 18), NULL), ==, 0);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 14u << 10 | endpoint, NULL), ==, SUCCESS);
	g_assert_cmpuint(xhci_driver_command(driver,
					     (fixture->control.base + fixture->control.index * 16) |
						     fixture->control.cycle,
					     16u << 10 | endpoint, NULL),
			 ==, SUCCESS);
	g_assert_cmpuint(control(fixture, GET_DESCRIPTOR(1, 18), NULL), ==, SUCCESS);
	g_assert_cmpuint(control(fixture, SETUP(0x00, 9, 7, 0, 0), NULL), ==, STALL);
}

static void test_keyboard(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciEvent event;

	g_assert_false(input_key(fixture->input, "k", KEY_A, true));
	start_device(fixture);
	/* A request waits until there is something, and that is what it gets. */
	want_report(fixture, 8);
	g_assert_false(xhci_driver_take(&fixture->driver, &event));
	key(fixture, KEY_LEFTSHIFT, true);
	g_assert_true(xhci_driver_take(&fixture->driver, &event));
	g_assert_cmpuint(event.completion, ==, SUCCESS);
	g_assert_cmphex(ram(fixture, XHCI_AT_DATA + 0x100)[0], ==, 2);
	fake_machine_take_msi(fixture->driver.fake, &(MsiMessage){ 0 });
	/* What comes before anybody asks is kept, key by key. */
	key(fixture, KEY_A, true);
	key(fixture, KEY_A, false);
	key(fixture, KEY_LEFTSHIFT, false);
	EXPECT_REPORT(fixture, 2, 0, 4, 0, 0, 0, 0, 0);
	EXPECT_REPORT(fixture, 2, 0, 0, 0, 0, 0, 0, 0);
	EXPECT_REPORT(fixture, 0, 0, 0, 0, 0, 0, 0, 0);
	/* Seven keys are more than a report holds. */
	for (unsigned i = 0; i < 7; i++)
		key(fixture, KEY_1 + i, true);
	for (unsigned i = 0; i < 5; i++) {
		want_report(fixture, 8);
		g_assert_true(xhci_driver_take(&fixture->driver, &event));
	}
	EXPECT_REPORT(fixture, 0, 0, 30, 31, 32, 33, 34, 35);
	EXPECT_REPORT(fixture, 0, 0, 1, 1, 1, 1, 1, 1);
	/* The reset of its port ends all that. */
	xhci_driver_write(&fixture->driver, xhci_driver_port(&fixture->driver, 1),
			  1u << 9 | 1u << 4);
	g_assert_false(input_key(fixture->input, "k", KEY_A, true));
}

static void test_mouse(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	start_device(fixture);
	g_assert_true(input_move(fixture->input, NULL, INPUT_AXIS_X, 300));
	g_assert_true(input_move(fixture->input, NULL, INPUT_AXIS_Y, -5));
	input_sync(fixture->input);
	EXPECT_REPORT(fixture, 0, 127, 0xfb, 0);
	EXPECT_REPORT(fixture, 0, 127, 0, 0);
	EXPECT_REPORT(fixture, 0, 46, 0, 0);
	g_assert_true(input_button(fixture->input, NULL, INPUT_BUTTON_LEFT, true));
	input_sync(fixture->input);
	g_assert_true(input_button(fixture->input, NULL, INPUT_BUTTON_WHEEL_DOWN, true));
	input_sync(fixture->input);
	EXPECT_REPORT(fixture, 1, 0, 0, 0);
	EXPECT_REPORT(fixture, 1, 0, 0, 0xff);
	/* Movements that add up to more than there is. */
	for (unsigned i = 0; i < 100; i++) {
		input_move(fixture->input, NULL, INPUT_AXIS_X, INT32_MAX);
		input_sync(fixture->input);
	}
	EXPECT_REPORT(fixture, 1, 127, 0, 0);
	/* The boot protocol has three bytes. */
	g_assert_cmpuint(control(fixture, SETUP(0x21, 11, 0, 0, 0), NULL), ==, SUCCESS);
	EXPECT_REPORT(fixture, 1, 127, 0);
}

static void test_tablet(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	start_device(fixture);
	for (int at = 0; at < 100; at++) {
		g_assert_true(input_position(fixture->input, NULL, INPUT_AXIS_X, 0x1200 + at));
		g_assert_true(input_position(fixture->input, NULL, INPUT_AXIS_Y, 0x3400));
		input_sync(fixture->input);
	}
	/* Only where it has got to counts. */
	EXPECT_REPORT(fixture, 0, 0x63, 0x12, 0x00, 0x34, 0);
	input_position(fixture->input, NULL, INPUT_AXIS_X, INT32_MAX);
	input_button(fixture->input, NULL, INPUT_BUTTON_RIGHT, true);
	input_sync(fixture->input);
	EXPECT_REPORT(fixture, 2, 0xff, 0x7f, 0x00, 0x34, 0);
}

static void count_deleted(void *opaque, const char *name, json_object *data)
{
	*(unsigned *)opaque += strcmp(name, "DEVICE_DELETED") == 0;
	json_object_put(data);
}

static void test_plug(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciDriver *driver = &fixture->driver;
	uint64_t port = xhci_driver_port(driver, 2);
	unsigned n_deleted = 0;
	const QmpEventSink sink = { .emit = count_deleted, .opaque = &n_deleted };
	Device *device;
	XhciEvent event;

	device = xhci_driver_add(driver, TABLET);
	g_assert_nonnull(device);
	g_assert_true(xhci_driver_take(driver, &event));
	g_assert_cmpuint(event.type, ==, 34);
	g_assert_cmphex(event.parameter, ==, 2u << 24);
	g_assert_cmphex(xhci_driver_read(driver, port) & 0x20001, ==, 0x20001);
	xhci_driver_write(driver, port, 1u << 9 | 1u << 17);
	fixture->slot = xhci_driver_address(driver, 2, &fixture->control);
	g_assert_cmpuint(xhci_driver_configure(driver, fixture->slot, &fixture->interrupt), ==,
			 SUCCESS);
	g_assert_cmpuint(control(fixture, SET_CONFIGURATION, NULL), ==, SUCCESS);
	want_report(fixture, 8);
	driver->fake->services.events = &sink;
	g_assert_true(device_tree_request_remove(driver->tree, device, NULL));
	fake_machine_iterate(driver->fake);
	driver->fake->services.events = NULL;
	g_assert_cmpuint(n_deleted, ==, 1);
	g_assert_null(device_tree_find(driver->tree, "t"));
	g_assert_true(xhci_driver_take(driver, &event));
	g_assert_cmpuint(event.type, ==, 34);
	g_assert_cmphex(xhci_driver_read(driver, port) & 1, ==, 0);
	/* The transfer to what is no longer there fails, and nothing else does. */
	g_assert_true(xhci_driver_take(driver, &event));
	g_assert_cmpuint(event.completion, ==, 4);
	/* Ports are given by number, once; there are four of them. */
	g_assert_nonnull(xhci_driver_add(driver, "{\"driver\":\"usb-mouse\",\"port\":\"3\"}"));
	g_assert_null(xhci_driver_add(driver, "{\"driver\":\"usb-mouse\",\"port\":\"3\"}"));
	g_assert_null(xhci_driver_add(driver, "{\"driver\":\"usb-mouse\",\"port\":\"5\"}"));
	g_assert_nonnull(xhci_driver_add(driver, "{\"driver\":\"usb-kbd\"}"));
	g_assert_nonnull(xhci_driver_add(driver, "{\"driver\":\"usb-mouse\"}"));
	g_assert_null(xhci_driver_add(driver, "{\"driver\":\"usb-mouse\"}"));
	/* The controller does not go while they are there. */
	g_assert_false(device_tree_request_remove(driver->tree, &driver->pci->device, NULL));
}

/* Events that nobody takes: work stops, and goes on when there is room again. */
static void test_event_ring_full(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciDriver *driver = &fixture->driver;
	unsigned n = 0;
	XhciEvent event;

	/* A ring of commands without end, each of which the guest has already seen done. */
	for (unsigned i = 0; i < 15; i++)
		xhci_driver_put(driver, &driver->commands, 0, 0, 23u << 10);
	xhci_driver_write(driver, driver->doorbells, 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 15; i++)
			xhci_driver_put(driver, &driver->commands, 0, 0, 23u << 10);
		xhci_driver_write(driver, driver->doorbells, 0);
	}
	while (xhci_driver_take(driver, &event)) {
		g_assert_cmpuint(event.type, ==, 33);
		n++;
	}
	g_assert_cmpuint(n, ==, 45);
	g_assert_cmphex(xhci_driver_read(driver, driver->operational + 4) & HOST_ERROR, ==, 0);
}

/* Rings and contexts that are not there, or never end: an error that a reset repairs. */
static void test_hostile(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	XhciDriver *driver = &fixture->driver;
	uint64_t status = driver->operational + 4;
	XhciProducer loop = { .base = XHCI_AT_COMMANDS, .cycle = true };

	/* The command ring is a link to itself. */
	xhci_driver_put(driver, &loop, XHCI_AT_COMMANDS, 0, 6u << 10);
	xhci_driver_write(driver, driver->doorbells, 0);
	g_assert_cmphex(xhci_driver_read(driver, status) & HOST_ERROR, ==, HOST_ERROR);
	xhci_driver_write(driver, driver->operational, 5);
	g_assert_cmphex(xhci_driver_read(driver, status) & (HOST_ERROR | 1), ==, HOST_ERROR | 1);

	/* It is beyond RAM. */
	xhci_driver_start(driver);
	xhci_driver_write(driver, driver->operational, 0);
	xhci_driver_write(driver, driver->operational + 0x18, XHCI_DRIVER_RAM | 1);
	xhci_driver_write(driver, driver->operational, 5);
	xhci_driver_write(driver, driver->doorbells, 0);
	g_assert_cmphex(xhci_driver_read(driver, status) & HOST_ERROR, ==, HOST_ERROR);

	/* The transfer ring has commands of no effect without end: the cycle bit always fits. */
	xhci_driver_start(driver);
	fixture->slot = xhci_driver_address(driver, 1, &fixture->control);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t raw[2] = { i == 2 ? fixture->control.base : 0,
				    (uint64_t)((i == 2 ? 6u : 8u) << 10 | 1) << 32 };

		memcpy(ram(fixture, fixture->control.base + i * 16), raw, sizeof(raw));
	}
	xhci_driver_write(driver, driver->doorbells + fixture->slot * 4, 1);
	g_assert_cmphex(xhci_driver_read(driver, status) & HOST_ERROR, ==, HOST_ERROR);

	xhci_driver_start(driver);
	g_assert_cmpuint(xhci_driver_command(driver, 0, 23u << 10, NULL), ==, SUCCESS);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	const char *const devices[] = { KEYBOARD, NULL };
	Fixture other = { 0 };

	start_device(fixture);
	key(fixture, KEY_B, true);
	key(fixture, KEY_B, false);
	set_up(&other, devices[0]);
	fake_machine_check_state(&fixture->driver.pci->device, &other.driver.pci->device);
	fake_machine_check_state(device_tree_find(fixture->driver.tree, "k"),
				 device_tree_find(other.driver.tree, "k"));
	/* It goes on over there, with the guest's memory. */
	memcpy(other.driver.fake->ram, fixture->driver.fake->ram, XHCI_DRIVER_RAM);
	other.slot = fixture->slot;
	other.interrupt = fixture->interrupt;
	other.driver.event_index = fixture->driver.event_index;
	other.driver.event_cycle = fixture->driver.event_cycle;
	EXPECT_REPORT(&other, 0, 0, 5, 0, 0, 0, 0, 0);
	EXPECT_REPORT(&other, 0, 0, 0, 0, 0, 0, 0, 0);
	tear_down(&other, NULL);
}

#define ADD(name, device, function) \
	g_test_add("/xhci/" name, Fixture, device, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	/* What a hostile guest does is warned of. */
	g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
	ADD("registers", KEYBOARD, test_registers);
	ADD("commands", KEYBOARD, test_commands);
	ADD("enumeration", KEYBOARD, test_enumeration);
	ADD("stall", KEYBOARD, test_stall);
	ADD("keyboard", KEYBOARD, test_keyboard);
	ADD("mouse", MOUSE, test_mouse);
	ADD("tablet", TABLET, test_tablet);
	ADD("plug", MOUSE, test_plug);
	ADD("event-ring-full", KEYBOARD, test_event_ring_full);
	ADD("hostile", KEYBOARD, test_hostile);
	ADD("state", KEYBOARD, test_state);
	return g_test_run();
}
