/*
 * write_watch.c: which pages of a piece of memory are written, as the kernel sees it
 *
 * By asynchronous write protection of userfaultfd and the PAGEMAP_SCAN ioctl (Linux,
 * Documentation/admin-guide/mm/pagemap.rst), which kernel headers before 6.7 do not have.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/write_watch.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/fd.h"

#define PAGE 4096u

#define USER_MODE_ONLY 1
/* UFFD_FEATURE_WP_UNPOPULATED and UFFD_FEATURE_WP_ASYNC. */
#define FEATURES ((1u << 13) | (1u << 15))

/* struct page_region and struct pm_scan_arg of linux/fs.h. */
typedef struct PageRange {
	uint64_t start, end, categories;
} PageRange;

typedef struct PageScan {
	uint64_t size, flags, start, end, walk_end, ranges, n_ranges, max_pages;
	uint64_t inverted, all_of, any_of, wanted;
} PageScan;

#define PAGE_SCAN    _IOWR('f', 16, PageScan)
#define PAGE_WRITTEN (1u << 1)

static bool start_watching(WriteWatch *watch)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURES };
	struct uffdio_range range = { (uintptr_t)watch->watched, watch->size };
	struct uffdio_register registered = { .range = range, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { .range = range,
					       .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	watch->userfault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | USER_MODE_ONLY);
	watch->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return watch->userfault_fd >= 0 && watch->pagemap_fd >= 0 &&
	       ioctl(watch->userfault_fd, UFFDIO_API, &api) == 0 &&
	       ioctl(watch->userfault_fd, UFFDIO_REGISTER, &registered) == 0 &&
	       ioctl(watch->userfault_fd, UFFDIO_WRITEPROTECT, &protect) == 0;
}

static uint8_t *map(const WriteWatch *watch)
{
	void *memory = mmap(NULL, watch->size, PROT_READ | PROT_WRITE, MAP_SHARED, watch->fd, 0);

	g_assert_true(memory != MAP_FAILED);
	return memory;
}

WriteWatch *write_watch_new(uint64_t size)
{
	WriteWatch *watch = g_new0(WriteWatch, 1);

	watch->size = size;
	watch->userfault_fd = watch->pagemap_fd = -1;
	watch->fd = memfd_create("ram", MFD_CLOEXEC);
	g_assert_no_errno(ftruncate(watch->fd, (off_t)size));
	watch->plain = map(watch);
	watch->watched = map(watch);
	if (start_watching(watch))
		return watch;
	write_watch_free(watch);
	return NULL;
}

void write_watch_free(WriteWatch *watch)
{
	fd_close(&watch->userfault_fd);
	fd_close(&watch->pagemap_fd);
	munmap(watch->plain, watch->size);
	munmap(watch->watched, watch->size);
	fd_close(&watch->fd);
	g_free(watch);
}

void write_watch_check(const WriteWatch *watch, const uint64_t *marked)
{
	uint64_t base = (uintptr_t)watch->watched;
	PageRange ranges[64];
	PageScan scan = {
		.size = sizeof(scan),
		.start = base,
		.end = base + watch->size,
		.ranges = (uintptr_t)ranges,
		.n_ranges = G_N_ELEMENTS(ranges),
		.all_of = PAGE_WRITTEN,
		.wanted = PAGE_WRITTEN,
	};

	while (scan.start < scan.end) {
		int n = ioctl(watch->pagemap_fd, PAGE_SCAN, &scan);

		g_assert_no_errno(n);
		for (int i = 0; i < n; i++) {
			for (uint64_t at = ranges[i].start - base; at < ranges[i].end - base;
			     at += PAGE) {
				uint64_t page = at / PAGE;

				if (!(marked[page / 64] & (UINT64_C(1) << (page % 64))))
					g_error("the page at 0x%" G_GINT64_MODIFIER
						"x was written, and not marked",
						at);
			}
		}
		scan.start = scan.walk_end;
	}
}
