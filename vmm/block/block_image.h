/*
 * block_image.h: small images that a device keeps in memory, read and written at once
 *
 * For flash memory, whose few kilobytes are not worth an I/O loop. The device has attached the node
 * without one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block.h"

/*
 * Set *@size to how many bytes the image of @node has, exactly. False and @error where that cannot
 * be found out, or the node uses direct I/O. Main thread.
 */
bool block_node_image_size(BlockNode *node, uint64_t *size, GError **error);

/*
 * Map the first @size bytes of @node, which the image has, at a page boundary: those of a read-only
 * file stay the file's (and cannot be written), others are a copy. NULL and @error, naming the
 * node. Free with block_node_image_unmap(). Main thread.
 */
uint8_t *block_node_image_map(BlockNode *node, uint64_t size, GError **error);
/* @bytes may be NULL. */
void block_node_image_unmap(uint8_t *bytes, uint64_t size);

/* Write to the image before this returns: 0 or a negative errno. Any thread. */
int block_node_image_write(BlockNode *node, uint64_t offset, const void *buffer, size_t size);
