/*
 * virtio_vsock_internal.h: between the parts of the socket device
 *
 *	virtio_vsock.c		    queues, the socket of the host, life
 *	virtio_vsock_connection.c   one connection
 *
 * Everything here runs on the device's I/O loop, except where it says otherwise.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_vsock.h"

/* Bytes of each connection that the guest may have sent and the host not read (§5.10.6.3). */
#define VSOCK_BUFFER_SIZE 65536u
#define VSOCK_CID_HOST	  2u

/* §5.10.6 */
enum {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
};
enum { VSOCK_SHUTDOWN_RECEIVE = 1, VSOCK_SHUTDOWN_SEND = 2 };
#define VSOCK_TYPE_STREAM 1u

typedef struct VsockHeader {
	uint64_t source_cid, destination_cid;
	uint32_t source_port, destination_port;
	uint32_t length; /* of what follows, bytes */
	uint16_t type, op;
	uint32_t flags;
	uint32_t buffer_size; /* the sender's, and how much of what it got it has passed on */
	uint32_t forwarded;
} __attribute__((packed)) VsockHeader;

G_STATIC_ASSERT(sizeof(VsockHeader) == 44);

typedef struct VirtioVsock VirtioVsock;

typedef enum VsockState {
	VSOCK_GREETING,	  /* somebody of the host has yet to say to which port */
	VSOCK_REQUESTED,  /* the guest has yet to answer */
	VSOCK_CONNECTING, /* the main thread has yet to connect to the host's side */
	VSOCK_OPEN,
	VSOCK_CLOSED, /* to be freed once the guest has been told */
} VsockState;

typedef struct VsockConnection {
	VirtioVsock *vsock;
	VsockState state;
	uint32_t host_port, guest_port;
	gint64 key;	 /* both; 0: it has none yet */
	uint64_t serial; /* of all that the device ever had */
	int fd;		 /* -1: none yet, or no more */
	IoWatch *read_watch, *write_watch;
	char greeting[32];
	unsigned greeting_size;

	/* To the guest. */
	unsigned owed; /* bit by operation: what it is to be told */
	uint32_t said; /* VSOCK_SHUTDOWN_*: what it is or has been told of */
	bool readable; /* there may be bytes at @fd */
	bool queued;   /* in the device's list of those with something for it */
	uint32_t sent; /* bytes, modulo 2^32 */
	uint32_t peer_buffer_size, peer_forwarded;

	/* From it. */
	uint32_t shut; /* VSOCK_SHUTDOWN_*: what it will not do any more */
	uint8_t *unsent;
	unsigned n_unsent;
	uint32_t forwarded, forwarded_told; /* bytes, modulo 2^32 */
} VsockConnection;

/* A connection of @vsock in @state, to @fd (-1: none), which it takes. */
VsockConnection *vsock_connection_new(VirtioVsock *vsock, VsockState state, int fd);
/* Close and free it; nothing more is said. */
void vsock_connection_free(VsockConnection *connection);

/* Go on after a stop of the device, and stop. */
void vsock_connection_start(VsockConnection *connection);
void vsock_connection_stop(VsockConnection *connection);

/* The host's side of one that was CONNECTING is there: @fd, which it takes; -1: it is not. */
void vsock_connection_connected(VsockConnection *connection, int fd);

/*
 * The guest sent @header, with header->length bytes of @data, about @connection: which may be
 * CLOSED and freed after this.
 */
void vsock_connection_handle(VsockConnection *connection, const VsockHeader *header,
			     const uint8_t *data);

/* Whether there is something that the guest could be sent. */
bool vsock_connection_has_output(const VsockConnection *connection);
/*
 * Fill in @header and up to @size bytes of @data with that; false: there was nothing after all.
 */
bool vsock_connection_output(VsockConnection *connection, VsockHeader *header, uint8_t *data,
			     size_t size);

/* virtio_vsock.c, for that: */

/* @connection has something for the guest, or is CLOSED. */
void virtio_vsock_wake(VirtioVsock *vsock, VsockConnection *connection);
/* Give @connection, whose greeting asked for @guest_port, a port of the host. */
void virtio_vsock_name(VirtioVsock *vsock, VsockConnection *connection, uint32_t guest_port);
/* The loop; only while the device runs is there one to watch on. */
IoLoop *virtio_vsock_loop(VirtioVsock *vsock);
