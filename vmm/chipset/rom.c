/*
 * rom.c: firmware in plain ROM (-bios)
 *
 * It ends where the first 4 GiB end, so that the reset vector is in it. Its last 128 KiB are seen
 * below 1 MiB, too, where a BIOS runs: a reset puts a copy into the RAM there, which the BIOS may
 * then write (the chipset's PAM registers are kept but protect nothing).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/rcu.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"
#include "vmm/memory/guest_memory.h"

#define ROM_END	    UINT64_C(0x100000000)
#define ROM_UNIT    4096u
#define SHADOW_END  UINT64_C(0x100000)
#define SHADOW_SIZE UINT64_C(0x20000)

typedef struct Rom {
	Device device;
	IoRegion region;
	char *path;
	uint8_t *bytes;
	uint64_t size;
} Rom;

static bool rom_map(Rom *rom, int fd, GError **error)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_fail_errno(error, errno, "%s", rom->path);
	if (!S_ISREG(status.st_mode))
		return error_fail(error, "%s is not a regular file", rom->path);
	rom->size = (uint64_t)status.st_size;
	if (rom->size == 0 || rom->size % ROM_UNIT != 0 || rom->size > FLASH_MAXIMUM_SIZE)
		return error_fail(
			error, "%s has %" PRIu64 " bytes: ROM has a multiple of %u, at most %u MiB",
			rom->path, rom->size, ROM_UNIT, FLASH_MAXIMUM_SIZE >> 20);
	/* Pages of the host's cache, the same for all guests. */
	rom->bytes = mmap(NULL, rom->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (rom->bytes == MAP_FAILED)
		return error_fail_errno(error, errno, "cannot map %s", rom->path);
	return true;
}

static void rom_reset(Device *device)
{
	const Rom *rom = (Rom *)device;
	uint64_t size = MIN(rom->size, SHADOW_SIZE);

	guest_memory_write(device->services->memory, SHADOW_END - size,
			   rom->bytes + rom->size - size, size);
}

static bool rom_realize(Device *device, GError **error)
{
	Rom *rom = (Rom *)device;
	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	int fd = open(rom->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool mapped;

	if (fd < 0)
		return error_fail_errno(error, errno, "cannot open %s", rom->path);
	mapped = rom_map(rom, fd, error);
	fd_close(&fd);
	if (!mapped)
		return false;
	rom->region = (IoRegion){ .name = "firmware", .size = rom->size, .rom = rom->bytes };
	address_space_map(device->services->mmio, &rom->region, ROM_END - rom->size);
	rom_reset(device);
	return true;
}

static void rom_unrealize(Device *device)
{
	Rom *rom = (Rom *)device;

	address_space_unmap(device->services->mmio, &rom->region);
	rcu_synchronize();
	munmap(rom->bytes, rom->size);
}

static const Property rom_properties[] = {
	{
		.name = "file",
		.kind = PROPERTY_STRING,
		.offset = offsetof(Rom, path),
		.required = true,
		.description = "its content",
	},
	PROPERTY_END,
};

const DeviceType rom_type = {
	.name = "firmware-rom",
	.description = "firmware in ROM",
	.category = "Storage",
	.instance_size = sizeof(Rom),
	.properties = { rom_properties },
	.realize = rom_realize,
	.unrealize = rom_unrealize,
	.reset = rom_reset,
};
