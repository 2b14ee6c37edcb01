/*
 * back_end_lie.h: how a back end answers, truly or not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "tests/vhost-user/back_end.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtqueue.h"

/*
 * Send the answer @message, which is changed as @lie has it, with @fds at @socket. What cannot be
 * sent is not.
 */
void back_end_reply(int socket, VhostUserMessage *message, BackEndLie lie, const int *fds,
		    unsigned n_fds);

/*
 * Change the answer to @element, a request of a block device that has been served with @written
 * bytes of data and status, as @lie has it, before it is given back; and what there is in the ring
 * then, before it is shown.
 */
void back_end_lie_in_element(const VirtqueueElement *element, BackEndRingLie lie,
			     uint32_t *written);
void back_end_lie_in_ring(Virtqueue *queue, BackEndRingLie lie);
