/*
 * virtio_console_port.c: ports of the console device: virtconsole, virtserialport
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_console_port.h"

#include <string.h>

#include "vmm/base/error.h"

static void post(ConsolePort *port, IoLoopFunc func)
{
	io_loop_post(console_port_parent(port)->virtio.loop, func, port);
}

size_t console_port_write(ConsolePort *port, const uint8_t *data, size_t size)
{
	return port->chardev ? chardev_write(port->chardev, data, size) : size;
}

bool console_port_has_input(ConsolePort *port)
{
	bool has;

	g_mutex_lock(&port->buffer_lock);
	has = port->n_buffered > 0;
	g_mutex_unlock(&port->buffer_lock);
	return has;
}

uint32_t console_port_take_input(ConsolePort *port, const struct iovec *iov, unsigned n_iov)
{
	uint32_t taken;

	g_mutex_lock(&port->buffer_lock);
	taken = iov_copy_to(iov, n_iov, 0, port->buffer, port->n_buffered);
	port->n_buffered -= taken;
	memmove(port->buffer, port->buffer + taken, port->n_buffered);
	g_mutex_unlock(&port->buffer_lock);
	if (port->chardev && taken)
		chardev_accept_input(port->chardev);
	return taken;
}

void console_port_set_ready(ConsolePort *port, bool ready)
{
	bool was_ready = __atomic_exchange_n(&port->ready, ready, __ATOMIC_SEQ_CST);

	if (port->chardev && ready != was_ready)
		chardev_guest_opened(port->chardev, ready);
	if (port->chardev && ready)
		chardev_accept_input(port->chardev);
}

void console_port_clear(ConsolePort *port)
{
	g_mutex_lock(&port->buffer_lock);
	port->n_buffered = 0;
	g_mutex_unlock(&port->buffer_lock);
}

static size_t can_receive(void *opaque)
{
	ConsolePort *port = opaque;
	size_t room;

	if (!__atomic_load_n(&port->ready, __ATOMIC_SEQ_CST))
		return 0;
	g_mutex_lock(&port->buffer_lock);
	room = sizeof(port->buffer) - port->n_buffered;
	g_mutex_unlock(&port->buffer_lock);
	return room;
}

static void receive(void *opaque, const uint8_t *data, size_t size)
{
	ConsolePort *port = opaque;
	bool must_post;

	g_mutex_lock(&port->buffer_lock);
	size = MIN(size, sizeof(port->buffer) - port->n_buffered);
	memcpy(port->buffer + port->n_buffered, data, size);
	port->n_buffered += size;
	must_post = !port->flush_posted;
	port->flush_posted = true;
	g_mutex_unlock(&port->buffer_lock);
	if (must_post)
		post(port, console_input_arrived);
}

static void host_event(void *opaque, ChardevEvent event)
{
	ConsolePort *port = opaque;

	if (event == CHARDEV_BREAK)
		return;
	__atomic_store_n(&port->host_open, event == CHARDEV_OPENED || console_port_is_console(port),
			 __ATOMIC_SEQ_CST);
	post(port, console_host_changed);
}

static void writable(void *opaque)
{
	post(opaque, console_output_possible);
}

static bool is_open(void *opaque)
{
	const ConsolePort *port = opaque;

	return __atomic_load_n(&port->ready, __ATOMIC_SEQ_CST);
}

static const ChardevFrontEnd front_end = {
	.can_receive = can_receive,
	.receive = receive,
	.event = host_event,
	.writable = writable,
	.is_open = is_open,
};

static bool port_realize(Device *device, GError **error)
{
	ConsolePort *port = (ConsolePort *)device;
	DeviceServices *services = device->services;

	if (port->name && strlen(port->name) > CONSOLE_NAME_MAX)
		return error_fail(error, "the name of a port is longer than %u bytes",
				  CONSOLE_NAME_MAX);
	g_mutex_init(&port->buffer_lock);
	/* A console is always there, whether or not somebody looks at it. */
	port->host_open = console_port_is_console(port);
	if (!port->chardev_name)
		return true;
	port->chardev = services->find_chardev(services, port->chardev_name);
	if (port->chardev && chardev_attach(port->chardev, device->id ? device->id : device->path,
					    &front_end, port, error))
		return true;
	if (!port->chardev)
		error_fail(error, "there is no chardev '%s'", port->chardev_name);
	port->chardev = NULL;
	g_mutex_clear(&port->buffer_lock);
	return false;
}

static void nothing(gpointer data)
{
	(void)data;
}

static void port_unrealize(Device *device)
{
	ConsolePort *port = (ConsolePort *)device;

	if (port->chardev)
		chardev_detach(port->chardev);
	/* What it posted has run when this has. */
	io_loop_run_sync(console_port_parent(port)->virtio.loop, nothing, NULL);
	g_mutex_clear(&port->buffer_lock);
}

static void port_reset(Device *device)
{
	console_port_clear((ConsolePort *)device);
}

static bool port_after_load(void *object, GError **error)
{
	ConsolePort *port = object;

	if (port->n_buffered <= sizeof(port->buffer))
		return true;
	port->n_buffered = 0;
	return error_fail(error, "a console port has more input than room for it");
}

static const StateField port_fields[] = {
	STATE_FIELD(ConsolePort, n_buffered, STATE_UINT32),
	STATE_RAW(ConsolePort, buffer),
	STATE_END,
};

static const StateTable port_state = {
	.name = "virtio-console-port",
	.version = 1,
	.minimum_version = 1,
	.fields = port_fields,
	.after_load = port_after_load,
};

static const Property port_properties[] = {
	{ .name = "chardev",
	  .kind = PROPERTY_CHARDEV,
	  .offset = offsetof(ConsolePort, chardev_name),
	  .description = "host side of the port" },
	{ .name = "name",
	  .kind = PROPERTY_STRING,
	  .offset = offsetof(ConsolePort, name),
	  .description = "what the guest finds the port by, such as org.qemu.guest_agent.0" },
	{ .name = "nr",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(ConsolePort, nr),
	  .initial = CONSOLE_PORT_UNSET,
	  .description = "number of the port (default: the first free one)" },
	PROPERTY_END,
};

#define PORT_TYPE(name_, description_)                                                         \
	{                                                                                      \
		.name = name_, .description = description_, .category = "Input",               \
		.bus_kind = CONSOLE_BUS_KIND, .instance_size = sizeof(ConsolePort),            \
		.properties = { port_properties }, .state = &port_state, .hotpluggable = true, \
		.user_creatable = true, .realize = port_realize, .unrealize = port_unrealize,  \
		.reset = port_reset,                                                           \
	}

const DeviceType virtio_console_port_type = PORT_TYPE("virtconsole", "console on a virtio port");
const DeviceType virtio_serial_port_type =
	PORT_TYPE("virtserialport", "virtio port for a guest agent or the like");
