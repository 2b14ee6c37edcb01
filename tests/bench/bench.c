/*
 * bench.c: how the benchmarks that are programs report
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/bench/bench.h"

#include <string.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(double *sorted, const double *values, unsigned n)
{
	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), compare);
}

double bench_median(const double *values, unsigned n)
{
	g_autofree double *sorted = g_new(double, n);

	sort(sorted, values, n);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static char *goal_text(const BenchRow *row)
{
	return row->goal_ratio ? g_strdup_printf("ratio >= %g", row->goal_ratio) : g_strdup("none");
}

static const char *met_text(const BenchRow *row, double ratio, const char *yes, const char *no,
			    const char *nothing)
{
	if (!row->goal_ratio)
		return nothing;
	return ratio >= row->goal_ratio ? yes : no;
}

static void print_json(const BenchRow *row)
{
	double ours = bench_median(row->ours, row->n_runs);
	g_autofree char *goal = goal_text(row);

	g_print("{\"name\": \"%s\", \"unit\": \"%s\", \"ours\": %.3f, ", row->name, row->unit,
		ours);
	if (row->has_peer) {
		double peer = bench_median(row->peer, row->n_runs);

		g_print("\"peer\": %.3f, \"ratio\": %.3f, \"goal\": \"%s\", \"met\": %s}\n", peer,
			ours / peer, goal, met_text(row, ours / peer, "true", "false", "null"));
	} else {
		g_print("\"peer\": null, \"ratio\": null, \"goal\": \"%s\", \"met\": null}\n",
			goal);
	}
}

static char *value_text(const double *values, unsigned n)
{
	double sorted[BENCH_RUNS_MAX];

	sort(sorted, values, n);
	return g_strdup_printf("%.1f [%.1f..%.1f]", bench_median(values, n), sorted[0],
			       sorted[n - 1]);
}

static void print_row(const BenchRow *row)
{
	g_autofree char *ours = value_text(row->ours, row->n_runs);
	g_autofree char *peer = row->has_peer ? value_text(row->peer, row->n_runs) : g_strdup("-");
	g_autofree char *goal = goal_text(row);
	double ratio = row->has_peer ? bench_median(row->ours, row->n_runs) /
					       bench_median(row->peer, row->n_runs)
				     : 0;
	g_autofree char *ratio_text =
		row->has_peer ? g_strdup_printf("%.3f", ratio) : g_strdup("-");

	g_print("%-24s %-6s %-30s %-30s %-6s %-12s %s\n", row->name, row->unit, ours, peer,
		ratio_text, goal, met_text(row, ratio, "yes", "no", "-"));
}

void bench_report(const BenchRow *rows, unsigned n_rows, bool json)
{
	if (!json)
		g_print("%-24s %-6s %-30s %-30s %-6s %-12s %s\n", "name", "unit", "ours", "peer",
			"ratio", "goal", "met");
	for (unsigned i = 0; i < n_rows; i++) {
		if (rows[i].n_runs == 0)
			continue;
		if (json)
			print_json(&rows[i]);
		else
			print_row(&rows[i]);
	}
}
