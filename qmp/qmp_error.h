/*
 * qmp_error.h: the error classes of QMP
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#define QMP_ERROR (qmp_error_quark())

/*
 * The codes of QMP_ERROR are the classes a client sees. An error of any other domain is sent as
 * GenericError, so only the four special classes need QMP_ERROR.
 */
typedef enum {
	QMP_ERROR_GENERIC,
	QMP_ERROR_COMMAND_NOT_FOUND,
	QMP_ERROR_DEVICE_NOT_ACTIVE,
	QMP_ERROR_DEVICE_NOT_FOUND,
	QMP_ERROR_KVM_MISSING_CAP,
} QmpErrorClass;

/** qmp_error_quark: the GError domain of QMP errors. */
GQuark qmp_error_quark(void);

/**
 * qmp_error_class: the class of an error as QMP spells it
 * @error: an error of any domain
 *
 * Returns: a constant string such as "GenericError".
 */
const char *qmp_error_class(const GError *error);

/**
 * qmp_error_code: the code of a class name
 * @name: a class as a peer sent it
 *
 * Returns: the code; QMP_ERROR_GENERIC for a class this version does not know.
 */
QmpErrorClass qmp_error_code(const char *name);
