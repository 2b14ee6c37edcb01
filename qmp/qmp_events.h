/*
 * qmp_events.h: events on their way from any thread to the server's; for the server's own files
 *
 * Events keep their order. Those that a guest can raise as often as it likes are rate-limited: the
 * first is passed on at once, of those in the following second only the last, when it is over.
 * Should the server's thread fall behind by QMP_EVENTS_HIGH events, a new one takes the place of a
 * waiting one that says exactly the same, so that a guest cannot make the queue grow without end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#define QMP_EVENTS_HIGH	      256u
#define QMP_EVENT_INTERVAL_MS 1000u

typedef struct QmpEvents QmpEvents;

/* Takes an event as it goes to clients; borrowed. In the context's thread. */
typedef void (*QmpEventsDeliver)(void *opaque, json_object *event);

/* The queue; @deliver is called from @context. */
QmpEvents *qmp_events_new(GMainContext *context, QmpEventsDeliver deliver, void *opaque);

/* In the context's thread; nobody may emit any more. Events that wait are dropped. */
void qmp_events_free(QmpEvents *events);

/* Takes an event called @name with @data (a reference it owns, or NULL). Any thread. */
void qmp_events_emit(QmpEvents *events, const char *name, json_object *data);

/* Delivers what waits (but not what is held back by its rate). In the context's thread. */
void qmp_events_flush(QmpEvents *events);
