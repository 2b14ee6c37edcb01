/*
 * test-firmware.c: what firmware finds: fw_cfg, flash memory and ROM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/qemu_fw_cfg.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "qapi-types.h"
#include "tests/device/fake_machine.h"
#include "vmm/base/json.h"
#include "vmm/block/block.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/fw_cfg.h"

#define RAM_SIZE   (1u << 20)
#define FLASH_SIZE 0x3000u
#define FLASH_BASE (UINT64_C(0x100000000) - FLASH_SIZE)
#define DMA_PORT   0x514

static unsigned n_warnings;

typedef struct Fixture {
	FakeMachine *fake;
	char *path;
	BlockNodes *nodes;
} Fixture;

static void setup(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree uint8_t *bytes = g_malloc0(FLASH_SIZE);
	int fd = g_file_open_tmp("vireo-flash-XXXXXX", &fixture->path, &error);

	g_assert_no_error(error);
	memset(bytes, 0xff, FLASH_SIZE);
	memcpy(bytes, "variables", 9);
	g_assert_cmpint(write(fd, bytes, FLASH_SIZE), ==, FLASH_SIZE);
	close(fd);
	fixture->fake = fake_machine_new(RAM_SIZE);
	fixture->nodes = block_nodes_new();
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_free(fixture->fake);
	block_nodes_free(fixture->nodes);
	g_unlink(fixture->path);
	g_free(fixture->path);
}

static void add_node(Fixture *fixture, const char *name, bool read_only)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(JsonObject) options = json_object_new_object();
	g_autoptr(QapiBlockdevOptions) parsed = NULL;

	json_object_object_add(options, "driver", json_object_new_string("file"));
	json_object_object_add(options, "node-name", json_object_new_string(name));
	json_object_object_add(options, "filename", json_object_new_string(fixture->path));
	json_object_object_add(options, "read-only", json_object_new_boolean(read_only));
	parsed = qapi_parse_BlockdevOptions(options, QAPI_PARSE_STRICT, &error);
	g_assert_no_error(error);
	g_assert_true(block_nodes_add(fixture->nodes, parsed, &error));
	g_assert_no_error(error);
	fake_machine_set_block_node(fixture->fake, name, block_nodes_find(fixture->nodes, name));
}

static void check_file(Fixture *fixture, size_t offset, const char *text)
{
	g_autofree char *content = NULL;
	gsize size;

	g_assert_true(g_file_get_contents(fixture->path, &content, &size, NULL));
	g_assert_cmpuint(size, ==, FLASH_SIZE);
	g_assert_cmpmem(content + offset, strlen(text), text, strlen(text));
}

static uint8_t peek(Fixture *fixture, uint64_t offset)
{
	return (uint8_t)fake_read(fixture->fake, FLASH_BASE + offset, 1);
}

static void poke(Fixture *fixture, uint64_t offset, uint8_t value)
{
	fake_write(fixture->fake, FLASH_BASE + offset, value, 1);
}

/* How OVMF tells flash from RAM and ROM, and writes to it. */
static void test_flash(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *flash;

	add_node(fixture, "vars", false);
	flash = fake_machine_add(fixture->fake, &flash_type, "drive=vars");
	g_assert_cmphex(flash_base(flash), ==, FLASH_BASE);
	g_assert_cmphex(fake_read(fixture->fake, FLASH_BASE, 4), ==, 0x69726176);
	poke(fixture, 0, 0x50);
	g_assert_cmphex(peek(fixture, 0), ==, 'v');
	poke(fixture, 0, 0x70);
	g_assert_cmphex(peek(fixture, 0), ==, 0);

	/* A byte: in the file before the command is done; only bits that are set can be cleared. */
	poke(fixture, 0x20, 0x10);
	poke(fixture, 0x20, 'x');
	g_assert_cmphex(peek(fixture, 0x20), ==, 0x80);
	check_file(fixture, 0x20, "x");
	poke(fixture, 0x20, 0x40);
	poke(fixture, 0x20, 0x0f);
	poke(fixture, 0, 0xff);
	g_assert_cmphex(peek(fixture, 0x20), ==, ('x' & 0x0f));

	/* A block. */
	poke(fixture, 0x123, 0x20);
	poke(fixture, 0x123, 0xd0);
	g_assert_cmphex(peek(fixture, 0), ==, 0x80);
	poke(fixture, 0, 0xff);
	g_assert_cmphex(fake_read(fixture->fake, FLASH_BASE, 8), ==, UINT64_MAX);
	check_file(fixture, 0, "\xff\xff\xff\xff");

	/* A buffer of four bytes. */
	poke(fixture, 0x1040, 0xe8);
	g_assert_cmphex(peek(fixture, 0x1040), ==, 0x80);
	poke(fixture, 0x1040, 3);
	fake_write(fixture->fake, FLASH_BASE + 0x1048, 0x64636261, 4);
	poke(fixture, 0x1040, 0xd0);
	check_file(fixture, 0x1048, "abcd");
	poke(fixture, 0, 0xff);
	g_assert_cmphex(fake_read(fixture->fake, FLASH_BASE + 0x1048, 4), ==, 0x64636261);

	/* What it is (JESD68): "QRY", Intel's command set, 4 KiB blocks. */
	poke(fixture, 0, 0x98);
	g_assert_cmphex(fake_read(fixture->fake, FLASH_BASE + 0x10, 4), ==, 0x01595251);
	g_assert_cmphex(peek(fixture, 0x2d), ==, FLASH_SIZE / 4096 - 1);
	g_assert_cmphex(peek(fixture, 0x2f), ==, 0x10);
	fake_machine_remove(fixture->fake, flash);
}

/* Sequences that end elsewhere than they should leave errors in the status, and nothing else. */
static void test_flash_errors(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *flash;

	add_node(fixture, "code", true);
	flash = fake_machine_add(fixture->fake, &flash_type, "drive=code");
	poke(fixture, 0, 0x20);
	poke(fixture, 0, 0xd0);
	g_assert_cmphex(peek(fixture, 0), ==, 0x80 | 0x20 | 0x02);
	poke(fixture, 0, 0x50);
	poke(fixture, 0, 0x10);
	poke(fixture, 0, 0);
	g_assert_cmphex(peek(fixture, 0), ==, 0x80 | 0x10 | 0x02);
	poke(fixture, 0, 0x50);
	poke(fixture, 0, 0x20);
	poke(fixture, 0, 0xff);
	g_assert_cmphex(peek(fixture, 0), ==, 0x80 | 0x30);
	poke(fixture, 0, 0x50);
	poke(fixture, 0, 0xe8);
	poke(fixture, 0, 64);
	g_assert_cmphex(peek(fixture, 0), ==, 0x80 | 0x30);
	poke(fixture, 0, 0x50);
	poke(fixture, 0, 0xe8);
	poke(fixture, 0, 63);
	poke(fixture, 0, 1);
	poke(fixture, 0x2000, 1);
	g_assert_cmphex(peek(fixture, 0), ==, 0x80 | 0x30);
	poke(fixture, 0, 0xff);
	check_file(fixture, 0, "variables");
	/* The last bytes: an access must not run over the end. */
	poke(fixture, FLASH_SIZE - 1, 0x10);
	fake_write(fixture->fake, FLASH_BASE + FLASH_SIZE - 2, 0, 4);
	fake_machine_remove(fixture->fake, flash);
}

static GLogWriterOutput count_warning(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
				      gpointer data)
{
	if (!(level & G_LOG_LEVEL_WARNING))
		return g_log_writer_default(level, fields, n_fields, data);
	n_warnings++;
	return G_LOG_WRITER_HANDLED;
}

static void program_byte(Fixture *fixture, uint64_t offset)
{
	poke(fixture, offset, 0x10);
	poke(fixture, offset, 0);
}

/* A host that cannot write: the guest hears of each time, and the log of the first. */
static void test_flash_full_host(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	struct rlimit before, none;
	Device *flash;

	add_node(fixture, "vars", false);
	flash = fake_machine_add(fixture->fake, &flash_type, "drive=vars");
	getrlimit(RLIMIT_FSIZE, &before);
	none = before;
	none.rlim_cur = 0;
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &none), ==, 0);
	n_warnings = 0;
	for (unsigned i = 0; i < 3; i++) {
		program_byte(fixture, 0);
		g_assert_cmphex(peek(fixture, 0), ==, 0x80 | 0x10);
		poke(fixture, 0, 0x20);
		poke(fixture, 0, 0xd0);
		g_assert_cmphex(peek(fixture, 0), ==, 0x80 | 0x10 | 0x20);
		poke(fixture, 0, 0x50);
	}
	g_assert_cmpuint(n_warnings, ==, 1);
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
	program_byte(fixture, 0);
	g_assert_cmphex(peek(fixture, 0), ==, 0x80);
	/* That was mended; the next time is news. */
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &none), ==, 0);
	program_byte(fixture, 0);
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
	g_assert_cmpuint(n_warnings, ==, 2);
	fake_machine_remove(fixture->fake, flash);
}

static void test_flash_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *flash, *other;

	add_node(fixture, "vars", false);
	flash = fake_machine_add(fixture->fake, &flash_type, "drive=vars");
	poke(fixture, 0x40, 0x10);
	poke(fixture, 0x40, 0);
	poke(fixture, 0, 0xe8);
	poke(fixture, 0, 1);
	/* It has the node alone, so it is its own other. */
	other = flash;
	fake_machine_check_state(flash, other);
	poke(fixture, 0x80, 'a');
	poke(fixture, 0x81, 'b');
	poke(fixture, 0x80, 0xd0);
	check_file(fixture, 0x80, "ab");
	fake_machine_remove(fixture->fake, flash);
}

/* Images of wrong sizes, and none at all. */
static void test_flash_images(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const struct {
		off_t size;
		const char *message;
	} cases[] = {
		{ 0, "has 0 bytes" },
		{ 4095, "has 4095 bytes" },
		{ FLASH_SIZE + 1, "has 12289 bytes" },
		{ FLASH_MAXIMUM_SIZE + 4096, "at most 16 MiB" },
	};
	g_autoptr(GError) missing = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *name = g_strdup_printf("n%u", i);
		g_autofree char *options = g_strdup_printf("drive=%s", name);
		g_autoptr(GError) error = NULL;

		g_assert_cmpint(truncate(fixture->path, cases[i].size), ==, 0);
		add_node(fixture, name, true);
		g_assert_null(
			fake_machine_try_add(fixture->fake, &flash_type, options, &error));
		g_assert_nonnull(strstr(error->message, cases[i].message));
		g_assert_nonnull(strstr(error->message, name));
	}
	g_assert_null(fake_machine_try_add(fixture->fake, &flash_type, "drive=none", &missing));
	g_assert_nonnull(strstr(missing->message, "no node 'none'"));
}

static void test_rom(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autofree char *options = g_strdup_printf("file=%s", fixture->path);
	g_autoptr(GError) error = NULL;
	Device *rom = fake_machine_add(fixture->fake, &rom_type, options);

	g_assert_cmphex(fake_read(fixture->fake, FLASH_BASE, 4), ==, 0x69726176);
	fake_write(fixture->fake, FLASH_BASE, 0, 4);
	g_assert_cmphex(fake_read(fixture->fake, FLASH_BASE, 4), ==, 0x69726176);
	/* Below 1 MiB there is a copy, which a reset makes anew. */
	g_assert_cmpmem(fixture->fake->ram + RAM_SIZE - FLASH_SIZE, 9, "variables", 9);
	memset(fixture->fake->ram + RAM_SIZE - FLASH_SIZE, 0, 9);
	rom_type.reset(rom);
	g_assert_cmpmem(fixture->fake->ram + RAM_SIZE - FLASH_SIZE, 9, "variables", 9);
	fake_machine_remove(fixture->fake, rom);

	g_assert_cmpint(truncate(fixture->path, 100), ==, 0);
	g_assert_null(fake_machine_try_add(fixture->fake, &rom_type, options, &error));
	g_assert_nonnull(strstr(error->message, "has 100 bytes"));
	g_clear_error(&error);
	g_assert_null(fake_machine_try_add(fixture->fake, &rom_type, "file=/dev/null", &error));
	g_assert_nonnull(strstr(error->message, "not a regular file"));
	g_clear_error(&error);
	g_assert_null(fake_machine_try_add(fixture->fake, &rom_type, "file=/nowhere", &error));
	g_assert_nonnull(strstr(error->message, "/nowhere"));
}

/* Select @key and read @size bytes by port. */
static void read_item(FakeMachine *fake, uint16_t key, void *to, size_t size)
{
	fake_outw(fake, 0x510, key);
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = fake_inb(fake, 0x511);
}

/* Perform a transfer whose structure is at 0x100; its result. */
static uint32_t transfer(FakeMachine *fake, uint32_t control, uint32_t length, uint64_t address)
{
	struct fw_cfg_dma_access access = {
		.control = GUINT32_TO_BE(control),
		.length = GUINT32_TO_BE(length),
		.address = GUINT64_TO_BE(address),
	};

	memcpy(fake->ram + 0x100, &access, sizeof(access));
	fake_outl(fake, DMA_PORT, 0);
	fake_outl(fake, DMA_PORT + 4, GUINT32_TO_BE(0x100));
	memcpy(&access, fake->ram + 0x100, sizeof(access));
	return GUINT32_FROM_BE(access.control);
}

static void test_fw_cfg(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	g_autoptr(GError) error = NULL;
	Device *fw_cfg = fake_machine_add(fake, &fw_cfg_type, NULL);
	Device *other = fake_machine_add(fake, &fw_cfg_type, NULL);
	struct fw_cfg_file entry;
	uint8_t bytes[16];
	uint32_t count;

	read_item(fake, FW_CFG_SIGNATURE, bytes, 6);
	g_assert_cmpmem(bytes, 6, "QEMU\0\0", 6);
	read_item(fake, FW_CFG_ID, bytes, 4);
	g_assert_cmpmem(bytes, 4, "\x03\0\0\0", 4);
	g_assert_cmphex(fake_inl(fake, DMA_PORT), ==, 0x554d4551);

	fw_cfg_set_item_16(fw_cfg, FW_CFG_NB_CPUS, 0x1234);
	read_item(fake, FW_CFG_NB_CPUS, bytes, 2);
	g_assert_cmpmem(bytes, 2, "\x34\x12", 2);
	g_assert_true(fw_cfg_set_file(fw_cfg, "opt/one", "first", 5, &error));
	g_assert_true(fw_cfg_set_file(fw_cfg, "opt/two", "2", 1, &error));
	g_assert_true(fw_cfg_set_file(fw_cfg, "opt/one", "again", 5, &error));
	read_item(fake, FW_CFG_FILE_DIR, &count, 4);
	g_assert_cmpuint(GUINT32_FROM_BE(count), ==, 2);
	for (size_t i = 0; i < sizeof(entry); i++)
		((uint8_t *)&entry)[i] = fake_inb(fake, 0x511);
	g_assert_cmpstr(entry.name, ==, "opt/one");
	g_assert_cmpuint(GUINT32_FROM_BE(entry.size), ==, 5);

	/* Select, skip one and read; behind the end there are zeroes. */
	g_assert_cmphex(transfer(fake,
				 (uint32_t)GUINT16_FROM_BE(entry.select) << 16 |
					 FW_CFG_DMA_CTL_SELECT | FW_CFG_DMA_CTL_SKIP,
				 1, 0),
			==, 0);
	memset(fake->ram + 0x200, 0x55, 8);
	g_assert_cmphex(transfer(fake, FW_CFG_DMA_CTL_READ, 6, 0x200), ==, 0);
	g_assert_cmpmem(fake->ram + 0x200, 7, "gain\0\0\x55", 7);
	fake_machine_check_state(fw_cfg, other);
	fake_machine_remove(fake, other);
	fake_machine_remove(fake, fw_cfg);
}

static void test_fw_cfg_hostile(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	g_autoptr(GError) error = NULL;
	g_autofree char *name = g_strnfill(FW_CFG_MAX_FILE_PATH, 'n');
	Device *fw_cfg = fake_machine_add(fake, &fw_cfg_type, NULL);
	uint8_t byte = 1;

	/* Keys that are not there, transfers that leave memory, writes. */
	read_item(fake, 0x3fff, &byte, 1);
	g_assert_cmphex(byte, ==, 0);
	read_item(fake, 0xbfff, &byte, 1);
	g_assert_cmphex(byte, ==, 0);
	g_assert_cmphex(transfer(fake, FW_CFG_DMA_CTL_READ, UINT32_MAX, 0x1000), ==,
			FW_CFG_DMA_CTL_ERROR);
	g_assert_cmphex(transfer(fake, FW_CFG_DMA_CTL_READ, 8, UINT64_MAX - 3), ==,
			FW_CFG_DMA_CTL_ERROR);
	g_assert_cmphex(transfer(fake, FW_CFG_DMA_CTL_WRITE, 1, 0x200), ==, FW_CFG_DMA_CTL_ERROR);
	g_assert_cmphex(transfer(fake, FW_CFG_DMA_CTL_SKIP, UINT32_MAX, 0), ==, 0);
	g_assert_cmphex(transfer(fake, FW_CFG_DMA_CTL_SKIP, UINT32_MAX, 0), ==, 0);
	fake_outl(fake, DMA_PORT, 0xffffffff);
	fake_outl(fake, DMA_PORT + 4, 0xffffffff);

	g_assert_false(fw_cfg_set_file(fw_cfg, name, "", 0, &error));
	g_assert_nonnull(strstr(error->message, "longer than the 55 bytes"));
	g_clear_error(&error);
	for (unsigned i = 0; i < FW_CFG_FILES; i++) {
		g_autofree char *file = g_strdup_printf("opt/%u", i);

		g_assert_true(fw_cfg_set_file(fw_cfg, file, "", 0, &error));
	}
	g_assert_false(fw_cfg_set_file(fw_cfg, "opt/more", "", 0, &error));
	g_assert_nonnull(strstr(error->message, "more than 64 files"));
	fake_machine_remove(fake, fw_cfg);
}

/* A kernel is read from its file when it is asked for. */
static void test_fw_cfg_file(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Device *fw_cfg = fake_machine_add(fake, &fw_cfg_type, NULL);
	int fd = g_open(fixture->path, O_RDONLY, 0);

	fw_cfg_set_item_fd(fw_cfg, FW_CFG_KERNEL_DATA, fd, 3, FLASH_SIZE - 3);
	g_assert_cmphex(transfer(fake,
				 FW_CFG_KERNEL_DATA << 16 | FW_CFG_DMA_CTL_SELECT |
					 FW_CFG_DMA_CTL_READ,
				 FLASH_SIZE - 3, 0x1ffd),
			==, 0);
	g_assert_cmpmem(fake->ram + 0x1ffd, 6, "iables", 6);
	/* It became shorter. */
	g_assert_cmpint(truncate(fixture->path, 5), ==, 0);
	g_assert_cmphex(transfer(fake,
				 FW_CFG_KERNEL_DATA << 16 | FW_CFG_DMA_CTL_SELECT |
					 FW_CFG_DMA_CTL_READ,
				 4, 0x1000),
			==, 0);
	g_assert_cmpmem(fake->ram + 0x1000, 4, "ia\0\0", 4);
	close(fd);
	fake_machine_remove(fake, fw_cfg);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_log_set_writer_func(count_warning, NULL, NULL);
	signal(SIGXFSZ, SIG_IGN);
#define ADD(name, function) g_test_add(name, Fixture, NULL, setup, function, teardown)
	ADD("/firmware/flash", test_flash);
	ADD("/firmware/flash-errors", test_flash_errors);
	ADD("/firmware/flash-full-host", test_flash_full_host);
	ADD("/firmware/flash-state", test_flash_state);
	ADD("/firmware/flash-images", test_flash_images);
	ADD("/firmware/rom", test_rom);
	ADD("/firmware/fw-cfg", test_fw_cfg);
	ADD("/firmware/fw-cfg-hostile", test_fw_cfg_hostile);
	ADD("/firmware/fw-cfg-file", test_fw_cfg_file);
	return g_test_run();
}
