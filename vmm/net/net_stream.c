/*
 * net_stream.c: -netdev stream, Ethernet frames over a stream socket (passt, and the like)
 *
 * The peer is not trusted: a length that cannot be ends the connection. The card's link stays up
 * without a peer, and what it sends then is dropped. A server waits for the next peer; a client
 * does not connect again.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/net/net_internal.h"
#include "vmm/net/net_framing.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/iov.h"
#include "vmm/base/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Frames dropped at a time while the link is down. */
#define DROP_BATCH 64

typedef struct NetStream {
	Netdev netdev;
	int listen_fd;	/* -1: a client */
	int spare_fd;	/* for socket_accept() */
	bool owns_path; /* listen_fd made a path in the file system */

	/* The loop thread's, once a card is there. */
	int fd;	       /* -1: no peer */
	bool watching; /* the card wants to know of frames */
	bool kicked;   /* it is going to be told of buffered ones */
	bool sender_waits;
	IoWatch *read_watch, *write_watch, *listen_watch;
	NetFraming framing;
	uint8_t *unsent; /* the rest of a frame that was sent in part, or NULL */
	size_t unsent_size, unsent_done;
} NetStream;

static void stream_update_watch(NetStream *stream);

static void end_watch(IoWatch **watch)
{
	if (*watch)
		io_watch_remove(g_steal_pointer(watch));
}

static void stream_disconnect(NetStream *stream, const char *why)
{
	if (stream->fd < 0)
		return;
	g_info("netdev '%s': %s", stream->netdev.id, why);
	end_watch(&stream->read_watch);
	end_watch(&stream->write_watch);
	fd_close(&stream->fd);
	net_framing_clear(&stream->framing);
	g_clear_pointer(&stream->unsent, g_free);
	stream_update_watch(stream);
	if (stream->sender_waits) {
		stream->sender_waits = false;
		stream->netdev.listener->writable(stream->netdev.opaque, 0);
	}
}

/* Reception */

/* Frames that are here already do not make the socket readable: the card is told from here. */
static void stream_kick(gpointer data)
{
	NetStream *stream = data;

	stream->kicked = false;
	if (stream->watching && net_framing_has_next(&stream->framing))
		stream->netdev.listener->readable(stream->netdev.opaque, 0);
	stream_update_watch(stream);
}

static void stream_readable(gpointer data)
{
	NetStream *stream = data;

	stream->netdev.listener->readable(stream->netdev.opaque, 0);
	stream_update_watch(stream);
}

static void stream_accept(gpointer data)
{
	NetStream *stream = data;
	int fd = socket_accept(stream->listen_fd, &stream->spare_fd);

	if (fd == -EMFILE)
		g_message("netdev '%s': a peer was turned away: no descriptor is left",
			  stream->netdev.id);
	if (fd < 0)
		return;
	stream->fd = fd;
	g_info("netdev '%s': connected", stream->netdev.id);
	stream_update_watch(stream);
}

/* Make the watches those that the state asks for. */
static void stream_update_watch(NetStream *stream)
{
	IoLoop *loop = stream->netdev.loop;
	bool accepting = stream->listen_fd >= 0 && stream->fd < 0;
	bool reading = stream->watching && stream->fd >= 0;

	if (accepting && !stream->listen_watch)
		stream->listen_watch =
			io_loop_watch_fd(loop, stream->listen_fd, false, stream_accept, stream);
	else if (!accepting)
		end_watch(&stream->listen_watch);

	if (reading && !stream->read_watch)
		stream->read_watch =
			io_loop_watch_fd(loop, stream->fd, false, stream_readable, stream);
	else if (!reading)
		end_watch(&stream->read_watch);

	if (reading && !stream->kicked && net_framing_has_next(&stream->framing)) {
		stream->kicked = true;
		io_loop_post(loop, stream_kick, stream);
	}
}

static void stream_watch_readable(Netdev *netdev, unsigned queue, bool enabled)
{
	NetStream *stream = (NetStream *)netdev;

	(void)queue; /* there is one */
	stream->watching = enabled;
	stream_update_watch(stream);
}

/* Read what there is; 0, or a negative errno when there is nothing or nobody. */
static int stream_fill(NetStream *stream)
{
	size_t size;
	uint8_t *space = net_framing_space(&stream->framing, &size);
	ssize_t got;

	do {
		got = recv(stream->fd, space, size, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		net_framing_added(&stream->framing, got);
		return 0;
	}
	if (got == 0 || errno != EAGAIN)
		stream_disconnect(stream, got == 0 ? "the peer has gone" : error_text(errno));
	return -EAGAIN;
}

/* Copy @frame behind a zeroed header; the bytes of both, or -EMSGSIZE. */
static ssize_t deliver(const uint8_t *frame, size_t size, const struct iovec *iov, unsigned n_iov)
{
	netdev_zero_header(iov, n_iov);
	if (iov_copy_to(iov, n_iov, NET_HEADER_SIZE, frame, size) != size)
		return -EMSGSIZE;
	return (ssize_t)(NET_HEADER_SIZE + size);
}

static ssize_t stream_receive(Netdev *netdev, unsigned queue, const struct iovec *iov,
			      unsigned n_iov)
{
	NetStream *stream = (NetStream *)netdev;
	unsigned n_dropped = 0;
	const uint8_t *frame;
	size_t size;

	(void)queue;
	while (stream->fd >= 0) {
		int result = net_framing_next(&stream->framing, &frame, &size);

		if (result < 0) {
			stream_disconnect(stream, "the peer sent a length that cannot be");
			break;
		}
		if (result > 0 && netdev_link_up(netdev))
			return deliver(frame, size, iov, n_iov);
		/* A peer that never pauses must not keep the thread here: it looks again. */
		if (result > 0 && ++n_dropped == DROP_BATCH)
			break;
		if (result == 0 && stream_fill(stream) < 0)
			break;
	}
	return -EAGAIN;
}

/* Transmission */

static void stream_writable(gpointer data)
{
	NetStream *stream = data;

	while (stream->unsent && stream->unsent_done < stream->unsent_size) {
		ssize_t sent = send(stream->fd, stream->unsent + stream->unsent_done,
				    stream->unsent_size - stream->unsent_done,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent >= 0) {
			stream->unsent_done += sent;
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			stream_disconnect(stream, error_text(errno));
			return;
		}
	}
	g_clear_pointer(&stream->unsent, g_free);
	end_watch(&stream->write_watch);
	if (stream->sender_waits) {
		stream->sender_waits = false;
		stream->netdev.listener->writable(stream->netdev.opaque, 0);
	}
}

static void watch_writable(NetStream *stream)
{
	if (!stream->write_watch)
		stream->write_watch = io_loop_watch_fd(stream->netdev.loop, stream->fd, true,
						       stream_writable, stream);
}

/* The peer has a part of the frame: it must get the rest before anything else. */
static void keep_unsent(NetStream *stream, const struct iovec *iov, int n_iov, size_t sent,
			size_t total)
{
	uint8_t *to;

	stream->unsent_size = total - sent;
	stream->unsent_done = 0;
	stream->unsent = to = g_malloc(stream->unsent_size);
	for (int i = 0; i < n_iov; i++) {
		size_t skip = MIN(sent, iov[i].iov_len);

		memcpy(to, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		to += iov[i].iov_len - skip;
		sent -= skip;
	}
	watch_writable(stream);
}

static int stream_send(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov)
{
	NetStream *stream = (NetStream *)netdev;
	struct iovec parts[NET_MAX_IOV + 1];
	struct msghdr message = { .msg_iov = parts };
	size_t size = 0;
	uint32_t length;
	ssize_t sent;
	int count;

	(void)queue;
	if (stream->fd < 0)
		return -ENOTCONN;
	stream->sender_waits = false;
	if (stream->unsent) {
		stream->sender_waits = true;
		return -EAGAIN;
	}
	count = netdev_skip_header(iov, n_iov, parts + 1);
	for (int i = 1; i <= count; i++)
		size += parts[i].iov_len;
	if (count <= 0 || size == 0 || size > NET_FRAMING_MAX_FRAME)
		return -EMSGSIZE;
	length = GUINT32_TO_BE(size);
	parts[0].iov_base = &length;
	parts[0].iov_len = sizeof(length);
	message.msg_iovlen = MIN(count + 1, (int)NET_MAX_IOV);

	do {
		sent = sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == EAGAIN) {
		stream->sender_waits = true;
		watch_writable(stream);
		return -EAGAIN;
	}
	if (sent < 0) {
		int result = -errno;

		stream_disconnect(stream, error_text(errno));
		return result;
	}
	if ((size_t)sent < sizeof(length) + size)
		keep_unsent(stream, parts, count + 1, sent, sizeof(length) + size);
	return 0;
}

/* Coming and going */

static void stream_start(Netdev *netdev)
{
	stream_update_watch((NetStream *)netdev);
}

static void stream_stop(Netdev *netdev)
{
	NetStream *stream = (NetStream *)netdev;

	stream->watching = false;
	stream->sender_waits = false;
	end_watch(&stream->read_watch);
	end_watch(&stream->write_watch);
	end_watch(&stream->listen_watch);
}

static int stream_open_socket(NetStream *stream, const QapiSocketAddress *address, bool server,
			      GError **error)
{
	switch (address->type) {
	case QAPI_SOCKET_ADDRESS_TYPE_UNIX: {
		const QapiUnixSocketAddress *to = &address->u.q_unix;

		return socket_open_unix(to->path, to->has_abstract && to->abstract, server, error);
	}
	case QAPI_SOCKET_ADDRESS_TYPE_INET: {
		const QapiInetSocketAddress *to = &address->u.inet;

		return socket_open_inet(to->host, to->port, to->has_ipv4 && to->ipv4,
					to->has_ipv6 && to->ipv6,
					server ? SOCKET_SERVER : SOCKET_CLIENT, error);
	}
	case QAPI_SOCKET_ADDRESS_TYPE_FD: {
		const char *name = address->u.fd.str;
		int fd = netdev_take_fd(&stream->netdev, name, error);

		if (fd >= 0 && !socket_check_passed(fd, server, error)) {
			netdev_refuse_fd(name, fd);
			return -1;
		}
		return fd;
	}
	}
	error_fail(error, "unknown kind of address");
	return -1;
}

static bool stream_open(Netdev *netdev, const QapiNetdev *options, GError **error)
{
	NetStream *stream = (NetStream *)netdev;
	const QapiNetdevStreamOptions *own = &options->u.stream;
	bool server = own->has_server && own->server;
	int fd;

	stream->fd = stream->listen_fd = stream->spare_fd = -1;
	fd = stream_open_socket(stream, own->addr, server, error);
	if (fd < 0)
		return false;
	if (server) {
		stream->listen_fd = fd;
		stream->spare_fd = socket_new_spare();
	} else {
		stream->fd = fd;
	}
	stream->owns_path = server && own->addr->type == QAPI_SOCKET_ADDRESS_TYPE_UNIX;
	return fd_set_nonblocking(fd, true, error);
}

static void stream_close(Netdev *netdev)
{
	NetStream *stream = (NetStream *)netdev;

	if (stream->owns_path)
		socket_unlink(stream->listen_fd);
	fd_close(&stream->listen_fd);
	fd_close(&stream->spare_fd);
	fd_close(&stream->fd);
	net_framing_clear(&stream->framing);
	g_clear_pointer(&stream->unsent, g_free);
}

static unsigned stream_offloads(const Netdev *netdev)
{
	(void)netdev;
	return 0;
}

/* There are none to set: what arrives is always a plain frame. */
static void stream_set_offloads(Netdev *netdev, unsigned offloads)
{
	(void)netdev;
	(void)offloads;
}

const NetdevOps netdev_stream_ops = {
	.object_size = sizeof(NetStream),
	.open = stream_open,
	.close = stream_close,
	.start = stream_start,
	.stop = stream_stop,
	.offloads = stream_offloads,
	.set_offloads = stream_set_offloads,
	.watch_readable = stream_watch_readable,
	.receive = stream_receive,
	.send = stream_send,
};
