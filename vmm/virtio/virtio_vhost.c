/*
 * virtio_vhost.c: queues of a virtio device that vhost serves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_vhost.h"

#include <glib-unix.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/memory/dirty_log.h"

/* Needs nothing from the other side, and what no eventfd can carry. */
#define OURS VIRTIO_FEATURE(VIRTIO_F_RING_RESET)

#define DRAIN_STEP_US 200

/* A packed ring's positions on the wire: an index and, above it, the wrap counter (§2.8.1). */
#define PACKED_WRAP 0x8000u

static uint16_t position_to_wire(const Virtqueue *ring, uint16_t position)
{
	return (uint16_t)(position < ring->size ? position | PACKED_WRAP
						: (unsigned)position - ring->size);
}

static uint32_t position_from_wire(const Virtqueue *ring, uint16_t wire)
{
	return (wire & PACKED_WRAP) ? wire & ~PACKED_WRAP : (uint32_t)wire + ring->size;
}

static uint32_t base_of(const Virtqueue *ring)
{
	if (!ring->packed)
		return ring->next_available;
	return position_to_wire(ring, ring->next_available) |
	       (uint32_t)position_to_wire(ring, ring->next_used) << 16;
}

static uint16_t read_index(const void *area)
{
	return __atomic_load_n((const uint16_t *)area + 1, __ATOMIC_ACQUIRE);
}

/* Set the positions of @ring to those of @base, if they can be; false, as they were, if not. */
static bool take_base(Virtqueue *ring, const VhostVring *vring, uint32_t base)
{
	uint16_t old_available = ring->next_available, old_used = ring->next_used;
	uint32_t available = base, used;

	if (ring->packed) {
		available = position_from_wire(ring, base & 0xffff);
		used = position_from_wire(ring, base >> 16);
	} else {
		used = read_index(vring->device_area);
	}
	if (available > UINT16_MAX || used > UINT16_MAX)
		return false;
	ring->next_available = available;
	ring->next_used = used;
	if (virtqueue_state_is_good(ring))
		return true;
	ring->next_available = old_available;
	ring->next_used = old_used;
	return false;
}

/*
 * Nobody says how far it is. In a split ring what was answered is known from the ring; requests
 * beyond are taken again. A packed ring does not tell.
 */
static void guess_base(VirtioVhost *self, Virtqueue *ring, const VhostVring *vring)
{
	if (!ring->packed)
		ring->next_available = ring->next_used = read_index(vring->device_area);
	else
		virtio_device_set_needs_reset(self->device, "the state of a packed ring is lost");
}

/* The areas of @queue (§2.7, §2.8) as host addresses, wholly in RAM; false with the queue broken.
 */
static bool find_areas(VirtioQueue *queue, VhostVring *vring)
{
	Virtqueue *ring = &queue->ring;
	bool packed = ring->packed;
	uint64_t n = ring->size;

	vring->descriptors = guest_memory_hva(ring->memory, ring->descriptors, n * 16, true);
	vring->driver_area =
		guest_memory_hva(ring->memory, ring->driver_area, packed ? 4 : 6 + 2 * n, true);
	vring->device_area =
		guest_memory_hva(ring->memory, ring->device_area, packed ? 4 : 6 + 8 * n, true);
	if (vring->descriptors && vring->driver_area && vring->device_area &&
	    ring->descriptors % 16 == 0 && ring->driver_area % (packed ? 4 : 2) == 0 &&
	    ring->device_area % 4 == 0)
		return true;
	virtio_queue_set_broken(queue, "the ring is not wholly in RAM, or misaligned");
	return false;
}

static bool is_served(const VirtioVhost *self, unsigned index)
{
	const VirtioQueue *queue = &self->device->queues[index];

	return queue->ring.enabled && queue->outside && index % self->queues_each < self->n_used;
}

static bool describe_vring(VirtioVhost *self, unsigned index)
{
	VirtioQueue *queue = &self->device->queues[index];
	VhostVring *vring = &self->vrings[index];

	queue->ring.packed = virtio_device_has_feature(self->device, VIRTIO_F_RING_PACKED);
	/* The size may be from when the driver still wanted packed rings. */
	if (!virtqueue_state_is_good(&queue->ring)) {
		virtio_queue_set_broken(queue, "the queue size or its positions are out of range");
		return false;
	}
	if (!find_areas(queue, vring))
		return false;
	vring->index = index % self->queues_each;
	vring->size = queue->ring.size;
	vring->base = base_of(&queue->ring);
	/* Of a packed ring it writes descriptors; what else it writes is seen to when it stops. */
	vring->written_gpa = queue->ring.packed ? queue->ring.descriptors : queue->ring.device_area;
	vring->kick_fd = queue->kick_fd;
	vring->call_fd = pci_msix_eventfd(&self->device->pci, queue->ring.vector);
	vring->error_fd = self->error_fd;
	return true;
}

/*
 * The vrings of @carrier whose queues are enabled, in @vrings with queues_each entries; returns how
 * many. -1: one is broken.
 */
static int enabled_vrings(VirtioVhost *self, unsigned carrier, VhostVring *vrings)
{
	unsigned first = carrier * self->queues_each;
	int n = 0;

	for (unsigned i = first; i < first + self->queues_each; i++) {
		self->vrings[i].size = 0;
		if (!is_served(self, i))
			continue;
		if (!describe_vring(self, i))
			return -1;
		vrings[n++] = self->vrings[i];
	}
	return n;
}

/*
 * Whether queue @index was among those that were started last: the driver may have enabled more of
 * them since.
 */
static bool is_started(const VirtioVhost *self, unsigned index)
{
	return self->vrings[index].size > 0;
}

/* The vrings of @carrier as they were started, in @vrings; returns how many. */
static unsigned started_vrings(VirtioVhost *self, unsigned carrier, VhostVring *vrings)
{
	unsigned first = carrier * self->queues_each, n = 0;

	for (unsigned i = first; i < first + self->queues_each; i++) {
		if (is_started(self, i))
			vrings[n++] = self->vrings[i];
	}
	return n;
}

/* The log that writes are marked in now, or none. */
static VhostLog current_log(const VirtioVhost *self)
{
	DirtyLogView view = { .fd = -1 };

	dirty_log_view(virtio_device_services(self->device)->memory, &view);
	return (VhostLog){ .fd = view.fd, .base = view.base, .size = view.size };
}

static void choose_log(VirtioVhost *self, unsigned carrier, VhostMemory *memory)
{
	memory->log = current_log(self);
	if (!memory->log.size || self->carriers[carrier]->can_log)
		return;
	/* Better a guest that runs than a log that is whole. */
	dirty_log_set_gap(virtio_device_services(self->device)->memory,
			  "a vhost back end that came has no dirty log");
	memory->log.size = 0;
}

static bool start_carrier(VirtioVhost *self, unsigned carrier, VhostMemory *memory, GError **error)
{
	g_autofree VhostVring *vrings = g_new0(VhostVring, self->queues_each);
	uint64_t features = self->device->accepted & self->carriers[carrier]->features;
	int n = enabled_vrings(self, carrier, vrings);

	if (n < 0)
		return error_fail(error, "a ring is broken");
	if (n == 0)
		return true;
	choose_log(self, carrier, memory);
	self->started[carrier] =
		vhost_start(self->carriers[carrier], features, memory, vrings, n, error);
	for (int i = 0; i < n && self->started[carrier]; i++) {
		/*
		 * What was notified of while nobody listened, or to a back end that took the
		 * notification and died, or answered by one that did not get to interrupting.
		 */
		fd_event_signal_shared(vrings[i].kick_fd);
		if (vrings[i].call_fd >= 0)
			fd_event_signal_shared(vrings[i].call_fd);
	}
	return self->started[carrier];
}

static VirtioVhost *virtio_vhost(VirtioDevice *device)
{
	return device->path_data;
}

bool virtio_vhost_start(VirtioDevice *device, GError **error)
{
	VirtioVhost *self = virtio_vhost(device);
	g_autofree VhostMemory *memory = g_new(VhostMemory, 1);
	GError *failure = NULL;

	for (unsigned i = 0; i < self->n_carriers; i++) {
		if (!self->carriers[i]->gone)
			continue;
		device->path_ready = false;
		return false;
	}
	if (self->reset_pending) {
		for (unsigned i = 0; i < self->n_carriers; i++)
			vhost_reset(self->carriers[i]);
	}
	self->reset_pending = false;
	if (!vhost_memory_describe(memory, virtio_device_services(device)->memory, self->shared,
				   error))
		return false;
	for (unsigned i = 0; i < self->n_carriers; i++) {
		if (start_carrier(self, i, memory, &failure))
			continue;
		virtio_vhost_stop(device);
		if (self->carriers[i]->gone && !self->carriers[i]->misbehaved) {
			device->path_ready = false;
			g_clear_error(&failure);
		} else {
			g_propagate_error(error, failure);
		}
		return false;
	}
	return true;
}

static bool is_drained(VirtioVhost *self, unsigned carrier)
{
	unsigned first = carrier * self->queues_each;

	for (unsigned i = first; i < first + self->queues_each; i++) {
		const Virtqueue *ring = &self->device->queues[i].ring;

		if (is_started(self, i) && !ring->packed &&
		    read_index(self->vrings[i].driver_area) !=
			    read_index(self->vrings[i].device_area))
			return false;
	}
	return true;
}

/*
 * A back end may go on with requests that it took before it was stopped, and some then write to
 * the ring without saying so: let them finish where the driver adds no more.
 */
static void drain(VirtioVhost *self, unsigned carrier)
{
	int64_t deadline = g_get_monotonic_time() + self->drain_ms * INT64_C(1000);

	while (!is_drained(self, carrier) && g_get_monotonic_time() < deadline)
		g_usleep(DRAIN_STEP_US);
}

static void stop_carrier(VirtioVhost *self, unsigned carrier)
{
	g_autofree VhostVring *vrings = g_new0(VhostVring, self->queues_each);
	Vhost *vhost = self->carriers[carrier];
	unsigned first = carrier * self->queues_each;
	unsigned n = started_vrings(self, carrier, vrings);
	g_autoptr(GError) error = NULL;
	bool known;

	if (!vhost->gone)
		drain(self, carrier);
	known = vhost_stop(vhost, vrings, n, &error);
	for (unsigned i = 0; i < n; i++) {
		Virtqueue *ring = &self->device->queues[first + vrings[i].index].ring;

		if (ring->packed) {
			guest_memory_mark(ring->memory, vrings[i].descriptors, ring->size * 16u);
			guest_memory_mark(ring->memory, vrings[i].device_area, 4);
		}
		if (known && take_base(ring, &vrings[i], vrings[i].base))
			continue;
		guess_base(self, ring, &vrings[i]);
	}
	self->started[carrier] = false;
}

void virtio_vhost_stop(VirtioDevice *device)
{
	VirtioVhost *self = virtio_vhost(device);

	for (unsigned i = 0; i < self->n_carriers; i++) {
		if (self->started[i])
			stop_carrier(self, i);
	}
}

const VirtioPath virtio_vhost_path = { .start = virtio_vhost_start, .stop = virtio_vhost_stop };

VhostUser *virtio_vhost_connect(VirtioDevice *device, const char *name,
				const VhostUserOptions *options, const VhostUserListener *listener,
				void *opaque, GError **error)
{
	DeviceServices *services = virtio_device_services(device);
	const Device *base = &device->pci.device;
	Chardev *chardev = services->find_chardev(services, name);

	if (!chardev) {
		error_fail(error, "there is no chardev '%s'", name);
		return NULL;
	}
	return vhost_user_new(chardev, base->id ? base->id : base->path, options, listener, opaque,
			      error);
}

void virtio_vhost_reset(VirtioVhost *self)
{
	self->reset_pending = true;
}

void virtio_vhost_lost(VirtioVhost *self, bool returns, const char *fault)
{
	VirtioDevice *device = self->device;

	virtio_device_set_path_ready(device, false, returns ? NULL : "the back end is gone");
	g_mutex_lock(&device->pci.device.lock);
	/* A driver that has been told, and has reset the device since, need not be told again. */
	if (fault && device->running)
		virtio_device_set_needs_reset(device, fault);
	g_mutex_unlock(&device->pci.device.lock);
}

void virtio_vhost_connected(VirtioVhost *self)
{
	uint64_t features = UINT64_MAX;

	for (unsigned i = 0; i < self->n_carriers; i++)
		features &= self->carriers[i]->features;
	/* One that can less than what the driver was promised is of no use to it. */
	if (self->needed & ~features)
		virtio_device_set_needs_reset(self->device, "the back end has fewer features now");
	else
		virtio_device_set_path_ready(self->device, true, NULL);
}

static void memory_changed(void *opaque)
{
	VirtioVhost *self = opaque;
	VirtioDevice *device = self->device;
	g_autofree VhostMemory *memory = g_new(VhostMemory, 1);
	g_autoptr(GError) error = NULL;
	bool good;

	g_mutex_lock(&device->pci.device.lock);
	good = !device->path_running ||
	       vhost_memory_describe(memory, virtio_device_services(device)->memory, self->shared,
				     &error);
	for (unsigned i = 0; i < self->n_carriers && good; i++)
		good = !self->started[i] || vhost_set_memory(self->carriers[i], memory, &error);
	if (!good)
		virtio_device_set_needs_reset(device, error->message);
	g_mutex_unlock(&device->pci.device.lock);
}

static bool set_carrier_log(VirtioVhost *self, unsigned carrier, const VhostLog *log,
			    GError **error)
{
	g_autofree VhostVring *vrings = g_new0(VhostVring, self->queues_each);
	Vhost *vhost = self->carriers[carrier];
	unsigned n = started_vrings(self, carrier, vrings);

	if (!self->started[carrier] || vhost->gone)
		return true;
	return vhost_set_log(vhost, self->device->accepted & vhost->features, log, vrings, n,
			     error);
}

static bool can_log(const VirtioVhost *self, GError **error)
{
	for (unsigned i = 0; i < self->n_carriers; i++) {
		if (!self->carriers[i]->gone && !self->carriers[i]->can_log)
			return error_fail(error, "the back end of %s has no dirty log",
					  self->device->pci.device.path);
	}
	return true;
}

static bool set_logging(void *opaque, bool logging, GError **error)
{
	static const VhostLog none = { .fd = -1 };
	VirtioVhost *self = opaque;
	VhostLog log = logging ? current_log(self) : none;
	bool good;

	g_mutex_lock(&self->device->pci.device.lock);
	good = !logging || can_log(self, error);
	for (unsigned i = 0; i < self->n_carriers && good; i++) {
		/* To stop is for each, whatever the others do. */
		if (set_carrier_log(self, i, &log, logging ? error : NULL) || !logging)
			continue;
		/* This one may have taken a part of it, which must not outlive the log. */
		for (unsigned told = 0; told <= i; told++)
			set_carrier_log(self, told, &none, NULL);
		good = false;
	}
	g_mutex_unlock(&self->device->pci.device.lock);
	return good;
}

static gboolean error_signalled(gint fd, GIOCondition condition, gpointer data)
{
	VirtioVhost *self = data;

	(void)condition;
	if (fd_event_take(fd))
		virtio_device_set_needs_reset(self->device, "the back end found a ring broken");
	return G_SOURCE_CONTINUE;
}

static bool watch_errors(VirtioVhost *self, GError **error)
{
	self->error_fd = fd_new_event(error);
	if (self->error_fd < 0)
		return false;
	self->error_source = g_unix_fd_source_new(self->error_fd, G_IO_IN);
	g_source_set_callback(self->error_source, G_SOURCE_FUNC(error_signalled), self, NULL);
	g_source_attach(self->error_source, virtio_device_services(self->device)->main_context);
	return true;
}

static bool take_queues(VirtioVhost *self, GError **error)
{
	for (unsigned i = 0; i < self->n_carriers * self->queues_each; i++) {
		VirtioQueue *queue = &self->device->queues[i];

		/* Nobody here may be held up by somebody else's reads and writes. */
		if (!fd_set_nonblocking(queue->kick_fd, true, error))
			return false;
		queue->outside = true;
	}
	return true;
}

/* Better said now than when the driver starts. */
static bool check_memory(VirtioVhost *self, GError **error)
{
	g_autofree VhostMemory *memory = g_new(VhostMemory, 1);

	return vhost_memory_describe(memory, virtio_device_services(self->device)->memory,
				     self->shared, error);
}

bool virtio_vhost_init(VirtioVhost *self, VirtioDevice *device, const VirtioPath *path,
		       const VirtioVhostOptions *options, uint64_t wanted, GError **error)
{
	uint64_t features = ~VIRTIO_FEATURE(VIRTIO_F_NOTIFICATION_DATA);

	for (unsigned i = 0; i < options->n_carriers; i++)
		features &= options->carriers[i]->features;
	if (!(features & VIRTIO_FEATURE(VIRTIO_F_VERSION_1)))
		return error_fail(error, "the back end is of before virtio 1.0");
	*self = (VirtioVhost){
		.device = device,
		.n_carriers = options->n_carriers,
		.queues_each = options->queues_each,
		.n_used = options->queues_each,
		.shared = options->shared,
		.drain_ms = options->drain_ms,
		.error_fd = -1,
		.memory_listener = { .changed = memory_changed,
				     .set_logging = set_logging,
				     .opaque = self },
	};
	if (!check_memory(self, error) || !take_queues(self, error) || !watch_errors(self, error))
		return false;
	self->carriers = g_memdup2(options->carriers, options->n_carriers * sizeof(Vhost *));
	self->started = g_new0(bool, options->n_carriers);
	self->vrings = g_new0(VhostVring, options->n_carriers * options->queues_each);
	self->needed = (device->offered & features & ~OURS) | (wanted & features);
	device->offered = (device->offered & OURS) | self->needed;
	guest_memory_add_listener(virtio_device_services(device)->memory, &self->memory_listener);
	virtio_device_set_path(device, path, self);
	device->path_ready = true;
	return true;
}

void virtio_vhost_clear(VirtioVhost *self)
{
	guest_memory_remove_listener(virtio_device_services(self->device)->memory,
				     &self->memory_listener);
	for (unsigned i = 0; i < self->n_carriers; i++)
		vhost_free(self->carriers[i]);
	g_source_destroy(self->error_source);
	g_clear_pointer(&self->error_source, g_source_unref);
	fd_close(&self->error_fd);
	g_clear_pointer(&self->carriers, g_free);
	g_clear_pointer(&self->started, g_free);
	g_clear_pointer(&self->vrings, g_free);
}
