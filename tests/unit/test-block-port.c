/*
 * test-block-port.c: nodes on several loops, limits on their speed, histograms
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block.h"
#include "vmm/config/options.h"

#include "qapi-types.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define IMAGE_SIZE (1u << 20)
#define N_LOOPS	   2u
#define N_CALLS	   64u

typedef struct Fixture {
	char *image;
	BlockNodes *nodes;
	BlockNode *node;
	IoLoop *loops[N_LOOPS];
} Fixture;

static BlockNode *add_node(Fixture *fixture, const char *name, const char *user)
{
	g_autofree char *text = g_strdup_printf("driver=file,node-name=%s,locking=off,filename=%s",
						name, fixture->image);
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed = options_parse(text, "driver", &error);
	BlockUser block_user = {
		.name = user,
		.loops = fixture->loops,
		.n_loops = N_LOOPS,
		.writable = true,
	};
	BlockNode *node;

	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, &error);
	json_object_put(parsed);
	block_nodes_add(fixture->nodes, options, &error);
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, name);
	g_assert_true(block_node_attach(node, &block_user, NULL));
	return node;
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	int fd = g_file_open_tmp("vireo-port-XXXXXX", &fixture->image, NULL);

	(void)data;
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(ftruncate(fd, IMAGE_SIZE), ==, 0);
	close(fd);
	for (unsigned i = 0; i < N_LOOPS; i++)
		fixture->loops[i] = io_loop_new("test-io", NULL, NULL, NULL);
	fixture->nodes = block_nodes_new();
	fixture->node = add_node(fixture, "disk", "device");
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	block_node_detach(fixture->node);
	block_nodes_free(fixture->nodes);
	for (unsigned i = 0; i < N_LOOPS; i++)
		io_loop_free(fixture->loops[i]);
	unlink(fixture->image);
	g_free(fixture->image);
}

typedef struct Call {
	BlockRequest request;
	struct iovec iov;
	int result;
	int64_t done_ns;
	gint done; /* atomic */
	IoLoop *loop;
} Call;

typedef struct Batch {
	BlockNode *node;
	unsigned port;
	IoLoop *loop;
	BlockOperation operation;
	unsigned n;
	int64_t start_ns;
	Call calls[N_CALLS];
	uint8_t data[N_CALLS][512];
} Batch;

static void call_done(BlockRequest *request, int result)
{
	Call *call = (Call *)request;

	g_assert_true(io_loop_is_current(call->loop));
	call->result = result;
	call->done_ns = io_loop_now_ns();
	g_atomic_int_set(&call->done, 1);
}

static void submit(gpointer data)
{
	Batch *batch = data;

	batch->start_ns = io_loop_now_ns();
	for (unsigned i = 0; i < batch->n; i++) {
		Call *call = &batch->calls[i];

		*call = (Call){ .loop = batch->loop };
		call->iov = (struct iovec){ batch->data[i], 512 };
		call->request = (BlockRequest){
			.operation = batch->operation,
			.offset = i * 512,
			.size = 512,
			.iov = &call->iov,
			.n_iov = 1,
			.complete = call_done,
		};
		block_node_submit(batch->node, batch->port, &call->request);
		g_assert_cmpint(call->done, ==, 0);
	}
}

static Batch *batch_start(Fixture *fixture, BlockNode *node, unsigned port,
			  BlockOperation operation, unsigned n)
{
	Batch *batch = g_new0(Batch, 1);

	batch->node = node;
	batch->port = port;
	batch->loop = fixture->loops[port];
	batch->operation = operation;
	batch->n = n;
	io_loop_run_sync(batch->loop, submit, batch);
	return batch;
}

/* Seconds from the start until the last request was done; frees the batch. */
static double batch_wait(Batch *batch)
{
	int64_t last_ns = 0;
	double seconds;

	for (unsigned i = 0; i < batch->n; i++) {
		while (!g_atomic_int_get(&batch->calls[i].done))
			g_usleep(200);
		g_assert_cmpint(batch->calls[i].result, ==, 0);
		last_ns = MAX(last_ns, batch->calls[i].done_ns);
	}
	seconds = (double)(last_ns - batch->start_ns) / 1e9;
	io_loop_run_sync(batch->loop, submit, &(Batch){ .n = 0 });
	g_free(batch);
	return seconds;
}

static unsigned n_done(Batch *batch)
{
	unsigned n = 0;

	for (unsigned i = 0; i < batch->n; i++)
		n += g_atomic_int_get(&batch->calls[i].done);
	return n;
}

/* Both loops at once: each request comes back on its own, and the counters add up. */
static void test_ports(Fixture *fixture, gconstpointer data)
{
	BlockStatistics statistics;

	(void)data;
	for (unsigned round = 0; round < 50; round++) {
		Batch *reads = batch_start(fixture, fixture->node, 0, BLOCK_READ, N_CALLS);
		Batch *writes = batch_start(fixture, fixture->node, 1, BLOCK_WRITE, N_CALLS);

		batch_wait(reads);
		batch_wait(writes);
	}
	block_node_get_statistics(fixture->node, &statistics);
	g_assert_cmpuint(statistics.operations[BLOCK_READ], ==, 50 * N_CALLS);
	g_assert_cmpuint(statistics.operations[BLOCK_WRITE], ==, 50 * N_CALLS);
	g_assert_cmpuint(statistics.bytes[BLOCK_WRITE], ==, 50 * N_CALLS * 512);
	g_assert_cmpuint(statistics.highest_write_offset, ==, N_CALLS * 512);
	g_assert_cmpint(statistics.last_ns, >, 0);
}

static ThrottleConfig limit(ThrottleKind kind, uint64_t average)
{
	ThrottleConfig config;

	throttle_config_init(&config);
	config.limits[kind].average = average;
	return config;
}

static void set_throttle(BlockNode *node, const char *group, ThrottleConfig config)
{
	g_autoptr(GError) error = NULL;

	block_node_set_throttle(node, group, &config, &error);
	g_assert_no_error(error);
}

/* Of 100 a second 11 go at once, then one each 10 ms; other directions are not held up. */
static void test_throttle(Fixture *fixture, gconstpointer data)
{
	ThrottleConfig config;
	Batch *batch;

	(void)data;
	g_assert_null(block_node_get_throttle(fixture->node, &config));
	set_throttle(fixture->node, NULL, limit(THROTTLE_IOPS_READ, 100));
	g_assert_cmpstr(block_node_get_throttle(fixture->node, &config), ==, "device");
	g_assert_cmpuint(config.limits[THROTTLE_IOPS_READ].average, ==, 100);
	batch = batch_start(fixture, fixture->node, 0, BLOCK_READ, 31);
	batch_wait(batch_start(fixture, fixture->node, 0, BLOCK_WRITE, N_CALLS));
	g_assert_cmpuint(n_done(batch), <, 31);
	g_assert_cmpfloat(batch_wait(batch), >=, 0.199);
	/* The bucket is as full whichever loop asks. */
	g_assert_cmpfloat(batch_wait(batch_start(fixture, fixture->node, 1, BLOCK_READ, 11)), >=,
			  0.08);
}

/* What waits goes by new limits as soon as there are any, or none. */
static void test_throttle_changes(Fixture *fixture, gconstpointer data)
{
	ThrottleConfig none;
	Batch *batch;

	(void)data;
	throttle_config_init(&none);
	set_throttle(fixture->node, NULL, limit(THROTTLE_BPS_TOTAL, 1));
	batch = batch_start(fixture, fixture->node, 0, BLOCK_WRITE, 20);
	g_usleep(10000);
	g_assert_cmpuint(n_done(batch), ==, 1);
	set_throttle(fixture->node, NULL, none);
	g_assert_null(block_node_get_throttle(fixture->node, &none));
	batch_wait(batch);
	set_throttle(fixture->node, NULL, limit(THROTTLE_BPS_TOTAL, 1));
	batch = batch_start(fixture, fixture->node, 0, BLOCK_WRITE, 20);
	set_throttle(fixture->node, NULL, limit(THROTTLE_IOPS_TOTAL, 100000));
	batch_wait(batch);
}

static void start_draining(gpointer data)
{
	block_node_set_draining(((Fixture *)data)->node, 0, true);
}

static void stop_draining(gpointer data)
{
	block_node_set_draining(((Fixture *)data)->node, 0, false);
}

/* A device that stops gets its requests back without waiting for their turn. */
static void test_throttle_drained(Fixture *fixture, gconstpointer data)
{
	Batch *batch;

	(void)data;
	set_throttle(fixture->node, NULL, limit(THROTTLE_BPS_TOTAL, 1));
	batch = batch_start(fixture, fixture->node, 0, BLOCK_READ, 40);
	io_loop_run_sync(fixture->loops[0], start_draining, fixture);
	batch_wait(batch);
	batch_wait(batch_start(fixture, fixture->node, 0, BLOCK_READ, 40));
	io_loop_run_sync(fixture->loops[0], stop_draining, fixture);
	batch = batch_start(fixture, fixture->node, 0, BLOCK_READ, 40);
	g_usleep(10000);
	g_assert_cmpuint(n_done(batch), ==, 0);
	block_node_drain(fixture->node);
	batch_wait(batch);
}

/* Two nodes of a group share what it allows; one that leaves is free. */
static void test_throttle_group(Fixture *fixture, gconstpointer data)
{
	BlockNode *other = add_node(fixture, "other", "other-device");
	ThrottleConfig none, config = limit(THROTTLE_IOPS_TOTAL, 100);
	double first_seconds, second_seconds;
	Batch *first, *second;

	(void)data;
	throttle_config_init(&none);
	g_assert_true(block_nodes_add_throttle_group(fixture->nodes, "g", &none, NULL));
	g_assert_false(block_nodes_add_throttle_group(fixture->nodes, "g", &none, NULL));
	set_throttle(fixture->node, "g", config);
	set_throttle(other, "g", config);
	g_assert_cmpstr(block_node_get_throttle(other, &config), ==, "g");
	g_assert_false(block_nodes_remove_throttle_group(fixture->nodes, "g"));
	first = batch_start(fixture, fixture->node, 0, BLOCK_READ, 16);
	second = batch_start(fixture, other, 1, BLOCK_READ, 15);
	first_seconds = batch_wait(first);
	second_seconds = batch_wait(second);
	g_assert_cmpfloat(MAX(first_seconds, second_seconds), >=, 0.18);
	set_throttle(other, NULL, none);
	first = batch_start(fixture, fixture->node, 0, BLOCK_READ, 30);
	batch_wait(batch_start(fixture, other, 0, BLOCK_READ, N_CALLS));
	g_assert_cmpuint(n_done(first), <, 30);
	set_throttle(fixture->node, NULL, none);
	batch_wait(first);
	g_assert_true(block_nodes_remove_throttle_group(fixture->nodes, "g"));
	g_assert_false(block_nodes_remove_throttle_group(fixture->nodes, "g"));
	block_node_detach(other);
}

static void test_bad_limits(Fixture *fixture, gconstpointer data)
{
	ThrottleConfig config = limit(THROTTLE_BPS_READ, 10);
	g_autoptr(GError) error = NULL;

	(void)data;
	config.limits[THROTTLE_BPS_READ].max = 5;
	g_assert_false(block_node_set_throttle(fixture->node, NULL, &config, &error));
	g_assert_nonnull(error);
	g_assert_null(block_node_get_throttle(fixture->node, &config));
}

static void assert_bins(BlockNode *node, BlockHistogramKind kind, unsigned n, uint64_t sum)
{
	g_autoptr(BlockHistogram) histogram = block_node_get_histogram(node, kind);
	uint64_t counted = 0;

	g_assert_nonnull(histogram);
	g_assert_cmpuint(histogram->n_boundaries, ==, n);
	for (unsigned i = 0; i <= n; i++)
		counted += histogram->bins[i];
	g_assert_cmpuint(counted, ==, sum);
}

static void test_histograms(Fixture *fixture, gconstpointer data)
{
	const uint64_t boundaries[] = { 1, 1000000, UINT64_MAX };
	g_autoptr(BlockHistogram) histogram = NULL;

	(void)data;
	g_assert_null(block_node_get_histogram(fixture->node, BLOCK_HISTOGRAM_READ));
	block_node_set_histogram(fixture->node, BLOCK_HISTOGRAM_READ, boundaries, 3);
	block_node_set_histogram(fixture->node, BLOCK_HISTOGRAM_WRITE, boundaries, 1);
	batch_wait(batch_start(fixture, fixture->node, 0, BLOCK_READ, 10));
	batch_wait(batch_start(fixture, fixture->node, 1, BLOCK_READ, 20));
	batch_wait(batch_start(fixture, fixture->node, 1, BLOCK_WRITE, 5));
	block_node_drain(fixture->node);
	assert_bins(fixture->node, BLOCK_HISTOGRAM_READ, 3, 30);
	assert_bins(fixture->node, BLOCK_HISTOGRAM_WRITE, 1, 5);
	g_assert_null(block_node_get_histogram(fixture->node, BLOCK_HISTOGRAM_FLUSH));
	/* Nothing takes no time, nor for ever. */
	histogram = block_node_get_histogram(fixture->node, BLOCK_HISTOGRAM_READ);
	g_assert_cmpuint(histogram->bins[0], ==, 0);
	g_assert_cmpuint(histogram->bins[3], ==, 0);
	block_node_set_histogram(fixture->node, BLOCK_HISTOGRAM_READ, boundaries, 3);
	assert_bins(fixture->node, BLOCK_HISTOGRAM_READ, 3, 0);
	block_node_set_histogram(fixture->node, BLOCK_HISTOGRAM_READ, NULL, 0);
	g_assert_null(block_node_get_histogram(fixture->node, BLOCK_HISTOGRAM_READ));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) \
	g_test_add("/block-port/" name, Fixture, NULL, set_up, function, tear_down)
	ADD("ports", test_ports);
	ADD("throttle/waits", test_throttle);
	ADD("throttle/changes", test_throttle_changes);
	ADD("throttle/drained", test_throttle_drained);
	ADD("throttle/group", test_throttle_group);
	ADD("throttle/bad-limits", test_bad_limits);
	ADD("histograms", test_histograms);
	return g_test_run();
}
