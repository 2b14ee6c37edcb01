/*
 * dirty_rate.h: how fast a guest writes its RAM
 *
 * A measurement runs on a thread of its own and ends by itself; one at a time. All functions belong
 * to the main thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi-types.h"

typedef struct DirtyRate DirtyRate;
typedef struct Machine Machine;

/* Pages of each GiB that are looked at where nobody says how many. */
#define DIRTY_RATE_SAMPLE_PAGES 512

/* The rates of @machine, which outlives it; nothing is measured yet. */
DirtyRate *dirty_rate_new(Machine *machine);
/* Gives a measurement up that is under way. @rate may be NULL. */
void dirty_rate_free(DirtyRate *rate);

/*
 * Start to measure for @calc_time seconds (1 to 60) by @mode, with @sample_pages (128 to 16384) of
 * each GiB where that samples pages. False and @error where one is under way, a number is out of
 * range, or a writer cannot mark what it writes.
 */
bool dirty_rate_start(DirtyRate *rate, int64_t calc_time, int64_t sample_pages,
		      QapiDirtyRateMeasureMode mode, GError **error);

/* The measurement, as query-dirty-rate tells of it; to be freed. */
QapiDirtyRateInfo *dirty_rate_describe(const DirtyRate *rate);
