/*
 * vireo_memory.c: the guest's memory as the monitor's arguments
 *
 * Without NUMA nodes the guest has one memory backend, else each node that has
 * memory has its own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virnuma.h"
#include "virutil.h"

#include "vireo_alias.h"
#include "vireo_command.h"
#include "vireo_device_props.h"
#include "vireo_memory.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* As the monitor calls them; 'restrictive' is the cgroup's business. */
static const char *
vireoMemoryPolicy(virDomainNumatuneMemMode mode)
{
    switch (mode) {
    case VIR_DOMAIN_NUMATUNE_MEM_PREFERRED:
        return "preferred";
    case VIR_DOMAIN_NUMATUNE_MEM_INTERLEAVE:
        return "interleave";
    case VIR_DOMAIN_NUMATUNE_MEM_STRICT:
    case VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE:
    case VIR_DOMAIN_NUMATUNE_MEM_LAST:
    default:
        return "bind";
    }
}

/* Whether @mem has huge pages, and their size in @pagesize (KiB; 0: the host's default). */
static bool
vireoMemoryHugePages(const virDomainDef *def,
                     const virDomainMemoryDef *mem,
                     unsigned long long *pagesize)
{
    const virDomainHugePage *found = NULL;
    size_t i;

    *pagesize = mem->pagesize;
    if (*pagesize == 0) {
        for (i = 0; i < def->mem.nhugepages; i++) {
            const virDomainHugePage *page = &def->mem.hugepages[i];

            if (!page->nodemask) {
                found = page;
            } else if (mem->targetNode >= 0 &&
                       virBitmapIsBitSet(page->nodemask, mem->targetNode)) {
                found = page;
                break;
            }
        }
        if (!found)
            return false;
        *pagesize = found->size;
    }

    return *pagesize != (unsigned long long) virGetSystemPageSizeKB();
}

bool
vireoMemoryHasHugePages(const virDomainDef *def,
                        const virDomainMemoryDef *mem)
{
    unsigned long long pagesize;

    return vireoMemoryHugePages(def, mem, &pagesize);
}

char *
vireoMemoryBackendAlias(const virDomainMemoryDef *mem)
{
    return g_strdup_printf("mem%s", mem->info.alias);
}

/* From which of the host's NUMA nodes @mem is. */
static int
vireoMemoryAddPolicy(virJSONValue **props,
                     const virDomainDef *def,
                     const virDomainMemoryDef *mem,
                     virBitmap *autoNodes)
{
    virDomainNumatuneMemMode mode;
    virBitmap *nodes = mem->sourceNodes;

    if (!nodes &&
        virDomainNumatuneMaybeGetNodeset(def->numa, autoNodes, &nodes, mem->targetNode) < 0)
        return -1;
    if (!nodes)
        return 0;
    if (!virNumaNodesetIsAvailable(nodes))
        return -1;
    if (virDomainNumatuneGetMode(def->numa, mem->targetNode, &mode) < 0 &&
        virDomainNumatuneGetMode(def->numa, -1, &mode) < 0)
        mode = VIR_DOMAIN_NUMATUNE_MEM_STRICT;
    if (mode == VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE)
        return 0;

    return virJSONValueObjectAdd(props,
                                 "m:host-nodes", nodes,
                                 "s:policy", vireoMemoryPolicy(mode),
                                 NULL) < 0 ? -1 : 0;
}

/* What the cell says of it, or else the domain. */
static void
vireoMemoryAccess(const virDomainDef *def,
                  const virDomainMemoryDef *mem,
                  bool *share,
                  bool *discard)
{
    virDomainMemoryAccess access = mem->access;
    virTristateBool drop = mem->discard;

    if (mem->targetNode >= 0) {
        if (access == VIR_DOMAIN_MEMORY_ACCESS_DEFAULT)
            access = virDomainNumaGetNodeMemoryAccessMode(def->numa, mem->targetNode);
        if (drop == VIR_TRISTATE_BOOL_ABSENT)
            drop = virDomainNumaGetNodeDiscard(def->numa, mem->targetNode);
    }
    if (access == VIR_DOMAIN_MEMORY_ACCESS_DEFAULT)
        access = def->mem.access;
    if (drop == VIR_TRISTATE_BOOL_ABSENT)
        drop = def->mem.discard;
    *share = access == VIR_DOMAIN_MEMORY_ACCESS_SHARED;
    *discard = drop == VIR_TRISTATE_BOOL_YES;
}

virJSONValue *
vireoMemoryBackendProps(const virDomainDef *def,
                        const char *alias,
                        const virDomainMemoryDef *mem,
                        const char *dir,
                        virBitmap *autoNodes)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *path = NULL;
    unsigned long long pagesize = 0;
    bool huge = vireoMemoryHugePages(def, mem, &pagesize);
    bool prealloc = def->mem.allocation == VIR_DOMAIN_MEMORY_ALLOCATION_IMMEDIATE || huge;
    const char *type = "memory-backend-ram";
    bool share, discard;

    vireoMemoryAccess(def, mem, &share, &discard);
    /* Huge pages say more than a kind of source does. */
    if (def->mem.source == VIR_DOMAIN_MEMORY_SOURCE_FILE && !huge) {
        type = "memory-backend-file";
        path = g_strdup_printf("%s/%s", dir, alias);
    } else if (def->mem.source == VIR_DOMAIN_MEMORY_SOURCE_MEMFD || huge || share) {
        type = "memory-backend-memfd";
    }
    /* A device's memory is there when the guest asks for it. */
    if (mem->model == VIR_DOMAIN_MEMORY_MODEL_VIRTIO_MEM)
        prealloc = false;

    if (virJSONValueObjectAdd(&props,
                              "s:qom-type", type,
                              "s:id", alias,
                              "U:size", mem->size * 1024,
                              "S:mem-path", path,
                              "B:share", share,
                              "B:discard-data", path && discard,
                              "B:prealloc", prealloc,
                              "p:prealloc-threads", prealloc ? def->mem.allocation_threads : 0,
                              "B:hugetlb", huge,
                              "P:hugetlbsize", huge ? pagesize * 1024 : 0,
                              NULL) < 0 ||
        vireoMemoryAddPolicy(&props, def, mem, autoNodes) < 0)
        return NULL;
    if (def->mem.nosharepages &&
        virJSONValueObjectAdd(&props, "b:merge", false, NULL) < 0)
        return NULL;
    if (def->mem.dump_core != VIR_TRISTATE_SWITCH_ABSENT &&
        virJSONValueObjectAdd(&props, "T:dump", def->mem.dump_core, NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

static int
vireoMemoryAddCell(virCommand *cmd,
                   const virDomainDef *def,
                   size_t cell,
                   const char *dir,
                   virBitmap *autoNodes)
{
    g_autofree char *alias = g_strdup_printf("ram-node%zu", cell);
    g_autofree char *cpus = NULL;
    g_auto(GStrv) ranges = NULL;
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    virBitmap *mask = virDomainNumaGetNodeCpumask(def->numa, cell);
    virDomainMemoryDef mem = {
        .size = virDomainNumaGetNodeMemorySize(def->numa, cell),
        .targetNode = cell,
    };
    size_t i;

    if (mem.size > 0 &&
        vireoCommandAddJSON(cmd, "-object",
                            vireoMemoryBackendProps(def, alias, &mem, dir, autoNodes)) < 0)
        return -1;

    virBufferAsprintf(&buf, "node,nodeid=%zu", cell);
    if (mask && !virBitmapIsAllClear(mask)) {
        if (!(cpus = virBitmapFormat(mask)))
            return -1;
        ranges = g_strsplit(cpus, ",", 0);
        for (i = 0; ranges[i]; i++)
            virBufferAsprintf(&buf, ",cpus=%s", ranges[i]);
    }
    if (mem.size > 0)
        virBufferAsprintf(&buf, ",memdev=%s", alias);
    virCommandAddArg(cmd, "-numa");
    virCommandAddArgBuffer(cmd, &buf);

    return 0;
}

static int
vireoMemoryAddCells(virCommand *cmd,
                    const virDomainDef *def,
                    const char *dir,
                    virBitmap *autoNodes)
{
    size_t ncells = virDomainNumaGetNodeCount(def->numa);
    size_t i;
    size_t j;

    for (i = 0; i < ncells; i++) {
        if (vireoMemoryAddCell(cmd, def, i, dir, autoNodes) < 0)
            return -1;
    }

    if (!virDomainNumaNodesDistancesAreBeingSet(def->numa))
        return 0;
    for (i = 0; i < ncells; i++) {
        for (j = 0; j < ncells; j++) {
            virCommandAddArg(cmd, "-numa");
            virCommandAddArgFormat(cmd, "dist,src=%zu,dst=%zu,val=%zu", i, j,
                                   virDomainNumaGetNodeDistance(def->numa, i, j));
        }
    }

    return 0;
}

int
vireoMemoryAddDevices(virCommand *cmd,
                      const virDomainDef *def,
                      const char *dir,
                      virBitmap *autoNodes)
{
    size_t i;

    for (i = 0; i < def->nmems; i++) {
        g_autofree char *alias = vireoMemoryBackendAlias(def->mems[i]);

        if (vireoCommandAddJSON(cmd, "-object",
                                vireoMemoryBackendProps(def, alias, def->mems[i], dir,
                                                        autoNodes)) < 0 ||
            vireoCommandAddJSON(cmd, "-device", vireoDevicePropsMemory(def, def->mems[i])) < 0)
            return -1;
    }

    return 0;
}

int
vireoMemoryAddArgs(virCommand *cmd,
                   const virDomainDef *def,
                   const char *dir,
                   virBitmap *autoNodes)
{
    virDomainMemoryDef all = {
        .size = virDomainDefGetMemoryInitial(def),
        .targetNode = -1,
    };

    virCommandAddArg(cmd, "-m");
    if (virDomainDefHasMemoryHotplug(def))
        virCommandAddArgFormat(cmd, "size=%lluk,slots=%u,maxmem=%lluk", all.size,
                               def->mem.memory_slots, def->mem.max_memory);
    else
        virCommandAddArgFormat(cmd, "size=%lluk", all.size);
    if (def->mem.locked) {
        virCommandAddArgList(cmd, "-overcommit", "mem-lock=on", NULL);
        virCommandSetMaxMemLock(cmd, virMemoryLimitIsSet(def->mem.hard_limit) ?
                                def->mem.hard_limit * 1024 : VIR_DOMAIN_MEMORY_PARAM_UNLIMITED);
    }

    if (virDomainNumaGetNodeCount(def->numa) > 0)
        return vireoMemoryAddCells(cmd, def, dir, autoNodes);

    return vireoCommandAddJSON(cmd, "-object",
                               vireoMemoryBackendProps(def, VIREO_ALIAS_MEMORY, &all, dir,
                                                       autoNodes));
}
