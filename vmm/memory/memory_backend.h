/*
 * memory_backend.h: host memory that becomes guest RAM (-object memory-backend-*)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum MemoryBackendKind {
	MEMORY_BACKEND_RAM,   /* anonymous */
	MEMORY_BACKEND_MEMFD, /* memfd_create, hugetlb if asked */
	MEMORY_BACKEND_FILE,  /* a file, or a new file in a directory (hugetlbfs, tmpfs) */
} MemoryBackendKind;

typedef struct MemoryBackendConfig {
	MemoryBackendKind kind;
	char *id;
	char *path;		 /* MEMORY_BACKEND_FILE */
	uint64_t size;		 /* bytes */
	uint64_t hugetlb_size;	 /* bytes; 0: base pages (MEMFD) */
	bool share;
	bool prealloc;
	uint32_t prealloc_threads;
	int policy;		 /* MPOL_*, for host_nodes */
	GArray *host_nodes;	 /* uint16_t, of the host's NUMA nodes; NULL: none */
	bool dump;		 /* false: MADV_DONTDUMP */
	bool merge;		 /* MADV_MERGEABLE */
	bool discard_data;	 /* FILE: drop the contents at the end */
	bool read_only;
} MemoryBackendConfig;

typedef struct MemoryBackend {
	MemoryBackendConfig config;
	uint8_t *hva;	    /* the mapping, config.size bytes */
	int fd;		    /* owned; -1 for anonymous memory */
	uint64_t page_size; /* bytes */
} MemoryBackend;

/*
 * Allocate and map the memory. @config is copied, with all it points to. NULL and @error, naming the
 * backend, when the size is no multiple of the page size, the host has too little (all of it is
 * reserved at once when prealloc is set), or the file is unfit. Main thread.
 */
MemoryBackend *memory_backend_new(const MemoryBackendConfig *config, GError **error);
/*
 * Have the host give the pages of @size bytes at @offset, both multiples of the page size, now.
 * False where it has not enough, or not the call (Linux 5.14). Any thread.
 */
bool memory_backend_populate(const MemoryBackend *backend, uint64_t offset, uint64_t size);
void memory_backend_free(MemoryBackend *backend);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryBackend, memory_backend_free)
