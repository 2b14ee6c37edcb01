/*
 * back_end_log.h: where a back end of tests marks what it writes (SET_LOG_BASE)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtqueue.h"

typedef struct BackEndLog {
	uint8_t *bits; /* NULL: none was handed over */
	size_t size;   /* bytes */
} BackEndLog;

/* Map the log that @wire says is in @fd, in place of another. And let go of it. */
void back_end_log_open(BackEndLog *log, const VhostUserLog *wire, int fd);
void back_end_log_close(BackEndLog *log);

/* Mark @size bytes at guest-physical @gpa, which must have their place in it. */
void back_end_log_mark(BackEndLog *log, uint64_t gpa, uint64_t size);
/* Mark the buffers of @element, of @memory, that are for writing. */
void back_end_log_element(BackEndLog *log, const GuestMemory *memory,
			  const VirtqueueElement *element);
