/*
 * monitor_block_limits.h: drives, and limits and histograms as query-block and query-blockstats show
 * them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qapi-types.h"
#include "qmp/qmp_command.h"
#include "vmm/block/block.h"
#include "vmm/device/device.h"

/*
 * The device of the drive @id: its identifier, its path, or the path that query-block has. NULL and
 * @error. Main thread.
 */
Device *monitor_find_drive(QmpContext *ctx, const char *id, GError **error);

/* Put the limits on @node into @info. Main thread. */
void monitor_describe_throttle(const BlockNode *node, QapiBlockDeviceInfo *info);

/* Put the latency histograms of @node into @stats. Main thread. */
void monitor_describe_histograms(BlockNode *node, QapiBlockDeviceStats *stats);
