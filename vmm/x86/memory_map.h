/*
 * memory_map.h: what lies where in guest-physical memory
 *
 *	0		low RAM, but for the legacy hole at 640 KiB
 *	0xa0000		no RAM is promised: VGA
 *	0xe0000		ACPI tables and the information page (RAM, reserved)
 *	0x100000	RAM, up to 2.75 GiB, or to 2 GiB where there is more
 *	0xb0000000	PCI configuration space (ECAM, 256 buses)
 *	0xc0000000	window for 32-bit PCI BARs
 *	0xfec00000	I/O APIC, local APICs, firmware
 *	4 GiB		the rest of RAM
 *	1 GiB aligned	where memory devices are, if any can be
 *	above that	window for 64-bit PCI BARs
 *
 * These are the addresses that q35 firmware knows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/x86/acpi_layout.h"

/* All in bytes. */
#define MEMORY_MAP_BASE_RAM_END UINT64_C(0x9fc00) /* where an EBDA would begin */
#define MEMORY_MAP_HIGH_START	UINT64_C(0x100000)
#define MEMORY_MAP_ECAM_BASE	UINT64_C(0xb0000000)
#define MEMORY_MAP_ECAM_SIZE	UINT64_C(0x10000000)
#define MEMORY_MAP_PCI32_BASE	UINT64_C(0xc0000000)
#define MEMORY_MAP_PCI32_END	UINT64_C(0xfec00000)
#define MEMORY_MAP_IOAPIC_BASE	UINT64_C(0xfec00000)
#define MEMORY_MAP_LAPIC_BASE	UINT64_C(0xfee00000)
#define MEMORY_MAP_4GIB		UINT64_C(0x100000000)

typedef struct MemoryMap {
	uint64_t low_ram_size;	/* bytes at 0, the legacy hole included */
	uint64_t high_ram_size; /* bytes at 4 GiB; may be 0 */
	uint64_t devices_base;	/* for memory devices: virtio-mem */
	uint64_t devices_size;	/* a multiple of 1 GiB; may be 0 */
	uint64_t pci64_base;	/* the 64-bit window */
	uint64_t pci64_size;
	uint64_t memory_end;	/* no memory is or can be added there or above */
	uint64_t address_limit; /* the first address that CPUs do not have */
} MemoryMap;

/* A range as the guest is told of it. Types are those of ACPI §15 and of PVH's memory map. */
typedef enum MemoryMapType {
	MEMORY_MAP_RAM = 1,
	MEMORY_MAP_RESERVED = 2,
	MEMORY_MAP_ACPI = 3,
} MemoryMapType;

typedef struct MemoryMapEntry {
	uint64_t address; /* bytes */
	uint64_t size;	  /* bytes */
	MemoryMapType type;
} MemoryMapEntry;

#define MEMORY_MAP_MAX_ENTRIES 8

/*
 * Lay out @ram_size bytes of RAM, and room for @devices_size bytes (rounded up) of memory devices,
 * for CPUs with @physical_bits address bits. False and @error when there is too little to boot
 * anything (below 2 MiB), it is no multiple of 4 KiB, or all this and a 64-bit window do not fit
 * the address bits. Any thread.
 */
bool memory_map_init(MemoryMap *map, uint64_t ram_size, uint64_t devices_size,
		     unsigned physical_bits, GError **error);

/* Fill in @entries in ascending order; returns how many there are. Any thread. */
unsigned memory_map_entries(const MemoryMap *map, MemoryMapEntry entries[MEMORY_MAP_MAX_ENTRIES]);
