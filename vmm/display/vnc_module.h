/*
 * vnc_module.h: between the VNC server and the module that speaks RFB
 *
 * libvncserver and all that it brings along is in a module of its own, vireo-vnc.so, which is
 * loaded only where there is a -vnc: a guest without one pays nothing for it. Each client has a
 * thread of its own, for libvncserver waits when it reads and writes: a client that dawdles holds
 * up itself. One that uses TLS has it once it has passed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/display/display.h"

/* Goes up with each change of what is here. */
#define VNC_MODULE_VERSION 5u
#define VNC_MODULE_SYMBOL  "vireo_vnc_module"

/* What RFB's passwords have at most, bytes. */
#define VNC_PASSWORD_MAX 8u

typedef struct VncClient VncClient;
typedef struct VncTls VncTls;

/* -object tls-creds-x509 */
typedef struct VncTlsConfig {
	const char *directory; /* ca-cert.pem, ca-crl.pem (may be missing), server-cert.pem and
				  server-key.pem are in it */
	const char *priority;  /* of GnuTLS; NULL: the host's */
	bool verify_peer;      /* clients need certificates, too */
} VncTlsConfig;

/* How a client is served. */
typedef struct VncClientConfig {
	const char *name; /* shown in its title */
	bool password;	  /* it must give one */
	VncTls *tls;	  /* NULL: in the clear */
} VncClientConfig;

/* What the server does for a client; threads of the module call all of them, one at a time. */
typedef struct VncClientOps {
	/* Copy the password that is good now; false where there is none. */
	bool (*get_password)(void *opaque, char password[static VNC_PASSWORD_MAX + 1]);
	/* Its certificate, which has been verified, is @subject's. */
	void (*identified)(void *opaque, const char *subject);
	/* It has passed, and wants the screen for itself or not. */
	void (*ready)(void *opaque, bool shared);
	/* A key: X11's keysym, and the scan code (SCAN_EXTENDED or-ed) or 0. */
	void (*key)(void *opaque, uint32_t keysym, unsigned scan, bool down);
	/* Where the pointer is, and RFB's mask of the buttons that are down. */
	void (*pointer)(void *opaque, unsigned x, unsigned y, unsigned buttons);
	/* It would like a screen of that size, pixels; false where that cannot be had. */
	bool (*suggest_size)(void *opaque, unsigned width, unsigned height);
	/* It has copied @size bytes of UTF-8, which may not be that. */
	void (*copied)(void *opaque, const char *text, size_t size);
	/* It is gone, of its own or by close(); the last call. */
	void (*closed)(void *opaque);
	/* display.h's. */
	DisplaySurface *(*surface_ref)(DisplaySurface *surface);
	void (*surface_unref)(DisplaySurface *surface);
	DisplayCursor *(*cursor_ref)(DisplayCursor *cursor);
	void (*cursor_unref)(DisplayCursor *cursor);
} VncClientOps;

/* What the module does; the server's thread calls all of them. */
typedef struct VncModule {
	unsigned version;
	/*
	 * Load what TLS needs. NULL and @error, which names the file, when one is missing or is not
	 * what it should be.
	 */
	VncTls *(*tls_new)(const VncTlsConfig *config, GError **error);
	/* Load it again, for clients to come; false and @error likewise, and it stays as it was. */
	bool (*tls_reload)(VncTls *tls, GError **error);
	/* No client is left. */
	void (*tls_free)(VncTls *tls);
	/*
	 * Serve RFB on @fd, a connected socket that is the client's in any case, with @surface at
	 * first. NULL where there cannot be a thread.
	 */
	VncClient *(*open)(int fd, const VncClientConfig *config, DisplaySurface *surface,
			   const VncClientOps *ops, void *opaque);
	/* End it soon: closed() follows. */
	void (*close)(VncClient *client);
	/* After close() or closed(): wait for its thread and free it. */
	void (*free)(VncClient *client);
	/* What DisplayWatcherOps tell. */
	void (*set_surface)(VncClient *client, DisplaySurface *surface);
	void (*damage)(VncClient *client, const DisplayRect *rect);
	void (*set_cursor)(VncClient *client, DisplayCursor *cursor);
	/* @text, UTF-8 whose lines end in LF, has been copied elsewhere. */
	void (*set_text)(VncClient *client, const char *text);
} VncModule;

/* The module's only symbol, of which dlsym() gives the address. */
extern const VncModule vireo_vnc_module;
