/*
 * fw_cfg.c: QEMU's firmware configuration device, through which firmware learns of the machine
 *
 * QEMU's docs/specs/fw_cfg: a selector register at port 0x510, a data register at 0x511 that gives
 * the selected item byte by byte, and at 0x514 the address of a structure that describes a transfer
 * to guest memory, which is performed when the low half is written. Items are read-only: a guest's
 * write is refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chipset/fw_cfg.h"

#include <errno.h>
#include <linux/qemu_fw_cfg.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/memory/address_space.h"
#include "vmm/memory/guest_memory.h"

#define PORT	       0x510u
#define PORTS	       12u
#define REG_SELECTOR   0u
#define REG_DATA       1u
#define REG_DMA	       4u
#define REG_DMA_LOW    8u
#define DMA_SIGNATURE  UINT64_C(0x51454d5520434647) /* "QEMU CFG" */
#define LOCAL_KEYS     8u			    /* of FW_CFG_ARCH_LOCAL */
#define KEYS	       (FW_CFG_FILE_FIRST + FW_CFG_FILES)
#define PAGE	       4096u
#define PIECE	       (1u << 20) /* bytes copied at once */

typedef struct FwCfgItem {
	uint8_t *bytes; /* owned; NULL: nothing, or a file's */
	int fd;		/* of an item without bytes; borrowed */
	uint64_t offset; /* in fd */
	uint32_t size;
	char name[FW_CFG_MAX_FILE_PATH]; /* of a file */
} FwCfgItem;

typedef struct FwCfg {
	Device device;
	IoRegion region;
	void (*prepare)(void *opaque);
	void *prepare_opaque;
	uint16_t prepare_key;

	/* Under device.lock. */
	FwCfgItem items[KEYS];
	FwCfgItem local_items[LOCAL_KEYS];
	unsigned n_files;
	uint16_t key;	      /* selected */
	uint32_t position;    /* in the selected item */
	uint32_t dma_high;    /* upper half of the next transfer's address */
} FwCfg;

static FwCfg *fw_cfg_of(Device *device)
{
	return (FwCfg *)device;
}

/* The item with @key, or NULL. */
static FwCfgItem *find_item(FwCfg *self, uint16_t key)
{
	uint16_t index = key & FW_CFG_ENTRY_MASK;

	if (key & FW_CFG_ARCH_LOCAL)
		return index < LOCAL_KEYS ? &self->local_items[index] : NULL;
	return index < KEYS ? &self->items[index] : NULL;
}

static void replace_item(FwCfg *self, uint16_t key, uint8_t *bytes, size_t size)
{
	FwCfgItem *item = find_item(self, key);

	g_free(item->bytes);
	item->bytes = bytes;
	item->size = (uint32_t)size;
}

/* The directory of files: all of its numbers are big-endian. */
static void update_directory(FwCfg *self)
{
	size_t size = 4 + self->n_files * sizeof(struct fw_cfg_file);
	uint8_t *bytes = g_malloc0(size);
	uint32_t count = GUINT32_TO_BE(self->n_files);

	memcpy(bytes, &count, 4);
	for (unsigned i = 0; i < self->n_files; i++) {
		const FwCfgItem *item = &self->items[FW_CFG_FILE_FIRST + i];
		struct fw_cfg_file entry = {
			.size = GUINT32_TO_BE(item->size),
			.select = GUINT16_TO_BE(FW_CFG_FILE_FIRST + i),
		};

		memcpy(entry.name, item->name, sizeof(entry.name));
		memcpy(bytes + 4 + i * sizeof(entry), &entry, sizeof(entry));
	}
	replace_item(self, FW_CFG_FILE_DIR, bytes, size);
}

void fw_cfg_set_item(Device *device, uint16_t key, const void *data, size_t size)
{
	FwCfg *self = fw_cfg_of(device);

	g_mutex_lock(&device->lock);
	replace_item(self, key, g_memdup2(data, size), size);
	g_mutex_unlock(&device->lock);
}

void fw_cfg_set_item_16(Device *device, uint16_t key, uint16_t value)
{
	value = GUINT16_TO_LE(value);
	fw_cfg_set_item(device, key, &value, sizeof(value));
}

void fw_cfg_set_item_32(Device *device, uint16_t key, uint32_t value)
{
	value = GUINT32_TO_LE(value);
	fw_cfg_set_item(device, key, &value, sizeof(value));
}

void fw_cfg_set_item_fd(Device *device, uint16_t key, int fd, uint64_t offset, uint32_t size)
{
	FwCfg *self = fw_cfg_of(device);
	FwCfgItem *item = find_item(self, key);

	g_mutex_lock(&device->lock);
	replace_item(self, key, NULL, size);
	item->fd = fd;
	item->offset = offset;
	g_mutex_unlock(&device->lock);
}

/* The key of the file called @name, or 0. */
static uint16_t find_file(const FwCfg *self, const char *name)
{
	for (unsigned i = 0; i < self->n_files; i++) {
		if (strcmp(self->items[FW_CFG_FILE_FIRST + i].name, name) == 0)
			return (uint16_t)(FW_CFG_FILE_FIRST + i);
	}
	return 0;
}

bool fw_cfg_set_file(Device *device, const char *name, const void *data, size_t size,
		     GError **error)
{
	FwCfg *self = fw_cfg_of(device);
	bool done = true;
	uint16_t key;

	g_mutex_lock(&device->lock);
	key = find_file(self, name);
	if (key == 0 && strlen(name) >= FW_CFG_MAX_FILE_PATH) {
		done = error_fail(error, "'%s' is longer than the %u bytes of a file name", name,
				  FW_CFG_MAX_FILE_PATH - 1);
	} else if (key == 0 && self->n_files == FW_CFG_FILES) {
		done = error_fail(error, "there are more than %u files", FW_CFG_FILES);
	} else if (key == 0) {
		key = (uint16_t)(FW_CFG_FILE_FIRST + self->n_files++);
		g_strlcpy(self->items[key].name, name, sizeof(self->items[key].name));
	}
	if (done) {
		replace_item(self, key, g_memdup2(data, size), size);
		update_directory(self);
	}
	g_mutex_unlock(&device->lock);
	return done;
}

void fw_cfg_set_prepare(Device *device, const char *name, void (*prepare)(void *opaque),
			void *opaque)
{
	FwCfg *self = fw_cfg_of(device);

	self->prepare_key = find_file(self, name);
	self->prepare = prepare;
	self->prepare_opaque = opaque;
}

/* Lock held; it is let go of meanwhile where there is something to prepare. */
static void select_item(FwCfg *self, uint16_t key)
{
	self->key = key;
	self->position = 0;
	if (self->prepare && key == self->prepare_key) {
		g_mutex_unlock(&self->device.lock);
		self->prepare(self->prepare_opaque);
		g_mutex_lock(&self->device.lock);
	}
}

/* Read from @item's file; what it lacks (it became shorter) is zero. */
static void read_fd(const FwCfgItem *item, uint32_t position, uint8_t *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(item->fd, to + done, size - done,
				  (off_t)(item->offset + position + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	memset(to + done, 0, size - done);
}

/* The next @size bytes of the selected item; behind its end there are zeroes. */
static void read_selected(FwCfg *self, uint8_t *to, size_t size)
{
	const FwCfgItem *item = find_item(self, self->key);
	uint32_t left = item && item->size > self->position ? item->size - self->position : 0;
	size_t part = MIN(size, left);

	if (part > 0 && item->bytes)
		memcpy(to, item->bytes + self->position, part);
	else if (part > 0)
		read_fd(item, self->position, to, part);
	memset(to + part, 0, size - part);
	self->position += (uint32_t)part;
}

/* False where guest memory ends. */
static bool transfer_read(FwCfg *self, uint64_t address, uint32_t length)
{
	GuestMemory *memory = self->device.services->memory;

	while (length > 0) {
		uint32_t part = MIN(length, PIECE);
		uint8_t *hva = guest_memory_hva(memory, address, part, true);

		if (!hva) {
			part = MIN(length, PAGE - (uint32_t)(address % PAGE));
			hva = guest_memory_hva(memory, address, part, true);
		}
		if (!hva)
			return false;
		read_selected(self, hva, part);
		guest_memory_mark(memory, hva, part);
		address += part;
		length -= part;
	}
	return true;
}

/* Perform the transfer that the structure at @address describes; lock held. */
static void transfer(FwCfg *self, uint64_t address)
{
	GuestMemory *memory = self->device.services->memory;
	struct fw_cfg_dma_access access;
	const FwCfgItem *item;
	uint32_t control, length, result = 0;

	/* There is nowhere to say that this failed. */
	if (!guest_memory_read(memory, address, &access, sizeof(access)))
		return;
	control = GUINT32_FROM_BE(access.control);
	length = GUINT32_FROM_BE(access.length);
	if (control & FW_CFG_DMA_CTL_SELECT)
		select_item(self, (uint16_t)(control >> 16));
	item = find_item(self, self->key);
	if (control & FW_CFG_DMA_CTL_READ) {
		if (!transfer_read(self, GUINT64_FROM_BE(access.address), length))
			result = FW_CFG_DMA_CTL_ERROR;
	} else if (control & FW_CFG_DMA_CTL_WRITE) {
		result = FW_CFG_DMA_CTL_ERROR;
	} else if (control & FW_CFG_DMA_CTL_SKIP) {
		self->position += item && item->size > self->position
					  ? MIN(length, item->size - self->position)
					  : 0;
	}
	result = GUINT32_TO_BE(result);
	guest_memory_write(memory, address, &result, sizeof(result));
}

static uint64_t fw_cfg_read(void *opaque, uint64_t offset, unsigned size)
{
	FwCfg *self = opaque;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i;
		uint8_t byte = 0;

		if (at == REG_DATA && size == 1) {
			g_mutex_lock(&self->device.lock);
			read_selected(self, &byte, 1);
			g_mutex_unlock(&self->device.lock);
		} else if (at >= REG_DMA) {
			byte = (uint8_t)(DMA_SIGNATURE >> (7 - (at - REG_DMA)) * 8);
		}
		value |= (uint64_t)byte << i * 8;
	}
	return value;
}

static void fw_cfg_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	FwCfg *self = opaque;

	g_mutex_lock(&self->device.lock);
	if (offset == REG_SELECTOR && size == 2) {
		select_item(self, (uint16_t)value);
	} else if (offset == REG_DMA && size == 4) {
		self->dma_high = GUINT32_SWAP_LE_BE((uint32_t)value);
	} else if (offset == REG_DMA_LOW && size == 4) {
		uint64_t address = (uint64_t)self->dma_high << 32 |
				   GUINT32_SWAP_LE_BE((uint32_t)value);

		self->dma_high = 0;
		transfer(self, address);
	}
	g_mutex_unlock(&self->device.lock);
}

static const IoRegionOps fw_cfg_ops = {
	.read = fw_cfg_read,
	.write = fw_cfg_write,
	.maximum_size = 4,
};

static void fw_cfg_reset(Device *device)
{
	FwCfg *self = fw_cfg_of(device);

	g_mutex_lock(&device->lock);
	self->key = FW_CFG_SIGNATURE;
	self->position = 0;
	self->dma_high = 0;
	g_mutex_unlock(&device->lock);
}

static bool fw_cfg_realize(Device *device, GError **error)
{
	FwCfg *self = fw_cfg_of(device);

	self->region =
		(IoRegion){ .name = "fw_cfg", .size = PORTS, .ops = &fw_cfg_ops, .opaque = self };
	if (!address_space_map(device->services->pio, &self->region, PORT))
		return error_fail(error, "there is no port 0x%x", PORT);
	fw_cfg_set_item(device, FW_CFG_SIGNATURE, "QEMU", FW_CFG_SIG_SIZE);
	fw_cfg_set_item_32(device, FW_CFG_ID, FW_CFG_VERSION | FW_CFG_VERSION_DMA);
	update_directory(self);
	fw_cfg_reset(device);
	return true;
}

static void fw_cfg_unrealize(Device *device)
{
	FwCfg *self = fw_cfg_of(device);

	address_space_unmap(device->services->pio, &self->region);
	for (unsigned i = 0; i < KEYS; i++)
		g_free(self->items[i].bytes);
	for (unsigned i = 0; i < LOCAL_KEYS; i++)
		g_free(self->local_items[i].bytes);
}

/* The items follow from the configuration; what firmware is doing with them is state. */
static const StateTable fw_cfg_state = {
	.name = "fw_cfg",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(FwCfg, key, STATE_UINT16),
			STATE_FIELD(FwCfg, position, STATE_UINT32),
			STATE_FIELD(FwCfg, dma_high, STATE_UINT32),
			STATE_END,
		},
};

const DeviceType fw_cfg_type = {
	.name = "fw_cfg",
	.description = "firmware configuration",
	.category = "Misc",
	.instance_size = sizeof(FwCfg),
	.state = &fw_cfg_state,
	.realize = fw_cfg_realize,
	.unrealize = fw_cfg_unrealize,
	.reset = fw_cfg_reset,
};
