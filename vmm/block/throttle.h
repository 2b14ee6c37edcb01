/*
 * throttle.h: how fast requests may go, by leaky buckets
 *
 * Arithmetic only: it knows no clock, no lock, no request. A bucket for each limit fills by what is
 * admitted and leaks at the average rate; what does not fit into it waits until it would. Levels
 * are charged when a request is admitted, also when it has to wait, so that requests go in the
 * order in which they came and one call is all that is ever needed for each.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum ThrottleKind {
	THROTTLE_BPS_TOTAL,
	THROTTLE_BPS_READ,
	THROTTLE_BPS_WRITE,
	THROTTLE_IOPS_TOTAL,
	THROTTLE_IOPS_READ,
	THROTTLE_IOPS_WRITE,
	THROTTLE_N_KINDS,
} ThrottleKind;

typedef struct ThrottleLimit {
	uint64_t average;    /* bytes or requests a second; 0: no limit */
	uint64_t max;	     /* the same, during a burst; 0: no bursts */
	uint64_t max_length; /* seconds that a burst lasts at most; at least 1 */
} ThrottleLimit;

typedef struct ThrottleConfig {
	ThrottleLimit limits[THROTTLE_N_KINDS];
	uint64_t iops_size; /* bytes: a larger request counts as several; 0: as one */
} ThrottleConfig;

typedef struct Throttle {
	ThrottleConfig config;
	double level[THROTTLE_N_KINDS]; /* what is in the bucket of the average */
	double burst[THROTTLE_N_KINDS]; /* and in that of the burst's rate */
	int64_t last_ns;		/* when it was looked at last */
} Throttle;

/* A configuration without limits. */
void throttle_config_init(ThrottleConfig *config);

/* Whether @config limits anything. */
bool throttle_config_is_enabled(const ThrottleConfig *config);

/* False and @error when @config contradicts itself or is out of range. */
bool throttle_config_check(const ThrottleConfig *config, GError **error);

/* Start over with @config, as of @now_ns. */
void throttle_init(Throttle *throttle, const ThrottleConfig *config, int64_t now_ns);

/* Admit a request of @size bytes. Returns for how many nanoseconds it has to wait; 0: not at all.
 */
int64_t throttle_admit(Throttle *throttle, bool is_write, uint64_t size, int64_t now_ns);
