/*
 * vireo_disk.c: the host side of disks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "virerror.h"
#include "virfile.h"
#include "virlog.h"

#include "vireo_alias.h"
#include "vireo_blockdev.h"
#include "vireo_cgroup.h"
#include "vireo_device_props.h"
#include "vireo_disk.h"
#include "vireo_hotplug.h"
#include "vireo_qmp.h"
#include "vireo_storage.h"
#include "vireo_vhost.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_disk");

bool
vireoDiskIsEmpty(const virDomainDiskDef *disk)
{
    return disk->device == VIR_DOMAIN_DISK_DEVICE_CDROM && virStorageSourceIsEmpty(disk->src);
}

int
vireoDiskPrepare(virDomainObj *vm,
                 virDomainDiskDef *disk)
{
    const char *path;

    if (virDomainDiskTranslateSourcePool(disk) < 0)
        return -1;
    /* The format of a volume is not guessed either. */
    if (virDomainDiskGetFormat(disk) <= VIR_STORAGE_FILE_NONE)
        virDomainDiskSetFormat(disk, VIR_STORAGE_FILE_RAW);
    if (vireoStorageServes(disk))
        return vireoStoragePrepareDisk(vm, disk);
    if (vireoVhostIsDisk(disk) || vireoDiskIsEmpty(disk))
        return 0;

    path = virDomainDiskGetSource(disk);
    if (!path || !virFileExists(path)) {
        virReportSystemError(ENOENT, _("the image '%s' of disk '%s' cannot be used"),
                             NULLSTR(path), disk->dst);
        return -1;
    }

    return 0;
}

static void
vireoDiskUnlabel(virDomainObj *vm,
                 virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (vireoCgroupDenyDisk(vm, disk) < 0 ||
        virSecurityManagerRestoreImageLabel(priv->driver->securityManager, vm->def, disk->src,
                                            VIR_SECURITY_DOMAIN_IMAGE_LABEL_BACKING_CHAIN) < 0)
        VIR_WARN("the image of disk %s of domain %s could not be given back: %s", disk->dst,
                 vm->def->name, virGetLastErrorMessage());
    virErrorRestore(&saved);
}

int
vireoDiskAcquire(virDomainObj *vm,
                 virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virSecurityManagerSetImageLabel(priv->driver->securityManager, vm->def, disk->src,
                                        VIR_SECURITY_DOMAIN_IMAGE_LABEL_BACKING_CHAIN |
                                        VIR_SECURITY_DOMAIN_IMAGE_PARENT_CHAIN_TOP) < 0)
        return -1;
    if (vireoCgroupAllowDisk(vm, disk) < 0 ||
        (vireoStorageServes(disk) && vireoStorageAttachDisk(vm, disk) < 0)) {
        vireoDiskUnlabel(vm, disk);
        return -1;
    }

    return 0;
}

void
vireoDiskRelease(virDomainObj *vm,
                 virDomainDiskDef *disk)
{
    if (vireoStorageServes(disk))
        vireoStorageDetachDisk(vm, disk);
    vireoDiskUnlabel(vm, disk);
}

virJSONValue *
vireoDiskNodeProps(virDomainDiskDef *disk,
                   const char *dir)
{
    g_autofree char *path = NULL;

    if (!vireoStorageServes(disk))
        return vireoDevicePropsBlockNode(disk);

    path = vireoStorageSocket(dir, disk);
    return vireoBlockdevClientProps(disk, path);
}

int
vireoDiskAddNode(virDomainObj *vm,
                 virDomainDiskDef *disk)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *chardev = vireoVhostChardevAlias(disk->info.alias);

    if (vireoDiskIsEmpty(disk))
        return 0;
    if (vireoVhostIsDisk(disk))
        return vireoQmpAdd(vm, "chardev-add", vireoDevicePropsChardev(chardev, disk->src->vhostuser));

    if (vireoStorageServes(disk) && vireoStorageAddExport(vm, disk) < 0)
        return -1;
    if (vireoQmpAdd(vm, "blockdev-add", vireoDiskNodeProps(disk, priv->dir)) == 0)
        return 0;

    if (vireoStorageServes(disk))
        vireoStorageRemoveExport(vm, disk);
    return -1;
}

void
vireoDiskRemoveNode(virDomainObj *vm,
                    virDomainDiskDef *disk)
{
    g_autofree char *node = vireoAliasBlockNode(disk);
    g_autofree char *chardev = vireoVhostChardevAlias(disk->info.alias);

    if (vireoDiskIsEmpty(disk))
        return;
    if (vireoVhostIsDisk(disk)) {
        vireoHotplugUndo(vm, "chardev-remove", "id", chardev);
        return;
    }

    vireoHotplugUndo(vm, "blockdev-del", "node-name", node);
    if (vireoStorageServes(disk))
        vireoStorageRemoveExport(vm, disk);
}
