/*
 * machine_memory.c: the guest's RAM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/error.h"
#include "vmm/memory/memory_backend.h"
#include "vmm/x86/cpuid.h"

#include <inttypes.h>

#define DEFAULT_MEMORY_SIZE (UINT64_C(128) << 20)

/* The backend that -machine names; it must be what -m says, if that says anything. */
static MemoryBackend *find_named_backend(Machine *machine, GError **error)
{
	const VmConfig *config = machine->config;
	MachineObject *object = machine_objects_find(machine->objects, config->memory_backend);
	MemoryBackend *backend = object ? machine_object_memory_backend(object) : NULL;

	if (!backend) {
		error_fail(error, "-machine memory-backend=%s: there is no memory backend of that name",
			   config->memory_backend);
		return NULL;
	}
	if (config->memory_size && config->memory_size != backend->config.size) {
		error_fail(error,
			   "-m: %" PRIu64 " MiB, but memory backend '%s' has %" PRIu64 " MiB",
			   config->memory_size >> 20, config->memory_backend,
			   backend->config.size >> 20);
		return NULL;
	}
	object->is_ram = true;
	return backend;
}

static MemoryBackend *make_own_backend(Machine *machine, GError **error)
{
	char id[] = "pc.ram";
	MemoryBackendConfig config = {
		.kind = MEMORY_BACKEND_RAM,
		.id = id,
		.size = machine->config->memory_size ? machine->config->memory_size
						     : DEFAULT_MEMORY_SIZE,
		.dump = true,
	};

	machine->own_memory = memory_backend_new(&config, error);
	if (!machine->own_memory)
		g_prefix_error(error, "-m: ");
	return machine->own_memory;
}

static bool add_ram(Machine *machine, const MemoryBackend *backend, uint64_t gpa, uint64_t offset,
		    uint64_t size, GError **error)
{
	GuestMemoryRegion region = {
		.gpa = gpa,
		.size = size,
		.hva = backend->hva + offset,
		.fd = backend->fd,
		.offset = offset,
		.read_only = backend->config.read_only,
		.shared = backend->config.share,
		.page_size = backend->page_size,
	};

	return size == 0 || guest_memory_add(machine->memory, &region, error);
}

bool machine_create_memory(Machine *machine, GError **error)
{
	const struct kvm_cpuid2 *cpuid = kvm_supported_cpuid(machine->kvm, error);
	const MemoryMap *map = &machine->map;
	MemoryBackend *backend;

	if (!cpuid)
		return false;
	backend = machine->config->memory_backend ? find_named_backend(machine, error)
						  : make_own_backend(machine, error);
	if (!backend)
		return false;
	if (!memory_map_init(&machine->map, backend->config.size, cpuid_physical_bits(cpuid),
			     error)) {
		g_prefix_error(error, "-m: ");
		return false;
	}
	return add_ram(machine, backend, 0, 0, map->low_ram_size, error) &&
	       add_ram(machine, backend, MEMORY_MAP_4GIB, map->low_ram_size, map->high_ram_size,
		       error) &&
	       kvm_set_memory(machine->kvm, machine->memory, error);
}

void machine_free_memory(Machine *machine)
{
	g_clear_pointer(&machine->own_memory, memory_backend_free);
}
