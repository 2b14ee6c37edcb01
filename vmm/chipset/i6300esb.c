/*
 * i6300esb.c: the watchdog of the Intel 6300ESB I/O controller hub
 *
 * Its datasheet's chapter 16. The counter goes through two stages, each from a preload value of its
 * own; at the end of the second one the machine's watchdog action is taken. The interrupt at the end
 * of the first stage is not there: drivers that know the chip switch it off.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/device_timer.h"

#define PCI_CLOCK_MHZ 33

/* In configuration space. */
#define CONFIG_WDT  0x60
#define CONFIG_LOCK 0x68

enum {
	WDT_INTERRUPT_TYPE = 0x03,
	WDT_FAST = 0x04,	/* the clock is divided by 2^5, not by 2^15 */
	WDT_OUTPUT_OFF = 0x20,	/* nothing happens at the end */
	LOCK_LOCKED = 0x01,	/* until a reset */
	LOCK_ENABLED = 0x02,
	LOCK_FREE_RUNNING = 0x04, /* starts again at the end */
};

enum {
	REG_PRELOAD_1 = 0x00,
	REG_PRELOAD_2 = 0x04,
	REG_RELOAD = 0x0c,
	REGISTERS_SIZE = 0x10,
};

#define PRELOAD_MASK 0xfffffu

enum {
	RELOAD = 0x100,
	RELOAD_TIMED_OUT = 0x200, /* write 1 to clear */
	UNLOCK_1 = 0x80,	  /* in this order before each write to a register */
	UNLOCK_2 = 0x86,
};

/* What the main loop's timers are worth: nothing shorter, lest a guest keeps it busy. */
#define SHORTEST_STAGE INT64_C(1000000) /* ns */

typedef struct I6300esb {
	PciDevice pci;
	IoRegion region;
	DeviceTimer *timer;

	/* Under device.lock. */
	uint32_t preload[2];
	uint8_t lock;	   /* what CONFIG_LOCK is in force */
	uint8_t stage;	   /* 0: it does not run; 1, 2 */
	uint8_t unlocked;  /* how much of the sequence has been seen */
	bool timed_out;	   /* survives a reset, to tell why that was */
	bool paused;	   /* the machine is, and so is the counter */
	int64_t deadline;  /* of the stage, where it runs and is not paused */
	int64_t remaining; /* ns of the stage, while paused */
} I6300esb;

static I6300esb *i6300esb_of(Device *device)
{
	return (I6300esb *)device;
}

static void go_on(I6300esb *watchdog)
{
	if (watchdog->stage == 0 || watchdog->paused)
		return;
	watchdog->deadline = device_clock_monotonic() + watchdog->remaining;
	device_timer_arm(watchdog->timer, watchdog->deadline);
}

static void start_stage(I6300esb *watchdog, uint8_t stage)
{
	unsigned shift = watchdog->pci.config[CONFIG_WDT] & WDT_FAST ? 5 : 15;
	int64_t clocks = (int64_t)watchdog->preload[stage - 1] << shift;

	watchdog->stage = stage;
	watchdog->remaining = MAX(clocks * 1000 / PCI_CLOCK_MHZ, SHORTEST_STAGE);
	go_on(watchdog);
}

static void stop(I6300esb *watchdog)
{
	watchdog->stage = 0;
	device_timer_disarm(watchdog->timer);
}

static void set_lock(I6300esb *watchdog, uint8_t lock)
{
	watchdog->lock = watchdog->pci.config[CONFIG_LOCK] = lock;
}

static void timer_expired(Device *device)
{
	I6300esb *watchdog = i6300esb_of(device);

	if (watchdog->stage == 1) {
		start_stage(watchdog, 2);
		return;
	}
	if (!(watchdog->pci.config[CONFIG_WDT] & WDT_OUTPUT_OFF)) {
		watchdog->timed_out = true;
		device->services->request(device->services, RUN_REQUEST_WATCHDOG, 0);
	}
	if (watchdog->lock & LOCK_FREE_RUNNING) {
		start_stage(watchdog, 1);
		return;
	}
	stop(watchdog);
	set_lock(watchdog, watchdog->lock & (uint8_t)~LOCK_ENABLED);
}

static uint64_t register_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	I6300esb *watchdog = opaque;
	uint64_t value = 0;

	g_mutex_lock(&watchdog->pci.device.lock);
	if (offset == REG_PRELOAD_1 || offset == REG_PRELOAD_2)
		value = watchdog->preload[offset == REG_PRELOAD_2];
	else if (offset == REG_RELOAD)
		value = watchdog->timed_out ? RELOAD_TIMED_OUT : 0;
	g_mutex_unlock(&watchdog->pci.device.lock);
	return value;
}

static void write_unlocked(I6300esb *watchdog, uint64_t offset, uint32_t value)
{
	if (offset == REG_PRELOAD_1 || offset == REG_PRELOAD_2) {
		watchdog->preload[offset == REG_PRELOAD_2] = value & PRELOAD_MASK;
		return;
	}
	if (offset != REG_RELOAD)
		return;
	if (value & RELOAD_TIMED_OUT)
		watchdog->timed_out = false;
	if ((value & RELOAD) && watchdog->stage != 0)
		start_stage(watchdog, 1);
}

static void register_write(void *opaque, uint64_t offset, uint64_t value,
			   G_GNUC_UNUSED unsigned size)
{
	I6300esb *watchdog = opaque;
	uint8_t unlocked;

	g_mutex_lock(&watchdog->pci.device.lock);
	unlocked = watchdog->unlocked;
	watchdog->unlocked = 0;
	if (offset == REG_RELOAD && value == UNLOCK_1)
		watchdog->unlocked = 1;
	else if (offset == REG_RELOAD && value == UNLOCK_2 && unlocked == 1)
		watchdog->unlocked = 2;
	else if (unlocked == 2)
		write_unlocked(watchdog, offset, (uint32_t)value);
	g_mutex_unlock(&watchdog->pci.device.lock);
}

static const IoRegionOps register_ops = {
	.read = register_read,
	.write = register_write,
	.maximum_size = 4,
};

static void i6300esb_config_written(PciDevice *pci, unsigned offset, unsigned size)
{
	I6300esb *watchdog = (I6300esb *)pci;
	uint8_t before = watchdog->lock;

	if (offset + size <= CONFIG_LOCK || offset > CONFIG_LOCK)
		return;
	if (before & LOCK_LOCKED) {
		set_lock(watchdog, before);
		return;
	}
	set_lock(watchdog, pci->config[CONFIG_LOCK]);
	if (!(watchdog->lock & LOCK_ENABLED))
		stop(watchdog);
	else if (!(before & LOCK_ENABLED))
		start_stage(watchdog, 1);
}

static void i6300esb_reset(Device *device)
{
	I6300esb *watchdog = i6300esb_of(device);

	pci_device_reset(&watchdog->pci);
	g_mutex_lock(&device->lock);
	stop(watchdog);
	set_lock(watchdog, 0);
	watchdog->preload[0] = watchdog->preload[1] = PRELOAD_MASK;
	watchdog->unlocked = 0;
	g_mutex_unlock(&device->lock);
}

static void i6300esb_pause(Device *device)
{
	I6300esb *watchdog = i6300esb_of(device);

	g_mutex_lock(&device->lock);
	if (!watchdog->paused && watchdog->stage != 0) {
		device_timer_disarm(watchdog->timer);
		watchdog->remaining = MAX(watchdog->deadline - device_clock_monotonic(), 0);
	}
	watchdog->paused = true;
	g_mutex_unlock(&device->lock);
}

static void i6300esb_resume(Device *device)
{
	I6300esb *watchdog = i6300esb_of(device);

	g_mutex_lock(&device->lock);
	if (watchdog->paused) {
		watchdog->paused = false;
		go_on(watchdog);
	}
	g_mutex_unlock(&device->lock);
}

static bool i6300esb_realize(Device *device, G_GNUC_UNUSED GError **error)
{
	I6300esb *watchdog = i6300esb_of(device);

	pci_device_init(&watchdog->pci);
	watchdog->pci.write_mask[CONFIG_WDT] = WDT_INTERRUPT_TYPE | WDT_FAST | WDT_OUTPUT_OFF;
	watchdog->pci.write_mask[CONFIG_LOCK] = LOCK_LOCKED | LOCK_ENABLED | LOCK_FREE_RUNNING;
	watchdog->region = (IoRegion){
		.name = "i6300esb", .size = REGISTERS_SIZE, .ops = &register_ops, .opaque = watchdog
	};
	pci_device_add_bar(&watchdog->pci, 0, &watchdog->region, false, false, false);
	watchdog->timer = device_timer_new(device, timer_expired);
	i6300esb_reset(device);
	return true;
}

static void i6300esb_unrealize(Device *device)
{
	I6300esb *watchdog = i6300esb_of(device);

	device_timer_free(watchdog->timer);
	pci_device_finish(&watchdog->pci);
}

static bool i6300esb_loaded(void *object, GError **error)
{
	I6300esb *watchdog = object;
	bool enabled = watchdog->pci.config[CONFIG_LOCK] & LOCK_ENABLED;

	watchdog->lock = watchdog->pci.config[CONFIG_LOCK];
	if (watchdog->stage > 2 || watchdog->unlocked > 2 || enabled != (watchdog->stage != 0) ||
	    watchdog->preload[0] > PRELOAD_MASK || watchdog->preload[1] > PRELOAD_MASK ||
	    watchdog->remaining < 0 || watchdog->remaining > INT64_MAX / 2) {
		stop(watchdog);
		return error_fail(error, "%s cannot be in such a state", watchdog->pci.device.path);
	}
	return true;
}

static const StateTable i6300esb_state = {
	.name = "i6300esb",
	.version = 1,
	.minimum_version = 1,
	.after_load = i6300esb_loaded,
	.fields =
		(const StateField[]){
			STATE_PART(I6300esb, pci, &pci_device_state),
			STATE_ARRAY(I6300esb, preload, STATE_UINT32),
			STATE_FIELD(I6300esb, stage, STATE_UINT8),
			STATE_FIELD(I6300esb, unlocked, STATE_UINT8),
			STATE_FIELD(I6300esb, timed_out, STATE_BOOL),
			STATE_FIELD(I6300esb, remaining, STATE_INT64),
			STATE_END,
		},
};

const PciDeviceType i6300esb_type = {
	.device = {
		.name = "i6300esb",
		.description = "Intel 6300ESB watchdog",
		.category = "Watchdog",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(I6300esb),
		.properties = { pci_device_properties },
		.state = &i6300esb_state,
		.hotpluggable = true,
		.user_creatable = true,
		.realize = i6300esb_realize,
		.unrealize = i6300esb_unrealize,
		.reset = i6300esb_reset,
		.pause = i6300esb_pause,
		.resume = i6300esb_resume,
	},
	.vendor_id = 0x8086,
	.device_id = 0x25ab,
	.class_code = 0x088000,
	.config_written = i6300esb_config_written,
};
