/*
 * test-block.c: requests to block nodes, and their faults
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/unit/block_fixture.h"

/*
 * What the code under test calls for memory that direct I/O can use: a bounce buffer, once a node
 * is open.
 */
static gint n_aligned; /* atomic */

void *aligned_alloc(size_t alignment, size_t size)
{
	void *memory = NULL;

	g_atomic_int_inc(&n_aligned);
	return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}

/* Some file systems have no direct I/O (tmpfs before 6.6). */
static bool can_direct(Fixture *fixture, const char *more)
{
	autofd int fd = open(fixture->image, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0 || !strstr(more, "cache.direct=on"))
		return true;
	g_test_skip("the file system of the build has no direct I/O");
	return false;
}

static void test_read_write(Fixture *fixture, gconstpointer more)
{
	BlockNode *node;
	g_autofree char *big = g_malloc(1 << 20);
	BlockStatistics statistics;
	char *buffer;

	if (!can_direct(fixture, more))
		return;
	node = attach(fixture, more);
	buffer = aligned_alloc(4096, 8192);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 4096, buffer, 8192), ==, 0);
	g_assert_cmpint(buffer[0], ==, 8);
	g_assert_cmpint(buffer[8191], ==, 23);
	memset(buffer, 0x5a, 8192);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 8192, buffer, 4096), ==, 0);
	g_assert_cmpint(other(fixture, node, BLOCK_FLUSH, 0, 0), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 4096, buffer, 8192), ==, 0);
	g_assert_cmpint(buffer[4095], ==, 15);
	g_assert_cmpint(buffer[4096], ==, 0x5a);

	/* From memory that direct I/O cannot use, and larger than a bounce buffer. */
	memset(big, 0x33, 1 << 20);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 1 << 20, big + 1, BIG), ==, 0);
	memset(big, 0, 1 << 20);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 1 << 20, big + 3, BIG), ==, 0);
	g_assert_cmpint(big[2], ==, 0);
	for (unsigned i = 3; i < BIG + 3; i++)
		g_assert_cmpint(big[i], ==, 0x33);
	g_assert_cmpint(big[BIG + 3], ==, 0);

	block_node_get_statistics(node, &statistics);
	g_assert_cmpuint(statistics.operations[BLOCK_READ], ==, 3);
	g_assert_cmpuint(statistics.operations[BLOCK_WRITE], ==, 2);
	g_assert_cmpuint(statistics.operations[BLOCK_FLUSH], ==, 1);
	g_assert_cmpuint(statistics.bytes[BLOCK_WRITE], ==, 1 << 20);
	g_assert_cmpuint(statistics.highest_write_offset, ==, (2 << 20) - 4096);
	g_assert_cmpuint(statistics.total_ns[BLOCK_READ], >, 0);
	g_assert_cmpint(statistics.last_ns, >, 0);
	free(buffer);
	block_node_detach(node);
}

/* How many bounce buffers a read and a write of @iov at @offset take. */
static int n_bounces(Fixture *fixture, BlockNode *node, uint64_t offset, struct iovec *iov,
		     unsigned n_iov)
{
	BlockRequest request = { .offset = offset, .iov = iov, .n_iov = n_iov };
	int before = g_atomic_int_get(&n_aligned);

	for (unsigned i = 0; i < n_iov; i++)
		request.size += iov[i].iov_len;
	request.operation = BLOCK_READ;
	g_assert_cmpint(run(fixture, node, request), ==, 0);
	request.operation = BLOCK_WRITE;
	g_assert_cmpint(run(fixture, node, request), ==, 0);
	return g_atomic_int_get(&n_aligned) - before;
}

/* Data is copied only where the host's device cannot have it where it is. */
static void test_bounces(Fixture *fixture, gconstpointer more)
{
	const bool direct = strstr(more, "cache.direct=on") != NULL;
	BlockNode *node;
	char *buffer;

	if (!can_direct(fixture, more))
		return;
	node = attach(fixture, more);
	buffer = aligned_alloc(4096, 2 << 20);
	memset(buffer, 0, 2 << 20);
	{
		struct iovec page[] = { { buffer, 4096 } };
		struct iovec large[] = { { buffer, 1 << 20 } };
		struct iovec pages[] = { { buffer, 4096 },
					 { buffer + 65536, 8192 },
					 { buffer + 8192, 4096 } };
		struct iovec moved[] = { { buffer + 1, 4096 } };
		struct iovec moved_large[] = { { buffer + 1, 1 << 20 } };
		struct iovec second_moved[] = { { buffer, 4096 }, { buffer + 65537, 4096 } };
		struct iovec odd[] = { { buffer, 4000 }, { buffer + 65536, 4192 } };

		g_assert_cmpint(n_bounces(fixture, node, 0, page, 1), ==, 0);
		g_assert_cmpint(n_bounces(fixture, node, 4096, large, 1), ==, 0);
		g_assert_cmpint(n_bounces(fixture, node, 8192, pages, 3), ==, 0);
		g_assert_cmpint(n_bounces(fixture, node, 0, moved, 1), ==, direct ? 2 : 0);
		/* One for each request, however often it is used. */
		g_assert_cmpint(n_bounces(fixture, node, 0, moved_large, 1), ==, direct ? 2 : 0);
		g_assert_cmpint(n_bounces(fixture, node, 0, second_moved, 2), ==, direct ? 2 : 0);
		g_assert_cmpint(n_bounces(fixture, node, 0, odd, 2), ==, direct ? 2 : 0);
	}
	free(buffer);
	block_node_detach(node);
}

/* More vectors than one system call takes. */
static void test_many_vectors(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, "");
	g_autofree struct iovec *iov = g_new(struct iovec, 3000);
	g_autofree char *buffer = g_malloc0(3000 * 512);
	BlockRequest request = {
		.operation = BLOCK_READ, .size = 3000 * 512, .iov = iov, .n_iov = 3000
	};

	(void)data;
	for (unsigned i = 0; i < 3000; i++)
		iov[i] = (struct iovec){ .iov_base = buffer + i * 512, .iov_len = 512 };
	g_assert_cmpint(run(fixture, node, request), ==, 0);
	for (unsigned i = 0; i < 3000; i++)
		g_assert_cmpuint((uint8_t)buffer[i * 512 + 511], ==, i % 256);
	block_node_detach(node);
}

/* More than a system call transfers: the host's reads are short, the request is not. */
static void test_gigantic(Fixture *fixture, gconstpointer data)
{
	const unsigned n = 520;
	const size_t piece = 4 << 20;
	g_autofree struct iovec *iov = g_new(struct iovec, n);
	BlockRequest request = { .iov = iov, .n_iov = n, .size = n * piece };
	uint8_t *buffer;
	BlockNode *node;

	(void)data;
	if (!can_direct(fixture, ",cache.direct=on"))
		return;
	g_assert_cmpint(truncate(fixture->image, (off_t)request.size), ==, 0);
	node = attach(fixture, ",cache.direct=on");
	buffer = aligned_alloc(4096, 2 * piece);
	memset(buffer, 0x5a, 2 * piece);
	/* All but the last into the same memory. */
	for (unsigned i = 0; i < n; i++)
		iov[i] = (struct iovec){ buffer + (i + 1 < n ? 0 : piece), piece };
	request.operation = BLOCK_READ;
	g_assert_cmpint(run(fixture, node, request), ==, 0);
	for (size_t i = 0; i < piece; i += 512)
		g_assert_cmpuint(buffer[piece + i], ==, 0);
	block_node_detach(node);
	free(buffer);
}

static void test_refused_requests(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, "");
	char buffer[1024];
	struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	BlockRequest wrong_sum = { .operation = BLOCK_READ, .size = 512, .iov = &iov, .n_iov = 1 };
	BlockStatistics statistics;

	(void)data;
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, IMAGE_SIZE, buffer, 512), ==, -EINVAL);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, IMAGE_SIZE - 512, buffer, 1024), ==,
			-EINVAL);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, UINT64_MAX - 511, buffer, 512), ==,
			-EINVAL);
	g_assert_cmpint(other(fixture, node, BLOCK_DISCARD, 512, UINT64_MAX), ==, -EINVAL);
	g_assert_cmpint(other(fixture, node, BLOCK_WRITE_ZEROES, UINT64_MAX, 2), ==, -EINVAL);
	g_assert_cmpint(run(fixture, node, wrong_sum), ==, -EINVAL);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, buffer, 0), ==, 0);
	block_node_get_statistics(node, &statistics);
	g_assert_cmpuint(statistics.refused[BLOCK_READ], ==, 3);
	g_assert_cmpuint(statistics.refused[BLOCK_WRITE], ==, 1);
	g_assert_cmpuint(statistics.failed[BLOCK_READ], ==, 0);
	block_node_detach(node);
}

/* A file of an odd size is rounded up; what is missing reads as zeroes. */
static void test_odd_size(Fixture *fixture, gconstpointer more)
{
	BlockNode *node;
	char *buffer;
	BlockLimits limits;

	if (!can_direct(fixture, more))
		return;
	buffer = aligned_alloc(4096, 8192);
	make_image(fixture->image, 4096 + 100);
	node = attach(fixture, more);
	block_node_get_limits(node, &limits);
	g_assert_cmpuint(limits.size, ==, 4096 + 512);
	memset(buffer, 'x', 8192);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 4096, buffer, 512), ==, 0);
	g_assert_cmpint(buffer[99], ==, 8);
	for (unsigned i = 100; i < 512; i++)
		g_assert_cmpint(buffer[i], ==, 0);
	free(buffer);
	block_node_detach(node);
}

/* The file shrinks under us: reads give zeroes, and nothing crashes. */
static void test_truncated_below(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, "");
	char buffer[2048];

	(void)data;
	g_assert_cmpint(truncate(fixture->image, 1000), ==, 0);
	memset(buffer, 'x', sizeof(buffer));
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, buffer, 2048), ==, 0);
	g_assert_cmpint(buffer[999], ==, 1);
	g_assert_cmpint(buffer[1000], ==, 0);
	g_assert_cmpint(buffer[2047], ==, 0);
	block_node_detach(node);
}

static void test_discard_and_zeroes(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, ",discard=unmap");
	BlockRequest zeroes = { .operation = BLOCK_WRITE_ZEROES,
				.offset = 1 << 20,
				.size = 1 << 20 };
	BlockNodeInfo before, after;
	g_autofree char *buffer = g_malloc(2 << 20);

	(void)data;
	block_node_get_info(node, &before);
	g_assert_true(before.discard);
	g_assert_cmpint(other(fixture, node, BLOCK_DISCARD, 0, 1 << 20), ==, 0);
	g_assert_cmpint(run(fixture, node, zeroes), ==, 0);
	zeroes.offset = 2 << 20;
	zeroes.may_unmap = true;
	g_assert_cmpint(run(fixture, node, zeroes), ==, 0);
	block_node_get_info(node, &after);
	g_assert_cmpuint(after.actual_size, <=, before.actual_size - (2 << 20));
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 1 << 20, buffer, 2 << 20), ==, 0);
	for (unsigned i = 0; i < 2 << 20; i += 64)
		g_assert_cmpint(buffer[i], ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 3 << 20, buffer, 1024), ==, 0);
	g_assert_cmpint(buffer[512], ==, 1);
	block_node_detach(node);
}

/* Blocks of the fixture's image that the host keeps. */
static uint64_t allocated(BlockNode *node)
{
	BlockNodeInfo info;

	block_node_get_info(node, &info);
	return info.actual_size;
}

/* Writes of zeroes give their blocks back, or at least are zeroes; others are what they were. */
static void test_detect_zeroes(Fixture *fixture, gconstpointer more)
{
	BlockNode *node = attach(fixture, more);
	g_autofree uint8_t *buffer = g_malloc0(1 << 20);
	g_autofree uint8_t *got = g_malloc(1 << 20);
	bool unmaps = strstr(more, "detect-zeroes=unmap") != NULL;
	uint64_t before = allocated(node);
	BlockStatistics statistics;

	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 0, buffer, 1 << 20), ==, 0);
	if (unmaps)
		g_assert_cmpuint(allocated(node), <=, before - (1 << 20));
	/* The first and the last byte count. */
	for (unsigned i = 0; i < 2; i++) {
		buffer[i * ((1 << 20) - 1)] = 1;
		g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 1 << 20, buffer, 1 << 20), ==,
				0);
		g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 1 << 20, got, 1 << 20), ==, 0);
		g_assert_cmpmem(got, 1 << 20, buffer, 1 << 20);
		buffer[0] = 0;
	}
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, got, 1 << 20), ==, 0);
	buffer[(1 << 20) - 1] = 0;
	g_assert_cmpmem(got, 1 << 20, buffer, 1 << 20);
	block_node_get_statistics(node, &statistics);
	g_assert_cmpuint(statistics.operations[BLOCK_WRITE], ==, 3);
	g_assert_cmpuint(statistics.operations[BLOCK_WRITE_ZEROES], ==, 0);
	block_node_detach(node);
}

static void test_discard_ignored(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, "");
	BlockLimits limits;
	char buffer[1024];

	(void)data;
	block_node_get_limits(node, &limits);
	g_assert_cmpuint(limits.discard_granularity, ==, 0);
	g_assert_cmpint(other(fixture, node, BLOCK_DISCARD, 0, 1 << 20), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, buffer, 1024), ==, 0);
	g_assert_cmpint(buffer[512], ==, 1);
	block_node_detach(node);
}

static void test_write_through(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, ",discard=unmap");
	char buffer[512] = "stable";
	BlockNodeInfo info;

	(void)data;
	block_node_set_write_cache(node, false);
	block_node_get_info(node, &info);
	g_assert_false(info.write_cache);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 0, buffer, 512), ==, 0);
	g_assert_cmpint(other(fixture, node, BLOCK_DISCARD, 0, 4096), ==, 0);
	g_assert_cmpint(other(fixture, node, BLOCK_WRITE_ZEROES, 0, 4096), ==, 0);
	block_node_detach(node);
}

/* RLIMIT_FSIZE is the disk that is full: EFBIG passes through, and the node goes on. */
static void test_full_disk(Fixture *fixture, gconstpointer data)
{
	struct rlimit limit, small;
	BlockNode *node;
	BlockStatistics statistics;
	char buffer[4096] = {};

	(void)data;
	g_assert_cmpint(truncate(fixture->image, 0), ==, 0);
	g_assert_cmpint(truncate(fixture->image, IMAGE_SIZE), ==, 0);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = (struct rlimit){ .rlim_cur = 6144, .rlim_max = limit.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	node = attach(fixture, "");
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
	/* Half of this fits: a short write, then the error. */
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 4096, buffer, 4096), ==, -EFBIG);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 1 << 20, buffer, 512), ==, -EFBIG);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 0, buffer, 512), ==, 0);
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	block_node_get_statistics(node, &statistics);
	g_assert_cmpuint(statistics.failed[BLOCK_WRITE], ==, 2);
	g_assert_cmpuint(statistics.operations[BLOCK_WRITE], ==, 1);
	block_node_detach(node);
}

static void test_resize(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, "");
	g_autoptr(GError) error = NULL;
	char buffer[512] = {};
	BlockLimits limits;

	(void)data;
	g_assert_true(block_node_resize(node, 8 << 20, &error));
	g_assert_cmpuint(fixture->resized, ==, 8 << 20);
	block_node_get_limits(node, &limits);
	g_assert_cmpuint(limits.size, ==, 8 << 20);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, (8 << 20) - 512, buffer, 512), ==, 0);
	g_assert_true(block_node_resize(node, 1 << 20, &error));
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 1 << 20, buffer, 512), ==, -EINVAL);
	g_assert_false(block_node_resize(node, 1000, &error));
	g_assert_nonnull(strstr(error->message, "no multiple"));
	g_clear_error(&error);
	g_assert_false(block_node_resize(node, UINT64_MAX - 511, &error));
	g_assert_nonnull(strstr(error->message, "node 'd': cannot resize"));
	block_node_detach(node);
}

typedef struct Burst {
	Call calls[500];
	struct iovec iov[500];
	char buffer[500][512];
} Burst;

static void burst_submit(gpointer data)
{
	Burst *burst = data;

	for (unsigned i = 0; i < G_N_ELEMENTS(burst->calls); i++) {
		Call *call = &burst->calls[i];

		burst->iov[i] = (struct iovec){ .iov_base = burst->buffer[i], .iov_len = 512 };
		call->request = (BlockRequest){ .operation = BLOCK_READ,
						.offset = i * 512,
						.size = 512,
						.iov = &burst->iov[i],
						.n_iov = 1 };
		call_submit(call);
	}
}

/* Many in flight; drain waits for the last. */
static void test_drain(Fixture *fixture, gconstpointer data)
{
	BlockNode *node = attach(fixture, data);
	g_autofree Burst *burst = g_new0(Burst, 1);

	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(burst->calls); i++)
			burst->calls[i] = (Call){ .node = node };
		io_loop_run_sync(fixture->loop, burst_submit, burst);
		block_node_drain(node);
		for (unsigned i = 0; i < G_N_ELEMENTS(burst->calls); i++) {
			g_assert_cmpint(burst->calls[i].result, ==, 0);
			g_assert_cmpint(burst->calls[i].done, ==, 1);
			g_assert_cmpuint((uint8_t)burst->buffer[i][0], ==, i % 256);
		}
	}
	block_node_detach(node);
}

#define ADD_TEST(name, data, function) \
	g_test_add("/block/" name, Fixture, data, fixture_set_up, function, fixture_tear_down)
#define ADD_THREADED(name, data, function)                                                  \
	g_test_add("/block/threads/" name, Fixture, data, fixture_set_up_threads, function, \
		   fixture_tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD_TEST("read-write/cached", "", test_read_write);
	ADD_TEST("read-write/direct", ",cache.direct=on", test_read_write);
	ADD_TEST("read-write/no-flush", ",cache.no-flush=on", test_read_write);
	ADD_TEST("bounces/cached", "", test_bounces);
	ADD_TEST("bounces/direct", ",cache.direct=on", test_bounces);
	ADD_TEST("many-vectors", NULL, test_many_vectors);
	ADD_TEST("gigantic", NULL, test_gigantic);
	ADD_TEST("refused-requests", NULL, test_refused_requests);
	ADD_TEST("odd-size/cached", "", test_odd_size);
	ADD_TEST("odd-size/direct", ",cache.direct=on", test_odd_size);
	ADD_TEST("truncated-below", NULL, test_truncated_below);
	ADD_TEST("discard-and-zeroes", NULL, test_discard_and_zeroes);
	ADD_TEST("discard-ignored", NULL, test_discard_ignored);
	ADD_TEST("detect-zeroes/on", ",detect-zeroes=on", test_detect_zeroes);
	ADD_TEST("detect-zeroes/unmap", ",discard=unmap,detect-zeroes=unmap", test_detect_zeroes);
	ADD_TEST("write-through", NULL, test_write_through);
	ADD_TEST("full-disk", NULL, test_full_disk);
	ADD_TEST("resize", NULL, test_resize);
	ADD_TEST("drain", "", test_drain);
	ADD_THREADED("read-write/cached", "", test_read_write);
	ADD_THREADED("read-write/direct", ",cache.direct=on", test_read_write);
	ADD_THREADED("read-write/no-flush", ",cache.no-flush=on", test_read_write);
	ADD_THREADED("bounces/cached", "", test_bounces);
	ADD_THREADED("bounces/direct", ",cache.direct=on", test_bounces);
	ADD_THREADED("many-vectors", NULL, test_many_vectors);
	ADD_THREADED("refused-requests", NULL, test_refused_requests);
	ADD_THREADED("odd-size/cached", "", test_odd_size);
	ADD_THREADED("odd-size/direct", ",cache.direct=on", test_odd_size);
	ADD_THREADED("truncated-below", NULL, test_truncated_below);
	ADD_THREADED("discard-and-zeroes", NULL, test_discard_and_zeroes);
	ADD_THREADED("discard-ignored", NULL, test_discard_ignored);
	ADD_THREADED("write-through", NULL, test_write_through);
	ADD_THREADED("full-disk", NULL, test_full_disk);
	ADD_THREADED("resize", NULL, test_resize);
	ADD_THREADED("drain", "", test_drain);
	return g_test_run();
}
