/*
 * vireo_capabilities.c: what the host and Vireo offer, in libvirt's terms
 *
 * Vireo has one architecture and one machine, so nothing is probed from the
 * binary: the tables here change when the monitor does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <unistd.h>

#include "cpu/cpu.h"
#include "viralloc.h"
#include "virerror.h"
#include "virhostcpu.h"
#include "virlog.h"

#include "vireo_capabilities.h"
#include "vireo_firmware.h"
#include "vireo_tpm.h"
#include "vireo_cpu.h"

#define VIR_FROM_THIS VIR_FROM_CAPABILITIES

VIR_LOG_INIT("vireo.vireo_capabilities");

static void
vireoCapabilitiesAddGuest(virCaps *caps,
                          const char *emulator)
{
    const char *names[] = { VIREO_MACHINE_CANONICAL, VIREO_MACHINE };
    virCapsGuestMachine **machines = virCapabilitiesAllocMachines(names, G_N_ELEMENTS(names));
    virCapsGuest *guest;
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(names); i++)
        machines[i]->maxCpus = VIREO_MAX_VCPUS;
    machines[1]->canonical = g_strdup(VIREO_MACHINE_CANONICAL);

    guest = virCapabilitiesAddGuest(caps, VIR_DOMAIN_OSTYPE_HVM, VIR_ARCH_X86_64,
                                    emulator, NULL, G_N_ELEMENTS(names), machines);
    virCapabilitiesAddGuestFeatureWithToggle(guest, VIR_CAPS_GUEST_FEATURE_TYPE_ACPI, true, false);
    virCapabilitiesAddGuestFeatureWithToggle(guest, VIR_CAPS_GUEST_FEATURE_TYPE_APIC, true, false);
    virCapabilitiesAddGuestFeature(guest, VIR_CAPS_GUEST_FEATURE_TYPE_CPUSELECTION);
    virCapabilitiesAddGuestFeature(guest, VIR_CAPS_GUEST_FEATURE_TYPE_DEVICEBOOT);
    virCapabilitiesAddGuestDomain(guest, VIR_DOMAIN_VIRT_KVM, NULL, NULL, 0, NULL);
}

static void
vireoCapabilitiesAddSecurityModels(virCaps *caps,
                                   virSecurityManager *stack)
{
    const int virtTypes[] = { VIR_DOMAIN_VIRT_KVM };
    g_autofree virSecurityManager **managers = virSecurityManagerGetNested(stack);
    size_t nmanagers;
    size_t i;
    size_t j;

    for (nmanagers = 0; managers[nmanagers]; nmanagers++)
        ;
    caps->host.secModels = g_new0(virCapsHostSecModel, nmanagers);
    caps->host.nsecModels = nmanagers;

    for (i = 0; i < nmanagers; i++) {
        virCapsHostSecModel *model = &caps->host.secModels[i];

        model->model = g_strdup(virSecurityManagerGetModel(managers[i]));
        model->doi = g_strdup(virSecurityManagerGetDOI(managers[i]));
        for (j = 0; j < G_N_ELEMENTS(virtTypes); j++) {
            const char *label = virSecurityManagerGetBaseLabel(managers[i], virtTypes[j]);

            if (label)
                virCapabilitiesHostSecModelAddBaseLabel(model,
                                                        virDomainVirtTypeToString(virtTypes[j]),
                                                        label);
        }
    }
}

virCaps *
vireoCapabilitiesBuild(vireoDriver *driver)
{
    g_autoptr(virCaps) caps = virCapabilitiesNew(virArchFromHost(), false, false);

    if (!caps)
        return NULL;

    if (!(caps->host.numa = virCapabilitiesHostNUMANewHost()))
        return NULL;
    if (virCapabilitiesInitCaches(caps) < 0)
        VIR_WARN("the host's cache banks are unknown: %s", virGetLastErrorMessage());
    if (!(caps->host.cpu = virCPUProbeHost(caps->host.arch)))
        VIR_WARN("the host's CPU model is unknown: %s", virGetLastErrorMessage());
    if (virCapabilitiesInitPages(caps) < 0)
        VIR_WARN("the host's page sizes are unknown: %s", virGetLastErrorMessage());
    virResetLastError();

    if (virGetHostUUID(caps->host.host_uuid) < 0)
        return NULL;

    vireoCapabilitiesAddGuest(caps, driver->config->vireoBinary);
    vireoCapabilitiesAddSecurityModels(caps, driver->securityManager);

    return g_steal_pointer(&caps);
}

const char *
vireoCapabilitiesMachineCanonical(const char *machine)
{
    if (STREQ(machine, VIREO_MACHINE) || STREQ(machine, VIREO_MACHINE_CANONICAL))
        return VIREO_MACHINE_CANONICAL;

    return NULL;
}

static void
vireoDomainCapabilitiesFillCPU(virDomainCaps *domcaps,
                               const vireoCPUHost *host)
{
    if (!(domcaps->cpu.custom = vireoCPUModels(host)))
        virResetLastError();
    if (host)
        domcaps->cpu.hostModel = virCPUDefCopy(host->model);
    domcaps->cpu.hostPassthrough = true;
    domcaps->cpu.hostPassthroughMigratable.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->cpu.hostPassthroughMigratable, VIR_TRISTATE_SWITCH_ON,
                             VIR_TRISTATE_SWITCH_OFF);
    domcaps->cpu.maximum = true;
    domcaps->cpu.maximumMigratable.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->cpu.maximumMigratable, VIR_TRISTATE_SWITCH_ON,
                             VIR_TRISTATE_SWITCH_OFF);
}

static void
vireoDomainCapabilitiesFillDevices(virDomainCaps *domcaps)
{
    domcaps->disk.supported = VIR_TRISTATE_BOOL_YES;
    domcaps->disk.diskDevice.report = true;
    domcaps->disk.bus.report = true;
    domcaps->disk.model.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->disk.diskDevice,
                             VIR_DOMAIN_DISK_DEVICE_DISK, VIR_DOMAIN_DISK_DEVICE_CDROM);
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->disk.bus,
                             VIR_DOMAIN_DISK_BUS_SCSI, VIR_DOMAIN_DISK_BUS_VIRTIO);
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->disk.model,
                             VIR_DOMAIN_DISK_MODEL_VIRTIO,
                             VIR_DOMAIN_DISK_MODEL_VIRTIO_NON_TRANSITIONAL);

    domcaps->rng.supported = VIR_TRISTATE_BOOL_YES;
    domcaps->rng.model.report = true;
    domcaps->rng.backendModel.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->rng.model,
                             VIR_DOMAIN_RNG_MODEL_VIRTIO,
                             VIR_DOMAIN_RNG_MODEL_VIRTIO_NON_TRANSITIONAL);
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->rng.backendModel,
                             VIR_DOMAIN_RNG_BACKEND_RANDOM,
                             VIR_DOMAIN_RNG_BACKEND_BUILTIN);

    domcaps->channel.supported = VIR_TRISTATE_BOOL_YES;
    domcaps->channel.type.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->channel.type,
                             VIR_DOMAIN_CHR_TYPE_PTY,
                             VIR_DOMAIN_CHR_TYPE_UNIX,
                             VIR_DOMAIN_CHR_TYPE_QEMU_VDAGENT);

    domcaps->graphics.supported = VIR_TRISTATE_BOOL_YES;
    domcaps->graphics.type.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->graphics.type, VIR_DOMAIN_GRAPHICS_TYPE_VNC);
    domcaps->video.supported = VIR_TRISTATE_BOOL_YES;
    domcaps->video.modelType.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->video.modelType,
                             VIR_DOMAIN_VIDEO_TYPE_VIRTIO,
                             VIR_DOMAIN_VIDEO_TYPE_BOCHS,
                             VIR_DOMAIN_VIDEO_TYPE_NONE);

    domcaps->filesystem.supported = VIR_TRISTATE_BOOL_YES;
    domcaps->filesystem.driverType.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->filesystem.driverType, VIR_DOMAIN_FS_DRIVER_TYPE_VIRTIOFS);

    domcaps->hostdev.supported = VIR_TRISTATE_BOOL_NO;
    vireoTpmFillCapabilities(&domcaps->tpm);
    domcaps->redirdev.supported = VIR_TRISTATE_BOOL_NO;
}

static void
vireoDomainCapabilitiesFill(virDomainCaps *domcaps,
                            const vireoDriver *driver)
{
    domcaps->maxvcpus = VIREO_MAX_VCPUS;

    vireoFirmwareFillCapabilities(driver->config, domcaps);

    domcaps->memoryBacking.supported = VIR_TRISTATE_BOOL_YES;
    domcaps->memoryBacking.sourceType.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(domcaps->memoryBacking.sourceType,
                             VIR_DOMAIN_MEMORY_SOURCE_FILE,
                             VIR_DOMAIN_MEMORY_SOURCE_ANONYMOUS,
                             VIR_DOMAIN_MEMORY_SOURCE_MEMFD);

    vireoDomainCapabilitiesFillCPU(domcaps, driver->cpuHost);
    vireoDomainCapabilitiesFillDevices(domcaps);

    domcaps->features[VIR_DOMAIN_CAPS_FEATURE_IOTHREADS] = VIR_TRISTATE_BOOL_YES;
    domcaps->features[VIR_DOMAIN_CAPS_FEATURE_VMCOREINFO] = VIR_TRISTATE_BOOL_NO;
    domcaps->features[VIR_DOMAIN_CAPS_FEATURE_GENID] = VIR_TRISTATE_BOOL_NO;
    domcaps->features[VIR_DOMAIN_CAPS_FEATURE_BACKING_STORE_INPUT] = VIR_TRISTATE_BOOL_NO;
    domcaps->features[VIR_DOMAIN_CAPS_FEATURE_BACKUP] = VIR_TRISTATE_BOOL_NO;
}

int
vireoCapabilitiesCheck(const char *arch,
                       const char *machine,
                       const char *virttype)
{
    if (arch && virArchFromString(arch) != VIR_ARCH_X86_64) {
        virReportError(VIR_ERR_INVALID_ARG, _("Vireo has no architecture '%s', only x86_64"), arch);
        return -1;
    }
    if (virttype && STRNEQ(virttype, virDomainVirtTypeToString(VIR_DOMAIN_VIRT_KVM))) {
        virReportError(VIR_ERR_INVALID_ARG, _("Vireo has no domains of type '%s', only kvm"),
                       virttype);
        return -1;
    }
    if (machine && !vireoCapabilitiesMachineCanonical(machine)) {
        virReportError(VIR_ERR_INVALID_ARG, _("Vireo has no machine '%s', only q35"), machine);
        return -1;
    }

    return 0;
}

virDomainCaps *
vireoDomainCapabilitiesBuild(vireoDriver *driver,
                             const char *emulator,
                             const char *arch,
                             const char *machine,
                             const char *virttype)
{
    g_autoptr(virDomainCaps) domcaps = NULL;

    if (vireoCapabilitiesCheck(arch, machine, virttype) < 0)
        return NULL;

    if (!(domcaps = virDomainCapsNew(emulator ? emulator : driver->config->vireoBinary,
                                     VIREO_MACHINE_CANONICAL, VIR_ARCH_X86_64, VIR_DOMAIN_VIRT_KVM)))
        return NULL;

    vireoDomainCapabilitiesFill(domcaps, driver);
    return g_steal_pointer(&domcaps);
}
