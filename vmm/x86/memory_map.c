/*
 * memory_map.c: what lies where in guest-physical memory
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/memory_map.h"

#include <inttypes.h>

#include "vmm/base/error.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define MINIMUM_RAM (2 * MIB)

/*
 * Low RAM reaches up to ECAM if all RAM fits below it; else it ends at 2 GiB, so that low and
 * high RAM can be mapped with 1 GiB pages.
 */
#define LOW_RAM_LIMIT	   MEMORY_MAP_ECAM_BASE
#define LOW_RAM_SPLIT	   (2 * GIB)
#define PCI64_SIZE_WANTED  (512 * GIB)
#define PCI64_SIZE_MINIMUM (1 * GIB)

/* @value up to a multiple of @unit, which is a power of two. */
static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

bool memory_map_init(MemoryMap *map, uint64_t ram_size, uint64_t devices_size,
		     unsigned physical_bits, GError **error)
{
	uint64_t limit = UINT64_C(1) << MIN(physical_bits, 52);
	uint64_t memory_end;

	if (ram_size < MINIMUM_RAM)
		return error_fail(error, "a guest needs at least %" PRIu64 " MiB of memory",
				  MINIMUM_RAM / MIB);
	if (ram_size % (4 * KIB) != 0)
		return error_fail(error,
				  "a memory size of %" PRIu64 " bytes is no multiple of 4 KiB",
				  ram_size);

	map->low_ram_size = ram_size <= LOW_RAM_LIMIT ? ram_size : LOW_RAM_SPLIT;
	map->high_ram_size = ram_size - map->low_ram_size;
	if (map->high_ram_size > limit - MIN(limit, MEMORY_MAP_4GIB + PCI64_SIZE_MINIMUM))
		return error_fail(error,
				  "%" PRIu64 " MiB of memory do not fit %u physical address bits",
				  ram_size / MIB, physical_bits);

	map->devices_base = round_up(MEMORY_MAP_4GIB + map->high_ram_size, GIB);
	if (map->devices_base > limit || devices_size > limit - map->devices_base)
		return error_fail(error,
				  "%" PRIu64 " MiB of memory that can be added do not fit %u physical "
				  "address bits",
				  devices_size / MIB, physical_bits);
	map->devices_size = round_up(devices_size, GIB);
	memory_end = devices_size ? map->devices_base + map->devices_size
				  : MEMORY_MAP_4GIB + map->high_ram_size;
	map->memory_end = memory_end;
	map->address_limit = limit;
	/* Aligned to its own size where there is room: a BAR is aligned to its size. */
	map->pci64_size = PCI64_SIZE_WANTED;
	while (map->pci64_size > PCI64_SIZE_MINIMUM &&
	       round_up(memory_end, map->pci64_size) + map->pci64_size > limit)
		map->pci64_size /= 2;
	map->pci64_base = round_up(memory_end, map->pci64_size);
	if (map->pci64_base + map->pci64_size > limit)
		return error_fail(error,
				  "%" PRIu64 " MiB of memory leave no room for PCI devices in %u "
				  "physical address bits",
				  ram_size / MIB, physical_bits);
	return true;
}

unsigned memory_map_entries(const MemoryMap *map, MemoryMapEntry entries[MEMORY_MAP_MAX_ENTRIES])
{
	unsigned n = 0;

	entries[n++] = (MemoryMapEntry){ 0, MEMORY_MAP_BASE_RAM_END, MEMORY_MAP_RAM };
	entries[n++] = (MemoryMapEntry){ MEMORY_MAP_BASE_RAM_END,
					 640 * KIB - MEMORY_MAP_BASE_RAM_END, MEMORY_MAP_RESERVED };
	entries[n++] = (MemoryMapEntry){ ACPI_AREA_BASE, ACPI_AREA_SIZE, MEMORY_MAP_RESERVED };
	entries[n++] =
		(MemoryMapEntry){ MEMORY_MAP_HIGH_START, map->low_ram_size - MEMORY_MAP_HIGH_START,
				  MEMORY_MAP_RAM };
	entries[n++] =
		(MemoryMapEntry){ MEMORY_MAP_ECAM_BASE, MEMORY_MAP_ECAM_SIZE, MEMORY_MAP_RESERVED };
	entries[n++] =
		(MemoryMapEntry){ MEMORY_MAP_IOAPIC_BASE, MEMORY_MAP_4GIB - MEMORY_MAP_IOAPIC_BASE,
				  MEMORY_MAP_RESERVED };
	if (map->high_ram_size > 0)
		entries[n++] =
			(MemoryMapEntry){ MEMORY_MAP_4GIB, map->high_ram_size, MEMORY_MAP_RAM };
	return n;
}
