/*
 * virtio_vhost.h: queues of a virtio device that vhost serves
 *
 * Goes between a device and the Vhost that has its queues: a VirtioPath. Kicks go from KVM to vhost
 * and interrupts from vhost to KVM by the eventfds that the queues and MSI-X vectors have anyway.
 * With several carriers each has the same number of consecutive queues, from queue 0 on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/memory/guest_memory.h"
#include "vmm/vhost/vhost.h"
#include "vmm/vhost/vhost_user.h"
#include "vmm/virtio/virtio_device.h"

typedef struct VirtioVhost {
	VirtioDevice *device;
	Vhost **carriers; /* owned, as what is in it */
	unsigned n_carriers, queues_each;
	unsigned n_used;   /* of each carrier, from its first on; may change while stopped */
	bool shared;	   /* guest memory must be in files that can be passed on */
	unsigned drain_ms; /* before a stop, wait so long for requests that were taken */
	uint64_t needed;   /* feature bits that the carriers must have */

	VhostVring *vrings; /* of all queues, as last started */
	bool *started;	    /* by carrier */
	bool reset_pending; /* the driver reset the device since */
	int error_fd;	    /* the other side found something wrong with a ring */
	GSource *error_source;
	GuestMemoryListener memory_listener;
} VirtioVhost;

/* How virtio_vhost_init() is told what is in @self afterwards. */
typedef struct VirtioVhostOptions {
	Vhost *const *carriers; /* taken over if it succeeds */
	unsigned n_carriers, queues_each;
	bool shared;
	unsigned drain_ms;
} VirtioVhostOptions;

/*
 * The back end at the other side of the chardev @name, connected and negotiated with on behalf of
 * @device: see vhost_user_new(). In setup. NULL and @error.
 */
VhostUser *virtio_vhost_connect(VirtioDevice *device, const char *name,
				const VhostUserOptions *options, const VhostUserListener *listener,
				void *opaque, GError **error);

/*
 * Serve queues of @device by @options->carriers, through @path, which calls virtio_vhost_start()
 * and virtio_vhost_stop() (virtio_vhost_path is nothing but them): after the queues were added,
 * whose number covers the carriers'. Of the features that any device may have those remain that
 * the carriers have, and of @wanted (the device's own) likewise. In setup. False and @error.
 */
bool virtio_vhost_init(VirtioVhost *self, VirtioDevice *device, const VirtioPath *path,
		       const VirtioVhostOptions *options, uint64_t wanted, GError **error);
/* In teardown. */
void virtio_vhost_clear(VirtioVhost *self);

/* The VirtioPath operations; device->path_data is the VirtioVhost. */
extern const VirtioPath virtio_vhost_path;
bool virtio_vhost_start(VirtioDevice *device, GError **error);
void virtio_vhost_stop(VirtioDevice *device);

/* In reset. Lock held. */
void virtio_vhost_reset(VirtioVhost *self);

/*
 * The other side has gone; whether it @returns, and, where it was cut off, its @fault (static
 * text), which the driver is told of. And: it is there, again. Main thread, lock not held.
 */
void virtio_vhost_lost(VirtioVhost *self, bool returns, const char *fault);
void virtio_vhost_connected(VirtioVhost *self);
