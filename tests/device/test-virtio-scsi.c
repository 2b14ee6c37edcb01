/*
 * test-virtio-scsi.c: the SCSI adapter, disks and CD drives, as a guest drives them, or would not
 *
 * Images are real files below real block nodes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "qapi-types.h"
#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/block/block.h"
#include "vmm/config/options.h"
#include "vmm/scsi/scsi.h"
#include "vmm/scsi/scsi_layout.h"
#include "vmm/virtio/virtio_scsi.h"

#define DISK_SIZE   (1u << 20)
#define CONTROL	    0
#define EVENTS	    1
#define REQUESTS    2
#define HEADER_SIZE 51u
#define RESPONSE    108u
#define DATA_MAX    8192u
#define GOOD	    0x00
#define CHECK	    0x02

static const BusOps pci_ops = {};

static const DeviceType *const types[] = {
	&virtio_scsi_type.pci.device,
	&scsi_hd_type,
	&scsi_cd_type,
	NULL,
};

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	DeviceTree *tree;
	Bus bus;
	BlockNodes *nodes;
	char *directory;
	VirtioDriver driver;
	QmpEventSink sink;
	GMutex lock;
	GString *events;

	/* Of the last command. */
	uint64_t header, response, data;
	uint8_t code, key, asc, ascq;
	uint32_t residual;
	uint32_t length; /* as the used ring says */
} Fixture;

static void record_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	g_mutex_lock(&fixture->lock);
	g_string_append_printf(fixture->events, "%s %s\n", name, json_object_to_json_string(data));
	g_mutex_unlock(&fixture->lock);
	json_object_put(data);
}

static bool had_event(Fixture *fixture, const char *text)
{
	bool had;

	g_mutex_lock(&fixture->lock);
	had = strstr(fixture->events->str, text) != NULL;
	g_string_truncate(fixture->events, 0);
	g_mutex_unlock(&fixture->lock);
	return had;
}

/* A node @name over a file of @size bytes, block N of 512 of which is full of N. */
static BlockNode *add_node(Fixture *fixture, const char *name, unsigned size, const char *more)
{
	g_autofree char *path = g_build_filename(fixture->directory, name, NULL);
	g_autofree char *text = g_strdup_printf("file,node-name=%s,filename=%s%s", name, path, more);
	g_autofree uint8_t *content = g_malloc(size);
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autoptr(GError) error = NULL;
	json_object *parsed = options_parse(text, "driver", &error);
	BlockNode *node;

	g_assert_no_error(error);
	for (unsigned i = 0; i < size; i++)
		content[i] = (uint8_t)(i / 512);
	g_assert_true(g_file_set_contents(path, (const char *)content, size, NULL));
	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, &error);
	g_assert_no_error(error);
	json_object_put(parsed);
	block_nodes_add(fixture->nodes, options, &error);
	g_assert_no_error(error);
	node = block_nodes_find(fixture->nodes, name);
	fake_machine_set_block_node(fixture->fake, name, node);
	return node;
}

static Device *try_add(Fixture *fixture, const char *options, GError **error)
{
	json_object *object = options_parse(options, "driver", error);
	Device *device;

	g_assert_nonnull(object);
	device = device_tree_add(fixture->tree, object, error);
	json_object_put(object);
	return device;
}

static Device *add(Fixture *fixture, const char *options)
{
	g_autoptr(GError) error = NULL;
	Device *device = try_add(fixture, options, &error);

	g_assert_no_error(error);
	return device;
}

static Device *find(Fixture *fixture, const char *id)
{
	return device_tree_find(fixture->tree, id);
}

static void start(Fixture *fixture)
{
	VirtioDriver *driver = &fixture->driver;

	virtio_driver_start(driver, UINT64_MAX);
	fixture->header = virtio_driver_alloc(driver, HEADER_SIZE);
	fixture->response = virtio_driver_alloc(driver, RESPONSE);
	fixture->data = virtio_driver_alloc(driver, DATA_MAX);
}

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->events = g_string_new(NULL);
	fixture->sink = (QmpEventSink){ .emit = record_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->directory = g_dir_make_tmp("vireo-scsi-XXXXXX", NULL);
	fixture->nodes = block_nodes_new();
	add_node(fixture, "disk", DISK_SIZE, ",discard=unmap");
	add_node(fixture, "cd", DISK_SIZE, ",read-only=on");
	add_node(fixture, "other", DISK_SIZE / 2, ",read-only=on");
	fixture->tree = device_tree_new(types, &fixture->fake->services);
	bus_init(&fixture->bus, &pci_ops, PCI_BUS_KIND, "pcie.0", NULL);
	device_tree_add_bus(fixture->tree, &fixture->bus);
	virtio_driver_probe(&fixture->driver, fixture->fake,
			    add(fixture, "virtio-scsi-pci,id=hba,num_queues=1"));
	add(fixture, "scsi-hd,id=hd,drive=disk,scsi-id=3,serial=S123");
	add(fixture, "scsi-cd,id=cd,drive=cd,scsi-id=4,lun=2");
	start(fixture);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const char *const names[] = { "disk", "cd", "other" };

	while (find(fixture, "hba"))
		device_tree_remove(fixture->tree, find(fixture, "hba"));
	g_assert_null(find(fixture, "hd"));
	device_tree_remove_bus(fixture->tree, &fixture->bus);
	bus_clear(&fixture->bus);
	device_tree_free(fixture->tree);
	block_nodes_free(fixture->nodes);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename(fixture->directory, names[i], NULL);

		g_unlink(path);
	}
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_string_free(fixture->events, TRUE);
}

/* Offer @cdb with @size bytes of data, for the unit if @out. */
static void submit(Fixture *fixture, unsigned target, unsigned lun, const uint8_t *cdb, size_t cdb_size,
		   uint32_t size, bool out)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[REQUESTS];
	uint8_t *header = virtio_driver_ram(driver, fixture->header);
	uint8_t *response = virtio_driver_ram(driver, fixture->response);

	memset(header, 0, HEADER_SIZE);
	memset(response, 0xff, RESPONSE);
	header[0] = 1;
	header[1] = (uint8_t)target;
	header[2] = 0x40;
	header[3] = (uint8_t)lun;
	memcpy(header + 19, cdb, cdb_size);
	virtio_ring_describe(ring, 0, fixture->header, HEADER_SIZE, RING_NEXT, out && size ? 2 : 1);
	if (size && out)
		virtio_ring_describe(ring, 2, fixture->data, size, RING_NEXT, 1);
	virtio_ring_describe(ring, 1, fixture->response, RESPONSE,
			     RING_WRITE | (size && !out ? RING_NEXT : 0), 2);
	if (size && !out)
		virtio_ring_describe(ring, 2, fixture->data, size, RING_WRITE, 0);
	virtio_driver_offer(driver, REQUESTS, 0);
}

/* Wait for what was offered. Returns the status. */
static uint8_t complete(Fixture *fixture)
{
	const uint8_t *response = virtio_driver_ram(&fixture->driver, fixture->response);

	virtio_driver_wait(&fixture->driver, REQUESTS, &fixture->length);
	memcpy(&fixture->residual, response + 4, 4);
	fixture->code = response[11];
	fixture->key = response[12 + 2];
	fixture->asc = response[12 + 12];
	fixture->ascq = response[12 + 13];
	return response[10];
}

static uint8_t run(Fixture *fixture, unsigned target, unsigned lun, const uint8_t *cdb, size_t cdb_size,
		   uint32_t size, bool out)
{
	submit(fixture, target, lun, cdb, cdb_size, size, out);
	return complete(fixture);
}

#define RUN(fixture, target, lun, size, out, ...)                                                  \
	run(fixture, target, lun, (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }), \
	    size, out)

static uint8_t *data_of(Fixture *fixture)
{
	return virtio_driver_ram(&fixture->driver, fixture->data);
}

/* Every unit starts with a unit attention condition, of which one is told once. */
static void clear_attention(Fixture *fixture)
{
	g_assert_cmphex(RUN(fixture, 3, 0, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(fixture->key, ==, SCSI_UNIT_ATTENTION);
	g_assert_cmphex(fixture->asc, ==, 0x29);
	g_assert_cmphex(RUN(fixture, 3, 0, 0, false, SCSI_TEST_UNIT_READY), ==, GOOD);
	g_assert_cmphex(RUN(fixture, 4, 2, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(RUN(fixture, 4, 2, 0, false, SCSI_TEST_UNIT_READY), ==, GOOD);
}

static void reset_all(Fixture *fixture)
{
	device_tree_reset(fixture->tree);
	virtio_driver_probe(&fixture->driver, fixture->fake, find(fixture, "hba"));
	start(fixture);
	clear_attention(fixture);
}

static void test_inquiry(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	const uint8_t *bytes = data_of(fixture);

	reset_all(fixture);
	g_assert_cmphex(RUN(fixture, 3, 0, 36, false, SCSI_INQUIRY, 0, 0, 0, 36), ==, GOOD);
	g_assert_cmpuint(fixture->length, ==, RESPONSE + 36);
	g_assert_cmphex(bytes[0], ==, 0);
	g_assert_cmpmem(bytes + 8, 8, "VIREO   ", 8);
	g_assert_cmphex(RUN(fixture, 4, 2, 36, false, SCSI_INQUIRY, 0, 0, 0, 36), ==, GOOD);
	g_assert_cmphex(bytes[0], ==, 5);
	g_assert_cmphex(bytes[1], ==, 0x80);
	g_assert_cmphex(RUN(fixture, 3, 0, 64, false, SCSI_INQUIRY, 1, 0x80, 0, 64), ==, GOOD);
	g_assert_cmpmem(bytes + 4, bytes[3], "S123", 4);
	g_assert_cmpuint(fixture->residual, ==, 64 - 8);
	g_assert_cmphex(RUN(fixture, 3, 0, 64, false, SCSI_INQUIRY, 1, 0xb0, 0, 64), ==, GOOD);
	g_assert_cmpuint(scsi_get_be32(bytes + 24), ==, 1);
	g_assert_cmphex(RUN(fixture, 4, 2, 64, false, SCSI_INQUIRY, 1, 0xb0, 0, 64), ==, CHECK);
	g_assert_cmphex(fixture->key, ==, SCSI_ILLEGAL_REQUEST);
	/* A LUN that is not there of a target that is; a target that is not. */
	g_assert_cmphex(RUN(fixture, 4, 0, 36, false, SCSI_INQUIRY, 0, 0, 0, 36), ==, GOOD);
	g_assert_cmphex(bytes[0], ==, 0x7f);
	g_assert_cmphex(RUN(fixture, 4, 0, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(fixture->asc, ==, 0x25);
	g_assert_cmphex(RUN(fixture, 4, 0, 64, false, SCSI_REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 0, 64), ==,
			GOOD);
	g_assert_cmpuint(scsi_get_be32(bytes), ==, 8);
	g_assert_cmphex(bytes[8 + 1], ==, 2);
	RUN(fixture, 9, 0, 36, false, SCSI_INQUIRY, 0, 0, 0, 36);
	g_assert_cmpuint(fixture->code, ==, 3);
}

static void test_read_and_write(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint8_t *bytes = data_of(fixture);

	reset_all(fixture);
	g_assert_cmphex(RUN(fixture, 3, 0, 8, false, SCSI_READ_CAPACITY_10), ==, GOOD);
	g_assert_cmpuint(scsi_get_be32(bytes), ==, DISK_SIZE / 512 - 1);
	g_assert_cmphex(RUN(fixture, 3, 0, 1024, false, SCSI_READ_10, 0, 0, 0, 0, 7, 0, 0, 2), ==, GOOD);
	g_assert_cmphex(bytes[0], ==, 7);
	g_assert_cmphex(bytes[1023], ==, 8);
	g_assert_cmpuint(fixture->length, ==, RESPONSE + 1024);
	memset(bytes, 0xee, 512);
	g_assert_cmphex(RUN(fixture, 3, 0, 512, true, SCSI_WRITE_16, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1),
			==, GOOD);
	g_assert_cmphex(RUN(fixture, 3, 0, 0, false, SCSI_SYNCHRONIZE_CACHE_10), ==, GOOD);
	memset(bytes, 0, 512);
	g_assert_cmphex(RUN(fixture, 3, 0, 512, false, SCSI_READ_6, 0, 0, 9, 1), ==, GOOD);
	g_assert_cmphex(bytes[511], ==, 0xee);
	/* Unmapped blocks are zero in a file. */
	memset(bytes, 0, 24);
	bytes[3] = 16;
	bytes[15] = 8;
	bytes[19] = 8;
	g_assert_cmphex(RUN(fixture, 3, 0, 24, true, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 24), ==, GOOD);
	g_assert_cmphex(RUN(fixture, 3, 0, 512, false, SCSI_READ_6, 0, 0, 9, 1), ==, GOOD);
	g_assert_cmphex(bytes[0], ==, 0);
	/* Out of range, and a buffer that is too small. */
	g_assert_cmphex(RUN(fixture, 3, 0, 1024, false, SCSI_READ_10, 0, 0, 0, 7, 255, 0, 0, 2), ==, CHECK);
	g_assert_cmphex(fixture->asc, ==, 0x21);
	RUN(fixture, 3, 0, 512, false, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 2);
	g_assert_cmpuint(fixture->code, ==, 1);
	g_assert_cmphex(RUN(fixture, 4, 2, 2048, false, SCSI_READ_12, 0, 0, 0, 0, 1, 0, 0, 0, 1), ==, GOOD);
	g_assert_cmphex(bytes[0], ==, 4);
	g_assert_cmphex(RUN(fixture, 4, 2, 2048, true, SCSI_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1), ==, CHECK);
	g_assert_cmphex(fixture->key, ==, SCSI_DATA_PROTECT);
}

/* The write cache, as the driver asks for it. */
static void test_mode_pages(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint8_t *bytes = data_of(fixture);
	ScsiDiskInfo info;

	reset_all(fixture);
	g_assert_cmphex(RUN(fixture, 3, 0, 64, false, SCSI_MODE_SENSE_6, 8, 8, 0, 64), ==, GOOD);
	g_assert_cmphex(bytes[4], ==, 8);
	g_assert_cmphex(bytes[6], ==, 4);
	bytes[0] = 0;
	bytes[2] = 0;
	bytes[6] = 0;
	g_assert_cmphex(RUN(fixture, 3, 0, 24, true, SCSI_MODE_SELECT_6, 0x10, 0, 0, 24), ==, GOOD);
	scsi_disk_get_info(find(fixture, "hd"), &info);
	g_assert_false(info.writeback);
	bytes[8] = 0x55; /* what cannot be changed */
	g_assert_cmphex(RUN(fixture, 3, 0, 24, true, SCSI_MODE_SELECT_6, 0x10, 0, 0, 24), ==, CHECK);
	g_assert_cmphex(RUN(fixture, 3, 0, 2, true, SCSI_MODE_SELECT_6, 0x10, 0, 0, 2), ==, CHECK);
	g_assert_cmphex(fixture->asc, ==, 0x1a);
}

/* A medium is changed under a guest that looks, and under one that has locked it. */
static void test_media(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *cd = find(fixture, "cd");
	uint8_t *bytes = data_of(fixture);
	g_autoptr(GError) error = NULL;
	ScsiDiskInfo info;

	reset_all(fixture);
	g_assert_cmphex(RUN(fixture, 4, 2, 0, false, SCSI_PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, 1), ==, GOOD);
	g_assert_false(scsi_disk_open_tray(cd, false, &error));
	g_assert_nonnull(strstr(error->message, "is locked"));
	g_clear_error(&error);
	g_assert_cmphex(RUN(fixture, 4, 2, 8, false, SCSI_GET_EVENT_STATUS_NOTIFICATION, 1, 0, 0, 0x10, 0, 0, 0, 8),
			==, GOOD);
	g_assert_cmphex(bytes[4], ==, SCSI_MEDIA_EJECT_REQUEST);
	g_assert_false(scsi_disk_remove_medium(cd, NULL));
	g_assert_cmphex(RUN(fixture, 4, 2, 0, false, SCSI_PREVENT_ALLOW_MEDIUM_REMOVAL), ==, GOOD);
	/* The guest ejects it. */
	g_assert_cmphex(RUN(fixture, 4, 2, 0, false, SCSI_START_STOP_UNIT, 0, 0, 0, 2), ==, GOOD);
	g_assert_true(had_event(fixture, "\"id\": \"cd\", \"tray-open\": true"));
	g_assert_cmphex(RUN(fixture, 4, 2, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(fixture->asc << 8 | fixture->ascq, ==, 0x3a02);
	g_assert_true(scsi_disk_remove_medium(cd, NULL));
	g_assert_true(scsi_disk_insert_medium(cd, block_nodes_find(fixture->nodes, "other"), NULL));
	g_assert_false(scsi_disk_insert_medium(cd, block_nodes_find(fixture->nodes, "cd"), NULL));
	g_assert_true(scsi_disk_close_tray(cd, NULL));
	g_assert_true(had_event(fixture, "\"tray-open\": false"));
	g_assert_cmphex(RUN(fixture, 4, 2, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(fixture->key << 8 | fixture->asc, ==, 0x628);
	g_assert_cmphex(RUN(fixture, 4, 2, 8, false, SCSI_READ_CAPACITY_10), ==, GOOD);
	g_assert_cmpuint(scsi_get_be32(bytes), ==, DISK_SIZE / 2 / 2048 - 1);
	scsi_disk_get_info(cd, &info);
	g_assert_true(info.removable && !info.tray_open && !info.locked && info.node);
	g_assert_false(scsi_disk_open_tray(find(fixture, "hd"), true, &error));
	g_assert_nonnull(strstr(error->message, "not removable"));
}

/* Media are swapped by force while the guest reads: it gets all of the data, or is told why not. */
static void test_swap_under_reads(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const uint8_t read[10] = { SCSI_READ_10, 0, 0, 0, 0, 5, 0, 0, DATA_MAX / 2048 };
	static const char *const names[] = { "other", "cd" };
	Device *cd = find(fixture, "cd");
	unsigned n_read = 0;

	reset_all(fixture);
	for (unsigned i = 0; i < 300; i++) {
		uint8_t *bytes = data_of(fixture);

		memset(bytes, 0xff, DATA_MAX);
		submit(fixture, 4, 2, read, sizeof(read), DATA_MAX, false);
		if (i % 3 == 0) {
			BlockNode *node = block_nodes_find(fixture->nodes, names[i / 3 % 2]);

			g_assert_true(scsi_disk_open_tray(cd, true, NULL));
			g_assert_true(scsi_disk_remove_medium(cd, NULL));
			g_assert_true(scsi_disk_insert_medium(cd, node, NULL));
			g_assert_true(scsi_disk_close_tray(cd, NULL));
		}
		if (complete(fixture) == GOOD) {
			g_assert_cmpuint(bytes[0], ==, 5 * 4);
			g_assert_cmpuint(bytes[DATA_MAX - 1], ==, 5 * 4 + DATA_MAX / 512 - 1);
			n_read++;
		} else {
			uint16_t code = (uint16_t)(fixture->asc << 8 | fixture->ascq);

			g_assert_true((fixture->key == SCSI_NOT_READY && code >> 8 == 0x3a) ||
				      (fixture->key == SCSI_UNIT_ATTENTION && code == 0x2800));
		}
	}
	/* Of three, one is interrupted, and one may hear of it. */
	g_assert_cmpuint(n_read, >=, 100);
}

static void test_toc(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	const uint8_t *bytes = data_of(fixture);

	reset_all(fixture);
	g_assert_cmphex(RUN(fixture, 4, 2, 20, false, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 20), ==, GOOD);
	g_assert_cmphex(bytes[14], ==, 0xaa);
	g_assert_cmpuint(scsi_get_be32(bytes + 16), ==, DISK_SIZE / 2048);
	g_assert_cmphex(RUN(fixture, 4, 2, 40, false, SCSI_GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 0, 40), ==, GOOD);
	g_assert_cmpuint(scsi_get_be16(bytes + 6), ==, 8);
	g_assert_cmphex(RUN(fixture, 4, 2, 40, false, SCSI_READ_DISC_INFORMATION, 0, 0, 0, 0, 0, 0, 0, 40), ==, GOOD);
	g_assert_cmphex(RUN(fixture, 3, 0, 20, false, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 20), ==, CHECK);
}

/* Units come and go, and the guest is told. */
static void test_hotplug(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t event = virtio_driver_alloc(driver, 16);
	const uint8_t *bytes = virtio_driver_ram(driver, event);
	g_autoptr(GError) error = NULL;

	reset_all(fixture);
	event = virtio_driver_alloc(driver, 16);
	bytes = virtio_driver_ram(driver, event);
	device_tree_set_started(fixture->tree);
	virtio_ring_describe(&driver->rings[EVENTS], 0, event, 16, RING_WRITE, 0);
	virtio_driver_offer(driver, EVENTS, 0);
	virtio_driver_settle(fixture->loop);
	add(fixture, "scsi-cd,id=new,bus=hba.0,scsi-id=4,lun=7");
	virtio_driver_wait(driver, EVENTS, NULL);
	g_assert_cmphex(bytes[0], ==, 1);
	g_assert_cmphex(bytes[4 + 1], ==, 4);
	g_assert_cmphex(bytes[4 + 3], ==, 7);
	g_assert_cmphex(bytes[12], ==, 1);
	g_assert_cmphex(RUN(fixture, 4, 7, 36, false, SCSI_INQUIRY, 0, 0, 0, 36), ==, GOOD);
	/* Without a buffer the news is lost, and the next one says so. */
	device_tree_remove(fixture->tree, find(fixture, "new"));
	RUN(fixture, 4, 7, 0, false, SCSI_TEST_UNIT_READY);
	g_assert_cmphex(fixture->asc, ==, 0x25);
	virtio_driver_offer(driver, EVENTS, 0);
	virtio_driver_wait(driver, EVENTS, NULL);
	g_assert_cmphex(bytes[0], ==, 0);
	g_assert_cmphex(bytes[3], ==, 0x80);
	g_assert_null(try_add(fixture, "scsi-hd,drive=other,bus=hba.0,scsi-id=3", &error));
	g_assert_nonnull(strstr(error->message, "is taken"));
	g_clear_error(&error);
	g_assert_null(try_add(fixture, "scsi-hd,drive=other,bus=hba.0,scsi-id=256", &error));
	g_assert_nonnull(error);
	g_clear_error(&error);
	/* Nothing is taken and then ignored, or cut. */
	g_assert_null(try_add(fixture, "scsi-cd,bus=hba.0,channel=1", &error));
	g_assert_nonnull(strstr(error->message, "no channel 1"));
	g_clear_error(&error);
	g_assert_null(try_add(fixture, "scsi-cd,bus=hba.0,vendor=NINEBYTES", &error));
	g_assert_nonnull(strstr(error->message, "vendor=NINEBYTES is longer than 8 bytes"));
}

static void test_functions(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	const struct {
		uint8_t kind, target, lun, response;
	} cases[] = {
		{ 0, 3, 0, 0 }, { 5, 3, 0, 0 }, { 5, 3, 1, 12 }, { 5, 8, 0, 3 }, { 2, 3, 0, 11 }, { 4, 4, 0, 0 },
	};
	uint64_t at;
	uint8_t *bytes;

	reset_all(fixture);
	at = virtio_driver_alloc(driver, 32);
	bytes = virtio_driver_ram(driver, at);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		memset(bytes, 0, 32);
		bytes[4] = cases[i].kind;
		bytes[8] = 1;
		bytes[9] = cases[i].target;
		bytes[11] = cases[i].lun;
		bytes[24] = 0xff;
		virtio_ring_describe(&driver->rings[CONTROL], 0, at, 24, RING_NEXT, 1);
		virtio_ring_describe(&driver->rings[CONTROL], 1, at + 24, 1, RING_WRITE, 0);
		virtio_driver_offer(driver, CONTROL, 0);
		virtio_driver_wait(driver, CONTROL, NULL);
		g_assert_cmpuint(bytes[24], ==, cases[i].response);
	}
	/* The reset of a unit is told to the next command. */
	g_assert_cmphex(RUN(fixture, 3, 0, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(fixture->asc, ==, 0x29);
}

/* A response that is scattered byte by byte, a request without room, and sizes out of reason. */
static void test_hostile(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[REQUESTS];
	uint8_t *header;

	reset_all(fixture);
	header = virtio_driver_ram(driver, fixture->header);
	memset(header, 0, HEADER_SIZE);
	header[0] = 1;
	header[1] = 3;
	virtio_ring_describe(ring, 0, fixture->header, HEADER_SIZE, RING_NEXT, 1);
	for (unsigned i = 0; i < RESPONSE; i++)
		virtio_ring_describe(ring, i + 1, fixture->response + RESPONSE - 1 - i, 1,
				     RING_WRITE | (i + 1 < RESPONSE ? RING_NEXT : 0), (uint16_t)(i + 2));
	memset(virtio_driver_ram(driver, fixture->response), 0xff, RESPONSE);
	virtio_driver_offer(driver, REQUESTS, 0);
	virtio_driver_wait(driver, REQUESTS, NULL);
	g_assert_cmphex(virtio_driver_ram(driver, fixture->response)[RESPONSE - 1 - 11], ==, 0);
	virtio_ring_describe(ring, 0, fixture->header, HEADER_SIZE - 1, RING_NEXT, 1);
	virtio_ring_describe(ring, 1, fixture->response, RESPONSE, RING_WRITE, 0);
	virtio_driver_offer(driver, REQUESTS, 0);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	reset_all(fixture);
	virtio_driver_write_config(driver, 24, 4096, 4);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GByteArray) saved = g_byte_array_new(), again = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	Device *cd = find(fixture, "cd");
	size_t used;

	reset_all(fixture);
	RUN(fixture, 4, 2, 0, false, SCSI_START_STOP_UNIT, 0, 0, 0, 2);
	state_save(scsi_cd_type.state, cd, saved);
	g_assert_true(scsi_disk_close_tray(cd, NULL));
	g_assert_true(state_load(scsi_cd_type.state, cd, saved->data, saved->len, &used, &error));
	state_save(scsi_cd_type.state, cd, again);
	g_assert_cmpmem(saved->data, saved->len, again->data, again->len);
	/* A disk has no tray. */
	g_assert_false(state_load(scsi_hd_type.state, find(fixture, "hd"), saved->data, saved->len, &used,
				  &error));
}

/* A disk goes on with another node; a drive has its media for that. */
static void test_replaced(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	BlockNode *first = scsi_disk_node(find(fixture, "hd"));
	BlockNode *second = add_node(fixture, "second", 2 * DISK_SIZE, "");
	g_autofree char *path = g_build_filename(fixture->directory, "second", NULL);
	g_autoptr(GError) error = NULL;

	memset(data_of(fixture), 0x77, 512);
	g_assert_cmphex(RUN(fixture, 3, 0, 512, true, SCSI_WRITE_10, 0, 0, 0, 0, 7, 0, 0, 1, 0), ==,
			GOOD);
	g_assert_true(scsi_disk_replace_node(find(fixture, "hd"), second, &error));
	g_assert_no_error(error);
	g_assert_true(scsi_disk_node(find(fixture, "hd")) == second);
	/* It is larger, which is told. */
	g_assert_cmphex(RUN(fixture, 3, 0, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(fixture->asc, ==, 0x2a);
	g_assert_cmphex(RUN(fixture, 3, 0, 512, false, SCSI_READ_10, 0, 0, 0, 0, 7, 0, 0, 1, 0), ==,
			GOOD);
	g_assert_cmpuint(data_of(fixture)[0], ==, 7);
	g_assert_false(scsi_disk_replace_node(find(fixture, "hd"), first, &error));
	g_assert_cmpstr(error->message, ==,
			"node 'disk' has 1048576 bytes, fewer than the disk's 2097152");
	g_clear_error(&error);
	g_assert_false(scsi_disk_replace_node(find(fixture, "cd"), first, &error));
	g_assert_cmpstr(error->message, ==,
			"device 'cd' is a drive, whose medium can be changed");
	g_assert_true(block_nodes_remove(fixture->nodes, "disk", NULL));
	g_unlink(path);
}

/* Failing writes */

#define WRITABLE (DISK_SIZE / 2)

/* Writes to files fail (EFBIG) from WRITABLE on, or not. */
static void set_writable(bool all)
{
	struct rlimit limit;

	g_assert_no_errno(getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = all ? limit.rlim_max : WRITABLE;
	g_assert_no_errno(setrlimit(RLIMIT_FSIZE, &limit));
}

/* A disk "own" with such policies, at target 5. */
static void add_own(Fixture *fixture, const char *policies)
{
	g_autofree char *options =
		g_strdup_printf("scsi-hd,id=own,drive=own,bus=hba.0,scsi-id=5%s", policies);

	add_node(fixture, "own", DISK_SIZE, "");
	add(fixture, options);
	g_assert_cmphex(RUN(fixture, 5, 0, 0, false, SCSI_TEST_UNIT_READY), ==, GOOD);
}

static void remove_own(Fixture *fixture)
{
	g_autofree char *path = g_build_filename(fixture->directory, "own", NULL);

	if (find(fixture, "own"))
		device_tree_remove(fixture->tree, find(fixture, "own"));
	g_assert_true(block_nodes_remove(fixture->nodes, "own", NULL));
	g_unlink(path);
	set_writable(true);
}

static void test_write_cache(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	const uint8_t *bytes = data_of(fixture);
	BlockNodeInfo info;

	reset_all(fixture);
	add_own(fixture, ",write-cache=off");
	g_assert_cmphex(RUN(fixture, 5, 0, 64, false, SCSI_MODE_SENSE_6, 8, 8, 0, 64), ==, GOOD);
	g_assert_cmphex(bytes[6], ==, 0);
	block_node_get_info(block_nodes_find(fixture->nodes, "own"), &info);
	g_assert_false(info.write_cache);
	remove_own(fixture);
}

static const uint8_t write_far[] = { SCSI_WRITE_10, 0, 0, 0, WRITABLE / 512 >> 8, 3, 0, 0, 1, 0 };

/* Offer a write that the host fails at. */
static void write_beyond(Fixture *fixture)
{
	set_writable(false);
	memset(data_of(fixture), 0x5a, 512);
	submit(fixture, 5, 0, write_far, sizeof(write_far), 512, true);
}

/* What is in the file where that goes. */
static uint8_t far_byte(Fixture *fixture)
{
	g_autofree char *path = g_build_filename(fixture->directory, "own", NULL);
	g_autofree char *content = NULL;

	g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
	return (uint8_t)content[WRITABLE + 3 * 512];
}

static QapiBlockDeviceIoStatus io_status(Fixture *fixture)
{
	ScsiDiskInfo info;

	scsi_disk_get_info(find(fixture, "own"), &info);
	return info.io_status;
}

static void test_errors_reported(Fixture *fixture, gconstpointer policies)
{
	bool ignored = strstr(policies, "ignore") != NULL;

	reset_all(fixture);
	add_own(fixture, policies);
	write_beyond(fixture);
	if (ignored) {
		g_assert_cmphex(complete(fixture), ==, GOOD);
		g_assert_true(had_event(fixture, "\"action\": \"ignore\""));
	} else {
		g_assert_cmphex(complete(fixture), ==, CHECK);
		g_assert_cmphex(fixture->key, ==, SCSI_MEDIUM_ERROR);
		g_assert_true(had_event(fixture, "\"action\": \"report\""));
	}
	g_assert_cmphex(far_byte(fixture), ==, 3);
	g_assert_cmpuint(io_status(fixture), ==, QAPI_BLOCK_DEVICE_IO_STATUS_OK);
	remove_own(fixture);
}

/* The machine is asked to stop, and does. */
static void stop_for_error(Fixture *fixture)
{
	FakeRequest request;

	while (!fake_machine_take_request(fixture->fake, &request))
		g_usleep(1000);
	g_assert_cmpint(request.request, ==, RUN_REQUEST_IO_ERROR);
	virtio_device_pause(find(fixture, "hba"));
}

/* Has a write held, and the machine stop for it. */
static void hold_write(Fixture *fixture)
{
	reset_all(fixture);
	add_own(fixture, ",werror=stop");
	write_beyond(fixture);
	stop_for_error(fixture);
	g_assert_true(had_event(fixture, "\"action\": \"stop\""));
	g_assert_cmpuint(io_status(fixture), ==, QAPI_BLOCK_DEVICE_IO_STATUS_FAILED);
	g_assert_cmphex(far_byte(fixture), ==, 3);
}

/* The machine stops; when it goes on, so does the command, as often as it takes. */
static void test_errors_stop(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	hold_write(fixture);
	virtio_device_resume(find(fixture, "hba"));
	stop_for_error(fixture);
	set_writable(true);
	virtio_device_resume(find(fixture, "hba"));
	g_assert_cmphex(complete(fixture), ==, GOOD);
	g_assert_cmpuint(io_status(fixture), ==, QAPI_BLOCK_DEVICE_IO_STATUS_OK);
	g_assert_cmphex(far_byte(fixture), ==, 0x5a);
	remove_own(fixture);
}

/* A function that is to abort what is held is answered after it. */
static void test_errors_function(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t at;
	uint8_t *bytes;

	hold_write(fixture);
	at = virtio_driver_alloc(driver, 32);
	bytes = virtio_driver_ram(driver, at);
	bytes[4] = 5;
	bytes[8] = 1;
	bytes[9] = 5;
	bytes[24] = 0xff;
	virtio_ring_describe(&driver->rings[CONTROL], 0, at, 24, RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[CONTROL], 1, at + 24, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, CONTROL, 0);
	/* It fails once more, and the function is left behind with it. */
	virtio_device_resume(find(fixture, "hba"));
	stop_for_error(fixture);
	g_assert_cmphex(bytes[24], ==, 0xff);
	set_writable(true);
	virtio_device_resume(find(fixture, "hba"));
	g_assert_cmphex(complete(fixture), ==, GOOD);
	virtio_driver_wait(driver, CONTROL, NULL);
	g_assert_cmphex(bytes[24], ==, 0);
	g_assert_cmphex(far_byte(fixture), ==, 0x5a);
	remove_own(fixture);
}

/* The disk is taken away, or the adapter reset, with a command held. */
static void test_errors_unplugged(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	hold_write(fixture);
	device_tree_remove(fixture->tree, find(fixture, "own"));
	virtio_device_resume(find(fixture, "hba"));
	g_assert_cmphex(complete(fixture), ==, CHECK);
	g_assert_cmphex(fixture->key, ==, SCSI_NOT_READY);
	remove_own(fixture);
}

static void test_errors_reset(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	hold_write(fixture);
	device_tree_reset(fixture->tree);
	set_writable(true);
	virtio_device_resume(find(fixture, "hba"));
	reset_all(fixture);
	g_assert_cmphex(RUN(fixture, 5, 0, 0, false, SCSI_TEST_UNIT_READY), ==, CHECK);
	g_assert_cmphex(RUN(fixture, 5, 0, 0, false, SCSI_TEST_UNIT_READY), ==, GOOD);
	g_assert_cmphex(far_byte(fixture), ==, 3);
	remove_own(fixture);
}

/* Saved with a command held, and loaded: it is made again. */
static void test_errors_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	const DeviceType *type = &virtio_scsi_type.pci.device;
	Device *adapter;
	size_t used;

	hold_write(fixture);
	adapter = find(fixture, "hba");
	state_save(type->state, adapter, saved);
	type->reset(adapter);
	state_load(type->state, adapter, saved->data, saved->len, &used, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(used, ==, saved->len);
	set_writable(true);
	virtio_device_resume(adapter);
	g_assert_cmphex(complete(fixture), ==, GOOD);
	g_assert_cmphex(far_byte(fixture), ==, 0x5a);
	remove_own(fixture);
}

int main(int argc, char **argv)
{
	/* Of a file that would become too large, the call that fails is to tell. */
	signal(SIGXFSZ, SIG_IGN);
	g_test_init(&argc, &argv, NULL);
#define ADD(path, test) g_test_add("/virtio-scsi/" path, Fixture, NULL, set_up, test, tear_down)
	ADD("inquiry", test_inquiry);
	ADD("read-and-write", test_read_and_write);
	ADD("mode-pages", test_mode_pages);
	ADD("media", test_media);
	ADD("swap-under-reads", test_swap_under_reads);
	ADD("toc", test_toc);
	ADD("replaced", test_replaced);
	ADD("hotplug", test_hotplug);
	ADD("functions", test_functions);
	ADD("hostile", test_hostile);
	ADD("state", test_state);
	g_test_add("/virtio-scsi/errors/auto", Fixture, "", set_up, test_errors_reported, tear_down);
	g_test_add("/virtio-scsi/errors/report", Fixture, ",werror=report,rerror=stop", set_up,
		   test_errors_reported, tear_down);
	g_test_add("/virtio-scsi/errors/ignore", Fixture, ",werror=ignore", set_up,
		   test_errors_reported, tear_down);
	ADD("write-cache", test_write_cache);
	ADD("errors/stop", test_errors_stop);
	ADD("errors/function", test_errors_function);
	ADD("errors/unplugged", test_errors_unplugged);
	ADD("errors/reset", test_errors_reset);
	ADD("errors/state", test_errors_state);
	return g_test_run();
}
