/*
 * monitor_migration.c: QMP commands of schemas/migration.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/base/error.h"
#include "vmm/machine/dirty_rate.h"
#include "vmm/machine/machine.h"

bool qmp_calc_dirty_rate(QmpContext *ctx, int64_t calc_time, bool has_sample_pages,
			 int64_t sample_pages, bool has_mode, QapiDirtyRateMeasureMode mode,
			 GError **error)
{
	DirtyRate *rate = machine_dirty_rate(qmp_context_machine(ctx));

	if (!has_mode)
		mode = QAPI_DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING;
	if (has_sample_pages && mode != QAPI_DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING)
		return error_fail(error, "'sample-pages' is for mode page-sampling alone");
	if (!has_sample_pages)
		sample_pages = DIRTY_RATE_SAMPLE_PAGES;
	return dirty_rate_start(rate, calc_time, sample_pages, mode, error);
}

QapiDirtyRateInfo *qmp_query_dirty_rate(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	return dirty_rate_describe(machine_dirty_rate(qmp_context_machine(ctx)));
}
