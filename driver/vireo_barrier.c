/*
 * vireo_barrier.c: interfaces that pass nothing while what filters them changes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "vircommand.h"
#include "virerror.h"
#include "virlog.h"
#include "virxml.h"

#include "vireo_barrier.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_barrier");

/* What libvirt's filters are made of, too, so it is there where one is. Each has these before its own. */
#define VIREO_BARRIER_TOOL "ebtables"

/* It fails when another process changes the same table at that moment, and says no more than that. */
#define VIREO_BARRIER_TRIES 10
#define VIREO_BARRIER_WAIT_US (10 * 1000)

static const struct {
    const char *chain;
    const char *option;
} vireoBarrierRules[] = {
    { "PREROUTING", "-i" },
    { "POSTROUTING", "-o" },
};

/* @action: -I or -D */
static int
vireoBarrierRule(size_t rule,
                 const char *action,
                 const char *ifname)
{
    size_t tries;

    for (tries = 0; tries < VIREO_BARRIER_TRIES; tries++) {
        g_autoptr(virCommand) cmd = virCommandNewArgList(VIREO_BARRIER_TOOL, "--concurrent", "-t", "nat",
                                                         action, vireoBarrierRules[rule].chain,
                                                         vireoBarrierRules[rule].option, ifname,
                                                         "-j", "DROP", NULL);

        if (virCommandRun(cmd, NULL) == 0) {
            virResetLastError();
            return 0;
        }
        g_usleep(VIREO_BARRIER_WAIT_US);
    }

    return -1;
}

bool
vireoBarrierIsClosed(virDomainObj *vm,
                     const char *ifname)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return ifname && g_hash_table_contains(priv->barriers, ifname);
}

void
vireoBarrierOpen(virDomainObj *vm,
                 const char *ifname)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virErrorPtr saved;
    size_t i;

    if (!vireoBarrierIsClosed(vm, ifname))
        return;

    virErrorPreserveLast(&saved);
    for (i = 0; i < G_N_ELEMENTS(vireoBarrierRules); i++) {
        if (vireoBarrierRule(i, "-D", ifname) < 0)
            VIR_WARN("interface %s of domain %s may be closed still: %s", ifname, vm->def->name,
                     virGetLastErrorMessage());
    }
    g_hash_table_remove(priv->barriers, ifname);
    vireoDomainSaveStatus(vm);
    virErrorRestore(&saved);
}

int
vireoBarrierClose(virDomainObj *vm,
                  const char *ifname)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    if (!g_hash_table_add(priv->barriers, g_strdup(ifname)))
        return 0;

    vireoDomainSaveStatus(vm);
    for (i = 0; i < G_N_ELEMENTS(vireoBarrierRules); i++) {
        if (vireoBarrierRule(i, "-I", ifname) < 0) {
            vireoBarrierOpen(vm, ifname);
            return -1;
        }
    }

    return 0;
}

void
vireoBarriersFormat(virBuffer *buf,
                    GHashTable *barriers)
{
    g_auto(virBuffer) children = VIR_BUFFER_INIT_CHILD(buf);
    GHashTableIter iter;
    void *ifname;

    g_hash_table_iter_init(&iter, barriers);
    while (g_hash_table_iter_next(&iter, &ifname, NULL))
        virBufferEscapeString(&children, "<barrier dev='%s'/>\n", ifname);
    virXMLFormatElement(buf, "barriers", NULL, &children);
}

static int
vireoBarrierParse(xmlNodePtr node,
                  void *opaque)
{
    char *ifname = virXMLPropStringRequired(node, "dev");

    if (!ifname)
        return -1;
    g_hash_table_add(opaque, ifname);

    return 0;
}

int
vireoBarriersParse(xmlXPathContextPtr ctxt,
                   GHashTable *barriers)
{
    return vireoDomainParseNodes(ctxt, "./barriers/barrier", vireoBarrierParse, barriers);
}
