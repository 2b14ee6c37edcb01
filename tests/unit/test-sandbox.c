/*
 * test-sandbox.c: what each kind of thread may and may not call
 *
 * Each case is a child process, since a filter is for good and a violation is the end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/io_loop.h"
#include "vmm/base/io_workers.h"
#include "vmm/base/log.h"
#include "vmm/base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void do_execve(void)
{
	char *const arguments[] = { (char *)"/bin/true", NULL };

	execve("/bin/true", arguments, NULL);
}

static void do_fork(void)
{
	syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void do_mount(void)
{
	syscall(SYS_mount, "none", "/", "none", 0, NULL);
}

static void do_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void do_packet_socket(void)
{
	syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0);
}

static void do_type_into_terminal(void)
{
	ioctl(0, TIOCSTI, "x");
}

static void do_new_ring(void)
{
	struct io_uring_params params = {};

	syscall(SYS_io_uring_setup, 1, &params);
}

static void do_enter_ring(void)
{
	syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0);
}

static void do_register_buffers(void)
{
	syscall(SYS_io_uring_register, -1, IORING_REGISTER_BUFFERS, NULL, 0);
}

static void do_register_files(void)
{
	syscall(SYS_io_uring_register, -1, IORING_REGISTER_FILES, NULL, 0);
}

static void do_ftruncate(void)
{
	syscall(SYS_ftruncate, -1, 0);
}

static void do_connect(void)
{
	syscall(SYS_connect, -1, NULL, 0);
}

static const struct {
	SandboxThread kind;
	void (*function)(void);
	const char *message;
} violations[] = {
	{ SANDBOX_MAIN, do_execve, "main thread made the forbidden system call execve (59)" },
	{ SANDBOX_MAIN, do_fork, "main thread made the forbidden system call clone (56)" },
	{ SANDBOX_MAIN, do_mount, "main thread made the forbidden system call mount (165)" },
	{ SANDBOX_MAIN, do_packet_socket, "forbidden system call socket (41)" },
	{ SANDBOX_MAIN, do_type_into_terminal, "forbidden system call ioctl (16)" },
	{ SANDBOX_VCPU, do_execve, "vCPU thread made the forbidden system call execve (59)" },
	{ SANDBOX_VCPU, do_ftruncate, "vCPU thread made the forbidden system call ftruncate (77)" },
	{ SANDBOX_VCPU, do_socket, "vCPU thread made the forbidden system call socket (41)" },
	{ SANDBOX_VCPU, do_enter_ring, "forbidden system call io_uring_enter (426)" },
	{ SANDBOX_IO, do_socket, "I/O thread made the forbidden system call socket (41)" },
	{ SANDBOX_IO, do_connect, "I/O thread made the forbidden system call connect (42)" },
	{ SANDBOX_IO, do_new_ring, "forbidden system call io_uring_setup (425)" },
	{ SANDBOX_IO, do_register_buffers, "forbidden system call io_uring_register (427)" },
	{ SANDBOX_IO, do_type_into_terminal, "forbidden system call ioctl (16)" },
	{ SANDBOX_IO_LOCKED, do_register_files, "forbidden system call io_uring_register (427)" },
	{ SANDBOX_IO_LOCKED, do_new_ring, "forbidden system call io_uring_setup (425)" },
	{ SANDBOX_IO_LOCKED, do_connect, "I/O thread made the forbidden system call connect (42)" },
};

/* Run @function in a child under the filter of @kind; what it says on standard error, owned. */
static char *run(SandboxThread kind, void (*function)(void), int *status)
{
	GString *said = g_string_new(NULL);
	char buffer[1024];
	int said_pipe[2];
	ssize_t got;
	pid_t child;

	g_assert_cmpint(pipe2(said_pipe, O_CLOEXEC), ==, 0);
	child = fork();
	g_assert_cmpint(child, >=, 0);
	if (child == 0) {
		const struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(said_pipe[1], STDERR_FILENO);
		if (!sandbox_apply(kind, NULL))
			_exit(2);
		function();
		_exit(0);
	}
	close(said_pipe[1]);
	while ((got = read(said_pipe[0], buffer, sizeof(buffer))) > 0)
		g_string_append_len(said, buffer, got);
	close(said_pipe[0]);
	g_assert_cmpint(waitpid(child, status, 0), ==, child);
	return g_string_free(said, FALSE);
}

static void test_violation(gconstpointer data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	int status;
	g_autofree char *said = run(violations[i].kind, violations[i].function, &status);

	g_assert_true(g_str_has_prefix(said, "vireo: the "));
	if (!strstr(said, violations[i].message))
		g_error("said '%s'", said);
	g_assert_true(WIFSIGNALED(status));
	g_assert_cmpint(WTERMSIG(status), ==, SIGSYS);
}

/* Any failure in here ends the child with a status that is not 0. */
#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			_exit(3); \
	} while (0)

static void *thread_main(void *data)
{
	REQUIRE(sandbox_apply(SANDBOX_VCPU, NULL));
	g_free(g_malloc(100000));
	return data;
}

/* Small blocks, more than free() keeps: at the end it gives memory back to the kernel. */
static void fill_and_free(void)
{
	static _Thread_local void *blocks[4096];

	for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++)
		blocks[i] = g_malloc0(1024);
	for (size_t i = G_N_ELEMENTS(blocks); i > 0; i--)
		g_free(blocks[i - 1]);
}

static void *filler_main(void *data)
{
	REQUIRE(sandbox_apply(SANDBOX_VCPU, NULL));
	fill_and_free();
	return data;
}

/* More threads at once than malloc() gives an arena without counting processors. */
static void use_memory_in_threads(void)
{
	pthread_t threads[24];

	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		REQUIRE(pthread_create(&threads[i], NULL, filler_main, NULL) == 0);
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		REQUIRE(pthread_join(threads[i], NULL) == 0);
}

static void use_memory_and_wake(void)
{
	int fd = eventfd(0, 0);
	uint64_t one = 1;

	REQUIRE(write(fd, &one, sizeof(one)) == sizeof(one));
	REQUIRE(read(fd, &one, sizeof(one)) == sizeof(one));
	for (int i = 0; i < 10; i++)
		g_free(g_malloc0(1 << 20));
	/* Commands of KVM reach the kernel, which finds that this is no KVM. */
	REQUIRE(ioctl(fd, KVM_RUN, 0) < 0 && errno == ENOTTY);
	close(fd);
	/* Code is not to be had, which a library that asks for it survives. */
	REQUIRE(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			MAP_FAILED &&
		errno == EACCES);
	/* A log message tells the time. */
	g_message("a message");
}

static gpointer g_thread_main(gpointer data)
{
	return data;
}

/* Opened before any filter. */
static int zero_fd;

static void read_nothing(IoOperation *operation, int result)
{
	(void)operation;
	(void)result;
}

static void prepare_read(gpointer data)
{
	static IoOperation operation = { .complete = read_nothing };
	static char buffer[16];

	io_uring_prep_read(io_loop_get_sqe(data, &operation), zero_fd, buffer, sizeof(buffer), 0);
}

static int file_fd;
static gint n_works_done;

static void work_done(IoOperation *operation, int result)
{
	(void)operation;
	REQUIRE(result >= 0);
	g_atomic_int_inc(&n_works_done);
}

static void apply_io(gpointer data)
{
	(void)data;
	REQUIRE(sandbox_apply(SANDBOX_IO, NULL));
}

/* Every operation of the workers of an I/O thread. */
static void prepare_work(gpointer data)
{
	static IoOperation operations[6];
	static char buffer[16];
	static struct iovec iov = { buffer, sizeof(buffer) };

	for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
		struct io_uring_sqe *sqe;

		operations[i].complete = work_done;
		sqe = io_workers_get_sqe(data, &operations[i]);
		switch (i) {
		case 0:
			io_uring_prep_read(sqe, file_fd, buffer, sizeof(buffer), 0);
			break;
		case 1:
			io_uring_prep_write(sqe, file_fd, buffer, sizeof(buffer), 0);
			break;
		case 2:
			io_uring_prep_readv(sqe, file_fd, &iov, 1, 0);
			break;
		case 3:
			io_uring_prep_writev(sqe, file_fd, &iov, 1, 0);
			break;
		case 4:
			io_uring_prep_fsync(sqe, file_fd, IORING_FSYNC_DATASYNC);
			break;
		case 5:
			io_uring_prep_fallocate(sqe, file_fd, 0, 0, 4096);
			break;
		}
	}
}

/* The same in the threads that carry them out, started by a main thread under its filter. */
static void use_workers(void)
{
	IoLoop *loop = io_loop_new("io", apply_io, NULL, NULL);
	IoWorkers *workers;

	REQUIRE(loop);
	workers = io_workers_new(loop, 2, NULL);
	REQUIRE(workers);
	io_loop_run_sync(loop, prepare_work, workers);
	while (g_atomic_int_get(&n_works_done) < 6)
		g_usleep(1000);
	io_workers_free(workers);
	io_loop_free(loop);
}

static void wake_nothing(gpointer data)
{
	(void)data;
}

/* What adding a thread, a vCPU or an I/O thread later takes. */
static void start_threads(void)
{
	pthread_t thread;
	IoLoop *loop;

	REQUIRE(pthread_create(&thread, NULL, thread_main, NULL) == 0);
	REQUIRE(pthread_join(thread, NULL) == 0);
	g_thread_join(g_thread_new("thread", g_thread_main, NULL));
	loop = io_loop_new("io", NULL, NULL, NULL);
	REQUIRE(loop);
	io_loop_run_sync(loop, prepare_read, loop);
	io_loop_free(loop);
}

static const struct {
	const char *name;
	SandboxThread kind;
	void (*function)(void);
} uses[] = {
	{ "main/memory", SANDBOX_MAIN, use_memory_and_wake },
	{ "main/threads", SANDBOX_MAIN, start_threads },
	{ "io-locked/buffers", SANDBOX_IO_LOCKED, do_register_buffers },
	{ "main/workers", SANDBOX_MAIN, use_workers },
	{ "main/memory-in-threads", SANDBOX_MAIN, use_memory_in_threads },
	{ "vcpu/memory", SANDBOX_VCPU, use_memory_and_wake },
	{ "io/memory", SANDBOX_IO, use_memory_and_wake },
};

static void test_use(gconstpointer data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	int status;
	g_autofree char *said = run(uses[i].kind, uses[i].function, &status);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		g_error("status 0x%x, said '%s'", status, said);
}

static void io_thread_init(gpointer data)
{
	*(bool *)data = sandbox_apply(SANDBOX_IO, NULL);
}

/* An I/O loop under its filter serves posts, watches and operations. */
static void test_io_loop(void)
{
	bool applied = false;
	g_autoptr(IoLoop) loop = io_loop_new("io", io_thread_init, &applied, NULL);

	g_assert_nonnull(loop);
	g_assert_true(applied);
	for (int i = 0; i < 100; i++)
		io_loop_run_sync(loop, wake_nothing, NULL);
	io_loop_run_sync(loop, prepare_read, loop);
	io_loop_run_sync(loop, wake_nothing, NULL);
}

#define TELL_ERRORS "tell-errors"

/* In a process that has not told any yet: GLib reads files about character sets but once. */
static _Noreturn void tell_errors(void)
{
	g_autoptr(GError) error = NULL;

	sandbox_prepare();
	if (!log_init(NULL, true, NULL) || !sandbox_apply(SANDBOX_VCPU, NULL))
		_exit(2);
	error_fail_errno(&error, EIO, "disk %u", 5);
	g_message("%s; %s", error->message, error_text(ENOSPC));
	/* Not what a sanitizer does at exit. */
	_exit(0);
}

static void test_tell_errors(gconstpointer data)
{
	char *const command[] = { (char *)data, (char *)TELL_ERRORS, NULL };
	g_auto(GStrv) environment = g_environ_unsetenv(g_get_environ(), "LC_ALL");
	g_autofree char *said = NULL;
	int status;

	environment = g_environ_setenv(environment, "LANG", "C", TRUE);
	g_assert_true(g_spawn_sync(NULL, (char **)command, environment, 0, NULL, NULL, NULL, &said,
				   &status, NULL));
	if (status != 0)
		g_error("status 0x%x, said '%s'", status, said);
	g_assert_true(g_str_has_suffix(
		said, " vireo: disk 5: Input/output error; No space left on device\n"));
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], TELL_ERRORS) == 0)
		tell_errors();
	g_test_init(&argc, &argv, NULL);
	sandbox_prepare();
	zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(zero_fd, >=, 0);
	file_fd = memfd_create("file", MFD_CLOEXEC);
	g_assert_cmpint(file_fd, >=, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(violations); i++) {
		g_autofree char *path = g_strdup_printf("/sandbox/violation/%u", i);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_violation);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(uses); i++) {
		g_autofree char *path = g_strdup_printf("/sandbox/use/%s", uses[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_use);
	}
	g_test_add_func("/sandbox/io-loop", test_io_loop);
	g_test_add_data_func("/sandbox/tell-errors", argv[0], test_tell_errors);
	return g_test_run();
}
