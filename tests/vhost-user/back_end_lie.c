/*
 * back_end_lie.c: how a back end answers, truly or not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/vhost-user/back_end_lie.h"

#include <linux/virtio_ring.h>
#include <sys/socket.h>

#include "vmm/memory/guest_memory.h"

void back_end_reply(int socket, VhostUserMessage *message, BackEndLie lie, const int *fds,
		    unsigned n_fds)
{
	int wrong[] = { socket, socket };
	uint32_t announced = message->header.size;

	message->header.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	switch (lie) {
	case BACK_END_SILENT:
		return;
	case BACK_END_WRONG_REQUEST:
		message->header.request++;
		break;
	case BACK_END_WRONG_FLAGS:
		message->header.flags = VHOST_USER_VERSION;
		break;
	case BACK_END_TOO_SHORT:
		message->header.size = announced - 1;
		break;
	case BACK_END_HUGE:
		message->header.size = UINT32_MAX;
		/* The rest of it never comes. */
		send(socket, &message->header, sizeof(message->header), MSG_NOSIGNAL);
		return;
	case BACK_END_REFUSES:
		message->u64 = 1;
		break;
	case BACK_END_OTHER:
		/* The ring of a state, the offset of a configuration. */
		message->state.index ^= 1;
		break;
	case BACK_END_NO_DESCRIPTOR:
		n_fds = 0;
		break;
	case BACK_END_DESCRIPTORS:
		fds = wrong;
		n_fds = 2;
		break;
	case BACK_END_HANGS_UP:
		send(socket, &message->header, 7, MSG_NOSIGNAL);
		shutdown(socket, SHUT_RDWR);
		return;
	default:
		break;
	}
	vhost_user_send(socket, message, fds, n_fds, g_get_monotonic_time() + 1000000, NULL);
}

void back_end_lie_in_element(const VirtqueueElement *element, BackEndRingLie lie, uint32_t *written)
{
	const struct iovec *last = &element->iov[element->n_out + element->n_in - 1];
	/* As those that lies are for have it: by itself. */
	uint8_t *status = last->iov_base;

	g_assert_true(lie == BACK_END_RING_HONEST || last->iov_len == 1);
	switch (lie) {
	case BACK_END_RING_LONG:
		*written = UINT32_MAX;
		break;
	case BACK_END_RING_SHORT:
		*written = 1;
		break;
	case BACK_END_RING_STATUS:
		*status = 3;
		break;
	case BACK_END_RING_SILENT:
		*status = 0xff;
		break;
	case BACK_END_RING_FAILS:
		*status = VIRTIO_BLK_S_IOERR;
		break;
	default:
		break;
	}
}

void back_end_lie_in_ring(Virtqueue *queue, BackEndRingLie lie)
{
	size_t size = sizeof(struct vring_used) + queue->size * sizeof(struct vring_used_elem);
	struct vring_used *used = guest_memory_hva(queue->memory, queue->device_area, size, true);
	unsigned at = (uint16_t)(queue->next_used - 1) % queue->size;

	g_assert_nonnull(used);
	if (lie == BACK_END_RING_OTHER)
		used->ring[at].id = UINT32_MAX - 7;
	else if (lie == BACK_END_RING_TWICE)
		used->ring[at].id = used->ring[(at + queue->size - 1) % queue->size].id;
	else if (lie == BACK_END_RING_INDEX)
		queue->next_used += 200;
}
