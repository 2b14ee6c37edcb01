/*
 * pci_rom.h: the expansion ROM of a PCI function
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci.h"

/* An object of the type's structure, which has it in its own. */
typedef struct PciRom {
	char *path; /* property "romfile"; NULL: there is none */
	uint8_t *bytes;
	uint64_t size; /* of the region, a power of two */
	IoRegion region;
} PciRom;

/* The property, in a table of the type's properties; @type has the PciRom as its member rom. */
#define PCI_ROM_PROPERTY(type)                                                                  \
	{                                                                                       \
		.name = "romfile", .kind = PROPERTY_STRING, .offset = offsetof(type, rom.path), \
		.description = "expansion ROM: what a BIOS runs to drive the device",           \
	}

/*
 * Give @pci what the file rom->path has, after pci_device_init() in the type's realize; does
 * nothing where there is none. False and @error on a file that cannot be read or is no ROM.
 */
bool pci_rom_init(PciDevice *pci, PciRom *rom, GError **error);

/* After pci_device_finish(). Main thread, as above. */
void pci_rom_finish(PciRom *rom);
