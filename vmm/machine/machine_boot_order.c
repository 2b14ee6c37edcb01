/*
 * machine_boot_order.c: the order in which firmware tries devices
 *
 * Firmware knows devices by the path that Open Firmware would give them (IEEE 1275, and its bindings
 * for PCI and SCSI): /pci@i0cf8, then for each bridge and the device itself its kind, slot and
 * function, then the unit within the device.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/machine/machine_boot_order.h"
#include "vmm/pci/pci.h"
#include "vmm/scsi/scsi.h"

#define CLASS_NETWORK 0x02u

typedef struct BootEntry {
	int32_t index;
	Device *device;
} BootEntry;

static void add_entry(Device *device, gpointer data)
{
	const Property *property = device_type_find_property(device->type, "bootindex");
	BootEntry entry = { .device = device };

	if (!property || property->kind != PROPERTY_INT32)
		return;
	entry.index = *(int32_t *)((char *)device + property->offset);
	if (entry.index >= 0)
		g_array_append_val((GArray *)data, entry);
}

static int compare_entries(gconstpointer a, gconstpointer b)
{
	const BootEntry *left = a, *right = b;

	return (left->index > right->index) - (left->index < right->index);
}

/* Append the path of the PCI function @pci, called @kind. */
static void append_pci_path(GString *path, const PciDevice *pci, const char *kind)
{
	const Device *parent = pci->device.bus->parent;

	if (strcmp(parent->type->bus_kind ? parent->type->bus_kind : "", PCI_BUS_KIND) == 0)
		append_pci_path(path, (const PciDevice *)(const void *)parent, "pci-bridge");
	else
		g_string_append(path, "/pci@i0cf8");
	g_string_append_printf(path, "/%s@%x", kind, (unsigned)pci->address >> 3);
	if (pci->address & 7)
		g_string_append_printf(path, ",%x", (unsigned)pci->address & 7);
}

/* False where firmware has no way to boot from such a device. */
static bool append_path(GString *path, Device *device)
{
	const PciDevice *pci = (const PciDevice *)(const void *)device;
	const ScsiDisk *disk = (const ScsiDisk *)(const void *)device;

	if (scsi_disk_is(device)) {
		append_pci_path(path, (const PciDevice *)(const void *)device->bus->parent, "scsi");
		g_string_append_printf(path, "/channel@0/disk@%x,%x", disk->target, disk->lun);
		return true;
	}
	if (g_strcmp0(device->type->bus_kind, PCI_BUS_KIND) != 0)
		return false;
	if (pci_device_type(pci)->class_code >> 16 == CLASS_NETWORK) {
		append_pci_path(path, pci, "ethernet");
		g_string_append(path, "/ethernet-phy@0");
	} else {
		append_pci_path(path, pci, "scsi");
		g_string_append(path, "/disk@0,0");
	}
	return true;
}

char *machine_boot_order(DeviceTree *devices, bool strict, GError **error)
{
	g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(BootEntry));
	g_autoptr(GString) order = g_string_new(NULL);

	device_tree_foreach(devices, false, add_entry, entries);
	g_array_sort(entries, compare_entries);
	for (unsigned i = 0; i < entries->len; i++) {
		const BootEntry *entry = &g_array_index(entries, BootEntry, i);
		g_autoptr(GString) path = g_string_new(NULL);

		if (i > 0 && entry[-1].index == entry->index) {
			error_fail(error, "two devices have bootindex=%" PRId32 ": '%s' and '%s'",
				   entry->index, entry[-1].device->path, entry->device->path);
			return NULL;
		}
		if (append_path(path, entry->device))
			g_string_append_printf(order, "%s%s", order->len ? "\n" : "", path->str);
	}
	if (strict)
		g_string_append_printf(order, "%sHALT", order->len ? "\n" : "");
	return g_string_free(g_steal_pointer(&order), FALSE);
}
