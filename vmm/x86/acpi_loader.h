/*
 * acpi_loader.h: the commands by which firmware loads ACPI tables (QEMU's "table-loader")
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/x86/acpi.h"

/*
 * files->tables holds tables as they would be at guest-physical @base, and files->rsdp the pointer
 * to their XSDT. Make every address in them relative to the file it points into, and fill in
 * files->loader with what undoes that once firmware has placed the files. False and @error where
 * the tables are not as acpi.c builds them. Any thread.
 */
bool acpi_make_loader(AcpiFiles *files, uint64_t base, GError **error);
