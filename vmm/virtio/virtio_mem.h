/*
 * virtio_mem.h: memory that grows and shrinks (virtio 1.2 §5.15)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

/* "virtio-mem-pci" */
extern const VirtioDeviceType virtio_mem_type;

static inline bool virtio_mem_is(const Device *device)
{
	return device->type == &virtio_mem_type.pci.device;
}

/* What there is to say of one, sizes in bytes. */
typedef struct VirtioMemInfo {
	const char *memdev;
	uint64_t address; /* guest-physical */
	uint64_t size;	  /* what the guest has of it */
	uint64_t requested_size, maximum_size, block_size;
	uint32_t node;
} VirtioMemInfo;

/* Fill in *@info; its string lives as long as @device, which is realized. Main thread. */
void virtio_mem_get_info(Device *device, VirtioMemInfo *info);
