/*
 * monitor_pci.c: QMP commands of schemas/pci.json
 *
 * What query-pci shows is what the guest's configuration cycles would show it: identities, and
 * the bus numbers, windows and BARs that it has programmed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/machine/machine.h"
#include "vmm/pci/pci.h"
#include "vmm/pci/pci_bus.h"
#include "vmm/pci/pci_registers.h"

static uint8_t config_byte(const PciDevice *pci, unsigned offset)
{
	return pci->config[offset];
}

static uint16_t config_word(const PciDevice *pci, unsigned offset)
{
	return (uint16_t)(pci->config[offset] | pci->config[offset + 1] << 8);
}

static uint32_t config_long(const PciDevice *pci, unsigned offset)
{
	return config_word(pci, offset) | (uint32_t)config_word(pci, offset + 2) << 16;
}

static QapiPciMemoryRange *memory_range(uint64_t base, uint64_t limit)
{
	QapiPciMemoryRange *range = g_new0(QapiPciMemoryRange, 1);

	range->base = (int64_t)base;
	range->limit = (int64_t)limit;
	return range;
}

/* The windows of a bridge (PCI-to-PCI Bridge Architecture §3.2.5.6 to 8). */
static QapiPciBusInfo *describe_windows(const PciDevice *pci)
{
	QapiPciBusInfo *info = g_new0(QapiPciBusInfo, 1);
	uint64_t base, limit;

	info->number = config_byte(pci, PCI_PRIMARY_BUS);
	info->secondary = config_byte(pci, PCI_SECONDARY_BUS);
	info->subordinate = config_byte(pci, PCI_SUBORDINATE_BUS);
	base = (uint64_t)(config_byte(pci, PCI_IO_BASE) & 0xf0) << 8;
	limit = (uint64_t)(config_byte(pci, PCI_IO_LIMIT) & 0xf0) << 8 | 0xfff;
	info->io_range = memory_range(base, limit);
	base = (uint64_t)(config_word(pci, PCI_MEMORY_BASE) & 0xfff0) << 16;
	limit = (uint64_t)(config_word(pci, PCI_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff;
	info->memory_range = memory_range(base, limit);
	base = (uint64_t)(config_word(pci, PCI_PREF_MEMORY_BASE) & 0xfff0) << 16 |
	       (uint64_t)config_long(pci, PCI_PREF_BASE_UPPER32) << 32;
	limit = (uint64_t)(config_word(pci, PCI_PREF_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff |
		(uint64_t)config_long(pci, PCI_PREF_LIMIT_UPPER32) << 32;
	info->prefetchable_range = memory_range(base, limit);
	return info;
}

static void describe_bar(GPtrArray *list, const PciBar *bar, int index)
{
	QapiPciMemoryRegion *region;

	if (!bar->region)
		return;
	region = g_new0(QapiPciMemoryRegion, 1);
	region->bar = index;
	region->type = g_strdup(bar->is_io ? "io" : "memory");
	region->address = bar->region->mapped ? (int64_t)bar->region->base : -1;
	region->size = (int64_t)bar->size;
	if (!bar->is_io) {
		region->has_prefetch = true;
		region->prefetch = bar->prefetchable;
		region->has_mem_type_64 = true;
		region->mem_type_64 = bar->is_64bit;
	}
	g_ptr_array_add(list, region);
}

/* The expansion ROM counts as the seventh. */
static GPtrArray *describe_bars(const PciDevice *pci)
{
	GPtrArray *list = qapi_list_new_PciMemoryRegion();

	for (int i = 0; i < PCI_BARS; i++)
		describe_bar(list, &pci->bars[i], i);
	describe_bar(list, &pci->rom_bar, PCI_BARS);
	return list;
}

static GPtrArray *describe_bus(const PciBus *bus);

static QapiPciDeviceInfo *describe_device(const PciDevice *pci, unsigned bus, unsigned address)
{
	QapiPciDeviceInfo *info = g_new0(QapiPciDeviceInfo, 1);

	info->bus = bus;
	info->slot = PCI_ADDRESS_DEVICE(address);
	info->function = PCI_ADDRESS_FUNCTION(address);
	info->class_info = g_new0(QapiPciDeviceClass, 1);
	info->class_info->class = config_word(pci, PCI_CLASS_DEVICE);
	info->id = g_new0(QapiPciDeviceId, 1);
	info->id->vendor = config_word(pci, PCI_VENDOR_ID);
	info->id->device = config_word(pci, PCI_DEVICE_ID);
	info->qdev_id = g_strdup(pci->device.id ? pci->device.id : "");
	info->regions = describe_bars(pci);
	if (pci->secondary_bus) {
		info->pci_bridge = g_new0(QapiPciBridgeInfo, 1);
		info->pci_bridge->bus = describe_windows(pci);
		info->pci_bridge->devices = describe_bus(pci->secondary_bus);
	} else {
		info->id->has_subsystem = true;
		info->id->subsystem = config_word(pci, PCI_SUBSYSTEM_ID);
		info->id->has_subsystem_vendor = true;
		info->id->subsystem_vendor = config_word(pci, PCI_SUBSYSTEM_VENDOR_ID);
	}
	return info;
}

/* Bridges nest no deeper than the user plugged them, one bus into the next. */
static GPtrArray *describe_bus(const PciBus *bus)
{
	GPtrArray *list = qapi_list_new_PciDeviceInfo();
	unsigned number = pci_bus_number(bus);

	for (unsigned address = 0; address < bus->n_addresses; address++) {
		const PciDevice *pci = pci_bus_device_at(bus, address);

		if (pci)
			g_ptr_array_add(list, describe_device(pci, number, address));
	}
	return list;
}

GPtrArray *qmp_query_pci(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	DeviceTree *tree = machine_devices(qmp_context_machine(ctx));
	GPtrArray *list = qapi_list_new_PciInfo();
	Bus *root = device_tree_find_bus(tree, "pcie.0");
	QapiPciInfo *info;

	if (!root)
		return list;
	info = g_new0(QapiPciInfo, 1);
	info->devices = describe_bus((const PciBus *)root);
	g_ptr_array_add(list, info);
	return list;
}
