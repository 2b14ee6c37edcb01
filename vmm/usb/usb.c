/*
 * usb.c: the bus, and the requests that every USB device answers (USB 2.0 §9.4)
 *
 * Devices are full-speed ones with one configuration.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/usb/usb.h"
#include "vmm/base/error.h"

#include <string.h>

#define VENDOR	    0x0627 /* QEMU's, so that guests know the devices */
#define RELEASE	    0x0100
#define VENDOR_NAME "Vireo"
#define SERIAL	    "1"
#define LANGUAGE    0x0409 /* English (United States) */
#define CONFIGURED  1	   /* bConfigurationValue of all of them */

enum {
	REQUEST_GET_STATUS = 0,
	REQUEST_CLEAR_FEATURE = 1,
	REQUEST_SET_FEATURE = 3,
	REQUEST_SET_ADDRESS = 5,
	REQUEST_GET_DESCRIPTOR = 6,
	REQUEST_GET_CONFIGURATION = 8,
	REQUEST_SET_CONFIGURATION = 9,
	REQUEST_GET_INTERFACE = 10,
	REQUEST_SET_INTERFACE = 11,

	FEATURE_ENDPOINT_HALT = 0,
	FEATURE_REMOTE_WAKEUP = 1,

	DESCRIPTOR_DEVICE = 1,
	DESCRIPTOR_CONFIGURATION = 2,
	DESCRIPTOR_STRING = 3,

	STRING_LANGUAGES = 0,
	STRING_VENDOR,
	STRING_PRODUCT,
	STRING_SERIAL,
};

/* Both in one: request << 8 | type of request. */
#define CASE(request, type) ((request) << 8 | (type))

const UsbDeviceType *usb_device_type(const UsbDevice *usb)
{
	return (const UsbDeviceType *)usb->device.type;
}

static UsbBus *bus_of(const UsbDevice *usb)
{
	return (UsbBus *)usb->device.bus;
}

void usb_device_lock(UsbDevice *usb)
{
	g_mutex_lock(&usb->device.bus->parent->lock);
}

void usb_device_unlock(UsbDevice *usb)
{
	g_mutex_unlock(&usb->device.bus->parent->lock);
}

void usb_device_ready(UsbDevice *usb, unsigned endpoint)
{
	bus_of(usb)->ops->ready(bus_of(usb), usb->port, endpoint);
}

static void set_configuration(UsbDevice *usb, uint8_t configuration)
{
	const UsbDeviceType *type = usb_device_type(usb);

	usb->configuration = configuration;
	usb->halted_in = 0;
	if (type->configured)
		type->configured(usb, configuration != 0);
}

void usb_device_reset_bus(UsbDevice *usb)
{
	usb->remote_wakeup = false;
	set_configuration(usb, 0);
}

static int give(uint8_t *data, uint16_t length, const void *answer, size_t size)
{
	size = MIN(size, length);
	memcpy(data, answer, size);
	return (int)size;
}

static int give_device_descriptor(const UsbDevice *usb, uint8_t *data, uint16_t length)
{
	uint16_t product = usb_device_type(usb)->product;
	const uint8_t descriptor[] = {
		18,
		DESCRIPTOR_DEVICE,
		0x00,
		0x02, /* USB 2.0 */
		0,
		0,
		0,  /* class and protocol are the interface's */
		64, /* of the control endpoint */
		VENDOR & 0xff,
		VENDOR >> 8,
		(uint8_t)product,
		(uint8_t)(product >> 8),
		RELEASE & 0xff,
		RELEASE >> 8,
		STRING_VENDOR,
		STRING_PRODUCT,
		STRING_SERIAL,
		1, /* configuration */
	};

	return give(data, length, descriptor, sizeof(descriptor));
}

static int give_string(const UsbDevice *usb, unsigned index, uint8_t *data, uint16_t length)
{
	const char *strings[] = { [STRING_VENDOR] = VENDOR_NAME,
				  [STRING_PRODUCT] = usb_device_type(usb)->product_name,
				  [STRING_SERIAL] = SERIAL };
	uint8_t descriptor[255] = { 4, DESCRIPTOR_STRING, LANGUAGE & 0xff, LANGUAGE >> 8 };

	if (index >= G_N_ELEMENTS(strings))
		return USB_STALL;
	if (index != STRING_LANGUAGES) {
		size_t n = MIN(strlen(strings[index]), (sizeof(descriptor) - 2) / 2);

		descriptor[0] = (uint8_t)(2 + 2 * n);
		for (size_t i = 0; i < n; i++) {
			descriptor[2 + 2 * i] = (uint8_t)strings[index][i];
			descriptor[3 + 2 * i] = 0;
		}
	}
	return give(data, length, descriptor, descriptor[0]);
}

static int give_descriptor(UsbDevice *usb, const UsbSetup *setup, uint8_t *data)
{
	const UsbDeviceType *type = usb_device_type(usb);
	unsigned kind = setup->value >> 8, index = setup->value & 0xff;

	switch (kind) {
	case DESCRIPTOR_DEVICE:
		return give_device_descriptor(usb, data, setup->length);
	case DESCRIPTOR_CONFIGURATION:
		return index ? USB_STALL
			     : give(data, setup->length, type->configuration,
				    type->configuration_size);
	case DESCRIPTOR_STRING:
		return give_string(usb, index, data, setup->length);
	default: /* a full-speed device has no device qualifier (§9.6.2) */
		return USB_STALL;
	}
}

static int get_status(const UsbDevice *usb, const UsbSetup *setup, uint8_t *data)
{
	unsigned endpoint = setup->index & (USB_ENDPOINTS - 1);
	uint8_t status[2] = { 0 };

	if ((setup->request_type & USB_TO_MASK) == USB_TO_DEVICE)
		status[0] = usb->remote_wakeup ? 2 : 0;
	else if ((setup->request_type & USB_TO_MASK) == USB_TO_ENDPOINT &&
		 (setup->index & USB_TO_HOST))
		status[0] = usb->halted_in >> endpoint & 1;
	return give(data, setup->length, status, sizeof(status));
}

static int set_endpoint_halt(UsbDevice *usb, const UsbSetup *setup, bool halt)
{
	uint32_t bit = UINT32_C(1) << (setup->index & (USB_ENDPOINTS - 1));

	if (setup->value != FEATURE_ENDPOINT_HALT)
		return USB_STALL;
	if (setup->index & USB_TO_HOST)
		usb->halted_in = halt ? usb->halted_in | bit : usb->halted_in & ~bit;
	return 0;
}

static int set_device_feature(UsbDevice *usb, const UsbSetup *setup, bool on)
{
	if (setup->value != FEATURE_REMOTE_WAKEUP)
		return USB_STALL;
	usb->remote_wakeup = on;
	return 0;
}

int usb_device_control(UsbDevice *usb, const UsbSetup *setup, uint8_t *data)
{
	const UsbDeviceType *type = usb_device_type(usb);

	switch (CASE(setup->request, setup->request_type)) {
	case CASE(REQUEST_GET_DESCRIPTOR, USB_TO_HOST | USB_TO_DEVICE):
		return give_descriptor(usb, setup, data);
	case CASE(REQUEST_SET_ADDRESS, USB_TO_DEVICE):
		return 0;
	case CASE(REQUEST_GET_CONFIGURATION, USB_TO_HOST | USB_TO_DEVICE):
		return give(data, setup->length, &usb->configuration, 1);
	case CASE(REQUEST_SET_CONFIGURATION, USB_TO_DEVICE):
		if (setup->value > CONFIGURED)
			return USB_STALL;
		set_configuration(usb, (uint8_t)setup->value);
		return 0;
	case CASE(REQUEST_GET_INTERFACE, USB_TO_HOST | USB_TO_INTERFACE):
		return give(data, setup->length, &(uint8_t){ 0 }, 1);
	case CASE(REQUEST_SET_INTERFACE, USB_TO_INTERFACE):
		return setup->value ? USB_STALL : 0;
	case CASE(REQUEST_GET_STATUS, USB_TO_HOST | USB_TO_DEVICE):
	case CASE(REQUEST_GET_STATUS, USB_TO_HOST | USB_TO_INTERFACE):
	case CASE(REQUEST_GET_STATUS, USB_TO_HOST | USB_TO_ENDPOINT):
		return get_status(usb, setup, data);
	case CASE(REQUEST_SET_FEATURE, USB_TO_DEVICE):
	case CASE(REQUEST_CLEAR_FEATURE, USB_TO_DEVICE):
		return set_device_feature(usb, setup, setup->request == REQUEST_SET_FEATURE);
	case CASE(REQUEST_SET_FEATURE, USB_TO_ENDPOINT):
	case CASE(REQUEST_CLEAR_FEATURE, USB_TO_ENDPOINT):
		return set_endpoint_halt(usb, setup, setup->request == REQUEST_SET_FEATURE);
	default:
		return type->control(usb, setup, data);
	}
}

int usb_device_interrupt_in(UsbDevice *usb, unsigned endpoint, uint8_t *data, size_t size)
{
	if (usb->configuration == 0 || (usb->halted_in >> endpoint & 1))
		return USB_STALL;
	return usb_device_type(usb)->interrupt_in(usb, endpoint, data, size);
}

static bool usb_claim(Bus *bus, Device *device, GError **error)
{
	UsbBus *usb_bus = (UsbBus *)bus;
	UsbDevice *usb = (UsbDevice *)device;
	bool taken[USB_PORTS_MAX + 1] = { false };

	for (guint i = 0; i < bus->children->len; i++) {
		const UsbDevice *other = bus->children->pdata[i];

		if (other != usb && other->port <= USB_PORTS_MAX)
			taken[other->port] = true;
	}
	if (usb->port == 0) {
		usb->port = 1;
		while (usb->port <= usb_bus->n_ports && taken[usb->port])
			usb->port++;
		if (usb->port > usb_bus->n_ports)
			return error_fail(error, "'%s' has no port left", bus->name);
	}
	if (usb->port > usb_bus->n_ports)
		return error_fail(error, "'%s' has %u ports; there is no port %u", bus->name,
				  usb_bus->n_ports, usb->port);
	if (taken[usb->port])
		return error_fail(error, "port %u of '%s' is taken", usb->port, bus->name);
	return true;
}

static void usb_release(Bus *bus, Device *device)
{
	(void)bus;
	(void)device; /* the port is free when it is no child any more */
}

static bool usb_is_full(const Bus *bus)
{
	return bus->children->len >= ((const UsbBus *)bus)->n_ports;
}

static void set_port(Bus *bus, Device *device, UsbDevice *usb)
{
	UsbBus *usb_bus = (UsbBus *)bus;
	unsigned port = ((UsbDevice *)device)->port;

	g_mutex_lock(&bus->parent->lock);
	usb_bus->devices[port - 1] = usb;
	usb_bus->ops->attach(usb_bus, port, usb);
	g_mutex_unlock(&bus->parent->lock);
}

static void usb_plugged(Bus *bus, Device *device)
{
	set_port(bus, device, (UsbDevice *)device);
}

static void usb_unplugged(Bus *bus, Device *device)
{
	set_port(bus, device, NULL);
}

/* A plug is pulled without asking. */
static bool usb_request_unplug(Bus *bus, Device *device, GError **error)
{
	(void)bus;
	(void)error;
	device_tree_post_remove(device->tree, device);
	return true;
}

static const BusOps usb_bus_ops = {
	.claim = usb_claim,
	.release = usb_release,
	.is_full = usb_is_full,
	.plugged = usb_plugged,
	.unplugged = usb_unplugged,
	.request_unplug = usb_request_unplug,
};

void usb_bus_init(UsbBus *bus, const UsbBusOps *ops, Device *controller, unsigned n_ports)
{
	g_autofree char *name = NULL;
	unsigned i = 0;

	if (controller->id) {
		name = g_strdup_printf("%s.0", controller->id);
	} else {
		do {
			g_free(name);
			name = g_strdup_printf("usb-bus.%u", i++);
		} while (device_tree_find_bus(controller->tree, name));
	}
	bus->ops = ops;
	bus->n_ports = n_ports;
	bus_init(&bus->bus, &usb_bus_ops, USB_BUS_KIND, name, controller);
	bus->bus.hotplug = true;
	device_tree_add_bus(controller->tree, &bus->bus);
}

void usb_bus_clear(UsbBus *bus)
{
	device_tree_remove_bus(bus->bus.parent->tree, &bus->bus);
	bus_clear(&bus->bus);
}

static bool usb_device_loaded(void *object, GError **error)
{
	UsbDevice *usb = object;

	if (usb->configuration > CONFIGURED)
		return error_fail(error, "%s has no configuration %u", usb->device.path,
				  usb->configuration);
	return true;
}

const StateTable usb_device_state = {
	.name = "usb-device",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(UsbDevice, configuration, STATE_UINT8),
			STATE_FIELD(UsbDevice, remote_wakeup, STATE_BOOL),
			STATE_FIELD(UsbDevice, halted_in, STATE_UINT32),
			STATE_END,
		},
	.after_load = usb_device_loaded,
};

const Property usb_device_properties[] = {
	{ .name = "port",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(UsbDevice, port),
	  .maximum = USB_PORTS_MAX,
	  .description = "port of the bus (default: the first free one)" },
	PROPERTY_END,
};
