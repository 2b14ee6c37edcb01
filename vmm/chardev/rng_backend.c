/*
 * rng_backend.c: sources of entropy for virtio-rng (-object rng-random, rng-builtin)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/rng_backend.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sys/random.h>
#include <sys/stat.h>

/* getrandom() of this much neither blocks (once the host has booted) nor is interrupted. */
#define BUILTIN_MAX 256

struct RngBackend {
	int fd; /* -1: built in */
};

RngBackend *rng_backend_new_random(const char *filename, GError **error)
{
	RngBackend *backend;
	struct stat status;
	/* Non-blocking only to open, in case it is something else. */
	autofd int fd = fd_open(filename ? filename : "/dev/urandom", O_RDONLY | O_NONBLOCK, 0,
				NULL, error);

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) < 0 || !S_ISCHR(status.st_mode)) {
		error_fail(error, "'%s' is not a character device", filename);
		return NULL;
	}
	if (!fd_set_nonblocking(fd, false, error))
		return NULL;
	backend = g_new0(RngBackend, 1);
	backend->fd = fd_steal(&fd);
	return backend;
}

RngBackend *rng_backend_new_builtin(void)
{
	RngBackend *backend = g_new0(RngBackend, 1);

	backend->fd = -1;
	return backend;
}

void rng_backend_free(RngBackend *backend)
{
	if (!backend)
		return;
	fd_close(&backend->fd);
	g_free(backend);
}

static void rng_complete(IoOperation *operation, int result)
{
	RngRequest *request = (RngRequest *)((char *)operation - G_STRUCT_OFFSET(RngRequest, io));

	if (result >= 0 && request->backend->fd < 0) {
		result = getrandom(request->buffer, MIN(request->size, BUILTIN_MAX), GRND_NONBLOCK);
		if (result < 0)
			result = -errno;
	}
	if (result == -EINTR || result == -EAGAIN)
		rng_backend_request(request->backend, request->loop, request);
	else
		request->complete(request, result);
}

void rng_backend_request(RngBackend *backend, IoLoop *loop, RngRequest *request)
{
	struct io_uring_sqe *sqe;

	request->backend = backend;
	request->loop = loop;
	request->io.complete = rng_complete;
	sqe = io_loop_get_sqe(loop, &request->io);
	if (backend->fd < 0)
		io_uring_prep_nop(sqe);
	else
		io_uring_prep_read(sqe, backend->fd, request->buffer, MIN(request->size, INT32_MAX),
				   0);
}

void rng_request_cancel(RngRequest *request)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(request->loop, NULL);

	io_uring_prep_cancel(sqe, &request->io, 0);
}
