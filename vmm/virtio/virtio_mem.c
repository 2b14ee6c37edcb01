/*
 * virtio_mem.c: memory that grows and shrinks (virtio 1.2 §5.15)
 *
 * The device has a range of guest-physical memory, cut into blocks. We ask for a size; the driver
 * plugs or unplugs blocks by requests until that many bytes are plugged. All of the range is RAM to
 * KVM and to other devices, so a guest that touches a block it has not plugged harms but itself:
 * it finds zeroes, and loses the page at the next reset. What is unplugged goes back to the host.
 *
 * Blocks are the loop thread's while the device runs; the sizes, which the main thread sees and
 * changes too, are under a lock of their own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_mem.h"

#include <string.h>

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/memory_backend.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_MEM	24
#define PCI_CLASS_OTHER 0x00ff00
#define QUEUE_SIZE	128

#define F_ACPI_PXM		 0
#define F_UNPLUGGED_INACCESSIBLE 1

#define MIB		   (UINT64_C(1) << 20)
#define BLOCK_SIZE_MINIMUM MIB
#define BLOCK_SIZE_DEFAULT (2 * MIB) /* a transparent huge page */
/* What Linux makes its memory of: a range that starts elsewhere would waste the rest of one. */
#define RANGE_ALIGNMENT (128 * MIB)
/* How far beyond the requested size blocks may be plugged, so that the driver has a choice. */
#define USABLE_EXTENT (256 * MIB)

#define REQUESTED_SIZE "requested-size"

/* §5.15.6 */
enum { REQUEST_PLUG, REQUEST_UNPLUG, REQUEST_UNPLUG_ALL, REQUEST_STATE };
enum { RESPONSE_ACK, RESPONSE_NACK, RESPONSE_BUSY, RESPONSE_ERROR };
enum { STATE_IS_PLUGGED, STATE_IS_UNPLUGGED, STATE_IS_MIXED };

typedef struct MemRequest {
	uint16_t type;
	uint16_t reserved0[3];
	uint64_t address; /* but for REQUEST_UNPLUG_ALL */
	uint16_t n_blocks;
	uint16_t reserved1[3];
} MemRequest;
G_STATIC_ASSERT(sizeof(MemRequest) == 24);

typedef struct __attribute__((packed)) MemResponse {
	uint16_t type;
	uint16_t reserved[3];
	uint16_t state; /* of REQUEST_STATE */
} MemResponse;

/* §5.15.4 */
typedef struct MemConfig {
	uint64_t block_size;
	uint16_t node;
	uint8_t reserved[6];
	uint64_t address;
	uint64_t region_size;
	uint64_t usable_size;
	uint64_t plugged_size;
	uint64_t requested_size;
} MemConfig;
G_STATIC_ASSERT(sizeof(MemConfig) == 56);

typedef struct VirtioMem {
	VirtioDevice virtio;

	/* Properties; fixed after realize but for requested_size. */
	char *memdev;
	uint64_t block_size; /* bytes, a power of two */
	uint64_t address;
	uint32_t node;
	bool prealloc;

	MemoryBackend *backend; /* the object's */

	GMutex sizes_lock;	 /* a leaf, for what follows; bytes */
	uint64_t requested_size; /* the device lock is held too while it changes */
	uint64_t usable_size;	 /* blocks that end beyond it cannot be plugged */
	uint64_t plugged_size;

	/* A bit for each block, set while it is plugged. Loop thread, or stopped. */
	uint64_t *plugged;
	uint32_t n_words;
} VirtioMem;

static VirtioMem *virtio_mem(VirtioDevice *device)
{
	return (VirtioMem *)device;
}

static uint64_t region_size(const VirtioMem *mem)
{
	return mem->backend->config.size;
}

static uint64_t usable_size_for(const VirtioMem *mem, uint64_t requested_size)
{
	return requested_size ? MIN(requested_size + USABLE_EXTENT, region_size(mem)) : 0;
}

/* Blocks */

static unsigned count_plugged(const VirtioMem *mem, uint64_t first, uint64_t n)
{
	unsigned count = 0;

	for (uint64_t i = first; i < first + n; i++)
		count += mem->plugged[i / 64] >> (i % 64) & 1;
	return count;
}

static void mark_blocks(VirtioMem *mem, uint64_t first, uint64_t n, bool plugged)
{
	for (uint64_t i = first; i < first + n; i++) {
		if (plugged)
			mem->plugged[i / 64] |= UINT64_C(1) << (i % 64);
		else
			mem->plugged[i / 64] &= ~(UINT64_C(1) << (i % 64));
	}
}

/* Give the host pages of these bytes of the range back. */
static bool discard(const VirtioMem *mem, uint64_t offset, uint64_t size)
{
	return guest_memory_discard(virtio_device_services(&mem->virtio)->memory,
				    mem->backend->hva + offset, size);
}

/* The driver's range of blocks as *@first of them; false if there is no such range. */
static bool find_blocks(const VirtioMem *mem, const MemRequest *request, uint64_t usable_size,
			uint64_t *first)
{
	uint64_t offset = request->address - mem->address;
	uint64_t size = request->n_blocks * mem->block_size;

	if (request->n_blocks == 0 || request->address < mem->address ||
	    offset % mem->block_size || offset > usable_size || size > usable_size - offset)
		return false;
	*first = offset / mem->block_size;
	return true;
}

static unsigned plug(VirtioMem *mem, uint64_t first, unsigned n)
{
	uint64_t size = n * mem->block_size, offset = first * mem->block_size;

	if (count_plugged(mem, first, n) > 0)
		return RESPONSE_ERROR;
	if (mem->plugged_size + size > mem->requested_size)
		return RESPONSE_NACK;
	if (mem->prealloc && !memory_backend_populate(mem->backend, offset, size)) {
		discard(mem, offset, size);
		return RESPONSE_BUSY;
	}
	mark_blocks(mem, first, n, true);
	mem->plugged_size += size;
	return RESPONSE_ACK;
}

static unsigned unplug(VirtioMem *mem, uint64_t first, unsigned n)
{
	uint64_t size = n * mem->block_size;

	if (count_plugged(mem, first, n) < n)
		return RESPONSE_ERROR;
	if (!discard(mem, first * mem->block_size, size))
		return RESPONSE_BUSY;
	mark_blocks(mem, first, n, false);
	mem->plugged_size -= size;
	return RESPONSE_ACK;
}

static unsigned unplug_all(VirtioMem *mem)
{
	if (!discard(mem, 0, region_size(mem)))
		return RESPONSE_BUSY;
	memset(mem->plugged, 0, mem->n_words * sizeof(*mem->plugged));
	mem->plugged_size = 0;
	mem->usable_size = usable_size_for(mem, mem->requested_size);
	return RESPONSE_ACK;
}

static unsigned state_of(const VirtioMem *mem, uint64_t first, unsigned n)
{
	unsigned count = count_plugged(mem, first, n);

	if (count == n)
		return STATE_IS_PLUGGED;
	return count == 0 ? STATE_IS_UNPLUGGED : STATE_IS_MIXED;
}

/* Requests */

/* Sizes locked. */
static void perform(VirtioMem *mem, const MemRequest *request, MemResponse *response)
{
	uint64_t first = 0;
	bool of_blocks = request->type != REQUEST_UNPLUG_ALL;

	response->type = RESPONSE_ERROR;
	if (of_blocks && !find_blocks(mem, request, mem->usable_size, &first))
		return;
	switch (request->type) {
	case REQUEST_PLUG:
		response->type = (uint16_t)plug(mem, first, request->n_blocks);
		break;
	case REQUEST_UNPLUG:
		response->type = (uint16_t)unplug(mem, first, request->n_blocks);
		break;
	case REQUEST_UNPLUG_ALL:
		response->type = (uint16_t)unplug_all(mem);
		break;
	case REQUEST_STATE:
		response->type = RESPONSE_ACK;
		response->state = (uint16_t)state_of(mem, first, request->n_blocks);
		break;
	}
}

static void tell_size(VirtioMem *mem, uint64_t size)
{
	Device *base = &mem->virtio.pci.device;

	qapi_event_memory_device_size_change(base->services->events, base->id, size, base->path);
}

static bool handle_request(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioMem *mem = virtio_mem(queue->device);
	MemRequest request;
	MemResponse response = { 0 };
	uint64_t before, after;

	if (element->in_size < sizeof(response) ||
	    iov_copy_from(element->iov, element->n_out, 0, &request, sizeof(request)) !=
		    sizeof(request)) {
		virtio_queue_set_broken(queue, "a request or its response is too short");
		virtqueue_push(&queue->ring, element, 0);
		return false;
	}
	g_mutex_lock(&mem->sizes_lock);
	before = mem->plugged_size;
	perform(mem, &request, &response);
	after = mem->plugged_size;
	g_mutex_unlock(&mem->sizes_lock);
	if (before != after)
		tell_size(mem, after);
	iov_copy_to(element->iov + element->n_out, element->n_in, 0, &response, sizeof(response));
	virtqueue_push(&queue->ring, element, sizeof(response));
	return true;
}

static void mem_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	(void)device;
	virtio_queue_process(queue, handle_request);
}

static void mem_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VirtioMem *mem = virtio_mem(device);
	MemConfig config = {
		.block_size = mem->block_size,
		.node = (uint16_t)mem->node,
		.address = mem->address,
		.region_size = region_size(mem),
	};

	g_mutex_lock(&mem->sizes_lock);
	config.usable_size = mem->usable_size;
	config.plugged_size = mem->plugged_size;
	config.requested_size = mem->requested_size;
	g_mutex_unlock(&mem->sizes_lock);
	memcpy(bytes, &config, sizeof(config));
}

/* Life */

static bool check_properties(VirtioMem *mem, GError **error)
{
	uint64_t size = region_size(mem), page_size = mem->backend->page_size;
	DeviceServices *services = virtio_device_services(&mem->virtio);

	if (mem->block_size == 0)
		mem->block_size = MAX(BLOCK_SIZE_DEFAULT, page_size);
	if (mem->block_size & (mem->block_size - 1) || mem->block_size < BLOCK_SIZE_MINIMUM ||
	    mem->block_size < page_size)
		return error_fail(error, "block-size must be a power of two, at least %" PRIu64
					 " (1 MiB, and a page of memdev '%s')",
				  MAX(BLOCK_SIZE_MINIMUM, page_size), mem->memdev);
	if (size % mem->block_size || mem->address % mem->block_size)
		return error_fail(error,
				  "the size of memdev '%s', and memaddr, must be multiples of "
				  "block-size",
				  mem->memdev);
	if (mem->requested_size % mem->block_size || mem->requested_size > size)
		return error_fail(error,
				  REQUESTED_SIZE " must be a multiple of block-size and no more "
						 "than the size of memdev '%s'",
				  mem->memdev);
	if (mem->node >= services->n_nodes)
		return error_fail(error, "there is no NUMA node %u", mem->node);
	if (mem->backend->config.prealloc)
		return error_fail(error,
				  "memdev '%s' has prealloc: let the device have it instead",
				  mem->memdev);
	return true;
}

static bool mem_setup(VirtioDevice *device, GError **error)
{
	VirtioMem *mem = virtio_mem(device);
	DeviceServices *services = virtio_device_services(device);

	mem->backend = services->claim_memory(services, mem->memdev, error);
	if (!mem->backend)
		return false;
	if (!check_properties(mem, error) ||
	    !virtio_device_add_queues(device, 1, QUEUE_SIZE, error) ||
	    !services->plug_memory(services, mem->backend, MAX(mem->block_size, RANGE_ALIGNMENT),
				   &mem->address, error)) {
		services->release_memory(services, mem->memdev);
		return false;
	}
	device->offered |= VIRTIO_FEATURE(F_ACPI_PXM) | VIRTIO_FEATURE(F_UNPLUGGED_INACCESSIBLE);
	g_mutex_init(&mem->sizes_lock);
	mem->n_words = (uint32_t)((region_size(mem) / mem->block_size + 63) / 64);
	mem->plugged = g_new0(uint64_t, mem->n_words);
	mem->usable_size = usable_size_for(mem, mem->requested_size);
	return true;
}

static void mem_teardown(VirtioDevice *device)
{
	VirtioMem *mem = virtio_mem(device);
	DeviceServices *services = virtio_device_services(device);

	services->unplug_memory(services, mem->address);
	services->release_memory(services, mem->memdev);
	g_clear_pointer(&mem->plugged, g_free);
	g_mutex_clear(&mem->sizes_lock);
}

/*
 * A machine that starts anew has what was there at first: nothing. A driver that only resets the
 * device keeps its memory (§5.15.5.2), so this is no part of the virtio type's reset.
 */
static void mem_machine_reset(Device *base)
{
	VirtioMem *mem = (VirtioMem *)base;

	virtio_device_reset(base);
	g_mutex_lock(&mem->sizes_lock);
	if (unplug_all(mem) != RESPONSE_ACK)
		g_warning("%s: its memory stays after the reset", base->path);
	g_mutex_unlock(&mem->sizes_lock);
}

/* What the guest has plugged is in use; nothing can be plugged that was not requested. */
static bool mem_check_unplug(Device *base, GError **error)
{
	VirtioMem *mem = (VirtioMem *)base;
	bool idle;

	g_mutex_lock(&mem->sizes_lock);
	idle = mem->plugged_size == 0 && mem->requested_size == 0;
	g_mutex_unlock(&mem->sizes_lock);
	return idle || error_fail(error,
				  "the guest uses its memory, or may: set " REQUESTED_SIZE
				  " to 0 and wait until its size is 0");
}

void virtio_mem_get_info(Device *device, VirtioMemInfo *info)
{
	VirtioMem *mem = (VirtioMem *)device;

	g_mutex_lock(&mem->sizes_lock);
	*info = (VirtioMemInfo){
		.memdev = mem->memdev,
		.address = mem->address,
		.size = mem->plugged_size,
		.requested_size = mem->requested_size,
		.maximum_size = region_size(mem),
		.block_size = mem->block_size,
		.node = mem->node,
	};
	g_mutex_unlock(&mem->sizes_lock);
}

static const StateField mem_fields[] = {
	STATE_PART(VirtioMem, virtio, &virtio_device_state),
	STATE_FIELD(VirtioMem, requested_size, STATE_UINT64),
	STATE_FIELD(VirtioMem, usable_size, STATE_UINT64),
	STATE_FIELD(VirtioMem, plugged_size, STATE_UINT64),
	{ .name = "plugged",
	  .kind = STATE_UINT64,
	  .offset = offsetof(VirtioMem, plugged),
	  .element_size = sizeof(uint64_t),
	  .is_pointer = true,
	  .has_count_offset = true,
	  .count_offset = offsetof(VirtioMem, n_words) },
	STATE_END,
};

static bool mem_after_load(void *object, GError **error)
{
	const VirtioMem *mem = object;
	uint64_t n_blocks = region_size(mem) / mem->block_size;
	uint64_t plugged = count_plugged(mem, 0, n_blocks) * mem->block_size;
	bool beyond = n_blocks % 64 && mem->plugged[n_blocks / 64] >> (n_blocks % 64);

	return (plugged == mem->plugged_size && !beyond &&
		mem->usable_size <= region_size(mem) && mem->requested_size <= region_size(mem) &&
		mem->requested_size % mem->block_size == 0) ||
	       error_fail(error, "sizes and plugged blocks do not agree");
}

static const StateTable mem_state = {
	.name = "virtio-mem",
	.version = 1,
	.minimum_version = 1,
	.fields = mem_fields,
	.after_load = mem_after_load,
};

static const Property mem_properties[] = {
	{ .name = "memdev",
	  .kind = PROPERTY_OBJECT,
	  .offset = offsetof(VirtioMem, memdev),
	  .required = true,
	  .description = "memory backend; its size is the most there can be" },
	{ .name = REQUESTED_SIZE,
	  .kind = PROPERTY_SIZE,
	  .offset = offsetof(VirtioMem, requested_size),
	  .maximum = INT64_MAX,
	  .description = "how much of it the guest is asked to have" },
	{ .name = "block-size",
	  .kind = PROPERTY_SIZE,
	  .offset = offsetof(VirtioMem, block_size),
	  .maximum = INT64_MAX,
	  .description = "what it is given and taken in (default: 2 MiB or the page size)" },
	{ .name = "memaddr",
	  .kind = PROPERTY_UINT64,
	  .offset = offsetof(VirtioMem, address),
	  .maximum = INT64_MAX,
	  .description = "guest-physical address (default: where there is room)" },
	{ .name = "node",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioMem, node),
	  .maximum = UINT16_MAX,
	  .description = "NUMA node of the guest" },
	{ .name = "prealloc",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioMem, prealloc),
	  .description = "have the host's pages ready when the guest plugs memory" },
	PROPERTY_END,
};

static bool set_requested_size(Device *device, json_object *value, GError **error)
{
	VirtioMem *mem = (VirtioMem *)device;
	int64_t size = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;

	if (size < 0 || (uint64_t)size > region_size(mem) || (uint64_t)size % mem->block_size)
		return error_fail(error,
				  "'" REQUESTED_SIZE "' must be a multiple of %" PRIu64
				  " and at most %" PRIu64,
				  mem->block_size, region_size(mem));
	if (device->unplug_requested)
		return error_fail(error, "the device is being unplugged");
	g_mutex_lock(&device->lock);
	g_mutex_lock(&mem->sizes_lock);
	mem->requested_size = (uint64_t)size;
	/* It only grows: blocks beyond may be plugged still (§5.15.4). */
	mem->usable_size = MAX(mem->usable_size, usable_size_for(mem, (uint64_t)size));
	g_mutex_unlock(&mem->sizes_lock);
	virtio_device_config_changed(&mem->virtio);
	g_mutex_unlock(&device->lock);
	return true;
}

static json_object *get_size(Device *device)
{
	VirtioMemInfo info;

	virtio_mem_get_info(device, &info);
	return json_object_new_uint64(info.size);
}

static const DeviceAttribute mem_attributes[] = {
	{ .name = REQUESTED_SIZE, .type = "size", .set = set_requested_size },
	{ .name = "size", .type = "size", .get = get_size },
	{ .name = NULL },
};

const VirtioDeviceType virtio_mem_type = {
	.pci = {
		.device = {
			.name = "virtio-mem-pci",
			.description = "memory that grows and shrinks",
			.category = "Misc",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioMem),
			.properties = { mem_properties, virtio_device_properties,
					pci_device_properties },
			.attributes = mem_attributes,
			.state = &mem_state,
			.hotpluggable = true,
			.user_creatable = true,
			.check_unplug = mem_check_unplug,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = mem_machine_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_MEM, PCI_CLASS_OTHER),
	},
	.config_size = sizeof(MemConfig),
	.setup = mem_setup,
	.teardown = mem_teardown,
	.read_config = mem_read_config,
	.queue_ready = mem_queue_ready,
};
