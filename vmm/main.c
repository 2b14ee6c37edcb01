/*
 * main.c: the vireo command, one guest per process
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <glib-unix.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/process.h"
#include "vmm/base/sandbox.h"
#include "vmm/machine/device_types.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/monitor.h"
#include "vmm/x86/cpu_models.h"

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

/* One of the signals that end the machine; they are read here, and interrupt no thread. */
static gboolean end_by_signal(int fd, GIOCondition condition, gpointer data)
{
	struct signalfd_siginfo info;

	(void)condition;
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		machine_shutdown(data, QAPI_SHUTDOWN_CAUSE_HOST_SIGNAL);
	return G_SOURCE_CONTINUE;
}

/* Block the signals in this thread, and so in all that it makes. */
static int open_signals(GError **error)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		error_fail_errno(error, errno, "signalfd");
	return fd;
}

/*
 * What follows the machine's making: the last things that need privileges, then the guest. An
 * error up to there is still seen by who waits for -daemonize.
 */
static bool run(Machine *machine, const VmConfig *config, int *ready_fd, int *status,
		GError **error)
{
	if (config->run_as && !process_run_as(config->run_as, error)) {
		g_prefix_error(error, "-runas: ");
		return false;
	}
	if (config->daemonize) {
		process_ready(ready_fd);
		log_detach();
	}
	if (config->sandbox &&
	    !sandbox_apply(config->vncs->len ? SANDBOX_MAIN_VNC : SANDBOX_MAIN, error)) {
		g_prefix_error(error, "-sandbox on: ");
		return false;
	}
	return machine_run(machine, status, error);
}

/* Make the machine and run it to its end; false and @error when it does not come to that. */
static bool serve(const VmConfig *config, int *ready_fd, int *status, GError **error)
{
	g_autoptr(Monitor) monitor = monitor_new(NULL);
	FdSetOpener fd_sets = monitor_fd_sets(monitor);
	autofd int signal_fd = open_signals(error);
	g_autoptr(Machine) machine = NULL;
	bool done;

	if (signal_fd < 0 || !monitor_add_fds(monitor, config, error))
		return false;
	machine = machine_new(config, monitor_event_sink(monitor), &fd_sets, error);
	if (!machine || !monitor_start(monitor, machine, error))
		return false;
	g_unix_fd_add(signal_fd, G_IO_IN, end_by_signal, machine);
	/* What reading a configuration and images took is not needed again. */
	malloc_trim(0);
	done = run(machine, config, ready_fd, status, error);
	monitor_stop(monitor);
	return done;
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(VmConfig) config = vm_config_parse(argc, argv, &error);
	autofd int ready_fd = -1, pid_fd = -1;
	int status = EXIT_FAILURE;

	if (!config)
		return fail(error);
	if (config->help != VM_HELP_NONE)
		return print_help(config);
	if (config->daemonize && !process_daemonize(&ready_fd, &error))
		return fail(error);
	process_limit_stacks();
	sandbox_prepare();
	if (!log_init(config->log_file, config->log_timestamps, &error))
		return fail(error);
	if (config->pid_file) {
		pid_fd = process_write_pid_file(config->pid_file, &error);
		if (pid_fd < 0)
			return fail(error);
	}
	if (!serve(config, &ready_fd, &status, &error))
		status = fail(error);
	if (config->pid_file)
		unlink(config->pid_file);
#ifdef VIREO_SANITIZERS
	/* The leak check at exit attaches to the threads, which the filter forbids. */
	if (config->sandbox)
		_exit(status);
#endif
	return status;
}
