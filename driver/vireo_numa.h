/*
 * vireo_numa.h: on which of the host's NUMA nodes a domain is
 *
 * Memory with a node or several is bound there by the monitor (vireo_memory.h). In mode
 * 'restrictive' it is the cgroups of the domain's threads that say where new memory is
 * from; only that can be changed while the domain runs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoNumaPrepare:
 * @vm: about to start, locked
 *
 * Asks numad for advice where the definition leaves the placement of memory or vCPUs
 * to it. Returns 0, or -1 with an error reported, also where the host has no numad.
 */
int
vireoNumaPrepare(virDomainObj *vm);

/* Whether any memory of @def is 'restrictive'. */
bool
vireoNumaIsRestrictive(const virDomainDef *def);

/**
 * vireoNumaThreadNodes:
 * @name: the kind of thread
 * @id: its number among those
 * @nodes: set to where the thread may take memory from, as cpuset.mems has it, or to
 *     NULL: from anywhere; free with g_free
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoNumaThreadNodes(virDomainObj *vm,
                     virCgroupThreadName name,
                     int id,
                     char **nodes);

/**
 * vireoNumaSetNodes:
 * @vm: an active domain whose memory is 'restrictive', locked
 *
 * Has all its threads take memory from @nodes, where the kernel moves what they have.
 * Returns 0, or -1 with an error reported.
 */
int
vireoNumaSetNodes(virDomainObj *vm,
                  virBitmap *nodes);

/* What numad advised, in the domain's status. Parsing returns 0, or -1 with an error
 * reported. */
void
vireoNumaFormat(virBuffer *buf,
                const vireoDomainObjPrivate *priv);
int
vireoNumaParse(xmlXPathContextPtr ctxt,
               vireoDomainObjPrivate *priv);
