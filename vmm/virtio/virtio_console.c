/*
 * virtio_console.c: console device with several ports (virtio 1.2 §5.3)
 *
 * Each port has a queue pair; a further pair carries control messages. The host's messages about a
 * port are remembered as bits in its slot until the driver has given buffers for them, so that
 * nothing has to be queued; they go out in the order of their bits.
 *
 * A chain that the chardev takes only part of is put back into the ring, with what is done of it
 * in the slot, so that nothing is in flight between turns.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_console.h"

#include <string.h>

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/virtio/virtio_console_port.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_CONSOLE	3
#define PCI_CLASS_COMMUNICATION 0x078000
#define QUEUE_SIZE		128
#define DEFAULT_PORTS		31

/* §5.3.3 */
#define F_MULTIPORT   1
#define F_EMERG_WRITE 2

/* §5.3.6.2: events of control messages. */
enum {
	DEVICE_READY = 0,
	PORT_ADD = 1,
	PORT_REMOVE = 2,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};

/* Pending messages, in the order in which they are sent. */
static const uint8_t pending_events[] = {
	PORT_REMOVE, PORT_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN,
};
#define PENDING(event) (1u << (event))
#define PENDING_ALL                                                                              \
	(PENDING(PORT_REMOVE) | PENDING(PORT_ADD) | PENDING(CONSOLE_PORT) | PENDING(PORT_NAME) | \
	 PENDING(PORT_OPEN))

typedef struct ControlMessage {
	uint32_t port;
	uint16_t event;
	uint16_t value;
} ControlMessage;

/* §5.3.4 */
typedef struct ConsoleConfig {
	uint16_t cols, rows;
	uint32_t max_ports;
	uint32_t emergency_write;
} ConsoleConfig;

G_STATIC_ASSERT(sizeof(ConsoleConfig) == 12);

enum { QUEUE_CONTROL_IN = 2, QUEUE_CONTROL_OUT = 3 };

static VirtioConsole *virtio_console(VirtioDevice *device)
{
	return (VirtioConsole *)device;
}

/* §5.3.2: port 0 comes before the control queues, the others after them. */
static VirtioQueue *input_queue(VirtioConsole *console, unsigned nr)
{
	return &console->virtio.queues[nr == 0 ? 0 : 2 + 2 * nr];
}

static VirtioQueue *output_queue(VirtioConsole *console, unsigned nr)
{
	return input_queue(console, nr) + 1;
}

/* The port of queue @index, which is no control queue. */
static unsigned queue_port(unsigned index)
{
	return index < 2 ? 0 : (index - 2) / 2;
}

static bool is_multiport(const VirtioConsole *console)
{
	return virtio_device_has_feature(&console->virtio, F_MULTIPORT);
}

static bool wants_input(const VirtioConsole *console, unsigned nr)
{
	return is_multiport(console) ? console->slots[nr].guest_open : nr == 0;
}

/* Control messages to the driver */

static uint16_t message_value(const ConsoleSlot *slot, uint8_t event)
{
	if (event == PORT_OPEN)
		return slot->port && __atomic_load_n(&slot->port->host_open, __ATOMIC_SEQ_CST);
	return 1;
}

static void write_message(const VirtqueueElement *element, const ControlMessage *message,
			  const char *name, uint32_t *written)
{
	const struct iovec *in = element->iov + element->n_out;

	*written = iov_copy_to(in, element->n_in, 0, message, sizeof(*message));
	if (name)
		*written += iov_copy_to(in, element->n_in, sizeof(*message), name, strlen(name));
}

/* Send @event of slot @nr; false when the driver has given no buffer. */
static bool send_message(VirtioConsole *console, unsigned nr, uint8_t event)
{
	VirtioQueue *queue = &console->virtio.queues[QUEUE_CONTROL_IN];
	ConsoleSlot *slot = &console->slots[nr];
	ControlMessage message = {
		.port = nr,
		.event = event,
		.value = message_value(slot, event),
	};
	VirtqueueElement *element;
	uint32_t written;

	do
		element = virtqueue_pop(&queue->ring);
	while (!element && virtqueue_set_notification(&queue->ring, true));
	if (!element)
		return false;
	if (element->in_size < sizeof(message)) {
		virtio_queue_set_broken(queue, "a control buffer has no room for a message");
		virtqueue_push(&queue->ring, element, 0);
		return false;
	}
	write_message(element, &message, event == PORT_NAME && slot->port ? slot->port->name : NULL,
		      &written);
	virtqueue_push(&queue->ring, element, written);
	return true;
}

static void send_pending(VirtioConsole *console)
{
	VirtioQueue *queue = &console->virtio.queues[QUEUE_CONTROL_IN];
	bool room = true;

	if (!is_multiport(console) || !virtio_device_is_active(&console->virtio) || !queue->ring.ops)
		return;
	for (unsigned nr = 0; nr < console->max_ports && room; nr++) {
		ConsoleSlot *slot = &console->slots[nr];

		for (unsigned i = 0; i < G_N_ELEMENTS(pending_events) && room; i++) {
			if (!(slot->pending & PENDING(pending_events[i])))
				continue;
			room = send_message(console, nr, pending_events[i]);
			if (room)
				slot->pending &= ~PENDING(pending_events[i]);
		}
	}
	virtio_queue_publish(queue);
}

/* Data */

static void flush_input(VirtioConsole *console, unsigned nr)
{
	VirtioQueue *queue = input_queue(console, nr);
	ConsolePort *port = console->slots[nr].port;

	if (!port || !virtio_device_is_active(&console->virtio) || !queue->ring.ops || !wants_input(console, nr))
		return;
	virtqueue_set_notification(&queue->ring, false);
	while (console_port_has_input(port)) {
		VirtqueueElement *element = virtqueue_pop(&queue->ring);

		if (!element && !virtqueue_set_notification(&queue->ring, true))
			break;
		if (!element)
			continue;
		if (element->in_size == 0) {
			virtio_queue_set_broken(queue, "an input buffer has no room");
			virtqueue_push(&queue->ring, element, 0);
			break;
		}
		virtqueue_push(&queue->ring, element,
			       console_port_take_input(port, element->iov + element->n_out,
						       element->n_in));
	}
	virtio_queue_publish(queue);
}

/* Hand @element to the host from tx_offset on; false when it took only part of it. */
static bool write_output(ConsoleSlot *slot, const VirtqueueElement *element)
{
	uint64_t skip = slot->tx_offset;

	for (unsigned i = 0; i < element->n_out; i++) {
		const struct iovec *piece = &element->iov[i];
		size_t size, done;

		if (skip >= piece->iov_len) {
			skip -= piece->iov_len;
			continue;
		}
		size = piece->iov_len - skip;
		done = console_port_write(slot->port, (const uint8_t *)piece->iov_base + skip,
					  size);
		slot->tx_offset += done;
		skip = 0;
		if (done < size)
			return false;
	}
	return true;
}

static bool handle_output(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioConsole *console = virtio_console(queue->device);
	ConsoleSlot *slot = &console->slots[queue_port(queue->ring.index)];

	/* What nobody can hear is gone, as on a line with nothing plugged in. */
	if (slot->port && element->out_size <= UINT32_MAX && !write_output(slot, element)) {
		virtqueue_unpop(&queue->ring, element);
		return false; /* console_output_possible() goes on */
	}
	slot->tx_offset = 0;
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

/* Control messages from the driver */

static void guest_opened(VirtioConsole *console, unsigned nr, bool open)
{
	ConsoleSlot *slot = &console->slots[nr];
	const Device *device = &slot->port->device;

	if (slot->guest_open == open)
		return;
	slot->guest_open = open;
	console_port_set_ready(slot->port, open);
	if (device->id)
		qapi_event_vserport_change(device->services->events, device->id, open);
	flush_input(console, nr);
}

static void driver_ready(VirtioConsole *console)
{
	console->driver_ready = true;
	for (unsigned nr = 0; nr < console->max_ports; nr++) {
		if (console->slots[nr].port)
			console->slots[nr].pending |= PENDING(PORT_ADD);
	}
}

static void port_ready(ConsoleSlot *slot)
{
	if (console_port_is_console(slot->port))
		slot->pending |= PENDING(CONSOLE_PORT);
	if (slot->port->name)
		slot->pending |= PENDING(PORT_NAME);
	if (message_value(slot, PORT_OPEN))
		slot->pending |= PENDING(PORT_OPEN);
}

static void message_received(VirtioConsole *console, const ControlMessage *message)
{
	ConsoleSlot *slot;

	/* §5.3.6.2: value 0 says that the driver failed. */
	if (message->event == DEVICE_READY) {
		if (message->value)
			driver_ready(console);
		return;
	}
	if (message->port >= console->max_ports || !console->slots[message->port].port)
		return;
	slot = &console->slots[message->port];
	if (message->event == PORT_READY && message->value)
		port_ready(slot);
	else if (message->event == PORT_OPEN)
		guest_opened(console, message->port, message->value);
}

static bool handle_control(VirtioQueue *queue, VirtqueueElement *element)
{
	ControlMessage message;

	if (iov_copy_from(element->iov, element->n_out, 0, &message, sizeof(message)) ==
	    sizeof(message))
		message_received(virtio_console(queue->device), &message);
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

static void console_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	VirtioConsole *console = virtio_console(device);
	unsigned index = queue->ring.index;

	if (index == QUEUE_CONTROL_OUT) {
		virtio_queue_process(queue, handle_control);
		send_pending(console);
	} else if (index == QUEUE_CONTROL_IN) {
		send_pending(console);
	} else if (index % 2 == 0) {
		flush_input(console, queue_port(index));
	} else {
		virtio_queue_process(queue, handle_output);
	}
}

/* What ports post; a port that is not (or no longer) plugged in has no slot. */

static ConsoleSlot *port_slot(ConsolePort *port)
{
	ConsoleSlot *slot = &console_port_parent(port)->slots[port->nr];

	return slot->port == port ? slot : NULL;
}

void console_input_arrived(gpointer data)
{
	ConsolePort *port = data;

	g_mutex_lock(&port->buffer_lock);
	port->flush_posted = false;
	g_mutex_unlock(&port->buffer_lock);
	if (port_slot(port))
		flush_input(console_port_parent(port), port->nr);
}

void console_output_possible(gpointer data)
{
	ConsolePort *port = data;
	VirtioConsole *console = console_port_parent(port);
	VirtioQueue *queue = output_queue(console, port->nr);

	if (port_slot(port) && virtio_device_is_active(&console->virtio) && queue->ring.ops)
		virtio_queue_process(queue, handle_output);
}

void console_host_changed(gpointer data)
{
	ConsolePort *port = data;
	VirtioConsole *console = console_port_parent(port);
	ConsoleSlot *slot = port_slot(port);

	if (!slot || !console->driver_ready)
		return;
	slot->pending |= PENDING(PORT_OPEN);
	send_pending(console);
}

/* The bus */

static bool bus_claim(Bus *bus, Device *device, GError **error)
{
	VirtioConsole *console = (VirtioConsole *)bus->parent;
	ConsolePort *port = (ConsolePort *)device;
	bool taken[CONSOLE_PORTS_MAX] = {};
	bool is_console = console_port_is_console(port);

	for (guint i = 0; i < bus->children->len; i++) {
		ConsolePort *other = bus->children->pdata[i];

		if (other != port && other->nr < CONSOLE_PORTS_MAX)
			taken[other->nr] = true;
	}
	if (port->nr == 0 && !is_console)
		return error_fail(error, "port 0 of '%s' is for a virtconsole", bus->name);
	if (port->nr == CONSOLE_PORT_UNSET) {
		port->nr = is_console ? 0 : 1;
		while (port->nr < console->max_ports && taken[port->nr])
			port->nr++;
		if (port->nr >= console->max_ports)
			return error_fail(error, "'%s' has no port left", bus->name);
	}
	if (port->nr >= console->max_ports)
		return error_fail(error, "'%s' has no port %u, only %u of them", bus->name,
				  port->nr, console->max_ports);
	if (taken[port->nr])
		return error_fail(error, "port %u of '%s' is taken", port->nr, bus->name);
	return true;
}

static void bus_release(Bus *bus, Device *device)
{
	(void)bus;
	(void)device; /* the place is free when it is no child any more */
}

static void plug_on_loop(gpointer data)
{
	ConsolePort *port = data;
	VirtioConsole *console = console_port_parent(port);
	ConsoleSlot *slot = &console->slots[port->nr];

	slot->port = port;
	if (console->driver_ready) {
		slot->pending |= PENDING(PORT_ADD);
		send_pending(console);
	}
	console_port_set_ready(port, virtio_device_is_active(&console->virtio) && wants_input(console, port->nr));
}

static void unplug_on_loop(gpointer data)
{
	ConsolePort *port = data;
	VirtioConsole *console = console_port_parent(port);
	ConsoleSlot *slot = &console->slots[port->nr];
	VirtioQueue *queue = output_queue(console, port->nr);

	*slot = (ConsoleSlot){ .pending = console->driver_ready ? PENDING(PORT_REMOVE) : 0 };
	send_pending(console);
	/* What it was too slow for is dropped. */
	if (virtio_device_is_active(&console->virtio) && queue->ring.ops)
		virtio_queue_process(queue, handle_output);
}

static void change_ports(Bus *bus, Device *device, IoLoopFunc func)
{
	g_mutex_lock(&bus->parent->lock);
	io_loop_run_sync(((VirtioConsole *)bus->parent)->virtio.loop, func, device);
	g_mutex_unlock(&bus->parent->lock);
}

static void bus_plugged(Bus *bus, Device *device)
{
	change_ports(bus, device, plug_on_loop);
}

static void bus_unplugged(Bus *bus, Device *device)
{
	change_ports(bus, device, unplug_on_loop);
}

/* The guest is told, not asked: a port can go at any time (§5.3.6.2). */
static bool bus_request_unplug(Bus *bus, Device *device, GError **error)
{
	(void)error;
	device_tree_post_remove(bus->parent->tree, device);
	return true;
}

static const BusOps console_bus_ops = {
	.claim = bus_claim,
	.release = bus_release,
	.plugged = bus_plugged,
	.unplugged = bus_unplugged,
	.request_unplug = bus_request_unplug,
};

/* Life */

static void console_start(VirtioDevice *device)
{
	VirtioConsole *console = virtio_console(device);

	for (unsigned nr = 0; nr < console->max_ports; nr++) {
		if (console->slots[nr].port)
			console_port_set_ready(console->slots[nr].port, wants_input(console, nr));
	}
}

static void console_stop(VirtioDevice *device)
{
	VirtioConsole *console = virtio_console(device);

	for (unsigned nr = 0; nr < console->max_ports; nr++) {
		if (console->slots[nr].port)
			console_port_set_ready(console->slots[nr].port, false);
	}
}

static void console_reset(VirtioDevice *device)
{
	VirtioConsole *console = virtio_console(device);

	console->driver_ready = false;
	for (unsigned nr = 0; nr < console->max_ports; nr++) {
		ConsoleSlot *slot = &console->slots[nr];

		if (slot->port) {
			const Device *port = &slot->port->device;

			console_port_clear(slot->port);
			if (slot->guest_open && port->id)
				qapi_event_vserport_change(port->services->events, port->id, false);
		}
		*slot = (ConsoleSlot){ .port = slot->port };
	}
}

static void console_queue_reset(VirtioDevice *device, VirtioQueue *queue)
{
	unsigned index = queue->ring.index;

	if (index != QUEUE_CONTROL_IN && index != QUEUE_CONTROL_OUT)
		virtio_console(device)->slots[queue_port(index)].tx_offset = 0;
}

static void console_read_config(VirtioDevice *device, uint8_t *bytes)
{
	ConsoleConfig config = { .max_ports = virtio_console(device)->max_ports };

	memcpy(bytes, &config, sizeof(config));
}

/* A character without queues, from a kernel in trouble (§5.3.4). */
static void console_write_config(VirtioDevice *device, unsigned offset, uint32_t value,
				 unsigned size)
{
	VirtioConsole *console = virtio_console(device);
	uint8_t character = (uint8_t)value;

	if (offset == offsetof(ConsoleConfig, emergency_write) && size == 4 &&
	    console->emergency_write && console->slots[0].port)
		console_port_write(console->slots[0].port, &character, 1);
}

static void add_bus(VirtioConsole *console)
{
	Device *base = &console->virtio.pci.device;
	g_autofree char *name = NULL;
	unsigned i = 0;

	if (base->id) {
		name = g_strdup_printf("%s.0", base->id);
	} else {
		do {
			g_free(name);
			name = g_strdup_printf("virtio-serial-bus.%u", i++);
		} while (device_tree_find_bus(base->tree, name));
	}
	bus_init(&console->bus, &console_bus_ops, CONSOLE_BUS_KIND, name, base);
	console->bus.hotplug = true;
	device_tree_add_bus(base->tree, &console->bus);
}

static bool console_setup(VirtioDevice *device, GError **error)
{
	VirtioConsole *console = virtio_console(device);
	bool multiport = console->max_ports > 1;

	if (!virtio_device_add_queues(device, multiport ? 2 * (console->max_ports + 1) : 2,
				      QUEUE_SIZE, error))
		return false;
	if (multiport)
		device->offered |= VIRTIO_FEATURE(F_MULTIPORT);
	if (console->emergency_write)
		device->offered |= VIRTIO_FEATURE(F_EMERG_WRITE);
	console->slots = g_new0(ConsoleSlot, console->max_ports);
	add_bus(console);
	return true;
}

static void console_teardown(VirtioDevice *device)
{
	VirtioConsole *console = virtio_console(device);

	device_tree_remove_bus(device->pci.device.tree, &console->bus);
	bus_clear(&console->bus);
	g_clear_pointer(&console->slots, g_free);
}

static const StateField slot_fields[] = {
	STATE_FIELD(ConsoleSlot, pending, STATE_UINT8),
	STATE_FIELD(ConsoleSlot, guest_open, STATE_BOOL),
	STATE_FIELD(ConsoleSlot, tx_offset, STATE_UINT32),
	STATE_END,
};

static bool slot_after_load(void *object, GError **error)
{
	ConsoleSlot *slot = object;

	if (slot->pending & ~PENDING_ALL)
		return error_fail(error, "a console port has unknown messages pending");
	if (!slot->port && slot->guest_open)
		return error_fail(error, "a console port that is not there is open");
	return true;
}

static const StateTable slot_state = {
	.name = "virtio-console-slot",
	.version = 1,
	.minimum_version = 1,
	.fields = slot_fields,
	.after_load = slot_after_load,
};

static const StateField console_fields[] = {
	STATE_PART(VirtioConsole, virtio, &virtio_device_state),
	STATE_FIELD(VirtioConsole, driver_ready, STATE_BOOL),
	{ .name = "slots",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(VirtioConsole, slots),
	  .element_size = sizeof(ConsoleSlot),
	  .is_pointer = true,
	  .has_count_offset = true,
	  .count_offset = offsetof(VirtioConsole, max_ports),
	  .sub_table = &slot_state },
	STATE_END,
};

static const StateTable console_state = {
	.name = "virtio-console",
	.version = 1,
	.minimum_version = 1,
	.fields = console_fields,
};

static const Property console_properties[] = {
	{ .name = "max_ports",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioConsole, max_ports),
	  .initial = DEFAULT_PORTS,
	  .minimum = 1,
	  .maximum = CONSOLE_PORTS_MAX,
	  .description = "ports at most" },
	{ .name = "emergency-write",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioConsole, emergency_write),
	  .initial = true,
	  .description = "offer output without queues to port 0" },
	PROPERTY_END,
};

const VirtioDeviceType virtio_console_type = {
	.pci = {
		.device = {
			.name = "virtio-serial-pci",
			.description = "virtio console device, a bus of ports",
			.category = "Input",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioConsole),
			.properties = { console_properties, virtio_device_properties,
					pci_device_properties },
			.state = &console_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_CONSOLE, PCI_CLASS_COMMUNICATION),
	},
	.config_size = sizeof(ConsoleConfig),
	/* One for all queues: there are dozens, each used now and then. */
	.default_vectors = 2,
	.setup = console_setup,
	.teardown = console_teardown,
	.reset = console_reset,
	.queue_reset = console_queue_reset,
	.read_config = console_read_config,
	.write_config = console_write_config,
	.start = console_start,
	.stop = console_stop,
	.queue_ready = console_queue_ready,
};
