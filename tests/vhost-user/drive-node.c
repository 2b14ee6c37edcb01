/*
 * drive-node.c: drives a vhost-user block back end through a block node, and checks every byte
 *
 *	drive-node SOCKET REQUESTS [through]
 *
 * It writes, reads and zeroes random ranges, many at a time, from memory that the back end shares
 * and from memory that it does not, and compares what it reads with what it wrote. "through" is
 * without a write cache. At the end it reads the whole disk. The back end may go away and come back
 * meanwhile, and lose what was not flushed. With "progress" on each line of standard output it says
 * how many requests have been answered; the exit status is 0 if every one was, rightly.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qapi-types.h"
#include "vmm/block/block.h"
#include "vmm/config/options.h"
#include "vmm/memory/guest_memory.h"

#define SECTOR	   512u
#define DEPTH	   128u /* requests at a time, at most */
#define LENGTH_MAX 300u /* sectors of one request: more than a bounce buffer */
#define BUFFER	   (LENGTH_MAX * SECTOR)
#define DISK_MAX   (64u << 20)
#define REPORT	   500u /* requests between lines of progress */

typedef struct Front Front;

typedef struct Request {
	BlockRequest block;
	Front *front;
	struct iovec iov[3];
	uint8_t *buffer; /* guest memory, or not */
	uint64_t sector;
	uint32_t n_sectors;
	bool busy;
} Request;

struct Front {
	BlockNodes *nodes;
	BlockNode *node;
	IoLoop *loop;
	GuestMemory *memory;
	Request requests[DEPTH];
	uint8_t *expected; /* the disk as it should be */
	bool *locked;	   /* sectors that a request is about */
	uint64_t n_sectors, read_to;
	unsigned wanted, made, answered, n_busy;
	gint done;
};

static void fail(const char *what)
{
	fprintf(stderr, "drive-node: %s\n", what);
	exit(1);
}

/* Of each two requests one has its buffer in memory that can be shared. */
static void make_buffers(Front *front)
{
	size_t size = DEPTH * (size_t)BUFFER;
	GuestMemoryRegion region = { .size = size, .shared = true };
	g_autoptr(GError) error = NULL;

	region.fd = memfd_create("guest", MFD_CLOEXEC);
	g_assert_cmpint(ftruncate(region.fd, (off_t)size), ==, 0);
	region.hva = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	g_assert_true(region.hva != MAP_FAILED);
	front->memory = guest_memory_new();
	guest_memory_add(front->memory, &region, &error);
	g_assert_no_error(error);
	for (unsigned i = 0; i < DEPTH; i++)
		front->requests[i].buffer =
			i % 2 ? region.hva + i * (size_t)BUFFER : g_malloc(BUFFER);
}

static void open_node(Front *front, const char *path, bool write_cache)
{
	g_autofree char *text = g_strdup_printf(
		"driver=virtio-blk-vhost-user,node-name=n,discard=unmap,path=%s", path);
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed = options_parse(text, "driver", &error);
	IoLoop *loops[1];
	BlockUser user = { .name = "drive-node", .loops = loops, .n_loops = 1, .writable = true };
	BlockLimits limits;

	front->nodes = block_nodes_new();
	block_nodes_set_memory(front->nodes, front->memory, NULL);
	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, &error);
	json_object_put(parsed);
	if (!options || !block_nodes_add(front->nodes, options, &error))
		fail(error->message);
	front->node = block_nodes_find(front->nodes, "n");
	loops[0] = front->loop = io_loop_new("drive", NULL, NULL, &error);
	if (!front->loop)
		fail(error->message);
	/* Back ends have to let go of memory, too. */
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			block_node_detach(front->node);
		if (!block_node_attach(front->node, &user, &error))
			fail(error->message);
	}
	block_node_set_write_cache(front->node, write_cache);
	block_node_get_limits(front->node, &limits);
	front->n_sectors = limits.size / SECTOR;
	if (front->n_sectors < LENGTH_MAX || front->n_sectors > DISK_MAX / SECTOR)
		fail("the disk is too small or too large");
	front->expected = g_malloc0(front->n_sectors * SECTOR);
	front->locked = g_new0(bool, front->n_sectors);
}

/* All that follows is on the loop. */

static bool range_is_free(const Front *front, uint64_t sector, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (front->locked[sector + i])
			return false;
	}
	return true;
}

static void lock_range(Front *front, const Request *request, bool locked)
{
	for (uint32_t i = 0; i < request->n_sectors; i++)
		front->locked[request->sector + i] = locked;
}

static void answered(BlockRequest *block, int result);

/* Odd pieces, as guests have them. */
static void cut(Request *request, size_t size)
{
	size_t first = 1 + (size_t)rand() % (size - 2),
	       second = 1 + (size_t)rand() % (size - first);

	request->iov[0] = (struct iovec){ request->buffer, first };
	request->iov[1] = (struct iovec){ request->buffer + first, second };
	request->iov[2] = (struct iovec){ request->buffer + first + second, size - first - second };
}

static void make(Front *front, Request *request, BlockOperation operation, uint64_t sector,
		 uint32_t n_sectors)
{
	size_t size = n_sectors * (size_t)SECTOR;
	uint8_t *expected = front->expected + sector * SECTOR;

	request->front = front;
	request->sector = sector;
	request->n_sectors = n_sectors;
	request->busy = true;
	lock_range(front, request, true);
	front->n_busy++;
	request->block = (BlockRequest){ .operation = operation,
					 .offset = sector * SECTOR,
					 .size = size,
					 .may_unmap = rand() % 2,
					 .complete = answered };
	if (operation == BLOCK_READ || operation == BLOCK_WRITE) {
		cut(request, size);
		request->block.iov = request->iov;
		request->block.n_iov = 3;
	}
	if (operation == BLOCK_WRITE) {
		for (size_t at = 0; at < size; at += 4) {
			uint32_t random = (uint32_t)rand();

			memcpy(request->buffer + at, &random, sizeof(random));
		}
		memcpy(expected, request->buffer, size);
	} else if (operation == BLOCK_WRITE_ZEROES) {
		memset(expected, 0, size);
	} else {
		memset(request->buffer, 0xa5, size);
	}
	block_node_submit(front->node, 0, &request->block);
}

static BlockOperation any_operation(void)
{
	int dice = rand() % 20;

	if (dice == 0)
		return BLOCK_FLUSH;
	if (dice == 1)
		return BLOCK_WRITE_ZEROES;
	return dice < 12 ? BLOCK_WRITE : BLOCK_READ;
}

/* One more request, of those wanted or of the reading of all; false: it cannot be now. */
static bool make_one(Front *front, Request *request)
{
	uint32_t length = 1 + (uint32_t)rand() % LENGTH_MAX;
	uint64_t sector = (uint64_t)rand() % (front->n_sectors - length);

	if (front->made < front->wanted) {
		if (!range_is_free(front, sector, length))
			return false;
		make(front, request, any_operation(), sector, length);
		front->made++;
		return true;
	}
	if (front->answered < front->wanted || front->read_to >= front->n_sectors)
		return false;
	length = (uint32_t)MIN(LENGTH_MAX, front->n_sectors - front->read_to);
	make(front, request, BLOCK_READ, front->read_to, length);
	front->read_to += length;
	return true;
}

static void go_on(gpointer data)
{
	Front *front = data;

	for (unsigned i = 0; i < DEPTH; i++) {
		Request *request = &front->requests[i];

		/* Where all that is free is taken, the next answer frees some. */
		for (unsigned try = 0; try < 4 && !request->busy; try++)
			make_one(front, request);
	}
	if (front->n_busy == 0 && front->read_to >= front->n_sectors) {
		g_atomic_int_set(&front->done, 1);
		g_main_context_wakeup(NULL);
	} else if (front->n_busy == 0) {
		io_loop_post(front->loop, go_on, front);
	}
}

static void answered(BlockRequest *block, int result)
{
	Request *request = (Request *)block;
	Front *front = request->front;
	size_t size = request->n_sectors * (size_t)SECTOR;

	if (!request->busy)
		fail("a request is answered twice");
	if (result != 0)
		fail(g_strerror(-result));
	if (block->operation == BLOCK_READ &&
	    memcmp(request->buffer, front->expected + request->sector * SECTOR, size) != 0)
		fail("what is read is not what was written");
	lock_range(front, request, false);
	request->busy = false;
	front->n_busy--;
	if (++front->answered % REPORT == 0) {
		printf("progress %u\n", front->answered);
		fflush(stdout);
	}
	io_loop_post(front->loop, go_on, front);
}

int main(int argc, char **argv)
{
	static Front front;

	if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "through") != 0)) {
		fputs("usage: drive-node SOCKET REQUESTS [through]\n", stderr);
		return 2;
	}
	make_buffers(&front);
	open_node(&front, argv[1], argc == 3);
	front.wanted = (unsigned)strtoul(argv[2], NULL, 10);
	io_loop_post(front.loop, go_on, &front);
	while (!g_atomic_int_get(&front.done))
		g_main_context_iteration(NULL, TRUE);
	block_node_drain(front.node);
	block_node_detach(front.node);
	block_nodes_free(front.nodes);
	io_loop_free(front.loop);
	return 0;
}
