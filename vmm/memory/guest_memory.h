/*
 * guest_memory.h: guest RAM as the guest sees it, and the one place where it is accessed
 *
 * Guest-physical addresses (GPA) come from the guest and are hostile: every access goes through
 * these functions, which check the whole range. The region table is immutable and replaced under
 * RCU; RAM itself stays mapped until the machine ends, so a host address obtained here stays
 * valid (hot-unplugged RAM excepted: that quiesces the users first).
 *
 * What is read may change under the reader at any time: copy once, check the copy, use the copy.
 *
 * The host's pages behind RAM may come and go: the balloon and its like give them back
 * (guest_memory_discard()), and the next touch gets others. Whoever hands pages, rather than
 * addresses, to the kernel for longer than a request (io_loop_add_buffers()) would go on with ones
 * that the guest no longer sees. So there are two kinds of memory, and it is said here which is
 * which: with guest_memory_keep() the RAM of the machine keeps its pages, whoever wants to discard
 * some; all other RAM, and a memory device's (virtio-mem) in any case, may lose them at any time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct GuestMemory GuestMemory;

/* A piece of guest RAM: consecutive guest-physical addresses backed by consecutive host ones. */
typedef struct GuestMemoryRegion {
	uint64_t gpa;	 /* bytes */
	uint64_t size;	 /* bytes */
	uint8_t *hva;	 /* where it is mapped in this process */
	int fd;		 /* its memfd or file, or -1; borrowed (vhost-user, migration) */
	uint64_t offset; /* of the region within fd, bytes */
	bool read_only;	 /* ROM: guest writes exit, and guest_memory_write() refuses */
	bool shared;	 /* the mapping shows what is in fd; else it is private, or anonymous */
	bool is_device;	 /* a memory device's, and no part of what the machine has */
	uint64_t page_size; /* of the host's pages behind it, bytes; 0: base pages */
	uint64_t serial; /* set by guest_memory_add(): tells it from others at the same place */
} GuestMemoryRegion;

/* No regions yet. Free it when no thread uses it any more. */
GuestMemory *guest_memory_new(void);
void guest_memory_free(GuestMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestMemory, guest_memory_free)

/*
 * Add @region (copied; the mapping stays the caller's). False and @error when it overlaps another
 * or wraps. Main thread.
 */
bool guest_memory_add(GuestMemory *memory, const GuestMemoryRegion *region, GError **error);

/*
 * From now on the RAM of the machine, unlike that of memory devices, keeps the host's pages behind
 * it for as long as it is there (-overcommit mem-lock=on). Main thread, before there is a device.
 */
void guest_memory_keep(GuestMemory *memory);

/* Whether it does. Any thread. */
bool guest_memory_keeps(const GuestMemory *memory);

/*
 * The parts of RAM that keep their pages: struct iovec, of host addresses, in no order; for
 * g_array_unref(). None without guest_memory_keep(). Any thread.
 */
GArray *guest_memory_kept(const GuestMemory *memory);

/*
 * Who must know of it when the regions change, or has to mark what it writes (dirty_log.h): vhost.
 * Embedded in its owner. All are called on the main thread, and may be NULL.
 */
typedef struct GuestMemoryListener {
	/* After regions were added and before the memory of removed ones is unmapped. */
	void (*changed)(void *opaque);
	/*
	 * From now on mark, dirty_log_view() says where, or no longer. False and @error where it cannot;
	 * to stop never fails.
	 */
	bool (*set_logging)(void *opaque, bool logging, GError **error);
	void *opaque;
} GuestMemoryListener;

/* Start and end telling @listener. Main thread. */
void guest_memory_add_listener(GuestMemory *memory, GuestMemoryListener *listener);
void guest_memory_remove_listener(GuestMemory *memory, GuestMemoryListener *listener);

/*
 * Take the region that starts at @gpa away; does nothing if there is none. Nobody has host
 * addresses of it any more (devices and vCPUs are paused). Main thread.
 */
void guest_memory_remove(GuestMemory *memory, uint64_t gpa);

/* The regions in ascending order of address; valid inside an RCU read section. */
const GuestMemoryRegion *guest_memory_regions(const GuestMemory *memory, size_t *n_regions);

/* Bytes of RAM in all (without ROM and memory devices). */
uint64_t guest_memory_size(const GuestMemory *memory);

/*
 * The host address of @size bytes at @gpa, or NULL unless all of them lie in one region (and, for
 * @writable, in one that is RAM). @size may be 0. Any thread.
 */
void *guest_memory_hva(const GuestMemory *memory, uint64_t gpa, uint64_t size, bool writable);

/*
 * Whether host address @hva, from guest_memory_hva(), is still of a region: it may have been taken
 * away since, while nothing was done with it. Any thread.
 */
bool guest_memory_has(const GuestMemory *memory, const void *hva);

/*
 * Give the host pages wholly within the @size bytes at @hva (of RAM, from guest_memory_hva()) back
 * to the host: the guest finds zeroes there, or what a file has. ROM is left alone, as is what
 * keeps its pages: the guest finds what was there. False where the host refuses. Any thread.
 */
bool guest_memory_discard(const GuestMemory *memory, void *hva, uint64_t size);

/* The size of the host's pages behind @hva, bytes; 0 where it is no RAM. Any thread. */
uint64_t guest_memory_page_size(const GuestMemory *memory, const void *hva);

/*
 * Copy between @buffer and guest RAM; ranges that span adjacent regions work. False, with nothing
 * said about the part already copied, when any byte is outside RAM. Any thread.
 */
bool guest_memory_read(const GuestMemory *memory, uint64_t gpa, void *buffer, size_t size);
bool guest_memory_write(GuestMemory *memory, uint64_t gpa, const void *buffer, size_t size);

/* What every GuestMemory starts with. */
typedef struct GuestMemoryHead {
	bool tracked; /* atomic: somebody wants to know what is written */
} GuestMemoryHead;

/* Whether writes have to be marked. Any thread. */
static inline bool guest_memory_is_tracked(const GuestMemory *memory)
{
	return G_UNLIKELY(__atomic_load_n(&((const GuestMemoryHead *)memory)->tracked,
					  __ATOMIC_RELAXED));
}

/* The part of guest_memory_mark() for when somebody wants to know. */
void guest_memory_mark_tracked(const GuestMemory *memory, const void *hva, uint64_t size);

/*
 * Tell that @size bytes at @hva, in one region, have been written by other means than
 * guest_memory_write(): after they were. What is no guest RAM is left out. Any thread.
 */
static inline void guest_memory_mark(const GuestMemory *memory, const void *hva, uint64_t size)
{
	if (guest_memory_is_tracked(memory))
		guest_memory_mark_tracked(memory, hva, size);
}
