/*
 * vireo_blockjob.c: block jobs of disks, which the storage daemon serves meanwhile
 *
 * The storage daemon changes the graph of its nodes when a job succeeds; the chain
 * in the definition follows when the job has concluded, and is saved before the job is
 * dismissed; then the nodes, labels and, if asked for, files of images that have
 * dropped out of it go.
 *
 * What mirrors, a copy or an active commit, has to be told to finalize: until then the guest's
 * requests wait, and both images hold the same. That the other one is current is saved
 * between the two.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_event.h"
#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_blockdev.h"
#include "vireo_blockjob.h"
#include "vireo_chain.h"
#include "vireo_disk.h"
#include "vireo_handover.h"
#include "vireo_storage.h"
#include "vireo_vhost.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_blockjob");

#define VIREO_BLOCKJOB_PREFIX "job-"

/* How often, and at what distance, one looks whether jobs stand still. */
#define VIREO_BLOCKJOB_TRIES 100
#define VIREO_BLOCKJOB_WAIT_US (10 * 1000)

vireoBlockJob *
vireoBlockJobFind(virDomainObj *vm,
                  const virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return g_hash_table_lookup(priv->blockJobs, disk->dst);
}

virDomainDiskDef *
vireoBlockJobFindDisk(virDomainObj *vm,
                      const char *path)
{
    virDomainDiskDef *disk = virDomainDiskByName(vm->def, path, false);

    if (!disk) {
        virReportError(VIR_ERR_INVALID_ARG, _("the domain has no disk '%s'"), path);
        return NULL;
    }
    if (vireoVhostIsDisk(disk)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, _("the image of disk '%s' is another process's"),
                       disk->dst);
        return NULL;
    }
    if (vireoDiskIsEmpty(disk)) {
        virReportError(VIR_ERR_OPERATION_INVALID, _("drive '%s' is empty"), disk->dst);
        return NULL;
    }

    return disk;
}

static char *
vireoBlockJobID(const char *disk)
{
    return g_strdup_printf(VIREO_BLOCKJOB_PREFIX "%s", disk);
}

static bool
vireoBlockJobMirrors(const vireoBlockJob *job)
{
    return job->type == VIR_DOMAIN_BLOCK_JOB_TYPE_COPY ||
        job->type == VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT;
}

static void
vireoBlockJobSendEvent(virDomainObj *vm,
                       virDomainDiskDef *disk,
                       int type,
                       int status)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventBlockJobNewFromObj(vm, virDomainDiskGetSource(disk), type,
                                                              status));
    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventBlockJob2NewFromObj(vm, disk->dst, type, status));
}

/* The disk is copied no more. */
static void
vireoBlockJobClearMirror(virDomainDiskDef *disk)
{
    g_clear_pointer(&disk->mirror, virObjectUnref);
    disk->mirrorState = VIR_DOMAIN_DISK_MIRROR_STATE_NONE;
    disk->mirrorJob = VIR_DOMAIN_BLOCK_JOB_TYPE_UNKNOWN;
}

/* Known, also to the daemon's successor, before the storage daemon is, for the events come at once. */
static int
vireoBlockJobStart(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   vireoBlockJob *job,
                   const char *command,
                   virJSONValue **args)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *id = vireoBlockJobID(disk->dst);
    g_autofree char *node = vireoBlockdevFormatNode(disk->src);

    if (virJSONValueObjectAdd(args,
                              "s:job-id", id,
                              "s:device", node,
                              "b:auto-finalize", !vireoBlockJobMirrors(job),
                              "b:auto-dismiss", false,
                              NULL) < 0) {
        vireoBlockJobFree(job);
        vireoBlockJobClearMirror(disk);
        return -1;
    }

    job->disk = g_strdup(disk->dst);
    g_hash_table_replace(priv->blockJobs, job->disk, job);
    vireoDomainSaveStatus(vm);
    if (vireoStorageCommand(vm, command, args, NULL) == 0)
        return 0;

    g_hash_table_remove(priv->blockJobs, disk->dst);
    vireoBlockJobClearMirror(disk);
    vireoDomainSaveStatus(vm);
    return -1;
}

int
vireoBlockJobCheckNone(virDomainObj *vm,
                       const virDomainDiskDef *disk)
{
    if (!vireoBlockJobFind(vm, disk))
        return 0;

    virReportError(VIR_ERR_BLOCK_COPY_ACTIVE, _("disk '%s' has a block job already"), disk->dst);
    return -1;
}

int
vireoBlockJobPull(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virStorageSource *base,
                  unsigned long long speed)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autofree char *node = base ? vireoBlockdevFormatNode(base) : NULL;
    vireoBlockJob *job;

    if (vireoBlockJobCheckNone(vm, disk) < 0)
        return -1;
    if (!virStorageSourceHasBacking(disk->src)) {
        virReportError(VIR_ERR_OPERATION_INVALID, _("disk '%s' has nothing behind it"), disk->dst);
        return -1;
    }
    if (virJSONValueObjectAdd(&args,
                              "S:base-node", node,
                              "S:backing-file", base ? base->path : NULL,
                              "P:speed", speed,
                              NULL) < 0)
        return -1;

    job = g_new0(vireoBlockJob, 1);
    job->type = VIR_DOMAIN_BLOCK_JOB_TYPE_PULL;
    job->top = disk->src->id;
    job->base = base ? base->id : 0;
    return vireoBlockJobStart(vm, disk, job, "block-stream", &args);
}

int
vireoBlockJobCommit(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    virStorageSource *top,
                    virStorageSource *base,
                    unsigned long long speed,
                    bool deleteImages)
{
    g_autofree char *topNode = vireoBlockdevFormatNode(top);
    g_autofree char *baseNode = vireoBlockdevFormatNode(base);
    g_autoptr(virJSONValue) args = NULL;
    bool active = top == disk->src;
    virStorageSource *overlay;
    vireoBlockJob *job;

    if (vireoBlockJobCheckNone(vm, disk) < 0)
        return -1;
    if (virJSONValueObjectAdd(&args,
                              "s:top-node", topNode,
                              "s:base-node", baseNode,
                              "S:backing-file", active ? NULL : base->path,
                              "P:speed", speed,
                              NULL) < 0)
        return -1;

    /* The one gets data, what lies on the other a new name in its header. */
    overlay = vireoChainOverlay(disk, top);
    if (vireoChainAllowWrite(vm, base) < 0 ||
        (overlay && overlay != disk->src && vireoChainAllowWrite(vm, overlay) < 0))
        return -1;

    job = g_new0(vireoBlockJob, 1);
    job->type = active ? VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT : VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT;
    job->top = top->id;
    job->base = base->id;
    job->deleteImages = deleteImages;
    if (active) {
        disk->mirror = virStorageSourceCopy(base, false);
        disk->mirrorJob = VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT;
    }
    return vireoBlockJobStart(vm, disk, job, "block-commit", &args);
}

int
vireoBlockJobCopy(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virStorageSource *source,
                  bool shallow,
                  bool existing,
                  unsigned long long speed,
                  unsigned int granularity,
                  unsigned long long bufSize)
{
    g_autoptr(virStorageSource) target = source;
    g_autofree char *node = NULL;
    g_autoptr(virJSONValue) args = NULL;
    vireoBlockJob *job;

    if (vireoBlockJobCheckNone(vm, disk) < 0 ||
        vireoChainAddImage(vm, disk, target) < 0)
        return -1;

    node = vireoBlockdevFormatNode(target);
    job = g_new0(vireoBlockJob, 1);
    job->type = VIR_DOMAIN_BLOCK_JOB_TYPE_COPY;
    job->top = disk->src->id;
    job->base = shallow && virStorageSourceHasBacking(disk->src) ? disk->src->backingStore->id : 0;
    job->existing = existing;
    disk->mirror = virObjectRef(target);
    disk->mirrorJob = VIR_DOMAIN_BLOCK_JOB_TYPE_COPY;

    ignore_value(virJSONValueObjectAdd(&args,
                                       "s:target", node,
                                       "s:sync", shallow ? "top" : "full",
                                       "P:speed", speed,
                                       "p:granularity", granularity,
                                       "P:buf-size", bufSize,
                                       NULL));
    if (vireoBlockJobStart(vm, disk, job, "blockdev-mirror", &args) == 0)
        return 0;

    vireoChainRemoveImage(vm, target);
    return -1;
}

/* The description of a job in the storage daemon's list, or NULL. */
static virJSONValue *
vireoBlockJobFindIn(virJSONValue *list,
                    const char *key,
                    const char *id)
{
    size_t i;

    for (i = 0; virJSONValueIsArray(list) && i < virJSONValueArraySize(list); i++) {
        virJSONValue *item = virJSONValueArrayGet(list, i);

        if (virJSONValueIsObject(item) &&
            STREQ_NULLABLE(virJSONValueObjectGetString(item, key), id))
            return item;
    }

    return NULL;
}

/* Brings the definition in line with what a job that succeeded has done. Returns the images from which on
 * to before @end none is of use any more; unref when they are removed. */
static virStorageSource *
vireoBlockJobApply(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   const vireoBlockJob *job,
                   virStorageSource **end)
{
    virStorageSource *top = vireoChainFind(disk->src, job->top);
    virStorageSource *base = job->base != 0 ? vireoChainFind(disk->src, job->base) : NULL;

    if (!top || (job->base != 0 && !base)) {
        VIR_WARN("the images of the block job of disk %s of domain %s are not in its chain", disk->dst,
                 vm->def->name);
        return NULL;
    }

    *end = base;
    switch ((virDomainBlockJobType)job->type) {
    case VIR_DOMAIN_BLOCK_JOB_TYPE_PULL:
        return vireoChainCut(vm, disk, top, base);
    case VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT:
        return vireoChainCut(vm, disk, vireoChainOverlay(disk, top), base);
    case VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT:
        return vireoChainPivot(vm, disk, virObjectRef(base), base);
    case VIR_DOMAIN_BLOCK_JOB_TYPE_COPY:
        return vireoChainPivot(vm, disk, virObjectRef(disk->mirror), base);
    default:
        return NULL;
    }
}

/* Deals with the end of a job, and forgets it. @error: what it failed with, or NULL */
static void
vireoBlockJobFinish(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    vireoBlockJob *job,
                    const char *error)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *id = vireoBlockJobID(disk->dst);
    g_autoptr(virStorageSource) removed = NULL;
    virStorageSource *end = NULL;
    bool deleteImages = false;
    int type = job->type;
    int status = VIR_DOMAIN_BLOCK_JOB_COMPLETED;

    if (vireoBlockJobMirrors(job) && disk->mirrorState == VIR_DOMAIN_DISK_MIRROR_STATE_ABORT)
        status = VIR_DOMAIN_BLOCK_JOB_CANCELED;
    else if (error)
        status = strstr(error, "cancel") ? VIR_DOMAIN_BLOCK_JOB_CANCELED : VIR_DOMAIN_BLOCK_JOB_FAILED;
    if (status == VIR_DOMAIN_BLOCK_JOB_FAILED)
        VIR_WARN("the block job of disk %s of domain %s failed: %s", disk->dst, vm->def->name, error);

    if (status == VIR_DOMAIN_BLOCK_JOB_COMPLETED) {
        deleteImages = job->deleteImages;
        removed = vireoBlockJobApply(vm, disk, job, &end);
    } else if (job->type == VIR_DOMAIN_BLOCK_JOB_TYPE_COPY && disk->mirror) {
        removed = virObjectRef(disk->mirror);
        end = removed->backingStore;
    }

    vireoBlockJobClearMirror(disk);
    g_hash_table_remove(priv->blockJobs, disk->dst);
    vireoDomainSaveStatus(vm);
    /* Who dismisses it first leaves nobody who knows of it, should the libvirt daemon end in between. */
    vireoStorageDel(vm, "job-dismiss", "id", id);
    vireoChainRemoveImages(vm, removed, end, deleteImages);
    vireoHandoverReturn(vm, disk);
    vireoBlockJobSendEvent(vm, disk, type, status);
}

/* What the storage daemon says of a job: @status is NULL if it has none such, @error if it did not fail. */
static int
vireoBlockJobAsk(virDomainObj *vm,
                 const char *id,
                 char **status,
                 char **error)
{
    g_autoptr(virJSONValue) list = NULL;
    virJSONValue *found;

    if (vireoStorageCommand(vm, "query-jobs", NULL, &list) < 0)
        return -1;
    if ((found = vireoBlockJobFindIn(list, "id", id))) {
        *status = g_strdup(virJSONValueObjectGetString(found, "status"));
        *error = g_strdup(virJSONValueObjectGetString(found, "error"));
    }

    return 0;
}

/* What a job that the storage daemon has lost failed with. NULL: it did not, for it has made the other image
 * current, or would have with nothing written in between. */
static const char *
vireoBlockJobLostError(const vireoBlockJob *job)
{
    return job->pivoting ? NULL : "the storage daemon does not know it any more";
}

/* The other image is current from now on, if it is to be, and the guest's requests go on. */
static int
vireoBlockJobFinalize(virDomainObj *vm,
                      virDomainDiskDef *disk,
                      vireoBlockJob *job,
                      const char *id)
{
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "s:id", id, NULL) < 0)
        return -1;

    job->pivoting = disk->mirrorState == VIR_DOMAIN_DISK_MIRROR_STATE_PIVOT;
    vireoDomainSaveStatus(vm);
    return vireoStorageCommand(vm, "job-finalize", &args, NULL);
}

/* Has a job that mirrors end as the definition says. */
static int
vireoBlockJobEnd(virDomainObj *vm,
                 virDomainDiskDef *disk,
                 vireoBlockJob *job,
                 const char *id)
{
    bool pivot = disk->mirrorState == VIR_DOMAIN_DISK_MIRROR_STATE_PIVOT;
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "s:device", id, NULL) < 0)
        return -1;

    job->told = true;
    return vireoStorageCommand(vm, pivot ? "block-job-complete" : "block-job-cancel", &args, NULL);
}

/* Looks how far a job is, and deals with that. Returns 1 if it is over, 0 if it goes on, or -1 with an
 * error reported. */
static int
vireoBlockJobCheck(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   vireoBlockJob *job)
{
    g_autofree char *id = vireoBlockJobID(disk->dst);
    g_autofree char *status = NULL;
    g_autofree char *error = NULL;

    if (vireoBlockJobAsk(vm, id, &status, &error) < 0)
        return -1;
    if (STREQ_NULLABLE(status, "pending")) {
        g_clear_pointer(&status, g_free);
        if (vireoBlockJobFinalize(vm, disk, job, id) < 0 ||
            vireoBlockJobAsk(vm, id, &status, &error) < 0)
            return -1;
    }

    if (!status) {
        vireoBlockJobFinish(vm, disk, job, vireoBlockJobLostError(job));
        return 1;
    }
    if (STREQ(status, "concluded")) {
        vireoBlockJobFinish(vm, disk, job, error);
        return 1;
    }
    if (STREQ(status, "ready") && disk->mirror && disk->mirrorState == VIR_DOMAIN_DISK_MIRROR_STATE_NONE)
        disk->mirrorState = VIR_DOMAIN_DISK_MIRROR_STATE_READY;
    /* The daemon before may have ended before it said so; to say it twice does no harm. */
    if (!job->told && (disk->mirrorState == VIR_DOMAIN_DISK_MIRROR_STATE_PIVOT ||
                       disk->mirrorState == VIR_DOMAIN_DISK_MIRROR_STATE_ABORT))
        return vireoBlockJobEnd(vm, disk, job, id);

    return 0;
}

static int
vireoBlockJobWait(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  vireoBlockJob *job)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int rc = 0;

    while (rc == 0) {
        if (!job->changed && virDomainObjWait(vm) < 0)
            return -1;
        if (!priv->storage) {
            virReportError(VIR_ERR_OPERATION_FAILED,
                           _("the storage daemon of domain '%s' has ended"), vm->def->name);
            rc = -1;
        } else if (job->changed) {
            job->changed = false;
            rc = vireoBlockJobCheck(vm, disk, job);
        }
    }
    if (rc < 0)
        job->awaited = false;

    return rc < 0 ? -1 : 0;
}

int
vireoBlockJobAbort(virDomainObj *vm,
                   vireoBlockJob *job,
                   bool pivot,
                   bool async)
{
    virDomainDiskDef *disk = virDomainDiskByTarget(vm->def, job->disk);
    g_autofree char *id = vireoBlockJobID(job->disk);
    int oldState = disk->mirrorState;

    /* Who was told to go on in the other image cannot be stopped by being told to stop copying. */
    if (oldState == VIR_DOMAIN_DISK_MIRROR_STATE_PIVOT || oldState == VIR_DOMAIN_DISK_MIRROR_STATE_ABORT) {
        virReportError(VIR_ERR_OPERATION_INVALID, _("the block job of disk '%s' is about to end already"),
                       disk->dst);
        return -1;
    }
    if (pivot && oldState != VIR_DOMAIN_DISK_MIRROR_STATE_READY) {
        virReportError(VIR_ERR_BLOCK_COPY_ACTIVE, _("the block job of disk '%s' is not ready for a pivot"),
                       disk->dst);
        return -1;
    }

    if (disk->mirror)
        disk->mirrorState = pivot ? VIR_DOMAIN_DISK_MIRROR_STATE_PIVOT :
            VIR_DOMAIN_DISK_MIRROR_STATE_ABORT;
    job->awaited = !async;
    vireoDomainSaveStatus(vm);
    if (vireoBlockJobEnd(vm, disk, job, id) < 0) {
        disk->mirrorState = oldState;
        job->awaited = job->told = false;
        vireoDomainSaveStatus(vm);
        return -1;
    }

    return async ? 0 : vireoBlockJobWait(vm, disk, job);
}

int
vireoBlockJobSetSpeed(virDomainObj *vm,
                      vireoBlockJob *job,
                      unsigned long long speed)
{
    g_autofree char *id = vireoBlockJobID(job->disk);
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "s:device", id, "U:speed", speed, NULL) < 0)
        return -1;

    return vireoStorageCommand(vm, "block-job-set-speed", &args, NULL);
}

int
vireoBlockJobGetInfo(virDomainObj *vm,
                     vireoBlockJob *job,
                     virDomainBlockJobInfo *info)
{
    g_autofree char *id = vireoBlockJobID(job->disk);
    g_autoptr(virJSONValue) list = NULL;
    virJSONValue *found;
    unsigned long long speed = 0;
    bool ready = false;
    int type = job->type;

    if (vireoStorageCommand(vm, "query-block-jobs", NULL, &list) < 0)
        return -1;
    if (!(found = vireoBlockJobFindIn(list, "device", id)))
        return 0;

    if (virJSONValueObjectGetNumberUlong(found, "len", &info->end) < 0 ||
        virJSONValueObjectGetNumberUlong(found, "offset", &info->cur) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, "%s",
                       _("the storage daemon's list of block jobs is not as expected"));
        return -1;
    }
    ignore_value(virJSONValueObjectGetNumberUlong(found, "speed", &speed));
    ignore_value(virJSONValueObjectGetBoolean(found, "ready", &ready));
    info->type = type;
    info->bandwidth = MIN(speed, ULONG_MAX);
    /* Clients take equal numbers for the end: what is not ready is not there, nor is what has not begun. */
    if (!ready && info->cur == info->end && type != VIR_DOMAIN_BLOCK_JOB_TYPE_PULL &&
        type != VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT) {
        if (info->cur > 0)
            info->cur--;
        else
            info->end++;
    }

    return 1;
}

static int
vireoBlockJobsCheck(virDomainObj *vm)
{
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        virDomainDiskDef *disk = vm->def->disks[i];
        vireoBlockJob *job = vireoBlockJobFind(vm, disk);

        if (job && !job->awaited && vireoBlockJobCheck(vm, disk, job) < 0)
            return -1;
    }

    return 0;
}

/* Jobs that were dealt with by a daemon which ended before it could say so. */
static int
vireoBlockJobsDismiss(virDomainObj *vm)
{
    g_autoptr(virJSONValue) list = NULL;
    size_t i;

    if (vireoStorageCommand(vm, "query-jobs", NULL, &list) < 0)
        return -1;

    for (i = 0; i < vm->def->ndisks; i++) {
        g_autofree char *id = vireoBlockJobID(vm->def->disks[i]->dst);

        if (!vireoBlockJobFind(vm, vm->def->disks[i]) && vireoBlockJobFindIn(list, "id", id))
            vireoStorageDel(vm, "job-dismiss", "id", id);
    }

    return 0;
}

int
vireoBlockJobReconnect(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return !priv->storage ? 0 : vireoBlockJobsCheck(vm) < 0 ? -1 : vireoBlockJobsDismiss(vm);
}

void
vireoBlockJobsLost(virDomainObj *vm)
{
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        virDomainDiskDef *disk = vm->def->disks[i];
        vireoBlockJob *job = vireoBlockJobFind(vm, disk);

        if (job)
            vireoBlockJobFinish(vm, disk, job, vireoBlockJobLostError(job));
    }
}

static void
vireoBlockJobCheckThread(void *opaque)
{
    virDomainObj *vm = opaque;

    virObjectLock(vm);
    if (vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        if (vireoBlockJobsCheck(vm) < 0)
            VIR_WARN("a block job of domain %s is not dealt with: %s", vm->def->name,
                     virGetLastErrorMessage());
        virDomainObjEndJob(vm);
    }
    virDomainObjEndAPI(&vm);
}

/* Whether the storage daemon goes on with a job only when it is told to. */
static bool
vireoBlockJobWaits(const vireoBlockJob *job,
                   const char *status)
{
    return STREQ_NULLABLE(status, "concluded") ||
        (vireoBlockJobMirrors(job) && STREQ_NULLABLE(status, "pending"));
}

void
vireoBlockJobHandleEvent(virDomainObj *vm,
                         const char *name,
                         virJSONValue *data)
{
    const char *key = STREQ(name, "JOB_STATUS_CHANGE") ? "id" : "device";
    const char *id = data ? virJSONValueObjectGetString(data, key) : NULL;
    const char *target = id ? STRSKIP(id, VIREO_BLOCKJOB_PREFIX) : NULL;
    virDomainDiskDef *disk = target ? virDomainDiskByTarget(vm->def, target) : NULL;
    vireoBlockJob *job = disk ? vireoBlockJobFind(vm, disk) : NULL;
    virThread thread;

    if (!job)
        return;

    if (STREQ(name, "BLOCK_JOB_READY")) {
        if (disk->mirror && disk->mirrorState == VIR_DOMAIN_DISK_MIRROR_STATE_NONE)
            disk->mirrorState = VIR_DOMAIN_DISK_MIRROR_STATE_READY;
        vireoDomainSaveStatus(vm);
        vireoBlockJobSendEvent(vm, disk, job->type, VIR_DOMAIN_BLOCK_JOB_READY);
    } else if (STREQ(name, "JOB_STATUS_CHANGE") &&
               vireoBlockJobWaits(job, virJSONValueObjectGetString(data, "status"))) {
        job->changed = true;
        if (job->awaited) {
            virDomainObjBroadcast(vm);
            return;
        }
        virObjectRef(vm);
        if (virThreadCreateFull(&thread, false, vireoBlockJobCheckThread, "vireo-blockjob", false, vm) < 0) {
            VIR_WARN("the end of a block job of domain %s is not dealt with: no thread", vm->def->name);
            virObjectUnref(vm);
        }
    }
}

/* Sends @command for each job of the domain, and deals with those that are past taking it. Returns how
 * many took it, or -1 with an error reported. */
static int
vireoBlockJobsTell(virDomainObj *vm,
                   const char *command)
{
    int n = 0;
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        virDomainDiskDef *disk = vm->def->disks[i];
        vireoBlockJob *job = vireoBlockJobFind(vm, disk);
        g_autofree char *id = vireoBlockJobID(disk->dst);
        g_autoptr(virJSONValue) args = NULL;

        if (!job)
            continue;
        if (virJSONValueObjectAdd(&args, "s:id", id, NULL) < 0)
            return -1;
        if (vireoStorageCommand(vm, command, &args, NULL) == 0)
            n++;
        else if (vireoBlockJobCheck(vm, disk, job) != 1)
            return -1;
    }

    return n;
}

/* Whether no job of the daemon's is on its way to its end. Returns 1, 0, or -1 with an error reported. */
static int
vireoBlockJobsAreHeld(virDomainObj *vm)
{
    g_autoptr(virJSONValue) list = NULL;
    size_t i;

    if (vireoStorageCommand(vm, "query-jobs", NULL, &list) < 0)
        return -1;

    for (i = 0; virJSONValueIsArray(list) && i < virJSONValueArraySize(list); i++) {
        const char *status = virJSONValueObjectGetString(virJSONValueArrayGet(list, i), "status");

        if (STRNEQ_NULLABLE(status, "paused") && STRNEQ_NULLABLE(status, "standby"))
            return 0;
    }

    return 1;
}

int
vireoBlockJobsHold(virDomainObj *vm)
{
    size_t tries;
    int n = vireoBlockJobsTell(vm, "job-pause");

    if (n <= 0)
        return n;

    for (tries = 0; tries < VIREO_BLOCKJOB_TRIES; tries++) {
        int held = vireoBlockJobsAreHeld(vm);

        if (held != 0)
            return held < 0 ? -1 : 0;
        /* one may have come to its end before it heard of it */
        if (vireoBlockJobsCheck(vm) < 0)
            return -1;
        g_usleep(VIREO_BLOCKJOB_WAIT_US);
    }

    virReportError(VIR_ERR_OPERATION_TIMEOUT, _("the block jobs of domain '%s' do not stand still"),
                   vm->def->name);
    return -1;
}

void
vireoBlockJobsRelease(virDomainObj *vm)
{
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (vireoBlockJobsTell(vm, "job-resume") < 0)
        VIR_WARN("a block job of domain %s does not go on: %s", vm->def->name, virGetLastErrorMessage());
    virErrorRestore(&saved);
}
