/*
 * vhost_user_channel.c: what a vhost-user back end asks of the front end
 *
 * The channel is a socket pair, one end of which the back end was given. The one thing it may say
 * is that device configuration changed. Everything else is refused, and what is no message at all
 * ends the connection.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/vhost/vhost_user_internal.h"

/* The largest message of this kind that the protocol has is about this long. */
#define PAYLOAD_MAX 256u
/* Messages that are taken before others on the main loop have their turn. */
#define BATCH 16

static void answer(VhostUser *user, uint64_t result)
{
	VhostUserMessage reply = {
		.header = {
			.request = user->channel_message.header.request,
			.flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
			.size = sizeof(reply.u64),
		},
		.u64 = result,
	};

	/* Without patience: if the back end does not read its answers, that is its trouble. */
	if (user->channel_message.header.flags & VHOST_USER_NEED_REPLY)
		vhost_user_send(user->channel_fd, &reply, NULL, 0, 0, NULL);
}

static void handle(VhostUser *user)
{
	const VhostUserHeader *header = &user->channel_message.header;
	bool known = header->request == VHOST_USER_BACKEND_CONFIG_CHANGE;

	answer(user, known ? 0 : 1);
	if (known && user->listener->config_changed && user->listening)
		user->listener->config_changed(user->opaque);
}

/* Read more of a message; false when there is no more, or no channel any more. */
static bool read_some(VhostUser *user)
{
	VhostUserHeader *header = &user->channel_message.header;
	size_t at = user->channel_bytes, header_size = sizeof(*header);
	bool in_header = at < header_size;
	void *to = in_header ? (uint8_t *)header + at
			     : user->channel_message.bytes + (at - header_size);
	size_t wanted = in_header ? header_size - at : header_size + header->size - at;
	ssize_t got = wanted ? recv(user->channel_fd, to, wanted, MSG_DONTWAIT) : 0;

	if (wanted && got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			vhost_user_close_channel(user);
		return false;
	}
	user->channel_bytes += got;
	if (user->channel_bytes < header_size)
		return true;
	if (header->size > PAYLOAD_MAX ||
	    (header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION) {
		vhost_user_close_channel(user);
		vhost_user_cut_off(user, "it sends what is no message");
		return false;
	}
	if (user->channel_bytes == header_size + header->size) {
		user->channel_bytes = 0;
		handle(user);
	}
	return user->channel_fd >= 0;
}

static gboolean channel_readable(gint fd, GIOCondition condition, gpointer data)
{
	VhostUser *user = data;

	(void)fd;
	(void)condition;
	for (unsigned i = 0; i < 2 * BATCH && read_some(user); i++)
		continue;
	return G_SOURCE_CONTINUE;
}

bool vhost_user_open_channel(VhostUser *user, GError **error)
{
	int pair[2];
	bool told;

	if (!vhost_user_has(user, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return true;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_fail_errno(error, errno, "cannot make a pair of sockets");
	told = vhost_user_tell_fd(user, VHOST_USER_SET_BACKEND_REQ_FD, pair[1], error);
	fd_close(&pair[1]);
	if (!told) {
		fd_close(&pair[0]);
		return false;
	}
	user->channel_fd = pair[0];
	user->channel_bytes = 0;
	user->channel_source = g_unix_fd_source_new(user->channel_fd, G_IO_IN);
	g_source_set_callback(user->channel_source, G_SOURCE_FUNC(channel_readable), user, NULL);
	g_source_attach(user->channel_source, chardev_context(user->chardev));
	return true;
}

void vhost_user_close_channel(VhostUser *user)
{
	if (user->channel_source) {
		g_source_destroy(user->channel_source);
		g_clear_pointer(&user->channel_source, g_source_unref);
	}
	fd_close(&user->channel_fd);
}
