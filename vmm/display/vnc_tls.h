/*
 * vnc_tls.h: TLS between a VNC client and the part of the module that speaks RFB
 *
 * One thread serves all connections of a server, none of which it ever waits for. It plays the
 * handshake (vnc_handshake.h); who has passed gets a socket in the module, from which on bytes are
 * carried back and forth.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/display/vnc_handshake.h"
#include "vmm/display/vnc_module.h"

/* By this libvncserver knows that there is no web socket, and does not wait for one. */
#define VNC_TLS_GREETING "RFB "

typedef struct VncTlsLink VncTlsLink;

/* What a connection tells; the thread of TLS calls. */
typedef struct VncTlsLinkOps {
	/* Whether @response answers @challenge. */
	bool (*check)(void *opaque, const uint8_t challenge[static VNC_CHALLENGE_SIZE],
		      const uint8_t response[static VNC_CHALLENGE_SIZE]);
	/*
	 * The client, called @identity by its certificate (NULL: it has shown none), has passed; it
	 * spoke RFB 3.@minor, and goes on at ClientInit on @fd, which is the callee's, after
	 * VNC_TLS_GREETING. What is sent to @fd first, of the size of RFB's version, is dropped.
	 * False: it cannot be served. The last call.
	 */
	bool (*passed)(void *opaque, int fd, unsigned minor, const char *identity);
	/* It has not passed. The last call. */
	void (*failed)(void *opaque);
} VncTlsLinkOps;

/* VncModule's tls_new(), tls_reload() and tls_free(). */
VncTls *vnc_tls_new(const VncTlsConfig *config, GError **error);
bool vnc_tls_reload(VncTls *tls, GError **error);
void vnc_tls_free(VncTls *tls);

/*
 * Serve @fd, a connected socket that is the link's in any case, from @handshake on, which has been
 * started and is copied. NULL where there cannot be a thread. The thread that created @tls.
 */
VncTlsLink *vnc_tls_link_new(VncTls *tls, int fd, const VncHandshake *handshake,
			     const VncTlsLinkOps *ops, void *opaque);
/* Hang up: failed() follows, or the socket that passed() was given ends. Any thread. */
void vnc_tls_link_close(VncTlsLink *link);
/* Hang up, if that is not done yet; @ops are not called any more. Any thread but TLS's. */
void vnc_tls_link_free(VncTlsLink *link);
