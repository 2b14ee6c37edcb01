/*
 * vhost_user_device.c: a virtio device of any type that another process serves
 *
 * What it is, how many queues it has and how long its configuration is are properties; what it can
 * and what its configuration says is the back end's. The configuration is read when a back end
 * connects and when that says that it changed, so that the driver's reads wait for nobody; what the
 * driver writes is passed on soon after. A device whose configuration is a conversation, in which a
 * write chooses what the next read gives, cannot be had like this.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/vhost_user_device.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/pci/pci_registers.h"
#include "vmm/vhost/vhost_user.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtio_pci.h"
#include "vmm/virtio/virtio_vhost.h"

#define VIRTIO_ID_INPUT	     18
#define VIRTIO_ID_MAX	     63 /* what PCI has device ids for (§4.1.2) */
#define PCI_CLASS_UNASSIGNED 0xff0000
#define DEFAULT_QUEUE_SIZE   64
/* As disks, which it may be. */
#define DRAIN_MS 2000

/* §6: those that belong to the type of device. The rest is about rings and transport. */
#define TYPE_FEATURES (((1ULL << 24) - 1) | ~((1ULL << 50) - 1))

typedef struct VhostUserDevice {
	VirtioDevice virtio;

	/* Properties. */
	char *chardev_name;
	uint16_t virtio_id, num_queues, queue_size;
	uint32_t config_size;

	VhostUser *user;
	VirtioVhost vhost;
	/* Device lock: */
	uint8_t config[VIRTIO_CONFIG_MAX];
	unsigned written_from,
		written_to; /* by the driver, and not passed on yet; both 0: nothing */
} VhostUserDevice;

static VhostUserDevice *vhost_user_device(VirtioDevice *device)
{
	return (VhostUserDevice *)device;
}

/* Lock held. Failure cuts the back end off, which is told of by itself. */
static void pass_on(VhostUserDevice *any)
{
	unsigned from = any->written_from, to = any->written_to;

	if (from == to || !vhost_user_is_connected(any->user))
		return;
	any->written_from = any->written_to = 0;
	vhost_user_set_config(any->user, from, any->config + from, to - from, NULL);
}

/* Lock not held. */
static bool read_back_end(VhostUserDevice *any, GError **error)
{
	uint8_t config[VIRTIO_CONFIG_MAX] = {};

	if (any->config_size == 0)
		return true;
	if (!vhost_user_get_config(any->user, config, any->config_size, error))
		return false;
	g_mutex_lock(&any->virtio.pci.device.lock);
	memcpy(any->config, config, sizeof(config));
	g_mutex_unlock(&any->virtio.pci.device.lock);
	return true;
}

static bool reread_back_end(VhostUserDevice *any)
{
	VirtioDevice *device = &any->virtio;

	g_mutex_lock(&device->pci.device.lock);
	pass_on(any);
	g_mutex_unlock(&device->pci.device.lock);
	if (!read_back_end(any, NULL))
		return false;
	g_mutex_lock(&device->pci.device.lock);
	virtio_device_config_changed(device);
	g_mutex_unlock(&device->pci.device.lock);
	return true;
}

static void config_changed(void *opaque)
{
	(void)reread_back_end(opaque);
}

static void back_end_connected(void *opaque)
{
	VhostUserDevice *any = opaque;

	if (reread_back_end(any))
		virtio_vhost_connected(&any->vhost);
}

static void back_end_lost(void *opaque, bool returns, const char *fault)
{
	VhostUserDevice *any = opaque;

	virtio_vhost_lost(&any->vhost, returns, fault);
}

static const VhostUserListener listener = {
	.connected = back_end_connected,
	.lost = back_end_lost,
	.config_changed = config_changed,
};

static void path_act(VirtioDevice *device)
{
	pass_on(vhost_user_device(device));
}

static const VirtioPath device_path = {
	.start = virtio_vhost_start,
	.stop = virtio_vhost_stop,
	.act = path_act,
};

static void device_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VhostUserDevice *any = vhost_user_device(device);

	memcpy(bytes, any->config, any->config_size);
}

static void device_write_config(VirtioDevice *device, unsigned offset, uint32_t value,
				unsigned size)
{
	VhostUserDevice *any = vhost_user_device(device);
	bool first = any->written_from == any->written_to;

	if (offset + size > any->config_size)
		return;
	memcpy(any->config + offset, &value, size);
	any->written_from = first ? offset : MIN(any->written_from, offset);
	any->written_to = first ? offset + size : MAX(any->written_to, offset + size);
	virtio_device_act_soon(device);
}

static void device_reset(VirtioDevice *device)
{
	virtio_vhost_reset(&vhost_user_device(device)->vhost);
}

static bool connect_back_end(VhostUserDevice *any, GError **error)
{
	VhostUserOptions options = {
		.n_vrings = any->num_queues,
		.queue_size = any->queue_size,
		.protocol = VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD),
	};

	if (any->config_size > 0) {
		options.needed = VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG);
		options.protocol |= VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG) |
				    VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_BACKEND_REQ);
	}
	any->user = virtio_vhost_connect(&any->virtio, any->chardev_name, &options, &listener, any,
					 error);
	return any->user != NULL;
}

static bool device_setup(VirtioDevice *device, GError **error)
{
	VhostUserDevice *any = vhost_user_device(device);

	if (any->virtio_id == VIRTIO_ID_INPUT)
		return error_fail(error,
				  "input devices (virtio-id %u) cannot be served like this: "
				  "they answer in configuration space",
				  VIRTIO_ID_INPUT);
	if (!virtio_device_add_queues(device, any->num_queues, any->queue_size, error) ||
	    !connect_back_end(any, error))
		return false;
	if (read_back_end(any, error)) {
		Vhost *carrier = vhost_user_carrier(any->user);
		VirtioVhostOptions options = {
			.carriers = &carrier,
			.n_carriers = 1,
			.queues_each = any->num_queues,
			.shared = true,
			.drain_ms = DRAIN_MS,
		};

		if (virtio_vhost_init(&any->vhost, device, &device_path, &options, TYPE_FEATURES,
				      error)) {
			pci_set_word(device->pci.config + PCI_DEVICE_ID,
				     VIRTIO_PCI_DEVICE(any->virtio_id));
			return true;
		}
	}
	vhost_free(vhost_user_carrier(any->user));
	return false;
}

static void device_teardown(VirtioDevice *device)
{
	virtio_vhost_clear(&vhost_user_device(device)->vhost);
}

static const StateField device_fields[] = {
	STATE_PART(VhostUserDevice, virtio, &virtio_device_state),
	STATE_END,
};

static const StateTable device_state = {
	.name = "vhost-user-device",
	.version = 1,
	.minimum_version = 1,
	.fields = device_fields,
};

static const Property device_properties[] = {
	{ .name = "chardev",
	  .kind = PROPERTY_CHARDEV,
	  .offset = offsetof(VhostUserDevice, chardev_name),
	  .required = true,
	  .description = "socket of the back end" },
	{ .name = "virtio-id",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VhostUserDevice, virtio_id),
	  .minimum = 1,
	  .maximum = VIRTIO_ID_MAX,
	  .required = true,
	  .description = "type of device, as the virtio specification numbers them" },
	{ .name = "num_vqs",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VhostUserDevice, num_queues),
	  .initial = 1,
	  .minimum = 1,
	  .maximum = VIRTIO_QUEUES_MAX,
	  .description = "queues" },
	{ .name = "vq_size",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VhostUserDevice, queue_size),
	  .initial = DEFAULT_QUEUE_SIZE,
	  .minimum = 4,
	  .maximum = VIRTQUEUE_MAX_SIZE,
	  .power_of_two = true,
	  .description = "descriptors in each queue" },
	{ .name = "config_size",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VhostUserDevice, config_size),
	  .maximum = VIRTIO_CONFIG_MAX,
	  .description = "bytes of device configuration" },
	PROPERTY_END,
};

const VirtioDeviceType vhost_user_device_type = {
	.pci = {
		.device = {
			.name = "vhost-user-device-pci",
			.description = "virtio device of any type, of another process",
			.category = "Misc",
			.bus_kind = "PCI",
			.instance_size = sizeof(VhostUserDevice),
			.properties = { device_properties, virtio_device_properties,
					pci_device_properties },
			.state = &device_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		/* In place of 0 comes what "virtio-id" says. */
		VIRTIO_PCI_TYPE(0, PCI_CLASS_UNASSIGNED),
	},
	.config_size = VIRTIO_CONFIG_MAX,
	.needs_no_loop = true,
	.setup = device_setup,
	.teardown = device_teardown,
	.reset = device_reset,
	.read_config = device_read_config,
	.write_config = device_write_config,
};
