/*
 * netdev_fixture.h: a card that a netdev is attached to, for tests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/net/net.h"

typedef struct Fixture {
	unsigned descriptors;
	Netdevs *netdevs;
	Netdev *netdev;
	IoLoop *loop;
	/* What the card has seen. */
	GPtrArray *frames; /* GBytes: without header */
	gint n_frames, n_too_big, n_writable, n_link_changes, n_readable, n_gone;
	gint n_frames_of[4]; /* by queue */
	size_t room;	     /* of the buffer that frames go to */
	bool greedy;	     /* takes one frame for each call of readable */
} Fixture;

/* For g_test_add(): no descriptor may be left when it is torn down. */
void fixture_set_up(Fixture *fixture, gconstpointer data);
void fixture_tear_down(Fixture *fixture, gconstpointer data);

/* The card, which counts what it sees in its Fixture. */
extern const NetdevListener card;

/* netdev_add of what an option would say. */
bool add(Fixture *fixture, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Look for frames in all queues of the Fixture @data, or do not. On its loop. */
void watch(gpointer data);
void unwatch(gpointer data);

/* Attach netdev "n" to the card, which watches it. */
void attach(Fixture *fixture);

/* Wait until @counter, which others change, is @value. */
#define WAIT_FOR(counter, value)                                                            \
	do {                                                                                \
		for (int tries = 0; g_atomic_int_get(&(counter)) < (value) && tries < 5000; \
		     tries++)                                                               \
			g_usleep(1000);                                                     \
		g_assert_cmpint(g_atomic_int_get(&(counter)), ==, value);                   \
	} while (0)

/* Let everything that was posted to the loop, and what that posted, run. */
void settle(Fixture *fixture);

/* Send @size bytes of @payload from @queue; returns what netdev_send() does. */
int card_send_from(Fixture *fixture, unsigned queue, const void *payload, size_t size);

/* The same from the first queue. */
int card_send(Fixture *fixture, const void *payload, size_t size);

#define ADD_TEST(name, data, function) \
	g_test_add("/netdev/" name, Fixture, data, fixture_set_up, function, fixture_tear_down)
