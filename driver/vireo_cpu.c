/*
 * vireo_cpu.c: CPU models of guests, by libvirt's CPU code
 *
 * Names mean the same here and in the monitor: both have them from libvirt's
 * cpu_map. The host is what KVM offers, not what the CPUID instruction says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "cpu/cpu_x86.h"
#include "viralloc.h"
#include "virbuffer.h"
#include "virerror.h"
#include "virfile.h"
#include "virhostcpu.h"

#include "vireo_cpu.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_CPU

#define VIREO_CPU_KVM "/dev/kvm"
#define VIREO_CPU_MSR_ARCH_CAPABILITIES 0x10a

/* Parts of nested virtualization: models list them, and do not miss them where
 * a host has it switched off. */
static const char *const vireoCPUNestedParts[] = { "npt", "nrip-save", "svme-addr-chk" };

static int
vireoCPUAddLeaves(virCPUData *data,
                  const struct kvm_cpuid2 *cpuid)
{
    size_t i;

    for (i = 0; i < cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
        virCPUx86DataItem item = {
            .type = VIR_CPU_X86_DATA_CPUID,
            .data.cpuid = {
                .eax_in = entry->function,
                .ecx_in = entry->index,
                .eax = entry->eax,
                .ebx = entry->ebx,
                .ecx = entry->ecx,
                .edx = entry->edx,
            },
        };

        if (virCPUx86DataAdd(data, &item) < 0)
            return -1;
    }

    return 0;
}

/* What KVM offers beyond its list of CPUID leaves. */
static int
vireoCPUAddRest(virCPUData *data)
{
    VIR_AUTOCLOSE fd = open(VIREO_CPU_KVM, O_RDWR | O_CLOEXEC);
    g_autofree struct kvm_msrs *msrs = g_malloc0(sizeof(*msrs) + sizeof(struct kvm_msr_entry));

    if (fd < 0) {
        virReportSystemError(errno, _("cannot open '%s'"), VIREO_CPU_KVM);
        return -1;
    }

    msrs->nmsrs = 1;
    msrs->entries[0].index = VIREO_CPU_MSR_ARCH_CAPABILITIES;
    if (ioctl(fd, KVM_GET_MSRS, msrs) == 1) {
        virCPUx86DataItem item = {
            .type = VIR_CPU_X86_DATA_MSR,
            .data.msr = {
                .index = msrs->entries[0].index,
                .eax = msrs->entries[0].data & 0xffffffff,
                .edx = msrs->entries[0].data >> 32,
            },
        };

        if (virCPUx86DataAdd(data, &item) < 0)
            return -1;
    }

    if (ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0 &&
        virCPUDataAddFeature(data, "tsc-deadline") < 0)
        return -1;

    return virCPUDataAddFeature(data, "hypervisor");
}

void
vireoCPUHostFree(vireoCPUHost *host)
{
    if (!host)
        return;
    virCPUDefFree(host->model);
    virCPUDefFree(host->full);
    g_free(host);
}

static virCPUDef *
vireoCPUDecode(const virCPUData *data)
{
    g_autoptr(virCPUDef) cpu = virCPUDefNew();

    cpu->type = VIR_CPU_TYPE_GUEST;
    cpu->mode = VIR_CPU_MODE_CUSTOM;
    if (cpuDecode(cpu, data, NULL) < 0)
        return NULL;
    cpu->mode = VIR_CPU_MODE_HOST_MODEL;
    cpu->match = VIR_CPU_MATCH_EXACT;
    cpu->fallback = VIR_CPU_FALLBACK_FORBID;

    return g_steal_pointer(&cpu);
}

vireoCPUHost *
vireoCPUHostFromData(const virCPUData *data)
{
    g_autoptr(vireoCPUHost) host = g_new0(vireoCPUHost, 1);
    g_autoptr(virCPUData) full = virCPUDataNewCopy((virCPUData *)data);
    size_t i;

    if (!full)
        return NULL;
    for (i = 0; i < G_N_ELEMENTS(vireoCPUNestedParts); i++) {
        if (virCPUDataCheckFeature(data, "svm") != 1 &&
            virCPUDataAddFeature(full, vireoCPUNestedParts[i]) < 0)
            return NULL;
    }
    if (!(host->model = vireoCPUDecode(data)) ||
        !(host->full = vireoCPUDecode(full)))
        return NULL;

    return g_steal_pointer(&host);
}

vireoCPUHost *
vireoCPUHostNew(void)
{
    g_autofree struct kvm_cpuid2 *cpuid = virHostCPUGetCPUID();
    g_autoptr(virCPUData) data = NULL;

    if (!cpuid ||
        !(data = virCPUDataNew(VIR_ARCH_X86_64)) ||
        vireoCPUAddLeaves(data, cpuid) < 0 ||
        vireoCPUAddRest(data) < 0)
        return NULL;

    return vireoCPUHostFromData(data);
}

static virDomainCapsCPUUsable
vireoCPUUsable(const vireoCPUHost *host,
               const char *model)
{
    g_autoptr(virCPUDef) cpu = NULL;
    virCPUCompareResult result;

    if (!host)
        return VIR_DOMCAPS_CPU_USABLE_UNKNOWN;

    cpu = virCPUDefNew();
    cpu->type = VIR_CPU_TYPE_GUEST;
    cpu->mode = VIR_CPU_MODE_CUSTOM;
    cpu->match = VIR_CPU_MATCH_MINIMUM;
    cpu->model = g_strdup(model);
    result = virCPUCompare(VIR_ARCH_X86_64, host->full, cpu, false);
    if (result == VIR_CPU_COMPARE_ERROR) {
        virResetLastError();
        return VIR_DOMCAPS_CPU_USABLE_UNKNOWN;
    }

    return result == VIR_CPU_COMPARE_INCOMPATIBLE ? VIR_DOMCAPS_CPU_USABLE_NO :
        VIR_DOMCAPS_CPU_USABLE_YES;
}

virDomainCapsCPUModels *
vireoCPUModels(const vireoCPUHost *host)
{
    g_autoptr(virDomainCapsCPUModels) models = NULL;
    g_auto(GStrv) names = NULL;
    int n;
    int i;

    if ((n = virCPUGetModels(VIR_ARCH_X86_64, &names)) < 0)
        return NULL;

    models = virDomainCapsCPUModelsNew(n);
    for (i = 0; i < n; i++) {
        const char *vendor = virCPUGetVendorForModel(VIR_ARCH_X86_64, names[i]);

        virDomainCapsCPUModelsAdd(models, names[i], vireoCPUUsable(host, names[i]), NULL, false,
                                  vendor);
    }

    return g_steal_pointer(&models);
}

void
vireoCPUPostParse(virDomainDef *def)
{
    virCPUDef *cpu;

    if (!def->cpu) {
        def->cpu = virCPUDefNew();
        def->cpu->type = VIR_CPU_TYPE_GUEST;
    }
    cpu = def->cpu;
    if (cpu->mode == VIR_CPU_MODE_CUSTOM && !cpu->model) {
        cpu->mode = VIR_CPU_MODE_HOST_PASSTHROUGH;
        cpu->check = VIR_CPU_CHECK_NONE;
    }
    if (cpu->check != VIR_CPU_CHECK_DEFAULT)
        return;

    if (cpu->mode == VIR_CPU_MODE_HOST_PASSTHROUGH || cpu->mode == VIR_CPU_MODE_MAXIMUM)
        cpu->check = VIR_CPU_CHECK_NONE;
    else
        cpu->check = VIR_CPU_CHECK_PARTIAL;
}

static bool
vireoCPUIsNamed(const virCPUDef *cpu)
{
    return cpu->mode == VIR_CPU_MODE_CUSTOM || cpu->mode == VIR_CPU_MODE_HOST_MODEL;
}

int
vireoCPUValidate(const virCPUDef *cpu)
{
    g_auto(GStrv) names = NULL;

    if (cpu->model && cpu->fallback == VIR_CPU_FALLBACK_FORBID) {
        if (virCPUGetModels(VIR_ARCH_X86_64, &names) < 0)
            return -1;
        if (!g_strv_contains((const char *const *)names, cpu->model)) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("there is no CPU model '%s'"), cpu->model);
            return -1;
        }
    }

    return virCPUValidateFeatures(VIR_ARCH_X86_64, (virCPUDef *)cpu);
}

int
vireoCPUPrepare(const vireoCPUHost *host,
                virCPUDef *cpu)
{
    g_autoptr(virDomainCapsCPUModels) models = NULL;

    if (virCPUConvertLegacy(VIR_ARCH_X86_64, cpu) < 0)
        return -1;
    if (!host) {
        if (cpu->mode != VIR_CPU_MODE_HOST_MODEL && cpu->check == VIR_CPU_CHECK_NONE)
            return 0;
        virReportError(VIR_ERR_OPERATION_FAILED, "%s",
                       _("the CPU cannot be compared with the host's, which KVM does not tell"));
        return -1;
    }

    if (cpu->check != VIR_CPU_CHECK_NONE &&
        virCPUCheckForbiddenFeatures(cpu, host->full) < 0)
        return -1;
    if (!vireoCPUIsNamed(cpu))
        return 0;

    if (cpu->mode == VIR_CPU_MODE_CUSTOM && cpu->check == VIR_CPU_CHECK_PARTIAL &&
        virCPUCompare(VIR_ARCH_X86_64, host->full, cpu, true) < 0)
        return -1;
    if (virCPUUpdate(VIR_ARCH_X86_64, cpu, host->model) < 0)
        return -1;

    /* Every model that libvirt knows is one of the monitor's, too. */
    if (!(models = vireoCPUModels(NULL)) ||
        virCPUTranslate(VIR_ARCH_X86_64, cpu, models) < 0)
        return -1;
    cpu->fallback = VIR_CPU_FALLBACK_FORBID;

    return 0;
}

static const char *
vireoCPUModelName(const virCPUDef *cpu)
{
    switch (cpu->mode) {
    case VIR_CPU_MODE_HOST_PASSTHROUGH:
        return "host";
    case VIR_CPU_MODE_MAXIMUM:
        return "max";
    default:
        return cpu->model;
    }
}

/* The names are QEMU's: libvirt's with hyphens. */
void
vireoCPUFormatHyperv(virBuffer *buf,
                     const virDomainDef *def)
{
    size_t i;

    for (i = 0; i < def->clock.ntimers; i++) {
        if (def->clock.timers[i]->name == VIR_DOMAIN_TIMER_NAME_HYPERVCLOCK &&
            def->clock.timers[i]->present != VIR_TRISTATE_BOOL_NO)
            virBufferAddLit(buf, ",hv-time=on");
    }
    if (def->features[VIR_DOMAIN_FEATURE_HYPERV] == VIR_DOMAIN_HYPERV_MODE_PASSTHROUGH)
        virBufferAddLit(buf, ",hv-passthrough=on");
    for (i = 0; i < VIR_DOMAIN_HYPERV_LAST; i++) {
        g_autofree char *name = g_strdup(virDomainHypervTypeToString(i));

        if (def->hyperv_features[i] != VIR_TRISTATE_SWITCH_ON)
            continue;
        g_strdelimit(name, "_", '-');
        virBufferAsprintf(buf, ",hv-%s=", name);
        if (i == VIR_DOMAIN_HYPERV_SPINLOCKS)
            virBufferAsprintf(buf, "0x%x", def->hyperv_spinlocks);
        else if (i == VIR_DOMAIN_HYPERV_VENDOR_ID)
            virBufferAdd(buf, def->hyperv_vendor_id, -1);
        else
            virBufferAddLit(buf, "on");
    }
    if (def->hyperv_stimer_direct == VIR_TRISTATE_SWITCH_ON)
        virBufferAddLit(buf, ",hv-stimer-direct=on");
}

char *
vireoCPUFormat(const virCPUDef *cpu)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    size_t i;

    virBufferAdd(&buf, vireoCPUModelName(cpu), -1);
    if (cpu->vendor_id)
        virBufferAsprintf(&buf, ",vendor=%s", cpu->vendor_id);   /* which has no comma */
    if (cpu->addr && cpu->addr->mode == VIR_CPU_MAX_PHYS_ADDR_MODE_EMULATE)
        virBufferAsprintf(&buf, ",phys-bits=%d", cpu->addr->bits);
    /* The one feature that ties a guest to its host; who asks for it by name gets it below. */
    if (cpu->migratable == VIR_TRISTATE_SWITCH_ON)
        virBufferAddLit(&buf, ",invtsc=off");
    for (i = 0; i < cpu->nfeatures; i++) {
        const virCPUFeatureDef *feature = &cpu->features[i];

        switch ((virCPUFeaturePolicy)feature->policy) {
        case VIR_CPU_FEATURE_REQUIRE:
            virBufferAsprintf(&buf, ",%s=on", feature->name);
            break;
        case VIR_CPU_FEATURE_FORCE:
            virBufferAsprintf(&buf, ",%s=force", feature->name);
            break;
        case VIR_CPU_FEATURE_DISABLE:
        case VIR_CPU_FEATURE_FORBID:
            virBufferAsprintf(&buf, ",%s=off", feature->name);
            break;
        default:
            /* optional: the host's CPU has it or not */
            break;
        }
    }

    return virBufferContentAndReset(&buf);
}

/* The model and features of @cpu as query-cpu-model-expansion wants them. */
static virJSONValue *
vireoCPUExpansionArgs(const virCPUDef *cpu)
{
    g_autoptr(virJSONValue) props = virJSONValueNewObject();
    g_autoptr(virJSONValue) model = NULL;
    virJSONValue *args = NULL;
    size_t i;

    for (i = 0; i < cpu->nfeatures; i++) {
        const virCPUFeatureDef *feature = &cpu->features[i];
        bool on = feature->policy == VIR_CPU_FEATURE_REQUIRE;

        /* What is forced is there whatever the host says. */
        if (feature->policy != VIR_CPU_FEATURE_FORCE &&
            virJSONValueObjectAppendBoolean(props, feature->name, on) < 0)
            return NULL;
    }

    if (virJSONValueObjectAdd(&model, "s:name", cpu->model, "a:props", &props, NULL) < 0 ||
        virJSONValueObjectAdd(&args, "s:type", "full", "a:model", &model, NULL) < 0)
        return NULL;

    return args;
}

static int
vireoCPUAddEnabled(virCPUData *data,
                   virJSONValue *reply,
                   const virCPUDef *cpu)
{
    virJSONValue *model = virJSONValueObjectGetObject(reply, "model");
    virJSONValue *props = model ? virJSONValueObjectGetObject(model, "props") : NULL;
    int n = props ? virJSONValueObjectKeysNumber(props) : 0;
    size_t i;
    int k;

    for (k = 0; k < n; k++) {
        bool on;

        if (virJSONValueGetBoolean(virJSONValueObjectGetValue(props, k), &on) == 0 && on &&
            virCPUDataAddFeature(data, virJSONValueObjectGetKey(props, k)) < 0)
            return -1;
    }
    for (i = 0; i < cpu->nfeatures; i++) {
        if (cpu->features[i].policy == VIR_CPU_FEATURE_FORCE &&
            virCPUDataAddFeature(data, cpu->features[i].name) < 0)
            return -1;
    }

    return n > 0 ? 0 : vireoQmpReportShape("query-cpu-model-expansion");
}

int
vireoCPUUpdateLive(virDomainObj *vm)
{
    virCPUDef *cpu = vm->def->cpu;
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) reply = NULL;
    g_autoptr(virCPUData) enabled = NULL;

    if (!vireoCPUIsNamed(cpu))
        return 0;

    if (!(args = vireoCPUExpansionArgs(cpu)) ||
        vireoQmpCommand(vm, "query-cpu-model-expansion", &args, &reply) < 0)
        return -1;
    if (!virJSONValueIsObject(reply))
        return vireoQmpReportShape("query-cpu-model-expansion");

    cpu = vm->def->cpu;
    if (!(enabled = virCPUDataNew(VIR_ARCH_X86_64)) ||
        vireoCPUAddEnabled(enabled, reply, cpu) < 0 ||
        virCPUUpdateLive(VIR_ARCH_X86_64, cpu, enabled, NULL) < 0)
        return -1;

    /* From now on that is exactly what it is. */
    cpu->check = VIR_CPU_CHECK_FULL;
    return 0;
}
