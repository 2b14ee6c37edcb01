/*
 * interrupt.h: how devices interrupt the guest
 *
 * An interface with two implementations: KVM's in-kernel irqchip (vmm/kvm/), and a recording fake
 * for device tests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct InterruptController InterruptController;

/* A message-signalled interrupt as the device would write it (PCIe §6.1.4). */
typedef struct MsiMessage {
	uint64_t address;
	uint32_t data;
} MsiMessage;

typedef struct InterruptControllerOps {
	void (*set_line)(InterruptController *controller, unsigned gsi, bool level);
	bool (*send_msi)(InterruptController *controller, const MsiMessage *message);
	int (*add_msi_route)(InterruptController *controller, const MsiMessage *message,
			     int eventfd, GError **error);
	bool (*update_msi_route)(InterruptController *controller, int route,
				 const MsiMessage *message);
	void (*remove_msi_route)(InterruptController *controller, int route, int eventfd);
} InterruptControllerOps;

/* First member of every implementation. */
struct InterruptController {
	const InterruptControllerOps *ops;
};

/* Drive interrupt line @gsi (0 to 23; ISA IRQs have the same number). Any thread. */
static inline void interrupt_set_line(InterruptController *controller, unsigned gsi, bool level)
{
	controller->ops->set_line(controller, gsi, level);
}

/* Deliver @message now; false when no CPU takes it. Any thread. */
static inline bool interrupt_send_msi(InterruptController *controller, const MsiMessage *message)
{
	return controller->ops->send_msi(controller, message);
}

/*
 * From now on a signal of @eventfd delivers @message without user space (irqfd, KVM API §4.75).
 * Returns a route number to update or remove, or -1 and @error. Any thread.
 */
static inline int interrupt_add_msi_route(InterruptController *controller,
					  const MsiMessage *message, int eventfd, GError **error)
{
	return controller->ops->add_msi_route(controller, message, eventfd, error);
}

/* Change what @route delivers. Any thread. */
static inline bool interrupt_update_msi_route(InterruptController *controller, int route,
					      const MsiMessage *message)
{
	return controller->ops->update_msi_route(controller, route, message);
}

/* Unbind @eventfd from @route and free the route. Any thread. */
static inline void interrupt_remove_msi_route(InterruptController *controller, int route,
					      int eventfd)
{
	controller->ops->remove_msi_route(controller, route, eventfd);
}
