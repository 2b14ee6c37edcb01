/*
 * process.c: what a daemon does to itself: background, pid file, user, memory
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/process.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the parent: end as the child says. A child that dies without a word closes the pipe. */
static _Noreturn void wait_for_child(int fd)
{
	char byte;
	ssize_t got;

	do {
		got = read(fd, &byte, 1);
	} while (got < 0 && errno == EINTR);
	_exit(got == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool process_daemonize(int *ready_fd, GError **error)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_fail_errno(error, errno, "pipe");
	child = fork();
	if (child < 0) {
		int errnum = errno;

		close(ends[0]);
		close(ends[1]);
		return error_fail_errno(error, errnum, "fork");
	}
	if (child > 0) {
		close(ends[1]);
		wait_for_child(ends[0]);
	}
	close(ends[0]);
	*ready_fd = ends[1];
	setsid();
	return true;
}

void process_ready(int *ready_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ssize_t written;

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	do {
		written = write(*ready_fd, "", 1);
	} while (written < 0 && errno == EINTR);
	fd_close(ready_fd);
}

int process_write_pid_file(const char *path, GError **error)
{
	/* The lock of fcntl(2) goes with the process, whatever else happens to the file. */
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	autofd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());

	if (fd < 0) {
		error_fail_errno(error, errno, "cannot open %s", path);
		return -1;
	}
	if (fcntl(fd, F_SETLK, &lock) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			error_fail(error, "another process holds %s", path);
		else
			error_fail_errno(error, errno, "cannot lock %s", path);
		return -1;
	}
	if (ftruncate(fd, 0) < 0 || write(fd, text, strlen(text)) < 0) {
		error_fail_errno(error, errno, "cannot write %s", path);
		return -1;
	}
	return fd_steal(&fd);
}

/* "UID:GID" in decimal. */
static bool parse_ids(const char *text, uid_t *uid, gid_t *gid)
{
	char *end;
	guint64 value;

	if (!g_ascii_isdigit(*text))
		return false;
	value = g_ascii_strtoull(text, &end, 10);
	if (*end != ':' || value >= UINT32_MAX || !g_ascii_isdigit(end[1]))
		return false;
	*uid = (uid_t)value;
	value = g_ascii_strtoull(end + 1, &end, 10);
	*gid = (gid_t)value;
	return *end == '\0' && value < UINT32_MAX;
}

bool process_run_as(const char *user, GError **error)
{
	const struct passwd *entry = NULL;
	uid_t uid;
	gid_t gid;
	bool has_groups;

	if (!parse_ids(user, &uid, &gid)) {
		entry = getpwnam(user);
		if (!entry)
			return error_fail(error, "there is no user '%s'", user);
		uid = entry->pw_uid;
		gid = entry->pw_gid;
	}
	has_groups = entry ? initgroups(entry->pw_name, gid) == 0 : setgroups(1, &gid) == 0;
	if (!has_groups || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_fail_errno(error, errno, "cannot become user '%s'", user);
	/* A process that can go back has not gone. */
	if (uid != 0 && setuid(0) == 0)
		return error_fail(error, "user '%s' can become root again", user);
	return true;
}

/* Below the 2 MiB of a huge page. The deepest are TLS of VNC clients and the log's formatting. */
#ifdef VIREO_SANITIZERS
#define STACK_SIZE (1024 * 1024)
#else
#define STACK_SIZE (512 * 1024)
#endif

void process_limit_stacks(void)
{
	pthread_attr_t attributes;

	if (pthread_attr_init(&attributes) != 0)
		return;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_setattr_default_np(&attributes);
	pthread_attr_destroy(&attributes);
}
