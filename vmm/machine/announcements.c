/*
 * announcements.c: telling networks where a machine's cards are
 *
 * After a machine has moved, switches send its frames to where it was. An announcement is several
 * rounds: frames get lost, and ports of switches take their time to forward.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/announcements.h"

#include "vmm/base/error.h"
#include "vmm/virtio/virtio_net.h"

#define DELAY_MAX_MS 100000
#define ROUNDS_MAX   1000

typedef struct Announcement {
	Announcements *owner;
	GSource *timer; /* NULL: a round is on its way */
	int64_t initial_ms, max_ms, step_ms;
	int64_t n_left, n_done; /* rounds */
	char **cards;		/* NULL: all */
} Announcement;

struct Announcements {
	GMainContext *context;
	DeviceTree *tree;
	GPtrArray *list; /* Announcement, owned */
};

static void drop_timer(Announcement *announcement)
{
	if (!announcement->timer)
		return;
	g_source_destroy(announcement->timer);
	g_clear_pointer(&announcement->timer, g_source_unref);
}

static void announcement_free(gpointer data)
{
	Announcement *announcement = data;

	drop_timer(announcement);
	g_strfreev(announcement->cards);
	g_free(announcement);
}

Announcements *announcements_new(GMainContext *context, DeviceTree *tree)
{
	Announcements *announcements = g_new0(Announcements, 1);

	announcements->context = context;
	announcements->tree = tree;
	announcements->list = g_ptr_array_new_with_free_func(announcement_free);
	return announcements;
}

void announcements_free(Announcements *announcements)
{
	if (!announcements)
		return;
	g_ptr_array_unref(announcements->list);
	g_free(announcements);
}

static void announce_card(Device *device, gpointer data)
{
	const Announcement *announcement = data;

	if (!virtio_net_is(device))
		return;
	if (!announcement->cards ||
	    (device->id && g_strv_contains((const char *const *)announcement->cards, device->id)))
		virtio_net_announce(device);
}

static gboolean next_round(gpointer data)
{
	Announcement *announcement = data;
	int64_t delay_ms;

	drop_timer(announcement);
	device_tree_foreach(announcement->owner->tree, false, announce_card, announcement);
	if (--announcement->n_left == 0) {
		g_ptr_array_remove_fast(announcement->owner->list, announcement);
		return G_SOURCE_REMOVE;
	}
	delay_ms = announcement->initial_ms + announcement->n_done++ * announcement->step_ms;
	announcement->timer = g_timeout_source_new(MIN(delay_ms, announcement->max_ms));
	g_source_set_callback(announcement->timer, next_round, announcement, NULL);
	g_source_attach(announcement->timer, announcement->owner->context);
	return G_SOURCE_REMOVE;
}

bool announcements_start(Announcements *announcements, const QapiAnnounceParameters *how,
			 GError **error)
{
	Announcement *announcement;

	if (how->initial < 0 || how->initial > DELAY_MAX_MS)
		return error_fail(error, "'initial' is not between 0 and %d ms", DELAY_MAX_MS);
	if (how->max < 0 || how->max > DELAY_MAX_MS)
		return error_fail(error, "'max' is not between 0 and %d ms", DELAY_MAX_MS);
	if (how->step < 0 || how->step > DELAY_MAX_MS)
		return error_fail(error, "'step' is not between 0 and %d ms", DELAY_MAX_MS);
	if (how->rounds < 1 || how->rounds > ROUNDS_MAX)
		return error_fail(error, "'rounds' is not between 1 and %d", ROUNDS_MAX);
	announcement = g_new0(Announcement, 1);
	announcement->owner = announcements;
	announcement->initial_ms = how->initial;
	announcement->max_ms = how->max;
	announcement->step_ms = how->step;
	announcement->n_left = how->rounds;
	if (how->interfaces) {
		announcement->cards = g_new0(char *, how->interfaces->len + 1);
		for (unsigned i = 0; i < how->interfaces->len; i++)
			announcement->cards[i] = g_strdup(how->interfaces->pdata[i]);
	}
	g_ptr_array_add(announcements->list, announcement);
	next_round(announcement);
	return true;
}
