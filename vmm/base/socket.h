/*
 * socket.h: stream sockets, listening and connected
 *
 * Main thread, except where it says otherwise: looking up names blocks.
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
 * that an earlier server left at @path is replaced. Never waits for the server: one with too many
 * clients waiting is an error. -1 and @error naming @path.
 */
int socket_open_unix(const char *path, bool abstract, bool server, GError **error);

/*
 * Listen at or connect to @host (empty: everywhere) and @port. @ipv4 and @ipv6 alike: either
 * family may be used. -1 and @error naming the address.
 */
int socket_open_inet(const char *host, const char *port, bool ipv4, bool ipv6, SocketMode mode,
		     GError **error);

/*
 * Accept a peer of the listening socket @fd: its descriptor, non-blocking and close-on-exec, or a
 * negative errno. Where the process has no descriptor left for it, the peer is turned away
 * (-EMFILE), so that it does not keep @fd readable. For that moment *@spare is given up, which
 * socket_new_spare() returned and the caller closes in the end. Any thread.
 */
int socket_accept(int fd, int *spare);
int socket_new_spare(void);

/*
 * Check that @fd, which somebody passed, is a stream socket that listens (@server) or does not, and
 * make it close-on-exec. False and @error naming it; the descriptor stays as it was then.
 */
bool socket_check_passed(int fd, bool server, GError **error);

/* Remove the path that the listening unix socket @fd is bound to, if it is one with a path. */
void socket_unlink(int fd);
