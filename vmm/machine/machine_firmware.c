/*
 * machine_firmware.c: firmware and what it is told of the machine
 *
 * Firmware is in flash (-machine pflash0, pflash1) or in ROM (-bios). It learns all there is to
 * know from fw_cfg, whose items are set anew each time the machine is reset, when devices may have
 * come and gone. A machine without firmware has nothing of this.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <inttypes.h>
#include <linux/qemu_fw_cfg.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/json.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/fw_cfg.h"
#include "vmm/machine/machine_boot_order.h"
#include "vmm/machine/machine_internal.h"
#include "vmm/pci/host_bridge.h"
#include "vmm/x86/acpi.h"

/* Keys of the PC's own (FW_CFG_ARCH_LOCAL). */
#define KEY_IRQ0_OVERRIDE (FW_CFG_ARCH_LOCAL | 2)
#define FILE_SIZE_MAXIMUM (16u << 20) /* of -fw_cfg file= */

struct MachineFirmware {
	Device *fw_cfg;
	AcpiFiles acpi;
};

typedef struct __attribute__((packed)) E820Entry {
	uint64_t address, size;
	uint32_t type;
} E820Entry;

static bool add_flash(Machine *machine, GError **error)
{
	uint64_t end = MEMORY_MAP_4GIB;

	for (unsigned i = 0; i < VM_FLASHES && machine->config->pflash[i]; i++) {
		g_autoptr(JsonObject) options = json_object_new_object();
		Device *flash;

		json_object_object_add(options, "drive",
				       json_object_new_string(machine->config->pflash[i]));
		json_object_object_add(options, "end", json_object_new_uint64(end));
		flash = device_tree_add_builtin(machine->devices, flash_type.name, NULL, options,
						error);
		if (!flash) {
			g_prefix_error(error, "-machine pflash%u=%s: ", i,
				       machine->config->pflash[i]);
			return false;
		}
		end = flash_base(flash);
	}
	return true;
}

static bool add_rom(Machine *machine, GError **error)
{
	g_autoptr(JsonObject) options = json_object_new_object();

	json_object_object_add(options, "file", json_object_new_string(machine->config->bios));
	if (device_tree_add_builtin(machine->devices, rom_type.name, NULL, options, error))
		return true;
	g_prefix_error(error, "-bios: ");
	return false;
}

static bool check_config(const VmConfig *config, GError **error)
{
	if (config->pflash[1] && !config->pflash[0])
		return error_fail(error, "-machine pflash1=%s needs pflash0", config->pflash[1]);
	if (config->bios && config->pflash[0])
		return error_fail(error, "-bios and -machine pflash0 exclude each other");
	if (config->bios && config->kernel)
		return error_fail(error, "-kernel: firmware loads a kernel only where it is UEFI in "
					 "flash (-machine pflash0=); -bios boots from disks");
	return true;
}

/* The name and content of -fw_cfg. */
typedef struct UserFile {
	char *name, *string, *file;
} UserFile;

static bool set_user_file(Device *fw_cfg, const UserFile *file, GError **error)
{
	g_autofree char *content = NULL;
	gsize size;

	if (!file->name || !file->string == !file->file)
		return error_fail(error, "needs a name, and a string or a file");
	/* The rest is Vireo's own; opt/ is for users (QEMU's docs/specs/fw_cfg). */
	if (!g_str_has_prefix(file->name, "opt/"))
		return error_fail(error, "names begin with opt/");
	if (file->string)
		return fw_cfg_set_file(fw_cfg, file->name, file->string, strlen(file->string),
				       error);
	if (!g_file_get_contents(file->file, &content, &size, error))
		return false;
	if (size > FILE_SIZE_MAXIMUM)
		return error_fail(error, "%s is larger than %u MiB", file->file,
				  FILE_SIZE_MAXIMUM >> 20);
	return fw_cfg_set_file(fw_cfg, file->name, content, size, error);
}

static bool set_user_files(Machine *machine, Device *fw_cfg, GError **error)
{
	static const Property properties[] = {
		{ .name = "name", .kind = PROPERTY_STRING, .offset = offsetof(UserFile, name) },
		{ .name = "string", .kind = PROPERTY_STRING, .offset = offsetof(UserFile, string) },
		{ .name = "file", .kind = PROPERTY_STRING, .offset = offsetof(UserFile, file) },
		PROPERTY_END,
	};

	for (unsigned i = 0; i < machine->config->fw_cfg->len; i++) {
		const VmConfigItem *item = machine->config->fw_cfg->pdata[i];
		UserFile file = { 0 };
		bool done = true;

		json_object_object_foreach(item->options, key, value)
		{
			const Property *property = property_find(properties, key);

			done = done &&
			       (property ? property_set(property, &file, value, error)
					 : error_fail(error, "there is no '%s' here", key));
		}
		done = done && set_user_file(fw_cfg, &file, error);
		properties_clear(properties, &file);
		if (!done) {
			g_prefix_error(error, "%s %s: ", item->option, item->text);
			return false;
		}
	}
	return true;
}

bool machine_has_firmware(const Machine *machine)
{
	return machine->firmware != NULL;
}

bool machine_create_firmware(Machine *machine, GError **error)
{
	const VmConfig *config = machine->config;
	MachineFirmware *firmware;

	if (!check_config(config, error))
		return false;
	if (!config->bios && !config->pflash[0])
		return config->fw_cfg->len == 0 ||
		       error_fail(error, "-fw_cfg needs firmware (-bios or -machine pflash0=)");
	firmware = machine->firmware = g_new0(MachineFirmware, 1);
	firmware->fw_cfg =
		device_tree_add_builtin(machine->devices, fw_cfg_type.name, NULL, NULL, error);
	return firmware->fw_cfg && (config->bios ? add_rom(machine, error)
						  : add_flash(machine, error));
}

void machine_free_firmware(Machine *machine)
{
	if (machine->firmware)
		acpi_files_clear(&machine->firmware->acpi);
	g_clear_pointer(&machine->firmware, g_free);
}

/* Sizes of RAM: what is at 0, and above 4 GiB. */
static bool set_memory(Machine *machine, Device *fw_cfg, GError **error)
{
	const MemoryMap *map = &machine->map;
	const uint64_t ram_size = GUINT64_TO_LE(map->low_ram_size + map->high_ram_size);
	const uint64_t memory_end = GUINT64_TO_LE(map->memory_end);
	const E820Entry entries[] = {
		{ 0, map->low_ram_size, MEMORY_MAP_RAM },
		{ MEMORY_MAP_4GIB, map->high_ram_size, MEMORY_MAP_RAM },
	};
	unsigned n = map->high_ram_size > 0 ? 2 : 1;

	fw_cfg_set_item(fw_cfg, FW_CFG_RAM_SIZE, &ram_size, sizeof(ram_size));
	return fw_cfg_set_file(fw_cfg, "etc/e820", entries, n * sizeof(entries[0]), error) &&
	       (map->devices_size == 0 || fw_cfg_set_file(fw_cfg, "etc/reserved-memory-end",
							  &memory_end, sizeof(memory_end), error));
}

/* Numbers of CPUs: those present, and one more than the highest APIC id. */
static void set_cpus(Machine *machine, Device *fw_cfg)
{
	uint32_t highest = 0;
	uint16_t present = 0;

	for (unsigned i = 0; i < machine->n_cpus; i++) {
		highest = MAX(highest, machine->cpus[i].apic_id);
		present = (uint16_t)(present + machine->cpus[i].present);
	}
	fw_cfg_set_item_16(fw_cfg, FW_CFG_NB_CPUS, present);
	fw_cfg_set_item_16(fw_cfg, FW_CFG_MAX_CPUS, (uint16_t)(highest + 1));
}

static bool set_kernel(Machine *machine, Device *fw_cfg, GError **error)
{
	BootParts parts;
	size_t length;

	if (!machine->boot)
		return true;
	if (!boot_source_get_parts(machine->boot, &parts, error))
		return false;
	length = strlen(parts.command_line) + 1;
	fw_cfg_set_item_32(fw_cfg, FW_CFG_SETUP_SIZE, (uint32_t)parts.setup_size);
	fw_cfg_set_item_fd(fw_cfg, FW_CFG_SETUP_DATA, parts.kernel_fd, 0,
			   (uint32_t)parts.setup_size);
	fw_cfg_set_item_32(fw_cfg, FW_CFG_KERNEL_SIZE,
			   (uint32_t)(parts.kernel_size - parts.setup_size));
	fw_cfg_set_item_fd(fw_cfg, FW_CFG_KERNEL_DATA, parts.kernel_fd, parts.setup_size,
			   (uint32_t)(parts.kernel_size - parts.setup_size));
	fw_cfg_set_item_32(fw_cfg, FW_CFG_INITRD_SIZE, (uint32_t)parts.initrd_size);
	fw_cfg_set_item_fd(fw_cfg, FW_CFG_INITRD_DATA, parts.initrd_fd, 0,
			   (uint32_t)parts.initrd_size);
	fw_cfg_set_item_32(fw_cfg, FW_CFG_CMDLINE_SIZE, (uint32_t)length);
	fw_cfg_set_item(fw_cfg, FW_CFG_CMDLINE_DATA, parts.command_line, length);
	return true;
}

/* What -boot says, and in what order devices are tried. */
static bool set_boot(Machine *machine, Device *fw_cfg, GError **error)
{
	const BootConfig *boot = &machine->config->boot;
	const uint16_t wait = GUINT16_TO_LE((uint16_t)boot->splash_time);
	const uint32_t retry = GUINT32_TO_LE((uint32_t)boot->reboot_timeout);
	g_autofree char *order = machine_boot_order(machine->devices, boot->strict, error);

	if (!order)
		return false;
	fw_cfg_set_item_16(fw_cfg, FW_CFG_BOOT_MENU, boot->menu);
	return (boot->splash_time < 0 ||
		fw_cfg_set_file(fw_cfg, "etc/boot-menu-wait", &wait, sizeof(wait), error)) &&
	       fw_cfg_set_file(fw_cfg, "etc/boot-fail-wait", &retry, sizeof(retry), error) &&
	       /* Its terminating zero is part of it. */
	       fw_cfg_set_file(fw_cfg, "bootorder", order, *order ? strlen(order) + 1 : 0, error);
}

/* Where the BIOS has its screen and keyboard, if not on a screen and a keyboard. */
static bool set_console(Machine *machine, Device *fw_cfg, GError **error)
{
	const uint16_t port = GUINT16_TO_LE(0x3f8);

	fw_cfg_set_item_16(fw_cfg, FW_CFG_NOGRAPHIC, machine->config->no_graphics);
	return !machine->config->no_graphics ||
	       fw_cfg_set_file(fw_cfg, "etc/sercon-port", &port, sizeof(port), error);
}

static bool set_tpm_files(Device *fw_cfg, GError **error)
{
	/* QEMU's docs/specs/tpm: a TPM 2.0, version 1.30 of the interface. */
	const struct __attribute__((packed)) {
		uint32_t presence;
		uint8_t tpm_version, presence_version;
	} config = { GUINT32_TO_LE(ACPI_TPM_PPI_BASE), 2, 1 };
	g_autofree uint8_t *log = g_malloc0(ACPI_TPM_LOG_SIZE);

	return fw_cfg_set_file(fw_cfg, ACPI_FILE_TPM_LOG, log, ACPI_TPM_LOG_SIZE, error) &&
	       fw_cfg_set_file(fw_cfg, ACPI_FILE_TPM_CONFIG, &config, sizeof(config), error);
}

static bool set_acpi_files(Device *fw_cfg, const AcpiFiles *files, GError **error)
{
	const struct {
		const char *name;
		const GByteArray *bytes;
	} all[] = {
		{ ACPI_FILE_TABLES, files->tables },
		{ ACPI_FILE_RSDP, files->rsdp },
		{ ACPI_FILE_INFO, files->info },
		{ ACPI_FILE_LOADER, files->loader },
	};

	if (files->tpm_log && !set_tpm_files(fw_cfg, error))
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
		if (!fw_cfg_set_file(fw_cfg, all[i].name, all[i].bytes->data, all[i].bytes->len,
				     error))
			return false;
	}
	return true;
}

/* Firmware is about to take the tables: by now it knows where ECAM is. On a vCPU's thread. */
static void prepare_acpi(void *opaque)
{
	Machine *machine = opaque;
	MachineFirmware *firmware = machine->firmware;
	uint64_t ecam_base = host_bridge_ecam_base(machine->host_bridge);
	g_autoptr(GError) error = NULL;

	if (ecam_base == 0 || ecam_base >= MEMORY_MAP_4GIB)
		return;
	acpi_files_move_ecam(&firmware->acpi, ecam_base);
	if (!set_acpi_files(firmware->fw_cfg, &firmware->acpi, &error))
		g_warning("ACPI tables: %s", error->message);
}

static bool set_acpi(Machine *machine, GError **error)
{
	MachineFirmware *firmware = machine->firmware;

	acpi_files_clear(&firmware->acpi);
	if (!machine_build_acpi_files(machine, &firmware->acpi, error) ||
	    !set_acpi_files(firmware->fw_cfg, &firmware->acpi, error))
		return false;
	fw_cfg_set_prepare(firmware->fw_cfg, ACPI_FILE_LOADER, prepare_acpi, machine);
	return true;
}

static bool set_smbios(Machine *machine, Device *fw_cfg, GError **error)
{
	const SmbiosMachine smbios = machine_smbios(machine);
	g_autoptr(GByteArray) tables = smbios_build(&smbios);
	uint8_t anchor[SMBIOS_ANCHOR_SIZE];

	/* Firmware fills in the address. */
	smbios_make_anchor(anchor, 0, tables->len);
	return fw_cfg_set_file(fw_cfg, "etc/smbios/smbios-tables", tables->data, tables->len,
			       error) &&
	       fw_cfg_set_file(fw_cfg, "etc/smbios/smbios-anchor", anchor, sizeof(anchor), error);
}

bool machine_load_firmware(Machine *machine, GError **error)
{
	/* Of S0 to S5: bit 7 says it is there, the rest is its sleep type. There is S5, type 0. */
	static const uint8_t sleep_states[6] = { 0x80, 0, 0, 0x01, 0x02, 0x80 };
	const uint8_t irq0_override = 1; /* the timer is at pin 2 of the I/O APIC */
	Device *fw_cfg = machine->firmware->fw_cfg;

	if (machine->config->has_uuid)
		fw_cfg_set_item(fw_cfg, FW_CFG_UUID, machine->config->uuid, 16);
	fw_cfg_set_item(fw_cfg, KEY_IRQ0_OVERRIDE, &irq0_override, 1);
	set_cpus(machine, fw_cfg);
	return set_memory(machine, fw_cfg, error) && set_kernel(machine, fw_cfg, error) &&
	       set_boot(machine, fw_cfg, error) && set_console(machine, fw_cfg, error) &&
	       fw_cfg_set_file(fw_cfg, "etc/system-states", sleep_states, sizeof(sleep_states),
			       error) &&
	       set_acpi(machine, error) && set_smbios(machine, fw_cfg, error) &&
	       set_user_files(machine, fw_cfg, error);
}
