/*
 * qmp_command.h: what a table of commands holds and what a command handler gets
 *
 * The tables are generated (qapi-commands.c); how a handler is written is told in the generated
 * qapi-commands.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <glib.h>
#include <json-c/json.h>

typedef struct QmpContext QmpContext;
typedef struct QmpFds QmpFds;
typedef struct QmpServer QmpServer;

typedef enum {
	QMP_COMMAND_ALLOW_OOB = 1 << 0,	      /* may overtake commands that wait */
	QMP_COMMAND_ALLOW_PRECONFIG = 1 << 1, /* may come before the machine is there */
} QmpCommandFlags;

/* A command; a table of them ends with one whose name is NULL. */
typedef struct {
	const char *name;
	/*
	 * Parses the arguments @in (an object), calls the handler, and gives the
	 * reply in *@out, which stays NULL for a command without one. False with @error set.
	 */
	bool (*marshal)(QmpContext *ctx, json_object *in, json_object **out, GError **error);
	unsigned flags; /* QmpCommandFlags */
} QmpCommand;

/**
 * qmp_command_has_no_arguments: refuses arguments for a command that takes none
 * @in: the arguments, an object
 *
 * Returns: true if there are none; false with @error naming one.
 */
bool qmp_command_has_no_arguments(json_object *in, GError **error);

/* What a handler learns of the call it serves. Valid until the handler returns. */

/** qmp_context_server: the server that received the command. */
QmpServer *qmp_context_server(const QmpContext *ctx);

/** qmp_context_machine: what qmp_server_new() was given for the handlers (the Machine). */
void *qmp_context_machine(const QmpContext *ctx);

/** qmp_context_fds: the descriptors that getfd and add-fd keep on this server. */
QmpFds *qmp_context_fds(const QmpContext *ctx);

/**
 * qmp_context_take_fd: takes a descriptor that came with the command (SCM_RIGHTS)
 *
 * Returns: the first one not yet taken, now the caller's to close; -1 with @error set if there is
 * none.
 */
int qmp_context_take_fd(QmpContext *ctx, GError **error);

/**
 * qmp_context_after_reply: has something done once the reply has been handed to the client
 * @func: called in the server's main context when the reply has been written to the client's
 *        stream, or could not be; a client that does not read delays it by two seconds at most
 * @data: passed to @func
 *
 * For commands after which there is no server to send a reply, such as quit. At most one per call.
 */
void qmp_context_after_reply(QmpContext *ctx, GSourceFunc func, void *data);
