/*
 * fuzz-vhost-user.c: a hostile vhost-user back end
 *
 * The input is what the back end sends when it is asked something: taken or refused, nothing is
 * read past it, and what is taken is what was asked for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/vhost/vhost_user_message.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is asked, and how long a right answer is. */
static const struct {
	VhostUserRequest request;
	uint32_t size;
	bool with_fd;
} asked[] = {
	{ VHOST_USER_GET_FEATURES, 8, false },
	{ VHOST_USER_GET_VRING_BASE, sizeof(VhostUserVringState), false },
	{ VHOST_USER_GET_CONFIG, VHOST_USER_CONFIG_HEADER + 60, false },
	{ VHOST_USER_GET_INFLIGHT_FD, sizeof(VhostUserInflight), true },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	VhostUserMessage message = {};
	int pair[2], fd = -1;
	unsigned which;

	if (size < 1)
		return 0;
	which = data[0] % G_N_ELEMENTS(asked);
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	if (size > 1)
		g_assert_cmpint(send(pair[1], data + 1, MIN(size - 1, 4096), 0), >=, 0);
	shutdown(pair[1], SHUT_WR);
	if (vhost_user_receive(pair[0], asked[which].request, asked[which].size, &message,
			       asked[which].with_fd ? &fd : NULL, g_get_monotonic_time() + 1000000,
			       &error)) {
		g_assert_cmpuint(size, >=, 1 + sizeof(message.header) + asked[which].size);
		g_assert_cmpmem(message.bytes, asked[which].size, data + 1 + sizeof(message.header),
				asked[which].size);
		g_assert_cmpuint(message.header.request, ==, asked[which].request);
	} else {
		g_assert_nonnull(error);
	}
	g_assert_cmpint(fd, ==, -1);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
