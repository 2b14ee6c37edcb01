/*
 * fuzz-pci.c: a guest that does anything to configuration space, ECAM, BARs, MSI-X and slots
 *
 * The input is a list of actions of 12 bytes: what, how large, where, and the value.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_machine.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/pci/host_bridge.h"
#include "vmm/pci/pci_assign.h"
#include "vmm/pci/root_port.h"
#include "vmm/x86/memory_map.h"

#include <string.h>

/* Enough to try much, few enough that an input takes no time. */
#define MAXIMUM_ACTIONS 64
#define ACTION_SIZE	12

typedef struct Gadget {
	PciDevice pci;
	IoRegion memory, io;
	uint8_t bytes[256];
} Gadget;

static uint64_t gadget_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	return ((Gadget *)opaque)->bytes[offset];
}

static void gadget_write(void *opaque, uint64_t offset, uint64_t value, G_GNUC_UNUSED unsigned size)
{
	((Gadget *)opaque)->bytes[offset] = (uint8_t)value;
}

static const IoRegionOps gadget_ops = {
	.read = gadget_read,
	.write = gadget_write,
	.maximum_size = 1,
};

static bool gadget_realize(Device *device, GError **error)
{
	Gadget *gadget = (Gadget *)device;

	pci_device_init(&gadget->pci);
	gadget->memory =
		(IoRegion){ .name = "memory", .size = 256, .ops = &gadget_ops, .opaque = gadget };
	gadget->io = (IoRegion){ .name = "io", .size = 32, .ops = &gadget_ops, .opaque = gadget };
	pci_device_add_bar(&gadget->pci, 0, &gadget->io, true, false, false);
	pci_device_add_bar(&gadget->pci, 4, &gadget->memory, false, true, true);
	return pci_msix_init(&gadget->pci, 3, 1, error);
}

static void gadget_unrealize(Device *device)
{
	pci_device_finish((PciDevice *)device);
}

static void gadget_reset(Device *device)
{
	pci_device_reset((PciDevice *)device);
}

static const PciDeviceType gadget_type = {
	.device = {
		.name = "gadget",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(Gadget),
		.properties = { pci_device_properties },
		.hotpluggable = true,
		.user_creatable = true,
		.realize = gadget_realize,
		.unrealize = gadget_unrealize,
		.reset = gadget_reset,
	},
	.vendor_id = 0x1234,
	.device_id = 0x5678,
	.is_express = true,
};

static const DeviceType *const types[] = { &host_bridge_type, &memory_controller_hub_type.device,
					   &root_port_type.device, &gadget_type.device, NULL };

static const PciWindows windows = {
	.memory32_base = MEMORY_MAP_PCI32_BASE,
	.memory32_size = MEMORY_MAP_PCI32_END - MEMORY_MAP_PCI32_BASE,
	.memory64_base = UINT64_C(1) << 36,
	.memory64_size = UINT64_C(1) << 36,
	.io_base = 0xc000,
	.io_size = 0x4000,
};

typedef struct Action {
	uint8_t what, size;
	uint16_t offset;
	uint64_t value;
} Action;

typedef struct Board {
	FakeMachine *fake;
	DeviceTree *tree;
	Device *bridge;
	PciDevice *port, *fixed; /* a port, and a function on the root bus */
} Board;

static Device *add(Board *board, const char *text)
{
	json_object *options = json_tokener_parse(text);
	Device *device = device_tree_add(board->tree, options, NULL);

	json_object_put(options);
	return device;
}

static void plug_or_unplug(Board *board)
{
	Device *plugged = device_tree_find(board->tree, "g");

	if (plugged)
		device_tree_request_remove(board->tree, plugged, NULL);
	else
		add(board, "{\"driver\":\"gadget\",\"id\":\"g\",\"bus\":\"p\"}");
}

/* Access @offset of where BAR @index of @pci is now. */
static void access_bar(Board *board, const PciDevice *pci, unsigned index, const Action *action)
{
	const PciBar *bar = &pci->bars[index];
	AddressSpace *space = bar->is_io ? board->fake->services.pio : board->fake->services.mmio;
	uint64_t address;

	if (!bar->region || !bar->region->mapped)
		return;
	address = bar->region->base + action->offset % (bar->size + 8);
	if (action->size & 0x80)
		address_space_read(space, address, 1u << (action->size & 3));
	else
		address_space_write(space, address, action->value, 1u << (action->size & 3));
}

static void perform(Board *board, const Action *action)
{
	FakeMachine *fake = board->fake;
	unsigned size = 1u << (action->size & 3);
	MsiMessage message;

	switch (action->what % 11) {
	case 0:
		address_space_write(fake->services.pio, 0xcf8 + action->offset % 8, action->value,
				    MIN(size, 4));
		break;
	case 1:
		address_space_read(fake->services.pio, 0xcf8 + action->offset % 8, MIN(size, 4));
		break;
	case 2: /* the hub, the gadget or the port, wherever ECAM should be */
		fake_write(fake,
			   MEMORY_MAP_ECAM_BASE + ((action->size >> 2 & 3u) << 15) +
				   (action->offset & 0xfff),
			   action->value, size);
		break;
	case 3:
		fake_read(fake, MEMORY_MAP_ECAM_BASE + (action->value & 0xfffffff), size);
		break;
	case 4: /* one aligned write to the port or the gadget, which gets where it should */
		pci_bus_config_write(host_bridge_bus(board->bridge), action->size >> 4,
				     (action->size >> 2 & 3u) << 3, action->offset & 0xffcu,
				     (uint32_t)action->value, 4);
		break;
	case 5:
		access_bar(board, board->fixed, action->what / 11 % PCI_BARS, action);
		break;
	case 6:
		access_bar(board, board->port, 0, action);
		break;
	case 7:
		pci_msix_notify(board->fixed, action->offset);
		break;
	case 8:
		plug_or_unplug(board);
		break;
	case 9:
		fake_machine_iterate(fake);
		break;
	case 10:
		fake_machine_take_msi(fake, &message);
		break;
	}
}

static void board_init(Board *board)
{
	board->fake = fake_machine_new(4096);
	board->tree = device_tree_new(types, &board->fake->services);
	board->bridge = device_tree_add_builtin(board->tree, HOST_BRIDGE_TYPE, NULL, NULL, NULL);
	board->fixed = (PciDevice *)add(board, "{\"driver\":\"gadget\",\"addr\":\"1\"}");
	board->port = (PciDevice *)add(
		board, "{\"driver\":\"pcie-root-port\",\"id\":\"p\",\"addr\":\"2\"}");
	device_tree_reset(board->tree);
	device_tree_set_started(board->tree);
	g_assert_true(pci_assign_resources(host_bridge_bus(board->bridge), &windows,
					   MEMORY_MAP_ECAM_BASE, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Board board;

	board_init(&board);
	for (unsigned i = 0; i < MAXIMUM_ACTIONS && size >= ACTION_SIZE; i++) {
		Action action = { .what = data[0], .size = data[1] };

		memcpy(&action.offset, data + 2, 2);
		memcpy(&action.value, data + 4, 8);
		perform(&board, &action);
		data += ACTION_SIZE;
		size -= ACTION_SIZE;
	}
	/* Whatever it did, a reset brings everything back. */
	device_tree_reset(board.tree);
	g_assert_true(pci_assign_resources(host_bridge_bus(board.bridge), &windows,
					   MEMORY_MAP_ECAM_BASE, NULL));
	g_assert_cmphex(fake_read(board.fake, MEMORY_MAP_ECAM_BASE, 4), ==, 0x29c08086);
	device_tree_free(board.tree);
	fake_machine_free(board.fake);
	return 0;
}
