/*
 * fake_machine.h: a machine for device tests, without KVM
 *
 * It offers a device what a machine would: guest RAM in this process, address spaces that the
 * test drives itself, an interrupt controller that records, a record of what the device asked of
 * the machine, and a main context that runs only when the test says so. There is no event sink:
 * emitting to NULL drops the event.
 *
 * In a test, what the machine writes to RAM must have been marked in its dirty log by the time that
 * it is freed: where the kernel can tell (write_watch.h), whatever was not fails the test.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/device/write_watch.h"
#include "vmm/device/device.h"
#include "vmm/memory/address_space.h"
#include "vmm/memory/dirty_log.h"
#include "vmm/memory/guest_memory.h"

#define FAKE_MACHINE_LINES 24

typedef struct FakeInterrupts {
	InterruptController controller;
	GMutex lock;
	bool level[FAKE_MACHINE_LINES];	    /* of each GSI now */
	unsigned edges[FAKE_MACHINE_LINES]; /* how often each went from low to high */
	GArray *sent;			    /* MsiMessage, sent and not yet taken */
	GArray *routes;			    /* FakeRoute, by route number */
} FakeInterrupts;

typedef struct FakeRequest {
	RunRequest request;
	int value;
} FakeRequest;

/* Where memory devices' memory goes that has no address of its own. */
#define FAKE_MACHINE_MEMORY_DEVICE UINT64_C(0x100000000)

typedef struct FakeMachine {
	DeviceServices services;
	FakeInterrupts interrupts;
	uint8_t *ram; /* guest RAM, at guest-physical address 0, as the guest writes it */
	uint64_t ram_size;
	int ram_fd; /* -1: not in a file */
	WriteWatch *watch;     /* of RAM; NULL: not watched */
	DirtyTracker *tracker; /* NULL: nobody checks */
	bool running; /* what services.is_running answers; true at first */
	GMutex lock;
	GArray *requests;      /* FakeRequest, in order */
	GHashTable *back_ends; /* "KIND:ID" -> the back end, borrowed */
	GSList *devices;       /* that fake_machine_add() made and nobody removed */
} FakeMachine;

/*
 * A machine with @ram_size bytes of RAM at address 0. services.default_io_loop is NULL; a test
 * whose device needs a loop sets it. Never fails.
 */
FakeMachine *fake_machine_new(uint64_t ram_size);
/* The same, but its RAM is in a memfd that another process could share. */
FakeMachine *fake_machine_new_shared(uint64_t ram_size);
/* No longer hold it to its dirty log: for who tracks writes itself. */
void fake_machine_unwatch(FakeMachine *fake);
/* Every device must have been removed. */
void fake_machine_free(FakeMachine *fake);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeMachine, fake_machine_free)

/* What services.find_* return for @id; the back end stays the caller's. */
void fake_machine_set_block_node(FakeMachine *fake, const char *id, BlockNode *node);
void fake_machine_set_netdev(FakeMachine *fake, const char *id, Netdev *netdev);
void fake_machine_set_chardev(FakeMachine *fake, const char *id, Chardev *chardev);
void fake_machine_set_rng(FakeMachine *fake, const char *id, RngBackend *rng);
void fake_machine_set_tpm(FakeMachine *fake, const char *id, Tpm *tpm);
void fake_machine_set_memory(FakeMachine *fake, const char *id, MemoryBackend *backend);
void fake_machine_set_io_loop(FakeMachine *fake, const char *id, IoLoop *loop);

/*
 * Create a device of @type that is on no bus, set the properties that @options ("a=b,c=d"; may be
 * NULL) names, and realize it. NULL and @error as the device tree would.
 */
Device *fake_machine_try_add(FakeMachine *fake, const DeviceType *type, const char *options,
			     GError **error);
/* As above, but a failure fails the test. */
Device *fake_machine_add(FakeMachine *fake, const DeviceType *type, const char *options);
/* Unrealize and free @device. */
void fake_machine_remove(FakeMachine *fake, Device *device);

/*
 * Save @from, load that into @to (of the same type), save @to, and fail the test unless both
 * streams are equal and the load took all of it.
 */
void fake_machine_check_state(Device *from, Device *to);

/* Access the port or MMIO space as a vCPU would. */
uint8_t fake_inb(FakeMachine *fake, uint16_t port);
uint16_t fake_inw(FakeMachine *fake, uint16_t port);
uint32_t fake_inl(FakeMachine *fake, uint16_t port);
void fake_outb(FakeMachine *fake, uint16_t port, uint8_t value);
void fake_outw(FakeMachine *fake, uint16_t port, uint16_t value);
void fake_outl(FakeMachine *fake, uint16_t port, uint32_t value);
uint64_t fake_read(FakeMachine *fake, uint64_t address, unsigned size);
void fake_write(FakeMachine *fake, uint64_t address, uint64_t value, unsigned size);

/* The level of @gsi, and how often it has risen since the last call. */
bool fake_machine_line(FakeMachine *fake, unsigned gsi);
unsigned fake_machine_take_edges(FakeMachine *fake, unsigned gsi);

/*
 * Take the oldest MSI that was sent, or whose route's eventfd was signalled; false if none.
 * Several signals of one eventfd before this is called are one message.
 */
bool fake_machine_take_msi(FakeMachine *fake, MsiMessage *message);
/* The eventfd, of the device, that delivers the MSI with @data; -1 if none does. */
int fake_machine_route_eventfd(FakeMachine *fake, uint32_t data);
/* How many routes are bound now. */
unsigned fake_machine_n_routes(FakeMachine *fake);

/* Take the oldest request that a device made of the machine; false if none. */
bool fake_machine_take_request(FakeMachine *fake, FakeRequest *request);

/* Run what is ready on the main context, without waiting. */
void fake_machine_iterate(FakeMachine *fake);
/*
 * Run the main context until @condition(@data) holds; false if it does not within
 * @timeout_ms milliseconds.
 */
bool fake_machine_run_until(FakeMachine *fake, bool (*condition)(gpointer data), gpointer data,
			    unsigned timeout_ms);
