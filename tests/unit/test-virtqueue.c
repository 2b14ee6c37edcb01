/*
 * test-virtqueue.c: rings, good and bad
 *
 * RAM is two adjacent regions with separate host mappings, a hole, and a read-only region, so that
 * buffers can span, miss and be refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "tests/device/virtio_ring.h"
#include "vmm/virtio/virtqueue.h"

#define REGION_SIZE 0x20000ULL
#define SECOND_GPA  REGION_SIZE
#define ROM_GPA	    0x100000ULL
#define DATA	    0x10000ULL
#define RING_SIZE   16u

typedef struct Fixture {
	GuestMemory *memory;
	uint8_t *first, *second, *rom;
	VirtioRing ring;
	Virtqueue queue;
	unsigned n_broken;
	char *reason;
} Fixture;

static void queue_broken(Virtqueue *queue, const char *reason)
{
	Fixture *fixture = queue->owner;

	fixture->n_broken++;
	g_free(fixture->reason);
	fixture->reason = g_strdup(reason);
}

static uint8_t *add_region(Fixture *fixture, uint64_t gpa, bool read_only)
{
	GuestMemoryRegion region = {
		.gpa = gpa,
		.size = REGION_SIZE,
		.hva = g_malloc0(REGION_SIZE),
		.fd = -1,
		.read_only = read_only,
	};
	g_autoptr(GError) error = NULL;

	g_assert_true(guest_memory_add(fixture->memory, &region, &error));
	g_assert_no_error(error);
	return region.hva;
}

static void start(Fixture *fixture, bool event_idx, bool indirect)
{
	Virtqueue *queue = &fixture->queue;

	virtio_ring_init(&fixture->ring, fixture->first, 0x1000, RING_SIZE);
	queue->size = RING_SIZE;
	queue->descriptors = fixture->ring.descriptors;
	queue->driver_area = fixture->ring.available;
	queue->device_area = fixture->ring.used;
	g_assert_true(virtqueue_map(queue, event_idx, indirect));
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->memory = guest_memory_new();
	fixture->first = add_region(fixture, 0, false);
	fixture->second = add_region(fixture, SECOND_GPA, false);
	fixture->rom = add_region(fixture, ROM_GPA, true);
	virtqueue_init(&fixture->queue, fixture->memory, 3, 64);
	fixture->queue.on_broken = queue_broken;
	fixture->queue.owner = fixture;
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtqueue_reset(&fixture->queue);
	guest_memory_free(fixture->memory);
	g_free(fixture->first);
	g_free(fixture->second);
	g_free(fixture->rom);
	g_free(fixture->reason);
}

/* The next pop finds the ring broken for @reason, and nothing comes out of it again. */
static void assert_pop_breaks(Fixture *fixture, const char *reason)
{
	g_assert_null(virtqueue_pop(&fixture->queue));
	g_assert_true(fixture->queue.broken);
	g_assert_cmpuint(fixture->n_broken, ==, 1);
	g_assert_cmpstr(fixture->reason, ==, reason);
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
	virtio_ring_describe(&fixture->ring, 15, DATA, 1, 0, 0);
	virtio_ring_offer(&fixture->ring, 15);
	g_assert_null(virtqueue_pop(&fixture->queue));
	g_assert_false(virtqueue_has_available(&fixture->queue));
	g_assert_false(virtqueue_set_notification(&fixture->queue, true));
	g_assert_false(virtqueue_publish(&fixture->queue));
	g_assert_cmpuint(fixture->n_broken, ==, 1);
}

/* In order: one entry for all that were used to the full and what came after them. */
static void test_in_order(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *elements[6];
	uint32_t id, length;

	(void)data;
	fixture->queue.in_order = true;
	start(fixture, false, false);
	for (unsigned i = 0; i < 6; i++) {
		virtio_ring_describe(&fixture->ring, i, DATA + 64 * i, 64, i < 2 ? 0 : RING_WRITE,
				     0);
		virtio_ring_offer(&fixture->ring, i);
		elements[i] = virtqueue_pop(&fixture->queue);
		g_assert_nonnull(elements[i]);
	}
	virtqueue_push(&fixture->queue, elements[0], 0);
	virtqueue_push(&fixture->queue, elements[1], 0);
	virtqueue_push(&fixture->queue, elements[2], 64);
	virtqueue_push(&fixture->queue, elements[3], 10);
	virtqueue_push(&fixture->queue, elements[4], 64);
	virtqueue_publish(&fixture->queue);
	g_assert_cmpuint(virtio_ring_used_index(&fixture->ring), ==, 5);
	/* The first four are one batch, which ends with the one that is not full. */
	g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_cmpuint(id, ==, 3);
	g_assert_cmpuint(length, ==, 10);
	fixture->ring.next_used = 4;
	g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_cmpuint(id, ==, 4);
	g_assert_cmpuint(length, ==, 64);
	/* What was published stays as it is. */
	virtqueue_push(&fixture->queue, elements[5], 64);
	virtqueue_publish(&fixture->queue);
	g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_cmpuint(id, ==, 5);
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
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
	g_assert_cmpuint(element->out_size, ==, 16);
	g_assert_cmpuint(element->in_size, ==, 33);
	g_assert_true(element->iov[0].iov_base == fixture->first + DATA);
	g_assert_true(element->iov[1].iov_base == fixture->first + DATA + 0x200);
	g_assert_true(element->iov[2].iov_base == fixture->first + DATA + 0x300);
	g_assert_cmpuint(element->iov[2].iov_len, ==, 1);
	g_assert_null(virtqueue_pop(&fixture->queue));

	virtqueue_push(&fixture->queue, element, 33);
	g_assert_false(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_true(virtqueue_publish(&fixture->queue));
	g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_cmpuint(id, ==, 4);
	g_assert_cmpuint(length, ==, 33);
	g_assert_false(virtqueue_publish(&fixture->queue));
}

/* Far more chains than the ring and the index have room for, completed in another order. */
static void test_wrap(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *elements[RING_SIZE];
	uint32_t id, length;

	(void)data;
	start(fixture, false, false);
	for (unsigned i = 0; i < RING_SIZE; i++)
		virtio_ring_describe(&fixture->ring, i, DATA + i, 1, RING_WRITE, 0);
	for (unsigned round = 0; round < 0x11000 / RING_SIZE; round++) {
		for (unsigned i = 0; i < RING_SIZE; i++)
			virtio_ring_offer(&fixture->ring, (i * 5 + round) % RING_SIZE);
		for (unsigned i = 0; i < RING_SIZE; i++) {
			elements[i] = virtqueue_pop(&fixture->queue);
			g_assert_nonnull(elements[i]);
			g_assert_cmpuint(elements[i]->slot, <, RING_SIZE);
		}
		g_assert_null(virtqueue_pop(&fixture->queue));
		for (unsigned i = RING_SIZE; i-- > 0;)
			virtqueue_push(&fixture->queue, elements[i], i);
		virtqueue_publish(&fixture->queue);
		for (unsigned i = RING_SIZE; i-- > 0;) {
			g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
			g_assert_cmpuint(id, ==, (i * 5 + round) % RING_SIZE);
			g_assert_cmpuint(length, ==, i);
		}
	}
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
}

static void test_indirect(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;

	(void)data;
	start(fixture, false, true);
	/* More entries than the ring has, as many as were offered; odd alignment. */
	for (unsigned i = 0; i < 64; i++)
		virtio_ring_describe_at(&fixture->ring, 0x8001, i, DATA + i * 8, 8,
					(i < 63 ? RING_NEXT : 0) | (i >= 32 ? RING_WRITE : 0),
					i + 1);
	virtio_ring_describe(&fixture->ring, 1, 0x8001, 64 * 16, RING_INDIRECT, 0);
	virtio_ring_offer(&fixture->ring, 1);
	element = virtqueue_pop(&fixture->queue);
	g_assert_nonnull(element);
	g_assert_cmpuint(element->n_out, ==, 32);
	g_assert_cmpuint(element->n_in, ==, 32);
	g_assert_cmpuint(element->head, ==, 1);
	for (unsigned i = 0; i < 64; i++) {
		g_assert_true(element->iov[i].iov_base == fixture->first + DATA + i * 8);
		g_assert_cmpuint(element->iov[i].iov_len, ==, 8);
	}
	virtqueue_push(&fixture->queue, element, 0);
}

/* Short and long chains in flight side by side keep their pieces. */
static void test_lengths(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *elements[12];

	(void)data;
	start(fixture, false, true);
	for (unsigned n = 1; n <= G_N_ELEMENTS(elements); n++) {
		uint64_t table = 0x8000 + n * 0x100;

		for (unsigned i = 0; i < n; i++)
			virtio_ring_describe_at(&fixture->ring, table, i, DATA + n * 256 + i * 8, 8,
						i + 1 < n ? RING_NEXT : 0, i + 1);
		virtio_ring_describe(&fixture->ring, n, table, n * 16, RING_INDIRECT, 0);
		virtio_ring_offer(&fixture->ring, n);
	}
	for (unsigned n = 1; n <= G_N_ELEMENTS(elements); n++)
		g_assert_nonnull(elements[n - 1] = virtqueue_pop(&fixture->queue));
	for (unsigned n = 1; n <= G_N_ELEMENTS(elements); n++) {
		const VirtqueueElement *element = elements[n - 1];

		g_assert_cmpuint(element->n_out, ==, n);
		for (unsigned i = 0; i < n; i++)
			g_assert_true(element->iov[i].iov_base ==
				      fixture->first + DATA + n * 256 + i * 8);
		virtqueue_push(&fixture->queue, elements[n - 1], 0);
	}
}

/* An indirect table and a buffer that lie in two regions. */
static void test_spanning(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;
	uint8_t table[32], pattern[64];
	uint64_t address = SECOND_GPA - 40;
	uint32_t size = 64;
	uint16_t flags = RING_WRITE;

	(void)data;
	start(fixture, false, true);
	memset(table, 0, sizeof(table));
	memcpy(table, &address, 8);
	memcpy(table + 8, &size, 4);
	memcpy(table + 12, &flags, 2);
	memcpy(fixture->first + REGION_SIZE - 8, table, 8);
	memcpy(fixture->second, table + 8, 8);
	virtio_ring_describe(&fixture->ring, 0, SECOND_GPA - 8, 16, RING_INDIRECT, 0);
	virtio_ring_offer(&fixture->ring, 0);
	element = virtqueue_pop(&fixture->queue);
	g_assert_nonnull(element);
	g_assert_cmpuint(element->n_in, ==, 2);
	g_assert_cmpuint(element->in_size, ==, 64);
	g_assert_cmpuint(element->iov[0].iov_len, ==, 40);
	g_assert_true(element->iov[1].iov_base == fixture->second);
	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] = i;
	g_assert_cmpuint(iov_copy_to(element->iov, 2, 0, pattern, 64), ==, 64);
	g_assert_cmpuint(fixture->first[REGION_SIZE - 1], ==, 39);
	g_assert_cmpuint(fixture->second[0], ==, 40);
	virtqueue_push(&fixture->queue, element, 64);
}

typedef struct BadChain {
	const char *path, *reason;
	struct {
		uint64_t address;
		uint32_t length;
		uint16_t flags, next;
	} ring[3], indirect[2];
	uint16_t head;
	bool indirect_not_negotiated;
} BadChain;

#define INDIRECT_GPA 0x8000ULL

static const BadChain bad_chains[] = {
	{ "/bad/self-loop", "a chain is a loop", .ring = { { DATA, 8, RING_NEXT, 0 } } },
	{ "/bad/loop", "a chain is a loop",
	  .ring = { { DATA, 8, RING_NEXT, 1 },
		    { DATA, 8, RING_NEXT, 2 },
		    { DATA, 8, RING_NEXT, 1 } } },
	{ "/bad/empty-loop", "a chain is a loop", .ring = { { DATA, 0, RING_NEXT, 0 } } },
	{ "/bad/next", "a chain leads outside its descriptor table",
	  .ring = { { DATA, 8, RING_NEXT, RING_SIZE } } },
	{ "/bad/head", "a chain starts outside the descriptor table", .head = RING_SIZE },
	{ "/bad/head-max", "a chain starts outside the descriptor table", .head = 0xffff },
	{ "/bad/order", "a readable buffer follows a writable one",
	  .ring = { { DATA, 8, RING_NEXT | RING_WRITE, 1 }, { DATA, 8, 0, 0 } } },
	{ "/bad/hole", "a buffer is not in RAM", .ring = { { 0x80000, 8, 0, 0 } } },
	{ "/bad/past-end", "a buffer is not in RAM",
	  .ring = { { 2 * REGION_SIZE - 8, 16, RING_WRITE, 0 } } },
	{ "/bad/wrap", "a buffer wraps around", .ring = { { UINT64_MAX - 3, 16, RING_WRITE, 0 } } },
	{ "/bad/end-of-space", "a buffer wraps around",
	  .ring = { { UINT64_MAX - 15, 16, RING_WRITE, 0 } } },
	{ "/bad/rom", "a buffer is not in RAM", .ring = { { ROM_GPA, 8, RING_WRITE, 0 } } },
	{ "/bad/gigantic", "a buffer is not in RAM", .ring = { { 0, UINT32_MAX, RING_WRITE, 0 } } },
	{ "/bad/nested", "an indirect descriptor is nested",
	  .ring = { { INDIRECT_GPA, 32, RING_INDIRECT, 0 } },
	  .indirect = { { DATA, 8, RING_NEXT, 1 }, { INDIRECT_GPA, 32, RING_INDIRECT, 0 } } },
	{ "/bad/nested-first", "an indirect descriptor is nested",
	  .ring = { { INDIRECT_GPA, 16, RING_INDIRECT, 0 } },
	  .indirect = { { INDIRECT_GPA, 16, RING_INDIRECT, 0 } } },
	{ "/bad/late-indirect", "an indirect descriptor is nested",
	  .ring = { { DATA, 8, RING_NEXT, 1 }, { INDIRECT_GPA, 16, RING_INDIRECT, 0 } } },
	{ "/bad/indirect-next", "an indirect descriptor has a successor",
	  .ring = { { INDIRECT_GPA, 16, RING_INDIRECT | RING_NEXT, 1 } } },
	{ "/bad/indirect-odd", "an indirect table has an odd size",
	  .ring = { { INDIRECT_GPA, 24, RING_INDIRECT, 0 } } },
	{ "/bad/indirect-empty", "an indirect table has an odd size",
	  .ring = { { INDIRECT_GPA, 0, RING_INDIRECT, 0 } } },
	{ "/bad/indirect-long", "an indirect table is longer than the queue",
	  .ring = { { INDIRECT_GPA, 65 * 16, RING_INDIRECT, 0 } } },
	{ "/bad/indirect-huge", "an indirect table is longer than the queue",
	  .ring = { { INDIRECT_GPA, 0xfffffff0, RING_INDIRECT, 0 } } },
	{ "/bad/indirect-hole", "an indirect table is not in RAM",
	  .ring = { { 0x80000, 16, RING_INDIRECT, 0 } } },
	{ "/bad/indirect-wrap", "an indirect table wraps around",
	  .ring = { { UINT64_MAX - 15, 32, RING_INDIRECT, 0 } } },
	{ "/bad/indirect-next-entry", "a chain leads outside its descriptor table",
	  .ring = { { INDIRECT_GPA, 32, RING_INDIRECT, 0 } },
	  .indirect = { { DATA, 8, RING_NEXT, 2 } } },
	{ "/bad/indirect-loop", "a chain is a loop",
	  .ring = { { INDIRECT_GPA, 32, RING_INDIRECT, 0 } },
	  .indirect = { { DATA, 8, RING_NEXT, 1 }, { DATA, 8, RING_NEXT, 0 } } },
	{ "/bad/indirect-unwanted", "an indirect descriptor was not negotiated",
	  .ring = { { INDIRECT_GPA, 16, RING_INDIRECT, 0 } }, .indirect = { { DATA, 8, 0, 0 } },
	  .indirect_not_negotiated = true },
};

static void test_bad_chain(Fixture *fixture, gconstpointer data)
{
	const BadChain *bad = data;

	start(fixture, false, !bad->indirect_not_negotiated);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad->ring); i++)
		virtio_ring_describe(&fixture->ring, i, bad->ring[i].address, bad->ring[i].length,
				     bad->ring[i].flags, bad->ring[i].next);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad->indirect); i++)
		virtio_ring_describe_at(&fixture->ring, INDIRECT_GPA, i, bad->indirect[i].address,
					bad->indirect[i].length, bad->indirect[i].flags,
					bad->indirect[i].next);
	virtio_ring_offer(&fixture->ring, bad->head);
	assert_pop_breaks(fixture, bad->reason);
}

/* A chain whose lengths add up to more than 4 GiB, though each buffer is good. */
static void test_too_long(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	virtio_ring_describe(&fixture->ring, 0, 0, REGION_SIZE * 2, RING_NEXT, 1);
	virtio_ring_describe(&fixture->ring, 1, 0, UINT32_MAX, 0, 0);
	virtio_ring_offer(&fixture->ring, 0);
	assert_pop_breaks(fixture, "a chain is longer than 4 GiB");
}

static void test_index_jump(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	virtio_ring_set_available(&fixture->ring, RING_SIZE + 1);
	assert_pop_breaks(fixture, "the available index jumped");
}

static void test_index_back(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	virtio_ring_set_available(&fixture->ring, 0xffff);
	assert_pop_breaks(fixture, "the available index jumped");
}

static void test_head_twice(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;

	(void)data;
	start(fixture, false, false);
	virtio_ring_describe(&fixture->ring, 5, DATA, 8, 0, 0);
	virtio_ring_offer(&fixture->ring, 5);
	virtio_ring_offer(&fixture->ring, 5);
	element = virtqueue_pop(&fixture->queue);
	g_assert_nonnull(element);
	g_assert_null(virtqueue_pop(&fixture->queue));
	g_assert_cmpstr(fixture->reason, ==, "a chain that is in use is made available again");
	/* What was in flight can still be given back, without touching the ring. */
	virtqueue_push(&fixture->queue, element, 0);
	g_assert_cmpuint(virtio_ring_used_index(&fixture->ring), ==, 0);
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
}

static void test_bad_areas(Fixture *fixture, gconstpointer data)
{
	static const struct {
		uint64_t descriptors, available, used;
		uint16_t size;
	} cases[] = {
		{ 0x1008, 0x2000, 0x3000, 16 },		      /* alignment */
		{ 0x1000, 0x2001, 0x3000, 16 },		      /* */
		{ 0x1000, 0x2000, 0x3002, 16 },		      /* */
		{ 0x1000, 0x2000, 0x3000, 0 },		      /* size */
		{ 0x1000, 0x2000, 0x3000, 12 },		      /* */
		{ 0x1000, 0x2000, 0x3000, 128 },	      /* more than offered */
		{ 0x80000, 0x2000, 0x3000, 16 },	      /* a hole */
		{ 0x1000, SECOND_GPA - 8, 0x3000, 16 },	      /* two regions */
		{ 0x1000, 0x2000, ROM_GPA, 16 },	      /* read-only */
		{ 0x1000, 0x2000, 2 * REGION_SIZE - 16, 16 }, /* past the end */
		{ 0xfffffffffffffff0, 0x2000, 0x3000, 16 },   /* wraps */
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		Virtqueue *queue = &fixture->queue;

		virtqueue_reset(queue);
		queue->size = cases[i].size;
		queue->descriptors = cases[i].descriptors;
		queue->driver_area = cases[i].available;
		queue->device_area = cases[i].used;
		g_assert_false(virtqueue_map(queue, true, true));
		g_assert_true(queue->broken);
		g_assert_cmpuint(fixture->n_broken, ==, i + 1);
		g_assert_null(virtqueue_pop(queue));
		g_assert_false(virtqueue_map(queue, true, true));
		g_assert_cmpuint(fixture->n_broken, ==, i + 1);
	}
}

static void offer_and_push(Fixture *fixture, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		VirtqueueElement *element;

		virtio_ring_describe(&fixture->ring, 0, DATA, 8, RING_WRITE, 0);
		virtio_ring_offer(&fixture->ring, 0);
		element = virtqueue_pop(&fixture->queue);
		g_assert_nonnull(element);
		virtqueue_push(&fixture->queue, element, 8);
	}
}

static void test_interrupt_flags(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	virtio_ring_set_available_flags(&fixture->ring, 1);
	offer_and_push(fixture, 3);
	g_assert_false(virtqueue_publish(&fixture->queue));
	g_assert_cmpuint(virtio_ring_used_index(&fixture->ring), ==, 3);
	virtio_ring_set_available_flags(&fixture->ring, 0);
	offer_and_push(fixture, 1);
	g_assert_true(virtqueue_publish(&fixture->queue));
}

static void test_interrupt_events(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, true, false);
	/* The first one after a start always interrupts: nobody knows what came before. */
	virtio_ring_set_used_event(&fixture->ring, 100);
	offer_and_push(fixture, 1);
	g_assert_true(virtqueue_publish(&fixture->queue));
	virtio_ring_set_used_event(&fixture->ring, 4);
	offer_and_push(fixture, 3); /* index is 4: entry 4 is not used yet */
	g_assert_false(virtqueue_publish(&fixture->queue));
	offer_and_push(fixture, 1);
	g_assert_true(virtqueue_publish(&fixture->queue));
	offer_and_push(fixture, 5); /* event is behind */
	g_assert_false(virtqueue_publish(&fixture->queue));
	virtio_ring_set_used_event(&fixture->ring, 12);
	offer_and_push(fixture, 7); /* passed in the middle of a batch */
	g_assert_true(virtqueue_publish(&fixture->queue));
}

static void test_notification(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, false, false);
	g_assert_cmpuint(virtio_ring_used_flags(&fixture->ring), ==, 0);
	virtqueue_set_notification(&fixture->queue, false);
	g_assert_cmpuint(virtio_ring_used_flags(&fixture->ring), ==, 1);
	virtio_ring_describe(&fixture->ring, 0, DATA, 8, 0, 0);
	virtio_ring_offer(&fixture->ring, 0);
	/* The chain came while notifications were off: enabling must say so. */
	g_assert_true(virtqueue_set_notification(&fixture->queue, true));
	g_assert_cmpuint(virtio_ring_used_flags(&fixture->ring), ==, 0);
	virtqueue_push(&fixture->queue, virtqueue_pop(&fixture->queue), 0);
	g_assert_false(virtqueue_set_notification(&fixture->queue, true));
}

static void test_notification_events(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start(fixture, true, false);
	g_assert_cmpuint(virtio_ring_available_event(&fixture->ring), ==, 0);
	virtqueue_set_notification(&fixture->queue, false);
	offer_and_push(fixture, 5);
	g_assert_cmpuint(virtio_ring_available_event(&fixture->ring), ==, 0);
	g_assert_cmpuint(virtio_ring_used_flags(&fixture->ring), ==, 0);
	g_assert_false(virtqueue_set_notification(&fixture->queue, true));
	g_assert_cmpuint(virtio_ring_available_event(&fixture->ring), ==, 5);
}

static void test_unpop(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;

	(void)data;
	start(fixture, false, false);
	virtio_ring_describe(&fixture->ring, 0, DATA, 8, 0, 0);
	virtio_ring_describe(&fixture->ring, 1, DATA, 9, 0, 0);
	virtio_ring_offer(&fixture->ring, 0);
	virtio_ring_offer(&fixture->ring, 1);
	element = virtqueue_pop(&fixture->queue);
	virtqueue_unpop(&fixture->queue, virtqueue_pop(&fixture->queue));
	virtqueue_unpop(&fixture->queue, element);
	g_assert_cmpuint(fixture->queue.n_in_flight, ==, 0);
	g_assert_cmpuint(fixture->queue.next_available, ==, 0);
	element = virtqueue_pop(&fixture->queue);
	g_assert_cmpuint(element->out_size, ==, 8);
	virtqueue_push(&fixture->queue, element, 0);
}

/* Paused with one chain in flight, saved, and taken up again by a new queue. */
static void test_resume_elsewhere(Fixture *fixture, gconstpointer data)
{
	Virtqueue other = {};
	VirtqueueElement *element;
	uint32_t id, length;

	(void)data;
	start(fixture, false, false);
	offer_and_push(fixture, 3);
	virtqueue_publish(&fixture->queue);
	virtio_ring_describe(&fixture->ring, 6, DATA, 8, RING_WRITE, 0);
	virtio_ring_offer(&fixture->ring, 6);
	g_assert_nonnull(virtqueue_pop(&fixture->queue));
	virtqueue_unmap(&fixture->queue);
	g_assert_null(virtqueue_pop(&fixture->queue));

	virtqueue_init(&other, fixture->memory, 3, 64);
	other.size = fixture->queue.size;
	other.descriptors = fixture->queue.descriptors;
	other.driver_area = fixture->queue.driver_area;
	other.device_area = fixture->queue.device_area;
	other.next_available = fixture->queue.next_available;
	other.next_used = fixture->queue.next_used;
	g_assert_true(virtqueue_map(&other, false, false));
	g_assert_null(virtqueue_pop(&other));
	element = virtqueue_refetch(&other, 6);
	g_assert_nonnull(element);
	g_assert_null(virtqueue_pop(&other));
	fixture->ring.next_used = 3;
	virtqueue_push(&other, element, 8);
	g_assert_true(virtqueue_publish(&other));
	g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_cmpuint(id, ==, 6);
	virtqueue_reset(&other);
}

static void test_remap_keeps_in_flight(Fixture *fixture, gconstpointer data)
{
	VirtqueueElement *element;
	uint32_t id, length;

	(void)data;
	start(fixture, false, false);
	virtio_ring_describe(&fixture->ring, 2, DATA, 8, RING_WRITE, 0);
	virtio_ring_offer(&fixture->ring, 2);
	element = virtqueue_pop(&fixture->queue);
	virtqueue_unmap(&fixture->queue);
	g_assert_true(virtqueue_map(&fixture->queue, false, false));
	g_assert_true(element->iov[0].iov_base == fixture->first + DATA);
	virtqueue_push(&fixture->queue, element, 8);
	virtqueue_publish(&fixture->queue);
	g_assert_true(virtio_ring_take_used(&fixture->ring, &id, &length));
	g_assert_cmpuint(id, ==, 2);
}

static void test_iov(void)
{
	uint8_t a[4] = { 0, 1, 2, 3 }, b[3] = { 4, 5, 6 }, out[8] = {};
	struct iovec pieces[] = { { a, 4 }, { a, 0 }, { b, 3 } }, *iov = pieces;
	unsigned n = 3;

	g_assert_cmpuint(iov_size(iov, n), ==, 7);
	g_assert_cmpuint(iov_copy_from(iov, n, 3, out, 8), ==, 4);
	g_assert_cmpmem(out, 4, "\3\4\5\6", 4);
	g_assert_cmpuint(iov_copy_from(iov, n, 7, out, 8), ==, 0);
	g_assert_cmpuint(iov_copy_from(iov, n, UINT64_MAX, out, 8), ==, 0);
	g_assert_cmpuint(iov_copy_to(iov, n, 2, "wxyz", 4), ==, 4);
	g_assert_cmpmem(a, 4, "\0\1wx", 4);
	g_assert_cmpmem(b, 3, "yz\6", 3);
	iov_discard_back(iov, &n, 4);
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmpuint(iov[0].iov_len, ==, 3);
	iov_discard_front(&iov, &n, 1);
	g_assert_cmpuint(iov_size(iov, n), ==, 2);
	g_assert_true(iov[0].iov_base == a + 1);
	iov_discard_front(&iov, &n, 99);
	g_assert_cmpuint(n, ==, 0);
	iov_discard_back(iov, &n, 99);
	g_assert_cmpuint(n, ==, 0);
}

/* Whatever is cut out of bytes in whatever pieces, the others stay, in order. */
static void test_iov_cut(void)
{
	static const uint8_t bytes[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };

	for (unsigned offset = 0; offset <= 10; offset++) {
		for (unsigned size = 0; size <= 10; size++) {
			uint8_t copy[9], expected[9], out[9];
			struct iovec pieces[5] = {
				{ copy, 2 }, { copy + 2, 0 }, { copy + 2, 3 }, { copy + 5, 4 }
			};
			unsigned head = MIN(offset, 9), tail = MIN(offset + size, 9), n;

			memcpy(copy, bytes, sizeof(copy));
			memcpy(expected, bytes, head);
			memcpy(expected + head, bytes + tail, 9 - tail);
			n = iov_cut(pieces, 4, offset, size);
			g_assert_cmpuint(n, <=, 5);
			g_assert_cmpuint(iov_copy_from(pieces, n, 0, out, 9), ==, head + 9 - tail);
			g_assert_cmpmem(out, head + 9 - tail, expected, head + 9 - tail);
		}
	}
}

static void test_iov_copy(void)
{
	uint8_t source[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, target[8] = {};
	const struct iovec from[] = { { source, 3 }, { source, 0 }, { source + 3, 5 } };
	const struct iovec to[] = { { target, 1 }, { target + 1, 4 }, { target + 5, 1 } };
	const struct iovec overlapping = { source + 1, 7 };

	g_assert_cmpuint(iov_copy(to, 3, from, 3, 4), ==, 4);
	g_assert_cmpmem(target, 8, "\1\2\3\4\0\0\0\0", 8);
	g_assert_cmpuint(iov_copy(to, 3, from, 3, 99), ==, 6);
	g_assert_cmpmem(target, 8, "\1\2\3\4\5\6\0\0", 8);
	g_assert_cmpuint(iov_copy(to, 0, from, 3, 99), ==, 0);
	g_assert_cmpuint(iov_copy(from, 1, &overlapping, 1, 3), ==, 3);
	g_assert_cmpmem(source, 4, "\2\3\4\4", 4);
}

static void add(const char *path, void (*func)(Fixture *, gconstpointer), gconstpointer data)
{
	g_autofree char *full = g_strconcat("/virtqueue", path, NULL);

	g_test_add(full, Fixture, data, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtqueue/iov", test_iov);
	g_test_add_func("/virtqueue/iov-cut", test_iov_cut);
	g_test_add_func("/virtqueue/iov-copy", test_iov_copy);
	add("/chain", test_chain, NULL);
	add("/in-order", test_in_order, NULL);
	add("/wrap", test_wrap, NULL);
	add("/indirect", test_indirect, NULL);
	add("/lengths", test_lengths, NULL);
	add("/spanning", test_spanning, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_chains); i++)
		add(bad_chains[i].path, test_bad_chain, &bad_chains[i]);
	add("/bad/too-long", test_too_long, NULL);
	add("/bad/index-jump", test_index_jump, NULL);
	add("/bad/index-back", test_index_back, NULL);
	add("/bad/head-twice", test_head_twice, NULL);
	add("/bad/areas", test_bad_areas, NULL);
	add("/interrupt/flags", test_interrupt_flags, NULL);
	add("/interrupt/events", test_interrupt_events, NULL);
	add("/notification/flags", test_notification, NULL);
	add("/notification/events", test_notification_events, NULL);
	add("/unpop", test_unpop, NULL);
	add("/resume-elsewhere", test_resume_elsewhere, NULL);
	add("/remap-keeps-in-flight", test_remap_keeps_in_flight, NULL);
	return g_test_run();
}
