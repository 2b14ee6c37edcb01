/*
 * virtio_net_rss.c: hashes of frames, and the receive queues that they lead to
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_net_rss.h"

#include <netinet/in.h>
#include <string.h>

#include "vmm/base/error.h"

#define ETHERTYPE_IPV4	  0x0800
#define ETHERTYPE_VLAN	  0x8100
#define ETHERTYPE_IPV6	  0x86dd
#define ETHERTYPE_SERVICE 0x88a8 /* IEEE 802.1ad: around another VLAN's tag */
#define VLAN_TAGS	  2u
#define VLAN_TAG_SIZE	  4u

#define IPV4_HEADER	  20u
#define IPV4_FRAGMENT	  0x3fff /* of flags and offset: more follow, or it is not the first */
#define IPV4_ADDRESSES	  12u
#define IPV6_HEADER	  40u
#define IPV6_ADDRESSES	  8u
#define IPV6_ADDRESS_SIZE 16u
#define IPV6_EXTENSIONS	  8u /* more than that have no ports */
#define IPV6_OPTION_PAD1  0
#define IPV6_OPTION_HOME  201 /* RFC 6275 §6.3 */
#define IPV6_ROUTING_HOME 2   /* RFC 6275 §6.4 */
#define PORTS_SIZE	  4u

static uint16_t load_be16(const uint8_t *bytes)
{
	return bytes[0] << 8 | bytes[1];
}

/* What of a packet can go into its hash; pointers are into the frame, NULL for what it lacks. */
typedef struct Packet {
	const uint8_t *source, *destination, *ports;
	uint8_t protocol;
	const uint8_t *home, *route; /* instead of the addresses, of kinds _EX */
	bool has_extensions;
} Packet;

static void prepare_key(NetRss *rss)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(rss->windows); i++) {
		uint64_t bits = 0;

		for (unsigned byte = i / 8; byte <= i / 8 + 4; byte++)
			bits = bits << 8 | rss->key[byte];
		rss->windows[i] = (uint32_t)(bits >> (8 - i % 8));
	}
}

void net_rss_reset(NetRss *rss)
{
	*rss = (NetRss){ .steers = false };
}

static bool take_key(NetRss *rss, NetCommand *command)
{
	uint8_t size;

	if (!net_command_take(command, &size, sizeof(size)) || size > sizeof(rss->key))
		return false;
	/* Of a shorter one the rest is zeroes; of none all hashes would be the same. */
	if (size == 0 && rss->kinds)
		return false;
	if (!net_command_take(command, rss->key, size))
		return false;
	prepare_key(rss);
	return true;
}

static bool take_table(NetRss *rss, NetCommand *command, unsigned n_pairs, uint16_t *n_active)
{
	struct {
		uint16_t mask, unclassified;
	} start;
	uint16_t n;

	if (!net_command_take(command, &start, sizeof(start)) || start.mask >= NET_RSS_TABLE_SIZE ||
	    (start.mask & (start.mask + 1u)))
		return false;
	rss->mask = start.mask;
	rss->unclassified = start.unclassified;
	if (!net_command_take(command, rss->table, (start.mask + 1u) * sizeof(*rss->table)) ||
	    !net_rss_fits(rss, n_pairs))
		return false;
	if (!net_command_take(command, &n, sizeof(n)) || n == 0 || n > n_pairs)
		return false;
	*n_active = n;
	return true;
}

bool net_rss_take(NetRss *rss, NetCommand *command, bool steers, unsigned n_pairs,
		  uint16_t *n_active)
{
	uint16_t reserved[4]; /* drivers have something there */

	*rss = (NetRss){ .steers = steers };
	if (!net_command_take(command, &rss->kinds, sizeof(rss->kinds)) ||
	    (rss->kinds & ~(uint32_t)NET_HASH_ALL))
		return false;
	if (steers ? !take_table(rss, command, n_pairs, n_active)
		   : !net_command_take(command, reserved, sizeof(reserved)))
		return false;
	return take_key(rss, command);
}

bool net_rss_fits(const NetRss *rss, unsigned n_pairs)
{
	if (!rss->steers)
		return true;
	for (unsigned i = 0; i <= rss->mask; i++) {
		if (rss->table[i] >= n_pairs)
			return false;
	}
	return rss->unclassified < n_pairs;
}

unsigned net_rss_pair(const NetRss *rss, NetHash hash)
{
	return hash.kind ? rss->table[hash.value & rss->mask] : rss->unclassified;
}

/* Of fragments only the first has ports, and all of a packet should go the same way: none has. */
static bool find_ipv4(Packet *packet, const uint8_t *bytes, size_t size)
{
	size_t header;

	if (size < IPV4_HEADER || bytes[0] >> 4 != 4)
		return false;
	header = (bytes[0] & 0xf) * 4u;
	if (header < IPV4_HEADER)
		return false;
	packet->source = bytes + IPV4_ADDRESSES;
	packet->destination = packet->source + sizeof(struct in_addr);
	packet->protocol = bytes[9];
	if (!(load_be16(bytes + 6) & IPV4_FRAGMENT) && size >= header + PORTS_SIZE)
		packet->ports = bytes + header;
	return true;
}

/* The home address among the options that are @bytes. */
static const uint8_t *find_home(const uint8_t *bytes, size_t size)
{
	size_t at = 0;

	while (at < size) {
		size_t length;

		if (bytes[at] == IPV6_OPTION_PAD1) {
			at++;
			continue;
		}
		if (size - at < 2)
			return NULL;
		length = bytes[at + 1];
		if (size - at - 2 < length)
			return NULL;
		if (bytes[at] == IPV6_OPTION_HOME && length == IPV6_ADDRESS_SIZE)
			return bytes + at + 2;
		at += 2 + length;
	}
	return NULL;
}

/* Look at the extension header @bytes of kind @next; false: what follows has no ports here. */
static bool pass_extension(Packet *packet, uint8_t next, const uint8_t *bytes, size_t size)
{
	switch (next) {
	case IPPROTO_DSTOPTS:
		if (!packet->home)
			packet->home = find_home(bytes + 2, size - 2);
		return true;
	case IPPROTO_ROUTING:
		if (!packet->route && bytes[2] == IPV6_ROUTING_HOME &&
		    size >= 8 + IPV6_ADDRESS_SIZE)
			packet->route = bytes + 8;
		return true;
	case IPPROTO_HOPOPTS:
		return true;
	default:
		return false;
	}
}

static bool find_ipv6(Packet *packet, const uint8_t *bytes, size_t size)
{
	size_t at = IPV6_HEADER;
	uint8_t next;

	if (size < IPV6_HEADER || bytes[0] >> 4 != 6)
		return false;
	packet->source = bytes + IPV6_ADDRESSES;
	packet->destination = packet->source + IPV6_ADDRESS_SIZE;
	next = bytes[6];
	for (unsigned i = 0; i <= IPV6_EXTENSIONS; i++) {
		size_t length;

		if (next == IPPROTO_TCP || next == IPPROTO_UDP) {
			packet->protocol = next;
			if (size - at >= PORTS_SIZE)
				packet->ports = bytes + at;
			return true;
		}
		if (next != IPPROTO_DSTOPTS && next != IPPROTO_ROUTING && next != IPPROTO_HOPOPTS &&
		    next != IPPROTO_FRAGMENT)
			return true;
		packet->has_extensions = true;
		if (size - at < 8)
			return true;
		length = (bytes[at + 1] + 1u) * 8;
		if (length > size - at || !pass_extension(packet, next, bytes + at, length))
			return true;
		next = bytes[at];
		at += length;
	}
	return true;
}

static uint32_t toeplitz(const NetRss *rss, const uint8_t *input, size_t size)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < size; i++) {
		for (unsigned bit = 0; bit < 8; bit++)
			hash ^= rss->windows[i * 8 + bit] & -((uint32_t)input[i] >> (7 - bit) & 1);
	}
	return hash;
}

/*
 * Which of the three kinds from @first on, a packet's addresses alone, TCP's and UDP's, @packet has
 * a hash of: the number of its bit, or -1.
 */
static int choose_kind(const NetRss *rss, const Packet *packet, unsigned first)
{
	if (packet->ports && packet->protocol == IPPROTO_TCP && (rss->kinds & 1u << (first + 1)))
		return first + 1;
	if (packet->ports && packet->protocol == IPPROTO_UDP && (rss->kinds & 1u << (first + 2)))
		return first + 2;
	return rss->kinds & 1u << first ? (int)first : -1;
}

static NetHash hash_packet(const NetRss *rss, const Packet *packet, unsigned first,
			   size_t address_size)
{
	uint8_t input[NET_RSS_INPUT_SIZE];
	size_t size = 2 * address_size;
	int kind = choose_kind(rss, packet, first);

	if (kind < 0)
		return (NetHash){ .kind = 0 };
	memcpy(input, packet->source, address_size);
	memcpy(input + address_size, packet->destination, address_size);
	if ((unsigned)kind != first) {
		memcpy(input + size, packet->ports, PORTS_SIZE);
		size += PORTS_SIZE;
	}
	return (NetHash){ .value = toeplitz(rss, input, size), .kind = kind + 1 };
}

NetHash net_rss_hash(const NetRss *rss, const uint8_t *frame, size_t size)
{
	Packet packet = {}, with_extensions;
	size_t at = 2 * NET_MAC_SIZE;
	NetHash hash = {};
	uint16_t type;

	if (!rss->kinds || size < at + 2)
		return hash;
	for (unsigned i = 0;; i++, at += VLAN_TAG_SIZE) {
		type = load_be16(frame + at);
		if ((type != ETHERTYPE_VLAN && type != ETHERTYPE_SERVICE) || i == VLAN_TAGS ||
		    size < at + VLAN_TAG_SIZE + 2)
			break;
	}
	at += 2;
	if (type == ETHERTYPE_IPV4 && find_ipv4(&packet, frame + at, size - at))
		return hash_packet(rss, &packet, 0, sizeof(struct in_addr));
	if (type != ETHERTYPE_IPV6 || !find_ipv6(&packet, frame + at, size - at))
		return hash;
	if (packet.has_extensions) {
		with_extensions = packet;
		if (packet.home)
			with_extensions.source = packet.home;
		if (packet.route)
			with_extensions.destination = packet.route;
		hash = hash_packet(rss, &with_extensions, 6, IPV6_ADDRESS_SIZE);
	}
	/* §5.1.6.4.3.4: they are skipped where the driver wants nothing of them. */
	return hash.kind ? hash : hash_packet(rss, &packet, 3, IPV6_ADDRESS_SIZE);
}

static const StateField rss_fields[] = {
	STATE_FIELD(NetRss, steers, STATE_BOOL),
	STATE_FIELD(NetRss, kinds, STATE_UINT32),
	STATE_FIELD(NetRss, mask, STATE_UINT16),
	STATE_FIELD(NetRss, unclassified, STATE_UINT16),
	STATE_ARRAY(NetRss, table, STATE_UINT16),
	STATE_RAW(NetRss, key),
	STATE_END,
};

static bool rss_after_load(void *object, GError **error)
{
	NetRss *rss = object;

	if (rss->mask >= NET_RSS_TABLE_SIZE || (rss->mask & (rss->mask + 1u)) ||
	    (rss->kinds & ~(uint32_t)NET_HASH_ALL))
		return error_fail(error, "a card steers by a table that there cannot be");
	prepare_key(rss);
	return true;
}

const StateTable net_rss_state = {
	.name = "net-rss",
	.version = 1,
	.minimum_version = 1,
	.fields = rss_fields,
	.after_load = rss_after_load,
};
