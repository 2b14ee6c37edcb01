/*
 * vireo_vcpu.c: vCPUs that come and go
 *
 * Those that the machine is made with stay. The others are devices, which the guest
 * is asked to let go of before they are taken away.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_audit.h"
#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"
#include "virstring.h"

#include "vireo_cgroup.h"
#include "vireo_hotplug.h"
#include "vireo_qmp.h"
#include "vireo_vcpu.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_vcpu");

#define VIREO_ALIAS_VCPU "vcpu"

static bool
vireoVcpuIsFixed(const virDomainVcpuDef *vcpu)
{
    return vcpu->online && vcpu->hotpluggable != VIR_TRISTATE_BOOL_YES;
}

unsigned int
vireoVcpuCountFixed(const virDomainDef *def)
{
    unsigned int n = 0;

    while (n < def->maxvcpus && vireoVcpuIsFixed(def->vcpus[n]))
        n++;

    return n;
}

int
vireoVcpuValidate(const virDomainDef *def)
{
    unsigned int fixed = vireoVcpuCountFixed(def);
    unsigned int order = 0;
    size_t i;

    if (fixed == 0) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("Vireo does not support a vCPU 0 that is not enabled or is hotpluggable"));
        return -1;
    }

    for (i = 0; i < def->maxvcpus; i++) {
        const virDomainVcpuDef *vcpu = def->vcpus[i];

        if (i > fixed && vireoVcpuIsFixed(vcpu)) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("Vireo does not support <vcpu id='%zu'> that is not hotpluggable after one that is"),
                           i);
            return -1;
        }
        if (vcpu->order == 0)
            continue;
        if (vcpu->order <= order) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("Vireo does not support <vcpu id='%zu' order='%u'>: the order is that of the ids"),
                           i, vcpu->order);
            return -1;
        }
        order = vcpu->order;
    }

    return 0;
}

void
vireoVcpuPrepare(virDomainDef *def)
{
    size_t i;

    def->individualvcpus = vireoVcpuCountFixed(def) < def->maxvcpus;
    for (i = 0; i < def->maxvcpus; i++)
        def->vcpus[i]->hotpluggable = virTristateBoolFromBool(!vireoVcpuIsFixed(def->vcpus[i]));
}

static char *
vireoVcpuAlias(unsigned int vcpu)
{
    return g_strdup_printf(VIREO_ALIAS_VCPU "%u", vcpu);
}

virJSONValue *
vireoVcpuProps(const virDomainDef *def,
               unsigned int vcpu)
{
    const virCPUDef *cpu = def->cpu;
    bool topology = cpu->sockets > 0;
    unsigned int threads = topology ? cpu->threads : 1;
    unsigned int cores = topology ? cpu->cores : 1;
    unsigned int dies = topology ? cpu->dies : 1;
    g_autofree char *alias = vireoVcpuAlias(vcpu);
    g_autoptr(virJSONValue) props = NULL;

    if (virJSONValueObjectAdd(&props,
                              "s:driver", "x86_64-cpu",
                              "s:id", alias,
                              "u:socket-id", vcpu / threads / cores / dies,
                              "u:die-id", vcpu / threads / cores % dies,
                              "u:core-id", vcpu / threads % cores,
                              "u:thread-id", vcpu % threads,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

void
vireoVcpuSetConfig(virDomainDef *def,
                   unsigned int nvcpus,
                   bool hotpluggable)
{
    unsigned int current = virDomainDefGetVcpus(def);
    size_t i;

    virDomainDefVcpuOrderClear(def);
    for (i = 0; i < def->maxvcpus && current < nvcpus; i++) {
        virDomainVcpuDef *vcpu = def->vcpus[i];

        if (vcpu->online)
            continue;
        vcpu->online = true;
        /* What comes after one that can go has to be such a one, too. */
        vcpu->hotpluggable = virTristateBoolFromBool(hotpluggable || vireoVcpuCountFixed(def) < i);
        current++;
    }
    for (i = def->maxvcpus; i > 0 && current > nvcpus; i--) {
        if (!def->vcpus[i - 1]->online)
            continue;
        def->vcpus[i - 1]->online = false;
        def->vcpus[i - 1]->hotpluggable = VIR_TRISTATE_BOOL_ABSENT;
        current--;
    }

    def->individualvcpus = vireoVcpuCountFixed(def) < current;
}

static void
vireoVcpuSetOnline(virDomainObj *vm,
                   unsigned int vcpu,
                   bool online)
{
    unsigned int before = virDomainDefGetVcpus(vm->def);

    vm->def->vcpus[vcpu]->online = online;
    virDomainAuditVcpu(vm, before, virDomainDefGetVcpus(vm->def), "update", true);
}

static int
vireoVcpuPlug(virDomainObj *vm,
              unsigned int vcpu)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    unsigned int before = virDomainDefGetVcpus(vm->def);

    if (vireoQmpAdd(vm, "device_add", vireoVcpuProps(vm->def, vcpu)) < 0) {
        virDomainAuditVcpu(vm, before, before + 1, "update", false);
        return -1;
    }

    /* It is there, and stays until the guest lets it go. */
    vireoVcpuSetOnline(vm, vcpu, true);
    if (vireoQmpGetThreads(vm) < 0)
        return -1;
    if (priv->vcpuThreads[vcpu] == 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("vCPU %u has no thread"), vcpu);
        return -1;
    }

    return vireoCgroupSetupVcpu(vm, vcpu, priv->vcpuThreads[vcpu]);
}

static void
vireoVcpuGone(virDomainObj *vm,
              unsigned int vcpu)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    vireoVcpuSetOnline(vm, vcpu, false);
    priv->vcpuThreads[vcpu] = 0;
    if (priv->cgroup && virCgroupDelThread(priv->cgroup, VIR_CGROUP_THREAD_VCPU, vcpu) < 0)
        VIR_WARN("the cgroup of vCPU %u of domain %s could not be removed", vcpu, vm->def->name);
}

static int
vireoVcpuUnplug(virDomainObj *vm,
                unsigned int vcpu)
{
    g_autofree char *alias = vireoVcpuAlias(vcpu);
    int rc = vireoHotplugRelease(vm, alias);

    if (rc == 0) {
        virReportError(VIR_ERR_OPERATION_TIMEOUT,
                       _("the guest has not let go of vCPU %u yet"), vcpu);
        return -1;
    }
    if (rc < 0)
        return -1;

    vireoVcpuGone(vm, vcpu);
    return 0;
}

int
vireoVcpuSwitch(virDomainObj *vm,
                unsigned int vcpu,
                bool online)
{
    const virDomainVcpuDef *def = vm->def->vcpus[vcpu];

    if (def->online == online)
        return 0;
    if (online)
        return vireoVcpuPlug(vm, vcpu);
    if (def->hotpluggable == VIR_TRISTATE_BOOL_YES)
        return vireoVcpuUnplug(vm, vcpu);

    virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                   _("vCPU %u is not hotpluggable: it stays while the domain runs"), vcpu);
    return -1;
}

int
vireoVcpuSetLive(virDomainObj *vm,
                 unsigned int nvcpus)
{
    virDomainDef *def = vm->def;
    unsigned int fixed = vireoVcpuCountFixed(def);
    size_t i;

    if (nvcpus < fixed) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("%u of the vCPUs are not hotpluggable: they stay while the domain runs"),
                       fixed);
        return -1;
    }

    for (i = 0; i < def->maxvcpus && virDomainDefGetVcpus(def) < nvcpus; i++) {
        if (vireoVcpuSwitch(vm, i, true) < 0)
            return -1;
    }
    for (i = def->maxvcpus; i > fixed && virDomainDefGetVcpus(def) > nvcpus; i--) {
        if (vireoVcpuSwitch(vm, i - 1, false) < 0 || virDomainObjCheckActive(vm) < 0)
            return -1;
    }

    return 0;
}

bool
vireoVcpuForget(virDomainObj *vm,
                const char *alias)
{
    const char *number = STRSKIP(alias, VIREO_ALIAS_VCPU);
    unsigned int vcpu;

    if (!number || virStrToLong_uip(number, NULL, 10, &vcpu) < 0 || vcpu >= vm->def->maxvcpus)
        return false;

    if (vm->def->vcpus[vcpu]->online)
        vireoVcpuGone(vm, vcpu);
    return true;
}

void
vireoVcpuReconnect(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    for (i = 0; i < priv->nvcpuThreads; i++) {
        if (vm->def->vcpus[i]->online && priv->vcpuThreads[i] == 0)
            vireoVcpuGone(vm, i);
        else if (priv->vcpuThreads[i] != 0)
            vm->def->vcpus[i]->online = true;
    }
}
