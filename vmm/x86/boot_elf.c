/*
 * boot_elf.c: ELF kernel images
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/x86/boot_internal.h"

/* Far more than any kernel has; bounds what a hostile file makes us allocate. */
#define MAXIMUM_SEGMENTS 128

bool boot_elf_detect(const BootHead *head)
{
	return head->size >= SELFMAG && memcmp(head->bytes, ELFMAG, SELFMAG) == 0;
}

/* What the 32-bit and the 64-bit file header have in common, widened. */
typedef struct ElfHeader {
	uint16_t type, machine;
	uint64_t entry, table_offset;
	uint16_t entry_size, n_entries;
} ElfHeader;

static bool read_header(const BootFile *file, bool is_64bit, ElfHeader *header, GError **error)
{
	if (is_64bit) {
		Elf64_Ehdr raw;

		if (!boot_file_read(file, 0, &raw, sizeof(raw), "ELF header", error))
			return false;
		*header = (ElfHeader){ raw.e_type,  raw.e_machine,   raw.e_entry,
				       raw.e_phoff, raw.e_phentsize, raw.e_phnum };
	} else {
		Elf32_Ehdr raw;

		if (!boot_file_read(file, 0, &raw, sizeof(raw), "ELF header", error))
			return false;
		*header = (ElfHeader){ raw.e_type,  raw.e_machine,   raw.e_entry,
				       raw.e_phoff, raw.e_phentsize, raw.e_phnum };
	}
	return true;
}

static bool read_segments(const BootFile *file, const ElfHeader *header, BootElf *elf,
			  GError **error)
{
	size_t size = (size_t)header->n_entries * header->entry_size;
	g_autofree uint8_t *table = g_malloc(size);

	if (!boot_file_read(file, header->table_offset, table, size, "program header table", error))
		return false;

	elf->segments = g_new0(BootElfSegment, header->n_entries);
	elf->n_segments = header->n_entries;
	for (unsigned i = 0; i < header->n_entries; i++) {
		const uint8_t *entry = table + (size_t)i * header->entry_size;
		BootElfSegment *segment = &elf->segments[i];

		if (elf->is_64bit) {
			Elf64_Phdr raw;

			memcpy(&raw, entry, sizeof(raw));
			*segment = (BootElfSegment){ raw.p_type,  raw.p_offset, raw.p_filesz,
						     raw.p_paddr, raw.p_vaddr,	raw.p_memsz,
						     raw.p_align };
		} else {
			Elf32_Phdr raw;

			memcpy(&raw, entry, sizeof(raw));
			*segment = (BootElfSegment){ raw.p_type,  raw.p_offset, raw.p_filesz,
						     raw.p_paddr, raw.p_vaddr,	raw.p_memsz,
						     raw.p_align };
		}
	}
	return true;
}

bool boot_elf_parse(const BootFile *file, BootElf *elf, GError **error)
{
	uint8_t ident[EI_NIDENT];
	ElfHeader header;
	size_t entry_size;

	memset(elf, 0, sizeof(*elf));
	if (!boot_file_read(file, 0, ident, sizeof(ident), "ELF header", error))
		return false;
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return error_fail(error, "%s is an ELF file of unknown class %u", file->path,
				  ident[EI_CLASS]);
	elf->is_64bit = ident[EI_CLASS] == ELFCLASS64;
	if (!read_header(file, elf->is_64bit, &header, error))
		return false;
	if (ident[EI_DATA] != ELFDATA2LSB ||
	    (header.machine != EM_X86_64 && header.machine != EM_386))
		return error_fail(error, "%s is an ELF file for another processor (machine %u)",
				  file->path, header.machine);
	if (header.type != ET_EXEC)
		return error_fail(error, "%s is no executable ELF file (type %u)", file->path,
				  header.type);
	entry_size = elf->is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (header.entry_size != entry_size || header.n_entries == 0 ||
	    header.n_entries > MAXIMUM_SEGMENTS)
		return error_fail(error,
				  "%s has an ELF program header table of %u entries of %u bytes, "
				  "which no kernel has",
				  file->path, header.n_entries, header.entry_size);
	elf->entry = header.entry;
	return read_segments(file, &header, elf, error);
}

void boot_elf_clear(BootElf *elf)
{
	g_clear_pointer(&elf->segments, g_free);
	elf->n_segments = 0;
}

bool boot_elf_load(BootLoad *load, const BootElf *elf, GError **error)
{
	const BootFile *file = &load->source->kernel;
	unsigned n_loaded = 0;

	for (unsigned i = 0; i < elf->n_segments; i++) {
		const BootElfSegment *segment = &elf->segments[i];

		if (segment->type != PT_LOAD || segment->memory_size == 0)
			continue;
		if (segment->file_size > segment->memory_size)
			return error_fail(error,
					  "%s: segment %u is larger in the file than in memory",
					  file->path, i);
		if (!boot_check_range(load, file, segment->physical, segment->memory_size, error) ||
		    !boot_load_range(load, file, segment->offset, segment->physical,
				     segment->file_size, "loadable segment", error) ||
		    !boot_clear_range(load, segment->physical + segment->file_size,
				      segment->memory_size - segment->file_size, error))
			return false;
		load->kernel_end = MAX(load->kernel_end, segment->physical + segment->memory_size);
		n_loaded++;
	}
	if (n_loaded == 0)
		return error_fail(error, "%s has no loadable segment", file->path);
	return true;
}
