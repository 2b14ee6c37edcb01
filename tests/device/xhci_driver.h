/*
 * xhci_driver.h: a small driver of the USB host controller, for device tests
 *
 * It drives the controller of a FakeMachine as a guest would: through configuration space, its
 * registers, and rings and contexts in RAM (at fixed places, below). Numbers are those of xHCI 1.1.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "tests/device/fake_machine.h"
#include "vmm/pci/pci.h"

#define XHCI_DRIVER_RAM	   0x100000u
#define XHCI_DRIVER_EVENTS 32u /* TRBs of the event ring */

/* Where in RAM. A device context and a ring has 1 KiB, by slot. */
enum {
	XHCI_AT_CONTEXTS = 0x1000,
	XHCI_AT_COMMANDS = 0x2000,
	XHCI_AT_SEGMENTS = 0x3000,
	XHCI_AT_EVENTS = 0x4000,
	XHCI_AT_INPUT = 0x5000,
	XHCI_AT_DEVICES = 0x10000,
	XHCI_AT_CONTROL = 0x20000,
	XHCI_AT_INTERRUPT = 0x30000,
	XHCI_AT_DATA = 0x40000,
};

typedef struct XhciEvent {
	uint64_t parameter;
	unsigned type, completion, length; /* length: what is left, or a count */
	unsigned slot, endpoint;
} XhciEvent;

/* A ring that the driver fills. */
typedef struct XhciProducer {
	uint64_t base;
	unsigned index;
	bool cycle;
} XhciProducer;

typedef struct XhciDriver {
	FakeMachine *fake;
	DeviceTree *tree;
	PciDevice *pci;
	uint64_t operational, runtime, doorbells; /* guest-physical */
	XhciProducer commands;
	unsigned event_index;
	bool event_cycle;
} XhciDriver;

/*
 * A machine with the controller, "usb", and what is on its bus: @devices are device_add's
 * arguments as JSON, up to NULL. Nothing runs yet.
 */
void xhci_driver_init(XhciDriver *driver, const char *const *devices);
void xhci_driver_clear(XhciDriver *driver);

/* A device by device_add's arguments as JSON; NULL if it is refused. */
Device *xhci_driver_add(XhciDriver *driver, const char *arguments);

uint32_t xhci_driver_read(XhciDriver *driver, uint64_t address);
void xhci_driver_write(XhciDriver *driver, uint64_t address, uint32_t value);
/* PORTSC of @port, from 1 on. */
uint64_t xhci_driver_port(const XhciDriver *driver, unsigned port);

/* Reset the controller, give it rings, let it run, and take the events of what is plugged in. */
void xhci_driver_start(XhciDriver *driver);

/* Put a TRB on @ring; a link leads from its 16th to its first. Returns where it is. */
uint64_t xhci_driver_put(XhciDriver *driver, XhciProducer *ring, uint64_t parameter,
			 uint32_t status, uint32_t control);
/* Take the next event, and tell the controller; false if there is none. */
bool xhci_driver_take(XhciDriver *driver, XhciEvent *event);

/* Give a command and take its event; returns the completion code, and the slot in *@slot. */
unsigned xhci_driver_command(XhciDriver *driver, uint64_t parameter, uint32_t control,
			     unsigned *slot);
/* Reset @port, enable a slot for it and address the device; returns the slot. */
unsigned xhci_driver_address(XhciDriver *driver, unsigned port, XhciProducer *control);
/* Configure interrupt IN endpoint 1 of @slot (context index 3); returns the completion code. */
unsigned xhci_driver_configure(XhciDriver *driver, unsigned slot, XhciProducer *interrupt);

/*
 * A control transfer on @ring of @slot, with @length bytes at XHCI_AT_DATA. Returns the completion
 * code of its last event; *@left is what the data stage left of @length.
 */
unsigned xhci_driver_control(XhciDriver *driver, unsigned slot, XhciProducer *ring, uint64_t setup,
			     unsigned *left);
