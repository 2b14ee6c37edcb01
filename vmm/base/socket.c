/*
 * socket.c: stream sockets, listening and connected
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/socket.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

static bool unix_address(const char *path, bool abstract, struct sockaddr_un *address,
			 socklen_t *size, GError **error)
{
	size_t length = strlen(path);
	size_t offset = abstract ? 1 : 0;

	if (length == 0)
		return error_fail(error, "socket path is empty");
	if (offset + length + 1 > sizeof(address->sun_path))
		return error_fail(error, "socket path '%s' is longer than %zu bytes", path,
				  sizeof(address->sun_path) - 1 - offset);
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path + offset, path, length);
	*size = offsetof(struct sockaddr_un, sun_path) + offset + length + (abstract ? 0 : 1);
	return true;
}

static void remove_stale_socket(const char *path)
{
	struct stat status;

	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(path);
}

int socket_open_unix(const char *path, bool abstract, bool server, GError **error)
{
	struct sockaddr_un address;
	socklen_t size = 0;
	autofd int fd = -1;

	if (!unix_address(path, abstract, &address, &size, error))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (server ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0) {
		error_fail_errno(error, errno, "cannot make a socket");
	} else if (!server) {
		/* A peer that never accepts must not hold us up. */
		const struct timeval patience = { .tv_sec = 1 };

		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (connect(fd, (struct sockaddr *)&address, size) == 0 &&
		    fd_set_nonblocking(fd, false, NULL))
			return fd_steal(&fd);
		error_fail_errno(error, errno, "cannot connect to '%s'", path);
	} else {
		if (!abstract)
			remove_stale_socket(path);
		if (bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0)
			return fd_steal(&fd);
		error_fail_errno(error, errno, "cannot listen at '%s'", path);
	}
	return -1;
}

/* Bind to or connect to one resolved address; -1 and errno. */
static int open_resolved(const struct addrinfo *info, bool only_ipv6, SocketMode mode)
{
	int type = SOCK_STREAM | SOCK_CLOEXEC | (mode == SOCKET_CLIENT_LATER ? SOCK_NONBLOCK : 0);
	autofd int fd = socket(info->ai_family, type, 0);
	int one = 1;

	if (fd < 0)
		return -1;
	if (mode == SOCKET_SERVER) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (info->ai_family == AF_INET6 && only_ipv6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, 1) < 0)
			return -1;
	} else if (connect(fd, info->ai_addr, info->ai_addrlen) < 0 && errno != EINPROGRESS) {
		return -1;
	}
	return fd_steal(&fd);
}

int socket_open_inet(const char *host, const char *port, bool ipv4, bool ipv6, SocketMode mode,
		     GError **error)
{
	bool server = mode == SOCKET_SERVER;
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		/* Numbers first: looking up names loads libraries. */
		.ai_flags = AI_NUMERICHOST | (server ? AI_PASSIVE : 0),
		.ai_family = ipv4 == ipv6 ? AF_UNSPEC
			     : ipv4	  ? AF_INET
					  : AF_INET6,
	};
	struct addrinfo *list = NULL;
	int fd = -1, result;

	result = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	if (result == EAI_NONAME) {
		hints.ai_flags = server ? AI_PASSIVE : 0;
		result = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	}
	if (result != 0) {
		error_fail(error, "cannot resolve '%s:%s': %s", host, port, gai_strerror(result));
		return -1;
	}
	for (struct addrinfo *info = list; info && fd < 0; info = info->ai_next)
		fd = open_resolved(info, ipv6 && !ipv4, mode);
	if (fd < 0)
		error_fail_errno(error, errno, "cannot %s '%s:%s'",
				 server ? "listen at" : "connect to", host, port);
	freeaddrinfo(list);
	return fd;
}

int socket_new_spare(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

int socket_accept(int fd, int *spare)
{
	int peer;

	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (peer >= 0)
		return peer;
	if (errno != EMFILE && errno != ENFILE)
		return -errno;
	fd_close(spare);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	fd_close(&peer);
	*spare = socket_new_spare();
	return -EMFILE;
}

bool socket_check_passed(int fd, bool server, GError **error)
{
	int listening = 0, type = 0;
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return error_fail_errno(error, errno, "descriptor %d", fd);
	if (type != SOCK_STREAM)
		return error_fail(error, "descriptor %d is not a stream socket", fd);
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
		return error_fail_errno(error, errno, "descriptor %d", fd);
	if (!listening != !server)
		return error_fail(error, "descriptor %d is %sa listening socket", fd,
				  listening ? "" : "not ");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_fail_errno(error, errno, "descriptor %d", fd);
	return true;
}

void socket_unlink(int fd)
{
	struct sockaddr_un address = {};
	socklen_t size = sizeof(address) - 1;

	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
	    address.sun_family == AF_UNIX && address.sun_path[0])
		remove_stale_socket(address.sun_path);
}
