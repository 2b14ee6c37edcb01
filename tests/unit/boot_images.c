/*
 * boot_images.c: small kernel images for tests of the boot loaders
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/unit/boot_images.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/fd.h"

#define SEGMENT_OFFSET 0x200u
#define NOTE_OFFSET    0x180u

static GByteArray *new_image(size_t size)
{
	GByteArray *image = g_byte_array_new();

	g_byte_array_set_size(image, (guint)size);
	memset(image->data, 0, size);
	return image;
}

static void put_note(GByteArray *image)
{
	static const struct {
		uint32_t name_size, value_size, type;
		char name[4];
		uint32_t value;
	} note = { 4, 4, 18, "Xen", BOOT_TEST_PVH_ENTRY };

	memcpy(image->data + NOTE_OFFSET, &note, sizeof(note));
}

GByteArray *boot_image_elf64(void)
{
	GByteArray *image = new_image(SEGMENT_OFFSET + sizeof(BOOT_TEST_CODE));
	const Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_entry = BOOT_TEST_ELF_ADDRESS,
		.e_phoff = sizeof(header),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	const Elf64_Phdr segments[] = {
		{
			.p_type = PT_LOAD,
			.p_offset = SEGMENT_OFFSET,
			.p_vaddr = 0xffffffff80100000,
			.p_paddr = BOOT_TEST_ELF_ADDRESS,
			.p_filesz = sizeof(BOOT_TEST_CODE),
			.p_memsz = sizeof(BOOT_TEST_CODE) + BOOT_TEST_BSS,
		},
		{ .p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 20, .p_align = 4 },
	};

	memcpy(image->data, &header, sizeof(header));
	memcpy(image->data + sizeof(header), segments, sizeof(segments));
	memcpy(image->data + SEGMENT_OFFSET, BOOT_TEST_CODE, sizeof(BOOT_TEST_CODE));
	put_note(image);
	return image;
}

GByteArray *boot_image_elf32(void)
{
	GByteArray *image = new_image(SEGMENT_OFFSET + sizeof(BOOT_TEST_CODE));
	const Elf32_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_entry = 0xc0100004,
		.e_phoff = sizeof(header),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	const Elf32_Phdr segments[] = {
		{
			.p_type = PT_LOAD,
			.p_offset = SEGMENT_OFFSET,
			.p_vaddr = 0xc0100000,
			.p_paddr = BOOT_TEST_ELF_ADDRESS,
			.p_filesz = sizeof(BOOT_TEST_CODE),
			.p_memsz = sizeof(BOOT_TEST_CODE) + BOOT_TEST_BSS,
		},
		{ .p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 20, .p_align = 4 },
	};

	memcpy(image->data, &header, sizeof(header));
	memcpy(image->data + sizeof(header), segments, sizeof(segments));
	memcpy(image->data + SEGMENT_OFFSET, BOOT_TEST_CODE, sizeof(BOOT_TEST_CODE));
	put_note(image);
	return image;
}

GByteArray *boot_image_linux(void)
{
	const size_t setup = 5 * 512, kernel = 1024;
	GByteArray *image = new_image(setup + kernel);
	const struct setup_header header = {
		.setup_sects = 4,
		.syssize = kernel / 16,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb, /* the header ends at 0x202 + 0x6a */
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = 0x1000000,
		.init_size = BOOT_TEST_INIT_SIZE,
	};

	memcpy(image->data + 0x1f1, &header, sizeof(header));
	memcpy(image->data + setup + 0x200, BOOT_TEST_CODE, sizeof(BOOT_TEST_CODE));
	return image;
}

GByteArray *boot_image_multiboot(void)
{
	GByteArray *image = new_image(512);
	const uint32_t flags = 1u << 16 | 3;
	const uint32_t header[8] = {
		0x1badb002,
		flags,
		0u - 0x1badb002u - flags,
		BOOT_TEST_MULTIBOOT_ADDRESS + BOOT_TEST_MULTIBOOT_HEADER,
		BOOT_TEST_MULTIBOOT_ADDRESS,
		BOOT_TEST_MULTIBOOT_ADDRESS + 512,
		BOOT_TEST_MULTIBOOT_ADDRESS + 512 + BOOT_TEST_BSS,
		BOOT_TEST_MULTIBOOT_ADDRESS + 128,
	};

	memcpy(image->data + BOOT_TEST_MULTIBOOT_HEADER, header, sizeof(header));
	memcpy(image->data + 128, BOOT_TEST_CODE, sizeof(BOOT_TEST_CODE));
	return image;
}

GByteArray *boot_image_multiboot_elf(void)
{
	GByteArray *image = boot_image_elf32();
	const uint32_t header[3] = { 0x1badb002, 0, 0u - 0x1badb002u };

	memcpy(image->data + SEGMENT_OFFSET - sizeof(header) - 4, header, sizeof(header));
	return image;
}

void boot_guest_init(BootGuest *guest, uint64_t size, uint8_t fill)
{
	g_autoptr(GError) error = NULL;
	GuestMemoryRegion region = { .size = size, .fd = -1 };

	memory_map_init(&guest->map, size, 0, 40, &error);
	g_assert_no_error(error);
	guest->size = size;
	guest->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g_assert_true(guest->ram != MAP_FAILED);
	if (fill != 0)
		memset(guest->ram, fill, size);
	guest->memory = guest_memory_new();
	region.hva = guest->ram;
	guest_memory_add(guest->memory, &region, &error);
	g_assert_no_error(error);
}

void boot_guest_clear(BootGuest *guest)
{
	g_clear_pointer(&guest->memory, guest_memory_free);
	munmap(guest->ram, guest->size);
}

void boot_test_file_init(BootTestFile *file, const void *data, size_t size)
{
	file->fd = memfd_create("boot-test", MFD_CLOEXEC);
	g_assert_cmpint(file->fd, >=, 0);
	g_assert_cmpint(write(file->fd, data, size), ==, (gssize)size);
	file->path = g_strdup_printf("/proc/self/fd/%d", file->fd);
}

void boot_test_file_clear(BootTestFile *file)
{
	fd_close(&file->fd);
	g_clear_pointer(&file->path, g_free);
}
