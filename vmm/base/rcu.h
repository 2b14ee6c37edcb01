/*
 * rcu.h: read-mostly data that is read without a lock and replaced as a whole
 *
 * A reader brackets its use of a published pointer with rcu_read_lock() and rcu_read_unlock(),
 * which cost two stores and a fence; sections nest. A writer publishes a new version with
 * g_atomic_pointer_set() and then either waits with rcu_synchronize() until nobody can still see
 * the old one, or, where it may itself be inside a section (a vCPU that moves a BAR), hands the
 * old one to rcu_retire().
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/* Enter and leave a read section of this thread. Any thread; registers itself at first use. */
void rcu_read_lock(void);
void rcu_read_unlock(void);

/*
 * Wait until every read section that was open at the call has ended. Not inside a read section
 * of the calling thread (it would wait for itself): that is a bug, and is reported as critical.
 */
void rcu_synchronize(void);

/*
 * Free @data with @free_func once no read section that is open now can see it. Any thread, also
 * inside a read section. Freed at a later rcu_retire() or rcu_synchronize().
 */
void rcu_retire(gpointer data, GDestroyNotify free_func);
