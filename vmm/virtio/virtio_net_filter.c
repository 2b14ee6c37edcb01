/*
 * virtio_net_filter.c: what a network card lets through to its guest
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_net_filter.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/virtio/virtqueue.h"

/* §5.1.6.5.2, §5.1.6.5.3 */
enum { MAC_TABLE_SET = 0 };
enum { VLAN_ADD = 0, VLAN_DEL = 1 };

#define ETHERTYPE_VLAN 0x8100

bool net_command_take(NetCommand *command, void *buffer, size_t size)
{
	if (command->left < size)
		return false;
	iov_copy_from(command->iov, command->n_iov, command->offset, buffer, size);
	command->offset += size;
	command->left -= size;
	return true;
}

void net_filter_reset(NetFilter *filter, const uint8_t *mac)
{
	*filter = (NetFilter){ .modes[NET_RX_PROMISC] = true };
	memcpy(filter->mac, mac, NET_MAC_SIZE);
}

static uint16_t load_be16(const uint8_t *bytes)
{
	return bytes[0] << 8 | bytes[1];
}

static bool table_has(const NetMacTable *table, const uint8_t *mac)
{
	for (uint32_t i = 0; i < table->n; i++) {
		if (memcmp(table->entries[i], mac, NET_MAC_SIZE) == 0)
			return true;
	}
	return false;
}

bool net_filter_accepts(const NetFilter *filter, const uint8_t *frame)
{
	static const uint8_t broadcast[NET_MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const bool *modes = filter->modes;

	if (modes[NET_RX_PROMISC])
		return true;
	if (filter->filters_vlans && load_be16(frame + 12) == ETHERTYPE_VLAN) {
		unsigned vlan = load_be16(frame + 14) & (NET_VLANS - 1);

		if (!(filter->vlans[vlan / 64] & (1ULL << (vlan % 64))))
			return false;
	}
	if (memcmp(frame, broadcast, NET_MAC_SIZE) == 0)
		return !modes[NET_RX_NOBCAST];
	if (frame[0] & 1)
		return !modes[NET_RX_NOMULTI] &&
		       (modes[NET_RX_ALLMULTI] || filter->multicast.overflow ||
			table_has(&filter->multicast, frame));
	return !modes[NET_RX_NOUNI] && (modes[NET_RX_ALLUNI] || filter->unicast.overflow ||
					memcmp(frame, filter->mac, NET_MAC_SIZE) == 0 ||
					table_has(&filter->unicast, frame));
}

static bool take_table(NetCommand *command, NetMacTable *table)
{
	uint32_t n;

	if (!net_command_take(command, &n, sizeof(n)) || n > command->left / NET_MAC_SIZE)
		return false;
	*table = (NetMacTable){ .overflow = n > NET_MAC_TABLE_ENTRIES };
	if (!table->overflow) {
		table->n = n;
		return net_command_take(command, table->entries, (size_t)n * NET_MAC_SIZE);
	}
	command->offset += (uint64_t)n * NET_MAC_SIZE;
	command->left -= (uint64_t)n * NET_MAC_SIZE;
	return true;
}

static bool command_vlan(NetFilter *filter, uint8_t code, NetCommand *command)
{
	uint16_t vlan;

	if (!net_command_take(command, &vlan, sizeof(vlan)) || vlan >= NET_VLANS)
		return false;
	if (code == VLAN_ADD)
		filter->vlans[vlan / 64] |= 1ULL << (vlan % 64);
	else if (code == VLAN_DEL)
		filter->vlans[vlan / 64] &= ~(1ULL << (vlan % 64));
	else
		return false;
	return true;
}

bool net_filter_command(NetFilter *filter, uint8_t class, uint8_t code, NetCommand *command)
{
	NetMacTable unicast, multicast;
	uint8_t on;

	switch (class) {
	case NET_CLASS_RX:
		if (code >= NET_RX_MODES || !net_command_take(command, &on, sizeof(on)))
			return false;
		filter->modes[code] = on;
		return true;
	case NET_CLASS_MAC:
		if (code != MAC_TABLE_SET || !take_table(command, &unicast) ||
		    !take_table(command, &multicast))
			return false;
		filter->unicast = unicast;
		filter->multicast = multicast;
		return true;
	case NET_CLASS_VLAN:
		return command_vlan(filter, code, command);
	default:
		return false;
	}
}

static char *mac_text(const uint8_t *mac)
{
	return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
			       mac[4], mac[5]);
}

static GPtrArray *table_text(const NetMacTable *table)
{
	GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);

	for (uint32_t i = 0; i < table->n; i++)
		g_ptr_array_add(texts, mac_text(table->entries[i]));
	return texts;
}

static QapiRxState rx_state(bool none, bool all)
{
	if (none)
		return QAPI_RX_STATE_NONE;
	return all ? QAPI_RX_STATE_ALL : QAPI_RX_STATE_NORMAL;
}

QapiRxFilterInfo *net_filter_describe(const NetFilter *filter, const char *name)
{
	QapiRxFilterInfo *info = g_new0(QapiRxFilterInfo, 1);
	const bool *modes = filter->modes;

	info->name = g_strdup(name);
	info->promiscuous = modes[NET_RX_PROMISC];
	info->multicast = rx_state(modes[NET_RX_NOMULTI], modes[NET_RX_ALLMULTI]);
	info->unicast = rx_state(modes[NET_RX_NOUNI], modes[NET_RX_ALLUNI]);
	info->vlan = rx_state(false, !filter->filters_vlans);
	info->broadcast_allowed = !modes[NET_RX_NOBCAST];
	info->multicast_overflow = filter->multicast.overflow;
	info->unicast_overflow = filter->unicast.overflow;
	info->main_mac = mac_text(filter->mac);
	info->unicast_table = table_text(&filter->unicast);
	info->multicast_table = table_text(&filter->multicast);
	info->vlan_table = g_array_new(FALSE, FALSE, sizeof(int64_t));
	for (int64_t i = 0; filter->filters_vlans && i < NET_VLANS; i++) {
		if (filter->vlans[i / 64] & (1ULL << (i % 64)))
			g_array_append_val(info->vlan_table, i);
	}
	return info;
}

static const StateField table_fields[] = {
	STATE_FIELD(NetMacTable, n, STATE_UINT32),
	STATE_FIELD(NetMacTable, overflow, STATE_BOOL),
	STATE_RAW(NetMacTable, entries),
	STATE_END,
};

static bool table_after_load(void *object, GError **error)
{
	if (((NetMacTable *)object)->n > NET_MAC_TABLE_ENTRIES)
		return error_fail(error, "a table of MAC addresses has too many");
	return true;
}

static const StateTable table_state = {
	.name = "net-mac-table",
	.version = 1,
	.minimum_version = 1,
	.fields = table_fields,
	.after_load = table_after_load,
};

static const StateField filter_fields[] = {
	STATE_RAW(NetFilter, mac),
	STATE_ARRAY(NetFilter, modes, STATE_BOOL),
	STATE_FIELD(NetFilter, filters_vlans, STATE_BOOL),
	STATE_PART(NetFilter, unicast, &table_state),
	STATE_PART(NetFilter, multicast, &table_state),
	STATE_ARRAY(NetFilter, vlans, STATE_UINT64),
	STATE_END,
};

const StateTable net_filter_state = {
	.name = "net-filter",
	.version = 1,
	.minimum_version = 1,
	.fields = filter_fields,
};
