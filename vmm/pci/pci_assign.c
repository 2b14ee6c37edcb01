/*
 * pci_assign.c: gives PCI functions their addresses, as firmware would
 *
 * Everything is done by configuration cycles. Each port has a bus number and, whether it is
 * occupied or not, two memory windows of at least the sizes that Linux reserves for hotplug. What
 * finds no room stays where it is after reset, at 0 and not decoded; so do I/O BARs behind ports,
 * which forward no I/O.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/pci/pci_assign.h"
#include "vmm/base/error.h"
#include "vmm/pci/pci_registers.h"

/* PCIEXBAR of the hub at 00:00.0 and its enable bit. */
#define PCIEXBAR	0x60u
#define PCIEXBAR_ENABLE 0x1u

/* What every port has room for behind it, bytes. */
#define PORT_WINDOW_SIZE	     UINT64_C(0x200000)
#define PORT_PREFETCHABLE_SIZE	     UINT64_C(0x2000000)
#define PORT_PREFETCHABLE_SIZE_SMALL UINT64_C(0x200000) /* below 4 GiB */
#define WINDOW_GRANULARITY	     UINT64_C(0x100000)

/* A range that is handed out from its start on. */
typedef struct Arena {
	const char *name;
	uint64_t next, end; /* end is exclusive */
} Arena;

typedef struct Assignment {
	const PciBus *root;
	Arena memory32, memory64, io;
	unsigned last_bus;
	GError *error; /* the first thing that did not fit */
} Assignment;

/* Where a function's BARs come from. */
typedef struct BarArenas {
	Arena *memory32, *prefetchable, *io;
} BarArenas;

static bool arena_take(Arena *arena, uint64_t size, uint64_t alignment, uint64_t *base)
{
	uint64_t start = (arena->next + alignment - 1) & ~(alignment - 1);

	if (start < arena->next || start > arena->end || arena->end - start < size)
		return false;
	*base = start;
	arena->next = start + size;
	return true;
}

static void write_config(const Assignment *assignment, const PciDevice *pci, unsigned offset,
			 uint32_t value, unsigned size)
{
	pci_bus_config_write(assignment->root, pci_bus_number(pci->bus), (unsigned)pci->address,
			     offset, value, size);
}

/* Note that @size bytes for @what of @pci were not to be had. */
static void note_failure(Assignment *assignment, const Arena *arena, uint64_t size,
			 const char *what, const PciDevice *pci)
{
	if (!assignment->error)
		error_fail(&assignment->error,
			   "no room in the %s window for %s '%s' (0x%" G_GINT64_MODIFIER "x bytes)",
			   arena->name, what, pci->device.id ? pci->device.id : pci->device.path,
			   size);
}

/* Place the BARs of @pci and let it decode them. */
static void place_bars(Assignment *assignment, const PciDevice *pci, const BarArenas *arenas)
{
	uint16_t command = 0;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const PciBar *bar = &pci->bars[i];
		unsigned at = PCI_BASE_ADDRESS_0 + i * 4;
		Arena *arena = bar->is_io ? arenas->io : arenas->memory32;
		uint64_t base;

		if (bar->is_64bit && bar->prefetchable)
			arena = arenas->prefetchable;
		if (!bar->region || !arena)
			continue;
		if (!arena_take(arena, bar->size, bar->size, &base)) {
			note_failure(assignment, arena, bar->size, "a BAR of", pci);
			continue;
		}
		write_config(assignment, pci, at, (uint32_t)base, 4);
		if (bar->is_64bit)
			write_config(assignment, pci, at + 4, (uint32_t)(base >> 32), 4);
		command |= bar->is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	}
	if (pci->secondary_bus)
		command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	write_config(assignment, pci, PCI_COMMAND, command, 2);
}

/* Bytes that BARs of the functions of @bus need, all aligned to the largest. */
static uint64_t bars_size(const PciBus *bus, bool prefetchable)
{
	uint64_t sum = 0, largest = 1;

	for (unsigned address = 0; address < bus->n_addresses; address++) {
		const PciDevice *pci = pci_bus_device_at(bus, address);

		for (unsigned i = 0; pci && i < PCI_BARS; i++) {
			const PciBar *bar = &pci->bars[i];

			if (!bar->region || bar->is_io ||
			    (bar->is_64bit && bar->prefetchable) != prefetchable)
				continue;
			/* Each may be preceded by a gap smaller than itself. */
			sum += bar->size * 2;
			largest = MAX(largest, bar->size);
		}
	}
	return sum ? sum + largest : 0;
}

/* Round up to a power of two, so that what is plugged later can be as large as the window. */
static uint64_t round_up_to_power(uint64_t size)
{
	uint64_t power = WINDOW_GRANULARITY;

	while (power < size)
		power *= 2;
	return power;
}

/* An empty window where there is no room. */
static Arena take_window(Assignment *assignment, Arena *arena, uint64_t size, const PciDevice *port)
{
	uint64_t base;

	size = round_up_to_power(size);
	if (arena_take(arena, size, size, &base))
		return (Arena){ arena->name, base, base + size };
	note_failure(assignment, arena, size, "what is behind", port);
	return (Arena){ arena->name, WINDOW_GRANULARITY, WINDOW_GRANULARITY };
}

/* Program the windows of @port; one whose end is below its start is closed (PCIe §7.5.1.3.8). */
static void write_windows(const Assignment *assignment, const PciDevice *port, const Arena *memory,
			  const Arena *prefetchable)
{
	uint64_t memory_last = memory->end - 1, prefetchable_last = prefetchable->end - 1;

	write_config(assignment, port, PCI_MEMORY_BASE,
		     (uint32_t)((memory_last & 0xfff00000) | (memory->next >> 16 & 0xfff0)), 4);
	write_config(
		assignment, port, PCI_PREF_MEMORY_BASE,
		(uint32_t)((prefetchable_last & 0xfff00000) | (prefetchable->next >> 16 & 0xfff0)),
		4);
	write_config(assignment, port, PCI_PREF_BASE_UPPER32, (uint32_t)(prefetchable->next >> 32),
		     4);
	write_config(assignment, port, PCI_PREF_LIMIT_UPPER32, (uint32_t)(prefetchable_last >> 32),
		     4);
}

/* Number the bus behind @port, open its windows, and place what is behind it. */
static void place_behind_port(Assignment *assignment, const PciDevice *port)
{
	const PciBus *bus = port->secondary_bus;
	bool has_high = assignment->memory64.end > assignment->memory64.next;
	Arena *high = has_high ? &assignment->memory64 : &assignment->memory32;
	uint64_t reserve = has_high ? PORT_PREFETCHABLE_SIZE : PORT_PREFETCHABLE_SIZE_SMALL;
	uint32_t number = ++assignment->last_bus;
	Arena memory = take_window(assignment, &assignment->memory32,
				   MAX(bars_size(bus, false), PORT_WINDOW_SIZE), port);
	Arena prefetchable =
		take_window(assignment, high, MAX(bars_size(bus, true), reserve), port);
	BarArenas arenas = { &memory, &prefetchable, NULL };

	write_config(assignment, port, PCI_PRIMARY_BUS, number << 16 | number << 8, 4);
	write_windows(assignment, port, &memory, &prefetchable);
	for (unsigned address = 0; address < bus->n_addresses; address++) {
		const PciDevice *pci = pci_bus_device_at(bus, address);

		if (pci)
			place_bars(assignment, pci, &arenas);
	}
}

bool pci_assign_resources(PciBus *root, const PciWindows *windows, uint64_t ecam_base,
			  GError **error)
{
	Assignment assignment = {
		.root = root,
		.memory32 = { "32-bit memory", windows->memory32_base,
			      windows->memory32_base + windows->memory32_size },
		.memory64 = { "64-bit memory", windows->memory64_base,
			      windows->memory64_base + windows->memory64_size },
		.io = { "I/O", windows->io_base, (uint64_t)windows->io_base + windows->io_size },
	};
	BarArenas arenas = { &assignment.memory32, &assignment.memory32, &assignment.io };

	if (windows->memory64_size > 0)
		arenas.prefetchable = &assignment.memory64;
	pci_bus_config_write(root, 0, 0, PCIEXBAR + 4, (uint32_t)(ecam_base >> 32), 4);
	pci_bus_config_write(root, 0, 0, PCIEXBAR, (uint32_t)ecam_base | PCIEXBAR_ENABLE, 4);
	for (unsigned address = 0; address < root->n_addresses; address++) {
		const PciDevice *pci = pci_bus_device_at(root, address);

		if (pci)
			place_bars(&assignment, pci, &arenas);
		if (pci && pci->secondary_bus)
			place_behind_port(&assignment, pci);
	}
	if (!assignment.error)
		return true;
	g_propagate_error(error, assignment.error);
	return false;
}
