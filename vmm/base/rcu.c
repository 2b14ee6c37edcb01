/*
 * rcu.c: read-mostly data that is read without a lock and replaced as a whole
 *
 * Time is counted in generations. A reader publishes the generation at which its outermost section
 * began; a writer that has replaced something starts a new one. What was replaced can be seen only
 * by readers of an earlier generation, so it goes when the oldest one active has caught up.
 *
 * The reader stores its generation and then loads the data, the writer stores the data and then
 * loads the generations, each with a full fence in between: at least one of them sees the other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/rcu.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct RcuReader {
	_Atomic uint64_t generation; /* 0: outside any section */
	unsigned depth;		     /* own thread only */
	GList link;
} RcuReader;

typedef struct RcuRetired {
	struct RcuRetired *next;
	gpointer data;
	GDestroyNotify free_func;
	uint64_t generation; /* goes when no older reader is active */
} RcuRetired;

static void rcu_reader_free(gpointer data);

static _Atomic uint64_t rcu_generation = 1;
static GMutex rcu_lock; /* guards the two lists */
static GQueue rcu_readers = G_QUEUE_INIT;
static RcuRetired *rcu_retired;
static GPrivate rcu_reader_key = G_PRIVATE_INIT(rcu_reader_free);
static _Thread_local RcuReader *rcu_self;

static void rcu_reader_free(gpointer data)
{
	RcuReader *reader = data;

	g_mutex_lock(&rcu_lock);
	g_queue_unlink(&rcu_readers, &reader->link);
	g_mutex_unlock(&rcu_lock);
	rcu_self = NULL;
	g_free(reader);
}

static RcuReader *rcu_reader_register(void)
{
	RcuReader *reader = g_new0(RcuReader, 1);

	reader->link.data = reader;
	g_mutex_lock(&rcu_lock);
	g_queue_push_tail_link(&rcu_readers, &reader->link);
	g_mutex_unlock(&rcu_lock);
	g_private_set(&rcu_reader_key, reader);
	rcu_self = reader;
	return reader;
}

void rcu_read_lock(void)
{
	RcuReader *reader = rcu_self ? rcu_self : rcu_reader_register();

	if (reader->depth++ > 0)
		return;
	atomic_store_explicit(&reader->generation,
			      atomic_load_explicit(&rcu_generation, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

void rcu_read_unlock(void)
{
	RcuReader *reader = rcu_self;

	g_return_if_fail(reader && reader->depth > 0);
	if (--reader->depth == 0)
		atomic_store_explicit(&reader->generation, 0, memory_order_release);
}

/* The generation of the oldest section that is open; lock held. */
static uint64_t rcu_oldest_active(void)
{
	uint64_t oldest = UINT64_MAX;

	atomic_thread_fence(memory_order_seq_cst);
	for (GList *link = rcu_readers.head; link; link = link->next) {
		RcuReader *reader = link->data;
		uint64_t generation =
			atomic_load_explicit(&reader->generation, memory_order_acquire);

		if (generation != 0 && generation < oldest)
			oldest = generation;
	}
	return oldest;
}

/* Take off the list what nobody can see any more; lock held, the caller frees without it. */
static RcuRetired *rcu_take_expired(void)
{
	uint64_t oldest = rcu_oldest_active();
	RcuRetired **place = &rcu_retired;
	RcuRetired *expired = NULL;

	while (*place) {
		RcuRetired *item = *place;

		if (item->generation <= oldest) {
			*place = item->next;
			item->next = expired;
			expired = item;
		} else {
			place = &item->next;
		}
	}
	return expired;
}

static void rcu_free_expired(RcuRetired *expired)
{
	while (expired) {
		RcuRetired *item = expired;

		expired = item->next;
		item->free_func(item->data);
		g_free(item);
	}
}

void rcu_synchronize(void)
{
	uint64_t generation;
	RcuRetired *expired;
	unsigned pause_us = 10;
	bool caught_up;

	if (rcu_self && rcu_self->depth > 0) {
		g_critical("rcu_synchronize() inside a read section");
		return;
	}
	generation = atomic_fetch_add(&rcu_generation, 1) + 1;
	do {
		g_mutex_lock(&rcu_lock);
		caught_up = rcu_oldest_active() >= generation;
		expired = rcu_take_expired();
		g_mutex_unlock(&rcu_lock);
		rcu_free_expired(expired);
		if (!caught_up) {
			g_usleep(pause_us);
			pause_us = MIN(pause_us * 2, 1000);
		}
	} while (!caught_up);
}

void rcu_retire(gpointer data, GDestroyNotify free_func)
{
	RcuRetired *item = g_new(RcuRetired, 1);
	RcuRetired *expired;

	item->data = data;
	item->free_func = free_func;
	item->generation = atomic_fetch_add(&rcu_generation, 1) + 1;
	g_mutex_lock(&rcu_lock);
	item->next = rcu_retired;
	rcu_retired = item;
	expired = rcu_take_expired();
	g_mutex_unlock(&rcu_lock);
	rcu_free_expired(expired);
}
