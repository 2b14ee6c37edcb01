/*
 * test-vhost-user-device.c: a virtio device of any type that another process serves
 *
 * The other process is a thread (tests/vhost-user/back_end.c) with a disk, of which the device
 * knows nothing but its number.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#include "tests/device/virtio_driver.h"
#include "tests/vhost-user/back_end.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/chardev/chardev.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/vhost_user_device.h"
#include "vmm/virtio/vhost_user_fs.h"
#include "vmm/virtio/virtio_pci.h"

#define DISK_SIZE   (1u << 20)
#define SECTOR	    512u
#define PATIENCE_MS 30000
#define BIT(n)	    (1ULL << (n))
#define FEATURES    (BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ) | BIT(50))
#define PROTOCOL                                                                            \
	(BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
	 BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))
#define CONFIG BIT(VHOST_USER_PROTOCOL_F_CONFIG)
#define DISK   "chardev=c0,virtio-id=2,num_vqs=2,vq_size=128,config_size=60"

typedef struct Fixture {
	FakeMachine *fake;
	Chardevs *chardevs;
	char *directory, *path;
	uint8_t *disk;
	BackEnd *back_end;
	Device *device;
	VirtioDriver driver;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer protocol)
{
	g_autofree char *chardev = NULL;
	g_autoptr(ChardevConfig) config = NULL;
	g_autoptr(GError) error = NULL;

	fixture->fake = fake_machine_new_shared(16 << 20);
	fixture->directory = g_dir_make_tmp("vhost-user-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->directory, "socket", NULL);
	fixture->disk = g_malloc0(DISK_SIZE);
	fixture->back_end = back_end_new(fixture->path, fixture->disk, DISK_SIZE, FEATURES,
					 PROTOCOL | GPOINTER_TO_SIZE(protocol));
	fixture->chardevs = chardevs_new(fixture->fake->services.main_context);
	chardev = g_strdup_printf("socket,id=c0,path=%s,reconnect=1", fixture->path);
	config = chardev_config_parse(chardev, &error);
	g_assert_no_error(error);
	fake_machine_set_chardev(fixture->fake, "c0",
				 chardevs_add(fixture->chardevs, config, &error));
	g_assert_no_error(error);
}

static void set_up_started(Fixture *fixture, gconstpointer protocol)
{
	set_up(fixture, protocol);
	fixture->device = fake_machine_add(fixture->fake, &vhost_user_device_type.pci.device, DISK);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	fake_machine_iterate(fixture->fake);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	chardevs_free(fixture->chardevs);
	back_end_free(fixture->back_end);
	fake_machine_free(fixture->fake);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->path);
	g_free(fixture->disk);
}

/* Offer that @fill is written to @sector, at descriptors @head on; returns where the status is. */
static uint64_t offer_write(Fixture *fixture, unsigned queue, unsigned head, uint64_t sector,
			    uint8_t fill)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[queue];
	uint64_t header = virtio_driver_alloc(driver, 16);
	uint64_t data = virtio_driver_alloc(driver, SECTOR + 1);

	virtio_driver_ram(driver, header)[0] = 1;
	memcpy(virtio_driver_ram(driver, header + 8), &sector, sizeof(sector));
	memset(virtio_driver_ram(driver, data), fill, SECTOR);
	virtio_driver_ram(driver, data + SECTOR)[0] = 0xff;
	virtio_ring_describe(ring, head, header, 16, RING_NEXT, head + 1);
	virtio_ring_describe(ring, head + 1, data, SECTOR, RING_NEXT, head + 2);
	virtio_ring_describe(ring, head + 2, data + SECTOR, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, queue, head);
	return data + SECTOR;
}

static void check_write(Fixture *fixture, unsigned queue, uint64_t sector, uint8_t fill)
{
	uint64_t status = offer_write(fixture, queue, 0, sector, fill);

	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, queue, NULL), ==, 0);
	g_assert_cmpuint(virtio_driver_ram(&fixture->driver, status)[0], ==, 0);
	g_assert_cmpuint(fixture->disk[sector * SECTOR], ==, fill);
	g_assert_cmpuint(fixture->disk[sector * SECTOR + SECTOR - 1], ==, fill);
}

static void test_disk(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t offered = virtio_driver_offered(driver);

	(void)data;
	g_assert_cmphex(pci_device_config_read(driver->pci, 2, 2), ==, VIRTIO_PCI_DEVICE(2));
	g_assert_cmphex(offered & FEATURES, ==, FEATURES);
	/* The back end's own affair. */
	g_assert_cmphex(offered & BIT(VHOST_USER_F_PROTOCOL_FEATURES), ==, 0);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, DISK_SIZE / SECTOR);
	/* Beyond what it has. */
	g_assert_cmpuint(virtio_driver_read_config(driver, 60, 4), ==, 0);
	check_write(fixture, 0, 1, 0x11);
	check_write(fixture, 1, 2, 0x12);
	virtio_device_pause(fixture->device);
	virtio_device_resume(fixture->device);
	check_write(fixture, 1, 3, 0x13);
	virtio_driver_start(driver, UINT64_MAX);
	fake_machine_iterate(fixture->fake);
	check_write(fixture, 0, 4, 0x14);
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_RESET_DEVICE), >, 0);
}

static void write_common(VirtioDriver *driver, unsigned offset, uint64_t value, unsigned size)
{
	fake_write(driver->fake, driver->common + offset, value, size);
}

/* §3.1.1: queues come before DRIVER_OK, but what a driver does after it is not for us to choose. */
static void test_late_queue(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	/* One in which no queue has been before. */
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = fake_machine_add(fixture->fake, &vhost_user_device_type.pci.device, DISK);
	virtio_driver_probe(driver, fixture->fake, fixture->device);
	virtio_driver_negotiate(driver, UINT64_MAX);
	virtio_driver_enable_queue(driver, 0, 0);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_DRIVER_OK);
	fake_machine_iterate(fixture->fake);
	check_write(fixture, 0, 1, 0x21);
	virtio_driver_enable_queue(driver, 1, 0);
	fake_machine_iterate(fixture->fake);
	check_write(fixture, 1, 2, 0x22);
	check_write(fixture, 0, 3, 0x23);
	g_assert_false(virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
}

/* A size that a packed ring may have, and then the ring is a split one: nobody is bothered with it. */
static void test_odd_size(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t packed = BIT(VIRTIO_F_RING_PACKED);

	(void)data;
	fake_machine_remove(fixture->fake, fixture->device);
	back_end_free(fixture->back_end);
	fake_machine_iterate(fixture->fake);
	fixture->back_end = back_end_new(fixture->path, fixture->disk, DISK_SIZE, FEATURES | packed,
					 PROTOCOL | CONFIG);
	fixture->device = fake_machine_add(fixture->fake, &vhost_user_device_type.pci.device,
					   DISK ",packed=on");
	virtio_driver_probe(driver, fixture->fake, fixture->device);
	g_assert_cmphex(virtio_driver_offered(driver) & packed, ==, packed);
	virtio_driver_set_status(driver, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	write_common(driver, COMMON_DRIVER_FEATURE_SELECT, 1, 4);
	write_common(driver, COMMON_DRIVER_FEATURE, 5, 4); /* and VERSION_1 */
	write_common(driver, COMMON_QUEUE_SELECT, 0, 2);
	write_common(driver, COMMON_QUEUE_SIZE, 3, 2);
	write_common(driver, COMMON_DRIVER_FEATURE, 1, 4);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_FEATURES_OK);
	virtio_driver_enable_queue(driver, 0, 0);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_DRIVER_OK);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_SET_VRING_NUM), ==, 0);
	virtio_driver_start(driver, UINT64_MAX & ~packed);
	fake_machine_iterate(fixture->fake);
	check_write(fixture, 0, 1, 0x25);
}

/* A queue comes back larger: the back end has a record that has room for it. */
static void test_larger_queue(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t status;

	(void)data;
	virtio_driver_negotiate(driver, UINT64_MAX);
	virtio_driver_enable_queue(driver, 0, 8);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_DRIVER_OK);
	fake_machine_iterate(fixture->fake);
	check_write(fixture, 0, 1, 0x41);
	write_common(driver, COMMON_QUEUE_SELECT, 0, 2);
	write_common(driver, COMMON_QUEUE_RESET, 1, 2);
	fake_machine_iterate(fixture->fake);
	virtio_driver_enable_queue(driver, 0, 128);
	fake_machine_iterate(fixture->fake);
	status = offer_write(fixture, 0, 100, 2, 0x42);
	g_assert_cmpuint(virtio_driver_wait(driver, 0, NULL), ==, 100);
	g_assert_cmpuint(virtio_driver_ram(driver, status)[0], ==, 0);
	g_assert_cmpuint(fixture->disk[2 * SECTOR], ==, 0x42);
}

static bool config_is_told(gpointer data)
{
	return virtio_driver_read_config(&((Fixture *)data)->driver, 0, 4) == 77;
}

static void test_config(Fixture *fixture, gconstpointer data)
{
	unsigned at = offsetof(VirtioBlkConfig, writeback);

	(void)data;
	virtio_driver_write_config(&fixture->driver, at, 1, 1);
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, at, 1), ==, 1);
	fake_machine_iterate(fixture->fake);
	g_assert_cmpint(back_end_writeback(fixture->back_end), ==, 1);
	/* Half of it beyond the end: nothing is written. */
	virtio_driver_write_config(&fixture->driver, 58, UINT32_MAX, 4);
	fake_machine_iterate(fixture->fake);
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_SET_CONFIG), ==, 1);
	back_end_change_config(fixture->back_end, 77);
	g_assert_true(fake_machine_run_until(fixture->fake, config_is_told, fixture, PATIENCE_MS));
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 0));
}

/* What it had taken the next one finds; what the driver wrote meanwhile it is told. */
static void test_reconnect(Fixture *fixture, gconstpointer data)
{
	uint64_t status[2];

	(void)data;
	check_write(fixture, 0, 1, 1);
	back_end_keep_one(fixture->back_end);
	status[0] = offer_write(fixture, 0, 3, 8, 0x88);
	status[1] = offer_write(fixture, 0, 6, 9, 0x99);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 6);
	back_end_free(fixture->back_end);
	fake_machine_iterate(fixture->fake);
	virtio_driver_write_config(&fixture->driver, offsetof(VirtioBlkConfig, writeback), 1, 1);
	fixture->back_end =
		back_end_new(fixture->path, fixture->disk, DISK_SIZE, FEATURES, PROTOCOL | CONFIG);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 3);
	for (unsigned i = 0; i < 2; i++)
		g_assert_cmpuint(virtio_driver_ram(&fixture->driver, status[i])[0], ==, 0);
	g_assert_cmpuint(fixture->disk[8 * SECTOR], ==, 0x88);
	g_assert_cmpint(back_end_writeback(fixture->back_end), ==, 1);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
}

static void test_lies(Fixture *fixture, gconstpointer data)
{
	static const struct {
		unsigned request;
		BackEndLie lie;
	} lies[] = {
		{ VHOST_USER_SET_FEATURES, BACK_END_REFUSES },
		{ VHOST_USER_GET_INFLIGHT_FD, BACK_END_NO_DESCRIPTOR },
		{ VHOST_USER_SET_VRING_CALL, BACK_END_HUGE },
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
		back_end_set_lie(fixture->back_end, lies[i].request, lies[i].lie);
		virtio_driver_start(&fixture->driver, UINT64_MAX);
		g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
		back_end_set_lie(fixture->back_end, lies[i].request, BACK_END_HONEST);
		virtio_driver_start(&fixture->driver, UINT64_MAX);
		check_write(fixture, 0, i, (uint8_t)(i + 1));
	}
}

/* One without configuration needs nobody who has any; this back end has none. */
static void test_no_config(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->device = fake_machine_add(fixture->fake, &vhost_user_device_type.pci.device,
					   "chardev=c0,virtio-id=4");
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	g_assert_cmphex(pci_device_config_read(fixture->driver.pci, 2, 2), ==,
			VIRTIO_PCI_DEVICE(4));
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 0, 4), ==, 0);
	virtio_driver_write_config(&fixture->driver, 0, 1, 4);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	fake_machine_iterate(fixture->fake);
	check_write(fixture, 0, 1, 1);
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_GET_CONFIG), ==, 0);
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_SET_CONFIG), ==, 0);
}

/*
 * A file system whose back end goes for good, as virtiofsd does: what was asked of it is not
 * answered, the driver is told, each time that it tries again, and another device goes on.
 */
static void test_file_system_lost(Fixture *fixture, gconstpointer data)
{
	g_autofree char *path = g_build_filename(fixture->directory, "fs", NULL);
	g_autofree char *text = g_strdup_printf("socket,id=c1,path=%s", path);
	g_autoptr(ChardevConfig) config = chardev_config_parse(text, NULL);
	BackEnd *back_end = back_end_new(path, fixture->disk, DISK_SIZE, FEATURES, PROTOCOL);
	VirtioDriver disk = fixture->driver;
	g_autoptr(GError) error = NULL;
	uint64_t status;
	Device *device;

	(void)data;
	fake_machine_set_chardev(fixture->fake, "c1",
				 chardevs_add(fixture->chardevs, config, &error));
	g_assert_no_error(error);
	/* It has its place in the address space for itself. */
	pci_device_config_write(disk.pci, 4, 0, 2);
	device = fake_machine_add(fixture->fake, &vhost_user_fs_type.pci.device,
				  "chardev=c1,tag=shared");
	virtio_driver_probe(&fixture->driver, fixture->fake, device);
	/* From where the disk's driver has nothing. */
	virtio_driver_alloc(&fixture->driver, 4 << 20);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	fake_machine_iterate(fixture->fake);
	check_write(fixture, 1, 1, 0x31);

	back_end_hold(back_end, true);
	status = offer_write(fixture, 1, 3, 2, 0x32);
	back_end_free(back_end);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 0));
	g_assert_cmpuint(virtio_driver_ram(&fixture->driver, status)[0], ==, 0xff);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));

	/* Without it the other device is as it was. */
	fake_machine_remove(fixture->fake, device);
	fixture->driver = disk;
	pci_device_config_write(disk.pci, 4, 6, 2);
	check_write(fixture, 0, 3, 0x33);
	/* And a new one has a new back end. */
	back_end = back_end_new(path, fixture->disk, DISK_SIZE, FEATURES, PROTOCOL);
	device = fake_machine_add(fixture->fake, &vhost_user_fs_type.pci.device,
				  "chardev=c1,tag=shared");
	fake_machine_remove(fixture->fake, device);
	back_end_free(back_end);
}

static void test_refused(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *options, *error;
	} cases[] = {
		{ "chardev=c0,virtio-id=0", "*virtio-id*" },
		{ "chardev=c0,virtio-id=64", "*virtio-id*" },
		{ "chardev=c0,virtio-id=18", "*virtio-id 18*configuration space*" },
		{ "chardev=c0,virtio-id=2,config_size=257", "*config_size*" },
		{ "chardev=c0,virtio-id=2,num_vqs=1025", "*num_vqs*" },
		{ "chardev=c1,virtio-id=2", "*no chardev 'c1'*" },
		/* This back end has no configuration. */
		{ "chardev=c0,virtio-id=2,config_size=60", "*lacks protocol feature 9*" },
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(fake_machine_try_add(fixture->fake,
						   &vhost_user_device_type.pci.device,
						   cases[i].options, &error));
		g_assert_nonnull(error);
		g_test_message("%s", error->message);
		g_assert_true(g_pattern_match_simple(cases[i].error, error->message));
		fake_machine_iterate(fixture->fake);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(Fixture *fixture, gconstpointer data);
		bool started;
	} tests[] = {
		{ "disk", test_disk, true },
		{ "late-queue", test_late_queue, true },
		{ "odd-size", test_odd_size, true },
		{ "larger-queue", test_larger_queue, true },
		{ "config", test_config, true },
		{ "reconnect", test_reconnect, true },
		{ "lies", test_lies, true },
		{ "no-config", test_no_config, false },
		{ "file-system-lost", test_file_system_lost, true },
		{ "refused", test_refused, false },
	};

	g_test_init(&argc, &argv, NULL);
	/* Back ends that are cut off are warned of, which is what is tested. */
	g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
	for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strdup_printf("/vhost-user-device/%s", tests[i].name);

		g_test_add(path, Fixture, GSIZE_TO_POINTER(tests[i].started ? CONFIG : 0),
			   tests[i].started ? set_up_started : set_up, tests[i].run, tear_down);
	}
	return g_test_run();
}
