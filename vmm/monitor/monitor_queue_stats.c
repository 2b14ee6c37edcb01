/*
 * monitor_queue_stats.c: what virtio queues have done, as statistics
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/monitor/monitor_queue_stats.h"
#include "vmm/virtio/virtio_device.h"

static const struct {
	const char *name;
	size_t offset; /* in VirtqueueCounters */
	bool bytes;
} counters[] = {
	{ "requests", offsetof(VirtqueueCounters, requests), false },
	{ "bytes", offsetof(VirtqueueCounters, bytes), true },
	{ "batches", offsetof(VirtqueueCounters, batches), false },
	{ "kicks", offsetof(VirtqueueCounters, kicks), false },
	{ "interrupts", offsetof(VirtqueueCounters, interrupts), false },
	{ "polls", offsetof(VirtqueueCounters, polls), false },
	{ "registered", offsetof(VirtqueueCounters, registered), false },
};

typedef struct Collection {
	GPtrArray *list;
	const GPtrArray *names;
} Collection;

static void append_queue(const Collection *collection, const VirtioQueue *queue)
{
	QapiStatsResult *result = g_new0(QapiStatsResult, 1);

	result->provider = QAPI_STATS_PROVIDER_X_VIREO;
	result->qom_path = g_strdup_printf("%s/queue[%u]", queue->ring.device_path,
					   queue->ring.index);
	result->stats = qapi_list_new_Stats();
	for (unsigned i = 0; i < G_N_ELEMENTS(counters); i++) {
		const char *counter = (const char *)&queue->ring.counters + counters[i].offset;
		QapiStats *stat;

		if (!monitor_stats_wanted(collection->names, counters[i].name))
			continue;
		stat = g_new0(QapiStats, 1);
		stat->name = g_strdup(counters[i].name);
		stat->value = g_new0(QapiStatsValue, 1);
		stat->value->type = QAPI_STATS_VALUE_SCALAR;
		stat->value->u.scalar =
			virtqueue_counted((const uint64_t *)(const void *)counter);
		g_ptr_array_add(result->stats, stat);
	}
	if (collection->names && result->stats->len == 0)
		qapi_free_StatsResult(result);
	else
		g_ptr_array_add(collection->list, result);
}

static void append_device(Device *device, gpointer data)
{
	const VirtioDevice *virtio = (const VirtioDevice *)device;

	if (!virtio_device_is(device))
		return;
	/* What vhost does with the others is not for us to see. */
	for (uint32_t i = 0; i < virtio->n_queues; i++) {
		if (!virtio->queues[i].outside)
			append_queue(data, &virtio->queues[i]);
	}
}

void monitor_append_queue_stats(GPtrArray *list, DeviceTree *devices, const GPtrArray *names)
{
	Collection collection = { .list = list, .names = names };

	device_tree_foreach(devices, false, append_device, &collection);
}

QapiStatsSchema *monitor_queue_stats_schema(void)
{
	QapiStatsSchema *schema = g_new0(QapiStatsSchema, 1);

	schema->provider = QAPI_STATS_PROVIDER_X_VIREO;
	schema->target = QAPI_STATS_TARGET_X_VIREO_QUEUE;
	schema->stats = qapi_list_new_StatsSchemaValue();
	for (unsigned i = 0; i < G_N_ELEMENTS(counters); i++) {
		QapiStatsSchemaValue *value = g_new0(QapiStatsSchemaValue, 1);

		value->name = g_strdup(counters[i].name);
		value->type = QAPI_STATS_TYPE_CUMULATIVE;
		value->has_unit = counters[i].bytes;
		value->unit = QAPI_STATS_UNIT_BYTES;
		g_ptr_array_add(schema->stats, value);
	}
	return schema;
}
