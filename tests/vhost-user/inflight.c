/*
 * inflight.c: a back end's record of requests in flight, in memory that outlives it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/vhost-user/inflight.h"

#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64u

size_t inflight_bytes(unsigned n_descriptors)
{
	size_t bytes = sizeof(InflightRecord) + n_descriptors * sizeof(InflightDescriptor);

	return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

int inflight_new(VhostUserInflight *wire)
{
	int fd = memfd_create("inflight", MFD_CLOEXEC);

	wire->size = wire->n_queues * inflight_bytes(wire->queue_size);
	wire->offset = 0;
	g_assert_no_errno(ftruncate(fd, (off_t)wire->size));
	return fd;
}

void inflight_begin(InflightRecord *record, uint16_t head)
{
	uint64_t counter = 0;

	g_assert_cmpuint(head, <, record->n_descriptors);
	for (unsigned i = 0; i < record->n_descriptors; i++)
		counter = MAX(counter, record->descriptors[i].counter);
	record->descriptors[head].counter = counter + 1;
	__atomic_store_n(&record->descriptors[head].inflight, 1, __ATOMIC_SEQ_CST);
}

void inflight_finish(InflightRecord *record, uint16_t head)
{
	__atomic_store_n(&record->last_batch_head, head, __ATOMIC_SEQ_CST);
}

void inflight_end(InflightRecord *record, uint16_t head, uint16_t used_index)
{
	__atomic_store_n(&record->descriptors[head].inflight, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&record->used_index, used_index, __ATOMIC_SEQ_CST);
}

static gint compare(gconstpointer one, gconstpointer other, gpointer data)
{
	const InflightRecord *record = data;
	uint64_t first = record->descriptors[*(const uint16_t *)one].counter;
	uint64_t second = record->descriptors[*(const uint16_t *)other].counter;

	return first < second ? -1 : first > second;
}

GArray *inflight_recover(InflightRecord *record, uint16_t used_index)
{
	GArray *heads = g_array_new(FALSE, FALSE, sizeof(uint16_t));

	/* Died between showing the last one and noting that. */
	if (record->used_index != used_index)
		inflight_end(record, record->last_batch_head, used_index);
	for (unsigned i = 0; i < record->n_descriptors; i++) {
		uint16_t head = (uint16_t)i;

		if (record->descriptors[i].inflight)
			g_array_append_val(heads, head);
	}
	g_array_sort_with_data(heads, compare, record);
	return heads;
}
