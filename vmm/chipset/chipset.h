/*
 * chipset.h: the devices on the board and behind its ISA bus
 *
 * One file each; this names their types and the few things that the machine asks of them beyond
 * the device interface.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/config/vm_config.h"
#include "vmm/device/device.h"
#include "vmm/pci/pci.h"

/* On the board: the machine makes one of each. */
extern const DeviceType acpi_pm_type;	    /* "ich9-pm" */
extern const DeviceType rtc_cmos_type;	    /* "mc146818rtc" */
extern const DeviceType i8042_type;	    /* "i8042" */
extern const PciDeviceType lpc_bridge_type; /* "ICH9-LPC", to be put at 1f.0 */
extern const DeviceType port92_type;	    /* "port92" */

/* Where there is firmware, at the top of the first 4 GiB. */
extern const DeviceType flash_type; /* "cfi.pflash01" */
extern const DeviceType rom_type;   /* "firmware-rom" */

/* Of all flash or ROM together: bytes. */
#define FLASH_MAXIMUM_SIZE (16u << 20)

/* The guest-physical address of a flash_type device's first byte. Main thread. */
uint64_t flash_base(const Device *flash);

/* On the board of a machine that vCPUs can be added to. */
extern const DeviceType cpu_hotplug_type; /* "acpi-cpu-hotplug" */

/* On the bus of cpu_hotplug_type, as the user asks. */
extern const DeviceType processor_type; /* "x86_64-cpu" */
#define PROCESSOR_BUS_KIND "CPU"

/* On the ISA bus, as the user asks. */
extern const DeviceType serial_16550_type;  /* "isa-serial" */
extern const DeviceType debug_exit_type;    /* "isa-debug-exit" */
extern const DeviceType debug_console_type; /* "isa-debugcon" */
extern const DeviceType pvpanic_type;	    /* "pvpanic" */
extern const DeviceType tpm_crb_type;	    /* "tpm-crb" */
extern const DeviceType vmgenid_type;	    /* "vmgenid" */

/* On PCI, as the user asks. */
extern const PciDeviceType i6300esb_type; /* "i6300esb" */

/* The bus that ISA devices plug into, called "isa.0". Main thread. */
Bus *isa_bus_new(void);
/* No device may be left on it. */
void isa_bus_free(Bus *bus);

/*
 * Press the power button of @acpi_pm (an acpi_pm_type device): the guest is told by SCI, if it
 * has enabled that. Any thread.
 */
void acpi_pm_power_button(Device *acpi_pm);

/*
 * Set the status bit of general purpose event @gpe (0 to 63) of @acpi_pm; the guest is told by SCI,
 * if it has enabled that. Any thread.
 */
void acpi_pm_raise_gpe(Device *acpi_pm, unsigned gpe);

/* Tell @device, a cpu_hotplug_type device, by whom the guest is interrupted. Before it runs. */
void cpu_hotplug_set_acpi_pm(Device *device, Device *acpi_pm);

/*
 * Which vCPU of @topology @device, of processor_type, is: *@index. False and @error where there is
 * no such place. Main thread.
 */
bool processor_index(const Device *device, const CpuTopology *topology, unsigned *index,
		     GError **error);

/*
 * Map @region, of an ISA device @device, to the ports from @base on. False and @error that names the
 * device, where there are not as many, or something else answers at one of them. In its realize.
 */
bool isa_map_ports(const Device *device, IoRegion *region, uint32_t base, GError **error);

/*
 * Which of COM1 to COM4 the serial port @serial answers as (0 to 3), or -1 if its address is of
 * its own. Main thread.
 */
int serial_16550_com(const Device *serial);

/* Whether a keyboard and a mouse are on @i8042 (since its last reset). Main thread. */
bool i8042_is_plugged(const Device *i8042);

/* The generation that @vmgenid, a vmgenid_type device, tells, as text; borrowed. Main thread. */
const char *vmgenid_guid(const Device *vmgenid);

/* The I/O port of a pvpanic_type device. Main thread. */
uint16_t pvpanic_port(const Device *pvpanic);
