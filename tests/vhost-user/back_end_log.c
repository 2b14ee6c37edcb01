/*
 * back_end_log.c: where a back end of tests marks what it writes (SET_LOG_BASE)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/vhost-user/back_end_log.h"

#include <sys/mman.h>

#define PAGE 4096u

void back_end_log_open(BackEndLog *log, const VhostUserLog *wire, int fd)
{
	void *map;

	back_end_log_close(log);
	map = mmap(NULL, wire->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)wire->offset);
	g_assert_true(map != MAP_FAILED);
	log->bits = map;
	log->size = wire->size;
}

void back_end_log_close(BackEndLog *log)
{
	if (log->bits)
		munmap(log->bits, log->size);
	log->bits = NULL;
}

void back_end_log_mark(BackEndLog *log, uint64_t gpa, uint64_t size)
{
	for (uint64_t page = gpa / PAGE; size > 0 && page <= (gpa + size - 1) / PAGE; page++) {
		g_assert_cmpuint(page / 8, <, log->size);
		__atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << (page % 8)),
				  __ATOMIC_SEQ_CST);
	}
}

void back_end_log_element(BackEndLog *log, const GuestMemory *memory,
			  const VirtqueueElement *element)
{
	size_t n_regions;
	const GuestMemoryRegion *regions = guest_memory_regions(memory, &n_regions);

	for (unsigned i = element->n_out; i < element->n_out + element->n_in; i++) {
		const uint8_t *hva = element->iov[i].iov_base;

		for (size_t j = 0; j < n_regions; j++) {
			if (hva >= regions[j].hva && hva < regions[j].hva + regions[j].size)
				back_end_log_mark(log,
						  regions[j].gpa + (uint64_t)(hva - regions[j].hva),
						  element->iov[i].iov_len);
		}
	}
}
