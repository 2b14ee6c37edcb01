/*
 * tpm_emulator.c: the conversation with swtpm
 *
 * One thing at a time: either swtpm is being started, by the steps below, or the TPM carries out
 * one command. What comes meanwhile waits: a command, a reset, or both, the reset then first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/fd.h"
#include "vmm/tpm/tpm_internal.h"

#define NS_PER_MS INT64_C(1000000)

/* What this cannot do without. CANCEL_TPM_CMD it can. */
#define NEEDED                                                                                 \
	(SWTPM_CAP_INIT | SWTPM_CAP_SHUTDOWN | SWTPM_CAP_GET_TPMESTABLISHED | SWTPM_CAP_STOP | \
	 SWTPM_CAP_SET_DATAFD | SWTPM_CAP_SET_BUFFERSIZE)

/* How it is started, the first two for a new connection only. */
static const SwtpmCommand steps[] = {
	SWTPM_GET_CAPABILITY, SWTPM_SET_DATAFD, SWTPM_STOP,
	SWTPM_SET_BUFFERSIZE, SWTPM_INIT,	SWTPM_GET_TPMESTABLISHED,
};
#define STEP_STOP 2u

/* TPM2_ReadClock (part 3 §29.1). Before TPM2_Startup that is an error, but one of a TPM 2.0. */
static const uint8_t probe[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81 };

static void set_limit(Tpm *tpm, unsigned ms)
{
	io_timer_set(tpm->timer, io_loop_now_ns() + ms * NS_PER_MS);
}

static void stop_watching(Tpm *tpm)
{
	g_clear_pointer(&tpm->control_watch, io_watch_remove);
	g_clear_pointer(&tpm->data_watch, io_watch_remove);
	io_timer_stop(tpm->timer);
}

/* Tell the device of @command, if it still waits for it, and forget it. */
static void complete(Tpm *tpm, TpmCommand *command, const uint8_t *response, size_t size)
{
	if (command && !(command == tpm->current && tpm->dropped))
		tpm->listener->complete(tpm->opaque, command->serial, response, size);
	if (command == tpm->current)
		tpm->current = NULL;
	g_free(command);
}

static void fail(Tpm *tpm, const char *reason)
{
	bool started;

	if (atomic_exchange(&tpm->failed, true))
		return;
	stop_watching(tpm);
	g_mutex_lock(&tpm->lock);
	started = tpm->started;
	tpm->reason = g_strdup(reason);
	g_cond_broadcast(&tpm->changed);
	g_mutex_unlock(&tpm->lock);
	if (started) {
		g_warning("TPM '%s' has failed: %s", tpm->id, reason);
		tpm->listener->failed(tpm->opaque, reason);
	}
	complete(tpm, tpm->current, NULL, 0);
	complete(tpm, g_steal_pointer(&tpm->next), NULL, 0);
}

/* fail(), since @command came to nothing. */
static void fail_at(Tpm *tpm, SwtpmCommand command, const char *what)
{
	g_autofree char *reason = g_strdup_printf("%s (control command %d)", what, command);

	fail(tpm, reason);
}

static bool send_request(Tpm *tpm, SwtpmCommand command, uint32_t argument, int fd)
{
	uint8_t request[SWTPM_REQUEST_MAX];
	struct iovec iov = {
		.iov_base = request,
		.iov_len = swtpm_make_request(command, argument, request),
	};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *rights;

		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(rights), &fd, sizeof(int));
	}
	tpm->reply_size = 0;
	/* There is room for it: what was sent before has been answered. */
	if (sendmsg(tpm->control_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)iov.iov_len)
		return true;
	fail_at(tpm, command, "it takes no requests");
	return false;
}

static void send_step(Tpm *tpm)
{
	SwtpmCommand command = steps[tpm->step];
	bool with_fd = command == SWTPM_SET_DATAFD;
	uint32_t argument = command == SWTPM_SET_BUFFERSIZE ? atomic_load(&tpm->buffer_size) : 0;

	if (send_request(tpm, command, argument, with_fd ? tpm->their_fd : -1) && with_fd)
		fd_close(&tpm->their_fd);
}

static bool send_command(Tpm *tpm, const uint8_t *bytes, size_t size)
{
	tpm->response_size = 0;
	/* There is room for it, too. */
	if (send(tpm->data_fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size)
		return true;
	fail(tpm, "it takes no commands");
	return false;
}

static void start(Tpm *tpm)
{
	tpm->reset_wanted = false;
	tpm->activity = TPM_STARTING;
	tpm->step = tpm->connected ? STEP_STOP : 0;
	set_limit(tpm, tpm->limits.control_ms);
	send_step(tpm);
}

static void execute_next(Tpm *tpm)
{
	tpm->current = g_steal_pointer(&tpm->next);
	tpm->dropped = false;
	tpm->fresh = false;
	tpm->activity = TPM_EXECUTING;
	set_limit(tpm, tpm->limits.command_ms);
	send_command(tpm, tpm->current->bytes, tpm->current->size);
}

/* Begin with what waits, if nothing is going on. */
static void go_on(Tpm *tpm)
{
	if (tpm->failed || tpm->activity != TPM_IDLE || tpm->cancelling)
		return;
	io_timer_stop(tpm->timer);
	if (tpm->reset_wanted)
		start(tpm);
	else if (tpm->next)
		execute_next(tpm);
}

static void started(Tpm *tpm)
{
	tpm->activity = TPM_IDLE;
	tpm->fresh = true;
	g_mutex_lock(&tpm->lock);
	tpm->started = true;
	g_cond_broadcast(&tpm->changed);
	g_mutex_unlock(&tpm->lock);
	go_on(tpm);
}

/* Returns why swtpm will not do, or NULL. */
static const char *take_reply(Tpm *tpm, SwtpmCommand command, const SwtpmReply *reply)
{
	if (reply->result != 0)
		return command == SWTPM_INIT ? "it cannot start, see its log" : "it refuses";
	if (command == SWTPM_GET_CAPABILITY && (reply->capability & NEEDED) != NEEDED)
		return "it lacks what is needed of it";
	if (command == SWTPM_SET_BUFFERSIZE) {
		if (reply->buffer_size < TPM_HEADER_SIZE ||
		    reply->buffer_size > atomic_load(&tpm->buffer_size))
			return "its buffer has another size than the device's";
		atomic_store(&tpm->buffer_size, reply->buffer_size);
	}
	if (command == SWTPM_GET_TPMESTABLISHED)
		atomic_store(&tpm->established, reply->established);
	return NULL;
}

static void step_done(Tpm *tpm, const SwtpmReply *reply)
{
	SwtpmCommand command = steps[tpm->step];
	const char *reason = take_reply(tpm, command, reply);

	if (reason) {
		fail_at(tpm, command, reason);
		return;
	}
	if (command == SWTPM_SET_DATAFD)
		tpm->connected = true;
	if (++tpm->step < G_N_ELEMENTS(steps)) {
		send_step(tpm);
	} else if (tpm->started) {
		started(tpm);
	} else {
		tpm->activity = TPM_PROBING;
		send_command(tpm, probe, sizeof(probe));
	}
}

/*
 * Read more of a message into @bytes, which has @size and room for @room. False, and maybe failed:
 * there is nothing.
 */
static bool read_more(Tpm *tpm, int fd, uint8_t *bytes, size_t *size, size_t room)
{
	ssize_t got = recv(fd, bytes + *size, room - *size, MSG_DONTWAIT);

	if (got > 0) {
		*size += (size_t)got;
		return true;
	}
	if (got == 0 || (errno != EAGAIN && errno != EINTR))
		fail(tpm, "swtpm is gone");
	return false;
}

static void control_readable(gpointer data)
{
	Tpm *tpm = data;
	bool awaited = tpm->cancelling || tpm->activity == TPM_STARTING;
	SwtpmCommand command;
	SwtpmReply reply;

	if (!awaited)
		tpm->reply_size = 0;
	if (!read_more(tpm, tpm->control_fd, tpm->reply, &tpm->reply_size, sizeof(tpm->reply)))
		return;
	if (!awaited) {
		fail(tpm, "it replies when it was not asked");
		return;
	}
	command = tpm->cancelling ? SWTPM_CANCEL_TPM_CMD : steps[tpm->step];
	switch (swtpm_parse_reply(command, tpm->reply, tpm->reply_size, &reply)) {
	case TPM_MORE:
		return;
	case TPM_BAD:
		fail_at(tpm, command, "its reply is too long");
		return;
	case TPM_WHOLE:
		break;
	}
	if (tpm->cancelling) {
		/* Whether it was in time the response tells. */
		tpm->cancelling = false;
		go_on(tpm);
	} else {
		step_done(tpm, &reply);
	}
}

static void command_done(Tpm *tpm)
{
	bool probing = tpm->activity == TPM_PROBING;

	if (probing && (tpm->response[0] << 8 | tpm->response[1]) != TPM_TAG_NO_SESSIONS) {
		fail(tpm, "it is no TPM of version 2.0");
		return;
	}
	if (probing) {
		started(tpm);
		return;
	}
	tpm->activity = TPM_IDLE;
	complete(tpm, tpm->current, tpm->response, tpm->response_size);
	if (tpm->cancelling)
		set_limit(tpm, tpm->limits.control_ms);
	go_on(tpm);
}

static void data_readable(gpointer data)
{
	Tpm *tpm = data;
	bool awaited = tpm->activity == TPM_EXECUTING || tpm->activity == TPM_PROBING;
	size_t limit = atomic_load(&tpm->buffer_size);

	if (!awaited)
		tpm->response_size = 0;
	if (!read_more(tpm, tpm->data_fd, tpm->response, &tpm->response_size, limit))
		return;
	if (!awaited) {
		fail(tpm, "it responds when there was no command");
		return;
	}
	switch (tpm_parse_response(tpm->response, tpm->response_size, limit)) {
	case TPM_MORE:
		return;
	case TPM_BAD:
		fail(tpm, "its response is none");
		return;
	case TPM_WHOLE:
		command_done(tpm);
	}
}

static void out_of_time(gpointer data)
{
	fail(data, "it does not answer in time");
}

void tpm_emulator_begin(gpointer data)
{
	Tpm *tpm = data;

	tpm->timer = io_loop_add_timer(tpm->loop, out_of_time, tpm);
	tpm->control_watch =
		io_loop_watch_fd(tpm->loop, tpm->control_fd, false, control_readable, tpm);
	tpm->data_watch = io_loop_watch_fd(tpm->loop, tpm->data_fd, false, data_readable, tpm);
	start(tpm);
}

void tpm_emulator_end(gpointer data)
{
	Tpm *tpm = data;

	stop_watching(tpm);
	g_clear_pointer(&tpm->timer, io_timer_free);
	g_clear_pointer(&tpm->current, g_free);
	g_clear_pointer(&tpm->next, g_free);
}

void tpm_emulator_cancel(gpointer data)
{
	Tpm *tpm = data;

	if (tpm->failed || tpm->activity != TPM_EXECUTING || tpm->cancelling)
		return;
	tpm->cancelling = true;
	send_request(tpm, SWTPM_CANCEL_TPM_CMD, 0, -1);
}

void tpm_emulator_reset(gpointer data)
{
	Tpm *tpm = data;

	if (tpm->failed)
		return;
	g_clear_pointer(&tpm->next, g_free);
	/* Nobody has used it since it was started. */
	if (tpm->activity == TPM_IDLE && tpm->fresh)
		return;
	tpm->dropped = true;
	tpm->reset_wanted = true;
	tpm_emulator_cancel(tpm);
	go_on(tpm);
}

void tpm_emulator_execute(gpointer data)
{
	TpmCommand *command = data;
	Tpm *tpm = command->tpm;

	if (tpm->failed) {
		complete(tpm, command, NULL, 0);
		return;
	}
	/* Devices have one at a time; should one have two, the older one is not done. */
	complete(tpm, g_steal_pointer(&tpm->next), NULL, 0);
	tpm->next = command;
	go_on(tpm);
}
