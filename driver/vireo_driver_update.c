/*
 * vireo_driver_update.c: entry points that change devices where they are
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_alias.h"
#include "vireo_change.h"
#include "vireo_driver.h"
#include "vireo_graphics.h"
#include "vireo_memory_device.h"
#include "vireo_qmp.h"
#include "vireo_scsi.h"
#include "vireo_storage.h"
#include "vireo_update.h"
#include "vireo_update_net.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* Of a running domain, what the host does for a device can change, and media; the rest is the
 * monitor's for good. */
static int
vireoDomainUpdateLive(virDomainObj *vm,
                      const char *xml,
                      bool force)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virDomainDeviceDef) dev = vireoUpdateParse(vm->def, priv->driver->xmlopt, xml);

    if (!dev)
        return -1;
    if (dev->type == VIR_DOMAIN_DEVICE_DISK)
        return vireoScsiChangeMedium(vm, dev->data.disk, force);
    if (dev->type == VIR_DOMAIN_DEVICE_MEMORY)
        return vireoMemoryDeviceUpdate(vm, dev->data.memory);
    if (dev->type == VIR_DOMAIN_DEVICE_GRAPHICS)
        return vireoGraphicsUpdate(vm, dev->data.graphics);
    if (dev->type == VIR_DOMAIN_DEVICE_NET)
        return vireoUpdateNet(vm, dev);

    virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                   _("Vireo cannot change <%s> of a running domain"),
                   virDomainDeviceTypeToString(dev->type));
    return -1;
}

int
vireoDomainUpdateDeviceFlags(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags)
{
    vireoDriver *driver = dom->conn->privateData;
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_DOMAIN_DEVICE_MODIFY_FORCE, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainUpdateDeviceFlagsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        if ((!change.config || vireoUpdateConfig(change.config, driver->xmlopt, xml) == 0) &&
            (!change.live ||
             vireoDomainUpdateLive(vm, xml, flags & VIR_DOMAIN_DEVICE_MODIFY_FORCE) == 0))
            ret = 0;
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainResizeDisk(virDomainObj *vm,
                      const char *path,
                      unsigned long long bytes)
{
    virDomainDiskDef *disk = virDomainDiskByName(vm->def, path, false);
    g_autofree char *node = NULL;

    if (!disk) {
        virReportError(VIR_ERR_INVALID_ARG, _("the domain has no disk '%s'"), path);
        return -1;
    }
    if (disk->src->readonly) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, _("disk '%s' is read-only"), disk->dst);
        return -1;
    }

    if (vireoStorageServes(disk))
        return vireoStorageResize(vm, disk, bytes);

    node = vireoAliasBlockNode(disk);
    return vireoQmpBlockResize(vm, node, bytes);
}

int
vireoDomainBlockResize(virDomainPtr dom,
                       const char *path,
                       unsigned long long size,
                       unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_BLOCK_RESIZE_BYTES, -1);

    if (!(flags & VIR_DOMAIN_BLOCK_RESIZE_BYTES)) {
        if (size > ULLONG_MAX / 1024) {
            virReportError(VIR_ERR_OVERFLOW, _("size must be less than %llu"), ULLONG_MAX / 1024);
            return -1;
        }
        size *= 1024;
    }
    if (size > LLONG_MAX) {
        virReportError(VIR_ERR_OVERFLOW, _("size must be at most %lld bytes"), LLONG_MAX);
        return -1;
    }

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainBlockResizeEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        ret = vireoDomainResizeDisk(vm, path, size);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}
