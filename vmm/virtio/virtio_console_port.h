/*
 * virtio_console_port.h: between the console device and its ports
 *
 * A port is a device on the console's bus and has the chardev; its slot in the console has what
 * concerns the queues. Input from the chardev comes on the main thread into a small buffer of the
 * port and goes to the guest on the loop; output goes to the chardev from the loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/chardev/chardev.h"
#include "vmm/virtio/virtio_console.h"

#define CONSOLE_BUS_KIND    "virtio-serial-bus"
#define CONSOLE_PORTS_MAX   31u
#define CONSOLE_PORT_UNSET  UINT32_MAX
#define CONSOLE_PORT_BUFFER 4096u
#define CONSOLE_NAME_MAX    255u

typedef struct ConsolePort {
	Device device;

	/* Properties. */
	char *chardev_name;
	char *name;
	uint32_t nr;

	Chardev *chardev; /* NULL: none */
	int host_open;	  /* atomic: somebody is at the other end */
	int ready;	  /* atomic: the guest wants input */

	GMutex buffer_lock; /* a leaf, for all that follows */
	bool flush_posted;
	uint32_t n_buffered; /* bytes */
	uint8_t buffer[CONSOLE_PORT_BUFFER];
} ConsolePort;

typedef struct ConsoleSlot {
	ConsolePort *port;  /* NULL: none */
	uint8_t pending;    /* bits by event: control messages to send */
	bool guest_open;    /* some process in the guest has it open */
	uint32_t tx_offset; /* bytes of the next chain to send that are sent already */
} ConsoleSlot;

typedef struct VirtioConsole {
	VirtioDevice virtio;
	Bus bus;

	/* Properties. */
	uint32_t max_ports;
	bool emergency_write;

	/* Loop thread, or stopped; ports come and go under the device's lock as well. */
	bool driver_ready;  /* the driver sent DEVICE_READY */
	ConsoleSlot *slots; /* max_ports of them */
} VirtioConsole;

static inline bool console_port_is_console(const ConsolePort *port)
{
	return port->device.type == &virtio_console_port_type;
}

static inline VirtioConsole *console_port_parent(const ConsolePort *port)
{
	return (VirtioConsole *)port->device.bus->parent;
}

/* Of the port, called by the console. */

/* Hand up to @size bytes to the host; returns how many were taken. Any thread. */
size_t console_port_write(ConsolePort *port, const uint8_t *data, size_t size);
/* Copy as much buffered input to @iov as there is and fits; returns how much. Loop thread. */
uint32_t console_port_take_input(ConsolePort *port, const struct iovec *iov, unsigned n_iov);
bool console_port_has_input(ConsolePort *port);
/* Whether input is wanted; asks the chardev for it. Any thread. */
void console_port_set_ready(ConsolePort *port, bool ready);
/* Drop buffered input. Any thread. */
void console_port_clear(ConsolePort *port);

/*
 * Of the console, posted by the port to the loop with the port as data: input is buffered, the
 * chardev takes output again, the host's side was opened or closed. Nothing for a port that is gone.
 */
void console_input_arrived(gpointer port);
void console_output_possible(gpointer port);
void console_host_changed(gpointer port);
