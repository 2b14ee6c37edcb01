/*
 * root_port.c: PCI Express root ports with native hotplug
 *
 * The slot has presence detection, link-active reporting, an attention button and a power
 * indicator, and neither power control nor command completion, so that commands take effect at
 * once and a slot can be filled again as soon as it is empty (Linux waits a second after it has
 * switched power off, and drops what happens meanwhile).
 *
 * A device that is plugged in shows as present with its link up, which the guest acts on at once.
 * Removal is orderly: device_del presses the attention button. The guest lets the power indicator
 * blink for five seconds, in which the request can be withdrawn (PCIe §6.7.1.5), then releases the
 * device and turns the indicator off: with that the device goes. An indicator that goes back to on
 * means that the guest has refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/pci/root_port.h"
#include "vmm/base/error.h"
#include "vmm/pci/pci_registers.h"

#define FUNCTIONS 8u

/* How long a guest may blink before the button may be pressed again. */
#define BUTTON_PERIOD_US (6 * G_USEC_PER_SEC)

#define SLOT_EVENTS                                                                            \
	(PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PFD | PCI_EXP_SLTSTA_MRLSC | PCI_EXP_SLTSTA_PDC | \
	 PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC)
#define SLOT_CONTROL_WRITABLE                                                                   \
	(PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PIC | \
	 PCI_EXP_SLTCTL_DLLSCE)
/* The device's events that raise an interrupt have their enable bits at the same place. */
#define SLOT_BUTTON_AND_PRESENCE (PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC)

typedef struct RootPort {
	PciDevice pci;
	PciBus bus;
	uint8_t port, chassis;
	uint16_t slot;
	bool hotplug;
	/* Under the lock: */
	bool removing; /* the button was pressed and the guest has not answered yet */
	int64_t pressed_at_us;
	uint16_t indicator; /* PCI_EXP_SLTCTL_PIC as last seen */
	bool interrupting;  /* an enabled event is there */
} RootPort;

static const Property root_port_properties[] = {
	{ .name = "port",
	  .kind = PROPERTY_UINT8,
	  .offset = offsetof(RootPort, port),
	  .description = "Number of the port's link" },
	{ .name = "chassis",
	  .kind = PROPERTY_UINT8,
	  .offset = offsetof(RootPort, chassis),
	  .description = "Number of the chassis that the slot is in" },
	{ .name = "slot",
	  .kind = PROPERTY_UINT16,
	  .offset = offsetof(RootPort, slot),
	  .maximum = PCI_EXP_SLTCAP_PSN >> 19,
	  .description = "Physical slot number (0: that of the chassis)" },
	{ .name = "hotplug",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(RootPort, hotplug),
	  .initial = true,
	  .description = "whether a device can be plugged in while the guest runs" },
	PROPERTY_END,
};

static RootPort *root_port_of_bus(Bus *bus)
{
	return (RootPort *)bus->parent;
}

static uint8_t *express_register(RootPort *port, unsigned offset)
{
	return port->pci.config + port->pci.express_capability + offset;
}

static uint16_t slot_control(RootPort *port)
{
	return pci_get_word(express_register(port, PCI_EXP_SLTCTL));
}

/* Change register @offset: clear @clear, then set @set. Lock held. */
static void change_register(RootPort *port, unsigned offset, uint16_t clear, uint16_t set)
{
	uint8_t *at = express_register(port, offset);

	pci_set_word(at, (uint16_t)((pci_get_word(at) & ~clear) | set));
}

/*
 * PCIe §6.7.3.4: with messages, an interrupt is sent when "some enabled event is there" becomes
 * true. Lock held.
 */
static void update_interrupt(RootPort *port)
{
	uint16_t status = pci_get_word(express_register(port, PCI_EXP_SLTSTA));
	uint16_t control = slot_control(port);
	bool interrupting = (status & control & SLOT_BUTTON_AND_PRESENCE) ||
			    ((status & PCI_EXP_SLTSTA_DLLSC) && (control & PCI_EXP_SLTCTL_DLLSCE));

	interrupting = interrupting && (control & PCI_EXP_SLTCTL_HPIE);
	if (interrupting && !port->interrupting)
		pci_msix_notify(&port->pci, 0);
	port->interrupting = interrupting;
}

/* Let the guest see that the slot is occupied, or that it is empty. */
static void set_occupied(RootPort *port, bool occupied)
{
	g_mutex_lock(&port->pci.device.lock);
	change_register(port, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS,
			(occupied ? PCI_EXP_SLTSTA_PDS : 0) |
				(port->hotplug ? PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC : 0));
	change_register(port, PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA,
			occupied ? PCI_EXP_LNKSTA_DLLLA : 0);
	port->removing = false;
	update_interrupt(port);
	g_mutex_unlock(&port->pci.device.lock);
}

/* The functions of a device appear together, with function 0 (PCIe §6.7 knows but devices). */
static void port_plugged(Bus *bus, Device *device)
{
	pci_bus_plugged(bus, device);
	if (((PciDevice *)device)->address == 0)
		set_occupied(root_port_of_bus(bus), true);
}

static void port_unplugged(Bus *bus, Device *device)
{
	pci_bus_unplugged(bus, device);
	if (((PciDevice *)device)->address == 0)
		set_occupied(root_port_of_bus(bus), false);
}

/* Tell the main thread what became of all functions. Inside an RCU section, or main thread. */
static void post_answer(RootPort *port, bool released)
{
	DeviceTree *tree = port->pci.device.tree;

	for (unsigned function = FUNCTIONS; function-- > 0;) {
		PciDevice *pci = pci_bus_device_at(&port->bus, function);

		if (pci && released)
			device_tree_post_remove(tree, &pci->device);
		else if (pci)
			device_tree_post_unplug_refused(tree, &pci->device);
	}
}

/* Press the button, if the guest is going to notice. Lock held. */
static bool press_button(RootPort *port, GError **error)
{
	const char *bus = port->bus.bus.name;
	uint16_t control = slot_control(port);
	int64_t now = g_get_monotonic_time();

	if (port->removing && now - port->pressed_at_us < BUTTON_PERIOD_US)
		return error_fail(error, "the device on '%s' is already being unplugged", bus);
	if (!(control & PCI_EXP_SLTCTL_HPIE) || !(control & PCI_EXP_SLTCTL_ABPE))
		return error_fail(error, "the guest does not listen to hotplug requests on '%s'",
				  bus);
	if (port->indicator == PCI_EXP_SLTCTL_PWR_IND_BLINK)
		return error_fail(error, "the guest is busy with the device on '%s'", bus);
	port->removing = true;
	port->pressed_at_us = now;
	if (port->indicator == PCI_EXP_SLTCTL_PWR_IND_OFF)
		return true; /* the guest has no hold of it: the button would mean "turn on" */
	change_register(port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_ABP);
	update_interrupt(port);
	return true;
}

static bool port_request_unplug(Bus *bus, Device *device, GError **error)
{
	RootPort *port = root_port_of_bus(bus);
	bool requested, is_off;

	if (((PciDevice *)device)->address != 0)
		return error_fail(error, "'%s' goes with function 0 of its slot",
				  device->id ? device->id : device->path);
	g_mutex_lock(&port->pci.device.lock);
	requested = press_button(port, error);
	is_off = port->indicator == PCI_EXP_SLTCTL_PWR_IND_OFF;
	g_mutex_unlock(&port->pci.device.lock);
	if (!requested)
		return false;
	for (guint i = 0; i < bus->children->len; i++)
		((Device *)bus->children->pdata[i])->unplug_requested = true;
	if (is_off)
		post_answer(port, true);
	return true;
}

static const BusOps port_bus_ops = {
	.claim = pci_bus_claim,
	.release = pci_bus_release,
	.is_full = pci_bus_is_full,
	.plugged = port_plugged,
	.unplugged = port_unplugged,
	.request_unplug = port_request_unplug,
};

/* See what the guest does with the power indicator; lock held. */
static void indicator_written(RootPort *port)
{
	uint16_t before = port->indicator;

	port->indicator = slot_control(port) & PCI_EXP_SLTCTL_PIC;
	if (!port->removing || port->indicator == before)
		return;
	if (port->indicator == PCI_EXP_SLTCTL_PWR_IND_OFF) {
		post_answer(port, true);
	} else if (before == PCI_EXP_SLTCTL_PWR_IND_BLINK) {
		port->removing = false;
		post_answer(port, false);
	}
}

static void root_port_config_written(PciDevice *pci, unsigned offset, unsigned size)
{
	RootPort *port = (RootPort *)pci;
	unsigned slot = pci->express_capability + PCI_EXP_SLTCTL;

	if (offset < slot + 4 && offset + size > slot) {
		indicator_written(port);
		update_interrupt(port);
	}
}

/* PCIe §7.5.3: capability, device, link, slot and root registers. */
static void add_root_port_capability(RootPort *port)
{
	PciDevice *pci = &port->pci;
	unsigned at = pci_device_add_capability(pci, PCI_CAP_ID_EXP, PCI_EXPRESS_CAPABILITY_SIZE);
	uint8_t *config = pci->config + at, *mask = pci->write_mask + at;
	uint32_t slot = port->slot ? port->slot : port->chassis;

	pci->express_capability = at;
	pci->volatile_registers[0] = (uint16_t)(at + PCI_EXP_SLTSTA);
	pci->volatile_registers[1] = (uint16_t)(at + PCI_EXP_LNKSTA);
	pci_set_word(config + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ROOT_PORT << 4 | PCI_EXP_FLAGS_SLOT);
	pci_set_long(config + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER);
	pci_set_word(mask + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE |
						    PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE);
	pci_set_long(config + PCI_EXP_LNKCAP, PCI_LINK_SPEED_AND_WIDTH | PCI_EXP_LNKCAP_DLLLARC |
						      (uint32_t)port->port << 24);
	pci_set_word(config + PCI_EXP_LNKSTA, PCI_LINK_SPEED_AND_WIDTH);
	pci_set_word(mask + PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
	pci_set_word(config + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_2_5GT);
	pci_set_long(config + PCI_EXP_SLTCAP, slot << 19);
	pci_set_word(mask + PCI_EXP_RTCTL, PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE |
						   PCI_EXP_RTCTL_SEFEE | PCI_EXP_RTCTL_PMEIE);
	if (!port->hotplug)
		return;
	pci_set_long(config + PCI_EXP_SLTCAP, slot << 19 | PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_PIP |
						      PCI_EXP_SLTCAP_HPC | PCI_EXP_SLTCAP_NCCS);
	pci_set_word(mask + PCI_EXP_SLTCTL, SLOT_CONTROL_WRITABLE);
	pci_set_word(pci->write_1_clear_mask + at + PCI_EXP_SLTSTA, SLOT_EVENTS);
}

typedef struct SlotSearch {
	const RootPort *port;
	const Device *other; /* a different port with the same slot */
} SlotSearch;

static void find_same_slot(Device *device, gpointer data)
{
	SlotSearch *search = data;
	const RootPort *other = (RootPort *)device;

	if (device->type == &root_port_type.device && device->realized && other != search->port &&
	    other->chassis == search->port->chassis && other->slot == search->port->slot)
		search->other = device;
}

/* A guest tells slots apart, and names them, by these numbers. */
static bool check_slot(const RootPort *port, GError **error)
{
	SlotSearch search = { .port = port };
	const Device *device = &port->pci.device;

	device_tree_foreach(device->tree, false, find_same_slot, &search);
	if (!search.other)
		return true;
	return error_fail(error, "chassis %u has a slot %u already, that of root port '%s'",
			  port->chassis, port->slot,
			  search.other->id ? search.other->id : search.other->path);
}

static bool root_port_realize(Device *device, GError **error)
{
	RootPort *port = (RootPort *)device;
	g_autofree char *name = NULL;

	if (!check_slot(port, error))
		return false;

	if (device->id)
		name = g_strdup(device->id);
	else
		name = g_strdup_printf("pcie-root-port.%x.%x",
				       PCI_ADDRESS_DEVICE(port->pci.address),
				       PCI_ADDRESS_FUNCTION(port->pci.address));
	if (device_tree_find_bus(device->tree, name))
		return error_fail(error, "there is a bus '%s' already", name);
	pci_device_init(&port->pci);
	if (!pci_msix_init(&port->pci, 1, 0, error)) {
		pci_device_finish(&port->pci);
		return false;
	}
	add_root_port_capability(port);
	pci_bus_init(&port->bus, &port_bus_ops, name, device, &port->pci);
	port->bus.bus.hotplug = port->hotplug;
	port->pci.secondary_bus = &port->bus;
	return true;
}

static void root_port_unrealize(Device *device)
{
	RootPort *port = (RootPort *)device;

	pci_device_finish(&port->pci);
	pci_bus_finish(&port->bus);
}

/* The indicator starts as what firmware would make it: on where there is a device. */
static void root_port_reset(Device *device)
{
	RootPort *port = (RootPort *)device;

	pci_device_reset(&port->pci);
	g_mutex_lock(&device->lock);
	port->indicator = pci_bus_device_at(&port->bus, 0) ? PCI_EXP_SLTCTL_PWR_IND_ON
							   : PCI_EXP_SLTCTL_PWR_IND_OFF;
	if (port->hotplug)
		change_register(port, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PIC, port->indicator);
	port->removing = false;
	update_interrupt(port);
	g_mutex_unlock(&device->lock);
}

static bool root_port_after_load(void *object, G_GNUC_UNUSED GError **error)
{
	RootPort *port = object;

	g_mutex_lock(&port->pci.device.lock);
	port->indicator = slot_control(port) & PCI_EXP_SLTCTL_PIC;
	update_interrupt(port);
	g_mutex_unlock(&port->pci.device.lock);
	return true;
}

static const StateTable root_port_state = {
	.name = ROOT_PORT_TYPE,
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_PART(RootPort, pci, &pci_device_state),
			STATE_FIELD(RootPort, interrupting, STATE_BOOL),
			STATE_END,
		},
	.after_load = root_port_after_load,
};

const PciDeviceType root_port_type = {
	.device = {
		.name = ROOT_PORT_TYPE,
		.description = "PCI Express root port",
		.category = "Bridge",
		.bus_kind = PCI_BUS_KIND,
		.instance_size = sizeof(RootPort),
		.properties = { root_port_properties, pci_device_properties },
		.state = &root_port_state,
		.user_creatable = true,
		.realize = root_port_realize,
		.unrealize = root_port_unrealize,
		.reset = root_port_reset,
	},
	.vendor_id = 0x1b36,
	.device_id = 0x000c,
	.class_code = 0x060400, /* PCI-to-PCI bridge */
	.is_bridge = true,
	.config_written = root_port_config_written,
};
