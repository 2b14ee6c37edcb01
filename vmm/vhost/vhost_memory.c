/*
 * vhost_memory.c: guest RAM as vhost is told of it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/vhost/vhost.h"

#include <inttypes.h>

#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/memory/guest_memory.h"

static bool add_region(VhostMemory *table, const GuestMemoryRegion *region, bool shared,
		       GError **error)
{
	bool passable = region->shared && region->fd >= 0;

	if (region->read_only)
		return true;
	if (shared && !passable)
		return error_fail(error,
				  "RAM at 0x%" PRIx64 " cannot be shared with another process: it "
				  "needs a memory backend with a file or memfd and share=on",
				  region->gpa);
	if (table->n_regions == VHOST_REGIONS_MAX)
		return error_fail(error, "RAM has more than %u parts", VHOST_REGIONS_MAX);
	table->regions[table->n_regions++] = (VhostRegion){
		.gpa = region->gpa,
		.size = region->size,
		.hva = (uint64_t)(uintptr_t)region->hva,
		.fd = passable ? region->fd : -1,
		.offset = region->offset,
		.serial = region->serial,
	};
	return true;
}

bool vhost_memory_describe(VhostMemory *table, const GuestMemory *memory, bool shared,
			   GError **error)
{
	const GuestMemoryRegion *regions;
	size_t n_regions;
	bool good = true;

	table->log = (VhostLog){ .fd = -1 };
	table->n_regions = 0;
	rcu_read_lock();
	regions = guest_memory_regions(memory, &n_regions);
	for (size_t i = 0; i < n_regions && good; i++)
		good = add_region(table, &regions[i], shared, error);
	rcu_read_unlock();
	return good;
}
