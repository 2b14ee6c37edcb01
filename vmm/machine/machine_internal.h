/*
 * machine_internal.h: what the files of this directory share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdatomic.h>

#include "vmm/base/sandbox.h"
#include "vmm/display/vnc.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/machine/device_types.h"
#include "vmm/machine/machine.h"
#include "vmm/memory/address_space.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/x86/acpi.h"
#include "vmm/x86/boot.h"
#include "vmm/x86/cpu_models.h"
#include "vmm/x86/memory_map.h"
#include "vmm/x86/smbios.h"

typedef struct MachineFirmware MachineFirmware;

typedef struct MachineCpu {
	Machine *machine;
	unsigned index;
	uint32_t apic_id;
	bool present;	     /* false: an empty place, though kvm may be of one that was there */
	char *path;	     /* of its device, while present */
	KvmVcpu *kvm;	     /* KVM cannot forget a vCPU: kept for when it comes back */
	KvmVcpuState *power_on; /* what a reset goes back to */
	GThread *thread;
	pthread_t pthread; /* for signals; set by the thread before thread_id */
	int thread_id;	   /* under machine->cpu_lock; 0 until the thread runs */
	bool running;	   /* under machine->cpu_lock: may be in KVM_RUN or a device */
	bool leaving;	   /* under machine->cpu_lock: its thread is to end */
	bool stuck;	   /* under machine->cpu_lock: nothing to run before a reset */
	int stats_fd;	   /* the KvmVcpu's, once stats_opened */
	bool stats_opened;
} MachineCpu;

/* Requests to the main thread: a RunRequest, or one that only vCPU threads make. */
enum {
	MACHINE_REQUEST_INTERNAL_ERROR = RUN_REQUEST_EXIT + 1,
	MACHINE_REQUEST_LAST = MACHINE_REQUEST_INTERNAL_ERROR,
};

struct Machine {
	DeviceServices services; /* first */
	const VmConfig *config;
	const QmpEventSink *events;
	GMainContext *context;
	GMainLoop *loop;

	Kvm *kvm;
	MachineObjects *objects;
	BlockNodes *block_nodes;
	Netdevs *netdevs;
	FdNameTaker fd_names;
	Announcements *announcements;
	DirtyRate *dirty_rate;
	Chardevs *chardevs;
	Tpms *tpms;
	IoLoop *default_io_loop; /* NULL until a device asks */
	MemoryBackend *own_memory; /* plain -m */
	MemoryMap map;
	GArray *plugged_memory; /* PluggedMemory, in no order */
	GArray *ranges; /* AcpiMemory: RAM by NUMA node; of node 0 without nodes */
	GuestMemory *memory;
	AddressSpace *mmio, *pio;
	DeviceTree *devices;
	Display *display;
	VncServer *vnc; /* NULL without -vnc */
	BootSource *boot; /* NULL: nothing to boot */
	MachineFirmware *firmware; /* NULL: the monitor loads the kernel */
	Bus *isa_bus;
	Device *acpi_pm, *host_bridge;
	bool ram_written; /* something was loaded into RAM before */

	CpuDescription cpu; /* what every vCPU's CPUID says, but for cpuid_set_cpu() */
	HypervConfig hyperv; /* of it: the configuration's, with what that leaves to the host */
	MachineCpu *cpus;
	unsigned n_cpus; /* places for them */
	GMutex cpu_lock;
	GCond cpu_changed; /* cpus_may_run, cpus_exit, or a vCPU's thread_id or running */
	bool cpus_may_run; /* under cpu_lock */
	bool cpus_exit;	   /* under cpu_lock */

	atomic_int state; /* QapiRunState; the main thread writes it */
	atomic_uint pending_requests; /* bit per request */
	atomic_int exit_value;	      /* of RUN_REQUEST_EXIT */
	RunActions actions;
	bool sandboxed; /* new I/O threads get their filter at once */
	bool ended; /* machine_run() is to return */
	int exit_status;
};

/*
 * machine_cpu_model.c: describe the guest's CPU in machine->cpu, as -cpu says. @tsc_khz may be 0
 * (unknown). False and @error naming the option.
 */
bool machine_describe_cpu(Machine *machine, unsigned tsc_khz, GError **error);
/*
 * Give @vcpu, of number @index, its CPUID and the MSRs that list features. Before it runs for the
 * first time.
 */
bool machine_set_cpu_model(Machine *machine, KvmVcpu *vcpu, unsigned index, GError **error);

/* vcpu.c: create and start the threads of all vCPUs, which then wait; end and free them. */
bool machine_create_cpus(Machine *machine, GError **error);
void machine_free_cpus(Machine *machine);
/* Bring all vCPUs to power-on state, the first one to @boot if not NULL. vCPUs are stopped. */
bool machine_reset_cpus(Machine *machine, const BootState *boot, GError **error);

/* What DeviceServices has for vCPUs that come and go. */
bool machine_plug_cpu(DeviceServices *services, unsigned index, unsigned node, const char *path,
		      GError **error);
void machine_unplug_cpu(DeviceServices *services, unsigned index);

/* quiesce.c: stop vCPUs and devices, and let them go on. Main thread; both are idempotent. */
void machine_quiesce(Machine *machine);
void machine_unquiesce(Machine *machine);
/*
 * Call @func while no vCPU is in KVM_RUN: most of KVM's calls on a vCPU wait for that. Devices go
 * on. Main thread.
 */
void machine_with_parked_cpus(Machine *machine, void (*func)(Machine *, gpointer), gpointer data);
/*
 * Call @func while vCPUs and devices are at rest, but the guest's clocks go on. False, with no
 * call, where they were stopped already. Main thread.
 */
bool machine_with_quiet_guest(Machine *machine, void (*func)(gpointer), gpointer data);

/* run_state.c */
/* Ask the main thread for @request (RunRequest or MACHINE_REQUEST_*). Any thread. */
void machine_request(Machine *machine, unsigned request);

/* machine_memory.c: RAM from -m or the named backends, given to KVM. */
bool machine_create_memory(Machine *machine, GError **error);
/*
 * Lock what the process has and will have in RAM (-overcommit mem-lock=on), and have the guest's
 * memory keep its pages. False and @error where the host refuses. Main thread.
 */
bool machine_lock_memory(Machine *machine, GError **error);
void machine_free_memory(Machine *machine);

/* machine_memory_device.c: what DeviceServices has for memory devices. */
MemoryBackend *machine_claim_memory(DeviceServices *services, const char *id, GError **error);
void machine_release_memory(DeviceServices *services, const char *id);
bool machine_plug_memory(DeviceServices *services, const MemoryBackend *backend,
			 uint64_t alignment, uint64_t *gpa, GError **error);
void machine_unplug_memory(DeviceServices *services, uint64_t gpa);

/* machine_board.c: the fixed devices, those of -serial and -device, and what to boot. */
bool machine_create_board(Machine *machine, GError **error);
/* Put ACPI tables and the kernel into RAM, and the vCPUs at its start. vCPUs are stopped. */
bool machine_load(Machine *machine, GError **error);

/* machine_board.c: all ACPI tables, for firmware to place. */
bool machine_build_acpi_files(Machine *machine, AcpiFiles *files, GError **error);

/* And what SMBIOS says of it; borrows from @machine. */
SmbiosMachine machine_smbios(const Machine *machine);

/* machine_firmware.c: firmware and its devices, if any is asked for. */
bool machine_create_firmware(Machine *machine, GError **error);
void machine_free_firmware(Machine *machine);
bool machine_has_firmware(const Machine *machine);
/* Tell firmware what the machine is now. vCPUs are stopped. */
bool machine_load_firmware(Machine *machine, GError **error);

/* Put the calling thread under its filter (-sandbox); ends the process where that fails. */
void machine_restrict_thread(Machine *machine, SandboxThread kind);

/* Runs first on each I/O thread; @data is the machine. */
void machine_io_thread_init(gpointer data);
/* Put the I/O threads that exist under their filter, and all later ones from their start. */
void machine_sandbox_io_threads(Machine *machine);
