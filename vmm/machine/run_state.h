/*
 * run_state.h: what a machine is doing, and why it stopped
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>

/* Names and meanings are QEMU's (query-status). */
typedef enum RunState {
	RUN_STATE_PRELAUNCH,	  /* created with -S, never ran */
	RUN_STATE_RUNNING,
	RUN_STATE_PAUSED,	  /* by stop */
	RUN_STATE_SHUTDOWN,	  /* the guest is off and the process stays (-no-shutdown) */
	RUN_STATE_IO_ERROR,	  /* a disk's error policy stopped it */
	RUN_STATE_GUEST_PANICKED, /* by pvpanic or a triple fault nobody may reset */
	RUN_STATE_INTERNAL_ERROR, /* KVM returned an exit that cannot be handled */
} RunState;

/* Why the guest ended or was reset: the names of QEMU's ShutdownCause. */
typedef enum ShutdownCause {
	SHUTDOWN_CAUSE_HOST_ERROR,
	SHUTDOWN_CAUSE_HOST_QMP_QUIT,
	SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET,
	SHUTDOWN_CAUSE_HOST_SIGNAL,
	SHUTDOWN_CAUSE_GUEST_SHUTDOWN,
	SHUTDOWN_CAUSE_GUEST_RESET,
	SHUTDOWN_CAUSE_GUEST_PANIC,
} ShutdownCause;

/* Names as QMP and the command line spell them; constant strings. */
const char *run_state_name(RunState state);
const char *shutdown_cause_name(ShutdownCause cause);

/* Whether the guest itself brought @cause about (the "guest" member of SHUTDOWN and RESET). */
bool shutdown_cause_is_guest(ShutdownCause cause);
