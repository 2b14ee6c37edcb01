/*
 * fake_swtpm.c: a TPM behind a socket that does what swtpm does, or what it must not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_swtpm.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/fd.h"

#define N_COMMANDS    0x20u
#define RC_CANCELED   0x909u
#define PATIENCE_US   (5 * G_TIME_SPAN_SECOND)
#define MAXIMUM_SIZE  4096u
#define RESPONSE_SIZE 14u

struct FakeSwtpm {
	GThread *thread;
	int control_fd, data_fd, wake_fd;

	GMutex lock;
	GCond changed;
	FakeSwtpmFault faults[N_COMMANDS];
	unsigned counts[N_COMMANDS];
	uint32_t arguments[N_COMMANDS];
	bool ending, dying, releasing;
	unsigned blurting; /* 1: control, 2: data */
	bool running;	   /* SWTPM_INIT was the last word */
	bool holding;
	uint8_t held[RESPONSE_SIZE];
};

static void put32(uint8_t *bytes, uint32_t value)
{
	value = GUINT32_TO_BE(value);
	memcpy(bytes, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return GUINT32_FROM_BE(value);
}

static void say(int fd, const uint8_t *bytes, size_t size)
{
	/* Whoever does not listen any more is what some tests are about. */
	if (fd >= 0 && send(fd, bytes, size, MSG_NOSIGNAL) < 0)
		g_assert_true(errno == EPIPE || errno == ECONNRESET);
}

static void hang_up(FakeSwtpm *swtpm)
{
	fd_close(&swtpm->control_fd);
	fd_close(&swtpm->data_fd);
}

/* Send the @size bytes, in which what is wrong is right but for its length, with @fault. */
static void say_wrongly(FakeSwtpm *swtpm, int fd, uint8_t *bytes, size_t size, FakeSwtpmFault fault)
{
	uint8_t more[64] = { 0 };

	switch (fault) {
	case FAKE_SILENT:
		return;
	case FAKE_HANG_UP:
		hang_up(swtpm);
		return;
	case FAKE_SHORT:
		say(fd, bytes, 3);
		hang_up(swtpm);
		return;
	case FAKE_ALONE:
		say(fd, bytes, 4);
		return;
	case FAKE_LONG:
		memcpy(more, bytes, size);
		say(fd, more, size + 1);
		return;
	case FAKE_GARBAGE:
		memset(more, 0xa5, sizeof(more));
		say(fd, more, sizeof(more));
		return;
	case FAKE_SLICED:
		for (size_t i = 0; i < size; i++) {
			say(fd, bytes + i, 1);
			g_usleep(200);
		}
		return;
	default:
		say(fd, bytes, size);
	}
}

static size_t fill_reply(FakeSwtpm *swtpm, uint32_t command, uint32_t argument, uint8_t *reply,
			 FakeSwtpmFault fault)
{
	uint32_t all = 0xffff;

	switch (command) {
	case SWTPM_GET_CAPABILITY:
		put32(reply + 4, fault == FAKE_INCAPABLE ? all & ~SWTPM_CAP_STOP : all);
		return 8;
	case SWTPM_GET_TPMESTABLISHED:
		return 8;
	case SWTPM_SET_BUFFERSIZE:
		put32(reply + 4, fault == FAKE_HUGE   ? MAXIMUM_SIZE
				 : fault == FAKE_TINY ? TPM_HEADER_SIZE - 1
						      : argument);
		put32(reply + 8, 16);
		put32(reply + 12, MAXIMUM_SIZE);
		return 16;
	case SWTPM_INIT:
		swtpm->running = true;
		return 4;
	case SWTPM_STOP:
		swtpm->running = false;
		return 4;
	default:
		return 4;
	}
}

static void take_data_fd(FakeSwtpm *swtpm, struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	g_assert_nonnull(header);
	fd_close(&swtpm->data_fd);
	memcpy(&swtpm->data_fd, CMSG_DATA(header), sizeof(int));
}

static void answer_control(FakeSwtpm *swtpm)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	uint8_t request[64], reply[SWTPM_REPLY_MAX] = { 0 };
	struct iovec iov = { .iov_base = request, .iov_len = sizeof(request) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	ssize_t got = recvmsg(swtpm->control_fd, &message, MSG_CMSG_CLOEXEC);
	uint32_t command, argument;
	FakeSwtpmFault fault;
	size_t size;

	if (got <= 0) {
		hang_up(swtpm);
		return;
	}
	g_assert_cmpint(got, >=, 4);
	command = get32(request);
	argument = got >= 8 ? get32(request + 4) : 0;
	g_assert_cmpuint(command, <, N_COMMANDS);
	if (command == SWTPM_SET_DATAFD)
		take_data_fd(swtpm, &message);
	g_mutex_lock(&swtpm->lock);
	fault = swtpm->faults[command];
	swtpm->counts[command]++;
	swtpm->arguments[command] = argument;
	g_cond_broadcast(&swtpm->changed);
	g_mutex_unlock(&swtpm->lock);
	size = fill_reply(swtpm, command, argument, reply, fault);
	if (fault == FAKE_REFUSE) {
		put32(reply, 9);
		size = 4;
	}
	say_wrongly(swtpm, swtpm->control_fd, reply, size, fault);
	if (command == SWTPM_CANCEL_TPM_CMD && swtpm->holding) {
		put32(swtpm->held + 6, RC_CANCELED);
		swtpm->holding = false;
		say(swtpm->data_fd, swtpm->held, sizeof(swtpm->held));
	}
	if (command == SWTPM_SHUTDOWN)
		hang_up(swtpm);
}

static void answer_command(FakeSwtpm *swtpm)
{
	uint8_t command[MAXIMUM_SIZE], *response = swtpm->held;
	ssize_t got = recv(swtpm->data_fd, command, sizeof(command), 0);
	FakeSwtpmFault fault;

	if (got <= 0) {
		fd_close(&swtpm->data_fd);
		return;
	}
	g_assert_cmpint(got, >=, TPM_HEADER_SIZE);
	g_assert_cmpuint(get32(command + 2), ==, got);
	g_assert_true(swtpm->running);
	g_mutex_lock(&swtpm->lock);
	fault = swtpm->faults[0];
	swtpm->counts[0]++;
	g_cond_broadcast(&swtpm->changed);
	g_mutex_unlock(&swtpm->lock);
	tpm_make_response(0, response);
	put32(response + 2, RESPONSE_SIZE);
	memcpy(response + TPM_HEADER_SIZE, command + 6, 4);
	if (fault == FAKE_REFUSE) {
		response[0] = TPM_TAG_ERROR_1_2 >> 8;
		response[1] = TPM_TAG_ERROR_1_2 & 0xff;
	} else if (fault == FAKE_HUGE) {
		put32(response + 2, MAXIMUM_SIZE);
	} else if (fault == FAKE_TINY) {
		put32(response + 2, TPM_HEADER_SIZE - 1);
	}
	swtpm->holding = fault == FAKE_HELD;
	if (!swtpm->holding)
		say_wrongly(swtpm, swtpm->data_fd, response, RESPONSE_SIZE, fault);
}

/* Do what a test asked for. Returns whether to go on. */
static bool obey(FakeSwtpm *swtpm)
{
	static const uint8_t noise[] = { 0x80, 0x01, 0, 0 };
	bool go_on;

	g_mutex_lock(&swtpm->lock);
	go_on = !swtpm->ending;
	if (swtpm->dying)
		hang_up(swtpm);
	if (swtpm->releasing && swtpm->holding) {
		say(swtpm->data_fd, swtpm->held, sizeof(swtpm->held));
		swtpm->holding = false;
	}
	if (swtpm->blurting)
		say(swtpm->blurting == 1 ? swtpm->control_fd : swtpm->data_fd, noise,
		    sizeof(noise));
	swtpm->dying = swtpm->releasing = false;
	swtpm->blurting = 0;
	g_mutex_unlock(&swtpm->lock);
	return go_on;
}

static gpointer serve(gpointer data)
{
	FakeSwtpm *swtpm = data;
	bool go_on = true;

	while (go_on) {
		struct pollfd polled[] = {
			{ .fd = swtpm->wake_fd, .events = POLLIN },
			{ .fd = swtpm->control_fd, .events = POLLIN },
			{ .fd = swtpm->data_fd, .events = POLLIN },
		};

		poll(polled, G_N_ELEMENTS(polled), -1);
		if (polled[0].revents) {
			fd_event_take(swtpm->wake_fd);
			go_on = obey(swtpm);
		} else if (polled[1].revents) {
			answer_control(swtpm);
		} else if (polled[2].revents) {
			answer_command(swtpm);
		}
	}
	return NULL;
}

FakeSwtpm *fake_swtpm_new(int *fd)
{
	FakeSwtpm *swtpm = g_new0(FakeSwtpm, 1);
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	*fd = pair[0];
	swtpm->control_fd = pair[1];
	swtpm->data_fd = -1;
	swtpm->wake_fd = fd_new_event(NULL);
	g_mutex_init(&swtpm->lock);
	g_cond_init(&swtpm->changed);
	swtpm->thread = g_thread_new("swtpm", serve, swtpm);
	return swtpm;
}

void fake_swtpm_free(FakeSwtpm *swtpm)
{
	g_mutex_lock(&swtpm->lock);
	swtpm->ending = true;
	g_mutex_unlock(&swtpm->lock);
	fd_event_signal(swtpm->wake_fd);
	g_thread_join(swtpm->thread);
	hang_up(swtpm);
	fd_close(&swtpm->wake_fd);
	g_mutex_clear(&swtpm->lock);
	g_cond_clear(&swtpm->changed);
	g_free(swtpm);
}

void fake_swtpm_set_fault(FakeSwtpm *swtpm, SwtpmCommand command, FakeSwtpmFault fault)
{
	g_mutex_lock(&swtpm->lock);
	swtpm->faults[command] = fault;
	g_mutex_unlock(&swtpm->lock);
}

void fake_swtpm_release(FakeSwtpm *swtpm)
{
	g_mutex_lock(&swtpm->lock);
	swtpm->releasing = true;
	g_mutex_unlock(&swtpm->lock);
	fd_event_signal(swtpm->wake_fd);
}

void fake_swtpm_blurt(FakeSwtpm *swtpm, bool control)
{
	g_mutex_lock(&swtpm->lock);
	swtpm->blurting = control ? 1 : 2;
	g_mutex_unlock(&swtpm->lock);
	fd_event_signal(swtpm->wake_fd);
}

void fake_swtpm_die(FakeSwtpm *swtpm)
{
	g_mutex_lock(&swtpm->lock);
	swtpm->dying = true;
	g_mutex_unlock(&swtpm->lock);
	fd_event_signal(swtpm->wake_fd);
}

unsigned fake_swtpm_count(FakeSwtpm *swtpm, SwtpmCommand command, uint32_t *argument)
{
	unsigned count;

	g_mutex_lock(&swtpm->lock);
	count = swtpm->counts[command];
	if (argument)
		*argument = swtpm->arguments[command];
	g_mutex_unlock(&swtpm->lock);
	return count;
}

bool fake_swtpm_wait(FakeSwtpm *swtpm, SwtpmCommand command, unsigned before)
{
	gint64 end = g_get_monotonic_time() + PATIENCE_US;
	bool in_time = true;

	g_mutex_lock(&swtpm->lock);
	while (swtpm->counts[command] <= before && in_time)
		in_time = g_cond_wait_until(&swtpm->changed, &swtpm->lock, end);
	in_time = swtpm->counts[command] > before;
	g_mutex_unlock(&swtpm->lock);
	return in_time;
}
