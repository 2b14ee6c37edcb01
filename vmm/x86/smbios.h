/*
 * smbios.h: the SMBIOS tables of the machine (DMTF DSP0134)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/config/smbios_config.h"
#include "vmm/config/vm_config.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/x86/memory_map.h"

/* The 64-bit entry point, by which the tables are found. */
#define SMBIOS_ANCHOR_SIZE 24u

typedef struct SmbiosMachine {
	const SmbiosConfig *config;
	const CpuTopology *cpus;
	const MemoryMap *map;
	const uint8_t *uuid; /* 16 bytes in the order they are written; NULL: none */
	bool has_bios;	     /* firmware describes itself (type 0) */
} SmbiosMachine;

/* All structures, types 0 (see has_bios), 1 to 4, 11, 16, 17, 19, 32 and 127. Any thread. */
GByteArray *smbios_build(const SmbiosMachine *machine);

/* Fill in @anchor for @size bytes of structures at guest-physical @address. Any thread. */
void smbios_make_anchor(uint8_t anchor[SMBIOS_ANCHOR_SIZE], uint64_t address, uint32_t size);

/*
 * Put anchor and structures as high up in the last 64 KiB below 1 MiB as they fit, where an
 * operating system looks for them without firmware; *@start is where they begin. False and @error
 * when they do not fit. Main thread.
 */
bool smbios_place(const SmbiosMachine *machine, GuestMemory *memory, uint64_t *start,
		  GError **error);
