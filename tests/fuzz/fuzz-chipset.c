/*
 * fuzz-chipset.c: any accesses to the ports of the board's devices, and input meanwhile
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_chardev.h"
#include "tests/device/fake_machine.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/chipset/chipset.h"

/* Where something answers; the last byte of a step adds to it. */
static const uint16_t ports[] = { 0x60, 0x64, 0x70, 0x92, 0x3f8, 0x501, 0x505, 0x600, 0x620, 0xe9 };

enum { STEP_SIZE = 6 };

static void run_step(FakeMachine *fake, Chardev *chardev, const uint8_t *step)
{
	uint16_t port = (uint16_t)(ports[step[1] % G_N_ELEMENTS(ports)] + step[2] % 16);
	unsigned size = 1u << (step[0] & 1) << (step[0] >> 1 & 1);
	uint32_t value = step[3] | step[4] << 8 | step[5] << 16 | (uint32_t)step[3] << 24;

	switch (step[0] >> 4) {
	case 0:
		chardev->room = step[3];
		fake_chardev_send(chardev, "some input, more than a FIFO takes");
		break;
	case 1:
		chardev->front_end->writable(chardev->opaque);
		break;
	case 2:
		chardev->front_end->event(chardev->opaque, CHARDEV_BREAK);
		break;
	case 3:
		fake_machine_iterate(fake);
		break;
	case 4 ... 8:
		address_space_read(fake->services.pio, port, size);
		break;
	default:
		address_space_write(fake->services.pio, port, value, size);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const DeviceType *const types[] = {
		&acpi_pm_type, &rtc_cmos_type,	 &i8042_type,
		&port92_type,  &debug_exit_type, &pvpanic_type,
	};
	FakeMachine *fake = fake_machine_new(0);
	Device *devices[G_N_ELEMENTS(types)], *serial, *console;
	Chardev line, debug;

	fake_chardev_init(&line);
	fake_chardev_init(&debug);
	fake_machine_set_chardev(fake, "line", &line);
	fake_machine_set_chardev(fake, "debug", &debug);
	for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
		devices[i] = fake_machine_add(fake, types[i], NULL);
	serial = fake_machine_add(fake, &serial_16550_type, "chardev=line");
	console = fake_machine_add(fake, &debug_console_type, "chardev=debug");

	for (; size >= STEP_SIZE; data += STEP_SIZE, size -= STEP_SIZE)
		run_step(fake, &line, data);

	for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
		fake_machine_remove(fake, devices[i]);
	fake_machine_remove(fake, serial);
	fake_machine_remove(fake, console);
	fake_chardev_clear(&line);
	fake_chardev_clear(&debug);
	fake_machine_free(fake);
	return 0;
}
