/*
 * vireo_vcpu.h: vCPUs that come and go
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* Whether Vireo can have its vCPUs as @def says: 0, or -1 with an error reported. */
int
vireoVcpuValidate(const virDomainDef *def);

/* How many vCPUs the machine is made with; the others that are enabled are devices. */
unsigned int
vireoVcpuCountFixed(const virDomainDef *def);

/**
 * vireoVcpuPrepare:
 * @def: of a domain that is about to start
 *
 * Says of each vCPU whether it can come and go.
 */
void
vireoVcpuPrepare(virDomainDef *def);

/**
 * vireoVcpuProps:
 * @vcpu: its number, below the maximum
 *
 * -device / device_add; NULL with an error reported
 */
virJSONValue *
vireoVcpuProps(const virDomainDef *def,
               unsigned int vcpu);

/**
 * vireoVcpuSetConfig:
 * @def: a definition
 * @nvcpus: how many of its vCPUs are to be enabled; at most the maximum
 * @hotpluggable: whether those that are enabled now are to be such that can go again
 */
void
vireoVcpuSetConfig(virDomainDef *def,
                   unsigned int nvcpus,
                   bool hotpluggable);

/**
 * vireoVcpuSetLive:
 * @vm: an active domain, locked and in a job
 * @nvcpus: how many vCPUs it is to have
 *
 * Adds the first that are not there, or takes away the last that the guest can let
 * go of. Returns 0, or -1 with an error reported; what was done until then stays.
 */
int
vireoVcpuSetLive(virDomainObj *vm,
                 unsigned int nvcpus);

/**
 * vireoVcpuSwitch:
 * @vm: an active domain, locked and in a job
 * @vcpu: its number, below the maximum
 *
 * Adds or takes away one vCPU, unless it is as wanted. Returns 0, or -1 with an
 * error reported.
 */
int
vireoVcpuSwitch(virDomainObj *vm,
                unsigned int vcpu,
                bool online);

/**
 * vireoVcpuForget:
 * @alias: of a device that is gone
 *
 * Returns false if that was no vCPU; else it is not in the definition any more. @vm
 * locked and in a job.
 */
bool
vireoVcpuForget(virDomainObj *vm,
                const char *alias);

/* Finds out what the guest let go of while nobody listened; the threads are known. */
void
vireoVcpuReconnect(virDomainObj *vm);
