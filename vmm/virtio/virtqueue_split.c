/*
 * virtqueue_split.c: split virtqueues (virtio 1.2 §2.7)
 *
 * Three areas in guest memory: the descriptor table, the available ring (written by the driver,
 * "driver area") and the used ring (written by us, "device area"). Indices run freely modulo 2^16.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtqueue_ring.h"

#define AVAILABLE_NO_INTERRUPT 0x1
#define USED_NO_NOTIFY	       0x1

typedef struct Descriptor {
	uint64_t address;
	uint32_t length; /* bytes */
	uint16_t flags;
	uint16_t next;
} Descriptor;

typedef struct AvailableRing {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[]; /* then used_event */
} AvailableRing;

typedef struct UsedEntry {
	uint32_t id;
	uint32_t length;
} UsedEntry;

typedef struct UsedRing {
	uint16_t flags;
	uint16_t index;
	UsedEntry ring[]; /* then available_event */
} UsedRing;

G_STATIC_ASSERT(sizeof(Descriptor) == DESCRIPTOR_SIZE);

static uint16_t *used_event(Virtqueue *queue)
{
	return &((AvailableRing *)queue->driver_hva)->ring[queue->size];
}

static uint16_t *available_event(Virtqueue *queue)
{
	return (uint16_t *)&((UsedRing *)queue->device_hva)->ring[queue->size];
}

static const char *split_map(Virtqueue *queue)
{
	unsigned size = queue->size;

	if (queue->descriptors % 16 || queue->driver_area % 2 || queue->device_area % 4)
		return "a ring is not aligned";
	queue->descriptor_hva = guest_memory_hva(queue->memory, queue->descriptors,
						 size * sizeof(Descriptor), false);
	queue->driver_hva =
		guest_memory_hva(queue->memory, queue->driver_area,
				 sizeof(AvailableRing) + (size + 1) * sizeof(uint16_t), false);
	queue->device_hva = guest_memory_hva(
		queue->memory, queue->device_area,
		sizeof(UsedRing) + size * sizeof(UsedEntry) + sizeof(uint16_t), true);
	if (!queue->descriptor_hva || !queue->driver_hva || !queue->device_hva)
		return "a ring is not in RAM";
	return NULL;
}

static bool split_has_available(Virtqueue *queue)
{
	AvailableRing *available = queue->driver_hva;

	if (queue->seen_available != queue->next_available)
		return true;
	/*
	 * Acquire: the ring entries and descriptors that this index covers were written before it
	 * (§2.7.13.3.1), and must be read after it.
	 */
	queue->seen_available = __atomic_load_n(&available->index, __ATOMIC_ACQUIRE);
	return queue->seen_available != queue->next_available;
}

static int split_peek_head(Virtqueue *queue)
{
	AvailableRing *available = queue->driver_hva;

	if (!split_has_available(queue))
		return -1;
	if ((uint16_t)(queue->seen_available - queue->next_available) > queue->size) {
		virtqueue_set_broken(queue, "the available index jumped");
		return -1;
	}
	return __atomic_load_n(&available->ring[queue->next_available & (queue->size - 1)],
			       __ATOMIC_RELAXED);
}

static bool split_fetch(Virtqueue *queue, VirtqueueElement *element, uint16_t head, bool again)
{
	DescriptorTable table = {
		.hva = queue->descriptor_hva,
		.gpa = queue->descriptors,
		.n_entries = queue->size,
	};
	bool in_indirect = false;
	unsigned n_seen = 0, i = head;
	Descriptor descriptor;

	(void)again;
	element->n_positions = 1;
	for (;;) {
		if (i >= table.n_entries) {
			virtqueue_set_broken(queue, "a chain leads outside its descriptor table");
			return false;
		}
		if (!virtqueue_table_read(queue, &table, i, &descriptor))
			return false;
		if (descriptor.flags & DESCRIPTOR_INDIRECT) {
			/* Ours is stricter than §2.7.5.3.2 wants: only a chain of one may be. */
			if (in_indirect || n_seen) {
				virtqueue_set_broken(queue, "an indirect descriptor is nested");
				return false;
			}
			if (!virtqueue_enter_indirect(queue, &table, descriptor.address,
						      descriptor.length, descriptor.flags))
				return false;
			in_indirect = true;
			i = 0;
			continue;
		}
		/* More links than entries: some entry came twice. */
		if (++n_seen > table.n_entries) {
			virtqueue_set_broken(queue, "a chain is a loop");
			return false;
		}
		if (!virtqueue_add_buffer(queue, element, descriptor.address, descriptor.length,
					  descriptor.flags & DESCRIPTOR_WRITE))
			return false;
		if (!(descriptor.flags & DESCRIPTOR_NEXT))
			return true;
		i = descriptor.next;
	}
}

static void split_push(Virtqueue *queue, const VirtqueueElement *element, uint32_t written,
		       uint16_t position)
{
	UsedEntry *entry = &((UsedRing *)queue->device_hva)->ring[position & (queue->size - 1)];

	*entry = (UsedEntry){ .id = element->head, .length = written };
	guest_memory_mark(queue->memory, entry, sizeof(*entry));
}

/* Whether the index has passed @event on its way from @old to @new (§2.7.7.1, §2.7.10.1). */
static inline bool event_is_passed(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static void split_publish(Virtqueue *queue)
{
	UsedRing *used = queue->device_hva;

	/* Release: whoever sees the index sees the entries and the data (§2.7.8.2). */
	__atomic_store_n(&used->index, queue->next_used, __ATOMIC_RELEASE);
	guest_memory_mark(queue->memory, &used->index, sizeof(used->index));
}

static bool split_wants_interrupt(Virtqueue *queue, uint16_t old, bool old_is_valid)
{
	AvailableRing *available = queue->driver_hva;

	if (!queue->event_idx)
		return !(__atomic_load_n(&available->flags, __ATOMIC_RELAXED) &
			 AVAILABLE_NO_INTERRUPT);
	return !old_is_valid ||
	       event_is_passed(__atomic_load_n(used_event(queue), __ATOMIC_RELAXED),
			       queue->published_used, old);
}

static void split_set_notification(Virtqueue *queue, bool enabled)
{
	uint16_t *wish = queue->event_idx ? available_event(queue)
					  : &((UsedRing *)queue->device_hva)->flags;

	/* With events a disable is no write at all: the event index just stays behind. */
	if (!queue->event_idx)
		__atomic_store_n(wish, enabled ? 0 : USED_NO_NOTIFY, __ATOMIC_RELAXED);
	else if (enabled)
		__atomic_store_n(wish, queue->next_available, __ATOMIC_RELAXED);
	guest_memory_mark(queue->memory, wish, sizeof(*wish));
	/* Full barrier: the wish is out before the caller looks for what came meanwhile. */
	if (enabled)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

const VirtqueueRingOps virtqueue_split_ops = {
	.map = split_map,
	.has_available = split_has_available,
	.peek_head = split_peek_head,
	.fetch = split_fetch,
	.push = split_push,
	.publish = split_publish,
	.wants_interrupt = split_wants_interrupt,
	.set_notification = split_set_notification,
};
