/*
 * vireo_process.h: the monitor process of a domain, from start to end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"
#include "vireo_event.h"

typedef enum {
    VIREO_PROCESS_START_PAUSED = 1 << 0,
    VIREO_PROCESS_START_AUTODESTROY = 1 << 1,
    VIREO_PROCESS_START_RESET_NVRAM = 1 << 2,   /* the firmware's variables anew */
} vireoProcessStartFlags;

/**
 * vireoProcessStart:
 * @vm: an inactive domain, locked and in a job
 * @conn: the client's connection, for VIREO_PROCESS_START_AUTODESTROY
 * @flags: vireoProcessStartFlags
 *
 * Runs the domain, and queues the events that tell of it. Returns 0, or -1 with
 * an error reported and nothing left behind.
 */
int
vireoProcessStart(virDomainObj *vm,
                  virConnectPtr conn,
                  unsigned int flags);

/**
 * vireoProcessEnd:
 * @vm: an active domain, locked, in a VIR_JOB_DESTROY job
 * @reason: virDomainShutoffReason; the event's detail follows from it
 * @graceful: only ask the process to end, and fail if it does not within 15 s
 *
 * Ends the domain: its process, and all that was made for it; queues the event.
 * The object may be gone from the list of domains if it was transient. Returns 0,
 * or -1 with an error reported if the process could not be ended.
 */
int
vireoProcessEnd(virDomainObj *vm,
                int reason,
                bool graceful);

/**
 * vireoProcessBeginEndJob:
 *
 * Ends the process of @vm and begins a VIR_JOB_DESTROY job: in that order, so
 * that a job which waits for a monitor that hangs is no obstacle. Returns 0, or -1
 * with an error reported and no job begun.
 */
int
vireoProcessBeginEndJob(virDomainObj *vm,
                        bool graceful);

/**
 * vireoProcessRemoveInactive:
 *
 * Takes a transient domain that is not active any more off the list; @vm stays
 * locked and referenced.
 */
void
vireoProcessRemoveInactive(virDomainObj *vm);

/**
 * vireoProcessReconnectAll:
 *
 * Picks up every domain that the status files say is running, each on a thread
 * of its own; those whose process has ended are cleaned up.
 */
void
vireoProcessReconnectAll(vireoDriver *driver);

/**
 * vireoProcessAutostart:
 *
 * Starts every inactive domain that is marked so. Failures are logged.
 */
void
vireoProcessAutostart(vireoDriver *driver);

/**
 * vireoProcessListen:
 * @name: of a socket in the domain's run-time directory
 *
 * Returns a socket that listens there for the daemon to connect: before the process exists that is
 * to serve it, so that the connection needs no retries. -1 with an error reported.
 */
int
vireoProcessListen(virDomainObj *vm,
                   const char *name);

/**
 * vireoProcessConnect:
 * @origin: whose the socket is
 * @monitor: set to the connection
 *
 * Connects to a process that serves QMP there; the lock is given up meanwhile. Returns 0, or -1
 * with an error reported.
 */
int
vireoProcessConnect(virDomainObj *vm,
                    const char *name,
                    vireoEventOrigin origin,
                    vireoMonitor **monitor);

/**
 * vireoProcessKill:
 * @name: of its domain, for errors
 * @pidfile: which the process keeps locked, so that its number cannot have been reused
 * @expected: its number
 * @graceful: only ask it to end, and fail if it does not within 15 s
 *
 * Ends a process of a domain's, if it has not ended. Returns 0, or -1 with an error reported.
 */
int
vireoProcessKill(const char *name,
                 const char *pidfile,
                 pid_t expected,
                 bool graceful);

/**
 * vireoProcessOpenMonitor:
 * @vm: locked and in a job; priv->dir and vm->pid are set
 *
 * Connects to the domain's process; the lock is given up meanwhile. Returns 0, or
 * -1 with an error reported.
 */
int
vireoProcessOpenMonitor(virDomainObj *vm);
