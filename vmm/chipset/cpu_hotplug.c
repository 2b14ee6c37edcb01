/*
 * cpu_hotplug.c: the register block by which vCPUs come and go
 *
 * What firmware and guests know from QEMU (its docs/specs/acpi_cpu_hotplug, the "modern" form): a
 * selector says which vCPU the flags, control bits and commands are about. The tables that drive it
 * are acpi/cpus-gen's. Plugging sets a flag and raises GPE 2; the guest looks which vCPU it is, and
 * acknowledges. Of a removal it is told in the same way, and it ejects the vCPU when it has let go.
 *
 * The block owns the bus that vCPUs are plugged into (processor.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"
#include "vmm/x86/acpi_layout.h"
#include "vmm/x86/cpuid.h"

enum {
	REG_SELECTOR = 0, /* write: 32 bits; read: the high half of command data */
	REG_FLAGS = 4,	  /* read: flags; write: control */
	REG_COMMAND = 5,  /* write */
	REG_DATA = 8,	  /* 32 bits */
};

enum {
	FLAG_ENABLED = 0x01,
	FLAG_INSERTING = 0x02,
	FLAG_REMOVING = 0x04,
	CONTROL_EJECT = 0x08,
};

enum {
	COMMAND_NEXT_EVENT = 0, /* select the next vCPU with an event */
	COMMAND_OST_EVENT = 1,	/* data is of _OST what it is about */
	COMMAND_OST_STATUS = 2, /* and how it went */
	COMMAND_ID = 3,		/* data is the APIC id */
};

/* ACPI §6.3.5, _OST: what the status is about, and the statuses of a removal that goes on. */
enum {
	OST_EJECT_REQUEST = 0x03,
	OST_OSPM_EJECT = 0x103,
	OST_SUCCESS = 0,
	OST_EJECT_PENDING = 0x84,
};

typedef struct CpuPort {
	Device *device; /* NULL: nothing, or a vCPU that was there from the start */
	uint8_t flags;
} CpuPort;

typedef struct CpuHotplug {
	Device device;
	Bus bus;
	IoRegion region;
	Device *acpi_pm;
	const CpuTopology *topology;

	/* Under device.lock. */
	CpuPort ports[MACHINE_MAX_CPUS];
	uint32_t selector;
	uint8_t command;
	uint32_t ost_event;
} CpuHotplug;

static CpuHotplug *cpu_hotplug_of_bus(Bus *bus)
{
	return (CpuHotplug *)bus->parent;
}

/* NULL for what the guest has selected beyond the last one. */
static CpuPort *selected_port(CpuHotplug *hotplug)
{
	return hotplug->selector < hotplug->topology->max_cpus ? &hotplug->ports[hotplug->selector]
							       : NULL;
}

/* From the selected one on, and around; without any event the selection stays. */
static void select_next_event(CpuHotplug *hotplug)
{
	unsigned n = hotplug->topology->max_cpus;

	for (unsigned i = 0; i < n; i++) {
		uint32_t index = (uint32_t)(((uint64_t)hotplug->selector + i) % n);

		if (hotplug->ports[index].flags & (FLAG_INSERTING | FLAG_REMOVING)) {
			hotplug->selector = index;
			return;
		}
	}
}

static uint32_t command_data(const CpuHotplug *hotplug)
{
	switch (hotplug->command) {
	case COMMAND_NEXT_EVENT:
		return hotplug->selector;
	case COMMAND_ID:
		return cpu_apic_id(hotplug->topology, hotplug->selector);
	default:
		return 0;
	}
}

static uint64_t cpu_hotplug_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	CpuHotplug *hotplug = opaque;
	const CpuPort *port;
	uint64_t value = 0;

	g_mutex_lock(&hotplug->device.lock);
	port = selected_port(hotplug);
	if (port && offset == REG_FLAGS)
		value = port->flags;
	else if (port && offset == REG_DATA)
		value = command_data(hotplug);
	g_mutex_unlock(&hotplug->device.lock);
	return value;
}

static void write_control(CpuPort *port, uint8_t value)
{
	Device *device = port->device;

	port->flags &= (uint8_t) ~(value & (FLAG_INSERTING | FLAG_REMOVING));
	/* A guest that drops what nobody asked for has it again at its next start. */
	if ((value & CONTROL_EJECT) && device && device->unplug_requested)
		device_tree_post_remove(device->tree, device);
}

static void report_status(CpuHotplug *hotplug, const CpuPort *port, uint32_t status)
{
	Device *device = port->device;
	g_autofree char *slot = g_strdup_printf("%u", hotplug->selector);
	QapiACPIOSTInfo info = {
		.device = device ? device->id : NULL,
		.slot = slot,
		.slot_type = QAPI_ACPI_SLOT_TYPE_CPU,
		.source = hotplug->ost_event,
		.status = status,
	};
	bool about_removal = hotplug->ost_event == OST_EJECT_REQUEST ||
			     hotplug->ost_event == OST_OSPM_EJECT;

	qapi_event_acpi_device_ost(hotplug->device.services->events, &info);
	if (device && device->unplug_requested && about_removal && status != OST_SUCCESS &&
	    status != OST_EJECT_PENDING)
		device_tree_post_unplug_refused(device->tree, device);
}

static void write_data(CpuHotplug *hotplug, const CpuPort *port, uint32_t value)
{
	if (hotplug->command == COMMAND_OST_EVENT)
		hotplug->ost_event = value;
	else if (hotplug->command == COMMAND_OST_STATUS)
		report_status(hotplug, port, value);
}

static void cpu_hotplug_write(void *opaque, uint64_t offset, uint64_t value,
			      G_GNUC_UNUSED unsigned size)
{
	CpuHotplug *hotplug = opaque;
	CpuPort *port;

	g_mutex_lock(&hotplug->device.lock);
	if (offset == REG_SELECTOR)
		hotplug->selector = (uint32_t)value;
	port = selected_port(hotplug);
	if (port && offset == REG_FLAGS) {
		write_control(port, (uint8_t)value);
	} else if (port && offset == REG_COMMAND) {
		hotplug->command = (uint8_t)value;
		if (hotplug->command == COMMAND_NEXT_EVENT)
			select_next_event(hotplug);
	} else if (port && offset == REG_DATA) {
		write_data(hotplug, port, (uint32_t)value);
	}
	g_mutex_unlock(&hotplug->device.lock);
}

static const IoRegionOps cpu_hotplug_ops = {
	.read = cpu_hotplug_read,
	.write = cpu_hotplug_write,
	.maximum_size = 4,
};

static bool bus_claim(Bus *bus, Device *device, GError **error)
{
	CpuHotplug *hotplug = cpu_hotplug_of_bus(bus);
	unsigned index;
	bool taken;

	if (!processor_index(device, hotplug->topology, &index, error))
		return false;
	g_mutex_lock(&hotplug->device.lock);
	taken = hotplug->ports[index].device || (hotplug->ports[index].flags & FLAG_ENABLED);
	if (!taken)
		hotplug->ports[index].device = device;
	g_mutex_unlock(&hotplug->device.lock);
	return !taken || error_fail(error, "CPU %u is plugged in already", index);
}

static CpuPort *port_of(CpuHotplug *hotplug, Device *device)
{
	unsigned index = 0;

	processor_index(device, hotplug->topology, &index, NULL);
	return &hotplug->ports[index];
}

static void bus_release(Bus *bus, Device *device)
{
	CpuHotplug *hotplug = cpu_hotplug_of_bus(bus);

	g_mutex_lock(&hotplug->device.lock);
	port_of(hotplug, device)->device = NULL;
	g_mutex_unlock(&hotplug->device.lock);
}

static void notify_guest(CpuHotplug *hotplug)
{
	acpi_pm_raise_gpe(hotplug->acpi_pm, ACPI_CPU_GPE);
}

static void bus_plugged(Bus *bus, Device *device)
{
	CpuHotplug *hotplug = cpu_hotplug_of_bus(bus);

	g_mutex_lock(&hotplug->device.lock);
	port_of(hotplug, device)->flags = FLAG_ENABLED | (device->hotplugged ? FLAG_INSERTING : 0);
	g_mutex_unlock(&hotplug->device.lock);
	if (device->hotplugged)
		notify_guest(hotplug);
}

static void bus_unplugged(Bus *bus, Device *device)
{
	CpuHotplug *hotplug = cpu_hotplug_of_bus(bus);

	g_mutex_lock(&hotplug->device.lock);
	port_of(hotplug, device)->flags = 0;
	g_mutex_unlock(&hotplug->device.lock);
}

static bool bus_request_unplug(Bus *bus, Device *device, G_GNUC_UNUSED GError **error)
{
	CpuHotplug *hotplug = cpu_hotplug_of_bus(bus);

	g_mutex_lock(&hotplug->device.lock);
	port_of(hotplug, device)->flags |= FLAG_REMOVING;
	g_mutex_unlock(&hotplug->device.lock);
	notify_guest(hotplug);
	return true;
}

static const BusOps cpu_bus_ops = {
	.claim = bus_claim,
	.release = bus_release,
	.plugged = bus_plugged,
	.unplugged = bus_unplugged,
	.request_unplug = bus_request_unplug,
};

/* The tables that a guest starts with have all that is there: nothing is news. */
static void cpu_hotplug_reset(Device *device)
{
	CpuHotplug *hotplug = (CpuHotplug *)device;

	g_mutex_lock(&device->lock);
	for (unsigned i = 0; i < G_N_ELEMENTS(hotplug->ports); i++)
		hotplug->ports[i].flags &= FLAG_ENABLED;
	hotplug->selector = 0;
	hotplug->command = COMMAND_NEXT_EVENT;
	hotplug->ost_event = 0;
	g_mutex_unlock(&device->lock);
}

static bool cpu_hotplug_realize(Device *device, GError **error)
{
	CpuHotplug *hotplug = (CpuHotplug *)device;

	hotplug->topology = device->services->cpu_topology;
	for (unsigned i = 0; i < hotplug->topology->cpus; i++)
		hotplug->ports[i].flags = FLAG_ENABLED;
	hotplug->region = (IoRegion){ .name = "acpi-cpu-hotplug",
				      .size = ACPI_CPU_SIZE,
				      .ops = &cpu_hotplug_ops,
				      .opaque = hotplug };
	if (!address_space_map(device->services->pio, &hotplug->region, ACPI_CPU_BASE))
		return error_fail(error, "there are no ports at 0x%x for CPU hotplug",
				  ACPI_CPU_BASE);
	bus_init(&hotplug->bus, &cpu_bus_ops, PROCESSOR_BUS_KIND, "cpu.0", device);
	hotplug->bus.hotplug = true;
	device_tree_add_bus(device->tree, &hotplug->bus);
	return true;
}

static void cpu_hotplug_unrealize(Device *device)
{
	CpuHotplug *hotplug = (CpuHotplug *)device;

	device_tree_remove_bus(device->tree, &hotplug->bus);
	bus_clear(&hotplug->bus);
	address_space_unmap(device->services->pio, &hotplug->region);
}

void cpu_hotplug_set_acpi_pm(Device *device, Device *acpi_pm)
{
	((CpuHotplug *)device)->acpi_pm = acpi_pm;
}

static const StateTable cpu_hotplug_state = {
	.name = "acpi-cpu-hotplug",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(CpuHotplug, selector, STATE_UINT32),
			STATE_FIELD(CpuHotplug, command, STATE_UINT8),
			STATE_FIELD(CpuHotplug, ost_event, STATE_UINT32),
			STATE_END,
		},
};

const DeviceType cpu_hotplug_type = {
	.name = "acpi-cpu-hotplug",
	.description = "register block for CPU hotplug",
	.category = "CPU",
	.instance_size = sizeof(CpuHotplug),
	.state = &cpu_hotplug_state,
	.realize = cpu_hotplug_realize,
	.unrealize = cpu_hotplug_unrealize,
	.reset = cpu_hotplug_reset,
};
