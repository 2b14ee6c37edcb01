/*
 * test-lpc-bridge.c: the LPC bridge as firmware and drivers recognize it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_machine.h"
#include "vmm/chipset/chipset.h"
#include "vmm/pci/host_bridge.h"

typedef struct Fixture {
	FakeMachine *fake;
	DeviceTree *tree;
	Device *lpc;
} Fixture;

static const DeviceType *const types[] = {
	&host_bridge_type,
	&memory_controller_hub_type.device,
	&lpc_bridge_type.device,
	NULL,
};

static void setup(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	json_object *options = json_object_new_object();
	Device *bridge;

	fixture->fake = fake_machine_new(0);
	fixture->tree = device_tree_new(types, &fixture->fake->services);
	bridge = device_tree_add_builtin(fixture->tree, HOST_BRIDGE_TYPE, NULL, NULL, &error);
	g_assert_no_error(error);
	json_object_object_add(options, "addr", json_object_new_string("1f.0"));
	fixture->lpc = device_tree_add_builtin(fixture->tree, "ICH9-LPC",
					       &host_bridge_bus(bridge)->bus, options, &error);
	g_assert_no_error(error);
	json_object_put(options);
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	device_tree_free(fixture->tree);
	fake_machine_free(fixture->fake);
}

static uint32_t config_read(Fixture *fixture, uint8_t offset)
{
	fake_outl(fixture->fake, 0xcf8, 0x80000000 | 31 << 11 | offset);
	return fake_inl(fixture->fake, 0xcfc);
}

static void config_write(Fixture *fixture, uint8_t offset, uint32_t value)
{
	fake_outl(fixture->fake, 0xcf8, 0x80000000 | 31 << 11 | offset);
	fake_outl(fixture->fake, 0xcfc, value);
}

static void test_registers(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_assert_cmphex(config_read(fixture, 0x00), ==, 0x29188086);
	g_assert_cmphex(config_read(fixture, 0x08) >> 8, ==, 0x060100);
	g_assert_cmphex(config_read(fixture, 0x40), ==, 0x601);
	g_assert_cmphex(config_read(fixture, 0x44) & 0x87, ==, 0x80);
	/* ACPI's registers stay where they are. */
	config_write(fixture, 0x40, 0xb001);
	config_write(fixture, 0x44, 0);
	g_assert_cmphex(config_read(fixture, 0x40), ==, 0x601);
	g_assert_cmphex(config_read(fixture, 0x44) & 0x87, ==, 0x80);

	g_assert_cmphex(config_read(fixture, 0x60), ==, 0x80808080);
	config_write(fixture, 0x60, 0xff0a0b0a);
	g_assert_cmphex(config_read(fixture, 0x60), ==, 0x8f0a0b0a);
	g_assert_cmphex(config_read(fixture, 0x68), ==, 0x80808080);
	fixture->lpc->type->reset(fixture->lpc);
	g_assert_cmphex(config_read(fixture, 0x60), ==, 0x80808080);
	g_assert_cmphex(config_read(fixture, 0x40), ==, 0x601);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Fixture other;

	setup(&other, NULL);
	config_write(fixture, 0x68, 0x0b0a0b0a);
	fake_machine_check_state(fixture->lpc, other.lpc);
	g_assert_cmphex(config_read(&other, 0x68), ==, 0x0b0a0b0a);
	teardown(&other, NULL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/lpc-bridge/registers", Fixture, NULL, setup, test_registers, teardown);
	g_test_add("/lpc-bridge/state", Fixture, NULL, setup, test_state, teardown);
	return g_test_run();
}
