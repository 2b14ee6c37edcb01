/*
 * dirty_rate.c: how fast a guest writes its RAM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/dirty_rate.h"

#include "vmm/base/error.h"
#include "vmm/machine/machine_internal.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/memory/page_sample.h"

#define CALC_TIME_MIN 1
#define CALC_TIME_MAX 60 /* s */

#define SAMPLE_PAGES_MIN 128
#define SAMPLE_PAGES_MAX 16384

struct DirtyRate {
	Machine *machine;
	/* Of the last measurement, or the one under way. */
	QapiDirtyRateMeasureMode mode;
	QapiDirtyRateStatus status;
	int64_t start_time, calc_time; /* s */
	int64_t sample_pages;
	int64_t result; /* MiB/s, once measured */

	GThread *thread;   /* NULL: nothing is under way */
	GSource *finished; /* attached by the thread when it is through */
	DirtyTracker *tracker;

	GMutex lock;
	GCond changed;
	bool cancelled; /* under the lock */
	/* The thread's, until it has been joined. */
	uint64_t n_bytes;    /* were written */
	int64_t duration_us; /* within that time */
};

DirtyRate *dirty_rate_new(Machine *machine)
{
	DirtyRate *rate = g_new0(DirtyRate, 1);

	rate->machine = machine;
	rate->sample_pages = DIRTY_RATE_SAMPLE_PAGES;
	g_mutex_init(&rate->lock);
	g_cond_init(&rate->changed);
	return rate;
}

/* Wait as long as the measurement takes; sets duration_us. */
static void wait_for_end(DirtyRate *rate)
{
	int64_t start = g_get_monotonic_time();
	int64_t end = start + rate->calc_time * G_TIME_SPAN_SECOND;

	g_mutex_lock(&rate->lock);
	while (!rate->cancelled && g_cond_wait_until(&rate->changed, &rate->lock, end))
		continue;
	g_mutex_unlock(&rate->lock);
	rate->duration_us = MAX(g_get_monotonic_time() - start, 1);
}

static void measure_by_bitmap(DirtyRate *rate)
{
	/* What was written before the log was switched on is nobody's. */
	dirty_tracker_take(rate->tracker, NULL);
	wait_for_end(rate);
	rate->n_bytes = dirty_tracker_take(rate->tracker, NULL) * DIRTY_PAGE_SIZE;
}

static void measure_by_sampling(DirtyRate *rate)
{
	g_autoptr(PageSample) sample =
		page_sample_new(rate->machine->memory, (unsigned)rate->sample_pages);
	uint64_t n_changed, n_pages;

	wait_for_end(rate);
	n_changed = page_sample_count_changed(sample, &n_pages);
	if (n_pages > 0)
		rate->n_bytes = (uint64_t)((double)page_sample_size(sample) * (double)n_changed /
					   (double)n_pages);
}

static gpointer measure(gpointer data)
{
	DirtyRate *rate = data;

	machine_restrict_thread(rate->machine, SANDBOX_VCPU);
	if (rate->mode == QAPI_DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP)
		measure_by_bitmap(rate);
	else
		measure_by_sampling(rate);
	g_source_attach(rate->finished, rate->machine->context);
	return NULL;
}

/* End what the thread, which is through or told to be, leaves. */
static void clean_up(DirtyRate *rate)
{
	g_thread_join(g_steal_pointer(&rate->thread));
	g_source_destroy(rate->finished);
	g_clear_pointer(&rate->finished, g_source_unref);
	g_clear_pointer(&rate->tracker, dirty_tracker_free);
}

static gboolean take_result(gpointer data)
{
	DirtyRate *rate = data;
	const char *gap = rate->tracker ? dirty_tracker_gap(rate->tracker) : NULL;
	double per_second = (double)rate->n_bytes * G_TIME_SPAN_SECOND / (double)rate->duration_us;

	clean_up(rate);
	rate->result = (int64_t)(per_second / (1 << 20));
	rate->status = gap ? QAPI_DIRTY_RATE_STATUS_UNSTARTED : QAPI_DIRTY_RATE_STATUS_MEASURED;
	if (gap)
		g_warning("the dirty rate is not known: %s", gap);
	return G_SOURCE_REMOVE;
}

void dirty_rate_free(DirtyRate *rate)
{
	if (!rate)
		return;
	if (rate->thread) {
		g_mutex_lock(&rate->lock);
		rate->cancelled = true;
		g_cond_signal(&rate->changed);
		g_mutex_unlock(&rate->lock);
		clean_up(rate);
	}
	g_mutex_clear(&rate->lock);
	g_cond_clear(&rate->changed);
	g_free(rate);
}

bool dirty_rate_start(DirtyRate *rate, int64_t calc_time, int64_t sample_pages,
		      QapiDirtyRateMeasureMode mode, GError **error)
{
	if (rate->thread)
		return error_fail(error, "the dirty rate is being measured already");
	if (calc_time < CALC_TIME_MIN || calc_time > CALC_TIME_MAX)
		return error_fail(error, "'calc-time' is not between %d and %d seconds",
				  CALC_TIME_MIN, CALC_TIME_MAX);
	if (sample_pages < SAMPLE_PAGES_MIN || sample_pages > SAMPLE_PAGES_MAX)
		return error_fail(error, "'sample-pages' is not between %d and %d",
				  SAMPLE_PAGES_MIN, SAMPLE_PAGES_MAX);
	if (mode == QAPI_DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP) {
		rate->tracker = dirty_tracker_new(rate->machine->memory, error);
		if (!rate->tracker)
			return false;
	}
	rate->mode = mode;
	rate->status = QAPI_DIRTY_RATE_STATUS_MEASURING;
	rate->start_time = g_get_monotonic_time() / G_TIME_SPAN_SECOND;
	rate->calc_time = calc_time;
	rate->sample_pages = sample_pages;
	rate->finished = g_idle_source_new();
	g_source_set_callback(rate->finished, take_result, rate, NULL);
	rate->thread = g_thread_try_new("dirty-rate", measure, rate, error);
	if (rate->thread)
		return true;
	rate->status = QAPI_DIRTY_RATE_STATUS_UNSTARTED;
	g_clear_pointer(&rate->finished, g_source_unref);
	g_clear_pointer(&rate->tracker, dirty_tracker_free);
	return false;
}

QapiDirtyRateInfo *dirty_rate_describe(const DirtyRate *rate)
{
	QapiDirtyRateInfo *info = g_new0(QapiDirtyRateInfo, 1);

	info->has_dirty_rate = rate->status == QAPI_DIRTY_RATE_STATUS_MEASURED;
	info->dirty_rate = info->has_dirty_rate ? rate->result : 0;
	info->status = rate->status;
	info->start_time = rate->start_time;
	info->calc_time = rate->calc_time;
	info->sample_pages = (uint64_t)rate->sample_pages;
	info->mode = rate->mode;
	return info;
}
