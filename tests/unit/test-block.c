/*
 * test-block.c: block nodes, their locks, requests and faults
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/fd.h"
#include "vmm/block/block.h"
#include "vmm/config/options.h"

#include "qapi-types.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/loop.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define IMAGE_SIZE (4u << 20)
#define BIG	   ((1u << 20) - 4096)

typedef struct Fixture {
	char *directory, *image;
	unsigned descriptors;
	BlockNodes *nodes;
	IoLoop *loop;
	uint64_t resized;
} Fixture;

static unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	g_assert_nonnull(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void make_image(const char *path, size_t size)
{
	g_autofree char *bytes = g_malloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = i / 512;
	g_assert_true(g_file_set_contents(path, bytes, size, NULL));
}

static void fixture_set_up(Fixture *fixture, gconstpointer data)
{
	(void)data;
	/* Beside the program, since /tmp may be a file system without direct I/O. */
	fixture->directory = g_strdup("block-XXXXXX");
	g_assert_nonnull(g_mkdtemp(fixture->directory));
	fixture->image = g_build_filename(fixture->directory, "image", NULL);
	make_image(fixture->image, IMAGE_SIZE);
	fixture->descriptors = count_descriptors();
	fixture->nodes = block_nodes_new();
	fixture->loop = io_loop_new("block", NULL, NULL, NULL);
	g_assert_nonnull(fixture->loop);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	block_nodes_free(fixture->nodes);
	io_loop_free(fixture->loop);
	g_assert_cmpuint(count_descriptors(), ==, fixture->descriptors);
	g_unlink(fixture->image);
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->image);
	g_free(fixture->directory);
}

static bool add(BlockNodes *nodes, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool add(BlockNodes *nodes, GError **error, const char *format, ...)
{
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autofree char *text = NULL;
	json_object *parsed;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	parsed = options_parse(text, "driver", error);
	g_assert_nonnull(parsed);
	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, error);
	json_object_put(parsed);
	return options && block_nodes_add(nodes, options, error);
}

static void assert_add_fails(BlockNodes *nodes, const char *message, const char *options)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(add(nodes, &error, "%s", options));
	if (!strstr(error->message, message))
		g_error("%s: '%s' lacks '%s'", options, error->message, message);
}

static void resized(void *opaque, uint64_t size)
{
	((Fixture *)opaque)->resized = size;
}

static const BlockNodeListener listener = { .resized = resized };

static bool claim(Fixture *fixture, BlockNode *node, bool writable, GError **error)
{
	BlockUser user = {
		.name = "disk",
		.loops = &fixture->loop,
		.n_loops = 1,
		.writable = writable,
		.listener = &listener,
		.opaque = fixture,
	};

	return block_node_attach(node, &user, error);
}

/* A node "d" over the fixture's image, attached to its loop. */
static BlockNode *attach(Fixture *fixture, const char *more)
{
	g_autoptr(GError) error = NULL;
	BlockNode *node;

	add(fixture->nodes, &error, "raw,node-name=d,file.driver=file,file.filename=%s%s",
	    fixture->image, more);
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, "d");
	claim(fixture, node, !strstr(more, "read-only=on"), &error);
	g_assert_no_error(error);
	return node;
}

typedef struct Call {
	BlockRequest request;
	BlockNode *node;
	int result;
	gint done;
} Call;

static void call_complete(BlockRequest *request, int result)
{
	Call *call = (Call *)request;

	call->result = result;
	g_atomic_int_set(&call->done, 1);
}

static void call_submit(gpointer data)
{
	Call *call = data;

	call->request.complete = call_complete;
	block_node_submit(call->node, 0, &call->request);
	/* Never inside the call. */
	g_assert_cmpint(g_atomic_int_get(&call->done), ==, 0);
}

static int run(Fixture *fixture, BlockNode *node, BlockRequest request)
{
	Call call = { .request = request, .node = node };

	io_loop_run_sync(fixture->loop, call_submit, &call);
	block_node_drain(node);
	g_assert_cmpint(call.done, ==, 1);
	return call.result;
}

static int transfer(Fixture *fixture, BlockNode *node, BlockOperation operation, uint64_t offset,
		    void *buffer, size_t size)
{
	struct iovec iov = { .iov_base = buffer, .iov_len = size };

	return run(fixture, node,
		   (BlockRequest){ .operation = operation,
				   .offset = offset,
				   .size = size,
				   .iov = &iov,
				   .n_iov = 1 });
}

static int other(Fixture *fixture, BlockNode *node, BlockOperation operation, uint64_t offset,
		 uint64_t size)
{
	return run(fixture, node,
		   (BlockRequest){ .operation = operation, .offset = offset, .size = size });
}

static void test_options_refused(Fixture *fixture, gconstpointer data)
{
	g_autofree char *fifo = g_build_filename(fixture->directory, "fifo", NULL);
	g_autofree char *text = NULL;

	(void)data;
	assert_add_fails(fixture->nodes, "'node-name' must be specified", "file,filename=/x");
	assert_add_fails(fixture->nodes, "node 'd': cannot open '/no/such': No such file",
			 "file,node-name=d,filename=/no/such");
	assert_add_fails(fixture->nodes, "'/dev/null' is not a regular file",
			 "file,node-name=d,filename=/dev/null");
	assert_add_fails(fixture->nodes, "'/dev/null' is not a block device",
			 "host_device,node-name=d,filename=/dev/null");
	assert_add_fails(fixture->nodes, "there are no descriptor sets",
			 "file,node-name=d,filename=/dev/fdset/3");
	assert_add_fails(fixture->nodes, "is no node name", "file,node-name=#d,filename=/x");
	assert_add_fails(fixture->nodes, "is no node name",
			 "file,node-name=d2345678901234567890123456789012,filename=/x");
	assert_add_fails(fixture->nodes, "node 'nobody' not found", "raw,node-name=d,file=nobody");
	assert_add_fails(fixture->nodes, "qcow2", "qcow2,node-name=d,file=nobody");
	assert_add_fails(fixture->nodes, "detect-zeroes",
			 "file,node-name=d,filename=/x,detect-zeroes=on");
	/* A name taken inside. */
	text = g_strdup_printf("raw,node-name=d,file.driver=file,file.node-name=d,file.filename=%s",
			       fixture->image);
	assert_add_fails(fixture->nodes, "exists already", text);
	g_assert_null(block_nodes_find(fixture->nodes, "d"));

	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	g_free(text);
	text = g_strdup_printf("file,node-name=d,filename=%s", fifo);
	assert_add_fails(fixture->nodes, "is not a regular file", text);
	g_unlink(fifo);
}

static void count_node(BlockNode *node, gpointer data)
{
	(void)node;
	(*(unsigned *)data)++;
}

static void test_registry(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	BlockNode *disk, *file;
	BlockNodeInfo info;
	unsigned count = 0;

	(void)data;
	add(fixture->nodes, &error, "file,node-name=f,filename=%s,discard=unmap", fixture->image);
	g_assert_no_error(error);
	add(fixture->nodes, &error, "raw,node-name=d,file=f");
	g_assert_no_error(error);
	file = block_nodes_find(fixture->nodes, "f");
	disk = block_nodes_find(fixture->nodes, "d");
	block_nodes_foreach(fixture->nodes, count_node, &count);
	g_assert_cmpuint(count, ==, 2);
	block_node_get_info(disk, &info);
	g_assert_cmpstr(info.driver, ==, "raw");
	g_assert_cmpstr(info.child, ==, "f");
	g_assert_cmpstr(info.filename, ==, fixture->image);
	g_assert_cmpuint(info.size, ==, IMAGE_SIZE);
	g_assert_false(info.discard); /* both must allow it */

	g_assert_false(block_nodes_remove(fixture->nodes, "f", &error));
	g_assert_cmpstr(error->message, ==, "node 'f' is in use by 'd'");
	g_clear_error(&error);
	g_assert_false(claim(fixture, file, true, &error));
	g_clear_error(&error);
	assert_add_fails(fixture->nodes, "node 'f' is in use by 'd'", "raw,node-name=e,file=f");

	g_assert_true(claim(fixture, disk, true, NULL));
	g_assert_false(block_nodes_remove(fixture->nodes, "d", &error));
	g_assert_cmpstr(error->message, ==, "node 'd' is in use by 'disk'");
	g_clear_error(&error);
	block_node_detach(disk);
	g_assert_true(block_nodes_remove(fixture->nodes, "d", NULL));
	g_assert_true(block_nodes_remove(fixture->nodes, "f", NULL));
	g_assert_false(block_nodes_remove(fixture->nodes, "f", &error));
	g_assert_cmpstr(error->message, ==, "node 'f' not found");
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

static void test_read_only(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	BlockNode *node;
	char buffer[512] = {};

	(void)data;
	g_assert_true(add(fixture->nodes, &error,
			  "raw,node-name=d,read-only=on,file.driver=file,file.filename=%s",
			  fixture->image));
	node = block_nodes_find(fixture->nodes, "d");
	g_assert_false(claim(fixture, node, true, &error));
	g_assert_cmpstr(error->message, ==, "node 'd' is read-only");
	g_clear_error(&error);
	g_assert_true(claim(fixture, node, false, &error));
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, buffer, 512), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 0, buffer, 512), ==, -EROFS);
	g_assert_cmpint(other(fixture, node, BLOCK_DISCARD, 0, 512), ==, -EROFS);
	g_assert_cmpint(other(fixture, node, BLOCK_WRITE_ZEROES, 0, 512), ==, -EROFS);
	g_assert_false(block_node_resize(node, 1 << 20, NULL));
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

/* A second node on the image is refused like a second process, unless both only read. */
static void test_locks(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = g_strdup_printf("file,node-name=b,filename=%s", fixture->image);
	g_autofree char *read_only = g_strconcat(text, ",read-only=on", NULL);
	g_autofree char *unlocked = g_strconcat(text, ",locking=off", NULL);

	(void)data;
	g_assert_true(add(fixture->nodes, &error, "file,node-name=a,filename=%s", fixture->image));
	assert_add_fails(fixture->nodes, fixture->image, text);
	assert_add_fails(fixture->nodes, "lock", read_only);
	g_assert_true(add(fixture->nodes, &error, "%s", unlocked));
	g_assert_true(block_nodes_remove(fixture->nodes, "b", NULL));
	g_assert_true(block_nodes_remove(fixture->nodes, "a", NULL));

	g_assert_true(add(fixture->nodes, &error, "file,node-name=a,read-only=on,filename=%s",
			  fixture->image));
	g_assert_true(add(fixture->nodes, &error, "%s", read_only));
	g_assert_true(block_nodes_remove(fixture->nodes, "b", NULL));
	assert_add_fails(fixture->nodes, "lock", text);
}

/* QEMU and we keep off each other's images. */
static void test_locks_of_qemu(Fixture *fixture, gconstpointer data)
{
	g_autofree char *qemu_io = g_find_program_in_path("qemu-io");
	g_autofree char *text = g_strdup_printf("file,node-name=a,filename=%s", fixture->image);
	g_autofree char *message = NULL;
	g_autoptr(GError) error = NULL;
	char *argv[] = { qemu_io, (char *)"-f", (char *)"raw", fixture->image, NULL };
	char byte;
	int input, output, status;
	GPid child;

	(void)data;
	if (!qemu_io) {
		g_test_skip("qemu-io is not installed (qemu-utils)");
		return;
	}
	g_assert_true(g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
					       NULL, &child, &input, &output, NULL, &error));
	/* Its prompt says that the image is open. */
	g_assert_cmpint(read(output, &byte, 1), ==, 1);
	assert_add_fails(fixture->nodes, "lock", text);
	fd_close(&input);
	fd_close(&output);
	g_assert_cmpint(waitpid(child, NULL, 0), ==, child);

	g_assert_true(add(fixture->nodes, &error, "%s", text));
	argv[1] = (char *)"-c";
	argv[2] = (char *)"quit";
	g_assert_true(g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, NULL, &message, &status, NULL));
	g_assert_nonnull(strstr(message, "lock"));
}

/* A block device over the image, or NULL where the host has none to give. *@fd keeps it. */
static char *make_loop_device(const char *image, int *fd)
{
	autofd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	autofd int backing = open(image, O_RDWR | O_CLOEXEC);
	g_autofree char *path = NULL;
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		return NULL;
	path = g_strdup_printf("/dev/loop%d", number);
	*fd = open(path, O_RDWR | O_CLOEXEC);
	if (*fd < 0 || ioctl(*fd, LOOP_SET_FD, backing) < 0) {
		fd_close(fd);
		return NULL;
	}
	return g_steal_pointer(&path);
}

static int open_from_set(void *opaque, int64_t set, int flags, GError **error)
{
	g_assert_cmpint(set, ==, 5);
	g_assert_cmpint(flags & O_ACCMODE, ==, O_RDWR);
	g_assert_null(*error);
	/* As somebody else might have opened it. */
	return open(opaque, O_RDWR | O_NONBLOCK | O_APPEND | O_CLOEXEC);
}

static void test_descriptor_set(Fixture *fixture, gconstpointer data)
{
	FdSetOpener opener = { .open = open_from_set, .opaque = fixture->image };
	g_autoptr(GError) error = NULL;
	char buffer[512] = "through a set", got[512];
	BlockNode *node;

	(void)data;
	block_nodes_set_fd_sets(fixture->nodes, &opener);
	add(fixture->nodes, &error, "file,node-name=d,filename=/dev/fdset/5");
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, "d");
	g_assert_true(claim(fixture, node, true, &error));
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 1024, buffer, 512), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 1024, got, 512), ==, 0);
	g_assert_cmpstr(got, ==, "through a set");
	block_node_detach(node);
}

/* As libvirt asks for it: read-only where the file cannot be written. */
static void test_auto_read_only(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = g_strdup_printf("file,node-name=f,filename=%s", fixture->image);
	bool is_root = geteuid() == 0;
	BlockNodeInfo info;

	(void)data;
	g_assert_cmpint(g_chmod(fixture->image, 0444), ==, 0);
	g_assert_cmpint(g_chmod(fixture->directory, 0755), ==, 0);
	/* Root could write anyway. */
	if (is_root && seteuid(65534) < 0) {
		g_test_skip("cannot act as another user");
		return;
	}
	assert_add_fails(fixture->nodes, "Permission denied", text);
	add(fixture->nodes, &error, "%s,auto-read-only=on", text);
	if (is_root)
		g_assert_cmpint(seteuid(0), ==, 0);
	g_assert_no_error(error);
	block_node_get_info(block_nodes_find(fixture->nodes, "f"), &info);
	g_assert_true(info.read_only);
	assert_add_fails(fixture->nodes, "node 'f' below it is read-only",
			 "raw,node-name=d,file=f");
	g_assert_true(add(fixture->nodes, &error, "raw,node-name=d,file=f,auto-read-only=on"));
}

static void test_block_device(Fixture *fixture, gconstpointer data)
{
	BlockRequest zeroes = { .operation = BLOCK_WRITE_ZEROES,
				.may_unmap = true,
				.offset = 1 << 20,
				.size = 1 << 20 };
	int loop_fd = -1;
	g_autofree char *path = make_loop_device(fixture->image, &loop_fd);
	g_autoptr(GError) error = NULL;
	struct stat before, after;
	char *buffer = aligned_alloc(4096, 4096);
	BlockLimits limits;
	BlockNode *node;

	(void)data;
	if (!path) {
		g_test_skip("this machine has no loop device to give");
		free(buffer);
		return;
	}
	stat(fixture->image, &before);
	add(fixture->nodes, &error,
	    "host_device,node-name=d,filename=%s,discard=unmap,cache.direct=on", path);
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, "d");
	g_assert_true(claim(fixture, node, true, &error));
	block_node_get_limits(node, &limits);
	g_assert_cmpuint(limits.size, ==, IMAGE_SIZE);
	g_assert_cmpuint(limits.discard_granularity, >=, 512);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 8192, buffer, 4096), ==, 0);
	g_assert_cmpint(buffer[0], ==, 16);
	memset(buffer, 0x5a, 4096);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 8192, buffer, 4096), ==, 0);
	g_assert_cmpint(other(fixture, node, BLOCK_FLUSH, 0, 0), ==, 0);
	/* Not on block boundaries: only the whole blocks inside are discarded. */
	g_assert_cmpint(other(fixture, node, BLOCK_DISCARD, (2 << 20) + 100, 1 << 20), ==, 0);
	g_assert_cmpint(run(fixture, node, zeroes), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 1 << 20, buffer, 4096), ==, 0);
	g_assert_cmpint(buffer[0], ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 2 << 20, buffer, 4096), ==, 0);
	g_assert_cmpint(buffer[511], ==, 0);
	stat(fixture->image, &after);
	g_assert_cmpint(after.st_blocks, <, before.st_blocks);
	g_assert_false(block_node_resize(node, 2 * IMAGE_SIZE, &error));
	g_assert_nonnull(strstr(error->message, "has 4194304 bytes"));
	block_node_detach(node);
	g_assert_true(block_nodes_remove(fixture->nodes, "d", NULL));
	ioctl(loop_fd, LOOP_CLR_FD, 0);
	fd_close(&loop_fd);
	free(buffer);
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD_TEST("options-refused", NULL, test_options_refused);
	ADD_TEST("registry", NULL, test_registry);
	ADD_TEST("read-write/cached", "", test_read_write);
	ADD_TEST("read-write/direct", ",cache.direct=on", test_read_write);
	ADD_TEST("read-write/no-flush", ",cache.no-flush=on", test_read_write);
	ADD_TEST("many-vectors", NULL, test_many_vectors);
	ADD_TEST("refused-requests", NULL, test_refused_requests);
	ADD_TEST("read-only", NULL, test_read_only);
	ADD_TEST("odd-size/cached", "", test_odd_size);
	ADD_TEST("odd-size/direct", ",cache.direct=on", test_odd_size);
	ADD_TEST("truncated-below", NULL, test_truncated_below);
	ADD_TEST("discard-and-zeroes", NULL, test_discard_and_zeroes);
	ADD_TEST("discard-ignored", NULL, test_discard_ignored);
	ADD_TEST("write-through", NULL, test_write_through);
	ADD_TEST("full-disk", NULL, test_full_disk);
	ADD_TEST("resize", NULL, test_resize);
	ADD_TEST("locks", NULL, test_locks);
	ADD_TEST("locks-of-qemu", NULL, test_locks_of_qemu);
	ADD_TEST("descriptor-set", NULL, test_descriptor_set);
	ADD_TEST("auto-read-only", NULL, test_auto_read_only);
	ADD_TEST("block-device", NULL, test_block_device);
	ADD_TEST("drain", "", test_drain);
	return g_test_run();
}
