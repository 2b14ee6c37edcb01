/*
 * virtio_pci.h: the PCI transport (virtio 1.2 §4.1)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/virtio/virtio_device.h"

#define VIRTIO_PCI_VENDOR 0x1af4
/* Device id of virtio device type @type (§4.1.2). */
#define VIRTIO_PCI_DEVICE(type) (0x1040 + (type))
/* §4.1.2.1: what a modern-only device has as revision, and QEMU as subsystem. */
#define VIRTIO_PCI_REVISION  1
#define VIRTIO_PCI_SUBSYSTEM 0x1100

/* Where the registers are. */
#define VIRTIO_PCI_MSIX_BAR	 1
#define VIRTIO_PCI_REGISTERS_BAR 4

/*
 * What every VirtioDeviceType has in .pci: the ids of virtio device type @type_, the PCI class and
 * the operations.
 */
#define VIRTIO_PCI_TYPE(type_, class_)                                                  \
	.vendor_id = VIRTIO_PCI_VENDOR, .device_id = VIRTIO_PCI_DEVICE(type_),          \
	.subsystem_vendor_id = VIRTIO_PCI_VENDOR, .subsystem_id = VIRTIO_PCI_SUBSYSTEM, \
	.class_code = (class_), .revision = VIRTIO_PCI_REVISION, .is_express = true,    \
	.config_written = virtio_pci_config_written, .config_reading = virtio_pci_config_reading

/* The configuration space's side of the transport, for VIRTIO_PCI_TYPE. Device lock held. */
void virtio_pci_config_written(PciDevice *pci, unsigned offset, unsigned size);
void virtio_pci_config_reading(PciDevice *pci, unsigned offset, unsigned size);

/*
 * Add BARs, capabilities and MSI-X with a vector for each queue and one for configuration (or as
 * many as property "vectors" says). During realize, after the queues were added. False and @error
 * when the host is out of eventfds.
 */
bool virtio_pci_init(VirtioDevice *device, GError **error);

/* Bind or unbind the eventfds of queues, as enabled queues and the BAR have it. Lock held. */
void virtio_pci_update_notifiers(VirtioDevice *device);

/* Interrupt for @queue, or for a change of configuration. Any thread, no lock. */
void virtio_pci_notify_queue(VirtioQueue *queue);
void virtio_pci_notify_config(VirtioDevice *device);
