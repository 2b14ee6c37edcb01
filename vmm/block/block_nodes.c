/*
 * block_nodes.c: the nodes of a machine: making, finding, claiming and removing them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_file.h"
#include "vmm/block/block_internal.h"
#include "vmm/block/block_vhost.h"
#include "vmm/base/error.h"

#include "qapi-types.h"

#include <string.h>

/* Names are at most this long in QEMU, whose clients rely on it. */
#define NODE_NAME_MAX 31

struct BlockNodes {
	FdSetOpener fd_sets;
	GuestMemory *memory;
	GMainContext *context;
	GHashTable *by_name; /* char * (the node's) -> BlockNode * (owned) */
	GPtrArray *in_order;
	unsigned n_generated;
	BlockGroups *groups;
};

/* What a node inside another takes from it where it says nothing itself. */
typedef struct Inherited {
	bool read_only;
	bool auto_read_only;
	bool direct;
	bool no_flush;
	bool discard;
} Inherited;

static BlockNode *node_new(BlockNodes *nodes, const QapiBlockdevOptions *options,
			   const Inherited *inherited, GError **error);

BlockNodes *block_nodes_new(void)
{
	BlockNodes *nodes = g_new0(BlockNodes, 1);

	nodes->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	nodes->in_order = g_ptr_array_new();
	nodes->groups = block_groups_new();
	return nodes;
}

static void forget_child(BlockNode *node)
{
	g_clear_pointer(&node->child->user, g_free);
	node->child->above = NULL;
}

static void node_free(BlockNode *node)
{
	if (!node)
		return;
	g_hash_table_remove(node->nodes->by_name, node->name);
	g_ptr_array_remove(node->nodes->in_order, node);
	if (node->child && node->owns_child)
		node_free(node->child);
	else if (node->child)
		forget_child(node);
	else
		block_bottom_free(node->bottom);
	g_free(node->user);
	g_free(node->name);
	g_free(node);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockNode, node_free)

void block_nodes_free(BlockNodes *nodes)
{
	if (!nodes)
		return;
	/* A node is made after the one it refers to. */
	while (nodes->in_order->len > 0)
		node_free(g_ptr_array_index(nodes->in_order, nodes->in_order->len - 1));
	g_ptr_array_unref(nodes->in_order);
	g_hash_table_unref(nodes->by_name);
	block_groups_free(nodes->groups);
	g_free(nodes);
}

BlockGroups *block_nodes_groups(BlockNodes *nodes)
{
	return nodes->groups;
}

const GuestMemory *block_nodes_memory(const BlockNodes *nodes)
{
	return nodes->memory;
}

void block_nodes_set_fd_sets(BlockNodes *nodes, const FdSetOpener *opener)
{
	nodes->fd_sets = *opener;
}

void block_nodes_set_memory(BlockNodes *nodes, GuestMemory *memory, GMainContext *context)
{
	nodes->memory = memory;
	nodes->context = context;
}

BlockNode *block_nodes_find(BlockNodes *nodes, const char *node_name)
{
	return g_hash_table_lookup(nodes->by_name, node_name);
}

void block_nodes_foreach(BlockNodes *nodes, void (*func)(BlockNode *, gpointer), gpointer data)
{
	for (unsigned i = 0; i < nodes->in_order->len; i++)
		func(g_ptr_array_index(nodes->in_order, i), data);
}

static bool check_name(BlockNodes *nodes, const char *name, GError **error)
{
	if (!g_ascii_isalpha(name[0]) || strlen(name) > NODE_NAME_MAX ||
	    name[strspn(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-._")])
		return error_fail(error,
				  "'%s' is no node name: a letter, then letters, digits, "
				  "'-', '.', '_', in all at most %d",
				  name, NODE_NAME_MAX);
	if (block_nodes_find(nodes, name))
		return error_fail(error, "node '%s' exists already", name);
	return true;
}

static bool node_open_file(BlockNode *node, const QapiBlockdevOptionsFile *options,
			   const Inherited *own, GError **error)
{
	BlockFileConfig config = {
		.filename = options->filename,
		.block_device = g_str_equal(node->driver, "host_device"),
		.read_only = own->read_only,
		.auto_read_only = own->auto_read_only,
		.direct = own->direct,
		.threads = options->has_aio && options->aio == QAPI_BLOCKDEV_AIO_OPTIONS_THREADS,
		.locking = !options->has_locking		      ? BLOCK_LOCKING_AUTO
			   : options->locking == QAPI_ON_OFF_AUTO_ON  ? BLOCK_LOCKING_ON
			   : options->locking == QAPI_ON_OFF_AUTO_OFF ? BLOCK_LOCKING_OFF
								      : BLOCK_LOCKING_AUTO,
	};

	BlockFile *file = block_file_open(&config, &node->nodes->fd_sets, error);

	if (!file)
		return false;
	node->bottom = &file->bottom;
	node->read_only = node->bottom->read_only;
	return true;
}

/* As QEMU has it: there is no page cache of this host's kernel that it could go through. */
static bool node_open_vhost(BlockNode *node, const QapiBlockdevOptions *options,
			    const Inherited *own, GError **error)
{
	const QapiBlockdevOptionsVirtioBlkVhostUser *vhost = &options->u.virtio_blk_vhost_user;
	const BlockVhostConfig config = {
		.node_name = node->name,
		.path = vhost->path,
		.read_only = own->read_only,
		.auto_read_only = own->auto_read_only,
		.has_reconnect_delay = vhost->has_reconnect_delay,
		.reconnect_delay = vhost->reconnect_delay,
		.memory = node->nodes->memory,
		.context = node->nodes->context,
	};

	if (options->cache && options->cache->has_direct && !options->cache->direct)
		return error_fail(error, "'cache.direct' of off is not supported");
	node->bottom = block_vhost_open(&config, error);
	if (!node->bottom)
		return false;
	node->read_only = node->bottom->read_only;
	return true;
}

static bool node_open_child(BlockNode *node, const QapiBlockdevRef *reference, const Inherited *own,
			    bool says_direct, GError **error)
{
	if (reference->type == QAPI_BLOCKDEV_REF_DEFINITION) {
		Inherited inherited = *own;

		/* The node above decides about discards; the file only has to let them through. */
		inherited.discard = true;
		node->child = node_new(node->nodes, reference->u.definition, &inherited, error);
		if (!node->child)
			return false;
		node->owns_child = true;
		node->child->is_child = true;
	} else {
		BlockNode *child = block_nodes_find(node->nodes, reference->u.reference);

		if (!child)
			return error_fail(error, "node '%s' not found", reference->u.reference);
		if (child->user)
			return error_fail(error, "node '%s' is in use by '%s'", child->name,
					  child->user);
		node->child = child;
	}
	node->child->user = g_strdup(node->name);
	node->child->above = node;
	node->bottom = node->child->bottom;
	node->no_flush |= node->child->no_flush;
	node->discard &= node->child->discard;
	if (node->detect_zeroes == BLOCK_DETECT_ZEROES_OFF)
		node->detect_zeroes = node->child->detect_zeroes;

	if (says_direct && own->direct != node->bottom->direct)
		return error_fail(error, "'cache.direct' is not that of node '%s'",
				  node->child->name);
	if (node->child->read_only && !node->read_only) {
		if (!own->auto_read_only)
			return error_fail(error, "node '%s' below it is read-only",
					  node->child->name);
		node->read_only = true;
	}
	return true;
}

static bool node_set_detection(BlockNode *node, const QapiBlockdevOptions *options, GError **error)
{
	static const BlockDetectZeroes modes[] = {
		[QAPI_BLOCKDEV_DETECT_ZEROES_OPTIONS_OFF] = BLOCK_DETECT_ZEROES_OFF,
		[QAPI_BLOCKDEV_DETECT_ZEROES_OPTIONS_ON] = BLOCK_DETECT_ZEROES_ON,
		[QAPI_BLOCKDEV_DETECT_ZEROES_OPTIONS_UNMAP] = BLOCK_DETECT_ZEROES_UNMAP,
	};

	if (options->has_detect_zeroes)
		node->detect_zeroes = modes[options->detect_zeroes];
	if (node->detect_zeroes == BLOCK_DETECT_ZEROES_UNMAP && !node->discard)
		return error_fail(error, "'detect-zeroes' of unmap needs a 'discard' of unmap");
	return true;
}

static bool node_open(BlockNode *node, const QapiBlockdevOptions *options,
		      const Inherited *inherited, GError **error)
{
	const QapiBlockdevCacheOptions *cache = options->cache;
	Inherited own = *inherited;

	if (options->has_read_only)
		own.read_only = options->read_only;
	if (options->has_auto_read_only)
		own.auto_read_only = options->auto_read_only;
	if (options->has_discard)
		own.discard = options->discard == QAPI_BLOCKDEV_DISCARD_OPTIONS_UNMAP;
	if (cache && cache->has_direct)
		own.direct = cache->direct;
	if (cache && cache->has_no_flush)
		own.no_flush = cache->no_flush;

	node->read_only = own.read_only;
	node->discard = own.discard;
	node->no_flush = own.no_flush;
	if (!node_set_detection(node, options, error))
		return false;
	switch (options->driver) {
	case QAPI_BLOCKDEV_DRIVER_FILE:
		return node_open_file(node, &options->u.file, &own, error);
	case QAPI_BLOCKDEV_DRIVER_HOST_DEVICE:
		return node_open_file(node, &options->u.host_device, &own, error);
	case QAPI_BLOCKDEV_DRIVER_VIRTIO_BLK_VHOST_USER:
		return node_open_vhost(node, options, &own, error);
	case QAPI_BLOCKDEV_DRIVER_RAW:
		return node_open_child(node, options->u.raw.file, &own, cache && cache->has_direct,
				       error);
	}
	return error_fail(error, "unknown driver");
}

static BlockNode *node_new(BlockNodes *nodes, const QapiBlockdevOptions *options,
			   const Inherited *inherited, GError **error)
{
	g_autoptr(BlockNode) node = NULL;

	if (options->node_name && !check_name(nodes, options->node_name, error))
		return NULL;
	node = g_new0(BlockNode, 1);
	node->nodes = nodes;
	node->driver = qapi_str_BlockdevDriver(options->driver);
	/* Generated names cannot be given: '#' is not allowed in a name. */
	node->name = options->node_name ? g_strdup(options->node_name)
					: g_strdup_printf("#block%03u", nodes->n_generated++);
	if (!node_open(node, options, inherited, error)) {
		g_prefix_error(error, "node '%s': ", node->name);
		return NULL;
	}
	/* A node inside this one may have taken the name. */
	if (block_nodes_find(nodes, node->name)) {
		error_fail(error, "node '%s' exists already", node->name);
		return NULL;
	}
	g_hash_table_insert(nodes->by_name, node->name, node);
	g_ptr_array_add(nodes->in_order, node);
	return g_steal_pointer(&node);
}

bool block_nodes_add(BlockNodes *nodes, const QapiBlockdevOptions *options, GError **error)
{
	const Inherited nothing = {};

	if (!options->node_name)
		return error_fail(error, "'node-name' must be specified for the root node");
	return node_new(nodes, options, &nothing, error) != NULL;
}

bool block_nodes_remove(BlockNodes *nodes, const char *node_name, GError **error)
{
	BlockNode *node = block_nodes_find(nodes, node_name);

	if (!node)
		return error_fail(error, "node '%s' not found", node_name);
	if (node->user)
		return error_fail(error, "node '%s' is in use by '%s'", node_name, node->user);
	node_free(node);
	return true;
}

const char *block_node_name(const BlockNode *node)
{
	return node->name;
}

void block_node_get_limits(BlockNode *node, BlockLimits *limits)
{
	const BlockBottom *bottom = node->bottom;

	*limits = (BlockLimits){
		.size = block_bottom_size(bottom),
		.logical_block_size = bottom->logical_block_size,
		.physical_block_size = bottom->physical_block_size,
		.opt_io_size = bottom->opt_io_size,
		.discard_granularity =
			node->discard && !node->read_only ? bottom->discard_granularity : 0,
		.max_discard_segments = 1,
		.read_only = node->read_only,
		.can_write_zeroes = !node->read_only,
	};
}

void block_node_get_info(BlockNode *node, BlockNodeInfo *info)
{
	BlockBottom *bottom = node->bottom;

	*info = (BlockNodeInfo){
		.node_name = node->name,
		.driver = node->driver,
		.filename = bottom->filename,
		.child = node->child ? node->child->name : NULL,
		.user = node->user,
		.is_child = node->is_child,
		.read_only = node->read_only,
		.write_cache = !g_atomic_int_get(&node->write_through),
		.direct = node->bottom->direct,
		.no_flush = node->no_flush,
		.discard = node->discard,
		.detect_zeroes = node->detect_zeroes,
		.size = block_bottom_size(bottom),
		.has_actual_size = bottom->ops->allocated != NULL,
		.actual_size = bottom->ops->allocated ? bottom->ops->allocated(bottom) : 0,
	};
}

bool block_node_attach(BlockNode *node, const BlockUser *user, GError **error)
{
	if (node->user)
		return error_fail(error, "node '%s' is in use by '%s'", node->name, node->user);
	if (user->writable && node->read_only)
		return error_fail(error, "node '%s' is read-only", node->name);
	node->is_live = user->is_live;
	if (!block_ports_open(node, user->loops, user->n_loops, error)) {
		block_ports_close(node);
		return false;
	}
	node->user = g_strdup(user->name);
	node->listener = user->listener;
	node->opaque = user->opaque;
	return true;
}

void block_node_detach(BlockNode *node)
{
	block_node_leave_group(node);
	block_ports_close(node);
	g_clear_pointer(&node->user, g_free);
	node->listener = NULL;
	node->opaque = NULL;
}

void block_node_set_write_cache(BlockNode *node, bool enabled)
{
	g_atomic_int_set(&node->write_through, !enabled);
}

bool block_node_resize(BlockNode *node, uint64_t size, GError **error)
{
	if (node->read_only)
		return error_fail(error, "node '%s' is read-only", node->name);
	if (!node->bottom->ops->resize(node->bottom, size, error)) {
		g_prefix_error(error, "node '%s': ", node->name);
		return false;
	}
	if (node->listener && node->listener->resized)
		node->listener->resized(node->opaque, size);
	return true;
}
