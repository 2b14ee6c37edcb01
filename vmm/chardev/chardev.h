/*
 * chardev.h: character devices, the host side of serial ports, consoles and monitors (-chardev)
 *
 * The host side is served by the main loop. One front end uses a chardev: it says how much it can
 * take, receives on the main thread, and writes from any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Chardev Chardev;
typedef struct Chardevs Chardevs;

typedef enum ChardevEvent { CHARDEV_OPENED, CHARDEV_CLOSED, CHARDEV_BREAK } ChardevEvent;

/* All on the main thread. */
typedef struct ChardevFrontEnd {
	/* How many bytes can be taken now; 0 stops reading until chardev_accept_input(). */
	size_t (*can_receive)(void *opaque);
	void (*receive)(void *opaque, const uint8_t *data, size_t size);
	void (*event)(void *opaque, ChardevEvent event); /* may be NULL */
	/* After a short chardev_write(): there is room again. May be NULL. */
	void (*writable)(void *opaque);
} ChardevFrontEnd;

Chardevs *chardevs_new(GMainContext *context);
void chardevs_free(Chardevs *chardevs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chardevs, chardevs_free)
Chardev *chardevs_find(Chardevs *chardevs, const char *id);
void chardevs_foreach(Chardevs *chardevs, void (*func)(Chardev *, gpointer), gpointer data);

const char *chardev_id(const Chardev *chardev);
/* What query-chardev shows: "pty:/dev/pts/3", "disconnected:unix:/tmp/s,server=on". Owned. */
char *chardev_filename(Chardev *chardev);
bool chardev_is_open(const Chardev *chardev);
bool chardev_has_front_end(const Chardev *chardev);

/*
 * Claim @chardev for one front end, called @user in errors; CHARDEV_OPENED follows at once if it
 * is open. False and @error when another has it. Main thread.
 */
bool chardev_attach(Chardev *chardev, const char *user, const ChardevFrontEnd *front_end,
		    void *opaque, GError **error);
void chardev_detach(Chardev *chardev);

/* Ask again how much the front end can take. Any thread. */
void chardev_accept_input(Chardev *chardev);

/*
 * Write without blocking; returns how many bytes were taken. Bytes for a peer that is not there
 * are taken and dropped, as a serial line would. Any thread.
 */
size_t chardev_write(Chardev *chardev, const uint8_t *data, size_t size);
