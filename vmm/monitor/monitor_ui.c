/*
 * monitor_ui.c: QMP commands of schemas/ui.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "qmp/qmp_fds.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/display/display.h"
#include "vmm/display/display_image.h"
#include "vmm/display/input.h"
#include "vmm/display/input_keys.h"
#include "vmm/machine/machine.h"

#define SEND_KEY_HOLD_MS     100
#define SEND_KEY_HOLD_MAX_MS 60000

static Display *display_of(QmpContext *ctx)
{
	return machine_services(qmp_context_machine(ctx))->display;
}

static int open_fd_set(void *opaque, int64_t set, int flags, GError **error)
{
	int fd = qmp_fds_set_open(opaque, set, flags, error);

	if (fd < 0)
		errno = ENOENT;
	return fd;
}

static bool write_all(int fd, const uint8_t *data, size_t size, GError **error)
{
	while (size > 0) {
		ssize_t written = write(fd, data, size);

		if (written < 0)
			return error_fail_errno(error, errno, "cannot write the picture");
		data += written;
		size -= (size_t)written;
	}
	return true;
}

/* Anything but a regular file could keep the monitor waiting. */
static bool write_file(QmpFds *fds, const char *filename, const GByteArray *image, GError **error)
{
	const FdSetOpener sets = { .open = open_fd_set, .opaque = fds };
	autofd int fd = fd_open(filename, O_WRONLY | O_CREAT | O_NONBLOCK, 0600, &sets, error);
	struct stat status;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return error_fail(error, "%s is no regular file", filename);
	if (ftruncate(fd, 0) < 0)
		return error_fail_errno(error, errno, "cannot empty %s", filename);
	return write_all(fd, image->data, image->len, error);
}

bool qmp_screendump(QmpContext *ctx, const char *filename, const char *device, bool has_head,
		    int64_t head, bool has_format, QapiImageFormat format, GError **error)
{
	Display *display = display_of(ctx);
	DisplayConsole *console;
	g_autoptr(DisplaySurface) surface = NULL;
	g_autoptr(GByteArray) image = NULL;

	if (has_head && !device)
		return error_fail(error, "'head' must be specified together with 'device'");
	if (has_head && (head < 0 || head > G_MAXINT32))
		return error_fail(error, "there is no screen %" G_GINT64_FORMAT, head);
	console = display_find_console(display, device, has_head ? (unsigned)head : 0);
	if (!console && device) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND,
			    "Device '%s' has no such screen", device);
		return false;
	}
	if (!console)
		return error_fail(error, "there is no screen to take a picture of");
	display_console_refresh(console);
	surface = display_console_surface(console);
	image = has_format && format == QAPI_IMAGE_FORMAT_PNG ? display_image_png(surface)
							      : display_image_ppm(surface);
	return write_file(qmp_context_fds(ctx), filename, image, error);
}

/* The key that @value names, or 0 and @error. */
static unsigned key_of(const QapiKeyValue *value, GError **error)
{
	unsigned code = 0;

	if (value->type == QAPI_KEY_VALUE_KIND_QCODE)
		code = input_key_of_qcode(value->u.qcode.data);
	else if (value->u.number.data > 0 && value->u.number.data <= UINT8_MAX)
		code = input_key_of_scan_code((unsigned)value->u.number.data);
	if (!code && value->type == QAPI_KEY_VALUE_KIND_QCODE)
		error_fail(error, "there is no key '%s'", qapi_str_QKeyCode(value->u.qcode.data));
	else if (!code)
		error_fail(error, "there is no key of scan code %" G_GINT64_FORMAT,
			   value->u.number.data);
	return code;
}

bool qmp_send_key(QmpContext *ctx, const GPtrArray *keys, bool has_hold_time, int64_t hold_time,
		  GError **error)
{
	InputRouter *input = display_input(display_of(ctx));
	unsigned codes[INPUT_KEYS_MAX];

	if (!has_hold_time || hold_time == 0)
		hold_time = SEND_KEY_HOLD_MS;
	if (hold_time < 0 || hold_time > SEND_KEY_HOLD_MAX_MS)
		return error_fail(error, "'hold-time' is from 0 to %d", SEND_KEY_HOLD_MAX_MS);
	if (keys->len > INPUT_KEYS_MAX)
		return error_fail(error, "at most %u keys can be sent at once", INPUT_KEYS_MAX);
	for (unsigned i = 0; i < keys->len; i++) {
		codes[i] = key_of(keys->pdata[i], error);
		if (!codes[i])
			return false;
	}
	if (!input_has(input, INPUT_KEYBOARD))
		return error_fail(error, "the guest has no keyboard that it listens to");
	return input_send_keys(input, codes, keys->len, (unsigned)hold_time) ||
	       error_fail(error, "too many keys wait for their turn");
}

static const InputButton buttons[QAPI_INPUT_BUTTON_COUNT] = {
	[QAPI_INPUT_BUTTON_LEFT] = INPUT_BUTTON_LEFT,
	[QAPI_INPUT_BUTTON_MIDDLE] = INPUT_BUTTON_MIDDLE,
	[QAPI_INPUT_BUTTON_RIGHT] = INPUT_BUTTON_RIGHT,
	[QAPI_INPUT_BUTTON_WHEEL_UP] = INPUT_BUTTON_WHEEL_UP,
	[QAPI_INPUT_BUTTON_WHEEL_DOWN] = INPUT_BUTTON_WHEEL_DOWN,
	[QAPI_INPUT_BUTTON_SIDE] = INPUT_BUTTON_SIDE,
	[QAPI_INPUT_BUTTON_EXTRA] = INPUT_BUTTON_EXTRA,
	[QAPI_INPUT_BUTTON_WHEEL_LEFT] = INPUT_BUTTON_WHEEL_LEFT,
	[QAPI_INPUT_BUTTON_WHEEL_RIGHT] = INPUT_BUTTON_WHEEL_RIGHT,
};

/* Whether @event can be sent to @device (NULL: whichever is due). */
static bool check_event(InputRouter *input, const char *device, const QapiInputEvent *event,
			GError **error)
{
	unsigned kinds = event->type == QAPI_INPUT_EVENT_KIND_KEY   ? INPUT_KEYBOARD
			 : event->type == QAPI_INPUT_EVENT_KIND_REL ? INPUT_RELATIVE
			 : event->type == QAPI_INPUT_EVENT_KIND_ABS
				 ? INPUT_ABSOLUTE
				 : INPUT_RELATIVE | INPUT_ABSOLUTE;
	const QapiInputMoveEvent *move =
		event->type == QAPI_INPUT_EVENT_KIND_ABS ? event->u.abs.data : event->u.rel.data;

	if (event->type == QAPI_INPUT_EVENT_KIND_KEY && !key_of(event->u.key.data->key, error))
		return false;
	if ((event->type == QAPI_INPUT_EVENT_KIND_ABS ||
	     event->type == QAPI_INPUT_EVENT_KIND_REL) &&
	    (move->value < -INPUT_POSITION_MAX || move->value > INPUT_POSITION_MAX))
		return error_fail(error, "a pointer cannot move by or to %" G_GINT64_FORMAT,
				  move->value);
	if (!input_has_device(input, device, kinds))
		return error_fail(error, "the guest listens to no device that takes %s events",
				  qapi_str_InputEventKind(event->type));
	return true;
}

static void send_event(InputRouter *input, const char *device, const QapiInputEvent *event)
{
	switch (event->type) {
	case QAPI_INPUT_EVENT_KIND_KEY:
		input_key(input, device, key_of(event->u.key.data->key, NULL),
			  event->u.key.data->down);
		break;
	case QAPI_INPUT_EVENT_KIND_BTN:
		input_button(input, device, buttons[event->u.btn.data->button],
			     event->u.btn.data->down);
		break;
	case QAPI_INPUT_EVENT_KIND_REL:
		input_move(input, device, (InputAxis)event->u.rel.data->axis,
			   (int32_t)event->u.rel.data->value);
		break;
	case QAPI_INPUT_EVENT_KIND_ABS:
		input_position(input, device, (InputAxis)event->u.abs.data->axis,
			       (int32_t)event->u.abs.data->value);
		break;
	}
}

bool qmp_input_send_event(QmpContext *ctx, const char *device, const GPtrArray *events,
			  GError **error)
{
	InputRouter *input = display_input(display_of(ctx));

	for (unsigned i = 0; i < events->len; i++) {
		if (!check_event(input, device, events->pdata[i], error))
			return false;
	}
	for (unsigned i = 0; i < events->len; i++)
		send_event(input, device, events->pdata[i]);
	input_sync(input);
	return true;
}
