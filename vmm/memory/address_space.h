/*
 * address_space.h: what answers at an address of MMIO or port space
 *
 * Two of these exist, MMIO and PIO. A region is a range with callbacks; the table of regions is
 * immutable, read by vCPU threads without a lock and replaced as a whole under RCU. An eventfd
 * bound to an address takes the write instead of a region: KVM signals it without an exit (the
 * listener arranges that), and address_space_write() does the same itself, so that devices behave
 * alike with and without KVM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct AddressSpace AddressSpace;

/*
 * Callbacks of a region; they run on vCPU threads, several at once, inside an RCU read section,
 * and lock for themselves. @offset is relative to the region, and offset + size never passes its
 * end. @size is 1, 2, 4 or 8; accesses outside [minimum_size, maximum_size] are split or widened
 * before the callback sees them (the bytes that widen a write are zero), naturally aligned ones
 * only if @aligned_only (others read as all ones and are dropped when written).
 */
typedef struct IoRegionOps {
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
	uint8_t minimum_size; /* bytes; 0 means 1 */
	uint8_t maximum_size; /* bytes; 0 means 8 */
	bool aligned_only;
} IoRegionOps;

/* Embedded in the device that owns it; lives until it is unmapped and RCU has synchronized. */
typedef struct IoRegion {
	const char *name; /* static or owned by the device; for logs */
	uint64_t size;	  /* bytes */
	const IoRegionOps *ops;
	void *opaque;
	bool coalesced; /* writes may be batched by KVM (KVM API §4.116); no read side effects */
	/*
	 * Host memory of @size bytes, page-aligned, that answers instead of @ops (NULL then): the
	 * memory of a device, which the guest accesses without an exit. NULL: no memory.
	 */
	uint8_t *ram;
	bool log_dirty; /* address_space_log_dirty() */
	/*
	 * ROM: where its bytes are in this process, which reads take without a callback (and a vCPU
	 * without an exit, and it can run code there); only writes are called back, to @ops, or
	 * dropped where that is NULL. Page-aligned like base and size. Changes only while the region is not mapped. NULL: no ROM.
	 */
	uint8_t *rom;
	/* Set by address_space_map(). */
	uint64_t base;
	bool mapped;
	int slot; /* the listener's, of a region with ram while it is mapped */
} IoRegion;

/* Told of eventfds as they come and go; KVM's ioeventfd. False: stays with user space. */
typedef struct AddressSpaceListener {
	bool (*add_eventfd)(void *opaque, uint64_t address, unsigned size, bool match,
			    uint64_t value, int fd);
	void (*remove_eventfd)(void *opaque, uint64_t address, unsigned size, bool match,
			       uint64_t value, int fd);
	void (*region_mapped)(void *opaque, IoRegion *region);
	void (*region_unmapped)(void *opaque, IoRegion *region);
	/* region->log_dirty has changed; region->ram is set and it is mapped. */
	void (*region_log_changed)(void *opaque, IoRegion *region);
	/* As address_space_fetch_dirty(). */
	bool (*fetch_dirty)(void *opaque, IoRegion *region, uint64_t *bitmap);
} AddressSpaceListener;

/* @name is for logs; @size is the first address that does not exist (0x10000 for ports). */
AddressSpace *address_space_new(const char *name, uint64_t size);
void address_space_free(AddressSpace *space);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressSpace, address_space_free)

/* Set the one listener, before anything is mapped. */
void address_space_set_listener(AddressSpace *space, const AddressSpaceListener *listener,
				void *opaque);

/*
 * Map @region at @base. Where regions overlap the one mapped first answers (a guest may program
 * BARs onto anything; that must not hurt). Returns false where [base, base + size) does not fit
 * the space. Any thread, also inside callbacks.
 */
bool address_space_map(AddressSpace *space, IoRegion *region, uint64_t base);

/*
 * The name of a region that is mapped somewhere in the @size bytes (not 0) at @base, or NULL: there
 * is none. For what must not share its addresses. Any thread.
 */
const char *address_space_find_overlap(AddressSpace *space, uint64_t base, uint64_t size);

/*
 * Take @region away; does nothing if it is not mapped. Callbacks may still be running on other
 * threads when this returns: rcu_synchronize() before freeing. Any thread.
 */
void address_space_unmap(AddressSpace *space, IoRegion *region);

/*
 * Keep account (or no longer) of the pages that the guest writes in @region, one with ram. It
 * costs the guest a fault for each page that it dirties. Any thread.
 */
void address_space_log_dirty(AddressSpace *space, IoRegion *region, bool enable);

/*
 * Set in @bitmap (a bit for each 4 KiB page of @region, rounded up to whole words) the pages that
 * were written since the last call, and begin anew. False where that is not known, as without KVM:
 * any may have been. Any thread.
 */
bool address_space_fetch_dirty(AddressSpace *space, IoRegion *region, uint64_t *bitmap);

/* Dispatch one access of 1 to 8 bytes; reads of nothing give all ones, writes to nothing vanish. */
uint64_t address_space_read(AddressSpace *space, uint64_t address, unsigned size);
void address_space_write(AddressSpace *space, uint64_t address, uint64_t value, unsigned size);

/*
 * Signal eventfd @fd on writes of @size bytes (0: any size) to @address, of @value only if
 * @match. False when the same one is there already. Any thread.
 */
bool address_space_add_eventfd(AddressSpace *space, uint64_t address, unsigned size, bool match,
			       uint64_t value, int fd);
void address_space_remove_eventfd(AddressSpace *space, uint64_t address, unsigned size, bool match,
				  uint64_t value, int fd);
