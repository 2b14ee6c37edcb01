/*
 * vireo_hotplug.c: devices that come and go while the domain runs
 *
 * Each kind of device has a back end, which comes first and goes last, and the
 * device itself. A failed attach undoes the back end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_audit.h"
#include "domain_event.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virtime.h"

#include "vireo_address.h"
#include "vireo_alias.h"
#include "vireo_blockjob.h"
#include "vireo_cgroup.h"
#include "vireo_device_props.h"
#include "vireo_disk.h"
#include "vireo_hotplug.h"
#include "vireo_interface.h"
#include "vireo_iotune.h"
#include "vireo_memory_device.h"
#include "vireo_qmp.h"
#include "vireo_vcpu.h"
#include "vireo_vhost.h"
#include "vireo_virtiofs.h"
#include "vireo_vsock.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_hotplug");

/* How long the guest may take before the caller is told "not yet". */
#define VIREO_UNPLUG_WAIT_MS 10000

void
vireoHotplugUndo(virDomainObj *vm,
                 const char *command,
                 const char *member,
                 const char *name)
{
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (virDomainObjIsActive(vm) && vireoQmpDel(vm, command, member, name) < 0)
        VIR_WARN("%s %s of domain %s failed: %s", command, name, vm->def->name,
                 virGetLastErrorMessage());
    virErrorRestore(&saved);
}

static void
vireoHotplugRemoveDisk(virDomainObj *vm,
                       virDomainDiskDef *disk)
{
    vireoDiskRemoveNode(vm, disk);
    if (!vireoDiskIsEmpty(disk))
        vireoDiskRelease(vm, disk);
}

static int
vireoHotplugAttachDisk(virDomainObj *vm,
                       virDomainDiskDef *disk)
{
    if (vireoDiskPrepare(vm, disk) < 0 ||
        (!vireoDiskIsEmpty(disk) && vireoDiskAcquire(vm, disk) < 0))
        return -1;

    if (vireoDiskAddNode(vm, disk) < 0) {
        if (!vireoDiskIsEmpty(disk))
            vireoDiskRelease(vm, disk);
        return -1;
    }
    if (vireoQmpAdd(vm, "device_add", vireoDevicePropsDisk(vm->def, disk)) < 0) {
        vireoHotplugRemoveDisk(vm, disk);
        virDomainAuditDisk(vm, NULL, disk->src, "attach", false);
        return -1;
    }
    if (virDomainBlockIoTuneInfoHasAny(&disk->blkdeviotune) &&
        vireoIoTuneApply(vm, disk, &disk->blkdeviotune) < 0) {
        vireoHotplugUndo(vm, "device_del", "id", disk->info.alias);
        virDomainAuditDisk(vm, NULL, disk->src, "attach", false);
        return -1;
    }

    virDomainAuditDisk(vm, NULL, disk->src, "attach", true);
    virDomainDiskInsert(vm->def, disk);
    return 0;
}

/* The chardev to the switch that has the queues of @net. */
static int
vireoHotplugAddPort(virDomainObj *vm,
                    virDomainNetDef *net)
{
    g_autofree char *chardev = vireoVhostChardevAlias(net->info.alias);

    if (net->type != VIR_DOMAIN_NET_TYPE_VHOSTUSER)
        return 0;

    return vireoQmpAdd(vm, "chardev-add", vireoDevicePropsChardev(chardev, net->data.vhostuser));
}

static void
vireoHotplugRemovePort(virDomainObj *vm,
                       virDomainNetDef *net)
{
    g_autofree char *chardev = vireoVhostChardevAlias(net->info.alias);

    if (net->type == VIR_DOMAIN_NET_TYPE_VHOSTUSER)
        vireoHotplugUndo(vm, "chardev-remove", "id", chardev);
}

static void
vireoHotplugRemoveNet(virDomainObj *vm,
                      virDomainNetDef *net)
{
    g_autofree char *netdev = vireoAliasNetdev(net);

    vireoHotplugUndo(vm, "netdev_del", "id", netdev);
    vireoHotplugRemovePort(vm, net);
    vireoInterfaceStop(vm, net);
}

/* Names @fds in the monitor, by @prefix and a number, which are added to @names. */
static int
vireoHotplugSendFDs(virDomainObj *vm,
                    const char *prefix,
                    const int *fds,
                    size_t nfds,
                    GPtrArray *names)
{
    size_t i;

    for (i = 0; i < nfds; i++) {
        g_autofree char *name = g_strdup_printf("%s-%zu", prefix, i);

        if (vireoQmpSendFD(vm, name, fds[i]) < 0)
            return -1;
        g_ptr_array_add(names, g_steal_pointer(&name));
    }

    return 0;
}

/* The names from @first to before @after with colons between; NULL if there are none. */
static char *
vireoHotplugJoinNames(const GPtrArray *names,
                      size_t first,
                      size_t after)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    size_t i;

    for (i = first; i < after; i++)
        virBufferAsprintf(&buf, "%s%s", i > first ? ":" : "", (char *)names->pdata[i]);

    return virBufferContentAndReset(&buf);
}

static int
vireoHotplugAddNetdev(virDomainObj *vm,
                      virDomainNetDef *net,
                      const vireoInterfaceFDs *fds)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *tap = g_strdup_printf("fd-%s", net->info.alias);
    g_autofree char *vhost = g_strdup_printf("vhostfd-%s", net->info.alias);
    g_autofree char *taps = NULL;
    g_autofree char *vhosts = NULL;
    size_t i;

    if (vireoHotplugSendFDs(vm, tap, fds->fds, fds->nfds, names) == 0 &&
        vireoHotplugSendFDs(vm, vhost, fds->vhostFDs, fds->nvhostFDs, names) == 0) {
        taps = vireoHotplugJoinNames(names, 0, fds->nfds);
        vhosts = vireoHotplugJoinNames(names, fds->nfds, names->len);
        if (vireoQmpAdd(vm, "netdev_add", vireoDevicePropsNetdev(net, taps, vhosts, NULL)) == 0)
            return 0;
    }

    /* Those that it took are closed already; that is no error here. */
    for (i = 0; i < names->len; i++)
        vireoHotplugUndo(vm, "closefd", "fdname", names->pdata[i]);
    return -1;
}

static int
vireoHotplugAttachNet(virDomainObj *vm,
                      virDomainNetDef *net)
{
    g_auto(vireoInterfaceFDs) fds = { 0 };

    if (vireoInterfaceStart(vm, net, &fds) < 0)
        return -1;

    if (vireoHotplugAddPort(vm, net) < 0) {
        vireoInterfaceStop(vm, net);
        return -1;
    }
    if (vireoHotplugAddNetdev(vm, net, &fds) < 0) {
        vireoHotplugRemovePort(vm, net);
        vireoInterfaceStop(vm, net);
        return -1;
    }
    if (vireoQmpAdd(vm, "device_add", vireoDevicePropsNet(vm->def, net)) < 0 ||
        (net->linkstate == VIR_DOMAIN_NET_INTERFACE_LINK_STATE_DOWN &&
         vireoQmpSetLink(vm, net->info.alias, false) < 0)) {
        vireoHotplugRemoveNet(vm, net);
        virDomainAuditNet(vm, NULL, net, "attach", false);
        return -1;
    }

    virDomainAuditNet(vm, NULL, net, "attach", true);
    return virDomainNetInsert(vm->def, net);
}

static void
vireoHotplugRemoveFS(virDomainObj *vm,
                     virDomainFSDef *fs)
{
    g_autofree char *chardev = vireoVhostChardevAlias(fs->info.alias);

    vireoHotplugUndo(vm, "chardev-remove", "id", chardev);
    vireoVirtiofsStop(vm, fs);
}

static int
vireoHotplugAttachFS(virDomainObj *vm,
                     virDomainFSDef *fs)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virDomainChrSourceDef) source = vireoVirtiofsSource(priv->dir, fs);
    g_autofree char *chardev = vireoVhostChardevAlias(fs->info.alias);

    if (!source || vireoVirtiofsStart(vm, fs) < 0)
        return -1;

    if (vireoQmpAdd(vm, "chardev-add", vireoDevicePropsChardev(chardev, source)) < 0) {
        vireoVirtiofsStop(vm, fs);
        return -1;
    }
    if (vireoQmpAdd(vm, "device_add", vireoVirtiofsProps(vm->def, fs)) < 0) {
        vireoHotplugRemoveFS(vm, fs);
        virDomainAuditFS(vm, NULL, fs, "attach", false);
        return -1;
    }

    virDomainAuditFS(vm, NULL, fs, "attach", true);
    virDomainFSInsert(vm->def, fs);
    return 0;
}

static int
vireoHotplugAttachVsock(virDomainObj *vm,
                        virDomainVsockDef *vsock)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *name = NULL;
    VIR_AUTOCLOSE fd = -1;

    if (vireoVsockOpen(vsock, &fd) < 0)
        return -1;
    if (fd >= 0) {
        name = g_strdup_printf("vhostfd-%s", vsock->info.alias);
        if (vireoQmpSendFD(vm, name, fd) < 0)
            return -1;
    }
    if (vireoQmpAdd(vm, "device_add", vireoVsockProps(vm->def, vsock, name != NULL, name,
                                                    priv->dir)) < 0) {
        if (name)
            vireoHotplugUndo(vm, "closefd", "fdname", name);
        return -1;
    }

    vm->def->vsock = vsock;
    return 0;
}

static void
vireoHotplugRemoveRNG(virDomainObj *vm,
                      virDomainRNGDef *rng)
{
    g_autofree char *object = vireoAliasRNGObject(rng);

    vireoHotplugUndo(vm, "object-del", "id", object);
}

static int
vireoHotplugAttachRNG(virDomainObj *vm,
                      virDomainRNGDef *rng)
{
    if (vireoQmpAdd(vm, "object-add", vireoDevicePropsRNGObject(rng)) < 0)
        return -1;
    if (vireoQmpAdd(vm, "device_add", vireoDevicePropsRNG(vm->def, rng)) < 0) {
        vireoHotplugRemoveRNG(vm, rng);
        virDomainAuditRNG(vm, NULL, rng, "attach", false);
        return -1;
    }

    virDomainAuditRNG(vm, NULL, rng, "attach", true);
    VIR_APPEND_ELEMENT(vm->def->rngs, vm->def->nrngs, rng);
    return 0;
}

static void
vireoHotplugRestoreChr(virDomainObj *vm,
                       virDomainChrDef *chr)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (virSecurityManagerRestoreChardevLabel(priv->driver->securityManager, vm->def, chr->source,
                                              false) < 0)
        VIR_WARN("labels of %s of domain %s could not be restored", chr->info.alias, vm->def->name);
    virErrorRestore(&saved);
}

static void
vireoHotplugRemoveChr(virDomainObj *vm,
                      virDomainChrDef *chr)
{
    g_autofree char *chardev = vireoAliasChardev(chr);

    vireoHotplugUndo(vm, "chardev-remove", "id", chardev);
    vireoHotplugRestoreChr(vm, chr);
}

static int
vireoHotplugAddChardev(virDomainObj *vm,
                       virDomainChrDef *chr)
{
    g_autofree char *id = vireoAliasChardev(chr);
    g_autoptr(virJSONValue) args = vireoDevicePropsChardev(id, chr->source);
    g_autoptr(virJSONValue) result = NULL;
    const char *pty;

    if (!args || vireoQmpCommand(vm, "chardev-add", &args, &result) < 0)
        return -1;

    if (chr->source->type == VIR_DOMAIN_CHR_TYPE_PTY && virJSONValueIsObject(result) &&
        (pty = virJSONValueObjectGetString(result, "pty"))) {
        g_free(chr->source->data.file.path);
        chr->source->data.file.path = g_strdup(pty);
    }

    return 0;
}

static int
vireoHotplugAttachChr(virDomainObj *vm,
                      virDomainChrDef *chr)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (chr->deviceType == VIR_DOMAIN_CHR_DEVICE_TYPE_SERIAL ||
        (chr->deviceType == VIR_DOMAIN_CHR_DEVICE_TYPE_CONSOLE &&
         chr->targetType != VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_VIRTIO)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("only virtio consoles and channels can be attached to a running domain"));
        return -1;
    }

    if (vireoDomainPrepareChannel(vm, chr) < 0 ||
        virDomainChrPreAlloc(vm->def, chr) < 0 ||
        virSecurityManagerSetChardevLabel(priv->driver->securityManager, vm->def, chr->source,
                                          false) < 0)
        return -1;

    if (vireoHotplugAddChardev(vm, chr) < 0) {
        vireoHotplugRestoreChr(vm, chr);
        return -1;
    }
    if (vireoQmpAdd(vm, "device_add", vireoDevicePropsChr(vm->def, chr)) < 0) {
        vireoHotplugRemoveChr(vm, chr);
        virDomainAuditChardev(vm, NULL, chr, "attach", false);
        return -1;
    }

    virDomainAuditChardev(vm, NULL, chr, "attach", true);
    virDomainChrInsertPreAlloced(vm->def, chr);
    return 0;
}

/* Whether there is a device already where @dev is to be. */
static int
vireoHotplugCheckTarget(virDomainDef *def,
                        virDomainDeviceDef *dev)
{
    if (dev->type == VIR_DOMAIN_DEVICE_DISK && virDomainDiskByTarget(def, dev->data.disk->dst)) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("target %s already exists"),
                       dev->data.disk->dst);
        return -1;
    }
    if (dev->type == VIR_DOMAIN_DEVICE_CHR && virDomainChrFind(def, dev->data.chr)) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("chardev already exists"));
        return -1;
    }
    if (dev->type == VIR_DOMAIN_DEVICE_FS && virDomainFSIndexByName(def, dev->data.fs->dst) >= 0) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("target %s already exists"), dev->data.fs->dst);
        return -1;
    }
    if (dev->type == VIR_DOMAIN_DEVICE_VSOCK && def->vsock) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("the domain already has a <vsock>"));
        return -1;
    }
    if (dev->type == VIR_DOMAIN_DEVICE_NET && virDomainHasNet(def, dev->data.net)) {
        virReportError(VIR_ERR_OPERATION_FAILED, "%s", _("the interface already exists"));
        return -1;
    }

    return 0;
}

int
vireoHotplugAttach(virDomainObj *vm,
                   virDomainDeviceDef *dev)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainDeviceInfo *info = virDomainDeviceGetInfo(dev);
    int ret = -1;

    switch ((virDomainDeviceType)dev->type) {
    case VIR_DOMAIN_DEVICE_DISK:
    case VIR_DOMAIN_DEVICE_NET:
    case VIR_DOMAIN_DEVICE_FS:
    case VIR_DOMAIN_DEVICE_VSOCK:
    case VIR_DOMAIN_DEVICE_RNG:
    case VIR_DOMAIN_DEVICE_CHR:
    case VIR_DOMAIN_DEVICE_MEMORY:
        break;
    default:
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("Vireo cannot attach <%s> to a running domain"),
                       virDomainDeviceTypeToString(dev->type));
        return -1;
    }

    /* The sockets of what is attached are in the domain's directory. */
    if (vireoHotplugCheckTarget(vm->def, dev) < 0 ||
        vireoAddressAssignDevice(vm->def, dev) < 0 ||
        vireoDomainLabelDir(vm) < 0)
        return -1;
    vireoAliasAssignDevice(vm->def, dev);

    if (dev->type == VIR_DOMAIN_DEVICE_DISK)
        ret = vireoHotplugAttachDisk(vm, dev->data.disk);
    else if (dev->type == VIR_DOMAIN_DEVICE_NET)
        ret = vireoHotplugAttachNet(vm, dev->data.net);
    else if (dev->type == VIR_DOMAIN_DEVICE_FS)
        ret = vireoHotplugAttachFS(vm, dev->data.fs);
    else if (dev->type == VIR_DOMAIN_DEVICE_VSOCK)
        ret = vireoHotplugAttachVsock(vm, dev->data.vsock);
    else if (dev->type == VIR_DOMAIN_DEVICE_RNG)
        ret = vireoHotplugAttachRNG(vm, dev->data.rng);
    else if (dev->type == VIR_DOMAIN_DEVICE_MEMORY)
        ret = vireoMemoryDeviceAttach(vm, dev->data.memory);
    else
        ret = vireoHotplugAttachChr(vm, dev->data.chr);
    if (ret < 0)
        return -1;

    dev->data.disk = NULL;
    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventDeviceAddedNewFromObj(vm, info->alias));
    return 0;
}

/* Finds the device of the running domain that @match means. */
static int
vireoHotplugFind(virDomainObj *vm,
                 virDomainDeviceDef *match,
                 virDomainDeviceDef *found)
{
    virDomainDef *def = vm->def;
    ssize_t idx;

    found->type = match->type;
    found->data.disk = NULL;

    switch ((virDomainDeviceType)match->type) {
    case VIR_DOMAIN_DEVICE_DISK:
        found->data.disk = virDomainDiskByTarget(def, match->data.disk->dst);
        break;
    case VIR_DOMAIN_DEVICE_NET:
        if ((idx = virDomainNetFindIdx(def, match->data.net)) < 0)
            return -1;
        found->data.net = def->nets[idx];
        break;
    case VIR_DOMAIN_DEVICE_FS:
        if ((idx = virDomainFSIndexByName(def, match->data.fs->dst)) >= 0)
            found->data.fs = def->fss[idx];
        break;
    case VIR_DOMAIN_DEVICE_VSOCK:
        if (vireoVsockMatches(match->data.vsock, def->vsock))
            found->data.vsock = def->vsock;
        break;
    case VIR_DOMAIN_DEVICE_RNG:
        if ((idx = virDomainRNGFind(def, match->data.rng)) >= 0)
            found->data.rng = def->rngs[idx];
        break;
    case VIR_DOMAIN_DEVICE_MEMORY:
        if ((idx = virDomainMemoryFindByDef(def, match->data.memory)) >= 0)
            found->data.memory = def->mems[idx];
        break;
    case VIR_DOMAIN_DEVICE_CHR:
        /* The one without a path is the one with the path it was given. */
        if (vireoDomainPrepareChannel(vm, match->data.chr) < 0)
            return -1;
        found->data.chr = virDomainChrFind(def, match->data.chr);
        if (found->data.chr &&
            found->data.chr->info.type != VIR_DOMAIN_DEVICE_ADDRESS_TYPE_VIRTIO_SERIAL) {
            virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                           _("only virtio consoles and channels can be detached from a running domain"));
            return -1;
        }
        break;
    default:
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("Vireo cannot detach <%s> from a running domain"),
                       virDomainDeviceTypeToString(match->type));
        return -1;
    }

    if (!found->data.disk) {
        virReportError(VIR_ERR_DEVICE_MISSING, _("the domain has no such <%s>"),
                       virDomainDeviceTypeToString(match->type));
        return -1;
    }

    return 0;
}

static void
vireoHotplugForgetRNG(virDomainObj *vm,
                      virDomainRNGDef *rng)
{
    ssize_t idx = virDomainRNGFind(vm->def, rng);

    vireoHotplugRemoveRNG(vm, rng);
    virDomainAuditRNG(vm, rng, NULL, "detach", true);
    if (idx >= 0)
        virDomainRNGRemove(vm->def, idx);
    virDomainRNGDefFree(rng);
}

void
vireoHotplugForget(virDomainObj *vm,
                   const char *alias)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *name = g_strdup(alias);
    virDomainDeviceDef dev;

    if (vireoVcpuForget(vm, name)) {
        vireoDomainSaveStatus(vm);
        return;
    }
    if (virDomainDefFindDevice(vm->def, name, &dev, false) < 0)
        return;

    switch ((virDomainDeviceType)dev.type) {
    case VIR_DOMAIN_DEVICE_DISK:
        vireoHotplugRemoveDisk(vm, dev.data.disk);
        virDomainAuditDisk(vm, dev.data.disk->src, NULL, "detach", true);
        virDomainDiskRemoveByName(vm->def, dev.data.disk->dst);
        virDomainDiskDefFree(dev.data.disk);
        break;
    case VIR_DOMAIN_DEVICE_NET:
        vireoHotplugRemoveNet(vm, dev.data.net);
        virDomainAuditNet(vm, dev.data.net, NULL, "detach", true);
        virDomainNetRemoveByObj(vm->def, dev.data.net);
        virDomainNetDefFree(dev.data.net);
        break;
    case VIR_DOMAIN_DEVICE_FS:
        vireoHotplugRemoveFS(vm, dev.data.fs);
        virDomainAuditFS(vm, dev.data.fs, NULL, "detach", true);
        virDomainFSRemove(vm->def, virDomainFSIndexByName(vm->def, dev.data.fs->dst));
        virDomainFSDefFree(dev.data.fs);
        break;
    case VIR_DOMAIN_DEVICE_VSOCK:
        g_clear_pointer(&vm->def->vsock, virDomainVsockDefFree);
        break;
    case VIR_DOMAIN_DEVICE_RNG:
        vireoHotplugForgetRNG(vm, dev.data.rng);
        break;
    case VIR_DOMAIN_DEVICE_MEMORY:
        vireoMemoryDeviceForget(vm, dev.data.memory);
        break;
    case VIR_DOMAIN_DEVICE_CHR:
        vireoHotplugRemoveChr(vm, dev.data.chr);
        virDomainAuditChardev(vm, dev.data.chr, NULL, "detach", true);
        virDomainChrRemove(vm->def, dev.data.chr);
        virDomainChrDefFree(dev.data.chr);
        break;
    default:
        return;
    }

    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventDeviceRemovedNewFromObj(vm, name));
    vireoDomainSaveStatus(vm);
}

/* Waits for the guest's answer to device_del. */
static int
vireoHotplugAwaitUnplug(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    unsigned long long until;

    if (virTimeMillisNow(&until) < 0)
        return -1;
    until += VIREO_UNPLUG_WAIT_MS;

    while (priv->unplugAlias && priv->unplugState == VIREO_UNPLUG_PENDING) {
        int rc = virDomainObjWaitUntil(vm, until);

        if (rc < 0)
            return -1;
        if (rc == 1)
            return 0;
    }

    return virDomainObjCheckActive(vm);
}

int
vireoHotplugRelease(virDomainObj *vm,
                    const char *alias)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int ret = -1;

    priv->unplugState = VIREO_UNPLUG_PENDING;
    priv->unplugAlias = g_strdup(alias);
    if (vireoQmpDel(vm, "device_del", "id", alias) == 0 && vireoHotplugAwaitUnplug(vm) == 0) {
        if (priv->unplugState == VIREO_UNPLUG_REFUSED) {
            virReportError(VIR_ERR_OPERATION_FAILED,
                           _("the guest refused to let go of device '%s'"), alias);
            virObjectEventStateQueue(priv->driver->domainEventState,
                                     virDomainEventDeviceRemovalFailedNewFromObj(vm, alias));
        } else {
            ret = priv->unplugState == VIREO_UNPLUG_DONE;
        }
    }

    g_clear_pointer(&priv->unplugAlias, g_free);
    return ret;
}

int
vireoHotplugDetach(virDomainObj *vm,
                   virDomainDeviceDef *match)
{
    virDomainDeviceDef dev;
    g_autofree char *alias = NULL;
    int rc;

    if (vireoHotplugFind(vm, match, &dev) < 0 ||
        (dev.type == VIR_DOMAIN_DEVICE_DISK && vireoBlockJobCheckNone(vm, dev.data.disk) < 0) ||
        vireoAddressCheckDetach(vm->def, virDomainDeviceGetInfo(&dev)) < 0)
        return -1;
    alias = g_strdup(virDomainDeviceGetInfo(&dev)->alias);

    if ((rc = vireoHotplugRelease(vm, alias)) < 0)
        return -1;
    if (rc == 1)
        vireoHotplugForget(vm, alias);

    return 0;
}
