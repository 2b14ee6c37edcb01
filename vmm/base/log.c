/*
 * log.c: where messages go
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/log.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* GLib's log writer is one for the process, and so is what it writes to. */
static int log_fd = STDERR_FILENO;
static bool log_timestamps;

static const char *find_message(const GLogField *fields, gsize n_fields)
{
	for (gsize i = 0; i < n_fields; i++) {
		if (strcmp(fields[i].key, "MESSAGE") == 0)
			return fields[i].value;
	}
	return "";
}

static GLogWriterOutput log_write(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
				  gpointer data)
{
	char stamp[80] = "";
	g_autofree char *line = NULL;

	(void)data;
	if (level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO) &&
	    g_log_writer_default_would_drop(level, G_LOG_DOMAIN))
		return G_LOG_WRITER_HANDLED;
	if (log_timestamps) {
		struct timespec now;
		struct tm utc;

		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &utc);
		/* Not strftime(): it looks for a time zone each time, which a vCPU thread must not. */
		g_snprintf(stamp, sizeof(stamp), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ ",
			   utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
			   utc.tm_sec, now.tv_nsec / 1000);
	}
	line = g_strdup_printf("%svireo: %s\n", stamp, find_message(fields, n_fields));
	/* One write for each message, so that threads do not cut into each other's. */
	if (log_fd >= 0 && write(log_fd, line, strlen(line)) < 0)
		return G_LOG_WRITER_UNHANDLED;
	return G_LOG_WRITER_HANDLED;
}

bool log_init(const char *path, bool timestamps, GError **error)
{
	if (path) {
		int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		if (fd < 0)
			return error_fail_errno(error, errno, "cannot open %s", path);
		log_fd = fd;
	}
	log_timestamps = timestamps;
	g_log_set_writer_func(log_write, NULL, NULL);
	return true;
}

void log_detach(void)
{
	if (log_fd == STDERR_FILENO)
		log_fd = -1;
}
