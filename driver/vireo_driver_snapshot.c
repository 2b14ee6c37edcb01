/*
 * vireo_driver_snapshot.c: entry points of snapshots
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "datatypes.h"
#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_driver.h"
#include "vireo_guest.h"
#include "vireo_snapshot.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN_SNAPSHOT

VIR_LOG_INIT("vireo.vireo_driver_snapshot");

static virDomainSnapshotDef *
vireoDomainParseSnapshot(vireoDriver *driver,
                         const char *xml,
                         unsigned int flags)
{
    unsigned int parse = 0;
    virDomainSnapshotDef *def;

    if (flags & VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
        parse |= VIR_DOMAIN_SNAPSHOT_PARSE_REDEFINE;
    if (flags & VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE)
        parse |= VIR_DOMAIN_SNAPSHOT_PARSE_VALIDATE;
    if (!(def = virDomainSnapshotDefParseString(xml, driver->xmlopt, NULL, NULL, parse)))
        return NULL;

    /* It is to be the name of a file. */
    if (def->parent.name[0] != '.' && !strchr(def->parent.name, '/'))
        return def;

    virReportError(VIR_ERR_XML_DETAIL, _("'%s' cannot be the name of a snapshot"), def->parent.name);
    virObjectUnref(def);
    return NULL;
}

static int
vireoDomainRedefineSnapshot(virDomainObj *vm,
                            virDomainSnapshotDef *def,
                            unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainMomentObj *existing = NULL;
    virDomainSnapshotDef *old;

    if (virDomainSnapshotRedefinePrep(vm, def, &existing, priv->driver->xmlopt, flags) < 0)
        return -1;

    /* What the domain was like holds unless it is said anew. */
    if (existing && (old = virDomainSnapshotObjGetDef(existing))) {
        if (!def->parent.dom)
            def->parent.dom = g_steal_pointer(&old->parent.dom);
        if (!def->parent.inactiveDom)
            def->parent.inactiveDom = g_steal_pointer(&old->parent.inactiveDom);
    }

    return vireoSnapshotAdd(vm, virObjectRef(def), flags & VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT) ? 0 : -1;
}

/* What the domain is like at the moment of the snapshot. */
static int
vireoDomainDescribeSnapshot(virDomainObj *vm,
                            virDomainSnapshotDef *def)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const char *current = virDomainSnapshotGetCurrentName(vm->snapshots);

    if (def->memory == VIR_DOMAIN_SNAPSHOT_LOCATION_EXTERNAL ||
        def->memory == VIR_DOMAIN_SNAPSHOT_LOCATION_INTERNAL) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s", _("Vireo has no snapshots of memory"));
        return -1;
    }
    if (virDomainSnapshotFindByName(vm->snapshots, def->parent.name)) {
        virReportError(VIR_ERR_OPERATION_INVALID, _("domain '%s' has a snapshot '%s' already"), vm->def->name,
                       def->parent.name);
        return -1;
    }

    def->memory = VIR_DOMAIN_SNAPSHOT_LOCATION_NO;
    def->state = virDomainObjIsActive(vm) ? VIR_DOMAIN_SNAPSHOT_DISK_SNAPSHOT :
        VIR_DOMAIN_SNAPSHOT_SHUTOFF;
    g_free(def->parent.parent_name);
    def->parent.parent_name = g_strdup(current);
    if (!(def->parent.dom = virDomainDefCopy(vm->def, priv->driver->xmlopt, NULL, true)) ||
        (vm->newDef &&
         !(def->parent.inactiveDom = virDomainDefCopy(vm->newDef, priv->driver->xmlopt, NULL, true))))
        return -1;

    return virDomainSnapshotAlignDisks(def, NULL, VIR_DOMAIN_SNAPSHOT_LOCATION_EXTERNAL, false);
}

static int
vireoDomainTakeSnapshot(virDomainObj *vm,
                        virDomainSnapshotDef *def,
                        unsigned int flags)
{
    bool existing = flags & VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;

    if (vireoDomainDescribeSnapshot(vm, def) < 0 ||
        (virDomainObjIsActive(vm) ? vireoSnapshotTakeDisks(vm, def, existing) :
         vireoSnapshotTakeOffline(vm, def, existing)) < 0)
        return -1;
    if (flags & VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)
        return 0;

    return vireoSnapshotAdd(vm, virObjectRef(def), true) ? 0 : -1;
}

static int
vireoDomainFreezeForSnapshot(virDomainObj *vm)
{
    int ret;

    if (vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) < 0)
        return -1;
    ret = vireoGuestFreeze(vm, NULL, 0);
    virDomainObjEndAgentJob(vm);

    return ret < 0 ? -1 : 0;
}

static void
vireoDomainThawAfterSnapshot(virDomainObj *vm)
{
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        if (vireoGuestThaw(vm) < 0)
            VIR_WARN("the file systems of domain %s may still be frozen: %s", vm->def->name,
                     virGetLastErrorMessage());
        virDomainObjEndAgentJob(vm);
    }
    virErrorRestore(&saved);
}

static int
vireoDomainTakeQuietSnapshot(virDomainObj *vm,
                             virDomainSnapshotDef *def,
                             unsigned int flags)
{
    bool quiesce = flags & VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE;
    int ret = -1;

    if (quiesce && vireoDomainFreezeForSnapshot(vm) < 0)
        return -1;
    if ((quiesce ? vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) :
         virDomainObjBeginJob(vm, VIR_JOB_MODIFY)) == 0) {
        ret = vireoDomainTakeSnapshot(vm, def, flags);
        virDomainObjEndJob(vm);
    }
    if (quiesce)
        vireoDomainThawAfterSnapshot(vm);

    return ret;
}

virDomainSnapshotPtr
vireoDomainSnapshotCreateXML(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags)
{
    vireoDriver *driver = dom->conn->privateData;
    g_autoptr(virDomainSnapshotDef) def = NULL;
    bool redefine = flags & VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
    virDomainSnapshotPtr ret = NULL;
    virDomainObj *vm;
    int rc = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE |
                  VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT |
                  VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                  VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY |
                  VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT |
                  VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE |
                  VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                  VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE, NULL);
    VIR_REQUIRE_FLAG_RET(VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE, VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY, NULL);
    VIR_EXCLUSIVE_FLAGS_RET(VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, NULL);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return NULL;

    if (virDomainSnapshotCreateXMLEnsureACL(dom->conn, vm->def, flags) < 0)
        goto cleanup;
    if (!redefine && !(flags & VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("Vireo has snapshots of disks only: use --disk-only"));
        goto cleanup;
    }
    if (!(def = vireoDomainParseSnapshot(driver, xml, flags)))
        goto cleanup;

    if (!redefine) {
        rc = vireoDomainTakeQuietSnapshot(vm, def, flags);
    } else if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) == 0) {
        rc = vireoDomainRedefineSnapshot(vm, def, flags);
        virDomainObjEndJob(vm);
    }
    if (rc == 0)
        ret = virGetDomainSnapshot(dom, def->parent.name);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotDelete(virDomainSnapshotPtr snapshot,
                          unsigned int flags)
{
    virDomainObj *vm;
    virDomainMomentObj *found;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN |
                  VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY |
                  VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY, -1);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return -1;

    if (virDomainSnapshotDeleteEnsureACL(snapshot->domain->conn, vm->def) < 0)
        goto cleanup;
    if (!(flags & VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("Vireo forgets snapshots, with --metadata; their images are merged by blockcommit"));
        goto cleanup;
    }

    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) == 0) {
        if ((found = vireoSnapshotFind(vm, snapshot->name)))
            ret = vireoSnapshotForget(vm, found,
                                      flags & (VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN |
                                               VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY),
                                      !(flags & VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY));
        virDomainObjEndJob(vm);
    }

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

char *
vireoDomainSnapshotGetXMLDesc(virDomainSnapshotPtr snapshot,
                              unsigned int flags)
{
    vireoDriver *driver = snapshot->domain->conn->privateData;
    char uuid[VIR_UUID_STRING_BUFLEN];
    virDomainMomentObj *found;
    virDomainObj *vm;
    char *ret = NULL;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_XML_SECURE, NULL);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return NULL;

    if (virDomainSnapshotGetXMLDescEnsureACL(snapshot->domain->conn, vm->def, flags) >= 0 &&
        (found = vireoSnapshotFind(vm, snapshot->name))) {
        virUUIDFormat(snapshot->domain->uuid, uuid);
        ret = virDomainSnapshotDefFormat(uuid, virDomainSnapshotObjGetDef(found), driver->xmlopt,
                                         virDomainSnapshotFormatConvertXMLFlags(flags));
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotNum(virDomainPtr dom,
                       unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_LIST_ROOTS |
                  VIR_DOMAIN_SNAPSHOT_FILTERS_ALL, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSnapshotNumEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainSnapshotObjListNum(vm->snapshots, NULL, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotListNames(virDomainPtr dom,
                             char **names,
                             int nameslen,
                             unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_LIST_ROOTS |
                  VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL |
                  VIR_DOMAIN_SNAPSHOT_FILTERS_ALL, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSnapshotListNamesEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainSnapshotObjListGetNames(vm->snapshots, NULL, names, nameslen, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainListAllSnapshots(virDomainPtr dom,
                            virDomainSnapshotPtr **snapshots,
                            unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_LIST_ROOTS |
                  VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL |
                  VIR_DOMAIN_SNAPSHOT_FILTERS_ALL, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainListAllSnapshotsEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainListSnapshots(vm->snapshots, NULL, dom, snapshots, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotNumChildren(virDomainSnapshotPtr snapshot,
                               unsigned int flags)
{
    virDomainMomentObj *from;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS |
                  VIR_DOMAIN_SNAPSHOT_FILTERS_ALL, -1);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return -1;

    if (virDomainSnapshotNumChildrenEnsureACL(snapshot->domain->conn, vm->def) >= 0 &&
        (from = vireoSnapshotFind(vm, snapshot->name)))
        ret = virDomainSnapshotObjListNum(vm->snapshots, from, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotListChildrenNames(virDomainSnapshotPtr snapshot,
                                     char **names,
                                     int nameslen,
                                     unsigned int flags)
{
    virDomainMomentObj *from;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS |
                  VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL |
                  VIR_DOMAIN_SNAPSHOT_FILTERS_ALL, -1);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return -1;

    if (virDomainSnapshotListChildrenNamesEnsureACL(snapshot->domain->conn, vm->def) >= 0 &&
        (from = vireoSnapshotFind(vm, snapshot->name)))
        ret = virDomainSnapshotObjListGetNames(vm->snapshots, from, names, nameslen, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotListAllChildren(virDomainSnapshotPtr snapshot,
                                   virDomainSnapshotPtr **snapshots,
                                   unsigned int flags)
{
    virDomainMomentObj *from;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS |
                  VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL |
                  VIR_DOMAIN_SNAPSHOT_FILTERS_ALL, -1);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return -1;

    if (virDomainSnapshotListAllChildrenEnsureACL(snapshot->domain->conn, vm->def) >= 0 &&
        (from = vireoSnapshotFind(vm, snapshot->name)))
        ret = virDomainListSnapshots(vm->snapshots, from, snapshot->domain, snapshots, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}

virDomainSnapshotPtr
vireoDomainSnapshotLookupByName(virDomainPtr dom,
                                const char *name,
                                unsigned int flags)
{
    virDomainSnapshotPtr ret = NULL;
    virDomainObj *vm;

    virCheckFlags(0, NULL);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return NULL;

    if (virDomainSnapshotLookupByNameEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoSnapshotFind(vm, name))
        ret = virGetDomainSnapshot(dom, name);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainHasCurrentSnapshot(virDomainPtr dom,
                              unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainHasCurrentSnapshotEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainSnapshotGetCurrent(vm->snapshots) != NULL;

    virDomainObjEndAPI(&vm);
    return ret;
}

virDomainSnapshotPtr
vireoDomainSnapshotGetParent(virDomainSnapshotPtr snapshot,
                             unsigned int flags)
{
    virDomainSnapshotPtr ret = NULL;
    virDomainMomentObj *found;
    virDomainObj *vm;

    virCheckFlags(0, NULL);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return NULL;

    if (virDomainSnapshotGetParentEnsureACL(snapshot->domain->conn, vm->def) >= 0 &&
        (found = vireoSnapshotFind(vm, snapshot->name))) {
        if (found->def->parent_name)
            ret = virGetDomainSnapshot(snapshot->domain, found->def->parent_name);
        else
            virReportError(VIR_ERR_NO_DOMAIN_SNAPSHOT, _("snapshot '%s' does not have a parent"),
                           found->def->name);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

virDomainSnapshotPtr
vireoDomainSnapshotCurrent(virDomainPtr dom,
                           unsigned int flags)
{
    virDomainSnapshotPtr ret = NULL;
    const char *name;
    virDomainObj *vm;

    virCheckFlags(0, NULL);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return NULL;

    if (virDomainSnapshotCurrentEnsureACL(dom->conn, vm->def) >= 0) {
        if ((name = virDomainSnapshotGetCurrentName(vm->snapshots)))
            ret = virGetDomainSnapshot(dom, name);
        else
            virReportError(VIR_ERR_NO_DOMAIN_SNAPSHOT, "%s",
                           _("the domain does not have a current snapshot"));
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotIsCurrent(virDomainSnapshotPtr snapshot,
                             unsigned int flags)
{
    virDomainMomentObj *found;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return -1;

    if (virDomainSnapshotIsCurrentEnsureACL(snapshot->domain->conn, vm->def) >= 0 &&
        (found = vireoSnapshotFind(vm, snapshot->name)))
        ret = found == virDomainSnapshotGetCurrent(vm->snapshots);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSnapshotHasMetadata(virDomainSnapshotPtr snapshot,
                               unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(snapshot->domain)))
        return -1;

    /* What has none is not known. */
    if (virDomainSnapshotHasMetadataEnsureACL(snapshot->domain->conn, vm->def) >= 0 &&
        vireoSnapshotFind(vm, snapshot->name))
        ret = 1;

    virDomainObjEndAPI(&vm);
    return ret;
}
