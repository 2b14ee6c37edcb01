/*
 * vireo_stats_queue.h: what the queues of disks, SCSI controllers and interfaces have done
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
 * @group: "block", "scsi" or "net"
 * @number: of the device in that group
 *
 * Adds GROUP.NUMBER.queue.N.* for each queue of the device that the monitor serves:
 * requests, bytes, batches, kicks, interrupts, polls, registered; and GROUP.NUMBER.queue.count, by
 * one more than the highest N. N is the device's own number for it: one that vhost
 * serves is left out. Returns 0, or -1 with an error reported.
 */
int
vireoStatsQueueCollect(virJSONValue *queues,
                       const char *alias,
                       const char *group,
                       size_t number,
                       virTypedParamList *params);
