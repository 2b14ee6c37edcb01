/*
 * vireo_driver_stats.c: entry points that give numbers
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_alias.h"
#include "vireo_change.h"
#include "vireo_dirty_rate.h"
#include "vireo_driver.h"
#include "vireo_guest.h"
#include "vireo_guest_info.h"
#include "vireo_interface.h"
#include "vireo_qmp.h"
#include "vireo_stats.h"
#include "vireo_storage.h"
#include "vireo_vhost.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoDomainMemoryStats(virDomainPtr dom,
                       virDomainMemoryStatPtr stats,
                       unsigned int nstats,
                       unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainMemoryStatsEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_QUERY) == 0) {
        ret = vireoStatsGetMemory(vm, stats, nstats);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainSetStatsPeriod(vireoChange *change,
                          int period)
{
    if ((change->live && !virDomainDefHasMemballoon(change->live)) ||
        (change->config && !virDomainDefHasMemballoon(change->config))) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("the domain has no memory balloon"));
        return -1;
    }

    if (change->config)
        change->config->memballoon->period = period;
    if (change->live) {
        if (vireoQmpSetStatsPeriod(change->vm, period) < 0)
            return -1;
        change->live->memballoon->period = period;
    }

    return 0;
}

int
vireoDomainSetMemoryStatsPeriod(virDomainPtr dom,
                                int period,
                                unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (period < 0) {
        virReportError(VIR_ERR_INVALID_ARG, _("a period of %d seconds is not possible"), period);
        return -1;
    }

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetMemoryStatsPeriodEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = vireoDomainSetStatsPeriod(&change, period);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static void
vireoDomainAddBlockStats(vireoStatsBlock *sum,
                         const vireoStatsBlock *block)
{
    sum->rdReqs += block->rdReqs;
    sum->rdBytes += block->rdBytes;
    sum->rdTimesNS += block->rdTimesNS;
    sum->wrReqs += block->wrReqs;
    sum->wrBytes += block->wrBytes;
    sum->wrTimesNS += block->wrTimesNS;
    sum->flReqs += block->flReqs;
    sum->flTimesNS += block->flTimesNS;
}

/* Of the disk at @path, or of all of them together if that is "". */
static int
vireoDomainGetBlockStats(virDomainObj *vm,
                         const char *path,
                         vireoStatsBlock *stats)
{
    g_autoptr(GHashTable) blocks = NULL;
    virDomainDiskDef *disk = NULL;
    bool found = false;
    size_t i;

    if (vireoStatsGetBlocks(vm, &blocks) < 0)
        return -1;
    if (*path && !(disk = virDomainDiskByName(vm->def, path, false))) {
        virReportError(VIR_ERR_INVALID_ARG, _("invalid path: %s"), path);
        return -1;
    }

    memset(stats, 0, sizeof(*stats));
    for (i = 0; i < vm->def->ndisks; i++) {
        g_autofree char *node = vireoAliasBlockNode(vm->def->disks[i]);
        const vireoStatsBlock *block = g_hash_table_lookup(blocks, node);

        if ((!disk || disk == vm->def->disks[i]) && block) {
            vireoDomainAddBlockStats(stats, block);
            found = true;
        }
    }
    if (!found) {
        virReportError(disk && vireoVhostIsDisk(disk) ? VIR_ERR_OPERATION_UNSUPPORTED :
                       VIR_ERR_INTERNAL_ERROR,
                       _("the monitor has no statistics of disk '%s'"), path);
        return -1;
    }

    return 0;
}

int
vireoDomainBlockStats(virDomainPtr dom,
                      const char *path,
                      virDomainBlockStatsPtr stats)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    vireoStatsBlock block;
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainBlockStatsEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_QUERY) == 0) {
        if ((ret = vireoDomainGetBlockStats(vm, path, &block)) == 0) {
            stats->rd_req = block.rdReqs;
            stats->rd_bytes = block.rdBytes;
            stats->wr_req = block.wrReqs;
            stats->wr_bytes = block.wrBytes;
            stats->errs = -1;
        }
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainFillBlockStats(const vireoStatsBlock *block,
                          virTypedParameterPtr params,
                          int *nparams)
{
    const struct {
        const char *name;
        unsigned long long value;
    } members[] = {
        { VIR_DOMAIN_BLOCK_STATS_WRITE_BYTES, block->wrBytes },
        { VIR_DOMAIN_BLOCK_STATS_WRITE_REQ, block->wrReqs },
        { VIR_DOMAIN_BLOCK_STATS_READ_BYTES, block->rdBytes },
        { VIR_DOMAIN_BLOCK_STATS_READ_REQ, block->rdReqs },
        { VIR_DOMAIN_BLOCK_STATS_FLUSH_REQ, block->flReqs },
        { VIR_DOMAIN_BLOCK_STATS_WRITE_TOTAL_TIMES, block->wrTimesNS },
        { VIR_DOMAIN_BLOCK_STATS_READ_TOTAL_TIMES, block->rdTimesNS },
        { VIR_DOMAIN_BLOCK_STATS_FLUSH_TOTAL_TIMES, block->flTimesNS },
    };
    int n = *nparams == 0 ? 0 : MIN(*nparams, (int)G_N_ELEMENTS(members));
    int i;

    for (i = 0; i < n; i++) {
        if (virTypedParameterAssign(&params[i], members[i].name, VIR_TYPED_PARAM_LLONG,
                                    (long long)members[i].value) < 0)
            return -1;
    }
    *nparams = n > 0 ? n : (int)G_N_ELEMENTS(members);

    return 0;
}

int
vireoDomainBlockStatsFlags(virDomainPtr dom,
                           const char *path,
                           virTypedParameterPtr params,
                           int *nparams,
                           unsigned int flags)
{
    virDomainObj *vm;
    vireoStatsBlock block;
    int ret = -1;

    virCheckFlags(VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockStatsFlagsEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_QUERY) == 0) {
        if (vireoDomainGetBlockStats(vm, path, &block) == 0)
            ret = vireoDomainFillBlockStats(&block, params, nparams);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainInterfaceStats(virDomainPtr dom,
                          const char *device,
                          virDomainInterfaceStatsPtr stats)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    virDomainNetDef *net;
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainInterfaceStatsEnsureACL(dom->conn, vm->def) < 0 ||
        virDomainObjCheckActive(vm) < 0 ||
        !(net = virDomainNetFind(vm->def, device)))
        goto cleanup;

    if (!net->ifname)
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("interface '%s' has no device on the host to take numbers from"), device);
    else
        ret = vireoInterfaceGetStats(net, stats);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainAgentInterfaces(virDomainObj *vm,
                           virDomainInterfacePtr **ifaces)
{
    g_autoptr(virJSONValue) reply = NULL;
    int ret = -1;

    if (vireoGuestBeginJob(vm, VIR_AGENT_JOB_QUERY) < 0)
        return -1;
    if (vireoGuestCommand(vm, "guest-network-get-interfaces", NULL, &reply) == 0)
        ret = vireoGuestInfoInterfaces(reply, ifaces);
    virDomainObjEndAgentJob(vm);

    return ret;
}

int
vireoDomainInterfaceAddresses(virDomainPtr dom,
                              virDomainInterfacePtr **ifaces,
                              unsigned int source,
                              unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainInterfaceAddressesEnsureACL(dom->conn, vm->def, source) < 0 ||
        virDomainObjCheckActive(vm) < 0)
        goto cleanup;

    switch (source) {
    case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE:
        ret = virDomainNetDHCPInterfaces(vm->def, ifaces);
        break;
    case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP:
        ret = virDomainNetARPInterfaces(vm->def, ifaces);
        break;
    case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT:
        ret = vireoDomainAgentInterfaces(vm, ifaces);
        break;
    default:
        virReportError(VIR_ERR_ARGUMENT_UNSUPPORTED, _("unknown source of addresses %u"), source);
        break;
    }

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainFillDiskErrors(virDomainObj *vm,
                          virDomainDiskErrorPtr errors,
                          unsigned int nerrors)
{
    g_autoptr(GHashTable) failed = NULL;
    unsigned int n = 0;
    size_t i;

    if (vireoQmpGetDiskErrors(vm, &failed) < 0)
        return -1;

    for (i = 0; i < vm->def->ndisks && n < nerrors; i++) {
        g_autofree char *node = vireoAliasBlockNode(vm->def->disks[i]);
        gpointer error = g_hash_table_lookup(failed, node);

        if (error) {
            errors[n].disk = g_strdup(vm->def->disks[i]->dst);
            errors[n++].error = GPOINTER_TO_INT(error);
        }
    }

    return n;
}

int
vireoDomainGetDiskErrors(virDomainPtr dom,
                         virDomainDiskErrorPtr errors,
                         unsigned int nerrors,
                         unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetDiskErrorsEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_QUERY) == 0) {
        ret = errors ? vireoDomainFillDiskErrors(vm, errors, nerrors) : (int)vm->def->ndisks;
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

/* The storage daemon knows better than the image's header. */
static int
vireoDomainGetServedInfo(virDomainObj *vm,
                         const char *path,
                         virDomainBlockInfo *info)
{
    virDomainDiskDef *disk;
    int ret = -1;

    if (vireoDomainBeginActiveJob(vm, VIR_JOB_QUERY) < 0)
        return -1;
    if (!(disk = virDomainDiskByName(vm->def, path, false)))
        virReportError(VIR_ERR_INVALID_ARG, _("invalid path %s not assigned to domain"), path);
    else
        ret = vireoStorageGetInfo(vm, disk, info);
    virDomainObjEndJob(vm);

    return ret;
}

int
vireoDomainGetBlockInfo(virDomainPtr dom,
                        const char *path,
                        virDomainBlockInfoPtr info,
                        unsigned int flags)
{
    virDomainObj *vm;
    virDomainDiskDef *disk;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetBlockInfoEnsureACL(dom->conn, vm->def) < 0)
        goto cleanup;

    if (!(disk = virDomainDiskByName(vm->def, path, false)))
        virReportError(VIR_ERR_INVALID_ARG, _("invalid path %s not assigned to domain"), path);
    else if (virDomainObjIsActive(vm) && vireoStorageServes(disk))
        ret = vireoDomainGetServedInfo(vm, path, info);
    else
        ret = vireoStatsGetImage(disk, info);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainStartDirtyRateCalc(virDomainPtr dom,
                              int seconds,
                              unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING |
                  VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP |
                  VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainStartDirtyRateCalcEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        ret = vireoDirtyRateStart(vm, seconds, flags);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainGetStats(virConnectPtr conn,
                    virDomainObj *vm,
                    unsigned int groups,
                    unsigned int flags,
                    virDomainStatsRecordPtr *record)
{
    g_autoptr(virTypedParamList) params = g_new0(virTypedParamList, 1);
    g_autofree virDomainStatsRecordPtr tmp = NULL;
    bool nowait = flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
    bool haveJob;
    int rc;

    /* Without a job there is still what the host knows. */
    haveJob = (nowait ? virDomainObjBeginJobNowait(vm, VIR_JOB_QUERY) :
               virDomainObjBeginJob(vm, VIR_JOB_QUERY)) == 0;
    if (!haveJob)
        virResetLastError();

    rc = vireoStatsCollect(vm, groups, haveJob, params);
    if (haveJob)
        virDomainObjEndJob(vm);
    if (rc < 0)
        return -1;

    tmp = g_new0(virDomainStatsRecord, 1);
    if (!(tmp->dom = virGetDomain(conn, vm->def->name, vm->def->uuid, vm->def->id)))
        return -1;
    tmp->nparams = virTypedParamListStealParams(params, &tmp->params);
    *record = g_steal_pointer(&tmp);

    return 0;
}

int
vireoConnectGetAllDomainStats(virConnectPtr conn,
                              virDomainPtr *doms,
                              unsigned int ndoms,
                              unsigned int stats,
                              virDomainStatsRecordPtr **retStats,
                              unsigned int flags)
{
    vireoDriver *driver = conn->privateData;
    virDomainObj **vms = NULL;
    virDomainStatsRecordPtr *records = NULL;
    virErrorPtr saved;
    unsigned int filter = flags & (VIR_CONNECT_LIST_DOMAINS_FILTERS_ACTIVE |
                                   VIR_CONNECT_LIST_DOMAINS_FILTERS_PERSISTENT |
                                   VIR_CONNECT_LIST_DOMAINS_FILTERS_STATE);
    size_t nvms;
    size_t i;
    int n = 0;
    int ret = -1;

    virCheckFlags(VIR_CONNECT_LIST_DOMAINS_FILTERS_ACTIVE |
                  VIR_CONNECT_LIST_DOMAINS_FILTERS_PERSISTENT |
                  VIR_CONNECT_LIST_DOMAINS_FILTERS_STATE |
                  VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT |
                  VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS, -1);

    if (virConnectGetAllDomainStatsEnsureACL(conn) < 0)
        return -1;

    if (stats & ~VIREO_STATS_ALL && flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS) {
        virReportError(VIR_ERR_ARGUMENT_UNSUPPORTED,
                       _("stats types bits 0x%x are not supported by this daemon"),
                       stats & ~VIREO_STATS_ALL);
        return -1;
    }
    if (stats == 0)
        stats = VIREO_STATS_ALL;

    if (ndoms > 0) {
        if (virDomainObjListConvert(driver->domains, conn, doms, ndoms, &vms, &nvms,
                                    virConnectGetAllDomainStatsCheckACL, filter, true) < 0)
            return -1;
    } else {
        virDomainObjListCollect(driver->domains, conn, &vms, &nvms,
                                virConnectGetAllDomainStatsCheckACL, filter);
    }

    records = g_new0(virDomainStatsRecordPtr, nvms + 1);
    for (i = 0; i < nvms; i++) {
        VIR_LOCK_GUARD lock = virObjectLockGuard(vms[i]);

        if (vireoDomainGetStats(conn, vms[i], stats & VIREO_STATS_ALL, flags, &records[n]) < 0)
            goto cleanup;
        n++;
    }

    *retStats = g_steal_pointer(&records);
    ret = n;

 cleanup:
    virErrorPreserveLast(&saved);
    virDomainStatsRecordListFree(records);
    virObjectListFreeCount(vms, nvms);
    virErrorRestore(&saved);
    return ret;
}
