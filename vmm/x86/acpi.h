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
	bool cpu_hotplug; /* vCPUs come and go, by cpu_hotplug_type's registers */
	/* NUMA: what is where (0: there are no nodes), and how far from one node to another. */
	const AcpiMemory *memory;
	unsigned n_memory;
	unsigned n_nodes;
	const uint8_t *distances; /* n_nodes rows of n_nodes; NULL: not known */
	/* ACPI_INFO_COM1 to 4, ACPI_INFO_PVPANIC, ..._PS2, ..._VMGENID, ..._TPM: which exist. */
	uint32_t devices;
	uint16_t pvpanic_port; /* with ACPI_INFO_PVPANIC */
	uint64_t area_end; /* guest-physical: acpi_build()'s tables end before that; 0: no matter */
} AcpiConfig;

/* What firmware needs to put the tables where it likes: files of fw_cfg. */
typedef struct AcpiFiles {
	GByteArray *tables; /* ACPI_FILE_TABLES */
	GByteArray *rsdp;   /* ACPI_FILE_RSDP */
	GByteArray *info;   /* ACPI_FILE_INFO */
	GByteArray *loader; /* ACPI_FILE_LOADER: the commands that tell it how */
	size_t mcfg;	    /* offset of that table in tables */
	bool tpm_log;	    /* there is ACPI_FILE_TPM_LOG: ACPI_TPM_LOG_SIZE zeroes */
	uint64_t low_ram_end; /* guest-physical: no BAR goes below that */
} AcpiFiles;

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP	 "etc/acpi/rsdp"
#define ACPI_FILE_INFO	 "etc/acpi/info"
#define ACPI_FILE_LOADER "etc/table-loader"

/* Where a BIOS writes down what it measures; UEFI has a log of its own. */
#define ACPI_FILE_TPM_LOG "etc/tpm/log"
#define ACPI_TPM_LOG_SIZE 0x10000u
/* Where the memory at ACPI_TPM_PPI_BASE is, for firmware that carries out what is left there. */
#define ACPI_FILE_TPM_CONFIG "etc/tpm/config"

/*
 * Build all tables and put them into the ACPI area of @memory; *@rsdp is the guest-physical
 * address of the root pointer. False and @error when they do not fit or the area is no RAM. Main
 * thread.
 */
bool acpi_build(const AcpiConfig *config, GuestMemory *memory, uint64_t *rsdp, GError **error);

/*
 * Build all tables as files. Their sizes depend on what exists alone, not on addresses. @files is
 * zeroed before, and freed by acpi_files_clear() also after a failure. False and @error when there
 * is too much. Any thread.
 */
bool acpi_build_files(const AcpiConfig *config, AcpiFiles *files, GError **error);
void acpi_files_clear(AcpiFiles *files);
/* Firmware has put ECAM at @ecam_base, below 4 GiB: make @files say that, and what follows from it. */
void acpi_files_move_ecam(AcpiFiles *files, uint64_t ecam_base);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AcpiFiles, acpi_files_clear)
