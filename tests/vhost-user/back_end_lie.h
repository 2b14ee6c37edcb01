/*
 * back_end_lie.h: how a back end answers, truly or not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "tests/vhost-user/back_end.h"
#include "vmm/vhost/vhost_user_message.h"

/*
 * Send the answer @message, which is changed as @lie has it, with @fds at @socket. What cannot be
 * sent is not.
 */
void back_end_reply(int socket, VhostUserMessage *message, BackEndLie lie, const int *fds,
		    unsigned n_fds);
