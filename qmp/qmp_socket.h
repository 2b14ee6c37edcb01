/*
 * qmp_socket.h: sockets for QMP: listeners, connections, descriptors in messages
 *
 * For the files of qmp/ only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>

#include "qmp/qmp_server.h"

/* The most descriptors taken from one read. */
#define QMP_SOCKET_FDS_MAX 32u

typedef struct QmpListener QmpListener;

/** qmp_socket_close: closes a descriptor; errno is kept. */
void qmp_socket_close(int fd);

/** qmp_socket_listen_unix: a socket that listens at @path; -1 with @error set. */
int qmp_socket_listen_unix(const char *path, GError **error);

/**
 * qmp_socket_listen_tcp: sockets that listen on every address of a name, on one port
 * @number: set to the port
 *
 * Returns: the sockets (int), which the caller owns; NULL with @error set.
 */
GArray *qmp_socket_listen_tcp(const char *host, const char *port, uint16_t *number, GError **error);

/**
 * qmp_socket_receive: reads without blocking
 * @data: where to, with room for @size bytes
 * @fds: where descriptors go, with room for QMP_SOCKET_FDS_MAX
 * @n_fds: set to how many came
 *
 * Returns: bytes read, 0 at the end of the stream, or a negative errno value.
 */
ssize_t qmp_socket_receive(int fd, void *data, size_t size, int *fds, size_t *n_fds);

/**
 * qmp_socket_send: writes without blocking
 * @passed_fd: a descriptor that goes with the first byte, or -1; stays the caller's
 *
 * Returns: bytes written, or a negative errno value.
 */
ssize_t qmp_socket_send(int fd, const void *data, size_t size, int passed_fd);

/**
 * qmp_socket_prepare: makes a descriptor that came from elsewhere non-blocking and close-on-exec
 *
 * Returns: false with @error set if it is no stream socket.
 */
bool qmp_socket_prepare(int fd, GError **error);

/**
 * qmp_listener_new: accepts connections in @context
 * @fd: a listening socket; the listener's in any case
 * @path: removed when the listener is freed, or NULL
 * @accept: called with each connection, which it owns
 *
 * Returns: NULL with @error set if @fd does not listen.
 */
QmpListener *qmp_listener_new(GMainContext *context, int fd, const char *path,
			      void (*accept)(void *opaque, int fd), void *opaque, GError **error);
void qmp_listener_free(QmpListener *listener);

/** qmp_connection_new: a session of @server on socket @fd, which it owns in any case. */
bool qmp_connection_new(QmpServer *server, GMainContext *context, int fd, GError **error);
