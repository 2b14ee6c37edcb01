/*
 * interrupt_moderation.h: interrupts of a queue that another one speaks for
 *
 * A driver that sends wants to know what was sent so that it can free it, and while it also
 * receives it finds that out by itself: it looks when it sends more and when it looks at what came.
 * So after an interrupt for something received, the next one for something sent is put off, and
 * left out if by then the driver has seen all. It is not put off any longer when more is sent with
 * nothing received between, or after MODERATION_DELAY_NS.
 *
 * Loop thread, all of these, except where it says otherwise.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <linux/time_types.h>

#include "vmm/virtio/virtio_device.h"

#define MODERATION_DELAY_NS 4000000

/* Zeroed but for @queue, which is set once. */
typedef struct InterruptModeration {
	VirtioQueue *queue;
	IoOperation timeout;
	struct __kernel_timespec delay;
	bool timing;  /* the timeout is with the kernel */
	bool decided; /* since it was given to it */
	bool pending; /* something is published, with no interrupt decided */
	bool spared;  /* the next one may be put off */
} InterruptModeration;

/* The device's rings are mapped, or about to be unmapped: nothing is left undecided. */
void interrupt_moderation_start(InterruptModeration *moderation);
void interrupt_moderation_stop(InterruptModeration *moderation);

/* Interrupt now for what was published, unless the driver has seen it. */
void interrupt_moderation_decide(InterruptModeration *moderation);

/* The driver has been interrupted for what will make it look at this queue, too. */
static inline void interrupt_moderation_spare(InterruptModeration *moderation)
{
	moderation->spared = true;
}

/* Publish what was pushed, and interrupt for it, at once or later. */
void interrupt_moderation_publish(InterruptModeration *moderation);
