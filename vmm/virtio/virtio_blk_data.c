/*
 * virtio_blk_data.c: requests of the block device (virtio 1.2 §5.2.6)
 *
 * A chain is a 16-byte header and data for the device to read, then data for it to write and the
 * status byte; how these lie in descriptors is the driver's choice (§2.7.4.1). The iovecs of the
 * element, trimmed of header and status, go to the block node as they are.
 *
 * A request that fails where the policy is to stop the machine, or that nobody is there to serve
 * when the device stops, is held, without an answer, and made again when the device next starts. Requests live in an array by the element's slot.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_blk_internal.h"

#include <errno.h>
#include <string.h>

/* Answer @request with @status, @written bytes of data having been put before it. */
static void request_finish(BlkRequest *request, uint8_t status, uint32_t written)
{
	*request->status = status;
	/* The element's buffers end before it by now. */
	guest_memory_mark(request->queue->ring.memory, request->status, 1);
	virtqueue_push(&request->queue->ring, request->element, written + 1);
}

static void hold(BlkRequest *request)
{
	BlkQueue *queue = &request->blk->queues[request->queue->ring.index];

	request->next_held = queue->held;
	queue->held = request;
}

/* The host failed with @error (positive). Returns whether the request is held. */
static bool request_failed(BlkRequest *request, int error)
{
	VirtioBlk *blk = request->blk;
	DeviceServices *services = virtio_device_services(&blk->virtio);
	QapiBlockErrorAction action = block_error_happened(
		&blk->errors, blk->node, request->block.operation, error, services->events);

	if (action == QAPI_BLOCK_ERROR_ACTION_STOP) {
		hold(request);
		g_atomic_int_set(&blk->held_error, error);
		services->request(services, RUN_REQUEST_IO_ERROR, 0);
		return true;
	}
	request_finish(request, action == QAPI_BLOCK_ERROR_ACTION_IGNORE ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR,
		       0);
	return false;
}

static void request_complete(BlockRequest *block, int result)
{
	BlkRequest *request = (BlkRequest *)block;
	VirtioQueue *queue = request->queue;

	if (block->registered)
		virtqueue_count(&queue->ring.counters.registered, 1);
	/* Nobody is there to serve it, and the device stops: it is made again at the next start. */
	if (result == -ECANCELED)
		hold(request);
	if (result == 0)
		request_finish(request, VIRTIO_BLK_S_OK,
			       block->operation == BLOCK_READ ? block->size : 0);
	if (result == 0 || (result != -ECANCELED && !request_failed(request, -result)))
		virtio_queue_publish(queue);
	virtio_queue_end_request(queue);
}

static void submit(BlkRequest *request)
{
	VirtioQueue *queue = request->queue;

	virtio_queue_begin_request(queue);
	block_node_submit(request->blk->node, queue->share->index, &request->block);
}

/* Whether @size bytes at @sector are whole logical blocks inside the disk. */
static bool range_is_good(const VirtioBlk *blk, uint64_t sector, uint64_t size)
{
	uint64_t disk = __atomic_load_n(&blk->size, __ATOMIC_RELAXED);

	return sector <= disk / VIRTIO_BLK_SECTOR_SIZE &&
	       size <= disk - sector * VIRTIO_BLK_SECTOR_SIZE &&
	       (sector * VIRTIO_BLK_SECTOR_SIZE | size) % blk->logical_block_size == 0;
}

/* §5.2.6: data of a read or write. Returns the status, or -1 once it is on its way. */
static int start_transfer(BlkRequest *request, uint64_t sector, bool write, struct iovec *iov,
			  unsigned n_iov)
{
	VirtioBlk *blk = request->blk;
	uint64_t size = iov_size(iov, n_iov);

	if ((write && blk->limits.read_only) || !range_is_good(blk, sector, size))
		return VIRTIO_BLK_S_IOERR;
	if (size == 0)
		return VIRTIO_BLK_S_OK;
	request->block.operation = write ? BLOCK_WRITE : BLOCK_READ;
	request->block.offset = sector * VIRTIO_BLK_SECTOR_SIZE;
	request->block.size = size;
	request->block.iov = iov;
	request->block.n_iov = n_iov;
	submit(request);
	return -1;
}

/* §5.2.6.2: discard and write zeroes of the one range that we offer at a time. */
static int start_range(BlkRequest *request, bool zeroes, const struct iovec *iov, unsigned n_iov)
{
	VirtioBlk *blk = request->blk;
	unsigned feature = zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD;
	VirtioBlkRange range;

	if (!virtio_device_has_feature(&blk->virtio, feature) ||
	    !(zeroes ? blk->can_write_zeroes : blk->can_discard))
		return VIRTIO_BLK_S_UNSUPP;
	if (iov_size(iov, n_iov) != sizeof(range))
		return VIRTIO_BLK_S_UNSUPP;
	iov_copy_from(iov, n_iov, 0, &range, sizeof(range));
	if (range.flags & ~(zeroes ? VIRTIO_BLK_RANGE_UNMAP : 0u))
		return VIRTIO_BLK_S_UNSUPP;
	if (range.n_sectors > VIRTIO_BLK_RANGE_SECTORS_MAX ||
	    !range_is_good(blk, range.sector, (uint64_t)range.n_sectors * VIRTIO_BLK_SECTOR_SIZE))
		return VIRTIO_BLK_S_IOERR;
	if (range.n_sectors == 0)
		return VIRTIO_BLK_S_OK;
	request->block.operation = zeroes ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD;
	request->block.may_unmap = range.flags & VIRTIO_BLK_RANGE_UNMAP;
	request->block.offset = range.sector * VIRTIO_BLK_SECTOR_SIZE;
	request->block.size = (uint64_t)range.n_sectors * VIRTIO_BLK_SECTOR_SIZE;
	submit(request);
	return -1;
}

static int start_flush(BlkRequest *request)
{
	request->block.operation = BLOCK_FLUSH;
	submit(request);
	return -1;
}

static int get_id(BlkRequest *request, const struct iovec *iov, unsigned n_iov, uint32_t *written)
{
	char id[VIRTIO_BLK_ID_SIZE] = {};

	if (request->blk->serial)
		memcpy(id, request->blk->serial,
		       MIN(strlen(request->blk->serial), VIRTIO_BLK_ID_SIZE));
	*written = iov_copy_to(iov, n_iov, 0, id, sizeof(id));
	return VIRTIO_BLK_S_OK;
}

/* Start what @element asks for; @false with the queue broken where it is no request at all. */
static bool request_start(BlkRequest *request)
{
	VirtqueueElement *element = request->element;
	struct iovec *out = element->iov, *in = element->iov + element->n_out;
	unsigned n_out = element->n_out, n_in = element->n_in;
	uint32_t written = 0;
	VirtioBlkHeader header;
	int status;

	if (element->out_size < sizeof(header) || element->in_size == 0) {
		virtio_queue_set_broken(request->queue, "a block request lacks header or status");
		return false;
	}
	iov_copy_from(out, n_out, 0, &header, sizeof(header));
	iov_discard_front(&out, &n_out, sizeof(header));
	request->status = (uint8_t *)in[n_in - 1].iov_base + in[n_in - 1].iov_len - 1;
	iov_discard_back(in, &n_in, 1);
	request->block = (BlockRequest){ .complete = request_complete };
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		status = start_transfer(request, header.sector, false, in, n_in);
		break;
	case VIRTIO_BLK_T_OUT:
		status = start_transfer(request, header.sector, true, out, n_out);
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = start_flush(request);
		break;
	case VIRTIO_BLK_T_GET_ID:
		status = get_id(request, in, n_in, &written);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		status = start_range(request, header.type == VIRTIO_BLK_T_WRITE_ZEROES, out, n_out);
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
	}
	if (status >= 0)
		request_finish(request, status, written);
	return true;
}

static bool handle_element(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioBlk *blk = virtio_blk(queue->device);
	BlkRequest *request = &blk->queues[queue->ring.index].requests[element->slot];

	request->blk = blk;
	request->queue = queue;
	request->element = element;
	if (request_start(request))
		return true;
	virtqueue_push(&queue->ring, element, 0);
	return false;
}

void virtio_blk_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	(void)device;
	virtio_queue_process(queue, handle_element);
}

void virtio_blk_forget_held_heads(BlkQueue *queue)
{
	memset(queue->held_heads, 0, sizeof(queue->held_heads));
}

void virtio_blk_start_queue(VirtioBlk *blk, VirtioQueue *queue)
{
	BlkQueue *own = &blk->queues[queue->ring.index];
	BlkRequest *request = g_steal_pointer(&own->held);

	if (request)
		virtio_blk_forget_held_heads(own);
	/* Nothing is made again where nothing can be answered: its memory may be gone. */
	if (!queue->ring.ops)
		return;
	while (request) {
		BlkRequest *next = request->next_held;

		submit(request);
		request = next;
	}
	/* The same for what was held when the state that we loaded was saved. */
	for (unsigned head = 0; head < queue->ring.size; head++) {
		uint64_t *word = &own->held_heads[head / 64];
		VirtqueueElement *element;

		if (!(*word & (1ULL << (head % 64))))
			continue;
		*word &= ~(1ULL << (head % 64));
		element = virtqueue_refetch(&queue->ring, head);
		if (element)
			handle_element(queue, element);
	}
	virtio_queue_publish(queue);
}
