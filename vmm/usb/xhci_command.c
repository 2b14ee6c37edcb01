/*
 * xhci_command.c: the commands of the USB host controller (xHCI §4.6)
 *
 * Contexts are the guest's memory: what the controller goes by is what it copied from them when a
 * command said so. A device is found by its port on the root hub; there are no hubs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/usb/xhci_internal.h"
#include "vmm/usb/xhci_registers.h"

#include <string.h>

#define DWORDS		 (XHCI_CONTEXT_SIZE / 4)
#define SLOT_STATE_SHIFT 27
#define ENTRIES_SHIFT	 27
#define ENTRIES_MASK	 (UINT32_C(31) << ENTRIES_SHIFT)
#define ROUTE_MASK	 0xfffffu
#define LATENCY_MASK	 0xffffu

typedef uint32_t Context[DWORDS];

/* The contexts of an input context (§6.2.5) that commands are about. */
typedef struct Input {
	uint64_t gpa;
	uint32_t drop, add;
} Input;

static bool read_context(Xhci *xhci, uint64_t gpa, Context context)
{
	if (!xhci_read(xhci, gpa, context, XHCI_CONTEXT_SIZE))
		return false;
	for (unsigned i = 0; i < DWORDS; i++)
		context[i] = GUINT32_FROM_LE(context[i]);
	return true;
}

static bool write_context(Xhci *xhci, uint64_t gpa, const Context context)
{
	Context raw;

	for (unsigned i = 0; i < DWORDS; i++)
		raw[i] = GUINT32_TO_LE(context[i]);
	return xhci_write(xhci, gpa, raw, XHCI_CONTEXT_SIZE);
}

static bool read_input(Xhci *xhci, const XhciTrb *command, Input *input)
{
	Context control;

	input->gpa = command->parameter & ~UINT64_C(15);
	if (!read_context(xhci, input->gpa, control))
		return false;
	input->drop = control[0];
	input->add = control[1];
	return true;
}

/* Context @index of an input context, 0 being the slot's. */
static uint64_t input_at(const Input *input, unsigned index)
{
	return input->gpa + (uint64_t)(index + 1) * XHCI_CONTEXT_SIZE;
}

static uint64_t output_at(const XhciSlot *slot, unsigned index)
{
	return slot->context + (uint64_t)index * XHCI_CONTEXT_SIZE;
}

static unsigned number_of(const Xhci *xhci, const XhciSlot *slot)
{
	return (unsigned)(slot - xhci->slots) + 1;
}

/* The slot context as it is in memory, changed by @state and the address. */
static bool store_slot(Xhci *xhci, XhciSlot *slot, Context context)
{
	uint32_t address = slot->state >= SLOT_ADDRESSED ? number_of(xhci, slot) : 0;

	context[3] = (uint32_t)slot->state << SLOT_STATE_SHIFT | address;
	return write_context(xhci, output_at(slot, 0), context);
}

bool xhci_endpoint_store(Xhci *xhci, XhciSlot *slot, unsigned index)
{
	const XhciEndpoint *endpoint = &slot->endpoints[index];
	Context context;

	if (!read_context(xhci, output_at(slot, index), context))
		return false;
	context[0] = (context[0] & ~UINT32_C(7)) | endpoint->state;
	context[2] = (uint32_t)endpoint->ring.dequeue | endpoint->ring.cycle;
	context[3] = (uint32_t)(endpoint->ring.dequeue >> 32);
	return write_context(xhci, output_at(slot, index), context);
}

/* Take what @context says of endpoint @index, and have it run. */
static bool start_endpoint(Xhci *xhci, XhciSlot *slot, unsigned index, Context context)
{
	XhciEndpoint *endpoint = &slot->endpoints[index];
	uint64_t dequeue = context[2] | (uint64_t)context[3] << 32;

	*endpoint = (XhciEndpoint){
		.state = ENDPOINT_RUNNING,
		.type = context[1] >> 3 & 7,
		.ring = { .dequeue = dequeue & ~UINT64_C(15), .cycle = dequeue & 1 },
	};
	context[0] = (context[0] & ~UINT32_C(7)) | ENDPOINT_RUNNING;
	return write_context(xhci, output_at(slot, index), context);
}

static bool stop_endpoints(Xhci *xhci, XhciSlot *slot, unsigned first)
{
	for (unsigned i = first; i <= XHCI_ENDPOINTS; i++) {
		if (slot->endpoints[i].state == ENDPOINT_DISABLED)
			continue;
		slot->endpoints[i] = (XhciEndpoint){ .state = ENDPOINT_DISABLED };
		if (!xhci_endpoint_store(xhci, slot, i))
			return false;
	}
	return true;
}

static XhciCompletion enable_slot(Xhci *xhci, unsigned *number)
{
	unsigned n = MIN(xhci->config & 0xff, XHCI_SLOTS);

	for (unsigned i = 0; i < n; i++) {
		if (!xhci->slots[i].enabled) {
			xhci->slots[i] = (XhciSlot){ .enabled = true };
			*number = i + 1;
			return COMPLETION_SUCCESS;
		}
	}
	return COMPLETION_NO_SLOTS;
}

/* Where the device context of @slot is (§6.1). */
static bool find_context(Xhci *xhci, XhciSlot *slot)
{
	uint64_t gpa;

	if (!xhci_read(xhci, xhci->context_array + (uint64_t)number_of(xhci, slot) * sizeof(gpa),
		       &gpa, sizeof(gpa)))
		return false;
	slot->context = GUINT64_FROM_LE(gpa) & ~UINT64_C(63);
	return true;
}

static bool port_is_used(const Xhci *xhci, const XhciSlot *slot, unsigned port)
{
	for (unsigned i = 0; i < XHCI_SLOTS; i++) {
		if (&xhci->slots[i] != slot && xhci->slots[i].enabled &&
		    xhci->slots[i].port == port)
			return true;
	}
	return false;
}

static XhciCompletion address_device(Xhci *xhci, XhciSlot *slot, const XhciTrb *command)
{
	bool block = command->control & TRB_BLOCK_SET_ADDRESS;
	Context context, endpoint;
	unsigned port;
	Input input;

	if (!read_input(xhci, command, &input) ||
	    !read_context(xhci, input_at(&input, 0), context) ||
	    !read_context(xhci, input_at(&input, 1), endpoint) || !find_context(xhci, slot))
		return COMPLETION_TRB_ERROR;
	port = context[1] >> 16 & 0xff;
	if (input.drop || input.add != 3 || (context[0] & ROUTE_MASK) ||
	    port_is_used(xhci, slot, port))
		return COMPLETION_PARAMETER;
	if (slot->state > SLOT_DEFAULT || (block && slot->state != SLOT_ENABLED))
		return COMPLETION_CONTEXT_STATE;
	slot->port = (uint8_t)port;
	if (!xhci_slot_device(xhci, slot)) {
		slot->port = 0;
		return COMPLETION_PARAMETER;
	}
	slot->state = block ? SLOT_DEFAULT : SLOT_ADDRESSED;
	slot->control.active = false;
	if (!start_endpoint(xhci, slot, 1, endpoint) || !store_slot(xhci, slot, context))
		return COMPLETION_TRB_ERROR;
	return COMPLETION_SUCCESS;
}

static XhciCompletion deconfigure(Xhci *xhci, XhciSlot *slot)
{
	Context context;

	if (!read_context(xhci, output_at(slot, 0), context) || !stop_endpoints(xhci, slot, 2))
		return COMPLETION_TRB_ERROR;
	slot->state = SLOT_ADDRESSED;
	context[0] = (context[0] & ~ENTRIES_MASK) | UINT32_C(1) << ENTRIES_SHIFT;
	return store_slot(xhci, slot, context) ? COMPLETION_SUCCESS : COMPLETION_TRB_ERROR;
}

static XhciCompletion configure_endpoint(Xhci *xhci, XhciSlot *slot, const XhciTrb *command)
{
	Context context, wanted;
	Input input;

	if (slot->state < SLOT_ADDRESSED)
		return COMPLETION_CONTEXT_STATE;
	if (command->control & TRB_DECONFIGURE)
		return deconfigure(xhci, slot);
	if (!read_input(xhci, command, &input) ||
	    !read_context(xhci, input_at(&input, 0), wanted) ||
	    !read_context(xhci, output_at(slot, 0), context))
		return COMPLETION_TRB_ERROR;
	if ((input.drop & 3) || (input.add & 3) != 1)
		return COMPLETION_PARAMETER;
	for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++) {
		Context endpoint;

		if ((input.drop >> i & 1) && slot->endpoints[i].state != ENDPOINT_DISABLED) {
			slot->endpoints[i] = (XhciEndpoint){ .state = ENDPOINT_DISABLED };
			if (!xhci_endpoint_store(xhci, slot, i))
				return COMPLETION_TRB_ERROR;
		}
		if ((input.add >> i & 1) && (!read_context(xhci, input_at(&input, i), endpoint) ||
					     !start_endpoint(xhci, slot, i, endpoint)))
			return COMPLETION_TRB_ERROR;
	}
	slot->state = SLOT_CONFIGURED;
	context[0] = (context[0] & ~ENTRIES_MASK) | (wanted[0] & ENTRIES_MASK);
	return store_slot(xhci, slot, context) ? COMPLETION_SUCCESS : COMPLETION_TRB_ERROR;
}

/* The latency and interrupter of the slot, the packet size of endpoint 0 (§4.6.7). */
static XhciCompletion evaluate_context(Xhci *xhci, XhciSlot *slot, const XhciTrb *command)
{
	Context context, wanted;
	Input input;

	if (slot->state < SLOT_DEFAULT)
		return COMPLETION_CONTEXT_STATE;
	if (!read_input(xhci, command, &input))
		return COMPLETION_TRB_ERROR;
	if (input.drop || (input.add & ~UINT32_C(3)))
		return COMPLETION_PARAMETER;
	if (input.add & 1) {
		if (!read_context(xhci, input_at(&input, 0), wanted) ||
		    !read_context(xhci, output_at(slot, 0), context))
			return COMPLETION_TRB_ERROR;
		context[1] = (context[1] & ~LATENCY_MASK) | (wanted[1] & LATENCY_MASK);
		context[2] = wanted[2];
		if (!store_slot(xhci, slot, context))
			return COMPLETION_TRB_ERROR;
	}
	if (input.add & 2) {
		if (!read_context(xhci, input_at(&input, 1), wanted) ||
		    !read_context(xhci, output_at(slot, 1), context))
			return COMPLETION_TRB_ERROR;
		context[1] = (context[1] & 0xffff) | (wanted[1] & 0xffff0000);
		if (!write_context(xhci, output_at(slot, 1), context))
			return COMPLETION_TRB_ERROR;
	}
	return COMPLETION_SUCCESS;
}

static XhciCompletion reset_device(Xhci *xhci, XhciSlot *slot)
{
	UsbDevice *usb = xhci_slot_device(xhci, slot);
	Context context;

	if (slot->state < SLOT_ADDRESSED)
		return COMPLETION_CONTEXT_STATE;
	if (!read_context(xhci, output_at(slot, 0), context) || !stop_endpoints(xhci, slot, 2))
		return COMPLETION_TRB_ERROR;
	if (usb)
		usb_device_reset_bus(usb);
	slot->state = SLOT_DEFAULT;
	slot->control.active = false;
	context[0] = (context[0] & ~ENTRIES_MASK) | UINT32_C(1) << ENTRIES_SHIFT;
	return store_slot(xhci, slot, context) ? COMPLETION_SUCCESS : COMPLETION_TRB_ERROR;
}

static XhciCompletion disable_slot(Xhci *xhci, XhciSlot *slot)
{
	Context context;

	/* Without an address it has no context yet. */
	if (slot->context && read_context(xhci, output_at(slot, 0), context)) {
		context[3] = 0;
		write_context(xhci, output_at(slot, 0), context);
	}
	*slot = (XhciSlot){ 0 };
	return COMPLETION_SUCCESS;
}

static XhciCompletion change_endpoint(Xhci *xhci, XhciSlot *slot, const XhciTrb *command)
{
	unsigned index = command->control >> 16 & 0x1f;
	XhciEndpoint *endpoint = &slot->endpoints[index];

	if (index == 0)
		return COMPLETION_TRB_ERROR;
	if (endpoint->state == ENDPOINT_DISABLED)
		return COMPLETION_ENDPOINT_DISABLED;
	switch (xhci_trb_type(command)) {
	case TRB_RESET_ENDPOINT:
		if (endpoint->state != ENDPOINT_HALTED)
			return COMPLETION_CONTEXT_STATE;
		endpoint->state = ENDPOINT_STOPPED;
		break;
	case TRB_STOP_ENDPOINT:
		if (endpoint->state != ENDPOINT_RUNNING)
			return COMPLETION_CONTEXT_STATE;
		endpoint->state = ENDPOINT_STOPPED;
		break;
	default:
		if (endpoint->state != ENDPOINT_STOPPED && endpoint->state != ENDPOINT_ERROR)
			return COMPLETION_CONTEXT_STATE;
		endpoint->state = ENDPOINT_STOPPED;
		endpoint->ring.dequeue = command->parameter & ~UINT64_C(15);
		endpoint->ring.cycle = command->parameter & 1;
		if (index == 1)
			slot->control.active = false;
		break;
	}
	return xhci_endpoint_store(xhci, slot, index) ? COMPLETION_SUCCESS : COMPLETION_TRB_ERROR;
}

static XhciCompletion run_slot_command(Xhci *xhci, const XhciTrb *command, unsigned number)
{
	XhciSlot *slot = number >= 1 && number <= XHCI_SLOTS ? &xhci->slots[number - 1] : NULL;

	if (!slot)
		return COMPLETION_TRB_ERROR;
	if (!slot->enabled)
		return COMPLETION_SLOT_DISABLED;
	switch (xhci_trb_type(command)) {
	case TRB_DISABLE_SLOT:
		return disable_slot(xhci, slot);
	case TRB_ADDRESS_DEVICE:
		return address_device(xhci, slot, command);
	case TRB_CONFIGURE_ENDPOINT:
		return configure_endpoint(xhci, slot, command);
	case TRB_EVALUATE_CONTEXT:
		return evaluate_context(xhci, slot, command);
	case TRB_RESET_DEVICE:
		return reset_device(xhci, slot);
	default:
		return change_endpoint(xhci, slot, command);
	}
}

static void run_command(Xhci *xhci, const XhciTrb *command, uint64_t gpa)
{
	unsigned type = xhci_trb_type(command);
	unsigned number = command->control >> 24;
	XhciCompletion completion;

	if (type == TRB_NO_OP_COMMAND) {
		completion = COMPLETION_SUCCESS;
	} else if (type == TRB_ENABLE_SLOT) {
		number = 0;
		completion = enable_slot(xhci, &number);
	} else if (type >= TRB_DISABLE_SLOT && type <= TRB_RESET_DEVICE) {
		completion = run_slot_command(xhci, command, number);
	} else {
		completion = COMPLETION_TRB_ERROR;
	}
	xhci_event_send(xhci, TRB_COMMAND_EVENT, gpa, (uint32_t)completion << 24,
			(uint32_t)number << 24);
}

void xhci_run_commands(Xhci *xhci)
{
	XhciTrb command;
	uint64_t gpa;

	while (xhci->command_running && xhci->command_doorbell && xhci_is_running(xhci)) {
		if (!xhci_event_room(xhci, 1))
			return; /* when the guest has taken some */
		if (xhci_ring_take(xhci, &xhci->command_ring, &command, &gpa))
			run_command(xhci, &command, gpa);
		else
			xhci->command_doorbell = false;
	}
}
