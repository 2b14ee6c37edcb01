/*
 * block_vhost_port.c: a loop's ring to a vhost-user back end, and the requests on it
 *
 * A request is a series of steps, each one chain of the ring: as much data as fits, until all is
 * done, then a flush where the write cache is off. Data in guest memory that the back end knows
 * goes as it is, other data by way of bounce buffers. A step has a slot while it is with the back
 * end. What finds no slot or buffer waits in a queue; so does everything while there is no back
 * end, what was with the last one before the rest and in the order in which it was made.
 *
 * What was answered may have gone with the back end, too, unless it was flushed since. So it is
 * logged, and written again before anything else: by one port for all of them, in the order of the
 * answers. Where the log is full a write is not answered before a flush.
 *
 * The back end is not trusted. The first thing it says that cannot be true ends all business with
 * it: the requests fail, and the main thread cuts it off.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_vhost_internal.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>

#include "vmm/base/iov.h"

/* How often answers are looked for before others on the loop have their turn. */
#define ROUNDS 4

static bool is_live(const BlockVhostPort *port)
{
	return port->link == BLOCK_VHOST_UP || port->link == BLOCK_VHOST_REPLAYING;
}

/* Requests wait for a back end. */
static bool is_waiting(const BlockVhostPort *port)
{
	return port->link == BLOCK_VHOST_DOWN || port->link == BLOCK_VHOST_REPLAYING;
}

static BlockVhostPort *port_of(const BlockRequest *request)
{
	return (BlockVhostPort *)request->port;
}

/* Completion without the back end: later, and from the loop. */

static void nothing_done(IoOperation *operation, int result)
{
	BlockRequest *request =
		(BlockRequest *)((char *)operation - G_STRUCT_OFFSET(BlockRequest, io));
	bool refused = request->result == -EINVAL || request->result == -EROFS;

	(void)result;
	block_port_finish(request, request->result, refused);
}

static void finish_soon(BlockRequest *request, int result)
{
	request->stage = BLOCK_VHOST_NOTHING;
	request->result = result;
	request->io.complete = nothing_done;
	io_uring_prep_nop(io_loop_get_sqe(request->port->loop, &request->io));
}

/* The queue */

static void queue_init(BlockQueue *queue)
{
	*queue = (BlockQueue){ .last = &queue->first };
}

static void queue_append(BlockQueue *queue, BlockRequest *request)
{
	request->next = NULL;
	*queue->last = request;
	queue->last = &request->next;
}

static void queue_prepend(BlockQueue *queue, BlockRequest *request)
{
	request->next = queue->first;
	if (!queue->first)
		queue->last = &request->next;
	queue->first = request;
}

static BlockRequest *queue_take(BlockQueue *queue)
{
	BlockRequest *request = queue->first;

	if (request)
		queue->first = request->next;
	if (!queue->first)
		queue->last = &queue->first;
	return request;
}

static void offer_queue(BlockVhostPort *port)
{
	bool any = false;

	while (port->link == BLOCK_VHOST_UP && port->queue.first &&
	       block_vhost_offer(port, port->queue.first)) {
		queue_take(&port->queue);
		any = true;
	}
	if (any)
		io_loop_defer(port->port.loop, &port->publish);
}

/*
 * Kicks. The other process has this eventfd, too, and may have made it one that blocks: a write by
 * the ring holds up nobody. Nor does it cost a system call.
 */

static void kick_start(BlockVhostKick *kick)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(kick->loop, &kick->operation);

	kick->busy = true;
	kick->again = false;
	/* Wherever it is: an eventfd has no places. */
	io_uring_prep_write(sqe, kick->fd, &kick->one, sizeof(kick->one), (uint64_t)-1);
}

static void kick_done(IoOperation *operation, int result)
{
	BlockVhostKick *kick =
		(BlockVhostKick *)((char *)operation - G_STRUCT_OFFSET(BlockVhostKick, operation));

	(void)result; /* one that has no room left has been signalled */
	kick->busy = false;
	if (kick->orphaned) {
		io_loop_release(kick->loop);
		g_free(kick);
	} else if (kick->again) {
		kick_start(kick);
	}
}

static BlockVhostKick *kick_new(IoLoop *loop, int fd)
{
	BlockVhostKick *kick = g_new0(BlockVhostKick, 1);

	*kick = (BlockVhostKick){
		.operation = { .complete = kick_done }, .one = 1, .fd = fd, .loop = loop
	};
	return kick;
}

static void kick_free(BlockVhostKick *kick)
{
	if (!kick->busy) {
		g_free(kick);
		return;
	}
	kick->orphaned = true;
	io_loop_hold(kick->loop);
	io_uring_prep_cancel(io_loop_get_sqe(kick->loop, NULL), &kick->operation, 0);
	/* Now, so that no entry still names the descriptor once it is closed. */
	io_loop_submit(kick->loop);
}

/* One kick for all that was offered while callbacks ran. */
static void publish(IoDeferred *deferred)
{
	BlockVhostPort *port =
		(BlockVhostPort *)((char *)deferred - G_STRUCT_OFFSET(BlockVhostPort, publish));

	if (!is_live(port) || !block_vhost_ring_publish(&port->ring))
		return;
	port->kick->again = true;
	if (!port->kick->busy)
		kick_start(port->kick);
}

static BlockVhostStage first_stage(const BlockVhostPort *port, const BlockRequest *request)
{
	const BlockVhostTraits *traits = &port->traits;

	if (request->operation == BLOCK_FLUSH)
		return traits->flush && !request->node->no_flush ? BLOCK_VHOST_FLUSH
								 : BLOCK_VHOST_NOTHING;
	if (request->size == 0)
		return BLOCK_VHOST_NOTHING;
	/* A discard is advice: where there are none it has been done. */
	if (request->operation == BLOCK_DISCARD)
		return traits->discard_max && request->node->discard ? BLOCK_VHOST_DISCARD
								     : BLOCK_VHOST_NOTHING;
	if (!block_request_is_zeroing(request))
		return BLOCK_VHOST_TRANSFER;
	if (traits->zeroes_max && !port->no_zeroes)
		return BLOCK_VHOST_WRITE_ZEROES;
	return request->operation == BLOCK_WRITE ? BLOCK_VHOST_TRANSFER : BLOCK_VHOST_ZERO_BYTES;
}

/* 0 or a negative errno. */
static int check(const BlockVhostPort *port, const BlockRequest *request)
{
	int result = block_request_check(request);

	if (result == 0 && request->operation != BLOCK_FLUSH &&
	    ((request->offset | request->size) & (port->traits.block_size - 1)))
		return -EINVAL;
	return result;
}

void block_vhost_port_start(BlockRequest *request)
{
	BlockVhostPort *port = port_of(request);
	int result = check(port, request);

	request->done = 0;
	request->stage = result == 0 ? first_stage(port, request) : BLOCK_VHOST_NOTHING;
	if (request->stage == BLOCK_VHOST_NOTHING)
		finish_soon(request, result);
	else if (port->link == BLOCK_VHOST_FAILED)
		finish_soon(request, -EIO);
	else if (is_waiting(port) && block_port_is_draining(&port->port))
		finish_soon(request, -ECANCELED);
	else
		queue_append(&port->queue, request);
	offer_queue(port);
}

/* The end of a link */

static void free_slot(BlockVhostPort *port, BlockVhostSlot *slot)
{
	if (slot->bounce >= 0)
		port->free_bounces[port->n_free_bounces++] = (uint8_t)slot->bounce;
	slot->request = NULL;
	port->free_slots[port->n_free_slots++] = (uint8_t)block_vhost_slot_index(port, slot);
}

/* What has been done of a request may be lost. */
static void start_over(const BlockVhostPort *port, BlockRequest *request)
{
	request->done = 0;
	request->stage = first_stage(port, request);
}

/* What is with the back end waits again, before all that waits already. */
static void take_back(BlockVhostPort *port)
{
	BlockVhostSlot *busy[BLOCK_VHOST_SLOTS];
	unsigned n = 0;

	/* By insertion: not many, nearly in order; qsort() is nothing for a sandboxed thread. */
	for (unsigned i = 0; i < BLOCK_VHOST_SLOTS; i++) {
		BlockVhostSlot *slot = &port->slots[i];
		unsigned place = n;

		if (!slot->request)
			continue;
		for (; place > 0 && busy[place - 1]->sequence > slot->sequence; place--)
			busy[place] = busy[place - 1];
		busy[place] = slot;
		n++;
	}
	while (n > 0) {
		BlockVhostSlot *slot = busy[--n];

		if (slot->request != &port->replay)
			queue_prepend(&port->queue, slot->request);
		free_slot(port, slot);
	}
	for (BlockRequest *request = port->queue.first; request; request = request->next)
		start_over(port, request);
}

static void finish_queue(BlockVhostPort *port, int result)
{
	BlockRequest *request;

	while ((request = queue_take(&port->queue)))
		block_port_finish(request, result, false);
}

static void set_polled(BlockVhostPort *port, bool polled);

static void link_down(BlockVhostPort *port, bool failed)
{
	bool was_live = is_live(port);

	port->link = failed ? BLOCK_VHOST_FAILED : BLOCK_VHOST_DOWN;
	if (was_live) {
		set_polled(port, false);
		g_clear_pointer(&port->gone_watch, io_watch_remove);
		io_deferred_cancel(&port->publish);
		take_back(port);
	}
	if (failed)
		finish_queue(port, -EIO);
	else if (block_port_is_draining(&port->port))
		finish_queue(port, -ECANCELED);
}

static void port_fault(BlockVhostPort *port, const char *fault)
{
	BlockVhost *vhost = port->vhost;

	link_down(port, true);
	block_vhost_report(vhost, fault);
}

/* The main thread hears of it, too; but it may be waiting for us. */
static void peer_gone(gpointer data)
{
	link_down(data, false);
}

void block_vhost_port_drain(BlockPort *port)
{
	BlockVhostPort *self = (BlockVhostPort *)port;

	/* Not even for one that is there again: to let it serve us is for the main thread. */
	if (is_waiting(self))
		finish_queue(self, -ECANCELED);
}

/* Answers */

static void replay_next(BlockVhostPort *port);

static void finish(BlockVhostPort *port, BlockRequest *request, int result)
{
	if (request != &port->replay)
		block_port_finish(request, result, false);
	else if (result == 0)
		replay_next(port);
	else
		port_fault(port, "what was written before cannot be written again");
}

static void offer_again(BlockVhostPort *port, BlockRequest *request)
{
	if (request != &port->replay) {
		queue_prepend(&port->queue, request);
		return;
	}
	/* It is alone. */
	block_vhost_offer(port, request);
	io_loop_defer(port->port.loop, &port->publish);
}

/*
 * Whether @request, a change that has been made, must be flushed: as it says, or because there is
 * no room to remember it.
 */
static bool must_flush(BlockVhostPort *port, const BlockRequest *request)
{
	if (!port->traits.flush || request->node->no_flush || request == &port->replay)
		return false;
	if (block_request_is_write_through(request))
		return true;
	block_vhost_log_forget(&port->log, block_vhost_stable(port->vhost));
	return !block_vhost_log_append(&port->log, request, block_vhost_take_sequence(port->vhost));
}

/* The next step of @request, of which one is done. */
static void go_on(BlockVhostPort *port, BlockRequest *request)
{
	bool is_work = request->stage != BLOCK_VHOST_FLUSH && request->operation != BLOCK_READ;

	if (request->stage != BLOCK_VHOST_FLUSH && request->done < request->size) {
		offer_again(port, request);
	} else if (is_work && must_flush(port, request)) {
		request->stage = BLOCK_VHOST_FLUSH;
		offer_again(port, request);
	} else {
		finish(port, request, 0);
	}
}

/* It cannot do what it said it could: zeroes can be written, and a discard is advice. */
static void do_without(BlockVhostPort *port, BlockRequest *request)
{
	if (request->stage == BLOCK_VHOST_WRITE_ZEROES) {
		port->no_zeroes = true;
		request->stage = request->operation == BLOCK_WRITE ? BLOCK_VHOST_TRANSFER
								   : BLOCK_VHOST_ZERO_BYTES;
		offer_again(port, request);
	} else if (request->stage == BLOCK_VHOST_DISCARD) {
		request->done = request->size;
		go_on(port, request);
	} else {
		finish(port, request, -EIO);
	}
}

static void take_data(BlockVhostPort *port, const BlockVhostSlot *slot)
{
	const BlockRequest *request = slot->request;

	if (slot->bounce >= 0 && request->operation == BLOCK_READ)
		iov_copy_to(request->iov, request->n_iov, request->done,
			    port->place.bounces + (size_t)slot->bounce * BLOCK_VHOST_BOUNCE_SIZE,
			    slot->step);
}

/* One answer; returns what is wrong with it, or NULL. */
static const char *take_answer(BlockVhostPort *port)
{
	uint32_t head, length;
	BlockVhostSlot *slot;
	BlockRequest *request;
	uint8_t status;

	block_vhost_ring_take(&port->ring, &head, &length);
	if (head % port->stride || head / port->stride >= BLOCK_VHOST_SLOTS ||
	    !port->slots[head / port->stride].request)
		return "it answers a request that was not made";
	slot = &port->slots[head / port->stride];
	request = slot->request;
	status = __atomic_load_n(&port->place.cells[block_vhost_slot_index(port, slot)].status,
				 __ATOMIC_RELAXED);
	if (length > slot->writable)
		return "it wrote more than there is room for";
	if (status > VIRTIO_BLK_S_UNSUPP)
		return "an answer has no status";
	/* Otherwise what was in the buffer before would be taken for data. */
	if (status == VIRTIO_BLK_S_OK && slot->writable > 1 && length < slot->writable)
		return "data is missing";
	if (status == VIRTIO_BLK_S_OK) {
		take_data(port, slot);
		request->done += slot->step;
	}
	if (status == VIRTIO_BLK_S_OK && request->stage == BLOCK_VHOST_FLUSH)
		block_vhost_set_stable(port->vhost, slot->mark);
	free_slot(port, slot);
	if (status == VIRTIO_BLK_S_OK)
		go_on(port, request);
	else if (status == VIRTIO_BLK_S_UNSUPP)
		do_without(port, request);
	else
		finish(port, request, -EIO);
	return NULL;
}

/* Take the answers that there are; returns whether there were any. */
static bool take_answers(BlockVhostPort *port)
{
	int n = block_vhost_ring_n_answers(&port->ring);
	const char *fault = n < 0 ? "it answers more than was asked" : NULL;

	for (int i = 0; i < n && !fault && is_live(port); i++)
		fault = take_answer(port);
	if (fault)
		port_fault(port, fault);
	else if (n > 0)
		offer_queue(port);
	return n != 0;
}

static void look(BlockVhostPort *port);

static void look_again(gpointer data)
{
	BlockVhostPort *port = data;

	port->continuing = false;
	look(port);
}

static void look_later(BlockVhostPort *port)
{
	if (!port->continuing)
		io_loop_post(port->port.loop, look_again, port);
	port->continuing = true;
}

/* Take answers until there are none, and an interrupt comes for the next. */
static void look(BlockVhostPort *port)
{
	for (unsigned i = 0; i < ROUNDS && is_live(port); i++) {
		take_answers(port);
		if (!is_live(port) || port->polling ||
		    !block_vhost_ring_set_interrupts(&port->ring, true))
			return;
	}
	if (is_live(port))
		look_later(port);
}

static void called(gpointer data)
{
	look(data);
}

static void polling_begins(gpointer data)
{
	BlockVhostPort *port = data;

	port->polling = true;
	block_vhost_ring_set_interrupts(&port->ring, false);
}

static bool poll_ring(gpointer data)
{
	BlockVhostPort *port = data;

	return block_vhost_ring_n_answers(&port->ring) != 0 && take_answers(port);
}

static void polling_ends(gpointer data)
{
	BlockVhostPort *port = data;

	port->polling = false;
	/* Later: pollers may not come and go while all of them are ended. */
	if (block_vhost_ring_set_interrupts(&port->ring, true))
		look_later(port);
}

static const IoPollerOps poller_ops = {
	.begin = polling_begins,
	.poll = poll_ring,
	.end = polling_ends,
};

static void set_polled(BlockVhostPort *port, bool polled)
{
	if (polled && !port->poller)
		port->poller = io_loop_add_poller(port->port.loop, &poller_ops, port);
	if (!polled)
		g_clear_pointer(&port->poller, io_poller_remove);
	port->polling = false;
}

/* What is written again */

/* Make port->replay of the entry that is next; behind the last one, a flush. */
static void describe_replay(BlockVhostPort *port)
{
	const BlockVhostEntry *entry;

	port->replay = (BlockRequest){ .node = port->port.node,
				       .port = &port->port,
				       .operation = BLOCK_FLUSH };
	if (port->n_replayed == port->entries->len)
		return;
	entry = port->entries->pdata[port->n_replayed];
	port->replay.operation = entry->operation;
	port->replay.may_unmap = entry->may_unmap;
	port->replay.offset = entry->offset;
	port->replay.size = entry->size;
	if (entry->operation != BLOCK_WRITE)
		return;
	port->replay_iov = (struct iovec){ (void *)entry->data, entry->size };
	port->replay.iov = &port->replay_iov;
	port->replay.n_iov = 1;
}

static void replay_next(BlockVhostPort *port)
{
	do {
		if (port->n_replayed > port->entries->len) {
			block_vhost_replayed(port->vhost);
			return;
		}
		describe_replay(port);
		port->n_replayed++;
		port->replay.stage = first_stage(port, &port->replay);
	} while (port->replay.stage == BLOCK_VHOST_NOTHING);
	offer_again(port, &port->replay);
}

/* For the main thread */

static void forget_steps(BlockVhostPort *port)
{
	unsigned n = port->traits.indirect
			     ? BLOCK_VHOST_SLOTS
			     : block_vhost_ring_size(&port->traits) / BLOCK_VHOST_DIRECT_STRIDE;

	port->stride = port->traits.indirect ? 1 : BLOCK_VHOST_DIRECT_STRIDE;
	/* Those that are used first are last. */
	port->n_free_slots = 0;
	while (n > 0)
		port->free_slots[port->n_free_slots++] = (uint8_t)--n;
	port->n_free_bounces = 0;
	while (port->n_free_bounces < BLOCK_VHOST_BOUNCES) {
		port->free_bounces[port->n_free_bounces] = (uint8_t)port->n_free_bounces;
		port->n_free_bounces++;
	}
}

void block_vhost_port_open(gpointer data)
{
	const BlockVhostChange *change = data;
	BlockVhostPort *port = change->port;

	port->link = BLOCK_VHOST_DOWN;
	queue_init(&port->queue);
	/* Without memory for it each write is flushed. */
	block_vhost_log_open(&port->log, BLOCK_VHOST_LOG_SIZE);
	port->publish.func = publish;
	port->kick = kick_new(port->port.loop, port->kick_fd);
	port->call_watch = io_loop_watch_event(port->port.loop, port->call_fd, called, port);
}

void block_vhost_port_close(gpointer data)
{
	const BlockVhostChange *change = data;
	BlockVhostPort *port = change->port;

	link_down(port, false);
	block_vhost_log_close(&port->log);
	if (port->kick)
		g_clear_pointer(&port->kick, kick_free);
	if (port->call_watch)
		g_clear_pointer(&port->call_watch, io_watch_remove);
}

void block_vhost_port_move(gpointer data)
{
	const BlockVhostChange *change = data;
	BlockVhostPort *port = change->port;

	if (port->link == BLOCK_VHOST_UP)
		link_down(port, false);
	port->traits = *change->traits;
	if (!port->traits.indirect)
		port->traits.n_segments = MIN(port->traits.n_segments, BLOCK_VHOST_DIRECT_SEGMENTS);
	port->ranges = *change->ranges;
	port->last_range = 0;
	block_vhost_area_find(change->area, change->index, &port->place);
	memset(port->place.ring, 0, block_vhost_ring_bytes(block_vhost_ring_size(&port->traits)));
	block_vhost_ring_init(&port->ring, port->place.ring, block_vhost_ring_size(&port->traits),
			      port->traits.event_idx);
	port->no_zeroes = false;
	forget_steps(port);
}

static void watch_peer(BlockVhostPort *port, int socket)
{
	if (!port->gone_watch)
		port->gone_watch = io_loop_watch_hang_up(port->port.loop, socket, peer_gone, port);
	set_polled(port, true);
}

void block_vhost_port_up(gpointer data)
{
	const BlockVhostChange *change = data;
	BlockVhostPort *port = change->port;

	port->link = BLOCK_VHOST_UP;
	watch_peer(port, change->socket);
	offer_queue(port);
}

void block_vhost_port_replay(gpointer data)
{
	const BlockVhostChange *change = data;
	BlockVhostPort *port = change->port;

	port->link = BLOCK_VHOST_REPLAYING;
	watch_peer(port, change->socket);
	port->entries = change->entries;
	port->n_replayed = 0;
	replay_next(port);
}

void block_vhost_port_down(gpointer data)
{
	const BlockVhostChange *change = data;

	link_down(change->port, change->failed);
}

void block_vhost_port_set_ranges(gpointer data)
{
	const BlockVhostChange *change = data;

	change->port->ranges = *change->ranges;
	change->port->last_range = 0;
}
