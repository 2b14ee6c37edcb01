/*
 * virtqueue.c: what a request costs at the ring
 *
 * Nanoseconds to pop and push a request of three buffers (header, data, status), in batches of 64
 * that are published once. Only the device's side is timed; the driver's is between the batches.
 * A run's result is that of its median batch, as the mean would be of who else used the machine.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"
#include "tests/device/virtio_ring.h"
#include "vmm/virtio/virtqueue.h"

#define RAM_SIZE     (4u << 20)
#define RING_SIZE    256u
#define BATCH	     64u
#define DESCRIPTORS  3u
#define DATA_GPA     0x100000u
#define INDIRECT_GPA 0x40000u

typedef struct Variant {
	const char *name;
	bool packed, indirect;
} Variant;

static const Variant variants[] = {
	{ "split-direct", false, false },
	{ "split-indirect", false, true },
	{ "packed-direct", true, false },
	{ "packed-indirect", true, true },
};

typedef struct Bench {
	uint8_t *ram;
	GuestMemory *memory;
	VirtioRing ring;
	Virtqueue queue;
} Bench;

static void describe(Bench *bench, const Variant *variant, unsigned request)
{
	VirtioRing *ring = &bench->ring;
	unsigned first = variant->indirect ? 0 : request * DESCRIPTORS;
	uint64_t table = variant->indirect ? INDIRECT_GPA + request * 64ULL : ring->descriptors;
	uint64_t data = DATA_GPA + request * 0x2000ULL;

	virtio_ring_describe_at(ring, table, first, data, 16, RING_NEXT, first + 1);
	virtio_ring_describe_at(ring, table, first + 1, data + 0x1000, 4096, RING_NEXT | RING_WRITE,
				first + 2);
	virtio_ring_describe_at(ring, table, first + 2, data + 16, 1, RING_WRITE, 0);
	if (variant->indirect)
		virtio_ring_describe(ring, request, table, DESCRIPTORS * 16, RING_INDIRECT, 0);
}

static void set_up(Bench *bench, const Variant *variant)
{
	*bench = (Bench){ .ram = g_malloc0(RAM_SIZE), .memory = guest_memory_new() };
	if (!guest_memory_add(bench->memory,
			      &(GuestMemoryRegion){ .size = RAM_SIZE, .hva = bench->ram, .fd = -1 },
			      NULL))
		g_error("no guest memory");
	(variant->packed ? virtio_ring_init_packed : virtio_ring_init)(&bench->ring, bench->ram,
								       0x1000, RING_SIZE);
	virtqueue_init(&bench->queue, bench->memory, 0, RING_SIZE);
	bench->queue.packed = variant->packed;
	bench->queue.descriptors = variant->packed ? bench->ring.ring : bench->ring.descriptors;
	bench->queue.driver_area = bench->ring.available;
	bench->queue.device_area = bench->ring.used;
	if (!virtqueue_map(&bench->queue, true, true))
		g_error("the ring cannot be mapped");
	for (unsigned i = 0; i < BATCH; i++)
		describe(bench, variant, i);
}

static void tear_down(Bench *bench)
{
	virtqueue_reset(&bench->queue);
	guest_memory_free(bench->memory);
	g_free(bench->ram);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nanoseconds for the device's side of one batch. */
static int64_t run_batch(Bench *bench, const Variant *variant)
{
	VirtqueueElement *elements[BATCH];
	uint32_t id, length;
	int64_t start;

	for (unsigned i = 0; i < BATCH; i++)
		virtio_ring_offer(&bench->ring, variant->indirect ? i : i * DESCRIPTORS);
	start = now_ns();
	for (unsigned i = 0; i < BATCH; i++)
		elements[i] = virtqueue_pop(&bench->queue);
	for (unsigned i = 0; i < BATCH; i++)
		virtqueue_push(&bench->queue, elements[i], 4097);
	virtqueue_publish(&bench->queue);
	start = now_ns() - start;
	for (unsigned i = 0; i < BATCH; i++) {
		if (!virtio_ring_take_used(&bench->ring, &id, &length) || length != 4097)
			g_error("a request got lost");
	}
	return start;
}

static double measure(const Variant *variant, unsigned n_batches)
{
	g_autofree double *batches = g_new(double, n_batches);
	Bench bench;

	set_up(&bench, variant);
	for (unsigned i = 0; i < n_batches / 10; i++)
		run_batch(&bench, variant);
	for (unsigned i = 0; i < n_batches; i++)
		batches[i] = (double)run_batch(&bench, variant) / BATCH;
	tear_down(&bench);
	return bench_median(batches, n_batches);
}

int main(int argc, char **argv)
{
	gboolean json = FALSE;
	int n_runs = 7, n_batches = 5000;
	const GOptionEntry entries[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json, "one JSON object for each row", NULL },
		{ "runs", 0, 0, G_OPTION_ARG_INT, &n_runs, "runs of each (default 7)", "N" },
		{ "batches", 0, 0, G_OPTION_ARG_INT, &n_batches,
		  "batches of 64 in a run (default 5000)", "N" },
		{},
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	BenchRow rows[G_N_ELEMENTS(variants)] = {};

	g_option_context_set_summary(
		context, "Cost of popping and pushing a request of three buffers, by ring layout.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error) || n_batches < 10 ||
	    n_runs < 1 || n_runs > (int)BENCH_RUNS_MAX) {
		g_printerr("virtqueue: %s\n", error ? error->message : "a number is out of range");
		return 1;
	}
	for (int run = 0; run < n_runs; run++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
			rows[i].name = variants[i].name;
			rows[i].unit = "ns";
			rows[i].ours[rows[i].n_runs++] = measure(&variants[i], n_batches);
		}
	}
	bench_report(rows, G_N_ELEMENTS(rows), json);
	return 0;
}
