/*
 * boot.c: loading a kernel without firmware: files, placement, CPU state
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/x86/boot_internal.h"

#define PAGE_SIZE UINT64_C(4096)

/* @what: "kernel" or "initial RAM disk" */
static bool boot_file_open(BootFile *file, const char *what, const char *path, GError **error)
{
	struct stat status;

	file->path = g_strdup(path);
	/* O_NONBLOCK: opening a FIFO must not wait for a writer; regular files do not care. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0)
		return error_fail_errno(error, errno, "cannot open %s %s", what, path);
	if (fstat(file->fd, &status) < 0)
		return error_fail_errno(error, errno, "cannot examine %s %s", what, path);
	if (!S_ISREG(status.st_mode))
		return error_fail(error, "%s %s is not a regular file", what, path);
	if (status.st_size == 0)
		return error_fail(error, "%s %s is empty", what, path);
	file->size = (uint64_t)status.st_size;
	return true;
}

BootSource *boot_source_open(const char *kernel, const char *initrd, const char *command_line,
			     GError **error)
{
	g_autoptr(BootSource) source = g_new0(BootSource, 1);

	source->kernel.fd = -1;
	source->initrd.fd = -1;
	source->command_line = g_strdup(command_line ? command_line : "");
	if (!boot_file_open(&source->kernel, "kernel", kernel, error))
		return NULL;
	if (initrd && !boot_file_open(&source->initrd, "initial RAM disk", initrd, error))
		return NULL;
	return g_steal_pointer(&source);
}

void boot_source_free(BootSource *source)
{
	fd_close(&source->kernel.fd);
	fd_close(&source->initrd.fd);
	g_free(source->kernel.path);
	g_free(source->initrd.path);
	g_free(source->command_line);
	g_free(source);
}

/* pread() until @size bytes are there. */
static bool read_all(const BootFile *file, uint64_t offset, uint8_t *buffer, uint64_t size,
		     const char *what, GError **error)
{
	while (size > 0) {
		ssize_t n = pread(file->fd, buffer, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_fail_errno(error, errno, "cannot read %s", file->path);
		if (n == 0)
			return error_fail(error, "%s is truncated: it ends inside its %s",
					  file->path, what);
		buffer += n;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return true;
}

/* Offsets are foreign numbers: refuse those beyond the file before any system call sees them. */
static bool check_extent(const BootFile *file, uint64_t offset, uint64_t size, const char *what,
			 GError **error)
{
	if (offset > file->size || size > file->size - offset)
		return error_fail(error,
				  "%s is truncated: its %s lies at byte %" PRIu64
				  " and has %" PRIu64 " bytes, but the file has %" PRIu64,
				  file->path, what, offset, size, file->size);
	return true;
}

bool boot_file_read(const BootFile *file, uint64_t offset, void *buffer, uint64_t size,
		    const char *what, GError **error)
{
	return check_extent(file, offset, size, what, error) &&
	       read_all(file, offset, buffer, size, what, error);
}

bool boot_check_range(const BootLoad *load, const BootFile *file, uint64_t gpa, uint64_t size,
		      GError **error)
{
	uint64_t end = gpa + size;

	if (end >= gpa && (end <= BOOT_DATA_BASE ||
			   (gpa >= MEMORY_MAP_HIGH_START && end <= load->map->low_ram_size)))
		return true;
	return error_fail(error,
			  "%s needs memory at 0x%" PRIx64 " (%" PRIu64
			  " bytes), where a guest with %" PRIu64 " MiB has none for it",
			  file->path, gpa, size,
			  (load->map->low_ram_size + load->map->high_ram_size) >> 20);
}

/*
 * Call for each piece of [@gpa, @gpa + *@size) that is contiguous in the host: returns its host
 * address and reduces *@size to its length, or returns NULL if there is no RAM.
 */
static uint8_t *contiguous(const BootLoad *load, uint64_t gpa, uint64_t *size)
{
	uint8_t *hva = guest_memory_hva(load->memory, gpa, *size, true);

	if (hva)
		return hva;
	*size = MIN(*size, PAGE_SIZE - gpa % PAGE_SIZE);
	return guest_memory_hva(load->memory, gpa, *size, true);
}

bool boot_load_range(const BootLoad *load, const BootFile *file, uint64_t offset, uint64_t gpa,
		     uint64_t size, const char *what, GError **error)
{
	if (!boot_check_range(load, file, gpa, size, error) ||
	    !check_extent(file, offset, size, what, error))
		return false;
	while (size > 0) {
		uint64_t piece = size;
		uint8_t *hva = contiguous(load, gpa, &piece);

		if (!hva)
			return error_fail(error, "%s does not fit the guest's memory", file->path);
		if (!read_all(file, offset, hva, piece, what, error))
			return false;
		guest_memory_mark(load->memory, hva, piece);
		gpa += piece;
		offset += piece;
		size -= piece;
	}
	return true;
}

bool boot_clear_range(const BootLoad *load, uint64_t gpa, uint64_t size, GError **error)
{
	if (load->ram_is_zero)
		return true;
	while (size > 0) {
		uint64_t piece = size;
		uint8_t *hva = contiguous(load, gpa, &piece);

		if (!hva)
			return error_fail(error, "there is no memory at 0x%" PRIx64, gpa);
		memset(hva, 0, piece);
		guest_memory_mark(load->memory, hva, piece);
		gpa += piece;
		size -= piece;
	}
	return true;
}

bool boot_write(const BootLoad *load, uint64_t gpa, const void *data, size_t size, GError **error)
{
	if (!guest_memory_write(load->memory, gpa, data, size))
		return error_fail(error, "there is no memory at 0x%" PRIx64, gpa);
	return true;
}

static bool load_initrd(BootLoad *load, uint64_t lowest, uint64_t end, bool high, GError **error)
{
	const BootFile *file = &load->source->initrd;

	if (file->fd < 0)
		return true;
	lowest = (lowest + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
	if (lowest > end || file->size > end - lowest)
		return error_fail(error,
				  "initial RAM disk %s of %" PRIu64
				  " bytes does not fit the guest's memory beside its kernel",
				  file->path, file->size);
	load->initrd_address = high ? (end - file->size) / PAGE_SIZE * PAGE_SIZE : lowest;
	return boot_load_range(load, file, 0, load->initrd_address, file->size, "content", error);
}

bool boot_load_initrd_high(BootLoad *load, uint64_t last, GError **error)
{
	uint64_t end = last < load->map->low_ram_size ? last + 1 : load->map->low_ram_size;

	return load_initrd(load, MAX(load->kernel_end, MEMORY_MAP_HIGH_START), end, true, error);
}

bool boot_load_initrd_low(BootLoad *load, GError **error)
{
	return load_initrd(load, MAX(load->kernel_end, MEMORY_MAP_HIGH_START),
			   load->map->low_ram_size, false, error);
}

bool boot_write_command_line(const BootLoad *load, const char *text, uint64_t maximum,
			     GError **error)
{
	size_t length = strlen(text);

	maximum = MIN(maximum, BOOT_COMMAND_LINE_MAX);
	if (length > maximum)
		return error_fail(error,
				  "the kernel command line has %zu bytes, but %s takes %" PRIu64,
				  length, load->source->kernel.path, maximum);
	return boot_write(load, BOOT_COMMAND_LINE, text, length + 1, error);
}

/* Selectors as the Linux boot protocol names them. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TASK 0x20

/* SDM volume 3, §3.4.5: the descriptor of @segment. */
static uint64_t descriptor(const BootSegment *segment)
{
	uint64_t limit = segment->granularity ? segment->limit >> 12 : segment->limit;
	uint64_t base = segment->base;

	return (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)segment->type << 40 |
	       (uint64_t)segment->code_or_data << 44 | UINT64_C(1) << 47 /* present */ |
	       (limit >> 16 & 0xf) << 48 | (uint64_t)segment->long_mode << 53 |
	       (uint64_t)segment->default_32 << 54 | (uint64_t)segment->granularity << 55 |
	       (base >> 24 & 0xff) << 56;
}

/* Flat segments, 64-bit code if @long_mode, and the GDT that describes them. */
static bool set_segments(const BootLoad *load, bool long_mode, BootState *state, GError **error)
{
	uint64_t gdt[6] = { 0 };

	state->code = (BootSegment){
		.selector = SELECTOR_CODE,
		.limit = UINT32_MAX,
		.type = 0xb, /* execute, read, accessed */
		.code_or_data = true,
		.long_mode = long_mode,
		.default_32 = !long_mode,
		.granularity = true,
	};
	state->data = (BootSegment){
		.selector = SELECTOR_DATA,
		.limit = UINT32_MAX,
		.type = 0x3, /* read, write, accessed */
		.code_or_data = true,
		.default_32 = true,
		.granularity = true,
	};
	state->task = (BootSegment){
		.selector = SELECTOR_TASK, .limit = 0x67, .type = 0xb, /* busy 32- or 64-bit TSS */
	};
	gdt[SELECTOR_CODE / 8] = descriptor(&state->code);
	gdt[SELECTOR_DATA / 8] = descriptor(&state->data);
	gdt[SELECTOR_TASK / 8] = descriptor(&state->task);
	state->gdt_base = BOOT_GDT;
	state->gdt_limit = sizeof(gdt) - 1;
	return boot_write(load, BOOT_GDT, gdt, sizeof(gdt), error);
}

#define CR0_PE	   UINT64_C(0x1)
#define CR0_ET	   UINT64_C(0x10)
#define CR0_PG	   UINT64_C(0x80000000)
#define CR4_PAE	   UINT64_C(0x20)
#define EFER_LME   UINT64_C(0x100)
#define EFER_LMA   UINT64_C(0x400)
#define RFLAGS_ONE UINT64_C(0x2) /* bit 1 is always set */

bool boot_state_protected_32(const BootLoad *load, uint32_t entry, BootState *state, GError **error)
{
	state->rip = entry;
	state->rflags = RFLAGS_ONE;
	state->cr0 = CR0_PE | CR0_ET;
	return set_segments(load, false, state, error);
}

#define PTE_PRESENT_WRITABLE UINT64_C(0x3)
#define PTE_LARGE	     UINT64_C(0x80)
#define N_DIRECTORIES	     4 /* of 1 GiB each */
#define ENTRIES		     (PAGE_SIZE / 8)

/* PML4, one directory pointer table, four directories of 2 MiB pages. */
static bool write_page_tables(const BootLoad *load, GError **error)
{
	g_autofree uint64_t *tables = g_new0(uint64_t, (2 + N_DIRECTORIES) * ENTRIES);
	uint64_t *pointers = tables + ENTRIES;
	uint64_t *directories = pointers + ENTRIES;

	tables[0] = (BOOT_PAGE_TABLES + PAGE_SIZE) | PTE_PRESENT_WRITABLE;
	for (uint64_t i = 0; i < N_DIRECTORIES; i++)
		pointers[i] = (BOOT_PAGE_TABLES + (2 + i) * PAGE_SIZE) | PTE_PRESENT_WRITABLE;
	for (uint64_t i = 0; i < N_DIRECTORIES * ENTRIES; i++)
		directories[i] = i << 21 | PTE_LARGE | PTE_PRESENT_WRITABLE;
	return boot_write(load, BOOT_PAGE_TABLES, tables, (2 + N_DIRECTORIES) * PAGE_SIZE, error);
}

bool boot_state_long_64(const BootLoad *load, uint64_t entry, BootState *state, GError **error)
{
	state->rip = entry;
	state->rflags = RFLAGS_ONE;
	state->cr0 = CR0_PE | CR0_ET | CR0_PG;
	state->cr3 = BOOT_PAGE_TABLES;
	state->cr4 = CR4_PAE;
	state->efer = EFER_LME | EFER_LMA;
	return set_segments(load, true, state, error) && write_page_tables(load, error);
}

bool boot_source_get_parts(const BootSource *source, BootParts *parts, GError **error)
{
	g_autofree BootHead *head = g_new0(BootHead, 1);

	head->size = MIN(source->kernel.size, sizeof(head->bytes));
	if (!boot_file_read(&source->kernel, 0, head->bytes, head->size, "beginning", error))
		return false;
	*parts = (BootParts){
		.kernel_fd = source->kernel.fd,
		.kernel_size = source->kernel.size,
		.initrd_fd = source->initrd.fd,
		.initrd_size = source->initrd.fd >= 0 ? source->initrd.size : 0,
		.command_line = source->command_line,
	};
	if (!boot_linux_setup_size(head, &parts->setup_size))
		return error_fail(error, "%s is no Linux bzImage, which is what firmware loads",
				  source->kernel.path);
	if (parts->kernel_size > INT32_MAX || parts->initrd_size > INT32_MAX ||
	    parts->setup_size > parts->kernel_size)
		return error_fail(error, "%s or its initial RAM disk has a size that firmware cannot load",
				  source->kernel.path);
	return true;
}

bool boot_load(BootSource *source, const MemoryMap *map, uint64_t rsdp, bool ram_is_zero,
	       GuestMemory *memory, BootState *state, GError **error)
{
	BootLoad load = {
		.source = source,
		.map = map,
		.memory = memory,
		.rsdp = rsdp,
		.ram_is_zero = ram_is_zero,
	};
	g_autofree BootHead *head = g_new0(BootHead, 1);

	head->size = MIN(source->kernel.size, sizeof(head->bytes));
	if (!boot_file_read(&source->kernel, 0, head->bytes, head->size, "beginning", error))
		return false;

	memset(state, 0, sizeof(*state));
	if (boot_linux_detect(head))
		return boot_linux_load(&load, head, state, error);
	if (boot_multiboot_detect(head))
		return boot_multiboot_load(&load, head, state, error);
	if (boot_elf_detect(head))
		return boot_pvh_load(&load, state, error);
	return error_fail(
		error,
		"%s is not a kernel: neither a Linux bzImage, nor an ELF image with a PVH "
		"entry, nor a Multiboot kernel",
		source->kernel.path);
}
