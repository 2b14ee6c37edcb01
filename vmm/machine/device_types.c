/*
 * device_types.c: every type of device there is
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/device_types.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/fw_cfg.h"
#include "vmm/display/bochs_display.h"
#include "vmm/pci/host_bridge.h"
#include "vmm/pci/root_port.h"
#include "vmm/scsi/scsi.h"
#include "vmm/usb/usb_hid.h"
#include "vmm/usb/xhci.h"
#include "vmm/virtio/vhost_user_blk.h"
#include "vmm/virtio/vhost_user_device.h"
#include "vmm/virtio/vhost_user_fs.h"
#include "vmm/virtio/vhost_vsock.h"
#include "vmm/virtio/virtio_balloon.h"
#include "vmm/virtio/virtio_blk.h"
#include "vmm/virtio/virtio_console.h"
#include "vmm/virtio/virtio_gpu.h"
#include "vmm/virtio/virtio_input.h"
#include "vmm/virtio/virtio_mem.h"
#include "vmm/virtio/virtio_net.h"
#include "vmm/virtio/virtio_rng.h"
#include "vmm/virtio/virtio_scsi.h"
#include "vmm/virtio/virtio_vsock.h"

/* A family's type starts with a DeviceType. */
#define FAMILY(type) ((const DeviceType *)&(type))

const DeviceType *const machine_device_types[] = {
	/* The board's */
	&acpi_pm_type,
	&cpu_hotplug_type,
	&flash_type,
	&fw_cfg_type,
	&host_bridge_type,
	&i8042_type,
	FAMILY(memory_controller_hub_type),
	FAMILY(lpc_bridge_type),
	&port92_type,
	&rom_type,
	&rtc_cmos_type,
	/* vCPUs */
	&processor_type,
	/* PCI */
	FAMILY(bochs_display_type),
	FAMILY(i6300esb_type),
	FAMILY(root_port_type),
	FAMILY(xhci_type),
	/* USB */
	FAMILY(usb_keyboard_type),
	FAMILY(usb_mouse_type),
	FAMILY(usb_tablet_type),
	/* ISA */
	&debug_console_type,
	&debug_exit_type,
	&pvpanic_type,
	&serial_16550_type,
	&tpm_crb_type,
	&vmgenid_type,
	/* SCSI */
	&scsi_cd_type,
	&scsi_hd_type,
	/* virtio */
	FAMILY(vhost_user_blk_type),
	FAMILY(vhost_user_device_type),
	FAMILY(vhost_user_fs_type),
	FAMILY(vhost_vsock_type),
	FAMILY(virtio_balloon_type),
	FAMILY(virtio_blk_type),
	FAMILY(virtio_console_type),
	FAMILY(virtio_gpu_type),
	FAMILY(virtio_keyboard_type),
	FAMILY(virtio_mouse_type),
	FAMILY(virtio_mem_type),
	FAMILY(virtio_net_type),
	FAMILY(virtio_rng_type),
	FAMILY(virtio_scsi_type),
	FAMILY(virtio_vsock_type),
	FAMILY(virtio_tablet_type),
	&virtio_console_port_type,
	&virtio_serial_port_type,
	NULL,
};
