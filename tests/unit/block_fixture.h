/*
 * block_fixture.h: block nodes over an image, for tests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/base/fd.h"
#include "vmm/block/block.h"
#include "vmm/config/options.h"

#include "qapi-types.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/loop.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define IMAGE_SIZE (4u << 20)
#define BIG	   ((1u << 20) - 4096)

typedef struct Fixture {
	char *directory, *image;
	unsigned descriptors;
	BlockNodes *nodes;
	IoLoop *loop;
	uint64_t resized;
	bool threads; /* aio=threads */
} Fixture;

typedef struct Call {
	BlockRequest request;
	BlockNode *node;
	int result;
	gint done;
} Call;

/* A file of @size bytes, each sector other than the next. */
void make_image(const char *path, size_t size);

/* For g_test_add(). */
void fixture_set_up(Fixture *fixture, gconstpointer data);
void fixture_tear_down(Fixture *fixture, gconstpointer data);

/* blockdev-add of what an option would say. */
bool add(BlockNodes *nodes, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The same, which must fail with an error that has @message in it. */
void assert_add_fails(BlockNodes *nodes, const char *message, const char *options);

/* Attach @node to the loop. */
bool claim(Fixture *fixture, BlockNode *node, bool writable, GError **error);

/* A node "d" over the fixture's image, attached to its loop. */
BlockNode *attach(Fixture *fixture, const char *more);

/* Of each Call. */
void call_complete(BlockRequest *request, int result);

/* Submit a Call; on its loop. */
void call_submit(gpointer data);

/* Make @request, wait for it; returns its result. */
int run(Fixture *fixture, BlockNode *node, BlockRequest request);

int transfer(Fixture *fixture, BlockNode *node, BlockOperation operation, uint64_t offset,
	     void *buffer, size_t size);

int other(Fixture *fixture, BlockNode *node, BlockOperation operation, uint64_t offset,
	  uint64_t size);

/* As fixture_set_up(), for aio=threads. */
void fixture_set_up_threads(Fixture *fixture, gconstpointer data);
