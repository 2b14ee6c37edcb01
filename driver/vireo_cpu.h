/*
 * vireo_cpu.h: CPU models of guests, by libvirt's CPU code
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "conf/domain_capabilities.h"
#include "cpu/cpu.h"

#include "vireo_domain.h"

/* The host's CPU as KVM lets guests have it; set once and then only read. */
struct _vireoCPUHost {
    virCPUDef *model;       /* what a guest can have of it: host-model */
    virCPUDef *full;        /* what guests' CPUs are compared with */
};

/**
 * vireoCPUHostNew:
 *
 * Asks KVM. Returns a new vireoCPUHost, or NULL with an error reported where
 * there is no KVM to ask.
 */
vireoCPUHost *
vireoCPUHostNew(void);

/**
 * vireoCPUHostFromData:
 * @data: what KVM offers
 *
 * Returns a new vireoCPUHost, or NULL with an error reported.
 */
vireoCPUHost *
vireoCPUHostFromData(const virCPUData *data);

void
vireoCPUHostFree(vireoCPUHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vireoCPUHost, vireoCPUHostFree);

/**
 * vireoCPUModels:
 * @host: may be NULL
 *
 * Returns the named models, and whether @host can give all of each, to be
 * unreferenced with virObjectUnref; NULL with an error reported.
 */
virDomainCapsCPUModels *
vireoCPUModels(const vireoCPUHost *host);

/**
 * vireoCPUPostParse:
 *
 * Fills in what the XML of @def's <cpu> leaves open.
 */
void
vireoCPUPostParse(virDomainDef *def);

/**
 * vireoCPUValidate:
 *
 * Returns 0, or -1 with an error reported if @cpu names a model or feature that
 * does not exist.
 */
int
vireoCPUValidate(const virCPUDef *cpu);

/**
 * vireoCPUPrepare:
 * @host: may be NULL, where only CPUs that need no comparison can be had
 * @cpu: of a domain about to start
 *
 * Compares @cpu with the host as its check attribute says, and turns host-model
 * and the policy 'optional' into what they come to here. Returns 0, or -1 with
 * an error reported.
 */
int
vireoCPUPrepare(const vireoCPUHost *host,
                virCPUDef *cpu);

/**
 * vireoCPUUpdateLive:
 * @vm: running, in a job; may be unlocked meanwhile
 *
 * Brings the live definition's CPU to what the guest was given, or complains of
 * the difference where check is 'full'. Returns 0, or -1 with an error reported.
 */
int
vireoCPUUpdateLive(virDomainObj *vm);

/**
 * vireoCPUFormat:
 *
 * Returns @cpu as the argument of -cpu, a new string.
 */
char *
vireoCPUFormat(const virCPUDef *cpu);

/**
 * vireoCPUFormatHyperv:
 *
 * Adds to @buf, the argument of -cpu, the Hyper-V enlightenments of @def.
 */
void
vireoCPUFormatHyperv(virBuffer *buf,
                     const virDomainDef *def);
