/*
 * block_throttle.c: groups of nodes that share limits on their speed
 *
 * A group's buckets are behind a lock, which only nodes under limits ever take: for each request
 * once, when it comes. A request that has to wait is told until when, and does so in a queue of its
 * port, for which a timer of the port's loop is set.
 *
 * A change of limits admits what waits anew.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_internal.h"
#include "vmm/base/error.h"

struct BlockGroups {
	GHashTable *by_name; /* char * (the group's) -> BlockGroup * (owned) */
};

struct BlockGroup {
	BlockGroups *groups;
	char *name;
	bool is_object;	  /* made by -object: stays without members */
	GPtrArray *nodes; /* BlockNode *: members; main thread */

	GMutex lock; /* protects what follows */
	Throttle throttle;
};

static void group_free(gpointer data)
{
	BlockGroup *group = data;

	g_ptr_array_unref(group->nodes);
	g_mutex_clear(&group->lock);
	g_free(group->name);
	g_free(group);
}

BlockGroups *block_groups_new(void)
{
	BlockGroups *groups = g_new0(BlockGroups, 1);

	groups->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, group_free);
	return groups;
}

void block_groups_free(BlockGroups *groups)
{
	g_hash_table_unref(groups->by_name);
	g_free(groups);
}

static BlockGroup *group_new(BlockGroups *groups, const char *name)
{
	BlockGroup *group = g_new0(BlockGroup, 1);

	group->groups = groups;
	group->name = g_strdup(name);
	group->nodes = g_ptr_array_new();
	g_mutex_init(&group->lock);
	g_hash_table_insert(groups->by_name, group->name, group);
	return group;
}

/* Loop thread */

static bool is_limited(const BlockRequest *request)
{
	return request->operation == BLOCK_READ || request->operation == BLOCK_WRITE ||
	       request->operation == BLOCK_WRITE_ZEROES;
}

static void set_timer(BlockPort *port);

static void start_due(gpointer data)
{
	BlockPort *port = data;
	int64_t now_ns = io_loop_now_ns();

	for (unsigned i = 0; i < G_N_ELEMENTS(port->waiting); i++) {
		BlockQueue *queue = &port->waiting[i];

		while (queue->first && queue->first->due_ns <= now_ns) {
			BlockRequest *request = queue->first;

			queue->first = request->next;
			if (!queue->first)
				queue->last = &queue->first;
			block_port_start(request);
		}
	}
	set_timer(port);
}

static void set_timer(BlockPort *port)
{
	int64_t due_ns = INT64_MAX;

	for (unsigned i = 0; i < G_N_ELEMENTS(port->waiting); i++) {
		if (port->waiting[i].first)
			due_ns = MIN(due_ns, port->waiting[i].first->due_ns);
	}
	if (due_ns == INT64_MAX)
		return;
	if (!port->timer)
		port->timer = io_loop_add_timer(port->loop, start_due, port);
	io_timer_set(port->timer, due_ns);
}

bool block_throttle_delays(BlockPort *port, BlockRequest *request)
{
	bool is_write = request->operation != BLOCK_READ;
	BlockQueue *queue = &port->waiting[is_write];
	int64_t now_ns = io_loop_now_ns();
	BlockGroup *group = port->group;
	int64_t wait_ns;

	if (port->draining || !is_limited(request))
		return false;
	g_mutex_lock(&group->lock);
	wait_ns = throttle_admit(&group->throttle, is_write, request->size, now_ns);
	g_mutex_unlock(&group->lock);
	if (wait_ns == 0 && !queue->first)
		return false;
	request->due_ns = now_ns + wait_ns;
	request->next = NULL;
	*queue->last = request;
	queue->last = &request->next;
	if (queue->first == request)
		set_timer(port);
	return true;
}

/* All that waits at @port, as one list; nothing does then. */
static BlockRequest *take_waiting(BlockPort *port)
{
	BlockRequest *all;

	*port->waiting[0].last = port->waiting[1].first;
	all = port->waiting[0].first;
	for (unsigned i = 0; i < G_N_ELEMENTS(port->waiting); i++)
		port->waiting[i] = (BlockQueue){ .last = &port->waiting[i].first };
	if (port->timer)
		io_timer_stop(port->timer);
	return all;
}

void block_throttle_release(BlockPort *port)
{
	BlockRequest *request = take_waiting(port);

	while (request) {
		BlockRequest *next = request->next;

		block_port_start(request);
		request = next;
	}
}

typedef struct GroupChange {
	BlockPort *port;
	BlockGroup *group;
} GroupChange;

static void change_group(gpointer data)
{
	GroupChange *change = data;
	BlockPort *port = change->port;
	BlockRequest *request = take_waiting(port);

	port->group = change->group;
	while (request) {
		BlockRequest *next = request->next;

		if (!port->group || !block_throttle_delays(port, request))
			block_port_start(request);
		request = next;
	}
}

/* Main thread */

static void tell_ports(BlockNode *node)
{
	for (unsigned i = 0; i < node->n_ports; i++) {
		GroupChange change = { .port = node->ports[i], .group = node->group };

		io_loop_run_sync(change.port->loop, change_group, &change);
	}
}

static void leave(BlockNode *node)
{
	BlockGroup *group = g_steal_pointer(&node->group);

	tell_ports(node);
	g_ptr_array_remove(group->nodes, node);
	if (group->nodes->len == 0 && !group->is_object)
		g_hash_table_remove(group->groups->by_name, group->name);
}

void block_node_leave_group(BlockNode *node)
{
	if (node->group)
		leave(node);
}

static void group_set(BlockGroup *group, const ThrottleConfig *config)
{
	g_mutex_lock(&group->lock);
	throttle_init(&group->throttle, config, io_loop_now_ns());
	g_mutex_unlock(&group->lock);
}

bool block_node_set_throttle(BlockNode *node, const char *name, const ThrottleConfig *config,
			     GError **error)
{
	BlockGroups *groups = block_nodes_groups(node->nodes);
	BlockGroup *group;

	if (!throttle_config_check(config, error))
		return false;
	if (!throttle_config_is_enabled(config)) {
		block_node_leave_group(node);
		return true;
	}
	if (!name)
		name = node->group ? node->group->name : node->user;
	group = g_hash_table_lookup(groups->by_name, name);
	if (!group)
		group = group_new(groups, name);
	if (node->group != group) {
		block_node_leave_group(node);
		node->group = group;
		g_ptr_array_add(group->nodes, node);
	}
	group_set(group, config);
	for (unsigned i = 0; i < group->nodes->len; i++)
		tell_ports(group->nodes->pdata[i]);
	return true;
}

const char *block_node_get_throttle(const BlockNode *node, ThrottleConfig *config)
{
	if (!node->group)
		return NULL;
	/* Only the main thread changes it. */
	*config = node->group->throttle.config;
	return node->group->name;
}

bool block_nodes_add_throttle_group(BlockNodes *nodes, const char *name,
				    const ThrottleConfig *config, GError **error)
{
	BlockGroups *groups = block_nodes_groups(nodes);
	BlockGroup *group;

	if (!throttle_config_check(config, error))
		return false;
	if (g_hash_table_lookup(groups->by_name, name))
		return error_fail(error, "there is a throttle group '%s' already", name);
	group = group_new(groups, name);
	group->is_object = true;
	group_set(group, config);
	return true;
}

bool block_nodes_remove_throttle_group(BlockNodes *nodes, const char *name)
{
	BlockGroups *groups = block_nodes_groups(nodes);
	BlockGroup *group = g_hash_table_lookup(groups->by_name, name);

	if (!group || group->nodes->len > 0)
		return false;
	g_hash_table_remove(groups->by_name, group->name);
	return true;
}
