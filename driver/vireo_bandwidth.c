/*
 * vireo_bandwidth.c: how fast interfaces may be
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "netdev_bandwidth_conf.h"
#include "viralloc.h"
#include "virerror.h"
#include "virtypedparam.h"

#include "vireo_bandwidth.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

typedef struct _vireoBandwidthParam vireoBandwidthParam;
struct _vireoBandwidthParam {
    const char *name;
    size_t direction;       /* offset in virNetDevBandwidth */
    size_t rate;            /* offset in virNetDevBandwidthRate */
};

#define VIREO_BANDWIDTH_IN offsetof(virNetDevBandwidth, in)
#define VIREO_BANDWIDTH_OUT offsetof(virNetDevBandwidth, out)

static const vireoBandwidthParam vireoBandwidthParams[] = {
    { VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, VIREO_BANDWIDTH_IN,
      offsetof(virNetDevBandwidthRate, average) },
    { VIR_DOMAIN_BANDWIDTH_IN_PEAK, VIREO_BANDWIDTH_IN,
      offsetof(virNetDevBandwidthRate, peak) },
    { VIR_DOMAIN_BANDWIDTH_IN_BURST, VIREO_BANDWIDTH_IN,
      offsetof(virNetDevBandwidthRate, burst) },
    { VIR_DOMAIN_BANDWIDTH_IN_FLOOR, VIREO_BANDWIDTH_IN,
      offsetof(virNetDevBandwidthRate, floor) },
    { VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, VIREO_BANDWIDTH_OUT,
      offsetof(virNetDevBandwidthRate, average) },
    { VIR_DOMAIN_BANDWIDTH_OUT_PEAK, VIREO_BANDWIDTH_OUT,
      offsetof(virNetDevBandwidthRate, peak) },
    { VIR_DOMAIN_BANDWIDTH_OUT_BURST, VIREO_BANDWIDTH_OUT,
      offsetof(virNetDevBandwidthRate, burst) },
};

G_STATIC_ASSERT(VIREO_BANDWIDTH_PARAMS == G_N_ELEMENTS(vireoBandwidthParams));

/* Sets the members of one direction that @params name; false if they name none. */
static bool
vireoBandwidthParse(size_t direction,
                    virTypedParameterPtr params,
                    int nparams,
                    virNetDevBandwidthRate *rate)
{
    bool named = false;
    size_t j;
    int i;

    for (i = 0; i < nparams; i++) {
        for (j = 0; j < G_N_ELEMENTS(vireoBandwidthParams); j++) {
            const vireoBandwidthParam *param = &vireoBandwidthParams[j];

            if (param->direction == direction && STREQ(param->name, params[i].field)) {
                G_STRUCT_MEMBER(unsigned long long, rate, param->rate) = params[i].value.ui;
                named = true;
            }
        }
    }

    return named;
}

static int
vireoBandwidthMergeDirection(size_t direction,
                             virTypedParameterPtr params,
                             int nparams,
                             virNetDevBandwidth *merged)
{
    virNetDevBandwidthRate rate = { 0 };
    virNetDevBandwidthRate **where = G_STRUCT_MEMBER_P(merged, direction);

    if (!vireoBandwidthParse(direction, params, nparams, &rate))
        return 0;

    g_clear_pointer(where, g_free);
    if (rate.average != 0 || rate.floor != 0) {
        *where = g_new0(virNetDevBandwidthRate, 1);
        **where = rate;
    } else if (rate.peak != 0 || rate.burst != 0) {
        virReportError(VIR_ERR_INVALID_ARG, "%s",
                       _("'peak' and 'burst' need an 'average' of the same direction"));
        return -1;
    }

    return 0;
}

int
vireoBandwidthMerge(const virNetDevBandwidth *old,
                    virTypedParameterPtr params,
                    int nparams,
                    virNetDevBandwidth **merged)
{
    g_autoptr(virNetDevBandwidth) bandwidth = NULL;

    if (virNetDevBandwidthCopy(&bandwidth, old) < 0)
        return -1;
    if (!bandwidth)
        bandwidth = g_new0(virNetDevBandwidth, 1);

    if (vireoBandwidthMergeDirection(VIREO_BANDWIDTH_IN, params, nparams, bandwidth) < 0 ||
        vireoBandwidthMergeDirection(VIREO_BANDWIDTH_OUT, params, nparams, bandwidth) < 0)
        return -1;

    *merged = bandwidth->in || bandwidth->out ? g_steal_pointer(&bandwidth) : NULL;
    return 0;
}

int
vireoBandwidthFormat(const virNetDevBandwidth *bandwidth,
                     virTypedParameterPtr params,
                     int *nparams)
{
    int n = *nparams;
    int i;

    *nparams = VIREO_BANDWIDTH_PARAMS;
    if (n == 0)
        return 0;

    *nparams = MIN(n, *nparams);
    for (i = 0; i < *nparams; i++) {
        const vireoBandwidthParam *param = &vireoBandwidthParams[i];
        const virNetDevBandwidthRate *rate = bandwidth ?
            G_STRUCT_MEMBER(virNetDevBandwidthRate *, bandwidth, param->direction) : NULL;
        unsigned int value = rate ? G_STRUCT_MEMBER(unsigned long long, rate, param->rate) : 0;

        if (virTypedParameterAssign(&params[i], param->name, VIR_TYPED_PARAM_UINT, value) < 0)
            return -1;
    }

    return 0;
}

int
vireoBandwidthCheck(const virDomainNetDef *net,
                    const virNetDevBandwidth *bandwidth)
{
    if (!virNetDevSupportsBandwidth(virDomainNetGetActualType(net))) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("interfaces of type '%s' cannot have <bandwidth>"),
                       virDomainNetTypeToString(virDomainNetGetActualType(net)));
        return -1;
    }
    if (virDomainNetDefIsOvsport(net)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("Vireo cannot change the <bandwidth> of a port of Open vSwitch"));
        return -1;
    }
    if (net->type != VIR_DOMAIN_NET_TYPE_NETWORK && virNetDevBandwidthHasFloor(bandwidth)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("only interfaces of libvirt's networks can have a 'floor'"));
        return -1;
    }

    return 0;
}

static void
vireoBandwidthReplace(virNetDevBandwidth **where,
                      const virNetDevBandwidth *bandwidth)
{
    g_clear_pointer(where, virNetDevBandwidthFree);
    if (bandwidth)
        ignore_value(virNetDevBandwidthCopy(where, bandwidth));
}

void
vireoBandwidthSet(virDomainNetDef *net,
                  const virNetDevBandwidth *bandwidth)
{
    vireoBandwidthReplace(&net->bandwidth, bandwidth);
}

int
vireoBandwidthApplyHost(virDomainNetDef *net,
                        const virNetDevBandwidth *bandwidth)
{
    g_autoptr(virNetDevBandwidth) none = g_new0(virNetDevBandwidth, 1);

    return virNetDevBandwidthSet(net->ifname, bandwidth ? bandwidth : none, false,
                                 !virDomainNetTypeSharesHostView(net));
}

int
vireoBandwidthApply(virDomainNetDef *net,
                    const virNetDevBandwidth *bandwidth)
{
    const virNetDevBandwidth *old = virDomainNetGetActualBandwidth(net);
    virErrorPtr saved;

    /* The network keeps account of what is promised to its guests. */
    if (net->type == VIR_DOMAIN_NET_TYPE_NETWORK &&
        (virNetDevBandwidthHasFloor(bandwidth) || virNetDevBandwidthHasFloor(old))) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("Vireo cannot change the 'floor' of an interface of a running domain"));
        return -1;
    }

    if (vireoBandwidthApplyHost(net, bandwidth) < 0) {
        virErrorPreserveLast(&saved);
        ignore_value(vireoBandwidthApplyHost(net, old));
        virErrorRestore(&saved);
        return -1;
    }

    vireoBandwidthReplace(&net->bandwidth, bandwidth);
    if (net->type == VIR_DOMAIN_NET_TYPE_NETWORK && net->data.network.actual)
        vireoBandwidthReplace(&net->data.network.actual->bandwidth, bandwidth);
    return 0;
}
