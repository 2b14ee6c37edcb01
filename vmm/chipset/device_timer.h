/*
 * device_timer.h: a one-shot timer of a device on the main loop
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "vmm/device/device.h"

typedef struct DeviceTimer DeviceTimer;

/* CLOCK_MONOTONIC in nanoseconds. Any thread. */
int64_t device_clock_monotonic(void);

/*
 * A timer that calls @expired(@device) on the main thread, with device->lock held. Not armed.
 * Main thread.
 */
DeviceTimer *device_timer_new(Device *device, void (*expired)(Device *device));
/* @expired never runs again. Main thread, device->lock not held. */
void device_timer_free(DeviceTimer *timer);

/*
 * Expire once when device_clock_monotonic() reaches @deadline, in nanoseconds, instead of
 * whatever it was armed for. Any thread; device->lock may be held.
 */
void device_timer_arm(DeviceTimer *timer, int64_t deadline);
void device_timer_disarm(DeviceTimer *timer);
