/*
 * vnc_internal.h: what the files of the VNC server share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/display/input_keys.h"
#include "vmm/display/vnc.h"
#include "vmm/display/vnc_module.h"

/* After so many clients nobody is accepted for a second. */
#define VNC_ACCEPTED_MAX 32u

/* Actions of one client that wait for the main thread. */
#define VNC_ACTIONS 128u

typedef enum VncShare {
	VNC_SHARE_ALLOW_EXCLUSIVE,
	VNC_SHARE_FORCE_SHARED,
	VNC_SHARE_IGNORE,
} VncShare;

/* -vnc */
typedef struct VncOptions {
	char *address; /* "HOST:DISPLAY" or "unix:PATH" */
	char *id;
	char *display; /* the device whose screen it is; NULL: the first */
	uint32_t head;
	uint32_t to; /* the last display to try */
	bool password;
	char *tls; /* the credentials' id; NULL: clients are in the clear */
	int share; /* VncShare */
} VncOptions;

typedef enum VncActionKind {
	VNC_ACTION_READY, /* down: shared */
	VNC_ACTION_KEY,
	VNC_ACTION_POINTER,
	VNC_ACTION_SIZE, /* x, y: width and height */
	VNC_ACTION_COPIED,
	VNC_ACTION_CLOSED,
} VncActionKind;

typedef struct VncAction {
	VncActionKind kind;
	bool down;
	uint32_t keysym;
	unsigned scan;
	unsigned x, y, buttons;
} VncAction;

/* A client, as the main thread sees it. */
typedef struct VncConnection {
	VncServer *server;
	VncClient *client; /* the module's */
	GSourceFunc carry_out;
	GSource *source; /* of wake_fd */
	int wake_fd;	 /* eventfd: actions wait */
	char *host, *service;
	QapiNetworkAddressFamily family;
	bool ready;
	bool leaving;	/* it has been hung up on */
	bool exclusive; /* has the screen to itself */

	/* What it holds down. */
	unsigned x, y, buttons;
	bool has_position;
	uint8_t keys[INPUT_KEY_CODES / 8];

	ClipboardPeer *clipboard; /* NULL: not ready */

	GMutex lock; /* what follows */
	GCond room;
	VncAction actions[VNC_ACTIONS];
	unsigned first, n_actions;
	bool abandoned; /* the main thread takes no more */
	GBytes *copied; /* what it has copied and the main thread has not taken */
	char *subject;	/* of its certificate, or NULL */
} VncConnection;

struct VncServer {
	VncOptions options;
	Display *display;
	Clipboard *clipboard;
	DisplayConsole *console;
	const VncModule *module;
	VncTls *tls; /* NULL: in the clear */
	char *name;
	const QmpEventSink *events;
	int listen_fd, spare_fd; /* socket_accept()'s */
	bool turns_away;	 /* whom it did not admit last, and the log has it */
	unsigned n_accepted;	 /* since it last rested */
	bool rests;		 /* accepts nobody until accept_source, a timer, is over */
	guint accept_source, timer;
	unsigned interval; /* of the timer, ms */
	DisplaySurface *surface;
	bool takes_size;	/* the guest can be told of a size */
	guint size_timer;	/* until a client's window has found its size */
	unsigned width, height; /* of that */
	GPtrArray *connections; /* VncConnection * */

	GMutex lock; /* what follows, which clients' threads read */
	char password[VNC_PASSWORD_MAX + 1];
	int64_t expires; /* seconds since 1970 */
};

/* vnc_options.c; main thread. */

/* Read -vnc's @json. False and @error that names what is wrong; @options is to be cleared anyhow.
 */
bool vnc_options_parse(VncOptions *options, json_object *json, GError **error);
void vnc_options_clear(VncOptions *options);
/* A listening socket at the address; -1 and @error. */
int vnc_listen(const VncOptions *options, GError **error);
/* The address of @fd, or (@peer) of who is at its other end: new strings. */
void vnc_address_of(int fd, bool peer, char **host, char **service,
		    QapiNetworkAddressFamily *family);

/* vnc_connection.c */

/* What clients' threads call. */
extern const VncClientOps vnc_client_ops;

/*
 * A connection on @fd, which stays the caller's, without a client yet: @carry_out gets it on the
 * main thread whenever actions wait. Main thread.
 */
VncConnection *vnc_connection_new(VncServer *server, int fd, GSourceFunc carry_out);
/* Its client has closed, or vnc_connection_abandon() and close() have been called. Main thread. */
void vnc_connection_free(VncConnection *connection);
/* Take no more actions: its thread does not wait for that any more. Main thread. */
void vnc_connection_abandon(VncConnection *connection);
/* The next action; false if none waits. Main thread. */
bool vnc_take_action(VncConnection *connection, VncAction *action);
/* What it has copied since the last time, or NULL; owned. Main thread. */
GBytes *vnc_take_copied(VncConnection *connection);
/* Remember what is down, and let go of it. Main thread. */
void vnc_note_key(VncConnection *connection, unsigned code, bool down);
void vnc_release_keys(VncConnection *connection);
/* For events and query-vnc: new objects. Main thread. */
QapiVncBasicInfo *vnc_basic_info(const VncConnection *connection);
QapiVncClientInfo *vnc_client_info(VncConnection *connection);
