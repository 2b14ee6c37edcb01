/*
 * vireo_stats.c: numbers about running domains
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage_file_probe.h"
#include "storage_source.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virprocess.h"

#include "vireo_alias.h"
#include "vireo_dirty_rate.h"
#include "vireo_interface.h"
#include "vireo_memory_device.h"
#include "vireo_qmp.h"
#include "vireo_stats.h"
#include "vireo_stats_queue.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

static void
vireoStatsParseBlock(virJSONValue *stats,
                     vireoStatsBlock *block)
{
    const struct {
        const char *name;
        unsigned long long *value;
    } members[] = {
        { "rd_operations", &block->rdReqs },
        { "rd_bytes", &block->rdBytes },
        { "rd_total_time_ns", &block->rdTimesNS },
        { "wr_operations", &block->wrReqs },
        { "wr_bytes", &block->wrBytes },
        { "wr_total_time_ns", &block->wrTimesNS },
        { "flush_operations", &block->flReqs },
        { "flush_total_time_ns", &block->flTimesNS },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(members); i++)
        ignore_value(virJSONValueObjectGetNumberUlong(stats, members[i].name, members[i].value));
}

int
vireoStatsGetBlocks(virDomainObj *vm,
                    GHashTable **blocks)
{
    g_autoptr(GHashTable) hash = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(virJSONValue) result = NULL;
    size_t i;

    if (vireoQmpCommand(vm, "query-blockstats", NULL, &result) < 0)
        return -1;
    if (!virJSONValueIsArray(result)) {
        virReportError(VIR_ERR_INTERNAL_ERROR, "%s",
                       _("the monitor's reply to 'query-blockstats' is not as expected"));
        return -1;
    }

    for (i = 0; i < virJSONValueArraySize(result); i++) {
        virJSONValue *entry = virJSONValueArrayGet(result, i);
        virJSONValue *stats = virJSONValueObjectGetObject(entry, "stats");
        const char *node = virJSONValueObjectGetString(entry, "node-name");

        if (node && stats) {
            vireoStatsBlock *block = g_new0(vireoStatsBlock, 1);

            vireoStatsParseBlock(stats, block);
            g_hash_table_insert(hash, g_strdup(node), block);
        }
    }

    *blocks = g_steal_pointer(&hash);
    return 0;
}

/* The size that the guest sees, where the image's header tells it. */
static int
vireoStatsGetCapacity(virDomainDiskDef *disk,
                      int fd,
                      virDomainBlockInfo *info)
{
    g_autofree char *header = NULL;
    ssize_t n;

    if (virDomainDiskGetFormat(disk) <= VIR_STORAGE_FILE_RAW && !disk->src->encryption)
        return 0;

    if ((n = virFileReadHeaderFD(fd, VIR_STORAGE_MAX_HEADER, &header)) < 0) {
        virReportSystemError(errno, _("cannot read the image of disk '%s'"), disk->dst);
        return -1;
    }
    if (virStorageSourceUpdateCapacity(disk->src, header, n) < 0)
        return -1;
    info->capacity = disk->src->capacity;

    return 0;
}

int
vireoStatsGetImage(virDomainDiskDef *disk,
                   virDomainBlockInfo *info)
{
    const char *path = virDomainDiskGetSource(disk);
    VIR_AUTOCLOSE fd = -1;
    struct stat sb;
    off_t end;

    if (!virStorageSourceIsLocalStorage(disk->src)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("the image of disk '%s' is not this host's"), disk->dst);
        return -1;
    }

    if (!path || (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0 || fstat(fd, &sb) < 0) {
        virReportSystemError(errno, _("cannot open the image '%s' of disk '%s'"), NULLSTR(path),
                             disk->dst);
        return -1;
    }
    if (S_ISREG(sb.st_mode)) {
        info->capacity = info->physical = sb.st_size;
        info->allocation = (unsigned long long)sb.st_blocks * 512;
        return vireoStatsGetCapacity(disk, fd, info);
    }
    if ((end = lseek(fd, 0, SEEK_END)) < 0) {
        virReportSystemError(errno, _("cannot find the size of '%s'"), path);
        return -1;
    }
    info->capacity = info->physical = info->allocation = end;

    return vireoStatsGetCapacity(disk, fd, info);
}

/* What the guest's balloon driver tells; not every guest does, and that is no error. */
static int
vireoStatsGetGuestMemory(virDomainObj *vm,
                         virDomainMemoryStatStruct *stats,
                         unsigned int nstats)
{
    const struct {
        const char *name;
        int tag;
        unsigned int divisor;
    } members[] = {
        { "stat-swap-in", VIR_DOMAIN_MEMORY_STAT_SWAP_IN, 1024 },
        { "stat-swap-out", VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, 1024 },
        { "stat-major-faults", VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, 1 },
        { "stat-minor-faults", VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT, 1 },
        { "stat-free-memory", VIR_DOMAIN_MEMORY_STAT_UNUSED, 1024 },
        { "stat-total-memory", VIR_DOMAIN_MEMORY_STAT_AVAILABLE, 1024 },
        { "stat-available-memory", VIR_DOMAIN_MEMORY_STAT_USABLE, 1024 },
        { "stat-disk-caches", VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, 1024 },
        { "stat-htlb-pgalloc", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, 1 },
        { "stat-htlb-pgfail", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, 1 },
    };
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) result = NULL;
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s",
                                            vm->def->memballoon->info.alias);
    virJSONValue *values;
    unsigned long long updated;
    unsigned int n = 0;
    size_t i;

    if (virJSONValueObjectAdd(&args, "s:path", path, "s:property", "guest-stats", NULL) < 0)
        return -1;
    if (vireoQmpCommand(vm, "qom-get", &args, &result) < 0) {
        virResetLastError();
        return virDomainObjCheckActive(vm);
    }
    if (!virJSONValueIsObject(result) || !(values = virJSONValueObjectGetObject(result, "stats")))
        return 0;

    for (i = 0; i < G_N_ELEMENTS(members) && n < nstats; i++) {
        unsigned long long value;

        /* What the guest does not tell is all ones, or absent. */
        if (virJSONValueObjectGetNumberUlong(values, members[i].name, &value) < 0 ||
            value == ULLONG_MAX)
            continue;
        stats[n].tag = members[i].tag;
        stats[n++].val = value / members[i].divisor;
    }
    /* 0 is never. */
    if (n < nstats &&
        virJSONValueObjectGetNumberUlong(result, "last-update", &updated) == 0 && updated > 0) {
        stats[n].tag = VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE;
        stats[n++].val = updated;
    }

    return n;
}

int
vireoStatsGetMemory(virDomainObj *vm,
                    virDomainMemoryStatStruct *stats,
                    unsigned int nstats)
{
    unsigned int n = 0;
    long rss;

    if (virDomainDefHasMemballoon(vm->def)) {
        int got = vireoStatsGetGuestMemory(vm, stats, nstats);
        unsigned long long balloon;

        if (got < 0 || vireoQmpGetBalloon(vm, &balloon) < 0)
            return -1;
        n = got;
        if (n < nstats) {
            stats[n].tag = VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON;
            stats[n++].val = balloon + vireoMemoryDeviceCurrent(vm->def);
        }
    } else if (n < nstats) {
        stats[n].tag = VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON;
        stats[n++].val = virDomainDefGetMemoryTotal(vm->def);
    }

    if (n < nstats && virProcessGetStatInfo(NULL, NULL, NULL, NULL, &rss, vm->pid, 0) == 0) {
        stats[n].tag = VIR_DOMAIN_MEMORY_STAT_RSS;
        stats[n++].val = rss;
    }

    return n;
}

static int
vireoStatsCollectState(virDomainObj *vm,
                       bool haveJob G_GNUC_UNUSED,
                       virTypedParamList *params)
{
    int reason;
    int state = virDomainObjGetState(vm, &reason);

    if (virTypedParamListAddInt(params, state, "state.state") < 0)
        return -1;

    return virTypedParamListAddInt(params, reason, "state.reason");
}

static int
vireoStatsCollectCpu(virDomainObj *vm,
                     bool haveJob G_GNUC_UNUSED,
                     virTypedParamList *params)
{
    unsigned long long total;
    unsigned long long user;
    unsigned long long system;

    if (!virDomainObjIsActive(vm) ||
        virProcessGetStatInfo(&total, &user, &system, NULL, NULL, vm->pid, 0) < 0)
        return 0;

    if (virTypedParamListAddULLong(params, total, "cpu.time") < 0 ||
        virTypedParamListAddULLong(params, user, "cpu.user") < 0)
        return -1;

    return virTypedParamListAddULLong(params, system, "cpu.system");
}

static int
vireoStatsCollectBalloon(virDomainObj *vm,
                         bool haveJob,
                         virTypedParamList *params)
{
    static const char *const names[VIR_DOMAIN_MEMORY_STAT_NR] = {
        [VIR_DOMAIN_MEMORY_STAT_SWAP_IN] = "balloon.swap_in",
        [VIR_DOMAIN_MEMORY_STAT_SWAP_OUT] = "balloon.swap_out",
        [VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT] = "balloon.major_fault",
        [VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT] = "balloon.minor_fault",
        [VIR_DOMAIN_MEMORY_STAT_UNUSED] = "balloon.unused",
        [VIR_DOMAIN_MEMORY_STAT_AVAILABLE] = "balloon.available",
        [VIR_DOMAIN_MEMORY_STAT_USABLE] = "balloon.usable",
        [VIR_DOMAIN_MEMORY_STAT_RSS] = "balloon.rss",
        [VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE] = "balloon.last-update",
        [VIR_DOMAIN_MEMORY_STAT_DISK_CACHES] = "balloon.disk_caches",
        [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC] = "balloon.hugetlb_pgalloc",
        [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL] = "balloon.hugetlb_pgfail",
    };
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int n = 0;
    int i;

    if (virTypedParamListAddULLong(params, vm->def->mem.cur_balloon, "balloon.current") < 0 ||
        virTypedParamListAddULLong(params, virDomainDefGetMemoryTotal(vm->def),
                                   "balloon.maximum") < 0)
        return -1;

    if (haveJob && virDomainObjIsActive(vm) &&
        (n = vireoStatsGetMemory(vm, stats, G_N_ELEMENTS(stats))) < 0)
        return -1;
    for (i = 0; i < n; i++) {
        const char *name = names[stats[i].tag];

        if (name && virTypedParamListAddULLong(params, stats[i].val, "%s", name) < 0)
            return -1;
    }

    return 0;
}

static int
vireoStatsCollectVcpu(virDomainObj *vm,
                      bool haveJob G_GNUC_UNUSED,
                      virTypedParamList *params)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    if (virTypedParamListAddUInt(params, virDomainDefGetVcpus(vm->def), "vcpu.current") < 0 ||
        virTypedParamListAddUInt(params, virDomainDefGetVcpusMax(vm->def), "vcpu.maximum") < 0)
        return -1;

    for (i = 0; virDomainObjIsActive(vm) && i < priv->nvcpuThreads; i++) {
        unsigned long long time;

        if (priv->vcpuThreads[i] == 0 ||
            virProcessGetStatInfo(&time, NULL, NULL, NULL, NULL, vm->pid, priv->vcpuThreads[i]) < 0)
            continue;
        if (virTypedParamListAddInt(params, VIR_VCPU_RUNNING, "vcpu.%zu.state", i) < 0 ||
            virTypedParamListAddULLong(params, time, "vcpu.%zu.time", i) < 0)
            return -1;
    }

    return 0;
}

static int
vireoStatsCollectNet(const virDomainInterfaceStatsStruct *stats,
                     size_t i,
                     virTypedParamList *params)
{
    const struct {
        const char *name;
        long long value;
    } members[] = {
        { "rx.bytes", stats->rx_bytes }, { "rx.pkts", stats->rx_packets },
        { "rx.errs", stats->rx_errs }, { "rx.drop", stats->rx_drop },
        { "tx.bytes", stats->tx_bytes }, { "tx.pkts", stats->tx_packets },
        { "tx.errs", stats->tx_errs }, { "tx.drop", stats->tx_drop },
    };
    size_t j;

    for (j = 0; j < G_N_ELEMENTS(members); j++) {
        if (members[j].value >= 0 &&
            virTypedParamListAddULLong(params, members[j].value, "net.%zu.%s", i,
                                       members[j].name) < 0)
            return -1;
    }

    return 0;
}

static int
vireoStatsCollectInterface(virDomainObj *vm,
                           bool haveJob,
                           virTypedParamList *params)
{
    g_autoptr(virJSONValue) queues = NULL;
    size_t i;

    if (!virDomainObjIsActive(vm))
        return 0;

    if (haveJob && vireoStatsQueueGet(vm, &queues) < 0)
        return -1;

    if (virTypedParamListAddUInt(params, vm->def->nnets, "net.count") < 0)
        return -1;

    for (i = 0; i < vm->def->nnets; i++) {
        virDomainNetDef *net = vm->def->nets[i];
        virDomainInterfaceStatsStruct stats;

        if (vireoStatsQueueCollect(queues, net->info.alias, "net", i, params) < 0)
            return -1;
        if (!net->ifname)
            continue;       /* passt's guests have no interface on the host */
        if (virTypedParamListAddString(params, net->ifname, "net.%zu.name", i) < 0)
            return -1;
        if (vireoInterfaceGetStats(net, &stats) < 0) {
            virResetLastError();
            continue;
        }
        if (vireoStatsCollectNet(&stats, i, params) < 0)
            return -1;
    }

    return 0;
}

static int
vireoStatsCollectDisk(virDomainDiskDef *disk,
                      const vireoStatsBlock *block,
                      size_t i,
                      virTypedParamList *params)
{
    virDomainBlockInfo info;

    if (virTypedParamListAddString(params, disk->dst, "block.%zu.name", i) < 0 ||
        (virDomainDiskGetSource(disk) &&
         virTypedParamListAddString(params, virDomainDiskGetSource(disk), "block.%zu.path", i) < 0))
        return -1;

    if (block &&
        (virTypedParamListAddULLong(params, block->rdReqs, "block.%zu.rd.reqs", i) < 0 ||
         virTypedParamListAddULLong(params, block->rdBytes, "block.%zu.rd.bytes", i) < 0 ||
         virTypedParamListAddULLong(params, block->rdTimesNS, "block.%zu.rd.times", i) < 0 ||
         virTypedParamListAddULLong(params, block->wrReqs, "block.%zu.wr.reqs", i) < 0 ||
         virTypedParamListAddULLong(params, block->wrBytes, "block.%zu.wr.bytes", i) < 0 ||
         virTypedParamListAddULLong(params, block->wrTimesNS, "block.%zu.wr.times", i) < 0 ||
         virTypedParamListAddULLong(params, block->flReqs, "block.%zu.fl.reqs", i) < 0 ||
         virTypedParamListAddULLong(params, block->flTimesNS, "block.%zu.fl.times", i) < 0))
        return -1;

    if (vireoStatsGetImage(disk, &info) < 0) {
        virResetLastError();
        return 0;
    }
    if (virTypedParamListAddULLong(params, info.allocation, "block.%zu.allocation", i) < 0 ||
        virTypedParamListAddULLong(params, info.capacity, "block.%zu.capacity", i) < 0)
        return -1;

    return virTypedParamListAddULLong(params, info.physical, "block.%zu.physical", i);
}

/* The queues of SCSI disks are their controllers'. */
static int
vireoStatsCollectScsi(const virDomainDef *def,
                      virJSONValue *queues,
                      virTypedParamList *params)
{
    unsigned int count = 0;
    size_t i;

    for (i = 0; i < def->ncontrollers; i++) {
        const virDomainControllerDef *controller = def->controllers[i];

        if (controller->type != VIR_DOMAIN_CONTROLLER_TYPE_SCSI)
            continue;
        if (vireoStatsQueueCollect(queues, controller->info.alias, "scsi", controller->idx,
                                   params) < 0)
            return -1;
        count++;
    }

    if (!queues || count == 0)
        return 0;
    return virTypedParamListAddUInt(params, count, "scsi.count");
}

static int
vireoStatsCollectBlock(virDomainObj *vm,
                       bool haveJob,
                       virTypedParamList *params)
{
    g_autoptr(GHashTable) blocks = NULL;
    g_autoptr(virJSONValue) queues = NULL;
    size_t i;

    if (haveJob && virDomainObjIsActive(vm) &&
        (vireoStatsGetBlocks(vm, &blocks) < 0 || vireoStatsQueueGet(vm, &queues) < 0))
        return -1;

    if (virTypedParamListAddUInt(params, vm->def->ndisks, "block.count") < 0)
        return -1;
    for (i = 0; i < vm->def->ndisks; i++) {
        g_autofree char *node = vireoAliasBlockNode(vm->def->disks[i]);

        if (vireoStatsCollectDisk(vm->def->disks[i], blocks ? g_hash_table_lookup(blocks, node) : NULL,
                                  i, params) < 0 ||
            vireoStatsQueueCollect(queues, vm->def->disks[i]->info.alias, "block", i, params) < 0)
            return -1;
    }

    return vireoStatsCollectScsi(vm->def, queues, params);
}

static int
vireoStatsCollectPolling(const vireoQmpPolling *polling,
                         unsigned int id,
                         virTypedParamList *params)
{
    if (virTypedParamListAddULLong(params, polling->maxNS, "iothread.%u.poll-max-ns", id) < 0)
        return -1;

    /* Who talks QMP himself can set what libvirt's type has no room for. */
    if ((polling->grow <= UINT_MAX &&
         virTypedParamListAddUInt(params, polling->grow, "iothread.%u.poll-grow", id) < 0) ||
        (polling->shrink <= UINT_MAX &&
         virTypedParamListAddUInt(params, polling->shrink, "iothread.%u.poll-shrink", id) < 0))
        return -1;

    return 0;
}

static int
vireoStatsCollectIOThread(virDomainObj *vm,
                          bool haveJob,
                          virTypedParamList *params)
{
    g_autoptr(GHashTable) polling = NULL;
    size_t i;

    if (!haveJob || !virDomainObjIsActive(vm) || vm->def->niothreadids == 0)
        return 0;

    if (vireoQmpGetPolling(vm, &polling) < 0 ||
        virTypedParamListAddUInt(params, vm->def->niothreadids, "iothread.count") < 0)
        return -1;
    for (i = 0; i < vm->def->niothreadids; i++) {
        unsigned int id = vm->def->iothreadids[i]->iothread_id;
        g_autofree char *alias = vireoAliasIOThread(id);
        const vireoQmpPolling *its = g_hash_table_lookup(polling, alias);

        if (its && vireoStatsCollectPolling(its, id, params) < 0)
            return -1;
    }

    return 0;
}

int
vireoStatsCollect(virDomainObj *vm,
                  unsigned int groups,
                  bool haveJob,
                  virTypedParamList *params)
{
    const struct {
        unsigned int group;
        int (*collect)(virDomainObj *vm,
                       bool haveJob,
                       virTypedParamList *params);
    } collectors[] = {
        { VIR_DOMAIN_STATS_STATE, vireoStatsCollectState },
        { VIR_DOMAIN_STATS_CPU_TOTAL, vireoStatsCollectCpu },
        { VIR_DOMAIN_STATS_BALLOON, vireoStatsCollectBalloon },
        { VIR_DOMAIN_STATS_VCPU, vireoStatsCollectVcpu },
        { VIR_DOMAIN_STATS_INTERFACE, vireoStatsCollectInterface },
        { VIR_DOMAIN_STATS_BLOCK, vireoStatsCollectBlock },
        { VIR_DOMAIN_STATS_IOTHREAD, vireoStatsCollectIOThread },
        { VIR_DOMAIN_STATS_DIRTYRATE, vireoDirtyRateCollect },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(collectors); i++) {
        if (groups & collectors[i].group &&
            collectors[i].collect(vm, haveJob, params) < 0)
            return -1;
    }

    return 0;
}
