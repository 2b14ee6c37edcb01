/*
 * boot_linux.c: the 64-bit Linux boot protocol
 *
 * The kernel's Documentation/arch/x86/boot.rst, "64-bit boot protocol". The setup header is taken
 * from one read of the file's beginning; the kernel proper follows the real-mode code, which is
 * skipped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <asm/bootparam.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/x86/boot_internal.h"

#define HEADER_OFFSET	    offsetof(struct boot_params, hdr) /* the same in the file: 0x1f1 */
#define BOOT_FLAG	    0xaa55
#define HEADER_MAGIC	    0x53726448 /* "HdrS" */
#define MINIMUM_VERSION	    0x020c     /* the first to tell of a 64-bit entry */
#define SECTOR_SIZE	    512u
#define DEFAULT_SETUP_SECTS 4
#define LOADER_UNDEFINED    0xff
#define ENTRY_64_OFFSET	    0x200
#define VIDEO_MODE_NORMAL   0xffff

static struct setup_header read_header(const BootHead *head)
{
	struct setup_header header = { 0 };

	if (head->size >= HEADER_OFFSET + sizeof(header))
		memcpy(&header, head->bytes + HEADER_OFFSET, sizeof(header));
	return header;
}

bool boot_linux_detect(const BootHead *head)
{
	struct setup_header header = read_header(head);

	return header.boot_flag == BOOT_FLAG && header.header == HEADER_MAGIC;
}

static uint64_t setup_size(const struct setup_header *header)
{
	return (uint64_t)((header->setup_sects ? header->setup_sects : DEFAULT_SETUP_SECTS) + 1) *
	       SECTOR_SIZE;
}

bool boot_linux_setup_size(const BootHead *head, uint64_t *size)
{
	struct setup_header header = read_header(head);

	*size = setup_size(&header);
	return boot_linux_detect(head);
}

static bool check_header(const BootFile *file, const struct setup_header *header, GError **error)
{
	if (header->version < MINIMUM_VERSION)
		return error_fail(error,
				  "%s has Linux boot protocol %u.%02u; 2.12 or later is needed",
				  file->path, header->version >> 8, header->version & 0xff);
	if (!(header->xloadflags & XLF_KERNEL_64))
		return error_fail(error, "%s is a Linux kernel without a 64-bit entry point",
				  file->path);
	if (!(header->loadflags & LOADED_HIGH))
		return error_fail(error, "%s is a Linux zImage, not a bzImage", file->path);
	if (header->relocatable_kernel &&
	    (header->kernel_alignment == 0 ||
	     (header->kernel_alignment & (header->kernel_alignment - 1)) != 0))
		return error_fail(error, "%s asks for an alignment of 0x%x, no power of two",
				  file->path, header->kernel_alignment);
	return true;
}

/*
 * Where the kernel will run once it has unpacked itself: the loader's choice rounded up, but not
 * below where it was linked.
 */
static uint64_t runtime_start(const struct setup_header *header)
{
	uint64_t start = header->pref_address;

	if (header->relocatable_kernel) {
		uint64_t alignment = header->kernel_alignment;
		uint64_t aligned = (MEMORY_MAP_HIGH_START + alignment - 1) & ~(alignment - 1);

		start = MAX(start, aligned);
	}
	return start;
}

static bool load_kernel(BootLoad *load, const struct setup_header *header, GError **error)
{
	const BootFile *file = &load->source->kernel;
	uint64_t offset = setup_size(header);
	uint64_t size = (uint64_t)header->syssize * 16;
	uint64_t start = runtime_start(header);

	if (size <= ENTRY_64_OFFSET)
		return error_fail(error, "%s has no kernel behind its setup code", file->path);
	if (!boot_check_range(load, file, start, header->init_size, error) ||
	    !boot_load_range(load, file, offset, MEMORY_MAP_HIGH_START, size, "kernel", error))
		return false;
	load->kernel_end = MAX(MEMORY_MAP_HIGH_START + size, start + header->init_size);
	return true;
}

static void set_e820(const MemoryMap *map, struct boot_params *params)
{
	MemoryMapEntry entries[MEMORY_MAP_MAX_ENTRIES];

	params->e820_entries = (uint8_t)memory_map_entries(map, entries);
	for (unsigned i = 0; i < params->e820_entries; i++)
		params->e820_table[i] = (struct boot_e820_entry){
			.addr = entries[i].address,
			.size = entries[i].size,
			.type = entries[i].type,
		};
}

/* The zero page: the header as the file has it, and the loader's fields. */
static bool write_parameters(const BootLoad *load, const BootHead *head,
			     const struct setup_header *header, GError **error)
{
	g_autofree struct boot_params *params = g_new0(struct boot_params, 1);
	/* The byte at 0x201 is the distance from 0x202 to the end of the header. */
	size_t header_size = 0x202 + head->bytes[0x201] - HEADER_OFFSET;

	memcpy(&params->hdr, header, MIN(header_size, sizeof(params->hdr)));
	params->hdr.type_of_loader = LOADER_UNDEFINED;
	params->hdr.vid_mode = VIDEO_MODE_NORMAL;
	params->hdr.cmd_line_ptr = (uint32_t)BOOT_COMMAND_LINE;
	params->hdr.ramdisk_image = 0;
	params->hdr.ramdisk_size = 0;
	params->hdr.setup_data = 0;
	if (load->source->initrd.fd >= 0) {
		/* Below 4 GiB, both: the upper halves are zero. */
		params->hdr.ramdisk_image = (uint32_t)load->initrd_address;
		params->hdr.ramdisk_size = (uint32_t)load->source->initrd.size;
	}
	params->acpi_rsdp_addr = load->rsdp;
	set_e820(load->map, params);
	return boot_write(load, BOOT_PARAMETERS, params, sizeof(*params), error);
}

bool boot_linux_load(BootLoad *load, const BootHead *head, BootState *state, GError **error)
{
	struct setup_header header = read_header(head);

	if (!check_header(&load->source->kernel, &header, error) ||
	    !load_kernel(load, &header, error) ||
	    !boot_load_initrd_high(load, header.initrd_addr_max, error) ||
	    !boot_write_command_line(load, load->source->command_line, header.cmdline_size,
				     error) ||
	    !write_parameters(load, head, &header, error))
		return false;
	state->protocol = BOOT_PROTOCOL_LINUX;
	state->rsi = BOOT_PARAMETERS;
	return boot_state_long_64(load, MEMORY_MAP_HIGH_START + ENTRY_64_OFFSET, state, error);
}
