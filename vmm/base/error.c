/*
 * error.c: the monitor's errors
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"

#include <stdarg.h>
#include <string.h>

G_DEFINE_QUARK(vireo-error-quark, vireo_error)

const char *error_text(int errnum)
{
	const char *text = strerrordesc_np(errnum);

	return text ? text : "unknown error";
}

bool error_fail(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (error)
		*error = g_error_new_valist(VIREO_ERROR, VIREO_ERROR_FAILED, format, args);
	va_end(args);
	return false;
}

bool error_fail_errno(GError **error, int errnum, const char *format, ...)
{
	g_autofree char *what = NULL;
	va_list args;

	va_start(args, format);
	what = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, VIREO_ERROR, VIREO_ERROR_FAILED, "%s: %s", what, error_text(errnum));
	return false;
}
