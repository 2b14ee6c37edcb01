/*
 * vireo_rx_filter.c: host devices that follow what guests want to receive
 *
 * A macvtap passes on what is for its own address, and for the groups that it has
 * joined. With trustGuestRxFilters='yes' these are the guest's. The monitor tells of
 * a change once, and again after it was asked what has changed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"
#include "virnetdev.h"

#include "vireo_qmp.h"
#include "vireo_rx_filter.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_rx_filter");

bool
vireoRxFilterIsFollowed(const virDomainNetDef *net)
{
    return virDomainNetGetActualType(net) == VIR_DOMAIN_NET_TYPE_DIRECT &&
        virDomainNetGetActualTrustGuestRxFilters(net) && net->ifname;
}

static int
vireoRxFilterParseGroups(virJSONValue *table,
                         virNetDevRxFilter *filter)
{
    size_t n = virJSONValueArraySize(table);
    size_t i;

    filter->multicast.table = g_new0(virMacAddr, n);
    for (i = 0; i < n; i++) {
        const char *text = virJSONValueGetString(virJSONValueArrayGet(table, i));

        if (!text || virMacAddrParse(text, &filter->multicast.table[i]) < 0)
            return -1;
        filter->multicast.nTable = i + 1;
    }

    return 0;
}

static virNetDevRxFilter *
vireoRxFilterParse(virJSONValue *info)
{
    g_autoptr(virNetDevRxFilter) filter = virNetDevRxFilterNew();
    const char *mac = virJSONValueObjectGetString(info, "main-mac");
    const char *mode = virJSONValueObjectGetString(info, "multicast");
    virJSONValue *groups = virJSONValueObjectGetArray(info, "multicast-table");
    bool overflow = false;

    if (!mac || virMacAddrParse(mac, &filter->mac) < 0 || !mode || !groups ||
        (filter->multicast.mode = virNetDevRxFilterModeTypeFromString(mode)) < 0 ||
        virJSONValueObjectGetBoolean(info, "promiscuous", &filter->promiscuous) < 0 ||
        virJSONValueObjectGetBoolean(info, "multicast-overflow", &overflow) < 0 ||
        vireoRxFilterParseGroups(groups, filter) < 0)
        return NULL;
    if (overflow && filter->multicast.mode == VIR_NETDEV_RX_FILTER_MODE_NORMAL)
        filter->multicast.mode = VIR_NETDEV_RX_FILTER_MODE_ALL;

    return g_steal_pointer(&filter);
}

static virNetDevRxFilter *
vireoRxFilterQuery(virDomainObj *vm,
                   virDomainNetDef *net)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) result = NULL;
    virNetDevRxFilter *filter = NULL;

    if (virJSONValueObjectAdd(&args, "s:name", net->info.alias, NULL) < 0 ||
        vireoQmpCommand(vm, "query-rx-filter", &args, &result) < 0)
        return NULL;
    if (virJSONValueIsArray(result) && virJSONValueArraySize(result) == 1)
        filter = vireoRxFilterParse(virJSONValueArrayGet(result, 0));
    if (!filter)
        virReportError(VIR_ERR_INTERNAL_ERROR, "%s",
                       _("the reply to query-rx-filter is not what it should be"));

    return filter;
}

static bool
vireoRxFilterHasGroup(const virNetDevRxFilter *filter,
                      const virMacAddr *group)
{
    size_t i;

    for (i = 0; i < filter->multicast.nTable; i++) {
        if (virMacAddrCmp(&filter->multicast.table[i], group) == 0)
            return true;
    }

    return false;
}

static int
vireoRxFilterJoin(const char *ifname,
                  const virNetDevRxFilter *guest,
                  const virNetDevRxFilter *host)
{
    size_t i;

    for (i = 0; i < guest->multicast.nTable; i++) {
        if (!vireoRxFilterHasGroup(host, &guest->multicast.table[i]) &&
            virNetDevAddMulti(ifname, &guest->multicast.table[i]) < 0)
            return -1;
    }
    for (i = 0; i < host->multicast.nTable; i++) {
        if (!vireoRxFilterHasGroup(guest, &host->multicast.table[i]) &&
            virNetDevDelMulti(ifname, &host->multicast.table[i]) < 0)
            return -1;
    }

    return 0;
}

static int
vireoRxFilterApply(const char *ifname,
                   const virNetDevRxFilter *guest)
{
    g_autoptr(virNetDevRxFilter) host = NULL;

    if (virNetDevGetRxFilter(ifname, &host) < 0)
        return -1;

    if (virMacAddrCmp(&guest->mac, &host->mac) != 0 && virNetDevSetMAC(ifname, &guest->mac) < 0)
        return -1;
    if (guest->promiscuous != host->promiscuous &&
        virNetDevSetPromiscuous(ifname, guest->promiscuous) < 0)
        return -1;
    if (guest->multicast.mode != host->multicast.mode &&
        (virNetDevSetRcvMulti(ifname,
                              guest->multicast.mode != VIR_NETDEV_RX_FILTER_MODE_NONE) < 0 ||
         virNetDevSetRcvAllMulti(ifname,
                                 guest->multicast.mode == VIR_NETDEV_RX_FILTER_MODE_ALL) < 0))
        return -1;

    return vireoRxFilterJoin(ifname, guest, host);
}

void
vireoRxFilterFollow(virDomainObj *vm,
                    virDomainNetDef *net)
{
    g_autoptr(virNetDevRxFilter) guest = vireoRxFilterQuery(vm, net);

    if (!guest || vireoRxFilterApply(net->ifname, guest) < 0)
        VIR_WARN("interface %s of domain %s does not follow its guest: %s",
                 net->info.alias, vm->def->name, virGetLastErrorMessage());
}
