/*
 * test-block-open.c: making block nodes: options, files, devices, locks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/unit/block_fixture.h"

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
	assert_add_fails(fixture->nodes, "'detect-zeroes' of unmap needs",
			 "file,node-name=d,filename=/x,detect-zeroes=unmap");
	assert_add_fails(fixture->nodes, "read-zeroes",
			 "file,node-name=d,filename=/x,read-zeroes=on");
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

/* What is more than the device takes at once goes in parts, and comes together again. */
static void test_split(Fixture *fixture, gconstpointer data)
{
	const unsigned lengths[] = { 4096, 126976, 512, 65024, 1536, 327680, 522752 };
	int loop_fd = -1;
	g_autofree char *path = make_loop_device(fixture->image, &loop_fd);
	g_autofree char *limit = NULL;
	g_autoptr(GError) error = NULL;
	uint8_t *buffer = aligned_alloc(4096, 2 << 20);
	struct iovec iov[G_N_ELEMENTS(lengths)];
	BlockRequest request = { .iov = iov, .n_iov = G_N_ELEMENTS(iov), .offset = 4096 };
	BlockStatistics statistics;
	BlockNode *node;
	FILE *file;

	(void)data;
	limit = path ? g_strdup_printf("/sys/block/%s/queue/max_sectors_kb", path + 5) : NULL;
	file = limit ? fopen(limit, "we") : NULL;
	if (!file || fputs("64", file) < 0 || fclose(file) != 0) {
		g_test_skip("this machine has no loop device to give");
		free(buffer);
		return;
	}
	add(fixture->nodes, &error, "host_device,node-name=d,filename=%s,cache.direct=on", path);
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, "d");
	g_assert_true(claim(fixture, node, true, &error));
	/* Scattered: each piece a page and more from the one before it. */
	for (unsigned i = 0, at = 0; i < G_N_ELEMENTS(iov); i++) {
		iov[i] = (struct iovec){ buffer + at, lengths[i] };
		at += (lengths[i] + 4096 + 511) / 512 * 512;
		request.size += lengths[i];
	}
	request.operation = BLOCK_READ;
	g_assert_cmpint(run(fixture, node, request), ==, 0);
	for (unsigned i = 0, block = 4096 / 512; i < G_N_ELEMENTS(iov); i++) {
		for (unsigned at = 0; at < lengths[i]; at += 512)
			g_assert_cmpuint(((uint8_t *)iov[i].iov_base)[at], ==, (uint8_t)block++);
		memset(iov[i].iov_base, 0xc0 + (int)i, lengths[i]);
	}
	request.operation = BLOCK_WRITE;
	request.fua = true;
	g_assert_cmpint(run(fixture, node, request), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, buffer, 2 << 20), ==, 0);
	g_assert_cmpuint(buffer[4095], ==, 7);
	for (unsigned i = 0, at = 4096; i < G_N_ELEMENTS(iov); at += lengths[i++]) {
		g_assert_cmpuint(buffer[at], ==, 0xc0 + i);
		g_assert_cmpuint(buffer[at + lengths[i] - 1], ==, 0xc0 + i);
	}
	block_node_get_statistics(node, &statistics);
	g_assert_cmpuint(statistics.operations[BLOCK_READ], ==, 2);
	g_assert_cmpuint(statistics.operations[BLOCK_WRITE], ==, 1);
	/* One part fails: so does the whole, once. */
	g_assert_cmpint(truncate(fixture->image, 1 << 20), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, buffer, 2 << 20), ==, -EIO);
	block_node_get_statistics(node, &statistics);
	g_assert_cmpuint(statistics.failed[BLOCK_READ], ==, 1);
	block_node_detach(node);
	g_assert_true(block_nodes_remove(fixture->nodes, "d", NULL));
	ioctl(loop_fd, LOOP_CLR_FD, 0);
	fd_close(&loop_fd);
	free(buffer);
}

/* The device shrinks under us, as one that is pulled out does to nothing: an error, not zeroes. */
static void test_block_device_shrinks(Fixture *fixture, gconstpointer data)
{
	int loop_fd = -1;
	g_autofree char *path = make_loop_device(fixture->image, &loop_fd);
	g_autoptr(GError) error = NULL;
	char *buffer = aligned_alloc(4096, 8192);
	BlockNode *node;

	(void)data;
	if (!path) {
		g_test_skip("this machine has no loop device to give");
		free(buffer);
		return;
	}
	add(fixture->nodes, &error, "host_device,node-name=d,filename=%s,cache.direct=on", path);
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, "d");
	g_assert_true(claim(fixture, node, true, &error));
	g_assert_cmpint(truncate(fixture->image, 1 << 20), ==, 0);
	g_assert_cmpint(ioctl(loop_fd, LOOP_SET_CAPACITY, 0), ==, 0);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 2 << 20, buffer, 4096), ==, -ENXIO);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, 2 << 20, buffer, 4096), ==, -ENXIO);
	/* Half of it is there. */
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, (1 << 20) - 4096, buffer, 8192), ==,
			-ENXIO);
	g_assert_cmpint(transfer(fixture, node, BLOCK_WRITE, (1 << 20) - 4096, buffer, 8192), ==,
			-ENXIO);
	g_assert_cmpint(transfer(fixture, node, BLOCK_READ, 0, buffer, 8192), ==, 0);
	g_assert_cmpint(buffer[512], ==, 1);
	block_node_detach(node);
	g_assert_true(block_nodes_remove(fixture->nodes, "d", NULL));
	ioctl(loop_fd, LOOP_CLR_FD, 0);
	fd_close(&loop_fd);
	free(buffer);
}

#define ADD_TEST(name, data, function) \
	g_test_add("/block/" name, Fixture, data, fixture_set_up, function, fixture_tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD_TEST("options-refused", NULL, test_options_refused);
	ADD_TEST("registry", NULL, test_registry);
	ADD_TEST("read-only", NULL, test_read_only);
	ADD_TEST("locks", NULL, test_locks);
	ADD_TEST("locks-of-qemu", NULL, test_locks_of_qemu);
	ADD_TEST("descriptor-set", NULL, test_descriptor_set);
	ADD_TEST("auto-read-only", NULL, test_auto_read_only);
	ADD_TEST("split", NULL, test_split);
	ADD_TEST("block-device", NULL, test_block_device);
	ADD_TEST("block-device-shrinks", NULL, test_block_device_shrinks);
	return g_test_run();
}
