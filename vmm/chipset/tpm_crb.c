/*
 * tpm_crb.c: a TPM 2.0 with the Command Response Buffer interface
 *
 * TCG PC Client Platform TPM Profile Specification for TPM 2.0 (PTP), §6.4 and §6.5.3: locality 0
 * alone, no interrupts. The guest asks for the locality, makes the TPM ready, writes a command to
 * the buffer and starts it; the response is in the same buffer once "start" reads as 0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"
#include "vmm/tpm/tpm.h"
#include "vmm/x86/acpi_layout.h"

#include "qapi-events.h"

#include <string.h>

/* Offsets in the locality, PTP table 25. */
enum {
	REG_LOC_STATE = 0x00,
	REG_LOC_CTRL = 0x08,
	REG_LOC_STS = 0x0c,
	REG_INTERFACE_ID = 0x30,
	REG_VENDOR = 0x34,
	REG_CTRL_REQ = 0x40,
	REG_CTRL_STS = 0x44,
	REG_CTRL_CANCEL = 0x48,
	REG_CTRL_START = 0x4c,
	REG_CMD_SIZE = 0x58,
	REG_CMD_ADDRESS = 0x5c, /* 64 bits, as that of the response */
	REG_RSP_SIZE = 0x64,
	REG_RSP_ADDRESS = 0x68,
	REGISTERS_SIZE = 0x80,
};
#define BUFFER_SIZE (ACPI_TPM_SIZE - REGISTERS_SIZE)

enum {
	LOC_STATE_NOT_ESTABLISHED = 0x01,
	LOC_STATE_ASSIGNED = 0x02,
	LOC_STATE_VALID = 0x80,

	LOC_CTRL_REQUEST_ACCESS = 0x01,
	LOC_CTRL_RELINQUISH = 0x02,

	LOC_STS_GRANTED = 0x01,

	CTRL_REQ_READY = 0x01,
	CTRL_REQ_GO_IDLE = 0x02,

	CTRL_STS_FATAL = 0x01,
	CTRL_STS_IDLE = 0x02,

	CTRL_START = 0x01,
	CTRL_CANCEL = 0x01,
};

/* A CRB, version 1, that cannot be changed to another interface; 64 bytes at a time. */
#define INTERFACE_ID (0x1u | 0x1u << 4 | 0x3u << 11 | 0x1u << 14 | 0x1u << 17)
/* The emulator is IBM's. */
#define VENDOR_ID 0x1014u

typedef struct TpmCrb {
	Device device;
	char *tpmdev; /* property */
	Tpm *tpm;
	IoRegion region;
	/*
	 * What system and firmware leave each other (ACPI's _DSM, TCG Physical Presence Interface):
	 * memory that a reset leaves alone.
	 */
	IoRegion presence;
	GCond done; /* executing is false */

	/* Under device.lock. */
	bool assigned; /* the guest has the locality */
	bool idle;
	bool fatal;
	bool cancel;
	bool executing;
	uint32_t serial; /* of the last command */
	uint8_t buffer[BUFFER_SIZE];
	uint8_t presence_memory[ACPI_TPM_PPI_SIZE];
} TpmCrb;

static TpmCrb *tpm_crb_of(Device *device)
{
	return (TpmCrb *)device;
}

static uint32_t register_value(const TpmCrb *crb, unsigned offset)
{
	switch (offset) {
	case REG_LOC_STATE:
		return LOC_STATE_VALID | (crb->assigned ? LOC_STATE_ASSIGNED : 0) |
		       (tpm_is_established(crb->tpm) ? 0 : LOC_STATE_NOT_ESTABLISHED);
	case REG_LOC_STS:
		return crb->assigned ? LOC_STS_GRANTED : 0;
	case REG_INTERFACE_ID:
		return INTERFACE_ID;
	case REG_VENDOR:
		return VENDOR_ID;
	case REG_CTRL_STS:
		return (crb->fatal ? CTRL_STS_FATAL : 0) | (crb->idle ? CTRL_STS_IDLE : 0);
	case REG_CTRL_CANCEL:
		return crb->cancel ? CTRL_CANCEL : 0;
	case REG_CTRL_START:
		return crb->executing ? CTRL_START : 0;
	case REG_CMD_SIZE:
	case REG_RSP_SIZE:
		return tpm_buffer_size(crb->tpm);
	case REG_CMD_ADDRESS:
	case REG_RSP_ADDRESS:
		return ACPI_TPM_BASE + REGISTERS_SIZE;
	default:
		return 0;
	}
}

static uint64_t tpm_crb_read(void *opaque, uint64_t offset, unsigned size)
{
	TpmCrb *crb = opaque;
	uint64_t value = 0;

	g_mutex_lock(&crb->device.lock);
	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i;
		uint8_t byte = at < REGISTERS_SIZE
				       ? (uint8_t)(register_value(crb, at & ~3u) >> 8 * (at & 3))
				       : crb->buffer[at - REGISTERS_SIZE];

		value |= (uint64_t)byte << 8 * i;
	}
	g_mutex_unlock(&crb->device.lock);
	return value;
}

/* The response is in the buffer, or there is none: the TPM has failed. */
static void finish(TpmCrb *crb)
{
	crb->executing = false;
	crb->cancel = false;
	g_cond_broadcast(&crb->done);
}

static void respond(TpmCrb *crb, uint32_t code)
{
	tpm_make_response(code, crb->buffer);
	finish(crb);
}

static void start(TpmCrb *crb)
{
	uint32_t size = tpm_message_size(crb->buffer);

	if (crb->executing || crb->idle || !crb->assigned)
		return;
	if (size < TPM_HEADER_SIZE || size > tpm_buffer_size(crb->tpm)) {
		respond(crb, TPM_RC_COMMAND_SIZE);
		return;
	}
	crb->executing = true;
	tpm_execute(crb->tpm, ++crb->serial, crb->buffer, size);
}

/* Bits that are not written are zero here, which does nothing anywhere but in "cancel". */
static void register_write(TpmCrb *crb, unsigned offset, uint32_t value)
{
	switch (offset) {
	case REG_LOC_CTRL:
		if (value & LOC_CTRL_REQUEST_ACCESS)
			crb->assigned = true;
		else if (value & LOC_CTRL_RELINQUISH)
			crb->assigned = false;
		break;
	case REG_CTRL_REQ:
		if (crb->executing)
			break;
		if (value & CTRL_REQ_READY)
			crb->idle = false;
		else if (value & CTRL_REQ_GO_IDLE)
			crb->idle = true;
		break;
	case REG_CTRL_CANCEL:
		if ((value & CTRL_CANCEL) && !crb->cancel && crb->executing)
			tpm_cancel(crb->tpm);
		crb->cancel = value & CTRL_CANCEL;
		break;
	case REG_CTRL_START:
		if (value & CTRL_START)
			start(crb);
		break;
	default:
		break;
	}
}

static void tpm_crb_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	TpmCrb *crb = opaque;
	uint64_t end = offset + size;

	g_mutex_lock(&crb->device.lock);
	for (uint64_t at = offset; at < end;) {
		uint8_t byte = (uint8_t)(value >> 8 * (at - offset));
		uint32_t bits = 0;

		if (at >= REGISTERS_SIZE) {
			/* What is being carried out was copied; the buffer is the response's now.
			 */
			if (!crb->executing)
				crb->buffer[at - REGISTERS_SIZE] = byte;
			at++;
			continue;
		}
		do {
			bits |= (uint32_t)(uint8_t)(value >> 8 * (at - offset)) << 8 * (at & 3);
			at++;
		} while (at < end && at & 3);
		register_write(crb, (at - 1) & ~3u, bits);
	}
	g_mutex_unlock(&crb->device.lock);
}

static const IoRegionOps tpm_crb_ops = {
	.read = tpm_crb_read,
	.write = tpm_crb_write,
};

static uint64_t presence_read(void *opaque, uint64_t offset, unsigned size)
{
	TpmCrb *crb = opaque;
	uint64_t value = 0;

	g_mutex_lock(&crb->device.lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)crb->presence_memory[offset + i] << 8 * i;
	g_mutex_unlock(&crb->device.lock);
	return value;
}

static void presence_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	TpmCrb *crb = opaque;

	g_mutex_lock(&crb->device.lock);
	for (unsigned i = 0; i < size; i++)
		crb->presence_memory[offset + i] = (uint8_t)(value >> 8 * i);
	g_mutex_unlock(&crb->device.lock);
}

static const IoRegionOps presence_ops = {
	.read = presence_read,
	.write = presence_write,
};

static void on_complete(void *opaque, uint32_t serial, const uint8_t *response, size_t size)
{
	TpmCrb *crb = opaque;

	g_mutex_lock(&crb->device.lock);
	/* Before a reset it was another guest's, so to say. */
	if (crb->executing && serial == crb->serial) {
		if (size == 0) {
			crb->fatal = true;
			respond(crb, TPM_RC_FAILURE);
		} else {
			memcpy(crb->buffer, response, MIN(size, sizeof(crb->buffer)));
			finish(crb);
		}
	}
	g_mutex_unlock(&crb->device.lock);
}

static void on_failed(void *opaque, const char *reason)
{
	TpmCrb *crb = opaque;

	g_mutex_lock(&crb->device.lock);
	crb->fatal = true;
	g_mutex_unlock(&crb->device.lock);
	qapi_event_x_vireo_tpm_failed(crb->device.services->events, crb->tpmdev, reason);
}

static const TpmListener listener = { .complete = on_complete, .failed = on_failed };

static void tpm_crb_reset(Device *device)
{
	TpmCrb *crb = tpm_crb_of(device);

	g_mutex_lock(&device->lock);
	crb->assigned = false;
	crb->idle = true;
	crb->fatal = tpm_has_failed(crb->tpm);
	memset(crb->buffer, 0, sizeof(crb->buffer));
	finish(crb);
	g_mutex_unlock(&device->lock);
	tpm_reset(crb->tpm);
}

/* There is one address. */
static void find_other(Device *device, gpointer data)
{
	bool *found = data;

	if (device->type == &tpm_crb_type && device->realized)
		*found = true;
}

static bool tpm_crb_realize(Device *device, GError **error)
{
	TpmCrb *crb = tpm_crb_of(device);
	IoLoop *loop = device->services->find_io_loop(device->services, NULL);
	bool other = false;

	if (device->tree)
		device_tree_foreach(device->tree, false, find_other, &other);
	if (other)
		return error_fail(error, "there can be one TPM");
	crb->tpm = device->services->find_tpm(device->services, crb->tpmdev);
	if (!crb->tpm)
		return error_fail(error, "there is no TPM '%s' (-tpmdev)", crb->tpmdev);
	if (!loop)
		return error_fail(error, "there is no I/O thread for TPM '%s'", crb->tpmdev);
	g_cond_init(&crb->done);
	if (!tpm_attach(crb->tpm, loop, BUFFER_SIZE, &listener, crb, error)) {
		g_cond_clear(&crb->done);
		return false;
	}
	crb->region = (IoRegion){
		.name = "tpm-crb", .size = ACPI_TPM_SIZE, .ops = &tpm_crb_ops, .opaque = crb
	};
	/* It is below 4 GiB, where there always are addresses. */
	address_space_map(device->services->mmio, &crb->region, ACPI_TPM_BASE);
	crb->presence = (IoRegion){ .name = "tpm-presence",
				    .size = ACPI_TPM_PPI_SIZE,
				    .ops = &presence_ops,
				    .opaque = crb };
	address_space_map(device->services->mmio, &crb->presence, ACPI_TPM_PPI_BASE);
	tpm_crb_reset(device);
	return true;
}

static void tpm_crb_unrealize(Device *device)
{
	TpmCrb *crb = tpm_crb_of(device);

	address_space_unmap(device->services->mmio, &crb->presence);
	address_space_unmap(device->services->mmio, &crb->region);
	rcu_synchronize();
	tpm_detach(crb->tpm);
	g_cond_clear(&crb->done);
}

/* A command that is being carried out cannot be saved; the TPM's silence has a limit. */
static void tpm_crb_before_save(void *object)
{
	TpmCrb *crb = object;

	g_mutex_lock(&crb->device.lock);
	while (crb->executing)
		g_cond_wait(&crb->done, &crb->device.lock);
	g_mutex_unlock(&crb->device.lock);
}

static const StateTable tpm_crb_state = {
	.name = "tpm-crb",
	.version = 1,
	.minimum_version = 1,
	.before_save = tpm_crb_before_save,
	.fields =
		(const StateField[]){
			STATE_FIELD(TpmCrb, assigned, STATE_BOOL),
			STATE_FIELD(TpmCrb, idle, STATE_BOOL),
			STATE_FIELD(TpmCrb, fatal, STATE_BOOL),
			STATE_FIELD(TpmCrb, cancel, STATE_BOOL),
			STATE_RAW(TpmCrb, buffer),
			STATE_RAW(TpmCrb, presence_memory),
			STATE_END,
		},
};

static const Property tpm_crb_properties[] = {
	{
		.name = "tpmdev",
		.kind = PROPERTY_STRING,
		.offset = offsetof(TpmCrb, tpmdev),
		.required = true,
		.description = "id of the TPM behind it (-tpmdev)",
	},
	PROPERTY_END,
};

const DeviceType tpm_crb_type = {
	.name = "tpm-crb",
	.description = "TPM 2.0 with a command response buffer",
	.category = "Misc",
	.bus_kind = "ISA",
	.instance_size = sizeof(TpmCrb),
	.properties = { tpm_crb_properties },
	.state = &tpm_crb_state,
	.user_creatable = true,
	.realize = tpm_crb_realize,
	.unrealize = tpm_crb_unrealize,
	.reset = tpm_crb_reset,
};
