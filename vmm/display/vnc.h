/*
 * vnc.h: the VNC server of a machine (-vnc)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi-types.h"
#include "qmp/qmp_event.h"
#include "vmm/chardev/clipboard.h"
#include "vmm/display/display.h"
#include "vmm/display/vnc_module.h"

/* vnc_server_expire_password(): never. */
#define VNC_NEVER G_MAXINT64

typedef struct VncServer VncServer;

/* Where there are credentials for TLS. */
typedef struct VncTlsFinder {
	/* Fill @config, whose texts are borrowed, with those called @id. False and @error: none. */
	bool (*find)(void *opaque, const char *id, VncTlsConfig *config, GError **error);
	void *opaque;
} VncTlsFinder;

/* Main thread, all of these. */

/*
 * Listen as @options of -vnc say ("vnc", the address, and the others), and show a console of
 * @display under the title @name to viewers that share @clipboard; both outlive the server. Loads the module that speaks RFB,
 * and the credentials for TLS that @finder has. @events may be NULL. NULL and @error when an option
 * is none, the address is taken, there is no screen, a file of the credentials is missing or wrong,
 * or the module is not installed.
 */
VncServer *vnc_server_new(json_object *options, Display *display, Clipboard *clipboard,
			  const char *name, const VncTlsFinder *finder, const QmpEventSink *events,
			  GError **error);
/* Ends the clients. */
void vnc_server_free(VncServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VncServer, vnc_server_free)

/* The id of the server: "default" unless option id says otherwise. */
const char *vnc_server_id(const VncServer *server);

/* query-vnc: a new object. */
QapiVncInfo *vnc_server_query(const VncServer *server);

/*
 * set_password: from now on new clients need @password (8 bytes of it count; empty: none gets in).
 * False and @error where the server asks for none.
 */
bool vnc_server_set_password(VncServer *server, const char *password, GError **error);

/* expire_password: the password is good until @time, seconds since 1970, or VNC_NEVER. */
bool vnc_server_expire_password(VncServer *server, int64_t time, GError **error);

/*
 * display-reload: read the certificates anew, for clients to come. False and @error, and those
 * before stay good, when one is missing or wrong, or the server does without TLS.
 */
bool vnc_server_reload_certificates(VncServer *server, GError **error);

/*
 * add_client: serve the connected socket @fd, which is the server's in any case. With
 * @skip_authentication neither TLS nor a password is asked for. False and @error when there are too
 * many.
 */
bool vnc_server_add_client(VncServer *server, int fd, bool skip_authentication, GError **error);
