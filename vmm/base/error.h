/*
 * error.h: the monitor's errors
 *
 * An error's text names the thing it is about and continues a sentence: "vireo: " and "cannot "
 * prefixes are added where it is reported. QMP's error classes are qmp/qmp_error.h's business;
 * an error of this domain is reported there as GenericError.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define VIREO_ERROR (vireo_error_quark())

typedef enum VireoErrorCode {
	VIREO_ERROR_FAILED,	 /* anything that only a person can act on */
	VIREO_ERROR_UNSUPPORTED, /* the host or this build lacks it */
} VireoErrorCode;

/* The domain of VIREO_ERROR. */
GQuark vireo_error_quark(void);

/*
 * What errno value @errnum (positive) means, in English; static text. Any thread: g_strerror()
 * would read files about character sets, which the filters of most threads forbid.
 */
const char *error_text(int errnum);

/*
 * Set @error to a formatted VIREO_ERROR_FAILED. Any thread. Always returns false, so that a
 * failing function may end with "return error_fail(error, ...)".
 */
bool error_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* As error_fail(), with ": " and the message of errno value @errnum (positive) appended. */
bool error_fail_errno(GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF(3, 4);
