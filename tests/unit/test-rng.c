/*
 * test-rng.c: sources of entropy
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/rng_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <unistd.h>

typedef struct Call {
	RngRequest request;
	RngBackend *backend;
	IoLoop *loop;
	uint8_t buffer[1024];
	int result;
	gint done;
} Call;

static void call_complete(RngRequest *request, int result)
{
	Call *call = (Call *)request;

	call->result = result;
	g_atomic_int_set(&call->done, 1);
}

static void call_start(gpointer data)
{
	Call *call = data;

	rng_backend_request(call->backend, call->loop, &call->request);
	g_assert_cmpint(g_atomic_int_get(&call->done), ==, 0);
}

static void call_cancel(gpointer data)
{
	rng_request_cancel(&((Call *)data)->request);
}

static void call_init(Call *call, RngBackend *backend, IoLoop *loop)
{
	*call = (Call){ .backend = backend, .loop = loop };
	call->request.buffer = call->buffer;
	call->request.size = sizeof(call->buffer);
	call->request.complete = call_complete;
}

static void wait_done(Call *call)
{
	for (int tries = 0; !g_atomic_int_get(&call->done) && tries < 5000; tries++)
		g_usleep(1000);
	g_assert_cmpint(g_atomic_int_get(&call->done), ==, 1);
}

static void assert_random(RngBackend *backend)
{
	g_autoptr(IoLoop) loop = io_loop_new("rng", NULL, NULL, NULL);
	uint8_t first[16];
	Call call;

	for (int i = 0; i < 2; i++) {
		call_init(&call, backend, loop);
		io_loop_run_sync(loop, call_start, &call);
		wait_done(&call);
		g_assert_cmpint(call.result, >=, 16);
		g_assert_cmpint(call.result, <=, sizeof(call.buffer));
		if (i == 0)
			memcpy(first, call.buffer, sizeof(first));
	}
	g_assert_cmpint(memcmp(first, call.buffer, sizeof(first)), !=, 0);
}

static void test_builtin(void)
{
	g_autoptr(RngBackend) backend = rng_backend_new_builtin();

	assert_random(backend);
}

static void test_random(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(RngBackend) backend = rng_backend_new_random(NULL, &error);

	g_assert_no_error(error);
	assert_random(backend);
}

static void test_refuses(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(rng_backend_new_random("/no/such", &error));
	g_assert_nonnull(strstr(error->message, "cannot open '/no/such'"));
	g_clear_error(&error);
	g_assert_null(rng_backend_new_random("/proc/version", &error));
	g_assert_cmpstr(error->message, ==, "'/proc/version' is not a character device");
}

/* A device that has nothing to give yet: the request waits, and can be given up. */
static void test_cancel(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(IoLoop) loop = io_loop_new("rng", NULL, NULL, NULL);
	RngBackend *backend;
	int controller, terminal;
	char name[64];
	Call call;

	g_assert_cmpint(openpty(&controller, &terminal, name, NULL, NULL), ==, 0);
	backend = rng_backend_new_random(name, &error);
	g_assert_no_error(error);
	call_init(&call, backend, loop);
	io_loop_run_sync(loop, call_start, &call);
	g_usleep(20000);
	g_assert_cmpint(g_atomic_int_get(&call.done), ==, 0);
	io_loop_run_sync(loop, call_cancel, &call);
	wait_done(&call);
	g_assert_cmpint(call.result, <, 0);
	rng_backend_free(backend);
	close(controller);
	close(terminal);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/rng/builtin", test_builtin);
	g_test_add_func("/rng/random", test_random);
	g_test_add_func("/rng/refuses", test_refuses);
	g_test_add_func("/rng/cancel", test_cancel);
	return g_test_run();
}
