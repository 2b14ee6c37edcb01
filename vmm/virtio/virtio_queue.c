/*
 * virtio_queue.c: the queues of a virtio device, on the I/O loops that serve them
 *
 * A queue belongs to its share's loop from when the device starts until it has stopped. Stopping is
 * two steps: nothing more is taken from the rings, and when all requests are back, the rings are
 * let go of.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_device.h"

#include "vmm/base/fd.h"
#include "vmm/base/trace.h"
#include "vmm/virtio/virtio_pci.h"

static void kick_seen(gpointer data)
{
	VirtioQueue *queue = data;

	virtqueue_count(&queue->ring.counters.kicks, 1);
	trace_virtio_kick(queue->ring.device_path, queue->ring.index);
	if (queue->share->active)
		virtio_device_type(queue->device)->queue_ready(queue->device, queue);
}

static void polling_begins(gpointer data)
{
	VirtioQueue *queue = data;

	queue->polling = true;
	virtqueue_set_notification(&queue->ring, false);
}

static bool poll_queue(gpointer data)
{
	VirtioQueue *queue = data;

	if (!virtqueue_has_available(&queue->ring))
		return false;
	virtqueue_count(&queue->ring.counters.polls, 1);
	virtio_device_type(queue->device)->queue_ready(queue->device, queue);
	return true;
}

static void polling_ends(gpointer data)
{
	VirtioQueue *queue = data;

	queue->polling = false;
	if (virtqueue_set_notification(&queue->ring, true))
		virtio_device_type(queue->device)->queue_ready(queue->device, queue);
}

static const IoPollerOps poller_ops = {
	.begin = polling_begins,
	.poll = poll_queue,
	.end = polling_ends,
};

static void start_queue(VirtioQueue *queue)
{
	VirtioDevice *device = queue->device;
	IoLoop *loop = queue->share->loop;

	queue->ring.packed = virtio_device_has_feature(device, VIRTIO_F_RING_PACKED);
	queue->ring.in_order = virtio_device_has_feature(device, VIRTIO_F_IN_ORDER);
	if (!queue->ring.enabled || queue->outside ||
	    !virtqueue_map(&queue->ring, virtio_device_has_feature(device, VIRTIO_F_EVENT_IDX),
			   virtio_device_has_feature(device, VIRTIO_F_INDIRECT_DESC)))
		return;
	queue->watch = io_loop_watch_event(loop, queue->kick_fd, kick_seen, queue);
	if (virtio_device_type(device)->is_polled)
		queue->poller = io_loop_add_poller(loop, &poller_ops, queue);
}

static void start_on_loop(gpointer data)
{
	VirtioShare *share = data;
	VirtioDevice *device = share->device;
	const VirtioDeviceType *type = virtio_device_type(device);

	for (uint32_t i = 0; i < device->n_queues; i++) {
		if (device->queues[i].share == share)
			start_queue(&device->queues[i]);
	}
	share->active = true;
	if (type->start && share->index == 0)
		type->start(device);
	if (type->start_share)
		type->start_share(share);
	/* Whatever is in the rings by now may have been notified of while nobody listened. */
	for (uint32_t i = 0; i < device->n_queues; i++) {
		if (device->queues[i].share == share && device->queues[i].ring.ops)
			type->queue_ready(device, &device->queues[i]);
	}
}

static void report_drained(VirtioDevice *device)
{
	g_mutex_lock(&device->drain_lock);
	device->n_draining--;
	g_cond_signal(&device->drain_cond);
	g_mutex_unlock(&device->drain_lock);
}

static void stop_on_loop(gpointer data)
{
	VirtioShare *share = data;
	VirtioDevice *device = share->device;
	const VirtioDeviceType *type = virtio_device_type(device);

	for (uint32_t i = 0; i < device->n_queues; i++) {
		VirtioQueue *queue = &device->queues[i];

		if (queue->share != share)
			continue;
		g_clear_pointer(&queue->watch, io_watch_remove);
		g_clear_pointer(&queue->poller, io_poller_remove);
		queue->polling = false;
	}
	share->active = false;
	if (type->stop && share->index == 0)
		type->stop(device);
	if (type->stop_share)
		type->stop_share(share);
	share->draining = true;
	if (share->n_busy == 0)
		report_drained(device);
}

static void publish(IoDeferred *deferred)
{
	VirtioQueue *queue =
		(VirtioQueue *)((char *)deferred - G_STRUCT_OFFSET(VirtioQueue, publish));

	if (virtqueue_publish(&queue->ring))
		virtio_pci_notify_queue(queue);
}

static void unmap_on_loop(gpointer data)
{
	VirtioShare *share = data;
	VirtioDevice *device = share->device;

	share->draining = false;
	for (uint32_t i = 0; i < device->n_queues; i++) {
		VirtioQueue *queue = &device->queues[i];

		if (queue->share != share)
			continue;
		/* The last requests may have come back in this very turn. */
		if (queue->publish.link)
			publish(&queue->publish);
		io_deferred_cancel(&queue->publish);
		virtqueue_unmap(&queue->ring);
	}
}

void virtio_queue_begin_request(VirtioQueue *queue)
{
	queue->share->n_busy++;
}

void virtio_queue_end_request(VirtioQueue *queue)
{
	VirtioShare *share = queue->share;

	if (--share->n_busy == 0 && share->draining)
		report_drained(share->device);
}

void virtio_queue_publish(VirtioQueue *queue)
{
	io_loop_defer(queue->share->loop, &queue->publish);
}

static void continue_queue(gpointer data)
{
	VirtioQueue *queue = data;

	queue->continuing = false;
	if (queue->share->active)
		virtio_device_type(queue->device)->queue_ready(queue->device, queue);
}

void virtio_queue_take(VirtioQueue *queue,
		       bool (*handle)(VirtioQueue *queue, VirtqueueElement *element))
{
	unsigned budget = queue->ring.size;

	if (!queue->polling)
		virtqueue_set_notification(&queue->ring, false);
	for (;;) {
		VirtqueueElement *element;

		if (budget-- == 0) {
			if (!queue->continuing)
				io_loop_post(queue->share->loop, continue_queue, queue);
			queue->continuing = true;
			break;
		}
		element = virtqueue_pop(&queue->ring);
		if (element) {
			if (!handle(queue, element))
				break;
			continue;
		}
		if (queue->polling || !virtqueue_set_notification(&queue->ring, true))
			break;
		virtqueue_set_notification(&queue->ring, false);
	}
}

void virtio_queue_process(VirtioQueue *queue,
			  bool (*handle)(VirtioQueue *queue, VirtqueueElement *element))
{
	virtio_queue_take(queue, handle);
	virtio_queue_publish(queue);
}

static void queue_broken(Virtqueue *ring, const char *reason)
{
	g_autofree char *text = g_strdup_printf("queue %u: %s", ring->index, reason);

	virtio_device_set_needs_reset(ring->owner, text);
}

void virtio_queue_set_broken(VirtioQueue *queue, const char *reason)
{
	virtqueue_set_broken(&queue->ring, reason);
}

/* The lock's side */

void virtio_shares_run(VirtioDevice *device, IoLoopFunc func)
{
	for (unsigned i = 0; i < device->n_shares; i++)
		io_loop_run_sync(device->shares[i].loop, func, &device->shares[i]);
}

void virtio_queues_start(VirtioDevice *device)
{
	device->running = true;
	virtio_shares_run(device, start_on_loop);
}

void virtio_queues_stop(VirtioDevice *device)
{
	device->running = false;
	device->n_draining = device->n_shares;
	virtio_shares_run(device, stop_on_loop);
	g_mutex_lock(&device->drain_lock);
	while (device->n_draining > 0)
		g_cond_wait(&device->drain_cond, &device->drain_lock);
	g_mutex_unlock(&device->drain_lock);
	virtio_shares_run(device, unmap_on_loop);
}

bool virtio_device_add_queues(VirtioDevice *device, unsigned n, unsigned maximum_size,
			      GError **error)
{
	device->queues = g_new0(VirtioQueue, n);
	for (unsigned i = 0; i < n; i++) {
		VirtioQueue *queue = &device->queues[i];

		queue->kick_fd = fd_new_blocking_event(error);
		if (queue->kick_fd < 0)
			return false;
		queue->device = device;
		queue->publish.func = publish;
		virtqueue_init(&queue->ring, virtio_device_services(device)->memory, i,
			       maximum_size);
		queue->ring.owner = device;
		queue->ring.device_path = device->pci.device.path;
		queue->ring.on_broken = queue_broken;
		device->n_queues = i + 1;
	}
	return virtio_shares_assign(device, error);
}

void virtio_queues_free(VirtioDevice *device)
{
	for (uint32_t i = 0; i < device->n_queues; i++) {
		virtqueue_reset(&device->queues[i].ring);
		fd_close(&device->queues[i].kick_fd);
	}
	device->n_queues = 0;
	g_clear_pointer(&device->queues, g_free);
}
