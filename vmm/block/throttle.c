/*
 * throttle.c: how fast requests may go, by leaky buckets
 *
 * The sizes of buckets are those of QEMU's, so that limits mean the same: a tenth of a second's
 * worth of the average without bursts; with them what a whole burst carries, and beside it a
 * tenth of a second's worth of the burst's own rate.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/throttle.h"
#include "vmm/base/error.h"

#include <inttypes.h>

/* The largest limit, of anything; doubles are exact far beyond it. */
#define VALUE_MAX UINT64_C(1000000000000000)

#define NS_PER_SECOND 1e9

void throttle_config_init(ThrottleConfig *config)
{
	*config = (ThrottleConfig){};
	for (int i = 0; i < THROTTLE_N_KINDS; i++)
		config->limits[i].max_length = 1;
}

bool throttle_config_is_enabled(const ThrottleConfig *config)
{
	for (int i = 0; i < THROTTLE_N_KINDS; i++) {
		if (config->limits[i].average > 0)
			return true;
	}
	return false;
}

/* A total and its parts exclude each other: @kind is the total, its parts follow it. */
static bool check_total(const ThrottleConfig *config, ThrottleKind kind, const char *name,
			GError **error)
{
	const ThrottleLimit *limits = &config->limits[kind];

	if (limits[0].average && (limits[1].average || limits[2].average))
		return error_fail(error, "total and read/write limits of %s exclude each other",
				  name);
	if (limits[0].max && (limits[1].max || limits[2].max))
		return error_fail(error,
				  "total and read/write limits of %s in bursts exclude each other",
				  name);
	return true;
}

static bool check_limit(const ThrottleLimit *limit, const char *name, GError **error)
{
	if (limit->average > VALUE_MAX || limit->max > VALUE_MAX)
		return error_fail(error, "a limit of %s is not in the range [0, %" PRIu64 "]", name,
				  VALUE_MAX);
	if (limit->max && !limit->average)
		return error_fail(error, "a limit of %s in bursts needs the limit it is a burst of",
				  name);
	if (limit->max && limit->max < limit->average)
		return error_fail(error, "a limit of %s in bursts is lower than the limit itself",
				  name);
	if (!limit->max_length)
		return error_fail(error, "a burst cannot last 0 seconds");
	if (limit->max_length > 1 && !limit->max)
		return error_fail(error, "the length of a burst of %s needs a limit during it",
				  name);
	if (limit->max && limit->max_length > VALUE_MAX / limit->max)
		return error_fail(error, "a burst of %s is too long for its limit", name);
	return true;
}

bool throttle_config_check(const ThrottleConfig *config, GError **error)
{
	bool has_iops = false;

	if (!check_total(config, THROTTLE_BPS_TOTAL, "bytes", error) ||
	    !check_total(config, THROTTLE_IOPS_TOTAL, "requests", error))
		return false;
	for (int i = 0; i < THROTTLE_N_KINDS; i++) {
		if (!check_limit(&config->limits[i], i < THROTTLE_IOPS_TOTAL ? "bytes" : "requests",
				 error))
			return false;
		if (i >= THROTTLE_IOPS_TOTAL && config->limits[i].average)
			has_iops = true;
	}
	if (config->iops_size && !has_iops)
		return error_fail(error, "a size of requests needs a limit of requests");
	return true;
}

void throttle_init(Throttle *throttle, const ThrottleConfig *config, int64_t now_ns)
{
	*throttle = (Throttle){ .config = *config, .last_ns = now_ns };
}

static double leaked(double level, uint64_t rate, int64_t elapsed_ns)
{
	double left = level - (double)rate * (double)elapsed_ns / NS_PER_SECOND;

	return left > 0 ? left : 0;
}

static void leak(Throttle *throttle, int64_t now_ns)
{
	int64_t elapsed_ns = now_ns - throttle->last_ns;

	if (elapsed_ns <= 0)
		return;
	throttle->last_ns = now_ns;
	for (int i = 0; i < THROTTLE_N_KINDS; i++) {
		const ThrottleLimit *limit = &throttle->config.limits[i];

		throttle->level[i] = leaked(throttle->level[i], limit->average, elapsed_ns);
		throttle->burst[i] = leaked(throttle->burst[i], limit->max, elapsed_ns);
	}
}

/* Seconds until what is in a bucket fits into @size. */
static double overflow(double level, double size, uint64_t rate)
{
	return level > size ? (level - size) / (double)rate : 0;
}

static double bucket_wait(const Throttle *throttle, int kind)
{
	const ThrottleLimit *limit = &throttle->config.limits[kind];
	double wait;

	if (!limit->max)
		return overflow(throttle->level[kind], (double)limit->average / 10, limit->average);
	wait = overflow(throttle->level[kind], (double)limit->max * (double)limit->max_length,
			limit->average);
	if (limit->max_length > 1)
		wait = MAX(wait,
			   overflow(throttle->burst[kind], (double)limit->max / 10, limit->max));
	return wait;
}

int64_t throttle_admit(Throttle *throttle, bool is_write, uint64_t size, int64_t now_ns)
{
	const ThrottleConfig *config = &throttle->config;
	const int kinds[] = {
		THROTTLE_BPS_TOTAL,
		is_write ? THROTTLE_BPS_WRITE : THROTTLE_BPS_READ,
		THROTTLE_IOPS_TOTAL,
		is_write ? THROTTLE_IOPS_WRITE : THROTTLE_IOPS_READ,
	};
	double requests = config->iops_size && size > config->iops_size
				  ? (double)size / (double)config->iops_size
				  : 1;
	double wait = 0;

	leak(throttle, now_ns);
	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		int kind = kinds[i];
		double amount = kind < THROTTLE_IOPS_TOTAL ? (double)size : requests;

		if (!config->limits[kind].average)
			continue;
		wait = MAX(wait, bucket_wait(throttle, kind));
		throttle->level[kind] += amount;
		if (config->limits[kind].max_length > 1)
			throttle->burst[kind] += amount;
	}
	/* A day is longer than anybody's patience, and fits an int64_t whatever was asked for. */
	return (int64_t)(MIN(wait, 86400) * NS_PER_SECOND);
}
