/*
 * chardev_socket.c: -chardev socket, a stream socket as server or client
 *
 * A server talks to one client at a time; others wait in the backlog until it has gone. A client
 * that lost its peer tries again if it was told to (reconnect=).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_internal.h"
#include "vmm/base/error.h"
#include "vmm/base/socket.h"

#include <errno.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Descriptors that one message may carry. */
#define MAX_PASSED_FDS 16
/* How long somebody may wait for chardev_connect(); clients mostly try once a second. */
#define CONNECT_PATIENCE_MS 1000
#define CLIENT_PATIENCE_MS  3000

typedef struct ChardevSocket {
	Chardev chardev;
	ChardevAddressKind address;
	bool abstract, server, nodelay;
	bool ipv4, ipv6;
	char *path, *host, *port;
	unsigned reconnect_s;

	int listen_fd, connect_fd;
	int spare_fd;	/* for socket_accept() */
	bool owns_path; /* made by our bind(): to be removed at the end */
	GSource *listen_source, *connect_source, *timer;
	int passed_fds[MAX_PASSED_FDS]; /* of the last message that had any */
	unsigned n_passed_fds;
} ChardevSocket;

static void client_wait(ChardevSocket *sock);
static void server_listen(ChardevSocket *sock);

static void drop_passed_fds(ChardevSocket *sock)
{
	for (unsigned i = 0; i < sock->n_passed_fds; i++)
		fd_close(&sock->passed_fds[i]);
	sock->n_passed_fds = 0;
}

int chardev_take_fd(Chardev *chardev)
{
	ChardevSocket *sock = (ChardevSocket *)chardev;
	int fd;

	if (chardev->kind != CHARDEV_SOCKET || sock->n_passed_fds == 0)
		return -1;
	fd = sock->passed_fds[0];
	sock->n_passed_fds--;
	memmove(sock->passed_fds, sock->passed_fds + 1, sock->n_passed_fds * sizeof(int));
	return fd;
}

static ssize_t socket_read(Chardev *chardev, uint8_t *data, size_t size)
{
	ChardevSocket *sock = (ChardevSocket *)chardev;
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MAX_PASSED_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t got = recvmsg(chardev->in_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (got < 0)
		return got;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		drop_passed_fds(sock);
		sock->n_passed_fds =
			MIN((header->cmsg_len - CMSG_LEN(0)) / sizeof(int), MAX_PASSED_FDS);
		memcpy(sock->passed_fds, CMSG_DATA(header), sock->n_passed_fds * sizeof(int));
	}
	return got;
}

static void socket_connected(ChardevSocket *sock, int fd)
{
	int one = 1;

	if (sock->nodelay)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	chardev_stream_start(&sock->chardev, fd, fd);
	chardev_set_open(&sock->chardev, true);
	chardev_accept_input(&sock->chardev);
}

static void socket_hang_up(Chardev *chardev)
{
	ChardevSocket *sock = (ChardevSocket *)chardev;

	chardev_stream_stop(chardev);
	drop_passed_fds(sock);
	chardev_set_open(chardev, false);
	if (sock->server)
		server_listen(sock);
	else if (sock->reconnect_s)
		client_wait(sock);
}

/* Server */

static gboolean server_ready(gint listen_fd, GIOCondition condition, gpointer data)
{
	ChardevSocket *sock = data;
	int fd = socket_accept(listen_fd, &sock->spare_fd);

	(void)condition;
	if (fd < 0) { /* the client may have left already */
		if (fd == -EMFILE)
			g_message("chardev '%s': a client was turned away: no descriptor is left",
				  sock->chardev.id);
		return G_SOURCE_CONTINUE;
	}
	chardev_drop_source(&sock->listen_source);
	socket_connected(sock, fd);
	return G_SOURCE_REMOVE;
}

static void server_listen(ChardevSocket *sock)
{
	sock->listen_source = g_unix_fd_source_new(sock->listen_fd, G_IO_IN);
	g_source_set_callback(sock->listen_source, G_SOURCE_FUNC(server_ready), sock, NULL);
	g_source_attach(sock->listen_source, sock->chardev.context);
}

static bool server_wait(ChardevSocket *sock, GError **error)
{
	struct pollfd poll_fd = { .fd = sock->listen_fd, .events = POLLIN };
	int fd = -1;

	g_message("chardev '%s': waiting for a client", sock->chardev.id);
	while (fd < 0) {
		if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
			return error_fail_errno(error, errno, "cannot wait for a client");
		fd = socket_accept(sock->listen_fd, &sock->spare_fd);
		if (fd < 0 && fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED)
			return error_fail_errno(error, -fd, "cannot accept a client");
	}
	socket_connected(sock, fd);
	return true;
}

static int socket_open_address(ChardevSocket *sock, GError **error)
{
	SocketMode mode = sock->server	      ? SOCKET_SERVER
			  : sock->reconnect_s ? SOCKET_CLIENT_LATER
					      : SOCKET_CLIENT;

	if (sock->address == CHARDEV_ADDRESS_UNIX)
		return socket_open_unix(sock->path, sock->abstract, sock->server, error);
	return socket_open_inet(sock->host, sock->port, sock->ipv4, sock->ipv6, mode, error);
}

/* Client */

static gboolean client_connect_done(gint fd, GIOCondition condition, gpointer data)
{
	ChardevSocket *sock = data;
	int result = 0;
	socklen_t size = sizeof(result);

	(void)condition;
	chardev_drop_source(&sock->connect_source);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size) == 0 && result == 0) {
		socket_connected(sock, fd_steal(&sock->connect_fd));
	} else {
		fd_close(&sock->connect_fd);
		client_wait(sock);
	}
	return G_SOURCE_REMOVE;
}

static void client_try(ChardevSocket *sock)
{
	g_autoptr(GError) error = NULL;

	sock->connect_fd = socket_open_address(sock, &error);
	if (sock->connect_fd < 0 || !fd_set_nonblocking(sock->connect_fd, true, &error)) {
		g_info("chardev '%s': %s", sock->chardev.id, error->message);
		fd_close(&sock->connect_fd);
		client_wait(sock);
		return;
	}
	/* Writable at once if the connection is there already. */
	sock->connect_source = g_unix_fd_source_new(sock->connect_fd, G_IO_OUT);
	g_source_set_callback(sock->connect_source, G_SOURCE_FUNC(client_connect_done), sock, NULL);
	g_source_attach(sock->connect_source, sock->chardev.context);
}

static gboolean client_retry(gpointer data)
{
	ChardevSocket *sock = data;

	chardev_drop_source(&sock->timer);
	client_try(sock);
	return G_SOURCE_REMOVE;
}

static void client_wait(ChardevSocket *sock)
{
	sock->timer = chardev_add_timer(&sock->chardev, sock->reconnect_s * 1000, client_retry);
}

/* Both */

static bool await_client(ChardevSocket *sock, GError **error)
{
	struct pollfd polled = { .fd = sock->listen_fd, .events = POLLIN };
	int fd = -1;

	if (poll(&polled, 1, CLIENT_PATIENCE_MS) > 0)
		fd = socket_accept(sock->listen_fd, &sock->spare_fd);
	if (fd < 0)
		return error_fail(error, "nobody connected to it within %d ms", CLIENT_PATIENCE_MS);
	chardev_drop_source(&sock->listen_source);
	socket_connected(sock, fd);
	return true;
}

static bool socket_connect(Chardev *chardev, GError **error)
{
	ChardevSocket *sock = (ChardevSocket *)chardev;
	struct pollfd polled = { .events = POLLOUT };
	int result = 0;
	socklen_t size = sizeof(result);

	if (sock->server)
		return await_client(sock, error);
	if (sock->address == CHARDEV_ADDRESS_FD)
		return error_fail(error, "the peer has gone");
	chardev_drop_source(&sock->connect_source);
	chardev_drop_source(&sock->timer);
	if (sock->connect_fd < 0)
		sock->connect_fd = socket_open_address(sock, error);
	if (sock->connect_fd < 0 || !fd_set_nonblocking(sock->connect_fd, true, error))
		goto fail;
	polled.fd = sock->connect_fd;
	if (poll(&polled, 1, CONNECT_PATIENCE_MS) <= 0) {
		error_fail(error, "no connection within %d ms", CONNECT_PATIENCE_MS);
		goto fail;
	}
	if (getsockopt(sock->connect_fd, SOL_SOCKET, SO_ERROR, &result, &size) < 0 || result) {
		error_fail_errno(error, result ? result : errno, "cannot connect");
		goto fail;
	}
	socket_connected(sock, fd_steal(&sock->connect_fd));
	return true;
fail:
	fd_close(&sock->connect_fd);
	if (sock->reconnect_s)
		client_wait(sock);
	return false;
}

static bool socket_open(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	ChardevSocket *sock = (ChardevSocket *)chardev;
	int fd;

	sock->listen_fd = sock->connect_fd = sock->spare_fd = -1;
	sock->address = config->address;
	sock->abstract = config->abstract;
	sock->server = config->server;
	sock->nodelay = config->nodelay;
	sock->ipv4 = config->ipv4;
	sock->ipv6 = config->ipv6;
	sock->path = g_strdup(config->path);
	sock->host = g_strdup(config->host);
	sock->port = g_strdup(config->port);
	sock->reconnect_s = config->reconnect_s;
	chardev->reconnects = sock->server || sock->reconnect_s;

	if (!sock->server && sock->reconnect_s) {
		client_try(sock);
		return true;
	}
	if (sock->address == CHARDEV_ADDRESS_FD) {
		fd = config->fd;
		if (!socket_check_passed(fd, sock->server, error))
			return false;
	} else {
		fd = socket_open_address(sock, error);
		if (fd < 0)
			return false;
	}
	if (!fd_set_nonblocking(fd, true, error)) {
		if (sock->address != CHARDEV_ADDRESS_FD)
			fd_close(&fd);
		return false;
	}
	if (sock->server) {
		sock->listen_fd = fd;
		sock->spare_fd = socket_new_spare();
	} else {
		sock->connect_fd = fd;
	}
	sock->owns_path = sock->server && sock->address == CHARDEV_ADDRESS_UNIX;
	if (!sock->server)
		socket_connected(sock, fd_steal(&sock->connect_fd));
	else if (config->wait)
		return server_wait(sock, error);
	else
		server_listen(sock);
	return true;
}

static void socket_close(Chardev *chardev)
{
	ChardevSocket *sock = (ChardevSocket *)chardev;

	chardev_drop_source(&sock->listen_source);
	chardev_drop_source(&sock->connect_source);
	chardev_drop_source(&sock->timer);
	drop_passed_fds(sock);
	if (sock->owns_path)
		socket_unlink(sock->listen_fd);
	fd_close(&sock->listen_fd);
	fd_close(&sock->connect_fd);
	fd_close(&sock->spare_fd);
	g_free(sock->path);
	g_free(sock->host);
	g_free(sock->port);
}

static char *format_address(const struct sockaddr_storage *address, socklen_t size)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo((const struct sockaddr *)address, size, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return g_strdup("?");
	return g_strdup_printf(address->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static char *socket_filename(Chardev *chardev)
{
	ChardevSocket *sock = (ChardevSocket *)chardev;
	struct sockaddr_storage ours = {}, theirs = {};
	socklen_t our_size = sizeof(ours), their_size = sizeof(theirs);
	const char *state = chardev_is_open(chardev) ? "" : "disconnected:";
	const char *mode = sock->server ? ",server=on" : "";
	int fd = chardev->in_fd >= 0 ? chardev->in_fd : sock->listen_fd;
	g_autofree char *local = NULL, *remote = NULL;

	if (sock->address == CHARDEV_ADDRESS_UNIX)
		return g_strdup_printf("%sunix:%s%s", state, sock->path, mode);
	if (getsockname(fd, (struct sockaddr *)&ours, &our_size) < 0)
		return g_strdup_printf("%stcp:%s:%s%s", state, sock->host ? sock->host : "",
				       sock->port ? sock->port : "", mode);
	if (ours.ss_family == AF_UNIX)
		return g_strdup_printf("%sunix:%s%s", state,
				       ((struct sockaddr_un *)&ours)->sun_path, mode);
	local = format_address(&ours, our_size);
	if (*state || getpeername(fd, (struct sockaddr *)&theirs, &their_size) < 0)
		return g_strdup_printf("%stcp:%s%s", state, local, mode);
	remote = format_address(&theirs, their_size);
	return g_strdup_printf("tcp:%s%s <-> %s", local, mode, remote);
}

const ChardevOps chardev_socket_ops = {
	.object_size = sizeof(ChardevSocket),
	.open = socket_open,
	.close = socket_close,
	.read = socket_read,
	.hang_up = socket_hang_up,
	.connect = socket_connect,
	.filename = socket_filename,
};
