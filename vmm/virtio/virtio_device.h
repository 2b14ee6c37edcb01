/*
 * virtio_device.h: what all virtio devices have in common
 *
 * A device type (VirtioDeviceType) brings its queues, its configuration space and what to do when
 * a queue has work; negotiation, life cycle, notification and the PCI transport are here.
 *
 * Threads. Registers are accessed on vCPU threads under the device's lock. Queues are worked on
 * I/O loops, which never take that lock: the loop of a queue (VirtioShare) owns its ring while the
 * device runs, and starting and stopping it is a handshake (io_loop_run_sync()). Most devices have
 * one loop for all their queues; one whose type spreads them has nothing that two loops share. So
 * whoever holds the lock may wait for the loop, and the loop waits for nobody. A device runs when
 * its driver said DRIVER_OK, it may master the bus, and the machine is not paused. Stopping it
 * (pause, reset, reset of a queue, unplug) lets requests that are with a back end complete first;
 * only then is memory of rings and requests let go.
 *
 * A queue may also be served outside of the process, by vhost: the loop then leaves it alone, and a
 * VirtioPath hands it over and takes it back. That is done on the main thread, since it may wait
 * for another process: what a vCPU does to such a device takes effect soon after, and until then
 * the device says so (status not yet 0, §3.1.1; queue_reset still 1, §2.6.1).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/base/io_loop.h"
#include "vmm/pci/pci.h"
#include "vmm/virtio/virtqueue.h"

/* Device status (virtio 1.2 §2.1). */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01
#define VIRTIO_STATUS_DRIVER	  0x02
#define VIRTIO_STATUS_DRIVER_OK	  0x04
#define VIRTIO_STATUS_FEATURES_OK 0x08
#define VIRTIO_STATUS_NEEDS_RESET 0x40
#define VIRTIO_STATUS_FAILED	  0x80

/* Feature bits of all devices (§6). */
#define VIRTIO_F_INDIRECT_DESC	   28
#define VIRTIO_F_EVENT_IDX	   29
#define VIRTIO_F_VERSION_1	   32
#define VIRTIO_F_RING_PACKED	   34
#define VIRTIO_F_IN_ORDER	   35
#define VIRTIO_F_NOTIFICATION_DATA 38
#define VIRTIO_F_RING_RESET	   40

#define VIRTIO_FEATURE(bit)  (1ULL << (bit))
#define VIRTIO_NO_VECTOR     0xffffu
#define VIRTIO_CONFIG_MAX    256u  /* bytes of device configuration at most */
#define VIRTIO_QUEUES_MAX    1024u /* what the notification area has room for */
#define VIRTIO_VECTORS_UNSET UINT32_MAX

typedef struct VirtioDevice VirtioDevice;
typedef struct VirtioQueue VirtioQueue;
typedef struct VirtioShare VirtioShare;

/* How queues that are served outside of the process get there. Main thread, device lock held. */
typedef struct VirtioPath {
	/*
	 * Hand over the queues that are outside and enabled. False and @error: none is, and the
	 * device needs a reset; false alone: the other side has gone, and path_ready with it.
	 */
	bool (*start)(VirtioDevice *device, GError **error);
	/* Take them back: the positions in their rings are what the other side had come to. */
	void (*stop)(VirtioDevice *device);
	/* After virtio_device_act_soon(). May be NULL. */
	void (*act)(VirtioDevice *device);
	/*
	 * Features have been settled, on which it may depend which queues are outside. Any thread,
	 * stopped. May be NULL.
	 */
	void (*negotiated)(VirtioDevice *device);
} VirtioPath;

typedef struct VirtioDeviceType {
	PciDeviceType pci;
	unsigned config_size;	  /* bytes of device configuration */
	unsigned default_vectors; /* 0: one for each queue and one for configuration */
	bool needs_no_loop;	  /* all queues are outside; queue_ready is NULL */

	/*
	 * Claim back ends, add queues, set device->offered. Main thread. False and @error leaves
	 * nothing behind.
	 */
	bool (*setup)(VirtioDevice *device, GError **error);
	/* Undo setup; the device has stopped for good. Main thread. */
	void (*teardown)(VirtioDevice *device);
	/* Back to power-on: forget elements that were held. Stopped, lock held. May be NULL. */
	void (*reset)(VirtioDevice *device);
	/* The same for what was held of one queue. May be NULL. */
	void (*queue_reset)(VirtioDevice *device, VirtioQueue *queue);
	/* Fill @config, config_size zeroed bytes. Lock held. May be NULL. */
	void (*read_config)(VirtioDevice *device, uint8_t *config);
	/*
	 * The driver wrote @size (1, 2, 4) bytes of @value; offset + size is within config_size.
	 * Lock held. May be NULL.
	 */
	void (*write_config)(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size);
	/*
	 * The rings are mapped (before the first queue_ready); and: take no more from them, give
	 * back with virtqueue_unpop() what can be. Loop thread. May be NULL.
	 */
	void (*start)(VirtioDevice *device);
	void (*stop)(VirtioDevice *device);
	/* The same for each loop of a device whose queues are spread over several. May be NULL. */
	void (*start_share)(VirtioShare *share);
	void (*stop_share)(VirtioShare *share);
	/* The driver notified @queue, or the device just started. Loop thread. */
	void (*queue_ready)(VirtioDevice *device, VirtioQueue *queue);
	/*
	 * Whether a loop that polls may look for chains itself and call queue_ready for them: where
	 * queue_ready is virtio_queue_process(), and takes all there are.
	 */
	bool is_polled;
} VirtioDeviceType;

/* What one loop has of a device. */
struct VirtioShare {
	VirtioDevice *device;
	IoLoop *loop;
	unsigned index;

	/* Loop thread. */
	bool active;
	unsigned n_busy; /* requests that are with a back end */
	bool draining;	 /* somebody waits for n_busy to become 0 */
};

struct VirtioQueue {
	Virtqueue ring;
	VirtioDevice *device;
	VirtioShare *share; /* whose it is */
	int kick_fd;	    /* eventfd: the driver's notifications */
	IoWatch *watch;	    /* of kick_fd; loop thread */
	uint64_t bound_at;  /* guest-physical address that signals kick_fd; 0: none */
	bool continuing;    /* a turn was cut short and goes on from a post; loop thread */
	IoPoller *poller;   /* loop thread; NULL: the type is not polled */
	bool polling;	    /* the loop looks for chains, the driver need not notify; loop thread */
	IoDeferred publish; /* loop thread */
	bool outside;	    /* served by the device's path: set in setup */
	bool resetting;	    /* of one outside: asked for, not done yet; device lock */
};

struct VirtioDevice {
	PciDevice pci;

	/* Properties. */
	char *iothread;
	json_object *iothread_mapping; /* of types that have "iothread-vq-mapping" */
	uint32_t vectors;
	bool want_event_idx, want_indirect, want_ring_reset, want_packed, want_notification_data;

	/* Fixed after realize. */
	IoLoop *loop; /* of the first share: where there is one, of all queues */
	VirtioShare *shares;
	unsigned n_shares;
	uint64_t offered; /* feature bits */
	VirtioQueue *queues;
	uint32_t n_queues;

	/* What the driver sees; device lock. */
	uint8_t status; /* without NEEDS_RESET */
	uint64_t accepted;
	uint32_t device_feature_select, driver_feature_select;
	uint16_t config_vector;
	uint16_t queue_select;

	/* Atomic: also written by loop and main thread. */
	unsigned config_generation;
	unsigned isr;
	int needs_reset;
	bool broken_logged;

	/* Run state; device lock. */
	bool dead;    /* being unrealized */
	bool paused;  /* by the machine */
	bool running; /* the loop owns the rings */

	/* Of a device with queues outside; device lock. */
	const VirtioPath *path; /* NULL: it has none; set in setup */
	gpointer path_data;	/* the path's own */
	GSource *path_source;	/* has the main thread act */
	bool path_ready;	/* the other side is there */
	const char *path_lost;	/* why it will not be again; NULL: it may */
	bool path_running;	/* it has the rings */
	bool path_restarting;	/* to be stopped, and started with what changed */
	bool resetting;		/* the driver wrote status 0, which is not done yet */

	GMutex drain_lock;
	GCond drain_cond;
	unsigned n_draining; /* drain_lock: shares that still have requests with a back end */

	/* The transport's registers (virtio_pci.c). */
	IoRegion registers;
	unsigned cfg_capability; /* offset of the VIRTIO_PCI_CAP_PCI_CFG window */
};

/* "iothread", "vectors", and those of features that all devices have: for DeviceType.properties. */
extern const Property virtio_device_properties[];
/* For a STATE_STRUCT field at offset 0 of every virtio type. */
extern const StateTable virtio_device_state;

/* The DeviceType operations of every virtio type. */
bool virtio_device_realize(Device *device, GError **error);
void virtio_device_unrealize(Device *device);
void virtio_device_reset(Device *device);
void virtio_device_pause(Device *device);
void virtio_device_resume(Device *device);

/* Whether @device is a virtio device. */
static inline bool virtio_device_is(const Device *device)
{
	return device->type->unrealize == virtio_device_unrealize;
}

static inline const VirtioDeviceType *virtio_device_type(const VirtioDevice *device)
{
	return (const VirtioDeviceType *)device->pci.device.type;
}

static inline DeviceServices *virtio_device_services(const VirtioDevice *device)
{
	return device->pci.device.services;
}

/*
 * Make @n queues, of at most @maximum_size descriptors each. Once, in setup; freed with the
 * device. False and @error when the host is out of eventfds.
 */
bool virtio_device_add_queues(VirtioDevice *device, unsigned n, unsigned maximum_size,
			      GError **error);

/* Give one of them another size; in setup. */
static inline void virtio_queue_set_maximum_size(VirtioQueue *queue, unsigned maximum_size)
{
	queue->ring.maximum_size = queue->ring.size = maximum_size;
}

/* Whether the driver accepted feature @bit. Loop thread while active, else under the lock. */
static inline bool virtio_device_has_feature(const VirtioDevice *device, unsigned bit)
{
	return device->accepted & VIRTIO_FEATURE(bit);
}

/*
 * Tell the driver that configuration space changed (§2.5): after the change, under the lock. Any
 * thread but the loop's, as that may not take the lock.
 */
void virtio_device_config_changed(VirtioDevice *device);

/*
 * Publish what was pushed to @queue and interrupt if the driver wants it: once for all that the
 * loop does before it next waits. Loop thread.
 */
void virtio_queue_publish(VirtioQueue *queue);

/*
 * What queue_ready does for most: pop elements and hand each to @handle, with notifications off
 * meanwhile, then publish. A driver that adds chains as fast as they are taken does not keep the
 * loop from other queues: after a ringful the rest waits for its turn. @handle returns false to
 * end the turn (having put the element back or aside); notifications then stay off until the
 * device calls this again. Loop thread.
 */
void virtio_queue_process(VirtioQueue *queue,
			  bool (*handle)(VirtioQueue *queue, VirtqueueElement *element));

/* The same, but for publishing, which the caller does in its own way. Loop thread. */
void virtio_queue_take(VirtioQueue *queue,
		       bool (*handle)(VirtioQueue *queue, VirtqueueElement *element));

/* Whether a device with one loop for all its queues works on them. Loop thread. */
static inline bool virtio_device_is_active(const VirtioDevice *device)
{
	return device->n_shares > 0 && device->shares[0].active;
}

/* Mark a request of @queue as being with a back end, and as back. Loop thread. */
void virtio_queue_begin_request(VirtioQueue *queue);
void virtio_queue_end_request(VirtioQueue *queue);

/* Give up on @queue because of what the driver put there: as for a broken ring. Loop thread. */
void virtio_queue_set_broken(VirtioQueue *queue, const char *reason);

/*
 * The device cannot go on until its driver resets it, because of @reason (static text), which is
 * logged once (§2.1.2). Any thread.
 */
void virtio_device_set_needs_reset(VirtioDevice *device, const char *reason);

/*
 * Serve the queues with VirtioQueue.outside by @path, whose own data is @data, once the other side
 * is ready. In setup.
 */
void virtio_device_set_path(VirtioDevice *device, const VirtioPath *path, gpointer data);

/*
 * The other side of the device's path has come, or is gone (@ready): start or stop as that has it.
 * Where none will come again, @lost (static text) says why, and a driver that is there, or comes,
 * is told that it needs a reset. Main thread, lock not held.
 */
void virtio_device_set_path_ready(VirtioDevice *device, bool ready, const char *lost);

/* Have the path's act called on the main thread. Lock held. */
void virtio_device_act_soon(VirtioDevice *device);

/* Between virtio_device.c and virtio_pci.c, lock held for all. */

/* What the path was told of its queues changed (an interrupt vector): tell it anew, soon. */
void virtio_device_restart_path(VirtioDevice *device);

/* The driver wrote @status: negotiate, start, or reset. */
void virtio_device_set_status(VirtioDevice *device, uint8_t status);
/* The driver wrote 1 to queue_enable, or to queue_reset, of @queue. */
void virtio_device_enable_queue(VirtioDevice *device, VirtioQueue *queue);
void virtio_device_reset_queue(VirtioDevice *device, VirtioQueue *queue);
/* Start or stop, as status, bus mastering and pause have it. */
void virtio_device_update(VirtioDevice *device);

/* virtio_queue.c: */

/* Have the loops serve the queues that are enabled, or no longer: when all is back. Lock held. */
void virtio_queues_start(VirtioDevice *device);
void virtio_queues_stop(VirtioDevice *device);
/* Call @func with each VirtioShare on its loop, one after the other. Any other thread. */
void virtio_shares_run(VirtioDevice *device, IoLoopFunc func);
/* Take the queues away again. Main thread. */
void virtio_queues_free(VirtioDevice *device);

/* virtio_shares.c, main thread: */

/* Find the loops that "iothread" or "iothread-vq-mapping" say; false and @error: one is missing. */
bool virtio_shares_find(VirtioDevice *device, GError **error);
/* Give each queue its share, once there are queues; false and @error: the mapping does not fit. */
bool virtio_shares_assign(VirtioDevice *device, GError **error);
