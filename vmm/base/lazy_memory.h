/*
 * lazy_memory.h: zeroed memory that is present only where it is used
 *
 * For tables that are sized for the worst and mostly used at their start. The heap would clear
 * them, and a huge page would make all of them present at the first touch.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stddef.h>

/*
 * Map @size bytes, more than 0, that read as zeroes. Returns memory for lazy_memory_free(), or NULL
 * when the host has none. Any thread.
 */
void *lazy_memory_new(size_t size);

/* Unmap @memory, which may be NULL, of the @size bytes that it was made with. Any thread. */
void lazy_memory_free(void *memory, size_t size);
