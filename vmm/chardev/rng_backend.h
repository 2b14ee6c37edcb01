/*
 * rng_backend.h: sources of entropy for virtio-rng (-object rng-random, rng-builtin)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/io_loop.h"

typedef struct RngBackend RngBackend;
typedef struct RngRequest RngRequest;

/* Embedded in the device's own request. Alive until @complete has run. */
struct RngRequest {
	uint8_t *buffer;
	size_t size; /* bytes wanted */
	/* Loop thread. @result: bytes that @buffer got (possibly fewer), or negative errno. */
	void (*complete)(RngRequest *request, int result);

	/* The backend's own. */
	RngBackend *backend;
	IoLoop *loop;
	IoOperation io;
};

/*
 * rng-random: read character device @filename (NULL: /dev/urandom). NULL and @error when it
 * cannot be opened or is no character device. Main thread.
 */
RngBackend *rng_backend_new_random(const char *filename, GError **error);

/* rng-builtin: the host kernel's getrandom(). Never fails. */
RngBackend *rng_backend_new_builtin(void);

/* No request may be in flight. */
void rng_backend_free(RngBackend *backend);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RngBackend, rng_backend_free)

/* Start @request; it completes on @loop, never inside this call. Thread of @loop. */
void rng_backend_request(RngBackend *backend, IoLoop *loop, RngRequest *request);

/* Give up on @request: it completes soon, with -ECANCELED or what it already had. Its loop. */
void rng_request_cancel(RngRequest *request);
