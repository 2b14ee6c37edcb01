/*
 * block_error.c: what a device does about requests that its host failed at
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_error.h"

#include <errno.h>

#include "qapi-events.h"
#include "vmm/base/error.h"

const char *const block_error_policy_names[] = {
	"auto", "report", "ignore", "stop", "enospc", NULL
};

static QapiBlockErrorAction error_action(const BlockErrorPolicies *policies, bool is_read,
					 int error)
{
	BlockErrorPolicy policy = is_read ? policies->read : policies->write;

	if (policy == BLOCK_ERROR_AUTO)
		policy = is_read ? BLOCK_ERROR_REPORT : BLOCK_ERROR_ENOSPC;
	if (policy == BLOCK_ERROR_ENOSPC)
		policy = error == ENOSPC ? BLOCK_ERROR_STOP : BLOCK_ERROR_REPORT;
	if (policy == BLOCK_ERROR_STOP)
		return QAPI_BLOCK_ERROR_ACTION_STOP;
	return policy == BLOCK_ERROR_IGNORE ? QAPI_BLOCK_ERROR_ACTION_IGNORE
					    : QAPI_BLOCK_ERROR_ACTION_REPORT;
}

QapiBlockErrorAction block_error_happened(const BlockErrorPolicies *policies, const BlockNode *node,
					  BlockOperation operation, int error,
					  const struct QmpEventSink *events)
{
	bool is_read = operation == BLOCK_READ;
	QapiBlockErrorAction action = error_action(policies, is_read, error);

	qapi_event_block_io_error(events, "", block_node_name(node),
				  is_read ? QAPI_IO_OPERATION_TYPE_READ
					  : QAPI_IO_OPERATION_TYPE_WRITE,
				  action, !is_read, error == ENOSPC, error_text(error));
	return action;
}

QapiBlockDeviceIoStatus block_error_io_status(int error)
{
	if (error == 0)
		return QAPI_BLOCK_DEVICE_IO_STATUS_OK;
	return error == ENOSPC ? QAPI_BLOCK_DEVICE_IO_STATUS_NOSPACE
			       : QAPI_BLOCK_DEVICE_IO_STATUS_FAILED;
}
