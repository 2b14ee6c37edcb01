/*
 * vireo_driver_block.c: entry points of block jobs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "storage_source.h"
#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virstring.h"
#include "virtypedparam.h"

#include "vireo_blockdev.h"
#include "vireo_blockjob.h"
#include "vireo_driver.h"
#include "vireo_handover.h"
#include "vireo_image.h"
#include "vireo_overlay.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* Bytes per second of what a client calls bandwidth. */
static int
vireoDomainBlockSpeed(unsigned long bandwidth,
                      bool bytes,
                      unsigned long long *speed)
{
    *speed = bandwidth;
    if (bytes)
        return 0;

    if (bandwidth > LLONG_MAX >> 20) {
        virReportError(VIR_ERR_OVERFLOW, _("bandwidth must be less than %llu MiB/s"), LLONG_MAX >> 20);
        return -1;
    }
    *speed <<= 20;
    return 0;
}

/* An image of the disk's chain, by path or as vda[3]. */
static virStorageSource *
vireoDomainChainLookup(virDomainDiskDef *disk,
                       const char *name)
{
    return virStorageSourceChainLookup(disk->src, NULL, name, disk->dst, NULL);
}

static int
vireoDomainPull(virDomainObj *vm,
                const char *path,
                const char *base,
                unsigned long long speed)
{
    virDomainDiskDef *disk = vireoBlockJobFindDisk(vm, path);
    virStorageSource *src = NULL;

    if (!disk || (base && !(src = vireoDomainChainLookup(disk, base))))
        return -1;
    if (src == disk->src) {
        virReportError(VIR_ERR_INVALID_ARG, _("'%s' is the image of disk '%s' itself"), base, disk->dst);
        return -1;
    }

    return vireoBlockJobPull(vm, disk, src, speed);
}

int
vireoDomainBlockPull(virDomainPtr dom,
                     const char *path,
                     unsigned long bandwidth,
                     unsigned int flags)
{
    virDomainObj *vm;
    unsigned long long speed;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES, -1);

    if (vireoDomainBlockSpeed(bandwidth, flags & VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES, &speed) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockPullEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        ret = vireoDomainPull(vm, path, NULL, speed);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainCommit(virDomainObj *vm,
                  const char *path,
                  const char *baseName,
                  const char *topName,
                  unsigned long long speed,
                  unsigned int flags)
{
    virDomainDiskDef *disk = vireoBlockJobFindDisk(vm, path);
    virStorageSource *top;
    virStorageSource *base;

    if (!disk || !(top = topName ? vireoDomainChainLookup(disk, topName) : disk->src))
        return -1;

    if (top == disk->src && !(flags & VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)) {
        virReportError(VIR_ERR_INVALID_ARG, _("commit of '%s' active layer requires active flag"),
                       disk->dst);
        return -1;
    }
    if (!virStorageSourceHasBacking(top)) {
        virReportError(VIR_ERR_INVALID_ARG, _("top '%s' in chain for '%s' has no backing file"),
                       NULLSTR(top->path), disk->dst);
        return -1;
    }

    if (baseName) {
        if (!(base = virStorageSourceChainLookup(disk->src, top, baseName, disk->dst, NULL)))
            return -1;
    } else if (flags & VIR_DOMAIN_BLOCK_COMMIT_SHALLOW) {
        base = top->backingStore;
    } else {
        for (base = top->backingStore; virStorageSourceHasBacking(base); base = base->backingStore)
            ;
    }
    if (flags & VIR_DOMAIN_BLOCK_COMMIT_SHALLOW && base != top->backingStore) {
        virReportError(VIR_ERR_INVALID_ARG, _("base '%s' is not immediately below '%s' in chain for '%s'"),
                       NULLSTR(base->path), NULLSTR(top->path), disk->dst);
        return -1;
    }

    return vireoBlockJobCommit(vm, disk, top, base, speed, flags & VIR_DOMAIN_BLOCK_COMMIT_DELETE);
}

int
vireoDomainBlockCommit(virDomainPtr dom,
                       const char *path,
                       const char *base,
                       const char *top,
                       unsigned long bandwidth,
                       unsigned int flags)
{
    virDomainObj *vm;
    unsigned long long speed;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_COMMIT_SHALLOW |
                  VIR_DOMAIN_BLOCK_COMMIT_ACTIVE |
                  VIR_DOMAIN_BLOCK_COMMIT_DELETE |
                  VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES, -1);

    if (vireoDomainBlockSpeed(bandwidth, flags & VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES, &speed) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockCommitEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        ret = vireoDomainCommit(vm, path, base, top, speed, flags);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

typedef struct {
    unsigned long long speed;
    unsigned int granularity;
    unsigned long long bufSize;
} vireoDomainCopyParams;

static int
vireoDomainParseCopyParams(virTypedParameterPtr params,
                           int nparams,
                           vireoDomainCopyParams *copy)
{
    if (virTypedParamsValidate(params, nparams,
                               VIR_DOMAIN_BLOCK_COPY_BANDWIDTH, VIR_TYPED_PARAM_ULLONG,
                               VIR_DOMAIN_BLOCK_COPY_GRANULARITY, VIR_TYPED_PARAM_UINT,
                               VIR_DOMAIN_BLOCK_COPY_BUF_SIZE, VIR_TYPED_PARAM_ULLONG,
                               NULL) < 0 ||
        virTypedParamsGetULLong(params, nparams, VIR_DOMAIN_BLOCK_COPY_BANDWIDTH, &copy->speed) < 0 ||
        virTypedParamsGetUInt(params, nparams, VIR_DOMAIN_BLOCK_COPY_GRANULARITY,
                              &copy->granularity) < 0 ||
        virTypedParamsGetULLong(params, nparams, VIR_DOMAIN_BLOCK_COPY_BUF_SIZE, &copy->bufSize) < 0)
        return -1;

    return 0;
}

/* A daemon that ends before the job is known leaves the file to its successor to remove. */
static int
vireoDomainMakeCopy(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    virStorageSource *target)
{
    virDomainBlockInfo info = { 0 };

    if (vireoImageGetInfo(vm, disk, &info) < 0)
        return -1;
    if (!virFileExists(target->path)) {
        vireoOverlayIntend(vm, disk, target, true);
        vireoDomainSaveStatus(vm);
    }
    if (vireoImageCreate(target, info.capacity) == 0)
        return 0;

    vireoOverlaysForget(vm);
    vireoDomainSaveStatus(vm);
    return -1;
}

/* Makes the file of a copy, unless it is there, and starts the job. */
static int
vireoDomainCopy(virDomainObj *vm,
                virDomainDiskDef *disk,
                virStorageSource *source,
                const vireoDomainCopyParams *params,
                unsigned int flags)
{
    g_autoptr(virStorageSource) target = source;
    bool shallow = flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW;
    bool existing = flags & VIR_DOMAIN_BLOCK_COPY_REUSE_EXT;
    bool isFile;
    int ret = -1;

    if (target->format <= VIR_STORAGE_FILE_NONE)
        target->format = disk->src->format;
    if (vireoBlockdevCheck(target, disk) < 0)
        return -1;
    isFile = virStorageSourceGetActualType(target) == VIR_STORAGE_TYPE_FILE;
    if (shallow && virStorageSourceHasBacking(disk->src) && target->format < VIR_STORAGE_FILE_BACKING) {
        virReportError(VIR_ERR_INVALID_ARG, _("a shallow copy of disk '%s' cannot be of format '%s'"),
                       disk->dst, virStorageFileFormatTypeToString(target->format));
        return -1;
    }

    virObjectUnref(target->backingStore);
    target->backingStore = shallow && virStorageSourceHasBacking(disk->src) ?
        virObjectRef(disk->src->backingStore) : virStorageSourceNew();
    if (isFile && !existing && vireoDomainMakeCopy(vm, disk, target) < 0)
        return -1;

    if ((vireoStorageServes(disk) || vireoHandoverTake(vm, disk) == 0) &&
        vireoBlockJobCopy(vm, disk, virObjectRef(target), shallow, existing, params->speed,
                          params->granularity, params->bufSize) == 0) {
        ret = 0;
    } else {
        vireoHandoverReturn(vm, disk);
        if (isFile && !existing)
            vireoImageRemove(target);
    }
    vireoOverlaysForget(vm);
    vireoDomainSaveStatus(vm);

    return ret;
}

/* The older call says less of the target than XML does. */
static int
vireoDomainRebaseCopy(virDomainObj *vm,
                      const char *path,
                      const char *base,
                      unsigned long long speed,
                      unsigned int flags)
{
    virDomainDiskDef *disk = vireoBlockJobFindDisk(vm, path);
    vireoDomainCopyParams params = { .speed = speed };
    unsigned int copyFlags = 0;
    virStorageSource *target;

    if (!disk)
        return -1;

    target = virStorageSourceNew();
    target->type = flags & VIR_DOMAIN_BLOCK_REBASE_COPY_DEV ? VIR_STORAGE_TYPE_BLOCK : VIR_STORAGE_TYPE_FILE;
    target->path = g_strdup(base);
    if (flags & VIR_DOMAIN_BLOCK_REBASE_COPY_RAW)
        target->format = VIR_STORAGE_FILE_RAW;
    if (flags & VIR_DOMAIN_BLOCK_REBASE_SHALLOW)
        copyFlags |= VIR_DOMAIN_BLOCK_COPY_SHALLOW;
    if (flags & VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT)
        copyFlags |= VIR_DOMAIN_BLOCK_COPY_REUSE_EXT;

    return vireoDomainCopy(vm, disk, target, &params, copyFlags);
}

int
vireoDomainBlockRebase(virDomainPtr dom,
                       const char *path,
                       const char *base,
                       unsigned long bandwidth,
                       unsigned int flags)
{
    virDomainObj *vm;
    unsigned long long speed;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_REBASE_SHALLOW |
                  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT |
                  VIR_DOMAIN_BLOCK_REBASE_COPY |
                  VIR_DOMAIN_BLOCK_REBASE_COPY_RAW |
                  VIR_DOMAIN_BLOCK_REBASE_COPY_DEV |
                  VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES, -1);
    VIR_REQUIRE_FLAG_RET(VIR_DOMAIN_BLOCK_REBASE_SHALLOW, VIR_DOMAIN_BLOCK_REBASE_COPY, -1);

    if (vireoDomainBlockSpeed(bandwidth, flags & VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES, &speed) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockRebaseEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        if (flags & VIR_DOMAIN_BLOCK_REBASE_COPY)
            ret = vireoDomainRebaseCopy(vm, path, base, speed, flags);
        else
            ret = vireoDomainPull(vm, path, base, speed);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainBlockCopy(virDomainPtr dom,
                     const char *path,
                     const char *destxml,
                     virTypedParameterPtr params,
                     int nparams,
                     unsigned int flags)
{
    vireoDriver *driver = dom->conn->privateData;
    vireoDomainCopyParams copy = { 0 };
    virDomainDiskDef *disk;
    virStorageSource *target;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_COPY_SHALLOW |
                  VIR_DOMAIN_BLOCK_COPY_REUSE_EXT |
                  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB, -1);

    if (vireoDomainParseCopyParams(params, nparams, &copy) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockCopyEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    if ((disk = vireoBlockJobFindDisk(vm, path)) &&
        (target = virDomainDiskDefParseSource(destxml, driver->xmlopt, VIR_DOMAIN_DEF_PARSE_INACTIVE)))
        ret = vireoDomainCopy(vm, disk, target, &copy, flags);
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

/* The job of a disk; NULL with an error reported if it has none. */
static vireoBlockJob *
vireoDomainFindBlockJob(virDomainObj *vm,
                        const char *path)
{
    virDomainDiskDef *disk = vireoBlockJobFindDisk(vm, path);
    vireoBlockJob *job = disk ? vireoBlockJobFind(vm, disk) : NULL;

    if (disk && !job)
        virReportError(VIR_ERR_INVALID_ARG, _("disk '%s' has no block job"), disk->dst);

    return job;
}

int
vireoDomainBlockJobAbort(virDomainPtr dom,
                         const char *path,
                         unsigned int flags)
{
    virDomainObj *vm;
    vireoBlockJob *job;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC |
                  VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockJobAbortEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        if ((job = vireoDomainFindBlockJob(vm, path)))
            ret = vireoBlockJobAbort(vm, job, flags & VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT,
                                     flags & VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetBlockJobInfo(virDomainPtr dom,
                           const char *path,
                           virDomainBlockJobInfoPtr info,
                           unsigned int flags)
{
    virDomainObj *vm;
    virDomainDiskDef *disk;
    vireoBlockJob *job;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetBlockJobInfoEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_QUERY) == 0) {
        if (!(disk = virDomainDiskByName(vm->def, path, false)))
            virReportError(VIR_ERR_INVALID_ARG, _("the domain has no disk '%s'"), path);
        else if (!(job = vireoBlockJobFind(vm, disk)))
            ret = 0;
        else
            ret = vireoBlockJobGetInfo(vm, job, info);
        if (ret == 1 && !(flags & VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES))
            info->bandwidth = VIR_DIV_UP(info->bandwidth, 1024 * 1024);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainBlockJobSetSpeed(virDomainPtr dom,
                            const char *path,
                            unsigned long bandwidth,
                            unsigned int flags)
{
    virDomainObj *vm;
    vireoBlockJob *job;
    unsigned long long speed;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES, -1);

    if (vireoDomainBlockSpeed(bandwidth, flags & VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES, &speed) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockJobSetSpeedEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        if ((job = vireoDomainFindBlockJob(vm, path)))
            ret = vireoBlockJobSetSpeed(vm, job, speed);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}
