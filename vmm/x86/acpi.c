/*
 * acpi.c: the ACPI tables of the machine
 *
 * Tables are appended to one block that is then copied into the ACPI area; a table's address is
 * known when it is appended, so each is built after those that it points to.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/acpi.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/x86/acpi_loader.h"
#include "vmm/x86/acpi_numa.h"
#include "vmm/x86/acpi_tables.h"
#include "vmm/x86/cpus16.hex"
#include "vmm/x86/cpus255.hex"
#include "vmm/x86/cpus64.hex"
#include "vmm/x86/dsdt.hex"

#define TABLES_BASE ((uint64_t)ACPI_INFO_BASE + ACPI_INFO_SIZE)
#define TABLES_SIZE ((uint64_t)ACPI_AREA_SIZE - ACPI_INFO_SIZE)

#define OEM_ID	     "VIREO "
#define OEM_TABLE_ID "VIREOQ35"
#define CREATOR_ID   "VREO"

/* ICH9 power management registers, relative to PMBASE. */
#define PM1_EVENT   0x00
#define PM1_CONTROL 0x04
#define PM_TIMER    0x08
#define GPE0	    0x20
#define GPE0_LENGTH 16

#define SCI_GSI	 9
#define SPACE_IO 1

/* MPS INTI flags (ACPI §5.2.12.5): active high, level triggered. */
#define INTI_ACTIVE_HIGH_LEVEL 0x000d

static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

/* Append @size bytes at a multiple of @alignment; returns their guest-physical address. */
static uint64_t append(GByteArray *block, const void *data, size_t size, unsigned alignment)
{
	guint offset = (block->len + alignment - 1) / alignment * alignment;
	guint old = block->len;

	g_byte_array_set_size(block, offset + (guint)size);
	memset(block->data + old, 0, offset - old);
	memcpy(block->data + offset, data, size);
	return TABLES_BASE + offset;
}

/* Complete the header of the table at @table, whose revision is @revision, and append it. */
static uint64_t append_table(GByteArray *block, void *table, size_t size, const char *signature,
			     uint8_t revision)
{
	AcpiHeader *header = table;

	memcpy(header->signature, signature, sizeof(header->signature));
	header->length = (uint32_t)size;
	header->revision = revision;
	memcpy(header->oem_id, OEM_ID, sizeof(header->oem_id));
	memcpy(header->oem_table_id, OEM_TABLE_ID, sizeof(header->oem_table_id));
	header->oem_revision = 1;
	memcpy(header->creator_id, CREATOR_ID, sizeof(header->creator_id));
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = checksum(table, size);
	return append(block, table, size, 8);
}

static AcpiAddress io_address(uint16_t port, uint8_t bits, uint8_t access_size)
{
	return (AcpiAddress){
		.space = SPACE_IO, .bit_width = bits, .access_size = access_size, .address = port
	};
}

static uint64_t build_facs(GByteArray *block)
{
	AcpiFacs facs = { .signature = "FACS", .length = sizeof(facs), .version = 2 };

	return append(block, &facs, sizeof(facs), 64);
}

static uint64_t build_fadt(GByteArray *block, uint64_t facs, uint64_t dsdt, bool has_ps2)
{
	AcpiFadt fadt = {
		.facs_address = (uint32_t)facs,
		.dsdt_address = (uint32_t)dsdt,
		.sci_interrupt = SCI_GSI,
		/* No SMI command: the chipset is in ACPI mode from the start. */
		.pm1a_event_block = ACPI_PM_BASE + PM1_EVENT,
		.pm1a_control_block = ACPI_PM_BASE + PM1_CONTROL,
		.pm_timer_block = ACPI_PM_BASE + PM_TIMER,
		.gpe0_block = ACPI_PM_BASE + GPE0,
		.pm1_event_length = 4,
		.pm1_control_length = 2,
		.pm_timer_length = 4,
		.gpe0_length = GPE0_LENGTH,
		/* Beyond 100 and 1000 us: there is no C2 and no C3. */
		.c2_latency = 0x0fff,
		.c3_latency = 0x0fff,
		.century = 0x32,
		.boot_architecture =
			ACPI_BOOT_LEGACY_DEVICES | ACPI_BOOT_NO_VGA | ACPI_BOOT_NO_ASPM,
		/* The power button is a fixed feature: its flag stays clear. */
		.flags = ACPI_FADT_WBINVD | ACPI_FADT_C1_SUPPORTED | ACPI_FADT_NO_SLEEP_BUTTON |
			 ACPI_FADT_RTC_NOT_FIXED | ACPI_FADT_TIMER_32_BIT |
			 ACPI_FADT_RESET_REGISTER,
		.reset_register = io_address(0xcf9, 8, 1),
		.reset_value = 0x06,
		.minor_revision = 4,
		.x_pm1a_event_block = io_address(ACPI_PM_BASE + PM1_EVENT, 32, 2),
		.x_pm1a_control_block = io_address(ACPI_PM_BASE + PM1_CONTROL, 16, 2),
		.x_pm_timer_block = io_address(ACPI_PM_BASE + PM_TIMER, 32, 3),
		.x_gpe0_block = io_address(ACPI_PM_BASE + GPE0, GPE0_LENGTH * 8, 1),
		.hypervisor_id = "VIREO",
	};

	/* §5.2.9: where the 64-bit field is set the 32-bit one may stay; FACS has one or the other.
	 */
	fadt.x_dsdt_address = dsdt;
	if (has_ps2)
		fadt.boot_architecture |= ACPI_BOOT_8042;
	return append_table(block, &fadt, sizeof(fadt), "FACP", 6);
}

static void append_cpu(GByteArray *madt, const AcpiCpu *cpu, unsigned index)
{
	const uint8_t flags = cpu->present ? ACPI_APIC_ENABLED : ACPI_APIC_ONLINE_CAPABLE;

	/* §5.2.12.2: ids that fit 8 bits, 255 being everyone, are told the old way. */
	if (cpu->apic_id < 0xff && index < 0xff) {
		AcpiMadtLocalApic entry = {
			.type = 0,
			.length = sizeof(entry),
			.processor_id = (uint8_t)index,
			.apic_id = (uint8_t)cpu->apic_id,
			.flags = flags,
		};

		g_byte_array_append(madt, (const guint8 *)&entry, sizeof(entry));
	} else {
		AcpiMadtLocalX2apic entry = {
			.type = 9,
			.length = sizeof(entry),
			.x2apic_id = cpu->apic_id,
			.flags = flags,
			.processor_id = index,
		};

		g_byte_array_append(madt, (const guint8 *)&entry, sizeof(entry));
	}
}

static uint64_t build_madt(GByteArray *block, const AcpiConfig *config)
{
	const AcpiMadt head = { .local_apic_address = MEMORY_MAP_LAPIC_BASE, .flags = 1 };
	const AcpiMadtIoApic io_apic = { .type = 1,
					 .length = sizeof(io_apic),
					 .address = MEMORY_MAP_IOAPIC_BASE };
	const AcpiMadtOverride timer = {
		.type = 2, .length = sizeof(timer), .source = 0, .gsi = 2
	};
	const AcpiMadtOverride sci = {
		.type = 2,
		.length = sizeof(sci),
		.source = SCI_GSI,
		.gsi = SCI_GSI,
		.flags = INTI_ACTIVE_HIGH_LEVEL,
	};
	const AcpiMadtLocalNmi nmi = {
		.type = 4, .length = sizeof(nmi), .processor_id = 0xff, .lint = 1
	};
	const AcpiMadtX2apicNmi x2apic_nmi = {
		.type = 10, .length = sizeof(x2apic_nmi), .processor_id = UINT32_MAX, .lint = 1
	};
	g_autoptr(GByteArray) madt = g_byte_array_new();

	g_byte_array_append(madt, (const guint8 *)&head, sizeof(head));
	for (unsigned i = 0; i < config->n_cpus; i++)
		append_cpu(madt, &config->cpus[i], i);
	g_byte_array_append(madt, (const guint8 *)&io_apic, sizeof(io_apic));
	g_byte_array_append(madt, (const guint8 *)&timer, sizeof(timer));
	g_byte_array_append(madt, (const guint8 *)&sci, sizeof(sci));
	g_byte_array_append(madt, (const guint8 *)&nmi, sizeof(nmi));
	g_byte_array_append(madt, (const guint8 *)&x2apic_nmi, sizeof(x2apic_nmi));
	return append_table(block, madt->data, madt->len, "APIC", 5);
}

static uint64_t build_mcfg(GByteArray *block)
{
	AcpiMcfg mcfg = {
		.base = MEMORY_MAP_ECAM_BASE,
		.last_bus = (uint8_t)(MEMORY_MAP_ECAM_SIZE / 0x100000 - 1),
	};

	return append_table(block, &mcfg, sizeof(mcfg), "MCFG", 1);
}

/* The smallest table that has a place for each vCPU. */
static uint64_t append_cpu_ssdt(GByteArray *block, unsigned n_cpus)
{
	if (n_cpus <= 16)
		return append(block, cpus16_aml_code, sizeof(cpus16_aml_code), 8);
	if (n_cpus <= 64)
		return append(block, cpus64_aml_code, sizeof(cpus64_aml_code), 8);
	return append(block, cpus255_aml_code, sizeof(cpus255_aml_code), 8);
}

static uint64_t build_numa_table(GByteArray *block, const AcpiConfig *config,
				 void (*fill)(GByteArray *, const AcpiConfig *),
				 const char *signature, uint8_t revision)
{
	g_autoptr(GByteArray) table = g_byte_array_new();

	fill(table, config);
	return append_table(block, table->data, table->len, signature, revision);
}

/*
 * TCG ACPI Specification §7.3. The log is firmware's: it finds the place for it (ACPI_FILE_TPM_LOG).
 * Without firmware nobody measures, and the table is of the revision that knows no log.
 */
static uint64_t build_tpm2(GByteArray *block, bool with_log)
{
	AcpiTpm2 tpm2 = {
		.control_area = ACPI_TPM_BASE + ACPI_TPM_CONTROL_AREA,
		.start_method = ACPI_TPM2_START_CRB,
		.log_size = ACPI_TPM_LOG_SIZE,
	};

	if (with_log)
		return append_table(block, &tpm2, sizeof(tpm2), "TPM2", 4);
	return append_table(block, &tpm2, offsetof(AcpiTpm2, start_parameters), "TPM2", 3);
}

static uint64_t build_xsdt(GByteArray *block, const uint64_t *tables, size_t n_tables)
{
	g_autoptr(GByteArray) xsdt = g_byte_array_new();
	const AcpiHeader head = { 0 };

	g_byte_array_append(xsdt, (const guint8 *)&head, sizeof(head));
	g_byte_array_append(xsdt, (const guint8 *)tables, (guint)(n_tables * sizeof(*tables)));
	return append_table(block, xsdt->data, xsdt->len, "XSDT", 1);
}

static uint64_t build_rsdp(GByteArray *block, uint64_t xsdt)
{
	AcpiRsdp rsdp = {
		.signature = "RSD PTR ",
		.oem_id = OEM_ID,
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt_address = xsdt,
	};

	rsdp.checksum = checksum(&rsdp, offsetof(AcpiRsdp, length));
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	return append(block, &rsdp, sizeof(rsdp), 16);
}

static AcpiInfo make_info(const AcpiConfig *config)
{
	return (AcpiInfo){
		.devices = config->devices,
		.pvpanic_port = config->pvpanic_port,
		.window32_base = (uint32_t)MEMORY_MAP_PCI32_BASE,
		.window32_size = (uint32_t)(MEMORY_MAP_PCI32_END - MEMORY_MAP_PCI32_BASE),
		.window64_base = config->map->pci64_base,
		.window64_size = config->map->pci64_size,
		.ecam_base = (uint32_t)MEMORY_MAP_ECAM_BASE,
		.ecam_size = (uint32_t)MEMORY_MAP_ECAM_SIZE,
	};
}

/* All tables but the information page, as they are at TABLES_BASE; returns the root pointer. */
static bool build_block(const AcpiConfig *config, bool for_firmware, GByteArray *block,
			uint64_t *rsdp, GError **error)
{
	uint64_t facs = build_facs(block);
	uint64_t dsdt = append(block, dsdt_aml_code, sizeof(dsdt_aml_code), 8);
	uint64_t tables[7];
	unsigned n_tables = 3;
	uint64_t root;

	tables[0] = build_fadt(block, facs, dsdt, config->devices & ACPI_INFO_PS2);
	tables[1] = build_madt(block, config);
	tables[2] = build_mcfg(block);
	if (config->n_memory > 0)
		tables[n_tables++] = build_numa_table(block, config, acpi_append_srat, "SRAT", 3);
	if (config->n_memory > 0 && config->distances)
		tables[n_tables++] = build_numa_table(block, config, acpi_append_slit, "SLIT", 1);
	if (config->cpu_hotplug)
		tables[n_tables++] = append_cpu_ssdt(block, config->n_cpus);
	if (config->devices & ACPI_INFO_TPM)
		tables[n_tables++] = build_tpm2(block, for_firmware);
	root = build_rsdp(block, build_xsdt(block, tables, n_tables));
	if (block->len > TABLES_SIZE)
		return error_fail(error, "ACPI tables of %u bytes do not fit %" PRIu64 " bytes",
				  block->len, TABLES_SIZE);
	*rsdp = root;
	return true;
}

bool acpi_build(const AcpiConfig *config, GuestMemory *memory, uint64_t *rsdp, GError **error)
{
	g_autoptr(GByteArray) block = g_byte_array_new();
	const AcpiInfo info = make_info(config);

	G_STATIC_ASSERT(sizeof(info) <= ACPI_INFO_SIZE);
	if (!build_block(config, false, block, rsdp, error))
		return false;
	if (config->area_end && block->len > config->area_end - TABLES_BASE)
		return error_fail(error, "ACPI tables of %u bytes do not fit beside SMBIOS tables",
				  block->len);
	if (!guest_memory_write(memory, ACPI_INFO_BASE, &info, sizeof(info)) ||
	    !guest_memory_write(memory, TABLES_BASE, block->data, block->len))
		return error_fail(error, "there is no memory at 0x%x for the ACPI tables",
				  ACPI_AREA_BASE);
	return true;
}

bool acpi_build_files(const AcpiConfig *config, AcpiFiles *files, GError **error)
{
	AcpiInfo info = make_info(config);
	uint64_t rsdp;

	/* Firmware places 64-bit BARs where it likes, as high up as addresses go. */
	info.window64_base = config->map->memory_end;
	info.window64_size = config->map->address_limit - info.window64_base;
	files->low_ram_end = config->map->low_ram_size;
	files->tables = g_byte_array_new();
	files->info = g_byte_array_new();
	files->loader = g_byte_array_new();
	g_byte_array_append(files->info, (const guint8 *)&info, sizeof(info));
	files->tpm_log = config->devices & ACPI_INFO_TPM;
	if (!build_block(config, true, files->tables, &rsdp, error))
		return false;
	/* The root pointer comes last, and is a file of its own. */
	files->rsdp = g_byte_array_new();
	g_byte_array_append(files->rsdp, files->tables->data + (rsdp - TABLES_BASE),
			    sizeof(AcpiRsdp));
	g_byte_array_set_size(files->tables, (guint)(rsdp - TABLES_BASE));
	return acpi_make_loader(files, TABLES_BASE, error);
}

void acpi_files_move_ecam(AcpiFiles *files, uint64_t ecam_base)
{
	AcpiInfo *info = (AcpiInfo *)(void *)files->info->data;
	AcpiMcfg *mcfg = (AcpiMcfg *)(void *)(files->tables->data + files->mcfg);

	mcfg->base = ecam_base;
	info->ecam_base = (uint32_t)ecam_base;
	/* The window for 32-bit BARs is behind ECAM where that is as usual, and else before it. */
	info->window32_base = (uint32_t)MEMORY_MAP_PCI32_BASE;
	info->window32_size = (uint32_t)(MEMORY_MAP_PCI32_END - MEMORY_MAP_PCI32_BASE);
	if (ecam_base > files->low_ram_end && ecam_base != MEMORY_MAP_ECAM_BASE) {
		info->window32_base = (uint32_t)files->low_ram_end;
		info->window32_size = (uint32_t)(ecam_base - files->low_ram_end);
	}
}

void acpi_files_clear(AcpiFiles *files)
{
	g_clear_pointer(&files->tables, g_byte_array_unref);
	g_clear_pointer(&files->info, g_byte_array_unref);
	g_clear_pointer(&files->rsdp, g_byte_array_unref);
	g_clear_pointer(&files->loader, g_byte_array_unref);
}
