/*
 * monitor_net.c: QMP commands of schemas/net.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "vmm/base/error.h"
#include "vmm/machine/machine.h"
#include "vmm/net/net.h"
#include "vmm/virtio/virtio_net.h"

bool qmp_netdev_add(QmpContext *ctx, const QapiNetdev *args, GError **error)
{
	return netdevs_add(machine_netdevs(qmp_context_machine(ctx)), args, error);
}

bool qmp_netdev_del(QmpContext *ctx, const char *id, GError **error)
{
	Netdevs *netdevs = machine_netdevs(qmp_context_machine(ctx));

	if (!netdevs_find(netdevs, id)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
			    id);
		return false;
	}
	return netdevs_remove(netdevs, id, error);
}

bool qmp_set_link(QmpContext *ctx, const char *name, bool up, GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	Netdev *netdev = netdevs_find(machine_netdevs(machine), name);

	/* The name is a netdev's or that of the card that uses one. */
	if (!netdev) {
		Device *device = device_tree_find(machine_devices(machine), name);

		if (device && virtio_net_is(device))
			netdev = virtio_net_netdev(device);
	}
	if (!netdev) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
			    name);
		return false;
	}
	netdev_set_link(netdev, up);
	return true;
}

bool qmp_announce_self(QmpContext *ctx, const QapiAnnounceParameters *args, GError **error)
{
	return announcements_start(machine_announcements(qmp_context_machine(ctx)), args, error);
}

static void append_rx_filter(Device *device, gpointer data)
{
	if (virtio_net_is(device))
		g_ptr_array_add(data, virtio_net_query_rx_filter(device));
}

GPtrArray *qmp_query_rx_filter(QmpContext *ctx, const char *name, GError **error)
{
	DeviceTree *tree = machine_devices(qmp_context_machine(ctx));
	g_autoptr(GPtrArray) list = qapi_list_new_RxFilterInfo();
	Device *device;

	if (!name) {
		device_tree_foreach(tree, false, append_rx_filter, list);
		return g_steal_pointer(&list);
	}
	device = device_tree_find(tree, name);
	if (!device || !virtio_net_is(device)) {
		error_fail(error, "net client '%s' is not a network card", name);
		return NULL;
	}
	append_rx_filter(device, list);
	return g_steal_pointer(&list);
}
