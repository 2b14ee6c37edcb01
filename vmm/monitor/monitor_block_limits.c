/*
 * monitor_block_limits.c: block_set_io_throttle and block-latency-histogram-set
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/monitor/monitor_block_limits.h"

#include <string.h>

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "vmm/base/error.h"
#include "vmm/device/device.h"
#include "vmm/machine/machine.h"
#include "vmm/scsi/scsi.h"
#include "vmm/virtio/virtio_blk.h"

Device *monitor_find_drive(QmpContext *ctx, const char *id, GError **error)
{
	DeviceTree *tree = machine_devices(qmp_context_machine(ctx));
	g_autofree char *path = g_str_has_suffix(id, "/virtio-backend")
					? g_strndup(id, strlen(id) - strlen("/virtio-backend"))
					: g_strdup(id);
	Device *device = device_tree_find(tree, path);

	if (!device)
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
			    id);
	return device;
}

/* The node of the drive with @id. */
static BlockNode *find_drive(QmpContext *ctx, const char *id, GError **error)
{
	Device *device = monitor_find_drive(ctx, id, error);
	BlockNode *node;

	if (!device)
		return NULL;
	if (virtio_blk_is(device))
		return virtio_blk_node(device);
	node = scsi_disk_is(device) ? scsi_disk_node(device) : NULL;
	if (!node)
		error_fail(error, "Device '%s' has no block node here", id);
	return node;
}

/* Limits */

static bool take(uint64_t *value, const char *name, bool given, int64_t number, GError **error)
{
	if (given && number < 0)
		return error_fail(error, "%s must not be negative", name);
	if (given)
		*value = (uint64_t)number;
	return true;
}

/* A limit of block_set_io_throttle is three members, of which the latter two may be missing. */
#define TAKE(config, kind, args, name, error)                                       \
	(take(&(config)->limits[kind].average, #name, true, (args)->name, error) && \
	 take(&(config)->limits[kind].max, #name "_max", (args)->has_##name##_max,  \
	      (args)->name##_max, error) &&                                         \
	 take(&(config)->limits[kind].max_length, #name "_max_length",              \
	      (args)->has_##name##_max_length, (args)->name##_max_length, error))

bool qmp_block_set_io_throttle(QmpContext *ctx, const QapiBlockIOThrottle *args, GError **error)
{
	ThrottleConfig config;
	BlockNode *node;

	if (args->device && args->id)
		return error_fail(error, "give exactly one of 'device' and 'id'");
	if (args->device) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND,
			    "Device '%s' not found: drives are known by 'id'", args->device);
		return false;
	}
	if (!args->id)
		return error_fail(error, "Parameter 'id' is missing");
	throttle_config_init(&config);
	if (!TAKE(&config, THROTTLE_BPS_TOTAL, args, bps, error) ||
	    !TAKE(&config, THROTTLE_BPS_READ, args, bps_rd, error) ||
	    !TAKE(&config, THROTTLE_BPS_WRITE, args, bps_wr, error) ||
	    !TAKE(&config, THROTTLE_IOPS_TOTAL, args, iops, error) ||
	    !TAKE(&config, THROTTLE_IOPS_READ, args, iops_rd, error) ||
	    !TAKE(&config, THROTTLE_IOPS_WRITE, args, iops_wr, error) ||
	    !take(&config.iops_size, "iops_size", args->has_iops_size, args->iops_size, error))
		return false;
	node = find_drive(ctx, args->id, error);
	return node && block_node_set_throttle(node, args->group, &config, error);
}

#define GIVE(info, name, config, kind)                                                       \
	do {                                                                                 \
		const ThrottleLimit *limit = &(config)->limits[kind];                        \
                                                                                             \
		(info)->name = (int64_t)limit->average;                                      \
		(info)->has_##name##_max = (info)->has_##name##_max_length = limit->max > 0; \
		(info)->name##_max = (int64_t)limit->max;                                    \
		(info)->name##_max_length = (int64_t)limit->max_length;                      \
	} while (0)

void monitor_describe_throttle(const BlockNode *node, QapiBlockDeviceInfo *info)
{
	ThrottleConfig config;
	const char *group = block_node_get_throttle(node, &config);

	if (!group)
		return;
	info->group = g_strdup(group);
	GIVE(info, bps, &config, THROTTLE_BPS_TOTAL);
	GIVE(info, bps_rd, &config, THROTTLE_BPS_READ);
	GIVE(info, bps_wr, &config, THROTTLE_BPS_WRITE);
	GIVE(info, iops, &config, THROTTLE_IOPS_TOTAL);
	GIVE(info, iops_rd, &config, THROTTLE_IOPS_READ);
	GIVE(info, iops_wr, &config, THROTTLE_IOPS_WRITE);
	info->has_iops_size = config.iops_size > 0;
	info->iops_size = (int64_t)config.iops_size;
}

/* Histograms */

/* More would only cost time for each request. */
#define BOUNDARIES_MAX 1024u

static bool check_boundaries(const GArray *boundaries, const char *name, GError **error)
{
	uint64_t last = 0;

	if (boundaries->len > BOUNDARIES_MAX)
		return error_fail(error, "%s: more than %u boundaries", name, BOUNDARIES_MAX);
	for (guint i = 0; i < boundaries->len; i++) {
		uint64_t boundary = g_array_index(boundaries, uint64_t, i);

		if (boundary <= last)
			return error_fail(error, "%s: boundaries must be above 0 and ascend", name);
		last = boundary;
	}
	return true;
}

bool qmp_block_latency_histogram_set(QmpContext *ctx, const char *id, const GArray *boundaries,
				     const GArray *boundaries_read, const GArray *boundaries_write,
				     const GArray *boundaries_flush, GError **error)
{
	static const char *const names[] = { "boundaries-read", "boundaries-write",
					     "boundaries-flush" };
	const GArray *own[BLOCK_HISTOGRAM_N_KINDS] = { boundaries_read, boundaries_write,
						       boundaries_flush };
	BlockNode *node = find_drive(ctx, id, error);
	bool none = !boundaries && !boundaries_read && !boundaries_write && !boundaries_flush;

	if (!node || (boundaries && !check_boundaries(boundaries, "boundaries", error)))
		return false;
	for (int kind = 0; kind < BLOCK_HISTOGRAM_N_KINDS; kind++) {
		if (own[kind] && !check_boundaries(own[kind], names[kind], error))
			return false;
	}
	for (int kind = 0; kind < BLOCK_HISTOGRAM_N_KINDS; kind++) {
		const GArray *chosen = own[kind] ? own[kind] : boundaries;

		if (chosen || none)
			block_node_set_histogram(node, (BlockHistogramKind)kind,
						 chosen ? (const uint64_t *)(void *)chosen->data
							: NULL,
						 chosen ? chosen->len : 0);
	}
	return true;
}

static QapiBlockLatencyHistogramInfo *describe_histogram(BlockNode *node, BlockHistogramKind kind)
{
	g_autoptr(BlockHistogram) histogram = block_node_get_histogram(node, kind);
	QapiBlockLatencyHistogramInfo *info;

	if (!histogram)
		return NULL;
	info = g_new0(QapiBlockLatencyHistogramInfo, 1);
	info->boundaries = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	info->bins = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	g_array_append_vals(info->boundaries, histogram->boundaries, histogram->n_boundaries);
	g_array_append_vals(info->bins, histogram->bins, histogram->n_boundaries + 1);
	return info;
}

void monitor_describe_histograms(BlockNode *node, QapiBlockDeviceStats *stats)
{
	stats->rd_latency_histogram = describe_histogram(node, BLOCK_HISTOGRAM_READ);
	stats->wr_latency_histogram = describe_histogram(node, BLOCK_HISTOGRAM_WRITE);
	stats->flush_latency_histogram = describe_histogram(node, BLOCK_HISTOGRAM_FLUSH);
}
