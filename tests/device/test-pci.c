/*
 * test-pci.c: configuration space, BARs, MSI-X and the host bridge, as a guest drives them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_machine.h"
#include "vmm/base/fd.h"
#include "vmm/pci/host_bridge.h"
#include "vmm/pci/pci_registers.h"
#include "vmm/x86/memory_map.h"

#include <string.h>

#define ECAM	  MEMORY_MAP_ECAM_BASE
#define HUB_EXBAR 0x60

/* A function with every kind of BAR. */
typedef struct Gadget {
	PciDevice pci;
	uint32_t n_vectors;
	IoRegion io, memory32, memory64;
	uint8_t scratch[16];
	unsigned n_config_writes;
} Gadget;

static uint64_t scratch_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	return ((Gadget *)opaque)->scratch[offset & 15];
}

static void scratch_write(void *opaque, uint64_t offset, uint64_t value,
			  G_GNUC_UNUSED unsigned size)
{
	((Gadget *)opaque)->scratch[offset & 15] = (uint8_t)value;
}

static const IoRegionOps scratch_ops = {
	.read = scratch_read,
	.write = scratch_write,
	.maximum_size = 1,
};

static bool gadget_realize(Device *device, GError **error)
{
	Gadget *gadget = (Gadget *)device;

	pci_device_init(&gadget->pci);
	gadget->io = (IoRegion){ .name = "io", .size = 32, .ops = &scratch_ops, .opaque = gadget };
	gadget->memory32 = (IoRegion){ .name = "memory32", .size = 4096, .ops = &scratch_ops, .opaque = gadget };
	gadget->memory64 =
		(IoRegion){ .name = "memory64", .size = UINT64_C(1) << 33, .ops = &scratch_ops, .opaque = gadget };
	pci_device_add_bar(&gadget->pci, 0, &gadget->io, true, false, false);
	pci_device_add_bar(&gadget->pci, 2, &gadget->memory32, false, false, false);
	pci_device_add_bar(&gadget->pci, 4, &gadget->memory64, false, true, true);
	if (gadget->n_vectors > 0 && !pci_msix_init(&gadget->pci, gadget->n_vectors, 1, error)) {
		pci_device_finish(&gadget->pci);
		return false;
	}
	pci_device_add_capability(&gadget->pci, PCI_CAP_ID_VNDR, 5);
	pci_device_add_extended_capability(&gadget->pci, PCI_EXT_CAP_ID_DSN, 1, 12);
	pci_device_add_extended_capability(&gadget->pci, PCI_EXT_CAP_ID_VNDR, 1, 8);
	return true;
}

static void gadget_unrealize(Device *device)
{
	pci_device_finish((PciDevice *)device);
}

static void gadget_reset(Device *device)
{
	pci_device_reset((PciDevice *)device);
}

static void gadget_config_written(PciDevice *pci, G_GNUC_UNUSED unsigned offset,
				  G_GNUC_UNUSED unsigned size)
{
	((Gadget *)pci)->n_config_writes++;
}

static const Property gadget_properties[] = {
	{ .name = "vectors",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(Gadget, n_vectors),
	  .initial = 4 },
	PROPERTY_END,
};

static const StateTable gadget_state = {
	.name = "gadget",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_PART(Gadget, pci, &pci_device_state),
			STATE_END,
		},
};

static const PciDeviceType gadget_type = {
	.device = {
		.name = "gadget",
		.category = "Misc",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(Gadget),
		.properties = { gadget_properties, pci_device_properties },
		.state = &gadget_state,
		.user_creatable = true,
		.hotpluggable = true,
		.realize = gadget_realize,
		.unrealize = gadget_unrealize,
		.reset = gadget_reset,
	},
	.vendor_id = 0x1234,
	.device_id = 0x5678,
	.subsystem_vendor_id = 0x9abc,
	.subsystem_id = 0xdef0,
	.class_code = 0xff0000,
	.revision = 3,
	.is_express = true,
	.config_written = gadget_config_written,
};

static const DeviceType *const types[] = { &host_bridge_type, &memory_controller_hub_type.device,
					   &gadget_type.device, NULL };

typedef struct Fixture {
	FakeMachine *fake;
	DeviceTree *tree;
	PciBus *root;
} Fixture;

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Device *bridge;

	fixture->fake = fake_machine_new(1 << 20);
	fixture->tree = device_tree_new(types, &fixture->fake->services);
	bridge = device_tree_add_builtin(fixture->tree, HOST_BRIDGE_TYPE, NULL, NULL, &error);
	g_assert_no_error(error);
	fixture->root = host_bridge_bus(bridge);
	device_tree_reset(fixture->tree);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	device_tree_free(fixture->tree);
	g_assert_cmpuint(fake_machine_n_routes(fixture->fake), ==, 0);
	fake_machine_free(fixture->fake);
}

static Device *try_add(Fixture *fixture, const char *text, GError **error)
{
	json_object *options = json_tokener_parse(text);
	Device *device = device_tree_add(fixture->tree, options, error);

	json_object_put(options);
	return device;
}

static Gadget *add(Fixture *fixture, const char *text)
{
	g_autoptr(GError) error = NULL;
	Device *device = try_add(fixture, text, &error);

	g_assert_no_error(error);
	return (Gadget *)device;
}

static void assert_refused(Fixture *fixture, const char *text, const char *reason)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(try_add(fixture, text, &error));
	if (!strstr(error->message, reason))
		g_error("%s: %s", text, error->message);
}

/* Configuration cycles of slot @slot, function 0, through the ports. */
static uint32_t config_read(Fixture *fixture, unsigned slot, unsigned offset)
{
	fake_outl(fixture->fake, 0xcf8, 0x80000000u | slot << 11 | offset);
	return fake_inl(fixture->fake, 0xcfc);
}

static void config_write(Fixture *fixture, unsigned slot, unsigned offset, uint32_t value)
{
	fake_outl(fixture->fake, 0xcf8, 0x80000000u | slot << 11 | offset);
	fake_outl(fixture->fake, 0xcfc, value);
}

static void test_ports(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	FakeRequest request;

	g_assert_cmphex(config_read(fixture, 0, 0), ==, 0x29c08086);
	g_assert_cmphex(fake_inl(fake, 0xcf8), ==, 0x80000000);
	g_assert_cmphex(fake_inw(fake, 0xcfc), ==, 0x8086);
	g_assert_cmphex(fake_inw(fake, 0xcfe), ==, 0x29c0);
	g_assert_cmphex(fake_inb(fake, 0xcfd), ==, 0x80);
	/* Nobody there; no enable bit; misaligned; across the end. */
	g_assert_cmphex(config_read(fixture, 1, 0), ==, 0xffffffff);
	fake_outl(fake, 0xcf8, 0);
	g_assert_cmphex(fake_inl(fake, 0xcfc), ==, 0xffffffff);
	fake_outl(fake, 0xcf8, 0x80000000);
	g_assert_cmphex(fake_inw(fake, 0xcfd), ==, 0xffff);
	g_assert_cmphex(fake_inl(fake, 0xcfe), ==, 0xffff29c0);
	/* Only 4 bytes at 0xcf8 are the address; reserved bits stay clear. */
	fake_outb(fake, 0xcf8, 0x40);
	fake_outw(fake, 0xcfa, 0x1234);
	g_assert_cmphex(fake_inl(fake, 0xcf8), ==, 0x80000000);
	fake_outl(fake, 0xcf8, 0xffffffff);
	g_assert_cmphex(fake_inl(fake, 0xcf8), ==, 0x80fffffc);
	g_assert_cmphex(fake_inl(fake, 0xcfc), ==, 0xffffffff);
	/* 0xcf9 resets on the rising edge of bit 2. */
	fake_outb(fake, 0xcf9, 0x02);
	g_assert_false(fake_machine_take_request(fake, &request));
	fake_outb(fake, 0xcf9, 0xf6);
	g_assert_true(fake_machine_take_request(fake, &request));
	g_assert_cmpint(request.request, ==, RUN_REQUEST_GUEST_RESET);
	g_assert_cmphex(fake_inb(fake, 0xcf9), ==, 0x06);
	fake_outb(fake, 0xcf9, 0x06);
	g_assert_false(fake_machine_take_request(fake, &request));
	device_tree_reset(fixture->tree);
	g_assert_cmphex(fake_inb(fake, 0xcf9), ==, 0);
	g_assert_cmphex(fake_inl(fake, 0xcf8), ==, 0);
}

static void test_ecam(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	add(fixture, "{\"driver\":\"gadget\",\"addr\":\"3\"}");
	g_assert_cmphex(fake_read(fake, ECAM, 4), ==, 0xffffffff);
	config_write(fixture, 0, HUB_EXBAR, ECAM | 1);
	g_assert_cmphex(fake_read(fake, ECAM, 4), ==, 0x29c08086);
	g_assert_cmphex(fake_read(fake, ECAM + 2, 2), ==, 0x29c0);
	g_assert_cmphex(fake_read(fake, ECAM, 8), ==,
			UINT64_C(0x29c08086) | (uint64_t)fake_read(fake, ECAM + 4, 4) << 32);
	g_assert_cmphex(fake_read(fake, ECAM + 1, 2), ==, 0xffff);
	g_assert_cmphex(fake_read(fake, ECAM + 0xffd, 4), ==, 0xffffffff);
	g_assert_cmphex(fake_read(fake, ECAM + (3 << 15), 4), ==, 0x56781234);
	g_assert_cmphex(fake_read(fake, ECAM + (1 << 20), 4), ==, 0xffffffff);
	g_assert_cmphex(fake_read(fake, ECAM + 0xffffffc, 4), ==, 0xffffffff);
	/* Extended capabilities are chained from 0x100 on. */
	g_assert_cmphex(fake_read(fake, ECAM + (3 << 15) + 0x100, 4), ==, 0x10c10003);
	g_assert_cmphex(fake_read(fake, ECAM + (3 << 15) + 0x10c, 4), ==, 0x0001000b);
	/* Moved, made smaller, and switched off through itself. */
	fake_write(fake, ECAM + HUB_EXBAR, UINT64_C(0x4e0000005), 8);
	g_assert_cmphex(fake_read(fake, ECAM, 4), ==, 0xffffffff);
	g_assert_cmphex(config_read(fixture, 0, HUB_EXBAR + 4), ==, 4);
	g_assert_cmphex(fake_read(fake, UINT64_C(0x4e0000000), 4), ==, 0x29c08086);
	g_assert_cmphex(fake_read(fake, UINT64_C(0x4e4000000), 4), ==, 0xffffffff);
	fake_write(fake, UINT64_C(0x4e0000000) + HUB_EXBAR, 7, 4);
	g_assert_cmphex(fake_read(fake, UINT64_C(0x4e0000000), 4), ==, 0xffffffff);
	config_write(fixture, 0, HUB_EXBAR, 0xffffffff);
	config_write(fixture, 0, HUB_EXBAR + 4, 0xffffffff);
	g_assert_cmphex(config_read(fixture, 0, HUB_EXBAR + 4), ==, 0xf);
	config_write(fixture, 0, HUB_EXBAR, ECAM | 1);
	config_write(fixture, 0, HUB_EXBAR + 4, 0);
	device_tree_reset(fixture->tree);
	g_assert_cmphex(fake_read(fake, ECAM, 4), ==, 0xffffffff);
}

static void test_header(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Gadget *gadget = add(fixture, "{\"driver\":\"gadget\"}");

	g_assert_cmpint(gadget->pci.address, ==, 1 << 3);
	g_assert_cmphex(config_read(fixture, 1, 0x08), ==, 0xff000003);
	g_assert_cmphex(config_read(fixture, 1, 0x2c), ==, 0xdef09abc);
	config_write(fixture, 1, 0x00, 0);
	config_write(fixture, 1, 0x08, 0);
	config_write(fixture, 1, 0x2c, 0);
	g_assert_cmphex(config_read(fixture, 1, 0x00), ==, 0x56781234);
	g_assert_cmphex(config_read(fixture, 1, 0x08), ==, 0xff000003);
	g_assert_cmphex(config_read(fixture, 1, 0x2c), ==, 0xdef09abc);
	/* The pin: none. The line: whatever the guest notes there. */
	config_write(fixture, 1, 0x3c, 0xffffffff);
	g_assert_cmphex(config_read(fixture, 1, 0x3c), ==, 0xff);
	/* On the root bus there is no PCI Express capability: MSI-X, then the vendor's. */
	g_assert_cmphex(config_read(fixture, 1, 0x34), ==, 0x40);
	g_assert_cmphex(config_read(fixture, 1, 0x40) & 0xffff, ==, 0x4c11);
	g_assert_cmphex(config_read(fixture, 1, 0x4c) & 0xffff, ==, 0x0009);
	g_assert_false(pci_device_is_bus_master(&gadget->pci));
	config_write(fixture, 1, 0x04, 0xffffffff);
	g_assert_true(pci_device_is_bus_master(&gadget->pci));
	g_assert_cmphex(config_read(fixture, 1, 0x04), ==, 0x00100547);
	g_assert_cmpuint(gadget->n_config_writes, ==, 5);
	device_tree_reset(fixture->tree);
	g_assert_cmphex(config_read(fixture, 1, 0x04), ==, 0x00100000);
}

static void test_bars(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Gadget *gadget = add(fixture, "{\"driver\":\"gadget\"}");

	gadget->scratch[0] = 0x5a;
	/* Sizing. */
	for (unsigned bar = 0; bar < 6; bar++)
		config_write(fixture, 1, 0x10 + bar * 4, 0xffffffff);
	g_assert_cmphex(config_read(fixture, 1, 0x10), ==, 0xffffffe1);
	g_assert_cmphex(config_read(fixture, 1, 0x14), ==, 0xfffff000);
	g_assert_cmphex(config_read(fixture, 1, 0x18), ==, 0xfffff000);
	g_assert_cmphex(config_read(fixture, 1, 0x1c), ==, 0);
	g_assert_cmphex(config_read(fixture, 1, 0x20), ==, 0x0000000c);
	g_assert_cmphex(config_read(fixture, 1, 0x24), ==, 0xfffffffe);
	/* All of it enabled while sized: the ends of the spaces. */
	config_write(fixture, 1, 0x04, 3);
	g_assert_cmphex(fake_inb(fake, 0xffe0), ==, 0xff);
	config_write(fixture, 1, 0x04, 0);
	config_write(fixture, 1, 0x10, 0xc001);
	config_write(fixture, 1, 0x14, 0xc0000000);
	config_write(fixture, 1, 0x18, 0xc0001fff);
	config_write(fixture, 1, 0x20, 0);
	config_write(fixture, 1, 0x24, 4);
	g_assert_cmphex(fake_inb(fake, 0xc000), ==, 0xff);
	g_assert_cmphex(fake_read(fake, 0xc0001000, 1), ==, 0xff);
	config_write(fixture, 1, 0x04, 1);
	g_assert_cmphex(fake_inb(fake, 0xc000), ==, 0x5a);
	g_assert_cmphex(fake_read(fake, 0xc0001000, 1), ==, 0xff);
	config_write(fixture, 1, 0x04, 2);
	g_assert_cmphex(fake_inb(fake, 0xc000), ==, 0xff);
	g_assert_cmphex(fake_read(fake, 0xc0001000, 1), ==, 0x5a);
	g_assert_cmphex(fake_read(fake, UINT64_C(0x400000000), 1), ==, 0x5a);
	/* Moved while enabled, onto another of its own, onto nothing. */
	config_write(fixture, 1, 0x18, 0xc0000000);
	g_assert_cmphex(fake_read(fake, 0xc0001000, 1), ==, 0xff);
	config_write(fixture, 1, 0x14, 0xc0008000);
	g_assert_cmphex(fake_read(fake, 0xc0000000, 1), ==, 0x5a);
	config_write(fixture, 1, 0x18, 0);
	g_assert_false(gadget->memory32.mapped);
	/* Above the physical address space nothing is mapped, and nothing breaks. */
	config_write(fixture, 1, 0x24, 0xfffffffe);
	g_assert_false(gadget->memory64.mapped);
	device_tree_reset(fixture->tree);
	g_assert_cmphex(config_read(fixture, 1, 0x10), ==, 1);
	g_assert_cmphex(fake_read(fake, 0xc0008000, 4), ==, 0xffffffff);
}

/* BARs over ECAM, over RAM and over each other: what was there first still answers. */
static void test_bar_overlap(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Gadget *first = add(fixture, "{\"driver\":\"gadget\"}");
	Gadget *second = add(fixture, "{\"driver\":\"gadget\"}");

	first->scratch[0] = 1;
	second->scratch[0] = 2;
	config_write(fixture, 0, HUB_EXBAR, ECAM | 1);
	config_write(fixture, 1, 0x18, ECAM);
	config_write(fixture, 1, 0x10, 0xce0);
	config_write(fixture, 1, 0x04, 3);
	g_assert_cmphex(fake_read(fake, ECAM, 4), ==, 0x29c08086);
	g_assert_cmphex(fake_inb(fake, 0xce0), ==, 1);
	g_assert_cmphex(config_read(fixture, 0, 0), ==, 0x29c08086);
	/* Without ECAM the BAR shows. */
	config_write(fixture, 0, HUB_EXBAR, ECAM);
	g_assert_cmphex(fake_read(fake, ECAM, 1), ==, 1);
	config_write(fixture, 2, 0x18, ECAM);
	config_write(fixture, 2, 0x04, 2);
	g_assert_cmphex(fake_read(fake, ECAM, 1), ==, 1);
	config_write(fixture, 1, 0x04, 0);
	g_assert_cmphex(fake_read(fake, ECAM, 1), ==, 2);
	config_write(fixture, 2, 0x18, 0x1000);
	g_assert_cmphex(fake->ram[0x1000], ==, 0);
}

/* Vector @vector's table entry at @table, as Linux would set it up. */
static void set_vector(FakeMachine *fake, uint64_t table, unsigned vector, bool masked)
{
	fake_write(fake, table + vector * 16 + 12, 1, 4);
	fake_write(fake, table + vector * 16, 0xfee00000u + vector * 0x1000, 4);
	fake_write(fake, table + vector * 16 + 4, 0, 4);
	fake_write(fake, table + vector * 16 + 8, 0x40 + vector, 4);
	fake_write(fake, table + vector * 16 + 12, masked, 4);
}

static void assert_msi(FakeMachine *fake, int vector)
{
	MsiMessage message;

	if (vector >= 0) {
		g_assert_true(fake_machine_take_msi(fake, &message));
		g_assert_cmphex(message.address, ==, 0xfee00000u + (unsigned)vector * 0x1000);
		g_assert_cmphex(message.data, ==, 0x40 + (unsigned)vector);
	}
	g_assert_false(fake_machine_take_msi(fake, &message));
}

#define TABLE		    UINT64_C(0xc0000000)
#define PENDING		    (TABLE + 0x800)
#define MSIX_CONTROL(value) config_write(fixture, 1, 0x40, (uint32_t)(value) << 16)

static Gadget *add_with_msix(Fixture *fixture)
{
	Gadget *gadget = add(fixture, "{\"driver\":\"gadget\",\"addr\":\"1\"}");

	config_write(fixture, 1, 0x14, TABLE);
	config_write(fixture, 1, 0x04, 6);
	return gadget;
}

static void test_msix(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Gadget *gadget = add_with_msix(fixture);
	PciDevice *pci = &gadget->pci;

	g_assert_cmphex(config_read(fixture, 1, 0x40), ==, 0x00034c11);
	g_assert_cmphex(config_read(fixture, 1, 0x44), ==, 1);
	g_assert_cmphex(config_read(fixture, 1, 0x48), ==, 0x801);
	g_assert_cmpuint(pci_msix_n_vectors(pci), ==, 4);
	g_assert_cmpint(pci_msix_eventfd(pci, 4), ==, -1);
	g_assert_cmphex(fake_read(fake, TABLE + 12, 4), ==, 1);
	/* Off: nothing is sent, and nothing is kept. */
	set_vector(fake, TABLE, 0, false);
	set_vector(fake, TABLE, 1, true);
	pci_msix_notify(pci, 0);
	g_assert_false(pci_msix_is_enabled(pci));
	MSIX_CONTROL(0x8000);
	g_assert_true(pci_msix_is_enabled(pci));
	g_assert_cmpuint(fake_machine_n_routes(fake), ==, 1);
	assert_msi(fake, -1);
	pci_msix_notify(pci, 0);
	assert_msi(fake, 0);
	fd_event_signal(pci_msix_eventfd(pci, 0));
	assert_msi(fake, 0);
	pci_msix_notify(pci, 4);
	pci_msix_notify(pci, UINT32_MAX);
	assert_msi(fake, -1);
	/* Masked: pending, and delivered once when unmasked. */
	pci_msix_notify(pci, 1);
	pci_msix_notify(pci, 1);
	assert_msi(fake, -1);
	g_assert_cmphex(fake_read(fake, PENDING, 4), ==, 2);
	g_assert_cmphex(fake_read(fake, PENDING, 8), ==, 2);
	fake_write(fake, TABLE + 16 + 12, 0, 4);
	assert_msi(fake, 1);
	g_assert_cmphex(fake_read(fake, PENDING, 4), ==, 0);
	/* The same for the whole function. */
	MSIX_CONTROL(0xc000);
	g_assert_cmpuint(fake_machine_n_routes(fake), ==, 0);
	pci_msix_notify(pci, 0);
	g_assert_cmphex(fake_read(fake, PENDING, 4), ==, 1);
	MSIX_CONTROL(0x8000);
	assert_msi(fake, 0);
	/* A change while unmasked takes effect at once. */
	fake_write(fake, TABLE, UINT64_C(0x00000000fee01000), 8);
	fake_write(fake, TABLE + 8, 0x41, 8);
	pci_msix_notify(pci, 0);
	assert_msi(fake, 1);
	device_tree_reset(fixture->tree);
	g_assert_cmpuint(fake_machine_n_routes(fake), ==, 0);
	pci_msix_notify(pci, 0);
	assert_msi(fake, -1);
}

static void test_msix_hostile(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Gadget *gadget = add_with_msix(fixture);

	set_vector(fake, TABLE, 0, false);
	MSIX_CONTROL(0xffff);
	MSIX_CONTROL(0x8000);
	g_assert_cmphex(config_read(fixture, 1, 0x40), ==, 0x80034c11);
	/* Small and misaligned accesses say nothing and change nothing. */
	g_assert_cmphex(fake_read(fake, TABLE, 1), ==, 0xff);
	g_assert_cmphex(fake_read(fake, TABLE, 2), ==, 0xffff);
	g_assert_cmphex(fake_read(fake, TABLE + 2, 4), ==, 0xffffffff);
	g_assert_cmphex(fake_read(fake, TABLE + 4, 8), ==, UINT64_MAX);
	fake_write(fake, TABLE, 0, 1);
	fake_write(fake, TABLE, 0, 2);
	fake_write(fake, TABLE + 2, 0, 4);
	fake_write(fake, TABLE + 4, UINT64_MAX, 8);
	pci_msix_notify(&gadget->pci, 0);
	assert_msi(fake, 0);
	/* Beyond the table; the pending bits are read-only; reserved bits stay clear. */
	g_assert_cmphex(fake_read(fake, TABLE + 64, 4), ==, 0);
	fake_write(fake, TABLE + 64, UINT64_MAX, 8);
	fake_write(fake, TABLE + 4088, UINT64_MAX, 8);
	g_assert_cmphex(fake_read(fake, TABLE + 64, 8), ==, 0);
	g_assert_cmphex(fake_read(fake, TABLE + 4088, 8), ==, 0);
	fake_write(fake, PENDING, UINT64_MAX, 8);
	g_assert_cmphex(fake_read(fake, PENDING, 8), ==, 0);
	fake_write(fake, TABLE + 48, UINT64_MAX, 8);
	fake_write(fake, TABLE + 56, UINT64_MAX, 8);
	g_assert_cmphex(fake_read(fake, TABLE + 48, 8), ==, 0xfffffffffffffffc);
	g_assert_cmphex(fake_read(fake, TABLE + 56, 8), ==, 0x1ffffffff);
	g_assert_cmpuint(fake_machine_n_routes(fake), ==, 1);
}

/* Tables that need more than a page, and as many vectors as there can be. */
static void test_msix_large(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Gadget *gadget = add(fixture, "{\"driver\":\"gadget\",\"addr\":\"1\",\"vectors\":300}");

	config_write(fixture, 1, 0x14, 0xffffffff);
	g_assert_cmphex(config_read(fixture, 1, 0x14), ==, 0xffffc000);
	g_assert_cmphex(config_read(fixture, 1, 0x48), ==, 0x2001);
	config_write(fixture, 1, 0x14, TABLE);
	config_write(fixture, 1, 0x04, 6);
	MSIX_CONTROL(0x8000);
	pci_msix_notify(&gadget->pci, 299);
	pci_msix_notify(&gadget->pci, 32);
	g_assert_cmphex(fake_read(fake, TABLE + 0x2000, 8), ==, UINT64_C(1) << 32);
	g_assert_cmphex(fake_read(fake, TABLE + 0x2020, 8), ==, UINT64_C(1) << (299 - 256));
	g_assert_cmphex(fake_read(fake, TABLE + 0x2028, 8), ==, 0);
	set_vector(fake, TABLE, 299, false);
	assert_msi(fake, 299);
}

static void test_slots(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	assert_refused(fixture, "{\"driver\":\"gadget\",\"addr\":\"0\"}", "in use by 'mch'");
	add(fixture, "{\"driver\":\"gadget\",\"id\":\"g0\",\"addr\":\"4\"}");
	assert_refused(fixture, "{\"driver\":\"gadget\",\"id\":\"g1\",\"addr\":\"4\"}",
		       "04.0 of bus 'pcie.0' is not available for 'g1', in use by 'g0'");
	assert_refused(fixture, "{\"driver\":\"gadget\",\"addr\":\"4.1\"}", "not multifunction");
	add(fixture, "{\"driver\":\"gadget\",\"addr\":\"5.0\",\"multifunction\":true}");
	add(fixture, "{\"driver\":\"gadget\",\"addr\":\"5.7\"}");
	add(fixture, "{\"driver\":\"gadget\",\"addr\":\"6.1\"}");
	assert_refused(fixture, "{\"driver\":\"gadget\",\"addr\":\"6.0\"}", "function 1 is in use");
	fake_outl(fake, 0xcf8, 0x80000000u | 5 << 11 | 7 << 8);
	g_assert_cmphex(fake_inl(fake, 0xcfc), ==, 0x56781234);
	g_assert_cmphex(config_read(fixture, 5, 0x0c), ==, 0x00800000);
	/* 0, 4, 5 and 6 are taken: 28 are left. */
	for (unsigned i = 0; i < 28; i++)
		add(fixture, "{\"driver\":\"gadget\",\"vectors\":0}");
	assert_refused(fixture, "{\"driver\":\"gadget\"}", "no 'PCI' bus has room");
	assert_refused(fixture, "{\"driver\":\"gadget\",\"bus\":\"pcie.0\"}", "no free slot");
	device_tree_remove(fixture->tree, device_tree_find(fixture->tree, "g0"));
	g_assert_cmphex(config_read(fixture, 4, 0), ==, 0xffffffff);
	add(fixture, "{\"driver\":\"gadget\"}");
	g_assert_cmphex(config_read(fixture, 4, 0), ==, 0x56781234);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Gadget *from = add_with_msix(fixture);
	Gadget *to = add(fixture, "{\"driver\":\"gadget\"}");
	Gadget *other = add(fixture, "{\"driver\":\"gadget\",\"vectors\":2}");
	g_autoptr(GByteArray) stream = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	size_t used;

	from->scratch[0] = 1;
	to->scratch[0] = 2;
	config_write(fixture, 1, 0x18, 0xd0000000);
	config_write(fixture, 1, 0x3c, 11);
	set_vector(fake, TABLE, 0, false);
	set_vector(fake, TABLE, 1, true);
	set_vector(fake, TABLE, 2, true);
	MSIX_CONTROL(0x8000);
	pci_msix_notify(&from->pci, 2);
	/* What the new one had of its own is gone afterwards. */
	config_write(fixture, 2, 0x40, 0x80000000u);
	pci_msix_notify(&to->pci, 3);
	fake_machine_check_state(&from->pci.device, &to->pci.device);
	g_assert_cmpuint(fake_machine_n_routes(fake), ==, 2);
	pci_msix_notify(&to->pci, 0);
	assert_msi(fake, 0);
	device_tree_remove(fixture->tree, &from->pci.device);
	g_assert_cmphex(fake_read(fake, 0xd0000000, 1), ==, 2);
	g_assert_cmphex(fake_read(fake, PENDING, 4), ==, 4);
	fake_write(fake, TABLE + 32 + 12, 0, 4);
	assert_msi(fake, 2);
	/* Another number of vectors is another device. */
	state_save(&gadget_state, to, stream);
	g_assert_false(state_load(&gadget_state, other, stream->data, stream->len, &used, &error));
	g_assert_nonnull(strstr(error->message, "'table' has 4 elements, this device has 2"));
	g_clear_error(&error);
	/* So is one whose read-only registers differ. */
	to->pci.config[PCI_REVISION_ID] = 4;
	g_assert_false(state_load(&gadget_state, to, stream->data, stream->len, &used, &error));
	g_assert_nonnull(strstr(error->message, "PCI register 0x8"));
	to->pci.config[PCI_REVISION_ID] = 3;
	fake_machine_check_state(&to->pci.device, &to->pci.device);
}

static void test_hub_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *hub = &pci_bus_device_at(fixture->root, 0)->device;
	Device *bridge = fixture->root->bus.parent;
	g_autoptr(GByteArray) stream = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	size_t used;

	config_write(fixture, 0, HUB_EXBAR, ECAM | 1);
	fake_machine_check_state(bridge, bridge);
	g_assert_cmphex(fake_inl(fixture->fake, 0xcf8), ==, 0x80000060);
	state_save(hub->type->state, hub, stream);
	device_tree_reset(fixture->tree);
	g_assert_cmphex(fake_read(fixture->fake, ECAM, 4), ==, 0xffffffff);
	g_assert_true(state_load(hub->type->state, hub, stream->data, stream->len, &used, &error));
	g_assert_cmphex(fake_read(fixture->fake, ECAM, 4), ==, 0x29c08086);
}

/* A storm of random accesses to everything: nothing breaks, and the hub is what it was. */
static void test_storm(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Gadget *gadget = add_with_msix(fixture);
	static const unsigned sizes[] = { 1, 2, 4, 8 };

	add(fixture, "{\"driver\":\"gadget\",\"vectors\":33}");
	config_write(fixture, 0, HUB_EXBAR, ECAM | 1);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned size = sizes[g_test_rand_int_range(0, 4)];
		uint64_t value =
			(uint64_t)(uint32_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
		unsigned slot = (unsigned)g_test_rand_int_range(1, 4);

		switch (g_test_rand_int_range(0, 5)) {
		case 0:
			fake_write(fake, ECAM + (slot << 15) + (value & 0xff), value >> 8, size);
			break;
		case 1:
			fake_write(fake, TABLE + (value & 0xfff), value >> 12, size);
			break;
		case 2:
			fake_read(fake, TABLE + (value & 0xfff), size);
			break;
		case 3:
			pci_msix_notify(&gadget->pci, (unsigned)value & 7);
			break;
		case 4:
			fake_outl(fake, 0xcf8, (uint32_t)value | 0x80000000u);
			fake_inl(fake, 0xcfc);
			break;
		}
	}
	fake_outl(fake, 0xcf8, 0x80000000);
	g_assert_cmphex(fake_inl(fake, 0xcfc), ==, 0x29c08086);
}

/* Firmware sets where 0xc0000 to 0xfffff go, and reads it back; nothing else, and not for ever. */
static void test_hub_pam(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const uint8_t expected[] = { 0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33 };
	PciDevice *hub = pci_bus_device_at(fixture->root, 0);

	for (unsigned i = 0; i < sizeof(expected); i++) {
		g_assert_cmphex(pci_device_config_read(hub, 0x90 + i, 1), ==, 0);
		pci_device_config_write(hub, 0x90 + i, 0xff, 1);
		g_assert_cmphex(pci_device_config_read(hub, 0x90 + i, 1), ==, expected[i]);
	}
	pci_device_config_write(hub, 0x97, 0xff, 1);
	g_assert_cmphex(pci_device_config_read(hub, 0x97, 1), ==, 0);
	hub->device.type->reset(&hub->device);
	g_assert_cmphex(pci_device_config_read(hub, 0x90, 4), ==, 0);
	g_assert_cmphex(pci_device_config_read(hub, 0x94, 4), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/pci/" name, Fixture, NULL, set_up, func, tear_down)
	ADD("ports", test_ports);
	ADD("ecam", test_ecam);
	ADD("header", test_header);
	ADD("bars", test_bars);
	ADD("bar-overlap", test_bar_overlap);
	ADD("msix", test_msix);
	ADD("msix-hostile", test_msix_hostile);
	ADD("msix-large", test_msix_large);
	ADD("slots", test_slots);
	ADD("state", test_state);
	ADD("hub-state", test_hub_state);
	ADD("hub-pam", test_hub_pam);
	ADD("storm", test_storm);
	return g_test_run();
}
