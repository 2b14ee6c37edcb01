/*
 * chardev_config.c: the -chardev option, typed
 *
 * One table says which keys there are, which kinds have them, and where their values go.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_config.h"
#include "vmm/base/error.h"
#include "vmm/chardev/chardev.h"
#include "vmm/config/options.h"

#include <limits.h>
#include <string.h>

/* A day; more would overflow the milliseconds of a timer. */
#define RECONNECT_MAX_S 86400

static const char *const kind_names[CHARDEV_N_KINDS] = {
	[CHARDEV_NULL] = "null", [CHARDEV_STDIO] = "stdio",   [CHARDEV_PTY] = "pty",
	[CHARDEV_FILE] = "file", [CHARDEV_SOCKET] = "socket", [CHARDEV_RINGBUF] = "ringbuf",
	[CHARDEV_VDAGENT] = "qemu-vdagent",
};

const char *chardev_kind_name(ChardevKind kind)
{
	return kind_names[kind];
}

#define KIND(name) (1u << CHARDEV_##name)
#define ALL_KINDS  ((1u << CHARDEV_N_KINDS) - 1)

typedef enum KeyType { KEY_STRING, KEY_BOOL, KEY_FD, KEY_SECONDS, KEY_SIZE } KeyType;

static const struct {
	const char *name;
	KeyType type;
	unsigned kinds;
	size_t offset;
} keys[] = {
	{ "id", KEY_STRING, ALL_KINDS, offsetof(ChardevConfig, id) },
	{ "logfile", KEY_STRING, ALL_KINDS, offsetof(ChardevConfig, log_path) },
	{ "logappend", KEY_BOOL, ALL_KINDS, offsetof(ChardevConfig, log_append) },
	{ "signal", KEY_BOOL, KIND(STDIO), offsetof(ChardevConfig, stdio_signal) },
	{ "path", KEY_STRING, KIND(FILE) | KIND(SOCKET), offsetof(ChardevConfig, path) },
	{ "append", KEY_BOOL, KIND(FILE), offsetof(ChardevConfig, append) },
	{ "abstract", KEY_BOOL, KIND(SOCKET), offsetof(ChardevConfig, abstract) },
	{ "host", KEY_STRING, KIND(SOCKET), offsetof(ChardevConfig, host) },
	{ "port", KEY_STRING, KIND(SOCKET), offsetof(ChardevConfig, port) },
	{ "ipv4", KEY_BOOL, KIND(SOCKET), offsetof(ChardevConfig, ipv4) },
	{ "ipv6", KEY_BOOL, KIND(SOCKET), offsetof(ChardevConfig, ipv6) },
	{ "fd", KEY_FD, KIND(SOCKET), offsetof(ChardevConfig, fd) },
	{ "server", KEY_BOOL, KIND(SOCKET), offsetof(ChardevConfig, server) },
	{ "wait", KEY_BOOL, KIND(SOCKET), offsetof(ChardevConfig, wait) },
	{ "nodelay", KEY_BOOL, KIND(SOCKET), offsetof(ChardevConfig, nodelay) },
	{ "reconnect", KEY_SECONDS, KIND(SOCKET), offsetof(ChardevConfig, reconnect_s) },
	{ "size", KEY_SIZE, KIND(RINGBUF), offsetof(ChardevConfig, size) },
	{ "clipboard", KEY_BOOL, KIND(VDAGENT), offsetof(ChardevConfig, clipboard) },
};

static bool parse_bool(const char *text, bool *value)
{
	*value = g_str_equal(text, "on") || g_str_equal(text, "yes") || g_str_equal(text, "true");
	return *value || g_str_equal(text, "off") || g_str_equal(text, "no") ||
	       g_str_equal(text, "false");
}

static bool set_value(unsigned index, ChardevConfig *config, const char *text, GError **error)
{
	void *place = (char *)config + keys[index].offset;
	const char *name = keys[index].name;
	guint64 number;

	switch (keys[index].type) {
	case KEY_STRING:
		g_free(*(char **)place);
		*(char **)place = g_strdup(text);
		return true;
	case KEY_BOOL:
		if (!parse_bool(text, place))
			return error_fail(error, "'%s' must be on or off, not '%s'", name, text);
		return true;
	case KEY_FD:
		if (!g_ascii_string_to_unsigned(text, 10, 0, INT_MAX, &number, NULL))
			return error_fail(error, "'%s' must be a descriptor's number, not '%s'",
					  name, text);
		*(int *)place = number;
		return true;
	case KEY_SECONDS:
		if (!g_ascii_string_to_unsigned(text, 10, 0, RECONNECT_MAX_S, &number, NULL))
			return error_fail(error, "'%s' must be 0 to %d seconds, not '%s'", name,
					  RECONNECT_MAX_S, text);
		*(unsigned *)place = number;
		return true;
	case KEY_SIZE:
		if (!options_parse_size(text, 'B', &number, error)) {
			g_prefix_error(error, "'%s': ", name);
			return false;
		}
		if (!chardev_ringbuf_check_size(number, error))
			return false;
		*(uint32_t *)place = number;
		return true;
	}
	return true;
}

static bool set_key(ChardevConfig *config, const char *name, const char *text, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
		if (g_str_equal(keys[i].name, name) && (keys[i].kinds & (1u << config->kind)))
			return set_value(i, config, text, error);
	}
	return error_fail(error, "'%s' is not an option of chardev %s", name,
			  kind_names[config->kind]);
}

static bool check_socket(ChardevConfig *config, json_object *options, GError **error)
{
	bool has_fd = json_object_object_get_ex(options, "fd", NULL);
	bool has_wait = json_object_object_get_ex(options, "wait", NULL);
	bool has_family = json_object_object_get_ex(options, "ipv4", NULL) ||
			  json_object_object_get_ex(options, "ipv6", NULL);

	if ((config->path != NULL) + (config->host || config->port) + has_fd != 1)
		return error_fail(error,
				  "a socket needs one of 'path', 'host' and 'port', or 'fd'");
	if (config->path) {
		config->address = CHARDEV_ADDRESS_UNIX;
	} else if (has_fd) {
		config->address = CHARDEV_ADDRESS_FD;
	} else {
		config->address = CHARDEV_ADDRESS_INET;
		if (!config->port)
			return error_fail(error, "'port' is missing");
		if (!config->host)
			config->host = g_strdup("");
	}
	if (config->abstract && !config->path)
		return error_fail(error, "'abstract' needs 'path'");
	if (has_family && !config->port)
		return error_fail(error, "'ipv4' and 'ipv6' need 'host' and 'port'");
	if (has_wait && !config->server)
		return error_fail(error, "'wait' needs 'server'");
	if (config->reconnect_s && config->server)
		return error_fail(error, "'reconnect' is for clients, not with 'server'");
	if (config->reconnect_s && has_fd)
		return error_fail(error, "'reconnect' needs an address, not 'fd'");
	if (config->nodelay && !config->port)
		return error_fail(error, "'nodelay' needs 'host' and 'port'");
	config->wait = config->server && (config->wait || !has_wait);
	return true;
}

static bool check(ChardevConfig *config, json_object *options, GError **error)
{
	if (!config->id || !config->id[0])
		return error_fail(error, "'id' is missing");
	if (config->log_append && !config->log_path)
		return error_fail(error, "'logappend' needs 'logfile'");
	if (config->kind == CHARDEV_FILE && !config->path)
		return error_fail(error, "'path' is missing");
	if (config->kind == CHARDEV_SOCKET)
		return check_socket(config, options, error);
	return true;
}

static bool set_kind(ChardevConfig *config, json_object *options, GError **error)
{
	json_object *backend;
	const char *name;

	if (!json_object_object_get_ex(options, "backend", &backend) ||
	    !json_object_is_type(backend, json_type_string))
		return error_fail(error, "the kind of chardev is missing");
	name = json_object_get_string(backend);
	for (unsigned i = 0; i < CHARDEV_N_KINDS; i++) {
		if (g_str_equal(name, kind_names[i])) {
			config->kind = i;
			return true;
		}
	}
	return error_fail(error, "'%s' is not a kind of chardev that Vireo has", name);
}

ChardevConfig *chardev_config_new(json_object *options, GError **error)
{
	g_autoptr(ChardevConfig) config = g_new0(ChardevConfig, 1);

	config->fd = -1;
	config->size = CHARDEV_RINGBUF_DEFAULT_SIZE;
	config->stdio_signal = true;
	if (!set_kind(config, options, error))
		return NULL;

	json_object_object_foreach(options, key, value)
	{
		if (g_str_equal(key, "backend"))
			continue;
		if (json_object_is_type(value, json_type_object) ||
		    json_object_is_type(value, json_type_array) || !value) {
			error_fail(error, "'%s' must be a plain value", key);
			return NULL;
		}
		if (!set_key(config, key, json_object_get_string(value), error))
			return NULL;
	}
	return check(config, options, error) ? g_steal_pointer(&config) : NULL;
}

ChardevConfig *chardev_config_parse(const char *text, GError **error)
{
	json_object *options = options_parse(text, "backend", error);
	ChardevConfig *config;

	if (!options)
		return NULL;
	config = chardev_config_new(options, error);
	json_object_put(options);
	return config;
}

void chardev_config_free(ChardevConfig *config)
{
	if (!config)
		return;
	g_free(config->id);
	g_free(config->log_path);
	g_free(config->path);
	g_free(config->host);
	g_free(config->port);
	g_free(config);
}
