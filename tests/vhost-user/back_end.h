/*
 * back_end.h: a small vhost-user back end, for tests
 *
 * It listens at a unix socket and serves one front end after another on a thread of its own, as a
 * block device whose disk is memory, or as a switch that sends each frame back. Asked to, it lies.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/block/virtio_blk_layout.h"

#define BACK_END_QUEUES 4u

typedef enum BackEndLie {
	BACK_END_HONEST,
	BACK_END_SILENT,	/* does not answer */
	BACK_END_WRONG_REQUEST, /* answers another request */
	BACK_END_WRONG_FLAGS,	/* an answer that does not say it is one */
	BACK_END_TOO_SHORT,	/* the payload is a byte less than it must be */
	BACK_END_HUGE,		/* says that the payload has 4 GiB */
	BACK_END_REFUSES,	/* answers 1 where 0 is success */
	BACK_END_DESCRIPTORS,	/* descriptors come with an answer that has none */
	BACK_END_HANGS_UP,	/* half an answer, and then the end of the connection */
	BACK_END_OTHER,		/* the answer is about something else: another ring, other bytes */
	BACK_END_NO_DESCRIPTOR, /* none comes with an answer that must have one */
	BACK_END_N_LIES,
} BackEndLie;

/* How it lies in a ring. */
typedef enum BackEndRingLie {
	BACK_END_RING_HONEST,
	BACK_END_RING_OTHER,  /* answers what there is not */
	BACK_END_RING_TWICE,  /* answers the same request again */
	BACK_END_RING_LONG,   /* wrote more than there was room for */
	BACK_END_RING_SHORT,  /* says that all is well, and wrote less than was to be read */
	BACK_END_RING_STATUS, /* a status byte that there is not */
	BACK_END_RING_SILENT, /* no status byte */
	BACK_END_RING_INDEX,  /* answers more than was asked */
	BACK_END_RING_N_LIES,
	/* These are no lies: it fails, and it cannot do what it said it could. */
	BACK_END_RING_FAILS,
	BACK_END_RING_UNSUPPORTED,
} BackEndRingLie;

typedef struct BackEnd BackEnd;

/*
 * Listen at @path and serve @disk of @size bytes (borrowed). @features are its device feature bits
 * beside those of rings, @protocol its protocol features. A failure fails the test.
 */
BackEnd *back_end_new(const char *path, uint8_t *disk, size_t size, uint64_t features,
		      uint64_t protocol);
/*
 * The same, but as a switch: what a network card sends by its n-th send queue comes back by its
 * n-th receive queue, or is dropped where there is no buffer that it fits in.
 */
BackEnd *back_end_new_switch(const char *path, uint64_t features, uint64_t protocol);
/* End the thread, and the connection. */
void back_end_free(BackEnd *back_end);

/* From now on answer @request with @lie. Any thread. */
void back_end_set_lie(BackEnd *back_end, unsigned request, BackEndLie lie);
/* From now on answer requests in rings with @lie. Any thread. */
void back_end_set_ring_lie(BackEnd *back_end, BackEndRingLie lie);
/* What it says it is, from now on. Any thread. */
void back_end_set_config(BackEnd *back_end, const VirtioBlkConfig *config);
/*
 * Of what is in a ring answer only the last @n requests, the last one first, and none ever of the
 * others; 0: answer all. Any thread.
 */
void back_end_serve_last(BackEnd *back_end, unsigned n);
/*
 * Take the next request and do not answer it, nor say that it was taken but in the record of what
 * is in flight. Any thread.
 */
void back_end_keep_one(BackEnd *back_end);
/* Do not take requests from rings until told otherwise. Any thread. */
void back_end_hold(BackEnd *back_end, bool hold);
/* Say on the channel of the back end that configuration changed. Any thread. */
void back_end_change_config(BackEnd *back_end, uint64_t sectors);
/* Send @size bytes of @data on that channel, whatever they are. Any thread. */
void back_end_send_raw(BackEnd *back_end, const void *data, size_t size);
/* Signal the error descriptor of ring @index. Any thread. */
void back_end_signal_error(BackEnd *back_end, unsigned index);
/* Break the connection from this side. Any thread. */
void back_end_hang_up(BackEnd *back_end);

/* What number the last @request came with that has one. */
uint64_t back_end_told(BackEnd *back_end, unsigned request);
/* How many rings are started and enabled. */
unsigned back_end_running(BackEnd *back_end);
/* How often @request was received; the last status byte of SET_CONFIG's cache, -1: none. */
unsigned back_end_count(BackEnd *back_end, unsigned request);
int back_end_writeback(BackEnd *back_end);
/* How many regions of memory it knows. */
unsigned back_end_regions(BackEnd *back_end);
