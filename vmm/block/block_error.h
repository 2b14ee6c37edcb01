/*
 * block_error.h: what a device does about requests that its host failed at (werror, rerror)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block.h"

#include "qapi-types.h"

struct QmpEventSink;

/* The values of block_error_policy_names, in their order: for PROPERTY_ENUM. */
typedef enum BlockErrorPolicy {
	BLOCK_ERROR_AUTO, /* writes: enospc; reads: report */
	BLOCK_ERROR_REPORT,
	BLOCK_ERROR_IGNORE,
	BLOCK_ERROR_STOP,
	BLOCK_ERROR_ENOSPC, /* stop when the host is out of space, else report */
} BlockErrorPolicy;

extern const char *const block_error_policy_names[];

typedef struct BlockErrorPolicies {
	int write, read; /* BlockErrorPolicy, as PROPERTY_ENUM has it */
} BlockErrorPolicies;

/*
 * @operation of @node has failed with @error (positive errno): tells @events of it, and what is to
 * be done as @policies say. To stop is the caller's. Any thread.
 */
QapiBlockErrorAction block_error_happened(const BlockErrorPolicies *policies, const BlockNode *node,
					  BlockOperation operation, int error,
					  const struct QmpEventSink *events);

/* How a device is that holds requests back for such an error (positive errno; 0: for none). */
QapiBlockDeviceIoStatus block_error_io_status(int error);
