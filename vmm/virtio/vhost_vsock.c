/*
 * vhost_vsock.c: sockets between host and guest, served by the kernel (virtio 1.2 §5.10)
 *
 * The kernel has the receive and the send queue. The event queue stays here: the one event there
 * is tells that connections were cut, which never happens to a guest that stays on its host.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/vhost_vsock.h"

#include <fcntl.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/vhost/vhost_kernel.h"
#include "vmm/virtio/virtio_pci.h"
#include "vmm/virtio/virtio_vhost.h"

#define VIRTIO_ID_VSOCK		19
#define PCI_CLASS_COMMUNICATION 0x078000
#define QUEUE_SIZE		128
#define VSOCK_F_SEQPACKET	1
#define CID_MIN			3 /* those below are the host's, or have a meaning of their own */

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, N_QUEUES, N_OUTSIDE = QUEUE_EVENT };

typedef struct VhostVsock {
	VirtioDevice virtio;

	/* Properties. */
	uint64_t guest_cid;
	char *vhost_fd_name; /* NULL: opened here */

	VirtioVhost vhost;
} VhostVsock;

static VhostVsock *vhost_vsock(VirtioDevice *device)
{
	return (VhostVsock *)device;
}

static void vsock_read_config(VirtioDevice *device, uint8_t *bytes)
{
	memcpy(bytes, &vhost_vsock(device)->guest_cid, sizeof(uint64_t));
}

static void vsock_reset(VirtioDevice *device)
{
	virtio_vhost_reset(&vhost_vsock(device)->vhost);
}

static bool vsock_setup(VirtioDevice *device, GError **error)
{
	VhostVsock *vsock = vhost_vsock(device);
	DeviceServices *services = virtio_device_services(device);
	autofd int fd = -1;
	Vhost *carrier;
	VirtioVhostOptions options = {
		.carriers = &carrier,
		.n_carriers = 1,
		.queues_each = N_OUTSIDE,
	};

	if (vsock->vhost_fd_name)
		fd = services->take_fd(services, vsock->vhost_fd_name, error);
	else
		fd = fd_open("/dev/vhost-vsock", O_RDWR, 0, NULL, error);
	if (fd < 0)
		return false;
	if (!virtio_device_add_queues(device, N_QUEUES, QUEUE_SIZE, error))
		return false;
	carrier = vhost_kernel_new_vsock(fd, vsock->guest_cid, error);
	if (!carrier)
		return false;
	fd = -1;
	if (virtio_vhost_init(&vsock->vhost, device, &virtio_vhost_path, &options,
			      VIRTIO_FEATURE(VSOCK_F_SEQPACKET), error))
		return true;
	vhost_free(carrier);
	return false;
}

static void vsock_teardown(VirtioDevice *device)
{
	virtio_vhost_clear(&vhost_vsock(device)->vhost);
}

/* Buffers for events are the driver's to give, and wait for ever. */
static void vsock_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	(void)device;
	(void)queue;
}

static const StateField vsock_fields[] = {
	STATE_PART(VhostVsock, virtio, &virtio_device_state),
	STATE_END,
};

static const StateTable vsock_state = {
	.name = "vhost-vsock",
	.version = 1,
	.minimum_version = 1,
	.fields = vsock_fields,
};

static const Property vsock_properties[] = {
	{ .name = "guest-cid",
	  .kind = PROPERTY_UINT64,
	  .offset = offsetof(VhostVsock, guest_cid),
	  .minimum = CID_MIN,
	  .maximum = UINT32_MAX - 1,
	  .required = true,
	  .description = "context id of the guest, its address" },
	{ .name = "vhostfd",
	  .kind = PROPERTY_STRING,
	  .offset = offsetof(VhostVsock, vhost_fd_name),
	  .description = "an open /dev/vhost-vsock: a number, or a name given with getfd" },
	PROPERTY_END,
};

const VirtioDeviceType vhost_vsock_type = {
	.pci = {
		.device = {
			.name = "vhost-vsock-pci",
			.description = "sockets between host and guest",
			.category = "Misc",
			.bus_kind = "PCI",
			.instance_size = sizeof(VhostVsock),
			.properties = { vsock_properties, virtio_device_properties,
					pci_device_properties },
			.state = &vsock_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_VSOCK, PCI_CLASS_COMMUNICATION),
	},
	.config_size = sizeof(uint64_t),
	.setup = vsock_setup,
	.teardown = vsock_teardown,
	.reset = vsock_reset,
	.read_config = vsock_read_config,
	.queue_ready = vsock_queue_ready,
};
