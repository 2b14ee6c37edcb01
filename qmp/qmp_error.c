/*
 * qmp_error.c: the error classes of QMP
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qmp/qmp_error.h"

G_DEFINE_QUARK(qmp - error - quark, qmp_error)

static const char *const class_names[] = {
	[QMP_ERROR_GENERIC] = "GenericError",
	[QMP_ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
	[QMP_ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
	[QMP_ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
	[QMP_ERROR_KVM_MISSING_CAP] = "KVMMissingCap",
};

const char *qmp_error_class(const GError *error)
{
	if (error->domain != QMP_ERROR || error->code < 0 ||
	    error->code >= (int)G_N_ELEMENTS(class_names))
		return class_names[QMP_ERROR_GENERIC];
	return class_names[error->code];
}

QmpErrorClass qmp_error_code(const char *name)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(class_names); i++)
		if (g_str_equal(name, class_names[i]))
			return i;
	return QMP_ERROR_GENERIC;
}
