/*
 * virtio_scsi.c: SCSI host bus adapter (virtio 1.2 §5.6)
 *
 * What it offers and keeps, and what it tells of its own accord; its requests are in
 * virtio_scsi_data.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/lazy_memory.h"
#include "vmm/virtio/virtio_pci.h"
#include "vmm/virtio/virtio_scsi_internal.h"

#define VIRTIO_ID_SCSI	  8
#define PCI_CLASS_STORAGE 0x010000

#define F_HOTPLUG 1
#define F_CHANGE  2

#define QUEUES_MAX	   256u
#define DEFAULT_QUEUE_SIZE 256
#define QUEUES_AUTO	   UINT16_MAX
#define HEADER_DESCRIPTORS 2 /* of request and response, beside the data */

#define DEFAULT_CDB_SIZE   32u
#define DEFAULT_SENSE_SIZE 96u

/* §5.6.6.3 */
enum { EVENT_NO_EVENT = 0, EVENT_TRANSPORT_RESET = 1, EVENT_PARAM_CHANGE = 3 };
enum { RESET_RESCAN = 1, RESET_REMOVED = 2 };
#define EVENT_MISSED	       0x80000000u
#define REASON_CAPACITY_CHANGE (0x2au | 0x09u << 8)

/* §5.6.4 */
typedef struct ScsiConfig {
	uint32_t num_queues, seg_max, max_sectors, cmd_per_lun, event_info_size;
	uint32_t sense_size, cdb_size; /* the driver may change these */
	uint16_t max_channel, max_target;
	uint32_t max_lun;
} ScsiConfig;
G_STATIC_ASSERT(sizeof(ScsiConfig) == 36);

typedef struct ScsiEvent {
	uint32_t event;
	uint8_t lun[8];
	uint32_t reason;
} ScsiEvent;
G_STATIC_ASSERT(sizeof(ScsiEvent) == 16);

/* A unit as virtio has it (§5.6.6.1): always in the format for single levels. */
static void put_lun(uint8_t lun[8], const ScsiDisk *disk)
{
	memset(lun, 0, 8);
	lun[0] = 1;
	lun[1] = (uint8_t)disk->target;
	lun[2] = 0x40;
	lun[3] = (uint8_t)disk->lun;
}

/* Events */

typedef struct EventPost {
	VirtioScsi *scsi;
	ScsiEvent event;
} EventPost;

static void push_event(VirtioScsi *scsi, const ScsiEvent *event)
{
	VirtioQueue *queue = &scsi->virtio.queues[VIRTIO_SCSI_EVENT];
	ScsiEvent copy = *event;
	VirtqueueElement *element;

	if (!virtio_device_is_active(&scsi->virtio))
		return;
	element = queue->ring.ops ? virtqueue_pop(&queue->ring) : NULL;
	if (!element) {
		scsi->event_missed = true;
		return;
	}
	if (scsi->event_missed)
		copy.event |= GUINT32_TO_LE(EVENT_MISSED);
	scsi->event_missed = false;
	virtqueue_push(&queue->ring, element,
		       (uint32_t)iov_copy_to(element->iov + element->n_out, element->n_in, 0, &copy,
					     sizeof(copy)));
	virtio_queue_publish(queue);
}

static void event_on_loop(gpointer data)
{
	const EventPost *post = data;

	push_event(post->scsi, &post->event);
}

static void bus_tell(ScsiBus *bus, const ScsiDisk *disk, ScsiNews news)
{
	VirtioScsi *scsi = (VirtioScsi *)bus->bus.parent;
	EventPost post = { .scsi = scsi };
	bool is_change = news == SCSI_NEWS_CAPACITY;
	bool wanted;

	g_mutex_lock(&bus->bus.parent->lock);
	wanted = virtio_device_has_feature(&scsi->virtio, is_change ? F_CHANGE : F_HOTPLUG);
	g_mutex_unlock(&bus->bus.parent->lock);
	if (!wanted)
		return;
	put_lun(post.event.lun, disk);
	post.event.event = GUINT32_TO_LE(is_change ? EVENT_PARAM_CHANGE : EVENT_TRANSPORT_RESET);
	post.event.reason = GUINT32_TO_LE(is_change		    ? REASON_CAPACITY_CHANGE
					  : news == SCSI_NEWS_ADDED ? RESET_RESCAN
								    : RESET_REMOVED);
	io_loop_run_sync(bus->loop, event_on_loop, &post);
}

static void bus_run_quiet(ScsiBus *bus, void (*func)(gpointer data), gpointer data)
{
	VirtioScsi *scsi = (VirtioScsi *)bus->bus.parent;
	bool was_running;

	g_mutex_lock(&bus->bus.parent->lock);
	was_running = scsi->virtio.running;
	if (was_running)
		virtio_queues_stop(&scsi->virtio);
	func(data);
	if (was_running)
		virtio_queues_start(&scsi->virtio);
	g_mutex_unlock(&bus->bus.parent->lock);
}

typedef struct HeldRelease {
	VirtioScsi *scsi;
	const ScsiDisk *disk;
} HeldRelease;

static void release_on_loop(gpointer data)
{
	const HeldRelease *release = data;

	virtio_scsi_release_held(release->scsi, release->disk);
}

static void bus_release_held(ScsiBus *bus, const ScsiDisk *disk)
{
	HeldRelease release = { (VirtioScsi *)bus->bus.parent, disk };

	/* A vCPU that resets the adapter does so under the lock, while the loop is idle. */
	g_mutex_lock(&bus->bus.parent->lock);
	io_loop_run_sync(bus->loop, release_on_loop, &release);
	g_mutex_unlock(&bus->bus.parent->lock);
}

static void scsi_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	VirtioScsi *scsi = virtio_scsi(device);
	const ScsiEvent nothing = { .event = GUINT32_TO_LE(EVENT_NO_EVENT) };

	if (queue->ring.index == VIRTIO_SCSI_CONTROL)
		virtio_queue_process(queue, virtio_scsi_handle_control);
	else if (queue->ring.index != VIRTIO_SCSI_EVENT)
		virtio_queue_process(queue, virtio_scsi_handle_command);
	else if (scsi->event_missed)
		push_event(scsi, &nothing);
}

/* Life */

/* A limit on a disk's speed does not keep anybody waiting who stops the adapter. */
static void set_draining(VirtioScsi *scsi, bool draining)
{
	for (guint i = 0; i < scsi->bus.units->len; i++) {
		const ScsiDisk *disk = scsi->bus.units->pdata[i];

		if (disk->node)
			block_node_set_draining(disk->node, 0, draining);
	}
}

static void scsi_start(VirtioDevice *device)
{
	VirtioScsi *scsi = virtio_scsi(device);

	scsi->max_cdb_size = scsi->cdb_size;
	scsi->max_sense_size = scsi->sense_size;
	set_draining(scsi, false);
	virtio_scsi_start_held(scsi);
}

static void scsi_stop(VirtioDevice *device)
{
	set_draining(virtio_scsi(device), true);
}

static void scsi_reset(VirtioDevice *device)
{
	VirtioScsi *scsi = virtio_scsi(device);

	scsi->cdb_size = DEFAULT_CDB_SIZE;
	scsi->sense_size = DEFAULT_SENSE_SIZE;
	scsi->event_missed = false;
	virtio_scsi_forget_held(scsi, NULL);
}

static void scsi_queue_reset(VirtioDevice *device, VirtioQueue *queue)
{
	virtio_scsi_forget_held(virtio_scsi(device), queue);
}

static void scsi_read_config(VirtioDevice *device, uint8_t *bytes)
{
	const VirtioScsi *scsi = virtio_scsi(device);
	ScsiConfig config = {
		.num_queues = GUINT32_TO_LE(scsi->num_queues),
		.seg_max = GUINT32_TO_LE(scsi->queue_size - HEADER_DESCRIPTORS),
		.max_sectors = GUINT32_TO_LE(0xffff),
		.cmd_per_lun = GUINT32_TO_LE(MIN(scsi->queue_size, 128u)),
		.event_info_size = GUINT32_TO_LE(sizeof(ScsiEvent)),
		.sense_size = GUINT32_TO_LE(scsi->sense_size),
		.cdb_size = GUINT32_TO_LE(scsi->cdb_size),
		.max_target = GUINT16_TO_LE(SCSI_TARGETS - 1),
		.max_lun = GUINT32_TO_LE(SCSI_LUNS - 1),
	};

	memcpy(bytes, &config, sizeof(config));
}

static void scsi_write_config(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size)
{
	VirtioScsi *scsi = virtio_scsi(device);
	bool is_sense = offset == offsetof(ScsiConfig, sense_size);

	if (size != 4 || (!is_sense && offset != offsetof(ScsiConfig, cdb_size)))
		return;
	if (value > (is_sense ? VIRTIO_SCSI_SENSE_MAX : VIRTIO_SCSI_CDB_MAX))
		virtio_device_set_needs_reset(device, "a CDB or sense data of that size cannot be");
	else if (is_sense)
		scsi->sense_size = value;
	else
		scsi->cdb_size = value;
}

static void add_bus(VirtioScsi *scsi)
{
	Device *base = &scsi->virtio.pci.device;
	g_autofree char *name = NULL;
	unsigned i = 0;

	if (base->id) {
		name = g_strdup_printf("%s.0", base->id);
	} else {
		do {
			g_free(name);
			name = g_strdup_printf("scsi.%u", i++);
		} while (device_tree_find_bus(base->tree, name));
	}
	scsi->bus.loop = scsi->virtio.loop;
	scsi->bus.tell = bus_tell;
	scsi->bus.run_quiet = bus_run_quiet;
	scsi->bus.release_held = bus_release_held;
	scsi_bus_init(&scsi->bus, name, base);
}

static size_t requests_size(const VirtioScsi *scsi)
{
	return sizeof(ScsiRequest) * scsi->queue_size * (VIRTIO_SCSI_REQUESTS + scsi->num_queues);
}

static bool scsi_setup(VirtioDevice *device, GError **error)
{
	VirtioScsi *scsi = virtio_scsi(device);

	if (scsi->num_queues == QUEUES_AUTO)
		scsi->num_queues =
			(uint16_t)CLAMP(virtio_device_services(device)->n_cpus, 1, QUEUES_MAX);
	if (!virtio_device_add_queues(device, VIRTIO_SCSI_REQUESTS + scsi->num_queues,
				      scsi->queue_size, error))
		return false;
	device->offered |= VIRTIO_FEATURE(F_HOTPLUG) | VIRTIO_FEATURE(F_CHANGE);
	scsi->requests = lazy_memory_new(requests_size(scsi));
	if (!scsi->requests)
		return error_fail_errno(error, ENOMEM, "requests");
	scsi->n_heads = VIRTIO_SCSI_REQUESTS + scsi->num_queues;
	scsi->heads = g_new0(ScsiHeads, scsi->n_heads);
	scsi_reset(device);
	add_bus(scsi);
	return true;
}

static void scsi_teardown(VirtioDevice *device)
{
	VirtioScsi *scsi = virtio_scsi(device);

	scsi_bus_clear(&scsi->bus);
	virtio_scsi_forget_held(scsi, NULL);
	g_clear_pointer(&scsi->heads, g_free);
	lazy_memory_free(scsi->requests, requests_size(scsi));
}

static bool scsi_loaded(void *object, GError **error)
{
	const VirtioScsi *scsi = object;

	return (scsi->cdb_size <= VIRTIO_SCSI_CDB_MAX &&
		scsi->sense_size <= VIRTIO_SCSI_SENSE_MAX) ||
	       error_fail(error, "%s has CDBs or sense data of impossible size",
			  scsi->virtio.pci.device.path);
}

static void scsi_before_save(void *object)
{
	virtio_scsi_save_held(object);
}

static const StateTable heads_state = {
	.name = "virtio-scsi-queue",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_ARRAY(ScsiHeads, held, STATE_UINT64),
			STATE_END,
		},
};

static const StateTable scsi_state = {
	.name = "virtio-scsi",
	.version = 1,
	.minimum_version = 1,
	.before_save = scsi_before_save,
	.after_load = scsi_loaded,
	.fields =
		(const StateField[]){
			STATE_PART(VirtioScsi, virtio, &virtio_device_state),
			STATE_FIELD(VirtioScsi, cdb_size, STATE_UINT32),
			STATE_FIELD(VirtioScsi, sense_size, STATE_UINT32),
			STATE_FIELD(VirtioScsi, event_missed, STATE_BOOL),
			{ .name = "queues",
			  .kind = STATE_STRUCT,
			  .offset = offsetof(VirtioScsi, heads),
			  .element_size = sizeof(ScsiHeads),
			  .is_pointer = true,
			  .has_count_offset = true,
			  .count_offset = offsetof(VirtioScsi, n_heads),
			  .sub_table = &heads_state },
			STATE_END,
		},
};

static const Property scsi_properties[] = {
	{ .name = "num_queues",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VirtioScsi, num_queues),
	  .initial = QUEUES_AUTO,
	  .minimum = 1,
	  .maximum = QUEUES_MAX,
	  .description = "request queues (default: one for each vCPU)" },
	{ .name = "virtqueue_size",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(VirtioScsi, queue_size),
	  .initial = DEFAULT_QUEUE_SIZE,
	  .minimum = 4,
	  .maximum = VIRTQUEUE_MAX_SIZE,
	  .power_of_two = true,
	  .description = "descriptors in each queue" },
	PROPERTY_END,
};

const VirtioDeviceType virtio_scsi_type = {
	.pci = {
		.device = {
			.name = "virtio-scsi-pci",
			.description = "virtio SCSI host bus adapter",
			.category = "Storage",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioScsi),
			.properties = { scsi_properties, virtio_device_properties,
					pci_device_properties },
			.state = &scsi_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_SCSI, PCI_CLASS_STORAGE),
	},
	.config_size = sizeof(ScsiConfig),
	.setup = scsi_setup,
	.teardown = scsi_teardown,
	.reset = scsi_reset,
	.queue_reset = scsi_queue_reset,
	.read_config = scsi_read_config,
	.write_config = scsi_write_config,
	.start = scsi_start,
	.stop = scsi_stop,
	.queue_ready = scsi_queue_ready,
};