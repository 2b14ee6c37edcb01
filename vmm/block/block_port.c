/*
 * block_port.c: a loop's part of a node: what is in flight there, and what has been counted
 *
 * Counters are written by one thread and read by any; readers add up the ports.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_internal.h"

#include <errno.h>
#include <string.h>

#define CACHE_LINE 64

struct BlockDrain {
	BlockPort *port;
	GMutex lock;
	GCond cond;
	bool done;
};

/* Loop thread. The port may be gone as soon as this returns. */
static void drain_done(BlockPort *port)
{
	BlockDrain *drain = g_steal_pointer(&port->drain);

	g_mutex_lock(&drain->lock);
	drain->done = true;
	g_cond_signal(&drain->cond);
	g_mutex_unlock(&drain->lock);
}

bool block_port_is_idle(const BlockPort *port)
{
	return port->in_flight == 0 && !port->waiting[0].first && !port->waiting[1].first;
}

/* Whoever drains does not wait for a limit on speed, nor for somebody who is not there. */
static void release(BlockPort *port)
{
	const BlockBottomOps *ops = port->node->bottom->ops;

	block_throttle_release(port);
	if (ops->drain)
		ops->drain(port);
}

static void drain_start(gpointer data)
{
	BlockDrain *drain = data;

	BlockPort *port = drain->port;

	port->drain = drain;
	release(port);
	/* It may have become idle, and @drain be done, by that. */
	if (port->drain && block_port_is_idle(port))
		drain_done(port);
}

static void port_drain(BlockPort *port)
{
	BlockDrain drain = { .port = port };

	g_mutex_init(&drain.lock);
	g_cond_init(&drain.cond);
	io_loop_post(port->loop, drain_start, &drain);
	g_mutex_lock(&drain.lock);
	while (!drain.done)
		g_cond_wait(&drain.cond, &drain.lock);
	g_mutex_unlock(&drain.lock);
	g_mutex_clear(&drain.lock);
	g_cond_clear(&drain.cond);
}

void block_node_drain(BlockNode *node)
{
	for (unsigned i = 0; i < node->n_ports; i++)
		port_drain(node->ports[i]);
}

/* Requests */

static void add(uint64_t *counter, uint64_t amount)
{
	/* One writer; atomic so that readers never see half a number. */
	__atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static BlockHistogram *histogram_of(const BlockPort *port, BlockOperation operation)
{
	switch (operation) {
	case BLOCK_READ:
		return port->histograms[BLOCK_HISTOGRAM_READ];
	case BLOCK_WRITE:
	case BLOCK_WRITE_ZEROES:
		return port->histograms[BLOCK_HISTOGRAM_WRITE];
	case BLOCK_FLUSH:
		return port->histograms[BLOCK_HISTOGRAM_FLUSH];
	default:
		return NULL;
	}
}

static void histogram_count(BlockHistogram *histogram, uint64_t latency_ns)
{
	unsigned low = 0, high = histogram->n_boundaries;

	/* How many boundaries are at or below the latency. */
	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (histogram->boundaries[middle] <= latency_ns)
			low = middle + 1;
		else
			high = middle;
	}
	add(&histogram->bins[low], 1);
}

static void count(BlockPort *port, const BlockRequest *request, int result, bool refused)
{
	BlockStatistics *statistics = &port->statistics;
	BlockOperation operation = request->operation;
	BlockHistogram *histogram = histogram_of(port, operation);
	int64_t end_ns = io_loop_now_ns();

	__atomic_store_n(&statistics->last_ns, end_ns, __ATOMIC_RELAXED);
	if (refused) {
		add(&statistics->refused[operation], 1);
		return;
	}
	add(&statistics->total_ns[operation], end_ns - request->start_ns);
	if (histogram)
		histogram_count(histogram, end_ns - request->start_ns);
	if (result < 0) {
		add(&statistics->failed[operation], 1);
		return;
	}
	add(&statistics->operations[operation], 1);
	add(&statistics->bytes[operation], request->size);
	if (operation == BLOCK_WRITE &&
	    request->offset + request->size > statistics->highest_write_offset)
		__atomic_store_n(&statistics->highest_write_offset, request->offset + request->size,
				 __ATOMIC_RELAXED);
}

void block_port_finish(BlockRequest *request, int result, bool refused)
{
	BlockPort *port = request->port;

	if (result != -ECANCELED)
		count(port, request, result, refused);
	/* The callback may free the request; only then is nothing in flight. */
	request->complete(request, result);
	port->in_flight--;
	if (port->drain && block_port_is_idle(port))
		drain_done(port);
}

void block_port_start(BlockRequest *request)
{
	request->port->in_flight++;
	request->node->bottom->ops->start(request);
}

void block_node_submit(BlockNode *node, unsigned index, BlockRequest *request)
{
	BlockPort *port = node->ports[index];

	request->node = node;
	request->port = port;
	request->start_ns = io_loop_now_ns();
	if (!port->group || !block_throttle_delays(port, request))
		block_port_start(request);
}

void block_node_set_draining(BlockNode *node, unsigned index, bool draining)
{
	BlockPort *port = node->ports[index];

	port->draining = draining;
	if (draining)
		release(port);
}

/* Opening and closing */

static void port_close(gpointer data)
{
	BlockPort *port = data;

	g_warn_if_fail(block_port_is_idle(port));
	g_clear_pointer(&port->timer, io_timer_free);
}

bool block_ports_open(BlockNode *node, IoLoop *const *loops, unsigned n_loops, GError **error)
{
	const BlockBottomOps *ops = node->bottom->ops;

	node->ports = g_new0(BlockPort *, n_loops);
	for (unsigned i = 0; i < n_loops; i++) {
		BlockPort *port = g_aligned_alloc0(1, ops->port_size, CACHE_LINE);

		port->node = node;
		port->loop = loops[i];
		for (unsigned queue = 0; queue < G_N_ELEMENTS(port->waiting); queue++)
			port->waiting[queue].last = &port->waiting[queue].first;
		node->ports[node->n_ports++] = port;
	}
	return ops->open_ports(node, error);
}

static void add_statistics(BlockStatistics *sum, const BlockStatistics *part)
{
	for (int i = 0; i < BLOCK_N_OPERATIONS; i++) {
		sum->operations[i] += get(&part->operations[i]);
		sum->bytes[i] += get(&part->bytes[i]);
		sum->failed[i] += get(&part->failed[i]);
		sum->refused[i] += get(&part->refused[i]);
		sum->total_ns[i] += get(&part->total_ns[i]);
	}
	sum->highest_write_offset =
		MAX(sum->highest_write_offset, get(&part->highest_write_offset));
	sum->last_ns = MAX(sum->last_ns, __atomic_load_n(&part->last_ns, __ATOMIC_RELAXED));
}

void block_ports_close(BlockNode *top)
{
	for (unsigned i = 0; i < top->n_ports; i++)
		io_loop_run_sync(top->ports[i]->loop, port_close, top->ports[i]);
	top->bottom->ops->close_ports(top);
	for (unsigned i = 0; i < top->n_ports; i++) {
		BlockPort *port = top->ports[i];

		for (BlockNode *node = top; node; node = node->child)
			add_statistics(&node->past, &port->statistics);
		for (int kind = 0; kind < BLOCK_HISTOGRAM_N_KINDS; kind++)
			block_histogram_free(port->histograms[kind]);
		g_aligned_free(port);
	}
	top->n_ports = 0;
	g_clear_pointer(&top->ports, g_free);
}

void block_node_get_statistics(BlockNode *node, BlockStatistics *statistics)
{
	const BlockNode *top = node;

	*statistics = node->past;
	while (top->above)
		top = top->above;
	for (unsigned i = 0; i < top->n_ports; i++)
		add_statistics(statistics, &top->ports[i]->statistics);
}

/* Histograms */

void block_histogram_free(BlockHistogram *histogram)
{
	if (!histogram)
		return;
	g_free(histogram->boundaries);
	g_free(histogram->bins);
	g_free(histogram);
}

static BlockHistogram *histogram_new(const uint64_t *boundaries, unsigned n)
{
	BlockHistogram *histogram = g_new0(BlockHistogram, 1);

	histogram->n_boundaries = n;
	histogram->boundaries = g_memdup2(boundaries, n * sizeof(*boundaries));
	histogram->bins = g_new0(uint64_t, n + 1);
	return histogram;
}

typedef struct HistogramChange {
	BlockPort *port;
	BlockHistogramKind kind;
	BlockHistogram *histogram;
} HistogramChange;

static void change_histogram(gpointer data)
{
	HistogramChange *change = data;
	BlockHistogram *old = change->port->histograms[change->kind];

	change->port->histograms[change->kind] = change->histogram;
	change->histogram = old;
}

void block_node_set_histogram(BlockNode *node, BlockHistogramKind kind, const uint64_t *boundaries,
			      unsigned n)
{
	for (unsigned i = 0; i < node->n_ports; i++) {
		HistogramChange change = {
			.port = node->ports[i],
			.kind = kind,
			.histogram = n ? histogram_new(boundaries, n) : NULL,
		};

		io_loop_run_sync(change.port->loop, change_histogram, &change);
		block_histogram_free(change.histogram);
	}
}

BlockHistogram *block_node_get_histogram(BlockNode *node, BlockHistogramKind kind)
{
	BlockHistogram *sum = NULL;

	/* Only the main thread changes which histogram a port has, and all ports have the same. */
	for (unsigned i = 0; i < node->n_ports; i++) {
		const BlockHistogram *part = node->ports[i]->histograms[kind];

		if (!part)
			return NULL;
		if (!sum)
			sum = histogram_new(part->boundaries, part->n_boundaries);
		for (unsigned bin = 0; bin <= part->n_boundaries; bin++)
			sum->bins[bin] += get(&part->bins[bin]);
	}
	return sum;
}
