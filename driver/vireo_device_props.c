/*
 * vireo_device_props.c: libvirt's devices as the monitor's JSON
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virnetdevip.h"
#include "viruuid.h"

#include "vireo_alias.h"
#include "vireo_device_props.h"
#include "vireo_firmware.h"
#include "vireo_memory.h"
#include "vireo_scsi.h"
#include "vireo_storage.h"
#include "vireo_vhost.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_RANDOM_FILE "/dev/urandom"

virJSONValue *
vireoDevicePropsPCI(const virDomainDef *def,
                    const char *type,
                    const virDomainDeviceInfo *info)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *addr = NULL;
    const char *bus;

    if (info->type != VIR_DOMAIN_DEVICE_ADDRESS_TYPE_PCI) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("device '%s' has no PCI address"), info->alias);
        return NULL;
    }
    if (!(bus = virDomainControllerAliasFind(def, VIR_DOMAIN_CONTROLLER_TYPE_PCI,
                                             info->addr.pci.bus)))
        return NULL;

    if (info->addr.pci.function != 0)
        addr = g_strdup_printf("0x%x.0x%x", info->addr.pci.slot, info->addr.pci.function);
    else
        addr = g_strdup_printf("0x%x", info->addr.pci.slot);

    if (virJSONValueObjectAdd(&props,
                              "s:driver", type,
                              "s:id", info->alias,
                              "s:bus", bus,
                              "s:addr", addr,
                              "T:multifunction", info->addr.pci.multi,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsVirtio(const virDomainDef *def,
                       const char *type,
                       const virDomainDeviceInfo *info,
                       const virDomainVirtioOptions *virtio)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsPCI(def, type, info);

    if (!props ||
        (virtio && virJSONValueObjectAdd(&props, "T:packed", virtio->packed, NULL) < 0))
        return NULL;

    return g_steal_pointer(&props);
}

const char *
vireoDevicePropsWriteCache(const virDomainDiskDef *disk)
{
    if (disk->cachemode == VIR_DOMAIN_DISK_CACHE_DEFAULT)
        return NULL;

    return disk->cachemode == VIR_DOMAIN_DISK_CACHE_WRITETHRU ||
        disk->cachemode == VIR_DOMAIN_DISK_CACHE_DIRECTSYNC ? "off" : "on";
}

int
vireoDevicePropsCache(const virDomainDiskDef *disk,
                      virJSONValue **cache)
{
    *cache = NULL;
    if (disk->cachemode == VIR_DOMAIN_DISK_CACHE_DEFAULT)
        return 0;

    return virJSONValueObjectAdd(cache,
                                 "b:direct", disk->cachemode == VIR_DOMAIN_DISK_CACHE_DISABLE ||
                                 disk->cachemode == VIR_DOMAIN_DISK_CACHE_DIRECTSYNC,
                                 "b:no-flush", disk->cachemode == VIR_DOMAIN_DISK_CACHE_UNSAFE,
                                 NULL);
}

static const char *
vireoDevicePropsErrorPolicy(virDomainDiskErrorPolicy policy)
{
    if (policy == VIR_DOMAIN_DISK_ERROR_POLICY_DEFAULT)
        return NULL;
    if (policy == VIR_DOMAIN_DISK_ERROR_POLICY_ENOSPACE)
        return "enospc";
    return virDomainDiskErrorPolicyTypeToString(policy);
}

/* The storage daemon does not say why a write failed: it may be a host that is full, and the guest
 * can go on later. */
const char *
vireoDevicePropsWriteErrors(const virDomainDiskDef *disk)
{
    if (disk->error_policy == VIR_DOMAIN_DISK_ERROR_POLICY_DEFAULT && vireoStorageServes(disk))
        return "stop";
    return vireoDevicePropsErrorPolicy(disk->error_policy);
}

const char *
vireoDevicePropsReadErrors(const virDomainDiskDef *disk)
{
    /* Reads fail as writes do, but cannot run out of space. */
    if (disk->rerror_policy == VIR_DOMAIN_DISK_ERROR_POLICY_DEFAULT &&
        disk->error_policy != VIR_DOMAIN_DISK_ERROR_POLICY_ENOSPACE)
        return vireoDevicePropsErrorPolicy(disk->error_policy);
    return vireoDevicePropsErrorPolicy(disk->rerror_policy);
}

/* Linux AIO is asked for by users of QEMU for what io_uring does here; no guest can tell. */
static const char *
vireoDevicePropsAio(const virDomainDiskDef *disk)
{
    if (disk->iomode == VIR_DOMAIN_DISK_IO_DEFAULT)
        return NULL;
    return disk->iomode == VIR_DOMAIN_DISK_IO_NATIVE ? "io_uring" :
        virDomainDiskIoTypeToString(disk->iomode);
}

virJSONValue *
vireoDevicePropsDisk(const virDomainDef *def,
                     virDomainDiskDef *disk)
{
    if (vireoVhostIsDisk(disk))
        return vireoVhostDiskProps(def, disk);
    if (vireoScsiIsDisk(disk))
        return vireoScsiDiskProps(def, disk);

    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "virtio-blk-pci",
                                                           &disk->info, disk->virtio);
    g_autofree char *node = vireoAliasBlockNode(disk);
    g_autofree char *iothread = disk->iothread ? vireoAliasIOThread(disk->iothread) : NULL;

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "s:drive", node,
                              "S:serial", disk->serial,
                              "S:iothread", iothread,
                              "p:num-queues", disk->queues,
                              "p:queue-size", disk->queue_size,
                              "T:event_idx", disk->event_idx,
                              "p:bootindex", vireoFirmwareBootIndex(def, &disk->info),
                              "p:logical_block_size", disk->blockio.logical_block_size,
                              "p:physical_block_size", disk->blockio.physical_block_size,
                              "S:write-cache", vireoDevicePropsWriteCache(disk),
                              "S:werror", vireoDevicePropsWriteErrors(disk),
                              "S:rerror", vireoDevicePropsReadErrors(disk),
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

const char *
vireoDevicePropsDetectZeroes(const virDomainDiskDef *disk)
{
    int mode = virDomainDiskGetDetectZeroesMode(disk->discard, disk->detect_zeroes);

    return mode == VIR_DOMAIN_DISK_DETECT_ZEROES_DEFAULT ? NULL :
        virDomainDiskDetectZeroesTypeToString(mode);
}

virJSONValue *
vireoDevicePropsBlockNode(virDomainDiskDef *disk)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autoptr(virJSONValue) cache = NULL;
    g_autofree char *node = vireoAliasOwnNode(disk);
    const char *driver = virDomainDiskGetType(disk) == VIR_STORAGE_TYPE_BLOCK ? "host_device" : "file";

    if (vireoDevicePropsCache(disk, &cache) < 0 ||
        virJSONValueObjectAdd(&props,
                              "s:driver", driver,
                              "s:node-name", node,
                              "s:filename", virDomainDiskGetSource(disk),
                              "b:read-only", disk->src->readonly,
                              "S:locking", disk->src->shared ? "off" : NULL,
                              "S:aio", vireoDevicePropsAio(disk),
                              "S:discard", disk->discard == VIR_DOMAIN_DISK_DISCARD_DEFAULT ? NULL :
                              virDomainDiskDiscardTypeToString(disk->discard),
                              "S:detect-zeroes", vireoDevicePropsDetectZeroes(disk),
                              "A:cache", &cache,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

/* What a network card offers, where the user says; else the monitor has its defaults. */
static int
vireoDevicePropsNetDriver(const virDomainNetDef *net,
                          virJSONValue **props)
{
    return virJSONValueObjectAdd(props,
                                 "B:mq", net->driver.virtio.queues > 1,
                                 "T:rss", net->driver.virtio.rss,
                                 "T:hash", net->driver.virtio.rss_hash_report,
                                 "T:csum", net->driver.virtio.host.csum,
                                 "T:gso", net->driver.virtio.host.gso,
                                 "T:host_tso4", net->driver.virtio.host.tso4,
                                 "T:host_tso6", net->driver.virtio.host.tso6,
                                 "T:host_ecn", net->driver.virtio.host.ecn,
                                 "T:host_ufo", net->driver.virtio.host.ufo,
                                 "T:mrg_rxbuf", net->driver.virtio.host.mrg_rxbuf,
                                 "T:guest_csum", net->driver.virtio.guest.csum,
                                 "T:guest_tso4", net->driver.virtio.guest.tso4,
                                 "T:guest_tso6", net->driver.virtio.guest.tso6,
                                 "T:guest_ecn", net->driver.virtio.guest.ecn,
                                 "T:guest_ufo", net->driver.virtio.guest.ufo,
                                 NULL);
}

virJSONValue *
vireoDevicePropsNet(const virDomainDef *def,
                    virDomainNetDef *net)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "virtio-net-pci",
                                                           &net->info, net->virtio);
    g_autofree char *netdev = vireoAliasNetdev(net);
    char mac[VIR_MAC_STRING_BUFLEN];

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "s:netdev", netdev,
                              "s:mac", virMacAddrFormat(&net->mac, mac),
                              "p:host_mtu", net->mtu,
                              "p:bootindex", vireoFirmwareBootIndex(def, &net->info),
                              "p:rx_queue_size", net->driver.virtio.rx_queue_size,
                              "p:tx_queue_size", net->driver.virtio.tx_queue_size,
                              NULL) < 0 ||
        vireoDevicePropsNetDriver(net, &props) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsNetdev(virDomainNetDef *net,
                       const char *fd,
                       const char *vhostfd,
                       const char *socket)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *id = vireoAliasNetdev(net);

    if (net->type == VIR_DOMAIN_NET_TYPE_VHOSTUSER)
        return vireoVhostNetdevProps(net);

    if (virDomainNetGetActualType(net) == VIR_DOMAIN_NET_TYPE_USER) {
        g_autoptr(virJSONValue) addr = NULL;

        if (virJSONValueObjectAdd(&addr,
                                  "s:type", fd ? "fd" : "unix",
                                  "S:str", fd,
                                  "S:path", fd ? NULL : socket,
                                  NULL) < 0 ||
            virJSONValueObjectAdd(&props,
                                  "s:type", "stream",
                                  "s:id", id,
                                  "b:server", false,
                                  "a:addr", &addr,
                                  NULL) < 0)
            return NULL;
        return g_steal_pointer(&props);
    }

    if (virJSONValueObjectAdd(&props,
                              "s:type", "tap",
                              "s:id", id,
                              fd && strchr(fd, ':') ? "S:fds" : "S:fd", fd,
                              "S:ifname", fd ? NULL : net->ifname,
                              "B:vhost", vhostfd != NULL,
                              vhostfd && strchr(vhostfd, ':') ? "S:vhostfds" : "S:vhostfd", vhostfd,
                              "p:queues", fd || net->driver.virtio.queues < 2 ? 0 :
                              net->driver.virtio.queues,
                              NULL) < 0 ||
        (net->tune.sndbuf_specified &&
         virJSONValueObjectAdd(&props, "U:sndbuf", net->tune.sndbuf, NULL) < 0))
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsRNG(const virDomainDef *def,
                    virDomainRNGDef *rng)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "virtio-rng-pci",
                                                           &rng->info, rng->virtio);
    g_autofree char *object = vireoAliasRNGObject(rng);

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "s:rng", object,
                              "p:max-bytes", rng->rate,
                              NULL) < 0)
        return NULL;

    /* A rate without a period is by the second. */
    if (rng->rate > 0 &&
        virJSONValueObjectAdd(&props, "u:period", rng->period ? rng->period : 1000, NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsRNGObject(virDomainRNGDef *rng)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *id = vireoAliasRNGObject(rng);
    bool builtin = rng->backend == VIR_DOMAIN_RNG_BACKEND_BUILTIN;
    const char *file = rng->source.file ? rng->source.file : VIREO_RANDOM_FILE;

    if (virJSONValueObjectAdd(&props,
                              "s:qom-type", builtin ? "rng-builtin" : "rng-random",
                              "s:id", id,
                              "S:filename", builtin ? NULL : file,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsMemballoon(const virDomainDef *def,
                           virDomainMemballoonDef *balloon)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "virtio-balloon-pci",
                                                           &balloon->info, balloon->virtio);

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "T:deflate-on-oom", balloon->autodeflate,
                              "T:free-page-reporting", balloon->free_page_reporting,
                              "p:guest-stats-polling-interval", balloon->period,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsMemory(const virDomainDef *def,
                       virDomainMemoryDef *mem)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "virtio-mem-pci", &mem->info, NULL);
    g_autofree char *memdev = vireoMemoryBackendAlias(mem);
    bool prealloc = def->mem.allocation == VIR_DOMAIN_MEMORY_ALLOCATION_IMMEDIATE ||
        vireoMemoryHasHugePages(def, mem);

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "s:memdev", memdev,
                              "k:node", mem->targetNode,
                              "U:block-size", mem->blocksize * 1024,
                              "U:requested-size", mem->requestedsize * 1024,
                              "B:prealloc", prealloc,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsGeneration(const virDomainDef *def)
{
    g_autoptr(virJSONValue) props = NULL;
    char guid[VIR_UUID_STRING_BUFLEN];

    virUUIDFormat(def->genid, guid);
    if (virJSONValueObjectAdd(&props,
                              "s:driver", "vmgenid",
                              "s:id", "vmgenid0",
                              "s:guid", guid,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsPanic(virDomainPanicDef *panic)
{
    g_autoptr(virJSONValue) props = NULL;

    if (virJSONValueObjectAdd(&props,
                              "s:driver", "pvpanic",
                              "s:id", panic->info.alias,
                              "p:ioport", panic->info.type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_ISA ?
                              panic->info.addr.isa.iobase : 0,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsVideo(const virDomainDef *def,
                      virDomainVideoDef *video)
{
    bool virtio = video->type == VIR_DOMAIN_VIDEO_TYPE_VIRTIO;
    g_autofree char *rom = virtio ? NULL : vireoFirmwareScreenROM(def);
    g_autoptr(virJSONValue) props = virtio ?
        vireoDevicePropsVirtio(def, "virtio-gpu-pci", &video->info, video->virtio) :
        vireoDevicePropsPCI(def, "bochs-display", &video->info);

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "P:vgamem", (unsigned long long)video->vram * 1024,
                              "p:xres", video->res ? video->res->x : 0,
                              "p:yres", video->res ? video->res->y : 0,
                              "S:romfile", rom,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

static virJSONValue *
vireoDevicePropsUSBInput(const virDomainDef *def,
                         virDomainInputDef *input)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *bus = NULL;
    const char *type = input->type == VIR_DOMAIN_INPUT_TYPE_KBD ? "usb-kbd" :
        input->type == VIR_DOMAIN_INPUT_TYPE_MOUSE ? "usb-mouse" : "usb-tablet";
    const char *controller = virDomainControllerAliasFind(def, VIR_DOMAIN_CONTROLLER_TYPE_USB,
                                                          input->info.addr.usb.bus);

    if (!controller)
        return NULL;

    /* Without hubs a port is one number. */
    bus = g_strdup_printf("%s.0", controller);
    if (virJSONValueObjectAdd(&props,
                              "s:driver", type,
                              "s:id", input->info.alias,
                              "s:bus", bus,
                              "u:port", input->info.addr.usb.port[0],
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsInput(const virDomainDef *def,
                      virDomainInputDef *input)
{
    const char *type = input->type == VIR_DOMAIN_INPUT_TYPE_KBD ? "virtio-keyboard-pci" :
        input->type == VIR_DOMAIN_INPUT_TYPE_MOUSE ? "virtio-mouse-pci" : "virtio-tablet-pci";

    if (input->bus == VIR_DOMAIN_INPUT_BUS_USB)
        return vireoDevicePropsUSBInput(def, input);

    return vireoDevicePropsVirtio(def, type, &input->info, input->virtio);
}

static virJSONValue *
vireoDevicePropsSocket(const virDomainChrSourceDef *source)
{
    g_autoptr(virJSONValue) data = NULL;
    g_autoptr(virJSONValue) addr = NULL;
    g_autoptr(virJSONValue) where = NULL;
    bool tcp = source->type == VIR_DOMAIN_CHR_TYPE_TCP;
    bool listen = tcp ? source->data.tcp.listen : source->data.nix.listen;
    const virDomainChrSourceReconnectDef *reconnect = tcp ? &source->data.tcp.reconnect :
        &source->data.nix.reconnect;

    if (virJSONValueObjectAdd(&where,
                              "S:path", tcp ? NULL : source->data.nix.path,
                              "S:host", tcp ? source->data.tcp.host : NULL,
                              "S:port", tcp ? source->data.tcp.service : NULL,
                              NULL) < 0 ||
        virJSONValueObjectAdd(&addr,
                              "s:type", tcp ? "inet" : "unix",
                              "a:data", &where,
                              NULL) < 0 ||
        virJSONValueObjectAdd(&data,
                              "a:addr", &addr,
                              "b:server", listen,
                              NULL) < 0)
        return NULL;
    if (listen && virJSONValueObjectAdd(&data, "b:wait", false, NULL) < 0)
        return NULL;
    if (!listen && reconnect->enabled == VIR_TRISTATE_BOOL_YES &&
        virJSONValueObjectAdd(&data, "u:reconnect", reconnect->timeout, NULL) < 0)
        return NULL;

    return g_steal_pointer(&data);
}

virJSONValue *
vireoDevicePropsChardev(const char *id,
                        const virDomainChrSourceDef *source)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autoptr(virJSONValue) backend = NULL;
    g_autoptr(virJSONValue) data = virJSONValueNewObject();
    const char *type = "null";

    switch ((virDomainChrType)source->type) {
    case VIR_DOMAIN_CHR_TYPE_PTY:
        type = "pty";
        break;
    case VIR_DOMAIN_CHR_TYPE_FILE:
        type = "file";
        if (virJSONValueObjectAdd(&data,
                                  "s:out", source->data.file.path,
                                  "T:append", source->data.file.append,
                                  NULL) < 0)
            return NULL;
        break;
    case VIR_DOMAIN_CHR_TYPE_UNIX:
    case VIR_DOMAIN_CHR_TYPE_TCP:
        type = "socket";
        virJSONValueFree(data);
        if (!(data = vireoDevicePropsSocket(source)))
            return NULL;
        break;
    case VIR_DOMAIN_CHR_TYPE_QEMU_VDAGENT:
        type = "qemu-vdagent";
        if (virJSONValueObjectAdd(&data, "b:clipboard", true, NULL) < 0)
            return NULL;
        break;
    default:
        break;
    }

    if (virJSONValueObjectAdd(&data,
                              "S:logfile", source->logfile,
                              "T:logappend", source->logappend,
                              NULL) < 0 ||
        virJSONValueObjectAdd(&backend,
                              "s:type", type,
                              "a:data", &data,
                              NULL) < 0 ||
        virJSONValueObjectAdd(&props,
                              "s:id", id,
                              "a:backend", &backend,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

static virJSONValue *
vireoDevicePropsVirtioPort(const virDomainDef *def,
                           virDomainChrDef *chr,
                           const char *chardev)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *bus = NULL;
    bool console = chr->deviceType == VIR_DOMAIN_CHR_DEVICE_TYPE_CONSOLE;
    const char *controller = virDomainControllerAliasFind(def,
                                                          VIR_DOMAIN_CONTROLLER_TYPE_VIRTIO_SERIAL,
                                                          chr->info.addr.vioserial.controller);

    if (!controller)
        return NULL;
    bus = g_strdup_printf("%s.%u", controller, chr->info.addr.vioserial.bus);

    if (virJSONValueObjectAdd(&props,
                              "s:driver", console ? "virtconsole" : "virtserialport",
                              "s:id", chr->info.alias,
                              "s:bus", bus,
                              "u:nr", chr->info.addr.vioserial.port,
                              "s:chardev", chardev,
                              "S:name", console ? NULL : chr->target.name,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoDevicePropsChr(const virDomainDef *def,
                    virDomainChrDef *chr)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *chardev = vireoAliasChardev(chr);
    const bool hasISA = chr->info.type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_ISA;
    bool debugcon = chr->targetType == VIR_DOMAIN_CHR_SERIAL_TARGET_TYPE_ISA_DEBUG;

    if (chr->deviceType != VIR_DOMAIN_CHR_DEVICE_TYPE_SERIAL)
        return vireoDevicePropsVirtioPort(def, chr, chardev);

    if (virJSONValueObjectAdd(&props,
                              "s:driver", debugcon ? "isa-debugcon" : "isa-serial",
                              "s:id", chr->info.alias,
                              "s:chardev", chardev,
                              "k:index", debugcon ? -1 : chr->target.port,
                              "p:iobase", hasISA ? chr->info.addr.isa.iobase : 0,
                              "p:irq", hasISA && !debugcon ? chr->info.addr.isa.irq : 0,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

int
vireoDevicePropsController(const virDomainDef *def,
                           virDomainControllerDef *controller,
                           virJSONValue **props)
{
    *props = NULL;

    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_SCSI)
        return (*props = vireoScsiControllerProps(def, controller)) ? 0 : -1;
    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_VIRTIO_SERIAL) {
        if (!(*props = vireoDevicePropsVirtio(def, "virtio-serial-pci",
                                              &controller->info, controller->virtio)))
            return -1;
        return virJSONValueObjectAdd(props, "k:max_ports", controller->opts.vioserial.ports,
                                     NULL) < 0 ? -1 : 0;
    }

    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_USB &&
        controller->model == VIR_DOMAIN_CONTROLLER_MODEL_USB_QEMU_XHCI) {
        if (!(*props = vireoDevicePropsPCI(def, "qemu-xhci", &controller->info)))
            return -1;
        return virJSONValueObjectAdd(props,
                                     "k:p2", controller->opts.usbopts.ports,
                                     "k:p3", controller->opts.usbopts.ports,
                                     NULL) < 0 ? -1 : 0;
    }

    if (controller->type == VIR_DOMAIN_CONTROLLER_TYPE_PCI &&
        controller->model == VIR_DOMAIN_CONTROLLER_MODEL_PCIE_ROOT_PORT) {
        if (!(*props = vireoDevicePropsPCI(def, "pcie-root-port", &controller->info)))
            return -1;
        return virJSONValueObjectAdd(props,
                                     "k:port", controller->opts.pciopts.port,
                                     "k:chassis", controller->opts.pciopts.chassis,
                                     "T:hotplug", controller->opts.pciopts.hotplug,
                                     NULL) < 0 ? -1 : 0;
    }

    return 0;
}
