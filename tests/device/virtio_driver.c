/*
 * virtio_driver.c: a small virtio driver over PCI, for device tests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_driver.h"

#include <string.h>

#define RAM_SIZE	  (16u << 20)
#define RAM_START	  0x10000u
#define REGISTERS_AT	  0x4000000000ULL
#define MSIX_AT		  0xf0000000ULL
#define CAPABILITY_VENDOR 0x09
#define CAPABILITY_MSIX	  0x11

/* Poll until @condition holds; the main context runs meanwhile. */
#define WAIT_FOR(driver, condition)                                                  \
	for (gint64 end_ = g_get_monotonic_time() + VIRTIO_DRIVER_TIMEOUT_MS * 1000; \
	     !(condition) && g_get_monotonic_time() < end_; g_usleep(50))            \
	fake_machine_iterate((driver)->fake)

static uint32_t config_read(VirtioDriver *driver, unsigned offset, unsigned size)
{
	return pci_device_config_read(driver->pci, offset, size);
}

static void config_write(VirtioDriver *driver, unsigned offset, uint32_t value, unsigned size)
{
	pci_device_config_write(driver->pci, offset, value, size);
}

FakeMachine *virtio_driver_machine(IoLoop **loop)
{
	FakeMachine *fake = fake_machine_new(RAM_SIZE);
	g_autoptr(GError) error = NULL;

	*loop = io_loop_new("io", NULL, NULL, &error);
	g_assert_no_error(error);
	fake_machine_set_io_loop(fake, "", *loop);
	return fake;
}

static void found_capability(VirtioDriver *driver, unsigned at)
{
	uint8_t type = config_read(driver, at + 3, 1);
	uint64_t address = REGISTERS_AT + config_read(driver, at + 8, 4);
	uint32_t length = config_read(driver, at + 12, 4);

	if (type == 5) {
		driver->window = at;
		return;
	}
	g_assert_cmpuint(config_read(driver, at + 4, 1), ==, 4);
	switch (type) {
	case 1:
		driver->common = address;
		g_assert_cmpuint(length, >=, 0x3c);
		break;
	case 2:
		driver->notify = address;
		driver->notify_end = address + length;
		driver->notify_multiplier = config_read(driver, at + 16, 4);
		break;
	case 3:
		driver->isr = address;
		break;
	case 4:
		driver->config = address;
		break;
	default:
		g_assert_not_reached();
	}
}

static void enable_msix(VirtioDriver *driver, unsigned at)
{
	unsigned n = (config_read(driver, at + 2, 2) & 0x7ff) + 1;

	g_assert_cmpuint(config_read(driver, at + 4, 4), ==, 1); /* BAR 1, offset 0 */
	for (unsigned i = 0; i < n; i++) {
		fake_write(driver->fake, MSIX_AT + i * 16, 0xfee00000, 4);
		fake_write(driver->fake, MSIX_AT + i * 16 + 4, 0, 4);
		fake_write(driver->fake, MSIX_AT + i * 16 + 8, i, 4);
		fake_write(driver->fake, MSIX_AT + i * 16 + 12, 0, 4);
	}
	config_write(driver, at + 2, 0x8000, 2);
}

void virtio_driver_probe(VirtioDriver *driver, FakeMachine *fake, Device *device)
{
	unsigned msix = 0;

	*driver = (VirtioDriver){
		.fake = fake,
		.pci = (PciDevice *)device,
		.next_ram = RAM_START,
	};
	g_assert_cmpuint(config_read(driver, 0, 2), ==, 0x1af4);
	g_assert_cmpuint(config_read(driver, 8, 1), >=, 1); /* revision of a modern device */
	config_write(driver, 0x14, MSIX_AT, 4);
	config_write(driver, 0x20, (uint32_t)REGISTERS_AT, 4);
	config_write(driver, 0x24, REGISTERS_AT >> 32, 4);
	config_write(driver, 0x04, 0x6, 2); /* memory, bus master */
	for (unsigned at = config_read(driver, 0x34, 1); at; at = config_read(driver, at + 1, 1)) {
		uint8_t id = config_read(driver, at, 1);

		if (id == CAPABILITY_VENDOR)
			found_capability(driver, at);
		else if (id == CAPABILITY_MSIX)
			msix = at;
	}
	g_assert_true(driver->common && driver->isr && driver->notify && driver->window);
	if (msix)
		enable_msix(driver, msix);
}

uint64_t virtio_driver_alloc(VirtioDriver *driver, uint64_t size)
{
	uint64_t at = driver->next_ram;

	driver->next_ram = (at + size + 15) & ~15ULL;
	g_assert_cmpuint(driver->next_ram, <=, RAM_SIZE);
	memset(driver->fake->ram + at, 0, size);
	return at;
}

uint8_t *virtio_driver_ram(VirtioDriver *driver, uint64_t gpa)
{
	return driver->fake->ram + gpa;
}

static void common_write(VirtioDriver *driver, unsigned offset, uint64_t value, unsigned size)
{
	fake_write(driver->fake, driver->common + offset, value, size);
}

static uint32_t common_read(VirtioDriver *driver, unsigned offset, unsigned size)
{
	return fake_read(driver->fake, driver->common + offset, size);
}

uint64_t virtio_driver_offered(VirtioDriver *driver)
{
	uint64_t offered;

	common_write(driver, COMMON_DEVICE_FEATURE_SELECT, 0, 4);
	offered = common_read(driver, COMMON_DEVICE_FEATURE, 4);
	common_write(driver, COMMON_DEVICE_FEATURE_SELECT, 1, 4);
	return offered | (uint64_t)common_read(driver, COMMON_DEVICE_FEATURE, 4) << 32;
}

uint8_t virtio_driver_status(VirtioDriver *driver)
{
	return common_read(driver, COMMON_STATUS, 1);
}

void virtio_driver_set_status(VirtioDriver *driver, uint8_t status)
{
	common_write(driver, COMMON_STATUS, status, 1);
}

void virtio_driver_negotiate(VirtioDriver *driver, uint64_t features)
{
	features |= VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	features &= virtio_driver_offered(driver);
	driver->packed = features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	virtio_driver_set_status(driver, 0);
	WAIT_FOR(driver, virtio_driver_status(driver) == 0);
	g_assert_cmpuint(virtio_driver_status(driver), ==, 0);
	virtio_driver_set_status(driver, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	for (unsigned half = 0; half < 2; half++) {
		common_write(driver, COMMON_DRIVER_FEATURE_SELECT, half, 4);
		common_write(driver, COMMON_DRIVER_FEATURE, (uint32_t)(features >> 32 * half), 4);
	}
	virtio_driver_set_status(driver, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
						 VIRTIO_STATUS_FEATURES_OK);
	g_assert_true(virtio_driver_status(driver) & VIRTIO_STATUS_FEATURES_OK);
	common_write(driver, COMMON_CONFIG_VECTOR, 0, 2);
}

static void write_address(VirtioDriver *driver, unsigned offset, uint64_t address)
{
	common_write(driver, offset, (uint32_t)address, 4);
	common_write(driver, offset + 4, address >> 32, 4);
}

void virtio_driver_enable_queue(VirtioDriver *driver, unsigned index, unsigned size)
{
	VirtioRing *ring = &driver->rings[index];

	g_assert_cmpuint(index, <, VIRTIO_DRIVER_QUEUES);
	common_write(driver, COMMON_QUEUE_SELECT, index, 2);
	if (size)
		common_write(driver, COMMON_QUEUE_SIZE, size, 2);
	size = common_read(driver, COMMON_QUEUE_SIZE, 2);
	g_assert_cmpuint(size, >, 0);
	(driver->packed ? virtio_ring_init_packed : virtio_ring_init)(
		ring, driver->fake->ram, virtio_driver_alloc(driver, virtio_ring_bytes(size)),
		size);
	common_write(driver, COMMON_QUEUE_VECTOR, index + 1, 2);
	write_address(driver, COMMON_QUEUE_DESC, driver->packed ? ring->ring : ring->descriptors);
	write_address(driver, COMMON_QUEUE_DRIVER, ring->available);
	write_address(driver, COMMON_QUEUE_DEVICE, ring->used);
	common_write(driver, COMMON_QUEUE_ENABLE, 1, 2);
	g_assert_cmpuint(common_read(driver, COMMON_QUEUE_ENABLE, 2), ==, 1);
}

void virtio_driver_start(VirtioDriver *driver, uint64_t features)
{
	unsigned n = common_read(driver, COMMON_NUM_QUEUES, 2);

	virtio_driver_negotiate(driver, features);
	for (unsigned i = 0; i < n; i++)
		virtio_driver_enable_queue(driver, i, 0);
	virtio_driver_set_status(driver, virtio_driver_status(driver) | VIRTIO_STATUS_DRIVER_OK);
}

uint32_t virtio_driver_read_config(VirtioDriver *driver, unsigned offset, unsigned size)
{
	return fake_read(driver->fake, driver->config + offset, size);
}

void virtio_driver_write_config(VirtioDriver *driver, unsigned offset, uint32_t value,
				unsigned size)
{
	fake_write(driver->fake, driver->config + offset, value, size);
}

void virtio_driver_offer(VirtioDriver *driver, unsigned index, uint16_t head)
{
	virtio_ring_offer(&driver->rings[index], head);
	virtio_driver_kick(driver, index);
}

void virtio_driver_kick(VirtioDriver *driver, unsigned index)
{
	fake_write(driver->fake, driver->notify + index * driver->notify_multiplier, index, 2);
}

uint32_t virtio_driver_wait(VirtioDriver *driver, unsigned index, uint32_t *length)
{
	VirtioRing *ring = &driver->rings[index];
	uint32_t id = UINT32_MAX, ignored;
	bool taken = false;

	WAIT_FOR(driver, (taken = virtio_ring_take_used(ring, &id, length ? length : &ignored)));
	g_assert_true(taken);
	return id;
}

bool virtio_driver_wait_needs_reset(VirtioDriver *driver)
{
	WAIT_FOR(driver, virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
	return virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET;
}

bool virtio_driver_wait_interrupt(VirtioDriver *driver, unsigned vector)
{
	MsiMessage message;
	bool found = false;

	WAIT_FOR(driver,
		 (found = fake_machine_take_msi(driver->fake, &message) && message.data == vector));
	return found;
}

static void nothing(gpointer data)
{
	(void)data;
}

void virtio_driver_settle(IoLoop *loop)
{
	/* Each turn runs what was posted before it; a few turns cover posts by posts. */
	for (unsigned i = 0; i < 4; i++)
		io_loop_run_sync(loop, nothing, NULL);
}
