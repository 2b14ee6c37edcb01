/*
 * vnc_options.c: what -vnc says, and the addresses it says it of
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/base/error.h"
#include "vmm/base/socket.h"
#include "vmm/config/property.h"
#include "vmm/display/vnc_internal.h"

/* Display 0 is at this port. */
#define VNC_PORT_BASE 5900u
#define DISPLAY_MAX   (65535u - VNC_PORT_BASE)

static const char *const share_names[] = { "allow-exclusive", "force-shared", "ignore", NULL };

static const Property properties[] = {
	{ .name = "vnc", .kind = PROPERTY_STRING, .offset = offsetof(VncOptions, address) },
	{ .name = "id", .kind = PROPERTY_STRING, .offset = offsetof(VncOptions, id) },
	{ .name = "display", .kind = PROPERTY_STRING, .offset = offsetof(VncOptions, display) },
	{ .name = "head", .kind = PROPERTY_UINT32, .offset = offsetof(VncOptions, head) },
	{ .name = "to",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VncOptions, to),
	  .maximum = DISPLAY_MAX },
	{ .name = "tls-creds", .kind = PROPERTY_STRING, .offset = offsetof(VncOptions, tls) },
	{ .name = "password", .kind = PROPERTY_BOOL, .offset = offsetof(VncOptions, password) },
	{ .name = "share",
	  .kind = PROPERTY_ENUM,
	  .offset = offsetof(VncOptions, share),
	  .enum_names = share_names },
	PROPERTY_END,
};

bool vnc_options_parse(VncOptions *options, json_object *json, GError **error)
{
	properties_init(properties, options);
	json_object_object_foreach(json, key, value)
	{
		const Property *property = property_find(properties, key);

		if (!property)
			return error_fail(error, "there is no '%s' here", key);
		if (!property_set(property, options, value, error))
			return false;
	}
	return options->address || error_fail(error, "use HOST:DISPLAY or unix:PATH");
}

void vnc_options_clear(VncOptions *options)
{
	properties_clear(properties, options);
}

static int listen_inet(const VncOptions *options, GError **error)
{
	const char *colon = strrchr(options->address, ':');
	g_autofree char *host = NULL;
	guint64 display, last;
	int fd = -1;

	if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 0, DISPLAY_MAX, &display, NULL)) {
		error_fail(error, "'%s' is no HOST:DISPLAY with a display from 0 to %u",
			   options->address, DISPLAY_MAX);
		return -1;
	}
	host = g_strndup(options->address, (gsize)(colon - options->address));
	if (host[0] == '[' && g_str_has_suffix(host, "]")) {
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = '\0';
	}
	last = MAX(display, options->to);
	for (; fd < 0 && display <= last; display++) {
		g_autofree char *port = g_strdup_printf("%u", VNC_PORT_BASE + (unsigned)display);

		g_clear_error(error);
		fd = socket_open_inet(host, port, true, true, SOCKET_SERVER, error);
	}
	return fd;
}

int vnc_listen(const VncOptions *options, GError **error)
{
	if (g_str_has_prefix(options->address, "unix:"))
		return socket_open_unix(options->address + strlen("unix:"), false, true, error);
	return listen_inet(options, error);
}

void vnc_address_of(int fd, bool peer, char **host, char **service,
		    QapiNetworkAddressFamily *family)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	char node[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
	const char *name = port;
	int result = peer ? getpeername(fd, (struct sockaddr *)&address, &size)
			  : getsockname(fd, (struct sockaddr *)&address, &size);

	*family = QAPI_NETWORK_ADDRESS_FAMILY_UNKNOWN;
	if (result == 0 && address.ss_family == AF_UNIX) {
		*family = QAPI_NETWORK_ADDRESS_FAMILY_UNIX;
		name = ((const struct sockaddr_un *)&address)->sun_path;
	} else if (result == 0 &&
		   getnameinfo((struct sockaddr *)&address, size, node, sizeof(node), port,
			       sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
		*family = address.ss_family == AF_INET6 ? QAPI_NETWORK_ADDRESS_FAMILY_IPV6
							: QAPI_NETWORK_ADDRESS_FAMILY_IPV4;
	}
	*host = g_strdup(node);
	*service = g_strdup(name);
}
