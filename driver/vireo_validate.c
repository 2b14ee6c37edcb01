/*
 * vireo_validate.c: refuses domains that Vireo cannot run as asked
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "virerror.h"

#include "vireo_capabilities.h"
#include "vireo_firmware.h"
#include "vireo_cpu.h"
#include "vireo_sysinfo.h"
#include "vireo_validate.h"
#include "vireo_vcpu.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoValidateRefuseMany(const vireoValidateRefusal *refusals,
                        size_t nrefusals)
{
    size_t i;

    for (i = 0; i < nrefusals; i++) {
        if (refusals[i].asked) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("Vireo does not support %s"), refusals[i].what);
            return -1;
        }
    }

    return 0;
}

static int
vireoValidateOS(const virDomainDef *def)
{
    const virDomainOSDef *os = &def->os;
    const vireoValidateRefusal refusals[] = {
        { os->type != VIR_DOMAIN_OSTYPE_HVM, "an <os><type> other than 'hvm'" },
        { os->arch != VIR_ARCH_X86_64, "an architecture other than 'x86_64'" },
        { def->virtType != VIR_DOMAIN_VIRT_KVM, "a <domain type> other than 'kvm'" },
        { os->dtb != NULL, "<dtb>" },
        { os->slic_table != NULL, "<acpi><table>" },
        { os->bootloader != NULL, "<bootloader>" },
        { os->init != NULL, "<init>" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;

    if (vireoFirmwareValidate(def) < 0)
        return -1;

    return vireoSysinfoValidate(def);
}

static int
vireoValidateCPU(const virDomainDef *def)
{
    const virCPUDef *cpu = def->cpu;
    const vireoValidateRefusal refusals[] = {
        /* Every guest sees the host's caches, with its own topology. */
        { cpu->cache && (cpu->cache->mode != VIR_CPU_CACHE_MODE_PASSTHROUGH ||
                         cpu->cache->level != -1),
          "<cpu><cache> other than mode='passthrough'" },
        { cpu->addr && cpu->addr->mode == VIR_CPU_MAX_PHYS_ADDR_MODE_EMULATE && cpu->addr->bits < 0,
          "<cpu><maxphysaddr mode='emulate'> without bits" },
        { virDomainNumaHasHMAT(def->numa), "<cpu><numa><cell><cache> and <interconnects>" },
    };

    if (virDomainDefGetVcpusMax(def) > VIREO_MAX_VCPUS) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support <vcpu>%u</vcpu>; the most is %d"),
                       virDomainDefGetVcpusMax(def), VIREO_MAX_VCPUS);
        return -1;
    }

    if (vireoValidateRefuse(refusals) < 0 || vireoVcpuValidate(def) < 0)
        return -1;

    return vireoCPUValidate(cpu);
}

static bool
vireoValidateHasScheduler(const virDomainDef *def)
{
    size_t i;

    for (i = 0; i < def->maxvcpus; i++) {
        if (def->vcpus[i]->sched.policy != VIR_PROC_POLICY_NONE)
            return true;
    }
    for (i = 0; i < def->niothreadids; i++) {
        if (def->iothreadids[i]->sched.policy != VIR_PROC_POLICY_NONE)
            return true;
    }

    return def->cputune.emulatorsched != NULL;
}

static int
vireoValidateTuning(const virDomainDef *def)
{
    size_t i;
    const vireoValidateRefusal refusals[] = {
        { virDomainDefHasMemoryHotplug(def) && virDomainNumaGetNodeCount(def->numa) == 0,
          "<maxMemory> without <cpu><numa>" },
        { def->nmems > 0 && !virDomainDefHasMemoryHotplug(def), "<memory model> without <maxMemory>" },
        { def->nmems > def->mem.memory_slots, "more <memory model> than <maxMemory slots>" },
        { def->mem.min_guarantee > 0, "<memtune><min_guarantee>" },
        { vireoValidateHasScheduler(def), "<cputune> scheduler settings" },
        { def->nresctrls > 0, "<cputune><cachetune> and <memorytune>" },
        { def->defaultIOThread != NULL, "<defaultiothread>" },
        { def->resource && def->resource->appid, "<resource><fibrechannel>" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;

    for (i = 0; i < def->niothreadids; i++) {
        const virDomainIOThreadIDDef *iothread = def->iothreadids[i];

        if (iothread->thread_pool_min >= 0 || iothread->thread_pool_max >= 0) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                           _("Vireo does not support <iothread thread_pool_min> and thread_pool_max"));
            return -1;
        }
    }

    return 0;
}

static int
vireoValidateHyperv(const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { def->hyperv_features[VIR_DOMAIN_HYPERV_EVMCS] == VIR_TRISTATE_SWITCH_ON, "<hyperv><evmcs>" },
    };

    return vireoValidateRefuse(refusals);
}

static int
vireoValidateFeatures(const virDomainDef *def)
{
    size_t i;

    for (i = 0; i < VIR_DOMAIN_FEATURE_LAST; i++) {
        switch ((virDomainFeature)i) {
        case VIR_DOMAIN_FEATURE_ACPI:
        case VIR_DOMAIN_FEATURE_APIC:
        case VIR_DOMAIN_FEATURE_PAE:
            continue;       /* always there; XML cannot ask for their absence */
        case VIR_DOMAIN_FEATURE_IOAPIC:
            if (def->features[i] == VIR_DOMAIN_IOAPIC_KVM)
                continue;
            break;
        case VIR_DOMAIN_FEATURE_HYPERV:
            if (vireoValidateHyperv(def) < 0)
                return -1;
            continue;
        case VIR_DOMAIN_FEATURE_SMM:
        case VIR_DOMAIN_FEATURE_VMPORT:
        case VIR_DOMAIN_FEATURE_VMCOREINFO:
        case VIR_DOMAIN_FEATURE_PVSPINLOCK:
            if (def->features[i] == VIR_TRISTATE_SWITCH_OFF)
                continue;   /* that is how it is */
            break;
        default:
            break;
        }

        if (def->features[i] != 0) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("Vireo does not support <features><%s>"),
                           virDomainFeatureTypeToString(i));
            return -1;
        }
    }

    return 0;
}

static int
vireoValidateTimer(const virDomainTimerDef *timer)
{
    bool plain = timer->track == VIR_DOMAIN_TIMER_TRACK_NONE && timer->frequency == 0 &&
        timer->mode == VIR_DOMAIN_TIMER_MODE_NONE;

    switch (timer->name) {
    case VIR_DOMAIN_TIMER_NAME_HPET:
        if (plain && timer->present == VIR_TRISTATE_BOOL_NO)
            return 0;       /* there is none */
        break;
    case VIR_DOMAIN_TIMER_NAME_HYPERVCLOCK:
        if (plain)
            return 0;
        break;
    case VIR_DOMAIN_TIMER_NAME_KVMCLOCK:
        if (plain && timer->present != VIR_TRISTATE_BOOL_NO)
            return 0;
        break;
    case VIR_DOMAIN_TIMER_NAME_RTC:
        if (plain && timer->present != VIR_TRISTATE_BOOL_NO &&
            timer->catchup.threshold == 0 && timer->catchup.slew == 0 &&
            timer->catchup.limit == 0 &&
            (timer->tickpolicy == VIR_DOMAIN_TIMER_TICKPOLICY_NONE ||
             timer->tickpolicy == VIR_DOMAIN_TIMER_TICKPOLICY_DISCARD ||
             timer->tickpolicy == VIR_DOMAIN_TIMER_TICKPOLICY_CATCHUP))
            return 0;
        break;
    case VIR_DOMAIN_TIMER_NAME_PIT:
        if (plain && timer->present != VIR_TRISTATE_BOOL_NO &&
            (timer->tickpolicy == VIR_DOMAIN_TIMER_TICKPOLICY_NONE ||
             timer->tickpolicy == VIR_DOMAIN_TIMER_TICKPOLICY_DELAY))
            return 0;       /* what KVM's does */
        break;
    default:
        break;
    }

    virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                   _("Vireo does not support <clock><timer name='%s'> as it is set"),
                   virDomainTimerNameTypeToString(timer->name));
    return -1;
}

static int
vireoValidateClock(const virDomainDef *def)
{
    size_t i;

    for (i = 0; i < def->clock.ntimers; i++) {
        if (vireoValidateTimer(def->clock.timers[i]) < 0)
            return -1;
    }

    return 0;
}

static int
vireoValidateLifecycle(const virDomainDef *def)
{
    const struct {
        const char *element;
        int action;
        bool supported;
    } actions[] = {
        { "on_poweroff", def->onPoweroff,
          def->onPoweroff == VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY ||
          def->onPoweroff == VIR_DOMAIN_LIFECYCLE_ACTION_RESTART ||
          def->onPoweroff == VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE },
        { "on_reboot", def->onReboot,
          def->onReboot == VIR_DOMAIN_LIFECYCLE_ACTION_RESTART ||
          def->onReboot == VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY },
        { "on_crash", def->onCrash,
          def->onCrash == VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY ||
          def->onCrash == VIR_DOMAIN_LIFECYCLE_ACTION_RESTART ||
          def->onCrash == VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (!actions[i].supported) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("Vireo does not support <%s>%s</%s>"),
                           actions[i].element,
                           virDomainLifecycleActionTypeToString(actions[i].action),
                           actions[i].element);
            return -1;
        }
    }

    return 0;
}

static int
vireoValidateRest(const virDomainDef *def)
{
    bool perf = false;
    size_t i;

    for (i = 0; i < VIR_PERF_EVENT_LAST; i++)
        perf |= def->perf.events[i] == VIR_TRISTATE_BOOL_YES;

    const vireoValidateRefusal refusals[] = {
        { def->onLockFailure != VIR_DOMAIN_LOCK_FAILURE_DEFAULT, "<on_lockfailure>" },
        { def->pm.s3 == VIR_TRISTATE_BOOL_YES, "<pm><suspend-to-mem enabled='yes'>" },
        { def->pm.s4 == VIR_TRISTATE_BOOL_YES, "<pm><suspend-to-disk enabled='yes'>" },
        { perf, "<perf>" },
        { def->idmap.nuidmap > 0 || def->idmap.ngidmap > 0, "<idmap>" },
        { def->keywrap != NULL, "<keywrap>" },
        { def->sec != NULL, "<launchSecurity>" },
        { def->redirfilter != NULL, "<redirfilter>" },
        { def->npanics > 1, "more than one <panic>" },
        { def->ntpms > 1, "more than one <tpm>" },
    };

    return vireoValidateRefuse(refusals);
}

int
vireoValidateDomainDef(const virDomainDef *def,
                       void *opaque G_GNUC_UNUSED,
                       void *parseOpaque G_GNUC_UNUSED)
{
    if (vireoValidateOS(def) < 0 ||
        vireoValidateTuning(def) < 0 ||
        vireoValidateCPU(def) < 0 ||
        vireoValidateFeatures(def) < 0 ||
        vireoValidateClock(def) < 0 ||
        vireoValidateLifecycle(def) < 0)
        return -1;

    return vireoValidateRest(def);
}
