/*
 * xhci_state.c: what is saved of the USB host controller
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/usb/xhci_internal.h"
#include "vmm/usb/xhci_registers.h"

static const StateTable ring_state = {
	.name = "xhci-ring",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(XhciRing, dequeue, STATE_UINT64),
			STATE_FIELD(XhciRing, cycle, STATE_BOOL),
			STATE_END,
		},
};

static const StateTable endpoint_state = {
	.name = "xhci-endpoint",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(XhciEndpoint, state, STATE_UINT8),
			STATE_FIELD(XhciEndpoint, type, STATE_UINT8),
			STATE_FIELD(XhciEndpoint, doorbell, STATE_BOOL),
			STATE_PART(XhciEndpoint, ring, &ring_state),
			STATE_END,
		},
};

static bool control_loaded(void *object, GError **error)
{
	const XhciControl *control = object;

	if (control->size > sizeof(control->data) || control->done > control->size)
		return error_fail(error, "a USB control transfer is longer than its data");
	return true;
}

static const StateTable control_state = {
	.name = "xhci-control",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_RAW(XhciControl, setup),
			STATE_FIELD(XhciControl, active, STATE_BOOL),
			STATE_FIELD(XhciControl, stalled, STATE_BOOL),
			STATE_FIELD(XhciControl, performed, STATE_BOOL),
			STATE_FIELD(XhciControl, done, STATE_UINT32),
			STATE_FIELD(XhciControl, size, STATE_UINT32),
			STATE_RAW(XhciControl, data),
			STATE_END,
		},
	.after_load = control_loaded,
};

static const StateTable slot_state = {
	.name = "xhci-slot",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(XhciSlot, enabled, STATE_BOOL),
			STATE_FIELD(XhciSlot, state, STATE_UINT8),
			STATE_FIELD(XhciSlot, port, STATE_UINT8),
			STATE_FIELD(XhciSlot, context, STATE_UINT64),
			{ .name = "endpoints",
			  .kind = STATE_STRUCT,
			  .offset = offsetof(XhciSlot, endpoints),
			  .element_size = sizeof(XhciEndpoint),
			  .count = XHCI_ENDPOINTS + 1,
			  .sub_table = &endpoint_state },
			STATE_PART(XhciSlot, control, &control_state),
			STATE_END,
		},
};

static const StateTable port_state = {
	.name = "xhci-port",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(XhciPort, status, STATE_UINT32),
			STATE_FIELD(XhciPort, event_pending, STATE_BOOL),
			STATE_END,
		},
};

static bool xhci_loaded(void *object, GError **error)
{
	Xhci *xhci = object;

	if (xhci->event_size > 4096 || (xhci->event_size && xhci->event_index >= xhci->event_size))
		return error_fail(error, "%s has an event ring without end", xhci->pci.device.path);
	for (unsigned i = 0; i < xhci_n_ports(xhci); i++) {
		bool plugged = i < xhci->ports_2 && xhci->bus.devices[i];

		if (plugged != !!(xhci->ports[i].status & PORT_CONNECTED))
			return error_fail(error, "%s has something else at port %u",
					  xhci->pci.device.path, i + 1);
	}
	return true;
}

const StateTable xhci_state = {
	.name = "qemu-xhci",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_PART(Xhci, pci, &pci_device_state),
			STATE_FIELD(Xhci, command, STATE_UINT32),
			STATE_FIELD(Xhci, status, STATE_UINT32),
			STATE_FIELD(Xhci, notifications, STATE_UINT32),
			STATE_FIELD(Xhci, config, STATE_UINT32),
			STATE_FIELD(Xhci, context_array, STATE_UINT64),
			STATE_PART(Xhci, command_ring, &ring_state),
			STATE_FIELD(Xhci, command_running, STATE_BOOL),
			STATE_FIELD(Xhci, command_doorbell, STATE_BOOL),
			{ .name = "ports",
			  .kind = STATE_STRUCT,
			  .offset = offsetof(Xhci, ports),
			  .element_size = sizeof(XhciPort),
			  .count = 2 * USB_PORTS_MAX,
			  .sub_table = &port_state },
			STATE_FIELD(Xhci, management, STATE_UINT32),
			STATE_FIELD(Xhci, moderation, STATE_UINT32),
			STATE_FIELD(Xhci, segments, STATE_UINT32),
			STATE_FIELD(Xhci, segment_table, STATE_UINT64),
			STATE_FIELD(Xhci, event_dequeue, STATE_UINT64),
			STATE_FIELD(Xhci, event_base, STATE_UINT64),
			STATE_FIELD(Xhci, event_size, STATE_UINT32),
			STATE_FIELD(Xhci, event_index, STATE_UINT32),
			STATE_FIELD(Xhci, event_cycle, STATE_BOOL),
			{ .name = "slots",
			  .kind = STATE_STRUCT,
			  .offset = offsetof(Xhci, slots),
			  .element_size = sizeof(XhciSlot),
			  .count = XHCI_SLOTS,
			  .sub_table = &slot_state },
			STATE_END,
		},
	.after_load = xhci_loaded,
};
