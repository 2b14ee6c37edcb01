/*
 * acpi_loader.c: the commands by which firmware loads ACPI tables (QEMU's "table-loader")
 *
 * Each command is 128 bytes: allocate memory for a file, add the address of one file to a field in
 * another, make a checksum. The fields are found the way an operating system finds them: from the
 * root pointer to the XSDT, to the tables, from the FADT on to DSDT and FACS; and in the DSDT the
 * address of the information page. The log of a TPM is empty memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/acpi_loader.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/x86/acpi_tables.h"

#define FILE_NAME_SIZE 56
#define COMMAND_SIZE   128

enum { COMMAND_ALLOCATE = 1, COMMAND_ADD_POINTER = 2, COMMAND_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_F_SEGMENT = 2 };

/* Numbers are little-endian. */
typedef struct __attribute__((packed)) LoaderCommand {
	uint32_t command;
	union {
		struct __attribute__((packed)) {
			char file[FILE_NAME_SIZE];
			uint32_t alignment;
			uint8_t zone;
		} allocate;
		struct __attribute__((packed)) {
			char file[FILE_NAME_SIZE];   /* that has the pointer */
			char target[FILE_NAME_SIZE]; /* that it points into */
			uint32_t offset;
			uint8_t size; /* of the pointer, bytes */
		} pointer;
		struct __attribute__((packed)) {
			char file[FILE_NAME_SIZE];
			uint32_t offset; /* of the sum */
			uint32_t start, length; /* of what it covers */
		} checksum;
		uint8_t room[COMMAND_SIZE - 4];
	};
} LoaderCommand;
G_STATIC_ASSERT(sizeof(LoaderCommand) == COMMAND_SIZE);

typedef struct Loader {
	AcpiFiles *files;
	uint64_t base; /* that addresses in the tables assume */
} Loader;

static void append(Loader *loader, const LoaderCommand *command)
{
	g_byte_array_append(loader->files->loader, (const guint8 *)command, sizeof(*command));
}

static void allocate(Loader *loader, const char *file, uint32_t alignment, uint8_t zone)
{
	LoaderCommand command = { .command = COMMAND_ALLOCATE };

	g_strlcpy(command.allocate.file, file, FILE_NAME_SIZE);
	command.allocate.alignment = alignment;
	command.allocate.zone = zone;
	append(loader, &command);
}

static void add_pointer(Loader *loader, const char *file, size_t offset, uint8_t size,
			const char *target)
{
	LoaderCommand command = { .command = COMMAND_ADD_POINTER };

	g_strlcpy(command.pointer.file, file, FILE_NAME_SIZE);
	g_strlcpy(command.pointer.target, target, FILE_NAME_SIZE);
	command.pointer.offset = (uint32_t)offset;
	command.pointer.size = size;
	append(loader, &command);
}

/* Firmware computes the sum over what is there, so its place must be zero until then. */
static void add_checksum(Loader *loader, const char *file, uint8_t *bytes, size_t offset,
			 size_t start, size_t length)
{
	LoaderCommand command = { .command = COMMAND_ADD_CHECKSUM };

	bytes[offset] = 0;
	g_strlcpy(command.checksum.file, file, FILE_NAME_SIZE);
	command.checksum.offset = (uint32_t)offset;
	command.checksum.start = (uint32_t)start;
	command.checksum.length = (uint32_t)length;
	append(loader, &command);
}

/*
 * The field of @size bytes at @offset of the tables is the address of something in the tables (or 0,
 * none): relocate it, and set *@target to the offset it points to.
 */
static bool relocate(Loader *loader, size_t offset, uint8_t size, uint64_t *target, GError **error)
{
	GByteArray *tables = loader->files->tables;
	uint64_t address = 0;

	if (offset + size > tables->len)
		return error_fail(error, "an ACPI table ends early");
	memcpy(&address, tables->data + offset, size);
	if (address == 0)
		return true;
	if (address < loader->base || address - loader->base >= tables->len)
		return error_fail(error, "an ACPI table points outside the tables");
	*target = address - loader->base;
	memcpy(tables->data + offset, target, size);
	add_pointer(loader, ACPI_FILE_TABLES, offset, size, ACPI_FILE_TABLES);
	return true;
}

/* The header of the table at @offset; its length is checked. */
static AcpiHeader *table_at(Loader *loader, uint64_t offset, GError **error)
{
	GByteArray *tables = loader->files->tables;
	AcpiHeader *header = (AcpiHeader *)(void *)(tables->data + offset);

	if (offset + sizeof(*header) > tables->len || header->length < sizeof(*header) ||
	    header->length > tables->len - offset) {
		error_fail(error, "an ACPI table ends early");
		return NULL;
	}
	return header;
}

static void sum_table(Loader *loader, const AcpiHeader *header, uint64_t offset)
{
	add_checksum(loader, ACPI_FILE_TABLES, loader->files->tables->data,
		     offset + offsetof(AcpiHeader, checksum), offset, header->length);
}

/* DefOpRegion (ACPI §20.2.5.2): "INFO", in system memory, at a 32-bit constant address. */
static bool relocate_dsdt(Loader *loader, uint64_t offset, GError **error)
{
	static const uint8_t region[] = { 0x5b, 0x80, 'I', 'N', 'F', 'O', 0x00, 0x0c };
	AcpiHeader *header = table_at(loader, offset, error);
	uint8_t *found;
	uint32_t zero = 0;

	if (!header)
		return false;
	found = memmem(header, header->length, region, sizeof(region));
	if (!found || found + sizeof(region) + 4 > (uint8_t *)header + header->length)
		return error_fail(error, "the DSDT does not name its information page");
	found += sizeof(region);
	memcpy(found, &zero, sizeof(zero));
	add_pointer(loader, ACPI_FILE_TABLES, (size_t)(found - loader->files->tables->data), 4,
		    ACPI_FILE_INFO);
	sum_table(loader, header, offset);
	return true;
}

static bool relocate_fadt(Loader *loader, uint64_t offset, GError **error)
{
	uint64_t facs = 0, dsdt = 0;

	return relocate(loader, offset + offsetof(AcpiFadt, facs_address), 4, &facs, error) &&
	       relocate(loader, offset + offsetof(AcpiFadt, dsdt_address), 4, &dsdt, error) &&
	       relocate(loader, offset + offsetof(AcpiFadt, x_facs_address), 8, &facs, error) &&
	       relocate(loader, offset + offsetof(AcpiFadt, x_dsdt_address), 8, &dsdt, error) &&
	       relocate_dsdt(loader, dsdt, error);
}

/* The log is a file of its own. */
static void place_tpm_log(Loader *loader, uint64_t offset)
{
	if (loader->files->tpm_log)
		add_pointer(loader, ACPI_FILE_TABLES, offset + offsetof(AcpiTpm2, log_address), 8,
			    ACPI_FILE_TPM_LOG);
}

static bool relocate_xsdt(Loader *loader, uint64_t offset, GError **error)
{
	AcpiHeader *xsdt = table_at(loader, offset, error);
	uint32_t length = xsdt ? xsdt->length : 0;

	for (uint64_t at = sizeof(*xsdt); at + 8 <= length; at += 8) {
		uint64_t target = 0;
		AcpiHeader *header;

		if (!relocate(loader, offset + at, 8, &target, error))
			return false;
		header = table_at(loader, target, error);
		if (!header)
			return false;
		if (memcmp(header->signature, "FACP", 4) == 0 &&
		    !relocate_fadt(loader, target, error))
			return false;
		if (memcmp(header->signature, "MCFG", 4) == 0)
			loader->files->mcfg = target;
		if (memcmp(header->signature, "TPM2", 4) == 0)
			place_tpm_log(loader, target);
		sum_table(loader, header, target);
	}
	if (xsdt)
		sum_table(loader, xsdt, offset);
	return xsdt != NULL;
}

bool acpi_make_loader(AcpiFiles *files, uint64_t base, GError **error)
{
	Loader loader = { .files = files, .base = base };
	AcpiRsdp *rsdp = (AcpiRsdp *)(void *)files->rsdp->data;
	uint64_t xsdt = rsdp->xsdt_address - base;

	if (rsdp->xsdt_address < base || xsdt >= files->tables->len)
		return error_fail(error, "the ACPI root pointer points outside the tables");
	/* FACS wants 64 bytes; the information page is read by pages. */
	allocate(&loader, ACPI_FILE_RSDP, 16, ZONE_F_SEGMENT);
	allocate(&loader, ACPI_FILE_TABLES, 64, ZONE_HIGH);
	allocate(&loader, ACPI_FILE_INFO, 4096, ZONE_HIGH);
	if (files->tpm_log)
		allocate(&loader, ACPI_FILE_TPM_LOG, 1, ZONE_HIGH);
	if (!relocate_xsdt(&loader, xsdt, error))
		return false;
	rsdp->xsdt_address = xsdt;
	add_pointer(&loader, ACPI_FILE_RSDP, offsetof(AcpiRsdp, xsdt_address), 8,
		    ACPI_FILE_TABLES);
	rsdp->extended_checksum = 0;
	add_checksum(&loader, ACPI_FILE_RSDP, files->rsdp->data, offsetof(AcpiRsdp, checksum), 0,
		     offsetof(AcpiRsdp, length));
	add_checksum(&loader, ACPI_FILE_RSDP, files->rsdp->data,
		     offsetof(AcpiRsdp, extended_checksum), 0, sizeof(*rsdp));
	return true;
}
