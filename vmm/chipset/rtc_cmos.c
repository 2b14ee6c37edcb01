/*
 * rtc_cmos.c: the MC146818A real-time clock and its CMOS memory
 *
 * The clock is the host's plus an offset that the guest changes by setting the time. The time
 * registers are computed when they are read; what happens as seconds pass (update and alarm
 * flags) is worked out when the guest looks, and a timer runs only while it wants interrupts.
 * Periods that went by before the guest had acknowledged the one before are lost, as they are on
 * the chip, or, with lost_tick_policy=slew, made up for by interrupts that come faster: guests
 * that count them (Windows does) keep the time also where the host let them wait.
 *
 * All state is under device->lock.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/device_timer.h"
#include "vmm/memory/address_space.h"
#include "vmm/memory/guest_memory.h"

#define RTC_PORT   0x70
#define RTC_IRQ	   8
#define CMOS_SIZE  128u
#define SECOND_US  INT64_C(1000000)
#define DAY	   INT64_C(86400) /* seconds */
#define UPDATE_US  INT64_C(244)	  /* UIP is set so long before an update */
#define MAXIMUM_US (INT64_C(1) << 60)
#define SLEW_SPEED 4			/* owed interrupts come so much faster */
#define OWED_NS	   INT64_C(10000000000) /* more than that is not made up for */

typedef enum LostTickPolicy {
	LOST_TICK_DISCARD,
	LOST_TICK_SLEW,
} LostTickPolicy;

enum {
	REG_SECONDS = 0x00,
	REG_SECONDS_ALARM = 0x01,
	REG_MINUTES = 0x02,
	REG_MINUTES_ALARM = 0x03,
	REG_HOURS = 0x04,
	REG_HOURS_ALARM = 0x05,
	REG_WEEKDAY = 0x06,
	REG_DAY = 0x07,
	REG_MONTH = 0x08,
	REG_YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	REG_CENTURY = 0x32, /* as the FADT says */
};

enum {
	A_UPDATING = 0x80,
	A_DIVIDER = 0x70,
	A_DIVIDER_RESET = 0x60, /* 6 and 7 hold the divider in reset */
	A_DIVIDER_32KHZ = 0x20,
	A_RATE = 0x0f,

	B_SET = 0x80,
	B_24_HOURS = 0x02,
	B_BINARY = 0x04,

	/* Enable bits in B, flags in C. */
	PERIODIC = 0x40,
	ALARM = 0x20,
	UPDATE = 0x10,
	INTERRUPTS = PERIODIC | ALARM | UPDATE,
	C_REQUEST = 0x80,

	D_VALID = 0x80,

	HOURS_PM = 0x80,
	ALARM_ANY = 0xc0,
};

typedef struct Rtc {
	Device device;
	IoRegion region;
	DeviceTimer *update_timer, *periodic_timer;

	char *base;	      /* property */
	int lost_tick_policy; /* property, a LostTickPolicy */

	uint8_t index;
	uint8_t cmos[CMOS_SIZE];
	int64_t offset_us;	/* guest time minus host time */
	int64_t base_offset_us; /* what offset_us was at the start */
	int64_t last_second;	/* guest time up to which updates and alarms were noticed */
	int64_t next_periodic;	/* device_clock_monotonic() of the next periodic flag */
	int64_t next_owed;	/* the same of the next one that is made up for */
	uint32_t owed;		/* periodic interrupts to make up for */
} Rtc;

static Rtc *rtc_of(Device *device)
{
	return (Rtc *)device;
}

static int64_t guest_time_us(const Rtc *rtc)
{
	return g_get_real_time() + rtc->offset_us;
}

/* Division that rounds down also before 1970. */
static int64_t us_to_seconds(int64_t us)
{
	return us / SECOND_US - (us % SECOND_US < 0);
}

static bool is_stopped(const Rtc *rtc)
{
	return (rtc->cmos[REG_B] & B_SET) ||
	       (rtc->cmos[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static uint8_t to_register(const Rtc *rtc, int value)
{
	return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int from_register(const Rtc *rtc, uint8_t value)
{
	return rtc->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t to_hours(const Rtc *rtc, int hour)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return to_register(rtc, hour);
	return to_register(rtc, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? HOURS_PM : 0);
}

static int from_hours(const Rtc *rtc, uint8_t value)
{
	int hour;

	if (rtc->cmos[REG_B] & B_24_HOURS)
		return from_register(rtc, value);
	hour = from_register(rtc, value & (uint8_t)~HOURS_PM) % 12;
	return value & HOURS_PM ? hour + 12 : hour;
}

/* Bring the time registers up to date, unless the guest has stopped them. */
static void load_time(Rtc *rtc)
{
	time_t now = us_to_seconds(guest_time_us(rtc));
	struct tm tm;

	if (is_stopped(rtc) || !gmtime_r(&now, &tm))
		return;
	rtc->cmos[REG_SECONDS] = to_register(rtc, tm.tm_sec);
	rtc->cmos[REG_MINUTES] = to_register(rtc, tm.tm_min);
	rtc->cmos[REG_HOURS] = to_hours(rtc, tm.tm_hour);
	rtc->cmos[REG_WEEKDAY] = to_register(rtc, tm.tm_wday + 1);
	rtc->cmos[REG_DAY] = to_register(rtc, tm.tm_mday);
	rtc->cmos[REG_MONTH] = to_register(rtc, tm.tm_mon + 1);
	rtc->cmos[REG_YEAR] = to_register(rtc, (tm.tm_year + 1900) % 100);
	rtc->cmos[REG_CENTURY] = to_register(rtc, (tm.tm_year + 1900) / 100);
}

/* The time is what the registers say, @fraction_us microseconds into that second. */
static void store_time(Rtc *rtc, int64_t fraction_us)
{
	/* Foreign numbers, but small ones: timegm() carries what is out of range. */
	struct tm tm = {
		.tm_sec = from_register(rtc, rtc->cmos[REG_SECONDS]),
		.tm_min = from_register(rtc, rtc->cmos[REG_MINUTES]),
		.tm_hour = from_hours(rtc, rtc->cmos[REG_HOURS]),
		.tm_mday = from_register(rtc, rtc->cmos[REG_DAY]),
		.tm_mon = from_register(rtc, rtc->cmos[REG_MONTH]) - 1,
		.tm_year = from_register(rtc, rtc->cmos[REG_CENTURY]) * 100 +
			   from_register(rtc, rtc->cmos[REG_YEAR]) - 1900,
	};
	int64_t seconds = timegm(&tm);
	int64_t before = rtc->offset_us;

	rtc->offset_us = seconds * SECOND_US + fraction_us - g_get_real_time();
	rtc->last_second = seconds;
	/* Less than a second is no change, but the time the guest took to set it. */
	if (ABS(rtc->offset_us - before) >= SECOND_US)
		qapi_event_rtc_change(
			rtc->device.services->events,
			us_to_seconds(rtc->offset_us - rtc->base_offset_us + SECOND_US / 2),
			rtc->device.path);
}

static bool alarm_field_matches(uint8_t alarm, int wanted, int value)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || wanted == value;
}

static bool alarm_matches(const Rtc *rtc, int64_t second)
{
	int of_day = (int)((second % DAY + DAY) % DAY);
	const uint8_t *cmos = rtc->cmos;

	return alarm_field_matches(cmos[REG_SECONDS_ALARM],
				   from_register(rtc, cmos[REG_SECONDS_ALARM]), of_day % 60) &&
	       alarm_field_matches(cmos[REG_MINUTES_ALARM],
				   from_register(rtc, cmos[REG_MINUTES_ALARM]), of_day / 60 % 60) &&
	       alarm_field_matches(cmos[REG_HOURS_ALARM], from_hours(rtc, cmos[REG_HOURS_ALARM]),
				   of_day / 3600);
}

/* Nanoseconds between periodic flags; 0: none. Rates 1 and 2 repeat 8 and 9. */
static int64_t periodic_ns(const Rtc *rtc)
{
	unsigned rate = rtc->cmos[REG_A] & A_RATE;

	if (rate == 0 || (rtc->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_32KHZ)
		return 0;
	if (rate <= 2)
		rate += 7;
	return (INT64_C(1000000000) << (rate - 1)) / 32768;
}

/* Notice the periods that have passed since the last look. */
static void catch_up_periods(Rtc *rtc)
{
	int64_t clock = device_clock_monotonic();
	int64_t period = periodic_ns(rtc);
	bool slew = rtc->lost_tick_policy == LOST_TICK_SLEW && (rtc->cmos[REG_B] & PERIODIC);
	bool seen = !(rtc->cmos[REG_C] & PERIODIC);

	if (period == 0 || !slew)
		rtc->owed = 0;
	if (period == 0)
		return;
	if (clock >= rtc->next_periodic) {
		int64_t periods = (clock - rtc->next_periodic) / period + 1;

		rtc->cmos[REG_C] |= PERIODIC;
		rtc->next_periodic += periods * period;
		if (slew)
			rtc->owed = (uint32_t)MIN(rtc->owed + periods - seen, OWED_NS / period);
	} else if (rtc->owed > 0 && seen && clock >= rtc->next_owed) {
		rtc->cmos[REG_C] |= PERIODIC;
		rtc->owed--;
	}
}

/* Notice what has happened since the last look. */
static void catch_up(Rtc *rtc)
{
	int64_t now = us_to_seconds(guest_time_us(rtc));

	if (!is_stopped(rtc)) {
		if (now > rtc->last_second)
			rtc->cmos[REG_C] |= UPDATE;
		/* An alarm comes round within a day. */
		for (int64_t at = MAX(rtc->last_second, now - DAY) + 1; at <= now; at++) {
			if (alarm_matches(rtc, at)) {
				rtc->cmos[REG_C] |= ALARM;
				break;
			}
		}
		/* Also where the host's clock was set back. */
		rtc->last_second = now;
	}
	catch_up_periods(rtc);
}

/* Drive the interrupt line, and arm timers for what the guest next wants to hear of. */
static void update_interrupt(Rtc *rtc)
{
	uint8_t enabled = rtc->cmos[REG_B] & INTERRUPTS;
	uint8_t waiting = enabled & (uint8_t)~rtc->cmos[REG_C];
	bool level = enabled & rtc->cmos[REG_C];

	rtc->cmos[REG_C] = (rtc->cmos[REG_C] & INTERRUPTS) | (level ? C_REQUEST : 0);
	interrupt_set_line(rtc->device.services->interrupts, RTC_IRQ, level);

	if ((waiting & (UPDATE | ALARM)) && !is_stopped(rtc)) {
		int64_t us = guest_time_us(rtc);
		int64_t left = (us_to_seconds(us) + 1) * SECOND_US - us;

		device_timer_arm(rtc->update_timer, device_clock_monotonic() + left * 1000);
	} else {
		device_timer_disarm(rtc->update_timer);
	}
	if ((waiting & PERIODIC) && periodic_ns(rtc) > 0)
		device_timer_arm(rtc->periodic_timer, rtc->owed > 0 ? MIN(rtc->next_owed,
									  rtc->next_periodic)
								    : rtc->next_periodic);
	else
		device_timer_disarm(rtc->periodic_timer);
}

static void timer_expired(Device *device)
{
	Rtc *rtc = rtc_of(device);

	catch_up(rtc);
	update_interrupt(rtc);
}

static void write_a(Rtc *rtc, uint8_t value)
{
	bool stopped = is_stopped(rtc);

	if (!stopped)
		load_time(rtc);
	rtc->cmos[REG_A] = value & (uint8_t)~A_UPDATING;
	rtc->next_periodic = device_clock_monotonic() + periodic_ns(rtc);
	/* Leaving divider reset, the first update is half a second away. */
	if (stopped && !is_stopped(rtc))
		store_time(rtc, SECOND_US / 2);
}

static void write_b(Rtc *rtc, uint8_t value)
{
	bool stopped = is_stopped(rtc);

	if (!stopped)
		load_time(rtc);
	/* Setting SET clears the update interrupt's enable bit. */
	rtc->cmos[REG_B] = value & B_SET ? value & (uint8_t)~UPDATE : value;
	if (stopped && !is_stopped(rtc))
		store_time(rtc, 0);
}

static bool is_time_register(uint8_t index)
{
	return index == REG_SECONDS || index == REG_MINUTES || index == REG_HOURS ||
	       (index >= REG_WEEKDAY && index <= REG_YEAR) || index == REG_CENTURY;
}

static void write_time(Rtc *rtc, uint8_t value)
{
	int64_t us = guest_time_us(rtc);

	load_time(rtc);
	rtc->cmos[rtc->index] = value;
	if (!is_stopped(rtc))
		store_time(rtc, us - us_to_seconds(us) * SECOND_US);
}

static void write_register(Rtc *rtc, uint8_t value)
{
	switch (rtc->index) {
	case REG_A:
		write_a(rtc, value);
		break;
	case REG_B:
		write_b(rtc, value);
		break;
	case REG_C: /* both read only */
	case REG_D:
		break;
	default:
		if (is_time_register(rtc->index))
			write_time(rtc, value);
		else
			rtc->cmos[rtc->index] = value;
		break;
	}
}

static uint8_t read_register(Rtc *rtc)
{
	uint8_t value;
	int64_t us;

	switch (rtc->index) {
	case REG_A:
		us = guest_time_us(rtc);
		value = rtc->cmos[REG_A];
		if (!is_stopped(rtc) && (us_to_seconds(us) + 1) * SECOND_US - us <= UPDATE_US)
			value |= A_UPDATING;
		return value;
	case REG_C:
		value = rtc->cmos[REG_C];
		rtc->cmos[REG_C] = 0;
		rtc->next_owed = device_clock_monotonic() + periodic_ns(rtc) / SLEW_SPEED;
		return value;
	case REG_D:
		return D_VALID;
	default:
		if (is_time_register(rtc->index))
			load_time(rtc);
		return rtc->cmos[rtc->index];
	}
}

static uint64_t rtc_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	Rtc *rtc = opaque;
	uint8_t value;

	if (offset == 0)
		return 0xff; /* the index is write only */
	g_mutex_lock(&rtc->device.lock);
	catch_up(rtc);
	update_interrupt(rtc);
	value = read_register(rtc);
	update_interrupt(rtc);
	g_mutex_unlock(&rtc->device.lock);
	return value;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, G_GNUC_UNUSED unsigned size)
{
	Rtc *rtc = opaque;

	g_mutex_lock(&rtc->device.lock);
	if (offset == 0) {
		rtc->index = (uint8_t)value & (CMOS_SIZE - 1);
	} else {
		catch_up(rtc);
		write_register(rtc, (uint8_t)value);
		update_interrupt(rtc);
	}
	g_mutex_unlock(&rtc->device.lock);
}

static const IoRegionOps rtc_region_ops = {
	.read = rtc_read,
	.write = rtc_write,
	.maximum_size = 1,
};

static void set_word(Rtc *rtc, unsigned at, uint64_t value)
{
	value = MIN(value, UINT16_MAX);
	rtc->cmos[at] = (uint8_t)value;
	rtc->cmos[at + 1] = (uint8_t)(value >> 8);
}

/* Where firmware looks for the size of RAM. */
static void set_memory_sizes(Rtc *rtc)
{
	const uint64_t mib = 1 << 20, high_start = UINT64_C(1) << 32;
	uint64_t low = 0, high = 0, high_units;
	const GuestMemoryRegion *regions;
	size_t n_regions;

	rcu_read_lock();
	regions = guest_memory_regions(rtc->device.services->memory, &n_regions);
	for (size_t i = 0; i < n_regions; i++) {
		if (regions[i].read_only)
			continue;
		if (regions[i].gpa >= high_start)
			high += regions[i].size;
		else
			low += regions[i].size;
	}
	rcu_read_unlock();

	set_word(rtc, 0x15, 640);				 /* base memory, KiB */
	set_word(rtc, 0x17, low > mib ? (low - mib) / 1024 : 0); /* above 1 MiB, KiB */
	set_word(rtc, 0x30, low > mib ? (low - mib) / 1024 : 0);
	set_word(rtc, 0x34, low > 16 * mib ? (low - 16 * mib) / 65536 : 0); /* 64 KiB units */
	high_units = MIN(high / 65536, 0xffffff);
	rtc->cmos[0x5b] = (uint8_t)high_units;
	rtc->cmos[0x5c] = (uint8_t)(high_units >> 8);
	rtc->cmos[0x5d] = (uint8_t)(high_units >> 16);
}

/* What property base means as an offset to the host's clock. */
static bool parse_base(const char *base, int64_t *offset_us, GError **error)
{
	g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
	g_autoptr(GDateTime) date = NULL;
	g_autofree char *with_time = NULL;

	*offset_us = 0;
	if (g_str_equal(base, "utc"))
		return true;
	if (g_str_equal(base, "localtime")) {
		time_t now = time(NULL);
		struct tm tm;

		if (!localtime_r(&now, &tm))
			return error_fail(error, "the host does not know its local time");
		*offset_us = tm.tm_gmtoff * SECOND_US;
		return true;
	}
	with_time = g_strconcat(base, strchr(base, 'T') ? "" : "T00:00:00", NULL);
	date = g_date_time_new_from_iso8601(with_time, utc);
	if (!date)
		return error_fail(error,
				  "mc146818rtc: base=%s is neither utc, localtime nor a date like "
				  "2006-06-17T16:01:21",
				  base);
	*offset_us = g_date_time_to_unix(date) * SECOND_US - g_get_real_time();
	return true;
}

static void rtc_reset(Device *device)
{
	Rtc *rtc = rtc_of(device);

	g_mutex_lock(&device->lock);
	/* RESET# does not touch the time (MC146818A, "RESET"). */
	rtc->index = 0;
	rtc->cmos[REG_B] &= (uint8_t) ~(INTERRUPTS | 0x08 /* SQWE */);
	rtc->cmos[REG_C] = 0;
	update_interrupt(rtc);
	g_mutex_unlock(&device->lock);
}

static bool rtc_realize(Device *device, GError **error)
{
	Rtc *rtc = rtc_of(device);

	if (!parse_base(rtc->base, &rtc->base_offset_us, error))
		return false;
	rtc->region = (IoRegion){ .name = "rtc", .size = 2, .ops = &rtc_region_ops, .opaque = rtc };
	if (!address_space_map(device->services->pio, &rtc->region, RTC_PORT))
		return error_fail(error, "there are no ports at 0x%x for the clock", RTC_PORT);
	rtc->offset_us = rtc->base_offset_us;
	rtc->last_second = us_to_seconds(guest_time_us(rtc));
	rtc->cmos[REG_A] = A_DIVIDER_32KHZ | 0x06 /* 976.5 us, as a BIOS sets it */;
	rtc->cmos[REG_B] = B_24_HOURS;
	rtc->next_periodic = device_clock_monotonic() + periodic_ns(rtc);
	set_memory_sizes(rtc);
	rtc->update_timer = device_timer_new(device, timer_expired);
	rtc->periodic_timer = device_timer_new(device, timer_expired);
	rtc_reset(device);
	return true;
}

static void rtc_unrealize(Device *device)
{
	Rtc *rtc = rtc_of(device);

	address_space_unmap(device->services->pio, &rtc->region);
	device_timer_free(rtc->update_timer);
	device_timer_free(rtc->periodic_timer);
}

/* Far beyond any date that the registers can hold, and far from wrapping. */
static bool is_sane_offset(int64_t us)
{
	return us > -MAXIMUM_US && us < MAXIMUM_US;
}

static bool rtc_loaded(void *object, GError **error)
{
	Rtc *rtc = object;

	if (rtc->index >= CMOS_SIZE || !is_sane_offset(rtc->offset_us) ||
	    !is_sane_offset(rtc->base_offset_us))
		return error_fail(error, "a clock beyond its range");
	g_mutex_lock(&rtc->device.lock);
	rtc->cmos[REG_A] &= (uint8_t)~A_UPDATING;
	/* Alarms that came due while the guest was nowhere are not made up for. */
	rtc->last_second = us_to_seconds(guest_time_us(rtc));
	rtc->next_owed = rtc->next_periodic = device_clock_monotonic() + periodic_ns(rtc);
	update_interrupt(rtc);
	g_mutex_unlock(&rtc->device.lock);
	return true;
}

static const StateTable rtc_state = {
	.name = "mc146818rtc",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(Rtc, index, STATE_UINT8),
			STATE_RAW(Rtc, cmos),
			STATE_FIELD(Rtc, offset_us, STATE_INT64),
			STATE_FIELD(Rtc, base_offset_us, STATE_INT64),
			STATE_FIELD(Rtc, owed, STATE_UINT32),
			STATE_END,
		},
	.after_load = rtc_loaded,
};

static const char *const lost_tick_policies[] = {
	[LOST_TICK_DISCARD] = "discard",
	[LOST_TICK_SLEW] = "slew",
	NULL,
};

static const Property rtc_properties[] = {
	{
		.name = "base",
		.kind = PROPERTY_STRING,
		.offset = offsetof(Rtc, base),
		.initial_text = "utc",
		.description = "utc, localtime, or the date and time to start with",
	},
	{
		.name = "lost_tick_policy",
		.kind = PROPERTY_ENUM,
		.enum_names = lost_tick_policies,
		.offset = offsetof(Rtc, lost_tick_policy),
		.description = "slew: periodic interrupts that the guest missed are made up for",
	},
	PROPERTY_END,
};

const DeviceType rtc_cmos_type = {
	.name = "mc146818rtc",
	.description = "real-time clock",
	.category = "Misc",
	.instance_size = sizeof(Rtc),
	.properties = { rtc_properties },
	.state = &rtc_state,
	.realize = rtc_realize,
	.unrealize = rtc_unrealize,
	.reset = rtc_reset,
};
