/*
 * vireo_tune.h: a domain's share of the host's CPUs and memory, in cgroups
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_change.h"

/* How many parameters there are of each kind. */
#define VIREO_TUNE_SCHEDULER_PARAMS 9
#define VIREO_TUNE_BLKIO_PARAMS 6

/**
 * vireoTuneCheckScheduler:
 *
 * Makes sure that @params are known, once each, and within the kernel's limits.
 * Returns 0, or -1 with an error reported.
 */
int
vireoTuneCheckScheduler(virTypedParameterPtr params,
                        int nparams);

/**
 * vireoTuneSetScheduler:
 * @change: begun
 * @params: checked
 *
 * Applies @params to what is to change. Of a running domain a period or quota of 0
 * stays what it is. Returns 0, or -1 with an error reported.
 */
int
vireoTuneSetScheduler(vireoChange *change,
                      virTypedParameterPtr params,
                      int nparams);

/**
 * vireoTuneReadScheduler, vireoTuneReadMemory:
 * @vm: an active domain with a cgroup, locked
 *
 * Read what the kernel applies; memory is in KiB. What a kind of thread is not limited
 * to is 0; pointers in @tune are only lent. Return 0, or -1 with an error reported.
 */
int
vireoTuneReadScheduler(virDomainObj *vm,
                       virDomainCputune *tune);
int
vireoTuneReadMemory(virDomainObj *vm,
                    virDomainMemtune *mem);

/**
 * vireoTuneFormatScheduler:
 * @nparams: how many there is room for; set to how many were filled in, or if it
 * is 0, to how many there are
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoTuneFormatScheduler(const virDomainCputune *tune,
                         virTypedParameterPtr params,
                         int *nparams);
