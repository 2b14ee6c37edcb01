/*
 * processor.c: a vCPU that is plugged in
 *
 * Those that a machine has from the start are no devices; what query-hotpluggable-cpus lists as an
 * empty place is filled with one of these.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/x86/cpuid.h"

typedef struct Processor {
	Device device;
	uint32_t socket, die, core, thread;
	uint32_t node; /* NUMA_NO_NODE: whichever it is */
} Processor;

bool processor_index(const Device *device, const CpuTopology *topology, unsigned *index,
		     GError **error)
{
	const Processor *processor = (const Processor *)device;
	const struct {
		const char *name;
		uint32_t value, limit;
	} levels[] = {
		{ "socket-id", processor->socket, topology->sockets },
		{ "die-id", processor->die, topology->dies },
		{ "core-id", processor->core, topology->cores },
		{ "thread-id", processor->thread, topology->threads },
	};
	const CpuPlace place = { processor->socket, processor->die, processor->core,
				 processor->thread };

	for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
		if (levels[i].value >= levels[i].limit)
			return error_fail(error, "%s %u: there are %u, counted from 0",
					  levels[i].name, levels[i].value, levels[i].limit);
	}
	*index = cpu_index(topology, &place);
	return true;
}

static bool processor_realize(Device *device, GError **error)
{
	DeviceServices *services = device->services;
	unsigned index;

	return processor_index(device, services->cpu_topology, &index, error) &&
	       services->plug_cpu(services, index, ((Processor *)device)->node, device->path,
				  error);
}

static void processor_unrealize(Device *device)
{
	DeviceServices *services = device->services;
	unsigned index;

	if (processor_index(device, services->cpu_topology, &index, NULL))
		services->unplug_cpu(services, index);
}

#define LEVEL(text, field, what)                                                                   \
	{                                                                                          \
		.name = text, .kind = PROPERTY_UINT32, .offset = offsetof(Processor, field),       \
		.required = true, .description = what                                              \
	}
static const Property processor_properties[] = {
	LEVEL("socket-id", socket, "socket"),
	LEVEL("die-id", die, "die in the socket"),
	LEVEL("core-id", core, "core in the die"),
	LEVEL("thread-id", thread, "thread in the core"),
	{ .name = "node-id",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(Processor, node),
	  .initial = NUMA_NO_NODE,
	  .description = "NUMA node, which must be the one that -numa has it in" },
	PROPERTY_END,
};
#undef LEVEL

const DeviceType processor_type = {
	.name = "x86_64-cpu",
	.description = "vCPU in an empty place",
	.category = "CPU",
	.bus_kind = PROCESSOR_BUS_KIND,
	.instance_size = sizeof(Processor),
	.properties = { processor_properties },
	.user_creatable = true,
	.hotpluggable = true,
	.realize = processor_realize,
	.unrealize = processor_unrealize,
};
