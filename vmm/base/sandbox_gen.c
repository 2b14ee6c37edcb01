/*
 * sandbox_gen.c: compiles the system call lists into filters, when Vireo is built
 *
 * Prints the C source of one BPF program per kind of thread and a table of system call names.
 *
 * What is forbidden ends the process, so whatever a guest or a client can make a thread do must be
 * on its list. Where a library would try something forbidden and do without, it gets an error.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* The types of ioctl() commands (bits 8 to 15) that are let through as a whole. */
#define KVM_IOCTL   0xae00u
#define VHOST_IOCTL 0xaf00u

/* Memory, locks, signals, time; descriptors that are there already; log messages. */
static const char *const every_thread[] = {
	"brk",		 "clock_getres",
	"clock_gettime", "clock_nanosleep",
	"close",	 "eventfd2",
	"exit",		 "exit_group",
	"fallocate",	 "fstat",
	"futex",	 "getpeername",
	"getpid",	 "getrandom",
	"gettid",	 "gettimeofday",
	"lseek",	 "madvise",
	"membarrier",	 "mremap",
	"munmap",	 "nanosleep",
	"newfstatat",	 "poll",
	"ppoll",	 "pread64",
	"preadv",	 "preadv2",
	"pwrite64",	 "pwritev",
	"read",		 "readv",
	"recvfrom",	 "recvmsg",
	"restart_syscall", "rseq",
	"rt_sigprocmask", "rt_sigreturn",
	"rt_sigtimedwait", "sched_yield",
	"sendmsg",	 "sendto",
	"set_robust_list", "sigaltstack",
	"time",		 "tgkill",
	"write",	 "writev",
};

static const char *const io_thread[] = { "accept4",  "fdatasync",	       "fsync",	  "io_uring_enter",
					 "pwritev2", "sched_getscheduler", "shutdown" };

/* io_loop_gather() */
static const int io_thread_policies[] = { SCHED_OTHER, SCHED_BATCH };

static const char *const main_thread[] = {
	"access",
	"bind",
	"connect",
	"dup",
	"dup2",
	"dup3",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_wait",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fcntl",
	"fstatfs",
	"ftruncate",
	"getcwd",
	"getdents64",
	"getegid",
	"geteuid",
	"getgid",
	"getpgrp",
	"getppid",
	"getpriority",
	"getrlimit",
	"getrusage",
	"getsockname",
	"getsockopt",
	"getuid",
	"inotify_add_watch",
	"inotify_init1",
	"inotify_rm_watch",
	"io_uring_register",
	"io_uring_setup",
	"listen",
	"lstat",
	"mbind",
	"memfd_create",
	"mlock",
	"mlock2",
	"mlockall",
	"munlock",
	"openat",
	"pipe2",
	"prlimit64",
	"readlink",
	"readlinkat",
	"recvmmsg",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigsuspend",
	"sched_getaffinity",
	"sched_getparam",
	"sched_setaffinity",
	"seccomp",
	"sendmmsg",
	"set_mempolicy",
	"set_tid_address",
	"setsockopt",
	"signalfd4",
	"socketpair",
	"stat",
	"statfs",
	"statx",
	"sysinfo",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	"umask",
	"uname",
	"unlink",
	"unlinkat",
};

/* How libvncserver waits. */
static const char *const vnc_threads[] = { "pselect6", "select" };

/* ioctl() commands one by one: of terminals only what cannot type into them (TIOCSTI). */
static const unsigned every_thread_ioctls[] = {
	TCGETS, /* is standard error a terminal? */
	TUNSETOFFLOAD,
	TUNSETQUEUE,
};

static const unsigned main_thread_ioctls[] = {
	BLKGETSIZE64,	BLKIOOPT,  BLKPBSZGET,	BLKROGET,	 BLKSSZGET,
	FIOCLEX,	FIONBIO,   FIONREAD,	TCSETS,		 TCSETSF,
	TCSETSW,	TIOCGPTN,  TIOCGPTPEER, TIOCSPTLCK,	 TIOCGWINSZ,
	TUNGETFEATURES, TUNGETIFF, TUNSETIFF,	TUNSETVNETHDRSZ, TUNSETSNDBUF,
};

static const int main_thread_prctls[] = { PR_SET_NAME, PR_SET_NO_NEW_PRIVS };
static const int main_thread_families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

#ifdef VIREO_SANITIZERS
/* What the sanitizers' own run time does, at errors and at exit (leaks: another task, by ptrace).
 */
#define SANITIZED true
#else
#define SANITIZED false
#endif
static const char *const sanitizer_calls[] = {
	"getdents64",
	"getrlimit",
	"getppid",
	"kill",
	"open",
	"openat",
	"personality",
	"prlimit64",
	"process_vm_readv",
	"ptrace",
	"readlink",
	"rt_sigaction",
	"sched_getaffinity",
	"sysinfo",
	"wait4",
};
static const int sanitizer_prctls[] = { PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_PTRACER,
					PR_SET_VMA };

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "sandbox_gen: %s: %s\n", what, strerror(-result));
		exit(1);
	}
}

static void allow(scmp_filter_ctx filter, const char *name)
{
	int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);

	if (number == __NR_SCMP_ERROR) {
		fprintf(stderr, "sandbox_gen: there is no system call '%s'\n", name);
		exit(1);
	}
	check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), name);
}

static void allow_if(scmp_filter_ctx filter, const char *name, unsigned argument, uint64_t mask,
		     uint64_t value)
{
	check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 1,
			       SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value)),
	      name);
}

/* Memory can be had, but none that is executable: a library that wants some does without. */
static void allow_data_memory(scmp_filter_ctx filter)
{
	static const char *const names[] = { "mmap", "mprotect" };

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		allow_if(filter, names[i], 2, PROT_EXEC, 0);
		check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES),
				       seccomp_syscall_resolve_name(names[i]), 1,
				       SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)),
		      names[i]);
	}
}

static void allow_main(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < N_ELEMENTS(main_thread_ioctls); i++)
		allow_if(filter, "ioctl", 1, UINT32_MAX, main_thread_ioctls[i]);
	for (size_t i = 0; i < N_ELEMENTS(main_thread_prctls); i++)
		allow_if(filter, "prctl", 0, UINT32_MAX, main_thread_prctls[i]);
	for (size_t i = 0; i < N_ELEMENTS(main_thread_families); i++)
		allow_if(filter, "socket", 0, UINT32_MAX, main_thread_families[i]);
	/* Threads, no processes. clone3() hides its flags in memory; without it libc takes clone().
	 */
	allow_if(filter, "clone", 0, CLONE_THREAD, CLONE_THREAD);
	check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
			       seccomp_syscall_resolve_name("clone3"), 0),
	      "clone3");
}

static void allow_io(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < N_ELEMENTS(io_thread_policies); i++)
		allow_if(filter, "sched_setscheduler", 1, UINT32_MAX, io_thread_policies[i]);
}

static void allow_all(scmp_filter_ctx filter, const char *const *names, size_t n_names)
{
	for (size_t i = 0; i < n_names; i++)
		allow(filter, names[i]);
}

static void allow_sanitizers(scmp_filter_ctx filter)
{
	allow_all(filter, sanitizer_calls, N_ELEMENTS(sanitizer_calls));
	for (size_t i = 0; i < N_ELEMENTS(sanitizer_prctls); i++)
		allow_if(filter, "prctl", 0, UINT32_MAX, sanitizer_prctls[i]);
	allow_if(filter, "clone", 0, CLONE_UNTRACED, CLONE_UNTRACED);
}

/* Print @filter as an array of struct sock_filter called @name. */
static void print_filter(scmp_filter_ctx filter, const char *name)
{
	struct sock_filter instruction;
	FILE *file = tmpfile();

	if (!file) {
		perror("sandbox_gen: temporary file");
		exit(1);
	}
	check(seccomp_export_bpf(filter, fileno(file)), "export");
	rewind(file);
	printf("static const struct sock_filter %s[] = {\n", name);
	while (fread(&instruction, sizeof(instruction), 1, file) == 1)
		printf("\t{ 0x%04x, %u, %u, 0x%08x },\n", instruction.code, instruction.jt,
		       instruction.jf, instruction.k);
	printf("};\n\n");
	fclose(file);
}

/* io_loop_add_buffers(), and its end. */
static void allow_buffers(scmp_filter_ctx filter)
{
	allow_if(filter, "io_uring_register", 1, UINT32_MAX, IORING_REGISTER_BUFFERS);
	allow_if(filter, "io_uring_register", 1, UINT32_MAX, IORING_UNREGISTER_BUFFERS);
}

/* What a thread does, beside what every one does. */
enum { MAIN = 1, IO = 2, BUFFERS = 4, VNC = 8 };

static void make_filter(const char *name, unsigned what)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);

	if (!filter) {
		fputs("sandbox_gen: no memory\n", stderr);
		exit(1);
	}
	check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "arch");
	/* A binary tree: the number of a call is found in nine steps, not in two hundred. */
	check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimize");

	allow_all(filter, every_thread, N_ELEMENTS(every_thread));
	if (what & (IO | MAIN)) {
		allow_all(filter, io_thread, N_ELEMENTS(io_thread));
		allow_io(filter);
	}
	if (what & BUFFERS)
		allow_buffers(filter);
	if (what & MAIN)
		allow_all(filter, main_thread, N_ELEMENTS(main_thread));
	if (what & VNC)
		allow_all(filter, vnc_threads, N_ELEMENTS(vnc_threads));
	allow_data_memory(filter);
	allow_if(filter, "ioctl", 1, 0xff00, KVM_IOCTL);
	allow_if(filter, "ioctl", 1, 0xff00, VHOST_IOCTL);
	for (size_t i = 0; i < N_ELEMENTS(every_thread_ioctls); i++)
		allow_if(filter, "ioctl", 1, UINT32_MAX, every_thread_ioctls[i]);
	if (what & MAIN)
		allow_main(filter);
	if (SANITIZED)
		allow_sanitizers(filter);
	print_filter(filter, name);
	seccomp_release(filter);
}

/* Print the names of all system calls: one text, and by number where in it a name starts. */
static void print_names(void)
{
	enum { COUNT = 512 };
	unsigned offsets[COUNT], last = 0, used = 1;

	printf("static const char call_name_text[] =\n\t\"\\0\"");
	for (int number = 0; number < COUNT; number++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);

		offsets[number] = 0;
		if (!name)
			continue;
		printf("\n\t\"%s\\0\"", name);
		offsets[number] = used;
		used += strlen(name) + 1;
		last = number;
		free(name);
	}
	printf(";\n\nstatic const uint16_t call_names[] = {\n");
	for (unsigned number = 0; number <= last; number++)
		printf("\t%u,\n", offsets[number]);
	printf("};\n");
}

int main(void)
{
	puts("/* Generated by sandbox_gen.c: do not edit. */\n");
	make_filter("main_filter", MAIN);
	make_filter("main_vnc_filter", MAIN | VNC);
	make_filter("vcpu_filter", 0);
	make_filter("io_filter", IO);
	make_filter("io_locked_filter", IO | BUFFERS);
	print_names();
	return 0;
}
