/*
 * interrupt_moderation.c: interrupts of a queue that another one speaks for
 *
 * The timeout goes to the kernel with what the loop submits anyway. It is not taken back when the
 * interrupt is decided earlier: under load that would be more work than a look in vain.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/interrupt_moderation.h"

#include <errno.h>
#include <liburing.h>

#include "vmm/virtio/virtio_pci.h"

static void start_timeout(InterruptModeration *moderation)
{
	struct io_uring_sqe *sqe;

	/* Counted as a request, so that it has ended before the rings go. */
	virtio_queue_begin_request(moderation->queue);
	moderation->timing = true;
	moderation->decided = false;
	sqe = io_loop_get_sqe(moderation->queue->share->loop, &moderation->timeout);
	io_uring_prep_timeout(sqe, &moderation->delay, 0, 0);
}

static void timed_out(IoOperation *operation, int result)
{
	InterruptModeration *moderation =
		(InterruptModeration *)((char *)operation -
					G_STRUCT_OFFSET(InterruptModeration, timeout));

	moderation->timing = false;
	/* What is pending now may have come long after the timeout was started. */
	if (moderation->pending && moderation->decided && result == -ETIME)
		start_timeout(moderation);
	else
		interrupt_moderation_decide(moderation);
	virtio_queue_end_request(moderation->queue);
}

void interrupt_moderation_start(InterruptModeration *moderation)
{
	moderation->timeout.complete = timed_out;
	moderation->delay.tv_nsec = MODERATION_DELAY_NS;
	moderation->pending = moderation->spared = false;
}

void interrupt_moderation_stop(InterruptModeration *moderation)
{
	struct io_uring_sqe *sqe;

	interrupt_moderation_decide(moderation);
	if (!moderation->timing)
		return;
	sqe = io_loop_get_sqe(moderation->queue->share->loop, NULL);
	io_uring_prep_timeout_remove(sqe, (uint64_t)(uintptr_t)&moderation->timeout, 0);
}

void interrupt_moderation_decide(InterruptModeration *moderation)
{
	if (!moderation->pending)
		return;
	moderation->pending = false;
	moderation->decided = true;
	if (virtqueue_wants_interrupt(&moderation->queue->ring))
		virtio_pci_notify_queue(moderation->queue);
}

void interrupt_moderation_publish(InterruptModeration *moderation)
{
	Virtqueue *ring = &moderation->queue->ring;
	bool put_off = moderation->spared;

	if (ring->published_used == ring->next_used)
		return;
	virtqueue_publish_quietly(ring);
	moderation->pending = true;
	moderation->spared = false;
	if (!put_off)
		interrupt_moderation_decide(moderation);
	else if (!moderation->timing)
		start_timeout(moderation);
}
