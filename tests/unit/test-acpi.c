/*
 * test-acpi.c: the ACPI tables: found, consistent, and understood by iasl
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#include "tests/unit/boot_images.h"
#include "vmm/x86/acpi.h"
#include "vmm/x86/acpi_tables.h"

#define RAM_SIZE (4u << 20)

static const AcpiMemory memory[] = {
	{ .address = 0, .size = 0x80000000, .node = 0 },
	{ .address = 0x100000000, .size = 0x40000000, .node = 0 },
	{ .address = 0x140000000, .size = 0x80000000, .node = 1 },
	{ .address = 0x200000000, .size = 0x100000000, .node = 1, .hotpluggable = true },
};
static const uint8_t distances[] = { 10, 21, 31, 10 };

static void build(BootGuest *guest, const AcpiCpu *cpus, unsigned n_cpus, AcpiRsdp *rsdp)
{
	g_autoptr(GError) error = NULL;
	uint64_t root = 0;
	const AcpiConfig config = {
		.memory = memory,
		.n_memory = G_N_ELEMENTS(memory),
		.n_nodes = 2,
		.distances = distances,
		.map = &guest->map,
		.cpus = cpus,
		.n_cpus = n_cpus,
		.devices = ACPI_INFO_COM1 | ACPI_INFO_PVPANIC | ACPI_INFO_PS2 | ACPI_INFO_TPM,
		.pvpanic_port = 0x505,
	};

	acpi_build(&config, guest->memory, &root, &error);
	g_assert_no_error(error);
	/* Where an OS without a pointer looks for it (§5.2.5.1). */
	g_assert_cmpuint(root % 16, ==, 0);
	g_assert_cmphex(root, >=, 0xe0000);
	g_assert_cmphex(root, <, 0x100000);
	memcpy(rsdp, guest->ram + root, sizeof(*rsdp));
}

static void check_sum(const void *data, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
	g_assert_cmpuint(sum, ==, 0);
}

/* The table at @gpa, with its length and checksum checked. */
static const AcpiHeader *table_at(const BootGuest *guest, uint64_t gpa)
{
	const AcpiHeader *header;

	g_assert_cmphex(gpa, >=, ACPI_AREA_BASE);
	g_assert_cmphex(gpa + sizeof(*header), <=, ACPI_AREA_BASE + ACPI_AREA_SIZE);
	header = (const void *)(guest->ram + gpa);
	g_assert_cmphex(gpa + header->length, <=, ACPI_AREA_BASE + ACPI_AREA_SIZE);
	check_sum(header, header->length);
	return header;
}

/* The table with @signature that the XSDT leads to. */
static const AcpiHeader *find_table(const BootGuest *guest, const AcpiRsdp *rsdp,
				    const char *signature)
{
	const AcpiHeader *xsdt = table_at(guest, rsdp->xsdt_address);
	unsigned n = (xsdt->length - sizeof(*xsdt)) / 8;

	for (unsigned i = 0; i < n; i++) {
		uint64_t address;
		const AcpiHeader *header;

		memcpy(&address, (const uint8_t *)(xsdt + 1) + 8 * i, sizeof(address));
		header = table_at(guest, address);
		if (memcmp(header->signature, signature, 4) == 0)
			return header;
	}
	g_assert_not_reached();
}

static void test_tables(void)
{
	const AcpiCpu cpus[] = { { 0, true, 0 }, { 1, true, 0 }, { 4, false, 1 }, { 300, true, 1 } };
	g_auto(BootGuest) guest = { 0 };
	AcpiRsdp rsdp;
	const AcpiFadt *fadt;
	const AcpiMcfg *mcfg;
	const AcpiHeader *madt;
	const AcpiInfo *info;
	unsigned n_local = 0, n_x2apic = 0, n_overrides = 0;

	boot_guest_init(&guest, RAM_SIZE, 0);
	build(&guest, cpus, G_N_ELEMENTS(cpus), &rsdp);
	g_assert_cmpmem(rsdp.signature, 8, "RSD PTR ", 8);
	check_sum(&rsdp, 20);
	check_sum(&rsdp, sizeof(rsdp));

	fadt = (const void *)find_table(&guest, &rsdp, "FACP");
	g_assert_cmphex(fadt->pm1a_event_block, ==, 0x600);
	g_assert_cmphex(fadt->pm1a_control_block, ==, 0x604);
	g_assert_cmphex(fadt->pm_timer_block, ==, 0x608);
	g_assert_cmpuint(fadt->sci_interrupt, ==, 9);
	g_assert_cmphex(fadt->reset_register.address, ==, 0xcf9);
	g_assert_true(fadt->boot_architecture & ACPI_BOOT_8042);
	g_assert_cmpmem(table_at(&guest, fadt->x_dsdt_address)->signature, 4, "DSDT", 4);
	g_assert_cmpuint(fadt->facs_address % 64, ==, 0);
	g_assert_cmpmem(guest.ram + fadt->facs_address, 4, "FACS", 4);

	mcfg = (const void *)find_table(&guest, &rsdp, "MCFG");
	g_assert_cmphex(mcfg->base, ==, MEMORY_MAP_ECAM_BASE);
	g_assert_cmpuint(mcfg->last_bus, ==, 255);

	madt = find_table(&guest, &rsdp, "APIC");
	for (uint32_t at = sizeof(AcpiMadt); at < madt->length;) {
		const uint8_t *entry = (const uint8_t *)madt + at;

		n_local += entry[0] == 0;
		n_overrides += entry[0] == 2;
		n_x2apic += entry[0] == 9;
		g_assert_cmpuint(entry[1], >=, 2);
		at += entry[1];
	}
	g_assert_cmpuint(n_local, ==, 3);
	g_assert_cmpuint(n_x2apic, ==, 1);
	g_assert_cmpuint(n_overrides, ==, 2);

	info = (const void *)(guest.ram + ACPI_INFO_BASE);
	g_assert_cmphex(info->window64_base, ==, guest.map.pci64_base);
	g_assert_cmphex(info->devices, ==,
			ACPI_INFO_COM1 | ACPI_INFO_PVPANIC | ACPI_INFO_PS2 | ACPI_INFO_TPM);
}

static void test_tpm2(void)
{
	const AcpiCpu cpus[] = { { .apic_id = 0, .present = true } };
	g_auto(BootGuest) guest = { 0 };
	AcpiRsdp rsdp;
	const AcpiTpm2 *tpm2;

	boot_guest_init(&guest, RAM_SIZE, 0);
	build(&guest, cpus, G_N_ELEMENTS(cpus), &rsdp);
	tpm2 = (const void *)find_table(&guest, &rsdp, "TPM2");
	g_assert_cmphex(tpm2->control_area, ==, 0xfed40040);
	g_assert_cmpuint(tpm2->start_method, ==, 7);
	/* Without firmware there is no log. */
	g_assert_cmpuint(tpm2->header.length, ==, 52);
}

static void test_many_cpus(void)
{
	g_autofree AcpiCpu *cpus = g_new0(AcpiCpu, 20000);
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	AcpiConfig config = { .map = &guest.map, .cpus = cpus, .n_cpus = 4096 };
	uint64_t root;

	boot_guest_init(&guest, RAM_SIZE, 0);
	for (uint32_t i = 0; i < 20000; i++)
		cpus[i] = (AcpiCpu){ i, true, i % 2 };
	acpi_build(&config, guest.memory, &root, &error);
	g_assert_no_error(error);
	config.n_cpus = 20000;
	g_assert_false(acpi_build(&config, guest.memory, &root, &error));
	g_assert_nonnull(strstr(error->message, "do not fit"));
}

static void run_iasl(const char *directory, char **argv)
{
	g_autofree char *output = NULL;
	g_autofree char *errors = NULL;
	g_autoptr(GError) error = NULL;
	int status;

	g_spawn_sync(directory, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &errors,
		     &status, &error);
	g_assert_no_error(error);
	if (!g_spawn_check_wait_status(status, NULL))
		g_error("%s fails:\n%s%s", argv[0], output, errors);
	/* It exits with 0 also where it found a table's fields to be wrong. */
	g_assert_null(strstr(errors, "Warning"));
	g_assert_null(strstr(errors, "Error"));
	g_assert_null(strstr(output, "Invalid"));
}

/* Take each table apart and put it together again: iasl must get the same bytes. */
static void test_iasl(void)
{
	static const char *const signatures[] = { "FACP", "APIC", "MCFG", "SRAT", "SLIT", "TPM2" };
	const AcpiCpu cpus[] = { { 0, true, 0 }, { 1, true, 0 }, { 300, true, 1 } };
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	g_autofree char *directory = g_dir_make_tmp("vireo-acpi-XXXXXX", &error);
	AcpiRsdp rsdp;

	g_assert_no_error(error);
	boot_guest_init(&guest, RAM_SIZE, 0);
	build(&guest, cpus, G_N_ELEMENTS(cpus), &rsdp);
	for (unsigned i = 0; i < G_N_ELEMENTS(signatures); i++) {
		const AcpiHeader *table = find_table(&guest, &rsdp, signatures[i]);
		g_autofree char *aml = g_build_filename(directory, "table.aml", NULL);
		g_autofree char *dsl = g_build_filename(directory, "table.dsl", NULL);
		g_autofree char *again = NULL;
		gsize size;

		g_file_set_contents(aml, (const char *)table, table->length, &error);
		g_assert_no_error(error);
		run_iasl(directory, (char *[]){ IASL, "-d", "table.aml", NULL });
		g_unlink(aml);
		run_iasl(directory, (char *[]){ IASL, "-we", "table.dsl", NULL });
		g_file_get_contents(aml, &again, &size, &error);
		g_assert_no_error(error);
		g_assert_cmpuint(size, ==, table->length);
		/* iasl writes its own name and version as the creator's, and so another sum. */
		g_assert_cmpmem(again, 9, table, 9);
		g_assert_cmpmem(again + 10, 18, (const char *)table + 10, 18);
		g_assert_cmpmem(again + 36, size - 36, (const char *)table + 36, size - 36);
		g_unlink(aml);
		g_unlink(dsl);
	}
	g_assert_cmpint(g_rmdir(directory), ==, 0);
}

static void test_numa(void)
{
	const AcpiCpu cpus[] = { { 0, true, 0 }, { 7, true, 1 }, { 300, true, 1 } };
	g_auto(BootGuest) guest = { 0 };
	AcpiRsdp rsdp;
	const AcpiHeader *srat, *slit;
	const uint8_t *at;

	boot_guest_init(&guest, RAM_SIZE, 0);
	build(&guest, cpus, G_N_ELEMENTS(cpus), &rsdp);
	srat = find_table(&guest, &rsdp, "SRAT");
	g_assert_cmpuint(srat->length, ==, 48 + 2 * 16 + 24 + 4 * 40);
	at = (const uint8_t *)srat + 48;
	g_assert_cmpuint(at[0], ==, 0);
	g_assert_cmpuint(at[2], ==, 0);
	g_assert_cmpuint(at[16 + 2], ==, 1);
	g_assert_cmpuint(at[16 + 3], ==, 7);
	g_assert_cmpuint(at[16 + 4], ==, 1);
	at += 32;
	g_assert_cmpuint(at[0], ==, 2);
	g_assert_cmpuint(at[4], ==, 1);
	g_assert_cmpuint(at[8] | at[9] << 8, ==, 300);
	at += 24;
	for (unsigned i = 0; i < G_N_ELEMENTS(memory); i++) {
		AcpiSratMemory entry;

		memcpy(&entry, at + i * sizeof(entry), sizeof(entry));
		g_assert_cmpuint(entry.type, ==, 1);
		g_assert_cmpuint(entry.length, ==, 40);
		g_assert_cmpuint(entry.node, ==, memory[i].node);
		g_assert_cmphex(entry.address, ==, memory[i].address);
		g_assert_cmphex(entry.size, ==, memory[i].size);
		g_assert_cmphex(entry.flags, ==, memory[i].hotpluggable ? 3 : 1);
	}
	slit = find_table(&guest, &rsdp, "SLIT");
	g_assert_cmpuint(slit->length, ==, 44 + 4);
	g_assert_cmpmem((const uint8_t *)slit + 44, 4, distances, 4);
}

/* Place the files as firmware would, by their commands, and find the tables that were meant. */
static void test_loader(void)
{
	static const struct {
		const char *name;
		uint64_t address;
	} places[] = {
		{ ACPI_FILE_RSDP, 0xf1230 },
		{ ACPI_FILE_TABLES, 0x2000c0 },
		{ ACPI_FILE_INFO, 0x300000 },
		{ ACPI_FILE_TPM_LOG, 0x310000 },
	};
	const AcpiCpu cpus[] = { { .apic_id = 0, .present = true } };
	g_auto(BootGuest) guest = { 0 };
	g_auto(AcpiFiles) files = { 0 };
	g_autoptr(GError) error = NULL;
	AcpiConfig config = {
		.map = &guest.map, .cpus = cpus, .n_cpus = 1, .devices = ACPI_INFO_TPM
	};
	const GByteArray *contents[3];
	unsigned n_allocated = 0;
	AcpiRsdp rsdp;
	const AcpiHeader *xsdt;
	bool found = false, found_tpm2 = false;

	boot_guest_init(&guest, RAM_SIZE, 0);
	acpi_build_files(&config, &files, &error);
	g_assert_no_error(error);
	acpi_files_move_ecam(&files, 0xe0000000);
	contents[0] = files.rsdp;
	contents[1] = files.tables;
	contents[2] = files.info;
	for (unsigned i = 0; i < 3; i++)
		memcpy(guest.ram + places[i].address, contents[i]->data, contents[i]->len);
	for (unsigned at = 0; at < files.loader->len; at += 128) {
		const uint8_t *command = files.loader->data + at;
		uint32_t kind, numbers[3];
		uint64_t base[2] = { 0 };

		memcpy(&kind, command, 4);
		for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
			if (g_str_equal((const char *)command + 4, places[i].name))
				base[0] = places[i].address;
			if (kind == 2 && g_str_equal((const char *)command + 60, places[i].name))
				base[1] = places[i].address;
		}
		g_assert_cmphex(base[0], !=, 0);
		memcpy(numbers, command + (kind == 2 ? 116 : 60), sizeof(numbers));
		if (kind == 1) {
			n_allocated++;
			g_assert_cmphex(base[0] % numbers[0], ==, 0);
		} else if (kind == 2) {
			uint64_t pointer = 0;
			uint8_t *field = guest.ram + base[0] + numbers[0];

			g_assert_cmphex(base[1], !=, 0);
			memcpy(&pointer, field, command[120]);
			pointer += base[1];
			memcpy(field, &pointer, command[120]);
		} else {
			uint8_t sum = 0;

			g_assert_cmpuint(kind, ==, 3);
			for (uint32_t i = 0; i < numbers[2]; i++)
				sum = (uint8_t)(sum + guest.ram[base[0] + numbers[1] + i]);
			guest.ram[base[0] + numbers[0]] = (uint8_t)-sum;
		}
	}
	g_assert_true(files.tpm_log);
	g_assert_cmpuint(n_allocated, ==, 4);
	memcpy(&rsdp, guest.ram + places[0].address, sizeof(rsdp));
	check_sum(&rsdp, 20);
	check_sum(&rsdp, sizeof(rsdp));
	xsdt = (const void *)(guest.ram + rsdp.xsdt_address);
	g_assert_cmpmem(xsdt->signature, 4, "XSDT", 4);
	check_sum(xsdt, xsdt->length);
	for (unsigned i = 0; i < (xsdt->length - sizeof(*xsdt)) / 8; i++) {
		uint64_t address;
		const AcpiHeader *header;

		memcpy(&address, (const uint8_t *)(xsdt + 1) + 8 * i, sizeof(address));
		header = (const void *)(guest.ram + address);
		check_sum(header, header->length);
		if (memcmp(header->signature, "MCFG", 4) == 0)
			g_assert_cmphex(((const AcpiMcfg *)header)->base, ==, 0xe0000000);
		if (memcmp(header->signature, "TPM2", 4) == 0) {
			g_assert_cmphex(((const AcpiTpm2 *)header)->log_address, ==, 0x310000);
			g_assert_cmphex(((const AcpiTpm2 *)header)->log_size, ==, 0x10000);
			found_tpm2 = true;
		}
		if (memcmp(header->signature, "FACP", 4) == 0) {
			const AcpiFadt *fadt = (const void *)header;
			const AcpiHeader *dsdt = (const void *)(guest.ram + fadt->dsdt_address);
			const uint32_t page = 0x300000;

			g_assert_cmphex(fadt->dsdt_address, ==, fadt->x_dsdt_address);
			g_assert_cmpmem(dsdt->signature, 4, "DSDT", 4);
			check_sum(dsdt, dsdt->length);
			g_assert_nonnull(memmem(dsdt, dsdt->length, &page, sizeof(page)));
			g_assert_cmpmem(guest.ram + fadt->facs_address, 4, "FACS", 4);
			found = true;
		}
	}
	g_assert_true(found && found_tpm2);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/acpi/tables", test_tables);
	g_test_add_func("/acpi/tpm2", test_tpm2);
	g_test_add_func("/acpi/many-cpus", test_many_cpus);
	g_test_add_func("/acpi/numa", test_numa);
	g_test_add_func("/acpi/iasl", test_iasl);
	g_test_add_func("/acpi/loader", test_loader);
	return g_test_run();
}
