/*
 * vireo_driver_threads.c: entry points about the threads of domains
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_driver.h"
#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"
#include "virprocess.h"

#include "vireo_alias.h"
#include "vireo_cgroup.h"
#include "vireo_change.h"
#include "vireo_driver.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

static virBitmap *
vireoDomainParseCpumap(const unsigned char *cpumap,
                       int maplen)
{
    g_autoptr(virBitmap) cpus = virBitmapNewData(cpumap, maplen);

    if (virBitmapIsAllClear(cpus)) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("no CPU to pin to is given"));
        return NULL;
    }

    return g_steal_pointer(&cpus);
}

static void
vireoDomainReplaceCpus(virBitmap **where,
                       virBitmap *cpus)
{
    virBitmapFree(*where);
    *where = virBitmapNewCopy(cpus);
}

static int
vireoDomainReportNoVcpu(unsigned int vcpu)
{
    virReportError(VIR_ERR_INVALID_ARG, _("the domain has no vCPU %u"), vcpu);
    return -1;
}

static int
vireoDomainReportNoIOThread(unsigned int id)
{
    virReportError(VIR_ERR_INVALID_ARG, _("the domain has no IOThread %u"), id);
    return -1;
}

static int
vireoDomainPinVcpuBoth(vireoChange *change,
                       unsigned int vcpu,
                       virBitmap *cpus)
{
    vireoDomainObjPrivate *priv = change->vm->privateData;
    g_autofree char *text = virBitmapFormat(cpus);

    if (change->config) {
        if (vcpu >= virDomainDefGetVcpusMax(change->config))
            return vireoDomainReportNoVcpu(vcpu);
        vireoDomainReplaceCpus(&virDomainDefGetVcpu(change->config, vcpu)->cpumask, cpus);
    }

    if (change->live) {
        if (vcpu >= priv->nvcpuThreads || priv->vcpuThreads[vcpu] == 0)
            return vireoDomainReportNoVcpu(vcpu);
        if (vireoCgroupPin(change->vm, VIR_CGROUP_THREAD_VCPU, vcpu, priv->vcpuThreads[vcpu],
                           cpus) < 0)
            return -1;
        vireoDomainReplaceCpus(&virDomainDefGetVcpu(change->live, vcpu)->cpumask, cpus);
        return virTypedParamListAddString(change->tuned, text, VIR_DOMAIN_TUNABLE_CPU_VCPUPIN,
                                          vcpu);
    }

    return 0;
}

int
vireoDomainPinVcpuFlags(virDomainPtr dom,
                        unsigned int vcpu,
                        unsigned char *cpumap,
                        int maplen,
                        unsigned int flags)
{
    g_autoptr(virBitmap) cpus = NULL;
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainPinVcpuFlagsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        (cpus = vireoDomainParseCpumap(cpumap, maplen)) &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainPinVcpuBoth(&change, vcpu, cpus);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainPinVcpu(virDomainPtr dom,
                   unsigned int vcpu,
                   unsigned char *cpumap,
                   int maplen)
{
    return vireoDomainPinVcpuFlags(dom, vcpu, cpumap, maplen, VIR_DOMAIN_AFFECT_LIVE);
}

static int
vireoDomainPinEmulatorBoth(vireoChange *change,
                           virBitmap *cpus)
{
    g_autofree char *text = virBitmapFormat(cpus);

    if (change->config)
        vireoDomainReplaceCpus(&change->config->cputune.emulatorpin, cpus);

    if (change->live) {
        if (vireoCgroupPin(change->vm, VIR_CGROUP_THREAD_EMULATOR, 0, change->vm->pid, cpus) < 0)
            return -1;
        vireoDomainReplaceCpus(&change->live->cputune.emulatorpin, cpus);
        return virTypedParamListAddString(change->tuned, text, VIR_DOMAIN_TUNABLE_CPU_EMULATORPIN);
    }

    return 0;
}

int
vireoDomainPinEmulator(virDomainPtr dom,
                       unsigned char *cpumap,
                       int maplen,
                       unsigned int flags)
{
    g_autoptr(virBitmap) cpus = NULL;
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainPinEmulatorEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        (cpus = vireoDomainParseCpumap(cpumap, maplen)) &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainPinEmulatorBoth(&change, cpus);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainPinIOThreadBoth(vireoChange *change,
                           unsigned int id,
                           virBitmap *cpus)
{
    g_autofree char *text = virBitmapFormat(cpus);
    virDomainIOThreadIDDef *iothread;

    if (change->config) {
        if (!(iothread = virDomainIOThreadIDFind(change->config, id)))
            return vireoDomainReportNoIOThread(id);
        vireoDomainReplaceCpus(&iothread->cpumask, cpus);
        iothread->autofill = false;
    }

    if (change->live) {
        if (!(iothread = virDomainIOThreadIDFind(change->live, id)) || iothread->thread_id == 0)
            return vireoDomainReportNoIOThread(id);
        if (vireoCgroupPin(change->vm, VIR_CGROUP_THREAD_IOTHREAD, id, iothread->thread_id,
                           cpus) < 0)
            return -1;
        vireoDomainReplaceCpus(&iothread->cpumask, cpus);
        iothread->autofill = false;
        return virTypedParamListAddString(change->tuned, text, VIR_DOMAIN_TUNABLE_CPU_IOTHREADSPIN,
                                          id);
    }

    return 0;
}

int
vireoDomainPinIOThread(virDomainPtr dom,
                       unsigned int iothread_id,
                       unsigned char *cpumap,
                       int maplen,
                       unsigned int flags)
{
    g_autoptr(virBitmap) cpus = NULL;
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainPinIOThreadEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        (cpus = vireoDomainParseCpumap(cpumap, maplen)) &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainPinIOThreadBoth(&change, iothread_id, cpus);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

/* What the kernel says of running threads. */
static int
vireoDomainFillIOThreads(const virDomainDef *def,
                         virDomainIOThreadInfoPtr *info)
{
    size_t i;

    for (i = 0; i < def->niothreadids; i++) {
        g_autoptr(virBitmap) cpus = virProcessGetAffinity(def->iothreadids[i]->thread_id);

        if (!cpus)
            return -1;
        info[i] = g_new0(virDomainIOThreadInfo, 1);
        info[i]->iothread_id = def->iothreadids[i]->iothread_id;
        if (virBitmapToData(cpus, &info[i]->cpumap, &info[i]->cpumaplen) < 0)
            return -1;
    }

    return 0;
}

static int
vireoDomainGetIOThreadsLive(const virDomainDef *def,
                            virDomainIOThreadInfoPtr **info)
{
    g_autofree virDomainIOThreadInfoPtr *found = g_new0(virDomainIOThreadInfoPtr,
                                                        def->niothreadids + 1);
    size_t i;

    if (vireoDomainFillIOThreads(def, found) < 0) {
        for (i = 0; i < def->niothreadids; i++)
            virDomainIOThreadInfoFree(found[i]);
        return -1;
    }

    if (def->niothreadids > 0)
        *info = g_steal_pointer(&found);
    return def->niothreadids;
}

int
vireoDomainGetIOThreadInfo(virDomainPtr dom,
                           virDomainIOThreadInfoPtr **info,
                           unsigned int flags)
{
    virDomainObj *vm;
    virDomainDef *live;
    virDomainDef *config;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetIOThreadInfoEnsureACL(dom->conn, vm->def) >= 0 &&
        virDomainObjGetDefs(vm, flags, &live, &config) == 0)
        ret = live ? vireoDomainGetIOThreadsLive(live, info) :
            virDomainDriverGetIOThreadsConfig(config, info, 0);

    virDomainObjEndAPI(&vm);
    return ret;
}

/* Starts the thread of @iothread, which the definition has already. */
static int
vireoDomainStartIOThread(virDomainObj *vm,
                         virDomainIOThreadIDDef *iothread)
{
    g_autofree char *name = vireoAliasIOThread(iothread->iothread_id);
    g_autoptr(virJSONValue) props = NULL;

    if (virJSONValueObjectAdd(&props, "s:qom-type", "iothread", "s:id", name, NULL) < 0 ||
        vireoQmpAdd(vm, "object-add", g_steal_pointer(&props)) < 0)
        return -1;

    if (vireoQmpGetThreads(vm) < 0)
        return -1;
    if (iothread->thread_id == 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("the monitor does not know IOThread '%s'"), name);
        return -1;
    }

    return vireoCgroupSetupIOThread(vm, iothread);
}

static int
vireoDomainAddIOThreadBoth(vireoChange *change,
                           unsigned int id)
{
    virDomainIOThreadIDDef *iothread;
    virErrorPtr saved;

    if (change->config &&
        (virDomainDriverAddIOThreadCheck(change->config, id) < 0 ||
         !virDomainIOThreadIDAdd(change->config, id)))
        return -1;

    if (!change->live)
        return 0;
    if (virDomainDriverAddIOThreadCheck(change->live, id) < 0 ||
        !(iothread = virDomainIOThreadIDAdd(change->live, id)))
        return -1;
    if (vireoDomainStartIOThread(change->vm, iothread) == 0)
        return 0;

    virErrorPreserveLast(&saved);
    if (virDomainObjIsActive(change->vm)) {
        g_autofree char *name = vireoAliasIOThread(id);

        ignore_value(vireoQmpDel(change->vm, "object-del", "id", name));
        virDomainIOThreadIDDel(change->vm->def, id);
    }
    virErrorRestore(&saved);
    return -1;
}

int
vireoDomainAddIOThread(virDomainPtr dom,
                       unsigned int iothread_id,
                       unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (iothread_id == 0) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("IOThreads are numbered from 1"));
        return -1;
    }

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainAddIOThreadEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainAddIOThreadBoth(&change, iothread_id);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainDelIOThreadBoth(vireoChange *change,
                           unsigned int id)
{
    g_autofree char *name = vireoAliasIOThread(id);

    if (change->config) {
        if (virDomainDriverDelIOThreadCheck(change->config, id) < 0)
            return -1;
        virDomainIOThreadIDDel(change->config, id);
    }

    if (change->live) {
        if (virDomainDriverDelIOThreadCheck(change->live, id) < 0 ||
            vireoQmpDel(change->vm, "object-del", "id", name) < 0)
            return -1;
        virDomainIOThreadIDDel(change->live, id);
        vireoCgroupRemoveIOThread(change->vm, id);
    }

    return 0;
}

int
vireoDomainDelIOThread(virDomainPtr dom,
                       unsigned int iothread_id,
                       unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainDelIOThreadEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainDelIOThreadBoth(&change, iothread_id);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

/* What of libvirt's parameters is which of the monitor's properties. */
static const struct {
    const char *field;
    const char *property;
} vireoIOThreadPolling[] = {
    { VIR_DOMAIN_IOTHREAD_POLL_MAX_NS, "poll-max-ns" },
    { VIR_DOMAIN_IOTHREAD_POLL_GROW, "poll-grow" },
    { VIR_DOMAIN_IOTHREAD_POLL_SHRINK, "poll-shrink" },
};

static int
vireoDomainCheckIOThreadParams(virTypedParameterPtr params,
                               int nparams)
{
    int i;

    if (virTypedParamsValidate(params, nparams,
                               VIR_DOMAIN_IOTHREAD_POLL_MAX_NS, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_IOTHREAD_POLL_GROW, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_IOTHREAD_POLL_SHRINK, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_IOTHREAD_THREAD_POOL_MIN, VIR_TYPED_PARAM_INT,
                               VIR_DOMAIN_IOTHREAD_THREAD_POOL_MAX, VIR_TYPED_PARAM_INT,
                               NULL) < 0)
        return -1;

    for (i = 0; i < nparams; i++) {
        const virTypedParameter *param = &params[i];
        unsigned long long value = param->type == VIR_TYPED_PARAM_ULLONG ? param->value.ul :
            param->value.ui;

        if (param->type == VIR_TYPED_PARAM_INT) {
            virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                           _("Vireo does not support '%s': its I/O threads have no pools"),
                           param->field);
            return -1;
        }
        if (value > INT_MAX) {
            virReportError(VIR_ERR_INVALID_ARG, _("%s of %llu is more than %d"), param->field,
                           value, INT_MAX);
            return -1;
        }
    }

    return 0;
}

static int
vireoDomainSetIOThreadPolling(vireoChange *change,
                              unsigned int id,
                              virTypedParameterPtr params,
                              int nparams)
{
    size_t i;

    if ((change->config && !virDomainIOThreadIDFind(change->config, id)) ||
        (change->live && !virDomainIOThreadIDFind(change->live, id)))
        return vireoDomainReportNoIOThread(id);
    if (change->config) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("the definition of a domain has no place for how IOThreads poll"));
        return -1;
    }

    for (i = 0; i < G_N_ELEMENTS(vireoIOThreadPolling); i++) {
        const virTypedParameter *param = virTypedParamsGet(params, nparams,
                                                           vireoIOThreadPolling[i].field);

        if (param &&
            vireoQmpSetPolling(change->vm, id, vireoIOThreadPolling[i].property,
                               param->type == VIR_TYPED_PARAM_ULLONG ? param->value.ul :
                               param->value.ui) < 0)
            return -1;
    }

    return 0;
}

int
vireoDomainSetIOThreadParams(virDomainPtr dom,
                             unsigned int iothread_id,
                             virTypedParameterPtr params,
                             int nparams,
                             unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetIOThreadParamsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoDomainCheckIOThreadParams(params, nparams) == 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainSetIOThreadPolling(&change, iothread_id, params, nparams);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}
