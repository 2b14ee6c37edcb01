/*
 * acpi_layout.h: the addresses that the DSDT and the monitor must agree on
 *
 * Read by the C compiler and by iasl's preprocessor: nothing but plain numbers here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef VIREO_ACPI_LAYOUT_H
#define VIREO_ACPI_LAYOUT_H

/* Guest-physical memory of the tables: the information page, then the tables. Bytes. */
#define ACPI_AREA_BASE 0xe0000
#define ACPI_AREA_SIZE 0x20000
#define ACPI_INFO_BASE 0xe0000
#define ACPI_INFO_SIZE 0x1000

/* I/O ports of ICH9 power management (its PMBASE, as firmware sets it up). */
#define ACPI_PM_BASE 0x600
#define ACPI_PM_SIZE 0x80

/* I/O ports of the block for CPU hotplug, and the event it raises. */
#define ACPI_CPU_BASE 0xcd8
#define ACPI_CPU_SIZE 12
#define ACPI_CPU_GPE  2

/* Bits of the information page's field FLAG. */
#define ACPI_INFO_COM1	  0x1
#define ACPI_INFO_COM2	  0x2
#define ACPI_INFO_COM3	  0x4
#define ACPI_INFO_COM4	  0x8
#define ACPI_INFO_PVPANIC 0x10
#define ACPI_INFO_PS2	  0x20
#define ACPI_INFO_VMGENID 0x40
#define ACPI_INFO_TPM	  0x80

/* The page of the guest's generation: among the chipset's own, where no BAR goes. */
#define ACPI_GENERATION_BASE 0xfed50000
#define ACPI_GENERATION_SIZE 0x1000

/* Locality 0 of the TPM, where PC firmware looks for it. */
#define ACPI_TPM_BASE 0xfed40000
#define ACPI_TPM_SIZE 0x1000

/* Where system and firmware leave each other word of the TPM (TCG Physical Presence Interface). */
#define ACPI_TPM_PPI_BASE 0xfed45000
#define ACPI_TPM_PPI_SIZE 0x400

#endif
