/*
 * virtqueue.h: the device side of a virtqueue (virtio 1.2 §2.6)
 *
 * A device pops elements (one chain of buffers each, as iovecs that point into guest memory),
 * works on them, pushes them back with the number of bytes it wrote, and publishes what it pushed
 * once per batch. How the ring lies in memory is behind VirtqueueRingOps (virtqueue_ring.h).
 *
 * The ring is the guest's: everything read from it is copied once and checked. A ring that breaks
 * the rules is marked broken, the queue's on_broken is told, and nothing more comes out of it
 * until it is reset.
 *
 * Nothing here locks. A queue is configured by one thread while it is not mapped, and while it is
 * mapped belongs to the one thread that pops and pushes (its I/O loop).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/iov.h"
#include "vmm/memory/guest_memory.h"

/* Largest queue that is offered; IOV_MAX bounds what one system call can take (§2.7 has 32768). */
#define VIRTQUEUE_MAX_SIZE 1024u
/* What an element may have beyond one iovec per descriptor: buffers that span RAM regions. */
#define VIRTQUEUE_SPARE_IOVECS 16u

typedef struct Virtqueue Virtqueue;
typedef struct VirtqueueRingOps VirtqueueRingOps;

/* One chain. Belongs to the queue; valid from pop to push, unpop or reset. */
typedef struct VirtqueueElement {
	struct iovec *iov; /* @n_out that the device reads, then @n_in that it writes */
	unsigned n_out, n_in;
	uint64_t out_size, in_size; /* bytes */
	uint16_t
		head; /* split: how the ring names the chain; packed: after an unmap, where it is */
	uint16_t id;  /* packed: how the ring names the chain */
	uint16_t n_positions; /* by how much the chain moves the ring on; 0: not in flight */
	uint16_t slot; /* below maximum_size; unique among those in flight: indexes the device's
			  own per-request storage */
} VirtqueueElement;

typedef struct VirtqueuePool VirtqueuePool;

/*
 * What was done since the device was made. The queue's thread adds, any thread reads: no atomic
 * addition, and no line that another queue's thread writes.
 */
typedef struct VirtqueueCounters {
	uint64_t requests;   /* chains taken */
	uint64_t bytes;	     /* that they had, to be read and to be written */
	uint64_t batches;    /* how often what was used was shown to the driver */
	uint64_t kicks;	     /* notifications from the driver */
	uint64_t interrupts; /* and to it */
	uint64_t polls;	     /* how often polling found chains */
	uint64_t registered; /* requests whose data went by memory registered with the kernel */
} VirtqueueCounters;

static inline void virtqueue_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t virtqueue_counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

struct Virtqueue {
	/* What the driver configured and how far both sides are: the saved state. */
	uint16_t size; /* descriptors; of a split ring a power of two */
	bool enabled;
	uint16_t vector;      /* MSI-X vector, 0xffff for none */
	uint64_t descriptors; /* guest-physical addresses of the three areas (§2.7) */
	uint64_t driver_area;
	uint64_t device_area;
	/*
	 * Positions, of the next chain to take and the next to give back. Split: chains, modulo
	 * 2^16. Packed: descriptors, modulo two laps of the ring; the wrap counter (§2.8.1) is 1 on
	 * the first lap.
	 */
	uint16_t next_available;
	uint16_t next_used;
	bool packed;   /* layout: set after a reset, before the first map */
	bool in_order; /* chains are given back as they came (§2.7.9, §2.8.11): likewise */

	/* Fixed at creation. */
	uint16_t index;
	uint16_t maximum_size;
	const GuestMemory *memory;
	/* Told once, on the queue's thread, when the ring is found broken; may be NULL. */
	void (*on_broken)(Virtqueue *queue, const char *reason);
	void *owner; /* the device's */
	const char *device_path; /* for probes; NULL: not a device's */

	/* Valid while mapped. */
	const VirtqueueRingOps *ops; /* NULL: not mapped */
	bool event_idx, indirect;
	bool broken;
	bool notification_enabled;
	void *descriptor_hva, *driver_hva, *device_hva;
	uint32_t period;	    /* what positions are modulo of */
	uint16_t seen_available;    /* split: the driver's index as last read */
	uint16_t unpublished_flags; /* packed: of the first used descriptor that is not published */
	uint16_t published_used;    /* next_used as last published */
	uint16_t signalled_used;    /* and at the last publish that decided about a notification */
	uint32_t unsignalled;	    /* by how much it has moved on since; a lap is enough */
	bool signalled_valid;
	uint16_t batch; /* in order: where the used entry of what was pushed last is */
	bool batching;	/* and the next may replace it: all before it was used to the full */
	VirtqueuePool *pool;
	unsigned n_in_flight;

	VirtqueueCounters counters;
};

/*
 * Set up @queue, zeroed by the caller, as number @index with at most @maximum_size descriptors (a
 * power of two, at most VIRTQUEUE_MAX_SIZE) in @memory, which outlives it.
 */
void virtqueue_init(Virtqueue *queue, const GuestMemory *memory, unsigned index,
		    unsigned maximum_size);

/* Back to what virtqueue_init() left; elements in flight are forgotten, their storage freed. */
void virtqueue_reset(Virtqueue *queue);

/*
 * Resolve the ring areas and start. @event_idx and @indirect say what was negotiated (§6). False
 * with the queue broken when the areas are misaligned or not wholly in RAM, or size or positions
 * are out of range. Elements still in flight from before an unmap stay valid; where memory of one is
 * gone since, the queue is broken, too, and all of them must not be touched any more.
 */
bool virtqueue_map(Virtqueue *queue, bool event_idx, bool indirect);

/*
 * Forget the ring areas: guest memory is not touched any more, positions stay. Chains in flight
 * can be found in the ring again by virtqueue_refetch() of their element's head.
 */
void virtqueue_unmap(Virtqueue *queue);

/* Take the next chain; NULL when there is none or the ring is broken. */
VirtqueueElement *virtqueue_pop(Virtqueue *queue);

/*
 * Give back @element as if it had not been popped; it must be the one popped last, with no unmap
 * since.
 */
void virtqueue_unpop(Virtqueue *queue, VirtqueueElement *element);

/*
 * Take the chain at @head again after a load, without moving the ring: it was in flight when the
 * state was saved. NULL and broken as virtqueue_pop().
 */
VirtqueueElement *virtqueue_refetch(Virtqueue *queue, uint16_t head);

/* Give @element back with @written bytes in its writable part. Not visible until published. */
void virtqueue_push(Virtqueue *queue, VirtqueueElement *element, uint32_t written);

/*
 * Let the driver see what was pushed. Returns whether it wants an interrupt for that (§2.7.7); one
 * call serves a batch.
 */
bool virtqueue_publish(Virtqueue *queue);

/*
 * The two halves of virtqueue_publish(), for who wants to look later whether an interrupt is still
 * wanted: the driver may have found what was used by itself by then. Each look is about all that
 * was published since the one before.
 */
void virtqueue_publish_quietly(Virtqueue *queue);
bool virtqueue_wants_interrupt(Virtqueue *queue);

/*
 * Ask the driver to notify of new chains, or not to (a hint, §2.7.10). Returns whether chains
 * wait: after enabling, true means go on popping, as no notification will come for them.
 */
bool virtqueue_set_notification(Virtqueue *queue, bool enabled);

/* Whether a pop would find a chain (or find the ring broken). */
bool virtqueue_has_available(Virtqueue *queue);

/* The part of virtqueue_mark() for when somebody wants to know. */
void virtqueue_mark_tracked(const Virtqueue *queue, const struct iovec *iov, unsigned n_iov,
			    uint64_t size);

/*
 * Tell that the first @size bytes of @iov have been written (dirty_log.h), where no push does: it
 * marks the element's buffers as they are by then, without what the device took off them. What is no
 * guest RAM is left out.
 */
static inline void virtqueue_mark(const Virtqueue *queue, const struct iovec *iov, unsigned n_iov,
				  uint64_t size)
{
	if (guest_memory_is_tracked(queue->memory))
		virtqueue_mark_tracked(queue, iov, n_iov, size);
}

/* Mark the ring broken because of @reason (static text) and tell on_broken, once. */
void virtqueue_set_broken(Virtqueue *queue, const char *reason);

/* Whether size and positions, as loaded, may be those of a ring of @queue's layout. */
bool virtqueue_state_is_good(const Virtqueue *queue);
