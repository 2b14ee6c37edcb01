/*
 * vhost_user_message.c: messages of the vhost-user protocol, with time limits
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/vhost/vhost_user_message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

typedef union Control {
	char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS_MAX)];
	struct cmsghdr align;
} Control;

/* Wait until @socket is ready for @events; false and @error when @deadline comes first. */
static bool wait_ready(int socket, short events, int64_t deadline, GError **error)
{
	struct pollfd polled = { .fd = socket, .events = events };
	int64_t left_ms;
	int ready;

	do {
		left_ms = (deadline - g_get_monotonic_time() + 999) / 1000;
		ready = left_ms > 0 ? poll(&polled, 1, (int)MIN(left_ms, INT_MAX)) : 0;
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return error_fail_errno(error, errno, "poll");
	return ready > 0 || error_fail(error, "the back end does not answer in time");
}

bool vhost_user_send(int socket, const VhostUserMessage *message, const int *fds, unsigned n_fds,
		     int64_t deadline, GError **error)
{
	uint8_t wire[sizeof(message->header) + sizeof(message->bytes)];
	size_t size = sizeof(message->header) + message->header.size, done = 0;
	Control control = {};

	g_return_val_if_fail(n_fds <= VHOST_USER_FDS_MAX && size <= sizeof(wire), false);
	memcpy(wire, &message->header, sizeof(message->header));
	memcpy(wire + sizeof(message->header), message->bytes, message->header.size);
	while (done < size) {
		struct iovec iov = {
			.iov_base = wire + done,
			.iov_len = size - done,
		};
		struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t sent;

		/* Descriptors go with the first byte. */
		if (done == 0 && n_fds > 0) {
			struct cmsghdr *rights;

			header.msg_control = control.bytes;
			header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
			rights = CMSG_FIRSTHDR(&header);
			rights->cmsg_level = SOL_SOCKET;
			rights->cmsg_type = SCM_RIGHTS;
			rights->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
			memcpy(CMSG_DATA(rights), fds, sizeof(int) * n_fds);
		}
		sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent >= 0)
			done += sent;
		else if (errno == EAGAIN && !wait_ready(socket, POLLOUT, deadline, error))
			return false;
		else if (errno != EAGAIN && errno != EINTR)
			return error_fail_errno(error, errno, "the back end is gone");
	}
	return true;
}

typedef struct Received {
	int fds[VHOST_USER_FDS_MAX];
	unsigned n_fds;
} Received;

static void close_received(Received *received)
{
	while (received->n_fds > 0)
		fd_close(&received->fds[--received->n_fds]);
}

static void take_fds(struct msghdr *message, Received *received)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t n;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
			if (received->n_fds < VHOST_USER_FDS_MAX)
				received->fds[received->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

static bool receive_bytes(int socket, void *buffer, size_t size, Received *received,
			  int64_t deadline, GError **error)
{
	size_t done = 0;

	while (done < size) {
		Control control;
		struct iovec iov = { .iov_base = (uint8_t *)buffer + done, .iov_len = size - done };
		struct msghdr message = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes),
		};
		ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

		if (got > 0) {
			take_fds(&message, received);
			done += got;
		} else if (got == 0) {
			return error_fail(error, "the back end is gone");
		} else if (errno == EAGAIN) {
			if (!wait_ready(socket, POLLIN, deadline, error))
				return false;
		} else if (errno != EINTR) {
			return error_fail_errno(error, errno, "the back end is gone");
		}
	}
	return true;
}

bool vhost_user_check_reply(const VhostUserHeader *header, VhostUserRequest request, uint32_t size,
			    GError **error)
{
	if (header->request != request)
		return error_fail(error, "the back end answers request %u when asked %u",
				  header->request, request);
	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
	    !(header->flags & VHOST_USER_REPLY))
		return error_fail(error, "the back end's answer to request %u has flags 0x%x",
				  request, header->flags);
	if (header->size != size)
		return error_fail(error,
				  "the back end's answer to request %u has %u bytes in place of %u",
				  request, header->size, size);
	return true;
}

bool vhost_user_receive(int socket, VhostUserRequest request, uint32_t size,
			VhostUserMessage *message, int *fd, int64_t deadline, GError **error)
{
	Received received = {};
	bool good;

	g_return_val_if_fail(size <= sizeof(message->bytes), false);
	if (fd)
		*fd = -1;
	good = receive_bytes(socket, &message->header, sizeof(message->header), &received, deadline,
			     error);
	/* What is in this one is not specified: some send a number, others nothing. */
	if (good && request == VHOST_USER_SET_LOG_BASE && message->header.size == 0)
		size = 0;
	good = good && vhost_user_check_reply(&message->header, request, size, error) &&
	       receive_bytes(socket, message->bytes, size, &received, deadline, error);
	if (good && received.n_fds > (fd ? 1 : 0))
		good = error_fail(error,
				  "descriptors come with the back end's answer to request %u",
				  request);
	if (good && received.n_fds == 1)
		*fd = received.fds[--received.n_fds];
	close_received(&received);
	return good;
}
