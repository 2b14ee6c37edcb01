/*
 * input.c: keys and pointers, from clients to the devices of the guest
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/input.h"
#include "vmm/display/input_keys.h"

#include <string.h>

/* Groups of keys that wait for their turn; who sends more is told that there is no room. */
#define CHORDS_MAX 256u

struct InputDevice {
	char *id;
	unsigned kinds;
	const InputDeviceOps *ops;
	void *opaque;
	bool active;	 /* atomic */
	bool needs_sync; /* had events since the last one */
};

typedef struct Chord {
	unsigned n, hold_ms;
	unsigned codes[];
} Chord;

struct InputRouter {
	GPtrArray *devices; /* InputDevice *, newest last */
	uint8_t down[INPUT_KEY_CODES / 8];
	GQueue chords; /* Chord *; the first is held down while there is a timer */
	guint timer;
};

InputRouter *input_router_new(void)
{
	InputRouter *router = g_new0(InputRouter, 1);

	router->devices = g_ptr_array_new();
	g_queue_init(&router->chords);
	return router;
}

void input_router_free(InputRouter *router)
{
	if (router->timer)
		g_source_remove(router->timer);
	g_queue_clear_full(&router->chords, g_free);
	g_ptr_array_unref(router->devices);
	g_free(router);
}

InputDevice *input_add_device(InputRouter *router, const char *id, unsigned kinds,
			      const InputDeviceOps *ops, void *opaque)
{
	InputDevice *device = g_new0(InputDevice, 1);

	device->id = g_strdup(id);
	device->kinds = kinds;
	device->ops = ops;
	device->opaque = opaque;
	g_ptr_array_add(router->devices, device);
	return device;
}

void input_remove_device(InputRouter *router, InputDevice *device)
{
	g_ptr_array_remove(router->devices, device);
	g_free(device->id);
	g_free(device);
}

void input_device_set_active(InputDevice *device, bool active)
{
	__atomic_store_n(&device->active, active, __ATOMIC_RELAXED);
}

static InputDevice *find_device(const InputRouter *router, const char *id, unsigned kinds)
{
	for (unsigned i = router->devices->len; i > 0; i--) {
		InputDevice *device = router->devices->pdata[i - 1];

		if ((device->kinds & kinds) && (!id || g_strcmp0(device->id, id) == 0) &&
		    __atomic_load_n(&device->active, __ATOMIC_RELAXED))
			return device;
	}
	return NULL;
}

/* Buttons go where the pointer is moved: a tablet is preferred. */
static InputDevice *find_pointer(const InputRouter *router, const char *id)
{
	InputDevice *tablet = find_device(router, id, INPUT_ABSOLUTE);

	return tablet ? tablet : find_device(router, id, INPUT_RELATIVE);
}

bool input_has_device(const InputRouter *router, const char *id, unsigned kinds)
{
	return find_device(router, id, kinds) != NULL;
}

bool input_has(const InputRouter *router, unsigned kinds)
{
	return input_has_device(router, NULL, kinds);
}

bool input_key(InputRouter *router, const char *id, unsigned code, bool down)
{
	InputDevice *device = find_device(router, id, INPUT_KEYBOARD);

	if (!device || code == 0 || code >= INPUT_KEY_CODES)
		return false;
	if (down)
		router->down[code / 8] |= (uint8_t)(1u << code % 8);
	else
		router->down[code / 8] &= (uint8_t) ~(1u << code % 8);
	device->ops->key(device->opaque, code, down);
	device->needs_sync = true;
	return true;
}

bool input_button(InputRouter *router, const char *id, InputButton button, bool down)
{
	InputDevice *device = find_pointer(router, id);

	if (!device)
		return false;
	device->ops->button(device->opaque, button, down);
	device->needs_sync = true;
	return true;
}

bool input_move(InputRouter *router, const char *id, InputAxis axis, int32_t by)
{
	InputDevice *device = find_device(router, id, INPUT_RELATIVE);

	if (!device)
		return false;
	device->ops->move(device->opaque, axis, by);
	device->needs_sync = true;
	return true;
}

bool input_position(InputRouter *router, const char *id, InputAxis axis, int32_t at)
{
	InputDevice *device = find_device(router, id, INPUT_ABSOLUTE);

	if (!device)
		return false;
	device->ops->position(device->opaque, axis, CLAMP(at, 0, INPUT_POSITION_MAX));
	device->needs_sync = true;
	return true;
}

void input_sync(InputRouter *router)
{
	for (unsigned i = 0; i < router->devices->len; i++) {
		InputDevice *device = router->devices->pdata[i];

		if (device->needs_sync && device->ops->sync)
			device->ops->sync(device->opaque);
		device->needs_sync = false;
	}
}

void input_release_all(InputRouter *router)
{
	for (unsigned code = 0; code < INPUT_KEY_CODES; code++) {
		if (router->down[code / 8] & 1u << code % 8)
			input_key(router, NULL, code, false);
	}
	memset(router->down, 0, sizeof(router->down));
	input_sync(router);
}

static void begin_chord(InputRouter *router);

static gboolean chord_held(gpointer data)
{
	InputRouter *router = data;
	g_autofree Chord *chord = g_queue_pop_head(&router->chords);

	router->timer = 0;
	for (unsigned i = chord->n; i > 0; i--) {
		input_key(router, NULL, chord->codes[i - 1], false);
		input_sync(router);
	}
	if (!g_queue_is_empty(&router->chords))
		begin_chord(router);
	return G_SOURCE_REMOVE;
}

static void begin_chord(InputRouter *router)
{
	const Chord *chord = g_queue_peek_head(&router->chords);

	for (unsigned i = 0; i < chord->n; i++) {
		input_key(router, NULL, chord->codes[i], true);
		input_sync(router);
	}
	router->timer = g_timeout_add(chord->hold_ms, chord_held, router);
}

bool input_send_keys(InputRouter *router, const unsigned *codes, unsigned n, unsigned hold_ms)
{
	Chord *chord;

	if (!input_has(router, INPUT_KEYBOARD) || n > INPUT_KEYS_MAX ||
	    g_queue_get_length(&router->chords) >= CHORDS_MAX)
		return false;
	chord = g_malloc(sizeof(*chord) + n * sizeof(chord->codes[0]));
	chord->n = n;
	chord->hold_ms = hold_ms;
	memcpy(chord->codes, codes, n * sizeof(chord->codes[0]));
	g_queue_push_tail(&router->chords, chord);
	if (!router->timer)
		begin_chord(router);
	return true;
}
