/*
 * device_timer.c: a one-shot timer of a device on the main loop
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chipset/device_timer.h"

#include <time.h>

struct DeviceTimer {
	GSource source;
	Device *device;
	void (*expired)(Device *device);
};

int64_t device_clock_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static gboolean timer_dispatch(GSource *source, G_GNUC_UNUSED GSourceFunc callback,
			       G_GNUC_UNUSED gpointer data)
{
	DeviceTimer *timer = (DeviceTimer *)source;

	g_mutex_lock(&timer->device->lock);
	/* A vCPU may have put the deadline off while this thread was on its way here. */
	if (g_source_get_ready_time(source) >= 0 &&
	    g_source_get_ready_time(source) <= g_get_monotonic_time()) {
		g_source_set_ready_time(source, -1);
		timer->expired(timer->device);
	}
	g_mutex_unlock(&timer->device->lock);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

DeviceTimer *device_timer_new(Device *device, void (*expired)(Device *device))
{
	DeviceTimer *timer = (DeviceTimer *)g_source_new(&timer_funcs, sizeof(*timer));

	timer->device = device;
	timer->expired = expired;
	g_source_set_static_name(&timer->source, device->type->name);
	g_source_attach(&timer->source, device->services->main_context);
	return timer;
}

void device_timer_free(DeviceTimer *timer)
{
	g_source_destroy(&timer->source);
	g_source_unref(&timer->source);
}

void device_timer_arm(DeviceTimer *timer, int64_t deadline)
{
	/* Rounded up: never early. GLib's clock is CLOCK_MONOTONIC in microseconds. */
	g_source_set_ready_time(&timer->source, MAX(deadline, 0) / 1000 + 1);
}

void device_timer_disarm(DeviceTimer *timer)
{
	g_source_set_ready_time(&timer->source, -1);
}
