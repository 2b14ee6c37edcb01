/*
 * vhost_user_blk.c: block device whose queues another process serves (virtio 1.2 §5.2)
 *
 * What the disk is (its size, what it can do) the back end says: its configuration is read when it
 * connects and when it says that it changed, so that the driver's reads wait for nobody. All that
 * the driver can change is the write cache. What the configuration says of that is not believed:
 * there are back ends (qemu-storage-daemon 7.2) that say "none" and have one, and a driver that
 * believed them would not flush. So it starts on where there are flushes, and each back end is
 * told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/vhost_user_blk.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/vhost/vhost_user.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtio_pci.h"
#include "vmm/virtio/virtio_vhost.h"

#define DEFAULT_QUEUE_SIZE 128
#define QUEUES_MAX	   256
#define QUEUES_AUTO	   UINT16_MAX
/* Disks can be slow, but a pause must not take for ever. */
#define DRAIN_MS 2000

typedef struct VhostUserBlk {
	VirtioDevice virtio;

	/* Properties. */
	char *chardev_name;
	int32_t boot_index;
	uint16_t num_queues, queue_size;
	bool want_config_wce;

	VhostUser *user;
	VirtioVhost vhost;
	VirtioBlkConfig config; /* device lock */
	bool writeback;		/* the cache as the driver sees it; device lock */
	bool writeback_told;	/* to this back end; device lock */
} VhostUserBlk;

static VhostUserBlk *vhost_user_blk(VirtioDevice *device)
{
	return (VhostUserBlk *)device;
}

/* Take over what the back end says the disk is. Main thread; lock not held. */
static bool read_back_end(VhostUserBlk *blk, GError **error)
{
	VirtioBlkConfig config;

	if (!vhost_user_get_config(blk->user, &config, VIRTIO_BLK_CONFIG_SIZE, error))
		return false;
	config.num_queues = blk->num_queues;
	g_mutex_lock(&blk->virtio.pci.device.lock);
	blk->config = config;
	g_mutex_unlock(&blk->virtio.pci.device.lock);
	return true;
}

/* A failure cuts the back end off, which is told of by itself. */
static bool reread_back_end(VhostUserBlk *blk)
{
	VirtioDevice *device = &blk->virtio;

	if (!read_back_end(blk, NULL))
		return false;
	g_mutex_lock(&device->pci.device.lock);
	virtio_device_config_changed(device);
	g_mutex_unlock(&device->pci.device.lock);
	return true;
}

static void config_changed(void *opaque)
{
	reread_back_end(opaque);
}

/* Some back ends (qemu-storage-daemon 7.2) must begin anew to have another size. */
static void back_end_connected(void *opaque)
{
	VhostUserBlk *blk = opaque;

	if (!reread_back_end(blk))
		return;
	blk->writeback_told = false;
	virtio_vhost_connected(&blk->vhost);
}

static void back_end_lost(void *opaque, bool returns, const char *fault)
{
	VhostUserBlk *blk = opaque;

	virtio_vhost_lost(&blk->vhost, returns, fault);
}

static const VhostUserListener listener = {
	.connected = back_end_connected,
	.lost = back_end_lost,
	.config_changed = config_changed,
};

/* Lock held. Failure cuts the back end off, which is told of by itself. */
static void tell_writeback(VhostUserBlk *blk)
{
	uint8_t value = blk->writeback;

	if (blk->writeback_told || !(blk->virtio.offered & VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE)))
		return;
	blk->writeback_told = true;
	vhost_user_set_config(blk->user, offsetof(VirtioBlkConfig, writeback), &value,
			      sizeof(value), NULL);
}

static bool path_start(VirtioDevice *device, GError **error)
{
	VhostUserBlk *blk = vhost_user_blk(device);

	tell_writeback(blk);
	return virtio_vhost_start(device, error);
}

static void path_act(VirtioDevice *device)
{
	tell_writeback(vhost_user_blk(device));
}

static const VirtioPath blk_path = {
	.start = path_start,
	.stop = virtio_vhost_stop,
	.act = path_act,
};

static void blk_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VhostUserBlk *blk = vhost_user_blk(device);
	VirtioBlkConfig config = blk->config;

	config.writeback = blk->writeback;
	memcpy(bytes, &config, VIRTIO_BLK_CONFIG_SIZE);
}

static void blk_write_config(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size)
{
	VhostUserBlk *blk = vhost_user_blk(device);

	if (offset != offsetof(VirtioBlkConfig, writeback) || size != 1 ||
	    !virtio_device_has_feature(device, VIRTIO_BLK_F_CONFIG_WCE))
		return;
	blk->writeback = value & 1;
	blk->writeback_told = false;
	virtio_device_act_soon(device);
}

static void blk_reset(VirtioDevice *device)
{
	VhostUserBlk *blk = vhost_user_blk(device);

	virtio_vhost_reset(&blk->vhost);
	blk->writeback = device->offered & VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH);
	blk->writeback_told = false;
}

static bool connect_back_end(VhostUserBlk *blk, GError **error)
{
	const VhostUserOptions options = {
		.n_vrings = blk->num_queues,
		.queue_size = blk->queue_size,
		.vrings_in_unit = 1,
		.protocol = VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG) |
			    VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
			    VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD),
		.needed = VIRTIO_FEATURE(VHOST_USER_PROTOCOL_F_CONFIG),
	};

	blk->user = virtio_vhost_connect(&blk->virtio, blk->chardev_name, &options, &listener, blk,
					 error);
	return blk->user != NULL;
}

static bool blk_setup(VirtioDevice *device, GError **error)
{
	static const uint64_t common =
		VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_GEOMETRY) | VIRTIO_FEATURE(VIRTIO_BLK_F_RO) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	VhostUserBlk *blk = vhost_user_blk(device);
	uint64_t wanted = common;

	if (blk->num_queues == QUEUES_AUTO)
		blk->num_queues = CLAMP(virtio_device_services(device)->n_cpus, 1, QUEUES_MAX);
	if (blk->num_queues > 1)
		wanted |= VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);
	if (blk->want_config_wce)
		wanted |= VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE);
	if (!virtio_device_add_queues(device, blk->num_queues, blk->queue_size, error) ||
	    !connect_back_end(blk, error))
		return false;
	if (read_back_end(blk, error)) {
		Vhost *carrier = vhost_user_carrier(blk->user);
		VirtioVhostOptions options = {
			.carriers = &carrier,
			.n_carriers = 1,
			.queues_each = blk->num_queues,
			.shared = true,
			.drain_ms = DRAIN_MS,
		};

		if (virtio_vhost_init(&blk->vhost, device, &blk_path, &options, wanted, error)) {
			blk_reset(device);
			return true;
		}
	}
	vhost_free(vhost_user_carrier(blk->user));
	return false;
}

static void blk_teardown(VirtioDevice *device)
{
	virtio_vhost_clear(&vhost_user_blk(device)->vhost);
}

static const StateField blk_fields[] = {
	STATE_PART(VhostUserBlk, virtio, &virtio_device_state),
	STATE_FIELD(VhostUserBlk, writeback, STATE_BOOL),
	STATE_END,
};

static bool blk_after_load(void *object, GError **error)
{
	VhostUserBlk *blk = object;

	(void)error;
	blk->writeback_told = false;
	return true;
}

static const StateTable blk_state = {
	.name = "vhost-user-blk",
	.version = 1,
	.minimum_version = 1,
	.fields = blk_fields,
	.after_load = blk_after_load,
};

static const Property blk_properties[] = {
	{ .name = "chardev",
	  .kind = PROPERTY_CHARDEV,
	  .offset = offsetof(VhostUserBlk, chardev_name),
	  .required = true,
	  .description = "socket of the back end" },
	{ .name = "bootindex",
	  .kind = PROPERTY_INT32,
	  .offset = offsetof(VhostUserBlk, boot_index),
	  .initial = (uint64_t)-1,
	  .description = "place in the order of booting, lowest first; -1: none" },
	{ .name = "num-queues",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VhostUserBlk, num_queues),
	  .initial = QUEUES_AUTO,
	  .minimum = 1,
	  .maximum = QUEUES_MAX,
	  .description = "request queues (default: one for each vCPU)" },
	{ .name = "queue-size",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VhostUserBlk, queue_size),
	  .initial = DEFAULT_QUEUE_SIZE,
	  .minimum = 4,
	  .maximum = VIRTQUEUE_MAX_SIZE,
	  .power_of_two = true,
	  .description = "descriptors in each queue" },
	{ .name = "config-wce",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VhostUserBlk, want_config_wce),
	  .initial = true,
	  .description = "let the driver switch the write cache" },
	PROPERTY_END,
};

const VirtioDeviceType vhost_user_blk_type = {
	.pci = {
		.device = {
			.name = "vhost-user-blk-pci",
			.description = "virtio block device of another process",
			.category = "Storage",
			.bus_kind = "PCI",
			.instance_size = sizeof(VhostUserBlk),
			.properties = { blk_properties, virtio_device_properties,
					pci_device_properties },
			.state = &blk_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_BLOCK, PCI_CLASS_STORAGE),
	},
	.config_size = VIRTIO_BLK_CONFIG_SIZE,
	.needs_no_loop = true,
	.setup = blk_setup,
	.teardown = blk_teardown,
	.reset = blk_reset,
	.read_config = blk_read_config,
	.write_config = blk_write_config,
};
