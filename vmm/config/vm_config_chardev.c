/*
 * vm_config_chardev.c: -serial, -qmp and -mon, which name a chardev or spell one out
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/vm_config_internal.h"
#include "vmm/base/error.h"
#include "vmm/config/options.h"

#include <string.h>

static json_object *new_chardev(const char *backend, const char *id)
{
	json_object *chardev = json_object_new_object();

	json_object_object_add(chardev, "backend", json_object_new_string(backend));
	json_object_object_add(chardev, "id", json_object_new_string(id));
	return chardev;
}

/* "unix:PATH,..." and "tcp:HOST:PORT,...": a socket whose address comes first. */
static json_object *parse_socket(const char *text, const char *id, GError **error)
{
	bool is_unix = g_str_has_prefix(text, "unix:");
	json_object *chardev = options_parse(text + strlen(is_unix ? "unix:" : "tcp:"),
					     is_unix ? "path" : "host", error);
	json_object *address;

	if (!chardev)
		return NULL;
	if (!is_unix && json_object_object_get_ex(chardev, "host", &address)) {
		g_autofree char *host = g_strdup(json_object_get_string(address));
		char *colon = strrchr(host, ':');

		if (!colon) {
			error_fail(error, "use tcp:HOST:PORT");
			json_object_put(chardev);
			return NULL;
		}
		*colon = '\0';
		json_object_object_add(chardev, "host", json_object_new_string(host));
		json_object_object_add(chardev, "port", json_object_new_string(colon + 1));
	}
	json_object_object_add(chardev, "backend", json_object_new_string("socket"));
	json_object_object_add(chardev, "id", json_object_new_string(id));
	return chardev;
}

/*
 * The id of the chardev that @text means, a new string: that of "chardev:ID", or @id, by which
 * the one that is spelled out is added to the configuration.
 */
static char *chardev_of(VmConfig *config, const VmOption *option, const char *text, const char *id,
			GError **error)
{
	static const char *const plain[] = { "stdio", "pty", "null" };
	json_object *chardev = NULL;

	if (g_str_has_prefix(text, "chardev:"))
		return g_strdup(text + strlen("chardev:"));
	for (unsigned i = 0; !chardev && i < G_N_ELEMENTS(plain); i++) {
		if (strcmp(text, plain[i]) == 0)
			chardev = new_chardev(text, id);
	}
	if (!chardev && g_str_has_prefix(text, "file:")) {
		chardev = new_chardev("file", id);
		json_object_object_add(chardev, "path",
				       json_object_new_string(text + strlen("file:")));
	} else if (!chardev &&
		   (g_str_has_prefix(text, "unix:") || g_str_has_prefix(text, "tcp:"))) {
		chardev = parse_socket(text, id, error);
		if (!chardev)
			return NULL;
	}
	if (!chardev) {
		error_fail(error, "use one of %s", option->argument);
		return NULL;
	}
	vm_config_add_item(config->chardevs, option->name, text, chardev);
	return g_strdup(id);
}

bool vm_config_parse_serial(VmConfig *config, const VmOption *option, const char *text,
			    GError **error)
{
	g_autofree char *id = g_strdup_printf("serial%u", config->serials->len);
	g_autofree char *chardev = NULL;
	json_object *serial;

	if (strcmp(text, "none") != 0) {
		chardev = chardev_of(config, option, text, id, error);
		if (!chardev)
			return false;
	}
	serial = json_object_new_object();
	if (chardev)
		json_object_object_add(serial, "chardev", json_object_new_string(chardev));
	vm_config_add_item(config->serials, option->name, text, serial);
	return true;
}

static void add_monitor(VmConfig *config, const VmOption *option, const char *text,
			const char *chardev, bool pretty)
{
	json_object *monitor = json_object_new_object();

	json_object_object_add(monitor, "chardev", json_object_new_string(chardev));
	json_object_object_add(monitor, "pretty", json_object_new_boolean(pretty));
	vm_config_add_item(config->monitors, option->name, text, monitor);
}

bool vm_config_parse_qmp(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	g_autofree char *id = g_strdup_printf("compat_monitor%u", config->monitors->len);
	g_autofree char *chardev = chardev_of(config, option, text, id, error);

	if (!chardev)
		return false;
	add_monitor(config, option, text, chardev, false);
	return true;
}

typedef struct MonitorOptions {
	char *chardev, *mode;
	bool pretty;
} MonitorOptions;

bool vm_config_parse_mon(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	static const Property properties[] = {
		{ .name = "chardev", .kind = PROPERTY_STRING,
		  .offset = offsetof(MonitorOptions, chardev) },
		{ .name = "mode", .kind = PROPERTY_STRING, .offset = offsetof(MonitorOptions, mode) },
		{ .name = "pretty", .kind = PROPERTY_BOOL,
		  .offset = offsetof(MonitorOptions, pretty) },
		PROPERTY_END,
	};
	MonitorOptions monitor = { 0 };
	bool done;

	properties_init(properties, &monitor);
	done = vm_config_parse_properties(properties, &monitor, text, "chardev", error);
	if (done && !monitor.chardev)
		done = error_fail(error, "names no chardev");
	if (done && g_strcmp0(monitor.mode, "control") != 0)
		done = error_fail(error, "only mode=control (QMP) exists");
	if (done)
		add_monitor(config, option, text, monitor.chardev, monitor.pretty);
	properties_clear(properties, &monitor);
	return done;
}
