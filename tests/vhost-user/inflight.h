/*
 * inflight.h: a back end's record of requests in flight, in memory that outlives it
 *
 * As the specification of vhost-user has it for split rings ("Inflight I/O tracking").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "vmm/vhost/vhost_user_message.h"

typedef struct InflightDescriptor {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter; /* the order in which they were taken */
} InflightDescriptor;

/* Of one queue. */
typedef struct InflightRecord {
	uint64_t features;
	uint16_t version;
	uint16_t n_descriptors;
	uint16_t last_batch_head;
	uint16_t used_index;
	InflightDescriptor descriptors[];
} InflightRecord;

/* Bytes that the record of a queue of @n_descriptors takes. */
size_t inflight_bytes(unsigned n_descriptors);

/* A new record as @wire asks for it, whose size is set: a file, to be closed. */
int inflight_new(VhostUserInflight *wire);

/* The chain at @head was taken from the ring. */
void inflight_begin(InflightRecord *record, uint16_t head);
/* It is about to be given back; and: the driver sees it, with the ring's @used_index. */
void inflight_finish(InflightRecord *record, uint16_t head);
void inflight_end(InflightRecord *record, uint16_t head, uint16_t used_index);

/*
 * Another back end starts with a ring that has @used_index: returns the heads (uint16_t) that are
 * to be served again, in the order they were taken. Free with g_array_unref.
 */
GArray *inflight_recover(InflightRecord *record, uint16_t used_index);
