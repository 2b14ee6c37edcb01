/*
 * test-acpi-pm.c: ACPI's registers as an OS uses them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_machine.h"
#include "vmm/chipset/chipset.h"

#define SCI 9

enum { STATUS = 0x600, ENABLE = 0x602, CONTROL = 0x604, TIMER = 0x608, GPE = 0x620 };

typedef struct Fixture {
	FakeMachine *fake;
	Device *pm;
} Fixture;

static void setup(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fixture->fake = fake_machine_new(0);
	fixture->pm = fake_machine_add(fixture->fake, &acpi_pm_type, NULL);
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_remove(fixture->fake, fixture->pm);
	fake_machine_free(fixture->fake);
}

static void test_power_button(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	/* ACPI mode from the start, and to stay in. */
	g_assert_cmphex(fake_inw(fake, CONTROL), ==, 1);
	fake_outw(fake, CONTROL, 0);
	g_assert_cmphex(fake_inw(fake, CONTROL), ==, 1);

	/* Pressed while nobody listens: remembered. */
	acpi_pm_power_button(fixture->pm);
	g_assert_false(fake_machine_line(fake, SCI));
	g_assert_cmphex(fake_inw(fake, STATUS), ==, 0x100);
	fake_outw(fake, ENABLE, 0x120);
	g_assert_true(fake_machine_line(fake, SCI));
	/* Writing zeroes clears nothing; writing ones, the ones. */
	fake_outw(fake, STATUS, 0);
	g_assert_true(fake_machine_line(fake, SCI));
	fake_outw(fake, STATUS, 0x100);
	g_assert_false(fake_machine_line(fake, SCI));
	g_assert_cmphex(fake_inl(fake, STATUS), ==, 0x01200000);

	/* By the byte, as ACPICA does on some registers. */
	acpi_pm_power_button(fixture->pm);
	g_assert_cmphex(fake_inb(fake, STATUS + 1), ==, 1);
	fake_outb(fake, STATUS + 1, 1);
	g_assert_false(fake_machine_line(fake, SCI));
	fake_outl(fake, STATUS, 0xffffffff);
	g_assert_cmphex(fake_inw(fake, ENABLE), ==, 0x521);
}

static void test_soft_off(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	FakeRequest request;

	/* A sleep type alone, or one that is not S5, does nothing. */
	fake_outw(fake, CONTROL, 0x0001);
	fake_outw(fake, CONTROL, 0x2401);
	g_assert_false(fake_machine_take_request(fake, &request));
	g_assert_cmphex(fake_inw(fake, CONTROL), ==, 0x0401);
	fake_outw(fake, CONTROL, 0x2001);
	g_assert_true(fake_machine_take_request(fake, &request));
	g_assert_cmpint(request.request, ==, RUN_REQUEST_GUEST_SHUTDOWN);
	g_assert_false(fake_machine_take_request(fake, &request));
	/* SLP_EN reads as zero. */
	g_assert_cmphex(fake_inw(fake, CONTROL), ==, 0x0001);
}

static void test_timer(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	uint32_t start = fake_inl(fake, TIMER), stopped;
	int64_t before = g_get_monotonic_time(), spent;

	g_usleep(20000);
	spent = g_get_monotonic_time() - before;
	/* At least as much as was slept; how much more depends on the host. */
	g_assert_cmpuint(fake_inl(fake, TIMER) - start, >=, (uint32_t)(spent * 3579545 / 1000000));
	/* Read only. */
	fake_outl(fake, TIMER, 0);
	g_assert_cmpuint(fake_inl(fake, TIMER), >, start);

	/* It stands while the machine does, and goes on from there. */
	acpi_pm_type.pause(fixture->pm);
	stopped = fake_inl(fake, TIMER);
	g_usleep(1000);
	g_assert_cmpuint(fake_inl(fake, TIMER), ==, stopped);
	acpi_pm_type.resume(fixture->pm);
	g_assert_cmpuint(fake_inl(fake, TIMER), >=, stopped);
	g_usleep(1000);
	g_assert_cmpuint(fake_inl(fake, TIMER), >, stopped);
}

static void test_gpe(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	fake_outl(fake, GPE + 8, 0xa5a5a5a5);
	g_assert_cmphex(fake_inl(fake, GPE + 8), ==, 0xa5a5a5a5);
	fake_outl(fake, GPE, 0xffffffff);
	g_assert_cmphex(fake_inl(fake, GPE), ==, 0);
	g_assert_false(fake_machine_line(fake, SCI));
	/* What is not there reads as zero, up to the end of the block. */
	g_assert_cmphex(fake_inl(fake, 0x67c), ==, 0);
	fake_outl(fake, 0x67c, 0xffffffff);
}

static void test_reset(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	fake_outw(fake, ENABLE, 0x100);
	acpi_pm_power_button(fixture->pm);
	g_assert_true(fake_machine_line(fake, SCI));
	acpi_pm_type.reset(fixture->pm);
	g_assert_false(fake_machine_line(fake, SCI));
	g_assert_cmphex(fake_inl(fake, STATUS), ==, 0);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *other = fake_machine_new(0);
	Device *fresh = fake_machine_add(other, &acpi_pm_type, NULL);
	uint32_t ticks;

	fake_outw(fixture->fake, ENABLE, 0x100);
	acpi_pm_power_button(fixture->pm);
	fake_outb(fixture->fake, GPE + 9, 0x81);
	g_usleep(2000);
	acpi_pm_type.pause(fixture->pm);
	acpi_pm_type.pause(fresh);
	fake_machine_check_state(fixture->pm, fresh);
	g_assert_true(fake_machine_line(other, SCI));
	ticks = fake_inl(fixture->fake, TIMER);
	g_assert_cmpuint(ticks, >, 0);
	g_assert_cmpuint(fake_inl(other, TIMER), ==, ticks);
	acpi_pm_type.resume(fresh);
	g_assert_cmpuint(fake_inl(other, TIMER), >=, ticks);
	fake_machine_remove(other, fresh);
	fake_machine_free(other);
}

int main(int argc, char **argv)
{
#define ADD(name, function) g_test_add("/acpi-pm/" name, Fixture, NULL, setup, function, teardown)
	g_test_init(&argc, &argv, NULL);
	ADD("power-button", test_power_button);
	ADD("soft-off", test_soft_off);
	ADD("timer", test_timer);
	ADD("gpe", test_gpe);
	ADD("reset", test_reset);
	ADD("state", test_state);
	return g_test_run();
}
