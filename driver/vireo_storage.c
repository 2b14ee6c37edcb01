/*
 * vireo_storage.c: the storage daemon of a domain
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage_source.h"
#include "viralloc.h"
#include "vircommand.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virpidfile.h"

#include "vireo_alias.h"
#include "vireo_blockdev.h"
#include "vireo_blockjob.h"
#include "vireo_cgroup.h"
#include "vireo_event.h"
#include "vireo_handover.h"
#include "vireo_log.h"
#include "vireo_process.h"
#include "vireo_qmp.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_storage");

#define VIREO_STORAGE_DAEMON "qemu-storage-daemon"
#define VIREO_STORAGE_SOCKET "storage.sock"
#define VIREO_STORAGE_CGROUP "storage"

/* As long as chains that libvirt follows by itself. */
#define VIREO_STORAGE_MAX_DEPTH 200

/* How often, and at what distance, one looks whether an export has gone. */
#define VIREO_STORAGE_EXPORT_TRIES 100
#define VIREO_STORAGE_EXPORT_WAIT_US (10 * 1000)

/* A daemon that has ended this often within the time is not started again. */
#define VIREO_STORAGE_RESTARTS 3
#define VIREO_STORAGE_RESTARTS_US (60 * G_USEC_PER_SEC)

/* Whether the monitor cannot read and write it itself. */
static bool
vireoStorageNeedsDaemon(const virStorageSource *src)
{
    return virStorageSourceGetActualType(src) == VIR_STORAGE_TYPE_NETWORK || src->encryption ||
        src->format != VIR_STORAGE_FILE_RAW;
}

bool
vireoStorageServes(const virDomainDiskDef *disk)
{
    virStorageType type = virStorageSourceGetActualType(disk->src);

    /* What is served has a number, whatever its image has become, or a pool says of it now. */
    return type != VIR_STORAGE_TYPE_VHOST_USER &&
        (disk->src->id != 0 ||
         (type != VIR_STORAGE_TYPE_VOLUME && vireoStorageNeedsDaemon(disk->src)));
}

bool
vireoStorageCanReturn(const virDomainDiskDef *disk)
{
    return vireoStorageServes(disk) && !vireoStorageNeedsDaemon(disk->src) &&
        !virStorageSourceHasBacking(disk->src);
}

static bool
vireoStorageIsNeeded(const virDomainDef *def)
{
    size_t i;

    for (i = 0; i < def->ndisks; i++) {
        if (vireoStorageServes(def->disks[i]))
            return true;
    }

    return false;
}

static char *
vireoStoragePidFile(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    /* No domain's name makes its own pid file end like this. */
    return g_strdup_printf("%s/%s.storage-pid", priv->driver->config->stateDir, vm->def->name);
}

char *
vireoStorageSocket(const char *dir,
                   const virDomainDiskDef *disk)
{
    return g_strdup_printf("%s/%s.sock", dir, disk->info.alias);
}

void
vireoStorageShareMemory(virDomainDef *def)
{
    if (vireoStorageIsNeeded(def) && def->mem.access == VIR_DOMAIN_MEMORY_ACCESS_DEFAULT)
        def->mem.access = VIR_DOMAIN_MEMORY_ACCESS_SHARED;
}

static int
vireoStorageFindChain(virDomainObj *vm,
                      virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const vireoConfig *config = priv->driver->config;
    virStorageSource *last = disk->src;

    while (virStorageSourceHasBacking(last))
        last = last->backingStore;
    /* The definition says where the chain ends. */
    if (last->backingStore)
        return 0;

    if (virStorageSourceIsLocalStorage(last) && !virFileExists(last->path)) {
        virReportSystemError(ENOENT, _("the image '%s' of disk '%s' cannot be used"),
                             last->path, disk->dst);
        return -1;
    }

    return virStorageSourceGetMetadata(last, config->user, config->group,
                                       VIREO_STORAGE_MAX_DEPTH, true);
}

int
vireoStoragePrepareDisk(virDomainObj *vm,
                        virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virStorageSource *n;

    if (vireoStorageFindChain(vm, disk) < 0)
        return -1;

    for (n = disk->src; virStorageSourceIsBacking(n); n = n->backingStore) {
        if (vireoBlockdevCheck(n, disk) < 0)
            return -1;
        n->id = ++priv->lastImage;
    }

    return 0;
}

int
vireoStorageCommand(virDomainObj *vm,
                    const char *name,
                    virJSONValue **args,
                    virJSONValue **result)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (!priv->storage) {
        virReportError(VIR_ERR_OPERATION_FAILED,
                       _("the storage daemon of domain '%s' does not run"), vm->def->name);
        return -1;
    }

    return vireoQmpCommandTo(vm, priv->storage, name, args, result);
}

int
vireoStorageAdd(virDomainObj *vm,
                const char *command,
                virJSONValue *props)
{
    g_autoptr(virJSONValue) args = props;

    return args ? vireoStorageCommand(vm, command, &args, NULL) : -1;
}

void
vireoStorageDel(virDomainObj *vm,
                const char *command,
                const char *key,
                const char *name)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virJSONValue) args = virJSONValueNewObject();
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (priv->storage && virDomainObjIsActive(vm) &&
        (virJSONValueObjectAppendString(args, key, name) < 0 ||
         vireoStorageCommand(vm, command, &args, NULL) < 0))
        VIR_WARN("%s %s of domain %s failed: %s", command, name, vm->def->name,
                 virGetLastErrorMessage());
    virErrorRestore(&saved);
}

/* Those of @src before @end. Failure is logged. */
static void
vireoStorageRemoveObjects(virDomainObj *vm,
                          const virStorageSource *src,
                          vireoBlockdevObject end)
{
    vireoBlockdevObject object;

    for (object = 0; object < end; object++) {
        g_autofree char *id = vireoBlockdevObjectID(src, object);

        if (id)
            vireoStorageDel(vm, "object-del", "id", id);
    }
}

static int
vireoStorageAddObjects(virDomainObj *vm,
                       const virStorageSource *src)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoBlockdevObject object;

    for (object = 0; object < VIREO_BLOCKDEV_N_OBJECTS; object++) {
        if (vireoBlockdevHasObject(src, object) &&
            vireoStorageAdd(vm, "object-add",
                            vireoBlockdevObjectProps(src, object, priv->driver->config)) < 0) {
            vireoStorageRemoveObjects(vm, src, object);
            return -1;
        }
    }

    return 0;
}

static int
vireoStorageAddNodes(virDomainObj *vm,
                     virDomainDiskDef *disk,
                     virStorageSource *src,
                     bool writable)
{
    if (vireoStorageAddObjects(vm, src) < 0)
        return -1;
    if (vireoStorageAdd(vm, "blockdev-add", vireoBlockdevStorageProps(disk, src)) == 0) {
        g_autofree char *storage = vireoBlockdevStorageNode(src);

        if (vireoStorageAdd(vm, "blockdev-add", vireoBlockdevFormatProps(disk, src, writable)) == 0)
            return 0;
        vireoStorageDel(vm, "blockdev-del", "node-name", storage);
    }
    vireoStorageRemoveObjects(vm, src, VIREO_BLOCKDEV_N_OBJECTS);

    return -1;
}

int
vireoStorageAddImage(virDomainObj *vm,
                     virDomainDiskDef *disk,
                     virStorageSource *src,
                     bool writable)
{
    g_autofree char *why = NULL;

    if (vireoStorageAddNodes(vm, disk, src, writable) == 0)
        return 0;

    why = g_strdup(virGetLastErrorMessage());
    virReportError(VIR_ERR_OPERATION_FAILED, _("the image '%s' of disk '%s' cannot be used: %s"),
                   NULLSTR(src->path), disk->dst, why);
    return -1;
}

void
vireoStorageRemoveImage(virDomainObj *vm,
                        virStorageSource *src)
{
    g_autofree char *format = vireoBlockdevFormatNode(src);
    g_autofree char *storage = vireoBlockdevStorageNode(src);

    vireoStorageDel(vm, "blockdev-del", "node-name", format);
    vireoStorageDel(vm, "blockdev-del", "node-name", storage);
    vireoStorageRemoveObjects(vm, src, VIREO_BLOCKDEV_N_OBJECTS);
}

/* The disk's image and what is behind it, from the deepest on */
static int
vireoStorageAddChain(virDomainObj *vm,
                     virDomainDiskDef *disk)
{
    g_autoptr(GPtrArray) images = g_ptr_array_new();
    virStorageSource *src;
    size_t i;

    for (src = disk->src; virStorageSourceIsBacking(src); src = src->backingStore)
        g_ptr_array_add(images, src);

    for (i = images->len; i > 0; i--) {
        if (vireoStorageAddImage(vm, disk, g_ptr_array_index(images, i - 1),
                                 i == 1 && !disk->src->readonly) < 0)
            break;
    }
    if (i == 0)
        return 0;

    for (; i < images->len; i++)
        vireoStorageRemoveImage(vm, g_ptr_array_index(images, i));
    return -1;
}

static void
vireoStorageRemoveChain(virDomainObj *vm,
                        virStorageSource *src)
{
    for (; virStorageSourceIsBacking(src); src = src->backingStore)
        vireoStorageRemoveImage(vm, src);
}

int
vireoStorageExportNode(virDomainObj *vm,
                       virDomainDiskDef *disk,
                       const char *node)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *path = vireoStorageSocket(priv->dir, disk);

    /* It may be there from a daemon that was killed. */
    unlink(path);
    return vireoStorageAdd(vm, "block-export-add", vireoBlockdevExportProps(disk, node, path));
}

int
vireoStorageAddExport(virDomainObj *vm,
                      virDomainDiskDef *disk)
{
    g_autofree char *node = vireoBlockdevFormatNode(disk->src);

    return vireoStorageExportNode(vm, disk, node);
}

int
vireoStorageServe(virDomainObj *vm,
                  virDomainDiskDef *disk)
{
    if (vireoStorageAddChain(vm, disk) < 0)
        return -1;
    if (vireoStorageAddExport(vm, disk) == 0)
        return 0;

    vireoStorageRemoveChain(vm, disk->src);
    return -1;
}

static int
vireoStorageOpenMonitor(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return vireoProcessConnect(vm, VIREO_STORAGE_SOCKET, VIREO_EVENT_STORAGE, &priv->storage);
}

static virCommand *
vireoStorageCommandLine(virDomainObj *vm,
                        int monitorFD,
                        int *logFD)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const vireoConfig *config = priv->driver->config;
    virCommand *cmd = virCommandNew(VIREO_STORAGE_DAEMON);
    g_autofree char *pidfile = vireoStoragePidFile(vm);

    virCommandAddArg(cmd, "--chardev");
    virCommandAddArgFormat(cmd, "socket,id=monitor,fd=%d,server=on,wait=off", monitorFD);
    virCommandPassFD(cmd, monitorFD, VIR_COMMAND_PASS_FD_CLOSE_PARENT);
    virCommandAddArgList(cmd, "--monitor", "chardev=monitor", NULL);

    virCommandClearCaps(cmd);
    virCommandSetOutputFD(cmd, logFD);
    virCommandSetErrorFD(cmd, logFD);
    virCommandSetPidFile(cmd, pidfile);
    virCommandDaemonize(cmd);
    virCommandRequireHandshake(cmd);
    virCommandSetUmask(cmd, 0x002);
    if (config->maxFiles > 0)
        virCommandSetMaxFiles(cmd, config->maxFiles);
    virCommandSetMaxCoreSize(cmd, config->maxCoreSize);

    return cmd;
}

static int
vireoStorageLaunch(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virSecurityManager *manager = priv->driver->securityManager;
    g_autofree char *pidfile = vireoStoragePidFile(vm);
    g_autoptr(virCommand) cmd = NULL;
    VIR_AUTOCLOSE logFD = -1;
    int monitorFD;
    int rc;

    if ((logFD = vireoLogOpenHelper(vm, "storage-log")) < 0 ||
        (monitorFD = vireoProcessListen(vm, VIREO_STORAGE_SOCKET)) < 0)
        return -1;
    cmd = vireoStorageCommandLine(vm, monitorFD, &logFD);

    if (virSecurityManagerSetChildProcessLabel(manager, vm->def, cmd) < 0 ||
        virSecurityManagerPreFork(manager) < 0)
        return -1;
    rc = virCommandRun(cmd, NULL);
    virSecurityManagerPostFork(manager);
    if (rc < 0)
        return -1;

    if (virPidFileReadPath(pidfile, &priv->storagePid) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("the storage daemon of domain '%s' has no process"),
                       vm->def->name);
        return -1;
    }
    if (virCommandHandshakeWait(cmd) < 0 ||
        vireoCgroupAddHelper(vm, VIREO_STORAGE_CGROUP, priv->storagePid) < 0 ||
        virCommandHandshakeNotify(cmd) < 0)
        return -1;

    return vireoStorageOpenMonitor(vm);
}

/* The daemon, which has no disks yet. */
static int
vireoStorageRun(virDomainObj *vm)
{
    if (vireoStorageLaunch(vm) == 0)
        return 0;

    vireoStorageStop(vm);
    return -1;
}

int
vireoStorageStart(virDomainObj *vm)
{
    size_t i;

    if (!vireoStorageIsNeeded(vm->def))
        return 0;
    if (vireoStorageRun(vm) < 0)
        return -1;

    for (i = 0; i < vm->def->ndisks; i++) {
        if (vireoStorageServes(vm->def->disks[i]) &&
            vireoStorageServe(vm, vm->def->disks[i]) < 0)
            return -1;
    }

    return 0;
}

int
vireoStorageEnsure(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return priv->storage ? 0 : vireoStorageRun(vm);
}

int
vireoStorageAttachDisk(virDomainObj *vm,
                       virDomainDiskDef *disk)
{
    return vireoStorageEnsure(vm) < 0 ? -1 : vireoStorageAddChain(vm, disk);
}

/* An export goes a little after the command that removes it. */
static void
vireoStorageWaitForExport(virDomainObj *vm,
                          const char *id)
{
    size_t tries;
    size_t i;

    for (tries = 0; tries < VIREO_STORAGE_EXPORT_TRIES; tries++) {
        g_autoptr(virJSONValue) list = NULL;
        bool found = false;

        if (vireoStorageCommand(vm, "query-block-exports", NULL, &list) < 0 ||
            !virJSONValueIsArray(list))
            return;
        for (i = 0; i < virJSONValueArraySize(list); i++) {
            virJSONValue *item = virJSONValueArrayGet(list, i);

            found |= virJSONValueIsObject(item) &&
                STREQ_NULLABLE(virJSONValueObjectGetString(item, "id"), id);
        }
        if (!found)
            return;
        g_usleep(VIREO_STORAGE_EXPORT_WAIT_US);
    }
}

void
vireoStorageRemoveExport(virDomainObj *vm,
                         virDomainDiskDef *disk)
{
    g_autofree char *id = g_strdup(disk->info.alias);
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virJSONValue) args = NULL;
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (priv->storage && virDomainObjIsActive(vm)) {
        if (virJSONValueObjectAdd(&args, "s:id", id, "s:mode", "hard", NULL) < 0 ||
            vireoStorageCommand(vm, "block-export-del", &args, NULL) < 0)
            VIR_WARN("the export of %s of domain %s could not be removed: %s", id, vm->def->name,
                     virGetLastErrorMessage());
        else
            vireoStorageWaitForExport(vm, id);
    }
    virErrorRestore(&saved);
}

void
vireoStorageDetachDisk(virDomainObj *vm,
                       virDomainDiskDef *disk)
{
    vireoStorageRemoveChain(vm, disk->src);
}

static void
vireoStorageClose(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoMonitor *storage = g_steal_pointer(&priv->storage);

    if (storage) {
        vireoMonitorClose(storage);
        virObjectUnref(storage);
    }
}

void
vireoStorageStop(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *pidfile = vireoStoragePidFile(vm);
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    vireoStorageClose(vm);
    /* A libvirt daemon that finds the guest gone has not asked for it yet. */
    if (priv->storagePid == 0)
        ignore_value(virPidFileReadPathIfLocked(pidfile, &priv->storagePid));
    if (priv->storagePid > 0 && vireoProcessKill(vm->def->name, pidfile, priv->storagePid, false) < 0)
        VIR_WARN("the storage daemon of domain %s is left: %s", vm->def->name,
                 virGetLastErrorMessage());
    if (priv->storagePid > 0)
        vireoCgroupRemoveHelper(vm, VIREO_STORAGE_CGROUP);
    priv->storagePid = 0;
    unlink(pidfile);
    virErrorRestore(&saved);
}

void
vireoStorageStopIfIdle(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (priv->storage && virDomainObjIsActive(vm) && !vireoStorageIsNeeded(vm->def))
        vireoStorageStop(vm);
}

static void
vireoStorageReportFailure(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        virDomainDiskDef *disk = vm->def->disks[i];

        if (vireoStorageServes(disk))
            virObjectEventStateQueue(priv->driver->domainEventState,
                                     virDomainEventIOErrorReasonNewFromObj(vm,
                                                                           virDomainDiskGetSource(disk),
                                                                           disk->info.alias,
                                                                           VIR_DOMAIN_EVENT_IO_ERROR_REPORT,
                                                                           "storage daemon ended"));
    }
}

static void
vireoStorageRestart(void *opaque)
{
    virDomainObj *vm = opaque;
    vireoDomainObjPrivate *priv = vm->privateData;

    virObjectLock(vm);
    if (vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        if (!priv->storage) {
            vireoStorageStop(vm);
            vireoBlockJobsLost(vm);
            if (vireoStorageStart(vm) < 0) {
                VIR_ERROR(_("the disks of domain %s cannot be served again: %s"), vm->def->name,
                          virGetLastErrorMessage());
            } else {
                VIR_WARN("the disks of domain %s are served again", vm->def->name);
                vireoHandoverReturnAll(vm);
            }
        }
        virDomainObjEndJob(vm);
    }
    virDomainObjEndAPI(&vm);
}

void
vireoStorageLost(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    gint64 now = g_get_monotonic_time();
    virThread thread;

    if (priv->beingStopped || !priv->storage)
        return;
    VIR_WARN("the storage daemon of domain %s has ended", vm->def->name);
    vireoStorageClose(vm);
    vireoStorageReportFailure(vm);
    /* whoever waits for the end of a block job */
    virDomainObjBroadcast(vm);

    if (now - priv->storageRestartsSince > VIREO_STORAGE_RESTARTS_US) {
        priv->storageRestartsSince = now;
        priv->storageRestarts = 0;
    }
    if (priv->storageRestarts++ >= VIREO_STORAGE_RESTARTS) {
        VIR_ERROR(_("the storage daemon of domain %s ends again and again: its disks fail until the domain is started anew"),
                  vm->def->name);
        return;
    }
    virObjectRef(vm);
    if (virThreadCreateFull(&thread, false, vireoStorageRestart, "vireo-storage", false, vm) < 0) {
        VIR_WARN("the disks of domain %s are not served again: no thread", vm->def->name);
        virObjectUnref(vm);
    }
}

int
vireoStorageReconnect(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *pidfile = vireoStoragePidFile(vm);

    if (virPidFileReadPathIfLocked(pidfile, &priv->storagePid) == 0 && priv->storagePid > 0 &&
        vireoStorageOpenMonitor(vm) == 0)
        return 0;
    /* Whatever it did last is to be found out from others. */
    if (vireoHandoverRedo(vm) < 0)
        return -1;
    vireoStorageStop(vm);
    vireoBlockJobsLost(vm);
    if (!vireoStorageIsNeeded(vm->def))
        return 0;

    VIR_WARN("the storage daemon of domain %s has ended while nobody watched", vm->def->name);
    vireoStorageReportFailure(vm);
    return vireoStorageStart(vm);
}

/* The size that the guest sees. The monitor is asked: QEMU 7.2's daemon does not survive the question
 * for its nodes at the end of a block job. */
static int
vireoStorageGetCapacity(virDomainObj *vm,
                        virDomainDiskDef *disk,
                        unsigned long long *bytes)
{
    g_autofree char *name = vireoAliasServedNode(disk);
    g_autoptr(virJSONValue) nodes = NULL;
    size_t i;

    if (vireoQmpCommand(vm, "query-named-block-nodes", NULL, &nodes) < 0)
        return -1;

    for (i = 0; virJSONValueIsArray(nodes) && i < virJSONValueArraySize(nodes); i++) {
        virJSONValue *node = virJSONValueArrayGet(nodes, i);
        virJSONValue *image = virJSONValueObjectGetObject(node, "image");

        if (STREQ_NULLABLE(virJSONValueObjectGetString(node, "node-name"), name) && image &&
            virJSONValueObjectGetNumberUlong(image, "virtual-size", bytes) == 0)
            return 0;
    }

    virReportError(VIR_ERR_INTERNAL_ERROR, _("the monitor has no node '%s'"), name);
    return -1;
}

int
vireoStorageGetInfo(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    virDomainBlockInfo *info)
{
    g_autofree char *path = virStorageSourceIsLocalStorage(disk->src) ? g_strdup(disk->src->path) : NULL;
    VIR_AUTOCLOSE fd = -1;
    struct stat sb;
    off_t end;

    if (vireoStorageGetCapacity(vm, disk, &info->capacity) < 0)
        return -1;

    info->allocation = info->physical = 0;
    if (!path || (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0 || fstat(fd, &sb) < 0 ||
        (end = lseek(fd, 0, SEEK_END)) < 0)
        return 0;
    info->physical = end;
    /* A block device has all of it. */
    info->allocation = S_ISREG(sb.st_mode) ? (unsigned long long)sb.st_blocks * DEV_BSIZE : info->physical;

    return 0;
}

int
vireoStorageResize(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   unsigned long long bytes)
{
    g_autofree char *name = vireoBlockdevFormatNode(disk->src);
    g_autoptr(virJSONValue) args = NULL;
    unsigned long long capacity;
    size_t tries;

    if (virJSONValueObjectAdd(&args, "s:node-name", name, "U:size", bytes, NULL) < 0 ||
        vireoStorageCommand(vm, "block_resize", &args, NULL) < 0)
        return -1;

    /* An export keeps the size it had at first. What is in flight, the next one answers. */
    vireoStorageRemoveExport(vm, disk);
    if (vireoStorageAddExport(vm, disk) < 0)
        return -1;

    /* The monitor finds that one soon. */
    for (tries = 0; tries < VIREO_STORAGE_EXPORT_TRIES; tries++) {
        if (vireoStorageGetCapacity(vm, disk, &capacity) < 0)
            return -1;
        if (capacity / DEV_BSIZE == bytes / DEV_BSIZE)
            break;
        g_usleep(VIREO_STORAGE_EXPORT_WAIT_US);
    }

    return 0;
}
