/*
 * services.h: what a machine offers to its devices
 *
 * Devices never see the machine: they get this. A device test fills one in with fakes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "vmm/device/interrupt.h"

typedef struct AddressSpace AddressSpace;
typedef struct BlockNode BlockNode;
typedef struct Chardev Chardev;
typedef struct DeviceServices DeviceServices;
typedef struct Display Display;
typedef struct GuestMemory GuestMemory;
typedef struct IoLoop IoLoop;
typedef struct MemoryBackend MemoryBackend;
typedef struct Netdev Netdev;
typedef struct QmpEventSink QmpEventSink;
typedef struct RngBackend RngBackend;
typedef struct Tpm Tpm;

/* What a device may ask of the machine as a whole. */
typedef enum RunRequest {
	RUN_REQUEST_GUEST_SHUTDOWN, /* the guest powered itself off (S5) */
	RUN_REQUEST_GUEST_RESET,    /* the guest asked for a reset */
	RUN_REQUEST_GUEST_PANIC,    /* pvpanic */
	RUN_REQUEST_IO_ERROR,	    /* an I/O error whose policy is to stop the guest */
	RUN_REQUEST_WATCHDOG,	    /* a watchdog has expired */
	RUN_REQUEST_EXIT,	    /* isa-debug-exit: end the process with @value as status */
} RunRequest;

struct DeviceServices {
	GuestMemory *memory;
	AddressSpace *mmio;
	AddressSpace *pio;
	InterruptController *interrupts;
	const QmpEventSink *events; /* any thread may emit */
	GMainContext *main_context; /* where device timers go */
	Display *display;	    /* screens, keyboards and pointers */
	unsigned n_cpus;	    /* vCPUs: as many queues are worth having */
	const struct CpuTopology *cpu_topology; /* all places for vCPUs */
	unsigned n_nodes;	    /* the guest's NUMA nodes, 1 where it knows of none */

	/* Any thread; returns at once, the main thread acts. */
	void (*request)(DeviceServices *services, RunRequest request, int value);

	/* Whether vCPUs run now (false: paused). Any thread. */
	bool (*is_running)(DeviceServices *services);

	/*
	 * Call @func(@data) while no vCPU runs and no device touches guest memory. To the guest it
	 * is as if the host had been busy for a moment: its state stays, and its clocks go on. False,
	 * with no call, where it is paused. Main thread, no device's lock held.
	 */
	bool (*with_quiet_guest)(DeviceServices *services, void (*func)(gpointer data),
				 gpointer data);

	/* Look up a back end by its id; NULL when there is none. Main thread. */
	BlockNode *(*find_block_node)(DeviceServices *services, const char *node_name);
	Netdev *(*find_netdev)(DeviceServices *services, const char *id);
	Chardev *(*find_chardev)(DeviceServices *services, const char *id);
	RngBackend *(*find_rng)(DeviceServices *services, const char *id);
	Tpm *(*find_tpm)(DeviceServices *services, const char *id);
	/* fd_take() with the names that getfd gave. Main thread. */
	int (*take_fd)(DeviceServices *services, const char *text, GError **error);
	/*
	 * The I/O loop of iothread @id, or, where @id is NULL, the one that devices without an
	 * iothread share, which is started when first asked for (a thread is not free).
	 */
	IoLoop *(*find_io_loop)(DeviceServices *services, const char *id);

	/*
	 * Start vCPU @index, which is absent, and have it wait for the guest to wake it; @path is
	 * its device's, @node its NUMA node if that is not NUMA_NO_NODE. False and @error. And end
	 * it again. Main thread.
	 */
	bool (*plug_cpu)(DeviceServices *services, unsigned index, unsigned node, const char *path,
			 GError **error);
	void (*unplug_cpu)(DeviceServices *services, unsigned index);

	/*
	 * Memory devices. Take memory backend @id for a device alone (NULL and @error), and give it
	 * back. Main thread, as the others.
	 */
	MemoryBackend *(*claim_memory)(DeviceServices *services, const char *id, GError **error);
	void (*release_memory)(DeviceServices *services, const char *id);
	/*
	 * Make all of @backend guest memory at *@gpa, or, where that is 0, at a multiple of
	 * @alignment that it is set to; and take what is at @gpa away again. Devices and vCPUs are
	 * paused meanwhile, so that none goes on with what it knew. False and @error where there is
	 * no room.
	 */
	bool (*plug_memory)(DeviceServices *services, const MemoryBackend *backend,
			    uint64_t alignment, uint64_t *gpa, GError **error);
	void (*unplug_memory)(DeviceServices *services, uint64_t gpa);
};
