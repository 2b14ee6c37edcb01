/*
 * monitor_queue_stats.h: what virtio queues have done, as statistics
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qapi-types.h"
#include "vmm/device/device.h"

/* Whether @names, those that a client wants (NULL: all), have @name. */
bool monitor_stats_wanted(const GPtrArray *names, const char *name);

/*
 * Append to @list, of QapiStatsResult, one for each queue in @devices that is served in this
 * process, with the statistics in @names (NULL: all). Main thread.
 */
void monitor_append_queue_stats(GPtrArray *list, DeviceTree *devices, const GPtrArray *names);

/* What they mean; the caller's. */
QapiStatsSchema *monitor_queue_stats_schema(void);
