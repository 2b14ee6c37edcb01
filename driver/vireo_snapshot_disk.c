/*
 * vireo_snapshot_disk.c: disks that go on in new images, which lie on those they had
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"

#include "vireo_blockdev.h"
#include "vireo_blockjob.h"
#include "vireo_chain.h"
#include "vireo_image.h"
#include "vireo_snapshot.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN_SNAPSHOT

/* What is done to one disk. */
typedef struct {
    virDomainDiskDef *disk;
    virStorageSource *image;    /* NULL once it is the disk's */
    bool made;                  /* the file is ours to remove */
    bool added;                 /* the storage daemon has it */
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
    if (disk->src->readonly) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, _("disk '%s' is read-only"), disk->dst);
        return -1;
    }

    if (wanted->src->format <= VIR_STORAGE_FILE_NONE)
        wanted->src->format = VIR_STORAGE_FILE_QCOW2;
    if (!(work->image = virStorageSourceCopy(wanted->src, false)))
        return -1;
    work->disk = disk;

    return vireoImageCheckOverlay(disk, work->image, existing);
}

/* Has the image, and the storage daemon have it; nothing behind it yet, as far as that knows. */
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

    image->backingStore = virStorageSourceNew();
    if (vireoChainAddImage(vm, work->disk, image) < 0)
        return -1;
    work->added = true;

    return 0;
}

static void
vireoSnapshotUndoDisk(virDomainObj *vm,
                      const vireoSnapshotDisk *work)
{
    if (work->added)
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

/* All at one moment, or none. */
static int
vireoSnapshotSwitch(virDomainObj *vm,
                    const vireoSnapshotDisk *works,
                    size_t n)
{
    g_autoptr(virJSONValue) actions = virJSONValueNewArray();
    g_autoptr(virJSONValue) args = NULL;
    size_t i;

    for (i = 0; i < n; i++) {
        if (works[i].image && vireoSnapshotAddAction(actions, &works[i]) < 0)
            return -1;
    }
    if (virJSONValueObjectAdd(&args, "a:actions", &actions, NULL) < 0)
        return -1;

    return vireoStorageCommand(vm, "transaction", &args, NULL);
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

    for (i = 0; ret == 0 && i < def->ndisks; i++) {
        if (works[i].image)
            ret = vireoSnapshotPrepareDisk(vm, existing, &works[i]);
    }
    if (ret == 0)
        ret = vireoSnapshotSwitch(vm, works, def->ndisks);

    for (i = 0; i < def->ndisks; i++) {
        if (ret < 0)
            vireoSnapshotUndoDisk(vm, &works[i]);
        else if (works[i].image)
            vireoChainPush(vm, works[i].disk, g_steal_pointer(&works[i].image));
        vireoSnapshotDiskClear(&works[i]);
    }
    if (ret == 0)
        vireoDomainSaveStatus(vm);

    return ret;
}
