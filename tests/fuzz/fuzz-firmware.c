/*
 * fuzz-firmware.c: any accesses to fw_cfg, its transfers to RAM, and flash memory
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <linux/qemu_fw_cfg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qapi-types.h"
#include "tests/device/fake_machine.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/base/json.h"
#include "vmm/block/block.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/fw_cfg.h"

#define RAM_SIZE   0x4000u
#define FLASH_SIZE 0x3000u
#define FLASH_BASE (UINT64_C(0x100000000) - FLASH_SIZE)
#define PORT	   0x510u
#define DMA_HIGH   0x514u
#define DMA_LOW    0x518u

enum { STEP_SIZE = 8 };

typedef struct Guest {
	FakeMachine *fake;
	Device *fw_cfg, *flash;
} Guest;

/* What flash takes for commands; other bytes are data. */
static const uint8_t commands[] = { 0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xd0, 0xe8, 0xff };

/* A transfer as the guest describes it, somewhere in RAM or just behind. */
static void transfer(const Guest *guest, const uint8_t *step)
{
	uint64_t at = (uint64_t)step[1] << 6, to = (uint64_t)step[2] << 6 | (step[3] & 0x3f);
	const struct fw_cfg_dma_access access = {
		.control = GUINT32_TO_BE(step[4] | (uint32_t)step[5] << 16),
		.length = GUINT32_TO_BE((uint32_t)step[6] << (step[3] >> 4)),
		.address = GUINT64_TO_BE(step[7] & 0x80 ? UINT64_MAX - to : to),
	};

	if (at + sizeof(access) <= RAM_SIZE)
		memcpy(guest->fake->ram + at, &access, sizeof(access));
	fake_outl(guest->fake, DMA_HIGH, step[7] & 0x40 ? 0xffffffff : 0);
	fake_outl(guest->fake, DMA_LOW, GUINT32_SWAP_LE_BE((uint32_t)at));
}

static void run_step(const Guest *guest, const uint8_t *step)
{
	unsigned size = 1u << (step[0] >> 6);
	uint16_t port = (uint16_t)(PORT + step[1] % 12);
	uint64_t address = FLASH_BASE - 4 + (step[1] | (uint64_t)step[2] << 8) % (FLASH_SIZE + 4);
	uint64_t value;

	memcpy(&value, step, sizeof(value));
	switch (step[0] & 0xf) {
	case 0 ... 1:
		address_space_read(guest->fake->services.pio, port, MIN(size, 4));
		break;
	case 2 ... 3:
		address_space_write(guest->fake->services.pio, port, value >> 32, MIN(size, 4));
		break;
	case 4 ... 6:
		transfer(guest, step);
		break;
	case 7 ... 8:
		fake_read(guest->fake, address, size);
		break;
	case 9 ... 10:
		fake_write(guest->fake, address, value >> 24, size);
		break;
	case 11 ... 14:
		fake_write(guest->fake, address, commands[step[3] % G_N_ELEMENTS(commands)], 1);
		break;
	default:
		guest->flash->type->reset(guest->flash);
		guest->fw_cfg->type->reset(guest->fw_cfg);
		break;
	}
}

/* The image is the same file all the time: what earlier runs wrote there does not matter. */
static BlockNodes *new_nodes(FakeMachine *fake)
{
	static char *path;
	BlockNodes *nodes = block_nodes_new();
	g_autoptr(JsonObject) options = json_object_new_object();
	g_autoptr(QapiBlockdevOptions) parsed = NULL;

	if (!path) {
		int fd = memfd_create("flash", MFD_CLOEXEC);

		if (fd < 0 || ftruncate(fd, FLASH_SIZE) < 0)
			g_error("no image");
		path = g_strdup_printf("/proc/self/fd/%d", fd);
	}
	json_object_object_add(options, "driver", json_object_new_string("file"));
	json_object_object_add(options, "node-name", json_object_new_string("vars"));
	json_object_object_add(options, "filename", json_object_new_string(path));
	parsed = qapi_parse_BlockdevOptions(options, QAPI_PARSE_STRICT, NULL);
	if (!parsed || !block_nodes_add(nodes, parsed, NULL))
		g_error("no node");
	fake_machine_set_block_node(fake, "vars", block_nodes_find(nodes, "vars"));
	return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int file = -1;
	Guest guest = { .fake = fake_machine_new(RAM_SIZE) };
	BlockNodes *nodes = new_nodes(guest.fake);

	if (file < 0)
		file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	guest.fw_cfg = fake_machine_add(guest.fake, &fw_cfg_type, NULL);
	fw_cfg_set_item_fd(guest.fw_cfg, FW_CFG_KERNEL_DATA, file, 0, 70000);
	fw_cfg_set_file(guest.fw_cfg, "opt/a", "a file", 6, NULL);
	fw_cfg_set_file(guest.fw_cfg, "opt/none", "", 0, NULL);
	guest.flash = fake_machine_add(guest.fake, &flash_type, "drive=vars");
	for (; size >= STEP_SIZE; data += STEP_SIZE, size -= STEP_SIZE)
		run_step(&guest, data);
	fake_machine_remove(guest.fake, guest.flash);
	fake_machine_remove(guest.fake, guest.fw_cfg);
	fake_machine_free(guest.fake);
	block_nodes_free(nodes);
	return 0;
}
