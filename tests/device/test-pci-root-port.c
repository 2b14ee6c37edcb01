/*
 * test-pci-root-port.c: root ports, hotplug as pciehp does it, and address assignment
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qmp/qmp_event.h"
#include "tests/device/fake_machine.h"
#include "vmm/pci/host_bridge.h"
#include "vmm/pci/pci_assign.h"
#include "vmm/pci/pci_registers.h"
#include "vmm/pci/root_port.h"
#include "vmm/x86/memory_map.h"

#include <string.h>

/* A function with a 64-bit prefetchable BAR and MSI-X, as virtio has them. */
typedef struct Gadget {
	PciDevice pci;
	uint64_t size;
	bool wants_io;
	IoRegion region, io;
} Gadget;

static uint64_t gadget_read(G_GNUC_UNUSED void *opaque, G_GNUC_UNUSED uint64_t offset,
			    G_GNUC_UNUSED unsigned size)
{
	return 0x5a;
}

static void gadget_write(G_GNUC_UNUSED void *opaque, G_GNUC_UNUSED uint64_t offset,
			 G_GNUC_UNUSED uint64_t value, G_GNUC_UNUSED unsigned size)
{
}

static const IoRegionOps gadget_ops = { .read = gadget_read, .write = gadget_write };

static bool gadget_realize(Device *device, GError **error)
{
	Gadget *gadget = (Gadget *)device;

	pci_device_init(&gadget->pci);
	gadget->region = (IoRegion){ .name = "gadget", .size = gadget->size, .ops = &gadget_ops, .opaque = gadget };
	gadget->io = (IoRegion){ .name = "gadget", .size = 32, .ops = &gadget_ops, .opaque = gadget };
	pci_device_add_bar(&gadget->pci, 4, &gadget->region, false, true, true);
	if (gadget->wants_io)
		pci_device_add_bar(&gadget->pci, 0, &gadget->io, true, false, false);
	return pci_msix_init(&gadget->pci, 2, 1, error);
}

static void gadget_unrealize(Device *device)
{
	pci_device_finish((PciDevice *)device);
}

static void gadget_reset(Device *device)
{
	pci_device_reset((PciDevice *)device);
}

static const Property gadget_properties[] = {
	{ .name = "size",
	  .kind = PROPERTY_SIZE,
	  .offset = offsetof(Gadget, size),
	  .initial = 16384,
	  .power_of_two = true },
	{ .name = "io", .kind = PROPERTY_BOOL, .offset = offsetof(Gadget, wants_io) },
	PROPERTY_END,
};

static const PciDeviceType gadget_type = {
	.device = {
		.name = "gadget",
		.category = "Misc",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(Gadget),
		.properties = { gadget_properties, pci_device_properties },
		.user_creatable = true,
		.hotpluggable = true,
		.realize = gadget_realize,
		.unrealize = gadget_unrealize,
		.reset = gadget_reset,
	},
	.vendor_id = 0x1234,
	.device_id = 0x5678,
	.class_code = 0xff0000,
	.is_express = true,
};

static const DeviceType *const types[] = { &host_bridge_type, &memory_controller_hub_type.device,
					   &root_port_type.device, &gadget_type.device, NULL };

typedef struct Fixture {
	FakeMachine *fake;
	DeviceTree *tree;
	PciBus *root;
	QmpEventSink sink;
	GString *events;
} Fixture;

/* Where the port of most tests is, and the registers of its slot. */
#define PORT_SLOT  2u
#define EXPRESS	   0x4cu
#define SLTCAP	   (EXPRESS + PCI_EXP_SLTCAP)
#define SLTCTL	   (EXPRESS + PCI_EXP_SLTCTL)
#define SLTSTA	   (EXPRESS + PCI_EXP_SLTSTA)
#define LNKSTA	   (EXPRESS + PCI_EXP_LNKSTA)
#define MSIX_TABLE UINT64_C(0xd0000000)
/* What pciehp enables where there is an attention button. */
#define PCIEHP_CONTROL (PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_DLLSCE | PCI_EXP_SLTCTL_HPIE)

static void record_event(void *opaque, const char *name, json_object *data)
{
	json_object *device = json_object_object_get(data, "device");

	g_string_append_printf(opaque, "%s %s;", name, json_object_get_string(device));
	json_object_put(data);
}

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Device *bridge;

	fixture->fake = fake_machine_new(1 << 20);
	fixture->events = g_string_new(NULL);
	fixture->sink = (QmpEventSink){ record_event, fixture->events };
	fixture->fake->services.events = &fixture->sink;
	fixture->tree = device_tree_new(types, &fixture->fake->services);
	bridge = device_tree_add_builtin(fixture->tree, HOST_BRIDGE_TYPE, NULL, NULL, &error);
	g_assert_no_error(error);
	fixture->root = host_bridge_bus(bridge);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	device_tree_free(fixture->tree);
	g_assert_cmpuint(fake_machine_n_routes(fixture->fake), ==, 0);
	fake_machine_free(fixture->fake);
	g_string_free(fixture->events, TRUE);
}

static Device *try_add(Fixture *fixture, const char *text, GError **error)
{
	json_object *options = json_tokener_parse(text);
	Device *device = device_tree_add(fixture->tree, options, error);

	json_object_put(options);
	return device;
}

static Device *add(Fixture *fixture, const char *text)
{
	g_autoptr(GError) error = NULL;
	Device *device = try_add(fixture, text, &error);

	g_assert_no_error(error);
	return device;
}

static void assert_refused(Fixture *fixture, const char *text, const char *reason)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(try_add(fixture, text, &error));
	if (!strstr(error->message, reason))
		g_error("%s: %s", text, error->message);
}

static void request_remove(Fixture *fixture, const char *id)
{
	g_autoptr(GError) error = NULL;

	device_tree_request_remove(fixture->tree, device_tree_find(fixture->tree, id), &error);
	g_assert_no_error(error);
}

static void assert_remove_refused(Fixture *fixture, const char *id, const char *reason)
{
	g_autoptr(GError) error = NULL;
	Device *device = device_tree_find(fixture->tree, id);

	g_assert_false(device_tree_request_remove(fixture->tree, device, &error));
	if (!strstr(error->message, reason))
		g_error("%s: %s", id, error->message);
}

static void assert_events(Fixture *fixture, const char *expected)
{
	fake_machine_iterate(fixture->fake);
	g_assert_cmpstr(fixture->events->str, ==, expected);
	g_string_truncate(fixture->events, 0);
}

static uint16_t port_read(Fixture *fixture, unsigned offset)
{
	return (uint16_t)pci_bus_config_read(fixture->root, 0, PORT_SLOT << 3, offset, 2);
}

static void port_write(Fixture *fixture, unsigned offset, uint16_t value)
{
	pci_bus_config_write(fixture->root, 0, PORT_SLOT << 3, offset, value, 2);
}

static uint32_t device_read(Fixture *fixture, unsigned bus, unsigned offset)
{
	return pci_bus_config_read(fixture->root, bus, 0, offset, 4);
}

/* Take the port's interrupt as pciehp_isr does: read the events and clear them. */
static uint16_t take_interrupt(Fixture *fixture)
{
	MsiMessage message;
	uint16_t events;

	if (!fake_machine_take_msi(fixture->fake, &message))
		return 0;
	g_assert_cmphex(message.data, ==, 0x31);
	events = port_read(fixture, SLTSTA) & ~PCI_EXP_SLTSTA_PDS;
	g_assert_cmphex(events, !=, 0);
	port_write(fixture, SLTSTA, events);
	g_assert_false(fake_machine_take_msi(fixture->fake, &message));
	return events;
}

/* Set the power indicator, as pciehp does. */
static void set_indicator(Fixture *fixture, uint16_t indicator)
{
	port_write(fixture, SLTCTL, PCIEHP_CONTROL | indicator);
}

/* Boot: a port in slot 2, its driver in charge if @listening, its bus being number 5. */
static void boot(Fixture *fixture, const char *device, bool listening)
{
	FakeMachine *fake = fixture->fake;

	add(fixture, "{\"driver\":\"pcie-root-port\",\"id\":\"pci.1\",\"bus\":\"pcie.0\","
		     "\"addr\":\"0x2\",\"port\":16,\"chassis\":3}");
	if (device)
		add(fixture, device);
	device_tree_reset(fixture->tree);
	device_tree_set_started(fixture->tree);
	pci_bus_config_write(fixture->root, 0, PORT_SLOT << 3, PCI_PRIMARY_BUS, 0x050500, 4);
	pci_bus_config_write(fixture->root, 0, PORT_SLOT << 3, PCI_BASE_ADDRESS_0, MSIX_TABLE, 4);
	port_write(fixture, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	fake_write(fake, MSIX_TABLE, 0xfee00000, 4);
	fake_write(fake, MSIX_TABLE + 8, 0x31, 4);
	fake_write(fake, MSIX_TABLE + 12, 0, 4);
	port_write(fixture, 0x42, PCI_MSIX_FLAGS_ENABLE);
	if (listening) {
		port_write(fixture, SLTSTA, 0xffff);
		port_write(fixture, SLTCTL,
			   PCIEHP_CONTROL | (port_read(fixture, SLTCTL) & PCI_EXP_SLTCTL_PIC));
	}
}

#define GADGET "{\"driver\":\"gadget\",\"id\":\"g0\",\"bus\":\"pci.1\"}"

static void test_registers(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, NULL, false);
	g_assert_cmphex(pci_bus_config_read(fixture->root, 0, PORT_SLOT << 3, 0, 4), ==,
			0x000c1b36);
	g_assert_cmphex(pci_bus_config_read(fixture->root, 0, PORT_SLOT << 3, 0x0c, 4), ==,
			0x00010000);
	g_assert_cmphex(port_read(fixture, 0x40), ==, 0x4c11);
	g_assert_cmphex(port_read(fixture, EXPRESS + PCI_EXP_FLAGS), ==, 0x0142);
	g_assert_cmphex(port_read(fixture, SLTCAP), ==, 0x0051);
	g_assert_cmphex(port_read(fixture, SLTCAP + 2), ==, 3 << 3 | 4);
	g_assert_cmphex(port_read(fixture, EXPRESS + PCI_EXP_LNKCAP + 2), ==, 0x1010);
	g_assert_cmphex(port_read(fixture, SLTSTA), ==, 0);
	g_assert_cmphex(port_read(fixture, LNKSTA), ==, 0x0011);
	g_assert_cmphex(port_read(fixture, SLTCTL), ==, PCI_EXP_SLTCTL_PWR_IND_OFF);
	/* No I/O window; the memory windows have 64 bits where they can. */
	port_write(fixture, PCI_IO_BASE, 0xffff);
	g_assert_cmphex(port_read(fixture, PCI_IO_BASE), ==, 0);
	port_write(fixture, PCI_MEMORY_BASE, 0xffff);
	g_assert_cmphex(port_read(fixture, PCI_MEMORY_BASE), ==, 0xfff0);
	port_write(fixture, PCI_PREF_MEMORY_LIMIT, 0xffff);
	g_assert_cmphex(port_read(fixture, PCI_PREF_MEMORY_LIMIT), ==, 0xfff1);
	port_write(fixture, SLTCTL, 0xffff);
	g_assert_cmphex(port_read(fixture, SLTCTL), ==, 0x1329);
}

static void test_routing(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, GADGET, false);
	g_assert_cmphex(device_read(fixture, 5, 0), ==, 0x56781234);
	/* Behind a port the function has the PCI Express capability of an endpoint. */
	g_assert_cmphex(device_read(fixture, 5, 0x40), ==, 0x00027c10);
	g_assert_cmphex(device_read(fixture, 4, 0), ==, 0xffffffff);
	g_assert_cmphex(pci_bus_config_read(fixture->root, 5, 1 << 3, 0, 4), ==, 0xffffffff);
	g_assert_cmphex(port_read(fixture, SLTSTA), ==, PCI_EXP_SLTSTA_PDS);
	g_assert_cmphex(port_read(fixture, LNKSTA), ==, 0x2011);
	g_assert_cmphex(port_read(fixture, SLTCTL), ==, PCI_EXP_SLTCTL_PWR_IND_ON);
	/* Bus numbers: any, also those that make no sense. */
	port_write(fixture, PCI_SECONDARY_BUS, 0x00ff);
	g_assert_cmphex(device_read(fixture, 0xff, 0), ==, 0x56781234);
	port_write(fixture, PCI_SECONDARY_BUS, 0);
	g_assert_cmphex(device_read(fixture, 0, 0), ==, 0x29c08086);
	g_assert_cmphex(device_read(fixture, 5, 0), ==, 0xffffffff);
}

static void test_plug(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, NULL, true);
	g_assert_cmphex(take_interrupt(fixture), ==, 0);
	add(fixture, GADGET);
	g_assert_cmphex(take_interrupt(fixture), ==, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	g_assert_cmphex(port_read(fixture, SLTSTA), ==, PCI_EXP_SLTSTA_PDS);
	g_assert_cmphex(port_read(fixture, LNKSTA), ==, 0x2011);
	g_assert_cmphex(device_read(fixture, 5, 0), ==, 0x56781234);
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_BLINK);
	assert_remove_refused(fixture, "g0", "busy");
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_ON);
	assert_events(fixture, "");
	assert_refused(fixture, "{\"driver\":\"gadget\",\"bus\":\"pci.1\"}", "no free slot");
	assert_refused(fixture, "{\"driver\":\"gadget\"}", "no 'PCI' bus has room for hot-plugged");
	assert_refused(fixture, "{\"driver\":\"gadget\",\"bus\":\"pcie.0\"}",
		       "'pcie.0' does not support hotplugging");
}

static void test_unplug(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, GADGET, true);
	for (unsigned round = 0; round < 3; round++) {
		request_remove(fixture, "g0");
		assert_remove_refused(fixture, "g0", "already being unplugged");
		g_assert_cmphex(take_interrupt(fixture), ==, PCI_EXP_SLTSTA_ABP);
		set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_BLINK);
		assert_events(fixture, "");
		g_assert_cmphex(device_read(fixture, 5, 0), ==, 0x56781234);
		set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_OFF);
		assert_events(fixture, "DEVICE_DELETED g0;");
		g_assert_null(device_tree_find(fixture->tree, "g0"));
		g_assert_cmphex(device_read(fixture, 5, 0), ==, 0xffffffff);
		g_assert_cmphex(take_interrupt(fixture), ==,
				PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
		g_assert_cmphex(port_read(fixture, SLTSTA), ==, 0);
		/* It can be filled again at once. */
		add(fixture, GADGET);
		g_assert_cmphex(take_interrupt(fixture), ==,
				PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
		set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_ON);
	}
}

static void test_refusal(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, GADGET, true);
	request_remove(fixture, "g0");
	g_assert_cmphex(take_interrupt(fixture), ==, PCI_EXP_SLTSTA_ABP);
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_BLINK);
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_ON);
	assert_events(fixture, "DEVICE_UNPLUG_GUEST_ERROR g0;");
	g_assert_false(device_tree_find(fixture->tree, "g0")->unplug_requested);
	/* The guest may turn a slot off and on by itself, too: the device stays. */
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_OFF);
	assert_events(fixture, "");
	g_assert_nonnull(device_tree_find(fixture->tree, "g0"));
	/* While it is off the guest need not be asked. */
	request_remove(fixture, "g0");
	g_assert_cmphex(take_interrupt(fixture), ==, 0);
	assert_events(fixture, "DEVICE_DELETED g0;");
}

static void test_deaf_guest(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, GADGET, false);
	assert_remove_refused(fixture, "g0", "does not listen to hotplug requests on 'pci.1'");
	g_assert_false(device_tree_find(fixture->tree, "g0")->unplug_requested);
	/* What happened before it listened is there when it does. */
	device_tree_remove(fixture->tree, device_tree_find(fixture->tree, "g0"));
	g_assert_cmphex(take_interrupt(fixture), ==, 0);
	port_write(fixture, SLTCTL, PCIEHP_CONTROL);
	g_assert_cmphex(take_interrupt(fixture), ==, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
}

static void test_reset(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, GADGET, true);
	request_remove(fixture, "g0");
	device_tree_reset(fixture->tree);
	assert_events(fixture, "DEVICE_DELETED g0;");
	g_assert_cmphex(port_read(fixture, SLTSTA), ==, 0);
	g_assert_cmphex(port_read(fixture, SLTCTL), ==, PCI_EXP_SLTCTL_PWR_IND_OFF);
	g_assert_cmphex(port_read(fixture, PCI_SECONDARY_BUS), ==, 0);
	add(fixture, GADGET);
	device_tree_reset(fixture->tree);
	g_assert_cmphex(port_read(fixture, SLTSTA), ==, PCI_EXP_SLTSTA_PDS);
	g_assert_cmphex(port_read(fixture, SLTCTL), ==, PCI_EXP_SLTCTL_PWR_IND_ON);
}

static void test_functions(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	boot(fixture, NULL, true);
	add(fixture, "{\"driver\":\"gadget\",\"id\":\"g1\",\"bus\":\"pci.1\",\"addr\":\"0.1\"}");
	g_assert_cmphex(take_interrupt(fixture), ==, 0);
	add(fixture, "{\"driver\":\"gadget\",\"id\":\"g0\",\"bus\":\"pci.1\",\"addr\":\"0.0\","
		     "\"multifunction\":\"on\"}");
	g_assert_cmphex(take_interrupt(fixture), ==, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_ON);
	assert_remove_refused(fixture, "g1", "'g1' goes with function 0");
	request_remove(fixture, "g0");
	g_assert_cmphex(take_interrupt(fixture), ==, PCI_EXP_SLTSTA_ABP);
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_OFF);
	assert_events(fixture, "DEVICE_DELETED g1;DEVICE_DELETED g0;");
	assert_refused(fixture, "{\"driver\":\"gadget\",\"bus\":\"pci.1\",\"addr\":\"1\"}",
		       "has only slot 0");
}

static void test_no_hotplug(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	add(fixture,
	    "{\"driver\":\"pcie-root-port\",\"id\":\"p\",\"addr\":\"2\",\"hotplug\":\"off\"}");
	add(fixture, "{\"driver\":\"gadget\",\"id\":\"g0\",\"bus\":\"p\"}");
	assert_refused(fixture, "{\"driver\":\"pcie-root-port\",\"bus\":\"p\"}",
		       "has to be on the root bus");
	device_tree_reset(fixture->tree);
	device_tree_set_started(fixture->tree);
	g_assert_cmphex(port_read(fixture, SLTCAP), ==, 0);
	port_write(fixture, SLTCTL, 0xffff);
	g_assert_cmphex(port_read(fixture, SLTCTL), ==, 0);
	assert_remove_refused(fixture, "g0", "'p' does not support hotplugging");
	assert_remove_refused(fixture, "p", "does not support hotplugging");
}

static void test_port_refused(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	add(fixture, "{\"driver\":\"pcie-root-port\",\"id\":\"p\",\"addr\":\"2\"}");
	assert_refused(fixture, "{\"driver\":\"pcie-root-port\",\"bus\":\"p\"}",
		       "has to be on the root bus");
	assert_refused(fixture, "{\"driver\":\"pcie-root-port\",\"slot\":8192}", "range");
	assert_refused(fixture, "{\"driver\":\"pcie-root-port\",\"addr\":\"3\"}",
		       "chassis 0 has a slot 0 already, that of root port 'p'");
	/* Ports in functions of one slot, as libvirt places them. */
	add(fixture, "{\"driver\":\"pcie-root-port\",\"id\":\"q\",\"addr\":\"3\","
		     "\"multifunction\":true,\"chassis\":1}");
	add(fixture, "{\"driver\":\"pcie-root-port\",\"id\":\"r\",\"addr\":\"3.1\",\"chassis\":2}");
	/* Without "bus" a device goes on the root bus while there is room. */
	g_assert_cmpstr(add(fixture, "{\"driver\":\"gadget\"}")->bus->name, ==, "pcie.0");
	/* A port that goes takes what is behind it along. */
	add(fixture, "{\"driver\":\"gadget\",\"id\":\"g0\",\"bus\":\"p\"}");
	request_remove(fixture, "p");
	g_assert_null(device_tree_find(fixture->tree, "g0"));
	g_assert_null(device_tree_find_bus(fixture->tree, "p"));
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	MsiMessage message;
	Device *port;

	boot(fixture, GADGET, true);
	set_indicator(fixture, PCI_EXP_SLTCTL_PWR_IND_ON);
	port = device_tree_find(fixture->tree, "pci.1");
	request_remove(fixture, "g0");
	g_assert_true(fake_machine_take_msi(fake, &message));
	fake_machine_check_state(port, port);
	/* The event is still there, and its interrupt does not come again. */
	g_assert_false(fake_machine_take_msi(fake, &message));
	g_assert_cmphex(port_read(fixture, SLTSTA), ==, PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDS);
}

typedef struct Vcpu {
	Fixture *fixture;
	gint stop; /* atomic */
} Vcpu;

/* A vCPU that uses the device behind the port as long as it is there, and programs it anew. */
static gpointer vcpu_thread(gpointer data)
{
	Vcpu *vcpu = data;
	PciBus *root = vcpu->fixture->root;
	FakeMachine *fake = vcpu->fixture->fake;

	while (!g_atomic_int_get(&vcpu->stop)) {
		uint32_t id = device_read(vcpu->fixture, 5, 0);

		g_assert_true(id == 0x56781234 || id == UINT32_MAX);
		pci_bus_config_write(root, 5, 0, PCI_BASE_ADDRESS_1, 0xe0000000, 4);
		pci_bus_config_write(root, 5, 0, PCI_BASE_ADDRESS_4, 0xe1000000, 4);
		pci_bus_config_write(root, 5, 0, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
		fake_write(fake, 0xe0000000 + 12, 0, 4);
		fake_read(fake, 0xe0000800, 8);
		fake_read(fake, 0xe1000000, 4);
		pci_bus_config_write(root, 5, 0, 0x7e, PCI_MSIX_FLAGS_ENABLE, 2);
		pci_bus_config_write(root, 5, 0, PCI_COMMAND, 0, 2);
	}
	return NULL;
}

/* Plugging and removing while vCPUs are in the middle of using the device. */
static void test_threads(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Vcpu vcpu = { .fixture = fixture };
	GThread *threads[2];

	boot(fixture, NULL, true);
	for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("vcpu", vcpu_thread, &vcpu);
	for (unsigned i = 0; i < 200; i++) {
		Device *device = add(fixture, GADGET);

		g_usleep(50);
		device_tree_remove(fixture->tree, device);
	}
	add(fixture, GADGET);
	g_atomic_int_set(&vcpu.stop, 1);
	for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	g_assert_cmphex(device_read(fixture, 5, 0), ==, 0x56781234);
}

static const PciWindows windows = {
	.memory32_base = UINT64_C(0xc0000000),
	.memory32_size = UINT64_C(0x3ec00000),
	.memory64_base = UINT64_C(0x800000000),
	.memory64_size = UINT64_C(0x800000000),
	.io_base = 0xc000,
	.io_size = 0x4000,
};

typedef struct Range {
	uint64_t base, size;
} Range;

/* Every mapped region once, to see that none overlaps. */
static void assert_disjoint(const Range *ranges, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < i; j++)
			g_assert_true(ranges[i].base >= ranges[j].base + ranges[j].size ||
				      ranges[j].base >= ranges[i].base + ranges[i].size);
	}
}

static void test_assign(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Gadget *gadgets[4];
	Range ranges[8];
	uint64_t window;

	add(fixture, "{\"driver\":\"pcie-root-port\",\"id\":\"p1\",\"addr\":\"2\"}");
	add(fixture, "{\"driver\":\"pcie-root-port\",\"id\":\"p2\",\"addr\":\"3\",\"slot\":2}");
	gadgets[0] = (Gadget *)add(fixture, "{\"driver\":\"gadget\",\"io\":\"on\"}");
	gadgets[1] = (Gadget *)add(fixture, "{\"driver\":\"gadget\",\"size\":\"1G\"}");
	gadgets[2] = (Gadget *)add(fixture, "{\"driver\":\"gadget\",\"bus\":\"p1\"}");
	gadgets[3] = (Gadget *)add(fixture, "{\"driver\":\"gadget\",\"bus\":\"p2\","
					    "\"size\":\"256M\",\"io\":\"on\"}");
	for (unsigned round = 0; round < 2; round++) {
		device_tree_reset(fixture->tree);
		g_assert_false(gadgets[0]->region.mapped);
		g_assert_true(pci_assign_resources(fixture->root, &windows, MEMORY_MAP_ECAM_BASE,
						   &error));
		g_assert_no_error(error);
	}
	for (unsigned i = 0; i < 4; i++) {
		const PciBar *msix = &gadgets[i]->pci.bars[1];

		g_assert_true(gadgets[i]->region.mapped);
		g_assert_true(msix->region->mapped);
		ranges[2 * i] = (Range){ gadgets[i]->region.base, gadgets[i]->region.size };
		ranges[2 * i + 1] = (Range){ msix->region->base, msix->region->size };
		g_assert_cmphex(gadgets[i]->region.base, >=, windows.memory64_base);
		g_assert_cmphex(msix->region->base, >=, windows.memory32_base);
		g_assert_cmphex(fake_read(fixture->fake, gadgets[i]->region.base, 1), ==, 0x5a);
		g_assert_false(pci_device_is_bus_master(&gadgets[i]->pci));
	}
	assert_disjoint(ranges, G_N_ELEMENTS(ranges));
	g_assert_cmphex(gadgets[0]->io.base, ==, 0xc000);
	g_assert_false(gadgets[3]->io.mapped);
	/* ECAM reaches both buses, and the devices are inside their port's windows. */
	g_assert_cmphex(fake_read(fixture->fake, MEMORY_MAP_ECAM_BASE + (1 << 20), 4), ==,
			0x56781234);
	g_assert_cmphex(fake_read(fixture->fake, MEMORY_MAP_ECAM_BASE + (2 << 20), 4), ==,
			0x56781234);
	window = (uint64_t)pci_bus_config_read(fixture->root, 0, 3 << 3, PCI_PREF_BASE_UPPER32, 4)
			 << 32 |
		 (pci_bus_config_read(fixture->root, 0, 3 << 3, PCI_PREF_MEMORY_BASE, 2) & 0xfff0)
			 << 16;
	g_assert_cmphex(window, <=, gadgets[3]->region.base);
	window = (uint64_t)pci_bus_config_read(fixture->root, 0, 3 << 3, PCI_PREF_LIMIT_UPPER32, 4)
			 << 32 |
		 (pci_bus_config_read(fixture->root, 0, 3 << 3, PCI_PREF_MEMORY_LIMIT, 2) & 0xfff0)
			 << 16 |
		 0xfffff;
	g_assert_cmphex(window, >=, gadgets[3]->region.base + (256 << 20) - 1);
	window = (pci_bus_config_read(fixture->root, 0, 3 << 3, PCI_MEMORY_BASE, 2) & 0xfff0) << 16;
	g_assert_cmphex(window, <=, gadgets[3]->pci.bars[1].region->base);
}

/* Without a 64-bit window everything is below 4 GiB; what does not fit is named. */
static void test_assign_small(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	PciWindows small = windows;
	Gadget *gadget;

	small.memory64_size = 0;
	add(fixture, "{\"driver\":\"pcie-root-port\",\"id\":\"p1\",\"addr\":\"2\"}");
	gadget = (Gadget *)add(fixture, "{\"driver\":\"gadget\",\"bus\":\"p1\",\"id\":\"g0\"}");
	device_tree_reset(fixture->tree);
	g_assert_true(pci_assign_resources(fixture->root, &small, MEMORY_MAP_ECAM_BASE, &error));
	g_assert_cmphex(gadget->region.base, <, MEMORY_MAP_4GIB);
	small.memory32_size = 0x300000;
	device_tree_reset(fixture->tree);
	g_assert_false(pci_assign_resources(fixture->root, &small, MEMORY_MAP_ECAM_BASE, &error));
	g_assert_nonnull(strstr(error->message, "32-bit memory window for what is behind 'p1'"));
	g_clear_error(&error);
	add(fixture, "{\"driver\":\"gadget\",\"id\":\"big\",\"size\":\"2G\",\"addr\":\"1\"}");
	small.memory32_size = windows.memory32_size;
	device_tree_reset(fixture->tree);
	g_assert_false(pci_assign_resources(fixture->root, &small, MEMORY_MAP_ECAM_BASE, &error));
	g_assert_nonnull(strstr(error->message, "a BAR of 'big'"));
	/* Everything else was placed. */
	g_assert_true(gadget->region.mapped);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/pci-root-port/" name, Fixture, NULL, set_up, func, tear_down)
	ADD("registers", test_registers);
	ADD("routing", test_routing);
	ADD("plug", test_plug);
	ADD("unplug", test_unplug);
	ADD("refusal", test_refusal);
	ADD("deaf-guest", test_deaf_guest);
	ADD("reset", test_reset);
	ADD("functions", test_functions);
	ADD("no-hotplug", test_no_hotplug);
	ADD("port-refused", test_port_refused);
	ADD("state", test_state);
	ADD("threads", test_threads);
	ADD("assign", test_assign);
	ADD("assign-small", test_assign_small);
	return g_test_run();
}
