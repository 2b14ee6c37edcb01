/*
 * fuzz-block-vhost.c: a hostile vhost-user back end of a block node
 *
 * The input is what the back end says it is (features and configuration), and then what it puts
 * into the used ring and status bytes while requests are with it. Whatever that is, each request
 * ends once, and of what is not known to be one's own nothing is touched. Of block_vhost.c here is
 * what the ports need.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/block/block_vhost_internal.h"

#include <string.h>
#include <sys/socket.h>

#include "vmm/base/fd.h"

#define N_REQUESTS 24u
#define BUFFER	   (160u << 10) /* bytes of each: more than one step */
#define STEPS_MAX  64u

typedef struct Request {
	BlockRequest block;
	struct iovec iov[2];
	uint8_t *buffer;
	unsigned n_done;
} Request;

struct BlockVhost {
	BlockBottom bottom;
	BlockNode node;
	BlockVhostPort *port;
	BlockVhostArea *area;
	BlockVhostRanges ranges;
	Request requests[N_REQUESTS];
	uint64_t sequence, stable;
	gint n_reports; /* atomic */
};

/* One thing that the back end does. */
typedef struct Step {
	uint8_t what;
	uint8_t id, id_high;
	uint8_t length, length_high;
	uint8_t status;
} Step;

BlockBottom *block_vhost_open(G_GNUC_UNUSED const BlockVhostConfig *config,
			      G_GNUC_UNUSED GError **error)
{
	return NULL;
}

void block_vhost_report(BlockVhost *vhost, const char *fault)
{
	g_assert_nonnull(fault);
	g_atomic_int_inc(&vhost->n_reports);
}

void block_vhost_replayed(G_GNUC_UNUSED BlockVhost *vhost)
{
}

uint64_t block_vhost_take_sequence(BlockVhost *vhost)
{
	return vhost->sequence++;
}

uint64_t block_vhost_next_sequence(BlockVhost *vhost)
{
	return vhost->sequence;
}

void block_vhost_set_stable(BlockVhost *vhost, uint64_t sequence)
{
	vhost->stable = MAX(vhost->stable, sequence);
}

uint64_t block_vhost_stable(BlockVhost *vhost)
{
	return vhost->stable;
}

static bool open_ports(G_GNUC_UNUSED BlockNode *node, G_GNUC_UNUSED GError **error)
{
	return true;
}

static void close_ports(G_GNUC_UNUSED BlockNode *node)
{
}

static const BlockBottomOps ops = {
	.port_size = sizeof(BlockVhostPort),
	.open_ports = open_ports,
	.close_ports = close_ports,
	.start = block_vhost_port_start,
	.drain = block_vhost_port_drain,
};

static void complete(BlockRequest *block, int result)
{
	Request *request = (Request *)block;

	g_assert_cmpuint(request->n_done++, ==, 0);
	g_assert_cmpint(result, <=, 0);
}

static void submit_all(gpointer data)
{
	static const BlockOperation operations[] = {
		BLOCK_READ, BLOCK_WRITE, BLOCK_READ, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES
	};
	BlockVhost *vhost = data;

	for (unsigned i = 0; i < N_REQUESTS; i++) {
		Request *request = &vhost->requests[i];
		BlockOperation operation = operations[i % G_N_ELEMENTS(operations)];
		bool has_data = operation == BLOCK_READ || operation == BLOCK_WRITE;

		request->iov[0] = (struct iovec){ request->buffer, 1000 };
		request->iov[1] = (struct iovec){ request->buffer + 1000, BUFFER - 1000 };
		request->block = (BlockRequest){ .operation = operation,
						 .size = operation == BLOCK_FLUSH ? 0 : BUFFER,
						 .iov = has_data ? request->iov : NULL,
						 .n_iov = has_data ? 2 : 0,
						 .fua = i % 7 == 1,
						 .complete = complete };
		block_node_submit(&vhost->node, 0, &request->block);
	}
}

static void settle(G_GNUC_UNUSED gpointer data)
{
}

static void settle_loop(IoLoop *loop)
{
	for (unsigned i = 0; i < 4; i++)
		io_loop_run_sync(loop, settle, NULL);
}

/* The loop stands still: it is settled. */
static void do_step(BlockVhost *vhost, const Step *step)
{
	BlockVhostPort *port = vhost->port;
	struct vring_used *used = port->ring.used;
	unsigned size = port->ring.size, n = step->what % 4;
	uint32_t id = step->id | (uint32_t)step->id_high << 8;
	uint32_t length = step->length | (uint32_t)step->length_high << 8;

	/* Honest enough to get on, where it is asked for. */
	if (step->what & 0x10)
		id = (uint32_t)(step->id % BLOCK_VHOST_SLOTS) * port->stride;
	if (step->what & 0x20)
		length = port->slots[step->id % BLOCK_VHOST_SLOTS].writable;
	for (unsigned i = 0; i < n; i++)
		used->ring[(uint16_t)(used->idx + i) % size] =
			(struct vring_used_elem){ id + i * port->stride, length };
	port->place.cells[step->id % BLOCK_VHOST_SLOTS].status = step->status;
	if (step->what & 0x40)
		used->flags = step->status;
	if (step->what & 0x80)
		*(uint16_t *)&used->ring[size] = (uint16_t)length;
	__atomic_store_n(&used->idx, (uint16_t)(used->idx + n), __ATOMIC_RELEASE);
	fd_event_signal(port->call_fd);
}

static void run(BlockVhost *vhost, const BlockVhostTraits *traits, IoLoop *loop, const Step *steps,
		size_t n_steps)
{
	BlockVhostChange change = { .port = vhost->port,
				    .traits = traits,
				    .area = vhost->area,
				    .ranges = &vhost->ranges,
				    .failed = true };
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	change.socket = pair[0];
	io_loop_run_sync(loop, block_vhost_port_open, &change);
	io_loop_run_sync(loop, block_vhost_port_move, &change);
	io_loop_run_sync(loop, block_vhost_port_up, &change);
	io_loop_run_sync(loop, submit_all, vhost);
	for (size_t i = 0; i < MIN(n_steps, STEPS_MAX); i++) {
		do_step(vhost, &steps[i]);
		settle_loop(loop);
	}
	/* A fault ends it, here or now. */
	io_loop_run_sync(loop, block_vhost_port_down, &change);
	settle_loop(loop);
	for (unsigned i = 0; i < N_REQUESTS; i++)
		g_assert_cmpuint(vhost->requests[i].n_done, ==, 1);
	g_assert_cmpint(g_atomic_int_get(&vhost->n_reports), <=, 1);
	io_loop_run_sync(loop, block_vhost_port_close, &change);
	close(pair[0]);
	close(pair[1]);
}

static void try_traits(const BlockVhostTraits *traits, const uint8_t *data, size_t size)
{
	static IoLoop *loop;
	BlockVhost *vhost = g_new0(BlockVhost, 1);

	if (!loop)
		loop = io_loop_new("fuzz", NULL, NULL, NULL);
	g_assert_nonnull(loop);
	vhost->bottom.ops = &ops;
	vhost->bottom.size = traits->size;
	vhost->node.bottom = &vhost->bottom;
	vhost->node.discard = true;
	g_assert_true(block_ports_open(&vhost->node, &loop, 1, NULL));
	vhost->port = (BlockVhostPort *)vhost->node.ports[0];
	vhost->port->vhost = vhost;
	vhost->port->kick_fd = fd_new_event(NULL);
	vhost->port->call_fd = fd_new_blocking_event(NULL);
	vhost->area = block_vhost_area_new(1, NULL);
	g_assert_nonnull(vhost->area);
	for (unsigned i = 0; i < N_REQUESTS; i++)
		vhost->requests[i].buffer = g_malloc0(BUFFER);
	/* Every other one is of the guest. */
	vhost->ranges.n = N_REQUESTS / 2;
	for (unsigned i = 0; i < vhost->ranges.n; i++) {
		uintptr_t start = (uintptr_t)vhost->requests[2 * i].buffer;

		vhost->ranges.ranges[i] = (BlockVhostRange){ start, start + BUFFER };
	}
	run(vhost, traits, loop, (const Step *)data, size / sizeof(Step));
	close(vhost->port->kick_fd);
	close(vhost->port->call_fd);
	block_ports_close(&vhost->node);
	block_vhost_area_free(vhost->area);
	for (unsigned i = 0; i < N_REQUESTS; i++)
		g_free(vhost->requests[i].buffer);
	g_free(vhost);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	VirtioBlkConfig config = { .capacity = 1 << 20,
				   .seg_max = 20,
				   .blk_size = 512,
				   .max_discard_sectors = 100,
				   .max_discard_seg = 1,
				   .max_write_zeroes_sectors = 100,
				   .max_write_zeroes_seg = 1 };
	uint64_t features;
	BlockVhostTraits traits;

	if (size < sizeof(features) + 1)
		return 0;
	memcpy(&features, data, sizeof(features));
	data += sizeof(features);
	size -= sizeof(features);
	/* With its own configuration, or a good one. */
	if (data[0] & 1) {
		if (size < 1 + sizeof(config))
			return 0;
		memcpy(&config, data + 1, sizeof(config));
		data += sizeof(config);
		size -= sizeof(config);
	}
	if (block_vhost_read_config(&traits, &config, features, NULL)) {
		g_assert_cmpuint(traits.n_segments, <=, BLOCK_VHOST_SEGMENTS_MAX);
		g_assert_cmpuint(traits.size % traits.block_size, ==, 0);
		g_assert_cmpuint(traits.segment_max % traits.block_size, ==, 0);
		try_traits(&traits, data + 1, size - 1);
	}
	return 0;
}
