/*
 * vhost_user_internal.h: between the files of the vhost-user front end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/vhost/vhost_user.h"
#include "vmm/vhost/vhost_user_message.h"

struct VhostUser {
	Vhost vhost; /* first */
	Chardev *chardev;
	VhostUserOptions options;
	const VhostUserListener *listener;
	void *opaque;
	bool listening; /* created wholly */

	int socket;	   /* the chardev's; -1: no back end */
	int64_t deadline;  /* of the operation under way; g_get_monotonic_time() */
	uint64_t protocol; /* negotiated */
	unsigned n_queues, n_slots_max;
	VhostMemory known; /* what the back end was told */

	int inflight_fd; /* -1: none yet */
	VhostUserInflight inflight;

	int channel_fd; /* our end of what the back end asks on; -1: none */
	GSource *channel_source;
	VhostUserMessage channel_message; /* as far as it has come */
	size_t channel_bytes;
};

/* vhost_user_channel.c: the channel on which the back end asks */
/* Open it where that was negotiated. False and @error as any other request. */
bool vhost_user_open_channel(VhostUser *user, GError **error);
/* Close it, if it is open. */
void vhost_user_close_channel(VhostUser *user);

/* vhost_user.c: for that, send one request with a descriptor. */
bool vhost_user_tell_fd(VhostUser *user, VhostUserRequest request, int fd, GError **error);
