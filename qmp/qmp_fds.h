/*
 * qmp_fds.h: descriptors that clients hand over for later use
 *
 * Two stores in one object: descriptors with a name (getfd, closefd), which the command that uses
 * one takes out, and numbered sets (add-fd, remove-fd, -add-fd), whose members stay and are
 * duplicated when "/dev/fdset/N" is opened.
 *
 * For one thread at a time: the one that serves the monitor.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

typedef struct QmpFds QmpFds;

/** qmp_fds_new: an empty store. */
QmpFds *qmp_fds_new(void);

/** qmp_fds_free: closes every descriptor in the store and frees it; @fds may be NULL. */
void qmp_fds_free(QmpFds *fds);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpFds, qmp_fds_free)

/**
 * qmp_fds_put: keeps a descriptor under a name
 * @name: the name; must not start with a digit, so that it is never taken for a number
 * @fd: the descriptor; the store's in any case. One kept under the same name is closed.
 *
 * Returns: false with @error set if the name is none.
 */
bool qmp_fds_put(QmpFds *fds, const char *name, int fd, GError **error);

/**
 * qmp_fds_take: takes out a descriptor
 * @name: its name
 *
 * Returns: the descriptor, now the caller's; -1 with @error set if there is none of that name.
 */
int qmp_fds_take(QmpFds *fds, const char *name, GError **error);

/**
 * qmp_fds_set_add: adds a descriptor to a set
 * @set: the set, made if it does not exist; -1 for a new one with the lowest free number
 * @opaque: text kept with it, or NULL
 * @fd: the descriptor; the store's in any case
 *
 * Returns: the number of the set; -1 with @error set if @set is none.
 */
int64_t qmp_fds_set_add(QmpFds *fds, int64_t set, const char *opaque, int fd, GError **error);

/**
 * qmp_fds_set_remove: closes descriptors of a set; an empty set is gone
 * @set: the set
 * @fd: which descriptor; -1 for all
 *
 * Returns: false with @error set if there is no such set or descriptor.
 */
bool qmp_fds_set_remove(QmpFds *fds, int64_t set, int fd, GError **error);

/**
 * qmp_fds_set_open: what opening "/dev/fdset/N" does
 * @set: N
 * @flags: open(2)'s flags; a descriptor with this access mode is wanted
 *
 * Returns: a duplicate, close-on-exec, the caller's; -1 with @error set.
 */
int qmp_fds_set_open(QmpFds *fds, int64_t set, int flags, GError **error);

/**
 * qmp_fds_set_foreach: calls a function for each descriptor of each set, in order
 * @func: gets the set, the descriptor (borrowed), its text or NULL, and @data
 */
void qmp_fds_set_foreach(QmpFds *fds,
			 void (*func)(int64_t set, int fd, const char *opaque, void *data),
			 void *data);
