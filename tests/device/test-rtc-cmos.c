/*
 * test-rtc-cmos.c: the clock, its interrupts and the CMOS memory
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>
#include <time.h>

#include "qmp/qmp_event.h"
#include "tests/device/fake_machine.h"
#include "vmm/chipset/chipset.h"

#define IRQ	 8
#define RAM_SIZE (20u << 20)

typedef struct Fixture {
	FakeMachine *fake;
	Device *rtc;
	QmpEventSink sink;
	unsigned n_events;
	int64_t offset; /* of the last RTC_CHANGE */
} Fixture;

static void take_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	g_assert_cmpstr(name, ==, "RTC_CHANGE");
	fixture->n_events++;
	fixture->offset = json_object_get_int64(json_object_object_get(data, "offset"));
	json_object_put(data);
}

/* @data: the options of the device. */
static void setup(Fixture *fixture, gconstpointer data)
{
	fixture->fake = fake_machine_new(RAM_SIZE);
	fixture->sink = (QmpEventSink){ .emit = take_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->rtc = fake_machine_add(fixture->fake, &rtc_cmos_type, data);
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_remove(fixture->fake, fixture->rtc);
	fake_machine_free(fixture->fake);
}

static uint8_t get(FakeMachine *fake, uint8_t index)
{
	fake_outb(fake, 0x70, index);
	return fake_inb(fake, 0x71);
}

static void set(FakeMachine *fake, uint8_t index, uint8_t value)
{
	fake_outb(fake, 0x70, index);
	fake_outb(fake, 0x71, value);
}

static int bcd(uint8_t value)
{
	return (value >> 4) * 10 + (value & 0xf);
}

/* The time that the registers show, read in one second, 24-hour BCD. */
static time_t get_time(FakeMachine *fake)
{
	struct tm tm;

	do {
		tm = (struct tm){
			.tm_sec = bcd(get(fake, 0)),
			.tm_min = bcd(get(fake, 2)),
			.tm_hour = bcd(get(fake, 4)),
			.tm_mday = bcd(get(fake, 7)),
			.tm_mon = bcd(get(fake, 8)) - 1,
			.tm_year = bcd(get(fake, 0x32)) * 100 + bcd(get(fake, 9)) - 1900,
		};
	} while (tm.tm_sec != bcd(get(fake, 0)));
	return timegm(&tm);
}

/* 2001-02-03 @hour:@minute:@second, written as an OS does it. */
static void set_time(FakeMachine *fake, uint8_t hour, uint8_t minute, uint8_t second)
{
	uint8_t b = get(fake, 0x0b);

	set(fake, 0x0b, b | 0x80);
	set(fake, 0, second);
	set(fake, 2, minute);
	set(fake, 4, hour);
	set(fake, 7, 0x03);
	set(fake, 8, 0x02);
	set(fake, 9, 0x01);
	set(fake, 0x32, 0x20);
	set(fake, 0x0b, b);
}

static void test_host_time(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	time_t before = time(NULL), now = get_time(fixture->fake);

	g_assert_cmpint(now, >=, before);
	g_assert_cmpint(now, <=, time(NULL));
	g_assert_cmphex(get(fixture->fake, 0x0d), ==, 0x80);
	g_assert_cmphex(fake_inb(fixture->fake, 0x70), ==, 0xff);
	g_assert_cmpuint(fixture->n_events, ==, 0);
}

static void test_base(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	time_t start = 1150553681; /* 2006-06-17 14:14:41 UTC */

	g_assert_cmpint(get_time(fixture->fake), >=, start);
	g_assert_cmpint(get_time(fixture->fake), <, start + 60);
}

static void test_bad_base(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(
		fake_machine_try_add(fixture->fake, &rtc_cmos_type, "base=yesterday", &error));
	g_assert_nonnull(strstr(error->message, "base=yesterday"));
}

static void test_set(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	time_t wanted = 981173106; /* 2001-02-03 04:05:06 UTC */
	int64_t difference;

	set_time(fake, 0x04, 0x05, 0x06);
	g_assert_cmpint(get_time(fake), >=, wanted);
	g_assert_cmpint(get_time(fake), <, wanted + 30);
	g_assert_cmphex(get(fake, 6), ==, 7); /* a Saturday */
	g_assert_cmpuint(fixture->n_events, ==, 1);
	difference = wanted - time(NULL) - fixture->offset;
	g_assert_cmpint(ABS(difference), <=, 30);

	/* Binary, and 12 hours: 16:05. */
	set_time(fake, 0x16, 0x05, 0x06);
	set(fake, 0x0b, 0x06);
	g_assert_cmpuint(get(fake, 4), ==, 16);
	g_assert_cmpuint(get(fake, 9), ==, 1);
	set(fake, 0x0b, 0x04);
	g_assert_cmphex(get(fake, 4), ==, 0x84);
	set(fake, 0x0b, 0x80);
	set(fake, 4, 0x12); /* midnight */
	set(fake, 0x0b, 0x00);
	set(fake, 0x0b, 0x02);
	g_assert_cmphex(get(fake, 4), ==, 0);
}

/* Registers that hold no date at all. */
static void test_nonsense(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	for (unsigned b = 0; b < 256; b++) {
		set(fake, 0x0b, 0x80 | (uint8_t)b);
		for (uint8_t i = 0; i < 128; i++)
			set(fake, i, 0xff);
		set(fake, 0x0b, (uint8_t)b & 0x7f);
		for (uint8_t i = 0; i < 128; i++)
			get(fake, i);
		set(fake, 0x0a, (uint8_t)b);
	}
}

static bool has_interrupt(gpointer data)
{
	return fake_machine_line(((Fixture *)data)->fake, IRQ);
}

static void test_alarm(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	/* Due at once: the second after the one that is set, any hour. */
	set(fake, 1, 0x07);
	set(fake, 3, 0x05);
	set(fake, 5, 0xff);
	set(fake, 0x0b, 0x22);
	get(fake, 0x0c);
	set_time(fake, 0x04, 0x05, 0x06);
	g_assert_true(fake_machine_run_until(fake, has_interrupt, fixture, 20000));
	g_assert_cmphex(get(fake, 0x0c) & 0xa0, ==, 0xa0);
	g_assert_false(fake_machine_line(fake, IRQ));
	g_assert_cmphex(get(fake, 0x0c) & 0x80, ==, 0);
}

static void test_update(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	set(fake, 0x0b, 0x12);
	g_assert_true(fake_machine_run_until(fake, has_interrupt, fixture, 20000));
	g_assert_cmphex(get(fake, 0x0c) & 0x90, ==, 0x90);
	/* SET turns it off. */
	set(fake, 0x0b, 0x92);
	g_assert_cmphex(get(fake, 0x0b), ==, 0x82);
}

static void test_periodic(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	set(fake, 0x0a, 0x2a); /* 64 Hz */
	set(fake, 0x0b, 0x42);
	for (unsigned i = 0; i < 3; i++) {
		g_assert_true(fake_machine_run_until(fake, has_interrupt, fixture, 20000));
		g_assert_cmphex(get(fake, 0x0c) & 0xc0, ==, 0xc0);
		g_assert_false(fake_machine_line(fake, IRQ));
	}
	/* Polled, without interrupts. */
	set(fake, 0x0b, 0x02);
	set(fake, 0x0a, 0x23);
	g_usleep(2000);
	g_assert_cmphex(get(fake, 0x0c) & 0xc0, ==, 0x40);
	/* Off. */
	set(fake, 0x0a, 0x20);
	get(fake, 0x0c);
	g_usleep(2000);
	g_assert_cmphex(get(fake, 0x0c) & 0x40, ==, 0);
}

#define PERIOD_US (1000000 / 64)

/* How many periodic interrupts of 64 Hz a guest has acknowledged that missed ten, and then took
 * @more; *@passed: how many periods that took. */
static int64_t miss_ten(Fixture *fixture, int more, int64_t *passed)
{
	FakeMachine *fake = fixture->fake;
	int64_t start = g_get_monotonic_time();

	set(fake, 0x0a, 0x2a);
	set(fake, 0x0b, 0x42);
	g_usleep(10 * PERIOD_US);
	for (int i = 0; i < more; i++) {
		g_assert_true(fake_machine_run_until(fake, has_interrupt, fixture, 20000));
		g_assert_cmphex(get(fake, 0x0c) & 0xc0, ==, 0xc0);
	}
	*passed = (g_get_monotonic_time() - start) / PERIOD_US;
	return more;
}

static void test_discard(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	int64_t passed;

	g_assert_cmpint(miss_ten(fixture, 5, &passed), <, passed - 5);
}

static void test_slew(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;
	int64_t passed, seen, start = g_get_monotonic_time();

	seen = miss_ten(fixture, 5, &passed);
	g_assert_cmpint(seen, <=, passed + 1);
	/* Made up for, and never more than that. */
	do {
		g_assert_true(fake_machine_run_until(fake, has_interrupt, fixture, 20000));
		get(fake, 0x0c);
		seen++;
		passed = (g_get_monotonic_time() - start) / PERIOD_US;
		g_assert_cmpint(seen, <=, passed + 1);
	} while (seen < passed - 1 && passed < 64 * 20);
	g_assert_cmpint(seen, >=, passed - 1);
}

static void test_memory(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *fake = fixture->fake;

	g_assert_cmpuint(get(fake, 0x15) | get(fake, 0x16) << 8, ==, 640);
	g_assert_cmpuint(get(fake, 0x17) | get(fake, 0x18) << 8, ==, 19 * 1024);
	g_assert_cmpuint(get(fake, 0x34) | get(fake, 0x35) << 8, ==, 64);
	set(fake, 0x7f, 0x3c);
	set(fake, 0xff, 0x3d); /* bit 7 masks NMIs and is no part of the index */
	g_assert_cmphex(get(fake, 0x7f), ==, 0x3d);
	rtc_cmos_type.reset(fixture->rtc);
	g_assert_cmphex(get(fake, 0x7f), ==, 0x3d);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	FakeMachine *other = fake_machine_new(RAM_SIZE);
	Device *fresh = fake_machine_add(other, &rtc_cmos_type, NULL);
	time_t now;

	set_time(fixture->fake, 0x04, 0x05, 0x06);
	set(fixture->fake, 0x50, 0x99);
	fake_machine_check_state(fixture->rtc, fresh);
	now = get_time(fixture->fake);
	g_assert_cmpint(get_time(other), >=, now);
	g_assert_cmpint(get_time(other), <=, now + 30);
	g_assert_cmphex(get(other, 0x50), ==, 0x99);
	fake_machine_remove(other, fresh);
	fake_machine_free(other);
}

int main(int argc, char **argv)
{
#define ADD(name, options, function) \
	g_test_add("/rtc-cmos/" name, Fixture, options, setup, function, teardown)
	g_test_init(&argc, &argv, NULL);
	ADD("host-time", NULL, test_host_time);
	ADD("base", "base=2006-06-17T14:14:41", test_base);
	ADD("bad-base", NULL, test_bad_base);
	ADD("set", NULL, test_set);
	ADD("nonsense", NULL, test_nonsense);
	ADD("alarm", NULL, test_alarm);
	ADD("update", NULL, test_update);
	ADD("periodic", NULL, test_periodic);
	ADD("discard", NULL, test_discard);
	ADD("slew", "lost_tick_policy=slew", test_slew);
	ADD("memory", NULL, test_memory);
	ADD("state", NULL, test_state);
	return g_test_run();
}
