/*
 * pci_rom.c: the expansion ROM of a PCI function (PCI Local Bus 3.0 §6.2.5.2, §6.3)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/pci/pci_rom.h"

#define ROM_UNIT    4096u
#define ROM_MAXIMUM (16u << 20)

/* Read the file at @fd into memory as large as the BAR. */
static bool rom_load(PciRom *rom, int fd, GError **error)
{
	struct stat status;
	uint64_t size;

	if (fstat(fd, &status) < 0)
		return error_fail_errno(error, errno, "%s", rom->path);
	if (!S_ISREG(status.st_mode) || status.st_size < 2 || status.st_size > ROM_MAXIMUM)
		return error_fail(error, "%s is not a file of at most %u MiB", rom->path,
				  ROM_MAXIMUM >> 20);
	size = (uint64_t)status.st_size;
	rom->size = ROM_UNIT;
	while (rom->size < size)
		rom->size *= 2;
	rom->bytes =
		mmap(NULL, rom->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rom->bytes == MAP_FAILED) {
		rom->bytes = NULL;
		return error_fail_errno(error, errno, "no memory for %s", rom->path);
	}
	if (pread(fd, rom->bytes, size, 0) != (ssize_t)size)
		return error_fail(error, "%s cannot be read in one go", rom->path);
	if (rom->bytes[0] != 0x55 || rom->bytes[1] != 0xaa)
		return error_fail(error, "%s does not begin as an expansion ROM", rom->path);
	return true;
}

bool pci_rom_init(PciDevice *pci, PciRom *rom, GError **error)
{
	bool loaded;
	int fd;

	if (!rom->path)
		return true;
	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	fd = open(rom->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_fail_errno(error, errno, "cannot open %s", rom->path);
	loaded = rom_load(rom, fd, error);
	fd_close(&fd);
	if (!loaded) {
		pci_rom_finish(rom);
		return false;
	}
	rom->region = (IoRegion){ .name = "expansion-rom", .size = rom->size, .rom = rom->bytes };
	pci_device_add_rom_bar(pci, &rom->region);
	return true;
}

void pci_rom_finish(PciRom *rom)
{
	if (rom->bytes)
		munmap(rom->bytes, rom->size);
	rom->bytes = NULL;
}
