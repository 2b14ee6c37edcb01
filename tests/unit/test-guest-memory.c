/*
 * test-guest-memory.c: checked access to guest RAM, and the memory behind it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/rcu.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/memory_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Which thread populated what, as told by the madvise() below, which the code under test calls. */
typedef struct Populated {
	uint8_t *start;
	size_t size;
	pid_t thread;
} Populated;

static struct {
	GMutex lock;
	Populated parts[8];
	unsigned n_parts;
	bool huge, merge; /* asked for */
} advised;

int madvise(void *start, size_t size, int advice)
{
	g_mutex_lock(&advised.lock);
	if (advice == MADV_POPULATE_WRITE && advised.n_parts < G_N_ELEMENTS(advised.parts))
		advised.parts[advised.n_parts++] = (Populated){ start, size, gettid() };
	if (advice == MADV_HUGEPAGE)
		advised.huge = true;
	if (advice == MADV_MERGEABLE)
		advised.merge = true;
	g_mutex_unlock(&advised.lock);
	return (int)syscall(SYS_madvise, start, size, advice);
}

static void forget_advice(void)
{
	g_mutex_lock(&advised.lock);
	advised.n_parts = 0;
	advised.huge = advised.merge = false;
	g_mutex_unlock(&advised.lock);
}

static void add_region(GuestMemory *memory, uint64_t gpa, uint8_t *hva, uint64_t size,
		       bool read_only, bool expected)
{
	GuestMemoryRegion region = {
		.gpa = gpa,
		.size = size,
		.hva = hva,
		.fd = -1,
		.read_only = read_only,
	};
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(guest_memory_add(memory, &region, &error), ==, expected);
	g_assert_cmpint(error != NULL, ==, !expected);
}

static void test_overlap_and_wrap(void)
{
	static uint8_t host[0x4000];
	g_autoptr(GuestMemory) memory = guest_memory_new();
	const GuestMemoryRegion *regions;
	size_t n_regions;

	add_region(memory, 0x2000, host, 0x1000, false, true);
	add_region(memory, 0x1001, host, 0x1000, false, false);
	add_region(memory, 0x2fff, host, 0x1000, false, false);
	add_region(memory, 0, host, 0, false, false);
	add_region(memory, UINT64_MAX - 0xffe, host, 0x1000, false, false);
	add_region(memory, UINT64_MAX - 0xfff, host, 0x1000, true, true);
	add_region(memory, 0x1000, host, 0x1000, false, true);
	regions = guest_memory_regions(memory, &n_regions);
	g_assert_cmpuint(n_regions, ==, 3);
	g_assert_cmpuint(regions[0].gpa, ==, 0x1000);
	g_assert_cmpuint(regions[1].gpa, ==, 0x2000);
	g_assert_cmpuint(guest_memory_size(memory), ==, 0x2000);
}

static void test_access(void)
{
	static uint8_t low[0x1000], high[0x1000], rom[0x1000], last[0x1000];
	g_autoptr(GuestMemory) memory = guest_memory_new();
	uint8_t buffer[32];

	add_region(memory, 0x1000, low, 0x1000, false, true);
	add_region(memory, 0x2000, high, 0x1000, false, true);
	add_region(memory, 0x3000, rom, 0x1000, true, true);
	add_region(memory, UINT64_MAX - 0xfff, last, 0x1000, false, true);

	g_assert_true(guest_memory_hva(memory, 0x1fff, 1, true) == low + 0xfff);
	g_assert_null(guest_memory_hva(memory, 0x1fff, 2, true));
	g_assert_null(guest_memory_hva(memory, 0x1800, UINT64_MAX, false));
	g_assert_null(guest_memory_hva(memory, 0xfff, 1, false));
	g_assert_null(guest_memory_hva(memory, 0x4000, 0, false));
	g_assert_true(guest_memory_hva(memory, 0x3000, 4, false) == rom);
	g_assert_null(guest_memory_hva(memory, 0x3000, 4, true));

	memset(buffer, 0xab, sizeof(buffer));
	g_assert_true(guest_memory_write(memory, 0x1ff0, buffer, 32));
	g_assert_cmphex(low[0xff0], ==, 0xab);
	g_assert_cmphex(high[0xf], ==, 0xab);
	g_assert_cmphex(high[0x10], ==, 0);
	g_assert_false(guest_memory_write(memory, 0x2ff0, buffer, 32));
	g_assert_true(guest_memory_read(memory, 0x2ff0, buffer, 32));
	g_assert_false(guest_memory_read(memory, 0x3ff0, buffer, 32));
	g_assert_true(guest_memory_read(memory, UINT64_MAX - 31, buffer, 32));
	g_assert_false(guest_memory_read(memory, UINT64_MAX - 30, buffer, 32));
	g_assert_true(guest_memory_write(memory, 0x9000, buffer, 0));
}

static gpointer read_regions(gpointer data)
{
	GuestMemory *memory = data;
	size_t n_regions = 0;

	while (n_regions < 64) {
		const GuestMemoryRegion *regions;

		rcu_read_lock();
		regions = guest_memory_regions(memory, &n_regions);
		for (size_t i = 1; i < n_regions; i++)
			g_assert_cmpuint(regions[i - 1].gpa, <, regions[i].gpa);
		rcu_read_unlock();
	}
	return NULL;
}

static void test_add_while_reading(void)
{
	static uint8_t host[0x1000];
	g_autoptr(GuestMemory) memory = guest_memory_new();
	GThread *reader = g_thread_new("reader", read_regions, memory);

	for (unsigned i = 0; i < 64; i++)
		add_region(memory, (uint64_t)((i * 29) % 64) << 12, host, 0x1000, false, true);
	g_thread_join(reader);
}

static MemoryBackend *new_backend(const MemoryBackendConfig *config, const char *expected_error)
{
	g_autoptr(GError) error = NULL;
	MemoryBackend *backend = memory_backend_new(config, &error);

	if (expected_error) {
		g_assert_null(backend);
		g_assert_nonnull(strstr(error->message, expected_error));
	} else {
		g_assert_no_error(error);
		memset(backend->hva, 0x5a, config->size);
	}
	return backend;
}

static void test_backend_kinds(void)
{
	char id[] = "ram0";
	MemoryBackendConfig config = {
		.kind = MEMORY_BACKEND_RAM, .id = id, .size = 4 << 20, .prealloc = true,
		.prealloc_threads = 3, .dump = false, .merge = true,
	};
	g_autoptr(MemoryBackend) ram = new_backend(&config, NULL);
	g_autoptr(MemoryBackend) memfd = NULL;
	uint8_t *second;

	g_assert_cmpint(ram->fd, ==, -1);
	config.kind = MEMORY_BACKEND_MEMFD;
	config.share = true;
	memfd = new_backend(&config, NULL);
	second = mmap(NULL, config.size, PROT_READ, MAP_SHARED, memfd->fd, 0);
	g_assert_true(second != MAP_FAILED);
	g_assert_cmphex(second[config.size - 1], ==, 0x5a);
	/* Another process that has it can take nothing of it away: we would not survive a look. */
	g_assert_cmpint(ftruncate(memfd->fd, 0), ==, -1);
	g_assert_cmpint(errno, ==, EPERM);
	munmap(second, config.size);
}

static void test_backend_file(void)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-ram-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "ram", NULL);
	char id[] = "file0";
	MemoryBackendConfig config = {
		.kind = MEMORY_BACKEND_FILE, .id = id, .path = directory, .size = 1 << 20,
		.share = true,
	};
	MemoryBackend *backend = new_backend(&config, NULL);
	struct stat status;

	memory_backend_free(backend);
	config.path = path;
	backend = new_backend(&config, NULL);
	memory_backend_free(backend);
	g_assert_cmpint(g_stat(path, &status), ==, 0);
	g_assert_cmpint(status.st_size, ==, 1 << 20);
	config.size = 2 << 20;
	new_backend(&config, "fewer than size");
	g_assert_cmpint(g_remove(path), ==, 0);
	/* Nothing was left in the directory by the first one. */
	g_assert_cmpint(g_rmdir(directory), ==, 0);
}

static unsigned n_present(const MemoryBackend *backend)
{
	size_t n_pages = backend->config.size / backend->page_size;
	g_autofree unsigned char *pages = g_malloc(n_pages);
	unsigned n = 0;

	g_assert_cmpint(mincore(backend->hva, backend->config.size, pages), ==, 0);
	for (size_t i = 0; i < n_pages; i++)
		n += pages[i] & 1;
	return n;
}

static gint compare_parts(gconstpointer a, gconstpointer b)
{
	const Populated *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

/* Each page is made present once, by as many threads as were asked for; and only if asked for. */
static void test_prealloc(void)
{
	static const struct {
		MemoryBackendKind kind;
		unsigned wanted, threads;
		uint64_t size;
	} cases[] = {
		{ MEMORY_BACKEND_RAM, 0, 1, 4 << 20 },
		{ MEMORY_BACKEND_RAM, 1, 1, 4 << 20 },
		{ MEMORY_BACKEND_RAM, 3, 3, 4 << 20 },
		{ MEMORY_BACKEND_MEMFD, 4, 4, (4 << 20) + 4096 },
		{ MEMORY_BACKEND_MEMFD, 8, 2, 8192 }, /* fewer pages than threads */
	};
	char id[] = "all";

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		MemoryBackendConfig config = {
			.kind = cases[i].kind, .id = id, .size = cases[i].size, .prealloc = true,
			.prealloc_threads = cases[i].wanted, .dump = true,
			.share = cases[i].kind == MEMORY_BACKEND_MEMFD,
		};
		g_autoptr(GError) error = NULL;
		g_autoptr(MemoryBackend) now = NULL, later = NULL;
		g_autoptr(GHashTable) threads = g_hash_table_new(NULL, NULL);
		uint8_t *next;

		forget_advice();
		now = memory_backend_new(&config, &error);
		if (error && strstr(error->message, "needs Linux 5.14")) {
			g_test_skip(error->message);
			return;
		}
		g_assert_no_error(error);
		g_assert_cmpuint(n_present(now), ==, config.size / now->page_size);
		g_assert_cmpuint(advised.n_parts, ==, cases[i].threads);
		qsort(advised.parts, advised.n_parts, sizeof(*advised.parts), compare_parts);
		next = now->hva;
		for (unsigned part = 0; part < advised.n_parts; part++) {
			g_assert_true(advised.parts[part].start == next);
			next += advised.parts[part].size;
			g_hash_table_add(threads, GINT_TO_POINTER(advised.parts[part].thread));
		}
		g_assert_true(next == now->hva + config.size);
		g_assert_cmpuint(g_hash_table_size(threads), ==, cases[i].threads);

		config.prealloc = false;
		forget_advice();
		later = memory_backend_new(&config, &error);
		g_assert_no_error(error);
		g_assert_cmpuint(advised.n_parts, ==, 0);
		g_assert_cmpuint(n_present(later), ==, 0);
	}
}

/* The host may put large pages behind it, and merge equal ones where that is wanted. */
static void test_advice(void)
{
	char id[] = "advised";

	for (unsigned merge = 0; merge < 2; merge++) {
		MemoryBackendConfig config = {
			.kind = MEMORY_BACKEND_RAM, .id = id, .size = 4 << 20, .merge = merge,
		};
		g_autoptr(MemoryBackend) backend = NULL;

		forget_advice();
		backend = memory_backend_new(&config, NULL);
		g_assert_nonnull(backend);
		g_assert_true(advised.huge);
		g_assert_cmpint(advised.merge, ==, merge);
		g_assert_cmpuint((uintptr_t)backend->hva % (2 << 20), ==, 0);
	}
}

static blkcnt_t n_blocks(int fd)
{
	struct stat status;

	g_assert_cmpint(fstat(fd, &status), ==, 0);
	return status.st_blocks;
}

/* The host gets a file's blocks back when the guest frees memory; all of them with discard-data. */
static void test_backend_file_discard(void)
{
	g_autofree char *directory = g_dir_make_tmp("vireo-ram-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "ram", NULL);
	char id[] = "file0";

	for (unsigned discard = 0; discard < 2; discard++) {
		MemoryBackendConfig config = {
			.kind = MEMORY_BACKEND_FILE, .id = id, .path = path, .size = 1 << 20,
			.share = true, .discard_data = discard,
		};
		g_autoptr(GuestMemory) memory = guest_memory_new();
		GuestMemoryRegion region = { .size = config.size, .shared = true };
		MemoryBackend *backend = new_backend(&config, NULL);
		int fd = open(path, O_RDWR | O_CLOEXEC);
		blkcnt_t full;

		g_assert_cmpint(fd, >=, 0);
		g_assert_cmpint(fsync(fd), ==, 0);
		full = n_blocks(fd);
		g_assert_cmpint(full, >=, (1 << 20) / 512);
		region.hva = backend->hva;
		region.fd = backend->fd;
		g_assert_true(guest_memory_add(memory, &region, NULL));
		g_assert_true(guest_memory_discard(memory, backend->hva, config.size / 2));
		g_assert_cmpint(n_blocks(fd), <=, full - (config.size / 2) / 512);
		memory_backend_free(backend);
		g_assert_cmpint(n_blocks(fd) == 0, ==, discard);
		close(fd);
		g_assert_cmpint(g_remove(path), ==, 0);
	}
	g_assert_cmpint(g_rmdir(directory), ==, 0);
}

static void test_backend_errors(void)
{
	char id[] = "bad", path[] = "/nonexistent/ram";
	MemoryBackendConfig config = { .kind = MEMORY_BACKEND_RAM, .id = id, .size = 4097 };

	new_backend(&config, "'bad': size is no multiple of the page size");
	config.size = 0;
	new_backend(&config, "size must not be 0");
	config.size = UINT64_C(1) << 60;
	new_backend(&config, "more than the host has");
	config.size = UINT64_MAX & ~UINT64_C(4095);
	new_backend(&config, "too large");
	config = (MemoryBackendConfig){ .kind = MEMORY_BACKEND_FILE, .id = id, .path = path,
					.size = 4096 };
	new_backend(&config, path);
	config = (MemoryBackendConfig){ .kind = MEMORY_BACKEND_MEMFD, .id = id, .size = 4096,
					.hugetlb_size = 12345 };
	new_backend(&config, "no power of two");
}

/* Whole pages inside the range go, of every kind of memory; ROM and what is no RAM stay. */
static void test_discard(void)
{
	static const uint64_t page = 4096;
	static const uint64_t size = 4 * page;
	int fd = memfd_create("discard", MFD_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(ftruncate(fd, (off_t)(2 * size)), ==, 0);
	for (unsigned kind = 0; kind < 4; kind++) {
		bool shared = kind == 1 || kind == 2, read_only = kind == 3;
		bool has_fd = kind == 2;
		g_autoptr(GuestMemory) memory = guest_memory_new();
		uint8_t *hva = mmap(NULL, size, PROT_READ | PROT_WRITE,
				    (shared ? MAP_SHARED : MAP_PRIVATE) |
					    (has_fd ? 0 : MAP_ANONYMOUS),
				    has_fd ? fd : -1, has_fd ? (off_t)size : 0);
		GuestMemoryRegion region = {
			.size = size,
			.hva = hva,
			.fd = has_fd ? fd : -1,
			.offset = has_fd ? size : 0,
			.shared = shared,
			.read_only = read_only,
		};

		g_assert_true(hva != MAP_FAILED);
		memset(hva, 1, size);
		g_assert_true(guest_memory_add(memory, &region, NULL));
		g_assert_cmpuint(guest_memory_page_size(memory, hva), ==, read_only ? 0 : page);
		g_assert_cmpuint(guest_memory_page_size(memory, hva + size), ==, 0);
		g_assert_true(guest_memory_discard(memory, hva + 10, page - 10));
		g_assert_true(guest_memory_discard(memory, hva + 10, 2 * page));
		g_assert_true(guest_memory_discard(memory, hva + 3 * page, UINT64_MAX));
		for (unsigned i = 0; i < 4; i++)
			g_assert_cmpuint(hva[i * page], ==,
					 !read_only && (i == 1 || i == 3) ? 0 : 1);
		munmap(hva, size);
	}
	close(fd);
}

/* Memory that keeps its pages loses none; a device's beside it does, also where it is locked. */
static void test_keep(void)
{
	const uint64_t page = 4096, size = 2 * page;
	g_autoptr(GuestMemory) memory = guest_memory_new();
	uint8_t *hva = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	const struct iovec *part;
	GArray *kept;

	g_assert_true(hva != MAP_FAILED);
	memset(hva, 1, 3 * size);
	g_assert_no_errno(mlock(hva, 3 * size));
	for (unsigned i = 0; i < 3; i++) {
		GuestMemoryRegion region = {
			.gpa = i * size,
			.size = size,
			.hva = hva + i * size,
			.fd = -1,
			.is_device = i == 1,
			.read_only = i == 2,
		};

		g_assert_true(guest_memory_add(memory, &region, NULL));
	}
	kept = guest_memory_kept(memory);
	g_assert_cmpuint(kept->len, ==, 0);
	g_array_unref(kept);

	guest_memory_keep(memory);
	kept = guest_memory_kept(memory);
	g_assert_cmpuint(kept->len, ==, 1);
	part = &g_array_index(kept, struct iovec, 0);
	g_assert_true(part->iov_base == hva);
	g_assert_cmpuint(part->iov_len, ==, size);
	g_array_unref(kept);
	g_assert_true(guest_memory_discard(memory, hva, size));
	g_assert_true(guest_memory_discard(memory, hva + size, size));
	for (unsigned i = 0; i < 6; i++)
		g_assert_cmpuint(hva[i * page], ==, i == 2 || i == 3 ? 0 : 1);
	munmap(hva, 3 * size);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/guest-memory/overlap-and-wrap", test_overlap_and_wrap);
	g_test_add_func("/guest-memory/discard", test_discard);
	g_test_add_func("/guest-memory/keep", test_keep);
	g_test_add_func("/guest-memory/access", test_access);
	g_test_add_func("/guest-memory/add-while-reading", test_add_while_reading);
	g_test_add_func("/memory-backend/kinds", test_backend_kinds);
	g_test_add_func("/memory-backend/file", test_backend_file);
	g_test_add_func("/memory-backend/file-discard", test_backend_file_discard);
	g_test_add_func("/memory-backend/prealloc", test_prealloc);
	g_test_add_func("/memory-backend/advice", test_advice);
	g_test_add_func("/memory-backend/errors", test_backend_errors);
	return g_test_run();
}
