/*
 * acpi_numa.h: the ACPI tables that say what is in which NUMA node
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/x86/acpi.h"

/*
 * Append to the empty @table all of the SRAT (§5.2.16) or the SLIT (§5.2.17) of @config, their
 * headers left blank. @config has nodes, and distances for the SLIT. Any thread.
 */
void acpi_append_srat(GByteArray *table, const AcpiConfig *config);
void acpi_append_slit(GByteArray *table, const AcpiConfig *config);
