/*
 * block_vhost.c: the disk of another process: the connection to it
 *
 * The socket is a chardev of the node's own; vmm/vhost speaks the protocol. A node with a user has
 * a ring for each of the user's loops. In descriptors the address of guest memory is that which it
 * has here: so no two regions can overlap, and nothing has to be looked up.
 *
 * A connection that ends is made again, at once and then at intervals, which grow while there is a
 * back end that misbehaves. It must be the same disk then, no smaller and with what was promised of
 * it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_vhost_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/chardev/chardev.h"
#include "vmm/vhost/vhost_user_message.h"

#define BIT(number) (1ULL << (number))

/* Between attempts to connect; as many times longer while the back end misbehaves. */
#define RETRY_MS     100u
#define RETRY_MAX_MS 5000u
/* Queues of a back end that are made use of. */
#define PORTS_MAX 64u
/* One operation with it holds up the main thread for no longer. */
#define TIME_LIMIT_MS 2000u

struct BlockVhost {
	BlockBottom bottom; /* first */
	char *name;
	GuestMemory *memory;
	GMainContext *context;
	Chardevs *chardevs; /* with one, the socket */
	Chardev *chardev;
	VhostUser *user;
	BlockVhostTraits traits; /* of the last back end that was a good one */
	uint64_t features;	 /* negotiated */

	GSource *retry; /* NULL: there is a connection */
	unsigned retry_ms;
	bool has_delay;
	uint32_t delay_s;
	GSource *delay; /* until requests fail; NULL: not set */
	GSource *report;
	const char *fault; /* atomic: what a loop reports */
	gint replayed;	   /* atomic: so is this */

	/* Of what is logged; atomic. */
	uint64_t sequence; /* the next one's number */
	uint64_t stable;   /* up to which it is on stable storage */

	/* Of a node that has a user. */
	BlockNode *node; /* NULL: none */
	BlockVhostArea *area;
	bool area_is_old; /* it was another back end's */
	VhostVring *vrings;
	BlockVhostRanges ranges; /* what the ports have */
	bool started;
	int socket;	    /* a duplicate for the loops; -1: none */
	GPtrArray *entries; /* const BlockVhostEntry *: what a port writes again; or NULL */
	GuestMemoryListener memory_listener;
};

static BlockVhost *block_vhost(BlockBottom *bottom)
{
	return (BlockVhost *)bottom;
}

static Vhost *carrier(BlockVhost *self)
{
	return vhost_user_carrier(self->user);
}

/* Timers */

static void drop_source(GSource **source)
{
	if (*source)
		g_source_destroy(*source);
	g_clear_pointer(source, g_source_unref);
}

static void set_timer(BlockVhost *self, GSource **source, unsigned milliseconds, GSourceFunc func)
{
	drop_source(source);
	*source = g_timeout_source_new(milliseconds);
	g_source_set_callback(*source, func, self, NULL);
	g_source_attach(*source, self->context);
}

/* Ports */

static BlockVhostPort *port_at(const BlockVhost *self, unsigned i)
{
	return (BlockVhostPort *)self->node->ports[i];
}

static unsigned n_ports(const BlockVhost *self)
{
	return self->node ? self->node->n_ports : 0;
}

/* Have each port's loop do @func. */
static void tell_ports(BlockVhost *self, IoLoopFunc func, const BlockVhostChange *change)
{
	for (unsigned i = 0; i < n_ports(self); i++) {
		BlockVhostChange own = *change;

		own.port = port_at(self, i);
		own.index = i;
		io_loop_run_sync(own.port->port.loop, func, &own);
	}
}

/* Memory */

/*
 * All that a back end is to know: guest memory at the addresses that it has here, as much of it as
 * can be shared, and ours. What is read to or written from the rest is copied.
 */
static void describe_memory(BlockVhost *self, VhostMemory *table)
{
	unsigned n_all;

	/* What it writes to the guest's memory is marked by whose requests they are. */
	*table = (VhostMemory){ .log.fd = -1 };
	/* Where there are too many parts, some are left out. */
	if (self->memory)
		vhost_memory_describe(table, self->memory, false, NULL);
	n_all = MIN(table->n_regions, VHOST_REGIONS_MAX - 1);
	table->n_regions = 0;
	for (unsigned i = 0; i < n_all; i++) {
		VhostRegion region = table->regions[i];

		region.gpa = region.hva;
		if (region.fd >= 0)
			table->regions[table->n_regions++] = region;
	}
	table->regions[table->n_regions++] = (VhostRegion){
		.gpa = (uintptr_t)self->area->base,
		.hva = (uintptr_t)self->area->base,
		.size = self->area->size,
		.fd = self->area->fd,
	};
}

static bool has_range(const BlockVhostRanges *ranges, const BlockVhostRange *range)
{
	for (unsigned i = 0; i < ranges->n; i++) {
		if (ranges->ranges[i].start == range->start && ranges->ranges[i].end == range->end)
			return true;
	}
	return false;
}

/* The guest's part of @table; only what is in @others, too, unless that is NULL. */
static void find_ranges(BlockVhostRanges *ranges, const VhostMemory *table,
			const BlockVhostRanges *others)
{
	ranges->n = 0;
	/* The last one is ours. */
	for (unsigned i = 0; i + 1 < table->n_regions; i++) {
		BlockVhostRange range = { table->regions[i].hva,
					  table->regions[i].hva + table->regions[i].size };

		if (!others || has_range(others, &range))
			ranges->ranges[ranges->n++] = range;
	}
}

static void set_ranges(BlockVhost *self, const BlockVhostRanges *ranges)
{
	const BlockVhostChange change = { .ranges = ranges };

	self->ranges = *ranges;
	tell_ports(self, block_vhost_port_set_ranges, &change);
}

/* What goes is not used any more before the back end is told; what comes is not before that. */
static void memory_changed(void *opaque)
{
	BlockVhost *self = opaque;
	g_autofree VhostMemory *table = g_new(VhostMemory, 1);
	g_autofree BlockVhostRanges *ranges = g_new(BlockVhostRanges, 1);
	g_autoptr(GError) error = NULL;

	if (!self->started)
		return;
	describe_memory(self, table);
	find_ranges(ranges, table, &self->ranges);
	set_ranges(self, ranges);
	if (!vhost_set_memory(carrier(self), table, &error)) {
		g_message("node '%s': %s", self->name, error->message);
		return;
	}
	find_ranges(ranges, table, NULL);
	set_ranges(self, ranges);
}

/* Start and end */

static void describe_vring(BlockVhost *self, unsigned i)
{
	unsigned size = block_vhost_ring_size(&self->traits);
	BlockVhostPlace place;
	BlockVhostRing ring;

	block_vhost_area_find(self->area, i, &place);
	block_vhost_ring_init(&ring, place.ring, size, self->traits.event_idx);
	self->vrings[i] = (VhostVring){
		.index = i,
		.size = (uint16_t)size,
		.descriptors = ring.descriptors,
		.driver_area = ring.available,
		.device_area = ring.used,
		.kick_fd = port_at(self, i)->kick_fd,
		.call_fd = port_at(self, i)->call_fd,
		.error_fd = -1,
	};
}

/*
 * Have memory that this back end alone knows: for as many loops as it can serve, since some back
 * ends (qemu-storage-daemon 7.2) do not let go of memory in which a ring was.
 */
static bool have_area(BlockVhost *self, GError **error)
{
	BlockVhostArea *area;

	if (self->area && !self->area_is_old)
		return true;
	area = block_vhost_area_new(MIN(vhost_user_queues(self->user), PORTS_MAX), error);
	if (!area)
		return false;
	block_vhost_area_free(self->area);
	self->area = area;
	self->area_is_old = false;
	return true;
}

/* The ports do without a back end: requests wait, or have @failed. */
static void stop(BlockVhost *self, bool failed)
{
	const BlockVhostChange change = { .failed = failed };

	tell_ports(self, block_vhost_port_down, &change);
	fd_close(&self->socket);
	self->started = false;
}

static gint compare_sequence(gconstpointer one, gconstpointer other)
{
	const BlockVhostEntry *first = *(const BlockVhostEntry *const *)one;
	const BlockVhostEntry *second = *(const BlockVhostEntry *const *)other;

	return first->sequence < second->sequence ? -1 : first->sequence > second->sequence;
}

/* What all ports, which are idle, have logged that may be lost, in order; NULL: nothing. */
static GPtrArray *collect_entries(BlockVhost *self)
{
	GPtrArray *entries = g_ptr_array_new();

	for (unsigned i = 0; i < n_ports(self); i++) {
		const BlockVhostLog *log = &port_at(self, i)->log;
		const BlockVhostEntry *entry = block_vhost_log_first(log);

		for (; entry; entry = block_vhost_log_next(log, entry)) {
			if (entry->sequence >= block_vhost_stable(self))
				g_ptr_array_add(entries, (gpointer)entry);
		}
	}
	g_ptr_array_sort(entries, compare_sequence);
	if (entries->len == 0)
		g_clear_pointer(&entries, g_ptr_array_unref);
	return entries;
}

/* Let requests go, or first what was written before. */
static void let_go(BlockVhost *self)
{
	BlockVhostChange change = { .socket = self->socket };

	g_clear_pointer(&self->entries, g_ptr_array_unref);
	g_atomic_int_set(&self->replayed, 0);
	self->entries = collect_entries(self);
	if (!self->entries) {
		tell_ports(self, block_vhost_port_up, &change);
		return;
	}
	change.entries = self->entries;
	change.port = port_at(self, 0);
	io_loop_run_sync(change.port->port.loop, block_vhost_port_replay, &change);
}

/* Have the back end that is there serve the ports, which are down. */
static bool start(BlockVhost *self, GError **error)
{
	g_autofree VhostMemory *table = g_new(VhostMemory, 1);
	BlockVhostChange change = { .traits = &self->traits, .ranges = &self->ranges };

	/* Nothing of the old one is in use: what was with another back end waits. */
	if (!have_area(self, error))
		return false;
	describe_memory(self, table);
	change.area = self->area;
	find_ranges(&self->ranges, table, NULL);
	for (unsigned i = 0; i < n_ports(self); i++)
		describe_vring(self, i);
	tell_ports(self, block_vhost_port_move, &change);
	if (!vhost_start(carrier(self), self->features, table, self->vrings, n_ports(self), error))
		return false;
	self->socket = fcntl(chardev_socket(self->chardev), F_DUPFD_CLOEXEC, 0);
	if (self->socket < 0)
		return error_fail_errno(error, errno, "the back end is gone");
	self->started = true;
	let_go(self);
	return true;
}

/* The connection */

/* Ask what the disk is, and negotiate. */
static bool read_traits(BlockVhost *self, BlockVhostTraits *traits, GError **error)
{
	VirtioBlkConfig config = {};

	self->features = carrier(self)->features & block_vhost_features;
	return vhost_user_get_config(self->user, &config, VIRTIO_BLK_CONFIG_SIZE, error) &&
	       block_vhost_read_config(traits, &config, self->features, error);
}

/* Back ends may begin without a cache; it is for us to flush. */
static bool tell_writeback(BlockVhost *self, GError **error)
{
	const uint8_t on = 1;

	return !self->traits.has_writeback ||
	       vhost_user_set_config(self->user, offsetof(VirtioBlkConfig, writeback), &on,
				     sizeof(on), error);
}

/* Whether it can take the place of what it was, also for a user that relies on that. */
static bool is_as_good(const BlockVhost *self, const BlockVhostTraits *now, GError **error)
{
	const BlockVhostTraits *old = &self->traits;

	if (now->read_only && !self->bottom.read_only)
		return error_fail(error, "the disk is read-only now");
	if (!self->node)
		return true;
	if (n_ports(self) > vhost_user_queues(self->user))
		return error_fail(error, "the back end has fewer queues now");
	if (now->size < old->size)
		return error_fail(error,
				  "the disk has shrunk from %" G_GUINT64_FORMAT
				  " to %" G_GUINT64_FORMAT " bytes",
				  old->size, now->size);
	if (now->block_size > old->block_size)
		return error_fail(error, "the disk has larger blocks now");
	if ((old->flush && !now->flush) || (old->discard_max && !now->discard_max) ||
	    (old->zeroes_max && !now->zeroes_max))
		return error_fail(error, "the back end has fewer features now");
	return true;
}

static void take_traits(BlockVhost *self, const BlockVhostTraits *traits)
{
	bool grown = self->node && traits->size != self->traits.size;

	self->traits = *traits;
	__atomic_store_n(&self->bottom.size, traits->size, __ATOMIC_RELAXED);
	if (grown && self->node->listener && self->node->listener->resized)
		self->node->listener->resized(self->node->opaque, traits->size);
	if (self->node)
		return;
	self->bottom.logical_block_size = traits->block_size;
	self->bottom.physical_block_size = traits->physical_block_size;
	self->bottom.opt_io_size = traits->opt_io_size;
	self->bottom.discard_granularity = traits->discard_granularity;
}

static void config_changed(void *opaque)
{
	BlockVhost *self = opaque;
	BlockVhostTraits traits;
	g_autoptr(GError) error = NULL;

	if (read_traits(self, &traits, &error) && is_as_good(self, &traits, &error))
		take_traits(self, &traits);
	else if (vhost_user_is_connected(self->user))
		vhost_user_cut_off(self->user, error->message);
}

static void connected(void *opaque)
{
	BlockVhost *self = opaque;
	BlockVhostTraits traits;
	g_autoptr(GError) error = NULL;

	if (read_traits(self, &traits, &error) && is_as_good(self, &traits, &error)) {
		take_traits(self, &traits);
		if (tell_writeback(self, &error) && (!self->node || start(self, &error))) {
			drop_source(&self->delay);
			g_message("node '%s': the back end is there again", self->name);
			return;
		}
	}
	if (vhost_user_is_connected(self->user))
		vhost_user_cut_off(self->user, error->message);
}

static gboolean retry(gpointer data)
{
	BlockVhost *self = data;

	drop_source(&self->retry);
	/* What comes of it is told by itself. */
	if (!chardev_connect(self->chardev, NULL))
		set_timer(self, &self->retry, self->retry_ms, retry);
	return G_SOURCE_REMOVE;
}

static gboolean delay_over(gpointer data)
{
	BlockVhost *self = data;
	const BlockVhostChange change = { .failed = true };

	drop_source(&self->delay);
	tell_ports(self, block_vhost_port_down, &change);
	return G_SOURCE_REMOVE;
}

/* Requests wait for one that died, but not for one that does not keep to the protocol. */
static void lost(void *opaque, bool returns, const char *fault)
{
	BlockVhost *self = opaque;

	(void)returns;
	if (self->started && !fault) {
		g_message("node '%s': the back end is gone", self->name);
		if (self->has_delay)
			set_timer(self, &self->delay, MIN(self->delay_s, G_MAXINT32 / 1000) * 1000,
				  delay_over);
	}
	if (self->started || fault)
		stop(self, fault != NULL);
	self->area_is_old = true;
	self->retry_ms = fault ? MIN(self->retry_ms * 2, RETRY_MAX_MS) : RETRY_MS;
	set_timer(self, &self->retry, self->retry_ms, retry);
}

static const VhostUserListener listener = {
	.connected = connected,
	.lost = lost,
	.config_changed = config_changed,
};

void block_vhost_report(BlockVhost *self, const char *fault)
{
	__atomic_store_n(&self->fault, fault, __ATOMIC_RELEASE);
	g_source_set_ready_time(self->report, 0);
}

void block_vhost_replayed(BlockVhost *self)
{
	g_atomic_int_set(&self->replayed, 1);
	g_source_set_ready_time(self->report, 0);
}

static gboolean reported(gpointer data)
{
	BlockVhost *self = data;
	const BlockVhostChange change = { .socket = self->socket };
	const char *fault;

	/* Before looking: what is reported after that has it set again. */
	g_source_set_ready_time(self->report, -1);
	fault = __atomic_exchange_n(&self->fault, NULL, __ATOMIC_ACQUIRE);
	if (fault)
		vhost_user_cut_off(self->user, fault);
	else if (g_atomic_int_compare_and_exchange(&self->replayed, 1, 0) && self->started)
		tell_ports(self, block_vhost_port_up, &change);
	return G_SOURCE_CONTINUE;
}

uint64_t block_vhost_take_sequence(BlockVhost *self)
{
	return __atomic_fetch_add(&self->sequence, 1, __ATOMIC_SEQ_CST);
}

uint64_t block_vhost_next_sequence(BlockVhost *self)
{
	return __atomic_load_n(&self->sequence, __ATOMIC_SEQ_CST);
}

void block_vhost_set_stable(BlockVhost *self, uint64_t sequence)
{
	uint64_t stable = __atomic_load_n(&self->stable, __ATOMIC_SEQ_CST);

	while (stable < sequence &&
	       !__atomic_compare_exchange_n(&self->stable, &stable, sequence, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		continue;
}

uint64_t block_vhost_stable(BlockVhost *self)
{
	return __atomic_load_n(&self->stable, __ATOMIC_SEQ_CST);
}

static gboolean dispatch_report(GSource *source, GSourceFunc callback, gpointer data)
{
	(void)source;
	return callback(data);
}

static GSourceFuncs report_funcs = { .dispatch = dispatch_report };

/* The user of a node */

static bool make_events(BlockVhost *self, GError **error)
{
	for (unsigned i = 0; i < n_ports(self); i++) {
		BlockVhostPort *port = port_at(self, i);

		port->vhost = self;
		port->kick_fd = fd_new_event(error);
		port->call_fd = port->kick_fd >= 0 ? fd_new_blocking_event(error) : -1;
		if (port->call_fd < 0)
			return false;
	}
	return true;
}

static bool vhost_open_ports(BlockNode *node, GError **error)
{
	BlockVhost *self = block_vhost(node->bottom);
	const BlockVhostChange change = {};

	for (unsigned i = 0; i < node->n_ports; i++)
		((BlockVhostPort *)node->ports[i])->kick_fd =
			((BlockVhostPort *)node->ports[i])->call_fd = -1;
	if (node->n_ports == 0)
		return error_fail(error, "node '%s' needs an I/O thread", node->name);
	if (!vhost_user_is_connected(self->user))
		return error_fail(error, "node '%s': there is no back end at '%s'", node->name,
				  self->bottom.filename);
	if (node->n_ports > MIN(vhost_user_queues(self->user), PORTS_MAX))
		return error_fail(error,
				  "node '%s': the back end has %u queues, fewer than there are I/O "
				  "threads, %u",
				  node->name, MIN(vhost_user_queues(self->user), PORTS_MAX),
				  node->n_ports);
	self->node = node;
	self->vrings = g_new0(VhostVring, node->n_ports);
	if (!make_events(self, error))
		return false;
	tell_ports(self, block_vhost_port_open, &change);
	if (!start(self, error)) {
		g_prefix_error(error, "node '%s': ", node->name);
		return false;
	}
	if (self->memory)
		guest_memory_add_listener(self->memory, &self->memory_listener);
	return true;
}

static void vhost_close_ports(BlockNode *node)
{
	BlockVhost *self = block_vhost(node->bottom);
	const BlockVhostChange change = {};
	bool started = self->started;

	if (!self->node)
		return;
	if (self->memory)
		guest_memory_remove_listener(self->memory, &self->memory_listener);
	tell_ports(self, block_vhost_port_close, &change);
	stop(self, false);
	/* One that does not say where it is stops with the connection. */
	if (started && vhost_user_is_connected(self->user))
		vhost_stop(carrier(self), self->vrings, node->n_ports, NULL);
	for (unsigned i = 0; i < node->n_ports; i++) {
		fd_close(&port_at(self, i)->kick_fd);
		fd_close(&port_at(self, i)->call_fd);
	}
	drop_source(&self->delay);
	g_clear_pointer(&self->entries, g_ptr_array_unref);
	g_clear_pointer(&self->vrings, g_free);
	self->node = NULL;
}

static GPtrArray *vhost_unflushed(BlockBottom *bottom)
{
	BlockVhost *self = block_vhost(bottom);

	return self->node ? collect_entries(self) : NULL;
}

static bool vhost_resize(BlockBottom *bottom, uint64_t size, GError **error)
{
	(void)size;
	return error_fail(error, "its size is for the back end at '%s' to change",
			  bottom->filename);
}

static void vhost_bottom_free(BlockBottom *bottom)
{
	BlockVhost *self = block_vhost(bottom);

	if (self->user)
		vhost_free(carrier(self));
	drop_source(&self->retry);
	drop_source(&self->delay);
	drop_source(&self->report);
	g_clear_pointer(&self->chardevs, chardevs_free);
	block_vhost_area_free(self->area);
	g_free(self->bottom.filename);
	g_free(self->name);
	g_free(self);
}

static const BlockBottomOps vhost_ops = {
	.port_size = sizeof(BlockVhostPort),
	.open_ports = vhost_open_ports,
	.close_ports = vhost_close_ports,
	.start = block_vhost_port_start,
	.drain = block_vhost_port_drain,
	.unflushed = vhost_unflushed,
	.resize = vhost_resize,
	.free = vhost_bottom_free,
};

static bool open_socket(BlockVhost *self, GError **error)
{
	const VhostUserOptions options = {
		.vrings_in_unit = 1,
		.protocol =
			BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ),
		.needed = BIT(VHOST_USER_PROTOCOL_F_CONFIG),
		.time_limit_ms = TIME_LIMIT_MS,
	};
	ChardevConfig config = {
		.id = self->name,
		.kind = CHARDEV_SOCKET,
		.address = CHARDEV_ADDRESS_UNIX,
		.path = self->bottom.filename,
		.fd = -1,
	};

	self->chardevs = chardevs_new(self->context);
	self->chardev = chardevs_add(self->chardevs, &config, error);
	if (!self->chardev)
		return false;
	self->user = vhost_user_new(self->chardev, self->name, &options, &listener, self, error);
	return self->user != NULL;
}

static bool settle_read_only(BlockVhost *self, const BlockVhostConfig *config,
			     const BlockVhostTraits *traits, GError **error)
{
	self->bottom.read_only = config->read_only;
	if (!traits->read_only || config->read_only)
		return true;
	if (!config->auto_read_only)
		return error_fail(error, "the disk at '%s' is read-only", config->path);
	self->bottom.read_only = true;
	return true;
}

BlockBottom *block_vhost_open(const BlockVhostConfig *config, GError **error)
{
	BlockVhost *self = g_new0(BlockVhost, 1);
	BlockVhostTraits traits;

	self->bottom.ops = &vhost_ops;
	self->bottom.filename = g_strdup(config->path);
	self->bottom.direct = true;
	self->name = g_strdup(config->node_name);
	self->memory = config->memory;
	self->context = config->context;
	self->has_delay = config->has_reconnect_delay;
	self->delay_s = config->reconnect_delay;
	self->retry_ms = RETRY_MS;
	self->socket = -1;
	self->memory_listener = (GuestMemoryListener){ .changed = memory_changed, .opaque = self };
	self->report = g_source_new(&report_funcs, sizeof(GSource));
	g_source_set_callback(self->report, reported, self, NULL);
	g_source_attach(self->report, self->context);
	if (open_socket(self, error) && read_traits(self, &traits, error) &&
	    settle_read_only(self, config, &traits, error)) {
		take_traits(self, &traits);
		if (tell_writeback(self, error))
			return &self->bottom;
	}
	vhost_bottom_free(&self->bottom);
	return NULL;
}
