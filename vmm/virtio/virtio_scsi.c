/*
 * virtio_scsi.c: SCSI host bus adapter (virtio 1.2 §5.6)
 *
 * A chain is the request's header and data for the unit, then the response's header and data from
 * it; how these lie in descriptors is the driver's choice. What goes to or comes from the medium is
 * transferred between the block node and the chain's buffers. Requests live in an array by their
 * queue and the element's slot.
 *
 * Nothing is cut short that is with a block node: a task management function that would abort it is
 * answered when it is through.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/base/lazy_memory.h"
#include "vmm/scsi/scsi.h"
#include "vmm/virtio/virtio_pci.h"
#include "vmm/virtio/virtio_scsi.h"

#define VIRTIO_ID_SCSI	  8
#define PCI_CLASS_STORAGE 0x010000

#define F_HOTPLUG 1
#define F_CHANGE  2

enum { QUEUE_CONTROL = 0, QUEUE_EVENT = 1, QUEUE_REQUESTS = 2 };
#define QUEUES_MAX	   256u
#define DEFAULT_QUEUE_SIZE 256
#define QUEUES_AUTO	   UINT16_MAX
#define HEADER_DESCRIPTORS 2 /* of request and response, beside the data */

#define REQUEST_FIXED	   19u /* bytes before the CDB: LUN, tag, attributes */
#define RESPONSE_FIXED	   12u /* bytes before the sense data */
#define DEFAULT_CDB_SIZE   32u
#define DEFAULT_SENSE_SIZE 96u
#define CDB_SIZE_MAX	   255u
#define SENSE_SIZE_MAX	   255u

/* §5.6.6.1 */
enum {
	RESPONSE_OK = 0,
	RESPONSE_OVERRUN = 1,
	RESPONSE_BAD_TARGET = 3,
	RESPONSE_FAILURE = 9,
	RESPONSE_FUNCTION_REJECTED = 11,
	RESPONSE_INCORRECT_LUN = 12,
};

/* §5.6.6.2 */
enum { CONTROL_TMF = 0, CONTROL_AN_QUERY = 1, CONTROL_AN_SUBSCRIBE = 2 };
enum {
	TMF_CLEAR_ACA = 2, /* those to abort are 0, 1 and 3 */
	TMF_I_T_NEXUS_RESET = 4,
	TMF_LOGICAL_UNIT_RESET = 5,
};
#define TMF_SIZE	  24u
#define AN_SIZE		  16u
#define AN_RESPONSE_SIZE  5u

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

typedef struct VirtioScsi VirtioScsi;
typedef struct ScsiRequest ScsiRequest;

/* What a task management function is about: one unit, or all of a target. */
typedef struct ScsiFunction {
	uint32_t kind;
	unsigned target, lun;
} ScsiFunction;

struct ScsiRequest {
	BlockRequest block;
	VirtioScsi *scsi;
	VirtioQueue *queue;
	VirtqueueElement *element;
	ScsiDisk *disk;		    /* while it is busy with it */
	struct iovec response_one;  /* where the response goes, if it is in one piece */
	struct iovec *response;	    /* &response_one, or allocated */
	unsigned n_response;
	uint64_t data_size; /* bytes of either direction that the driver has room for */
	ScsiFunction function;
	ScsiRequest *next; /* of the functions that wait */
};

struct VirtioScsi {
	VirtioDevice virtio;
	ScsiBus bus;

	/* Properties. */
	uint16_t num_queues, queue_size;

	uint32_t cdb_size, sense_size; /* device lock; stopped, or as at the start */
	uint32_t max_cdb_size, max_sense_size;

	/* Loop thread. */
	ScsiRequest *requests;	 /* by queue and slot; the event queue uses none */
	ScsiRequest *functions;	 /* wait for their unit to be idle */
	bool event_missed;
	ScsiOutcome outcome; /* of the command at hand */
};

static VirtioScsi *virtio_scsi(VirtioDevice *device)
{
	return (VirtioScsi *)device;
}

/* A unit as virtio has it (§5.6.6.1): always in the format for single levels. */
static void put_lun(uint8_t lun[8], const ScsiDisk *disk)
{
	memset(lun, 0, 8);
	lun[0] = 1;
	lun[1] = (uint8_t)disk->target;
	lun[2] = 0x40;
	lun[3] = (uint8_t)disk->lun;
}

/* False where it is none that there could be. */
static bool get_lun(const uint8_t lun[8], unsigned *target, unsigned *number)
{
	*target = lun[1];
	*number = (unsigned)(lun[2] & 0x3f) << 8 | lun[3];
	return lun[0] == 1 && (lun[2] == 0 || (lun[2] & 0xc0) == 0x40);
}

/* Responses */

/* Remember where the response of @request goes, the first @size of its @n_in buffers @in. */
static void keep_response(ScsiRequest *request, const struct iovec *in, unsigned n_in, size_t size)
{
	if (in[0].iov_len >= size) {
		request->response_one = (struct iovec){ in[0].iov_base, size };
		request->response = &request->response_one;
		request->n_response = 1;
		return;
	}
	request->response = g_memdup2(in, n_in * sizeof(*in));
	request->n_response = n_in;
}

/* Answer @request with the @size bytes of @response, after which came @data bytes. */
static void request_finish(ScsiRequest *request, const void *response, size_t size, uint64_t data)
{
	iov_copy_to(request->response, request->n_response, 0, response, size);
	if (request->response != &request->response_one)
		g_free(request->response);
	request->response = NULL;
	virtqueue_push(&request->queue->ring, request->element, (uint32_t)(size + data));
}

static void command_finish(ScsiRequest *request, uint8_t response, uint8_t status,
			   const ScsiSense *sense, uint64_t transferred, bool from_unit)
{
	uint8_t bytes[RESPONSE_FIXED + SENSE_SIZE_MAX] = {};
	uint32_t sense_size = request->scsi->max_sense_size;
	uint64_t residual = request->data_size - MIN(transferred, request->data_size);
	uint32_t residual_32 = GUINT32_TO_LE((uint32_t)MIN(residual, UINT32_MAX));

	if (status == SCSI_STATUS_CHECK_CONDITION) {
		uint8_t data[SCSI_SENSE_SIZE];
		uint32_t size = GUINT32_TO_LE(MIN(sense_size, SCSI_SENSE_SIZE));

		scsi_sense_format(sense, data);
		memcpy(bytes, &size, sizeof(size));
		memcpy(bytes + RESPONSE_FIXED, data, MIN(sense_size, SCSI_SENSE_SIZE));
	}
	memcpy(bytes + 4, &residual_32, sizeof(residual_32));
	bytes[10] = status;
	bytes[11] = response;
	request_finish(request, bytes, RESPONSE_FIXED + sense_size, from_unit ? transferred : 0);
}

static void respond(ScsiRequest *request, uint8_t response)
{
	command_finish(request, response, SCSI_STATUS_GOOD, NULL, 0, false);
}

/* Commands */

static void finish_functions(VirtioScsi *scsi);

static void request_complete(BlockRequest *block, int result)
{
	ScsiRequest *request = (ScsiRequest *)block;
	VirtioQueue *queue = request->queue;
	VirtioScsi *scsi = request->scsi;
	DeviceServices *services = virtio_device_services(&scsi->virtio);
	bool is_read = block->operation == BLOCK_READ;
	bool has_data = is_read || block->operation == BLOCK_WRITE;
	ScsiSense sense = {};

	if (result == 0) {
		command_finish(request, RESPONSE_OK, SCSI_STATUS_GOOD, NULL,
			       has_data ? block->size : request->data_size, is_read);
	} else if (result == -ECANCELED) {
		/* Nobody is there to serve it, and the adapter stops: the driver tries again. */
		command_finish(request, RESPONSE_OK, SCSI_STATUS_BUSY, NULL, 0, false);
	} else {
		scsi_disk_error(block->operation, -result, &sense);
		qapi_event_block_io_error(services->events, "", block_node_name(block->node),
					  is_read ? QAPI_IO_OPERATION_TYPE_READ
						  : QAPI_IO_OPERATION_TYPE_WRITE,
					  QAPI_BLOCK_ERROR_ACTION_REPORT, !is_read,
					  -result == ENOSPC, error_text(-result));
		command_finish(request, RESPONSE_OK, SCSI_STATUS_CHECK_CONDITION, &sense, 0, false);
	}
	request->disk->n_busy--;
	if (scsi->functions)
		finish_functions(scsi);
	virtio_queue_publish(queue);
	virtio_queue_end_request(queue);
}

/* The transfer that scsi->outcome says, to or from @iov. */
static void submit(ScsiRequest *request, struct iovec *iov, unsigned n_iov)
{
	const ScsiOutcome *outcome = &request->scsi->outcome;
	bool has_data = outcome->operation == BLOCK_READ || outcome->operation == BLOCK_WRITE;

	if (has_data && request->data_size < outcome->size) {
		respond(request, RESPONSE_OVERRUN);
		return;
	}
	if (has_data)
		iov_discard_back(iov, &n_iov, request->data_size - outcome->size);
	request->block = (BlockRequest){ .operation = outcome->operation,
					 .fua = outcome->fua,
					 .offset = outcome->offset,
					 .size = outcome->size,
					 .iov = has_data ? iov : NULL,
					 .n_iov = has_data ? n_iov : 0,
					 .complete = request_complete };
	request->disk->n_busy++;
	virtio_queue_begin_request(request->queue);
	block_node_submit(request->disk->node, 0, &request->block);
}

/* Carry out @cdb, whose data for the unit is in @out and from it goes to @in. */
static void execute(ScsiRequest *request, const uint8_t lun[8], const uint8_t *cdb, struct iovec *out,
		    unsigned n_out, struct iovec *in, unsigned n_in)
{
	VirtioScsi *scsi = request->scsi;
	ScsiOutcome *outcome = &scsi->outcome;
	uint64_t out_size = iov_size(out, n_out), in_size = iov_size(in, n_in);
	uint8_t parameters[SCSI_PARAMETER_MAX];
	unsigned target, number;
	bool has_target = false;

	request->data_size = MAX(out_size, in_size);
	if (out_size && in_size) { /* we do not offer INOUT */
		respond(request, RESPONSE_FAILURE);
		return;
	}
	request->disk = get_lun(lun, &target, &number)
				? scsi_bus_find(&scsi->bus, target, number, &has_target)
				: NULL;
	if (!has_target) {
		respond(request, RESPONSE_BAD_TARGET);
		return;
	}
	if (request->disk)
		scsi_disk_execute(request->disk, cdb, parameters,
				  (unsigned)iov_copy_from(out, n_out, 0, parameters,
							  sizeof(parameters)),
				  outcome);
	else
		scsi_bus_execute_without_unit(&scsi->bus, target, cdb, outcome);
	if (outcome->on_medium) {
		bool write = outcome->operation == BLOCK_WRITE;

		if ((outcome->operation == BLOCK_READ && out_size) || (write && in_size))
			respond(request, RESPONSE_FAILURE);
		else
			submit(request, write ? out : in, write ? n_out : n_in);
		return;
	}
	if (outcome->reply_size > in_size) {
		respond(request, RESPONSE_OVERRUN);
		return;
	}
	iov_copy_to(in, n_in, 0, outcome->reply, outcome->reply_size);
	command_finish(request, RESPONSE_OK, outcome->status, &outcome->sense,
		       out_size ? out_size : outcome->reply_size, in_size > 0);
}

static ScsiRequest *request_of(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioScsi *scsi = virtio_scsi(queue->device);
	size_t first = (size_t)queue->ring.index * scsi->queue_size;
	ScsiRequest *request = &scsi->requests[first + element->slot];

	request->scsi = scsi;
	request->queue = queue;
	request->element = element;
	request->disk = NULL;
	return request;
}

static bool handle_command(VirtioQueue *queue, VirtqueueElement *element)
{
	ScsiRequest *request = request_of(queue, element);
	VirtioScsi *scsi = request->scsi;
	struct iovec *out = element->iov, *in = element->iov + element->n_out;
	unsigned n_out = element->n_out, n_in = element->n_in;
	uint32_t request_size = REQUEST_FIXED + scsi->max_cdb_size;
	uint32_t response_size = RESPONSE_FIXED + scsi->max_sense_size;
	uint8_t header[REQUEST_FIXED + CDB_SIZE_MAX + SCSI_CDB_SIZE] = {};

	if (element->out_size < request_size || element->in_size < response_size) {
		virtio_queue_set_broken(queue, "a SCSI request lacks header or response");
		virtqueue_push(&queue->ring, element, 0);
		return false;
	}
	iov_copy_from(out, n_out, 0, header, request_size);
	iov_discard_front(&out, &n_out, request_size);
	keep_response(request, in, n_in, response_size);
	iov_discard_front(&in, &n_in, response_size);
	execute(request, header, header + REQUEST_FIXED, out, n_out, in, n_in);
	return true;
}

/* Task management */

static bool concerns(const ScsiFunction *function, const ScsiDisk *disk)
{
	return disk->target == function->target &&
	       (function->kind == TMF_I_T_NEXUS_RESET || disk->lun == function->lun);
}

/* Carry out and answer @request, unless what it is about is still with a block node. */
static bool try_function(ScsiRequest *request)
{
	const GPtrArray *units = request->scsi->bus.units;
	const ScsiFunction *function = &request->function;
	const uint8_t ok = RESPONSE_OK;

	for (guint i = 0; i < units->len; i++) {
		const ScsiDisk *disk = units->pdata[i];

		if (concerns(function, disk) && disk->n_busy > 0)
			return false;
	}
	for (guint i = 0; i < units->len && function->kind >= TMF_I_T_NEXUS_RESET; i++) {
		ScsiDisk *disk = units->pdata[i];

		if (concerns(function, disk))
			disk->device.type->reset(&disk->device);
	}
	request_finish(request, &ok, sizeof(ok), 0);
	return true;
}

static void finish_functions(VirtioScsi *scsi)
{
	ScsiRequest **link = &scsi->functions;

	while (*link) {
		ScsiRequest *request = *link;
		ScsiRequest *next = request->next;
		VirtioQueue *queue = request->queue;

		if (!try_function(request)) {
			link = &request->next;
			continue;
		}
		*link = next;
		virtio_queue_publish(queue);
		virtio_queue_end_request(queue);
	}
}

/* Start the function @kind; its response may come later. */
static void start_function(ScsiRequest *request, uint32_t kind, const uint8_t lun[8])
{
	VirtioScsi *scsi = request->scsi;
	ScsiFunction *function = &request->function;
	uint8_t response = RESPONSE_OK;
	bool has_target = false;
	const ScsiDisk *disk;

	*function = (ScsiFunction){ .kind = kind };
	disk = get_lun(lun, &function->target, &function->lun)
		       ? scsi_bus_find(&scsi->bus, function->target, function->lun, &has_target)
		       : NULL;
	if (kind > TMF_LOGICAL_UNIT_RESET || kind == TMF_CLEAR_ACA)
		response = RESPONSE_FUNCTION_REJECTED;
	else if (!has_target)
		response = RESPONSE_BAD_TARGET;
	else if (!disk && kind != TMF_I_T_NEXUS_RESET)
		response = RESPONSE_INCORRECT_LUN;
	if (response != RESPONSE_OK) {
		request_finish(request, &response, sizeof(response), 0);
	} else if (!try_function(request)) {
		request->next = scsi->functions;
		scsi->functions = request;
		virtio_queue_begin_request(request->queue);
	}
}

static bool handle_control(VirtioQueue *queue, VirtqueueElement *element)
{
	ScsiRequest *request = request_of(queue, element);
	struct iovec *out = element->iov, *in = element->iov + element->n_out;
	uint8_t header[TMF_SIZE] = {}, answer[AN_RESPONSE_SIZE] = {};
	uint32_t type, subtype;
	size_t size = iov_copy_from(out, element->n_out, 0, header, sizeof(header));

	memcpy(&type, header, sizeof(type));
	memcpy(&subtype, header + 4, sizeof(subtype));
	type = GUINT32_FROM_LE(type);
	if (type == CONTROL_TMF && size == TMF_SIZE && element->in_size >= 1) {
		keep_response(request, in, element->n_in, 1);
		start_function(request, GUINT32_FROM_LE(subtype), header + 8);
		return true;
	}
	/* Asynchronous notifications: we have none. */
	if ((type == CONTROL_AN_QUERY || type == CONTROL_AN_SUBSCRIBE) && size >= AN_SIZE &&
	    element->in_size >= sizeof(answer)) {
		keep_response(request, in, element->n_in, sizeof(answer));
		request_finish(request, answer, sizeof(answer), 0);
		return true;
	}
	virtio_queue_set_broken(queue, "a SCSI control request is none");
	virtqueue_push(&queue->ring, element, 0);
	return false;
}

/* Events */

typedef struct EventPost {
	VirtioScsi *scsi;
	ScsiEvent event;
} EventPost;

static void push_event(VirtioScsi *scsi, const ScsiEvent *event)
{
	VirtioQueue *queue = &scsi->virtio.queues[QUEUE_EVENT];
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
	post.event.reason = GUINT32_TO_LE(is_change ? REASON_CAPACITY_CHANGE
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

static void scsi_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	VirtioScsi *scsi = virtio_scsi(device);
	const ScsiEvent nothing = { .event = GUINT32_TO_LE(EVENT_NO_EVENT) };

	if (queue->ring.index == QUEUE_CONTROL)
		virtio_queue_process(queue, handle_control);
	else if (queue->ring.index != QUEUE_EVENT)
		virtio_queue_process(queue, handle_command);
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
	if (value > (is_sense ? SENSE_SIZE_MAX : CDB_SIZE_MAX))
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
	scsi_bus_init(&scsi->bus, name, base);
}

static size_t requests_size(const VirtioScsi *scsi)
{
	return sizeof(ScsiRequest) * scsi->queue_size * (QUEUE_REQUESTS + scsi->num_queues);
}

static bool scsi_setup(VirtioDevice *device, GError **error)
{
	VirtioScsi *scsi = virtio_scsi(device);

	if (scsi->num_queues == QUEUES_AUTO)
		scsi->num_queues =
			(uint16_t)CLAMP(virtio_device_services(device)->n_cpus, 1, QUEUES_MAX);
	if (!virtio_device_add_queues(device, QUEUE_REQUESTS + scsi->num_queues, scsi->queue_size,
				      error))
		return false;
	device->offered |= VIRTIO_FEATURE(F_HOTPLUG) | VIRTIO_FEATURE(F_CHANGE);
	scsi->requests = lazy_memory_new(requests_size(scsi));
	if (!scsi->requests)
		return error_fail_errno(error, ENOMEM, "requests");
	scsi_reset(device);
	add_bus(scsi);
	return true;
}

static void scsi_teardown(VirtioDevice *device)
{
	VirtioScsi *scsi = virtio_scsi(device);

	scsi_bus_clear(&scsi->bus);
	lazy_memory_free(scsi->requests, requests_size(scsi));
}

static bool scsi_loaded(void *object, GError **error)
{
	const VirtioScsi *scsi = object;

	return (scsi->cdb_size <= CDB_SIZE_MAX && scsi->sense_size <= SENSE_SIZE_MAX) ||
	       error_fail(error, "%s has CDBs or sense data of impossible size",
			  scsi->virtio.pci.device.path);
}

static const StateTable scsi_state = {
	.name = "virtio-scsi",
	.version = 1,
	.minimum_version = 1,
	.after_load = scsi_loaded,
	.fields =
		(const StateField[]){
			STATE_PART(VirtioScsi, virtio, &virtio_device_state),
			STATE_FIELD(VirtioScsi, cdb_size, STATE_UINT32),
			STATE_FIELD(VirtioScsi, sense_size, STATE_UINT32),
			STATE_FIELD(VirtioScsi, event_missed, STATE_BOOL),
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
	.read_config = scsi_read_config,
	.write_config = scsi_write_config,
	.start = scsi_start,
	.stop = scsi_stop,
	.queue_ready = scsi_queue_ready,
};
