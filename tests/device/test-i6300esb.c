/*
 * test-i6300esb.c: the watchdog as its driver, a hostile guest and time treat it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_machine.h"
#include "vmm/chipset/chipset.h"
#include "vmm/pci/pci_registers.h"

#define BAR	     0xe0000000u
#define CONFIG	     0x60
#define LOCK	     0x68
#define PRELOAD_1    0x0
#define PRELOAD_2    0x4
#define RELOAD	     0xc
#define FAST	     0x04
#define OUTPUT_OFF   0x20
#define LOCKED	     0x01
#define ENABLE	     0x02
#define FREE_RUNNING 0x04

/* A count of the slow clock is 2^15 / 33 us, about a millisecond. */
#define COUNTS_20_MS 20u
#define COUNTS_LONG  100000u

typedef struct Fixture {
	FakeMachine *fake;
	Device *device;
	PciDevice *pci;
} Fixture;

static Device *add(Fixture *fixture, uint32_t bar)
{
	Device *device = fake_machine_add(fixture->fake, &i6300esb_type.device, NULL);

	pci_device_config_write((PciDevice *)device, PCI_BASE_ADDRESS_0, bar, 4);
	pci_device_config_write((PciDevice *)device, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	return device;
}

static void setup(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fixture->fake = fake_machine_new(1u << 20);
	fixture->device = add(fixture, BAR);
	fixture->pci = (PciDevice *)fixture->device;
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_remove(fixture->fake, fixture->device);
	fake_machine_free(fixture->fake);
}

static void put(Fixture *fixture, unsigned offset, uint32_t value, unsigned size)
{
	fake_write(fixture->fake, BAR + RELOAD, 0x80, 2);
	fake_write(fixture->fake, BAR + RELOAD, 0x86, 2);
	fake_write(fixture->fake, BAR + offset, value, size);
}

static void start(Fixture *fixture, uint32_t counts, uint8_t config, uint8_t lock)
{
	pci_device_config_write(fixture->pci, CONFIG, config, 2);
	put(fixture, PRELOAD_1, counts, 4);
	put(fixture, PRELOAD_2, counts, 4);
	put(fixture, RELOAD, 0x100, 2);
	pci_device_config_write(fixture->pci, LOCK, lock, 1);
}

static bool has_request(gpointer data)
{
	return ((FakeMachine *)data)->requests->len > 0;
}

static bool expires(Fixture *fixture, unsigned limit_ms)
{
	FakeRequest request;

	if (!fake_machine_run_until(fixture->fake, has_request, fixture->fake, limit_ms))
		return false;
	g_assert_true(fake_machine_take_request(fixture->fake, &request));
	g_assert_cmpint(request.request, ==, RUN_REQUEST_WATCHDOG);
	return true;
}

/* Two stages go by, the machine is told once, and the driver can tell why it started again. */
static void test_expires(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	int64_t began = g_get_monotonic_time();

	g_assert_cmphex(fake_read(fixture->fake, BAR + RELOAD, 2), ==, 0);
	start(fixture, COUNTS_20_MS, 0, ENABLE);
	g_assert_true(expires(fixture, 10000));
	g_assert_cmpint(g_get_monotonic_time() - began, >=, 2 * 19000);
	g_assert_cmphex(pci_device_config_read(fixture->pci, LOCK, 1), ==, 0);
	g_assert_false(expires(fixture, 100));
	fixture->device->type->reset(fixture->device);
	pci_device_config_write(fixture->pci, PCI_BASE_ADDRESS_0, BAR, 4);
	pci_device_config_write(fixture->pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmphex(fake_read(fixture->fake, BAR + RELOAD, 2), ==, 0x200);
	put(fixture, RELOAD, 0x200, 2);
	g_assert_cmphex(fake_read(fixture->fake, BAR + RELOAD, 2), ==, 0);
}

/* A driver that is alive puts the end off for good. */
static void test_kept_alive(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	start(fixture, COUNTS_LONG, 0, ENABLE);
	put(fixture, PRELOAD_1, 0, 4);
	put(fixture, PRELOAD_2, 0, 4);
	for (unsigned i = 0; i < 5; i++) {
		put(fixture, PRELOAD_1, COUNTS_LONG, 4);
		put(fixture, RELOAD, 0x100, 2);
		g_assert_false(expires(fixture, 20));
	}
	pci_device_config_write(fixture->pci, LOCK, 0, 1);
	put(fixture, PRELOAD_1, 0, 4);
	put(fixture, RELOAD, 0x100, 2);
	g_assert_false(expires(fixture, 50));
}

/* Without the sequence nothing is written, and it holds for one write. */
static void test_unlock(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_write(fixture->fake, BAR + PRELOAD_1, 0x111, 4);
	g_assert_cmphex(fake_read(fixture->fake, BAR + PRELOAD_1, 4), ==, 0xfffff);
	put(fixture, PRELOAD_1, 0xfff00222, 4);
	fake_write(fixture->fake, BAR + PRELOAD_1, 0x333, 4);
	g_assert_cmphex(fake_read(fixture->fake, BAR + PRELOAD_1, 4), ==, 0x222);
	fake_write(fixture->fake, BAR + RELOAD, 0x86, 2);
	fake_write(fixture->fake, BAR + RELOAD, 0x80, 2);
	fake_write(fixture->fake, BAR + PRELOAD_1, 0x444, 4);
	g_assert_cmphex(fake_read(fixture->fake, BAR + PRELOAD_1, 4), ==, 0x222);
	fake_write(fixture->fake, BAR + RELOAD, 0x80, 2);
	fake_write(fixture->fake, BAR + PRELOAD_2, 0, 4);
	fake_write(fixture->fake, BAR + RELOAD, 0x86, 2);
	fake_write(fixture->fake, BAR + PRELOAD_2, 0x555, 4);
	g_assert_cmphex(fake_read(fixture->fake, BAR + PRELOAD_2, 4), ==, 0xfffff);
}

/* Once locked it cannot be stopped, but by a reset. */
static void test_locked(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	start(fixture, COUNTS_20_MS, 0, ENABLE | LOCKED);
	pci_device_config_write(fixture->pci, LOCK, 0, 1);
	pci_device_config_write(fixture->pci, LOCK & ~3u, 0, 4);
	g_assert_cmphex(pci_device_config_read(fixture->pci, LOCK, 1), ==, ENABLE | LOCKED);
	g_assert_true(expires(fixture, 10000));
	fixture->device->type->reset(fixture->device);
	g_assert_cmphex(pci_device_config_read(fixture->pci, LOCK, 1), ==, 0);
	g_assert_false(expires(fixture, 60));
}

static bool has_ended(gpointer data)
{
	return pci_device_config_read(data, LOCK, 1) == 0;
}

static void test_output_off(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	start(fixture, 1, OUTPUT_OFF, ENABLE);
	g_assert_true(fake_machine_run_until(fixture->fake, has_ended, fixture->pci, 10000));
	g_assert_false(has_request(fixture->fake));
	g_assert_cmphex(fake_read(fixture->fake, BAR + RELOAD, 2), ==, 0);
}

/* The shortest time there is, again and again: each round takes two milliseconds at least. */
static void test_free_running(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	int64_t began = g_get_monotonic_time();
	const unsigned rounds = 10;

	start(fixture, 0, FAST, ENABLE | FREE_RUNNING);
	for (unsigned i = 0; i < rounds; i++)
		g_assert_true(expires(fixture, 10000));
	g_assert_cmpint(g_get_monotonic_time() - began, >=, rounds * 2000);
	g_assert_cmphex(pci_device_config_read(fixture->pci, LOCK, 1), ==, ENABLE | FREE_RUNNING);
}

/* Its time stands still with the machine's, also across a save. */
static void test_pause_and_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *other;

	start(fixture, COUNTS_20_MS, 0, ENABLE);
	i6300esb_type.device.pause(fixture->device);
	g_assert_false(expires(fixture, 100));
	other = add(fixture, 0);
	i6300esb_type.device.pause(other);
	fake_machine_check_state(fixture->device, other);
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = other;
	fixture->pci = (PciDevice *)other;
	g_assert_false(expires(fixture, 100));
	i6300esb_type.device.resume(other);
	g_assert_true(expires(fixture, 10000));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(path, test) g_test_add(path, Fixture, NULL, setup, test, teardown)
	ADD("/i6300esb/expires", test_expires);
	ADD("/i6300esb/kept-alive", test_kept_alive);
	ADD("/i6300esb/unlock", test_unlock);
	ADD("/i6300esb/locked", test_locked);
	ADD("/i6300esb/output-off", test_output_off);
	ADD("/i6300esb/free-running", test_free_running);
	ADD("/i6300esb/pause-and-state", test_pause_and_state);
	return g_test_run();
}
