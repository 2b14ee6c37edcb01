/*
 * test-virtio-blk-vhost.c: a block device whose node another process serves, or another node
 *
 * The other process is a thread (tests/vhost-user/back_end.c), which the device cannot tell.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#include "qapi-types.h"
#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "tests/vhost-user/back_end.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/config/options.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtio_blk.h"

#define DISK_SIZE (1u << 20)
#define SECTOR	  512u
#define DEPTH	  32u
#define BIT(n)	  (1ULL << (n))
#define FEATURES                                                                              \
	(BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_CONFIG_WCE) |      \
	 BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_DISCARD) | \
	 BIT(VIRTIO_BLK_F_WRITE_ZEROES))
#define PROTOCOL                                                                \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	BlockNodes *nodes;
	char *directory, *socket, *image;
	uint8_t *disk; /* the back end's */
	BackEnd *back_end;
	Device *device;
	VirtioDriver driver;
	QmpEventSink sink;
	gint n_events;	      /* BLOCK_IO_ERROR; atomic */
	uint64_t data[DEPTH]; /* guest-physical */
} Fixture;

static void count_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	if (strcmp(name, "BLOCK_IO_ERROR") == 0)
		g_atomic_int_inc(&fixture->n_events);
	json_object_put(data);
}

static void make_back_end(Fixture *fixture)
{
	fixture->back_end =
		back_end_new(fixture->socket, fixture->disk, DISK_SIZE, FEATURES, PROTOCOL);
}

static BlockNode *add_node(Fixture *fixture, const char *text)
{
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed = options_parse(text, "driver", &error);

	g_assert_no_error(error);
	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, &error);
	json_object_put(parsed);
	g_assert_no_error(error);
	block_nodes_add(fixture->nodes, options, &error);
	g_assert_no_error(error);
	return block_nodes_find(fixture->nodes, options->node_name);
}

static BlockNode *add_file(Fixture *fixture, const char *name, const char *more)
{
	g_autofree char *text = g_strdup_printf(
		"driver=file,node-name=%s,locking=off,filename=%s%s", name, fixture->image, more);

	return add_node(fixture, text);
}

static void set_up(Fixture *fixture, gconstpointer more)
{
	g_autofree char *options = g_strdup_printf("drive=d0%s", more ? (const char *)more : "");
	g_autofree char *content = g_malloc0(DISK_SIZE);
	g_autofree char *text = NULL;

	fixture->fake = fake_machine_new_shared(16 << 20);
	fixture->loop = io_loop_new("device", NULL, NULL, NULL);
	fake_machine_set_io_loop(fixture->fake, "", fixture->loop);
	fixture->sink = (QmpEventSink){ .emit = count_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->directory = g_dir_make_tmp("blk-vhost-XXXXXX", NULL);
	fixture->socket = g_build_filename(fixture->directory, "socket", NULL);
	fixture->image = g_build_filename(fixture->directory, "image", NULL);
	g_assert_true(g_file_set_contents(fixture->image, content, DISK_SIZE, NULL));
	fixture->disk = g_malloc0(DISK_SIZE);
	make_back_end(fixture);
	fixture->nodes = block_nodes_new();
	block_nodes_set_memory(fixture->nodes, fixture->fake->services.memory,
			       fixture->fake->services.main_context);
	text = g_strdup_printf("driver=virtio-blk-vhost-user,node-name=v,discard=unmap,path=%s",
			       fixture->socket);
	fake_machine_set_block_node(fixture->fake, "d0", add_node(fixture, text));
	fixture->device = fake_machine_add(fixture->fake, &virtio_blk_type.pci.device, options);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	block_nodes_free(fixture->nodes);
	if (fixture->back_end)
		back_end_free(fixture->back_end);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	g_unlink(fixture->image);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->socket);
	g_free(fixture->image);
	g_free(fixture->disk);
}

/* Offer request @i, for one sector, or, of a discard, for the range of it. */
static void offer(Fixture *fixture, unsigned i, uint32_t type, uint64_t sector, uint8_t fill)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[0];
	VirtioBlkHeader header = { .type = type, .sector = sector };
	VirtioBlkRange range = { .sector = sector, .n_sectors = 1 };
	bool is_range = type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint64_t at = virtio_driver_alloc(driver, sizeof(header));
	uint64_t data = virtio_driver_alloc(driver, SECTOR + 1);

	fixture->data[i] = data;
	memcpy(virtio_driver_ram(driver, at), &header, sizeof(header));
	memset(virtio_driver_ram(driver, data), fill, SECTOR);
	if (is_range)
		memcpy(virtio_driver_ram(driver, data), &range, sizeof(range));
	virtio_driver_ram(driver, data + SECTOR)[0] = 0xff;
	virtio_ring_describe(ring, 3 * i, at, sizeof(header), RING_NEXT, 3 * i + 1);
	virtio_ring_describe(ring, 3 * i + 1, data, is_range ? sizeof(range) : SECTOR,
			     RING_NEXT | (type == VIRTIO_BLK_T_IN ? RING_WRITE : 0), 3 * i + 2);
	virtio_ring_describe(ring, 3 * i + 2, data + SECTOR, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, 0, 3 * i);
}

static uint8_t status_of(Fixture *fixture, unsigned i)
{
	return virtio_driver_ram(&fixture->driver, fixture->data[i] + SECTOR)[0];
}

static uint8_t run(Fixture *fixture, uint32_t type, uint64_t sector, uint8_t fill)
{
	offer(fixture, 0, type, sector, fill);
	virtio_driver_wait(&fixture->driver, 0, NULL);
	return status_of(fixture, 0);
}

/* Write @fill to @sector and read it back. */
static void check_io(Fixture *fixture, uint64_t sector, uint8_t fill)
{
	g_assert_cmpuint(run(fixture, VIRTIO_BLK_T_OUT, sector, fill), ==, VIRTIO_BLK_S_OK);
	g_assert_cmpuint(run(fixture, VIRTIO_BLK_T_IN, sector, 0), ==, VIRTIO_BLK_S_OK);
	g_assert_cmpuint(virtio_driver_ram(&fixture->driver, fixture->data[0])[SECTOR - 1], ==,
			 fill);
}

/* @n writes of the sectors from 100 on that are with the back end, which answers none. */
static void begin_writes(Fixture *fixture, unsigned n)
{
	back_end_hold(fixture->back_end, true);
	for (unsigned i = 0; i < n; i++)
		offer(fixture, i, VIRTIO_BLK_T_OUT, 100 + i, (uint8_t)(i + 1));
	virtio_driver_settle(fixture->loop);
}

static void end_writes(Fixture *fixture, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		virtio_driver_wait(&fixture->driver, 0, NULL);
	for (unsigned i = 0; i < n; i++)
		g_assert_cmpuint(status_of(fixture, i), ==, VIRTIO_BLK_S_OK);
}

static void kill_back_end(Fixture *fixture)
{
	g_clear_pointer(&fixture->back_end, back_end_free);
}

static void test_io(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 0, 4), ==, DISK_SIZE / SECTOR);
	check_io(fixture, 3, 0x33);
	g_assert_cmpuint(fixture->disk[3 * SECTOR], ==, 0x33);
	g_assert_cmpuint(run(fixture, VIRTIO_BLK_T_DISCARD, 3, 0), ==, VIRTIO_BLK_S_OK);
	g_assert_cmpuint(fixture->disk[3 * SECTOR], ==, 0xff);
	g_assert_cmpuint(run(fixture, VIRTIO_BLK_T_WRITE_ZEROES, 3, 0), ==, VIRTIO_BLK_S_OK);
	g_assert_cmpuint(fixture->disk[3 * SECTOR], ==, 0);
}

/* A driver that resets its device does not wait for a back end that is not there. */
static void test_reset_dead(Fixture *fixture, gconstpointer data)
{
	(void)data;
	begin_writes(fixture, 5);
	kill_back_end(fixture);
	virtio_driver_set_status(&fixture->driver, 0);
	g_assert_cmpuint(virtio_driver_status(&fixture->driver), ==, 0);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	make_back_end(fixture);
	check_io(fixture, 1, 0x11);
	/* What was not answered before the reset is forgotten. */
	g_assert_cmpuint(fixture->disk[100 * SECTOR], ==, 0);
	g_assert_cmpint(g_atomic_int_get(&fixture->n_events), ==, 0);
	/* The same for the whole machine. */
	begin_writes(fixture, 5);
	kill_back_end(fixture);
	virtio_device_reset(fixture->device);
}

/* A guest that is stopped meanwhile sees nothing of it. */
static void test_stopped_dead(Fixture *fixture, gconstpointer data)
{
	(void)data;
	begin_writes(fixture, DEPTH);
	kill_back_end(fixture);
	virtio_device_pause(fixture->device);
	for (unsigned i = 0; i < DEPTH; i++)
		g_assert_cmpuint(status_of(fixture, i), ==, 0xff);
	virtio_device_resume(fixture->device);
	virtio_device_pause(fixture->device);
	make_back_end(fixture);
	fake_machine_iterate(fixture->fake);
	virtio_device_resume(fixture->device);
	end_writes(fixture, DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		g_assert_cmpuint(fixture->disk[(100 + i) * SECTOR], ==, i + 1);
	g_assert_cmpint(g_atomic_int_get(&fixture->n_events), ==, 0);
}

static void test_removed_dead(Fixture *fixture, gconstpointer data)
{
	(void)data;
	begin_writes(fixture, 5);
	kill_back_end(fixture);
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
}

static bool had_event(gpointer data)
{
	return g_atomic_int_get(&((Fixture *)data)->n_events) > 0;
}

/* What a liar had is an error, with which is done as the device has it. */
static void test_liar(Fixture *fixture, gconstpointer data)
{
	FakeRequest request;

	(void)data;
	back_end_set_ring_lie(fixture->back_end, BACK_END_RING_OTHER);
	offer(fixture, 0, VIRTIO_BLK_T_OUT, 9, 0x99);
	g_assert_true(fake_machine_run_until(fixture->fake, had_event, fixture, 30000));
	virtio_driver_settle(fixture->loop);
	g_assert_cmpint(g_atomic_int_get(&fixture->n_events), ==, 1);
	g_assert_true(fake_machine_take_request(fixture->fake, &request));
	g_assert_cmpint(request.request, ==, RUN_REQUEST_IO_ERROR);
	g_assert_cmpint(virtio_blk_io_status(fixture->device), ==,
			QAPI_BLOCK_DEVICE_IO_STATUS_FAILED);
	virtio_device_pause(fixture->device);
	kill_back_end(fixture);
	memset(fixture->disk, 0, DISK_SIZE);
	make_back_end(fixture);
	/* While it is not there requests go on to fail, each time it continues. */
	while (fixture->disk[9 * SECTOR] != 0x99) {
		virtio_device_resume(fixture->device);
		for (unsigned i = 0; i < 10; i++) {
			fake_machine_iterate(fixture->fake);
			g_usleep(1000);
		}
		virtio_device_pause(fixture->device);
	}
	virtio_device_resume(fixture->device);
	virtio_driver_wait(&fixture->driver, 0, NULL);
	g_assert_cmpuint(status_of(fixture, 0), ==, VIRTIO_BLK_S_OK);
}

static uint8_t image_byte(Fixture *fixture, uint64_t sector)
{
	g_autofree char *content = NULL;
	gsize size;

	g_assert_true(g_file_get_contents(fixture->image, &content, &size, NULL));
	return (uint8_t)content[sector * SECTOR];
}

/* Requests that a dead back end had go to the node that takes its place. */
static void test_replaced(Fixture *fixture, gconstpointer data)
{
	BlockNode *vhost = virtio_blk_node(fixture->device);
	BlockNode *file = add_file(fixture, "f", "");
	g_autoptr(GError) error = NULL;

	(void)data;
	check_io(fixture, 1, 0x11);
	begin_writes(fixture, DEPTH);
	kill_back_end(fixture);
	g_assert_true(virtio_blk_replace_node(fixture->device, file, &error));
	g_assert_no_error(error);
	g_assert_true(virtio_blk_node(fixture->device) == file);
	end_writes(fixture, DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		g_assert_cmpuint(image_byte(fixture, 100 + i), ==, i + 1);
	/* And what it had answered, and may have lost. */
	g_assert_cmpuint(image_byte(fixture, 1), ==, 0x11);
	/* The driver was promised discards, which this node ignores. */
	g_assert_cmpuint(run(fixture, VIRTIO_BLK_T_DISCARD, 1, 0), ==, VIRTIO_BLK_S_UNSUPP);
	g_assert_cmpuint(run(fixture, VIRTIO_BLK_T_WRITE_ZEROES, 1, 0), ==, VIRTIO_BLK_S_OK);
	/* And back, whole. */
	g_assert_false(virtio_blk_replace_node(fixture->device, vhost, &error));
	g_assert_nonnull(strstr(error->message, "there is no back end at"));
	check_io(fixture, 2, 0x22);
	g_assert_cmpuint(image_byte(fixture, 2), ==, 0x22);
	make_back_end(fixture);
	while (!virtio_blk_replace_node(fixture->device, vhost, NULL))
		fake_machine_iterate(fixture->fake);
	check_io(fixture, 2, 0x23);
	g_assert_cmpuint(fixture->disk[2 * SECTOR], ==, 0x23);
	g_assert_cmpuint(image_byte(fixture, 2), ==, 0x22);
	g_assert_cmpuint(run(fixture, VIRTIO_BLK_T_DISCARD, 1, 0), ==, VIRTIO_BLK_S_OK);
	g_assert_true(block_nodes_remove(fixture->nodes, "f", NULL));
}

/* Again and again, while requests come and go. */
static void test_replaced_under_load(Fixture *fixture, gconstpointer data)
{
	BlockNode *nodes[] = { add_file(fixture, "f", ",discard=unmap"),
			       virtio_blk_node(fixture->device) };

	(void)data;
	for (unsigned turn = 0; turn < 20; turn++) {
		for (unsigned i = 0; i < DEPTH; i++)
			offer(fixture, i, VIRTIO_BLK_T_OUT, 200 + i, (uint8_t)(turn + i));
		g_assert_true(virtio_blk_replace_node(fixture->device, nodes[turn % 2], NULL));
		end_writes(fixture, DEPTH);
		for (unsigned i = 0; i < DEPTH; i++)
			offer(fixture, i, VIRTIO_BLK_T_OUT, 300 + i, (uint8_t)(turn + i));
		end_writes(fixture, DEPTH);
		for (unsigned i = 0; i < DEPTH; i++)
			g_assert_cmpuint(turn % 2 ? fixture->disk[(300 + i) * SECTOR]
						  : image_byte(fixture, 300 + i),
					 ==, (uint8_t)(turn + i));
	}
}

static void test_replacement_refused(Fixture *fixture, gconstpointer data)
{
	BlockNode *vhost = virtio_blk_node(fixture->device);
	g_autoptr(GError) error = NULL;

	(void)data;
	g_assert_false(virtio_blk_replace_node(fixture->device, vhost, &error));
	g_assert_nonnull(strstr(error->message, "node 'v' is in use by"));
	g_clear_error(&error);
	g_assert_false(virtio_blk_replace_node(fixture->device,
					       add_file(fixture, "r", ",read-only=on"), &error));
	g_assert_cmpstr(error->message, ==, "node 'r' is read-only, and the disk is not");
	g_clear_error(&error);
	g_assert_cmpint(truncate(fixture->image, DISK_SIZE / 2), ==, 0);
	g_assert_false(
		virtio_blk_replace_node(fixture->device, add_file(fixture, "s", ""), &error));
	g_assert_cmpstr(error->message, ==,
			"node 's' has 524288 bytes, fewer than the disk's 1048576");
	check_io(fixture, 1, 0x12);
	/* A larger one is told. */
	g_assert_cmpint(truncate(fixture->image, 2 * DISK_SIZE), ==, 0);
	g_assert_true(virtio_blk_replace_node(fixture->device, add_file(fixture, "l", ""), NULL));
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 0, 4), ==,
			 2 * DISK_SIZE / SECTOR);
	check_io(fixture, 2 * DISK_SIZE / SECTOR - 1, 0x13);
}

/* Limits and histograms are the drive's, whatever node it has. */
static void test_limits(Fixture *fixture, gconstpointer data)
{
	static const uint64_t boundaries[] = { 10, 1000000 };
	BlockNode *vhost = virtio_blk_node(fixture->device);
	BlockNode *file = add_file(fixture, "f", "");
	g_autoptr(BlockHistogram) histogram = NULL;
	ThrottleConfig config;
	int64_t start;

	(void)data;
	throttle_config_init(&config);
	config.limits[THROTTLE_IOPS_TOTAL].average = 100;
	g_assert_true(block_node_set_throttle(vhost, "slow", &config, NULL));
	block_node_set_histogram(vhost, BLOCK_HISTOGRAM_WRITE, boundaries, 2);
	start = g_get_monotonic_time();
	for (unsigned i = 0; i < 40; i++)
		run(fixture, VIRTIO_BLK_T_OUT, i, 1);
	/* What it may do at once is a tenth of a second's. */
	g_assert_cmpint(g_get_monotonic_time() - start, >, 200000);
	g_assert_true(virtio_blk_replace_node(fixture->device, file, NULL));
	g_assert_null(block_node_get_throttle(vhost, &config));
	g_assert_cmpstr(block_node_get_throttle(file, &config), ==, "slow");
	g_assert_cmpuint(config.limits[THROTTLE_IOPS_TOTAL].average, ==, 100);
	check_io(fixture, 1, 1);
	histogram = block_node_get_histogram(file, BLOCK_HISTOGRAM_WRITE);
	g_assert_cmpuint(histogram->n_boundaries, ==, 2);
	g_assert_cmpuint(histogram->bins[0] + histogram->bins[1] + histogram->bins[2], ==, 1);
}

#define ADD(path, more, func) \
	g_test_add("/virtio-blk-vhost/" path, Fixture, more, set_up, func, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	/* Back ends that are cut off are warned of. */
	g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
	ADD("io", NULL, test_io);
	ADD("reset-dead", NULL, test_reset_dead);
	ADD("stopped-dead", NULL, test_stopped_dead);
	ADD("removed-dead", NULL, test_removed_dead);
	ADD("liar", ",werror=stop", test_liar);
	ADD("replaced", NULL, test_replaced);
	ADD("replaced-under-load", NULL, test_replaced_under_load);
	ADD("replacement-refused", NULL, test_replacement_refused);
	ADD("limits", NULL, test_limits);
	return g_test_run();
}
