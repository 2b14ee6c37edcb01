/*
 * block_inprocess.c: the block device without a guest, beside fio
 *
 * virtio-blk over fake guest memory, on an I/O thread with the polling that -object iothread has by
 * default, serves 4 KiB random reads of a file with direct I/O; fio reads the same file by
 * io_uring, in turn. The driver does what a guest's does: chains of indirect descriptors,
 * notifications and interrupts through eventfds, and only when they are wanted. It runs on the I/O
 * thread itself, so that one thread is compared with one: what a wake-up of a vCPU costs is another
 * benchmark's.
 *
 * With --locked it is compared with itself: how many reads a second of the I/O thread's processor
 * time makes where guest memory is registered with its ring, as with -overcommit mem-lock=on, and
 * where it is not.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "qapi-types.h"
#include "tests/bench/bench.h"
#include "tests/device/virtio_driver.h"
#include "vmm/base/fd.h"
#include "vmm/block/block.h"
#include "vmm/config/options.h"
#include "vmm/virtio/virtio_blk.h"

#define BLOCK_SIZE	4096u
#define DEPTH_MAX	128u
#define IOTHREAD_POLLS	32768
#define REQUEST_VECTOR	1u
#define PIECES_MAX	16u
#define INDIRECT_LENGTH ((PIECES_MAX + 2) * 16u)

static const unsigned depths[] = { 1, 32, 128 };

/* Of --locked. */
static const struct {
	const char *name;
	unsigned size, n_pieces, depth; /* bytes; in how many descriptors; requests */
} transfers[] = {
	{ "randread-4k-depth-1", BLOCK_SIZE, 1, 1 },
	{ "randread-4k-depth-32", BLOCK_SIZE, 1, 32 },
	{ "randread-64k-depth-8", 16 * BLOCK_SIZE, 1, 8 },
	{ "randread-16x4k-depth-8", 16 * BLOCK_SIZE, 16, 8 },
};

typedef struct Bench {
	const char *path;
	uint64_t n_blocks;
	unsigned request_size; /* bytes */
	unsigned n_pieces;     /* of guest memory that a request is for */
	bool locked;	       /* guest memory is registered */
	int seconds;
	bool packed;
	int64_t poll_max_ns;
	BlockNodes *nodes;
	FakeMachine *fake;
	IoLoop *loop;
	Device *device;
	VirtioDriver driver;
	uint64_t headers, statuses, tables, data; /* guest-physical, by slot */
	int kick_fd, interrupt_fd;
	uint64_t random;

	/* Loop thread, while a run goes on. */
	IoWatch *watch;
	IoPoller *poller;
	bool polling;
	int64_t start_ns, end_ns;
	unsigned in_flight;
	uint64_t n_done, n_kicks, n_interrupts;
	int64_t cpu_ns;
	gint finished; /* atomic */
} Bench;

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void fail(const char *what, const GError *error)
{
	g_printerr("block-inprocess: %s%s%s\n", what, error ? ": " : "",
		   error ? error->message : "");
	exit(1);
}

static void open_node(Bench *bench)
{
	g_autofree char *text = g_strdup_printf(
		"driver=file,node-name=disk,filename=%s,cache.direct=on,read-only=on", bench->path);
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed;

	bench->nodes = block_nodes_new();
	parsed = options_parse(text, "driver", &error);
	if (parsed)
		options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, &error);
	json_object_put(parsed);
	if (!options || !block_nodes_add(bench->nodes, options, &error))
		fail("cannot open the file", error);
}

static void set_up(Bench *bench)
{
	g_autofree char *options =
		g_strdup_printf("drive=disk,num-queues=1,packed=%s", bench->packed ? "on" : "off");
	VirtioDriver *driver = &bench->driver;

	open_node(bench);
	bench->fake = virtio_driver_machine(&bench->loop);
	block_nodes_set_memory(bench->nodes, bench->fake->services.memory, NULL);
	if (bench->locked)
		guest_memory_keep(bench->fake->services.memory);
	io_loop_set_polling(bench->loop, &(IoLoopPolling){ .max_ns = bench->poll_max_ns });
	fake_machine_set_block_node(bench->fake, "disk", block_nodes_find(bench->nodes, "disk"));
	bench->device = fake_machine_add(bench->fake, &virtio_blk_type.pci.device, options);
	virtio_driver_probe(driver, bench->fake, bench->device);
	virtio_driver_start(driver, UINT64_MAX);
	bench->kick_fd = ((VirtioDevice *)bench->device)->queues[0].kick_fd;
	bench->interrupt_fd = fake_machine_route_eventfd(bench->fake, REQUEST_VECTOR);
	if (bench->interrupt_fd < 0)
		fail("the device has no interrupt", NULL);
	bench->headers = virtio_driver_alloc(driver, DEPTH_MAX * 16);
	bench->statuses = virtio_driver_alloc(driver, DEPTH_MAX);
	bench->tables = virtio_driver_alloc(driver, DEPTH_MAX * INDIRECT_LENGTH);
	bench->data = virtio_driver_alloc(driver, bench->in_flight * bench->request_size +
							  BLOCK_SIZE);
	bench->data = (bench->data + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
	for (unsigned slot = 0; slot < bench->in_flight; slot++) {
		VirtioRing *ring = &driver->rings[0];
		uint64_t table = bench->tables + slot * INDIRECT_LENGTH;

		unsigned n = bench->n_pieces, size = bench->request_size / n;
		uint64_t data = bench->data + slot * bench->request_size;

		virtio_ring_describe_at(ring, table, 0, bench->headers + slot * 16, 16, RING_NEXT,
					1);
		/* The last piece first, as neighbours would be one. */
		for (unsigned i = 0; i < n; i++)
			virtio_ring_describe_at(ring, table, i + 1, data + (n - 1 - i) * size, size,
						RING_NEXT | RING_WRITE, i + 2);
		virtio_ring_describe_at(ring, table, n + 1, bench->statuses + slot, 1, RING_WRITE,
					0);
		virtio_ring_describe(ring, slot, table, (n + 2) * 16, RING_INDIRECT, 0);
	}
}

static void tear_down(Bench *bench)
{
	fake_machine_remove(bench->fake, bench->device);
	io_loop_free(bench->loop);
	fake_machine_free(bench->fake);
	block_nodes_free(bench->nodes);
}

/* Offer a read of a random block in @slot, without a notification. */
static void offer(Bench *bench, unsigned slot)
{
	uint64_t sector;

	/* Knuth's MMIX generator; the low bits are its poor ones. */
	bench->random = bench->random * 6364136223846793005 + 1442695040888963407;
	sector = (bench->random >> 33) % (bench->n_blocks * BLOCK_SIZE / bench->request_size) *
		 (bench->request_size / 512);
	memcpy(virtio_driver_ram(&bench->driver, bench->headers + slot * 16 + 8), &sector, 8);
	virtio_ring_offer(&bench->driver.rings[0], slot);
}

static void kick(Bench *bench, uint16_t old)
{
	if (!virtio_ring_wants_kick(&bench->driver.rings[0], old, true))
		return;
	fd_event_signal(bench->kick_fd);
	bench->n_kicks++;
}

/* Take what is used, and offer as much again until time is up. Returns whether there was any. */
static bool drive(Bench *bench)
{
	VirtioRing *ring = &bench->driver.rings[0];
	uint16_t old = ring->next_available;
	uint32_t slot, length;
	bool go_on;

	if (!virtio_ring_has_used(ring))
		return false;
	go_on = now_ns() < bench->end_ns;
	while (virtio_ring_take_used(ring, &slot, &length)) {
		if (length != bench->request_size + 1 ||
		    *virtio_driver_ram(&bench->driver, bench->statuses + slot))
			fail("a request failed", NULL);
		bench->n_done++;
		if (go_on)
			offer(bench, slot);
		else
			bench->in_flight--;
	}
	if (go_on)
		kick(bench, old);
	if (bench->in_flight == 0) {
		bench->cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID);
		g_atomic_int_set(&bench->finished, 1);
	}
	return true;
}

/* As an interrupt handler: again until nothing is left once interrupts are on. */
static void interrupted(gpointer data)
{
	Bench *bench = data;

	fd_event_take(bench->interrupt_fd);
	bench->n_interrupts++;
	do {
		drive(bench);
		if (!bench->polling)
			virtio_ring_set_interrupt(&bench->driver.rings[0], true);
	} while (virtio_ring_has_used(&bench->driver.rings[0]));
}

static void polling_begins(gpointer data)
{
	Bench *bench = data;

	bench->polling = true;
	virtio_ring_set_interrupt(&bench->driver.rings[0], false);
}

static bool poll_used(gpointer data)
{
	return drive(data);
}

static void polling_ends(gpointer data)
{
	Bench *bench = data;

	bench->polling = false;
	virtio_ring_set_interrupt(&bench->driver.rings[0], true);
	while (drive(bench))
		virtio_ring_set_interrupt(&bench->driver.rings[0], true);
}

static const IoPollerOps driver_poller = {
	.begin = polling_begins,
	.poll = poll_used,
	.end = polling_ends,
};

static void start_on_loop(gpointer data)
{
	Bench *bench = data;
	uint16_t old = bench->driver.rings[0].next_available;

	bench->watch =
		io_loop_watch_fd(bench->loop, bench->interrupt_fd, false, interrupted, bench);
	bench->poller = io_loop_add_poller(bench->loop, &driver_poller, bench);
	bench->cpu_ns = -clock_ns(CLOCK_THREAD_CPUTIME_ID);
	bench->start_ns = now_ns();
	bench->end_ns = bench->start_ns + bench->seconds * INT64_C(1000000000);
	for (unsigned i = 0; i < bench->in_flight; i++)
		offer(bench, i);
	kick(bench, old);
}

static void stop_on_loop(gpointer data)
{
	Bench *bench = data;

	bench->end_ns = now_ns();
	g_clear_pointer(&bench->watch, io_watch_remove);
	g_clear_pointer(&bench->poller, io_poller_remove);
}

/* Requests a second at @depth. */
static double run_ours(Bench *bench, unsigned depth)
{
	bench->n_kicks = bench->n_interrupts = bench->n_done = 0;
	bench->in_flight = depth;
	bench->polling = false;
	g_atomic_int_set(&bench->finished, 0);
	set_up(bench);
	io_loop_run_sync(bench->loop, start_on_loop, bench);
	while (!g_atomic_int_get(&bench->finished))
		g_usleep(1000);
	io_loop_run_sync(bench->loop, stop_on_loop, bench);
	tear_down(bench);
	return (double)bench->n_done * 1e9 / (double)(bench->end_ns - bench->start_ns);
}

/* Requests in a second of processor time at @depth, with guest memory @locked or not. */
static double run_locked(Bench *bench, unsigned depth, bool locked)
{
	bench->locked = locked;
	run_ours(bench, depth);
	return (double)bench->n_done * 1e9 / (double)bench->cpu_ns;
}

/* Requests a second of fio at @depth. */
static double run_fio(const Bench *bench, unsigned depth)
{
	g_autofree char *file = g_strconcat("--filename=", bench->path, NULL);
	g_autofree char *depth_text = g_strdup_printf("--iodepth=%u", depth);
	g_autofree char *runtime = g_strdup_printf("--runtime=%d", bench->seconds);
	const char *argv[] = { "fio",
			       "--name=read",
			       file,
			       "--ioengine=io_uring",
			       "--direct=1",
			       "--rw=randread",
			       "--bs=4k",
			       "--readonly",
			       "--time_based",
			       "--thread",
			       depth_text,
			       runtime,
			       "--output-format=json",
			       NULL };
	g_autofree char *output = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed, *jobs, *read, *iops;
	double result;
	int status;

	if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL,
			  &status, &error) ||
	    !g_spawn_check_wait_status(status, &error))
		fail("fio does not run", error);
	parsed = json_tokener_parse(output);
	if (!json_object_object_get_ex(parsed, "jobs", &jobs) ||
	    !json_object_object_get_ex(json_object_array_get_idx(jobs, 0), "read", &read) ||
	    !json_object_object_get_ex(read, "iops", &iops))
		fail("fio does not say how fast it was", NULL);
	result = json_object_get_double(iops);
	json_object_put(parsed);
	return result;
}

/* A file without holes, of which reads are real. */
static char *make_file(const char *directory, uint64_t size)
{
	g_autofree char *buffer = g_malloc(1 << 20);
	char *path = g_strconcat(directory, "/vireo-bench-XXXXXX", NULL);
	int fd = g_mkstemp(path);

	if (fd < 0)
		fail("cannot make a file", NULL);
	memset(buffer, 0x5a, 1 << 20);
	for (uint64_t done = 0; done < size; done += 1 << 20) {
		if (write(fd, buffer, 1 << 20) != 1 << 20)
			fail("cannot fill the file", NULL);
	}
	fsync(fd);
	close(fd);
	return path;
}

/*
 * With and without in turn, as what the host does besides changes meanwhile. The thread does not
 * poll, as what it waits in vain would be counted.
 */
static void compare_locked(Bench *bench, int n_runs, bool json)
{
	BenchRow rows[G_N_ELEMENTS(transfers)] = {};

	bench->poll_max_ns = 0;
	for (int run = 0; run < n_runs; run++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(transfers); i++) {
			BenchRow *row = &rows[i];

			row->name = transfers[i].name;
			row->unit = "req/s";
			row->has_peer = true;
			row->goal_ratio = 1;
			bench->request_size = transfers[i].size;
			bench->n_pieces = transfers[i].n_pieces;
			row->ours[run] = run_locked(bench, transfers[i].depth, true);
			row->peer[run] = run_locked(bench, transfers[i].depth, false);
			row->n_runs++;
		}
	}
	bench_report(rows, G_N_ELEMENTS(rows), json);
}

/* Ours beside fio's, or, with @no_fio, alone; at @only_depth, or at each of them where that is 0. */
static void compare_fio(Bench *bench, int n_runs, unsigned only_depth, bool no_fio, bool json,
			bool verbose)
{
	BenchRow rows[G_N_ELEMENTS(depths)] = {
		{ .name = "randread-4k-depth-1" },
		{ .name = "randread-4k-depth-32" },
		{ .name = "randread-4k-depth-128" },
	};

	for (int run = 0; run < n_runs; run++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(depths); i++) {
			BenchRow *row = &rows[i];

			if (only_depth && only_depth != depths[i])
				continue;
			row->unit = "IOPS";
			row->has_peer = !no_fio;
			row->goal_ratio = no_fio ? 0 : 0.9;
			row->ours[row->n_runs] = run_ours(bench, depths[i]);
			if (!no_fio)
				row->peer[row->n_runs] = run_fio(bench, depths[i]);
			if (verbose)
				g_printerr("depth %u: %.0f IOPS, %" G_GUINT64_FORMAT
					   " kicks, %" G_GUINT64_FORMAT " interrupts\n",
					   depths[i], row->ours[row->n_runs], bench->n_kicks,
					   bench->n_interrupts);
			row->n_runs++;
		}
	}
	bench_report(rows, G_N_ELEMENTS(rows), json);
}

int main(int argc, char **argv)
{
	Bench bench = { .random = 1, .poll_max_ns = IOTHREAD_POLLS, .request_size = BLOCK_SIZE,
			.n_pieces = 1 };
	gboolean json = FALSE, packed = FALSE, verbose = FALSE, no_fio = FALSE, locked = FALSE;
	int n_runs = 5, seconds = 2, size_mib = 1024, only_depth = 0;
	g_autofree char *directory = NULL;
	const GOptionEntry entries[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json, "one JSON object for each row", NULL },
		{ "packed", 0, 0, G_OPTION_ARG_NONE, &packed, "over a packed ring", NULL },
		{ "poll-max-ns", 0, 0, G_OPTION_ARG_INT64, &bench.poll_max_ns,
		  "of the I/O thread (default 32768, as -object iothread)", "NS" },
		{ "runs", 0, 0, G_OPTION_ARG_INT, &n_runs, "runs of each (default 5)", "N" },
		{ "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "of a run (default 2)", "N" },
		{ "size", 0, 0, G_OPTION_ARG_INT, &size_mib, "of the file (default 1024)", "MIB" },
		{ "depth", 0, 0, G_OPTION_ARG_INT, &only_depth, "only this one", "N" },
		{ "no-fio", 0, 0, G_OPTION_ARG_NONE, &no_fio, "ours alone, to trace it", NULL },
		{ "locked", 0, 0, G_OPTION_ARG_NONE, &locked,
		  "registered guest memory beside that which is not, by processor time", NULL },
		{ "verbose", 0, 0, G_OPTION_ARG_NONE, &verbose, "each run's counts on stderr",
		  NULL },
		{ "directory", 0, 0, G_OPTION_ARG_FILENAME, &directory,
		  "where the file goes (default /var/tmp)", "DIR" },
		{},
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL;

	g_option_context_set_summary(
		context, "4 KiB random reads by virtio-blk in process, beside fio's io_uring.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error))
		fail("options", error);
	if (n_runs < 1 || n_runs > (int)BENCH_RUNS_MAX || seconds < 1 || size_mib < 1 ||
	    bench.poll_max_ns < 0)
		fail("a number is out of range", NULL);
	path = make_file(directory ? directory : "/var/tmp", (uint64_t)size_mib << 20);
	bench.path = path;
	bench.n_blocks = ((uint64_t)size_mib << 20) / BLOCK_SIZE;
	bench.seconds = seconds;
	bench.packed = packed;
	if (locked)
		compare_locked(&bench, n_runs, json);
	else
		compare_fio(&bench, n_runs, (unsigned)only_depth, no_fio, json, verbose);
	unlink(path);
	return 0;
}
