/*
 * vireo_dirty_rate.h: how fast a domain writes its memory
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"
#include "virtypedparam.h"

/**
 * vireoDirtyRateStart:
 * @vm: an active domain, locked and in a job
 * @seconds: how long to measure
 * @flags: of virDomainDirtyRateCalcFlags
 *
 * Has the monitor measure. Returns 0, or -1 with an error reported.
 */
int
vireoDirtyRateStart(virDomainObj *vm,
                    int seconds,
                    unsigned int flags);

/**
 * vireoDirtyRateCollect:
 *
 * Adds dirtyrate.* to @params, as vireoStatsCollect says; nothing of a domain
 * that does not run. Returns 0, or -1 with an error reported.
 */
int
vireoDirtyRateCollect(virDomainObj *vm,
                      bool haveJob,
                      virTypedParamList *params);
