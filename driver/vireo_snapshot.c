/*
 * vireo_snapshot.c: what snapshots there are of domains
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <unistd.h>

#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virxml.h"

#include "vireo_snapshot.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN_SNAPSHOT

VIR_LOG_INIT("vireo.vireo_snapshot");

#define VIREO_SNAPSHOT_SUFFIX ".xml"
#define VIREO_SNAPSHOT_FILE_MAX (1024 * 1024)

static char *
vireoSnapshotDir(const vireoConfig *config,
                 virDomainObj *vm)
{
    return g_strdup_printf("%s/%s", config->snapshotDir, vm->def->name);
}

static char *
vireoSnapshotFile(virDomainObj *vm,
                  const virDomainMomentObj *snapshot)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *dir = vireoSnapshotDir(priv->driver->config, vm);

    return g_strdup_printf("%s/%s" VIREO_SNAPSHOT_SUFFIX, dir, snapshot->def->name);
}

static int
vireoSnapshotLoadFile(virDomainObj *vm,
                      const char *path)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virDomainSnapshotDef) def = NULL;
    g_autofree char *xml = NULL;
    virDomainMomentObj *snapshot;
    bool current = false;

    if (virFileReadAll(path, VIREO_SNAPSHOT_FILE_MAX, &xml) < 0 ||
        !(def = virDomainSnapshotDefParseString(xml, priv->driver->xmlopt, NULL, &current,
                                                VIR_DOMAIN_SNAPSHOT_PARSE_REDEFINE |
                                                VIR_DOMAIN_SNAPSHOT_PARSE_INTERNAL)) ||
        !(snapshot = virDomainSnapshotAssignDef(vm->snapshots, &def)))
        return -1;
    if (current)
        virDomainSnapshotSetCurrent(vm->snapshots, snapshot);

    return 0;
}

int
vireoSnapshotLoad(virDomainObj *vm,
                  void *opaque)
{
    g_autofree char *path = vireoSnapshotDir(opaque, vm);
    g_autoptr(DIR) dir = NULL;
    struct dirent *entry;

    virObjectLock(vm);
    if (virDirOpenIfExists(&dir, path) > 0) {
        while (virDirRead(dir, &entry, path) > 0) {
            g_autofree char *file = g_strdup_printf("%s/%s", path, entry->d_name);

            if (vireoSnapshotLoadFile(vm, file) < 0)
                VIR_WARN("the snapshot in %s cannot be used: %s", file, virGetLastErrorMessage());
        }
    }
    if (virDomainSnapshotUpdateRelations(vm->snapshots) < 0)
        VIR_WARN("not all snapshots of domain %s have the parent that they name", vm->def->name);
    virResetLastError();
    virObjectUnlock(vm);

    return 0;
}

virDomainMomentObj *
vireoSnapshotFind(virDomainObj *vm,
                  const char *name)
{
    virDomainMomentObj *snapshot = virDomainSnapshotFindByName(vm->snapshots, name);

    if (!snapshot)
        virReportError(VIR_ERR_NO_DOMAIN_SNAPSHOT, _("domain '%s' has no snapshot '%s'"),
                       vm->def->name, name);

    return snapshot;
}

static int
vireoSnapshotSave(virDomainObj *vm,
                  virDomainMomentObj *snapshot)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *dir = vireoSnapshotDir(priv->driver->config, vm);
    g_autofree char *path = vireoSnapshotFile(vm, snapshot);
    g_autofree char *xml = NULL;
    unsigned int flags = VIR_DOMAIN_SNAPSHOT_FORMAT_SECURE | VIR_DOMAIN_SNAPSHOT_FORMAT_INTERNAL;
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (snapshot == virDomainSnapshotGetCurrent(vm->snapshots))
        flags |= VIR_DOMAIN_SNAPSHOT_FORMAT_CURRENT;
    virUUIDFormat(vm->def->uuid, uuid);
    if (!(xml = virDomainSnapshotDefFormat(uuid, virDomainSnapshotObjGetDef(snapshot),
                                           priv->driver->xmlopt, flags)))
        return -1;
    if (g_mkdir_with_parents(dir, 0700) < 0) {
        virReportSystemError(errno, _("cannot create directory %s"), dir);
        return -1;
    }

    return virXMLSaveFile(path, NULL, "snapshot-edit", xml);
}

/* Which one is current is in the files, too. */
static int
vireoSnapshotSetCurrent(virDomainObj *vm,
                        virDomainMomentObj *snapshot)
{
    virDomainMomentObj *before = virDomainSnapshotGetCurrent(vm->snapshots);

    virDomainSnapshotSetCurrent(vm->snapshots, snapshot);
    if (before && before != snapshot && vireoSnapshotSave(vm, before) < 0)
        return -1;

    return snapshot ? vireoSnapshotSave(vm, snapshot) : 0;
}

virDomainMomentObj *
vireoSnapshotAdd(virDomainObj *vm,
                 virDomainSnapshotDef *def,
                 bool current)
{
    g_autoptr(virDomainSnapshotDef) own = def;
    virDomainMomentObj *snapshot = virDomainSnapshotFindByName(vm->snapshots, own->parent.name);
    int rc;

    if (snapshot) {
        virDomainMomentDropParent(snapshot);
        virDomainSnapshotReplaceDef(snapshot, &own);
    } else if (!(snapshot = virDomainSnapshotAssignDef(vm->snapshots, &own))) {
        return NULL;
    }
    virDomainSnapshotLinkParent(vm->snapshots, snapshot);

    rc = current ? vireoSnapshotSetCurrent(vm, snapshot) : vireoSnapshotSave(vm, snapshot);
    return rc < 0 ? NULL : snapshot;
}

static int
vireoSnapshotForgetOne(virDomainObj *vm,
                       virDomainMomentObj *snapshot)
{
    g_autofree char *path = vireoSnapshotFile(vm, snapshot);

    if (unlink(path) < 0 && errno != ENOENT) {
        virReportSystemError(errno, _("cannot remove %s"), path);
        return -1;
    }
    if (snapshot == virDomainSnapshotGetCurrent(vm->snapshots))
        virDomainSnapshotSetCurrent(vm->snapshots, NULL);
    virDomainMomentDropParent(snapshot);
    virDomainSnapshotObjListRemove(vm->snapshots, snapshot);

    return 0;
}

/* Of all that descend from @snapshot, the last generation first. */
static int
vireoSnapshotForgetDescendants(virDomainObj *vm,
                               virDomainMomentObj *snapshot)
{
    while (snapshot->first_child) {
        virDomainMomentObj *last = snapshot->first_child;

        while (last->first_child)
            last = last->first_child;
        if (vireoSnapshotForgetOne(vm, last) < 0)
            return -1;
    }

    return 0;
}

/* The children of @snapshot become its parent's. */
static int
vireoSnapshotPassOnChildren(virDomainObj *vm,
                            virDomainMomentObj *snapshot)
{
    virDomainMomentObj *child;

    for (child = snapshot->first_child; child; child = child->sibling) {
        g_free(child->def->parent_name);
        child->def->parent_name = g_strdup(snapshot->def->parent_name);
        if (vireoSnapshotSave(vm, child) < 0)
            return -1;
    }
    if (snapshot->first_child)
        virDomainMomentMoveChildren(snapshot, snapshot->parent);

    return 0;
}

static bool
vireoSnapshotDescendsFrom(const virDomainMomentObj *snapshot,
                          const virDomainMomentObj *ancestor)
{
    for (; snapshot; snapshot = snapshot->parent) {
        if (snapshot == ancestor)
            return true;
    }

    return false;
}

int
vireoSnapshotForget(virDomainObj *vm,
                    virDomainMomentObj *snapshot,
                    bool children,
                    bool self)
{
    virDomainMomentObj *current = virDomainSnapshotGetCurrent(vm->snapshots);
    const char *parent = snapshot->def->parent_name;
    virDomainMomentObj *next = snapshot;
    bool goes = current == snapshot ? self : children && vireoSnapshotDescendsFrom(current, snapshot);

    if (self)
        next = parent ? virDomainSnapshotFindByName(vm->snapshots, parent) : NULL;
    if ((children ? vireoSnapshotForgetDescendants(vm, snapshot) :
         vireoSnapshotPassOnChildren(vm, snapshot)) < 0 ||
        (self && vireoSnapshotForgetOne(vm, snapshot) < 0))
        return -1;

    return goes ? vireoSnapshotSetCurrent(vm, next) : 0;
}

static int
vireoSnapshotRemoveFile(void *payload,
                        const char *name G_GNUC_UNUSED,
                        void *opaque)
{
    g_autofree char *path = vireoSnapshotFile(opaque, payload);

    if (unlink(path) < 0 && errno != ENOENT)
        VIR_WARN("cannot remove %s: %s", path, g_strerror(errno));

    return 0;
}

void
vireoSnapshotForgetAll(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *dir = vireoSnapshotDir(priv->driver->config, vm);

    virDomainSnapshotForEach(vm->snapshots, vireoSnapshotRemoveFile, vm);
    virDomainSnapshotSetCurrent(vm->snapshots, NULL);
    virDomainSnapshotObjListRemoveAll(vm->snapshots);
    if (rmdir(dir) < 0 && errno != ENOENT)
        VIR_WARN("cannot remove directory %s: %s", dir, g_strerror(errno));
}
