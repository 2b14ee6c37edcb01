/*
 * virtqueue_packed.c: packed virtqueues (virtio 1.2 §2.8)
 *
 * One ring of descriptors that the driver makes available and we make used, each going round at
 * its own pace; whose a descriptor is, is in two of its bits, compared with the wrap counter of the
 * lap. A chain takes consecutive descriptors, the last of which has its id; the used descriptor
 * that answers it takes the place of the first that has not been answered, and the positions move
 * on by the length of the chain.
 *
 * So what is in flight may be overwritten by answers to others. Its descriptors are kept, and put
 * back when the ring is unmapped into what lies between used and available, which is just as many:
 * the driver awaits nothing else there, and a saved machine has them in its RAM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtqueue_ring.h"

#define FLAG_AVAILABLE 0x0080u
#define FLAG_USED      0x8000u

/* §2.8.14: event suppression structure. */
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESCRIPTOR = 2 };
#define EVENT_FLAGS_MASK 0x3u
#define EVENT_WRAP	 0x8000u

typedef struct PackedDescriptor {
	uint64_t address;
	uint32_t length; /* bytes */
	uint16_t id;
	uint16_t flags;
} PackedDescriptor;

typedef struct EventSuppression {
	uint16_t descriptor; /* offset, and EVENT_WRAP */
	uint16_t flags;
} EventSuppression;

G_STATIC_ASSERT(sizeof(PackedDescriptor) == DESCRIPTOR_SIZE);
G_STATIC_ASSERT(sizeof(EventSuppression) == 4);

static inline unsigned offset_of(const Virtqueue *queue, unsigned position)
{
	return position >= queue->size ? position - queue->size : position;
}

static inline bool wrap_of(const Virtqueue *queue, unsigned position)
{
	return position < queue->size;
}

static inline PackedDescriptor *descriptor_at(const Virtqueue *queue, unsigned position)
{
	return (PackedDescriptor *)queue->descriptor_hva + offset_of(queue, position);
}

/* Descriptors from position @from on to @to. */
static inline unsigned distance(const Virtqueue *queue, unsigned from, unsigned to)
{
	return to >= from ? to - from : to + queue->period - from;
}

static inline unsigned n_in_ring(const Virtqueue *queue)
{
	return distance(queue, queue->next_used, queue->next_available);
}

static inline uint16_t available_flags(bool wrap)
{
	return wrap ? FLAG_AVAILABLE : FLAG_USED;
}

static inline uint16_t used_flags(bool wrap)
{
	return wrap ? FLAG_AVAILABLE | FLAG_USED : 0;
}

static const char *packed_map(Virtqueue *queue)
{
	if (queue->descriptors % 16 || queue->driver_area % 4 || queue->device_area % 4)
		return "a ring is not aligned";
	/* The ring is for both to write. */
	queue->descriptor_hva = guest_memory_hva(queue->memory, queue->descriptors,
						 (size_t)queue->size * DESCRIPTOR_SIZE, true);
	queue->driver_hva = guest_memory_hva(queue->memory, queue->driver_area,
					     sizeof(EventSuppression), false);
	queue->device_hva =
		guest_memory_hva(queue->memory, queue->device_area, sizeof(EventSuppression), true);
	if (!queue->descriptor_hva || !queue->driver_hva || !queue->device_hva)
		return "a ring is not in RAM";
	return NULL;
}

static bool packed_has_available(Virtqueue *queue)
{
	unsigned position = queue->next_available;
	uint16_t flags;

	/*
	 * Acquire: the rest of the chain was written before the flags of its first descriptor
	 * (§2.8.21.3.1), and must be read after them.
	 */
	flags = __atomic_load_n(&descriptor_at(queue, position)->flags, __ATOMIC_ACQUIRE);
	return (flags & (FLAG_AVAILABLE | FLAG_USED)) == available_flags(wrap_of(queue, position));
}

static int packed_peek_head(Virtqueue *queue)
{
	if (!packed_has_available(queue))
		return -1;
	if (n_in_ring(queue) >= queue->size) {
		virtqueue_set_broken(queue, "a chain that is in use is made available again");
		return -1;
	}
	return offset_of(queue, queue->next_available);
}

/* In an indirect table only WRITE counts; the order is that of the entries (§2.8.8). */
static bool fetch_indirect(Virtqueue *queue, VirtqueueElement *element,
			   const PackedDescriptor *descriptor)
{
	DescriptorTable table;
	PackedDescriptor entry;

	if (!virtqueue_enter_indirect(queue, &table, descriptor->address, descriptor->length,
				      descriptor->flags))
		return false;
	for (unsigned i = 0; i < table.n_entries; i++) {
		if (!virtqueue_table_read(queue, &table, i, &entry))
			return false;
		if (entry.flags & DESCRIPTOR_INDIRECT) {
			virtqueue_set_broken(queue, "an indirect descriptor is nested");
			return false;
		}
		if (!virtqueue_add_buffer(queue, element, entry.address, entry.length,
					  entry.flags & DESCRIPTOR_WRITE))
			return false;
	}
	return true;
}

static bool packed_fetch(Virtqueue *queue, VirtqueueElement *element, uint16_t head, bool again)
{
	DescriptorTable ring = { .hva = queue->descriptor_hva };
	PackedDescriptor *raw = virtqueue_raw_descriptors(queue, element);
	/* What is new must not reach what is in flight. */
	unsigned limit = again ? queue->size : queue->size - n_in_ring(queue);
	unsigned n = 0, i = head;

	for (;;) {
		PackedDescriptor *descriptor = &raw[n];

		if (n == limit) {
			virtqueue_set_broken(queue, "a chain is longer than the ring");
			return false;
		}
		virtqueue_table_read(queue, &ring, i, descriptor);
		n++;
		if (descriptor->flags & DESCRIPTOR_INDIRECT) {
			/* Ours is stricter than §2.8.8 wants: only a chain of one may be. */
			if (n > 1) {
				virtqueue_set_broken(queue, "an indirect descriptor is nested");
				return false;
			}
			if (!fetch_indirect(queue, element, descriptor))
				return false;
		} else if (!virtqueue_add_buffer(queue, element, descriptor->address,
						 descriptor->length,
						 descriptor->flags & DESCRIPTOR_WRITE)) {
			return false;
		}
		if (!(descriptor->flags & DESCRIPTOR_NEXT))
			break;
		if (++i == queue->size)
			i = 0;
	}
	element->id = raw[n - 1].id;
	element->n_positions = n;
	return true;
}

static void packed_push(Virtqueue *queue, const VirtqueueElement *element, uint32_t written,
			uint16_t position)
{
	PackedDescriptor *used = descriptor_at(queue, position);
	uint16_t flags = used_flags(wrap_of(queue, position));

	/* Chains refetched after a load are the guest's word for what was in flight. */
	if (element->n_positions > n_in_ring(queue)) {
		virtqueue_set_broken(queue, "more descriptors are used than were available");
		return;
	}
	if (written)
		flags |= DESCRIPTOR_WRITE;
	used->id = element->id;
	used->length = written;
	/* The driver looks at them in order, so the first keeps all of a batch from its eyes. */
	if (position == queue->published_used)
		queue->unpublished_flags = flags;
	else
		__atomic_store_n(&used->flags, flags, __ATOMIC_RELEASE);
	guest_memory_mark(queue->memory, used, sizeof(*used));
}

static void packed_publish(Virtqueue *queue)
{
	PackedDescriptor *first = descriptor_at(queue, queue->published_used);

	/* Release: whoever sees the flags sees the rest of the batch and the data. */
	__atomic_store_n(&first->flags, queue->unpublished_flags, __ATOMIC_RELEASE);
	guest_memory_mark(queue->memory, first, sizeof(*first));
}

/* §2.8.10 */
static bool packed_wants_interrupt(Virtqueue *queue, uint16_t old, bool old_is_valid)
{
	const EventSuppression *event = queue->driver_hva;
	uint16_t flags = __atomic_load_n(&event->flags, __ATOMIC_ACQUIRE) & EVENT_FLAGS_MASK;
	uint16_t descriptor;
	unsigned offset, position;

	if (flags == EVENT_DISABLE)
		return false;
	if (flags != EVENT_DESCRIPTOR || !queue->event_idx || !old_is_valid)
		return true;
	descriptor = __atomic_load_n(&event->descriptor, __ATOMIC_RELAXED);
	offset = descriptor & (EVENT_WRAP - 1);
	if (offset >= queue->size)
		return true;
	position = descriptor & EVENT_WRAP ? offset : offset + queue->size;
	return distance(queue, old, position) < distance(queue, old, queue->published_used);
}

static void packed_set_notification(Virtqueue *queue, bool enabled)
{
	EventSuppression *event = queue->device_hva;
	unsigned position = queue->next_available;
	uint16_t flags = enabled ? EVENT_ENABLE : EVENT_DISABLE;

	if (queue->event_idx) {
		/* A disable is no write: the event stays behind, and costs a kick each two laps. */
		if (!enabled)
			return;
		__atomic_store_n(&event->descriptor,
				 offset_of(queue, position) |
					 (wrap_of(queue, position) ? EVENT_WRAP : 0),
				 __ATOMIC_RELAXED);
		flags = EVENT_DESCRIPTOR;
	}
	__atomic_store_n(&event->flags, flags, __ATOMIC_RELEASE);
	guest_memory_mark(queue->memory, event, sizeof(*event));
	/* Full barrier: the wish is out before the caller looks for what came meanwhile. */
	if (enabled)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void packed_unmap(Virtqueue *queue)
{
	unsigned position = queue->next_used, left = n_in_ring(queue);

	for (unsigned slot = 0; queue->n_in_flight && slot < queue->maximum_size; slot++) {
		VirtqueueElement *element = virtqueue_element_at(queue, slot);
		const PackedDescriptor *raw;

		if (!element || element->n_positions > left)
			continue;
		left -= element->n_positions;
		raw = virtqueue_raw_descriptors(queue, element);
		element->head = offset_of(queue, position);
		for (unsigned i = 0; i < element->n_positions; i++) {
			PackedDescriptor descriptor = raw[i];

			descriptor.flags &= ~(FLAG_AVAILABLE | FLAG_USED);
			descriptor.flags |= available_flags(wrap_of(queue, position));
			*descriptor_at(queue, position) = descriptor;
			guest_memory_mark(queue->memory, descriptor_at(queue, position),
					  sizeof(descriptor));
			if (++position == queue->period)
				position = 0;
		}
	}
}

const VirtqueueRingOps virtqueue_packed_ops = {
	.map = packed_map,
	.has_available = packed_has_available,
	.peek_head = packed_peek_head,
	.fetch = packed_fetch,
	.push = packed_push,
	.publish = packed_publish,
	.wants_interrupt = packed_wants_interrupt,
	.set_notification = packed_set_notification,
	.unmap = packed_unmap,
};
