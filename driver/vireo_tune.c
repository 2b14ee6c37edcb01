/*
 * vireo_tune.c: a domain's share of the host's CPUs and memory, in cgroups
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_cgroup.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_cgroup.h"
#include "vireo_tune.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* Whose time is limited. */
typedef enum {
    VIREO_TUNE_GLOBAL,
    VIREO_TUNE_EMULATOR,
    VIREO_TUNE_VCPU,
    VIREO_TUNE_IOTHREAD,
} vireoTuneThreads;

typedef struct _vireoTuneLimit vireoTuneLimit;
struct _vireoTuneLimit {
    vireoTuneThreads threads;
    const char *period;             /* names of the parameters */
    const char *quota;
    const char *periodEvent;        /* names in the event */
    const char *quotaEvent;
    size_t periodOffset;            /* in virDomainCputune */
    size_t quotaOffset;
};

static const vireoTuneLimit vireoTuneLimits[] = {
    { VIREO_TUNE_VCPU,
      VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA,
      VIR_DOMAIN_TUNABLE_CPU_VCPU_PERIOD, VIR_DOMAIN_TUNABLE_CPU_VCPU_QUOTA,
      offsetof(virDomainCputune, period), offsetof(virDomainCputune, quota) },
    { VIREO_TUNE_EMULATOR,
      VIR_DOMAIN_SCHEDULER_EMULATOR_PERIOD, VIR_DOMAIN_SCHEDULER_EMULATOR_QUOTA,
      VIR_DOMAIN_TUNABLE_CPU_EMULATOR_PERIOD, VIR_DOMAIN_TUNABLE_CPU_EMULATOR_QUOTA,
      offsetof(virDomainCputune, emulator_period), offsetof(virDomainCputune, emulator_quota) },
    { VIREO_TUNE_GLOBAL,
      VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD, VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA,
      VIR_DOMAIN_TUNABLE_CPU_GLOBAL_PERIOD, VIR_DOMAIN_TUNABLE_CPU_GLOBAL_QUOTA,
      offsetof(virDomainCputune, global_period), offsetof(virDomainCputune, global_quota) },
    { VIREO_TUNE_IOTHREAD,
      VIR_DOMAIN_SCHEDULER_IOTHREAD_PERIOD, VIR_DOMAIN_SCHEDULER_IOTHREAD_QUOTA,
      VIR_DOMAIN_TUNABLE_CPU_IOTHREAD_PERIOD, VIR_DOMAIN_TUNABLE_CPU_IOTHREAD_QUOTA,
      offsetof(virDomainCputune, iothread_period), offsetof(virDomainCputune, iothread_quota) },
};

G_STATIC_ASSERT(VIREO_TUNE_SCHEDULER_PARAMS == 1 + 2 * G_N_ELEMENTS(vireoTuneLimits));

static int
vireoTuneReportRange(const char *name,
                     long long min,
                     long long max)
{
    virReportError(VIR_ERR_INVALID_ARG, _("'%s' must be between %lld and %lld"), name, min, max);
    return -1;
}

static int
vireoTuneCheckLimit(const vireoTuneLimit *limit,
                    const virTypedParameter *param)
{
    if (STREQ(param->field, limit->period) && param->value.ul != 0 &&
        (param->value.ul < VIR_CGROUP_CPU_PERIOD_MIN || param->value.ul > VIR_CGROUP_CPU_PERIOD_MAX))
        return vireoTuneReportRange(param->field, VIR_CGROUP_CPU_PERIOD_MIN,
                                    VIR_CGROUP_CPU_PERIOD_MAX);

    /* Any negative quota means that there is none. */
    if (STREQ(param->field, limit->quota) && param->value.l > 0 &&
        (param->value.l < VIR_CGROUP_CPU_QUOTA_MIN || param->value.l > VIR_CGROUP_CPU_QUOTA_MAX))
        return vireoTuneReportRange(param->field, VIR_CGROUP_CPU_QUOTA_MIN,
                                    VIR_CGROUP_CPU_QUOTA_MAX);

    return 0;
}

int
vireoTuneCheckScheduler(virTypedParameterPtr params,
                        int nparams)
{
    size_t j;
    int i;

    if (virTypedParamsValidate(params, nparams,
                               VIR_DOMAIN_SCHEDULER_CPU_SHARES, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, VIR_TYPED_PARAM_LLONG,
                               VIR_DOMAIN_SCHEDULER_EMULATOR_PERIOD, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_SCHEDULER_EMULATOR_QUOTA, VIR_TYPED_PARAM_LLONG,
                               VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA, VIR_TYPED_PARAM_LLONG,
                               VIR_DOMAIN_SCHEDULER_IOTHREAD_PERIOD, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_SCHEDULER_IOTHREAD_QUOTA, VIR_TYPED_PARAM_LLONG,
                               NULL) < 0)
        return -1;

    for (i = 0; i < nparams; i++) {
        for (j = 0; j < G_N_ELEMENTS(vireoTuneLimits); j++) {
            if (vireoTuneCheckLimit(&vireoTuneLimits[j], &params[i]) < 0)
                return -1;
        }
    }

    return 0;
}

static int
vireoTuneSetThread(virDomainObj *vm,
                   virCgroupThreadName name,
                   int id,
                   pid_t thread,
                   unsigned long long period,
                   long long quota)
{
    g_autoptr(virCgroup) cgroup = NULL;

    if (vireoCgroupOwnThread(vm, name, id, thread, &cgroup) < 0)
        return -1;

    return virDomainCgroupSetupVcpuBW(cgroup, period, quota);
}

/* 0 leaves a period or quota as it is. */
static int
vireoTuneSetLive(virDomainObj *vm,
                 vireoTuneThreads threads,
                 unsigned long long period,
                 long long quota)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    switch (threads) {
    case VIREO_TUNE_GLOBAL:
        return virDomainCgroupSetupVcpuBW(priv->cgroup, period, quota);
    case VIREO_TUNE_EMULATOR:
        return vireoTuneSetThread(vm, VIR_CGROUP_THREAD_EMULATOR, 0, vm->pid, period, quota);
    case VIREO_TUNE_VCPU:
        for (i = 0; i < priv->nvcpuThreads; i++) {
            if (priv->vcpuThreads[i] != 0 &&
                vireoTuneSetThread(vm, VIR_CGROUP_THREAD_VCPU, i, priv->vcpuThreads[i], period,
                                   quota) < 0)
                return -1;
        }
        return 0;
    case VIREO_TUNE_IOTHREAD:
        for (i = 0; i < vm->def->niothreadids; i++) {
            const virDomainIOThreadIDDef *iothread = vm->def->iothreadids[i];

            if (iothread->thread_id != 0 &&
                vireoTuneSetThread(vm, VIR_CGROUP_THREAD_IOTHREAD, iothread->iothread_id,
                                   iothread->thread_id, period, quota) < 0)
                return -1;
        }
        return 0;
    }

    return 0;
}

static int
vireoTuneSetShares(vireoChange *change,
                   unsigned long long shares)
{
    vireoDomainObjPrivate *priv = change->vm->privateData;

    if (change->config) {
        change->config->cputune.shares = shares;
        change->config->cputune.sharesSpecified = true;
    }
    if (change->live) {
        if (virCgroupSetCpuShares(priv->cgroup, shares) < 0)
            return -1;
        change->live->cputune.shares = shares;
        change->live->cputune.sharesSpecified = true;
        return virTypedParamListAddULLong(change->tuned, shares, VIR_DOMAIN_TUNABLE_CPU_CPU_SHARES);
    }

    return 0;
}

static int
vireoTuneSetPeriod(vireoChange *change,
                   const vireoTuneLimit *limit,
                   unsigned long long period)
{
    if (change->config)
        G_STRUCT_MEMBER(unsigned long long, &change->config->cputune, limit->periodOffset) = period;
    if (change->live && period != 0) {
        if (vireoTuneSetLive(change->vm, limit->threads, period, 0) < 0)
            return -1;
        G_STRUCT_MEMBER(unsigned long long, &change->live->cputune, limit->periodOffset) = period;
        return virTypedParamListAddULLong(change->tuned, period, "%s", limit->periodEvent);
    }

    return 0;
}

static int
vireoTuneSetQuota(vireoChange *change,
                  const vireoTuneLimit *limit,
                  long long quota)
{
    if (change->config)
        G_STRUCT_MEMBER(long long, &change->config->cputune, limit->quotaOffset) = quota;
    if (change->live && quota != 0) {
        if (vireoTuneSetLive(change->vm, limit->threads, 0, quota) < 0)
            return -1;
        G_STRUCT_MEMBER(long long, &change->live->cputune, limit->quotaOffset) = quota;
        return virTypedParamListAddLLong(change->tuned, quota, "%s", limit->quotaEvent);
    }

    return 0;
}

int
vireoTuneSetScheduler(vireoChange *change,
                      virTypedParameterPtr params,
                      int nparams)
{
    size_t j;
    int i;

    for (i = 0; i < nparams; i++) {
        const virTypedParameter *param = &params[i];

        if (STREQ(param->field, VIR_DOMAIN_SCHEDULER_CPU_SHARES) &&
            vireoTuneSetShares(change, param->value.ul) < 0)
            return -1;
        for (j = 0; j < G_N_ELEMENTS(vireoTuneLimits); j++) {
            const vireoTuneLimit *limit = &vireoTuneLimits[j];

            if ((STREQ(param->field, limit->period) &&
                 vireoTuneSetPeriod(change, limit, param->value.ul) < 0) ||
                (STREQ(param->field, limit->quota) &&
                 vireoTuneSetQuota(change, limit, param->value.l) < 0))
                return -1;
        }
    }

    return 0;
}

/* All threads of a kind have one limit, and cgroups of their own if there is one. */
static int
vireoTuneReadLimit(virDomainObj *vm,
                   const vireoTuneLimit *limit,
                   virDomainCputune *tune)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) cgroup = NULL;
    unsigned long long *period = G_STRUCT_MEMBER_P(tune, limit->periodOffset);
    long long *quota = G_STRUCT_MEMBER_P(tune, limit->quotaOffset);
    virCgroupThreadName name = VIR_CGROUP_THREAD_EMULATOR;
    int id = 0;

    if (limit->threads == VIREO_TUNE_GLOBAL)
        return virCgroupGetCpuPeriodQuota(priv->cgroup, period, quota);
    if ((*period == 0 && *quota == 0) ||
        (limit->threads == VIREO_TUNE_IOTHREAD && vm->def->niothreadids == 0))
        return 0;

    if (limit->threads == VIREO_TUNE_VCPU) {
        name = VIR_CGROUP_THREAD_VCPU;
    } else if (limit->threads == VIREO_TUNE_IOTHREAD) {
        name = VIR_CGROUP_THREAD_IOTHREAD;
        id = vm->def->iothreadids[0]->iothread_id;
    }
    if (virCgroupNewThread(priv->cgroup, name, id, false, &cgroup) < 0)
        return -1;

    return virCgroupGetCpuPeriodQuota(cgroup, period, quota);
}

int
vireoTuneReadScheduler(virDomainObj *vm,
                       virDomainCputune *tune)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    *tune = vm->def->cputune;
    if (virCgroupGetCpuShares(priv->cgroup, &tune->shares) < 0)
        return -1;

    for (i = 0; i < G_N_ELEMENTS(vireoTuneLimits); i++) {
        if (vireoTuneReadLimit(vm, &vireoTuneLimits[i], tune) < 0)
            return -1;
    }

    return 0;
}

int
vireoTuneReadMemory(virDomainObj *vm,
                    virDomainMemtune *mem)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    memset(mem, 0, sizeof(*mem));
    if (virCgroupGetMemoryHardLimit(priv->cgroup, &mem->hard_limit) < 0 ||
        virCgroupGetMemorySoftLimit(priv->cgroup, &mem->soft_limit) < 0)
        return -1;

    if (virCgroupGetMemSwapHardLimit(priv->cgroup, &mem->swap_hard_limit) < 0) {
        /* Kernels can be built without. */
        if (!virLastErrorIsSystemErrno(ENOENT) && !virLastErrorIsSystemErrno(EOPNOTSUPP))
            return -1;
        virResetLastError();
        mem->swap_hard_limit = VIR_DOMAIN_MEMORY_PARAM_UNLIMITED;
    }

    return 0;
}

int
vireoTuneFormatScheduler(const virDomainCputune *tune,
                         virTypedParameterPtr params,
                         int *nparams)
{
    int n = *nparams;
    size_t i;

    if (n == 0) {
        *nparams = VIREO_TUNE_SCHEDULER_PARAMS;
        return 0;
    }

    *nparams = 0;
    if (virTypedParameterAssign(&params[(*nparams)++], VIR_DOMAIN_SCHEDULER_CPU_SHARES,
                                VIR_TYPED_PARAM_ULLONG, tune->shares) < 0)
        return -1;

    for (i = 0; i < G_N_ELEMENTS(vireoTuneLimits); i++) {
        const vireoTuneLimit *limit = &vireoTuneLimits[i];

        if (*nparams < n &&
            virTypedParameterAssign(&params[(*nparams)++], limit->period, VIR_TYPED_PARAM_ULLONG,
                                    G_STRUCT_MEMBER(unsigned long long, tune,
                                                    limit->periodOffset)) < 0)
            return -1;
        if (*nparams < n &&
            virTypedParameterAssign(&params[(*nparams)++], limit->quota, VIR_TYPED_PARAM_LLONG,
                                    G_STRUCT_MEMBER(long long, tune, limit->quotaOffset)) < 0)
            return -1;
    }

    return 0;
}
