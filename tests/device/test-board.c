/*
 * test-board.c: the small devices: keyboard controller, port 0x92, debug ports, pvpanic
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "tests/device/fake_chardev.h"
#include "tests/device/fake_machine.h"
#include "vmm/chipset/chipset.h"
#include "vmm/x86/acpi_layout.h"

typedef struct Fixture {
	FakeMachine *fake;
} Fixture;

static void setup(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fixture->fake = fake_machine_new(0);
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_free(fixture->fake);
}

static void check_request(FakeMachine *fake, RunRequest wanted, int value)
{
	FakeRequest request;

	g_assert_true(fake_machine_take_request(fake, &request));
	g_assert_cmpint(request.request, ==, wanted);
	g_assert_cmpint(request.value, ==, value);
	g_assert_false(fake_machine_take_request(fake, &request));
}

static void check_no_request(FakeMachine *fake)
{
	FakeRequest request;

	g_assert_false(fake_machine_take_request(fake, &request));
}

/* Give the controller @command; its answer, which must be there at once. */
static uint8_t ask(FakeMachine *fake, uint8_t command)
{
	fake_outb(fake, 0x64, command);
	g_assert_cmphex(fake_inb(fake, 0x64) & 1, ==, 1);
	return fake_inb(fake, 0x60);
}

static void test_i8042(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Device *i8042 = fake_machine_add(fake, &i8042_type, NULL);

	g_assert_cmphex(fake_inb(fake, 0x64) & 0x03, ==, 0);
	g_assert_cmphex(ask(fake, 0xaa), ==, 0x55);
	g_assert_cmphex(fake_inb(fake, 0x64) & 0x01, ==, 0);
	g_assert_cmphex(ask(fake, 0xab), ==, 0);
	g_assert_cmphex(ask(fake, 0xa9), !=, 0);
	g_assert_cmphex(ask(fake, 0xd0) & 0x03, ==, 0x03);

	/* The configuration byte, with interrupts. */
	fake_outb(fake, 0x64, 0x60);
	fake_outb(fake, 0x60, 0x05);
	g_assert_false(fake_machine_line(fake, 1));
	fake_outb(fake, 0x64, 0x20);
	g_assert_true(fake_machine_line(fake, 1));
	g_assert_cmphex(fake_inb(fake, 0x60), ==, 0x25);
	g_assert_false(fake_machine_line(fake, 1));

	/* Nobody at the keyboard: time-out, resend. */
	fake_outb(fake, 0x60, 0xff);
	g_assert_cmphex(fake_inb(fake, 0x64) & 0x41, ==, 0x41);
	g_assert_cmphex(fake_inb(fake, 0x60), ==, 0xfe);
	g_assert_cmphex(fake_inb(fake, 0x64) & 0x41, ==, 0);

	/* A20 stays; reset by pulse and by output port. */
	fake_outb(fake, 0x64, 0xd1);
	fake_outb(fake, 0x60, 0x01);
	g_assert_cmphex(ask(fake, 0xd0), ==, 0x03);
	check_no_request(fake);
	fake_outb(fake, 0x64, 0xff);
	check_no_request(fake);
	fake_outb(fake, 0x64, 0xfe);
	check_request(fake, RUN_REQUEST_GUEST_RESET, 0);
	fake_outb(fake, 0x64, 0xd1);
	fake_outb(fake, 0x60, 0x02);
	check_request(fake, RUN_REQUEST_GUEST_RESET, 0);

	for (unsigned i = 0; i < 0xf0; i++) {
		fake_outb(fake, 0x64, (uint8_t)i);
		fake_outb(fake, 0x60, 0xff);
		fake_inb(fake, 0x60);
	}
	check_no_request(fake);
	fake_machine_remove(fake, i8042);
}

static void test_i8042_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake, *other = fake_machine_new(0);
	Device *i8042 = fake_machine_add(fake, &i8042_type, NULL);
	Device *fresh = fake_machine_add(other, &i8042_type, NULL);

	fake_outb(fake, 0x64, 0x60);
	fake_outb(fake, 0x60, 0x05);
	fake_outb(fake, 0x64, 0xab);
	fake_outb(fake, 0x64, 0x60);
	fake_machine_check_state(i8042, fresh);
	g_assert_true(fake_machine_line(other, 1));
	fake_inb(other, 0x60);
	fake_outb(other, 0x60, 0x44);
	g_assert_cmphex(ask(other, 0x20), ==, 0x64);
	fake_machine_remove(other, fresh);
	fake_machine_free(other);
	fake_machine_remove(fake, i8042);
}

static void test_port92(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake, *other = fake_machine_new(0);
	Device *port92 = fake_machine_add(fake, &port92_type, NULL);
	Device *fresh = fake_machine_add(other, &port92_type, NULL);

	g_assert_cmphex(fake_inb(fake, 0x92), ==, 0x02);
	fake_outb(fake, 0x92, 0x00);
	g_assert_cmphex(fake_inb(fake, 0x92), ==, 0x02);
	check_no_request(fake);
	fake_outb(fake, 0x92, 0x03);
	check_request(fake, RUN_REQUEST_GUEST_RESET, 0);
	fake_outb(fake, 0x92, 0x03);
	check_no_request(fake);
	fake_machine_check_state(port92, fresh);
	g_assert_cmphex(fake_inb(other, 0x92), ==, 0x03);
	port92_type.reset(port92);
	g_assert_cmphex(fake_inb(fake, 0x92), ==, 0x02);
	fake_machine_remove(other, fresh);
	fake_machine_free(other);
	fake_machine_remove(fake, port92);
}

static void test_debug_exit(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	g_autoptr(GError) error = NULL;
	Device *device = fake_machine_add(fake, &debug_exit_type, "iobase=0xf4,iosize=4");

	fake_outl(fake, 0xf4, 16);
	check_request(fake, RUN_REQUEST_EXIT, 33);
	fake_outb(fake, 0xf4, 0xff);
	check_request(fake, RUN_REQUEST_EXIT, 255);
	fake_outl(fake, 0xf4, 0xffffffff);
	check_request(fake, RUN_REQUEST_EXIT, 255);
	g_assert_cmphex(fake_inl(fake, 0xf4), ==, 0);
	fake_machine_remove(fake, device);

	g_assert_null(fake_machine_try_add(fake, &debug_exit_type, "iobase=0xffff", &error));
	g_assert_nonnull(strstr(error->message, "0xffff"));
}

static void test_debug_console(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	g_autoptr(GError) error = NULL;
	Chardev chardev;
	Device *device;

	g_assert_null(fake_machine_try_add(fake, &debug_console_type, "chardev=d", &error));
	g_assert_nonnull(strstr(error->message, "'d'"));
	fake_chardev_init(&chardev);
	fake_machine_set_chardev(fake, "d", &chardev);
	device = fake_machine_add(fake, &debug_console_type, "chardev=d,iobase=0x402");
	g_assert_cmphex(fake_inb(fake, 0x402), ==, 0xe9);
	fake_outb(fake, 0x402, 'd');
	fake_outb(fake, 0x402, '\n');
	g_assert_cmpstr(chardev.written->str, ==, "d\n");
	g_assert_cmpuint(fake_chardev_send(&chardev, "x"), ==, 0);
	fake_machine_remove(fake, device);
	fake_chardev_clear(&chardev);
}

static void test_pvpanic(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Device *device = fake_machine_add(fake, &pvpanic_type, NULL);

	g_assert_cmphex(pvpanic_port(device), ==, 0x505);
	g_assert_cmphex(fake_inb(fake, 0x505), ==, 1);
	fake_outb(fake, 0x505, 0xfe);
	check_no_request(fake);
	fake_outb(fake, 0x505, 1);
	check_request(fake, RUN_REQUEST_GUEST_PANIC, 0);
	fake_machine_remove(fake, device);
}

static void test_vmgenid(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	g_autoptr(GError) error = NULL;
	Device *device;

	g_assert_null(fake_machine_try_add(fake, &vmgenid_type, "guid=1-2-3", &error));
	g_assert_nonnull(strstr(error->message, "guid=1-2-3 is neither"));
	device = fake_machine_add(fake, &vmgenid_type,
				  "guid=00112233-4455-6677-8899-aabbccddeeff");
	g_assert_cmphex(fake_read(fake, ACPI_GENERATION_BASE, 8), ==, 0x6677445500112233);
	g_assert_cmphex(fake_read(fake, ACPI_GENERATION_BASE + 8, 8), ==, 0xffeeddccbbaa9988);
	fake_write(fake, ACPI_GENERATION_BASE, 0, 8);
	g_assert_cmphex(fake_read(fake, ACPI_GENERATION_BASE, 8), ==, 0x6677445500112233);
	fake_machine_remove(fake, device);
	device = fake_machine_add(fake, &vmgenid_type, "guid=auto");
	g_assert_true(g_uuid_string_is_valid(vmgenid_guid(device)));
	fake_machine_remove(fake, device);
}

int main(int argc, char **argv)
{
#define ADD(name, function) g_test_add("/board/" name, Fixture, NULL, setup, function, teardown)
	g_test_init(&argc, &argv, NULL);
	ADD("i8042", test_i8042);
	ADD("i8042/state", test_i8042_state);
	ADD("port92", test_port92);
	ADD("debug-exit", test_debug_exit);
	ADD("debug-console", test_debug_console);
	ADD("pvpanic", test_pvpanic);
	ADD("vmgenid", test_vmgenid);
	return g_test_run();
}
