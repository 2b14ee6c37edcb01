/*
 * acpi_pm.c: ACPI power management as the ICH9 has it
 *
 * Intel I/O Controller Hub 9 datasheet §13.8.3 and ACPI §4.8. The chipset is in ACPI mode from the
 * start (there is no SMI to leave or enter it by). Of the sleep states there is S5, soft off.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/device_timer.h"
#include "vmm/memory/address_space.h"
#include "vmm/x86/acpi_layout.h"

#define TIMER_HZ  INT64_C(3579545)
#define SECOND	  INT64_C(1000000000) /* ns */
#define SCI_GSI	  9
#define GPE_BYTES 8u

enum {
	REG_PM1_STATUS = 0x00, /* 16 bits each */
	REG_PM1_ENABLE = 0x02,
	REG_PM1_CONTROL = 0x04,
	REG_TIMER = 0x08,      /* 32 bits */
	REG_GPE_STATUS = 0x20, /* GPE_BYTES each */
	REG_GPE_ENABLE = 0x28,
	REG_SMI_ENABLE = 0x30,
};

/*
 * There is no SMM. A BIOS that finds the APM command port enabled to raise SMIs takes SMM for set up
 * and keeps off it.
 */
#define SMI_ENABLE 0x20u /* APMC_EN */

enum {
	PM1_TIMER = 0x0001,
	PM1_GLOBAL_LOCK = 0x0020,
	PM1_POWER_BUTTON = 0x0100,
	PM1_RTC = 0x0400,
	PM1_WAKE = 0x8000,
	PM1_STATUS_MASK = PM1_TIMER | PM1_GLOBAL_LOCK | PM1_POWER_BUTTON | PM1_RTC | PM1_WAKE,
	PM1_ENABLE_MASK = PM1_TIMER | PM1_GLOBAL_LOCK | PM1_POWER_BUTTON | PM1_RTC,

	CONTROL_SCI_ENABLE = 0x0001,
	CONTROL_SLEEP_TYPE = 0x1c00,
	CONTROL_SLEEP_ENABLE = 0x2000,
	CONTROL_MASK = CONTROL_SCI_ENABLE | 0x0002 /* BM_RLD */ | CONTROL_SLEEP_TYPE,
	SLEEP_TYPE_S5 = 0x0000, /* as dsdt.asl's _S5 says */
};

typedef struct AcpiPm {
	Device device;
	IoRegion region;
	DeviceTimer *timer; /* expires when the PM timer's top bit changes */

	/* Under device.lock. */
	uint16_t status, enable, control;
	uint8_t gpe_status[GPE_BYTES], gpe_enable[GPE_BYTES];
	int64_t timer_start; /* device_clock_monotonic() when the PM timer was zero */
	int64_t ticks;	     /* of the PM timer while it is stopped, and for saving */
	int64_t next_change; /* ticks at which the top bit next changes */
	bool stopped;	     /* the machine is paused, and so is its time */
} AcpiPm;

static AcpiPm *acpi_pm_of(Device *device)
{
	return (AcpiPm *)device;
}

static int64_t ticks_to_ns(int64_t ticks)
{
	return ticks / TIMER_HZ * SECOND + ticks % TIMER_HZ * SECOND / TIMER_HZ;
}

static int64_t ns_to_ticks(int64_t ns)
{
	return ns / SECOND * TIMER_HZ + ns % SECOND * TIMER_HZ / SECOND;
}

static int64_t timer_ticks(const AcpiPm *pm)
{
	return pm->stopped ? pm->ticks : ns_to_ticks(device_clock_monotonic() - pm->timer_start);
}

static void update_sci(AcpiPm *pm)
{
	bool level = pm->status & pm->enable;

	for (unsigned i = 0; i < GPE_BYTES; i++)
		level |= pm->gpe_status[i] & pm->gpe_enable[i];
	interrupt_set_line(pm->device.services->interrupts, SCI_GSI,
			   level && (pm->control & CONTROL_SCI_ENABLE));
}

/*
 * Notice a change of the timer's top bit (§4.8.3.1: sets TMR_STS), and arrange to notice the next
 * one if the guest wants an interrupt of it.
 */
static void update_timer_status(AcpiPm *pm)
{
	const int64_t half = INT64_C(1) << 31;
	int64_t ticks = timer_ticks(pm);

	if (ticks >= pm->next_change) {
		pm->status |= PM1_TIMER;
		pm->next_change = (ticks / half + 1) * half;
	}
	if ((pm->enable & PM1_TIMER) && !(pm->status & PM1_TIMER) && !pm->stopped)
		device_timer_arm(pm->timer, pm->timer_start + ticks_to_ns(pm->next_change) + 1);
	else
		device_timer_disarm(pm->timer);
}

static void timer_expired(Device *device)
{
	AcpiPm *pm = acpi_pm_of(device);

	update_timer_status(pm);
	update_sci(pm);
}

static void write_control(AcpiPm *pm, uint16_t value)
{
	/* SCI_EN is what ACPI mode is; a guest cannot leave it (ACPI §4.8.3.2.1). */
	pm->control = (value & CONTROL_MASK) | CONTROL_SCI_ENABLE;
	if ((value & CONTROL_SLEEP_ENABLE) && (value & CONTROL_SLEEP_TYPE) == SLEEP_TYPE_S5)
		pm->device.services->request(pm->device.services, RUN_REQUEST_GUEST_SHUTDOWN, 0);
}

/* @value with byte @index replaced by @byte. */
static uint16_t with_byte(uint16_t value, uint64_t index, uint8_t byte)
{
	unsigned shift = (unsigned)index * 8;

	return (uint16_t)((value & ~(0xff << shift)) | byte << shift);
}

/* Registers may be accessed by the byte (ACPI §4.8.3), so bytes are what is handled. */
static void write_byte(AcpiPm *pm, uint64_t offset, uint8_t byte)
{
	uint64_t index = offset & 1;

	switch (offset) {
	case REG_PM1_STATUS:
	case REG_PM1_STATUS + 1:
		pm->status &= (uint16_t) ~(byte << index * 8);
		break;
	case REG_PM1_ENABLE:
	case REG_PM1_ENABLE + 1:
		pm->enable = with_byte(pm->enable, index, byte) & PM1_ENABLE_MASK;
		break;
	case REG_PM1_CONTROL:
	case REG_PM1_CONTROL + 1:
		write_control(pm, with_byte(pm->control, index, byte));
		break;
	case REG_GPE_STATUS ... REG_GPE_STATUS + GPE_BYTES - 1:
		pm->gpe_status[offset - REG_GPE_STATUS] &= (uint8_t)~byte;
		break;
	case REG_GPE_ENABLE ... REG_GPE_ENABLE + GPE_BYTES - 1:
		pm->gpe_enable[offset - REG_GPE_ENABLE] = byte;
		break;
	default:
		break;
	}
}

static uint8_t read_byte(const AcpiPm *pm, uint64_t offset, uint32_t timer)
{
	uint64_t index = offset & 1;

	switch (offset) {
	case REG_PM1_STATUS:
	case REG_PM1_STATUS + 1:
		return (uint8_t)(pm->status >> index * 8);
	case REG_PM1_ENABLE:
	case REG_PM1_ENABLE + 1:
		return (uint8_t)(pm->enable >> index * 8);
	case REG_PM1_CONTROL:
	case REG_PM1_CONTROL + 1:
		return (uint8_t)(pm->control >> index * 8);
	case REG_TIMER ... REG_TIMER + 3:
		return (uint8_t)(timer >> (offset - REG_TIMER) * 8);
	case REG_GPE_STATUS ... REG_GPE_STATUS + GPE_BYTES - 1:
		return pm->gpe_status[offset - REG_GPE_STATUS];
	case REG_GPE_ENABLE ... REG_GPE_ENABLE + GPE_BYTES - 1:
		return pm->gpe_enable[offset - REG_GPE_ENABLE];
	case REG_SMI_ENABLE:
		return SMI_ENABLE;
	default:
		return 0;
	}
}

static uint64_t acpi_pm_read(void *opaque, uint64_t offset, unsigned size)
{
	AcpiPm *pm = opaque;
	uint64_t value = 0;
	uint32_t timer;

	g_mutex_lock(&pm->device.lock);
	timer = (uint32_t)timer_ticks(pm);
	if (offset <= REG_PM1_STATUS + 1)
		update_timer_status(pm);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(pm, offset + i, timer) << i * 8;
	g_mutex_unlock(&pm->device.lock);
	return value;
}

static void acpi_pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	AcpiPm *pm = opaque;

	g_mutex_lock(&pm->device.lock);
	/* A change until now is part of what is being acknowledged. */
	update_timer_status(pm);
	for (unsigned i = 0; i < size; i++)
		write_byte(pm, offset + i, (uint8_t)(value >> i * 8));
	update_timer_status(pm);
	update_sci(pm);
	g_mutex_unlock(&pm->device.lock);
}

static const IoRegionOps acpi_pm_region_ops = {
	.read = acpi_pm_read,
	.write = acpi_pm_write,
	.maximum_size = 4,
};

void acpi_pm_power_button(Device *device)
{
	AcpiPm *pm = acpi_pm_of(device);

	g_mutex_lock(&device->lock);
	pm->status |= PM1_POWER_BUTTON;
	update_sci(pm);
	g_mutex_unlock(&device->lock);
}

void acpi_pm_raise_gpe(Device *device, unsigned gpe)
{
	AcpiPm *pm = acpi_pm_of(device);

	g_mutex_lock(&device->lock);
	pm->gpe_status[gpe / 8 % GPE_BYTES] |= (uint8_t)(1u << gpe % 8);
	update_sci(pm);
	g_mutex_unlock(&device->lock);
}

static void acpi_pm_reset(Device *device)
{
	AcpiPm *pm = acpi_pm_of(device);

	g_mutex_lock(&device->lock);
	pm->status = 0;
	pm->enable = 0;
	pm->control = CONTROL_SCI_ENABLE;
	memset(pm->gpe_status, 0, sizeof(pm->gpe_status));
	memset(pm->gpe_enable, 0, sizeof(pm->gpe_enable));
	pm->timer_start = device_clock_monotonic();
	pm->ticks = 0;
	pm->next_change = INT64_C(1) << 31;
	update_timer_status(pm);
	update_sci(pm);
	g_mutex_unlock(&device->lock);
}

static void acpi_pm_pause(Device *device)
{
	AcpiPm *pm = acpi_pm_of(device);

	g_mutex_lock(&device->lock);
	pm->ticks = timer_ticks(pm);
	pm->stopped = true;
	update_timer_status(pm);
	g_mutex_unlock(&device->lock);
}

static void acpi_pm_resume(Device *device)
{
	AcpiPm *pm = acpi_pm_of(device);

	g_mutex_lock(&device->lock);
	if (pm->stopped) {
		pm->timer_start = device_clock_monotonic() - ticks_to_ns(pm->ticks);
		pm->stopped = false;
		update_timer_status(pm);
	}
	g_mutex_unlock(&device->lock);
}

static bool acpi_pm_realize(Device *device, GError **error)
{
	AcpiPm *pm = acpi_pm_of(device);

	pm->region = (IoRegion){
		.name = "acpi-pm", .size = ACPI_PM_SIZE, .ops = &acpi_pm_region_ops, .opaque = pm
	};
	if (!address_space_map(device->services->pio, &pm->region, ACPI_PM_BASE))
		return error_fail(error, "there are no ports at 0x%x for ACPI", ACPI_PM_BASE);
	pm->timer = device_timer_new(device, timer_expired);
	acpi_pm_reset(device);
	return true;
}

static void acpi_pm_unrealize(Device *device)
{
	AcpiPm *pm = acpi_pm_of(device);

	address_space_unmap(device->services->pio, &pm->region);
	device_timer_free(pm->timer);
}

static void acpi_pm_before_save(void *object)
{
	AcpiPm *pm = object;

	pm->ticks = timer_ticks(pm);
}

static bool acpi_pm_loaded(void *object, GError **error)
{
	AcpiPm *pm = object;
	const int64_t limit = ns_to_ticks(INT64_MAX / 4); /* keeps sums from wrapping */

	if (pm->ticks < 0 || pm->ticks > limit || pm->next_change < 0 || pm->next_change > limit)
		return error_fail(error, "a PM timer beyond its range");
	g_mutex_lock(&pm->device.lock);
	pm->status &= PM1_STATUS_MASK;
	pm->enable &= PM1_ENABLE_MASK;
	pm->control = (pm->control & CONTROL_MASK) | CONTROL_SCI_ENABLE;
	pm->timer_start = device_clock_monotonic() - ticks_to_ns(pm->ticks);
	update_timer_status(pm);
	update_sci(pm);
	g_mutex_unlock(&pm->device.lock);
	return true;
}

static const StateTable acpi_pm_state = {
	.name = "ich9-pm",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(AcpiPm, status, STATE_UINT16),
			STATE_FIELD(AcpiPm, enable, STATE_UINT16),
			STATE_FIELD(AcpiPm, control, STATE_UINT16),
			STATE_RAW(AcpiPm, gpe_status),
			STATE_RAW(AcpiPm, gpe_enable),
			STATE_FIELD(AcpiPm, ticks, STATE_INT64),
			STATE_FIELD(AcpiPm, next_change, STATE_INT64),
			STATE_END,
		},
	.before_save = acpi_pm_before_save,
	.after_load = acpi_pm_loaded,
};

const DeviceType acpi_pm_type = {
	.name = "ich9-pm",
	.description = "ACPI power management",
	.category = "Misc",
	.instance_size = sizeof(AcpiPm),
	.state = &acpi_pm_state,
	.realize = acpi_pm_realize,
	.unrealize = acpi_pm_unrealize,
	.reset = acpi_pm_reset,
	.pause = acpi_pm_pause,
	.resume = acpi_pm_resume,
};
