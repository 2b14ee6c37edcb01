/*
 * iov.h: scattered buffers
 *
 * The bytes may be guest memory, which changes under the reader: copy once, then look at the copy.
 * Any thread, all of these.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes in all of @iov. */
uint64_t iov_size(const struct iovec *iov, unsigned n_iov);

/* Whether there is nothing but zeroes in @iov, and something. */
bool iov_is_zero(const struct iovec *iov, unsigned n_iov);

/*
 * Copy up to @size bytes from (to) @iov, starting @offset bytes into it. Return how many there
 * were.
 */
size_t iov_copy_from(const struct iovec *iov, unsigned n_iov, uint64_t offset, void *buffer,
		     size_t size);
size_t iov_copy_to(const struct iovec *iov, unsigned n_iov, uint64_t offset, const void *buffer,
		   size_t size);

/*
 * Drop the first (last) @size bytes of *@iov, changing its entries; no more than there are. Both
 * may move *@iov and lower *@n_iov.
 */
void iov_discard_front(struct iovec **iov, unsigned *n_iov, uint64_t size);
void iov_discard_back(struct iovec *iov, unsigned *n_iov, uint64_t size);

/*
 * Leave the @size bytes at @offset out of @iov, which has room for one entry more. Returns how many
 * it has then.
 */
unsigned iov_cut(struct iovec *iov, unsigned n_iov, uint64_t offset, uint64_t size);

/*
 * Copy up to @size bytes from @source to @target, which may be the same memory. Returns how many
 * both had.
 */
size_t iov_copy(const struct iovec *target, unsigned n_target, const struct iovec *source,
		unsigned n_source, size_t size);
