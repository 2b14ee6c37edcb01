/*
 * vireo_driver_host.c: entry points about the host's memory, CPU and SMBIOS
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "cpu/cpu.h"
#include "viraccessapicheck.h"
#include "virbuffer.h"
#include "virerror.h"
#include "virhostmem.h"
#include "virnodesuspend.h"
#include "virsysinfo.h"

#include "vireo_capabilities.h"
#include "vireo_cpu.h"
#include "vireo_driver.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoNodeGetCellsFreeMemory(virConnectPtr conn,
                            unsigned long long *freeMems,
                            int startCell,
                            int maxCells)
{
    if (virNodeGetCellsFreeMemoryEnsureACL(conn) < 0)
        return -1;

    return virHostMemGetCellsFree(freeMems, startCell, maxCells);
}

int
vireoNodeGetFreePages(virConnectPtr conn,
                      unsigned int npages,
                      unsigned int *pages,
                      int startCell,
                      unsigned int cellCount,
                      unsigned long long *counts,
                      unsigned int flags)
{
    vireoDriver *driver = conn->privateData;

    virCheckFlags(0, -1);

    if (virNodeGetFreePagesEnsureACL(conn) < 0)
        return -1;

    return virHostMemGetFreePages(npages, pages, startCell, cellCount,
                                  virCapabilitiesHostNUMAGetMaxNode(driver->caps->host.numa),
                                  counts);
}

int
vireoNodeAllocPages(virConnectPtr conn,
                    unsigned int npages,
                    unsigned int *pageSizes,
                    unsigned long long *pageCounts,
                    int startCell,
                    unsigned int cellCount,
                    unsigned int flags)
{
    vireoDriver *driver = conn->privateData;

    virCheckFlags(VIR_NODE_ALLOC_PAGES_SET, -1);

    if (virNodeAllocPagesEnsureACL(conn) < 0)
        return -1;

    return virHostMemAllocPages(npages, pageSizes, pageCounts, startCell, cellCount,
                                virCapabilitiesHostNUMAGetMaxNode(driver->caps->host.numa),
                                !(flags & VIR_NODE_ALLOC_PAGES_SET));
}

int
vireoNodeGetMemoryParameters(virConnectPtr conn,
                             virTypedParameterPtr params,
                             int *nparams,
                             unsigned int flags)
{
    if (virNodeGetMemoryParametersEnsureACL(conn) < 0)
        return -1;

    return virHostMemGetParameters(params, nparams, flags);
}

int
vireoNodeSetMemoryParameters(virConnectPtr conn,
                             virTypedParameterPtr params,
                             int nparams,
                             unsigned int flags)
{
    if (virNodeSetMemoryParametersEnsureACL(conn) < 0)
        return -1;

    return virHostMemSetParameters(params, nparams, flags);
}

int
vireoNodeSuspendForDuration(virConnectPtr conn,
                            unsigned int target,
                            unsigned long long duration,
                            unsigned int flags)
{
    if (virNodeSuspendForDurationEnsureACL(conn) < 0)
        return -1;

    return virNodeSuspend(target, duration, flags);
}

char *
vireoConnectGetSysinfo(virConnectPtr conn,
                       unsigned int flags)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    g_autoptr(virSysinfoDef) info = NULL;

    virCheckFlags(0, NULL);

    if (virConnectGetSysinfoEnsureACL(conn) < 0)
        return NULL;

    if (!(info = virSysinfoRead())) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("the host's SMBIOS tables cannot be read"));
        return NULL;
    }
    if (virSysinfoFormat(&buf, info) < 0)
        return NULL;

    return virBufferContentAndReset(&buf);
}

int
vireoConnectGetCPUModelNames(virConnectPtr conn,
                             const char *archName,
                             char ***models,
                             unsigned int flags)
{
    virArch arch;

    virCheckFlags(0, -1);

    if (virConnectGetCPUModelNamesEnsureACL(conn) < 0)
        return -1;

    if ((arch = virArchFromString(archName)) == VIR_ARCH_NONE) {
        virReportError(VIR_ERR_INVALID_ARG, _("there is no architecture '%s'"), archName);
        return -1;
    }

    return virCPUGetModels(arch, models);
}

int
vireoConnectCompareCPU(virConnectPtr conn,
                       const char *xmlDesc,
                       unsigned int flags)
{
    vireoDriver *driver = conn->privateData;

    virCheckFlags(VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE |
                  VIR_CONNECT_COMPARE_CPU_VALIDATE_XML, VIR_CPU_COMPARE_ERROR);

    if (virConnectCompareCPUEnsureACL(conn) < 0)
        return VIR_CPU_COMPARE_ERROR;

    if (!driver->caps->host.cpu) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s", _("the host's CPU model is unknown"));
        return VIR_CPU_COMPARE_ERROR;
    }

    return virCPUCompareXML(driver->caps->host.arch, driver->caps->host.cpu, xmlDesc,
                            flags & VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE,
                            flags & VIR_CONNECT_COMPARE_CPU_VALIDATE_XML);
}

char *
vireoConnectBaselineCPU(virConnectPtr conn,
                        const char **xmlCPUs,
                        unsigned int ncpus,
                        unsigned int flags)
{
    g_autoptr(virCPUDef) baseline = NULL;
    virCPUDef **cpus;
    char *ret = NULL;

    virCheckFlags(VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES |
                  VIR_CONNECT_BASELINE_CPU_MIGRATABLE, NULL);

    if (virConnectBaselineCPUEnsureACL(conn) < 0)
        return NULL;

    if (!(cpus = virCPUDefListParse(xmlCPUs, ncpus, VIR_CPU_TYPE_HOST)))
        return NULL;

    if ((baseline = virCPUBaseline(VIR_ARCH_NONE, cpus, ncpus, NULL, NULL,
                                   flags & VIR_CONNECT_BASELINE_CPU_MIGRATABLE)) &&
        (!(flags & VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES) ||
         virCPUExpandFeatures(cpus[0]->arch, baseline) == 0))
        ret = virCPUDefFormat(baseline, NULL);

    virCPUDefListFree(cpus);
    return ret;
}

int
vireoConnectCompareHypervisorCPU(virConnectPtr conn,
                                 const char *emulator G_GNUC_UNUSED,
                                 const char *arch,
                                 const char *machine,
                                 const char *virttype,
                                 const char *xmlCPU,
                                 unsigned int flags)
{
    vireoDriver *driver = conn->privateData;

    virCheckFlags(VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE |
                  VIR_CONNECT_COMPARE_CPU_VALIDATE_XML, VIR_CPU_COMPARE_ERROR);

    if (virConnectCompareHypervisorCPUEnsureACL(conn) < 0 ||
        vireoCapabilitiesCheck(arch, machine, virttype) < 0)
        return VIR_CPU_COMPARE_ERROR;

    if (!driver->cpuHost) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("KVM does not tell what CPUs guests can have"));
        return VIR_CPU_COMPARE_ERROR;
    }

    return virCPUCompareXML(VIR_ARCH_X86_64, driver->cpuHost->model, xmlCPU,
                            flags & VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE,
                            flags & VIR_CONNECT_COMPARE_CPU_VALIDATE_XML);
}

char *
vireoConnectBaselineHypervisorCPU(virConnectPtr conn,
                                  const char *emulator G_GNUC_UNUSED,
                                  const char *arch,
                                  const char *machine,
                                  const char *virttype,
                                  const char **xmlCPUs,
                                  unsigned int ncpus,
                                  unsigned int flags)
{
    g_autoptr(virDomainCapsCPUModels) models = NULL;
    g_autoptr(virCPUDef) baseline = NULL;
    virCPUDef **cpus;
    char *ret = NULL;

    virCheckFlags(VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES |
                  VIR_CONNECT_BASELINE_CPU_MIGRATABLE, NULL);

    if (virConnectBaselineHypervisorCPUEnsureACL(conn) < 0 ||
        vireoCapabilitiesCheck(arch, machine, virttype) < 0 ||
        !(models = vireoCPUModels(NULL)) ||
        !(cpus = virCPUDefListParse(xmlCPUs, ncpus, VIR_CPU_TYPE_AUTO)))
        return NULL;

    if ((baseline = virCPUBaseline(VIR_ARCH_X86_64, cpus, ncpus, models, NULL,
                                   flags & VIR_CONNECT_BASELINE_CPU_MIGRATABLE))) {
        baseline->fallback = VIR_CPU_FALLBACK_FORBID;
        if (!(flags & VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES) ||
            virCPUExpandFeatures(VIR_ARCH_X86_64, baseline) == 0)
            ret = virCPUDefFormat(baseline, NULL);
    }

    virCPUDefListFree(cpus);
    return ret;
}
