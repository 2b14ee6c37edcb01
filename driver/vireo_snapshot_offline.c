/*
 * vireo_snapshot_offline.c: disks of a domain that does not run, which goes on in new images
 *
 * Nobody has the images open: the new ones are made, and the definition names them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_validate.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_image.h"
#include "vireo_snapshot.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN_SNAPSHOT

static int
vireoSnapshotCheckOffline(virDomainDiskDef *disk,
                          virDomainSnapshotDiskDef *wanted,
                          bool existing)
{
    if (virDomainDiskTranslateSourcePool(disk) < 0)
        return -1;
    if (!virStorageSourceIsLocalStorage(disk->src)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("the image of disk '%s' is not this host's: its domain has to run"), disk->dst);
        return -1;
    }
    if (disk->src->readonly) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, _("disk '%s' is read-only"), disk->dst);
        return -1;
    }
    if (disk->src->shared) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, _("disk '%s' is shared: others go on in its image"),
                       disk->dst);
        return -1;
    }

    if (wanted->src->format <= VIR_STORAGE_FILE_NONE)
        wanted->src->format = VIR_STORAGE_FILE_QCOW2;
    return vireoImageCheckOverlay(disk, wanted->src, existing);
}

/* Gives @disk of the new definition its new image, which is made unless it is there. */
static int
vireoSnapshotTakeDisk(virDomainObj *vm,
                      virDomainDiskDef *disk,
                      virDomainSnapshotDiskDef *wanted,
                      bool existing)
{
    g_autoptr(virStorageSource) image = virStorageSourceCopy(wanted->src, false);
    virDomainBlockInfo info = { 0 };

    if (!image)
        return -1;
    if (!existing) {
        image->backingStore = virObjectRef(disk->src);
        if (vireoImageGetInfo(vm, disk, &info) < 0 ||
            vireoImageCreate(image, info.capacity) < 0)
            return -1;
    }

    /* The header tells what is behind it, but neither where it ends nor a secret. */
    if (!disk->src->backingStore && !disk->src->encryption)
        g_clear_pointer(&image->backingStore, virObjectUnref);
    virObjectUnref(disk->src);
    disk->src = g_steal_pointer(&image);

    return 0;
}

static int
vireoSnapshotSaveOffline(virDomainObj *vm,
                         virDomainDef **def)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoDriver *driver = priv->driver;

    /* Not every disk that can be raw can be anything else. */
    if (virDomainDefValidate(*def, 0, driver->xmlopt, NULL) < 0 ||
        virDomainDefSave(*def, driver->xmlopt, driver->config->configDir) < 0)
        return -1;

    virDomainObjAssignDef(vm, def, false, NULL);
    return 0;
}

int
vireoSnapshotTakeOffline(virDomainObj *vm,
                         virDomainSnapshotDef *def,
                         bool existing)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virDomainDef) next = virDomainObjCopyPersistentDef(vm, priv->driver->xmlopt, NULL);
    g_autoptr(GPtrArray) made = g_ptr_array_new();
    int ret = next ? 0 : -1;
    bool any = false;
    size_t i;

    for (i = 0; ret == 0 && i < def->ndisks; i++) {
        virDomainSnapshotDiskDef *wanted = &def->disks[i];
        virDomainDiskDef *disk = virDomainDiskByTarget(next, wanted->name);

        if (wanted->snapshot == VIR_DOMAIN_SNAPSHOT_LOCATION_NO)
            continue;
        any = true;
        if ((ret = vireoSnapshotCheckDisk(wanted)) < 0 ||
            (ret = vireoSnapshotCheckOffline(disk, wanted, existing)) < 0 ||
            (ret = vireoSnapshotTakeDisk(vm, disk, wanted, existing)) < 0)
            break;
        if (!existing)
            g_ptr_array_add(made, wanted->src);
    }
    if (ret == 0 && !any)
        ret = vireoSnapshotReportNone();
    if (ret == 0)
        ret = vireoSnapshotSaveOffline(vm, &next);

    for (i = 0; ret < 0 && i < made->len; i++)
        vireoImageRemove(g_ptr_array_index(made, i));
    return ret;
}
