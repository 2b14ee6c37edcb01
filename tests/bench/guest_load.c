/*
 * guest_load.c: makes the load of tests/bench/datapath, inside a guest and at the other end of its
 * network
 *
 *	guest-load agent PORT   in the guest: takes orders, one on a line, from one connection after
 *				the other and answers each with a line of NAME=VALUE
 *	guest-load peer PORT    on the host: the other end of "send", "receive" and "ping"
 *
 * Orders:
 *	block DEVICE read|write random|sequential BYTES DEPTH JOBS SECONDS
 *	send|receive|ping HOST PORT SECONDS
 *
 * Block requests are direct I/O through io_uring, one ring and thread for each job, as fio has it;
 * fio itself needs more libraries than a guest of this size has memory for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX   128
#define JOBS_MAX    16
#define SAMPLES_MAX 65536
#define BUFFER_SIZE 65536

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Latencies in microseconds; the first SAMPLES_MAX of a run. */
typedef struct Samples {
	unsigned n;
	float values[SAMPLES_MAX];
} Samples;

static void samples_add(Samples *samples, double seconds)
{
	if (samples->n < SAMPLES_MAX)
		samples->values[samples->n++] = seconds * 1e6;
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double samples_quantile(Samples *samples, double quantile)
{
	if (!samples->n)
		return 0;
	qsort(samples->values, samples->n, sizeof(float), compare);
	return samples->values[(unsigned)((samples->n - 1) * quantile)];
}

/* Block */

typedef struct BlockOrder {
	char device[64];
	bool write, random;
	unsigned size, depth, n_jobs;
	double seconds;
} BlockOrder;

typedef struct BlockJob {
	const BlockOrder *order;
	pthread_t thread;
	int fd;
	uint64_t n_blocks; /* of the order's size, in the device */
	uint64_t position, random;
	uint64_t n_done;
	Samples *samples; /* the first job's only */
	struct io_uring ring;
	char *buffers;
	double started[DEPTH_MAX];
} BlockJob;

/* xorshift64: cheap, and the same in each run. */
static uint64_t next_random(BlockJob *job)
{
	job->random ^= job->random << 13;
	job->random ^= job->random >> 7;
	job->random ^= job->random << 17;
	return job->random;
}

static void submit_one(BlockJob *job, unsigned slot)
{
	const BlockOrder *order = job->order;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&job->ring);
	char *buffer = job->buffers + (size_t)slot * order->size;
	uint64_t block = order->random ? next_random(job) : job->position++;
	uint64_t offset = block % job->n_blocks * order->size;

	if (order->write)
		io_uring_prep_write(sqe, job->fd, buffer, order->size, offset);
	else
		io_uring_prep_read(sqe, job->fd, buffer, order->size, offset);
	io_uring_sqe_set_data64(sqe, slot);
	job->started[slot] = now();
}

static void *run_job(void *data)
{
	BlockJob *job = data;
	const BlockOrder *order = job->order;
	double end = now() + order->seconds;
	unsigned n_flying = order->depth;

	if (io_uring_queue_init(order->depth, &job->ring, 0) < 0)
		die("io_uring");
	for (unsigned slot = 0; slot < order->depth; slot++)
		submit_one(job, slot);
	while (n_flying > 0) {
		struct io_uring_cqe *cqe;
		unsigned head, n_seen = 0;
		double time;

		io_uring_submit_and_wait(&job->ring, 1);
		time = now();
		io_uring_for_each_cqe(&job->ring, head, cqe)
		{
			unsigned slot = io_uring_cqe_get_data64(cqe);

			if (cqe->res != (int)order->size) {
				errno = cqe->res < 0 ? -cqe->res : EIO;
				die(order->device);
			}
			n_seen++;
			if (time >= end) {
				n_flying--;
				continue;
			}
			job->n_done++;
			if (job->samples)
				samples_add(job->samples, time - job->started[slot]);
			submit_one(job, slot);
		}
		io_uring_cq_advance(&job->ring, n_seen);
	}
	io_uring_queue_exit(&job->ring);
	return NULL;
}

static void open_device(BlockJob *job, const BlockOrder *order)
{
	uint64_t size = 0;

	job->fd = open(order->device, O_RDWR | O_DIRECT);
	if (job->fd < 0 || ioctl(job->fd, BLKGETSIZE64, &size) < 0 || size < order->size)
		die(order->device);
	job->n_blocks = size / order->size;
	job->buffers = aligned_alloc(4096, (size_t)order->depth * order->size);
	if (!job->buffers)
		die("buffers");
	memset(job->buffers, 0x5a, (size_t)order->depth * order->size);
}

static void run_block(const BlockOrder *order, Samples *samples, FILE *answer)
{
	static BlockJob jobs[JOBS_MAX];
	uint64_t n_done = 0;
	double start;

	memset(jobs, 0, sizeof(jobs));
	for (unsigned i = 0; i < order->n_jobs; i++) {
		jobs[i].order = order;
		jobs[i].samples = i == 0 ? samples : NULL;
		jobs[i].random = 0x9e3779b97f4a7c15u * (i + 1);
		open_device(&jobs[i], order);
		jobs[i].position = jobs[i].n_blocks / order->n_jobs * i;
	}
	start = now();
	for (unsigned i = 0; i < order->n_jobs; i++) {
		if (pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i]) != 0)
			die("thread");
	}
	for (unsigned i = 0; i < order->n_jobs; i++) {
		pthread_join(jobs[i].thread, NULL);
		n_done += jobs[i].n_done;
		free(jobs[i].buffers);
		close(jobs[i].fd);
	}
	fprintf(answer, "requests=%llu bytes=%llu seconds=%.6f median_us=%.2f p99_us=%.2f\n",
		(unsigned long long)n_done, (unsigned long long)n_done * order->size, now() - start,
		samples_quantile(samples, 0.5), samples_quantile(samples, 0.99));
}

/* Network. The first byte of a connection says what it is for. */

static char buffer[BUFFER_SIZE];

static int connect_to(const char *host, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static uint64_t send_until(int fd, double end)
{
	uint64_t total = 0;

	while (now() < end) {
		ssize_t sent = send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL);

		if (sent < 0)
			break;
		total += sent;
	}
	return total;
}

static uint64_t receive_all(int fd)
{
	uint64_t total = 0;
	ssize_t got;

	while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		total += got;
	return total;
}

static void ping_until(int fd, double end, Samples *samples)
{
	double before = now();

	while (before < end) {
		double after;

		if (send(fd, buffer, 1, MSG_NOSIGNAL) != 1 || recv(fd, buffer, 1, 0) != 1)
			die("ping");
		after = now();
		samples_add(samples, after - before);
		before = after;
	}
}

static void run_network(const char *kind, const char *host, const char *port, double seconds,
			Samples *samples, FILE *answer)
{
	int fd = connect_to(host, port);
	double start = now();
	uint64_t bytes = 0;

	/* For "receive" the peer has to know for how long, too. */
	snprintf(buffer, sizeof(buffer), "%-8s%8.3f", kind, seconds);
	if (send(fd, buffer, 16, MSG_NOSIGNAL) != 16)
		die("send");
	if (strcmp(kind, "ping") == 0) {
		ping_until(fd, start + seconds, samples);
	} else if (strcmp(kind, "receive") == 0) {
		bytes = receive_all(fd);
	} else {
		bytes = send_until(fd, start + seconds);
		/* The time until all of it has arrived counts. */
		shutdown(fd, SHUT_WR);
		receive_all(fd);
	}
	fprintf(answer, "requests=%u bytes=%llu seconds=%.6f median_us=%.2f p99_us=%.2f\n",
		samples->n, (unsigned long long)bytes, now() - start,
		samples_quantile(samples, 0.5), samples_quantile(samples, 0.99));
	close(fd);
}

static void serve_peer(int fd)
{
	char order[17] = "";
	ssize_t got;

	if (recv(fd, order, 16, MSG_WAITALL) != 16)
		return;
	if (strncmp(order, "send", 4) == 0) {
		receive_all(fd);
	} else if (strncmp(order, "receive", 7) == 0) {
		send_until(fd, now() + atof(order + 8));
	} else {
		while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0 &&
		       send(fd, buffer, got, MSG_NOSIGNAL) == got)
			;
	}
}

static void take_order(char *line, FILE *answer)
{
	static Samples samples;
	BlockOrder block = {};
	char kind[16], host[64], port[16], direction[16], pattern[16];
	double seconds;

	samples.n = 0;
	if (sscanf(line, "block %63s %15s %15s %u %u %u %lf", block.device, direction, pattern,
		   &block.size, &block.depth, &block.n_jobs, &block.seconds) == 7 &&
	    block.size > 0 && block.depth > 0 && block.depth <= DEPTH_MAX && block.n_jobs > 0 &&
	    block.n_jobs <= JOBS_MAX) {
		block.write = strcmp(direction, "write") == 0;
		block.random = strcmp(pattern, "random") == 0;
		run_block(&block, &samples, answer);
	} else if (sscanf(line, "%15s %63s %15s %lf", kind, host, port, &seconds) == 4) {
		run_network(kind, host, port, seconds, &samples, answer);
	} else {
		fprintf(answer, "error=order\n");
	}
	fflush(answer);
}

static void serve_agent(int fd)
{
	FILE *in = fdopen(dup(fd), "r"), *out = fdopen(dup(fd), "w");
	char line[256];

	while (in && out && fgets(line, sizeof(line), in))
		take_order(line, out);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

static int listen_at(const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
		die("listen");
	return fd;
}

int main(int argc, char **argv)
{
	bool agent = argc == 3 && strcmp(argv[1], "agent") == 0;
	int listener, one = 1;

	if (!agent && (argc != 3 || strcmp(argv[1], "peer") != 0)) {
		fprintf(stderr, "usage: guest-load agent|peer PORT\n");
		return 2;
	}
	signal(SIGCHLD, SIG_IGN);
	listener = listen_at(argv[2]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die("accept");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		/* An order that fails ends its process, and with that its connection. */
		if (fork() == 0) {
			if (agent)
				serve_agent(fd);
			else
				serve_peer(fd);
			return 0;
		}
		close(fd);
	}
}
