/*
 * virtio_net_data.c: a network card's frames, where they go through this process
 *
 * Receiving reads each frame from the netdev straight into guest buffers. How long it will be is
 * not known before, so with mergeable buffers a window of popped chains, enough for the largest
 * frame, is kept ready; a frame takes as many of them as it fills and the rest serve the next one.
 * Should the driver have given less than a frame needs, the tail goes to a spill buffer, and the
 * frame waits there for more chains. Sending hands the chain's iovecs to the netdev.
 *
 * Where the driver chose receive queues by hashes (RSS), a frame still comes in by the queue that
 * the netdev has it in, and is read into the window there. If it is for another, it is copied into
 * that one's: all are on one loop, so that no lock is needed. No frame waits then, as it would hold
 * up those for other queues: one that finds too few chains is lost, as by a card of metal.
 *
 * The loop gathers frames while there is a stream, in either direction, and is quick where frames
 * come one by one: what was passed on in each turn tells which it is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "vmm/virtio/virtio_net_internal.h"
#include "vmm/virtio/virtio_pci.h"

#define RX_BATCH	64u	/* frames in one turn */
#define PLAIN_FRAME_MAX 0x2800u /* window where frames are not segmented later: jumbo frames */

/* Turns of so many bytes are a stream's; between them are those of its acknowledgements. */
#define STREAM_BYTES 4096u
#define STREAM_STEP  4u
#define STREAM_LEVEL 32u

static void end_turn(NetPair *pair)
{
	bool much = pair->turn_bytes >= STREAM_BYTES;
	unsigned level = pair->stream_level;

	pair->turn_bytes = 0;
	if (much)
		level = MIN(level + STREAM_STEP, STREAM_LEVEL);
	else if (level > 0)
		level--;
	pair->stream_level = level;
	if (pair->streams ? level > 0 : level < STREAM_LEVEL)
		return;
	pair->streams = !pair->streams;
	io_loop_gather(pair->net->virtio.loop, pair->streams);
}

/* Receiving */

/* What headers have beyond NET_HEADER_SIZE, in both directions (§5.1.6.1). */
static size_t hash_space(const VirtioNet *net)
{
	return virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_HASH_REPORT) ? sizeof(NetHash)
										 : 0;
}

/* Whether the rings of @pair may be touched. */
static bool is_up(const NetPair *pair, const VirtioQueue *queue)
{
	return virtio_device_is_active(&pair->net->virtio) && queue->ring.ops;
}

static bool is_mergeable(const VirtioNet *net)
{
	return virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_MRG_RXBUF);
}

/* How many bytes of chains the window should have. */
static uint64_t window_wanted(const VirtioNet *net)
{
	static const uint64_t segmented =
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) |
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_UFO) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO4) |
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO6);

	if (!is_mergeable(net))
		return 1; /* one chain, whatever it holds */
	if (net->virtio.accepted & segmented)
		return NET_FRAME_MAX;
	return MAX(PLAIN_FRAME_MAX, net->host_mtu + NET_HEADER_SIZE + NET_ETHERNET_HEADER + 4u);
}

static void rx_fill(NetPair *pair)
{
	VirtioQueue *queue = pair->rx;
	uint64_t wanted = MAX(window_wanted(pair->net), pair->waiting);

	if (pair->n == 0)
		pair->first = 0;
	while (pair->window_bytes < wanted && pair->first + pair->n < G_N_ELEMENTS(pair->window)) {
		VirtqueueElement *element = virtqueue_pop(&queue->ring);

		if (!element)
			return;
		if (element->in_size < NET_HEADER_SIZE + hash_space(pair->net)) {
			virtio_queue_set_broken(queue, "a receive buffer has no room for a header");
			virtqueue_push(&queue->ring, element, 0);
			return;
		}
		pair->window[pair->first + pair->n++] = element;
		pair->window_bytes += element->in_size;
	}
	/* The array is used up at its end: move what is left to the front, and go on. */
	if (pair->window_bytes < wanted && pair->first > 0) {
		memmove(pair->window, pair->window + pair->first, pair->n * sizeof(*pair->window));
		pair->first = 0;
		rx_fill(pair);
	}
}

/*
 * The window as iovecs, but for the hash in its header, then the spill where chains may be merged
 * or the frame may be another queue's; returns how many.
 */
static unsigned rx_gather(NetPair *pair)
{
	bool merge = is_mergeable(pair->net);
	unsigned n_chains = merge ? pair->n : MIN(pair->n, 1), n = 0;
	size_t space = hash_space(pair->net);
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n_chains; i++) {
		VirtqueueElement *element = pair->window[pair->first + i];

		for (unsigned j = 0; j < element->n_in && n < G_N_ELEMENTS(pair->iov) - 3; j++) {
			pair->iov[n++] = element->iov[element->n_out + j];
			bytes += pair->iov[n - 1].iov_len;
		}
	}
	pair->spilled_from = bytes;
	if (merge || pair->net->rss.steers)
		pair->iov[n++] =
			(struct iovec){ .iov_base = pair->spill, .iov_len = sizeof(pair->spill) };
	return space ? iov_cut(pair->iov, n, NET_HEADER_SIZE, space) : n;
}

/* Give back the chains that a frame of @size bytes, header included, filled. */
static void rx_deliver(NetPair *pair, uint64_t size)
{
	VirtioQueue *queue = pair->rx;
	VirtqueueElement *head = pair->window[pair->first];
	uint64_t left = size;
	uint16_t n_buffers = 0;

	for (uint64_t covered = 0; covered < size; n_buffers++)
		covered += pair->window[pair->first + n_buffers]->in_size;
	/* §5.1.6.4: the header says how many chains there are, also where it is always one. */
	iov_copy_to(head->iov + head->n_out, head->n_in, 10, &n_buffers, sizeof(n_buffers));
	iov_copy_to(head->iov + head->n_out, head->n_in, NET_HEADER_SIZE, &pair->hash,
		    hash_space(pair->net));
	for (unsigned i = 0; i < n_buffers; i++) {
		VirtqueueElement *element = pair->window[pair->first++];
		uint64_t part = MIN(left, element->in_size);

		pair->n--;
		pair->window_bytes -= element->in_size;
		left -= part;
		virtqueue_push(&queue->ring, element, part);
	}
}

/* Copy the spilled part of the waiting frame to the chains that have come since, if they do. */
static bool rx_finish_waiting(NetPair *pair)
{
	uint64_t skip = pair->spilled_from, at = pair->spilled_from;

	if (pair->window_bytes < pair->waiting)
		return false;
	for (unsigned i = 0; i < pair->n && at < pair->waiting; i++) {
		VirtqueueElement *element = pair->window[pair->first + i];

		if (skip >= element->in_size) {
			skip -= element->in_size;
			continue;
		}
		at += iov_copy_to(element->iov + element->n_out, element->n_in, skip,
				  pair->spill + (at - pair->spilled_from), pair->waiting - at);
		skip = 0;
	}
	rx_deliver(pair, pair->waiting);
	pair->waiting = 0;
	return true;
}

static bool rx_ready(const NetPair *pair)
{
	return pair->n > 0 && pair->waiting == 0;
}

/* Whether there are chains for a frame; else the driver notifies of more. */
static bool rx_prepare(NetPair *pair)
{
	Virtqueue *ring = &pair->rx->ring;

	for (;;) {
		rx_fill(pair);
		/* Where the whole queue cannot hold the frame, no chain that it fits will come. */
		if (pair->waiting && !rx_finish_waiting(pair) && pair->n == ring->size)
			pair->waiting = 0;
		if (rx_ready(pair))
			return true;
		/* Each turn takes chains, of which there is a ringful at most. */
		if (!virtqueue_set_notification(ring, true))
			return false;
		virtqueue_set_notification(ring, false);
	}
}

/* A frame of @size bytes, header included, is in what rx_gather() gave of @pair. */
static void rx_end(NetPair *pair, uint64_t size)
{
	if (size <= pair->window_bytes && size <= pair->spilled_from) {
		rx_deliver(pair, size);
		return;
	}
	if (!is_mergeable(pair->net))
		return;
	pair->waiting = size;
	if (pair->net->rss.steers && !rx_finish_waiting(pair))
		pair->waiting = 0;
}

/* The frame of @size bytes that @from got from the netdev, in @n_iov of its iovecs, is for @to. */
static void rx_pass_on(NetPair *from, unsigned n_iov, size_t size, NetPair *to)
{
	unsigned n_to;

	if (!is_up(to, to->rx) || !rx_prepare(to))
		return;
	n_to = rx_gather(to);
	if (iov_copy(to->iov, n_to, from->iov, n_iov, size) < size)
		return;
	rx_end(to, size + hash_space(to->net));
	virtio_queue_publish(to->rx);
}

/* Take one frame. Returns false when there is nothing to do until something happens. */
static bool rx_one(NetPair *pair)
{
	const NetRss *rss = &pair->net->rss;
	uint8_t start[NET_HEADER_SIZE + NET_RSS_BYTES] = {};
	size_t looked_at = NET_HEADER_SIZE + (rss->kinds ? NET_RSS_BYTES : NET_FILTER_BYTES);
	unsigned n_iov = rx_gather(pair);
	ssize_t size = netdev_receive(pair->net->netdev, pair->number, pair->iov, n_iov);
	NetPair *to = pair;
	NetHash hash;

	/* What comes to nothing is written, too, and its buffers wait for the next frame. */
	virtqueue_mark(&pair->rx->ring, pair->iov, n_iov,
		       size > 0		   ? (uint64_t)size
		       : size == -EMSGSIZE ? UINT64_MAX
					   : NET_HEADER_SIZE);
	if (size == -EMSGSIZE || size == -EINTR)
		return true;
	if (size < 0) {
		/* Readiness is level-triggered: only where the host side is gone look away. */
		if (size != -EAGAIN)
			netdev_watch_readable(pair->net->netdev, pair->number, false);
		return false;
	}
	if ((size_t)size < NET_HEADER_SIZE + NET_ETHERNET_HEADER || size > NET_FRAME_MAX)
		return true;
	looked_at = MIN(looked_at, (size_t)size);
	iov_copy_from(pair->iov, n_iov, 0, start, looked_at);
	if (!net_filter_accepts(&pair->net->filter, start + NET_HEADER_SIZE))
		return true;
	pair->turn_bytes += size;
	hash = net_rss_hash(rss, start + NET_HEADER_SIZE, looked_at - NET_HEADER_SIZE);
	if (rss->steers)
		to = &pair->net->pairs[net_rss_pair(rss, hash)];
	to->hash = hash;
	if (to == pair)
		rx_end(pair, size + hash_space(pair->net));
	else
		rx_pass_on(pair, n_iov, size, to);
	return true;
}

static void rx_run(NetPair *pair)
{
	VirtioQueue *queue = pair->rx;

	virtqueue_set_notification(&queue->ring, false);
	for (unsigned i = 0; i < RX_BATCH; i++) {
		if (!rx_prepare(pair) && !pair->net->rss.steers) {
			netdev_watch_readable(pair->net->netdev, pair->number, false);
			break;
		}
		if (!rx_one(pair))
			break;
	}
	if (virtqueue_publish(&queue->ring)) {
		virtio_pci_notify_queue(queue);
		interrupt_moderation_spare(&pair->tx_moderation);
	}
	end_turn(pair);
}

void virtio_net_data_readable(void *opaque, unsigned queue)
{
	NetPair *pair = &((VirtioNet *)opaque)->pairs[queue];

	if (is_up(pair, pair->rx))
		rx_run(pair);
	else
		netdev_watch_readable(pair->net->netdev, pair->number, false);
}

void virtio_net_data_rx_ready(NetPair *pair)
{
	if (!is_up(pair, pair->rx))
		return;
	netdev_watch_readable(pair->net->netdev, pair->number, true);
	rx_run(pair);
}

void virtio_net_data_steer(VirtioNet *net)
{
	for (unsigned i = 0; i < net->n_pairs; i++) {
		NetPair *pair = &net->pairs[i];

		/* Lost: the spill is needed, and its hash was another. */
		pair->waiting = 0;
		if (is_up(pair, pair->rx))
			netdev_watch_readable(net->netdev, i, true);
	}
}

/* Sending */

/* As netdev_send(), of a frame whose header has room for a hash, which means nothing here. */
static int send_without_hash(NetPair *pair, const VirtqueueElement *element)
{
	unsigned n = element->n_out;

	if (n >= G_N_ELEMENTS(pair->iov))
		return -EINVAL;
	memcpy(pair->iov, element->iov, n * sizeof(*element->iov));
	n = iov_cut(pair->iov, n, NET_HEADER_SIZE, sizeof(NetHash));
	return netdev_send(pair->net->netdev, pair->number, pair->iov, n);
}

static int send_frame(NetPair *pair, const VirtqueueElement *element)
{
	size_t space = hash_space(pair->net);

	if (element->out_size > NET_FRAME_MAX + space)
		return -EMSGSIZE;
	if (space)
		return send_without_hash(pair, element);
	return netdev_send(pair->net->netdev, pair->number, element->iov, element->n_out);
}

static bool handle_tx(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioNet *net = virtio_net(queue->device);
	NetPair *pair = &net->pairs[queue->ring.index / 2];

	if (element->in_size || element->out_size < NET_HEADER_SIZE + hash_space(net)) {
		virtio_queue_set_broken(queue, "a frame to send lacks its header");
		virtqueue_push(&queue->ring, element, 0);
		return false;
	}
	if (send_frame(pair, element) == -EAGAIN) {
		virtqueue_unpop(&queue->ring, element);
		return false; /* virtio_net_data_writable() goes on */
	}
	pair->turn_bytes += element->out_size;
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

void virtio_net_data_tx_ready(NetPair *pair)
{
	if (!is_up(pair, pair->tx))
		return;
	/* A driver that sends again has had a look at what was sent before. */
	interrupt_moderation_decide(&pair->tx_moderation);
	virtio_queue_take(pair->tx, handle_tx);
	interrupt_moderation_publish(&pair->tx_moderation);
	end_turn(pair);
}

void virtio_net_data_writable(void *opaque, unsigned queue)
{
	virtio_net_data_tx_ready(&((VirtioNet *)opaque)->pairs[queue]);
}

/* Coming and going */

void virtio_net_data_start(VirtioNet *net)
{
	for (unsigned i = 0; i < net->n_pairs; i++)
		interrupt_moderation_start(&net->pairs[i].tx_moderation);
}

static void stop_pair(NetPair *pair)
{
	interrupt_moderation_stop(&pair->tx_moderation);
	if (pair->streams)
		io_loop_gather(pair->net->virtio.loop, false);
	pair->streams = false;
	pair->stream_level = 0;
	netdev_watch_readable(pair->net->netdev, pair->number, false);
	while (pair->n)
		virtqueue_unpop(&pair->rx->ring, pair->window[pair->first + --pair->n]);
	pair->window_bytes = 0;
	pair->waiting = 0; /* a lost frame, as networks lose them */
}

void virtio_net_data_stop(VirtioNet *net)
{
	for (unsigned i = 0; i < net->n_pairs; i++)
		stop_pair(&net->pairs[i]);
}
