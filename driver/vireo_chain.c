/*
 * vireo_chain.c: the backing chain of a running domain's disk, as it changes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <unistd.h>

#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_cgroup.h"
#include "vireo_chain.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_chain");

virStorageSource *
vireoChainFind(virStorageSource *src,
               unsigned int id)
{
    for (; virStorageSourceIsBacking(src); src = src->backingStore) {
        if (src->id == id)
            return src;
    }

    return NULL;
}

virStorageSource *
vireoChainOverlay(virDomainDiskDef *disk,
                  const virStorageSource *src)
{
    virStorageSource *n;

    for (n = disk->src; virStorageSourceIsBacking(n); n = n->backingStore) {
        if (n->backingStore == src)
            return n;
    }

    return NULL;
}

/* @flags: of virSecurityManagerSetImageLabel() */
static int
vireoChainAllow(virDomainObj *vm,
                virStorageSource *src,
                unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    bool readonly = src->readonly;
    int ret = -1;

    src->readonly = false;
    if (virSecurityManagerSetImageLabel(priv->driver->securityManager, vm->def, src, flags) == 0)
        ret = vireoCgroupAllowImage(vm, src, false);
    src->readonly = readonly;

    return ret;
}

int
vireoChainAllowWrite(virDomainObj *vm,
                     virStorageSource *src)
{
    /* Whose it was has been noted when it came to the domain, if at all; it is given back once. */
    return vireoChainAllow(vm, src, 0);
}

static void
vireoChainForbid(virDomainObj *vm,
                 virStorageSource *src)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (vireoCgroupDenyImage(vm, src) < 0 ||
        virSecurityManagerRestoreImageLabel(priv->driver->securityManager, vm->def, src, 0) < 0)
        VIR_WARN("the image '%s' of domain %s could not be given back: %s", NULLSTR(src->path),
                 vm->def->name, virGetLastErrorMessage());
}

int
vireoChainAddImage(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   virStorageSource *src)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    src->id = ++priv->lastImage;
    if (vireoChainAllow(vm, src, VIR_SECURITY_DOMAIN_IMAGE_PARENT_CHAIN_TOP) == 0 &&
        vireoStorageAddImage(vm, disk, src, true) == 0)
        return 0;

    if (virDomainObjIsActive(vm)) {
        virErrorPtr saved;

        virErrorPreserveLast(&saved);
        vireoChainForbid(vm, src);
        virErrorRestore(&saved);
    }
    return -1;
}

void
vireoChainRemoveImage(virDomainObj *vm,
                      virStorageSource *src)
{
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    vireoStorageRemoveImage(vm, src);
    if (virDomainObjIsActive(vm))
        vireoChainForbid(vm, src);
    virErrorRestore(&saved);
}

void
vireoChainRemoveImages(virDomainObj *vm,
                       virStorageSource *src,
                       const virStorageSource *end,
                       bool deleteImages)
{
    for (; virStorageSourceIsBacking(src) && src != end; src = src->backingStore) {
        vireoChainRemoveImage(vm, src);
        if (deleteImages && virStorageSourceGetActualType(src) == VIR_STORAGE_TYPE_FILE &&
            unlink(src->path) < 0)
            VIR_WARN("the image '%s' could not be removed: %s", src->path, g_strerror(errno));
    }
}

/* What the next start uses, unless it was to use something else; it finds the chain by itself. */
static void
vireoChainUpdateConfig(virDomainObj *vm,
                       const virDomainDiskDef *live,
                       const virStorageSource *before)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainDiskDef *disk;
    g_autoptr(virStorageSource) src = NULL;

    if (!vm->persistent || !vm->newDef ||
        !(disk = virDomainDiskByTarget(vm->newDef, live->dst)) ||
        !virStorageSourceIsSameLocation(disk->src, (virStorageSource *)before) ||
        !(src = virStorageSourceCopy(live->src, false)))
        return;

    src->id = 0;
    src->readonly = disk->src->readonly;
    virObjectUnref(disk->src);
    disk->src = g_steal_pointer(&src);
    if (virDomainDefSave(vm->newDef, priv->driver->xmlopt, priv->driver->config->configDir) < 0)
        VIR_WARN("the definition of domain %s could not be saved: %s", vm->def->name,
                 virGetLastErrorMessage());
}

virStorageSource *
vireoChainCut(virDomainObj *vm,
              virDomainDiskDef *disk,
              virStorageSource *above,
              virStorageSource *base)
{
    virStorageSource *removed = g_steal_pointer(&above->backingStore);

    above->backingStore = base ? virObjectRef(base) : virStorageSourceNew();
    vireoChainUpdateConfig(vm, disk, disk->src);

    return removed;
}

void
vireoChainPush(virDomainObj *vm,
               virDomainDiskDef *disk,
               virStorageSource *src)
{
    virStorageSource *before = disk->src;

    src->readonly = before->readonly;
    virObjectUnref(src->backingStore);
    src->backingStore = before;
    disk->src = src;
    vireoChainUpdateConfig(vm, disk, before);
}

virStorageSource *
vireoChainPivot(virDomainObj *vm,
                virDomainDiskDef *disk,
                virStorageSource *src,
                virStorageSource *base)
{
    virStorageSource *before = disk->src;

    src->readonly = before->readonly;
    if (src != base) {
        virObjectUnref(src->backingStore);
        src->backingStore = base ? virObjectRef(base) : virStorageSourceNew();
    }
    disk->src = src;
    vireoChainUpdateConfig(vm, disk, before);

    return before;
}
