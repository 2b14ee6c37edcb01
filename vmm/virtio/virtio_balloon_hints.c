/*
 * virtio_balloon_hints.c: rounds of free page hints (virtio 1.2 §5.5.6.5)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_balloon_hints.h"

/* §5.5.6.5, command ids: any other is a round's. */
#define COMMAND_STOP 0u
#define COMMAND_DONE 1u

/* How long the main thread sifts, and the guest is held, in one go; and how long it then runs. */
#define SIFT_US	 5000
#define HOLD_US	 10000
#define PAUSE_US 90000

static void lock(BalloonHints *hints)
{
	g_mutex_lock(&hints->lock);
}

static void unlock(BalloonHints *hints)
{
	g_mutex_unlock(&hints->lock);
}

/* What a round needs; device lock held. */
static bool is_possible(const BalloonHints *hints)
{
	VirtioDevice *device = hints->device;

	return device->running && !__atomic_load_n(&device->needs_reset, __ATOMIC_SEQ_CST) &&
	       virtio_device_has_feature(device, VIRTIO_BALLOON_F_FREE_PAGE_HINT) &&
	       hints->is_wanted(device);
}

/* Device lock held. */
static void set_command(BalloonHints *hints, uint32_t command)
{
	lock(hints);
	hints->command = command;
	unlock(hints);
	virtio_device_config_changed(hints->device);
}

static void next_at(BalloonHints *hints, BalloonHintPhase phase, int64_t time)
{
	hints->phase = phase;
	g_source_set_ready_time(hints->source, time);
}

/* The round is over; the driver takes its pages back (DONE), unless it has started anew. */
static void end_round(BalloonHints *hints, bool is_complete)
{
	GMutex *device_lock = &hints->device->pci.device.lock;
	FreePages *pages;

	g_mutex_lock(device_lock);
	lock(hints);
	pages = g_steal_pointer(&hints->pages);
	hints->open = false;
	hints->counters.rounds += is_complete;
	hints->counters.given_up += !is_complete;
	hints->counters.hinted += free_pages_added(pages);
	hints->counters.discarded += free_pages_discarded(pages);
	unlock(hints);
	if (!hints->cancelled)
		set_command(hints, COMMAND_DONE);
	g_mutex_unlock(device_lock);
	free_pages_free(pages);
	next_at(hints, BALLOON_HINTS_IDLE,
		g_get_monotonic_time() + (int64_t)hints->interval * G_TIME_SPAN_MILLISECOND);
}

/* Publish a new id; returns whether there is a driver to see it. */
static bool ask(BalloonHints *hints)
{
	GMutex *device_lock = &hints->device->pci.device.lock;
	bool possible;

	g_mutex_lock(device_lock);
	possible = is_possible(hints);
	if (possible) {
		if (++hints->last_id <= COMMAND_DONE)
			hints->last_id = COMMAND_DONE + 1;
		lock(hints);
		hints->command = hints->last_id;
		hints->open = true;
		hints->answered = hints->cancelled = false;
		unlock(hints);
		virtio_device_config_changed(hints->device);
	}
	g_mutex_unlock(device_lock);
	return possible;
}

static void begin_round(BalloonHints *hints)
{
	DeviceServices *services = virtio_device_services(hints->device);
	GMutex *device_lock = &hints->device->pci.device.lock;
	int64_t now = g_get_monotonic_time();
	g_autoptr(GError) error = NULL;
	bool possible;

	next_at(hints, BALLOON_HINTS_IDLE,
		now + (int64_t)hints->interval * G_TIME_SPAN_MILLISECOND);
	g_mutex_lock(device_lock);
	possible = is_possible(hints);
	g_mutex_unlock(device_lock);
	/* An account of writes is not free: only for who will answer. */
	if (!possible || !services->is_running(services))
		return;
	hints->pages = free_pages_new(services->memory, &error);
	if (!hints->pages) {
		if (!hints->refused_logged)
			g_message("%s: free page hints are of no use: %s",
				  hints->device->pci.device.path, error->message);
		hints->refused_logged = true;
		return;
	}
	if (!ask(hints)) {
		g_clear_pointer(&hints->pages, free_pages_free);
		return;
	}
	hints->deadline = now + (int64_t)hints->timeout * G_TIME_SPAN_MILLISECOND;
	next_at(hints, BALLOON_HINTS_COLLECT, hints->deadline);
}

/* The driver has come to its end, or its time has. */
static void end_collecting(BalloonHints *hints)
{
	GMutex *device_lock = &hints->device->pci.device.lock;
	bool was_open;

	g_mutex_lock(device_lock);
	lock(hints);
	was_open = hints->open;
	hints->open = false;
	unlock(hints);
	if (was_open && !hints->cancelled)
		set_command(hints, COMMAND_STOP);
	g_mutex_unlock(device_lock);
	if (free_pages_added(hints->pages) == 0)
		end_round(hints, !was_open && !hints->cancelled);
	else
		next_at(hints, BALLOON_HINTS_SIFT, 0);
}

typedef struct Holding {
	BalloonHints *hints;
	bool done, usable;
} Holding;

/* With the guest held, which so cannot change its mind. */
static void discard(gpointer data)
{
	Holding *holding = data;
	BalloonHints *hints = holding->hints;

	lock(hints);
	holding->usable = !hints->cancelled && hints->is_wanted(hints->device);
	unlock(hints);
	if (holding->usable)
		holding->done = free_pages_discard(hints->pages, g_get_monotonic_time() + HOLD_US);
}

static void hold_and_discard(BalloonHints *hints)
{
	DeviceServices *services = virtio_device_services(hints->device);
	Holding holding = { .hints = hints };

	if (!services->with_quiet_guest(services, discard, &holding) || !holding.usable)
		end_round(hints, false);
	else if (holding.done)
		end_round(hints, true);
	else
		next_at(hints, BALLOON_HINTS_DISCARD, g_get_monotonic_time() + PAUSE_US);
}

static gboolean go_on(gpointer data)
{
	BalloonHints *hints = data;
	bool cancelled;

	lock(hints);
	cancelled = hints->cancelled;
	unlock(hints);
	g_source_set_ready_time(hints->source, -1);
	if (hints->phase != BALLOON_HINTS_IDLE && cancelled) {
		end_round(hints, false);
		return G_SOURCE_CONTINUE;
	}
	switch (hints->phase) {
	case BALLOON_HINTS_IDLE:
		begin_round(hints);
		break;
	case BALLOON_HINTS_COLLECT:
		end_collecting(hints);
		break;
	case BALLOON_HINTS_SIFT:
		next_at(hints,
			free_pages_sift(hints->pages, g_get_monotonic_time() + SIFT_US)
				? BALLOON_HINTS_DISCARD
				: BALLOON_HINTS_SIFT,
			0);
		break;
	case BALLOON_HINTS_DISCARD:
		hold_and_discard(hints);
		break;
	}
	return G_SOURCE_CONTINUE;
}

void balloon_hints_take(BalloonHints *hints, const VirtqueueElement *element)
{
	uint32_t id;
	bool has_id = iov_copy_from(element->iov, element->n_out, 0, &id, sizeof(id)) == sizeof(id);
	bool ended = false;

	lock(hints);
	/* An id that comes before ours is an answer to another question. */
	if (has_id && hints->open && id == hints->command)
		hints->answered = true;
	else if (has_id && hints->open && hints->answered)
		hints->open = false, ended = true;
	for (unsigned i = 0; hints->open && hints->answered && i < element->n_in; i++) {
		const struct iovec *range = &element->iov[element->n_out + i];

		free_pages_add(hints->pages, range->iov_base, range->iov_len);
	}
	unlock(hints);
	if (ended)
		g_source_set_ready_time(hints->source, 0);
}

void balloon_hints_reset(BalloonHints *hints)
{
	bool was_asked;

	if (!hints->source)
		return;
	lock(hints);
	was_asked = hints->command > COMMAND_DONE || hints->open;
	hints->command = COMMAND_STOP;
	hints->open = false;
	hints->cancelled = true;
	unlock(hints);
	if (was_asked)
		g_source_set_ready_time(hints->source, 0);
}

BalloonHintCounters balloon_hints_counters(BalloonHints *hints)
{
	BalloonHintCounters counters;

	lock(hints);
	counters = hints->counters;
	unlock(hints);
	return counters;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	(void)source;
	return callback(data);
}

static GSourceFuncs source_funcs = { .dispatch = dispatch };

void balloon_hints_init(BalloonHints *hints, VirtioDevice *device,
			bool (*is_wanted)(VirtioDevice *device))
{
	g_mutex_init(&hints->lock);
	hints->device = device;
	hints->is_wanted = is_wanted;
	if (!hints->enabled)
		return;
	hints->source = g_source_new(&source_funcs, sizeof(GSource));
	g_source_set_callback(hints->source, go_on, hints, NULL);
	g_source_attach(hints->source, virtio_device_services(device)->main_context);
	next_at(hints, BALLOON_HINTS_IDLE,
		g_get_monotonic_time() + (int64_t)hints->interval * G_TIME_SPAN_MILLISECOND);
}

void balloon_hints_finish(BalloonHints *hints)
{
	if (hints->source) {
		g_source_destroy(hints->source);
		g_clear_pointer(&hints->source, g_source_unref);
	}
	g_clear_pointer(&hints->pages, free_pages_free);
	g_mutex_clear(&hints->lock);
}
