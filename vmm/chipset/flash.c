/*
 * flash.c: parallel flash memory, where UEFI firmware and its variables are
 *
 * Intel's command set as JEDEC JESD68 (CFI) and the Intel 28FxxxJ3 datasheets have it, eight bits
 * wide, in blocks of 4 KiB. In read-array mode the guest reads (and runs) the bytes without an
 * exit; a command takes that mapping away until the guest goes back. What it programs or erases is
 * in the image before the command is reported done. A read-only image reports its blocks locked.
 *
 * One thing is as firmware expects it rather than as in a datasheet: after Clear Status the status
 * register is all zero, ready bit and all, until the next operation. OVMF tells flash by that.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/block/block_image.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"

#define BLOCK_SIZE   4096u
#define BUFFER_SIZE  64u /* of buffered programming; a power of two */
#define MANUFACTURER 0x89u
#define DEVICE_CODE  0x18u
#define ERASED	     0xffu
#define QUERY_START  0x10u
#define QUERY_END    0x37u

enum {
	COMMAND_PROGRAM_ALTERNATE = 0x10,
	COMMAND_ERASE = 0x20,
	COMMAND_PROGRAM = 0x40,
	COMMAND_CLEAR_STATUS = 0x50,
	COMMAND_LOCK = 0x60,
	COMMAND_READ_STATUS = 0x70,
	COMMAND_READ_IDENTIFIER = 0x90,
	COMMAND_QUERY = 0x98,
	COMMAND_CONFIRM = 0xd0,
	COMMAND_BUFFERED_PROGRAM = 0xe8,
	COMMAND_READ_ARRAY = 0xff,

	STATUS_LOCKED = 0x02,
	STATUS_PROGRAM_ERROR = 0x10,
	STATUS_ERASE_ERROR = 0x20,
	STATUS_SEQUENCE_ERROR = STATUS_PROGRAM_ERROR | STATUS_ERASE_ERROR,
	STATUS_READY = 0x80,
};

/* What reads give. */
enum { READS_ARRAY, READS_STATUS, READS_IDENTIFIER, READS_QUERY };

/* What the next write is. */
enum {
	WAITS_COMMAND,
	WAITS_DATA,
	WAITS_ERASE_CONFIRM,
	WAITS_LOCK_CONFIRM,
	WAITS_COUNT,
	WAITS_BUFFER_DATA,
	WAITS_BUFFER_CONFIRM,
	N_WAITS,
};

typedef struct Flash {
	Device device;
	IoRegion array;	   /* mapped while reads give the array */
	IoRegion commands; /* mapped otherwise */
	char *node_name;
	uint64_t end;  /* guest-physical; the flash above begins there */
	uint64_t base; /* guest-physical */
	BlockNode *node;
	uint8_t *bytes;
	uint64_t size;
	bool writable;

	/* Under device.lock. */
	uint8_t reads, waits, status;
	uint32_t buffer_offset, buffer_left; /* of buffered programming: bytes */
	uint32_t buffer_count;
	uint8_t buffer[BUFFER_SIZE];
	bool failing;	/* the last write to the image did, and the log has it */
	uint8_t *saved; /* what to save: bytes if writable, or NULL */
	uint32_t saved_blocks;
} Flash;

/* JESD68 table 1, from offset 0x10. */
static uint8_t query_byte(const Flash *flash, uint64_t offset)
{
	uint32_t blocks = (uint32_t)(flash->size / BLOCK_SIZE) - 1;

	switch (offset) {
	case 0x10:
		return 'Q';
	case 0x11:
		return 'R';
	case 0x12:
		return 'Y';
	case 0x13: /* primary command set: Intel's extended */
		return 1;
	case 0x15: /* where its table is */
	case 0x31:
		return offset == 0x15 ? 0x31 : 'P';
	case 0x1b: /* supply voltage, 4.5 V to 5.5 V, in BCD */
		return 0x45;
	case 0x1c:
		return 0x55;
	case 0x1f: /* 2^n us to program a byte; 0x20: a buffer; 0x21: 2^n ms to erase a block */
	case 0x20:
		return 7;
	case 0x21:
		return 10;
	case 0x23: /* at most 2^n times these */
	case 0x24:
	case 0x25:
		return 4;
	case 0x27: /* size is 2^n bytes; rounded up, as the field cannot say other sizes */
		return (uint8_t)(64 - __builtin_clzll(flash->size - 1));
	case 0x2a: /* 2^n bytes at once */
		return (uint8_t)__builtin_ctz(BUFFER_SIZE);
	case 0x2c: /* one region of erase blocks */
		return 1;
	case 0x2d:
		return (uint8_t)blocks;
	case 0x2e:
		return (uint8_t)(blocks >> 8);
	case 0x30: /* block size / 256 */
		return (uint8_t)(BLOCK_SIZE >> 16);
	case 0x2f:
		return (uint8_t)(BLOCK_SIZE >> 8);
	case 0x32:
		return 'R';
	case 0x33:
		return 'I';
	case 0x34: /* version 1.0 */
		return '1';
	case 0x35:
		return '0';
	default:
		return 0;
	}
}

static uint8_t identifier_byte(const Flash *flash, uint64_t offset)
{
	switch (offset & 0xff) {
	case 0:
		return MANUFACTURER;
	case 1:
		return DEVICE_CODE;
	case 2: /* the block's lock */
		return !flash->writable;
	default:
		return 0;
	}
}

static uint8_t read_byte(const Flash *flash, uint64_t offset)
{
	switch (flash->reads) {
	case READS_ARRAY:
		return flash->bytes[offset];
	case READS_STATUS:
		return flash->status;
	case READS_IDENTIFIER:
		return identifier_byte(flash, offset);
	default:
		return offset >= QUERY_START && offset < QUERY_END ? query_byte(flash, offset) : 0;
	}
}

static uint64_t flash_read(void *opaque, uint64_t offset, unsigned size)
{
	Flash *flash = opaque;
	uint64_t value = 0;

	g_mutex_lock(&flash->device.lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(flash, offset + i) << i * 8;
	g_mutex_unlock(&flash->device.lock);
	return value;
}

/* What reads give from now on. There is no moment at which nothing answers. */
static void set_reads(Flash *flash, uint8_t reads)
{
	AddressSpace *mmio = flash->device.services->mmio;

	flash->reads = reads;
	if (reads == READS_ARRAY) {
		address_space_map(mmio, &flash->array, flash->base);
		address_space_unmap(mmio, &flash->commands);
	} else {
		address_space_map(mmio, &flash->commands, flash->base);
		address_space_unmap(mmio, &flash->array);
	}
}

/* Bring @size bytes at @offset to the image; where that fails, so does what the guest does: @error. */
static void save(Flash *flash, uint64_t offset, size_t size, uint8_t error)
{
	int result = block_node_image_write(flash->node, offset, flash->bytes + offset, size);

	if (result < 0)
		flash->status |= error;
	/* Once: the guest may try again as often as it likes. */
	if (result < 0 && !flash->failing)
		g_warning("flash '%s': cannot write: %s", flash->node_name, error_text(-result));
	flash->failing = result < 0;
}

/* Programming only clears bits; the image has it before the guest is told. */
static void program(Flash *flash, uint64_t offset, const uint8_t *data, size_t size)
{
	flash->status |= STATUS_READY;
	if (!flash->writable || size > flash->size - offset) {
		flash->status |= STATUS_PROGRAM_ERROR | (flash->writable ? 0 : STATUS_LOCKED);
		return;
	}
	for (size_t i = 0; i < size; i++)
		flash->bytes[offset + i] &= data[i];
	save(flash, offset, size, STATUS_PROGRAM_ERROR);
}

static void erase(Flash *flash, uint64_t offset)
{
	uint64_t start = offset - offset % BLOCK_SIZE;

	flash->status |= STATUS_READY;
	if (!flash->writable) {
		flash->status |= STATUS_ERASE_ERROR | STATUS_LOCKED;
		return;
	}
	memset(flash->bytes + start, ERASED, BLOCK_SIZE);
	save(flash, start, BLOCK_SIZE, STATUS_ERASE_ERROR);
}

static void write_command(Flash *flash, uint8_t command)
{
	uint8_t reads = READS_STATUS;

	switch (command) {
	case COMMAND_PROGRAM:
	case COMMAND_PROGRAM_ALTERNATE:
		flash->waits = WAITS_DATA;
		break;
	case COMMAND_ERASE:
		flash->waits = WAITS_ERASE_CONFIRM;
		break;
	case COMMAND_LOCK:
		flash->waits = WAITS_LOCK_CONFIRM;
		break;
	case COMMAND_BUFFERED_PROGRAM:
		/* The extended status register: a buffer is available. */
		flash->status |= STATUS_READY;
		flash->waits = WAITS_COUNT;
		break;
	case COMMAND_READ_STATUS:
		break;
	case COMMAND_READ_IDENTIFIER:
		reads = READS_IDENTIFIER;
		break;
	case COMMAND_QUERY:
		reads = READS_QUERY;
		break;
	case COMMAND_CLEAR_STATUS:
		flash->status = 0;
		reads = READS_ARRAY;
		break;
	default: /* COMMAND_READ_ARRAY, and what there is not */
		reads = READS_ARRAY;
		break;
	}
	set_reads(flash, reads);
}

static void sequence_error(Flash *flash)
{
	flash->status |= STATUS_READY | STATUS_SEQUENCE_ERROR;
	flash->waits = WAITS_COMMAND;
}

/* The number of bytes that follow, less one. */
static void write_count(Flash *flash, uint64_t offset, uint64_t value)
{
	if (value >= BUFFER_SIZE) {
		sequence_error(flash);
		return;
	}
	flash->buffer_count = flash->buffer_left = (uint32_t)value + 1;
	flash->buffer_offset = (uint32_t)(offset - offset % BUFFER_SIZE);
	memset(flash->buffer, ERASED, sizeof(flash->buffer));
	flash->waits = WAITS_BUFFER_DATA;
}

static void write_buffer(Flash *flash, uint64_t offset, const uint8_t *data, unsigned size)
{
	/* The first address says which stretch of the flash it is. */
	if (flash->buffer_left == flash->buffer_count)
		flash->buffer_offset = (uint32_t)(offset - offset % BUFFER_SIZE);
	if (size > flash->buffer_left || offset < flash->buffer_offset ||
	    offset + size > (uint64_t)flash->buffer_offset + BUFFER_SIZE) {
		sequence_error(flash);
		return;
	}
	memcpy(flash->buffer + (offset - flash->buffer_offset), data, size);
	flash->buffer_left -= size;
	if (flash->buffer_left == 0)
		flash->waits = WAITS_BUFFER_CONFIRM;
}

static void flash_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	Flash *flash = opaque;
	uint8_t data[8], command = (uint8_t)value;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(value >> i * 8);
	g_mutex_lock(&flash->device.lock);
	switch (flash->waits) {
	case WAITS_COMMAND:
		write_command(flash, command);
		break;
	case WAITS_DATA:
		program(flash, offset, data, size);
		flash->waits = WAITS_COMMAND;
		break;
	case WAITS_ERASE_CONFIRM:
		if (command == COMMAND_CONFIRM)
			erase(flash, offset);
		else
			sequence_error(flash);
		flash->waits = WAITS_COMMAND;
		break;
	case WAITS_LOCK_CONFIRM: /* blocks cannot be locked one by one: 0xd0 unlocks all there are
				  */
		if (command == COMMAND_CONFIRM)
			flash->status |= STATUS_READY;
		else
			sequence_error(flash);
		flash->waits = WAITS_COMMAND;
		break;
	case WAITS_COUNT:
		write_count(flash, offset, value);
		break;
	case WAITS_BUFFER_DATA:
		write_buffer(flash, offset, data, size);
		break;
	default:
		if (command == COMMAND_CONFIRM)
			program(flash, flash->buffer_offset, flash->buffer, BUFFER_SIZE);
		else
			sequence_error(flash);
		flash->waits = WAITS_COMMAND;
		break;
	}
	g_mutex_unlock(&flash->device.lock);
}

static const IoRegionOps flash_ops = {
	.read = flash_read,
	.write = flash_write,
	.maximum_size = 4,
};

static void flash_reset(Device *device)
{
	Flash *flash = (Flash *)device;

	g_mutex_lock(&device->lock);
	flash->waits = WAITS_COMMAND;
	flash->status = STATUS_READY;
	flash->buffer_count = flash->buffer_left = flash->buffer_offset = 0;
	memset(flash->buffer, 0, sizeof(flash->buffer));
	set_reads(flash, READS_ARRAY);
	g_mutex_unlock(&device->lock);
}

static bool flash_load_image(Flash *flash, GError **error)
{
	BlockLimits limits;

	if (!block_node_image_size(flash->node, &flash->size, error))
		return false;
	if (flash->size == 0 || flash->size % BLOCK_SIZE != 0 || flash->size > FLASH_MAXIMUM_SIZE)
		return error_fail(error,
				  "the image of node '%s' has %" PRIu64
				  " bytes: flash has a multiple of %u, at most %u MiB",
				  flash->node_name, flash->size, BLOCK_SIZE,
				  FLASH_MAXIMUM_SIZE >> 20);
	block_node_get_limits(flash->node, &limits);
	flash->writable = !limits.read_only;
	flash->bytes = block_node_image_map(flash->node, flash->size, error);
	return flash->bytes != NULL;
}

static bool flash_realize(Device *device, GError **error)
{
	Flash *flash = (Flash *)device;

	flash->node = device->services->find_block_node(device->services, flash->node_name);
	if (!flash->node)
		return error_fail(error, "there is no node '%s'", flash->node_name);
	if (!block_node_attach(flash->node, &(BlockUser){ .name = device->type->name }, error))
		return false;
	if (!flash_load_image(flash, error)) {
		block_node_detach(flash->node);
		return false;
	}
	flash->base = flash->end - flash->size;
	flash->array = flash->commands = (IoRegion){
		.name = "flash", .size = flash->size, .ops = &flash_ops, .opaque = flash
	};
	flash->array.rom = flash->bytes;
	flash->saved = flash->writable ? flash->bytes : NULL;
	flash->saved_blocks = flash->writable ? (uint32_t)(flash->size / BLOCK_SIZE) : 0;
	flash_reset(device);
	return true;
}

static void flash_unrealize(Device *device)
{
	Flash *flash = (Flash *)device;

	address_space_unmap(device->services->mmio, &flash->array);
	address_space_unmap(device->services->mmio, &flash->commands);
	rcu_synchronize();
	block_node_image_unmap(flash->bytes, flash->size);
	block_node_detach(flash->node);
}

uint64_t flash_base(const Device *device)
{
	return ((const Flash *)device)->base;
}

static bool flash_loaded(void *object, GError **error)
{
	Flash *flash = object;
	int result;

	if (flash->reads > READS_QUERY || flash->waits >= N_WAITS ||
	    flash->buffer_count > BUFFER_SIZE || flash->buffer_left > flash->buffer_count ||
	    flash->buffer_offset % BUFFER_SIZE != 0 || flash->buffer_offset >= flash->size)
		return error_fail(error, "flash in a state that it has not");
	result = flash->writable ? block_node_image_write(flash->node, 0, flash->bytes, flash->size)
				 : 0;
	if (result < 0)
		return error_fail_errno(error, -result, "flash '%s': cannot write",
					flash->node_name);
	g_mutex_lock(&flash->device.lock);
	set_reads(flash, flash->reads);
	g_mutex_unlock(&flash->device.lock);
	return true;
}

static const StateTable flash_state = {
	.name = "cfi.pflash01",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(Flash, reads, STATE_UINT8),
			STATE_FIELD(Flash, waits, STATE_UINT8),
			STATE_FIELD(Flash, status, STATE_UINT8),
			STATE_FIELD(Flash, buffer_offset, STATE_UINT32),
			STATE_FIELD(Flash, buffer_count, STATE_UINT32),
			STATE_FIELD(Flash, buffer_left, STATE_UINT32),
			STATE_RAW(Flash, buffer),
			{
				.name = "content",
				.kind = STATE_BYTES,
				.offset = offsetof(Flash, saved),
				.element_size = BLOCK_SIZE,
				.is_pointer = true,
				.has_count_offset = true,
				.count_offset = offsetof(Flash, saved_blocks),
			},
			STATE_END,
		},
	.after_load = flash_loaded,
};

static const Property flash_properties[] = {
	{
		.name = "drive",
		.kind = PROPERTY_NODE,
		.offset = offsetof(Flash, node_name),
		.required = true,
		.description = "node with its content",
	},
	{
		.name = "end",
		.kind = PROPERTY_UINT64,
		.offset = offsetof(Flash, end),
		.minimum = UINT64_C(2) * FLASH_MAXIMUM_SIZE,
		.maximum = UINT64_C(0x100000000),
		.initial = UINT64_C(0x100000000),
		.description = "guest-physical address behind its last byte",
	},
	PROPERTY_END,
};

const DeviceType flash_type = {
	.name = "cfi.pflash01",
	.description = "parallel flash memory",
	.category = "Storage",
	.instance_size = sizeof(Flash),
	.properties = { flash_properties },
	.state = &flash_state,
	.realize = flash_realize,
	.unrealize = flash_unrealize,
	.reset = flash_reset,
};
