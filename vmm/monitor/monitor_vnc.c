/*
 * monitor_vnc.c: QMP commands of schemas/ui.json that are about VNC
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "qmp/qmp_fds.h"
#include "vmm/base/error.h"
#include "vmm/display/vnc.h"
#include "vmm/machine/machine.h"

/* The server called @id (NULL: the one there is), or NULL and @error. */
static VncServer *find_server(QmpContext *ctx, const char *id, GError **error)
{
	VncServer *server = machine_vnc(qmp_context_machine(ctx));

	if (!server || (id && strcmp(id, vnc_server_id(server)) != 0)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND,
			    "there is no VNC server%s%s", id ? " " : "", id ? id : "");
		return NULL;
	}
	return server;
}

QapiVncInfo *qmp_query_vnc(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	const VncServer *server = machine_vnc(qmp_context_machine(ctx));

	return server ? vnc_server_query(server) : g_new0(QapiVncInfo, 1);
}

bool qmp_change_vnc_password(QmpContext *ctx, const char *password, GError **error)
{
	VncServer *server = find_server(ctx, NULL, error);

	return server && vnc_server_set_password(server, password, error);
}

bool qmp_set_password(QmpContext *ctx, const QapiSetPasswordOptions *options, GError **error)
{
	VncServer *server = find_server(ctx, options->u.vnc.display, error);

	return server && vnc_server_set_password(server, options->password, error);
}

/* "now", "never", "+SECONDS" or SECONDS. */
static bool parse_time(const char *text, int64_t *time, GError **error)
{
	int64_t now = g_get_real_time() / G_USEC_PER_SEC;
	bool relative = text[0] == '+';
	guint64 seconds;

	if (strcmp(text, "now") == 0) {
		*time = 0;
		return true;
	}
	if (strcmp(text, "never") == 0) {
		*time = VNC_NEVER;
		return true;
	}
	if (!g_ascii_string_to_unsigned(text + relative, 10, 0, G_MAXUINT32, &seconds, NULL))
		return error_fail(error, "'%s' is none of now, never, +SECONDS and SECONDS", text);
	*time = (int64_t)seconds + (relative ? now : 0);
	return true;
}

bool qmp_expire_password(QmpContext *ctx, const QapiExpirePasswordOptions *options, GError **error)
{
	VncServer *server = find_server(ctx, options->u.vnc.display, error);
	int64_t time = 0;

	return server && parse_time(options->time, &time, error) &&
	       vnc_server_expire_password(server, time, error);
}

bool qmp_display_reload(QmpContext *ctx, const QapiDisplayReloadOptions *options, GError **error)
{
	VncServer *server = find_server(ctx, NULL, error);

	return server && (!options->u.vnc.has_tls_certs || !options->u.vnc.tls_certs ||
			  vnc_server_reload_certificates(server, error));
}

bool qmp_add_client(QmpContext *ctx, const char *protocol, const char *fdname, bool has_skipauth,
		    bool skipauth, GError **error)
{
	VncServer *server;
	int fd;

	if (strcmp(protocol, "vnc") != 0)
		return error_fail(error, "there are no clients by protocol '%s'", protocol);
	server = find_server(ctx, NULL, error);
	if (!server)
		return false;
	fd = qmp_fds_take(qmp_context_fds(ctx), fdname, error);
	return fd >= 0 && vnc_server_add_client(server, fd, has_skipauth && skipauth, error);
}
