/*
 * fake_swtpm.h: a TPM behind a socket that does what swtpm does, or what it must not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/tpm/swtpm_message.h"

/* What it does wrong, at one control command, or at every command of the TPM. */
typedef enum FakeSwtpmFault {
	FAKE_NONE,
	FAKE_SILENT,	/* nothing comes */
	FAKE_HANG_UP,	/* it goes */
	FAKE_REFUSE,	/* control: a result other than 0; data: an error of TPM 1.2 */
	FAKE_SHORT,	/* the message ends early */
	FAKE_LONG,	/* more than belongs to it */
	FAKE_HUGE,	/* it says that it is larger than the buffer */
	FAKE_TINY,	/* ... or smaller than a header */
	FAKE_GARBAGE,	/* nothing that is known */
	FAKE_SLICED,	/* right, but byte by byte */
	FAKE_HELD,	/* not before fake_swtpm_release() or a cancellation */
	FAKE_INCAPABLE, /* of a thing that is needed (SWTPM_GET_CAPABILITY) */
	FAKE_ALONE,	/* its result, but never the rest */
} FakeSwtpmFault;

typedef struct FakeSwtpm FakeSwtpm;

/*
 * Start one. Its control channel is *@fd, the caller's. What a command is answered with: a header
 * that says success, and the command code.
 */
FakeSwtpm *fake_swtpm_new(int *fd);
/* End it, if it has not gone. */
void fake_swtpm_free(FakeSwtpm *swtpm);

/* From now on @command (0: those of the TPM) has @fault. */
void fake_swtpm_set_fault(FakeSwtpm *swtpm, SwtpmCommand command, FakeSwtpmFault fault);
/* Let go of a response that is FAKE_HELD. */
void fake_swtpm_release(FakeSwtpm *swtpm);
/* Send something that nobody asked for, on the control or the data channel. */
void fake_swtpm_blurt(FakeSwtpm *swtpm, bool control);
/* Go, without a word. */
void fake_swtpm_die(FakeSwtpm *swtpm);

/* How often it was given @command (0: one of the TPM's), and the last argument. */
unsigned fake_swtpm_count(FakeSwtpm *swtpm, SwtpmCommand command, uint32_t *argument);
/* Wait until it was given @command more often than @before; false after a few seconds. */
bool fake_swtpm_wait(FakeSwtpm *swtpm, SwtpmCommand command, unsigned before);
