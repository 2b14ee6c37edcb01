/*
 * back_end.c: a small vhost-user back end, for tests
 *
 * One thread polls the control socket and the kicks. The rings are worked on by the code of
 * vmm/virtio over a GuestMemory made of what the front end shares.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/vhost-user/back_end.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/vhost-user/back_end_disk.h"
#include "tests/vhost-user/back_end_lie.h"
#include "tests/vhost-user/back_end_log.h"
#include "tests/vhost-user/inflight.h"
#include "vmm/base/fd.h"
#include "vmm/block/virtio_blk_layout.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtqueue.h"

#define REQUESTS    64
#define BIT(number) (1ULL << (number))
#define SECTOR	    512u

typedef struct Ring {
	Virtqueue queue;
	uint16_t size;
	uint32_t base;
	VhostUserVringAddress address;
	int kick, call, error;
	bool enabled, running;
	InflightRecord *record; /* NULL: there is none */
} Ring;

typedef struct Region {
	VhostUserRegion wire;
	uint8_t *mapped;
	size_t mapped_size;
} Region;

struct BackEnd {
	GThread *thread;
	char *path;
	int listener, wake;
	uint8_t *disk; /* NULL: it is a switch */
	size_t disk_size;
	uint64_t device_features, protocol_offered;

	GMutex lock; /* what other threads look at */
	BackEndLie lies[REQUESTS];
	unsigned counts[REQUESTS];
	uint64_t told[REQUESTS];
	unsigned n_running;
	BackEndRingLie ring_lie;
	VirtioBlkConfig config; /* but for the size */
	unsigned last;		/* of what is in a ring only so many are answered; 0: all */
	bool hold, keep_one, ending, hanging_up, config_changed;
	uint64_t sectors;
	int writeback;
	int channel;
	int errors[BACK_END_QUEUES];
	unsigned n_regions;

	/* The thread's. */
	int socket;
	uint64_t features, protocol;
	Region regions[VHOST_USER_TABLE_REGIONS];
	GuestMemory *memory;
	BackEndLog log;
	Ring rings[BACK_END_QUEUES];
	uint8_t *inflight; /* NULL: none */
	size_t inflight_size;
};

/* Rings */

static uint64_t to_gpa(BackEnd *back_end, uint64_t hva)
{
	for (unsigned i = 0; i < back_end->n_regions; i++) {
		const VhostUserRegion *wire = &back_end->regions[i].wire;

		if (hva >= wire->hva && hva - wire->hva < wire->size)
			return hva - wire->hva + wire->gpa;
	}
	return UINT64_MAX;
}

static bool is_logging(const BackEnd *back_end)
{
	return back_end->log.bits && (back_end->features & BIT(VHOST_USER_F_LOG_ALL));
}

static void log_element(BackEnd *back_end, const VirtqueueElement *element)
{
	if (is_logging(back_end))
		back_end_log_element(&back_end->log, back_end->memory, element);
}

static void publish(Ring *ring)
{
	BackEnd *back_end = ring->queue.owner;

	if (is_logging(back_end) && (ring->address.flags & VHOST_USER_VRING_F_LOG))
		back_end_log_mark(&back_end->log, ring->address.log, 6 + 8u * ring->size);
	if (virtqueue_publish(&ring->queue) && ring->call >= 0)
		fd_event_signal(ring->call);
}

/* With a record one at a time: it has room for what one publication shows. */
static void finish_element(Ring *ring, VirtqueueElement *element, uint32_t written)
{
	uint16_t head = element->head;

	if (ring->record)
		inflight_finish(ring->record, head);
	virtqueue_push(&ring->queue, element, written);
	if (!ring->record)
		return;
	publish(ring);
	inflight_end(ring->record, head, ring->queue.next_used);
}

static void serve_element(BackEnd *back_end, Ring *ring, VirtqueueElement *element)
{
	BackEndRingLie lie;
	uint32_t written;

	g_mutex_lock(&back_end->lock);
	lie = back_end->ring_lie;
	g_mutex_unlock(&back_end->lock);
	written = back_end_disk_serve(back_end->disk, back_end->disk_size, element,
				      lie == BACK_END_RING_UNSUPPORTED);
	back_end_lie_in_element(element, lie, &written);
	log_element(back_end, element);
	finish_element(ring, element, written);
	back_end_lie_in_ring(&ring->queue, lie);
}

static bool is_kept(BackEnd *back_end)
{
	bool kept;

	g_mutex_lock(&back_end->lock);
	kept = back_end->keep_one;
	back_end->keep_one = false;
	g_mutex_unlock(&back_end->lock);
	return kept;
}

/* Take all that there is, answer the last @n of them, last first, and never the others. */
static void serve_last(BackEnd *back_end, Ring *ring, unsigned n)
{
	g_autoptr(GPtrArray) elements = g_ptr_array_new();
	VirtqueueElement *element;

	while ((element = virtqueue_pop(&ring->queue)))
		g_ptr_array_add(elements, element);
	for (unsigned i = elements->len; i > 0 && elements->len - i < n; i--)
		serve_element(back_end, ring, elements->pdata[i - 1]);
	publish(ring);
}

static void take_element(BackEnd *back_end, Ring *ring, VirtqueueElement *element)
{
	if (ring->record)
		inflight_begin(ring->record, element->head);
	if (!is_kept(back_end))
		serve_element(back_end, ring, element);
}

/* Back to where it comes from; its header (virtio 1.2 §5.1.6) says that it is in one buffer. */
static void return_frame(Ring *send, VirtqueueElement *frame)
{
	Ring *receive = send - 1;
	static const uint8_t one_buffer[2] = { 1, 0 };
	uint32_t size = (uint32_t)frame->out_size;
	g_autofree uint8_t *bytes = g_malloc(size);
	VirtqueueElement *buffer;

	iov_copy_from(frame->iov, frame->n_out, 0, bytes, size);
	virtqueue_push(&send->queue, frame, 0);
	g_assert_cmpuint(size, >=, 12);
	memcpy(bytes + 10, one_buffer, sizeof(one_buffer));
	buffer = receive->running && receive->enabled ? virtqueue_pop(&receive->queue) : NULL;
	if (!buffer)
		return;
	if (buffer->in_size < size)
		size = 0;
	iov_copy_to(buffer->iov + buffer->n_out, buffer->n_in, 0, bytes, size);
	log_element(receive->queue.owner, buffer);
	virtqueue_push(&receive->queue, buffer, size);
	publish(receive);
}

static bool is_on_hold(BackEnd *back_end)
{
	bool hold;

	g_mutex_lock(&back_end->lock);
	hold = back_end->hold;
	g_mutex_unlock(&back_end->lock);
	return hold;
}

static void serve_ring(BackEnd *back_end, Ring *ring)
{
	VirtqueueElement *element;
	bool receives = !back_end->disk && (ring - back_end->rings) % 2 == 0;
	unsigned last;

	g_mutex_lock(&back_end->lock);
	last = back_end->last;
	g_mutex_unlock(&back_end->lock);
	if (!ring->running || !ring->enabled || receives)
		return;
	if (last > 0)
		serve_last(back_end, ring, last);
	if (last > 0)
		return;
	do {
		/* Each time: who holds it back may do so while it is served. */
		if (is_on_hold(back_end))
			return;
		while ((element = virtqueue_pop(&ring->queue))) {
			if (back_end->disk)
				take_element(back_end, ring, element);
			else
				return_frame(ring, element);
		}
		publish(ring);
	} while (virtqueue_set_notification(&ring->queue, true));
}

static void stop_ring(Ring *ring)
{
	if (!ring->running)
		return;
	ring->base = ring->queue.next_available;
	virtqueue_reset(&ring->queue);
	ring->running = false;
}

/* What another back end had taken, which counts as taken from the ring. */
static void serve_again(BackEnd *back_end, Ring *ring, uint16_t used)
{
	g_autoptr(GArray) heads = inflight_recover(ring->record, used);

	ring->queue.next_available = (uint16_t)(used + heads->len);
	for (unsigned i = 0; i < heads->len; i++) {
		VirtqueueElement *element =
			virtqueue_refetch(&ring->queue, g_array_index(heads, uint16_t, i));

		g_assert_nonnull(element);
		serve_element(back_end, ring, element);
	}
}

static void start_ring(BackEnd *back_end, Ring *ring)
{
	Virtqueue *queue = &ring->queue;
	uint16_t used = 0;

	stop_ring(ring);
	virtqueue_init(queue, back_end->memory, (unsigned)(ring - back_end->rings),
		       VIRTQUEUE_MAX_SIZE);
	queue->owner = back_end;
	queue->size = ring->size;
	queue->enabled = true;
	queue->descriptors = to_gpa(back_end, ring->address.descriptors);
	queue->driver_area = to_gpa(back_end, ring->address.available);
	queue->device_area = to_gpa(back_end, ring->address.used);
	guest_memory_read(back_end->memory, queue->device_area + 2, &used, sizeof(used));
	queue->next_available = (uint16_t)ring->base;
	queue->next_used = used;
	g_assert_true(
		virtqueue_map(queue, back_end->features & BIT(29), back_end->features & BIT(28)));
	ring->running = true;
	if (ring->record)
		serve_again(back_end, ring, used);
	serve_ring(back_end, ring);
}

/* Memory */

static void forget_memory(BackEnd *back_end)
{
	for (unsigned i = 0; i < back_end->n_regions; i++)
		munmap(back_end->regions[i].mapped, back_end->regions[i].mapped_size);
	back_end->n_regions = 0;
	g_clear_pointer(&back_end->memory, guest_memory_free);
}

static void add_region(BackEnd *back_end, const VhostUserRegion *wire, int fd)
{
	Region *region = &back_end->regions[back_end->n_regions];
	GuestMemoryRegion described = { .gpa = wire->gpa, .size = wire->size, .fd = -1 };
	g_autoptr(GError) error = NULL;

	g_assert_cmpuint(back_end->n_regions, <, VHOST_USER_TABLE_REGIONS);
	region->wire = *wire;
	region->mapped_size = wire->size + wire->offset;
	region->mapped = mmap(NULL, region->mapped_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	g_assert_true(region->mapped != MAP_FAILED);
	described.hva = region->mapped + wire->offset;
	if (!back_end->memory)
		back_end->memory = guest_memory_new();
	guest_memory_add(back_end->memory, &described, &error);
	g_assert_no_error(error);
	g_mutex_lock(&back_end->lock);
	back_end->n_regions++;
	g_mutex_unlock(&back_end->lock);
}

static void remove_region(BackEnd *back_end, const VhostUserRegion *wire)
{
	unsigned i = 0;

	while (back_end->regions[i].wire.gpa != wire->gpa)
		g_assert_cmpuint(++i, <, back_end->n_regions);
	guest_memory_remove(back_end->memory, wire->gpa);
	munmap(back_end->regions[i].mapped, back_end->regions[i].mapped_size);
	g_mutex_lock(&back_end->lock);
	back_end->regions[i] = back_end->regions[--back_end->n_regions];
	g_mutex_unlock(&back_end->lock);
}

/* Requests */

static void fill_config(BackEnd *back_end, VhostUserMessage *message)
{
	VirtioBlkConfig config;

	g_mutex_lock(&back_end->lock);
	config = back_end->config;
	config.capacity = back_end->sectors;
	g_mutex_unlock(&back_end->lock);
	g_assert_cmpuint(message->config.offset, ==, 0);
	memcpy(message->config.data, &config, MIN(message->config.size, sizeof(config)));
}

static void forget_inflight(BackEnd *back_end)
{
	for (unsigned i = 0; i < BACK_END_QUEUES; i++)
		back_end->rings[i].record = NULL;
	if (back_end->inflight)
		munmap(back_end->inflight, back_end->inflight_size);
	back_end->inflight = NULL;
}

static void set_inflight(BackEnd *back_end, const VhostUserInflight *inflight, int fd)
{
	size_t each = inflight_bytes(inflight->queue_size);

	forget_inflight(back_end);
	g_assert_cmpuint(inflight->n_queues, <=, BACK_END_QUEUES);
	g_assert_cmpuint(inflight->size, ==, inflight->n_queues * each);
	back_end->inflight_size = inflight->size;
	back_end->inflight = mmap(NULL, inflight->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	g_assert_true(back_end->inflight != MAP_FAILED);
	for (unsigned i = 0; i < inflight->n_queues; i++) {
		back_end->rings[i].record = (InflightRecord *)(back_end->inflight + i * each);
		back_end->rings[i].record->version = 1;
		back_end->rings[i].record->n_descriptors = inflight->queue_size;
	}
}

/* What a request asks for is put into @message; *@fd of the answer. False: there is none. */
static bool answer_request(BackEnd *back_end, VhostUserMessage *message, int *fd)
{
	uint32_t index = message->state.index;

	switch ((VhostUserRequest)message->header.request) {
	case VHOST_USER_GET_FEATURES:
		message->u64 = BIT(28) | BIT(29) | BIT(32) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) |
			       back_end->device_features;
		if (back_end->protocol_offered & BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD))
			message->u64 |= BIT(VHOST_USER_F_LOG_ALL);
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		message->u64 = back_end->protocol_offered;
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		message->u64 = back_end->disk ? BACK_END_QUEUES : BACK_END_QUEUES / 2;
		break;
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		message->u64 = VHOST_USER_TABLE_REGIONS;
		break;
	case VHOST_USER_GET_CONFIG:
		fill_config(back_end, message);
		return true;
	case VHOST_USER_GET_VRING_BASE:
		g_assert_cmpuint(index, <, BACK_END_QUEUES);
		stop_ring(&back_end->rings[index]);
		message->state.value = back_end->rings[index].base;
		return true;
	case VHOST_USER_GET_INFLIGHT_FD:
		g_assert_cmpuint(message->inflight.n_queues, <=, BACK_END_QUEUES);
		*fd = inflight_new(&message->inflight);
		return true;
	default:
		return false;
	}
	message->header.size = sizeof(message->u64);
	return true;
}

static void set_fd(int *place, uint64_t value, int *fds)
{
	fd_close(place);
	*place = (value & VHOST_USER_VRING_NO_FD) ? -1 : fd_steal(&fds[0]);
}

static void set_memory(BackEnd *back_end, const VhostUserMemory *memory, const int *fds)
{
	for (unsigned i = 0; i < BACK_END_QUEUES; i++)
		stop_ring(&back_end->rings[i]);
	forget_memory(back_end);
	g_assert_cmpuint(memory->n_regions, <=, VHOST_USER_TABLE_REGIONS);
	for (unsigned i = 0; i < memory->n_regions; i++)
		add_region(back_end, &memory->regions[i], fds[i]);
}

/* What a request tells is done; fds that are kept are taken out of @fds. */
static void obey_request(BackEnd *back_end, const VhostUserMessage *message, int *fds)
{
	Ring *ring = &back_end->rings[message->state.index % 256 % BACK_END_QUEUES];

	switch ((VhostUserRequest)message->header.request) {
	case VHOST_USER_SET_FEATURES:
		back_end->features = message->u64;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		back_end->protocol = message->u64;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		set_memory(back_end, &message->memory, fds);
		break;
	case VHOST_USER_SET_LOG_BASE:
		back_end_log_open(&back_end->log, &message->log, fds[0]);
		break;
	case VHOST_USER_ADD_MEM_REG:
		add_region(back_end, &message->slot.region, fds[0]);
		break;
	case VHOST_USER_REM_MEM_REG:
		remove_region(back_end, &message->slot.region);
		break;
	case VHOST_USER_SET_INFLIGHT_FD:
		set_inflight(back_end, &message->inflight, fds[0]);
		break;
	case VHOST_USER_SET_VRING_NUM:
		ring->size = message->state.value;
		break;
	case VHOST_USER_SET_VRING_BASE:
		ring->base = message->state.value;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		ring->address = message->address;
		break;
	case VHOST_USER_SET_VRING_CALL:
		set_fd(&ring->call, message->u64, fds);
		break;
	case VHOST_USER_SET_VRING_ERR:
		g_mutex_lock(&back_end->lock);
		set_fd(&ring->error, message->u64, fds);
		g_mutex_unlock(&back_end->lock);
		break;
	case VHOST_USER_SET_VRING_KICK:
		set_fd(&ring->kick, message->u64, fds);
		start_ring(back_end, ring);
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		ring->enabled = message->state.value;
		serve_ring(back_end, ring);
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		g_mutex_lock(&back_end->lock);
		fd_close(&back_end->channel);
		back_end->channel = fd_steal(&fds[0]);
		g_mutex_unlock(&back_end->lock);
		break;
	case VHOST_USER_SET_CONFIG:
		g_mutex_lock(&back_end->lock);
		back_end->writeback = message->config.data[0];
		g_mutex_unlock(&back_end->lock);
		break;
	default:
		break;
	}
}

static bool receive_all(int fd, void *buffer, size_t size)
{
	return size == 0 || recv(fd, buffer, size, MSG_WAITALL) == (ssize_t)size;
}

/* The header, with descriptors into @fds (the rest -1). */
static bool receive_header(BackEnd *back_end, VhostUserHeader *wire, int *fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = wire, .iov_len = sizeof(*wire) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *rights;

	memset(fds, 0xff, VHOST_USER_FDS_MAX * sizeof(int));
	if (recvmsg(back_end->socket, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != sizeof(*wire))
		return false;
	rights = CMSG_FIRSTHDR(&message);
	if (rights && rights->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
	return true;
}

static void count_running(BackEnd *back_end)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BACK_END_QUEUES; i++)
		n += back_end->rings[i].running && back_end->rings[i].enabled;
	g_mutex_lock(&back_end->lock);
	back_end->n_running = n;
	g_mutex_unlock(&back_end->lock);
}

/* One request; false at the end of the connection. */
static bool serve_request(BackEnd *back_end)
{
	VhostUserMessage message = {};
	int fds[VHOST_USER_FDS_MAX], fd = -1;
	BackEndLie lie;
	bool acknowledge;

	if (!receive_header(back_end, &message.header, fds))
		return false;
	g_assert_cmpuint(message.header.flags & VHOST_USER_VERSION_MASK, ==, VHOST_USER_VERSION);
	g_assert_cmpuint(message.header.size, <=, sizeof(message.bytes));
	g_assert_cmpuint(message.header.request, <, REQUESTS);
	if (!receive_all(back_end->socket, message.bytes, message.header.size))
		return false;
	g_mutex_lock(&back_end->lock);
	back_end->counts[message.header.request]++;
	back_end->told[message.header.request] = message.u64;
	lie = back_end->lies[message.header.request];
	g_mutex_unlock(&back_end->lock);
	acknowledge = message.header.flags & VHOST_USER_NEED_REPLY ||
		      message.header.request == VHOST_USER_SET_LOG_BASE;
	if (answer_request(back_end, &message, &fd)) {
		count_running(back_end);
		back_end_reply(back_end->socket, &message, lie, &fd, fd >= 0 ? 1 : 0);
	} else {
		obey_request(back_end, &message, fds);
		count_running(back_end);
		message.u64 = 0;
		message.header.size = sizeof(message.u64);
		if (message.header.request == VHOST_USER_SET_LOG_BASE && !back_end->disk)
			message.header.size = 0; /* as DPDK's switches have it */
		if (acknowledge)
			back_end_reply(back_end->socket, &message, lie, NULL, 0);
	}
	fd_close(&fd);
	for (unsigned i = 0; i < VHOST_USER_FDS_MAX; i++)
		fd_close(&fds[i]);
	return true;
}

static void end_connection(BackEnd *back_end)
{
	for (unsigned i = 0; i < BACK_END_QUEUES; i++) {
		Ring *ring = &back_end->rings[i];

		stop_ring(ring);
		fd_close(&ring->kick);
		fd_close(&ring->call);
		g_mutex_lock(&back_end->lock);
		fd_close(&ring->error);
		g_mutex_unlock(&back_end->lock);
		ring->enabled = false;
	}
	forget_memory(back_end);
	forget_inflight(back_end);
	back_end_log_close(&back_end->log);
	g_mutex_lock(&back_end->lock);
	fd_close(&back_end->channel);
	fd_close(&back_end->socket);
	back_end->hanging_up = false;
	g_mutex_unlock(&back_end->lock);
}

/* Wait for something and do it; false when the thread is to end. */
static bool turn(BackEnd *back_end)
{
	struct pollfd polled[2 + BACK_END_QUEUES];
	bool ending, hanging_up;

	polled[0] = (struct pollfd){ .fd = back_end->wake, .events = POLLIN };
	polled[1] = (struct pollfd){
		.fd = back_end->socket >= 0 ? back_end->socket : back_end->listener,
		.events = POLLIN,
	};
	for (unsigned i = 0; i < BACK_END_QUEUES; i++)
		polled[2 + i] = (struct pollfd){ .fd = back_end->rings[i].kick, .events = POLLIN };
	if (poll(polled, G_N_ELEMENTS(polled), -1) < 0)
		return true;
	fd_event_take(back_end->wake);
	g_mutex_lock(&back_end->lock);
	ending = back_end->ending;
	hanging_up = back_end->hanging_up;
	g_mutex_unlock(&back_end->lock);
	if (ending)
		return false;
	for (unsigned i = 0; i < BACK_END_QUEUES; i++) {
		if (polled[2 + i].revents)
			fd_event_take(back_end->rings[i].kick);
		serve_ring(back_end, &back_end->rings[i]);
	}
	if (back_end->socket < 0 && (polled[1].revents & POLLIN))
		back_end->socket = accept4(back_end->listener, NULL, NULL, SOCK_CLOEXEC);
	else if (hanging_up || (polled[1].revents && !serve_request(back_end)))
		end_connection(back_end);
	return true;
}

static gpointer run(gpointer data)
{
	BackEnd *back_end = data;

	while (turn(back_end))
		continue;
	end_connection(back_end);
	return NULL;
}

BackEnd *back_end_new(const char *path, uint8_t *disk, size_t size, uint64_t features,
		      uint64_t protocol)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	BackEnd *back_end = g_new0(BackEnd, 1);

	g_assert_cmpuint(g_strlcpy(address.sun_path, path, sizeof(address.sun_path)), <,
			 sizeof(address.sun_path));
	unlink(path);
	back_end->path = g_strdup(path);
	back_end->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_assert_no_errno(bind(back_end->listener, (struct sockaddr *)&address, sizeof(address)));
	g_assert_no_errno(listen(back_end->listener, 4));
	back_end->wake = fd_new_event(NULL);
	g_assert_cmpint(back_end->wake, >=, 0);
	back_end->disk = disk;
	back_end->disk_size = size;
	back_end->sectors = size / SECTOR;
	back_end->config = (VirtioBlkConfig){
		.seg_max = 62,
		.blk_size = SECTOR,
		.num_queues = BACK_END_QUEUES,
		.max_discard_sectors = 64,
		.max_discard_seg = 1,
		.discard_sector_alignment = 1,
		.max_write_zeroes_sectors = 64,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};
	back_end->device_features = features;
	back_end->protocol_offered = protocol;
	back_end->socket = back_end->channel = back_end->writeback = -1;
	for (unsigned i = 0; i < BACK_END_QUEUES; i++)
		back_end->rings[i] = (Ring){ .kick = -1, .call = -1, .error = -1 };
	g_mutex_init(&back_end->lock);
	back_end->thread = g_thread_new("back-end", run, back_end);
	return back_end;
}

BackEnd *back_end_new_switch(const char *path, uint64_t features, uint64_t protocol)
{
	return back_end_new(path, NULL, 0, features, protocol);
}

/* Change @field of @back_end under its lock, and have the thread look. */
#define CHANGE(back_end, field, value)           \
	do {                                     \
		g_mutex_lock(&back_end->lock);   \
		back_end->field = (value);       \
		g_mutex_unlock(&back_end->lock); \
		fd_event_signal(back_end->wake); \
	} while (0)

void back_end_free(BackEnd *back_end)
{
	CHANGE(back_end, ending, true);
	g_thread_join(back_end->thread);
	fd_close(&back_end->listener);
	fd_close(&back_end->wake);
	unlink(back_end->path);
	g_mutex_clear(&back_end->lock);
	g_free(back_end->path);
	g_free(back_end);
}

void back_end_set_lie(BackEnd *back_end, unsigned request, BackEndLie lie)
{
	CHANGE(back_end, lies[request], lie);
}

void back_end_set_ring_lie(BackEnd *back_end, BackEndRingLie lie)
{
	CHANGE(back_end, ring_lie, lie);
}

void back_end_set_config(BackEnd *back_end, const VirtioBlkConfig *config)
{
	CHANGE(back_end, config, *config);
	CHANGE(back_end, sectors, config->capacity);
}

void back_end_serve_last(BackEnd *back_end, unsigned n)
{
	CHANGE(back_end, last, n);
}

void back_end_keep_one(BackEnd *back_end)
{
	CHANGE(back_end, keep_one, true);
}

void back_end_hold(BackEnd *back_end, bool hold)
{
	CHANGE(back_end, hold, hold);
}

void back_end_hang_up(BackEnd *back_end)
{
	CHANGE(back_end, hanging_up, true);
}

void back_end_send_raw(BackEnd *back_end, const void *data, size_t size)
{
	g_mutex_lock(&back_end->lock);
	g_assert_cmpint(send(back_end->channel, data, size, MSG_NOSIGNAL), ==, size);
	g_mutex_unlock(&back_end->lock);
}

void back_end_change_config(BackEnd *back_end, uint64_t sectors)
{
	const VhostUserHeader header = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE,
		.flags = VHOST_USER_VERSION,
	};

	CHANGE(back_end, sectors, sectors);
	back_end_send_raw(back_end, &header, sizeof(header));
}

void back_end_signal_error(BackEnd *back_end, unsigned index)
{
	g_mutex_lock(&back_end->lock);
	fd_event_signal(back_end->rings[index].error);
	g_mutex_unlock(&back_end->lock);
}

/* @field of @back_end, under its lock. */
#define LOOK(type, name, field)                  \
	type name                                \
	{                                        \
		type value;                      \
                                                 \
		g_mutex_lock(&back_end->lock);   \
		value = back_end->field;         \
		g_mutex_unlock(&back_end->lock); \
		return value;                    \
	}

LOOK(unsigned, back_end_count(BackEnd *back_end, unsigned request), counts[request])
LOOK(int, back_end_writeback(BackEnd *back_end), writeback)
LOOK(uint64_t, back_end_told(BackEnd *back_end, unsigned request), told[request])
LOOK(unsigned, back_end_running(BackEnd *back_end), n_running)
LOOK(unsigned, back_end_regions(BackEnd *back_end), n_regions)
