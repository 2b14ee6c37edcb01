/*
 * vhost_user_fs.c: file system of the host that another process (virtiofsd) serves (virtio 1.2
 * §5.11)
 *
 * Its configuration, the tag by which the guest mounts it, is ours; the back end has the queues.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/vhost_user_fs.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/vhost/vhost_user.h"
#include "vmm/virtio/virtio_pci.h"
#include "vmm/virtio/virtio_vhost.h"

#define VIRTIO_ID_FS		26
#define PCI_CLASS_STORAGE_OTHER 0x018000

#define TAG_SIZE	   36u
#define DEFAULT_QUEUE_SIZE 128
#define REQUEST_QUEUES_MAX 64
/* Requests can wait for locks that the guest holds: only those that are quick are waited for. */
#define DRAIN_MS 500

/* §5.11.4 */
typedef struct FsConfig {
	char tag[TAG_SIZE]; /* padded with zeroes */
	uint32_t num_request_queues;
} FsConfig;

G_STATIC_ASSERT(sizeof(FsConfig) == 40);

typedef struct VhostUserFs {
	VirtioDevice virtio;

	/* Properties. */
	char *chardev_name;
	char *tag;
	uint16_t num_request_queues, queue_size;

	VirtioVhost vhost;
} VhostUserFs;

static VhostUserFs *vhost_user_fs(VirtioDevice *device)
{
	return (VhostUserFs *)device;
}

static void back_end_connected(void *opaque)
{
	virtio_vhost_connected(&((VhostUserFs *)opaque)->vhost);
}

static void back_end_lost(void *opaque, bool returns, const char *fault)
{
	virtio_vhost_lost(&((VhostUserFs *)opaque)->vhost, returns, fault);
}

static const VhostUserListener listener = {
	.connected = back_end_connected,
	.lost = back_end_lost,
};

static void fs_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VhostUserFs *fs = vhost_user_fs(device);
	FsConfig config = { .num_request_queues = fs->num_request_queues };

	memcpy(config.tag, fs->tag, strlen(fs->tag));
	memcpy(bytes, &config, sizeof(config));
}

static void fs_reset(VirtioDevice *device)
{
	virtio_vhost_reset(&vhost_user_fs(device)->vhost);
}

static bool fs_setup(VirtioDevice *device, GError **error)
{
	VhostUserFs *fs = vhost_user_fs(device);
	unsigned n_queues = 1u + fs->num_request_queues; /* the first is for urgent requests */
	const VhostUserOptions connection = { .n_vrings = n_queues };
	VhostUser *user;
	Vhost *carrier;
	VirtioVhostOptions options = {
		.carriers = &carrier,
		.n_carriers = 1,
		.queues_each = n_queues,
		.shared = true,
		.drain_ms = DRAIN_MS,
	};

	if (!fs->tag[0] || strlen(fs->tag) > TAG_SIZE)
		return error_fail(error, "the tag is not between 1 and %u bytes long", TAG_SIZE);
	if (!virtio_device_add_queues(device, n_queues, fs->queue_size, error))
		return false;
	user = virtio_vhost_connect(device, fs->chardev_name, &connection, &listener, fs, error);
	if (!user)
		return false;
	carrier = vhost_user_carrier(user);
	if (virtio_vhost_init(&fs->vhost, device, &virtio_vhost_path, &options, 0, error))
		return true;
	vhost_free(carrier);
	return false;
}

static void fs_teardown(VirtioDevice *device)
{
	virtio_vhost_clear(&vhost_user_fs(device)->vhost);
}

static const StateField fs_fields[] = {
	STATE_PART(VhostUserFs, virtio, &virtio_device_state),
	STATE_END,
};

static const StateTable fs_state = {
	.name = "vhost-user-fs",
	.version = 1,
	.minimum_version = 1,
	.fields = fs_fields,
};

static const Property fs_properties[] = {
	{ .name = "chardev",
	  .kind = PROPERTY_CHARDEV,
	  .offset = offsetof(VhostUserFs, chardev_name),
	  .required = true,
	  .description = "socket of the back end" },
	{ .name = "tag",
	  .kind = PROPERTY_STRING,
	  .offset = offsetof(VhostUserFs, tag),
	  .required = true,
	  .description = "name by which the guest mounts it, 36 bytes at most" },
	{ .name = "num-request-queues",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VhostUserFs, num_request_queues),
	  .initial = 1,
	  .minimum = 1,
	  .maximum = REQUEST_QUEUES_MAX,
	  .description = "queues of ordinary requests" },
	{ .name = "queue-size",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VhostUserFs, queue_size),
	  .initial = DEFAULT_QUEUE_SIZE,
	  .minimum = 4,
	  .maximum = VIRTQUEUE_MAX_SIZE,
	  .power_of_two = true,
	  .description = "descriptors in each queue" },
	PROPERTY_END,
};

const VirtioDeviceType vhost_user_fs_type = {
	.pci = {
		.device = {
			.name = "vhost-user-fs-pci",
			.description = "file system of the host",
			.category = "Storage",
			.bus_kind = "PCI",
			.instance_size = sizeof(VhostUserFs),
			.properties = { fs_properties, virtio_device_properties,
					pci_device_properties },
			.state = &fs_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_FS, PCI_CLASS_STORAGE_OTHER),
	},
	.config_size = sizeof(FsConfig),
	.needs_no_loop = true,
	.setup = fs_setup,
	.teardown = fs_teardown,
	.reset = fs_reset,
	.read_config = fs_read_config,
};
