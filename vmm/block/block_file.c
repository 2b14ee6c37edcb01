/*
 * block_file.c: a file or block device of the host, opened and locked
 *
 * Locks are those of QEMU's image locking, so that the two keep off each other's images: every
 * user of an image holds shared OFD locks on one byte for each thing it does (from 100) and for
 * each thing it lets nobody else do (from 200), and sees conflicts by testing the opposite bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/block_file.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Bytes of the locking protocol: bit numbers of what one may do with an image. */
#define LOCK_USED_BASE	   100
#define LOCK_UNSHARED_BASE 200
enum { USE_CONSISTENT_READ, USE_WRITE, USE_WRITE_UNCHANGED, USE_RESIZE, N_USES };

static const char *const use_names[N_USES] = { "consistent read", "write", "write unchanged",
					       "resize" };

/* Of Linux: what one bio has room for, each at least a page. */
#define BIO_VECTORS 256u
#define PAGE_BYTES  4096u

/* 0 or a negative errno. */
static int lock_byte(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Whether another open file holds @byte: 1, 0, or a negative errno. */
static int byte_is_locked(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

/* 0 (locked), 1 (another has it; @error), or a negative errno of a host that cannot lock. */
static int lock_image(int fd, unsigned used, unsigned unshared, GError **error)
{
	for (int bit = 0; bit < N_USES; bit++) {
		int result = 0;

		if (used & (1u << bit))
			result = lock_byte(fd, LOCK_USED_BASE + bit);
		if (result == 0 && (unshared & (1u << bit)))
			result = lock_byte(fd, LOCK_UNSHARED_BASE + bit);
		if (result < 0 && result != -EAGAIN && result != -EACCES)
			return result;
		if (result < 0) {
			error_fail(error, "failed to get \"%s\" lock: another process has it",
				   use_names[bit]);
			return 1;
		}
	}
	for (int bit = 0; bit < N_USES; bit++) {
		int locked = 0;

		if (used & (1u << bit))
			locked = byte_is_locked(fd, LOCK_UNSHARED_BASE + bit);
		if (locked == 0 && (unshared & (1u << bit)))
			locked = byte_is_locked(fd, LOCK_USED_BASE + bit);
		if (locked < 0)
			return locked;
		if (locked) {
			error_fail(error,
				   "failed to get \"%s\" lock: another process uses the image",
				   use_names[bit]);
			return 1;
		}
	}
	return 0;
}

static bool file_lock(BlockFile *file, const BlockFileConfig *config, GError **error)
{
	unsigned used = 1u << USE_CONSISTENT_READ;
	unsigned unshared = 1u << USE_WRITE;
	int result;

	if (config->locking == BLOCK_LOCKING_OFF)
		return true;
	if (!file->bottom.read_only) {
		used |= 1u << USE_WRITE;
		unshared |= 1u << USE_RESIZE;
	}
	file->locked = true;
	result = lock_image(file->fd, used, unshared, error);
	if (result < 0 && config->locking == BLOCK_LOCKING_ON)
		return error_fail_errno(error, -result, "cannot lock '%s'", file->bottom.filename);
	if (result > 0)
		g_prefix_error(error, "'%s': ", file->bottom.filename);
	return result <= 0;
}

static bool file_open_fd(BlockFile *file, const BlockFileConfig *config, const FdSetOpener *sets,
			 GError **error)
{
	/* Non-blocking only to open: a FIFO must not hang us. */
	int flags = (config->direct ? O_DIRECT : 0) | O_NONBLOCK;
	g_autoptr(GError) writing = NULL;
	int saved;

	file->bottom.read_only = config->read_only;
	if (!file->bottom.read_only) {
		errno = 0;
		file->fd = fd_open(config->filename, flags | O_RDWR, 0, sets, &writing);
		saved = errno;
		if (file->fd < 0 && config->auto_read_only &&
		    (saved == EACCES || saved == EPERM || saved == EROFS)) {
			file->bottom.read_only = true;
		} else if (file->fd < 0) {
			if (saved == EINVAL && config->direct)
				g_prefix_error(&writing, "without the host's page cache: ");
			g_propagate_error(error, g_steal_pointer(&writing));
			return false;
		}
	}
	if (file->bottom.read_only)
		file->fd = fd_open(config->filename, flags | O_RDONLY, 0, sets, error);
	return file->fd >= 0;
}

/* A descriptor from a set was opened by somebody else. */
static bool file_set_flags(BlockFile *file, GError **error)
{
	int flags = fcntl(file->fd, F_GETFL);

	if (flags < 0)
		return error_fail_errno(error, errno, "'%s'", file->bottom.filename);
	if ((flags & O_ACCMODE) == O_WRONLY || (!file->bottom.read_only && (flags & O_ACCMODE) != O_RDWR))
		return error_fail(error, "'%s' is not open for %s", file->bottom.filename,
				  file->bottom.read_only ? "reading" : "reading and writing");
	flags &= ~(O_NONBLOCK | O_APPEND | O_DIRECT);
	if (file->bottom.direct)
		flags |= O_DIRECT;
	if (fcntl(file->fd, F_SETFL, flags) < 0)
		return error_fail_errno(error, errno, "'%s' without the host's page cache",
					file->bottom.filename);
	return true;
}

/* One number of the queue of the disk that device @number is, or is a partition of; 0: unknown. */
static uint64_t queue_attribute(dev_t number, const char *name)
{
	static const char *const places[] = { "", "../" };

	for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
		g_autofree char *path =
			g_strdup_printf("/sys/dev/block/%u:%u/%squeue/%s", major(number),
					minor(number), places[i], name);
		g_autofree char *text = NULL;

		if (g_file_get_contents(path, &text, NULL, NULL))
			return g_ascii_strtoull(text, NULL, 10);
	}
	return 0;
}

/* What the device at @number takes at once without that the kernel has to split it; 0: unknown. */
static uint32_t max_transfer(dev_t number)
{
	uint64_t size = queue_attribute(number, "max_sectors_kb") * 1024;
	uint64_t segments = queue_attribute(number, "max_segments");

	/* Guest memory may be a segment for each page. */
	if (segments > 0)
		size = MIN(size, MIN(segments, BIO_VECTORS) * PAGE_BYTES);
	return MIN(size, UINT32_MAX) & ~(PAGE_BYTES - 1);
}

static bool probe_block_device(BlockFile *file, const struct stat *status, GError **error)
{
	unsigned physical = 0, optimal = 0;
	int logical = 0, device_read_only = 0;

	if (ioctl(file->fd, BLKGETSIZE64, &file->bottom.size) < 0 ||
	    ioctl(file->fd, BLKSSZGET, &logical) < 0 || logical < (int)BLOCK_SECTOR_SIZE ||
	    (logical & (logical - 1)))
		return error_fail_errno(error, errno, "cannot find out the size of '%s'",
					file->bottom.filename);
	if (!file->bottom.read_only && ioctl(file->fd, BLKROGET, &device_read_only) == 0 &&
	    device_read_only)
		return error_fail(error, "'%s' is a read-only device", file->bottom.filename);
	file->bottom.logical_block_size = logical;
	if (ioctl(file->fd, BLKPBSZGET, &physical) < 0 || physical < (unsigned)logical)
		physical = logical;
	file->bottom.physical_block_size = physical;
	if (ioctl(file->fd, BLKIOOPT, &optimal) == 0)
		file->bottom.opt_io_size = optimal;
	if (file->bottom.direct)
		file->max_transfer = max_transfer(status->st_rdev);
	if (queue_attribute(status->st_rdev, "discard_max_bytes") > 0)
		file->bottom.discard_granularity =
			MAX(queue_attribute(status->st_rdev, "discard_granularity"),
			    file->bottom.logical_block_size);
	return true;
}

static void probe_regular_file(BlockFile *file, const struct stat *status)
{
	file->bottom.size = ((uint64_t)status->st_size + BLOCK_SECTOR_SIZE - 1) &
		     ~(uint64_t)(BLOCK_SECTOR_SIZE - 1);
	file->bottom.logical_block_size = BLOCK_SECTOR_SIZE;
	file->bottom.physical_block_size = BLOCK_SECTOR_SIZE;
	file->bottom.discard_granularity = MAX((uint32_t)status->st_blksize, BLOCK_SECTOR_SIZE);
}

/* What direct I/O must be aligned to: told by the kernel since 6.1, or found by trying. */
static bool probe_alignment(BlockFile *file, GError **error)
{
	uint8_t *buffer;

	file->memory_alignment = file->offset_alignment = 1;
	if (!file->bottom.direct)
		return true;
#ifdef STATX_DIOALIGN
	struct statx extended;

	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0 &&
	    (extended.stx_mask & STATX_DIOALIGN) && extended.stx_dio_offset_align > 0) {
		file->memory_alignment = extended.stx_dio_mem_align;
		file->offset_alignment = extended.stx_dio_offset_align;
	}
#endif
	if (file->offset_alignment == 1) {
		buffer = aligned_alloc(4096, 4096);
		file->memory_alignment = 4096;
		file->offset_alignment = file->bottom.logical_block_size;
		while (file->offset_alignment <= 4096 && buffer &&
		       pread(file->fd, buffer, file->offset_alignment, 0) < 0 && errno == EINVAL)
			file->offset_alignment *= 2;
		free(buffer);
		if (file->offset_alignment > 4096)
			return error_fail(error,
					  "'%s' cannot be read without the host's page cache",
					  file->bottom.filename);
	}
	file->bottom.logical_block_size = MAX(file->bottom.logical_block_size, file->offset_alignment);
	file->bottom.physical_block_size = MAX(file->bottom.physical_block_size, file->bottom.logical_block_size);
	return true;
}

static bool file_probe(BlockFile *file, GError **error)
{
	struct stat status;

	if (fstat(file->fd, &status) < 0)
		return error_fail_errno(error, errno, "'%s'", file->bottom.filename);
	if (file->block_device) {
		if (!S_ISBLK(status.st_mode))
			return error_fail(error, "'%s' is not a block device", file->bottom.filename);
		if (!probe_block_device(file, &status, error))
			return false;
	} else {
		if (!S_ISREG(status.st_mode))
			return error_fail(error, "'%s' is not a regular file", file->bottom.filename);
		probe_regular_file(file, &status);
	}
	return true;
}

BlockFile *block_file_open(const BlockFileConfig *config, const FdSetOpener *sets, GError **error)
{
	BlockFile *file = g_new0(BlockFile, 1);

	file->bottom.ops = &block_file_ops;
	file->fd = -1;
	file->bottom.filename = g_strdup(config->filename);
	file->block_device = config->block_device;
	file->bottom.direct = config->direct;
	file->threads = config->threads;
	if (!file_open_fd(file, config, sets, error) || !file_probe(file, error) ||
	    !file_set_flags(file, error) || !probe_alignment(file, error) ||
	    !file_lock(file, config, error)) {
		block_file_free(&file->bottom);
		return NULL;
	}
	return file;
}

static BlockFile *block_file(BlockBottom *bottom)
{
	return (BlockFile *)bottom;
}

void block_file_free(BlockBottom *bottom)
{
	BlockFile *file = block_file(bottom);

	/*
	 * The locks go with the last reference to the open file, and a ring that the file was
	 * registered with may let go of it late.
	 */
	if (file->locked)
		fcntl(file->fd, F_OFD_SETLK,
		      &(struct flock){ .l_type = F_UNLCK, .l_whence = SEEK_SET });
	fd_close(&file->fd);
	g_free(file->bottom.filename);
	g_free(file);
}

uint64_t block_file_allocated(BlockBottom *bottom)
{
	BlockFile *file = block_file(bottom);
	struct stat status;

	if (file->block_device || fstat(file->fd, &status) < 0)
		return block_bottom_size(bottom);
	return (uint64_t)status.st_blocks * 512;
}

bool block_file_resize(BlockBottom *bottom, uint64_t size, GError **error)
{
	BlockFile *file = block_file(bottom);
	uint64_t actual = size;

	if (file->block_device) {
		if (ioctl(file->fd, BLKGETSIZE64, &actual) < 0)
			return error_fail_errno(error, errno, "'%s'", file->bottom.filename);
		if (size > actual)
			return error_fail(error, "block device '%s' has %" PRIu64 " bytes",
					  file->bottom.filename, actual);
	} else if (file->bottom.read_only) {
		return error_fail(error, "'%s' is read-only", file->bottom.filename);
	} else if (size % BLOCK_SECTOR_SIZE) {
		return error_fail(error, "size %" PRIu64 " is no multiple of %u bytes", size,
				  BLOCK_SECTOR_SIZE);
	} else if (size > G_MAXINT64 || ftruncate(file->fd, size) < 0) {
		return error_fail_errno(error, size > G_MAXINT64 ? EFBIG : errno,
					"cannot resize '%s'", file->bottom.filename);
	}
	__atomic_store_n(&file->bottom.size, size, __ATOMIC_RELAXED);
	return true;
}
