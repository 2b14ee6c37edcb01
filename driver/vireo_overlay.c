/*
 * vireo_overlay.c: new images that disks of a running domain are about to go on in
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <sys/stat.h>
#include <unistd.h>

#include "virlog.h"
#include "virxml.h"

#include "vireo_chain.h"
#include "vireo_overlay.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_overlay");

void
vireoOverlayFree(void *opaque)
{
    vireoOverlay *overlay = opaque;

    g_free(overlay->disk);
    g_free(overlay->path);
    g_free(overlay);
}

void
vireoOverlayIntend(virDomainObj *vm,
                   const virDomainDiskDef *disk,
                   const virStorageSource *image,
                   bool made)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoOverlay *overlay;

    if (!virStorageSourceIsLocalStorage(image))
        return;

    overlay = g_new0(vireoOverlay, 1);
    overlay->disk = g_strdup(disk->dst);
    overlay->path = g_strdup(image->path);
    overlay->made = made;
    g_ptr_array_add(priv->overlays, overlay);
}

void
vireoOverlaysSwitch(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    priv->overlaysSwitching = true;
    vireoDomainSaveStatus(vm);
}

static bool
vireoOverlayIsUsed(virDomainObj *vm,
                   const vireoOverlay *overlay)
{
    const virDomainDiskDef *disk = virDomainDiskByTarget(vm->def, overlay->disk);
    const virStorageSource *src;

    if (disk && disk->mirror && STREQ_NULLABLE(disk->mirror->path, overlay->path))
        return true;
    for (src = disk ? disk->src : NULL; virStorageSourceIsBacking(src); src = src->backingStore) {
        if (STREQ_NULLABLE(src->path, overlay->path))
            return true;
    }

    return false;
}

void
vireoOverlaysAdopt(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    for (i = 0; i < priv->overlays->len; i++) {
        const vireoOverlay *overlay = g_ptr_array_index(priv->overlays, i);
        virDomainDiskDef *disk = virDomainDiskByTarget(vm->def, overlay->disk);
        virStorageSource *src;
        struct stat sb;

        if (!disk || vireoOverlayIsUsed(vm, overlay) || stat(overlay->path, &sb) < 0)
            continue;
        /* The monitor's own till then: it is the end of the chain. */
        if (disk->src->id == 0) {
            disk->src->id = ++priv->lastImage;
            virObjectUnref(disk->src->backingStore);
            disk->src->backingStore = virStorageSourceNew();
        }
        src = virStorageSourceNew();
        src->type = S_ISBLK(sb.st_mode) ? VIR_STORAGE_TYPE_BLOCK : VIR_STORAGE_TYPE_FILE;
        src->format = VIR_STORAGE_FILE_QCOW2;
        src->path = g_strdup(overlay->path);
        src->id = ++priv->lastImage;
        vireoChainPush(vm, disk, src);
    }
}

void
vireoOverlaysForget(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    g_ptr_array_set_size(priv->overlays, 0);
    priv->overlaysSwitching = false;
}

void
vireoOverlaysSettle(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    for (i = 0; i < priv->overlays->len; i++) {
        const vireoOverlay *overlay = g_ptr_array_index(priv->overlays, i);

        if (overlay->made && !vireoOverlayIsUsed(vm, overlay) &&
            unlink(overlay->path) < 0 && errno != ENOENT)
            VIR_WARN("the image '%s' could not be removed: %s", overlay->path, g_strerror(errno));
    }
    vireoOverlaysForget(vm);
}

void
vireoOverlaysFormat(virBuffer *buf,
                    const vireoDomainObjPrivate *priv)
{
    g_auto(virBuffer) attributes = VIR_BUFFER_INITIALIZER;
    g_auto(virBuffer) children = VIR_BUFFER_INIT_CHILD(buf);
    size_t i;

    if (priv->overlays->len == 0)
        return;
    if (priv->overlaysSwitching)
        virBufferAddLit(&attributes, " switching='yes'");
    for (i = 0; i < priv->overlays->len; i++) {
        const vireoOverlay *overlay = g_ptr_array_index(priv->overlays, i);

        virBufferEscapeString(&children, "<overlay disk='%s'", overlay->disk);
        virBufferEscapeString(&children, " path='%s'", overlay->path);
        if (overlay->made)
            virBufferAddLit(&children, " made='yes'");
        virBufferAddLit(&children, "/>\n");
    }
    virXMLFormatElement(buf, "overlays", &attributes, &children);
}

static int
vireoOverlayParse(xmlNodePtr node,
                  void *opaque)
{
    vireoDomainObjPrivate *priv = opaque;
    vireoOverlay *overlay = g_new0(vireoOverlay, 1);
    virTristateBool made = VIR_TRISTATE_BOOL_ABSENT;

    g_ptr_array_add(priv->overlays, overlay);
    if (!(overlay->disk = virXMLPropStringRequired(node, "disk")) ||
        !(overlay->path = virXMLPropStringRequired(node, "path")) ||
        virXMLPropTristateBool(node, "made", VIR_XML_PROP_NONE, &made) < 0)
        return -1;
    overlay->made = made == VIR_TRISTATE_BOOL_YES;

    return 0;
}

int
vireoOverlaysParse(xmlXPathContextPtr ctxt,
                   vireoDomainObjPrivate *priv)
{
    priv->overlaysSwitching = virXPathBoolean("boolean(./overlays[@switching='yes'])", ctxt) == 1;

    return vireoDomainParseNodes(ctxt, "./overlays/overlay", vireoOverlayParse, priv);
}
