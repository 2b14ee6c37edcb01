/*
 * boot_internal.h: what the boot protocols share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/x86/boot.h"

/*
 * Below 640 KiB, what the loader itself puts into guest RAM. It ends short of the last pages,
 * where Linux's decompressor builds its trampoline. A kernel image must keep clear of it.
 */
#define BOOT_DATA_BASE	  UINT64_C(0x80000)
#define BOOT_COMMAND_LINE UINT64_C(0x80000)
#define BOOT_PARAMETERS	  UINT64_C(0x90000) /* zero page, start info or Multiboot information */
#define BOOT_PAGE_TABLES  UINT64_C(0x91000) /* 6 pages */
#define BOOT_GDT	  UINT64_C(0x97000)
#define BOOT_MODULES	  UINT64_C(0x98000)
#define BOOT_MEMORY_MAP	  UINT64_C(0x98800)
#define BOOT_STRINGS	  UINT64_C(0x99000)
#define BOOT_DATA_END	  UINT64_C(0x9c000)

#define BOOT_COMMAND_LINE_MAX (BOOT_PARAMETERS - BOOT_COMMAND_LINE - 1) /* bytes, without NUL */

typedef struct BootFile {
	char *path;
	int fd;	       /* -1: there is none */
	uint64_t size; /* bytes, when it was opened */
} BootFile;

struct BootSource {
	BootFile kernel;
	BootFile initrd;
	char *command_line; /* never NULL */
};

/* One call of boot_load(). */
typedef struct BootLoad {
	const BootSource *source;
	const MemoryMap *map;
	GuestMemory *memory;
	uint64_t rsdp;
	bool ram_is_zero;
	uint64_t kernel_end;	 /* first byte after the kernel, as it will be when it runs */
	uint64_t initrd_address; /* set by boot_load_initrd_*() */
} BootLoad;

/* The first bytes of the kernel file, enough to tell the protocols apart. */
#define BOOT_HEAD_SIZE 8192u

typedef struct BootHead {
	uint8_t bytes[BOOT_HEAD_SIZE];
	size_t size; /* what the file has of them */
} BootHead;

/*
 * Read exactly @size bytes of @file at @offset into @buffer. False and @error, calling them
 * @what, when the file has fewer or cannot be read.
 */
bool boot_file_read(const BootFile *file, uint64_t offset, void *buffer, uint64_t size,
		    const char *what, GError **error);

/* Whether all of [@gpa, @gpa + @size) is RAM that an image may use; else @error. */
bool boot_check_range(const BootLoad *load, const BootFile *file, uint64_t gpa, uint64_t size,
		      GError **error);

/* Read @size bytes of @file at @offset into guest RAM at @gpa, which boot_check_range() allows. */
bool boot_load_range(const BootLoad *load, const BootFile *file, uint64_t offset, uint64_t gpa,
		     uint64_t size, const char *what, GError **error);

/* Zero guest RAM at @gpa, which boot_check_range() allows. */
bool boot_clear_range(const BootLoad *load, uint64_t gpa, uint64_t size, GError **error);

/* Copy the loader's own data to @gpa. False and @error if the guest has no RAM there. */
bool boot_write(const BootLoad *load, uint64_t gpa, const void *data, size_t size, GError **error);

/*
 * Put the initial RAM disk, if there is one, at the top of low RAM, but nowhere above @last (the
 * highest address its last byte may have), or right behind the kernel.
 */
bool boot_load_initrd_high(BootLoad *load, uint64_t last, GError **error);
bool boot_load_initrd_low(BootLoad *load, GError **error);

/* Put @text at BOOT_COMMAND_LINE; at most @maximum bytes without its NUL. */
bool boot_write_command_line(const BootLoad *load, const char *text, uint64_t maximum,
			     GError **error);

/* Fill in @state for 32-bit protected mode with flat segments, entered at @entry. */
bool boot_state_protected_32(const BootLoad *load, uint32_t entry, BootState *state,
			     GError **error);
/* And for 64-bit mode with the low 4 GiB mapped one to one. */
bool boot_state_long_64(const BootLoad *load, uint64_t entry, BootState *state, GError **error);

/* ELF images (boot_elf.c). */
typedef struct BootElfSegment {
	uint32_t type;
	uint64_t offset, file_size; /* in the file, bytes */
	uint64_t physical, virtual, memory_size;
	uint64_t alignment;
} BootElfSegment;

typedef struct BootElf {
	bool is_64bit;
	uint64_t entry;
	unsigned n_segments;
	BootElfSegment *segments; /* owned */
} BootElf;

/* Whether @head begins an ELF file. */
bool boot_elf_detect(const BootHead *head);
/* Read and check the headers of the kernel file; free the result with boot_elf_clear(). */
bool boot_elf_parse(const BootFile *file, BootElf *elf, GError **error);
void boot_elf_clear(BootElf *elf);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BootElf, boot_elf_clear)
/* Load every segment to its physical address and set load->kernel_end. */
bool boot_elf_load(BootLoad *load, const BootElf *elf, GError **error);

/* Each protocol: whether @head is one of its kernels, and loading it. */
bool boot_linux_detect(const BootHead *head);
bool boot_linux_load(BootLoad *load, const BootHead *head, BootState *state, GError **error);
/* The bytes of a bzImage's real-mode part; false if @head is not one's. */
bool boot_linux_setup_size(const BootHead *head, uint64_t *size);
bool boot_multiboot_detect(const BootHead *head);
bool boot_multiboot_load(BootLoad *load, const BootHead *head, BootState *state, GError **error);
bool boot_pvh_load(BootLoad *load, BootState *state, GError **error);
