/*
 * test-input.c: keyboards and pointers: PS/2, virtio, and which of them gets what
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <linux/input-event-codes.h>
#include <linux/virtio_input.h>
#include <string.h>

#include "tests/device/virtio_driver.h"
#include "vmm/chipset/chipset.h"
#include "vmm/display/display.h"
#include "vmm/display/input.h"
#include "vmm/display/input_keys.h"
#include "vmm/virtio/virtio_input.h"

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	DisplayConsole *console;
	InputRouter *input;
	Device *i8042;
	Device *device; /* a virtio one, of some tests */
	VirtioDriver driver;
} Fixture;

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const DisplayConsoleOps no_ops = { 0 };

	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->console =
		display_add_console(fixture->fake->services.display, NULL, 0, &no_ops, NULL);
	fixture->input = display_input(fixture->fake->services.display);
	fixture->i8042 = fake_machine_add(fixture->fake, &i8042_type, NULL);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	fake_machine_remove(fixture->fake, fixture->i8042);
	display_remove_console(fixture->fake->services.display, fixture->console);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
}

static void key(Fixture *fixture, unsigned code, bool down)
{
	g_assert_true(input_key(fixture->input, NULL, code, down));
	input_sync(fixture->input);
}

/* Read bytes of the keyboard (or the mouse) and compare; nothing more may wait. */
static void expect(Fixture *fixture, bool aux, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		g_assert_cmphex(fake_inb(fixture->fake, 0x64) & 0x21, ==, aux ? 0x21 : 0x01);
		g_assert_cmphex(fake_inb(fixture->fake, 0x60), ==, bytes[i]);
	}
	g_assert_cmphex(fake_inb(fixture->fake, 0x64) & 0x01, ==, 0);
}
#define EXPECT(fixture, aux, ...)                              \
	expect(fixture, aux, (const uint8_t[]){ __VA_ARGS__ }, \
	       sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void configure(Fixture *fixture, uint8_t config)
{
	fake_outb(fixture->fake, 0x64, 0x60);
	fake_outb(fixture->fake, 0x60, config);
}

static void to_mouse(Fixture *fixture, uint8_t byte)
{
	fake_outb(fixture->fake, 0x64, 0xd4);
	fake_outb(fixture->fake, 0x60, byte);
}

static void test_keyboard(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	fake_outb(fake, 0x64, 0xa9);
	EXPECT(fixture, false, 0x00);
	configure(fixture, 0x45); /* translated, with interrupts */
	fake_outb(fake, 0x60, 0xff);
	g_assert_true(fake_machine_line(fake, 1));
	EXPECT(fixture, false, 0xfa, 0xaa);
	g_assert_false(fake_machine_line(fake, 1));
	fake_outb(fake, 0x60, 0xf2);
	EXPECT(fixture, false, 0xfa, 0xab, 0x41);
	fake_machine_take_edges(fake, 1);
	key(fixture, KEY_A, true);
	key(fixture, KEY_A, false);
	key(fixture, KEY_RIGHT, true);
	key(fixture, KEY_RIGHT, false);
	EXPECT(fixture, false, 0x1e, 0x9e, 0xe0, 0x4d, 0xe0, 0xcd);
	g_assert_cmpuint(fake_machine_take_edges(fake, 1), ==, 6);
	key(fixture, KEY_PAUSE, true);
	key(fixture, KEY_PAUSE, false);
	EXPECT(fixture, false, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	configure(fixture, 0x05); /* as the keyboard sends it */
	key(fixture, KEY_A, true);
	key(fixture, KEY_A, false);
	EXPECT(fixture, false, 0x1c, 0xf0, 0x1c);
	/* Set 1, told apart by asking. */
	fake_outb(fake, 0x60, 0xf0);
	EXPECT(fixture, false, 0xfa);
	fake_outb(fake, 0x60, 0x01);
	EXPECT(fixture, false, 0xfa);
	key(fixture, KEY_A, false);
	EXPECT(fixture, false, 0x9e);
	/* Off: nothing comes. */
	fake_outb(fake, 0x60, 0xf5);
	EXPECT(fixture, false, 0xfa);
	key(fixture, KEY_A, true);
	g_assert_cmphex(fake_inb(fake, 0x64) & 0x01, ==, 0);
}

static void test_keyboard_flood(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 1000; i++)
		key(fixture, KEY_A, true);
	while (fake_inb(fixture->fake, 0x64) & 0x01) {
		g_assert_cmphex(fake_inb(fixture->fake, 0x60), ==, 0x1c);
		n++;
	}
	g_assert_cmpuint(n, <=, 40);
	for (unsigned command = 0; command < 0x10000; command++) {
		fake_outb(fixture->fake, command & 1 ? 0x64 : 0x60, (uint8_t)(command * 7 >> 3));
		if (command % 3)
			fake_inb(fixture->fake, 0x60);
	}
}

static void test_mouse(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	static const uint8_t rates[] = { 200, 100, 80 };

	configure(fixture, 0x47);
	to_mouse(fixture, 0xff);
	g_assert_true(fake_machine_line(fake, 12));
	EXPECT(fixture, true, 0xfa, 0xaa, 0x00);
	to_mouse(fixture, 0xf4);
	EXPECT(fixture, true, 0xfa);
	input_move(fixture->input, NULL, INPUT_AXIS_X, 5);
	input_move(fixture->input, NULL, INPUT_AXIS_Y, 3);
	input_button(fixture->input, NULL, INPUT_BUTTON_LEFT, true);
	input_sync(fixture->input);
	EXPECT(fixture, true, 0x29, 5, 0xfd);
	/* Further than one packet says. */
	input_move(fixture->input, NULL, INPUT_AXIS_X, -300);
	input_sync(fixture->input);
	EXPECT(fixture, true, 0x19, 0x01, 0x00, 0x19, 0xd3, 0x00);
	for (unsigned i = 0; i < G_N_ELEMENTS(rates); i++) {
		to_mouse(fixture, 0xf3);
		EXPECT(fixture, true, 0xfa);
		to_mouse(fixture, rates[i]);
		EXPECT(fixture, true, 0xfa);
	}
	to_mouse(fixture, 0xf2);
	EXPECT(fixture, true, 0xfa, 0x03);
	input_button(fixture->input, NULL, INPUT_BUTTON_LEFT, false);
	input_button(fixture->input, NULL, INPUT_BUTTON_WHEEL_UP, true);
	input_sync(fixture->input);
	EXPECT(fixture, true, 0x08, 0, 0, 0xff);
	to_mouse(fixture, 0xe9);
	EXPECT(fixture, true, 0xfa, 0x20, 0x02, 80);
}

static void test_ps2_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *other = fake_machine_new(0);
	Device *fresh = fake_machine_add(other, &i8042_type, NULL);

	configure(fixture, 0x47);
	to_mouse(fixture, 0xf4);
	key(fixture, KEY_A, true);
	input_move(fixture->input, NULL, INPUT_AXIS_X, 9);
	fake_machine_check_state(fixture->i8042, fresh);
	g_assert_cmphex(fake_inb(other, 0x60), ==, 0xfa);
	g_assert_cmphex(fake_inb(other, 0x60), ==, 0x1e);
	fake_machine_remove(other, fresh);
	fake_machine_free(other);
}

/* Offer @n buffers of @size bytes to queue @queue, from head 0 on. */
static uint64_t offer(Fixture *fixture, unsigned queue, unsigned n, uint32_t size, bool writable)
{
	uint64_t gpa = virtio_driver_alloc(&fixture->driver, (uint64_t)n * size);

	for (unsigned i = 0; i < n; i++) {
		virtio_ring_describe(&fixture->driver.rings[queue], i, gpa + i * size, size,
				     writable ? RING_WRITE : 0, 0);
		virtio_driver_offer(&fixture->driver, queue, (uint16_t)i);
	}
	return gpa;
}

static void check_event(Fixture *fixture, uint64_t gpa, unsigned index, uint16_t type,
			uint16_t code, int32_t value)
{
	struct virtio_input_event event;

	memcpy(&event, virtio_driver_ram(&fixture->driver, gpa + index * sizeof(event)),
	       sizeof(event));
	g_assert_cmpuint(GUINT16_FROM_LE(event.type), ==, type);
	g_assert_cmpuint(GUINT16_FROM_LE(event.code), ==, code);
	g_assert_cmpint((int32_t)GUINT32_FROM_LE(event.value), ==, value);
}

static void add_virtio(Fixture *fixture, const VirtioDeviceType *type)
{
	fixture->device = fake_machine_add(fixture->fake, &type->pci.device, NULL);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
}

static uint8_t config_size(Fixture *fixture, uint8_t select, uint8_t subselect)
{
	virtio_driver_write_config(&fixture->driver, 0, select, 1);
	virtio_driver_write_config(&fixture->driver, 1, subselect, 1);
	return (uint8_t)virtio_driver_read_config(&fixture->driver, 2, 1);
}

static void test_virtio_keyboard(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint64_t gpa;
	uint32_t length;

	add_virtio(fixture, &virtio_keyboard_type);
	/* Until its driver is there, keys go to the other keyboard. */
	key(fixture, KEY_A, true);
	EXPECT(fixture, false, 0x1c);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	virtio_driver_settle(fixture->loop);
	gpa = offer(fixture, 0, 4, sizeof(struct virtio_input_event), true);
	key(fixture, KEY_B, true);
	for (unsigned i = 0; i < 2; i++) {
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, &length), ==, i);
		g_assert_cmpuint(length, ==, sizeof(struct virtio_input_event));
	}
	check_event(fixture, gpa, 0, EV_KEY, KEY_B, 1);
	check_event(fixture, gpa, 1, EV_SYN, SYN_REPORT, 0);
	g_assert_cmphex(fake_inb(fixture->fake, 0x64) & 0x01, ==, 0);
	/* Configuration: what there is, and sizes of 0 for what there is not. */
	g_assert_cmpuint(config_size(fixture, VIRTIO_INPUT_CFG_ID_NAME, 0), >, 0);
	g_assert_cmpuint(config_size(fixture, VIRTIO_INPUT_CFG_ID_NAME, 1), ==, 0);
	g_assert_cmpuint(config_size(fixture, VIRTIO_INPUT_CFG_ID_DEVIDS, 0), ==, 8);
	g_assert_cmpuint(config_size(fixture, VIRTIO_INPUT_CFG_EV_BITS, EV_KEY), >, 10);
	g_assert_cmpuint(config_size(fixture, VIRTIO_INPUT_CFG_EV_BITS, EV_REL), ==, 0);
	for (unsigned i = 0; i < 0x10000; i += 7)
		config_size(fixture, (uint8_t)(i >> 8), (uint8_t)i);
	/* Status comes back. */
	offer(fixture, 1, 1, 8, false);
	virtio_driver_wait(&fixture->driver, 1, &length);
	g_assert_cmpuint(length, ==, 0);
	/* Reset: the other keyboard again. */
	virtio_driver_set_status(&fixture->driver, 0);
	key(fixture, KEY_B, false);
	EXPECT(fixture, false, 0xf0, 0x32);
}

static void test_virtio_tablet(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint64_t gpa;

	add_virtio(fixture, &virtio_tablet_type);
	g_assert_false(input_has(fixture->input, INPUT_ABSOLUTE));
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	virtio_driver_settle(fixture->loop);
	g_assert_true(input_has(fixture->input, INPUT_ABSOLUTE));
	gpa = offer(fixture, 0, 8, sizeof(struct virtio_input_event), true);
	input_position(fixture->input, NULL, INPUT_AXIS_X, 100000);
	input_position(fixture->input, NULL, INPUT_AXIS_Y, -5);
	input_button(fixture->input, NULL, INPUT_BUTTON_RIGHT, true);
	input_button(fixture->input, NULL, INPUT_BUTTON_WHEEL_DOWN, true);
	input_sync(fixture->input);
	for (unsigned i = 0; i < 5; i++)
		virtio_driver_wait(&fixture->driver, 0, NULL);
	check_event(fixture, gpa, 0, EV_ABS, ABS_X, INPUT_POSITION_MAX);
	check_event(fixture, gpa, 1, EV_ABS, ABS_Y, 0);
	check_event(fixture, gpa, 2, EV_KEY, BTN_RIGHT, 1);
	check_event(fixture, gpa, 3, EV_REL, REL_WHEEL, -1);
	check_event(fixture, gpa, 4, EV_SYN, SYN_REPORT, 0);
	g_assert_cmpuint(config_size(fixture, VIRTIO_INPUT_CFG_ABS_INFO, ABS_X), ==, 20);
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 12, 4), ==,
			 INPUT_POSITION_MAX);
	g_assert_cmpuint(config_size(fixture, VIRTIO_INPUT_CFG_ABS_INFO, 2), ==, 0);
}

/* Without buffers events wait, and the newest are lost; buffers that are too small get a part. */
static void test_virtio_hostile(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint32_t length;

	add_virtio(fixture, &virtio_mouse_type);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	virtio_driver_settle(fixture->loop);
	for (unsigned i = 0; i < 2000; i++) {
		input_move(fixture->input, NULL, INPUT_AXIS_X, 1);
		input_sync(fixture->input);
	}
	offer(fixture, 0, 2, 3, true);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 3);
	virtio_driver_wait(&fixture->driver, 0, &length);
	offer(fixture, 0, 1, 8, false);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpuint(length, ==, 0);
	virtio_driver_settle(fixture->loop);
}

static void test_virtio_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	IoLoop *loop;
	FakeMachine *other = virtio_driver_machine(&loop);
	Device *fresh = fake_machine_add(other, &virtio_keyboard_type.pci.device, NULL);

	add_virtio(fixture, &virtio_keyboard_type);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	virtio_driver_settle(fixture->loop);
	key(fixture, KEY_C, true);
	virtio_driver_settle(fixture->loop);
	fixture->device->type->pause(fixture->device);
	fresh->type->pause(fresh);
	memcpy(other->ram, fixture->fake->ram, other->ram_size);
	fake_machine_check_state(fixture->device, fresh);
	g_assert_true(input_has(display_input(other->services.display), INPUT_KEYBOARD));
	fake_machine_remove(other, fresh);
	io_loop_free(loop);
	fake_machine_free(other);
}

static void test_keys(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const unsigned codes[] = { KEY_LEFTCTRL, KEY_C };
	bool shift;

	configure(fixture, 0x45);
	for (unsigned name = 1; name < QAPI_Q_KEY_CODE_COUNT; name++)
		g_assert_cmpuint(input_key_of_qcode((QapiQKeyCode)name), >, 0);
	for (unsigned code = 1; code < INPUT_KEY_CODES; code++) {
		unsigned scan = input_key_scan_code(code);

		if (scan)
			g_assert_cmpuint(input_key_scan_code(input_key_of_scan_code(scan)), ==,
					 scan);
	}
	g_assert_cmpuint(input_key_of_scan_code(0xcb), ==, KEY_LEFT);
	g_assert_cmpuint(input_key_of_keysym('A', &shift), ==, KEY_A);
	g_assert_true(shift);
	g_assert_cmpuint(input_key_of_keysym(0xff0d, &shift), ==, KEY_ENTER);
	g_assert_cmpuint(input_key_of_keysym(UINT32_MAX, &shift), ==, 0);

	g_assert_true(input_send_keys(fixture->input, codes, 2, 1));
	EXPECT(fixture, false, 0x1d, 0x2e);
	/* Its timer is of the default context, which is the main thread's. */
	while (!(fake_inb(fixture->fake, 0x64) & 0x01))
		g_main_context_iteration(NULL, TRUE);
	EXPECT(fixture, false, 0xae, 0x9d);
	key(fixture, KEY_A, true);
	input_release_all(fixture->input);
	EXPECT(fixture, false, 0x1e, 0x9e);
	g_assert_false(input_key(fixture->input, "other", KEY_A, true));
	g_assert_false(input_key(fixture->input, NULL, 100000, true));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/input/" name, Fixture, NULL, set_up, test, tear_down)
	ADD("ps2/keyboard", test_keyboard);
	ADD("ps2/flood", test_keyboard_flood);
	ADD("ps2/mouse", test_mouse);
	ADD("ps2/state", test_ps2_state);
	ADD("virtio/keyboard", test_virtio_keyboard);
	ADD("virtio/tablet", test_virtio_tablet);
	ADD("virtio/hostile", test_virtio_hostile);
	ADD("virtio/state", test_virtio_state);
	ADD("keys", test_keys);
	return g_test_run();
}
