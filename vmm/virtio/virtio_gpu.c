/*
 * virtio_gpu.c: graphics in two dimensions (virtio 1.2 §5.7)
 *
 * A guest makes resources (virtio_gpu_resource.h), shows one on each output (scanout) and says
 * which parts of it to look at anew. Commands are carried out in order on the loop, each to its
 * end, so that a fence is passed when its command is answered. There is no third dimension: its
 * commands are answered as unknown ones.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_gpu.h"

#include <linux/virtio_gpu.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/display/display.h"
#include "vmm/display/edid.h"
#include "vmm/virtio/virtio_gpu_resource.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_GPU	   16
#define PCI_CLASS_DISPLAY  0x038000
#define CONTROL_QUEUE_SIZE 256
#define CURSOR_QUEUE_SIZE  16
#define RESOURCES_MAX	   1024u
#define SMALLEST_MODE	   64 /* pixels in each direction */

enum { CONTROL_QUEUE, CURSOR_QUEUE, QUEUES };

typedef struct VirtioGpu VirtioGpu;

/* An output: which part of which resource it shows. */
typedef struct Scanout {
	VirtioGpu *gpu;
	/* What it prefers, pixels; the main thread changes that, the loop reads it. */
	uint32_t width, height;
	uint32_t resource_id; /* 0: none */
	DisplayRect rect;
	DisplayConsole *console;
} Scanout;

struct VirtioGpu {
	VirtioDevice virtio;
	uint32_t events; /* that the driver has not cleared; device lock */

	/* Properties. */
	uint32_t n_scanouts, width, height; /* what each prefers at first */
	uint64_t memory_limit;		    /* bytes of resources */
	bool want_edid;

	/* The loop's while the device runs. */
	GHashTable *resources; /* id -> GpuResource */
	uint64_t memory_used;
	Scanout scanouts[VIRTIO_GPU_MAX_SCANOUTS];

	GByteArray *saved_resources; /* the state, while it is saved or loaded */
};

/* An answer; @size bytes of it count. */
typedef struct Response {
	union {
		struct virtio_gpu_ctrl_hdr header;
		struct virtio_gpu_resp_display_info display_info;
		struct virtio_gpu_resp_edid edid;
	} u;
	size_t size;
} Response;

/* A command as it was copied from the guest. */
typedef union Command {
	struct virtio_gpu_ctrl_hdr header;
	struct virtio_gpu_resource_create_2d create;
	struct virtio_gpu_resource_unref unref;
	struct virtio_gpu_set_scanout set_scanout;
	struct virtio_gpu_resource_flush flush;
	struct virtio_gpu_transfer_to_host_2d transfer;
	struct virtio_gpu_resource_attach_backing attach;
	struct virtio_gpu_resource_detach_backing detach;
	struct virtio_gpu_cmd_get_edid get_edid;
	struct virtio_gpu_update_cursor cursor;
} Command;

/* Carries out @command and returns the answer's type; adds to @response what follows its header. */
typedef uint32_t (*CommandHandler)(VirtioGpu *gpu, const Command *command,
				   const VirtqueueElement *element, Response *response);

static VirtioGpu *virtio_gpu(VirtioDevice *device)
{
	return (VirtioGpu *)device;
}

static GpuResource *find_resource(const VirtioGpu *gpu, uint32_t little_endian_id)
{
	return g_hash_table_lookup(gpu->resources,
				   GUINT_TO_POINTER(GUINT32_FROM_LE(little_endian_id)));
}

static DisplayRect rect_of(const struct virtio_gpu_rect *rect)
{
	return (DisplayRect){ .x = GUINT32_FROM_LE(rect->x),
			      .y = GUINT32_FROM_LE(rect->y),
			      .width = GUINT32_FROM_LE(rect->width),
			      .height = GUINT32_FROM_LE(rect->height) };
}

/* What @scanout shows, on its console. */
static void show_scanout(VirtioGpu *gpu, Scanout *scanout)
{
	GpuResource *resource = find_resource(gpu, GUINT32_TO_LE(scanout->resource_id));
	const DisplayRect *rect = &scanout->rect;
	g_autoptr(DisplaySurface) part = NULL;

	if (!resource) {
		display_console_set_surface(scanout->console, NULL);
		return;
	}
	if (rect->width < resource->surface->width || rect->height < resource->surface->height)
		part = display_surface_new_part(resource->surface, rect);
	display_console_set_surface(scanout->console, part ? part : resource->surface);
}

static void free_resource(gpointer resource)
{
	gpu_resource_free(resource);
}

static uint64_t cost_of(const GpuResource *resource)
{
	return gpu_resource_cost(resource->surface->width, resource->surface->height) +
	       resource->n_extents * sizeof(GpuExtent);
}

static void set_backing(VirtioGpu *gpu, GpuResource *resource, GpuExtent *extents, uint32_t n)
{
	gpu->memory_used -= cost_of(resource);
	gpu_resource_set_backing(resource, extents, n);
	gpu->memory_used += cost_of(resource);
}

/* The control queue's commands, §5.7.6.8 */

static uint32_t get_display_info(VirtioGpu *gpu, G_GNUC_UNUSED const Command *command,
				 G_GNUC_UNUSED const VirtqueueElement *element, Response *response)
{
	struct virtio_gpu_resp_display_info *info = &response->u.display_info;
	uint32_t x = 0;

	for (uint32_t i = 0; i < gpu->n_scanouts; i++) {
		uint32_t width = __atomic_load_n(&gpu->scanouts[i].width, __ATOMIC_RELAXED);
		uint32_t height = __atomic_load_n(&gpu->scanouts[i].height, __ATOMIC_RELAXED);

		/* Side by side. */
		info->pmodes[i].r.x = GUINT32_TO_LE(x);
		info->pmodes[i].r.width = GUINT32_TO_LE(width);
		info->pmodes[i].r.height = GUINT32_TO_LE(height);
		info->pmodes[i].enabled = GUINT32_TO_LE(1);
		x += width;
	}
	response->size = sizeof(*info);
	return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

static uint32_t get_edid(VirtioGpu *gpu, const Command *command,
			 G_GNUC_UNUSED const VirtqueueElement *element, Response *response)
{
	uint32_t index = GUINT32_FROM_LE(command->get_edid.scanout);
	const Scanout *scanout;

	if (!virtio_device_has_feature(&gpu->virtio, VIRTIO_GPU_F_EDID))
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (index >= gpu->n_scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	scanout = &gpu->scanouts[index];
	G_STATIC_ASSERT(EDID_SIZE <= sizeof(response->u.edid.edid));
	edid_generate(response->u.edid.edid, __atomic_load_n(&scanout->width, __ATOMIC_RELAXED),
		      __atomic_load_n(&scanout->height, __ATOMIC_RELAXED));
	response->u.edid.size = GUINT32_TO_LE(EDID_SIZE);
	response->size = sizeof(response->u.edid);
	return VIRTIO_GPU_RESP_OK_EDID;
}

static uint32_t create_resource(VirtioGpu *gpu, const Command *command,
				G_GNUC_UNUSED const VirtqueueElement *element,
				G_GNUC_UNUSED Response *response)
{
	uint32_t id = GUINT32_FROM_LE(command->create.resource_id);
	uint32_t format = GUINT32_FROM_LE(command->create.format);
	uint32_t width = GUINT32_FROM_LE(command->create.width);
	uint32_t height = GUINT32_FROM_LE(command->create.height);
	uint64_t cost = gpu_resource_cost(width, height);
	GpuResource *resource;

	if (id == 0 || find_resource(gpu, command->create.resource_id))
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!gpu_format_is_known(format) || cost == UINT64_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (g_hash_table_size(gpu->resources) >= RESOURCES_MAX || cost > gpu->memory_limit ||
	    gpu->memory_used > gpu->memory_limit - cost)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	resource = gpu_resource_new(id, format, width, height);
	if (!resource)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	gpu->memory_used += cost;
	g_hash_table_insert(gpu->resources, GUINT_TO_POINTER(id), resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t unref_resource(VirtioGpu *gpu, const Command *command,
			       G_GNUC_UNUSED const VirtqueueElement *element,
			       G_GNUC_UNUSED Response *response)
{
	GpuResource *resource = find_resource(gpu, command->unref.resource_id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	for (uint32_t i = 0; i < gpu->n_scanouts; i++) {
		if (gpu->scanouts[i].resource_id == resource->id) {
			gpu->scanouts[i].resource_id = 0;
			show_scanout(gpu, &gpu->scanouts[i]);
		}
	}
	gpu->memory_used -= cost_of(resource);
	g_hash_table_remove(gpu->resources, GUINT_TO_POINTER(resource->id));
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t set_scanout(VirtioGpu *gpu, const Command *command,
			    G_GNUC_UNUSED const VirtqueueElement *element,
			    G_GNUC_UNUSED Response *response)
{
	uint32_t index = GUINT32_FROM_LE(command->set_scanout.scanout_id);
	DisplayRect rect = rect_of(&command->set_scanout.r);
	GpuResource *resource = find_resource(gpu, command->set_scanout.resource_id);

	if (index >= gpu->n_scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	if (command->set_scanout.resource_id && !resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (resource && !gpu_rect_is_within(&rect, resource->surface))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	gpu->scanouts[index].resource_id = resource ? resource->id : 0;
	gpu->scanouts[index].rect = rect;
	show_scanout(gpu, &gpu->scanouts[index]);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Report what @scanout shows of @rect, which is within its resource. */
static void damage_scanout(const Scanout *scanout, const DisplayRect *rect)
{
	const DisplayRect *shown = &scanout->rect;
	uint32_t left = MAX(rect->x, shown->x), top = MAX(rect->y, shown->y);
	uint32_t right = MIN(rect->x + rect->width, shown->x + shown->width);
	uint32_t bottom = MIN(rect->y + rect->height, shown->y + shown->height);

	if (left < right && top < bottom)
		display_console_damage(scanout->console, &(DisplayRect){ .x = left - shown->x,
									 .y = top - shown->y,
									 .width = right - left,
									 .height = bottom - top });
}

static uint32_t flush_resource(VirtioGpu *gpu, const Command *command,
			       G_GNUC_UNUSED const VirtqueueElement *element,
			       G_GNUC_UNUSED Response *response)
{
	DisplayRect rect = rect_of(&command->flush.r);
	GpuResource *resource = find_resource(gpu, command->flush.resource_id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!gpu_rect_is_within(&rect, resource->surface))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	for (uint32_t i = 0; i < gpu->n_scanouts; i++) {
		if (gpu->scanouts[i].resource_id == resource->id)
			damage_scanout(&gpu->scanouts[i], &rect);
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t transfer_to_host(VirtioGpu *gpu, const Command *command,
				 G_GNUC_UNUSED const VirtqueueElement *element,
				 G_GNUC_UNUSED Response *response)
{
	DisplayRect rect = rect_of(&command->transfer.r);
	GpuResource *resource = find_resource(gpu, command->transfer.resource_id);

	if (!resource || !resource->backing)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!gpu_rect_is_within(&rect, resource->surface) ||
	    !gpu_resource_transfer(resource, gpu->virtio.queues[0].ring.memory, &rect,
				   GUINT64_FROM_LE(command->transfer.offset)))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t attach_backing(VirtioGpu *gpu, const Command *command,
			       const VirtqueueElement *element, G_GNUC_UNUSED Response *response)
{
	GpuResource *resource = find_resource(gpu, command->attach.resource_id);
	uint32_t n = GUINT32_FROM_LE(command->attach.nr_entries);
	g_autofree struct virtio_gpu_mem_entry *entries = NULL;
	GpuExtent *extents;
	size_t size = n * sizeof(*entries);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (resource->backing)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (n > GPU_EXTENTS_MAX || element->out_size < sizeof(command->attach) + size)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (gpu->memory_used + n * sizeof(*extents) > gpu->memory_limit)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	entries = g_malloc(size);
	iov_copy_from(element->iov, element->n_out, sizeof(command->attach), entries, size);
	/* One more, as a backing of nothing is one, too. */
	extents = g_new0(GpuExtent, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		extents[i].gpa = GUINT64_FROM_LE(entries[i].addr);
		extents[i].length = GUINT32_FROM_LE(entries[i].length);
	}
	set_backing(gpu, resource, extents, n);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t detach_backing(VirtioGpu *gpu, const Command *command,
			       G_GNUC_UNUSED const VirtqueueElement *element,
			       G_GNUC_UNUSED Response *response)
{
	GpuResource *resource = find_resource(gpu, command->detach.resource_id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!resource->backing)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	set_backing(gpu, resource, NULL, 0);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* The cursor queue's commands, §5.7.6.10 */

static uint32_t update_cursor(VirtioGpu *gpu, const Command *command,
			      G_GNUC_UNUSED const VirtqueueElement *element,
			      G_GNUC_UNUSED Response *response)
{
	uint32_t index = GUINT32_FROM_LE(command->cursor.pos.scanout_id);
	GpuResource *resource = find_resource(gpu, command->cursor.resource_id);
	g_autoptr(DisplayCursor) cursor = NULL;

	if (index >= gpu->n_scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	if (command->cursor.resource_id) {
		if (!resource)
			return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
		cursor = gpu_resource_cursor(resource, GUINT32_FROM_LE(command->cursor.hot_x),
					     GUINT32_FROM_LE(command->cursor.hot_y));
		if (!cursor)
			return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	display_console_set_cursor(gpu->scanouts[index].console, cursor);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Where the pointer is those who look know: they put it there. */
static uint32_t move_cursor(VirtioGpu *gpu, const Command *command,
			    G_GNUC_UNUSED const VirtqueueElement *element,
			    G_GNUC_UNUSED Response *response)
{
	return GUINT32_FROM_LE(command->cursor.pos.scanout_id) < gpu->n_scanouts
		       ? VIRTIO_GPU_RESP_OK_NODATA
		       : VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
}

typedef struct CommandType {
	uint32_t type;
	size_t size; /* bytes at least */
	CommandHandler handle;
} CommandType;

static const CommandType control_commands[] = {
	{ VIRTIO_GPU_CMD_GET_DISPLAY_INFO, sizeof(struct virtio_gpu_ctrl_hdr), get_display_info },
	{ VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, sizeof(struct virtio_gpu_resource_create_2d),
	  create_resource },
	{ VIRTIO_GPU_CMD_RESOURCE_UNREF, sizeof(struct virtio_gpu_resource_unref), unref_resource },
	{ VIRTIO_GPU_CMD_SET_SCANOUT, sizeof(struct virtio_gpu_set_scanout), set_scanout },
	{ VIRTIO_GPU_CMD_RESOURCE_FLUSH, sizeof(struct virtio_gpu_resource_flush), flush_resource },
	{ VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, sizeof(struct virtio_gpu_transfer_to_host_2d),
	  transfer_to_host },
	{ VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, sizeof(struct virtio_gpu_resource_attach_backing),
	  attach_backing },
	{ VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, sizeof(struct virtio_gpu_resource_detach_backing),
	  detach_backing },
	{ VIRTIO_GPU_CMD_GET_EDID, sizeof(struct virtio_gpu_cmd_get_edid), get_edid },
	{ 0 },
};

static const CommandType cursor_commands[] = {
	{ VIRTIO_GPU_CMD_UPDATE_CURSOR, sizeof(struct virtio_gpu_update_cursor), update_cursor },
	{ VIRTIO_GPU_CMD_MOVE_CURSOR, sizeof(struct virtio_gpu_update_cursor), move_cursor },
	{ 0 },
};

static const CommandType *find_command(const CommandType *types, uint32_t type)
{
	while (types->handle && types->type != type)
		types++;
	return types->handle ? types : NULL;
}

static bool handle_command(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioGpu *gpu = virtio_gpu(queue->device);
	Command command = { 0 };
	Response response = { .size = sizeof(response.u.header) };
	size_t size = iov_copy_from(element->iov, element->n_out, 0, &command, sizeof(command));
	const CommandType *type =
		find_command(queue->ring.index == CURSOR_QUEUE ? cursor_commands : control_commands,
			     GUINT32_FROM_LE(command.header.type));
	uint32_t answer = VIRTIO_GPU_RESP_ERR_UNSPEC;

	if (type && size >= type->size)
		answer = type->handle(gpu, &command, element, &response);
	response.u.header.type = GUINT32_TO_LE(answer);
	if (command.header.flags & GUINT32_TO_LE(VIRTIO_GPU_FLAG_FENCE)) {
		response.u.header.flags = GUINT32_TO_LE(VIRTIO_GPU_FLAG_FENCE);
		response.u.header.fence_id = command.header.fence_id;
		response.u.header.ctx_id = command.header.ctx_id;
	}
	virtqueue_push(&queue->ring, element,
		       (uint32_t)iov_copy_to(element->iov + element->n_out, element->n_in, 0,
					     &response.u, response.size));
	return true;
}

static void gpu_queue_ready(G_GNUC_UNUSED VirtioDevice *device, VirtioQueue *queue)
{
	virtio_queue_process(queue, handle_command);
}

static void gpu_read_config(VirtioDevice *device, uint8_t *bytes)
{
	struct virtio_gpu_config *config = (struct virtio_gpu_config *)(void *)bytes;

	config->events_read = GUINT32_TO_LE(virtio_gpu(device)->events);
	config->num_scanouts = GUINT32_TO_LE(virtio_gpu(device)->n_scanouts);
}

static void gpu_write_config(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size)
{
	if (offset == offsetof(struct virtio_gpu_config, events_clear) && size == sizeof(value))
		virtio_gpu(device)->events &= ~value;
}

/*
 * The driver hears that displays have changed, and asks about them (§5.7.6.1). A size that was
 * half old when it asked is followed by news of the whole.
 */
static void console_suggest_size(void *opaque, uint32_t width, uint32_t height)
{
	Scanout *scanout = opaque;
	VirtioGpu *gpu = scanout->gpu;

	width = CLAMP(width, SMALLEST_MODE, EDID_PIXELS_MAX);
	height = CLAMP(height, SMALLEST_MODE, EDID_PIXELS_MAX);
	if (width == scanout->width && height == scanout->height)
		return;
	__atomic_store_n(&scanout->width, width, __ATOMIC_RELAXED);
	__atomic_store_n(&scanout->height, height, __ATOMIC_RELAXED);
	g_mutex_lock(&gpu->virtio.pci.device.lock);
	gpu->events |= VIRTIO_GPU_EVENT_DISPLAY;
	virtio_device_config_changed(&gpu->virtio);
	g_mutex_unlock(&gpu->virtio.pci.device.lock);
}

/* Consoles go black, and keep nothing of the guest's. */
static void gpu_reset(VirtioDevice *device)
{
	VirtioGpu *gpu = virtio_gpu(device);

	g_hash_table_remove_all(gpu->resources);
	gpu->memory_used = 0;
	gpu->events = 0;
	for (uint32_t i = 0; i < gpu->n_scanouts; i++) {
		gpu->scanouts[i].resource_id = 0;
		show_scanout(gpu, &gpu->scanouts[i]);
		display_console_set_cursor(gpu->scanouts[i].console, NULL);
	}
}

static bool gpu_setup(VirtioDevice *device, GError **error)
{
	/* Damage comes by itself. */
	static const DisplayConsoleOps console_ops = { .suggest_size = console_suggest_size };
	VirtioGpu *gpu = virtio_gpu(device);
	Display *display = virtio_device_services(device)->display;

	if (!virtio_device_add_queues(device, QUEUES, CONTROL_QUEUE_SIZE, error))
		return false;
	virtio_queue_set_maximum_size(&device->queues[CURSOR_QUEUE], CURSOR_QUEUE_SIZE);
	if (gpu->want_edid)
		device->offered |= VIRTIO_FEATURE(VIRTIO_GPU_F_EDID);
	gpu->resources = g_hash_table_new_full(NULL, NULL, NULL, free_resource);
	gpu->saved_resources = g_byte_array_new();
	for (uint32_t i = 0; i < gpu->n_scanouts; i++) {
		Scanout *scanout = &gpu->scanouts[i];

		scanout->gpu = gpu;
		scanout->width = gpu->width;
		scanout->height = gpu->height;
		scanout->console = display_add_console(display, device->pci.device.id, i,
						       &console_ops, scanout);
	}
	return true;
}

static void gpu_teardown(VirtioDevice *device)
{
	VirtioGpu *gpu = virtio_gpu(device);
	Display *display = virtio_device_services(device)->display;

	for (uint32_t i = 0; i < gpu->n_scanouts; i++)
		display_remove_console(display, gpu->scanouts[i].console);
	g_hash_table_unref(gpu->resources);
	g_byte_array_unref(gpu->saved_resources);
}

static void gpu_before_save(void *object)
{
	VirtioGpu *gpu = object;
	GHashTableIter iterator;
	gpointer resource;

	g_byte_array_set_size(gpu->saved_resources, 0);
	g_hash_table_iter_init(&iterator, gpu->resources);
	while (g_hash_table_iter_next(&iterator, NULL, &resource))
		gpu_resource_save(resource, gpu->saved_resources);
}

/* Make resources of what was loaded; the limits are the ones a guest has. */
static bool load_resources(VirtioGpu *gpu, GError **error)
{
	const uint8_t *data = gpu->saved_resources->data;
	size_t left = gpu->saved_resources->len;

	g_hash_table_remove_all(gpu->resources);
	gpu->memory_used = 0;
	while (left > 0) {
		GpuResource *resource = gpu_resource_load(&data, &left, error);

		if (!resource)
			return false;
		gpu->memory_used += cost_of(resource);
		if (resource->id == 0 ||
		    !g_hash_table_insert(gpu->resources, GUINT_TO_POINTER(resource->id), resource))
			return error_fail(error,
					  "two saved resources have one id, or one has none");
		if (g_hash_table_size(gpu->resources) > RESOURCES_MAX ||
		    gpu->memory_used > gpu->memory_limit)
			return error_fail(error, "the saved resources are too large");
	}
	return true;
}

static bool gpu_loaded(void *object, GError **error)
{
	VirtioGpu *gpu = object;

	if (!load_resources(gpu, error))
		return false;
	g_byte_array_set_size(gpu->saved_resources, 0);
	for (uint32_t i = 0; i < gpu->n_scanouts; i++) {
		Scanout *scanout = &gpu->scanouts[i];
		const GpuResource *resource =
			find_resource(gpu, GUINT32_TO_LE(scanout->resource_id));

		if (scanout->resource_id &&
		    (!resource || !gpu_rect_is_within(&scanout->rect, resource->surface)))
			return error_fail(error, "output %u shows what is not there", i);
		if (scanout->width < SMALLEST_MODE || scanout->width > EDID_PIXELS_MAX ||
		    scanout->height < SMALLEST_MODE || scanout->height > EDID_PIXELS_MAX)
			return error_fail(error, "output %u prefers a size that there is not", i);
		show_scanout(gpu, scanout);
	}
	return true;
}

static const StateTable scanout_state = {
	.name = "virtio-gpu/output",
	.version = 2,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(Scanout, resource_id, STATE_UINT32),
			STATE_FIELD(Scanout, rect.x, STATE_UINT32),
			STATE_FIELD(Scanout, rect.y, STATE_UINT32),
			STATE_FIELD(Scanout, rect.width, STATE_UINT32),
			STATE_FIELD(Scanout, rect.height, STATE_UINT32),
			{ .name = "width",
			  .kind = STATE_UINT32,
			  .offset = offsetof(Scanout, width),
			  .since_version = 2 },
			{ .name = "height",
			  .kind = STATE_UINT32,
			  .offset = offsetof(Scanout, height),
			  .since_version = 2 },
			STATE_END,
		},
};

static const StateField gpu_fields[] = {
	STATE_PART(VirtioGpu, virtio, &virtio_device_state),
	STATE_BYTE_ARRAY(VirtioGpu, saved_resources),
	{ .name = "scanouts",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(VirtioGpu, scanouts),
	  .element_size = sizeof(Scanout),
	  .count = VIRTIO_GPU_MAX_SCANOUTS,
	  .has_count_offset = true,
	  .count_offset = offsetof(VirtioGpu, n_scanouts),
	  .sub_table = &scanout_state },
	{ .name = "events",
	  .kind = STATE_UINT32,
	  .offset = offsetof(VirtioGpu, events),
	  .since_version = 2 },
	STATE_END,
};

static const StateTable gpu_state = {
	.name = "virtio-gpu",
	.version = 2,
	.minimum_version = 1,
	.fields = gpu_fields,
	.before_save = gpu_before_save,
	.after_load = gpu_loaded,
};

static const Property gpu_properties[] = {
	{ .name = "max_outputs",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioGpu, n_scanouts),
	  .initial = 1,
	  .minimum = 1,
	  .maximum = VIRTIO_GPU_MAX_SCANOUTS,
	  .description = "number of screens, side by side" },
	{ .name = "max_hostmem",
	  .kind = PROPERTY_SIZE,
	  .offset = offsetof(VirtioGpu, memory_limit),
	  .initial = 256u << 20,
	  .minimum = 4u << 20,
	  .maximum = 1u << 30,
	  .description = "memory of the host that pictures may take" },
	{ .name = "edid",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioGpu, want_edid),
	  .initial = true,
	  .description = "whether there is an EDID" },
	{ .name = "xres",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioGpu, width),
	  .initial = 1280,
	  .minimum = SMALLEST_MODE,
	  .maximum = EDID_PIXELS_MAX,
	  .description = "width that each screen prefers, pixels" },
	{ .name = "yres",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioGpu, height),
	  .initial = 800,
	  .minimum = SMALLEST_MODE,
	  .maximum = EDID_PIXELS_MAX,
	  .description = "height that each screen prefers, pixels" },
	PROPERTY_END,
};

const VirtioDeviceType virtio_gpu_type = {
	.pci = {
		.device = {
			.name = "virtio-gpu-pci",
			.description = "virtio graphics without VGA",
			.category = "Display",
			.bus_kind = PCI_BUS_KIND,
			.instance_size = sizeof(VirtioGpu),
			.properties = { gpu_properties, virtio_device_properties,
					pci_device_properties },
			.state = &gpu_state,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_GPU, PCI_CLASS_DISPLAY),
	},
	.config_size = sizeof(struct virtio_gpu_config),
	.setup = gpu_setup,
	.teardown = gpu_teardown,
	.reset = gpu_reset,
	.read_config = gpu_read_config,
	.write_config = gpu_write_config,
	.queue_ready = gpu_queue_ready,
};
