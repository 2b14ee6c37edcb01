/*
 * vireo_handover.c: disks of a running domain that pass from the monitor to the storage daemon, and back
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_alias.h"
#include "vireo_blockdev.h"
#include "vireo_blockjob.h"
#include "vireo_chain.h"
#include "vireo_device_props.h"
#include "vireo_event.h"
#include "vireo_handover.h"
#include "vireo_hotplug.h"
#include "vireo_qmp.h"
#include "vireo_stats.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_handover");

/* What a device sees of a disk while neither process may write to its image. */
#define VIREO_HANDOVER_PLACEHOLDER "placeholder"

/* Images in whole sectors, as the monitor rounds them. */
#define VIREO_HANDOVER_SECTOR 512ULL

int
vireoHandoverPause(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virDomainObjGetState(vm, NULL) != VIR_DOMAIN_RUNNING)
        return 0;

    priv->handingOver = true;
    vireoDomainSaveStatus(vm);
    if (vireoQmpSimple(vm, "stop") == 0)
        return 0;

    priv->handingOver = false;
    return -1;
}

void
vireoHandoverResume(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virErrorPtr saved;

    if (!priv->handingOver)
        return;

    virErrorPreserveLast(&saved);
    if (virDomainObjIsActive(vm) && vireoQmpSimple(vm, "cont") < 0)
        VIR_ERROR(_("domain %s does not go on: %s"), vm->def->name, virGetLastErrorMessage());
    virErrorRestore(&saved);
    priv->handingOver = false;
    vireoDomainSaveStatus(vm);
}

int
vireoHandoverSwitch(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    bool served)
{
    g_autofree char *node = served ? vireoAliasServedNode(disk) : vireoAliasOwnNode(disk);
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "s:id", disk->info.alias, "s:node-name", node, NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "x-vireo-blockdev-replace", &args, NULL);
}

static int
vireoHandoverAddClient(virDomainObj *vm,
                       virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *path = vireoStorageSocket(priv->dir, disk);

    return vireoQmpAdd(vm, "blockdev-add", vireoBlockdevClientProps(disk, path));
}

static void
vireoHandoverRemoveClient(virDomainObj *vm,
                          virDomainDiskDef *disk)
{
    g_autofree char *node = vireoAliasServedNode(disk);

    vireoHotplugUndo(vm, "blockdev-del", "node-name", node);
}

static void
vireoHandoverRemoveOwn(virDomainObj *vm,
                       virDomainDiskDef *disk)
{
    g_autofree char *node = vireoAliasOwnNode(disk);

    vireoHotplugUndo(vm, "blockdev-del", "node-name", node);
}

/* The disk's own image is the daemon's @image now, the last of its chain. */
static void
vireoHandoverSetServed(virDomainDiskDef *disk,
                       const virStorageSource *image)
{
    disk->src->id = image->id;
    virObjectUnref(disk->src->backingStore);
    disk->src->backingStore = virStorageSourceNew();
}

/* An overlay on the monitor's own image */

int
vireoHandoverPrepare(virDomainObj *vm,
                     virDomainDiskDef *disk,
                     virStorageSource *overlay)
{
    virStorageSource *base = overlay->backingStore;
    g_autofree char *node = NULL;

    if (vireoStorageEnsure(vm) < 0 ||
        vireoStorageAddImage(vm, disk, base, false) < 0)
        return -1;
    if (vireoChainAddImage(vm, disk, overlay) < 0) {
        vireoStorageRemoveImage(vm, base);
        return -1;
    }

    node = vireoBlockdevFormatNode(overlay);
    if (vireoStorageExportNode(vm, disk, node) == 0) {
        if (vireoHandoverAddClient(vm, disk) == 0)
            return 0;
        vireoStorageRemoveExport(vm, disk);
    }
    vireoChainRemoveImage(vm, overlay);
    vireoStorageRemoveImage(vm, base);
    return -1;
}

void
vireoHandoverUndo(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virStorageSource *overlay)
{
    vireoHandoverRemoveClient(vm, disk);
    vireoStorageRemoveExport(vm, disk);
    vireoChainRemoveImage(vm, overlay);
    vireoStorageRemoveImage(vm, overlay->backingStore);
}

void
vireoHandoverFinish(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    virStorageSource *overlay)
{
    vireoHandoverSetServed(disk, overlay->backingStore);
    vireoChainPush(vm, disk, overlay);
    vireoHandoverRemoveOwn(vm, disk);
}

/* The same image */

static char *
vireoHandoverPlaceholder(const virDomainDiskDef *disk)
{
    return g_strdup_printf(VIREO_HANDOVER_PLACEHOLDER "-%s", disk->dst);
}

/* Gives the device's new node something to connect to that has the disk's size. */
static int
vireoHandoverAddPlaceholder(virDomainObj *vm,
                            virDomainDiskDef *disk)
{
    g_autofree char *node = vireoHandoverPlaceholder(disk);
    g_autoptr(virJSONValue) props = NULL;
    virDomainBlockInfo info = { 0 };

    if (vireoStatsGetImage(disk, &info) < 0 ||
        virJSONValueObjectAdd(&props,
                              "s:driver", "null-co",
                              "s:node-name", node,
                              "U:size", VIR_ROUND_UP(info.capacity, VIREO_HANDOVER_SECTOR),
                              "b:read-zeroes", true,
                              NULL) < 0 ||
        vireoStorageAdd(vm, "blockdev-add", g_steal_pointer(&props)) < 0)
        return -1;
    if (vireoStorageExportNode(vm, disk, node) == 0)
        return 0;

    vireoStorageDel(vm, "blockdev-del", "node-name", node);
    return -1;
}

static void
vireoHandoverRemovePlaceholder(virDomainObj *vm,
                               virDomainDiskDef *disk)
{
    g_autofree char *node = vireoHandoverPlaceholder(disk);

    vireoStorageRemoveExport(vm, disk);
    vireoStorageDel(vm, "blockdev-del", "node-name", node);
}

/* Nothing is in flight: the device is moved to the placeholder, and that becomes the image. */
static int
vireoHandoverTakeStopped(virDomainObj *vm,
                         virDomainDiskDef *disk,
                         const virStorageSource *image)
{
    g_autofree char *node = vireoBlockdevFormatNode(image);
    virErrorPtr saved;

    if (vireoHandoverSwitch(vm, disk, true) < 0)
        return -1;

    vireoHandoverRemoveOwn(vm, disk);
    vireoStorageRemoveExport(vm, disk);
    if (vireoStorageExportNode(vm, disk, node) == 0)
        return 0;

    virErrorPreserveLast(&saved);
    if (virDomainObjIsActive(vm) &&
        (vireoQmpAdd(vm, "blockdev-add", vireoDevicePropsBlockNode(disk)) < 0 ||
         vireoHandoverSwitch(vm, disk, false) < 0))
        VIR_ERROR(_("the disk %s of domain %s is lost until it is started anew: %s"), disk->dst,
                  vm->def->name, virGetLastErrorMessage());
    virErrorRestore(&saved);
    return -1;
}

static int
vireoHandoverTakeImage(virDomainObj *vm,
                       virDomainDiskDef *disk,
                       virStorageSource *image)
{
    g_autofree char *placeholder = vireoHandoverPlaceholder(disk);
    int ret = -1;

    if (vireoHandoverAddPlaceholder(vm, disk) < 0)
        return -1;
    if (vireoHandoverAddClient(vm, disk) < 0) {
        vireoHandoverRemovePlaceholder(vm, disk);
        return -1;
    }

    if (vireoHandoverPause(vm) == 0 &&
        (ret = vireoHandoverTakeStopped(vm, disk, image)) == 0) {
        vireoHandoverSetServed(disk, image);
        vireoDomainSaveStatus(vm);
    }
    if (ret < 0) {
        vireoHandoverRemoveClient(vm, disk);
        vireoStorageRemoveExport(vm, disk);
    }
    vireoHandoverResume(vm);
    vireoStorageDel(vm, "blockdev-del", "node-name", placeholder);

    return ret;
}

int
vireoHandoverTake(virDomainObj *vm,
                  virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virStorageSource) image = virStorageSourceCopy(disk->src, false);
    virErrorPtr saved;

    if (!image || vireoDomainLabelDir(vm) < 0 || vireoStorageEnsure(vm) < 0)
        return -1;
    image->id = ++priv->lastImage;
    image->backingStore = virStorageSourceNew();

    if (vireoStorageAddImage(vm, disk, image, !disk->src->readonly) == 0) {
        if (vireoHandoverTakeImage(vm, disk, image) == 0)
            return 0;
        vireoStorageRemoveImage(vm, image);
    }
    virErrorPreserveLast(&saved);
    vireoStorageStopIfIdle(vm);
    virErrorRestore(&saved);
    return -1;
}

/* The daemon has let go of the image. What the guest asks for meanwhile waits in the old node. */
static int
vireoHandoverReturnImage(virDomainObj *vm,
                         virDomainDiskDef *disk)
{
    if (vireoQmpAdd(vm, "blockdev-add", vireoDevicePropsBlockNode(disk)) < 0)
        return -1;
    if (vireoHandoverSwitch(vm, disk, false) == 0)
        return 0;

    vireoHandoverRemoveOwn(vm, disk);
    return -1;
}

void
vireoHandoverReturn(virDomainObj *vm,
                    virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virErrorPtr saved;

    if (!virDomainObjIsActive(vm) || !priv->storage || !vireoStorageCanReturn(disk))
        return;

    virErrorPreserveLast(&saved);
    vireoStorageRemoveExport(vm, disk);
    vireoStorageDetachDisk(vm, disk);
    if (vireoHandoverReturnImage(vm, disk) == 0) {
        disk->src->id = 0;
        g_clear_pointer(&disk->src->backingStore, virObjectUnref);
        vireoDomainSaveStatus(vm);
        vireoHandoverRemoveClient(vm, disk);
    } else if (virDomainObjIsActive(vm)) {
        VIR_WARN("disk %s of domain %s stays served: %s", disk->dst, vm->def->name, virGetLastErrorMessage());
        if (vireoStorageServe(vm, disk) < 0)
            VIR_ERROR(_("disk %s of domain %s is served no more: %s"), disk->dst, vm->def->name,
                      virGetLastErrorMessage());
    }
    vireoStorageStopIfIdle(vm);
    virErrorRestore(&saved);
}

void
vireoHandoverReturnAll(virDomainObj *vm)
{
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        if (!vireoBlockJobFind(vm, vm->def->disks[i]))
            vireoHandoverReturn(vm, vm->def->disks[i]);
    }
}
