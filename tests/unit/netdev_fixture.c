/*
 * netdev_fixture.c: a card that a netdev is attached to, for tests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/unit/netdev_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "qapi-types.h"
#include "vmm/config/options.h"

static unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	g_assert_nonnull(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

void fixture_set_up(Fixture *fixture, gconstpointer data)
{
	(void)data;
	fixture->descriptors = count_descriptors();
	fixture->netdevs = netdevs_new();
	fixture->loop = io_loop_new("net", NULL, NULL, NULL);
	fixture->frames = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	fixture->room = NET_FRAME_MAX;
}

void fixture_tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->netdev)
		netdev_detach(fixture->netdev);
	netdevs_free(fixture->netdevs);
	io_loop_free(fixture->loop);
	g_ptr_array_unref(fixture->frames);
	g_assert_cmpuint(count_descriptors(), ==, fixture->descriptors);
}

static void card_readable(void *opaque, unsigned queue)
{
	Fixture *fixture = opaque;
	static uint8_t buffer[NET_FRAME_MAX];
	struct iovec iov[3] = { { buffer, 5 },
				{ buffer + 5, MIN(fixture->room, 20) },
				{ buffer + 25, fixture->room > 25 ? fixture->room - 25 : 0 } };
	ssize_t got;

	g_atomic_int_inc(&fixture->n_readable);
	do {
		memset(buffer, 0xee, NET_HEADER_SIZE);
		got = netdev_receive(fixture->netdev, queue, iov, 3);
		if (got > 0) {
			g_assert_cmpint(got, >, NET_HEADER_SIZE);
			for (unsigned i = 0; i < NET_HEADER_SIZE; i++)
				g_assert_cmpint(buffer[i], ==, 0);
			g_ptr_array_add(fixture->frames, g_bytes_new(buffer + NET_HEADER_SIZE,
								     got - NET_HEADER_SIZE));
			g_atomic_int_inc(&fixture->n_frames);
			g_atomic_int_inc(&fixture->n_frames_of[queue]);
		} else if (got == -EMSGSIZE) {
			g_atomic_int_inc(&fixture->n_too_big);
		} else if (got != -EAGAIN) {
			/* The host's side is gone. */
			g_atomic_int_inc(&fixture->n_gone);
			netdev_watch_readable(fixture->netdev, queue, false);
			return;
		}
	} while (got != -EAGAIN && !fixture->greedy);
}

static void card_writable(void *opaque, unsigned queue)
{
	(void)queue;
	g_atomic_int_inc(&((Fixture *)opaque)->n_writable);
}

static void card_link_changed(void *opaque, bool up)
{
	(void)up;
	g_atomic_int_inc(&((Fixture *)opaque)->n_link_changes);
}

const NetdevListener card = {
	.readable = card_readable,
	.writable = card_writable,
	.link_changed = card_link_changed,
};

bool add(Fixture *fixture, GError **error, const char *format, ...)
{
	g_autoptr(QapiNetdev) options = NULL;
	g_autofree char *text = NULL;
	json_object *parsed;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	parsed = options_parse(text, "type", error);
	g_assert_nonnull(parsed);
	options = qapi_parse_Netdev(parsed, QAPI_PARSE_KEYVAL, error);
	json_object_put(parsed);
	return options && netdevs_add(fixture->netdevs, options, error);
}

void watch(gpointer data)
{
	Netdev *netdev = ((Fixture *)data)->netdev;

	for (unsigned i = 0; i < netdev_n_queues(netdev); i++)
		netdev_watch_readable(netdev, i, true);
}

void unwatch(gpointer data)
{
	Netdev *netdev = ((Fixture *)data)->netdev;

	for (unsigned i = 0; i < netdev_n_queues(netdev); i++)
		netdev_watch_readable(netdev, i, false);
}

void attach(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;

	fixture->netdev = netdevs_find(fixture->netdevs, "n");
	g_assert_nonnull(fixture->netdev);
	g_assert_true(
		netdev_attach(fixture->netdev, "card", fixture->loop, &card, fixture, &error));
	io_loop_run_sync(fixture->loop, watch, fixture);
}

static void nothing(gpointer data)
{
	(void)data;
}

void settle(Fixture *fixture)
{
	for (int i = 0; i < 20; i++) {
		io_loop_run_sync(fixture->loop, nothing, NULL);
		g_usleep(200);
	}
}

typedef struct Send {
	Netdev *netdev;
	unsigned queue;
	const void *payload;
	size_t size;
	int result;
} Send;

static void send_on_loop(gpointer data)
{
	Send *send_call = data;
	uint8_t header[NET_HEADER_SIZE] = {};
	struct iovec iov[3] = { { header, 7 },
				{ header + 7, NET_HEADER_SIZE - 7 },
				{ (void *)send_call->payload, send_call->size } };

	send_call->result = netdev_send(send_call->netdev, send_call->queue, iov, 3);
}

int card_send_from(Fixture *fixture, unsigned queue, const void *payload, size_t size)
{
	Send send_call = {
		.netdev = fixture->netdev, .queue = queue, .payload = payload, .size = size
	};

	io_loop_run_sync(fixture->loop, send_on_loop, &send_call);
	return send_call.result;
}

int card_send(Fixture *fixture, const void *payload, size_t size)
{
	return card_send_from(fixture, 0, payload, size);
}
