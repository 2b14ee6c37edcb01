/*
 * test-virtio-vsock.c: sockets between host and guest, over a unix socket of the host
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/device/virtio_driver.h"
#include "vmm/base/fd.h"
#include "vmm/base/socket.h"
#include "vmm/virtio/virtio_vsock_internal.h"

#define PATIENCE_MS 30000
#define CID	    7u
#define BUFFERS	    16u
#define BUFFER_SIZE 4096u
#define BOTH	    (VSOCK_SHUTDOWN_RECEIVE | VSOCK_SHUTDOWN_SEND)

enum { RX, TX, EVENT };

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	char *directory, *path, *options;
	Device *device;
	VirtioDriver driver;
	uint64_t buffers[BUFFERS];
	uint64_t packet; /* what is sent is made here */
	uint16_t next_tx;
	uint32_t room, forwarded; /* what the guest says of itself */
} Fixture;

static void give_buffer(Fixture *fixture, unsigned i)
{
	virtio_ring_describe(&fixture->driver.rings[RX], i, fixture->buffers[i], BUFFER_SIZE,
			     RING_WRITE, 0);
	virtio_driver_offer(&fixture->driver, RX, i);
}

static void give_buffers(Fixture *fixture)
{
	for (unsigned i = 0; i < BUFFERS; i++) {
		fixture->buffers[i] = virtio_driver_alloc(&fixture->driver, BUFFER_SIZE);
		give_buffer(fixture, i);
	}
}

static void start(Fixture *fixture)
{
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	fixture->packet = virtio_driver_alloc(&fixture->driver, 70000);
	fixture->room = 65536;
	fixture->forwarded = 0;
	fixture->next_tx = 0;
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->directory = g_dir_make_tmp("vsock-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->directory, "v", NULL);
	fixture->options = g_strdup_printf("guest-cid=%u,path=%s", CID, fixture->path);
	fixture->device =
		fake_machine_add(fixture->fake, &virtio_vsock_type.pci.device, fixture->options);
	start(fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	/* It leaves nothing there. */
	g_assert_no_errno(g_rmdir(fixture->directory));
	g_free(fixture->directory);
	g_free(fixture->path);
	g_free(fixture->options);
}

/* The guest */

static VsockHeader header_for(Fixture *fixture, unsigned op, uint32_t guest_port,
			      uint32_t host_port)
{
	return (VsockHeader){
		.source_cid = CID,
		.destination_cid = VSOCK_CID_HOST,
		.source_port = guest_port,
		.destination_port = host_port,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.buffer_size = fixture->room,
		.forwarded = fixture->forwarded,
	};
}

/* Send @header and its data, of which there are @size bytes, whatever it says. */
static void send_raw(Fixture *fixture, const VsockHeader *header, const void *data, uint32_t size)
{
	VirtioDriver *driver = &fixture->driver;
	uint8_t *at = virtio_driver_ram(driver, fixture->packet);

	memcpy(at, header, sizeof(*header));
	if (size > 0)
		memcpy(at + sizeof(*header), data, size);
	virtio_ring_describe(&driver->rings[TX], 0, fixture->packet, sizeof(*header) + size, 0, 0);
	virtio_driver_offer(driver, TX, 0);
}

static void send_packet(Fixture *fixture, const VsockHeader *header, const void *data)
{
	send_raw(fixture, header, data, header->length);
	virtio_driver_wait(&fixture->driver, TX, NULL);
}

static void send_op(Fixture *fixture, unsigned op, uint32_t guest_port, uint32_t host_port)
{
	VsockHeader header = header_for(fixture, op, guest_port, host_port);

	if (op == VSOCK_OP_SHUTDOWN)
		header.flags = BOTH;
	send_packet(fixture, &header, NULL);
}

/* Not by waiting for it, in which the main thread would do its part. */
static void send_op_alone(Fixture *fixture, unsigned op, uint32_t guest_port, uint32_t host_port)
{
	VsockHeader header = header_for(fixture, op, guest_port, host_port);
	uint32_t id, length;

	send_raw(fixture, &header, NULL, 0);
	virtio_driver_settle(fixture->loop);
	g_assert_true(virtio_ring_take_used(&fixture->driver.rings[TX], &id, &length));
}

static void send_data(Fixture *fixture, uint32_t guest_port, uint32_t host_port, const void *data,
		      uint32_t size)
{
	VsockHeader header = header_for(fixture, VSOCK_OP_RW, guest_port, host_port);

	header.length = size;
	send_packet(fixture, &header, data);
}

/* Take the next packet, which must be an @op; its data goes to @data if that is not NULL. */
static VsockHeader expect(Fixture *fixture, unsigned op, void *data)
{
	uint32_t length, id = virtio_driver_wait(&fixture->driver, RX, &length);
	const uint8_t *at = virtio_driver_ram(&fixture->driver, fixture->buffers[id]);
	VsockHeader header;

	memcpy(&header, at, sizeof(header));
	g_assert_cmpuint(length, ==, sizeof(header) + header.length);
	g_assert_cmpuint(header.op, ==, op);
	g_assert_cmpuint(header.source_cid, ==, VSOCK_CID_HOST);
	g_assert_cmpuint(header.destination_cid, ==, CID);
	g_assert_cmpuint(header.type, ==, VSOCK_TYPE_STREAM);
	if (data)
		memcpy(data, at + sizeof(header), header.length);
	give_buffer(fixture, id);
	return header;
}

static void expect_data(Fixture *fixture, const char *expected)
{
	char data[BUFFER_SIZE];
	size_t done = 0, size = strlen(expected);

	while (done < size)
		done += expect(fixture, VSOCK_OP_RW, data + done).length;
	g_assert_cmpmem(data, done, expected, size);
}

static void expect_nothing(Fixture *fixture)
{
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_ring_has_used(&fixture->driver.rings[RX]));
}

/* The host */

static int connect_to(const char *path)
{
	g_autoptr(GError) error = NULL;
	int fd = socket_open_unix(path, false, false, &error);

	g_assert_no_error(error);
	return fd;
}

static void host_writes(int fd, const char *text)
{
	g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, strlen(text));
}

static void host_reads(int fd, const char *expected)
{
	g_autofree char *text = g_malloc0(strlen(expected) + 1);

	g_assert_cmpint(recv(fd, text, strlen(expected), MSG_WAITALL), ==, strlen(expected));
	g_assert_cmpstr(text, ==, expected);
}

static void host_sees_end(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	char byte;

	g_assert_cmpint(poll(&polled, 1, VIRTIO_DRIVER_TIMEOUT_MS), ==, 1);
	g_assert_cmpint(recv(fd, &byte, 1, 0), <=, 0);
}

/* A connection from the host to @port of the guest; *@host_port is its other end. */
static int host_connects(Fixture *fixture, uint32_t port, uint32_t *host_port)
{
	g_autofree char *greeting = g_strdup_printf("CONNECT %u\n", port);
	g_autofree char *answer = NULL;
	int fd = connect_to(fixture->path);
	VsockHeader header;

	host_writes(fd, greeting);
	header = expect(fixture, VSOCK_OP_REQUEST, NULL);
	g_assert_cmpuint(header.destination_port, ==, port);
	g_assert_cmpuint(header.buffer_size, ==, VSOCK_BUFFER_SIZE);
	*host_port = header.source_port;
	send_op(fixture, VSOCK_OP_RESPONSE, port, *host_port);
	answer = g_strdup_printf("OK %u\n", *host_port);
	host_reads(fd, answer);
	return fd;
}

/* Tests */

static void test_host_connects(Fixture *fixture, gconstpointer data)
{
	uint32_t ports[2];
	int fds[2];

	(void)data;
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 0, 4), ==, CID);
	give_buffers(fixture);
	for (unsigned i = 0; i < 2; i++)
		fds[i] = host_connects(fixture, 1234, &ports[i]);
	g_assert_cmpuint(ports[0], !=, ports[1]);
	for (unsigned i = 0; i < 2; i++) {
		host_writes(fds[i], i ? "other" : "hello");
		expect_data(fixture, i ? "other" : "hello");
		send_data(fixture, 1234, ports[i], "world", 5);
		host_reads(fds[i], "world");
	}
	/* The host's end: the guest may still send, and ends it. */
	shutdown(fds[0], SHUT_WR);
	g_assert_cmpuint(expect(fixture, VSOCK_OP_SHUTDOWN, NULL).flags, ==, VSOCK_SHUTDOWN_SEND);
	send_data(fixture, 1234, ports[0], "last", 4);
	host_reads(fds[0], "last");
	send_op(fixture, VSOCK_OP_SHUTDOWN, 1234, ports[0]);
	g_assert_cmpuint(expect(fixture, VSOCK_OP_RST, NULL).source_port, ==, ports[0]);
	host_sees_end(fds[0]);
	/* The guest ends the other at once. */
	send_op(fixture, VSOCK_OP_RST, 1234, ports[1]);
	host_sees_end(fds[1]);
	expect_nothing(fixture);
	close(fds[0]);
	close(fds[1]);
}

/* What comes right behind the greeting is the guest's. */
static void test_greeting(Fixture *fixture, gconstpointer data)
{
	static const char *const bad[] = {
		"HELLO\n",	"CONNECT\n",
		"CONNECT x\n",	"CONNECT 4294967295\n",
		"CONNECT -1\n", "CONNECT 000000000000000000000000001\n",
		"\n",
	};
	VsockHeader header;
	int fd;

	(void)data;
	give_buffers(fixture);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		fd = connect_to(fixture->path);
		host_writes(fd, bad[i]);
		host_sees_end(fd);
		close(fd);
	}
	expect_nothing(fixture);
	fd = connect_to(fixture->path);
	host_writes(fd, "CONN");
	virtio_driver_settle(fixture->loop);
	host_writes(fd, "ECT 5\nmore");
	header = expect(fixture, VSOCK_OP_REQUEST, NULL);
	expect_nothing(fixture);
	send_op(fixture, VSOCK_OP_RESPONSE, 5, header.source_port);
	expect_data(fixture, "more");
	/* Whoever goes without having read all there was did not end it in order. */
	close(fd);
	expect(fixture, VSOCK_OP_RST, NULL);
	/* Nobody is there in the guest. */
	fd = connect_to(fixture->path);
	host_writes(fd, "CONNECT 6\n");
	header = expect(fixture, VSOCK_OP_REQUEST, NULL);
	send_op(fixture, VSOCK_OP_RST, 6, header.source_port);
	host_sees_end(fd);
	close(fd);
}

static bool has_packet(gpointer data)
{
	return virtio_ring_has_used(&((Fixture *)data)->driver.rings[RX]);
}

static void test_guest_connects(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_strdup_printf("%s_77", fixture->path);
	int listener = socket_open_unix(path, false, true, NULL), fd;

	(void)data;
	give_buffers(fixture);
	g_assert_cmpint(listener, >=, 0);
	send_op(fixture, VSOCK_OP_REQUEST, 9000, 77);
	g_assert_true(fake_machine_run_until(fixture->fake, has_packet, fixture, PATIENCE_MS));
	g_assert_cmpuint(expect(fixture, VSOCK_OP_RESPONSE, NULL).destination_port, ==, 9000);
	fd = accept(listener, NULL, NULL);
	g_assert_cmpint(fd, >=, 0);
	send_data(fixture, 9000, 77, "ping", 4);
	host_reads(fd, "ping");
	host_writes(fd, "pong");
	expect_data(fixture, "pong");
	/* The same once more is no second one. */
	send_op(fixture, VSOCK_OP_REQUEST, 9000, 77);
	expect(fixture, VSOCK_OP_RST, NULL);
	host_sees_end(fd);
	close(fd);
	/* And where nobody listens. */
	send_op(fixture, VSOCK_OP_REQUEST, 9001, 78);
	g_assert_true(fake_machine_run_until(fixture->fake, has_packet, fixture, PATIENCE_MS));
	g_assert_cmpuint(expect(fixture, VSOCK_OP_RST, NULL).destination_port, ==, 9001);
	/* The guest changes its mind before the host's side is there. */
	send_op_alone(fixture, VSOCK_OP_REQUEST, 9002, 77);
	send_op_alone(fixture, VSOCK_OP_RST, 9002, 77);
	fake_machine_iterate(fixture->fake);
	expect_nothing(fixture);
	close(listener);
	g_unlink(path);
}

static void test_credit(Fixture *fixture, gconstpointer data)
{
	g_autofree char *much = g_strnfill(40000, 'x');
	VsockHeader header;
	uint32_t port;
	int fd;

	(void)data;
	give_buffers(fixture);
	/* The guest's: it gets what it has room for. */
	fixture->room = 10;
	fd = host_connects(fixture, 1, &port);
	host_writes(fd, "0123456789abcdefghij");
	expect_data(fixture, "0123456789");
	expect_nothing(fixture);
	fixture->forwarded = 4;
	send_op(fixture, VSOCK_OP_CREDIT_UPDATE, 1, port);
	expect_data(fixture, "abcd");
	expect_nothing(fixture);
	/* Nonsense gives it no more. */
	fixture->forwarded = 1000;
	send_op(fixture, VSOCK_OP_CREDIT_UPDATE, 1, port);
	expect_nothing(fixture);
	/* The host's: the guest is told before it has to wait. */
	send_data(fixture, 1, port, much, 40000);
	host_reads(fd, much);
	header = expect(fixture, VSOCK_OP_CREDIT_UPDATE, NULL);
	g_assert_cmpuint(header.forwarded, ==, 40000);
	send_op(fixture, VSOCK_OP_CREDIT_REQUEST, 1, port);
	g_assert_cmpuint(expect(fixture, VSOCK_OP_CREDIT_UPDATE, NULL).forwarded, ==, 40000);
	close(fd);
}

/* The host does not read, and the guest goes on all the same. */
static void test_overrun(Fixture *fixture, gconstpointer data)
{
	g_autofree char *much = g_strnfill(60000, 'y');
	unsigned n = 0;
	uint32_t port;
	int fd;

	(void)data;
	give_buffers(fixture);
	fd = host_connects(fixture, 1, &port);
	for (bool over = false; !over; n++) {
		g_assert_cmpuint(n, <, 100);
		send_data(fixture, 1, port, much, 60000);
		virtio_driver_settle(fixture->loop);
		while (virtio_ring_has_used(&fixture->driver.rings[RX])) {
			VsockHeader header;
			uint32_t id = virtio_driver_wait(&fixture->driver, RX, NULL);

			memcpy(&header, virtio_driver_ram(&fixture->driver, fixture->buffers[id]),
			       sizeof(header));
			over = header.op == VSOCK_OP_RST;
			give_buffer(fixture, id);
		}
	}
	close(fd);
}

/* What the host takes late arrives whole, and the end after it. */
static void test_slow_host(Fixture *fixture, gconstpointer data)
{
	g_autofree char *part = g_strnfill(16384, 'z');
	g_autofree char *got = g_malloc(16384);
	uint32_t port, sent = 0, received = 0;
	int fd;

	(void)data;
	give_buffers(fixture);
	fd = host_connects(fixture, 1, &port);
	/* As much as it says that there is room for, without a word from it. */
	for (; sent < VSOCK_BUFFER_SIZE; sent += 16384)
		send_data(fixture, 1, port, part, 16384);
	send_op(fixture, VSOCK_OP_SHUTDOWN, 1, port);
	while (received < sent) {
		ssize_t size = recv(fd, got, 16384, 0);

		g_assert_cmpint(size, >, 0);
		g_assert_cmpmem(got, (size_t)size, part, (size_t)size);
		received += (uint32_t)size;
	}
	host_sees_end(fd);
	close(fd);
}

static void test_bad_packets(Fixture *fixture, gconstpointer data)
{
	VsockHeader header = header_for(fixture, VSOCK_OP_RW, 1, 2);
	uint32_t port;
	int fd;

	(void)data;
	give_buffers(fixture);
	/* Of nobody's connection. */
	send_data(fixture, 1, 2, "abc", 3);
	g_assert_cmpuint(expect(fixture, VSOCK_OP_RST, NULL).destination_port, ==, 1);
	send_op(fixture, VSOCK_OP_RST, 1, 2);
	expect_nothing(fixture);
	/* Of another kind, or for or from another address. */
	header.type = 9;
	send_packet(fixture, &header, NULL);
	expect(fixture, VSOCK_OP_RST, NULL);
	header.type = VSOCK_TYPE_STREAM;
	header.destination_cid = 3;
	send_packet(fixture, &header, NULL);
	header.destination_cid = VSOCK_CID_HOST;
	header.source_cid = 8;
	send_packet(fixture, &header, NULL);
	expect_nothing(fixture);
	/* No operation that there is. */
	fd = host_connects(fixture, 1, &port);
	send_op(fixture, 99, 1, port);
	expect(fixture, VSOCK_OP_RST, NULL);
	host_sees_end(fd);
	close(fd);
	/* An answer to what was answered. */
	fd = host_connects(fixture, 1, &port);
	send_op(fixture, VSOCK_OP_RESPONSE, 1, port);
	expect(fixture, VSOCK_OP_RST, NULL);
	close(fd);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
	header = header_for(fixture, VSOCK_OP_RW, 1, 2);
	header.length = 10;
	send_raw(fixture, &header, "short", 5);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
}

static void test_small_buffer(Fixture *fixture, gconstpointer data)
{
	uint64_t at = virtio_driver_alloc(&fixture->driver, 64);

	(void)data;
	virtio_ring_describe(&fixture->driver.rings[RX], 0, at, sizeof(VsockHeader), RING_WRITE, 0);
	virtio_driver_offer(&fixture->driver, RX, 0);
	send_data(fixture, 1, 2, "abc", 3);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
}

/* A guest that asks and takes no answers: it has to, before it may go on. */
static void test_no_buffers(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const VsockHeader header = header_for(fixture, VSOCK_OP_RW, 1, 2);
	const unsigned n = 100;

	(void)data;
	memcpy(virtio_driver_ram(driver, fixture->packet), &header, sizeof(header));
	for (unsigned i = 0; i < n; i++) {
		virtio_ring_describe(&driver->rings[TX], i, fixture->packet, sizeof(header), 0, 0);
		virtio_driver_offer(driver, TX, (uint16_t)i);
	}
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(virtio_ring_used_index(&driver->rings[TX]), <, n);
	give_buffers(fixture);
	for (unsigned i = 0; i < n; i++)
		expect(fixture, VSOCK_OP_RST, NULL);
	expect_nothing(fixture);
	g_assert_cmpuint(virtio_ring_used_index(&driver->rings[TX]), ==, n);
}

static void test_pause(Fixture *fixture, gconstpointer data)
{
	uint32_t port;
	int fd;

	(void)data;
	give_buffers(fixture);
	fd = host_connects(fixture, 1, &port);
	virtio_device_pause(fixture->device);
	host_writes(fd, "later");
	g_usleep(5000);
	g_assert_false(virtio_ring_has_used(&fixture->driver.rings[RX]));
	virtio_device_resume(fixture->device);
	expect_data(fixture, "later");
	/* A reset ends it. */
	virtio_driver_set_status(&fixture->driver, 0);
	host_sees_end(fd);
	close(fd);
	start(fixture);
	give_buffers(fixture);
	fd = host_connects(fixture, 1, &port);
	close(fd);
	expect(fixture, VSOCK_OP_SHUTDOWN, NULL);
}

/* Who was connected before a move is not any more, and the driver is told. */
static void test_state(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "other", NULL);
	g_autofree char *options = g_strdup_printf("guest-cid=%u,path=%s", CID, path);
	Device *other = fake_machine_add(fixture->fake, &virtio_vsock_type.pci.device, options);
	uint64_t at = virtio_driver_alloc(&fixture->driver, 16);
	uint32_t length;

	(void)data;
	virtio_device_pause(fixture->device);
	virtio_device_pause(other);
	memset(virtio_driver_ram(&fixture->driver, at), 0xff, 16);
	virtio_ring_describe(&fixture->driver.rings[EVENT], 0, at, 16, RING_WRITE, 0);
	virtio_driver_offer(&fixture->driver, EVENT, 0);
	fake_machine_check_state(fixture->device, other);
	fake_machine_check_state(other, fixture->device);
	fake_machine_remove(fixture->fake, other);
	virtio_device_resume(fixture->device);
	virtio_driver_wait(&fixture->driver, EVENT, &length);
	g_assert_cmpuint(length, ==, 4);
	g_assert_cmpmem(virtio_driver_ram(&fixture->driver, at), 4, "\0\0\0", 4);
}

static void test_refused(Fixture *fixture, gconstpointer data)
{
	static const char *const cases[][2] = {
		{ "guest-cid=2,path=/nowhere/v", "*guest-cid*" },
		{ "guest-cid=4,path=/nowhere/v", "*/nowhere/v*" },
		{ "guest-cid=4,path=", "*'path' is empty*" },
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(fake_machine_try_add(fixture->fake, &virtio_vsock_type.pci.device,
						   cases[i][0], &error));
		g_assert_nonnull(error);
		g_assert_true(g_pattern_match_simple(cases[i][1], error->message));
	}
}

/* A guest that connects and gives up, over and over, piles up nothing while the host is busy. */
static void test_flood(Fixture *fixture, gconstpointer data)
{
	const unsigned n_connections = 1024;
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	give_buffers(fixture);
	for (uint32_t port = 1; port <= n_connections + 1; port++) {
		send_op_alone(fixture, VSOCK_OP_REQUEST, port, 99);
		send_op_alone(fixture, VSOCK_OP_RST, port, 99);
		g_assert_cmpint(virtio_ring_has_used(&driver->rings[RX]), ==,
				port > n_connections);
	}
	g_assert_cmpuint(expect(fixture, VSOCK_OP_RST, NULL).destination_port, ==,
			 n_connections + 1);
	/* There is room again; nobody is there to connect to. */
	fake_machine_iterate(fixture->fake);
	send_op(fixture, VSOCK_OP_REQUEST, 1, 99);
	fake_machine_iterate(fixture->fake);
	expect(fixture, VSOCK_OP_RST, NULL);
	expect_nothing(fixture);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(Fixture *fixture, gconstpointer data);
	} tests[] = {
		{ "host-connects", test_host_connects },
		{ "greeting", test_greeting },
		{ "guest-connects", test_guest_connects },
		{ "credit", test_credit },
		{ "overrun", test_overrun },
		{ "slow-host", test_slow_host },
		{ "bad-packets", test_bad_packets },
		{ "small-buffer", test_small_buffer },
		{ "no-buffers", test_no_buffers },
		{ "flood", test_flood },
		{ "pause", test_pause },
		{ "state", test_state },
		{ "refused", test_refused },
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strdup_printf("/virtio-vsock/%s", tests[i].name);

		g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
	}
	return g_test_run();
}
