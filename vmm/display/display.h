/*
 * display.h: the screens of a machine, between the devices that draw and the clients that look
 *
 * A graphics device has a console: what its screen shows is the console's surface, and where that
 * changes it reports damage. Whoever looks (a VNC server, a screenshot) does the pulling: it asks
 * for a refresh when it wants to know more, so that a screen nobody looks at costs nothing, and
 * devices keep account of changes only while a console is watched.
 *
 * Pixels are 32 bits, little-endian 0x00RRGGBB. A surface is counted: who holds a reference may
 * read it on any thread while the device draws. What is read then may be half drawn; damage
 * follows.
 *
 * Unless a comment says otherwise, functions are for the main thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The largest surface in each direction: RFB has 16 bits. */
#define DISPLAY_SIZE_MAX 16384u
/* The largest cursor in each direction. */
#define DISPLAY_CURSOR_MAX 256u

typedef struct Display Display;
typedef struct DisplayConsole DisplayConsole;
typedef struct InputRouter InputRouter;

typedef struct DisplaySurface {
	gint references;
	uint32_t width, height; /* pixels */
	uint32_t stride;	/* bytes from a row to the next */
	uint8_t *pixels;
	bool borrowed; /* the pixels are the device's, who outlives the surface, or the whole's */
	struct DisplaySurface *whole; /* what this is a part of, a reference; or NULL */
} DisplaySurface;

typedef struct DisplayRect {
	uint32_t x, y, width, height;
} DisplayRect;

/* A pointer's picture: 0xAARRGGBB, alpha premultiplied or plain as the guest has it. */
typedef struct DisplayCursor {
	gint references;
	uint32_t width, height, hot_x, hot_y;
	uint32_t pixels[];
} DisplayCursor;

/* What a console asks of its device; main thread. */
typedef struct DisplayConsoleOps {
	/* Find out what changed since the last time, and report it. May be NULL. */
	void (*refresh)(void *opaque);
	/* Somebody wants to know of damage from now on, or nobody any more. May be NULL. */
	void (*set_watched)(void *opaque, bool watched);
	/*
	 * Tell the guest that a screen of @width by @height pixels would be good; it does as it
	 * likes. May be NULL.
	 */
	void (*suggest_size)(void *opaque, uint32_t width, uint32_t height);
} DisplayConsoleOps;

/* What a console tells who watches it; main thread, out of display_console_refresh(). */
typedef struct DisplayWatcherOps {
	/* There is another surface; all of it is new. */
	void (*surface_changed)(void *opaque, DisplaySurface *surface);
	/* @rect, within the surface, has changed. */
	void (*damaged)(void *opaque, const DisplayRect *rect);
	/* NULL: the guest draws its own, or none. */
	void (*cursor_changed)(void *opaque, DisplayCursor *cursor);
} DisplayWatcherOps;

/* An empty one, and its end: no console is left. */
Display *display_new(void);
void display_free(Display *display);

/* Where keys and pointers go. Borrowed. */
InputRouter *display_input(Display *display);

/*
 * A surface of its own pixels, black. @width and @height are from 1 to DISPLAY_SIZE_MAX. One
 * reference; NULL when the host has no memory for it. Any thread.
 */
DisplaySurface *display_surface_new(uint32_t width, uint32_t height);
/* A surface that shows @pixels of somebody else. One reference. Any thread. */
DisplaySurface *display_surface_new_borrowed(uint8_t *pixels, uint32_t width, uint32_t height,
					     uint32_t stride);
/* The part @rect, which lies within @whole, of that surface: the same pixels. One reference. Any
 * thread. */
DisplaySurface *display_surface_new_part(DisplaySurface *whole, const DisplayRect *rect);
/* Any thread. */
DisplaySurface *display_surface_ref(DisplaySurface *surface);
void display_surface_unref(DisplaySurface *surface);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DisplaySurface, display_surface_unref)

/* A cursor of transparent pixels; sizes from 1 to DISPLAY_CURSOR_MAX. One reference. Any thread. */
DisplayCursor *display_cursor_new(uint32_t width, uint32_t height);
DisplayCursor *display_cursor_ref(DisplayCursor *cursor);
void display_cursor_unref(DisplayCursor *cursor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DisplayCursor, display_cursor_unref)

/*
 * A console of device @device_id (may be NULL; copied), head @head of it, which shows black until
 * there is a surface. @ops is static.
 */
DisplayConsole *display_add_console(Display *display, const char *device_id, unsigned head,
				    const DisplayConsoleOps *ops, void *opaque);
/* Its watchers are told of a black surface and forgotten. */
void display_remove_console(Display *display, DisplayConsole *console);

/* Console @index in order of creation, or NULL. */
DisplayConsole *display_console(Display *display, unsigned index);
/* The console of head @head of device @device_id (NULL: of any), or NULL. */
DisplayConsole *display_find_console(Display *display, const char *device_id, unsigned head);

/*
 * The device's side; any thread. The surface is referenced; NULL is a black one. Rectangles may
 * reach over the edges and are cut.
 */
void display_console_set_surface(DisplayConsole *console, DisplaySurface *surface);
void display_console_damage(DisplayConsole *console, const DisplayRect *rect);
void display_console_set_cursor(DisplayConsole *console, DisplayCursor *cursor);

/* What it shows now, a new reference; never NULL. Any thread. */
DisplaySurface *display_console_surface(DisplayConsole *console);
/* The cursor, a new reference, or NULL. Any thread. */
DisplayCursor *display_console_cursor(DisplayConsole *console);

/* Tell @ops of changes from now on, and stop that. */
void display_console_watch(DisplayConsole *console, const DisplayWatcherOps *ops, void *opaque);
void display_console_unwatch(DisplayConsole *console, void *opaque);

/*
 * Have the guest told that a screen of @width by @height pixels would be good, whether it then sets
 * such a mode or not. False where that cannot be told.
 */
bool display_console_suggest_size(DisplayConsole *console, uint32_t width, uint32_t height);
/* Whether it can be. */
bool display_console_takes_size(const DisplayConsole *console);

/*
 * Have the device report, and tell the watchers. Returns whether there was anything to tell.
 */
bool display_console_refresh(DisplayConsole *console);
