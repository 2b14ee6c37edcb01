/*
 * block_fixture.c: block nodes over an image, for tests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/unit/block_fixture.h"

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

void make_image(const char *path, size_t size)
{
	g_autofree char *bytes = g_malloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = i / 512;
	g_assert_true(g_file_set_contents(path, bytes, size, NULL));
}

void fixture_set_up(Fixture *fixture, gconstpointer data)
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

void fixture_set_up_threads(Fixture *fixture, gconstpointer data)
{
	fixture_set_up(fixture, data);
	fixture->threads = true;
}

void fixture_tear_down(Fixture *fixture, gconstpointer data)
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

bool add(BlockNodes *nodes, GError **error, const char *format, ...)
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

void assert_add_fails(BlockNodes *nodes, const char *message, const char *options)
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

bool claim(Fixture *fixture, BlockNode *node, bool writable, GError **error)
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

BlockNode *attach(Fixture *fixture, const char *more)
{
	g_autoptr(GError) error = NULL;
	BlockNode *node;

	add(fixture->nodes, &error, "raw,node-name=d,file.driver=file,file.filename=%s%s%s",
	    fixture->image, fixture->threads ? ",file.aio=threads" : "", more);
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, "d");
	claim(fixture, node, !strstr(more, "read-only=on"), &error);
	g_assert_no_error(error);
	return node;
}

void call_complete(BlockRequest *request, int result)
{
	Call *call = (Call *)request;

	call->result = result;
	g_atomic_int_set(&call->done, 1);
}

void call_submit(gpointer data)
{
	Call *call = data;

	call->request.complete = call_complete;
	block_node_submit(call->node, 0, &call->request);
	/* Never inside the call. */
	g_assert_cmpint(g_atomic_int_get(&call->done), ==, 0);
}

int run(Fixture *fixture, BlockNode *node, BlockRequest request)
{
	Call call = { .request = request, .node = node };

	io_loop_run_sync(fixture->loop, call_submit, &call);
	block_node_drain(node);
	g_assert_cmpint(call.done, ==, 1);
	return call.result;
}

int transfer(Fixture *fixture, BlockNode *node, BlockOperation operation, uint64_t offset,
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

int other(Fixture *fixture, BlockNode *node, BlockOperation operation, uint64_t offset,
	  uint64_t size)
{
	return run(fixture, node,
		   (BlockRequest){ .operation = operation, .offset = offset, .size = size });
}
