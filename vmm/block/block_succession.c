/*
 * block_succession.c: a drive goes on with another node
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_internal.h"
#include "vmm/block/block_vhost_log.h"

#include "vmm/base/error.h"

void block_node_succeed(BlockNode *node, BlockNode *old)
{
	ThrottleConfig config;
	const char *group = block_node_get_throttle(old, &config);

	/* Limits that are in force are sensible. */
	if (group)
		block_node_set_throttle(node, group, &config, NULL);
	for (int kind = 0; kind < BLOCK_HISTOGRAM_N_KINDS; kind++) {
		g_autoptr(BlockHistogram) histogram = block_node_get_histogram(old, kind);

		if (histogram)
			block_node_set_histogram(node, kind, histogram->boundaries,
						 histogram->n_boundaries);
	}
}

/* What is written to the new node: one after the other, on the loop of its first port. */
typedef struct Inheritance {
	BlockRequest request; /* first */
	struct iovec iov;
	BlockNode *node;
	const GPtrArray *entries; /* const BlockVhostEntry * */
	unsigned next;

	GMutex lock;
	GCond cond;
	bool done;
	int result;
} Inheritance;

static void inherit_next(Inheritance *inheritance);

static void inherit_end(Inheritance *inheritance, int result)
{
	g_mutex_lock(&inheritance->lock);
	inheritance->done = true;
	inheritance->result = result;
	g_cond_signal(&inheritance->cond);
	g_mutex_unlock(&inheritance->lock);
}

static void inherited_one(BlockRequest *request, int result)
{
	Inheritance *inheritance = (Inheritance *)request;

	if (result < 0)
		inherit_end(inheritance, result);
	else
		inherit_next(inheritance);
}

static void inherit_next(Inheritance *inheritance)
{
	const BlockVhostEntry *entry;

	if (inheritance->next == inheritance->entries->len) {
		inherit_end(inheritance, 0);
		return;
	}
	entry = inheritance->entries->pdata[inheritance->next++];
	inheritance->iov = (struct iovec){ (void *)entry->data, entry->size };
	inheritance->request = (BlockRequest){
		.operation = entry->operation,
		.may_unmap = entry->may_unmap,
		.offset = entry->offset,
		.size = entry->size,
		.iov = entry->operation == BLOCK_WRITE ? &inheritance->iov : NULL,
		.n_iov = entry->operation == BLOCK_WRITE,
		.complete = inherited_one,
	};
	block_node_submit(inheritance->node, 0, &inheritance->request);
}

/* Whoever serves @node may go meanwhile, and nobody could come while the main thread waits. */
static void inherit_on_loop(gpointer data)
{
	Inheritance *inheritance = data;

	block_node_set_draining(inheritance->node, 0, true);
	inherit_next(inheritance);
}

static void stop_draining(gpointer data)
{
	block_node_set_draining(data, 0, false);
}

bool block_node_inherit(BlockNode *node, BlockNode *old, GError **error)
{
	const BlockBottomOps *ops = old->bottom->ops;
	g_autoptr(GPtrArray) entries = ops->unflushed ? ops->unflushed(old->bottom) : NULL;
	Inheritance inheritance = { .node = node, .entries = entries };
	IoLoop *loop = node->ports[0]->loop;

	if (!entries)
		return true;
	g_mutex_init(&inheritance.lock);
	g_cond_init(&inheritance.cond);
	io_loop_post(loop, inherit_on_loop, &inheritance);
	g_mutex_lock(&inheritance.lock);
	while (!inheritance.done)
		g_cond_wait(&inheritance.cond, &inheritance.lock);
	g_mutex_unlock(&inheritance.lock);
	io_loop_run_sync(loop, stop_draining, node);
	g_mutex_clear(&inheritance.lock);
	g_cond_clear(&inheritance.cond);
	return inheritance.result == 0 ||
	       error_fail_errno(error, -inheritance.result,
				"node '%s': what was written before cannot be written to it",
				node->name);
}
