/*
 * vireo_stats.h: numbers about running domains
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"
#include "virtypedparam.h"

/* Of one disk since the domain's start. */
typedef struct _vireoStatsBlock vireoStatsBlock;
struct _vireoStatsBlock {
    unsigned long long rdReqs, rdBytes, rdTimesNS;
    unsigned long long wrReqs, wrBytes, wrTimesNS;
    unsigned long long flReqs, flTimesNS;
};

/**
 * vireoStatsGetBlocks:
 * @vm: an active domain, locked and in a job
 * @blocks: set to a hash from block node to vireoStatsBlock; unreference it
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoStatsGetBlocks(virDomainObj *vm,
                    GHashTable **blocks);

/**
 * vireoStatsGetImage:
 *
 * Finds out the size of a disk's image and what of it is allocated, in bytes.
 * Returns 0, or -1 with an error reported.
 */
int
vireoStatsGetImage(virDomainDiskDef *disk,
                   virDomainBlockInfo *info);

/**
 * vireoStatsGetMemory:
 * @vm: an active domain, locked and in a job
 * @stats: room for @nstats
 *
 * Returns how many were filled in: what the host knows, and what the guest's
 * balloon driver tells if it does. -1 with an error reported.
 */
int
vireoStatsGetMemory(virDomainObj *vm,
                    virDomainMemoryStatStruct *stats,
                    unsigned int nstats);

/* The groups of statistics that there are. */
#define VIREO_STATS_ALL \
    (VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | \
     VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK | \
     VIR_DOMAIN_STATS_IOTHREAD | VIR_DOMAIN_STATS_DIRTYRATE)

/**
 * vireoStatsCollect:
 * @vm: locked
 * @groups: of VIREO_STATS_ALL
 * @haveJob: whether a job is held, without which the monitor is not asked
 *
 * Adds all there is of @groups to @params. Returns 0, or -1 with an error
 * reported.
 */
int
vireoStatsCollect(virDomainObj *vm,
                  unsigned int groups,
                  bool haveJob,
                  virTypedParamList *params);
