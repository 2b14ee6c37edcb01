/*
 * test-fd.c: descriptors that another process has, too, and eventfds that it has made worse
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* Where there is a hang, it ends. */
#define PATIENCE_S 20

static void make_full(int fd)
{
	const uint64_t most = UINT64_MAX - 1;

	g_assert_cmpint(write(fd, &most, sizeof(most)), ==, sizeof(most));
}

/* O_NONBLOCK is of the file, which all share: nobody can rely on it. */
static void test_shared_event(void)
{
	g_autoptr(GError) error = NULL;
	autofd int fd = fd_new_event(&error);

	g_assert_no_error(error);
	alarm(PATIENCE_S);
	g_assert_false(fd_event_take(fd));
	fd_event_signal_shared(fd);
	g_assert_true(fd_event_take(fd));
	g_assert_true(fd_set_nonblocking(fd, false, NULL));
	g_assert_false(fd_event_take(fd));
	fd_event_signal_shared(fd);
	g_assert_true(fd_event_take(fd));
	make_full(fd);
	fd_event_signal_shared(fd);
	g_assert_true(fd_event_take(fd));
	g_assert_false(fd_event_take(fd));
	alarm(0);
}

static void test_memory(void)
{
	autofd int fd = fd_new_memory("test", 0, 8192);

	g_assert_no_errno(fd);
	g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, 8192);
	for (off_t size = 0; size <= 16384; size += 16384) {
		g_assert_cmpint(ftruncate(fd, size), ==, -1);
		g_assert_cmpint(errno, ==, EPERM);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fd/shared-event", test_shared_event);
	g_test_add_func("/fd/memory", test_memory);
	return g_test_run();
}
