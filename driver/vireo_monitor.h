/*
 * vireo_monitor.h: the connection to a monitor process (QMP)
 *
 * One thread of the driver's reads replies and events of all connections.
 * Commands may be sent from any other thread; who sends one while holding a
 * domain's lock gives that up meanwhile (vireo_qmp.h).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "internal.h"
#include "virjson.h"
#include "virobject.h"

typedef struct _vireoMonitor vireoMonitor;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vireoMonitor, virObjectUnref);

typedef struct _vireoMonitorCallbacks vireoMonitorCallbacks;
struct _vireoMonitorCallbacks {
    /* An event; @data (may be NULL) is only lent. In that thread: must not wait. */
    void (*event)(const char *name,
                  virJSONValue *data,
                  long long seconds,
                  unsigned int micros,
                  void *opaque);
    /* The monitor is gone; once, and not after vireoMonitorClose. As above. */
    void (*closed)(void *opaque);
};

/**
 * vireoMonitorOpen:
 * @path: the monitor's socket
 * @callbacks: static
 * @opaque: for the callbacks
 * @opaqueFree: called when neither the connection nor a reference is left
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
 * reported: VIR_ERR_OPERATION_FAILED with the monitor's own words; or
 * VIREO_MONITOR_GONE, with one reported as well, if the connection ended first: nobody
 * knows whether the command has been carried out.
 */
#define VIREO_MONITOR_GONE (-2)
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
