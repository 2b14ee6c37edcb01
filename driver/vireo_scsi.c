/*
 * vireo_scsi.c: SCSI controllers, their disks and drives, and media in those
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_audit.h"
#include "domain_event.h"
#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_alias.h"
#include "vireo_blockjob.h"
#include "vireo_device_props.h"
#include "vireo_disk.h"
#include "vireo_firmware.h"
#include "vireo_hotplug.h"
#include "vireo_qmp.h"
#include "vireo_scsi.h"
#include "vireo_validate.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_scsi");

#define VIREO_SCSI_LUNS 256

bool
vireoScsiIsDisk(const virDomainDiskDef *disk)
{
    return disk->bus == VIR_DOMAIN_DISK_BUS_SCSI;
}

int
vireoScsiValidateDisk(const virDomainDiskDef *disk)
{
    const virDomainDeviceDriveAddress *addr = &disk->info.addr.drive;
    const vireoValidateRefusal refusals[] = {
        { disk->src->type == VIR_STORAGE_TYPE_VHOST_USER, "a disk of type 'vhostuser' on a SCSI bus" },
        { disk->queues > 0, "<driver queues> of a SCSI disk" },
        { disk->queue_size > 0, "<driver queue_size> of a SCSI disk" },
        { disk->iothread > 0, "<driver iothread> of a SCSI disk, only of its controller" },
        { disk->info.type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_DRIVE &&
          (addr->bus > 0 || addr->target >= VIREO_SCSI_LUNS || addr->unit >= VIREO_SCSI_LUNS),
          "an <address> of a SCSI disk beyond bus 0, target 255 and unit 255" },
    };

    return vireoValidateRefuse(refusals);
}

int
vireoScsiValidateController(const virDomainControllerDef *controller,
                            const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { controller->model != VIR_DOMAIN_CONTROLLER_MODEL_SCSI_VIRTIO_SCSI &&
          controller->model != VIR_DOMAIN_CONTROLLER_MODEL_SCSI_VIRTIO_NON_TRANSITIONAL &&
          controller->model != VIR_DOMAIN_CONTROLLER_MODEL_SCSI_AUTO &&
          controller->model != VIR_DOMAIN_CONTROLLER_MODEL_SCSI_DEFAULT,
          "a <controller type='scsi' model> other than 'virtio-scsi'" },
        { controller->cmd_per_lun > 0, "controller <driver cmd_per_lun>" },
        { controller->max_sectors > 0, "controller <driver max_sectors>" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;
    if (controller->iothread > 0 && !virDomainIOThreadIDFind(def, controller->iothread)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("a controller asks for iothread %u, which the domain does not have"),
                       controller->iothread);
        return -1;
    }

    return 0;
}

char *
vireoScsiAlias(const virDomainDiskDef *disk)
{
    const virDomainDeviceDriveAddress *addr = &disk->info.addr.drive;

    return g_strdup_printf("scsi%u-%u-%u-%u", addr->controller, addr->bus, addr->target, addr->unit);
}

virJSONValue *
vireoScsiDiskProps(const virDomainDef *def,
                   virDomainDiskDef *disk)
{
    const virDomainDeviceDriveAddress *addr = &disk->info.addr.drive;
    const char *controller = virDomainControllerAliasFind(def, VIR_DOMAIN_CONTROLLER_TYPE_SCSI,
                                                          addr->controller);
    bool cdrom = disk->device == VIR_DOMAIN_DISK_DEVICE_CDROM;
    g_autofree char *node = vireoAliasBlockNode(disk);
    g_autofree char *bus = NULL;
    g_autoptr(virJSONValue) props = NULL;

    if (!controller)
        return NULL;
    bus = g_strdup_printf("%s.0", controller);

    if (virJSONValueObjectAdd(&props,
                              "s:driver", cdrom ? "scsi-cd" : "scsi-hd",
                              "s:id", disk->info.alias,
                              "s:bus", bus,
                              "u:channel", 0,
                              "u:scsi-id", addr->target,
                              "u:lun", addr->unit,
                              "S:drive", vireoDiskIsEmpty(disk) ? NULL : node,
                              "S:serial", disk->serial,
                              "S:vendor", disk->vendor,
                              "S:product", disk->product,
                              "S:werror", vireoDevicePropsWriteErrors(disk),
                              "S:rerror", vireoDevicePropsReadErrors(disk),
                              "p:bootindex", vireoFirmwareBootIndex(def, &disk->info),
                              NULL) < 0)
        return NULL;
    if (!cdrom &&
        virJSONValueObjectAdd(&props,
                              "S:write-cache", vireoDevicePropsWriteCache(disk),
                              "p:rotation_rate", disk->rotation_rate,
                              "p:logical_block_size", disk->blockio.logical_block_size,
                              "p:physical_block_size", disk->blockio.physical_block_size,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoScsiControllerProps(const virDomainDef *def,
                         virDomainControllerDef *controller)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "virtio-scsi-pci",
                                                           &controller->info, controller->virtio);
    g_autofree char *iothread = controller->iothread > 0 ?
        vireoAliasIOThread(controller->iothread) : NULL;

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "S:iothread", iothread,
                              "p:num_queues", controller->queues,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

/* Those that the parser adds for disks come last; put where it would read them. */
static void
vireoScsiSortControllers(virDomainDef *def)
{
    g_autofree virDomainControllerDef **found = g_new0(virDomainControllerDef *, def->ncontrollers);
    size_t nfound = 0;
    size_t i;

    for (i = 0; i < def->ncontrollers;) {
        if (def->controllers[i]->type == VIR_DOMAIN_CONTROLLER_TYPE_SCSI)
            found[nfound++] = virDomainControllerRemove(def, i);
        else
            i++;
    }
    for (i = 0; i < nfound; i++)
        virDomainControllerInsert(def, found[i]);
}

int
vireoScsiAddressAssign(virDomainDef *def)
{
    size_t i;

    vireoScsiSortControllers(def);
    for (i = 0; i < def->ncontrollers; i++) {
        virDomainControllerDef *controller = def->controllers[i];

        if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_SCSI &&
            (controller->model == VIR_DOMAIN_CONTROLLER_MODEL_SCSI_AUTO ||
             controller->model == VIR_DOMAIN_CONTROLLER_MODEL_SCSI_DEFAULT))
            controller->model = VIR_DOMAIN_CONTROLLER_MODEL_SCSI_VIRTIO_SCSI;
    }

    for (i = 0; i < def->ndisks; i++) {
        const virDomainDiskDef *disk = def->disks[i];
        unsigned int idx = disk->info.addr.drive.controller;

        if (!vireoScsiIsDisk(disk))
            continue;
        if (disk->info.type != VIR_DOMAIN_DEVICE_ADDRESS_TYPE_DRIVE ||
            virDomainControllerFind(def, VIR_DOMAIN_CONTROLLER_TYPE_SCSI, idx) < 0) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("disk '%s' is on no SCSI controller that the domain has"), disk->dst);
            return -1;
        }
    }

    return 0;
}

/* The disk called @alias, or NULL. */
static virDomainDiskDef *
vireoScsiFind(const virDomainDef *def,
              const char *alias)
{
    size_t i;

    for (i = 0; i < def->ndisks; i++) {
        if (STREQ_NULLABLE(def->disks[i]->info.alias, alias))
            return def->disks[i];
    }

    return NULL;
}

/* Media */

static int
vireoScsiTray(virDomainObj *vm,
              const char *command,
              const virDomainDiskDef *disk,
              bool force)
{
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args,
                              "s:id", disk->info.alias,
                              "B:force", force,
                              NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, command, &args, NULL);
}

/* Puts the source of @disk, which the process may use, into its drive. */
static int
vireoScsiInsert(virDomainObj *vm,
                virDomainDiskDef *disk)
{
    g_autofree char *node = vireoAliasBlockNode(disk);
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args,
                              "s:id", disk->info.alias,
                              "s:node-name", node,
                              NULL) < 0 ||
        vireoDiskAddNode(vm, disk) < 0)
        return -1;
    if (vireoQmpCommand(vm, "blockdev-insert-medium", &args, NULL) == 0)
        return 0;

    vireoDiskRemoveNode(vm, disk);
    return -1;
}

/* Takes the medium out of a drive whose tray is open. */
static int
vireoScsiRemove(virDomainObj *vm,
                virDomainDiskDef *disk)
{
    if (vireoQmpDel(vm, "blockdev-remove-medium", "id", disk->info.alias) < 0)
        return -1;

    vireoDiskRemoveNode(vm, disk);
    return 0;
}

/* Opens the tray, changes what is on it and closes it again. */
static int
vireoScsiExchange(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virStorageSource *src,
                  bool force)
{
    virStorageSource *old = disk->src;
    bool hadMedium = !vireoDiskIsEmpty(disk);
    int ret = -1;

    if (vireoScsiTray(vm, "blockdev-open-tray", disk, force) < 0 ||
        (hadMedium && vireoScsiRemove(vm, disk) < 0))
        return -1;

    disk->src = src;
    if (vireoDiskIsEmpty(disk) || vireoScsiInsert(vm, disk) == 0) {
        ret = 0;
    } else {
        virErrorPtr saved;

        virErrorPreserveLast(&saved);
        disk->src = old;
        if (hadMedium && vireoScsiInsert(vm, disk) < 0)
            VIR_WARN("the old medium of %s of domain %s could not be put back: %s",
                     disk->info.alias, vm->def->name, virGetLastErrorMessage());
        virErrorRestore(&saved);
    }
    /* An empty tray stays open, as if it had been ejected. */
    if (!vireoDiskIsEmpty(disk))
        vireoHotplugUndo(vm, "blockdev-close-tray", "id", disk->info.alias);

    return ret;
}

static int
vireoScsiCheckDrive(const virDomainDiskDef *disk,
                    const virDomainDiskDef *wanted)
{
    if (!disk) {
        virReportError(VIR_ERR_DEVICE_MISSING, _("the domain has no disk '%s'"), wanted->dst);
        return -1;
    }
    if (disk->device != VIR_DOMAIN_DISK_DEVICE_CDROM ||
        wanted->device != VIR_DOMAIN_DISK_DEVICE_CDROM) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("Vireo can change nothing of disk '%s' of a running domain: it is no drive with a tray"),
                       disk->dst);
        return -1;
    }
    if (disk->bus != wanted->bus || STRNEQ_NULLABLE(disk->serial, wanted->serial) ||
        disk->cachemode != wanted->cachemode || disk->iomode != wanted->iomode) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("Vireo can change nothing but the <source> of drive '%s' of a running domain"),
                       disk->dst);
        return -1;
    }

    return 0;
}

int
vireoScsiChangeMedium(virDomainObj *vm,
                      virDomainDiskDef *wanted,
                      bool force)
{
    virDomainDiskDef *disk = virDomainDiskByTarget(vm->def, wanted->dst);
    virStorageSource *old;

    if (vireoScsiCheckDrive(disk, wanted) < 0 ||
        vireoBlockJobCheckNone(vm, disk) < 0 ||
        vireoDiskPrepare(vm, wanted) < 0 ||
        (!vireoDiskIsEmpty(wanted) && vireoDiskAcquire(vm, wanted) < 0))
        return -1;

    old = disk->src;
    if (vireoScsiExchange(vm, disk, wanted->src, force) < 0) {
        virDomainAuditDisk(vm, old, wanted->src, "update", false);
        if (!vireoDiskIsEmpty(wanted))
            vireoDiskRelease(vm, wanted);
        return -1;
    }

    virDomainAuditDisk(vm, old, wanted->src, "update", true);
    wanted->src = old;
    if (!vireoDiskIsEmpty(wanted))
        vireoDiskRelease(vm, wanted);
    return 0;
}

int
vireoScsiOpenTrays(virDomainObj *vm)
{
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        const virDomainDiskDef *disk = vm->def->disks[i];

        if (disk->device == VIR_DOMAIN_DISK_DEVICE_CDROM &&
            disk->tray_status == VIR_DOMAIN_DISK_TRAY_OPEN &&
            vireoScsiTray(vm, "blockdev-open-tray", disk, true) < 0)
            return -1;
    }

    return 0;
}

int
vireoScsiReconnect(virDomainObj *vm)
{
    g_autoptr(virJSONValue) blocks = NULL;
    size_t i;

    if (vireoQmpCommand(vm, "query-block", NULL, &blocks) < 0)
        return -1;
    if (!virJSONValueIsArray(blocks))
        return vireoQmpReportShape("query-block");

    for (i = 0; i < virJSONValueArraySize(blocks); i++) {
        virJSONValue *block = virJSONValueArrayGet(blocks, i);
        const char *alias = virJSONValueObjectGetString(block, "qdev");
        virDomainDiskDef *disk = alias ? vireoScsiFind(vm->def, alias) : NULL;
        bool open;

        if (disk && virJSONValueObjectGetBoolean(block, "tray_open", &open) == 0)
            disk->tray_status = open ? VIR_DOMAIN_DISK_TRAY_OPEN : VIR_DOMAIN_DISK_TRAY_CLOSED;
    }

    return 0;
}

void
vireoScsiTrayMoved(virDomainObj *vm,
                   const char *alias,
                   bool open)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainDiskDef *disk = vireoScsiFind(vm->def, alias);
    int reason = open ? VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN : VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE;

    if (!disk)
        return;

    disk->tray_status = open ? VIR_DOMAIN_DISK_TRAY_OPEN : VIR_DOMAIN_DISK_TRAY_CLOSED;
    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventTrayChangeNewFromObj(vm, alias, reason));
    vireoDomainSaveStatus(vm);
}
