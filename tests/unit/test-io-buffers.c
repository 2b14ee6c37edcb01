/*
 * test-io-buffers.c: memory registered with the ring of an I/O thread
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_loop_internal.h"

#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB  (UINT64_C(1) << 30)
#define PAGE 4096u
#define SIZE (64 * PAGE)

/* Which piece holds a range: of areas that are neighbours, or of more than a piece. */
static void test_find(void)
{
	static const IoBufferArea areas[] = {
		{ .start = 16 * GIB, .size = 3 * GIB + PAGE, .first = 0 },
		{ .start = PAGE, .size = 2 * PAGE, .first = 4 },
		{ .start = 3 * PAGE, .size = PAGE, .first = 5 },
	};
	static const struct {
		uint64_t address, size;
		int place;
	} cases[] = {
		{ 16 * GIB, 1, 0 },
		{ 16 * GIB, GIB, 0 },
		{ 16 * GIB, GIB + 1, -1 },
		{ 17 * GIB - 1, 1, 0 },
		{ 17 * GIB - 1, 2, -1 },
		{ 17 * GIB, PAGE, 1 },
		{ 19 * GIB, PAGE, 3 },
		{ 19 * GIB, PAGE + 1, -1 },
		{ 19 * GIB + PAGE, 1, -1 },
		{ 16 * GIB - 1, 1, -1 },
		{ 16 * GIB - 1, 2, -1 },
		{ 18 * GIB, UINT64_MAX, -1 },
		{ 18 * GIB, 0, -1 },
		{ PAGE, 2 * PAGE, 4 },
		{ 2 * PAGE, 2 * PAGE, -1 },
		{ 3 * PAGE, PAGE, 5 },
		{ 4 * PAGE, 1, -1 },
		{ 0, PAGE, -1 },
		{ UINT64_MAX, 1, -1 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpint(io_buffers_find(areas, G_N_ELEMENTS(areas), cases[i].address,
						cases[i].size),
				==, cases[i].place);
	g_assert_cmpint(io_buffers_find(NULL, 0, PAGE, 1), ==, -1);
}

/* Bytes of this process that are pinned. */
static uint64_t pinned(void)
{
	g_autofree char *status = NULL;
	uint64_t kib = 0;

	g_assert_true(g_file_get_contents("/proc/self/status", &status, NULL, NULL));
	g_assert_nonnull(strstr(status, "VmPin:"));
	g_assert_cmpint(sscanf(strstr(status, "VmPin:"), "VmPin: %" G_GUINT64_FORMAT, &kib), ==, 1);
	return kib * 1024;
}

/* Whether the kernel lets us register as much as these tests do. */
static bool can_register(void)
{
	struct io_uring ring;
	void *memory = g_malloc0(SIZE);
	const struct iovec area = { memory, SIZE };
	bool can = io_uring_queue_init(1, &ring, 0) == 0;

	if (can) {
		can = io_uring_register_buffers(&ring, &area, 1) == 0;
		io_uring_unregister_buffers(&ring);
		io_uring_queue_exit(&ring);
	}
	g_free(memory);
	if (!can)
		g_test_skip("the kernel does not register memory for us");
	return can;
}

typedef struct Use {
	IoOperation io;
	IoLoop *loop;
	struct iovec areas[2];
	uint8_t *address;
	uint32_t size;
	int fd;
	bool unless_busy;
	uint8_t opcode; /* what was submitted */
	unsigned place;
	int result;
	gint done;
} Use;

static void add_areas(gpointer data)
{
	Use *use = data;

	io_loop_add_buffers(use->loop, use->areas, G_N_ELEMENTS(use->areas), use->unless_busy);
}

static void read_done(IoOperation *operation, int result)
{
	Use *use = (Use *)operation;

	use->result = result;
	g_atomic_int_set(&use->done, 1);
}

static void submit_read(gpointer data)
{
	Use *use = data;
	struct io_uring_sqe *sqe = io_loop_get_sqe(use->loop, &use->io);

	use->io.complete = read_done;
	io_uring_prep_read(sqe, use->fd, use->address, use->size, 0);
	if (io_loop_use_buffers(use->loop, sqe))
		g_assert_cmpint(sqe->opcode, ==, IORING_OP_READ_FIXED);
	use->opcode = sqe->opcode;
	use->place = sqe->buf_index;
}

/* Read zeroes over what is at @address; returns the operation that did. */
static uint8_t read_zeroes(Use *use, uint8_t *address, uint32_t size)
{
	memset(address, 0xff, size);
	use->address = address;
	use->size = size;
	g_atomic_int_set(&use->done, 0);
	io_loop_run_sync(use->loop, submit_read, use);
	while (!g_atomic_int_get(&use->done))
		g_usleep(100);
	g_assert_cmpint(use->result, ==, (int)size);
	for (uint32_t i = 0; i < size; i++)
		g_assert_cmpuint(address[i], ==, 0);
	return use->opcode;
}

/* Whether the kernel has @opcode. */
static bool has_operation(int opcode)
{
	struct io_uring_probe *probe = io_uring_get_probe();
	bool has;

	g_assert_nonnull(probe);
	has = io_uring_opcode_supported(probe, opcode);
	io_uring_free_probe(probe);
	return has;
}

static void submit_readv(gpointer data)
{
	Use *use = data;
	struct io_uring_sqe *sqe = io_loop_get_sqe(use->loop, &use->io);

	io_uring_prep_readv(sqe, use->fd, use->areas, G_N_ELEMENTS(use->areas), 0);
	io_loop_use_buffers(use->loop, sqe);
	use->opcode = sqe->opcode;
}

/* Read zeroes by two vectors, which replace the areas; returns the operation that did. */
static uint8_t read_vectors(Use *use, struct iovec first, struct iovec second)
{
	use->areas[0] = first;
	use->areas[1] = second;
	memset(first.iov_base, 0xff, first.iov_len);
	memset(second.iov_base, 0xff, second.iov_len);
	g_atomic_int_set(&use->done, 0);
	io_loop_run_sync(use->loop, submit_readv, use);
	while (!g_atomic_int_get(&use->done))
		g_usleep(100);
	g_assert_cmpint(use->result, ==, (int)(first.iov_len + second.iov_len));
	for (unsigned i = 0; i < 2; i++) {
		for (size_t at = 0; at < use->areas[i].iov_len; at++)
			g_assert_cmpuint(((uint8_t *)use->areas[i].iov_base)[at], ==, 0);
	}
	return use->opcode;
}

static uint8_t *map(void)
{
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	g_assert_true(memory != MAP_FAILED);
	return memory;
}

/* Operations inside one area use it, all others go as ever; and with the loop it is let go of. */
static void test_use(void)
{
	uint8_t *memory = map();
	Use use = {
		.loop = io_loop_new("io", NULL, NULL, NULL),
		.areas = { { memory + SIZE / 2, SIZE / 4 }, { memory, SIZE / 2 } },
		.fd = open("/dev/zero", O_RDONLY | O_CLOEXEC),
	};
	uint64_t before = pinned();

	if (can_register()) {
		g_assert_cmpint(read_zeroes(&use, memory, PAGE), ==, IORING_OP_READ);
		io_loop_run_sync(use.loop, add_areas, &use);
		io_loop_run_sync(use.loop, add_areas, &use);
		g_assert_cmpuint(pinned(), ==, before + SIZE / 4 * 3);
		g_assert_cmpint(read_zeroes(&use, memory, PAGE), ==, IORING_OP_READ_FIXED);
		g_assert_cmpuint(use.place, ==, 1);
		g_assert_cmpint(read_zeroes(&use, memory + 100, SIZE / 2 - 100), ==,
				IORING_OP_READ_FIXED);
		g_assert_cmpint(read_zeroes(&use, memory + SIZE / 2, SIZE / 4), ==,
				IORING_OP_READ_FIXED);
		g_assert_cmpuint(use.place, ==, 0);
		g_assert_cmpint(read_zeroes(&use, memory + SIZE / 2 - 1, 2), ==, IORING_OP_READ);
		g_assert_cmpint(read_zeroes(&use, memory + SIZE / 4 * 3, PAGE), ==,
				IORING_OP_READ);
		g_assert_cmpint(read_vectors(&use, (struct iovec){ memory + 5 * PAGE, PAGE },
					     (struct iovec){ memory, 2 * PAGE }),
				==,
				has_operation(IO_RING_OP_READV_FIXED) ? IO_RING_OP_READV_FIXED
								      : IORING_OP_READV);
		g_assert_cmpint(read_vectors(&use, (struct iovec){ memory, PAGE },
					     (struct iovec){ memory + SIZE / 2, PAGE }),
				==, IORING_OP_READV);
		g_assert_cmpint(read_vectors(&use, (struct iovec){ memory, PAGE },
					     (struct iovec){ memory + SIZE / 4 * 3, PAGE }),
				==, IORING_OP_READV);
	}
	io_loop_free(use.loop);
	g_assert_cmpuint(pinned(), ==, before);
	munmap(memory, SIZE);
	close(use.fd);
}

static char message[128];
static unsigned n_messages;

static GLogWriterOutput record(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
			       gpointer data)
{
	for (gsize i = 0; i < n_fields && level == G_LOG_LEVEL_MESSAGE; i++) {
		if (strcmp(fields[i].key, "MESSAGE") != 0)
			continue;
		g_strlcpy(message, fields[i].value, sizeof(message));
		n_messages++;
	}
	return g_log_writer_default(level, fields, n_fields, data);
}

/* What the kernel refuses is said once, and then as if nobody had asked. */
static void test_refusal(void)
{
	uint8_t *memory = map();
	Use use = {
		.loop = io_loop_new("io", NULL, NULL, NULL),
		.areas = { { memory, SIZE / 2 }, { memory + SIZE / 2, SIZE / 2 } },
		.fd = open("/dev/zero", O_RDONLY | O_CLOEXEC),
	};

	munmap(memory + SIZE / 2, SIZE / 2);
	if (can_register()) {
		io_loop_run_sync(use.loop, add_areas, &use);
		io_loop_run_sync(use.loop, add_areas, &use);
		g_assert_cmpuint(n_messages, ==, 1);
		g_assert_cmpstr(message, ==,
				"I/O thread 'io' does without registered buffers: Bad address");
		g_assert_cmpint(read_zeroes(&use, memory, PAGE), ==, IORING_OP_READ);
	}
	io_loop_free(use.loop);
	munmap(memory, SIZE / 2);
	close(use.fd);
}

static void nothing_came(gpointer data)
{
	(void)data;
}

static void watch_and_add(gpointer data)
{
	Use *use = data;
	IoWatch *watch = io_loop_watch_fd(use->loop, use->fd, false, nothing_came, NULL);

	add_areas(use);
	io_watch_remove(watch);
	add_areas(use);
}

/* Whoever is served already is kept waiting by it only where that does not matter. */
static void test_busy(void)
{
	uint8_t *memory = map();
	int pipe_fds[2];

	g_assert_no_errno(pipe(pipe_fds));
	for (unsigned i = 0; i < 2 && can_register(); i++) {
		uint64_t before = pinned();
		Use use = {
			.loop = io_loop_new("io", NULL, NULL, NULL),
			.areas = { { memory, SIZE / 2 }, { memory + SIZE / 2, SIZE / 2 } },
			.fd = pipe_fds[0],
			.unless_busy = i == 0,
		};

		n_messages = 0;
		io_loop_run_sync(use.loop, watch_and_add, &use);
		g_assert_cmpuint(n_messages, ==, use.unless_busy);
		if (use.unless_busy)
			g_assert_true(g_str_has_suffix(message, ": Device or resource busy"));
		g_assert_cmpuint(pinned(), ==, before + (use.unless_busy ? 0 : SIZE));
		io_loop_free(use.loop);
	}
	munmap(memory, SIZE);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_log_set_writer_func(record, NULL, NULL);
	g_test_add_func("/io-buffers/find", test_find);
	g_test_add_func("/io-buffers/use", test_use);
	g_test_add_func("/io-buffers/refusal", test_refusal);
	g_test_add_func("/io-buffers/busy", test_busy);
	return g_test_run();
}
