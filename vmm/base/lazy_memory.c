/*
 * lazy_memory.c: zeroed memory that is present only where it is used
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/lazy_memory.h"

#include <sys/mman.h>

void *lazy_memory_new(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	/* A kernel without huge pages refuses, which is as good. */
	(void)madvise(memory, size, MADV_NOHUGEPAGE);
	return memory;
}

void lazy_memory_free(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}
