/*
 * vnc_connection.c: what a VNC client does, from its thread to the main thread
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib-unix.h>

#include "vmm/base/fd.h"
#include "vmm/display/input.h"
#include "vmm/display/vnc_internal.h"

static bool get_password(void *opaque, char password[static VNC_PASSWORD_MAX + 1])
{
	const VncConnection *connection = opaque;
	VncServer *server = connection->server;
	bool good;

	g_mutex_lock(&server->lock);
	good = server->password[0] && server->expires > g_get_real_time() / G_USEC_PER_SEC;
	memcpy(password, server->password, sizeof(server->password));
	g_mutex_unlock(&server->lock);
	return good;
}

static void on_identified(void *opaque, const char *subject)
{
	VncConnection *connection = opaque;

	g_mutex_lock(&connection->lock);
	connection->subject = g_strdup(subject);
	g_mutex_unlock(&connection->lock);
}

/* Leave @action to the main thread; where it is behind, wait for it. */
static void put_action(VncConnection *connection, const VncAction *action)
{
	g_mutex_lock(&connection->lock);
	while (connection->n_actions == VNC_ACTIONS && !connection->abandoned)
		g_cond_wait(&connection->room, &connection->lock);
	if (!connection->abandoned) {
		unsigned at = (connection->first + connection->n_actions++) % VNC_ACTIONS;

		connection->actions[at] = *action;
		fd_event_signal(connection->wake_fd);
	}
	g_mutex_unlock(&connection->lock);
}

static void on_ready(void *opaque, bool shared)
{
	put_action(opaque, &(VncAction){ .kind = VNC_ACTION_READY, .down = shared });
}

static void on_key(void *opaque, uint32_t keysym, unsigned scan, bool down)
{
	put_action(opaque,
		   &(VncAction){
			   .kind = VNC_ACTION_KEY, .keysym = keysym, .scan = scan, .down = down });
}

static void on_pointer(void *opaque, unsigned x, unsigned y, unsigned buttons)
{
	put_action(opaque, &(VncAction){ .kind = VNC_ACTION_POINTER,
					 .x = MIN(x, DISPLAY_SIZE_MAX),
					 .y = MIN(y, DISPLAY_SIZE_MAX),
					 .buttons = buttons });
}

static bool on_suggest_size(void *opaque, unsigned width, unsigned height)
{
	VncConnection *connection = opaque;

	if (!connection->server->takes_size)
		return false;
	put_action(connection, &(VncAction){ .kind = VNC_ACTION_SIZE, .x = width, .y = height });
	return true;
}

/* Only the last text counts, so that no more than one waits. */
static void on_copied(void *opaque, const char *text, size_t size)
{
	VncConnection *connection = opaque;
	g_autoptr(GBytes) before = NULL;

	g_mutex_lock(&connection->lock);
	before = connection->copied;
	connection->copied = g_bytes_new(text, size);
	g_mutex_unlock(&connection->lock);
	if (!before)
		put_action(connection, &(VncAction){ .kind = VNC_ACTION_COPIED });
}

static void on_closed(void *opaque)
{
	put_action(opaque, &(VncAction){ .kind = VNC_ACTION_CLOSED });
}

const VncClientOps vnc_client_ops = {
	.get_password = get_password,
	.identified = on_identified,
	.ready = on_ready,
	.key = on_key,
	.pointer = on_pointer,
	.suggest_size = on_suggest_size,
	.copied = on_copied,
	.closed = on_closed,
	.surface_ref = display_surface_ref,
	.surface_unref = display_surface_unref,
	.cursor_ref = display_cursor_ref,
	.cursor_unref = display_cursor_unref,
};

/* The actions are told by the descriptor, and taken by whom @data of the source's callback is. */
static gboolean actions_wait(int fd, GIOCondition condition, gpointer data)
{
	VncConnection *connection = data;

	(void)condition;
	fd_event_take(fd);
	return connection->carry_out(connection);
}

VncConnection *vnc_connection_new(VncServer *server, int fd, GSourceFunc carry_out)
{
	VncConnection *connection = g_new0(VncConnection, 1);

	connection->server = server;
	connection->carry_out = carry_out;
	vnc_address_of(fd, true, &connection->host, &connection->service, &connection->family);
	g_mutex_init(&connection->lock);
	g_cond_init(&connection->room);
	connection->wake_fd = fd_new_event(NULL);
	if (connection->wake_fd < 0)
		return connection;
	connection->source = g_unix_fd_source_new(connection->wake_fd, G_IO_IN);
	g_source_set_callback(connection->source, G_SOURCE_FUNC(actions_wait), connection, NULL);
	g_source_attach(connection->source, NULL);
	return connection;
}

void vnc_connection_abandon(VncConnection *connection)
{
	g_mutex_lock(&connection->lock);
	connection->abandoned = true;
	g_cond_signal(&connection->room);
	g_mutex_unlock(&connection->lock);
}

void vnc_connection_free(VncConnection *connection)
{
	if (connection->clipboard)
		clipboard_leave(connection->clipboard);
	if (connection->client)
		connection->server->module->free(connection->client);
	if (connection->source) {
		g_source_destroy(connection->source);
		g_source_unref(connection->source);
	}
	fd_close(&connection->wake_fd);
	g_mutex_clear(&connection->lock);
	g_cond_clear(&connection->room);
	g_free(connection->host);
	g_free(connection->service);
	g_free(connection->subject);
	g_bytes_unref(connection->copied);
	g_free(connection);
}

bool vnc_take_action(VncConnection *connection, VncAction *action)
{
	bool any;

	g_mutex_lock(&connection->lock);
	any = connection->n_actions > 0;
	if (any) {
		*action = connection->actions[connection->first];
		connection->first = (connection->first + 1) % VNC_ACTIONS;
		connection->n_actions--;
		g_cond_signal(&connection->room);
	}
	g_mutex_unlock(&connection->lock);
	return any;
}

GBytes *vnc_take_copied(VncConnection *connection)
{
	GBytes *copied;

	g_mutex_lock(&connection->lock);
	copied = g_steal_pointer(&connection->copied);
	g_mutex_unlock(&connection->lock);
	return copied;
}

void vnc_note_key(VncConnection *connection, unsigned code, bool down)
{
	if (down)
		connection->keys[code / 8] |= (uint8_t)(1u << code % 8);
	else
		connection->keys[code / 8] &= (uint8_t) ~(1u << code % 8);
}

void vnc_release_keys(VncConnection *connection)
{
	InputRouter *input = display_input(connection->server->display);

	for (unsigned code = 0; code < INPUT_KEY_CODES; code++) {
		if (connection->keys[code / 8] & 1u << code % 8)
			input_key(input, NULL, code, false);
	}
	input_sync(input);
}

QapiVncBasicInfo *vnc_basic_info(const VncConnection *connection)
{
	QapiVncBasicInfo *info = g_new0(QapiVncBasicInfo, 1);

	info->host = g_strdup(connection->host);
	info->service = g_strdup(connection->service);
	info->family = connection->family;
	return info;
}

QapiVncClientInfo *vnc_client_info(VncConnection *connection)
{
	QapiVncClientInfo *info = g_new0(QapiVncClientInfo, 1);

	info->host = g_strdup(connection->host);
	info->service = g_strdup(connection->service);
	info->family = connection->family;
	g_mutex_lock(&connection->lock);
	info->x509_dname = g_strdup(connection->subject);
	g_mutex_unlock(&connection->lock);
	return info;
}
