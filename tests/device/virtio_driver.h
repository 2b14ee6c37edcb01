/*
 * virtio_driver.h: a small virtio driver over PCI, for device tests
 *
 * It drives a device of a FakeMachine through its configuration space and BARs only, as a guest
 * would, with rings in the fake's RAM. MSI-X vector N sends data N.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "tests/device/fake_machine.h"
#include "tests/device/virtio_ring.h"
#include "vmm/base/io_loop.h"
#include "vmm/virtio/virtio_device.h"

#define VIRTIO_DRIVER_QUEUES	 256u
#define VIRTIO_DRIVER_TIMEOUT_MS 10000u

/* Offsets in the common configuration (virtio 1.2 §4.1.4.3). */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFF = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_QUEUE_NOTIFY_DATA = 0x38,
	COMMON_QUEUE_RESET = 0x3a,
};

typedef struct VirtioDriver {
	FakeMachine *fake;
	PciDevice *pci;
	uint64_t common, isr, config, notify; /* guest-physical */
	uint64_t notify_end;
	uint32_t notify_multiplier;
	unsigned window;   /* offset of the VIRTIO_PCI_CAP_PCI_CFG capability */
	bool packed;	   /* what was negotiated */
	uint64_t next_ram; /* where the next allocation goes */
	VirtioRing rings[VIRTIO_DRIVER_QUEUES];
} VirtioDriver;

/*
 * A FakeMachine with 16 MiB and an I/O loop as default; the loop is *@loop, which the caller frees
 * before the machine.
 */
FakeMachine *virtio_driver_machine(IoLoop **loop);

/* Find the capabilities of @device, place its BARs, let it master the bus, and set up MSI-X. */
void virtio_driver_probe(VirtioDriver *driver, FakeMachine *fake, Device *device);

/* @size bytes of zeroed guest RAM, 16-byte aligned. */
uint64_t virtio_driver_alloc(VirtioDriver *driver, uint64_t size);
uint8_t *virtio_driver_ram(VirtioDriver *driver, uint64_t gpa);

uint64_t virtio_driver_offered(VirtioDriver *driver);
/* Reset, then accept what is offered of @features (VERSION_1 always); FEATURES_OK must stick. */
void virtio_driver_negotiate(VirtioDriver *driver, uint64_t features);
/* Give queue @index a ring of @size descriptors (0: as many as it has) and enable it. */
void virtio_driver_enable_queue(VirtioDriver *driver, unsigned index, unsigned size);
/* All of the above for every queue, and DRIVER_OK. */
void virtio_driver_start(VirtioDriver *driver, uint64_t features);

uint8_t virtio_driver_status(VirtioDriver *driver);
void virtio_driver_set_status(VirtioDriver *driver, uint8_t status);
uint32_t virtio_driver_read_config(VirtioDriver *driver, unsigned offset, unsigned size);
void virtio_driver_write_config(VirtioDriver *driver, unsigned offset, uint32_t value,
				unsigned size);

/* Offer the chain at @head of queue @index, and notify. */
void virtio_driver_offer(VirtioDriver *driver, unsigned index, uint16_t head);
void virtio_driver_kick(VirtioDriver *driver, unsigned index);
/* Wait for a used entry; fails the test after VIRTIO_DRIVER_TIMEOUT_MS. Returns its id. */
uint32_t virtio_driver_wait(VirtioDriver *driver, unsigned index, uint32_t *length);
/* Whether the device says that it needs a reset; waits for it. */
bool virtio_driver_wait_needs_reset(VirtioDriver *driver);
/* Take an interrupt of @vector, waiting for it; others that come before are dropped. */
bool virtio_driver_wait_interrupt(VirtioDriver *driver, unsigned vector);
/* Let everything that was posted to @loop, and what that posted, run. */
void virtio_driver_settle(IoLoop *loop);
