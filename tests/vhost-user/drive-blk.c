/*
 * drive-blk.c: drives a vhost-user block back end without a guest, and checks every byte
 *
 *	drive-blk SOCKET REQUESTS [DEPTH [log]]
 *
 * It writes and reads random ranges of the back end's disk, many at a time, through the same
 * device and rings that a guest would, and compares what it reads with what it wrote. At the end it
 * reads the whole disk; with "log" what the back end writes then must be in its dirty log. The back
 * end may go away and come back meanwhile. With "progress" on each
 * line of standard output it says how many requests have been answered; the exit status is 0 if
 * every one was, rightly.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/device/virtio_driver.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/chardev/chardev.h"
#include "vmm/virtio/vhost_user_blk.h"

#define SECTOR	    512u
#define DEPTH	    32u /* requests at a time, at most */
#define LENGTH_MAX  16u /* sectors of one request */
#define DISK_MAX    (8u << 20)
#define PATIENCE_US 30000000
#define REPORT	    500u /* requests between lines of progress */

typedef struct Request {
	uint64_t gpa; /* header, data, status */
	uint32_t type;
	uint64_t sector;
	uint32_t n_sectors;
	bool busy;
} Request;

typedef struct Front {
	FakeMachine *fake;
	Chardevs *chardevs;
	Device *device;
	VirtioDriver driver;
	unsigned depth;
	Request requests[DEPTH];
	uint8_t *expected; /* the disk as it should be */
	bool *locked;	   /* sectors that a request is about */
	uint64_t n_sectors;
	unsigned answered;
	DirtyTracker *tracker; /* NULL: what the back end marks is not looked at */
} Front;

static void fail(const char *what)
{
	fprintf(stderr, "drive-blk: %s\n", what);
	exit(1);
}

static void connect_front(Front *front, const char *path)
{
	g_autofree char *text = g_strdup_printf("socket,id=c0,path=%s,reconnect=1", path);
	g_autoptr(GError) error = NULL;
	g_autoptr(ChardevConfig) config = chardev_config_parse(text, &error);

	g_assert_no_error(error);
	front->fake = fake_machine_new_shared(16 << 20);
	front->chardevs = chardevs_new(front->fake->services.main_context);
	fake_machine_set_chardev(front->fake, "c0", chardevs_add(front->chardevs, config, &error));
	g_assert_no_error(error);
	front->device = fake_machine_try_add(front->fake, &vhost_user_blk_type.pci.device,
					     "chardev=c0,num-queues=1", &error);
	if (!front->device)
		fail(error->message);
	virtio_driver_probe(&front->driver, front->fake, front->device);
	virtio_driver_start(&front->driver, UINT64_MAX);
	front->n_sectors = virtio_driver_read_config(&front->driver, 0, 4);
	if (front->n_sectors < LENGTH_MAX || front->n_sectors > DISK_MAX / SECTOR)
		fail("the disk is not between 8 KiB and 8 MiB");
	front->expected = g_malloc0(front->n_sectors * SECTOR);
	front->locked = g_new0(bool, front->n_sectors);
	for (unsigned i = 0; i < DEPTH; i++)
		front->requests[i].gpa =
			virtio_driver_alloc(&front->driver, 16 + LENGTH_MAX * SECTOR + 1);
}

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

static uint8_t *data_of(Front *front, const Request *request)
{
	return virtio_driver_ram(&front->driver, request->gpa + 16);
}

static void offer(Front *front, unsigned i)
{
	Request *request = &front->requests[i];
	VirtioRing *ring = &front->driver.rings[0];
	uint64_t data = request->gpa + 16, size = request->n_sectors * SECTOR;
	uint8_t *bytes = data_of(front, request);
	unsigned head = 3 * i;

	memcpy(virtio_driver_ram(&front->driver, request->gpa), &request->type, 4);
	memcpy(virtio_driver_ram(&front->driver, request->gpa + 8), &request->sector, 8);
	if (request->type == 1) {
		for (uint64_t at = 0; at < size; at += 4) {
			uint32_t random = (uint32_t)rand();

			memcpy(bytes + at, &random, sizeof(random));
		}
		memcpy(front->expected + request->sector * SECTOR, bytes, size);
	} else {
		memset(bytes, 0xa5, size);
	}
	bytes[size] = 0xff;
	request->busy = true;
	lock_range(front, request, true);
	virtio_ring_describe(ring, head, request->gpa, 16, RING_NEXT, head + 1);
	virtio_ring_describe(ring, head + 1, data, size,
			     RING_NEXT | (request->type ? 0 : RING_WRITE), head + 2);
	virtio_ring_describe(ring, head + 2, data + size, 1, RING_WRITE, 0);
	virtio_driver_offer(&front->driver, 0, head);
}

static void check_answer(Front *front, uint32_t id)
{
	Request *request = &front->requests[id / 3];
	uint64_t size;

	if (id % 3 != 0 || id / 3 >= DEPTH || !request->busy)
		fail("a request is answered that was not made");
	size = request->n_sectors * SECTOR;
	if (data_of(front, request)[size] != 0)
		fail("a request failed");
	if (request->type == 0 &&
	    memcmp(data_of(front, request), front->expected + request->sector * SECTOR, size) != 0)
		fail("what is read is not what was written");
	lock_range(front, request, false);
	request->busy = false;
	if (++front->answered % REPORT == 0) {
		printf("progress %u\n", front->answered);
		fflush(stdout);
	}
}

/* Take answers until there is none, waiting for the first if @wait. */
static void take_answers(Front *front, bool wait)
{
	gint64 end = g_get_monotonic_time() + PATIENCE_US;
	uint32_t id, length;

	for (;;) {
		while (virtio_ring_take_used(&front->driver.rings[0], &id, &length)) {
			check_answer(front, id);
			wait = false;
		}
		fake_machine_iterate(front->fake);
		if (!wait)
			return;
		if (g_get_monotonic_time() > end)
			fail("no answer for 30 seconds");
		g_usleep(50);
	}
}

static Request *free_request(Front *front, unsigned *index)
{
	for (unsigned i = 0; i < front->depth; i++) {
		if (!front->requests[i].busy) {
			*index = i;
			return &front->requests[i];
		}
	}
	return NULL;
}

static void drive(Front *front, unsigned n)
{
	for (unsigned made = 0; made < n;) {
		unsigned index;
		Request *request = free_request(front, &index);
		uint32_t length = 1 + (uint32_t)rand() % LENGTH_MAX;
		uint64_t sector = (uint64_t)rand() % (front->n_sectors - length);

		if (!request || !range_is_free(front, sector, length)) {
			take_answers(front, !request);
			continue;
		}
		request->type = rand() % 3 ? 1 : 0;
		request->sector = sector;
		request->n_sectors = length;
		offer(front, index);
		made++;
	}
	while (front->answered < n)
		take_answers(front, true);
}

/* Have the back end mark what it writes from here on. */
static void start_log(Front *front)
{
	g_autoptr(GError) error = NULL;

	front->tracker = dirty_tracker_new(front->fake->services.memory, &error);
	if (!front->tracker)
		fail(error->message);
	dirty_tracker_take(front->tracker, NULL);
}

/* What was read by @request, and the used ring that says so, must have been marked. */
static void check_log(Front *front, const Request *request)
{
	g_autofree uint64_t *bitmap = NULL;
	uint64_t at = request->gpa + 16, end = at + request->n_sectors * SECTOR;
	uint64_t page;

	if (!front->tracker)
		return;
	bitmap = g_new0(uint64_t, dirty_tracker_words(front->tracker));
	dirty_tracker_take(front->tracker, bitmap);
	for (page = at / DIRTY_PAGE_SIZE; page <= end / DIRTY_PAGE_SIZE; page++) {
		if (!(bitmap[page / 64] & (UINT64_C(1) << (page % 64))))
			fail("what was read is not in the dirty log");
	}
	page = front->driver.rings[0].used / DIRTY_PAGE_SIZE;
	if (!(bitmap[page / 64] & (UINT64_C(1) << (page % 64))))
		fail("the used ring is not in the dirty log");
}

static void read_all(Front *front)
{
	for (uint64_t sector = 0; sector < front->n_sectors; sector += LENGTH_MAX) {
		Request *request = &front->requests[0];

		request->type = 0;
		request->sector = sector;
		request->n_sectors = (uint32_t)MIN(LENGTH_MAX, front->n_sectors - sector);
		offer(front, 0);
		take_answers(front, true);
		check_log(front, request);
	}
}

int main(int argc, char **argv)
{
	Front front = { .depth = DEPTH };
	bool log = argc == 5 && strcmp(argv[4], "log") == 0;

	if (argc >= 4)
		front.depth = (unsigned)strtoul(argv[3], NULL, 10);
	if (argc < 3 || argc > 5 || (argc == 5 && !log) || front.depth < 1 || front.depth > DEPTH) {
		fputs("usage: drive-blk SOCKET REQUESTS [DEPTH [log]]\n", stderr);
		return 2;
	}
	connect_front(&front, argv[1]);
	drive(&front, (unsigned)strtoul(argv[2], NULL, 10));
	if (log)
		start_log(&front);
	read_all(&front);
	dirty_tracker_free(front.tracker);
	fake_machine_remove(front.fake, front.device);
	chardevs_free(front.chardevs);
	fake_machine_free(front.fake);
	g_free(front.expected);
	g_free(front.locked);
	return 0;
}
