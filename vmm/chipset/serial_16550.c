/*
 * serial_16550.c: a 16550A serial port
 *
 * National Semiconductor PC16550D. There is no line, so there is no baud rate: a byte leaves for
 * the chardev when it is written, and stays in the transmit FIFO only while the chardev takes no
 * more. For the same reason the receiver's time-out, which tells of bytes below the trigger
 * level, comes at once.
 *
 * The vCPUs' register accesses and the main thread's chardev callbacks meet under device->lock.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/chardev/chardev.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

#define FIFO_SIZE 16u
#define N_PORTS	  8u

enum {
	REG_DATA = 0, /* RBR, THR; divisor low with DLAB */
	REG_IER = 1,  /* divisor high with DLAB */
	REG_IIR = 2,  /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

enum {
	IER_RECEIVED = 0x01,
	IER_TRANSMIT = 0x02,
	IER_LINE = 0x04,
	IER_MODEM = 0x08,
	IER_MASK = 0x0f,

	/* In order of priority, highest first. */
	IIR_LINE = 0x06,
	IIR_RECEIVED = 0x04,
	IIR_TIMEOUT = 0x0c,
	IIR_TRANSMIT = 0x02,
	IIR_MODEM = 0x00,
	IIR_NONE = 0x01,
	IIR_FIFOS = 0xc0,

	FCR_ENABLE = 0x01,
	FCR_CLEAR_RECEIVE = 0x02,
	FCR_CLEAR_TRANSMIT = 0x04,
	FCR_DMA = 0x08,
	FCR_TRIGGER = 0xc0,

	LCR_BREAK = 0x40,
	LCR_DLAB = 0x80,

	MCR_DTR = 0x01,
	MCR_RTS = 0x02,
	MCR_OUT1 = 0x04,
	MCR_OUT2 = 0x08,
	MCR_LOOP = 0x10,
	MCR_MASK = 0x1f,

	LSR_DATA = 0x01,
	LSR_OVERRUN = 0x02,
	LSR_BREAK = 0x10,
	LSR_ERRORS = 0x1e,
	LSR_TRANSMIT_EMPTY = 0x20,
	LSR_IDLE = 0x40,

	MSR_DELTAS = 0x0f,
	MSR_RING_DELTA = 0x04,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,
	MSR_LINES = 0xf0,
};

typedef struct SerialFifo {
	uint8_t bytes[FIFO_SIZE];
	uint8_t first, count;
} SerialFifo;

typedef struct Serial {
	Device device;
	IoRegion region;
	Chardev *chardev;

	/* Properties. */
	char *chardev_id;
	int32_t index;
	uint32_t iobase;
	uint32_t irq;

	/* Under device.lock. */
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t line_errors;  /* LSR_ERRORS not yet read */
	uint8_t modem_lines;  /* MSR_LINES of the line itself; loopback shows others */
	uint8_t modem_deltas; /* MSR_DELTAS not yet read */
	uint8_t divisor_low, divisor_high;
	bool transmit_pending; /* the transmitter has become empty and the guest was not told */
	bool input_refused;    /* the chardev waits to be told that there is room */
	SerialFifo receive, transmit;
} Serial;

static const struct {
	uint16_t iobase;
	uint8_t irq;
} com_ports[] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };

static Serial *serial_of(Device *device)
{
	return (Serial *)device;
}

static void fifo_push(SerialFifo *fifo, uint8_t byte)
{
	fifo->bytes[(fifo->first + fifo->count) % FIFO_SIZE] = byte;
	fifo->count++;
}

static uint8_t fifo_pop(SerialFifo *fifo)
{
	uint8_t byte = fifo->bytes[fifo->first];

	fifo->first = (uint8_t)((fifo->first + 1) % FIFO_SIZE);
	fifo->count--;
	return byte;
}

/* Without FIFOs there is one holding register each way. */
static unsigned fifo_capacity(const Serial *serial)
{
	return serial->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned receive_trigger(const Serial *serial)
{
	static const uint8_t triggers[] = { 1, 4, 8, 14 };

	return serial->fcr & FCR_ENABLE ? triggers[serial->fcr >> 6] : 1;
}

/* The highest pending interrupt that is enabled, as IIR has it. Lock held. */
static uint8_t pending_interrupt(const Serial *serial)
{
	if ((serial->ier & IER_LINE) && serial->line_errors)
		return IIR_LINE;
	if ((serial->ier & IER_RECEIVED) && serial->receive.count > 0)
		return serial->receive.count >= receive_trigger(serial) ? IIR_RECEIVED
									: IIR_TIMEOUT;
	if ((serial->ier & IER_TRANSMIT) && serial->transmit_pending)
		return IIR_TRANSMIT;
	if ((serial->ier & IER_MODEM) && serial->modem_deltas)
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_interrupt(Serial *serial)
{
	interrupt_set_line(serial->device.services->interrupts, serial->irq,
			   pending_interrupt(serial) != IIR_NONE);
}

/* What MSR shows in its upper half: in loopback the port's own outputs (PC16550D §8.6.7). */
static uint8_t modem_status(const Serial *serial)
{
	if (!(serial->mcr & MCR_LOOP))
		return serial->modem_lines;
	return (serial->mcr & MCR_RTS ? MSR_CTS : 0) | (serial->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (serial->mcr & MCR_OUT1 ? MSR_RI : 0) | (serial->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* Remember what has changed since @before. RI counts only when it goes off (§8.6.8). */
static void note_modem_change(Serial *serial, uint8_t before)
{
	uint8_t after = modem_status(serial);
	uint8_t deltas = (uint8_t)((before ^ after) >> 4);

	if (after & MSR_RI)
		deltas &= (uint8_t)~MSR_RING_DELTA;
	serial->modem_deltas |= deltas;
}

static void receive_byte(Serial *serial, uint8_t byte)
{
	if (serial->receive.count < fifo_capacity(serial)) {
		fifo_push(&serial->receive, byte);
		return;
	}
	/* §8.6.3: a FIFO keeps what it has, a holding register is overwritten. */
	if (!(serial->fcr & FCR_ENABLE)) {
		fifo_pop(&serial->receive);
		fifo_push(&serial->receive, byte);
	}
	serial->line_errors |= LSR_OVERRUN;
}

/* Hand the chardev what it takes; tell the guest when nothing is left. Lock held. */
static void flush_transmit(Serial *serial)
{
	while (serial->transmit.count > 0) {
		const SerialFifo *fifo = &serial->transmit;
		size_t run = MIN(fifo->count, FIFO_SIZE - fifo->first);
		size_t taken = chardev_write(serial->chardev, fifo->bytes + fifo->first, run);

		for (size_t i = 0; i < taken; i++)
			fifo_pop(&serial->transmit);
		if (taken < run)
			return;
	}
	serial->transmit_pending = true;
}

static void write_data(Serial *serial, uint8_t byte)
{
	serial->transmit_pending = false;
	if (serial->mcr & MCR_LOOP) {
		receive_byte(serial, byte);
		serial->transmit_pending = true;
		return;
	}
	/* A guest that writes without asking for room loses bytes, as it would on a line. */
	if (serial->transmit.count < fifo_capacity(serial))
		fifo_push(&serial->transmit, byte);
	flush_transmit(serial);
}

static void write_fcr(Serial *serial, uint8_t value)
{
	/* §8.6.4: turning the FIFOs on or off empties them. */
	if ((value ^ serial->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RECEIVE | FCR_CLEAR_TRANSMIT;
	if (value & FCR_CLEAR_RECEIVE)
		serial->receive.count = 0;
	if ((value & FCR_CLEAR_TRANSMIT) && serial->transmit.count > 0) {
		serial->transmit.count = 0;
		serial->transmit_pending = true;
	}
	/* The other bits mean nothing while FIFOs are off. */
	serial->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER) : 0;
}

static void write_ier(Serial *serial, uint8_t value)
{
	/* §8.6.6: enabling the interrupt while the transmitter is empty raises it. */
	if (!(serial->ier & IER_TRANSMIT) && (value & IER_TRANSMIT) && serial->transmit.count == 0)
		serial->transmit_pending = true;
	serial->ier = value & IER_MASK;
}

static void write_mcr(Serial *serial, uint8_t value)
{
	uint8_t before = modem_status(serial);

	serial->mcr = value & MCR_MASK;
	note_modem_change(serial, before);
}

static void write_register(Serial *serial, uint64_t offset, uint8_t value)
{
	bool divisor = serial->lcr & LCR_DLAB;

	switch (offset) {
	case REG_DATA:
		if (divisor)
			serial->divisor_low = value;
		else
			write_data(serial, value);
		break;
	case REG_IER:
		if (divisor)
			serial->divisor_high = value;
		else
			write_ier(serial, value);
		break;
	case REG_IIR:
		write_fcr(serial, value);
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		write_mcr(serial, value);
		break;
	case REG_SCR:
		serial->scr = value;
		break;
	default: /* LSR and MSR are read only */
		break;
	}
}

static uint8_t read_iir(Serial *serial)
{
	uint8_t value = pending_interrupt(serial);

	/* Reading it is what acknowledges an empty transmitter, if that is what it says. */
	if (value == IIR_TRANSMIT)
		serial->transmit_pending = false;
	return value | (serial->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(Serial *serial)
{
	uint8_t value = serial->line_errors;

	serial->line_errors = 0;
	if (serial->receive.count > 0)
		value |= LSR_DATA;
	if (serial->transmit.count == 0)
		value |= LSR_TRANSMIT_EMPTY | LSR_IDLE;
	return value;
}

static uint8_t read_msr(Serial *serial)
{
	uint8_t value = modem_status(serial) | serial->modem_deltas;

	serial->modem_deltas = 0;
	return value;
}

static uint8_t read_register(Serial *serial, uint64_t offset)
{
	bool divisor = serial->lcr & LCR_DLAB;

	switch (offset) {
	case REG_DATA:
		if (divisor)
			return serial->divisor_low;
		return serial->receive.count > 0 ? fifo_pop(&serial->receive) : 0;
	case REG_IER:
		return divisor ? serial->divisor_high : serial->ier;
	case REG_IIR:
		return read_iir(serial);
	case REG_LCR:
		return serial->lcr;
	case REG_MCR:
		return serial->mcr;
	case REG_LSR:
		return read_lsr(serial);
	case REG_MSR:
		return read_msr(serial);
	default:
		return serial->scr;
	}
}

/* Whether the chardev waits for room that there now is. Lock held. */
static bool take_input_refused(Serial *serial)
{
	bool refused = serial->input_refused && serial->receive.count < fifo_capacity(serial);

	if (refused)
		serial->input_refused = false;
	return refused;
}

static uint64_t serial_read(void *opaque, uint64_t offset, G_GNUC_UNUSED unsigned size)
{
	Serial *serial = opaque;
	bool room;
	uint8_t value;

	g_mutex_lock(&serial->device.lock);
	value = read_register(serial, offset);
	room = take_input_refused(serial);
	update_interrupt(serial);
	g_mutex_unlock(&serial->device.lock);
	if (room)
		chardev_accept_input(serial->chardev);
	return value;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, G_GNUC_UNUSED unsigned size)
{
	Serial *serial = opaque;
	bool room;

	g_mutex_lock(&serial->device.lock);
	write_register(serial, offset, (uint8_t)value);
	room = take_input_refused(serial);
	update_interrupt(serial);
	g_mutex_unlock(&serial->device.lock);
	if (room)
		chardev_accept_input(serial->chardev);
}

static const IoRegionOps serial_region_ops = {
	.read = serial_read,
	.write = serial_write,
	.maximum_size = 1,
};

static size_t serial_can_receive(void *opaque)
{
	Serial *serial = opaque;
	size_t room;

	g_mutex_lock(&serial->device.lock);
	room = fifo_capacity(serial) - MIN(serial->receive.count, fifo_capacity(serial));
	if (room == 0)
		serial->input_refused = true;
	g_mutex_unlock(&serial->device.lock);
	return room;
}

static void serial_receive(void *opaque, const uint8_t *data, size_t size)
{
	Serial *serial = opaque;

	g_mutex_lock(&serial->device.lock);
	/* In loopback the receiver is cut off from the line. */
	if (!(serial->mcr & MCR_LOOP)) {
		for (size_t i = 0; i < size; i++)
			receive_byte(serial, data[i]);
	}
	update_interrupt(serial);
	g_mutex_unlock(&serial->device.lock);
}

static void serial_event(void *opaque, ChardevEvent event)
{
	Serial *serial = opaque;

	if (event != CHARDEV_BREAK)
		return;
	g_mutex_lock(&serial->device.lock);
	if (!(serial->mcr & MCR_LOOP)) {
		receive_byte(serial, 0);
		serial->line_errors |= LSR_BREAK;
	}
	update_interrupt(serial);
	g_mutex_unlock(&serial->device.lock);
}

static void serial_writable(void *opaque)
{
	Serial *serial = opaque;

	g_mutex_lock(&serial->device.lock);
	if (serial->transmit.count > 0)
		flush_transmit(serial);
	update_interrupt(serial);
	g_mutex_unlock(&serial->device.lock);
}

static const ChardevFrontEnd serial_front_end = {
	.can_receive = serial_can_receive,
	.receive = serial_receive,
	.event = serial_event,
	.writable = serial_writable,
};

static void serial_reset(Device *device)
{
	Serial *serial = serial_of(device);

	g_mutex_lock(&device->lock);
	serial->ier = 0;
	serial->fcr = 0;
	serial->lcr = 0;
	serial->mcr = MCR_OUT2;
	serial->scr = 0;
	serial->line_errors = 0;
	serial->modem_lines = MSR_DCD | MSR_DSR | MSR_CTS;
	serial->modem_deltas = 0;
	serial->divisor_low = 12; /* 9600 baud, as firmware leaves it */
	serial->divisor_high = 0;
	serial->transmit_pending = false;
	serial->input_refused = false;
	memset(&serial->receive, 0, sizeof(serial->receive));
	memset(&serial->transmit, 0, sizeof(serial->transmit));
	update_interrupt(serial);
	g_mutex_unlock(&device->lock);
	chardev_accept_input(serial->chardev);
}

/* The first of COM1 to COM4 that no serial port before @device has; they are made in order. */
static int32_t next_index(const Device *device)
{
	int32_t index = 0;

	if (!device->bus)
		return 0;
	for (guint i = 0; i < device->bus->children->len; i++) {
		const Device *other = g_ptr_array_index(device->bus->children, i);

		if (other != device && other->type == device->type)
			index = MAX(index, ((const Serial *)other)->index + 1);
	}
	return index;
}

static bool serial_realize(Device *device, GError **error)
{
	Serial *serial = serial_of(device);
	const char *user = device->id ? device->id : device->type->name;

	if (serial->index < 0)
		serial->index = next_index(device);
	if (serial->index >= (int32_t)G_N_ELEMENTS(com_ports) &&
	    (serial->iobase == 0 || serial->irq == 0))
		return error_fail(error,
				  "isa-serial: index %d is beyond COM4; iobase and irq are needed",
				  serial->index);
	if (serial->iobase == 0)
		serial->iobase = com_ports[serial->index].iobase;
	if (serial->irq == 0)
		serial->irq = com_ports[serial->index].irq;

	serial->chardev = device->services->find_chardev(device->services, serial->chardev_id);
	if (!serial->chardev)
		return error_fail(error, "isa-serial: there is no chardev '%s'",
				  serial->chardev_id);
	serial->region = (IoRegion){
		.name = "serial", .size = N_PORTS, .ops = &serial_region_ops, .opaque = serial
	};
	if (!isa_map_ports(device, &serial->region, serial->iobase, error))
		return false;
	if (!chardev_attach(serial->chardev, user, &serial_front_end, serial, error)) {
		address_space_unmap(device->services->pio, &serial->region);
		return false;
	}
	serial_reset(device);
	return true;
}

static void serial_unrealize(Device *device)
{
	Serial *serial = serial_of(device);

	chardev_detach(serial->chardev);
	address_space_unmap(device->services->pio, &serial->region);
	interrupt_set_line(device->services->interrupts, serial->irq, false);
}

int serial_16550_com(const Device *device)
{
	const Serial *serial = (const Serial *)device;

	for (unsigned i = 0; i < G_N_ELEMENTS(com_ports); i++) {
		if (serial->iobase == com_ports[i].iobase)
			return (int)i;
	}
	return -1;
}

static bool fifo_loaded(void *object, GError **error)
{
	SerialFifo *fifo = object;

	if (fifo->first >= FIFO_SIZE || fifo->count > FIFO_SIZE) {
		error_fail(error, "a FIFO of %u bytes at %u", fifo->count, fifo->first);
		/* The port stays usable: what was refused must not be left to index with. */
		fifo->first = fifo->count = 0;
		return false;
	}
	return true;
}

static const StateTable fifo_state = {
	.name = "fifo",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_RAW(SerialFifo, bytes),
			STATE_FIELD(SerialFifo, first, STATE_UINT8),
			STATE_FIELD(SerialFifo, count, STATE_UINT8),
			STATE_END,
		},
	.after_load = fifo_loaded,
};

static bool serial_loaded(void *object, G_GNUC_UNUSED GError **error)
{
	Serial *serial = object;

	serial->ier &= IER_MASK;
	serial->mcr &= MCR_MASK;
	g_mutex_lock(&serial->device.lock);
	/* Ask the chardev again, and again offer it what it had not taken. */
	if (serial->transmit.count > 0)
		flush_transmit(serial);
	update_interrupt(serial);
	g_mutex_unlock(&serial->device.lock);
	chardev_accept_input(serial->chardev);
	return true;
}

static const StateTable serial_state = {
	.name = "isa-serial",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(Serial, ier, STATE_UINT8),
			STATE_FIELD(Serial, fcr, STATE_UINT8),
			STATE_FIELD(Serial, lcr, STATE_UINT8),
			STATE_FIELD(Serial, mcr, STATE_UINT8),
			STATE_FIELD(Serial, scr, STATE_UINT8),
			STATE_FIELD(Serial, line_errors, STATE_UINT8),
			STATE_FIELD(Serial, modem_lines, STATE_UINT8),
			STATE_FIELD(Serial, modem_deltas, STATE_UINT8),
			STATE_FIELD(Serial, divisor_low, STATE_UINT8),
			STATE_FIELD(Serial, divisor_high, STATE_UINT8),
			STATE_FIELD(Serial, transmit_pending, STATE_BOOL),
			STATE_PART(Serial, receive, &fifo_state),
			STATE_PART(Serial, transmit, &fifo_state),
			STATE_END,
		},
	.after_load = serial_loaded,
};

static const Property serial_properties[] = {
	{
		.name = "chardev",
		.kind = PROPERTY_CHARDEV,
		.offset = offsetof(Serial, chardev_id),
		.required = true,
		.description = "what the port is connected to",
	},
	{
		.name = "index",
		.kind = PROPERTY_INT32,
		.offset = offsetof(Serial, index),
		.initial = (uint64_t)-1,
		.minimum = (uint64_t)-1,
		.maximum = UINT8_MAX,
		.description = "0 to 3 for COM1 to COM4; -1 for the next",
	},
	{
		.name = "iobase",
		.kind = PROPERTY_UINT32,
		.offset = offsetof(Serial, iobase),
		.maximum = 0xfff8,
		.description = "first I/O port; 0 for that of the index",
	},
	{
		.name = "irq",
		.kind = PROPERTY_UINT32,
		.offset = offsetof(Serial, irq),
		.maximum = 15,
		.description = "ISA interrupt; 0 for that of the index",
	},
	PROPERTY_END,
};

const DeviceType serial_16550_type = {
	.name = "isa-serial",
	.description = "16550A serial port",
	.category = "Input",
	.bus_kind = "ISA",
	.instance_size = sizeof(Serial),
	.properties = { serial_properties },
	.state = &serial_state,
	.user_creatable = true,
	.realize = serial_realize,
	.unrealize = serial_unrealize,
	.reset = serial_reset,
};
