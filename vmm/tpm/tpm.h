/*
 * tpm.h: the host side of TPM devices (-tpmdev emulator): swtpm, behind a socket
 *
 * swtpm is told what to do by a control channel, the chardev, and gets the guest's commands by a
 * socket that is made here. All of this happens on an I/O loop and nothing waits for it, so that a
 * TPM that takes its time (as it does to make a key) costs the guest that time and no more.
 *
 * A TPM that is gone, silent for too long or does not keep to the protocol has failed, for good: a
 * new one would not know what the guest has told the old one. Whatever it is asked then is answered
 * with a failure at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/io_loop.h"
#include "vmm/chardev/chardev.h"
#include "vmm/tpm/swtpm_message.h"

typedef struct Tpm Tpm;
typedef struct Tpms Tpms;

/* Told to the device, on the loop. */
typedef struct TpmListener {
	/*
	 * The command that was called @serial is done: @size bytes of @response, or 0, the TPM has
	 * failed.
	 */
	void (*complete)(void *opaque, uint32_t serial, const uint8_t *response, size_t size);
	/* From now on it has failed, because of @reason. Once. */
	void (*failed)(void *opaque, const char *reason);
} TpmListener;

/* For how long the TPM may be silent: milliseconds; 0: what is usual. */
typedef struct TpmLimits {
	unsigned control_ms; /* when it is told something */
	unsigned command_ms; /* when it carries out a command */
} TpmLimits;

/* The TPMs of one machine by id, whose chardevs are among @chardevs. Main thread, all of these. */
Tpms *tpms_new(Chardevs *chardevs, const TpmLimits *limits);
/* Their devices are gone. */
void tpms_free(Tpms *tpms);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tpms, tpms_free)

/*
 * Make the TPM that @options (of -tpmdev: type, id, chardev) describes. False and @error naming
 * what is wrong.
 */
bool tpms_add(Tpms *tpms, json_object *options, GError **error);
/* The one called @id; NULL: there is none. */
Tpm *tpms_find(Tpms *tpms, const char *id);
/* Call @func with each. */
void tpms_foreach(Tpms *tpms, void (*func)(const Tpm *, gpointer), gpointer data);

/* What it was made as; borrowed. */
const char *tpm_id(const Tpm *tpm);
const char *tpm_chardev_id(const Tpm *tpm);
/* Whether a device has it. */
bool tpm_is_attached(const Tpm *tpm);

/*
 * Have a device use @tpm, on @loop: swtpm is told where commands come from, a buffer of
 * @buffer_size bytes is agreed on, and the TPM, which must be of version 2.0, is started. Waits for
 * all that. False and @error if another device has it, or swtpm will not do. Main thread.
 */
bool tpm_attach(Tpm *tpm, IoLoop *loop, uint32_t buffer_size, const TpmListener *listener,
		void *opaque, GError **error);
/* Switch it off, which ends swtpm. The listener is not called any more. Main thread. */
void tpm_detach(Tpm *tpm);

/* Bytes that commands and responses can have. Any thread, while attached. */
uint32_t tpm_buffer_size(const Tpm *tpm);
/* Whether a measured launch is on record (PTP §5.3: tpmEstablished). Any thread. */
bool tpm_is_established(const Tpm *tpm);
/* Any thread. */
bool tpm_has_failed(const Tpm *tpm);

/*
 * Switch it off and on again, after the command that it is carrying out, whose response is dropped
 * together with the commands before this. Main thread.
 */
void tpm_reset(Tpm *tpm);

/*
 * Carry out the command of @size bytes at @bytes (copied), as many as its header says; the listener
 * is told when @serial is done. At most one at a time. Any thread; never blocks.
 */
void tpm_execute(Tpm *tpm, uint32_t serial, const uint8_t *bytes, size_t size);
/* Ask it not to finish the command that it is carrying out. Any thread; never blocks. */
void tpm_cancel(Tpm *tpm);
