/*
 * test-virtqueue-packed.c: packed rings, good and bad
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "tests/device/virtio_ring.h"
#include "vmm/virtio/virtqueue.h"

#define RAM_SIZE     0x20000ULL
#define DATA	     0x10000ULL
#define INDIRECT_GPA 0x8000ULL
#define RING_GPA     0x1000ULL
#define RING_SIZE    12u /* not a power of two, which is allowed here */

#define EVENT_DESCRIPTOR 2
#define WRAP		 0x8000

typedef struct Fixture {
	GuestMemory *memory;
	uint8_t *ram;
	VirtioRing ring;
	Virtqueue queue;
	unsigned n_broken;
	const char *reason;
} Fixture;

static void queue_broken(Virtqueue *queue, const char *reason)
{
	Fixture *fixture = queue->owner;

	fixture->n_broken++;
	fixture->reason = reason;
}

static void place(const Fixture *fixture, Virtqueue *queue)
{
	queue->size = fixture->ring.size;
	queue->packed = true;
	queue->descriptors = fixture->ring.ring;
	queue->driver_area = fixture->ring.available;
	queue->device_area = fixture->ring.used;
}

static void start(Fixture *fixture, bool event_idx, bool indirect)
{
	virtio_ring_init_packed(&fixture->ring, fixture->ram, RING_GPA, RING_SIZE);
	place(fixture, &fixture->queue);
	g_assert_true(virtqueue_map(&fixture->queue, event_idx, indirect));
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	GuestMemoryRegion region = { .size = RAM_SIZE, .fd = -1 };
	g_autoptr(GError) error = NULL;

	(void)data;
	fixture->memory = guest_memory_new();
	fixture->ram = g_malloc0(RAM_SIZE);
	region.hva = fixture->ram;
	g_assert_true(guest_memory_add(fixture->memory, &region, &error));
	g_assert_no_error(error);
	virtqueue_init(&fixture->queue, fixture->memory, 3, 64);
	fixture->queue.on_broken = queue_broken;
	fixture->queue.owner = fixture;
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtqueue_reset(&fixture->queue);
	guest_memory_free(fixture->memory);
	g_free(fixture->ram);
}

/* Describe a chain of @n bytes in @n writable descriptors, from descriptor @head on. */
static void describe(Fixture *fixture, unsigned head, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		virtio_ring_describe(&fixture->ring, (head + i) % RING_SIZE, DATA + head + i, 1,
				     RING_WRITE | (i + 1 < n ? RING_NEXT : 0),
				     (head + i + 1) % RING_SIZE);
}

static VirtqueueElement *offer_and_pop(Fixture *fixture, unsigned head, unsigned n)
{
	VirtqueueElement *element;

	describe(fixture, head, n);
	virtio_ring_offer(&fixture->ring, head);
	element = virtqueue_pop(&fixture->queue);
	g_assert_nonnull(element);
	g_assert_cmpuint(element->n_in, ==, n);
	g_assert_cmpuint(element->id, ==, head);
	return element;
}

static void assert_used(Fixture *fixture, uint32_t expected_id, uint32_t expected_length)
{
	uint32_t id, length;

	g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_cmpuint(id, ==, expected_id);
	g_assert_cmpuint(length, ==, expected_length);
}

/* In order: one descriptor for all that were used to the full; the places of the others stay. */
static void test_in_order(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->queue.in_order = true;
	start(fixture, false, false);
	/* So often that batches lie across the end of the ring, too. */
	for (unsigned lap = 0, head = 0; lap < 10; lap++) {
		VirtqueueElement *elements[3];

		for (unsigned i = 0; i < 3; i++)
			elements[i] = offer_and_pop(fixture, (head + 2 * i) % RING_SIZE, 2);
		virtqueue_push(&fixture->queue, elements[0], 2);
		virtqueue_push(&fixture->queue, elements[1], 2);
		virtqueue_push(&fixture->queue, elements[2], 1);
		virtqueue_publish(&fixture->queue);
		/* The ring of the tests goes on by the length of the chain that it is told of. */
		fixture->ring.lengths[(head + 4) % RING_SIZE] = 6;
		assert_used(fixture, (head + 4) % RING_SIZE, 1);
		g_assert_false(virtio_ring_has_used(&fixture->ring));
		head = (head + 6) % RING_SIZE;
	}
	g_assert_cmpuint(fixture->n_broken, ==, 0);
}

static void test_chain(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;
	uint32_t id, length;

	(void)data;
	start(fixture, false, false);
	g_assert_null(virtqueue_pop(&fixture->queue));
	virtio_ring_describe(&fixture->ring, 4, DATA, 16, RING_NEXT, 2);
	virtio_ring_describe(&fixture->ring, 2, DATA + 0x100, 0, RING_NEXT, 9);
	virtio_ring_describe(&fixture->ring, 9, DATA + 0x200, 32, RING_NEXT | RING_WRITE, 0);
	virtio_ring_describe(&fixture->ring, 0, DATA + 0x300, 1, RING_WRITE, 7);
	virtio_ring_offer(&fixture->ring, 4);
	element = virtqueue_pop(&fixture->queue);
	g_assert_nonnull(element);
	g_assert_cmpuint(element->n_out, ==, 1);
	g_assert_cmpuint(element->n_in, ==, 2);
	g_assert_cmpuint(element->in_size, ==, 33);
	g_assert_true(element->iov[1].iov_base == fixture->ram + DATA + 0x200);
	g_assert_null(virtqueue_pop(&fixture->queue));
	virtqueue_push(&fixture->queue, element, 33);
	g_assert_false(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_true(virtqueue_publish(&fixture->queue));
	assert_used(fixture, 4, 33);
	g_assert_false(virtqueue_publish(&fixture->queue));
}

/* Many laps of chains of all lengths, completed in another order than they came. */
static void test_laps(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned a = 1 + round % 5, b = 1 + round % 3, c = 1 + round % 4;
		VirtqueueElement *first = offer_and_pop(fixture, 0, a);
		VirtqueueElement *second = offer_and_pop(fixture, a, b);
		VirtqueueElement *third = offer_and_pop(fixture, a + b, c);

		virtqueue_push(&fixture->queue, third, 3);
		virtqueue_push(&fixture->queue, first, 0);
		virtqueue_publish(&fixture->queue);
		assert_used(fixture, a + b, 3);
		assert_used(fixture, 0, 0);
		virtqueue_push(&fixture->queue, second, 2);
		virtqueue_publish(&fixture->queue);
		assert_used(fixture, a, 2);
	}
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
	g_assert_cmpuint(fixture->queue.next_used, ==, fixture->queue.next_available);
}

/* A ring that is wholly in flight is not taken for one that is wholly available. */
static void test_full(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *elements[RING_SIZE];

	(void)data;
	start(fixture, false, false);
	for (unsigned lap = 0; lap < 5; lap++) {
		for (unsigned i = 0; i < RING_SIZE; i++)
			elements[i] = offer_and_pop(fixture, i, 1);
		g_assert_null(virtqueue_pop(&fixture->queue));
		g_assert_false(fixture->queue.broken);
		for (unsigned i = 0; i < RING_SIZE; i++)
			virtqueue_push(&fixture->queue, elements[i], 1);
		virtqueue_publish(&fixture->queue);
		for (unsigned i = 0; i < RING_SIZE; i++)
			assert_used(fixture, i, 1);
	}
}

/* Nothing of a batch is seen before all of it is. */
static void test_batch(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *elements[4];
	uint32_t id, length;

	(void)data;
	start(fixture, false, false);
	for (unsigned i = 0; i < 4; i++)
		elements[i] = offer_and_pop(fixture, i * 2, 2);
	for (unsigned i = 0; i < 4; i++) {
		virtqueue_push(&fixture->queue, elements[i], i);
		g_assert_false(virtio_ring_take_used(&fixture->ring, &id, &length));
	}
	virtqueue_publish(&fixture->queue);
	for (unsigned i = 0; i < 4; i++)
		assert_used(fixture, i * 2, i);
}

/* In an indirect table the order is that of the entries, and other flags than WRITE are nothing. */
static void test_indirect(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;

	(void)data;
	start(fixture, false, true);
	for (unsigned i = 0; i < 64; i++)
		virtio_ring_describe_at(&fixture->ring, INDIRECT_GPA, i, DATA + i * 8, 8,
					(i % 2 ? RING_NEXT : 0) | (i >= 32 ? RING_WRITE : 0), 999);
	virtio_ring_describe(&fixture->ring, 1, INDIRECT_GPA, 64 * 16, RING_INDIRECT | RING_WRITE,
			     0);
	virtio_ring_offer(&fixture->ring, 1);
	element = virtqueue_pop(&fixture->queue);
	g_assert_nonnull(element);
	g_assert_cmpuint(element->n_out, ==, 32);
	g_assert_cmpuint(element->n_in, ==, 32);
	g_assert_cmpuint(element->id, ==, 1);
	g_assert_cmpuint(element->n_positions, ==, 1);
	virtqueue_push(&fixture->queue, element, 0);
}

static void assert_pop_breaks(Fixture *fixture, const char *reason)
{
	g_assert_null(virtqueue_pop(&fixture->queue));
	g_assert_true(fixture->queue.broken);
	g_assert_cmpuint(fixture->n_broken, ==, 1);
	g_assert_cmpstr(fixture->reason, ==, reason);
	g_assert_null(virtqueue_pop(&fixture->queue));
	g_assert_false(virtqueue_has_available(&fixture->queue));
	g_assert_cmpuint(fixture->n_broken, ==, 1);
}

typedef struct BadChain {
	const char *path, *reason;
	struct {
		uint64_t address;
		uint32_t length;
		uint16_t flags;
	} ring[2], indirect[2];
	bool indirect_not_negotiated;
} BadChain;

static const BadChain bad_chains[] = {
	{ "/bad/order", "a readable buffer follows a writable one",
	  .ring = { { DATA, 8, RING_NEXT | RING_WRITE }, { DATA, 8, 0 } } },
	{ "/bad/hole", "a buffer is not in RAM", .ring = { { 0x80000, 8, 0 } } },
	{ "/bad/past-end", "a buffer is not in RAM", .ring = { { RAM_SIZE - 8, 16, RING_WRITE } } },
	{ "/bad/wrap", "a buffer wraps around", .ring = { { UINT64_MAX - 3, 16, RING_WRITE } } },
	{ "/bad/gigantic", "a buffer is not in RAM", .ring = { { 0, UINT32_MAX, RING_WRITE } } },
	{ "/bad/nested", "an indirect descriptor is nested",
	  .ring = { { INDIRECT_GPA, 32, RING_INDIRECT } },
	  .indirect = { { DATA, 8, 0 }, { INDIRECT_GPA, 16, RING_INDIRECT } } },
	{ "/bad/late-indirect", "an indirect descriptor is nested",
	  .ring = { { DATA, 8, RING_NEXT }, { INDIRECT_GPA, 16, RING_INDIRECT } } },
	{ "/bad/indirect-next", "an indirect descriptor has a successor",
	  .ring = { { INDIRECT_GPA, 16, RING_INDIRECT | RING_NEXT } } },
	{ "/bad/indirect-odd", "an indirect table has an odd size",
	  .ring = { { INDIRECT_GPA, 24, RING_INDIRECT } } },
	{ "/bad/indirect-empty", "an indirect table has an odd size",
	  .ring = { { INDIRECT_GPA, 0, RING_INDIRECT } } },
	{ "/bad/indirect-long", "an indirect table is longer than the queue",
	  .ring = { { INDIRECT_GPA, 65 * 16, RING_INDIRECT } } },
	{ "/bad/indirect-hole", "an indirect table is not in RAM",
	  .ring = { { 0x80000, 16, RING_INDIRECT } } },
	{ "/bad/indirect-wrap", "an indirect table wraps around",
	  .ring = { { UINT64_MAX - 15, 32, RING_INDIRECT } } },
	{ "/bad/indirect-unwanted", "an indirect descriptor was not negotiated",
	  .ring = { { INDIRECT_GPA, 16, RING_INDIRECT } }, .indirect = { { DATA, 8, 0 } },
	  .indirect_not_negotiated = true },
};

static void test_bad_chain(Fixture *fixture, gconstpointer data)
{
	const BadChain *bad = data;

	start(fixture, false, !bad->indirect_not_negotiated);
	for (unsigned i = 0; i < 2; i++) {
		virtio_ring_describe_at(&fixture->ring, INDIRECT_GPA, i, bad->indirect[i].address,
					bad->indirect[i].length, bad->indirect[i].flags, 0);
		virtio_ring_write_packed(&fixture->ring, i, bad->ring[i].address,
					 bad->ring[i].length, 0, bad->ring[i].flags, true);
	}
	assert_pop_breaks(fixture, bad->reason);
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
}

/* Every descriptor has a successor. */
static void test_endless(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	for (unsigned i = 0; i < RING_SIZE; i++)
		virtio_ring_write_packed(&fixture->ring, i, DATA, 1, i, RING_NEXT, true);
	assert_pop_breaks(fixture, "a chain is longer than the ring");
}

/* A chain that goes on into what is in flight. */
static void test_into_flight(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;
	uint32_t id, length;

	(void)data;
	start(fixture, false, false);
	element = offer_and_pop(fixture, 0, 2);
	for (unsigned i = 2; i < RING_SIZE; i++)
		virtio_ring_write_packed(&fixture->ring, i, DATA, 1, i, RING_NEXT, true);
	assert_pop_breaks(fixture, "a chain is longer than the ring");
	virtqueue_push(&fixture->queue, element, 0);
	g_assert_false(virtqueue_publish(&fixture->queue));
	g_assert_false(virtio_ring_take_used(&fixture->ring, &id, &length));
}

/* What is in flight is made available once more. */
static void test_available_twice(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	for (unsigned i = 0; i < RING_SIZE; i++)
		offer_and_pop(fixture, i, 1);
	g_assert_false(fixture->ring.available_wrap);
	virtio_ring_write_packed(&fixture->ring, 0, DATA, 1, 0, 0, true);
	assert_pop_breaks(fixture, "a chain that is in use is made available again");
}

static void test_bad_areas(Fixture *fixture, gconstpointer data)
{
	static const struct {
		uint64_t descriptors, driver, device;
		uint16_t size, next_available, next_used;
	} cases[] = {
		{ 0x1008, 0x2000, 0x3000, 16, 0, 0 },		  /* alignment */
		{ 0x1000, 0x2002, 0x3000, 16, 0, 0 },		  /* */
		{ 0x1000, 0x2000, 0x3001, 16, 0, 0 },		  /* */
		{ 0x1000, 0x2000, 0x3000, 0, 0, 0 },		  /* size */
		{ 0x1000, 0x2000, 0x3000, 65, 0, 0 },		  /* more than offered */
		{ 0x80000, 0x2000, 0x3000, 16, 0, 0 },		  /* a hole */
		{ RAM_SIZE - 240, 0x2000, 0x3000, 16, 0, 0 },	  /* past the end */
		{ 0x1000, RAM_SIZE, 0x3000, 16, 0, 0 },		  /* */
		{ 0x1000, 0x2000, RAM_SIZE, 16, 0, 0 },		  /* */
		{ 0xfffffffffffffff0, 0x2000, 0x3000, 16, 0, 0 }, /* wraps */
		{ 0x1000, 0x2000, 0x3000, 16, 32, 20 },		  /* positions: beyond two laps */
		{ 0x1000, 0x2000, 0x3000, 16, 20, 32 },		  /* */
		{ 0x1000, 0x2000, 0x3000, 16, 17, 0 }, /* more in flight than there are */
		{ 0x1000, 0x2000, 0x3000, 16, 0, 1 },  /* */
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		Virtqueue *queue = &fixture->queue;

		virtqueue_reset(queue);
		queue->packed = true;
		queue->size = cases[i].size;
		queue->descriptors = cases[i].descriptors;
		queue->driver_area = cases[i].driver;
		queue->device_area = cases[i].device;
		queue->next_available = cases[i].next_available;
		queue->next_used = cases[i].next_used;
		g_assert_false(virtqueue_map(queue, true, true));
		g_assert_true(queue->broken);
		g_assert_cmpuint(fixture->n_broken, ==, i + 1);
		g_assert_null(virtqueue_pop(queue));
	}
}

static void set_driver_event(Fixture *fixture, uint16_t descriptor, uint16_t flags)
{
	memcpy(fixture->ram + fixture->ring.available, &descriptor, 2);
	memcpy(fixture->ram + fixture->ring.available + 2, &flags, 2);
}

static void get_device_event(Fixture *fixture, uint16_t *descriptor, uint16_t *flags)
{
	memcpy(descriptor, fixture->ram + fixture->ring.used, 2);
	memcpy(flags, fixture->ram + fixture->ring.used + 2, 2);
}

/* @n chains of one descriptor, all the way, but for the publish. */
static void use(Fixture *fixture, unsigned n)
{
	while (n--)
		virtqueue_push(&fixture->queue, offer_and_pop(fixture, 0, 1), 1);
}

static bool publish(Fixture *fixture)
{
	bool interrupt = virtqueue_publish(&fixture->queue);
	uint32_t id, length;

	while (virtio_ring_take_used(&fixture->ring, &id, &length))
		fixture->ring.lengths[0] = 1;
	return interrupt;
}

static void test_interrupt_flags(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	use(fixture, 1);
	g_assert_true(publish(fixture));
	set_driver_event(fixture, 0, 1);
	use(fixture, 3);
	g_assert_false(publish(fixture));
	set_driver_event(fixture, 0, 0);
	use(fixture, 1);
	g_assert_true(publish(fixture));
	/* Events were not negotiated: the value is reserved, and an interrupt too many is safe. */
	set_driver_event(fixture, 0, EVENT_DESCRIPTOR);
	use(fixture, 1);
	g_assert_true(publish(fixture));
}

static void test_interrupt_events(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, true, false);
	/* The first one after a start always interrupts. */
	set_driver_event(fixture, 9 | WRAP, EVENT_DESCRIPTOR);
	use(fixture, 1);
	g_assert_true(publish(fixture));
	set_driver_event(fixture, 4 | WRAP, EVENT_DESCRIPTOR);
	use(fixture, 3); /* 1, 2, 3 */
	g_assert_false(publish(fixture));
	use(fixture, 1);
	g_assert_true(publish(fixture));
	use(fixture, 2); /* 5, 6: the event is behind */
	g_assert_false(publish(fixture));
	set_driver_event(fixture, 1, EVENT_DESCRIPTOR); /* in the next lap */
	use(fixture, 7);				/* 7 to 11, 0, and 1: passed */
	g_assert_true(publish(fixture));
	set_driver_event(fixture, 3 | WRAP, EVENT_DESCRIPTOR); /* a lap later than it seems */
	use(fixture, 4);
	g_assert_false(publish(fixture));
	/* An event that is no place in the ring. */
	set_driver_event(fixture, 0x7fff, EVENT_DESCRIPTOR);
	use(fixture, 1);
	g_assert_true(publish(fixture));
}

/* The driver sees what is used without being told, until it wants to be, some laps later. */
static void test_interrupt_laps(Fixture *fixture, gconstpointer data)
{
	const unsigned period = 2 * RING_SIZE;

	(void)data;
	start(fixture, true, false);
	set_driver_event(fixture, RING_SIZE - 1, EVENT_DESCRIPTOR);
	use(fixture, 1);
	g_assert_true(publish(fixture));
	for (unsigned n = period; n < period + 3; n++) {
		for (unsigned i = 0; i < n; i++) {
			uint32_t id, length;

			use(fixture, 1);
			virtqueue_publish_quietly(&fixture->queue);
			g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
			fixture->ring.lengths[0] = 1;
		}
		g_assert_true(virtqueue_wants_interrupt(&fixture->queue));
		g_assert_false(virtqueue_wants_interrupt(&fixture->queue));
	}
}

static void test_notification(Fixture *fixture, gconstpointer data)
{
	uint16_t descriptor, flags;

	(void)data;
	start(fixture, false, false);
	get_device_event(fixture, &descriptor, &flags);
	g_assert_cmpuint(flags, ==, 0);
	virtqueue_set_notification(&fixture->queue, false);
	get_device_event(fixture, &descriptor, &flags);
	g_assert_cmpuint(flags, ==, 1);
	describe(fixture, 0, 1);
	virtio_ring_offer(&fixture->ring, 0);
	g_assert_true(virtqueue_set_notification(&fixture->queue, true));
	virtqueue_push(&fixture->queue, virtqueue_pop(&fixture->queue), 0);
	g_assert_false(virtqueue_set_notification(&fixture->queue, true));
}

static void test_notification_events(Fixture *fixture, gconstpointer data)
{
	uint16_t descriptor, flags;

	(void)data;
	start(fixture, true, false);
	get_device_event(fixture, &descriptor, &flags);
	g_assert_cmpuint(descriptor, ==, WRAP);
	g_assert_cmpuint(flags, ==, EVENT_DESCRIPTOR);
	virtqueue_set_notification(&fixture->queue, false);
	use(fixture, 5);
	publish(fixture);
	get_device_event(fixture, &descriptor, &flags);
	g_assert_cmpuint(descriptor, ==, WRAP);
	g_assert_false(virtqueue_set_notification(&fixture->queue, true));
	get_device_event(fixture, &descriptor, &flags);
	g_assert_cmpuint(descriptor, ==, 5 | WRAP);
	use(fixture, RING_SIZE - 3);
	publish(fixture);
	virtqueue_set_notification(&fixture->queue, true);
	get_device_event(fixture, &descriptor, &flags);
	g_assert_cmpuint(descriptor, ==, 2);
}

static void test_unpop(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;

	(void)data;
	start(fixture, false, false);
	use(fixture, RING_SIZE - 2);
	publish(fixture);
	element = offer_and_pop(fixture, 0, 3); /* around the end */
	virtqueue_unpop(&fixture->queue, offer_and_pop(fixture, 3, 2));
	virtqueue_unpop(&fixture->queue, element);
	g_assert_cmpuint(fixture->queue.next_available, ==, fixture->queue.next_used);
	element = virtqueue_pop(&fixture->queue);
	g_assert_cmpuint(element->in_size, ==, 3);
	virtqueue_push(&fixture->queue, element, 0);
	element = virtqueue_pop(&fixture->queue);
	g_assert_cmpuint(element->in_size, ==, 2);
	virtqueue_push(&fixture->queue, element, 0);
	virtqueue_publish(&fixture->queue);
	assert_used(fixture, 0, 0);
	assert_used(fixture, 3, 0);
}

/*
 * Paused with two chains in flight whose descriptors the answer to a third has overwritten, saved,
 * and taken up again by a new queue.
 */
static void test_resume_elsewhere(Fixture *fixture, gconstpointer data)
{
	Virtqueue other = {};
	VirtqueueElement *first, *second, *third;
	uint16_t first_head, second_head;
	uint32_t id, length;

	(void)data;
	start(fixture, false, false);
	use(fixture, RING_SIZE - 1); /* so that the first lies around the end */
	publish(fixture);
	first = offer_and_pop(fixture, 0, 2);
	second = offer_and_pop(fixture, 2, 3);
	third = offer_and_pop(fixture, 5, 1);
	virtqueue_push(&fixture->queue, third, 7);
	virtqueue_publish(&fixture->queue);
	assert_used(fixture, 5, 7);
	virtqueue_unmap(&fixture->queue);
	first_head = first->head;
	second_head = second->head;
	g_assert_false(virtio_ring_take_used(&fixture->ring, &id, &length));

	virtqueue_init(&other, fixture->memory, 3, 64);
	place(fixture, &other);
	other.next_available = fixture->queue.next_available;
	other.next_used = fixture->queue.next_used;
	g_assert_true(virtqueue_map(&other, false, false));
	g_assert_null(virtqueue_pop(&other));
	second = virtqueue_refetch(&other, second_head);
	first = virtqueue_refetch(&other, first_head);
	g_assert_nonnull(first);
	g_assert_nonnull(second);
	g_assert_cmpuint(first->id, ==, 0);
	g_assert_cmpuint(first->in_size, ==, 2);
	g_assert_true(first->iov[0].iov_base == fixture->ram + DATA);
	g_assert_cmpuint(second->id, ==, 2);
	g_assert_cmpuint(second->in_size, ==, 3);
	g_assert_null(virtqueue_pop(&other));
	g_assert_false(other.broken);
	virtqueue_push(&other, second, 3);
	virtqueue_push(&other, first, 2);
	g_assert_true(virtqueue_publish(&other));
	assert_used(fixture, 2, 3);
	assert_used(fixture, 0, 2);
	g_assert_cmpuint(other.next_used, ==, other.next_available);
	virtqueue_reset(&other);
}

/* After a load, RAM names longer chains than were in flight. */
static void test_refetch_too_much(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *first, *second;

	(void)data;
	virtio_ring_init_packed(&fixture->ring, fixture->ram, RING_GPA, RING_SIZE);
	place(fixture, &fixture->queue);
	fixture->queue.next_available = 3;
	g_assert_true(virtqueue_map(&fixture->queue, false, false));
	for (unsigned i = 0; i < 4; i++)
		virtio_ring_write_packed(&fixture->ring, i, DATA, 1, i, i < 1 ? RING_NEXT : 0,
					 false);
	first = virtqueue_refetch(&fixture->queue, 0);
	second = virtqueue_refetch(&fixture->queue, 0);
	g_assert_nonnull(first);
	g_assert_nonnull(second);
	virtqueue_push(&fixture->queue, first, 0);
	g_assert_false(fixture->queue.broken);
	virtqueue_push(&fixture->queue, second, 0);
	g_assert_true(fixture->queue.broken);
	g_assert_cmpstr(fixture->reason, ==, "more descriptors are used than were available");
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
}

static void test_remap_keeps_in_flight(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;

	(void)data;
	start(fixture, false, false);
	element = offer_and_pop(fixture, 2, 2);
	virtqueue_unmap(&fixture->queue);
	g_assert_true(virtqueue_map(&fixture->queue, false, false));
	g_assert_null(virtqueue_pop(&fixture->queue));
	g_assert_true(element->iov[0].iov_base == fixture->ram + DATA + 2);
	virtqueue_push(&fixture->queue, element, 8);
	virtqueue_publish(&fixture->queue);
	assert_used(fixture, 2, 8);
}

static void add(const char *path, void (*func)(Fixture *, gconstpointer), gconstpointer data)
{
	g_autofree char *full = g_strconcat("/virtqueue-packed", path, NULL);

	g_test_add(full, Fixture, data, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("/chain", test_chain, NULL);
	add("/in-order", test_in_order, NULL);
	add("/laps", test_laps, NULL);
	add("/full", test_full, NULL);
	add("/batch", test_batch, NULL);
	add("/indirect", test_indirect, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_chains); i++)
		add(bad_chains[i].path, test_bad_chain, &bad_chains[i]);
	add("/bad/endless", test_endless, NULL);
	add("/bad/into-flight", test_into_flight, NULL);
	add("/bad/available-twice", test_available_twice, NULL);
	add("/bad/areas", test_bad_areas, NULL);
	add("/interrupt/flags", test_interrupt_flags, NULL);
	add("/interrupt/events", test_interrupt_events, NULL);
	add("/interrupt/laps", test_interrupt_laps, NULL);
	add("/notification/flags", test_notification, NULL);
	add("/notification/events", test_notification_events, NULL);
	add("/unpop", test_unpop, NULL);
	add("/resume-elsewhere", test_resume_elsewhere, NULL);
	add("/refetch-too-much", test_refetch_too_much, NULL);
	add("/remap-keeps-in-flight", test_remap_keeps_in_flight, NULL);
	return g_test_run();
}
