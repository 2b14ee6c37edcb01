/*
 * sandbox.h: which system calls a thread may make
 *
 * One allow-list per kind of thread (sandbox_gen.c has them). A call that is not on it ends the
 * process with SIGSYS, after a line on standard error that names the call and the kind of thread.
 *
 * A thread that starts later is under its parent's filter too, so the main thread's list contains
 * the others.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum SandboxThread {
	SANDBOX_MAIN, /* once everything from the command line is set up */
	SANDBOX_MAIN_VNC, /* the same, where there is a VNC server, and so its clients' threads */
	SANDBOX_VCPU,
	SANDBOX_IO, /* an IoLoop's thread: its ring exists and is restricted already */
	SANDBOX_IO_LOCKED, /* the same, where guest memory is locked, and registered with its ring */
	SANDBOX_N_THREADS,
} SandboxThread;

/*
 * Do what threads under a filter no longer can, and have violations reported. Once, before there
 * is another thread.
 */
void sandbox_prepare(void);

/*
 * Put the calling thread under the filter of @kind, for good. False and @error where the kernel
 * has no seccomp. Any thread, after sandbox_prepare().
 */
bool sandbox_apply(SandboxThread kind, GError **error);
