/*
 * monitor.c: the QMP monitor of one machine
 *
 * A chardev that a monitor is given is its front end's stream: a session begins when the chardev
 * opens and ends when it closes, so the next client of a server socket finds a fresh greeting.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "qapi-commands.h"
#include "qmp/qmp_server.h"
#include "vmm/base/error.h"
#include "vmm/base/trace.h"
#include "vmm/chardev/chardev.h"
#include "vmm/machine/machine.h"
#include "vmm/net/net.h"

/* Descriptors that one read of a socket can bring (SCM_MAX_FD). */
#define FDS_MAX 253u

typedef struct MonitorChannel {
	Monitor *monitor;
	Chardev *chardev;
	QmpSession *session; /* NULL while the chardev is closed */
} MonitorChannel;

struct Monitor {
	QmpServer *server;
	GPtrArray *channels; /* MonitorChannel * */
};

static ssize_t channel_write(void *opaque, const void *data, size_t size)
{
	MonitorChannel *channel = opaque;

	return (ssize_t)chardev_write(channel->chardev, data, size);
}

static void channel_accept_input(void *opaque)
{
	MonitorChannel *channel = opaque;

	chardev_accept_input(channel->chardev);
}

static void channel_closed(void *opaque)
{
	MonitorChannel *channel = opaque;

	channel->session = NULL;
	/* The peer is told, and another one may come. */
	chardev_disconnect(channel->chardev);
}

static const QmpStream channel_stream = {
	.write = channel_write,
	.accept_input = channel_accept_input,
	.closed = channel_closed,
};

static size_t channel_can_receive(void *opaque)
{
	MonitorChannel *channel = opaque;

	/* What comes after a session broke off is read and dropped. */
	return channel->session ? qmp_session_room(channel->session) : G_MAXUINT16;
}

static void channel_receive(void *opaque, const uint8_t *data, size_t size)
{
	MonitorChannel *channel = opaque;
	int fds[FDS_MAX];
	size_t n_fds = 0;

	while (n_fds < FDS_MAX && (fds[n_fds] = chardev_take_fd(channel->chardev)) >= 0)
		n_fds++;
	if (channel->session) {
		qmp_session_receive(channel->session, data, size, fds, n_fds);
		return;
	}
	while (n_fds > 0)
		close(fds[--n_fds]);
}

static void channel_event(void *opaque, ChardevEvent event)
{
	MonitorChannel *channel = opaque;

	switch (event) {
	case CHARDEV_OPENED:
		if (!channel->session)
			channel->session = qmp_server_attach(channel->monitor->server,
							     &channel_stream, channel);
		break;
	case CHARDEV_CLOSED:
		if (channel->session)
			qmp_session_end(channel->session);
		break;
	case CHARDEV_BREAK:
		break;
	}
}

static void channel_writable(void *opaque)
{
	MonitorChannel *channel = opaque;

	if (channel->session)
		qmp_session_writable(channel->session);
}

static const ChardevFrontEnd channel_front_end = {
	.can_receive = channel_can_receive,
	.receive = channel_receive,
	.event = channel_event,
	.writable = channel_writable,
};

static void channel_free(gpointer data)
{
	MonitorChannel *channel = data;

	if (channel->session)
		qmp_session_end(channel->session);
	if (channel->chardev)
		chardev_detach(channel->chardev);
	g_free(channel);
}

static void probe_begins(const char *command)
{
	trace_qmp_command(command);
}

static void probe_ended(const char *command, bool success)
{
	trace_qmp_reply(command, success);
}

static const QmpObserver probes = { .begins = probe_begins, .ended = probe_ended };

Monitor *monitor_new(GMainContext *context)
{
	Monitor *monitor = g_new0(Monitor, 1);

	monitor->server = qmp_server_new(context);
	qmp_server_add_commands(monitor->server, qmp_commands);
	qmp_server_set_observer(monitor->server, &probes);
	monitor->channels = g_ptr_array_new_with_free_func(channel_free);
	return monitor;
}

void monitor_stop(Monitor *monitor)
{
	/* SHUTDOWN was emitted when the main loop was left. */
	qmp_server_flush_events(monitor->server);
	g_ptr_array_set_size(monitor->channels, 0);
	qmp_server_set_machine(monitor->server, NULL);
}

void monitor_free(Monitor *monitor)
{
	if (!monitor)
		return;
	g_ptr_array_unref(monitor->channels);
	qmp_server_free(monitor->server);
	g_free(monitor);
}

QmpEventSink *monitor_event_sink(Monitor *monitor)
{
	return qmp_server_event_sink(monitor->server);
}

QmpFds *monitor_fds(Monitor *monitor)
{
	return qmp_server_fds(monitor->server);
}

static int open_fd_set(void *opaque, int64_t set, int flags, GError **error)
{
	int fd = qmp_fds_set_open(opaque, set, flags, error);

	if (fd < 0)
		errno = ENOENT;
	return fd;
}

FdSetOpener monitor_fd_sets(Monitor *monitor)
{
	return (FdSetOpener){ .open = open_fd_set, .opaque = monitor_fds(monitor) };
}

static int take_named_fd(void *opaque, const char *name, GError **error)
{
	return qmp_fds_take(opaque, name, error);
}

/* -add-fd has the shape of add-fd's arguments and the number of an inherited descriptor. */
static bool add_fd(QmpFds *fds, const VmConfigItem *item, GError **error)
{
	json_object *fd = json_object_object_get(item->options, "fd");
	json_object *set = json_object_object_get(item->options, "set");
	json_object *opaque = json_object_object_get(item->options, "opaque");
	guint64 fd_number, set_number;
	int copy;

	if (!fd || !set || json_object_object_length(item->options) != (opaque ? 3 : 2))
		return error_fail(error, "needs fd and set, and may have opaque");
	if (!g_ascii_string_to_unsigned(json_object_get_string(fd), 10, STDERR_FILENO + 1,
					G_MAXINT, &fd_number, error))
		return false;
	if (!g_ascii_string_to_unsigned(json_object_get_string(set), 10, 0, G_MAXINT, &set_number,
					error))
		return false;
	copy = fcntl((int)fd_number, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return error_fail_errno(error, errno, "descriptor %d", (int)fd_number);
	close((int)fd_number);
	return qmp_fds_set_add(fds, (int64_t)set_number, json_object_get_string(opaque), copy,
			       error) >= 0;
}

bool monitor_add_fds(Monitor *monitor, const VmConfig *config, GError **error)
{
	for (guint i = 0; i < config->add_fds->len; i++) {
		const VmConfigItem *item = g_ptr_array_index(config->add_fds, i);

		if (!add_fd(monitor_fds(monitor), item, error)) {
			g_prefix_error(error, "%s %s: ", item->option, item->text);
			return false;
		}
	}
	return true;
}

static bool add_channel(Monitor *monitor, Machine *machine, const VmConfigItem *item,
			GError **error)
{
	g_autofree char *user = g_strdup_printf("%s %s", item->option, item->text);
	MonitorChannel *channel = g_new0(MonitorChannel, 1);
	json_object *id = json_object_object_get(item->options, "chardev");
	Chardev *chardev = chardevs_find(machine_chardevs(machine), json_object_get_string(id));

	channel->monitor = monitor;
	g_ptr_array_add(monitor->channels, channel);
	if (!chardev)
		return error_fail(error, "%s: chardev '%s' not found", user,
				  json_object_get_string(id));
	/* Attaching opens the session at once where the chardev is open. */
	channel->chardev = chardev;
	if (!chardev_attach(chardev, user, &channel_front_end, channel, error)) {
		channel->chardev = NULL;
		g_prefix_error(error, "%s: ", user);
		return false;
	}
	return true;
}

bool monitor_start(Monitor *monitor, Machine *machine, GError **error)
{
	const GPtrArray *items = machine_config(machine)->monitors;
	const FdNameTaker fd_names = { .take = take_named_fd, .opaque = monitor_fds(monitor) };

	machine_set_fd_names(machine, &fd_names);
	qmp_server_set_machine(monitor->server, machine);
	for (guint i = 0; i < items->len; i++) {
		if (!add_channel(monitor, machine, g_ptr_array_index(items, i), error))
			return false;
	}
	return true;
}
