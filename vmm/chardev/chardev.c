/*
 * chardev.c: the registry of chardevs, and the link between front ends and host side
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_internal.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct Chardevs {
	GMainContext *context;
	FdSetOpener fd_sets;
	Clipboard *clipboard;
	GHashTable *by_id; /* char * (the chardev's) -> Chardev * (owned) */
	GPtrArray *in_order;
};

static const ChardevOps *const kind_ops[CHARDEV_N_KINDS] = {
	[CHARDEV_NULL] = &chardev_null_ops,	[CHARDEV_STDIO] = &chardev_stdio_ops,
	[CHARDEV_PTY] = &chardev_pty_ops,	[CHARDEV_FILE] = &chardev_file_ops,
	[CHARDEV_SOCKET] = &chardev_socket_ops, [CHARDEV_RINGBUF] = &chardev_ringbuf_ops,
	[CHARDEV_VDAGENT] = &chardev_vdagent_ops,
};

static void chardev_free(Chardev *chardev)
{
	chardev_stream_stop(chardev);
	if (chardev->ops->close)
		chardev->ops->close(chardev);
	chardev_drop_source(&chardev->source);
	fd_close(&chardev->log_fd);
	g_mutex_clear(&chardev->lock);
	g_free(chardev->user);
	g_free(chardev->id);
	g_free(chardev);
}

Chardevs *chardevs_new(GMainContext *context)
{
	Chardevs *chardevs = g_new0(Chardevs, 1);

	chardevs->context = context;
	chardevs->by_id = g_hash_table_new(g_str_hash, g_str_equal);
	chardevs->in_order = g_ptr_array_new();
	chardevs->clipboard = clipboard_new();
	return chardevs;
}

void chardevs_free(Chardevs *chardevs)
{
	if (!chardevs)
		return;
	g_hash_table_unref(chardevs->by_id);
	for (unsigned i = 0; i < chardevs->in_order->len; i++)
		chardev_free(g_ptr_array_index(chardevs->in_order, i));
	g_ptr_array_unref(chardevs->in_order);
	clipboard_free(chardevs->clipboard);
	g_free(chardevs);
}

Clipboard *chardevs_clipboard(Chardevs *chardevs)
{
	return chardevs->clipboard;
}

Clipboard *chardev_clipboard(const Chardev *chardev)
{
	return chardev->owner->clipboard;
}

void chardevs_set_fd_sets(Chardevs *chardevs, const FdSetOpener *opener)
{
	chardevs->fd_sets = *opener;
}

const FdSetOpener *chardev_fd_sets(const Chardev *chardev)
{
	return &chardev->owner->fd_sets;
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer data);

static GSourceFuncs source_funcs = { .dispatch = source_dispatch };

typedef struct ChardevSource {
	GSource base;
	Chardev *chardev;
} ChardevSource;

static bool open_log(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	int flags = O_WRONLY | O_CREAT | (config->log_append ? O_APPEND : O_TRUNC);

	if (!config->log_path)
		return true;
	chardev->log_fd = fd_open(config->log_path, flags, 0666, chardev_fd_sets(chardev), error);
	return chardev->log_fd >= 0;
}

Chardev *chardevs_add(Chardevs *chardevs, const ChardevConfig *config, GError **error)
{
	const ChardevOps *ops = kind_ops[config->kind];
	Chardev *chardev;

	if (g_hash_table_contains(chardevs->by_id, config->id)) {
		error_fail(error, "chardev '%s' exists already", config->id);
		return NULL;
	}
	chardev = g_malloc0(ops->object_size);
	chardev->ops = ops;
	chardev->owner = chardevs;
	chardev->context = chardevs->context;
	chardev->id = g_strdup(config->id);
	chardev->kind = config->kind;
	chardev->in_fd = chardev->out_fd = chardev->log_fd = -1;
	g_mutex_init(&chardev->lock);
	chardev->source = g_source_new(&source_funcs, sizeof(ChardevSource));
	((ChardevSource *)chardev->source)->chardev = chardev;
	g_source_set_static_name(chardev->source, "chardev");
	g_source_attach(chardev->source, chardevs->context);

	if (!open_log(chardev, config, error) || !ops->open(chardev, config, error)) {
		g_prefix_error(error, "chardev '%s': ", config->id);
		chardev_free(chardev);
		return NULL;
	}
	g_hash_table_insert(chardevs->by_id, chardev->id, chardev);
	g_ptr_array_add(chardevs->in_order, chardev);
	return chardev;
}

bool chardevs_remove(Chardevs *chardevs, const char *id, GError **error)
{
	Chardev *chardev = chardevs_find(chardevs, id);

	if (!chardev)
		return error_fail(error, "chardev '%s' not found", id);
	if (chardev->front_end)
		return error_fail(error, "chardev '%s' is in use by '%s'", id, chardev->user);
	g_hash_table_remove(chardevs->by_id, id);
	g_ptr_array_remove(chardevs->in_order, chardev);
	chardev_free(chardev);
	return true;
}

Chardev *chardevs_find(Chardevs *chardevs, const char *id)
{
	return g_hash_table_lookup(chardevs->by_id, id);
}

void chardevs_foreach(Chardevs *chardevs, void (*func)(Chardev *, gpointer), gpointer data)
{
	for (unsigned i = 0; i < chardevs->in_order->len; i++)
		func(g_ptr_array_index(chardevs->in_order, i), data);
}

const char *chardev_id(const Chardev *chardev)
{
	return chardev->id;
}

ChardevKind chardev_kind(const Chardev *chardev)
{
	return chardev->kind;
}

char *chardev_filename(Chardev *chardev)
{
	if (chardev->ops->filename)
		return chardev->ops->filename(chardev);
	return g_strdup(chardev_kind_name(chardev->kind));
}

GMainContext *chardev_context(const Chardev *chardev)
{
	return chardev->context;
}

bool chardev_is_open(const Chardev *chardev)
{
	return g_atomic_int_get(&chardev->open);
}

bool chardev_front_end_is_open(const Chardev *chardev)
{
	const ChardevFrontEnd *front_end = chardev->front_end;

	return front_end && (!front_end->is_open || front_end->is_open(chardev->opaque));
}

static size_t front_end_room(Chardev *chardev)
{
	const ChardevFrontEnd *front_end = chardev->front_end;

	return front_end && front_end->can_receive ? front_end->can_receive(chardev->opaque) : 0;
}

static void front_end_event(Chardev *chardev, ChardevEvent event)
{
	if (chardev->front_end && chardev->front_end->event)
		chardev->front_end->event(chardev->opaque, event);
}

/* Poll for what can be made use of now. A hang-up is always polled for. */
static void update_poll(Chardev *chardev)
{
	GIOCondition in = G_IO_HUP | G_IO_ERR;
	bool blocked;

	if (chardev->in_fd >= 0) {
		bool reads_itself = chardev->front_end && chardev->front_end->reads_itself;

		if (front_end_room(chardev) > 0)
			in |= G_IO_IN;
		if (chardev->in_tag)
			g_source_modify_unix_fd(chardev->source, chardev->in_tag, in);
		else if ((in & G_IO_IN) || reads_itself)
			chardev->in_tag = g_source_add_unix_fd(chardev->source, chardev->in_fd, in);
	}

	g_mutex_lock(&chardev->lock);
	blocked = chardev->write_blocked && chardev->out_fd >= 0;
	g_mutex_unlock(&chardev->lock);
	if (blocked && !chardev->out_tag) {
		chardev->out_tag = g_source_add_unix_fd(chardev->source, chardev->out_fd, G_IO_OUT);
	} else if (!blocked && chardev->out_tag) {
		g_source_remove_unix_fd(chardev->source, chardev->out_tag);
		chardev->out_tag = NULL;
	}
}

void chardev_set_open(Chardev *chardev, bool open)
{
	if (chardev_is_open(chardev) == open)
		return;
	g_atomic_int_set(&chardev->open, open);
	front_end_event(chardev, open ? CHARDEV_OPENED : CHARDEV_CLOSED);
}

bool chardev_attach(Chardev *chardev, const char *user, const ChardevFrontEnd *front_end,
		    void *opaque, GError **error)
{
	if (chardev->front_end)
		return error_fail(error, "chardev '%s' is in use by '%s'", chardev->id,
				  chardev->user);
	chardev->user = g_strdup(user);
	chardev->front_end = front_end;
	chardev->opaque = opaque;
	if (chardev_is_open(chardev))
		front_end_event(chardev, CHARDEV_OPENED);
	update_poll(chardev);
	return true;
}

void chardev_detach(Chardev *chardev)
{
	g_clear_pointer(&chardev->user, g_free);
	chardev->front_end = NULL;
	chardev->opaque = NULL;
	update_poll(chardev);
}

void chardev_disconnect(Chardev *chardev)
{
	if (chardev->kind != CHARDEV_SOCKET || !chardev_is_open(chardev))
		return;
	/* Not at once: the caller may be in the middle of this peer's input. */
	chardev->disconnecting = true;
	g_source_set_ready_time(chardev->source, 0);
}

bool chardev_connect(Chardev *chardev, GError **error)
{
	if (chardev->kind != CHARDEV_SOCKET)
		return error_fail(error, "chardev '%s' is no socket", chardev->id);
	if (chardev_is_open(chardev) || chardev->ops->connect(chardev, error))
		return true;
	g_prefix_error(error, "chardev '%s': ", chardev->id);
	return false;
}

bool chardev_reconnects(const Chardev *chardev)
{
	return chardev->reconnects;
}

int chardev_socket(const Chardev *chardev)
{
	return chardev->kind == CHARDEV_SOCKET ? chardev->in_fd : -1;
}

void chardev_accept_input(Chardev *chardev)
{
	g_source_set_ready_time(chardev->source, 0);
}

/* Any thread, under the lock. The log of a console is worth waiting for its disk. */
static void write_log(Chardev *chardev, const uint8_t *data, size_t size)
{
	while (size > 0 && chardev->log_fd >= 0) {
		ssize_t written = write(chardev->log_fd, data, size);

		if (written >= 0) {
			data += written;
			size -= written;
		} else if (errno == EAGAIN) {
			g_usleep(100);
		} else if (errno != EINTR) {
			g_warning("chardev '%s': the log ends here: %s", chardev->id,
				  error_text(errno));
			fd_close(&chardev->log_fd);
		}
	}
}

/* Any thread, under the lock. */
static size_t stream_write(Chardev *chardev, const uint8_t *data, size_t size)
{
	size_t done = 0;

	while (done < size && chardev->out_fd >= 0) {
		ssize_t written;

		if (chardev->out_is_socket)
			written = send(chardev->out_fd, data + done, size - done, MSG_NOSIGNAL);
		else
			written = write(chardev->out_fd, data + done, size - done);
		if (written >= 0) {
			done += written;
		} else if (errno == EAGAIN) {
			chardev->write_blocked = true;
			g_source_set_ready_time(chardev->source, 0);
			return done;
		} else if (errno != EINTR) {
			/* The reading side notices a peer that went; a full disk is told here. */
			if (chardev->kind == CHARDEV_FILE && !chardev->write_failed)
				g_warning("chardev '%s': output is lost: %s", chardev->id,
					  error_text(errno));
			chardev->write_failed = true;
			return size;
		}
	}
	return size;
}

size_t chardev_write(Chardev *chardev, const uint8_t *data, size_t size)
{
	size_t taken = size;

	g_mutex_lock(&chardev->lock);
	if (chardev->ops->write)
		taken = chardev->ops->write(chardev, data, size);
	else if (chardev->out_fd >= 0)
		taken = stream_write(chardev, data, size);
	write_log(chardev, data, taken);
	g_mutex_unlock(&chardev->lock);
	return taken;
}

void chardev_stream_start(Chardev *chardev, int in_fd, int out_fd)
{
	struct stat status;

	chardev->in_fd = in_fd;
	if (in_fd >= 0)
		chardev->in_tag = g_source_add_unix_fd(chardev->source, in_fd, G_IO_HUP | G_IO_ERR);
	g_mutex_lock(&chardev->lock);
	chardev->out_fd = out_fd;
	chardev->out_is_socket = fstat(out_fd, &status) == 0 && S_ISSOCK(status.st_mode);
	chardev->write_failed = false;
	g_mutex_unlock(&chardev->lock);
	update_poll(chardev);
}

void chardev_stream_end_input(Chardev *chardev)
{
	if (chardev->in_tag)
		g_source_remove_unix_fd(chardev->source, chardev->in_tag);
	chardev->in_tag = NULL;
	if (chardev->in_fd != chardev->out_fd)
		fd_close(&chardev->in_fd);
	chardev->in_fd = -1;
}

void chardev_writable(Chardev *chardev)
{
	g_mutex_lock(&chardev->lock);
	chardev->write_blocked = false;
	g_mutex_unlock(&chardev->lock);
	if (chardev->front_end && chardev->front_end->writable)
		chardev->front_end->writable(chardev->opaque);
}

void chardev_stream_stop(Chardev *chardev)
{
	bool was_blocked;

	chardev->disconnecting = false;
	chardev_stream_end_input(chardev);
	if (chardev->out_tag)
		g_source_remove_unix_fd(chardev->source, chardev->out_tag);
	chardev->out_tag = NULL;
	g_mutex_lock(&chardev->lock);
	fd_close(&chardev->out_fd);
	was_blocked = chardev->write_blocked;
	g_mutex_unlock(&chardev->lock);
	/* What waits for room would wait for ever. */
	if (was_blocked)
		chardev_writable(chardev);
}

size_t chardev_deliver(Chardev *chardev, const uint8_t *data, size_t size)
{
	size_t taken = MIN(size, front_end_room(chardev));

	if (taken > 0)
		chardev->front_end->receive(chardev->opaque, data, taken);
	return taken;
}

void chardev_guest_opened(Chardev *chardev, bool open)
{
	g_mutex_lock(&chardev->lock);
	if (chardev->ops->guest_opened)
		chardev->ops->guest_opened(chardev, open);
	g_mutex_unlock(&chardev->lock);
}

/*
 * Nobody can take what is left to read: keep it for a front end that will, without being woken
 * over and over until then.
 */
static void hang_up_unread(Chardev *chardev)
{
	int unread = 0;

	if (chardev->front_end && !chardev->front_end->reads_itself && ioctl(chardev->in_fd, FIONREAD, &unread) == 0 && unread > 0) {
		g_source_remove_unix_fd(chardev->source, chardev->in_tag);
		chardev->in_tag = NULL;
		return;
	}
	chardev->ops->hang_up(chardev);
}

static void stream_readable(Chardev *chardev, GIOCondition condition)
{
	uint8_t buffer[4096];
	size_t room = front_end_room(chardev);
	ssize_t got;

	if (room == 0) {
		if (condition & (G_IO_HUP | G_IO_ERR | G_IO_NVAL))
			hang_up_unread(chardev);
		return;
	}
	room = MIN(room, sizeof(buffer));
	if (chardev->ops->read)
		got = chardev->ops->read(chardev, buffer, room);
	else
		got = read(chardev->in_fd, buffer, room);

	if (got > 0)
		chardev->front_end->receive(chardev->opaque, buffer, got);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		chardev->ops->hang_up(chardev);
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	Chardev *chardev = ((ChardevSource *)source)->chardev;
	GIOCondition in = 0, out = 0;

	(void)callback;
	(void)data;
	g_source_set_ready_time(source, -1);
	if (chardev->disconnecting) {
		chardev->ops->hang_up(chardev);
		update_poll(chardev);
		return G_SOURCE_CONTINUE;
	}
	if (chardev->in_tag)
		in = g_source_query_unix_fd(source, chardev->in_tag);
	if (chardev->out_tag)
		out = g_source_query_unix_fd(source, chardev->out_tag);

	if (out)
		chardev_writable(chardev);
	if (in && chardev->in_fd >= 0)
		stream_readable(chardev, in);
	if (chardev->ops->attend)
		chardev->ops->attend(chardev);
	update_poll(chardev);
	return G_SOURCE_CONTINUE;
}

GSource *chardev_add_timer(Chardev *chardev, unsigned milliseconds, GSourceFunc func)
{
	GSource *source = g_timeout_source_new(milliseconds);

	g_source_set_callback(source, func, chardev, NULL);
	g_source_attach(source, chardev->context);
	return source;
}

void chardev_drop_source(GSource **source)
{
	if (*source) {
		g_source_destroy(*source);
		g_source_unref(*source);
	}
	*source = NULL;
}
