/*
 * test-block-vhost.c: block nodes whose disk another process has
 *
 * The other process is a thread (tests/vhost-user/back_end.c), which the node cannot tell.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qapi-types.h"
#include "tests/vhost-user/back_end.h"
#include "vmm/block/block_vhost_internal.h"
#include "vmm/config/options.h"
#include "vmm/vhost/vhost_user_message.h"

#define DISK_SIZE (1u << 20)
#define MEMORY	  (1u << 20)
#define N_CALLS	  64u
#define PATIENCE  30000000
#define BIT(n)	  (1ULL << (n))
#define BLOCK	  4096u
#define FEATURES                                                                              \
	(BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_CONFIG_WCE) |      \
	 BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_DISCARD) | \
	 BIT(VIRTIO_BLK_F_WRITE_ZEROES))
#define PROTOCOL                                                                      \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |       \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

typedef struct Call {
	BlockRequest request;
	struct iovec iov;
	BlockNode *node;
	int result;
	gint done;
} Call;

typedef struct Fixture {
	char *directory, *path;
	uint8_t *disk;
	uint8_t *ram; /* of the guest: shared */
	int ram_fd;
	GuestMemory *memory;
	BackEnd *back_end;
	BlockNodes *nodes;
	IoLoop *loop;
	BlockNode *node;
	uint64_t resized;
	Call calls[N_CALLS];
} Fixture;

static void make_back_end(Fixture *fixture)
{
	fixture->back_end =
		back_end_new(fixture->path, fixture->disk, DISK_SIZE, FEATURES, PROTOCOL);
}

static void add_ram(Fixture *fixture, bool shared)
{
	GuestMemoryRegion region = { .size = MEMORY, .shared = shared, .hva = fixture->ram };
	g_autoptr(GError) error = NULL;

	region.fd = fixture->ram_fd;
	fixture->memory = guest_memory_new();
	guest_memory_add(fixture->memory, &region, &error);
	g_assert_no_error(error);
	block_nodes_set_memory(fixture->nodes, fixture->memory, NULL);
}

static void set_up_ram(Fixture *fixture, bool shared)
{
	fixture->directory = g_dir_make_tmp("block-vhost-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->directory, "socket", NULL);
	fixture->disk = g_malloc0(DISK_SIZE);
	fixture->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	g_assert_cmpint(ftruncate(fixture->ram_fd, MEMORY), ==, 0);
	fixture->ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fixture->ram_fd, 0);
	g_assert_true(fixture->ram != MAP_FAILED);
	fixture->nodes = block_nodes_new();
	add_ram(fixture, shared);
	fixture->loop = io_loop_new("block", NULL, NULL, NULL);
	g_assert_nonnull(fixture->loop);
	make_back_end(fixture);
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	(void)data;
	set_up_ram(fixture, true);
}

static void set_up_private(Fixture *fixture, gconstpointer data)
{
	(void)data;
	set_up_ram(fixture, false);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->node)
		block_node_detach(fixture->node);
	block_nodes_free(fixture->nodes);
	if (fixture->back_end)
		back_end_free(fixture->back_end);
	io_loop_free(fixture->loop);
	guest_memory_free(fixture->memory);
	munmap(fixture->ram, MEMORY);
	close(fixture->ram_fd);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->path);
	g_free(fixture->disk);
}

static bool add(Fixture *fixture, const char *more, GError **error)
{
	g_autofree char *text =
		g_strdup_printf("driver=virtio-blk-vhost-user,node-name=n,path=%s%s", fixture->path,
				more ? more : "");
	g_autoptr(QapiBlockdevOptions) options = NULL;
	json_object *parsed = options_parse(text, "driver", NULL);

	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, NULL);
	json_object_put(parsed);
	g_assert_nonnull(options);
	return block_nodes_add(fixture->nodes, options, error);
}

static void resized(void *opaque, uint64_t size)
{
	((Fixture *)opaque)->resized = size;
}

static bool claim(Fixture *fixture, bool writable, GError **error)
{
	static const BlockNodeListener listener = { .resized = resized };
	IoLoop *const loops[] = { fixture->loop };
	const BlockUser user = { .name = "test",
				 .loops = loops,
				 .n_loops = 1,
				 .writable = writable,
				 .listener = &listener,
				 .opaque = fixture };
	BlockNode *node = block_nodes_find(fixture->nodes, "n");

	if (!block_node_attach(node, &user, error))
		return false;
	fixture->node = node;
	return true;
}

static void attach(Fixture *fixture, const char *more)
{
	g_autoptr(GError) error = NULL;

	add(fixture, more, &error);
	g_assert_no_error(error);
	claim(fixture, true, &error);
	g_assert_no_error(error);
}

/* Requests */

static void call_complete(BlockRequest *request, int result)
{
	Call *call = (Call *)request;

	g_assert_cmpint(g_atomic_int_get(&call->done), ==, 0);
	call->result = result;
	g_atomic_int_set(&call->done, 1);
	g_main_context_wakeup(NULL);
}

static void call_submit(gpointer data)
{
	Call *call = data;

	block_node_submit(call->node, 0, &call->request);
}

static Call *begin(Fixture *fixture, unsigned i, BlockOperation operation, uint64_t offset,
		   void *buffer, uint64_t size)
{
	Call *call = &fixture->calls[i];

	*call = (Call){ .node = fixture->node, .iov = { buffer, size } };
	call->request = (BlockRequest){ .operation = operation,
					.offset = offset,
					.size = size,
					.iov = buffer ? &call->iov : NULL,
					.n_iov = buffer ? 1 : 0,
					.complete = call_complete };
	io_loop_post(fixture->loop, call_submit, call);
	return call;
}

static int end(Call *call)
{
	gint64 deadline = g_get_monotonic_time() + PATIENCE;

	while (!g_atomic_int_get(&call->done)) {
		g_assert_cmpint(g_get_monotonic_time(), <, deadline);
		g_main_context_iteration(NULL, FALSE);
		g_usleep(100);
	}
	return call->result;
}

static int run(Fixture *fixture, BlockOperation operation, uint64_t offset, void *buffer,
	       uint64_t size)
{
	return end(begin(fixture, 0, operation, offset, buffer, size));
}

/* Run the main loop until @flag(@fixture) holds. */
static void wait_for(Fixture *fixture, bool (*holds)(Fixture *fixture))
{
	gint64 deadline = g_get_monotonic_time() + PATIENCE;

	while (!holds(fixture)) {
		g_assert_cmpint(g_get_monotonic_time(), <, deadline);
		g_main_context_iteration(NULL, FALSE);
		g_usleep(100);
	}
}

static void settle(gpointer data)
{
	(void)data;
}

/* All that was posted to the loop, and that by it, has been done. */
static void settle_loop(Fixture *fixture)
{
	for (unsigned i = 0; i < 3; i++)
		io_loop_run_sync(fixture->loop, settle, NULL);
}

static void fill(uint8_t *bytes, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed + i / 251 + i);
}

/* Tests */

static void test_transfers(Fixture *fixture, gconstpointer data)
{
	g_autofree uint8_t *own = g_malloc(3 * 65536 + 512);
	BlockStatistics statistics;
	BlockNodeInfo info;
	BlockLimits limits;

	(void)data;
	attach(fixture, ",discard=unmap");
	block_node_get_info(fixture->node, &info);
	g_assert_cmpstr(info.driver, ==, "virtio-blk-vhost-user");
	g_assert_cmpstr(info.filename, ==, fixture->path);
	g_assert_cmpuint(info.size, ==, DISK_SIZE);
	g_assert_false(info.has_actual_size);
	g_assert_true(info.direct);
	block_node_get_limits(fixture->node, &limits);
	g_assert_cmpuint(limits.logical_block_size, ==, 512);
	g_assert_cmpuint(limits.discard_granularity, ==, 512);

	/* In the guest's memory, and not, and larger than a bounce buffer. */
	fill(fixture->ram, 65536, 1);
	fill(own, 3 * 65536 + 512, 7);
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 4096, fixture->ram, 65536), ==, 0);
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 1 << 18, own, 3 * 65536 + 512), ==, 0);
	g_assert_cmpmem(fixture->disk + 4096, 65536, fixture->ram, 65536);
	g_assert_cmpmem(fixture->disk + (1 << 18), 3 * 65536 + 512, own, 3 * 65536 + 512);
	memset(own, 0, 3 * 65536 + 512);
	g_assert_cmpint(run(fixture, BLOCK_READ, 1 << 18, own, 3 * 65536 + 512), ==, 0);
	g_assert_cmpmem(fixture->disk + (1 << 18), 3 * 65536 + 512, own, 3 * 65536 + 512);
	g_assert_cmpint(run(fixture, BLOCK_READ, 1 << 18, fixture->ram, 65536), ==, 0);
	g_assert_cmpmem(fixture->disk + (1 << 18), 65536, fixture->ram, 65536);
	g_assert_cmpint(run(fixture, BLOCK_FLUSH, 0, NULL, 0), ==, 0);

	/* More than fits one discard or write of zeroes, which is 64 sectors. */
	g_assert_cmpint(run(fixture, BLOCK_DISCARD, 512, NULL, 200 * 512), ==, 0);
	g_assert_cmpuint(fixture->disk[512], ==, 0xff);
	g_assert_cmpuint(fixture->disk[201 * 512 - 1], ==, 0xff);
	g_assert_cmpint(run(fixture, BLOCK_WRITE_ZEROES, 1024, NULL, 198 * 512), ==, 0);
	g_assert_cmpuint(fixture->disk[1023], ==, 0xff);
	g_assert_cmpuint(fixture->disk[1024], ==, 0);
	g_assert_cmpuint(fixture->disk[200 * 512 - 1], ==, 0);
	g_assert_cmpuint(fixture->disk[200 * 512], ==, 0xff);

	g_assert_cmpint(run(fixture, BLOCK_READ, DISK_SIZE, own, 512), ==, -EINVAL);
	g_assert_cmpint(run(fixture, BLOCK_READ, 1, own, 512), ==, -EINVAL);
	block_node_get_statistics(fixture->node, &statistics);
	g_assert_cmpuint(statistics.operations[BLOCK_WRITE], ==, 2);
	g_assert_cmpuint(statistics.operations[BLOCK_READ], ==, 2);
	g_assert_cmpuint(statistics.refused[BLOCK_READ], ==, 2);
	g_assert_cmpuint(statistics.bytes[BLOCK_DISCARD], ==, 200 * 512);
}

/* A back end that cannot do what it said: zeroes are written, discards are advice. */
static void test_unsupported(Fixture *fixture, gconstpointer data)
{
	(void)data;
	attach(fixture, ",discard=unmap");
	back_end_set_ring_lie(fixture->back_end, BACK_END_RING_UNSUPPORTED);
	memset(fixture->disk, 0x55, DISK_SIZE);
	g_assert_cmpint(run(fixture, BLOCK_DISCARD, 0, NULL, 4096), ==, 0);
	g_assert_cmpuint(fixture->disk[0], ==, 0x55);
	for (unsigned i = 0; i < 2; i++)
		g_assert_cmpint(
			run(fixture, BLOCK_WRITE_ZEROES, i * 200000u / 512 * 512, NULL, 150 * 1024),
			==, 0);
	g_assert_cmpuint(fixture->disk[150 * 1024 - 1], ==, 0);
	g_assert_cmpuint(fixture->disk[150 * 1024], ==, 0x55);
	back_end_set_ring_lie(fixture->back_end, BACK_END_RING_FAILS);
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 0, fixture->ram, 512), ==, -EIO);
	g_assert_cmpint(run(fixture, BLOCK_FLUSH, 0, NULL, 0), ==, -EIO);
	back_end_set_ring_lie(fixture->back_end, BACK_END_RING_HONEST);
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 0, fixture->ram, 512), ==, 0);
}

static bool is_running(Fixture *fixture)
{
	return back_end_running(fixture->back_end) > 0;
}

/*
 * Two requests, of which one may be answered rightly; then the back end is cut off. When it is
 * back, and honest, all is well.
 */
static void test_lies(Fixture *fixture, gconstpointer data)
{
	attach(fixture, NULL);
	back_end_hold(fixture->back_end, true);
	begin(fixture, 0, BLOCK_READ, 0, fixture->ram, 4096);
	begin(fixture, 1, BLOCK_READ, 4096, fixture->ram + 4096, 4096);
	settle_loop(fixture);
	back_end_set_ring_lie(fixture->back_end, GPOINTER_TO_INT(data));
	back_end_hold(fixture->back_end, false);
	g_assert_cmpint(end(&fixture->calls[1]), ==, -EIO);
	end(&fixture->calls[0]);
	back_end_set_ring_lie(fixture->back_end, BACK_END_RING_HONEST);
	while (back_end_count(fixture->back_end, VHOST_USER_SET_OWNER) < 2 || !is_running(fixture))
		g_main_context_iteration(NULL, TRUE);
	/* It is up as soon as the main thread has said so. */
	g_main_context_iteration(NULL, FALSE);
	fixture->disk[5] = 99;
	for (unsigned i = 0; i < 3; i++)
		g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, 4096), ==, 0);
	g_assert_cmpuint(fixture->ram[5], ==, 99);
}

/* It dies with requests that it took, some answered, and not in order. */
static void test_killed(Fixture *fixture, gconstpointer data)
{
	const unsigned n = 32;

	(void)data;
	attach(fixture, NULL);
	back_end_hold(fixture->back_end, true);
	for (unsigned i = 0; i < n; i++) {
		fill(fixture->ram + i * BLOCK, BLOCK, i);
		begin(fixture, i, i % 4 == 3 ? BLOCK_READ : BLOCK_WRITE, i * BLOCK,
		      fixture->ram + i * BLOCK, BLOCK);
	}
	settle_loop(fixture);
	back_end_serve_last(fixture->back_end, 11);
	for (unsigned i = n - 11; i < n; i++)
		g_assert_cmpint(end(&fixture->calls[i]), ==, 0);
	for (unsigned i = 0; i < n - 11; i++)
		g_assert_cmpint(g_atomic_int_get(&fixture->calls[i].done), ==, 0);
	/* What it had not flushed goes with it. */
	g_clear_pointer(&fixture->back_end, back_end_free);
	memset(fixture->disk, 0xee, DISK_SIZE);
	for (unsigned i = 0; i < 20; i++)
		g_main_context_iteration(NULL, FALSE);
	/* More come meanwhile. */
	fill(fixture->ram + n * BLOCK, BLOCK, n);
	begin(fixture, n, BLOCK_WRITE, n * BLOCK, fixture->ram + n * BLOCK, BLOCK);
	make_back_end(fixture);
	for (unsigned i = 0; i <= n; i++)
		g_assert_cmpint(end(&fixture->calls[i]), ==, 0);
	for (unsigned i = 0; i <= n; i++) {
		uint8_t expected[BLOCK];

		fill(expected, BLOCK, i);
		if (i % 4 == 3 && i < n)
			g_assert_cmpuint(fixture->ram[i * BLOCK], ==, i < n - 11 ? 0xee : 0);
		else
			g_assert_cmpmem(fixture->disk + i * BLOCK, BLOCK, expected, BLOCK);
	}
	/* What was flushed is not written again. */
	g_assert_cmpint(run(fixture, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
	g_clear_pointer(&fixture->back_end, back_end_free);
	memset(fixture->disk, 0xdd, DISK_SIZE);
	make_back_end(fixture);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, BLOCK), ==, 0);
	g_assert_cmpuint(fixture->ram[0], ==, 0xdd);
	g_assert_cmpuint(fixture->disk[n * BLOCK], ==, 0xdd);
}

/* More is written than can be remembered: flushes are put in. */
static void test_log_is_full(Fixture *fixture, gconstpointer data)
{
	const unsigned n = (BLOCK_VHOST_LOG_SIZE >> 19) + 8;

	(void)data;
	attach(fixture, NULL);
	for (unsigned i = 0; i < n; i++) {
		fill(fixture->ram, 1 << 19, i);
		g_assert_cmpint(run(fixture, BLOCK_WRITE, (i % 2) << 19, fixture->ram, 1 << 19), ==,
				0);
	}
	g_clear_pointer(&fixture->back_end, back_end_free);
	make_back_end(fixture);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, BLOCK), ==, 0);
	for (unsigned half = 0; half < 2; half++) {
		fill(fixture->ram, 1 << 19, n - 2 + half);
		g_assert_cmpmem(fixture->disk + (half << 19), 1 << 19, fixture->ram, 1 << 19);
	}
}

static void start_draining(gpointer data)
{
	block_node_set_draining(data, 0, true);
}

static void stop_draining(gpointer data)
{
	block_node_set_draining(data, 0, false);
}

/* Whoever wants requests back does not wait for somebody who is not there, whenever it went. */
static void test_drained_dead(Fixture *fixture, gconstpointer data)
{
	(void)data;
	attach(fixture, NULL);
	back_end_hold(fixture->back_end, true);
	begin(fixture, 0, BLOCK_WRITE, 0, fixture->ram, 4096);
	settle_loop(fixture);
	io_loop_run_sync(fixture->loop, start_draining, fixture->node);
	g_assert_cmpint(g_atomic_int_get(&fixture->calls[0].done), ==, 0);
	g_clear_pointer(&fixture->back_end, back_end_free);
	/* Without the main thread, which may be the one who waits. */
	block_node_drain(fixture->node);
	g_assert_cmpint(fixture->calls[0].result, ==, -ECANCELED);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, 4096), ==, -ECANCELED);
	io_loop_run_sync(fixture->loop, stop_draining, fixture->node);
	begin(fixture, 0, BLOCK_READ, 0, fixture->ram, 4096);
	settle_loop(fixture);
	g_assert_cmpint(g_atomic_int_get(&fixture->calls[0].done), ==, 0);
	block_node_drain(fixture->node);
	g_assert_cmpint(end(&fixture->calls[0]), ==, -ECANCELED);
}

static void test_delay(Fixture *fixture, gconstpointer data)
{
	(void)data;
	attach(fixture, ",reconnect-delay=0");
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, 4096), ==, 0);
	back_end_hold(fixture->back_end, true);
	begin(fixture, 0, BLOCK_READ, 0, fixture->ram, 4096);
	settle_loop(fixture);
	g_clear_pointer(&fixture->back_end, back_end_free);
	g_assert_cmpint(end(&fixture->calls[0]), ==, -EIO);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, 4096), ==, -EIO);
	make_back_end(fixture);
	while (run(fixture, BLOCK_READ, 0, fixture->ram, 4096) == -EIO)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, 4096), ==, 0);
}

static bool was_resized(Fixture *fixture)
{
	return fixture->resized > 0;
}

static void test_resized(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	(void)data;
	back_end_set_config(fixture->back_end,
			    &(VirtioBlkConfig){ .capacity = 1024, .seg_max = 1, .blk_size = 512 });
	attach(fixture, NULL);
	g_assert_cmpint(run(fixture, BLOCK_READ, 1024 * 512, fixture->ram, 512), ==, -EINVAL);
	back_end_change_config(fixture->back_end, DISK_SIZE / 512);
	wait_for(fixture, was_resized);
	g_assert_cmpuint(fixture->resized, ==, DISK_SIZE);
	g_assert_cmpint(run(fixture, BLOCK_READ, 1024 * 512, fixture->ram, 512), ==, 0);
	g_assert_false(block_node_resize(fixture->node, DISK_SIZE, &error));
	g_assert_nonnull(strstr(error->message, "its size is for the back end at"));
	/* No smaller, while somebody relies on it. */
	back_end_change_config(fixture->back_end, 512);
	while (run(fixture, BLOCK_READ, 0, fixture->ram, 512) == 0)
		g_main_context_iteration(NULL, FALSE);
}

static const struct {
	VirtioBlkConfig config;
	const char *message;
} nonsense[] = {
	{ { .capacity = 64, .seg_max = 1, .blk_size = 0 }, "has blocks of 0 bytes" },
	{ { .capacity = 64, .seg_max = 1, .blk_size = 768 }, "has blocks of 768 bytes" },
	{ { .capacity = 64, .seg_max = 1, .blk_size = 256 }, "has blocks of 256 bytes" },
	{ { .capacity = 64, .seg_max = 1, .blk_size = 1u << 31 },
	  "has blocks of 2147483648 bytes" },
	{ { .capacity = UINT64_MAX, .seg_max = 1, .blk_size = 512 }, "sectors" },
	{ { .capacity = UINT64_MAX / 512, .seg_max = 1, .blk_size = 512 }, "sectors" },
	{ { .capacity = 9, .seg_max = 1, .blk_size = 4096 }, "has 9 sectors" },
	{ { .capacity = 64, .seg_max = 0, .blk_size = 512 }, "without data only" },
};

static void test_nonsense(Fixture *fixture, gconstpointer data)
{
	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(nonsense); i++) {
		g_autoptr(GError) error = NULL;

		back_end_set_config(fixture->back_end, &nonsense[i].config);
		g_assert_false(add(fixture, NULL, &error));
		g_assert_nonnull(strstr(error->message, nonsense[i].message));
		g_assert_nonnull(strstr(error->message, "node 'n'"));
	}
}

/* What else features say, which the back end of tests has not. */
static void test_traits(void)
{
	const uint64_t features = block_vhost_features;
	const VirtioBlkConfig good = { .capacity = 64,
				       .size_max = 4096 + 100,
				       .seg_max = 1000,
				       .blk_size = 1024,
				       .physical_block_exp = 2,
				       .opt_io_size = 8,
				       .max_discard_sectors = 1001,
				       .max_discard_seg = 1,
				       .discard_sector_alignment = 8,
				       .max_write_zeroes_sectors = 7,
				       .max_write_zeroes_seg = 1 };
	VirtioBlkConfig bad;
	BlockVhostTraits traits;

	g_assert_true(block_vhost_read_config(&traits, &good, features, NULL));
	g_assert_cmpuint(traits.segment_max, ==, 4096);
	g_assert_cmpuint(traits.n_segments, ==, BLOCK_VHOST_SEGMENTS_MAX);
	g_assert_cmpuint(traits.physical_block_size, ==, 4096);
	g_assert_cmpuint(traits.opt_io_size, ==, 8192);
	g_assert_cmpuint(traits.discard_max, ==, 1000);
	g_assert_cmpuint(traits.discard_granularity, ==, 4096);
	g_assert_cmpuint(traits.zeroes_max, ==, 6);
	g_assert_true(traits.read_only);
	g_assert_true(block_vhost_read_config(&traits, &good, BIT(32), NULL));
	g_assert_cmpuint(traits.n_segments, ==, 1);
	g_assert_cmpuint(traits.block_size, ==, 512);
	g_assert_cmpuint(traits.discard_max, ==, 0);
	g_assert_false(traits.flush || traits.read_only);
	g_assert_false(block_vhost_read_config(&traits, &good, features & ~BIT(32), NULL));
	bad = good;
	bad.size_max = 512;
	g_assert_false(block_vhost_read_config(&traits, &bad, features, NULL));
	bad = good;
	bad.physical_block_exp = 40;
	g_assert_false(block_vhost_read_config(&traits, &bad, features, NULL));
	bad = good;
	bad.discard_sector_alignment = UINT32_MAX - 1;
	g_assert_true(block_vhost_read_config(&traits, &bad, features, NULL));
	g_assert_cmpuint(traits.discard_granularity, ==, 1024);
}

/* What cannot be shared is copied. */
static void test_private_memory(Fixture *fixture, gconstpointer data)
{
	(void)data;
	attach(fixture, NULL);
	g_assert_cmpuint(back_end_regions(fixture->back_end), ==, 1);
	fill(fixture->ram, 1 << 18, 1);
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 0, fixture->ram, 1 << 18), ==, 0);
	g_assert_cmpmem(fixture->disk, 1 << 18, fixture->ram, 1 << 18);
	fill(fixture->disk, 1 << 18, 2);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, 1 << 18), ==, 0);
	g_assert_cmpmem(fixture->disk, 1 << 18, fixture->ram, 1 << 18);
}

static void test_read_only(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	(void)data;
	g_assert_true(add(fixture, ",read-only=on", NULL));
	g_assert_false(claim(fixture, true, &error));
	g_assert_true(claim(fixture, false, NULL));
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 0, fixture->ram, 512), ==, -EROFS);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, fixture->ram, 512), ==, 0);
}

static void test_refused(Fixture *fixture, gconstpointer data)
{
	IoLoop *loops[BACK_END_QUEUES + 1];
	const BlockUser many = { .name = "m", .loops = loops, .n_loops = G_N_ELEMENTS(loops) };
	const BlockUser none = { .name = "f" };
	g_autoptr(GError) error = NULL;
	BlockNode *node;

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(loops); i++)
		loops[i] = fixture->loop;
	g_assert_false(add(fixture, ",cache.direct=off", &error));
	g_assert_nonnull(strstr(error->message, "'cache.direct' of off is not supported"));
	g_clear_error(&error);
	g_assert_true(add(fixture, NULL, NULL));
	node = block_nodes_find(fixture->nodes, "n");
	g_assert_false(block_node_attach(node, &many, &error));
	g_assert_nonnull(
		strstr(error->message, "has 4 queues, fewer than there are I/O threads, 5"));
	g_clear_error(&error);
	g_assert_false(block_node_attach(node, &none, &error));
	g_assert_nonnull(strstr(error->message, "needs an I/O thread"));
	g_clear_error(&error);
	g_clear_pointer(&fixture->back_end, back_end_free);
	for (unsigned i = 0; i < 100; i++) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(100);
	}
	g_assert_false(claim(fixture, true, &error));
	g_assert_nonnull(strstr(error->message, "there is no back end at"));
	g_clear_error(&error);
	g_assert_true(block_nodes_remove(fixture->nodes, "n", NULL));
	g_assert_false(add(fixture, NULL, &error));
	g_assert_nonnull(strstr(error->message, fixture->path));
}

/* Memory that comes is shared once the back end knows of it; that which goes is not any more. */
static void test_memory_changes(Fixture *fixture, gconstpointer data)
{
	autofd int fd = memfd_create("more", MFD_CLOEXEC);
	GuestMemoryRegion region = { .gpa = 1ULL << 32, .size = MEMORY, .fd = fd, .shared = true };
	unsigned regions;

	(void)data;
	attach(fixture, NULL);
	regions = back_end_regions(fixture->back_end);
	g_assert_cmpuint(regions, ==, 2);
	g_assert_cmpint(ftruncate(fd, MEMORY), ==, 0);
	region.hva = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	g_assert_true(region.hva != MAP_FAILED);
	fill(region.hva, BLOCK, 3);
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 0, region.hva, BLOCK), ==, 0);
	g_assert_cmpmem(fixture->disk, BLOCK, region.hva, BLOCK);
	guest_memory_add(fixture->memory, &region, NULL);
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_ADD_MEM_REG), ==, 3);
	fill(region.hva, BLOCK, 4);
	g_assert_cmpint(run(fixture, BLOCK_WRITE, 0, region.hva, BLOCK), ==, 0);
	g_assert_cmpmem(fixture->disk, BLOCK, region.hva, BLOCK);
	guest_memory_remove(fixture->memory, region.gpa);
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_REM_MEM_REG), ==, 1);
	g_assert_cmpint(run(fixture, BLOCK_READ, 0, region.hva, BLOCK), ==, 0);
	munmap(region.hva, MEMORY);
}

/* What the log keeps, over many turns. */
static void test_log(void)
{
	uint8_t bytes[3000];
	struct iovec iov = { bytes, sizeof(bytes) };
	BlockRequest request = { .operation = BLOCK_WRITE, .iov = &iov, .n_iov = 1 };
	uint64_t first = 0, next = 0;
	BlockVhostLog log;

	g_assert_true(block_vhost_log_open(&log, 8192));
	for (unsigned turn = 0; turn < 20000; turn++) {
		const BlockVhostEntry *entry;
		uint64_t sequence;

		request.size = iov.iov_len = (size_t)g_test_rand_int_range(0, sizeof(bytes));
		request.offset = next * 7;
		memset(bytes, (int)next, sizeof(bytes));
		if (block_vhost_log_append(&log, &request, next)) {
			next++;
		} else {
			g_assert_cmpuint(next, >, first);
			first += 1 + (uint64_t)g_test_rand_int_range(0, (int)(next - first));
			block_vhost_log_forget(&log, first);
		}
		entry = block_vhost_log_first(&log);
		for (sequence = first; entry; entry = block_vhost_log_next(&log, entry)) {
			g_assert_cmpuint(entry->sequence, ==, sequence);
			g_assert_cmpuint(entry->offset, ==, sequence * 7);
			for (uint64_t i = 0; i < entry->size; i += 97)
				g_assert_cmpuint(entry->data[i], ==, (uint8_t)sequence);
			sequence++;
		}
		g_assert_cmpuint(sequence, ==, next);
	}
	block_vhost_log_close(&log);
}

/* A back end that cuts off what it was given would take our end of it, too. */
static void test_area_is_sealed(void)
{
	g_autoptr(GError) error = NULL;
	BlockVhostArea *area = block_vhost_area_new(1, &error);

	g_assert_no_error(error);
	g_assert_cmpint(ftruncate(area->fd, 0), ==, -1);
	g_assert_cmpint(errno, ==, EPERM);
	memset(area->base, 1, area->size);
	block_vhost_area_free(area);
}

#define ADD(path, func) g_test_add("/block-vhost/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
	static const char *const lies[] = {
		[BACK_END_RING_OTHER] = "/block-vhost/lies/other",
		[BACK_END_RING_TWICE] = "/block-vhost/lies/twice",
		[BACK_END_RING_LONG] = "/block-vhost/lies/long",
		[BACK_END_RING_SHORT] = "/block-vhost/lies/short",
		[BACK_END_RING_STATUS] = "/block-vhost/lies/status",
		[BACK_END_RING_SILENT] = "/block-vhost/lies/silent",
		[BACK_END_RING_INDEX] = "/block-vhost/lies/index",
	};

	g_test_init(&argc, &argv, NULL);
	/* Back ends that are cut off are warned of. */
	g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
	ADD("transfers", test_transfers);
	ADD("unsupported", test_unsupported);
	for (int lie = 1; lie < BACK_END_RING_N_LIES; lie++)
		g_test_add(lies[lie], Fixture, GINT_TO_POINTER(lie), set_up, test_lies, tear_down);
	ADD("killed", test_killed);
	ADD("log-is-full", test_log_is_full);
	ADD("drained-dead", test_drained_dead);
	ADD("delay", test_delay);
	ADD("resized", test_resized);
	ADD("nonsense", test_nonsense);
	g_test_add("/block-vhost/private-memory", Fixture, NULL, set_up_private,
		   test_private_memory, tear_down);
	ADD("read-only", test_read_only);
	ADD("refused", test_refused);
	ADD("memory-changes", test_memory_changes);
	g_test_add_func("/block-vhost/traits", test_traits);
	g_test_add_func("/block-vhost/log", test_log);
	g_test_add_func("/block-vhost/area-is-sealed", test_area_is_sealed);
	return g_test_run();
}
