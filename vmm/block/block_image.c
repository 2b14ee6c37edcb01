/*
 * block_image.c: small images that a device keeps in memory, read and written at once
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_image.h"
#include "vmm/block/block_file.h"
#include "vmm/block/block_internal.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever got the size of @node's image. */
static const BlockFile *file_of(const BlockNode *node)
{
	return (const BlockFile *)node->bottom;
}

bool block_node_image_size(BlockNode *node, uint64_t *size, GError **error)
{
	const BlockFile *file = file_of(node);
	struct stat status;

	if (node->bottom->ops != &block_file_ops)
		return error_fail(error, "node '%s' is neither a file nor a block device",
				  node->name);
	if (node->bottom->direct)
		return error_fail(error, "node '%s' goes around the host's page cache", node->name);
	if (fstat(file->fd, &status) < 0)
		return error_fail_errno(error, errno, "node '%s'", node->name);
	/* The exact size: a node's own is rounded up to sectors. */
	*size = file->block_device ? block_bottom_size(node->bottom) : (uint64_t)status.st_size;
	return true;
}

uint8_t *block_node_image_map(BlockNode *node, uint64_t size, GError **error)
{
	bool shared = node->read_only && !file_of(node)->block_device;
	uint8_t *bytes =
		mmap(NULL, size, shared ? PROT_READ : PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | (shared ? 0 : MAP_ANONYMOUS), shared ? file_of(node)->fd : -1, 0);

	if (bytes == MAP_FAILED) {
		error_fail_errno(error, errno, "node '%s': cannot map %" PRIu64 " bytes",
				 node->name, size);
		return NULL;
	}
	for (uint64_t done = 0; !shared && done < size;) {
		ssize_t n = pread(file_of(node)->fd, bytes + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			error_fail_errno(error, n < 0 ? errno : EIO, "node '%s': cannot read it",
					 node->name);
			munmap(bytes, size);
			return NULL;
		}
		done += (uint64_t)n;
	}
	return bytes;
}

void block_node_image_unmap(uint8_t *bytes, uint64_t size)
{
	if (bytes)
		munmap(bytes, size);
}

int block_node_image_write(BlockNode *node, uint64_t offset, const void *buffer, size_t size)
{
	const uint8_t *bytes = buffer;

	while (size > 0) {
		ssize_t n = pwrite(file_of(node)->fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}
