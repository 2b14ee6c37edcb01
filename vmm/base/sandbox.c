/*
 * sandbox.c: which system calls a thread may make
 *
 * The filters are compiled when Vireo is built, by sandbox_gen.c: at run time this is one system
 * call per thread, and no library.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/sandbox.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Filters and names of system calls: made by sandbox_gen.c. */
#include "sandbox-filters.h"

static const struct {
	const char *name;
	const struct sock_filter *filter;
	unsigned short size;
} kinds[SANDBOX_N_THREADS] = {
	[SANDBOX_MAIN] = { "main", main_filter, G_N_ELEMENTS(main_filter) },
	[SANDBOX_MAIN_VNC] = { "main", main_vnc_filter, G_N_ELEMENTS(main_vnc_filter) },
	[SANDBOX_VCPU] = { "vCPU", vcpu_filter, G_N_ELEMENTS(vcpu_filter) },
	[SANDBOX_IO] = { "I/O", io_filter, G_N_ELEMENTS(io_filter) },
	[SANDBOX_IO_LOCKED] = { "I/O", io_locked_filter, G_N_ELEMENTS(io_locked_filter) },
};

static __thread SandboxThread current_kind;

/* Async-signal-safe: append @text to @line. */
static void append(char line[static 256], const char *text)
{
	size_t length = strlen(line);

	while (*text && length < 254)
		line[length++] = *text++;
	line[length] = '\0';
}

static void append_number(char line[static 256], unsigned number)
{
	char digits[12] = {};
	int i = sizeof(digits) - 1;

	do {
		digits[--i] = '0' + number % 10;
		number /= 10;
	} while (number > 0);
	append(line, digits + i);
}

static void on_violation(int signal_number, siginfo_t *info, void *context)
{
	unsigned call = info->si_syscall;
	char line[256] = "vireo: the ";

	(void)signal_number;
	(void)context;
	append(line, kinds[current_kind].name);
	append(line, " thread made the forbidden system call ");
	if (call < G_N_ELEMENTS(call_names))
		append(line, call_name_text + call_names[call]);
	append(line, " (");
	append_number(line, call);
	append(line, ")\n");
	if (write(STDERR_FILENO, line, strlen(line)) < 0) {
		/* Nothing can be done about it here. */
	}
	/*
	 * The action is the default one again (SA_RESETHAND), so another violation ends the process
	 * as if nobody had looked: no list has this call, which does nothing with these arguments.
	 */
	syscall(SYS_reboot, 0, 0, 0, 0);
	_exit(1);
}

void sandbox_prepare(void)
{
	struct sigaction action = {
		.sa_sigaction = on_violation,
		.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER,
	};

	sigaction(SIGSYS, &action, NULL);
	/* The first gmtime_r(), of a message or the RTC, reads the time zone: a file. */
	tzset();
	/*
	 * An arena of a thread's own opens files of the kernel's at bad moments: how many processors
	 * there are before it is made, how memory is overcommitted before it gives some back. And
	 * what Vireo allocates is little, none of it for the guest's data.
	 */
	mallopt(M_ARENA_MAX, 1);
}

bool sandbox_apply(SandboxThread kind, GError **error)
{
	struct sock_fprog program = {
		.len = kinds[kind].size,
		.filter = (struct sock_filter *)kinds[kind].filter,
	};
	sigset_t set;

	current_kind = kind;
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);

	/* No speculation barriers on account of this: a guest's vCPU thread would pay for them. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		    &program) < 0)
		return error_fail_errno(error, errno,
					"cannot restrict the system calls of the %s thread",
					kinds[kind].name);
	return true;
}
