/*
 * vireo_snapshot_disk.c: disks that go on in new images, which lie on those they had
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_blockdev.h"
#include "vireo_blockjob.h"
#include "vireo_chain.h"
#include "vireo_handover.h"
#include "vireo_image.h"
#include "vireo_overlay.h"
#include "vireo_snapshot.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN_SNAPSHOT

VIR_LOG_INIT("vireo.vireo_snapshot_disk");

/* What is done to one disk. */
typedef struct {
    virDomainDiskDef *disk;
    virStorageSource *image;    /* NULL once it is the disk's */
    bool taken;                 /* the storage daemon takes the disk over from the monitor */
    bool made;                  /* the file is ours to remove */
    bool added;                 /* the storage daemon has it */
    bool switched;              /* the device of one that is taken is in it */
} vireoSnapshotDisk;

static void
vireoSnapshotDiskClear(vireoSnapshotDisk *work)
{
    g_clear_pointer(&work->image, virObjectUnref);
}

int
vireoSnapshotCheckDisk(const virDomainSnapshotDiskDef *wanted)
{
    if (wanted->snapshot == VIR_DOMAIN_SNAPSHOT_LOCATION_EXTERNAL)
        return 0;

    virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                   _("disk '%s': Vireo has no '%s' snapshots, only 'external' ones"), wanted->name,
                   virDomainSnapshotLocationTypeToString(wanted->snapshot));
    return -1;
}

int
vireoSnapshotReportNone(void)
{
    virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s", _("no disks are selected for the snapshot"));
    return -1;
}

/* Sets @work to what @wanted says, if that can be done. */
static int
vireoSnapshotPlanDisk(virDomainObj *vm,
                      virDomainSnapshotDiskDef *wanted,
                      bool existing,
                      vireoSnapshotDisk *work)
{
    virDomainDiskDef *disk;

    if (wanted->snapshot == VIR_DOMAIN_SNAPSHOT_LOCATION_NO)
        return 0;
    if (vireoSnapshotCheckDisk(wanted) < 0 ||
        !(disk = vireoBlockJobFindDisk(vm, wanted->name)))
        return -1;
    if (vireoBlockJobFind(vm, disk)) {
        virReportError(VIR_ERR_BLOCK_COPY_ACTIVE, _("disk '%s' has a block job"), disk->dst);
        return -1;
    }
    if (disk->src->readonly || disk->src->shared) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, disk->src->readonly ? _("disk '%s' is read-only") :
                       _("disk '%s' is shared: others go on in its image"), disk->dst);
        return -1;
    }

    if (wanted->src->format <= VIR_STORAGE_FILE_NONE)
        wanted->src->format = VIR_STORAGE_FILE_QCOW2;
    if (!(work->image = virStorageSourceCopy(wanted->src, false)))
        return -1;
    work->disk = disk;
    work->taken = !vireoStorageServes(disk);
    if (work->taken && disk->error_policy == VIR_DOMAIN_DISK_ERROR_POLICY_ENOSPACE) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("disk '%s' has error_policy='enospace', which Vireo has only for raw images"), disk->dst);
        return -1;
    }

    if (vireoImageCheckOverlay(disk, work->image, existing) < 0)
        return -1;
    vireoOverlayIntend(vm, disk, work->image, !existing);
    return 0;
}

/* The image that a disk has in the monitor, as it will be behind another. */
static virStorageSource *
vireoSnapshotCopyBase(virDomainObj *vm,
                      const virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virStorageSource *base = virStorageSourceCopy(disk->src, false);

    if (base) {
        base->id = ++priv->lastImage;
        base->backingStore = virStorageSourceNew();
    }
    return base;
}

/* Has the image, and the storage daemon have it. Nothing is behind it yet, as far as that knows,
 * unless it takes the disk over. */
static int
vireoSnapshotPrepareDisk(virDomainObj *vm,
                         bool existing,
                         vireoSnapshotDisk *work)
{
    virStorageSource *image = work->image;

    if (!existing) {
        virDomainBlockInfo info = { 0 };

        image->backingStore = virObjectRef(work->disk->src);
        if (vireoImageGetInfo(vm, work->disk, &info) < 0 ||
            vireoImageCreate(image, info.capacity) < 0)
            return -1;
        work->made = true;
        virObjectUnref(image->backingStore);
    }

    image->backingStore = work->taken ? vireoSnapshotCopyBase(vm, work->disk) : virStorageSourceNew();
    if (!image->backingStore ||
        (work->taken ? vireoHandoverPrepare(vm, work->disk, image) :
         vireoChainAddImage(vm, work->disk, image)) < 0)
        return -1;
    work->added = true;

    return 0;
}

static void
vireoSnapshotUndoDisk(virDomainObj *vm,
                      const vireoSnapshotDisk *work)
{
    if (work->added && work->taken)
        vireoHandoverUndo(vm, work->disk, work->image);
    else if (work->added)
        vireoChainRemoveImage(vm, work->image);
    if (work->made)
        vireoImageRemove(work->image);
}

static int
vireoSnapshotAddAction(virJSONValue *actions,
                       const vireoSnapshotDisk *work)
{
    g_autofree char *node = vireoBlockdevFormatNode(work->disk->src);
    g_autofree char *overlay = vireoBlockdevFormatNode(work->image);
    g_autoptr(virJSONValue) data = NULL;
    g_autoptr(virJSONValue) action = NULL;

    if (virJSONValueObjectAdd(&data, "s:node", node, "s:overlay", overlay, NULL) < 0 ||
        virJSONValueObjectAdd(&action, "s:type", "blockdev-snapshot", "a:data", &data, NULL) < 0)
        return -1;

    return virJSONValueArrayAppend(actions, &action);
}

/* What the storage daemon has already: all at one moment, or none. */
static int
vireoSnapshotSwitchServed(virDomainObj *vm,
                          const vireoSnapshotDisk *works,
                          size_t n)
{
    g_autoptr(virJSONValue) actions = virJSONValueNewArray();
    g_autoptr(virJSONValue) args = NULL;
    size_t i;

    for (i = 0; i < n; i++) {
        if (works[i].image && !works[i].taken && vireoSnapshotAddAction(actions, &works[i]) < 0)
            return -1;
    }
    if (virJSONValueArraySize(actions) == 0)
        return 0;
    if (virJSONValueObjectAdd(&args, "a:actions", &actions, NULL) < 0)
        return -1;

    return vireoStorageCommand(vm, "transaction", &args, NULL);
}

/* Those that were switched already, before the guest has written to any. */
static void
vireoSnapshotSwitchBack(virDomainObj *vm,
                        vireoSnapshotDisk *works,
                        size_t n)
{
    virErrorPtr saved;
    size_t i;

    virErrorPreserveLast(&saved);
    for (i = 0; i < n; i++) {
        if (works[i].switched && virDomainObjIsActive(vm) &&
            vireoHandoverSwitch(vm, works[i].disk, false) < 0)
            VIR_ERROR(_("disk %s of domain %s is lost until it is started anew: %s"), works[i].disk->dst,
                      vm->def->name, virGetLastErrorMessage());
    }
    virErrorRestore(&saved);
}

/* One after the other, but none is the first for a guest that stands still. */
static int
vireoSnapshotSwitch(virDomainObj *vm,
                    vireoSnapshotDisk *works,
                    size_t n)
{
    size_t i;
    int rc = -1;

    for (i = 0; i < n; i++) {
        if (!works[i].taken)
            continue;
        if (vireoHandoverSwitch(vm, works[i].disk, true) < 0)
            break;
        works[i].switched = true;
    }
    if (i == n && (rc = vireoSnapshotSwitchServed(vm, works, n)) == 0)
        return 0;
    /* The guest may have written to the new images, which show the old ones if it has not. The next storage
     * daemon serves them. */
    if (rc == VIREO_MONITOR_GONE && virDomainObjIsActive(vm)) {
        virResetLastError();
        return 0;
    }

    vireoSnapshotSwitchBack(vm, works, n);
    return -1;
}

/* The disks' images are the new ones from now on. */
static void
vireoSnapshotFinish(virDomainObj *vm,
                    vireoSnapshotDisk *works,
                    size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (!works[i].image)
            continue;
        if (works[i].taken)
            vireoHandoverFinish(vm, works[i].disk, g_steal_pointer(&works[i].image));
        else
            vireoChainPush(vm, works[i].disk, g_steal_pointer(&works[i].image));
    }
    vireoOverlaysForget(vm);
    vireoDomainSaveStatus(vm);
}

/* Whether more than one step is needed to have all disks at one moment. */
static bool
vireoSnapshotNeedsPause(const vireoSnapshotDisk *works,
                        size_t n)
{
    size_t images = 0;
    size_t taken = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        images += works[i].image != NULL;
        taken += works[i].taken;
    }

    return taken > 0 && images > 1;
}

static int
vireoSnapshotPlan(virDomainObj *vm,
                  virDomainSnapshotDef *def,
                  bool existing,
                  vireoSnapshotDisk *works)
{
    bool any = false;
    size_t i;

    for (i = 0; i < def->ndisks; i++) {
        if (vireoSnapshotPlanDisk(vm, &def->disks[i], existing, &works[i]) < 0)
            return -1;
        any |= works[i].image != NULL;
    }

    return any ? 0 : vireoSnapshotReportNone();
}

int
vireoSnapshotTakeDisks(virDomainObj *vm,
                       virDomainSnapshotDef *def,
                       bool existing)
{
    g_autofree vireoSnapshotDisk *works = g_new0(vireoSnapshotDisk, def->ndisks);
    int ret = vireoSnapshotPlan(vm, def, existing, works);
    size_t i;

    /* The socket of a disk that is taken over is in the domain's directory. */
    if (ret == 0) {
        vireoDomainSaveStatus(vm);
        ret = vireoDomainLabelDir(vm);
    }
    for (i = 0; ret == 0 && i < def->ndisks; i++) {
        if (works[i].image)
            ret = vireoSnapshotPrepareDisk(vm, existing, &works[i]);
    }

    if (ret == 0 && vireoSnapshotNeedsPause(works, def->ndisks))
        ret = vireoHandoverPause(vm);
    if (ret == 0) {
        vireoOverlaysSwitch(vm);
        if ((ret = vireoSnapshotSwitch(vm, works, def->ndisks)) == 0)
            vireoSnapshotFinish(vm, works, def->ndisks);
    }
    vireoHandoverResume(vm);

    for (i = 0; i < def->ndisks; i++) {
        if (ret < 0)
            vireoSnapshotUndoDisk(vm, &works[i]);
        vireoSnapshotDiskClear(&works[i]);
    }
    if (ret < 0) {
        vireoOverlaysForget(vm);
        vireoDomainSaveStatus(vm);
        vireoStorageStopIfIdle(vm);
    }

    return ret;
}
