/*
 * test-throttle.c: the arithmetic of limits, against a clock of its own
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/block/throttle.h"

#define SECOND INT64_C(1000000000)

static void add_limit(ThrottleConfig *config, ThrottleKind kind, uint64_t average, uint64_t max,
		      uint64_t length)
{
	config->limits[kind] =
		(ThrottleLimit){ .average = average, .max = max, .max_length = length };
}

static ThrottleConfig one_limit(ThrottleKind kind, uint64_t average, uint64_t max, uint64_t length)
{
	ThrottleConfig config;

	throttle_config_init(&config);
	add_limit(&config, kind, average, max, length);
	return config;
}

/* When the last of @n requests of @size may go that all come at @start. */
static int64_t last_goes(Throttle *throttle, bool is_write, unsigned n, uint64_t size,
			 int64_t start)
{
	int64_t last = 0;

	for (unsigned i = 0; i < n; i++) {
		int64_t wait = throttle_admit(throttle, is_write, size, start);

		g_assert_cmpint(wait, >=, last);
		last = wait;
	}
	return last;
}

static void assert_near(int64_t value, double seconds)
{
	g_assert_cmpfloat_with_epsilon((double)value / SECOND, seconds, 0.001);
}

static void test_average(void)
{
	ThrottleConfig config = one_limit(THROTTLE_IOPS_TOTAL, 100, 0, 1);
	Throttle throttle;

	throttle_init(&throttle, &config, 0);
	/* A tenth of a second's worth goes at once, and one that overfills the bucket. */
	g_assert_cmpint(last_goes(&throttle, false, 11, 4096, 0), ==, 0);
	assert_near(throttle_admit(&throttle, true, 4096, 0), 0.01);
	assert_near(last_goes(&throttle, false, 98, 4096, 0), 0.99);
	/* After a pause the bucket is empty, not more than that. */
	g_assert_cmpint(last_goes(&throttle, false, 11, 4096, 100 * SECOND), ==, 0);
	assert_near(throttle_admit(&throttle, true, 4096, 100 * SECOND), 0.01);
}

static void test_directions(void)
{
	ThrottleConfig config = one_limit(THROTTLE_BPS_WRITE, 1000000, 0, 1);
	Throttle throttle;

	throttle_init(&throttle, &config, 0);
	g_assert_cmpint(last_goes(&throttle, false, 1000, 1 << 20, 0), ==, 0);
	g_assert_cmpint(last_goes(&throttle, true, 1, 2000000, 0), ==, 0);
	assert_near(throttle_admit(&throttle, true, 1, 0), 1.9);
	g_assert_cmpint(throttle_admit(&throttle, false, 1, 0), ==, 0);
}

/* 1000 a second, for bursts of 3 seconds 5000. */
static void test_burst(void)
{
	ThrottleConfig config = one_limit(THROTTLE_IOPS_READ, 1000, 5000, 3);
	Throttle throttle;

	throttle_init(&throttle, &config, 0);
	/* At the burst's rate, */
	assert_near(last_goes(&throttle, false, 10501, 512, 0), 2.0);
	throttle_init(&throttle, &config, 0);
	/* until it has lasted as long as it may, from when on it is the average's. */
	assert_near(last_goes(&throttle, false, 15001 + 4000, 512, 0), 4.0);
	/* Of one second a burst is all at once. */
	config = one_limit(THROTTLE_IOPS_READ, 1000, 5000, 1);
	throttle_init(&throttle, &config, 0);
	g_assert_cmpint(last_goes(&throttle, false, 5001, 512, 0), ==, 0);
	assert_near(throttle_admit(&throttle, false, 512, 0), 0.001);
}

static void test_iops_size(void)
{
	ThrottleConfig config = one_limit(THROTTLE_IOPS_TOTAL, 10, 0, 1);
	Throttle throttle;

	config.iops_size = 4096;
	throttle_init(&throttle, &config, 0);
	g_assert_cmpint(throttle_admit(&throttle, false, 10 * 4096, 0), ==, 0);
	assert_near(throttle_admit(&throttle, false, 1, 0), 0.9);
	assert_near(throttle_admit(&throttle, false, 1, 0), 1.0);
}

/* The strictest of several limits counts; a clock that stands still or goes back harms nobody. */
static void test_several(void)
{
	ThrottleConfig config = one_limit(THROTTLE_BPS_TOTAL, 1000, 0, 1);
	Throttle throttle;

	add_limit(&config, THROTTLE_IOPS_WRITE, 2, 0, 1);
	throttle_init(&throttle, &config, SECOND);
	g_assert_cmpint(throttle_admit(&throttle, true, 100, SECOND), ==, 0);
	assert_near(throttle_admit(&throttle, true, 1, SECOND), 0.4);
	g_assert_cmpint(throttle_admit(&throttle, false, 1, SECOND / 2), >=, 0);
	/* What nobody can wait for is bounded. */
	config = one_limit(THROTTLE_BPS_TOTAL, 1, 0, 1);
	throttle_init(&throttle, &config, 0);
	throttle_admit(&throttle, false, UINT64_MAX, 0);
	g_assert_cmpint(throttle_admit(&throttle, false, 1, 0), ==, 86400 * SECOND);
}

static void test_check(void)
{
	const struct {
		ThrottleKind kind;
		uint64_t average, max, length;
		bool good;
	} cases[] = {
		{ THROTTLE_BPS_READ, 0, 0, 1, true },
		{ THROTTLE_BPS_READ, 1, 0, 1, true },
		{ THROTTLE_BPS_READ, 1, 1, 1, true },
		{ THROTTLE_BPS_READ, 1, 2, 60, true },
		{ THROTTLE_IOPS_TOTAL, UINT64_C(1000000000000000), 0, 1, true },
		{ THROTTLE_IOPS_TOTAL, UINT64_C(1000000000000001), 0, 1, false },
		{ THROTTLE_IOPS_TOTAL, UINT64_MAX, 0, 1, false },
		{ THROTTLE_IOPS_TOTAL, 1, UINT64_MAX, 1, false },
		{ THROTTLE_BPS_READ, 0, 1, 1, false }, /* a burst of nothing */
		{ THROTTLE_BPS_READ, 2, 1, 1, false }, /* a burst that slows down */
		{ THROTTLE_BPS_READ, 1, 2, 0, false }, /* no time at all */
		{ THROTTLE_BPS_READ, 1, 0, 2, false }, /* time without a burst */
		{ THROTTLE_BPS_READ, 1, 2, UINT64_MAX, false },
	};
	ThrottleConfig config;
	GError *error = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		config = one_limit(cases[i].kind, cases[i].average, cases[i].max, cases[i].length);
		g_assert_true(throttle_config_check(&config, &error) == cases[i].good);
		g_assert_true((error == NULL) == cases[i].good);
		g_clear_error(&error);
	}
	config = one_limit(THROTTLE_BPS_TOTAL, 1, 0, 1);
	g_assert_true(throttle_config_is_enabled(&config));
	add_limit(&config, THROTTLE_IOPS_READ, 1, 0, 1);
	g_assert_true(throttle_config_check(&config, NULL));
	config.iops_size = 512;
	g_assert_true(throttle_config_check(&config, NULL));
	add_limit(&config, THROTTLE_BPS_WRITE, 1, 0, 1);
	g_assert_false(throttle_config_check(&config, NULL));
	throttle_config_init(&config);
	g_assert_false(throttle_config_is_enabled(&config));
	config.iops_size = 512;
	g_assert_false(throttle_config_check(&config, NULL));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/throttle/average", test_average);
	g_test_add_func("/throttle/directions", test_directions);
	g_test_add_func("/throttle/burst", test_burst);
	g_test_add_func("/throttle/iops-size", test_iops_size);
	g_test_add_func("/throttle/several", test_several);
	g_test_add_func("/throttle/check", test_check);
	return g_test_run();
}
