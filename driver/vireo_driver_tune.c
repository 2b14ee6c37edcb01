/*
 * vireo_driver_tune.c: entry points that share the host's resources out
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_cgroup.h"
#include "domain_driver.h"
#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_bandwidth.h"
#include "vireo_change.h"
#include "vireo_driver.h"
#include "vireo_memory_device.h"
#include "vireo_qmp.h"
#include "vireo_tune.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* A session has no cgroups to put its domains into. */
static int
vireoDomainCheckTunable(virDomainPtr dom)
{
    vireoDriver *driver = dom->conn->privateData;

    if (driver->privileged)
        return 0;

    virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                   _("domains of a session have no control groups, and so no limits"));
    return -1;
}

static int
vireoDomainCheckController(virDomainObj *vm,
                           int controller)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virCgroupHasController(priv->cgroup, controller))
        return 0;

    virReportError(VIR_ERR_OPERATION_INVALID, _("the host's '%s' control group is not there"),
                   virCgroupControllerTypeToString(controller));
    return -1;
}

char *
vireoDomainGetSchedulerType(virDomainPtr dom,
                            int *nparams)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    char *ret = NULL;

    if (!vm)
        return NULL;

    if (virDomainGetSchedulerTypeEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainCheckTunable(dom) == 0) {
        if (nparams)
            *nparams = VIREO_TUNE_SCHEDULER_PARAMS;
        ret = g_strdup("posix");
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetSchedulerParametersFlags(virDomainPtr dom,
                                       virTypedParameterPtr params,
                                       int *nparams,
                                       unsigned int flags)
{
    virDomainObj *vm;
    virDomainDef *live;
    virDomainDef *config;
    virDomainCputune tune;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetSchedulerParametersFlagsEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainCheckTunable(dom) < 0 ||
        virDomainObjGetDefs(vm, flags, &live, &config) < 0)
        goto cleanup;

    if (live) {
        if (vireoDomainCheckController(vm, VIR_CGROUP_CONTROLLER_CPU) < 0 ||
            vireoTuneReadScheduler(vm, &tune) < 0)
            goto cleanup;
    } else {
        tune = config->cputune;
    }
    ret = vireoTuneFormatScheduler(&tune, params, nparams);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetSchedulerParameters(virDomainPtr dom,
                                  virTypedParameterPtr params,
                                  int *nparams)
{
    return vireoDomainGetSchedulerParametersFlags(dom, params, nparams, VIR_DOMAIN_AFFECT_CURRENT);
}

int
vireoDomainSetSchedulerParametersFlags(virDomainPtr dom,
                                       virTypedParameterPtr params,
                                       int nparams,
                                       unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (vireoTuneCheckScheduler(params, nparams) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetSchedulerParametersFlagsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoDomainCheckTunable(dom) == 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        if (!change.live || vireoDomainCheckController(vm, VIR_CGROUP_CONTROLLER_CPU) == 0)
            ret = vireoTuneSetScheduler(&change, params, nparams);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetSchedulerParameters(virDomainPtr dom,
                                  virTypedParameterPtr params,
                                  int nparams)
{
    return vireoDomainSetSchedulerParametersFlags(dom, params, nparams, VIR_DOMAIN_AFFECT_CURRENT);
}

static int
vireoDomainFillMemoryParameters(virDomainObj *vm,
                                const virDomainDef *config,
                                virTypedParameterPtr params,
                                int *nparams)
{
    virDomainMemtune mem;
    const struct {
        const char *name;
        unsigned long long *value;
    } members[] = {
        { VIR_DOMAIN_MEMORY_HARD_LIMIT, &mem.hard_limit },
        { VIR_DOMAIN_MEMORY_SOFT_LIMIT, &mem.soft_limit },
        { VIR_DOMAIN_MEMORY_SWAP_HARD_LIMIT, &mem.swap_hard_limit },
    };
    int n = *nparams;
    int i;

    *nparams = G_N_ELEMENTS(members);
    if (n == 0)
        return 0;

    if (config) {
        mem = config->mem;
    } else if (vireoDomainCheckController(vm, VIR_CGROUP_CONTROLLER_MEMORY) < 0 ||
               vireoTuneReadMemory(vm, &mem) < 0) {
        return -1;
    }

    *nparams = MIN(n, *nparams);
    for (i = 0; i < *nparams; i++) {
        if (virTypedParameterAssign(&params[i], members[i].name, VIR_TYPED_PARAM_ULLONG,
                                    *members[i].value) < 0)
            return -1;
    }

    return 0;
}

int
vireoDomainGetMemoryParameters(virDomainPtr dom,
                               virTypedParameterPtr params,
                               int *nparams,
                               unsigned int flags)
{
    virDomainObj *vm;
    virDomainDef *live;
    virDomainDef *config;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetMemoryParametersEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainCheckTunable(dom) == 0 &&
        virDomainObjGetDefs(vm, flags, &live, &config) == 0)
        ret = vireoDomainFillMemoryParameters(vm, live ? NULL : config, params, nparams);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetMemoryParameters(virDomainPtr dom,
                               virTypedParameterPtr params,
                               int nparams,
                               unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (virTypedParamsValidate(params, nparams,
                               VIR_DOMAIN_MEMORY_HARD_LIMIT, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_MEMORY_SOFT_LIMIT, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_MEMORY_SWAP_HARD_LIMIT, VIR_TYPED_PARAM_ULLONG,
                               NULL) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetMemoryParametersEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoDomainCheckTunable(dom) == 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        vireoDomainObjPrivate *priv = vm->privateData;

        if (!change.live || vireoDomainCheckController(vm, VIR_CGROUP_CONTROLLER_MEMORY) == 0)
            ret = virDomainCgroupSetMemoryLimitParameters(priv->cgroup, vm, change.live,
                                                          change.config, params, nparams);
        ret = vireoChangeEnd(&change, ret < 0 ? -1 : 0);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainFillBlkioParameters(virDomainObj *vm,
                               virDomainDef *def,
                               bool live,
                               virTypedParameterPtr params,
                               int *nparams)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    unsigned int weight = def->blkio.weight;
    int max = MIN(*nparams, VIREO_TUNE_BLKIO_PARAMS);

    if (max == 0) {
        *nparams = VIREO_TUNE_BLKIO_PARAMS;
        return 0;
    }

    *nparams = 0;
    if (live && (vireoDomainCheckController(vm, VIR_CGROUP_CONTROLLER_BLKIO) < 0 ||
                 virCgroupGetBlkioWeight(priv->cgroup, &weight) < 0))
        return -1;
    if (virTypedParameterAssign(&params[(*nparams)++], VIR_DOMAIN_BLKIO_WEIGHT,
                                VIR_TYPED_PARAM_UINT, weight) < 0)
        return -1;

    return virDomainGetBlkioParametersAssignFromDef(def, params, nparams, max);
}

int
vireoDomainGetBlkioParameters(virDomainPtr dom,
                              virTypedParameterPtr params,
                              int *nparams,
                              unsigned int flags)
{
    virDomainObj *vm;
    virDomainDef *live;
    virDomainDef *config;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetBlkioParametersEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainCheckTunable(dom) == 0 &&
        virDomainObjGetDefs(vm, flags, &live, &config) == 0)
        ret = vireoDomainFillBlkioParameters(vm, live ? live : config, live != NULL, params,
                                             nparams);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetBlkioParameters(virDomainPtr dom,
                              virTypedParameterPtr params,
                              int nparams,
                              unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (virTypedParamsValidate(params, nparams,
                               VIR_DOMAIN_BLKIO_WEIGHT, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BLKIO_DEVICE_WEIGHT, VIR_TYPED_PARAM_STRING,
                               VIR_DOMAIN_BLKIO_DEVICE_READ_IOPS, VIR_TYPED_PARAM_STRING,
                               VIR_DOMAIN_BLKIO_DEVICE_WRITE_IOPS, VIR_TYPED_PARAM_STRING,
                               VIR_DOMAIN_BLKIO_DEVICE_READ_BPS, VIR_TYPED_PARAM_STRING,
                               VIR_DOMAIN_BLKIO_DEVICE_WRITE_BPS, VIR_TYPED_PARAM_STRING,
                               NULL) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetBlkioParametersEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoDomainCheckTunable(dom) == 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        vireoDomainObjPrivate *priv = vm->privateData;

        if ((!change.live ||
             (vireoDomainCheckController(vm, VIR_CGROUP_CONTROLLER_BLKIO) == 0 &&
              virDomainCgroupSetupDomainBlkioParameters(priv->cgroup, change.live, params,
                                                        nparams) == 0)) &&
            (!change.config ||
             virDomainDriverSetupPersistentDefBlkioParams(change.config, params, nparams) == 0))
            ret = 0;
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetInterfaceParameters(virDomainPtr dom,
                                  const char *device,
                                  virTypedParameterPtr params,
                                  int *nparams,
                                  unsigned int flags)
{
    virDomainObj *vm;
    virDomainDef *def;
    virDomainNetDef *net;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetInterfaceParametersEnsureACL(dom->conn, vm->def) >= 0 &&
        (def = virDomainObjGetOneDef(vm, flags)) &&
        (net = virDomainNetFind(def, device)))
        ret = vireoBandwidthFormat(virDomainNetGetActualBandwidth(net), params, nparams);

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainSetBandwidth(vireoChange *change,
                        const char *device,
                        virTypedParameterPtr params,
                        int nparams)
{
    virDomainNetDef *net;

    if (change->config) {
        g_autoptr(virNetDevBandwidth) bandwidth = NULL;

        if (!(net = virDomainNetFind(change->config, device)) ||
            vireoBandwidthMerge(net->bandwidth, params, nparams, &bandwidth) < 0 ||
            vireoBandwidthCheck(net, bandwidth) < 0)
            return -1;
        vireoBandwidthSet(net, bandwidth);
    }

    if (change->live) {
        g_autoptr(virNetDevBandwidth) bandwidth = NULL;

        if (!(net = virDomainNetFind(change->live, device)) ||
            vireoBandwidthMerge(virDomainNetGetActualBandwidth(net), params, nparams,
                                &bandwidth) < 0 ||
            vireoBandwidthCheck(net, bandwidth) < 0)
            return -1;
        return vireoBandwidthApply(net, bandwidth);
    }

    return 0;
}

int
vireoDomainSetInterfaceParameters(virDomainPtr dom,
                                  const char *device,
                                  virTypedParameterPtr params,
                                  int nparams,
                                  unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (virTypedParamsValidate(params, nparams,
                               VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BANDWIDTH_IN_PEAK, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BANDWIDTH_IN_BURST, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BANDWIDTH_IN_FLOOR, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BANDWIDTH_OUT_PEAK, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BANDWIDTH_OUT_BURST, VIR_TYPED_PARAM_UINT,
                               NULL) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetInterfaceParametersEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainSetBandwidth(&change, device, params, nparams);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetCPUStats(virDomainPtr dom,
                       virTypedParameterPtr params,
                       unsigned int nparams,
                       int start_cpu,
                       unsigned int ncpus,
                       unsigned int flags)
{
    g_autoptr(virBitmap) vcpus = NULL;
    vireoDomainObjPrivate *priv;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;
    priv = vm->privateData;

    if (virDomainGetCPUStatsEnsureACL(dom->conn, vm->def) < 0 ||
        virDomainObjCheckActive(vm) < 0 ||
        vireoDomainCheckTunable(dom) < 0 ||
        vireoDomainCheckController(vm, VIR_CGROUP_CONTROLLER_CPUACCT) < 0)
        goto cleanup;

    if (start_cpu == -1)
        ret = virCgroupGetDomainTotalCpuStats(priv->cgroup, params, nparams);
    else if ((vcpus = virDomainDefGetOnlineVcpumap(vm->def)))
        ret = virCgroupGetPercpuStats(priv->cgroup, params, nparams, start_cpu, ncpus, vcpus);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainSetMemoryMax(vireoChange *change,
                        unsigned long long kib)
{
    if (change->live) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("Vireo cannot change the maximum memory of a running domain"));
        return -1;
    }

    if (virDomainNumaGetNodeCount(change->config->numa) > 0) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s",
                       _("the memory of a domain with NUMA nodes is that of its nodes"));
        return -1;
    }

    virDomainDefSetMemoryTotal(change->config, kib);
    change->config->mem.cur_balloon = MIN(change->config->mem.cur_balloon, kib);
    return 0;
}

static int
vireoDomainSetMemoryBalloon(vireoChange *change,
                            unsigned long long kib)
{
    if ((change->live && kib > virDomainDefGetMemoryTotal(change->live)) ||
        (change->config && kib > virDomainDefGetMemoryTotal(change->config))) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("cannot set memory higher than max memory"));
        return -1;
    }

    if (change->config)
        change->config->mem.cur_balloon = kib;
    if (change->live) {
        if (!virDomainDefHasMemballoon(change->live)) {
            virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("the domain has no memory balloon"));
            return -1;
        }
        return vireoQmpSetBalloon(change->vm,
                                  kib - MIN(kib, vireoMemoryDeviceCurrent(change->live)));
    }

    return 0;
}

int
vireoDomainSetMemoryFlags(virDomainPtr dom,
                          unsigned long memory,
                          unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_DOMAIN_MEM_MAXIMUM, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetMemoryFlagsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = flags & VIR_DOMAIN_MEM_MAXIMUM ? vireoDomainSetMemoryMax(&change, memory) :
            vireoDomainSetMemoryBalloon(&change, memory);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetMemory(virDomainPtr dom,
                     unsigned long memory)
{
    return vireoDomainSetMemoryFlags(dom, memory, VIR_DOMAIN_AFFECT_LIVE);
}

int
vireoDomainSetMaxMemory(virDomainPtr dom,
                        unsigned long memory)
{
    return vireoDomainSetMemoryFlags(dom, memory, VIR_DOMAIN_MEM_MAXIMUM);
}
