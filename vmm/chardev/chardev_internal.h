/*
 * chardev_internal.h: what the kinds of chardev share
 *
 * A kind is one file with a ChardevOps. Most kinds are streams: a descriptor to read from and one
 * to write to, polled by one GSource of the chardev, which is also how other threads get the main
 * thread's attention. in_fd and all callbacks of the front end are the main thread's; out_fd and
 * write_blocked are under the lock, since writers are on any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/chardev/chardev.h"

typedef struct ChardevOps {
	size_t object_size; /* of the kind's structure, which starts with its Chardev */

	/* Main thread. May call chardev_stream_start() and chardev_set_open(). */
	bool (*open)(Chardev *chardev, const ChardevConfig *config, GError **error);

	/* Main thread; the stream has been stopped. Also after a failed open. May be NULL. */
	void (*close)(Chardev *chardev);

	/* Any thread, under the lock, while open. NULL: write to the stream. */
	size_t (*write)(Chardev *chardev, const uint8_t *data, size_t size);

	/* Main thread: bytes, 0 at the end, or -1 and errno. NULL: read(2) from the stream. */
	ssize_t (*read)(Chardev *chardev, uint8_t *data, size_t size);

	/* Main thread: the stream's input ended. It has not been stopped yet. */
	void (*hang_up)(Chardev *chardev);

	/* As chardev_connect(), without the name; it is not open. NULL: not a socket. */
	bool (*connect)(Chardev *chardev, GError **error);

	/* Any thread, under the lock: as chardev_guest_opened(). May be NULL. */
	void (*guest_opened)(Chardev *chardev, bool open);

	/* Main thread, whenever somebody asked for it by chardev_accept_input(). May be NULL. */
	void (*attend)(Chardev *chardev);

	/* As chardev_filename(). NULL: the kind's name. */
	char *(*filename)(Chardev *chardev);
} ChardevOps;

struct Chardev {
	const ChardevOps *ops;
	Chardevs *owner;
	char *id;
	ChardevKind kind;
	GMainContext *context;
	GSource *source;

	/* Main thread's. */
	char *user;
	const ChardevFrontEnd *front_end;
	void *opaque;
	int in_fd;
	gpointer in_tag, out_tag;
	bool disconnecting; /* the front end has had enough of this peer */

	GMutex lock; /* protects what follows, and the kind's output */
	int out_fd;
	bool out_is_socket;
	bool write_blocked;
	bool write_failed; /* reported once */
	int log_fd;

	bool reconnects; /* set by open */
	gint open;	 /* atomic */
};

extern const ChardevOps chardev_file_ops;
extern const ChardevOps chardev_null_ops;
extern const ChardevOps chardev_pty_ops;
extern const ChardevOps chardev_ringbuf_ops;
extern const ChardevOps chardev_socket_ops;
extern const ChardevOps chardev_stdio_ops;
extern const ChardevOps chardev_vdagent_ops;

/* The descriptor-set opener of the chardevs that @chardev is made for. */
const FdSetOpener *chardev_fd_sets(const Chardev *chardev);

/* The clipboard of the chardevs that @chardev is of. */
Clipboard *chardev_clipboard(const Chardev *chardev);

/* For kinds without a stream: there is room for output again. Main thread. */
void chardev_writable(Chardev *chardev);
/* Give the front end as many of @size bytes as it takes; returns how many. Main thread. */
size_t chardev_deliver(Chardev *chardev, const uint8_t *data, size_t size);

/* Say that the host side came or went; the front end gets the event. Main thread. */
void chardev_set_open(Chardev *chardev, bool open);

/*
 * Serve @in_fd and @out_fd (either may be -1, both may be the same), non-blocking ones; the
 * stream owns them until chardev_stream_stop() closes them. Main thread.
 */
void chardev_stream_start(Chardev *chardev, int in_fd, int out_fd);
void chardev_stream_stop(Chardev *chardev);

/* Stop reading without closing the output side. Main thread. */
void chardev_stream_end_input(Chardev *chardev);

/* Call @func(@chardev) after @milliseconds, again while it returns true. To be destroyed. */
GSource *chardev_add_timer(Chardev *chardev, unsigned milliseconds, GSourceFunc func);

/* Destroy and unref *@source, if there is one. */
void chardev_drop_source(GSource **source);
