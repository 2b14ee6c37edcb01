/*
 * test-rcu.c: readers never see what was freed, and everything retired is freed
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/rcu.h"

#include <stdatomic.h>
#include <stdbool.h>

#define ALIVE 0x600du
#define N_READERS 3
#define N_VERSIONS 2000

typedef struct Version {
	unsigned mark;
	unsigned serial;
} Version;

static Version *published;
static atomic_bool stopping;
static atomic_uint n_freed;
static atomic_uint n_wrong;

static void version_free(gpointer data)
{
	Version *version = data;

	version->mark = 0;
	g_free(version);
	atomic_fetch_add(&n_freed, 1);
}

static Version *version_new(unsigned serial)
{
	Version *version = g_new(Version, 1);

	*version = (Version){ ALIVE, serial };
	return version;
}

static gpointer read_versions(gpointer data)
{
	unsigned last = 0;

	(void)data;
	while (!atomic_load(&stopping)) {
		Version *version;

		rcu_read_lock();
		rcu_read_lock();
		version = g_atomic_pointer_get(&published);
		rcu_read_unlock();
		if (version->mark != ALIVE || version->serial < last)
			atomic_fetch_add(&n_wrong, 1);
		last = version->serial;
		rcu_read_unlock();
	}
	return NULL;
}

static void run_readers(void (*write)(void))
{
	GThread *readers[N_READERS];

	atomic_store(&stopping, false);
	atomic_store(&n_freed, 0);
	atomic_store(&n_wrong, 0);
	published = version_new(0);
	for (unsigned i = 0; i < N_READERS; i++)
		readers[i] = g_thread_new("reader", read_versions, NULL);
	write();
	atomic_store(&stopping, true);
	for (unsigned i = 0; i < N_READERS; i++)
		g_thread_join(readers[i]);
	rcu_synchronize();
	g_assert_cmpuint(atomic_load(&n_wrong), ==, 0);
	g_assert_cmpuint(atomic_load(&n_freed), ==, N_VERSIONS);
	g_free(published);
}

static void write_retiring(void)
{
	for (unsigned i = 1; i <= N_VERSIONS; i++) {
		Version *old = published;

		rcu_read_lock();
		g_atomic_pointer_set(&published, version_new(i));
		rcu_retire(old, version_free);
		/* Still inside a section that could see it. */
		g_assert_cmpuint(old->mark, ==, ALIVE);
		rcu_read_unlock();
	}
}

static void write_synchronizing(void)
{
	for (unsigned i = 1; i <= N_VERSIONS; i++) {
		Version *old = published;

		g_atomic_pointer_set(&published, version_new(i));
		if (i % 20 == 0) {
			rcu_synchronize();
			version_free(old);
		} else {
			rcu_retire(old, version_free);
		}
	}
}

static void test_retire(void)
{
	run_readers(write_retiring);
}

static void test_synchronize(void)
{
	run_readers(write_synchronizing);
}

/* It would wait for itself for ever; it says so instead (criticals are fatal in tests). */
static void test_synchronize_inside_section(void)
{
	if (g_test_subprocess()) {
		rcu_read_lock();
		rcu_synchronize();
		rcu_read_unlock();
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_failed();
	g_test_trap_assert_stderr("*inside a read section*");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/rcu/retire", test_retire);
	g_test_add_func("/rcu/synchronize", test_synchronize);
	g_test_add_func("/rcu/synchronize-inside-section", test_synchronize_inside_section);
	return g_test_run();
}
