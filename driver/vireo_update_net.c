/*
 * vireo_update_net.c: new settings of the interfaces of a running domain
 *
 * What the guest sees of a card is there for good, but for its link. What the host does with the
 * frames is not: how fast they may come and go, through which filter, to which bridge.
 *
 * What changed is found by comparing XML, without what may change: so nothing that libvirt's XML
 * can say of an interface is overlooked.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "datatypes.h"
#include "domain_audit.h"
#include "domain_nwfilter.h"
#include "netdev_bandwidth_conf.h"
#include "netdev_vlan_conf.h"
#include "nwfilter_params.h"
#include "viralloc.h"
#include "virbuffer.h"
#include "virerror.h"
#include "virlog.h"
#include "virnetdev.h"
#include "virnetdevbandwidth.h"
#include "virnetdevbridge.h"
#include "virnetdevvportprofile.h"

#include "vireo_bandwidth.h"
#include "vireo_barrier.h"
#include "vireo_interface.h"
#include "vireo_qmp.h"
#include "vireo_update.h"
#include "vireo_update_net.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_update_net");

static char *
vireoUpdateNetFormat(virDomainXMLOption *xmlopt,
                     virDomainNetDef *net,
                     unsigned int flags)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

    if (virDomainNetDefFormat(&buf, net, xmlopt, flags) < 0)
        return NULL;

    return virBufferContentAndReset(&buf);
}

static bool
vireoUpdateNetIsBridged(virDomainNetType type)
{
    return type == VIR_DOMAIN_NET_TYPE_NETWORK || type == VIR_DOMAIN_NET_TYPE_BRIDGE;
}

/* What the host can do otherwise at any time is left out of @net. */
static void
vireoUpdateNetForget(virDomainNetDef *net)
{
    g_clear_pointer(&net->bandwidth, virNetDevBandwidthFree);
    g_clear_pointer(&net->filter, g_free);
    g_clear_pointer(&net->filterparams, g_hash_table_unref);
    g_clear_pointer(&net->coalesce, g_free);
    net->isolatedPort = VIR_TRISTATE_BOOL_ABSENT;

    if (!vireoUpdateNetIsBridged(net->type))
        return;
    if (net->type == VIR_DOMAIN_NET_TYPE_NETWORK) {
        g_clear_pointer(&net->data.network.name, g_free);
        g_clear_pointer(&net->data.network.portgroup, g_free);
        g_clear_pointer(&net->data.network.actual, virDomainActualNetDefFree);
    } else {
        g_clear_pointer(&net->data.bridge.brname, g_free);
    }
    net->type = VIR_DOMAIN_NET_TYPE_BRIDGE;
    net->data.bridge.brname = g_strdup("any");
}

/* @net, described with @flags, as the user would say it: without the link, and if @forget
 * without what may change besides. NULL with an error reported. */
static char *
vireoUpdateNetText(virDomainDef *def,
                   virDomainXMLOption *xmlopt,
                   virDomainNetDef *net,
                   unsigned int flags,
                   bool forget)
{
    g_autofree char *shown = vireoUpdateNetFormat(xmlopt, net, flags);
    g_autoptr(virDomainDeviceDef) dev = NULL;

    if (!shown || !(dev = vireoUpdateParse(def, xmlopt, shown)))
        return NULL;

    dev->data.net->linkstate = VIR_DOMAIN_NET_INTERFACE_LINK_STATE_DEFAULT;
    if (forget)
        vireoUpdateNetForget(dev->data.net);

    return vireoUpdateNetFormat(xmlopt, dev->data.net, VIR_DOMAIN_DEF_FORMAT_INACTIVE);
}

/* The first line of @text that is not in @other, without its indentation: of an element that
 * says something, or one around it. NULL: there is none. */
static char *
vireoUpdateNetNewLine(const char *text,
                      const char *other)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
    g_auto(GStrv) others = g_strsplit(other, "\n", 0);
    const char *around = NULL;
    size_t i;

    for (i = 0; lines[i]; i++) {
        if (g_strv_contains((const char *const *)others, lines[i]))
            continue;
        g_strstrip(lines[i]);
        if (strchr(lines[i], '='))
            return g_strdup(lines[i]);
        if (!around)
            around = lines[i];
    }

    return g_strdup(around);
}

/* Whether @wanted is @old, in either way of describing that. If it is not, and @difference is
 * not NULL, that is set to a line of XML that only one of them has. -1: an error is reported. */
static int
vireoUpdateNetSame(virDomainDef *def,
                   virDomainXMLOption *xmlopt,
                   virDomainNetDef *old,
                   virDomainNetDef *wanted,
                   bool forget,
                   char **difference)
{
    const unsigned int views[] = { 0, VIR_DOMAIN_DEF_FORMAT_INACTIVE };
    g_autofree char *text = vireoUpdateNetText(def, xmlopt, wanted, VIR_DOMAIN_DEF_FORMAT_INACTIVE,
                                               forget);
    size_t i;

    if (!text)
        return -1;

    for (i = 0; i < G_N_ELEMENTS(views); i++) {
        g_autofree char *again = vireoUpdateNetText(def, xmlopt, old, views[i], forget);

        if (!again)
            return -1;
        if (STREQ(again, text))
            return 1;
        if (!difference)
            continue;
        g_free(*difference);
        if (!(*difference = vireoUpdateNetNewLine(text, again)))
            *difference = vireoUpdateNetNewLine(again, text);
    }

    return 0;
}

static void
vireoUpdateNetFill(virDomainNetDef *wanted,
                   const virDomainNetDef *old)
{
    if (wanted->info.type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_NONE) {
        wanted->info.type = old->info.type;
        wanted->info.addr = old->info.addr;
    }
    if (!wanted->info.bootIndex)
        wanted->info.bootIndex = old->info.bootIndex;
    if (!wanted->info.alias)
        wanted->info.alias = g_strdup(old->info.alias);
    if (!wanted->ifname)
        wanted->ifname = g_strdup(old->ifname);
}

int
vireoUpdateNetCheck(virDomainDef *def,
                    virDomainXMLOption *xmlopt,
                    virDomainNetDef *old,
                    virDomainNetDef *wanted)
{
    g_autofree char *difference = NULL;
    int same;

    vireoUpdateNetFill(wanted, old);
    if ((same = vireoUpdateNetSame(def, xmlopt, old, wanted, false, NULL)) != 0)
        return same > 0 ? 0 : -1;
    if ((same = vireoUpdateNetSame(def, xmlopt, old, wanted, true, &difference)) != 0)
        return same;

    virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                   _("Vireo cannot change %s of an interface of a running domain"),
                   difference ? difference : "the order");
    return -1;
}

static bool
vireoUpdateNetFilters(const virDomainNetDef *from,
                      const virDomainNetDef *to)
{
    return STRNEQ_NULLABLE(from->filter, to->filter) ||
           !virNWFilterHashTableEqual(from->filterparams, to->filterparams);
}

/* What can be compared only now that both are known to the network they are of. */
static int
vireoUpdateNetCheckActual(const virDomainNetDef *old,
                          const virDomainNetDef *wanted)
{
    virDomainNetType type = virDomainNetGetActualType(wanted);
    virDomainNetType oldType = virDomainNetGetActualType(old);
    bool moves = STRNEQ_NULLABLE(virDomainNetGetActualBridgeName(old),
                                 virDomainNetGetActualBridgeName(wanted));
    bool filters = vireoUpdateNetFilters(old, wanted);
    const struct {
        bool differs;
        const char *what;
    } differences[] = {
        { type != oldType && !(vireoUpdateNetIsBridged(type) && vireoUpdateNetIsBridged(oldType)),
          "the type" },
        { STRNEQ_NULLABLE(virDomainNetGetActualDirectDev(old),
                          virDomainNetGetActualDirectDev(wanted)) ||
          virDomainNetGetActualDirectMode(old) != virDomainNetGetActualDirectMode(wanted),
          "the <source dev>" },
        { !virNetDevVPortProfileEqual(virDomainNetGetActualVirtPortProfile(old),
                                      virDomainNetGetActualVirtPortProfile(wanted)),
          "the <virtualport>" },
        { !virNetDevVlanEqual(virDomainNetGetActualVlan(old), virDomainNetGetActualVlan(wanted)),
          "the <vlan>" },
        { moves && virDomainNetGetActualVirtPortProfile(old), "the bridge of a <virtualport>" },
        { filters && type == VIR_DOMAIN_NET_TYPE_DIRECT, "the <filterref> of a macvtap" },
        { !old->ifname, "what the host does with frames" },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(differences); i++) {
        if (differences[i].differs) {
            virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                           _("Vireo cannot change %s of an interface of a running domain"),
                           differences[i].what);
            return -1;
        }
    }

    return 0;
}

static int
vireoUpdateNetPlug(virDomainNetDef *net)
{
    const char *bridge = virDomainNetGetActualBridgeName(net);

    if (virNetDevBridgeAddPort(bridge, net->ifname) < 0)
        return -1;
    if ((virDomainNetGetActualPortOptionsIsolated(net) == VIR_TRISTATE_BOOL_YES &&
         virNetDevBridgePortSetIsolated(bridge, net->ifname, true) < 0) ||
        vireoInterfaceFillBridgeTable(net) < 0) {
        virErrorPtr saved;

        virErrorPreserveLast(&saved);
        ignore_value(virNetDevBridgeRemovePort(bridge, net->ifname));
        virErrorRestore(&saved);
        return -1;
    }

    return 0;
}

static int
vireoUpdateNetMove(virDomainNetDef *from,
                   virDomainNetDef *to)
{
    const char *bridge = virDomainNetGetActualBridgeName(to);
    const char *oldBridge = virDomainNetGetActualBridgeName(from);
    virErrorPtr saved;

    if (!bridge || virNetDevExists(bridge) != 1) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("there is no bridge '%s'"), NULLSTR(bridge));
        return -1;
    }

    /* It may have gone meanwhile, and come back without its ports. */
    if (virNetDevBridgeRemovePort(oldBridge, from->ifname) < 0)
        VIR_WARN("interface %s could not leave bridge %s: %s",
                 from->ifname, oldBridge, virGetLastErrorMessage());
    if (vireoUpdateNetPlug(to) < 0) {
        virErrorPreserveLast(&saved);
        ignore_value(vireoUpdateNetPlug(from));
        virErrorRestore(&saved);
        return -1;
    }

    return 0;
}

static int
vireoUpdateNetBridge(virDomainNetDef *from,
                     virDomainNetDef *to)
{
    virTristateBool isolated = virDomainNetGetActualPortOptionsIsolated(to);

    if (STRNEQ_NULLABLE(virDomainNetGetActualBridgeName(from),
                        virDomainNetGetActualBridgeName(to)))
        return vireoUpdateNetMove(from, to);
    if (virDomainNetGetActualPortOptionsIsolated(from) == isolated)
        return 0;

    return virNetDevBridgePortSetIsolated(virDomainNetGetActualBridgeName(to), to->ifname,
                                          isolated == VIR_TRISTATE_BOOL_YES);
}

static int
vireoUpdateNetBandwidth(virDomainNetDef *from,
                        virDomainNetDef *to)
{
    const virNetDevBandwidth *bandwidth = virDomainNetGetActualBandwidth(to);

    if (virNetDevBandwidthEqual(virDomainNetGetActualBandwidth(from), bandwidth))
        return 0;
    if (vireoBandwidthCheck(to, bandwidth) < 0)
        return -1;

    return vireoBandwidthApplyHost(to, bandwidth);
}

static int
vireoUpdateNetFilter(virDomainObj *vm,
                     virDomainNetDef *from,
                     virDomainNetDef *to)
{
    if (!vireoUpdateNetFilters(from, to))
        return 0;

    virDomainConfNWFilterTeardown(from);
    if (!to->filter)
        return 0;

    return virDomainConfNWFilterInstantiate(vm->def->name, vm->def->uuid, to, false);
}

static int
vireoUpdateNetCoalesce(virDomainNetDef *from,
                       virDomainNetDef *to)
{
    if (!from->coalesce && !to->coalesce)
        return 0;
    if (from->coalesce && to->coalesce &&
        memcmp(from->coalesce, to->coalesce, sizeof(*to->coalesce)) == 0)
        return 0;

    return virNetDevSetCoalesce(to->ifname, to->coalesce, true);
}

/* Has the host do what @to says where that is not what @from does. */
static int
vireoUpdateNetHost(virDomainObj *vm,
                   virDomainNetDef *from,
                   virDomainNetDef *to)
{
    /* Nothing passes on the way from one filter to another, nor if neither can be had. */
    if ((vireoUpdateNetFilters(from, to) && vireoBarrierClose(vm, to->ifname) < 0) ||
        vireoUpdateNetBridge(from, to) < 0 ||
        vireoUpdateNetBandwidth(from, to) < 0 ||
        vireoUpdateNetFilter(vm, from, to) < 0 ||
        vireoUpdateNetCoalesce(from, to) < 0)
        return -1;

    vireoBarrierOpen(vm, to->ifname);
    return 0;
}

static void
vireoUpdateNetRelease(virDomainObj *vm,
                      virConnect *conn,
                      virDomainNetDef *net)
{
    if (net->type == VIR_DOMAIN_NET_TYPE_NETWORK && net->data.network.actual &&
        (!conn || virDomainNetReleaseActualDevice(conn, vm->def, net) < 0))
        VIR_WARN("the port of interface %s of domain %s could not be released: %s",
                 NULLSTR(net->info.alias), vm->def->name, virGetLastErrorMessage());
}

/* Puts @dev's interface in the place of @slot's, on the host and in the definition. */
static int
vireoUpdateNetReplace(virDomainObj *vm,
                      virDomainNetDef **slot,
                      virDomainDeviceDef *dev)
{
    virDomainNetDef *old = *slot;
    virDomainNetDef *wanted = dev->data.net;
    bool networked = old->type == VIR_DOMAIN_NET_TYPE_NETWORK ||
                     wanted->type == VIR_DOMAIN_NET_TYPE_NETWORK;
    g_autoptr(virConnect) conn = networked ? virGetConnectNetwork() : NULL;
    virDomainDeviceInfo info;
    virErrorPtr saved;
    int ret;

    if (networked && !conn)
        return -1;
    if (wanted->type == VIR_DOMAIN_NET_TYPE_NETWORK &&
        virDomainNetAllocateActualDevice(conn, vm->def, wanted) < 0)
        return -1;

    if ((ret = vireoUpdateNetCheckActual(old, wanted)) == 0 &&
        (ret = vireoUpdateNetHost(vm, old, wanted)) < 0) {
        virErrorPreserveLast(&saved);
        if (vireoUpdateNetHost(vm, wanted, old) < 0 && vireoBarrierIsClosed(vm, old->ifname))
            VIR_ERROR(_("interface %s of domain %s passes nothing, for it has no filter: %s"), old->ifname,
                      vm->def->name, virGetLastErrorMessage());
        virErrorRestore(&saved);
    }
    virDomainAuditNet(vm, old, wanted, "update", ret == 0);
    if (ret < 0) {
        virErrorPreserveLast(&saved);
        vireoUpdateNetRelease(vm, conn, wanted);
        virErrorRestore(&saved);
        return -1;
    }

    vireoUpdateNetRelease(vm, conn, old);
    info = wanted->info;
    wanted->info = old->info;
    old->info = info;
    wanted->linkstate = old->linkstate;
    virDomainNetDefFree(old);
    *slot = g_steal_pointer(&dev->data.net);
    return 0;
}

int
vireoUpdateNet(virDomainObj *vm,
               virDomainDeviceDef *dev)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int idx = virDomainNetFindIdx(vm->def, dev->data.net);
    int linkstate = dev->data.net->linkstate;
    virDomainNetDef *net;
    int rc;

    if (idx < 0 ||
        (rc = vireoUpdateNetCheck(vm->def, priv->driver->xmlopt, vm->def->nets[idx],
                                  dev->data.net)) < 0 ||
        (rc > 0 && vireoUpdateNetReplace(vm, &vm->def->nets[idx], dev) < 0))
        return -1;

    net = vm->def->nets[idx];
    if (linkstate != net->linkstate &&
        vireoQmpSetLink(vm, net->info.alias,
                        linkstate != VIR_DOMAIN_NET_INTERFACE_LINK_STATE_DOWN) < 0)
        return -1;

    net->linkstate = linkstate;
    return 0;
}
