/*
 * vireo_image.c: image files that the driver makes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <unistd.h>

#include "viralloc.h"
#include "vircommand.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"

#include "vireo_blockdev.h"
#include "vireo_image.h"
#include "vireo_stats.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_image");

#define VIREO_IMAGE_TOOL "qemu-img"

/* Nothing is opened for it but the new file: the size is known. */
static int
vireoImageRunTool(virStorageSource *src,
                  unsigned long long bytes)
{
    g_autoptr(virCommand) cmd = virCommandNewArgList(VIREO_IMAGE_TOOL, "create", "-q", "-u", "-f",
                                                     virStorageFileFormatTypeToString(src->format),
                                                     NULL);
    virStorageSource *backing = src->backingStore;
    g_autofree char *messages = NULL;
    int status;

    if (virStorageSourceIsBacking(backing)) {
        if (!virStorageSourceIsLocalStorage(backing)) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("Vireo makes no image '%s' with one on the network behind it"), src->path);
            return -1;
        }
        virCommandAddArgList(cmd, "-b", backing->path, "-F",
                             virStorageFileFormatTypeToString(backing->format), NULL);
    }
    virCommandAddArg(cmd, src->path);
    virCommandAddArgFormat(cmd, "%llu", bytes);

    virCommandSetErrorBuffer(cmd, &messages);
    if (virCommandRun(cmd, &status) < 0)
        return -1;
    if (status != 0) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("cannot make the image '%s': %s"), src->path,
                       messages && *messages ? g_strchomp(messages) : _("no reason is given"));
        return -1;
    }

    return 0;
}

int
vireoImageCheckOverlay(const virDomainDiskDef *disk,
                       const virStorageSource *image,
                       bool existing)
{
    virStorageType type = virStorageSourceGetActualType(image);

    if (vireoBlockdevCheck(image, disk) < 0)
        return -1;
    if (image->format != VIR_STORAGE_FILE_QCOW2) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s' cannot go on in an image of format '%s', only of 'qcow2'"), disk->dst,
                       virStorageFileFormatTypeToString(image->format));
        return -1;
    }
    if (existing && type != VIR_STORAGE_TYPE_NETWORK && !virFileExists(image->path)) {
        virReportSystemError(ENOENT, _("the image '%s' for disk '%s' cannot be reused"), image->path,
                             disk->dst);
        return -1;
    }
    if (!existing && virFileExists(image->path)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("the image '%s' exists already"), image->path);
        return -1;
    }
    if (!existing && type != VIR_STORAGE_TYPE_FILE) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo makes images for disk '%s' only in files: what is not one must exist and be reused"),
                       disk->dst);
        return -1;
    }

    return 0;
}

int
vireoImageGetInfo(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virDomainBlockInfo *info)
{
    if (virDomainObjIsActive(vm) && vireoStorageServes(disk))
        return vireoStorageGetInfo(vm, disk, info);

    return vireoStatsGetImage(disk, info);
}

int
vireoImageCreate(virStorageSource *src,
                 unsigned long long bytes)
{
    if (virFileExists(src->path)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("the image '%s' exists already"), src->path);
        return -1;
    }
    if (src->encryption) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("Vireo makes no encrypted image '%s'"), src->path);
        return -1;
    }

    if (vireoImageRunTool(src, bytes) == 0)
        return 0;

    unlink(src->path);
    return -1;
}

void
vireoImageRemove(virStorageSource *src)
{
    if (unlink(src->path) < 0 && errno != ENOENT)
        VIR_WARN("the image '%s' could not be removed: %s", src->path, g_strerror(errno));
}
