/*
 * bench.h: how the benchmarks that are programs report
 *
 * One row for each thing measured: a table for people, or with --json an object for each row with
 * name, unit, ours, peer, ratio, goal, met, as all benchmarks here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define BENCH_RUNS_MAX 64u

typedef struct BenchRow {
	const char *name;
	const char *unit;
	double ours[BENCH_RUNS_MAX], peer[BENCH_RUNS_MAX]; /* one value for each run */
	unsigned n_runs;
	bool has_peer;
	double goal_ratio; /* ours to the peer's, at least; 0: measured without a goal */
} BenchRow;

/* The middle of @n @values. */
double bench_median(const double *values, unsigned n);

/* Print medians and, in the table, the spread of @rows; those without a run are left out. */
void bench_report(const BenchRow *rows, unsigned n_rows, bool json);
