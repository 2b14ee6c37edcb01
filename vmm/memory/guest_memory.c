/*
 * guest_memory.c: guest RAM as the guest sees it, and the one place where it is accessed
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/memory/guest_memory.h"
#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/memory/guest_memory_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

GuestMemory *guest_memory_new(void)
{
	GuestMemory *memory = g_new0(GuestMemory, 1);

	memory->table = g_malloc0(sizeof(GuestMemoryTable));
	g_mutex_init(&memory->dirty.lock);
	return memory;
}

void guest_memory_free(GuestMemory *memory)
{
	if (!memory)
		return;
	rcu_synchronize();
	g_slist_free(memory->listeners);
	g_mutex_clear(&memory->dirty.lock);
	g_free(memory->table);
	g_free(memory);
}

void guest_memory_add_listener(GuestMemory *memory, GuestMemoryListener *listener)
{
	memory->listeners = g_slist_prepend(memory->listeners, listener);
}

void guest_memory_remove_listener(GuestMemory *memory, GuestMemoryListener *listener)
{
	memory->listeners = g_slist_remove(memory->listeners, listener);
}

static void tell_listeners(const GuestMemory *memory)
{
	for (GSList *link = memory->listeners; link; link = link->next) {
		const GuestMemoryListener *listener = link->data;

		if (listener->changed)
			listener->changed(listener->opaque);
	}
}

bool guest_memory_tell_logging(GuestMemory *memory, bool logging, GError **error)
{
	for (GSList *link = memory->listeners; link; link = link->next) {
		const GuestMemoryListener *listener = link->data;

		if (!listener->set_logging ||
		    listener->set_logging(listener->opaque, logging, error) || !logging)
			continue;
		for (GSList *told = memory->listeners; told != link; told = told->next) {
			const GuestMemoryListener *other = told->data;

			if (other->set_logging)
				other->set_logging(other->opaque, false, NULL);
		}
		return false;
	}
	return true;
}

bool guest_memory_add(GuestMemory *memory, const GuestMemoryRegion *region, GError **error)
{
	GuestMemoryTable *old = memory->table;
	GuestMemoryTable *table;
	uint64_t last;
	size_t place = 0;

	if (region->size == 0 || __builtin_add_overflow(region->gpa, region->size - 1, &last))
		return error_fail(error,
				  "RAM of 0x%" PRIx64 " bytes at 0x%" PRIx64
				  " does not fit the address space",
				  region->size, region->gpa);
	if (!region->read_only && memory->dirty.bitmap &&
	    last >> DIRTY_PAGE_SHIFT >= memory->dirty.bitmap->n_words * 64)
		return error_fail(error, "RAM at 0x%" PRIx64 " is beyond the dirty log",
				  region->gpa);
	for (size_t i = 0; i < old->n_regions; i++) {
		const GuestMemoryRegion *other = &old->regions[i];

		if (region->gpa <= other->gpa + (other->size - 1) && other->gpa <= last)
			return error_fail(error, "RAM at 0x%" PRIx64 " overlaps that at 0x%" PRIx64,
					  region->gpa, other->gpa);
		if (other->gpa < region->gpa)
			place = i + 1;
	}

	table = g_malloc(sizeof(*table) + (old->n_regions + 1) * sizeof(*region));
	table->n_regions = old->n_regions + 1;
	memcpy(table->regions, old->regions, place * sizeof(*region));
	table->regions[place] = *region;
	table->regions[place].serial = ++memory->last_serial;
	memcpy(table->regions + place + 1, old->regions + place,
	       (old->n_regions - place) * sizeof(*region));
	g_atomic_pointer_set(&memory->table, table);
	rcu_retire(old, g_free);
	tell_listeners(memory);
	return true;
}

void guest_memory_remove(GuestMemory *memory, uint64_t gpa)
{
	GuestMemoryTable *old = memory->table;
	GuestMemoryTable *table = g_malloc(sizeof(*table) + old->n_regions * sizeof(*old->regions));

	table->n_regions = 0;
	for (size_t i = 0; i < old->n_regions; i++) {
		if (old->regions[i].gpa != gpa)
			table->regions[table->n_regions++] = old->regions[i];
	}
	g_atomic_pointer_set(&memory->table, table);
	rcu_retire(old, g_free);
	rcu_synchronize();
	tell_listeners(memory);
}

const GuestMemoryRegion *guest_memory_regions(const GuestMemory *memory, size_t *n_regions)
{
	const GuestMemoryTable *table = g_atomic_pointer_get(&((GuestMemory *)memory)->table);

	*n_regions = table->n_regions;
	return table->regions;
}

uint64_t guest_memory_size(const GuestMemory *memory)
{
	const GuestMemoryRegion *regions;
	uint64_t size = 0;
	size_t n_regions;

	rcu_read_lock();
	regions = guest_memory_regions(memory, &n_regions);
	for (size_t i = 0; i < n_regions; i++) {
		if (!regions[i].read_only && !regions[i].is_device)
			size += regions[i].size;
	}
	rcu_read_unlock();
	return size;
}

/* The region that holds @gpa, or NULL; inside a read section. */
static const GuestMemoryRegion *guest_memory_find(const GuestMemory *memory, uint64_t gpa)
{
	const GuestMemoryRegion *regions;
	size_t n_regions;

	/* A machine has two or three: searching cleverly would cost more. */
	regions = guest_memory_regions(memory, &n_regions);
	for (size_t i = 0; i < n_regions; i++) {
		if (gpa >= regions[i].gpa && gpa - regions[i].gpa < regions[i].size)
			return &regions[i];
	}
	return NULL;
}

void *guest_memory_hva(const GuestMemory *memory, uint64_t gpa, uint64_t size, bool writable)
{
	const GuestMemoryRegion *region;
	void *hva = NULL;

	rcu_read_lock();
	region = guest_memory_find(memory, gpa);
	if (region && size <= region->size - (gpa - region->gpa) &&
	    !(writable && region->read_only))
		hva = region->hva + (gpa - region->gpa);
	rcu_read_unlock();
	return hva;
}

bool guest_memory_has(const GuestMemory *memory, const void *hva)
{
	const GuestMemoryRegion *regions;
	uintptr_t address = (uintptr_t)hva;
	size_t n_regions;
	bool found = false;

	rcu_read_lock();
	regions = guest_memory_regions(memory, &n_regions);
	for (size_t i = 0; i < n_regions && !found; i++)
		found = address >= (uintptr_t)regions[i].hva &&
			address - (uintptr_t)regions[i].hva < regions[i].size;
	rcu_read_unlock();
	return found;
}

static bool guest_memory_copy(const GuestMemory *memory, uint64_t gpa, uint8_t *buffer, size_t size,
			      bool to_guest)
{
	bool inside = true;

	rcu_read_lock();
	while (size > 0) {
		const GuestMemoryRegion *region = guest_memory_find(memory, gpa);
		uint64_t offset;
		size_t part;

		if (!region || (to_guest && region->read_only)) {
			inside = false;
			break;
		}
		offset = gpa - region->gpa;
		part = MIN(size, region->size - offset);
		if (to_guest) {
			memcpy(region->hva + offset, buffer, part);
			guest_memory_mark(memory, region->hva + offset, part);
		} else {
			memcpy(buffer, region->hva + offset, part);
		}
		buffer += part;
		size -= part;
		/* The last address of all: there is nothing after it to go on with. */
		if (__builtin_add_overflow(gpa, part, &gpa) && size > 0) {
			inside = false;
			break;
		}
	}
	rcu_read_unlock();
	return inside;
}

bool guest_memory_read(const GuestMemory *memory, uint64_t gpa, void *buffer, size_t size)
{
	return guest_memory_copy(memory, gpa, buffer, size, false);
}

bool guest_memory_write(GuestMemory *memory, uint64_t gpa, const void *buffer, size_t size)
{
	return guest_memory_copy(memory, gpa, (uint8_t *)buffer, size, true);
}

const GuestMemoryRegion *guest_memory_region_of(const GuestMemory *memory, const uint8_t *hva)
{
	size_t n;
	const GuestMemoryRegion *regions = guest_memory_regions(memory, &n);

	for (size_t i = 0; i < n; i++) {
		if (!regions[i].read_only && hva >= regions[i].hva &&
		    hva < regions[i].hva + regions[i].size)
			return &regions[i];
	}
	return NULL;
}

static uint64_t region_page_size(const GuestMemoryRegion *region)
{
	return region->page_size ? region->page_size : (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t guest_memory_page_size(const GuestMemory *memory, const void *hva)
{
	const GuestMemoryRegion *region;
	uint64_t size;

	rcu_read_lock();
	region = guest_memory_region_of(memory, hva);
	size = region ? region_page_size(region) : 0;
	rcu_read_unlock();
	return size;
}

void guest_memory_keep(GuestMemory *memory)
{
	memory->keeps = true;
}

bool guest_memory_keeps(const GuestMemory *memory)
{
	return memory->keeps;
}

/* Whether the host's pages behind @region are the same as long as it is there. */
static bool keeps_pages(const GuestMemory *memory, const GuestMemoryRegion *region)
{
	return memory->keeps && !region->is_device;
}

GArray *guest_memory_kept(const GuestMemory *memory)
{
	GArray *parts = g_array_new(FALSE, FALSE, sizeof(struct iovec));
	const GuestMemoryRegion *regions;
	size_t n;

	rcu_read_lock();
	regions = guest_memory_regions(memory, &n);
	for (size_t i = 0; i < n; i++) {
		const struct iovec part = { regions[i].hva, regions[i].size };

		if (keeps_pages(memory, &regions[i]) && !regions[i].read_only)
			g_array_append_val(parts, part);
	}
	rcu_read_unlock();
	return parts;
}

/* Of a mapping without a file that others have. */
static bool drop_pages(void *start, size_t size, bool shared)
{
	if (shared)
		return madvise(start, size, MADV_REMOVE) == 0;
	/* Linux before 5.18 does not give back what is locked. */
	return madvise(start, size, MADV_DONTNEED) == 0 ||
	       (errno == EINVAL && madvise(start, size, MADV_DONTNEED_LOCKED) == 0);
}

bool guest_memory_discard(const GuestMemory *memory, void *hva, uint64_t size)
{
	const GuestMemoryRegion *region;
	bool ok = true;

	rcu_read_lock();
	region = guest_memory_region_of(memory, hva);
	if (region && !keeps_pages(memory, region)) {
		uintptr_t mask = region_page_size(region) - 1;
		uintptr_t base = (uintptr_t)region->hva, start = (uintptr_t)hva;
		uintptr_t end = (start + MIN(size, base + region->size - start)) & ~mask;

		start = (start + mask) & ~mask;
		/* A shared mapping would fault the same page in again: it goes from the file. */
		if (start < end && region->shared && region->fd >= 0)
			ok = fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				       (off_t)(region->offset + (start - base)),
				       (off_t)(end - start)) == 0;
		else if (start < end)
			ok = drop_pages((void *)start, end - start, region->shared);
		if (start < end)
			guest_memory_mark(memory, (void *)start, end - start);
	}
	rcu_read_unlock();
	return ok;
}
