/*
 * vireo_validate_device.c: refuses devices that Vireo does not have
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "virerror.h"

#include "vireo_iotune.h"
#include "vireo_blockdev.h"
#include "vireo_disk.h"
#include "vireo_scsi.h"
#include "vireo_storage.h"
#include "vireo_tpm.h"
#include "vireo_validate.h"
#include "vireo_vhost.h"
#include "vireo_virtiofs.h"
#include "vireo_vsock.h"
#include "vireo_watchdog.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* Of either speed; what the controller has. */
#define VIREO_USB_PORTS_MAX 15

static int
vireoValidateInfo(const virDomainDeviceInfo *info)
{
    const vireoValidateRefusal refusals[] = {
        { info->acpiIndex > 0, "<acpi index>" },
        { info->romfile != NULL, "<rom file>" },
        { info->romenabled == VIR_TRISTATE_BOOL_YES, "<rom enabled='yes'>" },
        { info->rombar == VIR_TRISTATE_SWITCH_ON, "<rom bar='on'>" },
        { info->type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_PCI &&
          info->addr.pci.domain != 0, "a PCI domain other than 0" },
    };

    return vireoValidateRefuse(refusals);
}

static int
vireoValidateVirtio(const virDomainVirtioOptions *virtio)
{
    if (!virtio)
        return 0;

    const vireoValidateRefusal refusals[] = {
        { virtio->iommu == VIR_TRISTATE_SWITCH_ON, "<driver iommu='on'>" },
        { virtio->ats == VIR_TRISTATE_SWITCH_ON, "<driver ats='on'>" },
        { virtio->page_per_vq == VIR_TRISTATE_SWITCH_ON, "<driver page_per_vq='on'>" },
    };

    return vireoValidateRefuse(refusals);
}

static int
vireoValidateDiskSource(const virDomainDiskDef *disk)
{
    const virStorageSource *src = disk->src;
    bool served = vireoStorageServes(disk);
    const vireoValidateRefusal refusals[] = {
        { src->type != VIR_STORAGE_TYPE_FILE && src->type != VIR_STORAGE_TYPE_BLOCK &&
          src->type != VIR_STORAGE_TYPE_VOLUME && src->type != VIR_STORAGE_TYPE_VHOST_USER &&
          src->type != VIR_STORAGE_TYPE_NETWORK,
          "a <disk type> other than file, block, network, volume or vhostuser" },
        { (src->type == VIR_STORAGE_TYPE_FILE || src->type == VIR_STORAGE_TYPE_BLOCK) &&
          !src->path && !vireoDiskIsEmpty(disk), "a <disk> without <source>" },
        { src->fdgroup != NULL, "<source fdgroup>" },
        { src->pr != NULL, "<source><reservations>" },
        { src->sliceStorage != NULL, "<source><slices>" },
        { !served && src->type != VIR_STORAGE_TYPE_VOLUME && virStorageSourceHasBacking(src),
          "<backingStore> of a raw image" },
        { served && disk->error_policy == VIR_DOMAIN_DISK_ERROR_POLICY_ENOSPACE,
          "<driver error_policy='enospace'> of a disk that is not raw, only 'stop'" },
    };
    const virStorageSource *n;

    if (vireoValidateRefuse(refusals) < 0)
        return -1;
    for (n = src; served && virStorageSourceIsBacking(n); n = n->backingStore) {
        if (vireoBlockdevCheck(n, disk) < 0)
            return -1;
    }

    return 0;
}

/* What is the back end's to decide. */
static int
vireoValidateDiskVhost(const virDomainDiskDef *disk,
                       const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { disk->serial != NULL, "<serial> of a disk of type 'vhostuser'" },
        { disk->iothread > 0, "<driver iothread> of a disk of type 'vhostuser'" },
        { disk->cachemode != VIR_DOMAIN_DISK_CACHE_DEFAULT,
          "<driver cache> of a disk of type 'vhostuser'" },
        { disk->iomode != VIR_DOMAIN_DISK_IO_DEFAULT, "<driver io> of a disk of type 'vhostuser'" },
        { disk->discard != VIR_DOMAIN_DISK_DISCARD_DEFAULT,
          "<driver discard> of a disk of type 'vhostuser'" },
        { disk->detect_zeroes != VIR_DOMAIN_DISK_DETECT_ZEROES_DEFAULT,
          "<driver detect_zeroes> of a disk of type 'vhostuser'" },
        { disk->error_policy != VIR_DOMAIN_DISK_ERROR_POLICY_DEFAULT ||
          disk->rerror_policy != VIR_DOMAIN_DISK_ERROR_POLICY_DEFAULT,
          "<driver error_policy> of a disk of type 'vhostuser'" },
        { disk->blockio.logical_block_size > 0 || disk->blockio.physical_block_size > 0,
          "<blockio> of a disk of type 'vhostuser'" },
        { disk->src->readonly, "<readonly> of a disk of type 'vhostuser'" },
        { virDomainBlockIoTuneInfoHasAny(&disk->blkdeviotune),
          "<iotune> of a disk of type 'vhostuser'" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;

    return vireoVhostCheckMemory(def, "a disk of type 'vhostuser'");
}

static int
vireoValidateDisk(const virDomainDiskDef *disk,
                  const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { disk->device != VIR_DOMAIN_DISK_DEVICE_DISK && disk->device != VIR_DOMAIN_DISK_DEVICE_CDROM,
          "a <disk device> other than 'disk' and 'cdrom'" },
        { disk->device == VIR_DOMAIN_DISK_DEVICE_CDROM && !vireoScsiIsDisk(disk),
          "a <disk device='cdrom'> with a <target bus> other than 'scsi'" },
        { disk->bus != VIR_DOMAIN_DISK_BUS_VIRTIO && !vireoScsiIsDisk(disk),
          "a disk <target bus> other than 'virtio' and 'scsi'" },
        { disk->model == VIR_DOMAIN_DISK_MODEL_VIRTIO_TRANSITIONAL,
          "<disk model='virtio-transitional'>" },
        { disk->driverName && STRNEQ(disk->driverName, "qemu") &&
          STRNEQ(disk->driverName, "vireo"), "a disk <driver name> other than 'qemu' or 'vireo'" },
        { disk->mirror != NULL, "<mirror>" },
        { disk->wwn != NULL, "<wwn>" },
        { disk->vendor != NULL && !vireoScsiIsDisk(disk), "<vendor> of a disk that is not SCSI" },
        { disk->product != NULL && !vireoScsiIsDisk(disk), "<product> of a disk that is not SCSI" },
        { disk->geometry.cylinders > 0 ||
          disk->geometry.trans != VIR_DOMAIN_DISK_TRANS_DEFAULT, "<geometry>" },
        { disk->rotation_rate > 0 && !vireoScsiIsDisk(disk),
          "<target rotation_rate> of a disk that is not SCSI" },
        { disk->removable != VIR_TRISTATE_SWITCH_ABSENT, "<target removable>" },
        { disk->transient, "<transient>" },
        { disk->copy_on_read == VIR_TRISTATE_SWITCH_ON, "<driver copy_on_read='on'>" },
        { disk->startupPolicy == VIR_DOMAIN_STARTUP_POLICY_OPTIONAL ||
          disk->startupPolicy == VIR_DOMAIN_STARTUP_POLICY_REQUISITE, "<source startupPolicy>" },
        { disk->rawio == VIR_TRISTATE_BOOL_YES, "<disk rawio='yes'>" },
        { disk->sgio != VIR_DOMAIN_DEVICE_SGIO_DEFAULT, "<disk sgio>" },
        { disk->iomode == VIR_DOMAIN_DISK_IO_NATIVE &&
          disk->cachemode != VIR_DOMAIN_DISK_CACHE_DISABLE &&
          disk->cachemode != VIR_DOMAIN_DISK_CACHE_DIRECTSYNC,
          "a disk <driver io='native'> with a cache other than 'none' and 'directsync'" },
        { disk->ioeventfd == VIR_TRISTATE_SWITCH_OFF, "<driver ioeventfd='off'>" },
        { disk->domain_name != NULL, "<backenddomain>" },
    };

    if (vireoValidateRefuse(refusals) < 0 ||
        vireoValidateDiskSource(disk) < 0 ||
        vireoIoTuneCheck(&disk->blkdeviotune) < 0 ||
        vireoValidateVirtio(disk->virtio) < 0 ||
        (vireoScsiIsDisk(disk) && vireoScsiValidateDisk(disk) < 0) ||
        (disk->src->type == VIR_STORAGE_TYPE_VHOST_USER && vireoValidateDiskVhost(disk, def) < 0))
        return -1;

    if (disk->serial && strlen(disk->serial) > 20 && !vireoScsiIsDisk(disk)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("the <serial> of disk '%s' is longer than virtio's 20 bytes"), disk->dst);
        return -1;
    }
    if (disk->iothread > 0 && !virDomainIOThreadIDFind(def, disk->iothread)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s' asks for iothread %u, which the domain does not have"),
                       disk->dst, disk->iothread);
        return -1;
    }

    return 0;
}

/* What the kernel's taps have. */
#define VIREO_NET_QUEUES_MAX 256

static int
vireoValidateNetDriver(const virDomainNetDef *net)
{
    const vireoValidateRefusal refusals[] = {
        { net->driver.virtio.txmode != VIR_DOMAIN_NET_VIRTIO_TX_MODE_DEFAULT, "<driver txmode>" },
        { net->driver.virtio.ioeventfd == VIR_TRISTATE_SWITCH_OFF, "<driver ioeventfd='off'>" },
        { net->driver.virtio.event_idx == VIR_TRISTATE_SWITCH_OFF, "<driver event_idx='off'>" },
        { net->driver.virtio.queues > VIREO_NET_QUEUES_MAX, "interface <driver queues> above 256" },
        /* vhost passes frames on by itself, and does neither. */
        { net->driver.virtio.rss == VIR_TRISTATE_SWITCH_ON &&
          net->driver.virtio.name != VIR_DOMAIN_NET_DRIVER_TYPE_QEMU,
          "<driver rss='on'> without <driver name='qemu'>" },
        { net->driver.virtio.rss_hash_report == VIR_TRISTATE_SWITCH_ON &&
          net->driver.virtio.name != VIR_DOMAIN_NET_DRIVER_TYPE_QEMU,
          "<driver rss_hash_report='on'> without <driver name='qemu'>" },
    };

    return vireoValidateRefuse(refusals);
}

/* These are always served by passt. Debian's libvirt does not let the XML say so, and then
 * forgets the <source dev>. */
static int
vireoValidateNetUser(const virDomainNetDef *net)
{
    const vireoValidateRefusal refusals[] = {
        { net->driver.virtio.queues > 1, "<driver queues> above 1 of an interface of type 'user'" },
        { net->driver.virtio.name == VIR_DOMAIN_NET_DRIVER_TYPE_VHOST,
          "<driver name='vhost'> of an interface of type 'user'" },
        { net->filter != NULL, "<filterref> of an interface of type 'user'" },
        { net->bandwidth != NULL, "<bandwidth> of an interface of type 'user'" },
        { net->ifname != NULL, "<target> of an interface of type 'user'" },
        { net->sourceDev && net->backend.type != VIR_DOMAIN_NET_BACKEND_PASST,
          "<source dev> of an interface of type 'user' without <backend type='passt'>" },
    };
    size_t i;
    size_t j;

    for (i = 0; i < net->nPortForwards; i++) {
        for (j = 0; j < net->portForwards[i]->nRanges; j++) {
            const virDomainNetPortForwardRange *range = net->portForwards[i]->ranges[j];

            if (range->start == 0 || (range->end && range->end < range->start)) {
                virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                               _("a <range> of <portForward> has no start, or ends before it"));
                return -1;
            }
        }
    }

    return vireoValidateRefuse(refusals);
}

static int
vireoValidateNet(const virDomainNetDef *net,
                 const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { net->script || net->downscript, "interface <script>" },
        { net->domain_name != NULL, "<backenddomain>" },
        { (net->tune.sndbuf_specified || net->backend.tap || net->backend.vhost) &&
          (net->type == VIR_DOMAIN_NET_TYPE_USER || net->type == VIR_DOMAIN_NET_TYPE_VHOSTUSER),
          "<sndbuf>, <backend tap> or <backend vhost> of an interface that is no tap" },
        { net->backend.tap && net->type == VIR_DOMAIN_NET_TYPE_DIRECT,
          "<backend tap> of a macvtap" },
        { net->teaming != NULL, "<teaming>" },
        { net->ifname_guest != NULL, "<guest dev>" },
        { net->trustGuestRxFilters == VIR_TRISTATE_BOOL_YES &&
          net->type != VIR_DOMAIN_NET_TYPE_DIRECT && net->type != VIR_DOMAIN_NET_TYPE_NETWORK,
          "trustGuestRxFilters='yes' of an interface that is no macvtap" },
        { net->hostIP.nips > 0 || net->hostIP.nroutes > 0, "interface <source><ip>" },
        { net->guestIP.nroutes > 0, "interface <route>" },
        { net->guestIP.nips > 0 && net->type != VIR_DOMAIN_NET_TYPE_USER,
          "<ip> of an interface that is not of type 'user'" },
        { net->managed_tap == VIR_TRISTATE_BOOL_NO && !net->ifname,
          "<target managed='no'> without a device name" },
    };

    if (net->model != VIR_DOMAIN_NET_MODEL_VIRTIO &&
        net->model != VIR_DOMAIN_NET_MODEL_VIRTIO_NON_TRANSITIONAL) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support the interface <model type='%s'/>, only 'virtio'"),
                       NULLSTR(virDomainNetGetModelString(net)));
        return -1;
    }

    switch (net->type) {
    case VIR_DOMAIN_NET_TYPE_NETWORK:
    case VIR_DOMAIN_NET_TYPE_BRIDGE:
    case VIR_DOMAIN_NET_TYPE_ETHERNET:
    case VIR_DOMAIN_NET_TYPE_DIRECT:
        break;
    case VIR_DOMAIN_NET_TYPE_USER:
        if (vireoValidateNetUser(net) < 0)
            return -1;
        break;
    case VIR_DOMAIN_NET_TYPE_VHOSTUSER:
        if (vireoVhostValidateNet(net, def) < 0)
            return -1;
        break;
    default:
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support <interface type='%s'>"),
                       virDomainNetTypeToString(net->type));
        return -1;
    }

    if (vireoValidateRefuse(refusals) < 0 ||
        vireoValidateNetDriver(net) < 0)
        return -1;

    return vireoValidateVirtio(net->virtio);
}

static int
vireoValidateChrSource(const virDomainChrSourceDef *source)
{
    switch ((virDomainChrType)source->type) {
    case VIR_DOMAIN_CHR_TYPE_NULL:
    case VIR_DOMAIN_CHR_TYPE_PTY:
    case VIR_DOMAIN_CHR_TYPE_FILE:
    case VIR_DOMAIN_CHR_TYPE_UNIX:
        return 0;
    case VIR_DOMAIN_CHR_TYPE_TCP:
        if (source->data.tcp.protocol != VIR_DOMAIN_CHR_TCP_PROTOCOL_RAW ||
            source->data.tcp.haveTLS == VIR_TRISTATE_BOOL_YES) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                           _("Vireo does not support TLS or telnet on character devices"));
            return -1;
        }
        return 0;
    default:
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support character devices of type '%s'"),
                       virDomainChrTypeToString(source->type));
        return -1;
    }
}

static int
vireoValidateVdagent(const virDomainChrDef *chr)
{
    if (chr->deviceType != VIR_DOMAIN_CHR_DEVICE_TYPE_CHANNEL) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support a <%s> of type 'qemu-vdagent', only a <channel>"),
                       virDomainChrDeviceTypeToString(chr->deviceType));
        return -1;
    }
    if (chr->source->data.qemuVdagent.clipboard != VIR_TRISTATE_BOOL_YES) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("a <channel type='qemu-vdagent'> needs <clipboard copypaste='yes'/> in its <source>: Vireo has no other use for it"));
        return -1;
    }
    if (chr->source->data.qemuVdagent.mouse == VIR_DOMAIN_MOUSE_MODE_CLIENT) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("Vireo does not support <mouse mode='client'/> of a <channel>; an <input type='tablet'> does that"));
        return -1;
    }

    return 0;
}

static int
vireoValidateChr(const virDomainChrDef *chr,
                 const virDomainDef *def)
{
    bool ok = false;

    switch ((virDomainChrDeviceType)chr->deviceType) {
    case VIR_DOMAIN_CHR_DEVICE_TYPE_SERIAL:
        ok = (chr->targetType == VIR_DOMAIN_CHR_SERIAL_TARGET_TYPE_ISA &&
              chr->targetModel == VIR_DOMAIN_CHR_SERIAL_TARGET_MODEL_ISA_SERIAL) ||
            (chr->targetType == VIR_DOMAIN_CHR_SERIAL_TARGET_TYPE_ISA_DEBUG &&
             chr->targetModel == VIR_DOMAIN_CHR_SERIAL_TARGET_MODEL_ISA_DEBUGCON);
        break;
    case VIR_DOMAIN_CHR_DEVICE_TYPE_CONSOLE:
        /* The first console of a domain with a serial port is that port again. */
        ok = chr->targetType == VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_VIRTIO ||
            (chr->targetType == VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_SERIAL &&
             (def->nconsoles == 0 || def->consoles[0] == chr));
        break;
    case VIR_DOMAIN_CHR_DEVICE_TYPE_CHANNEL:
        ok = chr->targetType == VIR_DOMAIN_CHR_CHANNEL_TARGET_TYPE_VIRTIO;
        break;
    default:
        break;
    }

    if (!ok) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support a <%s> with that <target>"),
                       virDomainChrDeviceTypeToString(chr->deviceType));
        return -1;
    }

    if (chr->source->type == VIR_DOMAIN_CHR_TYPE_QEMU_VDAGENT)
        return vireoValidateVdagent(chr);

    return vireoValidateChrSource(chr->source);
}

static int
vireoValidateUSBController(const virDomainControllerDef *controller)
{
    if (controller->model == VIR_DOMAIN_CONTROLLER_MODEL_USB_NONE)
        return 0;

    if (controller->model != VIR_DOMAIN_CONTROLLER_MODEL_USB_QEMU_XHCI) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support <controller type='usb' model='%s'>, only 'qemu-xhci' and 'none'"),
                       virDomainControllerModelUSBTypeToString(controller->model));
        return -1;
    }
    if (controller->opts.usbopts.ports > VIREO_USB_PORTS_MAX) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support <controller type='usb'> with more than %d ports"),
                       VIREO_USB_PORTS_MAX);
        return -1;
    }

    return 0;
}

static int
vireoValidateController(const virDomainControllerDef *controller,
                        const virDomainDef *def)
{
    bool scsi = controller->type == VIR_DOMAIN_CONTROLLER_TYPE_SCSI;
    const vireoValidateRefusal refusals[] = {
        { controller->queues > 0 && !scsi, "<driver queues> of a controller that is not SCSI" },
        { controller->iothread > 0 && !scsi,
          "<driver iothread> of a controller that is not SCSI" },
        { controller->ioeventfd == VIR_TRISTATE_SWITCH_OFF, "<driver ioeventfd='off'>" },
    };

    if (vireoValidateRefuse(refusals) < 0 ||
        vireoValidateVirtio(controller->virtio) < 0)
        return -1;

    if (scsi)
        return vireoScsiValidateController(controller, def);
    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_USB)
        return vireoValidateUSBController(controller);

    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_PCI) {
        const virDomainPCIControllerOpts *opts = &controller->opts.pciopts;

        if (controller->model == VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT &&
            controller->idx == 0 && !opts->pcihole64)
            return 0;
        if (controller->model == VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT_PORT &&
            opts->modelName == VIR_DOMAIN_CONTROLLER_PCI_MODEL_NAME_PCIE_ROOT_PORT)
            return 0;
        if (controller->model == VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT_PORT) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("Vireo does not support a root port with <model name='%s'/>, only 'pcie-root-port'"),
                           virDomainControllerPCIModelNameTypeToString(opts->modelName));
            return -1;
        }
        if (controller->model != VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("Vireo does not support <controller type='pci' model='%s'>, only 'pcie-root' and 'pcie-root-port'"),
                           NULLSTR(virDomainControllerModelPCITypeToString(controller->model)));
            return -1;
        }
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support <controller type='pci' model='%s'> as it is set"),
                       NULLSTR(virDomainControllerModelPCITypeToString(controller->model)));
        return -1;
    }

    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_VIRTIO_SERIAL &&
        controller->model != VIR_DOMAIN_CONTROLLER_MODEL_VIRTIO_SERIAL_VIRTIO_TRANSITIONAL &&
        controller->opts.vioserial.vectors == -1)
        return 0;

    virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                   _("Vireo does not support <controller type='%s'> as it is set"),
                   virDomainControllerTypeToString(controller->type));
    return -1;
}

static int
vireoValidateRNG(const virDomainRNGDef *rng)
{
    const vireoValidateRefusal refusals[] = {
        { rng->backend == VIR_DOMAIN_RNG_BACKEND_EGD, "<rng><backend model='egd'>" },
        { rng->model == VIR_DOMAIN_RNG_MODEL_VIRTIO_TRANSITIONAL,
          "<rng model='virtio-transitional'>" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;

    return vireoValidateVirtio(rng->virtio);
}

static int
vireoValidateMemballoon(const virDomainMemballoonDef *balloon)
{
    const vireoValidateRefusal refusals[] = {
        { balloon->model != VIR_DOMAIN_MEMBALLOON_MODEL_VIRTIO &&
          balloon->model != VIR_DOMAIN_MEMBALLOON_MODEL_VIRTIO_NON_TRANSITIONAL &&
          balloon->model != VIR_DOMAIN_MEMBALLOON_MODEL_NONE,
          "a <memballoon model> other than 'virtio' or 'none'" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;

    return vireoValidateVirtio(balloon->virtio);
}

static int
vireoValidateMemory(const virDomainMemoryDef *mem)
{
    const vireoValidateRefusal refusals[] = {
        { mem->model != VIR_DOMAIN_MEMORY_MODEL_VIRTIO_MEM,
          "a <memory model> other than 'virtio-mem'" },
    };

    return vireoValidateRefuse(refusals);
}

static int
vireoValidatePanic(const virDomainPanicDef *panic)
{
    const vireoValidateRefusal refusals[] = {
        { panic->model != VIR_DOMAIN_PANIC_MODEL_ISA, "a <panic model> other than 'isa'" },
    };

    return vireoValidateRefuse(refusals);
}

int
vireoValidateDeviceDef(const virDomainDeviceDef *dev,
                       const virDomainDef *def,
                       void *opaque G_GNUC_UNUSED,
                       void *parseOpaque G_GNUC_UNUSED)
{
    const virDomainDeviceInfo *info = virDomainDeviceGetInfo(dev);

    if (info && vireoValidateInfo(info) < 0)
        return -1;

    switch ((virDomainDeviceType)dev->type) {
    case VIR_DOMAIN_DEVICE_DISK:
        return vireoValidateDisk(dev->data.disk, def);
    case VIR_DOMAIN_DEVICE_NET:
        return vireoValidateNet(dev->data.net, def);
    case VIR_DOMAIN_DEVICE_CHR:
        return vireoValidateChr(dev->data.chr, def);
    case VIR_DOMAIN_DEVICE_CONTROLLER:
        return vireoValidateController(dev->data.controller, def);
    case VIR_DOMAIN_DEVICE_FS:
        if (vireoValidateVirtio(dev->data.fs->virtio) < 0)
            return -1;
        return vireoVirtiofsValidate(dev->data.fs, def);
    case VIR_DOMAIN_DEVICE_VSOCK:
        if (vireoValidateVirtio(dev->data.vsock->virtio) < 0)
            return -1;
        return vireoVsockValidate(dev->data.vsock);
    case VIR_DOMAIN_DEVICE_RNG:
        return vireoValidateRNG(dev->data.rng);
    case VIR_DOMAIN_DEVICE_MEMBALLOON:
        return vireoValidateMemballoon(dev->data.memballoon);
    case VIR_DOMAIN_DEVICE_MEMORY:
        return vireoValidateMemory(dev->data.memory);
    case VIR_DOMAIN_DEVICE_VIDEO:
        if (vireoValidateVirtio(dev->data.video->virtio) < 0)
            return -1;
        return vireoValidateVideo(dev->data.video, def);
    case VIR_DOMAIN_DEVICE_GRAPHICS:
        return vireoValidateGraphics(dev->data.graphics, def);
    case VIR_DOMAIN_DEVICE_INPUT:
        if (vireoValidateVirtio(dev->data.input->virtio) < 0)
            return -1;
        return vireoValidateInput(dev->data.input, def);
    case VIR_DOMAIN_DEVICE_WATCHDOG:
        return vireoWatchdogValidate(dev->data.watchdog);
    case VIR_DOMAIN_DEVICE_TPM:
        return vireoTpmValidate(dev->data.tpm);
    case VIR_DOMAIN_DEVICE_PANIC:
        return vireoValidatePanic(dev->data.panic);
    default:
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("Vireo does not support <%s>"),
                       virDomainDeviceTypeToString(dev->type));
        return -1;
    }
}
