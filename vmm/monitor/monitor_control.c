/*
 * monitor_control.c: QMP commands of schemas/control.json; those that any server has are in qmp/
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/machine/machine.h"

static gboolean quit(gpointer data)
{
	machine_shutdown(data, QAPI_SHUTDOWN_CAUSE_HOST_QMP_QUIT);
	return G_SOURCE_REMOVE;
}

bool qmp_quit(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	/* The client is owed the reply, and there is nobody to send it after the machine's end. */
	qmp_context_after_reply(ctx, quit, qmp_context_machine(ctx));
	return true;
}
