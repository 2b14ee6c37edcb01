/*
 * log.h: where messages go
 *
 * Code logs with g_warning(), g_message() and g_debug(); this gives each message one line of
 * "vireo: text", or one line for each of its own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * Write messages to standard error, or appended to @path if not NULL; @timestamps puts the time
 * (ISO 8601, UTC) before each. Debug messages only with G_MESSAGES_DEBUG. Once, before threads.
 * False and @error when @path cannot be opened.
 */
bool log_init(const char *path, bool timestamps, GError **error);

/* After the process has let go of its standard error (-daemonize): only a file counts now. */
void log_detach(void);
