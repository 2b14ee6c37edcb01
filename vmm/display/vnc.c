/*
 * vnc.c: the VNC server of a machine (-vnc)
 *
 * What the clients do comes from their threads (vnc_module.h) and is carried out on the main
 * thread, from a ring for each client: one that sends faster than it is taken waits. While there
 * are clients a timer asks the console for news, the more seldom the longer there are none.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/socket.h"
#include "vmm/display/input.h"
#include "vmm/display/input_keys.h"
#include "vmm/display/vnc.h"
#include "vmm/display/vnc_internal.h"

/* Between two looks at the console, ms. */
#define REFRESH_FASTEST 30u
#define REFRESH_SLOWEST 500u
/* How often at most the guest is told of a window's size, ms. */
#define SIZE_DELAY 300u
/* How long a rest from new clients is, ms. */
#define REST 1000u
/* Connections at once, also those that have not passed yet. */
#define CONNECTIONS_MAX 32u
/* How many of them may not have passed. */
#define STRANGERS_MAX 16u

static const char *module_directory(void)
{
	const char *directory = g_getenv("VIREO_MODULE_DIR");

	return directory ? directory : VIREO_MODULE_DIR;
}

static bool load_module(VncServer *server, GError **error)
{
	g_autofree char *path = g_build_filename(module_directory(), "vireo-vnc.so", NULL);
	/* It stays: threads and handlers of the libraries that it brings may, too. */
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	server->module = handle ? dlsym(handle, VNC_MODULE_SYMBOL) : NULL;
	if (!server->module) {
		error_fail(error, "the VNC module is not installed: %s", dlerror());
		return false;
	}
	if (server->module->version != VNC_MODULE_VERSION)
		return error_fail(error, "%s is of another version of Vireo", path);
	return true;
}

/* The console, watched while a client looks. */

static void tell_surface(void *opaque, DisplaySurface *surface)
{
	VncServer *server = opaque;

	display_surface_unref(server->surface);
	server->surface = display_surface_ref(surface);
	for (unsigned i = 0; i < server->connections->len; i++) {
		const VncConnection *connection = server->connections->pdata[i];

		server->module->set_surface(connection->client, surface);
	}
}

static void tell_damage(void *opaque, const DisplayRect *rect)
{
	VncServer *server = opaque;

	for (unsigned i = 0; i < server->connections->len; i++) {
		const VncConnection *connection = server->connections->pdata[i];

		if (connection->ready)
			server->module->damage(connection->client, rect);
	}
}

static void tell_cursor(void *opaque, DisplayCursor *cursor)
{
	VncServer *server = opaque;

	for (unsigned i = 0; i < server->connections->len; i++) {
		const VncConnection *connection = server->connections->pdata[i];

		if (connection->ready)
			server->module->set_cursor(connection->client, cursor);
	}
}

static const DisplayWatcherOps watcher_ops = { tell_surface, tell_damage, tell_cursor };

static gboolean refresh(gpointer data)
{
	VncServer *server = data;
	unsigned interval = server->interval;

	if (display_console_refresh(server->console))
		server->interval = REFRESH_FASTEST;
	else
		server->interval = MIN(server->interval * 3 / 2, REFRESH_SLOWEST);
	if (server->interval == interval)
		return G_SOURCE_CONTINUE;
	server->timer = g_timeout_add(server->interval, refresh, server);
	return G_SOURCE_REMOVE;
}

/* Somebody did something: an answer is to be expected soon. */
static void hurry(VncServer *server)
{
	if (!server->timer || server->interval == REFRESH_FASTEST)
		return;
	g_source_remove(server->timer);
	server->interval = REFRESH_FASTEST;
	server->timer = g_timeout_add(server->interval, refresh, server);
}

static void update_watch(VncServer *server)
{
	bool wanted = false;

	for (unsigned i = 0; i < server->connections->len; i++) {
		const VncConnection *connection = server->connections->pdata[i];

		wanted |= connection->ready;
	}
	if (wanted == (server->timer != 0))
		return;
	if (wanted) {
		display_console_watch(server->console, &watcher_ops, server);
		server->interval = REFRESH_FASTEST;
		server->timer = g_timeout_add(server->interval, refresh, server);
	} else {
		g_source_remove(server->timer);
		server->timer = 0;
		display_console_unwatch(server->console, server);
	}
}

/* What clients do, on the main thread. */

/* How clients are authenticated, in QEMU's words. */
static char *authentication(const VncServer *server)
{
	return g_strconcat(server->tls ? "vencrypt+x509+" : "",
			   server->options.password ? "vnc" : "none", NULL);
}

static QapiVncServerInfo *server_info(const VncServer *server)
{
	QapiVncServerInfo *info = g_new0(QapiVncServerInfo, 1);

	vnc_address_of(server->listen_fd, false, &info->host, &info->service, &info->family);
	info->auth = authentication(server);
	return info;
}

static void hang_up(VncConnection *connection)
{
	connection->leaving = true;
	connection->server->module->close(connection->client);
}

/*
 * Whether the client may stay: who wants the screen alone drives out the others, where that is
 * allowed.
 */
static bool share_screen(VncConnection *connection, bool shared)
{
	const VncServer *server = connection->server;
	bool may_stay = shared || server->options.share != VNC_SHARE_FORCE_SHARED;

	connection->exclusive = !shared && server->options.share == VNC_SHARE_ALLOW_EXCLUSIVE;
	for (unsigned i = 0; i < server->connections->len; i++) {
		VncConnection *other = server->connections->pdata[i];

		if (other == connection || !other->ready)
			continue;
		if (connection->exclusive)
			hang_up(other);
		else if (other->exclusive)
			may_stay = false;
	}
	return may_stay;
}

static void copied_elsewhere(void *opaque, const char *text)
{
	const VncConnection *connection = opaque;

	connection->server->module->set_text(connection->client, text);
}

static const ClipboardPeerOps clipboard_ops = { .copied = copied_elsewhere };

static void connection_copied(VncConnection *connection)
{
	g_autoptr(GBytes) copied = vnc_take_copied(connection);
	const char *text;
	gsize size;

	if (!copied || !connection->clipboard)
		return;
	text = g_bytes_get_data(copied, &size);
	clipboard_set(connection->clipboard, text ? text : "", size);
}

static void connection_ready(VncConnection *connection, bool shared)
{
	VncServer *server = connection->server;
	g_autoptr(QapiVncServerInfo) us = server_info(server);
	g_autoptr(QapiVncClientInfo) them = vnc_client_info(connection);
	DisplayCursor *cursor;

	if (!share_screen(connection, shared)) {
		hang_up(connection);
		return;
	}
	connection->ready = true;
	connection->clipboard = clipboard_join(server->clipboard, false, &clipboard_ops, connection);
	qapi_event_vnc_initialized(server->events, us, them);
	cursor = display_console_cursor(server->console);
	if (cursor)
		server->module->set_cursor(connection->client, cursor);
	display_cursor_unref(cursor);
	update_watch(server);
	hurry(server);
}

static void connection_key(VncConnection *connection, const VncAction *action)
{
	InputRouter *input = display_input(connection->server->display);
	unsigned code = input_key_of_scan_code(action->scan);
	bool shift;

	if (!code)
		code = input_key_of_keysym(action->keysym, &shift);
	if (code && input_key(input, NULL, code, action->down)) {
		vnc_note_key(connection, code, action->down);
		input_sync(input);
	}
}

/* A tablet is told where, a mouse by how much; the wheel's buttons do not stay down. */
static void connection_pointer(VncConnection *connection, const VncAction *action)
{
	VncServer *server = connection->server;
	InputRouter *input = display_input(server->display);
	unsigned changed = action->buttons ^ connection->buttons;
	unsigned width = MAX(server->surface->width, 2u), height = MAX(server->surface->height, 2u);

	if (input_has(input, INPUT_ABSOLUTE)) {
		input_position(
			input, NULL, INPUT_AXIS_X,
			(int32_t)(MIN(action->x, width - 1) * INPUT_POSITION_MAX / (width - 1)));
		input_position(
			input, NULL, INPUT_AXIS_Y,
			(int32_t)(MIN(action->y, height - 1) * INPUT_POSITION_MAX / (height - 1)));
	} else if (connection->has_position) {
		input_move(input, NULL, INPUT_AXIS_X, (int32_t)action->x - (int32_t)connection->x);
		input_move(input, NULL, INPUT_AXIS_Y, (int32_t)action->y - (int32_t)connection->y);
	}
	for (unsigned button = 0; button <= INPUT_BUTTON_WHEEL_RIGHT; button++) {
		if (changed & 1u << button)
			input_button(input, NULL, (InputButton)button,
				     action->buttons & 1u << button);
	}
	input_sync(input);
	connection->x = action->x;
	connection->y = action->y;
	connection->has_position = true;
	connection->buttons = action->buttons;
}

static gboolean suggest_size(gpointer data)
{
	VncServer *server = data;

	server->size_timer = 0;
	display_console_suggest_size(server->console, server->width, server->height);
	return G_SOURCE_REMOVE;
}

/* A window that is drawn wider has many sizes on the way: the guest hears of the last. */
static void connection_size(VncConnection *connection, const VncAction *action)
{
	VncServer *server = connection->server;

	server->width = action->x;
	server->height = action->y;
	if (!server->size_timer)
		server->size_timer = g_timeout_add(SIZE_DELAY, suggest_size, server);
}

static void connection_closed(VncConnection *connection)
{
	VncServer *server = connection->server;
	g_autoptr(QapiVncServerInfo) us = server_info(server);
	g_autoptr(QapiVncClientInfo) them = vnc_client_info(connection);
	VncAction released = { .x = connection->x, .y = connection->y };

	if (connection->ready) {
		vnc_release_keys(connection);
		connection_pointer(connection, &released);
	}
	g_ptr_array_remove(server->connections, connection); /* in order of arrival */
	vnc_connection_free(connection);
	update_watch(server);
	qapi_event_vnc_disconnected(server->events, us, them);
}

/*
 * Carry out what waits in the ring, and no more: who acts without a pause must not keep the thread
 * from everybody else. For what comes meanwhile the source is ready again. The connection may be
 * gone afterwards.
 */
static gboolean carry_out(gpointer data)
{
	VncConnection *connection = data;
	VncAction action;

	for (unsigned n = 0; n < VNC_ACTIONS && vnc_take_action(connection, &action); n++) {
		switch (action.kind) {
		case VNC_ACTION_READY:
			connection_ready(connection, action.down);
			break;
		case VNC_ACTION_KEY:
			connection_key(connection, &action);
			hurry(connection->server);
			break;
		case VNC_ACTION_POINTER:
			connection_pointer(connection, &action);
			hurry(connection->server);
			break;
		case VNC_ACTION_SIZE:
			connection_size(connection, &action);
			break;
		case VNC_ACTION_COPIED:
			connection_copied(connection);
			break;
		case VNC_ACTION_CLOSED:
			connection_closed(connection);
			return G_SOURCE_CONTINUE;
		}
	}
	return G_SOURCE_CONTINUE;
}

/* @authenticate: it needs what the server asks for; else somebody who may has vouched for it. */
static VncConnection *connection_new(VncServer *server, int fd, bool authenticate)
{
	const VncClientConfig config = {
		.name = server->name,
		.password = authenticate && server->options.password,
		.tls = authenticate ? server->tls : NULL,
	};
	VncConnection *connection = vnc_connection_new(server, fd, carry_out);

	if (!connection->source) {
		close(fd);
		vnc_connection_free(connection);
		return NULL;
	}
	connection->client =
		server->module->open(fd, &config, server->surface, &vnc_client_ops, connection);
	if (!connection->client) {
		vnc_connection_free(connection);
		return NULL;
	}
	g_ptr_array_add(server->connections, connection);
	return connection;
}

/* Where many have come and not passed, the one that has been at it for longest makes room. */
static void make_room(const VncServer *server)
{
	VncConnection *oldest = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < server->connections->len; i++) {
		VncConnection *connection = server->connections->pdata[i];

		if (connection->ready || connection->leaving)
			continue;
		if (!oldest)
			oldest = connection;
		n++;
	}
	if (n >= STRANGERS_MAX)
		hang_up(oldest);
}

static bool admit(VncServer *server, int fd, bool authenticate, GError **error)
{
	g_autoptr(QapiVncServerInfo) us = NULL;
	g_autoptr(QapiVncBasicInfo) them = NULL;
	VncConnection *connection;

	make_room(server);
	if (server->connections->len >= CONNECTIONS_MAX) {
		close(fd);
		return error_fail(error, "there are %u VNC clients already", CONNECTIONS_MAX);
	}
	if (server->connections->len == 0 && !server->timer) {
		/* Nobody has looked for a while. */
		display_console_refresh(server->console);
		display_surface_unref(server->surface);
		server->surface = display_console_surface(server->console);
	}
	connection = connection_new(server, fd, authenticate);
	if (!connection)
		return error_fail(error, "there cannot be a thread for the VNC client");
	us = server_info(server);
	them = vnc_basic_info(connection);
	qapi_event_vnc_connected(server->events, us, them);
	return true;
}

static gboolean accept_client(int fd, GIOCondition condition, gpointer data);

static gboolean listen_again(gpointer data)
{
	VncServer *server = data;

	server->rests = false;
	server->n_accepted = 0;
	server->accept_source = g_unix_fd_add(server->listen_fd, G_IO_IN, accept_client, server);
	return G_SOURCE_REMOVE;
}

/*
 * Each client is a thread and some events, before it has shown that it may come. Who comes and goes
 * all the time must not keep the machine and its monitors busy with that: every so often there is
 * a rest, which no user notices.
 */
static gboolean accept_client(int fd, GIOCondition condition, gpointer data)
{
	VncServer *server = data;
	g_autoptr(GError) error = NULL;
	int client = socket_accept(fd, &server->spare_fd);
	bool admitted = client >= 0 && admit(server, client, true, &error);

	(void)condition;
	if (client == -EMFILE)
		error_fail(&error, "no descriptor is left");
	/* Once: who is turned away again and again must not fill the log. */
	if (error && !server->turns_away)
		g_message("-vnc: a client was turned away: %s", error->message);
	server->turns_away = error || (server->turns_away && !admitted);
	if (client < 0 || ++server->n_accepted < VNC_ACCEPTED_MAX)
		return G_SOURCE_CONTINUE;
	server->rests = true;
	server->accept_source = g_timeout_add(REST, listen_again, server);
	return G_SOURCE_REMOVE;
}

/* Load the credentials that are called for. */
static bool prepare_tls(VncServer *server, const VncTlsFinder *finder, GError **error)
{
	VncTlsConfig config;

	if (!server->options.tls)
		return true;
	if (!finder->find(finder->opaque, server->options.tls, &config, error))
		return false;
	server->tls = server->module->tls_new(&config, error);
	return server->tls != NULL;
}

VncServer *vnc_server_new(json_object *options, Display *display, Clipboard *clipboard,
			  const char *name, const VncTlsFinder *finder, const QmpEventSink *events,
			  GError **error)
{
	g_autoptr(VncServer) server = g_new0(VncServer, 1);

	server->listen_fd = -1;
	server->spare_fd = socket_new_spare();
	server->display = display;
	server->clipboard = clipboard;
	server->name = g_strdup(name);
	server->events = events;
	server->connections = g_ptr_array_new();
	server->expires = VNC_NEVER;
	g_mutex_init(&server->lock);
	if (!vnc_options_parse(&server->options, options, error))
		return NULL;
	server->console =
		display_find_console(display, server->options.display, server->options.head);
	if (!server->console) {
		error_fail(error, "there is no such screen to show: a display device is needed");
		return NULL;
	}
	server->takes_size = display_console_takes_size(server->console);
	if (!load_module(server, error) || !prepare_tls(server, finder, error))
		return NULL;
	server->surface = display_console_surface(server->console);
	server->listen_fd = vnc_listen(&server->options, error);
	if (server->listen_fd < 0 || !fd_set_nonblocking(server->listen_fd, true, error))
		return NULL;
	listen_again(server);
	return g_steal_pointer(&server);
}

void vnc_server_free(VncServer *server)
{
	if (!server)
		return;
	if (server->accept_source)
		g_source_remove(server->accept_source);
	for (unsigned i = 0; server->connections && i < server->connections->len; i++) {
		VncConnection *connection = server->connections->pdata[i];

		vnc_connection_abandon(connection);
		server->module->close(connection->client);
		vnc_connection_free(connection);
	}
	g_ptr_array_unref(server->connections);
	if (server->tls)
		server->module->tls_free(server->tls);
	if (server->size_timer)
		g_source_remove(server->size_timer);
	if (server->timer) {
		g_source_remove(server->timer);
		display_console_unwatch(server->console, server);
	}
	display_surface_unref(server->surface);
	if (server->listen_fd >= 0)
		socket_unlink(server->listen_fd);
	fd_close(&server->listen_fd);
	fd_close(&server->spare_fd);
	vnc_options_clear(&server->options);
	explicit_bzero(server->password, sizeof(server->password));
	g_mutex_clear(&server->lock);
	g_free(server->name);
	g_free(server);
}

const char *vnc_server_id(const VncServer *server)
{
	return server->options.id ? server->options.id : "default";
}

QapiVncInfo *vnc_server_query(const VncServer *server)
{
	QapiVncInfo *info = g_new0(QapiVncInfo, 1);

	info->enabled = true;
	vnc_address_of(server->listen_fd, false, &info->host, &info->service, &info->family);
	info->has_family = true;
	info->auth = authentication(server);
	info->clients = qapi_list_new_VncClientInfo();
	for (unsigned i = 0; i < server->connections->len; i++) {
		VncConnection *connection = server->connections->pdata[i];

		if (connection->ready)
			g_ptr_array_add(info->clients, vnc_client_info(connection));
	}
	return info;
}

static bool check_password_wanted(const VncServer *server, GError **error)
{
	return server->options.password ||
	       error_fail(error, "the VNC server asks for no password: that is for '-vnc ...,"
				 "password=on'");
}

bool vnc_server_set_password(VncServer *server, const char *password, GError **error)
{
	if (!check_password_wanted(server, error))
		return false;
	g_mutex_lock(&server->lock);
	memset(server->password, 0, sizeof(server->password));
	memcpy(server->password, password, strnlen(password, VNC_PASSWORD_MAX));
	g_mutex_unlock(&server->lock);
	return true;
}

bool vnc_server_expire_password(VncServer *server, int64_t time, GError **error)
{
	if (!check_password_wanted(server, error))
		return false;
	g_mutex_lock(&server->lock);
	server->expires = time;
	g_mutex_unlock(&server->lock);
	return true;
}

bool vnc_server_reload_certificates(VncServer *server, GError **error)
{
	if (!server->tls)
		return error_fail(error, "the VNC server does without TLS");
	return server->module->tls_reload(server->tls, error);
}

bool vnc_server_add_client(VncServer *server, int fd, bool skip_authentication, GError **error)
{
	autofd int owned = fd;

	return socket_check_passed(fd, false, error) &&
	       admit(server, fd_steal(&owned), !skip_authentication, error);
}
