/*
 * lpc_bridge.c: the ICH9's LPC interface bridge, 00:1f.0
 *
 * Intel I/O Controller Hub 9 datasheet §13.1. It tells firmware and operating systems by its ids
 * which chipset this is, and where ACPI's registers are. What real firmware may move is fixed
 * here: the ACPI registers are always on, at ACPI_PM_BASE.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chipset/chipset.h"
#include "vmm/pci/pci_bus.h"
#include "vmm/x86/acpi_layout.h"

enum {
	CONFIG_PM_BASE = 0x40,	    /* 32 bits; bit 0: I/O space */
	CONFIG_ACPI_CONTROL = 0x44, /* 8 bits */
	CONFIG_PIRQ_A = 0x60,	    /* to D; 8 bits each */
	CONFIG_PIRQ_E = 0x68,	    /* to H */

	ACPI_CONTROL_ENABLE = 0x80, /* SCI is IRQ 9: the field is 0 */
	PIRQ_NOT_ROUTED = 0x80,
	PIRQ_WRITABLE = 0x8f,
};

typedef struct LpcBridge {
	PciDevice pci;
} LpcBridge;

static void set_registers(PciDevice *pci)
{
	pci->config[CONFIG_PM_BASE] = (uint8_t)(ACPI_PM_BASE | 1);
	pci->config[CONFIG_PM_BASE + 1] = (uint8_t)(ACPI_PM_BASE >> 8);
	pci->config[CONFIG_ACPI_CONTROL] = ACPI_CONTROL_ENABLE;
	for (unsigned i = 0; i < 4; i++) {
		pci->config[CONFIG_PIRQ_A + i] = PIRQ_NOT_ROUTED;
		pci->config[CONFIG_PIRQ_E + i] = PIRQ_NOT_ROUTED;
	}
}

static bool lpc_bridge_realize(Device *device, G_GNUC_UNUSED GError **error)
{
	PciDevice *pci = (PciDevice *)device;

	pci_device_init(pci);
	for (unsigned i = 0; i < 4; i++) {
		pci->write_mask[CONFIG_PIRQ_A + i] = PIRQ_WRITABLE;
		pci->write_mask[CONFIG_PIRQ_E + i] = PIRQ_WRITABLE;
	}
	set_registers(pci);
	return true;
}

static void lpc_bridge_unrealize(Device *device)
{
	pci_device_finish((PciDevice *)device);
}

static void lpc_bridge_reset(Device *device)
{
	PciDevice *pci = (PciDevice *)device;

	pci_device_reset(pci);
	g_mutex_lock(&device->lock);
	set_registers(pci);
	g_mutex_unlock(&device->lock);
}

static const StateTable lpc_bridge_state = {
	.name = "ich9-lpc",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_PART(LpcBridge, pci, &pci_device_state),
			STATE_END,
		},
};

const PciDeviceType lpc_bridge_type = {
	.device = {
		.name = "ICH9-LPC",
		.description = "ICH9 LPC interface bridge",
		.category = "Bridge",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(LpcBridge),
		.properties = { pci_device_properties },
		.state = &lpc_bridge_state,
		.realize = lpc_bridge_realize,
		.unrealize = lpc_bridge_unrealize,
		.reset = lpc_bridge_reset,
	},
	.vendor_id = 0x8086,
	.device_id = 0x2918,
	.subsystem_vendor_id = 0x1af4,
	.subsystem_id = 0x1100,
	.class_code = 0x060100, /* ISA bridge */
	.revision = 2,
};
