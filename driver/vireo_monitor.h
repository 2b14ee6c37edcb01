/*
 * vireo_monitor.h: the connection to a monitor process (QMP)
 *
 * A thread of each connection reads replies and events. Commands may be sent
 * from any other thread, one at a time; who sends one while holding a domain's
 * lock gives that up meanwhile (vireoDomainEnterMonitor).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "internal.h"
#include "virjson.h"

typedef struct _vireoMonitor vireoMonitor;

typedef struct _vireoMonitorCallbacks vireoMonitorCallbacks;
struct _vireoMonitorCallbacks {
    /* An event; @data (may be NULL) is only lent. Connection's thread. */
    void (*event)(const char *name,
                  virJSONValue *data,
                  long long seconds,
                  unsigned int micros,
                  void *opaque);
    /* The monitor is gone; once, and not after vireoMonitorClose. Connection's
     * thread. */
    void (*closed)(void *opaque);
};

/**
 * vireoMonitorOpen:
 * @path: the monitor's socket
 * @callbacks: static
 * @opaque: for the callbacks
 * @opaqueFree: called when the connection's thread has ended
 *
 * Connects and negotiates; waits at most half a minute for the monitor.
 * Returns a reference (release with virObjectUnref after vireoMonitorClose), or
 * NULL with an error reported.
 */
vireoMonitor *
vireoMonitorOpen(const char *path,
                 const vireoMonitorCallbacks *callbacks,
                 void *opaque,
                 virFreeCallback opaqueFree);

/**
 * vireoMonitorClose:
 *
 * Ends the connection. A command that waits for its reply fails. Any thread;
 * does not wait for the connection's thread.
 */
void
vireoMonitorClose(vireoMonitor *mon);

/**
 * vireoMonitorCommand:
 * @name: of the QMP command
 * @args: its arguments, stolen; NULL, or pointing to NULL, for none
 * @fd: descriptor to send along, -1 for none; stays the caller's
 * @result: what it returns; NULL if it is of no interest
 *
 * Sends a command and waits for its reply. Returns 0, or -1 with an error
 * reported: VIR_ERR_OPERATION_FAILED with the monitor's own words.
 */
int
vireoMonitorCommand(vireoMonitor *mon,
                    const char *name,
                    virJSONValue **args,
                    int fd,
                    virJSONValue **result);

/**
 * vireoMonitorCommandRaw:
 * @text: a whole QMP command
 *
 * Sends @text as the user wrote it. Returns the whole reply, error or not; or
 * NULL with an error reported when there is none. Free with g_free.
 */
char *
vireoMonitorCommandRaw(vireoMonitor *mon,
                       const char *text);
