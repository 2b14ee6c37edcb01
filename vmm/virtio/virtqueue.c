/*
 * virtqueue.c: elements of virtqueues, whatever the layout of the ring
 *
 * Elements and their iovecs live in a pool that is mapped when the queue first starts. The pool is
 * sized for the worst the ring can name, but only touched as deep as the queue gets: slots are
 * taken from a stack, so that a queue with little in flight keeps to a few pages.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtqueue.h"

#include <string.h>

#include "vmm/base/lazy_memory.h"
#include "vmm/base/rcu.h"
#include "vmm/base/trace.h"
#include "vmm/virtio/virtqueue_ring.h"

/* The buffers of one chain may not hold more in all (virtio 1.2 §2.7.5). */
#define VIRTQUEUE_MAX_CHAIN_BYTES (1ULL << 32)

/* Most elements have no more iovecs: those lie close together, and take few pages. */
#define FEW_IOVECS 8u

/*
 * One piece of memory: this header, a few iovecs for each slot, then as many as a slot may need,
 * for elements that do. Zero is a valid start for all of it.
 */
struct VirtqueuePool {
	size_t mapping_size; /* bytes */
	unsigned iovecs_per_element;
	struct iovec *many_iovecs; /* by slot, iovecs_per_element each */
	unsigned raw_per_element;  /* raw descriptors, behind the iovecs; 0: none are kept */
	uint8_t *raw;
	unsigned n_touched; /* slots that have been used at all */
	unsigned n_free;    /* of those, on the stack */
	uint16_t free_slots[VIRTQUEUE_MAX_SIZE];
	uint64_t head_in_flight[VIRTQUEUE_MAX_SIZE / 64]; /* bit per head */
	VirtqueueElement elements[VIRTQUEUE_MAX_SIZE];
	struct iovec iovecs[];
};

static VirtqueuePool *pool_new(unsigned maximum_size, bool packed)
{
	unsigned per_element = maximum_size + VIRTQUEUE_SPARE_IOVECS;
	size_t n_iovecs = (size_t)maximum_size * (FEW_IOVECS + per_element);
	unsigned raw_per_element = packed ? maximum_size : 0;
	size_t raw_at = sizeof(VirtqueuePool) + n_iovecs * sizeof(struct iovec);
	size_t size = raw_at + (size_t)maximum_size * raw_per_element * DESCRIPTOR_SIZE;
	VirtqueuePool *pool = lazy_memory_new(size);

	if (!pool)
		return NULL;
	pool->mapping_size = size;
	pool->iovecs_per_element = per_element;
	pool->many_iovecs = pool->iovecs + (size_t)maximum_size * FEW_IOVECS;
	pool->raw_per_element = raw_per_element;
	pool->raw = (uint8_t *)pool + raw_at;
	return pool;
}

static bool head_is_in_flight(const VirtqueuePool *pool, uint16_t head)
{
	return pool->head_in_flight[head / 64] & (1ULL << (head % 64));
}

/* An empty element for @head, which is below the queue's size and not in flight. */
static VirtqueueElement *element_take(Virtqueue *queue, uint16_t head)
{
	VirtqueuePool *pool = queue->pool;
	unsigned slot = pool->n_free ? pool->free_slots[--pool->n_free] : pool->n_touched++;
	VirtqueueElement *element = &pool->elements[slot];

	*element = (VirtqueueElement){
		.iov = pool->iovecs + (size_t)slot * FEW_IOVECS,
		.head = head,
		.slot = slot,
	};
	pool->head_in_flight[head / 64] |= 1ULL << (head % 64);
	queue->n_in_flight++;
	return element;
}

static void element_release(Virtqueue *queue, VirtqueueElement *element)
{
	VirtqueuePool *pool = queue->pool;

	pool->head_in_flight[element->head / 64] &= ~(1ULL << (element->head % 64));
	pool->free_slots[pool->n_free++] = element->slot;
	element->n_positions = 0;
	queue->n_in_flight--;
}

/*
 * Mark all of @element that the device may have written: the length that it gives is what the
 * driver may rely on, and no limit (virtio 1.2 §2.7.8.2).
 */
static inline void element_mark(const Virtqueue *queue, const VirtqueueElement *element)
{
	virtqueue_mark(queue, element->iov + element->n_out, element->n_in, UINT64_MAX);
}

void *virtqueue_raw_descriptors(const Virtqueue *queue, const VirtqueueElement *element)
{
	const VirtqueuePool *pool = queue->pool;

	return pool->raw + (size_t)element->slot * pool->raw_per_element * DESCRIPTOR_SIZE;
}

VirtqueueElement *virtqueue_element_at(const Virtqueue *queue, unsigned slot)
{
	VirtqueuePool *pool = queue->pool;

	return slot < pool->n_touched && pool->elements[slot].n_positions ? &pool->elements[slot]
									  : NULL;
}

/* @position moved on by @n, which is at most a lap. */
static inline uint16_t position_after(const Virtqueue *queue, uint16_t position, unsigned n)
{
	uint32_t after = (uint32_t)position + n;

	return after >= queue->period ? after - queue->period : after;
}

void virtqueue_init(Virtqueue *queue, const GuestMemory *memory, unsigned index,
		    unsigned maximum_size)
{
	queue->memory = memory;
	queue->index = index;
	queue->maximum_size = maximum_size;
	virtqueue_reset(queue);
}

void virtqueue_mark_tracked(const Virtqueue *queue, const struct iovec *iov, unsigned n_iov,
			    uint64_t size)
{
	for (unsigned i = 0; i < n_iov && size > 0; i++) {
		uint64_t part = MIN(size, iov[i].iov_len);

		guest_memory_mark(queue->memory, iov[i].iov_base, part);
		size -= part;
	}
}

/* Nobody will push what is in flight when the device stops or is reset. */
static void mark_in_flight(const Virtqueue *queue)
{
	for (unsigned slot = 0; queue->n_in_flight && slot < queue->maximum_size; slot++) {
		const VirtqueueElement *element = virtqueue_element_at(queue, slot);

		if (element)
			element_mark(queue, element);
	}
}

void virtqueue_reset(Virtqueue *queue)
{
	virtqueue_unmap(queue);
	if (queue->pool)
		lazy_memory_free(queue->pool, queue->pool->mapping_size);
	queue->pool = NULL;
	queue->n_in_flight = 0;
	queue->size = queue->maximum_size;
	queue->enabled = false;
	queue->vector = 0xffff;
	queue->descriptors = queue->driver_area = queue->device_area = 0;
	queue->next_available = queue->next_used = 0;
	queue->packed = queue->in_order = false;
	queue->broken = false;
}

void virtqueue_set_broken(Virtqueue *queue, const char *reason)
{
	if (queue->broken)
		return;
	queue->broken = true;
	if (queue->on_broken)
		queue->on_broken(queue, reason);
}

bool virtqueue_state_is_good(const Virtqueue *queue)
{
	unsigned size = queue->size;

	if (size == 0 || size > queue->maximum_size)
		return false;
	if (!queue->packed)
		return !(size & (size - 1)) &&
		       (uint16_t)(queue->next_available - queue->next_used) <= size;
	return queue->next_available < 2 * size && queue->next_used < 2 * size &&
	       (queue->next_available + 2 * size - queue->next_used) % (2 * size) <= size;
}

/* Whether memory of an element that is in flight was unplugged since it was taken. */
static bool in_flight_is_lost(const Virtqueue *queue)
{
	for (unsigned slot = 0; queue->n_in_flight && slot < queue->maximum_size; slot++) {
		const VirtqueueElement *element = virtqueue_element_at(queue, slot);

		/* No buffer is in more than one region, and those go as a whole. */
		for (unsigned i = 0; element && i < element->n_out + element->n_in; i++) {
			if (!guest_memory_has(queue->memory, element->iov[i].iov_base))
				return true;
		}
	}
	return false;
}

bool virtqueue_map(Virtqueue *queue, bool event_idx, bool indirect)
{
	const char *reason;

	if (queue->broken)
		return false;
	queue->event_idx = event_idx;
	queue->indirect = indirect;
	queue->ops = queue->packed ? &virtqueue_packed_ops : &virtqueue_split_ops;
	queue->period = queue->packed ? 2u * queue->size : 1u << 16;
	queue->published_used = queue->next_used;
	queue->seen_available = queue->next_available;
	queue->signalled_valid = false;
	queue->unsignalled = 0;
	queue->batching = false;
	if (!queue->pool)
		queue->pool = pool_new(queue->maximum_size, queue->packed);
	if (!queue->pool)
		reason = "the host has no memory for it";
	else if (!virtqueue_state_is_good(queue))
		reason = "the queue size or its positions are out of range";
	else if (in_flight_is_lost(queue))
		reason = "memory of a request is gone";
	else
		reason = queue->ops->map(queue);
	if (reason) {
		queue->ops = NULL;
		virtqueue_set_broken(queue, reason);
		virtqueue_unmap(queue);
		return false;
	}
	virtqueue_set_notification(queue, true);
	return true;
}

void virtqueue_unmap(Virtqueue *queue)
{
	if (queue->ops && queue->ops->unmap && !queue->broken)
		queue->ops->unmap(queue);
	if (guest_memory_is_tracked(queue->memory))
		mark_in_flight(queue);
	queue->ops = NULL;
	queue->descriptor_hva = queue->driver_hva = queue->device_hva = NULL;
}

static bool add_iovec(Virtqueue *queue, VirtqueueElement *element, void *hva, uint64_t size,
		      bool writable)
{
	const VirtqueuePool *pool = queue->pool;
	unsigned n = element->n_out + element->n_in;

	if (n == pool->iovecs_per_element) {
		virtqueue_set_broken(queue, "a chain has too many pieces");
		return false;
	}
	if (n == FEW_IOVECS) {
		struct iovec *many =
			pool->many_iovecs + (size_t)element->slot * pool->iovecs_per_element;

		memcpy(many, element->iov, FEW_IOVECS * sizeof(struct iovec));
		element->iov = many;
	}
	element->iov[n] = (struct iovec){ .iov_base = hva, .iov_len = size };
	if (writable)
		element->n_in++;
	else
		element->n_out++;
	return true;
}

/* The rare buffer that does not lie in one region: one iovec for each that it touches. */
static bool add_spanning_buffer(Virtqueue *queue, VirtqueueElement *element, uint64_t gpa,
				uint64_t size, bool writable)
{
	const GuestMemoryRegion *regions;
	size_t n_regions;
	bool ok = true;

	rcu_read_lock();
	regions = guest_memory_regions(queue->memory, &n_regions);
	for (size_t i = 0; i < n_regions && size; i++) {
		const GuestMemoryRegion *region = &regions[i];
		uint64_t within, part;

		if (gpa < region->gpa || gpa - region->gpa >= region->size)
			continue;
		if (writable && region->read_only)
			break;
		within = gpa - region->gpa;
		part = MIN(size, region->size - within);
		ok = add_iovec(queue, element, region->hva + within, part, writable);
		if (!ok)
			break;
		gpa += part;
		size -= part;
	}
	rcu_read_unlock();
	if (ok && size) {
		virtqueue_set_broken(queue, "a buffer is not in RAM");
		ok = false;
	}
	return ok;
}

bool virtqueue_add_buffer(Virtqueue *queue, VirtqueueElement *element, uint64_t gpa, uint32_t size,
			  bool writable)
{
	void *hva;

	if (!writable && element->in_size) {
		virtqueue_set_broken(queue, "a readable buffer follows a writable one");
		return false;
	}
	if (element->out_size + element->in_size + size > VIRTQUEUE_MAX_CHAIN_BYTES) {
		virtqueue_set_broken(queue, "a chain is longer than 4 GiB");
		return false;
	}
	if (size == 0)
		return true;
	if (gpa + size < gpa) {
		virtqueue_set_broken(queue, "a buffer wraps around");
		return false;
	}
	hva = guest_memory_hva(queue->memory, gpa, size, writable);
	if (hva ? !add_iovec(queue, element, hva, size, writable)
		: !add_spanning_buffer(queue, element, gpa, size, writable))
		return false;
	if (writable)
		element->in_size += size;
	else
		element->out_size += size;
	return true;
}

bool virtqueue_enter_indirect(Virtqueue *queue, DescriptorTable *table, uint64_t address,
			      uint32_t length, uint16_t flags)
{
	const char *reason = NULL;

	if (!queue->indirect)
		reason = "an indirect descriptor was not negotiated";
	else if (flags & DESCRIPTOR_NEXT)
		reason = "an indirect descriptor has a successor";
	else if (length == 0 || length % DESCRIPTOR_SIZE)
		reason = "an indirect table has an odd size";
	/*
	 * No chain may be longer than the queue (§2.7.5.3.1). Linux goes by the size that we
	 * offered even where it had to make the queue smaller, so that is the limit.
	 */
	else if (length / DESCRIPTOR_SIZE > queue->maximum_size)
		reason = "an indirect table is longer than the queue";
	else if (address + length < address)
		reason = "an indirect table wraps around";
	if (reason) {
		virtqueue_set_broken(queue, reason);
		return false;
	}
	*table = (DescriptorTable){
		.hva = guest_memory_hva(queue->memory, address, length, false),
		.gpa = address,
		.n_entries = length / DESCRIPTOR_SIZE,
	};
	return true;
}

bool virtqueue_table_read_by_address(Virtqueue *queue, const DescriptorTable *table, unsigned i,
				     void *descriptor)
{
	if (guest_memory_read(queue->memory, table->gpa + (uint64_t)i * DESCRIPTOR_SIZE, descriptor,
			      DESCRIPTOR_SIZE))
		return true;
	virtqueue_set_broken(queue, "an indirect table is not in RAM");
	return false;
}

/* The element for @head with its buffers, or NULL with the queue broken. */
static VirtqueueElement *fetch(Virtqueue *queue, uint16_t head, bool again)
{
	VirtqueueElement *element;
	bool fetched;

	if (head >= queue->size) {
		virtqueue_set_broken(queue, "a chain starts outside the descriptor table");
		return NULL;
	}
	/* A packed ring's places are used again while what was there is in flight. */
	if (!queue->packed && head_is_in_flight(queue->pool, head)) {
		virtqueue_set_broken(queue, "a chain that is in use is made available again");
		return NULL;
	}
	element = element_take(queue, head);
	/* One section, so one fence, for all that is looked up in it. */
	rcu_read_lock();
	fetched = queue->ops->fetch(queue, element, head, again);
	rcu_read_unlock();
	if (!fetched) {
		element_release(queue, element);
		return NULL;
	}
	return element;
}

VirtqueueElement *virtqueue_pop(Virtqueue *queue)
{
	VirtqueueElement *element;
	int head;

	if (!queue->ops || queue->broken)
		return NULL;
	head = queue->ops->peek_head(queue);
	if (head < 0)
		return NULL;
	element = fetch(queue, head, false);
	if (!element)
		return NULL;
	queue->next_available = position_after(queue, queue->next_available, element->n_positions);
	virtqueue_count(&queue->counters.requests, 1);
	virtqueue_count(&queue->counters.bytes, element->out_size + element->in_size);
	trace_virtio_request(queue->device_path, queue->index, element->head,
			     element->out_size + element->in_size);
	return element;
}

VirtqueueElement *virtqueue_refetch(Virtqueue *queue, uint16_t head)
{
	return queue->ops && !queue->broken ? fetch(queue, head, true) : NULL;
}

void virtqueue_unpop(Virtqueue *queue, VirtqueueElement *element)
{
	queue->next_available =
		position_after(queue, queue->next_available, queue->period - element->n_positions);
	/* It will be taken again, and counted then. */
	virtqueue_count(&queue->counters.requests, (uint64_t)-1);
	virtqueue_count(&queue->counters.bytes, -(element->out_size + element->in_size));
	element_release(queue, element);
}

void virtqueue_push(Virtqueue *queue, VirtqueueElement *element, uint32_t written)
{
	trace_virtio_completion(queue->device_path, queue->index, element->head, written);
	element_mark(queue, element);
	if (queue->ops && !queue->broken) {
		if (!queue->batching)
			queue->batch = queue->next_used;
		queue->ops->push(queue, element, written, queue->batch);
		/* What gets no entry of its own counts as used to the full. */
		queue->batching = queue->in_order && written == element->in_size;
		queue->next_used = position_after(queue, queue->next_used, element->n_positions);
	}
	element_release(queue, element);
}

void virtqueue_publish_quietly(Virtqueue *queue)
{
	if (!queue->ops || queue->broken || queue->published_used == queue->next_used)
		return;
	queue->ops->publish(queue);
	queue->unsignalled += queue->next_used - queue->published_used +
			      (queue->next_used < queue->published_used ? queue->period : 0);
	queue->unsignalled = MIN(queue->unsignalled, queue->period);
	queue->published_used = queue->next_used;
	virtqueue_count(&queue->counters.batches, 1);
	queue->batching = false;
}

bool virtqueue_wants_interrupt(Virtqueue *queue)
{
	uint16_t old = queue->signalled_used;
	/* A lap later positions do not tell any more what has been passed. */
	bool old_is_valid = queue->signalled_valid && queue->unsignalled < queue->period;

	if (!queue->ops || queue->broken || (queue->signalled_valid && queue->unsignalled == 0))
		return false;
	/*
	 * Full barrier: what was used must be out before we look whether the driver wants to hear
	 * of it; the driver does the same the other way round, so one of us sees the other.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	queue->signalled_used = queue->published_used;
	queue->signalled_valid = true;
	queue->unsignalled = 0;
	return queue->ops->wants_interrupt(queue, old, old_is_valid);
}

bool virtqueue_publish(Virtqueue *queue)
{
	if (queue->published_used == queue->next_used)
		return false;
	virtqueue_publish_quietly(queue);
	return virtqueue_wants_interrupt(queue);
}

bool virtqueue_has_available(Virtqueue *queue)
{
	return queue->ops && !queue->broken && queue->ops->has_available(queue);
}

bool virtqueue_set_notification(Virtqueue *queue, bool enabled)
{
	if (!queue->ops || queue->broken)
		return false;
	queue->notification_enabled = enabled;
	queue->ops->set_notification(queue, enabled);
	/* Only an enable has to look again; a disable comes before popping anyway. */
	return enabled && queue->ops->has_available(queue);
}
