/*
 * vireo_memory_device.c: memory that can be changed while a domain runs
 *
 * libvirt counts what the guest has of its memory devices to the current memory;
 * the monitor's balloon does not.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_audit.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_device_props.h"
#include "vireo_driver.h"
#include "vireo_hotplug.h"
#include "vireo_memory.h"
#include "vireo_memory_device.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

unsigned long long
vireoMemoryDeviceCurrent(const virDomainDef *def)
{
    unsigned long long sum = 0;
    size_t i;

    for (i = 0; i < def->nmems; i++)
        sum += def->mems[i]->currentsize;

    return sum;
}

static void
vireoMemoryDeviceRemoveBackend(virDomainObj *vm,
                               const virDomainMemoryDef *mem)
{
    g_autofree char *backend = vireoMemoryBackendAlias(mem);

    vireoHotplugUndo(vm, "object-del", "id", backend);
}

int
vireoMemoryDeviceAttach(virDomainObj *vm,
                        virDomainMemoryDef *mem)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    unsigned long long before = virDomainDefGetMemoryTotal(vm->def);
    g_autofree char *backend = vireoMemoryBackendAlias(mem);

    if (vm->def->nmems >= vm->def->mem.memory_slots) {
        virReportError(VIR_ERR_OPERATION_INVALID,
                       _("all %u memory slots of the domain are in use"),
                       vm->def->mem.memory_slots);
        return -1;
    }

    if (vireoQmpAdd(vm, "object-add",
                    vireoMemoryBackendProps(vm->def, backend, mem, priv->dir,
                                            priv->autoNodes)) < 0)
        return -1;
    if (vireoQmpAdd(vm, "device_add", vireoDevicePropsMemory(vm->def, mem)) < 0) {
        vireoMemoryDeviceRemoveBackend(vm, mem);
        virDomainAuditMemory(vm, before, before + mem->size, "update", false);
        return -1;
    }

    virDomainAuditMemory(vm, before, before + mem->size, "update", true);
    return virDomainMemoryInsert(vm->def, mem) < 0 ? -1 : 0;
}

void
vireoMemoryDeviceForget(virDomainObj *vm,
                        virDomainMemoryDef *mem)
{
    unsigned long long before = virDomainDefGetMemoryTotal(vm->def);
    ssize_t idx = virDomainMemoryFindByDef(vm->def, mem);

    vireoMemoryDeviceRemoveBackend(vm, mem);
    virDomainAuditMemory(vm, before, before - mem->size, "update", true);
    if (idx >= 0)
        virDomainMemoryRemove(vm->def, idx);
    virDomainMemoryDefFree(mem);
}

/* The device of @def that @wanted is, if nothing but its requested size differs. */
static virDomainMemoryDef *
vireoMemoryDeviceFind(virDomainDef *def,
                      const virDomainMemoryDef *wanted)
{
    virDomainMemoryDef *mem = NULL;
    virDomainDeviceInfo info = wanted->info;

    if (!(mem = virDomainMemoryFindByDeviceInfo(def, &info, NULL))) {
        virReportError(VIR_ERR_DEVICE_MISSING, "%s",
                       _("the domain has no <memory> device at this address"));
        return NULL;
    }
    if (mem->model != wanted->model || mem->size != wanted->size ||
        mem->blocksize != wanted->blocksize || mem->targetNode != wanted->targetNode ||
        mem->pagesize != wanted->pagesize || mem->access != wanted->access ||
        mem->discard != wanted->discard ||
        !virBitmapEqual(mem->sourceNodes, wanted->sourceNodes)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("Vireo can change nothing but the <requested> size of a <memory> device"));
        return NULL;
    }

    return mem;
}

int
vireoMemoryDeviceUpdate(virDomainObj *vm,
                        const virDomainMemoryDef *wanted)
{
    virDomainMemoryDef *mem = vireoMemoryDeviceFind(vm->def, wanted);

    if (!mem || vireoQmpSetRequestedSize(vm, mem->info.alias, wanted->requestedsize) < 0)
        return -1;

    mem->requestedsize = wanted->requestedsize;
    return 0;
}

int
vireoMemoryDeviceUpdateConfig(virDomainDef *def,
                              virDomainMemoryDef *wanted)
{
    virDomainMemoryDef *mem = vireoMemoryDeviceFind(def, wanted);

    if (!mem)
        return -1;

    mem->requestedsize = wanted->requestedsize;
    return 0;
}

void
vireoMemoryDeviceChanged(virDomainObj *vm,
                         const char *alias,
                         unsigned long long kib)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    for (i = 0; i < vm->def->nmems; i++) {
        virDomainMemoryDef *mem = vm->def->mems[i];

        if (STRNEQ_NULLABLE(mem->info.alias, alias))
            continue;
        vm->def->mem.cur_balloon += kib;
        vm->def->mem.cur_balloon -= MIN(vm->def->mem.cur_balloon, mem->currentsize);
        mem->currentsize = kib;
        virObjectEventStateQueue(priv->driver->domainEventState,
                                 virDomainEventMemoryDeviceSizeChangeNewFromObj(vm, alias, kib));
        vireoDomainSaveStatus(vm);
        return;
    }
}
