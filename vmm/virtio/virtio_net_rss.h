/*
 * virtio_net_rss.h: hashes of frames, and the receive queues that they lead to
 *
 * The driver says by commands on the control queue which parts of frames go into the hash, with
 * what key, and which queue is for which hash (virtio 1.2 §5.1.6.5.6, .7). The hash is Toeplitz's,
 * as Microsoft's receive side scaling has it. Everything here runs where the card of it says: its
 * I/O loop, or with the card stopped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/device/state.h"
#include "vmm/virtio/virtio_net_filter.h"

/* What configuration space says that there is room for. */
#define NET_RSS_KEY_SIZE   40u
#define NET_RSS_TABLE_SIZE 128u
/* Two IPv6 addresses and two ports: the longest that goes into a hash. */
#define NET_RSS_INPUT_SIZE 36u
/* Of a frame, what net_rss_hash() looks at: headers, with some of IPv6's extensions. */
#define NET_RSS_BYTES 192u

/* Kinds of packets that can have a hash (§5.1.6.4.3.1), all of which are supported. */
enum {
	NET_HASH_IPV4 = 1 << 0,
	NET_HASH_TCPV4 = 1 << 1,
	NET_HASH_UDPV4 = 1 << 2,
	NET_HASH_IPV6 = 1 << 3,
	NET_HASH_TCPV6 = 1 << 4,
	NET_HASH_UDPV6 = 1 << 5,
	NET_HASH_IPV6_EX = 1 << 6,
	NET_HASH_TCPV6_EX = 1 << 7,
	NET_HASH_UDPV6_EX = 1 << 8,
	NET_HASH_ALL = (1 << 9) - 1,
};

/* As a frame's header has it after its first NET_HEADER_SIZE bytes (§5.1.6.4.4). */
typedef struct NetHash {
	uint32_t value;
	uint16_t kind; /* 0: none; else 1 and the number of the bit above */
	uint16_t padding;
} NetHash;

typedef struct NetRss {
	bool steers;	/* frames go where the table says, not where the netdev has them */
	uint32_t kinds; /* NET_HASH_ bits; 0: frames have no hash */
	uint16_t mask;	/* of a hash: entries of the table, but one */
	uint16_t unclassified;
	uint16_t table[NET_RSS_TABLE_SIZE];
	uint8_t key[NET_RSS_KEY_SIZE];
	/* Of the key: the 32 bits from each on, which go into the hash where the input's is set. */
	uint32_t windows[NET_RSS_INPUT_SIZE * 8];
} NetRss;

/* Power-on state: no hashes. */
void net_rss_reset(NetRss *rss);

/*
 * Fill in @rss from the data of a command: VIRTIO_NET_CTRL_MQ_RSS_CONFIG if it @steers, else
 * _HASH_CONFIG. The card has @n_pairs; *@n_active is set to how many of them the driver sends by,
 * where it says so. False where the command is malformed; *@rss is then of no use.
 */
bool net_rss_take(NetRss *rss, NetCommand *command, bool steers, unsigned n_pairs,
		  uint16_t *n_active);

/* The hash of the frame that starts with @frame, @size bytes of it. */
NetHash net_rss_hash(const NetRss *rss, const uint8_t *frame, size_t size);

/* The number of the pair whose receive queue a frame with @hash is for, where @rss steers. */
unsigned net_rss_pair(const NetRss *rss, NetHash hash);

/* Whether what was loaded fits a card of @n_pairs. */
bool net_rss_fits(const NetRss *rss, unsigned n_pairs);

/* For a STATE_STRUCT field. */
extern const StateTable net_rss_state;
