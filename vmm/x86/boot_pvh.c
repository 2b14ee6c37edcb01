/*
 * boot_pvh.c: the PVH boot protocol
 *
 * An ELF kernel names its 32-bit entry point in a Xen note; it is given a start info structure
 * (Xen's public header arch-x86/hvm/start_info.h, version 1).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/x86/boot_internal.h"

#define START_INFO_MAGIC   0x336ec578u
#define START_INFO_VERSION 1
#define NOTE_PHYS32_ENTRY  18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define NOTE_NAME	   "Xen"
#define NOTES_MAXIMUM	   65536 /* bytes */

typedef struct PvhStartInfo {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t n_memory_map, reserved;
} PvhStartInfo;
G_STATIC_ASSERT(sizeof(PvhStartInfo) == 56);

typedef struct PvhModule {
	uint64_t address, size, command_line, reserved;
} PvhModule;

typedef struct PvhMemoryMapEntry {
	uint64_t address, size;
	uint32_t type, reserved;
} PvhMemoryMapEntry;

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) / alignment * alignment;
}

/* Look for the entry point among @size bytes of notes; false if it is not there. */
static bool find_entry(const uint8_t *notes, size_t size, uint64_t alignment, uint64_t *entry)
{
	uint64_t at = 0;

	while (size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name = at + sizeof(note);
		uint64_t value, next;

		/* 32-bit sizes: none of these sums can wrap. */
		memcpy(&note, notes + at, sizeof(note));
		value = align_up(name + note.n_namesz, alignment);
		next = align_up(value + note.n_descsz, alignment);
		if (value > size || note.n_descsz > size - value)
			return false;
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == sizeof(NOTE_NAME) &&
		    memcmp(notes + name, NOTE_NAME, sizeof(NOTE_NAME)) == 0 &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			*entry = 0;
			memcpy(entry, notes + value, note.n_descsz);
			return true;
		}
		if (next >= size)
			return false;
		at = next;
	}
	return false;
}

static bool read_entry(const BootFile *file, const BootElf *elf, uint32_t *entry, GError **error)
{
	for (unsigned i = 0; i < elf->n_segments; i++) {
		const BootElfSegment *segment = &elf->segments[i];
		g_autofree uint8_t *notes = NULL;
		uint64_t value;

		if (segment->type != PT_NOTE || segment->file_size == 0)
			continue;
		if (segment->file_size > NOTES_MAXIMUM)
			return error_fail(error, "%s has %" PRIu64 " bytes of ELF notes",
					  file->path, segment->file_size);
		notes = g_malloc(segment->file_size);
		if (!boot_file_read(file, segment->offset, notes, segment->file_size, "ELF notes",
				    error))
			return false;
		if (!find_entry(notes, segment->file_size, segment->alignment == 8 ? 8 : 4, &value))
			continue;
		if (value > UINT32_MAX)
			return error_fail(error,
					  "%s has its PVH entry at 0x%" PRIx64 ", beyond 32 bits",
					  file->path, value);
		*entry = (uint32_t)value;
		return true;
	}
	return error_fail(error,
			  "%s is an ELF file without a PVH entry point (Xen note 18, "
			  "CONFIG_PVH in Linux)",
			  file->path);
}

static bool write_start_info(const BootLoad *load, GError **error)
{
	MemoryMapEntry map[MEMORY_MAP_MAX_ENTRIES];
	PvhMemoryMapEntry entries[MEMORY_MAP_MAX_ENTRIES] = { 0 };
	PvhModule module = { .address = load->initrd_address, .size = load->source->initrd.size };
	PvhStartInfo info = {
		.magic = START_INFO_MAGIC,
		.version = START_INFO_VERSION,
		.command_line = BOOT_COMMAND_LINE,
		.rsdp = load->rsdp,
		.memory_map = BOOT_MEMORY_MAP,
		.n_memory_map = memory_map_entries(load->map, map),
	};

	for (unsigned i = 0; i < info.n_memory_map; i++)
		entries[i] = (PvhMemoryMapEntry){ map[i].address, map[i].size, map[i].type, 0 };
	if (load->source->initrd.fd >= 0) {
		info.n_modules = 1;
		info.modules = BOOT_MODULES;
		if (!boot_write(load, BOOT_MODULES, &module, sizeof(module), error))
			return false;
	}
	return boot_write(load, BOOT_MEMORY_MAP, entries, info.n_memory_map * sizeof(entries[0]),
			  error) &&
	       boot_write(load, BOOT_PARAMETERS, &info, sizeof(info), error);
}

bool boot_pvh_load(BootLoad *load, BootState *state, GError **error)
{
	g_auto(BootElf) elf = { 0 };
	uint32_t entry = 0;

	if (!boot_elf_parse(&load->source->kernel, &elf, error) ||
	    !read_entry(&load->source->kernel, &elf, &entry, error) ||
	    !boot_elf_load(load, &elf, error) || !boot_load_initrd_high(load, UINT32_MAX, error) ||
	    !boot_write_command_line(load, load->source->command_line, BOOT_COMMAND_LINE_MAX,
				     error) ||
	    !write_start_info(load, error))
		return false;
	state->protocol = BOOT_PROTOCOL_PVH;
	state->rbx = BOOT_PARAMETERS;
	return boot_state_protected_32(load, entry, state, error);
}
