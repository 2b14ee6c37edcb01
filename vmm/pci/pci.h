/*
 * pci.h: PCI functions and buses
 *
 * A PciDevice has its 4 KiB of configuration space with masks that say which bits the guest may
 * write, up to six BARs, capabilities, and MSI-X. The bus routes configuration cycles; the BARs
 * follow what the guest programs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/device/device.h"
#include "vmm/memory/address_space.h"

#define PCI_CONFIG_SIZE 4096u
#define PCI_BARS 6

/* What DeviceType.bus_kind of a PCI type is. */
#define PCI_BUS_KIND "PCI"

typedef struct PciBus PciBus;
typedef struct PciDevice PciDevice;
typedef struct PciMsix PciMsix;

typedef struct PciDeviceType {
	DeviceType device;
	uint16_t vendor_id, device_id;
	uint16_t subsystem_vendor_id, subsystem_id;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	bool is_bridge;	 /* type 1 header */
	bool is_express; /* gets a PCI Express capability when not on the root bus */
	uint8_t first_capability; /* where capabilities begin; 0: right behind the header */
	/*
	 * After the default handling of a configuration write of @size bytes at @offset; may be
	 * NULL. vCPU thread, device lock held.
	 */
	void (*config_written)(PciDevice *pci, unsigned offset, unsigned size);
	/* Before a read: refresh bytes that are not plain storage; may be NULL. Lock held. */
	void (*config_reading)(PciDevice *pci, unsigned offset, unsigned size);
} PciDeviceType;

typedef struct PciBar {
	IoRegion *region; /* NULL: not implemented */
	bool is_io, is_64bit, prefetchable;
	uint64_t size;
} PciBar;

struct PciDevice {
	Device device;
	PciBus *bus;
	int32_t address; /* device << 3 | function; property "addr" */
	bool multifunction;
	bool disconnected; /* under the lock: unplugged, its BARs stay unmapped */
	PciBus *secondary_bus; /* of a bridge, set in its realize; NULL: no bridge */
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t write_mask[PCI_CONFIG_SIZE];	   /* bits that the guest may write */
	uint8_t write_1_clear_mask[PCI_CONFIG_SIZE]; /* bits that writing 1 clears */
	PciBar bars[PCI_BARS], rom_bar;
	unsigned next_capability;  /* where the next one goes, below 0x100 */
	unsigned last_capability, last_extended_capability, next_extended_capability;
	PciMsix *msix; /* NULL: none */
	unsigned express_capability; /* its offset; 0: none */
	/* 16-bit registers that change by themselves, apart from what a guest may write; 0: none. */
	uint16_t volatile_registers[2];
	uint8_t *saved_config; /* while saving and loading */
};

/* "addr" and "multifunction", for DeviceType.properties of every PCI type. */
extern const Property pci_device_properties[];
/* Configuration space and MSI-X state: STATE_PART(X, pci, &pci_device_state) of every PCI type X. */
extern const StateTable pci_device_state;

/* The type of @pci, as the table it is. */
const PciDeviceType *pci_device_type(const PciDevice *pci);

/*
 * First thing in a PCI type's realize: fills in the header from the type, and the capability of a
 * PCI Express endpoint where it is one. And the last in its unrealize (or in a realize that fails
 * after it): frees MSI-X. When unrealize is called the BARs are unmapped already, and no vCPU is in
 * a callback any more. Main thread.
 */
void pci_device_init(PciDevice *pci);
void pci_device_finish(PciDevice *pci);

/*
 * One access to configuration space: @size is 1, 2 or 4, @offset a multiple of it and below
 * PCI_CONFIG_SIZE. Any thread; takes the device's lock.
 */
uint32_t pci_device_config_read(PciDevice *pci, unsigned offset, unsigned size);
void pci_device_config_write(PciDevice *pci, unsigned offset, uint32_t value, unsigned size);

/* Little-endian numbers in configuration space (or its masks). */
static inline uint16_t pci_get_word(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t pci_get_long(const uint8_t *at)
{
	return pci_get_word(at) | (uint32_t)pci_get_word(at + 2) << 16;
}

static inline void pci_set_word(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static inline void pci_set_long(uint8_t *at, uint32_t value)
{
	pci_set_word(at, (uint16_t)value);
	pci_set_word(at + 2, (uint16_t)(value >> 16));
}

/* Reset configuration space writable bits, BAR mappings and MSI-X; call from the type's reset. */
void pci_device_reset(PciDevice *pci);

/*
 * Add a BAR (during realize). @region->size must be a power of two, at least 16 (I/O: 4). A
 * 64-bit BAR takes two slots.
 */
void pci_device_add_bar(PciDevice *pci, unsigned index, IoRegion *region, bool is_io,
			bool is_64bit, bool prefetchable);

/* Likewise, for the expansion ROM: at least 2048 bytes. */
void pci_device_add_rom_bar(PciDevice *pci, IoRegion *region);

/*
 * Add a capability of @size bytes, header included, zeroed and read-only; returns its offset in
 * configuration space. During realize.
 */
unsigned pci_device_add_capability(PciDevice *pci, uint8_t id, unsigned size);
unsigned pci_device_add_extended_capability(PciDevice *pci, uint16_t id, uint8_t version,
					    unsigned size);

/* Whether the guest has allowed it to act as bus master. Any thread. */
bool pci_device_is_bus_master(const PciDevice *pci);

/*
 * Give it MSI-X (PCIe §6.1.4.2) with @n_vectors, table and pending bits in a BAR of their own at
 * @bar_index. During realize. False and @error on no eventfds.
 */
bool pci_msix_init(PciDevice *pci, unsigned n_vectors, unsigned bar_index, GError **error);

/*
 * Interrupt the guest through @vector, or pend it while masked; nothing if it is out of range or
 * MSI-X is off. Any thread; no lock, no allocation: one write to an eventfd.
 */
void pci_msix_notify(PciDevice *pci, unsigned vector);

/* Whether MSI-X is enabled by the guest. Any thread. */
bool pci_msix_is_enabled(const PciDevice *pci);

/* How many vectors it has; 0 without MSI-X. */
unsigned pci_msix_n_vectors(const PciDevice *pci);

/*
 * The eventfd whose signal raises @vector, or pends it while masked: for vhost. Borrowed; -1 if
 * @vector is out of range. Any thread.
 */
int pci_msix_eventfd(PciDevice *pci, unsigned vector);
