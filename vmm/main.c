/*
 * main.c: the vireo command, one guest per process
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/sandbox.h"
#include "vmm/machine/device_types.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/monitor.h"
#include "vmm/x86/cpuid.h"

static int fail(const GError *error)
{
	fprintf(stderr, "vireo: %s\n", error->message);
	return EXIT_FAILURE;
}

static int print_help(const VmConfig *config)
{
	const DeviceType *const *types = machine_device_types;

	switch (config->help) {
	case VM_HELP_NONE:
	case VM_HELP_OPTIONS:
		vm_config_print_help(stdout);
		break;
	case VM_HELP_VERSION:
		puts("Vireo version " PACKAGE_VERSION);
		break;
	case VM_HELP_MACHINE:
		printf("%s\n  " MACHINE_TYPE_NAME "  %s\n  " MACHINE_TYPE_ALIAS "            %s\n",
		       "Machine types:", "q35-style PC, PCI only (default)",
		       "alias of " MACHINE_TYPE_NAME);
		break;
	case VM_HELP_CPU:
		cpu_models_print_help(stdout);
		break;
	case VM_HELP_OBJECT:
		puts("Objects:");
		for (int i = 0; i < QAPI_OBJECT_TYPE_COUNT; i++)
			printf("  %s\n", qapi_str_ObjectType((QapiObjectType)i));
		break;
	case VM_HELP_DEVICE:
		device_types_print_help(types, stdout);
		break;
	case VM_HELP_DEVICE_TYPE:
		if (!device_type_print_help(types, config->help_argument, stdout)) {
			fprintf(stderr, "vireo: -device %s: there is no such device\n",
				config->help_argument);
			return EXIT_FAILURE;
		}
		break;
	}
	return EXIT_SUCCESS;
}

static gboolean end_by_signal(gpointer data)
{
	machine_shutdown(data, QAPI_SHUTDOWN_CAUSE_HOST_SIGNAL);
	return G_SOURCE_CONTINUE;
}

/* Serve and run @machine to its end. */
static int run(Monitor *monitor, Machine *machine)
{
	static const int ending_signals[] = { SIGTERM, SIGINT, SIGHUP };
	g_autoptr(GError) error = NULL;
	int status = EXIT_FAILURE;

	for (unsigned i = 0; i < G_N_ELEMENTS(ending_signals); i++)
		g_unix_signal_add(ending_signals[i], end_by_signal, machine);
	if (!monitor_start(monitor, machine, &error) ||
	    (machine_config(machine)->sandbox && !sandbox_apply(SANDBOX_MAIN, &error)) ||
	    !machine_run(machine, &status, &error))
		fail(error);
	monitor_stop(monitor);
	return status;
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(VmConfig) config = vm_config_parse(argc, argv, &error);
	g_autoptr(Monitor) monitor = NULL;
	g_autoptr(Machine) machine = NULL;
	FdSetOpener fd_sets;

	if (!config)
		return fail(error);
	if (config->help != VM_HELP_NONE)
		return print_help(config);
	signal(SIGPIPE, SIG_IGN);
	monitor = monitor_new(NULL);
	if (!monitor_add_fds(monitor, config, &error))
		return fail(error);
	fd_sets = monitor_fd_sets(monitor);
	machine = machine_new(config, monitor_event_sink(monitor), &fd_sets, &error);
	if (!machine)
		return fail(error);
	return run(monitor, machine);
}
