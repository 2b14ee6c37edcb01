/*
 * machine_board.c: the devices of the board, and what it boots
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/json.h"
#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/pci/host_bridge.h"
#include "vmm/pci/pci_assign.h"
#include "vmm/x86/acpi.h"

#include <string.h>

/* Ports for BARs: a part of what the DSDT gives to PCI, apart from the board's own. */
#define PCI_IO_BASE_PORT 0xc000
#define PCI_IO_SIZE	 0x4000

static Device *add_board_device(Machine *machine, const DeviceType *type, GError **error)
{
	return device_tree_add_builtin(machine->devices, type->name, NULL, NULL, error);
}

/* Firmware and operating systems look for it there. */
static bool create_lpc_bridge(Machine *machine, GError **error)
{
	g_autoptr(JsonObject) options = json_object_new_object();

	json_object_object_add(options, "addr", json_object_new_string("1f.0"));
	return device_tree_add_builtin(machine->devices, lpc_bridge_type.device.name,
				       &host_bridge_bus(machine->host_bridge)->bus, options,
				       error) != NULL;
}

static bool create_clock(Machine *machine, GError **error)
{
	const char *base = machine->config->rtc_base;
	g_autoptr(JsonObject) options = json_object_new_object();

	if (base)
		json_object_object_add(options, "base", json_object_new_string(base));
	if (machine->config->rtc_slew)
		json_object_object_add(options, "lost_tick_policy", json_object_new_string("slew"));
	if (device_tree_add_builtin(machine->devices, rtc_cmos_type.name, NULL, options, error))
		return true;
	if (base)
		g_prefix_error(error, "-rtc base=%s: ", base);
	return false;
}

/* Only where there is something to plug: its tables cost the guest time to read. */
static bool create_cpu_hotplug(Machine *machine, GError **error)
{
	const CpuTopology *topology = &machine->config->cpu_topology;
	Device *hotplug;

	if (topology->max_cpus == topology->cpus)
		return true;
	hotplug = add_board_device(machine, &cpu_hotplug_type, error);
	if (hotplug)
		cpu_hotplug_set_acpi_pm(hotplug, machine->acpi_pm);
	return hotplug != NULL;
}

static bool create_chipset(Machine *machine, GError **error)
{
	machine->isa_bus = isa_bus_new();
	device_tree_add_bus(machine->devices, machine->isa_bus);
	machine->acpi_pm = add_board_device(machine, &acpi_pm_type, error);
	machine->host_bridge = add_board_device(machine, &host_bridge_type, error);
	return machine->acpi_pm && machine->host_bridge && create_lpc_bridge(machine, error) &&
	       create_clock(machine, error) && add_board_device(machine, &i8042_type, error) &&
	       add_board_device(machine, &port92_type, error) && create_cpu_hotplug(machine, error);
}

/* -serial is -device isa-serial with the next of COM1 to COM4. */
static bool create_serial_ports(Machine *machine, GError **error)
{
	const GPtrArray *serials = machine->config->serials;

	for (unsigned i = 0; i < serials->len; i++) {
		const VmConfigItem *item = serials->pdata[i];
		json_object *chardev, *options;
		Device *device;

		if (!json_object_object_get_ex(item->options, "chardev", &chardev))
			continue;
		options = json_object_new_object();
		json_object_object_add(options, "chardev", json_object_get(chardev));
		json_object_object_add(options, "index", json_object_new_int((int)i));
		device = device_tree_add_builtin(machine->devices, serial_16550_type.name,
						 machine->isa_bus, options, error);
		json_object_put(options);
		if (!device) {
			g_prefix_error(error, "%s %s: ", item->option, item->text);
			return false;
		}
	}
	return true;
}

static bool create_user_devices(Machine *machine, GError **error)
{
	for (unsigned i = 0; i < machine->config->devices->len; i++) {
		const VmConfigItem *item = machine->config->devices->pdata[i];

		if (!device_tree_add(machine->devices, item->options, error)) {
			g_prefix_error(error, "%s %s: ", item->option, item->text);
			return false;
		}
	}
	return true;
}

static bool open_boot_source(Machine *machine, GError **error)
{
	const VmConfig *config = machine->config;

	if (!config->kernel) {
		const char *alone = config->initrd ? "-initrd" : config->append ? "-append" : NULL;

		if (alone)
			g_set_error(error, VIREO_ERROR, VIREO_ERROR_FAILED,
				    "%s needs a kernel (-kernel)", alone);
		return alone == NULL;
	}
	machine->boot = boot_source_open(config->kernel, config->initrd, config->append, error);
	return machine->boot != NULL;
}

bool machine_create_board(Machine *machine, GError **error)
{
	return open_boot_source(machine, error) && create_chipset(machine, error) &&
	       machine_create_firmware(machine, error) &&
	       create_serial_ports(machine, error) && create_user_devices(machine, error);
}

/* Note in @data, an AcpiConfig, that @device is there, if ACPI has something to say of it. */
static void describe_device(Device *device, gpointer data)
{
	AcpiConfig *acpi = data;

	if (device->type == &serial_16550_type) {
		int com = serial_16550_com(device);

		if (com >= 0)
			acpi->devices |= (uint32_t)ACPI_INFO_COM1 << com;
	} else if (device->type == &pvpanic_type) {
		acpi->devices |= ACPI_INFO_PVPANIC;
		acpi->pvpanic_port = pvpanic_port(device);
	} else if (device->type == &vmgenid_type) {
		acpi->devices |= ACPI_INFO_VMGENID;
	} else if (device->type == &tpm_crb_type) {
		acpi->devices |= ACPI_INFO_TPM;
	} else if (device->type == &i8042_type && i8042_is_plugged(device)) {
		acpi->devices |= ACPI_INFO_PS2;
	}
}

/*
 * What is in which NUMA node. Where memory can be added a guest is told so even if it has no
 * nodes: it must know how far its addresses go.
 */
static void describe_numa(const Machine *machine, AcpiCpu *cpus, GArray *ranges,
			  GByteArray *distances, AcpiConfig *acpi)
{
	const NumaConfig *numa = machine->config->numa;
	const MemoryMap *map = &machine->map;
	unsigned n_nodes = numa ? numa->n_nodes : 1;
	const AcpiMemory added = {
		.address = map->devices_base,
		.size = map->devices_size,
		.node = n_nodes - 1, /* where a device does not say its own */
		.hotpluggable = true,
	};

	if (!numa && map->devices_size == 0)
		return;
	g_array_append_vals(ranges, machine->ranges->data, machine->ranges->len);
	if (map->devices_size > 0)
		g_array_append_val(ranges, added);
	acpi->memory = (const AcpiMemory *)(const void *)ranges->data;
	acpi->n_memory = ranges->len;
	acpi->n_nodes = n_nodes;
	if (!numa)
		return;
	for (unsigned i = 0; i < acpi->n_cpus; i++)
		cpus[i].node = numa->node_of_cpu[i];
	for (unsigned i = 0; numa->has_distances && i < n_nodes; i++)
		g_byte_array_append(distances, numa->distances[i], n_nodes);
	acpi->distances = distances->len ? distances->data : NULL;
}

/* Into RAM (*@rsdp) below @smbios_start, or into @files for firmware to place. */
static bool build_acpi(Machine *machine, uint64_t smbios_start, uint64_t *rsdp, AcpiFiles *files,
		       GError **error)
{
	g_autofree AcpiCpu *cpus = g_new0(AcpiCpu, machine->n_cpus);
	g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(AcpiMemory));
	g_autoptr(GByteArray) distances = g_byte_array_new();
	const CpuTopology *topology = &machine->config->cpu_topology;
	AcpiConfig acpi = { .map = &machine->map,
			    .cpus = cpus,
			    .n_cpus = machine->n_cpus,
			    .cpu_hotplug = topology->max_cpus > topology->cpus };

	for (unsigned i = 0; i < machine->n_cpus; i++)
		cpus[i] = (AcpiCpu){ .apic_id = machine->cpus[i].apic_id,
				     .present = machine->cpus[i].present };
	acpi.area_end = smbios_start;
	describe_numa(machine, cpus, ranges, distances, &acpi);
	device_tree_foreach(machine->devices, false, describe_device, &acpi);
	return files ? acpi_build_files(&acpi, files, error)
		     : acpi_build(&acpi, machine->memory, rsdp, error);
}

bool machine_build_acpi_files(Machine *machine, AcpiFiles *files, GError **error)
{
	return build_acpi(machine, 0, NULL, files, error);
}

/* Do with PCI what firmware would have done before it started the kernel. */
static bool assign_pci_resources(Machine *machine, GError **error)
{
	const PciWindows windows = {
		.memory32_base = MEMORY_MAP_PCI32_BASE,
		.memory32_size = MEMORY_MAP_PCI32_END - MEMORY_MAP_PCI32_BASE,
		.memory64_base = machine->map.pci64_base,
		.memory64_size = machine->map.pci64_size,
		.io_base = PCI_IO_BASE_PORT,
		.io_size = PCI_IO_SIZE,
	};

	return pci_assign_resources(host_bridge_bus(machine->host_bridge), &windows,
				    MEMORY_MAP_ECAM_BASE, error);
}

SmbiosMachine machine_smbios(const Machine *machine)
{
	return (SmbiosMachine){
		.config = &machine->config->smbios,
		.cpus = &machine->config->cpu_topology,
		.map = &machine->map,
		.uuid = machine->config->has_uuid ? machine->config->uuid : NULL,
		.has_bios = machine_has_firmware(machine),
	};
}

/* Do what firmware would have done, and load the kernel if there is one. */
static bool load_directly(Machine *machine, BootState *boot, GError **error)
{
	g_autoptr(GError) unplaced = NULL;
	const SmbiosMachine smbios = machine_smbios(machine);
	uint64_t smbios_start, rsdp;

	if (machine->boot && !assign_pci_resources(machine, &unplaced)) {
		/* What was plugged in meanwhile must not end a guest that only restarts. */
		if (!machine->ram_written) {
			g_propagate_error(error, g_steal_pointer(&unplaced));
			return false;
		}
		g_warning("%s", unplaced->message);
	}
	return smbios_place(&smbios, machine->memory, &smbios_start, error) &&
	       build_acpi(machine, smbios_start, &rsdp, NULL, error) &&
	       (!machine->boot || boot_load(machine->boot, &machine->map, rsdp,
					    !machine->ram_written, machine->memory, boot, error));
}

bool machine_load(Machine *machine, GError **error)
{
	bool direct = !machine_has_firmware(machine);
	BootState boot = { 0 };

	if (!(direct ? load_directly(machine, &boot, error)
		     : machine_load_firmware(machine, error)) ||
	    !machine_reset_cpus(machine, machine->boot && direct ? &boot : NULL, error))
		return false;
	machine->ram_written = true;
	return true;
}
