/*
 * host_bridge.c: the q35 host bridge and its memory controller hub
 *
 * Registers: Intel 3 Series Express Chipset datasheet §3.1 (configuration ports), §5.1.15
 * (PCIEXBAR); ICH9 datasheet §13.7.5 (RST_CNT).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/pci/host_bridge.h"
#include "vmm/base/rcu.h"
#include "vmm/pci/pci_registers.h"
#include "vmm/x86/memory_map.h"

#include <string.h>

/* Ports 0xcf8 to 0xcff: address and data. */
#define CONFIG_PORTS	    0xcf8u
#define CONFIG_PORTS_SIZE   8u
#define CONFIG_DATA	    4u /* offset of the data register */
#define CONFIG_ENABLE	    0x80000000u
#define CONFIG_ADDRESS_MASK 0x80fffffcu

/* The reset control register at 0xcf9. */
#define RESET_CONTROL	   1u /* offset */
#define RESET_SYSTEM	   0x02u
#define RESET_CPU	   0x04u /* resets when it goes from 0 to 1 */
#define RESET_FULL	   0x08u
#define RESET_CONTROL_MASK (RESET_SYSTEM | RESET_CPU | RESET_FULL)

/* PCIEXBAR: where ECAM is. */
#define PCIEXBAR	     0x60u
#define PCIEXBAR_ENABLE	     0x1u
#define PCIEXBAR_LENGTH	     0x6u /* 0: 256 MiB, 2: 128 MiB, 4: 64 MiB */
#define PCIEXBAR_ADDRESS_MSK UINT64_C(0xffc000000)

/*
 * PAM0 to PAM6: whether addresses from 0xc0000 to 0xfffff reach RAM. They can be set, and are then
 * read back, but here all of it is RAM always.
 */
#define PAM	     0x90u
#define PAM_COUNT    7u
#define PAM0_MASK    0x30u
#define PAM_MASK     0x33u
#define ECAM_BUS_SHIFT	     20
#define ECAM_ADDRESS_SHIFT   12

typedef struct HostBridge {
	Device device;
	PciBus bus;
	IoRegion ports, ecam;
	uint32_t config_address; /* 0xcf8; under the lock */
	uint8_t reset_control;	 /* 0xcf9; under the lock */
} HostBridge;

typedef struct MemoryControllerHub {
	PciDevice pci;
} MemoryControllerHub;

static uint32_t all_ones(unsigned size)
{
	return UINT32_MAX >> (32 - size * 8);
}

/* The configuration address that data accesses now go to; false if they go nowhere. */
static bool get_config_address(HostBridge *self, uint32_t *address)
{
	g_mutex_lock(&self->device.lock);
	*address = self->config_address;
	g_mutex_unlock(&self->device.lock);
	return *address & CONFIG_ENABLE;
}

/*
 * Address accesses are of 4 bytes; smaller ones are other registers of the ISA bus, of which 0xcf9
 * exists. Data accesses of any size reach the bytes that they name.
 */
static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
	HostBridge *self = opaque;
	uint32_t address, value = all_ones(size);

	if (offset >= CONFIG_DATA) {
		if (get_config_address(self, &address))
			value = pci_bus_config_read(&self->bus, address >> 16 & 0xff,
						    address >> 8 & 0xff,
						    (address & 0xfc) + (offset & 3), size);
		return value;
	}
	g_mutex_lock(&self->device.lock);
	if (offset == 0 && size == 4)
		value = self->config_address;
	else if (offset == RESET_CONTROL && size == 1)
		value = self->reset_control;
	g_mutex_unlock(&self->device.lock);
	return value;
}

static void write_reset_control(HostBridge *self, uint8_t value)
{
	bool resets;

	g_mutex_lock(&self->device.lock);
	resets = (value & RESET_CPU) && !(self->reset_control & RESET_CPU);
	self->reset_control = value & RESET_CONTROL_MASK;
	g_mutex_unlock(&self->device.lock);
	if (resets)
		self->device.services->request(self->device.services, RUN_REQUEST_GUEST_RESET, 0);
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	HostBridge *self = opaque;
	uint32_t address;

	if (offset >= CONFIG_DATA) {
		if (get_config_address(self, &address))
			pci_bus_config_write(&self->bus, address >> 16 & 0xff, address >> 8 & 0xff,
					     (address & 0xfc) + (offset & 3), (uint32_t)value,
					     size);
	} else if (offset == 0 && size == 4) {
		g_mutex_lock(&self->device.lock);
		self->config_address = (uint32_t)value & CONFIG_ADDRESS_MASK;
		g_mutex_unlock(&self->device.lock);
	} else if (offset == RESET_CONTROL && size == 1) {
		write_reset_control(self, (uint8_t)value);
	}
}

static const IoRegionOps ports_ops = {
	.read = ports_read,
	.write = ports_write,
	.maximum_size = 4,
	.aligned_only = true,
};

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
	HostBridge *self = opaque;

	return pci_bus_config_read(&self->bus, (unsigned)(offset >> ECAM_BUS_SHIFT),
				   offset >> ECAM_ADDRESS_SHIFT & 0xff,
				   offset & (PCI_CONFIG_SIZE - 1), size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	HostBridge *self = opaque;

	pci_bus_config_write(&self->bus, (unsigned)(offset >> ECAM_BUS_SHIFT),
			     offset >> ECAM_ADDRESS_SHIFT & 0xff, offset & (PCI_CONFIG_SIZE - 1),
			     (uint32_t)value, size);
}

static const IoRegionOps ecam_ops = {
	.read = ecam_read,
	.write = ecam_write,
	.maximum_size = 4,
	.aligned_only = true,
};

static const BusOps root_bus_ops = {
	.claim = pci_bus_claim,
	.release = pci_bus_release,
	.is_full = pci_bus_is_full,
	.plugged = pci_bus_plugged,
	.unplugged = pci_bus_unplugged,
};

static bool host_bridge_realize(Device *device, GError **error)
{
	HostBridge *self = (HostBridge *)device;
	json_object *options;
	Device *hub;

	pci_bus_init(&self->bus, &root_bus_ops, HOST_BRIDGE_BUS, device, NULL);
	self->ports = (IoRegion){ .name = "PCI configuration ports",
				  .size = CONFIG_PORTS_SIZE,
				  .ops = &ports_ops,
				  .opaque = self };
	self->ecam = (IoRegion){ .name = "ECAM", .ops = &ecam_ops, .opaque = self };
	address_space_map(device->services->pio, &self->ports, CONFIG_PORTS);
	options = json_object_new_object();
	json_object_object_add(options, "addr", json_object_new_int(0));
	hub = device_tree_add_builtin(device->tree, memory_controller_hub_type.device.name,
				      &self->bus.bus, options, error);
	json_object_put(options);
	if (hub)
		return true;
	address_space_unmap(device->services->pio, &self->ports);
	pci_bus_finish(&self->bus);
	return false;
}

static void host_bridge_unrealize(Device *device)
{
	HostBridge *self = (HostBridge *)device;

	address_space_unmap(device->services->pio, &self->ports);
	address_space_unmap(device->services->mmio, &self->ecam);
	pci_bus_finish(&self->bus);
}

static void host_bridge_reset(Device *device)
{
	HostBridge *self = (HostBridge *)device;

	g_mutex_lock(&device->lock);
	self->config_address = 0;
	self->reset_control = 0;
	g_mutex_unlock(&device->lock);
}

uint64_t host_bridge_ecam_base(Device *device)
{
	HostBridge *self = (HostBridge *)device;
	PciDevice *hub;
	uint64_t base = 0;

	rcu_read_lock();
	hub = pci_bus_device_at(&self->bus, 0);
	if (hub && (pci_device_config_read(hub, PCIEXBAR, 4) & PCIEXBAR_ENABLE))
		base = (pci_device_config_read(hub, PCIEXBAR, 4) |
			(uint64_t)pci_device_config_read(hub, PCIEXBAR + 4, 4) << 32) &
		       PCIEXBAR_ADDRESS_MSK;
	rcu_read_unlock();
	return base;
}

PciBus *host_bridge_bus(Device *device)
{
	return &((HostBridge *)device)->bus;
}

static const StateTable host_bridge_state = {
	.name = HOST_BRIDGE_TYPE,
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(HostBridge, config_address, STATE_UINT32),
			STATE_FIELD(HostBridge, reset_control, STATE_UINT8),
			STATE_END,
		},
};

const DeviceType host_bridge_type = {
	.name = HOST_BRIDGE_TYPE,
	.description = "q35 host bridge",
	.category = "Bridge",
	.instance_size = sizeof(HostBridge),
	.state = &host_bridge_state,
	.realize = host_bridge_realize,
	.unrealize = host_bridge_unrealize,
	.reset = host_bridge_reset,
};

/* Make ECAM follow PCIEXBAR; hub's lock held. */
static void update_ecam(PciDevice *hub)
{
	HostBridge *bridge = (HostBridge *)hub->bus->bus.parent;
	AddressSpace *mmio = hub->device.services->mmio;
	uint32_t low = pci_get_long(hub->config + PCIEXBAR);
	uint64_t base = low | (uint64_t)pci_get_long(hub->config + PCIEXBAR + 4) << 32;
	uint64_t size = MEMORY_MAP_ECAM_SIZE >> ((low & PCIEXBAR_LENGTH) >> 1);

	base &= PCIEXBAR_ADDRESS_MSK & ~(size - 1);
	/* Length 3 is reserved. */
	if (!(low & PCIEXBAR_ENABLE) || (low & PCIEXBAR_LENGTH) == PCIEXBAR_LENGTH)
		size = 0;
	if (bridge->ecam.mapped && (bridge->ecam.base != base || bridge->ecam.size != size))
		address_space_unmap(mmio, &bridge->ecam);
	if (!bridge->ecam.mapped && size) {
		bridge->ecam.size = size;
		address_space_map(mmio, &bridge->ecam, base);
	}
}

static void hub_config_written(PciDevice *pci, unsigned offset, unsigned size)
{
	if (offset < PCIEXBAR + 8 && offset + size > PCIEXBAR)
		update_ecam(pci);
}

static bool hub_realize(Device *device, G_GNUC_UNUSED GError **error)
{
	PciDevice *pci = (PciDevice *)device;

	pci_device_init(pci);
	pci_set_long(pci->write_mask + PCIEXBAR,
		     (uint32_t)PCIEXBAR_ADDRESS_MSK | PCIEXBAR_LENGTH | PCIEXBAR_ENABLE);
	pci_set_long(pci->write_mask + PCIEXBAR + 4, (uint32_t)(PCIEXBAR_ADDRESS_MSK >> 32));
	pci->write_mask[PAM] = PAM0_MASK;
	memset(pci->write_mask + PAM + 1, PAM_MASK, PAM_COUNT - 1);
	return true;
}

static void hub_unrealize(Device *device)
{
	pci_device_finish((PciDevice *)device);
}

/* PCIEXBAR is off at first; who boots the guest, firmware or monitor, turns it on. */
static void hub_reset(Device *device)
{
	PciDevice *pci = (PciDevice *)device;

	pci_device_reset(pci);
	g_mutex_lock(&device->lock);
	update_ecam(pci);
	g_mutex_unlock(&device->lock);
}

static bool hub_after_load(void *object, G_GNUC_UNUSED GError **error)
{
	PciDevice *pci = object;

	g_mutex_lock(&pci->device.lock);
	update_ecam(pci);
	g_mutex_unlock(&pci->device.lock);
	return true;
}

static const StateTable hub_state = {
	.name = "mch",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_PART(MemoryControllerHub, pci, &pci_device_state),
			STATE_END,
		},
	.after_load = hub_after_load,
};

const PciDeviceType memory_controller_hub_type = {
	.device = {
		.name = "mch",
		.description = "q35 memory controller hub",
		.category = "Bridge",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(MemoryControllerHub),
		.properties = { pci_device_properties },
		.state = &hub_state,
		.realize = hub_realize,
		.unrealize = hub_unrealize,
		.reset = hub_reset,
	},
	.vendor_id = 0x8086,
	.device_id = 0x29c0,
	.subsystem_vendor_id = 0x1af4,
	.subsystem_id = 0x1100,
	.class_code = 0x060000, /* host bridge */
	.config_written = hub_config_written,
};
