/*
 * boot_images.h: small kernel images for tests of the boot loaders
 *
 * Each is the least that its protocol accepts; a test then spoils a copy. Also the guest RAM to
 * load them into.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "vmm/x86/boot.h"

#define BOOT_TEST_CODE "code of the kernel"

/* An ELF kernel with one segment at 1 MiB, 4096 bytes longer in memory than in the file. */
#define BOOT_TEST_ELF_ADDRESS 0x100000u
#define BOOT_TEST_PVH_ENTRY   0x100010u
#define BOOT_TEST_BSS	      4096u
GByteArray *boot_image_elf64(void);
GByteArray *boot_image_elf32(void);

/* A bzImage of protocol 2.15, relocatable, 2 MiB alignment, linked at 16 MiB. */
#define BOOT_TEST_INIT_SIZE 0x200000u
GByteArray *boot_image_linux(void);

/* A flat Multiboot kernel with address fields at 0x200000, and an ELF one. */
#define BOOT_TEST_MULTIBOOT_ADDRESS 0x200000u
#define BOOT_TEST_MULTIBOOT_HEADER  64u /* offset in the file */
GByteArray *boot_image_multiboot(void);
GByteArray *boot_image_multiboot_elf(void);

/* A guest: RAM, its map. */
typedef struct BootGuest {
	GuestMemory *memory;
	MemoryMap map;
	uint8_t *ram;
	uint64_t size;
} BootGuest;

/* @size bytes of RAM, less than 2 GiB, filled with @fill. */
void boot_guest_init(BootGuest *guest, uint64_t size, uint8_t fill);
void boot_guest_clear(BootGuest *guest);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BootGuest, boot_guest_clear)

/* A memory file that holds @size bytes of @data; its path in /proc. */
typedef struct BootTestFile {
	int fd;
	char *path;
} BootTestFile;

void boot_test_file_init(BootTestFile *file, const void *data, size_t size);
void boot_test_file_clear(BootTestFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BootTestFile, boot_test_file_clear)
