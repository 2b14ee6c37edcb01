/*
 * monitor.h: the QMP monitor of one machine
 *
 * One server, with a session on each chardev that -mon or -qmp names. It exists before the machine
 * does, so that events have a place to go from the start.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/base/fd.h"
#include "vmm/config/vm_config.h"

typedef struct Machine Machine;
typedef struct Monitor Monitor;
typedef struct QmpEventSink QmpEventSink;
typedef struct QmpFds QmpFds;

/* Everything here: main thread. */

/* A monitor with every command of the schema and no client yet. */
Monitor *monitor_new(GMainContext *context);

/* After monitor_stop() and the machine, whose events it takes to the last. */
void monitor_free(Monitor *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Monitor, monitor_free)

/* Where the machine's events go: to every client. Lives as long as the monitor. */
QmpEventSink *monitor_event_sink(Monitor *monitor);

/* The descriptors that clients (and -add-fd) hand over. Lives as long as the monitor. */
QmpFds *monitor_fds(Monitor *monitor);

/* What opens "/dev/fdset/N" out of these. Lives as long as the monitor. */
FdSetOpener monitor_fd_sets(Monitor *monitor);

/* Put the descriptors of -add-fd into their sets. False and @error naming the option at fault. */
bool monitor_add_fds(Monitor *monitor, const VmConfig *config, GError **error);

/*
 * Serve @machine: open a session on each chardev its configuration gives to a monitor. False and
 * @error when one does not exist or has another front end.
 */
bool monitor_start(Monitor *monitor, Machine *machine, GError **error);

/* End the sessions and let go of the chardevs: before the machine that has them is freed. */
void monitor_stop(Monitor *monitor);
