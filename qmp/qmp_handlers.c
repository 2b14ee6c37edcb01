/*
 * qmp_handlers.c: the commands that need no machine: introspection and descriptors
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <unistd.h>

#include "qapi-commands.h"
#include "qapi-introspect.h"
#include "qmp/qmp_error.h"
#include "qmp/qmp_session.h"

/* control.json */

QapiVersionInfo *qmp_query_version(QmpContext *ctx, GError **error)
{
	QapiVersionInfo *info = g_new0(QapiVersionInfo, 1);
	g_auto(GStrv) numbers = g_strsplit(PACKAGE_VERSION, ".", 3);
	guint n_numbers = g_strv_length(numbers);

	(void)ctx;
	(void)error;
	info->qemu = g_new0(QapiVersionTriple, 1);
	info->qemu->major = n_numbers > 0 ? g_ascii_strtoll(numbers[0], NULL, 10) : 0;
	info->qemu->minor = n_numbers > 1 ? g_ascii_strtoll(numbers[1], NULL, 10) : 0;
	info->qemu->micro = n_numbers > 2 ? g_ascii_strtoll(numbers[2], NULL, 10) : 0;
	info->package = g_strdup("vireo-" PACKAGE_VERSION);
	return info;
}

json_object *qmp_greeting_version(void)
{
	g_autoptr(QapiVersionInfo) info = qmp_query_version(NULL, NULL);

	return qapi_format_VersionInfo(info);
}

static void add_command(const QmpCommand *command, void *data)
{
	QapiCommandInfo *info = g_new0(QapiCommandInfo, 1);

	info->name = g_strdup(command->name);
	g_ptr_array_add(data, info);
}

GPtrArray *qmp_query_commands(QmpContext *ctx, GError **error)
{
	GPtrArray *list = qapi_list_new_CommandInfo();

	(void)error;
	qmp_server_foreach_command(qmp_context_server(ctx), add_command, list);
	return list;
}

/* introspect.json */

GPtrArray *qmp_query_qmp_schema(QmpContext *ctx, GError **error)
{
	g_autoptr(GPtrArray) list = qapi_list_new_SchemaInfo();

	(void)ctx;
	for (const char *const *text = qapi_introspection; *text; text++) {
		json_object *object = json_tokener_parse(*text);
		QapiSchemaInfo *info = qapi_parse_SchemaInfo(object, QAPI_PARSE_STRICT, error);

		json_object_put(object);
		if (!info)
			return NULL;
		g_ptr_array_add(list, info);
	}
	return g_steal_pointer(&list);
}

/* fds.json */

bool qmp_getfd(QmpContext *ctx, const char *fdname, GError **error)
{
	int fd = qmp_context_take_fd(ctx, error);

	return fd >= 0 && qmp_fds_put(qmp_context_fds(ctx), fdname, fd, error);
}

bool qmp_closefd(QmpContext *ctx, const char *fdname, GError **error)
{
	int fd = qmp_fds_take(qmp_context_fds(ctx), fdname, error);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

QapiAddfdInfo *qmp_add_fd(QmpContext *ctx, bool has_fdset_id, int64_t fdset_id, const char *opaque,
			  GError **error)
{
	QapiAddfdInfo *info;
	int64_t set;
	int fd;

	if (has_fdset_id && fdset_id < 0) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "Parameter 'fdset-id' expects a non-negative value");
		return NULL;
	}
	fd = qmp_context_take_fd(ctx, error);
	if (fd < 0)
		return NULL;
	set = qmp_fds_set_add(qmp_context_fds(ctx), has_fdset_id ? fdset_id : -1, opaque, fd,
			      error);
	if (set < 0)
		return NULL;
	info = g_new0(QapiAddfdInfo, 1);
	info->fdset_id = set;
	info->fd = fd;
	return info;
}

bool qmp_remove_fd(QmpContext *ctx, int64_t fdset_id, bool has_fd, int64_t fd, GError **error)
{
	if (has_fd && (fd < 0 || fd > G_MAXINT)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "Parameter 'fd' expects a descriptor");
		return false;
	}
	return qmp_fds_set_remove(qmp_context_fds(ctx), fdset_id, has_fd ? (int)fd : -1, error);
}

static void add_set_member(int64_t set, int fd, const char *opaque, void *data)
{
	GPtrArray *sets = data;
	QapiFdsetInfo *info = sets->len ? g_ptr_array_index(sets, sets->len - 1) : NULL;
	QapiFdsetFdInfo *member = g_new0(QapiFdsetFdInfo, 1);

	/* The members of a set come one after the other. */
	if (!info || info->fdset_id != set) {
		info = g_new0(QapiFdsetInfo, 1);
		info->fdset_id = set;
		info->fds = qapi_list_new_FdsetFdInfo();
		g_ptr_array_add(sets, info);
	}
	member->fd = fd;
	member->opaque = g_strdup(opaque);
	g_ptr_array_add(info->fds, member);
}

GPtrArray *qmp_query_fdsets(QmpContext *ctx, GError **error)
{
	GPtrArray *sets = qapi_list_new_FdsetInfo();

	(void)error;
	qmp_fds_set_foreach(qmp_context_fds(ctx), add_set_member, sets);
	return sets;
}
