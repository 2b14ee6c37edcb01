/*
 * vireo_address.c: where devices sit in the machine
 *
 * Devices that can be unplugged each have a PCIe root port. Those that cannot
 * (the virtio-serial and USB controllers and the balloon) sit on the root bus itself, as
 * do the root ports, which share slots, eight to one. Slot 0 is the host bridge, slot 31
 * the south bridge. Where a slot has several functions, function 0 says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_addr.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_address.h"
#include "vireo_scsi.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_SPARE_ROOT_PORTS 4
#define VIREO_SLOT_SOUTH_BRIDGE 31

static bool
vireoAddressIsRootPort(const virDomainControllerDef *controller)
{
    return controller->type == VIR_DOMAIN_CONTROLLER_TYPE_PCI &&
        controller->model == VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT_PORT;
}

static bool
vireoAddressIsUSB(const virDomainControllerDef *controller)
{
    return controller->type == VIR_DOMAIN_CONTROLLER_TYPE_USB &&
        controller->model != VIR_DOMAIN_CONTROLLER_MODEL_USB_NONE;
}

/* Where a device may be plugged; 0: it is not on PCI, or the bus itself. */
static virDomainPCIConnectFlags
vireoAddressConnectFlags(const virDomainDeviceDef *dev)
{
    const virDomainPCIConnectFlags plug = VIR_PCI_CONNECT_TYPE_PCIE_DEVICE |
        VIR_PCI_CONNECT_AUTOASSIGN | VIR_PCI_CONNECT_HOTPLUGGABLE;
    const virDomainPCIConnectFlags fixed = VIR_PCI_CONNECT_TYPE_PCIE_DEVICE |
        VIR_PCI_CONNECT_AUTOASSIGN | VIR_PCI_CONNECT_INTEGRATED;

    switch ((virDomainDeviceType)dev->type) {
    case VIR_DOMAIN_DEVICE_DISK:
        return dev->data.disk->bus == VIR_DOMAIN_DISK_BUS_VIRTIO ? plug : 0;
    case VIR_DOMAIN_DEVICE_NET:
    case VIR_DOMAIN_DEVICE_RNG:
    case VIR_DOMAIN_DEVICE_FS:
    case VIR_DOMAIN_DEVICE_VSOCK:
        return plug;
    case VIR_DOMAIN_DEVICE_MEMORY:
        return dev->data.memory->model == VIR_DOMAIN_MEMORY_MODEL_VIRTIO_MEM ? plug : 0;
    case VIR_DOMAIN_DEVICE_INPUT:
        return dev->data.input->bus == VIR_DOMAIN_INPUT_BUS_VIRTIO ? plug : 0;
    case VIR_DOMAIN_DEVICE_VIDEO:
        return dev->data.video->type == VIR_DOMAIN_VIDEO_TYPE_NONE ? 0 : fixed;
    case VIR_DOMAIN_DEVICE_WATCHDOG:
        return fixed;
    case VIR_DOMAIN_DEVICE_MEMBALLOON:
        return dev->data.memballoon->model == VIR_DOMAIN_MEMBALLOON_MODEL_NONE ? 0 : fixed;
    case VIR_DOMAIN_DEVICE_CONTROLLER:
        if (vireoAddressIsRootPort(dev->data.controller))
            return VIR_PCI_CONNECT_TYPE_PCIE_ROOT_PORT | VIR_PCI_CONNECT_AGGREGATE_SLOT;
        if (dev->data.controller->type == VIR_DOMAIN_CONTROLLER_TYPE_VIRTIO_SERIAL ||
            dev->data.controller->type == VIR_DOMAIN_CONTROLLER_TYPE_SCSI ||
            vireoAddressIsUSB(dev->data.controller))
            return fixed;
        return 0;
    default:
        return 0;
    }
}

void
vireoAddressDefaultController(virDomainControllerDef *controller)
{
    if (vireoAddressIsRootPort(controller)) {
        virDomainPCIControllerOpts *opts = &controller->opts.pciopts;

        if (opts->modelName == VIR_DOMAIN_CONTROLLER_PCI_MODEL_NAME_NONE)
            opts->modelName = VIR_DOMAIN_CONTROLLER_PCI_MODEL_NAME_PCIE_ROOT_PORT;
        if (opts->chassis == -1 && controller->idx >= 0)
            opts->chassis = controller->idx;
    }
    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_USB &&
        controller->model == VIR_DOMAIN_CONTROLLER_MODEL_USB_DEFAULT)
        controller->model = VIR_DOMAIN_CONTROLLER_MODEL_USB_QEMU_XHCI;
}

typedef struct {
    virBitmap *buses;      /* buses with a device on them */
    size_t waiting;        /* pluggable devices without an address */
} vireoAddressNeed;

static int
vireoAddressCount(virDomainDef *def G_GNUC_UNUSED,
                  virDomainDeviceDef *dev,
                  virDomainDeviceInfo *info,
                  void *opaque)
{
    vireoAddressNeed *need = opaque;

    if (info->type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_PCI && !virDeviceInfoPCIAddressIsWanted(info))
        virBitmapSetBitExpand(need->buses, info->addr.pci.bus);
    else if (vireoAddressConnectFlags(dev) & VIR_PCI_CONNECT_HOTPLUGGABLE)
        need->waiting++;

    return 0;
}

static void
vireoAddressAddController(virDomainDef *def,
                          int idx,
                          virDomainControllerModelPCI model)
{
    virDomainControllerDef *controller = virDomainControllerDefNew(VIR_DOMAIN_CONTROLLER_TYPE_PCI);

    controller->idx = idx;
    controller->model = model;
    vireoAddressDefaultController(controller);
    /* where the parser would put it */
    virDomainControllerInsert(def, controller);
}

/* A device may have an address on a bus that no controller makes yet. */
static void
vireoAddressAddNamedPorts(virDomainDef *def,
                          virBitmap *buses)
{
    ssize_t last = virBitmapLastSetBit(buses);
    ssize_t bus;

    for (bus = 1; bus <= last; bus++) {
        if (virDomainControllerFind(def, VIR_DOMAIN_CONTROLLER_TYPE_PCI, bus) < 0)
            vireoAddressAddController(def, bus, VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT_PORT);
    }
}

/* USB devices get a controller where none is said. */
static void
vireoAddressAddUSBController(virDomainDef *def)
{
    virDomainControllerDef *controller;
    size_t i;

    for (i = 0; i < def->ninputs; i++) {
        if (def->inputs[i]->bus == VIR_DOMAIN_INPUT_BUS_USB)
            break;
    }
    if (i == def->ninputs ||
        virDomainControllerFindByType(def, VIR_DOMAIN_CONTROLLER_TYPE_USB) >= 0)
        return;

    controller = virDomainControllerDefNew(VIR_DOMAIN_CONTROLLER_TYPE_USB);
    controller->idx = 0;
    vireoAddressDefaultController(controller);
    virDomainControllerInsert(def, controller);
}

int
vireoAddressAddControllers(virDomainDef *def)
{
    g_autoptr(virBitmap) buses = virBitmapNew(0);
    vireoAddressNeed need = { .buses = buses };
    size_t ports = 0;
    size_t wanted;
    size_t i;

    if (virDomainControllerFind(def, VIR_DOMAIN_CONTROLLER_TYPE_PCI, 0) < 0)
        vireoAddressAddController(def, 0, VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT);

    vireoAddressAddUSBController(def);

    if (virDomainDeviceInfoIterate(def, vireoAddressCount, &need) < 0)
        return -1;

    for (i = 0; i < def->ncontrollers; i++) {
        if (!vireoAddressIsRootPort(def->controllers[i]))
            continue;
        ports++;
    }

    wanted = need.waiting + (ports == 0 ? VIREO_SPARE_ROOT_PORTS : 0);
    vireoAddressAddNamedPorts(def, buses);

    for (i = 0; i < def->ncontrollers && wanted > 0; i++) {
        virDomainControllerDef *controller = def->controllers[i];

        if (vireoAddressIsRootPort(controller) && controller->idx >= 0 &&
            !virBitmapIsBitSet(buses, controller->idx))
            wanted--;
    }

    while (wanted-- > 0) {
        int idx = virDomainControllerFindUnusedIndex(def, VIR_DOMAIN_CONTROLLER_TYPE_PCI);

        vireoAddressAddController(def, idx, VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT_PORT);
    }

    return 0;
}

static int
vireoAddressReserveOne(virDomainDef *def G_GNUC_UNUSED,
                       virDomainDeviceDef *dev,
                       virDomainDeviceInfo *info,
                       void *opaque)
{
    virDomainPCIAddressSet *set = opaque;
    virDomainPCIConnectFlags flags = vireoAddressConnectFlags(dev);

    if (info->type != VIR_DOMAIN_DEVICE_ADDRESS_TYPE_PCI ||
        virDeviceInfoPCIAddressIsWanted(info))
        return 0;

    if (flags == 0) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("<%s> is not a PCI device and cannot have a PCI address"),
                       virDomainDeviceTypeToString(dev->type));
        return -1;
    }

    /* Who asks for it may have a root port for a device that needs none. */
    if (info->addr.pci.bus != 0)
        flags &= ~VIR_PCI_CONNECT_INTEGRATED;

    return virDomainPCIAddressReserveAddr(set, &info->addr.pci, flags, info->isolationGroup);
}

static virDomainPCIAddressSet *
vireoAddressSetNew(virDomainDef *def)
{
    g_autoptr(virBitmap) seen = virBitmapNew(0);
    virDomainPCIAddressSet *set = NULL;
    virPCIDeviceAddress southBridge = { .slot = VIREO_SLOT_SOUTH_BRIDGE };
    size_t nbuses = 0;
    size_t i;

    for (i = 0; i < def->ncontrollers; i++) {
        virDomainControllerDef *controller = def->controllers[i];

        if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_PCI)
            nbuses = MAX(nbuses, (size_t)controller->idx + 1);
    }

    if (!(set = virDomainPCIAddressSetAlloc(nbuses, VIR_PCI_ADDRESS_EXTENSION_NONE)))
        return NULL;

    for (i = 0; i < def->ncontrollers; i++) {
        virDomainControllerDef *controller = def->controllers[i];

        if (controller->type != VIR_DOMAIN_CONTROLLER_TYPE_PCI)
            continue;
        virBitmapSetBitExpand(seen, controller->idx);
        if (virDomainPCIAddressBusSetModel(&set->buses[controller->idx], controller->model,
                                           controller->opts.pciopts.hotplug !=
                                           VIR_TRISTATE_SWITCH_OFF) < 0)
            goto error;
    }
    for (i = 0; i < nbuses; i++) {
        if (!virBitmapIsBitSet(seen, i)) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("there is no <controller type='pci'> with index %zu"), i);
            goto error;
        }
    }

    if (virDomainPCIAddressReserveAddr(set, &southBridge, VIR_PCI_CONNECT_TYPE_PCIE_DEVICE, 0) < 0 ||
        virDomainDeviceInfoIterate(def, vireoAddressReserveOne, set) < 0)
        goto error;

    return set;

 error:
    virDomainPCIAddressSetFree(set);
    return NULL;
}

static int
vireoAddressAssignOne(virDomainDef *def G_GNUC_UNUSED,
                      virDomainDeviceDef *dev,
                      virDomainDeviceInfo *info,
                      void *opaque)
{
    virDomainPCIAddressSet *set = opaque;
    virDomainPCIConnectFlags flags = vireoAddressConnectFlags(dev);

    if (flags == 0 || !virDeviceInfoPCIAddressIsWanted(info))
        return 0;

    return virDomainPCIAddressReserveNextAddr(set, info, flags, -1);
}

/* The port number the guest sees is the slot's, as QEMU has it. */
static void
vireoAddressNumberPorts(virDomainDef *def)
{
    size_t i;

    for (i = 0; i < def->ncontrollers; i++) {
        virDomainControllerDef *controller = def->controllers[i];

        if (vireoAddressIsRootPort(controller) && controller->opts.pciopts.port == -1)
            controller->opts.pciopts.port = (controller->info.addr.pci.slot << 3) +
                controller->info.addr.pci.function;
    }
}

static int
vireoAddressAssignPCI(virDomainDef *def)
{
    virDomainPCIAddressSet *set = vireoAddressSetNew(def);
    size_t i;
    int ret = -1;

    if (!set)
        return -1;

    /* Root ports first: theirs are the slots that must not move. */
    for (i = 0; i < def->ncontrollers; i++) {
        virDomainDeviceDef dev = {
            .type = VIR_DOMAIN_DEVICE_CONTROLLER,
            .data.controller = def->controllers[i],
        };

        if (vireoAddressIsRootPort(def->controllers[i]) &&
            vireoAddressAssignOne(def, &dev, &def->controllers[i]->info, set) < 0)
            goto cleanup;
    }
    vireoAddressNumberPorts(def);

    if ((ret = virDomainDeviceInfoIterate(def, vireoAddressAssignOne, set)) == 0)
        virDomainPCIAddressSetAllMulti(def);

 cleanup:
    virDomainPCIAddressSetFree(set);
    return ret;
}

static int
vireoAddressAssignVirtioSerial(virDomainDef *def)
{
    virDomainVirtioSerialAddrSet *set = virDomainVirtioSerialAddrSetCreateFromDomain(def);
    bool haveZero = false;
    size_t i;
    int ret = -1;

    if (!set)
        return -1;

    /* Port 0 is for one console; libvirt's set does not keep account of it. */
    for (i = 0; i < def->nconsoles; i++) {
        virDomainChrDef *chr = def->consoles[i];

        if (chr->targetType != VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_VIRTIO ||
            virDomainVirtioSerialAddrIsComplete(&chr->info))
            continue;
        if ((haveZero || chr->info.type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_NONE) &&
            virDomainVirtioSerialAddrAutoAssignFromCache(def, set, &chr->info, !haveZero) < 0)
            goto cleanup;
        haveZero |= chr->info.addr.vioserial.port == 0;
    }
    for (i = 0; i < def->nchannels; i++) {
        virDomainChrDef *chr = def->channels[i];

        if (chr->targetType == VIR_DOMAIN_CHR_CHANNEL_TARGET_TYPE_VIRTIO &&
            !virDomainVirtioSerialAddrIsComplete(&chr->info) &&
            virDomainVirtioSerialAddrAutoAssignFromCache(def, set, &chr->info, false) < 0)
            goto cleanup;
    }

    ret = 0;

 cleanup:
    virDomainVirtioSerialAddrSetFree(set);
    return ret;
}

/* Only for what can be on USB here, so that the rest is refused by its name. */
static int
vireoAddressAssignUSB(virDomainDef *def)
{
    virDomainUSBAddressSet *set = virDomainUSBAddressSetCreate();
    size_t i;
    int ret = -1;

    if (virDomainUSBAddressSetAddControllers(set, def) < 0)
        goto cleanup;
    for (i = 0; i < def->ninputs; i++) {
        if (def->inputs[i]->bus == VIR_DOMAIN_INPUT_BUS_USB &&
            virDomainUSBAddressPresent(&def->inputs[i]->info, NULL) == 0 &&
            virDomainUSBAddressReserve(&def->inputs[i]->info, set) < 0)
            goto cleanup;
    }
    for (i = 0; i < def->ninputs; i++) {
        if (def->inputs[i]->bus == VIR_DOMAIN_INPUT_BUS_USB &&
            virDomainUSBAddressPresent(&def->inputs[i]->info, NULL) < 0 &&
            virDomainUSBAddressAssign(set, &def->inputs[i]->info) < 0)
            goto cleanup;
    }

    ret = 0;

 cleanup:
    virDomainUSBAddressSetFree(set);
    return ret;
}

int
vireoAddressAssign(virDomainDef *def)
{
    /* Ports may add a virtio-serial controller, which then needs a slot. */
    if (vireoAddressAssignVirtioSerial(def) < 0 ||
        vireoScsiAddressAssign(def) < 0 ||
        vireoAddressAssignUSB(def) < 0)
        return -1;

    return vireoAddressAssignPCI(def);
}

/* A disk's SCSI address came from its target; whether it is free the monitor knows. */
static int
vireoAddressCheckDrive(const virDomainDef *def,
                       const virDomainDiskDef *disk)
{
    if (virDomainControllerFind(def, VIR_DOMAIN_CONTROLLER_TYPE_SCSI,
                                disk->info.addr.drive.controller) < 0) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("the running domain has no SCSI controller %u to attach disk '%s' to"),
                       disk->info.addr.drive.controller, disk->dst);
        return -1;
    }
    return 0;
}

/* Functions of one slot come and go together, which attaching and detaching one by one cannot do. */
static int
vireoAddressCheckFunction(const virDomainDeviceInfo *info)
{
    if (virDeviceInfoPCIAddressIsPresent(info) && info->addr.pci.function != 0) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("only function 0 of a PCI slot can be attached to a running domain, not function %u"),
                       info->addr.pci.function);
        return -1;
    }
    return 0;
}

static int
vireoAddressFindSibling(virDomainDef *def G_GNUC_UNUSED,
                        virDomainDeviceDef *dev G_GNUC_UNUSED,
                        virDomainDeviceInfo *info,
                        void *opaque)
{
    const virDomainDeviceInfo *one = opaque;

    return info != one && info->type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_PCI &&
        info->addr.pci.bus == one->addr.pci.bus && info->addr.pci.slot == one->addr.pci.slot ? -1 : 0;
}

int
vireoAddressCheckDetach(virDomainDef *def,
                        virDomainDeviceInfo *info)
{
    if (info->type != VIR_DOMAIN_DEVICE_ADDRESS_TYPE_PCI ||
        virDomainDeviceInfoIterate(def, vireoAddressFindSibling, info) == 0)
        return 0;

    virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                   _("device '%s' shares its PCI slot with others and cannot be detached from a running domain"),
                   info->alias);
    return -1;
}

int
vireoAddressAssignDevice(virDomainDef *def,
                         virDomainDeviceDef *dev)
{
    virDomainDeviceInfo *info = virDomainDeviceGetInfo(dev);
    virDomainPCIAddressSet *set;
    virDomainPCIConnectFlags flags = vireoAddressConnectFlags(dev);
    int ret = -1;

    if (dev->type == VIR_DOMAIN_DEVICE_CHR) {
        if (virDomainControllerFindByType(def, VIR_DOMAIN_CONTROLLER_TYPE_VIRTIO_SERIAL) < 0) {
            virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                           _("the running domain has no virtio-serial controller to attach a port to"));
            return -1;
        }
        if (virDomainVirtioSerialAddrIsComplete(info))
            return 0;
        return virDomainVirtioSerialAddrAutoAssign(def, info, false);
    }

    if (dev->type == VIR_DOMAIN_DEVICE_DISK && vireoScsiIsDisk(dev->data.disk))
        return vireoAddressCheckDrive(def, dev->data.disk);

    if (vireoAddressCheckFunction(info) < 0 || !(set = vireoAddressSetNew(def)))
        return -1;

    if (!virDeviceInfoPCIAddressIsWanted(info)) {
        ret = vireoAddressReserveOne(def, dev, info, set);
    } else if ((ret = virDomainPCIAddressReserveNextAddr(set, info, flags, -1)) < 0) {
        virReportError(VIR_ERR_OPERATION_FAILED, "%s",
                       _("the running domain has no free PCIe root port; add <controller type='pci' model='pcie-root-port'/> to its definition"));
    }

    virDomainPCIAddressSetFree(set);
    return ret;
}
