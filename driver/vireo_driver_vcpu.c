/*
 * vireo_driver_vcpu.c: how many vCPUs a domain has
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "virbitmap.h"
#include "virerror.h"

#include "vireo_capabilities.h"
#include "vireo_change.h"
#include "vireo_driver.h"
#include "vireo_vcpu.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

static int
vireoDomainCheckVcpus(const virDomainDef *def,
                      unsigned int nvcpus)
{
    if (!def || nvcpus <= virDomainDefGetVcpusMax(def))
        return 0;

    virReportError(VIR_ERR_INVALID_ARG,
                   _("requested vcpus is greater than max allowable vcpus for the domain: %u > %u"),
                   nvcpus, virDomainDefGetVcpusMax(def));
    return -1;
}

static int
vireoDomainSetVcpusMax(vireoChange *change,
                       unsigned int nvcpus)
{
    vireoDomainObjPrivate *priv = change->vm->privateData;
    virDomainDef *def = change->config;

    if (change->live) {
        virReportError(VIR_ERR_INVALID_ARG, "%s",
                       _("maximum vcpu count of a live domain can't be modified"));
        return -1;
    }
    if (virDomainDefGetVcpus(def) > nvcpus)
        vireoVcpuSetConfig(def, nvcpus, false);

    return virDomainDefSetVcpusMax(def, nvcpus, priv->driver->xmlopt);
}

static int
vireoDomainSetVcpusBoth(vireoChange *change,
                        unsigned int nvcpus,
                        unsigned int flags)
{
    if (flags & VIR_DOMAIN_VCPU_MAXIMUM)
        return vireoDomainSetVcpusMax(change, nvcpus);

    if (vireoDomainCheckVcpus(change->live, nvcpus) < 0 ||
        vireoDomainCheckVcpus(change->config, nvcpus) < 0)
        return -1;

    if (change->config)
        vireoVcpuSetConfig(change->config, nvcpus, flags & VIR_DOMAIN_VCPU_HOTPLUGGABLE);

    return change->live ? vireoVcpuSetLive(change->vm, nvcpus) : 0;
}

int
vireoDomainSetVcpusFlags(virDomainPtr dom,
                         unsigned int nvcpus,
                         unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_VCPU_LIVE |
                  VIR_DOMAIN_VCPU_CONFIG |
                  VIR_DOMAIN_VCPU_MAXIMUM |
                  VIR_DOMAIN_VCPU_HOTPLUGGABLE, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetVcpusFlagsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainSetVcpusBoth(&change, nvcpus, flags);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetVcpus(virDomainPtr dom,
                    unsigned int nvcpus)
{
    return vireoDomainSetVcpusFlags(dom, nvcpus, VIR_DOMAIN_VCPU_LIVE);
}

static int
vireoDomainSwitchVcpus(vireoChange *change,
                       virBitmap *vcpus,
                       bool online)
{
    ssize_t last = virBitmapLastSetBit(vcpus);
    ssize_t vcpu = -1;

    if (vireoDomainCheckVcpus(change->live, last + 1) < 0 ||
        vireoDomainCheckVcpus(change->config, last + 1) < 0)
        return -1;

    if (change->config) {
        change->config->individualvcpus = true;
        virDomainDefVcpuOrderClear(change->config);
    }
    while ((vcpu = virBitmapNextSetBit(vcpus, vcpu)) >= 0) {
        virDomainVcpuDef *def = change->config ? change->config->vcpus[vcpu] : NULL;

        if (def && def->online != online) {
            def->online = online;
            def->hotpluggable = VIR_TRISTATE_BOOL_YES;
        }
        if (change->live && vireoVcpuSwitch(change->vm, vcpu, online) < 0)
            return -1;
    }

    return 0;
}

int
vireoDomainSetVcpu(virDomainPtr dom,
                   const char *map,
                   int state,
                   unsigned int flags)
{
    g_autoptr(virBitmap) vcpus = NULL;
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (state != 0 && state != 1) {
        virReportInvalidArg(state, "%s", _("unsupported state value"));
        return -1;
    }
    if (virBitmapParse(map, &vcpus, VIREO_MAX_VCPUS) < 0)
        return -1;
    if (virBitmapIsAllClear(vcpus)) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("no vcpus selected for modification"));
        return -1;
    }

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetVcpuEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainSwitchVcpus(&change, vcpus, state == 1);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}
