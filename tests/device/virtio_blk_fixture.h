/*
 * virtio_blk_fixture.h: a block device driven as a guest would, or would not
 *
 * The block node is a fake: it holds requests until the test lets them go, with the result that the
 * test wants.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <errno.h>
#include <string.h>

#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/virtio/virtio_blk.h"

#define DISK_SIZE (1u << 20)
#define HELD_MAX  1024u

/* Feature bits used here (virtio 1.2 §5.2.3). */
#define F_RO	     VIRTIO_FEATURE(5)
#define F_FLUSH	     VIRTIO_FEATURE(9)
#define F_CONFIG_WCE VIRTIO_FEATURE(11)
#define F_ALL	     UINT64_MAX

enum {
	TYPE_IN = 0,
	TYPE_OUT = 1,
	TYPE_FLUSH = 4,
	TYPE_GET_ID = 8,
	TYPE_DISCARD = 11,
	TYPE_WRITE_ZEROES = 13,
};

struct BlockNode {
	IoLoop *loops[4]; /* by port */
	unsigned n_loops;
	const BlockNodeListener *listener;
	void *opaque;
	BlockLimits limits;
	uint8_t data[DISK_SIZE];
	bool write_cache;
	bool attached;
	gint draining[4]; /* by port, atomic */

	GMutex lock;
	bool hold;	  /* keep requests instead of serving them */
	int result;	  /* what requests get */
	unsigned fail_in; /* how many requests later only one gets it; 0: all do */
	BlockRequest *held[HELD_MAX];
	unsigned held_ports[HELD_MAX];
	unsigned n_held;
	unsigned n_seen[BLOCK_N_OPERATIONS];
	unsigned n_by_port[4];
};

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	BlockNode *node;
	Device *device;
	VirtioDriver driver;
	uint64_t header, data, status; /* guest-physical, of the request being built */
	QmpEventSink sink;
	GMutex lock;
	GPtrArray *events; /* char *: NAME JSON */
} Fixture;

/* How many requests the node keeps. */
unsigned node_n_held(BlockNode *node);

/* Serve what is kept, and keep no more. */
void node_release(BlockNode *node);

/* Keep requests from now on, or not; and what they get. */
void node_set(BlockNode *node, bool hold, int result);

/* Of the next requests the @n th, counted from 1, gets @result, and the others succeed. */
void node_fail_nth(BlockNode *node, unsigned n, int result);

/* The device of the fixture, with more properties; NULL: none. */
void add_device(Fixture *fixture, const char *options);

/* For g_test_add(); @options as those of add_device(). */
void set_up(Fixture *fixture, gconstpointer options);
/* Unplug the device, if there is one. */
void remove_device(Fixture *fixture);

void tear_down(Fixture *fixture, gconstpointer data);

/* Build a request at descriptors @head.. of queue 0: header, @size bytes of data, status. */
void build(Fixture *fixture, unsigned head, uint32_t type, uint64_t sector, uint32_t size);

/* Of the request built last. */
uint8_t request_status(Fixture *fixture);
uint8_t *request_data(Fixture *fixture);

/* Make a request and wait for its answer; returns the status. */
uint8_t run(Fixture *fixture, uint32_t type, uint64_t sector, uint32_t size);

/* The device still works, after a reset. */
void assert_alive(Fixture *fixture);

/* A discard or write zeroes of @n sectors; returns the status. */
uint8_t run_range(Fixture *fixture, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags);

/* A thread that calls node_release() with the node, not at once. */
gpointer release_soon(gpointer data);

/* Offer @n reads, and wait until the node keeps them all. */
void fill_with_reads(Fixture *fixture, unsigned n);

/* The one event since the last call is a BLOCK_IO_ERROR with both texts in it. */
void assert_event(Fixture *fixture, const char *action, const char *operation);

/* Out of space: the machine stops, the request stays, and is made again when it goes on. */
void fail_with_stop(Fixture *fixture);

/* Register @func with a fixture whose device has @options. */
static inline void blk_fixture_add(const char *path, void (*func)(Fixture *, gconstpointer),
				   const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-blk/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}
