/*
 * run_state.c: running, stopped, reset, ended, and what leads from one to the other
 *
 * Everything is decided on the main thread. Other threads leave a request, one bit each, so that
 * a guest that asks again and again costs nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/error.h"

#include "qapi-events.h"

#include <stdlib.h>

static bool cause_is_guest(QapiShutdownCause cause)
{
	return cause == QAPI_SHUTDOWN_CAUSE_GUEST_SHUTDOWN ||
	       cause == QAPI_SHUTDOWN_CAUSE_GUEST_RESET || cause == QAPI_SHUTDOWN_CAUSE_GUEST_PANIC;
}

/* Whether shutdown=pause has a say; who ends the process means it. */
static bool can_stay(QapiShutdownCause cause)
{
	return cause_is_guest(cause) || cause == QAPI_SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET;
}

QapiRunState machine_run_state(const Machine *machine)
{
	return (QapiRunState)atomic_load(&machine->state);
}

bool machine_is_running(const Machine *machine)
{
	return machine_run_state(machine) == QAPI_RUN_STATE_RUNNING;
}

RunActions machine_actions(const Machine *machine)
{
	return machine->actions;
}

void machine_set_actions(Machine *machine, RunActions actions)
{
	machine->actions = actions;
}

/*
 * Forget what the guest asked for up to now; its vCPUs are stopped. The process's end, which some
 * device asked for, stays.
 */
static void drop_requests(Machine *machine)
{
	atomic_fetch_and(&machine->pending_requests, 1u << RUN_REQUEST_EXIT);
}

/* Whether only a reset leads out of @state, or at least nothing that the guest does. */
static bool is_final(QapiRunState state)
{
	return state == QAPI_RUN_STATE_SHUTDOWN || state == QAPI_RUN_STATE_INTERNAL_ERROR ||
	       state == QAPI_RUN_STATE_GUEST_PANICKED;
}

/*
 * Stop in @state and say so. A guest that is stopped already stays as it is, but that what it did
 * at last before it was paused still counts: it must not be continued as if nothing had been.
 */
static void stop_in_state(Machine *machine, QapiRunState state)
{
	QapiRunState before = machine_run_state(machine);

	if (before != QAPI_RUN_STATE_RUNNING && !is_final(state))
		return;
	if (is_final(before) || before == QAPI_RUN_STATE_PRELAUNCH)
		return;
	/* Devices learn from the state that they are not to start anything. */
	atomic_store(&machine->state, (int)state);
	machine_quiesce(machine);
	/* vCPUs ran on until here, and may have come as far as a reboot after a panic. */
	if (is_final(state))
		drop_requests(machine);
	if (before == QAPI_RUN_STATE_RUNNING)
		qapi_event_stop(machine->events);
}

void machine_stop(Machine *machine)
{
	stop_in_state(machine, QAPI_RUN_STATE_PAUSED);
}

bool machine_continue(Machine *machine, GError **error)
{
	QapiRunState state = machine_run_state(machine);

	if (state == QAPI_RUN_STATE_RUNNING)
		return true;
	if (state == QAPI_RUN_STATE_SHUTDOWN || state == QAPI_RUN_STATE_INTERNAL_ERROR)
		return error_fail(error, "Resetting the Virtual Machine is required");
	if (!machine->boot && !machine_has_firmware(machine))
		return error_fail(error, "there is nothing to boot: neither a kernel (-kernel) nor firmware (-bios)");
	device_tree_set_started(machine->devices);
	atomic_store(&machine->state, QAPI_RUN_STATE_RUNNING);
	qapi_event_resume(machine->events);
	machine_unquiesce(machine);
	return true;
}

static void end_machine(Machine *machine, int status)
{
	if (machine->ended)
		return;
	machine->ended = true;
	machine->exit_status = status;
	g_main_loop_quit(machine->loop);
}

void machine_shutdown(Machine *machine, QapiShutdownCause cause)
{
	if (machine->ended)
		return;
	qapi_event_shutdown(machine->events, cause_is_guest(cause), cause);
	if (machine->actions.shutdown == QAPI_SHUTDOWN_ACTION_PAUSE && can_stay(cause))
		stop_in_state(machine, QAPI_RUN_STATE_SHUTDOWN);
	else
		end_machine(machine,
			    cause == QAPI_SHUTDOWN_CAUSE_HOST_ERROR ? EXIT_FAILURE : EXIT_SUCCESS);
}

void machine_reset(Machine *machine, QapiShutdownCause cause)
{
	g_autoptr(GError) error = NULL;
	bool was_running = machine_is_running(machine);

	if (machine->ended)
		return;
	if (machine->actions.reboot == QAPI_REBOOT_ACTION_SHUTDOWN) {
		machine_shutdown(machine, cause);
		return;
	}
	machine_quiesce(machine);
	drop_requests(machine);
	device_tree_reset(machine->devices);
	if (!kvm_reset_chips(machine->kvm, &error) || !machine_load(machine, &error)) {
		g_warning("the machine cannot be reset: %s", error->message);
		machine_shutdown(machine, QAPI_SHUTDOWN_CAUSE_HOST_ERROR);
		return;
	}
	qapi_event_reset(machine->events, cause_is_guest(cause), cause);
	if (was_running)
		machine_unquiesce(machine);
	else
		atomic_store(&machine->state, QAPI_RUN_STATE_PRELAUNCH);
}

/* Returns whether the guest does not go on. */
static bool handle_panic(Machine *machine)
{
	QapiPanicAction action = machine->actions.panic;
	bool pause = action == QAPI_PANIC_ACTION_PAUSE ||
		     (action == QAPI_PANIC_ACTION_SHUTDOWN &&
		      machine->actions.shutdown == QAPI_SHUTDOWN_ACTION_PAUSE);

	if (action == QAPI_PANIC_ACTION_NONE) {
		qapi_event_guest_panicked(machine->events, QAPI_GUEST_PANIC_ACTION_RUN);
		return false;
	}
	qapi_event_guest_panicked(machine->events, pause ? QAPI_GUEST_PANIC_ACTION_PAUSE
							 : QAPI_GUEST_PANIC_ACTION_POWEROFF);
	stop_in_state(machine, QAPI_RUN_STATE_GUEST_PANICKED);
	if (pause)
		return true;
	qapi_event_shutdown(machine->events, true, QAPI_SHUTDOWN_CAUSE_GUEST_PANIC);
	end_machine(machine,
		    action == QAPI_PANIC_ACTION_EXIT_FAILURE ? EXIT_FAILURE : EXIT_SUCCESS);
	return true;
}

/* Returns whether nothing else that was asked for matters any more. */
static bool handle_watchdog(Machine *machine)
{
	QapiWatchdogAction action = machine->actions.watchdog;
	g_autoptr(GError) error = NULL;

	qapi_event_watchdog(machine->events, action);
	switch (action) {
	case QAPI_WATCHDOG_ACTION_RESET:
		machine_reset(machine, QAPI_SHUTDOWN_CAUSE_GUEST_RESET);
		return true;
	case QAPI_WATCHDOG_ACTION_SHUTDOWN:
		machine_press_power_button(machine);
		return false;
	case QAPI_WATCHDOG_ACTION_POWEROFF:
		qapi_event_shutdown(machine->events, true, QAPI_SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
		end_machine(machine, EXIT_SUCCESS);
		return true;
	case QAPI_WATCHDOG_ACTION_PAUSE:
		stop_in_state(machine, QAPI_RUN_STATE_WATCHDOG);
		return false;
	case QAPI_WATCHDOG_ACTION_DEBUG:
		g_message("the watchdog has expired");
		return false;
	case QAPI_WATCHDOG_ACTION_NONE:
		return false;
	case QAPI_WATCHDOG_ACTION_INJECT_NMI:
		if (!machine_inject_nmi(machine, &error))
			g_warning("the watchdog has expired: %s", error->message);
		return false;
	}
	return false;
}

/*
 * The main thread's side of machine_request(). Of several requests the one that leaves least to
 * the others is carried out: nothing is stopped by an error that a reset has made good.
 */
static gboolean handle_requests(gpointer data)
{
	Machine *machine = data;
	unsigned pending = atomic_exchange(&machine->pending_requests, 0);

	if (machine->ended)
		return G_SOURCE_REMOVE;
	if (pending & 1u << RUN_REQUEST_EXIT) {
		qapi_event_shutdown(machine->events, true, QAPI_SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
		end_machine(machine, atomic_load(&machine->exit_value));
		return G_SOURCE_REMOVE;
	}
	if (pending & 1u << RUN_REQUEST_GUEST_PANIC && handle_panic(machine))
		return G_SOURCE_REMOVE;
	if (pending & 1u << RUN_REQUEST_WATCHDOG && handle_watchdog(machine))
		return G_SOURCE_REMOVE;
	if (pending & 1u << RUN_REQUEST_GUEST_SHUTDOWN)
		machine_shutdown(machine, QAPI_SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
	else if (pending & 1u << RUN_REQUEST_GUEST_RESET)
		machine_reset(machine, QAPI_SHUTDOWN_CAUSE_GUEST_RESET);
	else if (pending & 1u << MACHINE_REQUEST_INTERNAL_ERROR)
		stop_in_state(machine, QAPI_RUN_STATE_INTERNAL_ERROR);
	else if (pending & 1u << RUN_REQUEST_IO_ERROR)
		stop_in_state(machine, QAPI_RUN_STATE_IO_ERROR);
	return G_SOURCE_REMOVE;
}

void machine_request(Machine *machine, unsigned request)
{
	unsigned before = atomic_fetch_or(&machine->pending_requests, 1u << request);
	GSource *source;

	/* Whoever was first has woken the main thread. */
	if (before != 0)
		return;
	source = g_idle_source_new();
	g_source_set_priority(source, G_PRIORITY_HIGH);
	g_source_set_callback(source, handle_requests, machine, NULL);
	g_source_attach(source, machine->context);
	g_source_unref(source);
}

bool machine_run(Machine *machine, int *status, GError **error)
{
	machine_sandbox_io_threads(machine);
	if (!machine->config->start_paused && !machine_continue(machine, error))
		return false;
	if (!machine->ended)
		g_main_loop_run(machine->loop);
	machine_quiesce(machine);
	*status = machine->exit_status;
	return true;
}
