/*
 * pci_device.c: configuration space, BARs and capabilities of a PCI function
 *
 * Behind a port, BARs are decoded wherever the guest puts them, also outside the port's windows:
 * no guest that follows the rules can tell.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/pci/pci.h"
#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/pci/pci_bus.h"
#include "vmm/pci/pci_private.h"
#include "vmm/pci/pci_registers.h"

#include <string.h>

/* Bits of the command register that may be set; of them only the first three do anything here. */
#define COMMAND_WRITABLE                                                                 \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | \
	 PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)

const Property pci_device_properties[] = {
	{ .name = "addr",
	  .kind = PROPERTY_PCI_ADDRESS,
	  .offset = offsetof(PciDevice, address),
	  .description = "Slot and optional function number, example: 06.0 or 06" },
	{ .name = "multifunction",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(PciDevice, multifunction),
	  .description = "whether other functions may share the slot" },
	PROPERTY_END,
};

const PciDeviceType *pci_device_type(const PciDevice *pci)
{
	return (const PciDeviceType *)pci->device.type;
}

static uint64_t read_little_endian(const uint8_t *at, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)at[i] << (i * 8);
	return value;
}

static void write_little_endian(uint8_t *at, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> (i * 8));
}

static void init_header(PciDevice *pci)
{
	const PciDeviceType *type = pci_device_type(pci);
	uint8_t *config = pci->config, *mask = pci->write_mask;

	pci_set_word(config + PCI_VENDOR_ID, type->vendor_id);
	pci_set_word(config + PCI_DEVICE_ID, type->device_id);
	pci_set_long(config + PCI_CLASS_REVISION, type->class_code << 8 | type->revision);
	config[PCI_HEADER_TYPE] = type->is_bridge ? PCI_HEADER_TYPE_BRIDGE : PCI_HEADER_TYPE_NORMAL;
	if (pci->multifunction)
		config[PCI_HEADER_TYPE] |= PCI_HEADER_MULTIFUNCTION;
	pci_set_word(mask + PCI_COMMAND, COMMAND_WRITABLE);
	mask[PCI_CACHE_LINE_SIZE] = 0xff;
	mask[PCI_INTERRUPT_LINE] = 0xff;
	if (type->is_bridge) {
		/* PCIe §7.5.1.3. No I/O window: its registers are read-only zero. */
		mask[PCI_PRIMARY_BUS] = 0xff;
		mask[PCI_SECONDARY_BUS] = 0xff;
		mask[PCI_SUBORDINATE_BUS] = 0xff;
		pci_set_word(mask + PCI_MEMORY_BASE, 0xfff0);
		pci_set_word(mask + PCI_MEMORY_LIMIT, 0xfff0);
		pci_set_word(mask + PCI_PREF_MEMORY_BASE, 0xfff0);
		pci_set_word(mask + PCI_PREF_MEMORY_LIMIT, 0xfff0);
		pci_set_word(config + PCI_PREF_MEMORY_BASE, PCI_PREF_RANGE_TYPE_64);
		pci_set_word(config + PCI_PREF_MEMORY_LIMIT, PCI_PREF_RANGE_TYPE_64);
		memset(mask + PCI_PREF_BASE_UPPER32, 0xff, 8);
		/* Nor is there a secondary bus reset: devices are reset on the main thread. */
		pci_set_word(mask + PCI_BRIDGE_CONTROL,
			     PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR);
	} else {
		pci_set_word(config + PCI_SUBSYSTEM_VENDOR_ID, type->subsystem_vendor_id);
		pci_set_word(config + PCI_SUBSYSTEM_ID, type->subsystem_id);
	}
}

/* PCIe §7.5.3: an endpoint on a link as slim as its port's. */
static void add_endpoint_capability(PciDevice *pci)
{
	unsigned at = pci_device_add_capability(pci, PCI_CAP_ID_EXP, PCI_EXPRESS_CAPABILITY_SIZE);
	uint8_t *config = pci->config + at, *mask = pci->write_mask + at;

	pci->express_capability = at;
	pci_set_word(config + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	pci_set_long(config + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER);
	pci_set_word(mask + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE |
						    PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |
						    PCI_EXP_DEVCTL_READRQ);
	pci_set_long(config + PCI_EXP_LNKCAP, PCI_LINK_SPEED_AND_WIDTH);
	pci_set_word(config + PCI_EXP_LNKSTA, PCI_LINK_SPEED_AND_WIDTH);
	pci_set_word(mask + PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC);
	pci_set_word(config + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_2_5GT);
}

void pci_device_init(PciDevice *pci)
{
	memset(pci->config, 0, sizeof(pci->config));
	memset(pci->write_mask, 0, sizeof(pci->write_mask));
	memset(pci->write_1_clear_mask, 0, sizeof(pci->write_1_clear_mask));
	memset(pci->bars, 0, sizeof(pci->bars));
	pci->rom_bar = (PciBar){ 0 };
	pci->disconnected = false;
	pci->next_capability = pci_device_type(pci)->first_capability;
	if (pci->next_capability == 0)
		pci->next_capability = PCI_STD_HEADER_SIZEOF;
	pci->last_capability = 0;
	pci->last_extended_capability = 0;
	pci->express_capability = 0;
	init_header(pci);
	/* On the root bus it is a conventional function, as with QEMU. */
	if (pci_device_type(pci)->is_express && pci->bus && pci->bus->bridge)
		add_endpoint_capability(pci);
}

static AddressSpace *bar_space(const PciDevice *pci, const PciBar *bar)
{
	return bar->is_io ? pci->device.services->pio : pci->device.services->mmio;
}

/* Where the guest wants @bar, 0 for nowhere. */
static uint64_t bar_target(const PciDevice *pci, const PciBar *bar)
{
	const uint8_t *at = pci->config + PCI_BASE_ADDRESS_0 + (bar - pci->bars) * 4;
	uint16_t enable = bar->is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	if (pci->disconnected || !(pci_get_word(pci->config + PCI_COMMAND) & enable))
		return 0;
	return read_little_endian(at, bar->is_64bit ? 8 : 4) & ~(bar->size - 1);
}

/* The same for the expansion ROM, which has a bit of its own to be enabled by. */
static uint64_t rom_target(const PciDevice *pci)
{
	uint32_t address = pci_get_long(pci->config + PCI_ROM_ADDRESS);

	if (pci->disconnected || !(address & PCI_ROM_ADDRESS_ENABLE) ||
	    !(pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return 0;
	return address & ~(pci->rom_bar.size - 1);
}

static void update_bar(const PciDevice *pci, const PciBar *bar, uint64_t target)
{
	if (bar->region->mapped && bar->region->base != target)
		address_space_unmap(bar_space(pci, bar), bar->region);
	/* An address that the space has not, as while it is being sized, maps nothing. */
	if (target && !bar->region->mapped)
		address_space_map(bar_space(pci, bar), bar->region, target);
}

/* Make the mappings follow the registers; lock held. */
static void update_mappings(PciDevice *pci)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (pci->bars[i].region)
			update_bar(pci, &pci->bars[i], bar_target(pci, &pci->bars[i]));
	}
	if (pci->rom_bar.region)
		update_bar(pci, &pci->rom_bar, rom_target(pci));
}

void pci_device_disconnect(PciDevice *pci)
{
	/* A vCPU that found the device before may yet write to it: that must not map a BAR again. */
	g_mutex_lock(&pci->device.lock);
	pci->disconnected = true;
	update_mappings(pci);
	g_mutex_unlock(&pci->device.lock);
	rcu_synchronize();
}

void pci_device_finish(PciDevice *pci)
{
	/* Done already, unless realize failed or the device never was on a bus. */
	if (!pci->disconnected)
		pci_device_disconnect(pci);
	if (pci->msix)
		pci_msix_free(pci);
	g_clear_pointer(&pci->saved_config, g_free);
}

void pci_device_reset(PciDevice *pci)
{
	g_mutex_lock(&pci->device.lock);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		pci->config[i] &= (uint8_t) ~(pci->write_mask[i] | pci->write_1_clear_mask[i]);
	update_mappings(pci);
	if (pci->msix)
		pci_msix_reset(pci);
	g_mutex_unlock(&pci->device.lock);
}

void pci_device_add_bar(PciDevice *pci, unsigned index, IoRegion *region, bool is_io, bool is_64bit,
			bool prefetchable)
{
	unsigned limit = pci_device_type(pci)->is_bridge ? 2 : PCI_BARS;
	unsigned width = is_64bit ? 8 : 4;
	unsigned at = PCI_BASE_ADDRESS_0 + index * 4;

	g_return_if_fail(index + width / 4 <= limit && !pci->bars[index].region);
	g_return_if_fail(region->size >= (is_io ? 4 : 16) &&
			 (region->size & (region->size - 1)) == 0);
	pci->bars[index] = (PciBar){
		.region = region,
		.is_io = is_io,
		.is_64bit = is_64bit,
		.prefetchable = prefetchable,
		.size = region->size,
	};
	write_little_endian(pci->write_mask + at, ~(region->size - 1), width);
	if (is_io)
		pci->config[at] = PCI_BASE_ADDRESS_SPACE_IO;
	else
		pci->config[at] = (is_64bit ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
				  (prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
}

void pci_device_add_rom_bar(PciDevice *pci, IoRegion *region)
{
	g_return_if_fail(!pci_device_type(pci)->is_bridge && !pci->rom_bar.region);
	g_return_if_fail(region->size >= 2048 && (region->size & (region->size - 1)) == 0);
	pci->rom_bar = (PciBar){ .region = region, .size = region->size };
	pci_set_long(pci->write_mask + PCI_ROM_ADDRESS,
		     ~(uint32_t)(region->size - 1) | PCI_ROM_ADDRESS_ENABLE);
}

unsigned pci_device_add_capability(PciDevice *pci, uint8_t id, unsigned size)
{
	unsigned at = pci->next_capability;

	g_return_val_if_fail(at + size <= PCI_CFG_SPACE_SIZE, 0);
	pci->config[at + PCI_CAP_LIST_ID] = id;
	if (pci->last_capability)
		pci->config[pci->last_capability + PCI_CAP_LIST_NEXT] = (uint8_t)at;
	else
		pci->config[PCI_CAPABILITY_LIST] = (uint8_t)at;
	pci->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	pci->last_capability = at;
	pci->next_capability = (at + size + 3) & ~3u;
	return at;
}

unsigned pci_device_add_extended_capability(PciDevice *pci, uint16_t id, uint8_t version,
					    unsigned size)
{
	static const unsigned header_size = 4;
	unsigned last = pci->last_extended_capability;
	unsigned at = last ? pci->next_extended_capability : PCI_CFG_SPACE_SIZE;

	g_return_val_if_fail(size >= header_size && at + size <= PCI_CONFIG_SIZE, 0);
	pci_set_long(pci->config + at, id | (uint32_t)version << 16);
	/* The first one must be at 0x100; the others hang off their predecessor (PCIe §7.6.3). */
	if (last)
		pci_set_long(pci->config + last,
			     pci_get_long(pci->config + last) | (uint32_t)at << 20);
	pci->last_extended_capability = at;
	pci->next_extended_capability = (at + size + 3) & ~3u;
	return at;
}

bool pci_device_is_bus_master(const PciDevice *pci)
{
	return __atomic_load_n(&pci->config[PCI_COMMAND], __ATOMIC_RELAXED) & PCI_COMMAND_MASTER;
}

uint32_t pci_device_config_read(PciDevice *pci, unsigned offset, unsigned size)
{
	const PciDeviceType *type = pci_device_type(pci);
	uint32_t value;

	g_mutex_lock(&pci->device.lock);
	if (type->config_reading)
		type->config_reading(pci, offset, size);
	value = (uint32_t)read_little_endian(pci->config + offset, size);
	g_mutex_unlock(&pci->device.lock);
	return value;
}

static bool ranges_overlap(unsigned a, unsigned a_size, unsigned b, unsigned b_size)
{
	return a < b + b_size && b < a + a_size;
}

void pci_device_config_write(PciDevice *pci, unsigned offset, uint32_t value, unsigned size)
{
	const PciDeviceType *type = pci_device_type(pci);

	g_mutex_lock(&pci->device.lock);
	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> (i * 8));
		uint8_t mask = pci->write_mask[offset + i];
		uint8_t *config = &pci->config[offset + i];
		uint8_t written = (uint8_t)((*config & ~mask) | (byte & mask));

		written &= (uint8_t) ~(byte & pci->write_1_clear_mask[offset + i]);
		__atomic_store_n(config, written, __ATOMIC_RELAXED);
	}
	if (ranges_overlap(offset, size, PCI_COMMAND, 2) ||
	    ranges_overlap(offset, size, PCI_BASE_ADDRESS_0, PCI_BARS * 4) ||
	    ranges_overlap(offset, size, PCI_ROM_ADDRESS, 4))
		update_mappings(pci);
	if (pci->msix)
		pci_msix_config_written(pci, offset, size);
	if (type->config_written)
		type->config_written(pci, offset, size);
	g_mutex_unlock(&pci->device.lock);
}

static void state_before_save(void *object)
{
	PciDevice *pci = object;

	g_free(pci->saved_config);
	pci->saved_config = g_memdup2(pci->config, PCI_CONFIG_SIZE);
}

static void state_before_load(void *object)
{
	PciDevice *pci = object;

	if (!pci->saved_config)
		pci->saved_config = g_malloc0(PCI_CONFIG_SIZE);
}

/* Whether the device itself changes the byte at @offset. */
static bool is_volatile(const PciDevice *pci, unsigned offset)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(pci->volatile_registers); i++) {
		if (pci->volatile_registers[i] && (offset & ~1u) == pci->volatile_registers[i])
			return true;
	}
	return false;
}

/* Take over what a guest can write; the rest has to be what this device has. */
static bool state_after_load(void *object, GError **error)
{
	PciDevice *pci = object;
	bool ok = true;

	g_mutex_lock(&pci->device.lock);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE && ok; i++) {
		uint8_t writable = pci->write_mask[i] | pci->write_1_clear_mask[i];
		uint8_t difference = pci->config[i] ^ pci->saved_config[i];

		if ((difference & ~writable) && !is_volatile(pci, i))
			ok = error_fail(error,
					"PCI register 0x%x of %s is 0x%02x, saved was 0x%02x", i,
					pci->device.path, pci->config[i], pci->saved_config[i]);
		pci->config[i] ^= difference & writable;
	}
	if (ok) {
		update_mappings(pci);
		if (pci->msix)
			pci_msix_loaded(pci);
	}
	g_clear_pointer(&pci->saved_config, g_free);
	g_mutex_unlock(&pci->device.lock);
	return ok;
}

static const StateField state_fields[] = {
	{ .name = "config",
	  .kind = STATE_BYTES,
	  .offset = offsetof(PciDevice, saved_config),
	  .element_size = PCI_CONFIG_SIZE,
	  .is_pointer = true },
	{ .name = "msix",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(PciDevice, msix),
	  .is_pointer = true, /* to one or none, so that its size does not matter */
	  .sub_table = &pci_msix_state },
	STATE_END,
};

const StateTable pci_device_state = {
	.name = "pci",
	.version = 1,
	.minimum_version = 1,
	.fields = state_fields,
	.before_save = state_before_save,
	.before_load = state_before_load,
	.after_load = state_after_load,
};
