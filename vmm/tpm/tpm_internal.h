/*
 * tpm_internal.h: one TPM, as the files of this directory know it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdatomic.h>

#include "vmm/tpm/tpm.h"

/* A response cannot be larger than the buffer, which no device has larger than this: bytes. */
#define TPM_BUFFER_MAX 4096u

/* A command as it is handed to the loop. */
typedef struct TpmCommand {
	Tpm *tpm;
	uint32_t serial;
	uint32_t size;
	uint8_t bytes[TPM_BUFFER_MAX];
} TpmCommand;

typedef enum TpmActivity {
	TPM_IDLE,
	TPM_STARTING,  /* tpm->step of what starts it was sent */
	TPM_PROBING,   /* a command of our own was: is it a TPM 2.0? */
	TPM_EXECUTING, /* the guest's was */
} TpmActivity;

struct Tpm {
	/* Main thread's. */
	char *id;
	Chardev *chardev;
	TpmLimits limits;
	IoLoop *loop; /* NULL: no device has it */
	const TpmListener *listener;
	void *opaque;

	/* What others may ask. */
	_Atomic bool failed, established;
	_Atomic uint32_t buffer_size;

	/* The loop's, once attached. */
	int control_fd, data_fd; /* our own */
	int their_fd;		 /* the other end of data_fd, until swtpm has it */
	IoWatch *control_watch, *data_watch;
	IoTimer *timer;
	TpmActivity activity;
	unsigned step;
	bool connected; /* swtpm has its end of data_fd */
	bool fresh;	/* no command of the guest's since it was started */
	bool reset_wanted;
	bool cancelling; /* the answer to that has not come */
	bool dropped;	 /* nobody waits for the response any more */
	TpmCommand *next, *current;
	uint8_t reply[SWTPM_REPLY_MAX];
	size_t reply_size;
	uint8_t response[TPM_BUFFER_MAX];
	size_t response_size;

	/* tpm_attach() waits for this. */
	GMutex lock;
	GCond changed;
	bool started;
	char *reason; /* why it failed */
};

/* What tpm_emulator.c does for tpm.c; all on the loop, with the Tpm. */

/* Begin to serve it: watch its sockets, and start it. */
void tpm_emulator_begin(gpointer tpm);
/* No more of that. */
void tpm_emulator_end(gpointer tpm);
/* As tpm_reset() and tpm_cancel(). */
void tpm_emulator_reset(gpointer tpm);
void tpm_emulator_cancel(gpointer tpm);
/* As tpm_execute(), of a TpmCommand, which it takes. */
void tpm_emulator_execute(gpointer command);
