/*
 * xhci_ring.c: the rings of the USB host controller (xHCI §4.9)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/usb/xhci_internal.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/usb/xhci_registers.h"

/* Links that lead to links, of which there is no need. */
#define LINKS_MAX 8u

void xhci_fail(Xhci *xhci)
{
	/* Once: a guest that does it again and again must not fill the log. */
	if (!xhci->warned)
		g_warning("%s: the guest's rings or contexts are not in its memory, or have no end",
			  xhci->pci.device.path);
	xhci->warned = true;
	xhci->command &= ~COMMAND_RUN;
	xhci->status |= STATUS_HOST_ERROR | STATUS_HALTED;
}

bool xhci_is_running(const Xhci *xhci)
{
	return (xhci->command & COMMAND_RUN) && !(xhci->status & STATUS_HOST_ERROR);
}

bool xhci_read(Xhci *xhci, uint64_t gpa, void *buffer, size_t size)
{
	if (pci_device_is_bus_master(&xhci->pci) &&
	    guest_memory_read(xhci->pci.device.services->memory, gpa, buffer, size))
		return true;
	xhci_fail(xhci);
	return false;
}

bool xhci_write(Xhci *xhci, uint64_t gpa, const void *buffer, size_t size)
{
	if (pci_device_is_bus_master(&xhci->pci) &&
	    guest_memory_write(xhci->pci.device.services->memory, gpa, buffer, size))
		return true;
	xhci_fail(xhci);
	return false;
}

bool xhci_ring_take(Xhci *xhci, XhciRing *ring, XhciTrb *trb, uint64_t *gpa)
{
	struct {
		uint64_t parameter;
		uint32_t status, control;
	} raw;

	if (xhci->work == 0) {
		xhci_fail(xhci);
		return false;
	}
	xhci->work--;
	for (unsigned links = 0; links < LINKS_MAX; links++) {
		if (!xhci_read(xhci, ring->dequeue, &raw, sizeof(raw)))
			return false;
		trb->parameter = GUINT64_FROM_LE(raw.parameter);
		trb->status = GUINT32_FROM_LE(raw.status);
		trb->control = GUINT32_FROM_LE(raw.control);
		if (!!(trb->control & TRB_CYCLE) != ring->cycle)
			return false;
		if (xhci_trb_type(trb) != TRB_LINK) {
			*gpa = ring->dequeue;
			ring->dequeue += XHCI_TRB_SIZE;
			return true;
		}
		ring->dequeue = trb->parameter & ~UINT64_C(15);
		if (trb->control & TRB_TOGGLE_CYCLE)
			ring->cycle = !ring->cycle;
	}
	xhci_fail(xhci);
	return false;
}

void xhci_event_ring_start(Xhci *xhci)
{
	struct {
		uint64_t base;
		uint32_t size, reserved;
	} segment;

	xhci->event_size = 0;
	if (xhci->segments == 0 || !xhci_read(xhci, xhci->segment_table, &segment, sizeof(segment)))
		return;
	/* §6.5: 16 to 4096 TRBs. */
	xhci->event_base = GUINT64_FROM_LE(segment.base) & ~UINT64_C(63);
	xhci->event_size = GUINT32_FROM_LE(segment.size) & 0xffff;
	xhci->event_index = 0;
	xhci->event_cycle = true;
	if (xhci->event_size < 16 || xhci->event_size > 4096) {
		xhci->event_size = 0;
		xhci_fail(xhci);
	}
}

/* The index of the event that the guest takes next. */
static uint32_t dequeue_index(const Xhci *xhci)
{
	return (uint32_t)(((xhci->event_dequeue & ~UINT64_C(15)) - xhci->event_base) /
			  XHCI_TRB_SIZE);
}

static bool dequeue_is_in_ring(const Xhci *xhci)
{
	uint64_t dequeue = xhci->event_dequeue & ~UINT64_C(15);

	return dequeue >= xhci->event_base &&
	       dequeue < xhci->event_base + (uint64_t)xhci->event_size * XHCI_TRB_SIZE;
}

bool xhci_event_room(const Xhci *xhci, unsigned n)
{
	uint32_t used;

	if (xhci->event_size == 0 || !dequeue_is_in_ring(xhci))
		return false;
	used = (xhci->event_index + xhci->event_size - dequeue_index(xhci)) % xhci->event_size;
	/* One stays free, so that a full ring is not an empty one. */
	return used + n < xhci->event_size;
}

void xhci_interrupt(Xhci *xhci)
{
	bool busy = xhci->event_dequeue & EVENT_HANDLER_BUSY;

	xhci->event_dequeue |= EVENT_HANDLER_BUSY;
	xhci->status |= STATUS_EVENT;
	if (busy)
		return;
	if ((xhci->management & MANAGEMENT_ENABLE) && (xhci->command & COMMAND_INTERRUPTS))
		pci_msix_notify(&xhci->pci, 0);
	else
		xhci->management |= MANAGEMENT_PENDING; /* a message clears it at once (§5.5.2.1) */
}

void xhci_event_send(Xhci *xhci, XhciTrbType type, uint64_t parameter, uint32_t status,
		     uint32_t control)
{
	struct {
		uint64_t parameter;
		uint32_t status, control;
	} raw = {
		.parameter = GUINT64_TO_LE(parameter),
		.status = GUINT32_TO_LE(status),
		.control = GUINT32_TO_LE(control | (uint32_t)type << 10 |
					 (xhci->event_cycle ? TRB_CYCLE : 0)),
	};
	uint64_t gpa = xhci->event_base + (uint64_t)xhci->event_index * XHCI_TRB_SIZE;

	/* The cycle bit hands it over, so it is written last. */
	if (!xhci_write(xhci, gpa, &raw, sizeof(raw) - sizeof(raw.control)))
		return;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (!xhci_write(xhci, gpa + sizeof(raw) - sizeof(raw.control), &raw.control,
			sizeof(raw.control)))
		return;
	if (++xhci->event_index == xhci->event_size) {
		xhci->event_index = 0;
		xhci->event_cycle = !xhci->event_cycle;
	}
	xhci_interrupt(xhci);
}
