/*
 * drive-net.c: drives a vhost-user network back end without a guest, and checks every byte
 *
 *	drive-net client|server SOCKET PAIRS FRAMES [OPTIONS]
 *
 * It is for back ends that send each frame back by the pair of queues that it came by. Through the
 * same card and rings that a guest would have it sends frames by all of PAIRS, many at a time,
 *until each has come back at least once; whatever comes back must be what was sent. What does not
 *come back is sent again, as the back end may go away and come back meanwhile. Progress and exit
 *status are those of drive-blk. OPTIONS are properties of the card; of a packed ring nobody can
 *tell where a back end that died was, so with packed=on it must stay.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qapi-types.h"
#include "tests/device/virtio_driver.h"
#include "vmm/chardev/chardev.h"
#include "vmm/net/net.h"
#include "vmm/virtio/virtio_net.h"

#define PAIRS_MAX   8u
#define DEPTH	    32u	  /* frames at a time, of each pair */
#define BUFFERS	    128u  /* for reception, of each pair */
#define BUFFER_SIZE 2048u /* with the header */
#define FRAME_MIN   60u
#define FRAME_MAX   1514u
#define PATIENCE_US 30000000
#define RESEND_US   300000
#define REPORT	    500u /* frames between lines of progress */

/* One that is being sent until it comes back. */
typedef struct Frame {
	uint64_t gpa; /* header, bytes */
	uint32_t size;
	uint32_t number; /* as it stands in the frame */
	gint64 sent_at;
	bool in_ring, expected;
} Frame;

typedef struct Pair {
	uint64_t buffers[BUFFERS];
	Frame frames[DEPTH];
} Pair;

typedef struct Front {
	FakeMachine *fake;
	IoLoop *loop;
	Chardevs *chardevs;
	Netdevs *netdevs;
	Device *device;
	VirtioDriver driver;
	unsigned n_pairs;
	Pair pairs[PAIRS_MAX];
	uint32_t next_number;
	unsigned wanted, returned;
} Front;

static void fail(const char *what)
{
	fprintf(stderr, "drive-net: %s\n", what);
	exit(1);
}

static void make_netdev(Front *front, bool server, const char *path)
{
	g_autofree char *text = g_strdup_printf("socket,id=c0,path=%s,%s", path,
						server ? "server=on,wait=off" : "reconnect=1");
	QapiNetdev options = {
		.id = (char *)"n0",
		.type = QAPI_NET_CLIENT_DRIVER_VHOST_USER,
		.u.vhost_user = {
			.chardev = (char *)"c0",
			.has_queues = true,
			.queues = front->n_pairs,
		},
	};
	g_autoptr(GError) error = NULL;
	g_autoptr(ChardevConfig) config = chardev_config_parse(text, &error);

	g_assert_no_error(error);
	front->chardevs = chardevs_new(front->fake->services.main_context);
	fake_machine_set_chardev(front->fake, "c0", chardevs_add(front->chardevs, config, &error));
	g_assert_no_error(error);
	front->netdevs = netdevs_new();
	netdevs_add(front->netdevs, &options, &error);
	g_assert_no_error(error);
	fake_machine_set_netdev(front->fake, "n0", netdevs_find(front->netdevs, "n0"));
}

static void give_buffer(Front *front, unsigned pair, unsigned i)
{
	virtio_ring_describe(&front->driver.rings[2 * pair], i, front->pairs[pair].buffers[i],
			     BUFFER_SIZE, RING_WRITE, 0);
	virtio_driver_offer(&front->driver, 2 * pair, i);
}

/* §5.1.6.5.5 */
static void use_pairs(Front *front)
{
	VirtioDriver *driver = &front->driver;
	unsigned control = 2 * front->n_pairs;
	uint64_t command = virtio_driver_alloc(driver, 4), answer = virtio_driver_alloc(driver, 1);
	const uint8_t bytes[] = { 4, 0, front->n_pairs, 0 };

	memcpy(virtio_driver_ram(driver, command), bytes, sizeof(bytes));
	virtio_driver_ram(driver, answer)[0] = 0xff;
	virtio_ring_describe(&driver->rings[control], 0, command, sizeof(bytes), RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[control], 1, answer, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, control, 0);
	virtio_driver_wait(driver, control, NULL);
	if (virtio_driver_ram(driver, answer)[0] != 0)
		fail("the card refuses to use all pairs");
}

static void make_card(Front *front, bool server, const char *path, const char *options)
{
	g_autofree char *card =
		g_strdup_printf("netdev=n0,mq=on%s%s", *options ? "," : "", options);
	g_autoptr(GError) error = NULL;

	front->fake = fake_machine_new_shared(16 << 20);
	front->loop = io_loop_new("io", NULL, NULL, &error);
	g_assert_no_error(error);
	fake_machine_set_io_loop(front->fake, "", front->loop);
	make_netdev(front, server, path);
	front->device =
		fake_machine_try_add(front->fake, &virtio_net_type.pci.device, card, &error);
	if (!front->device)
		fail(error->message);
	virtio_driver_probe(&front->driver, front->fake, front->device);
	virtio_driver_start(&front->driver, UINT64_MAX);
	if (strstr(options, "packed=on") && !front->driver.packed)
		fail("the back end has no packed rings");
	for (unsigned i = 0; i < front->n_pairs; i++) {
		for (unsigned j = 0; j < BUFFERS; j++) {
			front->pairs[i].buffers[j] =
				virtio_driver_alloc(&front->driver, BUFFER_SIZE);
			give_buffer(front, i, j);
		}
		for (unsigned j = 0; j < DEPTH; j++)
			front->pairs[i].frames[j].gpa =
				virtio_driver_alloc(&front->driver, BUFFER_SIZE);
	}
	if (front->n_pairs > 1)
		use_pairs(front);
}

static uint8_t *bytes_of(Front *front, uint64_t gpa)
{
	return virtio_driver_ram(&front->driver, gpa) + NET_HEADER_SIZE;
}

static void fill_frame(Front *front, Frame *frame)
{
	uint8_t *bytes = bytes_of(front, frame->gpa);

	frame->number = front->next_number++;
	frame->size = FRAME_MIN + (uint32_t)rand() % (FRAME_MAX - FRAME_MIN);
	frame->expected = true;
	for (uint32_t i = 0; i < frame->size; i++)
		bytes[i] = (uint8_t)rand();
	/* To one of many, of a type for experiments, and which one it is. */
	memcpy(bytes, "\x52\x54\x00\x00\x00\x01\x52\x54\x00\x00\x00\x02\x88\xb5", 14);
	memcpy(bytes + 14, &frame->number, sizeof(frame->number));
}

static void send_frame(Front *front, unsigned pair, unsigned i)
{
	Frame *frame = &front->pairs[pair].frames[i];

	virtio_ring_describe(&front->driver.rings[2 * pair + 1], i, frame->gpa,
			     NET_HEADER_SIZE + frame->size, 0, 0);
	virtio_driver_offer(&front->driver, 2 * pair + 1, i);
	frame->in_ring = true;
	frame->sent_at = g_get_monotonic_time();
}

static void check_frame(Front *front, unsigned pair, const uint8_t *bytes, uint32_t size)
{
	uint32_t number;

	if (size < FRAME_MIN || size > FRAME_MAX)
		fail("a frame comes back with another size");
	memcpy(&number, bytes + 14, sizeof(number));
	for (unsigned i = 0; i < DEPTH; i++) {
		Frame *frame = &front->pairs[pair].frames[i];

		if (!frame->expected || frame->number != number)
			continue;
		if (frame->size != size || memcmp(bytes_of(front, frame->gpa), bytes, size) != 0)
			fail("what comes back is not what was sent");
		frame->expected = false;
		if (++front->returned % REPORT == 0) {
			printf("progress %u\n", front->returned);
			fflush(stdout);
		}
		return;
	}
	/* One that was sent twice; or it is of another pair, or none of ours. */
	if (number >= front->next_number)
		fail("a frame comes that was not sent");
}

static void take_frames(Front *front, unsigned pair)
{
	VirtioRing *receive = &front->driver.rings[2 * pair];
	VirtioRing *send = &front->driver.rings[2 * pair + 1];
	uint32_t id, length;

	while (virtio_ring_take_used(send, &id, &length))
		front->pairs[pair].frames[id].in_ring = false;
	while (virtio_ring_take_used(receive, &id, &length)) {
		if (id >= BUFFERS || length < NET_HEADER_SIZE || length > BUFFER_SIZE)
			fail("a buffer comes back that was not given");
		check_frame(front, pair, bytes_of(front, front->pairs[pair].buffers[id]),
			    length - NET_HEADER_SIZE);
		give_buffer(front, pair, id);
	}
}

/* A look at each frame: the next for one that has come back, and again what has not. */
static void turn(Front *front, unsigned pair)
{
	gint64 now = g_get_monotonic_time();

	for (unsigned i = 0; i < DEPTH; i++) {
		Frame *frame = &front->pairs[pair].frames[i];

		if (frame->in_ring || (frame->expected && now - frame->sent_at < RESEND_US))
			continue;
		if (!frame->expected) {
			if (front->next_number >= front->wanted)
				continue;
			fill_frame(front, frame);
		}
		send_frame(front, pair, i);
	}
	take_frames(front, pair);
}

static void drive(Front *front)
{
	gint64 end = g_get_monotonic_time() + PATIENCE_US;
	unsigned last = 0;

	while (front->returned < front->wanted) {
		for (unsigned i = 0; i < front->n_pairs; i++)
			turn(front, i);
		fake_machine_iterate(front->fake);
		if (front->returned != last)
			end = g_get_monotonic_time() + PATIENCE_US;
		else if (g_get_monotonic_time() > end)
			fail("no frame for 30 seconds");
		last = front->returned;
		g_usleep(50);
	}
}

int main(int argc, char **argv)
{
	Front *front = g_new0(Front, 1);
	bool enough = argc == 5 || argc == 6, server = enough && strcmp(argv[1], "server") == 0;

	if (!enough || (!server && strcmp(argv[1], "client") != 0)) {
		fputs("usage: drive-net client|server SOCKET PAIRS FRAMES [OPTIONS]\n", stderr);
		return 2;
	}
	front->n_pairs = CLAMP(strtoul(argv[3], NULL, 10), 1, PAIRS_MAX);
	front->wanted = (unsigned)strtoul(argv[4], NULL, 10);
	make_card(front, server, argv[2], argc == 6 ? argv[5] : "");
	drive(front);
	fake_machine_remove(front->fake, front->device);
	netdevs_free(front->netdevs);
	chardevs_free(front->chardevs);
	io_loop_free(front->loop);
	fake_machine_free(front->fake);
	g_free(front);
	return 0;
}
