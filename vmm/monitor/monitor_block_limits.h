/*
 * monitor_block_limits.h: limits and histograms as query-block and query-blockstats show them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qapi-types.h"
#include "vmm/block/block.h"

/* Put the limits on @node into @info. Main thread. */
void monitor_describe_throttle(const BlockNode *node, QapiBlockDeviceInfo *info);

/* Put the latency histograms of @node into @stats. Main thread. */
void monitor_describe_histograms(BlockNode *node, QapiBlockDeviceStats *stats);
