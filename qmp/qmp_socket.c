/*
 * qmp_socket.c: sockets for QMP: listening, reading and writing, descriptors in messages
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "qmp/qmp_error.h"
#include "qmp/qmp_socket.h"

#define BACKLOG 16

void qmp_socket_close(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

static void set_errno_error(GError **error, const char *what, int errnum)
{
	g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "%s: %s", what, g_strerror(errnum));
}

int qmp_socket_listen_unix(const char *path, GError **error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat status;
	int fd;

	if (!path[0] || strlen(path) >= sizeof(address.sun_path)) {
		set_errno_error(error, path, ENAMETOOLONG);
		return -1;
	}
	strcpy(address.sun_path, path);
	/* Only a socket is taken for a left-over of an earlier run. */
	if (!lstat(path, &status) && S_ISSOCK(status.st_mode))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) &&
	    !listen(fd, BACKLOG))
		return fd;
	set_errno_error(error, path, errno);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The port of a socket address, in host byte order. */
static uint16_t *port_of(struct sockaddr *address)
{
	if (address->sa_family == AF_INET6)
		return &((struct sockaddr_in6 *)address)->sin6_port;
	return &((struct sockaddr_in *)address)->sin_port;
}

/* Listens on one address; @number is the port, or 0 to be set to a free one. */
static int listen_address(const struct addrinfo *info, uint16_t *number)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = info->ai_addrlen;
	int on = 1;
	int fd;

	if (length > sizeof(address))
		return -1;
	memcpy(&address, info->ai_addr, length);
	if (*number)
		*port_of((struct sockaddr *)&address) = htons(*number);
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (info->ai_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    bind(fd, (struct sockaddr *)&address, length) || listen(fd, BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&address, &length)) {
		qmp_socket_close(fd);
		return -1;
	}
	*number = ntohs(*port_of((struct sockaddr *)&address));
	return fd;
}

GArray *qmp_socket_listen_tcp(const char *host, const char *port, uint16_t *number, GError **error)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_PASSIVE };
	struct addrinfo *found;
	GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
	int result = getaddrinfo(host && host[0] ? host : NULL, port, &hints, &found);
	int errnum = 0;

	*number = 0;
	if (result) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "%s:%s: %s", host ? host : "",
			    port, gai_strerror(result));
		g_array_unref(fds);
		return NULL;
	}
	for (const struct addrinfo *info = found; info; info = info->ai_next) {
		int fd;

		if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
			continue;
		fd = listen_address(info, number);
		if (fd >= 0)
			g_array_append_val(fds, fd);
		else
			errnum = errno;
	}
	freeaddrinfo(found);
	/* A host without IPv6 still has its IPv4 addresses. */
	if (fds->len)
		return fds;
	g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "%s:%s: %s", host ? host : "", port,
		    g_strerror(errnum));
	g_array_unref(fds);
	return NULL;
}

static void take_control(struct msghdr *message, int *fds, size_t *n_fds)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
			if (*n_fds < QMP_SOCKET_FDS_MAX)
				fds[(*n_fds)++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t qmp_socket_receive(int fd, void *data, size_t size, int *fds, size_t *n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(QMP_SOCKET_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t result;

	*n_fds = 0;
	do
		result = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (result < 0 && errno == EINTR);
	if (result < 0)
		return -errno;
	take_control(&message, fds, n_fds);
	return result;
}

ssize_t qmp_socket_send(int fd, const void *data, size_t size, int passed_fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t result;

	if (passed_fd >= 0) {
		struct cmsghdr *header;

		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &passed_fd, sizeof(int));
	}
	do
		result = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

bool qmp_socket_prepare(int fd, GError **error)
{
	int type = 0;
	socklen_t length = sizeof(type);
	int flags;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) || type != SOCK_STREAM) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "descriptor %d is not a stream socket", fd);
		return false;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC)) {
		set_errno_error(error, "fcntl", errno);
		return false;
	}
	return true;
}
