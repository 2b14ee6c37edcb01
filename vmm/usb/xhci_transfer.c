/*
 * xhci_transfer.c: transfers of the USB host controller (xHCI §3.2.9, §4.11)
 *
 * A control transfer is worked through stage by stage as the guest gives them; the device gets the
 * request when all that it needs is there. Interrupt transfers wait at the head of their ring until
 * the device has something.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/usb/xhci_internal.h"

#include <string.h>

/* TRBs of one transfer; more would only be there to keep the controller busy. */
#define TRANSFER_TRBS_MAX 64u

typedef struct Transfer {
	Xhci *xhci;
	XhciSlot *slot;
	XhciEndpoint *endpoint;
	unsigned index;
} Transfer;

static UsbDevice *device_of(const Transfer *transfer)
{
	return xhci_slot_device(transfer->xhci, transfer->slot);
}

static void send_event(const Transfer *transfer, uint64_t parameter, XhciCompletion completion,
		       uint32_t length, uint32_t flags)
{
	unsigned slot = (unsigned)(transfer->slot - transfer->xhci->slots) + 1;

	xhci_event_send(transfer->xhci, TRB_TRANSFER_EVENT, parameter,
			(uint32_t)completion << 24 | (length & 0xffffff),
			(uint32_t)slot << 24 | transfer->index << 16 | flags);
}

/*
 * The endpoint stops at the TRB at @gpa, which failed because the device did not want it or is not
 * there, until software has reset it (§4.10.2.1).
 */
static void halt(const Transfer *transfer, uint64_t gpa, uint32_t left)
{
	XhciCompletion completion = device_of(transfer) ? COMPLETION_STALL : COMPLETION_TRANSACTION;

	transfer->endpoint->state = ENDPOINT_HALTED;
	transfer->endpoint->doorbell = false;
	transfer->slot->control.active = false;
	if (xhci_endpoint_store(transfer->xhci, transfer->slot, transfer->index))
		send_event(transfer, gpa, completion, left, 0);
}

static void setup_stage(const Transfer *transfer, const XhciTrb *trb)
{
	XhciControl *control = &transfer->slot->control;
	uint64_t raw = GUINT64_TO_LE(trb->parameter);

	memcpy(control->setup, &raw, sizeof(control->setup));
	control->active = true;
	control->stalled = control->performed = false;
	control->done = control->size = 0;
}

static UsbSetup setup_of(const XhciControl *control)
{
	const uint8_t *setup = control->setup;

	return (UsbSetup){
		.request_type = setup[0],
		.request = setup[1],
		.value = (uint16_t)(setup[2] | setup[3] << 8),
		.index = (uint16_t)(setup[4] | setup[5] << 8),
		.length = (uint16_t)(setup[6] | setup[7] << 8),
	};
}

/* Give the device the request, once. */
static void perform(const Transfer *transfer)
{
	XhciControl *control = &transfer->slot->control;
	UsbSetup setup = setup_of(control);
	UsbDevice *usb = device_of(transfer);
	int result = USB_STALL;

	if (control->performed)
		return;
	control->performed = true;
	/* No request of these devices is longer; an answer is shorter than what may be asked for.
	 */
	if (setup.request_type & USB_TO_HOST)
		setup.length = (uint16_t)MIN(setup.length, USB_TRANSFER_MAX);
	if (usb && (setup.request_type & USB_TO_HOST || control->size == setup.length))
		result = usb_device_control(usb, &setup, control->data);
	control->stalled = result < 0;
	if (setup.request_type & USB_TO_HOST)
		control->size = result > 0 ? (uint32_t)result : 0;
}

/* Move the data of @trb, which has room for, or has, its length; returns how many bytes moved. */
static uint32_t move_data(const Transfer *transfer, const XhciTrb *trb, bool to_host, bool *failed)
{
	XhciControl *control = &transfer->slot->control;
	uint32_t length = trb->status & TRB_LENGTH, n;
	uint64_t immediate = GUINT64_TO_LE(trb->parameter);

	if (to_host) {
		n = MIN(length, control->size - control->done);
		*failed = !xhci_write(transfer->xhci, trb->parameter, control->data + control->done,
				      n);
		control->done += n;
		return n;
	}
	n = MIN(length, USB_TRANSFER_MAX - control->size);
	if (trb->control & TRB_IMMEDIATE) {
		n = MIN(n, sizeof(immediate));
		memcpy(control->data + control->size, &immediate, n);
		*failed = false;
	} else {
		*failed = !xhci_read(transfer->xhci, trb->parameter, control->data + control->size,
				     n);
	}
	control->size += n;
	return n;
}

/*
 * One TRB of the data stage. What is left of the stage after a short packet still passes here, and
 * moves nothing more.
 */
static void data_stage(const Transfer *transfer, const XhciTrb *trb, uint64_t gpa)
{
	XhciControl *control = &transfer->slot->control;
	bool to_host = control->setup[0] & USB_TO_HOST, failed;
	uint32_t length = trb->status & TRB_LENGTH, moved;

	if (to_host)
		perform(transfer);
	if (control->stalled) {
		halt(transfer, gpa, length);
		return;
	}
	moved = move_data(transfer, trb, to_host, &failed);
	if (failed)
		return;
	if (to_host && moved < length && (trb->control & (TRB_SHORT_PACKET | TRB_INTERRUPT)))
		send_event(transfer, gpa, COMPLETION_SHORT_PACKET, length - moved, 0);
	else if (trb->control & TRB_INTERRUPT)
		send_event(transfer, gpa, COMPLETION_SUCCESS, length - moved, 0);
}

static void status_stage(const Transfer *transfer, const XhciTrb *trb, uint64_t gpa)
{
	XhciControl *control = &transfer->slot->control;

	perform(transfer);
	if (control->stalled) {
		halt(transfer, gpa, 0);
		return;
	}
	control->active = false;
	if (trb->control & TRB_INTERRUPT)
		send_event(transfer, gpa, COMPLETION_SUCCESS, 0, 0);
}

static void event_data(const Transfer *transfer, const XhciTrb *trb)
{
	const XhciControl *control = &transfer->slot->control;

	if (trb->control & TRB_INTERRUPT)
		send_event(transfer, trb->parameter, COMPLETION_SUCCESS,
			   control->setup[0] & USB_TO_HOST ? control->done : control->size,
			   TRB_EVENT_DATA_FLAG);
}

static void control_trb(const Transfer *transfer, const XhciTrb *trb, uint64_t gpa)
{
	unsigned type = xhci_trb_type(trb);

	if (type == TRB_SETUP && (trb->control & TRB_IMMEDIATE))
		setup_stage(transfer, trb);
	else if (type == TRB_NO_OP)
		(void)type;
	else if (!transfer->slot->control.active)
		send_event(transfer, gpa, COMPLETION_TRB_ERROR, 0, 0);
	else if (type == TRB_DATA || type == TRB_NORMAL)
		data_stage(transfer, trb, gpa);
	else if (type == TRB_STATUS)
		status_stage(transfer, trb, gpa);
	else if (type == TRB_EVENT_DATA)
		event_data(transfer, trb);
	else
		send_event(transfer, gpa, COMPLETION_TRB_ERROR, 0, 0);
}

static void run_control(const Transfer *transfer)
{
	XhciTrb trb;
	uint64_t gpa;

	/* A TRB sends one event at most. */
	if (xhci_ring_take(transfer->xhci, &transfer->endpoint->ring, &trb, &gpa))
		control_trb(transfer, &trb, gpa);
	else
		transfer->endpoint->doorbell = false;
}

/* A transfer descriptor: TRBs that are chained, and where they are. */
typedef struct Descriptor {
	XhciTrb trbs[TRANSFER_TRBS_MAX];
	uint64_t gpas[TRANSFER_TRBS_MAX];
	unsigned n;
	XhciRing after; /* the ring behind it */
} Descriptor;

/* The next one, if all of it is there. */
static bool take_descriptor(const Transfer *transfer, Descriptor *descriptor)
{
	descriptor->n = 0;
	descriptor->after = transfer->endpoint->ring;
	do {
		unsigned i = descriptor->n;

		if (i == TRANSFER_TRBS_MAX) {
			xhci_fail(transfer->xhci);
			return false;
		}
		if (!xhci_ring_take(transfer->xhci, &descriptor->after, &descriptor->trbs[i],
				    &descriptor->gpas[i]))
			return false;
		descriptor->n++;
	} while (descriptor->trbs[descriptor->n - 1].control & TRB_CHAIN);
	return true;
}

static bool is_buffer(const XhciTrb *trb)
{
	return xhci_trb_type(trb) == TRB_NORMAL;
}

/* Spread the @size bytes of @data over the buffers of @descriptor, and tell of it. */
static void fill_descriptor(const Transfer *transfer, const Descriptor *descriptor,
			    const uint8_t *data, uint32_t size)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < descriptor->n; i++) {
		const XhciTrb *trb = &descriptor->trbs[i];
		uint32_t length = trb->status & TRB_LENGTH, n = MIN(length, size - done);
		bool is_short = n < length;

		if (xhci_trb_type(trb) == TRB_EVENT_DATA) {
			if (trb->control & TRB_INTERRUPT)
				send_event(transfer, trb->parameter, COMPLETION_SUCCESS, done,
					   TRB_EVENT_DATA_FLAG);
			continue;
		}
		if (!is_buffer(trb))
			continue;
		if (n > 0 && !xhci_write(transfer->xhci, trb->parameter, data + done, n))
			return;
		done += n;
		if (is_short && (trb->control & (TRB_SHORT_PACKET | TRB_INTERRUPT))) {
			send_event(transfer, descriptor->gpas[i], COMPLETION_SHORT_PACKET,
				   length - n, 0);
			return; /* the rest of the descriptor is passed over (§4.10.1.1) */
		}
		if (trb->control & TRB_INTERRUPT)
			send_event(transfer, descriptor->gpas[i], COMPLETION_SUCCESS, 0, 0);
	}
}

static uint32_t descriptor_room(const Descriptor *descriptor)
{
	uint32_t room = 0;

	for (unsigned i = 0; i < descriptor->n; i++) {
		if (is_buffer(&descriptor->trbs[i]))
			room += descriptor->trbs[i].status & TRB_LENGTH;
	}
	return room;
}

static void run_interrupt_in(const Transfer *transfer)
{
	UsbDevice *usb = device_of(transfer);
	uint8_t data[USB_TRANSFER_MAX];
	Descriptor descriptor;
	int result = USB_STALL;

	if (!take_descriptor(transfer, &descriptor)) {
		transfer->endpoint->doorbell = false;
		return;
	}
	/* As many events as it has TRBs, at most. */
	if (!xhci_event_room(transfer->xhci, descriptor.n))
		return;
	if (usb)
		result = usb_device_interrupt_in(usb, transfer->index / 2, data,
						 MIN(descriptor_room(&descriptor), sizeof(data)));
	if (result == USB_NAK)
		return;
	transfer->endpoint->ring = descriptor.after;
	if (result < 0)
		halt(transfer, descriptor.gpas[descriptor.n - 1], descriptor_room(&descriptor));
	else
		fill_descriptor(transfer, &descriptor, data, (uint32_t)result);
}

/* Whether there was progress: the ring has moved on. */
static bool run_once(const Transfer *transfer)
{
	uint64_t before = transfer->endpoint->ring.dequeue;

	if (!xhci_event_room(transfer->xhci, 1))
		return false;
	if (transfer->index == 1) {
		run_control(transfer);
	} else if (transfer->index & 1) {
		run_interrupt_in(transfer);
	} else {
		/* No device here has an OUT endpoint. */
		Descriptor descriptor;

		if (!take_descriptor(transfer, &descriptor)) {
			transfer->endpoint->doorbell = false;
			return false;
		}
		transfer->endpoint->ring = descriptor.after;
		halt(transfer, descriptor.gpas[0], descriptor_room(&descriptor));
	}
	return transfer->endpoint->ring.dequeue != before;
}

void xhci_run_endpoint(Xhci *xhci, XhciSlot *slot, unsigned index)
{
	const Transfer transfer = { xhci, slot, &slot->endpoints[index], index };

	while (slot->enabled && transfer.endpoint->doorbell &&
	       transfer.endpoint->state == ENDPOINT_RUNNING && xhci_is_running(xhci) &&
	       run_once(&transfer))
		;
}
