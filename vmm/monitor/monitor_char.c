/*
 * monitor_char.c: QMP commands of schemas/char.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "qmp/qmp_fds.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/chardev/chardev.h"
#include "vmm/chardev/chardev_config.h"
#include "vmm/machine/machine.h"

/* The most that one ringbuf-read returns, bytes. */
#define RINGBUF_READ_MAX (1u << 20)

static void append_chardev(Chardev *chardev, gpointer data)
{
	QapiChardevInfo *info = g_new0(QapiChardevInfo, 1);

	info->label = g_strdup(chardev_id(chardev));
	info->filename = chardev_filename(chardev);
	info->frontend_open = chardev_front_end_is_open(chardev);
	g_ptr_array_add(data, info);
}

GPtrArray *qmp_query_chardev(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_ChardevInfo();

	chardevs_foreach(machine_chardevs(qmp_context_machine(ctx)), append_chardev, list);
	return list;
}

/* The address of a socket; a descriptor is one that getfd has stored. */
static bool config_set_address(ChardevConfig *config, const QapiSocketAddressLegacy *address,
			       QmpFds *fds, GError **error)
{
	switch (address->type) {
	case QAPI_SOCKET_ADDRESS_TYPE_UNIX:
		config->address = CHARDEV_ADDRESS_UNIX;
		config->path = g_strdup(address->u.q_unix.data->path);
		config->abstract = address->u.q_unix.data->abstract;
		return true;
	case QAPI_SOCKET_ADDRESS_TYPE_INET:
		config->address = CHARDEV_ADDRESS_INET;
		config->host = g_strdup(address->u.inet.data->host);
		config->port = g_strdup(address->u.inet.data->port);
		config->ipv4 = !address->u.inet.data->has_ipv4 || address->u.inet.data->ipv4;
		config->ipv6 = !address->u.inet.data->has_ipv6 || address->u.inet.data->ipv6;
		return true;
	case QAPI_SOCKET_ADDRESS_TYPE_FD:
		config->address = CHARDEV_ADDRESS_FD;
		config->fd = qmp_fds_take(fds, address->u.fd.data->str, error);
		return config->fd >= 0;
	}
	return error_fail(error, "address type %d is unknown", address->type);
}

static bool config_set_socket(ChardevConfig *config, const QapiChardevSocket *socket, QmpFds *fds,
			      GError **error)
{
	config->server = !socket->has_server || socket->server;
	config->wait = socket->has_wait && socket->wait;
	config->nodelay = socket->nodelay;
	if (config->wait)
		return error_fail(error, "'wait' would block the monitor: it is for the command line");
	if (socket->has_reconnect) {
		if (config->server || socket->reconnect < 0 || socket->reconnect > G_MAXINT)
			return error_fail(error, "'reconnect' is for clients, in seconds from 0");
		config->reconnect_s = (unsigned)socket->reconnect;
	}
	return config_set_address(config, socket->addr, fds, error);
}

static void config_set_log(ChardevConfig *config, const char *log_path, bool log_append)
{
	config->log_path = g_strdup(log_path);
	config->log_append = log_append;
}

static bool config_set_backend(ChardevConfig *config, const QapiChardevBackend *backend,
			       QmpFds *fds, GError **error)
{
	switch (backend->type) {
	case QAPI_CHARDEV_BACKEND_KIND_FILE:
		config->kind = CHARDEV_FILE;
		config->path = g_strdup(backend->u.file.data->out);
		config->append = backend->u.file.data->append;
		config_set_log(config, backend->u.file.data->logfile,
			       backend->u.file.data->logappend);
		return true;
	case QAPI_CHARDEV_BACKEND_KIND_SOCKET:
		config->kind = CHARDEV_SOCKET;
		config_set_log(config, backend->u.socket.data->logfile,
			       backend->u.socket.data->logappend);
		return config_set_socket(config, backend->u.socket.data, fds, error);
	case QAPI_CHARDEV_BACKEND_KIND_PTY:
		config->kind = CHARDEV_PTY;
		config_set_log(config, backend->u.pty.data->logfile, backend->u.pty.data->logappend);
		return true;
	case QAPI_CHARDEV_BACKEND_KIND_NULL:
		config->kind = CHARDEV_NULL;
		config_set_log(config, backend->u.null.data->logfile,
			       backend->u.null.data->logappend);
		return true;
	case QAPI_CHARDEV_BACKEND_KIND_STDIO:
		config->kind = CHARDEV_STDIO;
		config->stdio_signal =
			!backend->u.stdio.data->has_signal || backend->u.stdio.data->signal;
		config_set_log(config, backend->u.stdio.data->logfile,
			       backend->u.stdio.data->logappend);
		return true;
	case QAPI_CHARDEV_BACKEND_KIND_RINGBUF:
		config->kind = CHARDEV_RINGBUF;
		config->size = CHARDEV_RINGBUF_DEFAULT_SIZE;
		if (backend->u.ringbuf.data->has_size) {
			if (!chardev_ringbuf_check_size((uint64_t)backend->u.ringbuf.data->size,
							error))
				return false;
			config->size = (uint32_t)backend->u.ringbuf.data->size;
		}
		config_set_log(config, backend->u.ringbuf.data->logfile,
			       backend->u.ringbuf.data->logappend);
		return true;
	case QAPI_CHARDEV_BACKEND_KIND_QEMU_VDAGENT:
		config->kind = CHARDEV_VDAGENT;
		config->clipboard = backend->u.qemu_vdagent.data->clipboard;
		config_set_log(config, backend->u.qemu_vdagent.data->logfile,
			       backend->u.qemu_vdagent.data->logappend);
		return true;
	}
	return error_fail(error, "chardev kind %d is unknown", backend->type);
}

QapiChardevReturn *qmp_chardev_add(QmpContext *ctx, const char *id,
				   const QapiChardevBackend *backend, GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	g_autoptr(ChardevConfig) config = g_new0(ChardevConfig, 1);
	QapiChardevReturn *reply;
	Chardev *chardev;

	config->id = g_strdup(id);
	config->fd = -1;
	if (!config_set_backend(config, backend, qmp_context_fds(ctx), error))
		return NULL;
	chardev = chardevs_add(machine_chardevs(machine), config, error);
	if (!chardev) {
		fd_close(&config->fd);
		return NULL;
	}
	reply = g_new0(QapiChardevReturn, 1);
	if (config->kind == CHARDEV_PTY) {
		g_autofree char *filename = chardev_filename(chardev);

		reply->pty = g_strdup(filename + strlen("pty:"));
	}
	return reply;
}

bool qmp_chardev_remove(QmpContext *ctx, const char *id, GError **error)
{
	return chardevs_remove(machine_chardevs(qmp_context_machine(ctx)), id, error);
}

char *qmp_ringbuf_read(QmpContext *ctx, const char *device, int64_t size, bool has_format,
		       QapiDataFormat format, GError **error)
{
	Chardev *chardev = chardevs_find(machine_chardevs(qmp_context_machine(ctx)), device);
	g_autofree uint8_t *data = NULL;
	size_t got;

	if (!chardev) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND,
			    "Device '%s' not found", device);
		return NULL;
	}
	if (chardev_kind(chardev) != CHARDEV_RINGBUF) {
		error_fail(error, "chardev '%s' is not a ringbuf", device);
		return NULL;
	}
	if (size <= 0) {
		error_fail(error, "parameter 'size' must be greater than zero");
		return NULL;
	}
	size = MIN(size, (int64_t)RINGBUF_READ_MAX);
	data = g_malloc((gsize)size);
	got = chardev_ringbuf_read(chardev, data, (size_t)size);
	if (has_format && format == QAPI_DATA_FORMAT_BASE64)
		return g_base64_encode(data, got);
	/* What the guest wrote may be anything; JSON strings are UTF-8. */
	return g_utf8_make_valid((const char *)data, (gssize)got);
}
