/*
 * memory_backend.c: host memory that becomes guest RAM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/memory/memory_backend.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Mappings start on such a boundary, so that the kernel can use huge pages throughout. */
#define MEMORY_BACKEND_ALIGNMENT (UINT64_C(2) << 20)
#define MEMORY_BACKEND_MAX_PREALLOC_THREADS 64u

static bool memory_backend_fail_errno(const MemoryBackend *backend, int errnum, const char *what,
				      GError **error)
{
	return error_fail_errno(error, errnum, "memory backend '%s': %s", backend->config.id, what);
}

/* More than the host could ever give is a mistake; hugetlb pools and files have their own limit. */
static bool memory_backend_check_host(const MemoryBackend *backend, GError **error)
{
	struct sysinfo host;
	uint64_t total;

	if (sysinfo(&host) < 0)
		return memory_backend_fail_errno(backend, errno, "sysinfo", error);
	total = ((uint64_t)host.totalram + host.totalswap) * host.mem_unit;
	if (backend->config.size > total)
		return error_fail(error,
				  "memory backend '%s': %" PRIu64
				  " MiB is more than the host has (%" PRIu64 " MiB)",
				  backend->config.id, backend->config.size >> 20, total >> 20);
	return true;
}

static bool memory_backend_open_memfd(MemoryBackend *backend, GError **error)
{
	unsigned flags = 0;

	if (backend->config.hugetlb_size)
		flags |= MFD_HUGETLB |
			 (unsigned)__builtin_ctzll(backend->config.hugetlb_size) << MFD_HUGE_SHIFT;
	backend->fd = fd_new_memory(backend->config.id, flags, backend->config.size);
	if (backend->fd < 0)
		return memory_backend_fail_errno(backend, errno, "memfd_create", error);
	return true;
}

static bool memory_backend_open_file(MemoryBackend *backend, GError **error)
{
	const char *path = backend->config.path;
	int access = backend->config.read_only ? O_RDONLY : O_RDWR;
	struct statfs file_system;
	struct stat status;

	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
		g_autofree char *name = g_build_filename(path, "vireo-ram.XXXXXX", NULL);

		backend->fd = mkostemp(name, O_CLOEXEC);
		if (backend->fd >= 0)
			unlink(name);
	} else {
		backend->fd = open(path, access | O_CLOEXEC | (access == O_RDWR ? O_CREAT : 0), 0644);
	}
	if (backend->fd < 0 || fstat(backend->fd, &status) < 0 ||
	    fstatfs(backend->fd, &file_system) < 0)
		return memory_backend_fail_errno(backend, errno, path, error);
	if (file_system.f_type == HUGETLBFS_MAGIC)
		backend->page_size = (uint64_t)file_system.f_bsize;
	if (S_ISREG(status.st_mode) && status.st_size != 0 &&
	    (uint64_t)status.st_size < backend->config.size)
		return error_fail(error,
				  "memory backend '%s': %s has %" PRIu64 " bytes, fewer than size",
				  backend->config.id, path, (uint64_t)status.st_size);
	if (S_ISREG(status.st_mode) && status.st_size != 0)
		return true;
	if (ftruncate(backend->fd, (off_t)backend->config.size) < 0)
		return memory_backend_fail_errno(backend, errno, path, error);
	return true;
}

/* Map backend->fd (or anonymous memory) on a boundary that suits huge pages. */
static bool memory_backend_map(MemoryBackend *backend, GError **error)
{
	const MemoryBackendConfig *config = &backend->config;
	uint64_t alignment = MAX(MEMORY_BACKEND_ALIGNMENT, backend->page_size);
	bool private_map = !config->share;
	int protection = PROT_READ | (config->read_only && !private_map ? 0 : PROT_WRITE);
	int flags = MAP_FIXED | MAP_NORESERVE | (private_map ? MAP_PRIVATE : MAP_SHARED);
	uint8_t *reserved, *start;
	size_t head, room;

	if (__builtin_add_overflow(config->size, alignment, &room))
		return memory_backend_fail_errno(backend, ENOMEM, "mmap", error);
	reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return memory_backend_fail_errno(backend, errno, "mmap", error);
	start = (uint8_t *)(((uintptr_t)reserved + alignment - 1) & ~(uintptr_t)(alignment - 1));
	head = (size_t)(start - reserved);
	if (head > 0)
		munmap(reserved, head);
	munmap(start + config->size, alignment - head);
	if (backend->fd < 0)
		flags |= MAP_ANONYMOUS;
	if (mmap(start, config->size, protection, flags, backend->fd, 0) == MAP_FAILED) {
		memory_backend_fail_errno(backend, errno, "mmap", error);
		munmap(start, config->size);
		return false;
	}
	backend->hva = start;
	return true;
}

typedef struct PreallocPart {
	uint8_t *start;
	size_t size;
	int errnum;
} PreallocPart;

static gpointer populate_part(gpointer data)
{
	PreallocPart *part = data;

	while (madvise(part->start, part->size, MADV_POPULATE_WRITE) < 0) {
		if (errno == EINTR || errno == EAGAIN)
			continue;
		part->errnum = errno;
		break;
	}
	return NULL;
}

bool memory_backend_populate(const MemoryBackend *backend, uint64_t offset, uint64_t size)
{
	PreallocPart part = { .start = backend->hva + offset, .size = size };

	populate_part(&part);
	return part.errnum == 0;
}

/* Have the host give all pages now, by several threads where asked: it is mostly zeroing. */
static bool memory_backend_prealloc(MemoryBackend *backend, GError **error)
{
	PreallocPart parts[MEMORY_BACKEND_MAX_PREALLOC_THREADS] = { 0 };
	GThread *threads[MEMORY_BACKEND_MAX_PREALLOC_THREADS] = { NULL };
	uint64_t pages = backend->config.size / backend->page_size;
	unsigned wanted = CLAMP(backend->config.prealloc_threads, 1,
				MEMORY_BACKEND_MAX_PREALLOC_THREADS);
	unsigned n = (unsigned)MIN(wanted, pages);
	int errnum = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t first = pages * i / n, after = pages * (i + 1) / n;

		parts[i].start = backend->hva + first * backend->page_size;
		parts[i].size = (after - first) * backend->page_size;
		if (i > 0)
			threads[i] = g_thread_try_new("prealloc", populate_part, &parts[i],
						      NULL);
		if (i > 0 && !threads[i])
			populate_part(&parts[i]);
	}
	populate_part(&parts[0]);
	for (unsigned i = 0; i < n; i++) {
		if (threads[i])
			g_thread_join(threads[i]);
		if (parts[i].errnum)
			errnum = parts[i].errnum;
	}
	/* A hugetlb pool that runs dry shows as EFAULT. */
	if (errnum == EINVAL)
		return error_fail(error, "memory backend '%s': prealloc needs Linux 5.14",
				  backend->config.id);
	if (errnum)
		return memory_backend_fail_errno(backend, errnum == EFAULT ? ENOMEM : errnum,
						 "cannot preallocate", error);
	return true;
}

/* The most NUMA nodes that Linux can be built for. */
#define HOST_NODES_MAX 1024u
#define LONG_BITS      (8 * sizeof(unsigned long))

/* Before any page is there: those then come from where the policy says. */
static bool memory_backend_bind(MemoryBackend *backend, GError **error)
{
	const MemoryBackendConfig *config = &backend->config;
	unsigned long nodes[HOST_NODES_MAX / LONG_BITS] = { 0 };
	unsigned n_nodes = config->host_nodes ? config->host_nodes->len : 0;

	if (config->policy == MPOL_DEFAULT)
		return n_nodes == 0 || error_fail(error,
						  "memory backend '%s': host-nodes needs a policy "
						  "other than default",
						  config->id);
	if (n_nodes == 0)
		return error_fail(error, "memory backend '%s': policy needs host-nodes",
				  config->id);
	if (config->policy == MPOL_PREFERRED && n_nodes > 1)
		return error_fail(error,
				  "memory backend '%s': policy preferred takes one of host-nodes",
				  config->id);
	for (unsigned i = 0; i < n_nodes; i++) {
		unsigned node = g_array_index(config->host_nodes, uint16_t, i);

		if (node >= HOST_NODES_MAX)
			return error_fail(error, "memory backend '%s': there is no host node %u",
					  config->id, node);
		nodes[node / LONG_BITS] |= 1ul << (node % LONG_BITS);
	}
	/* The kernel looks at one bit less than it is told of. */
	if (syscall(SYS_mbind, backend->hva, config->size, config->policy, nodes,
		    (unsigned long)HOST_NODES_MAX + 1, MPOL_MF_STRICT | MPOL_MF_MOVE) < 0)
		return memory_backend_fail_errno(backend, errno,
						 "cannot bind it to its host-nodes", error);
	return true;
}

/* Hints; the host may lack any of them, and nothing depends on them. */
static void memory_backend_advise(MemoryBackend *backend)
{
	const MemoryBackendConfig *config = &backend->config;

	if (config->hugetlb_size == 0)
		(void)madvise(backend->hva, config->size, MADV_HUGEPAGE);
	if (config->merge)
		(void)madvise(backend->hva, config->size, MADV_MERGEABLE);
	if (!config->dump)
		(void)madvise(backend->hva, config->size, MADV_DONTDUMP);
}

static bool memory_backend_open(MemoryBackend *backend, GError **error)
{
	const MemoryBackendConfig *config = &backend->config;
	bool from_host = config->kind != MEMORY_BACKEND_FILE && config->hugetlb_size == 0;

	if (config->size == 0)
		return error_fail(error, "memory backend '%s': size must not be 0", config->id);
	if (config->size > (uint64_t)INT64_MAX - MEMORY_BACKEND_ALIGNMENT)
		return error_fail(error, "memory backend '%s': size is too large", config->id);
	if (config->hugetlb_size & (config->hugetlb_size - 1))
		return error_fail(error, "memory backend '%s': hugetlbsize is no power of two",
				  config->id);
	if (config->hugetlb_size)
		backend->page_size = config->hugetlb_size;
	if (from_host && !memory_backend_check_host(backend, error))
		return false;
	if (config->kind == MEMORY_BACKEND_FILE && !memory_backend_open_file(backend, error))
		return false;
	if (config->size % backend->page_size)
		return error_fail(error,
				  "memory backend '%s': size is no multiple of the page size (%" PRIu64
				  " KiB)",
				  config->id, backend->page_size >> 10);
	if (config->kind == MEMORY_BACKEND_MEMFD && !memory_backend_open_memfd(backend, error))
		return false;
	if (!memory_backend_map(backend, error))
		return false;
	if (!memory_backend_bind(backend, error))
		return false;
	memory_backend_advise(backend);
	return !config->prealloc || memory_backend_prealloc(backend, error);
}

MemoryBackend *memory_backend_new(const MemoryBackendConfig *config, GError **error)
{
	g_autoptr(MemoryBackend) backend = g_new0(MemoryBackend, 1);

	backend->config = *config;
	backend->config.id = g_strdup(config->id);
	backend->config.path = g_strdup(config->path);
	if (config->host_nodes)
		backend->config.host_nodes = g_array_copy(config->host_nodes);
	backend->fd = -1;
	backend->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	if (!memory_backend_open(backend, error))
		return NULL;
	return g_steal_pointer(&backend);
}

void memory_backend_free(MemoryBackend *backend)
{
	if (!backend)
		return;
	if (backend->hva) {
		if (backend->config.discard_data && backend->config.share)
			(void)madvise(backend->hva, backend->config.size, MADV_REMOVE);
		munmap(backend->hva, backend->config.size);
	}
	fd_close(&backend->fd);
	g_clear_pointer(&backend->config.host_nodes, g_array_unref);
	g_free(backend->config.id);
	g_free(backend->config.path);
	g_free(backend);
}
