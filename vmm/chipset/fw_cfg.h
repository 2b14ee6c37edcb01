/*
 * fw_cfg.h: QEMU's firmware configuration device, through which firmware learns of the machine
 *
 * A list of items, each with a 16-bit key; those with a name ("files") are listed in a directory.
 * The machine adds the items before the guest runs. There is such a device only where there is
 * firmware.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/device/device.h"

/* Files that there can be. */
#define FW_CFG_FILES 64u

extern const DeviceType fw_cfg_type; /* "fw_cfg" */

/* All of these: @fw_cfg is a fw_cfg_type device; main thread, vCPUs stopped, unless said otherwise. */

/* Set the item with @key (a FW_CFG_* of <linux/qemu_fw_cfg.h>) to the @size bytes at @data (copied). */
void fw_cfg_set_item(Device *fw_cfg, uint16_t key, const void *data, size_t size);
/* The same for numbers, little-endian. */
void fw_cfg_set_item_16(Device *fw_cfg, uint16_t key, uint16_t value);
void fw_cfg_set_item_32(Device *fw_cfg, uint16_t key, uint32_t value);

/*
 * Set the item with @key to @size bytes at @offset of the file open as @fd, which are read when the
 * guest asks for them. @fd is borrowed and stays open as long as the device.
 */
void fw_cfg_set_item_fd(Device *fw_cfg, uint16_t key, int fd, uint64_t offset, uint32_t size);

/*
 * Set the file called @name to the @size bytes at @data (copied), adding it if there is none of
 * that name; that can be done from an fw_cfg_set_prepare() callback, too. False and @error when the
 * name is too long or there are too many files.
 */
bool fw_cfg_set_file(Device *fw_cfg, const char *name, const void *data, size_t size,
		     GError **error);

/*
 * Call @prepare each time the guest selects the file called @name, before it reads: to set files
 * again, to the same sizes. On the vCPU's thread, without the device's lock.
 */
void fw_cfg_set_prepare(Device *fw_cfg, const char *name, void (*prepare)(void *opaque),
			void *opaque);
