/*
 * vireo_driver_list.c: entry points that find domains and look at them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"
#include "virhostcpu.h"
#include "virprocess.h"
#include "virtime.h"
#include "virutil.h"
#include "viruuid.h"

#include "vireo_driver.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

virDomainObj *
vireoDomainObjFromDomain(virDomainPtr dom)
{
    vireoDriver *driver = dom->conn->privateData;
    virDomainObj *vm = virDomainObjListFindByUUID(driver->domains, dom->uuid);
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (!vm) {
        virUUIDFormat(dom->uuid, uuid);
        virReportError(VIR_ERR_NO_DOMAIN, _("no domain with matching uuid '%s' (%s)"),
                       uuid, dom->name);
    }

    return vm;
}

int
vireoConnectListDomains(virConnectPtr conn,
                        int *ids,
                        int maxids)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectListDomainsEnsureACL(conn) < 0)
        return -1;

    return virDomainObjListGetActiveIDs(driver->domains, ids, maxids,
                                        virConnectListDomainsCheckACL, conn);
}

int
vireoConnectNumOfDomains(virConnectPtr conn)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectNumOfDomainsEnsureACL(conn) < 0)
        return -1;

    return virDomainObjListNumOfDomains(driver->domains, true,
                                        virConnectNumOfDomainsCheckACL, conn);
}

int
vireoConnectListDefinedDomains(virConnectPtr conn,
                               char **const names,
                               int maxnames)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectListDefinedDomainsEnsureACL(conn) < 0)
        return -1;

    return virDomainObjListGetInactiveNames(driver->domains, names, maxnames,
                                            virConnectListDefinedDomainsCheckACL, conn);
}

int
vireoConnectNumOfDefinedDomains(virConnectPtr conn)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectNumOfDefinedDomainsEnsureACL(conn) < 0)
        return -1;

    return virDomainObjListNumOfDomains(driver->domains, false,
                                        virConnectNumOfDefinedDomainsCheckACL, conn);
}

int
vireoConnectListAllDomains(virConnectPtr conn,
                           virDomainPtr **domains,
                           unsigned int flags)
{
    vireoDriver *driver = conn->privateData;

    virCheckFlags(VIR_CONNECT_LIST_DOMAINS_FILTERS_ALL, -1);

    if (virConnectListAllDomainsEnsureACL(conn) < 0)
        return -1;

    return virDomainObjListExport(driver->domains, conn, domains,
                                  virConnectListAllDomainsCheckACL, flags);
}

virDomainPtr
vireoDomainLookupByID(virConnectPtr conn,
                      int id)
{
    vireoDriver *driver = conn->privateData;
    virDomainObj *vm = virDomainObjListFindByID(driver->domains, id);
    virDomainPtr dom = NULL;

    if (!vm) {
        virReportError(VIR_ERR_NO_DOMAIN, _("no domain with matching id %d"), id);
        return NULL;
    }

    if (virDomainLookupByIDEnsureACL(conn, vm->def) >= 0)
        dom = virGetDomain(conn, vm->def->name, vm->def->uuid, vm->def->id);

    virDomainObjEndAPI(&vm);
    return dom;
}

virDomainPtr
vireoDomainLookupByUUID(virConnectPtr conn,
                        const unsigned char *uuid)
{
    vireoDriver *driver = conn->privateData;
    virDomainObj *vm = virDomainObjListFindByUUID(driver->domains, uuid);
    virDomainPtr dom = NULL;
    char text[VIR_UUID_STRING_BUFLEN];

    if (!vm) {
        virUUIDFormat(uuid, text);
        virReportError(VIR_ERR_NO_DOMAIN, _("no domain with matching uuid '%s'"), text);
        return NULL;
    }

    if (virDomainLookupByUUIDEnsureACL(conn, vm->def) >= 0)
        dom = virGetDomain(conn, vm->def->name, vm->def->uuid, vm->def->id);

    virDomainObjEndAPI(&vm);
    return dom;
}

virDomainPtr
vireoDomainLookupByName(virConnectPtr conn,
                        const char *name)
{
    vireoDriver *driver = conn->privateData;
    virDomainObj *vm = virDomainObjListFindByName(driver->domains, name);
    virDomainPtr dom = NULL;

    if (!vm) {
        virReportError(VIR_ERR_NO_DOMAIN, _("no domain with matching name '%s'"), name);
        return NULL;
    }

    if (virDomainLookupByNameEnsureACL(conn, vm->def) >= 0)
        dom = virGetDomain(conn, vm->def->name, vm->def->uuid, vm->def->id);

    virDomainObjEndAPI(&vm);
    return dom;
}

int
vireoDomainGetInfo(virDomainPtr dom,
                   virDomainInfoPtr info)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainGetInfoEnsureACL(dom->conn, vm->def) < 0)
        goto cleanup;

    memset(info, 0, sizeof(*info));
    info->state = virDomainObjGetState(vm, NULL);
    info->maxMem = virDomainDefGetMemoryTotal(vm->def);
    info->memory = vm->def->mem.cur_balloon;
    info->nrVirtCpu = virDomainDefGetVcpus(vm->def);
    if (virDomainObjIsActive(vm) &&
        virProcessGetStatInfo(&info->cpuTime, NULL, NULL, NULL, NULL, vm->pid, 0) < 0) {
        virReportError(VIR_ERR_OPERATION_FAILED, "%s", _("cannot read cputime for domain"));
        goto cleanup;
    }
    ret = 0;

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetState(virDomainPtr dom,
                    int *state,
                    int *reason,
                    unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetStateEnsureACL(dom->conn, vm->def) >= 0) {
        *state = virDomainObjGetState(vm, reason);
        ret = 0;
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetControlInfo(virDomainPtr dom,
                          virDomainControlInfoPtr info,
                          unsigned int flags)
{
    virDomainObj *vm;
    vireoDomainObjPrivate *priv;
    unsigned long long now;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetControlInfoEnsureACL(dom->conn, vm->def) < 0 ||
        virDomainObjCheckActive(vm) < 0)
        goto cleanup;

    priv = vm->privateData;
    memset(info, 0, sizeof(*info));
    if (!priv->mon) {
        info->state = VIR_DOMAIN_CONTROL_ERROR;
        info->details = VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR;
    } else if (vm->job->active != VIR_JOB_NONE) {
        info->state = VIR_DOMAIN_CONTROL_OCCUPIED;
        if (virTimeMillisNow(&now) < 0)
            goto cleanup;
        info->stateTime = now - vm->job->started;
    }
    ret = 0;

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

char *
vireoDomainGetOSType(virDomainPtr dom)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    char *ret = NULL;

    if (!vm)
        return NULL;

    if (virDomainGetOSTypeEnsureACL(dom->conn, vm->def) >= 0)
        ret = g_strdup(virDomainOSTypeToString(vm->def->os.type));

    virDomainObjEndAPI(&vm);
    return ret;
}

unsigned long long
vireoDomainGetMaxMemory(virDomainPtr dom)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    unsigned long long ret = 0;

    if (!vm)
        return 0;

    if (virDomainGetMaxMemoryEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainDefGetMemoryTotal(vm->def);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainIsActive(virDomainPtr dom)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainIsActiveEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainObjIsActive(vm);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainIsPersistent(virDomainPtr dom)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainIsPersistentEnsureACL(dom->conn, vm->def) >= 0)
        ret = vm->persistent;

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainIsUpdated(virDomainPtr dom)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainIsUpdatedEnsureACL(dom->conn, vm->def) >= 0)
        ret = vm->updated;

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetVcpusFlags(virDomainPtr dom,
                         unsigned int flags)
{
    virDomainObj *vm;
    virDomainDef *def;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_VCPU_LIVE |
                  VIR_DOMAIN_VCPU_CONFIG |
                  VIR_DOMAIN_VCPU_MAXIMUM, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetVcpusFlagsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        (def = virDomainObjGetOneDef(vm, flags)))
        ret = flags & VIR_DOMAIN_VCPU_MAXIMUM ? virDomainDefGetVcpusMax(def) :
            virDomainDefGetVcpus(def);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetMaxVcpus(virDomainPtr dom)
{
    return vireoDomainGetVcpusFlags(dom, VIR_DOMAIN_VCPU_LIVE | VIR_DOMAIN_VCPU_MAXIMUM);
}

static int
vireoDomainFillVcpu(virDomainObj *vm,
                    unsigned int vcpu,
                    virVcpuInfoPtr info,
                    unsigned char *cpumap,
                    int maplen)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    pid_t thread = vcpu < priv->nvcpuThreads ? priv->vcpuThreads[vcpu] : 0;
    g_autoptr(virBitmap) affinity = NULL;

    info->number = vcpu;
    info->state = VIR_VCPU_RUNNING;
    if (virProcessGetStatInfo(&info->cpuTime, NULL, NULL, &info->cpu, NULL, vm->pid, thread) < 0) {
        virReportSystemError(errno, "%s", _("cannot get vCPU placement & pCPU time"));
        return -1;
    }

    if (cpumap) {
        if (!(affinity = virProcessGetAffinity(thread)))
            return -1;
        virBitmapToDataBuf(affinity, cpumap, maplen);
    }

    return 0;
}

int
vireoDomainGetVcpus(virDomainPtr dom,
                    virVcpuInfoPtr info,
                    int maxinfo,
                    unsigned char *cpumaps,
                    int maplen)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int n = 0;
    size_t i;
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainGetVcpusEnsureACL(dom->conn, vm->def) < 0)
        goto cleanup;
    if (!virDomainObjIsActive(vm)) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s",
                       _("cannot retrieve vcpu information for inactive domain"));
        goto cleanup;
    }

    memset(info, 0, sizeof(*info) * maxinfo);
    for (i = 0; n < maxinfo && i < virDomainDefGetVcpusMax(vm->def); i++) {
        if (!vm->def->vcpus[i]->online)
            continue;
        if (vireoDomainFillVcpu(vm, i, &info[n],
                                cpumaps ? VIR_GET_CPUMAP(cpumaps, maplen, n) : NULL, maplen) < 0)
            goto cleanup;
        n++;
    }
    ret = n;

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetVcpuPinInfo(virDomainPtr dom,
                          int ncpumaps,
                          unsigned char *cpumaps,
                          int maplen,
                          unsigned int flags)
{
    g_autoptr(virBitmap) hostcpus = NULL;
    virDomainObj *vm;
    virDomainDef *def;
    vireoDomainObjPrivate *priv;
    bool live;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    priv = vm->privateData;
    if (virDomainGetVcpuPinInfoEnsureACL(dom->conn, vm->def) >= 0 &&
        (def = virDomainObjGetOneDefState(vm, flags, &live)) &&
        (hostcpus = virHostCPUGetAvailableCPUsBitmap()))
        ret = virDomainDefGetVcpuPinInfoHelper(def, maplen, ncpumaps, cpumaps, hostcpus,
                                               live ? priv->autoCpus : NULL);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetEmulatorPinInfo(virDomainPtr dom,
                              unsigned char *cpumap,
                              int maplen,
                              unsigned int flags)
{
    g_autoptr(virBitmap) hostcpus = NULL;
    virBitmap *cpus;
    virDomainObj *vm;
    virDomainDef *def;
    vireoDomainObjPrivate *priv;
    bool live;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    priv = vm->privateData;
    if (virDomainGetEmulatorPinInfoEnsureACL(dom->conn, vm->def) >= 0 &&
        (def = virDomainObjGetOneDefState(vm, flags, &live)) &&
        (hostcpus = virHostCPUGetAvailableCPUsBitmap())) {
        cpus = def->cputune.emulatorpin;
        if (!cpus && live && def->placement_mode == VIR_DOMAIN_CPU_PLACEMENT_MODE_AUTO)
            cpus = priv->autoCpus;
        if (!cpus)
            cpus = def->cpumask ? def->cpumask : hostcpus;
        virBitmapToDataBuf(cpus, cpumap, maplen);
        ret = 1;
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetSecurityLabel(virDomainPtr dom,
                            virSecurityLabelPtr label)
{
    vireoDriver *driver = dom->conn->privateData;
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    memset(label, 0, sizeof(*label));
    if (virDomainGetSecurityLabelEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainObjIsActive(vm) ?
            virSecurityManagerGetProcessLabel(driver->securityManager, vm->def, vm->pid, label) : 0;

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetMessages(virDomainPtr dom,
                       char ***msgs,
                       unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_MESSAGE_DEPRECATION |
                  VIR_DOMAIN_MESSAGE_TAINTING, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetMessagesEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainObjGetMessages(vm, msgs, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}
