/*
 * block_request.c: what requests to any bottom have in common
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_internal.h"
#include "vmm/base/iov.h"

#include <errno.h>

int block_request_check(const BlockRequest *request)
{
	const BlockNode *node = request->node;
	uint64_t size = block_bottom_size(node->bottom);
	bool is_transfer = request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;

	if (request->operation == BLOCK_FLUSH)
		return 0;
	if (request->operation != BLOCK_READ && node->read_only)
		return -EROFS;
	if (request->offset > size || request->size > size - request->offset)
		return -EINVAL;
	if (is_transfer && iov_size(request->iov, request->n_iov) != request->size)
		return -EINVAL;
	return 0;
}

bool block_request_is_zeroing(const BlockRequest *request)
{
	if (request->operation == BLOCK_WRITE_ZEROES)
		return true;
	return request->operation == BLOCK_WRITE &&
	       request->node->detect_zeroes != BLOCK_DETECT_ZEROES_OFF &&
	       iov_is_zero(request->iov, request->n_iov);
}

bool block_request_may_unmap(const BlockRequest *request)
{
	const BlockNode *node = request->node;

	if (!node->discard)
		return false;
	return request->operation == BLOCK_WRITE ? node->detect_zeroes == BLOCK_DETECT_ZEROES_UNMAP
						 : request->may_unmap;
}

bool block_request_is_write_through(const BlockRequest *request)
{
	const BlockNode *node = request->node;

	return !node->no_flush && (request->fua || g_atomic_int_get(&node->write_through));
}
