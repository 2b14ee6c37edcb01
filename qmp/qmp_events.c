/*
 * qmp_events.c: events on their way from any thread to the server's
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdbool.h>

#include "qmp/qmp_events.h"

/*
 * Events with a limited rate. Those that differ in the member @key, of the member @object where
 * there is one, have rates of their own: it is no member that the guest chooses.
 */
static const struct {
	const char *name;
	const char *key;
	const char *object;
} limited_events[] = {
	{ .name = "ACPI_DEVICE_OST", .key = "slot", .object = "info" },
	{ .name = "BALLOON_CHANGE" },
	{ .name = "MEMORY_DEVICE_SIZE_CHANGE", .key = "qom-path" },
	{ .name = "RTC_CHANGE" },
	{ .name = "WATCHDOG" },
	{ .name = "VSERPORT_CHANGE", .key = "id" },
};

/* An event of a limited rate that was passed on less than a second ago. */
typedef struct {
	QmpEvents *events;
	char *key;
	json_object *pending; /* the last one since, or NULL */
	GSource *timer;
} Rate;

struct QmpEvents {
	GMainContext *context;
	QmpEventsDeliver deliver;
	void *opaque;
	GMutex lock;	   /* for what follows */
	GQueue waiting;	   /* json_object */
	GHashTable *rates; /* key -> Rate */
	GSource *wakeup;   /* runs while anything waits */
};

static void rate_free(gpointer data)
{
	Rate *rate = data;

	g_source_destroy(rate->timer);
	g_source_unref(rate->timer);
	json_object_put(rate->pending);
	g_free(rate->key);
	g_free(rate);
}

QmpEvents *qmp_events_new(GMainContext *context, QmpEventsDeliver deliver, void *opaque)
{
	QmpEvents *events = g_new0(QmpEvents, 1);

	events->context = g_main_context_ref(context);
	events->deliver = deliver;
	events->opaque = opaque;
	g_mutex_init(&events->lock);
	events->rates = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, rate_free);
	return events;
}

static void stop_wakeup(QmpEvents *events)
{
	if (events->wakeup) {
		g_source_destroy(events->wakeup);
		g_clear_pointer(&events->wakeup, g_source_unref);
	}
}

void qmp_events_free(QmpEvents *events)
{
	json_object *event;

	if (!events)
		return;
	stop_wakeup(events);
	while ((event = g_queue_pop_head(&events->waiting)))
		json_object_put(event);
	g_hash_table_unref(events->rates);
	g_mutex_clear(&events->lock);
	g_main_context_unref(events->context);
	g_free(events);
}

static json_object *event_new(const char *name, json_object *data)
{
	json_object *event = json_object_new_object();
	json_object *timestamp = json_object_new_object();
	gint64 now_us = g_get_real_time();

	json_object_object_add(timestamp, "seconds",
			       json_object_new_int64(now_us / G_USEC_PER_SEC));
	json_object_object_add(timestamp, "microseconds",
			       json_object_new_int64(now_us % G_USEC_PER_SEC));
	json_object_object_add(event, "timestamp", timestamp);
	json_object_object_add(event, "event", json_object_new_string(name));
	if (data)
		json_object_object_add(event, "data", data);
	return event;
}

static gboolean deliver_waiting(void *data)
{
	qmp_events_flush(data);
	return G_SOURCE_REMOVE;
}

static bool says_the_same(json_object *a, json_object *b)
{
	return json_object_equal(json_object_object_get(a, "event"),
				 json_object_object_get(b, "event")) &&
	       json_object_equal(json_object_object_get(a, "data"),
				 json_object_object_get(b, "data"));
}

/* Drops an earlier event that says what @event says: the last word stays the last. */
static void drop_same(QmpEvents *events, json_object *event)
{
	for (GList *item = events->waiting.tail; item; item = item->prev) {
		if (says_the_same(item->data, event)) {
			json_object_put(item->data);
			g_queue_delete_link(&events->waiting, item);
			return;
		}
	}
}

/* Takes over the reference. With the lock held. */
static void enqueue(QmpEvents *events, json_object *event)
{
	if (g_queue_get_length(&events->waiting) >= QMP_EVENTS_HIGH)
		drop_same(events, event);
	g_queue_push_tail(&events->waiting, event);
	if (events->wakeup)
		return;
	events->wakeup = g_idle_source_new();
	g_source_set_priority(events->wakeup, G_PRIORITY_DEFAULT);
	g_source_set_callback(events->wakeup, deliver_waiting, events, NULL);
	g_source_attach(events->wakeup, events->context);
}

/* A second after an event was passed on: passes on the last one since, or forgets about it. */
static gboolean interval_over(void *data)
{
	Rate *rate = data;
	QmpEvents *events = rate->events;
	bool again;

	g_mutex_lock(&events->lock);
	again = rate->pending != NULL;
	if (again)
		enqueue(events, g_steal_pointer(&rate->pending));
	else
		g_hash_table_remove(events->rates, rate->key);
	g_mutex_unlock(&events->lock);
	return again ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* What the rate of an event is counted under; NULL if its rate is not limited. */
static char *rate_key(const char *name, json_object *data)
{
	for (gsize i = 0; i < G_N_ELEMENTS(limited_events); i++) {
		const char *key = limited_events[i].key, *object = limited_events[i].object;
		json_object *value = NULL;

		if (!g_str_equal(limited_events[i].name, name))
			continue;
		if (object)
			data = json_object_object_get(data, object);
		if (key && json_object_object_get_ex(data, key, &value))
			return g_strdup_printf("%s %s", name, json_object_get_string(value));
		return g_strdup(name);
	}
	return NULL;
}

/* Holds an event back if one of its kind was passed on less than a second ago. With the lock. */
static bool hold_back(QmpEvents *events, char *key, json_object *event)
{
	Rate *rate = g_hash_table_lookup(events->rates, key);

	if (rate) {
		json_object_put(rate->pending);
		rate->pending = event;
		return true;
	}
	rate = g_new0(Rate, 1);
	rate->events = events;
	rate->key = g_strdup(key);
	rate->timer = g_timeout_source_new(QMP_EVENT_INTERVAL_MS);
	g_source_set_callback(rate->timer, interval_over, rate, NULL);
	g_source_attach(rate->timer, events->context);
	g_hash_table_insert(events->rates, rate->key, rate);
	return false;
}

void qmp_events_emit(QmpEvents *events, const char *name, json_object *data)
{
	json_object *event = event_new(name, data);
	g_autofree char *key = rate_key(name, data);

	g_mutex_lock(&events->lock);
	if (!key || !hold_back(events, key, event))
		enqueue(events, event);
	g_mutex_unlock(&events->lock);
}

void qmp_events_flush(QmpEvents *events)
{
	GQueue waiting;
	json_object *event;

	g_mutex_lock(&events->lock);
	waiting = events->waiting;
	g_queue_init(&events->waiting);
	stop_wakeup(events);
	g_mutex_unlock(&events->lock);
	while ((event = g_queue_pop_head(&waiting))) {
		events->deliver(events->opaque, event);
		json_object_put(event);
	}
}
