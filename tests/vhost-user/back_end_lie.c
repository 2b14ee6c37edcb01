/*
 * back_end_lie.c: how a back end answers, truly or not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/vhost-user/back_end_lie.h"

#include <sys/socket.h>

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
