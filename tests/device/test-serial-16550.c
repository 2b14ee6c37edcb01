/*
 * test-serial-16550.c: the serial port as a driver sees it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "tests/device/fake_chardev.h"
#include "tests/device/fake_machine.h"
#include "vmm/chipset/chipset.h"

#define COM1 0x3f8
#define IRQ  4

enum { DATA = COM1, IER, IIR, LCR, MCR, LSR, MSR, SCR };

typedef struct Fixture {
	FakeMachine *fake;
	Chardev chardev;
	Device *serial;
} Fixture;

static void setup(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fixture->fake = fake_machine_new(0);
	fake_chardev_init(&fixture->chardev);
	fake_machine_set_chardev(fixture->fake, "c", &fixture->chardev);
	fixture->serial = fake_machine_add(fixture->fake, &serial_16550_type, "chardev=c");
}

static void teardown(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_remove(fixture->fake, fixture->serial);
	fake_chardev_clear(&fixture->chardev);
	fake_machine_free(fixture->fake);
}

#define in(port)	 fake_inb(fixture->fake, port)
#define out(port, value) fake_outb(fixture->fake, port, value)
#define line()		 fake_machine_line(fixture->fake, IRQ)

/* What a driver does to find out whether there is a port and of which kind. */
static void test_probe(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	/* Writable bits of IER, scratch. */
	out(IER, 0xff);
	g_assert_cmphex(in(IER), ==, 0x0f);
	out(IER, 0);
	g_assert_cmphex(in(IER), ==, 0);
	out(SCR, 0x5a);
	g_assert_cmphex(in(SCR), ==, 0x5a);

	/* Loopback: RTS and OUT2 come back as CTS and DCD. */
	out(MCR, 0x1a);
	g_assert_cmphex(in(MSR)&0xf0, ==, 0x90);
	out(MCR, 0x15);
	g_assert_cmphex(in(MSR)&0xf0, ==, 0x60);
	out(DATA, 'l');
	g_assert_cmphex(in(LSR)&1, ==, 1);
	g_assert_cmphex(in(DATA), ==, 'l');
	out(MCR, 0x08);
	g_assert_cmpstr(fixture->chardev.written->str, ==, "");
	g_assert_cmphex(in(MSR)&0xf0, ==, 0xb0);

	/* FIFOs tell a 16550A; it has neither an EFR nor 64 bytes. */
	g_assert_cmphex(in(IIR)&0xc0, ==, 0);
	out(IIR, 0x01);
	g_assert_cmphex(in(IIR)&0xe0, ==, 0xc0);
	out(LCR, 0x80);
	out(IIR, 0x21);
	g_assert_cmphex(in(IIR)&0xe0, ==, 0xc0);

	/* The divisor is behind DLAB. */
	out(DATA, 0x34);
	out(IER, 0x12);
	g_assert_cmphex(in(DATA), ==, 0x34);
	g_assert_cmphex(in(IER), ==, 0x12);
	out(LCR, 0x03);
	g_assert_cmphex(in(IER), ==, 0);
	g_assert_cmphex(in(LCR), ==, 0x03);
	/* Read-only registers stay. */
	out(LSR, 0);
	out(MSR, 0);
	g_assert_cmphex(in(LSR), ==, 0x60);
}

static void test_transmit(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_assert_cmphex(in(LSR)&0x60, ==, 0x60);
	for (const char *c = "hello"; *c; c++)
		out(DATA, (uint8_t)*c);
	g_assert_cmpstr(fixture->chardev.written->str, ==, "hello");
	g_assert_cmphex(in(LSR)&0x60, ==, 0x60);
	g_assert_false(line());

	/* Enabling the interrupt while empty raises it; reading IIR settles it; again. */
	for (unsigned i = 0; i < 2; i++) {
		out(IER, 0x02);
		g_assert_true(line());
		g_assert_cmphex(in(IIR), ==, 0x02);
		g_assert_false(line());
		g_assert_cmphex(in(IIR), ==, 0x01);
		out(IER, 0);
	}
	out(IER, 0x02);
	in(IIR);
	out(DATA, 'x');
	g_assert_true(line());
	g_assert_cmphex(in(IIR), ==, 0x02);
}

/* A chardev that takes no more shows as a busy transmitter. */
static void test_transmit_blocked(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	out(IIR, 0x01);
	out(IER, 0x02);
	in(IIR);
	fixture->chardev.room = 2;
	for (unsigned i = 0; i < 20; i++)
		out(DATA, (uint8_t)('a' + i));
	g_assert_cmpstr(fixture->chardev.written->str, ==, "ab");
	g_assert_cmphex(in(LSR)&0x60, ==, 0);
	g_assert_false(line());

	fixture->chardev.room = 3;
	fixture->chardev.front_end->writable(fixture->chardev.opaque);
	g_assert_cmpstr(fixture->chardev.written->str, ==, "abcde");
	g_assert_cmphex(in(LSR)&0x60, ==, 0);
	fixture->chardev.room = 100;
	fixture->chardev.front_end->writable(fixture->chardev.opaque);
	/* 2 and then 16 in the FIFO; the rest was written into a full one. */
	g_assert_cmpstr(fixture->chardev.written->str, ==, "abcdefghijklmnopqr");
	g_assert_cmphex(in(LSR)&0x60, ==, 0x60);
	g_assert_true(line());

	fixture->chardev.room = 0;
	out(DATA, 'z');
	g_assert_cmphex(in(LSR)&0x60, ==, 0);
	out(IIR, 0x05); /* clear the transmit FIFO */
	g_assert_cmphex(in(LSR)&0x60, ==, 0x60);
}

static void test_receive(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	/* Without FIFOs one byte at a time, and the chardev is told when there is room. */
	g_assert_cmpuint(fake_chardev_send(&fixture->chardev, "ab"), ==, 1);
	g_assert_false(line());
	out(IER, 0x01);
	g_assert_true(line());
	g_assert_cmphex(in(IIR), ==, 0x04);
	g_assert_cmpuint(fake_chardev_send(&fixture->chardev, "b"), ==, 0);
	fixture->chardev.accepted = 0;
	g_assert_cmphex(in(DATA), ==, 'a');
	g_assert_cmpuint(fixture->chardev.accepted, ==, 1);
	g_assert_false(line());
	g_assert_cmphex(in(LSR)&1, ==, 0);
	g_assert_cmphex(in(DATA), ==, 0);
	g_assert_cmpuint(fixture->chardev.accepted, ==, 1);

	/* With them 16; below the trigger level it is a time-out. */
	out(IIR, 0x81);
	g_assert_cmpuint(fake_chardev_send(&fixture->chardev, "1234567"), ==, 7);
	g_assert_cmphex(in(IIR), ==, 0xcc);
	g_assert_cmpuint(fake_chardev_send(&fixture->chardev, "89abcdefghij"), ==, 9);
	g_assert_cmphex(in(IIR), ==, 0xc4);
	for (const char *c = "123456789abcdefg"; *c; c++) {
		g_assert_cmphex(in(LSR)&1, ==, 1);
		g_assert_cmphex(in(DATA), ==, (uint8_t)*c);
	}
	g_assert_cmphex(in(IIR), ==, 0xc1);
}

static void test_line_status(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	out(IER, 0x05);
	fixture->chardev.front_end->event(fixture->chardev.opaque, CHARDEV_BREAK);
	g_assert_true(line());
	g_assert_cmphex(in(IIR), ==, 0x06);
	g_assert_cmphex(in(LSR), ==, 0x71);
	g_assert_cmphex(in(LSR), ==, 0x61);
	g_assert_cmphex(in(IIR), ==, 0x04);
	g_assert_cmphex(in(DATA), ==, 0);
	g_assert_false(line());

	/* Overrun: in loopback the guest can do that to itself. */
	out(MCR, 0x10);
	out(DATA, 1);
	out(DATA, 2);
	g_assert_cmphex(in(LSR)&0x02, ==, 0x02);
	g_assert_cmphex(in(DATA), ==, 2);

	/* Modem lines that change. */
	out(MCR, 0x00);
	in(MSR);
	out(IER, 0x08);
	out(MCR, 0x10);
	g_assert_true(line());
	g_assert_cmphex(in(IIR), ==, 0x00);
	g_assert_cmphex(in(MSR), ==, 0x0b);
	g_assert_cmphex(in(MSR), ==, 0x00);
	g_assert_false(line());
}

/* Any register, any value, any size: nothing but an answer. */
static void test_wide(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	out(SCR, 0x77);
	g_assert_cmphex(fake_inl(fixture->fake, LCR) & 0xff, ==, 0);
	g_assert_cmphex(fake_inw(fixture->fake, MSR) >> 8, ==, 0x77);
	fake_outl(fixture->fake, SCR, 0x12345678);
	g_assert_cmphex(in(SCR), ==, 0x78);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Chardev other;
	Device *fresh;
	char bytes[4] = { 0 };

	out(IIR, 0xc1);
	out(IER, 0x01);
	out(LCR, 0x83);
	out(DATA, 0x01);
	out(LCR, 0x03);
	out(MCR, 0x0b);
	out(SCR, 0x42);
	g_assert_cmpuint(fake_chardev_send(&fixture->chardev, "xyz"), ==, 3);
	fixture->chardev.room = 0;
	out(DATA, 'o');

	fake_chardev_init(&other);
	fake_machine_set_chardev(fixture->fake, "d", &other);
	fresh = fake_machine_add(fixture->fake, &serial_16550_type, "chardev=d,index=1");
	other.room = 0;
	fake_machine_check_state(fixture->serial, fresh);
	g_assert_true(fake_machine_line(fixture->fake, 3));
	g_assert_cmphex(fake_inb(fixture->fake, 0x2ff), ==, 0x42);
	for (unsigned i = 0; i < 3; i++)
		bytes[i] = (char)fake_inb(fixture->fake, 0x2f8);
	g_assert_cmpstr(bytes, ==, "xyz");
	other.room = 1;
	other.front_end->writable(other.opaque);
	g_assert_cmpstr(other.written->str, ==, "o");
	fake_machine_remove(fixture->fake, fresh);
	fake_chardev_clear(&other);
}

/* A saved FIFO that claims more than it holds must not be believed. */
static void test_bad_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GByteArray) stream = g_byte_array_new();
	unsigned n_refused = 0;

	state_save(serial_16550_type.state, fixture->serial, stream);
	for (guint i = 0; i < stream->len; i++) {
		g_autoptr(GError) error = NULL;
		uint8_t byte = stream->data[i];
		size_t used;

		stream->data[i] = 0xff;
		n_refused += !state_load(serial_16550_type.state, fixture->serial, stream->data,
					 stream->len, &used, &error);
		stream->data[i] = byte;
		for (unsigned port = COM1; port <= SCR; port++) {
			in(port);
			out(port, 0);
		}
	}
	g_assert_cmpuint(n_refused, >=, 4);
}

static void test_properties(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const struct {
		const char *options, *message;
	} bad[] = {
		{ "chardev=none", "'none'" },		{ "chardev=c,index=1", "in use" },
		{ "chardev=d,index=4", "beyond COM4" }, { "chardev=d,index=-2", "index" },
		{ "chardev=d,irq=16", "irq" },		{ "chardev=d,iobase=0x10000", "iobase" },
	};
	Chardev other;
	Device *serial;

	fake_chardev_init(&other);
	fake_machine_set_chardev(fixture->fake, "d", &other);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(fake_machine_try_add(fixture->fake, &serial_16550_type,
						   bad[i].options, &error));
		g_assert_nonnull(error);
		g_assert_nonnull(strstr(error->message, bad[i].message));
	}
	serial = fake_machine_add(fixture->fake, &serial_16550_type,
				  "chardev=d,index=7,iobase=0x1000,irq=10");
	g_assert_cmpint(serial_16550_com(serial), ==, -1);
	g_assert_cmpint(serial_16550_com(fixture->serial), ==, 0);
	fake_outb(fixture->fake, 0x1000, '!');
	g_assert_cmpstr(other.written->str, ==, "!");
	fake_machine_remove(fixture->fake, serial);
	fake_chardev_clear(&other);
}

int main(int argc, char **argv)
{
#define ADD(name, function) \
	g_test_add("/serial-16550/" name, Fixture, NULL, setup, function, teardown)
	g_test_init(&argc, &argv, NULL);
	ADD("probe", test_probe);
	ADD("transmit", test_transmit);
	ADD("transmit-blocked", test_transmit_blocked);
	ADD("receive", test_receive);
	ADD("line-status", test_line_status);
	ADD("wide", test_wide);
	ADD("state", test_state);
	ADD("bad-state", test_bad_state);
	ADD("properties", test_properties);
	return g_test_run();
}
