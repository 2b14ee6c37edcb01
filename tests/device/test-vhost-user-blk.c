/*
 * test-vhost-user-blk.c: a block device whose queues another process serves
 *
 * The other process is a thread (tests/vhost-user/back_end.c), which the device cannot tell.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/device/virtio_driver.h"
#include "tests/vhost-user/back_end.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/chardev/chardev.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/vhost_user_blk.h"

#define DISK_SIZE   (1u << 20)
#define SECTOR	    512u
#define PATIENCE_MS 30000
#define BIT(n)	    (1ULL << (n))
#define FEATURES    (BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_CONFIG_WCE))
#define PLAIN                                                                   \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ))
#define FULL                                                                             \
	(PLAIN | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |                                  \
	 BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | BIT(VHOST_USER_PROTOCOL_F_STATUS) | \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))

typedef struct Fixture {
	FakeMachine *fake;
	Chardevs *chardevs;
	char *directory, *path;
	uint8_t *disk;
	BackEnd *back_end;
	Device *device;
	VirtioDriver driver;
} Fixture;

static void make_back_end(Fixture *fixture, size_t size, uint64_t protocol)
{
	fixture->back_end = back_end_new(fixture->path, fixture->disk, size, FEATURES, protocol);
}

static void set_up(Fixture *fixture, gconstpointer protocol)
{
	g_autofree char *chardev = NULL;
	g_autoptr(ChardevConfig) config = NULL;
	g_autoptr(GError) error = NULL;

	fixture->fake = fake_machine_new_shared(16 << 20);
	fixture->directory = g_dir_make_tmp("vhost-user-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->directory, "socket", NULL);
	fixture->disk = g_malloc0(DISK_SIZE);
	make_back_end(fixture, DISK_SIZE, protocol ? GPOINTER_TO_SIZE(protocol) : FULL);
	fixture->chardevs = chardevs_new(fixture->fake->services.main_context);
	chardev = g_strdup_printf("socket,id=c0,path=%s,reconnect=1", fixture->path);
	config = chardev_config_parse(chardev, &error);
	g_assert_no_error(error);
	fake_machine_set_chardev(fixture->fake, "c0",
				 chardevs_add(fixture->chardevs, config, &error));
	g_assert_no_error(error);
}

static void start(Fixture *fixture)
{
	fixture->device = fake_machine_add(fixture->fake, &vhost_user_blk_type.pci.device,
					   "chardev=c0,num-queues=2");
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	fake_machine_iterate(fixture->fake);
}

static void set_up_started(Fixture *fixture, gconstpointer protocol)
{
	set_up(fixture, protocol);
	start(fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	chardevs_free(fixture->chardevs);
	if (fixture->back_end)
		back_end_free(fixture->back_end);
	fake_machine_free(fixture->fake);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->path);
	g_free(fixture->disk);
}

/* Offer a request for one sector at descriptors @head on; returns where its data is. */
static uint64_t offer(Fixture *fixture, unsigned queue, unsigned head, uint32_t type,
		      uint64_t sector, uint8_t fill)
{
	VirtioDriver *driver = &fixture->driver;
	VirtioRing *ring = &driver->rings[queue];
	uint64_t header = virtio_driver_alloc(driver, 16);
	uint64_t data = virtio_driver_alloc(driver, SECTOR + 1);

	memcpy(virtio_driver_ram(driver, header), &type, sizeof(type));
	memcpy(virtio_driver_ram(driver, header + 8), &sector, sizeof(sector));
	memset(virtio_driver_ram(driver, data), fill, SECTOR);
	virtio_driver_ram(driver, data + SECTOR)[0] = 0xff;
	virtio_ring_describe(ring, head, header, 16, RING_NEXT, head + 1);
	virtio_ring_describe(ring, head + 1, data, SECTOR, RING_NEXT | (type ? 0 : RING_WRITE),
			     head + 2);
	virtio_ring_describe(ring, head + 2, data + SECTOR, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, queue, head);
	return data;
}

static uint8_t status_of(Fixture *fixture, uint64_t data)
{
	return virtio_driver_ram(&fixture->driver, data + SECTOR)[0];
}

/* Write @fill to @sector and read it back on @queue. */
static void check_io(Fixture *fixture, unsigned queue, uint64_t sector, uint8_t fill)
{
	uint64_t data = offer(fixture, queue, 0, 1, sector, fill);

	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, queue, NULL), ==, 0);
	g_assert_cmpuint(status_of(fixture, data), ==, 0);
	g_assert_cmpuint(fixture->disk[sector * SECTOR], ==, fill);
	g_assert_cmpuint(fixture->disk[sector * SECTOR + SECTOR - 1], ==, fill);
	data = offer(fixture, queue, 3, 0, sector, 0);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, queue, NULL), ==, 3);
	g_assert_cmpuint(status_of(fixture, data), ==, 0);
	g_assert_cmpuint(virtio_driver_ram(&fixture->driver, data)[SECTOR - 1], ==, fill);
}

static void test_io(Fixture *fixture, gconstpointer data)
{
	(void)data;
	check_io(fixture, 0, 5, 0xa1);
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 1));
	check_io(fixture, 1, 6, 0xa2);
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 2));
	/* Beyond the end. */
	g_assert_cmpuint(DISK_SIZE / SECTOR, ==, virtio_driver_read_config(&fixture->driver, 0, 4));
}

static bool config_is_told(gpointer data)
{
	Fixture *fixture = data;

	return virtio_driver_read_config(&fixture->driver, 0, 4) == 77;
}

static void test_config(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	/* The cache is on where there are flushes, whatever the back end's configuration says. */
	g_assert_cmpuint(virtio_driver_read_config(driver, offsetof(VirtioBlkConfig, writeback), 1),
			 ==, 1);
	check_io(fixture, 0, 1, 1);
	g_assert_cmpint(back_end_writeback(fixture->back_end), ==, 1);
	virtio_driver_write_config(driver, offsetof(VirtioBlkConfig, writeback), 0, 1);
	fake_machine_iterate(fixture->fake);
	g_assert_cmpint(back_end_writeback(fixture->back_end), ==, 0);
	g_assert_cmpuint(
		virtio_driver_read_config(driver, offsetof(VirtioBlkConfig, num_queues), 2), ==, 2);
	back_end_change_config(fixture->back_end, 77);
	g_assert_true(fake_machine_run_until(fixture->fake, config_is_told, fixture, PATIENCE_MS));
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
}

static void test_pause(Fixture *fixture, gconstpointer data)
{
	uint64_t at;

	(void)data;
	for (unsigned i = 0; i < 3; i++) {
		check_io(fixture, 0, i, (uint8_t)(0x10 + i));
		virtio_device_pause(fixture->device);
		/* What comes meanwhile waits. */
		at = offer(fixture, 0, 6, 1, 100 + i, 0x77);
		g_usleep(5000);
		g_assert_cmpuint(status_of(fixture, at), ==, 0xff);
		virtio_device_resume(fixture->device);
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 6);
		g_assert_cmpuint(status_of(fixture, at), ==, 0);
	}
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_GET_VRING_BASE), ==, 6);
}

static void test_reset(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;

	(void)data;
	check_io(fixture, 0, 1, 1);
	virtio_driver_set_status(driver, 0);
	/* It takes the main thread: until then the device does not say that it is done. */
	g_assert_cmpuint(virtio_driver_status(driver), !=, 0);
	fake_machine_iterate(fixture->fake);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0);
	virtio_driver_start(driver, UINT64_MAX);
	check_io(fixture, 0, 2, 2);
	check_io(fixture, 1, 3, 3);
	/* Whole-machine reset. */
	virtio_device_reset(fixture->device);
	virtio_driver_probe(driver, fixture->fake, fixture->device);
	virtio_driver_start(driver, UINT64_MAX);
	check_io(fixture, 0, 4, 4);
}

/*
 * The back end dies with requests taken and not answered; another answers them. Its disk has
 * another size.
 */
static void test_reconnect(Fixture *fixture, gconstpointer protocol)
{
	uint64_t at[2];

	check_io(fixture, 0, 1, 1);
	back_end_hold(fixture->back_end, true);
	at[0] = offer(fixture, 0, 6, 1, 9, 0x99);
	at[1] = offer(fixture, 1, 6, 1, 10, 0x9a);
	back_end_free(fixture->back_end);
	fake_machine_iterate(fixture->fake);
	make_back_end(fixture, DISK_SIZE / 2, protocol ? GPOINTER_TO_SIZE(protocol) : FULL);
	for (unsigned i = 0; i < 2; i++) {
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, i, NULL), ==, 6);
		g_assert_cmpuint(status_of(fixture, at[i]), ==, 0);
	}
	g_assert_cmpuint(fixture->disk[10 * SECTOR], ==, 0x9a);
	check_io(fixture, 0, 2, 2);
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 0));
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 0, 4), ==,
			 DISK_SIZE / 2 / SECTOR);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
}

/*
 * The back end dies when it has answered a later request and not an earlier one: the next finds in
 * the record what is missing, and does nothing twice.
 */
static void test_in_flight(Fixture *fixture, gconstpointer data)
{
	uint64_t at[4];

	(void)data;
	check_io(fixture, 0, 1, 1);
	for (unsigned i = 0; i < 4; i++) {
		if (i % 2 == 0)
			back_end_keep_one(fixture->back_end);
		at[i] = offer(fixture, 0, 6 + 3 * i, 1, 20 + i, (uint8_t)(0x20 + i));
		if (i % 2 == 1)
			g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==,
					 6 + 3 * i);
	}
	g_assert_cmpuint(status_of(fixture, at[0]), ==, 0xff);
	back_end_free(fixture->back_end);
	memset(fixture->disk + 20 * SECTOR, 0, 4 * SECTOR);
	fake_machine_iterate(fixture->fake);
	make_back_end(fixture, DISK_SIZE, FULL);
	for (unsigned i = 0; i < 4; i += 2) {
		g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 6 + 3 * i);
		g_assert_cmpuint(status_of(fixture, at[i]), ==, 0);
	}
	for (unsigned i = 0; i < 4; i++)
		g_assert_cmpuint(fixture->disk[(20 + i) * SECTOR], ==, i % 2 ? 0 : 0x20 + i);
	g_assert_cmpuint(virtio_ring_used_index(&fixture->driver.rings[0]), ==, 6);
	check_io(fixture, 0, 2, 2);
	check_io(fixture, 1, 3, 3);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
}

static GuestMemoryRegion make_region(void)
{
	GuestMemoryRegion region = {
		.gpa = 1ULL << 32,
		.size = 1 << 20,
		.fd = memfd_create("more", MFD_CLOEXEC),
		.shared = true,
	};

	g_assert_no_errno(ftruncate(region.fd, 1 << 20));
	region.hva = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	return region;
}

/* The back end does not take memory that is plugged. */
static void test_memory_refused(Fixture *fixture, gconstpointer data)
{
	GuestMemoryRegion region = make_region();

	(void)data;
	check_io(fixture, 0, 1, 1);
	back_end_set_lie(fixture->back_end, VHOST_USER_ADD_MEM_REG, BACK_END_REFUSES);
	g_assert_true(guest_memory_add(fixture->fake->services.memory, &region, NULL));
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
	fake_machine_remove(fixture->fake, g_steal_pointer(&fixture->device));
	munmap(region.hva, 1 << 20);
	close(region.fd);
}

static void test_memory(Fixture *fixture, gconstpointer data)
{
	GuestMemoryRegion region = make_region();

	(void)data;
	check_io(fixture, 0, 1, 1);
	g_assert_cmpuint(back_end_regions(fixture->back_end), ==, 1);
	g_assert_true(guest_memory_add(fixture->fake->services.memory, &region, NULL));
	g_assert_cmpuint(back_end_regions(fixture->back_end), ==, 2);
	fake_machine_remove(fixture->fake, g_steal_pointer(&fixture->device));
	munmap(region.hva, 1 << 20);
	close(region.fd);
}

/* Other memory comes to the same place, in a file of the same number, while the back end rests. */
static void test_memory_replaced(Fixture *fixture, gconstpointer data)
{
	GuestMemory *memory = fixture->fake->services.memory;
	GuestMemoryRegion region = make_region(), other;
	unsigned n;

	(void)data;
	g_assert_true(guest_memory_add(memory, &region, NULL));
	check_io(fixture, 0, 1, 1);
	n = back_end_count(fixture->back_end, VHOST_USER_ADD_MEM_REG);
	virtio_device_pause(fixture->device);
	guest_memory_remove(memory, region.gpa);
	other = make_region();
	g_assert_no_errno(dup2(other.fd, region.fd));
	g_assert_true(mremap(other.hva, other.size, other.size, MREMAP_MAYMOVE | MREMAP_FIXED,
			     region.hva) == region.hva);
	close(other.fd);
	g_assert_true(guest_memory_add(memory, &region, NULL));
	virtio_device_resume(fixture->device);
	check_io(fixture, 0, 2, 2);
	g_assert_cmpuint(back_end_regions(fixture->back_end), ==, 2);
	g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_ADD_MEM_REG), ==, n + 1);
	fake_machine_remove(fixture->fake, g_steal_pointer(&fixture->device));
	munmap(region.hva, 1 << 20);
	close(region.fd);
}

static void test_error(Fixture *fixture, gconstpointer data)
{
	(void)data;
	check_io(fixture, 0, 1, 1);
	back_end_signal_error(fixture->back_end, 0);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
	/* A reset cures it. */
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	check_io(fixture, 0, 2, 2);
}

static unsigned count_descriptors(void)
{
	g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
	unsigned n = 0;

	while (g_dir_read_name(dir))
		n++;
	return n;
}

/* What is asked before the device is there: each lie is refused, and nothing is left open. */
static void test_lies_at_first(Fixture *fixture, gconstpointer data)
{
	static const unsigned requests[] = {
		VHOST_USER_GET_FEATURES,  VHOST_USER_GET_PROTOCOL_FEATURES,
		VHOST_USER_GET_QUEUE_NUM, VHOST_USER_GET_MAX_MEM_SLOTS,
		VHOST_USER_SET_OWNER,	  VHOST_USER_SET_BACKEND_REQ_FD,
		VHOST_USER_GET_CONFIG,
	};

	(void)data;
	g_test_log_set_fatal_handler(NULL, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
		for (BackEndLie lie = BACK_END_WRONG_REQUEST; lie < BACK_END_N_LIES; lie++) {
			bool is_answer = requests[i] != VHOST_USER_SET_OWNER &&
					 requests[i] != VHOST_USER_SET_BACKEND_REQ_FD;
			unsigned before;
			g_autoptr(GError) error = NULL;

			/* What is asked for may have any value, and no descriptor. */
			if ((is_answer && lie == BACK_END_REFUSES) ||
			    (is_answer && lie == BACK_END_OTHER &&
			     requests[i] != VHOST_USER_GET_CONFIG) ||
			    lie == BACK_END_NO_DESCRIPTOR)
				continue;
			back_end_set_lie(fixture->back_end, requests[i], lie);
			before = count_descriptors();
			g_assert_null(fake_machine_try_add(fixture->fake,
							   &vhost_user_blk_type.pci.device,
							   "chardev=c0,num-queues=2", &error));
			g_assert_nonnull(error);
			fake_machine_iterate(fixture->fake);
			/* The connection itself, and the back end's side of things, come and go. */
			g_assert_cmpuint(count_descriptors(), <=, before + 4);
			back_end_set_lie(fixture->back_end, requests[i], BACK_END_HONEST);
		}
	}
	start(fixture);
	check_io(fixture, 0, 1, 1);
}

typedef struct LateLie {
	unsigned request;
	BackEndLie lie;
} LateLie;

/* What is asked while the driver uses the device: it is told that it needs a reset. */
static void test_lies_later(Fixture *fixture, gconstpointer data)
{
	static const LateLie lies[] = {
		{ VHOST_USER_SET_FEATURES, BACK_END_REFUSES },
		{ VHOST_USER_GET_INFLIGHT_FD, BACK_END_TOO_SHORT },
		{ VHOST_USER_GET_INFLIGHT_FD, BACK_END_NO_DESCRIPTOR },
		{ VHOST_USER_SET_INFLIGHT_FD, BACK_END_REFUSES },
		{ VHOST_USER_SET_VRING_BASE, BACK_END_SILENT },
		{ VHOST_USER_SET_VRING_NUM, BACK_END_WRONG_FLAGS },
		{ VHOST_USER_SET_VRING_KICK, BACK_END_WRONG_REQUEST },
		{ VHOST_USER_SET_VRING_ENABLE, BACK_END_HUGE },
		{ VHOST_USER_SET_STATUS, BACK_END_DESCRIPTORS },
	};

	(void)data;
	fixture->device = fake_machine_add(fixture->fake, &vhost_user_blk_type.pci.device,
					   "chardev=c0,num-queues=2");
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
		back_end_set_lie(fixture->back_end, lies[i].request, lies[i].lie);
		virtio_driver_start(&fixture->driver, UINT64_MAX);
		g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
		back_end_set_lie(fixture->back_end, lies[i].request, BACK_END_HONEST);
		/* It is asked again after the driver's reset. */
		virtio_driver_start(&fixture->driver, UINT64_MAX);
		check_io(fixture, 0, i, (uint8_t)(i + 1));
	}
}

static void pause_and_go_on(Fixture *fixture)
{
	virtio_device_pause(fixture->device);
	virtio_device_resume(fixture->device);
}

static void switch_cache(Fixture *fixture)
{
	virtio_driver_write_config(&fixture->driver, offsetof(VirtioBlkConfig, writeback), 0, 1);
	fake_machine_iterate(fixture->fake);
}

static void change_config(Fixture *fixture)
{
	back_end_change_config(fixture->back_end, 99);
}

/* What is asked because of what driver, machine or back end do: it is told likewise. */
static void test_lies_in_use(Fixture *fixture, gconstpointer data)
{
	static const struct {
		unsigned request;
		BackEndLie lie;
		void (*act)(Fixture *fixture);
	} lies[] = {
		{ VHOST_USER_GET_VRING_BASE, BACK_END_WRONG_REQUEST, pause_and_go_on },
		{ VHOST_USER_GET_VRING_BASE, BACK_END_TOO_SHORT, pause_and_go_on },
		{ VHOST_USER_GET_VRING_BASE, BACK_END_OTHER, pause_and_go_on },
		{ VHOST_USER_GET_VRING_BASE, BACK_END_HUGE, pause_and_go_on },
		{ VHOST_USER_SET_VRING_ENABLE, BACK_END_DESCRIPTORS, pause_and_go_on },
		{ VHOST_USER_SET_CONFIG, BACK_END_REFUSES, switch_cache },
		{ VHOST_USER_SET_CONFIG, BACK_END_WRONG_FLAGS, switch_cache },
		{ VHOST_USER_GET_CONFIG, BACK_END_TOO_SHORT, change_config },
		{ VHOST_USER_GET_CONFIG, BACK_END_OTHER, change_config },
	};

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
		check_io(fixture, 0, i, (uint8_t)(i + 1));
		back_end_set_lie(fixture->back_end, lies[i].request, lies[i].lie);
		lies[i].act(fixture);
		g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
		back_end_set_lie(fixture->back_end, lies[i].request, BACK_END_HONEST);
		virtio_driver_start(&fixture->driver, UINT64_MAX);
	}
	check_io(fixture, 0, 1, 1);
}

/* A reset that the back end does not carry out is one all the same. */
static void test_lies_at_reset(Fixture *fixture, gconstpointer data)
{
	(void)data;
	check_io(fixture, 0, 1, 1);
	back_end_set_lie(fixture->back_end, VHOST_USER_SET_STATUS, BACK_END_REFUSES);
	virtio_driver_set_status(&fixture->driver, 0);
	fake_machine_iterate(fixture->fake);
	g_assert_cmpuint(virtio_driver_status(&fixture->driver), ==, 0);
	back_end_set_lie(fixture->back_end, VHOST_USER_SET_STATUS, BACK_END_HONEST);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	check_io(fixture, 0, 2, 2);
}

/* On its own channel the back end may say one thing only; what it may not is refused. */
static void test_channel(Fixture *fixture, gconstpointer data)
{
	const VhostUserHeader unknown = { .request = 77, .flags = VHOST_USER_VERSION, .size = 0 };
	const VhostUserHeader changed = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE,
		.flags = VHOST_USER_VERSION,
	};
	const VhostUserHeader huge = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE,
		.flags = VHOST_USER_VERSION,
		.size = UINT32_MAX,
	};

	(void)data;
	back_end_send_raw(fixture->back_end, &unknown, sizeof(unknown));
	/* In parts, and many at once. */
	back_end_send_raw(fixture->back_end, &changed, 5);
	fake_machine_iterate(fixture->fake);
	back_end_send_raw(fixture->back_end, (const uint8_t *)&changed + 5, sizeof(changed) - 5);
	for (unsigned i = 0; i < 50; i++)
		back_end_send_raw(fixture->back_end, &changed, sizeof(changed));
	check_io(fixture, 0, 1, 1);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
	back_end_send_raw(fixture->back_end, &huge, sizeof(huge));
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
}

static void test_junk(Fixture *fixture, gconstpointer data)
{
	uint8_t junk[64];

	(void)data;
	check_io(fixture, 0, 1, 1);
	memset(junk, 0xee, sizeof(junk));
	back_end_send_raw(fixture->back_end, junk, sizeof(junk));
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
}

static void test_state(Fixture *fixture, gconstpointer data)
{
	Device *other;
	g_autofree char *path = g_build_filename(fixture->directory, "other", NULL);
	g_autofree char *chardev = g_strdup_printf("socket,id=c1,path=%s", path);
	BackEnd *back_end = back_end_new(path, fixture->disk, DISK_SIZE, FEATURES, FULL);
	g_autoptr(ChardevConfig) config = chardev_config_parse(chardev, NULL);
	g_autoptr(GError) error = NULL;

	(void)data;
	fake_machine_set_chardev(fixture->fake, "c1",
				 chardevs_add(fixture->chardevs, config, &error));
	g_assert_no_error(error);
	other = fake_machine_add(fixture->fake, &vhost_user_blk_type.pci.device,
				 "chardev=c1,num-queues=2");
	check_io(fixture, 0, 1, 1);
	virtio_driver_write_config(&fixture->driver, offsetof(VirtioBlkConfig, writeback), 0, 1);
	virtio_device_pause(fixture->device);
	virtio_device_pause(other);
	fake_machine_check_state(fixture->device, other);
	fake_machine_remove(fixture->fake, other);
	back_end_free(back_end);
	virtio_device_resume(fixture->device);
	check_io(fixture, 0, 2, 2);
}

static void test_refused(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *options, *error;
	} cases[] = {
		{ "chardev=nothing", "*there is no chardev 'nothing'*" },
		{ "chardev=c0,num-queues=5", "*has 4 queues, fewer than the device's 5*" },
		{ "chardev=c0,iothread=io0", "*not served by an iothread*" },
	};
	g_autoptr(GError) error = NULL;
	FakeMachine *unshared;

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) failure = NULL;

		g_assert_null(fake_machine_try_add(fixture->fake, &vhost_user_blk_type.pci.device,
						   cases[i].options, &failure));
		g_assert_true(g_pattern_match_simple(cases[i].error, failure->message));
	}
	unshared = fake_machine_new(1 << 20);
	fake_machine_set_chardev(unshared, "c0", chardevs_find(fixture->chardevs, "c0"));
	g_assert_null(fake_machine_try_add(unshared, &vhost_user_blk_type.pci.device,
					   "chardev=c0,num-queues=1", &error));
	g_assert_true(g_pattern_match_simple("*share=on*", error->message));
	fake_machine_free(unshared);
}

/* Dirty log */

static bool is_logging(Fixture *fixture)
{
	return back_end_told(fixture->back_end, VHOST_USER_SET_FEATURES) &
	       BIT(VHOST_USER_F_LOG_ALL);
}

/* Read a sector: data, status and used ring must be marked, and the header before them not. */
static void check_marks(Fixture *fixture, DirtyTracker *tracker, uint8_t fill)
{
	VirtioRing *ring = &fixture->driver.rings[0];
	g_autofree uint64_t *bitmap = g_new0(uint64_t, dirty_tracker_words(tracker));
	uint64_t data, page, at;

	dirty_tracker_take(tracker, NULL);
	memset(fixture->disk, fill, SECTOR);
	/* The header at the end of one page, the data on the next. */
	at = virtio_driver_alloc(&fixture->driver, 4096);
	virtio_driver_alloc(&fixture->driver, 4096 - at % 4096 - 16);
	data = offer(fixture, 0, 9, 0, 0, 0);
	g_assert_cmpuint(data % 4096, ==, 0);
	g_assert_cmpuint(virtio_driver_wait(&fixture->driver, 0, NULL), ==, 9);
	g_assert_cmpuint(virtio_driver_ram(&fixture->driver, data)[7], ==, fill);
	dirty_tracker_take(tracker, bitmap);
	page = data / 4096;
	g_assert_true(bitmap[page / 64] & BIT(page % 64));
	page--;
	g_assert_false(bitmap[page / 64] & BIT(page % 64));
	page = ring->used / 4096;
	g_assert_true(bitmap[page / 64] & BIT(page % 64));
}

static void test_log(Fixture *fixture, gconstpointer data)
{
	DirtyTracker *tracker;
	unsigned n_logs;

	(void)data;
	fake_machine_unwatch(fixture->fake);
	g_assert_false(is_logging(fixture));
	check_io(fixture, 0, 0, 1);
	n_logs = back_end_count(fixture->back_end, VHOST_USER_SET_LOG_BASE);
	/* While it runs, each time anew. */
	for (unsigned i = 0; i < 2; i++) {
		tracker = dirty_tracker_new(fixture->fake->services.memory, NULL);
		g_assert_nonnull(tracker);
		g_assert_true(is_logging(fixture));
		g_assert_cmpuint(back_end_count(fixture->back_end, VHOST_USER_SET_LOG_BASE), ==,
				 ++n_logs);
		check_marks(fixture, tracker, 0x21);
		dirty_tracker_free(tracker);
		g_assert_false(is_logging(fixture));
		check_io(fixture, 0, 0, 2);
	}
	/* What starts while somebody wants to know is told, too. */
	virtio_device_pause(fixture->device);
	tracker = dirty_tracker_new(fixture->fake->services.memory, NULL);
	g_assert_nonnull(tracker);
	virtio_device_resume(fixture->device);
	g_assert_true(is_logging(fixture));
	check_marks(fixture, tracker, 0x22);
	g_assert_null(dirty_tracker_gap(tracker));
	dirty_tracker_free(tracker);
}

static void test_log_refused(Fixture *fixture, gconstpointer data)
{
	g_autoptr(DirtyTracker) tracker = NULL;
	g_autoptr(GError) error = NULL;

	(void)data;
	fake_machine_unwatch(fixture->fake);
	/* One that comes while somebody wants to know is served, and the log has a gap. */
	tracker = dirty_tracker_new(fixture->fake->services.memory, &error);
	g_assert_no_error(error);
	start(fixture);
	check_io(fixture, 0, 0, 1);
	g_assert_nonnull(strstr(dirty_tracker_gap(tracker), "no dirty log"));
	g_clear_pointer(&tracker, dirty_tracker_free);
	g_assert_null(dirty_tracker_new(fixture->fake->services.memory, &error));
	g_assert_nonnull(strstr(error->message, fixture->device->path));
	check_io(fixture, 0, 0, 2);
}

static void test_log_lies(Fixture *fixture, gconstpointer data)
{
	static const BackEndLie lies[] = { BACK_END_WRONG_REQUEST, BACK_END_TOO_SHORT,
					   BACK_END_HUGE, BACK_END_DESCRIPTORS };

	(void)data;
	fake_machine_unwatch(fixture->fake);
	for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
		g_autoptr(GError) error = NULL;

		start(fixture);
		back_end_set_lie(fixture->back_end, VHOST_USER_SET_LOG_BASE, lies[i]);
		g_assert_null(dirty_tracker_new(fixture->fake->services.memory, &error));
		g_assert_nonnull(error);
		g_assert_false(guest_memory_is_tracked(fixture->fake->services.memory));
		g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
		fake_machine_remove(fixture->fake, g_steal_pointer(&fixture->device));
		back_end_set_lie(fixture->back_end, VHOST_USER_SET_LOG_BASE, BACK_END_HONEST);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(Fixture *fixture, gconstpointer data);
		bool started, both; /* both: also without the newer protocol features */
	} tests[] = {
		{ "io", test_io, true, true },
		{ "config", test_config, true, false },
		{ "pause", test_pause, true, true },
		{ "reset", test_reset, true, true },
		{ "reconnect", test_reconnect, true, true },
		{ "in-flight", test_in_flight, true, false },
		{ "memory", test_memory, true, true },
		{ "memory-replaced", test_memory_replaced, true, false },
		{ "memory-refused", test_memory_refused, true, false },
		{ "error", test_error, true, false },
		{ "lies-at-first", test_lies_at_first, false, false },
		{ "lies-later", test_lies_later, false, false },
		{ "lies-in-use", test_lies_in_use, true, false },
		{ "lies-at-reset", test_lies_at_reset, true, false },
		{ "channel", test_channel, true, false },
		{ "junk", test_junk, true, false },
		{ "state", test_state, true, false },
		{ "refused", test_refused, false, false },
		{ "log", test_log, true, false },
		{ "log-lies", test_log_lies, false, false },
	};

	g_test_init(&argc, &argv, NULL);
	/* Back ends that are cut off are warned of, which is what is tested. */
	g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
	g_test_add("/vhost-user-blk/log-refused", Fixture, GSIZE_TO_POINTER(PLAIN), set_up,
		   test_log_refused, tear_down);
	for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strdup_printf("/vhost-user-blk/%s", tests[i].name);
		g_autofree char *plain = g_strdup_printf("%s/plain", path);

		g_test_add(path, Fixture, NULL, tests[i].started ? set_up_started : set_up,
			   tests[i].run, tear_down);
		if (tests[i].both)
			g_test_add(plain, Fixture, GSIZE_TO_POINTER(PLAIN),
				   tests[i].started ? set_up_started : set_up, tests[i].run,
				   tear_down);
	}
	return g_test_run();
}
