/*
 * qmp_event.h: where events go
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <json-c/json.h>

/*
 * A receiver of events. Devices hold a pointer to one and know nothing of servers; the generated
 * qapi_event_NAME() functions call it, from any thread. NULL in place of a sink drops the event.
 */
typedef struct QmpEventSink {
	/*
	 * Takes the event called @name (a constant string) with @data, of which it owns a
	 * reference, or NULL for an event without data. Any thread; does not block.
	 */
	void (*emit)(void *opaque, const char *name, json_object *data);
	void *opaque;
} QmpEventSink;
