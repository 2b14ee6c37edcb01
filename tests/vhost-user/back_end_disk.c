/*
 * back_end_disk.c: a disk in memory, as a back end serves it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/vhost-user/back_end_disk.h"

#include <string.h>

#include "vmm/base/iov.h"
#include "vmm/block/virtio_blk_layout.h"

#define SECTOR VIRTIO_BLK_SECTOR_SIZE

static bool is_inside(size_t size, uint64_t sector, uint64_t n_bytes)
{
	return sector <= size / SECTOR && n_bytes <= size - sector * SECTOR;
}

/* Discarded sectors are all ones, so that it shows. */
static uint8_t fill_range(uint8_t *disk, size_t size, const struct iovec *out, unsigned n_out,
			  int value)
{
	VirtioBlkRange range;

	g_assert_cmpuint(iov_size(out, n_out), ==, sizeof(range));
	iov_copy_from(out, n_out, 0, &range, sizeof(range));
	if (!is_inside(size, range.sector, (uint64_t)range.n_sectors * SECTOR))
		return VIRTIO_BLK_S_IOERR;
	memset(disk + range.sector * SECTOR, value, (size_t)range.n_sectors * SECTOR);
	return VIRTIO_BLK_S_OK;
}

static uint8_t transfer(uint8_t *disk, size_t size, const struct iovec *iov, unsigned n_iov,
			uint64_t sector, bool write, uint32_t *written)
{
	size_t n_bytes = iov_size(iov, n_iov);
	uint8_t *at = disk + sector * SECTOR;

	if (!is_inside(size, sector, n_bytes))
		return VIRTIO_BLK_S_IOERR;
	if (write)
		iov_copy_from(iov, n_iov, 0, at, n_bytes);
	else
		*written = (uint32_t)iov_copy_to(iov, n_iov, 0, at, n_bytes);
	return VIRTIO_BLK_S_OK;
}

uint32_t back_end_disk_serve(uint8_t *disk, size_t size, VirtqueueElement *element,
			     bool unsupported)
{
	struct iovec *out = element->iov, *in = element->iov + element->n_out;
	unsigned n_out = element->n_out, n_in = element->n_in;
	uint8_t status = VIRTIO_BLK_S_UNSUPP, *status_at;
	VirtioBlkHeader header;
	uint32_t written = 0;

	g_assert_cmpuint(element->out_size, >=, sizeof(header));
	g_assert_cmpuint(element->in_size, >=, 1);
	iov_copy_from(out, n_out, 0, &header, sizeof(header));
	iov_discard_front(&out, &n_out, sizeof(header));
	status_at = (uint8_t *)in[n_in - 1].iov_base + in[n_in - 1].iov_len - 1;
	iov_discard_back(in, &n_in, 1);
	if (header.type == VIRTIO_BLK_T_IN)
		status = transfer(disk, size, in, n_in, header.sector, false, &written);
	else if (header.type == VIRTIO_BLK_T_OUT)
		status = transfer(disk, size, out, n_out, header.sector, true, &written);
	else if (header.type == VIRTIO_BLK_T_FLUSH)
		status = VIRTIO_BLK_S_OK;
	else if (header.type == VIRTIO_BLK_T_DISCARD && !unsupported)
		status = fill_range(disk, size, out, n_out, 0xff);
	else if (header.type == VIRTIO_BLK_T_WRITE_ZEROES && !unsupported)
		status = fill_range(disk, size, out, n_out, 0);
	*status_at = status;
	return written + 1;
}
