/*
 * io_ring.c: what an I/O loop hands its operations to
 *
 * The kernel's ring is restricted to the operations below before it is enabled, and the thread's
 * seccomp filter has no io_uring_setup(): what the filter forbids cannot be had through the ring
 * either. Of what can be registered with a ring once it is enabled that leaves memory, where the
 * filter lets that through (SANDBOX_IO_LOCKED).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_ring.h"
#include "vmm/base/io_loop_internal.h"

#include <errno.h>
#include <string.h>

/* One page of entries; a full ring is submitted early, so this bounds a batch, not the load. */
#define SUBMISSION_ENTRIES 64
#define COMPLETION_ENTRIES 256

static const uint8_t allowed_operations[] = {
	IORING_OP_NOP,		IORING_OP_READV,
	IORING_OP_WRITEV,	IORING_OP_FSYNC,
	IORING_OP_POLL_ADD,	IORING_OP_POLL_REMOVE,
	IORING_OP_SENDMSG,	IORING_OP_RECVMSG,
	IORING_OP_TIMEOUT,	IORING_OP_TIMEOUT_REMOVE,
	IORING_OP_ASYNC_CANCEL, IORING_OP_FALLOCATE,
	IORING_OP_READ,		IORING_OP_WRITE,
	IORING_OP_URING_CMD,	IORING_OP_FILES_UPDATE,
	IORING_OP_READ_FIXED,	IORING_OP_WRITE_FIXED,
	IO_RING_OP_READV_FIXED, IO_RING_OP_WRITEV_FIXED, /* last: see restrict_operations() */
};
#define N_NEW_OPERATIONS 2

static const uint8_t allowed_registrations[] = {
	IORING_REGISTER_BUFFERS,
	IORING_UNREGISTER_BUFFERS,
};

/* @n_operations: of the list above. Returns 0 or a negative errno. */
static int restrict_to(struct io_uring *ring, unsigned n_operations)
{
	struct io_uring_restriction restrictions[G_N_ELEMENTS(allowed_operations) +
						 G_N_ELEMENTS(allowed_registrations) + 1] = {};
	unsigned n = 0;

	for (unsigned i = 0; i < n_operations; i++) {
		restrictions[n].opcode = IORING_RESTRICTION_SQE_OP;
		restrictions[n++].sqe_op = allowed_operations[i];
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(allowed_registrations); i++) {
		restrictions[n].opcode = IORING_RESTRICTION_REGISTER_OP;
		restrictions[n++].register_op = allowed_registrations[i];
	}
	restrictions[n++] = (struct io_uring_restriction){
		.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		.sqe_flags = IOSQE_FIXED_FILE,
	};
	/* liburing 2.3 declares wrappers of this and of the next step but does not export them. */
	return io_uring_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS, restrictions, n);
}

/* A kernel that lacks an operation refuses the list that has it. Returns 0 or a negative errno. */
static int restrict_operations(IoRing *ring)
{
	int result = restrict_to(&ring->kernel, G_N_ELEMENTS(allowed_operations));

	ring->has_vectors = result == 0;
	if (result == -EINVAL)
		result = restrict_to(&ring->kernel,
				     G_N_ELEMENTS(allowed_operations) - N_NEW_OPERATIONS);
	return result;
}

/* Returns 0 or a negative errno. On the loop thread: SINGLE_ISSUER binds the ring to it. */
static int open_kernel(IoRing *io_ring, uint64_t *free_files)
{
	/* Completion work runs when the thread asks for it (6.1), or at least without IPIs (5.19).
	 */
	static const unsigned modes[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	struct io_uring *ring = &io_ring->kernel;
	int result = -EINVAL;

	for (unsigned i = 0; i < G_N_ELEMENTS(modes) && result == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = modes[i] | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
			.cq_entries = COMPLETION_ENTRIES,
		};

		result = io_uring_queue_init_params(SUBMISSION_ENTRIES, ring, &params);
	}
	if (result < 0)
		return result;

	*free_files = io_files_make_table(ring);
	result = restrict_operations(io_ring);
	if (result == 0)
		result = io_uring_register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (result < 0)
		io_uring_queue_exit(ring);
	return result;
}

/* No io_uring, one too old, one that is not for us, or that we may not lock memory for. */
static bool is_refusal(int error)
{
	return error == ENOSYS || error == EINVAL || error == EPERM || error == EACCES ||
	       error == ENOMEM;
}

int io_ring_open(IoRing *ring, uint64_t *free_files)
{
	int result = open_kernel(ring, free_files);

	if (result == 0 || !is_refusal(-result))
		return result;
	*free_files = 0;
	ring->refusal = -result;
	ring->emulation = io_emulation_new();
	return 0;
}

void io_ring_close(IoRing *ring)
{
	if (ring->emulation) {
		io_emulation_free(ring->emulation);
		return;
	}
	/* Now: the kernel takes a closed ring apart later, and its memory would be pinned until then. */
	if (ring->has_buffers)
		io_uring_unregister_buffers(&ring->kernel);
	io_uring_queue_exit(&ring->kernel);
}

int io_ring_register_buffers(IoRing *ring, const struct iovec *pieces, unsigned n)
{
	int result = io_uring_register_buffers(&ring->kernel, pieces, n);

	ring->has_buffers = result == 0;
	return result;
}

struct io_uring_sqe *io_ring_get_sqe(IoRing *ring)
{
	struct io_uring_sqe *sqe = ring->emulation ? io_emulation_get_sqe(ring->emulation)
						   : io_uring_get_sqe(&ring->kernel);

	if (sqe)
		memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

bool io_ring_has_entries(IoRing *ring)
{
	return ring->emulation ? io_emulation_has_entries(ring->emulation)
			       : io_uring_sq_ready(&ring->kernel) > 0;
}

int io_ring_submit(IoRing *ring)
{
	return ring->emulation ? io_emulation_submit(ring->emulation)
			       : io_uring_submit(&ring->kernel);
}

int io_ring_submit_and_wait(IoRing *ring, unsigned n_wait)
{
	return ring->emulation ? io_emulation_submit_and_wait(ring->emulation, n_wait)
			       : io_uring_submit_and_wait(&ring->kernel, n_wait);
}

bool io_ring_has_work(IoRing *ring)
{
	unsigned flags;

	if (ring->emulation)
		return io_emulation_has_work(ring->emulation);
	flags = __atomic_load_n(ring->kernel.sq.kflags, __ATOMIC_RELAXED);
	return io_uring_cq_ready(&ring->kernel) > 0 ||
	       (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

unsigned io_ring_n_completions(IoRing *ring)
{
	return ring->emulation ? io_emulation_n_completions(ring->emulation)
			       : io_uring_cq_ready(&ring->kernel);
}

bool io_ring_take(IoRing *ring, IoOperation **operation, int *result, bool *more)
{
	struct io_uring_cqe *cqe;

	*more = false;

	if (ring->emulation)
		return io_emulation_take(ring->emulation, operation, result);
	if (io_uring_peek_cqe(&ring->kernel, &cqe) < 0)
		return false;
	*operation = io_uring_cqe_get_data(cqe);
	*result = cqe->res;
	*more = cqe->flags & IORING_CQE_F_MORE;
	/* Now: the callback may submit. */
	io_uring_cq_advance(&ring->kernel, 1);
	return true;
}
