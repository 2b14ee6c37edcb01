/*
 * test-display.c: bochs-display and the screen behind it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <linux/pci_regs.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/device/fake_machine.h"
#include "vmm/display/bochs_display.h"
#include "vmm/display/display.h"

#define FRAME	  0xd0000000u
#define REGISTERS 0xe0000000u
#define ROM	  0xe8000000u
#define VBE(i)	  (REGISTERS + 0x500 + (i)*2)

typedef struct Seen {
	unsigned surfaces, damages, cursors;
	DisplaySurface *surface;
	DisplayRect last;
} Seen;

static void on_surface(void *opaque, DisplaySurface *surface)
{
	Seen *seen = opaque;

	seen->surfaces++;
	display_surface_unref(seen->surface);
	seen->surface = display_surface_ref(surface);
}

static void on_damage(void *opaque, const DisplayRect *rect)
{
	Seen *seen = opaque;

	g_assert_cmpuint(rect->x + rect->width, <=, seen->surface->width);
	g_assert_cmpuint(rect->y + rect->height, <=, seen->surface->height);
	seen->damages++;
	seen->last = *rect;
}

static void on_cursor(void *opaque, G_GNUC_UNUSED DisplayCursor *cursor)
{
	((Seen *)opaque)->cursors++;
}

static const DisplayWatcherOps watcher = { on_surface, on_damage, on_cursor };

typedef struct Fixture {
	FakeMachine *fake;
	Device *device;
	DisplayConsole *console;
	Seen seen;
} Fixture;

static Device *add_screen(FakeMachine *fake)
{
	Device *device = fake_machine_add(fake, &bochs_display_type.device, "vgamem=4M");
	PciDevice *pci = (PciDevice *)device;

	pci_device_config_write(pci, PCI_BASE_ADDRESS_0, FRAME, 4);
	pci_device_config_write(pci, PCI_BASE_ADDRESS_2, REGISTERS, 4);
	pci_device_config_write(pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	return device;
}

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fixture->fake = fake_machine_new(0);
	fixture->device = add_screen(fixture->fake);
	fixture->console = display_find_console(fixture->fake->services.display, NULL, 0);
	g_assert_nonnull(fixture->console);
	display_console_watch(fixture->console, &watcher, &fixture->seen);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_remove(fixture->fake, fixture->device);
	g_assert_null(display_console(fixture->fake->services.display, 0));
	display_surface_unref(fixture->seen.surface);
	fake_machine_free(fixture->fake);
}

static void set_mode(FakeMachine *fake, uint16_t width, uint16_t height, uint16_t bits)
{
	fake_write(fake, VBE(1), width, 2);
	fake_write(fake, VBE(2), height, 2);
	fake_write(fake, VBE(3), bits, 2);
	fake_write(fake, VBE(4), 0x41, 2);
}

static void test_registers(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	uint8_t sum = 0;

	g_assert_cmphex(fake_read(fake, VBE(0), 2), ==, 0xb0c5);
	g_assert_cmphex(fake_read(fake, VBE(10), 2), ==, 64);
	fake_write(fake, VBE(0), 0, 2);
	fake_write(fake, VBE(10), 0, 2);
	g_assert_cmphex(fake_read(fake, VBE(0), 2), ==, 0xb0c5);
	g_assert_cmphex(fake_read(fake, VBE(10), 2), ==, 64);
	g_assert_cmphex(fake_read(fake, REGISTERS + 0x600, 4), ==, 8);
	g_assert_cmphex(fake_read(fake, REGISTERS + 0x604, 4), ==, 0x1e1e1e1e);
	/* The EDID by bytes: its header, and a sum of 0. */
	g_assert_cmphex(fake_read(fake, REGISTERS, 8), ==, 0x00ffffffffffff00);
	for (unsigned i = 0; i < 128; i++)
		sum = (uint8_t)(sum + fake_read(fake, REGISTERS + i, 1));
	g_assert_cmpuint(sum, ==, 0);
	g_assert_cmphex(fake_read(fake, REGISTERS + 56, 1), ==, 1280 & 0xff);
	/* Another size is in there when the guest looks again. */
	g_assert_true(display_console_suggest_size(fixture->console, 1000, 9999));
	g_assert_cmphex(fake_read(fake, REGISTERS + 56, 1), ==, 1000 & 0xff);
	g_assert_cmphex(fake_read(fake, REGISTERS + 61, 1) >> 4, ==, 4095 >> 8);
	/* What is between and behind is nothing, and every size of access is harmless. */
	for (unsigned offset = 0; offset < 0x1000; offset++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			fake_write(fake, REGISTERS + offset, UINT64_MAX, size);
			fake_read(fake, REGISTERS + offset, size);
		}
	}
	display_console_refresh(fixture->console);
}

/* What a BIOS finds and runs: where and when the guest has it decoded, and only read. */
static void test_rom(void)
{
	g_autofree char *path = g_build_filename(g_get_tmp_dir(), "vireo-rom-XXXXXX", NULL);
	g_autofree char *options = NULL;
	g_autoptr(FakeMachine) fake = fake_machine_new(0);
	g_autoptr(GError) error = NULL;
	uint8_t rom[5000] = { 0x55, 0xaa, 9 };
	int fd = g_mkstemp(path);
	PciDevice *pci;

	rom[4999] = 0x77;
	g_assert_cmpint(write(fd, rom, sizeof(rom)), ==, sizeof(rom));
	options = g_strdup_printf("romfile=%s", path);
	pci = (PciDevice *)fake_machine_add(fake, &bochs_display_type.device, options);
	pci_device_config_write(pci, PCI_ROM_ADDRESS, UINT32_MAX, 4);
	g_assert_cmphex(pci_device_config_read(pci, PCI_ROM_ADDRESS, 4), ==, 0xffffe001);
	pci_device_config_write(pci, PCI_ROM_ADDRESS, ROM, 4);
	pci_device_config_write(pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmphex(fake_read(fake, ROM, 2), ==, 0xffff);
	pci_device_config_write(pci, PCI_ROM_ADDRESS, ROM | 1, 4);
	g_assert_cmphex(fake_read(fake, ROM, 4), ==, 0x0009aa55);
	g_assert_cmphex(fake_read(fake, ROM + 4998, 4), ==, 0x00007700);
	fake_write(fake, ROM, 0, 4);
	g_assert_cmphex(fake_read(fake, ROM, 4), ==, 0x0009aa55);
	fake_machine_remove(fake, &pci->device);

	g_assert_cmpint(pwrite(fd, "\0", 1, 0), ==, 1);
	g_assert_null(fake_machine_try_add(fake, &bochs_display_type.device, options, &error));
	g_assert_nonnull(strstr(error->message, "does not begin as an expansion ROM"));
	g_clear_error(&error);
	g_unlink(path);
	g_assert_null(fake_machine_try_add(fake, &bochs_display_type.device, options, &error));
	g_assert_nonnull(strstr(error->message, "cannot open"));
	close(fd);
}

static void test_picture(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	Seen *seen = &fixture->seen;
	const uint32_t *pixels;

	set_mode(fake, 320, 200, 32);
	fake_write(fake, FRAME + (100 * 320 + 7) * 4, 0x00123456, 4);
	g_assert_true(display_console_refresh(fixture->console));
	g_assert_cmpuint(seen->surfaces, ==, 1);
	g_assert_cmpuint(seen->surface->width, ==, 320);
	g_assert_cmpuint(seen->surface->height, ==, 200);
	pixels = (const uint32_t *)(const void *)seen->surface->pixels;
	g_assert_cmphex(pixels[100 * 320 + 7], ==, 0x00123456);
	/* Nobody knows here what changed, so all of it may have. */
	g_assert_true(display_console_refresh(fixture->console));
	g_assert_cmpuint(seen->surfaces, ==, 1);
	g_assert_cmpuint(seen->damages, ==, 1);
	g_assert_cmpuint(seen->last.height, ==, 200);
	/* Panning, in a larger virtual screen. */
	fake_write(fake, VBE(6), 640, 2);
	fake_write(fake, VBE(8), 8, 2);
	fake_write(fake, VBE(9), 3, 2);
	fake_write(fake, FRAME + (3 * 640 + 8) * 4, 0x00abcdef, 4);
	g_assert_true(display_console_refresh(fixture->console));
	g_assert_cmpuint(seen->surfaces, ==, 2);
	g_assert_cmpuint(seen->surface->stride, ==, 640 * 4);
	g_assert_cmphex(*(const uint32_t *)(const void *)seen->surface->pixels, ==, 0x00abcdef);
	fixture->device->type->reset(fixture->device);
	display_console_refresh(fixture->console);
	g_assert_cmpuint(seen->surface->width, ==, 640);
	g_assert_cmpuint(seen->surface->height, ==, 480);
}

static void test_hostile_modes(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const struct {
		uint16_t width, height, bits, pitch, x, y;
	} modes[] = {
		{ 0, 0, 32, 0, 0, 0 },
		{ 63, 64, 32, 0, 0, 0 },
		{ 0xffff, 0xffff, 32, 0, 0, 0 },
		{ 1024, 1025, 32, 0, 0, 0 },
		{ 1024, 1024, 32, 0, 1, 0 },
		{ 1024, 1024, 32, 0, 0, 1 },
		{ 1024, 1024, 32, 0xffff, 0, 0 },
		{ 64, 64, 32, 0xffff, 0xffff, 0xffff },
		{ 640, 480, 8, 0, 0, 0 },
		{ 640, 480, 24, 0, 0, 0 },
		{ 0x4001, 64, 32, 0, 0, 0 },
	};
	FakeMachine *fake = fixture->fake;

	for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
		set_mode(fake, 320, 200, 32);
		fake_write(fake, VBE(6), 0, 2);
		fake_write(fake, VBE(8), 0, 2);
		fake_write(fake, VBE(9), 0, 2);
		display_console_refresh(fixture->console);
		g_assert_cmpuint(fixture->seen.surface->width, ==, 320);
		set_mode(fake, modes[i].width, modes[i].height, modes[i].bits);
		fake_write(fake, VBE(6), modes[i].pitch, 2);
		fake_write(fake, VBE(8), modes[i].x, 2);
		fake_write(fake, VBE(9), modes[i].y, 2);
		display_console_refresh(fixture->console);
		g_assert_cmpuint(fixture->seen.surface->width, ==, 640);
	}
	/* The largest that fits. */
	set_mode(fake, 1024, 1024, 32);
	fake_write(fake, VBE(6), 0, 2);
	fake_write(fake, VBE(8), 0, 2);
	fake_write(fake, VBE(9), 0, 2);
	display_console_refresh(fixture->console);
	g_assert_cmpuint(fixture->seen.surface->height, ==, 1024);
}

static void test_damage(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const DisplayConsoleOps quiet = { 0 };
	Display *display = fixture->fake->services.display;
	DisplayConsole *console = display_add_console(display, "other", 0, &quiet, NULL);
	g_autoptr(DisplaySurface) surface = display_surface_new(100, 100);
	g_autoptr(DisplayCursor) cursor = display_cursor_new(64, 64);
	Seen seen = { 0 };

	g_assert_true(display_find_console(display, "other", 0) == console);
	g_assert_null(display_find_console(display, "other", 1));
	display_console_watch(console, &watcher, &seen);
	display_console_set_surface(console, surface);
	display_console_set_cursor(console, cursor);
	g_assert_true(display_console_refresh(console));
	g_assert_cmpuint(seen.surfaces, ==, 1);
	g_assert_cmpuint(seen.cursors, ==, 1);
	g_assert_false(display_console_refresh(console));
	/* Over the edges, outside, empty. */
	display_console_damage(console, &(DisplayRect){ 90, 90, UINT32_MAX, UINT32_MAX });
	display_console_damage(console, &(DisplayRect){ 100, 0, 1, 1 });
	display_console_damage(console, &(DisplayRect){ 0, 0, 0, 5 });
	g_assert_true(display_console_refresh(console));
	g_assert_cmpuint(seen.damages, ==, 1);
	g_assert_cmpuint(seen.last.width, ==, 10);
	/* Neighbours are one; more than are kept apart become few. */
	display_console_damage(console, &(DisplayRect){ 0, 0, 100, 1 });
	display_console_damage(console, &(DisplayRect){ 0, 1, 100, 1 });
	display_console_refresh(console);
	g_assert_cmpuint(seen.damages, ==, 2);
	for (unsigned i = 0; i < 50; i++)
		display_console_damage(console, &(DisplayRect){ i * 2, i * 2, 1, 1 });
	display_console_refresh(console);
	g_assert_cmpuint(seen.damages, <=, 2 + 32);
	display_console_unwatch(console, &seen);
	display_console_damage(console, &(DisplayRect){ 0, 0, 1, 1 });
	display_remove_console(display, console);
	display_surface_unref(seen.surface);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *other = fake_machine_new(0);
	Device *fresh = add_screen(other);

	set_mode(fixture->fake, 320, 200, 32);
	fake_write(fixture->fake, FRAME + 4000, 0x778899, 4);
	fake_machine_check_state(fixture->device, fresh);
	g_assert_cmphex(fake_read(other, FRAME + 4000, 4), ==, 0x778899);
	g_assert_cmphex(fake_read(other, VBE(1), 2), ==, 320);
	fake_machine_remove(other, fresh);
	fake_machine_free(other);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/display/" name, Fixture, NULL, set_up, test, tear_down)
	ADD("registers", test_registers);
	ADD("picture", test_picture);
	ADD("hostile-modes", test_hostile_modes);
	ADD("damage", test_damage);
	ADD("state", test_state);
	g_test_add_func("/display/rom", test_rom);
	return g_test_run();
}
