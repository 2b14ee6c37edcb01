/*
 * xhci_internal.h: what the files of the host controller share
 *
 * Everything is under the lock of the controller, unless a comment says otherwise. Section numbers
 * are those of xHCI 1.1.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci.h"
#include "vmm/usb/usb.h"

#define XHCI_SLOTS	  64u
#define XHCI_ENDPOINTS	  31u /* by device context index, from 1 on (§4.5.1) */
#define XHCI_TRB_SIZE	  16u
#define XHCI_CONTEXT_SIZE 32u

/* TRBs that are taken in one go at most, beyond any use; more are there to keep a thread busy. */
#define XHCI_WORK_MAX 65536u

typedef enum XhciTrbType {
	TRB_NORMAL = 1,
	TRB_SETUP,
	TRB_DATA,
	TRB_STATUS,
	TRB_ISOCH,
	TRB_LINK,
	TRB_EVENT_DATA,
	TRB_NO_OP,
	TRB_ENABLE_SLOT,
	TRB_DISABLE_SLOT,
	TRB_ADDRESS_DEVICE,
	TRB_CONFIGURE_ENDPOINT,
	TRB_EVALUATE_CONTEXT,
	TRB_RESET_ENDPOINT,
	TRB_STOP_ENDPOINT,
	TRB_SET_DEQUEUE,
	TRB_RESET_DEVICE,
	TRB_NO_OP_COMMAND = 23,
	TRB_TRANSFER_EVENT = 32,
	TRB_COMMAND_EVENT = 33,
	TRB_PORT_EVENT = 34,
} XhciTrbType;

enum {
	TRB_CYCLE = 1u << 0,
	TRB_TOGGLE_CYCLE = 1u << 1,    /* of a link */
	TRB_SHORT_PACKET = 1u << 2,    /* interrupt on one */
	TRB_EVENT_DATA_FLAG = 1u << 2, /* of a transfer event */
	TRB_CHAIN = 1u << 4,
	TRB_INTERRUPT = 1u << 5, /* on completion */
	TRB_IMMEDIATE = 1u << 6, /* the data is in the TRB */
	TRB_BLOCK_SET_ADDRESS = 1u << 9,
	TRB_DECONFIGURE = 1u << 9,
	TRB_TO_HOST = 1u << 16, /* of a data stage */
	TRB_LENGTH = 0x1ffff,
};

typedef enum XhciCompletion {
	COMPLETION_SUCCESS = 1,
	COMPLETION_TRANSACTION = 4,
	COMPLETION_TRB_ERROR = 5,
	COMPLETION_STALL = 6,
	COMPLETION_NO_SLOTS = 9,
	COMPLETION_SLOT_DISABLED = 11,
	COMPLETION_ENDPOINT_DISABLED = 12,
	COMPLETION_SHORT_PACKET = 13,
	COMPLETION_PARAMETER = 17,
	COMPLETION_CONTEXT_STATE = 19,
	COMPLETION_COMMAND_RING_STOPPED = 24,
	COMPLETION_STOPPED = 26,
} XhciCompletion;

typedef enum XhciEndpointState { /* §6.2.3 */
				 ENDPOINT_DISABLED,
				 ENDPOINT_RUNNING,
				 ENDPOINT_HALTED,
				 ENDPOINT_STOPPED,
				 ENDPOINT_ERROR,
} XhciEndpointState;

typedef enum XhciSlotState { /* §6.2.2 */
			     SLOT_ENABLED,
			     SLOT_DEFAULT,
			     SLOT_ADDRESSED,
			     SLOT_CONFIGURED,
} XhciSlotState;

typedef struct XhciTrb {
	uint64_t parameter;
	uint32_t status, control;
} XhciTrb;

/* A ring that the controller reads: commands, transfers. */
typedef struct XhciRing {
	uint64_t dequeue; /* GPA */
	bool cycle;
} XhciRing;

/* A control transfer between its setup and its status stage. */
typedef struct XhciControl {
	uint8_t setup[8];
	bool active;	/* there was a setup stage */
	bool stalled;	/* the device did not like it */
	bool performed; /* the device has had the request */
	uint32_t done;	/* bytes of the data that have passed */
	uint32_t size;	/* bytes in data */
	uint8_t data[USB_TRANSFER_MAX];
} XhciControl;

typedef struct XhciEndpoint {
	uint8_t state; /* XhciEndpointState */
	uint8_t type;  /* as in the context; 4 control, 7 interrupt IN */
	bool doorbell; /* rung, and not found out to be empty since */
	XhciRing ring;
} XhciEndpoint;

typedef struct XhciSlot {
	bool enabled;
	uint8_t state;				    /* XhciSlotState */
	uint8_t port;				    /* of the root hub, from 1 on; 0: none */
	uint64_t context;			    /* GPA of the device context */
	XhciEndpoint endpoints[XHCI_ENDPOINTS + 1]; /* by index; 0 is not used */
	XhciControl control;
} XhciSlot;

typedef struct XhciPort {
	uint32_t status;    /* PORTSC */
	bool event_pending; /* a change that the guest has no event of yet */
} XhciPort;

typedef struct Xhci {
	PciDevice pci;
	UsbBus bus;
	IoRegion registers;
	uint32_t ports_2,
		ports_3; /* properties: how many of either speed; USB 2.0 ones come first */

	bool busy;     /* rings are being worked on further up the stack */
	unsigned work; /* TRBs that may still be taken on the way */
	bool warned;   /* the log has it that the guest did wrong */
	uint32_t command, status, notifications, config;
	uint64_t context_array; /* DCBAAP */
	XhciRing command_ring;
	bool command_running, command_doorbell;
	XhciPort ports[2 * USB_PORTS_MAX];

	/* The one interrupter (§5.5.2) and its event ring. */
	uint32_t management, moderation, segments;
	uint64_t segment_table, event_dequeue;
	uint64_t event_base;  /* GPA of the ring's one segment */
	uint32_t event_size;  /* TRBs in it; 0: none */
	uint32_t event_index; /* of the next one to be written */
	bool event_cycle;

	XhciSlot slots[XHCI_SLOTS];
} Xhci;

static inline unsigned xhci_n_ports(const Xhci *xhci)
{
	return xhci->ports_2 + xhci->ports_3;
}

/* What is plugged in where @slot's device was addressed; NULL if nothing is. */
static inline UsbDevice *xhci_slot_device(const Xhci *xhci, const XhciSlot *slot)
{
	return slot->port >= 1 && slot->port <= xhci->bus.n_ports
		       ? xhci->bus.devices[slot->port - 1]
		       : NULL;
}

static inline unsigned xhci_trb_type(const XhciTrb *trb)
{
	return trb->control >> 10 & 0x3f;
}

/* xhci_ring.c */

/* Something that the guest gave is outside of its memory or beyond reason: stop (§4.24.1). */
void xhci_fail(Xhci *xhci);
bool xhci_is_running(const Xhci *xhci);
bool xhci_read(Xhci *xhci, uint64_t gpa, void *buffer, size_t size);
bool xhci_write(Xhci *xhci, uint64_t gpa, const void *buffer, size_t size);

/*
 * The TRB at the head of @ring, through links, and where it is (*@gpa); the ring then is behind it.
 * False if there is none, or after xhci_fail().
 */
bool xhci_ring_take(Xhci *xhci, XhciRing *ring, XhciTrb *trb, uint64_t *gpa);

/* The guest has set ERSTBA or ERDP. */
void xhci_event_ring_start(Xhci *xhci);
/* Whether @n events can be sent. */
bool xhci_event_room(const Xhci *xhci, unsigned n);
/* Send one; there is room. */
void xhci_event_send(Xhci *xhci, XhciTrbType type, uint64_t parameter, uint32_t status,
		     uint32_t control);
/* Raise the interrupt, if it is wanted. */
void xhci_interrupt(Xhci *xhci);

/* xhci_command.c */

/* Work on the command ring while there is something in it and room for its events. */
void xhci_run_commands(Xhci *xhci);
/* Write state and ring of endpoint @index to its context. */
bool xhci_endpoint_store(Xhci *xhci, XhciSlot *slot, unsigned index);

/* xhci_transfer.c */

/* Work on the ring of endpoint @index of @slot, likewise. */
void xhci_run_endpoint(Xhci *xhci, XhciSlot *slot, unsigned index);

/* xhci_state.c */

extern const StateTable xhci_state;
