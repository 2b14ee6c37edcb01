/*
 * virtio_vsock_connection.c: one connection of the socket device (virtio 1.2 §5.10.6)
 *
 * Bytes for the guest stay in the host's socket until the guest has room for them. Bytes from it
 * are written there at once; what does not fit is kept, which is no more than the guest was told
 * there is room for: one that sends more loses the connection.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/fd.h"
#include "vmm/virtio/virtio_vsock_internal.h"

#define OWED(op) (1u << (op))

static void host_readable(gpointer data);
static void host_writable(gpointer data);

static void drop_watch(IoWatch **watch)
{
	if (*watch)
		io_watch_remove(g_steal_pointer(watch));
}

/* Watch for what is waited for: not for bytes that the guest has no room for. */
static void update_watches(VsockConnection *connection)
{
	IoLoop *loop = virtio_vsock_loop(connection->vsock);
	bool reads = connection->state == VSOCK_GREETING || connection->state == VSOCK_OPEN;
	bool read = loop && connection->fd >= 0 && reads && !connection->readable &&
		    !(connection->said & VSOCK_SHUTDOWN_SEND) &&
		    !(connection->shut & VSOCK_SHUTDOWN_RECEIVE);
	bool write = loop && connection->fd >= 0 && connection->n_unsent > 0;

	if (!read)
		drop_watch(&connection->read_watch);
	else if (!connection->read_watch)
		connection->read_watch =
			io_loop_watch_fd(loop, connection->fd, false, host_readable, connection);
	if (!write)
		drop_watch(&connection->write_watch);
	else if (!connection->write_watch)
		connection->write_watch =
			io_loop_watch_fd(loop, connection->fd, true, host_writable, connection);
}

VsockConnection *vsock_connection_new(VirtioVsock *vsock, VsockState state, int fd)
{
	VsockConnection *connection = g_new0(VsockConnection, 1);

	connection->vsock = vsock;
	connection->state = state;
	connection->fd = fd;
	return connection;
}

static void close_host(VsockConnection *connection)
{
	drop_watch(&connection->read_watch);
	drop_watch(&connection->write_watch);
	fd_close(&connection->fd);
	connection->readable = false;
	connection->n_unsent = 0;
}

void vsock_connection_free(VsockConnection *connection)
{
	close_host(connection);
	g_free(connection->unsent);
	g_free(connection);
}

void vsock_connection_start(VsockConnection *connection)
{
	update_watches(connection);
}

void vsock_connection_stop(VsockConnection *connection)
{
	drop_watch(&connection->read_watch);
	drop_watch(&connection->write_watch);
}

/* The guest is to be told by @op. */
static void owe(VsockConnection *connection, unsigned op)
{
	connection->owed |= OWED(op);
	virtio_vsock_wake(connection->vsock, connection);
}

/* It is over; @tell: the guest does not know yet. */
static void finish(VsockConnection *connection, bool tell)
{
	close_host(connection);
	connection->state = VSOCK_CLOSED;
	connection->owed = tell ? OWED(VSOCK_OP_RST) : 0;
	virtio_vsock_wake(connection->vsock, connection);
}

/* From the host */

static void greeting_readable(VsockConnection *connection)
{
	unsigned *size = &connection->greeting_size;
	guint64 port;
	ssize_t got;
	bool complete;

	/* Byte by byte: what follows is the guest's. */
	do {
		got = recv(connection->fd, connection->greeting + *size, 1, MSG_DONTWAIT);
	} while (got == 1 && connection->greeting[*size] != '\n' &&
		 ++*size < sizeof(connection->greeting) - 1);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	complete = got == 1 && connection->greeting[*size] == '\n';
	connection->greeting[*size] = '\0';
	if (complete && g_str_has_prefix(connection->greeting, "CONNECT ") &&
	    g_ascii_string_to_unsigned(connection->greeting + strlen("CONNECT "), 10, 0,
				       UINT32_MAX - 1, &port, NULL)) {
		connection->state = VSOCK_REQUESTED;
		virtio_vsock_name(connection->vsock, connection, (uint32_t)port);
		owe(connection, VSOCK_OP_REQUEST);
		update_watches(connection);
		return;
	}
	finish(connection, false);
}

static void host_readable(gpointer data)
{
	VsockConnection *connection = data;

	if (connection->state == VSOCK_GREETING) {
		greeting_readable(connection);
		return;
	}
	connection->readable = true;
	update_watches(connection);
	virtio_vsock_wake(connection->vsock, connection);
}

/* Bytes that the guest has room for (§5.10.6.3); none where what it says of itself cannot be. */
static uint32_t credit(const VsockConnection *connection)
{
	uint32_t on_way = connection->sent - connection->peer_forwarded;

	return on_way < connection->peer_buffer_size ? connection->peer_buffer_size - on_way : 0;
}

bool vsock_connection_has_output(const VsockConnection *connection)
{
	return connection->owed ||
	       (connection->state == VSOCK_OPEN && connection->readable && credit(connection) > 0);
}

/* Take bytes from the host into @data; 0: there are none now. */
static size_t read_host(VsockConnection *connection, uint8_t *data, size_t size)
{
	ssize_t got;

	do {
		got = recv(connection->fd, data, MIN(size, credit(connection)), MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		return (size_t)got;
	connection->readable = false;
	if (got < 0 && errno == EAGAIN) {
		update_watches(connection);
		return 0;
	}
	if (got < 0) {
		finish(connection, true);
		return 0;
	}
	/* Nothing more comes from the host; it may still read. */
	connection->said |= VSOCK_SHUTDOWN_SEND;
	update_watches(connection);
	owe(connection, VSOCK_OP_SHUTDOWN);
	return 0;
}

bool vsock_connection_output(VsockConnection *connection, VsockHeader *header, uint8_t *data,
			     size_t size)
{
	*header = (VsockHeader){
		.source_cid = VSOCK_CID_HOST,
		.source_port = connection->host_port,
		.destination_port = connection->guest_port,
		.type = VSOCK_TYPE_STREAM,
		.buffer_size = VSOCK_BUFFER_SIZE,
	};
	if (!connection->owed && vsock_connection_has_output(connection)) {
		header->length = (uint32_t)read_host(connection, data, size);
		header->op = VSOCK_OP_RW;
		connection->sent += header->length;
	}
	if (header->length == 0) {
		if (!connection->owed)
			return false;
		header->op = (uint16_t)__builtin_ctz(connection->owed);
		connection->owed &= connection->owed - 1;
		if (header->op == VSOCK_OP_SHUTDOWN)
			header->flags = connection->said;
	}
	header->forwarded = connection->forwarded_told = connection->forwarded;
	return true;
}

/* From the guest */

/* What the guest will not do any more, once all of what it did is with the host. */
static void apply_shutdown(VsockConnection *connection)
{
	const uint32_t both = VSOCK_SHUTDOWN_RECEIVE | VSOCK_SHUTDOWN_SEND;

	if (connection->n_unsent > 0 || connection->fd < 0)
		return;
	if ((connection->shut & both) == both)
		finish(connection, true);
	else if (connection->shut & VSOCK_SHUTDOWN_SEND)
		shutdown(connection->fd, SHUT_WR);
}

static void passed_on(VsockConnection *connection, uint32_t size)
{
	connection->forwarded += size;
	/* Before it has to wait for that. */
	if (connection->forwarded - connection->forwarded_told >= VSOCK_BUFFER_SIZE / 2)
		owe(connection, VSOCK_OP_CREDIT_UPDATE);
}

/* Write what the host takes of @size bytes; -1: it takes none any more. */
static ssize_t write_host(VsockConnection *connection, const uint8_t *data, size_t size)
{
	ssize_t done;

	do {
		done = send(connection->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (done < 0 && errno == EINTR);
	if (done < 0 && errno == EAGAIN)
		return 0;
	return done;
}

static void host_writable(gpointer data)
{
	VsockConnection *connection = data;
	ssize_t done = write_host(connection, connection->unsent, connection->n_unsent);

	if (done < 0) {
		finish(connection, true);
		return;
	}
	connection->n_unsent -= (unsigned)done;
	memmove(connection->unsent, connection->unsent + done, connection->n_unsent);
	passed_on(connection, (uint32_t)done);
	update_watches(connection);
	apply_shutdown(connection);
}

static void take_data(VsockConnection *connection, const uint8_t *data, uint32_t size)
{
	ssize_t done = 0;

	if (connection->state != VSOCK_OPEN || (connection->shut & VSOCK_SHUTDOWN_SEND) ||
	    size > VSOCK_BUFFER_SIZE - connection->n_unsent) {
		finish(connection, true);
		return;
	}
	if (connection->n_unsent == 0)
		done = write_host(connection, data, size);
	if (done < 0) {
		finish(connection, true);
		return;
	}
	if ((uint32_t)done < size) {
		if (!connection->unsent)
			connection->unsent = g_malloc(VSOCK_BUFFER_SIZE);
		memcpy(connection->unsent + connection->n_unsent, data + done, size - done);
		connection->n_unsent += size - (uint32_t)done;
		update_watches(connection);
	}
	passed_on(connection, (uint32_t)done);
}

/* The guest accepted: whoever asked is told by which port of the host, and may go on. */
static void accepted(VsockConnection *connection)
{
	char answer[32];
	int size = g_snprintf(answer, sizeof(answer), "OK %u\n", connection->host_port);

	if (connection->state != VSOCK_REQUESTED ||
	    write_host(connection, (const uint8_t *)answer, (size_t)size) != size) {
		finish(connection, true);
		return;
	}
	connection->state = VSOCK_OPEN;
	update_watches(connection);
}

void vsock_connection_connected(VsockConnection *connection, int fd)
{
	connection->fd = fd;
	if (fd < 0) {
		finish(connection, true);
		return;
	}
	connection->state = VSOCK_OPEN;
	owe(connection, VSOCK_OP_RESPONSE);
	update_watches(connection);
}

void vsock_connection_handle(VsockConnection *connection, const VsockHeader *header,
			     const uint8_t *data)
{
	if (connection->state == VSOCK_CLOSED)
		return;
	connection->peer_buffer_size = header->buffer_size;
	connection->peer_forwarded = header->forwarded;
	switch (header->op) {
	case VSOCK_OP_RESPONSE:
		accepted(connection);
		break;
	case VSOCK_OP_RST:
		finish(connection, false);
		break;
	case VSOCK_OP_SHUTDOWN:
		connection->shut |= header->flags;
		update_watches(connection);
		apply_shutdown(connection);
		break;
	case VSOCK_OP_RW:
		take_data(connection, data, header->length);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		owe(connection, VSOCK_OP_CREDIT_UPDATE);
		break;
	default:
		finish(connection, true);
		break;
	}
	if (vsock_connection_has_output(connection))
		virtio_vsock_wake(connection->vsock, connection);
}
