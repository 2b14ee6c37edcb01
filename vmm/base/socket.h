/*
 * socket.h: stream sockets, listening and connected
 *
 * Main thread, all of these: looking up names blocks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum SocketMode {
	SOCKET_SERVER,
	SOCKET_CLIENT,
	SOCKET_CLIENT_LATER, /* connects without waiting: poll for POLLOUT, then look at SO_ERROR */
} SocketMode;

/*
 * Listen at or connect to the unix socket @path (in the abstract name space if @abstract). A socket
 * that an earlier server left at @path is replaced. -1 and @error naming @path.
 */
int socket_open_unix(const char *path, bool abstract, bool server, GError **error);

/*
 * Listen at or connect to @host (empty: everywhere) and @port. @ipv4 and @ipv6 alike: either
 * family may be used. -1 and @error naming the address.
 */
int socket_open_inet(const char *host, const char *port, bool ipv4, bool ipv6, SocketMode mode,
		     GError **error);

/*
 * Check that @fd, which somebody passed, is a stream socket that listens (@server) or does not, and
 * make it close-on-exec. False and @error naming it; the descriptor stays as it was then.
 */
bool socket_check_passed(int fd, bool server, GError **error);

/* Remove the path that the listening unix socket @fd is bound to, if it is one with a path. */
void socket_unlink(int fd);
