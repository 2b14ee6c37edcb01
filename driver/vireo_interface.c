/*
 * vireo_interface.c: the host side of network interfaces
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>

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
#include "virnetdevmacvlan.h"
#include "virnetdevopenvswitch.h"
#include "virnetdevtap.h"

#include "vireo_barrier.h"
#include "vireo_interface.h"
#include "vireo_passt.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_interface");

#define VIREO_TUN_PATH "/dev/net/tun"
#define VIREO_VHOST_PATH "/dev/vhost-net"

static const char *
vireoInterfaceTunPath(const virDomainNetDef *net)
{
    return net->backend.tap ? net->backend.tap : VIREO_TUN_PATH;
}

int
vireoInterfaceFillBridgeTable(const virDomainNetDef *net)
{
    const char *bridge = virDomainNetGetActualBridgeName(net);

    if (virDomainNetGetActualBridgeMACTableManager(net) !=
        VIR_NETWORK_BRIDGE_MAC_TABLE_MANAGER_LIBVIRT)
        return 0;

    if (virNetDevBridgePortSetLearning(bridge, net->ifname, false) < 0 ||
        virNetDevBridgePortSetUnicastFlood(bridge, net->ifname, false) < 0 ||
        virNetDevBridgeFDBAdd(&net->mac, net->ifname,
                              VIR_NETDEVBRIDGE_FDB_FLAG_MASTER |
                              VIR_NETDEVBRIDGE_FDB_FLAG_TEMP) < 0)
        return -1;

    return 0;
}

static int
vireoInterfaceOpenBridge(virDomainObj *vm,
                         virDomainNetDef *net,
                         vireoInterfaceFDs *fds)
{
    const char *bridge = virDomainNetGetActualBridgeName(net);

    if (!bridge) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("interface '%s' has no bridge"), net->info.alias);
        return -1;
    }

    if (virNetDevTapCreateInBridgePort(bridge, &net->ifname, &net->mac, vm->def->uuid,
                                       vireoInterfaceTunPath(net), fds->fds, fds->nfds,
                                       virDomainNetGetActualVirtPortProfile(net),
                                       virDomainNetGetActualVlan(net),
                                       virDomainNetGetActualPortOptionsIsolated(net),
                                       net->coalesce, net->mtu, NULL,
                                       VIR_NETDEV_TAP_CREATE_IFUP |
                                       VIR_NETDEV_TAP_CREATE_VNET_HDR) < 0)
        return -1;

    return vireoInterfaceFillBridgeTable(net);
}

static int
vireoInterfaceOpenEthernet(virDomainNetDef *net,
                           vireoInterfaceFDs *fds)
{
    unsigned int flags = VIR_NETDEV_TAP_CREATE_VNET_HDR;
    virMacAddr mac;

    if (net->managed_tap == VIR_TRISTATE_BOOL_NO) {
        return virNetDevTapCreate(&net->ifname, vireoInterfaceTunPath(net), fds->fds, fds->nfds,
                                  flags | VIR_NETDEV_TAP_CREATE_ALLOW_EXISTING);
    }

    if (virNetDevTapCreate(&net->ifname, vireoInterfaceTunPath(net), fds->fds, fds->nfds, flags) < 0)
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

/* A tap that is a port of a device of the host by itself. */
static int
vireoInterfaceOpenDirect(virDomainObj *vm,
                         virDomainNetDef *net,
                         vireoInterfaceFDs *fds)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const char *device = virDomainNetGetActualDirectDev(net);
    int mode = virDomainNetGetActualDirectMode(net);
    char *name = NULL;

    if (virNetDevMacVLanCreateWithVPortProfile(net->ifname, &net->mac, device, mode,
                                               virDomainNetGetActualVlan(net), vm->def->uuid,
                                               virDomainNetGetActualVirtPortProfile(net), &name,
                                               VIR_NETDEV_VPORT_PROFILE_OP_CREATE,
                                               priv->driver->config->stateDir,
                                               fds->fds, fds->nfds,
                                               VIR_NETDEV_MACVLAN_CREATE_WITH_TAP |
                                               VIR_NETDEV_MACVLAN_VNET_HDR) < 0)
        return -1;
    g_free(net->ifname);
    net->ifname = name;

    if (mode == VIR_NETDEV_MACVLAN_MODE_PASSTHRU && virNetDevSetOnline(device, true) < 0)
        return -1;

    return virNetDevSetOnline(net->ifname, true);
}

static int
vireoInterfaceSetBandwidth(virDomainObj *vm,
                           virDomainNetDef *net)
{
    const virNetDevBandwidth *bandwidth = virDomainNetGetActualBandwidth(net);

    if (!bandwidth)
        return 0;
    if (virDomainNetDefIsOvsport(net))
        return virNetDevOpenvswitchInterfaceSetQos(net->ifname, bandwidth, vm->def->uuid,
                                                   !virDomainNetTypeSharesHostView(net));

    return virNetDevBandwidthSet(net->ifname, bandwidth, false,
                                 !virDomainNetTypeSharesHostView(net));
}

/* Unless the XML has it otherwise, vhost is there to be used where the host has it. */
static int
vireoInterfaceOpenVhost(virDomainNetDef *net,
                        vireoInterfaceFDs *fds)
{
    const char *path = net->backend.vhost ? net->backend.vhost : VIREO_VHOST_PATH;
    size_t i;

    if (net->driver.virtio.name == VIR_DOMAIN_NET_DRIVER_TYPE_QEMU)
        return 0;

    fds->vhostFDs = g_new0(int, fds->nfds);
    for (i = 0; i < fds->nfds; i++) {
        int fd = open(path, O_RDWR | O_CLOEXEC);

        if (fd < 0 && net->driver.virtio.name == VIR_DOMAIN_NET_DRIVER_TYPE_VHOST) {
            virReportSystemError(errno,
                                 _("interface '%s' asks for vhost, and '%s' cannot be opened"),
                                 net->info.alias, path);
            return -1;
        }
        if (fd < 0) {
            while (fds->nvhostFDs > 0)
                VIR_FORCE_CLOSE(fds->vhostFDs[--fds->nvhostFDs]);
            return 0;
        }
        fds->vhostFDs[fds->nvhostFDs++] = fd;
    }

    return 0;
}

static int
vireoInterfaceOpenTap(virDomainObj *vm,
                      virDomainNetDef *net,
                      virDomainNetType type,
                      vireoInterfaceFDs *fds)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    if (!priv->driver->privileged && type != VIR_DOMAIN_NET_TYPE_ETHERNET) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("a bridge needs the system daemon; <interface type='user'> does not"));
        return -1;
    }
    if (!priv->driver->privileged && (net->backend.tap || net->backend.vhost)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("<backend tap> and <backend vhost> are the system daemon's"));
        return -1;
    }
    /* What a network's interfaces are is known only now. */
    if (net->trustGuestRxFilters == VIR_TRISTATE_BOOL_YES && type != VIR_DOMAIN_NET_TYPE_DIRECT) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("trustGuestRxFilters='yes' of interface '%s', which is no macvtap"),
                       net->info.alias);
        return -1;
    }

    if (type == VIR_DOMAIN_NET_TYPE_ETHERNET) {
        if (vireoInterfaceOpenEthernet(net, fds) < 0)
            return -1;
    } else if (type == VIR_DOMAIN_NET_TYPE_DIRECT) {
        if (vireoInterfaceOpenDirect(vm, net, fds) < 0)
            return -1;
    } else if (vireoInterfaceOpenBridge(vm, net, fds) < 0) {
        return -1;
    }

    for (i = 0; i < fds->nfds; i++) {
        if (virSecurityManagerSetTapFDLabel(priv->driver->securityManager, vm->def,
                                            fds->fds[i]) < 0)
            return -1;
    }
    if (vireoInterfaceOpenVhost(net, fds) < 0 ||
        vireoInterfaceSetBandwidth(vm, net) < 0)
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

void
vireoInterfaceFDsClear(vireoInterfaceFDs *fds)
{
    size_t i;

    for (i = 0; i < fds->nfds; i++)
        VIR_FORCE_CLOSE(fds->fds[i]);
    for (i = 0; i < fds->nvhostFDs; i++)
        VIR_FORCE_CLOSE(fds->vhostFDs[i]);
    g_clear_pointer(&fds->fds, g_free);
    g_clear_pointer(&fds->vhostFDs, g_free);
    fds->nfds = fds->nvhostFDs = 0;
}

static void
vireoInterfaceFDsPrepare(vireoInterfaceFDs *fds,
                         size_t nfds)
{
    size_t i;

    fds->fds = g_new0(int, nfds);
    fds->nfds = nfds;
    for (i = 0; i < nfds; i++)
        fds->fds[i] = -1;
}

/* Its switch is found by its socket; Open vSwitch knows of the port by a name, too. */
static int
vireoInterfaceFindPort(virDomainNetDef *net)
{
    const virDomainChrSourceDef *source = net->data.vhostuser;
    g_autofree char *name = NULL;
    int rc = virNetDevOpenvswitchGetVhostuserIfname(source->data.nix.path, source->data.nix.listen,
                                                    &name);

    if (rc < 0)
        return -1;
    if (rc > 0) {
        g_free(net->ifname);
        net->ifname = g_steal_pointer(&name);
    }

    return 0;
}

int
vireoInterfaceStart(virDomainObj *vm,
                    virDomainNetDef *net,
                    vireoInterfaceFDs *fds)
{
    bool named = net->ifname != NULL;
    virDomainNetType type;
    int ret = -1;

    if (vireoInterfaceAllocate(vm, net) < 0)
        return -1;

    type = virDomainNetGetActualType(net);
    if (type == VIR_DOMAIN_NET_TYPE_VHOSTUSER)
        return vireoInterfaceFindPort(net);
    vireoInterfaceFDsPrepare(fds, MAX(net->driver.virtio.queues, 1));
    switch (type) {
    case VIR_DOMAIN_NET_TYPE_USER:
        ret = vireoPasstStart(vm, net, &fds->fds[0]);
        break;
    case VIR_DOMAIN_NET_TYPE_NETWORK:
    case VIR_DOMAIN_NET_TYPE_BRIDGE:
    case VIR_DOMAIN_NET_TYPE_ETHERNET:
    case VIR_DOMAIN_NET_TYPE_DIRECT:
        ret = vireoInterfaceOpenTap(vm, net, type, fds);
        virDomainAuditNetDevice(vm->def, net, vireoInterfaceTunPath(net), ret == 0);
        break;
    default:
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support networks that forward by '%s'"),
                       virDomainNetTypeToString(type));
        break;
    }

    if (ret < 0) {
        vireoInterfaceStop(vm, net);
        vireoInterfaceFDsClear(fds);
        if (!named)
            g_clear_pointer(&net->ifname, g_free);
    }

    return ret;
}

/* Unlike a tap, it does not go with its last descriptor. */
static void
vireoInterfaceDeleteDirect(virDomainObj *vm,
                           virDomainNetDef *net)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virNetDevMacVLanDeleteWithVPortProfile(net->ifname, &net->mac,
                                               virDomainNetGetActualDirectDev(net),
                                               virDomainNetGetActualDirectMode(net),
                                               virDomainNetGetActualVirtPortProfile(net),
                                               priv->driver->config->stateDir) < 0)
        VIR_WARN("interface %s of domain %s could not be deleted: %s",
                 net->ifname, vm->def->name, virGetLastErrorMessage());
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
        vireoBarrierOpen(vm, net->ifname);
        if (virDomainNetDefIsOvsport(net) && virDomainNetGetActualBandwidth(net))
            ignore_value(virNetDevOpenvswitchInterfaceClearQos(net->ifname, vm->def->uuid));
        if (virDomainNetGetActualType(net) == VIR_DOMAIN_NET_TYPE_DIRECT)
            vireoInterfaceDeleteDirect(vm, net);
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

int
vireoInterfaceGetStats(const virDomainNetDef *net,
                       virDomainInterfaceStatsPtr stats)
{
    if (net->type == VIR_DOMAIN_NET_TYPE_VHOSTUSER)
        return virNetDevOpenvswitchInterfaceStats(net->ifname, stats);

    return virNetDevTapInterfaceStats(net->ifname, stats, !virDomainNetTypeSharesHostView(net));
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
        /* Names are made by counting up, which begins anew with the daemon. */
        if (net->ifname)
            virNetDevReserveName(net->ifname);
        virDomainNetNotifyActualDevice(conn, vm->def, net);
        /* What is there may be another one that was about to take its place. */
        if (vireoBarrierIsClosed(vm, net->ifname))
            virDomainConfNWFilterTeardown(net);
        if (!net->filter ||
            virDomainConfNWFilterInstantiate(vm->def->name, vm->def->uuid, net, true) == 0)
            vireoBarrierOpen(vm, net->ifname);
        else
            VIR_WARN("the filter of interface %s of domain %s could not be restored: %s",
                     net->ifname, vm->def->name, virGetLastErrorMessage());
    }
}
