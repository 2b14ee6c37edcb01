/*
 * bochs_display.c: a framebuffer in a PCI BAR (docs/specs/standard-vga of QEMU, "bochs-display")
 *
 * BAR 0 is the framebuffer, which the guest writes without an exit; BAR 2 has the EDID and the
 * Bochs VBE registers that set a mode. There is no VGA: no I/O ports, no text. What the guest has
 * drawn is known from KVM's dirty log of the framebuffer, which is kept only while somebody looks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/bochs_display.h"
#include "vmm/base/error.h"
#include "vmm/display/display.h"
#include "vmm/display/edid.h"
#include "vmm/pci/pci_rom.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PCI_VENDOR	0x1234
#define PCI_DEVICE	0x1111
#define PCI_SUBVENDOR	0x1af4
#define PCI_SUBDEVICE	0x1100
#define PCI_REVISION	2 /* has the extended registers */
#define PCI_CLASS_OTHER 0x038000

#define FRAMEBUFFER_BAR 0
#define REGISTERS_BAR	2
#define REGISTERS_SIZE	0x1000u
#define PAGE_SIZE	4096u

#define EDID_AREA	 0x000u
#define VBE_AREA	 0x500u
#define EXTENDED_SIZE	 0x600u /* how many bytes of extended registers there are */
#define EXTENDED_ENDIAN	 0x604u
#define LITTLE_ENDIAN_FB 0x1e1e1e1eu

/* Bochs VBE, in 16-bit registers one after the other. */
enum {
	VBE_ID,
	VBE_WIDTH,
	VBE_HEIGHT,
	VBE_BITS_PER_PIXEL,
	VBE_ENABLE,
	VBE_BANK,
	VBE_VIRTUAL_WIDTH,
	VBE_VIRTUAL_HEIGHT,
	VBE_X_OFFSET,
	VBE_Y_OFFSET,
	VBE_MEMORY_64K,
	VBE_REGISTERS,

	VBE_ID_5 = 0xb0c5,
	VBE_ENABLED = 0x01,
	SMALLEST_MODE = 64, /* pixels in each direction */
};

typedef struct Mode {
	uint32_t width, height; /* pixels; 0: none is set */
	uint32_t stride;	/* bytes */
	uint64_t offset;	/* in the framebuffer, bytes */
} Mode;

typedef struct BochsDisplay {
	PciDevice pci;

	/* Properties. */
	uint64_t memory_size;	/* bytes */
	uint32_t width, height; /* what the EDID prefers */
	bool want_edid;

	PciRom rom;
	uint8_t *memory;
	uint32_t n_pages;
	uint64_t *dirty; /* a bit per page */
	IoRegion framebuffer, registers;
	DisplayConsole *console;
	Mode shown; /* main thread */

	/* Device lock. */
	uint16_t vbe[VBE_REGISTERS];
	uint8_t edid[EDID_SIZE];
} BochsDisplay;

static BochsDisplay *bochs_of(Device *device)
{
	return (BochsDisplay *)device;
}

/* The mode that the registers set, if it is one that can be shown. Lock held. */
static Mode current_mode(const BochsDisplay *bochs)
{
	const uint16_t *vbe = bochs->vbe;
	uint32_t pitch = MAX(vbe[VBE_VIRTUAL_WIDTH], vbe[VBE_WIDTH]);
	Mode mode = {
		.width = vbe[VBE_WIDTH],
		.height = vbe[VBE_HEIGHT],
		.stride = pitch * 4,
		.offset = ((uint64_t)vbe[VBE_Y_OFFSET] * pitch + vbe[VBE_X_OFFSET]) * 4,
	};

	if (!(vbe[VBE_ENABLE] & VBE_ENABLED) || vbe[VBE_BITS_PER_PIXEL] != 32 ||
	    mode.width < SMALLEST_MODE || mode.height < SMALLEST_MODE ||
	    mode.width > DISPLAY_SIZE_MAX || mode.height > DISPLAY_SIZE_MAX ||
	    mode.offset + (uint64_t)mode.stride * mode.height > bochs->memory_size)
		return (Mode){ 0 };
	return mode;
}

static bool modes_equal(const Mode *a, const Mode *b)
{
	return a->width == b->width && a->height == b->height && a->stride == b->stride &&
	       a->offset == b->offset;
}

static uint64_t registers_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	BochsDisplay *bochs = opaque;
	uint64_t value = 0;

	if (offset == EXTENDED_SIZE)
		return 8;
	if (offset == EXTENDED_ENDIAN || offset == EXTENDED_ENDIAN + 2)
		return LITTLE_ENDIAN_FB & 0xffff;
	g_mutex_lock(&bochs->pci.device.lock);
	if (offset + 2 <= EDID_AREA + EDID_SIZE && bochs->want_edid)
		value = bochs->edid[offset] | (uint64_t)bochs->edid[offset + 1] << 8;
	else if (offset >= VBE_AREA && offset < VBE_AREA + VBE_REGISTERS * 2)
		value = bochs->vbe[(offset - VBE_AREA) / 2];
	g_mutex_unlock(&bochs->pci.device.lock);
	return value;
}

static void registers_write(void *opaque, uint64_t offset, uint64_t value,
			    G_GNUC_UNUSED unsigned size)
{
	BochsDisplay *bochs = opaque;
	unsigned index;

	if (offset < VBE_AREA || offset >= VBE_AREA + VBE_REGISTERS * 2)
		return;
	index = (unsigned)(offset - VBE_AREA) / 2;
	if (index == VBE_ID || index == VBE_MEMORY_64K)
		return;
	g_mutex_lock(&bochs->pci.device.lock);
	bochs->vbe[index] = (uint16_t)value;
	g_mutex_unlock(&bochs->pci.device.lock);
}

static const IoRegionOps registers_ops = {
	.read = registers_read,
	.write = registers_write,
	.minimum_size = 2,
	.maximum_size = 2,
	.aligned_only = true,
};

static bool page_is_dirty(const BochsDisplay *bochs, uint64_t page)
{
	return bochs->dirty[page / 64] >> (page % 64) & 1;
}

/* Report the rows that lie on dirty pages. */
static void report_dirty_rows(BochsDisplay *bochs, const Mode *mode)
{
	uint64_t end = mode->offset + (uint64_t)mode->stride * mode->height;
	uint64_t page = mode->offset / PAGE_SIZE, last = (end - 1) / PAGE_SIZE;

	while (page <= last) {
		uint64_t first = page, start, stop;

		if (!page_is_dirty(bochs, page)) {
			page++;
			continue;
		}
		while (page <= last && page_is_dirty(bochs, page))
			page++;
		start = MAX(first * PAGE_SIZE, mode->offset) - mode->offset;
		stop = MIN(page * PAGE_SIZE, end) - mode->offset;
		display_console_damage(
			bochs->console,
			&(DisplayRect){
				.y = (uint32_t)(start / mode->stride),
				.width = mode->width,
				.height = (uint32_t)((stop + mode->stride - 1) / mode->stride -
						     start / mode->stride) });
	}
}

static void show_mode(BochsDisplay *bochs, const Mode *mode)
{
	g_autoptr(DisplaySurface) surface = NULL;

	bochs->shown = *mode;
	if (mode->width)
		surface = display_surface_new_borrowed(bochs->memory + mode->offset, mode->width,
						       mode->height, mode->stride);
	display_console_set_surface(bochs->console, surface);
}

static void console_refresh(void *opaque)
{
	BochsDisplay *bochs = opaque;
	Device *device = &bochs->pci.device;
	bool known;
	Mode mode;

	g_mutex_lock(&device->lock);
	mode = current_mode(bochs);
	g_mutex_unlock(&device->lock);
	memset(bochs->dirty, 0, (bochs->n_pages + 63) / 64 * sizeof(bochs->dirty[0]));
	known = address_space_fetch_dirty(device->services->mmio, &bochs->framebuffer,
					  bochs->dirty);
	if (!modes_equal(&mode, &bochs->shown))
		show_mode(bochs, &mode);
	else if (mode.width && known)
		report_dirty_rows(bochs, &mode);
	else if (mode.width)
		display_console_damage(bochs->console, &(DisplayRect){ .width = mode.width,
								       .height = mode.height });
}

static void console_set_watched(void *opaque, bool watched)
{
	BochsDisplay *bochs = opaque;

	address_space_log_dirty(bochs->pci.device.services->mmio, &bochs->framebuffer, watched);
}

/* There is no interrupt: the guest finds it in the EDID when it looks there again. */
static void console_suggest_size(void *opaque, uint32_t width, uint32_t height)
{
	BochsDisplay *bochs = opaque;

	g_mutex_lock(&bochs->pci.device.lock);
	edid_generate(bochs->edid, CLAMP(width, SMALLEST_MODE, EDID_PIXELS_MAX),
		      CLAMP(height, SMALLEST_MODE, EDID_PIXELS_MAX));
	g_mutex_unlock(&bochs->pci.device.lock);
}

static const DisplayConsoleOps console_ops = {
	.suggest_size = console_suggest_size,
	.refresh = console_refresh,
	.set_watched = console_set_watched,
};

static void bochs_reset(Device *device)
{
	BochsDisplay *bochs = bochs_of(device);

	pci_device_reset(&bochs->pci);
	g_mutex_lock(&device->lock);
	memset(bochs->vbe, 0, sizeof(bochs->vbe));
	bochs->vbe[VBE_ID] = VBE_ID_5;
	bochs->vbe[VBE_MEMORY_64K] = (uint16_t)(bochs->memory_size >> 16);
	g_mutex_unlock(&device->lock);
}

static bool bochs_realize(Device *device, GError **error)
{
	BochsDisplay *bochs = bochs_of(device);
	void *memory;

	pci_device_init(&bochs->pci);
	if (!pci_rom_init(&bochs->pci, &bochs->rom, error)) {
		pci_device_finish(&bochs->pci);
		return false;
	}
	memory = mmap(NULL, bochs->memory_size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		error_fail_errno(error, errno, "no memory for the framebuffer");
		pci_device_finish(&bochs->pci);
		pci_rom_finish(&bochs->rom);
		return false;
	}
	bochs->memory = memory;
	bochs->n_pages = (uint32_t)(bochs->memory_size / PAGE_SIZE);
	bochs->dirty = g_new0(uint64_t, (bochs->n_pages + 63) / 64);
	edid_generate(bochs->edid, bochs->width, bochs->height);
	bochs->framebuffer = (IoRegion){ .name = "bochs-display-framebuffer",
					 .size = bochs->memory_size,
					 .ram = bochs->memory };
	bochs->registers = (IoRegion){ .name = "bochs-display-registers",
				       .size = REGISTERS_SIZE,
				       .ops = &registers_ops,
				       .opaque = bochs };
	pci_device_add_bar(&bochs->pci, FRAMEBUFFER_BAR, &bochs->framebuffer, false, false, true);
	pci_device_add_bar(&bochs->pci, REGISTERS_BAR, &bochs->registers, false, false, false);
	bochs->console =
		display_add_console(device->services->display, device->id, 0, &console_ops, bochs);
	bochs_reset(device);
	return true;
}

static void bochs_unrealize(Device *device)
{
	BochsDisplay *bochs = bochs_of(device);

	display_remove_console(device->services->display, bochs->console);
	pci_device_finish(&bochs->pci);
	pci_rom_finish(&bochs->rom);
	munmap(bochs->memory, bochs->memory_size);
	g_free(bochs->dirty);
}

/* The registers that the device answers for itself are what this one has. */
static bool bochs_loaded(void *object, GError **error)
{
	BochsDisplay *bochs = object;

	if (bochs->vbe[VBE_ID] != VBE_ID_5 ||
	    bochs->vbe[VBE_MEMORY_64K] != (uint16_t)(bochs->memory_size >> 16))
		return error_fail(error, "%s has other identification registers",
				  bochs->pci.device.path);
	return true;
}

static const StateField bochs_fields[] = {
	STATE_PART(BochsDisplay, pci, &pci_device_state),
	STATE_ARRAY(BochsDisplay, vbe, STATE_UINT16),
	{ .name = "memory",
	  .kind = STATE_BYTES,
	  .offset = offsetof(BochsDisplay, memory),
	  .element_size = PAGE_SIZE,
	  .is_pointer = true,
	  .has_count_offset = true,
	  .count_offset = offsetof(BochsDisplay, n_pages) },
	STATE_END,
};

static const StateTable bochs_state = {
	.name = "bochs-display",
	.version = 1,
	.minimum_version = 1,
	.fields = bochs_fields,
	.after_load = bochs_loaded,
};

static const Property bochs_properties[] = {
	{ .name = "vgamem",
	  .kind = PROPERTY_SIZE,
	  .offset = offsetof(BochsDisplay, memory_size),
	  .initial = 16u << 20,
	  .minimum = 4u << 20,
	  .maximum = 256u << 20,
	  .power_of_two = true,
	  .description = "size of the framebuffer" },
	{ .name = "edid",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(BochsDisplay, want_edid),
	  .initial = true,
	  .description = "whether there is an EDID" },
	{ .name = "xres",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(BochsDisplay, width),
	  .initial = 1280,
	  .minimum = SMALLEST_MODE,
	  .maximum = EDID_PIXELS_MAX,
	  .description = "width that the EDID prefers, pixels" },
	{ .name = "yres",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(BochsDisplay, height),
	  .initial = 800,
	  .minimum = SMALLEST_MODE,
	  .maximum = EDID_PIXELS_MAX,
	  .description = "height that the EDID prefers, pixels" },
	PCI_ROM_PROPERTY(BochsDisplay),
	PROPERTY_END,
};

const PciDeviceType bochs_display_type = {
	.device = {
		.name = "bochs-display",
		.description = "framebuffer without VGA",
		.category = "Display",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(BochsDisplay),
		.properties = { bochs_properties, pci_device_properties },
		.state = &bochs_state,
		.user_creatable = true,
		.realize = bochs_realize,
		.unrealize = bochs_unrealize,
		.reset = bochs_reset,
	},
	.vendor_id = PCI_VENDOR,
	.device_id = PCI_DEVICE,
	.subsystem_vendor_id = PCI_SUBVENDOR,
	.subsystem_id = PCI_SUBDEVICE,
	.class_code = PCI_CLASS_OTHER,
	.revision = PCI_REVISION,
	.is_express = true,
};
