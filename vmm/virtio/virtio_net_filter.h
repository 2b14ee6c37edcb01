/*
 * virtio_net_filter.h: what a network card lets through to its guest
 *
 * The driver says it by commands on the control queue (virtio 1.2 §5.1.6.5.1 to .3). Everything
 * here runs where the filter's card says: its I/O loop, or with the card stopped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "qapi-types.h"
#include "vmm/device/state.h"

#define NET_MAC_SIZE 6u
/* How many addresses a table holds; asked for more, everything of that kind is let through. */
#define NET_MAC_TABLE_ENTRIES 64u
#define NET_VLANS	      4096u
/* Of a frame, what net_filter_accepts() looks at: addresses, type, VLAN tag. */
#define NET_FILTER_BYTES 16u

/* Classes of commands that are the filter's (§5.1.6.5). */
enum { NET_CLASS_RX = 0, NET_CLASS_MAC = 1, NET_CLASS_VLAN = 2 };

enum {
	NET_RX_PROMISC = 0,
	NET_RX_ALLMULTI = 1,
	NET_RX_ALLUNI = 2,
	NET_RX_NOMULTI = 3,
	NET_RX_NOUNI = 4,
	NET_RX_NOBCAST = 5,
	NET_RX_MODES = 6,
};

typedef struct NetMacTable {
	uint32_t n;
	bool overflow; /* more were asked for than fit */
	uint8_t entries[NET_MAC_TABLE_ENTRIES][NET_MAC_SIZE];
} NetMacTable;

typedef struct NetFilter {
	uint8_t mac[NET_MAC_SIZE];
	bool modes[NET_RX_MODES]; /* by NET_RX_ command */
	bool filters_vlans;	  /* negotiated; false: all are let through */
	NetMacTable unicast, multicast;
	uint64_t vlans[NET_VLANS / 64];
} NetFilter;

/* The data of a command, consumed from the front. */
typedef struct NetCommand {
	const struct iovec *iov;
	unsigned n_iov;
	uint64_t offset, left; /* bytes */
} NetCommand;

/* Copy the next @size bytes of @command to @buffer; false when it has fewer. */
bool net_command_take(NetCommand *command, void *buffer, size_t size);

/* Power-on state: everything is let through, and the card's address is @mac. */
void net_filter_reset(NetFilter *filter, const uint8_t *mac);

/* Whether the frame that starts with @frame, NET_FILTER_BYTES of it, is for the guest. */
bool net_filter_accepts(const NetFilter *filter, const uint8_t *frame);

/*
 * Carry out command @code of class @class, which was negotiated; the card's own address apart.
 * False where the command is malformed or unknown, with the filter unchanged.
 */
bool net_filter_command(NetFilter *filter, uint8_t class, uint8_t code, NetCommand *command);

/* @filter as query-rx-filter shows it, for the card called @name. The caller frees it. */
QapiRxFilterInfo *net_filter_describe(const NetFilter *filter, const char *name);

/* For a STATE_STRUCT field. */
extern const StateTable net_filter_state;
