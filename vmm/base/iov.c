/*
 * iov.c: scattered buffers
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/iov.h"

#include <glib.h>
#include <string.h>

uint64_t iov_size(const struct iovec *iov, unsigned n_iov)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < n_iov; i++)
		size += iov[i].iov_len;
	return size;
}

/* The first piece of @iov at or after *@offset bytes: sets *@i, and *@offset within it. */
static bool iov_seek(const struct iovec *iov, unsigned n_iov, unsigned *i, uint64_t *offset)
{
	while (*i < n_iov && *offset >= iov[*i].iov_len)
		*offset -= iov[(*i)++].iov_len;
	return *i < n_iov;
}

/* A buffer whose start is zero and that is the same a little further on is zero throughout. */
static bool is_zero(const uint8_t *bytes, size_t size)
{
	size_t head = MIN(size, 16);

	for (size_t i = 0; i < head; i++) {
		if (bytes[i])
			return false;
	}
	return memcmp(bytes, bytes + head, size - head) == 0;
}

bool iov_is_zero(const struct iovec *iov, unsigned n_iov)
{
	for (unsigned i = 0; i < n_iov; i++) {
		if (!is_zero(iov[i].iov_base, iov[i].iov_len))
			return false;
	}
	return iov_size(iov, n_iov) > 0;
}

size_t iov_copy_from(const struct iovec *iov, unsigned n_iov, uint64_t offset, void *buffer,
		     size_t size)
{
	unsigned i = 0;
	size_t done = 0;

	while (done < size && iov_seek(iov, n_iov, &i, &offset)) {
		size_t part = MIN(iov[i].iov_len - offset, size - done);

		memcpy((uint8_t *)buffer + done, (const uint8_t *)iov[i].iov_base + offset, part);
		done += part;
		offset += part;
	}
	return done;
}

size_t iov_copy_to(const struct iovec *iov, unsigned n_iov, uint64_t offset, const void *buffer,
		   size_t size)
{
	unsigned i = 0;
	size_t done = 0;

	while (done < size && iov_seek(iov, n_iov, &i, &offset)) {
		size_t part = MIN(iov[i].iov_len - offset, size - done);

		memcpy((uint8_t *)iov[i].iov_base + offset, (const uint8_t *)buffer + done, part);
		done += part;
		offset += part;
	}
	return done;
}

void iov_discard_front(struct iovec **iov, unsigned *n_iov, uint64_t size)
{
	while (*n_iov && size >= (*iov)->iov_len) {
		size -= (*iov)->iov_len;
		(*iov)++;
		(*n_iov)--;
	}
	if (*n_iov) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + size;
		(*iov)->iov_len -= size;
	}
}

void iov_discard_back(struct iovec *iov, unsigned *n_iov, uint64_t size)
{
	while (*n_iov && size >= iov[*n_iov - 1].iov_len)
		size -= iov[--*n_iov].iov_len;
	if (*n_iov)
		iov[*n_iov - 1].iov_len -= size;
}

unsigned iov_cut(struct iovec *iov, unsigned n_iov, uint64_t offset, uint64_t size)
{
	struct iovec *rest;
	unsigned i = 0, n_rest;

	if (!iov_seek(iov, n_iov, &i, &offset))
		return n_iov;
	if (offset > 0) {
		memmove(iov + i + 1, iov + i, (n_iov - i) * sizeof(*iov));
		n_iov++;
		iov[i].iov_len = offset;
		i++;
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + offset;
		iov[i].iov_len -= offset;
	}
	rest = iov + i;
	n_rest = n_iov - i;
	iov_discard_front(&rest, &n_rest, size);
	memmove(iov + i, rest, n_rest * sizeof(*iov));
	return i + n_rest;
}

size_t iov_copy(const struct iovec *target, unsigned n_target, const struct iovec *source,
		unsigned n_source, size_t size)
{
	unsigned to = 0, from = 0;
	uint64_t to_offset = 0, from_offset = 0;
	size_t done = 0;

	while (done < size && iov_seek(target, n_target, &to, &to_offset) &&
	       iov_seek(source, n_source, &from, &from_offset)) {
		size_t part =
			MIN(target[to].iov_len - to_offset, source[from].iov_len - from_offset);

		part = MIN(part, size - done);
		memmove((uint8_t *)target[to].iov_base + to_offset,
			(const uint8_t *)source[from].iov_base + from_offset, part);
		done += part;
		to_offset += part;
		from_offset += part;
	}
	return done;
}
