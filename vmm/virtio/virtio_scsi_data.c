/*
 * virtio_scsi_data.c: requests of the SCSI adapter (virtio 1.2 §5.6.6)
 *
 * A chain is the request's header and data for the unit, then the response's header and data from
 * it; how these lie in descriptors is the driver's choice. What goes to or comes from the medium is
 * transferred between the block node and the chain's buffers. Requests live in an array by their
 * queue and the element's slot.
 *
 * A command that fails where the policy is to stop the machine, or that nobody is there to serve
 * when the adapter stops, is held, without an answer, and made again when the adapter next starts.
 * Nothing is cut short: a task management function that would abort what is with a block node, or
 * held, is answered when that is through.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "vmm/scsi/scsi_layout.h"
#include "vmm/virtio/virtio_scsi_internal.h"

#define REQUEST_FIXED  19u /* bytes before the CDB: LUN, tag, attributes */
#define RESPONSE_FIXED 12u /* bytes before the sense data */
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
#define TMF_SIZE	 24u
#define AN_SIZE		 16u
#define AN_RESPONSE_SIZE 5u

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
	/* The element's buffers begin after it by now. */
	virtqueue_mark(&request->queue->ring, request->response, request->n_response, size);
	if (request->response != &request->response_one)
		g_free(request->response);
	request->response = NULL;
	virtqueue_push(&request->queue->ring, request->element, (uint32_t)(size + data));
}

static void command_finish(ScsiRequest *request, uint8_t response, uint8_t status,
			   const ScsiSense *sense, uint64_t transferred, bool from_unit)
{
	uint8_t bytes[RESPONSE_FIXED + VIRTIO_SCSI_SENSE_MAX] = {};
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

static void hold(ScsiRequest *request)
{
	request->next = request->scsi->held;
	request->scsi->held = request;
}

static void command_done(ScsiRequest *request)
{
	const BlockRequest *block = &request->block;
	bool is_read = block->operation == BLOCK_READ;
	bool has_data = is_read || block->operation == BLOCK_WRITE;

	command_finish(request, RESPONSE_OK, SCSI_STATUS_GOOD, NULL,
		       has_data ? block->size : request->data_size, is_read);
}

/* The host failed with @error (positive). Returns whether the request is held. */
static bool command_failed(ScsiRequest *request, int error)
{
	DeviceServices *services = virtio_device_services(&request->scsi->virtio);
	BlockOperation operation = request->block.operation;
	ScsiDisk *disk = request->disk;
	ScsiSense sense = {};

	switch (block_error_happened(&disk->errors, request->block.node, operation, error,
				     services->events)) {
	case QAPI_BLOCK_ERROR_ACTION_STOP:
		hold(request);
		g_atomic_int_set(&disk->held_error, error);
		services->request(services, RUN_REQUEST_IO_ERROR, 0);
		return true;
	case QAPI_BLOCK_ERROR_ACTION_IGNORE:
		command_done(request);
		return false;
	case QAPI_BLOCK_ERROR_ACTION_REPORT:
		break;
	}
	scsi_disk_error(operation, error, &sense);
	command_finish(request, RESPONSE_OK, SCSI_STATUS_CHECK_CONDITION, &sense, 0, false);
	return false;
}

static void request_complete(BlockRequest *block, int result)
{
	ScsiRequest *request = (ScsiRequest *)block;
	VirtioQueue *queue = request->queue;
	VirtioScsi *scsi = request->scsi;
	ScsiDisk *disk = request->disk;
	bool is_held = false;

	if (block->registered)
		virtqueue_count(&queue->ring.counters.registered, 1);
	if (result == 0) {
		command_done(request);
	} else if (result == -ECANCELED) {
		/* Nobody is there to serve it, and the adapter stops. */
		hold(request);
		is_held = true;
	} else {
		is_held = command_failed(request, -result);
	}
	if (!is_held) {
		disk->n_busy--;
		if (scsi->functions)
			finish_functions(scsi);
		virtio_queue_publish(queue);
	}
	virtio_queue_end_request(queue);
}

static void submit(ScsiRequest *request)
{
	virtio_queue_begin_request(request->queue);
	block_node_submit(request->disk->node, 0, &request->block);
}

/* The transfer that scsi->outcome says, to or from @iov. */
static void start_transfer(ScsiRequest *request, struct iovec *iov, unsigned n_iov)
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
	submit(request);
}

/* Carry out @cdb, whose data for the unit is in @out and from it goes to @in. */
static void execute(ScsiRequest *request, const uint8_t lun[8], const uint8_t *cdb,
		    struct iovec *out, unsigned n_out, struct iovec *in, unsigned n_in)
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
		scsi_disk_execute(
			request->disk, cdb, parameters,
			(unsigned)iov_copy_from(out, n_out, 0, parameters, sizeof(parameters)),
			outcome);
	else
		scsi_bus_execute_without_unit(&scsi->bus, target, cdb, outcome);
	if (outcome->on_medium) {
		bool write = outcome->operation == BLOCK_WRITE;

		if ((outcome->operation == BLOCK_READ && out_size) || (write && in_size))
			respond(request, RESPONSE_FAILURE);
		else
			start_transfer(request, write ? out : in, write ? n_out : n_in);
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

bool virtio_scsi_handle_command(VirtioQueue *queue, VirtqueueElement *element)
{
	ScsiRequest *request = request_of(queue, element);
	VirtioScsi *scsi = request->scsi;
	struct iovec *out = element->iov, *in = element->iov + element->n_out;
	unsigned n_out = element->n_out, n_in = element->n_in;
	uint32_t request_size = REQUEST_FIXED + scsi->max_cdb_size;
	uint32_t response_size = RESPONSE_FIXED + scsi->max_sense_size;
	uint8_t header[REQUEST_FIXED + VIRTIO_SCSI_CDB_MAX + SCSI_CDB_SIZE] = {};

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

/* Carry out and answer @request, unless what it is about is still with a block node, or held. */
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
	}
}

bool virtio_scsi_handle_control(VirtioQueue *queue, VirtqueueElement *element)
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

/* What is held */

static void make_again(ScsiRequest *request)
{
	const ScsiSense lost = { SCSI_NOT_READY, SCSI_MEDIUM_NOT_PRESENT_CLOSED };

	if (request->disk) {
		submit(request);
		return;
	}
	command_finish(request, RESPONSE_OK, SCSI_STATUS_CHECK_CONDITION, &lost, 0, false);
	virtio_queue_publish(request->queue);
}

/* The same for what was held when the state that we loaded was saved. */
static void take_again(VirtioScsi *scsi, unsigned index,
		       bool (*handle)(VirtioQueue *queue, VirtqueueElement *element))
{
	VirtioQueue *queue = &scsi->virtio.queues[index];

	for (unsigned head = 0; head < queue->ring.size; head++) {
		uint64_t *word = &scsi->heads[index].held[head / 64];
		VirtqueueElement *element;

		if (!(*word & (1ULL << (head % 64))))
			continue;
		*word &= ~(1ULL << (head % 64));
		element = virtqueue_refetch(&queue->ring, (uint16_t)head);
		if (element)
			handle(queue, element);
		virtio_queue_publish(queue);
	}
}

static void forget_heads(VirtioScsi *scsi)
{
	memset(scsi->heads, 0, sizeof(ScsiHeads) * scsi->n_heads);
}

void virtio_scsi_start_held(VirtioScsi *scsi)
{
	ScsiRequest *request;

	for (guint i = 0; i < scsi->bus.units->len; i++) {
		ScsiDisk *disk = scsi->bus.units->pdata[i];

		g_atomic_int_set(&disk->held_error, 0);
	}
	if (scsi->held || scsi->functions)
		forget_heads(scsi);
	/* Nothing is made again where nothing can be answered: its memory may be gone. */
	for (unsigned i = 0; i < scsi->n_heads; i++) {
		if (!scsi->virtio.queues[i].ring.ops)
			virtio_scsi_forget_held(scsi, &scsi->virtio.queues[i]);
	}
	request = g_steal_pointer(&scsi->held);
	while (request) {
		ScsiRequest *next = request->next;

		make_again(request);
		request = next;
	}
	for (unsigned i = VIRTIO_SCSI_REQUESTS; i < scsi->n_heads; i++)
		take_again(scsi, i, virtio_scsi_handle_command);
	finish_functions(scsi);
	take_again(scsi, VIRTIO_SCSI_CONTROL, virtio_scsi_handle_control);
}

void virtio_scsi_release_held(VirtioScsi *scsi, const ScsiDisk *disk)
{
	for (ScsiRequest *request = scsi->held; request; request = request->next) {
		if (request->disk != disk)
			continue;
		request->disk->n_busy--;
		request->disk = NULL;
	}
}

static void forget_list(ScsiRequest **link, const VirtioQueue *queue)
{
	while (*link) {
		ScsiRequest *request = *link;

		if (queue && request->queue != queue) {
			link = &request->next;
			continue;
		}
		*link = request->next;
		if (request->disk)
			request->disk->n_busy--;
		if (request->response != &request->response_one)
			g_free(request->response);
	}
}

void virtio_scsi_forget_held(VirtioScsi *scsi, const VirtioQueue *queue)
{
	forget_list(&scsi->held, queue);
	forget_list(&scsi->functions, queue);
	if (queue)
		scsi->heads[queue->ring.index] = (ScsiHeads){};
	else
		forget_heads(scsi);
}

static void save_list(VirtioScsi *scsi, const ScsiRequest *list)
{
	for (const ScsiRequest *request = list; request; request = request->next) {
		unsigned head = request->element->head;

		scsi->heads[request->queue->ring.index].held[head / 64] |= 1ULL << (head % 64);
	}
}

void virtio_scsi_save_held(VirtioScsi *scsi)
{
	/* With nothing held the bits are those of a load that has not started yet. */
	if (scsi->held || scsi->functions)
		forget_heads(scsi);
	save_list(scsi, scsi->held);
	save_list(scsi, scsi->functions);
}
