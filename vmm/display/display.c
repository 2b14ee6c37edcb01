/*
 * display.c: the screens of a machine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/display.h"
#include "vmm/display/input.h"

#include <string.h>
#include <sys/mman.h>

/* What is shown before a guest has set a mode. */
#define BLANK_WIDTH  640u
#define BLANK_HEIGHT 480u
/* Rectangles of damage that are kept apart; more become their bounds. */
#define DAMAGE_RECTS 32u

typedef struct Watcher {
	const DisplayWatcherOps *ops;
	void *opaque;
} Watcher;

struct DisplayConsole {
	char *device_id;
	unsigned head;
	DisplaySurface *blank; /* the display's */
	const DisplayConsoleOps *ops;
	void *opaque;
	GArray *watchers; /* Watcher; main thread */

	GMutex lock; /* everything below */
	DisplaySurface *surface;
	DisplayCursor *cursor;
	bool surface_changed, cursor_changed; /* since the last refresh */
	unsigned n_damage;
	DisplayRect damage[DAMAGE_RECTS];
};

struct Display {
	GPtrArray *consoles; /* DisplayConsole * */
	DisplaySurface *blank;
	InputRouter *input;
};

Display *display_new(void)
{
	Display *display = g_new0(Display, 1);

	display->consoles = g_ptr_array_new();
	display->input = input_router_new();
	display->blank = display_surface_new(BLANK_WIDTH, BLANK_HEIGHT);
	if (!display->blank)
		g_error("no memory for a blank screen");
	return display;
}

void display_free(Display *display)
{
	if (!display)
		return;
	g_ptr_array_unref(display->consoles);
	input_router_free(display->input);
	display_surface_unref(display->blank);
	g_free(display);
}

InputRouter *display_input(Display *display)
{
	return display->input;
}

static size_t surface_size(const DisplaySurface *surface)
{
	return (size_t)surface->stride * surface->height;
}

/* Pages of their own: they are zero without being touched, and leave with the surface. */
DisplaySurface *display_surface_new(uint32_t width, uint32_t height)
{
	DisplaySurface *surface;
	void *pixels;

	g_return_val_if_fail(
		width && height && width <= DISPLAY_SIZE_MAX && height <= DISPLAY_SIZE_MAX, NULL);
	pixels = mmap(NULL, (size_t)width * 4 * height, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pixels == MAP_FAILED)
		return NULL;
	surface = display_surface_new_borrowed(pixels, width, height, width * 4);
	surface->borrowed = false;
	return surface;
}

DisplaySurface *display_surface_new_borrowed(uint8_t *pixels, uint32_t width, uint32_t height,
					     uint32_t stride)
{
	DisplaySurface *surface = g_new0(DisplaySurface, 1);

	*surface = (DisplaySurface){ .references = 1,
				     .width = width,
				     .height = height,
				     .stride = stride,
				     .pixels = pixels,
				     .borrowed = true };
	return surface;
}

DisplaySurface *display_surface_new_part(DisplaySurface *whole, const DisplayRect *rect)
{
	DisplaySurface *part = display_surface_new_borrowed(
		whole->pixels + (size_t)rect->y * whole->stride + (size_t)rect->x * 4, rect->width,
		rect->height, whole->stride);

	part->whole = display_surface_ref(whole);
	return part;
}

DisplaySurface *display_surface_ref(DisplaySurface *surface)
{
	g_atomic_int_inc(&surface->references);
	return surface;
}

void display_surface_unref(DisplaySurface *surface)
{
	if (!surface || !g_atomic_int_dec_and_test(&surface->references))
		return;
	if (!surface->borrowed)
		munmap(surface->pixels, surface_size(surface));
	display_surface_unref(surface->whole);
	g_free(surface);
}

DisplayCursor *display_cursor_new(uint32_t width, uint32_t height)
{
	DisplayCursor *cursor;

	g_return_val_if_fail(width && height && width <= DISPLAY_CURSOR_MAX &&
				     height <= DISPLAY_CURSOR_MAX,
			     NULL);
	cursor = g_malloc0(sizeof(*cursor) + (size_t)width * height * sizeof(cursor->pixels[0]));
	cursor->references = 1;
	cursor->width = width;
	cursor->height = height;
	return cursor;
}

DisplayCursor *display_cursor_ref(DisplayCursor *cursor)
{
	g_atomic_int_inc(&cursor->references);
	return cursor;
}

void display_cursor_unref(DisplayCursor *cursor)
{
	if (cursor && g_atomic_int_dec_and_test(&cursor->references))
		g_free(cursor);
}

DisplayConsole *display_add_console(Display *display, const char *device_id, unsigned head,
				    const DisplayConsoleOps *ops, void *opaque)
{
	DisplayConsole *console = g_new0(DisplayConsole, 1);

	console->device_id = g_strdup(device_id);
	console->head = head;
	console->ops = ops;
	console->opaque = opaque;
	console->watchers = g_array_new(FALSE, FALSE, sizeof(Watcher));
	g_mutex_init(&console->lock);
	console->blank = display->blank;
	console->surface = display_surface_ref(display->blank);
	g_ptr_array_add(display->consoles, console);
	return console;
}

void display_remove_console(Display *display, DisplayConsole *console)
{
	static const DisplayConsoleOps no_ops = { 0 };

	console->ops = &no_ops;
	display_console_set_surface(console, NULL);
	display_console_set_cursor(console, NULL);
	display_console_refresh(console);
	g_ptr_array_remove(display->consoles, console);
	display_surface_unref(console->surface);
	g_array_unref(console->watchers);
	g_mutex_clear(&console->lock);
	g_free(console->device_id);
	g_free(console);
}

DisplayConsole *display_console(Display *display, unsigned index)
{
	return index < display->consoles->len ? display->consoles->pdata[index] : NULL;
}

DisplayConsole *display_find_console(Display *display, const char *device_id, unsigned head)
{
	for (unsigned i = 0; i < display->consoles->len; i++) {
		DisplayConsole *console = display->consoles->pdata[i];

		if (console->head == head &&
		    (!device_id || g_strcmp0(console->device_id, device_id) == 0))
			return console;
	}
	return NULL;
}

void display_console_set_surface(DisplayConsole *console, DisplaySurface *surface)
{
	DisplaySurface *old;

	surface = display_surface_ref(surface ? surface : console->blank);
	g_mutex_lock(&console->lock);
	old = console->surface;
	console->surface = surface;
	console->surface_changed = true;
	console->n_damage = 0;
	g_mutex_unlock(&console->lock);
	display_surface_unref(old);
}

static DisplayRect rect_bounds(const DisplayRect *a, const DisplayRect *b)
{
	uint32_t x = MIN(a->x, b->x), y = MIN(a->y, b->y);

	return (DisplayRect){
		.x = x,
		.y = y,
		.width = MAX(a->x + a->width, b->x + b->width) - x,
		.height = MAX(a->y + a->height, b->y + b->height) - y,
	};
}

static uint64_t rect_area(const DisplayRect *rect)
{
	return (uint64_t)rect->width * rect->height;
}

/* Add @rect to those there are, joined with one where that adds no area. Lock held. */
static void add_damage(DisplayConsole *console, DisplayRect rect)
{
	for (unsigned i = 0; i < console->n_damage; i++) {
		DisplayRect bounds = rect_bounds(&console->damage[i], &rect);

		if (rect_area(&bounds) <= rect_area(&console->damage[i]) + rect_area(&rect)) {
			console->damage[i] = bounds;
			return;
		}
	}
	if (console->n_damage == DAMAGE_RECTS) {
		for (unsigned i = 1; i < DAMAGE_RECTS; i++)
			rect = rect_bounds(&rect, &console->damage[i]);
		rect = rect_bounds(&rect, &console->damage[0]);
		console->n_damage = 0;
	}
	console->damage[console->n_damage++] = rect;
}

void display_console_damage(DisplayConsole *console, const DisplayRect *rect)
{
	DisplayRect cut = *rect;

	g_mutex_lock(&console->lock);
	if (cut.x < console->surface->width && cut.y < console->surface->height) {
		cut.width = MIN(cut.width, console->surface->width - cut.x);
		cut.height = MIN(cut.height, console->surface->height - cut.y);
		if (cut.width && cut.height)
			add_damage(console, cut);
	}
	g_mutex_unlock(&console->lock);
}

void display_console_set_cursor(DisplayConsole *console, DisplayCursor *cursor)
{
	DisplayCursor *old;

	g_mutex_lock(&console->lock);
	old = console->cursor;
	console->cursor = cursor ? display_cursor_ref(cursor) : NULL;
	console->cursor_changed = true;
	g_mutex_unlock(&console->lock);
	display_cursor_unref(old);
}

DisplaySurface *display_console_surface(DisplayConsole *console)
{
	DisplaySurface *surface;

	g_mutex_lock(&console->lock);
	surface = display_surface_ref(console->surface);
	g_mutex_unlock(&console->lock);
	return surface;
}

DisplayCursor *display_console_cursor(DisplayConsole *console)
{
	DisplayCursor *cursor;

	g_mutex_lock(&console->lock);
	cursor = console->cursor ? display_cursor_ref(console->cursor) : NULL;
	g_mutex_unlock(&console->lock);
	return cursor;
}

void display_console_watch(DisplayConsole *console, const DisplayWatcherOps *ops, void *opaque)
{
	Watcher watcher = { ops, opaque };

	g_array_append_val(console->watchers, watcher);
	if (console->watchers->len == 1 && console->ops->set_watched)
		console->ops->set_watched(console->opaque, true);
}

void display_console_unwatch(DisplayConsole *console, void *opaque)
{
	for (unsigned i = 0; i < console->watchers->len; i++) {
		if (g_array_index(console->watchers, Watcher, i).opaque != opaque)
			continue;
		g_array_remove_index(console->watchers, i);
		if (console->watchers->len == 0 && console->ops->set_watched)
			console->ops->set_watched(console->opaque, false);
		return;
	}
}

/* What there is to tell, taken out under the lock and told without it. */
typedef struct Report {
	DisplaySurface *surface; /* NULL: the same */
	bool has_cursor;
	DisplayCursor *cursor;
	unsigned n_damage;
	DisplayRect damage[DAMAGE_RECTS];
} Report;

static void tell_watcher(const Watcher *watcher, const Report *report)
{
	if (report->surface && watcher->ops->surface_changed)
		watcher->ops->surface_changed(watcher->opaque, report->surface);
	for (unsigned i = 0; watcher->ops->damaged && i < report->n_damage; i++)
		watcher->ops->damaged(watcher->opaque, &report->damage[i]);
	if (report->has_cursor && watcher->ops->cursor_changed)
		watcher->ops->cursor_changed(watcher->opaque, report->cursor);
}

bool display_console_takes_size(const DisplayConsole *console)
{
	return console->ops->suggest_size != NULL;
}

bool display_console_suggest_size(DisplayConsole *console, uint32_t width, uint32_t height)
{
	if (!display_console_takes_size(console))
		return false;
	console->ops->suggest_size(console->opaque, width, height);
	return true;
}

bool display_console_refresh(DisplayConsole *console)
{
	Report report = { 0 };

	if (console->ops->refresh)
		console->ops->refresh(console->opaque);
	g_mutex_lock(&console->lock);
	if (console->surface_changed)
		report.surface = display_surface_ref(console->surface);
	report.has_cursor = console->cursor_changed;
	if (report.has_cursor && console->cursor)
		report.cursor = display_cursor_ref(console->cursor);
	report.n_damage = console->n_damage;
	memcpy(report.damage, console->damage, console->n_damage * sizeof(report.damage[0]));
	console->surface_changed = console->cursor_changed = false;
	console->n_damage = 0;
	g_mutex_unlock(&console->lock);
	for (unsigned i = 0; i < console->watchers->len; i++)
		tell_watcher(&g_array_index(console->watchers, Watcher, i), &report);
	display_surface_unref(report.surface);
	display_cursor_unref(report.cursor);
	return report.surface || report.has_cursor || report.n_damage;
}
