/*
 * machine_memory_device.c: memory that devices bring (virtio-mem)
 *
 * It lies in a part of the address space of its own (memory_map.h), whose size -m maxmem says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/error.h"
#include "vmm/memory/memory_backend.h"

#include <inttypes.h>

typedef struct PluggedMemory {
	uint64_t gpa, size; /* bytes */
	uint32_t slot;	    /* KVM's */
} PluggedMemory;

static Machine *machine_of(DeviceServices *services)
{
	return (Machine *)services;
}

MemoryBackend *machine_claim_memory(DeviceServices *services, const char *id, GError **error)
{
	MachineObject *object = machine_objects_find(machine_of(services)->objects, id);
	MemoryBackend *backend = object ? machine_object_memory_backend(object) : NULL;

	if (!backend) {
		error_fail(error, "there is no memory backend '%s'", id);
		return NULL;
	}
	if (object->is_ram) {
		error_fail(error, "memory backend '%s' is in use", id);
		return NULL;
	}
	object->is_ram = true;
	return backend;
}

void machine_release_memory(DeviceServices *services, const char *id)
{
	MachineObject *object = machine_objects_find(machine_of(services)->objects, id);

	if (object)
		object->is_ram = false;
}

/* Whether one more of @size bytes is within what -m says; false and @error. */
static bool check_limits(const Machine *machine, const GArray *plugged, uint64_t size,
			 GError **error)
{
	const VmConfig *config = machine->config;
	uint64_t room = machine->map.devices_size;

	if (room == 0)
		return error_fail(error, "memory devices are not enabled: -m has no maxmem");
	if (config->memory_slots > 0 && plugged->len >= config->memory_slots)
		return error_fail(error, "all %u memory slots of -m are in use",
				  config->memory_slots);
	/* The range is rounded up; the limit is not. */
	room = config->memory_maximum - guest_memory_size(machine->memory);
	for (unsigned i = 0; i < plugged->len; i++)
		room -= g_array_index(plugged, PluggedMemory, i).size;
	return size <= room ||
	       error_fail(error,
			  "%" PRIu64 " MiB are more than the %" PRIu64 " MiB that -m maxmem leaves",
			  size >> 20, room >> 20);
}

/* The plugged memory that overlaps [@gpa, @gpa + @size), or NULL. */
static const PluggedMemory *find_overlap(const GArray *plugged, uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < plugged->len; i++) {
		const PluggedMemory *other = &g_array_index(plugged, PluggedMemory, i);

		if (gpa < other->gpa + other->size && other->gpa < gpa + size)
			return other;
	}
	return NULL;
}

/* The lowest place for @size bytes, or what *@gpa asks for; false and @error. */
static bool find_place(const Machine *machine, const GArray *plugged, uint64_t size,
		       uint64_t alignment, uint64_t *gpa, GError **error)
{
	uint64_t base = machine->map.devices_base, end = base + machine->map.devices_size;
	uint64_t at = *gpa ? *gpa : base;
	const PluggedMemory *other;

	if (at < base || at > end || size > end - at)
		return error_fail(error,
				  "0x%" PRIx64 " is outside the range of memory devices, 0x%" PRIx64
				  " to 0x%" PRIx64,
				  at, base, end);
	while ((other = find_overlap(plugged, at, size)) != NULL) {
		if (*gpa)
			return error_fail(error, "there is memory at 0x%" PRIx64 " already",
					  other->gpa);
		at = (other->gpa + other->size + alignment - 1) & ~(alignment - 1);
		if (at > end || size > end - at)
			return error_fail(error, "no %" PRIu64 " MiB are left in one piece",
					  size >> 20);
	}
	*gpa = at;
	return true;
}

/* Add what has its place to the guest's memory. */
static bool add(Machine *machine, const MemoryBackend *backend, PluggedMemory *plugged,
		GError **error)
{
	const GuestMemoryRegion region = {
		.gpa = plugged->gpa,
		.size = plugged->size,
		.hva = backend->hva,
		.fd = backend->fd,
		.shared = backend->config.share,
		.page_size = backend->page_size,
		.is_device = true,
	};

	if (!guest_memory_add(machine->memory, &region, error))
		return false;
	if (kvm_add_memory(machine->kvm, &region, &plugged->slot, error))
		return true;
	guest_memory_remove(machine->memory, plugged->gpa);
	return false;
}

bool machine_plug_memory(DeviceServices *services, const MemoryBackend *backend,
			 uint64_t alignment, uint64_t *gpa, GError **error)
{
	Machine *machine = machine_of(services);
	PluggedMemory plugged = { .size = backend->config.size };
	bool was_running = machine->cpus_may_run;
	bool done;

	if (!machine->plugged_memory)
		machine->plugged_memory = g_array_new(FALSE, FALSE, sizeof(PluggedMemory));
	if (backend->config.read_only)
		return error_fail(error, "memory backend '%s' is read-only", backend->config.id);
	if (!check_limits(machine, machine->plugged_memory, plugged.size, error) ||
	    !find_place(machine, machine->plugged_memory, plugged.size, alignment, gpa, error))
		return false;
	plugged.gpa = *gpa;
	/* Who keeps a table of the guest's memory (vhost) makes it anew when it starts again. */
	machine_quiesce(machine);
	done = add(machine, backend, &plugged, error);
	if (was_running)
		machine_unquiesce(machine);
	if (done)
		g_array_append_val(machine->plugged_memory, plugged);
	return done;
}

void machine_unplug_memory(DeviceServices *services, uint64_t gpa)
{
	Machine *machine = machine_of(services);
	bool was_running = machine->cpus_may_run;

	for (unsigned i = 0; i < machine->plugged_memory->len; i++) {
		const PluggedMemory plugged =
			g_array_index(machine->plugged_memory, PluggedMemory, i);

		if (plugged.gpa != gpa)
			continue;
		/* Rings and requests may be in it, whatever the driver said: all let go of it. */
		machine_quiesce(machine);
		guest_memory_remove(machine->memory, gpa);
		kvm_remove_memory(machine->kvm, plugged.slot);
		if (was_running)
			machine_unquiesce(machine);
		g_array_remove_index_fast(machine->plugged_memory, i);
		return;
	}
}
