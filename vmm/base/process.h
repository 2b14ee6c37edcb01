/*
 * process.h: what a daemon does to itself: background, pid file, user, memory
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * Fork. The parent waits, and exits with status 0 once the child calls process_ready(), or with 1
 * when the child ends before that; only the child returns, in a session of its own. *@ready_fd is
 * for process_ready(). False and @error when there can be no child. Before any thread is made.
 */
bool process_daemonize(int *ready_fd, GError **error);

/* Tell the parent that all is well, and let go of the terminal. Closes *@ready_fd. */
void process_ready(int *ready_fd);

/*
 * Create @path, lock it for the life of the process, and write the process id into it. Returns
 * the descriptor that holds the lock, or -1 and @error when another process has it.
 */
int process_write_pid_file(const char *path, GError **error);

/*
 * Become @user (a name, or "UID:GID") for good, with its groups. False and @error when there is
 * none or the process may not.
 */
bool process_run_as(const char *user, GError **error);

/*
 * Have threads made from now on take stacks that are large enough for anything of ours, instead of
 * the host's default. Of that (8 MiB) a host whose transparent_hugepage is "always" may make 2 MiB
 * present at the first touch, and mlockall() all of it. Before any thread is made.
 */
void process_limit_stacks(void);
