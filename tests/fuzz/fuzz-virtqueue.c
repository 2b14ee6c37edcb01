/*
 * fuzz-virtqueue.c: a guest that writes anything into its rings
 *
 * The input is what the driver does: bytes into RAM that holds rings and tables, and steps of the
 * device in between. RAM ends at an inaccessible page, and every byte of every element is touched.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/virtio/virtqueue.h"

#include <string.h>
#include <sys/mman.h>

#define RAM_SIZE    0x10000u
#define SECOND_GPA  RAM_SIZE /* adjacent, elsewhere in the host */
#define SECOND_SIZE 0x1000u
#define ROM_GPA	    0x40000u
#define IN_FLIGHT   64u

enum { STEP_POP, STEP_PUSH, STEP_UNPOP, STEP_PUBLISH, STEP_NOTIFICATION, STEP_REMAP, N_STEPS };

typedef struct State {
	Virtqueue queue;
	VirtqueueElement *held[IN_FLIGHT]; /* in the order popped */
	unsigned n_held;
} State;

static uint8_t *ram, *second, *rom;

static uint8_t *map_with_guard(size_t size)
{
	uint8_t *mapping = mmap(NULL, size + 0x1000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapping == MAP_FAILED || mprotect(mapping, size, PROT_READ | PROT_WRITE) != 0)
		g_error("no memory to fuzz in");
	return mapping;
}

static GuestMemory *make_memory(void)
{
	GuestMemory *memory = guest_memory_new();

	if (!ram) {
		ram = map_with_guard(RAM_SIZE);
		second = map_with_guard(SECOND_SIZE);
		rom = map_with_guard(0x1000);
	}
	memset(ram, 0, RAM_SIZE);
	memset(second, 0, SECOND_SIZE);
	guest_memory_add(memory, &(GuestMemoryRegion){ .size = RAM_SIZE, .hva = ram, .fd = -1 },
			 NULL);
	guest_memory_add(memory,
			 &(GuestMemoryRegion){
				 .gpa = SECOND_GPA, .size = SECOND_SIZE, .hva = second, .fd = -1 },
			 NULL);
	guest_memory_add(
		memory,
		&(GuestMemoryRegion){
			.gpa = ROM_GPA, .size = 0x1000, .hva = rom, .fd = -1, .read_only = true },
		NULL);
	return memory;
}

/* What a device may do with an element: read all that is readable, write all that is writable. */
static void touch(const VirtqueueElement *element)
{
	volatile uint8_t sum = 0;

	if (element->out_size != iov_size(element->iov, element->n_out) ||
	    element->in_size != iov_size(element->iov + element->n_out, element->n_in))
		g_error("the sizes of an element are wrong");
	for (unsigned i = 0; i < element->n_out; i++) {
		sum += ((uint8_t *)element->iov[i].iov_base)[0];
		sum += ((uint8_t *)element->iov[i].iov_base)[element->iov[i].iov_len - 1];
	}
	for (unsigned i = element->n_out; i < element->n_out + element->n_in; i++) {
		((uint8_t *)element->iov[i].iov_base)[0] = sum;
		((uint8_t *)element->iov[i].iov_base)[element->iov[i].iov_len - 1] = sum;
	}
}

static void step(State *state, unsigned what, unsigned which)
{
	Virtqueue *queue = &state->queue;
	VirtqueueElement *element;

	switch (what) {
	case STEP_POP:
		element = state->n_held < IN_FLIGHT ? virtqueue_pop(queue) : NULL;
		if (element) {
			touch(element);
			state->held[state->n_held++] = element;
		}
		break;
	case STEP_PUSH:
		if (state->n_held) {
			which %= state->n_held;
			virtqueue_push(queue, state->held[which], which);
			memmove(state->held + which, state->held + which + 1,
				(--state->n_held - which) * sizeof(*state->held));
		}
		break;
	case STEP_UNPOP:
		if (state->n_held)
			virtqueue_unpop(queue, state->held[--state->n_held]);
		break;
	case STEP_PUBLISH:
		virtqueue_publish(queue);
		break;
	case STEP_NOTIFICATION:
		virtqueue_set_notification(queue, which & 1);
		break;
	case STEP_REMAP:
		virtqueue_unmap(queue);
		virtqueue_map(queue, which & 1, which & 2);
		break;
	}
	if (queue->n_in_flight != state->n_held)
		g_error("elements in flight got lost");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	State state = {};
	GuestMemory *memory;

	if (size < 8)
		return 0;
	memory = make_memory();
	virtqueue_init(&state.queue, memory, 0, 64);
	/* Powers of two, and, which only packed rings have, others. */
	state.queue.size = data[4] & 8 ? data[0] % 65 : 1u << (data[0] % 8);
	state.queue.descriptors = data[1] * 0x110u;
	state.queue.driver_area = data[2] * 0x102u;
	state.queue.device_area = data[3] * 0x104u;
	state.queue.packed = data[4] & 4;
	state.queue.in_order = data[4] & 16;
	virtqueue_map(&state.queue, data[4] & 1, data[4] & 2);
	data += 5;
	size -= 5;
	/* Each piece: a step, where to write, how much, and the bytes. */
	while (size >= 4) {
		unsigned at = data[1] | data[2] << 8, length = data[3];

		length = MIN(length, MIN(size - 4, RAM_SIZE - at));
		memcpy(ram + at, data + 4, length);
		step(&state, data[0] % N_STEPS, data[0] / N_STEPS);
		data += 4 + length;
		size -= 4 + length;
	}
	virtqueue_reset(&state.queue);
	guest_memory_free(memory);
	return 0;
}
