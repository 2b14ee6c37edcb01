/*
 * block_file.h: a file or block device of the host, opened and locked
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/block/block_bottom.h"

typedef struct BlockFileConfig {
	const char *filename;
	bool block_device; /* must be one; otherwise must be a regular file */
	bool read_only;
	bool auto_read_only; /* open read-only where writing is not permitted */
	bool direct;	     /* O_DIRECT */
	bool threads;	     /* requests are made by threads, not by io_uring */
	enum { BLOCK_LOCKING_AUTO, BLOCK_LOCKING_ON, BLOCK_LOCKING_OFF } locking;
} BlockFileConfig;

typedef struct BlockFile {
	BlockBottom bottom; /* first; a regular file's size is rounded up to a sector */
	int fd;
	bool block_device;
	bool threads;
	bool locked;
	/* Of direct I/O, powers of two; 1 where buffered I/O takes anything. */
	uint32_t memory_alignment, offset_alignment; /* bytes */
	uint32_t max_transfer; /* bytes in one request, whole pages; 0: any */

	/* Atomic, as loops share them: what the host turned out not to have. */
	bool no_discard_command, no_discard, no_punch_hole, no_zero_range;
	int flush_error; /* an earlier flush lost data: so do all later ones (negative errno) */
} BlockFile;

#define BLOCK_SECTOR_SIZE 512u
#define BLOCK_ZEROES_SIZE 65536u

/*
 * Open @config->filename and lock it against other processes with QEMU's protocol. NULL and
 * @error naming the file. Main thread.
 */
BlockFile *block_file_open(const BlockFileConfig *config, const FdSetOpener *sets, GError **error);

/* The requests of files (block_io.c): what its ports are, and how they start. */
extern const BlockBottomOps block_file_ops;

/* Its BlockBottomOps. */
void block_file_free(BlockBottom *bottom);
uint64_t block_file_allocated(BlockBottom *bottom);
/* A block device cannot be resized: its size is looked at again, and must be at least @size then. */
bool block_file_resize(BlockBottom *bottom, uint64_t size, GError **error);
