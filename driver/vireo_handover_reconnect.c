/*
 * vireo_handover_reconnect.c: how far a handover came while the libvirt daemon was away
 *
 * The monitor tells in which node each device is, the storage daemon which images it has. What was
 * begun and is not in use is removed; of images that were made for it only the files stay.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <sys/stat.h>

#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"
#include "virstring.h"

#include "vireo_alias.h"
#include "vireo_blockdev.h"
#include "vireo_blockjob.h"
#include "vireo_chain.h"
#include "vireo_handover.h"
#include "vireo_hotplug.h"
#include "vireo_overlay.h"
#include "vireo_qmp.h"
#include "vireo_storage.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_handover_reconnect");

/* What the processes say. */
typedef struct {
    GHashTable *inserted;      /* device: the monitor's node */
    GHashTable *clients;       /* names of the monitor's nodes */
    GHashTable *exports;       /* device: the storage daemon's node */
    GHashTable *files;         /* the storage daemon's node: its file */
    GPtrArray *nodes;          /* names of those, the newest first */
} vireoHandoverState;

static void
vireoHandoverStateFree(vireoHandoverState *state)
{
    g_hash_table_unref(state->inserted);
    g_hash_table_unref(state->clients);
    g_hash_table_unref(state->exports);
    g_hash_table_unref(state->files);
    g_ptr_array_unref(state->nodes);
    g_free(state);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(vireoHandoverState, vireoHandoverStateFree);

static vireoHandoverState *
vireoHandoverStateNew(void)
{
    vireoHandoverState *state = g_new0(vireoHandoverState, 1);

    state->inserted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    state->clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    state->exports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    state->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    state->nodes = g_ptr_array_new_with_free_func(g_free);
    return state;
}

/* Puts what of @list, an array of objects, has a @key into @hash, with its @value, which may be @inside. */
static int
vireoHandoverRead(GHashTable *hash,
                  virJSONValue *list,
                  const char *key,
                  const char *inside,
                  const char *value)
{
    size_t i;

    if (!virJSONValueIsArray(list))
        return vireoQmpReportShape("a query");

    for (i = 0; i < virJSONValueArraySize(list); i++) {
        virJSONValue *item = virJSONValueArrayGet(list, i);
        const char *name = virJSONValueObjectGetString(item, key);
        virJSONValue *from = inside ? virJSONValueObjectGetObject(item, inside) : item;
        const char *text = from ? virJSONValueObjectGetString(from, value) : NULL;

        if (name && text)
            g_hash_table_replace(hash, g_strdup(name), g_strdup(text));
    }

    return 0;
}

/* As QEMU has it, a virtio device is told by a path. */
static const char *
vireoHandoverFindInserted(const vireoHandoverState *state,
                          const virDomainDiskDef *disk)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s/virtio-backend", disk->info.alias);
    const char *node = g_hash_table_lookup(state->inserted, path);

    return node ? node : g_hash_table_lookup(state->inserted, disk->info.alias);
}

static int
vireoHandoverAskForNodes(virDomainObj *vm,
                         virJSONValue **nodes)
{
    g_autoptr(virJSONValue) args = NULL;
    int rc;

    if (virJSONValueObjectAdd(&args, "b:flat", true, NULL) < 0 || vireoBlockJobsHold(vm) < 0)
        return -1;
    rc = vireoStorageCommand(vm, "query-named-block-nodes", &args, nodes);
    vireoBlockJobsRelease(vm);

    return rc;
}

static int
vireoHandoverAskStorage(virDomainObj *vm,
                        vireoHandoverState *state)
{
    g_autoptr(virJSONValue) exports = NULL;
    g_autoptr(virJSONValue) nodes = NULL;
    size_t i;

    if (vireoStorageCommand(vm, "query-block-exports", NULL, &exports) < 0 ||
        vireoHandoverRead(state->exports, exports, "id", NULL, "node-name") < 0 ||
        vireoHandoverAskForNodes(vm, &nodes) < 0 ||
        vireoHandoverRead(state->files, nodes, "node-name", "image", "filename") < 0)
        return -1;

    for (i = 0; i < virJSONValueArraySize(nodes); i++) {
        const char *name = virJSONValueObjectGetString(virJSONValueArrayGet(nodes, i), "node-name");

        if (name)
            g_ptr_array_add(state->nodes, g_strdup(name));
    }

    return 0;
}

static vireoHandoverState *
vireoHandoverAsk(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(vireoHandoverState) state = vireoHandoverStateNew();
    g_autoptr(virJSONValue) devices = NULL;
    g_autoptr(virJSONValue) nodes = NULL;

    if (vireoQmpCommand(vm, "query-block", NULL, &devices) < 0 ||
        vireoHandoverRead(state->inserted, devices, "qdev", "inserted", "node-name") < 0 ||
        vireoQmpCommand(vm, "query-named-block-nodes", NULL, &nodes) < 0 ||
        vireoHandoverRead(state->clients, nodes, "node-name", NULL, "node-name") < 0 ||
        (priv->storage && vireoHandoverAskStorage(vm, state) < 0))
        return NULL;

    return g_steal_pointer(&state);
}

/* The number of an image by the name of its node; 0: it is none. */
static unsigned int
vireoHandoverNumber(const char *node)
{
    const char *digits = node ? STRSKIP(node, "image-") : NULL;
    unsigned int id;

    return digits && virStrToLong_uip(digits, NULL, 10, &id) == 0 ? id : 0;
}

/* Numbers that were given and not written down are not given again. */
static void
vireoHandoverCount(virDomainObj *vm,
                   const vireoHandoverState *state)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    for (i = 0; i < state->nodes->len; i++)
        priv->lastImage = MAX(priv->lastImage, vireoHandoverNumber(g_ptr_array_index(state->nodes, i)));
}

/* The daemon's image of the file @path, or 0. */
static unsigned int
vireoHandoverFindFile(const vireoHandoverState *state,
                      const char *path)
{
    size_t i;

    for (i = 0; i < state->nodes->len; i++) {
        const char *node = g_ptr_array_index(state->nodes, i);
        unsigned int id = vireoHandoverNumber(node);

        if (id != 0 && STREQ_NULLABLE(g_hash_table_lookup(state->files, node), path))
            return id;
    }

    return 0;
}

/* An image that was laid on another before the definition said so; NULL: it cannot be told what it is. */
static virStorageSource *
vireoHandoverOverlay(const vireoHandoverState *state,
                     const char *node)
{
    const char *path = g_hash_table_lookup(state->files, node);
    g_autoptr(virStorageSource) src = virStorageSourceNew();
    struct stat sb;

    if (!path || stat(path, &sb) < 0)
        return NULL;

    src->type = S_ISBLK(sb.st_mode) ? VIR_STORAGE_TYPE_BLOCK : VIR_STORAGE_TYPE_FILE;
    src->format = VIR_STORAGE_FILE_QCOW2;
    src->path = g_strdup(path);
    src->id = vireoHandoverNumber(node);
    return g_steal_pointer(&src);
}

/* The device is in the daemon's node, and the definition says nothing of it. */
static int
vireoHandoverAdopt(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   const vireoHandoverState *state)
{
    const char *node = g_hash_table_lookup(state->exports, disk->info.alias);
    unsigned int own = vireoHandoverFindFile(state, virDomainDiskGetSource(disk));
    unsigned int top = vireoHandoverNumber(node);
    virStorageSource *overlay;

    if (own == 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("the storage daemon does not have the image of disk '%s'"),
                       disk->dst);
        return -1;
    }
    if (top != 0 && top != own) {
        if (!(overlay = vireoHandoverOverlay(state, node))) {
            virReportError(VIR_ERR_INTERNAL_ERROR, _("what disk '%s' goes on in cannot be told"), disk->dst);
            return -1;
        }
        overlay->backingStore = virStorageSourceCopy(disk->src, false);
        overlay->backingStore->id = own;
        vireoHandoverFinish(vm, disk, overlay);
        return 0;
    }

    disk->src->id = own;
    disk->src->backingStore = virStorageSourceNew();
    if (top == own)
        return 0;
    /* It was about to take the place of the placeholder. */
    vireoStorageRemoveExport(vm, disk);
    return vireoStorageAddExport(vm, disk);
}

/* The disk is served, as the definition says. */
static int
vireoHandoverCheckServed(virDomainObj *vm,
                         virDomainDiskDef *disk,
                         const vireoHandoverState *state)
{
    const char *node = g_hash_table_lookup(state->exports, disk->info.alias);
    unsigned int top = vireoHandoverNumber(node);
    g_autofree char *own = vireoBlockdevFormatNode(disk->src);
    virStorageSource *overlay;

    if (!node)
        return g_hash_table_contains(state->files, own) ? vireoStorageAddExport(vm, disk) :
            vireoStorageServe(vm, disk);
    /* Block jobs tell of their end themselves. */
    if (top == 0 || vireoChainFind(disk->src, top) || (disk->mirror && disk->mirror->id == top))
        return 0;
    if ((overlay = vireoHandoverOverlay(state, node)))
        vireoChainPush(vm, disk, overlay);

    return 0;
}

static int
vireoHandoverResolve(virDomainObj *vm,
                     virDomainDiskDef *disk,
                     const vireoHandoverState *state)
{
    g_autofree char *served = vireoAliasServedNode(disk);
    const char *inserted = vireoHandoverFindInserted(state, disk);
    bool isServed = STREQ_NULLABLE(inserted, served);

    if (!inserted)
        return 0;
    if (isServed)
        return vireoStorageServes(disk) ? vireoHandoverCheckServed(vm, disk, state) :
            vireoHandoverAdopt(vm, disk, state);

    /* It had just been given back. */
    if (vireoStorageCanReturn(disk)) {
        disk->src->id = 0;
        g_clear_pointer(&disk->src->backingStore, virObjectUnref);
    }
    return 0;
}

/* The node that a device could be in, and is not. */
static void
vireoHandoverForgetNode(virDomainObj *vm,
                        virDomainDiskDef *disk,
                        const vireoHandoverState *state)
{
    bool served = vireoStorageServes(disk);
    g_autofree char *node = served ? vireoAliasOwnNode(disk) : vireoAliasServedNode(disk);

    if (g_hash_table_contains(state->clients, node))
        vireoHotplugUndo(vm, "blockdev-del", "node-name", node);
    if (!served && g_hash_table_contains(state->exports, disk->info.alias))
        vireoStorageRemoveExport(vm, disk);
}

static bool
vireoHandoverIsUsed(virDomainObj *vm,
                    const char *node)
{
    const char *digits = strrchr(node, '-');
    unsigned int id;
    size_t i;

    if (!digits || virStrToLong_uip(digits + 1, NULL, 10, &id) < 0)
        return !STRPREFIX(node, "placeholder-");

    for (i = 0; i < vm->def->ndisks; i++) {
        const virDomainDiskDef *disk = vm->def->disks[i];

        if (vireoChainFind(disk->src, id) || (disk->mirror && disk->mirror->id == id))
            return true;
    }

    return false;
}

static void
vireoHandoverForgetImages(virDomainObj *vm,
                          const vireoHandoverState *state)
{
    size_t i;

    /* What is on top came last. */
    for (i = 0; i < state->nodes->len; i++) {
        const char *node = g_ptr_array_index(state->nodes, i);

        if (!vireoHandoverIsUsed(vm, node))
            vireoStorageDel(vm, "blockdev-del", "node-name", node);
    }
}

/* Whether the device of @disk is in the daemon's node, whatever the definition says. */
static bool
vireoHandoverIsInServed(const vireoHandoverState *state,
                        const virDomainDiskDef *disk)
{
    g_autofree char *served = vireoAliasServedNode(disk);

    return STREQ_NULLABLE(vireoHandoverFindInserted(state, disk), served);
}

int
vireoHandoverRedo(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(vireoHandoverState) state = NULL;
    bool all = true;
    size_t i;

    if (!priv->overlaysSwitching)
        return 0;
    if (!(state = vireoHandoverAsk(vm)))
        return -1;

    for (i = 0; i < priv->overlays->len; i++) {
        const vireoOverlay *overlay = g_ptr_array_index(priv->overlays, i);
        const virDomainDiskDef *disk = virDomainDiskByTarget(vm->def, overlay->disk);

        all &= disk && vireoHandoverIsInServed(state, disk);
    }
    if (all) {
        vireoOverlaysAdopt(vm);
        return 0;
    }

    /* The guest stands still since before the first of them passed. */
    for (i = 0; i < vm->def->ndisks; i++) {
        virDomainDiskDef *disk = vm->def->disks[i];

        if (!vireoStorageServes(disk) && vireoHandoverIsInServed(state, disk) &&
            vireoHandoverSwitch(vm, disk, false) < 0)
            return -1;
    }

    return 0;
}

int
vireoHandoverReconnect(virDomainObj *vm)
{
    g_autoptr(vireoHandoverState) state = vireoHandoverAsk(vm);
    bool known = true;
    size_t i;

    if (!state) {
        VIR_WARN("what passed with the disks of domain %s is not known: %s", vm->def->name,
                 virGetLastErrorMessage());
        vireoHandoverResume(vm);
        return virDomainObjCheckActive(vm);
    }

    vireoHandoverCount(vm, state);
    for (i = 0; i < vm->def->ndisks; i++) {
        if (vireoHandoverResolve(vm, vm->def->disks[i], state) < 0) {
            VIR_ERROR(_("disk %s of domain %s does not work: %s"), vm->def->disks[i]->dst, vm->def->name,
                      virGetLastErrorMessage());
            known = false;
        }
    }
    for (i = 0; i < vm->def->ndisks; i++)
        vireoHandoverForgetNode(vm, vm->def->disks[i], state);
    vireoHandoverForgetImages(vm, state);
    vireoHandoverReturnAll(vm);
    if (known)
        vireoOverlaysSettle(vm);
    vireoStorageStopIfIdle(vm);
    vireoHandoverResume(vm);

    return virDomainObjCheckActive(vm);
}
