/*
 * address_space.c: what answers at an address of MMIO or port space
 *
 * Writers keep a list of the mapped regions in order of mapping and flatten it into a table of
 * disjoint ranges in ascending order, which readers search. Changes are rare (a guest programs
 * its BARs a few times) and the list is short, so the table is simply made anew each time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/memory/address_space.h"
#include "vmm/base/fd.h"
#include "vmm/base/rcu.h"

#include <stdlib.h>
#include <string.h>

typedef struct AddressRange {
	uint64_t start, last; /* inclusive */
	IoRegion *region;
	uint64_t offset; /* of start within the region */
} AddressRange;

typedef struct AddressEventfd {
	uint64_t address;
	unsigned size; /* bytes; 0: any */
	bool match;
	uint64_t value;
	int fd;
} AddressEventfd;

typedef struct AddressTable {
	unsigned n_ranges, n_eventfds;
	AddressEventfd *eventfds; /* in ascending order of address; in the same allocation */
	AddressRange ranges[];
} AddressTable;

struct AddressSpace {
	const char *name;
	uint64_t size;
	const AddressSpaceListener *listener;
	void *listener_opaque;
	GMutex lock;	   /* writers */
	GPtrArray *mapped; /* IoRegion *, first mapped first */
	GArray *eventfds;  /* AddressEventfd, sorted */
	AddressTable *table; /* under RCU */
};

AddressSpace *address_space_new(const char *name, uint64_t size)
{
	AddressSpace *space = g_new0(AddressSpace, 1);

	space->name = name;
	space->size = size;
	g_mutex_init(&space->lock);
	space->mapped = g_ptr_array_new();
	space->eventfds = g_array_new(FALSE, FALSE, sizeof(AddressEventfd));
	space->table = g_malloc0(sizeof(AddressTable));
	return space;
}

void address_space_free(AddressSpace *space)
{
	if (!space)
		return;
	rcu_synchronize();
	g_ptr_array_unref(space->mapped);
	g_array_unref(space->eventfds);
	g_free(space->table);
	g_mutex_clear(&space->lock);
	g_free(space);
}

void address_space_set_listener(AddressSpace *space, const AddressSpaceListener *listener,
				void *opaque)
{
	space->listener = listener;
	space->listener_opaque = opaque;
}

static int compare_addresses(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static IoRegion *first_region_at(const AddressSpace *space, uint64_t address)
{
	for (unsigned i = 0; i < space->mapped->len; i++) {
		IoRegion *region = space->mapped->pdata[i];

		if (address >= region->base && address - region->base < region->size)
			return region;
	}
	return NULL;
}

/* Fill in @table's ranges; each boundary of a region starts a stretch with one answer. */
static void flatten_regions(const AddressSpace *space, AddressTable *table)
{
	unsigned n_starts = 0;
	g_autofree uint64_t *starts = g_new(uint64_t, 2 * space->mapped->len + 1);

	for (unsigned i = 0; i < space->mapped->len; i++) {
		IoRegion *region = space->mapped->pdata[i];

		starts[n_starts++] = region->base;
		starts[n_starts++] = region->base + region->size;
	}
	qsort(starts, n_starts, sizeof(*starts), compare_addresses);
	for (unsigned i = 0; i + 1 < n_starts; i++) {
		IoRegion *region;
		AddressRange *before;

		if (starts[i] == starts[i + 1])
			continue;
		region = first_region_at(space, starts[i]);
		if (!region)
			continue;
		before = table->n_ranges ? &table->ranges[table->n_ranges - 1] : NULL;
		if (before && before->region == region && before->last + 1 == starts[i]) {
			before->last = starts[i + 1] - 1;
			continue;
		}
		table->ranges[table->n_ranges++] = (AddressRange){
			.start = starts[i],
			.last = starts[i + 1] - 1,
			.region = region,
			.offset = starts[i] - region->base,
		};
	}
}

/* Make and publish the table of what is mapped now; lock held. */
static void address_space_rebuild(AddressSpace *space)
{
	unsigned max_ranges = 2 * space->mapped->len;
	size_t ranges_size = sizeof(AddressTable) + max_ranges * sizeof(AddressRange);
	AddressTable *old = space->table;
	AddressTable *table =
		g_malloc0(ranges_size + space->eventfds->len * sizeof(AddressEventfd));

	flatten_regions(space, table);
	table->eventfds = (AddressEventfd *)((uint8_t *)table + ranges_size);
	for (unsigned i = 0; i < space->eventfds->len; i++)
		table->eventfds[i] = g_array_index(space->eventfds, AddressEventfd, i);
	table->n_eventfds = space->eventfds->len;
	g_atomic_pointer_set(&space->table, table);
	rcu_retire(old, g_free);
}

const char *address_space_find_overlap(AddressSpace *space, uint64_t base, uint64_t size)
{
	const char *name = NULL;

	g_mutex_lock(&space->lock);
	for (unsigned i = 0; i < space->mapped->len && !name; i++) {
		const IoRegion *region = space->mapped->pdata[i];

		if (region->base <= base ? base - region->base < region->size
					 : region->base - base < size)
			name = region->name;
	}
	g_mutex_unlock(&space->lock);
	return name;
}

bool address_space_map(AddressSpace *space, IoRegion *region, uint64_t base)
{
	if (region->size == 0 || base >= space->size || region->size > space->size - base)
		return false;
	g_mutex_lock(&space->lock);
	if (region->mapped) {
		g_mutex_unlock(&space->lock);
		return false;
	}
	region->base = base;
	region->mapped = true;
	g_ptr_array_add(space->mapped, region);
	address_space_rebuild(space);
	if (space->listener && space->listener->region_mapped)
		space->listener->region_mapped(space->listener_opaque, region);
	g_mutex_unlock(&space->lock);
	return true;
}

void address_space_log_dirty(AddressSpace *space, IoRegion *region, bool enable)
{
	g_mutex_lock(&space->lock);
	if (region->log_dirty != enable) {
		region->log_dirty = enable;
		if (region->mapped && space->listener && space->listener->region_log_changed)
			space->listener->region_log_changed(space->listener_opaque, region);
	}
	g_mutex_unlock(&space->lock);
}

bool address_space_fetch_dirty(AddressSpace *space, IoRegion *region, uint64_t *bitmap)
{
	bool known;

	g_mutex_lock(&space->lock);
	known = region->mapped && region->log_dirty && space->listener &&
		space->listener->fetch_dirty &&
		space->listener->fetch_dirty(space->listener_opaque, region, bitmap);
	g_mutex_unlock(&space->lock);
	return known;
}

void address_space_unmap(AddressSpace *space, IoRegion *region)
{
	g_mutex_lock(&space->lock);
	if (region->mapped) {
		if (space->listener && space->listener->region_unmapped)
			space->listener->region_unmapped(space->listener_opaque, region);
		region->mapped = false;
		g_ptr_array_remove(space->mapped, region);
		address_space_rebuild(space);
	}
	g_mutex_unlock(&space->lock);
}

static uint64_t all_ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

/* Where KVM does not map the memory (another region is there in part), accesses come here. */
static uint64_t ram_access(const IoRegion *region, uint64_t offset, uint64_t value, unsigned size,
			   bool write)
{
	uint64_t result = 0;

	if (write)
		memcpy(region->ram + offset, &value, size);
	else
		memcpy(&result, region->ram + offset, size);
	return result;
}

/*
 * Access @size (1, 2, 4 or 8) bytes of one region, in pieces that its callbacks take. A piece that
 * is too narrow becomes the aligned wide one around it; on a write its other bytes are zero.
 */
static uint64_t region_access(const IoRegion *region, uint64_t offset, uint64_t value,
			      unsigned size, bool write)
{
	const IoRegionOps *ops = region->ops;
	unsigned maximum;
	uint64_t result = 0;

	if (region->ram)
		return ram_access(region, offset, value, size, write);
	if (region->rom && (!write || !ops)) {
		if (!write)
			memcpy(&result, region->rom + offset, size);
		return result;
	}
	maximum = ops->maximum_size ? ops->maximum_size : 8;
	if (size > maximum) {
		for (unsigned done = 0; done < size; done += maximum)
			result |= region_access(region, offset + done, value >> (done * 8), maximum,
						write)
				  << (done * 8);
		return result;
	}
	value &= all_ones(size);
	if (ops->aligned_only && (offset & (size - 1)))
		return all_ones(size);
	if (size < ops->minimum_size) {
		unsigned wide = ops->minimum_size;
		uint64_t wide_offset = offset & ~(uint64_t)(wide - 1);
		unsigned shift = (unsigned)(offset - wide_offset) * 8;

		if (region->size < wide || wide_offset > region->size - wide)
			return all_ones(size);
		if (!write)
			return ops->read(region->opaque, wide_offset, wide) >> shift &
			       all_ones(size);
		ops->write(region->opaque, wide_offset, value << shift, wide);
		return 0;
	}
	if (!write)
		return ops->read(region->opaque, offset, size) & all_ones(size);
	ops->write(region->opaque, offset, value, size);
	return 0;
}

/* The first range that ends at or after @address, or NULL. */
static const AddressRange *find_range(const AddressTable *table, uint64_t address)
{
	unsigned low = 0, high = table->n_ranges;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (table->ranges[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table->n_ranges ? &table->ranges[low] : NULL;
}

/* The largest power of two that is at most @bytes (1 to 8). */
static unsigned round_down_to_power(uint64_t bytes)
{
	return bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
}

/* An access that no single region takes whole: cut at the regions' edges. */
static uint64_t access_pieces(const AddressSpace *space, const AddressTable *table,
			      uint64_t address, uint64_t value, unsigned size, bool write)
{
	uint64_t result = 0;
	unsigned part;

	for (unsigned done = 0; done < size; done += part) {
		uint64_t at = address + done;
		const AddressRange *range = NULL;
		uint64_t piece;

		part = 1;
		/* Beyond the space, and after a wrap to its start, there is nothing. */
		if (at < address || at >= space->size) {
			result |= UINT64_C(0xff) << (done * 8);
			continue;
		}
		range = find_range(table, at);
		if (!range || range->start > at) {
			result |= UINT64_C(0xff) << (done * 8);
			continue;
		}
		part = round_down_to_power(MIN((uint64_t)size - done, range->last - at + 1));
		piece = region_access(range->region, range->offset + (at - range->start),
				      value >> (done * 8), part, write);
		result |= piece << (done * 8);
	}
	return result;
}

static uint64_t address_space_access(AddressSpace *space, const AddressTable *table,
				     uint64_t address, uint64_t value, unsigned size, bool write)
{
	const AddressRange *range = find_range(table, address);

	/* KVM cuts an access at page ends, so three bytes can come, too. */
	if (range && range->start <= address && range->last - address >= size - 1 &&
	    (size & (size - 1)) == 0)
		return region_access(range->region, range->offset + (address - range->start), value,
				     size, write);
	return access_pieces(space, table, address, value, size, write);
}

uint64_t address_space_read(AddressSpace *space, uint64_t address, unsigned size)
{
	uint64_t value;

	rcu_read_lock();
	value = address_space_access(space, g_atomic_pointer_get(&space->table), address, 0, size,
				     false);
	rcu_read_unlock();
	return value;
}

/* The place of @address among the sorted @eventfds: the first that is not below it. */
static unsigned find_eventfd(const AddressEventfd *eventfds, unsigned n_eventfds, uint64_t address)
{
	unsigned low = 0, high = n_eventfds;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (eventfds[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool signal_eventfd(const AddressTable *table, uint64_t address, uint64_t value,
			   unsigned size)
{
	for (unsigned i = find_eventfd(table->eventfds, table->n_eventfds, address);
	     i < table->n_eventfds && table->eventfds[i].address == address; i++) {
		const AddressEventfd *eventfd = &table->eventfds[i];

		if (eventfd->size != 0 && eventfd->size != size)
			continue;
		if (eventfd->match && eventfd->value != (value & all_ones(size)))
			continue;
		fd_event_signal(eventfd->fd);
		return true;
	}
	return false;
}

void address_space_write(AddressSpace *space, uint64_t address, uint64_t value, unsigned size)
{
	const AddressTable *table;

	rcu_read_lock();
	table = g_atomic_pointer_get(&space->table);
	if (table->n_eventfds == 0 || !signal_eventfd(table, address, value, size))
		address_space_access(space, table, address, value, size, true);
	rcu_read_unlock();
}

/* The index of the same binding (whatever its descriptor), or -1; lock held. */
static int find_same_eventfd(const AddressSpace *space, uint64_t address, unsigned size, bool match,
			     uint64_t value)
{
	const AddressEventfd *eventfds = (const AddressEventfd *)(void *)space->eventfds->data;

	for (unsigned i = 0; i < space->eventfds->len; i++) {
		if (eventfds[i].address == address && eventfds[i].size == size &&
		    eventfds[i].match == match && (!match || eventfds[i].value == value))
			return (int)i;
	}
	return -1;
}

bool address_space_add_eventfd(AddressSpace *space, uint64_t address, unsigned size, bool match,
			       uint64_t value, int fd)
{
	AddressEventfd eventfd = { address, size, match, value, fd };
	bool added = false;

	g_mutex_lock(&space->lock);
	if (find_same_eventfd(space, address, size, match, value) < 0) {
		const AddressEventfd *all = (const AddressEventfd *)(void *)space->eventfds->data;

		g_array_insert_val(space->eventfds, find_eventfd(all, space->eventfds->len, address),
				   eventfd);
		address_space_rebuild(space);
		/* Where KVM does not take it, writes exit and end up in signal_eventfd(). */
		if (space->listener && space->listener->add_eventfd)
			space->listener->add_eventfd(space->listener_opaque, address, size, match,
						     value, fd);
		added = true;
	}
	g_mutex_unlock(&space->lock);
	return added;
}

void address_space_remove_eventfd(AddressSpace *space, uint64_t address, unsigned size, bool match,
				  uint64_t value, int fd)
{
	int index;

	g_mutex_lock(&space->lock);
	index = find_same_eventfd(space, address, size, match, value);
	if (index >= 0 && g_array_index(space->eventfds, AddressEventfd, index).fd == fd) {
		if (space->listener && space->listener->remove_eventfd)
			space->listener->remove_eventfd(space->listener_opaque, address, size, match,
							value, fd);
		g_array_remove_index(space->eventfds, (unsigned)index);
		address_space_rebuild(space);
	}
	g_mutex_unlock(&space->lock);
}
