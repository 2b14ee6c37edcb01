/*
 * boot.h: loading a kernel without firmware
 *
 * Three protocols, told apart by the content of the file: 64-bit Linux (bzImage), Multiboot 1
 * (freestanding kernels), and PVH (ELF with a Xen note). Each puts the kernel, its command line,
 * its initial RAM disk and the structure that describes the machine into guest RAM, and says in
 * what state the first CPU starts. The files are not trusted.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory/guest_memory.h"
#include "vmm/x86/memory_map.h"

typedef struct BootSource BootSource;

typedef enum BootProtocol {
	BOOT_PROTOCOL_LINUX,
	BOOT_PROTOCOL_MULTIBOOT,
	BOOT_PROTOCOL_PVH,
} BootProtocol;

/* A segment register, hidden part included: the fields of a descriptor (SDM volume 3, §3.4.5). */
typedef struct BootSegment {
	uint16_t selector;
	uint32_t base;
	uint32_t limit;	   /* in bytes, granularity applied */
	uint8_t type;	   /* 4 bits */
	bool code_or_data; /* S */
	bool long_mode;	   /* L */
	bool default_32;   /* D/B */
	bool granularity;  /* G */
} BootSegment;

/* How the first CPU starts. What is not named is as after a reset or zero. */
typedef struct BootState {
	BootProtocol protocol;
	uint64_t rip, rsp, rflags;
	uint64_t rax, rbx, rsi;
	uint64_t cr0, cr3, cr4, efer;
	BootSegment code;
	BootSegment data; /* DS, ES, FS, GS and SS */
	BootSegment task; /* TR; all present, privilege level 0 */
	uint64_t gdt_base;
	uint16_t gdt_limit;
} BootState;

/*
 * Open @kernel and @initrd (NULL: none); both stay open so that a reset can load them again.
 * @command_line may be NULL. All are copied. NULL and @error when a file cannot be opened or is
 * no regular file. Main thread.
 */
BootSource *boot_source_open(const char *kernel, const char *initrd, const char *command_line,
			     GError **error);
void boot_source_free(BootSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootSource, boot_source_free)

/* What firmware needs to load the kernel itself. */
typedef struct BootParts {
	int kernel_fd, initrd_fd; /* borrowed; -1: there is none */
	uint64_t setup_size;	  /* bytes at the kernel's beginning that run in real mode */
	uint64_t kernel_size, initrd_size; /* bytes, all of the file */
	const char *command_line;
} BootParts;

/*
 * Fill in @parts from @source. False and @error where the kernel is no bzImage, which is what
 * firmware takes, or a file is too large for it. Main thread.
 */
bool boot_source_get_parts(const BootSource *source, BootParts *parts, GError **error);

/*
 * Load what @source names into @memory, which is laid out as @map says. @rsdp is the
 * guest-physical address of ACPI's root pointer. @ram_is_zero says that RAM was never written, so
 * that clearing can be saved. Fills in @state. False and @error, naming the file and what is
 * wrong with it; RAM may be partly written then. Main thread, vCPUs stopped.
 */
bool boot_load(BootSource *source, const MemoryMap *map, uint64_t rsdp, bool ram_is_zero,
	       GuestMemory *memory, BootState *state, GError **error);
