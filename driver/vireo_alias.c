/*
 * vireo_alias.c: the names devices have in the monitor
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virutil.h"

#include "vireo_alias.h"
#include "vireo_scsi.h"
#include "vireo_storage.h"

typedef struct {
    const char *alias;
    bool found;
} vireoAliasSearch;

static int
vireoAliasCompare(virDomainDef *def G_GNUC_UNUSED,
                  virDomainDeviceDef *dev G_GNUC_UNUSED,
                  virDomainDeviceInfo *info,
                  void *opaque)
{
    vireoAliasSearch *search = opaque;

    search->found |= STREQ_NULLABLE(info->alias, search->alias);
    return 0;
}

/* The first of PREFIX0, PREFIX1, ... that no device has. */
static char *
vireoAliasNext(virDomainDef *def,
               const char *prefix)
{
    size_t i;

    for (i = 0;; i++) {
        g_autofree char *alias = g_strdup_printf("%s%zu", prefix, i);
        vireoAliasSearch search = { .alias = alias };

        virDomainDeviceInfoIterateFlags(def, vireoAliasCompare,
                                        DOMAIN_DEVICE_ITERATE_ALL_CONSOLES, &search);
        if (!search.found)
            return g_steal_pointer(&alias);
    }
}

static const char *
vireoAliasChrPrefix(const virDomainChrDef *chr)
{
    switch ((virDomainChrDeviceType)chr->deviceType) {
    case VIR_DOMAIN_CHR_DEVICE_TYPE_SERIAL:
        return "serial";
    case VIR_DOMAIN_CHR_DEVICE_TYPE_CONSOLE:
        return "console";
    case VIR_DOMAIN_CHR_DEVICE_TYPE_CHANNEL:
        return "channel";
    default:
        return "parallel";
    }
}

void
vireoAliasAssignDevice(virDomainDef *def,
                       virDomainDeviceDef *dev)
{
    virDomainDeviceInfo *info = virDomainDeviceGetInfo(dev);

    if (!info || info->alias)
        return;

    switch ((virDomainDeviceType)dev->type) {
    case VIR_DOMAIN_DEVICE_DISK: {
        int idx = virDiskNameToIndex(dev->data.disk->dst);

        if (vireoScsiIsDisk(dev->data.disk))
            info->alias = vireoScsiAlias(dev->data.disk);
        else if (idx >= 0)
            info->alias = g_strdup_printf("virtio-disk%d", idx);
        break;
    }
    case VIR_DOMAIN_DEVICE_NET:
        info->alias = vireoAliasNext(def, "net");
        break;
    case VIR_DOMAIN_DEVICE_CHR:
        info->alias = vireoAliasNext(def, vireoAliasChrPrefix(dev->data.chr));
        break;
    case VIR_DOMAIN_DEVICE_RNG:
        info->alias = vireoAliasNext(def, "rng");
        break;
    case VIR_DOMAIN_DEVICE_FS:
        info->alias = vireoAliasNext(def, "fs");
        break;
    case VIR_DOMAIN_DEVICE_VSOCK:
        info->alias = vireoAliasNext(def, "vsock");
        break;
    case VIR_DOMAIN_DEVICE_MEMORY:
        info->alias = vireoAliasNext(def, "virtiomem");
        break;
    case VIR_DOMAIN_DEVICE_MEMBALLOON:
        info->alias = vireoAliasNext(def, "balloon");
        break;
    case VIR_DOMAIN_DEVICE_VIDEO:
        info->alias = vireoAliasNext(def, "video");
        break;
    case VIR_DOMAIN_DEVICE_INPUT:
        info->alias = vireoAliasNext(def, "input");
        break;
    case VIR_DOMAIN_DEVICE_WATCHDOG:
        info->alias = vireoAliasNext(def, "watchdog");
        break;
    case VIR_DOMAIN_DEVICE_TPM:
        info->alias = vireoAliasNext(def, "tpm");
        break;
    case VIR_DOMAIN_DEVICE_PANIC:
        info->alias = vireoAliasNext(def, "panic");
        break;
    case VIR_DOMAIN_DEVICE_CONTROLLER: {
        virDomainControllerDef *controller = dev->data.controller;

        if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_PCI)
            info->alias = g_strdup_printf(controller->model ==
                                          VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT ?
                                          "pcie.%d" : "pci.%d", controller->idx);
        else if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_USB && controller->idx == 0)
            info->alias = g_strdup("usb");
        else
            info->alias = g_strdup_printf("%s%d", virDomainControllerTypeToString(controller->type),
                                          controller->idx);
        break;
    }
    default:
        break;
    }
}

static int
vireoAliasAssignOne(virDomainDef *def,
                    virDomainDeviceDef *dev,
                    virDomainDeviceInfo *info G_GNUC_UNUSED,
                    void *opaque G_GNUC_UNUSED)
{
    vireoAliasAssignDevice(def, dev);
    return 0;
}

void
vireoAliasAssign(virDomainDef *def)
{
    virDomainDeviceInfoIterate(def, vireoAliasAssignOne, NULL);

    /* The console that is the serial port again is not a device of its own. */
    if (def->nconsoles > 0 && def->nserials > 0 && !def->consoles[0]->info.alias &&
        def->consoles[0]->targetType == VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_SERIAL)
        def->consoles[0]->info.alias = g_strdup(def->serials[0]->info.alias);
}

char *
vireoAliasOwnNode(const virDomainDiskDef *disk)
{
    return g_strdup_printf("drive-%s", disk->dst);
}

char *
vireoAliasServedNode(const virDomainDiskDef *disk)
{
    return g_strdup_printf("served-%s", disk->dst);
}

char *
vireoAliasBlockNode(const virDomainDiskDef *disk)
{
    return vireoStorageServes(disk) ? vireoAliasServedNode(disk) : vireoAliasOwnNode(disk);
}

char *
vireoAliasNetdev(const virDomainNetDef *net)
{
    return g_strdup_printf("host%s", net->info.alias);
}

char *
vireoAliasChardev(const virDomainChrDef *chr)
{
    return g_strdup_printf("char%s", chr->info.alias);
}

char *
vireoAliasRNGObject(const virDomainRNGDef *rng)
{
    return g_strdup_printf("obj%s", rng->info.alias);
}

char *
vireoAliasIOThread(unsigned int id)
{
    return g_strdup_printf("iothread%u", id);
}
