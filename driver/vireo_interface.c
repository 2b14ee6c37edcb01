/*
 * vireo_interface.c: the host side of network interfaces
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "datatypes.h"
#include "domain_audit.h"
#include "domain_nwfilter.h"
#include "driver.h"
#include "network_conf.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virnetdev.h"
#include "virnetdevbandwidth.h"
#include "virnetdevbridge.h"
#include "virnetdevopenvswitch.h"
#include "virnetdevtap.h"

#include "vireo_interface.h"
#include "vireo_passt.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_interface");

#define VIREO_TUN_PATH "/dev/net/tun"

static int
vireoInterfaceOpenBridge(virDomainObj *vm,
                         virDomainNetDef *net,
                         int *tapFD)
{
    const char *bridge = virDomainNetGetActualBridgeName(net);

    if (!bridge) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("interface '%s' has no bridge"), net->info.alias);
        return -1;
    }

    if (virNetDevTapCreateInBridgePort(bridge, &net->ifname, &net->mac, vm->def->uuid,
                                       VIREO_TUN_PATH, tapFD, 1,
                                       virDomainNetGetActualVirtPortProfile(net),
                                       virDomainNetGetActualVlan(net),
                                       virDomainNetGetActualPortOptionsIsolated(net),
                                       net->coalesce, net->mtu, NULL,
                                       VIR_NETDEV_TAP_CREATE_IFUP |
                                       VIR_NETDEV_TAP_CREATE_VNET_HDR) < 0)
        return -1;

    /* libvirt fills the bridge's table itself then, and the port shall not. */
    if (virDomainNetGetActualBridgeMACTableManager(net) ==
        VIR_NETWORK_BRIDGE_MAC_TABLE_MANAGER_LIBVIRT) {
        if (virNetDevBridgePortSetLearning(bridge, net->ifname, false) < 0 ||
            virNetDevBridgePortSetUnicastFlood(bridge, net->ifname, false) < 0 ||
            virNetDevBridgeFDBAdd(&net->mac, net->ifname,
                                  VIR_NETDEVBRIDGE_FDB_FLAG_MASTER |
                                  VIR_NETDEVBRIDGE_FDB_FLAG_TEMP) < 0)
            return -1;
    }

    return 0;
}

static int
vireoInterfaceOpenEthernet(virDomainNetDef *net,
                           int *tapFD)
{
    unsigned int flags = VIR_NETDEV_TAP_CREATE_VNET_HDR;
    virMacAddr mac;

    if (net->managed_tap == VIR_TRISTATE_BOOL_NO) {
        return virNetDevTapCreate(&net->ifname, VIREO_TUN_PATH, tapFD, 1,
                                  flags | VIR_NETDEV_TAP_CREATE_ALLOW_EXISTING);
    }

    if (virNetDevTapCreate(&net->ifname, VIREO_TUN_PATH, tapFD, 1, flags) < 0)
        return -1;

    /* The host's end must not have the guest's address. */
    virMacAddrSet(&mac, &net->mac);
    mac.addr[0] = mac.addr[0] == 0xFE ? 0xFA : 0xFE;
    if (virNetDevSetMAC(net->ifname, &mac) < 0)
        return -1;
    if (net->mtu > 0 && virNetDevSetMTU(net->ifname, net->mtu) < 0)
        return -1;

    return virNetDevSetOnline(net->ifname, true);
}

static int
vireoInterfaceOpenTap(virDomainObj *vm,
                      virDomainNetDef *net,
                      virDomainNetType type,
                      int *tapFD)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const virNetDevBandwidth *bandwidth = virDomainNetGetActualBandwidth(net);

    if (!priv->driver->privileged && type != VIR_DOMAIN_NET_TYPE_ETHERNET) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("a bridge needs the system daemon; <interface type='user'> does not"));
        return -1;
    }

    if (type == VIR_DOMAIN_NET_TYPE_ETHERNET) {
        if (vireoInterfaceOpenEthernet(net, tapFD) < 0)
            return -1;
    } else if (vireoInterfaceOpenBridge(vm, net, tapFD) < 0) {
        return -1;
    }

    if (virSecurityManagerSetTapFDLabel(priv->driver->securityManager, vm->def, *tapFD) < 0)
        return -1;
    if (bandwidth &&
        virNetDevBandwidthSet(net->ifname, bandwidth, false,
                              !virDomainNetTypeSharesHostView(net)) < 0)
        return -1;
    if (net->filter &&
        virDomainConfNWFilterInstantiate(vm->def->name, vm->def->uuid, net, false) < 0)
        return -1;

    return 0;
}

static int
vireoInterfaceAllocate(virDomainObj *vm,
                       virDomainNetDef *net)
{
    g_autoptr(virConnect) conn = NULL;

    if (net->type != VIR_DOMAIN_NET_TYPE_NETWORK)
        return 0;

    if (!(conn = virGetConnectNetwork()))
        return -1;

    return virDomainNetAllocateActualDevice(conn, vm->def, net);
}

int
vireoInterfaceStart(virDomainObj *vm,
                    virDomainNetDef *net,
                    int *tapFD)
{
    bool named = net->ifname != NULL;
    virDomainNetType type;
    int ret = -1;

    *tapFD = -1;
    if (vireoInterfaceAllocate(vm, net) < 0)
        return -1;

    type = virDomainNetGetActualType(net);
    switch (type) {
    case VIR_DOMAIN_NET_TYPE_USER:
        ret = vireoPasstStart(vm, net, tapFD);
        break;
    case VIR_DOMAIN_NET_TYPE_NETWORK:
    case VIR_DOMAIN_NET_TYPE_BRIDGE:
    case VIR_DOMAIN_NET_TYPE_ETHERNET:
        ret = vireoInterfaceOpenTap(vm, net, type, tapFD);
        virDomainAuditNetDevice(vm->def, net, VIREO_TUN_PATH, ret == 0);
        break;
    default:
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support networks that forward by '%s'"),
                       virDomainNetTypeToString(type));
        break;
    }

    if (ret < 0) {
        vireoInterfaceStop(vm, net);
        VIR_FORCE_CLOSE(*tapFD);
        if (!named)
            g_clear_pointer(&net->ifname, g_free);
    }

    return ret;
}

void
vireoInterfaceStop(virDomainObj *vm,
                   virDomainNetDef *net)
{
    virErrorPtr saved;

    virErrorPreserveLast(&saved);

    if (net->ifname) {
        const virNetDevVPortProfile *profile = virDomainNetGetActualVirtPortProfile(net);

        virDomainConfNWFilterTeardown(net);
        if (profile && profile->virtPortType == VIR_NETDEV_VPORT_PROFILE_OPENVSWITCH)
            ignore_value(virNetDevOpenvswitchRemovePort(virDomainNetGetActualBridgeName(net),
                                                        net->ifname));
    }

    if (net->type == VIR_DOMAIN_NET_TYPE_NETWORK && net->data.network.actual) {
        g_autoptr(virConnect) conn = virGetConnectNetwork();

        if (!conn || virDomainNetReleaseActualDevice(conn, vm->def, net) < 0)
            VIR_WARN("the port of interface %s of domain %s could not be released: %s",
                     NULLSTR(net->info.alias), vm->def->name, virGetLastErrorMessage());
        g_clear_pointer(&net->data.network.actual, virDomainActualNetDefFree);
    }

    virErrorRestore(&saved);
}

void
vireoInterfaceReconnect(virDomainObj *vm)
{
    g_autoptr(virConnect) conn = NULL;
    size_t i;

    for (i = 0; i < vm->def->nnets; i++) {
        virDomainNetDef *net = vm->def->nets[i];
        virDomainNetType type = virDomainNetGetActualType(net);

        if (type == VIR_DOMAIN_NET_TYPE_USER)
            continue;
        if (net->type == VIR_DOMAIN_NET_TYPE_NETWORK && !conn &&
            !(conn = virGetConnectNetwork()))
            VIR_WARN("no connection to the network driver: %s", virGetLastErrorMessage());
        virDomainNetNotifyActualDevice(conn, vm->def, net);
        if (net->filter &&
            virDomainConfNWFilterInstantiate(vm->def->name, vm->def->uuid, net, true) < 0)
            VIR_WARN("the filter of interface %s of domain %s could not be restored: %s",
                     net->ifname, vm->def->name, virGetLastErrorMessage());
    }
}
