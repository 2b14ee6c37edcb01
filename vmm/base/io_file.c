/*
 * io_file.c: files registered with the ring of an I/O loop
 *
 * They go into a table that is empty at first, by an operation of the ring itself: the system call
 * for it would have to be on the seccomp filter's list.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/io_loop_internal.h"

#define FILES_MAX 64
G_STATIC_ASSERT(FILES_MAX <= 64); /* bits of IoLoop.free_files */

struct IoFile {
	IoOperation update;
	IoLoop *loop;
	int fd;
	int32_t place;	    /* in the table; -1: in none */
	unsigned n_updates; /* with the kernel */
	bool registered;
	bool removed;
};

uint64_t io_files_make_table(struct io_uring *ring)
{
	int files[FILES_MAX];

	for (unsigned i = 0; i < FILES_MAX; i++)
		files[i] = -1;
	if (io_uring_register(ring->ring_fd, IORING_REGISTER_FILES, files, FILES_MAX) < 0)
		return 0;
	return UINT64_MAX >> (64 - FILES_MAX);
}

static const int no_file = -1;

/* The kernel reads *@descriptor, and acts, when this is submitted. */
static void file_update(IoFile *file, const int *descriptor)
{
	struct io_uring_sqe *sqe = io_loop_get_sqe(file->loop, &file->update);

	io_uring_prep_files_update(sqe, (int *)descriptor, 1, file->place);
	file->n_updates++;
}

static void file_updated(IoOperation *operation, int result)
{
	IoFile *file = (IoFile *)((char *)operation - G_STRUCT_OFFSET(IoFile, update));

	file->n_updates--;
	file->registered = result == 1;
	if (!file->removed || file->n_updates > 0)
		return;
	file->loop->free_files |= UINT64_C(1) << file->place;
	g_free(file);
}

IoFile *io_loop_add_file(IoLoop *loop, int fd)
{
	IoFile *file = g_new0(IoFile, 1);

	file->update.complete = file_updated;
	file->loop = loop;
	file->fd = fd;
	file->place = loop->free_files ? __builtin_ctzll(loop->free_files) : -1;
	if (file->place >= 0) {
		loop->free_files &= ~(UINT64_C(1) << file->place);
		file_update(file, &file->fd);
	}
	return file;
}

void io_file_use(const IoFile *file, struct io_uring_sqe *sqe)
{
	sqe->fd = file->registered ? file->place : file->fd;
	if (file->registered)
		sqe->flags |= IOSQE_FIXED_FILE;
}

void io_file_remove(IoFile *file)
{
	if (file->place < 0) {
		g_free(file);
		return;
	}
	file->removed = true;
	file_update(file, &no_file);
	/* Now, as the caller closes the descriptor, which the table would keep open. */
	io_loop_submit(file->loop);
}
