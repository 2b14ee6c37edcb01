/*
 * machine_memory.c: the guest's RAM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/error.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/memory/memory_backend.h"
#include "vmm/x86/cpuid.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#define DEFAULT_MEMORY_SIZE (UINT64_C(128) << 20)

/* The backend called @id, from now on RAM; @option is what names it. */
static MemoryBackend *take_backend(Machine *machine, const char *option, const char *id,
				   GError **error)
{
	MachineObject *object = machine_objects_find(machine->objects, id);
	MemoryBackend *backend = object ? machine_object_memory_backend(object) : NULL;

	if (!backend) {
		error_fail(error, "%s=%s: there is no memory backend of that name", option, id);
		return NULL;
	}
	if (object->is_ram) {
		error_fail(error, "%s=%s: the memory backend is in use", option, id);
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
		.dump = machine->config->dump_guest_core,
		.merge = machine->config->memory_merge,
	};

	machine->own_memory = memory_backend_new(&config, error);
	if (!machine->own_memory)
		g_prefix_error(error, "-m: ");
	return machine->own_memory;
}

/* The backends RAM is made of, in ascending order; NULL and @error. */
static GPtrArray *find_backends(Machine *machine, GError **error)
{
	const VmConfig *config = machine->config;
	g_autoptr(GPtrArray) backends = g_ptr_array_new();
	MemoryBackend *backend;

	if (config->numa) {
		for (unsigned i = 0; i < config->numa->n_nodes; i++) {
			const char *memdev = config->numa->nodes[i].memdev;

			backend = memdev ? take_backend(machine, "-numa node,memdev", memdev, error)
					 : NULL;
			if (memdev && !backend)
				return NULL;
			g_ptr_array_add(backends, backend);
		}
		return g_steal_pointer(&backends);
	}
	backend = config->memory_backend
			  ? take_backend(machine, "-machine memory-backend",
					 config->memory_backend, error)
			  : make_own_backend(machine, error);
	if (!backend)
		return NULL;
	g_ptr_array_add(backends, backend);
	return g_steal_pointer(&backends);
}

/* The bytes of all @backends, which must be what -m says, if that says anything; 0 and @error. */
static uint64_t total_size(const Machine *machine, const GPtrArray *backends, GError **error)
{
	uint64_t wanted = machine->config->memory_size, total = 0;

	for (unsigned i = 0; i < backends->len; i++) {
		const MemoryBackend *backend = backends->pdata[i];

		if (backend && __builtin_add_overflow(total, backend->config.size, &total)) {
			error_fail(error, "-numa: the memory backends are too large");
			return 0;
		}
	}
	if (!wanted || wanted == total)
		return total;
	if (machine->config->numa)
		error_fail(error, "-m: %" PRIu64 " MiB, but the nodes have %" PRIu64 " MiB",
			   wanted >> 20, total >> 20);
	else
		error_fail(error, "-m: %" PRIu64 " MiB, but memory backend '%s' has %" PRIu64 " MiB",
			   wanted >> 20, machine->config->memory_backend, total >> 20);
	return 0;
}

static bool add_range(Machine *machine, const MemoryBackend *backend, unsigned node, uint64_t gpa,
		      uint64_t offset, uint64_t size, GError **error)
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
	const AcpiMemory range = { .address = gpa, .size = size, .node = node };

	if (size == 0)
		return true;
	g_array_append_val(machine->ranges, range);
	return guest_memory_add(machine->memory, &region, error);
}

/* Put @backends one after the other into low and high RAM. */
static bool place_backends(Machine *machine, const GPtrArray *backends, GError **error)
{
	uint64_t low = machine->map.low_ram_size, at = 0;

	for (unsigned i = 0; i < backends->len; i++) {
		const MemoryBackend *backend = backends->pdata[i];
		uint64_t size = backend ? backend->config.size : 0;
		uint64_t below = at < low ? MIN(size, low - at) : 0;

		if (!backend)
			continue;
		if (!add_range(machine, backend, i, at, 0, below, error) ||
		    !add_range(machine, backend, i, MEMORY_MAP_4GIB + at + below - low, below,
			       size - below, error))
			return false;
		at += size;
	}
	return true;
}

static bool create_memory(Machine *machine, const GPtrArray *backends, GError **error)
{
	const struct kvm_cpuid2 *cpuid = kvm_supported_cpuid(machine->kvm, error);
	uint64_t size = cpuid ? total_size(machine, backends, error) : 0;
	uint64_t maximum = machine->config->memory_maximum;

	if (size == 0)
		return false;
	if (maximum && maximum < size)
		return error_fail(error, "-m: maxmem is less than the memory there is");
	if (!memory_map_init(&machine->map, size, maximum ? maximum - size : 0,
			     cpuid_physical_bits(cpuid), error)) {
		g_prefix_error(error, "-m: ");
		return false;
	}
	dirty_log_set_limit(machine->memory, machine->map.memory_end);
	return place_backends(machine, backends, error) &&
	       kvm_set_memory(machine->kvm, machine->memory, error);
}

bool machine_create_memory(Machine *machine, GError **error)
{
	g_autoptr(GPtrArray) backends = NULL;

	machine->ranges = g_array_new(FALSE, FALSE, sizeof(AcpiMemory));
	backends = find_backends(machine, error);
	return backends && create_memory(machine, backends, error);
}

bool machine_lock_memory(Machine *machine, GError **error)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		return error_fail_errno(error, errno,
					"-overcommit mem-lock=on: cannot lock memory");
	guest_memory_keep(machine->memory);
	return true;
}

void machine_free_memory(Machine *machine)
{
	g_clear_pointer(&machine->own_memory, memory_backend_free);
	g_clear_pointer(&machine->ranges, g_array_unref);
	g_clear_pointer(&machine->plugged_memory, g_array_unref);
}
