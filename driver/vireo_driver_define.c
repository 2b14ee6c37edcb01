/*
 * vireo_driver_define.c: entry points that make, change and show definitions
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <unistd.h>

#include "domain_event.h"
#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virdomainsnapshotobjlist.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "viruuid.h"
#include "virxml.h"

#include "vireo_alias.h"
#include "vireo_command.h"
#include "vireo_driver.h"
#include "vireo_event.h"
#include "vireo_firmware.h"
#include "vireo_process.h"
#include "vireo_qmp.h"
#include "vireo_storage.h"
#include "vireo_tpm.h"
#include "vireo_vsock.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_driver_define");

#define VIREO_NATIVE_FORMAT "vireo-argv"

/* Says again as an error of the XML what libvirt's parser said otherwise. */
static void
vireoDomainReportXML(void)
{
    g_autofree char *message = g_strdup(virGetLastErrorMessage());
    const char *text = STRSKIP(message, "internal error: ");

    virReportError(VIR_ERR_XML_ERROR, "%s", text ? text : message);
}

virDomainDef *
vireoDomainParseDefinition(vireoDriver *driver,
                           const char *xml,
                           unsigned int flags)
{
    virDomainDef *def = virDomainDefParseString(xml, driver->xmlopt, NULL, flags);

    if (!def && virGetLastErrorCode() == VIR_ERR_INTERNAL_ERROR)
        vireoDomainReportXML();

    return def;
}

virDomainDef *
vireoDomainParseIdentity(vireoDriver *driver,
                         const char *xml)
{
    g_autoptr(xmlDoc) doc = NULL;
    g_autoptr(xmlXPathContext) ctxt = NULL;
    g_autoptr(virDomainDef) def = NULL;
    g_autofree char *uuid = NULL;

    if (!(doc = virXMLParseStringCtxt(xml, _("(domain_definition)"), &ctxt))) {
        vireoDomainReportXML();
        return NULL;
    }
    if (!(def = virDomainDefNew(driver->xmlopt)))
        return NULL;

    if (!(def->name = virXPathString("string(./name[1])", ctxt))) {
        virReportError(VIR_ERR_NO_NAME, NULL);
        return NULL;
    }
    uuid = virXPathString("string(./uuid[1])", ctxt);
    if (uuid && virUUIDParse(uuid, def->uuid) < 0) {
        virReportError(VIR_ERR_XML_ERROR, _("'%s' in <uuid> is no UUID"), uuid);
        return NULL;
    }

    return g_steal_pointer(&def);
}

virDomainPtr
vireoDomainDefineXMLFlags(virConnectPtr conn,
                          const char *xml,
                          unsigned int flags)
{
    vireoDriver *driver = conn->privateData;
    g_autoptr(virDomainDef) identity = NULL;
    g_autoptr(virDomainDef) def = NULL;
    g_autoptr(virDomainDef) oldDef = NULL;
    virDomainObj *vm = NULL;
    virDomainPtr dom = NULL;
    unsigned int parseFlags = VIR_DOMAIN_DEF_PARSE_INACTIVE | VIR_DOMAIN_DEF_PARSE_ABI_UPDATE;

    virCheckFlags(VIR_DOMAIN_DEFINE_VALIDATE, NULL);

    if (flags & VIR_DOMAIN_DEFINE_VALIDATE)
        parseFlags |= VIR_DOMAIN_DEF_PARSE_VALIDATE_SCHEMA;

    if (!(identity = vireoDomainParseIdentity(driver, xml)) ||
        virDomainDefineXMLFlagsEnsureACL(conn, identity) < 0)
        return NULL;

    if (!(def = vireoDomainParseDefinition(driver, xml, parseFlags)) ||
        virXMLCheckIllegalChars("name", def->name, "\n") < 0)
        return NULL;

    if (!(vm = virDomainObjListAdd(driver->domains, &def, driver->xmlopt, 0, &oldDef)))
        return NULL;

    if (virDomainDefSave(vm->newDef ? vm->newDef : vm->def, driver->xmlopt,
                         driver->config->configDir) < 0) {
        if (oldDef) {
            /* The old definition is still the one on disk. */
            virDomainObjAssignDef(vm, &oldDef, false, NULL);
        } else {
            virDomainObjListRemove(driver->domains, vm);
        }
        goto cleanup;
    }

    vm->persistent = 1;
    vireoTpmNoteUndefine(vm, 0);
    if (virDomainObjIsActive(vm))
        vm->updated = 1;
    vireoEventQueueLifecycle(vm, VIR_DOMAIN_EVENT_DEFINED,
                             oldDef ? VIR_DOMAIN_EVENT_DEFINED_UPDATED :
                             VIR_DOMAIN_EVENT_DEFINED_ADDED);
    dom = virGetDomain(conn, vm->def->name, vm->def->uuid, vm->def->id);

 cleanup:
    virDomainObjEndAPI(&vm);
    return dom;
}

virDomainPtr
vireoDomainDefineXML(virConnectPtr conn,
                     const char *xml)
{
    return vireoDomainDefineXMLFlags(conn, xml, 0);
}

/* Whether snapshots, if there are any, stand in the way of an end of @vm or its name. */
static int
vireoDomainCheckSnapshots(virDomainObj *vm,
                          unsigned int flags)
{
    int n = virDomainSnapshotObjListNum(vm->snapshots, NULL, 0);

    if (n == 0 || virDomainObjIsActive(vm) || flags & VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
        return n < 0 ? -1 : 0;

    virReportError(VIR_ERR_OPERATION_INVALID, _("domain '%s' has %d snapshots"), vm->def->name, n);
    return -1;
}

int
vireoDomainUndefineFlags(virDomainPtr dom,
                         unsigned int flags)
{
    vireoDriver *driver = dom->conn->privateData;
    virDomainObj *vm;
    int ret = -1;

    /* There are none of managed saves and checkpoints: removing them all has been done. */
    virCheckFlags(VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                  VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                  VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
                  VIR_DOMAIN_UNDEFINE_NVRAM |
                  VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
                  VIR_DOMAIN_UNDEFINE_TPM |
                  VIR_DOMAIN_UNDEFINE_KEEP_TPM, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainUndefineFlagsEnsureACL(dom->conn, vm->def) < 0)
        goto cleanup;
    if (!vm->persistent) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("cannot undefine transient domain"));
        goto cleanup;
    }
    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    if (vireoTpmCheckUndefine(flags) == 0 && vireoDomainCheckSnapshots(vm, flags) == 0 &&
        vireoFirmwareUndefine(driver->config, vm->newDef ? vm->newDef : vm->def, flags) == 0 &&
        virDomainDeleteConfig(driver->config->configDir, driver->config->autostartDir, vm) == 0) {
        vireoEventQueueLifecycle(vm, VIR_DOMAIN_EVENT_UNDEFINED,
                                 VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
        vm->persistent = 0;
        vm->autostart = 0;
        vireoTpmNoteUndefine(vm, flags);
        if (!virDomainObjIsActive(vm))
            vireoProcessRemoveInactive(vm);
        else
            vireoDomainSaveStatus(vm);
        ret = 0;
    }
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainUndefine(virDomainPtr dom)
{
    return vireoDomainUndefineFlags(dom, 0);
}

char *
vireoDomainGetXMLDesc(virDomainPtr dom,
                      unsigned int flags)
{
    vireoDriver *driver = dom->conn->privateData;
    virDomainObj *vm;
    virDomainDef *def;
    char *ret = NULL;

    virCheckFlags(VIR_DOMAIN_XML_COMMON_FLAGS, NULL);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return NULL;

    if (virDomainGetXMLDescEnsureACL(dom->conn, vm->def, flags) >= 0) {
        def = flags & VIR_DOMAIN_XML_INACTIVE && vm->newDef ? vm->newDef : vm->def;
        ret = virDomainDefFormat(def, driver->xmlopt, virDomainDefFormatConvertXMLFlags(flags));
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

char *
vireoConnectDomainXMLToNative(virConnectPtr conn,
                              const char *format,
                              const char *xml,
                              unsigned int flags)
{
    vireoDriver *driver = conn->privateData;
    g_autoptr(virDomainDef) def = NULL;
    g_autoptr(virCommand) cmd = NULL;
    g_autofree char *dir = NULL;
    vireoCommandInputs inputs = {
        .monitorFD = -1,
        .vsockIsKernels = vireoVsockIsKernels(),
        .vsockFD = -1,
        .tpmFD = -1,
    };
    size_t i;

    virCheckFlags(0, NULL);

    if (virConnectDomainXMLToNativeEnsureACL(conn) < 0)
        return NULL;

    if (STRNEQ(format, VIREO_NATIVE_FORMAT)) {
        virReportError(VIR_ERR_INVALID_ARG, _("unsupported config type %s, only " VIREO_NATIVE_FORMAT),
                       format);
        return NULL;
    }
    if (!(def = vireoDomainParseDefinition(driver, xml, VIR_DOMAIN_DEF_PARSE_INACTIVE)))
        return NULL;

    if (vireoFirmwareFill(driver->config, def) < 0)
        return NULL;
    vireoAliasAssign(def);
    inputs.dir = dir = g_strdup_printf("%s/%s", driver->config->stateDir, def->name);

    /* What a start would fill in gets a name that shows where it goes. */
    for (i = 0; i < def->nnets; i++) {
        if (!def->nets[i]->ifname)
            def->nets[i]->ifname = g_strdup_printf("vnet%zu", i);
    }
    for (i = 0; i < def->nchannels; i++) {
        virDomainChrSourceDef *source = def->channels[i]->source;

        if (source->type == VIR_DOMAIN_CHR_TYPE_UNIX && !source->data.nix.path)
            source->data.nix.path = g_strdup_printf("%s/%s", dir, def->channels[i]->info.alias);
    }

    vireoStorageShareMemory(def);
    if (!(cmd = vireoCommandBuild(def, &inputs)))
        return NULL;

    return virCommandToString(cmd, true);
}

int
vireoDomainGetAutostart(virDomainPtr dom,
                        int *autostart)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainGetAutostartEnsureACL(dom->conn, vm->def) >= 0) {
        *autostart = vm->autostart;
        ret = 0;
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainLinkAutostart(vireoDriver *driver,
                         const char *name,
                         bool autostart)
{
    g_autofree char *config = virDomainConfigFile(driver->config->configDir, name);
    g_autofree char *link = virDomainConfigFile(driver->config->autostartDir, name);

    if (autostart && symlink(config, link) < 0 && errno != EEXIST) {
        virReportSystemError(errno, _("failed to create symlink '%s' to '%s'"), link, config);
        return -1;
    }
    if (!autostart && unlink(link) < 0 && errno != ENOENT) {
        virReportSystemError(errno, _("failed to delete symlink '%s'"), link);
        return -1;
    }

    return 0;
}

int
vireoDomainSetAutostart(virDomainPtr dom,
                        int autostart)
{
    vireoDriver *driver = dom->conn->privateData;
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainSetAutostartEnsureACL(dom->conn, vm->def) < 0)
        goto cleanup;
    if (!vm->persistent) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s",
                       _("cannot set autostart for transient domain"));
        goto cleanup;
    }
    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    if (vireoDomainLinkAutostart(driver, vm->def->name, autostart != 0) == 0) {
        vm->autostart = autostart != 0;
        ret = 0;
    }
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainRenameCallback(virDomainObj *vm,
                          const char *name,
                          unsigned int flags,
                          void *opaque)
{
    vireoDriver *driver = opaque;
    g_autofree char *oldName = g_strdup(vm->def->name);
    g_autofree char *oldFile = virDomainConfigFile(driver->config->configDir, oldName);
    g_autofree char *oldVariables = vireoFirmwareVariables(driver->config, vm->def);
    g_autofree char *variables = NULL;
    bool linked = vm->autostart;

    virCheckFlags(0, -1);

    if (strchr(name, '/') || !*name) {
        virReportError(VIR_ERR_XML_ERROR, _("name %s cannot be that of a domain"), name);
        return -1;
    }

    /* Both exist until the new one is complete. */
    g_free(vm->def->name);
    vm->def->name = g_strdup(name);
    if (virDomainDefSave(vm->def, driver->xmlopt, driver->config->configDir) < 0 ||
        (linked && vireoDomainLinkAutostart(driver, name, true) < 0)) {
        g_autofree char *newFile = virDomainConfigFile(driver->config->configDir, name);

        unlink(newFile);
        g_free(vm->def->name);
        vm->def->name = g_steal_pointer(&oldName);
        return -1;
    }

    /* Where the XML names no file it is the domain's name that does. */
    variables = vireoFirmwareVariables(driver->config, vm->def);
    if (variables && STRNEQ_NULLABLE(variables, oldVariables) && virFileExists(oldVariables) &&
        rename(oldVariables, variables) < 0)
        VIR_WARN("'%s' could not be renamed to '%s'", oldVariables, variables);
    if (linked && vireoDomainLinkAutostart(driver, oldName, false) < 0)
        virResetLastError();
    if (unlink(oldFile) < 0)
        VIR_WARN("'%s' could not be removed", oldFile);
    virObjectEventStateQueue(driver->domainEventState,
                             virDomainEventLifecycleNew(-1, oldName, vm->def->uuid,
                                                        VIR_DOMAIN_EVENT_UNDEFINED,
                                                        VIR_DOMAIN_EVENT_UNDEFINED_RENAMED));
    vireoEventQueueLifecycle(vm, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_RENAMED);

    return 0;
}

int
vireoDomainRename(virDomainPtr dom,
                  const char *name,
                  unsigned int flags)
{
    vireoDriver *driver = dom->conn->privateData;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainRenameEnsureACL(dom->conn, vm->def) < 0 ||
        virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    if (!vm->persistent)
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("cannot rename a transient domain"));
    else if (virDomainObjIsActive(vm))
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("cannot rename active domain"));
    else if (vireoDomainCheckSnapshots(vm, 0) == 0)
        ret = virDomainObjListRename(driver->domains, vm, name, flags, vireoDomainRenameCallback,
                                     driver);
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

char *
vireoDomainGetMetadata(virDomainPtr dom,
                       int type,
                       const char *uri,
                       unsigned int flags)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    char *ret = NULL;

    if (!vm)
        return NULL;

    if (virDomainGetMetadataEnsureACL(dom->conn, vm->def) >= 0)
        ret = virDomainObjGetMetadata(vm, type, uri, flags);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetMetadata(virDomainPtr dom,
                       int type,
                       const char *metadata,
                       const char *key,
                       const char *uri,
                       unsigned int flags)
{
    vireoDriver *driver = dom->conn->privateData;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetMetadataEnsureACL(dom->conn, vm->def, flags) < 0 ||
        virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    ret = virDomainObjSetMetadata(vm, type, metadata, key, uri, driver->xmlopt,
                                  driver->config->stateDir, driver->config->configDir, flags);
    if (ret == 0)
        virObjectEventStateQueue(driver->domainEventState,
                                 virDomainEventMetadataChangeNewFromObj(vm, type, uri));
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

/* Vireo does not save guests. */
int
vireoDomainHasManagedSaveImage(virDomainPtr dom,
                               unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainHasManagedSaveImageEnsureACL(dom->conn, vm->def) >= 0)
        ret = 0;

    virDomainObjEndAPI(&vm);
    return ret;
}
