/*
 * acpi_numa.c: the ACPI tables that say what is in which NUMA node
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/acpi_numa.h"

#include "vmm/x86/acpi_tables.h"

static void append_cpu(GByteArray *srat, const AcpiCpu *cpu, unsigned index)
{
	/* The same form as in the MADT: ids that fit 8 bits are told the old way. */
	if (cpu->apic_id < 0xff && index < 0xff) {
		const AcpiSratApic entry = {
			.type = 0,
			.length = sizeof(entry),
			.node_0 = (uint8_t)cpu->node,
			.apic_id = (uint8_t)cpu->apic_id,
			.flags = ACPI_SRAT_ENABLED,
			.node_8 = { (uint8_t)(cpu->node >> 8), (uint8_t)(cpu->node >> 16),
				    (uint8_t)(cpu->node >> 24) },
		};

		g_byte_array_append(srat, (const guint8 *)&entry, sizeof(entry));
	} else {
		const AcpiSratX2apic entry = {
			.type = 2,
			.length = sizeof(entry),
			.node = cpu->node,
			.x2apic_id = cpu->apic_id,
			.flags = ACPI_SRAT_ENABLED,
		};

		g_byte_array_append(srat, (const guint8 *)&entry, sizeof(entry));
	}
}

void acpi_append_srat(GByteArray *table, const AcpiConfig *config)
{
	const AcpiSrat head = { .reserved0 = 1 };

	g_byte_array_append(table, (const guint8 *)&head, sizeof(head));
	for (unsigned i = 0; i < config->n_cpus; i++)
		append_cpu(table, &config->cpus[i], i);
	for (unsigned i = 0; i < config->n_memory; i++) {
		const AcpiMemory *memory = &config->memory[i];
		const AcpiSratMemory entry = {
			.type = 1,
			.length = sizeof(entry),
			.node = memory->node,
			.address = memory->address,
			.size = memory->size,
			.flags = ACPI_SRAT_ENABLED |
				 (memory->hotpluggable ? ACPI_SRAT_HOTPLUGGABLE : 0),
		};

		g_byte_array_append(table, (const guint8 *)&entry, sizeof(entry));
	}
}

void acpi_append_slit(GByteArray *table, const AcpiConfig *config)
{
	const AcpiSlit head = { .n_nodes = config->n_nodes };

	g_byte_array_append(table, (const guint8 *)&head, sizeof(head));
	g_byte_array_append(table, config->distances, config->n_nodes * config->n_nodes);
}
