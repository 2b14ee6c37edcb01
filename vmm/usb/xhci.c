/*
 * xhci.c: the USB host controller (Extensible Host Controller Interface 1.1)
 *
 * Registers, root hub and life; rings, commands and transfers are in files of their own. The root
 * hub has ports of USB 2.0, which devices are plugged into, and of USB 3.0, which stay empty but
 * which drivers expect. One interrupter, 32-byte contexts, no streams, no hubs, no scratchpad.
 *
 * Work is done where it comes up: on a vCPU that rings a doorbell, on the main thread when a
 * device has something to say. It stops while the event ring is full, and goes on when the guest
 * has taken events.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/usb/xhci.h"
#include "vmm/base/error.h"
#include "vmm/pci/pci_registers.h"
#include "vmm/usb/xhci_internal.h"
#include "vmm/usb/xhci_registers.h"

#include <string.h>
#include <time.h>

#define PCI_VENDOR	 0x1b36 /* Red Hat's, with the id of QEMU's xHCI */
#define PCI_DEVICE	 0x000d
#define PCI_SUBVENDOR	 0x1af4
#define PCI_SUBDEVICE	 0x1100
#define PCI_CLASS_XHCI	 0x0c0330
#define PCI_USB_RELEASE	 0x60
#define PCI_FRAME_LENGTH 0x61

#define REGISTERS_BAR 0
#define MSIX_BAR      2
#define XHCI_VERSION  0x0110u

static Xhci *xhci_of(Device *device)
{
	return (Xhci *)device;
}

/* Work that waited for room in the event ring or for the controller to run. */
static void run_pending(Xhci *xhci)
{
	if (xhci->busy || !xhci_is_running(xhci))
		return;
	xhci->busy = true;
	xhci->work = XHCI_WORK_MAX;
	for (unsigned i = 0; i < xhci_n_ports(xhci); i++) {
		if (xhci->ports[i].event_pending && xhci_event_room(xhci, 1)) {
			xhci->ports[i].event_pending = false;
			xhci_event_send(xhci, TRB_PORT_EVENT, (uint64_t)(i + 1) << 24,
					(uint32_t)COMPLETION_SUCCESS << 24, 0);
		}
	}
	xhci_run_commands(xhci);
	for (unsigned i = 0; i < XHCI_SLOTS; i++) {
		for (unsigned index = 1; xhci->slots[i].enabled && index <= XHCI_ENDPOINTS; index++)
			xhci_run_endpoint(xhci, &xhci->slots[i], index);
	}
	xhci->busy = false;
}

/* The root hub (§4.19) */

static void set_link(XhciPort *port, uint32_t link)
{
	port->status = (port->status & ~PORT_LINK) | link << PORT_LINK_SHIFT;
}

static uint32_t link_of(const XhciPort *port)
{
	return (port->status & PORT_LINK) >> PORT_LINK_SHIFT;
}

/* Set bits of PORT_CHANGES; the guest gets an event where there was none set. */
static void port_changed(Xhci *xhci, XhciPort *port, uint32_t changes)
{
	bool had = port->status & PORT_CHANGES;

	port->status |= changes;
	xhci->status |= STATUS_PORT_CHANGE;
	if (!had)
		port->event_pending = true;
	run_pending(xhci);
}

static void port_power_on(Xhci *xhci, unsigned index)
{
	XhciPort *port = &xhci->ports[index];
	bool plugged = index < xhci->ports_2 && xhci->bus.devices[index];

	*port = (XhciPort){ .status = PORT_POWER };
	set_link(port, plugged ? LINK_POLLING : LINK_RX_DETECT);
	if (plugged)
		port->status |=
			PORT_CONNECTED | SPEED_FULL << PORT_SPEED_SHIFT | PORT_CONNECT_CHANGE;
}

static void xhci_attach(UsbBus *bus, unsigned number, UsbDevice *usb)
{
	Xhci *xhci = (Xhci *)bus->bus.parent;
	XhciPort *port = &xhci->ports[number - 1];

	port->status &= ~(PORT_CONNECTED | PORT_ENABLED | PORT_SPEED);
	if (usb)
		port->status |= PORT_CONNECTED | SPEED_FULL << PORT_SPEED_SHIFT;
	set_link(port, usb ? LINK_POLLING : LINK_RX_DETECT);
	port_changed(xhci, port, PORT_CONNECT_CHANGE);
}

static void xhci_ready(UsbBus *bus, unsigned number, G_GNUC_UNUSED unsigned endpoint)
{
	Xhci *xhci = (Xhci *)bus->bus.parent;
	XhciPort *port = &xhci->ports[number - 1];

	if (link_of(port) == LINK_U3 && bus->devices[number - 1]->remote_wakeup) {
		set_link(port, LINK_RESUME);
		port_changed(xhci, port, PORT_LINK_CHANGE);
	}
	run_pending(xhci);
}

static const UsbBusOps usb_ops = { .attach = xhci_attach, .ready = xhci_ready };

static void reset_port(Xhci *xhci, unsigned index)
{
	XhciPort *port = &xhci->ports[index];

	if (!(port->status & PORT_CONNECTED))
		return;
	usb_device_reset_bus(xhci->bus.devices[index]);
	port->status |= PORT_ENABLED;
	set_link(port, LINK_U0);
	port_changed(xhci, port, PORT_RESET_CHANGE);
}

/* Software moves the link: suspend, and the two steps of resuming (§4.15). */
static void write_link(Xhci *xhci, XhciPort *port, uint32_t wanted)
{
	uint32_t link = link_of(port);

	if (!(port->status & PORT_ENABLED))
		return;
	if (wanted == LINK_U3 && link == LINK_U0)
		set_link(port, LINK_U3);
	else if (wanted == LINK_RESUME && link == LINK_U3)
		set_link(port, LINK_RESUME);
	else if (wanted == LINK_U0 && (link == LINK_RESUME || link == LINK_U3)) {
		set_link(port, LINK_U0);
		port_changed(xhci, port, PORT_LINK_CHANGE);
	}
}

static void write_port(Xhci *xhci, unsigned index, uint32_t value)
{
	XhciPort *port = &xhci->ports[index];

	port->status &= ~(value & PORT_CHANGES);
	port->status = (port->status & ~PORT_WAKE) | (value & PORT_WAKE);
	if (value & port->status & PORT_ENABLED) {
		port->status &= ~PORT_ENABLED; /* writing 1 disables */
		return;
	}
	if (value & PORT_LINK_WRITE)
		write_link(xhci, port, (value & PORT_LINK) >> PORT_LINK_SHIFT);
	if (value & PORT_RESET)
		reset_port(xhci, index);
}

/* Registers */

static uint32_t read_capability(const Xhci *xhci, unsigned offset)
{
	switch (offset) {
	case CAP_LENGTH_VERSION:
		return XHCI_VERSION << 16 | XHCI_OPERATIONAL;
	case CAP_STRUCTURE_1:
		return XHCI_SLOTS | 1u << 8 | xhci_n_ports(xhci) << 24;
	case CAP_CAPABILITIES:
		return XHCI_EXTENDED / 4 << 16 | 1; /* 64-bit addresses */
	case CAP_DOORBELLS:
		return XHCI_DOORBELLS;
	case CAP_RUNTIME:
		return XHCI_RUNTIME;
	default: /* one event ring segment, no scratchpad, no latencies */
		return 0;
	}
}

/* xHCI Supported Protocol Capabilities (§7.2): USB 2.0, then USB 3.0. */
static uint32_t read_extended(const Xhci *xhci, unsigned offset)
{
	bool second = offset >= 16;

	switch (offset % 16) {
	case 0:
		return second ? 0x03000002 : 0x02000402;
	case 4:
		return 0x20425355; /* "USB " */
	case 8:
		return second ? xhci->ports_3 << 8 | (xhci->ports_2 + 1) : xhci->ports_2 << 8 | 1;
	default:
		return 0;
	}
}

static uint32_t half(uint64_t value, bool high)
{
	return (uint32_t)(high ? value >> 32 : value);
}

static uint32_t read_operational(const Xhci *xhci, unsigned offset)
{
	switch (offset) {
	case OP_COMMAND:
		return xhci->command;
	case OP_STATUS:
		return xhci->status;
	case OP_PAGE_SIZE:
		return 1; /* 4 KiB */
	case OP_NOTIFICATIONS:
		return xhci->notifications;
	case OP_COMMAND_RING:
		/* The pointer reads as zero (§5.4.5). */
		return xhci->command_running ? RING_RUNNING : 0;
	case OP_CONTEXTS:
	case OP_CONTEXTS + 4:
		return half(xhci->context_array, offset != OP_CONTEXTS);
	case OP_CONFIG:
		return xhci->config;
	default:
		return 0;
	}
}

/* Eighths of a millisecond. */
static uint32_t frame_index(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((uint64_t)now.tv_sec * 8000 + (uint64_t)now.tv_nsec / 125000) & 0x3fff;
}

static uint32_t read_runtime(const Xhci *xhci, unsigned offset)
{
	if (offset == RUN_INDEX)
		return xhci->command & COMMAND_RUN ? frame_index() : 0;
	switch ((int)offset - RUN_INTERRUPTER) {
	case INTERRUPTER_MANAGEMENT:
		return xhci->management;
	case INTERRUPTER_MODERATION:
		return xhci->moderation;
	case INTERRUPTER_SEGMENTS:
		return xhci->segments;
	case INTERRUPTER_TABLE:
	case INTERRUPTER_TABLE + 4:
		return half(xhci->segment_table, offset & 4);
	case INTERRUPTER_DEQUEUE:
	case INTERRUPTER_DEQUEUE + 4:
		return half(xhci->event_dequeue, offset & 4);
	default:
		return 0;
	}
}

static uint64_t registers_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	Xhci *xhci = opaque;
	unsigned at = (unsigned)offset;
	uint32_t value = 0;

	g_mutex_lock(&xhci->pci.device.lock);
	if (at < XHCI_EXTENDED)
		value = read_capability(xhci, at);
	else if (at < XHCI_OPERATIONAL)
		value = read_extended(xhci, at - XHCI_EXTENDED);
	else if (at < XHCI_PORTS)
		value = read_operational(xhci, at - XHCI_OPERATIONAL);
	else if (at < XHCI_PORTS + 16 * xhci_n_ports(xhci))
		value = (at - XHCI_PORTS) % 16 ? 0 : xhci->ports[(at - XHCI_PORTS) / 16].status;
	else if (at >= XHCI_RUNTIME && at < XHCI_DOORBELLS)
		value = read_runtime(xhci, at - XHCI_RUNTIME);
	g_mutex_unlock(&xhci->pci.device.lock);
	return value;
}

/* What HCRST does (§5.4.1): all but the devices at the ports, which are found anew. */
static void reset_controller(Xhci *xhci)
{
	xhci->command = xhci->notifications = xhci->config = 0;
	xhci->status = STATUS_HALTED;
	xhci->context_array = 0;
	xhci->command_ring = (XhciRing){ 0 };
	xhci->command_running = xhci->command_doorbell = false;
	xhci->management = xhci->moderation = xhci->segments = 0;
	xhci->segment_table = xhci->event_dequeue = 0;
	xhci->event_size = 0;
	memset(xhci->slots, 0, sizeof(xhci->slots));
	for (unsigned i = 0; i < xhci_n_ports(xhci); i++) {
		if (i < xhci->ports_2 && xhci->bus.devices[i])
			usb_device_reset_bus(xhci->bus.devices[i]);
		port_power_on(xhci, i);
	}
}

static void write_command(Xhci *xhci, uint32_t value)
{
	bool ran = xhci->command & COMMAND_RUN;

	if (value & COMMAND_RESET) {
		reset_controller(xhci);
		return;
	}
	/* There is no internal state to be saved and restored: done as soon as it is asked for. */
	xhci->command = value & COMMAND_KEPT;
	if (xhci->status & STATUS_HOST_ERROR)
		xhci->command &= ~COMMAND_RUN;
	if (!(xhci->command & COMMAND_RUN)) {
		xhci->status |= STATUS_HALTED;
		xhci->command_running = false;
		return;
	}
	xhci->status &= ~STATUS_HALTED;
	for (unsigned i = 0; !ran && i < xhci_n_ports(xhci); i++) {
		if (xhci->ports[i].status & PORT_CHANGES) {
			xhci->ports[i].event_pending = true;
			xhci->status |= STATUS_PORT_CHANGE;
		}
	}
	run_pending(xhci);
}

static void write_half(uint64_t *value, uint32_t half_value, bool high)
{
	*value = high ? (*value & 0xffffffff) | (uint64_t)half_value << 32
		      : (*value & ~UINT64_C(0xffffffff)) | half_value;
}

static void write_command_ring(Xhci *xhci, uint32_t value, bool high)
{
	if (!high && xhci->command_running) {
		/* Only stopping is possible; no command is under way when a vCPU is here. */
		if (value & (RING_STOP | RING_ABORT)) {
			xhci->command_running = xhci->command_doorbell = false;
			if (xhci_event_room(xhci, 1))
				xhci_event_send(xhci, TRB_COMMAND_EVENT, xhci->command_ring.dequeue,
						(uint32_t)COMPLETION_COMMAND_RING_STOPPED << 24, 0);
		}
		return;
	}
	if (xhci->command_running)
		return;
	write_half(&xhci->command_ring.dequeue, high ? value : value & ~63u, high);
	if (!high)
		xhci->command_ring.cycle = value & RING_CYCLE;
}

static void write_operational(Xhci *xhci, unsigned offset, uint32_t value)
{
	switch (offset) {
	case OP_COMMAND:
		write_command(xhci, value);
		break;
	case OP_STATUS:
		xhci->status &= ~(value & STATUS_CLEARED);
		break;
	case OP_NOTIFICATIONS:
		xhci->notifications = value & 0xffff;
		break;
	case OP_COMMAND_RING:
	case OP_COMMAND_RING + 4:
		write_command_ring(xhci, value, offset != OP_COMMAND_RING);
		break;
	case OP_CONTEXTS:
	case OP_CONTEXTS + 4:
		write_half(&xhci->context_array, offset == OP_CONTEXTS ? value & ~63u : value,
			   offset != OP_CONTEXTS);
		break;
	case OP_CONFIG:
		xhci->config = value & 0xff;
		break;
	default: /* read-only or reserved */
		break;
	}
}

static void write_event_dequeue(Xhci *xhci, uint32_t value, bool high)
{
	bool handled = !high && (value & EVENT_HANDLER_BUSY);
	bool busy = xhci->event_dequeue & EVENT_HANDLER_BUSY && !handled;

	if (!high)
		value &= ~(uint32_t)EVENT_HANDLER_BUSY;
	write_half(&xhci->event_dequeue, value, high);
	if (busy)
		xhci->event_dequeue |= EVENT_HANDLER_BUSY;
	/* What the guest has not taken by now it is told of again (§4.17.2). */
	if (handled && xhci->event_size &&
	    (xhci->event_dequeue & ~UINT64_C(15)) !=
		    xhci->event_base + (uint64_t)xhci->event_index * XHCI_TRB_SIZE)
		xhci_interrupt(xhci);
	run_pending(xhci);
}

static void write_runtime(Xhci *xhci, unsigned offset, uint32_t value)
{
	switch ((int)offset - RUN_INTERRUPTER) {
	case INTERRUPTER_MANAGEMENT:
		xhci->management = (value & MANAGEMENT_ENABLE) |
				   (xhci->management & ~value & MANAGEMENT_PENDING);
		if ((xhci->management & MANAGEMENT_ENABLE) &&
		    (xhci->management & MANAGEMENT_PENDING) &&
		    (xhci->command & COMMAND_INTERRUPTS)) {
			xhci->management &= ~(uint32_t)MANAGEMENT_PENDING;
			pci_msix_notify(&xhci->pci, 0);
		}
		break;
	case INTERRUPTER_MODERATION:
		xhci->moderation = value;
		break;
	case INTERRUPTER_SEGMENTS:
		xhci->segments = value & 0xffff;
		break;
	case INTERRUPTER_TABLE:
	case INTERRUPTER_TABLE + 4:
		write_half(&xhci->segment_table, offset & 4 ? value : value & ~63u, offset & 4);
		/* The high half is written last (§5.1), and starts the ring. */
		if (offset & 4)
			xhci_event_ring_start(xhci);
		break;
	case INTERRUPTER_DEQUEUE:
	case INTERRUPTER_DEQUEUE + 4:
		write_event_dequeue(xhci, value, offset & 4);
		break;
	default:
		break;
	}
}

static void ring_doorbell(Xhci *xhci, unsigned number, uint32_t value)
{
	unsigned index = value & 0xff;

	if (!xhci_is_running(xhci))
		return;
	if (number == 0 && value == 0) {
		xhci->command_running = xhci->command_doorbell = true;
	} else if (number >= 1 && number <= XHCI_SLOTS && index >= 1 && index <= XHCI_ENDPOINTS &&
		   xhci->slots[number - 1].enabled) {
		XhciEndpoint *endpoint = &xhci->slots[number - 1].endpoints[index];

		if (endpoint->state == ENDPOINT_STOPPED) {
			endpoint->state = ENDPOINT_RUNNING;
			xhci_endpoint_store(xhci, &xhci->slots[number - 1], index);
		}
		endpoint->doorbell = endpoint->state == ENDPOINT_RUNNING;
	}
	run_pending(xhci);
}

static void registers_write(void *opaque, uint64_t offset, uint64_t value,
			    G_GNUC_UNUSED unsigned size)
{
	Xhci *xhci = opaque;
	unsigned at = (unsigned)offset;

	g_mutex_lock(&xhci->pci.device.lock);
	if (at >= XHCI_OPERATIONAL && at < XHCI_PORTS)
		write_operational(xhci, at - XHCI_OPERATIONAL, (uint32_t)value);
	else if (at >= XHCI_PORTS && at < XHCI_PORTS + 16 * xhci_n_ports(xhci) &&
		 (at - XHCI_PORTS) % 16 == 0)
		write_port(xhci, (at - XHCI_PORTS) / 16, (uint32_t)value);
	else if (at >= XHCI_RUNTIME && at < XHCI_DOORBELLS)
		write_runtime(xhci, at - XHCI_RUNTIME, (uint32_t)value);
	else if (at >= XHCI_DOORBELLS && at < XHCI_DOORBELLS + 4 * (XHCI_SLOTS + 1))
		ring_doorbell(xhci, (at - XHCI_DOORBELLS) / 4, (uint32_t)value);
	g_mutex_unlock(&xhci->pci.device.lock);
}

/* A write of 8 bytes is two, the low half first. */
static const IoRegionOps registers_ops = {
	.read = registers_read,
	.write = registers_write,
	.minimum_size = 4,
	.maximum_size = 4,
	.aligned_only = true,
};

/* Life */

static void xhci_reset(Device *device)
{
	Xhci *xhci = xhci_of(device);

	pci_device_reset(&xhci->pci);
	g_mutex_lock(&device->lock);
	reset_controller(xhci);
	g_mutex_unlock(&device->lock);
}

static bool xhci_realize(Device *device, GError **error)
{
	Xhci *xhci = xhci_of(device);

	pci_device_init(&xhci->pci);
	xhci->pci.config[PCI_USB_RELEASE] = 0x30;
	xhci->pci.config[PCI_FRAME_LENGTH] = 0x20;
	xhci->registers = (IoRegion){
		.name = "xhci", .size = XHCI_BAR_SIZE, .ops = &registers_ops, .opaque = xhci
	};
	pci_device_add_bar(&xhci->pci, REGISTERS_BAR, &xhci->registers, false, true, false);
	if (!pci_msix_init(&xhci->pci, 1, MSIX_BAR, error)) {
		pci_device_finish(&xhci->pci);
		return false;
	}
	usb_bus_init(&xhci->bus, &usb_ops, device, xhci->ports_2);
	xhci_reset(device);
	return true;
}

static void xhci_unrealize(Device *device)
{
	Xhci *xhci = xhci_of(device);

	usb_bus_clear(&xhci->bus);
	pci_device_finish(&xhci->pci);
}

/* Its devices go with it only one by one. */
static bool xhci_check_unplug(Device *device, GError **error)
{
	if (xhci_of(device)->bus.bus.children->len > 0)
		return error_fail(error, "has devices on its bus");
	return true;
}

static const Property xhci_properties[] = {
	{ .name = "p2",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(Xhci, ports_2),
	  .initial = 4,
	  .minimum = 1,
	  .maximum = USB_PORTS_MAX,
	  .description = "USB 2.0 ports" },
	{ .name = "p3",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(Xhci, ports_3),
	  .initial = 4,
	  .minimum = 1,
	  .maximum = USB_PORTS_MAX,
	  .description = "USB 3.0 ports" },
	PROPERTY_END,
};

const PciDeviceType xhci_type = {
	.device = {
		.name = "qemu-xhci",
		.description = "USB host controller",
		.category = "USB",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(Xhci),
		.properties = { xhci_properties, pci_device_properties },
		.state = &xhci_state,
		.hotpluggable = true,
		.user_creatable = true,
		.check_unplug = xhci_check_unplug,
		.realize = xhci_realize,
		.unrealize = xhci_unrealize,
		.reset = xhci_reset,
	},
	.vendor_id = PCI_VENDOR,
	.device_id = PCI_DEVICE,
	.subsystem_vendor_id = PCI_SUBVENDOR,
	.subsystem_id = PCI_SUBDEVICE,
	.class_code = PCI_CLASS_XHCI,
	.revision = 1,
	.is_express = true,
	/* The specification has registers at 0x60 (§5.2). */
	.first_capability = PCI_FRAME_LENGTH + 3,
};
