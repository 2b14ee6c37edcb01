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

#include "vmm/base/fd.h"
#include "vmm/chardev/chardev_config.h"
#include "vmm/chardev/clipboard.h"

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
	/* It reads from chardev_socket() itself: whatever is unread when the peer goes is lost. */
	bool reads_itself;
	/* Whether the guest has its end open, where it can be closed; may be NULL */
	bool (*is_open)(void *opaque);
} ChardevFrontEnd;

/*
 * The chardevs of one machine by id; their host side is served by @context (NULL: the default
 * one). Main thread, all of these.
 */
Chardevs *chardevs_new(GMainContext *context);

/* Free the chardevs too; front ends have detached. Terminals get their modes back. */
void chardevs_free(Chardevs *chardevs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chardevs, chardevs_free)

/* How "/dev/fdset/N" in a path is opened; without this it is refused. @opener is copied. */
void chardevs_set_fd_sets(Chardevs *chardevs, const FdSetOpener *opener);

/* What their agents of guests copy and paste; borrowed. */
Clipboard *chardevs_clipboard(Chardevs *chardevs);

/*
 * Make what @config describes (not kept). A server socket with wait=on blocks until its first
 * client is there. NULL and @error naming the chardev.
 */
Chardev *chardevs_add(Chardevs *chardevs, const ChardevConfig *config, GError **error);

/* Remove and free @id; false and @error when there is none or a front end has it. */
bool chardevs_remove(Chardevs *chardevs, const char *id, GError **error);

/* The chardev @id, or NULL; borrowed. Main thread. */
Chardev *chardevs_find(Chardevs *chardevs, const char *id);
/* Call @func with each chardev, in the order they were made. It adds and removes none. Main thread. */
void chardevs_foreach(Chardevs *chardevs, void (*func)(Chardev *, gpointer), gpointer data);

/* What it was made as; the id is borrowed. Any thread. */
const char *chardev_id(const Chardev *chardev);
ChardevKind chardev_kind(const Chardev *chardev);
/* What query-chardev shows: "pty:/dev/pts/3", "disconnected:unix:/tmp/s,server=on". Owned. */
char *chardev_filename(Chardev *chardev);
bool chardev_is_open(const Chardev *chardev);
/* The main context that serves it; NULL: the default one. Borrowed. */
GMainContext *chardev_context(const Chardev *chardev);
/* Whether it has a front end, and that is in use. Main thread. */
bool chardev_front_end_is_open(const Chardev *chardev);

/*
 * Claim @chardev for one front end, called @user in errors; CHARDEV_OPENED follows at once if it
 * is open. False and @error when another has it. Main thread.
 */
bool chardev_attach(Chardev *chardev, const char *user, const ChardevFrontEnd *front_end,
		    void *opaque, GError **error);
void chardev_detach(Chardev *chardev);

/*
 * Soon break the connection of a socket with its peer, so that a server can serve the next one;
 * CHARDEV_CLOSED follows. Does nothing where there is no peer, and for other kinds. Main thread.
 */
void chardev_disconnect(Chardev *chardev);

/*
 * Connect the socket @chardev now if it is not connected: a client with patience for about a
 * second, a server with a little more for somebody to come. False and @error naming it, also for
 * other kinds. Main thread.
 */
bool chardev_connect(Chardev *chardev, GError **error);

/* Whether a peer that went may come back: a server, or a client with reconnect. Any thread. */
bool chardev_reconnects(const Chardev *chardev);

/*
 * The connected socket, non-blocking, for a front end that reads itself (and then writes itself,
 * too); borrowed until CHARDEV_CLOSED. -1 without a connection. Main thread.
 */
int chardev_socket(const Chardev *chardev);

/*
 * The guest opened its end of what the front end is, or closed it; said by those front ends that can
 * tell, in order with what they write. Any thread.
 */
void chardev_guest_opened(Chardev *chardev, bool open);

/* Ask again how much the front end can take. Any thread. */
void chardev_accept_input(Chardev *chardev);

/*
 * Write without blocking; returns how many bytes were taken. Bytes for a peer that is not there
 * are taken and dropped, as a serial line would. Any thread.
 */
size_t chardev_write(Chardev *chardev, const uint8_t *data, size_t size);

/*
 * ringbuf-read: take the oldest bytes, at most @size, out of a ring buffer; returns how many.
 * Nothing for other kinds. Any thread.
 */
size_t chardev_ringbuf_read(Chardev *chardev, uint8_t *data, size_t size);

/* Whether a ring buffer can have @size bytes; false and @error, which names 'size', otherwise. */
bool chardev_ringbuf_check_size(uint64_t size, GError **error);

/*
 * The next of the descriptors that came with the data received last (SCM_RIGHTS), now the
 * caller's; -1 when there is none (left). Main thread.
 */
int chardev_take_fd(Chardev *chardev);
