/*
 * tpm.c: the TPMs of a machine, and what devices ask of one
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/tpm/tpm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/config/property.h"
#include "vmm/tpm/tpm_internal.h"

/* Started for the first time, swtpm makes its seeds. */
#define CONTROL_MS 30000u
/* As long as Linux waits for a key to be made (TPM2_DURATION_LONG_LONG). */
#define COMMAND_MS 300000u
/* At the end: it has nothing to do then but to go. */
#define SHUTDOWN_MS 1000

struct Tpms {
	Chardevs *chardevs;
	TpmLimits limits;
	GPtrArray *all; /* Tpm * */
};

static void tpm_free(gpointer data)
{
	Tpm *tpm = data;

	chardev_detach(tpm->chardev);
	g_mutex_clear(&tpm->lock);
	g_cond_clear(&tpm->changed);
	g_free(tpm->reason);
	g_free(tpm->id);
	g_free(tpm);
}

Tpms *tpms_new(Chardevs *chardevs, const TpmLimits *limits)
{
	Tpms *tpms = g_new0(Tpms, 1);

	tpms->chardevs = chardevs;
	tpms->limits = (TpmLimits){ .control_ms = CONTROL_MS, .command_ms = COMMAND_MS };
	if (limits && limits->control_ms)
		tpms->limits.control_ms = limits->control_ms;
	if (limits && limits->command_ms)
		tpms->limits.command_ms = limits->command_ms;
	tpms->all = g_ptr_array_new_with_free_func(tpm_free);
	return tpms;
}

void tpms_free(Tpms *tpms)
{
	g_ptr_array_unref(tpms->all);
	g_free(tpms);
}

Tpm *tpms_find(Tpms *tpms, const char *id)
{
	for (unsigned i = 0; i < tpms->all->len; i++) {
		Tpm *tpm = tpms->all->pdata[i];

		if (strcmp(tpm->id, id) == 0)
			return tpm;
	}
	return NULL;
}

void tpms_foreach(Tpms *tpms, void (*func)(const Tpm *, gpointer), gpointer data)
{
	for (unsigned i = 0; i < tpms->all->len; i++)
		func(tpms->all->pdata[i], data);
}

/* -tpmdev's keys. */
typedef struct TpmOptions {
	char *type, *id, *chardev;
} TpmOptions;

static const Property option_properties[] = {
	{ .name = "type", .kind = PROPERTY_STRING, .offset = offsetof(TpmOptions, type) },
	{ .name = "id", .kind = PROPERTY_STRING, .offset = offsetof(TpmOptions, id) },
	{ .name = "chardev", .kind = PROPERTY_STRING, .offset = offsetof(TpmOptions, chardev) },
	PROPERTY_END,
};

static bool parse_options(TpmOptions *options, json_object *json, GError **error)
{
	bool done = true;

	json_object_object_foreach(json, key, value)
	{
		const Property *property = property_find(option_properties, key);

		done = done && (property ? property_set(property, options, value, error)
					 : error_fail(error, "there is no '%s' here", key));
	}
	if (!done)
		return false;
	if (!options->type || strcmp(options->type, "emulator") != 0)
		error_fail(error, "the type must be 'emulator'");
	else if (!options->id || !*options->id)
		error_fail(error, "'id' is missing");
	else if (!options->chardev)
		error_fail(error, "'chardev' is missing");
	else
		return true;
	return false;
}

static bool add(Tpms *tpms, const TpmOptions *options, GError **error)
{
	/* It reads from chardev_socket() itself, on the loop. */
	static const ChardevFrontEnd front_end = { .reads_itself = true };
	Chardev *chardev = chardevs_find(tpms->chardevs, options->chardev);
	Tpm *tpm;

	if (tpms_find(tpms, options->id))
		return error_fail(error, "there is a TPM '%s' already", options->id);
	if (!chardev)
		return error_fail(error, "there is no chardev '%s'", options->chardev);
	if (chardev_kind(chardev) != CHARDEV_SOCKET || chardev_socket(chardev) < 0)
		return error_fail(error, "chardev '%s' is no socket that is connected",
				  options->chardev);
	if (chardev_reconnects(chardev))
		return error_fail(error,
				  "chardev '%s' must not connect again: a TPM that comes "
				  "back has forgotten what the guest told it",
				  options->chardev);
	tpm = g_new0(Tpm, 1);
	if (!chardev_attach(chardev, options->id, &front_end, tpm, error)) {
		g_free(tpm);
		return false;
	}
	tpm->id = g_strdup(options->id);
	tpm->chardev = chardev;
	tpm->limits = tpms->limits;
	tpm->control_fd = tpm->data_fd = tpm->their_fd = -1;
	g_mutex_init(&tpm->lock);
	g_cond_init(&tpm->changed);
	g_ptr_array_add(tpms->all, tpm);
	return true;
}

bool tpms_add(Tpms *tpms, json_object *json, GError **error)
{
	TpmOptions options = { 0 };
	bool done = parse_options(&options, json, error) && add(tpms, &options, error);

	properties_clear(option_properties, &options);
	return done;
}

const char *tpm_id(const Tpm *tpm)
{
	return tpm->id;
}

const char *tpm_chardev_id(const Tpm *tpm)
{
	return chardev_id(tpm->chardev);
}

bool tpm_is_attached(const Tpm *tpm)
{
	return tpm->loop != NULL;
}

static bool wait_started(Tpm *tpm, GError **error)
{
	bool started;

	g_mutex_lock(&tpm->lock);
	while (!tpm->started && !tpm->reason)
		g_cond_wait(&tpm->changed, &tpm->lock);
	started = tpm->reason ? error_fail(error, "TPM '%s': %s", tpm->id, tpm->reason) : true;
	g_mutex_unlock(&tpm->lock);
	return started;
}

/* Make the sockets that the loop has. The chardev closes its own whatever the loop does then. */
static bool open_sockets(Tpm *tpm, GError **error)
{
	int pair[2];

	if (chardev_socket(tpm->chardev) < 0)
		return error_fail(error, "TPM '%s' is gone", tpm->id);
	tpm->control_fd = fcntl(chardev_socket(tpm->chardev), F_DUPFD_CLOEXEC, 0);
	if (tpm->control_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		error_fail_errno(error, errno, "no sockets for TPM '%s'", tpm->id);
		fd_close(&tpm->control_fd);
		return false;
	}
	tpm->data_fd = pair[0];
	tpm->their_fd = pair[1];
	return true;
}

bool tpm_attach(Tpm *tpm, IoLoop *loop, uint32_t buffer_size, const TpmListener *listener,
		void *opaque, GError **error)
{
	if (tpm->loop)
		return error_fail(error, "TPM '%s' has a device already", tpm->id);
	if (!open_sockets(tpm, error))
		return false;
	tpm->loop = loop;
	tpm->listener = listener;
	tpm->opaque = opaque;
	atomic_store(&tpm->buffer_size, MIN(buffer_size, TPM_BUFFER_MAX));
	io_loop_post(loop, tpm_emulator_begin, tpm);
	if (wait_started(tpm, error))
		return true;
	tpm_detach(tpm);
	return false;
}

/* Tell swtpm to end. */
static void shut_down(Tpm *tpm)
{
	uint8_t request[SWTPM_REQUEST_MAX], reply[SWTPM_REPLY_MAX];
	size_t size = swtpm_make_request(SWTPM_SHUTDOWN, 0, request);
	struct pollfd polled = { .fd = tpm->control_fd, .events = POLLIN };

	if (send(tpm->control_fd, request, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
	/* Were the socket closed before it has read this, it might not read it at all. */
	if (poll(&polled, 1, SHUTDOWN_MS) <= 0 ||
	    recv(tpm->control_fd, reply, sizeof(reply), MSG_DONTWAIT) < 0)
		g_info("TPM '%s' does not say that it ends", tpm->id);
}

void tpm_detach(Tpm *tpm)
{
	io_loop_run_sync(tpm->loop, tpm_emulator_end, tpm);
	if (!atomic_load(&tpm->failed))
		shut_down(tpm);
	fd_close(&tpm->their_fd);
	fd_close(&tpm->data_fd);
	fd_close(&tpm->control_fd);
	chardev_disconnect(tpm->chardev);
	tpm->loop = NULL;
	tpm->listener = NULL;
}

uint32_t tpm_buffer_size(const Tpm *tpm)
{
	return atomic_load(&tpm->buffer_size);
}

bool tpm_is_established(const Tpm *tpm)
{
	return atomic_load(&tpm->established);
}

bool tpm_has_failed(const Tpm *tpm)
{
	return atomic_load(&tpm->failed);
}

void tpm_reset(Tpm *tpm)
{
	io_loop_post(tpm->loop, tpm_emulator_reset, tpm);
}

void tpm_execute(Tpm *tpm, uint32_t serial, const uint8_t *bytes, size_t size)
{
	TpmCommand *command = g_new(TpmCommand, 1);

	g_return_if_fail(size >= TPM_HEADER_SIZE && size <= sizeof(command->bytes));
	command->tpm = tpm;
	command->serial = serial;
	command->size = (uint32_t)size;
	memcpy(command->bytes, bytes, size);
	io_loop_post(tpm->loop, tpm_emulator_execute, command);
}

void tpm_cancel(Tpm *tpm)
{
	io_loop_post(tpm->loop, tpm_emulator_cancel, tpm);
}
