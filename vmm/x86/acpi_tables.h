/*
 * acpi_tables.h: layouts of the ACPI tables that are built (ACPI 6.4 §5.2)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdint.h>

/* §5.2.5.3 */
typedef struct __attribute__((packed)) AcpiRsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_address;
	uint32_t length;
	uint64_t xsdt_address;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} AcpiRsdp;

/* §5.2.6 */
typedef struct __attribute__((packed)) AcpiHeader {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} AcpiHeader;

/* Generic Address Structure, §5.2.3.2 */
typedef struct __attribute__((packed)) AcpiAddress {
	uint8_t space; /* 1: system I/O */
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size; /* 1: byte, 2: word, 3: double word */
	uint64_t address;
} AcpiAddress;

/* §5.2.10 */
typedef struct __attribute__((packed)) AcpiFacs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} AcpiFacs;

/* §5.2.9 */
typedef struct __attribute__((packed)) AcpiFadt {
	AcpiHeader header;
	uint32_t facs_address;
	uint32_t dsdt_address;
	uint8_t reserved0;
	uint8_t preferred_profile;
	uint16_t sci_interrupt;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios_request, pstate_control;
	uint32_t pm1a_event_block, pm1b_event_block;
	uint32_t pm1a_control_block, pm1b_control_block;
	uint32_t pm2_control_block, pm_timer_block;
	uint32_t gpe0_block, gpe1_block;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t gpe0_length, gpe1_length, gpe1_base, cstate_control;
	uint16_t c2_latency, c3_latency;
	uint16_t flush_size, flush_stride;
	uint8_t duty_offset, duty_width;
	uint8_t day_alarm, month_alarm, century;
	uint16_t boot_architecture;
	uint8_t reserved1;
	uint32_t flags;
	AcpiAddress reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_architecture;
	uint8_t minor_revision;
	uint64_t x_facs_address;
	uint64_t x_dsdt_address;
	AcpiAddress x_pm1a_event_block, x_pm1b_event_block;
	AcpiAddress x_pm1a_control_block, x_pm1b_control_block;
	AcpiAddress x_pm2_control_block, x_pm_timer_block;
	AcpiAddress x_gpe0_block, x_gpe1_block;
	AcpiAddress sleep_control, sleep_status;
	char hypervisor_id[8];
} AcpiFadt;
G_STATIC_ASSERT(sizeof(AcpiFadt) == 276);

/* FADT flags and boot architecture flags, §5.2.9 and §5.2.9.3 */
enum {
	ACPI_FADT_WBINVD = 1u << 0,
	ACPI_FADT_C1_SUPPORTED = 1u << 2,
	ACPI_FADT_NO_SLEEP_BUTTON = 1u << 5,
	ACPI_FADT_RTC_NOT_FIXED = 1u << 6,
	ACPI_FADT_TIMER_32_BIT = 1u << 8,
	ACPI_FADT_RESET_REGISTER = 1u << 10,

	/* MADT: of a local APIC */
	ACPI_APIC_ENABLED = 1u << 0,
	ACPI_APIC_ONLINE_CAPABLE = 1u << 1,

	ACPI_BOOT_LEGACY_DEVICES = 1u << 0,
	ACPI_BOOT_8042 = 1u << 1,
	ACPI_BOOT_NO_VGA = 1u << 2,
	ACPI_BOOT_NO_ASPM = 1u << 4,
};

/* §5.2.12 and its entries */
typedef struct __attribute__((packed)) AcpiMadt {
	AcpiHeader header;
	uint32_t local_apic_address;
	uint32_t flags; /* bit 0: there are 8259s too */
} AcpiMadt;

typedef struct __attribute__((packed)) AcpiMadtLocalApic {
	uint8_t type; /* 0 */
	uint8_t length;
	uint8_t processor_id;
	uint8_t apic_id;
	uint32_t flags; /* bit 0: enabled */
} AcpiMadtLocalApic;

typedef struct __attribute__((packed)) AcpiMadtLocalX2apic {
	uint8_t type; /* 9 */
	uint8_t length;
	uint16_t reserved;
	uint32_t x2apic_id;
	uint32_t flags;
	uint32_t processor_id;
} AcpiMadtLocalX2apic;

typedef struct __attribute__((packed)) AcpiMadtIoApic {
	uint8_t type; /* 1 */
	uint8_t length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} AcpiMadtIoApic;

typedef struct __attribute__((packed)) AcpiMadtOverride {
	uint8_t type; /* 2 */
	uint8_t length;
	uint8_t bus; /* 0: ISA */
	uint8_t source;
	uint32_t gsi;
	uint16_t flags; /* bits 0-1 polarity, 2-3 trigger mode */
} AcpiMadtOverride;

typedef struct __attribute__((packed)) AcpiMadtLocalNmi {
	uint8_t type; /* 4 */
	uint8_t length;
	uint8_t processor_id; /* 0xff: all */
	uint16_t flags;
	uint8_t lint;
} AcpiMadtLocalNmi;

typedef struct __attribute__((packed)) AcpiMadtX2apicNmi {
	uint8_t type; /* 10 */
	uint8_t length;
	uint16_t flags;
	uint32_t processor_id; /* all ones: all */
	uint8_t lint;
	uint8_t reserved[3];
} AcpiMadtX2apicNmi;

/* §5.2.16 and its entries */
typedef struct __attribute__((packed)) AcpiSrat {
	AcpiHeader header;
	uint32_t reserved0; /* 1 */
	uint64_t reserved1;
} AcpiSrat;

enum {
	ACPI_SRAT_ENABLED = 1u << 0,
	ACPI_SRAT_HOTPLUGGABLE = 1u << 1, /* memory only */
};

typedef struct __attribute__((packed)) AcpiSratApic {
	uint8_t type; /* 0 */
	uint8_t length;
	uint8_t node_0; /* bits 0 to 7 */
	uint8_t apic_id;
	uint32_t flags;
	uint8_t sapic_eid;
	uint8_t node_8[3]; /* bits 8 to 31 */
	uint32_t clock_domain;
} AcpiSratApic;
G_STATIC_ASSERT(sizeof(AcpiSratApic) == 16);

typedef struct __attribute__((packed)) AcpiSratMemory {
	uint8_t type; /* 1 */
	uint8_t length;
	uint32_t node;
	uint16_t reserved0;
	uint64_t address;
	uint64_t size;
	uint32_t reserved1;
	uint32_t flags;
	uint64_t reserved2;
} AcpiSratMemory;
G_STATIC_ASSERT(sizeof(AcpiSratMemory) == 40);

typedef struct __attribute__((packed)) AcpiSratX2apic {
	uint8_t type; /* 2 */
	uint8_t length;
	uint16_t reserved0;
	uint32_t node;
	uint32_t x2apic_id;
	uint32_t flags;
	uint32_t clock_domain;
	uint32_t reserved1;
} AcpiSratX2apic;
G_STATIC_ASSERT(sizeof(AcpiSratX2apic) == 24);

/* §5.2.17; a byte for each pair of nodes follows */
typedef struct __attribute__((packed)) AcpiSlit {
	AcpiHeader header;
	uint64_t n_nodes;
} AcpiSlit;

/* PCI Firmware Specification §4.1.2 */
typedef struct __attribute__((packed)) AcpiMcfg {
	AcpiHeader header;
	uint64_t reserved0;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved1;
} AcpiMcfg;

/* TCG ACPI Specification §7.3 */
typedef struct __attribute__((packed)) AcpiTpm2 {
	AcpiHeader header;
	uint16_t platform_class; /* 0: client */
	uint16_t reserved;
	uint64_t control_area;
	uint32_t start_method;
	uint8_t start_parameters[12];
	uint32_t log_size; /* bytes */
	uint64_t log_address;
} AcpiTpm2;
G_STATIC_ASSERT(sizeof(AcpiTpm2) == 76);

enum {
	ACPI_TPM2_START_CRB = 7,
	/* Where in the locality the control area begins: CTRL_REQ (PTP table 25). */
	ACPI_TPM_CONTROL_AREA = 0x40,
};

/* The information page: dsdt.asl's field INFO. */
typedef struct __attribute__((packed)) AcpiInfo {
	uint32_t devices; /* ACPI_INFO_* */
	/* Where a table has its length: zero, so that firmware does not take this for one. */
	uint32_t no_length;
	uint32_t pvpanic_port;
	uint32_t window32_base, window32_size;
	uint64_t window64_base, window64_size;
	uint32_t ecam_base, ecam_size;
} AcpiInfo;
