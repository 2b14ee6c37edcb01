/*
 * test-cpu-hotplug.c: vCPUs that come and go, and guests that do as they like with that
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_machine.h"
#include "vmm/base/json.h"
#include "vmm/chipset/chipset.h"

#include <string.h>

#define SCI 9

enum { SELECTOR = 0xcd8, FLAGS = 0xcdc, COMMAND = 0xcdd, DATA = 0xce0, GPE_STATUS = 0x620 };
enum { ENABLED = 1, INSERTING = 2, REMOVING = 4, EJECT = 8 };

static const DeviceType *const types[] = { &acpi_pm_type, &cpu_hotplug_type, &processor_type,
					   NULL };
/* One there from the start; APIC ids 0, 1, 2, and 4, 5, 6. */
static const CpuTopology topology = {
	.cpus = 1, .max_cpus = 6, .sockets = 2, .dies = 1, .cores = 3, .threads = 1
};

/* Which vCPUs the machine runs, a bit each; and one it cannot. */
static unsigned plugged, impossible;

static bool plug_cpu(G_GNUC_UNUSED DeviceServices *services, unsigned index,
		     G_GNUC_UNUSED unsigned node, const char *path, GError **error)
{
	g_assert_true(g_str_has_prefix(path, "/machine/peripheral"));
	if (index == impossible) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "no such luck");
		return false;
	}
	g_assert_false(plugged & 1u << index);
	plugged |= 1u << index;
	return true;
}

static void unplug_cpu(G_GNUC_UNUSED DeviceServices *services, unsigned index)
{
	g_assert_true(plugged & 1u << index);
	plugged &= ~(1u << index);
}

typedef struct Fixture {
	FakeMachine *fake;
	DeviceTree *tree;
	Device *hotplug;
} Fixture;

static void setup(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *pm;

	plugged = 0;
	impossible = 5;
	fixture->fake = fake_machine_new(0);
	fixture->fake->services.cpu_topology = &topology;
	fixture->fake->services.plug_cpu = plug_cpu;
	fixture->fake->services.unplug_cpu = unplug_cpu;
	fixture->tree = device_tree_new(types, &fixture->fake->services);
	pm = device_tree_add_builtin(fixture->tree, acpi_pm_type.name, NULL, NULL, NULL);
	fixture->hotplug =
		device_tree_add_builtin(fixture->tree, cpu_hotplug_type.name, NULL, NULL, NULL);
	cpu_hotplug_set_acpi_pm(fixture->hotplug, pm);
	device_tree_reset(fixture->tree);
	/* The guest listens. */
	fake_outb(fixture->fake, GPE_STATUS + 8, 0xff);
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_iterate(fixture->fake);
	device_tree_free(fixture->tree);
	fake_machine_free(fixture->fake);
	g_assert_cmphex(plugged, ==, 0);
}

/* Add core @core of socket @socket as @id; NULL and @error. */
static Device *add(Fixture *fixture, const char *id, int socket, int core, GError **error)
{
	g_autoptr(JsonObject) options = json_object_new_object();

	json_object_object_add(options, "driver", json_object_new_string("x86_64-cpu"));
	json_object_object_add(options, "id", json_object_new_string(id));
	json_object_object_add(options, "socket-id", json_object_new_int(socket));
	json_object_object_add(options, "die-id", json_object_new_int(0));
	json_object_object_add(options, "core-id", json_object_new_int(core));
	json_object_object_add(options, "thread-id", json_object_new_int(0));
	return device_tree_add(fixture->tree, options, error);
}

static uint8_t flags_of(FakeMachine *fake, uint32_t index)
{
	fake_outl(fake, SELECTOR, index);
	return fake_inb(fake, FLAGS);
}

/* What the tables' SCAN does: the next event's vCPU and flags, acknowledged; false: none. */
static bool next_event(FakeMachine *fake, uint32_t *index, uint8_t *flags)
{
	fake_outb(fake, COMMAND, 0);
	*flags = fake_inb(fake, FLAGS) & (INSERTING | REMOVING);
	*index = fake_inl(fake, DATA);
	fake_outb(fake, FLAGS, *flags);
	return *flags != 0;
}

static void test_from_start(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	/* Before the guest runs it is nothing to tell of. */
	g_assert_nonnull(add(fixture, "a", 0, 2, NULL));
	g_assert_cmphex(flags_of(fake, 0), ==, ENABLED);
	g_assert_cmphex(flags_of(fake, 1), ==, 0);
	g_assert_cmphex(flags_of(fake, 2), ==, ENABLED);
	g_assert_cmphex(plugged, ==, 1u << 2);
	g_assert_false(fake_machine_line(fake, SCI));
	fake_outb(fake, COMMAND, 3);
	fake_outl(fake, SELECTOR, 4);
	g_assert_cmpuint(fake_inl(fake, DATA), ==, 5);
	g_assert_cmpuint(fake_inl(fake, SELECTOR), ==, 0);
}

static void test_plug_and_unplug(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	uint32_t index;
	uint8_t flags;
	Device *cpu;

	device_tree_set_started(fixture->tree);
	g_assert_false(next_event(fake, &index, &flags));
	cpu = add(fixture, "a", 1, 0, NULL);
	g_assert_nonnull(add(fixture, "b", 0, 1, NULL));
	g_assert_true(fake_machine_line(fake, SCI));
	g_assert_cmphex(fake_inb(fake, GPE_STATUS), ==, 4);
	fake_outb(fake, GPE_STATUS, 4);
	g_assert_false(fake_machine_line(fake, SCI));
	g_assert_true(next_event(fake, &index, &flags));
	g_assert_cmpuint(index, ==, 1);
	g_assert_cmphex(flags, ==, INSERTING);
	g_assert_true(next_event(fake, &index, &flags));
	g_assert_cmpuint(index, ==, 3);
	g_assert_false(next_event(fake, &index, &flags));

	/* A guest that lets go unasked is not obeyed. */
	fake_outl(fake, SELECTOR, 3);
	fake_outb(fake, FLAGS, EJECT);
	fake_machine_iterate(fake);
	g_assert_cmphex(plugged, ==, 1u << 1 | 1u << 3);

	g_assert_true(device_tree_request_remove(fixture->tree, cpu, NULL));
	g_assert_true(fake_machine_line(fake, SCI));
	g_assert_true(next_event(fake, &index, &flags));
	g_assert_cmpuint(index, ==, 3);
	g_assert_cmphex(flags, ==, REMOVING);
	fake_machine_iterate(fake);
	g_assert_cmphex(plugged, ==, 1u << 1 | 1u << 3);
	fake_outl(fake, SELECTOR, 3);
	fake_outb(fake, FLAGS, EJECT);
	fake_outb(fake, FLAGS, EJECT);
	fake_machine_iterate(fake);
	g_assert_cmphex(plugged, ==, 1u << 1);
	g_assert_cmphex(flags_of(fake, 3), ==, 0);
	g_assert_null(device_tree_find(fixture->tree, "a"));
	/* And the place can be taken again. */
	g_assert_nonnull(add(fixture, "a", 1, 0, NULL));
}

static void test_guest_refuses(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Device *cpu;

	device_tree_set_started(fixture->tree);
	cpu = add(fixture, "a", 0, 1, NULL);
	g_assert_true(device_tree_request_remove(fixture->tree, cpu, NULL));
	fake_outl(fake, SELECTOR, 1);
	/* Eject request: pending, then busy. */
	fake_outb(fake, COMMAND, 1);
	fake_outl(fake, DATA, 3);
	fake_outb(fake, COMMAND, 2);
	fake_outl(fake, DATA, 0x84);
	fake_machine_iterate(fake);
	g_assert_true(cpu->unplug_requested);
	fake_outl(fake, DATA, 0x82);
	fake_machine_iterate(fake);
	g_assert_false(cpu->unplug_requested);
	g_assert_cmphex(plugged, ==, 2);
	/* A reset is as good as a consent. */
	g_assert_true(device_tree_request_remove(fixture->tree, cpu, NULL));
	device_tree_reset(fixture->tree);
	g_assert_cmphex(plugged, ==, 0);
	g_assert_cmphex(flags_of(fake, 1), ==, 0);
}

static void test_refused(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const struct {
		int socket, core;
		const char *expected;
	} cases[] = {
		{ 0, 0, "CPU 0 is plugged in already" },
		{ 0, 1, "CPU 1 is plugged in already" },
		{ 2, 0, "socket-id 2: there are 2, counted from 0" },
		{ 0, 3, "core-id 3: there are 3, counted from 0" },
		{ 0, -1, "core-id" },
		{ 1, 2, "no such luck" },
	};

	g_assert_nonnull(add(fixture, "a", 0, 1, NULL));
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(add(fixture, "b", cases[i].socket, cases[i].core, &error));
		g_assert_nonnull(strstr(error->message, cases[i].expected));
	}
	/* What failed left its place free. */
	impossible = UINT32_MAX;
	g_assert_nonnull(add(fixture, "b", 1, 2, NULL));
}

static void test_hostile(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	static const uint32_t selectors[] = { 0, 5, 6, 254, 255, 0x80000000, UINT32_MAX };

	device_tree_set_started(fixture->tree);
	g_assert_nonnull(add(fixture, "a", 0, 1, NULL));
	for (unsigned i = 0; i < G_N_ELEMENTS(selectors); i++) {
		fake_outl(fake, SELECTOR, selectors[i]);
		for (unsigned value = 0; value < 256; value++) {
			fake_outb(fake, FLAGS, (uint8_t)value);
			fake_outb(fake, COMMAND, (uint8_t)value);
			fake_outl(fake, DATA, value << 24 | value);
			fake_outl(fake, SELECTOR, selectors[i]);
			for (uint16_t port = SELECTOR; port < SELECTOR + 12; port++)
				fake_inb(fake, port);
			fake_inl(fake, DATA);
		}
	}
	fake_machine_iterate(fake);
	g_assert_cmphex(plugged, ==, 2);
	/* Beyond the last one there is nothing. */
	g_assert_cmphex(flags_of(fake, 6), ==, 0);
	device_tree_reset(fixture->tree);
	g_assert_cmphex(fake_inb(fake, FLAGS), ==, ENABLED);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, setup, function, teardown)
	ADD("/cpu-hotplug/from-start", test_from_start);
	ADD("/cpu-hotplug/plug-and-unplug", test_plug_and_unplug);
	ADD("/cpu-hotplug/guest-refuses", test_guest_refuses);
	ADD("/cpu-hotplug/refused", test_refused);
	ADD("/cpu-hotplug/hostile", test_hostile);
#undef ADD
	return g_test_run();
}
