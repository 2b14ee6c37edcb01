/*
 * test-boot.c: loading kernels: what lands where, and what is refused
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <stddef.h>
#include <string.h>

#include "tests/unit/boot_images.h"

#define RAM_SIZE (32u << 20)
#define RSDP	 0xe1000u
#define FILL	 0xa5

/* Load @image with @initrd_size bytes of 'i' (0: none) and @command_line. */
static bool load(BootGuest *guest, GByteArray *image, size_t initrd_size, const char *command_line,
		 BootState *state, GError **error)
{
	g_auto(BootTestFile) kernel = { .fd = -1 };
	g_auto(BootTestFile) initrd = { .fd = -1 };
	g_autoptr(BootSource) source = NULL;

	boot_test_file_init(&kernel, image->data, image->len);
	if (initrd_size > 0) {
		g_autofree char *data = g_strnfill(initrd_size, 'i');

		boot_test_file_init(&initrd, data, initrd_size);
	}
	source = boot_source_open(kernel.path, initrd.path, command_line, error);
	return source && boot_load(source, &guest->map, RSDP, false, guest->memory, state, error);
}

/* As load() into fresh RAM, and must fail with a message that has @text in it. */
static void refuse_with_initrd(GByteArray *image, size_t initrd_size, const char *command_line,
			       const char *text)
{
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	BootState state;

	boot_guest_init(&guest, RAM_SIZE, 0);
	g_assert_false(load(&guest, image, initrd_size, command_line, &state, &error));
	g_assert_nonnull(error);
	if (!strstr(error->message, text))
		g_error("'%s' does not say '%s'", error->message, text);
}

static void refuse(GByteArray *image, const char *text)
{
	refuse_with_initrd(image, 0, NULL, text);
}

static void check_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		g_assert_cmpuint(bytes[i], ==, 0);
}

static uint32_t read32(const BootGuest *guest, uint64_t gpa)
{
	uint32_t value;

	memcpy(&value, guest->ram + gpa, sizeof(value));
	return value;
}

static uint64_t read64(const BootGuest *guest, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, guest->ram + gpa, sizeof(value));
	return value;
}

static void check_protected_32(const BootGuest *guest, const BootState *state)
{
	g_assert_cmphex(state->cr0, ==, 0x11);
	g_assert_cmphex(state->cr4, ==, 0);
	g_assert_cmphex(state->efer, ==, 0);
	g_assert_cmphex(state->rflags, ==, 2);
	g_assert_cmphex(state->code.limit, ==, 0xffffffff);
	g_assert_true(state->code.default_32);
	g_assert_false(state->code.long_mode);
	g_assert_cmphex(read64(guest, state->gdt_base + state->code.selector), ==,
			0x00cf9b000000ffff);
	g_assert_cmphex(read64(guest, state->gdt_base + state->data.selector), ==,
			0x00cf93000000ffff);
	g_assert_cmphex(read64(guest, state->gdt_base + state->task.selector), ==,
			0x00008b0000000067);
	g_assert_cmpuint(state->gdt_limit, >=, state->task.selector + 15);
}

static void test_pvh(gconstpointer make)
{
	GByteArray *(*const make_image)(void) = (GByteArray * (*)(void)) make;
	g_autoptr(GByteArray) image = make_image();
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	BootState state;
	uint64_t module, initrd, map;
	bool has_ram = false;

	boot_guest_init(&guest, RAM_SIZE, FILL);
	load(&guest, image, 5000, "console=ttyS0", &state, &error);
	g_assert_no_error(error);
	g_assert_cmpint(state.protocol, ==, BOOT_PROTOCOL_PVH);
	g_assert_cmphex(state.rip, ==, BOOT_TEST_PVH_ENTRY);
	check_protected_32(&guest, &state);
	g_assert_cmpstr((char *)guest.ram + BOOT_TEST_ELF_ADDRESS, ==, BOOT_TEST_CODE);
	check_zero(guest.ram + BOOT_TEST_ELF_ADDRESS + sizeof(BOOT_TEST_CODE), BOOT_TEST_BSS);
	g_assert_cmpuint(guest.ram[BOOT_TEST_ELF_ADDRESS + sizeof(BOOT_TEST_CODE) + BOOT_TEST_BSS],
			 ==, FILL);

	g_assert_cmphex(read32(&guest, state.rbx), ==, 0x336ec578);
	g_assert_cmpuint(read32(&guest, state.rbx + 4), ==, 1);
	g_assert_cmpuint(read32(&guest, state.rbx + 12), ==, 1);
	g_assert_cmpstr((char *)guest.ram + read64(&guest, state.rbx + 24), ==, "console=ttyS0");
	g_assert_cmphex(read64(&guest, state.rbx + 32), ==, RSDP);

	module = read64(&guest, state.rbx + 16);
	initrd = read64(&guest, module);
	g_assert_cmpuint(read64(&guest, module + 8), ==, 5000);
	g_assert_cmpuint(initrd % 4096, ==, 0);
	g_assert_cmpuint(initrd + 5000, <=, RAM_SIZE);
	g_assert_cmpuint(guest.ram[initrd], ==, 'i');
	g_assert_cmpuint(guest.ram[initrd + 4999], ==, 'i');

	map = read64(&guest, state.rbx + 40);
	for (uint32_t i = 0; i < read32(&guest, state.rbx + 48); i++) {
		if (read64(&guest, map + 24 * i) == 0x100000) {
			has_ram = true;
			g_assert_cmpuint(read64(&guest, map + 24 * i + 8), ==, RAM_SIZE - 0x100000);
			g_assert_cmpuint(read32(&guest, map + 24 * i + 16), ==, 1);
		}
	}
	g_assert_true(has_ram);
}

static void test_linux(void)
{
	g_autoptr(GByteArray) image = boot_image_linux();
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	const struct boot_params *params;
	BootState state;

	boot_guest_init(&guest, RAM_SIZE, FILL);
	load(&guest, image, 70000, "quiet", &state, &error);
	g_assert_no_error(error);
	g_assert_cmpint(state.protocol, ==, BOOT_PROTOCOL_LINUX);
	g_assert_cmphex(state.rip, ==, 0x100200);
	g_assert_cmpstr((char *)guest.ram + state.rip, ==, BOOT_TEST_CODE);
	g_assert_cmphex(state.cr0, ==, 0x80000011);
	g_assert_cmphex(state.cr4, ==, 0x20);
	g_assert_cmphex(state.efer, ==, 0x500);
	g_assert_cmpuint(state.code.selector, ==, 0x10);
	g_assert_cmpuint(state.data.selector, ==, 0x18);
	g_assert_cmphex(read64(&guest, state.gdt_base + 0x10), ==, 0x00af9b000000ffff);

	/* 1 GiB + 6 MiB is mapped to itself. */
	g_assert_cmphex(read64(&guest, state.cr3), ==, (state.cr3 + 0x1000) | 3);
	g_assert_cmphex(read64(&guest, (read64(&guest, state.cr3 + 0x1000 + 8) & ~3ull) + 3 * 8),
			==, 0x40600083);

	params = (const void *)(guest.ram + state.rsi);
	g_assert_cmphex(params->hdr.header, ==, 0x53726448);
	g_assert_cmphex(params->hdr.type_of_loader, ==, 0xff);
	g_assert_cmpuint(params->hdr.init_size, ==, BOOT_TEST_INIT_SIZE);
	g_assert_cmpstr((char *)guest.ram + params->hdr.cmd_line_ptr, ==, "quiet");
	g_assert_cmpuint(params->hdr.ramdisk_size, ==, 70000);
	g_assert_cmpuint(guest.ram[params->hdr.ramdisk_image + 69999], ==, 'i');
	g_assert_cmphex(params->acpi_rsdp_addr, ==, RSDP);
	g_assert_cmpuint(params->e820_entries, >=, 4);
	g_assert_cmpuint(params->e820_table[0].addr, ==, 0);
	g_assert_cmpuint(params->e820_table[0].type, ==, 1);
	/* Nothing of the file but its header is in the zero page. */
	check_zero((const uint8_t *)params + 0x280, 0x2d0 - 0x280);
}

static void test_multiboot(gconstpointer make)
{
	GByteArray *(*const make_image)(void) = (GByteArray * (*)(void)) make;
	g_autoptr(GByteArray) image = make_image();
	bool is_elf = make_image == boot_image_multiboot_elf;
	uint32_t base = is_elf ? BOOT_TEST_ELF_ADDRESS : BOOT_TEST_MULTIBOOT_ADDRESS;
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	BootState state;
	uint32_t info, module;

	boot_guest_init(&guest, RAM_SIZE, FILL);
	load(&guest, image, 100, "a b", &state, &error);
	g_assert_no_error(error);
	g_assert_cmpint(state.protocol, ==, BOOT_PROTOCOL_MULTIBOOT);
	g_assert_cmphex(state.rax, ==, 0x2badb002);
	check_protected_32(&guest, &state);
	/* The ELF file's entry is a virtual address. */
	g_assert_cmphex(state.rip, ==, base + (is_elf ? 4 : 128));
	g_assert_cmpstr((char *)guest.ram + base + (is_elf ? 0 : 128), ==, BOOT_TEST_CODE);
	check_zero(guest.ram + base + (is_elf ? sizeof(BOOT_TEST_CODE) : 512), BOOT_TEST_BSS);

	info = (uint32_t)state.rbx;
	g_assert_cmphex(read32(&guest, info), ==, 0x24d);
	g_assert_cmpuint(read32(&guest, info + 4), ==, 639);
	g_assert_cmpuint(read32(&guest, info + 8), ==, (RAM_SIZE - 0x100000) / 1024);
	g_assert_true(g_str_has_suffix((char *)guest.ram + read32(&guest, info + 16), " a b"));
	g_assert_cmpuint(read32(&guest, info + 20), ==, 1);
	module = read32(&guest, info + 24);
	g_assert_cmpuint(read32(&guest, module) % 4096, ==, 0);
	g_assert_cmpuint(read32(&guest, module + 4) - read32(&guest, module), ==, 100);
	g_assert_cmpuint(guest.ram[read32(&guest, module) + 99], ==, 'i');
	g_assert_cmpuint(read32(&guest, info + 44) % 24, ==, 0);
	g_assert_cmpuint(read32(&guest, read32(&guest, info + 48)), ==, 20);
	g_assert_cmpstr((char *)guest.ram + read32(&guest, info + 64), ==, "Vireo");
}

static void test_not_a_kernel(void)
{
	g_autoptr(GByteArray) text = g_byte_array_new();
	g_autoptr(GError) error = NULL;

	g_byte_array_append(text, (const guint8 *)"hello\n", 6);
	refuse(text, "is not a kernel");
	g_assert_null(boot_source_open("/nonexistent/vmlinuz", NULL, NULL, &error));
	g_assert_nonnull(strstr(error->message, "/nonexistent/vmlinuz"));
	g_clear_error(&error);
	g_assert_null(boot_source_open("/", NULL, NULL, &error));
	g_assert_nonnull(strstr(error->message, "not a regular file"));
	g_clear_error(&error);
	g_assert_null(boot_source_open("/dev/null", NULL, NULL, &error));
	g_assert_nonnull(strstr(error->message, "not a regular file"));
}

/* Every truncation of every image is refused or loads; none reads beyond anything. */
static void test_truncated(gconstpointer make)
{
	g_autoptr(GByteArray) image = ((GByteArray * (*)(void)) make)();
	g_auto(BootGuest) guest = { 0 };

	boot_guest_init(&guest, RAM_SIZE, 0);
	for (guint size = 1; size < image->len; size++) {
		g_autoptr(GByteArray) cut = g_byte_array_new();
		g_autoptr(GError) error = NULL;
		BootState state;

		g_byte_array_append(cut, image->data, size);
		g_assert_false(load(&guest, cut, 0, NULL, &state, &error));
		g_assert_nonnull(error);
	}
}

static Elf64_Ehdr *elf_header(GByteArray *image)
{
	return (Elf64_Ehdr *)(void *)image->data;
}

static Elf64_Phdr *elf_segments(GByteArray *image)
{
	return (Elf64_Phdr *)(void *)(image->data + sizeof(Elf64_Ehdr));
}

static void test_bad_elf(void)
{
	g_autoptr(GByteArray) image = boot_image_elf64();
	const Elf64_Ehdr header = *elf_header(image);
	const Elf64_Phdr segment = elf_segments(image)[0], note = elf_segments(image)[1];

	elf_header(image)->e_machine = EM_AARCH64;
	refuse(image, "another processor");
	*elf_header(image) = header;
	elf_header(image)->e_type = ET_DYN;
	refuse(image, "no executable ELF file");
	*elf_header(image) = header;
	elf_header(image)->e_phnum = 0xffff;
	refuse(image, "program header table");
	elf_header(image)->e_phnum = 0;
	refuse(image, "program header table");
	*elf_header(image) = header;
	elf_header(image)->e_phoff = UINT64_MAX - 8;
	refuse(image, "truncated");
	*elf_header(image) = header;

	elf_segments(image)[0].p_paddr = UINT64_MAX - 16;
	refuse(image, "needs memory at");
	elf_segments(image)[0].p_paddr = RAM_SIZE - 16;
	refuse(image, "needs memory at");
	elf_segments(image)[0].p_paddr = 0xa0000;
	refuse(image, "needs memory at");
	elf_segments(image)[0].p_paddr = 0x90000; /* where the loader's own data is */
	refuse(image, "needs memory at");
	elf_segments(image)[0] = segment;
	elf_segments(image)[0].p_memsz = UINT64_MAX;
	refuse(image, "needs memory at");
	elf_segments(image)[0].p_memsz = 1;
	refuse(image, "larger in the file");
	elf_segments(image)[0] = segment;
	elf_segments(image)[0].p_offset = UINT64_MAX;
	refuse(image, "truncated");
	elf_segments(image)[0].p_type = PT_NULL;
	refuse(image, "no loadable segment");
	elf_segments(image)[0] = segment;

	elf_segments(image)[1].p_type = PT_NULL;
	refuse(image, "without a PVH entry");
	elf_segments(image)[1] = note;
	elf_segments(image)[1].p_filesz = 1 << 20;
	refuse(image, "bytes of ELF notes");
	elf_segments(image)[1] = note;
	/* A note whose value runs past its segment. */
	image->data[note.p_offset + 4] = 0xff;
	image->data[note.p_offset + 7] = 0xff;
	refuse(image, "without a PVH entry");
}

static struct setup_header *linux_header(GByteArray *image)
{
	return (struct setup_header *)(void *)(image->data + 0x1f1);
}

static void test_bad_linux(void)
{
	g_autoptr(GByteArray) image = boot_image_linux();
	g_autofree char *long_line = g_strnfill(2048, 'x');
	const struct setup_header header = *linux_header(image);

	linux_header(image)->version = 0x020b;
	refuse(image, "2.12 or later");
	*linux_header(image) = header;
	linux_header(image)->xloadflags = 0;
	refuse(image, "without a 64-bit entry");
	*linux_header(image) = header;
	linux_header(image)->loadflags = 0;
	refuse(image, "zImage");
	*linux_header(image) = header;
	linux_header(image)->kernel_alignment = 3;
	refuse(image, "no power of two");
	linux_header(image)->kernel_alignment = 0;
	refuse(image, "no power of two");
	*linux_header(image) = header;
	linux_header(image)->syssize = UINT32_MAX;
	refuse(image, "needs memory at");
	linux_header(image)->syssize = 0x1000;
	refuse(image, "truncated");
	linux_header(image)->syssize = 0;
	refuse(image, "no kernel behind");
	*linux_header(image) = header;
	linux_header(image)->init_size = UINT32_MAX;
	refuse(image, "needs memory at");
	*linux_header(image) = header;
	linux_header(image)->pref_address = UINT64_MAX - 8;
	refuse(image, "needs memory at");
	*linux_header(image) = header;
	refuse_with_initrd(image, 0, long_line, "command line has 2048 bytes");
	refuse_with_initrd(image, RAM_SIZE, NULL, "initial RAM disk");
	linux_header(image)->initrd_addr_max = 0x1100000; /* inside the kernel */
	refuse_with_initrd(image, 4096, NULL, "initial RAM disk");
}

static void test_bad_multiboot(void)
{
	g_autoptr(GByteArray) image = boot_image_multiboot();
	uint32_t *header = (uint32_t *)(void *)(image->data + BOOT_TEST_MULTIBOOT_HEADER);
	uint32_t good[8];

	memcpy(good, header, sizeof(good));
	header[2]++;
	refuse(image, "is not a kernel");
	memcpy(header, good, sizeof(good));
	header[1] |= 4;
	header[2] -= 4;
	refuse(image, "requires Multiboot features 0x4");
	memcpy(header, good, sizeof(good));
	header[1] = 3;
	header[2] = 0u - header[0] - 3;
	refuse(image, "neither ELF");
	memcpy(header, good, sizeof(good));
	header[3] = 0; /* before load address */
	refuse(image, "begins before the file");
	header[3] = good[3] + 4096;
	refuse(image, "begins before the file");
	memcpy(header, good, sizeof(good));
	header[5] = header[4];
	refuse(image, "before it begins");
	memcpy(header, good, sizeof(good));
	header[6] = header[4] + 1;
	refuse(image, "inside its data");
	memcpy(header, good, sizeof(good));
	header[6] = UINT32_MAX;
	refuse(image, "needs memory at");
	memcpy(header, good, sizeof(good));
	header[5] = good[5] + 4096;
	header[6] = 0;
	refuse(image, "truncated");
}

static void test_memory_map(void)
{
	MemoryMap map;
	MemoryMapEntry entries[MEMORY_MAP_MAX_ENTRIES];
	g_autoptr(GError) error = NULL;
	const uint64_t gib = 1ull << 30;
	unsigned n;

	g_assert_false(memory_map_init(&map, 0, 0, 40, &error));
	g_clear_error(&error);
	g_assert_false(memory_map_init(&map, gib + 1, 0, 40, &error));
	g_clear_error(&error);
	g_assert_false(memory_map_init(&map, UINT64_MAX - 4095, 0, 52, &error));
	g_clear_error(&error);
	g_assert_false(memory_map_init(&map, 64 * gib, 0, 36, &error));
	g_clear_error(&error);

	g_assert_true(memory_map_init(&map, 2 * gib + 768 * 1048576ull, 0, 36, &error));
	g_assert_cmpuint(map.high_ram_size, ==, 0);
	g_assert_cmpuint(map.low_ram_size, ==, 0xb0000000);
	g_assert_true(memory_map_init(&map, 16 * gib, 0, 40, &error));
	g_assert_cmpuint(map.low_ram_size, ==, 2 * gib);
	g_assert_cmpuint(map.high_ram_size, ==, 14 * gib);
	g_assert_cmpuint(map.pci64_base, >=, 18 * gib);
	g_assert_cmpuint(map.pci64_base + map.pci64_size, <=, 1024 * gib);

	n = memory_map_entries(&map, entries);
	for (unsigned i = 1; i < n; i++)
		g_assert_cmpuint(entries[i].address, >=,
				 entries[i - 1].address + entries[i - 1].size);
	g_assert_cmpuint(entries[n - 1].address + entries[n - 1].size, ==, 18 * gib);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/boot/pvh/elf64", boot_image_elf64, test_pvh);
	g_test_add_data_func("/boot/pvh/elf32", boot_image_elf32, test_pvh);
	g_test_add_func("/boot/linux", test_linux);
	g_test_add_data_func("/boot/multiboot/flat", boot_image_multiboot, test_multiboot);
	g_test_add_data_func("/boot/multiboot/elf", boot_image_multiboot_elf, test_multiboot);
	g_test_add_func("/boot/not-a-kernel", test_not_a_kernel);
	g_test_add_data_func("/boot/truncated/elf64", boot_image_elf64, test_truncated);
	g_test_add_data_func("/boot/truncated/elf32", boot_image_elf32, test_truncated);
	g_test_add_data_func("/boot/truncated/linux", boot_image_linux, test_truncated);
	g_test_add_data_func("/boot/truncated/multiboot", boot_image_multiboot, test_truncated);
	g_test_add_func("/boot/bad/elf", test_bad_elf);
	g_test_add_func("/boot/bad/linux", test_bad_linux);
	g_test_add_func("/boot/bad/multiboot", test_bad_multiboot);
	g_test_add_func("/boot/memory-map", test_memory_map);
	return g_test_run();
}
