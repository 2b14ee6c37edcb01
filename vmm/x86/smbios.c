/*
 * smbios.c: the SMBIOS tables of the machine
 *
 * "§" is DMTF DSP0134, version 3.6. A structure is its formatted part, whose strings are numbers
 * from 1, then those strings, each with its NUL, then one more NUL (two if there are no strings).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/smbios.h"

#include <stdio.h>
#include <string.h>

#include "vmm/base/error.h"

#define MANUFACTURER "Vireo"
#define F_SEGMENT    UINT64_C(0xf0000)
#define F_SEGMENT_END UINT64_C(0x100000)
#define KIB	     UINT64_C(1024)
#define MIB	     (1024 * KIB)
#define DIMM_SIZE    (UINT64_C(16) << 30) /* memory is described in pieces of this */

/* Handles: type << 8, then counted up. */
#define HANDLE(type) ((uint16_t)((type) << 8))
#define NO_HANDLE    0xfffeu /* of error information (§7.17, §7.18) */
#define NO_CACHE     0xffffu

enum {
	TYPE_BIOS = 0,
	TYPE_SYSTEM = 1,
	TYPE_BOARD = 2,
	TYPE_CHASSIS = 3,
	TYPE_PROCESSOR = 4,
	TYPE_OEM_STRINGS = 11,
	TYPE_MEMORY_ARRAY = 16,
	TYPE_MEMORY_DEVICE = 17,
	TYPE_MEMORY_MAPPED = 19,
	TYPE_BOOT = 32,
	TYPE_END = 127,
};

/* A structure in the making. */
typedef struct Structure {
	GByteArray *formatted, *strings;
	uint8_t n_strings;
} Structure;

static void begin(Structure *structure, uint8_t type, uint16_t handle)
{
	const uint8_t header[4] = { type, 0, (uint8_t)handle, (uint8_t)(handle >> 8) };

	*structure = (Structure){ .formatted = g_byte_array_new(), .strings = g_byte_array_new() };
	g_byte_array_append(structure->formatted, header, sizeof(header));
}

/* Append @size bytes of @value, least significant first. */
static void number(Structure *structure, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> i * 8);

		g_byte_array_append(structure->formatted, &byte, 1);
	}
}

/* NULL and "" are string 0, none. */
static void string(Structure *structure, const char *text)
{
	if (text && *text && structure->n_strings < UINT8_MAX) {
		structure->n_strings++;
		g_byte_array_append(structure->strings, (const guint8 *)text,
				    (guint)strlen(text) + 1);
		number(structure, structure->n_strings, 1);
	} else {
		number(structure, 0, 1);
	}
}

static void end(Structure *structure, GByteArray *tables)
{
	const uint8_t zeroes[2] = { 0 };

	structure->formatted->data[1] = (uint8_t)structure->formatted->len;
	g_byte_array_append(tables, structure->formatted->data, structure->formatted->len);
	g_byte_array_append(tables, structure->strings->data, structure->strings->len);
	g_byte_array_append(tables, zeroes, structure->n_strings ? 1 : 2);
	g_byte_array_unref(structure->formatted);
	g_byte_array_unref(structure->strings);
}

static const char *or_else(const char *text, const char *initial)
{
	return text ? text : initial;
}

/* §7.1 */
static void add_bios(const SmbiosMachine *machine, GByteArray *tables)
{
	const uint64_t characteristics = UINT64_C(1) << 3; /* "not supported": nothing to say */
	const uint8_t virtual_machine = 1u << 4, uefi = 1u << 3;
	unsigned major = 0xff, minor = 0xff; /* no release number */
	Structure structure;

	if (machine->config->bios.release)
		sscanf(machine->config->bios.release, "%3u.%3u", &major, &minor);
	begin(&structure, TYPE_BIOS, HANDLE(TYPE_BIOS));
	string(&structure, or_else(machine->config->bios.vendor, MANUFACTURER));
	string(&structure, or_else(machine->config->bios.version, PACKAGE_VERSION));
	number(&structure, 0xe800, 2); /* segment where it starts */
	string(&structure, machine->config->bios.date);
	number(&structure, 0, 1); /* 64 KiB, the least that can be said */
	number(&structure, characteristics, 8);
	number(&structure, 0, 1);
	number(&structure, virtual_machine | (machine->config->bios.uefi ? uefi : 0), 1);
	number(&structure, major, 1);
	number(&structure, minor, 1);
	number(&structure, 0xffff, 2); /* no embedded controller */
	end(&structure, tables);
}

/* §7.2.1: the first three fields are little-endian. */
static void add_uuid(Structure *structure, const uint8_t *uuid)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (unsigned i = 0; i < 16; i++)
		number(structure, uuid ? uuid[order[i]] : 0, 1);
}

static void parse_uuid(const char *text, uint8_t uuid[16])
{
	unsigned digits = 0;

	for (const char *c = text; *c && digits < 32; c++) {
		if (*c == '-')
			continue;
		uuid[digits / 2] =
			(uint8_t)(uuid[digits / 2] << 4 | (uint8_t)g_ascii_xdigit_value(*c));
		digits++;
	}
}

/* §7.2 */
static void add_system(const SmbiosMachine *machine, GByteArray *tables)
{
	const SmbiosConfig *config = machine->config;
	const uint8_t *uuid = machine->uuid;
	uint8_t own_uuid[16] = { 0 };
	Structure structure;

	if (config->system.uuid) {
		parse_uuid(config->system.uuid, own_uuid);
		uuid = own_uuid;
	}
	begin(&structure, TYPE_SYSTEM, HANDLE(TYPE_SYSTEM));
	string(&structure, or_else(config->system.manufacturer, MANUFACTURER));
	string(&structure, or_else(config->system.product, MACHINE_TYPE_ALIAS));
	string(&structure, or_else(config->system.version, MACHINE_TYPE_NAME));
	string(&structure, config->system.serial);
	add_uuid(&structure, uuid);
	number(&structure, 6, 1); /* woken by the power switch */
	string(&structure, config->system.sku);
	string(&structure, config->system.family);
	end(&structure, tables);
}

/* §7.3 */
static void add_board(const SmbiosBoard *board, unsigned index, GByteArray *tables)
{
	Structure structure;

	begin(&structure, TYPE_BOARD, (uint16_t)(HANDLE(TYPE_BOARD) + index));
	string(&structure, or_else(board->manufacturer, MANUFACTURER));
	string(&structure, or_else(board->product, MACHINE_TYPE_ALIAS));
	string(&structure, or_else(board->version, MACHINE_TYPE_NAME));
	string(&structure, board->serial);
	string(&structure, board->asset);
	number(&structure, index == 0 ? 1 : 0, 1); /* the first is the hosting board */
	string(&structure, board->location);
	number(&structure, HANDLE(TYPE_CHASSIS), 2);
	number(&structure, index == 0 ? 0x0a : 2, 1); /* motherboard; others: unknown */
	number(&structure, 0, 1);
	end(&structure, tables);
}

/* §7.4 */
static void add_chassis(const SmbiosConfig *config, GByteArray *tables)
{
	Structure structure;

	begin(&structure, TYPE_CHASSIS, HANDLE(TYPE_CHASSIS));
	string(&structure, or_else(config->chassis.manufacturer, MANUFACTURER));
	number(&structure, 1, 1); /* other */
	string(&structure, or_else(config->chassis.version, MACHINE_TYPE_NAME));
	string(&structure, config->chassis.serial);
	string(&structure, config->chassis.asset);
	number(&structure, 3, 1); /* boot-up state, power supply, temperature: safe */
	number(&structure, 3, 1);
	number(&structure, 3, 1);
	number(&structure, 2, 1); /* security: unknown */
	number(&structure, 0, 4);
	number(&structure, 0, 1); /* height and power cords: not said */
	number(&structure, 0, 1);
	number(&structure, 0, 1); /* contains nothing */
	number(&structure, 0, 1);
	string(&structure, config->chassis.sku);
	end(&structure, tables);
}

/* §7.5: one for each socket. */
static void add_processor(const SmbiosMachine *machine, unsigned socket, GByteArray *tables)
{
	const SmbiosConfig *config = machine->config;
	unsigned cores = machine->cpus->dies * machine->cpus->cores;
	unsigned threads = cores * machine->cpus->threads;
	g_autofree char *name =
		g_strdup_printf("%s %u", or_else(config->processor.socket_prefix, "CPU"), socket);
	Structure structure;

	begin(&structure, TYPE_PROCESSOR, (uint16_t)(HANDLE(TYPE_PROCESSOR) + socket));
	string(&structure, name);
	number(&structure, 3, 1); /* central processor */
	number(&structure, 1, 1); /* family: other; CPUID tells */
	string(&structure, or_else(config->processor.manufacturer, MANUFACTURER));
	number(&structure, 0, 8); /* CPUID's leaf 1 is not repeated here */
	string(&structure, or_else(config->processor.version, MACHINE_TYPE_NAME));
	number(&structure, 0, 1); /* voltage, clocks: unknown */
	number(&structure, 0, 2);
	number(&structure, 0, 2);
	number(&structure, 0, 2);
	number(&structure, 0x41, 1); /* socket populated, CPU enabled */
	number(&structure, 1, 1);    /* upgrade: other */
	number(&structure, NO_CACHE, 2);
	number(&structure, NO_CACHE, 2);
	number(&structure, NO_CACHE, 2);
	string(&structure, config->processor.serial);
	string(&structure, config->processor.asset);
	string(&structure, config->processor.part);
	number(&structure, MIN(cores, 0xff), 1);
	number(&structure, MIN(cores, 0xff), 1);
	number(&structure, MIN(threads, 0xff), 1);
	number(&structure, 2, 2); /* characteristics: unknown */
	number(&structure, 1, 2); /* family again */
	number(&structure, cores, 2);
	number(&structure, cores, 2);
	number(&structure, threads, 2);
	end(&structure, tables);
}

/* §7.12 */
static void add_oem_strings(const SmbiosConfig *config, GByteArray *tables)
{
	unsigned count = MIN(config->oem_strings->len, UINT8_MAX);
	Structure structure;

	begin(&structure, TYPE_OEM_STRINGS, HANDLE(TYPE_OEM_STRINGS));
	number(&structure, count, 1);
	for (unsigned i = 0; i < count; i++) {
		const char *text = config->oem_strings->pdata[i];

		/* An empty string would end them all: a space is as near as it gets. */
		if (!*text)
			text = " ";
		g_byte_array_append(structure.strings, (const guint8 *)text,
				    (guint)strlen(text) + 1);
		structure.n_strings++;
	}
	end(&structure, tables);
}

/* §7.17 */
static void add_memory_array(uint64_t ram_size, unsigned n_devices, GByteArray *tables)
{
	uint64_t kib = ram_size / KIB;
	Structure structure;

	begin(&structure, TYPE_MEMORY_ARRAY, HANDLE(TYPE_MEMORY_ARRAY));
	number(&structure, 1, 1); /* location: other */
	number(&structure, 3, 1); /* system memory */
	number(&structure, 2, 1); /* error correction: unknown */
	number(&structure, kib < 0x80000000 ? kib : 0x80000000, 4);
	number(&structure, NO_HANDLE, 2);
	number(&structure, n_devices, 2);
	number(&structure, kib < 0x80000000 ? 0 : ram_size, 8);
	end(&structure, tables);
}

/* §7.18 */
static void add_memory_device(const SmbiosConfig *config, unsigned index, uint64_t size,
			      GByteArray *tables)
{
	uint64_t mib = size / MIB;
	g_autofree char *locator =
		g_strdup_printf("%s %u", or_else(config->memory.locator_prefix, "DIMM"), index);
	Structure structure;

	begin(&structure, TYPE_MEMORY_DEVICE, (uint16_t)(HANDLE(TYPE_MEMORY_DEVICE) + index));
	number(&structure, HANDLE(TYPE_MEMORY_ARRAY), 2);
	number(&structure, NO_HANDLE, 2);
	number(&structure, 0xffff, 2); /* widths: unknown */
	number(&structure, 0xffff, 2);
	/* In MiB, or, with bit 15, in KiB; what is more is in the extended field. */
	number(&structure,
	       size % MIB && size / KIB < 0x7fff ? 0x8000 | size / KIB : MIN(mib, 0x7fff), 2);
	number(&structure, 9, 1); /* DIMM */
	number(&structure, 0, 1);
	string(&structure, locator);
	string(&structure, config->memory.bank);
	number(&structure, 7, 1); /* RAM */
	number(&structure, 2, 2); /* detail: other */
	number(&structure, config->memory.speed, 2);
	string(&structure, or_else(config->memory.manufacturer, MANUFACTURER));
	string(&structure, config->memory.serial);
	string(&structure, config->memory.asset);
	string(&structure, config->memory.part);
	number(&structure, 0, 1);
	number(&structure, mib < 0x7fff ? 0 : mib, 4);
	number(&structure, config->memory.speed, 2);
	number(&structure, 0, 2); /* voltages: unknown */
	number(&structure, 0, 2);
	number(&structure, 0, 2);
	end(&structure, tables);
}

/* §7.20 */
static void add_memory_mapped(unsigned index, uint64_t start, uint64_t size, GByteArray *tables)
{
	uint64_t last = start + size - 1;
	bool fits = last / KIB < UINT32_MAX;
	Structure structure;

	begin(&structure, TYPE_MEMORY_MAPPED, (uint16_t)(HANDLE(TYPE_MEMORY_MAPPED) + index));
	number(&structure, fits ? start / KIB : UINT32_MAX, 4);
	number(&structure, fits ? last / KIB : UINT32_MAX, 4);
	number(&structure, HANDLE(TYPE_MEMORY_ARRAY), 2);
	number(&structure, 1, 1);
	number(&structure, fits ? 0 : start, 8);
	number(&structure, fits ? 0 : last, 8);
	end(&structure, tables);
}

static void add_memory(const SmbiosMachine *machine, GByteArray *tables)
{
	const MemoryMap *map = machine->map;
	uint64_t ram_size = map->low_ram_size + map->high_ram_size;
	unsigned n_devices = (unsigned)MIN((ram_size + DIMM_SIZE - 1) / DIMM_SIZE, 0xff);

	add_memory_array(ram_size, n_devices, tables);
	for (unsigned i = 0; i < n_devices; i++) {
		uint64_t left = ram_size - i * DIMM_SIZE;

		/* Beyond what can be counted the last one has all the rest. */
		add_memory_device(machine->config, i,
				  i + 1 < n_devices ? DIMM_SIZE : left, tables);
	}
	add_memory_mapped(0, 0, map->low_ram_size, tables);
	if (map->high_ram_size > 0)
		add_memory_mapped(1, MEMORY_MAP_4GIB, map->high_ram_size, tables);
}

/* §7.33 and §7.45 */
static void add_end(GByteArray *tables)
{
	Structure structure;

	begin(&structure, TYPE_BOOT, HANDLE(TYPE_BOOT));
	number(&structure, 0, 6);
	number(&structure, 0, 1); /* no errors */
	end(&structure, tables);
	begin(&structure, TYPE_END, HANDLE(TYPE_END));
	end(&structure, tables);
}

GByteArray *smbios_build(const SmbiosMachine *machine)
{
	const SmbiosConfig *config = machine->config;
	GByteArray *tables = g_byte_array_new();

	if (config->bios.given || !machine->has_bios)
		add_bios(machine, tables);
	add_system(machine, tables);
	for (unsigned i = 0; config->boards && i < MIN(config->boards->len, 0x100); i++)
		add_board(config->boards->pdata[i], i, tables);
	add_chassis(config, tables);
	for (unsigned i = 0; i < MIN(machine->cpus->sockets, 0x100); i++)
		add_processor(machine, i, tables);
	if (config->oem_strings)
		add_oem_strings(config, tables);
	add_memory(machine, tables);
	add_end(tables);
	return tables;
}

void smbios_make_anchor(uint8_t anchor[SMBIOS_ANCHOR_SIZE], uint64_t address, uint32_t size)
{
	uint8_t sum = 0;

	/* §5.2.2: version 3.0, entry point revision 1. */
	memcpy(anchor, "_SM3_\0\x18\x03\x00\x00\x01\x00", 12);
	for (unsigned i = 0; i < 4; i++)
		anchor[12 + i] = (uint8_t)(size >> i * 8);
	for (unsigned i = 0; i < 8; i++)
		anchor[16 + i] = (uint8_t)(address >> i * 8);
	for (unsigned i = 0; i < SMBIOS_ANCHOR_SIZE; i++)
		sum = (uint8_t)(sum + anchor[i]);
	anchor[5] = (uint8_t)-sum;
}

bool smbios_place(const SmbiosMachine *machine, GuestMemory *memory, uint64_t *start,
		  GError **error)
{
	g_autoptr(GByteArray) tables = smbios_build(machine);
	uint64_t size = SMBIOS_ANCHOR_SIZE + tables->len;
	uint8_t anchor[SMBIOS_ANCHOR_SIZE];

	if (size > F_SEGMENT_END - F_SEGMENT)
		return error_fail(error, "SMBIOS tables of %u bytes do not fit 64 KiB",
				  tables->len);
	/* The anchor is looked for at multiples of 16. */
	*start = (F_SEGMENT_END - size) & ~UINT64_C(15);
	smbios_make_anchor(anchor, *start + SMBIOS_ANCHOR_SIZE, tables->len);
	if (!guest_memory_write(memory, *start, anchor, sizeof(anchor)) ||
	    !guest_memory_write(memory, *start + SMBIOS_ANCHOR_SIZE, tables->data, tables->len))
		return error_fail(error, "there is no memory for the SMBIOS tables");
	return true;
}
