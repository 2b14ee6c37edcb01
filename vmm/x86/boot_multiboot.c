/*
 * boot_multiboot.c: Multiboot, version 1
 *
 * The Multiboot Specification 0.6.96. The kernel is a 32-bit ELF file, or any file whose header
 * says where it goes (flag 16). An initial RAM disk is its one module.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/x86/boot_internal.h"

#define HEADER_MAGIC   0x1badb002u
#define LOADER_MAGIC   0x2badb002u /* in EAX */
#define LOADER_NAME    "Vireo"
#define FLAG_ALIGN     (1u << 0) /* modules on page boundaries: they always are */
#define FLAG_MEMORY    (1u << 1) /* memory information: always there */
#define FLAG_ADDRESSES (1u << 16)
#define FLAGS_REQUIRED 0xffffu /* those that a loader must know */

#define INFO_MEMORY	 (1u << 0)
#define INFO_COMMAND	 (1u << 2)
#define INFO_MODULES	 (1u << 3)
#define INFO_MEMORY_MAP	 (1u << 6)
#define INFO_LOADER_NAME (1u << 9)

/* §3.1.1 and §3.1.3 */
typedef struct MultibootHeader {
	uint32_t magic, flags, checksum;
	uint32_t header_address, load_address, load_end, bss_end, entry;
} MultibootHeader;

/* §3.3, as far as it is filled in */
typedef struct MultibootInfo {
	uint32_t flags;
	uint32_t memory_lower, memory_upper; /* KiB */
	uint32_t boot_device;
	uint32_t command_line;
	uint32_t n_modules, modules;
	uint32_t symbols[4];
	uint32_t memory_map_size, memory_map;
	uint32_t drives_size, drives;
	uint32_t config_table;
	uint32_t loader_name;
} MultibootInfo;
G_STATIC_ASSERT(sizeof(MultibootInfo) == 68);

typedef struct MultibootModule {
	uint32_t start, end, string, reserved;
} MultibootModule;

typedef struct __attribute__((packed)) MultibootMapEntry {
	uint32_t size; /* of what follows */
	uint64_t address, length;
	uint32_t type;
} MultibootMapEntry;

/* Find the header, which lies on a 4-byte boundary; false if there is none. */
static bool find_header(const BootHead *head, MultibootHeader *header, size_t *offset)
{
	const size_t short_size = offsetof(MultibootHeader, header_address);

	for (size_t at = 0; at + short_size <= head->size; at += 4) {
		memset(header, 0, sizeof(*header));
		memcpy(header, head->bytes + at, MIN(sizeof(*header), head->size - at));
		if (header->magic == HEADER_MAGIC &&
		    header->magic + header->flags + header->checksum == 0 &&
		    (!(header->flags & FLAG_ADDRESSES) || head->size - at >= sizeof(*header))) {
			*offset = at;
			return true;
		}
	}
	return false;
}

bool boot_multiboot_detect(const BootHead *head)
{
	MultibootHeader header;
	size_t offset;

	if (!find_header(head, &header, &offset))
		return false;
	/* A 64-bit ELF file may be for several protocols; Multiboot 1 loads only 32-bit ones. */
	return (header.flags & FLAG_ADDRESSES) != 0 || !boot_elf_detect(head) ||
	       head->bytes[EI_CLASS] != ELFCLASS64;
}

/* Load by the addresses in the header (§3.1.3). */
static bool load_by_addresses(BootLoad *load, const MultibootHeader *header, size_t header_offset,
			      uint32_t *entry, GError **error)
{
	const BootFile *file = &load->source->kernel;
	uint32_t before = header->header_address - header->load_address;
	uint64_t offset, size, end;

	if (header->header_address < header->load_address || before > header_offset)
		return error_fail(error,
				  "%s: its Multiboot header says that it begins before the file",
				  file->path);
	offset = header_offset - before;
	if (header->load_end == 0)
		size = file->size - offset;
	else if (header->load_end > header->load_address)
		size = header->load_end - header->load_address;
	else
		return error_fail(error,
				  "%s: its Multiboot header says that it ends at 0x%x, before "
				  "it begins",
				  file->path, header->load_end);
	end = header->load_address + size;
	if (header->bss_end != 0 && header->bss_end < end)
		return error_fail(error,
				  "%s: its Multiboot header says that its BSS ends at 0x%x, "
				  "inside its data",
				  file->path, header->bss_end);
	load->kernel_end = MAX(end, header->bss_end);
	*entry = header->entry;
	return boot_check_range(load, file, header->load_address,
				load->kernel_end - header->load_address, error) &&
	       boot_load_range(load, file, offset, header->load_address, size, "kernel", error) &&
	       boot_clear_range(load, end, load->kernel_end - end, error);
}

static bool load_elf(BootLoad *load, const BootHead *head, uint32_t *entry, GError **error)
{
	const BootFile *file = &load->source->kernel;
	g_auto(BootElf) elf = { 0 };

	if (!boot_elf_detect(head))
		return error_fail(error,
				  "%s has a Multiboot header, but is neither ELF nor says "
				  "where it is to be loaded",
				  file->path);
	if (!boot_elf_parse(file, &elf, error) || !boot_elf_load(load, &elf, error))
		return false;
	*entry = (uint32_t)elf.entry;
	/* An entry point in virtual addresses is meant where its segment is. */
	for (unsigned i = 0; i < elf.n_segments; i++) {
		const BootElfSegment *segment = &elf.segments[i];

		if (segment->type == PT_LOAD && elf.entry >= segment->virtual &&
		    elf.entry - segment->virtual < segment->memory_size) {
			*entry = (uint32_t)(elf.entry - segment->virtual + segment->physical);
			break;
		}
	}
	return true;
}

static bool write_modules(const BootLoad *load, MultibootInfo *info, GError **error)
{
	const BootFile *file = &load->source->initrd;
	size_t length = strlen(file->path) + 1;
	uint64_t string = BOOT_STRINGS + sizeof(LOADER_NAME);
	MultibootModule module = {
		.start = (uint32_t)load->initrd_address,
		.end = (uint32_t)(load->initrd_address + file->size),
		.string = (uint32_t)string,
	};

	if (length > BOOT_DATA_END - string)
		return error_fail(error, "the name of %s is too long for a Multiboot module",
				  file->path);
	info->flags |= INFO_MODULES;
	info->n_modules = 1;
	info->modules = (uint32_t)BOOT_MODULES;
	return boot_write(load, BOOT_MODULES, &module, sizeof(module), error) &&
	       boot_write(load, string, file->path, length, error);
}

static bool write_info(const BootLoad *load, GError **error)
{
	MemoryMapEntry map[MEMORY_MAP_MAX_ENTRIES];
	MultibootMapEntry entries[MEMORY_MAP_MAX_ENTRIES];
	unsigned n = memory_map_entries(load->map, map);
	MultibootInfo info = {
		.flags = INFO_MEMORY | INFO_COMMAND | INFO_MEMORY_MAP | INFO_LOADER_NAME,
		.memory_lower = (uint32_t)(MEMORY_MAP_BASE_RAM_END / 1024),
		.memory_upper =
			(uint32_t)((load->map->low_ram_size - MEMORY_MAP_HIGH_START) / 1024),
		.command_line = (uint32_t)BOOT_COMMAND_LINE,
		.memory_map_size = (uint32_t)(n * sizeof(entries[0])),
		.memory_map = (uint32_t)BOOT_MEMORY_MAP,
		.loader_name = (uint32_t)BOOT_STRINGS,
	};

	for (unsigned i = 0; i < n; i++)
		entries[i] = (MultibootMapEntry){ sizeof(entries[i]) - sizeof(entries[i].size),
						  map[i].address, map[i].size, map[i].type };
	if (load->source->initrd.fd >= 0 && !write_modules(load, &info, error))
		return false;
	return boot_write(load, BOOT_MEMORY_MAP, entries, n * sizeof(entries[0]), error) &&
	       boot_write(load, BOOT_STRINGS, LOADER_NAME, sizeof(LOADER_NAME), error) &&
	       boot_write(load, BOOT_PARAMETERS, &info, sizeof(info), error);
}

bool boot_multiboot_load(BootLoad *load, const BootHead *head, BootState *state, GError **error)
{
	const BootFile *file = &load->source->kernel;
	/* By convention the first word is the name of the kernel. */
	g_autofree char *command_line =
		g_strconcat(file->path, *load->source->command_line ? " " : "",
			    load->source->command_line, NULL);
	MultibootHeader header;
	size_t offset = 0;
	uint32_t entry = 0;
	bool loaded;

	if (!find_header(head, &header, &offset))
		return error_fail(error, "%s has no Multiboot header", file->path);
	if (header.flags & FLAGS_REQUIRED & ~(FLAG_ALIGN | FLAG_MEMORY))
		return error_fail(
			error, "%s requires Multiboot features 0x%x, which this loader lacks",
			file->path, header.flags & FLAGS_REQUIRED & ~(FLAG_ALIGN | FLAG_MEMORY));
	loaded = header.flags & FLAG_ADDRESSES
			 ? load_by_addresses(load, &header, offset, &entry, error)
			 : load_elf(load, head, &entry, error);
	if (!loaded || !boot_load_initrd_low(load, error) ||
	    !boot_write_command_line(load, command_line, BOOT_COMMAND_LINE_MAX, error) ||
	    !write_info(load, error))
		return false;
	state->protocol = BOOT_PROTOCOL_MULTIBOOT;
	state->rax = LOADER_MAGIC;
	state->rbx = BOOT_PARAMETERS;
	return boot_state_protected_32(load, entry, state, error);
}
