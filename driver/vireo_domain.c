/*
 * vireo_domain.c: what the driver keeps about a domain, and its XML's defaults
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <sys/stat.h>
#include <unistd.h>

#include "viralloc.h"
#include "virclosecallbacks.h"
#include "virerror.h"
#include "virlog.h"
#include "virpidfile.h"

#include "vireo_address.h"
#include "vireo_barrier.h"
#include "vireo_blockjob.h"
#include "vireo_capabilities.h"
#include "vireo_cpu.h"
#include "vireo_domain.h"
#include "vireo_namespace.h"
#include "vireo_numa.h"
#include "vireo_overlay.h"
#include "vireo_tpm.h"
#include "vireo_validate.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_domain");

static void *
vireoDomainObjPrivateAlloc(void *opaque)
{
    vireoDomainObjPrivate *priv = g_new0(vireoDomainObjPrivate, 1);

    priv->driver = opaque;
    priv->devs = virChrdevAlloc();
    priv->blockJobs = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, vireoBlockJobFree);
    priv->overlays = g_ptr_array_new_with_free_func(vireoOverlayFree);
    priv->barriers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    priv->shutoffReason = VIR_DOMAIN_SHUTOFF_UNKNOWN;
    priv->agentTimeout = VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK;
    return priv;
}

static void
vireoDomainObjPrivateClear(vireoDomainObjPrivate *priv)
{
    g_clear_pointer(&priv->dir, g_free);
    g_clear_pointer(&priv->machineName, g_free);
    g_clear_pointer(&priv->cgroup, virCgroupFree);
    g_clear_pointer(&priv->autoNodes, virBitmapFree);
    g_clear_pointer(&priv->autoCpus, virBitmapFree);
    g_clear_pointer(&priv->vcpuThreads, g_free);
    priv->nvcpuThreads = 0;
    g_clear_pointer(&priv->unplugAlias, g_free);
    priv->storageRestarts = 0;
    priv->lastImage = 0;
    priv->handingOver = false;
    g_hash_table_remove_all(priv->blockJobs);
    g_ptr_array_set_size(priv->overlays, 0);
    priv->overlaysSwitching = false;
    g_hash_table_remove_all(priv->barriers);
    priv->beingStopped = false;
    priv->panicked = false;
    priv->rebooting = false;
    priv->pausedReason = VIR_DOMAIN_PAUSED_UNKNOWN;
    priv->shutoffReason = VIR_DOMAIN_SHUTOFF_UNKNOWN;
}

static void
vireoDomainObjPrivateFree(void *data)
{
    vireoDomainObjPrivate *priv = data;

    vireoDomainObjPrivateClear(priv);
    virChrdevFree(priv->devs);
    g_hash_table_unref(priv->blockJobs);
    g_ptr_array_unref(priv->overlays);
    g_hash_table_unref(priv->barriers);
    g_free(priv);
}

static int
vireoDomainObjPrivateFormat(virBuffer *buf,
                            virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_auto(virBuffer) vcpus = VIR_BUFFER_INIT_CHILD(buf);
    size_t i;

    virBufferEscapeString(buf, "<runtime dir='%s'/>\n", priv->dir);
    if (priv->rebooting)
        virBufferAddLit(buf, "<rebooting/>\n");
    if (priv->tpmFlags)
        virBufferAsprintf(buf, "<tpm undefine='%u'/>\n", priv->tpmFlags);
    if (priv->handingOver)
        virBufferAddLit(buf, "<handingOver/>\n");
    vireoNumaFormat(buf, priv);
    virBufferAsprintf(buf, "<agent timeout='%d'/>\n", priv->agentTimeout);
    virBufferAsprintf(buf, "<images last='%u'/>\n", priv->lastImage);
    vireoBlockJobsFormat(buf, priv->blockJobs);
    vireoOverlaysFormat(buf, priv);
    vireoBarriersFormat(buf, priv->barriers);

    for (i = 0; i < priv->nvcpuThreads; i++) {
        if (priv->vcpuThreads[i] != 0)
            virBufferAsprintf(&vcpus, "<vcpu id='%zu' pid='%d'/>\n", i, priv->vcpuThreads[i]);
    }
    virXMLFormatElement(buf, "vcpus", NULL, &vcpus);

    return 0;
}

int
vireoDomainParseNodes(xmlXPathContextPtr ctxt,
                      const char *path,
                      vireoDomainParseNode parse,
                      void *opaque)
{
    g_autofree xmlNodePtr *nodes = NULL;
    int n = virXPathNodeSet(path, ctxt, &nodes);
    int i;

    for (i = 0; i < n; i++) {
        if (parse(nodes[i], opaque) < 0)
            return -1;
    }

    return n < 0 ? -1 : 0;
}

static int
vireoDomainParseVcpu(xmlNodePtr node,
                     void *opaque)
{
    vireoDomainObjPrivate *priv = opaque;
    unsigned int id;
    int pid;

    if (virXMLPropUInt(node, "id", 10, VIR_XML_PROP_REQUIRED, &id) < 0 ||
        virXMLPropInt(node, "pid", 10, VIR_XML_PROP_REQUIRED, &pid, 0) < 0)
        return -1;
    if (id < priv->nvcpuThreads)
        priv->vcpuThreads[id] = pid;

    return 0;
}

static int
vireoDomainObjPrivateParse(xmlXPathContextPtr ctxt,
                           virDomainObj *vm,
                           virDomainDefParserConfig *config G_GNUC_UNUSED)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (!(priv->dir = virXPathString("string(./runtime/@dir)", ctxt))) {
        virReportError(VIR_ERR_XML_ERROR, "%s", _("the domain's status has no run-time directory"));
        return -1;
    }

    priv->rebooting = virXPathBoolean("boolean(./rebooting)", ctxt) == 1;
    priv->handingOver = virXPathBoolean("boolean(./handingOver)", ctxt) == 1;
    if (virXPathInt("string(./agent/@timeout)", ctxt, &priv->agentTimeout) == -2 ||
        virXPathUInt("string(./tpm/@undefine)", ctxt, &priv->tpmFlags) == -2 ||
        virXPathUInt("string(./images/@last)", ctxt, &priv->lastImage) == -2) {
        virReportError(VIR_ERR_XML_ERROR, "%s", _("a number in the domain's status is none"));
        return -1;
    }
    if (vireoBlockJobsParse(ctxt, priv->blockJobs) < 0 || vireoOverlaysParse(ctxt, priv) < 0 ||
        vireoBarriersParse(ctxt, priv->barriers) < 0 || vireoNumaParse(ctxt, priv) < 0)
        return -1;

    priv->nvcpuThreads = virDomainDefGetVcpusMax(vm->def);
    priv->vcpuThreads = g_new0(pid_t, priv->nvcpuThreads);

    return vireoDomainParseNodes(ctxt, "./vcpus/vcpu", vireoDomainParseVcpu, priv);
}

static virDomainXMLPrivateDataCallbacks vireoPrivateDataCallbacks = {
    .alloc = vireoDomainObjPrivateAlloc,
    .free = vireoDomainObjPrivateFree,
    .format = vireoDomainObjPrivateFormat,
    .parse = vireoDomainObjPrivateParse,
};

/* Clients put every CD on SATA where the machine is q35, and some leave no choice (virt-install
 * --cdrom and --cloud-init). On SCSI the guest finds a drive of the same kind, with the same
 * commands. Returns whether @disk was such a CD. */
static bool
vireoDomainMoveCD(virDomainDiskDef *disk)
{
    if (disk->device != VIR_DOMAIN_DISK_DEVICE_CDROM || disk->bus != VIR_DOMAIN_DISK_BUS_SATA)
        return false;

    disk->bus = VIR_DOMAIN_DISK_BUS_SCSI;
    if (disk->info.type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_DRIVE) {
        disk->info.type = VIR_DOMAIN_DEVICE_ADDRESS_TYPE_NONE;
        memset(&disk->info.addr, 0, sizeof(disk->info.addr));
    }

    return true;
}

static int
vireoDomainDefPostParseBasic(virDomainDef *def,
                             void *opaque)
{
    vireoDriver *driver = opaque;
    size_t i = 0;

    if (!def->emulator)
        def->emulator = g_strdup(driver->config->vireoBinary);

    /* Disks are kept in the order of their names on each bus. None moves twice. */
    while (i < def->ndisks) {
        if (vireoDomainMoveCD(def->disks[i])) {
            virDomainDiskInsert(def, virDomainDiskRemove(def, i));
            i = 0;
        } else {
            i++;
        }
    }

    return 0;
}

static int
vireoDomainDefPostParse(virDomainDef *def,
                        unsigned int parseFlags G_GNUC_UNUSED,
                        void *opaque G_GNUC_UNUSED,
                        void *parseOpaque G_GNUC_UNUSED)
{
    const char *canonical;

    if (!def->os.machine)
        def->os.machine = g_strdup(VIREO_MACHINE);
    if (!(canonical = vireoCapabilitiesMachineCanonical(def->os.machine))) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo has no machine type '%s', only 'q35'"), def->os.machine);
        return -1;
    }
    if (STRNEQ(def->os.machine, canonical)) {
        g_free(def->os.machine);
        def->os.machine = g_strdup(canonical);
    }

    /* The machine always has both; the XML shall say so. */
    def->features[VIR_DOMAIN_FEATURE_ACPI] = VIR_TRISTATE_SWITCH_ON;
    def->features[VIR_DOMAIN_FEATURE_APIC] = VIR_TRISTATE_SWITCH_ON;

    vireoCPUPostParse(def);

    if (!def->memballoon) {
        def->memballoon = g_new0(virDomainMemballoonDef, 1);
        def->memballoon->model = VIR_DOMAIN_MEMBALLOON_MODEL_VIRTIO;
    }

    /* A virtual CPU that no cell names is in the first one. */
    if (virDomainNumaGetNodeCount(def->numa) > 0 &&
        virDomainNumaGetCPUCountTotal(def->numa) < virDomainDefGetVcpusMax(def) &&
        virDomainNumaFillCPUsInNode(def->numa, 0, virDomainDefGetVcpusMax(def)) < 0)
        return -1;

    return vireoAddressAddControllers(def);
}

static void
vireoDomainDefaultChr(virDomainChrDef *chr)
{
    switch (chr->deviceType) {
    case VIR_DOMAIN_CHR_DEVICE_TYPE_SERIAL:
        if (chr->targetType == VIR_DOMAIN_CHR_SERIAL_TARGET_TYPE_NONE)
            chr->targetType = VIR_DOMAIN_CHR_SERIAL_TARGET_TYPE_ISA;
        if (chr->targetModel == VIR_DOMAIN_CHR_SERIAL_TARGET_MODEL_NONE) {
            if (chr->targetType == VIR_DOMAIN_CHR_SERIAL_TARGET_TYPE_ISA)
                chr->targetModel = VIR_DOMAIN_CHR_SERIAL_TARGET_MODEL_ISA_SERIAL;
            else if (chr->targetType == VIR_DOMAIN_CHR_SERIAL_TARGET_TYPE_ISA_DEBUG)
                chr->targetModel = VIR_DOMAIN_CHR_SERIAL_TARGET_MODEL_ISA_DEBUGCON;
        }
        break;
    case VIR_DOMAIN_CHR_DEVICE_TYPE_CONSOLE:
        if (chr->targetType == VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_NONE)
            chr->targetType = VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_SERIAL;
        break;
    default:
        break;
    }

    /* A channel without a path gets one in the driver's directory at each start. */
    if (chr->source->type == VIR_DOMAIN_CHR_TYPE_UNIX && !chr->source->data.nix.path)
        chr->source->data.nix.listen = true;
}

static void
vireoDomainDefaultDisk(virDomainDiskDef *disk)
{
    /* Formats are never probed: a guest could write a header that names a host file. */
    if (virDomainDiskGetFormat(disk) <= VIR_STORAGE_FILE_NONE &&
        virDomainDiskGetType(disk) != VIR_STORAGE_TYPE_VOLUME)
        virDomainDiskSetFormat(disk, VIR_STORAGE_FILE_RAW);
}

static void
vireoDomainDefaultNet(virDomainNetDef *net)
{
    if (net->model == VIR_DOMAIN_NET_MODEL_UNKNOWN && !net->modelstr)
        net->model = VIR_DOMAIN_NET_MODEL_VIRTIO;
}

static int
vireoDomainDeviceDefPostParse(virDomainDeviceDef *dev,
                              const virDomainDef *def G_GNUC_UNUSED,
                              unsigned int parseFlags G_GNUC_UNUSED,
                              void *opaque G_GNUC_UNUSED,
                              void *parseOpaque G_GNUC_UNUSED)
{
    switch ((virDomainDeviceType)dev->type) {
    case VIR_DOMAIN_DEVICE_DISK:
        vireoDomainMoveCD(dev->data.disk);
        vireoDomainDefaultDisk(dev->data.disk);
        break;
    case VIR_DOMAIN_DEVICE_NET:
        vireoDomainDefaultNet(dev->data.net);
        break;
    case VIR_DOMAIN_DEVICE_CHR:
        vireoDomainDefaultChr(dev->data.chr);
        break;
    case VIR_DOMAIN_DEVICE_CONTROLLER:
        vireoAddressDefaultController(dev->data.controller);
        break;
    case VIR_DOMAIN_DEVICE_VIDEO:
        /* libvirt adds one to every definition with graphics, and wants to know its model. */
        if (dev->data.video->type == VIR_DOMAIN_VIDEO_TYPE_DEFAULT)
            dev->data.video->type = VIR_DOMAIN_VIDEO_TYPE_BOCHS;
        break;
    case VIR_DOMAIN_DEVICE_VSOCK:
        if (dev->data.vsock->model == VIR_DOMAIN_VSOCK_MODEL_DEFAULT)
            dev->data.vsock->model = VIR_DOMAIN_VSOCK_MODEL_VIRTIO;
        break;
    case VIR_DOMAIN_DEVICE_TPM:
        vireoTpmDefault(dev->data.tpm);
        break;
    case VIR_DOMAIN_DEVICE_PANIC:
        if (dev->data.panic->model == VIR_DOMAIN_PANIC_MODEL_DEFAULT)
            dev->data.panic->model = VIR_DOMAIN_PANIC_MODEL_ISA;
        break;
    default:
        break;
    }

    return 0;
}

static int
vireoDomainDefAssignAddresses(virDomainDef *def,
                              unsigned int parseFlags G_GNUC_UNUSED,
                              void *opaque G_GNUC_UNUSED,
                              void *parseOpaque G_GNUC_UNUSED)
{
    return vireoAddressAssign(def);
}

static virDomainDefParserConfig vireoParserConfig = {
    .domainPostParseBasicCallback = vireoDomainDefPostParseBasic,
    .domainPostParseCallback = vireoDomainDefPostParse,
    .devicesPostParseCallback = vireoDomainDeviceDefPostParse,
    .assignAddressesCallback = vireoDomainDefAssignAddresses,
    .domainValidateCallback = vireoValidateDomainDef,
    .deviceValidateCallback = vireoValidateDeviceDef,
    .features = VIR_DOMAIN_DEF_FEATURE_MEMORY_HOTPLUG |
                VIR_DOMAIN_DEF_FEATURE_INDIVIDUAL_VCPUS |
                VIR_DOMAIN_DEF_FEATURE_USER_ALIAS |
                VIR_DOMAIN_DEF_FEATURE_FW_AUTOSELECT |
                VIR_DOMAIN_DEF_FEATURE_OFFLINE_VCPUPIN,
    .macPrefix = { 0x52, 0x54, 0x00 },
    .defArch = VIR_ARCH_X86_64,
};

virDomainXMLOption *
vireoDomainXMLOptionNew(vireoDriver *driver)
{
    virDomainXMLOption *xmlopt;

    vireoParserConfig.priv = driver;
    xmlopt = virDomainXMLOptionNew(&vireoParserConfig, &vireoPrivateDataCallbacks,
                                   &vireoXMLNamespace, NULL, NULL, NULL);
    virDomainXMLOptionSetCloseCallbackAlloc(xmlopt, virCloseCallbacksDomainAlloc);
    return xmlopt;
}

int
vireoDomainWriteStatus(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return virDomainObjSave(vm, priv->driver->xmlopt, priv->driver->config->stateDir);
}

void
vireoDomainSaveStatus(virDomainObj *vm)
{
    if (virDomainObjIsActive(vm) && vireoDomainWriteStatus(vm) < 0)
        VIR_WARN("the running state of domain %s could not be saved: %s",
                 vm->def->name, virGetLastErrorMessage());
}

char *
vireoDomainPath(virDomainObj *vm,
                const char *name)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return g_strdup_printf("%s/%s", priv->dir, name);
}

char *
vireoDomainPidFile(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return virPidFileBuildPath(priv->driver->config->stateDir, vm->def->name);
}

char *
vireoDomainChannelDir(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *name = virDomainDefGetShortName(vm->def);

    return g_strdup_printf("%s/%s", priv->driver->config->channelDir, name);
}

int
vireoDomainMakeDir(vireoDriver *driver,
                   const char *path)
{
    if (g_mkdir_with_parents(path, 0750) < 0) {
        virReportSystemError(errno, _("cannot create directory '%s'"), path);
        return -1;
    }
    if (driver->privileged &&
        chown(path, driver->config->user, driver->config->group) < 0) {
        virReportSystemError(errno, _("cannot change the owner of directory '%s'"), path);
        return -1;
    }

    return 0;
}

int
vireoDomainLabelDir(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return virSecurityManagerDomainSetPathLabel(priv->driver->securityManager, vm->def, priv->dir,
                                                true);
}

int
vireoDomainPrepareChannel(virDomainObj *vm,
                          virDomainChrDef *chr)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *dir = NULL;
    const char *name = chr->target.name;

    if (chr->deviceType != VIR_DOMAIN_CHR_DEVICE_TYPE_CHANNEL ||
        chr->source->type != VIR_DOMAIN_CHR_TYPE_UNIX || chr->source->data.nix.path)
        return 0;

    dir = vireoDomainChannelDir(vm);
    if (vireoDomainMakeDir(priv->driver, dir) < 0)
        return -1;
    if (!name || strchr(name, '/'))
        name = chr->info.alias;
    chr->source->data.nix.path = g_strdup_printf("%s/%s", dir, name);

    return 0;
}

void
vireoDomainForgetRuntime(virDomainObj *vm)
{
    vireoDomainObjPrivateClear(vm->privateData);
}

int
vireoDomainBeginActiveJob(virDomainObj *vm,
                          virDomainJob job)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virDomainObjBeginJob(vm, job) < 0)
        return -1;

    if (virDomainObjCheckActive(vm) < 0) {
        virDomainObjEndJob(vm);
        return -1;
    }
    if (!priv->mon) {
        virReportError(VIR_ERR_OPERATION_FAILED,
                       _("the monitor of domain '%s' is gone"), vm->def->name);
        virDomainObjEndJob(vm);
        return -1;
    }

    return 0;
}
