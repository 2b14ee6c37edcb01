/*
 * acpi.h: the ACPI tables of the machine
 *
 * The DSDT is ASL (acpi/dsdt.asl) compiled at build time; facts that are known only at run time
 * reach it through the information page that it reads. The other tables are plain structures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory/guest_memory.h"
#include "vmm/x86/acpi_layout.h"
#include "vmm/x86/memory_map.h"

typedef struct AcpiCpu {
	uint32_t apic_id;
	bool present; /* false: a place for one */
	uint32_t node; /* its NUMA node, where there are any */
} AcpiCpu;

/* A range of memory and the NUMA node it is in. */
typedef struct AcpiMemory {
	uint64_t address, size; /* bytes */
	uint32_t node;
	bool hotpluggable; /* nothing is there at start, or ever */
} AcpiMemory;

typedef struct AcpiConfig {
	const MemoryMap *map;
	const AcpiCpu *cpus; /* in order of their ACPI ids, which are their indices */
	unsigned n_cpus;
	/* NUMA: what is where (0: there are no nodes), and how far from one node to another. */
	const AcpiMemory *memory;
	unsigned n_memory;
	unsigned n_nodes;
	const uint8_t *distances; /* n_nodes rows of n_nodes; NULL: not known */
	/* ACPI_INFO_COM1 to 4 and ACPI_INFO_PVPANIC: which of these devices exist. */
	uint32_t devices;
	uint16_t pvpanic_port; /* with ACPI_INFO_PVPANIC */
} AcpiConfig;

/*
 * Build all tables and put them into the ACPI area of @memory; *@rsdp is the guest-physical
 * address of the root pointer. False and @error when they do not fit or the area is no RAM. Main
 * thread.
 */
bool acpi_build(const AcpiConfig *config, GuestMemory *memory, uint64_t *rsdp, GError **error);
