/*
 * usb.h: USB devices, and what a host controller and they need of each other
 *
 * A device is plugged into a port of a controller's bus. It has descriptors, answers control
 * requests (the standard ones here, those of its class by itself) and gives what it has on
 * interrupt IN endpoints. The controller does the rest: it addresses the device by its port, so
 * that the address on the bus is only a number to it.
 *
 * Threads: everything about a plugged device runs under the lock of its controller, which
 * usb_device_lock() takes, on vCPU threads and the main thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/device/device.h"

#define USB_BUS_KIND	 "usb-bus"
#define USB_PORTS_MAX	 15u
#define USB_ENDPOINTS	 16u  /* of each direction, the control endpoint included */
#define USB_TRANSFER_MAX 512u /* bytes of one control or interrupt transfer of these devices */

/* What a transfer gives instead of a number of bytes. */
#define USB_NAK	  (-1) /* nothing to say now */
#define USB_STALL (-2) /* the endpoint cannot do that */

/* The setup packet (USB 2.0 §9.3), in host byte order. */
typedef struct UsbSetup {
	uint8_t request_type, request;
	uint16_t value, index, length;
} UsbSetup;

#define USB_TO_HOST	 0x80u
#define USB_TYPE_MASK	 0x60u
#define USB_TYPE_CLASS	 0x20u
#define USB_TO_DEVICE	 0x00u
#define USB_TO_INTERFACE 0x01u
#define USB_TO_ENDPOINT	 0x02u
#define USB_TO_MASK	 0x1fu

typedef struct UsbDevice UsbDevice;

typedef struct UsbDeviceType {
	DeviceType device;
	uint16_t product;	      /* idProduct */
	const char *product_name;     /* as the guest shows it */
	const uint8_t *configuration; /* the configuration descriptor and all that follows it */
	size_t configuration_size;    /* bytes */
	/*
	 * A request that is not a standard one, or a descriptor of another kind. @data has
	 * setup->length bytes: those that came, or room for the answer. Returns how many bytes the
	 * answer has, 0 where there is none, or USB_STALL.
	 */
	int (*control)(UsbDevice *usb, const UsbSetup *setup, uint8_t *data);
	/* What endpoint @endpoint (IN) has for the host, at most @size bytes, or USB_NAK. */
	int (*interrupt_in)(UsbDevice *usb, unsigned endpoint, uint8_t *data, size_t size);
	/* The configuration has become @configured, or the port was reset (false). May be NULL. */
	void (*configured)(UsbDevice *usb, bool configured);
} UsbDeviceType;

struct UsbDevice {
	Device device;
	uint32_t port; /* property; 0 until there is one */

	uint8_t configuration; /* 0: none */
	bool remote_wakeup;    /* the host lets it wake the bus */
	uint32_t halted_in;    /* a bit for each IN endpoint */
};

typedef struct UsbBus UsbBus;

/* What devices ask of the controller that has their bus. Its lock is held. */
typedef struct UsbBusOps {
	/* A device has come to @port (@usb), or gone from it (NULL). */
	void (*attach)(UsbBus *bus, unsigned port, UsbDevice *usb);
	/* Endpoint @endpoint (IN) of the device at @port has something now. */
	void (*ready)(UsbBus *bus, unsigned port, unsigned endpoint);
} UsbBusOps;

struct UsbBus {
	Bus bus;
	const UsbBusOps *ops;
	unsigned n_ports;
	UsbDevice *devices[USB_PORTS_MAX]; /* by port, from 1 on; NULL: none */
};

/* "port", for DeviceType.properties of every USB type. */
extern const Property usb_device_properties[];
/* STATE_PART(X, usb, &usb_device_state) of every USB type X. */
extern const StateTable usb_device_state;

/*
 * Set up @bus of controller @controller with @n_ports ports (at most USB_PORTS_MAX), in its
 * realize, and take it away in its unrealize. Main thread.
 */
void usb_bus_init(UsbBus *bus, const UsbBusOps *ops, Device *controller, unsigned n_ports);
void usb_bus_clear(UsbBus *bus);

/* The type of @usb, as what it is. */
const UsbDeviceType *usb_device_type(const UsbDevice *usb);

/* Take and let go of the lock of the controller of @usb. Any thread. */
void usb_device_lock(UsbDevice *usb);
void usb_device_unlock(UsbDevice *usb);

/* IN endpoint @endpoint has something for the host. Locked. */
void usb_device_ready(UsbDevice *usb, unsigned endpoint);

/* The port of @usb is reset: no configuration, nothing halted. Locked. */
void usb_device_reset_bus(UsbDevice *usb);

/*
 * A control transfer; @data has setup->length bytes, at most USB_TRANSFER_MAX: what came, or room
 * for the answer. Returns its length or USB_STALL. Locked.
 */
int usb_device_control(UsbDevice *usb, const UsbSetup *setup, uint8_t *data);

/* A transfer on IN endpoint @endpoint: how many bytes, USB_NAK or USB_STALL. Locked. */
int usb_device_interrupt_in(UsbDevice *usb, unsigned endpoint, uint8_t *data, size_t size);
