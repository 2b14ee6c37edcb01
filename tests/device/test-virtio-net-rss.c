/*
 * test-virtio-net-rss.c: hashes of frames, and the receive queues that they lead to
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_net_fixture.h"

#include <arpa/inet.h>
#include <string.h>

#include "vmm/virtio/virtio_net_rss.h"

#define CLASS_MQ	4
#define PAIRS_SET	0
#define RSS_CONFIG	1
#define HASH_CONFIG	2
#define F_RSS		VIRTIO_FEATURE(60)
#define F_HASH_REPORT	VIRTIO_FEATURE(57)
#define TABLE_AT	8 /* in an RSS_CONFIG command */
#define COMMAND_MAX	(TABLE_AT + 2 * NET_RSS_TABLE_SIZE + 3 + NET_RSS_KEY_SIZE)
#define FRAME_MAX	256u
#define BUFFER_SIZE	2048u
#define PACKET_AT	14u /* in a frame */
#define REPORTING_SPACE 8u

/* The key and the vectors are those of Microsoft's "Verifying the RSS Hash Calculation". */
static const uint8_t key[NET_RSS_KEY_SIZE] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

typedef struct Flow {
	const char *source, *destination;
	uint16_t source_port, destination_port;
	uint32_t addresses, with_ports; /* hashes */
} Flow;

static const Flow ipv4_flows[] = {
	{ "66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178 },
	{ "199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea },
	{ "24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a },
	{ "38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f },
	{ "153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2 },
};

static const Flow ipv6_flows[] = {
	{ "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5, 0x40207d3d },
	{ "3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c, 0xdde51bbf },
	{ "3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024,
	  0x4b61e985, 0x02d1feef },
};

/* A frame without its virtio header. */
typedef struct Frame {
	uint8_t bytes[FRAME_MAX];
	size_t size;
} Frame;

static void append(Frame *frame, gconstpointer bytes, size_t size)
{
	g_assert_cmpuint(frame->size + size, <=, sizeof(frame->bytes));
	memcpy(frame->bytes + frame->size, bytes, size);
	frame->size += size;
}

static void append_be16(Frame *frame, uint16_t value)
{
	uint16_t big = htons(value);

	append(frame, &big, sizeof(big));
}

static void start_frame(Frame *frame, uint16_t type)
{
	*frame = (Frame){ .size = 0 };
	append(frame, MAC "\x52\x54\x00\x99\x99\x99", 12);
	append_be16(frame, type);
}

static void append_ports(Frame *frame, const Flow *flow)
{
	append_be16(frame, flow->source_port);
	append_be16(frame, flow->destination_port);
	append(frame, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static void append_ipv4(Frame *frame, const Flow *flow, uint8_t protocol)
{
	uint8_t header[20] = { [0] = 0x45, [8] = 64, [9] = protocol };

	g_assert_cmpint(inet_pton(AF_INET, flow->source, header + 12), ==, 1);
	g_assert_cmpint(inet_pton(AF_INET, flow->destination, header + 16), ==, 1);
	append(frame, header, sizeof(header));
	append_ports(frame, flow);
}

/* With @extensions, that many bytes of headers of which the first is of kind @next. */
static void append_ipv6(Frame *frame, const Flow *flow, uint8_t next, gconstpointer extensions,
			size_t size)
{
	uint8_t header[40] = { [0] = 0x60, [6] = next, [7] = 64 };

	g_assert_cmpint(inet_pton(AF_INET6, flow->source, header + 8), ==, 1);
	g_assert_cmpint(inet_pton(AF_INET6, flow->destination, header + 24), ==, 1);
	append(frame, header, sizeof(header));
	append(frame, extensions, size);
	append_ports(frame, flow);
}

static void make_ipv4(Frame *frame, const Flow *flow, uint8_t protocol)
{
	start_frame(frame, 0x0800);
	append_ipv4(frame, flow, protocol);
}

static void make_ipv6(Frame *frame, const Flow *flow, uint8_t next, gconstpointer extensions,
		      size_t size)
{
	start_frame(frame, 0x86dd);
	append_ipv6(frame, flow, next, extensions, size);
}

/* What hashes of @kinds with the key above are. */
static void configure(NetRss *rss, uint32_t kinds)
{
	uint8_t bytes[4 + 8 + 1 + NET_RSS_KEY_SIZE] = { [12] = NET_RSS_KEY_SIZE };
	const struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	NetCommand command = { .iov = &iov, .n_iov = 1, .left = sizeof(bytes) };
	uint16_t n = 0;

	memcpy(bytes, &kinds, sizeof(kinds));
	memcpy(bytes + 13, key, sizeof(key));
	g_assert_true(net_rss_take(rss, &command, false, 1, &n));
	g_assert_cmpuint(n, ==, 0);
	g_assert_false(rss->steers);
}

static void check_hash(uint32_t kinds, const Frame *frame, uint16_t kind, uint32_t value)
{
	NetHash hash;
	NetRss rss;

	configure(&rss, kinds);
	hash = net_rss_hash(&rss, frame->bytes, frame->size);
	g_assert_cmpuint(hash.kind, ==, kind);
	g_assert_cmphex(hash.value, ==, value);
	g_assert_cmpuint(hash.padding, ==, 0);
}

static void test_vectors(void)
{
	Frame frame;

	for (unsigned i = 0; i < G_N_ELEMENTS(ipv4_flows); i++) {
		const Flow *flow = &ipv4_flows[i];

		make_ipv4(&frame, flow, IPPROTO_TCP);
		check_hash(NET_HASH_ALL, &frame, 2, flow->with_ports);
		check_hash(NET_HASH_IPV4 | NET_HASH_UDPV4, &frame, 1, flow->addresses);
		check_hash(NET_HASH_UDPV4 | NET_HASH_TCPV6, &frame, 0, 0);
		make_ipv4(&frame, flow, IPPROTO_UDP);
		check_hash(NET_HASH_ALL, &frame, 3, flow->with_ports);
		check_hash(NET_HASH_IPV4 | NET_HASH_TCPV4, &frame, 1, flow->addresses);
		make_ipv4(&frame, flow, IPPROTO_ICMP);
		check_hash(NET_HASH_ALL, &frame, 1, flow->addresses);
		check_hash(NET_HASH_TCPV4 | NET_HASH_UDPV4, &frame, 0, 0);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(ipv6_flows); i++) {
		const Flow *flow = &ipv6_flows[i];

		make_ipv6(&frame, flow, IPPROTO_TCP, "", 0);
		check_hash(NET_HASH_ALL, &frame, 5, flow->with_ports);
		check_hash(NET_HASH_IPV6 | NET_HASH_UDPV6, &frame, 4, flow->addresses);
		make_ipv6(&frame, flow, IPPROTO_UDP, "", 0);
		check_hash(NET_HASH_ALL, &frame, 6, flow->with_ports);
		make_ipv6(&frame, flow, IPPROTO_ICMPV6, "", 0);
		check_hash(NET_HASH_ALL, &frame, 4, flow->addresses);
		check_hash(NET_HASH_TCPV6 | NET_HASH_IPV4, &frame, 0, 0);
	}
}

static void test_tags_and_fragments(void)
{
	const Flow *flow = &ipv4_flows[0];
	Frame frame;

	start_frame(&frame, 0x88a8);
	append_be16(&frame, 7);
	append_be16(&frame, 0x8100);
	append_be16(&frame, 8);
	append_be16(&frame, 0x0800);
	append_ipv4(&frame, flow, IPPROTO_TCP);
	check_hash(NET_HASH_ALL, &frame, 2, flow->with_ports);
	/* All fragments of a packet have the same hash: the first, too. */
	make_ipv4(&frame, flow, IPPROTO_TCP);
	frame.bytes[PACKET_AT + 6] = 0x20;
	check_hash(NET_HASH_ALL, &frame, 1, flow->addresses);
	check_hash(NET_HASH_TCPV4, &frame, 0, 0);
	frame.bytes[PACKET_AT + 6] = 0;
	frame.bytes[PACKET_AT + 7] = 9;
	check_hash(NET_HASH_ALL, &frame, 1, flow->addresses);
	frame.bytes[PACKET_AT + 6] = 0x40; /* not to be fragmented */
	frame.bytes[PACKET_AT + 7] = 0;
	check_hash(NET_HASH_ALL, &frame, 2, flow->with_ports);
	make_ipv6(&frame, &ipv6_flows[0], IPPROTO_FRAGMENT, "\6\0\0\1\0\0\0\1", 8);
	check_hash(NET_HASH_ALL, &frame, 7, ipv6_flows[0].addresses);
}

/* Options before TCP, and IPv6's headers in which mobile nodes say who they are. */
static void test_extensions(void)
{
	const Flow *flow = &ipv6_flows[0];
	uint8_t home[24] = {
		[0] = IPPROTO_ROUTING, [1] = 2, [2] = 1, [3] = 2, [6] = 201, [7] = 16
	};
	uint8_t route[24] = { [0] = IPPROTO_TCP, [1] = 2, [2] = 2, [3] = 1 };
	uint8_t both[48];
	Flow elsewhere = *flow;
	Frame frame;

	make_ipv4(&frame, &ipv4_flows[0], IPPROTO_TCP);
	memmove(frame.bytes + PACKET_AT + 24, frame.bytes + PACKET_AT + 20, 20);
	memset(frame.bytes + PACKET_AT + 20, 1, 4);
	frame.bytes[PACKET_AT] = 0x46;
	frame.size += 4;
	check_hash(NET_HASH_ALL, &frame, 2, ipv4_flows[0].with_ports);

	inet_pton(AF_INET6, flow->source, home + 8);
	inet_pton(AF_INET6, flow->destination, route + 8);
	memcpy(both, home, sizeof(home));
	memcpy(both + sizeof(home), route, sizeof(route));
	elsewhere.source = "fe80::1";
	elsewhere.destination = "fe80::2";
	make_ipv6(&frame, &elsewhere, IPPROTO_DSTOPTS, both, sizeof(both));
	check_hash(NET_HASH_ALL, &frame, 8, flow->with_ports);
	check_hash(NET_HASH_IPV6_EX, &frame, 7, flow->addresses);
	/* Where these are not wanted the headers are as if they were not there. */
	make_ipv6(&frame, flow, IPPROTO_DSTOPTS, both, sizeof(both));
	check_hash(NET_HASH_TCPV6 | NET_HASH_UDPV6_EX, &frame, 5, flow->with_ports);
	make_ipv6(&frame, flow, IPPROTO_HOPOPTS, "\x11\0\1\4\0\0\0\0", 8);
	check_hash(NET_HASH_ALL, &frame, 9, flow->with_ports);
}

/* Whatever is cut off, or says that it is longer than it is, has another hash or none. */
static void test_cut_off(void)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT,
					 IPPROTO_DSTOPTS, IPPROTO_TCP };
	Frame frame;
	NetRss rss;

	configure(&rss, NET_HASH_ALL);
	for (unsigned i = 0; i < 20000; i++) {
		g_autofree uint8_t *exact = NULL;
		uint8_t extensions[160];
		size_t size;

		for (unsigned j = 0; j < sizeof(extensions); j++)
			extensions[j] = g_test_rand_int_range(0, j % 8 < 2 ? 5 : 256);
		for (unsigned j = 0; j < sizeof(extensions); j += 8)
			extensions[j] = kinds[extensions[j]];
		make_ipv6(&frame, &ipv6_flows[0], kinds[i % 4], extensions, sizeof(extensions));
		size = g_test_rand_int_range(14, frame.size + 1);
		exact = g_memdup2(frame.bytes, size); /* for the sanitizer to see */
		g_assert_cmpuint(net_rss_hash(&rss, exact, size).kind, <=, 9);
	}
	make_ipv4(&frame, &ipv4_flows[0], IPPROTO_TCP);
	for (size_t size = 0; size < frame.size; size++) {
		g_autofree uint8_t *exact = g_memdup2(frame.bytes, size);
		NetHash hash = net_rss_hash(&rss, exact, size);

		g_assert_cmpuint(hash.kind, ==, size < 34 ? 0 : size < 38 ? 1 : 2);
	}
	frame.bytes[PACKET_AT] = 0x44;
	check_hash(NET_HASH_ALL, &frame, 0, 0);
}

/* An RSS_CONFIG command, to be changed before it is sent. */
typedef struct Command {
	uint8_t bytes[COMMAND_MAX];
	uint32_t size;
} Command;

static void put16(uint8_t *bytes, uint16_t value)
{
	memcpy(bytes, &value, sizeof(value));
}

/* Flows to the queues in turn, a table of @n; what has no hash to the last; sending by @n_tx. */
static Command rss_command(unsigned n, uint16_t n_tx)
{
	Command command = { .size = TABLE_AT };
	uint32_t kinds = NET_HASH_ALL;

	memcpy(command.bytes, &kinds, sizeof(kinds));
	put16(command.bytes + 4, n - 1);
	put16(command.bytes + 6, QUEUES - 1);
	for (unsigned i = 0; i < n; i++, command.size += 2)
		put16(command.bytes + command.size, i % QUEUES);
	put16(command.bytes + command.size, n_tx);
	command.bytes[command.size + 2] = sizeof(key);
	memcpy(command.bytes + command.size + 3, key, sizeof(key));
	command.size += 3 + sizeof(key);
	return command;
}

static uint8_t steer(Fixture *fixture, const Command *command)
{
	return control(fixture, CLASS_MQ, RSS_CONFIG, command->bytes, command->size);
}

static void start(Fixture *fixture, uint64_t features)
{
	virtio_driver_start(&fixture->driver, features);
	fixture->control = 2 * QUEUES;
}

static void arrive_frame(Fixture *fixture, unsigned queue, const Frame *frame)
{
	uint8_t *bytes = g_malloc0(NET_HEADER_SIZE + frame->size);

	memcpy(bytes + NET_HEADER_SIZE, frame->bytes, frame->size);
	arrive_bytes(fixture, queue, bytes, NET_HEADER_SIZE + frame->size);
}

/* A frame comes in by each of the netdev's queues, and goes to where its hash leads. */
static void test_steering(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	Command command = rss_command(NET_RSS_TABLE_SIZE, 2);
	uint64_t buffers[QUEUES];
	unsigned n_taken[QUEUES] = {};
	uint32_t length;
	Frame frame;

	(void)data;
	start(fixture, F_ALL);
	g_assert_true(virtio_driver_offered(driver) & F_RSS);
	g_assert_false(virtio_driver_offered(driver) & F_HASH_REPORT);
	g_assert_cmpuint(virtio_driver_read_config(driver, 17, 1), ==, NET_RSS_KEY_SIZE);
	g_assert_cmpuint(virtio_driver_read_config(driver, 18, 2), ==, NET_RSS_TABLE_SIZE);
	g_assert_cmpuint(virtio_driver_read_config(driver, 20, 4), ==, NET_HASH_ALL);
	for (unsigned i = 0; i < QUEUES; i++)
		buffers[i] = offer_buffers_to(fixture, 2 * i, 0, 32, BUFFER_SIZE);
	g_assert_cmpuint(steer(fixture, &command), ==, 0);
	g_assert_cmpuint(fixture->netdev->n_used, ==, 2);
	for (unsigned i = 0; i < G_N_ELEMENTS(ipv4_flows); i++) {
		unsigned to = ipv4_flows[i].with_ports % NET_RSS_TABLE_SIZE % QUEUES;

		make_ipv4(&frame, &ipv4_flows[i], IPPROTO_TCP);
		for (unsigned from = 0; from < QUEUES; from++) {
			uint64_t gpa = buffers[to] + (uint64_t)n_taken[to] * BUFFER_SIZE;

			arrive_frame(fixture, from, &frame);
			g_assert_cmpuint(virtio_driver_wait(driver, 2 * to, &length), ==,
					 n_taken[to]++);
			g_assert_cmpuint(length, ==, NET_HEADER_SIZE + frame.size);
			g_assert_cmpmem(virtio_driver_ram(driver, gpa + NET_HEADER_SIZE),
					frame.size, frame.bytes, frame.size);
			g_assert_cmpuint(virtio_driver_ram(driver, gpa)[10], ==, 1);
			if (n_taken[to] == 1) /* for more it would have to ask */
				g_assert_true(virtio_driver_wait_interrupt(driver, 2 * to + 1));
		}
	}
	/* What has no hash. */
	arrive_at(fixture, 0, MAC, 0x9999, 0, 100);
	virtio_driver_wait(driver, 2 * (QUEUES - 1), &length);
	g_assert_cmpuint(length, ==, 100);
	/* And back: the netdev's choice is the card's again. */
	g_assert_cmpuint(control(fixture, CLASS_MQ, PAIRS_SET, "\4\0", 2), ==, 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		arrive_at(fixture, i, MAC, 0x9999, 0, 100 + i);
		virtio_driver_wait(driver, 2 * i, &length);
		g_assert_cmpuint(length, ==, 100 + i);
	}
}

/* A frame for which there is no room is lost, and holds up none for another queue. */
static void test_no_room(Fixture *fixture, gconstpointer merge)
{
	VirtioDriver *driver = &fixture->driver;
	Command command = rss_command(4, 1);
	uint32_t id, length;

	(void)merge;
	start(fixture, F_ALL);
	/* A frame that waits for chains is gone when another queue may be the one to get it. */
	offer_buffers(fixture, 0, 1, 64);
	arrive(fixture, MAC, 0x9999, 0, 5000);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpuint(steer(fixture, &command), ==, 0);
	for (unsigned i = 0; i < 100; i++)
		arrive(fixture, MAC, 0x9999, 0, 100); /* unclassified: to the last */
	virtio_driver_settle(fixture->loop);
	g_assert_true(fixture->netdev->watched[0]);
	g_assert_cmpuint(g_queue_get_length(&fixture->netdev->to_receive[0]), ==, 0);
	/* One buffer, and a frame that is larger. */
	offer_buffers_to(fixture, 2 * (QUEUES - 1), 0, 1, 1000);
	arrive(fixture, MAC, 0x9999, 0, 5000);
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_ring_take_used(&driver->rings[2 * (QUEUES - 1)], &id, &length));
	arrive(fixture, MAC, 0x9999, 0, 999);
	virtio_driver_wait(driver, 2 * (QUEUES - 1), &length);
	g_assert_cmpuint(length, ==, 999);
	/* A frame over several, passed on; and one that the queue it came by is for. */
	offer_buffers_to(fixture, 2 * (QUEUES - 1), 1, 20, 1000);
	for (unsigned i = 0; i < 2; i++) {
		arrive_at(fixture, i ? QUEUES - 1 : 0, MAC, 0x9999, 0, 5500);
		for (unsigned j = 0; j < 6; j++) {
			virtio_driver_wait(driver, 2 * (QUEUES - 1), &length);
			g_assert_cmpuint(length, ==, j < 5 ? 1000 : 500);
		}
	}
}

/* Without mergeable buffers a frame is in one, or lost. */
static void test_no_room_unmerged(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	Command command = rss_command(4, 1);
	uint32_t length;

	(void)data;
	start(fixture, F_ALL & ~F_MRG_RXBUF);
	g_assert_cmpuint(steer(fixture, &command), ==, 0);
	arrive(fixture, MAC, 0x9999, 0, 100);
	virtio_driver_settle(fixture->loop);
	offer_buffers_to(fixture, 2 * (QUEUES - 1), 0, 4, 1000);
	for (unsigned i = 0; i < 2; i++) {
		arrive_at(fixture, i ? QUEUES - 1 : 0, MAC, 0x9999, 0, 1001);
		arrive_at(fixture, i ? QUEUES - 1 : 0, MAC, 0x9999, 0, 1000 - i);
		g_assert_cmpuint(virtio_driver_wait(driver, 2 * (QUEUES - 1), &length), ==, i);
		g_assert_cmpuint(length, ==, 1000 - i);
	}
}

/* Each in its way; after all of them nothing has changed. */
static void test_bad_commands(Fixture *fixture, gconstpointer data)
{
	Command good = rss_command(8, QUEUES), bad;

	(void)data;
	start(fixture, F_ALL);
	for (uint32_t size = 0; size < good.size; size++)
		g_assert_cmpuint(control(fixture, CLASS_MQ, RSS_CONFIG, good.bytes, size), ==, 1);
	bad = good;
	bad.bytes[1] |= 2; /* a kind that there is not */
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	bad = good;
	put16(bad.bytes + 4, 6); /* no power of two */
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	put16(bad.bytes + 4, 2 * NET_RSS_TABLE_SIZE - 1);
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	put16(bad.bytes + 4, 0xffff);
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	bad = good;
	put16(bad.bytes + 6, QUEUES);
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	bad = good;
	put16(bad.bytes + TABLE_AT + 2 * 7, QUEUES);
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	bad = rss_command(8, 0);
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	bad = rss_command(8, QUEUES + 1);
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	bad = good;
	bad.bytes[TABLE_AT + 2 * 8 + 2] = NET_RSS_KEY_SIZE + 1;
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	bad.bytes[TABLE_AT + 2 * 8 + 2] = 0; /* hashes without a key */
	g_assert_cmpuint(steer(fixture, &bad), ==, 1);
	g_assert_cmpuint(control(fixture, CLASS_MQ, HASH_CONFIG, good.bytes, good.size), ==, 1);
	g_assert_cmpuint(control(fixture, CLASS_MQ, 3, good.bytes, good.size), ==, 1);
	g_assert_cmpuint(fixture->netdev->n_used, ==, 1);
	offer_buffers(fixture, 0, 4, 1000);
	g_assert_true(receives(fixture, MAC, 0x9999, 0));
	/* No hashes need no key: all is unclassified. */
	memset(bad.bytes, 0, 4);
	g_assert_cmpuint(steer(fixture, &bad), ==, 0);
	offer_buffers_to(fixture, 2 * (QUEUES - 1), 0, 4, 1000);
	arrive(fixture, MAC, 0x9999, 0, 100);
	virtio_driver_wait(&fixture->driver, 2 * (QUEUES - 1), NULL);
	/* A driver that did not ask for it. */
	start(fixture, F_ALL & ~F_RSS);
	g_assert_cmpuint(steer(fixture, &good), ==, 1);
}

/* The hash is in the header of what is received; what is sent has room for one. */
static void test_report(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const size_t header = NET_HEADER_SIZE + REPORTING_SPACE;
	uint8_t config[4 + 8 + 1 + NET_RSS_KEY_SIZE] = { 0xff, 1, [8] = 1, [12] = sizeof(key) };
	const Flow *flow = &ipv4_flows[1];
	uint8_t expected[12] = { 1, 0, [6] = 2 };
	uint64_t gpa, sent;
	uint32_t length;
	Frame frame;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	memcpy(config + 13, key, sizeof(key));
	g_assert_cmpuint(control(fixture, CLASS_MQ, RSS_CONFIG, config, sizeof(config)), ==, 1);
	gpa = offer_buffers(fixture, 0, 8, 512);
	arrive(fixture, MAC, 0x9999, 0, 100);
	virtio_driver_wait(driver, RX, &length);
	g_assert_cmpuint(length, ==, 100 + REPORTING_SPACE);
	expected[6] = 0;
	g_assert_cmpmem(virtio_driver_ram(driver, gpa + 10), 10, expected, 10);
	g_assert_cmpuint(control(fixture, CLASS_MQ, HASH_CONFIG, config, sizeof(config)), ==, 0);
	make_ipv4(&frame, flow, IPPROTO_TCP);
	arrive_frame(fixture, 0, &frame);
	virtio_driver_wait(driver, RX, &length);
	g_assert_cmpuint(length, ==, header + frame.size);
	memcpy(expected + 2, &flow->with_ports, 4);
	expected[6] = 2;
	g_assert_cmpmem(virtio_driver_ram(driver, gpa + 512 + 10), 10, expected, 10);
	g_assert_cmpmem(virtio_driver_ram(driver, gpa + 512 + header), frame.size, frame.bytes,
			frame.size);

	sent = virtio_driver_alloc(driver, header + frame.size);
	memcpy(virtio_driver_ram(driver, sent + header), frame.bytes, frame.size);
	virtio_ring_describe(&driver->rings[TX], 0, sent, 16, RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[TX], 1, sent + 16, 40, RING_NEXT, 2);
	virtio_ring_describe(&driver->rings[TX], 2, sent + 56, header + frame.size - 56, 0, 0);
	virtio_driver_offer(driver, TX, 0);
	virtio_driver_wait(driver, TX, NULL);
	g_assert_cmpuint(n_sent(fixture), ==, 1);
	g_assert_cmpuint(g_bytes_get_size(fixture->netdev->sent->pdata[0]), ==,
			 NET_HEADER_SIZE + frame.size);
	g_assert_cmpmem((const uint8_t *)g_bytes_get_data(fixture->netdev->sent->pdata[0], NULL) +
				NET_HEADER_SIZE,
			frame.size, frame.bytes, frame.size);
	/* A header that lacks it. */
	virtio_ring_describe(&driver->rings[TX], 0, sent, header - 1, 0, 0);
	virtio_driver_offer(driver, TX, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
}

/* Across chains, of which one ends within what is reported, and into what was spilled. */
static void test_report_spilled(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint32_t length;
	uint64_t gpa;

	(void)data;
	virtio_driver_start(driver, F_ALL);
	gpa = virtio_driver_alloc(driver, 4096);
	for (unsigned i = 0; i < 3; i++)
		virtio_ring_describe(&driver->rings[RX], i, gpa + i * 16, 16,
				     RING_WRITE | (i < 2 ? RING_NEXT : 0), i + 1);
	virtio_ring_offer(&driver->rings[RX], 0);
	virtio_driver_kick(driver, RX);
	arrive(fixture, MAC, 0x9999, 0, 1000);
	assert_nothing_received(fixture);
	virtio_ring_describe(&driver->rings[RX], 3, gpa + 48, 2000, RING_WRITE, 0);
	virtio_ring_offer(&driver->rings[RX], 3);
	virtio_driver_kick(driver, RX);
	virtio_driver_wait(driver, RX, &length);
	g_assert_cmpuint(length, ==, 48);
	virtio_driver_wait(driver, RX, &length);
	g_assert_cmpuint(length, ==, 1000 + REPORTING_SPACE - 48);
	for (size_t i = NET_HEADER_SIZE + 16; i < 1000; i++)
		g_assert_cmpuint(virtio_driver_ram(driver, gpa)[i + REPORTING_SPACE], ==,
				 (uint8_t)(i * 11 + i / 256));
}

static Device *add_other(Fixture *fixture, Netdev *netdev, const char *options)
{
	g_autofree char *all = g_strconcat("netdev=other,mac=52:54:00:01:02:03,", options, NULL);

	netdev->supported = fixture->netdev->supported;
	netdev->n_queues = fixture->netdev->n_queues;
	netdev->link_up = true;
	fake_machine_set_netdev(fixture->fake, "other", netdev);
	return fake_machine_add(fixture->fake, &virtio_net_type.pci.device, all);
}

static void test_state(Fixture *fixture, gconstpointer options)
{
	g_autofree Netdev *netdev = g_new0(Netdev, 1);
	Command command = rss_command(NET_RSS_TABLE_SIZE, QUEUES);
	unsigned to = ipv4_flows[0].with_ports % QUEUES;
	Device *other = add_other(fixture, netdev, options);
	Netdev *first = fixture->netdev;
	Frame frame;

	start(fixture, F_ALL);
	g_assert_cmpuint(steer(fixture, &command), ==, 0);
	offer_buffers_to(fixture, 2 * to, 0, 10, 1000);
	offer_buffers_to(fixture, 2 * (to ^ 1), 0, 10, 1000);
	fixture->device->type->pause(fixture->device);
	fake_machine_check_state(fixture->device, other);
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
	other->type->resume(other);
	g_assert_cmpuint(netdev->n_used, ==, QUEUES);
	make_ipv4(&frame, &ipv4_flows[0], IPPROTO_TCP);
	fixture->netdev = netdev;
	arrive_frame(fixture, to ^ 1, &frame);
	virtio_driver_wait(&fixture->driver, 2 * to, NULL);
	fake_machine_remove(fixture->fake, other);
	fixture->netdev = first;
}

/* What a stream says is checked as what a driver says. */
static void test_bad_state(void)
{
	g_autoptr(GByteArray) good = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	NetRss rss = { .steers = true, .mask = 1, .table = { 0, 1 }, .kinds = NET_HASH_ALL };
	size_t used;

	state_save(&net_rss_state, &rss, good);
	g_assert_true(state_load(&net_rss_state, &rss, good->data, good->len, &used, NULL));
	g_assert_true(net_rss_fits(&rss, 2));
	g_assert_false(net_rss_fits(&rss, 1));
	for (unsigned i = 0; i < 3; i++) {
		static const NetRss bad[] = { { .mask = 2 }, { .mask = 255 }, { .kinds = 1 << 9 } };
		g_autoptr(GByteArray) stream = g_byte_array_new();

		rss = bad[i];
		state_save(&net_rss_state, &rss, stream);
		g_clear_error(&error);
		g_assert_false(
			state_load(&net_rss_state, &rss, stream->data, stream->len, &used, &error));
		g_assert_nonnull(strstr(error->message, "steers by a table"));
	}
}

/* It passes frames on by itself, and cannot steer. */
static void test_vhost(Fixture *fixture, gconstpointer data)
{
	static const char *const options[] = { "rss=on", "hash=on" };
	g_autofree Netdev *netdev = g_new0(Netdev, 1);

	(void)data;
	netdev->n_queues = 1;
	netdev->has_vhost = true;
	fake_machine_set_netdev(fixture->fake, "other", netdev);
	for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
		g_autofree char *all = g_strconcat("netdev=other,", options[i], NULL);
		g_autoptr(GError) error = NULL;

		g_assert_null(fake_machine_try_add(fixture->fake, &virtio_net_type.pci.device, all,
						   &error));
		g_assert_nonnull(strstr(error->message, "do not go with vhost"));
		g_assert_false(netdev->attached);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-net/rss/vectors", test_vectors);
	g_test_add_func("/virtio-net/rss/tags-and-fragments", test_tags_and_fragments);
	g_test_add_func("/virtio-net/rss/extensions", test_extensions);
	g_test_add_func("/virtio-net/rss/cut-off", test_cut_off);
	g_test_add_func("/virtio-net/rss/bad-state", test_bad_state);
	net_fixture_add("rss/steering", test_steering, "mq=on,rss=on");
	net_fixture_add("rss/no-room", test_no_room, "mq=on,rss=on");
	net_fixture_add("rss/no-room-unmerged", test_no_room_unmerged, "mq=on,rss=on");
	net_fixture_add("rss/bad-commands", test_bad_commands, "mq=on,rss=on");
	net_fixture_add("rss/report", test_report, "hash=on");
	net_fixture_add("rss/report-spilled", test_report_spilled, "hash=on");
	net_fixture_add("rss/state", test_state, "mq=on,rss=on,hash=on");
	net_fixture_add("rss/vhost", test_vhost, NULL);
	net_fixture_add("packed/rss/steering", test_steering, "mq=on,rss=on,packed=on");
	net_fixture_add("packed/rss/no-room", test_no_room, "mq=on,rss=on,packed=on");
	net_fixture_add("packed/rss/report", test_report, "hash=on,packed=on");
	return g_test_run();
}
