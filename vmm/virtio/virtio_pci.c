/*
 * virtio_pci.c: the PCI transport (virtio 1.2 §4.1), modern interface only
 *
 * BAR 4 holds four pages: common configuration, ISR, device configuration, notifications (4 bytes
 * for each queue). BAR 1 holds MSI-X. Reads are served from a small image of the structure, so any
 * width at any offset gives what memory would; writes count only in the width that the field has.
 *
 * A notification normally never comes here: KVM signals the queue's eventfd. Interrupts are MSI-X
 * only; without MSI-X the ISR byte still tells what happened, for drivers that poll.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_pci.h"

#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/trace.h"

/* §4.1.4: types of capabilities. */
enum {
	CAPABILITY_COMMON = 1,
	CAPABILITY_NOTIFY = 2,
	CAPABILITY_ISR = 3,
	CAPABILITY_DEVICE = 4,
	CAPABILITY_PCI_CFG = 5,
};

#define PCI_CAPABILITY_VENDOR 0x09
#define PCI_MSIX_VECTORS_MAX  2048u /* PCIe 6.1.4.2: the table has no more */

#define REGISTERS_SIZE	  0x4000u
#define PAGE_SIZE	  0x1000u
#define COMMON_PAGE	  0x0000u
#define ISR_PAGE	  0x1000u
#define DEVICE_PAGE	  0x2000u
#define NOTIFY_PAGE	  0x3000u
#define NOTIFY_MULTIPLIER 4u

G_STATIC_ASSERT(VIRTIO_QUEUES_MAX *NOTIFY_MULTIPLIER <= PAGE_SIZE);

/* §4.1.4.5. */
#define ISR_QUEUE  0x1u
#define ISR_CONFIG 0x2u

/* §4.1.4, the structure that each capability holds in configuration space. */
typedef struct Capability {
	uint8_t id, next, length, type;
	uint8_t bar, identifier, padding[2];
	uint32_t offset; /* in the BAR */
	uint32_t size;
	uint32_t extra; /* notify: multiplier; PCI_CFG: data */
} Capability;

G_STATIC_ASSERT(sizeof(Capability) == 20);

/* §4.1.4.3. */
typedef struct CommonConfig {
	uint32_t device_feature_select;
	uint32_t device_feature;
	uint32_t driver_feature_select;
	uint32_t driver_feature;
	uint16_t config_vector;
	uint16_t num_queues;
	uint8_t device_status;
	uint8_t config_generation;
	uint16_t queue_select;
	uint16_t queue_size;
	uint16_t queue_vector;
	uint16_t queue_enable;
	uint16_t queue_notify_off;
	uint32_t queue_desc[2]; /* low half, high half */
	uint32_t queue_driver[2];
	uint32_t queue_device[2];
	uint16_t queue_notify_data;
	uint16_t queue_reset;
} CommonConfig;

G_STATIC_ASSERT(sizeof(CommonConfig) == 0x3c);

static VirtioDevice *virtio(PciDevice *pci)
{
	return (VirtioDevice *)pci;
}

/* The selected queue, or NULL: the selector is the guest's. */
static VirtioQueue *selected_queue(VirtioDevice *device)
{
	return device->queue_select < device->n_queues ? &device->queues[device->queue_select]
						       : NULL;
}

/* Half @select of a 64-bit feature set; there are no further ones. */
static uint32_t feature_half(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static void fill_common(VirtioDevice *device, CommonConfig *common)
{
	const VirtioQueue *queue = selected_queue(device);

	*common = (CommonConfig){
		.device_feature_select = device->device_feature_select,
		.device_feature = feature_half(device->offered, device->device_feature_select),
		.driver_feature_select = device->driver_feature_select,
		.driver_feature = feature_half(device->accepted, device->driver_feature_select),
		.config_vector = device->config_vector,
		.num_queues = device->n_queues,
		.device_status = device->status,
		.config_generation = __atomic_load_n(&device->config_generation, __ATOMIC_SEQ_CST),
		.queue_select = device->queue_select,
		.queue_vector = VIRTIO_NO_VECTOR,
	};
	if (__atomic_load_n(&device->needs_reset, __ATOMIC_SEQ_CST))
		common->device_status |= VIRTIO_STATUS_NEEDS_RESET;
	if (!queue) /* §4.1.5.1.3: size 0 says that there is none */
		return;
	common->queue_size = queue->ring.size;
	common->queue_vector = queue->ring.vector;
	common->queue_enable = queue->ring.enabled;
	common->queue_notify_off = queue->ring.index;
	common->queue_notify_data = queue->ring.index;
	common->queue_reset = queue->resetting;
	memcpy(common->queue_desc, &queue->ring.descriptors, sizeof(uint64_t));
	memcpy(common->queue_driver, &queue->ring.driver_area, sizeof(uint64_t));
	memcpy(common->queue_device, &queue->ring.device_area, sizeof(uint64_t));
}

/* Up to 4 bytes at @offset of a structure of @structure_size bytes; zero beyond. */
static uint32_t extract(const void *structure, unsigned structure_size, unsigned offset,
			unsigned size)
{
	uint32_t value = 0;

	if (offset < structure_size)
		memcpy(&value, (const uint8_t *)structure + offset,
		       MIN(size, structure_size - offset));
	return value;
}

static uint32_t read_device_config(VirtioDevice *device, unsigned offset, unsigned size)
{
	const VirtioDeviceType *type = virtio_device_type(device);
	uint8_t config[VIRTIO_CONFIG_MAX] = {};

	if (type->read_config)
		type->read_config(device, config);
	return extract(config, type->config_size, offset, size);
}

/* Reading it clears it (§4.1.4.5). */
static uint32_t take_isr(VirtioDevice *device)
{
	return __atomic_exchange_n(&device->isr, 0, __ATOMIC_SEQ_CST);
}

static uint32_t registers_read(VirtioDevice *device, unsigned offset, unsigned size)
{
	unsigned within = offset % PAGE_SIZE;
	CommonConfig common;

	if (device->dead)
		return UINT32_MAX;
	switch (offset - within) {
	case COMMON_PAGE:
		fill_common(device, &common);
		return extract(&common, sizeof(common), within, size);
	case ISR_PAGE:
		return within == 0 ? take_isr(device) : 0;
	case DEVICE_PAGE:
		return read_device_config(device, within, size);
	default:
		return 0; /* notifications are for writing */
	}
}

/* A vector that does not exist reads back as none (§4.1.5.1.2.1). */
static uint16_t valid_vector(VirtioDevice *device, uint32_t value)
{
	return value < device->vectors ? value : VIRTIO_NO_VECTOR;
}

static void write_driver_feature(VirtioDevice *device, uint32_t value)
{
	unsigned shift = 32 * device->driver_feature_select;

	/* Settled once FEATURES_OK is (§3.1.1). */
	if (device->driver_feature_select > 1 || (device->status & VIRTIO_STATUS_FEATURES_OK))
		return;
	device->accepted &= ~(0xffffffffULL << shift);
	device->accepted |= (uint64_t)value << shift;
}

/* Half of one of the 64-bit addresses; whole ones come as two writes. */
static void write_half(uint64_t *address, unsigned half, uint32_t value)
{
	*address &= half ? 0xffffffffULL : 0xffffffff00000000ULL;
	*address |= half ? (uint64_t)value << 32 : value;
}

/* Fields of the selected queue; what is enabled must not change any more (§4.1.4.3.2). */
static void write_queue_field(VirtioDevice *device, VirtioQueue *queue, unsigned offset,
			      uint32_t value, unsigned size)
{
	Virtqueue *ring = &queue->ring;

	if (offset == offsetof(CommonConfig, queue_vector) && size == 2) {
		ring->vector = valid_vector(device, value);
		if (queue->outside && device->path_running)
			virtio_device_restart_path(device);
		return;
	}
	if (offset == offsetof(CommonConfig, queue_reset) && size == 2) {
		if (value == 1)
			virtio_device_reset_queue(device, queue);
		return;
	}
	if (ring->enabled)
		return;
	switch (offset << 4 | size) {
	case offsetof(CommonConfig, queue_size) << 4 | 2:
		/* Only a packed ring may have other than powers of two (§2.7, §2.8.10.1). */
		if (value && value <= ring->maximum_size &&
		    (!(value & (value - 1)) ||
		     virtio_device_has_feature(device, VIRTIO_F_RING_PACKED)))
			ring->size = value;
		break;
	case offsetof(CommonConfig, queue_enable) << 4 | 2:
		if (value == 1)
			virtio_device_enable_queue(device, queue);
		break;
	case offsetof(CommonConfig, queue_desc[0]) << 4 | 4:
	case offsetof(CommonConfig, queue_desc[1]) << 4 | 4:
		write_half(&ring->descriptors, offset & 4, value);
		break;
	case offsetof(CommonConfig, queue_driver[0]) << 4 | 4:
	case offsetof(CommonConfig, queue_driver[1]) << 4 | 4:
		write_half(&ring->driver_area, offset & 4, value);
		break;
	case offsetof(CommonConfig, queue_device[0]) << 4 | 4:
	case offsetof(CommonConfig, queue_device[1]) << 4 | 4:
		write_half(&ring->device_area, offset & 4, value);
		break;
	}
}

static void write_common(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size)
{
	VirtioQueue *queue;

	switch (offset << 4 | size) {
	case offsetof(CommonConfig, device_feature_select) << 4 | 4:
		device->device_feature_select = value;
		break;
	case offsetof(CommonConfig, driver_feature_select) << 4 | 4:
		device->driver_feature_select = value;
		break;
	case offsetof(CommonConfig, driver_feature) << 4 | 4:
		write_driver_feature(device, value);
		break;
	case offsetof(CommonConfig, config_vector) << 4 | 2:
		device->config_vector = valid_vector(device, value);
		break;
	case offsetof(CommonConfig, device_status) << 4 | 1:
		virtio_device_set_status(device, value);
		break;
	case offsetof(CommonConfig, queue_select) << 4 | 2:
		device->queue_select = value;
		break;
	default:
		queue = selected_queue(device);
		if (queue)
			write_queue_field(device, queue, offset, value, size);
	}
}

static void write_device_config(VirtioDevice *device, unsigned offset, uint32_t value,
				unsigned size)
{
	const VirtioDeviceType *type = virtio_device_type(device);

	if (type->write_config && offset + size <= type->config_size)
		type->write_config(device, offset, value, size);
}

static void registers_write(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size)
{
	unsigned within = offset % PAGE_SIZE;

	if (device->dead)
		return;
	switch (offset - within) {
	case COMMON_PAGE:
		write_common(device, within, value, size);
		break;
	case DEVICE_PAGE:
		write_device_config(device, within, value, size);
		break;
	case NOTIFY_PAGE:
		/* The address names the queue, the value only repeats it (§4.1.5.2). */
		if (within / NOTIFY_MULTIPLIER < device->n_queues)
			fd_event_signal_shared(device->queues[within / NOTIFY_MULTIPLIER].kick_fd);
		break;
	}
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	VirtioDevice *device = opaque;
	uint32_t value;

	g_mutex_lock(&device->pci.device.lock);
	value = registers_read(device, offset, size);
	g_mutex_unlock(&device->pci.device.lock);
	return value;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	VirtioDevice *device = opaque;

	g_mutex_lock(&device->pci.device.lock);
	registers_write(device, offset, value, size);
	g_mutex_unlock(&device->pci.device.lock);
}

static const IoRegionOps register_ops = {
	.read = bar_read,
	.write = bar_write,
	.maximum_size = 4,
	.aligned_only = true,
};

/* The window in configuration space (§4.1.4.9) */

/*
 * Where the window points, copied and checked: false unless it is an aligned access of 1, 2 or 4
 * bytes within our registers.
 */
static bool window_target(VirtioDevice *device, uint32_t *offset, uint32_t *size)
{
	Capability window;

	memcpy(&window, device->pci.config + device->cfg_capability, sizeof(window));
	*offset = window.offset;
	*size = window.size;
	return window.bar == VIRTIO_PCI_REGISTERS_BAR &&
	       (window.size == 1 || window.size == 2 || window.size == 4) &&
	       window.offset < REGISTERS_SIZE && window.offset % window.size == 0;
}

/* Whether an access of @size bytes at @config_offset touches the window's data. */
static bool is_window_data(VirtioDevice *device, unsigned config_offset, unsigned size)
{
	unsigned data = device->cfg_capability + offsetof(Capability, extra);

	return device->cfg_capability && config_offset < data + sizeof(uint32_t) &&
	       data < config_offset + size;
}

void virtio_pci_config_reading(PciDevice *pci, unsigned offset, unsigned size)
{
	VirtioDevice *device = virtio(pci);
	uint32_t target, length, value;

	if (!is_window_data(device, offset, size) || device->dead ||
	    !window_target(device, &target, &length))
		return;
	value = registers_read(device, target, length);
	memcpy(pci->config + device->cfg_capability + offsetof(Capability, extra), &value, length);
}

void virtio_pci_config_written(PciDevice *pci, unsigned offset, unsigned size)
{
	VirtioDevice *device = virtio(pci);
	uint32_t target, length, value = 0;

	if (device->dead)
		return;
	if (is_window_data(device, offset, size)) {
		if (!window_target(device, &target, &length))
			return;
		memcpy(&value, pci->config + device->cfg_capability + offsetof(Capability, extra),
		       length);
		registers_write(device, target, value, length);
		return;
	}
	/* Bus mastering, or where the BAR is, may be other than before. */
	if (device->cfg_capability)
		virtio_device_update(device);
}

static unsigned add_capability(VirtioDevice *device, uint8_t type, uint32_t offset, uint32_t size,
			       uint32_t extra)
{
	bool has_extra = type == CAPABILITY_NOTIFY || type == CAPABILITY_PCI_CFG;
	Capability capability = {
		.length = has_extra ? sizeof(Capability) : offsetof(Capability, extra),
		.type = type,
		.bar = type == CAPABILITY_PCI_CFG ? 0 : VIRTIO_PCI_REGISTERS_BAR,
		.offset = offset,
		.size = size,
		.extra = extra,
	};
	unsigned at =
		pci_device_add_capability(&device->pci, PCI_CAPABILITY_VENDOR, capability.length);

	/* The first two bytes link the list and are the bus's. */
	memcpy(device->pci.config + at + 2, (uint8_t *)&capability + 2, capability.length - 2);
	return at;
}

bool virtio_pci_init(VirtioDevice *device, GError **error)
{
	const VirtioDeviceType *type = virtio_device_type(device);
	uint8_t *mask;

	if (device->vectors == VIRTIO_VECTORS_UNSET)
		device->vectors =
			type->default_vectors ? type->default_vectors : device->n_queues + 1;
	if (device->vectors > PCI_MSIX_VECTORS_MAX)
		return error_fail(error, "property 'vectors' is more than %u",
				  PCI_MSIX_VECTORS_MAX);
	if (device->vectors &&
	    !pci_msix_init(&device->pci, device->vectors, VIRTIO_PCI_MSIX_BAR, error))
		return false;
	device->registers = (IoRegion){
		.name = device->pci.device.type->name,
		.size = REGISTERS_SIZE,
		.ops = &register_ops,
		.opaque = device,
	};
	pci_device_add_bar(&device->pci, VIRTIO_PCI_REGISTERS_BAR, &device->registers, false, true,
			   true);
	add_capability(device, CAPABILITY_COMMON, COMMON_PAGE, PAGE_SIZE, 0);
	add_capability(device, CAPABILITY_ISR, ISR_PAGE, PAGE_SIZE, 0);
	if (type->config_size)
		add_capability(device, CAPABILITY_DEVICE, DEVICE_PAGE, PAGE_SIZE, 0);
	add_capability(device, CAPABILITY_NOTIFY, NOTIFY_PAGE, PAGE_SIZE, NOTIFY_MULTIPLIER);
	device->cfg_capability = add_capability(device, CAPABILITY_PCI_CFG, 0, 0, 0);
	mask = device->pci.write_mask + device->cfg_capability;
	mask[offsetof(Capability, bar)] = 0xff;
	memset(mask + offsetof(Capability, offset), 0xff, 12); /* offset, size, data */
	return true;
}

void virtio_pci_update_notifiers(VirtioDevice *device)
{
	AddressSpace *mmio = virtio_device_services(device)->mmio;
	bool wanted = !device->dead && device->registers.mapped &&
		      (device->status & VIRTIO_STATUS_DRIVER_OK);

	for (uint32_t i = 0; i < device->n_queues; i++) {
		VirtioQueue *queue = &device->queues[i];
		uint64_t address = device->registers.base + NOTIFY_PAGE + i * NOTIFY_MULTIPLIER;

		if (!wanted || !queue->ring.enabled)
			address = 0;
		if (address == queue->bound_at)
			continue;
		if (queue->bound_at)
			address_space_remove_eventfd(mmio, queue->bound_at, 0, false, 0,
						     queue->kick_fd);
		queue->bound_at = 0;
		/* Where it cannot be had, writes reach registers_write(). */
		if (address &&
		    address_space_add_eventfd(mmio, address, 0, false, 0, queue->kick_fd))
			queue->bound_at = address;
	}
}

static void notify(VirtioDevice *device, unsigned isr_bit, uint16_t vector)
{
	if (vector != VIRTIO_NO_VECTOR && pci_msix_is_enabled(&device->pci))
		pci_msix_notify(&device->pci, vector);
	else
		__atomic_fetch_or(&device->isr, isr_bit, __ATOMIC_SEQ_CST);
}

void virtio_pci_notify_queue(VirtioQueue *queue)
{
	virtqueue_count(&queue->ring.counters.interrupts, 1);
	trace_virtio_interrupt(queue->ring.device_path, queue->ring.index);
	notify(queue->device, ISR_QUEUE, __atomic_load_n(&queue->ring.vector, __ATOMIC_RELAXED));
}

void virtio_pci_notify_config(VirtioDevice *device)
{
	notify(device, ISR_CONFIG, __atomic_load_n(&device->config_vector, __ATOMIC_RELAXED));
}
