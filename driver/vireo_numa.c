/*
 * vireo_numa.c: on which of the host's NUMA nodes a domain is
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "capabilities.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virnuma.h"
#include "virxml.h"

#include "vireo_numa.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoNumaPrepare(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *numad = NULL;
    g_autofree char *advice = NULL;
    g_autoptr(virCapsHostNUMA) host = NULL;
    g_autoptr(virBitmap) nodes = NULL;
    g_autoptr(virBitmap) memory = NULL;

    if (!virDomainDefNeedsPlacementAdvice(vm->def))
        return 0;

    if (!(numad = virFindFileInPath("numad"))) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("placement='auto' needs numad, which this host does not have"));
        return -1;
    }
    if (!(advice = virNumaGetAutoPlacementAdvice(virDomainDefGetVcpus(vm->def),
                                                 virDomainDefGetMemoryTotal(vm->def))) ||
        virBitmapParse(advice, &nodes, VIR_DOMAIN_CPUMASK_LEN) < 0 ||
        !(memory = virNumaGetHostMemoryNodeset()) ||
        !(host = virCapabilitiesHostNUMANewHost()) ||
        !(priv->autoCpus = virCapabilitiesHostNUMAGetCpus(host, nodes)))
        return -1;

    /* A node may have processors and no memory. */
    virBitmapIntersect(nodes, memory);
    priv->autoNodes = g_steal_pointer(&nodes);

    return 0;
}

bool
vireoNumaIsRestrictive(const virDomainDef *def)
{
    virDomainNumatuneMemMode mode;
    ssize_t cell;

    for (cell = -1; cell < (ssize_t) virDomainNumaGetNodeCount(def->numa); cell++) {
        if (virDomainNumatuneGetMode(def->numa, cell, &mode) == 0 &&
            mode == VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE)
            return true;
    }

    return false;
}

/* The cell of the guest that @vcpu is in; -1: there are none. */
static int
vireoNumaCellOfVcpu(virDomainNuma *numa,
                    int vcpu)
{
    size_t i;

    for (i = 0; i < virDomainNumaGetNodeCount(numa); i++) {
        virBitmap *cpus = virDomainNumaGetNodeCpumask(numa, i);

        if (cpus && virBitmapIsBitSet(cpus, vcpu))
            return i;
    }

    return -1;
}

int
vireoNumaThreadNodes(virDomainObj *vm,
                     virCgroupThreadName name,
                     int id,
                     char **nodes)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainNuma *numa = vm->def->numa;
    virDomainNumatuneMemMode mode;
    int cell = name == VIR_CGROUP_THREAD_VCPU ? vireoNumaCellOfVcpu(numa, id) : -1;

    *nodes = NULL;
    if (virDomainNumatuneGetMode(numa, cell, &mode) < 0 ||
        mode != VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE)
        return 0;

    return virDomainNumatuneMaybeFormatNodeset(numa, priv->autoNodes, nodes, cell);
}

static int
vireoNumaSetThread(virDomainObj *vm,
                   virCgroupThreadName name,
                   int id,
                   const char *nodes)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) cgroup = NULL;

    if (virCgroupNewThread(priv->cgroup, name, id, false, &cgroup) < 0)
        return -1;

    return virCgroupSetCpusetMems(cgroup, nodes);
}

int
vireoNumaSetNodes(virDomainObj *vm,
                  virBitmap *nodes)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *text = NULL;
    size_t i;

    if (!virNumaNodesetIsAvailable(nodes) ||
        !(text = virBitmapFormat(nodes)) ||
        vireoNumaSetThread(vm, VIR_CGROUP_THREAD_EMULATOR, 0, text) < 0)
        return -1;

    for (i = 0; i < priv->nvcpuThreads; i++) {
        if (priv->vcpuThreads[i] != 0 &&
            vireoNumaSetThread(vm, VIR_CGROUP_THREAD_VCPU, i, text) < 0)
            return -1;
    }
    for (i = 0; i < vm->def->niothreadids; i++) {
        if (vireoNumaSetThread(vm, VIR_CGROUP_THREAD_IOTHREAD,
                               vm->def->iothreadids[i]->iothread_id, text) < 0)
            return -1;
    }

    return 0;
}

void
vireoNumaFormat(virBuffer *buf,
                const vireoDomainObjPrivate *priv)
{
    g_autofree char *nodes = NULL;
    g_autofree char *cpus = NULL;

    if (!priv->autoNodes || !priv->autoCpus)
        return;

    nodes = virBitmapFormat(priv->autoNodes);
    cpus = virBitmapFormat(priv->autoCpus);
    virBufferAsprintf(buf, "<numad nodeset='%s' cpuset='%s'/>\n", nodes, cpus);
}

int
vireoNumaParse(xmlXPathContextPtr ctxt,
               vireoDomainObjPrivate *priv)
{
    g_autofree char *nodes = virXPathString("string(./numad/@nodeset)", ctxt);
    g_autofree char *cpus = virXPathString("string(./numad/@cpuset)", ctxt);

    if (!nodes || !cpus)
        return 0;
    if (virBitmapParse(nodes, &priv->autoNodes, VIR_DOMAIN_CPUMASK_LEN) < 0)
        return -1;

    return virBitmapParse(cpus, &priv->autoCpus, VIR_DOMAIN_CPUMASK_LEN);
}
