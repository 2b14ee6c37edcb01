/*
 * vhost_user_message.h: messages of the vhost-user protocol, with time limits
 *
 * The layouts and numbers are those of the protocol's specification (docs/interop/vhost-user.rst
 * of QEMU). Messages are a header, a payload whose size depends on the request, and descriptors.
 * The peer is not trusted: what comes back must be what was asked for, to the byte, and in time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Requests of the front end. */
typedef enum VhostUserRequest {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
} VhostUserRequest;

/* Requests of the back end, on a channel of its own. */
#define VHOST_USER_BACKEND_CONFIG_CHANGE 2u

/* The feature bit that says there are protocol features, and those. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30u
/* The feature bit that has the back end mark what it writes, and the flag of rings for it. */
#define VHOST_USER_F_LOG_ALL   26u
#define VHOST_USER_VRING_F_LOG 0x1u
enum {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_NET_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
};

/* Flags of the header. */
#define VHOST_USER_VERSION_MASK 0x3u
#define VHOST_USER_VERSION	0x1u
#define VHOST_USER_REPLY	0x4u
#define VHOST_USER_NEED_REPLY	0x8u

/* In the u64 of SET_VRING_KICK, _CALL and _ERR: no descriptor comes with it. */
#define VHOST_USER_VRING_NO_FD 0x100u

/* What one SET_MEM_TABLE has room for. */
#define VHOST_USER_TABLE_REGIONS 8u
/* Descriptors of one message; bytes of device configuration. */
#define VHOST_USER_FDS_MAX    8u
#define VHOST_USER_CONFIG_MAX 256u

typedef struct VhostUserHeader {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload, bytes */
} VhostUserHeader;

typedef struct VhostUserVringState {
	uint32_t index;
	uint32_t value;
} VhostUserVringState;

typedef struct VhostUserVringAddress {
	uint32_t index;
	uint32_t flags;
	uint64_t descriptors, used, available; /* addresses in the front end */
	uint64_t log;
} VhostUserVringAddress;

typedef struct VhostUserLog {
	uint64_t size, offset; /* bytes, in its file */
} VhostUserLog;

typedef struct VhostUserRegion {
	uint64_t gpa, size, hva, offset;
} VhostUserRegion;

typedef struct VhostUserMemory {
	uint32_t n_regions;
	uint32_t padding;
	VhostUserRegion regions[VHOST_USER_TABLE_REGIONS];
} VhostUserMemory;

typedef struct VhostUserMemorySlot {
	uint64_t padding;
	VhostUserRegion region;
} VhostUserMemorySlot;

typedef struct VhostUserConfig {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_CONFIG_MAX];
} VhostUserConfig;

typedef struct VhostUserInflight {
	uint64_t size; /* bytes */
	uint64_t offset;
	uint16_t n_queues;
	uint16_t queue_size;
	uint32_t padding;
} VhostUserInflight;

typedef struct VhostUserMessage {
	VhostUserHeader header;
	union {
		uint64_t u64;
		VhostUserVringState state;
		VhostUserVringAddress address;
		VhostUserLog log;
		VhostUserMemory memory;
		VhostUserMemorySlot slot;
		VhostUserConfig config;
		VhostUserInflight inflight;
		uint8_t bytes[512];
	};
} VhostUserMessage;

G_STATIC_ASSERT(sizeof(VhostUserHeader) == 12);
G_STATIC_ASSERT(sizeof(VhostUserVringAddress) == 40);
G_STATIC_ASSERT(sizeof(VhostUserMemorySlot) == 40);
/* With the padding, which all implementations send although the specification does not say so. */
G_STATIC_ASSERT(sizeof(VhostUserInflight) == 24);
/* Bytes before the data. */
#define VHOST_USER_CONFIG_HEADER 12u

/*
 * Send @message, with header.size bytes of payload, and @fds, on the stream socket @socket before
 * @deadline (g_get_monotonic_time()). False and @error; part of it may have been sent. Any thread.
 */
bool vhost_user_send(int socket, const VhostUserMessage *message, const int *fds, unsigned n_fds,
		     int64_t deadline, GError **error);

/*
 * Receive the answer to @request into @message before @deadline: it must have @size bytes of
 * payload. *@fd is the descriptor that came with it, the caller's, or -1; @fd NULL: there must be
 * none. False and @error for anything else; no descriptor is left open then. Any thread.
 */
bool vhost_user_receive(int socket, VhostUserRequest request, uint32_t size,
			VhostUserMessage *message, int *fd, int64_t deadline, GError **error);

/* Whether @header may start the answer of @size bytes to @request; @error says what is wrong. */
bool vhost_user_check_reply(const VhostUserHeader *header, VhostUserRequest request, uint32_t size,
			    GError **error);
