/*
 * virtio_device.c: life of a virtio device (virtio 1.2 §2, §3)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_device.h"

#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/virtio/virtio_pci.h"

const Property virtio_device_properties[] = {
	{ .name = "iothread",
	  .kind = PROPERTY_IOTHREAD,
	  .offset = offsetof(VirtioDevice, iothread),
	  .description = "I/O thread that serves the queues" },
	{ .name = "vectors",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioDevice, vectors),
	  .initial = VIRTIO_VECTORS_UNSET,
	  .description = "MSI-X vectors (default: as many as the device is best with)" },
	{ .name = "event_idx",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioDevice, want_event_idx),
	  .initial = true,
	  .description = "offer suppression of notifications by index" },
	{ .name = "indirect_desc",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioDevice, want_indirect),
	  .initial = true,
	  .description = "offer indirect descriptors" },
	{ .name = "queue_reset",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioDevice, want_ring_reset),
	  .initial = true,
	  .description = "offer reset of single queues" },
	{ .name = "packed",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioDevice, want_packed),
	  .description = "offer packed rings" },
	{ .name = "notification_data",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioDevice, want_notification_data),
	  .description = "let notifications say how far the ring is" },
	PROPERTY_END,
};

static VirtioDevice *virtio(Device *device)
{
	return (VirtioDevice *)device;
}

static void lock(VirtioDevice *device)
{
	g_mutex_lock(&device->pci.device.lock);
}

static void unlock(VirtioDevice *device)
{
	g_mutex_unlock(&device->pci.device.lock);
}

void virtio_device_act_soon(VirtioDevice *device)
{
	g_source_set_ready_time(device->path_source, 0);
}

/* Saved state */

static const StateField queue_fields[] = {
	STATE_FIELD(VirtioQueue, ring.size, STATE_UINT16),
	STATE_FIELD(VirtioQueue, ring.enabled, STATE_BOOL),
	STATE_FIELD(VirtioQueue, ring.vector, STATE_UINT16),
	STATE_FIELD(VirtioQueue, ring.descriptors, STATE_UINT64),
	STATE_FIELD(VirtioQueue, ring.driver_area, STATE_UINT64),
	STATE_FIELD(VirtioQueue, ring.device_area, STATE_UINT64),
	STATE_FIELD(VirtioQueue, ring.next_available, STATE_UINT16),
	STATE_FIELD(VirtioQueue, ring.next_used, STATE_UINT16),
	STATE_FIELD(VirtioQueue, ring.broken, STATE_BOOL),
	STATE_END,
};

static bool queue_after_load(void *object, GError **error)
{
	VirtioQueue *queue = object;
	Virtqueue *ring = &queue->ring;

	/* The features were loaded before the queues. */
	ring->packed = virtio_device_has_feature(queue->device, VIRTIO_F_RING_PACKED);
	/*
	 * Whatever else is wrong with a ring is found when it is mapped. One that is broken, or was
	 * never used, may be in any state that its driver chose.
	 */
	if (ring->size > 0 && ring->size <= ring->maximum_size &&
	    (!ring->enabled || ring->broken || virtqueue_state_is_good(ring)))
		return true;
	return error_fail(error, "the state of virtqueue %u is out of range", ring->index);
}

static const StateTable queue_state = {
	.name = "virtqueue",
	.version = 1,
	.minimum_version = 1,
	.fields = queue_fields,
	.after_load = queue_after_load,
};

static const StateField device_fields[] = {
	STATE_PART(VirtioDevice, pci, &pci_device_state),
	STATE_FIELD(VirtioDevice, status, STATE_UINT8),
	STATE_FIELD(VirtioDevice, accepted, STATE_UINT64),
	STATE_FIELD(VirtioDevice, device_feature_select, STATE_UINT32),
	STATE_FIELD(VirtioDevice, driver_feature_select, STATE_UINT32),
	STATE_FIELD(VirtioDevice, config_vector, STATE_UINT16),
	STATE_FIELD(VirtioDevice, queue_select, STATE_UINT16),
	STATE_FIELD(VirtioDevice, config_generation, STATE_UINT32),
	STATE_FIELD(VirtioDevice, isr, STATE_UINT32),
	STATE_FIELD(VirtioDevice, needs_reset, STATE_UINT32),
	{ .name = "queues",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(VirtioDevice, queues),
	  .element_size = sizeof(VirtioQueue),
	  .is_pointer = true,
	  .has_count_offset = true,
	  .count_offset = offsetof(VirtioDevice, n_queues),
	  .sub_table = &queue_state },
	STATE_END,
};

static bool device_after_load(void *object, GError **error)
{
	VirtioDevice *device = object;

	if (device->accepted & ~device->offered)
		return error_fail(error,
				  "the driver accepted virtio features that are not offered");
	if (device->path && device->path->negotiated)
		device->path->negotiated(device);
	return true;
}

const StateTable virtio_device_state = {
	.name = "virtio",
	.version = 1,
	.minimum_version = 1,
	.fields = device_fields,
	.after_load = device_after_load,
};

/* §2.1.2: a device that cannot go on says so, and interrupts once it has been told DRIVER_OK. */
void virtio_device_set_needs_reset(VirtioDevice *device, const char *reason)
{
	Device *base = &device->pci.device;

	/* Once for each device: the guest must not be able to fill the log. */
	if (!device->broken_logged)
		g_message("%s: %s; the device needs a reset",
			  base->id ? base->id : base->type->name, reason);
	device->broken_logged = true;
	if (__atomic_exchange_n(&device->needs_reset, 1, __ATOMIC_SEQ_CST))
		return;
	virtio_device_config_changed(device);
	if (device->path)
		virtio_device_act_soon(device);
}

static void path_stop(VirtioDevice *device)
{
	if (device->path_running)
		device->path->stop(device);
	device->path_running = false;
}

/* Main thread, if there is a path that would have to start or stop. */
static void update_path(VirtioDevice *device)
{
	bool run = device->running && device->path_ready &&
		   !__atomic_load_n(&device->needs_reset, __ATOMIC_SEQ_CST);
	g_autoptr(GError) error = NULL;

	if (!run || device->path_restarting)
		path_stop(device);
	device->path_restarting = false;
	if (device->running && device->path_lost)
		virtio_device_set_needs_reset(device, device->path_lost);
	if (!run || device->path_running)
		return;
	device->path_running = device->path->start(device, &error);
	if (!device->path_running && error)
		virtio_device_set_needs_reset(device, error->message);
}

/* What virtio_device_update() comes to, at once: the main thread, or a device without a path. */
static void update_now(VirtioDevice *device)
{
	bool run = !device->dead && !device->paused && (device->status & VIRTIO_STATUS_DRIVER_OK) &&
		   pci_device_is_bus_master(&device->pci);

	if (run && !device->running)
		virtio_queues_start(device);
	else if (!run && device->running)
		virtio_queues_stop(device);
	if (device->path)
		update_path(device);
	virtio_pci_update_notifiers(device);
}

void virtio_device_update(VirtioDevice *device)
{
	if (!device->path) {
		update_now(device);
		return;
	}
	virtio_device_act_soon(device);
	virtio_pci_update_notifiers(device);
}

static void reset_queue(VirtioQueue *queue)
{
	virtqueue_reset(&queue->ring);
	queue->resetting = false;
}

/* Everything the driver did is undone (§2.4.1); lock held. */
static void reset_locked(VirtioDevice *device)
{
	const VirtioDeviceType *type = virtio_device_type(device);

	device->status = 0;
	device->resetting = false;
	update_now(device);
	if (type->reset)
		type->reset(device);
	for (uint32_t i = 0; i < device->n_queues; i++)
		reset_queue(&device->queues[i]);
	device->accepted = 0;
	device->device_feature_select = device->driver_feature_select = 0;
	device->config_vector = VIRTIO_NO_VECTOR;
	device->queue_select = 0;
	__atomic_store_n(&device->isr, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&device->needs_reset, 0, __ATOMIC_SEQ_CST);
}

void virtio_device_set_status(VirtioDevice *device, uint8_t status)
{
	uint8_t added;

	if (device->resetting)
		return;
	if (status == 0 && device->path_running) {
		device->resetting = true;
		virtio_device_act_soon(device);
		return;
	}
	if (status == 0) {
		reset_locked(device);
		return;
	}
	/* The driver must not clear bits (§2.1.1), so those that it has left out stay. */
	added = status & ~device->status & ~VIRTIO_STATUS_NEEDS_RESET;
	/* §3.1.1: what was accepted holds from FEATURES_OK on, if we can live with it. */
	if ((added & VIRTIO_STATUS_FEATURES_OK) &&
	    ((device->accepted & ~device->offered) ||
	     !virtio_device_has_feature(device, VIRTIO_F_VERSION_1)))
		added &= ~VIRTIO_STATUS_FEATURES_OK;
	if (!((device->status | added) & VIRTIO_STATUS_FEATURES_OK))
		added &= ~VIRTIO_STATUS_DRIVER_OK;
	device->status |= added;
	if ((added & VIRTIO_STATUS_FEATURES_OK) && device->path && device->path->negotiated)
		device->path->negotiated(device);
	if (added & VIRTIO_STATUS_DRIVER_OK)
		virtio_device_update(device);
}

/* The part of the main thread in what vCPUs did to a device with a path. */
static gboolean path_act(gpointer data)
{
	VirtioDevice *device = data;
	const VirtioDeviceType *type = virtio_device_type(device);

	lock(device);
	g_source_set_ready_time(device->path_source, -1);
	if (device->resetting)
		reset_locked(device);
	for (uint32_t i = 0; i < device->n_queues; i++) {
		VirtioQueue *queue = &device->queues[i];

		if (!queue->resetting)
			continue;
		path_stop(device);
		if (type->queue_reset)
			type->queue_reset(device, queue);
		reset_queue(queue);
	}
	update_now(device);
	if (device->path->act)
		device->path->act(device);
	unlock(device);
	return G_SOURCE_CONTINUE;
}

void virtio_device_set_path_ready(VirtioDevice *device, bool ready, const char *lost)
{
	lock(device);
	device->path_ready = ready;
	device->path_lost = lost;
	/* While it was not there the driver may have been told to reset: see what it wants now. */
	update_now(device);
	unlock(device);
}

void virtio_device_restart_path(VirtioDevice *device)
{
	device->path_restarting = true;
	virtio_device_act_soon(device);
}

static gboolean dispatch_path(GSource *source, GSourceFunc callback, gpointer data)
{
	(void)source;
	return callback(data);
}

static GSourceFuncs path_source_funcs = { .dispatch = dispatch_path };

void virtio_device_set_path(VirtioDevice *device, const VirtioPath *path, gpointer data)
{
	device->path = path;
	device->path_data = data;
	device->path_source = g_source_new(&path_source_funcs, sizeof(GSource));
	g_source_set_callback(device->path_source, path_act, device, NULL);
	g_source_attach(device->path_source, virtio_device_services(device)->main_context);
}

static void forget_path(VirtioDevice *device)
{
	if (!device->path)
		return;
	g_source_destroy(device->path_source);
	g_clear_pointer(&device->path_source, g_source_unref);
	device->path = NULL;
}

/* Stop, have @change done to @queue, and go on. Rare enough to take the whole device along. */
static void change_queue(VirtioDevice *device, VirtioQueue *queue, bool enable)
{
	const VirtioDeviceType *type = virtio_device_type(device);
	bool was_running = device->running;

	if (queue->outside && device->path_running) {
		if (enable) {
			queue->ring.enabled = true;
			device->path_restarting = true;
		} else {
			queue->resetting = true;
		}
		virtio_device_act_soon(device);
		virtio_pci_update_notifiers(device);
		return;
	}
	if (was_running)
		virtio_queues_stop(device);
	if (enable) {
		queue->ring.enabled = true;
	} else {
		if (type->queue_reset)
			type->queue_reset(device, queue);
		reset_queue(queue);
	}
	if (was_running)
		virtio_queues_start(device);
	virtio_pci_update_notifiers(device);
}

void virtio_device_enable_queue(VirtioDevice *device, VirtioQueue *queue)
{
	if (!queue->ring.enabled && !device->dead)
		change_queue(device, queue, true);
}

void virtio_device_reset_queue(VirtioDevice *device, VirtioQueue *queue)
{
	if (virtio_device_has_feature(device, VIRTIO_F_RING_RESET) && !device->dead)
		change_queue(device, queue, false);
}

void virtio_device_config_changed(VirtioDevice *device)
{
	__atomic_add_fetch(&device->config_generation, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&device->status, __ATOMIC_SEQ_CST) & VIRTIO_STATUS_DRIVER_OK)
		virtio_pci_notify_config(device);
}

/* Life */

bool virtio_device_realize(Device *base, GError **error)
{
	VirtioDevice *device = virtio(base);
	const VirtioDeviceType *type = virtio_device_type(device);

	if (virtio_device_type(device)->needs_no_loop) {
		if (device->iothread)
			return error_fail(error, "the queues are not served by an iothread");
	} else if (!virtio_shares_find(device, error)) {
		return false;
	}
	g_mutex_init(&device->drain_lock);
	g_cond_init(&device->drain_cond);
	device->config_vector = VIRTIO_NO_VECTOR;
	pci_device_init(&device->pci);
	device->offered = VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	if (device->want_event_idx)
		device->offered |= VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX);
	if (device->want_indirect)
		device->offered |= VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC);
	if (device->want_ring_reset)
		device->offered |= VIRTIO_FEATURE(VIRTIO_F_RING_RESET);
	if (device->want_packed)
		device->offered |= VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	if (device->want_notification_data)
		device->offered |= VIRTIO_FEATURE(VIRTIO_F_NOTIFICATION_DATA);
	if (type->setup(device, error)) {
		if (virtio_pci_init(device, error))
			return true;
		type->teardown(device);
	}
	forget_path(device);
	virtio_queues_free(device);
	g_clear_pointer(&device->shares, g_free);
	pci_device_finish(&device->pci);
	g_mutex_clear(&device->drain_lock);
	g_cond_clear(&device->drain_cond);
	return false;
}

static void nothing(gpointer data)
{
	(void)data;
}

void virtio_device_unrealize(Device *base)
{
	VirtioDevice *device = virtio(base);

	/* From here on nothing that a vCPU still does here starts anything again. */
	lock(device);
	device->dead = true;
	update_now(device);
	unlock(device);
	address_space_unmap(virtio_device_services(device)->mmio, &device->registers);
	rcu_synchronize();
	/* What the main thread's timers have posted is about us, too, and comes before this. */
	virtio_shares_run(device, nothing);
	virtio_device_type(device)->teardown(device);
	forget_path(device);
	pci_device_finish(&device->pci);
	/* A vCPU may still be at our configuration space, which the bus takes away after this. */
	lock(device);
	virtio_queues_free(device);
	unlock(device);
	g_clear_pointer(&device->shares, g_free);
	g_mutex_clear(&device->drain_lock);
	g_cond_clear(&device->drain_cond);
}

void virtio_device_reset(Device *base)
{
	VirtioDevice *device = virtio(base);

	lock(device);
	reset_locked(device);
	unlock(device);
	pci_device_reset(&device->pci);
	lock(device);
	virtio_pci_update_notifiers(device);
	unlock(device);
}

void virtio_device_pause(Device *base)
{
	VirtioDevice *device = virtio(base);

	lock(device);
	device->paused = true;
	update_now(device);
	unlock(device);
}

void virtio_device_resume(Device *base)
{
	VirtioDevice *device = virtio(base);

	lock(device);
	device->paused = false;
	update_now(device);
	unlock(device);
}
