/*
 * vnc_credentials.h: what the VNC server shows its clients, and whom it believes, by TLS
 *
 * Of the module vireo-vnc.so. Sessions use the credentials that were good when they began, so that
 * these are counted.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "vmm/display/vnc_module.h"

typedef struct VncCredentials {
	gint references;
	gnutls_certificate_credentials_t certificates;
	gnutls_priority_t priority;
} VncCredentials;

/*
 * Read them from @config's directory; one reference. NULL and @error, which names the file, when
 * one is missing or is not what it should be. Any thread.
 */
VncCredentials *vnc_credentials_load(const VncTlsConfig *config, GError **error);
/* Any thread. */
VncCredentials *vnc_credentials_ref(VncCredentials *credentials);
/* Any thread; @credentials may be NULL. */
void vnc_credentials_unref(VncCredentials *credentials);
