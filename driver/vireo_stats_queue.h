/*
 * vireo_stats_queue.h: what the queues of disks and interfaces have done
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoStatsQueueGet:
 * @queues: set to what the monitor says of all queues of the active @vm; free it
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoStatsQueueGet(virDomainObj *vm,
                   virJSONValue **queues);

/**
 * vireoStatsQueueCollect:
 * @queues: from vireoStatsQueueGet(), or NULL
 * @alias: of a device
 * @group: "block" or "net"
 * @number: of the device in that group
 *
 * Adds GROUP.NUMBER.queue.count, and GROUP.NUMBER.queue.N.* for each queue of the
 * device: requests, bytes, batches, kicks, interrupts, polls. Nothing where the
 * queues are not served by the monitor. Returns 0, or -1 with an error reported.
 */
int
vireoStatsQueueCollect(virJSONValue *queues,
                       const char *alias,
                       const char *group,
                       size_t number,
                       virTypedParamList *params);
