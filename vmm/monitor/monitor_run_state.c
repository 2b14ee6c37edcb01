/*
 * monitor_run_state.c: QMP commands of schemas/run-state.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/machine/machine.h"

QapiStatusInfo *qmp_query_status(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	const Machine *machine = qmp_context_machine(ctx);
	QapiStatusInfo *info = g_new0(QapiStatusInfo, 1);

	info->status = machine_run_state(machine);
	info->running = info->status == QAPI_RUN_STATE_RUNNING;
	return info;
}

bool qmp_stop(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	machine_stop(qmp_context_machine(ctx));
	return true;
}

bool qmp_cont(QmpContext *ctx, GError **error)
{
	return machine_continue(qmp_context_machine(ctx), error);
}

bool qmp_system_reset(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	machine_reset(qmp_context_machine(ctx), QAPI_SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
	return true;
}

bool qmp_system_powerdown(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	machine_press_power_button(qmp_context_machine(ctx));
	return true;
}

bool qmp_inject_nmi(QmpContext *ctx, GError **error)
{
	return machine_inject_nmi(qmp_context_machine(ctx), error);
}

bool qmp_set_action(QmpContext *ctx, bool has_reboot, QapiRebootAction reboot, bool has_shutdown,
		    QapiShutdownAction shutdown, bool has_panic, QapiPanicAction panic,
		    bool has_watchdog, QapiWatchdogAction watchdog, G_GNUC_UNUSED GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	RunActions actions = machine_actions(machine);

	if (has_reboot)
		actions.reboot = reboot;
	if (has_shutdown)
		actions.shutdown = shutdown;
	if (has_panic)
		actions.panic = panic;
	if (has_watchdog)
		actions.watchdog = watchdog;
	machine_set_actions(machine, actions);
	return true;
}

bool qmp_watchdog_set_action(QmpContext *ctx, QapiWatchdogAction action,
			     G_GNUC_UNUSED GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	RunActions actions = machine_actions(machine);

	actions.watchdog = action;
	machine_set_actions(machine, actions);
	return true;
}
