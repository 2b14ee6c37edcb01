/*
 * back_end_disk.h: a disk in memory, as a back end serves it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtqueue.h"

/*
 * Serve the request @element of a block device from @disk of @size bytes; @unsupported: discards
 * and writes of zeroes are not. Returns how many bytes were written to it.
 */
uint32_t back_end_disk_serve(uint8_t *disk, size_t size, VirtqueueElement *element,
			     bool unsupported);
