/*
 * vireo_driver_device.c: entry points that attach and detach devices
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_validate.h"
#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_address.h"
#include "vireo_driver.h"
#include "vireo_hotplug.h"
#include "vireo_vsock.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_DEVICE_PARSE_FLAGS \
    (VIR_DOMAIN_DEF_PARSE_INACTIVE | VIR_DOMAIN_DEF_PARSE_ABI_UPDATE)

static int
vireoDomainRefuseConfig(const virDomainDeviceDef *dev)
{
    virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                   _("Vireo cannot change <%s> of a definition one by one"),
                   virDomainDeviceTypeToString(dev->type));
    return -1;
}

/* Puts @dev, whose data it takes over, into @def. */
static int
vireoDomainAttachConfig(virDomainDef *def,
                        virDomainDeviceDef *dev)
{
    switch ((virDomainDeviceType)dev->type) {
    case VIR_DOMAIN_DEVICE_DISK:
        if (virDomainDiskByTarget(def, dev->data.disk->dst)) {
            virReportError(VIR_ERR_OPERATION_INVALID, _("target %s already exists"),
                           dev->data.disk->dst);
            return -1;
        }
        virDomainDiskInsert(def, g_steal_pointer(&dev->data.disk));
        break;
    case VIR_DOMAIN_DEVICE_NET:
        if (virDomainHasNet(def, dev->data.net)) {
            virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("the interface already exists"));
            return -1;
        }
        if (virDomainNetInsert(def, dev->data.net) < 0)
            return -1;
        dev->data.net = NULL;
        break;
    case VIR_DOMAIN_DEVICE_FS:
        if (virDomainFSIndexByName(def, dev->data.fs->dst) >= 0) {
            virReportError(VIR_ERR_OPERATION_INVALID, _("target %s already exists"),
                           dev->data.fs->dst);
            return -1;
        }
        virDomainFSInsert(def, g_steal_pointer(&dev->data.fs));
        break;
    case VIR_DOMAIN_DEVICE_VSOCK:
        if (def->vsock) {
            virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("the domain already has a <vsock>"));
            return -1;
        }
        def->vsock = g_steal_pointer(&dev->data.vsock);
        break;
    case VIR_DOMAIN_DEVICE_RNG:
        VIR_APPEND_ELEMENT(def->rngs, def->nrngs, dev->data.rng);
        break;
    case VIR_DOMAIN_DEVICE_MEMORY:
        if (virDomainMemoryInsert(def, dev->data.memory) < 0)
            return -1;
        dev->data.memory = NULL;
        break;
    case VIR_DOMAIN_DEVICE_CHR:
        if (virDomainChrFind(def, dev->data.chr)) {
            virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("chardev already exists"));
            return -1;
        }
        if (virDomainChrPreAlloc(def, dev->data.chr) < 0)
            return -1;
        virDomainChrInsertPreAlloced(def, g_steal_pointer(&dev->data.chr));
        break;
    default:
        return vireoDomainRefuseConfig(dev);
    }

    /* A root port more if there is none left. */
    if (vireoAddressAddControllers(def) < 0)
        return -1;

    return vireoAddressAssign(def);
}

static int
vireoDomainReportMissing(const virDomainDeviceDef *dev)
{
    virReportError(VIR_ERR_DEVICE_MISSING, _("the definition has no such <%s>"),
                   virDomainDeviceTypeToString(dev->type));
    return -1;
}

static int
vireoDomainDetachConfig(virDomainDef *def,
                        virDomainDeviceDef *dev)
{
    virDomainDiskDef *disk;
    virDomainChrDef *chr;
    ssize_t idx;

    switch ((virDomainDeviceType)dev->type) {
    case VIR_DOMAIN_DEVICE_DISK:
        if (!(disk = virDomainDiskRemoveByName(def, dev->data.disk->dst)))
            return vireoDomainReportMissing(dev);
        virDomainDiskDefFree(disk);
        return 0;
    case VIR_DOMAIN_DEVICE_NET:
        if ((idx = virDomainNetFindIdx(def, dev->data.net)) < 0)
            return -1;
        virDomainNetDefFree(virDomainNetRemove(def, idx));
        return 0;
    case VIR_DOMAIN_DEVICE_FS:
        if ((idx = virDomainFSIndexByName(def, dev->data.fs->dst)) < 0)
            return vireoDomainReportMissing(dev);
        virDomainFSDefFree(virDomainFSRemove(def, idx));
        return 0;
    case VIR_DOMAIN_DEVICE_VSOCK:
        if (!vireoVsockMatches(dev->data.vsock, def->vsock))
            return vireoDomainReportMissing(dev);
        g_clear_pointer(&def->vsock, virDomainVsockDefFree);
        return 0;
    case VIR_DOMAIN_DEVICE_RNG:
        if ((idx = virDomainRNGFind(def, dev->data.rng)) < 0)
            return vireoDomainReportMissing(dev);
        virDomainRNGDefFree(virDomainRNGRemove(def, idx));
        return 0;
    case VIR_DOMAIN_DEVICE_MEMORY:
        if ((idx = virDomainMemoryFindInactiveByDef(def, dev->data.memory)) < 0)
            return vireoDomainReportMissing(dev);
        virDomainMemoryDefFree(virDomainMemoryRemove(def, idx));
        return 0;
    case VIR_DOMAIN_DEVICE_CHR:
        if (!(chr = virDomainChrRemove(def, dev->data.chr)))
            return vireoDomainReportMissing(dev);
        virDomainChrDefFree(chr);
        return 0;
    default:
        return vireoDomainRefuseConfig(dev);
    }
}

/* What both must have alike, though each was parsed for itself. */
static void
vireoDomainAlignDevices(const virDomainDeviceDef *config,
                        virDomainDeviceDef *live)
{
    if (config->type == VIR_DOMAIN_DEVICE_NET)
        virMacAddrSet(&live->data.net->mac, &config->data.net->mac);
}

static int
vireoDomainCommitConfig(virDomainObj *vm,
                        virDomainDef **config)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virDomainDefSave(*config, priv->driver->xmlopt, priv->driver->config->configDir) < 0)
        return -1;

    virDomainObjAssignDef(vm, config, false, NULL);
    return 0;
}

static int
vireoDomainAttachBoth(virDomainObj *vm,
                      const char *xml,
                      unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainXMLOption *xmlopt = priv->driver->xmlopt;
    g_autoptr(virDomainDef) config = NULL;
    g_autoptr(virDomainDeviceDef) devConfig = NULL;
    g_autoptr(virDomainDeviceDef) devLive = NULL;

    if (flags & VIR_DOMAIN_AFFECT_LIVE) {
        if (!(devLive = virDomainDeviceDefParse(xml, vm->def, xmlopt, NULL,
                                                VIREO_DEVICE_PARSE_FLAGS)) ||
            virDomainDeviceValidateAliasForHotplug(vm, devLive, VIR_DOMAIN_AFFECT_LIVE) < 0 ||
            virDomainDefCompatibleDevice(vm->def, devLive, NULL, VIR_DOMAIN_DEVICE_ACTION_ATTACH,
                                         true) < 0)
            return -1;
    }

    if (flags & VIR_DOMAIN_AFFECT_CONFIG) {
        if (!(config = virDomainObjCopyPersistentDef(vm, xmlopt, NULL)) ||
            !(devConfig = virDomainDeviceDefParse(xml, config, xmlopt, NULL,
                                                  VIREO_DEVICE_PARSE_FLAGS)) ||
            virDomainDeviceValidateAliasForHotplug(vm, devConfig, VIR_DOMAIN_AFFECT_CONFIG) < 0 ||
            virDomainDefCompatibleDevice(config, devConfig, NULL, VIR_DOMAIN_DEVICE_ACTION_ATTACH,
                                         false) < 0)
            return -1;
        if (devLive)
            vireoDomainAlignDevices(devConfig, devLive);
        if (vireoDomainAttachConfig(config, devConfig) < 0)
            return -1;
    }

    if (devLive) {
        if (vireoHotplugAttach(vm, devLive) < 0)
            return -1;
        vireoDomainSaveStatus(vm);
    }

    return config ? vireoDomainCommitConfig(vm, &config) : 0;
}

static int
vireoDomainDetachByXML(virDomainObj *vm,
                       const char *xml,
                       unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainXMLOption *xmlopt = priv->driver->xmlopt;
    unsigned int parseFlags = VIREO_DEVICE_PARSE_FLAGS | VIR_DOMAIN_DEF_PARSE_SKIP_VALIDATE;
    g_autoptr(virDomainDef) config = NULL;
    g_autoptr(virDomainDeviceDef) dev = NULL;

    if (flags & VIR_DOMAIN_AFFECT_CONFIG) {
        if (!(config = virDomainObjCopyPersistentDef(vm, xmlopt, NULL)) ||
            !(dev = virDomainDeviceDefParse(xml, config, xmlopt, NULL, parseFlags)) ||
            vireoDomainDetachConfig(config, dev) < 0)
            return -1;
        g_clear_pointer(&dev, virDomainDeviceDefFree);
    }

    if (flags & VIR_DOMAIN_AFFECT_LIVE) {
        if (!(dev = virDomainDeviceDefParse(xml, vm->def, xmlopt, NULL, parseFlags)) ||
            vireoHotplugDetach(vm, dev) < 0)
            return -1;
    }

    return config ? vireoDomainCommitConfig(vm, &config) : 0;
}

static int
vireoDomainDetachByAlias(virDomainObj *vm,
                         const char *alias,
                         unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virDomainDef) config = NULL;
    virDomainDeviceDef dev;

    /* Only aliases that a user gave are in the definition. */
    if (flags & VIR_DOMAIN_AFFECT_CONFIG) {
        if (!(config = virDomainObjCopyPersistentDef(vm, priv->driver->xmlopt, NULL)) ||
            virDomainDefFindDevice(config, alias, &dev, true) < 0 ||
            vireoDomainDetachConfig(config, &dev) < 0)
            return -1;
    }

    if (flags & VIR_DOMAIN_AFFECT_LIVE) {
        if (virDomainDefFindDevice(vm->def, alias, &dev, true) < 0 ||
            vireoHotplugDetach(vm, &dev) < 0)
            return -1;
    }

    return config ? vireoDomainCommitConfig(vm, &config) : 0;
}

typedef int (*vireoDomainChange)(virDomainObj *vm,
                                 const char *text,
                                 unsigned int flags);

static int
vireoDomainChangeDevices(virDomainObj *vm,
                         const char *text,
                         unsigned int flags,
                         vireoDomainChange change)
{
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0)
        return -1;

    if (virDomainObjUpdateModificationImpact(vm, &flags) == 0)
        ret = change(vm, text, flags);

    virDomainObjEndJob(vm);
    return ret;
}

int
vireoDomainAttachDeviceFlags(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainAttachDeviceFlagsEnsureACL(dom->conn, vm->def, flags) >= 0)
        ret = vireoDomainChangeDevices(vm, xml, flags, vireoDomainAttachBoth);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainAttachDevice(virDomainPtr dom,
                        const char *xml)
{
    return vireoDomainAttachDeviceFlags(dom, xml, VIR_DOMAIN_AFFECT_LIVE);
}

int
vireoDomainDetachDeviceFlags(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainDetachDeviceFlagsEnsureACL(dom->conn, vm->def, flags) >= 0)
        ret = vireoDomainChangeDevices(vm, xml, flags, vireoDomainDetachByXML);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainDetachDevice(virDomainPtr dom,
                        const char *xml)
{
    return vireoDomainDetachDeviceFlags(dom, xml, VIR_DOMAIN_AFFECT_LIVE);
}

int
vireoDomainDetachDeviceAlias(virDomainPtr dom,
                             const char *alias,
                             unsigned int flags)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainDetachDeviceAliasEnsureACL(dom->conn, vm->def, flags) >= 0)
        ret = vireoDomainChangeDevices(vm, alias, flags, vireoDomainDetachByAlias);

    virDomainObjEndAPI(&vm);
    return ret;
}
